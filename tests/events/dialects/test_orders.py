"""Exports of orders: lines of one order, and lines that only look like it."""

import pytest

from shopkeeper import Shop
from shopkeeper.events.dialects.exports import money


def test_two_customers_whose_orders_have_one_number_are_not_melted_however_far_apart_they_stand(tmp_path):
    head = "Name,Email,Financial Status,Paid at,Currency,Lineitem name,Lineitem quantity,Lineitem price"
    lines = [f"#{n},c{n}@shop.example,paid,2026-03-01 10:00:00 +0000,EUR,Tea,1,4" for n in range(1, 5)]
    lines += ["#1,other@shop.example,paid,2026-03-02 10:00:00 +0000,EUR,Cup,1,7", "#1,,,,,Bowl,1,9",
              "#1,c1@shop.example,paid,2026-03-01 10:00:00 +0000,EUR,Pot,1,20"]
    (tmp_path / "orders.csv").write_text("\n".join([head, *lines]))
    shop = Shop.open(tmp_path / "s")

    done = shop.ingest(tmp_path / "orders.csv")

    assert dict(done.reasons) == {"dialect": 2}
    kept = shop.engine.run(shop.engine.quarantine()).to_pylist()
    assert {row["field"] for row in kept} == {"Name"}
    rows = shop.engine.run(shop.engine.events()).to_pylist()
    assert sorted(row["item_id"] for row in rows if row["order_id"] == "#1") == ["Pot", "Tea"]
    assert len({row["customer_id"] for row in rows if row["order_id"] == "#1"}) == 1


def test_a_price_that_is_no_number_sets_its_record_aside():
    with pytest.raises(ValueError, match="'NaN' is no number"):
        money("NaN")
