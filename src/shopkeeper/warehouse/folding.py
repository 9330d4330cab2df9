"""The journal becomes segments, tables and quarantine: through the same cleaner and the same comparison as files.

One commit takes in all sealed files: their records, their positions in brokers, and the number of the last file. After
it the files are removed; one that is still there, because a crash came between, is removed unread the next time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import ShopBusy
from shopkeeper.events.arrivals import Judged, Numbers, Requests, judge_events, judge_rows
from shopkeeper.events.entrance import split
from shopkeeper.events.pseudonyms import VAULT, Keys, seal
from shopkeeper.events.schema import TIME, Role
from shopkeeper.warehouse import journal as journals
from shopkeeper.warehouse.changes import Changes
from shopkeeper.warehouse.digests import CONFLICT
from shopkeeper.warehouse.journal import Arrived, Counts, Damage, Frame, Opened, Torn
from shopkeeper.warehouse.manifest import Import, Manifest, Segment
from shopkeeper.warehouse.segments import Settled
from shopkeeper.warehouse.store import Store, Writer, durable_write, held, sync_folder
from shopkeeper.warehouse.traffic import ranges
from shopkeeper.words import Sentence, say

BATCH_RECORDS, BATCH_BYTES = 65_536, 32 << 20  # that are cleaned together, about
Group = tuple[str, str, str]  # day (UTC), source, table


@dataclass(frozen=True)
class Folded:
    """What a fold took in: received = stored + duplicate + quarantined, in records.

    Attributes:
        received, stored, duplicate, quarantined: Records.
        lines: Rows of the event table that were stored.
        files: Journal files.
        segments: The new segments.
        tables: Tables that changed.
        notes: Torn tails and damage.
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    lines: int = 0
    files: int = 0
    segments: tuple[Segment, ...] = ()
    tables: tuple[str, ...] = ()
    notes: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class Unfolded:
    """What lies in the journal and is not folded yet, by the heads of its frames.

    Attributes:
        records, bytes: How much.
        stored, duplicate: Records, as the entrance counted them.
    """

    records: int = 0
    bytes: int = 0
    stored: int = 0
    duplicate: int = 0

    @property
    def quarantined(self) -> int:
        """Records that will be quarantined."""
        return self.records - self.stored - self.duplicate


def unfolded(store: Store, manifest: Manifest) -> Unfolded:
    """Count what lies in the journal and is not in this version of the shop."""
    counts, size = Counts(0, 0, 0), 0
    for number, path in journals.files(store.path / journals.FOLDER):
        if number > manifest.journal:
            try:
                more, found, _, _ = journals.survey(path)
            except FileNotFoundError:  # folded just now
                continue
            counts, size = counts + more, size + found
    return Unfolded(counts.received, size, counts.stored, counts.duplicate)


def abandoned(store: Store) -> bool:
    """Whether nobody has the journal: the one who had it is gone."""
    with ExitStack() as stack:
        try:
            return _ours(store.path / journals.FOLDER, stack)
        except OSError:  # it cannot be locked here (no right to write): whoever folds says so
            return True


def fold(store: Store, keys: Keys, kinds: Mapping[str, Role], *, wait: float = 0.0,
         progress: Progress = silent) -> Folded | None:
    """Take every sealed file of the journal into the shop, in one commit.

    Where nobody has the journal (a server that died, or none), the newest file counts as sealed, too.

    Args:
        store: The shop's folder.
        keys: The shop's keys.
        kinds: Declared kinds and their roles.
        wait: Seconds to wait for another writer.
        progress: Told how far it is.

    Returns:
        The account; None where there was nothing to fold.

    Raises:
        ShopBusy: Another process writes. Damaged: The journal was sealed with another key, or the shop is damaged.
        OSError: The disk is full, or gone. The shop is as it was, and so is the journal.
    """
    folder = store.path / journals.FOLDER
    if not journals.files(folder):
        return None
    with ExitStack() as stack:
        ours = _ours(folder, stack)
        if not _sealed(folder, ours, -1):
            return None
        writer = stack.enter_context(store.write("fold", wait))
        _remove(folder, writer.manifest.journal, ())
        there = _sealed(folder, ours, writer.manifest.journal)
        return _Fold(writer, keys, kinds, progress).run(there) if there else None


