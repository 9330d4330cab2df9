"""The rows of an import while nobody knows yet which of them are new: in memory while they are few, else on disk.

On disk they lie in pieces, each sorted by time and mapped, not read: then a span of time is a slice of each piece, and
the whole comes out in order span by span, with memory for one of them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from shopkeeper.warehouse.digests import Renamed, renamed

__all__ = ["GROUP_ROWS", "MEMORY", "Staged", "alike", "filled"]

MEMORY = "1200MB"         # the engine's working memory, where it has to sort a span
HELD = 96 << 20           # bytes of rows that stay in memory, and of a piece
SPAN = 192 << 20          # bytes of rows that are put in order at once, about
SPAN_ROWS = 1 << 18       # and rows
LARGEST_SPAN = 768 << 20  # bytes of rows of one time above which the engine sorts them, on disk
GROUP_ROWS = 1 << 16      # rows of a Parquet row group
SAMPLE, SAMPLED = 1 << 10, 1 << 20  # every so many rows of a piece, or bytes of them, a time is kept
CODES = 1 << 12           # a column of a piece with at most so many different texts is kept as codes
_LOOKED_AT, _FEW = 1 << 10, 1 << 7  # cells that are looked at first, and how many different ones promise few
_ORDER = ("ts", "event_id", "line")
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Piece:
    """Rows in a file, sorted by time.

    Attributes:
        path: The file; Arrow, not compressed.
        times: (k,) microseconds, of every `step`-th row, from the first on.
        step: Rows between two of them.
        width: Bytes of a row, on average.
        last: The time of the last row.
    """

    path: Path
    times: Rows
    step: int
    width: float
    last: int

    @contextmanager
    def mapped(self) -> Iterator[pa.Table]:
        """The rows; their memory is the file's, and gone afterwards."""
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as file:
            yield file.read_all()


class Staged:
    """Rows as they came, with `nth`, the record's number within the import.

    Args:
        folder: For what does not fit into memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[pa.Table] = []
        self._bytes = self.rows = 0
        self._pieces: list[_Piece] = []
        self._under_way: deque[Future[_Piece]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def add(self, table: pa.Table) -> None:
        """Take rows; columns that say nothing are left out."""
        n = table.num_rows
        table = table.select([name for name in table.column_names if table.column(name).null_count < n])
        self.rows += n
        self._held.append(table)
        self._bytes += table.nbytes
        if self._bytes > HELD:
            self._spill()

    def close(self) -> None:
        """Nothing more comes.

        Raises:
            OSError: The disk is full.
        """
        if self._pool is None:
            return
        try:
            if self._held:
                self._spill()
            while self._under_way:
                self._pieces.append(self._under_way.popleft().result())
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _spill(self) -> None:
        """Hand what is held to a thread that writes it; at most one more piece waits."""
        self._pool = self._pool or ThreadPoolExecutor(1)
        path = self._folder / f"piece-{len(self._pieces) + len(self._under_way):05d}.arrow"
        self._under_way.append(self._pool.submit(_written, path, self._held))
        self._held, self._bytes = [], 0
        if len(self._under_way) > 2:
            self._pieces.append(self._under_way.popleft().result())

    def some(self, nth: Rows, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of some records; those of a table all before those of the next, in the order of their numbers.

        Args:
            nth: Numbers of the records, ascending.
            columns: Which are wanted; one that says nothing is missing.
        """
        for table in self._tables():
            number = table.column("nth").to_numpy()
            at = np.minimum(np.searchsorted(nth, number), len(nth) - 1)
            found = np.flatnonzero(nth[at] == number)
            if len(found):
                names = [name for name in ("nth", *columns) if name in table.column_names]
                rows = table.select(names).take(pa.array(found[np.argsort(number[found], kind="stable")]))
                yield filled(rows, pa.schema([(field.name, _text_of(field.type)) for field in rows.schema]))

    def _tables(self) -> Iterator[pa.Table]:
        for piece in self._pieces:
            with piece.mapped() as table:
                yield table
        yield from self._held

    def in_order(self, dropped: Rows, new: Renamed, left_out: Sequence[str]) -> Generator[pa.Table, None, None]:
        """All rows but those of some records, by time, event and line; once, for what came out is gone.

        Args:
            dropped: Numbers of the records that are left out, ascending.
            new: Records whose rows get another `event_id`.
            left_out: Columns that are not wanted.

        Yields:
            At most `GROUP_ROWS` rows each; a column of text may be one of codes.
        """
        for parts in self._spans():
            if sum(part.nbytes for part in parts) > LARGEST_SPAN and self._pieces:
                yield from self._sorted_by_engine(parts, dropped, new, left_out)
                continue
            table = alike([_kept(part, dropped, new, left_out) for part in parts])
            del parts
            order = pa.array(_order(table))
            for at in range(0, len(order), GROUP_ROWS):
                yield table.take(order.slice(at, GROUP_ROWS))

    def _spans(self) -> Iterator[list[pa.Table]]:
        """The rows of one span of time after the other, as slices of the pieces; a piece that is through is removed."""
        if not self._pieces:
            yield self._held
            return
        left = self._pieces
        place = {piece.path: 0 for piece in left}
        for until in _bounds(left):
            parts = []
            for piece in [one for one in left if one.times[0] < until]:
                with piece.mapped() as table:
                    start = place[piece.path]
                    end = start + int(np.searchsorted(_times(table)[start:], until))
                    place[piece.path] = end
                    if end > start:
                        parts.append(table.slice(start, end - start))
            if parts:
                yield parts
            del parts
            for piece in [one for one in left if one.last < until]:
                piece.path.unlink()
            left = [one for one in left if one.last >= until]

    def _sorted_by_engine(self, parts: Sequence[pa.Table], dropped: Rows, new: Renamed,
                          left_out: Sequence[str]) -> Iterator[pa.Table]:
        """Rows of one time of which there are too many for the memory."""
        kinds = {field.name: _text_of(field.type) for part in parts for field in part.schema
                 if field.name not in left_out}
        schema = pa.schema(list(kinds.items()))
        batches = (batch for part in parts for at in range(0, part.num_rows, GROUP_ROWS)
                   for batch in filled(_kept(part.slice(at, GROUP_ROWS), dropped, new, left_out), schema).to_batches())
        with self._connected() as base:
            base.register("rows", pa.RecordBatchReader.from_batches(schema, batches))
            for batch in base.sql(f"SELECT * FROM rows ORDER BY {', '.join(_ORDER)}").to_arrow_reader(GROUP_ROWS):
                yield pa.Table.from_batches([batch])

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


