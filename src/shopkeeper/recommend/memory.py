"""Histories of people in memory: flat arrays read from the log in one pass, and on top of them what came since.

What the log has got is held in a few runs of arrays, merged as they grow; only what no fold has stored yet is held
event by event. Whoever does not fit within the bounds is read from the log when asked about. What is given for a person
is equal to `inputs.read_history` over a log that holds the same events: the same lines in the same order. A visitor who
becomes known as a customer is that customer from the next `refresh` on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.recommend.inputs import FEW, WEIGHTS, few, people
from shopkeeper.recommend.past import HEAVY, Line, Lines, Made, Order, Past, merged
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.identity import FACTS as JOINS
from shopkeeper.warehouse.identity import Joined, whole_days

BATCH = 1 << 18       # lines read at a time
RUN = 1 << 19         # lines that are put in order at once when all is read
MOST_FRESH = 500_000  # rows of new segments that are taken in beside what is held; for more, all is read again
MOST_APART = 20_000   # people whose lines must be read from the log; for more, all is read again
MINUTE = 60_000_000   # microseconds
_EMPTY = (np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Bounds:
    """What is held in memory.

    Attributes:
        lines: Lines of all histories together; whoever was active last is held first.
        person_lines: Lines of one person; whoever has more is read from the log when asked about.
        cached_lines: Lines of histories that were put together, or read from the log, and may be asked about again.
        seen_share: When more than this share of `lines` has come on top of them, whoever was active longest ago is
            let go.
    """

    lines: int = 6_000_000
    person_lines: int = 2_000
    cached_lines: int = 400_000
    seen_share: float = 0.1


class Memory:
    """The histories of people, by pseudonym. Safe to use from several threads.

    Args:
        shop: Where they are read from; `refresh` takes a later view of it.
        bounds: What is held.

    Attributes:
        items: Item ids by their code; it only grows.
        whole: Whether the lines of everybody are in memory.
    """

    def __init__(self, shop: Shop, bounds: Bounds) -> None:
        self.bounds, self._shop = bounds, shop
        self._lock = threading.RLock()
        self.items: list[str] = []
        self._code: dict[str, int] = {}
        self._seen: dict[str, list[Line]] = {}    # person -> what came since, and is not known to be in the log
        self._waiting: dict[str, str] = {}        # the events of these -> person
        self._lately: frozenset[str] = frozenset()  # events that the newest fold stored: they may yet be told of
        self._outside: OrderedDict[str, list[Line]] = OrderedDict()  # read from the log for who is not held
        self._made: OrderedDict[str, Made] = OrderedDict()
        self._joined = Joined(shop.engine)
        self._also: dict[str, list[str]] = {}     # customer -> visitors who they are, held under their own ids
        self._apart: set[str] = set()             # people some of whose lines are held under somebody else
        self._cached = 0
        self._version = 0
        self._order = Order(np.zeros(0, np.int32), shop.config.gap_minutes * MINUTE)
        self._runs, self.whole = self._read(shop)  # the longest first; whether everybody is held
        self._runs = self._as_one(self._runs)

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def code(self, item: str) -> int:
        """The code of an item id, given to it here if it has none yet."""
        with self._lock:
            found = self._code.get(item)
            if found is None:
                found = self._code[item] = len(self.items)
                self.items.append(item)
            return found

    def saw(self, person: str, lines: Sequence[Line]) -> None:
        """Take what a person did just now; an event that is here already, or in the newest fold, changes nothing."""
        with self._lock:
            person = self._joined.owner(person) or person
            fresh = [line for line in lines if line.event_id not in self._waiting
                     and line.event_id not in self._lately]
            if not fresh:
                return
            for line in fresh:
                self.code(line.item)
            self._seen.setdefault(person, []).extend(fresh)
            self._waiting.update((line.event_id, person) for line in fresh)
            self._forget(person)

    def meant(self, names: Sequence[str]) -> list[str]:
        """These names, a visitor's replaced by the customer's where that is all one; each once."""
        return list(dict.fromkeys(self._joined.owner(name) or name for name in names))

    def holds(self, names: Iterable[str]) -> bool:
        """Whether the history of whoever is meant by these names can be given without reading the log."""
        with self._lock:
            for name in names:
                if not self._held(name) and name not in self._outside:
                    return False
                if self._known(name):
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
        if fresh is not None and sum(one.rows for one in fresh.manifest.segments) <= MOST_FRESH:
            self._arrived(shop, fresh)
            if len(self) > (1 + self.bounds.seen_share) * self.bounds.lines:
                self._let_go()
            if len(self._apart) <= MOST_APART:
                return
        self._read_again(shop)

    def counts(self, cut: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The weighted count of lines of each item code since `cut`, and ever; whoever is not held is not counted."""
        with self._lock:
            runs, n = self._runs, len(self.items)
            seen = [line for lines in self._seen.values() for line in lines]
            item = np.asarray([self._code[line.item] for line in seen], dtype=np.int64)
        when = np.asarray([line.when for line in seen], dtype=np.int64)
        code = np.searchsorted(HEAVY, np.asarray([line.weight for line in seen], dtype=np.float32))
        counted = [np.zeros(n * len(HEAVY), dtype=np.int64) for _ in range(2)]
        for items, weights, times in ((item, code, when), *(cut_ for run in runs for cut_ in _portions(run))):
            cells, late = items.astype(np.int64) * len(HEAVY) + weights, times >= cut
            for total, part in zip(counted, (cells[late], cells), strict=True):
                total += np.bincount(part, minlength=len(total))
        strength = np.asarray(sorted(WEIGHTS.values()))
        recent, ever = (total.reshape(n, len(HEAVY)) @ strength for total in counted)
        return recent, ever

    # ---------------------------------------------------------------------------------------------------- inside

    def _held(self, name: str) -> bool:
        return name not in self._apart and (self.whole or any(run.row(name) >= 0 for run in self._runs))

    def _known(self, name: str) -> bool:
        return bool(self._seen.get(name) or self._outside.get(name) or self._there(name))

    def _there(self, name: str) -> list[tuple[Past, int]]:
        """Where the lines of somebody are held: runs and rows in them."""
        if not self._held(name):
            return []
        names = [name, *self._also.get(name, ())]
        return [(run, row) for run in self._runs for one in names if (row := run.row(one)) >= 0]

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
        seen = self._seen.get(name, [])
        there = self._there(name)
        if len(there) == 1 and not seen:
            run, row = there[0]
            return run.made(row)
        outside = self._outside.get(name, [])
        ids = {line.event_id for line in outside}
        before = [line for run, row in there for line in run.lines(row, self.items)] if there else outside
        made = self._as_arrays([*before, *(line for line in seen if line.event_id not in ids)])
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
        events = shop.events_of([name], FEW)
        mine = events.filter((events.customer_id == name) | (events.customer_id.isnull()
                                                             & (events.anonymous_id == name)))
        return _lines(shop.engine, few(mine, shop.config.roles)).get(name, [])

    def _arrived(self, shop: Shop, fresh: Engine) -> None:
        """Take what the log has got: what was seen before is settled, what others brought is new."""
        stored = frozenset(fresh.run(fresh.events().select("event_id"))["event_id"].to_pylist())
        table = fresh.run(few(shop.events(engine=fresh), shop.config.roles))
        touched = table["person"].unique()
        joined = Joined(shop.engine) if shop.engine.manifest.tables.get(JOINS) != self._joined.file else self._joined
        moved, apart = self._changed(shop, fresh, joined)
        names = touched.take(pc.sort_indices(touched))
        chosen = _encoded(names)
        if not self.whole:
            held = np.logical_or.reduce([np.zeros(len(chosen), dtype=bool), *(run.rows(chosen) for run in self._runs)])
            names, chosen = names.filter(pa.array(held)), chosen[held]
        lines = self._taken(table, names)
        runs = self._with(Past.of(chosen, lines, self._ordered())) if len(lines.when) else self._runs
        with self._lock:
            self._shop, self._version, self._runs, self._joined = shop, self._version + 1, runs, joined
            for visitor, customer in moved:
                self._also.setdefault(customer, []).append(visitor)
            self._apart |= apart
            self._settle(stored, {*touched.to_pylist(), *apart, *(name for pair in moved for name in pair)})
            self._hand_over()

    def _changed(self, shop: Shop, fresh: Engine, joined: Joined) -> tuple[list[tuple[str, str]], set[str]]:
        """Visitors whose lines are a customer's from now on, and people whose lines must be read from the log.

        On a shared device, the events of a day say whose the others of that day are.
        """
        if joined.file is None and self._joined.file is None:
            return [], set()
        moved, apart = joined.since(self._joined)
        if not self.whole:
            moved, apart = [], apart.union(name for pair in moved for name in pair)
        rows = fresh.events()
        seen = fresh.run(rows.group_by("anonymous_id").aggregate(first=rows.ts.min()))
        shared = joined.shared(seen["anonymous_id"].drop_null().to_pylist())
        if shared:
            mine = seen.filter(pc.is_in(seen["anonymous_id"], pa.array(shared)))
            first = whole_days(pc.min(mine["first"].cast(pa.int64())).as_py())
            events = shop.events(first, joined=False)
            on = ibis.memtable(pa.table({"_on": pa.array(shared, pa.string())}))
            here = events.semi_join(on, [events.anonymous_id == on["_on"]])
            apart = apart.union(shared, shop.engine.run(here.select("customer_id").distinct())[
                "customer_id"].drop_null().to_pylist())
        return moved, apart

    def _hand_over(self) -> None:
        """What was seen of a visitor who is known as a customer by now is the customer's."""
        for visitor in [name for name in self._seen if self._joined.owner(name)]:
            customer, lines = self._joined.owner(visitor) or visitor, self._seen.pop(visitor)
            self._seen.setdefault(customer, []).extend(lines)
            self._waiting.update((line.event_id, customer) for line in lines)
            self._forget(customer)

    def _with(self, run: Past) -> tuple[Past, ...]:
        """The runs with a further one: each is more than twice as long as the next."""
        runs = [*self._runs, run]
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            runs[-2:] = [merged(runs[-2:], self._ordered())]
        return tuple(runs)

    def _settle(self, stored: frozenset[str], touched: Iterable[str]) -> None:
        """Let go of what is in the log now, and of what was put together without it."""
        self._lately = stored
        gone = [event_id for event_id in self._waiting if event_id in stored]
        people_ = {self._waiting.pop(event_id) for event_id in gone}
        for person in people_:
            left = [line for line in self._seen.pop(person, []) if line.event_id not in stored]
            if left:
                self._seen[person] = left
        for person in people_.union(touched):
            outside = self._outside.pop(person, None)
            self._cached -= 0 if outside is None else len(outside) + 1
            self._forget(person)

    def _let_go(self) -> None:
        """Hold no more lines than the bounds allow: who was active longest ago is read from the log from now on."""
        runs = self._runs
        people_, place = np.unique(np.concatenate([run.people for run in runs]), return_inverse=True)
        n = np.bincount(place, np.concatenate([np.diff(run.indptr) for run in runs])).astype(np.int64)
        last = np.full(len(people_), np.iinfo(np.int64).min)
        np.maximum.at(last, place, np.concatenate([run.when[run.indptr[1:] - 1] for run in runs]))
        kept = people_[_fitting(n, last, self.bounds)]
        runs = tuple(run.of_some(kept) for run in runs)
        with self._lock:
            self._runs, self.whole, self._version = runs, False, self._version + 1
            for customer, visitors in self._also.items():  # some of their lines may be gone
                self._apart.update((customer, *visitors))
                self._forget(customer)
            self._also.clear()

    def _read_again(self, shop: Shop) -> None:
        """Read everything anew; what the log has is no longer kept beside it."""
        runs, whole = self._read(shop)
        stored, joined = self._stored(shop), Joined(shop.engine)
        with self._lock:
            self._shop, self._runs, self.whole, self._joined = shop, runs, whole, joined
            self._also.clear()
            self._apart.clear()
            self._settle(self._lately | stored, ())
            self._hand_over()
            self._cached, self._version = 0, self._version + 1
            self._made.clear()
            self._outside.clear()
        whole_ = self._as_one(runs)  # the old ones are gone by now
        with self._lock:
            self._runs = whole_

    def _stored(self, shop: Shop) -> frozenset[str]:
        """Which of the waiting events the log has."""
        with self._lock:
            waiting = pa.array(list(self._waiting), pa.string())
            first = min((line.when for lines in self._seen.values() for line in lines), default=0)
        found: set[str] = set()
        if len(waiting):
            everything = shop.engine.events(first, shop.until)  # a bot's event is in the log, too
            for batch in shop.engine.batches(everything.select("event_id"), BATCH):
                ids = batch["event_id"]
                found.update(ids.filter(pc.is_in(ids, waiting)).to_pylist())
        return frozenset(found)

    def _read(self, shop: Shop) -> tuple[tuple[Past, ...], bool]:
        """Read everybody who fits, in one pass over their lines; and whether that is all."""
        engine = type(shop.engine)(shop.path, shop.manifest)
        lines = few(shop.events(engine=engine), shop.config.roles)
        chosen, whole = _chosen(engine.run(people(lines)), self.bounds)
        names, runs, parts = _encoded(chosen), list[Past](), list[Lines]()
        for batch in engine.batches(lines.drop("event_id"), BATCH):
            parts.append(self._taken(batch, chosen))
            if sum(len(part.when) for part in parts) >= RUN:
                runs.append(self._run(names, Lines.joined(parts)))
                parts.clear()
        runs.append(self._run(names, Lines.joined(parts)))
        return tuple(runs), whole

    def _as_one(self, runs: tuple[Past, ...]) -> tuple[Past, ...]:
        return runs if len(runs) == 1 else (merged(runs, self._ordered()),)

    def _run(self, names: npt.NDArray[Any], lines: Lines) -> Past:
        """A run of the lines of some of these people."""
        here, place = np.unique(lines.person, return_inverse=True)
        some = Lines(place.astype(np.int32), lines.item, lines.when, lines.weight, lines.given)
        return Past.of(names[here], some, self._ordered())

    def _taken(self, table: Any, chosen: Any) -> Lines:
        """The lines of these people, of a table or batch of `few`; `chosen` are Arrow strings, ascending."""
        person = pc.index_in(table["person"], chosen)
        if person.null_count:
            held = pc.is_valid(person)
            table, person = table.filter(held), person.filter(held)
        item = _whole(table["item_id"]).dictionary_encode()
        codes = np.asarray([self.code(name) for name in item.dictionary.to_pylist()], dtype=np.int32)
        weight = np.searchsorted(HEAVY, np.asarray(_whole(table["weight"]), np.float32)).astype(np.uint8)
        return Lines(np.asarray(_whole(person), dtype=np.int32),
                     codes[np.asarray(item.indices)] if len(codes) else codes,
                     np.asarray(_whole(table["ts"]).cast(pa.int64()), dtype=np.int64), weight, _whole(table["basket"]))

    def _ordered(self) -> Order:
        """How lines are put in order, with every item that has a code."""
        with self._lock:
            items = list(self.items) if len(self.items) != len(self._order.rank) else None
        if items is not None:
            rank = np.empty(len(items), dtype=np.int32)
            rank[np.asarray(pc.sort_indices(Vocabulary(items).arrow), dtype=np.int64)] = np.arange(len(rank))
            self._order = Order(rank, self._order.gap)
        return self._order


