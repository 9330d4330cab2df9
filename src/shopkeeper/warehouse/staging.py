"""The rows of an import while nobody knows yet which of them are new: in memory while they are few, else on disk."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.warehouse.digests import Renamed, renamed
from shopkeeper.warehouse.engine import parquet

__all__ = ["GROUP_ROWS", "MEMORY", "Staged"]

MEMORY = "1200MB"         # the engine's working memory while it sorts
HELD = 96 << 20           # bytes of rows that stay in memory
GROUP_ROWS = 1 << 16      # rows of a Parquet row group
_DENSE = frozenset({"event_id", "digest", "raw", "source_line", "record", "nth", "ts"})  # a dictionary would be in vain
_ORDER = ("ts", "event_id", "line")
Rows = npt.NDArray[np.int64]


class Staged:
    """Rows as they came, with `nth`, the record's number within the import.

    Args:
        folder: For what does not fit into memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[pa.Table] = []
        self._bytes = self.rows = 0
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Take rows; columns that say nothing are left out."""
        n = table.num_rows
        table = table.select([name for name in table.column_names if table.column(name).null_count < n])
        self.rows += n
        self._held.append(table)
        self._bytes += table.nbytes
        if self._bytes > HELD or self._writer is not None:
            for one in self._held:
                self._write(one)
            self._held, self._bytes = [], 0

    def _write(self, table: pa.Table) -> None:
        if self._writer is not None and not set(table.column_names) <= set(self._writer.schema.names):
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._files.append(self._folder / f"staged-{len(self._files):04d}.parquet")
            self._writer = pq.ParquetWriter(
                self._files[-1], table.schema, compression="lz4", write_statistics=["ts"],
                use_dictionary=[name for name in table.column_names if name not in _DENSE])
        columns = [table.column(field.name) if field.name in table.column_names
                   else pa.nulls(table.num_rows, field.type) for field in self._writer.schema]
        self._writer.write_table(pa.table(columns, schema=self._writer.schema), row_group_size=GROUP_ROWS)

    def close(self) -> None:
        """Nothing more comes."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def some(self, nth: Rows, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of some records, in the order in which they were added.

        Args:
            nth: Numbers of the records, ascending.
            columns: Which are wanted; one that says nothing is null.
        """
        for table in self._tables(["nth", *columns]):
            number = table.column("nth").to_numpy()
            at = np.minimum(np.searchsorted(nth, number), len(nth) - 1)
            found = np.flatnonzero(nth[at] == number)
            if len(found):
                yield table.take(pa.array(found))

    def _tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for path in self._files:
            with pq.ParquetFile(path) as file:
                there = [name for name in columns if name in file.schema_arrow.names]
                for batch in file.iter_batches(GROUP_ROWS, columns=there):
                    yield pa.Table.from_batches([batch])
        yield from self._held

    def in_order(self, dropped: Rows, new: Renamed, left_out: Sequence[str]
                 ) -> Generator[pa.RecordBatch, None, None]:
        """All rows but those of some records, by time, event and line.

        Args:
            dropped: Numbers of the records that are left out, ascending.
            new: Records whose rows get another `event_id`.
            left_out: Columns that are not wanted.
        """
        if not self._files:
            yield from self._sorted_here(dropped, new, left_out)
            return
        with self._connected() as base:
            yield from self._sorted_by_engine(base, dropped, new, left_out)

    def _sorted_here(self, dropped: Rows, new: Renamed, left_out: Sequence[str]) -> Iterator[pa.RecordBatch]:
        table = pa.concat_tables(self._held, promote_options="default")
        number = table.column("nth").to_numpy()
        again = new.among(number)
        if again.any():
            rows = pa.array(np.flatnonzero(again))
            names = renamed(table.column("event_id").take(rows), number[again], new)
            every = pc.replace_with_mask(table.column("event_id").combine_chunks(), pa.array(again), names)
            table = table.set_column(table.column_names.index("event_id"), "event_id", every)
        table = table.drop_columns([name for name in left_out if name in table.column_names])
        if len(dropped):
            table = table.filter(pa.array(~np.isin(number, dropped)))
        order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _ORDER])
        for at in range(0, len(order), GROUP_ROWS):
            yield from table.take(order.slice(at, GROUP_ROWS)).combine_chunks().to_batches()

    def _sorted_by_engine(self, base: Any, dropped: Rows, new: Renamed,
                          left_out: Sequence[str]) -> Iterator[pa.RecordBatch]:
        base.register("dropped", pa.table({"nth": dropped}))
        base.register("renamed", pa.table({"nth": new.record, "occurrence": new.occurrence}))
        columns = {name: None for path in self._files for name in pq.read_schema(path).names if name not in left_out}
        cells = {name: f's."{name}"' for name in columns}
        join = ""
        if len(new.record):
            join = "LEFT JOIN renamed r ON s.nth = r.nth"
            cells["event_id"] = ("CASE WHEN r.nth IS NULL THEN s.event_id ELSE s.event_id || '-' || r.occurrence END "
                                 "AS event_id")
        source = parquet(self._files).removesuffix(")") + ", union_by_name = true)"
        keep = "WHERE s.nth NOT IN (SELECT nth FROM dropped)" if len(dropped) else ""
        reader = base.sql(f"SELECT {', '.join(cells.values())} FROM {source} s {join} {keep} "
                          f"ORDER BY {', '.join(_ORDER)}").to_arrow_reader(GROUP_ROWS)
        yield from reader

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """An engine that spills into the folder."""
        base = duckdb.connect(config={
            "memory_limit": MEMORY, "temp_directory": str(self._folder / "spill"), "preserve_insertion_order": False,
            "threads": min(os.cpu_count() or 1, 4)})
        try:
            base.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            yield base
        finally:
            base.close()
