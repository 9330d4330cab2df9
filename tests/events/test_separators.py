"""Numbers as people write them are read where only one reading is possible, and never guessed."""

from decimal import Decimal

import pyarrow as pa
import pytest

from shopkeeper import ledger
from shopkeeper.events import values
from shopkeeper.events.separators import NumberRule, written
from shopkeeper.shop import Shop


def read(*cells, rule=None):
    found, bad = written(pa.array(cells, pa.string()), "price", rule or NumberRule(), values.money)
    assert bad.tolist() == [cell is None for cell in found.to_pylist()]
    return [None if cell is None else str(cell.normalize() + 0) for cell in found.to_pylist()]


@pytest.mark.parametrize(("cell", "meant"), [
    ("1,299.00", "1299"), ("1.234,50", "1234.5"), ("9,99", "9.99"), ("¥12.50", "12.5"), ("12.5元", "12.5"),
    ("1,23,456.50", "123456.5"), ("1 234,50", "1234.5"), ("1'234.50", "1234.5"), ("(3.00)", "-3"), ("-¥4.50", "-4.5"),
    ("US$ 7", "7"), ("1.234.567", "1234567"), ("0,500", "0.5"), ("12,50-", "-12.5"), ("1.299", "1.299"),
    ("1,299", None), ("12,34,5", None), ("1,2.3", None), ("abc", None), ("12.5 kg", None)])
def test_a_cell_is_read_by_itself_where_it_can_only_mean_one_thing(cell, meant):
    assert read(cell) == [meant]


@pytest.mark.parametrize(("beside", "meant"), [
    ("9.99", ["1299", "1.299"]), ("9,99", ["1.299", "1299"]), ("5", [None, "1.299"])])
def test_what_can_mean_two_things_is_read_as_the_rest_of_its_column(beside, meant):
    assert read("1,299", "1.299", beside)[:2] == meant


def test_a_column_that_says_both_leaves_open_what_can_mean_two_things():
    assert read("9,99", "9.99", "1,299", "1.299") == ["9.99", "9.99", None, None]


def test_what_one_batch_says_holds_for_the_next_and_never_among_many_senders():
    rule, alone = NumberRule(), NumberRule(alone=True)

    assert read("9,99", rule=rule) == read("9,99", rule=alone)
    assert read("1.299", rule=rule) == ["1299"]
    assert read("1.299", rule=alone) == ["1.299"]


def orders(folder, *prices):
    path = folder / "orders.csv"
    path.write_text("event;ts;customer_id;item_id;price;quantity;currency;order_id\n" + "".join(
        f"purchase;2026-03-0{n + 1}T10:00:00Z;c{n};tea;{price};1;EUR;o{n}\n" for n, price in enumerate(prices)))
    return path


def test_a_file_with_decimal_commas_keeps_the_money_of_its_orders(tmp_path):
    shop = Shop.open(tmp_path / "s")

    account = shop.ingest(orders(tmp_path, "9,99", "1.234,50"))

    assert (account.stored, dict(account.unread)) == (2, {})
    assert sum(shop.engine.run(shop.events().select("value"))["value"].to_pylist()) == Decimal("1244.49")


def test_a_price_that_cannot_be_read_is_an_error_of_quality(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest(orders(tmp_path, "1,299", "7"))

    rows = {row["finding"]: row for row in ledger.quality(shop).table.to_pylist()}

    assert (rows["unread"]["severity"], rows["unread"]["what"], rows["unread"]["records"]) == ("error", "price", 1)
