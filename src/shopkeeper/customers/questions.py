"""The questions about customers: inputs -> method -> answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.asking import question
from shopkeeper.customers import answers, inputs, trials
from shopkeeper.customers.answers import Estimate, Profile, Risks, Segments, Values
from shopkeeper.customers.desk import Warner, draws_for, valuer, warner
from shopkeeper.customers.grouping import grouped, sorted_out
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods.base import Floats, Ints, repeats
from shopkeeper.customers.methods.risk import Cases
from shopkeeper.customers.methods.stopping import cases_at
from shopkeeper.customers.methods.value import PastRate
from shopkeeper.customers.profiles import profile_of
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount, Interval
from shopkeeper.shop import Shop
from shopkeeper.words import say

REASONS = 3       # that are named for a customer
OWN_DRAWS = 400   # futures of each customer that is named
KINDS = ("total", "cohort", "channel")


def check(n: int, within: int | None = None, horizon: int | None = None, level: float | None = None) -> None:
    """Refuse numbers that make no sense."""
    if n < 1:
        raise BadInput(say("n is {n}; it must be at least 1.", n=n), do=[say("--n 10")],
                       why=say("it says how many rows to give."))
    for name, days in (("within", within), ("horizon", horizon)):
        if days is not None and not 1 <= days <= 1_500:
            raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name=name, value=days,
                               low=1, high=1_500), do=[say("--within 30")])
    if level is not None and not 0 < level < 1:
        raise BadInput(say("level is {level}; it must be between 0 and 1.", level=level), do=[say("--level 0.9")],
                       why=say("it is the level of an interval."))


@question
def lifetime_value(shop: Shop, *, horizon: int = 365, n: int = 100, level: float = 0.9) -> Values:
    """Say what each customer will bring, with an interval, the dearest first; and what all of them will bring.

    Args:
        shop: An opened shop; only read.
        horizon: Days to look ahead from the shop's clock.
        n: How many customers to name.
        level: Level of the intervals.

    Returns:
        Customers by `value`: expected money within the horizon. Totals, cohorts and channels are the part `groups`.

    Raises:
        BadInput: A number makes no sense. UnknownName: Nobody has bought anything.

    >>> lifetime_value(Shop.simulated(customers=60, items=30, days=60), horizon=90, n=3).table.num_rows
    3
    """
    check(n, horizon=horizon, level=level)
    log = inputs.read(shop)
    worth, evidence, notes = valuer(shop, log)
    rows, past = repeats(log.days, log.cut)
    purchases, each = worth.purchases(past, horizon), worth.each(past)
    expected = purchases * each
    top = np.lexsort((log.ids[rows].astype(str), -expected))[:n]
    table = _value_table(log, rows[top], purchases[top], expected[top],
                         np.quantile(worth.draws(past.where(top), horizon, OWN_DRAWS, 0),
                                     [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0))
    groups, total = _groups(shop, log, rows, expected, lambda seed: worth.draws(past, horizon, 1, 1 + seed)[0], level)
    return Values(title=say("What customers will bring within {days} days", days=horizon), table=table,
                  evidence=Estimate(say("all customers together"), total, evidence.sentence()), method=worth.name,
                  asked={"question": "customers.lifetime_value", "horizon": horizon, "n": n, "level": level},
                  notes=(*notes, _books(log, horizon)),
                  parts={"groups": groups, "deciles": _deciles(expected)})


def _groups(shop: Shop, log: Log, rows: Ints, expected: Floats, draw: Callable[[int], Floats],
            level: float) -> tuple[pa.Table, Interval]:
    """Sums over all, by month of the first purchase and by the channel that brought them; and that of all."""
    months = log.days.bought().first()[rows].astype("datetime64[D]").astype("datetime64[M]").astype(str).tolist()
    channels = inputs.read_channels(shop, log.ids[rows]).tolist()
    keys = [[("total", "all")] * len(rows), [("cohort", name) for name in months],
            [("channel", name) for name in channels]]
    names = sorted({key for part in keys for key in part}, key=lambda key: (KINDS.index(key[0]), key[1]))
    place = {key: at for at, key in enumerate(names)}
    parts = [np.array([place[key] for key in part], np.int64) for part in keys]

    def summed(values: Floats) -> Floats:
        return np.asarray(sum(np.bincount(part, values, len(names)) for part in parts), np.float64)

    ends = np.quantile([summed(draw(seed)) for seed in range(draws_for(len(rows)))], [(1 - level) / 2, (1 + level) / 2],
                       axis=0)
    value, count = summed(expected), summed(np.ones(len(rows)))
    table = pa.table({"by": [key[0] for key in names], "name": [key[1] for key in names],
                      "customers": count.astype(np.int64), "value": value, "low": ends[0], "high": ends[1],
                      "share": value / max(expected.sum(), 1e-9)}, schema=answers.GROUPS)
    return table, Interval(float(value[0]), float(ends[0][0]), float(ends[1][0]), level, len(rows), len(rows))


def _value_table(log: Log, rows: Ints, purchases: Floats, expected: Floats, ends: Floats) -> pa.Table:
    mine = log.days.bought()
    return pa.table({
        "rank": np.arange(1, len(rows) + 1), "customer": log.ids[rows].tolist(), "purchases": purchases,
        "value": expected, "low": ends[0], "p50": ends[1], "high": ends[2],
        "past": log.days.total(log.days.money)[rows], "bought": mine.total()[rows].astype(np.int64),
        "last": dates(mine.last()[rows])}, schema=answers.VALUES)


def _deciles(expected: Floats) -> pa.Table:
    parts = np.array_split(np.sort(expected)[::-1], 10)
    return pa.table({"decile": list(range(1, 11)), "customers": [len(part) for part in parts],
                     "value": [float(part.sum()) for part in parts]})


def _books(log: Log, horizon: int) -> Any:
    """What the books say of as many days before."""
    days, span = log.days.where(log.days.day >= log.cut - horizon), log.cut - int(log.days.day.min())
    return say("the books: {money:,.0f} {currency} came in the last {days:,} days of this log.",
               money=float(days.money.sum()), currency=log.currency, days=min(horizon, span))


def dates(day: Ints) -> Any:
    """Days counted from 1970 as dates."""
    return pa.array(np.asarray(day, np.int64).astype("datetime64[D]"), pa.date32())


@question
def at_risk(shop: Shop, *, within: int | None = None, n: int = 100) -> Risks:
    """Name the customers who have most likely stopped buying, the dearest loss first, and why.

    Args:
        shop: An opened shop; only read.
        within: Days without a purchase that count as having stopped; by default chosen by the shop's own gaps between
            purchases.
        n: How many customers to name.

    Returns:
        Customers by `loss`: the chance that they stop, times what they would spend within as many days if they went on.

    Raises:
        TooLittleHistory: Fewer than 500 customers, 180 days, 50 customers with three purchases, or no order lately.
        BadInput: A number makes no sense.
    """
    check(n, within)
    log = inputs.read(shop)
    trials.enough(log)
    found = warner(shop, log, within)
    cases = cases_at(log.days, log.cut, found.within, known=False)
    chance = found.judged.chance(cases)
    expected = going_on(log, cases.customer, found.within)
    order = np.lexsort((log.ids[cases.customer].astype(str), -chance * expected))[:n]
    table = _risk_table(log, cases.where(order), chance[order], expected[order], found)
    parts = {"reliability": pa.Table.from_pylist(list(found.reliability))} if found.reliability else {}
    return Risks(title=say("Who may have stopped buying"), table=table, evidence=found.evidence, method=found.method,
                 asked={"question": "customers.at_risk", "within": within, "n": n}, within=found.within, parts=parts,
                 notes=(say("stopped means: no purchase within {days} days; nine of ten who come back come sooner than "
                            "the shop's usual {usual} days.", days=found.within, usual=trials.horizon_of(log)),
                        say("{n:,} customers bought lately enough to be asked about.", n=len(cases)), *found.notes))


def going_on(log: Log, customers: Ints, within: int) -> Floats:
    """(n,) what customers would spend within so many days if they went on as before."""
    rows, past = repeats(log.days, log.cut)
    place = np.zeros(log.days.n_customers, np.int64)
    place[rows] = np.arange(len(rows))
    rate, mine = PastRate.fit(log.days, log.cut), past.where(place[customers])
    return rate.purchases(mine, within) * rate.each(mine)


def _risk_table(log: Log, cases: Cases, chance: Floats, expected: Floats, found: Warner) -> pa.Table:
    scorer = found.judged.scorer
    x = cases.over(scorer.names)
    shares = scorer.shares(x)
    last = log.days.bought().last()[cases.customer]
    why = [[{"what": scorer.names[at], "value": float(x[row, at]), "adds": float(shares[row, at])}
            for at in np.argsort(-shares[row], kind="stable")[:REASONS] if shares[row, at] > 0]
           for row in range(len(cases))]
    return pa.table({
        "rank": np.arange(1, len(cases) + 1), "customer": log.ids[cases.customer].tolist(), "probability": chance,
        "loss": chance * expected, "expected": expected, "silent": log.today - last, "last": dates(last),
        "method": [found.method] * len(cases), "because": pa.array(why, pa.list_(answers.BECAUSE))},
        schema=answers.RISKS)


@question
def segments(shop: Shop, *, seed: int = 0) -> Segments:
    """Divide the customers by how lately, how often and for how much they buy, each segment with its exact rule.

    Args:
        shop: An opened shop; only read.
        seed: Of the groups of customers who behave alike.

    Returns:
        A row a segment. Groups by behaviour, where steady ones exist, are the part `clusters`.

    Raises:
        UnknownName: Nobody has bought anything.

    >>> segments(Shop.simulated(customers=60, items=30, days=60)).table.column_names[:3]
    ['segment', 'rule', 'customers']
    """
    log = inputs.read(shop)
    table, saved = sorted_out(shop, log)
    clusters, notes = grouped(log, seed)
    said = say("the rules are those that were published.") if saved else say(
        "the rules are cut from this log; shopkeeper customers publish {path} keeps them.", path=str(shop.path))
    return Segments(title=say("Customers by segment"), table=table, method="rfm",
                    evidence=ExactCount(say("customers who bought"), len(log.ids)),
                    asked={"question": "customers.segments", "seed": seed}, notes=(said, *notes),
                    parts={"clusters": clusters})


@question
def profile(shop: Shop, customer: str) -> Profile:
    """Say what is known of one customer: interests, prices, rhythm, the next purchase, what they looked for in vain.

    Args:
        shop: An opened shop; only read.
        customer: The customer as the merchant knows them, or a pseudonym.

    Returns:
        A row a trait, with its interval where it is an estimate and on how much it rests. Interests, what was not
        found and the timeline are parts.

    Raises:
        UnknownName: The log does not know the customer.
    """
    name, events = inputs.read_one(shop, customer)
    traits, parts, notes = profile_of(shop, events)
    return Profile(title=say("Customer {customer}", customer=customer), table=traits, method="counts",
                   evidence=ExactCount(say("event lines of this customer"), events.num_rows), parts=parts, notes=notes,
                   asked={"question": "customers.profile", "customer": customer, "person": name})
