"""The seam between the room and its methods: what a method is given, and what it must give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.errors import BadInput
from shopkeeper.words import say

__all__ = ["CELLS", "DAY", "Arrays", "Because", "Fitted", "Histories", "Interactions", "ItemSets", "Meta", "Method",
           "Params", "Ranking", "at_least_kth", "checked", "loudness", "shares_of"]

Rows: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Meta: TypeAlias = dict[str, Any]
Because: TypeAlias = list[tuple[int, float]]  # (row of a history item, its share of the score), largest share first

DAY = 86_400 * 1_000_000  # microseconds
CELLS = 8_000_000  # customers x items of one chunk: what bounds the memory of `top`


class Params(Protocol):
    """A frozen dataclass of plain values (str, int, float, bool, None): one setting of a method."""

    __dataclass_fields__: Any


@dataclass(frozen=True)
class Interactions:
    """Who took what, when: one line each, all arrays of one length (n,).

    `customer` and `item` are int32 rows, `when` is int64 microseconds UTC, `basket` is an int64 number that the
    lines of one order or session share, `weight` is float32, the strength of the line's role (1 for a purchase).

    Raises:
        BadInput: Lengths differ, or a row lies outside 0 … `n_customers` - 1 or 0 … `n_items` - 1.
    """

    customer: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    when: npt.NDArray[np.int64]
    basket: npt.NDArray[np.int64]
    weight: Floats
    n_customers: int
    n_items: int

    def __post_init__(self) -> None:
        n = len(self.customer)
        for name in ("item", "when", "basket", "weight"):
            if len(getattr(self, name)) != n:
                raise BadInput(say("{column} has {n} lines where customer has {expected}.", column=name,
                                   n=len(getattr(self, name)), expected=n))
        for name, limit in (("customer", self.n_customers), ("item", self.n_items)):
            column = getattr(self, name)
            if n and (column.min() < 0 or column.max() >= limit):
                raise BadInput(say("{column} holds rows outside 0 to {last}.", column=name, last=limit - 1),
                               do=[say("leave out the lines whose {column} is unknown", column=name)])

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, lines: npt.NDArray[Any]) -> Interactions:
        """Only these lines (a mask or line numbers); customers and items keep their rows."""
        return Interactions(self.customer[lines], self.item[lines], self.when[lines], self.basket[lines],
                            self.weight[lines], self.n_customers, self.n_items)

    def before(self, cut: int) -> Interactions:
        """Only what happened before `cut` (microseconds UTC; the cut itself is left out)."""
        return self.where(self.when < cut)

    def sorted(self) -> Interactions:
        """The one canonical order: customer, when, basket, item, weight; whatever order the lines came in."""
        if _is_sorted(self.customer, self.when, self.basket, self.item, self.weight):
            return self
        return self.where(np.lexsort((self.weight, self.item, self.basket, self.when, self.customer)))


@dataclass(frozen=True)
class ItemSets:
    """A set of items for each of m customers: those of customer i are `item[indptr[i]:indptr[i + 1]]`.

    `indptr` is (m + 1,) int64; `item` holds item rows, int64. A row that a fitted method has never seen is ignored.

    >>> ItemSets.of([[3], [], [1, 2]]).indptr.tolist()
    [0, 1, 1, 3]
    """

    indptr: Rows
    item: Rows

    @classmethod
    def of(cls, sets: Sequence[Sequence[int]]) -> ItemSets:
        """From one sequence of item rows a customer."""
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.int64)
        return cls(indptr, np.asarray([row for one in sets for row in one], dtype=np.int64))


@dataclass(frozen=True)
class Histories:
    """What m customers did, oldest first: the lines of customer i are `indptr[i]` … `indptr[i + 1]` - 1.

    `indptr` is (m + 1,) int64; `item`, `when`, `basket` and `weight` (lines,) mean what they mean in `Interactions`.
    A customer without a line is unknown. Whatever stands here is taken as known at the moment of asking.
    """

    indptr: Rows
    item: npt.NDArray[Any]
    when: Rows
    basket: Rows
    weight: Floats

    @classmethod
    def of(cls, interactions: Interactions, customers: npt.ArrayLike) -> Histories:
        """The histories of these customer rows, in this order; -1 or a row without a line gives an empty history."""
        lines = interactions.sorted()
        asked = np.asarray(customers, dtype=np.int64).astype(lines.customer.dtype)
        starts = np.searchsorted(lines.customer, asked, side="left")
        sizes = np.searchsorted(lines.customer, asked, side="right") - starts
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        take = np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])
        return cls(indptr, lines.item[take], lines.when[take], lines.basket[take], lines.weight[take])

    @classmethod
    def single(cls, items: npt.ArrayLike, when: npt.ArrayLike | None = None, basket: npt.ArrayLike | None = None,
               weight: npt.ArrayLike | None = None) -> Histories:
        """One customer's history from its items, oldest first; by default each line is a basket of its own, weight 1.

        >>> len(Histories.single([4, 2]).item)
        2
        """
        rows = np.asarray(items, dtype=np.int64)
        steps = np.arange(len(rows), dtype=np.int64)
        return cls(np.asarray([0, len(rows)], dtype=np.int64), rows,
                   steps if when is None else np.asarray(when, dtype=np.int64),
                   steps if basket is None else np.asarray(basket, dtype=np.int64),
                   np.ones(len(rows), np.float32) if weight is None else np.asarray(weight, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def owner(self) -> Rows:
        """The place of each line's customer, 0 … m - 1, (lines,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def items(self) -> ItemSets:
        """What each customer has in its history, as sets to exclude."""
        return ItemSets(self.indptr, self.item.astype(np.int64))

    def part(self, start: int, stop: int) -> Histories:
        """The histories of customers `start` … `stop` - 1."""
        ends = self.indptr[start:stop + 1]
        return self._lines(ends - ends[0], slice(int(ends[0]), int(ends[-1])))

    def known(self, n_items: int) -> Histories:
        """Without the lines whose item lies outside 0 … `n_items` - 1: items that a fitted method has never seen."""
        return self.where((self.item >= 0) & (self.item < n_items))

    def where(self, lines: npt.NDArray[np.bool_]) -> Histories:
        """Only these lines; the customers stay, some perhaps with an empty history."""
        if bool(lines.all()):
            return self
        return self._lines(np.concatenate([[0], np.cumsum(lines)]).astype(np.int64)[self.indptr], lines)

    def _lines(self, indptr: Rows, lines: Any) -> Histories:
        return Histories(indptr, self.item[lines], self.when[lines], self.basket[lines], self.weight[lines])


