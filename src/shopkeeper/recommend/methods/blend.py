"""A learned combination of all sources: what each counts is fitted on people and days that none had seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from shopkeeper.evidence.metrics import Relevant
from shopkeeper.recommend.methods.base import (
    DAY,
    Arrays,
    Because,
    Fitted,
    Floats,
    Histories,
    Interactions,
    ItemSets,
    Meta,
    Method,
    Rows,
    checked,
)
from shopkeeper.recommend.methods.dense import Dense
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.recommend.methods.sequence import softmax

__all__ = ["Blend", "BlendFitted", "BlendParams", "Source", "Weights", "fit_weights"]

Numbers = npt.NDArray[np.float64]
_CASES = 3_000     # people on whom the weights are fitted
_FEWEST = 50       # with fewer the sources count alike
_TOP = 100         # of each source's items become candidates
_SHIFT = 1e-3      # what a score of 0 counts beside the source's highest for that customer
_PART = 64         # people whose candidates are made at a time
_HOLD = 1e-3       # how strongly weights are held near those of equal sources


@dataclass(frozen=True)
class BlendParams:
    """`within`: days before now on which the weights are fitted; the sources then learn from these days, too."""

    within: float = 14.0
    seed: int = 0

    def __post_init__(self) -> None:
        checked(self, {"within": (1e-3, 100_000), "seed": (0, 2**31)})


@dataclass(frozen=True)
class Source:
    """A method that has something to say, and the setting in which it says it.

    `name` tells it from other settings of the same method; by default it is the method's.
    """

    method: Method
    params: Any
    name: str = ""


@dataclass(frozen=True)
class Weights:
    """How much each source counts: `level` (s,) of its log-score, `known` (s,) of its knowing the item at all."""

    level: Numbers
    known: Numbers

    @classmethod
    def equal(cls, n: int) -> Weights:
        """All sources alike."""
        return cls(np.ones(n), np.zeros(n))


class Blend:
    """P(i) = softmax over items of sum_s level_s log(score_s(i) / max_j score_s(j) + .001) + known_s [score_s(i) > 0].

    The weights are a conditional logit: fitted on what people took in the last days before now, among the best items
    of every source, where the sources had learned from the days before those alone.

    Source:
        McFadden (1974), Conditional logit analysis of qualitative choice behavior; stacking as in Wolpert (1992).
    """

    name = "blend"

    def __init__(self, *sources: Source) -> None:
        """Take the sources, each of another name."""
        self.sources = {source.name or source.method.name: source for source in sources}

    def candidates(self) -> Sequence[BlendParams]:
        """One setting: its weights are learned."""
        return [BlendParams()]

    def fit(self, interactions: Interactions, now: int, params: BlendParams) -> BlendFitted:
        """Fit the sources without the last days, the weights on these, and the sources again on everything."""
        past = interactions.before(now)
        cut = now - round(params.within * DAY)
        weights = Weights.equal(len(self.sources))
        asked = _asked(past, cut, params.seed)
        if asked is not None:
            known = past.before(cut)
            early = [one.method.fit(known, cut, one.params) for one in self.sources.values()]
            weights = fit_weights(early, asked[0], asked[1], cut)
        fitted = {name: one.method.fit(past, now, one.params) for name, one in self.sources.items()}
        return BlendFitted(counted(past), fitted, weights, params)

    def with_source(self, name: str, method: Method) -> Blend:
        """The same with another method under this name."""
        swapped = {**self.sources, name: Source(method, self.sources[name].params, name)}
        return Blend(*(Source(one.method, one.params, key) for key, one in swapped.items()))

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> BlendFitted:
        """The inverse of `BlendFitted.state`."""
        fitted = {}
        for name, of_source in meta["sources"].items():
            mine = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            fitted[name] = self.sources[name].method.restore(mine, of_source)
        weights = Weights(np.asarray(arrays["level"]), np.asarray(arrays["known"]))
        return BlendFitted(arrays["popularity"], fitted, weights, BlendParams(**meta["params"]))


def _asked(past: Interactions, cut: int, seed: int) -> tuple[Histories, Relevant] | None:
    """People who took something of the heaviest role since `cut`, as they were before it, and what they took."""
    target = past.weight >= past.weight.max(initial=0.0)
    late = (past.when >= cut) & target
    people = np.unique(past.customer[late])
    if len(people) < _FEWEST:
        return None
    if len(people) > _CASES:
        people = np.sort(np.random.default_rng(seed).choice(people, _CASES, replace=False))
    chosen = late & np.isin(past.customer, people)
    pairs = Relevant.pairs(np.searchsorted(people, past.customer[chosen]), past.item[chosen].astype(np.int64),
                           len(people))
    return Histories.of(past.before(cut), people), pairs


def fit_weights(fitted: Sequence[Fitted], histories: Histories, right: Relevant, now: int, *,
                exclude: ItemSets | None = None) -> Weights:
    """The weights under which what was right is likeliest among the best items of all sources.

    Args:
        fitted: s sources, none of which has seen what was right.
        histories: m customers at the moment of asking.
        right: What each of them took.
        now: That moment, microseconds UTC.
        exclude: Items that were no possible answers, a set a customer.
    """
    parts = [_features(fitted, histories, right, now, exclude, start)
             for start in range(0, len(histories), _PART)]
    x, case, hit = (np.concatenate([part[place] for part in parts]) for place in range(3))
    case = np.unique(case, return_inverse=True)[1]
    prior = np.concatenate([np.ones(len(fitted)), np.zeros(len(fitted))])
    if not len(case):
        return Weights.equal(len(fitted))
    found = minimize(_unlikeliness, prior, args=(x, case, hit, prior), jac=True, method="L-BFGS-B")
    return Weights(found.x[:len(fitted)], found.x[len(fitted):])


def _features(fitted: Sequence[Fitted], histories: Histories, right: Relevant, now: int, exclude: ItemSets | None,
              start: int) -> tuple[Numbers, Rows, npt.NDArray[np.bool_]]:
    """Of some customers: features (rows, 2 s) of each candidate, its case, and whether it was right.

    A case whose candidates hold nothing that was right teaches nothing and is left out.
    """
    stop = min(len(histories), start + _PART)
    scores = np.stack([one.score(histories.part(start, stop), now) for one in fitted])  # (s, m, n_items)
    if exclude is not None:
        for row in range(stop - start):
            shut = exclude.item[exclude.indptr[start + row]:exclude.indptr[start + row + 1]]
            scores[:, row, shut[(shut >= 0) & (shut < scores.shape[2])]] = -1.0
    level, known = looked_at(np.maximum(scores, 0.0))
    features, cases, hits = [], [], []
    for row in range(stop - start):
        wanted = right.items[right.indptr[start + row]:right.indptr[start + row + 1]]
        candidates = _best(scores[:, row])
        hit = np.isin(candidates, wanted)
        if hit.any() and not hit.all():
            features.append(np.concatenate([level[:, row, candidates].T, known[:, row, candidates].T], axis=1))
            cases.append(np.full(len(candidates), start + row))
            hits.append(hit)
    empty = np.zeros((0, 2 * len(fitted)))
    return (np.concatenate([empty, *features]), np.concatenate([np.zeros(0, dtype=np.int64), *cases]),
            np.concatenate([np.zeros(0, dtype=bool), *hits]))


def _best(scores: Floats) -> Rows:
    """The items that stand high with any source, (s, n_items) -> distinct rows."""
    n = scores.shape[1]
    top = min(_TOP, n)
    some = np.argpartition(scores, n - top, axis=1)[:, n - top:]
    return np.unique(some[np.take_along_axis(scores, some, axis=1) > 0])


def looked_at(scores: Floats) -> tuple[Floats, Floats]:
    """Scores (s, m, n_items), 0 or more, as a log that knows no scale, and as whether an item is known at all."""
    most = scores.max(-1, keepdims=True)
    level = np.log(scores / np.where(most > 0, most, 1) + np.float32(_SHIFT))
    return level.astype(np.float32), (scores > 0).astype(np.float32)


def _unlikeliness(weights: Numbers, x: Numbers, case: Rows, hit: npt.NDArray[np.bool_],
                  prior: Numbers) -> tuple[float, Numbers]:
    """Mean negative log of the probability of what was right, held near `prior`; and its gradient."""
    z = x @ weights
    n = int(case[-1]) + 1
    bounds = np.searchsorted(case, np.arange(n))
    z = z - np.maximum.reduceat(z, bounds)[case]
    mass = np.exp(z)
    p = mass / np.add.reduceat(mass, bounds)[case]
    share = hit / np.add.reduceat(hit.astype(np.float64), bounds)[case]  # each right item of a case counts alike
    apart = weights - prior
    value = -float((share * np.log(np.maximum(p, 1e-300))).sum()) / n + 0.5 * _HOLD * float(apart @ apart)
    return value, x.T @ (p - share) / n + _HOLD * apart


class BlendFitted(Dense):
    """Fitted sources and what each counts."""

    name = Blend.name

    def __init__(self, popularity: Floats, fitted: Mapping[str, Any], weights: Weights, params: BlendParams) -> None:
        super().__init__(popularity)
        self.fitted, self.weights, self.params = dict(fitted), weights, params

    def score(self, histories: Histories, now: int) -> Floats:
        """P(next item = i) by the blend, (m, n_items)."""
        total = np.zeros((len(histories), self.n_items), dtype=np.float32)
        for place, one in enumerate(self.fitted.values()):
            level, known = looked_at(one.score(histories, now)[None])
            total += np.float32(self.weights.level[place]) * level[0] + np.float32(self.weights.known[place]) * known[0]
        return softmax(total)

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The sources' reasons, each source weighed by what it adds to the item's log-score."""
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = np.where((asked >= 0) & (asked < self.n_items), asked, 0)
        totals: list[dict[int, float]] = [{} for _ in asked]
        for place, one in enumerate(self.fitted.values()):
            level, _ = looked_at(one.score(history, now)[None])
            adds = self.weights.level[place] * (level[0, 0, inside] - np.log(_SHIFT))
            for total, reasons, add in zip(totals, one.because(history, asked, now), adds.tolist(), strict=True):
                for item, share in reasons:
                    total[item] = total.get(item, 0.0) + share * max(0.0, add)
        return [_as_shares(total) for total in totals]

    def state(self) -> tuple[Arrays, Meta]:
        """Each source's state under its name, and the weights."""
        arrays: Arrays = {"popularity": self.popularity, "level": self.weights.level, "known": self.weights.known}
        metas: dict[str, Meta] = {}
        for name, one in self.fitted.items():
            own, metas[name] = one.state()
            arrays |= {f"{name}/{key}": array for key, array in own.items()}
        return arrays, {"params": asdict(self.params), "sources": metas}


def _as_shares(total: Mapping[int, float]) -> Because:
    mass = sum(total.values())
    if mass <= 0:
        return []
    return sorted(((item, value / mass) for item, value in total.items() if value > 0), key=lambda one: -one[1])
