"""How good an answer was: ranked lists and stated probabilities, each metric by its exact definition.

A ranking metric takes `ranked` (n_cases, columns) int64 item rows, best first, -1 where the list had nothing, and
`relevant`, the items that each case turned out to want; it gives one value a case, (n_cases,) float64, so that two
methods can be compared case by case. A case with no relevant item has no value: the caller leaves it out and says how
many were left out. A list that names an item twice is an error, and so is a list shorter than `k`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Relevant:
    """The items that each case turned out to want, without repeats, in compressed rows.

    Attributes:
        indptr: (n_cases + 1,) int64; case i owns `items[indptr[i]:indptr[i + 1]]`.
        items: int64 item rows, ascending and unique within a case.

    Raises:
        ValueError: The rows are not of that form; `of`, `single` and `pairs` make them so.

    >>> wanted = Relevant.of([[3, 1, 3], [], [2]])
    >>> wanted.indptr.tolist(), wanted.items.tolist(), wanted.counts.tolist()
    ([0, 2, 2, 3], [1, 3, 2], [2, 0, 1])
    """

    indptr: Ints
    items: Ints

    def __post_init__(self) -> None:
        inside = np.diff(self.cases) == 0
        if self.indptr[-1] != len(self.items) or not (np.diff(self.items)[inside] > 0).all():
            raise ValueError("items must be ascending and unique within a case: build with `of`, `single` or `pairs`")

    @classmethod
    def of(cls, lists: Iterable[npt.ArrayLike]) -> Relevant:
        """One list of item rows a case."""
        arrays = [np.asarray(one, np.int64).ravel() for one in lists]
        case = np.repeat(np.arange(len(arrays)), [len(one) for one in arrays])
        return cls.pairs(case, np.concatenate([*arrays, np.empty(0, np.int64)]), len(arrays))

    @classmethod
    def single(cls, items: npt.ArrayLike) -> Relevant:
        """Exactly one item a case: `items` (n_cases,)."""
        rows = _rows(np.asarray(items, np.int64))
        return cls(np.arange(len(rows) + 1), rows)

    @classmethod
    def pairs(cls, case: npt.ArrayLike, item: npt.ArrayLike, n_cases: int) -> Relevant:
        """From (n,) pairs of case number and item row, in any order and with repeats."""
        cases, items = np.asarray(case, np.int64), _rows(np.asarray(item, np.int64))
        if len(cases) and (cases.min() < 0 or cases.max() >= n_cases):
            raise ValueError(f"case numbers run from 0 to {n_cases - 1}")
        width = int(items.max(initial=0)) + 1
        keys = np.unique(cases * width + items)
        starts = np.searchsorted(keys, np.arange(n_cases + 1) * width)
        return cls(starts.astype(np.int64), keys % width)

    @property
    def counts(self) -> Ints:
        """How many items each case wants, (n_cases,)."""
        return np.diff(self.indptr)

    @property
    def cases(self) -> Ints:
        """The case of each entry of `items`."""
        return np.repeat(np.arange(len(self.indptr) - 1), self.counts)


def hits_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Mask:
    """Which of the first `k` places hold a relevant item, (n_cases, k) bool.

    Raises:
        ValueError: A list is shorter than `k`, names an item twice or does not fit the cases, or a case has no
            relevant item.

    >>> hits_at([[4, 2, -1]], Relevant.of([[2, 9]]), k=3).tolist()
    [[False, True, False]]
    """
    top, counts = _top(ranked, k), relevant.counts
    if len(top) != len(counts):
        raise ValueError(f"{len(top)} lists for {len(counts)} cases")
    if (counts == 0).any():
        raise ValueError(f"{int((counts == 0).sum())} cases have no relevant item: leave them out, and say how many")
    width = int(max(top.max(initial=0), relevant.items.max(initial=0))) + 1
    wanted = relevant.cases * width + relevant.items                    # ascending, unique
    asked = np.arange(len(top))[:, None] * width + top                  # (n_cases, k)
    place = np.minimum(np.searchsorted(wanted, asked), len(wanted) - 1)
    return np.asarray((wanted[place] == asked) & (top >= 0)) if len(wanted) else np.zeros(top.shape, bool)


def recall_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """Share of the relevant items that stand in the first `k` places: |top k and relevant| / |relevant|.

    With more than `k` relevant items it cannot reach 1.

    Source:
        Manning, Raghavan, Schütze (2008), Introduction to Information Retrieval, section 8.3.

    >>> recall_at([[4, 2, 7]], Relevant.of([[2, 9]]), k=3).tolist()
    [0.5]
    """
    found: Floats = hits_at(ranked, relevant, k).sum(1) / relevant.counts
    return found


def precision_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """Share of the first `k` places that hold a relevant item; an empty place (-1) counts as a miss.

    Source:
        Manning, Raghavan, Schütze (2008), section 8.4.

    >>> precision_at([[4, 2, -1, -1]], Relevant.of([[2, 9]]), k=4).tolist()
    [0.25]
    """
    found: Floats = hits_at(ranked, relevant, k).sum(1) / k
    return found


def hit_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """1 where at least one of the first `k` places holds a relevant item, else 0; with one relevant item, the recall.

    Source:
        Deshpande, Karypis (2004), Item-based top-N recommendation algorithms (hit rate).

    >>> hit_at([[4, 2], [4, 2]], Relevant.single([2, 3]), k=2).tolist()
    [1.0, 0.0]
    """
    return np.asarray(hits_at(ranked, relevant, k).any(1), np.float64)


def ndcg_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """Normalised discounted cumulative gain with binary gains.

    The sum of 1 / log2(place + 1) over the hits, places counted from 1, divided by the same sum for the best list
    possible, which has min(k, |relevant|) hits in front.

    Source:
        Järvelin, Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, with the discount at every place
        (Burges et al. 2005).

    >>> ndcg_at([[4, 2, 7]], Relevant.single([2]), k=3).round(4).tolist()
    [0.6309]
    """
    discount = 1 / np.log2(np.arange(2, k + 2))                         # (k,)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    gained = hits_at(ranked, relevant, k) @ discount                    # (n_cases,)
    return np.asarray(gained / ideal[np.minimum(relevant.counts, k)], np.float64)


def average_precision_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """Precision at the place of each hit in the first `k`, summed and divided by min(k, |relevant|).

    Source:
        Manning, Raghavan, Schütze (2008), section 8.4, cut at `k`; its mean over cases is MAP@k.

    >>> average_precision_at([[2, 4, 9]], Relevant.of([[2, 9]]), k=3).round(4).tolist()
    [0.8333]
    """
    hits = hits_at(ranked, relevant, k)
    precision = hits.cumsum(1) / np.arange(1, k + 1)                    # (n_cases, k)
    return np.asarray((precision * hits).sum(1) / np.minimum(relevant.counts, k))


def reciprocal_rank_at(ranked: npt.ArrayLike, relevant: Relevant, k: int) -> Floats:
    """1 / place of the first hit in the first `k`; 0 without one. Its mean over cases is MRR@k.

    Source:
        Voorhees (1999), The TREC-8 Question Answering Track Report.

    >>> reciprocal_rank_at([[4, 2], [4, 2]], Relevant.single([2, 3]), k=2).tolist()
    [0.5, 0.0]
    """
    hits = hits_at(ranked, relevant, k)
    return np.where(hits.any(1), 1 / (hits.argmax(1) + 1), 0.0)


def coverage_at(ranked: npt.ArrayLike, n_items: int, k: int) -> float:
    """Share of the catalogue that stands in the first `k` places of at least one list.

    Source:
        Ge, Delgado-Battenfeld, Jannach (2010), Beyond accuracy: evaluating recommender systems by coverage and
        serendipity (catalogue coverage).

    >>> coverage_at([[0, 1], [1, 2], [2, -1]], n_items=6, k=2)
    0.5
    """
    top = _top(ranked, k)
    if top.max(initial=-1) >= n_items:
        raise ValueError(f"item row {int(top.max())} in a catalogue of {n_items}")
    return len(np.unique(top[top >= 0])) / n_items


def novelty_at(ranked: npt.ArrayLike, popularity: npt.ArrayLike, k: int) -> float:
    """Mean of -log2 of the popularity share over all places filled, in bits; higher means less known items.

    Args:
        ranked: (n_cases, columns) item rows, -1 for nothing.
        popularity: (n_items,) how many events each item had; one without any counts as one event.
        k: How many places count.

    Source:
        Vargas, Castells (2011), Rank and relevance in novelty and diversity metrics for recommender systems
        (self-information), without a discount by place.

    >>> novelty_at([[0, 1]], popularity=[6, 2], k=1).__round__(4)
    0.415
    """
    top, events = _top(ranked, k), np.asarray(popularity, np.float64)
    share = np.maximum(events, 1) / max(events.sum(), 1)                # (n_items,)
    return float(-np.log2(share[_filled(top)]).mean())


def popularity_lift_at(ranked: npt.ArrayLike, history: Relevant, popularity: npt.ArrayLike, k: int) -> float:
    """How much more popular the lists are than what their customers chose by themselves; 0 means just as popular.

    (mean popularity of a list, averaged over customers) / (mean popularity of a history, averaged over the same
    customers) - 1. Customers with an empty list or an empty history stand outside.

    Args:
        ranked: (n_cases, columns) item rows, -1 for nothing.
        history: The items of each case's history.
        popularity: (n_items,) how many events, or customers, each item had.
        k: How many places count.

    Source:
        Abdollahpouri, Mansoury, Burke, Mobasher (2020), The connection between popularity bias, calibration, and
        fairness in recommendation (popularity lift over group average popularity).

    >>> popularity_lift_at([[0, 1]], Relevant.of([[1, 2]]), popularity=[30, 10, 10], k=2)
    1.0
    """
    top, events = _top(ranked, k), np.asarray(popularity, np.float64)
    if len(top) != len(history.counts):
        raise ValueError(f"{len(top)} lists for {len(history.counts)} histories")
    filled = (top >= 0).sum(1)
    both = (filled > 0) & (history.counts > 0)
    if not both.any():
        raise ValueError("no customer has both a list and a history")
    listed = (events[np.maximum(top, 0)] * (top >= 0)).sum(1)[both] / filled[both]
    chosen = np.bincount(history.cases, events[history.items], len(both))[both] / history.counts[both]
    return float(listed.mean() / chosen.mean() - 1)


def brier(p: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Mean squared distance between the stated probability and what happened (0 or 1); 0 is perfect.

    Source:
        Brier (1950), Verification of forecasts expressed in terms of probability (its one-sided form for two outcomes).

    >>> brier([0.8, 0.4], [1, 0]).__round__(4)
    0.1
    """
    stated, came = _stated(p, y)
    return float(((stated - came) ** 2).mean())


