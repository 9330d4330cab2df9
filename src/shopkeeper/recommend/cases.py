"""What a trial asks and what was right: histories up to the cut, and what people did after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shopkeeper.evidence.metrics import Relevant
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import Histories, ItemSets

Rows = npt.NDArray[np.int64]
HOUR = 3_600_000_000  # microseconds
FOLLOW = 10           # things that follow and count as right


@dataclass(frozen=True)
class Cases:
    """The cases of one window.

    Attributes:
        histories: What was known of each of m cases at the cut.
        relevant: Item rows that were right, a set for each case; none is empty.
        cluster: (m,) the customer of each case: cases of one customer are not independent.
        known: Item rows to leave out of each ranking, a set for each case, or None.
        found: Cases in the window before sampling.
    """

    histories: Histories
    relevant: Relevant
    cluster: Rows
    known: ItemSets | None
    found: int


def sampled(rows: Rows, most: int, seed: int) -> Rows:
    """At most so many rows, the same for the same seed, in ascending order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def repeated_share(log: Log, split: TimeSplit) -> float:
    """Which share of the window's targets had the same person and item before: do people come back for things?"""
    part, pair = log.interactions, log.interactions.customer.astype(np.int64) * log.interactions.n_items
    pair = pair + part.item
    window = split.test(part.when) & log.target
    before = np.unique(pair[split.train(part.when) & log.target])
    return float(np.isin(np.unique(pair[window]), before).mean()) if window.any() else 0.0


def active_people(log: Log, split: TimeSplit, seed: int, most: int, *, repeats: bool = True) -> Cases:
    """Everybody who did what recommending is for within the window: history before it, items of the window."""
    part = log.interactions
    window = split.test(part.when) & log.target
    customer, item = part.customer[window].astype(np.int64), part.item[window].astype(np.int64)
    past = split.train(part.when) & log.target
    if not repeats:
        key = customer * part.n_items + item
        had = part.customer[past].astype(np.int64) * part.n_items + part.item[past]
        new = ~np.isin(key, had)
        customer, item = customer[new], item[new]
    everybody = np.unique(customer)
    people = sampled(everybody, most, seed)
    chosen = np.isin(customer, people)
    relevant = Relevant.pairs(np.searchsorted(people, customer[chosen]), item[chosen], len(people))
    known = None
    if not repeats:
        theirs = past & np.isin(part.customer, people)
        pairs = Relevant.pairs(np.searchsorted(people, part.customer[theirs]), part.item[theirs], len(people))
        known = ItemSets(pairs.indptr, pairs.items)
    histories = Histories.of(part.before(split.train_until), people)
    return Cases(histories, relevant, people, known, len(everybody))


def baskets(log: Log, split: TimeSplit, seed: int, most: int, *, repeats: bool = True) -> Cases:
    """Baskets of the window with at least two things: one of them is shown, the others are right."""
    part = log.interactions
    rows = np.flatnonzero(split.test(part.when) & log.target)
    key = np.unique(part.basket[rows].astype(np.int64) * part.n_items + part.item[rows])
    basket, item = key // part.n_items, key % part.n_items
    ids, size = np.unique(basket, return_counts=True)
    several = ids[size >= 2]
    chosen = sampled(several, most, seed)
    keep = np.isin(basket, chosen)
    case, item = np.searchsorted(chosen, basket[keep]), item[keep]
    shown = _one_each(case, len(chosen), seed)
    rest = np.ones(len(case), dtype=bool)
    rest[shown] = False
    owner = _owner(part.basket[rows], part.customer[rows], chosen)
    return _shown_and_right(item[shown], Relevant.pairs(case[rest], item[rest], len(chosen)), owner, split,
                            len(several))


def next_things(log: Log, split: TimeSplit, seed: int, most: int, *, repeats: bool = True) -> Cases:
    """One thing that a person turned to in the window, and the other things that they turned to next, elsewhere.

    Right are the (at most ten) different things that follow in later baskets or sessions of the window.
    """
    part = log.interactions
    rows = np.flatnonzero(split.test(part.when))
    rows = rows[np.lexsort((_chance(rows, seed), part.basket[rows], part.when[rows], part.customer[rows]))]
    customer, item, basket = part.customer[rows].astype(np.int64), part.item[rows].astype(np.int64), part.basket[rows]
    later = np.flatnonzero((customer[1:] == customer[:-1]) & (basket[1:] != basket[:-1]))  # last row of a basket
    chosen = sampled(later, most, seed)
    ends = np.searchsorted(customer, customer[chosen], side="right")
    return _followed(chosen, np.minimum(ends, chosen + 1 + FOLLOW), (customer, item), split, len(later))


