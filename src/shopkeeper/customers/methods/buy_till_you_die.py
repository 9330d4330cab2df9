"""BG/NBD: how often a customer buys while alive, and after which purchase they drop out; by maximum likelihood.

While alive a customer buys at a rate that is gamma distributed over customers (shape r, rate alpha); after each
purchase they drop out with a chance that is beta distributed (a, b). What is needed of a customer is three numbers:
repeat purchases x, the time t_x of the last one, and the time T since the first.

Source:
    Fader, Hardie, Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model. P(alive):
    the same (2008), Computing P(alive) Using the BG/NBD Model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import special

from shopkeeper.customers.methods.base import Repeats
from shopkeeper.customers.methods.hypergeometric import hypergeometric
from shopkeeper.customers.methods.likelihood import Loss, curvature, least, polished

Floats = npt.NDArray[np.float64]

WARM = 20_000    # customers of a larger set on which the first fit runs
SAMPLE = 1_000   # customers at whom is looked whether anything can be expected of them
FAINT = 1e-3     # weight of the prior that keeps a flat likelihood's curvature above 0
PRIOR = 2.0      # breadth of the prior on the logarithms of the parameters, in natural logarithms


@dataclass(frozen=True)
class BuyTillYouDie:
    """A fitted BG/NBD model; times in days.

    Attributes:
        r, alpha: Shape and rate (days) of the gamma distribution of purchase rates.
        a, b: Of the beta distribution of the chance to drop out after a purchase.
        log_likelihood: Of the customers that it was fitted on, with time in days.

    >>> model = BuyTillYouDie(.2426, 4.4135 * 7, .7929, 2.4258)
    >>> one = Repeats.of([2], [30.43 * 7], [38.86 * 7])
    >>> round(float(model.expected(one, 39 * 7)[0]), 3), round(float(model.alive(one)[0]), 3)
    (1.226, 0.727)
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float = float("nan")

    @property
    def params(self) -> Floats:
        """(4,) r, alpha, a, b."""
        return np.array([self.r, self.alpha, self.a, self.b])

    def alive(self, past: Repeats) -> Floats:
        """(n,) the chance that a customer has not dropped out. Who never came back has never had the chance to: 1."""
        with np.errstate(over="ignore"):
            odds = np.exp((self.r + past.x) * (np.log(self.alpha + past.age) - np.log(self.alpha + past.last)))
            gone = np.where(past.x > 0, self.a / np.maximum(self.b + past.x - 1, 1e-12) * odds, 0.0)
        return np.asarray(1 / (1 + gone))

    def expected(self, past: Repeats, horizon: float) -> Floats:
        """(n,) purchases to expect within `horizon` days from now."""
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6  # the formula has a removable pole at 1
        z = horizon / (self.alpha + past.age + horizon)
        grown = np.empty(len(z))
        for x, rows in past.groups():
            grown[rows] = hypergeometric(self.r + x, self.b + x, a + self.b + x - 1, z[rows])
        still = np.exp((self.r + past.x) * np.log1p(-z)) * grown
        found = (a + self.b + past.x - 1) / (a - 1) * (1 - still) * self.alive(past)
        return np.maximum(np.asarray(found), 0.0)

    def of_newcomers(self, span: npt.ArrayLike) -> Floats:
        """(n,) repeat purchases to expect within so many days (n,) of the first purchase."""
        t = np.asarray(span, np.float64)
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        grown = special.hyp2f1(self.r, self.b, a + self.b - 1, t / (self.alpha + t))
        return np.asarray((a + self.b - 1) / (a - 1) * (1 - (self.alpha / (self.alpha + t)) ** self.r * grown))

    def draw(self, past: Repeats, horizon: float, rng: np.random.Generator) -> Floats:
        """(n,) one possible number of purchases of each customer within `horizon` days: the future, simulated.

        Rates and chances are drawn from what the customer's own past leaves open.
        """
        n = len(past.x)
        rate = rng.gamma(self.r + past.x, 1 / (self.alpha + past.age))
        drop = rng.beta(self.a, self.b + past.x)
        alive = rng.random(n) < self.alive(past)
        would = rng.poisson(rate * horizon) * alive
        until = rng.geometric(np.clip(drop, 1e-12, 1.0))  # the purchase after which they drop out
        return np.minimum(would, until).astype(np.float64)


