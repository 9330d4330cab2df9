"""What people could not help seeing: how likely it was that they saw what they took, and weights that undo it.

A list that was shown makes its items, and its first places most, be taken more often. Where lists were given by chance
and the log holds that chance, what was taken after it was shown counts 1 / (chance of the list x chance that its place
is looked at). What nobody was shown counts 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from shopkeeper.evidence.metrics import Relevant, hits_at
from shopkeeper.recommend.methods.base import DAY, Interactions
from shopkeeper.words import Sentence, say

__all__ = ["CLIP", "FEWEST", "SPAN", "Exposed", "Looking", "Weighing", "first_times", "judged", "weighed_ndcg"]

Numbers = npt.NDArray[np.float64]
Taken = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]  # customer, item, when, (m,) each
SPAN = 7 * DAY   # after it was shown for so long, a thing that is taken counts as seen
CLIP = 0.05      # the least chance that is believed: a weight is at most 1 / CLIP
FEWEST = 50      # things taken after they were shown, and effective cases, without which nothing can be judged
_CLICKS = 100    # clicks of people who met one thing at several places, from which on it is asked how places count
_LOWER = 1.96    # standard errors


@dataclass(frozen=True)
class Exposed:
    """What was shown to whom, a line an item of a list; all arrays (n,).

    Attributes:
        customer, item: Rows, int64.
        when: Microseconds UTC.
        position: Place in the list, from 1.
        chance: The logged propensity, in (0, 1].
        clicked: Whether an event of this person carries the list's request and the item.
    """

    customer: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    when: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    chance: Numbers
    clicked: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.when)

    def where(self, lines: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Exposed:
        """Only these lines (a mask or line numbers)."""
        return Exposed(self.customer[lines], self.item[lines], self.when[lines], self.position[lines],
                       self.chance[lines], self.clicked[lines])

    def before(self, cut: int) -> Exposed:
        """Only what was shown before `cut`."""
        return self.where(self.when < cut)

    def looking(self) -> Looking:
        """How much less likely later places are looked at: from people who met one thing at several places.

        Given that one of these meetings was clicked, the chance that it was the one at place k is proportional to
        k^-steep: what a person wants of the thing cancels out. Where the 95 % interval of `steep` holds 0, it is 0.

        Source:
            Joachims, Swaminathan, Schnabel (2017), Unbiased Learning-to-Rank with Biased Feedback (the form k^-steep);
            Maclure (1991), The Case-Crossover Design (each person their own control).
        """
        place = np.log(np.maximum(self.position, 1).astype(np.float64))
        pair = np.unique(np.stack([self.customer, self.item]), axis=1, return_inverse=True)[1].ravel()
        n = int(pair.max(initial=-1)) + 1
        low, high = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(low, pair, place)
        np.maximum.at(high, pair, place)
        clicks = np.bincount(pair, self.clicked, minlength=n)
        telling = ((high > low) & (clicks > 0))[pair]
        if clicks[(high > low)].sum() < _CLICKS:
            return Looking(0.0, None)
        pair, place, hit = np.unique(pair[telling], return_inverse=True)[1], place[telling], self.clicked[telling]
        found = minimize_scalar(lambda steep: _unlikely(steep, pair, place, hit)[0], bounds=(-3, 3), method="bounded")
        error = 1 / np.sqrt(max(_unlikely(found.x, pair, place, hit)[1], 1e-9))
        return Looking(float(found.x) if found.x > _LOWER * error else 0.0, float(error))

    def weights(self, taken: Taken, looking: Looking) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """What each thing that was taken counts, and whether it had been shown.

        Args:
            taken: Customer, item and time of each, (m,).
            looking: How places are looked at.
        """
        customer, item, when = taken
        m, n = len(when), len(self)
        row = np.concatenate([np.arange(n), np.full(m, -1)])  # of the exposure; -1: something taken
        key = [np.concatenate(two) for two in ((self.customer, customer), (self.item, item), (self.when, when))]
        by = np.lexsort((np.arange(n + m), key[2], key[1], key[0]))
        at = np.where(row[by] >= 0, np.arange(n + m), -1)
        last = by[np.maximum(np.maximum.accumulate(at), 0)]  # the newest exposure up to here
        mine = by[row[by] < 0] - n
        last = last[row[by] < 0]
        seen = np.zeros(m, dtype=bool)
        value = np.ones(m)
        if n and m:
            shown = np.minimum(last, n - 1)
            same = ((last < n) & (self.customer[shown] == customer[mine]) & (self.item[shown] == item[mine])
                    & (when[mine] - self.when[shown] >= 0) & (when[mine] - self.when[shown] <= SPAN))
            chance = self.chance[shown] * looking.at(self.position[shown])
            seen[mine], value[mine] = same, np.where(same, 1 / np.maximum(chance, CLIP), 1.0)
        return value, seen


@dataclass(frozen=True)
class Looking:
    """The chance that place k is looked at, k^-steep, and the standard error of `steep`; None: it cannot be told."""

    steep: float
    error: float | None

    def at(self, position: npt.ArrayLike) -> Numbers:
        """Of each place, from 1."""
        return np.maximum(np.asarray(position, dtype=np.float64), 1.0) ** -self.steep


@dataclass(frozen=True)
class Weighing:
    """What the things that were right count, an entry a pair of case and item, in the order of `Relevant`.

    Attributes:
        weight: (pairs,) 1 for what was not shown.
        shown: How many were taken after they were shown.
        effective: (sum w)^2 / sum w^2 over those: so many independent ones tell as much.
        looking: How places are looked at.
    """

    weight: Numbers
    shown: int
    effective: float
    looking: Looking

    def why_not(self) -> Sentence | None:
        """Why nothing can be judged from it; None where it can."""
        if self.shown < FEWEST or self.effective < FEWEST:
            return say("{shown:,} things were taken within {days} days after they were shown with a logged chance, "
                       "which tell as much as {effective:,} independent ones; {need} are needed.", shown=self.shown,
                       days=SPAN // DAY, effective=round(self.effective), need=FEWEST)
        if bool((self.weight == 1).all()):
            return say("everything was shown with a chance of 1: nothing was left to chance, and what else would have "
                       "been taken cannot be told.")
        return None


def first_times(lines: Interactions, people: npt.NDArray[np.int64], relevant: Relevant) -> Taken:
    """When each pair of case and item was taken first.

    Args:
        lines: What was taken; nothing else.
        people: (m,) the customer of each case.
        relevant: The pairs, all of them among the lines.
    """
    key = lines.customer.astype(np.int64) * lines.n_items + lines.item
    by = np.lexsort((lines.when, key))
    customer = people[relevant.cases].astype(np.int64)
    at = np.searchsorted(key[by], customer * lines.n_items + relevant.items)
    return customer, relevant.items, lines.when[by][at]


def judged(exposed: Exposed | None, relevant: Relevant, taken: Taken, cut: int) -> Weighing:
    """Weigh what was right.

    Args:
        exposed: What was shown; None: nothing with a logged chance.
        relevant: What was right.
        taken: Customer, item and time of each pair of it, in its order.
        cut: How places are looked at is learned from what was shown before it.
    """
    n = len(relevant.items)
    if exposed is None or not len(exposed):
        return Weighing(np.ones(n), 0, 0.0, Looking(0.0, None))
    looking = exposed.before(cut).looking()
    weight, seen = exposed.weights(taken, looking)
    some = weight[seen]
    effective = float(some.sum() ** 2 / (some @ some)) if len(some) else 0.0
    return Weighing(weight, int(seen.sum()), effective, looking)


def weighed_ndcg(ranked: npt.ArrayLike, relevant: Relevant, weight: Numbers, k: int) -> Numbers:
    """NDCG@k of each case (m,), what is right counting by its weight, times the case's share of all weight.

    The mean over cases is the self-normalised estimate: sum of weights x gains over the sum of weights.

    Source:
        Swaminathan, Joachims (2015), The Self-Normalized Estimator for Counterfactual Learning.
    """
    top = np.asarray(ranked, dtype=np.int64)[:, :k]
    case = np.repeat(np.arange(len(top)), relevant.counts)
    discount = 1 / np.log2(np.arange(2, k + 2))
    order = np.lexsort((-weight, case))
    place = np.arange(len(case)) - relevant.indptr[case]
    best = np.where(place < k, weight[order] * discount[np.minimum(place, k - 1)], 0.0)
    ideal = np.bincount(case, best, minlength=len(top))
    row, column = np.nonzero(hits_at(top, relevant, k))
    at = np.searchsorted(case * (int(relevant.items.max(initial=0)) + 1) + relevant.items,
                         row * (int(relevant.items.max(initial=0)) + 1) + top[row, column])
    gained = np.bincount(row, weight[at] * discount[column], minlength=len(top))
    mass = np.bincount(case, weight, minlength=len(top)) / relevant.counts
    return np.asarray(gained / ideal * mass / mass.mean())


def _unlikely(steep: float, pair: npt.NDArray[np.int64], place: Numbers,
              hit: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Negative log-likelihood of the places of clicks, and its second derivative."""
    mass = np.exp(-steep * place)
    clicks = np.bincount(pair, hit)
    total = np.bincount(pair, mass)
    mean = np.bincount(pair, mass * place) / total
    spread = np.bincount(pair, mass * place**2) / total - mean**2
    value = steep * float(place[hit].sum()) + float(clicks @ np.log(total))
    return value, float(clicks @ spread)