def alike_things(log: Log, split: TimeSplit, seed: int, most: int, *, repeats: bool = True) -> Cases:
    """One thing that a person turned to in the window, and what else of its category they turned to later.

    A case is the first time that a person meets the thing within the window; right are the (at most ten) different
    things of the same category that follow later in time. Things without a category make no case.
    """
    part, codes = log.interactions, np.asarray(log.codes)
    rows = np.flatnonzero(split.test(part.when))
    rows = rows[codes[part.item[rows]] >= 0]
    kind = part.customer[rows].astype(np.int64) * (int(codes.max(initial=0)) + 1) + codes[part.item[rows]]
    rows = rows[np.lexsort((_chance(rows, seed), part.when[rows], kind))]
    customer, item, when = part.customer[rows].astype(np.int64), part.item[rows].astype(np.int64), part.when[rows]
    kind = np.sort(kind)
    meets = np.zeros(len(rows), dtype=bool)  # the first line of a person with a thing
    meets[np.unique(customer * part.n_items + item, return_index=True)[1]] = True
    ends = np.searchsorted(kind, kind, side="right")  # one past the last line of the person and the category
    later = np.flatnonzero(meets & (when[ends - 1] > when)) if len(rows) else np.zeros(0, dtype=np.int64)
    chosen = sampled(later, most, seed)
    ends = ends[chosen] if len(chosen) else chosen
    return _followed(chosen, ends, (customer, item), split, len(later), when=when)


def _chance(rows: Rows, seed: int) -> npt.NDArray[np.float64]:
    """A random key a row: things of one moment have no order, and their names must not give them one."""
    return np.random.default_rng(seed + 2).random(len(rows))


def _followed(chosen: Rows, ends: Rows, lines: tuple[Rows, Rows], split: TimeSplit, found: int, *,
              when: Rows | None = None) -> Cases:
    """A case for each chosen line: the different things from the next line to the end, at most ten.

    Args:
        chosen: (m,) line numbers.
        ends: (m,) one past the last line that may be right.
        lines: Customer and item of each line.
        split: For the moment of asking.
        found: Cases before sampling.
        when: Where given, only lines later in time are right.
    """
    customer, item = lines
    case: list[int] = []
    right: list[int] = []
    for number, (place, end) in enumerate(zip(chosen.tolist(), ends.tolist(), strict=True)):
        follow = item[place + 1:end] if when is None else item[place + 1:end][when[place + 1:end] > when[place]]
        other = list(dict.fromkeys(follow[follow != item[place]].tolist()))[:FOLLOW]
        case += [number] * len(other)
        right += other
    some, case_of = np.unique(np.asarray(case, dtype=np.int64), return_inverse=True)
    relevant = Relevant.pairs(case_of, np.asarray(right, dtype=np.int64), len(some))
    return _shown_and_right(item[chosen[some]], relevant, customer[chosen[some]], split, found)


def _one_each(case: Rows, m: int, seed: int) -> Rows:
    """A random row of each case; `case` is ascending."""
    start = np.searchsorted(case, np.arange(m))
    size = np.searchsorted(case, np.arange(m), side="right") - start
    return start + np.floor(np.random.default_rng(seed + 1).random(m) * size).astype(np.int64)


def _owner(basket: Rows, customer: npt.NDArray[np.int32], chosen: Rows) -> Rows:
    ids, first = np.unique(basket, return_index=True)
    return customer[first[np.searchsorted(ids, chosen)]].astype(np.int64)


def _shown_and_right(shown: Rows, relevant: Relevant, owner: Rows, split: TimeSplit, found: int) -> Cases:
    """Cases whose history is one thing, seen at the cut; the thing itself is no answer."""
    m = len(shown)
    at = np.full(m, split.train_until - HOUR, dtype=np.int64)
    alone = ItemSets(np.arange(m + 1, dtype=np.int64), shown.astype(np.int64))
    histories = Histories(indptr=alone.indptr, item=alone.item, when=at, weight=np.ones(m, dtype=np.float32),
                          basket=np.arange(m, dtype=np.int64))
    return Cases(histories, relevant, owner, alone, found)
