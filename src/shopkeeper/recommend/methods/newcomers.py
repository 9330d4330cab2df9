"""Items on their first day: each is wanted as much as the items that it is most like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.recommend.methods.base import Because, Fitted, Floats, Histories, Rows, checked
from shopkeeper.represent.content import nearest

__all__ = ["Newcomers", "NewcomersParams"]


@dataclass(frozen=True)
class NewcomersParams:
    """`alike`: how many known items speak for a new one; `power`: how much louder the most alike of them speak."""

    alike: int = 50
    power: float = 4.0

    def __post_init__(self) -> None:
        checked(self, {"alike": (1, 1_000_000), "power": (0.01, 100)})


class Newcomers:
    """New items beside a fitted method, whichever that is: no event of theirs is needed.

    The score of a new item is the mean score of the `alike` known items of its content, each weighted by likeness to
    the power of `power`: what the method has learned of them is borrowed. It stands on the scale of the known items.

    Args:
        content: (known + new, d) marks of items, rows of length 1 (`represent.content.marked` over all of them): first
            the items that the method ranks, in the order of its rows, then the new ones.
        n_known: How many of them the method ranks.
        spoken: (n_known,) whether anybody ever had to do with the item; others say nothing.
        params: The setting.
        texts: (known + new, t) text vectors of the same items, or None.

    Source:
        Sarwar, Karypis, Konstan, Riedl (2001), Item-Based Collaborative Filtering Recommendation Algorithms, 3.2.1
        (the weighted mean), with likeness of content in the place of likeness of ratings.
    """

    def __init__(self, content: Any, n_known: int, spoken: npt.NDArray[np.bool_],
                 params: NewcomersParams | None = None, texts: npt.NDArray[Any] | None = None) -> None:
        self.params = params or NewcomersParams()
        rows = np.flatnonzero(spoken)
        both = None if texts is None else (texts[n_known:], texts[rows])
        like = nearest(content[n_known:], content[rows], self.params.alike, self.params.power, both).tocoo()
        self.like = sparse.csr_matrix((like.data.astype(np.float32), (like.row, rows[like.col])),
                                      shape=(like.shape[0], n_known))  # (new, known), rows add up to 1 or are empty

    def __len__(self) -> int:
        return int(self.like.shape[0])

    def score(self, fitted: Fitted, histories: Histories, now: int) -> Floats:
        """How much each customer wants each new item, (m, new) float32, on the scale of `fitted`'s scores."""
        return np.asarray((self.like @ fitted.score(histories, now).T).T, dtype=np.float32)

    def top(self, fitted: Fitted, histories: Histories, now: int, k: int) -> tuple[Rows, Floats]:
        """The best k new items of each customer, (m, k) rows from 0 and scores; -1 and -inf where none scores above 0.
        """
        scores = self.score(fitted, histories, now)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        short = ((0, 0), (0, k - order.shape[1]))
        best = np.pad(np.where(best > 0, best, -np.inf), short, constant_values=-np.inf)
        return np.where(best > 0, np.pad(order, short, constant_values=-1), -1), best

    def because(self, fitted: Fitted, history: Histories, rows: npt.ArrayLike, now: int) -> list[Because]:
        """What of the history speaks for the known items that speak for each new one; shares add up to 1."""
        scores = fitted.score(history, now)[0]
        return [self._because(fitted, history, self.like[int(row)], (scores, now))
                for row in np.asarray(rows, dtype=np.int64).ravel()]

    def _because(self, fitted: Fitted, history: Histories, like: Any, asked: tuple[Floats, int]) -> Because:
        scores, now = asked
        parts = like.data * scores[like.indices]
        shares: dict[int, float] = {}
        for part, reasons in zip(parts.tolist(), fitted.because(history, like.indices, now), strict=True):
            for item, share in reasons:
                shares[item] = shares.get(item, 0.0) + part * share
        total = sum(shares.values())
        return sorted(((item, share / total) for item, share in shares.items() if share > 0),
                      key=lambda one: (-one[1], one[0]))
