"""Every question and act of the menu over HTTP, with the rows that the function gives."""

import csv
import gzip
import json
from functools import lru_cache
from io import StringIO

import pytest

from doors.http.served import CLICK, served, simulated
from shopkeeper import Shop
from shopkeeper.asking import Answer, as_json
from shopkeeper.doors.http.service import Service
from shopkeeper.doors.http.settings import Settings
from shopkeeper.errors import TooLittleHistory
from shopkeeper.menu import MENU, Entry, call

QUESTIONS = [entry for entry in MENU if not entry.by_hand and entry.mark().kind == "question"]
ANSWERED = [entry for entry in QUESTIONS if (entry.room, entry.name) != ("customers", "at_risk")]
ACTS = [entry for entry in MENU if not entry.by_hand and entry.mark().kind == "act"]


def name_of(entry: Entry) -> str:
    return f"{entry.room}.{entry.name}"


@lru_cache(maxsize=1)
def some_line() -> dict:
    shop = simulated()
    events = shop.engine.run(shop.events().filter(lambda t: t.event == "purchase").select("customer_id", "item_id"))
    return next(row for row in events.to_pylist() if row["customer_id"] and row["item_id"])


def values(entry: Entry) -> dict:
    bought = some_line()
    known = {"customer": bought["customer_id"], "item": bought["item_id"], "items": (bought["item_id"],),
             "name": "sales", "import_id": "unknown", "anonymous": "somebody", "webhook": "https://example.com/x",
             "rule": "purchases >= 2"}
    given = {parameter.name: known[parameter.name] for parameter in entry.parameters() if parameter.required}
    return given | ({"n": 3} if any(parameter.name == "n" for parameter in entry.parameters()) else {})


@lru_cache
def answered(entry: Entry) -> Answer:
    """What the function answers."""
    return call(entry.function(), simulated(), values(entry))


@pytest.fixture(scope="module")
def got(reader):
    """What a question answers as JSON, in English."""
    return lru_cache(lambda entry: reader.get(f"/v1/{entry.room}/{entry.name}", params=values(entry)))


def test_what_the_log_cannot_carry_is_refused_over_http_as_it_is_by_the_function(reader):
    entry = next(entry for entry in QUESTIONS if entry.name == "at_risk")
    with pytest.raises(TooLittleHistory) as refused:
        answered(entry)

    reply = reader.get("/v1/customers/at_risk", params=values(entry))

    assert (reply.status_code, reply.json()["refusal"]) == (422, "TooLittleHistory")
    assert reply.json()["what"] in str(refused.value)


@pytest.mark.parametrize("entry", ANSWERED, ids=name_of, scope="module")
def test_get_and_post_give_the_rows_of_the_function(reader, got, entry):
    expected = json.loads(as_json(answered(entry).to_dict("en")))
    path = f"/v1/{entry.room}/{entry.name}"

    reply, posted = got(entry), reader.post(path, json={**values(entry), "as_of": None})

    assert reply.status_code == posted.status_code == 200, reply.text
    assert reply.json()["answer"] == posted.json()["answer"] == expected["answer"]
    assert {"answer", "method", "evidence", "asked", "notes"} <= set(reply.json())


@pytest.mark.parametrize("entry", ANSWERED, ids=name_of, scope="module")
def test_csv_is_given_to_whoever_likes_it(reader, entry):
    reply = reader.get(f"/v1/{entry.room}/{entry.name}", params=values(entry), headers={"accept": "text/csv"})

    rows = list(csv.reader(StringIO(reply.text, newline="")))
    table = answered(entry).table
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert rows[0] == table.column_names
    assert len(rows) - 1 == table.num_rows


@pytest.mark.parametrize("entry", ANSWERED, ids=name_of, scope="module")
def test_sentences_come_in_the_reader_s_language(reader, got, entry):
    chinese = reader.get(f"/v1/{entry.room}/{entry.name}", params=values(entry), headers={"accept-language": "zh"})

    assert chinese.json()["evidence"]["sentence"] != got(entry).json()["evidence"]["sentence"]


