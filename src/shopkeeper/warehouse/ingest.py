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
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import BadInput, Refusal
from shopkeeper.events import dialects, personal, readers
from shopkeeper.events import mapping as mappings
from shopkeeper.events.cleaning import Cleaned, Cleaner, Entrance, TableCleaner, original
from shopkeeper.events.dialects.reading import Reading
from shopkeeper.events.items import in_parts
from shopkeeper.events.pseudonyms import VAULT, seal
from shopkeeper.events.raw import Broken, RawBatch, encode_records
from shopkeeper.events.schema import EVENTS, TABLE_KEYS, TABLES, TIME
from shopkeeper.events.separators import NumberRule
from shopkeeper.events.times import zoned_already
from shopkeeper.warehouse import opening
from shopkeeper.warehouse.manifest import Former, Import, Manifest
from shopkeeper.warehouse.opening import Source, Task
from shopkeeper.warehouse.pipeline import in_order
from shopkeeper.warehouse.segments import finished
from shopkeeper.warehouse.store import FOLDERS, LOCK, MANIFEST, Store, Writer, durable_write
from shopkeeper.warehouse.tables import merged
from shopkeeper.words import Sentence, say

_OF_A_SHOP = frozenset({*FOLDERS, "keys", "shop.toml", MANIFEST, LOCK})

_MANY_BATCHES, _MANY_PEOPLE = 64, 1 << 20  # after so many batches pairs are made distinct; so many are sealed at once
THREADS = max(2, min(os.cpu_count() or 1, 4))  # batches that are cleaned at once
FORMER = 3  # imports of a table, the newest, that can be undone: so many of its versions are kept
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
        kept: Such a column -> records that say something in it.
        unread: Our column -> cells that could not be read (kept in props).
        derived: Named rule -> cells that follow from others.
        notes: What else a person should know (an assumed time zone, a damaged file).
        dialects: Source -> the dialect that it was read in; none for columns of ours or of a mapping.
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
    kept: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    derived: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Sentence, ...] = ()
    dialects: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    preview: pa.Table | None = None

    def sentence(self) -> Sentence:
        """The account in a line."""
        return say("received {received:,} = stored {stored:,} + duplicate {duplicate:,} + quarantined {quarantined:,}",
                   received=self.received, stored=self.stored, duplicate=self.duplicate, quarantined=self.quarantined)

    def __str__(self) -> str:
        return str(self.sentence())


@dataclass
class Tally:
    """What an import has seen so far."""

    received: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    derived: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    mapped: dict[str, str] = field(default_factory=dict)
    unmapped: Counter[str] = field(default_factory=Counter)  # column -> records that say something in it
    notes: dict[str, Sentence] = field(default_factory=dict)
    vault: Vault | None = None  # takes the identities; none in a dry run
    large: list[str] = field(default_factory=list)
    dialects: dict[str, str] = field(default_factory=dict)

    def saw(self, columns: Mapping[str, str], unmapped: Mapping[str, int], cleaned: Cleaned) -> None:
        """Count one batch."""
        self.received += cleaned.received
        self.unread += cleaned.unread
        self.derived += cleaned.derived
        self.hidden += cleaned.hidden
        self.mapped |= columns
        self.unmapped.update(unmapped)
        self.reasons.update(cleaned.rejected.column("reason").to_pylist())
        if self.vault is not None:
            self.vault.add(cleaned.identities)

    def note(self, sentence: Sentence) -> None:
        """Say a thing once."""
        self.notes.setdefault(str(sentence), sentence)


class Vault:
    """Puts the identities of an import into sealed files; when there are many, before the import is at its end.

    Args:
        store: The shop's folder.
        number: The import's.
        key: Of the vault.
    """

    def __init__(self, store: Store, number: str, key: bytes) -> None:
        self._store, self._number, self._key = store, number, key
        self._held = [VAULT.empty_table()]
        self._files: list[str] = []

    def add(self, pairs: pa.Table) -> None:
        """Take pairs of pseudonym and identity."""
        if pairs.num_rows == 0:
            return
        self._held.append(pairs)
        if len(self._held) > _MANY_BATCHES:
            self._held = [_distinct(self._held)]
            if self._held[0].num_rows > _MANY_PEOPLE:
                self._seal()

    def close(self) -> tuple[str, ...]:
        """The files, durable; no manifest names them yet."""
        self._held = [_distinct(self._held)]
        if self._held[0].num_rows:
            self._seal()
        return tuple(self._files)

    def _seal(self) -> None:
        name = f"vault/{self._number}-{len(self._files)}.vault"
        durable_write(self._store.path / name, seal(self._held[0], self._key))
        self._files.append(name)
        self._held = [VAULT.empty_table()]


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
        tally.vault = Vault(store, number, task.keys.vault)
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
           *(_at_hand(source) for source in sources if not isinstance(source, str | os.PathLike))]
    if not out:
        raise BadInput(say("there is nothing to ingest."), do=[say("shopkeeper ingest SHOP FILE ...")],
                       why=say("no file, folder or table was given."))
    return out


