import json
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.taking import BUY, VIEW, clean, digests, reasons
from examples import bounded
from shopkeeper.events.items import MOST_ITEMS, MOST_REPEATED, in_parts
from shopkeeper.events.readers import from_records

ORDER = {name: cell for name, cell in BUY.items() if name != "item_id"}
money = st.integers(0, 10**7).map(lambda n: Decimal(n) / 100)
items = st.fixed_dictionaries({"item_id": st.sampled_from("abc")},
                              optional={"price": money.map(str), "quantity": st.integers(1, 9), "odd": st.text("xy")})
orders = st.fixed_dictionaries({"items": st.lists(items, min_size=1, max_size=4)},
                               optional={"value": money.map(str), "tax": money.map(str), "page": st.text("pq")})


def order_value(order):
    """What an order states, else what its items add up to, else nothing."""
    if "value" in order:
        return Decimal(order["value"])
    if all({"price", "quantity"} <= item.keys() for item in order["items"]):
        return sum(Decimal(item["price"]) * item["quantity"] for item in order["items"])
    return None


@settings(deadline=None, max_examples=bounded(60))
@given(st.lists(orders, min_size=1, max_size=6))
def test_summing_every_row_gives_the_orders_money_once_and_their_units_once(orders):
    records = [{**ORDER, "event_id": str(n), "order_id": str(n), **order} for n, order in enumerate(orders)]

    found = clean(records).events.to_pylist()

    for n, order in enumerate(orders):
        mine = [row for row in found if row["event_id"] == str(n)]
        value, units = order_value(order), sum(item.get("quantity", 0) for item in order["items"])
        assert sum(row["value"] for row in mine if row["value"] is not None) == (value or 0)
        assert sum(row["tax"] for row in mine if row["tax"] is not None) == Decimal(order.get("tax", 0))
        assert sum(row["quantity"] or 0 for row in mine) == units
        assert [row["item_id"] for row in mine if row["item_id"]] == [item["item_id"] for item in order["items"]]
        several = len(order["items"]) > 1
        assert sorted(row["line"] for row in mine) == list(range(len(order["items"]) + 1 if several else 1))
        assert all(row["value"] is row["tax"] is row["shipping"] is row["discount"] is None
                   for row in mine if row["line"])
        assert len({(row["ts"], row["customer_id"], row["order_id"], row["record"]) for row in mine}) == 1


def test_an_order_with_several_items_is_a_header_and_a_line_for_each():
    found = clean([{**ORDER, "page": "7", "items": [{"item_id": "a", "price": 1.5, "quantity": 2, "gift": True},
                                                    {"item_id": "b", "price": 1, "quantity": 1}]}])
    lines = found.events.select(["line", "item_id", "price", "quantity", "value", "props"]).to_pylist()

    assert [tuple(row.values()) for row in lines] == [
        (0, None, None, None, Decimal("4.0000"), '{"page":"7"}'),
        (1, "a", Decimal("1.5000"), 2.0, None, '{"gift":"true"}'), (2, "b", Decimal("1.0000"), 1.0, None, None)]
    assert found.derived == Counter(value_from_items=1)
    assert found.received == 1


def test_an_only_item_stands_on_line_0_with_the_money_of_its_order():
    found = clean([{**ORDER, "items": [{"item_id": "a", "price": 2, "quantity": 3}]}])
    row = found.events.to_pylist()[0]

    assert (row["line"], row["item_id"], row["value"]) == (0, "a", Decimal("6.0000"))
    assert found.derived == Counter(value_from_items=1)


def test_an_only_item_takes_over_what_the_record_says_and_nothing_that_was_said_is_lost():
    record = {**ORDER, "price": 5, "position": 2, "quantity": 1, "colour": "red",
              "items": [{"item_id": "a", "quantity": 3, "colour": "blue", "size": "L"}]}
    row = clean([record]).events.to_pylist()[0]

    assert (row["price"], row["position"], row["quantity"]) == (Decimal("5.0000"), 2, 3.0)
    assert json.loads(row["props"]) == {"colour": "red", "quantity": "1", "items.colour": "blue", "size": "L"}


