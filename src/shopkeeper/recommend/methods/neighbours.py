"""Items that follow each other: in one basket, or a few steps later in somebody's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.recommend.methods.base import (
    Arrays,
    Because,
    Floats,
    Histories,
    Interactions,
    Meta,
    Ranking,
    Rows,
    at_least_kth,
    checked,
    loudness,
    shares_of,
)
from shopkeeper.recommend.methods.popular import counted

__all__ = ["Neighbours", "NeighboursFitted", "NeighboursParams"]

_PRODUCTS = 8_000_000  # pairs of lines multiplied at a time: what bounds the memory of `fit`
_BAND = 50_000  # baskets whose steps are laid out at a time


@dataclass(frozen=True)
class NeighboursParams:
    """What counts as near, how counts become strengths, and how much of a history is heard.

    Counting: `ahead` lines that a basket may lie after another (0: only within one basket), `decay` a step, `share` of
    the links against the order of time (0 one-way, 1 symmetric), `widest` basket (lines past that are left out).
    Strength: counts to the power `damp`, over `source` and `target` powers of how often the two items stand in the log;
    the strongest `keep` links of each item stay. Asking: `recency` a basket back, over the `last` baskets; `repeats`
    is what an item of the history counts for itself, in units of a typical item's strongest link.
    """

    ahead: int = 10
    decay: float = 0.75
    share: float = 0.2
    widest: int = 200
    damp: float = 0.5
    source: float = 0.3
    target: float = 0.15
    keep: int = 200
    recency: float = 0.7
    last: int = 20
    repeats: float = 0.0

    def __post_init__(self) -> None:
        checked(self, {"ahead": (0, 1000), "decay": (0, 1), "share": (0, 1), "widest": (2, 100_000), "damp": (0.01, 10),
                       "source": (0, 10), "target": (0, 10), "keep": (1, 1_000_000), "recency": (0, 1),
                       "last": (1, 1_000_000), "repeats": (0, 1e6)})


class Neighbours:
    """Items near what a customer took, the lately taken heard loudest.

    With B (baskets, items) the weights and K (baskets, baskets) the nearness of two baskets of one customer,
    C = B' K B counts how often j stands near i: K is 1 on the diagonal, decay^(d-1) for d baskets later, and `share`
    of that for d baskets earlier. The strength of the link from i to j is C_ij^damp / (n_i^source n_j^target), and
    the score of an item is the sum of strengths from the history's items, each times recency^(baskets since).
    Where every line is a basket of its own, `ahead` and `decay` are distances in a sequence.

    Source:
        Sarwar, Karypis, Konstan, Riedl (2001), Item-Based Collaborative Filtering Recommendation Algorithms, 3.1-3.2;
        Deshpande, Karypis (2004), Item-Based Top-N Recommendation Algorithms, 4.1 (the power of the target's count);
        Guthrie, Allison, Liu, Guthrie, Wilks (2006), A Closer Look at Skip-gram Modelling (the distance).
    """

    name = "neighbours"

    def __init__(self, orders: bool = False) -> None:
        """Take `orders`, whether the log is known to be of orders with several lines: steps are then not tried."""
        self.orders = orders

    def candidates(self) -> Sequence[NeighboursParams]:
        """Steps of a sequence; orders of people with strong habits, and with weaker ones."""
        strong = NeighboursParams(ahead=0, share=1.0, keep=100, recency=0.97, last=200, repeats=200.0)
        return [*([] if self.orders else [NeighboursParams()]), strong, replace(strong, repeats=20.0)]

    def fit(self, interactions: Interactions, now: int, params: NeighboursParams) -> NeighboursFitted:
        """Count, normalise and prune, a block of items at a time."""
        past = interactions.before(now)
        baskets, customer = to_baskets(past, params.widest)
        near = nearness(np.asarray(baskets.getnnz(axis=1)), customer, params)
        size = np.maximum(np.asarray(baskets.sum(axis=0)).ravel(), 1e-6)  # (n_items,)
        links = sparse.vstack(list(_blocks(baskets, near, size, params)), format="csr", dtype=np.float32)
        links.data /= _typical_strongest(links, size)
        own = params.repeats * np.sqrt(came_back(baskets, customer))
        links = (links + sparse.diags(own.astype(np.float32))).tocsr() if params.repeats else links
        return NeighboursFitted(counted(past), links, params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> NeighboursFitted:
        """The inverse of `NeighboursFitted.state`."""
        return NeighboursFitted.restore(arrays, meta)


class NeighboursFitted(Ranking):
    """`links` (n_items, n_items), sparse float32: row i holds what i leads to."""

    name = Neighbours.name

    def __init__(self, popularity: Floats, links: Any, params: NeighboursParams) -> None:
        super().__init__(popularity)
        self.links, self.params = links, params

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items): the sum of links from the history; time enters only by its order."""
        heard = histories.known(self.n_items)
        loud = self.loudness(heard)
        matrix = sparse.csr_matrix((loud, heard.item, heard.indptr), shape=(len(heard), self.n_items))
        return matrix @ self.links

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """The links of one history added up in the order of its lines, as the product of matrices adds them."""
        heard = history.known(self.n_items)
        loud = self.loudness(heard)
        at, total = self.links.indptr, np.zeros(self.n_items, dtype=np.float32)
        start, stop = at[heard.item], at[heard.item + 1]
        for first, end, weight in zip(start.tolist(), stop.tolist(), loud, strict=True):
            if weight > 0:
                total[self.links.indices[first:end]] += weight * self.links.data[first:end]
        rows = np.flatnonzero(total)
        return rows, total[rows]

    def loudness(self, histories: Histories) -> Floats:
        """What each line of a history counts, (lines,): its weight x recency^(baskets since), 0 past the last ones."""
        return loudness(histories, self.params.recency, self.params.last)

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The exact part of each item of the history in the score; the parts of one score add up to 1."""
        heard = history.known(self.n_items)
        items, at = np.unique(heard.item, return_inverse=True)
        loud = np.bincount(at, self.loudness(heard), minlength=len(items))
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = (asked >= 0) & (asked < self.n_items)
        parts = self.links[items][:, np.where(inside, asked, 0)].toarray() * loud[:, None] * inside  # (items, asked)
        return [shares_of(items, parts[:, column]) for column in range(len(asked))]

    def state(self) -> tuple[Arrays, Meta]:
        """The links as a compressed sparse row matrix, the popularity, and the setting."""
        return ({"popularity": self.popularity, "links_data": self.links.data, "links_item": self.links.indices,
                 "links_indptr": self.links.indptr}, {"params": asdict(self.params)})

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> NeighboursFitted:
        """The inverse of `state`."""
        n = len(arrays["popularity"])
        links = sparse.csr_matrix((arrays["links_data"], arrays["links_item"], arrays["links_indptr"]), shape=(n, n))
        return cls(arrays["popularity"], links, NeighboursParams(**meta["params"]))


def to_baskets(interactions: Interactions, widest: int) -> tuple[Any, Rows]:
    """The log as a sparse matrix of baskets and items, with each basket's customer.

    Args:
        interactions: The lines; one number is one basket of one customer, whatever its times.
        widest: Of a wider basket only the heaviest lines stay, ties by item row.

    Returns:
        (baskets, n_items) float32, the greatest weight of an item's lines in the basket, baskets by customer, then by
        their first line's time; and the customer of each basket (baskets,).
    """
    by = np.lexsort((interactions.when, interactions.basket, interactions.customer))
    customer, basket = interactions.customer[by], interactions.basket[by]
    new = np.ones(len(by), dtype=bool)
    new[1:] = (customer[1:] != customer[:-1]) | (basket[1:] != basket[:-1])
    starts = np.flatnonzero(new)
    order = np.lexsort((basket[starts], interactions.when[by][starts], customer[starts]))
    place = np.empty(len(starts), dtype=np.int64)
    place[order] = np.arange(len(starts))
    row, item, weight = place[np.cumsum(new) - 1], interactions.item[by], interactions.weight[by]
    row, item, weight = _heaviest(row, item, weight, widest)
    shape = (len(starts), interactions.n_items)
    return sparse.csr_matrix((weight, (row, item)), shape=shape), customer[starts][order].astype(np.int64)


def _heaviest(row: Rows, item: npt.NDArray[np.int32], weight: Floats, widest: int) -> tuple[Rows, Any, Floats]:
    """One line for a basket and an item, its heaviest, and of each basket the `widest` heaviest lines."""
    by = np.lexsort((-weight, item, row))
    row, item, weight = row[by], item[by], weight[by]
    once = np.ones(len(row), dtype=bool)
    once[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    once &= weight > 0
    row, item, weight = row[once], item[once], weight[once]
    if not len(row) or np.bincount(row).max() <= widest:
        return row, item, weight
    by = np.lexsort((item, -weight, row))
    row, item, weight = row[by], item[by], weight[by]
    fits = np.arange(len(row)) - np.searchsorted(row, row, side="left") < widest
    return row[fits], item[fits], weight[fits]


def nearness(lines: npt.NDArray[Any], customer: Rows, params: NeighboursParams) -> Any:
    """K (baskets, baskets): how near two baskets of one customer stand.

    A basket reaches d steps on while fewer than `ahead` lines lie between the two; so where each basket is one line,
    it reaches `ahead` steps.
    """
    n, before = len(customer), np.concatenate([[0], np.cumsum(lines)])  # lines before each basket
    steps = np.arange(-min(params.ahead, n - 1), min(params.ahead, n - 1) + 1)
    strength = params.decay ** np.maximum(np.abs(steps) - 1.0, 0.0) * np.where(steps < 0, params.share, 1.0)
    steps, strength = steps[strength > 0], strength[strength > 0].astype(np.float32)
    columns, values, sizes = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)], [np.zeros(1, np.int64)]
    for start in range(0, n, _BAND):
        here = np.arange(start, min(n, start + _BAND))[:, None]
        there = here + steps  # (baskets, steps)
        inside = (there >= 0) & (there < n)
        there = np.where(inside, there, here)
        between = before[np.maximum(here, there)] - before[np.minimum(here, there) + 1]
        near = inside & (customer[there] == customer[here]) & ((between < params.ahead) | (there == here))
        columns.append(there[near].astype(np.int32))
        values.append(np.broadcast_to(strength, near.shape)[near])
        sizes.append(near.sum(axis=1))
    return sparse.csr_matrix((np.concatenate(values), np.concatenate(columns), np.cumsum(np.concatenate(sizes))),
                             shape=(n, n))


def _blocks(baskets: Any, near: Any, size: Any, params: NeighboursParams) -> Iterator[Any]:
    """The pruned links of one block of source items after another, each (items of the block, n_items)."""
    by_item = baskets.T.tocsr()
    cost = _ones_like(by_item) @ (_ones_like(near) @ baskets.getnnz(axis=1).astype(np.float64))  # products of an item
    done = np.concatenate([[0.0], np.cumsum(cost)])
    source, target = (size ** -params.source).astype(np.float32), (size ** -params.target).astype(np.float32)
    start = 0
    while start < len(cost):
        stop = max(start + 1, int(np.searchsorted(done, done[start] + _PRODUCTS, side="right")) - 1)
        counts = ((by_item[start:stop] @ near) @ baskets).tocsr()
        counts.data **= np.float32(params.damp)
        counts.data *= np.repeat(source[start:stop], np.diff(counts.indptr))
        counts.data *= target[counts.indices]
        yield _strongest(counts, start, params.keep)
        start = stop


def _strongest(links: Any, start: int, keep: int) -> Any:
    """The `keep` largest links of each row but the one to itself; of equal ones, those to the lowest item rows.

    Args:
        links: (items of a block, n_items) sparse.
        start: The item row of the block's first row.
        keep: How many at most.
    """
    sizes = np.diff(links.indptr)
    links.data[links.indices == np.repeat(np.arange(start, start + len(sizes), dtype=np.int32), sizes)] = 0.0
    best = (links.data > 0) & at_least_kth(links.indptr, links.data, keep)
    row = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[best]
    item, value = links.indices[best], links.data[best]
    held = np.bincount(row, minlength=len(sizes))
    if held.size and held.max() > keep:
        by = np.lexsort((item, -value, row))
        row, item, value = row[by], item[by], value[by]
        first = np.arange(len(row)) - (np.cumsum(held) - held)[row] < keep
        row, item, value = row[first], item[first], value[first]
    pruned = sparse.csr_matrix((value, (row, item)), shape=links.shape)
    pruned.sort_indices()
    return pruned


def _typical_strongest(links: Any, size: Any) -> np.float32:
    """The strongest link of an item, averaged over the lines of the log; 1 where there is no link."""
    if not links.nnz:
        return np.float32(1.0)
    strongest = np.asarray(links.max(axis=1).toarray()).ravel()
    linked = strongest > 0
    return np.float32(np.average(strongest[linked], weights=size[linked]))


def came_back(baskets: Any, customer: Rows) -> npt.NDArray[np.float64]:
    """The share of an item's customers who took it in more than one basket, (n_items,), a quarter added to one half."""
    n_items = baskets.shape[1]
    entries = baskets.tocoo()
    pair, times = np.unique(customer[entries.row] * n_items + entries.col, return_counts=True)
    takers = np.bincount(pair % n_items, minlength=n_items)
    again = np.bincount(pair % n_items, times > 1, minlength=n_items)
    return np.asarray((again + 0.25) / (takers + 0.5))


def _ones_like(matrix: Any) -> Any:
    """The pattern of a sparse matrix, 1 wherever it holds an entry."""
    return sparse.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
