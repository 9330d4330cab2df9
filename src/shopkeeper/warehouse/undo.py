"""One import taken back exactly: the shop is as if it had never come.

Its rows leave the segments, its names the index, its records the quarantine, its pairs the vault, its entry the books;
and the joins of visitors to customers are made by what is left.
What holds rows of others, too (a compaction wrote it), is written anew without its rows. New files stand under new
names and one commit names them: a crash leaves the shop as before or as after.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.errors import BadInput, Damaged, UnknownName
from shopkeeper.events.pseudonyms import VAULT, Keys, seal, unseal
from shopkeeper.warehouse import index
from shopkeeper.warehouse.compaction import NAME, Kept
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.identity import FACTS, pairs
from shopkeeper.warehouse.manifest import Former, Import, IndexRun, Manifest, Segment
from shopkeeper.warehouse.runs import Columns, Layout, Run, durable_run, mark_of
from shopkeeper.warehouse.segments import finished
from shopkeeper.warehouse.store import Store, Writer, durable_write, make_folder
from shopkeeper.warehouse.tables import QUARANTINE, STORED, declared
from shopkeeper.warehouse.traffic import human
from shopkeeper.words import Sentence, say

BATCH = 1 << 16  # rows that are looked at at once
_NUMBER = re.compile(r"[0-9a-f]{12}")
_OWN = re.compile(r"([0-9a-f]{12})(?:-.*)?")  # how the names of an import's files begin
_PEOPLE = ("customer_id", "anonymous_id")


@dataclass(frozen=True)
class Undone:
    """What goes, or would go, with an import.

    Attributes:
        entry: The import, as it stood in the books.
        rows: Rows of the event table.
        segments: Segments that hold such rows, of which those of several imports are written anew.
        quarantined: Records of the quarantine.
        table: The table whose version before comes back; empty where none does.
        later: Imports after it that met records known already: what of these this import had brought first is lost with
            it, and stored when they come again.
        joins: Joins of a visitor to a customer that nothing but this import spoke for, and that went with it.
        notes: What else a person should know.
    """

    entry: Import
    rows: int
    segments: int
    quarantined: int
    table: str
    later: tuple[Import, ...]
    joins: int = 0
    notes: tuple[Sentence, ...] = ()


def owner(name: str) -> str:
    """The import that brought rows or a file of this name.

    >>> owner("0123456789ab"), owner("0123456789ab-r7"), owner("fold-0000000001")
    ('0123456789ab', '0123456789ab', 'fold-0000000001')
    """
    found = _OWN.fullmatch(name)
    return found[1] if found else name


def look(store: Store, manifest: Manifest, import_id: str) -> Undone:
    """What `undo` would take back; nothing is written.

    Raises:
        UnknownName: There is no such import.
        BadInput: It cannot be undone; the reason says why.
    """
    entry = _entry(manifest, import_id)
    table = _table(manifest, entry)
    holding = [segment for segment in manifest.segments if _holds(store.path, segment, import_id)]
    met = tuple(one for one in _after(manifest, entry) if one.table == "events" and entry.stored
                and (one.duplicate or one.reasons.get("conflict")))
    return Undone(entry, entry.lines if entry.table == "events" else 0, len(holding), entry.quarantined, table, met)


def undo(store: Store, import_id: str, keys: Keys, *, wait: float = 0.0) -> Undone:
    """Take an import back, in one commit.

    Args:
        store: The shop's folder.
        import_id: Of the import, as the account says it.
        keys: The shop's keys.
        wait: Seconds to wait for another writer.

    Raises:
        UnknownName: There is no such import. BadInput: It cannot be undone. ShopBusy: Another process writes.
        Damaged: A file that is to be written anew is not what was written; nothing was changed.
        OSError: The disk is full, or gone. The shop is as it was.
    """
    with store.write("undo", wait) as writer:
        return _Undo(writer, keys, look(store, writer.manifest, import_id)).run()


def _entry(manifest: Manifest, import_id: str) -> Import:
    entries = {one.id: one for one in manifest.imports}
    if import_id not in entries:
        raise UnknownName(say("there is no import {name}.", name=repr(import_id)),
                          do=[say("shopkeeper account SHOP")],
                          why=say("an import is undone as a whole, by its number."))
    if not _NUMBER.fullmatch(import_id):
        raise BadInput(say("{name} was posted, or came from a broker: it cannot be undone.", name=import_id),
                       do=[say("undo takes back what ingest took in.")],
                       why=say("whoever posts was told that each record is stored."))
    return entries[import_id]


def _after(manifest: Manifest, entry: Import) -> tuple[Import, ...]:
    """What came into the same kind of table after an import; what is posted has an entry a day, which goes on."""
    place, day = manifest.imports.index(entry), entry.at[:10]
    return tuple(one for number, one in enumerate(manifest.imports)
                 if (one.table == "events") == (entry.table == "events")
                 and (number > place or (not _NUMBER.fullmatch(one.id) and one.id[:10] >= day)))


def _table(manifest: Manifest, entry: Import) -> str:
    """The table whose former version comes back with an import; empty where there is none.

    Raises:
        BadInput: It was changed since, or the former version was not kept.
    """
    if entry.table == "events":
        return ""
    kept = manifest.former.get(entry.table, ())
    if kept and kept[-1].import_id == entry.id:
        return entry.table
    if not entry.stored:
        return ""
    later = [one.id for one in _after(manifest, entry) if one.table == entry.table and one.stored]
    if later:
        raise BadInput(say("{table} was changed after {name}, by {later}.", table=entry.table, name=entry.id,
                           later=", ".join(later)),
                       do=[say("undo the later ones first, the newest before the others.")],
                       why=say("the table goes back to what it was before an import, and nothing later may be lost."))
    raise BadInput(say("what {table} was before {name} is not kept any more.", table=entry.table, name=entry.id),
                   do=[say("ingest the table again as it should be: the last word on a row counts.")],
                   why=say("only the last few versions of a table are kept."))


def _holds(root: Path, segment: Segment, import_id: str) -> bool:
    """Whether a segment has rows of an import."""
    if not segment.merged:
        return owner(segment.import_id) == import_id
    batches = _batches(root / segment.file, ["import_id"])
    return any(_of(batch.column("import_id"), import_id).any() for batch in batches)


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH, columns=list(columns))


def _of(cells: Any, import_id: str) -> npt.NDArray[np.bool_]:
    """Which of (n,) names are of an import."""
    coded = cells.dictionary_encode()
    own = np.array([name is not None and owner(name) == import_id for name in coded.dictionary.to_pylist()], bool)
    found: npt.NDArray[np.bool_] = own[coded.indices.to_numpy(zero_copy_only=False)]
    return found


class _Undo:
    """One import on its way out."""

    def __init__(self, writer: Writer, keys: Keys, found: Undone) -> None:
        self.writer, self.keys, self.found, self.id = writer, keys, found, found.entry.id
        self.root, self.before = writer.store.path, writer.manifest
        self.name = NAME + uuid.uuid4().hex[:12]
        self.folder = self.root / "segments" / f".staging-{self.name}"
        self.people: set[str] = set()  # pseudonyms in what goes
        self.pairs: set[tuple[str, str]] = set()  # visitor and customer in one event of what goes
        self.rows = self.rejected = self.joins = 0  # what was found to go
        self.notes: list[Sentence] = []

    def run(self) -> Undone:
        """Write anew what is shared, and commit; gives what went."""
        make_folder(self.folder)
        try:
            manifest = self._events(self.before) if self.found.entry.table == "events" else self._restored(self.before)
            manifest = self._vault(self._quarantine(self._joined(manifest)))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        large = f"quarantine/large/{self.id}-"
        manifest = replace(manifest, large=tuple(file for file in manifest.large if not file.startswith(large)),
                           imports=tuple(one for one in manifest.imports if one.id != self.id))
        if (self.rows, self.rejected) != (self.found.rows, self.found.quarantined):
            raise AssertionError(f"{self.id} has {self.rows} rows and {self.rejected} rejected records; its account "
                                 f"says {self.found.rows} and {self.found.quarantined}")
        self.writer.commit(manifest)
        return replace(self.found, joins=self.joins, notes=tuple(self.notes))

    def _events(self, manifest: Manifest) -> Manifest:
        holding = {one: number for number, one in enumerate(manifest.segments) if _holds(self.root, one, self.id)}
        self.writer.store.check_content(manifest, [one.file for one in holding])
        gone = index.Builder(self.root, self.root / "index" / f".building-{self.name}", self.keys.naming)
        segments: list[Segment] = []
        for segment in manifest.segments:
            if segment not in holding:
                segments.append(segment)
                continue
            self._note(segment, gone)
            if segment.merged:
                cut = Kept(self.root, self.folder, f"{self.name}-{holding[segment]}")
                segments += cut.all(self._others(segment.file, STORED))
        manifest = replace(manifest, segments=tuple(segments))
        return replace(manifest, index=self._index(manifest, gone.finish(f"{self.name}-gone")))

    def _note(self, segment: Segment, gone: index.Builder) -> None:
        """Take down the names, and the people, of the rows of a segment that go."""
        for batch in _batches(self.root / segment.file, ["import_id", "event_id", "line", "digest", *_PEOPLE]):
            rows = batch.filter(pa.array(_of(batch.column("import_id"), self.id)))
            self.rows += rows.num_rows
            line = np.asarray(pc.fill_null(rows.column("line"), 0).to_numpy(zero_copy_only=False), np.int32)
            gone.add(index.event_keys(rows.column("event_id"), line, self.keys.naming),
                     index.bodies(rows.column("digest")))
            for column in _PEOPLE:
                self.people.update(filter(None, rows.column(column).unique().to_pylist()))
            both = rows.select(_PEOPLE[::-1]).drop_null()
            self.pairs.update(tuple(row.values()) for row in pa.Table.from_batches([both]).group_by(
                list(_PEOPLE[::-1])).aggregate([]).to_pylist())

    def _others(self, file: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """The rows of a file that stay, in their order."""
        for batch in _batches(self.root / file, schema.names):
            rest = batch.filter(pa.array(~_of(batch.column("import_id"), self.id)))
            if rest.num_rows:
                yield pa.Table.from_batches([rest])

    def _index(self, manifest: Manifest, gone: IndexRun) -> tuple[IndexRun, ...]:
        """The index without the names that go; made again where it is damaged."""
        key = self.keys.naming
        try:
            runs = without(self.root, manifest.index, gone, self.name, key)
            if sum(run.entries for run in runs) == manifest.rows:
                return runs
        except Damaged as wrong:
            self.notes += [wrong.what, say("the index of events was damaged; it was made again from the segments.")]
        finally:
            (self.root / gone.file).unlink()
        return index.rebuild(self.writer.store, manifest, key, f"{self.name}-again")

    def _joined(self, manifest: Manifest) -> Manifest:
        """The joins of visitors to customers, by what is left of the log; what was said by hand stays said."""
        if FACTS not in manifest.tables or not self.pairs:
            return manifest
        engine = Engine(self.root, manifest)
        found = engine.run(pairs(human(engine, engine.events())))
        mine = pa.array({visitor for visitor, _ in self.pairs}, pa.string())
        left = {(row["anonymous_id"], row["customer_id"]): row
                for row in found.filter(pc.is_in(found["anonymous_id"], mine)).to_pylist()}
        rows = pq.read_table(self.root / manifest.tables[FACTS]).to_pylist()
        kept = [made for row in rows if (made := self._join(row, left)) is not None]
        self.joins = len(rows) - len(kept)
        table = pa.Table.from_pylist(kept, schema=declared(FACTS))
        return self.writer.replace_table(manifest, FACTS, table) if kept != rows else manifest

    def _join(self, row: dict[str, Any], left: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, Any] | None:
        """A join as what is left of the log says it; None where nothing does."""
        key = (row["anonymous_id"], row["customer_id"])
        if key not in self.pairs:
            return row
        if key in left:
            return {**row, **left[key]}
        return {**row, "events": 0, "evidence": "by hand"} if row["by"] == "hand" else None

    def _restored(self, manifest: Manifest) -> Manifest:
        """The table as it was before the import."""
        name = self.found.table
        if not name:
            return manifest
        *rest, last = manifest.former[name]
        if name == "customers":
            self._note_customers(manifest, last)
        former = {other: kept for other, kept in manifest.former.items() if other != name}
        tables = {other: file for other, file in manifest.tables.items() if other != name}
        return replace(manifest, former={**former, name: tuple(rest)} if rest else former,
                       tables={**tables, name: last.file} if last.file else tables)

    def _note_customers(self, manifest: Manifest, last: Former) -> None:
        now, then = (set(pq.read_table(self.root / file, columns=["customer_id"]).column(0).to_pylist()) if file
                     else set() for file in (manifest.tables["customers"], last.file))
        self.people |= now - then - {None}

    def _quarantine(self, manifest: Manifest) -> Manifest:
        kept: list[str] = []
        for number, file in enumerate(manifest.quarantine):
            stem = Path(file).stem
            if owner(stem) == self.id:
                self.rejected += pq.read_metadata(self.root / file).num_rows
            elif not stem.startswith(NAME):
                kept.append(file)
            else:
                kept += self._without_rejected(manifest, file, number)
        return replace(manifest, quarantine=tuple(kept))

    def _without_rejected(self, manifest: Manifest, file: str, number: int) -> list[str]:
        """A file of rejected records of several imports, written anew where some are of this one."""
        own = sum(int(_of(batch.column("import_id"), self.id).sum())
                  for batch in _batches(self.root / file, ["import_id"]))
        if not own:
            return [file]
        self.writer.store.check_content(manifest, [file])
        self.rejected += own
        path, rows = self.folder / "quarantine.parquet", 0
        with pq.ParquetWriter(path, QUARANTINE, compression="zstd") as writer:
            for table in self._others(file, QUARANTINE):
                writer.write_table(table.cast(QUARANTINE))
                rows += table.num_rows
        return [finished(self.root, path, f"quarantine/{self.name}-{number}.parquet")] if rows else []

    def _vault(self, manifest: Manifest) -> Manifest:
        """Without the import's own files; in files of several, without people of whom nothing is left."""
        files = [file for file in manifest.vault if owner(Path(file).stem) != self.id]
        shared = [file for file in files if Path(file).stem.startswith(NAME)]
        lost = pa.array(sorted(self.people - self._left(manifest)) if shared and self.people else [], pa.string())
        kept: list[str] = []
        for number, file in enumerate(files):
            if file not in shared or not len(lost):
                kept.append(file)
                continue
            pairs = unseal((self.root / file).read_bytes(), self.keys.vault)
            rest = pairs.filter(pc.invert(pc.is_in(pairs.column("pseudonym"), lost)))
            if rest.num_rows == pairs.num_rows:
                kept.append(file)
            elif rest.num_rows:
                kept.append(f"vault/{self.name}-{number}.vault")
                durable_write(self.root / kept[-1], seal(rest.select(VAULT.names).cast(VAULT), self.keys.vault))
        return replace(manifest, vault=tuple(kept))

    def _left(self, manifest: Manifest) -> set[str]:
        """Of the people in what goes, those who stand in what is left."""
        asked, left = pa.array(sorted(self.people), pa.string()), set()
        files: list[tuple[str, tuple[str, ...]]] = [(segment.file, _PEOPLE) for segment in manifest.segments]
        if "customers" in manifest.tables:
            files.append((manifest.tables["customers"], _PEOPLE[:1]))
        for file, columns in files:
            for batch in _batches(self.root / file, columns):
                for column in batch.columns:
                    names = column.unique()
                    left |= set(names.filter(pc.is_in(names, asked)).to_pylist())
        return left