def _whole(column: Any) -> Any:
    """A column of a table or batch as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _encoded(names: Any) -> npt.NDArray[Any]:
    """Arrow strings as UTF-8 of a fixed width."""
    return np.asarray(_whole(names).to_pylist() or [b""], dtype=object).astype(bytes)[:len(names)]


def _portions(run: Past, most: int = 1 << 20) -> Iterable[tuple[npt.NDArray[Any], ...]]:
    """The items, weights and times of a run, not too many at a time."""
    for first in range(0, len(run), most):
        part = slice(first, first + most)
        yield run.item[part], run.weight[part], run.when[part]


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
    rows = _fitting(table["n"].to_numpy(), table["last"].cast(pa.int64()).to_numpy(), bounds)
    names = table["person"].combine_chunks().take(pa.array(rows))
    return names.take(pc.sort_indices(names)), len(rows) == len(table)


def _fitting(n: npt.NDArray[np.int64], last: npt.NDArray[np.int64], bounds: Bounds) -> npt.NDArray[np.int64]:
    """Rows (ascending) of the people who fit, by their numbers of lines and the times of their last, latest first."""
    order = np.argsort(-last, kind="stable")
    order = order[n[order] <= bounds.person_lines]
    return np.sort(order[np.cumsum(n[order]) <= bounds.lines])
