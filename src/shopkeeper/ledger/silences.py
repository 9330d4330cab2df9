"""Hours in which a tracker said nothing, and days on which it said far too much or too little: counts in, spans out.

What an hour should hold is the mean of its hour of the week; a silence counts where the hours together should have held
many events. A day is compared with the same weekday of the weeks before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_DAYS", "Span", "jumps", "silences"]

WEEK = 168           # hours
FEWEST_DAYS = 14     # of a kind, before anything is expected of it
EXPECTED = 30.0      # events that a silence should have held; by chance nobody comes with exp(-30)
FOLD = 3.0           # a day with so many times what is expected, or so many times less
WEEKS = 4            # before a day, that say what is expected of it
DEVIATIONS = 8.0     # and so many standard deviations of a Poisson count away

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """Hours or days that are odd.

    Attributes:
        start, end: Places in the counts; the end is left out.
        expected, counted: Events.
        open: It lasts to the end of the counts.
    """

    start: int
    end: int
    expected: float
    counted: float
    open: bool


def silences(hours: Counts, first: int = 0) -> list[Span]:
    """Runs of hours without any event that should have held `EXPECTED` or more.

    Args:
        hours: (n,) events by hour, from the kind's first one to the end of the log.
        first: Hour since 1970 of the first.

    >>> hours = np.full(24 * 28, 10.0)
    >>> hours[300:306] = 0
    >>> [(span.start, span.end, span.open) for span in silences(hours)]
    [(300, 306, False)]
    """
    if len(hours) < 24 * FEWEST_DAYS:
        return []
    place = (first + np.arange(len(hours))) % WEEK
    seen = np.bincount(place, minlength=WEEK)
    usual = np.bincount(place, hours, WEEK) / np.maximum(seen, 1)
    expected = usual[place]
    spans = ((start, end, float(expected[start:end].sum())) for start, end in _runs(hours == 0))
    return [Span(start, end, sum_, 0.0, end == len(hours)) for start, end, sum_ in spans
            if sum_ >= EXPECTED and end - start >= 2]


def jumps(days: Counts) -> list[Span]:
    """Runs of whole days with far more or far fewer events than their weekdays had in the weeks before.

    Args:
        days: (n,) events by day, whole days only. A day without any is a silence, and no jump.

    >>> days = np.full(60, 100.0)
    >>> days[40] = 900
    >>> [(span.start, span.end, span.counted) for span in jumps(days)]
    [(40, 41, 900.0)]
    """
    expected, odd = np.zeros(len(days)), np.zeros(len(days), bool)
    for day in range(7 * WEEKS, len(days)):
        past = days[day - 7 * WEEKS:day:7]
        usual = expected[day] = float(np.median(past))
        if usual < EXPECTED or days[day] == 0:
            continue
        far = abs(days[day] - usual) > DEVIATIONS * np.sqrt(max(usual, days[day]))
        odd[day] = far and (days[day] > FOLD * usual or days[day] * FOLD < usual)
    return [Span(start, end, float(expected[start:end].sum()), float(days[start:end].sum()), end == len(days))
            for start, end in _runs(odd)]


def _runs(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where a mask is true, as (start, end) of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
