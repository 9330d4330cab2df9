"""What is surely clean: whatever is accepted at once, the cleaner accepts too, and says the same of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.taking import KEYS, RECEIVED
from examples import bounded
from shopkeeper.errors import BadInput
from shopkeeper.events.arrivals import Requests, judge_events, judge_rows
from shopkeeper.events.entrance import Fast, split
from shopkeeper.events.schema import KINDS
from shopkeeper.warehouse.journal import Arrived
from shopkeeper.warehouse.judging import Reader

SOURCE = "http:shop"
READER = Reader(KINDS, KEYS, 10_000)
VIEW = {"event_id": "e1", "event": "view_item", "ts": "2026-10-01T10:00:00.250Z", "customer_id": "ann",
        "item_id": "tea"}
TS = 1_790_848_800_250_000  # of VIEW
BUY = {"event_id": "b1", "event": "purchase", "client_ts": "2026-10-01T10:00:00Z", "anonymous_id": "v-1",
       "order_id": "o1", "currency": "EUR",
       "items": [{"item_id": "tea", "quantity": 2, "price": 4.5}, {"item_id": "cup", "quantity": 1, "price": 9}]}


def body(*records, **how):
    return json.dumps(list(records), **how).encode()


def fast(*records, sent_at=None, kinds=KINDS):
    return Fast(kinds).request(body(*records, separators=(",", ":")), RECEIVED, sent_at)


class Slow(Fast):
    """Nothing is surely clean: the cleaner judges every record."""

    def request(self, records, received_at, sent_at):
        return None

    def each(self, texts, received_at, sent_at):
        return [None] * len(texts)


def by_cleaner(arrived):
    """What the cleaner says of a request: place -> event, place -> reason."""
    reader = replace(READER)
    reader.fast = Slow(KINDS)
    read = reader.read(arrived)
    return dict(zip(read.which, read.events, strict=True)), {one.index: one.reason for one in read.verdicts}


def test_a_plain_event_is_accepted_at_once_with_its_ids_time_and_item():
    (event,) = fast({**VIEW, "session_id": "s", "request_id": "r", "anonymous_id": "v", "price": 2, "currency": "EUR"})
    assert (event.event_id, event.event, event.ts, event.customer_id, event.anonymous_id) == (
        "e1", "view_item", TS, "ann", "v")
    assert (event.session_id, event.request_id, event.order_id, event.items) == ("s", "r", None, ("tea",))


def test_a_purchase_of_many_items_is_accepted_at_once():
    (event,) = fast(BUY, sent_at=RECEIVED)
    assert event.items == ("tea", "cup")
    assert event.order_id == "o1"


def test_the_senders_clock_is_corrected_by_the_requests_two_clocks():
    hour = 3_600_000_000
    slow = {**VIEW, "ts": None, "client_ts": "2026-10-01T10:00:00.250Z"}
    assert fast(slow, sent_at=RECEIVED - hour)[0].ts == TS + hour
    assert fast(slow)[0].ts == TS
    assert fast(VIEW, sent_at=RECEIVED - hour)[0].ts == TS
    own = {**slow, "sent_at": "2027-01-15T07:00:00Z"}  # RECEIVED is 08:00 of that day
    assert fast(own, sent_at=RECEIVED)[0].ts == TS + hour


@pytest.mark.parametrize(("stamp", "micros"), [
    ("2026-10-01T10:00:00Z", 1_790_848_800_000_000), ("2026-10-01T10:00:00.250Z", TS), (1_790_848_800, TS - 250_000),
    ("2026-10-01T10:00:00.250001Z", TS + 1), (1_790_848_800_250, TS), (1_790_848_800_250_001, TS + 1)])
def test_the_plain_forms_of_a_time_are_read_at_once(stamp, micros):
    assert fast({**VIEW, "ts": stamp})[0].ts == micros


ODD = [{"event_id": ""}, {"event_id": None}, {"event_id": " e1"}, {"event": "nonsense"}, {"event": " view_item"},
       {"ts": "yesterday"}, {"ts": "01/02/2026"}, {"ts": "2026-10-01T24:00:00Z"}, {"ts": "1969-01-01T00:00:00Z"},
       {"ts": "2026-10-01T10:00:00+01:00"}, {"ts": None}, {"customer_id": ""}, {"customer_id": "ann "},
       {"customer_id": "a\nb"}, {"customer_id": "x" * 129}, {"item_id": None}, {"item_id": {"id": "tea"}},
       {"price": -1, "currency": "EUR"}, {"price": 1}, {"price": 1, "currency": "EURO"}, {"line": 1}, {"quantity": -1},
       {"Item-ID": "cup"}, {"a.b": 1}, {"nested": {"x": 1}}, {"items": [{"item_id": ""}]}, {"items": [{}]},
       {"query": "a\0b"}, {"currency": "e1"}, {"event": "purchase"}, {"received_at": "2026-10-01T10:00:00Z"}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_is_not_surely_clean_is_left_to_the_cleaner(odd):
    record = {**VIEW, **odd}
    assert (fast(record) or [None]) == [None]
    assert Fast(KINDS).each([json.dumps(record).encode()], RECEIVED, None) == [None]


def test_a_field_that_is_not_ours_does_not_keep_a_record_from_being_accepted_at_once():
    record = {**VIEW, "colour": "red", "size": 7, "gift": True, "note": None}
    assert fast(record) is None
    (event,) = Fast(KINDS).each([json.dumps(record).encode()], RECEIVED, None)
    assert event.event_id == "e1"


def test_ids_may_be_numbers():
    (event,) = fast({**VIEW, "event_id": 7, "customer_id": 0, "item_id": 12})
    assert (event.event_id, event.customer_id, event.items) == ("7", "0", ("12",))


@pytest.mark.parametrize("text", [b"", b"{}", b"[", b"[{}]x", b'"x"', b"\xff", b"[" * 5000])
def test_what_is_no_array_is_refused(text):
    with pytest.raises(BadInput):
        split(text)


KIND = st.sampled_from([*KINDS, "nonsense", "", None])
TEXT = st.one_of(st.sampled_from(["", " ", "a", " a", "a ", "a\tb", "x" * 128, "x" * 129, "\u00e9\u4e2d" * 60, "a\x7f",
                                  "a\0b", '"q"', "\\", "a\u00a0", "\u200b", "order:7", "null", "0"]),
                 st.text(max_size=6))
STAMP = st.one_of(st.sampled_from([
    "2026-10-01T10:00:00Z", "2026-10-01T10:00:00.250Z", "2026-10-01T10:00:00.250001Z", "2026-10-01 10:00:00",
    "2026-10-01T10:00:00+02:00", "2026-02-30T10:00:00Z", "1970-12-31T23:59:59Z", "2099-12-31T23:59:59.999Z",
    "2026-W40-4T10:00:00Z", "2026-10-01T24:00:00Z", "2026-10-01T10:00:60Z", "01/02/2026", "13/02/2026", "20261001",
    "", None, 1_790_848_800, 1_790_848_800_250, 1_790_848_800_250_001, 20261001, -5, 1.5, True, "\u0661"]),
    st.integers(0, 4 * 10**15), st.datetimes().map(lambda when: when.isoformat() + "Z"))
ID = st.one_of(TEXT, st.integers(-(2**70), 2**70), st.none(), st.booleans(),
               st.floats(allow_nan=False, allow_infinity=False),
               st.just({"x": "y"}), st.just(["z"]))
MONEY = st.one_of(st.none(), st.integers(-3, 10**20), st.floats(allow_nan=False, allow_infinity=False),
                  st.sampled_from(["1.5", "-1", "1,000", "", "x", True, [1], 1e13, 1e14, -0.0, -0.00001]))
ITEM = st.dictionaries(st.sampled_from(["item_id", "quantity", "price", "name", "props", "Price", "deep", "line"]),
                       st.one_of(ID, MONEY), max_size=4)
ITEMS = st.one_of(st.none(), st.lists(ITEM, max_size=3), st.just("x"), st.just({"item_id": "a"}),
                  st.lists(st.fixed_dictionaries({"item_id": st.sampled_from(["tea", "cup"]), "price": st.just(2)}),
                           min_size=1, max_size=3))
FIELDS = {"event_id": ID, "event": KIND, "ts": STAMP, "client_ts": STAMP, "sent_at": STAMP, "received_at": STAMP,
          "customer_id": ID, "anonymous_id": ID, "order_id": ID, "session_id": ID, "request_id": ID, "item_id": ID,
          "variant_id": ID, "quantity": MONEY, "price": MONEY, "list_price": MONEY, "value": MONEY, "tax": MONEY,
          "position": MONEY, "currency": st.sampled_from(["EUR", "eur", "E", "", "EURO", "e r", "\u00dfab", None, 5]),
          "items": ITEMS, "line": st.sampled_from([None, 0, 1, "x"]), "query": TEXT, "url": TEXT, "text": ID,
          "colour": ID, "Item-ID": ID, "customer.id": TEXT, "user": st.just({"id": "u"}), "": TEXT, "traffic": TEXT}
ODDITIES = st.dictionaries(st.sampled_from(list(FIELDS)), st.none(), max_size=4).flatmap(
    lambda keys: st.fixed_dictionaries({key: FIELDS[key] for key in keys}))
RECORD = st.one_of(ODDITIES.map(lambda odd: {**VIEW, **odd}), ODDITIES.map(lambda odd: {**BUY, **odd}), ODDITIES)


@settings(max_examples=bounded(400), deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, (",", ":")]),
       st.sampled_from([None, RECEIVED, RECEIVED - 5_000_000, 0, -(10**17)]))
def test_whatever_is_accepted_at_once_the_cleaner_accepts_with_the_same_time_ids_and_items(
        records, ascii_only, separators, sent_at):
    text = body(*records, ensure_ascii=ascii_only, separators=separators)
    arrived = Arrived(text, SOURCE, RECEIVED, sent_at)
    events, _ = by_cleaner(arrived)
    at_once = Fast(KINDS).request(text, RECEIVED, sent_at) or []
    one_by_one = Fast(KINDS).each(split(text), RECEIVED, sent_at)
    for found in (at_once, one_by_one):
        for place, event in enumerate(found):
            assert event is None or event == events[place]


@settings(max_examples=bounded(100), deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=6))
def test_fast_and_slow_together_say_of_every_record_what_the_cleaner_alone_says(records):
    arrived = Arrived(body(*records), SOURCE, RECEIVED, RECEIVED)
    read = READER.read(arrived)
    events, reasons = by_cleaner(arrived)
    assert dict(zip(read.which, read.events, strict=True)) == events
    assert {one.index: one.reason for one in read.verdicts} == reasons
    assert read.received == len(records) == len(events) + len(reasons)


@settings(max_examples=bounded(60), deadline=None)
@given(st.lists(RECORD, min_size=2, max_size=6))
def test_what_stands_around_a_record_changes_nothing_of_what_becomes_of_it(records):
    together = judge_events(Requests.of([json.dumps(one).encode() for one in records], RECEIVED, None), SOURCE, KINDS,
                            KEYS)
    for place, record in enumerate(records):
        alone = judge_events(Requests.of([json.dumps(record).encode()], RECEIVED, None), SOURCE, KINDS, KEYS)
        rows = [row for row, which in zip(together.rows.to_pylist(), together.row_record, strict=True)
                if which == place]
        for row in rows:
            row.update(record=0, source_line=1)
        assert rows == alone.rows.to_pylist()
        kept = [(row["reason"], row["field"], row["record"]) for row, which in
                zip(together.rejected.to_pylist(), together.rejected_record, strict=True) if which == place]
        assert kept == [(row["reason"], row["field"], row["record"]) for row in alone.rejected.to_pylist()]


def test_a_rejected_record_is_kept_as_it_was_written_with_its_place():
    texts = [json.dumps(VIEW).encode(), b'{"event": "view_item",  "ts": 1}']
    judged = judge_events(Requests.of(texts, RECEIVED, None), SOURCE, KINDS, KEYS)
    (row,) = judged.rejected.to_pylist()
    assert (row["file"], row["source_line"], row["record"]) == (SOURCE, 2, texts[1].decode())


def test_a_record_without_an_id_has_the_same_name_whenever_its_request_is_sent():
    nameless = {**VIEW, "event_id": None, "ts": None, "client_ts": "2026-10-01T10:00:00Z"}
    texts = [json.dumps(nameless).encode()]
    names = [judge_events(Requests.of(texts, RECEIVED + n, RECEIVED), SOURCE, KINDS, KEYS).rows["event_id"][0].as_py()
             for n in (0, 10**9)]
    assert names[0] == names[1]


def test_rows_of_a_table_are_judged_one_by_one():
    texts = [b'{"item_id": "a", "price": 2}', b'{"price": 3}', b'{"Item-ID": "b", "colour": "red"}', b"5"]
    judged = judge_rows(Requests.of(texts, RECEIVED, None), "items", SOURCE, KEYS)
    assert judged.row_record.tolist() == [0, 2]
    assert judged.rows["item_id"].to_pylist() == ["a", "b"]
    assert sorted(judged.rejected["reason"].to_pylist()) == ["missing_key", "not_object"]


@pytest.mark.parametrize("start", ["01/02/2026", "x"])
def test_a_time_that_cannot_be_read_keeps_no_row_of_a_table_from_being_stored(start):
    texts = [json.dumps({"campaign_id": "c", "start": start}).encode(), b'{"campaign_id": "d", "start": "2026-01-02"}']
    judged = judge_rows(Requests.of(texts, RECEIVED, None), "campaigns", SOURCE, KEYS)
    assert judged.rows["campaign_id"].to_pylist() == ["c", "d"]
    assert json.loads(judged.rows["props"][0].as_py()) == {"start": start}