def brier_skill(p: npt.ArrayLike, y: npt.ArrayLike, base: float | None = None) -> float:
    """1 - Brier score / Brier score of always stating the base rate: above 0, the probabilities say more than that.

    Args:
        p: (n,) stated probabilities.
        y: (n,) what happened, 0 or 1.
        base: The base rate; by default the share of ones in `y`, the hardest constant to beat.

    Raises:
        ValueError: The base rate was right every time, so that there is no skill to show.

    Source:
        Murphy (1973), Hedging and skill scores for probability forecasts.

    >>> brier_skill([0.9, 0.1], [1, 0]).__round__(4)
    0.96
    """
    stated, came = _stated(p, y)
    rate = float(came.mean()) if base is None else base
    worst = float(((rate - came) ** 2).mean())
    if worst == 0:
        raise ValueError("the base rate is right every time: there is no skill to show")
    return 1 - brier(stated, came) / worst


def expected_calibration_error(p: npt.ArrayLike, y: npt.ArrayLike, bins: int = 10) -> float:
    """Mean distance between stated and observed share over bins of equal count, weighted by how many each holds.

    Cases are ordered by `p` and cut into `bins` of equal count; equal probabilities never part, so the order of the
    rows changes nothing and bins may differ in size.

    Source:
        Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning; equal counts
        as in Nguyen, O'Connor (2015), Posterior calibration and exploratory analysis for NLP models.

    >>> expected_calibration_error([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], bins=2).__round__(4)
    0.2
    """
    stated, came = _stated(p, y)
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be at least 1")
    before = np.searchsorted(np.sort(stated), stated)                   # (n,) how many are smaller
    which = before * bins // len(stated)                                # (n,) 0..bins-1
    return float(np.abs(np.bincount(which, stated - came, bins)).sum() / len(stated))