def test_what_a_header_of_several_items_says_of_an_item_is_kept_in_its_props_and_counts_nowhere():
    rows = clean([{**BUY, "quantity": 9, "items": [{"item_id": "a", "quantity": 1}, {"item_id": "b", "quantity": 2}]}])
    head, *lines = rows.events.to_pylist()

    assert (head["item_id"], head["quantity"]) == (None, None)
    assert json.loads(head["props"]) == {"item_id": "tea", "quantity": "9"}
    assert [row["quantity"] for row in lines] == [1.0, 2.0]


def test_cells_of_an_item_that_cannot_be_read_are_kept_and_counted():
    found = clean([{**ORDER, "items": [{"item_id": "a", "quantity": "many", "position": 1.5}, {"item_id": "b"}]}])

    assert found.unread == Counter(quantity=1, position=1)
    assert found.events["props"].to_pylist()[1] == '{"position":"1.5","quantity":"many"}'


@pytest.mark.parametrize("listed, reason, column", [
    ("none", "bad_items", "items"), ({"item_id": "a"}, None, None), ([1, 2], "bad_items", "items"),
    ([{"item_id": None}], "bad_items", "items"), ([{"item_id": "a"}, {"sku": "b"}], "bad_items", "items"),
    ([{"item_id": "a", "price": -1}], "negative_price", "price"), ([{"item_id": " "}], "bad_items", "items"),
    ([{"item_id": "a"}, {"item_id": "x" * 600}], "id_too_long", ""),
    ([{"item_id": "a"}, {"item_id": "b", "quantity": -1}], "negative_quantity", "quantity"),
    ([{"item_id": "a"}] * (MOST_ITEMS + 1), "too_many_items", "items")])
def test_a_record_with_an_item_that_breaks_a_rule_is_quarantined_whole(listed, reason, column):
    good = {**BUY, "event_id": "good"}

    assert reasons(good, {**BUY, "items": listed}) == ([(reason, column)] if reason else [])


def test_money_of_items_without_a_currency_is_quarantined():
    assert reasons({**ORDER, "currency": None, "items": [{"item_id": "a", "price": 1}]}) == [
        ("missing_currency", "currency")]


def test_an_empty_list_is_no_list():
    found = clean([{**BUY, "items": []}, {**VIEW, "event": "view_cart", "item_id": None, "items": []}])

    assert found.events["line"].to_pylist() == [0, 0]
    assert found.events["item_id"].to_pylist() == ["tea", None]


def test_text_that_every_line_would_repeat_is_bounded():
    large = {**ORDER, "text": "x" * (MOST_REPEATED // 100), "items": [{"item_id": "a"}] * 101}

    assert reasons(large) == [("too_many_items", "items")]
    assert clean([{**large, "items": large["items"][:90]}]).events.num_rows == 91


def test_a_batch_is_cut_so_that_its_lists_fit_and_no_record_is_lost():
    listed = [{"item_id": "a", "odd": "x" * 90_000}] * 10
    batch = next(iter(from_records([{**ORDER, "event_id": str(n), "items": listed} for n in range(9)])))

    parts = list(in_parts(batch, "items"))

    assert len(parts) > 3
    assert [line for part in parts for line in part.line.tolist()] == list(range(1, 10))
    assert [row for part in parts for row in part.table.to_pylist()] == batch.table.to_pylist()
    assert list(in_parts(batch, None)) == [batch]


def test_the_order_in_which_an_item_names_its_fields_is_no_other_body():
    one = {**ORDER, "items": [{"item_id": "a", "odd": "x", "price": "1"}, {"item_id": "b"}]}
    two = {**ORDER, "items": [{"price": "1", "odd": "x", "item_id": "a"}, {"item_id": "b"}]}
    other = {**ORDER, "items": [{"item_id": "a", "odd": "y", "price": "1"}, {"item_id": "b"}]}

    assert digests([one]) == digests([two])
    assert digests([one])[1] != digests([other])[1]
