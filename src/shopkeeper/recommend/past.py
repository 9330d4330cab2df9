"""Histories of many people as flat arrays: made from lines in any order, merged with later ones, given one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.sessions import sessions_of
from shopkeeper.recommend.inputs import WEIGHTS

HEAVY = np.asarray(sorted(WEIGHTS.values()), dtype=np.float32)  # weight of a line by its code
CHUNK = 1 << 18       # lines that are put in order at a time: what merging takes beside its result is bounded by it
_SILENT = 1 << 31     # baskets that were cut by silence are numbered from minus this


class Line(NamedTuple):
    """One thing that a person did with an item. In this order of fields lines are sorted, once `basket` is derived.

    `when` is microseconds UTC; `basket` is the order or session that was given, None where none was.
    """

    when: int
    basket: str | None
    item: str
    weight: float
    event_id: str


@dataclass(frozen=True)
class Made:
    """A history as arrays (n,), oldest first: item codes, microseconds UTC, weights, and baskets as numbers."""

    item: npt.NDArray[np.int32]
    when: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    basket: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.when)


@dataclass(frozen=True)
class Order:
    """How lines are put in order.

    Attributes:
        rank: (codes,) the place of each item code in the order of ids.
        gap: Silence after which a new session begins, microseconds.
    """

    rank: npt.NDArray[np.int32]
    gap: int


@dataclass(frozen=True)
class Lines:
    """Lines in any order.

    Attributes:
        person: (n,) places among some people.
        item: (n,) codes into the items of the memory.
        when: (n,) microseconds UTC.
        weight: (n,) codes into `HEAVY`.
        given: (n,) Arrow strings: the order or session that was given; null where none was.
    """

    person: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    when: npt.NDArray[np.int64]
    weight: npt.NDArray[np.uint8]
    given: Any

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Several as one."""
        return cls(np.concatenate([np.zeros(0, np.int32), *(part.person for part in parts)]),
                   np.concatenate([np.zeros(0, np.int32), *(part.item for part in parts)]),
                   np.concatenate([np.zeros(0, np.int64), *(part.when for part in parts)]),
                   np.concatenate([np.zeros(0, np.uint8), *(part.weight for part in parts)]),
                   pa.concat_arrays([pa.array([], pa.string()), *(part.given for part in parts)]))


