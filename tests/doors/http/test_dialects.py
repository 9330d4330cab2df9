"""Senders that speak Segment's or GA4's protocol are understood, answered as they expect, and counted to the record."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest

from doors.http.served import copied, served
from shopkeeper import ledger
from shopkeeper.doors.http.dialects import CALLS, ROUTES
from shopkeeper.doors.http.keyring import KeyRing
from shopkeeper.doors.http.settings import Settings
from shopkeeper.shop import Shop

BOUGHT = {"type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "u-1", "anonymousId": "a-1",
          "timestamp": "2026-03-01T10:00:00Z", "properties": {
              "order_id": "o-1", "revenue": 25, "shipping": 3, "tax": 2, "total": 30, "currency": "EUR",
              "coupon": "SPRING", "products": [{"product_id": "i-1", "sku": "s-1", "quantity": 1, "price": 19},
                                               {"product_id": "i-2", "price": 3, "quantity": 2}]}}
SOLD = {"client_id": "c-1", "user_id": "u-2", "timestamp_micros": 1_772_359_200_000_000, "events": [
    {"name": "purchase", "params": {"transaction_id": "o-2", "value": 25, "currency": "EUR", "shipping": 3,
                                    "session_id": "77", "items": [{"item_id": "i-1", "price": 25}]}},
    {"name": "view_item", "params": {"items": [{"item_id": "i-2"}]}},
    {"name": "tutorial_begin"}]}


def counted(reply):
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert found["success"] is True
    return tuple(found[name] for name in ("received", "stored", "duplicate", "quarantined"))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Lines of the event table of a shop to which all kinds of senders have posted: by name of the event."""
    fast = datetime.now(UTC) + timedelta(hours=1)
    page = {"type": "page", "anonymousId": "a", "timestamp": "2026-03-01T10:00:00Z"}
    bodies = [
        ("/v1/track", BOUGHT),
        ("/v1/track", BOUGHT | {"messageId": "m-points", "properties": BOUGHT["properties"] | {"points": 10 ** 30}}),
        ("/v1/track", {"event": "Signed Up", "userId": "u-9", "messageId": "m-now"}),
        ("/v1/batch", {"batch": [BOUGHT | {"messageId": "m-fast", "timestamp": str(fast - timedelta(minutes=10))}],
                       "sentAt": str(fast)}),
        ("/v1/batch", {"context": {"page": {"url": "https://shop.example/all"}}, "batch": [
            page | {"messageId": "m-x"},
            page | {"messageId": "m-y", "context": {"page": {"url": "https://shop.example/own"}}}]}),
        ("/mp/collect?measurement_id=G-1", SOLD),
        ("/mp/collect", {"client_id": "c-now", "events": [{"name": "login"}]})]
    with served(copied(tmp_path_factory.mktemp("log") / "shop")) as client:
        for route, body in bodies:
            assert counted(client.post(route, body))[2:] == (0, 0)
        client.run(client.service.fold())
        shop = Shop.open(client.service.shop.path, create=False)
        found = shop.engine.run(shop.events()).to_pylist()
    return lambda **wanted: sorted((row for row in found if all(row[name] == said for name, said in wanted.items())),
                                   key=lambda row: (row["event_id"], row["line"]))


def test_a_batch_is_taken_call_by_call_and_again_as_duplicates(client):
    body = {"batch": [BOUGHT, {"type": "page", "messageId": "m-2", "anonymousId": "a-1", "name": "Home",
                               "timestamp": "2026-03-01T10:01:00Z"},
                      {"type": "identify", "messageId": "m-3", "userId": "u-1", "timestamp": "2026-03-01T10:02:00Z",
                       "traits": {"email": "ann@shop.example"}}]}

    assert counted(client.post("/v1/batch", body)) == (3, 3, 0, 0)
    assert counted(client.post("/v1/batch", body)) == (3, 0, 3, 0)


