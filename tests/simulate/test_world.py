from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.schema import EVENTS, KINDS
from shopkeeper.simulate import Asked, Given, Simulated, SimulationConfig, World, simulate

SMALL = SimulationConfig(customers=120, items=60, days=40, seed=5)


@pytest.fixture(scope="module")
def shop() -> Simulated:
    return simulate(SMALL)


def of_kind(table: pa.Table, *kinds: str) -> pa.Table:
    return table.filter(pc.is_in(table["event"], pa.array(kinds)))


def run(world: World, policy=None) -> pa.Table:
    world.reset()
    return pa.concat_tables([world.step(day, policy) for day in range(world.config.days)])


def test_the_same_configuration_gives_the_same_tables(shop):
    again = simulate(SMALL)

    assert again.events.equals(shop.events)
    assert again.items.equals(shop.items)
    assert again.customers.equals(shop.customers)
    assert again.truth.to_dict() == shop.truth.to_dict()


def test_another_seed_gives_another_shop(shop):
    other = simulate(SimulationConfig(customers=120, items=60, days=40, seed=6))

    assert not other.events.equals(shop.events)
    assert not np.array_equal(other.truth.taste, shop.truth.taste)


def test_the_log_speaks_the_event_table(shop):
    assert all(EVENTS.field(one.name).type == one.type for one in shop.events.schema)
    assert set(shop.events["event"].unique().to_pylist()) <= set(KINDS)
    assert {"search", "view_item_list", "view_item", "add_to_cart", "remove_from_cart", "purchase", "refund", "review",
            "coupon_apply", "sign_up", "price_change"} <= set(shop.truth.events)


def test_every_event_has_one_head_and_its_lines_count_from_one(shop):
    lines = Counter()
    seen = set()
    for one, line in zip(shop.events["event_id"].to_pylist(), shop.events["line"].to_pylist(), strict=True):
        assert line == lines[one]
        lines[one] += 1
        seen.add((one, line))

    assert len(seen) == shop.events.num_rows
    assert len(lines) == sum(shop.truth.events.values())
    assert sum(shop.truth.records.values()) == shop.events.num_rows


def test_the_log_is_in_order_of_time_and_inside_its_span(shop):
    when = shop.events["ts"].cast(pa.int64()).to_numpy()

    assert (np.diff(when) >= 0).all()
    assert when[0] >= SMALL.midnight(0)
    assert when[-1] < shop.truth.until == SMALL.midnight(40)


