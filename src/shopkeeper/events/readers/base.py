"""What every reader shares: the options, the source that a caller iterates, and how small parts become batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.events.raw import BATCH_BYTES, BATCH_ROWS, Broken, RawBatch
from shopkeeper.words import Sentence, say

__all__ = ["MAX_COLUMNS", "ReadOptions", "Source", "gather", "header_names", "text_table"]

MAX_COLUMNS = 4_096         # different fields a file
_AROUND = " \t\xa0\u3000\ufeff"  # stands around names of columns and says nothing
_BATCH_CELLS = 8 << 20      # rows times columns of a batch, nulls included


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file where the file itself does not say, or says it wrongly.

    Attributes:
        format: `csv`, `tsv`, `jsonl`, `parquet`, `xlsx` or `arrow`; None: by content, then by ending.
        encoding: A Python codec name (`gb18030`, `cp1252`, ...); None: recognised.
        delimiter: One character; None: found among comma, tab, semicolon and bar.
        sheet: The sheet of a workbook; None: the first.
        header: Names of the columns of a delimited file that has no header; empty: its first line is one.
        max_record_bytes: A longer line of text is set aside as `too_large`.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header: tuple[str, ...] = ()
    max_record_bytes: int = 1 << 20


class Progress(Protocol):
    """What a source reads from, as far as a progress bar and closing need it."""

    @property
    def bytes_total(self) -> int:
        """Size on disk; 0 where it is not known."""

    @property
    def bytes_read(self) -> int:
        """How much of that has been read."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass
class Counter:
    """Progress over something that is already in memory or that counts rows instead of bytes."""

    bytes_total: int = 0
    bytes_read: int = 0

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Source:
    """A file or table being read, once, from front to back.

    Attributes:
        name: The file's name, for people.
        kind: `csv`, `tsv`, `jsonl`, `parquet`, `xlsx` or `arrow`.
        encoding: The codec of a text file; None for others.
        columns: The fields seen so far, in the order in which they appeared.
        problems: What a person should know of this file as a whole; complete after the last batch.
    """

    name: str
    kind: str
    parts: Iterator[RawBatch] = field(repr=False)
    progress: Progress = field(repr=False)
    encoding: str | None = None
    columns: list[str] = field(default_factory=list)
    problems: list[Sentence] = field(default_factory=list)
    _batches: Iterator[RawBatch] | None = field(default=None, repr=False)

    @property
    def bytes_total(self) -> int:
        """Size of what is read, in bytes as it lies on disk."""
        return self.progress.bytes_total

    @property
    def bytes_read(self) -> int:
        """How many of `bytes_total` have been read."""
        return self.progress.bytes_read

    def __iter__(self) -> Iterator[RawBatch]:
        if self._batches is None:
            self._batches = self._counted()
        return self._batches

    def close(self) -> None:
        """Let go of the file; iterating is over."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]  # a generator, always
        self.progress.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.close()

    def _counted(self) -> Iterator[RawBatch]:
        received = 0
        for batch in gather(self.parts):
            known = set(self.columns)
            self.columns += [name for name in batch.table.column_names if name not in known]
            received += batch.received
            if batch.received:
                yield batch
        if received == 0:
            self.problems.append(say("{name} has a header and no records.", name=self.name) if self.columns
                                 else say("{name} is empty.", name=self.name))


def gather(parts: Iterator[RawBatch]) -> Iterator[RawBatch]:
    """Join small parts and cut large ones, so that each batch is within `BATCH_ROWS` and about `BATCH_BYTES`."""
    held: list[RawBatch] = []
    rows = size = 0
    names: set[str] = set()
    for part in parts:
        for piece in _pieces(part):
            wider = names | set(piece.table.column_names)
            cells = (rows + piece.received) * len(wider)
            full = rows + piece.received > BATCH_ROWS or size + _size(piece) > BATCH_BYTES or cells > _BATCH_CELLS
            if held and full:
                yield _join(held)
                held, rows, size, wider = [], 0, 0, set(piece.table.column_names)
            held.append(piece)
            rows, size, names = rows + piece.received, size + _size(piece), wider
    if held:
        yield _join(held)


def _size(part: RawBatch) -> int:
    return int(part.table.nbytes) + sum(len(broken.record) for broken in part.broken)


def _pieces(part: RawBatch) -> Iterator[RawBatch]:
    rows, size = part.received, _size(part)
    if (rows <= BATCH_ROWS and size <= BATCH_BYTES) or rows <= 1:
        yield part
        return
    half = len(part.line) // 2
    half_broken = len(part.broken) // 2 if half else max(1, len(part.broken) // 2)
    half = half if half or half_broken else 1
    yield from _pieces(RawBatch(part.table.slice(0, half), part.line[:half], part.broken[:half_broken]))
    yield from _pieces(RawBatch(part.table.slice(half), part.line[half:], part.broken[half_broken:]))


def _join(parts: list[RawBatch]) -> RawBatch:
    table = pa.concat_tables([part.table for part in parts], promote_options="permissive").combine_chunks()
    return RawBatch(table, np.concatenate([part.line for part in parts]),
                    [broken for part in parts for broken in part.broken])


def text_table(columns: dict[str, list[str | None]], line: npt.NDArray[np.int64], broken: list[Broken]) -> RawBatch:
    """A part with string columns; an empty text becomes null."""
    arrays = {name: pa.array([value or None for value in values], pa.string()) for name, values in columns.items()}
    return RawBatch(pa.table(arrays), line, broken)


def header_names(cells: list[str], problems: list[Sentence]) -> list[str]:
    """A different name for each column, without blanks around it: what has no name is called by its place, a repeated
    name gets a number.

    >>> header_names(["id ", "", "id"], [])
    ['id', 'column_2', 'id_2']
    """
    cells = [cell.strip(_AROUND) for cell in cells]
    taken = set(cells)
    names: list[str] = []
    for place, cell in enumerate(cells, start=1):
        if cell and cell not in names:
            names.append(cell)
            continue
        name, number = (cell, 2) if cell else ("column", place)
        while f"{name}_{number}" in taken:
            number += 1
        new = f"{name}_{number}"
        taken.add(new)
        names.append(new)
        problems.append(say("Two columns are called {name}; the later one is read as {new}.", name=cell, new=new)
                        if cell else say("Column {place} has no name; it is read as {new}.", place=place, new=new))
    return names


def as_lines(numbers: Any) -> npt.NDArray[np.int64]:
    """Line numbers as an array; (n,)."""
    return np.asarray(numbers, dtype=np.int64)
