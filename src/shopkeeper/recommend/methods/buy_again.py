"""What this customer has bought before and is due to buy again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.recommend.methods.base import (
    DAY,
    Arrays,
    Because,
    Floats,
    Histories,
    Interactions,
    Meta,
    Ranking,
    Rows,
    checked,
)
from shopkeeper.recommend.methods.popular import counted

__all__ = ["BuyAgain", "BuyAgainFitted", "BuyAgainParams"]

Numbers = npt.NDArray[np.float64]
_INTERVAL = 30.0  # days between two purchases of an item, where nobody has bought anything twice
_HELD = 5.0  # how many buyers (or gaps) of an item weigh as much as what holds for all items


@dataclass(frozen=True)
class BuyAgainParams:
    """How a habit is read.

    `half_life`: days after which a purchase counts half. `prior`: how many typical buyers of the item weigh as much as
    the customer's own record. `patience`: intervals of silence after which half of the customers have given the item
    up. `wait`: the share of the score withheld right after a purchase, given back as the next one falls due.
    """

    half_life: float = 90.0
    prior: float = 0.5
    patience: float = 8.0
    wait: float = 0.0

    def __post_init__(self) -> None:
        checked(self, {"half_life": (1e-3, 1e6), "prior": (0, 1e6), "patience": (1e-3, 1e6), "wait": (0, 1)})


@dataclass(frozen=True)
class Habits:
    """One line for each pair of a customer and an item that it bought: (pairs,) arrays."""

    owner: Rows  # place of the customer, 0 ... m - 1
    item: Rows
    strength: Numbers  # purchases, each halved every half-life
    times: Numbers  # baskets that held the item
    span: Numbers  # days from the first to the last of them
    gap: Numbers  # days since the last of them


@dataclass(frozen=True)
class ItemHabits:
    """What holds for an item whoever buys it: `interval` (n_items,) days, `typical` (n_items,) mean strength.

    `purchase` is the weight from which a line is a purchase.
    """

    interval: Floats
    typical: Floats
    purchase: float


class BuyAgain:
    """Items by how often this customer buys them, how lately, and whether they are due.

    score = (strength + prior x what the item's buyers have on average) x due, where strength is the sum over the
    customer's baskets with the item of 2^(-age / half_life). With the gap since the last one, and the interval
    between two (the customer's own, shrunk to the item's, and that to all items'):
    due = [1 - wait x max(0, 1 - gap / interval)] / [1 + (gap / (patience x interval))^2].
    The denominator is the survival function of a log-logistic gap: the chance that the habit is still alive.
    Items that the customer never bought score 0 and follow in the order of popularity. A purchase is a line of the
    log's heaviest role: where there are purchases, views are none; where there are only views, a view is one.

    Source:
        Bhagat, Muralidharan, Lobzhanidze, Vishwanath (2018), Buy It Again: Modeling Repeat Purchase Recommendations
        (KDD): a rate shrunk to the item's by a Gamma prior, lowered by the time since the last purchase.
    """

    name = "buy_again"

    def candidates(self) -> Sequence[BuyAgainParams]:
        """Short, middle and long memory, and one that waits after a purchase; the default first."""
        return [BuyAgainParams(), BuyAgainParams(half_life=45), BuyAgainParams(half_life=180),
                BuyAgainParams(wait=0.5)]

    def fit(self, interactions: Interactions, now: int, params: BuyAgainParams) -> BuyAgainFitted:
        """Learn each item's typical interval and strength from all of its buyers."""
        past = interactions.before(now)
        bought = past.where(past.weight >= past.weight.max(initial=0.0))
        everybody = Histories.of(bought, np.arange(past.n_customers))
        habits = read_habits(everybody, now, params.half_life)
        items = ItemHabits(_intervals(habits, past.n_items), _typical(habits, past.n_items),
                           float(past.weight.max(initial=0.0)))
        return BuyAgainFitted(counted(past), items, params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> BuyAgainFitted:
        """The inverse of `BuyAgainFitted.state`."""
        return BuyAgainFitted.restore(arrays, meta)


class BuyAgainFitted(Ranking):
    """Every item's habits; a customer's own are read from the history when it is asked about."""

    name = BuyAgain.name

    def __init__(self, popularity: Floats, items: ItemHabits, params: BuyAgainParams) -> None:
        super().__init__(popularity)
        self.items, self.params = items, params

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items), above 0 for what a customer has bought."""
        habits, score = self._habits(histories, now)
        return sparse.csr_matrix((score, (habits.owner, habits.item)), shape=(len(histories), self.n_items))

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """As `known`."""
        habits, score = self._habits(history, now)
        return habits.item.astype(np.int64), score

    def _habits(self, histories: Histories, now: int) -> tuple[Habits, Floats]:
        habits = read_habits(self._bought(histories), now, self.params.half_life)
        score = habits.strength + self.params.prior * self.items.typical[habits.item]
        return habits, (score * self.due(habits)).astype(np.float32)

    def _bought(self, histories: Histories) -> Histories:
        known = histories.known(self.n_items)
        return known.where(known.weight >= self.items.purchase)

    def due(self, habits: Habits) -> Numbers:
        """How due each habit is, (pairs,) in (0, 1]."""
        # the customer's own gaps (times - 1 of them) and one of the item's
        interval = (habits.span + self.items.interval[habits.item]) / habits.times
        waited = habits.gap / interval
        alive = 1.0 / (1.0 + (waited / self.params.patience) ** 2)
        early = np.maximum(0.0, 1.0 - waited)
        return np.asarray(np.maximum(alive * (1.0 - self.params.wait * early), 1e-6))

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The item itself, whole, where the customer has bought it; nothing otherwise."""
        bought = set(self._bought(history).item.tolist())
        return [[(int(row), 1.0)] if int(row) in bought else [] for row in np.asarray(item_rows).ravel()]

    def state(self) -> tuple[Arrays, Meta]:
        """The item arrays, the weight of a purchase, and the setting."""
        return ({"popularity": self.popularity, "interval": self.items.interval, "typical": self.items.typical},
                {"params": asdict(self.params), "purchase": self.items.purchase})

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> BuyAgainFitted:
        """The inverse of `state`."""
        items = ItemHabits(arrays["interval"], arrays["typical"], meta["purchase"])
        return cls(arrays["popularity"], items, BuyAgainParams(**meta["params"]))


def read_habits(histories: Histories, now: int, half_life: float) -> Habits:
    """Each customer's record with each item of its history; an item counts once a basket."""
    owner, item, when = _baskets_with_item(histories)
    first = np.ones(len(owner), dtype=bool)
    first[1:] = (owner[1:] != owner[:-1]) | (item[1:] != item[:-1])
    pair = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(owner))[:len(starts)] - 1
    age = np.maximum(0, now - when) / DAY
    faded: Numbers = 0.5 ** (age / half_life)
    return Habits(owner[starts], item[starts], strength=_totals(pair, faded), times=_totals(pair, np.ones_like(faded)),
                  span=age[starts] - age[ends], gap=age[ends])


def _baskets_with_item(histories: Histories) -> tuple[Rows, Rows, Rows]:
    """Owner, item and first time of each basket that holds the item; by owner, item, time."""
    owner, item, when, basket = histories.owner, histories.item, histories.when, histories.basket
    by = np.lexsort((when, basket, item, owner))
    owner, item, when, basket = owner[by], item[by], when[by], basket[by]
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (item[1:] != item[:-1]) | (basket[1:] != basket[:-1])
    owner, item, when = owner[new], item[new], when[new]
    by = np.lexsort((when, item, owner))
    return owner[by], item[by], when[by]


def _totals(group: Rows, value: Numbers) -> Numbers:
    """The sum of each group (0 … the last), float64 even where there is nothing to add."""
    return np.bincount(group, value).astype(np.float64)


def _intervals(habits: Habits, n_items: int) -> Floats:
    """Mean days between two purchases of each item by one customer, shrunk to that of all items."""
    gaps, days = habits.times - 1, habits.span
    overall = max(days.sum() / gaps.sum(), 1e-3) if gaps.sum() else _INTERVAL
    of_item = np.bincount(habits.item, days, minlength=n_items) + _HELD * overall
    return np.asarray(of_item / (np.bincount(habits.item, gaps, minlength=n_items) + _HELD), dtype=np.float32)


def _typical(habits: Habits, n_items: int) -> Floats:
    """Mean strength of an item over its buyers, shrunk to 0."""
    total = np.bincount(habits.item, habits.strength, minlength=n_items)
    return np.asarray(total / (np.bincount(habits.item, minlength=n_items) + _HELD), dtype=np.float32)
