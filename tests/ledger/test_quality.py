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
    several = {"order_twice": 2, "currency": 3}  # lines
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


@pytest.mark.parametrize(("usual", "then", "lasting"), [
    (20, 120, False), (5, 60, False), (200, 600, False), (200, 400, True), (200, 50, True), (20, 4, True)])
def test_a_jump_is_found_on_its_day_be_it_of_one_day_or_of_all_that_follow(usual, then, lasting):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        days = rng.poisson(usual, 60).astype(float)
        days[40:60 if lasting else 41] = rng.poisson(then, 20 if lasting else 1)
        span = max(jumps(days), key=lambda one: abs(one.counted - one.expected))

        assert abs(span.start - 40) <= (3 if lasting else 0)
        assert span.open == lasting


def test_a_month_on_a_new_level_makes_it_the_usual_and_its_end_a_jump():
    rng = np.random.default_rng(8)
    days = np.concatenate([rng.poisson(50, 40), rng.poisson(150, 60), rng.poisson(50, 40)]).astype(float)

    assert [(round(span.start, -1), span.counted > span.expected) for span in jumps(days)] == [(40, True), (100, False)]


def test_a_kind_that_comes_in_bursts_has_no_silences_and_no_jumps_and_an_outage_is_found_beside_it():
    rng = np.random.default_rng(5)
    campaigns = np.zeros((180, 24))
    for day in rng.choice(180, 25, replace=False):
        campaigns[day, 9:18] = rng.poisson(40, 9)
    rare, visits = np.zeros((180, 24)), rng.poisson(0.5, (180, 24)) * 6.0  # two mailings; visits of six pages each
    rare[[40, 41]] = 60
    visits[100:103] = 0

    assert silences(campaigns.ravel()) == silences(rare.ravel()) == []
    assert jumps(campaigns.sum(axis=1)) == jumps(rare.sum(axis=1)) == []
    span, = silences(visits.ravel())
    assert abs(span.start - 24 * 100) < 24
    assert 72 <= span.end - span.start < 96


def test_a_kind_that_faded_away_before_it_ended_did_not_stop_at_once():
    rng = np.random.default_rng(6)
    faded = np.concatenate([rng.poisson(2.0 * 0.8 ** week, 168) for week in range(30)] + [np.zeros(24 * 30)])

    assert silences(faded.astype(float)) == []


def test_the_past_is_judged_by_what_was_there_then_and_bots_are_no_evidence(tmp_path):
    shop = Shop.open(tmp_path / "s")
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    shop.ingest([view(1), view(2, user_agent=agent), view(3, colour="red"), view(4, item_id=None)],
                received_at=int((FIRST + timedelta(days=1)).timestamp() * 1e6))
    shop.ingest([view(60 * 24 * 9), view(5, size="large"), view(6, event="levitate")], received_at=LATER)

    then = ledger.quality(Shop.open(shop.path, as_of=FIRST + timedelta(days=2)))
    now = ledger.quality(shop)

    assert [(row["finding"], row["what"], row["records"]) for row in then.table.to_pylist()] == [
        ("quarantined", "missing_item", 1), ("unmapped", "colour", 1)]
    assert {row["what"] for row in now.table.to_pylist()} >= {"colour", "size", "unknown_kind"}
    assert (then.evidence.to_dict()["n"], now.evidence.to_dict()["n"]) == (3, 4)


def test_what_is_advised_of_a_field_keeps_the_dialect_and_gives_the_field_its_meaning(tmp_path):
    calls = [{"type": "page", "messageId": f"m{n}", "anonymousId": "a", "timestamp": f"2026-03-0{n}T10:00:00Z",
              "properties": {"mood": "calm"} if n == 1 else {}} for n in (1, 2, 3)]
    shop = Shop.open(tmp_path / "s")
    number = shop.ingest(calls).id

    row = found(shop)["unmapped", "properties, properties.mood"]

    assert row["records"] == 2
    assert row["advice"].endswith(f"shopkeeper undo SHOP {number}, then ingest the file again with "
                                  "--dialect segment --map OURS=THEIRS.")
    ledger.undo(shop, number)
    shop.ingest(calls, Mapping({"campaign_id": "properties.mood"}), dialect="segment")
    rows = shop.engine.run(shop.engine.events()).to_pylist()
    assert sorted(str(row["campaign_id"]) for row in rows) == ["None", "None", "calm"]


def test_a_refusal_about_money_in_a_dialect_advises_what_keeps_the_dialect(tmp_path):
    orders = [{"order_number": "1", "status": "completed", "order_date": "2026-03-01 10:00", "order_total": "10",
               "item_name": "Tea", "item_quantity": "1", "billing_email": "ann@shop.example"}]

    with pytest.raises(BadInput, match="--dialect woocommerce-orders --map currency=THEIR_COLUMN"):
        Shop.open(tmp_path / "s").ingest(orders)
