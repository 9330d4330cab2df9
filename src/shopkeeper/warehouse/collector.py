"""What takes records at the entrance: judged, written to the journal, acknowledged; by `folding` they become segments.

A request is judged against the past (the index) and against what lies in the journal and is not folded yet (in memory).
It is acknowledged once a `flush` that took it has returned. When a flush fails, everything that is not durable fails with
it: a later record may have been called a duplicate of one that is not on disk.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shopkeeper.errors import Backlog, BadInput, Damaged
from shopkeeper.events import rules
from shopkeeper.events.entrance import Event, Judged, Requests, judge_events, judge_rows, split
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.schema import TABLES, Role
from shopkeeper.warehouse import journal as journals
from shopkeeper.warehouse.changes import Changes
from shopkeeper.warehouse.digests import by_record
from shopkeeper.warehouse.folding import said_of
from shopkeeper.warehouse.index import EventIndex, bodies, complete, event_keys, repaired
from shopkeeper.warehouse.journal import Arrived, Counts, Damage, Disk, Journal, Opened, Torn
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import Store, held, make_folder
from shopkeeper.words import Sentence, say

__all__ = ["Arrived", "Collector", "Limits", "Pending", "Recovered", "Ticket", "Verdict"]

Key = tuple[str, int]  # (event_id, line)


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
class Verdict:
    """What became of one record of a request.

    Attributes:
        index: Its place in the request, from 0.
        outcome: `stored`, `duplicate` or `quarantined`.
        reason: A code; None where it was not quarantined.
        detail: The reason for a person.
        event_id: Its name; None where it has none.
    """

    index: int
    outcome: str
    reason: str | None = None
    detail: Sentence | None = None
    event_id: str | None = None


class Ticket:
    """What became of a request; it counts once a flush has returned.

    Attributes:
        received: Records.
        durable: They are on disk.
    """

    def __init__(self, collector: Collector, received: int) -> None:
        self._collector, self.received, self.durable = collector, received, False
        self._verdicts: list[Verdict] = []
        self._events: Sequence[Event] = ()
        self.rows: Sequence[dict[str, Any]] = ()  # accepted rows of a table
        self._open = False  # what is stored was not compared with the index yet

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The records that were not plainly stored, in their order."""
        self._close()
        return tuple(sorted(self._verdicts, key=lambda one: one.index))

    @property
    def events(self) -> tuple[Event, ...]:
        """The accepted events."""
        self._close()
        return tuple(self._events)

    @property
    def duplicate(self) -> int:
        """Records that were there already."""
        self._close()
        return sum(one.outcome == "duplicate" for one in self._verdicts)

    @property
    def quarantined(self) -> int:
        """Records that were set aside with a reason."""
        self._close()
        return sum(one.outcome == "quarantined" for one in self._verdicts)

    @property
    def stored(self) -> int:
        """Records that were stored."""
        self._close()
        return self.received - len(self._verdicts)

    def _close(self) -> None:
        if self._open:
            self._collector._compare()


@dataclass(frozen=True)
class Pending:
    """What is durable in the journal and not folded yet: records, bytes, and since when the oldest lies there (µs UTC)."""

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
class _Taken:
    """A request that was taken: what is written, what its stored records are called, and its ticket."""

    arrived: Arrived
    ticket: Ticket
    ids: list[str] = field(default_factory=list)      # of the records that are stored
    which: Sequence[int] = ()                         # (ids,) their places in the request
    more: list[tuple[int, int]] = field(default_factory=list)  # (place in ids, line): rows beyond line 0
    texts: list[bytes] | None = None
    size: int = 0
    file: int = 0