@pytest.mark.parametrize("entry", ACTS, ids=name_of)
def test_an_act_runs_dry_over_http(reader, entry):
    reply = reader.post(f"/v1/{entry.room}/{entry.name}", json={**values(entry), "dry_run": True})

    assert reply.status_code in (200, 400, 404, 422), reply.text
    assert {"answer", "refusal"} & set(reply.json())
    assert reader.get(f"/v1/{entry.room}/{entry.name}").status_code == 405


def test_folds_files_and_acts_are_carried_out_in_a_process_of_their_own_and_so_are_refusals(folder):
    with served(folder, kind=Service) as client:
        before = client.get("/v1/ledger/describe").json()["answer"][0]["value"]
        client.post("/v1/events", CLICK)
        client.run(client.service.fold())
        assert client.get("/v1/ledger/describe").json()["answer"][0]["value"] == before + 1
        assert upload(client, CSV, map="item_id=artikel").json()["stored"] == 1
        refused = client.post("/v1/ledger/undo", json={"import_id": "unknown"})

    assert (refused.status_code, refused.json()["refusal"]) == (404, "UnknownName")
    assert "unknown" in refused.json()["what"]


@pytest.mark.parametrize("query, name", [
    ("n=ten", "n"), ("n=1.5", "n"), ("n=", "n"), ("n=9999999999999999999", "n"), ("n=1&n=2", "n"), ("n=0", "n"),
    ("n=-1", "n"), ("exclude_seen=maybe", "exclude_seen"), ("price_min=nan", "price_min"),
    ("price_min=inf", "price_min"),
    ("pin=%00", "pin"), ("as_of=yesterday", "as_of"), ("as_of=0000-01-01", "as_of"), ("nn=3", "nn"),
    ("n=%D9%A3x", "n"), ("boost=x", "x"), ("max_per_brand=0", "max_per_brand")])
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_parameter(reader, query, name):
    reply = reader.get(f"/v1/recommend/next_items?customer=c&{query}")

    assert reply.status_code == 400, reply.text
    assert name in reply.json()["what"]
    assert reply.json()["try"]


@pytest.mark.parametrize("body", [
    {"customer": 5}, {"customer": "c", "n": "5"}, {"customer": "c", "n": True}, {"customer": "c", "n": 1.5},
    {"customer": "c", "n": 10 ** 30}, {"customer": ["c"]}, {"customer": "c", "pin": "i"}, {"customer": "c", "pin": [1]},
    {"customer": "c", "exclude_seen": "yes"}, {"customer": "c", "price_min": "5"}, {"customer": "x" * 10_001},
    {"customer": "c", "unknown": 1}, {}, [], {"customer": "a\0b"}])
def test_a_json_value_of_another_type_is_refused(reader, body):
    reply = reader.post("/v1/recommend/next_items", json=body)

    assert reply.status_code == 400, reply.text


@pytest.mark.parametrize("body", [b'{"customer": "\\ud800"}', b"{", b"[" * 10_000, b"\xff", b'{"customer": "c"} x',
                                  b'{"customer": "c", "n": 1e999}'])
def test_a_body_that_cannot_be_read_is_refused(reader, body):
    reply = reader.post("/v1/recommend/next_items", content=body, headers={"content-type": "application/json"})

    assert reply.status_code == 400, reply.text


@pytest.mark.parametrize("query", ["customer=%FF", "customer=%ED%A0%80", "customer=a&" * 1001])
def test_a_query_string_that_cannot_be_read_is_refused(reader, query):
    assert reader.get(f"/v1/recommend/next_items?{query}").status_code == 400


def test_a_parameter_given_twice_is_refused(reader):
    reply = reader.post("/v1/recommend/next_items?n=3", json={"customer": "c", "n": 4})

    assert reply.status_code == 400
    assert "n is given twice" in reply.json()["what"]


def test_parameters_are_values_and_never_part_of_a_query(reader):
    for text in ("'; DROP TABLE events; --", "' OR '1'='1", '"; ATTACH {item}', "$1 %s \\x00 x') --"):
        found = reader.get("/v1/recommend/next_items", params={"customer": text, "n": 1})
        similar = reader.get("/v1/recommend/similar_items", params={"item": text})

        assert found.status_code == 200
        assert found.json()["asked"]["customer"] == text
        assert similar.status_code == 404


