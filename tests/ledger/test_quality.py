"""What is wrong with a log is found, with how many and since when; of a sound log nothing is."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shopkeeper import ledger
from shopkeeper.errors import BadInput
from shopkeeper.events.mapping import Mapping
from shopkeeper.ledger.silences import jumps, silences
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import CompilingEngine, Engine

FIRST = datetime(2026, 3, 2, tzinfo=UTC)
LATER = int((FIRST + timedelta(days=90)).timestamp() * 1e6)
LINES = [{"item_id": "tea", "price": 4, "quantity": 2}, {"item_id": "cup", "price": 7, "quantity": 1}]


def order(number, **more):
    return {"event_id": f"p{number}", "event": "purchase", "ts": (FIRST + timedelta(hours=number)).isoformat(),
            "customer_id": f"c{number}", "order_id": f"o{number}", "currency": "EUR", "value": 15, "items": LINES,
            **more}


def view(number, **more):
    return {"event_id": f"v{number}", "event": "view_item", "ts": (FIRST + timedelta(minutes=number)).isoformat(),
            "customer_id": f"c{number % 9}", "item_id": "tea", **more}


def opened(place, records, items=None, engine=Engine):
    shop = Shop.open(place / "s", engine=engine)
    shop.ingest(records, received_at=LATER)
    if items:
        shop.ingest(items, Mapping(currency="EUR"), table="items", received_at=LATER)
    return shop


def found(shop):
    return {(row["finding"], row["what"]): row for row in ledger.quality(shop).table.to_pylist()}


def test_of_a_sound_simulated_shop_nothing_is_found():
    assert ledger.quality(Shop.simulated(customers=40, items=20, days=20)).table.num_rows == 0


@pytest.mark.parametrize(("finding", "wrong"), [
    (("sum", "value"), [order(50, value=99)]),
    (("order_twice", "order_id"), [order(1, event_id="again"), order(1, event_id="and again")]),
    (("quantity", "quantity"), [order(50, value=None, items=[{"item_id": "tea", "price": 4, "quantity": 4_006_381}])]),
    (("currency", "USD"), [order(50, currency="USD")]),
    (("clock", "ts"), [view(50, ts=(FIRST + timedelta(days=100)).isoformat())]),
    (("unjoined", "request_id"), [view(50, request_id="nobody asked")]),
    (("repeat", "event_id"), [view(3, event_id="other")]),
    (("quarantined", "missing_item"), [view(50, item_id=None)]),
    (("unmapped", "colour"), [view(50, colour="red")]),
    (("not_in_catalogue", "item_id"), [view(50, item_id="unheard of")]),
    (("unit", "price"), [order(50, value=400, items=[{"item_id": "tea", "price": 400, "quantity": 1}])]),
])
def test_what_is_wrong_is_found_and_counted_and_nothing_else(tmp_path, finding, wrong):
    sound = [order(n) for n in range(20)] + [view(n) for n in range(20)]
    shop = opened(tmp_path, sound + wrong, [{"item_id": "tea", "price": 4}, {"item_id": "cup", "price": 7}])

    rows = found(shop)

    assert finding in rows
    several = {"order_twice": 2, "currency": 3, "unmapped": len(sound) + 1}  # lines; lines; records of the import
    assert rows[finding]["records"] == several.get(finding[0], 1)
    assert rows[finding]["advice"]
    assert {key for key in rows if key[0] not in ("unmapped",)} <= {finding, ("currency", "USD")}


def test_orders_whose_lines_are_rows_of_one_order_with_tax_discounts_and_shipping_apart_add_up(tmp_path):
    shop = opened(tmp_path, [order(1, discount=5, value=10), order(2, shipping=4, tax=3), order(3, value=15.01)])
    assert ("sum", "value") not in found(shop)


def test_a_category_has_a_rule_of_its_own(tmp_path):
    shop = opened(tmp_path, [order(1, value=None, items=[{"item_id": "tea", "price": 4, "quantity": 2.5}]),
                             order(2, value=None, items=[{"item_id": "cup", "price": 7, "quantity": 2.5}])],
                  [{"item_id": "tea", "category": "Drinks > Tea"}, {"item_id": "cup", "category": "Cups"}],
                  CompilingEngine)
    toml = tmp_path / "s" / "shop.toml"
    toml.write_text(toml.read_text() + '\n[quality]\n"Cups" = { most = 50, whole = true }\n"Drinks" = { most = 2.5 }\n')

    rows = found(shop)

    assert rows["quantity", "Cups"]["records"] == 1
    assert ("quantity", "Drinks") not in rows
    toml.write_text(toml.read_text() + 'Tea = "many"\n')
    with pytest.raises(BadInput, match="Tea"):
        ledger.quality(shop)


def test_a_tracker_that_stopped_is_an_error_and_a_night_is_none(tmp_path):
    rng = np.random.default_rng(3)
    records = []
    for hour in range(24 * 21):
        at = FIRST + timedelta(hours=hour)
        busy = 0 if at.hour < 6 else 4
        for n in range(int(rng.poisson(busy))):
            records.append({"event": "page_view", "ts": (at + timedelta(minutes=n)).isoformat(), "customer_id": f"c{n}",
                            "event_id": f"w{hour}-{n}"})
            if hour < 24 * 18:
                records.append({**records[-1], "event": "view_item", "item_id": "tea", "event_id": f"v{hour}-{n}"})
    answer = ledger.quality(opened(tmp_path, records))

    rows = {(row["finding"], row["what"]): row for row in answer.table.to_pylist()}
    assert set(rows) == {("silence", "view_item")}
    assert rows["silence", "view_item"]["severity"] == "error"
    assert rows["silence", "view_item"]["since"] >= (FIRST + timedelta(days=17, hours=20)).replace(tzinfo=None)
    assert answer.parts["silences"].num_rows == 1
    assert answer.chart is not None


def test_by_chance_no_hour_of_a_year_is_a_silence_and_no_day_a_jump():
    rng = np.random.default_rng(11)
    level = 3 + 2 * np.sin(np.arange(24 * 365) / 24 * 2 * np.pi)
    for _ in range(20):
        hours = rng.poisson(level).astype(float)
        assert silences(hours) == []
        assert jumps(hours.reshape(-1, 24).sum(axis=1)) == []


def test_a_lost_afternoon_is_found_where_it_lies_and_a_doubled_day_too():
    rng = np.random.default_rng(12)
    hours = rng.poisson(8.0, 24 * 60).astype(float)
    hours[24 * 40 + 12:24 * 40 + 18] = 0
    hours[24 * 50:24 * 51] *= 5

    assert [(span.start, span.end, span.open) for span in silences(hours)] == [(24 * 40 + 12, 24 * 40 + 18, False)]
    assert [(span.start, span.end) for span in jumps(hours.reshape(-1, 24).sum(axis=1))] == [(50, 51)]
