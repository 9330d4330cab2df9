"""What most people took lately: the plainest method, and the answer for a customer nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.recommend.methods.base import (
    DAY,
    Arrays,
    Floats,
    Histories,
    Interactions,
    Meta,
    Ranking,
    Rows,
    checked,
)

__all__ = ["Popular", "PopularFitted", "PopularParams"]


@dataclass(frozen=True)
class PopularParams:
    """`window`: how many days before now are counted; None counts the whole log."""

    window: int | None = 7

    def __post_init__(self) -> None:
        checked(self, {"window": (1, 100_000)})


class Popular:
    """Items by their weighted count of lines in the last `window` days before now.

    >>> log = Interactions(*(np.array(x, t) for x, t in [([0, 1, 1], np.int32), ([2, 2, 0], np.int32),
    ...     ([5, 6, 7], np.int64), ([0, 1, 1], np.int64), ([1, 1, 1], np.float32)]), n_customers=2, n_items=3)
    >>> Popular().fit(log, now=8, params=PopularParams()).order.tolist()
    [2, 0, 1]
    """

    name = "popular"

    def candidates(self) -> Sequence[PopularParams]:
        """Windows of 1, 3, 7, 14, 28 and 90 days, and the whole log; the default (7) first."""
        return [PopularParams(days) for days in (7, 1, 3, 14, 28, 90, None)]

    def fit(self, interactions: Interactions, now: int, params: PopularParams) -> PopularFitted:
        """Count; where two items tie within the window, the one with more lines ever comes first."""
        past = interactions.before(now)
        ever = counted(past)
        if params.window is None:
            return PopularFitted(ever, ever, params)
        return PopularFitted(counted(past.where(past.when >= now - params.window * DAY)), ever, params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> PopularFitted:
        """The inverse of `PopularFitted.state`."""
        return PopularFitted.restore(arrays, meta)


class PopularFitted(Ranking):
    """The counts: the same scores for everybody."""

    name = Popular.name

    def __init__(self, recent: Floats, ever: Floats, params: PopularParams) -> None:
        super().__init__(recent)
        self.ever, self.params = np.asarray(ever, dtype=np.float32), params
        self.order = np.lexsort((np.arange(len(recent)), -self.ever, -self.popularity)).astype(np.int64)

    def floor(self) -> Floats:
        """The weighted count within the window, (n_items,): what every item scores."""
        return self.popularity

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """Nothing: a history changes no count."""
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)

    def state(self) -> tuple[Arrays, Meta]:
        """The counts, and the setting."""
        return {"recent": self.popularity, "ever": self.ever}, {"params": asdict(self.params)}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> PopularFitted:
        """The inverse of `state`."""
        return cls(arrays["recent"], arrays["ever"], PopularParams(**meta["params"]))


def counted(interactions: Interactions) -> Floats:
    """The sum of weights of each item, (n_items,) float32, added in an order that the lines' order does not touch."""
    by = np.lexsort((interactions.weight, interactions.item))
    total = np.bincount(interactions.item[by], interactions.weight[by], minlength=interactions.n_items)
    return total.astype(np.float32)
