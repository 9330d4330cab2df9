"""Intervals for means and differences of means, by resampling whole customers.

One customer's cases resemble each other, so the customer is what is drawn again, not the case: an interval over cases
would be too narrow. All methods of a trial meet the same draws, which makes their differences paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_CELLS = 4_000_000  # cluster draws held at once: about 64 MB


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that should hold the truth in `level` of all trials.

    Attributes:
        estimate: The mean, or difference of means, over all cases.
        low, high: Ends of the interval.
        level: In (0, 1).
        n_cases: Cases behind it.
        n_clusters: Customers behind it.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_cases: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """The interval as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Interval:
        """The inverse of `to_dict`."""
        return cls(**data)


@dataclass(frozen=True, eq=False)
class Means:
    """The mean of several methods over the same cases, and the same means over resampled customers.

    Attributes:
        estimate: (m,) mean of each method over all cases.
        draws: (resamples, m) the means of each resample.
        n_cases: Cases.
        n_clusters: Customers.
        level: Level of the intervals taken from it.
    """

    estimate: Floats
    draws: Floats
    n_cases: int
    n_clusters: int
    level: float

    def mean(self, method: int) -> Interval:
        """The mean of a method."""
        return self._interval(float(self.estimate[method]), self.draws[:, method])

    def difference(self, challenger: int, rival: int) -> Interval:
        """Mean of the challenger minus mean of the rival, paired."""
        return self._interval(float(self.estimate[challenger] - self.estimate[rival]),
                              self.draws[:, challenger] - self.draws[:, rival])

    def relative(self, challenger: int, rival: int) -> Interval | None:
        """The difference as a share of the rival's mean; None where that mean can be 0, so that a share means nothing.

        Its ends are those of the ratio of the two resampled means.
        """
        base = self.draws[:, rival]
        if self.estimate[rival] <= 0 or (base <= 0).any():
            return None
        return self._interval(float(self.estimate[challenger] / self.estimate[rival] - 1),
                              self.draws[:, challenger] / base - 1)

    def _interval(self, estimate: float, draws: Floats) -> Interval:
        tail = tail_of(self.level, self.n_clusters)
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Interval(estimate, float(low), float(high), self.level, self.n_cases, self.n_clusters)


def resample(values: npt.ArrayLike, clusters: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2000,
             seed: int = 0) -> Means:
    """Draw customers with replacement, `resamples` times, and take each method's mean over the cases drawn.

    Args:
        values: (m, n_cases) a row for each method; every method has every case.
        clusters: (n_cases,) whose case it is, as a number.
        level: Level of the intervals, in (0, 1).
        resamples: How many draws.
        seed: Same seed, same draws, whatever the order of the cases.

    Raises:
        ValueError: Fewer than two customers, a value that is not finite, shapes that do not fit.

    Source:
        Field, Welsh (2007), Bootstrapping clustered data (the cluster bootstrap).
    """
    cases, who = np.atleast_2d(np.asarray(values, np.float64)), np.asarray(clusters)
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} must lie in (0, 1), and resamples {resamples} be at least 1")
    if cases.shape[1] != len(who) or not np.isfinite(cases).all():
        raise ValueError(f"values {cases.shape} must be finite, one column for each of {len(who)} cases")
    _, who = np.unique(who, return_inverse=True)
    count = np.bincount(who).astype(np.float64)                         # (n_clusters,)
    if len(count) < 2:
        raise ValueError(f"an interval needs at least two customers, not {len(count)}")
    sums = np.stack([*(np.bincount(who, row) for row in cases), count], axis=1)     # (n_clusters, m + 1)
    totals = _resampled_totals(sums, resamples, seed)
    estimate = sums[:, :-1].sum(0) / count.sum()
    return Means(estimate, totals[:, :-1] / totals[:, -1:], cases.shape[1], len(count), level)


def tail_of(level: float, n_clusters: int) -> float:
    """The share of resamples to leave out on each side, made smaller where the customers are few.

    A percentile interval of few clusters is too short, as a normal interval with the biased variance is. The tail is
    widened as much as Student's t with the unbiased variance widens that one.

    Source:
        Hesterberg (2015), What Teachers Should Know About the Bootstrap, section 5.3 (expanded percentile interval).

    >>> round(tail_of(0.95, 10_000), 4), round(tail_of(0.95, 10), 4)
    (0.025, 0.0086)
    """
    from scipy.special import ndtr, stdtrit

    quantile = stdtrit(n_clusters - 1, (1 - level) / 2)
    return float(ndtr(np.sqrt(n_clusters / (n_clusters - 1)) * quantile))


def _resampled_totals(sums: Floats, resamples: int, seed: int) -> Floats:
    """Column totals of `sums` (n_clusters, m) over clusters drawn with replacement: (resamples, m)."""
    generator, n = np.random.default_rng(seed), len(sums)
    chunk, totals = max(1, _CELLS // n), []
    for begin in range(0, resamples, chunk):
        rows = min(chunk, resamples - begin)
        drawn = generator.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        totals.append(weights @ sums)
    return np.concatenate(totals)
