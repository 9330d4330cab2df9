import json
from collections import Counter
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.taking import BUY, KEYS, RECEIVED, VIEW, clean, digests, reasons, rows
from examples import bounded
from shopkeeper.errors import BadMapping
from shopkeeper.events.cleaning import TableCleaner
from shopkeeper.events.mapping import Mapping, table_plan
from shopkeeper.events.pseudonyms import pseudonym
from shopkeeper.events.readers import from_records
from shopkeeper.events.schema import EVENTS, KINDS

hostile = st.one_of(
    st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(), st.text(max_size=12),
    st.sampled_from(["2026-10-01", "purchase", "view_item", "EUR", "1e400", "-1", "99999999999999.99999", "[]", "{}",
                     '[{"item_id":"a","price":-1}]', '[{"item_id":"a"},{"item_id":2,"quantity":"x"}]', "\x00", "\x1b"]))
names = st.sampled_from([*EVENTS.names, "items", "odd"])


@settings(deadline=None, max_examples=bounded(60))
@example([{"line": -2147483649}])
@given(st.lists(st.dictionaries(names, hostile, max_size=8), min_size=1, max_size=8))
def test_hostile_records_are_accepted_or_rejected_each_exactly_once(records):
    found = clean([{**VIEW, "line": 0, "currency": "EUR"}, *records], Mapping(currency="EUR"))

    accepted, rejected = found.events["record"].unique(), found.rejected
    assert found.received == len(records) + 1 == len(accepted) + rejected.num_rows
    lines = set(found.events["source_line"].to_pylist())
    assert not lines & set(rejected["source_line"].to_pylist())
    assert pc.all(pc.is_valid(found.events["event_id"])).as_py()


def test_a_rejected_record_keeps_its_line_and_its_original_as_it_came():
    found = clean([VIEW, {**VIEW, "ts": "  Yesterday", "odd": "ünï"}]).rejected.to_pylist()

    assert [(row["source_line"], row["file"]) for row in found] == [(2, "log")]
    assert json.loads(found[0]["record"]) == {**VIEW, "ts": "  Yesterday", "odd": "ünï"}


def test_what_was_not_mapped_is_kept_verbatim():
    assert rows({**VIEW, "store": "Ü 7", "week": 1})[0]["props"] == '{"store":"Ü 7","week":"1"}'


def test_cells_that_cannot_be_read_are_kept_by_their_own_name_and_counted():
    found = clean([{**VIEW, "stars": "five", "position": "1"}, {**VIEW, "stars": "5", "position": "first"}],
                  Mapping(columns={"rating": "stars"}))

    assert found.unread == Counter(rating=1, position=1)
    assert found.events["props"].to_pylist() == ['{"stars":"five"}', '{"position":"first"}']
    assert found.events["rating"].to_pylist() == [None, 5.0]


def test_a_constant_fills_the_whole_source():
    assert rows({"ts": "2026-10-01", "customer_id": "ann", "item_id": "tea"},
                mapping=Mapping(constants={"event": "view_item"}))[0]["event"] == "view_item"


def test_kinds_are_put_into_our_words():
    found = rows({**VIEW, "event": "pv"}, {**VIEW, "event": "view_item"}, mapping=Mapping(kinds={"pv": "view_item"}))

    assert [row["event"] for row in found] == ["view_item", "view_item"]


def test_a_mapping_onto_a_kind_that_was_not_declared_is_refused():
    for mapping in (Mapping(kinds={"x": "play"}), Mapping(constants={"event": "play"})):
        with pytest.raises(BadMapping) as refusal:
            clean([VIEW], mapping)
        assert str(refusal.value) == (
            "'play' is not a declared kind of event.\n"
            f"  Try:  one of: {', '.join(sorted(KINDS))}\n"
            "  Try:  or declare it in shop.toml under [kinds], with its role: play = 'interest'\n"
            "  Why:  questions work on the roles that kinds play.")
    assert clean([{**VIEW, "event": "play"}], kinds={**KINDS, "play": "interest"}).events.num_rows == 1


def test_currencies_are_upper_case_whether_given_or_assumed():
    found = rows({**VIEW, "currency": "usd", "price": 1}, {**VIEW, "currency": None, "price": 1},
                 mapping=Mapping(currency="eur"))

    assert [row["currency"] for row in found] == ["USD", "EUR"]


# ---- clocks


def test_a_sender_with_a_wrong_clock_is_put_right_by_when_it_was_sent_and_received():
    slow = {**VIEW, "ts": None, "client_ts": "2026-10-01 10:00", "sent_at": "2026-10-01 10:05",
            "received_at": "2026-10-01 12:05"}

    found = rows(slow, {**slow, "sent_at": None}, {**slow, "received_at": None}, {**slow, "ts": "2026-10-03"})

    assert [row["ts"] for row in found] == [datetime(2026, 10, 1, 12), *[datetime(2026, 10, 1, 10)] * 2,
                                            datetime(2026, 10, 3)]
    assert found[0]["client_ts"] == datetime(2026, 10, 1, 10)