def _ours(folder: Path, stack: ExitStack) -> bool:
    """Whether nobody has the journal; then it is held until the fold is done."""
    try:
        stack.enter_context(held(folder / journals.LOCK, "fold"))
    except ShopBusy:
        return False
    return True


def _sealed(folder: Path, ours: bool, after: int) -> list[tuple[int, Path, bool]]:
    """The files that nobody adds to: number, path, and whether the end of it may be torn."""
    there = [(number, path) for number, path in journals.files(folder) if number > after]
    if not there:
        return []
    newest, last = there[-1]
    sealed = [(number, path, ours and number == newest) for number, path in there]
    return sealed if ours or journals.ended(last) else sealed[:-1]


def _remove(folder: Path, upto: int, damaged: Sequence[str]) -> None:
    """Remove files that are folded; one with damage is kept under another name."""
    gone = [path for number, path in journals.files(folder) if number <= upto]
    for path in gone:
        if path.name in damaged:
            os.replace(path, path.with_suffix(".damaged"))
        else:
            path.unlink(missing_ok=True)
    if gone:
        sync_folder(folder)


@dataclass
class _Books:
    """The account of one (day, source, table)."""

    at: int
    dialect: str = ""
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    lines: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def quarantined(self) -> int:
        """Records that were set aside."""
        return sum(self.reasons.values())