def _written(path: Path, tables: Sequence[pa.Table]) -> _Piece:
    """Rows as a piece; few different texts as codes."""
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    when = _times(table)
    order = np.argsort(when, kind="stable")
    when, rows = when[order], pa.array(order)
    table = pa.table({name: _coded(table.column(name)).take(rows) for name in table.column_names}).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    width = max(1.0, table.nbytes / table.num_rows)
    step = max(1, min(SAMPLE, int(SAMPLED / width)))
    return _Piece(path, when[::step].copy(), step, width, int(when[-1]))


def _bounds(pieces: Sequence[_Piece]) -> list[int]:
    """Times up to which spans go (exclusive), each with about as many rows as are put in order at once."""
    times = np.concatenate([piece.times for piece in pieces])
    share = np.concatenate([np.full(len(piece.times), piece.step * max(1 / SPAN_ROWS, piece.width / SPAN))
                            for piece in pieces])
    order = np.argsort(times, kind="stable")
    full = np.floor(np.cumsum(share[order]))
    return [*np.unique(times[order][1:][np.diff(full) > 0]).tolist(), np.iinfo(np.int64).max]


def _times(table: pa.Table) -> Rows:
    """(n,) microseconds; of one chunk without a copy."""
    column = table.column("ts")
    cells = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    when: Rows = cells.view(pa.int64()).to_numpy(zero_copy_only=False)
    return when


def _coded(column: Any) -> Any:
    """A column of texts of which few are different, as codes; any other as it is."""
    if not pa.types.is_string(column.type):
        return column
    some = pa.array(np.linspace(0, len(column) - 1, min(len(column), _LOOKED_AT)).astype(np.int64))
    if len(column.take(some).unique()) > _FEW:
        return column
    coded = column.combine_chunks().dictionary_encode()
    return coded if len(coded.dictionary) <= CODES else column


def _kept(table: pa.Table, dropped: Rows, new: Renamed, left_out: Sequence[str]) -> pa.Table:
    """Rows without those of dropped records, under their new names, without some columns."""
    number = table.column("nth").to_numpy()
    table = table.drop_columns([name for name in left_out if name in table.column_names])
    if len(dropped):
        at = np.minimum(np.searchsorted(dropped, number), len(dropped) - 1)
        gone = dropped[at] == number
        if gone.any():
            table, number = table.filter(pa.array(~gone)), number[~gone]
    again = new.among(number)
    if again.any():
        names = renamed(table.column("event_id").filter(pa.array(again)), number[again], new)
        every = pc.replace_with_mask(table.column("event_id").combine_chunks(), pa.array(again), names)
        table = table.set_column(table.column_names.index("event_id"), "event_id", every)
    return table


def _order(table: pa.Table) -> Rows:
    """(n,) the rows by time, event and line."""
    when = _times(table)
    order: Rows = np.argsort(when, kind="stable")
    when = when[order]
    same = when[1:] == when[:-1]
    if same.any():
        rows = np.flatnonzero(np.append(same, False) | np.append(False, same))
        some = table.select(_ORDER).take(pa.array(order[rows]))
        order[rows] = order[rows][pc.sort_indices(some, sort_keys=[(name, "ascending") for name in _ORDER]).to_numpy()]
    return order


def alike(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables as one; a column that one of them lacks is null there, and texts are codes where they are in all of them.

    >>> few, many = pa.table({"a": pa.array(["x"]).dictionary_encode()}), pa.table({"a": ["y"], "b": [1]})
    >>> alike([few, many]).to_pydict(), alike([few, few]).column("a").to_pylist()
    ({'a': ['x', 'y'], 'b': [None, 1]}, ['x', 'x'])
    """
    kinds: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            kinds[field.name] = field.type if kinds.get(field.name, field.type) == field.type else _text_of(field.type)
    schema = pa.schema(list(kinds.items()))
    return pa.concat_tables([filled(table, schema) for table in tables]).unify_dictionaries().combine_chunks()


def filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with these columns: texts as codes or as texts, as the schema has them; null where the table has none."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            column = column.dictionary_encode() if pa.types.is_dictionary(field.type) else column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _text_of(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
