"""Histories of people in memory: flat arrays read from the log in one pass, and on top of them what came since.

Whoever does not fit within the bounds is read from the log when asked about. What is given for a person is equal to
`inputs.read_history` over a log that holds the same events: the same lines in the same order.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.sessions import sessions_of
from shopkeeper.recommend.inputs import WEIGHTS, few, people
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import Engine

BATCH = 1 << 17  # lines read at a time
MINUTE = 60_000_000  # microseconds
HEAVY = np.asarray(sorted(WEIGHTS.values()), dtype=np.float32)  # weight of a line by its code
_EMPTY = (np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Bounds:
    """What is held in memory.

    Attributes:
        lines: Lines of all histories together; whoever was active last is held first.
        person_lines: Lines of one person; whoever has more is read from the log when asked about.
        cached_lines: Lines of histories that were put together, or read from the log, and may be asked about again.
        seen_share: When what came since is more than this share of what is held, all is read from the log again.
    """

    lines: int = 4_000_000
    person_lines: int = 2_000
    cached_lines: int = 400_000
    seen_share: float = 0.1


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
class Past:
    """Histories as of one version of the log.

    Attributes:
        people: (p,) pseudonyms in UTF-8, ascending.
        indptr: (p + 1,) where each person's lines begin.
        item: (lines,) codes into the items of the memory.
        when: (lines,) microseconds UTC.
        weight: (lines,) codes into `HEAVY`.
        basket: (lines,) numbers; from `silent` on they stand for the given baskets.
        silent: Baskets that were cut by silence.
        given: The orders and sessions that were given, ascending.
        whole: Whether everybody is held, so that who is not here has no history.
    """

    people: npt.NDArray[Any]
    indptr: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    when: npt.NDArray[np.int64]
    weight: npt.NDArray[np.uint8]
    basket: npt.NDArray[np.int32]
    silent: int
    given: Any
    whole: bool

    def row(self, person: str) -> int:
        """The place of a person; -1 where they are not held."""
        name = person.encode()
        at = int(np.searchsorted(self.people, np.bytes_(name))) if len(self.people) else 0
        return at if at < len(self.people) and self.people[at] == name else -1

    def made(self, row: int) -> Made:
        """The history of a person, as it stands."""
        part = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        return Made(self.item[part], self.when[part], HEAVY[self.weight[part]], self.basket[part].astype(np.int64))

    def lines(self, row: int, items: Sequence[str]) -> list[Line]:
        """The same, taken apart."""
        part = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        basket = self.basket[part].astype(np.int64) - self.silent
        given = self.given.take(pa.array(np.maximum(basket, 0), mask=basket < 0)).to_pylist()
        return [Line(when, name, items[item], weight, "") for when, name, item, weight in zip(
            self.when[part].tolist(), given, self.item[part].tolist(), HEAVY[self.weight[part]].tolist(), strict=True)]


class Memory:
    """The histories of people, by pseudonym. Safe to use from several threads.

    Args:
        shop: Where they are read from; `refresh` takes a later view of it.
        bounds: What is held.

    Attributes:
        items: Item ids by their code; it only grows.
    """

    def __init__(self, shop: Shop, bounds: Bounds) -> None:
        self.bounds, self._shop = bounds, shop
        self._lock = threading.RLock()
        self.items: list[str] = []
        self._code: dict[str, int] = {}
        self._seen: dict[str, list[Line]] = {}    # person -> what came since; may be in the log already, or not yet
        self._waiting: dict[str, str] = {}        # event that is not known to be in the log -> person
        self._settled = 0                         # lines of `_seen` that are
        self._outside: OrderedDict[str, list[Line]] = OrderedDict()  # read from the log for who is not held
        self._made: OrderedDict[str, Made] = OrderedDict()
        self._cached = 0
        self._version = 0
        self._past = self._read(shop)

    def __len__(self) -> int:
        return len(self._past.when)

    def code(self, item: str) -> int:
        """The code of an item id, given to it here if it has none yet."""
        with self._lock:
            found = self._code.get(item)
            if found is None:
                found = self._code[item] = len(self.items)
                self.items.append(item)
            return found

    def saw(self, person: str, lines: Sequence[Line]) -> None:
        """Take what a person did just now. The same event twice counts once as long as it is not known to be stored."""
        with self._lock:
            fresh = [line for line in lines if line.event_id not in self._waiting]
            if not fresh:
                return
            for line in fresh:
                self.code(line.item)
            self._seen.setdefault(person, []).extend(fresh)
            self._waiting.update((line.event_id, person) for line in fresh)
            self._forget(person)

    def holds(self, names: Iterable[str]) -> bool:
        """Whether the history of whoever is meant by these names can be given without reading the log."""
        with self._lock:
            for name in names:
                if not self._held(name) and name not in self._outside:
                    return False
                if self._line_count(name):
                    return True
            return True

    def find(self, names: Sequence[str]) -> tuple[Made, str]:
        """The history of the first of these names that has one, and that name; the first name where none has."""
        for name in names:
            made = self._history(name)
            if len(made):
                return made, name
        return Made(*_EMPTY), names[0]

    def refresh(self, shop: Shop, fresh: Engine | None) -> None:
        """Take a later view of the log.

        Args:
            shop: The view.
            fresh: An engine over exactly what came since the last one; None where that cannot be told: then all is
                read again.
        """
        arrived = None if fresh is None else _lines(fresh, few(fresh.events(), shop.config.roles))
        if arrived is not None:
            self._arrived(shop, arrived)
        if arrived is None or self._settled > max(20_000, self.bounds.seen_share * len(self._past.when)):
            past, stored = self._read(shop), self._stored(shop)
            with self._lock:
                self._shop, self._past = shop, past
                self._keep_only_waiting(stored)

    @property
    def whole(self) -> bool:
        """Whether the lines of everybody are in memory."""
        return self._past.whole

    def counts(self, cut: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The weighted count of lines of each item code since `cut`, and ever; whoever is not held is not counted."""
        with self._lock:
            past, n = self._past, len(self.items)
            seen = [line for lines in self._seen.values() for line in lines]
            item = np.asarray([self._code[line.item] for line in seen], dtype=np.int64)
        when = np.asarray([line.when for line in seen], dtype=np.int64)
        code = np.searchsorted(HEAVY, np.asarray([line.weight for line in seen], dtype=np.float32))
        kinds = len(HEAVY)
        cells = [past.item.astype(np.int64) * kinds + past.weight, item * kinds + code]
        late = [cells[0][past.when >= cut], cells[1][when >= cut]]
        strength = np.asarray(sorted(WEIGHTS.values()))
        recent, ever = (
            np.bincount(np.concatenate(parts), minlength=n * kinds).reshape(n, kinds) @ strength
            for parts in (late, cells))
        return recent, ever

    # ---------------------------------------------------------------------------------------------------- inside

    def _held(self, name: str) -> bool:
        return self._past.whole or self._past.row(name) >= 0

    def _line_count(self, name: str) -> int:
        return len(self._seen.get(name, ())) + len(self._outside.get(name, ())) + int(self._past.row(name) >= 0)

    def _history(self, name: str) -> Made:
        while True:
            with self._lock:
                if name in self._made:
                    self._made.move_to_end(name)
                    return self._made[name]
                if self._held(name) or name in self._outside:
                    return self._put_together(name)
                version, shop = self._version, self._shop
            lines = self._from_log(shop, name)
            with self._lock:
                if version == self._version:  # else the log was read as it stood before
                    self._outside[name] = lines
                    made = self._put_together(name)
                    self._count(len(lines))
                    return made

    def _put_together(self, name: str) -> Made:
        row, seen = self._past.row(name), self._seen.get(name, [])
        if row >= 0 and not seen:
            return self._past.made(row)
        known = self._outside.get(name, [])
        there = {line.event_id for line in known}
        before = self._past.lines(row, self.items) if row >= 0 else known
        made = self._as_arrays([*before, *(line for line in seen if line.event_id not in there)])
        self._made[name] = made
        self._count(len(made))
        return made

    def _as_arrays(self, lines: list[Line]) -> Made:
        """Sessions cut by silence where none is given, then all in order of time, basket and item."""
        gap = self._shop.config.gap_minutes * MINUTE
        lines.sort(key=lambda line: line.when)
        number, before, named = 0, lines[0].when if lines else 0, []
        for when, basket, item, weight, _ in lines:
            number, before = number + (when - before > gap), when
            named.append((when, f"\x1f{number}" if basket is None else basket, item, weight))
        named.sort()
        baskets: dict[str, int] = {}
        columns = [(self.code(item), when, weight, baskets.setdefault(basket, len(baskets)))
                   for when, basket, item, weight in named]
        if not columns:
            return Made(*_EMPTY)
        items, times, weights, numbers = zip(*columns, strict=True)
        return Made(np.asarray(items, np.int32), np.asarray(times, np.int64), np.asarray(weights, np.float32),
                    np.asarray(numbers, np.int64))

    def _count(self, lines: int) -> None:
        """Keep within the bound what may be asked about again."""
        self._cached += lines + 1
        while self._cached > self.bounds.cached_lines and (self._made or self._outside):
            cache: OrderedDict[str, Any] = self._made if self._made else self._outside
            self._cached -= len(cache.popitem(last=False)[1]) + 1

    def _forget(self, name: str) -> None:
        made = self._made.pop(name, None)
        if made is not None:
            self._cached -= len(made) + 1

    def _from_log(self, shop: Shop, name: str) -> list[Line]:
        events = shop.events()
        mine = events.filter((events.customer_id == name) | (events.customer_id.isnull()
                                                             & (events.anonymous_id == name)))
        return _lines(shop.engine, few(mine, shop.config.roles)).get(name, [])

    def _arrived(self, shop: Shop, arrived: Mapping[str, list[Line]]) -> None:
        """Take what the log has got: what was seen before is settled, what others brought is new."""
        with self._lock:
            self._shop, self._version = shop, self._version + 1
            for person, lines in arrived.items():
                self._settle(person, lines)

    def _settle(self, person: str, lines: list[Line]) -> None:
        known = {line.event_id for line in lines if self._waiting.pop(line.event_id, None) is not None}
        outside = self._outside.pop(person, None)
        self._cached -= 0 if outside is None else len(outside) + 1
        self._forget(person)
        if self._held(person):
            fresh = [line for line in lines if line.event_id not in known]
            for line in fresh:
                self.code(line.item)
            self._seen.setdefault(person, []).extend(fresh)
            self._settled += len(lines)
            return
        rest = [line for line in self._seen.pop(person, []) if line.event_id not in known]
        if rest:
            self._seen[person] = rest

    def _keep_only_waiting(self, stored: frozenset[str]) -> None:
        """After all was read: what the log has is no longer kept beside it."""
        for event_id in stored:
            self._waiting.pop(event_id, None)
        kept = {person: [line for line in lines if line.event_id in self._waiting]
                for person, lines in self._seen.items()}
        self._seen = {person: lines for person, lines in kept.items() if lines}
        self._settled, self._cached, self._version = 0, 0, self._version + 1
        self._made.clear()
        self._outside.clear()

    def _stored(self, shop: Shop) -> frozenset[str]:
        """Which of the waiting events the log has."""
        with self._lock:
            waiting = list(self._waiting)
            first = min((line.when for lines in self._seen.values() for line in lines), default=0)
        if not waiting:
            return frozenset()
        events = shop.events(first)
        found = shop.engine.run(events.filter(events.event_id.isin(waiting)).select("event_id").distinct())
        return frozenset(found["event_id"].to_pylist())

    def _read(self, shop: Shop) -> Past:
        """Read everybody who fits, in one pass over their lines."""
        engine = type(shop.engine)(shop.path, shop.manifest, memory="400MB")
        lines = few(engine.events(None, shop.until), shop.config.roles)
        chosen, whole = _chosen(engine.run(people(lines)), self.bounds)
        columns = _Columns(chosen, self)
        for batch in engine.batches(lines, BATCH):
            columns.add(batch)
        return columns.past(shop.config.gap_minutes * MINUTE, whole)


