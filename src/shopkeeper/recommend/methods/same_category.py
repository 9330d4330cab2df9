"""What most people took lately of the same category: the plainest rule that looks at what an item is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.recommend.methods.base import DAY, Arrays, Because, Floats, Histories, Interactions, Meta, Ranking, Rows
from shopkeeper.recommend.methods.popular import PopularParams, counted

__all__ = ["Codes", "SameCategory", "SameCategoryFitted", "codes_of"]

Codes: TypeAlias = npt.NDArray[np.int64]


def codes_of(codes: npt.ArrayLike, n_items: int) -> Codes:
    """One category code an item, (n_items,) from 0; items of no category (-1, or past the end) share a code.

    >>> codes_of([7, -1, 7], 5).tolist()
    [1, 0, 1, 0, 0]
    """
    given = np.asarray(codes, dtype=np.int64)[:n_items]
    whole = np.concatenate([np.maximum(given, -1), np.full(n_items - len(given), -1, dtype=np.int64)])
    return np.asarray(np.unique(np.append(whole, -1), return_inverse=True)[1][:n_items], dtype=np.int64)


class SameCategory:
    """Items of the categories that a history holds, by their weighted count in the last days.

    An item scores its count within the window, and a little for what was taken before it, times the share of the
    history that lies in its category. Items of other categories score 0 and follow in the order of the counts.

    Args:
        codes: (n_items,) category of each item, -1 where it has none; those share one.
    """

    name = "same_category"

    def __init__(self, codes: npt.ArrayLike = ()) -> None:
        self.codes = np.asarray(codes, dtype=np.int64)

    def candidates(self) -> Sequence[PopularParams]:
        """Windows of 7, 28 and 90 days, and the whole log; the default (28) first."""
        return [PopularParams(days) for days in (28, 7, 90, None)]

    def fit(self, interactions: Interactions, now: int, params: PopularParams) -> SameCategoryFitted:
        """Count within the window and ever."""
        past = interactions.before(now)
        ever = counted(past)
        recent = ever if params.window is None else counted(past.where(past.when >= now - params.window * DAY))
        return SameCategoryFitted(recent, ever, codes_of(self.codes, past.n_items), params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> SameCategoryFitted:
        """The inverse of `SameCategoryFitted.state`."""
        return SameCategoryFitted(arrays["recent"], arrays["ever"], arrays["codes"], PopularParams(**meta["params"]))


class SameCategoryFitted(Ranking):
    """The counts, and who stands with whom."""

    name = SameCategory.name

    def __init__(self, recent: Floats, ever: Floats, codes: Codes, params: PopularParams) -> None:
        ever = np.asarray(ever, dtype=np.float32)
        super().__init__(np.asarray(recent + ever / (1 + ever.sum()), dtype=np.float32))
        self.recent, self.ever, self.codes, self.params = recent, ever, codes, params
        n = len(codes)
        shape = (n, int(codes.max(initial=0)) + 1)
        self._kinds = sparse.csr_matrix((np.ones(n, dtype=np.float32), (np.arange(n), codes)), shape=shape)
        self._counts = sparse.csr_matrix((self.popularity, (codes, np.arange(n))), shape=shape[::-1])

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items), above 0 for what was ever taken of the categories of a history."""
        heard = histories.known(self.n_items)
        total = np.bincount(heard.owner, heard.weight, minlength=len(heard))  # (m,)
        share = heard.weight / np.maximum(total[heard.owner], 1e-9)
        lines = sparse.csr_matrix((share.astype(np.float32), heard.item, heard.indptr), (len(heard), self.n_items))
        return (lines @ self._kinds) @ self._counts

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The items of the history in the same category, by their weight."""
        heard = history.known(self.n_items)
        items, at = np.unique(heard.item, return_inverse=True)
        loud = np.bincount(at, heard.weight, minlength=len(items)).astype(np.float64)
        return [self._alike(items, loud, int(row)) for row in np.asarray(item_rows, dtype=np.int64).ravel()]

    def _alike(self, items: Rows, loud: npt.NDArray[np.float64], row: int) -> Because:
        if not 0 <= row < self.n_items or self.popularity[row] <= 0:
            return []
        same = np.flatnonzero((self.codes[items] == self.codes[row]) & (loud > 0))
        by = same[np.lexsort((items[same], -loud[same]))]
        return [(int(items[one]), float(loud[one] / loud[same].sum())) for one in by]

    def state(self) -> tuple[Arrays, Meta]:
        """The counts, the categories and the setting."""
        return ({"recent": np.asarray(self.recent, dtype=np.float32), "ever": self.ever, "codes": self.codes},
                {"params": asdict(self.params)})
