"""What a reader hands on: a batch of raw records with their lines, and the records that could not be parsed.

Nothing is mapped or judged here. `encode_records` gives each record one canonical byte string, from which a digest
can be made that does not depend on column order, on the batch, or on how a file stores the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.words import Sentence

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "RECORD_HEAD", "Broken", "RawBatch", "canonical", "decode_record",
           "encode_records"]

BATCH_ROWS = 65_536         # records a batch, at most
BATCH_BYTES = 32 << 20      # bytes of values a batch, about
RECORD_HEAD = 64 << 10      # bytes kept of a record that is too large
_LISTED_LENGTHS = 4_096     # up to this length a cell's prefix is looked up, above it is put together


@dataclass(frozen=True)
class Broken:
    """One record that could not be parsed.

    Attributes:
        line: Where it starts, as `RawBatch.line`.
        reason: One word for programs: `encoding`, `fields`, `quote`, `nul`, `too_large`, `truncated`, `json`, ...
        detail: The same for people.
        record: The original text. Bytes that are no text stand as `\\xNN`. Of a record that is too large, the first
            64 KiB.
        spill: The file that holds the whole record where `record` holds only its head.
        field: What it is about, as the source calls it; None where that is no single field.
    """

    line: int
    reason: str
    detail: Sentence
    record: str
    spill: Path | None = None
    field: str | None = None


@dataclass(frozen=True)
class RawBatch:
    """Records as the source has them.

    Attributes:
        table: A column for each field, named as in the source. Text formats give strings, null where the field is empty
            or missing; Parquet and Arrow keep their types, structs flattened to dotted names and lists as JSON text.
        line: (n,) the line where each record starts, counted from 1 as an editor shows it; the row number for
            Parquet and Arrow (from 1) and for XLSX (as the sheet shows it).
        broken: The records of this part of the source that could not be parsed.
    """

    table: Any
    line: npt.NDArray[np.int64]
    broken: list[Broken] = field(default_factory=list)

    @property
    def received(self) -> int:
        """How many records this batch accounts for, parsed or not."""
        return len(self.line) + len(self.broken)


def encode_records(table: Any) -> Any:
    r"""Each row as one canonical byte string: `name=length:value` for every cell that is not null, names sorted.

    Two rows encode alike exactly when they have the same names and the same values as text: the order of columns,
    columns that are null and the batch around a row do not matter. A whole-numbered float or decimal encodes as the
    integer (`1.0` and `-0.0` as `1` and `0`), other floats as the shortest text that reads back to them, whole seconds
    without a fraction, times with a zone in UTC with a `Z`. Strings encode as they are: `"1.0"` in a CSV file is not
    `1`. In names, `=` and `\` are escaped by `\`. Lengths are in bytes of UTF-8.

    Args:
        table: A `pyarrow.Table` or record batch of flat columns with different names.

    Returns:
        A `pyarrow` binary array, one value a row.

    Raises:
        ValueError: Two columns have the same name.

    >>> encode_records(pa.table({"b": [1.0, 2.5], "a": ["x", None]})).to_pylist()
    [b'a=1:xb=1:1', b'b=3:2.5']
    """
    names = table.schema.names
    if len(set(names)) != len(names):
        raise ValueError(f"columns with the same name: {sorted({n for n in names if names.count(n) > 1})}")
    order = sorted(range(len(names)), key=names.__getitem__)
    batches = pa.table(table).to_batches(max_chunksize=BATCH_ROWS) if isinstance(table, pa.Table) else [table]
    parts = [_encode_batch(batch, order) for batch in batches]
    return parts[0] if len(parts) == 1 else pa.concat_arrays([pa.array([], pa.binary()), *parts])


def decode_record(record: bytes) -> dict[str, str]:
    r"""The cells of a row that `encode_records` encoded, as text; the inverse where the row held text.

    Raises:
        ValueError: The bytes are not such a record.

    >>> decode_record(rb"a\=b=2:hic=0:")
    {'a=b': 'hi', 'c': ''}
    """
    cells, at = {}, 0
    while at < len(record):
        name, at = _decode_name(record, at)
        colon = record.index(b":", at)
        end = colon + 1 + int(record[at:colon])
        if end > len(record):
            raise ValueError("the record ends inside a value")
        cells[name] = record[colon + 1:end].decode("utf-8", "backslashreplace")
        at = end
    return cells


def _decode_name(record: bytes, at: int) -> tuple[str, int]:
    name = bytearray()
    while record[at:at + 1] != b"=":
        if at >= len(record):
            raise ValueError("the record ends inside a name")
        at += record[at:at + 1] == b"\\"
        name += record[at:at + 1]
        at += 1
    return name.decode("utf-8"), at + 1


def _encode_batch(batch: Any, order: list[int]) -> Any:
    pieces: list[Any] = []
    for position in order:
        column = batch.column(position)
        if column.null_count == len(column):
            continue
        values = canonical(column)
        pieces += [_prefixes(batch.schema.names[position], values), values]
    if not pieces:
        return pa.array([b""] * batch.num_rows, pa.binary())
    # "skip" would do the same, but leaves out a row of nulls altogether (pyarrow 26), which shifts those below it
    return pc.binary_join_element_wise(*pieces, b"", null_handling="replace", null_replacement=b"")


def _prefixes(name: str, values: Any) -> Any:
    """`name=length:` for each value, null for null; (n,) binary."""
    escaped = name.replace("\\", "\\\\").replace("=", "\\=").encode()
    lengths = pc.binary_length(values)
    longest = pc.max(lengths).as_py()
    if longest <= _LISTED_LENGTHS:
        listed = pa.array([b"%s=%d:" % (escaped, n) for n in range(longest + 1)], pa.binary())
        return listed.take(lengths)
    digits = lengths.cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(escaped + b"=", digits, b":", b"", null_handling="emit_null")


def canonical(column: Any) -> Any:
    """A column as binary, each value in its canonical text (`encode_records`); null stays null.

    What is computed depends on the value alone.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return canonical(column.dictionary_decode())
    if pa.types.is_floating(kind):
        return _float_text(column).cast(pa.binary())
    if pa.types.is_decimal(kind):
        return _decimal_text(column).cast(pa.binary())
    if pa.types.is_timestamp(kind):
        return _timestamp_text(column).cast(pa.binary())
    if pa.types.is_binary(kind):
        return column
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.binary())
    return column.cast(pa.string()).cast(pa.binary())


def _float_text(column: Any) -> Any:
    text = column.cast(pa.string())
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = (np.abs(values) < 2.0**63) & (np.trunc(values) == values)
    whole &= column.is_valid().to_numpy(zero_copy_only=False)
    if not whole.any():
        return text
    integers = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    return pc.if_else(pa.array(whole), integers, text)


def _decimal_text(column: Any) -> Any:
    text = column.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():   # Arrow writes 0.000000001 as 1E-9
        text = pa.array([None if value is None else format(value, "f") for value in column.to_pylist()], pa.string())
    if column.type.scale <= 0:
        return text
    return pc.utf8_rtrim(pc.utf8_rtrim(text, characters="0"), characters=".")


def _timestamp_text(column: Any) -> Any:
    """ISO text with the fraction left out where it is zero; nanoseconds only where there are some."""
    zone = "Z" if column.type.tz else ""
    naive = column.cast(pa.timestamp(column.type.unit, "UTC" if zone else None)).cast(pa.timestamp(column.type.unit))
    micros, nanos = naive, None
    if column.type.unit == "ns":
        ticks = naive.cast(pa.int64()).fill_null(0).to_numpy()
        micros = pa.array(ticks // 1000, pa.timestamp("us"))
        nanos = ticks % 1000
    elif column.type.unit != "us":
        micros = naive.cast(pa.timestamp("us"))
    text = micros.cast(pa.string())
    text = pc.if_else(pc.ends_with(text, ".000000"), pc.utf8_slice_codeunits(text, 0, -7), text)
    if nanos is not None and nanos.any():
        digits = pc.utf8_lpad(pa.array(nanos).cast(pa.string()), 3, padding="0")
        fine = pc.binary_join_element_wise(micros.cast(pa.string()), digits, "")
        text = pc.if_else(pa.array(nanos > 0), fine, text)
    text = pc.binary_join_element_wise(text, zone, "") if zone else text
    return pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))