def _lines(engine: Engine, expression: Any) -> dict[str, list[Line]]:
    """Person -> lines of an expression of `few`."""
    table = engine.run(expression)
    found: dict[str, list[Line]] = {}
    columns = (table[name].to_pylist() for name in ("person", "basket", "item_id", "weight", "event_id"))
    for when, person, basket, item, weight, event_id in zip(
            table["ts"].cast(pa.int64()).to_pylist(), *columns, strict=True):
        found.setdefault(person, []).append(Line(when, basket, item, float(np.float32(weight)), event_id))
    return found


def _chosen(table: pa.Table, bounds: Bounds) -> tuple[Any, bool]:
    """The people to hold, ascending: those with few enough lines, the lately active first. And whether that is all."""
    n = table["n"].to_numpy()
    order = np.argsort(-table["last"].cast(pa.int64()).to_numpy(), kind="stable")
    order = order[n[order] <= bounds.person_lines]
    order = order[np.cumsum(n[order]) <= bounds.lines]
    names = table["person"].combine_chunks().take(pa.array(np.sort(order)))
    return names.take(pc.sort_indices(names)), len(order) == len(n)


@dataclass
class _Columns:
    """Lines on their way into flat arrays."""

    chosen: Any
    memory: Memory
    parts: list[tuple[Any, ...]] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)

    def add(self, batch: Any) -> None:
        """Take the lines of those who are held."""
        person = pc.index_in(batch["person"], self.chosen)
        if person.null_count:
            held = pc.is_valid(person)
            batch, person = batch.filter(held), person.filter(held)
        item = batch["item_id"].dictionary_encode()
        codes = np.asarray([self.memory.code(name) for name in item.dictionary.to_pylist()], dtype=np.int32)
        weight = np.searchsorted(HEAVY, np.asarray(batch["weight"].to_numpy(zero_copy_only=False), np.float32))
        self.parts.append((np.asarray(person, dtype=np.int32), codes[np.asarray(item.indices)] if len(codes) else codes,
                           np.asarray(batch["ts"].cast(pa.int64()), dtype=np.int64), weight.astype(np.uint8)))
        self.given.append(batch["basket"].dictionary_encode())

    def past(self, gap: int, whole: bool) -> Past:
        """Put them into the order of `inputs.read_history`, person by person."""
        kinds: tuple[Any, ...] = (np.int32, np.int32, np.int64, np.uint8)
        person, item, when, weight = (np.concatenate([np.zeros(0, kind), *(part[place] for part in self.parts)])
                                      for place, kind in enumerate(kinds))
        self.parts.clear()
        silent = sessions_of(person.astype(np.int64), when, gap)
        basket, given = self._baskets(silent)
        order = np.lexsort((self._rank()[item], basket, when, person))
        indptr = np.searchsorted(person[order], np.arange(len(self.chosen) + 1))
        return Past(np.asarray(self.chosen.to_pylist() or [b""], dtype=object).astype(bytes)[:len(self.chosen)],
                    indptr.astype(np.int64), item[order], when[order], weight[order], basket[order],
                    int(silent.max(initial=-1)) + 1, given, whole)

    def _baskets(self, silent: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], Any]:
        """The number of each line's basket: those cut by silence first, then the given ones in their order."""
        whole = pa.chunked_array([*self.given, pa.array([], pa.string()).dictionary_encode()]).combine_chunks()
        self.given.clear()
        names, code = whole.dictionary, whole.indices
        order = pc.sort_indices(names)
        rank = np.empty(len(names), dtype=np.int64)
        rank[np.asarray(order, dtype=np.int64)] = np.arange(len(names))
        number = np.asarray(pc.fill_null(code, -1), dtype=np.int64)
        first = int(silent.max(initial=-1)) + 1
        known = rank[number] if len(rank) else number
        return np.where(number < 0, silent, first + known).astype(np.int32), names.take(order)

    def _rank(self) -> npt.NDArray[np.int32]:
        """The place of each item code in the order of ids."""
        rank = np.empty(len(self.memory.items), dtype=np.int32)
        by = Vocabulary(self.memory.items).arrow
        rank[np.asarray(pc.sort_indices(by), dtype=np.int64)] = np.arange(len(rank))
        return rank