@pytest.mark.parametrize("path, query, status, refusal", [
    ("/v1/recommend/similar_items", "item=nope", 404, "UnknownName"),
    ("/v1/ledger/quarantine", "reason=nope", 404, "UnknownName"), ("/v1/recommend/next_items", "", 400, "BadInput"),
    ("/v1/recommend/next_items", "customer=c&exclude_out_of_stock=1", 422, "MissingTable"),
    ("/v1/nothing/here", "", 404, "NoSuchRoute"), ("/v1/events/", "", 404, "NoSuchRoute")])
def test_a_refusal_has_its_three_parts_and_its_status(reader, path, query, status, refusal):
    reply = reader.get(f"{path}?{query}")

    assert (reply.status_code, reply.json()["refusal"]) == (status, refusal)
    assert set(reply.json()) == {"refusal", "what", "try", "why"}


def test_a_refusal_speaks_the_reader_s_language(reader):
    said = [reader.get("/v1/recommend/similar_items?item=x", headers={"accept-language": tag}).json()["what"]
            for tag in ("zh-TW, en;q=0.5", "fr, en;q=0.3, zh;q=0.1")]

    assert any("\u4e00" <= letter <= "\u9fff" for letter in said[0])
    assert said[1] == "item 'x' is not in the log."


def test_a_question_can_look_back(reader):
    early = reader.get("/v1/ledger/describe", params={"as_of": "2024-06-10T00:00:00"})
    late = reader.get("/v1/ledger/describe")

    assert early.json()["answer"][0]["value"] < late.json()["answer"][0]["value"]


CSV = "event_id,event,ts,customer_id,artikel\nf-1,view_item,2026-01-01T10:00:00Z,c-1,i-1\nf-2,view_item,?,c-1,i-1\n"


def upload(client, body, **params):
    return client("POST", "/v1/ledger/ingest", content=body, params={"format": "csv", **params})


def test_a_file_is_ingested_and_its_account_given(folding, folder):
    dry = upload(folding, CSV, map="item_id=artikel", dry_run="true")
    done = upload(folding, gzip.compress(CSV.encode()), map="item_id=artikel", name="january.csv")

    assert dry.json()["dry_run"]
    assert (done.json()["received"], done.json()["stored"], done.json()["quarantined"]) == (2, 1, 1)
    assert Shop.open(folder).manifest.imports[-1].sources == ("january.csv",)


def test_bots_are_counted_over_http_only_if_all_traffic_is_asked_for(folding):
    agents = "event_id,event,ts,customer_id,user_agent\nb-1,login,2026-01-01T10:00:00Z,c-9,curl/8.5.0\n"
    assert upload(folding, agents).json()["stored"] == 1

    human, everything = (folding("GET", "/v1/ledger/describe", params=params).json()
                         for params in ({"traffic": "human"}, {"traffic": "all"}))

    assert everything["answer"][0]["value"] == human["answer"][0]["value"] + 1
    assert any("1 events of bots are left out" in note for note in human["notes"])
    assert not any("of bots" in note for note in everything["notes"])


def test_items_are_ingested_over_http(folding):
    done = upload(folding, "item_id,title\nx-1,Tea\n", table="items")

    assert done.json()["stored"] == 1


@pytest.mark.parametrize("body, params, status", [
    (b"", {}, 400), (CSV, {"format": "exe"}, 400), (CSV, {"name": "../../etc/passwd"}, 400), (CSV, {"table": "x"}, 400),
    (CSV, {"map": "artikel"}, 400), (b"PK\x03\x04nonsense", {"format": "xlsx"}, 400),
    (gzip.compress(CSV.encode())[:20], {"map": "item_id=artikel"}, 400), (b"\0" * 100, {"format": "parquet"}, 400)])
def test_a_file_that_cannot_be_ingested_is_refused(folding, body, params, status):
    assert upload(folding, body, **params).status_code == status


def test_a_file_that_is_too_large_or_unpacks_to_too_much_is_refused(folder):
    with served(folder, settings=Settings(upload_bytes=20_000, unpacked_bytes=100_000)) as client:
        assert upload(client, b"x" * 20_001).status_code == 413
        assert upload(client, gzip.compress(b"x" * 100_001)).status_code == 413


def test_a_file_is_sent_as_it_is(folding):
    reply = folding("POST", "/v1/ledger/ingest?format=csv", content=b"x", headers={"content-encoding": "gzip"})

    assert reply.status_code == 415
