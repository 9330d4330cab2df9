"""How far a counted share can be trusted: Wilson's interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Floats = npt.NDArray[np.float64]


def wilson(hits: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """The score interval of a share, which stays within 0 and 1 and is honest for few cases, too.

    Args:
        hits: (k,) how many did it.
        n: (k,) of how many; where there are none, the interval is NaN.
        level: In (0, 1).

    Returns:
        (k,) lower ends; (k,) upper ends.

    Source:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.

    >>> low, high = wilson([8], [10])
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (0.49, 0.943)
    """
    hit, of = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    z = float(ndtri((1 + level) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hit / of
        middle = (share + z * z / (2 * of)) / (1 + z * z / of)
        half = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    low, high = np.where(hit <= 0, 0.0, middle - half), np.where(hit >= of, 1.0, middle + half)
    nothing = of <= 0
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)