def fit(past: Repeats, *, prior: float = 0.0) -> BuyTillYouDie:
    """The parameters under which the past is likeliest.

    Where customers do not differ, the likeliest lie at infinity, and nothing can be expected from there: then a faint
    prior holds them.

    Args:
        past: Of every customer, times in days.
        prior: Weight of a weak prior (normal, on the logarithms of the parameters, around 1 at an age of 1); 0: none.

    Raises:
        ValueError: Nobody came back, so that nothing can be told.
    """
    if not (past.x > 0).any():
        raise ValueError("nobody came back")
    unit = float(past.age.mean()) or 1.0
    scaled = past.scaled(1 / unit)
    r, alpha, a, b = np.exp(_search(scaled, prior))
    found = BuyTillYouDie(float(r), float(alpha * unit), float(a), float(b))
    if not prior and not np.isfinite(found.expected(past.every(len(past.x) // SAMPLE + 1), unit)).all():
        return fit(past, prior=FAINT)
    return replace(found, log_likelihood=log_likelihood(found, past))


def log_likelihood(model: BuyTillYouDie, past: Repeats) -> float:
    """The logarithm of how likely the past of all customers is."""
    return float(-_loss_of(past)(np.log(model.params))[0] * len(past.x))


@dataclass(frozen=True, eq=False)
class _Panel:
    """What the likelihood needs of the customers; only who came back can have dropped out.

    Attributes:
        x, n: (k,) each number of repeat purchases, and how many customers have it.
        age: (n,) of those who never came back.
        again: Who came back.
    """

    x: Floats
    n: Floats
    age: Floats
    again: Repeats

    @classmethod
    def of(cls, past: Repeats) -> _Panel:
        x, n = np.unique(past.x, return_counts=True)
        came = past.x > 0
        return cls(x.astype(np.float64), n.astype(np.float64), past.age[~came], past.where(came))


def _search(past: Repeats, prior: float) -> Floats:
    """(4,) logarithms of the likeliest parameters."""
    if len(past.x) <= 2 * WARM:
        return least(_loss_of(past, prior), np.zeros(4))
    part = _loss_of(past.every(len(past.x) // WARM), prior)
    start = least(part, np.zeros(4))
    return polished(_loss_of(past, prior), start, curvature(part, start))


def _loss_of(past: Repeats, prior: float = 0.0) -> Loss:
    return partial(_loss, panel=_Panel.of(past), prior=prior)


def covariance(model: BuyTillYouDie, past: Repeats) -> Floats:
    """(4, 4) how far off the logarithms of the parameters may be: the inverse of the likelihood's curvature.

    Of many customers a part is looked at, for the curvature of the mean changes little with their number.
    """
    part, unit = past.every(max(1, len(past.x) // WARM)), float(past.age.mean()) or 1.0
    at = np.log(model.params / np.array([1, unit, 1, 1]))
    bend = curvature(_loss_of(part.scaled(1 / unit), FAINT), at)
    return np.asarray(np.linalg.inv(bend) / len(past.x))


def _loss(logs: Floats, *, panel: _Panel, prior: float) -> tuple[float, Floats]:
    """Minus the mean log-likelihood, and its gradient by the logarithms of the parameters."""
    r, alpha, a, b = np.exp(logs)
    x, n, again, psi = panel.x, panel.n, panel.again, special.digamma
    total, many, late = n.sum(), r + again.x, b + again.x - 1
    since, until, alone = alpha + again.age, alpha + again.last, alpha + panel.age
    by_age = np.log(since)
    apart = by_age - np.log(until)
    odds = np.exp(np.minimum(logs[2] + many * apart, 700.0)) / np.maximum(late, 1e-300)     # dropped out / alive
    gone = 1 - 1 / (1 + odds)
    never, ever = np.log(alone).sum(), by_age.sum()
    value = n @ (special.gammaln(r + x) + special.gammaln(b + x) - special.gammaln(a + b + x))
    value += total * (r * logs[1] - special.gammaln(r) + special.gammaln(a + b) - special.gammaln(b))
    value += np.log1p(odds).sum() - many @ by_age - r * never
    slope = np.array([
        n @ psi(r + x) + total * (logs[1] - psi(r)) - never - ever + gone @ apart,
        total * r / alpha - many @ ((1 - gone) / since + gone / until) - r * (1 / alone).sum(),
        total * psi(a + b) - n @ psi(a + b + x) + gone.sum() / a,
        total * (psi(a + b) - psi(b)) + n @ (psi(b + x) - psi(a + b + x)) - (gone / late).sum()])
    value -= prior * (logs ** 2).sum() / (2 * PRIOR ** 2)
    return float(-value / total), -(slope * np.array([r, alpha, a, b]) - prior * logs / PRIOR ** 2) / total
