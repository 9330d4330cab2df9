"""What the simulator planted is found again in its log, by the simplest estimators that could.

The errors allowed are fixed targets; the estimators read the event table alone, and the categories of the items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shopkeeper.simulate import Simulated, SimulationConfig, simulate

DAY = 86_400_000_000


@dataclass(frozen=True)
class Bought:
    """Lines bought by customers with an account; arrays of (l,)."""

    customer: np.ndarray
    item: np.ndarray
    order: np.ndarray
    when: np.ndarray       # days since the log began
    units: np.ndarray


@pytest.fixture(scope="module")
def shop() -> Simulated:
    return simulate(SimulationConfig(customers=600, items=200, days=365, seed=11, visitors=0.1))


@pytest.fixture(scope="module")
def bought(shop: Simulated) -> Bought:
    events = shop.events
    lines = events.filter(pc.and_(pc.equal(events["event"], "purchase"), pc.is_valid(events["item_id"])))
    lines = lines.filter(pc.is_valid(lines["customer_id"]))
    return Bought(rows(lines["customer_id"], shop.truth.customer_id), rows(lines["item_id"], shop.truth.item_id),
                  rows(lines["order_id"]), days(shop, lines["ts"]), lines["quantity"].to_numpy())


def rows(column: pa.ChunkedArray, names: tuple[str, ...] | None = None) -> np.ndarray:
    names_ = pa.array(names) if names is not None else column.combine_chunks().unique()
    return pc.index_in(column, names_).to_numpy().astype(np.int64)


def days(shop: Simulated, times: pa.ChunkedArray) -> np.ndarray:
    return (times.cast(pa.int64()).to_numpy() - shop.config.midnight(0)) / DAY


def order_days(bought: Bought) -> dict[int, np.ndarray]:
    first = np.unique(bought.order, return_index=True)[1]
    who, when = bought.customer[first], bought.when[first]
    return {int(one): np.sort(when[who == one]) for one in np.unique(who)}


def test_the_three_favourite_categories_are_the_most_bought_for_four_in_five_customers(shop, bought):
    of_item = rows(pa.chunked_array([shop.items["category"].combine_chunks()]), shop.truth.categories)
    counts = np.zeros((len(shop.truth.customer_id), len(shop.truth.categories)))
    np.add.at(counts, (bought.customer, of_item[bought.item]), 1)
    enough = np.flatnonzero(counts.sum(axis=1) >= 15)

    found = np.argsort(-counts, axis=1, kind="stable")[:, :3]
    planted = np.argsort(-shop.truth.taste, axis=1)[:, :3]
    same = [set(found[one]) == set(planted[one]) for one in enough]

    assert len(enough) >= 400
    assert np.mean(same) >= 0.8


def test_a_complement_stands_in_the_first_five_of_what_is_bought_together(shop, bought):
    held = np.zeros((bought.order.max() + 1, len(shop.truth.item_id)), np.float32)
    held[bought.order, bought.item] = 1
    together = held.T @ held
    np.fill_diagonal(together, -1)
    row = {name: place for place, name in enumerate(shop.truth.item_id)}
    pairs = [(row[a], row[b]) for a, b in shop.truth.complements]
    pairs = [(a, b) for one in pairs for a, b in (one, one[::-1]) if held[:, a].sum() >= 10]

    place = np.array([(together[a] > together[a, b]).sum() for a, b in pairs])

    assert len(pairs) >= 20
    assert (place < 5).mean() >= 0.9


def test_the_mean_gap_between_orders_is_the_planted_rhythm_within_a_fifth(shop, bought):
    gaps = {one: np.diff(when) for one, when in order_days(bought).items() if len(when) > 6}

    error = np.array([abs(gap.mean() / shop.truth.interval[one] - 1) for one, gap in gaps.items()])

    assert len(error) >= 400
    assert (error <= 0.2).mean() >= 0.8
    assert np.median(error) <= 0.1


def test_half_a_gap_after_the_last_order_is_the_leaving_date_within_one_interval(shop, bought):
    leaves = (shop.truth.leaves.astype("datetime64[us]").astype(np.int64) - shop.config.midnight(0)) / DAY
    gone = np.flatnonzero(~np.isnat(shop.truth.leaves) & (leaves < shop.config.days))
    when = {one: order for one, order in order_days(bought).items() if one in set(gone) and len(order) > 4}

    error = np.array([abs(order[-1] + np.diff(order).mean() / 2 - leaves[one]) / shop.truth.interval[one]
                      for one, order in when.items()])

    assert len(error) >= 100
    assert (error <= 1).mean() >= 0.7


def daily_prices(shop: Simulated) -> np.ndarray:
    """(m, days) log price of each item on each day, nan before it arrives; from the price changes of the log."""
    changes = shop.events.filter(pc.equal(shop.events["event"], "price_change"))
    out = np.full((len(shop.truth.item_id), shop.config.days), np.nan)
    item, day = rows(changes["item_id"], shop.truth.item_id), days(shop, changes["ts"]).astype(int)
    for one, from_day, price in zip(item, day, changes["price"].cast(pa.float64()).to_numpy(), strict=True):
        out[one, from_day:] = np.log(price)
    return out


def elasticity_of(units: np.ndarray, log_price: np.ndarray) -> float:
    """The elasticity that fits best how each item's units (m, days) fall on its days: Poisson, one level an item."""
    there = ~np.isnan(log_price)
    x, fitted = np.where(there, log_price - np.nanmean(log_price, axis=1, keepdims=True), 0.0), -1.0
    for _ in range(30):
        weight = np.where(there, np.exp(fitted * x), 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        mean = (weight * x).sum(axis=1)
        spread = (weight * x**2).sum(axis=1) - mean**2
        total = units.sum(axis=1)
        fitted += ((units * x).sum() - total @ mean) / (total @ spread)
    return float(fitted)


@pytest.mark.parametrize("part", ["everybody", "the sensitive half", "the other half"])
def test_promotions_show_the_price_elasticity_within_three_tenths(shop, bought, part):
    own = shop.truth.elasticity[bought.customer]
    middle = np.median(shop.truth.elasticity)
    mine = {"everybody": own < 0, "the sensitive half": own < middle, "the other half": own >= middle}[part]
    prices = daily_prices(shop)
    units = np.zeros_like(prices)
    np.add.at(units, (bought.item[mine], bought.when[mine].astype(int)), bought.units[mine])

    found = elasticity_of(units, prices)

    assert found == pytest.approx(own[mine].mean(), abs=0.3)


def test_a_preferred_hour_is_the_middle_of_the_hours_of_buying(shop, bought):
    hour = bought.when % 1 * 2 * np.pi
    error = []
    for one in np.unique(bought.customer):
        mine = bought.customer == one
        if len(np.unique(bought.order[mine])) >= 10:
            middle = np.angle(np.exp(1j * hour[mine]).mean()) / (2 * np.pi) * 24 % 24
            apart = abs(middle - shop.truth.hour[one])
            error.append(min(apart, 24 - apart))

    assert len(error) >= 300
    assert np.median(error) <= 1


def test_substitutes_are_seen_in_one_session_more_often_than_chance_and_never_bought_in_one_order(shop, bought):
    group = np.full(len(shop.truth.item_id), -1)
    row = {name: place for place, name in enumerate(shop.truth.item_id)}
    for number, names in enumerate(shop.truth.substitutes):
        group[[row[name] for name in names]] = number
    mine = group[bought.item] >= 0
    in_order = bought.order[mine] * 10_000 + group[bought.item[mine]]
    views = shop.events.filter(pc.equal(shop.events["event"], "view_item"))
    item, session = rows(views["item_id"], shop.truth.item_id), rows(views["session_id"])
    next_to = (session[1:] == session[:-1]) & (item[1:] != item[:-1]) & (group[item[1:]] >= 0)
    alike = group[item[1:]] == group[item[:-1]]

    assert len(shop.truth.substitutes) >= 10
    assert len(np.unique(in_order)) == len(in_order)
    assert alike[next_to].mean() >= 0.2
