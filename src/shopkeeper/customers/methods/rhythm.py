"""How many days lie between one customer's purchases, and when the next is due."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

WEIGHT = 2.0  # gaps that everybody's gaps count for, beside the customer's own
LEVEL = 0.8


@dataclass(frozen=True)
class Rhythm:
    """A customer's rhythm, in days.

    Attributes:
        usual: Median gap between two purchases; `usual_low` and `usual_high` hold it in 80 of 100 cases.
        next: Median days from now to the next purchase, if there is one; `low` and `high` as above.
    """

    usual: float
    usual_low: float
    usual_high: float
    next: int
    low: int
    high: int


def rhythm(own: npt.ArrayLike, everybody: npt.ArrayLike, silent: float) -> Rhythm:
    """The rhythm of a customer: logarithms of gaps are normal, and drawn to everybody's by two gaps.

    Args:
        own: (k,) gaps of the customer, days.
        everybody: (m,) gaps of all customers, days.
        silent: Days since their last purchase; that long the gap is already.

    >>> found = rhythm([10, 10, 10, 10, 10, 10], [10, 20, 5, 40], silent=4)
    >>> 9 < found.usual < 12, 3 <= found.next <= 9, found.low <= found.next <= found.high
    (True, True, True)
    """
    mine = np.log(np.maximum(np.asarray(own, np.float64), 0.5))
    all_ = np.log(np.maximum(np.asarray(everybody, np.float64), 0.5))
    middle, spread = (float(all_.mean()), float(all_.std())) if len(all_) else (np.log(30.0), 1.0)
    n = len(mine)
    mean = (mine.sum() + WEIGHT * middle) / (n + WEIGHT)
    squares = ((mine - mean) ** 2).sum() + WEIGHT * (spread ** 2)
    sd = max(float(np.sqrt(squares / (n + WEIGHT))), 0.1)
    off = float(ndtri((1 + LEVEL) / 2)) * sd / np.sqrt(n + WEIGHT)
    passed = float(ndtr((np.log(max(silent, 0.5)) - mean) / sd))
    ahead = []
    for share in (0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2):
        at = min(passed + (1 - passed) * share, 1 - 1e-9)
        ahead.append(max(0, round(float(np.exp(mean + sd * ndtri(at))) - silent)))
    usual, low, high = (float(np.exp(mean + by)) for by in (0.0, -off, off))
    return Rhythm(usual, low, high, *ahead)
