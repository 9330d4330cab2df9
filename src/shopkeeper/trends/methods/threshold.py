"""A fixed number, above or below which a bucket is odd: the plainest detector."""

from __future__ import annotations

import numpy as np

from shopkeeper.trends.methods.base import Counts, Verdicts, baseline


def judge(counts: Counts, above: float | None, below: float | None) -> Verdicts:
    """Whether each bucket is above or below a number; beside it, what the past expected, where there is a past."""
    x, past = counts.amounts, baseline(counts)
    high = np.full(len(x), np.inf if above is None else above)
    low = np.full(len(x), -np.inf if below is None else below)
    odd = np.where(x > high, 1, np.where(x < low, -1, 0))
    expected = np.where(past.n > 0, past.expected, np.nan)
    everything = np.ones(len(x), dtype=bool)
    return Verdicts(expected, low, high, odd, np.zeros(len(x), np.int64), everything, ~everything)