class Collector:
    """The one that appends to a shop's journal. Made by `open`; safe to use from several threads.

    Attributes:
        recovered: What was found in the journal.
    """

    def __init__(self, store: Store, kinds: Mapping[str, Role], keys: Keys, limits: Limits, stack: ExitStack) -> None:
        self.store, self.kinds, self.keys, self.limits, self._stack = store, kinds, keys, limits, stack
        self.recovered = Recovered()
        self._lock, self._flushing = threading.RLock(), threading.Lock()
        self._waiting: list[_Taken] = []
        self._inflight: list[_Taken] = []
        self._open: list[_Taken] = []                      # not compared with the index yet
        self._fresh: dict[str, list[_Taken]] = {}          # ids of what is not durable
        self._durable: dict[int, list[_Taken]] = {}        # file -> what lies in it
        self._ids: dict[str, list[_Taken]] = {}            # ids of what is durable
        self._tables: dict[str, Changes] = {}
        self._waiting_bytes = self._pending_bytes = self._pending_records = 0
        self._offsets: dict[str, str] = {}
        self._manifest: Manifest
        self._index: EventIndex
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

    def _recover(self, folder: Any, disk: Disk | None) -> None:
        """Judge again what lies in the journal, cut off a torn tail, and begin behind it."""
        there = journals.files(folder)
        number, sequence = self._manifest.journal, 0
        frames, records, torn, damage = 0, 0, [], []
        for number, path in there:
            if number <= self._manifest.journal:
                continue
            opened = Opened(path, self.keys.vault, newest=path == there[-1][1])
            for one in opened:
                if isinstance(one, Torn):
                    torn.append(one)
                elif isinstance(one, Damage):
                    damage.append(one)
                else:
                    frames, sequence = frames + 1, max(sequence, one.sequence + 1)
                    records += self._again(opened, one, number, damage)
            for tail in torn[len(torn) - 1:]:
                if tail.file == path.name:
                    journals.cut(path, tail.at)
        self._compare()
        self._journal = Journal(folder, self.keys.vault, max(number, self._manifest.journal) + 1, sequence, disk)
        self.recovered = Recovered(frames, records, tuple(torn), tuple(damage))

    def _again(self, opened: Opened, frame: journals.Frame, number: int, damage: list[Damage]) -> int:
        try:
            arrived = opened.open(frame)
            taken = self._judged(arrived)
        except (ValueError, BadInput):
            damage.append(Damage(opened.path.name, frame.at, len(frame.payload)))
            return 0
        taken.size = len(frame.payload)
        self._keep([taken], number)
        return taken.ticket.received

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
        with self._lock:
            size = len(arrived.records)
            if self._waiting_bytes + size > self.limits.waiting_bytes:
                raise self._backlog(say("{size:,} bytes wait to be written to the disk.", size=self._waiting_bytes))
            if self._pending_bytes + self._waiting_bytes + size > self.limits.pending_bytes:
                raise self._backlog(say("{size:,} bytes wait in the journal for their place in the log.",
                                        size=self._pending_bytes))
            taken = self._judged(arrived)
            taken.size = size
            self._waiting.append(taken)
            self._waiting_bytes += size
            return taken.ticket

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

    def flush(self) -> None:
        """Make everything that was taken so far durable: one write, one fsync.

        Raises:
            NotWritten: The disk did not take it. Everything that is not durable has failed and is forgotten.
        """
        with self._flushing:
            with self._lock:
                self._compare()
                group, self._waiting = self._waiting, []
                self._inflight = group
            if not group:
                return
            try:
                number = self._journal.append([(one.arrived.pack(), _counts(one.ticket)) for one in group])
            except BaseException:
                self._fail()
                raise
            with self._lock:
                self._inflight = []
                self._keep(group, number)

    def _keep(self, group: list[_Taken], number: int) -> None:
        """Remember what has become durable."""
        self._durable.setdefault(number, []).extend(group)
        for taken in group:
            taken.file, taken.ticket.durable = number, True
            self._pending_bytes += taken.size
            self._pending_records += taken.ticket.received
            self._offsets |= taken.arrived.offsets
            for name in taken.ids:
                self._ids.setdefault(name, []).append(taken)
        self._fresh = {}
        self._waiting_bytes = 0
        for taken in self._waiting:
            self._waiting_bytes += taken.size
            for name in taken.ids:
                self._fresh.setdefault(name, []).append(taken)

    def _fail(self) -> None:
        """Forget everything that is not durable."""
        with self._lock:
            self._waiting, self._inflight, self._open = [], [], []
            self._fresh, self._waiting_bytes, self._tables = {}, 0, {}

    def seal(self) -> bool:
        """End the open journal file if it holds anything, so that it can be folded; whether it did."""
        with self._flushing:
            return self._journal.seal()

    def refresh(self) -> None:
        """Take the newest manifest: forget what is folded, and open what the index has become."""
        with self._lock:
            self._compare()
            self._adopt_manifest()
            for number in [one for one in self._durable if one <= self._manifest.journal]:
                for taken in self._durable.pop(number):
                    self._pending_bytes -= taken.size
                    self._pending_records -= taken.ticket.received
            self._offsets, self._ids = {}, {}
            for takens in self._durable.values():
                for taken in takens:
                    self._offsets |= taken.arrived.offsets
                    for name in taken.ids:
                        self._ids.setdefault(name, []).append(taken)
            self._tables = {}

    def close(self) -> None:
        """Seal what is open and give the journal back. What was taken and not flushed is not stored."""
        try:
            self.seal()
        finally:
            self._stack.close()

    def replay(self) -> Iterator[Event]:
        """The accepted events that lie in the journal and not in the segments yet."""
        with self._lock:
            takens = [taken for group in self._durable.values() for taken in group]
        for taken in takens:
            if taken.arrived.table == "events":
                yield from self._events_of(taken)

    def _events_of(self, taken: _Taken) -> list[Event]:
        requests = Requests.of(split(taken.arrived.records), taken.arrived.received_at, taken.arrived.sent_at)
        judged = judge_events(requests, taken.arrived.source, self.kinds, self.keys, people=True)
        found = dict(_accepted(judged))
        return [event for place in sorted(taken.which) for event in [found[place][1]]]

    # ------------------------------------------------------------------------------------------------ judging

    def _adopt_manifest(self) -> None:
        manifest = self.store.manifest()
        if not complete(manifest):
            with self.store.write("index", wait=60.0) as writer:
                manifest = repaired(writer, self.keys.pseudonym, f"index-{writer.manifest.version + 1}")
        self._manifest = manifest
        self._index = EventIndex(self.store.path, manifest.index, self.keys.pseudonym)

    def _judged(self, arrived: Arrived) -> _Taken:
        """Judge a request by itself and by what is pending; the index is asked in `_compare`."""
        texts = split(arrived.records)
        if len(texts) > self.limits.request_records:
            raise BadInput(say("the request has {n:,} records; the limit is {limit:,}.", n=len(texts),
                               limit=self.limits.request_records), do=[say("send fewer records at a time.")],
                           why=say("nothing of it was taken."))
        ticket = Ticket(self, len(texts))
        taken = _Taken(arrived, ticket, texts=texts)
        requests = Requests.of(texts, arrived.received_at, arrived.sent_at)
        if arrived.table != "events":
            self._judge_rows(taken, requests)
            return taken
        judged = judge_events(requests, arrived.source, self.kinds, self.keys, people=True)
        ticket._verdicts += _rejections(judged)
        self._settle(taken, judged)
        self._open.append(taken)
        ticket._open = True
        return taken

    def _settle(self, taken: _Taken, judged: Judged) -> None:
        """Tell apart, record by record, what is new, known with the same body, and known with another."""
        accepted = _accepted(judged)
        digests = _digests(judged)
        if self._open and any(event.event_id in self._fresh for _, (_, event) in accepted):
            self._compare()  # what is called a repeat must be one of something that is stored
        seen: dict[Key, bytes] = {}
        events, which = [], []
        for place, (lines, event) in accepted:
            name = event.event_id
            earlier = self._fresh.get(name, []) + self._ids.get(name, [])
            known = {key: digest for one in earlier for key, digest in self._rows_of(one, name)}
            known |= {key: digest for key, digest in seen.items() if key[0] == name}
            hits = [known[name, line] for line in lines if (name, line) in known]
            if hits:
                same = all(hit == digests[place] for hit in hits)
                taken.ticket._verdicts.append(_repeat(place, name, same))
                continue
            seen |= {(name, line): digests[place] for line in lines}
            taken.more += [(len(which), line) for line in lines if line]
            taken.ids.append(name)
            which.append(place)
            events.append(event)
        taken.which, taken.ticket._events = which, events
        for name in taken.ids:
            self._fresh.setdefault(name, []).append(taken)

    def _rows_of(self, taken: _Taken, name: str) -> list[tuple[Key, bytes]]:
        """The rows of an earlier request's records of this name, each with the digest of its record."""
        places = [place for one, place in zip(taken.ids, taken.which, strict=True) if one == name]
        texts = taken.texts or split(taken.arrived.records)
        requests = Requests.of(texts, taken.arrived.received_at, taken.arrived.sent_at)
        judged = judge_events(requests, taken.arrived.source, self.kinds, self.keys)
        digests = _digests(judged)
        return [((name, line), digests[place]) for place, (lines, _) in _accepted(judged) if place in places
                for line in lines]

    def _compare(self) -> None:
        """Ask the index about everything that was taken and not compared yet."""
        with self._lock:
            waiting, self._open = self._open, []
            names = [name for taken in waiting for name in taken.ids]
            if names:
                self._ask(waiting, names)
            for taken in waiting:
                taken.ticket._open = False

    def _ask(self, waiting: list[_Taken], names: list[str]) -> None:
        base, lines, owner = 0, np.zeros(len(names), np.int32), list(range(len(names)))
        rows = list(names)
        extra: list[int] = []
        for taken in waiting:
            for at, line in taken.more:
                rows.append(taken.ids[at])
                extra.append(line)
                owner.append(base + at)
            base += len(taken.ids)
        keys = event_keys(pa.array(rows, pa.string()), np.concatenate([lines, np.array(extra, np.int32)]),
                          self.keys.pseudonym)
        known, body = self._find(keys)
        hits: dict[int, list[int]] = {}
        for row in np.flatnonzero(known).tolist():
            hits.setdefault(owner[row], []).append(int(body[row]))
        base = 0
        for taken in waiting:
            mine = {at - base: hits[at] for at in hits if base <= at < base + len(taken.ids)}
            base += len(taken.ids)
            if mine:
                self._known(taken, mine)

    def _find(self, keys: Any) -> Any:
        try:
            return self._index.find(keys)
        except Damaged:
            with self.store.write("index", wait=60.0) as writer:
                self._manifest = repaired(writer, self.keys.pseudonym, f"index-{writer.manifest.version + 1}")
            self._index = EventIndex(self.store.path, self._manifest.index, self.keys.pseudonym)
            return self._index.find(keys)

    def _known(self, taken: _Taken, hits: Mapping[int, list[int]]) -> None:
        """Take back what turns out to be in the past already."""
        requests = Requests.of(taken.texts or split(taken.arrived.records), taken.arrived.received_at,
                               taken.arrived.sent_at)
        judged = judge_events(requests, taken.arrived.source, self.kinds, self.keys)
        digests = _digests(judged)
        for at, found in hits.items():
            place = taken.which[at]
            own = int.from_bytes(digests[place][:8], "little")
            taken.ticket._verdicts.append(_repeat(place, taken.ids[at], all(one == own for one in found)))
            bucket = self._fresh.get(taken.ids[at], [])
            if taken in bucket:
                bucket.remove(taken)
        kept = [at for at in range(len(taken.ids)) if at not in hits]
        moved = {at: new for new, at in enumerate(kept)}
        taken.more = [(moved[at], line) for at, line in taken.more if at in moved]
        taken.ticket._events = [taken.ticket._events[at] for at in kept]
        taken.ids, taken.which = [taken.ids[at] for at in kept], [taken.which[at] for at in kept]

    def _judge_rows(self, taken: _Taken, requests: Requests) -> None:
        arrived = taken.arrived
        judged = judge_rows(requests, arrived.table, arrived.source, self.keys)
        taken.ticket._verdicts += _rejections(judged)
        rows = judged.rows.to_pylist()
        changed = self._table(arrived.table).apply(arrived.change, rows)
        places = judged.row_record.tolist()
        taken.ticket._verdicts += [Verdict(place, "duplicate") for place, new in zip(places, changed, strict=True)
                                   if not new]
        taken.ticket.rows = [row for row, new in zip(rows, changed, strict=True) if new]

    def _table(self, name: str) -> Changes:
        """A table as it stands with everything that is pending."""
        if name not in self._tables:
            changes = Changes(name, self.store.read_table(self._manifest, name))
            pending = [taken for group in self._durable.values() for taken in group]
            for taken in (*pending, *self._inflight, *self._waiting):
                if taken.arrived.table == name:
                    arrived = taken.arrived
                    requests = Requests.of(split(arrived.records), arrived.received_at, arrived.sent_at)
                    changes.apply(arrived.change, judge_rows(requests, name, arrived.source, self.keys).rows.to_pylist())
            self._tables[name] = changes
        return self._tables[name]


