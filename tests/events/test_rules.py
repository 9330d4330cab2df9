"""Each rule alone: a record that breaks it and nothing else is quarantined for it, under the column it is about."""

import pytest

from events.taking import BUY, VIEW, reasons, rows
from shopkeeper import Shop
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.rules import OTHER_REASONS, RULES, advice

EURO = {"currency": "EUR"}
BROKEN = [
    ("bad_time", "ts", {**VIEW, "ts": "yesterday"}), ("bad_time", "ts", {**VIEW, "ts": "1900-01-01"}),
    ("bad_time", "ts", {**VIEW, "ts": "2100-01-01"}), ("missing_time", "ts", {**VIEW, "ts": None}),
    ("missing_kind", "event", {**VIEW, "event": " "}), ("unknown_kind", "event", {**VIEW, "event": "teleport"}),
    ("id_too_long", "", {**VIEW, "customer_id": "a" * 10_240}), ("id_too_long", "", {**VIEW, "item_id": "中" * 171}),
    ("control_characters", "", {**VIEW, "customer_id": "a\x1bb"}),
    ("control_characters", "", {**VIEW, "event_id": "a\nb"}),
    ("bad_line", "line", {**VIEW, "line": "x"}), ("bad_line", "line", {**VIEW, "line": -1}),
    ("bad_line", "line", {**VIEW, "line": 2**31}), ("bad_line", "line", {**VIEW, "line": 1.5}),
    ("items_on_line", "items", {**BUY, "line": 1, "items": [{"item_id": "a"}]}),
    ("line_of_nothing", "event_id", {**VIEW, "line": 1, "event_id": None}),
    ("money_on_line", "value", {**BUY, "line": 1, "value": 5}),
    ("money_on_line", "value", {**BUY, "line": 1, "tax": 5}),
    ("missing_identity", "customer_id", {**VIEW, "customer_id": ""}),
    ("missing_item", "item_id", {**VIEW, "item_id": None}), ("missing_item", "item_id", {**BUY, "item_id": None}),
    ("missing_item", "item_id", {**BUY, "item_id": None, "line": 1}),
    ("missing_order", "order_id", {**BUY, "order_id": None}),
    ("missing_order", "order_id", {**BUY, "order_id": None, "event": "refund"}),
    ("negative_price", "price", {**VIEW, **EURO, "price": -0.01}),
    ("negative_price", "price", {**VIEW, **EURO, "list_price": "-1"}),
    ("negative_quantity", "quantity", {**BUY, "quantity": -1}),
    ("cut_number", "", {**BUY, "order_id": "2.01235E+18"}), ("cut_number", "", {**VIEW, "customer_id": "1.38E+10"}),
    ("negative_value", "value", {**BUY, **EURO, "value": -7}),
    ("bad_rating", "rating", {**VIEW, "rating": 99}), ("bad_rating", "rating", {**VIEW, "rating": -1}),
    ("bad_currency", "currency", {**VIEW, "currency": "EURO"}), ("bad_currency", "currency", {**VIEW, "currency": "€"}),
    ("missing_currency", "currency", {**VIEW, "price": 1, "currency": None}),
    ("missing_currency", "currency", {**BUY, "shipping": 1, "currency": None}),
    ("bad_items", "items", {**BUY, "items": "no list"}), ("bad_items", "items", {**BUY, "items": [{"price": 1}]}),
    ("too_many_items", "items", {**BUY, "items": [{"item_id": 1}] * 10_001}),
]
NEEDS = [{**VIEW, "event_id": "beside", "line": "0", "currency": "EUR"}]  # gives the source every column that it needs


@pytest.mark.parametrize("reason, column, record", BROKEN)
def test_a_record_that_breaks_a_rule_is_quarantined_for_it_and_the_one_beside_it_is_not(reason, column, record):
    assert reasons(*NEEDS, record) == [(reason, column)]
    assert [row["event_id"] for row in rows(*NEEDS, record)] == ["beside"]


def test_every_rule_is_broken_by_some_record_here_and_says_what_to_do():
    assert {rule.name for rule in RULES} | {"bad_items", "too_many_items"} == {reason for reason, _, _ in BROKEN}
    assert all(str(advice(name)) for name in (*(rule.name for rule in RULES), *OTHER_REASONS))
    assert advice("truncated") is None  # readers bring words of their own


def test_a_record_that_breaks_several_rules_is_quarantined_once_for_the_first():
    assert reasons(*NEEDS, {**VIEW, "ts": "x", "event": "y", "item_id": None}) == [("bad_time", "ts")]


@pytest.mark.parametrize("record", [
    {**BUY, "item_id": None, "value": 5}, {**BUY, "item_id": None, "line": 0}, {**BUY, "customer_id": None},
    {**VIEW, "customer_id": None, "anonymous_id": "d-1"}, {**VIEW, "item_id": "t" * 512},
    {**BUY, "event": "refund", "quantity": -1}, {**BUY, "price": 0}, {**VIEW, "event": "search", "item_id": None},
    {**VIEW, "event": "stock_change", "customer_id": None}, {**BUY, "items": []}, {**BUY, "items": None},
    {**VIEW, "event": "price_change", "customer_id": None, "price": "0.0001", "currency": "eur"}])
def test_what_lacks_nothing_required_is_stored(record):
    assert reasons({**NEEDS[0]}, record) == []


def test_an_unknown_kind_is_known_once_the_mapping_or_the_shop_says_so():
    assert rows({**VIEW, "event": "pv"}, mapping=Mapping(kinds={"pv": "view_item"}))[0]["event"] == "view_item"
    assert reasons({**VIEW, "event": "play"}) == [("unknown_kind", "event")]


def test_a_rating_that_no_scale_has_is_set_aside_and_one_of_ten_is_not(tmp_path):
    said = [{"event": "review", "event_id": f"r{rating}", "ts": "2026-03-01T10:00:00Z", "customer_id": "ann",
             "item_id": "tea", "rating": rating} for rating in (-1, 0, 4.5, 10, 99)]

    done = Shop.open(tmp_path / "s").ingest(said)

    assert (done.stored, dict(done.reasons)) == (3, {"bad_rating": 2})
