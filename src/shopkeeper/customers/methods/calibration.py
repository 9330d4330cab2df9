"""Scores into chances: a rising curve, learned on cases that the score has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BLOCKS = 200  # into which cases are gathered first, in order of their score
EDGE = 0.002  # no chance is stated nearer to 0 or 1


@dataclass(frozen=True, eq=False)
class Curve:
    """A rising curve through points; level beyond its ends.

    Attributes:
        at: (m,) scores, rising.
        chance: (m,) chances, rising.
    """

    at: Floats
    chance: Floats

    def __call__(self, score: npt.ArrayLike) -> Floats:
        """(n,) chances of scores."""
        return np.asarray(np.interp(np.asarray(score, np.float64), self.at, self.chance))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As arrays."""
        return {"at": self.at, "chance": self.chance}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Curve:
        """The inverse of `state`."""
        return cls(arrays["at"], arrays["chance"])


def curve(score: npt.ArrayLike, came: npt.ArrayLike) -> Curve:
    """The rising curve that fits best, by least squares: neighbours that fall are pooled.

    Args:
        score: (n,) of cases that took no part in making the score.
        came: (n,) what came, 0 or 1.

    Source:
        Ayer et al. (1955), An empirical distribution function for sampling with incomplete information; Zadrozny, Elkan
        (2002), Transforming classifier scores into accurate multiclass probability estimates. Lines between the
        blocks' middles are ours, so that equal chances are few.

    >>> found = curve([1, 2, 3, 4], [0, 0, 1, 1])
    >>> found([0, 2.5, 9]).round(3).tolist()
    [0.002, 0.5, 0.998]
    """
    scores, ones = np.asarray(score, np.float64), np.asarray(came, np.float64)
    values, place = np.unique(scores, return_inverse=True)
    count, total = np.bincount(place).astype(np.float64), np.bincount(place, ones)
    step = max(1.0, len(scores) / BLOCKS)
    block = np.unique(((np.cumsum(count) - 1) // step).astype(np.int64), return_inverse=True)[1]
    weight, hits = np.bincount(block, count), np.bincount(block, total)
    at = np.bincount(block, count * values) / weight
    pooled: list[list[float]] = []                                      # middle, weight, mean
    for middle, size, mean in zip(at, weight, hits / weight, strict=True):
        pooled.append([middle, size, mean])
        while len(pooled) > 1 and pooled[-2][2] >= pooled[-1][2]:
            right, left = pooled.pop(), pooled.pop()
            both = left[1] + right[1]
            pooled.append([(left[0] * left[1] + right[0] * right[1]) / both, both,
                           (left[2] * left[1] + right[2] * right[1]) / both])
    middles, _, means = (np.array(column) for column in zip(*pooled, strict=True))
    return Curve(middles, np.clip(means, EDGE, 1 - EDGE))
