"""Hours in which a tracker said nothing, and days on which it said far too much or too little: counts in, spans out.

What an hour should hold is the mean of its hour of the week; a silence counts where the hours together should have held
many events. A day, and a week, is compared with the month before. Both are held against the kind's own rhythm: counts
that differ from week to week more than chance would have it are so many fewer events that stand for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_DAYS", "Span", "jumps", "silences"]

WEEK = 168           # hours
FEWEST_DAYS = 14     # of a kind, before anything is expected of it
EXPECTED = 30.0      # independent events that a silence should have held; by chance nobody comes with exp(-30)
DAY_FOLD = 2.5       # a day with so many times what is expected, or so many times less
LAST_FOLD = 1.6      # a week with so many times what is expected, or so many times less
STILL = 1.4          # and of the weeks after it, for it to last
DEVIATIONS = 5.0     # and so many standard deviations away
WEEKS = 4            # before a gap, that say what is expected of it
MONTH = 28           # days before a day, that say what is expected of it
FEWEST = 3.0         # events a day, from which on a jump can be told
CALM = 0.95          # share of hours, or days, without bursts
MOST_EMPTY = 0.5     # share of days without any event above which a kind has no rhythm that could be broken
TRIMMED = 0.9        # share of the differences between weeks, the smaller ones, that say how much days vary
_CHI2 = 0.623        # mean of that share of a chi-squared variable of one degree of freedom
_MEDIAN = 0.455      # of such a variable

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
    """Days with far more or far fewer events than the four weeks before make likely, and weeks on another level.

    What a day should hold is the median of the month before it, by its weekday's share. Counts are compared by their
    square roots, whose deviation is the same at any level; it is taken from the kind's own days and weeks. What has
    lasted for four weeks is the new level. Below `FEWEST` a day nothing is expected.

    Args:
        days: (n,) events by day, whole days only. A day without any is a silence, and no jump.

    Source:
        Anscombe (1948), The transformation of Poisson, binomial and negative-binomial data, Biometrika 35.

    >>> days = np.full(60, 100.0)
    >>> days[40] = 900
    >>> [(span.start, span.end, span.counted) for span in jumps(days)]
    [(40, 41, 900.0)]
    """
    if len(days) <= MONTH:
        return []
    by_day, by_week = _varies(days)
    odd, found, day = days == 0, list[Span](), MONTH
    while day < len(days):
        usual = _usual(days, np.flatnonzero(~odd[:day])[-MONTH:])
        end = day if usual is None else _shifted(days, day, usual, by_week)
        if usual is not None and end == day and _far(days[day], usual[day % 7], by_day, DAY_FOLD):
            end = day + 1
        if usual is not None and end > day:
            expected = float(usual[np.arange(day, end) % 7].sum())
            found.append(Span(day, end, expected, float(days[day:end].sum()), end == len(days)))
            odd[day:end] = end < day + MONTH
            odd[:day] |= end >= day + MONTH
        day = max(end, day + 1)
    return found


def _usual(days: Counts, known: npt.NDArray[np.int64]) -> Counts | None:
    """(7,) events by day of the week, from these days; None where they are too few, or their level is too low."""
    if len(known) < MONTH // 2 or np.median(days[known]) < FEWEST:
        return None
    mean, weekday = float(days[known].mean()), known % 7
    share = (np.bincount(weekday, days[known], 7) + mean) / (np.bincount(weekday, minlength=7) + 1) / mean
    usual: Counts = share * float(np.median(days[known] / share[weekday]))
    return usual


def _shifted(days: Counts, day: int, usual: Counts, varies: float) -> int:
    """The end of what begins on a day and lasts for a week at least on another level, a month at most; else the day."""
    counts, expected = days[day:day + MONTH], usual[np.arange(day, min(day + MONTH, len(days))) % 7]
    real = counts[:7] > 0
    sums = float(counts[:7][real].sum()), float(expected[:7][real].sum())
    if len(counts) < 7 or np.count_nonzero(real) < 5 or not _far(*sums, varies, LAST_FOLD):
        return day
    more = sums[0] > sums[1]
    each = counts / expected if more else expected / np.maximum(counts, 1e-9)
    beyond = (each > LAST_FOLD ** 0.5) & (counts > 0)
    rest = np.delete(np.arange(7), int(np.argmax(np.where(counts[:7] > 0, each[:7], 0))))  # without its oddest day
    still = float(counts[rest].sum()), float(expected[rest[counts[rest] > 0]].sum())
    if not beyond[0] or np.count_nonzero(beyond[:7]) < 4 or not _far(*still, varies, LAST_FOLD):
        return day
    end = 7
    while end < len(counts):
        ahead = slice(end, end + 7)
        ratio = counts[ahead].sum() / expected[ahead].sum()
        if counts[ahead].sum() == 0 or (ratio if more else 1 / ratio) < STILL:
            break
        end += 1
    return day + end


def _far(count: float, expected: float, varies: float, fold: float) -> bool:
    """Whether a count is so many times what is expected, or so many times less, and not by chance."""
    off = abs(float(_even(count) - _even(expected))) / varies ** 0.5
    return bool(count > 0 and off > DEVIATIONS and (count > fold * expected or count * fold < expected))


def _even(counts: Any) -> Any:
    """Counts on a scale on which chance is the same at any level: of a deviation of 1."""
    return 2 * np.sqrt(counts + 0.375)


def _varies(days: Counts) -> tuple[float, float]:
    """How many times the variance that chance alone would have: of days, and of whole weeks; 1 at least.

    Of differences a week apart, so that weekdays and a slow growth do not count; a few odd ones do not, either.
    """
    scaled, real = _even(days), (days[7:] > 0) & (days[:-7] > 0)
    squares = np.sort((scaled[7:] - scaled[:-7])[real] ** 2)[:int(TRIMMED * np.count_nonzero(real))]
    by_day = max(1.0, float(squares.mean()) / _CHI2 / 2) if len(squares) >= 14 else 1.0
    weeks = _even(np.convolve(days, np.ones(7), "valid"))
    apart = (weeks[7:] - weeks[:-7]) ** 2
    return by_day, max(by_day, float(np.median(apart)) / _MEDIAN / 2)


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