def test_what_does_not_say_when_it_was_received_was_received_with_the_import():
    found = clean([VIEW, {**VIEW, "received_at": "2026-10-02"}]).events["received_at"].cast("int64").to_pylist()

    assert found == [RECEIVED, 1_790_899_200_000_000]


@pytest.mark.parametrize("record", [
    {"client_ts": "noon"}, {"client_ts": "2026-10-01", "sent_at": "2099-01-01", "received_at": "1972-01-01"}])
def test_a_clock_that_cannot_be_right_is_a_bad_time(record):
    assert reasons({**VIEW, "ts": None, **record}) == [("bad_time", "ts")]


def test_a_retry_with_other_clocks_has_the_same_body_and_another_moment_has_not():
    first = {**VIEW, "ts": None, "client_ts": "2026-10-01 10:00", "sent_at": "2026-10-01 10:01",
             "received_at": "2026-10-01 10:02"}
    retry = {**first, "sent_at": "2026-10-01 11:00", "received_at": "2026-10-01 11:07"}
    other = {**first, "client_ts": "2026-10-01 10:00:01"}

    one, two, three = digests([first, retry, other])

    assert one == two != three


# ---- bodies


def test_a_body_does_not_depend_on_the_batch_the_order_of_columns_or_the_types_of_the_file():
    record = {**BUY, "price": "1.50", "quantity": "2", "week": "1", "flag": "true", "note": "x"}
    turned = dict(reversed(record.items()))
    typed = pa.table({**{name: [cell] for name, cell in record.items()}, "price": [Decimal("1.5")], "quantity": [2.0],
                      "week": [1], "flag": [True]})
    beside = {**BUY, "event_id": "e2", "line": 0, "items": [{"item_id": "a", "c": 1}], "a first": "?"}

    alone = digests([record])[0]

    assert digests([turned]) == digests(typed) == [alone]
    assert alone in digests([beside, record])


@pytest.mark.parametrize("change", [
    {"item_id": "oil"}, {"odd": "x"}, {"customer_id": "bob"}, {"ts": "2026-10-01T10:00:01Z"}, {"price": "9"},
    {"items": [{"item_id": "tea"}, {"item_id": "oil"}]}, {"event": "view_item"}, {"anonymous_id": "d"}])
def test_another_body_has_another_digest(change):
    base = {**BUY, "odd": "y", "price": "1"}

    assert not set(digests([base])) & set(digests([{**base, **change}]))


def test_a_record_without_an_id_is_named_after_its_content_and_its_source():
    nameless = {**VIEW, "event_id": None}

    one, two, other = (row["event_id"] for row in rows(nameless, nameless, {**nameless, "item_id": "oil"}))
    elsewhere = rows(nameless, mapping=Mapping(source="pos"))[0]["event_id"]

    assert one == two
    assert len({one, other, elsewhere}) == 3


# ---- people and orders


def test_raw_identities_become_pseudonyms_and_the_vault_is_told():
    found = clean([{**VIEW, "anonymous_id": "d-7"}])
    row = found.events.to_pylist()[0]

    assert row["customer_id"] == pseudonym("ann", "customer_id", KEYS.pseudonym)
    assert row["anonymous_id"] == pseudonym("d-7", "anonymous_id", KEYS.pseudonym)
    assert {(pair["pseudonym"], pair["identity"]) for pair in found.identities.to_pylist()} == {
        (row["customer_id"], "ann"), (row["anonymous_id"], "d-7")}


def test_an_order_of_nobody_is_a_guests_and_an_order_of_somebody_is_not():
    found = rows({**BUY, "customer_id": None}, {**BUY, "order_id": "o2"})

    assert found[0]["anonymous_id"] == "order:o1"
    assert "customer_id" not in found[0]
    assert "anonymous_id" not in found[1]


def test_by_the_rule_customer_minute_the_lines_of_one_person_in_one_minute_are_one_order():
    lines = [{**BUY, "event_id": str(n), "order_id": order, "ts": ts, "customer_id": who, "event": event}
             for n, (who, ts, order, event) in enumerate([
                 ("ann", "2026-10-01 10:00:00", None, "purchase"), ("ann", "2026-10-01 10:00:59", None, "purchase"),
                 ("ann", "2026-10-01 10:01:00", None, "purchase"), ("bob", "2026-10-01 10:00:00", None, "purchase"),
                 ("ann", "2026-10-01 10:00:00", "own", "purchase"), ("ann", "2026-10-01 10:00:00", None, "view_item")])]

    found = [row.get("order_id") for row in rows(*lines, mapping=Mapping(order_rule="customer-minute"))]

    assert found[0] == found[1]
    assert len(set(found[:4])) == 3
    assert found[4:] == ["own", None]
    assert "ann" not in found[0]


