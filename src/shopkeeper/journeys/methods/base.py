"""The seam: touches in, credits out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Touches:
    """Touches of paths, in order of path and time; each path has at least one.

    Attributes:
        path: (n,) which path, from 0, without gaps.
        name: (n,) what touched, as a number below `names`.
        converted: (m,) whether the path ended in a conversion.
        value: (m,) what that was worth.
        names: How many names there are.
    """

    path: Ints
    name: Ints
    converted: npt.NDArray[np.bool_]
    value: Floats
    names: int

    @property
    def length(self) -> Ints:
        """(m,) touches of each path."""
        return np.bincount(self.path, minlength=len(self.converted)).astype(np.int64)

    @property
    def place(self) -> Ints:
        """(n,) which touch of its path each is, from 0."""
        begins = np.cumsum(self.length) - self.length
        return np.arange(len(self.path), dtype=np.int64) - begins[self.path]

    def shared(self, weight: Floats) -> Floats:
        """Conversions and value by name, where each touch gets a share of its path.

        Args:
            weight: (n,) shares; over each path they add up to 1.

        Returns:
            (names, 2) conversions, value.
        """
        won = self.converted[self.path]
        return np.stack([np.bincount(self.name, weight * won, self.names),
                         np.bincount(self.name, weight * won * self.value[self.path], self.names)], axis=1)


class Method(Protocol):
    """Shares out conversions and value among names."""

    def __call__(self, touches: Touches) -> Floats:
        """(names, 2) conversions and value by name; over the names they add up to what the paths brought."""
