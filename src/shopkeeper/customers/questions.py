"""The questions about customers: inputs -> method -> answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.asking import question
from shopkeeper.customers import answers, inputs, trials
from shopkeeper.customers.answers import Estimate, Profile, Risks, Segments, Values
from shopkeeper.customers.desk import Warner, draws_for, valuer, warner
from shopkeeper.customers.grouping import belongs, grouped, own, segment_of, sorted_out
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods.base import Floats, Ints, Repeats, repeats
from shopkeeper.customers.methods.rfm import NAMES
from shopkeeper.customers.methods.risk import Cases
from shopkeeper.customers.methods.stopping import cases_at
from shopkeeper.customers.methods.value import PastRate
from shopkeeper.customers.profiles import profile_of
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.evidence import ExactCount, Interval
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

REASONS = 3       # that are named for a customer
OWN_DRAWS = 400   # futures of each customer that is named
USUAL = "usual gap"  # the feature
KINDS = ("total", "cohort", "segment", "channel")


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
def lifetime_value(shop: Shop, *, horizon: int = 365, n: int = 100, level: float = 0.9,
                   segment: str | None = None) -> Values:
    """Say what each customer will bring, with an interval, the dearest first; and what all of them will bring.

    Args:
        shop: An opened shop; only read.
        horizon: Days to look ahead from the shop's clock.
        n: How many customers to name.
        level: Level of the intervals.
        segment: Only customers of this segment.

    Returns:
        Customers by `value`: expected money within the horizon. Totals, cohorts, segments and channels are the part
        `groups`.

    Raises:
        BadInput: A number makes no sense. UnknownName: Nobody has bought anything, or there is no such segment.

    >>> lifetime_value(Shop.simulated(customers=60, items=30, days=60), horizon=90, n=3).table.num_rows
    3
    """
    check(n, horizon=horizon, level=level)
    log = inputs.read(shop)
    worth, evidence, notes = valuer(shop, log)
    rows, past = repeats(log.days, log.cut)
    rows, past = _only(shop, log, segment, rows, past)
    purchases, each = worth.purchases(past, horizon), worth.each(past)
    expected = purchases * each
    top = np.lexsort((log.ids[rows].astype(str), -expected))[:n]
    table = _value_table(log, rows[top], purchases[top], expected[top],
                         np.quantile(worth.draws(past.where(top), horizon, OWN_DRAWS, 0),
                                     [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0))
    groups, total = _groups(shop, log, rows, expected, lambda seed: worth.draws(past, horizon, 1, 1 + seed)[0], level)
    return Values(title=say("What customers will bring within {days} days", days=horizon), table=table,
                  evidence=Estimate(say("all customers together"), total, evidence.sentence()), method=worth.name,
                  asked={"question": "customers.lifetime_value", "horizon": horizon, "n": n, "level": level,
                         "segment": segment},
                  notes=(*notes, _books(log, horizon)),
                  parts={"groups": groups, "deciles": _deciles(expected)})


def _only(shop: Shop, log: Log, segment: str | None, rows: Ints, past: Repeats) -> tuple[Ints, Repeats]:
    """Those of the customers who belong to a segment."""
    if segment is None:
        return rows, past
    mine = belongs(shop, log, segment)[rows]
    if not mine.any():
        raise nobody(segment)
    return rows[mine], past.where(mine)


def nobody(segment: str) -> UnknownName:
    """The refusal for a segment without customers."""
    return UnknownName(say("nobody who bought belongs to segment {segment} today.", segment=repr(segment)),
                       do=[say("ask without a segment."), say("shopkeeper customers segments SHOP")],
                       why=say("a segment is a rule, asked anew of today's customers."))


def _groups(shop: Shop, log: Log, rows: Ints, expected: Floats, draw: Callable[[int], Floats],
            level: float) -> tuple[pa.Table, Interval]:
    """Sums over all, by month of the first purchase, by segment and by the channel that brought them; and of all."""
    months = log.days.bought().first()[rows].astype("datetime64[D]").astype("datetime64[M]").astype(str).tolist()
    told = {"total": ["all"] * len(rows), "cohort": months, "segment": segment_of(shop, log)[rows].tolist(),
            "channel": inputs.read_channels(shop, log.ids[rows]).tolist()}
    names = [(by, name) for by in KINDS for name in (
        [one for one in NAMES if one in set(told[by])] if by == "segment" else sorted(set(told[by])))]
    place = {key: at for at, key in enumerate(names)}
    parts = np.array([[place[by, name] for name in told[by]] for by in KINDS], np.int64)  # (kinds, n)
    drawn = [_summed(parts, draw(seed), len(names)) for seed in range(draws_for(len(rows)))]
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    value, count = (_summed(parts, values, len(names)) for values in (expected, np.ones(len(rows))))
    table = pa.table({"by": [key[0] for key in names], "name": [key[1] for key in names],
                      "customers": count.astype(np.int64), "value": value, "low": ends[0], "high": ends[1],
                      "share": value / max(expected.sum(), 1e-9)}, schema=answers.GROUPS)
    return table, Interval(float(value[0]), float(ends[0][0]), float(ends[1][0]), level, len(rows), len(rows))


def _summed(parts: Ints, values: Floats, n: int) -> Floats:
    """(n,) sums of values (m,) over groups; `parts` (k, m) names a group of each of the k divisions."""
    return np.bincount(parts.ravel(), np.tile(values, len(parts)), n).astype(np.float64)


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
def at_risk(shop: Shop, *, within: int | None = None, n: int = 100, segment: str | None = None) -> Risks:
    """Name the customers who have most likely stopped buying, the dearest loss first, and why.

    Args:
        shop: An opened shop; only read.
        within: Days without a purchase that count as having stopped; by default chosen by the shop's own gaps between
            purchases.
        n: How many customers to name.
        segment: Only customers of this segment.

    Returns:
        Customers by `loss`: the chance that they stop, times what they would spend within as many days if they went on.

    Raises:
        TooLittleHistory: Fewer than 500 customers, 180 days, 50 customers with three purchases, or no order lately.
        BadInput: A number makes no sense. UnknownName: There is no such segment, or nobody belongs to it.
    """
    check(n, within)
    log = inputs.read(shop)
    trials.enough(log)
    found = warner(shop, log, within)
    cases = cases_at(log.days, log.cut, found.within, known=False)
    if segment is not None:
        cases = cases.where(belongs(shop, log, segment)[cases.customer])
        if not len(cases):
            raise nobody(segment)
    chance = found.judged.chance(cases)
    expected = going_on(log, cases.customer, found.within)
    order = np.lexsort((log.ids[cases.customer].astype(str), -chance * expected))[:n]
    table = _risk_table(log, cases.where(order), chance[order], expected[order], found)
    parts = {"reliability": pa.Table.from_pylist(list(found.reliability))} if found.reliability else {}
    parts |= {"areas": _areas(found.judged.held_out)} if found.judged.held_out else {}
    return Risks(title=say("Who may have stopped buying"), table=table, evidence=found.evidence, method=found.method,
                 asked={"question": "customers.at_risk", "within": within, "n": n, "segment": segment}, parts=parts,
                 within=found.within,
                 notes=(say("stopped means: no purchase within {days} days; nine of ten who come back come sooner than "
                            "the shop's usual {usual} days.", days=found.within, usual=trials.horizon_of(log)),
                        say("{n:,} customers bought lately enough to be asked about.", n=len(cases)),
                        *_shifting(found.judged.held_out), *found.notes))


def _areas(held_out: Sequence[Mapping[str, float]]) -> pa.Table:
    """A row a day that was learned from: how well it is told after learning from the others."""
    return pa.table({"day": dates(np.array([one["day"] for one in held_out])),
                     "customers": [int(one["customers"]) for one in held_out],
                     "stopped": [one["stopped"] for one in held_out], "auc": [one["auc"] for one in held_out]},
                    schema=answers.AREAS)


def _shifting(held_out: Sequence[Mapping[str, float]]) -> tuple[Sentence, ...]:
    """What must be said where the warning does better on some days than on others."""
    spread = trials.unsteady(held_out)
    if spread <= trials.UNSTEADY:
        return ()
    low, high = (pick(one["auc"] for one in held_out) for pick in (min, max))
    return (say("this warning shifts: on the days that it was learned from the area lies between {low} and {high}, "
                "which is more than chance explains.", low=round(low, 2), high=round(high, 2)),)


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
        "loss": chance * expected, "expected": expected, "silent": log.today - last,
        "usual": cases.column(USUAL), "last": dates(last),
        "method": [found.method] * len(cases), "because": pa.array(why, pa.list_(answers.BECAUSE))},
        schema=answers.RISKS)


@question
def segments(shop: Shop, *, seed: int = 0) -> Segments:
    """Divide the customers by how lately, how often and for how much they buy, each segment with its exact rule.

    Args:
        shop: An opened shop; only read.
        seed: Of the groups of customers who behave alike.

    Returns:
        A row a segment. Groups by behaviour, where steady ones exist, are the part `clusters`; what was saved by
        `save_segment`, with how many it holds of now, is the part `saved`.

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
                    parts={"clusters": clusters, "saved": own(shop)})


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
    traits, parts, notes = profile_of(shop, name, events)
    return Profile(title=say("Customer {customer}", customer=customer), table=traits, method="counts",
                   evidence=ExactCount(say("event lines of this customer"), events.num_rows), parts=parts, notes=notes,
                   asked={"question": "customers.profile", "customer": customer, "person": name})