def test_an_order_of_nobody_cannot_be_made_by_the_minute():
    assert reasons({**BUY, "order_id": None, "customer_id": None}, {**BUY, "order_id": None, "anonymous_id": "d"},
                   mapping=Mapping(order_rule="customer-minute")) == [("missing_identity", "customer_id")]


def test_an_address_is_stored_as_its_network_and_what_is_none_is_not_stored():
    found = rows({**VIEW, "ip_prefix": "203.0.113.77"}, {**VIEW, "ip_prefix": "me"})

    assert [row.get("ip_prefix") for row in found] == ["203.0.113.0/24", None]


# ---- derived cells


def test_price_from_value_and_value_from_price_are_filled_and_counted():
    found = clean([{**BUY, "value": 5, "quantity": 2}, {**BUY, "price": "2.5", "quantity": 3},
                   {**BUY, "price": 2, "value": 9, "quantity": 3}, {**BUY, "price": 2},
                   {**BUY, "value": 5, "quantity": 0}, {**VIEW, "price": 2, "quantity": 1, "currency": "EUR"}])

    assert found.events.select(["price", "value"]).to_pylist() == [
        {"price": Decimal("2.5000"), "value": Decimal("5.0000")},
        {"price": Decimal("2.5000"), "value": Decimal("7.5000")},
        {"price": Decimal("2.0000"), "value": Decimal("9.0000")},
        {"price": Decimal("2.0000"), "value": Decimal("2.0000")},
        {"price": None, "value": Decimal("5.0000")}, {"price": Decimal("2.0000"), "value": None}]
    assert found.derived == Counter(price_from_value=1, value_from_price=2)


def test_a_record_that_says_its_line_gets_no_value_of_an_order_from_its_price():
    found = clean([{**BUY, "line": 0, "price": 2, "quantity": 3}, {**BUY, "line": None, "price": 2, "quantity": 3}])

    assert found.events["value"].to_pylist() == [None, Decimal("6.0000")]


def test_money_too_large_for_its_column_is_left_empty_and_fails_nothing():
    found = clean([{**BUY, "price": "9e13", "quantity": "1e300"}, {**BUY, "value": "9e13", "quantity": "1e-300"}])

    assert found.events.select(["price", "value"]).to_pylist() == [
        {"price": Decimal("90000000000000.0000"), "value": None},
        {"price": None, "value": Decimal("90000000000000.0000")}]
    assert found.derived == Counter()


# ---- the other tables


def table(name, *records, mapping=None):
    batch = next(iter(from_records(list(records))))
    fitted = table_plan(mapping or Mapping(), name, batch.table.column_names, "t")
    return TableCleaner(fitted, name, KEYS, "t").clean(batch)


def test_a_row_of_a_table_is_typed_and_what_has_no_column_is_kept():
    found = table("items", {"item_id": "tea", "price": "2.5", "size": "L", "cost": "cheap"}, {"item_id": "oil"},
                  mapping=Mapping(constants={"brand": "Acme"}))

    assert found.events.select(["item_id", "price", "brand", "props"]).to_pylist() == [
        {"item_id": "tea", "price": Decimal("2.5000"), "brand": "Acme", "props": '{"cost":"cheap","size":"L"}'},
        {"item_id": "oil", "price": None, "brand": "Acme", "props": None}]
    assert found.unread == Counter(cost=1)


@pytest.mark.parametrize("name, record, reason, field", [
    ("items", {"item_id": " "}, "missing_key", "item_id"), ("items", {"item_id": "i" * 513}, "id_too_long", "item_id"),
    ("items", {"item_id": "a\x07"}, "control_characters", "item_id"),
    ("items", {"item_id": "a", "price": -1}, "negative_price", "price"),
    ("campaigns", {"campaign_id": "a", "face_value": -1}, "negative_price", "face_value"),
    ("customers", {"customer_id": None, "age": "40"}, "missing_key", "customer_id")])
def test_a_row_of_a_table_that_breaks_a_rule_is_quarantined_with_its_line(name, record, reason, field):
    good = {"customers": {"customer_id": "ann"}, "campaigns": {"campaign_id": "c"}}.get(name, {"item_id": "tea"})
    found = table(name, good, record)

    assert found.events.num_rows == 1
    assert [(row["reason"], row["field"], row["source_line"]) for row in found.rejected.to_pylist()] == [
        (reason, field, 2)]


def test_customers_are_pseudonyms_in_their_table_too():
    found = table("customers", {"customer_id": "ann", "age": 40})

    assert found.events["customer_id"].to_pylist() == [pseudonym("ann", "customer_id", KEYS.pseudonym)]
    assert found.identities["identity"].to_pylist() == ["ann"]