def _counts(ticket: Ticket) -> Counts:
    return Counts(ticket.received, ticket.stored, ticket.duplicate)


def _accepted(judged: Judged) -> list[tuple[int, tuple[list[int], Event]]]:
    """The accepted records in their order: place, its lines, and the event; repeats without an id are named apart."""
    names = ("event_id", "event", "line", "session_id", "order_id", "request_id", "item_id", "own_id")
    table = judged.rows
    ts = table.column("ts").cast(pa.int64()).to_pylist()
    columns = {name: table.column(name).to_pylist() for name in names}
    found: dict[int, tuple[list[int], Event]] = {}
    order = sorted(range(len(ts)), key=lambda row: (int(judged.row_record[row]), columns["line"][row]))
    repeats: Counter[str] = Counter()
    for row in order:
        place = int(judged.row_record[row])
        cell = {name: column[row] for name, column in columns.items()}
        if place not in found:
            name = cell["event_id"]
            if not cell["own_id"]:
                name, repeats[name] = _named(name, repeats[name]), repeats[name] + 1
            customer, anonymous = judged.people.get(place, (None, None))
            found[place] = ([], Event(name, cell["event"], ts[row], customer, anonymous, cell["session_id"],
                                      cell["order_id"], cell["request_id"]))
        lines, event = found[place]
        lines.append(cell["line"])
        if cell["item_id"] is not None:
            event.items = (*event.items, cell["item_id"])
    return list(found.items())


def _named(name: str, occurrence: int) -> str:
    return name if occurrence == 0 else f"{name}-{occurrence}"


def _digests(judged: Judged) -> dict[int, bytes]:
    """The digest of each accepted record."""
    table, _ = by_record(judged.rows)
    return dict(zip(judged.row_record.tolist(), table.column("digest").to_pylist(), strict=True))


def _rejections(judged: Judged) -> list[Verdict]:
    rows = judged.rejected.select(["reason", "detail"]).to_pylist()
    return [Verdict(place, "quarantined", row["reason"], _detail(row["reason"], row["detail"]))
            for place, row in zip(judged.rejected_record.tolist(), rows, strict=True)]


def _detail(reason: str, detail: str | None) -> Sentence | None:
    return Sentence.from_dict(json.loads(detail)) if detail else rules.advice(reason)


def _repeat(place: int, name: str, same: bool) -> Verdict:
    if same:
        return Verdict(place, "duplicate", event_id=name)
    return Verdict(place, "quarantined", "conflict", rules.advice("conflict"), name)
