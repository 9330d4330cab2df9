"""From sources to the store: read, clean, compare with the past, commit. All of one import becomes visible, or nothing.

Received = stored + duplicate + quarantined is counted on both sides: what the readers handed over, and where each
record ended.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import Progress
from shopkeeper.errors import BadInput
from shopkeeper.events import mapping as mappings
from shopkeeper.events import readers
from shopkeeper.events.cleaning import Cleaned, Cleaner, TableCleaner, original
from shopkeeper.events.items import in_parts
from shopkeeper.events.pseudonyms import VAULT, Keys, seal
from shopkeeper.events.raw import Broken, RawBatch
from shopkeeper.events.schema import EVENTS, TABLE_KEYS, TABLES, TIME, Role
from shopkeeper.events.times import zoned_already
from shopkeeper.warehouse.manifest import Import, Manifest
from shopkeeper.warehouse.segments import finished
from shopkeeper.warehouse.store import FOLDERS, LOCK, MANIFEST, Store, Writer, durable_write
from shopkeeper.warehouse.tables import merged
from shopkeeper.words import Sentence, say

_OF_A_SHOP = frozenset({*FOLDERS, "keys", "shop.toml", MANIFEST, LOCK})
Source = str | os.PathLike[str] | Any  # a path, a glob, an Arrow table, a data frame, a list of dicts

FEWEST_TO_TELL = 20  # unreadable cells of one batch from which on a column is no column of that kind


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
    large: list[str] = field(default_factory=list)

    def saw(self, columns: Mapping[str, str], unmapped: Sequence[str], cleaned: Cleaned) -> None:
        """Count one batch."""
        self.received += cleaned.received
        self.unread += cleaned.unread
        self.derived += cleaned.derived
        self.mapped |= columns
        self.unmapped |= dict.fromkeys(unmapped)
        self.reasons.update(cleaned.rejected.column("reason").to_pylist())
        if cleaned.identities.num_rows:
            self.identities.append(cleaned.identities)
            if len(self.identities) > 64:
                self.identities = [_distinct(self.identities)]

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
        if _of_a_shop(path):
            continue
        tally.note(say("{name} was left out: no reader knows its ending.", name=path.name))
    out = [*(path for path in found if not _of_a_shop(path)),
           *(source for source in sources if not isinstance(source, str | os.PathLike))]
    if not out:
        raise BadInput(say("there is nothing to ingest."), do=[say("shopkeeper ingest SHOP FILE ...")],
                       why=say("no file, folder or table was given."))
    return out


def _of_a_shop(path: Path) -> bool:
    """Whether a file is what a shop keeps its own things in; a folder that is read may hold a shop."""
    above = [path.absolute(), *path.absolute().parents]
    return any(one.name in _OF_A_SHOP and (one.parent / "shop.toml").is_file() for one in above)


def _open(source: Source, spill: Path, task: Task) -> readers.Source:
    """A source of any kind, opened: a file, a list of dicts, or a table in memory."""
    if isinstance(source, str | os.PathLike):
        return readers.open_source(Path(source), spill=spill, options=task.options)
    if isinstance(source, list | tuple):
        return readers.from_records(source, task.name)
    return readers.from_arrow(source, task.name)


def _batches(source: Source, task: Task, spill: Path, tally: Tally,
             progress: Progress) -> Iterator[tuple[readers.Source, RawBatch, bool]]:
    """The raw batches of one source, each with the word whether it is the last; what the reader noticed is noted."""
    with _open(source, spill, task) as opened:
        progress.start(say("reading {name}", name=opened.name), opened.bytes_total)
        done, held = 0, None
        try:
            for batch in opened:
                if held is not None:
                    yield opened, held, False
                held = batch
                progress.advance(opened.bytes_read - done)
                done = opened.bytes_read
            if held is not None:
                yield opened, held, True
        finally:
            for problem in opened.problems:
                tally.note(problem if opened.name in str(problem)
                           else say("{name}: {problem}", name=opened.name, problem=problem))


def _cleaned(source: Source, task: Task, spill: Path, tally: Tally, progress: Progress,
             keep: Callable[[RawBatch], RawBatch] = lambda batch: batch) -> Iterator[Cleaned]:
    """The batches of one source, cleaned and counted; `keep` looks after the records that are too large."""
    cleaner: Cleaner | TableCleaner | None = None
    for opened, read, last in _batches(source, task, spill, tally, progress):
        batch, name, loose = keep(read), opened.name, opened.kind == "jsonl"
        if last and loose and opened.columns:  # its records differ; a mapped column need not be in each batch
            mappings.check_seen(task.mapping, opened.columns, name)
        if batch.table.num_rows == 0:
            cleaned = Cleaned.of_broken(batch, name)
            tally.saw({}, (), cleaned)
            yield cleaned
            continue
        plan = _plan(task, batch.table.column_names, name, "nothing" if cleaner else "needed" if loose else "all")
        if cleaner is None:
            cleaner = _cleaner(plan, task, name)
            _note_zone(plan, task, batch, tally)
        cleaner.plan = plan
        for part in in_parts(batch, plan.columns.get("items")):
            if isinstance(cleaner, Cleaner):
                cleaner.next_record = tally.received
            cleaned = cleaner.clean(part)
            _check_readable(plan, part, cleaned, name)
            tally.saw(plan.columns, plan.unmapped, cleaned)
            yield cleaned


def _check_readable(plan: mappings.Plan, batch: RawBatch, cleaned: Cleaned, source: str) -> None:
    """Refuse a column of which no cell can be read, where there are enough of them to tell."""
    for ours, unread in cleaned.unread.items():
        column = batch.table.column(plan.columns[ours]) if ours in plan.columns else None
        filled = 0 if column is None else len(column) - column.null_count
        if column is None or filled < FEWEST_TO_TELL or unread < filled:
            continue
        first = next(str(cell) for cell in column.to_pylist() if cell is not None)
        raise BadInput(
            say("no cell of {column} in {source} can be read as {ours}; the first is {cell}.",
                column=repr(plan.columns[ours]), source=source, ours=ours, cell=repr(first[:40])),
            do=[say("write numbers as 1234.56: a point for decimals, nothing between thousands."),
                say("rename the column in the file: what nobody mapped is kept as it is.")],
            why=say("a column that was mapped and cannot be read would count as nothing."))


def _plan(task: Task, names: Sequence[str], source: str, strict: mappings.Strictness) -> mappings.Plan:
    if task.table != "events":
        return mappings.table_plan(task.mapping, task.table, names, source, strict=strict)
    return mappings.plan(task.mapping, names, source, strict=strict)


def _cleaner(plan: mappings.Plan, task: Task, source: str) -> Cleaner | TableCleaner:
    if task.table != "events":
        return TableCleaner(plan, task.table, task.keys, source)
    return Cleaner(plan, task.kinds, task.keys, source, task.received_at)


def _keeper(writer: Writer, number: str, tally: Tally) -> Callable[[RawBatch], RawBatch]:
    """Gives each record that is too large for a row of the quarantine a file of its own, and says so."""

    def keep(batch: RawBatch) -> RawBatch:
        return replace(batch, broken=[one if one.spill is None else kept(one, one.spill) for one in batch.broken])

    def kept(one: Broken, spill: Path) -> Broken:
        file = finished(writer.store.path, spill, f"quarantine/large/{number}-{len(tally.large):04d}.txt")
        tally.large.append(file)
        detail = say("{detail} The whole record is in {file}.", detail=one.detail, file=file)
        return replace(one, detail=detail, spill=None)

    return keep


def _note_zone(plan: mappings.Plan, task: Task, batch: RawBatch, tally: Tally) -> None:
    schema = EVENTS if task.table == "events" else TABLES[task.table]
    cells = [batch.table.column(theirs) for ours, theirs in plan.columns.items()
             if ours in schema.names and schema.field(ours).type == TIME]
    zoned = [zoned_already(column) for column in cells]
    if plan.mapping.time_zone is None and not all(zoned):
        tally.note(say("times without an offset were taken as UTC; --time-zone says otherwise."))


def _ingest_events(writer: Writer, number: str, sources: Sequence[Source], task: Task, progress: Progress,
                   tally: Tally) -> Received:
    intake, keep = writer.intake(number, task.keys.pseudonym, task.received_at), _keeper(writer, number, tally)
    for source in sources:
        intake.next_source()
        for cleaned in _cleaned(source, task, intake.spill, tally, progress, keep):
            intake.add(cleaned.events)
            intake.reject(cleaned.rejected)
    _require_records(tally)
    progress.start(say("comparing with the past"), None)
    settled = intake.settle(original)
    tally.reasons["conflict"] += settled.conflicts
    account = _account(tally, number, settled.stored, settled.duplicate, settled.rows)
    manifest = settled.manifest(writer.manifest)
    _commit(writer, manifest, account, tally, sources, task)
    return account


def _require_records(tally: Tally) -> None:
    """Refuse an import without a single record."""
    if tally.received == 0:
        problem = next(iter(tally.notes.values()), say("the table is empty."))
        raise BadInput(say("there is no record to take in: {problem}", problem=problem),
                       do=[say("look into the file, and export it again.")],
                       why=say("an account of nothing would look as if all was well."))


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
    large = (*manifest.large, *tally.large)
    writer.commit(replace(manifest, large=large, imports=(*manifest.imports, entry)))


def _ingest_table(writer: Writer, number: str, sources: Sequence[Source], task: Task, progress: Progress,
                  tally: Tally) -> Received:
    intake, keep = writer.intake(number, task.keys.pseudonym, task.received_at), _keeper(writer, number, tally)
    kept = [TABLES[task.table].empty_table()]
    for source in sources:
        for cleaned in _cleaned(source, task, intake.spill, tally, progress, keep):
            kept.append(cleaned.events)
            intake.reject(cleaned.rejected)
    _require_records(tally)
    new, old, key = pa.concat_tables(kept), writer.read_table(task.table), TABLE_KEYS[task.table]
    fresh = changed(old, new, key)
    settled = intake.settle(original)
    manifest = writer.replace_table(settled.manifest(writer.manifest), task.table, merged(old, new, key))
    account = _account(tally, number, fresh, new.num_rows - fresh, fresh)
    _commit(writer, manifest, account, tally, sources, task)
    return account


def changed(old: pa.Table | None, new: pa.Table, key: str) -> int:
    """How many of the new rows, one after the other, say something that the table did not say before.

    >>> changed(None, pa.table({"item_id": ["a", "a", "a"], "price": [1, None, 2]}), "item_id")
    2
    """
    before = 0 if old is None else old.num_rows
    both = new if old is None else pa.concat_tables([old.select(new.column_names), new])
    whose = _codes(both.column(key))
    says = np.zeros(both.num_rows, dtype=bool)
    for name in new.column_names:
        cells = _codes(both.column(name))
        rows = np.flatnonzero(cells >= 0)
        rows = rows[np.argsort(whose[rows], kind="stable")]  # by key, each in the order in which it came
        same = (whose[rows][1:] == whose[rows][:-1]) & (cells[rows][1:] == cells[rows][:-1])
        says[rows[1:]] |= ~same
        says[rows[:1]] = True
    return int(says[before:].sum())


def _codes(column: Any) -> npt.NDArray[np.int64]:
    """Equal cells as equal numbers from 0 on; null is -1."""
    cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    indices = pc.fill_null(cells.dictionary_encode().indices, -1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def preview(sources: Sequence[Source], task: Task, progress: Progress, *, rows: int = 10) -> Received:
    """What an import would do, from the first batch of each source; nothing is written anywhere."""
    import tempfile

    schema = EVENTS if task.table == "events" else TABLES[task.table]
    tally, first, lines = Tally(), schema.empty_table(), 0
    with tempfile.TemporaryDirectory(prefix="shop-") as spill:
        for source in _opened(sources, tally):
            for cleaned in _cleaned(source, task, Path(spill), tally, progress):
                lines += cleaned.events.num_rows
                if first.num_rows < rows:
                    first = pa.concat_tables([first, cleaned.events.select(schema.names)]).slice(0, rows)
                break
    _require_records(tally)
    stored = tally.received - sum(tally.reasons.values())
    return replace(_account(tally, None, stored, 0, lines), preview=first)