class _Fold:
    """One fold on its way."""

    def __init__(self, writer: Writer, keys: Keys, kinds: Mapping[str, Role], progress: Progress) -> None:
        self.writer, self.keys, self.kinds, self.progress = writer, keys, kinds, progress
        self.ranges = ranges(writer.store.path)
        self.books: dict[Group, _Books] = {}
        self.owner: list[Group] = []  # of each request
        # of each record that the cleaner accepted, in order: its request, and how many rows it has
        self.accepted: list[tuple[Numbers, Numbers]] = []
        self.waiting: dict[str, list[Requests]] = {}  # by source
        self.size = (0, 0)                            # records and bytes of these
        self.changes: list[tuple[str, str, Requests]] = []
        self.identities: list[pa.Table] = []
        self.offsets: dict[str, str] = {}
        self.torn: list[Torn] = []
        self.damage: list[Damage] = []
        self.records = 0

    def run(self, there: Sequence[tuple[int, Path, bool]]) -> Folded:
        """Read, clean, compare, commit, remove."""
        last = there[-1][0]
        self.name = f"fold-{last:010d}"
        self.intake = self.writer.intake(self.name, self.keys.naming)
        for arrived in self._arrived(there):
            self._take(arrived)
        self._clean()
        tables = self._apply()
        settled = self.intake.settle(bytes.decode)
        self._settled(settled)
        manifest = self._tables(settled.manifest(self.writer.manifest), tables)
        notes = (*settled.notes, *said_of(self.torn, self.damage))
        manifest = replace(self._booked(self._vault(manifest), notes), journal=last,
                           offsets={**manifest.offsets, **self.offsets})
        self.writer.commit(manifest)
        _remove(self.writer.store.path / journals.FOLDER, last, [one.file for one in self.damage])
        sums = {name: sum(getattr(book, name) for book in self.books.values())
                for name in ("received", "stored", "duplicate", "quarantined")}
        return Folded(**sums, lines=settled.rows, files=len(there), segments=settled.segments, tables=tuple(tables),
                      notes=notes)

    def _arrived(self, there: Sequence[tuple[int, Path, bool]]) -> Iterator[Arrived]:
        self.progress.start(say("folding the journal"), sum(path.stat().st_size for _, path, _ in there))
        for _, path, newest in there:
            opened = Opened(path, self.keys.vault, newest=newest)
            for one in opened:
                if isinstance(one, Frame):
                    yield from self._opened(opened, one)
                    self.progress.advance(len(one.payload))
                elif isinstance(one, Torn):
                    self.torn.append(one)
                else:
                    self.damage.append(one)

    def _opened(self, opened: Opened, frame: Frame) -> Iterator[Arrived]:
        try:
            yield opened.open(frame)
        except ValueError:
            self.damage.append(Damage(opened.path.name, frame.at, len(frame.payload)))

    def _take(self, arrived: Arrived) -> None:
        """Put a request to those that wait; clean them when there are enough."""
        texts = split(arrived.records)
        self.offsets |= arrived.offsets
        day = datetime.fromtimestamp(arrived.received_at / 1e6, UTC).date().isoformat()
        group, ordinal = (day, arrived.source, arrived.table), len(self.owner)
        self.books.setdefault(group, _Books(arrived.received_at, arrived.dialect)).received += len(texts)
        self.owner.append(group)
        requests = Requests.of(texts, arrived.received_at, arrived.sent_at, request=ordinal, number=self.records,
                               unfit=arrived.unfit)
        if arrived.table != "events":
            self.changes.append((arrived.table, arrived.change, requests))
            return
        self.records += len(texts)
        self.waiting.setdefault(arrived.source, []).append(requests)
        self.size = (self.size[0] + len(texts), self.size[1] + len(arrived.records))
        if self.size[0] >= BATCH_RECORDS or self.size[1] >= BATCH_BYTES:
            self._clean()

    def _clean(self) -> None:
        """Clean what waits, source by source, and hand it on in the order in which it came."""
        rows = []
        for source, waiting in self.waiting.items():
            requests = Requests.joined(waiting)
            judged = judge_events(requests, source, self.kinds, self.keys, ranges=self.ranges)
            self._rejected(judged, requests)
            rows.append(judged.rows)
        self.waiting, self.size = {}, (0, 0)
        if not rows:
            return
        table = pa.concat_tables(rows)
        record = table.column("record").to_numpy()
        order = np.argsort(record, kind="stable")
        if (np.diff(order) != 1).any():
            table, record = table.take(pa.array(order)), record[order]
        self.intake.add(table)
        _, first, lines = np.unique(record, return_index=True, return_counts=True)
        self.accepted.append((table.column("source_number").to_numpy()[first], lines))

    def _rejected(self, judged: Judged, requests: Requests) -> None:
        came = pa.array(requests.received_at[judged.rejected_record]).cast(TIME)
        self.intake.reject(judged.rejected.append_column("at", came))
        which = requests.request[judged.rejected_record].tolist()
        for request, reason in zip(which, judged.rejected.column("reason").to_pylist(), strict=True):
            self.books[self.owner[request]].reasons[reason] += 1
        if judged.identities.num_rows:
            self.identities.append(judged.identities)

    def _settled(self, settled: Settled) -> None:
        """Each group's part of what was stored, known already, or in conflict."""
        if not self.accepted:
            return
        request, lines = (np.concatenate(parts) for parts in zip(*self.accepted, strict=True))
        conflict, stored = settled.flags & CONFLICT != 0, settled.flags == 0
        sums = [np.bincount(request, weights=weights, minlength=len(self.owner)).astype(np.int64).tolist()
                for weights in (stored, ~stored & ~conflict, conflict, np.where(stored, lines, 0))]
        for group, new, duplicate, conflicts, rows in zip(self.owner, *sums, strict=True):
            book = self.books[group]
            book.stored, book.duplicate, book.lines = book.stored + new, book.duplicate + duplicate, book.lines + rows
            if conflicts:
                book.reasons["conflict"] += conflicts

    def _apply(self) -> dict[str, Changes]:
        """Put, patch and delete rows of tables in the order in which the requests came."""
        tables: dict[str, Changes] = {}
        for table, change, requests in _runs(self.changes):
            if table not in tables:
                tables[table] = Changes(table, self.writer.read_table(table))
            sources = [self.owner[request][1] for request in requests.request.tolist()]
            judged = judge_rows(requests, table, "", self.keys)
            self._rejected(judged.said_by(sources), requests)
            changed = tables[table].apply(change, judged.rows.to_pylist())
            for request, new in zip(requests.request[judged.row_record].tolist(), changed, strict=True):
                book = self.books[self.owner[request]]
                book.stored, book.lines = book.stored + new, book.lines + new
                book.duplicate += not new
        return tables

    def _tables(self, manifest: Manifest, tables: Mapping[str, Changes]) -> Manifest:
        for name, changes in tables.items():
            if changes.changed:
                manifest = self.writer.replace_table(manifest, name, changes.table())
        return manifest

    def _vault(self, manifest: Manifest) -> Manifest:
        if not self.identities:
            return manifest
        pairs = pa.concat_tables(self.identities).group_by(VAULT.names).aggregate([]).select(VAULT.names).cast(VAULT)
        name = f"vault/{self.name}.vault"
        durable_write(self.writer.store.path / name, seal(pairs, self.keys.vault))
        return replace(manifest, vault=(*manifest.vault, name))

    def _booked(self, manifest: Manifest, notes: Sequence[Sentence]) -> Manifest:
        """The imports with this fold: one entry for each day, source and table, however often it is folded."""
        entries = {entry.id: entry for entry in manifest.imports}
        said = tuple(json.dumps(note.to_dict(), ensure_ascii=False) for note in notes)
        books = dict(self.books)
        if said and not books:
            books["", "journal", "events"] = _Books(int(self.writer.since.timestamp() * 1e6))
        for number, (group, book) in enumerate(books.items()):
            entry = _entry(group, book, said if number == 0 else ())
            before = entries.get(entry.id)
            entries[entry.id] = entry if before is None else _added(before, entry)
        return replace(manifest, imports=tuple(entries.values()))