def auc(score: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Chance that a random positive scores above a random negative, ties counted half.

    Raises:
        ValueError: Only one of the two outcomes is there.

    Source:
        Hanley, McNeil (1982), The meaning and use of the area under a receiver operating characteristic curve.

    >>> auc([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    0.875
    """
    scores, came = _scored(score, y)
    positives = came.sum()
    negatives = len(came) - positives
    if not positives or not negatives:
        raise ValueError("the area needs both outcomes: at least one 1 and one 0")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]                  # (n,) mean rank among ties, from 1
    return float((rank[came == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(score: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Precision at each threshold, weighted by the recall gained there; tied scores share one threshold.

    Raises:
        ValueError: Nothing is positive.

    Source:
        Manning, Raghavan, Schütze (2008), section 8.4; no interpolation (Davis, Goadrich 2006).

    >>> average_precision([0.9, 0.5, 0.1], [1, 0, 1]).__round__(4)
    0.8333
    """
    scores, came = _scored(score, y)
    if not came.sum():
        raise ValueError("average precision needs at least one positive")
    _, place, count = np.unique(-scores, return_inverse=True, return_counts=True)
    gained = np.bincount(place, came)                                   # (thresholds,) positives at each, best first
    precision = np.cumsum(gained) / np.cumsum(count)
    return float((precision * gained).sum() / gained.sum())


def log_loss(p: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Mean of -ln of the probability stated for what happened, in nats. `p` is kept 2.2e-16 away from 0 and 1.

    Source:
        Good (1952), Rational decisions.

    >>> log_loss([0.5, 0.5], [1, 0]).__round__(4)
    0.6931
    """
    stated, came = _stated(p, y)
    edge = np.finfo(np.float64).eps
    inside = np.clip(stated, edge, 1 - edge)
    return float(-np.log(np.where(came == 1, inside, 1 - inside)).mean())


def _top(ranked: npt.ArrayLike, k: int) -> Ints:
    lists = np.asarray(ranked)
    if lists.ndim != 2 or lists.dtype.kind not in "iu":
        raise ValueError("ranked must be (n_cases, columns) whole numbers: item rows, -1 for nothing")
    if not 1 <= k <= lists.shape[1]:
        raise ValueError(f"k is {k}; the lists have {lists.shape[1]} places")
    top = lists[:, :k].astype(np.int64)
    ordered = np.sort(top, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("a list names an item twice")
    return top


def _filled(top: Ints) -> Ints:
    rows = top[top >= 0]
    if not len(rows):
        raise ValueError("every list is empty")
    return rows


def _rows(items: Ints) -> Ints:
    if items.ndim != 1 or items.min(initial=0) < 0:
        raise ValueError("relevant items are item rows: whole numbers from 0, one dimension")
    return items


def _scored(score: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    scores, came = np.asarray(score, np.float64), np.asarray(y, np.float64)
    if scores.ndim != 1 or scores.shape != came.shape or not len(scores):
        raise ValueError(f"scores {scores.shape} and outcomes {came.shape} must be one same length, not empty")
    if not np.isfinite(scores).all() or not np.isin(came, (0, 1)).all():
        raise ValueError("scores must be finite, and outcomes 0 or 1")
    return scores, came


def _stated(p: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    stated, came = _scored(p, y)
    if stated.min() < 0 or stated.max() > 1:
        raise ValueError("probabilities lie between 0 and 1")
    return stated, came
