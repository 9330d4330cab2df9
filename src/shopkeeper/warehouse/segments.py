"""How events become immutable segments: staged as they come, compared with the past, sorted, cut by day.

An import writes into `segments/.staging-<import>/`; nothing there counts. `settle` compares every record with the whole
past and with the import itself, in steps of the engine that may spill, and leaves finished segments that no manifest
names yet. Memory is bounded by `MEMORY` and the batch, not by the import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.events.schema import EVENTS
from shopkeeper.warehouse import digests
from shopkeeper.warehouse.manifest import Manifest, Segment
from shopkeeper.warehouse.store import Writer, make_folder, sync_file, sync_folder
from shopkeeper.warehouse.tables import QUARANTINE, STORED

MEMORY = "400MB"             # the engine's working memory while it compares and sorts
DAY = 86_400_000_000         # microseconds
SEGMENT_ROWS = 200_000       # a segment closes at the first day boundary (UTC) after so many rows
LARGEST_SEGMENT = 1_000_000  # a day with more takes several segments
GROUP_ROWS = 1 << 16         # rows of a Parquet row group
DENSE = ["event_id", "digest", "raw", "source_line", "record"]  # columns in which a dictionary would be in vain

STAGED = pa.schema([*EVENTS, ("digest", pa.binary(16)), ("own_id", pa.bool_()), ("record", pa.int64()),
                    ("source_number", pa.int32()), ("file", pa.string()), ("source_line", pa.int64()),
                    ("raw", pa.binary())])


@dataclass(frozen=True)
class Settled:
    """What became of the accepted records of an import.

    Attributes:
        stored, duplicate, conflicts: Records; their sum is what was added.
        rows: Rows of the event table that were stored.
        segments: The new segments.
        quarantine_file: The new file of rejected records, or None.
    """

    stored: int = 0
    duplicate: int = 0
    conflicts: int = 0
    rows: int = 0
    segments: tuple[Segment, ...] = ()
    quarantine_file: str | None = None

    def manifest(self, before: Manifest) -> Manifest:
        """The manifest with what is new; the caller commits."""
        quarantine = before.quarantine + ((self.quarantine_file,) if self.quarantine_file else ())
        return replace(before, segments=before.segments + self.segments, quarantine=quarantine)


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
        self._source = 0
        self._present: dict[str, None] = {}  # columns of the event table that say anything
        self._lined = False                  # some record has several rows
        self._events: pq.ParquetWriter | None = None
        self._rejected: pq.ParquetWriter | None = None

    def next_source(self) -> None:
        """Say that what is added from here on comes from another file: exact repeats are counted within a file."""
        self._source += 1

    def add(self, table: pa.Table) -> None:
        """Stage accepted rows.

        Args:
            table: Columns of the event table, and `digest` (binary(16), of the row's or the record's body), `record`
                (int64, order of receipt, its own for each record), `file`, `source_line`, `raw` (the original record),
                and, if they are there, `own_id` (false: the sender gave no id, `event_id` follows from the digest) and
                `source_number` (int32: which file a record came with, where one table holds records of many; without it
                all are of the file that `next_source` began). All rows of a record stand in one table.
        """
        if table.num_rows == 0:
            return
        if "own_id" not in table.column_names:
            table = table.append_column("own_id", pa.array(np.ones(table.num_rows, dtype=bool)))
        if "source_number" not in table.column_names:
            number = pa.repeat(pa.scalar(self._source, pa.int32()), table.num_rows)
            table = table.append_column("source_number", number)
        table, several = digests.by_record(table.select(STAGED.names).cast(STAGED))
        self._lined |= several
        self._present |= {name: None for name in EVENTS.names if table.column(name).null_count < table.num_rows}
        if self._events is None:
            self._events = pq.ParquetWriter(self._folder / "events.parquet", STAGED, compression="lz4",
                                            use_dictionary=[name for name in STAGED.names if name not in DENSE])
        self._events.write_table(table, row_group_size=GROUP_ROWS)

    def reject(self, table: pa.Table) -> None:
        """Stage rejected records: the columns of `tables.QUARANTINE`, of which `import_id` and `at` are filled here."""
        if table.num_rows == 0:
            return
        here = {"import_id": pa.repeat(pa.scalar(self.import_id), table.num_rows),
                "at": pa.repeat(pa.scalar(self._at, pa.int64()), table.num_rows).cast(pa.timestamp("us"))}
        columns = {name: here[name] if name in here else table.column(name) for name in QUARANTINE.names}
        if self._rejected is None:
            self._rejected = pq.ParquetWriter(self._folder / "rejected.parquet", QUARANTINE, compression="zstd")
        self._rejected.write_table(pa.table(columns, schema=QUARANTINE))

    def settle(self, make_conflict: Callable[[bytes], str]) -> Settled:
        """Compare with the past, and turn what is new into segments; nothing is visible before the manifest is renamed.

        The unit is the record, its key `(event_id, line)`: the first that came is stored; one with the same key and the
        same body is a duplicate; one with the same key and another body is a conflict, and is rejected with the reason
        `conflict`. A record without an id of its own is named after its content and its occurrence within its file, so
        that exact repeats inside a file are kept, and the same file again stores nothing.

        Args:
            make_conflict: Makes the original record, as text, of its `raw` bytes.

        Raises:
            duckdb.Error, OSError: The disk is full, or gone. The shop is as it was.
        """
        try:
            settled = Settled()
            if self._events is not None:
                self._events.close()
                with self._connected() as base:
                    settled = self._sort_out(base, make_conflict)
            return replace(settled, quarantine_file=self._finish_rejected())
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """An engine that spills into the staging folder."""
        base = duckdb.connect(config={
            "memory_limit": MEMORY, "temp_directory": str(self.spill), "preserve_insertion_order": False,
            "threads": min(os.cpu_count() or 1, 4)})
        try:
            base.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            yield base
        finally:
            base.close()

    def _sort_out(self, base: Any, make_conflict: Callable[[bytes], str]) -> Settled:
        past = [str(self._root / segment.file) for segment in self._writer.manifest.segments]
        counts = digests.judge(base, str(self._folder / "events.parquet"), past, self._lined)
        if counts["conflict"]:
            self._reject_conflicts(base, make_conflict)
        if not counts["stored"]:
            return Settled(0, counts["duplicate"], counts["conflict"])
        columns = [name for name in STORED.names if name in self._present or name in ("digest", "file", "source_line")]
        cut = Cutter(self._root, self._folder, self.import_id)
        reader = digests.survivors(base, columns, GROUP_ROWS)
        segments = cut.all(reader)
        return Settled(counts["stored"], counts["duplicate"], counts["conflict"], sum(one.rows for one in segments),
                       segments)

    def _reject_conflicts(self, base: Any, make_conflict: Callable[[bytes], str]) -> None:
        for batch in digests.conflicts(base):
            n = batch.num_rows
            records = [make_conflict(raw) for raw in batch.column("raw").to_pylist()]
            nothing = pa.nulls(n, pa.string())
            self.reject(pa.table({
                "file": batch.column("file"), "source_line": batch.column("source_line"),
                "reason": pa.repeat(pa.scalar("conflict"), n), "detail": nothing,
                "field": pa.repeat(pa.scalar("event_id"), n), "record": pa.array(records, pa.string())}))

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

    def all(self, reader: pa.RecordBatchReader) -> tuple[Segment, ...]:
        """Write every row."""
        for batch in reader:
            self._take(self._whole(pa.Table.from_batches([batch])))
        self._close()
        return tuple(self._segments)

    def _whole(self, part: pa.Table) -> pa.Table:
        """The rows with all stored columns; those that the import never fills are null."""
        n = part.num_rows
        columns = {field.name: part.column(field.name) if field.name in part.column_names else pa.nulls(n, field.type)
                   for field in STORED}
        columns["import_id"] = pa.repeat(pa.scalar(self._import_id), n)
        return pa.table(columns).cast(STORED)

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
            self._writer = pq.ParquetWriter(self._folder / "segment.parquet", STORED, compression="zstd",
                                            use_dictionary=dictionary)
        self._held.append(rows)
        self._rows += rows.num_rows
        self._events += pc.sum(pc.equal(rows.column("line"), 0)).as_py() or 0
        self._last = int(when[-1])
        if sum(part.num_rows for part in self._held) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held and self._writer is not None:
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks(), row_group_size=GROUP_ROWS)
            self._held = []

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
