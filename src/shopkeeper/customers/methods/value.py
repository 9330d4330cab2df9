"""What customers will buy and spend: the rate of their past, and BG/NBD with Gamma-Gamma, whose level is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import optimize

from shopkeeper.customers.methods import buy_till_you_die, spend
from shopkeeper.customers.methods.base import Days, Floats, Repeats, repeats
from shopkeeper.customers.methods.buy_till_you_die import BuyTillYouDie
from shopkeeper.customers.methods.spend import Spend

Arrays = Mapping[str, npt.NDArray[Any]]

ORIGINS = (1 / 2, 2 / 3, 5 / 6)  # of the span of the log: where the level is checked
FEWEST = 200                     # purchases that must have come after the origins for a level to be believed
STEADY = (0.5, 2.0)              # a level beyond these is a break, not a level


class Worth(Protocol):
    """A fitted way to say what customers will bring."""

    @property
    def name(self) -> str:
        """What it is called."""

    def purchases(self, past: Repeats, horizon: float) -> Floats:
        """(n,) purchases to expect within `horizon` days."""

    def each(self, past: Repeats) -> Floats:
        """(n,) money to expect of a purchase."""

    def draws(self, past: Repeats, horizon: float, n: int, seed: int) -> Floats:
        """(n, n_customers) possible sums of money within `horizon` days."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As arrays."""


@dataclass(frozen=True)
class PastRate:
    """Goes on as before: purchases of a customer by their own rate, drawn to everybody's by one purchase.

    Attributes:
        rate: Repeat purchases a day over all customers.
        mean: Money of a repeat purchase, its mean over the customers who came back: each counts alike, however much.
    """

    rate: float
    mean: float

    name = "past_rate"

    @classmethod
    def fit(cls, days: Days, cut: int) -> PastRate:
        """From what was done before a day."""
        past = repeats(days, cut)[1]
        paid = past.spend[past.spend > 0]
        return cls(float(past.x.sum() / max(past.age.sum(), 1.0)), float(paid.mean()) if len(paid) else 0.0)

    def purchases(self, past: Repeats, horizon: float) -> Floats:
        """As `Worth.purchases`."""
        own = (past.x + 1) / (past.age + 1 / max(self.rate, 1e-9))
        return np.asarray(own * horizon)

    def each(self, past: Repeats) -> Floats:
        """As `Worth.each`: their own mean, or that of all."""
        return np.where(past.spend > 0, past.spend, self.mean)

    def draws(self, past: Repeats, horizon: float, n: int, seed: int) -> Floats:
        """As `Worth.draws`: purchases by chance at that rate, each of the same money."""
        rng = np.random.default_rng(seed)
        return np.asarray(rng.poisson(self.purchases(past, horizon), (n, len(past.x))) * self.each(past))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As `Worth.state`."""
        return {"rate": np.array([self.rate]), "mean": np.array([self.mean])}

    @classmethod
    def restore(cls, arrays: Arrays) -> PastRate:
        """The inverse of `state`."""
        return cls(float(arrays["rate"][0]), float(arrays["mean"][0]))


@dataclass(frozen=True, eq=False)
class Lifetime:
    """BG/NBD for how often, Gamma-Gamma for how much.

    Attributes:
        model: How often.
        money: How much; None where nobody came back and paid.
        level: What came after earlier days, as a share of what the model expected on those days.
        spread: (4, 4) how far off the logarithms of the model's parameters may be.
    """

    model: BuyTillYouDie
    money: Spend | None
    level: float
    spread: Floats

    name = "buy_till_you_die"

    @classmethod
    def fit(cls, days: Days, cut: int) -> Lifetime:
        """From what was done before a day.

        Raises:
            ValueError: Nobody came back before it.
        """
        past = repeats(days, cut)[1]
        model = buy_till_you_die.fit(past)
        try:
            money = spend.fit(past)
        except ValueError:
            money = None
        return cls(model, money, level(days, cut), buy_till_you_die.covariance(model, past))

    def purchases(self, past: Repeats, horizon: float) -> Floats:
        """As `Worth.purchases`."""
        return self.level * self.model.expected(past, horizon)

    def each(self, past: Repeats) -> Floats:
        """As `Worth.each`."""
        return np.zeros(len(past.x)) if self.money is None else self.money.expected(past)

    def draws(self, past: Repeats, horizon: float, n: int, seed: int) -> Floats:
        """As `Worth.draws`: parameters by what the likelihood leaves open, customers and futures by the parameters."""
        rng = np.random.default_rng(seed)
        logs = rng.multivariate_normal(np.log(self.model.params), self.spread, n, method="eigh")
        found = np.empty((n, len(past.x)))
        for row, params in enumerate(np.exp(np.clip(logs, -12, 12))):
            often = BuyTillYouDie(*params.tolist()).draw(past, horizon, rng) * self.level
            found[row] = often * (self.each(past) if self.money is None else self.money.draw(past, rng))
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As `Worth.state`."""
        params = np.zeros(4) if self.money is None else np.array([*self.money.params, self.money.mean])
        return {"params": self.model.params, "money": params, "level": np.array([self.level]), "spread": self.spread}

    @classmethod
    def restore(cls, arrays: Arrays) -> Lifetime:
        """The inverse of `state`."""
        money = Spend(*arrays["money"].tolist()) if arrays["money"].any() else None
        return cls(BuyTillYouDie(*arrays["params"].tolist()), money, float(arrays["level"][0]), arrays["spread"])


