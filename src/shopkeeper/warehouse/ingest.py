"""From sources to the store: read, clean, compare with the past, commit. All of one import becomes visible, or nothing.

Received = stored + duplicate + quarantined is counted on both sides: what the readers handed over, and where each
record ended.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from shopkeeper.warehouse.manifest import Import, Manifest
from shopkeeper.warehouse.store import Store, Writer, durable_write
from shopkeeper.warehouse.tables import merged

from shopkeeper.asking import Progress
from shopkeeper.errors import BadInput
from shopkeeper.events import mapping as mappings
from shopkeeper.events import readers
from shopkeeper.events.cleaning import Cleaned, Cleaner, check_kinds, clean_table, original
from shopkeeper.events.pseudonyms import VAULT, Keys, seal
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.schema import EVENTS, TABLE_KEYS, TABLES, Role
from shopkeeper.words import Sentence, say

Source = str | os.PathLike[str] | Any  # a path, a glob, an Arrow table, a data frame, a list of dicts


@dataclass(frozen=True)
class Received:
    """The account of one import, in records.

    Attributes:
        received, stored, duplicate, quarantined: received = stored + duplicate + quarantined, exactly.
        lines: Rows of the event table that were stored (an order with items has several).
        reasons: Reason -> quarantined records.
        mapped: Our column -> the source's.
        unmapped: Columns of the source that were kept in props.
        unread: Our column -> cells that could not be read (kept in props).
        derived: Named rule -> cells that follow from others.
        notes: What else a person should know (an assumed time zone, a damaged file).
        id: Of the import; None for a dry run.
        preview: First rows as they would be stored (dry run only).
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    lines: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, str] = field(default_factory=dict)
    unmapped: tuple[str, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    derived: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Sentence, ...] = ()
    id: str | None = None
    preview: pa.Table | None = None

    def sentence(self) -> Sentence:
        """The account in a line."""
        return say("received {received:,} = stored {stored:,} + duplicate {duplicate:,} + quarantined {quarantined:,}",
                   received=self.received, stored=self.stored, duplicate=self.duplicate, quarantined=self.quarantined)

    def __str__(self) -> str:
        return str(self.sentence())


@dataclass(frozen=True)
class Task:
    """What an import needs beside its sources."""

    mapping: mappings.Mapping
    table: str
    kinds: Mapping[str, Role]
    keys: Keys
    received_at: int
    options: readers.ReadOptions
    name: str = "table"  # of what is in memory and has none


@dataclass
class Tally:
    """What an import has seen so far."""

    received: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    derived: Counter[str] = field(default_factory=Counter)
    mapped: dict[str, str] = field(default_factory=dict)
    unmapped: dict[str, None] = field(default_factory=dict)
    notes: dict[str, Sentence] = field(default_factory=dict)
    identities: list[pa.Table] = field(default_factory=list)

    def saw(self, plan: mappings.Plan, cleaned: Cleaned) -> None:
        """Count one batch."""
        self.received += cleaned.received
        self.unread += cleaned.unread
        self.derived += cleaned.derived
        self.mapped |= plan.columns
        self.unmapped |= dict.fromkeys(plan.unmapped)
        self.rejected(cleaned.rejected)
        if cleaned.identities.num_rows:
            self.identities.append(cleaned.identities)
            if len(self.identities) > 64:
                self.identities = [_distinct(self.identities)]

    def rejected(self, rows: pa.Table) -> None:
        """Count quarantined records by reason."""
        self.reasons.update(rows.column("reason").to_pylist())

    def note(self, sentence: Sentence) -> None:
        """Say a thing once."""
        self.notes.setdefault(str(sentence), sentence)


def _distinct(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).group_by(VAULT.names).aggregate([]).select(VAULT.names).cast(VAULT)


def ingest(store: Store, sources: Sequence[Source], task: Task, progress: Progress) -> Received:
    """Take sources into the store in one step.

    Raises:
        BadInput: A source cannot be read, or its columns do not fit; nothing is stored then.
        ShopBusy: Another process writes.
    """
    tally = Tally()
    opened = _opened(sources, tally)
    with store.write("ingest") as writer:
        number = uuid.uuid4().hex[:12]
        if task.table == "events":
            return _ingest_events(writer, number, opened, task, progress, tally)
        return _ingest_table(writer, number, opened, task, progress, tally)


