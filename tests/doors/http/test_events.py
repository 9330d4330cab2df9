"""What is posted is judged record by record, durable before the answer, and in the next answer."""

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pyarrow as pa
import pytest

from doors.http.served import CLICK, account, events, served
from shopkeeper.doors.http.settings import Settings
from shopkeeper.warehouse.journal import Disk


def stored(reply) -> tuple[int, int, int, int]:
    assert reply.status_code == 200, reply.text
    found = reply.json()
    return found["received"], found["stored"], found["duplicate"], found["quarantined"]


@pytest.mark.parametrize("body, records", [
    (CLICK, 1), ([CLICK, {**CLICK, "item_id": "i-2"}], 2), ({"events": [CLICK]}, 1), ([], 0), ({"events": []}, 0),
    ({"events": [CLICK], "sent_at": "2026-03-01T10:00:01Z"}, 1), ({"events": [CLICK], "sent_at": 1772359201000}, 1),
    ({"events": [CLICK], "sent_at": None}, 1)])
def test_one_object_an_array_and_an_envelope_are_taken(client, body, records):
    assert stored(client.post("/v1/events", body)) == (records, records, 0, 0)


def test_one_object_a_line_is_taken_with_blank_lines_between(client):
    body = "\n".join([json.dumps(CLICK), "", json.dumps({**CLICK, "item_id": "i-2"}), ""])

    assert stored(client.post("/v1/events", content=body, headers={"content-type": "application/x-ndjson"})) == (
        2, 2, 0, 0)


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "application/json; charset=utf-8"])
def test_a_beacon_s_plain_text_is_json(client, kind):
    body = b"\xef\xbb\xbf" + json.dumps({"events": [CLICK]}).encode()

    assert stored(client.post("/v1/events", content=body, headers={"content-type": kind})) == (1, 1, 0, 0)


@pytest.mark.parametrize("packed, pack", [
    ("gzip", gzip.compress), ("deflate", zlib.compress),
    ("zstd", lambda data: pa.Codec("zstd").compress(data, asbytes=True)),
    ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]))])
def test_a_packed_body_is_unpacked(client, packed, pack):
    body = pack(json.dumps(events(20)).encode())

    assert stored(client.post("/v1/events", content=body, headers={
        "content-encoding": packed, "content-type": "application/json"})) == (20, 20, 0, 0)


def test_each_record_that_was_not_plainly_stored_is_told_with_its_place_and_reason(client):
    one = events(1)[0]
    reply = client.post("/v1/events", [one, one, {**one, "item_id": "i-9"}, {"event": "view_item"}, 3])

    assert stored(reply) == (5, 1, 1, 3)
    told = reply.json()["results"]
    assert [(entry["index"], entry["outcome"], entry["reason"]) for entry in told[:2]] == [
        (1, "duplicate", None), (2, "quarantined", "conflict")]
    assert [entry["index"] for entry in told] == [1, 2, 3, 4]
    assert all(entry["detail"] for entry in told[1:])


def test_verbose_lists_every_record_with_the_id_that_it_got(client):
    reply = client.post("/v1/events?verbose=1", [events(1)[0], {"a": 1}, CLICK])

    told = reply.json()["results"]
    assert [entry["outcome"] for entry in told] == ["stored", "quarantined", "stored"]
    assert told[0]["event_id"] == "click-0"
    assert len(told[2]["event_id"]) == 32


def test_reasons_are_told_in_the_reader_s_language(client):
    told = [client.post("/v1/events", {"a": 1}, headers={"accept-language": language}).json()["results"][0]["detail"]
            for language in ("zh-CN,zh;q=0.9", "en")]

    assert told[0] != told[1]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in told[0])


def test_what_was_posted_is_in_the_next_answer(folding, folder):
    before = account(folder)["stored"]
    folding.post("/v1/events", events(30))

    rows = folding.get("/v1/ledger/account").json()["answer"]

    assert sum(row["stored"] for row in rows) == before + 30