@dataclass(frozen=True, eq=False)
class Weighed:
    """BG/NBD and Gamma-Gamma, where who pays more a purchase may also come more often, or less.

    What is expected of a customer is multiplied by a power of what they pay beside others. How strong it is, earlier
    days of the log say; the sum over all customers stays what it was.

    Attributes:
        base: How often and how much, each by itself.
        power: Of 1 + spend / unit; 0 where spending says nothing of coming. Who never came back counts as of one unit.
        unit: Mean spend of a customer who came back.
        scale: Keeps the sum.
    """

    base: Lifetime
    power: float
    unit: float
    scale: float

    name = "weighed_by_spend"

    @property
    def level(self) -> float:
        """As of `Lifetime`."""
        return self.base.level

    @classmethod
    def fit(cls, days: Days, cut: int) -> Weighed:
        """From what was done before a day.

        Raises:
            ValueError: Nobody came back before it.
        """
        base, past = Lifetime.fit(days, cut), repeats(days, cut)[1]
        paid = past.spend[past.spend > 0]
        unit = float(paid.mean()) if len(paid) else 1.0
        power = _power(days, cut, unit)
        plain = base.purchases(past, cut - int(days.before(cut).day.min()))
        return cls(base, power, unit, float(plain.sum() / max((plain * _factor(past, power, unit)).sum(), 1e-12)))

    def weight(self, past: Repeats) -> Floats:
        """(n,) what each customer's expectation is multiplied by."""
        return self.scale * _factor(past, self.power, self.unit)

    def purchases(self, past: Repeats, horizon: float) -> Floats:
        """As `Worth.purchases`."""
        return self.base.purchases(past, horizon) * self.weight(past)

    def each(self, past: Repeats) -> Floats:
        """As `Worth.each`."""
        return self.base.each(past)

    def draws(self, past: Repeats, horizon: float, n: int, seed: int) -> Floats:
        """As `Worth.draws`."""
        return np.asarray(self.base.draws(past, horizon, n, seed) * self.weight(past))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As `Worth.state`."""
        return {**self.base.state(), "weighed": np.array([self.power, self.unit, self.scale])}

    @classmethod
    def restore(cls, arrays: Arrays) -> Weighed:
        """The inverse of `state`."""
        return cls(Lifetime.restore(arrays), *arrays["weighed"].tolist())


METHODS: tuple[type[PastRate] | type[Lifetime] | type[Weighed], ...] = (PastRate, Lifetime, Weighed)


def _factor(past: Repeats, power: float, unit: float) -> Floats:
    return np.asarray((1 + np.where(past.spend > 0, past.spend, unit) / unit) ** power)


def _power(days: Days, cut: int, unit: float) -> float:
    """The power of spending under which what came after earlier days is likeliest (Poisson, one level a day)."""
    seen = [(past, expected, came) for past, expected, came in _origins(days, cut) if (past.spend > 0).any()]
    if sum(came.sum() for _, _, came in seen) < FEWEST:
        return 0.0

    def loss(power: float) -> float:
        found = 0.0
        for past, expected, came in seen:
            said = np.maximum(expected * _factor(past, power, unit), 1e-9)
            found -= float(came @ np.log(said) - came.sum() * np.log(said.sum()))
        return found

    return float(optimize.minimize_scalar(loss, bounds=(-1, 1), method="bounded").x)


def _origins(days: Days, cut: int, origins: tuple[float, ...] = ORIGINS) -> Iterator[tuple[Repeats, Floats, Floats]]:
    """Of earlier days: what was known of the customers, what BG/NBD expected up to the cut, and what came."""
    known = days.before(cut).bought()
    begin = int(known.day.min(initial=cut))
    for share in origins:
        origin = begin + round((cut - begin) * share)
        rows, past = repeats(known, origin)
        if len(rows) and (past.x > 0).any():
            came = known.where(known.day >= origin).total()[rows]
            yield past, buy_till_you_die.fit(past).expected(past, cut - origin), came


def level(days: Days, cut: int, origins: tuple[float, ...] = ORIGINS) -> float:
    """What came after some earlier days, as a share of what a model of each of those days expected.

    Args:
        days: What was done.
        cut: The first day that is not known.
        origins: Where the earlier days lie, as shares of the span.

    Returns:
        The share over all origins together; 1 where too little came to tell, or where the shop has changed by half or
        to the double, which is no level any more.
    """
    came = expected = 0.0
    for _, said, found in _origins(days, cut, origins):
        came, expected = came + float(found.sum()), expected + float(said.sum())
    if came < FEWEST or not STEADY[0] < came / expected < STEADY[1]:
        return 1.0
    return float(came / expected)