def _opened(sources: Sequence[Source], tally: Tally) -> list[Source]:
    """Paths, folders and globs spread into files; everything else as it is."""
    paths = [Path(source) if isinstance(source, os.PathLike) else source for source in sources
             if isinstance(source, str | os.PathLike)]
    found = readers.expand(paths) if paths else readers.Files([])
    for path in found.left_out:
        tally.note(say("{name} was left out: no reader knows its ending.", name=path.name))
    out = [*found, *(source for source in sources if not isinstance(source, str | os.PathLike))]
    if not out:
        raise BadInput(say("there is nothing to ingest."), do=[say("shopkeeper ingest SHOP FILE ...")],
                       why=say("no file, folder or table was given."))
    return out


def _open(source: Source, spill: Path, task: Task) -> readers.Source:
    """A source of any kind, opened: a file, a list of dicts, or a table in memory."""
    if isinstance(source, str | os.PathLike):
        return readers.open_source(Path(source), spill=spill, options=task.options)
    if isinstance(source, list | tuple):
        return readers.from_records(source, task.name)
    return readers.from_arrow(source, task.name)


def _batches(source: Source, task: Task, spill: Path, tally: Tally,
             progress: Progress) -> Iterator[tuple[str, RawBatch]]:
    """The raw batches of one source, with its name; what the reader noticed goes to the notes."""
    with _open(source, spill, task) as opened:
        progress.start(say("reading {name}", name=opened.name), opened.bytes_total)
        done = 0
        for batch in opened:
            yield opened.name, batch
            progress.advance(opened.bytes_read - done)
            done = opened.bytes_read
        for problem in opened.problems:
            tally.note(say("{name}: {problem}", name=opened.name, problem=problem))


def _cleaned(source: Source, task: Task, spill: Path, tally: Tally, progress: Progress) -> Iterator[Cleaned]:
    cleaner: Cleaner | None = None
    for name, batch in _batches(source, task, spill, tally, progress):
        names = batch.table.column_names
        if cleaner is None and (batch.table.num_rows or names):
            plan = mappings.plan(task.mapping, names, name)
            check_kinds(plan, task.kinds)
            cleaner = Cleaner(plan, task.kinds, task.keys, name, task.received_at, tally.received)
            _note_zone(plan, batch, tally)
        elif cleaner is not None:
            cleaner.plan = mappings.plan(task.mapping, names, name, strict=False)
            cleaner.next_record = tally.received
        if cleaner is None:
            cleaner_less = Cleaned.of_broken(batch, name)
            tally.received += cleaner_less.received
            tally.rejected(cleaner_less.rejected)
            yield cleaner_less
            continue
        cleaned = cleaner.clean(batch)
        tally.saw(cleaner.plan, cleaned)
        yield cleaned


def _note_zone(plan: mappings.Plan, batch: RawBatch, tally: Tally) -> None:
    column = plan.columns.get("ts")
    kind = batch.table.schema.field(column).type if column else None
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None if kind is not None else False
    if plan.mapping.time_zone is None and column and not zoned:
        tally.note(say("times without an offset were taken as UTC; --time-zone says otherwise."))


def _ingest_events(writer: Writer, number: str, sources: Sequence[Source], task: Task, progress: Progress,
                   tally: Tally) -> Received:
    intake = writer.intake(number, task.received_at)
    for source in sources:
        intake.next_source()
        for cleaned in _cleaned(source, task, intake.spill, tally, progress):
            intake.add(cleaned.events)
            intake.reject(cleaned.rejected)
    progress.start(say("comparing with the past"), None)
    settled = intake.settle(original)
    tally.reasons["conflict"] += settled.conflicts
    account = _account(tally, number, settled.stored, settled.duplicate, settled.rows)
    manifest = settled.manifest(writer.manifest)
    _commit(writer, manifest, account, tally, sources, task)
    return account