@runtime_checkable
class Fitted(Protocol):
    """A method that has seen the log. It never changes, and the same question gives the same answer."""

    name: str
    params: Any

    def score(self, histories: Histories, now: int) -> Floats:
        """How much each customer wants each item, (m, n_items) float32, never negative; 0 where nothing is known."""
        ...

    def top(self, histories: Histories, now: int, k: int, exclude: ItemSets | None = None,
            allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Rows, Floats]:
        """The best k items of each customer, (m, k) rows and scores; -1 and -inf where there are not that many."""
        ...

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """For each item, the items of one customer's history that brought it, with their shares of the score."""
        ...

    def state(self) -> tuple[Arrays, Meta]:
        """All that `restore` needs: named arrays, and a dictionary that JSON can hold."""
        ...


class Method(Protocol):
    """What can be fitted. `candidates` are the few settings that validation chooses among."""

    name: str

    def candidates(self) -> Sequence[Any]:
        """The settings to choose among on validation, the default first."""
        ...

    def fit(self, interactions: Interactions, now: int, params: Any) -> Fitted:
        """Learn from what happened before `now` (microseconds UTC); the order of the lines never matters."""
        ...

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> Fitted:
        """The inverse of `Fitted.state`: the same answers, bit for bit."""
        ...


class Ranking:
    """Base of a fitted method whose scores are sparse: it says what it knows, the rest is ranked by popularity.

    A subclass gives `known`; items with equal scores, so also all that are unknown, stand in the order of `popularity`,
    then of their row. A customer with an empty history is therefore given the popular items, each with score 0.
    """

    def __init__(self, popularity: Floats) -> None:
        self.popularity = np.asarray(popularity, dtype=np.float32)  # (n_items,)

    def known(self, histories: Histories, now: int) -> Any:
        """Scores above 0 as a sparse matrix (m, n_items); a subclass's part."""
        return sparse.csr_matrix((len(histories), self.n_items), dtype=np.float32)

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """For each item nothing: no item of the history brought it. A subclass that knows better says so."""
        return [[] for _ in np.asarray(item_rows).ravel()]

    def known_of_one(self, history: Histories, now: int) -> tuple[Rows, Floats]:
        """The same as `known` for one customer: distinct item rows, and the score of each, (c,).

        A subclass that can spare itself the matrices does so: one customer at a time is asked while somebody waits.
        """
        known = sparse.csr_matrix(self.known(history, now))
        return known.indices.astype(np.int64), known.data.astype(np.float32)

    @property
    def n_items(self) -> int:
        """How many items can be ranked."""
        return len(self.popularity)

    @cached_property
    def order(self) -> Rows:
        """Item rows, most popular first; ties by row."""
        return np.lexsort((np.arange(self.n_items), -self.popularity)).astype(np.int64)

    @cached_property
    def place(self) -> Rows:
        """The place of each item in `order`."""
        place = np.empty(self.n_items, dtype=np.int64)
        place[self.order] = np.arange(self.n_items)
        return place

    def floor(self) -> Floats:
        """The score of items that `known` leaves out, (n_items,)."""
        return np.zeros(self.n_items, dtype=np.float32)

    def score(self, histories: Histories, now: int) -> Floats:
        """Dense scores (m, n_items) float32; 0 where nothing is known. For few customers: see `top` for many."""
        scores = self.known(histories, now).toarray().astype(np.float32)
        return np.asarray(np.where(scores > 0, scores, self.floor()), dtype=np.float32)

    def top(self, histories: Histories, now: int, k: int, exclude: ItemSets | None = None,
            allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Rows, Floats]:
        """The best k items of each of m customers, in chunks: memory holds `CELLS` customer-item cells at a time.

        Args:
            histories: Who is asked about.
            now: Microseconds UTC.
            k: How many items.
            exclude: Items that a customer must not be given, a set for each of the m customers.
            allowed: (n_items,) mask of items that anybody may be given.

        Returns:
            Item rows (m, k) int64 and scores (m, k) float32, best first; -1 and -inf where no item is left.
        """
        if len(histories) == 1:
            return self._top_of_one(histories, now, k, _shut(self.n_items, exclude, allowed))
        m, chunk = len(histories), max(1, CELLS // max(1, self.n_items))
        ranked, scores = np.full((m, k), -1, dtype=np.int64), np.full((m, k), -np.inf, dtype=np.float32)
        for start in range(0, m, chunk):
            stop = min(m, start + chunk)
            known = sparse.csr_matrix(self.known(histories.part(start, stop), now))
            closed = np.zeros((stop - start, self.n_items), dtype=bool)
            if allowed is not None:
                closed[:, ~allowed] = True
            if exclude is not None:
                owner, item = _lines_of(exclude, start, stop)
                inside = (item >= 0) & (item < self.n_items)
                closed[owner[inside], item[inside]] = True
            self._place_known(known, closed, ranked[start:stop], scores[start:stop])
            self._place_popular(closed, ranked[start:stop], scores[start:stop])
        return ranked, scores

    def _top_of_one(self, history: Histories, now: int, k: int,
                    closed: npt.NDArray[np.bool_] | None) -> tuple[Rows, Floats]:
        """`top` for one customer, without matrices; `closed` (n_items,) are the items that it must not be given."""
        ranked, scores = np.full((1, k), -1, dtype=np.int64), np.full((1, k), -np.inf, dtype=np.float32)
        item, value = self.known_of_one(history, now)
        best = value > 0 if closed is None else (value > 0) & ~closed[item]
        item, value = item[best], value[best]
        if len(item) > k > 0:
            best = value >= np.partition(value, len(value) - k)[len(value) - k]
            item, value = item[best], value[best]
        by = np.lexsort((self.place[item], -value))[:k]
        n = len(by)
        ranked[0, :n], scores[0, :n] = item[by], value[by]
        if n < k:
            shut = 0 if closed is None else int(np.count_nonzero(closed))
            first = self.order[:k + shut]
            open_ = first if closed is None else first[~closed[first]]
            rest = open_[~np.isin(open_, ranked[0, :n])][:k - n] if n else open_[:k]
            ranked[0, n:n + len(rest)], scores[0, n:n + len(rest)] = rest, self.floor()[rest]
        return ranked, scores

    def _place_known(self, known: Any, closed: npt.NDArray[np.bool_], ranked: Rows, scores: Floats) -> None:
        """Write each row's best known items into `ranked` and `scores` (c, k) and close them."""
        row = np.repeat(np.arange(len(closed)), np.diff(known.indptr))
        value = np.where(closed[row, known.indices], np.float32(0), known.data)
        best = (value > 0) & at_least_kth(known.indptr, value, ranked.shape[1])
        row, item, value = row[best], known.indices[best], value[best]
        by = np.lexsort((self.place[item], -value, row))
        row, item, value = row[by], item[by], value[by]
        at = np.arange(len(row)) - np.searchsorted(row, row, side="left")
        fits = at < ranked.shape[1]
        ranked[row[fits], at[fits]], scores[row[fits], at[fits]] = item[fits], value[fits]
        closed[row, item] = True

    def _place_popular(self, closed: npt.NDArray[np.bool_], ranked: Rows, scores: Floats) -> None:
        """Fill what is left of `ranked` and `scores` (c, k) with the open items in the order of `popularity`."""
        short = np.flatnonzero((ranked < 0).any(axis=1))
        if not len(short):
            return
        reach = min(self.n_items, ranked.shape[1] + int(closed[short].sum(axis=1).max()))
        first = self.order[:reach]
        open_ = ~closed[np.ix_(short, first)]
        nth = np.cumsum(open_, axis=1)
        held = (ranked[short] >= 0).sum(axis=1)
        line, column = np.nonzero(open_ & (nth <= (ranked.shape[1] - held)[:, None]))
        at = held[line] + nth[line, column] - 1
        ranked[short[line], at] = first[column]
        scores[short[line], at] = self.floor()[first[column]]


def at_least_kth(indptr: npt.NDArray[Any], value: Floats, k: int) -> npt.NDArray[np.bool_]:
    """Which entries of compressed rows are at least the k-th largest of their row; ties with the k-th all stay.

    >>> at_least_kth(np.array([0, 3, 4]), np.array([3, 1, 2, 1], np.float32), 2).tolist()
    [True, False, True, True]
    """
    sizes = np.diff(indptr)
    least = np.full(len(sizes), -np.inf, dtype=np.float32)
    for row in np.flatnonzero(sizes > k).tolist():
        part = value[indptr[row]:indptr[row + 1]]
        least[row] = np.partition(part, len(part) - k)[len(part) - k]
    return np.asarray(value >= np.repeat(least, sizes), dtype=bool)


def loudness(histories: Histories, recency: float, last: int) -> Floats:
    """What each line of a history counts, (lines,): its weight x recency^(baskets since), 0 past the `last` baskets."""
    ends = histories.indptr[1:][histories.owner]  # one past the customer's last line
    new = np.zeros(len(histories.item), dtype=np.int64)
    new[1:] = (histories.basket[1:] != histories.basket[:-1]) | (histories.owner[1:] != histories.owner[:-1])
    number = np.cumsum(new)
    since = number[ends - 1] - number
    loud = histories.weight * recency ** since.astype(np.float64)
    return np.where(since < last, loud, 0.0).astype(np.float32)


def shares_of(items: Rows, parts: npt.NDArray[Any]) -> Because:
    """The positive parts of a score over their sum, largest first; ties by item row.

    >>> shares_of(np.array([7, 3, 5]), np.array([1.0, -2.0, 3.0]))
    [(5, 0.75), (7, 0.25)]
    """
    held = np.flatnonzero(parts > 0)
    total = parts[held].sum()
    by = held[np.lexsort((items[held], -parts[held]))]
    return [(int(items[at]), float(parts[at] / total)) for at in by]


def checked(params: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Hold the numbers of a setting within their limits (both ends allowed).

    Raises:
        BadInput: A number lies outside.
    """
    for name, (low, high) in limits.items():
        value = getattr(params, name)
        if value is not None and not low <= value <= high:
            raise BadInput(say("{name} is {value}; it must lie between {low} and {high}.", name=name, value=value,
                               low=low, high=high))


def _shut(n_items: int, exclude: ItemSets | None,
          allowed: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
    """The items that one customer must not be given, (n_items,); None where there is no such item."""
    if exclude is None:
        return None if allowed is None else ~allowed
    closed = np.zeros(n_items, dtype=bool) if allowed is None else ~allowed
    closed[exclude.item[(exclude.item >= 0) & (exclude.item < n_items)]] = True
    return closed


def _lines_of(sets: ItemSets, start: int, stop: int) -> tuple[Rows, Rows]:
    """The customers' places (from 0) and items of sets `start` … `stop` - 1."""
    ends = sets.indptr[start:stop + 1]
    return np.repeat(np.arange(stop - start), np.diff(ends)), sets.item[ends[0]:ends[-1]]


def _is_sorted(*columns: npt.NDArray[Any]) -> bool:
    """Whether lines stand in ascending order of these columns, the first one leading."""
    n = len(columns[0])
    equal = np.ones(max(0, n - 1), dtype=bool)
    for column in columns:
        if bool((equal & (column[1:] < column[:-1])).any()):
            return False
        equal &= column[1:] == column[:-1]
    return True