@dataclass(frozen=True)
class Past:
    """Histories as of one version of the log, or of a part of it.

    Attributes:
        people: (p,) pseudonyms in UTF-8, ascending.
        indptr: (p + 1,) where each person's lines begin.
        item: (lines,) codes into the items of the memory.
        when: (lines,) microseconds UTC.
        weight: (lines,) codes into `HEAVY`.
        basket: (lines,) negative where it was cut by silence, else a place among `given`; in order within a person.
        given: Arrow strings: the orders and sessions that were given, by person and ascending.
    """

    people: npt.NDArray[Any]
    indptr: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    when: npt.NDArray[np.int64]
    weight: npt.NDArray[np.uint8]
    basket: npt.NDArray[np.int32]
    given: Any

    def __len__(self) -> int:
        return len(self.when)

    @classmethod
    def of(cls, people: npt.NDArray[Any], lines: Lines, order: Order) -> Past:
        """Put lines in the order of `inputs.read_history`, person by person.

        Args:
            people: (p,) pseudonyms in UTF-8, ascending.
            lines: Theirs.
            order: How.
        """
        silent = sessions_of(lines.person.astype(np.int64), lines.when, order.gap)
        code, names = _named(lines.person, lines.given)
        basket = np.where(code < 0, silent - _SILENT, code).astype(np.int32)
        by = np.lexsort((lines.weight, order.rank[lines.item], basket, lines.when, lines.person))
        indptr = np.searchsorted(lines.person[by], np.arange(len(people) + 1))
        return cls(people, indptr.astype(np.int64), lines.item[by], lines.when[by], lines.weight[by], basket[by], names)

    def row(self, person: str) -> int:
        """The place of a person; -1 where they are not here."""
        name = person.encode()
        at = int(np.searchsorted(self.people, np.bytes_(name))) if len(self.people) else 0
        return at if at < len(self.people) and self.people[at] == name else -1

    def rows(self, people: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(n,) whether each of these people is here."""
        at = np.searchsorted(self.people, people)
        inside = at < len(self.people)
        inside[inside] = self.people[at[inside]] == people[inside]
        return inside

    def made(self, row: int) -> Made:
        """The history of a person, as it stands."""
        part = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        basket = self.basket[part].astype(np.int64) + _SILENT
        return Made(self.item[part], self.when[part], HEAVY[self.weight[part]], basket)

    def lines(self, row: int, items: Sequence[str]) -> list[Line]:
        """The same, taken apart."""
        part = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        return [Line(when, name, items[item], weight, "") for when, name, item, weight in zip(
            self.when[part].tolist(), self._given(part).to_pylist(), self.item[part].tolist(),
            HEAVY[self.weight[part]].tolist(), strict=True)]

    def part(self, first: int, last: int, place: npt.NDArray[np.int64]) -> Lines:
        """The lines of the people from row `first` to before `last`, whose places among others are given (p,)."""
        part = slice(int(self.indptr[first]), int(self.indptr[last]))
        person = np.repeat(place[first:last], np.diff(self.indptr[first:last + 1])).astype(np.int32)
        return Lines(person, self.item[part], self.when[part], self.weight[part], self._given(part))

    def of_some(self, people: npt.NDArray[Any]) -> Past:
        """The histories of these people only (q,), ascending; who is not here stays away."""
        at = np.searchsorted(people, self.people)
        held = people[np.minimum(at, len(people) - 1)] == self.people if len(people) else np.zeros(len(at), bool)
        counts = np.diff(self.indptr)
        lines = np.repeat(held, counts)
        basket = self.basket[lines]
        used, place = np.unique(basket[basket >= 0], return_inverse=True)
        basket[basket >= 0] = place
        indptr = np.concatenate([[0], np.cumsum(counts[held])]).astype(np.int64)
        return Past(self.people[held], indptr, self.item[lines], self.when[lines], self.weight[lines], basket,
                    self.given.take(pa.array(used)))

    def _given(self, part: slice) -> Any:
        basket = self.basket[part]
        return self.given.take(pa.array(np.maximum(basket, 0), mask=basket < 0))


def _named(person: npt.NDArray[np.int32], given: Any) -> tuple[npt.NDArray[np.int64], Any]:
    """(n,) the number of each line's given basket, in order of person and name, -1 where none is; and those names."""
    coded = given.dictionary_encode()
    by = np.asarray(pc.sort_indices(coded.dictionary), dtype=np.int64)
    rank = np.empty(len(by), dtype=np.int64)
    rank[by] = np.arange(len(by))
    index = np.asarray(pc.fill_null(coded.indices, -1), dtype=np.int64)
    held, number = index >= 0, np.full(len(index), -1, dtype=np.int64)
    pairs, number[held] = np.unique(person[held].astype(np.int64) * max(1, len(by)) + rank[index[held]],
                                    return_inverse=True)
    return number, coded.dictionary.take(pa.array(by[pairs % max(1, len(by))]))


def merged(parts: Sequence[Past], order: Order) -> Past:
    """Several as one, as if all their lines had been put in order together; a chunk of people at a time."""
    people = np.unique(np.concatenate([part.people for part in parts]))
    place = [np.searchsorted(people, part.people) for part in parts]
    counts = np.zeros(len(people), dtype=np.int64)
    for part, at in zip(parts, place, strict=True):
        counts[at] += np.diff(part.indptr)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    n = int(indptr[-1])
    whole = Past(people, indptr, np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.uint8),
                 np.empty(n, np.int32), None)
    names: list[Any] = [pa.array([], pa.string())]
    known = first = 0
    while first < len(people):
        last = min(len(people), max(first + 1, int(np.searchsorted(indptr, indptr[first] + CHUNK))))
        ends = [np.searchsorted(at, [first, last]) for at in place]
        lines = Lines.joined([part.part(int(low), int(high), at - first) for part, (low, high), at in zip(
            parts, ends, place, strict=True)])
        some, inside = Past.of(people[first:last], lines, order), slice(int(indptr[first]), int(indptr[last]))
        whole.item[inside], whole.when[inside], whole.weight[inside] = some.item, some.when, some.weight
        whole.basket[inside] = np.where(some.basket < 0, some.basket, some.basket + known)
        names.append(some.given)
        known, first = known + len(some.given), last
    return Past(people, indptr, whole.item, whole.when, whole.weight, whole.basket, pa.concat_arrays(names))
