"""What everybody's choices have in common: items predicted from all other items at once, or a few hidden tastes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from shopkeeper.recommend.methods.base import (
    DAY,
    Arrays,
    Because,
    Floats,
    Histories,
    Interactions,
    Meta,
    Ranking,
    Rows,
    checked,
    loudness,
    shares_of,
)
from shopkeeper.recommend.methods.neighbours import came_back, to_baskets
from shopkeeper.recommend.methods.popular import counted

Wide: TypeAlias = npt.NDArray[np.float64]

__all__ = ["SMALL", "Factors", "FactorsParams", "Linear", "Tastes"]

SMALL = 4_000  # items up to which the closed form is solved: time grows with their cube, memory with their square
_WIDEST = 200  # lines of a basket that count
_PRODUCTS = 200  # products of a dense matrix that take as long as one of a sparse one
_CELLS = 8_000_000  # cells, or pairs x dimensions, that are held at a time
_START = 0.01  # standard deviation of the first guess of the tastes


@dataclass(frozen=True)
class FactorsParams:
    """How strongly a log is smoothed, and how much of a history is heard.

    Asking: a line of the history counts its weight x `recency` a basket back, over the `last` baskets.
    Closed form: `ridge` as a multiple of the mean number of customers an item has; the `keep` links of each item that
    are furthest from 0 stay; `repeats` is what an item of the history counts for itself, in units of a typical item's
    strongest link. Tastes: `dimensions` of them, fitted in `rounds`; a line of weight 1 is believed 1 + `belief` times
    as much as a missing one; `shrink` pulls tastes to 0. Where nothing of that speaks, items stand by their count in
    the last `window` days (None: ever).
    """

    recency: float = 0.8
    last: int = 200
    ridge: float = 1.5
    keep: int = 200
    repeats: float = 0.0
    dimensions: int = 64
    rounds: int = 10
    belief: float = 20.0
    shrink: float = 5.0
    window: int | None = 28

    def __post_init__(self) -> None:
        checked(self, {"recency": (0, 1), "last": (1, 1_000_000), "ridge": (1e-6, 1e9), "keep": (1, 1_000_000),
                       "repeats": (0, 1e6), "dimensions": (1, 4096), "rounds": (1, 1000), "belief": (0, 1e6),
                       "shrink": (1e-6, 1e9), "window": (1, 100_000)})


class Factors:
    """Items from what all customers took together: exact for small catalogues, by hidden tastes for large ones.

    With X (customers, items) the weights, up to `small` items: the links B that minimise |X - X B|^2 + ridge |B|^2 with
    diag(B) = 0, in closed form: P = (X'X + ridge I)^-1, B_ij = -P_ij / P_jj. The score of an item is the sum of links
    from the history. Above that: tastes x of customers and y of items that minimise the sum over all pairs of
    c (p - x'y)^2 + shrink (|x|^2 + |y|^2), p = 1 and c = 1 + belief x weight where there is a line, else 0 and 1. The
    tastes of a customer are solved exactly from the history when it is asked about, so that a new event counts at once.

    Source:
        Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, eq. 8; Hu, Koren, Volinsky (2008),
        Collaborative Filtering for Implicit Feedback Datasets, eq. 3-5; Takács, Pilászy, Tikk
        (2011), Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering.
    """

    name = "factors"

    def __init__(self, orders: bool = False, small: int = SMALL) -> None:
        """Take `orders`, whether the log is known to be of orders (a short memory is then not tried), and `small`."""
        self.orders, self.small = orders, small
        self._last: tuple[bytes, Any] = (b"", None)  # what was solved last: settings of asking alone share it

    def candidates(self) -> Sequence[FactorsParams]:
        """A short memory, for steps of a sequence; a long one, for people with habits."""
        habits = FactorsParams(recency=0.97, repeats=20.0)
        return [habits] if self.orders else [FactorsParams(), replace(FactorsParams(), recency=0.95), habits]

    def fit(self, interactions: Interactions, now: int, params: FactorsParams) -> Linear | Tastes:
        """Solve for links or for tastes, by the size of the catalogue."""
        past = interactions.before(now)
        taken, popularity = taken_by(past), _lately(past, now, params.window)
        if past.n_items > self.small:
            return Tastes(popularity, self._solved(taken, params, item_tastes), params)
        links = self._solved(taken, params, lambda X, one: strongest(closed_form(X, one.ridge), one.keep))
        if params.repeats and links.nnz:
            typical = float(np.mean(links.max(axis=1).toarray()[np.diff(links.indptr) > 0]))
            own = params.repeats * typical * np.sqrt(came_back(*to_baskets(past, _WIDEST)))
            links = (links + sparse.diags(own.astype(np.float32))).tocsr()
        return Linear(popularity, links, params)

    def _solved(self, taken: Any, params: FactorsParams, solve: Callable[[Any, FactorsParams], Any]) -> Any:
        """What `solve` makes of a log, or what it made of the same log with the same settings of fitting before."""
        fitting = asdict(replace(params, recency=0.0, last=1, repeats=0.0, window=None))
        seen = hashlib.blake2b(repr((sorted(fitting.items()), taken.shape, self.small)).encode())
        for array in (taken.data, taken.indices, taken.indptr):
            seen.update(np.ascontiguousarray(array).tobytes())
        if self._last[0] != seen.digest():
            self._last = (seen.digest(), solve(taken, params))
        return self._last[1]

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> Linear | Tastes:
        """The inverse of `state` of either form."""
        params, popularity = FactorsParams(**meta["params"]), arrays["popularity"]
        if "tastes" in arrays:
            return Tastes(popularity, np.asarray(arrays["tastes"]), params)
        links = sparse.csr_matrix((arrays["links_data"], arrays["links_item"], arrays["links_indptr"]),
                                  shape=(len(popularity), len(popularity)))
        return Linear(popularity, links, params)


class Linear(Ranking):
    """`links` (n_items, n_items), sparse float32: row i holds what i says for and against others."""

    name = Factors.name

    def __init__(self, popularity: Floats, links: Any, params: FactorsParams) -> None:
        super().__init__(popularity)
        self.links, self.params = links, params

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items) above 0: what more speaks for than against."""
        heard = histories.known(self.n_items)
        loud = loudness(heard, self.params.recency, self.params.last)
        scores = sparse.csr_matrix((loud, heard.item, heard.indptr), shape=(len(heard), self.n_items)) @ self.links
        scores.data = np.maximum(scores.data, 0)
        return scores

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """The links of one history added up in the order of its lines, as the product of matrices adds them."""
        heard = history.known(self.n_items)
        loud = loudness(heard, self.params.recency, self.params.last)
        at, total = self.links.indptr, np.zeros(self.n_items, dtype=np.float32)
        for item, weight in zip(heard.item.tolist(), loud, strict=True):
            part = slice(at[item], at[item + 1])
            total[self.links.indices[part]] += weight * self.links.data[part]
        rows = np.flatnonzero(total > 0)
        return rows, total[rows]

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """What each item of the history says for the item, over all that speaks for it."""
        heard = history.known(self.n_items)
        items, at = np.unique(heard.item, return_inverse=True)
        loud = np.bincount(at, loudness(heard, self.params.recency, self.params.last), minlength=len(items))
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = (asked >= 0) & (asked < self.n_items)
        parts = self.links[items][:, np.where(inside, asked, 0)].toarray() * loud[:, None] * inside  # (items, asked)
        return [shares_of(items, column) for column in parts.T]

    def state(self) -> tuple[Arrays, Meta]:
        """The links as a compressed sparse row matrix, the popularity, and the setting."""
        return ({"popularity": self.popularity, "links_data": self.links.data, "links_item": self.links.indices,
                 "links_indptr": self.links.indptr}, {"params": asdict(self.params)})


class Tastes(Ranking):
    """`tastes` (n_items, d) float32 of items; those of a customer are solved for when it is asked about."""

    name = Factors.name

    def __init__(self, popularity: Floats, tastes: Floats, params: FactorsParams) -> None:
        super().__init__(popularity)
        self.tastes, self.params = tastes, params
        wide = tastes.astype(np.float64)
        self._everything = wide.T @ wide + params.shrink * np.eye(tastes.shape[1])  # (d, d)

    def known(self, histories: Histories, now: int) -> Any:
        """Scores (m, n_items) above 0, one customer after another: alone or among others, the same numbers."""
        found = [self.known_of_one(histories.part(i, i + 1), now) for i in range(len(histories))]
        indptr = np.cumsum([0, *(len(rows) for rows, _ in found)])
        empty = np.zeros(0, np.float32)
        return sparse.csr_matrix((np.concatenate([empty, *(value for _, value in found)]),
                                  np.concatenate([empty.astype(np.int64), *(rows for rows, _ in found)]), indptr),
                                 shape=(len(histories), self.n_items))

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """How near each item lies to the customer's tastes."""
        items, loud = self._heard(history)
        customer, _ = self._solved(items, loud)
        scores: Floats = np.asarray(self.tastes @ customer.astype(np.float32), dtype=np.float32)
        rows = np.flatnonzero(scores > 0)
        return rows, scores[rows]

    def _heard(self, history: Histories) -> tuple[Rows, Wide]:
        """The distinct items of a history, and how much more than a missing one each is believed."""
        heard = history.known(self.n_items)
        items, at = np.unique(heard.item.astype(np.int64), return_inverse=True)
        heard_ = np.bincount(at, loudness(heard, self.params.recency, self.params.last), minlength=len(items))
        loud = self.params.belief * np.asarray(heard_, dtype=np.float64)
        return items[loud > 0], loud[loud > 0]

    def _solved(self, items: Rows, loud: Wide) -> tuple[Wide, Wide]:
        """The tastes of a customer (d,), and (Y'CY + shrink I)^-1 y of each item of the history (items, d)."""
        theirs = self.tastes[items].astype(np.float64)
        system = self._everything + theirs.T @ (loud[:, None] * theirs)
        parts = np.asarray(np.linalg.solve(system, theirs.T).T)
        return np.asarray((1 + loud) @ parts), parts

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """How much lower the score would be without each item of the history, over the sum of that."""
        items, loud = self._heard(history)
        customer, parts = self._solved(items, loud)
        theirs = self.tastes[items].astype(np.float64)
        # without item i, by the formula of Sherman and Morrison (1950): (items, d)
        left = customer - (1 + loud)[:, None] * parts
        turn = loud * np.einsum("id,id->i", theirs, left) / (1 - loud * np.einsum("id,id->i", theirs, parts))
        lost = customer - (left + turn[:, None] * parts)
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        inside = (asked >= 0) & (asked < self.n_items)
        wanted = self.tastes[np.where(inside, asked, 0)].astype(np.float64)  # (asked, d)
        return [shares_of(items, lost @ each * (here and each @ customer > 0))
                for each, here in zip(wanted, inside, strict=True)]

    def state(self) -> tuple[Arrays, Meta]:
        """The tastes, the popularity, and the setting."""
        return {"popularity": self.popularity, "tastes": self.tastes}, {"params": asdict(self.params)}


def _lately(past: Interactions, now: int, window: int | None) -> Floats:
    """The weighted count of each item within the window, and far less for what came before it, (n_items,)."""
    ever = counted(past)
    if window is None:
        return ever
    recent = counted(past.where(past.when >= now - window * DAY))
    return np.asarray(recent + ever / (1 + ever.sum()), dtype=np.float32)


def taken_by(past: Interactions) -> Any:
    """X (customers, n_items), sparse float64: the greatest weight of a customer's lines with an item."""
    by = np.lexsort((-past.weight, past.item, past.customer))
    customer, item, weight = past.customer[by], past.item[by], past.weight[by].astype(np.float64)
    first = weight > 0
    first[1:] &= (customer[1:] != customer[:-1]) | (item[1:] != item[:-1])
    customer, item, weight = customer[first], item[first], weight[first]
    return sparse.csr_matrix((weight, (customer, item)), shape=(past.n_customers, past.n_items))


def closed_form(taken: Any, ridge: float) -> Wide:
    """B (n_items, n_items) with a diagonal of zeros; `ridge` in units of the mean of X'X's diagonal.

    >>> (closed_form(sparse.csr_matrix(np.eye(2)), 1.0) + 0).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    together = _together(taken)
    n = len(together)
    diagonal = np.einsum("ii->i", together)
    used = diagonal > 0
    diagonal += max(ridge * (float(diagonal[used].mean()) if used.any() else 1.0), 1e-9)
    lower, failed = lapack.dpotrf(together, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.dpotri(lower, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError("X'X plus a positive ridge is positive definite")
    links = np.tril(inverse)
    links += np.tril(inverse, -1).T
    links /= -np.diag(links).copy()
    links[np.arange(n), np.arange(n)] = 0.0
    return np.asarray(links)


def _together(taken: Any) -> Wide:
    """X'X (n_items, n_items), through sparse or dense products, whichever are fewer; in the order that LAPACK reads."""
    sizes, (customers, n) = np.diff(taken.indptr).astype(np.float64), taken.shape
    if float((sizes ** 2).sum()) * _PRODUCTS < customers * float(n) ** 2:
        return np.asarray((taken.T @ taken).toarray(), order="F")
    total, step = np.zeros((n, n), order="F"), max(1, _CELLS // max(1, n))
    for start in range(0, customers, step):
        part = taken[start:start + step].toarray()
        total += part.T @ part
    return total


def strongest(links: Wide, keep: int) -> Any:
    """The `keep` entries of each row that are furthest from 0, sparse float32; those as far as the last all stay."""
    if keep < len(links):
        far = np.abs(links)
        least = np.partition(far, -keep, axis=1)[:, -keep]
        links = np.where(far >= least[:, None], links, 0.0)
    return sparse.csr_matrix(links.astype(np.float32))


def item_tastes(taken: Any, params: FactorsParams) -> Floats:
    """Y (n_items, d) float32, from alternating least squares with a fixed start; each half by conjugate gradients."""
    customers, n = taken.shape
    by_customer = sparse.csr_matrix(taken, dtype=np.float32) * np.float32(params.belief)
    by_item = by_customer.T.tocsr()
    random = np.random.default_rng(0)
    items = (_START * random.standard_normal((n, params.dimensions))).astype(np.float32)
    people = np.zeros((customers, params.dimensions), dtype=np.float32)
    for _ in range(params.rounds):
        people = _solved(by_customer, items, people, params.shrink)
        items = _solved(by_item, people, items, params.shrink)
    items[np.diff(by_item.indptr) == 0] = 0.0
    return items


def _solved(beliefs: Any, other: Floats, start: Floats, shrink: float, steps: int = 3) -> Floats:
    """The tastes of one side given the other's, (rows, d): a few steps of conjugate gradients for all rows at once."""
    everything = other.T @ other + np.float32(shrink) * np.eye(other.shape[1], dtype=np.float32)
    ones = sparse.csr_matrix((beliefs.data + np.float32(1), beliefs.indices, beliefs.indptr), shape=beliefs.shape)
    found = start.copy()
    rest = ones @ other - _applied(beliefs, other, everything, found)
    way, size = rest.copy(), np.einsum("rd,rd->r", rest, rest)
    for _ in range(steps):
        moved = _applied(beliefs, other, everything, way)
        step = size / np.maximum(np.einsum("rd,rd->r", way, moved), np.float32(1e-12))
        found += step[:, None] * way
        rest -= step[:, None] * moved
        before, size = size, np.einsum("rd,rd->r", rest, rest)
        way = rest + (size / np.maximum(before, np.float32(1e-12)))[:, None] * way
    return found


def _applied(beliefs: Any, other: Floats, everything: Floats, x: Floats) -> Floats:
    """(Y'Y + shrink I + Y'(C - 1)Y) x of every row, (rows, d)."""
    out = x @ everything
    for rows in _blocks(beliefs.indptr, max(1, _CELLS // other.shape[1])):
        part = beliefs[rows]
        owner = np.repeat(np.arange(rows.start, rows.stop), np.diff(part.indptr))
        part.data = part.data * np.einsum("pd,pd->p", x[owner], other[part.indices])
        out[rows] += part @ other
    return np.asarray(out, dtype=np.float32)


def _blocks(indptr: npt.NDArray[Any], most: int) -> Iterator[slice]:
    """Runs of rows with at most so many entries; a row that has more stands alone."""
    start, n = 0, len(indptr) - 1
    while start < n:
        stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + most, side="right")) - 1)
        yield slice(start, stop)
        start = stop
