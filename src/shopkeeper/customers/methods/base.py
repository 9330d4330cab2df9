"""What the methods of this room are given: arrays about customers, cut off at a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DAY = 86_400_000_000  # microseconds
ACTS = ("visits", "views", "carts", "searches", "nothing")  # columns of `Days.acts`


@dataclass(frozen=True, eq=False)
class Repeats:
    """Each customer's purchases in three numbers, and their money in one.

    Attributes:
        x: (n,) repeat purchases, the first not counted; a purchase is a day with at least one order.
        last: (n,) time from the first purchase to the last, days; 0 where x is 0.
        age: (n,) time from the first purchase to the cut, days.
        spend: (n,) mean money of a repeat purchase; 0 where x is 0, or where money plays no part.

    Raises:
        ValueError: The arrays do not fit, or a last purchase lies beyond the cut.
    """

    x: Floats
    last: Floats
    age: Floats
    spend: Floats

    def __post_init__(self) -> None:
        if {len(one) for one in (self.x, self.last, self.age, self.spend)} != {len(self.x)}:
            raise ValueError("x, last, age and spend must be of one length")
        if len(self.x) and ((self.last > self.age + 1e-9).any() or (self.x < 0).any() or (self.last < 0).any()):
            raise ValueError("0 <= last <= age and x >= 0 must hold of every customer")

    @classmethod
    def of(cls, x: npt.ArrayLike, last: npt.ArrayLike, age: npt.ArrayLike,
           spend: npt.ArrayLike | None = None) -> Repeats:
        """From anything like arrays."""
        counts = np.asarray(x, np.float64)
        money = np.zeros(len(counts)) if spend is None else np.asarray(spend, np.float64)
        return cls(counts, np.asarray(last, np.float64), np.asarray(age, np.float64), money)

    def scaled(self, factor: float) -> Repeats:
        """The same with every time multiplied."""
        return Repeats(self.x, self.last * factor, self.age * factor, self.spend)

    def every(self, step: int) -> Repeats:
        """Each `step`-th customer."""
        return self.where(slice(None, None, step))

    def where(self, rows: Any) -> Repeats:
        """Some of the customers."""
        return Repeats(self.x[rows], self.last[rows], self.age[rows], self.spend[rows])

    def groups(self) -> Iterator[tuple[float, Ints]]:
        """Each number of repeat purchases, and the rows of those who have it."""
        order = np.argsort(self.x, kind="stable")
        values, starts = np.unique(self.x[order], return_index=True)
        yield from zip(values.tolist(), np.split(order, starts[1:]), strict=True)


@dataclass(frozen=True, eq=False)
class Days:
    """What each customer did on each day, in order of customer and day; a row a customer and day.

    Attributes:
        customer: (n,) row of the customer.
        day: (n,) day by the shop's wall clock, counted from 1970.
        orders: (n,) orders of the day; 0 where something else was done.
        money: (n,) what the day brought, in the shop's currency; refunds of the day are taken off.
        lines: (n,) items that were ordered.
        acts: (n, 5) counts of the columns `ACTS`; `nothing` is a search that found nothing.
        n_customers: How many customers there are.
    """

    customer: Ints
    day: Ints
    orders: Floats
    money: Floats
    lines: Floats
    acts: Floats
    n_customers: int

    @classmethod
    def of(cls, customer: npt.ArrayLike, day: npt.ArrayLike, money: npt.ArrayLike | None = None,
           n_customers: int | None = None) -> Days:
        """From purchases alone, (n,) each, in any order; several of one customer and day are one row."""
        who, when = np.asarray(customer, np.int64), np.asarray(day, np.int64)
        worth = np.zeros(len(who)) if money is None else np.asarray(money, np.float64)
        low, width = (int(when.min()), int(np.ptp(when)) + 1) if len(when) else (0, 1)
        keys, place, orders = np.unique(who * width + when - low, return_inverse=True, return_counts=True)
        count = n_customers if n_customers is not None else int(who.max(initial=-1)) + 1
        money_of: Floats = np.bincount(place, worth, len(keys)).astype(np.float64)
        return cls(keys // width, keys % width + low, orders.astype(np.float64), money_of, orders.astype(np.float64),
                   np.zeros((len(keys), len(ACTS))), count)

    def before(self, cut: int) -> Days:
        """What was done before a day."""
        return self.where(self.day < cut)

    def where(self, rows: Any) -> Days:
        """Some of the rows; the customers stay."""
        return Days(self.customer[rows], self.day[rows], self.orders[rows], self.money[rows], self.lines[rows],
                    self.acts[rows], self.n_customers)

    def bought(self) -> Days:
        """The days with an order."""
        return self.where(self.orders > 0)

    def total(self, values: npt.ArrayLike | None = None) -> Floats:
        """(n_customers,) how many rows a customer has, or the sum of a value (n,) over them."""
        weights = None if values is None else np.asarray(values, np.float64)
        return np.bincount(self.customer, weights, self.n_customers).astype(np.float64)

    def first(self) -> Ints:
        """(n_customers,) first day of each; the largest number there is where there is none."""
        found = np.full(self.n_customers, np.iinfo(np.int64).max)
        np.minimum.at(found, self.customer, self.day)
        return found

    def last(self) -> Ints:
        """(n_customers,) last day of each; the smallest number there is where there is none."""
        found = np.full(self.n_customers, np.iinfo(np.int64).min)
        np.maximum.at(found, self.customer, self.day)
        return found

    def gaps(self) -> tuple[Ints, Ints]:
        """Days between one purchase of a customer and the next: (m,) whose, (m,) how many days."""
        mine = self.bought()
        same = mine.customer[1:] == mine.customer[:-1]
        return mine.customer[1:][same], np.diff(mine.day)[same]


def repeats(days: Days, cut: int) -> tuple[Ints, Repeats]:
    """The purchases of each customer before a day, in numbers.

    Args:
        days: What was done; what is not before `cut` is not looked at.
        cut: The first day that is not known.

    Returns:
        (n,) rows of the customers who bought before it, and their numbers. Refunds make every purchase of their
        customer cheaper in proportion, down to nothing.
    """
    known = days.before(cut)
    mine = known.bought()
    first, last, count = mine.first(), mine.last(), mine.total()
    rows = np.flatnonzero(count > 0)
    begun = mine.day == first[mine.customer]
    gross, later = mine.total(mine.money), mine.total(np.where(begun, 0.0, mine.money))
    kept = np.clip(known.total(known.money) / np.where(gross > 0, gross, 1.0), 0.0, 1.0)
    x = count[rows] - 1
    spend = np.maximum(later[rows], 0.0) * kept[rows] / np.maximum(x, 1.0)
    return rows, Repeats(x, (last[rows] - first[rows]).astype(np.float64),
                         (cut - 1 - first[rows]).astype(np.float64), spend)