def _at_hand(source: Source) -> Source:
    """A source in memory as it can be read twice: a stream of batches becomes a table."""
    return source.read_all() if isinstance(source, pa.RecordBatchReader) else source


def _of_a_shop(path: Path) -> bool:
    """Whether a file is what a shop keeps its own things in; a folder that is read may hold a shop."""
    above = [path.absolute(), *path.absolute().parents]
    return any(one.name in _OF_A_SHOP and (one.parent / "shop.toml").is_file() for one in above)


def _batches(source: Source, task: Task, spill: Path, tally: Tally,
             progress: Progress) -> Iterator[tuple[readers.Source, RawBatch, bool]]:
    """The raw batches of one source, each with the word whether it is the last; what the reader noticed is noted."""
    with opening.opened(source, spill, task) as opened:
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


_Learned = tuple[bool | None, Mapping[str, str]]  # of day and month, and what stands before the decimals of a column


def _learned(cleaner: Cleaner | TableCleaner) -> _Learned:
    return cleaner.time_rule.day_first, dict(cleaner.number_rule.decimal)


@dataclass(frozen=True)
class _Job:
    """A part of a source on its way through a cleaner of its own: so that several can be cleaned at once."""

    cleaner: Cleaner | TableCleaner
    part: RawBatch
    source: str
    learned: _Learned  # what the cleaner knew when it began

    @classmethod
    def of(cls, cleaner: Cleaner | TableCleaner, part: RawBatch, source: str, record: int) -> _Job:
        """Of a part whose first record has this number."""
        own = copy(cleaner)
        own.time_rule = replace(cleaner.time_rule)
        own.number_rule = NumberRule(dict(cleaner.number_rule.decimal), cleaner.number_rule.alone)
        if isinstance(own, Cleaner):
            own.next_record = record
        return cls(own, part, source, _learned(own))

    def clean(self) -> Cleaned | Refusal:
        """The part cleaned, or why that is refused."""
        if self.part.table.num_rows == 0:
            return Cleaned.of_broken(self.part, self.source)
        try:
            return self.cleaner.clean(self.part)
        except Refusal as refusal:
            return refusal

    def again(self, learned: _Learned) -> _Job:
        """The same, where more is known by now."""
        own = _Job.of(self.cleaner, self.part, self.source, 0)
        own.cleaner.time_rule.day_first, own.cleaner.number_rule.decimal = learned[0], dict(learned[1])
        if isinstance(own.cleaner, Cleaner) and isinstance(self.cleaner, Cleaner):
            own.cleaner.next_record = self.cleaner.next_record
        return own


def _cleaned(source: Source, task: Task, spill: Path, tally: Tally, progress: Progress,
             keep: Callable[[RawBatch], RawBatch] | None = None) -> Iterator[Cleaned]:
    """The batches of one source, cleaned and counted; `keep` looks after the records that are too large.

    Several are cleaned at once but in a dry run (without `keep`); the outcome is as if it had been one by one.
    """
    jobs = _jobs(source, task, spill, tally, progress, keep)
    learned: _Learned = None, {}
    for job, found in in_order(lambda one: (one, one.clean()), jobs, THREADS if keep else 1):
        if job.learned != learned:
            job = job.again(learned)
            found = job.clean()
        if isinstance(found, Refusal):
            raise found
        learned = _learned(job.cleaner)
        plan = job.cleaner.plan
        if job.part.table.num_rows:
            _check_readable(plan, job.part, found, job.source)
            columns = {name: job.part.table.column(name) for name in plan.unmapped}
            tally.saw(plan.columns, {name: len(cells) - cells.null_count for name, cells in columns.items()}, found)
        else:
            tally.saw({}, {}, found)
        yield found


