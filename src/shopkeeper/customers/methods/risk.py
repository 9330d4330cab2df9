"""Who stops buying: five ways to rank customers by it, the plainest first; a curve turns each score into a chance.

The trap: BG/NBD says of who bought once that they are alive for certain, for they never had a chance to drop out. So
1 - P(alive) ranks one-time buyers, who leave most, as the safest, and does worse than chance where they are many. What
ranks well is how many purchases the same model expects; that is what `still_buying` uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from shopkeeper.customers.methods import boosting
from shopkeeper.customers.methods.boosting import Boosting, Trees
from shopkeeper.customers.methods.features import Names, finite

Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]

USUAL = Boosting()
SILENT = "days since the last purchase"
STEPS = 30


@dataclass(frozen=True, eq=False)
class Cases:
    """Customers on a day: what was known of them then, and whether they stopped after it.

    Attributes:
        names: (k,) of the features.
        x: (n, k) what was known, finite.
        gone: (n,) 1 where no purchase followed within the horizon, else 0.
        customer: (n,) rows of the customers.
        cut: (n,) the first day that was not known.
    """

    names: Names
    x: Floats
    gone: Floats
    customer: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.gone)

    def column(self, name: str) -> Floats:
        """(n,) one feature; 0 where it is not known."""
        return self.x[:, self.names.index(name)] if name in self.names else np.zeros(len(self.x))

    def over(self, names: Names) -> Floats:
        """(n, k) the features of these names, 0 where one is not known."""
        return np.stack([self.column(name) for name in names], axis=1)

    def where(self, rows: Any) -> Cases:
        """Some of the cases."""
        return replace(self, x=self.x[rows], gone=self.gone[rows], customer=self.customer[rows], cut=self.cut[rows])

    @classmethod
    def together(cls, parts: Sequence[Cases]) -> Cases:
        """Cases of several days as one; a feature that a day lacks is 0 there."""
        names = max((part.names for part in parts), key=len)
        return cls(names, np.concatenate([part.over(names) for part in parts]),
                   *(np.concatenate([getattr(part, name) for part in parts]) for name in ("gone", "customer", "cut")))


class Scorer(Protocol):
    """A fitted way to rank."""

    @property
    def names(self) -> Names:
        """The features that it looks at."""

    def score(self, x: Floats) -> Floats:
        """(n,) higher is likelier to stop, from (n, k) of its features."""

    def shares(self, x: Floats) -> Floats:
        """(n, k) what each feature adds to the score, beside an average customer's."""

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """As arrays and plain data."""


class Way(Protocol):
    """A way to rank customers by how likely they stop."""

    @property
    def name(self) -> str:
        """What it is called."""

    def fit(self, cases: Cases, seed: int = 0) -> Scorer:
        """Learn from cases."""

    def restore(self, arrays: Arrays, meta: Mapping[str, Any]) -> Scorer:
        """The inverse of `Scorer.state`."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Score = sum of weight x (feature - its mean); features as `finite` gives them where `curved`.

    Attributes:
        names: (k,) features.
        weight, mean: (k,) of each.
        curved: Whether features go through `finite` first.
        base: The score of an average customer.
    """

    names: Names
    weight: Floats
    mean: Floats
    curved: bool = False
    base: float = 0.0

    def score(self, x: Floats) -> Floats:
        """As `Scorer.score`."""
        return np.asarray(self.shares(x).sum(1) + self.base)

    def shares(self, x: Floats) -> Floats:
        """As `Scorer.shares`: exact, for the score is a sum."""
        return np.asarray(((finite(x) if self.curved else x) - self.mean) * self.weight)

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """As `Scorer.state`."""
        return {"weight": self.weight, "mean": self.mean}, {"names": list(self.names), "curved": self.curved,
                                                            "base": self.base}

    @classmethod
    def restore(cls, arrays: Arrays, meta: Mapping[str, Any]) -> Linear:
        """The inverse of `state`."""
        return cls(tuple(meta["names"]), arrays["weight"], arrays["mean"], bool(meta["curved"]), float(meta["base"]))


@dataclass(frozen=True)
class Rule:
    """Ranks by one feature, or by the difference of the logarithms of two; nothing is learned but their mean.

    Attributes:
        name: Of the way.
        up: The feature with which the risk rises.
        down: The feature with which it falls.
    """

    name: str
    up: str | None
    down: str | None = None

    def fit(self, cases: Cases, seed: int = 0) -> Scorer:
        """As `Way.fit`."""
        names = tuple(name for name in (self.up, self.down) if name is not None)
        weight = np.array([1.0 if name == self.up else -1.0 for name in names])
        curved = self.down is not None
        x = cases.over(names)
        return Linear(names, weight, (finite(x) if curved else x).mean(0), curved)

    def restore(self, arrays: Arrays, meta: Mapping[str, Any]) -> Scorer:
        """As `Way.restore`."""
        return Linear.restore(arrays, meta)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on all features, their logarithms standardised, with a ridge."""

    name: str = "logistic"
    ridge: float = 3.0

    def fit(self, cases: Cases, seed: int = 0) -> Scorer:
        """As `Way.fit`."""
        z = finite(cases.x)
        mean, spread = z.mean(0), np.maximum(z.std(0), 1e-9)
        weight, base = logistic((z - mean) / spread, cases.gone, self.ridge)
        return Linear(cases.names, weight / spread, mean, True, base)

    def restore(self, arrays: Arrays, meta: Mapping[str, Any]) -> Scorer:
        """As `Way.restore`."""
        return Linear.restore(arrays, meta)


@dataclass(frozen=True, eq=False)
class Grown:
    """A boosted model and its features."""

    names: Names
    trees: Trees

    def score(self, x: Floats) -> Floats:
        """As `Scorer.score`."""
        return self.trees.score(x)

    def shares(self, x: Floats) -> Floats:
        """As `Scorer.shares`."""
        return self.trees.shares(x)

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """As `Scorer.state`."""
        return self.trees.state(), {"names": list(self.names)}


@dataclass(frozen=True)
class Boosted:
    """Gradient boosting on all features."""

    name: str = "boosting"
    how: Boosting = USUAL

    def fit(self, cases: Cases, seed: int = 0) -> Scorer:
        """As `Way.fit`."""
        return Grown(cases.names, boosting.grow(cases.x, cases.gone, self.how, seed))

    def restore(self, arrays: Arrays, meta: Mapping[str, Any]) -> Scorer:
        """As `Way.restore`."""
        return Grown(tuple(meta["names"]), Trees.restore(arrays))


WAYS: tuple[Way, ...] = (
    Rule("silence", SILENT),
    Rule("spend_drop", "money in 365 days", "money in 90 days"),
    Rule("still_buying", None, "expected purchases"),
    Logistic(),
    Boosted(),
)


def logistic(z: Floats, y: Floats, ridge: float) -> tuple[Floats, float]:
    """Weights (k,) and base of a logistic regression with a ridge on the weights, features standardised."""
    wide = np.c_[np.ones(len(z)), z]
    heavy = np.r_[0.0, np.full(z.shape[1], ridge)]

    w = np.zeros(wide.shape[1])
    for _ in range(STEPS):  # Newton's, of a loss that bends everywhere
        chance = special.expit(wide @ w)
        slope = wide.T @ (chance - y) + heavy * w
        bend = (wide * (chance * (1 - chance))[:, None]).T @ wide + np.diag(heavy + 1e-9)
        step = np.linalg.solve(bend, slope)
        w = w - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return w[1:], float(w[0])
