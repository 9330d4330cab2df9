"""Parquet and Arrow: columns that keep their types, made flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from shopkeeper.errors import BadInput
from shopkeeper.events.raw import BATCH_BYTES, BATCH_ROWS, Broken, RawBatch
from shopkeeper.events.readers.base import Counter, header_names
from shopkeeper.words import Sentence, say

__all__ = ["ARROW_ERRORS", "arrow_file_parts", "flat", "parquet_parts", "plain", "table_parts"]

# what pyarrow raises for a file that is not sound
ARROW_ERRORS = (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError)

_BEYOND_ASCII = 0x80


def parquet_parts(path: Path, counter: Counter, problems: list[Sentence]) -> Iterator[RawBatch]:
    """The rows of a Parquet file, counted from 1.

    Raises:
        BadInput: The file is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            rows = max(1, file.metadata.num_rows)
            unpacked = sum(file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups))
            size = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, unpacked)))
            start = 0
            if file.metadata.num_rows == 0:
                yield _part(flat(file.schema_arrow.empty_table(), []), 0)
            for batch in file.iter_batches(batch_size=size):
                yield _part(flat(pa.Table.from_batches([batch]), [] if start else problems), start)
                start += batch.num_rows
                counter.bytes_read = counter.bytes_total * start // rows
    except ARROW_ERRORS as error:
        raise _damaged(path, "Parquet", error) from None


def arrow_file_parts(path: Path, counter: Counter, problems: list[Sentence]) -> Iterator[RawBatch]:
    """The rows of an Arrow (Feather) file, counted from 1.

    Raises:
        BadInput: The file is damaged.
    """
    try:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
            start = 0
            if file.num_record_batches == 0:
                yield _part(flat(file.schema.empty_table(), []), 0)
            for number in range(file.num_record_batches):
                table = pa.Table.from_batches([file.get_batch(number)])
                yield from table_parts(table, start, [] if start else problems)
                start += table.num_rows
                counter.bytes_read = counter.bytes_total * (number + 1) // file.num_record_batches
    except ARROW_ERRORS as error:
        raise _damaged(path, "Arrow", error) from None


def table_parts(table: Any, start: int, problems: list[Sentence]) -> Iterator[RawBatch]:
    """A table by slices; `start` rows came before it."""
    for at in range(0, max(1, table.num_rows), BATCH_ROWS):
        yield _part(flat(table.slice(at, BATCH_ROWS), [] if at else problems), start + at)


def _part(table: Any, start: int) -> RawBatch:
    """Rows as a part; those whose text is none, or holds NUL, are set aside as the text formats do."""
    lines = np.arange(start + 1, start + 1 + table.num_rows, dtype=np.int64)
    suspect = table.select([n for n, column in enumerate(table.columns) if not _plain_text(column)])
    broken = {**_nul_rows(suspect), **_no_text_rows(suspect)}       # no text is the graver of the two
    if not broken:
        return RawBatch(table, lines)
    good = np.ones(table.num_rows, dtype=np.bool_)
    good[list(broken)] = False
    return RawBatch(table.filter(pa.array(good)), lines[good],
                    [Broken(start + 1 + row, *broken[row], _as_record(table, row)) for row in sorted(broken)])


def _plain_text(column: Any) -> bool:
    """Whether a column is no text, or all of its bytes are ASCII without NUL: then no row has to be looked at."""
    if not pa.types.is_string(column.type):
        return True
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        _, places, values = chunk.buffers()
        if places is None or values is None or not len(chunk):
            continue
        ends = np.frombuffer(places, np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
        data = np.frombuffer(values, np.uint8)[ends[0]:ends[1]]
        if data.size and (data.min() == 0 or data.max() >= _BEYOND_ASCII):
            return False
    return True


def _nul_rows(table: Any) -> dict[int, tuple[str, Sentence]]:
    rows: set[int] = set()
    for column in table.columns:
        if pa.types.is_string(column.type):
            found = pc.match_substring(column.cast(pa.binary()), b"\0")
            if pc.any(found).as_py():
                rows |= set(pc.indices_nonzero(found).to_pylist())
    return dict.fromkeys(rows, ("nul", say("the record holds a NUL byte.")))


def _no_text_rows(table: Any) -> dict[int, tuple[str, Sentence]]:
    rows: set[int] = set()
    for column in table.columns:
        if pa.types.is_string(column.type) and not _valid(column):
            values = column.cast(pa.binary()).to_pylist()
            rows |= {row for row, value in enumerate(values) if value is not None and not _valid_text(value)}
    return dict.fromkeys(rows, ("encoding", say("the record holds bytes that are not UTF-8.")))


def _valid(column: Any) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _valid_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _as_record(table: Any, row: int) -> str:
    """A row as JSON text; bytes that are no text stand escaped."""
    cells: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        text = pa.types.is_string(column.type)
        value = (column.slice(row, 1).cast(pa.binary()) if text else column.slice(row, 1))[0].as_py()
        cells[name] = value.decode("utf-8", "backslashreplace") if text and value is not None else value
    return msgspec.json.encode(cells, enc_hook=plain).decode()


def _damaged(path: Path, kind: str, error: BaseException) -> BadInput:
    return BadInput(say("{name} is not a sound {kind} file: {error}.", name=path.name, kind=kind,
                        error=str(error).partition("\n")[0].rstrip(". ")),
                    do=[say("Copy or export the file again; it may have been cut on its way")])


def flat(table: Any, problems: list[Sentence]) -> Any:
    """A table without structs (dotted names instead), lists (JSON text), dictionaries, or types with no plain text."""
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    names = header_names(table.column_names, problems)
    return pa.table([_plain_column(column) for column in table.columns], names=names)


def _plain_column(column: Any) -> Any:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_column(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _plain_column(column.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    simple = (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
              or pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_date(kind)
              or pa.types.is_timestamp(kind) or pa.types.is_time(kind))
    if simple:
        return column
    return pa.chunked_array([pa.array([_as_text(value) for value in column.to_pylist()], pa.string())])


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return _bytes_text(value)
    if isinstance(value, list | dict | tuple):
        return msgspec.json.encode(value, enc_hook=plain, order="deterministic").decode()
    return str(value)


def _bytes_text(value: bytes) -> str:
    """Bytes as the text that they are, else in hexadecimal digits."""
    return value.decode("utf-8") if _valid_text(value) else value.hex()


def plain(value: Any) -> Any:
    """What JSON does not know, as what it does: numpy's scalars and arrays, bytes, anything else as its text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return _bytes_text(value) if isinstance(value, bytes) else str(value)
