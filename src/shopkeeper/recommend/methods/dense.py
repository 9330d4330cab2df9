"""The base of methods that have something to say of every item, and so rank without falling back on popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.recommend.methods.base import CELLS, Floats, Histories, ItemSets, Ranking, Rows

__all__ = ["Dense", "bound"]

_BLOCK = 256  # scores whose largest is looked at first


class Dense(Ranking):
    """A subclass gives `score`; equal scores stand in the order of `popularity`, then of their row."""

    def known(self, histories: Histories, now: int) -> Any:
        """All scores, as a matrix that is not sparse at all."""
        return sparse.csr_matrix(self.score(histories, now))

    def score(self, histories: Histories, now: int) -> Floats:
        """Scores (m, n_items) float32, 0 or more; a subclass's part."""
        raise NotImplementedError

    def top(self, histories: Histories, now: int, k: int, exclude: ItemSets | None = None,
            allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Rows, Floats]:
        """As `Ranking.top`."""
        m, chunk = len(histories), max(1, CELLS // max(1, self.n_items))
        ranked, scores = np.full((m, k), -1, dtype=np.int64), np.full((m, k), -np.inf, dtype=np.float32)
        for start in range(0, m, chunk):
            stop = min(m, start + chunk)
            value = self.score(histories.part(start, stop), now)
            if allowed is not None:
                np.copyto(value, -np.inf, where=~allowed)
            if exclude is not None:
                ends = exclude.indptr[start:stop + 1]
                owner, item = np.repeat(np.arange(stop - start), np.diff(ends)), exclude.item[ends[0]:ends[-1]]
                inside = (item >= 0) & (item < self.n_items)
                value[owner[inside], item[inside]] = -np.inf
            for row in range(stop - start):
                self._place(value[row], ranked[start + row], scores[start + row])
        return ranked, scores

    def _place(self, value: Floats, ranked: Rows, scores: Floats) -> None:
        """Write the best items of one customer into `ranked` and `scores` (k,)."""
        k = min(len(ranked), len(value))
        if k == 0:
            return
        item = np.flatnonzero(value >= max(bound(value, k), np.finfo(np.float32).min))
        some = value[item]
        if len(item) > k:
            item = item[some >= np.partition(some, len(item) - k)[len(item) - k]]
        item = item[np.lexsort((self.place[item], -value[item]))][:k]
        ranked[:len(item)], scores[:len(item)] = item, value[item]


def bound(value: Floats, k: int) -> np.float32:
    """A value that at least k of (n,) reach, close to the k-th largest: the k-th largest of the blocks' largest ones.

    >>> float(bound(np.arange(1_000, dtype=np.float32), 2))  # of the blocks' 255, 511 and 767
    511.0
    """
    whole = len(value) // _BLOCK
    if whole < k:
        return np.float32(-np.inf)
    largest = value[:whole * _BLOCK].reshape(whole, _BLOCK).max(1)
    return np.float32(np.partition(largest, whole - k)[whole - k])
