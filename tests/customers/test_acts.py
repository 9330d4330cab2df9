"""Acts: what is published, whom a list names, and what a webhook gets."""

import hashlib
import hmac
import json
import re
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from customers.made import buyers, shop_of
from shopkeeper import customers, recommend
from shopkeeper.customers import acts
from shopkeeper.customers.acts import Audience
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.shop import Shop
from shopkeeper.warehouse import audit
from shopkeeper.warehouse.delivery import ID, SIGNATURE, secret
from shopkeeper.warehouse.groups import MEMBERS

PEOPLE = Audience(segment="lost", n=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return shop_of(tmp_path_factory.mktemp("acts") / "shop", buyers(end=1_770_000_000_000_000)).path


@pytest.fixture
def shop(made, copy_of):
    return copy_of(Shop.open(made))


def tree(shop):
    return {path.name for path in shop.path.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_what_is_published_has_a_row_a_customer_and_the_saved_rules_answer_from_then_on(shop):
    answer = customers.publish(shop, horizon=90)

    value, segment = (shop.engine.run(shop.engine.table(name)) for name in (acts.VALUE, MEMBERS))
    assert [row["records"] for row in answer.table.to_pylist()] == [520, segment.num_rows, 8]
    of = Counter(segment["person"].to_pylist())
    assert len(of) == 520
    assert len(set(of.values())) == 1  # one of the shop's own, and a group by behaviour where there are any
    assert segment.column_names == ["person", "segment"]
    assert set(value["horizon"].to_pylist()) == {90}
    assert min(value["p50"].to_pylist()) >= 0
    assert any("those that were published" in str(note) for note in customers.segments(shop).notes)


REGULARS = "purchases >= 3 and silent < 120"


def test_a_saved_rule_is_a_segment_until_it_is_dropped_and_publishing_keeps_it(shop):
    saved = customers.save_segment(shop, "regulars", REGULARS).table.to_pylist()[0]
    customers.publish(shop, horizon=90)

    mine = customers.segments(shop).parts["saved"].to_pylist()
    listed = customers.export_audience(shop, "x", audience=Audience(segment="regulars"), dry_run=True).table
    assert [(row["segment"], row["rule"], row["people"]) for row in mine] == [("regulars", REGULARS, saved["people"])]
    assert listed.num_rows == saved["customers"] == saved["people"] > 10
    assert customers.lifetime_value(shop, segment="regulars", n=999).table.num_rows == saved["customers"]
    wanted = recommend.audience(shop, "i-000001", n=999, segment="regulars").table["customer"].to_pylist()
    assert set(wanted) <= set(listed["customer"].to_pylist())
    assert len(wanted) > 0
    customers.drop_segment(shop, "regulars")
    assert customers.segments(shop).parts["saved"].num_rows == 0
    with pytest.raises(UnknownName, match="there is no segment 'regulars'"):
        customers.at_risk(shop, segment="regulars")


@pytest.mark.parametrize("name, what", [("best", "the shop calls a segment of its own 'best'"),
                                        ("group 2", "the shop calls a segment of its own 'group 2'"),
                                        ("rfm", "the shop calls"), ("a;b", "is no name for a segment")])
def test_a_name_that_is_taken_or_is_none_saves_no_segment(shop, name, what):
    with pytest.raises(BadInput, match=what):
        customers.save_segment(shop, name, REGULARS)


def test_only_what_was_saved_is_dropped(shop):
    with pytest.raises(UnknownName, match="there is no saved segment 'best'"):
        customers.drop_segment(shop, "best")


def test_a_list_names_people_and_the_audit_log_keeps_that_it_did(shop):
    answer = customers.export_audience(shop, "win back", audience=PEOPLE)

    lines = (shop.path / "exports" / "win back.csv").read_text("utf-8").splitlines()
    written = audit.read(shop.path)
    assert lines[0] == "customer,identity,segment"
    assert len(lines) == 5
    assert all(identity.startswith("old") for identity in answer.table["identity"].to_pylist())
    assert (written[0]["act"], written[0]["customers"]) == ("customers.export_audience", 4)
    assert "old" not in json.dumps({**written[0], "file": ""})
    assert (shop.path / "exports" / "win back.csv").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("act", [
    lambda shop: customers.export_audience(shop, "x", audience=PEOPLE, dry_run=True),
    lambda shop: customers.notify(shop, "https://example.com/x", audience=PEOPLE, dry_run=True),
    lambda shop: customers.publish(shop, dry_run=True),
    lambda shop: customers.save_segment(shop, "x", REGULARS, dry_run=True)])
def test_a_dry_run_writes_nothing_and_names_nobody(shop, act):
    before = tree(shop)

    answer = act(shop)

    assert tree(shop) == before
    assert not re.search(r"old\d", json.dumps(answer.to_dict()))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x\n"])
def test_a_name_that_leaves_the_folder_is_refused(shop, name):
    with pytest.raises(BadInput, match="is no name for a list"):
        customers.export_audience(shop, name, audience=PEOPLE)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.says.pop(0) if self.server.says else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.says = [], []
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def allowing(shop):
    path = shop.path / "shop.toml"
    path.write_text(path.read_text() + '\n[trends]\nallow_webhooks = ["127.0.0.0/8"]\n')
    return Shop.open(shop.path)


def test_a_list_is_sent_signed_and_again_under_the_same_key_until_it_is_taken(shop, receiver, monkeypatch):
    monkeypatch.setattr(acts, "PAUSES", (0.0, 0.0, 0.0))
    receiver.says = [500, 503]
    shop = allowing(shop)

    row = customers.notify(shop, f"http://127.0.0.1:{receiver.server_port}/x", audience=PEOPLE).table.to_pylist()[0]

    assert (row["status"], row["tries"], row["fault"]) == ("sent", 3, None)
    assert {headers[ID] for headers, _ in receiver.got} == {row["key"]}
    headers, body = receiver.got[-1]
    second = headers[SIGNATURE].split(",")[0][2:]
    mac = hmac.new(secret(shop.path), f"{second}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"t={second},v1={mac}"
    sent = json.loads(body)
    assert (sent["id"], len(sent["customers"])) == (row["key"], 4)
    assert b"old" not in body


def test_a_receiver_that_never_takes_it_is_given_up_with_what_went_wrong(shop, receiver, monkeypatch):
    monkeypatch.setattr(acts, "PAUSES", (0.0,))
    receiver.says = [500] * 9

    row = customers.notify(allowing(shop), f"http://127.0.0.1:{receiver.server_port}/", audience=PEOPLE).table

    assert row.to_pylist()[0] | {"key": ""} == {"status": "not sent", "customers": 4, "key": "", "tries": 2,
                                                "fault": "answered 500"}


def test_a_private_address_that_is_not_allowed_is_refused(shop, receiver):
    with pytest.raises(BadInput, match="where no webhook may go"):
        customers.notify(shop, f"http://127.0.0.1:{receiver.server_port}/", audience=PEOPLE)
