"""The seam of the detectors: counts of a series, what is expected of each bucket, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WEEKS = 8       # earlier weeks that a bucket is compared with, at most
FEWEST = 3      # and at least
LOW = 20.0      # below this expectation, counts are judged by their tail
TO_SIGMA = 1.4826  # a median absolute deviation times this is a normal law's standard deviation
CAP = 6.0       # standard deviations; a larger error says nothing of how counts scatter, it is an incident
LOOK_BACK = 2 * WEEKS + 2  # weeks of counts that a verdict can depend on


@dataclass(frozen=True)
class Counts:
    """A series, bucket by bucket.

    Attributes:
        amounts: (T,) what was counted, or money.
        slots: (T,) the place of each bucket in the week, by the shop's wall clock: buckets of one slot are alike.
        per_day: Buckets a day; the first bucket begins a day (UTC).
    """

    amounts: Floats
    slots: Ints
    per_day: int

    @property
    def days(self) -> Ints:
        """(T,) the day of each bucket, from 0."""
        return np.arange(len(self.amounts)) // self.per_day


@dataclass(frozen=True)
class Verdicts:
    """What was expected of each bucket, and whether it was odd; arrays of (T,).

    Attributes:
        expected, low, high: The expectation and the interval; NaN where nothing was expected.
        odd: 1 too high, -1 too low, 0 neither.
        run: How many buckets before this one belong to the verdict (a silence).
        judged: There was enough past to judge the bucket.
        tail: It was judged by the tail of a count, not by median and MAD.
    """

    expected: Floats
    low: Floats
    high: Floats
    odd: Ints
    run: Ints
    judged: Mask
    tail: Mask


@dataclass(frozen=True)
class Baseline:
    """What is expected of each bucket by its own past; arrays of (T,).

    Attributes:
        n: Earlier weeks that it rests on.
        expected: Median of them (the mean below `LOW`), times how the shop has grown since.
        spread: Standard deviation of a bucket round it.
        dispersion: Variance of a count, as a multiple of its expectation; at least 1.
        tail: The expectation is below `LOW`.
        judged: It rests on enough weeks, and its spread on a week of earlier forecasts.
    """

    n: Ints
    expected: Floats
    spread: Floats
    dispersion: Floats
    tail: Mask
    judged: Mask


def earlier(amounts: Floats, slots: Ints, weeks: int = WEEKS) -> Floats:
    """The amounts of the same slot before: (T, weeks), the latest first; NaN where there is none.

    A slot that the spring's clock change leaves out is missing once, one that comes twice in autumn counts twice.
    """
    order = np.lexsort((np.arange(len(amounts)), slots))
    of = slots[order]
    found = np.full((len(amounts), weeks), np.nan)
    for back in range(1, weeks + 1):
        same = of[back:] == of[:-back]
        found[order[back:][same], back - 1] = amounts[order[:-back][same]]
    return found


def baseline(counts: Counts) -> Baseline:
    """What each bucket was expected to be, by what came before it.

    The median over the same hour of the week in up to `WEEKS` weeks (the mean where that is below `LOW`, for a median
    of small counts is coarse), times the drift: the median over the seven days before of a day's total / expectation.
    The spread is the larger of the hour's own MAD and the pooled MAD of past forecasts' errors, in units of the root of
    the expectation. The dispersion of small counts is the variance of past forecasts' errors over its expectation,
    each error capped at `CAP` standard deviations, so that an incident does not hide the next.
    """
    x, days = counts.amounts, counts.days
    past = earlier(x, counts.slots)
    n = np.sum(~np.isnan(past), axis=1)
    filled = np.where(np.isnan(past), 0.0, past)
    mean = (filled.sum(axis=1) + 0.5) / np.maximum(n, 1)
    median = _median(past)
    tail = median < LOW
    plain = np.where(tail, mean, median)
    expected = plain * _drift(x, plain, n, days)
    error, known = x - expected, n >= FEWEST - 1
    pooled, enough = _pooled(np.abs(error) / np.sqrt(np.maximum(expected, 1.0)), known & ~tail, days)
    plainly = np.maximum(plain - np.where(tail, 0.5 / np.maximum(n, 1), 0.0), 0.0) * expected / np.maximum(plain, 1e-9)
    dispersion, enough_low = _dispersion(error, plainly * (1 + 1 / np.maximum(n, 1)), known & tail, days)
    own = TO_SIGMA * _median(np.abs(past - median[:, None])) * expected / np.maximum(plain, 1e-9)
    spread = np.maximum(np.maximum(pooled, 1.0) * np.sqrt(np.maximum(expected, 1.0)), own)
    dispersion = np.where(tail, dispersion, np.maximum(spread**2 / np.maximum(expected, 1.0), 1.0))
    return Baseline(n, expected, spread, dispersion, tail, (n >= FEWEST) & (enough | enough_low))


def _median(rows: Floats) -> Floats:
    """(T,) the median of each row, NaN left out; 0 where there is none."""
    n = np.sum(~np.isnan(rows), axis=1)
    ordered = np.sort(rows, axis=1)  # NaN last
    at = np.arange(len(rows))
    middle = (ordered[at, np.maximum(n - 1, 0) // 2] + ordered[at, np.minimum(n // 2, rows.shape[1] - 1)]) / 2
    return np.where(n > 0, middle, 0.0)


def _drift(x: Floats, plain: Floats, n: Ints, days: Ints) -> Floats:
    """(T,) how far the seven days before were above their expectation."""
    size = int(days[-1]) + 1 if len(days) else 0
    known = n >= FEWEST - 1
    total = np.bincount(days[known], x[known], size)
    hoped = np.bincount(days[known], plain[known], size)
    ratio = np.where(hoped >= LOW, total / np.maximum(hoped, 1e-9), np.nan)
    week = np.full((size, 7), np.nan)
    for back in range(1, 8):
        week[back:, back - 1] = ratio[:-back]
    drift = np.where(np.sum(~np.isnan(week), axis=1) >= 4, np.clip(_median(week), 0.25, 4.0), 1.0)
    return drift[days]


def _pooled(error: Floats, known: Mask, days: Ints) -> tuple[Floats, Mask]:
    """(T,) the MAD of the forecasts' errors of the `WEEKS` weeks before; and whether there was a week of them."""
    size = int(days[-1]) + 1 if len(days) else 0
    kept, of = error[known], days[known]
    ends = np.searchsorted(of, np.arange(size + 1))
    scale, enough = np.ones(size), np.zeros(size, dtype=bool)
    for day in range(size):
        part = kept[ends[max(0, day - 7 * WEEKS)]:ends[day]]
        if len(part):
            scale[day] = TO_SIGMA * float(np.median(part))
        enough[day] = len(np.unique(of[ends[max(0, day - 7 * WEEKS)]:ends[day]])) >= 7
    return scale[days], enough[days]


def _dispersion(error: Floats, variance: Floats, known: Mask, days: Ints) -> tuple[Floats, Mask]:
    """(T,) capped squared errors over the variance of a plain count, of the days before; and whether it was a week."""
    size = int(days[-1]) + 1 if len(days) else 0
    capped = np.minimum(error**2, CAP**2 * np.maximum(variance, 1.0))
    sums = [np.concatenate([[0.0], np.cumsum(np.bincount(days[known], part[known], size))])
            for part in (capped, variance, np.ones(len(days)))]
    day = np.arange(size)
    begin = np.maximum(0, day - 7 * WEEKS)
    top, bottom, _ = (part[day] - part[begin] for part in sums)
    some = np.concatenate([[0], np.cumsum(np.bincount(days[known], minlength=size) > 0)])
    found = np.maximum(1.0, top / np.maximum(bottom, 1e-9))
    return np.where(bottom > 0, found, 1.0)[days], (some[day] - some[begin] >= 7)[days]