def _jobs(source: Source, task: Task, spill: Path, tally: Tally, progress: Progress,
          keep: Callable[[RawBatch], RawBatch] | None) -> Iterator[_Job]:
    """The parts of one source, each with a cleaner for it."""
    cleaner: Cleaner | TableCleaner | None = None
    record = tally.received
    spoken, task = opening.spoken(source, task)
    reading: Reading | None = None
    for opened, read, last in _batches(source, task, spill, tally, progress):
        batch, name, loose = keep(read) if keep else read, opened.name, opened.kind == "jsonl"
        if spoken is not None:
            tally.dialects[name] = spoken.name
            reading = reading or Reading(spoken, name)
            batch, loose = reading.batch(batch), loose or not spoken.fast
        if last and loose and spoken is None and opened.columns:  # a mapped column need not be in each batch
            mappings.check_seen(task.mapping, opened.columns, name)
        strict: mappings.Strictness = "nothing" if cleaner else "needed" if loose else "all"
        if batch.table.num_rows:
            plan = _plan(task, batch.table.column_names, name, strict)
        elif cleaner is None:  # nothing that could be parsed yet
            yield _Job.of(_cleaner(mappings.Plan(task.mapping, {}, ()), task, name), batch, name, record)
            record += batch.received
            continue
        if cleaner is None:
            cleaner = _cleaner(plan, task, name)
            _note_zone(plan, task, batch, tally)
        cleaner.plan = plan
        for part in in_parts(batch, plan.columns.get("items")):
            yield _Job.of(cleaner, part, name, record)
            record += part.received


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
    return mappings.plan(task.mapping, names, source, strict=strict,
                         dialect=task.dialect if task.dialect != dialects.COLUMNS else None)


def _cleaner(plan: mappings.Plan, task: Task, source: str) -> Cleaner | TableCleaner:
    if task.table != "events":
        return TableCleaner(plan, task.table, task.keys, source)
    entrance = Entrance(task.kinds, task.keys, task.ranges)
    return Cleaner(plan, entrance, source, task.received_at, originals=False)


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
    intake, keep = writer.intake(number, task.keys.naming, task.received_at), _keeper(writer, number, tally)
    seen: list[_Seen] = []
    for source in sources:
        intake.next_source()
        seen.append(_Seen(source, tally.received, _mark(source)))
        for cleaned in _cleaned(source, task, intake.spill, tally, progress, keep):
            intake.add(cleaned.events)
            intake.reject(cleaned.rejected)
    _require_records(tally)
    progress.start(say("comparing with the past"), None)
    settled = intake.settle(original, lambda records: _originals(seen, records, task, intake.spill))
    tally.reasons["conflict"] += settled.conflicts
    for note in settled.notes:
        tally.note(note)
    account = _account(tally, number, settled.stored, settled.duplicate, settled.rows)
    manifest = settled.manifest(writer.manifest)
    _commit(writer, manifest, account, tally, sources, task)
    return account


@dataclass(frozen=True)
class _Seen:
    """A source that was read: the number of its first record, and by what it is known again."""

    source: Source
    first: int
    mark: tuple[int, ...]


def _mark(source: Source) -> tuple[int, ...]:
    """What changes when a file changes; nothing for what is in memory."""
    if not isinstance(source, str | os.PathLike):
        return ()
    try:
        found = os.stat(source)
    except OSError:
        return ()  # whoever reads it says what is wrong
    return found.st_ino, found.st_size, found.st_mtime_ns