def test_an_order_arrives_with_its_items_its_money_and_the_sender_s_name(log):
    header, one, two = log(event_id="m-1")

    assert (header["event"], header["order_id"], header["currency"], header["coupon"]) == (
        "purchase", "o-1", "EUR", "SPRING")
    assert (header["value"], header["shipping"], header["tax"]) == (25, 3, 2)  # total has them, revenue has not
    assert (one["item_id"], one["variant_id"], one["price"]) == ("i-1", "s-1", 19)
    assert (two["item_id"], two["quantity"]) == ("i-2", 2)
    assert header["source"] == "http:local/segment"
    assert header["ts"] == datetime(2026, 3, 1, 10)


def test_a_clock_that_is_an_hour_fast_is_set_right_by_when_the_batch_was_sent(log):
    late = datetime.now(UTC).replace(tzinfo=None) - log(event_id="m-fast")[0]["ts"]

    assert timedelta(minutes=9) < late < timedelta(minutes=15)


def test_a_call_or_an_event_without_a_time_happened_when_it_came(log):
    now = datetime.now(UTC).replace(tzinfo=None)
    found = [*log(event_id="m-now"), *log(event="login", source="http:local/ga4-mp")]

    assert len(found) == 2
    assert all(now - timedelta(minutes=5) < row["ts"] <= now for row in found)


@pytest.mark.parametrize("call", CALLS)
def test_the_route_of_a_single_call_says_its_type(client, call):
    body = {"userId": "u-1", "event": "Signed In", "timestamp": "2026-03-01T10:00:00Z"}

    assert counted(client.post(f"/v1/{call}", body)) == (1, 1, 0, 0)


def test_what_a_batch_says_for_all_counts_for_each_of_its_calls_unless_it_says_it_itself(log):
    assert [log(event_id=name)[0]["url"] for name in ("m-x", "m-y")] == [
        "https://shop.example/all", "https://shop.example/own"]


def test_what_does_not_fit_is_quarantined_by_the_name_of_its_field_and_the_others_are_stored(client):
    wrong = BOUGHT | {"messageId": "m-2", "properties": BOUGHT["properties"] | {"revenue": "a lot"}}
    reply = client.post("/v1/batch", {"batch": [BOUGHT, wrong, 7, {"type": "track", "event": "Signed In"}]})

    assert counted(reply) == (4, 1, 0, 3)
    told = {one["index"]: one for one in reply.json()["results"]}
    assert set(told) == {1, 2, 3}
    assert {name: told[1][name] for name in ("reason", "detail", "event_id")} == {
        "reason": "dialect", "event_id": "m-2",
        "detail": "properties.revenue does not fit Segment and RudderStack: 'a lot' is no number."}


def test_no_text_of_the_language_we_are_written_in_gets_into_an_answer(client):
    odd = [{"name": "purchase", "params": {"items": "x"}}, {"name": "purchase", "timestamp_micros": "soon"},
           {"name": "view_item", "params": {"items": [{"item_id": "i", "price": [1]}]}}]
    reply = client.post("/mp/collect", {"client_id": "c", "events": odd})

    assert counted(reply) == (3, 0, 0, 3)
    assert [one["detail"].partition(": ")[2] for one in reply.json()["results"]] == [
        "it is no JSON.", "'soon' cannot be read.", "'[1]' is no number."]
    assert {one["reason"] for one in reply.json()["results"]} == {"dialect"}


