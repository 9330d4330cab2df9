"""What it means to stop, by a shop's own gaps between purchases; and the cases that follow from it."""

from __future__ import annotations

import numpy as np

from shopkeeper.customers.methods.base import Days
from shopkeeper.customers.methods.features import features
from shopkeeper.customers.methods.risk import Cases

RETURNED = 0.9       # share of returns that came within what is called silence
SHORTEST, LONGEST = 14, 180  # days
WEEK = 7


def usual_silence(days: Days) -> int | None:
    """Days within which nine returns of ten came, in whole weeks, 14 to 180; None where nobody came back.

    Whoever is silent longer has stopped, by this definition: one in ten of those who come back takes longer.
    """
    _, gap = days.gaps()
    if not len(gap):
        return None
    found = int(np.ceil(np.quantile(gap, RETURNED, method="inverted_cdf") / WEEK)) * WEEK
    return min(max(found, SHORTEST), LONGEST)


def looked_at(within: int) -> int:
    """Days before a cut in which a customer must have bought to be asked about: four times the horizon, 90 to 365."""
    return min(max(4 * within, 90), 365)


def cases_at(days: Days, cut: int, within: int, known: bool = True, active: int | None = None) -> Cases:
    """The customers of a day: what was known of them, and whether they stopped.

    Args:
        days: What was done.
        cut: The first day that is not known.
        within: Days after it in which a purchase means that they did not stop.
        known: Whether what followed is known; otherwise `gone` is 0 and means nothing.
        active: Days before the cut in which they must have bought; by default `looked_at`.
    """
    mine = days.before(cut).bought()
    rows = np.flatnonzero(mine.last() >= cut - (looked_at(within) if active is None else active))
    names, x = features(days, cut, rows, within)
    gone = np.zeros(len(rows))
    if known:
        after = days.where((days.day >= cut) & (days.day < cut + within)).bought()
        gone = (after.total()[rows] == 0).astype(np.float64)
    return Cases(names, x, gone, rows, np.full(len(rows), cut, np.int64))
