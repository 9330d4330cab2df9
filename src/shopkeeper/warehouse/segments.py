"""How events become immutable segments: staged as they come, compared with the past, sorted, cut by day.

An import writes into `segments/.staging-<import>/`; nothing there counts. `settle` compares every record with the whole
past and with the import itself, and leaves finished segments, and a run of the index of events, that no manifest names
yet. Memory is bounded by a span of time and the batch, but for a byte a record.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.events.hashing import Hashes, combined, of_numbers, of_texts, seeds
from shopkeeper.events.schema import EVENTS
from shopkeeper.warehouse import digests
from shopkeeper.warehouse.digests import CONFLICT, Entries, Judgement, Renamed
from shopkeeper.warehouse.index import Past, event_keys
from shopkeeper.warehouse.manifest import IndexRun, Manifest, Segment
from shopkeeper.warehouse.pipeline import ahead
from shopkeeper.warehouse.runs import durable_run
from shopkeeper.warehouse.staging import GROUP_ROWS, Staged, alike, filled
from shopkeeper.warehouse.store import Writer, make_folder, sync_file, sync_folder
from shopkeeper.warehouse.tables import QUARANTINE, STORED
from shopkeeper.words import Sentence

DAY = 86_400_000_000         # microseconds
SEGMENT_ROWS = 200_000       # a segment closes at the first day boundary (UTC) after so many rows
LARGEST_SEGMENT = 1_000_000  # a day with more takes several segments
DENSE = ["event_id", "digest", "source_line", "ts", "client_ts", "sent_at", "received_at"]  # a dictionary is in vain
BOUNDED = ["event_id", "line", "event", "ts", "order_id"]  # columns whose bounds let rows be skipped

STAGED = pa.schema([*EVENTS, ("digest", pa.binary(16)), ("own_id", pa.bool_()), ("record", pa.int64()),
                    ("source_number", pa.int32()), ("file", pa.string()), ("source_line", pa.int64()),
                    ("raw", pa.binary())])
_AHEAD = 3  # batches of sorted rows that wait while others are written
_INNER = ["record", "nth", "raw"]  # columns that are staged and not stored
_SPARE = {"own_id": (True, pa.bool_()), "raw": (None, pa.binary())}  # what stands where it was not given
Recover = Callable[[npt.NDArray[np.int64]], Mapping[int, str]]


@dataclass(frozen=True)
class Settled:
    """What became of the accepted records of an import.

    Attributes:
        stored, duplicate, conflicts: Records; their sum is what was added.
        rows: Rows of the event table that were stored.
        segments: The new segments.
        quarantine_file: The new file of rejected records, or None.
        index: The runs of the index of events, with what is new; None where nothing was compared.
        notes: What else a person should know.
        flags: (records,) what became of each, in the order in which they were added: 0 where it was stored, else
            `digests.DUPLICATE` and `digests.CONFLICT`.
    """

    stored: int = 0
    duplicate: int = 0
    conflicts: int = 0
    rows: int = 0
    segments: tuple[Segment, ...] = ()
    quarantine_file: str | None = None
    index: tuple[IndexRun, ...] | None = None
    notes: tuple[Sentence, ...] = ()
    flags: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8), compare=False, repr=False)

    def manifest(self, before: Manifest) -> Manifest:
        """The manifest with what is new; the caller commits."""
        quarantine = before.quarantine + ((self.quarantine_file,) if self.quarantine_file else ())
        index = before.index if self.index is None else self.index
        return replace(before, segments=before.segments + self.segments, quarantine=quarantine, index=index)


class Intake:
    """One import on its way in. Made by `Writer.intake`.

    Attributes:
        spill: A folder for whatever does not fit into memory; it goes when the import is settled.
    """

    def __init__(self, writer: Writer, import_id: str, key: bytes, at: int) -> None:
        self.import_id, self._writer, self._root, self._key, self._at = import_id, writer, writer.store.path, key, at
        self._folder = self._root / "segments" / f".staging-{import_id}"
        self.spill = self._folder / "spill"
        make_folder(self.spill)
        self._source = self._records = 0
        self._lined = False                                   # some record has several rows
        self._staged = Staged(self._folder)
        self._rows, self._heads = Entries(self._folder, "rows"), Entries(self._folder, "heads")
        self._rejected: pq.ParquetWriter | None = None

    def next_source(self) -> None:
        """Say that what is added from here on comes from another file: exact repeats are counted within a file."""
        self._source += 1

    def add(self, table: pa.Table) -> None:
        """Stage accepted rows.

        Args:
            table: Columns of the event table, and `digest` (binary(16), of the row's or the record's body), `record`
                (int64, order of receipt within the table, its own for each record), `file`, `source_line` and, if they
                are there, `raw` (the original record), `own_id` (false: the sender gave no id, `event_id` follows from
                the digest) and `source_number` (int32: which file a record came with, where one table holds records of
                many; without it all are of the file that `next_source` began). All rows of a record stand in one table.
        """
        n = table.num_rows
        if n == 0:
            return
        spare = {**_SPARE, "source_number": (self._source, pa.int32())}
        for name, (value, kind) in spare.items():
            if name not in table.column_names:
                table = table.append_column(name, pa.repeat(pa.scalar(value, kind), n))
        table, several = digests.by_record(table.select(STAGED.names).cast(STAGED))
        self._lined |= several
        nth = self._numbered(table.column("record").to_numpy())
        names = event_keys(table.column("event_id"), table.column("line").to_numpy(), self._key)
        self._rows.add(digests.entries(names, table.column("digest"), nth))
        if not pc.all(table.column("own_id")).as_py():
            self._name_heads(table, nth)
        self._staged.add(table.drop_columns(["own_id", "source_number"]).append_column("nth", pa.array(nth)))

    def _numbered(self, record: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n,) numbers of the records within the import, from 0, for theirs."""
        if (np.diff(record) > 0).all():
            nth, count = np.arange(len(record), dtype=np.int64), len(record)
        else:
            found, nth = np.unique(record, return_inverse=True)
            count = len(found)
        nth = nth + self._records
        self._records += count
        return nth

    def _name_heads(self, table: pa.Table, nth: npt.NDArray[np.int64]) -> None:
        """Keep by which name each record without an id goes in its file."""
        rows = np.flatnonzero(~table.column("own_id").to_numpy())
        rows = rows[np.unique(nth[rows], return_index=True)[1]]  # one row a record: all have the same name
        some = table.take(pa.array(rows))
        file: Hashes = of_texts(some.column("file").combine_chunks(), seeds(self._key, "file"))
        number = of_numbers(some.column("source_number").to_numpy().astype(np.int64), seeds(self._key, "source"))
        names = event_keys(some.column("event_id"), np.zeros(len(rows), np.int32), self._key)
        self._heads.add(digests.entries(combined(combined(names, file), number), None, nth[rows]))

    def reject(self, table: pa.Table) -> None:
        """Stage rejected records: the columns of `tables.QUARANTINE`; `import_id`, and `at` if missing, are ours."""
        if table.num_rows == 0:
            return
        here = {"import_id": pa.repeat(pa.scalar(self.import_id), table.num_rows),
                "at": pa.repeat(pa.scalar(self._at, pa.int64()), table.num_rows).cast(pa.timestamp("us"))}
        given = set(table.column_names) - {"import_id"}
        columns = {name: table.column(name) if name in given else here[name] for name in QUARANTINE.names}
        if self._rejected is None:
            self._rejected = pq.ParquetWriter(self._folder / "rejected.parquet", QUARANTINE, compression="zstd")
        self._rejected.write_table(pa.table(columns, schema=QUARANTINE))

    def settle(self, make_conflict: Callable[[bytes], str], recover: Recover | None = None) -> Settled:
        """Compare with the past, and turn what is new into segments; nothing is visible before the manifest is renamed.

        The unit is the record, its key `(event_id, line)`: the first that came is stored; one with the same key and the
        same body is a duplicate; one with the same key and another body is a conflict, and is rejected with the reason
        `conflict`. A record without an id of its own is named after its content and its occurrence within its file, so
        that exact repeats inside a file are kept, and the same file again stores nothing.

        Args:
            make_conflict: Makes the original record, as text, of its `raw` bytes.
            recover: Finds the originals of records (by `record`, ascending) that were added without `raw`.

        Raises:
            duckdb.Error, OSError: The disk is full, or gone. The shop is as it was.
        """
        try:
            settled = Settled()
            self._staged.close()
            if self._records:
                settled = self._sort_out(make_conflict, recover)
            return replace(settled, quarantine_file=self._finish_rejected())
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _sort_out(self, make_conflict: Callable[[bytes], str], recover: Recover | None) -> Settled:
        past = Past(self._writer.store, self._writer.manifest, self._key, self.import_id)
        new = digests.repeats(self._heads)
        judgement = Judgement(self._rows, self._records, new, self._renamed(new))
        found = judgement.compare(past, self._lined)
        run = durable_run(self._root, self.import_id, judgement.entries, found, self._key)
        index = past.extended(run)
        if run not in index:  # it is empty, or merged with others
            (self._root / run.file).unlink()
        counts = judgement.counts()
        if counts["conflict"]:
            nth = np.flatnonzero(judgement.flags & CONFLICT)
            self._reject_conflicts(nth, make_conflict, recover)
        settled = Settled(counts["stored"], counts["duplicate"], counts["conflict"], index=index, notes=past.notes,
                          flags=judgement.flags)
        if not counts["stored"]:
            return settled
        dropped = np.flatnonzero(judgement.flags)
        cut = Cutter(self._root, self._folder, self.import_id)
        segments = cut.all(ahead(self._staged.in_order(dropped, new, _INNER), _AHEAD))
        return replace(settled, rows=sum(one.rows for one in segments), segments=segments)

    def _renamed(self, new: Renamed) -> Entries:
        """The entries of the rows of renamed records, under their new names."""
        out = Entries(self._folder, "renamed")
        if len(new.record):
            for table in self._staged.some(new.record, ["event_id", "line", "digest"]):
                nth = table.column("nth").to_numpy()
                names = digests.renamed(table.column("event_id"), nth, new)
                keys = event_keys(names, table.column("line").to_numpy(), self._key)
                out.add(digests.entries(keys, table.column("digest"), nth))
        return out

    def _reject_conflicts(self, conflicts: npt.NDArray[np.int64], make_conflict: Callable[[bytes], str],
                          recover: Recover | None) -> None:
        """Put each conflicting record into quarantine, in the order of receipt."""
        for table in self._staged.some(conflicts, ["record", "line", "file", "source_line", "raw"]):
            order = np.lexsort((table.column("line").to_numpy(), table.column("nth").to_numpy()))
            nth = table.column("nth").to_numpy()[order]
            heads = table.take(pa.array(order[np.diff(nth, prepend=-1) > 0]))  # the first row of each
            n = heads.num_rows
            raw = heads.column("raw").to_pylist() if "raw" in heads.column_names else [None] * n
            records = heads.column("record").to_numpy()
            lost = records[[cell is None for cell in raw]]
            found = recover(lost) if recover is not None and len(lost) else {}
            texts = [found[record] if cell is None else make_conflict(cell)
                     for record, cell in zip(records.tolist(), raw, strict=True)]
            self.reject(pa.table({
                "file": heads.column("file"), "source_line": heads.column("source_line"),
                "reason": pa.repeat(pa.scalar("conflict"), n), "detail": pa.nulls(n, pa.string()),
                "field": pa.repeat(pa.scalar("event_id"), n), "record": pa.array(texts, pa.string())}))

    def _finish_rejected(self) -> str | None:
        if self._rejected is None:
            return None
        self._rejected.close()
        return finished(self._root, self._folder / "rejected.parquet", f"quarantine/{self.import_id}.parquet")


