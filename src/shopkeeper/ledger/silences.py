"""Hours in which a tracker said nothing, and days on which it said far too much or too little: counts in, spans out.

What an hour should hold is the mean of its hour of the week; a silence counts where the hours together should have held
many events. A day is compared with the same weekday of the weeks before. Both are held against the kind's own rhythm:
counts that differ from week to week more than chance would have it are so many fewer events that stand for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_DAYS", "Span", "jumps", "silences"]

WEEK = 168           # hours
FEWEST_DAYS = 14     # of a kind, before anything is expected of it
EXPECTED = 30.0      # independent events that a silence should have held; by chance nobody comes with exp(-30)
FOLD = 3.0           # a day with so many times what is expected, or so many times less
WEEKS = 4            # before a day, that say what is expected of it
DEVIATIONS = 8.0     # and so many standard deviations away
CALM = 0.95          # share of hours, or days, without bursts
MOST_EMPTY = 0.5     # share of days without any event above which a kind has no rhythm that could be broken
TRIMMED = 0.9        # share of the differences between weeks, the smaller ones, that say how much days vary
_CHI2 = 0.623        # mean of that share of a chi-squared variable of one degree of freedom

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
    """Runs of hours without any event that should have held `EXPECTED` independent events or more.

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
    spans = ((start, end, _due(hours, expected, start, end)) for start, end in _runs(hours == 0) if end - start >= 2)
    return [Span(start, end, sum_, 0.0, end == len(hours)) for start, end, sum_ in spans
            if sum_ >= EXPECTED and sum_ >= EXPECTED * _clumped(hours, start, end)]


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
    squares = np.sort((days[7:] - days[:-7]) ** 2)[:int(TRIMMED * max(len(days) - 7, 0))]
    varies = max(1.0, float(squares.mean()) / _CHI2 / max(2 * float(days.mean()), 1.0)) if len(squares) else 1.0
    for day in range(7 * WEEKS, len(days)):
        past = days[day - 7 * WEEKS:day:7]
        usual = expected[day] = float(np.median(past))
        if usual < EXPECTED or days[day] == 0:
            continue
        far = abs(days[day] - usual) > DEVIATIONS * np.sqrt(varies * max(usual, days[day]))
        odd[day] = far and (days[day] > FOLD * usual or days[day] * FOLD < usual)
    return [Span(start, end, float(expected[start:end].sum()), float(days[start:end].sum()), end == len(days))
            for start, end in _runs(odd)]


def _due(hours: Counts, expected: Counts, start: int, end: int) -> float:
    """What a gap should have held: the usual, or less where the weeks before it held less than that."""
    before = slice(max(0, start - WEEKS * WEEK), start)
    usual = float(expected[before].sum())
    less = min(1.0, float(hours[before].sum()) / usual) if start >= WEEK and usual > 0 else 1.0
    return less * float(expected[start:end].sum())


def _clumped(hours: Counts, start: int, end: int) -> float:
    """How many events come together, 1 at least: the variance of a count over its mean, by hour or day, without a gap.

    The variance is that of differences between the same hours of two weeks: a schedule and a slow growth do not count,
    nor do a few hours with bursts. A kind that is missing on most of its days has no rhythm: infinity.
    """
    kept = np.ones(len(hours), bool)
    kept[start:end] = False
    whole = len(hours) // 24 * 24
    days: Counts = hours[:whole].reshape(-1, 24).sum(axis=1)
    good: npt.NDArray[np.bool_] = np.asarray(kept[:whole].reshape(-1, 24).all(axis=1))
    if np.count_nonzero(days[good] == 0) > MOST_EMPTY * np.count_nonzero(good):
        return float("inf")
    return max(1.0, _over_chance(hours, kept, WEEK), _over_chance(days, good, 7))


def _over_chance(counts: Counts, sound: npt.NDArray[np.bool_], lag: int) -> float:
    """Variance of the sound counts over their mean, by differences a week apart; 0 where there are too few to tell."""
    both = sound[lag:] & sound[:-lag]
    squares = np.sort((counts[lag:] - counts[:-lag])[both] ** 2)[:int(CALM * np.count_nonzero(both))]
    return float(squares.mean()) / max(2 * float(counts[sound].mean()), 1e-9) if len(squares) >= lag // 2 else 0.0


def _runs(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where a mask is true, as (start, end) of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
