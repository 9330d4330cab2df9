"""The customers: what they like, what they can spend, when they come, how they take a price, when they leave.

The families are chosen so that none of the methods that shopkeeper fits is exactly right: intervals are gamma renewals
with a seasonal pace, lives are a mixture of Weibull and for ever, tastes drift a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shopkeeper.simulate.config import SimulationConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TIERS = 5                                # budget levels, cheapest first
COUNTRIES = ("DE", "FR", "NL", "GB", "CN")
DEVICES = ("mobile", "desktop", "tablet")
_FAVOURITES = (0.4, 0.28, 0.2)         # mean taste for the three favourite categories; the others share the rest
_SWAY = 0.15                             # how far the log of a taste drifts over half a year


@dataclass(frozen=True)
class Population:
    """What is true of every customer; arrays of (n,) unless said otherwise.

    Attributes:
        taste: (n, C) share of each category in what the customer considers; rows sum to 1.
        sway: (n, C) phase of the taste's drift, in turns.
        interval: Mean days between purchases, season apart.
        regularity: Shape of the gamma intervals; the coefficient of variation is its root's inverse.
        hour: Preferred hour of the day, in the shop's zone, in [0, 24).
        weekday: Preferred day of the week, 0 = Monday.
        elasticity: Relative change of the chance to buy for a relative change of price; below 0.
        tier: Budget level in 0..4.
        slots: Mean number of items looked at in a buying session.
        browsing: Chance of a session without a purchase on a day.
        loyalty: Chance to consider the item last bought of a category again.
        joins: Day of the first visit; 0 or earlier for those who were there before.
        leaves: First day after leaving, a whole number; infinite for those who never leave.
        country, device: Rows of COUNTRIES and DEVICES.
    """

    taste: Floats
    sway: Floats
    interval: Floats
    regularity: Floats
    hour: Floats
    weekday: Ints
    elasticity: Floats
    tier: Ints
    slots: Floats
    browsing: Floats
    loyalty: Floats
    joins: Floats
    leaves: Floats
    country: Ints
    device: Ints

    @classmethod
    def draw(cls, config: SimulationConfig, n_categories: int, rng: np.random.Generator) -> Population:
        """A population for a configuration, with tastes over `n_categories` categories."""
        n = config.customers
        joins = np.where(rng.random(n) < 0.7, 0.0, np.floor(rng.random(n) * 0.8 * config.days))
        return cls(
            taste=_tastes(n, n_categories, rng),
            sway=rng.random((n, n_categories)),
            interval=np.clip(config.interval * np.exp(0.4 * rng.standard_normal(n)), 3.0, 120.0),
            regularity=rng.uniform(6.0, 16.0, n),
            hour=(np.where(rng.random(n) < 0.35, 12.0, 19.0) + 2.5 * rng.standard_normal(n)) % 24,
            weekday=rng.choice(7, n, p=[0.12, 0.11, 0.12, 0.13, 0.16, 0.2, 0.16]).astype(np.int64),
            elasticity=-np.clip(np.exp(0.55 + 0.4 * rng.standard_normal(n)), 0.6, 3.2),
            tier=rng.choice(TIERS, n, p=[0.15, 0.25, 0.3, 0.2, 0.1]).astype(np.int64),
            slots=rng.uniform(4.0, 11.0, n),
            browsing=np.minimum(rng.gamma(2.0, 0.06, n), 0.6),
            loyalty=rng.beta(2.0, 3.0, n),
            joins=joins,
            leaves=_leaving(config, joins, rng),
            country=rng.choice(len(COUNTRIES), n, p=[0.45, 0.2, 0.15, 0.12, 0.08]).astype(np.int64),
            device=rng.choice(len(DEVICES), n, p=[0.6, 0.34, 0.06]).astype(np.int64),
        )

    def there(self, day: float) -> Mask:
        """(n,) who has joined and has not left on a day."""
        return np.asarray((self.joins <= day) & (self.leaves > day))

    def taste_on(self, day: int, who: Ints) -> Floats:
        """(len(who), C) the tastes of some customers on a day, drift and all; rows sum to 1."""
        drifted = self.taste[who] * np.exp(_SWAY * np.sin(2 * np.pi * (day / 180.0 + self.sway[who])))
        return np.asarray(drifted / drifted.sum(axis=1, keepdims=True))

    def gaps(self, who: Ints, day_of_year: int, rng: np.random.Generator) -> Floats:
        """(len(who),) days until the next purchase: gamma, a little quicker towards the end of the year."""
        shape = self.regularity[who]
        return np.asarray(rng.gamma(shape, self.interval[who] / shape) / pace(day_of_year))


def pace(day_of_year: int) -> float:
    """How quickly the whole shop runs at a time of the year; 1 on average, highest in December.

    >>> pace(349) > 1 > pace(166)
    True
    """
    return 1.0 + 0.1 * float(np.cos(2 * np.pi * (day_of_year - 349) / 365.25))


def favourites(taste: Floats, k: int = 3) -> Ints:
    """(n, min(k, C)) the categories that each row likes best, best first; ties by the lower number.

    >>> favourites(np.array([[.1, .6, .3]]), 2).tolist()
    [[1, 2]]
    """
    return np.argsort(-taste, axis=1, kind="stable")[:, :k].astype(np.int64)


def _tastes(n: int, n_categories: int, rng: np.random.Generator) -> Floats:
    """(n, C) Dirichlet tastes with three favourites each; popular categories are favourites more often."""
    fav = np.array(_FAVOURITES[:n_categories])
    rest = max(n_categories - len(fav), 0)
    mean = np.concatenate([fav, np.full(rest, (1 - sum(_FAVOURITES)) / max(rest, 1))])
    drawn = rng.gamma(60.0 * mean / mean.sum(), size=(n, n_categories)) + 1e-9
    popular = 0.4 * rng.standard_normal(n_categories)
    order = np.argsort(-(popular + rng.gumbel(size=(n, n_categories))), axis=1)
    taste = np.empty_like(drawn)
    np.put_along_axis(taste, order, drawn, axis=1)
    return np.asarray(taste / taste.sum(axis=1, keepdims=True))


def _leaving(config: SimulationConfig, joins: Floats, rng: np.random.Generator) -> Floats:
    """(n,) the day of leaving: a Weibull life after joining for some, never for the others."""
    life = config.life * rng.weibull(1.4, len(joins))
    return np.where(rng.random(len(joins)) < config.leaving, joins + np.ceil(life), np.inf)