class Cutter:
    """Cuts a stream of rows, sorted by time, into segments at day boundaries (UTC).

    Args:
        root: The shop's folder.
        folder: Where a segment is written before it is renamed.
        import_id: Stands in each row and in the name of each file.
        closes: Rows after which a segment closes at the next day boundary.
        largest: Rows after which it closes within a day.
    """

    def __init__(self, root: Path, folder: Path, import_id: str, closes: int = SEGMENT_ROWS,
                 largest: int = LARGEST_SEGMENT) -> None:
        self._root, self._folder, self._import_id = root, folder, import_id
        self._closes, self._largest = closes, largest
        self._segments: list[Segment] = []
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []  # rows of the open segment that do not fill a row group yet
        self._rows = self._events = self._first = self._last = 0

    def all(self, batches: Iterable[pa.RecordBatch | pa.Table]) -> tuple[Segment, ...]:
        """Write every row."""
        for batch in batches:
            self._take(self._whole(batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])))
        self._close()
        return tuple(self._segments)

    def _whole(self, part: pa.Table) -> pa.Table:
        """The rows with all stored columns, texts perhaps as codes; those that the import never fills are null."""
        n = part.num_rows
        columns = {field.name: part.column(field.name) if field.name in part.column_names else pa.nulls(n, field.type)
                   for field in STORED}
        columns["import_id"] = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [self._import_id])
        return pa.table(columns)

    def _take(self, rows: pa.Table) -> None:
        when = rows.column("ts").cast(pa.int64()).to_numpy()
        start = 0
        while start < len(when):
            end = self._end(when, start)
            if end > start:
                self._write(rows.slice(start, end - start), when[start:end])
            if end < len(when):
                self._close()
            start = end

    def _end(self, when: npt.NDArray[np.int64], start: int) -> int:
        """Where in this batch the open segment ends."""
        n = len(when)
        room = self._closes - self._rows
        if start + room >= n:
            return n
        last = self._last if room <= 0 else int(when[start + room - 1])
        boundary = int(np.searchsorted(when, (last // DAY + 1) * DAY))
        return max(start, min(boundary, start + self._largest - self._rows, n))

    def _write(self, rows: pa.Table, when: npt.NDArray[np.int64]) -> None:
        if self._writer is None:
            self._first = int(when[0])
            dictionary = [name for name in STORED.names if name not in DENSE]
            # codes are written as they are; without the schema of Arrow in the file they are read as the texts
            self._writer = pq.ParquetWriter(self._folder / "segment.parquet", rows.schema, compression="zstd",
                                            use_dictionary=dictionary, write_statistics=BOUNDED, store_schema=False)
        self._held.append(rows)
        self._rows += rows.num_rows
        self._events += pc.sum(pc.equal(rows.column("line"), 0)).as_py() or 0
        self._last = int(when[-1])
        held = sum(part.num_rows for part in self._held)
        if held >= GROUP_ROWS:
            self._flush(held // GROUP_ROWS * GROUP_ROWS)

    def _flush(self, rows: int | None = None) -> None:
        """Write so many of the rows that are held; all where nothing is said."""
        if self._held and self._writer is not None:
            table = filled(alike(self._held), self._writer.schema)
            self._writer.write_table(table.slice(0, rows), row_group_size=GROUP_ROWS)
            self._held = [] if rows is None or rows == table.num_rows else [table.slice(rows)]

    def _close(self) -> None:
        """Finish the open segment: durable under its own name, named by no manifest yet."""
        if self._writer is None:
            return
        self._flush()
        self._writer.close()
        self._writer = None
        day = np.datetime64(self._first, "us").astype("datetime64[D]")
        file = f"segments/{day}-{self._import_id}-{len(self._segments):04d}.parquet"
        finished(self._root, self._folder / "segment.parquet", file)
        self._segments.append(Segment(file, self._rows, self._events, self._first, self._last, self._import_id))
        self._rows = self._events = 0


def finished(root: Path, path: Path, file: str) -> str:
    """Make a finished file durable and give it its name within the shop."""
    sync_file(path)
    make_folder((root / file).parent)
    os.replace(path, root / file)
    sync_folder((root / file).parent)
    return file
