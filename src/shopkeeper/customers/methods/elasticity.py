"""How somebody takes a price: the elasticity of their buying, from what they looked at and at which prices.

Of the prices at which a customer saw an item, some led to a purchase. How often they buy at all, and how much an item
is liked, play no part: given how many purchases a customer made, only at which of the prices that they saw is asked.
Customers differ, normally around everybody's elasticity; who bought little is drawn to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVEL = 0.8
FEWEST = 100     # purchases at prices that differ, over all customers, below which nothing is said
NARROWEST = 0.1  # how far customers differ at least, as a standard deviation
STEPS, FAR = 50, 10.0


@dataclass(frozen=True, eq=False)
class Looked:
    """What customers saw and bought; a row a customer, item and price.

    Attributes:
        customer: (n,) rows of customers.
        x: (n,) logarithm of the price, less its mean over the looks at that item.
        looks: (n,) how often they saw it at that price.
        bought: (n,) how often they bought it at that price.
        half: (n,) 0 or 1, by the item: what is found in the one half of the items is checked on the other.
        n_customers: How many customers there are.
    """

    customer: Ints
    x: Floats
    looks: Floats
    bought: Floats
    half: Ints
    n_customers: int

    @classmethod
    def of(cls, customer: Ints, item: Ints, price: Floats, looks: Floats, bought: Floats) -> Looked:
        """From prices above 0; items are told apart by numbers from 0."""
        seen, log = np.maximum(looks, bought), np.log(price)
        mean = np.bincount(item, seen * log) / np.maximum(np.bincount(item, seen), 1e-12)
        return cls(customer, log - mean[item], seen, bought, item % 2, int(customer.max(initial=-1)) + 1)

    def of_half(self, half: int) -> Looked:
        """What was seen of one half of the items."""
        rows = self.half == half
        return Looked(self.customer[rows], self.x[rows], self.looks[rows], self.bought[rows], self.half[rows],
                      self.n_customers)

    def sums(self, elasticity: Floats) -> tuple[Floats, Floats]:
        """(n_customers,) pull on each customer's elasticity, and how sharply it is known, at given ones (likewise)."""
        size, who = self.n_customers, self.customer
        weight = self.looks * np.exp(np.clip(elasticity[who] * self.x, -FAR, FAR))
        whole = np.maximum(np.bincount(who, weight, size), 1e-300)
        mean = np.bincount(who, weight * self.x, size) / whole
        spread = np.maximum(np.bincount(who, weight * self.x ** 2, size) / whole - mean ** 2, 0.0)
        count = np.bincount(who, self.bought, size)
        pull: Floats = np.bincount(who, self.bought * self.x, size) - count * mean
        return pull, np.asarray(count * spread, np.float64)


@dataclass(frozen=True, eq=False)
class Elasticities:
    """What was found.

    Attributes:
        mean, spread: Of the customers' elasticities.
        own, low, high: (n_customers,) of each; the interval holds 80 of 100 cases.
        purchases: (n_customers,) of each that it rests on.
    """

    mean: float
    spread: float
    own: Floats
    low: Floats
    high: Floats
    purchases: Floats


def elasticities(seen: Looked) -> Elasticities | None:
    """Everybody's elasticity, and each customer's; None where too little was bought at prices that differ.

    Source:
        Conditional likelihood of choices: McFadden (1974), Conditional logit analysis of qualitative choice behavior.
        Drawn to the mean by an empirical Bayes estimate: Efron, Morris (1975), Data analysis using Stein's estimator.
    """
    count: Floats = np.bincount(seen.customer, seen.bought, seen.n_customers).astype(np.float64)
    differs = np.bincount(seen.customer, seen.looks * (np.abs(seen.x) > 1e-9), seen.n_customers) > 0
    if count[differs].sum() < FEWEST:
        return None
    mean = 0.0
    for _ in range(STEPS):
        pull, sharp = seen.sums(np.full(seen.n_customers, mean))
        if sharp.sum() < 1e-9:
            return None
        step = float(np.clip(pull.sum() / sharp.sum(), -1, 1))
        mean += step
        if abs(step) < 1e-9:
            break
    spread, loose = _differences(seen, mean)
    own = np.full(seen.n_customers, mean)
    for _ in range(STEPS):
        pull, sharp = seen.sums(own)
        own = own + np.clip((pull / loose - (own - mean) / spread ** 2) / (sharp / loose + 1 / spread ** 2), -1, 1)
    off = float(ndtri((1 + LEVEL) / 2)) / np.sqrt(seen.sums(own)[1] / loose + 1 / spread ** 2)
    return Elasticities(mean, spread, own, own - off, own + off, count)


def _differences(seen: Looked, mean: float) -> tuple[float, float]:
    """How far customers differ (a standard deviation), and how loose choices are beside independent ones.

    Two halves of the items err independently, so what their pulls have in common is the customer. Choices are tighter
    than independent ones (below 1), for nobody buys twice at one look.
    """
    at = np.full(seen.n_customers, mean)
    (one, sharp_one), (other, sharp_other) = (seen.of_half(half).sums(at) for half in (0, 1))
    variance = max(float((one * other).sum() / max((sharp_one * sharp_other).sum(), 1e-9)), NARROWEST ** 2)
    pull, sharp = seen.sums(at)
    loose = float(((pull ** 2).sum() - variance * (sharp ** 2).sum()) / max(sharp.sum(), 1e-9))
    return float(np.sqrt(variance)), float(np.clip(loose, 0.25, 4.0))
