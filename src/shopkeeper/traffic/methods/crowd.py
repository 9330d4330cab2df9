"""Crowds: many visitors of one hit each, of one browser, device and country, from nowhere, against their own history.

What each of them does is nothing odd. That so many alike come at once is, and lists of crawlers do not see it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from shopkeeper.traffic.methods.base import Floats, Ints, Visitors

HOUR = 3_600_000_000        # microseconds
MOST_EVENTS = 2             # of a visitor who counts as one of one hit
FEWEST, CHANCE = 20, 1e-6   # visitors of a crowd; how rare it must be if they came as usual
WEEKS = 4                   # of history on either side that say what is usual


class Crowd:
    """A burst of one-hit visitors of one kind, far above what that kind usually sends in two hours."""

    name = "crowd"

    def judge(self, who: Visitors) -> Floats:
        """(n,) the share of a visitor's crowd that is too many: 1 - usual / there, where that is no chance; else 0.

        The crowd of a visitor: those of its kind within an hour before and after. What is usual: the median day of
        the kind over eight weeks around, at the hours of the day at which such visitors come to the shop.
        """
        score = np.zeros(len(who))
        alone = np.flatnonzero((who.events <= MOST_EVENTS) & ~who.named & (who.intent == 0) & (who.bought == 0))
        if not len(alone):
            return score
        when, cell = who.first[alone], who.cell[alone]
        day = when // (24 * HOUR)
        order = np.lexsort((when, cell))
        when, cell, day, rows = when[order], cell[order], day[order], alone[order]
        there = _around(when, cell)
        many = there >= FEWEST
        usual = _usual(day, cell, many) * _profile(when, day)[many]
        rare = gammainc(there[many], usual) < CHANCE  # chance of so many or more, if they came as usual (Poisson)
        score[rows[many]] = np.where(rare, np.maximum(1 - usual / there[many], 0.0), 0.0)
        return score


def _around(when: Ints, cell: Ints) -> Ints:
    """(n,) how many of the same cell came within an hour before and after; sorted by cell and time."""
    width = int(when.max() - when.min()) + 4 * HOUR
    at = (np.cumsum(np.r_[0, np.diff(cell) != 0])) * width + (when - when.min())  # cells lie apart on one line
    found: Ints = np.searchsorted(at, at + HOUR, "right") - np.searchsorted(at, at - HOUR, "left")
    return found


def _usual(day: Ints, cell: Ints, many: npt.NDArray[np.bool_]) -> Floats:
    """(m,) visitors that the cell of each marked one sends on its median day, four weeks before and after."""
    start, days = int(day.min()), int(day.max() - day.min()) + 1
    found: dict[tuple[int, int], float] = {}
    for one in np.unique(cell[many]):
        low, high = np.searchsorted(cell, [one, one + 1])
        counts = np.bincount(day[low:high] - start, minlength=days)
        for at in np.unique(day[low:high][many[low:high]] - start):
            first = max(int(at) - WEEKS * 7, 0)
            span = np.delete(counts[first:at + WEEKS * 7 + 1], at - first)
            found[int(one), int(at)] = float(np.median(span)) if len(span) else float(counts[at])
    pairs = zip(cell[many].tolist(), (day[many] - start).tolist(), strict=True)
    return np.array([found[pair] for pair in pairs], np.float64) + 0.5


def _profile(when: Ints, day: Ints) -> Floats:
    """(n,) share of a day's one-hit visitors that the two hours around each usually have: over all days, the median."""
    hour = (when // HOUR) % 24
    start, days = int(day.min()), int(day.max() - day.min()) + 1
    grid = np.zeros((days, 24))
    np.add.at(grid, (day - start, hour), 1)
    typical = np.median(grid, axis=0) + 0.1
    share = typical / typical.sum()
    around = share[(hour - 1) % 24] + share[hour] + share[(hour + 1) % 24]
    found: Floats = np.maximum(around * 2 / 3, 1 / 24)
    return found
