"""Gradient boosting of small trees whose every level asks one question, with exact reasons.

A tree of depth d has d questions "is this feature above that border" and 2^d leaves; all leaves of a level share the
question, so a tree is a lookup by d bits. What a feature adds to a tree's answer (its Shapley value) depends on the
same bits and is computed once a tree, exactly, over all orders of its d or fewer features.

Source:
    Friedman (2001), Greedy function approximation, and (2002), Stochastic gradient boosting; trees as in Prokhorenkova
    et al. (2018), CatBoost; shares as in Lundberg et al. (2020), From local explanations to global understanding with
    explainable AI for trees (expectations over the leaves by how many customers each holds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 32


@dataclass(frozen=True)
class Boosting:
    """How a model is grown.

    Attributes:
        trees: How many.
        depth: Questions of a tree.
        rate: How far each tree moves.
        ridge: Weight against large leaves, in customers.
        rows, columns: Share of customers and of features that each tree sees.
    """

    trees: int = 150
    depth: int = 3
    rate: float = 0.06
    ridge: float = 10.0
    rows: float = 0.6
    columns: float = 0.5


@dataclass(frozen=True, eq=False)
class Trees:
    """A grown model: log-odds = base + the sum over trees of the leaf that a customer falls into.

    Attributes:
        base: Log-odds without any tree, so chosen that shares add up to the difference from it.
        feature: (t, d) which feature each level asks.
        border: (t, d) above which value the answer is yes.
        leaf: (t, 2^d) what each leaf adds, its mean over the customers taken off.
        share: (t, 2^d, d) what the feature of each level adds; of levels with one feature the first has all.
    """

    base: float
    feature: Ints
    border: Floats
    leaf: Floats
    share: Floats

    def score(self, x: Floats) -> Floats:
        """(n,) log-odds of customers with features (n, k)."""
        found = np.full(len(x), self.base)
        for tree in range(len(self.leaf)):
            found += self.leaf[tree][self._leaf(x, tree)]
        return found

    def shares(self, x: Floats) -> Floats:
        """(n, k) what each feature adds to the log-odds; a row adds up to score - base."""
        found = np.zeros(x.shape)
        for tree in range(len(self.leaf)):
            added = self.share[tree][self._leaf(x, tree)]               # (n, d)
            for level, feature in enumerate(self.feature[tree]):
                found[:, feature] += added[:, level]
        return found

    def _leaf(self, x: Floats, tree: int) -> Ints:
        bits = x[:, self.feature[tree]] > self.border[tree]             # (n, d)
        return np.asarray(bits @ (1 << np.arange(bits.shape[1])))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As arrays."""
        return {"base": np.array([self.base]), "feature": self.feature, "border": self.border, "leaf": self.leaf,
                "share": self.share}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Trees:
        """The inverse of `state`."""
        return cls(float(arrays["base"][0]), *(arrays[name] for name in ("feature", "border", "leaf", "share")))


def grow(x: Floats, y: Floats, how: Boosting, seed: int = 0) -> Trees:
    """Grow a model.

    Args:
        x: (n, k) features, finite.
        y: (n,) what came, 0 or 1.
        how: How.
        seed: Of the customers and features that each tree sees.

    >>> x = np.random.default_rng(0).normal(size=(2000, 3))
    >>> model = grow(x, (x[:, 0] + x[:, 1] > 0).astype(float), Boosting(trees=60))
    >>> right = (model.score(x) > 0) == (x[:, 0] + x[:, 1] > 0)
    >>> added = model.shares(x)
    >>> bool(right.mean() > .9), bool(np.allclose(added.sum(1) + model.base, model.score(x)))
    (True, True)
    """
    rng = np.random.default_rng(seed)
    borders = [_borders(column) for column in x.T]
    codes = np.stack([np.searchsorted(one, column, side="left") for one, column in zip(borders, x.T, strict=True)], 1)
    start = float(special.logit(np.clip(y.mean(), 1e-6, 1 - 1e-6)))
    log_odds = np.full(len(y), start)
    base, trees = start, []
    n_rows, n_columns = (max(1, round(share * size)) for share, size in zip((how.rows, how.columns), x.shape,
                                                                          strict=True))
    for _ in range(how.trees):
        chance = special.expit(log_odds)
        rows, columns = rng.permutation(len(y))[:n_rows], np.sort(rng.permutation(x.shape[1])[:n_columns])
        pull = np.stack([(y - chance)[rows], (chance * (1 - chance))[rows]])
        levels = _questions(codes[np.ix_(rows, columns)], pull, how)
        asked = [(int(columns[column]), code) for column, code in levels]
        bits = np.stack([codes[:, feature] > code for feature, code in asked], 1) @ (1 << np.arange(how.depth))
        slope, bend = (np.bincount(bits[rows], one, 1 << how.depth) for one in pull)
        cover = np.bincount(bits, minlength=1 << how.depth).astype(np.float64)
        leaf = how.rate * slope / (bend + how.ridge)
        log_odds += leaf[bits]
        mean = float(leaf @ cover / cover.sum())
        base += mean
        trees.append((asked, leaf - mean, cover))
    return _packed(base, trees, borders)


