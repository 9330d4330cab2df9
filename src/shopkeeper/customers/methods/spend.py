"""Gamma-Gamma: what a customer's purchases are worth on average, drawn towards what they are worth to everybody.

What one purchase brings is gamma distributed around a mean of the customer's own; those means are spread over customers
as an inverse gamma. Who bought rarely is drawn to the mean of all, who bought often is believed. It holds that how much
and how often have nothing to do with each other: `correlation` says how far that is so.

Source:
    Fader, Hardie (2013), The Gamma-Gamma Model of Monetary Value; Fader, Hardie, Lee (2005), RFM and CLV.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import special

from shopkeeper.customers.methods.base import Repeats
from shopkeeper.customers.methods.likelihood import Loss, curvature, least, polished

Floats = npt.NDArray[np.float64]

WARM = 20_000  # customers of a larger set on which the first fit runs


@dataclass(frozen=True)
class Spend:
    """A fitted Gamma-Gamma model; money in the shop's currency.

    Attributes:
        p: Shape of a purchase around its customer's mean.
        q, v: Shape and scale of the customers' own rates.
        mean: Mean money of a repeat purchase over all customers: what is expected where q is 1 or less.
        log_likelihood: Of the customers that it was fitted on.

    >>> model = Spend(6.249, 3.745, 15.448)
    >>> round(float(model.expected(Repeats.of([2], [1], [2], [22.35]))[0]), 2)
    24.66
    """

    p: float
    q: float
    v: float
    mean: float = float("nan")
    log_likelihood: float = float("nan")

    @property
    def params(self) -> Floats:
        """(3,) p, q, v."""
        return np.array([self.p, self.q, self.v])

    def of_anybody(self) -> float:
        """Mean money of a purchase of somebody of whom nothing is known."""
        return self.p * self.v / (self.q - 1) if self.q > 1.05 else self.mean

    def expected(self, past: Repeats) -> Floats:
        """(n,) mean money of a purchase of each customer; of who never came back, that of anybody."""
        seen = past.spend > 0
        own = self.p * (self.v + past.x * past.spend) / np.maximum(self.p * past.x + self.q - 1, 1e-9)
        return np.asarray(np.where(seen & (past.x > 0), own, self.of_anybody()))

    def draw(self, past: Repeats, rng: np.random.Generator) -> Floats:
        """(n,) one possible mean of each customer, from what their purchases leave open."""
        x = np.where(past.spend > 0, past.x, 0.0)
        rate = rng.gamma(self.p * x + self.q, 1 / (self.v + x * past.spend))
        return np.asarray(self.p / np.maximum(rate, 1e-300))


def fit(past: Repeats) -> Spend:
    """The parameters under which the mean spends are likeliest; only who came back and paid counts.

    Raises:
        ValueError: Fewer than three such customers, or all of one mean.
    """
    part = past.where((past.x > 0) & (past.spend > 0))
    if len(part.x) < 3 or part.spend.min() == part.spend.max():
        raise ValueError("too few means to tell how they differ")
    unit = float(np.exp(np.log(part.spend).mean()))
    scaled = Repeats(part.x, part.last, part.age, part.spend / unit)
    p, q, v = np.exp(_search(scaled))
    mean = float((part.x * part.spend).sum() / part.x.sum())
    found = Spend(float(p), float(q), float(v * unit), mean)
    return replace(found, log_likelihood=log_likelihood(found, part))


def log_likelihood(model: Spend, past: Repeats) -> float:
    """The logarithm of how likely the mean spends of those who came back are."""
    part = past.where((past.x > 0) & (past.spend > 0))
    return float(-_loss_of(part)(np.log(model.params))[0] * len(part.x))


def correlation(past: Repeats) -> float:
    """Correlation of how often and how much, over those who came back; 0 where one of the two never differs."""
    part = past.where((past.x > 0) & (past.spend > 0))
    if len(part.x) < 3 or part.x.std() == 0 or part.spend.std() == 0:
        return 0.0
    return float(np.corrcoef(part.x, part.spend)[0, 1])


def _search(past: Repeats) -> Floats:
    """(3,) logarithms of the likeliest parameters."""
    start = np.log([2.0, 2.0, 1.0])
    if len(past.x) <= 2 * WARM:
        return least(_loss_of(past), start)
    part = _loss_of(past.every(len(past.x) // WARM))
    start = least(part, start)
    return polished(_loss_of(past), start, curvature(part, start))


def _loss_of(past: Repeats) -> Loss:
    k, n = np.unique(past.x, return_counts=True)
    money = past.x * past.spend
    by_money = np.log(money)
    sums = float(past.x @ by_money), float(by_money.sum() - n @ np.log(k))
    return partial(_loss, x=past.x, money=money, sums=sums, counts=(k, n.astype(np.float64)))


def _loss(logs: Floats, *, x: Floats, money: Floats, sums: tuple[float, float],
          counts: tuple[Floats, Floats]) -> tuple[float, Floats]:
    """Minus the mean log-likelihood, and its gradient by the logarithms of p, q and v.

    Args:
        logs: (3,) of the parameters.
        x, money: (n,) repeat purchases and their money.
        sums: Of x ln(money), and of ln(money / x), over all.
        counts: (k,) each x, and how many have it: what depends on x alone is computed once an x.
    """
    p, q, v = np.exp(logs)
    (k, n), psi = counts, special.digamma
    total, scale, shape = float(len(x)), v + money, p * x + q
    by_scale = np.log(scale)
    value = n @ (special.gammaln(p * k + q) - special.gammaln(p * k)) + total * (q * logs[2] - special.gammaln(q))
    value += p * sums[0] - sums[1] - shape @ by_scale
    slope = np.array([
        n @ (k * (psi(p * k + q) - psi(p * k))) + sums[0] - x @ by_scale,
        n @ psi(p * k + q) + total * (logs[2] - psi(q)) - by_scale.sum(),
        total * q / v - (shape / scale).sum()])
    return float(-value / total), -slope * np.array([p, q, v]) / total
