"""Items of the same category that people turn to one after another; where nobody did, the popular ones of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.recommend.methods.base import Arrays, Because, Histories, Interactions, Meta, Ranking, checked
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursFitted, NeighboursParams
from shopkeeper.recommend.methods.popular import PopularParams
from shopkeeper.recommend.methods.same_category import Codes, SameCategory, SameCategoryFitted, codes_of

__all__ = ["Alike", "AlikeFitted", "AlikeParams"]


@dataclass(frozen=True)
class AlikeParams:
    """Which links are counted, and how much the popular items of the category weigh beside them.

    `near`: as of neighbours. `blend`: what the most popular item of a category scores for that alone, in units of a
    typical item's strongest link. `window`: days that the popular items are counted over; None counts the whole log.
    """

    near: NeighboursParams = field(default_factory=lambda: NeighboursParams(share=1.0))
    blend: float = 0.001
    window: int | None = 28

    def __post_init__(self) -> None:
        checked(self, {"blend": (1e-6, 1e6), "window": (1, 100_000)})


class Alike:
    """Neighbours among the items of one category, with the popular items of that category below them.

    What a person took of one category is a sequence of its own, so a link never leaves the category, and `ahead`
    counts steps within it. score = links + blend x (count / count of the category's most popular item).

    Args:
        codes: (n_items,) category of each item, -1 where it has none; those share one.

    Source:
        As of neighbours; the fallback to a category's popular items is a back-off as in Katz (1987), Estimation of
        Probabilities from Sparse Data.
    """

    name = "alike"

    def __init__(self, codes: npt.ArrayLike = ()) -> None:
        self.codes = np.asarray(codes, dtype=np.int64)

    def candidates(self) -> Sequence[AlikeParams]:
        """Links that decide alone, and links weighed against what is popular; symmetric, or in the order of time."""
        first = AlikeParams()
        ordered = replace(first, near=replace(first.near, share=0.2), blend=0.3)
        return [first, replace(first, blend=0.3), ordered]

    def fit(self, interactions: Interactions, now: int, params: AlikeParams) -> AlikeFitted:
        """Count links within each person's sequence of each category."""
        past = interactions.before(now)
        codes = codes_of(self.codes, past.n_items)
        links = Neighbours().fit(_by_category(past, codes), now, params.near)
        popular = SameCategory(self.codes).fit(past, now, PopularParams(params.window))
        return AlikeFitted(links, popular, params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> AlikeFitted:
        """The inverse of `AlikeFitted.state`."""
        params = AlikeParams(**{**meta["params"], "near": NeighboursParams(**meta["params"]["near"])})
        parts = {name: {key.removeprefix(f"{name}_"): array for key, array in arrays.items() if key.startswith(name)}
                 for name in ("near", "popular")}
        return AlikeFitted(NeighboursFitted.restore(parts["near"], {"params": asdict(params.near)}),
                           SameCategory().restore(parts["popular"], {"params": {"window": params.window}}), params)


def _by_category(past: Interactions, codes: Codes) -> Interactions:
    """The same lines, each person's part of each category as a person of its own, and so with baskets."""
    code = codes[past.item] if len(past) else np.zeros(0, dtype=np.int64)
    width = int(codes.max(initial=0)) + 1
    people, customer = np.unique(past.customer.astype(np.int64) * width + code, return_inverse=True)
    basket = np.unique(past.basket, return_inverse=True)[1]
    return Interactions(customer.astype(np.int32), past.item, past.when, basket.astype(np.int64) * width + code,
                        past.weight, len(people), past.n_items)


class AlikeFitted(Ranking):
    """Links within categories, and the popular items of each."""

    name = Alike.name

    def __init__(self, near: NeighboursFitted, popular: SameCategoryFitted, params: AlikeParams) -> None:
        super().__init__(popular.popularity)
        self.near, self.popular, self.params = near, popular, params
        most = np.zeros(int(popular.codes.max(initial=0)) + 1, dtype=np.float32)
        np.maximum.at(most, popular.codes, popular.popularity)
        self._scale = (params.blend / np.maximum(most[popular.codes], 1e-9)).astype(np.float32)  # (n_items,)

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items), above 0 for the categories of a history."""
        popular = self.popular.known(histories, now).tocsr()
        popular.data = popular.data * self._scale[popular.indices]
        return (self.near.known(histories, now) + popular).tocsr()

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The parts of links and of the category, each as much as it is of the score."""
        rows = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = np.where((rows >= 0) & (rows < self.n_items), rows, 0)
        linked = np.asarray(self.near.known(history, now).toarray()).ravel()[inside]
        held = np.asarray(self.popular.known(history, now).toarray()).ravel()[inside] * self._scale[inside]
        parts = zip(self.near.because(history, rows, now), self.popular.because(history, rows, now),
                    linked.tolist(), held.tolist(), strict=True)
        return [_mixed(near, popular, one, other) for near, popular, one, other in parts]

    def state(self) -> tuple[Arrays, Meta]:
        """Both parts, and the setting."""
        near, popular = self.near.state()[0], self.popular.state()[0]
        return ({**{f"near_{name}": array for name, array in near.items()},
                 **{f"popular_{name}": array for name, array in popular.items()}}, {"params": asdict(self.params)})


def _mixed(one: Because, other: Because, weight: float, rest: float) -> Because:
    """Two lists of shares as one, each with its weight."""
    shares: dict[int, float] = {}
    for reasons, part in ((one, weight), (other, rest)):
        for item, share in reasons:
            shares[item] = shares.get(item, 0.0) + share * part
    total = sum(shares.values())
    return sorted(((item, share / total) for item, share in shares.items() if share > 0),
                  key=lambda each: (-each[1], each[0]))