def _packed(base: float, trees: Sequence[tuple[list[tuple[int, int]], Floats, Floats]],
            borders: Sequence[Floats]) -> Trees:
    feature = np.array([[one for one, _ in asked] for asked, _, _ in trees], np.int64)
    border = np.array([[borders[one][code] if code < len(borders[one]) else np.inf for one, code in asked]
                       for asked, _, _ in trees])
    share = np.stack([shapley(leaf, cover, [one for one, _ in asked]) for asked, leaf, cover in trees])
    return Trees(base, feature, border, np.stack([leaf for _, leaf, _ in trees]), share)


def _borders(column: Floats) -> Floats:
    """At most BINS - 1 borders between values, with about as many customers between each two."""
    cuts = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    return np.asarray(cuts[cuts < column.max()] if len(column) else cuts)


def _questions(codes: Ints, pull: Floats, how: Boosting) -> list[tuple[int, int]]:
    """(column, code) of each level: the question that divides all leaves of the level best."""
    n, k = codes.shape
    place = codes + np.arange(k) * BINS                                 # (n, k) a cell a column and code
    leaf, asked = np.zeros(n, np.int64), []
    for level in range(how.depth):
        size = 1 << level
        cell = (leaf[:, None] * (k * BINS) + place).ravel()
        below = [np.bincount(cell, np.repeat(one, k), size * k * BINS).reshape(size, k, BINS).cumsum(2)
                 for one in pull]
        whole = [one[:, :, -1:] for one in below]
        gain = sum((slope ** 2 / (bend + how.ridge) for slope, bend in (
            (below[0], below[1]), (whole[0] - below[0], whole[1] - below[1]))), np.zeros(1)).sum(0)
        column, code = divmod(int(np.argmax(gain)), BINS)
        asked.append((column, code))
        leaf = leaf + (codes[:, column] > code) * size
    return asked


def shapley(leaf: Floats, cover: Floats, features: Sequence[int]) -> Floats:
    """What each level's feature adds to each leaf of a tree: Shapley values, exact.

    Args:
        leaf: (2^d,) what each leaf adds; bit i of its number is the answer of level i.
        cover: (2^d,) customers in each leaf.
        features: (d,) the feature of each level.

    Returns:
        (2^d, d); a row adds up to the leaf minus the mean of all leaves by their cover.
    """
    depth, names = len(features), list(dict.fromkeys(features))
    masks = {name: sum(1 << level for level, one in enumerate(features) if one == name) for name in names}
    numbers = np.arange(1 << depth)
    value = {}
    for size in range(len(names) + 1):
        for known in combinations(names, size):
            mask = sum(masks[name] for name in known)
            group = numbers & mask                                      # leaves alike in what is known
            held = np.bincount(group, cover + 1e-9, 1 << depth)
            value[frozenset(known)] = (np.bincount(group, (cover + 1e-9) * leaf, 1 << depth)
                                       / np.maximum(held, 1e-12))[group]
    found, m = np.zeros((1 << depth, depth)), len(names)
    for name in names:
        others = [one for one in names if one != name]
        for size in range(m):
            weight = factorial(size) * factorial(m - size - 1) / factorial(m)
            for known in combinations(others, size):
                found[:, features.index(name)] += weight * (value[frozenset((*known, name))] - value[frozenset(known)])
    return found
