"""The items: categories, prices, costs, seasons, complements, substitutes, arrivals; and what the shelf shows today."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shopkeeper.simulate.config import SimulationConfig
from shopkeeper.simulate.population import TIERS, Floats, Ints, Mask

CATEGORIES = (
    "Kitchen > Coffee", "Kitchen > Knives", "Kitchen > Cookware", "Kitchen > Storage",
    "Home > Lamps", "Home > Textiles", "Home > Candles", "Home > Plants",
    "Sport > Running", "Sport > Cycling", "Sport > Yoga", "Sport > Camping",
    "Care > Skin", "Care > Hair", "Care > Bath", "Care > Teeth",
    "Play > Puzzles", "Play > Board games", "Play > Building", "Play > Outdoor toys",
    "Desk > Notebooks", "Desk > Pens", "Desk > Bags", "Desk > Cables",
)
BRANDS = ("Aurel", "Birk", "Calla", "Dorn", "Esker", "Fjell", "Gale", "Hazel", "Iver", "Juno")
SEASONS = ("winter", "spring", "summer", "autumn")
_STYLES = ("Plain", "Classic", "Light", "Pocket", "Grand", "Soft", "Bright", "Field", "Studio", "Daily")
_PROMOTED = 1 / 45     # chance a day that a promotion of an item begins
_REPRICED = 1 / 120    # chance a day that its list price moves for good


@dataclass(frozen=True)
class Catalogue:
    """What is true of every item; arrays of (n,) unless said otherwise. Rows are sorted by category.

    Attributes:
        names: (C,) category paths, "A > B".
        category: Row of `names`.
        starts: (C + 1,) where each category's items begin; the last is n.
        brand: Row of BRANDS.
        base: Price on the first day, in cents of the currency.
        cost: What the shop pays for it, in cents.
        appeal: Weight within the category; long-tailed.
        season, swing: Row of SEASONS in which it sells best, and by how much, in [0, .5].
        arrives: Day from which it is on sale; 0 for those that were there before.
        group: Substitutes share a number; most groups have one item.
        partner: Row of the complement, -1 for none; the complement of the complement is the item.
        fit: (TIERS, n) how well the price fits each budget level, in (0, 1].
        quality: Mean stars that people give, in [1, 5].
    """

    names: tuple[str, ...]
    category: Ints
    starts: Ints
    brand: Ints
    base: Ints
    cost: Ints
    appeal: Floats
    season: Ints
    swing: Floats
    arrives: Ints
    group: Ints
    partner: Ints
    fit: Floats
    quality: Floats

    @classmethod
    def draw(cls, config: SimulationConfig, rng: np.random.Generator) -> Catalogue:
        """A catalogue for a configuration."""
        n, n_categories = config.items, min(config.categories, config.items)
        category = np.sort(np.concatenate([np.arange(n_categories), rng.integers(0, n_categories, n - n_categories)]))
        starts = np.searchsorted(category, np.arange(n_categories + 1)).astype(np.int64)
        base = _prices(category, n_categories, rng)
        appeal = np.exp(rng.standard_normal(n))
        arrives = np.where(rng.random(n) < config.arrivals, rng.integers(0, config.days, n), 0)
        arrives[starts[:-1]] = 0                       # no category is ever empty
        group = _substitutes(category, base, rng)
        return cls(
            names=CATEGORIES[:n_categories], category=category, starts=starts,
            brand=rng.integers(0, len(BRANDS), n), base=base,
            cost=np.maximum((base * rng.uniform(0.45, 0.7, n)).astype(np.int64), 1), appeal=appeal,
            season=rng.integers(0, len(SEASONS), n), swing=rng.uniform(0.0, 0.5, n), arrives=arrives, group=group,
            partner=_complements(category, (arrives == 0) & (appeal > np.median(appeal)), rng),
            fit=_fit(base, category, starts), quality=np.clip(3.9 + 0.6 * rng.standard_normal(n), 1.0, 5.0),
        )

    @property
    def n(self) -> int:
        """How many items there are, those to come included."""
        return len(self.category)

    def pairs(self) -> Ints:
        """(P, 2) complements, each pair once, the lower row first."""
        rows = np.flatnonzero(self.partner > np.arange(self.n))
        return np.stack([rows, self.partner[rows]], axis=1)

    def groups(self) -> list[Ints]:
        """The rows of each group of two substitutes or more."""
        order = np.argsort(self.group, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.group[order])) + 1)
        return [part for part in parts if len(part) > 1]

    def titles(self) -> list[str]:
        """(n,) a name for each item, such as "Birk Light Coffee 17"."""
        leaves = [name.split(" > ")[1] for name in self.names]
        return [f"{BRANDS[brand]} {_STYLES[row % len(_STYLES)]} {leaves[category]} {row}"
                for row, (brand, category) in enumerate(zip(self.brand, self.category, strict=True))]


@dataclass(frozen=True)
class Shelf:
    """What a person finds on one day; arrays of (n,) unless said otherwise.

    Attributes:
        price, list_price: In cents; the list price is what it costs without a promotion.
        ratio: price / price on the first day.
        on_sale: It has arrived.
        changed: Its price is another than yesterday, or it is new.
        reach: (TIERS, n + 1) running sum of the weights with which each budget level comes upon the items.
        ranked: Items by category, and within it by weight, the heaviest first.
        rank: Place of each item within its category, from 0.
        available: (C,) how many items each category has today.
    """

    price: Ints
    list_price: Ints
    ratio: Floats
    on_sale: Mask
    changed: Mask
    reach: Floats
    ranked: Ints
    rank: Ints
    available: Ints


@dataclass
class Pricing:
    """The prices as they move: promotions come and go, list prices drift. Moved on once a day, by chance alone.

    Chance alone is what makes the effect of a price on demand recoverable from the log.
    """

    catalogue: Catalogue
    depth: Floats = field(init=False)      # (n,) share off, 0 without a promotion
    until: Ints = field(init=False)        # (n,) first day after the promotion
    listed: Ints = field(init=False)       # (n,) list price in cents
    shown: Ints = field(init=False)        # (n,) yesterday's price in cents, -1 for not on sale

    def __post_init__(self) -> None:
        n = self.catalogue.n
        self.depth, self.until = np.zeros(n), np.zeros(n, np.int64)
        self.listed, self.shown = self.catalogue.base.copy(), np.full(n, -1, np.int64)

    def move(self, day: int, day_of_year: int, rng: np.random.Generator) -> Shelf:
        """The shelf of the next day."""
        n, begins = self.catalogue.n, rng.random(self.catalogue.n) < _PROMOTED
        depths, moves = rng.choice([0.1, 0.2, 0.3], n), rng.choice([0.95, 1.05], n)
        self.depth = np.where(self.until <= day, 0.0, self.depth)
        starting = begins & (self.depth == 0)
        self.depth = np.where(starting, depths, self.depth)
        self.until = np.where(starting, day + rng.integers(5, 11, n), self.until)
        repriced = rng.random(n) < _REPRICED
        self.listed = np.where(repriced, np.maximum((self.listed * moves).round().astype(np.int64), 1), self.listed)
        price = np.maximum((self.listed * (1 - self.depth)).round().astype(np.int64), 1)
        on_sale = self.catalogue.arrives <= day
        changed = on_sale & (price != self.shown)
        self.shown = np.where(on_sale, price, -1)
        weight = attraction(self.catalogue, day, day_of_year)
        return _shelf(self.catalogue, (price, self.listed.copy()), on_sale, changed, weight)


def attraction(catalogue: Catalogue, day: int, day_of_year: int) -> Floats:
    """(n,) weight of each item today: appeal, season and the pull of the new; 0 before its arrival."""
    turn = day_of_year / 365.25 - (catalogue.season + 0.1) / 4
    seasonal = 1 + catalogue.swing * np.cos(2 * np.pi * turn)
    age = day - catalogue.arrives
    new = np.where(catalogue.arrives > 0, 1 + np.exp(-np.maximum(age, 0) / 14.0), 1.0)
    return np.where(age >= 0, catalogue.appeal * seasonal * new, 0.0)


def _shelf(catalogue: Catalogue, prices: tuple[Ints, Ints], on_sale: Mask, changed: Mask, weight: Floats) -> Shelf:
    price, listed = prices
    reach = np.zeros((TIERS, catalogue.n + 1))
    np.cumsum(catalogue.fit * weight, axis=1, out=reach[:, 1:])
    ranked = np.lexsort((-weight, catalogue.category))
    rank = np.empty(catalogue.n, np.int64)
    rank[ranked] = np.arange(catalogue.n) - catalogue.starts[catalogue.category[ranked]]
    available = np.add.reduceat(on_sale.astype(np.int64), catalogue.starts[:-1])
    return Shelf(price, listed, price / catalogue.base, on_sale, changed, reach, ranked, rank, available)


def _prices(category: Ints, n_categories: int, rng: np.random.Generator) -> Ints:
    """(n,) prices in cents that end in 99, long-tailed within each category."""
    level = rng.normal(3.1, 0.5, n_categories)
    euros = np.exp(level[category] + 0.5 * rng.standard_normal(len(category)))
    return np.asarray(np.floor(np.clip(euros, 1, 5000)).astype(np.int64) * 100 + 99)


def _fit(base: Ints, category: Ints, starts: Ints) -> Floats:
    """(TIERS, n) how near an item's price rank within its category is to each budget level."""
    order = np.lexsort((base, category))
    share = np.empty(len(base))
    size = np.diff(starts)[category]
    share[order] = (np.arange(len(base)) - starts[category[order]] + 0.5) / size[order]
    level = (np.arange(TIERS) + 0.5) / TIERS
    return np.asarray(np.exp(-0.5 * ((share[None, :] - level[:, None]) / 0.3) ** 2))


def _substitutes(category: Ints, base: Ints, rng: np.random.Generator) -> Ints:
    """(n,) group numbers; about a third of the items stand in groups of two or three of one category and like price."""
    n = len(base)
    order = np.lexsort((base, category))
    joined = (rng.random(n) < 0.2) & (category[order] == np.roll(category[order], 1))
    joined[:1] = False
    joined &= ~(np.roll(joined, 1) & np.roll(joined, 2))      # three at most
    group = np.empty(n, np.int64)
    group[order] = np.cumsum(~joined) - 1
    return group


def _complements(category: Ints, eligible: Mask, rng: np.random.Generator) -> Ints:
    """(n,) partner rows: about one item in five has one, from another category where there is another."""
    n = len(category)
    partner = np.full(n, -1, np.int64)
    rows = rng.permutation(np.flatnonzero(eligible))[: 2 * (n // 10)]
    half = len(rows) // 2
    left, right = rows[:half], rows[half: 2 * half]
    apart = (category[left] != category[right]) | (category.max() == 0)
    partner[left[apart]], partner[right[apart]] = right[apart], left[apart]
    return partner