def test_no_session_is_longer_than_its_gaps_allow_and_none_crosses_midnight(shop):
    sessions = shop.events.filter(pc.is_valid(shop.events["session_id"])).group_by("session_id").aggregate(
        [("ts", "min"), ("ts", "max")])
    first, last = (sessions[f"ts_{one}"].cast(pa.int64()).to_numpy() // 86_400_000_000 for one in ("min", "max"))

    assert sessions.num_rows > 1000
    assert (first == last).all()


def test_the_value_of_an_order_is_the_sum_of_its_lines_and_stands_once(shop):
    sales = of_kind(shop.events, "purchase")
    total = pc.multiply(sales["price"].cast(pa.float64()), sales["quantity"])
    sums = pa.table({"order": sales["order_id"], "lines": total, "value": sales["value"].cast(pa.float64())}).group_by(
        "order").aggregate([("lines", "sum"), ("value", "sum"), ("value", "count")])

    assert sums["value_count"].unique().to_pylist() == [1]
    assert np.allclose(sums["lines_sum"].to_numpy(), sums["value_sum"].to_numpy(), atol=1e-6)
    assert pc.all(pc.equal(sales.filter(pc.is_valid(sales["value"]))["line"], 0)).as_py()


def test_money_has_a_currency_and_is_above_zero(shop):
    money = pc.or_(pc.is_valid(shop.events["price"]), pc.is_valid(shop.events["value"]))

    assert shop.events.filter(money)["currency"].unique().to_pylist() == ["EUR"]
    assert pc.min(shop.events["price"]).as_py() > 0


def test_after_leaving_a_customer_does_nothing(shop):
    leaves = dict(zip(shop.truth.customer_id, shop.truth.leaves, strict=True))
    last = shop.events.group_by("customer_id").aggregate([("ts", "max")]).to_pylist()
    gone = [(np.datetime64(one["ts_max"]), leaves[one["customer_id"]]) for one in last if one["customer_id"]]

    assert sum(not np.isnat(until) and until < np.datetime64("2026-02-14") for _, until in gone) >= 5
    assert all(np.isnat(until) or when < until for when, until in gone)


def test_nobody_sees_an_item_before_it_arrives(shop):
    since = dict(zip(shop.items["item_id"].to_pylist(), shop.items["since"].to_pylist(), strict=True))
    first = shop.events.group_by("item_id").aggregate([("ts", "min")]).to_pylist()
    new = [(one["ts_min"].date(), since[one["item_id"]]) for one in first if since.get(one["item_id"])]

    assert len(new) >= 5
    assert all(seen >= arrived for seen, arrived in new)


def test_new_customers_sign_up_on_the_day_they_join(shop):
    joined = {one["customer_id"]: one["joined"] for one in shop.customers.to_pylist() if one["joined"]}
    signed = {one["customer_id"]: one["ts"].date() for one in of_kind(shop.events, "sign_up").to_pylist()}

    assert len(signed) >= 10
    assert signed == joined


def test_a_search_is_followed_by_the_list_it_gave_and_the_click_stands_where_the_list_says(shop):
    lists, clicks = of_kind(shop.events, "view_item_list"), of_kind(shop.events, "select_item")
    shown = {(one["request_id"], one["position"]): one["item_id"] for one in lists.to_pylist() if one["line"] > 0}
    searched = set(of_kind(shop.events, "search")["request_id"].to_pylist())

    assert clicks.num_rows > 500
    assert searched <= set(lists["request_id"].to_pylist())
    assert all(shown[one["request_id"], one["position"]] == one["item_id"] for one in clicks.to_pylist())


def test_an_unknown_visitor_looks_often_carts_seldom_and_buys_less_as_in_a_public_log():
    events = simulate(SimulationConfig(customers=400, items=200, days=60, visitors=2.0)).events
    visitors = events.filter(pc.and_(pc.starts_with(events["anonymous_id"], "v-"), pc.is_null(events["customer_id"])))
    n = Counter(visitors.filter(pc.equal(visitors["line"], 0))["event"].to_pylist())
    sessions = visitors["session_id"].unique()
    buyers = of_kind(visitors, "purchase")["session_id"].unique()

    assert n["add_to_cart"] / n["view_item"] == pytest.approx(69 / 2660, rel=0.4)
    assert n["purchase"] / n["view_item"] == pytest.approx(22 / 2660, rel=0.4)
    assert n["view_item"] / len(visitors["anonymous_id"].unique()) == pytest.approx(2.66 / 1.4, rel=0.5)
    assert len(buyers) < 0.03 * len(sessions)


def test_most_sessions_belong_to_visitors_and_most_orders_to_customers(shop):
    heads = shop.events.filter(pc.equal(shop.events["line"], 0))
    pages, orders = of_kind(heads, "page_view"), of_kind(heads, "purchase")

    assert pages["customer_id"].null_count > 0.5 * pages.num_rows
    assert orders["customer_id"].null_count < 0.1 * orders.num_rows


def test_habits_are_kept_in_the_zone_of_the_shop():
    here, there = (simulate(SimulationConfig(customers=30, items=20, days=5, timezone=zone)).events
                   for zone in ("UTC", "Asia/Shanghai"))

    apart = pc.subtract(here["ts"].cast(pa.int64()), there["ts"].cast(pa.int64())).unique().to_pylist()

    assert apart == [8 * 3_600_000_000]


@pytest.mark.parametrize("size", [
    {"customers": 1, "items": 1, "days": 1}, {"customers": 1, "items": 1, "days": 400, "visitors": 0},
    {"customers": 2, "items": 5, "days": 3, "categories": 2}, {"customers": 3, "items": 40, "days": 2, "visitors": 9},
    {"customers": 5, "items": 3, "days": 30, "leaving": 1, "life": 1, "arrivals": 1}])
def test_a_tiny_shop_runs_and_its_truth_is_finite(size):
    shop = simulate(SimulationConfig(**size))

    assert len(shop.truth.customer_id) == size["customers"]
    assert np.isfinite(shop.truth.elasticity).all()
    assert np.isfinite(shop.truth.demand).all()
    assert shop.truth.demand.sum() == pytest.approx(1)
    assert shop.truth.taste.sum(axis=1) == pytest.approx(1)
    assert sum(shop.truth.records.values()) == shop.events.num_rows >= 1


def nothing(asked: Asked) -> Given:
    m = len(asked.customers)
    return Given(discount=np.zeros(m), items=np.full((m, 3), -1))


def half_off(asked: Asked) -> Given:
    m = len(asked.customers)
    return Given(discount=np.full(m, 0.5), arms=("none", "half"), arm=np.ones(m, np.int64), propensity=np.full(m, 0.5))


def test_a_policy_that_gives_nothing_changes_nothing(shop):
    assert run(World(SMALL), nothing).equals(pa.concat_tables([shop.events]))


def test_reset_begins_the_same_shop_again(shop):
    world = World(SMALL)
    world.step(0)
    world.step(1)

    assert run(world).equals(shop.events)


def test_a_discount_sells_more_and_every_offer_carries_its_arm_and_probability(shop):
    events = run(World(SMALL), half_off)
    offers = of_kind(events, "offer")

    assert of_kind(events, "purchase").num_rows > 1.2 * shop.truth.records["purchase"]
    assert offers["treatment"].unique().to_pylist() == ["half"]
    assert offers["propensity"].unique().to_pylist() == [0.5]
    assert offers["customer_id"].null_count == 0


def test_what_is_recommended_is_clicked_by_those_who_like_its_category():
    world = World(SMALL)
    taste, category = world.population.taste, world.catalogue.category
    liked = np.array([np.flatnonzero(category == one)[0] for one in taste.argmax(axis=1)])
    hated = np.array([np.flatnonzero(category == one)[0] for one in taste.argmin(axis=1)])

    def clicks(items: np.ndarray) -> int:
        events = run(world, lambda asked: Given(np.zeros(len(asked.customers)), items[asked.customers][:, None]))
        return pc.sum(pc.equal(events["list_id"], "recommended")).as_py()

    assert clicks(liked) > 5 * max(clicks(hated), 1)


def test_a_policy_is_asked_about_everyone_who_has_signed_up_and_not_told_who_left():
    world, asked_of = World(SMALL), []

    def watching(asked: Asked) -> Given:
        asked_of.append(asked.customers)
        return Given(np.zeros(len(asked.customers)))

    run(world, watching)

    assert len(asked_of[0]) < len(asked_of[-1])
    assert len(asked_of[-1]) == (world.population.joins <= 39).sum() > world.population.there(39).sum()


def refused(call) -> str:
    with pytest.raises(BadInput) as refusal:
        call()
    return str(refusal.value)


def test_days_come_one_after_the_other():
    assert refused(lambda: World(SMALL).step(3)) == (
        "day 3 cannot be run now; the next day is 0 of 40.\n"
        "  Try:  world.reset()")


@pytest.mark.parametrize("given, text", [
    (Given(np.zeros(1)), "the policy must give a discount in [0, 1) for each of {m} customers."),
    (Given(np.ones(0)), "the policy must give a discount in [0, 1) for each of {m} customers."),
])
def test_a_discount_for_the_wrong_number_of_customers_is_refused(given, text):
    m = int((World(SMALL).population.joins <= 0).sum())

    assert refused(lambda: World(SMALL).step(0, lambda asked: given)) == text.format(m=m)


def test_an_item_that_is_not_there_cannot_be_recommended():
    assert refused(lambda: World(SMALL).step(0, lambda asked: Given(
        np.zeros(len(asked.customers)), np.full((len(asked.customers), 1), 60)))) == (
        "the policy recommends an item that is not there; rows go from 0 to 59, -1 for none.")


def test_an_arm_without_its_probability_is_refused():
    m = int((World(SMALL).population.joins <= 0).sum())

    assert refused(lambda: World(SMALL).step(0, lambda asked: Given(
        np.zeros(m), arms=("a",), arm=np.zeros(m, np.int64)))) == (
        f"the policy must name an arm for each of {m} customers, and its probability in (0, 1].\n"
        "  Why:  an offer without its probability cannot be evaluated.")


@pytest.mark.parametrize("wrong, text", [
    ({"customers": 0}, "customers is 0; it must be between 1 and 100,000,000."),
    ({"categories": 25}, "categories is 25; it must be between 1 and 24."),
    ({"leaving": 1.5}, "leaving is 1.5; it must be between 0 and 1."),
    ({"start": "soon"}, "'soon' is not a day.\n  Try:  start=2026-01-05"),
    ({"start": "1900-01-01"}, "the simulated days must lie between 1971 and 2098.\n  Try:  start=2026-01-05"),
    ({"timezone": "Mars/Base"},
     "'Mars/Base' is not a time zone that this machine knows.\n  Try:  timezone=Europe/Berlin"),
    ({"currency": "euro"}, "'euro' is not a three-letter ISO 4217 code.\n  Try:  currency=EUR"),
])
def test_a_configuration_that_makes_no_sense_is_refused(wrong, text):
    assert refused(lambda: SimulationConfig(**wrong)) == text