def without(root: Path, runs: Sequence[IndexRun], gone: IndexRun, name: str, key: bytes) -> tuple[IndexRun, ...]:
    """The runs of an index without some names; a run that has none of them stays, others are written anew.

    Args:
        root: The shop's folder.
        runs: Of the index.
        gone: A run with the names that go.
        name: For new files, new to this shop.
        key: The shop's key for names.

    Raises:
        Damaged: A run is damaged.
    """
    if not gone.entries:
        return tuple(runs)
    names, out = Run(root, gone, mark_of(key)), []
    for number, run in enumerate(runs):
        left = sum(len(columns[0]) for columns in _parts(root, run, names, key))
        if left == run.entries:
            out.append(run)
        elif left:
            out.append(durable_run(root, f"{name}-{number}", run.entries, _parts(root, run, names, key), key))
    return tuple(out)


def _parts(root: Path, run: IndexRun, gone: Run, key: bytes) -> Iterator[Columns]:
    """The entries of a run that stay, part by part."""
    opened, bits = Run(root, run, mark_of(key)), Layout(run.entries).part_bits
    for number in range(1 << bits):
        first, second, body = opened.part(number, bits)
        stays = ~gone.find(np.stack([first, second], axis=1))[0]
        yield first[stays], second[stays], body[stays]
        if number % 16 == 15:
            opened.forget()