def test_a_repeated_request_stores_nothing_twice_before_and_after_a_fold(folding, folder):
    before = account(folder)
    assert stored(folding.post("/v1/events", [CLICK, *events(5)])) == (6, 6, 0, 0)
    assert stored(folding.post("/v1/events", [CLICK, *events(5)])) == (6, 0, 6, 0)
    folding.run(folding.service.fold())
    assert stored(folding.post("/v1/events", [CLICK, *events(5)])) == (6, 0, 6, 0)
    folding.run(folding.service.fold())

    after = account(folder)
    assert {name: after[name] - before[name] for name in after} == {
        "received": 18, "stored": 6, "duplicate": 12, "quarantined": 0}


def test_many_at_once_are_each_stored_once(folding, folder):
    before = account(folder)["stored"]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda n: folding.post("/v1/events", events(20, 20 * (n // 2))), range(40)))

    assert sum(reply.json()["stored"] for reply in replies) == 400
    assert sum(reply.json()["duplicate"] for reply in replies) == 400
    folding.run(folding.service.fold())
    assert account(folder)["stored"] == before + 400


@pytest.mark.parametrize("body, kind, status", [
    ("", "application/json", 400), ("{", "application/json", 400), ("nonsense", "application/json", 400),
    ('"text"', "application/json", 400), ("3", "application/json", 400), ('{"events": 3}', "application/json", 400),
    ('{"events": [1,}', "application/json", 400), ('[{"a":1}', "application/json", 400),
    ('{"events": [], "sent_at": "soon"}', "application/json", 400),
    ('{"events": [], "sent_at": -5}', "application/json", 400),
    ('{"events": [], "sent_at": 1e300}', "application/json", 400),
    ('{"events": [], "sent_at": []}', "application/json", 400), ("[" * 100_000, "application/json", 400),
    ('{"a":' * 100_000, "application/json", 400), ('{"a": 1\n"b": 2}', "application/x-ndjson", 400),
    ("[1]", "application/xml", 415), ("a=1", "application/x-www-form-urlencoded", 415), ("\x00", "text/plain", 400)])
def test_what_is_no_json_is_refused_in_three_parts_and_nothing_is_stored(client, body, kind, status):
    reply = client.post("/v1/events", content=body.encode(), headers={"content-type": kind})

    assert reply.status_code == status
    assert set(reply.json()) == {"refusal", "what", "try", "why"}
    assert client.service.metrics.records["received"] == 0


@pytest.mark.parametrize("body", [b"[\xff\xfe]", b'{"event": "\xc3\x28"}'])
def test_bytes_that_are_no_utf_8_are_refused_or_quarantined_and_never_stored(client, body):
    reply = client.post("/v1/events", content=body, headers={"content-type": "application/json"})

    assert reply.status_code == 400 or reply.json()["stored"] == 0


def test_halves_of_records_on_two_lines_do_not_become_one(client):
    reply = client.post("/v1/events", content=b'{"event":"view_item"\n"item_id":"i-1"}',
                        headers={"content-type": "application/x-ndjson"})

    assert reply.status_code == 400
    assert "line 1" in reply.json()["what"]


@pytest.mark.parametrize("packed", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_refused_before_it_fills_the_memory(client, packed):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress,
            "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True)}[packed]
    bomb = pack(b" " * (64 << 20))

    reply = client.post("/v1/events", content=bomb, headers={"content-encoding": packed})

    assert len(bomb) < 1 << 20
    assert reply.status_code == 413
    assert reply.json()["refusal"] == "TooLarge"


@pytest.mark.parametrize("packed, body, status", [
    ("gzip", b"[]", 400), ("gzip", gzip.compress(b"[]" * 999)[:-9], 400), ("br", b"[]", 415), ("zstd", b"[]", 400),
    ("gzip, gzip", gzip.compress(b"[]"), 415)], ids=["no gzip", "cut", "unknown", "no zstd", "twice"])
def test_what_cannot_be_unpacked_is_refused(client, packed, body, status):
    reply = client.post("/v1/events", content=body, headers={"content-encoding": packed})

    assert reply.status_code == status


def test_a_body_over_the_bound_is_refused_whether_its_length_is_told_or_not(folder):
    with served(folder, settings=Settings(body_bytes=1000)) as client:
        told = client.post("/v1/events", content=b" " * 1001)

        async def stream():
            for _ in range(11):
                yield b" " * 100

        streamed = client.post("/v1/events", content=stream())

    assert (told.status_code, streamed.status_code) == (413, 413)


def test_more_records_than_are_taken_at_once_are_refused(folder):
    with served(folder, settings=Settings(records=10)) as client:
        assert client.post("/v1/events", events(11)).status_code == 413
        assert stored(client.post("/v1/events", events(10))) == (10, 10, 0, 0)


def test_a_record_that_is_too_large_is_quarantined_and_the_others_are_stored(client):
    huge = {**CLICK, "event_id": "huge", "note": "x" * (1 << 20)}

    reply = client.post("/v1/events", [huge, *events(2)])

    assert stored(reply) == (3, 2, 0, 1)
    assert reply.json()["results"][0]["reason"] == "too_large"


def test_a_parameter_that_is_not_known_is_refused_by_name(client):
    reply = client.post("/v1/events?verbos=1", [])

    assert reply.status_code == 400
    assert "'verbos'" in reply.json()["what"]
    assert reply.json()["try"] == ["verbose"]


class Failing(Disk):
    """A disk that can be told to fail."""

    def __init__(self) -> None:
        self.broken = False

    def sync(self, *given, **more):
        if self.broken:
            raise OSError(5, "Input/output error")
        return super().sync(*given, **more)


def test_a_disk_that_takes_no_more_is_a_503_and_nothing_was_acknowledged(folder):
    disk = Failing()
    before = account(folder)["stored"]
    with served(folder, disk=disk) as client:
        assert stored(client.post("/v1/events", events(3))) == (3, 3, 0, 0)
        disk.broken = True
        failed = client.post("/v1/events", events(3, 10))
        disk.broken = False
        again = client.post("/v1/events", events(3, 10))

    assert failed.status_code == 503
    assert failed.json()["refusal"] == "NotWritten"
    assert stored(again) == (3, 3, 0, 0)
    assert account(folder)["stored"] == before + 6


def test_a_sender_cannot_say_when_its_record_came_in_and_so_not_move_the_clock(folding):
    before = folding.service.shop.now()
    far = {**CLICK, "event_id": "far", "ts": "2098-01-01T00:00:00Z", "received_at": "2098-01-02T00:00:00Z"}

    assert folding.post("/v1/events", far).json()["stored"] == 1
    folding.get("/v1/ledger/account")

    assert folding.service.shop.now() == before


def test_half_a_character_spoils_only_its_own_record_and_the_answer_names_it(client):
    good = msgspec.json.encode({**CLICK, "event_id": "good"}).decode()
    for body in (f'[{good}, {{"event_id": "half", "event": "search", "query": "\\ud83d"}}]',
                 f'{{"events": [{good}, {{"event_id": "half", "event": "search", "query": "\\ud83d"}}]}}'):
        found = client("POST", "/v1/events", content=body.encode(), headers={"content-type": "application/json"}).json()

        assert found["quarantined"] == 1
        assert found["stored"] + found["duplicate"] == 1
        told = next(one for one in found["results"] if one["outcome"] == "quarantined")
        assert (told["index"], told["reason"]) == (1, "surrogate")


def test_a_record_that_is_set_aside_is_named_by_its_id(client):
    found = client.post("/v1/events", {**CLICK, "event_id": "odd", "event": "no_such_kind"}).json()

    assert found["results"][0]["event_id"] == "odd"