def test_what_did_not_fit_is_kept_whole_and_comes_in_with_its_time_and_sender_when_another_field_is_named(tmp_path):
    wrong = BOUGHT | {"messageId": "m-2", "timestamp": "2026-03-01T11:00:00Z",
                      "properties": BOUGHT["properties"] | {"revenue": "a lot"}}
    ours = {"event": "view_item", "event_id": "own", "ts": "2026-03-01T10:00:00Z", "item_id": "i-1"}
    late = {"sentAt": "2026-03-01T12:00:00Z", "context": {"page": {"url": "https://shop.example/all"}}}
    with served(tmp_path / "shop") as client:
        assert counted(client.post("/v1/batch", {"batch": [wrong, BOUGHT], **late})) == (2, 1, 0, 1)
        assert client.post("/v1/events", [ours]).json()["quarantined"] == 1
        client.run(client.service.fold())
        kept = {row["reason"]: row for row in client.get("/v1/ledger/quarantine").json()["answer"]}
        assert kept["dialect"]["field"] == "properties.revenue"
        assert json.loads(kept["dialect"]["record"])["context.page.url"] == "https://shop.example/all"
        assert client.get("/v1/ledger/account?by=dialect").json()["answer"][0]["id"] == "segment"
    shop = Shop.open(tmp_path / "shop")
    fix = ledger.Fix(map={"value": "properties.total"})
    for dry_run in (True, False):
        done = ledger.replay(shop, reason="dialect", fix=fix, dry_run=dry_run)
        assert done.table.to_pylist() == [{"outcome": "stored", "records": 1}, {"outcome": "duplicate", "records": 0}]
    done = ledger.replay(shop, fix=ledger.Fix(constant={"customer_id": "ann"}))
    assert done.table.to_pylist()[0] == {"outcome": "stored", "records": 1}

    rows = {row["event_id"]: row for row in shop.engine.run(shop.engine.events()).to_pylist() if not row["line"]}
    assert (rows["m-2"]["value"], rows["m-2"]["url"]) == (30, "https://shop.example/all")
    assert rows["m-2"]["ts"] - rows["m-1"]["ts"] == timedelta(hours=1)
    assert (rows["m-2"]["received_at"], rows["m-2"]["source"]) == (rows["m-1"]["received_at"], "http:local/segment")
    assert rows["own"]["source"] == "http:local"
    books = {row["sources"]: row for row in ledger.account(shop).table.to_pylist()}
    assert (books["http:local/segment"]["stored"], books["http:local/segment"]["quarantined"]) == (2, 0)
    assert shop.manifest.events == 3


def test_a_record_that_is_too_large_stays_so_however_often_it_is_replayed(tmp_path):
    large = {"event": "page_view", "event_id": "l", "ts": "2026-03-01T10:00:00Z", "customer_id": "ann",
             "text": "x" * (1 << 20)}
    with served(tmp_path / "shop") as client:
        assert client.post("/v1/events", [large]).json()["results"][0]["reason"] == "too_large"
        client.run(client.service.fold())
    shop = Shop.open(tmp_path / "shop")

    assert ledger.replay(shop, dry_run=True).table.to_pylist()[2:] == [{"outcome": "too_large", "records": 1}]
    assert ledger.replay(shop).table.to_pylist()[2:] == [{"outcome": "too_large", "records": 1}]
    assert shop.manifest.events == 0


def test_a_payload_of_ga4_is_taken_event_by_event(log):
    bought, = log(order_id="o-2")
    other, = log(event="other", source="http:local/ga4-mp")

    assert (bought["event"], bought["value"], bought["shipping"], bought["quantity"]) == ("purchase", 25, 3, 1)
    assert bought["session_id"] is not None
    assert json.loads(bought["props"])["measurement_id"] == "G-1"
    assert json.loads(other["props"])["event_name"] == "tutorial_begin"
    assert len(log(event="view_item", source="http:local/ga4-mp")) == 1


def test_a_payload_of_ga4_names_what_does_not_fit(client):
    reply = client.post("/mp/collect", SOLD | {"events": [{"name": "purchase", "params": {"value": "much"}}]})

    assert counted(reply) == (1, 0, 0, 1)
    assert reply.json()["results"][0]["detail"].startswith("params.value does not fit GA4")


@pytest.mark.parametrize("content", [b"", b"5", b"{", b"[]", b"\xff\xfe", b'{"batch": 3, "events": 3}'])
@pytest.mark.parametrize("route", ["/v1/batch", "/mp/collect"])
def test_a_body_that_is_no_payload_is_refused_and_nothing_is_stored(client, route, content):
    reply = client.post(route, content=content)

    assert reply.status_code == 400
    assert set(reply.json()) == {"refusal", "what", "try", "why"}
    assert client.service.collector.pending.records == 0