def _account(tally: Tally, number: str | None, stored: int, duplicate: int, lines: int) -> Received:
    reasons = dict((+tally.reasons).most_common())
    return Received(tally.received, stored, duplicate, sum(reasons.values()), lines, reasons, tally.mapped,
                    tuple(name for name in tally.unmapped if name not in tally.mapped.values()), dict(tally.unread),
                    dict(tally.derived), tuple(tally.notes.values()), number)


def _commit(writer: Writer, manifest: Manifest, account: Received, tally: Tally, sources: Sequence[Source],
            task: Task) -> None:
    """Write the vault, put the import into the books, rename the manifest."""
    if account.received != account.stored + account.duplicate + account.quarantined:
        raise AssertionError(f"the account does not add up: {account}")
    if tally.identities:
        name = f"vault/{account.id}.vault"
        durable_write(writer.store.path / name, seal(_distinct(tally.identities), task.keys.vault))
        manifest = replace(manifest, vault=(*manifest.vault, name))
    names = tuple(Path(source).name if isinstance(source, str | os.PathLike) else task.name for source in sources)
    entry = Import(
        id=account.id or "", at=datetime.fromtimestamp(task.received_at / 1e6, UTC).isoformat(timespec="seconds"),
        sources=names, table=task.table, received=account.received, stored=account.stored, duplicate=account.duplicate,
        quarantined=account.quarantined, lines=account.lines, reasons=dict(account.reasons),
        mapped=dict(account.mapped), unmapped=account.unmapped,
        notes=tuple(json.dumps(note.to_dict(), ensure_ascii=False) for note in account.notes))
    writer.commit(replace(manifest, imports=(*manifest.imports, entry)))


def _ingest_table(writer: Writer, number: str, sources: Sequence[Source], task: Task, progress: Progress,
                  tally: Tally) -> Received:
    intake = writer.intake(number, task.received_at)
    kept, received = [TABLES[task.table].empty_table()], 0
    for source in sources:
        for name, batch in _batches(source, task, intake.spill, tally, progress):
            if batch.table.num_rows:
                plan = mappings.table_plan(task.mapping, task.table, batch.table.column_names, name)
                rows, rejected, identities = clean_table(batch, plan, task.table, task.keys, name)
                tally.mapped |= plan.columns
                tally.unmapped |= dict.fromkeys(plan.unmapped)
                kept.append(rows)
                tally.identities.append(identities)
            else:
                rejected = Cleaned.of_broken(batch, name).rejected
            received += batch.table.num_rows + len(batch.broken)
            intake.reject(rejected)
            tally.rejected(rejected)
    tally.received = received
    new = pa.concat_tables(kept)
    old = writer.read_table(task.table)
    table = merged(old, new, TABLE_KEYS[task.table])
    fresh = _changed(old, table, new, TABLE_KEYS[task.table])
    settled = intake.settle(original)
    manifest = writer.replace_table(settled.manifest(writer.manifest), task.table, table)
    account = _account(tally, number, fresh, new.num_rows - fresh, fresh)
    _commit(writer, manifest, account, tally, sources, task)
    return account


def _changed(old: pa.Table | None, table: pa.Table, new: pa.Table, key: str) -> int:
    """How many of the new rows say something that the table did not say before."""
    before = {} if old is None else {row[key]: row for row in old.to_pylist()}
    changed = 0
    for row in new.to_pylist():
        known = before.get(row[key])
        if known is None or any(value is not None and known[name] != value for name, value in row.items()):
            changed += 1
        before[row[key]] = {**(known or dict.fromkeys(row)), **{k: v for k, v in row.items() if v is not None}}
    return changed


def preview(sources: Sequence[Source], task: Task, progress: Progress, *, rows: int = 10) -> Received:
    """What an import would do, from the first batch of each source; nothing is written anywhere."""
    import tempfile

    tally, first = Tally(), EVENTS.empty_table()
    with tempfile.TemporaryDirectory(prefix="shop-") as spill:
        for source in _opened(sources, tally):
            for cleaned in _cleaned(source, task, Path(spill), tally, progress):
                if first.num_rows < rows:
                    first = pa.concat_tables([first, cleaned.events.select(EVENTS.names)]).slice(0, rows)
                break
    stored = tally.received - sum(tally.reasons.values())
    return replace(_account(tally, None, stored, 0, first.num_rows), preview=first)