def _entry(group: Group, book: _Books, notes: tuple[str, ...]) -> Import:
    if book.received != book.stored + book.duplicate + book.quarantined:
        raise AssertionError(f"the account of {group} does not add up: {book}")
    day, source, table = group
    at = datetime.fromtimestamp(book.at / 1e6, UTC).isoformat(timespec="seconds")
    number = hashlib.blake2b(f"{source}\0{table}".encode(), digest_size=4).hexdigest()
    return Import(id=f"{day or at[:10]}-{number}", at=at, sources=(source,), table=table, received=book.received,
                  stored=book.stored, duplicate=book.duplicate, quarantined=book.quarantined, lines=book.lines,
                  reasons=dict(book.reasons.most_common()), notes=notes,
                  dialects=(book.dialect,) if book.dialect else ())


def _added(one: Import, other: Import) -> Import:
    sums = {name: getattr(one, name) + getattr(other, name)
            for name in ("received", "stored", "duplicate", "quarantined", "lines")}
    reasons = Counter(one.reasons) + Counter(other.reasons)
    return replace(one, **sums, reasons=dict(reasons.most_common()), notes=(*one.notes, *other.notes),
                   dialects=tuple(dict.fromkeys((*one.dialects, *other.dialects))))


def _runs(changes: Sequence[tuple[str, str, Requests]]) -> Iterator[tuple[str, str, Requests]]:
    """Changes of one kind to one table, one after the other, as one; tables do not depend on each other."""
    for table in dict.fromkeys(table for table, _, _ in changes):
        mine = [(change, requests) for name, change, requests in changes if name == table]
        for change, run in groupby(mine, key=lambda one: one[0]):
            yield table, change, Requests.joined([requests for _, requests in run])


def said_of(torn: Sequence[Torn], damage: Sequence[Damage]) -> tuple[Sentence, ...]:
    """Torn tails and damage of the journal in words."""
    return (*(say("{file} ended in the middle of a request ({size:,} bytes), which nobody was told is stored; it was "
                  "dropped.", file=one.file, size=one.size) for one in torn),
            *(say("{file} is damaged from byte {at:,} on, {size:,} bytes; what follows was read, and the file is kept.",
                  file=one.file, at=one.at, size=one.size) for one in damage))