def test_half_a_character_spoils_its_record_alone(client):
    good = json.dumps(BOUGHT)
    bad = good.replace("m-1", "m-2").replace("SPRING", "\\ud800")

    assert counted(client.post("/v1/batch", content=f'{{"batch": [{good}, {bad}]}}')) == (2, 1, 0, 1)


def test_a_number_beyond_what_fits_is_kept_as_it_was_sent(log):
    assert "1" + 30 * "0" in log(event_id="m-points")[0]["props"]


def test_a_packed_batch_is_unpacked_whatever_its_media_type(client):
    reply = client.post("/v1/batch", content=gzip.compress(json.dumps({"batch": [BOUGHT]}).encode()),
                        headers={"content-encoding": "gzip", "content-type": "text/plain"})

    assert counted(reply) == (1, 1, 0, 0)


def test_a_large_batch_is_taken_whole_and_one_that_is_too_large_is_refused(folder):
    calls = [BOUGHT | {"messageId": f"m-{number}"} for number in range(600)]
    with served(folder, fold=False, settings=Settings(records=600)) as client:
        assert counted(client.post("/v1/batch", {"batch": calls})) == (600, 600, 0, 0)
        assert client.post("/v1/batch", {"batch": [*calls, BOUGHT]}).status_code == 413


def test_every_record_is_told_where_that_is_asked_for(client):
    reply = client.post("/v1/track?verbose=1&library=curl", BOUGHT)

    assert [one["event_id"] for one in reply.json()["results"]] == ["m-1"]


@pytest.fixture
def keyed(tmp_path):
    folder = copied(tmp_path / "shop")
    ring = KeyRing(folder)
    keys = {"collect": ring.add("web", ["collect"], ["https://shop.example"]),
            "both": ring.add("ci", ["collect", "read"]), "read": ring.add("eyes", ["read"])}
    with served(folder, fold=False) as client:
        yield client, keys


def basic(user, password=""):
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_write_key_is_shown_as_the_name_of_basic_authentication(keyed):
    client, keys = keyed

    assert counted(client.post("/v1/batch", {"batch": [BOUGHT]}, headers=basic(keys["collect"]))) == (1, 1, 0, 0)
    assert counted(client.post("/v1/track", BOUGHT, headers=basic(keys["both"]))) == (1, 0, 1, 0)
    assert client.post("/v1/track", BOUGHT, headers=basic(keys["read"])).status_code == 403
    assert client.post("/v1/track", BOUGHT, headers=basic("shk_other", keys["collect"])).status_code == 401
    assert client.post("/v1/track", BOUGHT, headers={"authorization": "Basic !!"}).status_code == 401
    assert client.post("/v1/track", BOUGHT).status_code == 401


def test_an_api_secret_in_the_address_is_a_key_that_can_only_collect(keyed):
    client, keys = keyed
    address = "/mp/collect?measurement_id=G-1&api_secret="

    assert counted(client.post(address + keys["collect"], SOLD)) == (3, 3, 0, 0)
    assert client.post(address + keys["both"], SOLD).status_code == 403
    assert client.post(address, SOLD).status_code == 401
    assert client.get("/v1/ledger/account?api_secret=" + keys["read"]).status_code == 401
    many = "&".join(f"p{number}=1" for number in range(80))
    assert client.post(f"{address}{keys['collect']}&{many}", SOLD).status_code == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_may_post_where_its_key_lists_it_and_no_other_page(keyed, route):
    client, keys = keyed
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}

    assert client("OPTIONS", route, headers=asked).status_code == 204
    assert client("OPTIONS", route, headers=asked | {"origin": "https://elsewhere.example"}).status_code == 403
    reply = client.post(route, BOUGHT, headers=basic(keys["collect"]) | {"origin": "https://shop.example"})
    assert reply.headers["access-control-allow-origin"] == "https://shop.example"
    other = client.post(route, BOUGHT, headers=basic(keys["collect"]) | {"origin": "https://elsewhere.example"})
    assert other.status_code == 403
