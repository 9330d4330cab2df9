"""A learned combination of all sources: what each counts is fitted on people and days that none had seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize

from shopkeeper.evidence.metrics import Relevant
from shopkeeper.recommend.debiasing import Exposed, first_times, judged
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
    Ranking,
    Rows,
    checked,
)
from shopkeeper.recommend.methods.dense import Dense
from shopkeeper.recommend.methods.popular import counted

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
    """How the weights are fitted, and how the sources are set.

    Attributes:
        within: Days before now on which the weights are fitted; the sources then learn from these days, too.
        seed: Of the people on whom they are fitted.
        settings: Source -> setting, as JSON: of those that do not speak in the setting that they were given in.
        debias: What was taken after it was shown counts by how unlikely it was to be seen, where the blend knows that.
    """

    within: float = 14.0
    seed: int = 0
    settings: str = ""
    debias: bool = False

    def __post_init__(self) -> None:
        checked(self, {"within": (1e-3, 100_000), "seed": (0, 2**31)})

    def of(self, source: Source) -> Any:
        """The setting in which a source speaks."""
        said = json.loads(self.settings or "{}").get(source.called)
        return source.params if said is None else type(source.params)(**said)


@dataclass(frozen=True)
class Source:
    """A method that has something to say, and the setting in which it says it.

    `name` tells it from other settings of the same method; by default it is the method's.
    """

    method: Method
    params: Any
    name: str = ""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.method.name


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
    """P(i) = softmax of sum_s level_s log(score_s(i) / max_j score_s(j) + .001) + known_s [score_s(i) > 0].

    It runs over the best items of all sources; what stands high with none follows in the order of popularity.

    The weights are a conditional logit: fitted on what people took in the last days before now, among the best items
    of every source, where the sources had learned from the days before those alone.

    Source:
        McFadden (1974), Conditional logit analysis of qualitative choice behavior; stacking as in Wolpert (1992).
    """

    name = "blend"

    def __init__(self, *sources: Source, exposed: Exposed | None = None) -> None:
        """Take the sources, each of another name, and what was shown to whom with a chance that is known."""
        self.sources, self.exposed = {source.called: source for source in sources}, exposed

    def candidates(self) -> Sequence[BlendParams]:
        """One setting: its weights are learned."""
        return [BlendParams()]

    def informed(self, chosen: Mapping[str, Any]) -> Sequence[BlendParams]:
        """The same where validation has chosen settings of some methods (name -> setting).

        Where no source of a method speaks in the chosen one, the first does.
        """
        said = {}
        for method in dict.fromkeys(one.method.name for one in self.sources.values()):
            mine = [one for one in self.sources.values() if one.method.name == method]
            if method in chosen and all(one.params != chosen[method] for one in mine):
                said[mine[0].called] = asdict(chosen[method])
        settings = json.dumps(said, sort_keys=True) if said else ""
        return [replace(params, settings=settings) for params in self.candidates()]

    def fit(self, interactions: Interactions, now: int, params: BlendParams) -> BlendFitted:
        """Fit the sources without the last days, the weights on these, and the sources again on everything."""
        past = interactions.before(now)
        cut = now - round(params.within * DAY)
        weights = Weights.equal(len(self.sources))
        asked = _asked(past, cut, params.seed, self.exposed if params.debias else None)
        if asked is not None:
            known = past.before(cut)
            early = [one.method.fit(known, cut, params.of(one)) for one in self.sources.values()]
            weights = _fit(early, asked, cut)
        fitted = {name: one.method.fit(past, now, params.of(one)) for name, one in self.sources.items()}
        return BlendFitted(counted(past), fitted, weights, params)

    def with_source(self, name: str, method: Method) -> Blend:
        """The same with another method under this name."""
        swapped = {**self.sources, name: Source(method, self.sources[name].params, name)}
        return Blend(*(Source(one.method, one.params, key) for key, one in swapped.items()), exposed=self.exposed)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> BlendFitted:
        """The inverse of `BlendFitted.state`."""
        fitted = {}
        for name, of_source in meta["sources"].items():
            mine = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            source = self.sources.get(name) or self.sources[name.split()[0]]  # of another setting of the same method
            fitted[name] = source.method.restore(mine, of_source)
        weights = Weights(np.asarray(arrays["level"]), np.asarray(arrays["known"]))
        return BlendFitted(arrays["popularity"], fitted, weights, BlendParams(**meta["params"]))


@dataclass(frozen=True)
class _Asked:
    """What weights are fitted on: m people, what was right for each, what that counts (pairs,), and what could not be.
    """

    histories: Histories
    right: Relevant
    weight: Numbers
    exclude: ItemSets | None = None


def _asked(past: Interactions, cut: int, seed: int, exposed: Exposed | None) -> _Asked | None:
    """People who took something of the heaviest role since `cut`, as they were before it, and what they took."""
    target = past.weight >= past.weight.max(initial=0.0)
    late = (past.when >= cut) & target
    people = np.unique(past.customer[late])
    if len(people) < _FEWEST:
        return None
    if len(people) > _CASES:
        people = np.sort(np.random.default_rng(seed).choice(people, _CASES, replace=False))
    lines = past.where(late & np.isin(past.customer, people))
    right = Relevant.pairs(np.searchsorted(people, lines.customer), lines.item.astype(np.int64), len(people))
    weight = judged(exposed, right, first_times(lines, people, right), cut).weight
    return _Asked(Histories.of(past.before(cut), people), right, weight)


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
    return _fit(fitted, _Asked(histories, right, np.ones(len(right.items)), exclude), now)


def _fit(fitted: Sequence[Fitted], asked: _Asked, now: int) -> Weights:
    parts = [_features(fitted, asked, now, start) for start in range(0, len(asked.histories), _PART)]
    x, case, hit = (np.concatenate([part[place] for part in parts]) for place in range(3))
    case = np.unique(case, return_inverse=True)[1]
    prior = np.concatenate([np.ones(len(fitted)), np.zeros(len(fitted))])
    if not len(case):
        return Weights.equal(len(fitted))
    found = minimize(_unlikeliness, prior, args=(x, case, hit, prior), jac=True, method="L-BFGS-B")
    return Weights(found.x[:len(fitted)], found.x[len(fitted):])


def _features(fitted: Sequence[Fitted], asked: _Asked, now: int, start: int) -> tuple[Numbers, Rows, Numbers]:
    """Of some customers: features (rows, 2 s) of each candidate, its case, and what it counts as right, 0 as wrong.

    A case whose candidates hold nothing that was right teaches nothing and is left out.
    """
    stop = min(len(asked.histories), start + _PART)
    said = [Said.of(one, asked.histories.part(start, stop), now) for one in fitted]
    features, cases, hits = [np.zeros((0, 2 * len(fitted)))], [np.zeros(0, np.int64)], [np.zeros(0)]
    for row in range(stop - start):
        candidates = candidates_of(said, row)
        if asked.exclude is not None:
            ends = asked.exclude.indptr[start + row:start + row + 2]
            candidates = np.setdiff1d(candidates, asked.exclude.item[ends[0]:ends[1]])
        mine = slice(*asked.right.indptr[start + row:start + row + 2].tolist())
        hit = np.zeros(len(candidates))
        _, at, which = np.intersect1d(candidates, asked.right.items[mine], assume_unique=True, return_indices=True)
        hit[at] = asked.weight[mine][which]
        if hit.any() and not hit.all():
            level, known = looked_at(said, row, candidates)
            features.append(np.concatenate([level, known]).T)
            cases.append(np.full(len(candidates), start + row))
            hits.append(hit)
    return np.concatenate(features), np.concatenate(cases), np.concatenate(hits)


@dataclass(frozen=True)
class Said:
    """What a source says of some customers: scores of what it knows, and one score an item of all else.

    Attributes:
        known: (m, n_items) scores, sparse; or dense where the source has something to say of every item.
        floor: (n_items,) the score of items that `known` leaves out.
        first: The best items by `floor`, where it tells any from any.
        most: (m,) the highest score of each customer.
    """

    known: Any
    floor: Floats
    first: Rows
    most: Floats

    @classmethod
    def of(cls, source: Fitted, histories: Histories, now: int) -> Said:
        """Ask a source."""
        if isinstance(source, Ranking) and not isinstance(source, Dense):
            known, floor = sparse.csr_matrix(source.known(histories, now)), source.floor()
            known.sort_indices()
            best = known.max(axis=1).toarray().ravel() if known.nnz else np.zeros(len(histories), np.float32)
            first = source.order[:_TOP]
            first = first[floor[first] > 0]
            return cls(known, floor, first, np.maximum(best, floor.max(initial=0.0)))
        scores = source.score(histories, now)
        floor = np.zeros(scores.shape[1], np.float32)
        return cls(scores, floor, np.zeros(0, np.int64), scores.max(axis=1, initial=0.0))

    def top(self, row: int) -> Rows:
        """The items that stand highest with one customer."""
        if isinstance(self.known, np.ndarray):
            item, value = np.arange(self.known.shape[1]), self.known[row]
        else:
            part = slice(*self.known.indptr[row:row + 2])
            item, value = self.known.indices[part].astype(np.int64), self.known.data[part]
        if len(value) > _TOP:
            some = np.argpartition(value, len(value) - _TOP)[len(value) - _TOP:]
            item, value = item[some], value[some]
        return np.concatenate([item[value > 0], self.first])

    def at(self, row: int, items: Rows) -> Floats:
        """(items,) the scores of some items for one customer."""
        if isinstance(self.known, np.ndarray):
            return np.asarray(self.known[row, items], dtype=np.float32)
        part = slice(*self.known.indptr[row:row + 2])
        indices, data = self.known.indices[part], self.known.data[part]
        value = self.floor[items].copy()
        if len(indices):
            place = np.minimum(np.searchsorted(indices, items), len(indices) - 1)
            there = (indices[place] == items) & (data[place] > 0)
            value[there] = data[place[there]]
        return np.asarray(value, dtype=np.float32)


def candidates_of(said: Sequence[Said], row: int) -> Rows:
    """The items that stand high with any source, distinct and ascending."""
    return np.unique(np.concatenate([one.top(row) for one in said]))


def looked_at(said: Sequence[Said], row: int, items: Rows) -> tuple[Numbers, Numbers]:
    """Scores of some items as logs that know no scale, and whether each is known at all, (s, items) each."""
    scores = np.stack([one.at(row, items) for one in said]).astype(np.float64)
    most = np.array([[one.most[row]] for one in said], dtype=np.float64)
    return np.log(scores / np.where(most > 0, most, 1.0) + _SHIFT), (scores > 0).astype(np.float64)


def _unlikeliness(weights: Numbers, x: Numbers, case: Rows, hit: Numbers, prior: Numbers) -> tuple[float, Numbers]:
    """Mean negative log of the probability of what was right, held near `prior`; and its gradient.

    Each case counts the mean of what its right items count, over the sum of that.
    """
    z = x @ weights
    bounds = np.searchsorted(case, np.arange(int(case[-1]) + 1))
    z = z - np.maximum.reduceat(z, bounds)[case]
    mass = np.exp(z)
    p = mass / np.add.reduceat(mass, bounds)[case]
    share = hit / np.add.reduceat((hit > 0).astype(np.float64), bounds)[case]
    share /= share.sum()
    apart = weights - prior
    value = -float((share * np.log(np.maximum(p, 1e-300))).sum()) + 0.5 * _HOLD * float(apart @ apart)
    return value, x.T @ (np.add.reduceat(share, bounds)[case] * p - share) + _HOLD * apart


class BlendFitted(Ranking):
    """Fitted sources and what each counts; what stands high with none follows in the order of popularity."""

    name = Blend.name

    def __init__(self, popularity: Floats, fitted: Mapping[str, Any], weights: Weights, params: BlendParams) -> None:
        super().__init__(popularity)
        self.fitted, self.weights, self.params = dict(fitted), weights, params

    def known(self, histories: Histories, now: int) -> Any:
        """P(next item = i) by the blend, sparse (m, n_items)."""
        rows = [self._row(said, row) for said, n in self._asked(histories, now) for row in range(n)]
        indptr = np.concatenate([[0], np.cumsum([len(item) for item, _ in rows])]).astype(np.int64)
        item = np.concatenate([np.zeros(0, np.int64), *(one for one, _ in rows)])
        value = np.concatenate([np.zeros(0, np.float32), *(one for _, one in rows)])
        return sparse.csr_matrix((value, item, indptr), shape=(len(histories), self.n_items))

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """As `known`."""
        return self._row([Said.of(one, history, now) for one in self.fitted.values()], 0)

    def _asked(self, histories: Histories, now: int) -> Iterator[tuple[list[Said], int]]:
        """What all sources say, of some customers at a time."""
        for start in range(0, len(histories), _PART):
            part = histories.part(start, min(len(histories), start + _PART))
            yield [Said.of(one, part, now) for one in self.fitted.values()], len(part)

    def _row(self, said: Sequence[Said], row: int) -> tuple[Rows, Floats]:
        items = candidates_of(said, row)
        if not len(items):
            return items, np.zeros(0, np.float32)
        level, known = looked_at(said, row, items)
        z = self.weights.level @ level + self.weights.known @ known
        mass = np.exp(z - z.max())
        return items, np.maximum(mass / mass.sum(), 1e-30).astype(np.float32)

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The sources' reasons, each source weighed by what it adds to the item's log-score."""
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = np.where((asked >= 0) & (asked < self.n_items), asked, 0)
        said = [Said.of(one, history, now) for one in self.fitted.values()]
        level, _ = looked_at(said, 0, inside)
        totals: list[dict[int, float]] = [{} for _ in asked]
        for place, one in enumerate(self.fitted.values()):
            adds = self.weights.level[place] * (level[place] - np.log(_SHIFT))
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
