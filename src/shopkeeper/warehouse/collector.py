"""What takes records at the entrance: judged, written to the journal, acknowledged; by `folding` they become segments.

A request is judged against the past (the index) and against what lies in the journal and is not folded yet (in memory).
It is acknowledged once a `flush` that took it has returned. When a flush fails, everything that is not durable fails
with it: a later record may have been called a duplicate of one that is not on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shopkeeper.errors import Backlog, BadInput, Damaged
from shopkeeper.events.entrance import Event, Plainly
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.schema import TABLES, Role
from shopkeeper.warehouse import journal as journals
from shopkeeper.warehouse.changes import Changes
from shopkeeper.warehouse.folding import said_of
from shopkeeper.warehouse.index import EventIndex, complete, event_keys, repaired
from shopkeeper.warehouse.journal import Arrived, Counts, Damage, Disk, Frame, Journal, Opened, Torn
from shopkeeper.warehouse.judging import Body, Read, Reader, Verdict, repeat
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import Store, held, make_folder, rotated
from shopkeeper.warehouse.taken import Names, Taken, Ticket
from shopkeeper.words import Sentence, say

__all__ = ["Arrived", "Collector", "Limits", "Pending", "Recovered", "Ticket", "Verdict"]


class OpenShop(Protocol):
    """What the collector needs of a shop."""

    @property
    def store(self) -> Store:
        """Its folder."""

    @property
    def config(self) -> Any:
        """Its settings; `roles` are the declared kinds."""

    def keys(self) -> Keys:
        """Its keys."""


@dataclass(frozen=True)
class Limits:
    """Bounds of what is taken.

    Attributes:
        request_bytes: Of one request.
        request_records: Records of one request.
        waiting_bytes: Taken and not durable yet, all together.
        pending_bytes: Durable and not folded yet, all together; they are kept in memory.
        retry_after: Seconds after which a sender that met a backlog should try again.
    """

    request_bytes: int = 8 << 20
    request_records: int = 10_000
    waiting_bytes: int = 64 << 20
    pending_bytes: int = 192 << 20
    retry_after: float = 1.0


@dataclass(frozen=True)
class Pending:
    """What is durable in the journal and not folded yet.

    Attributes:
        records, bytes: How much.
        since: When the oldest of it was received, microseconds UTC; None where there is nothing.
    """

    records: int
    bytes: int
    since: int | None


@dataclass(frozen=True)
class Recovered:
    """What was found in the journal when it was opened: requests, records, the torn tails and the damage."""

    frames: int = 0
    records: int = 0
    torn: tuple[Torn, ...] = ()
    damage: tuple[Damage, ...] = ()

    def notes(self) -> tuple[Sentence, ...]:
        """What a person should know."""
        return said_of(self.torn, self.damage)


@dataclass
class Group:
    """Requests that become durable together.

    Attributes:
        takens: They.
        data: Their frames.
        number: Of the journal file that they lie in, once they do.
    """

    takens: list[Taken]
    data: bytes
    number: int = 0


class Collector:
    """The one that appends to a shop's journal. Made by `open`; safe to use from several threads.

    Attributes:
        recovered: What was found in the journal.
    """

    def __init__(self, store: Store, kinds: Mapping[str, Role], keys: Keys, limits: Limits, stack: ExitStack) -> None:
        self.store, self.kinds, self.keys, self.limits, self._stack = store, kinds, keys, limits, stack
        self.recovered = Recovered()
        self._reader = Reader(kinds, keys, limits.request_records)
        self._lock, self._flushing = threading.RLock(), threading.Lock()
        self._waiting: list[Taken] = []
        self._writing: list[Taken] = []
        self._open: list[Taken] = []                # not compared with the index yet
        self._durable: dict[int, list[Taken]] = {}  # journal file -> what lies in it
        self._names = Names()
        self._tables: dict[str, Changes] = {}
        self._waiting_bytes = self._pending_bytes = self._pending_records = 0
        self._offsets: dict[str, str] = {}
        self._manifest: Manifest
        self._index = EventIndex(store.path, (), keys.naming)
        self._journal: Journal

    @classmethod
    def open(cls, shop: OpenShop, limits: Limits | None = None, *, disk: Disk | None = None,
             wait: float = 10.0) -> Collector:
        """Take a shop's journal, and find in it what was acknowledged and is not folded yet.

        Args:
            shop: An opened shop.
            limits: Bounds of what is taken.
            disk: Where the journal is written.
            wait: Seconds to wait for another one that has the journal.

        Raises:
            ShopBusy: Another process has the journal. Damaged: It was sealed with another key.
        """
        store, keys = shop.store, shop.keys()
        folder = store.path / journals.FOLDER
        make_folder(folder)
        with ExitStack() as stack:
            stack.enter_context(held(folder / journals.LOCK, "serve", wait))
            made = cls(store, shop.config.roles, keys, limits or Limits(), stack.pop_all())
        try:
            made._adopt_manifest()
            made._recover(folder, disk)
        except BaseException:
            made._stack.close()
            raise
        return made

    @property
    def pending(self) -> Pending:
        """What is durable in the journal and not folded yet."""
        with self._lock:
            first = next((takens[0].arrived.received_at for takens in self._durable.values() if takens), None)
            return Pending(self._pending_records, self._pending_bytes, first)

    @property
    def offsets(self) -> Mapping[str, str]:
        """The newest durable position of each source of a broker."""
        with self._lock:
            return {**self._manifest.offsets, **self._offsets}

    def take(self, arrived: Arrived) -> Ticket:
        """Judge a request. It is not durable before a `flush` has returned.

        Raises:
            BadInput: It is no JSON array of records, or too large. Backlog: Too much waits already.
        """
        self._check(arrived)
        read = self._reader.read(arrived)
        with self._lock:
            size = len(arrived.records)
            if self._waiting_bytes + size > self.limits.waiting_bytes:
                raise self._backlog(say("{size:,} bytes wait to be written to the disk.", size=self._waiting_bytes))
            if self._pending_bytes + self._waiting_bytes + size > self.limits.pending_bytes:
                raise self._backlog(say("{size:,} bytes wait in the journal for their place in the log.",
                                        size=self._pending_bytes))
            taken = self._judged(arrived, read)
            self._waiting.append(taken)
            self._waiting_bytes += size
            return taken.told()

    def flush(self) -> None:
        """Make everything that was taken so far durable: one write, one fsync. `gather`, `write` and `keep` in one.

        Raises:
            NotWritten: The disk did not take it. Everything that is not durable has failed and is forgotten.
        """
        group = self.gather()
        if group is not None:
            self.write(group)
            self.keep(group)

    def gather(self) -> Group | None:
        """Begin a flush: everything that was taken so far, sealed; None where there is nothing. `write` must follow.

        Raises:
            NotWritten: As `flush`.
        """
        self._flushing.acquire()  # given back by `keep`, or where it fails
        try:
            with self._lock:
                if not self._waiting:
                    self._flushing.release()
                    return None
                self.compare()
                self._waiting, self._writing = [], self._waiting
                group = self._writing
            return Group(group, self._journal.framed([(one.arrived.pack(), _counts(one.told())) for one in group]))
        except BaseException as wrong:
            self._fail(wrong)
            self._flushing.release()
            raise

    def write(self, group: Group) -> None:
        """The middle of a flush, for a thread of its own: it waits for the disk. `keep` must follow.

        Raises:
            NotWritten: As `flush`; the flush is over.
        """
        try:
            group.number = self._journal.write(group.data, len(group.takens))
        except BaseException as wrong:
            self._fail(wrong)
            self._flushing.release()
            raise

    def keep(self, group: Group) -> None:
        """End a flush: what was written counts from now on."""
        with self._lock:
            self._writing = []
            self._waiting_bytes -= sum(len(one.arrived.records) for one in group.takens)
            self._keep(group.takens, group.number)
        self._flushing.release()

    def seal(self) -> bool:
        """End the open journal file if it holds anything, so that it can be folded; whether it did."""
        with self._flushing:
            return self._journal.seal()

    def refresh(self) -> None:
        """Take the newest manifest: forget what is folded, and open what the index has become."""
        with self._lock:
            self.compare()
            self._adopt_manifest()
            done = [number for number in self._durable if number <= self._manifest.journal]
            gone = [taken for number in done for taken in self._durable.pop(number)]
            self._names.drop(gone)
            self._pending_bytes -= sum(len(taken.arrived.records) for taken in gone)
            self._pending_records -= sum(taken.received for taken in gone)
            self._offsets = {}
            for taken in self._all_durable():
                self._offsets |= taken.arrived.offsets
            self._tables = {}
            self._index.forget()

    def close(self) -> None:
        """Seal what is open and give the journal back. What was taken and not flushed is not stored."""
        try:
            self.seal()
        finally:
            self._stack.close()

    def replay(self) -> Iterator[Event]:
        """The accepted events that lie in the journal and not in the segments yet."""
        with self._lock:
            takens = [taken for taken in self._all_durable() if taken.arrived.table == "events"]
        for taken in takens:
            read = self._reader.read(taken.arrived)
            kept = set(taken.which)
            yield from (event for place, event in zip(read.which, read.events, strict=True) if place in kept)

    def compare(self) -> None:
        """Ask the index about everything that was taken and not compared yet; a flush does it by itself."""
        with self._lock:
            waiting, self._open = self._open, []
            if any(taken.ids for taken in waiting) and self._index.entries:
                self._ask([taken for taken in waiting if taken.ids])
            for taken in waiting:
                taken.told().open = False

    # Opening and keeping

    def _recover(self, folder: Path, disk: Disk | None) -> None:
        """Judge again what lies in the journal, cut off a torn tail, and begin behind it."""
        there = journals.files(folder)
        number, sequence, found = self._manifest.journal, 0, Recovered()
        for number, path in there:
            if number <= self._manifest.journal:
                continue
            opened = Opened(path, self.keys.vault, newest=path == there[-1][1])
            for one in opened:
                if isinstance(one, Torn):
                    found = replace(found, torn=(*found.torn, one))
                    journals.cut(path, one.at)
                elif isinstance(one, Damage):
                    found = replace(found, damage=(*found.damage, one))
                else:
                    sequence = max(sequence, one.sequence + 1)
                    found = self._again(opened, one, number, found)
        self.compare()
        self._journal = Journal(folder, self.keys.vault, max(number, self._manifest.journal) + 1, sequence, disk)
        self.recovered = found

    def _again(self, opened: Opened, frame: Frame, number: int, found: Recovered) -> Recovered:
        try:
            arrived = opened.open(frame)
            taken = self._judged(arrived, self._reader.read(arrived))
        except (ValueError, BadInput):
            damage = Damage(opened.path.name, frame.at, len(frame.payload))
            return replace(found, damage=(*found.damage, damage))
        self.compare()
        self._keep([taken], number)
        return replace(found, frames=found.frames + 1, records=found.records + taken.received)

    def _adopt_manifest(self) -> None:
        manifest = self.store.manifest()
        if manifest.rotation != self.keys.rotation:
            raise rotated()
        if not complete(manifest):
            manifest = self._repaired()
        self._manifest = manifest
        self._index = self._index.renewed(manifest.index)  # what is still there stays open, and checked

    def _repaired(self) -> Manifest:
        with self.store.write("index", wait=60.0) as writer:
            return repaired(writer, self.keys.naming, f"index-{writer.manifest.version + 1}")

    def _all_durable(self) -> list[Taken]:
        return [taken for group in self._durable.values() for taken in group]

    def _keep(self, group: list[Taken], number: int) -> None:
        """Remember what has become durable."""
        self._durable.setdefault(number, []).extend(group)
        for taken in group:
            taken.ticket, told = None, taken.ticket
            if told is not None:
                told.durable = True
            self._pending_bytes += len(taken.arrived.records)
            self._pending_records += taken.received
            if taken.arrived.offsets:
                self._offsets |= taken.arrived.offsets

    def _fail(self, wrong: BaseException) -> None:
        """Forget everything that is not durable; whoever asks for its tickets is told."""
        with self._lock:
            for taken in (*self._writing, *self._waiting):
                taken.told().failed = wrong
            self._names.drop([*self._writing, *self._waiting])
            self._waiting, self._writing, self._open = [], [], []
            self._waiting_bytes, self._tables = 0, {}

    # Bounds

    def _check(self, arrived: Arrived) -> None:
        if len(arrived.records) > self.limits.request_bytes:
            raise BadInput(say("the request has {size:,} bytes; the limit is {limit:,}.", size=len(arrived.records),
                               limit=self.limits.request_bytes), do=[say("send fewer records at a time.")],
                           why=say("nothing of it was taken."))
        if arrived.table != "events" and arrived.table not in TABLES:
            raise BadInput(say("there is no table {name}.", name=repr(arrived.table)),
                           do=[say("one of: {names}", names=", ".join(("events", *TABLES)))])

    def _backlog(self, what: Sentence) -> Backlog:
        refusal = Backlog(what, do=[say("send it again in {seconds:g} s.", seconds=self.limits.retry_after)],
                          why=say("nothing of it was taken."))
        refusal.retry_after = self.limits.retry_after
        return refusal

    # Judging

    def _judged(self, arrived: Arrived, read: Read) -> Taken:
        """Compare what was read with what is pending; the index is asked in `compare`."""
        ticket = Ticket(self.compare, read.received)
        taken = Taken(arrived, ticket, read.received)
        ticket.said = list(read.verdicts)
        if read.judged is not None:
            self._change(arrived, ticket, read)
            return taken
        if self._names.are_new(read.ids):
            self._accept(taken, read, range(len(read.ids)), new=True)
        else:
            self.compare()  # what is called a repeat must be one of something that is stored
            self._accept(taken, read, self._first(taken, read), new=False)
        self._open.append(taken)
        ticket.open = True
        return taken

    def _accept(self, taken: Taken, read: Read, kept: Sequence[int], *, new: bool) -> None:
        """Keep these of the accepted records as stored."""
        whole = len(kept) == len(read.ids)
        taken.ids = list(read.ids) if whole else [read.ids[at] for at in kept]
        taken.which = read.which if whole else [read.which[at] for at in kept]
        taken.told().accepted = read.events if whole else [read.events[at] for at in kept]
        events = read.events
        taken.more = [] if isinstance(events, Plainly) else [
            (place, line) for place, at in enumerate(kept)
            if read.lines is not None or len(events[at].items) > 1 for line in read.lines_of(at) if line]
        self._names.add(taken, new=new)

    def _first(self, taken: Taken, read: Read) -> list[int]:
        """Which accepted records are the first of their name and line; the verdict on the others is given."""
        earlier = {name: [(one, place) for one in self._names.find(name) for known, place in
                          zip(one.ids, one.which, strict=True) if known == name] for name in read.ids}
        own: dict[str, list[tuple[Taken, int]]] = {}
        for name, place in zip(read.ids, read.which, strict=True):
            own.setdefault(name, []).append((taken, place))
        past = self._past(read)
        bodies = self._bodies([one for name in own for one in (*earlier[name], *own[name])
                               if name in past or len(earlier[name]) + len(own[name]) > 1])
        kept: list[int] = []
        for at, (name, place) in enumerate(zip(read.ids, read.which, strict=True)):
            rows = {line: _word(bodies[one]) for one in earlier[name] for line in bodies[one].lines}
            rows |= past.get(name, {})
            hits = [rows[line] for line in read.lines_of(at) if line in rows]
            if hits:
                same = all(hit == _word(bodies[taken, place]) for hit in hits)
                taken.told().said.append(repeat(place, name, same=same))
            else:
                kept.append(at)
                earlier[name].append((taken, place))
        return kept

    def _past(self, read: Read) -> dict[str, dict[int, int]]:
        """What the index knows of the rows of a request: name -> line -> the body of what is stored."""
        names = [(name, line) for at, name in enumerate(read.ids) for line in read.lines_of(at)]
        if not names or not self._index.entries:
            return {}
        rows = pa.array([name for name, _ in names], pa.string())
        keys = event_keys(rows, np.array([line for _, line in names], np.int32), self.keys.naming)
        known, body = self._find(keys)
        found: dict[str, dict[int, int]] = {}
        for row in np.flatnonzero(known).tolist():
            found.setdefault(names[row][0], {})[names[row][1]] = int(body[row])
        return found

    def _bodies(self, records: Collection[tuple[Taken, int]]) -> Mapping[tuple[Taken, int], Body]:
        """The bodies of records of any requests."""
        wanted: dict[Taken, list[int]] = {}
        for taken, place in records:
            wanted.setdefault(taken, []).append(place)
        return {(taken, place): body for taken, places in wanted.items()
                for place, body in self._reader.bodies(taken.arrived, sorted(set(places))).items()}

    def _ask(self, waiting: Sequence[Taken]) -> None:
        """Ask the index about the rows of requests, all at once."""
        starts = np.cumsum([0, *(len(taken.ids) for taken in waiting)])
        names = [name for taken in waiting for name in taken.ids]
        more = [(start + at, line) for start, taken in zip(starts.tolist(), waiting, strict=False)
                for at, line in taken.more]
        owner = np.array([*range(len(names)), *(at for at, _ in more)], np.int64)
        lines = np.array([0] * len(names) + [line for _, line in more], np.int32)
        rows = pa.array(names + [names[at] for at, _ in more], pa.string())
        known, body = self._find(event_keys(rows, lines, self.keys.naming))
        hits: dict[int, list[int]] = {}
        for row in np.flatnonzero(known).tolist():
            hits.setdefault(int(owner[row]), []).append(int(body[row]))
        for start, taken in zip(starts.tolist(), waiting, strict=False):
            mine = {at - start: found for at, found in hits.items() if start <= at < start + len(taken.ids)}
            if mine:
                self._take_back(taken, mine)

    def _find(self, keys: Any) -> Any:
        try:
            return self._index.find(keys)
        except Damaged:
            self._manifest = self._repaired()
            self._index = EventIndex(self.store.path, self._manifest.index, self.keys.naming)
            return self._index.find(keys)

    def _take_back(self, taken: Taken, hits: Mapping[int, Sequence[int]]) -> None:
        """Take back what turns out to be in the past already.

        Args:
            taken: A request.
            hits: Place among its ids -> what the index says of the rows that it knows.
        """
        bodies, ticket = self._reader.bodies(taken.arrived, [taken.which[at] for at in hits]), taken.told()
        for at, found in hits.items():
            same = all(one == _word(bodies[taken.which[at]]) for one in found)
            ticket.said.append(repeat(taken.which[at], taken.ids[at], same=same))
        kept = [at for at in range(len(taken.ids)) if at not in hits]
        moved = {at: new for new, at in enumerate(kept)}
        names = [taken.ids[at] for at in hits]
        taken.more = [(moved[at], line) for at, line in taken.more if at in moved]
        ticket.accepted = [ticket.accepted[at] for at in kept]
        taken.ids, taken.which = [taken.ids[at] for at in kept], [taken.which[at] for at in kept]
        for name in set(names) - set(taken.ids):
            self._names.forget(name, taken)

    def _change(self, arrived: Arrived, ticket: Ticket, read: Read) -> None:
        """Apply a change of a table to what it is with everything that is pending."""
        assert read.judged is not None
        rows = read.judged.rows.to_pylist()
        changed = self._table(arrived.table).apply(arrived.change, rows)
        ticket.said += [Verdict(place, "duplicate") for place, new in
                             zip(read.judged.row_record.tolist(), changed, strict=True) if not new]
        ticket.changed = [row for row, new in zip(rows, changed, strict=True) if new]

    def _table(self, name: str) -> Changes:
        """A table as it stands with everything that is pending."""
        if name not in self._tables:
            changes = Changes(name, self.store.read_table(self._manifest, name))
            for taken in (*self._all_durable(), *self._writing, *self._waiting):
                if taken.arrived.table == name:
                    judged = self._reader.read(taken.arrived).judged
                    assert judged is not None
                    changes.apply(taken.arrived.change, judged.rows.to_pylist())
            self._tables[name] = changes
        return self._tables[name]


def _word(body: Body) -> int:
    """As much of a digest as the index keeps."""
    return int.from_bytes(body.digest[:8], "little")


def _counts(ticket: Ticket) -> Counts:
    return Counts(ticket.received, ticket.stored, ticket.duplicate)
