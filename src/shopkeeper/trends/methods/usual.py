"""Against the same hour of the weeks before: median and MAD of large counts, the tail of the law of small ones.

Source:
    Rousseeuw and Croux (1993), Alternatives to the Median Absolute Deviation (its consistency factor 1.4826).
    Gelman et al., Bayesian Data Analysis, 2.6: the next count after n counts of a Poisson law is negative binomial.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from shopkeeper.trends.methods.base import Baseline, Counts, Floats, Ints, Verdicts, baseline


def judge(counts: Counts, level: float) -> Verdicts:
    """Whether each bucket lies in the interval that its own past expects it in.

    Args:
        counts: The series.
        level: Of the interval, two-sided: if the past is like the present, a bucket is odd with chance 1 - level.
    """
    past = baseline(counts)
    low, high = interval(past, level)
    x = counts.amounts
    odd = np.where(x > high, 1, np.where(x < low, -1, 0))
    return Verdicts(past.expected, low, high, np.where(past.judged, odd, 0), np.zeros(len(x), np.int64), past.judged,
                    past.tail)


def interval(past: Baseline, level: float) -> tuple[Floats, Floats]:
    """The interval of each bucket: (T,) and (T,)."""
    side = (1 - level) / 2
    reach = stats.norm.ppf(1 - side) * past.spread
    low, high = np.maximum(0.0, past.expected - reach), past.expected + reach
    rows = np.flatnonzero(past.tail)
    low[rows], high[rows] = tails(past.expected[rows], past.dispersion[rows], past.n[rows], side)
    return low, high


def tails(expected: Floats, dispersion: Floats, n: Ints, side: float) -> tuple[Floats, Floats]:
    """The counts below and above which lies at most `side` of the chance.

    The law is negative binomial with the expectation as its mean; its variance is that of a Poisson law, times the
    dispersion, times 1 + 1/n for the mean being an estimate from n weeks. With a dispersion of 1 that is the exact
    predictive law of a Poisson count under Jeffreys' prior.
    """
    wide = dispersion * (1 + 1 / np.maximum(n, 1))
    p = 1 / np.maximum(wide, 1 + 1e-9)
    size = np.maximum(expected, 1e-9) * p / (1 - p)
    return stats.nbinom.ppf(side, size, p), stats.nbinom.ppf(1 - side, size, p)