def _originals(seen: Sequence[_Seen], records: npt.NDArray[np.int64], task: Task, spill: Path) -> dict[int, str]:
    """Records as they came, by their numbers: read once more, for few are ever asked for.

    Raises:
        BadInput: A file is not what it was.
    """
    out: dict[int, str] = {}
    ends = [*(one.first for one in seen[1:]), 1 << 62]
    for one, end in zip(seen, ends, strict=True):
        wanted = records[(records >= one.first) & (records < end)]
        if not len(wanted):
            continue
        start = one.first
        spoken, own = opening.spoken(one.source, task)
        reading = None if spoken is None else Reading(spoken, "")
        for _, read, _ in _batches(one.source, own, spill, Tally(), silent):
            batch = read if reading is None else reading.batch(read)
            here = wanted[(wanted >= start) & (wanted < start + batch.table.num_rows)]
            raw = encode_records(batch.table.take(pa.array(here - start))).to_pylist() if len(here) else []
            out |= dict(zip(here.tolist(), map(original, raw), strict=True))
            start += batch.received
            if here.size and here[-1] == wanted[-1]:
                break
        if _mark(one.source) != one.mark or not out.keys() >= set(wanted.tolist()):
            raise BadInput(say("{name} changed while it was read.", name=Path(one.source).name),
                           do=[say("ingest it again when nobody writes to it.")],
                           why=say("a conflicting record is kept as it came, and it is not there any more."))
    return out


def _require_records(tally: Tally) -> None:
    """Refuse an import without a single record."""
    if tally.received == 0:
        problem = next(iter(tally.notes.values()), say("the table is empty."))
        raise BadInput(say("there is no record to take in: {problem}", problem=problem),
                       do=[say("look into the file, and export it again.")],
                       why=say("an account of nothing would look as if all was well."))


def _account(tally: Tally, number: str | None, stored: int, duplicate: int, lines: int) -> Received:
    reasons = dict((+tally.reasons).most_common())
    kept = {name: count for name, count in tally.unmapped.items() if name not in tally.mapped.values()}
    return Received(tally.received, stored, duplicate, sum(reasons.values()), lines, reasons, tally.mapped,
                    tuple(kept), kept, dict(tally.unread),
                    dict(tally.derived), (*tally.notes.values(), *personal.said(tally.hidden)), dict(tally.dialects),
                    number)


def _commit(writer: Writer, manifest: Manifest, account: Received, tally: Tally, sources: Sequence[Source],
            task: Task) -> None:
    """Write the vault, put the import into the books, rename the manifest."""
    if account.received != account.stored + account.duplicate + account.quarantined:
        raise AssertionError(f"the account does not add up: {account}")
    if tally.vault is not None:
        manifest = replace(manifest, vault=(*manifest.vault, *tally.vault.close()))
    names = tuple(Path(source).name if isinstance(source, str | os.PathLike) else task.name for source in sources)
    entry = Import(
        id=account.id or "", at=datetime.fromtimestamp(task.received_at / 1e6, UTC).isoformat(timespec="seconds"),
        sources=names, table=task.table, received=account.received, stored=account.stored, duplicate=account.duplicate,
        quarantined=account.quarantined, lines=account.lines, reasons=dict(account.reasons),
        mapped=dict(account.mapped), unmapped=account.unmapped, kept=dict(account.kept), unread=dict(account.unread),
        notes=tuple(json.dumps(note.to_dict(), ensure_ascii=False) for note in account.notes),
        dialects=tuple(dict.fromkeys(account.dialects.values())),
        said=json.dumps(asdict(task.mapping), ensure_ascii=False) if task.mapping != mappings.Mapping() else "")
    large = (*manifest.large, *tally.large)
    writer.commit(replace(manifest, large=large, imports=(*manifest.imports, entry)))


def _ingest_table(writer: Writer, number: str, sources: Sequence[Source], task: Task, progress: Progress,
                  tally: Tally) -> Received:
    intake, keep = writer.intake(number, task.keys.naming, task.received_at), _keeper(writer, number, tally)
    kept = [TABLES[task.table].empty_table()]
    for source in sources:
        for cleaned in _cleaned(source, task, intake.spill, tally, progress, keep):
            kept.append(cleaned.events)
            intake.reject(cleaned.rejected)
    _require_records(tally)
    new, old, key = pa.concat_tables(kept), writer.read_table(task.table), TABLE_KEYS[task.table]
    fresh = changed(old, new, key)
    if again := new.num_rows - len(new.column(key).unique()):
        tally.note(say("{n:,} rows have a {key} that an earlier row has, too: the last one counts.", n=again, key=key))
    settled = intake.settle(original)
    manifest = writer.replace_table(settled.manifest(writer.manifest), task.table, merged(old, new, key))
    former = (*writer.manifest.former.get(task.table, ()), Former(number, writer.manifest.tables.get(task.table, "")))
    manifest = replace(manifest, former={**manifest.former, task.table: former[-FORMER:]})
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
