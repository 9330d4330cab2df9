"""Which records are new: the comparison of an import with itself and with the past, by names of 128 bits.

The unit is the record, its key `(event_id, line)`. Entries of all rows are kept by the first bits of their names, so
that the comparison goes part by part in sorted order; its memory grows with the import by one byte a record only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.events.hashing import Hashes, as_binary, combined, finished, of_numbers, seeds
from shopkeeper.warehouse.index import Past, bodies
from shopkeeper.warehouse.runs import Columns, Layout

__all__ = ["Entries", "Judgement", "by_record", "entries", "renamed", "repeats"]

ENTRY = np.dtype([("first", "<u8"), ("second", "<u8"), ("body", "<u8"), ("record", "<i8")])
HELD = 1 << 21          # entries that stay in memory: 64 MB; beyond, they lie in files
BUCKET_BITS = 8         # bits of a name by which the files are told apart
DUPLICATE, CONFLICT = 1, 2
Rows = npt.NDArray[np.int64]
Table = npt.NDArray[np.void]  # (n,) of ENTRY


def by_record(table: pa.Table) -> tuple[pa.Table, bool]:
    """Give all rows of a record one digest: of its rows' digests in the order of their lines.

    Args:
        table: Rows with `record` (int64), `line` (int32) and `digest` (binary(16)).

    Returns:
        The table, and whether any record has several rows. A record of one row keeps its digest.
    """
    record = table.column("record").to_numpy()
    if (np.diff(record) > 0).all():
        return table, False
    order = np.lexsort((table.column("line").to_numpy(), record))
    starts = np.flatnonzero(np.diff(record[order], prepend=record[order[0]] - 1))
    if len(starts) == len(record):
        return table, False
    size = np.diff(starts, append=len(record))
    rank = np.arange(len(record)) - np.repeat(starts, size)
    cells = table.column("digest").combine_chunks()
    own = np.frombuffer(cells.buffers()[1], np.uint64).reshape(-1, 2)[cells.offset:cells.offset + len(cells)]
    placed = combined(own[order], of_numbers(rank, seeds(b"", "rank")))
    whole = finished(np.add.reduceat(placed, starts, axis=0))
    whole[size == 1] = own[order[starts[size == 1]]]
    digest = np.empty_like(own)
    digest[order] = np.repeat(whole, size, axis=0)
    return table.set_column(table.column_names.index("digest"), "digest", as_binary(digest)), True


def entries(names: Hashes, digests: Any, record: Rows) -> Table:
    """Rows as entries.

    Args:
        names: (n, 2) of `index.event_keys`.
        digests: (n,) binary(16) of Arrow; None for none.
        record: (n,) the record of each, counted from 0 in the order of receipt.
    """
    out = np.zeros(len(record), ENTRY)
    out["first"], out["second"], out["record"] = names[:, 0], names[:, 1], record
    if digests is not None:
        out["body"] = bodies(digests)
    return out


class Entries:
    """Entries of an import, by the first bits of their names; many lie in files.

    Args:
        folder: For the files.
        name: What they begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._held: list[Table] = []
        self._spilled: set[int] = set()
        self.rows = self._in_memory = 0

    def add(self, table: Table) -> None:
        """Take entries, (n,) of `ENTRY`."""
        self._held.append(table)
        self.rows += len(table)
        self._in_memory += len(table)
        if self._in_memory > HELD:
            self._spill()

    def part(self, number: int, bits: int) -> Table:
        """The entries of one of 2^bits equal parts of all names, in any order; `bits` up to `BUCKET_BITS`."""
        span = BUCKET_BITS - bits
        buckets = range(number << span, (number + 1) << span)
        files = [np.fromfile(self._file(bucket), ENTRY) for bucket in buckets if bucket in self._spilled]
        held = [table if bits == 0 else table[table["first"] >> np.uint64(64 - bits) == np.uint64(number)]
                for table in self._held]
        return np.concatenate([np.zeros(0, ENTRY), *files, *held])

    def _spill(self) -> None:
        """Append what is held to the files."""
        table = np.concatenate(self._held)
        bucket = (table["first"] >> np.uint64(64 - BUCKET_BITS)).astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        edges = np.searchsorted(bucket[order], np.arange((1 << BUCKET_BITS) + 1))
        table = table[order]
        for number in np.flatnonzero(np.diff(edges)).tolist():
            with open(self._file(number), "ab") as file:
                file.write(table[edges[number]:edges[number + 1]].data)
            self._spilled.add(number)
        self._held, self._in_memory = [], 0

    def _file(self, bucket: int) -> Path:
        return self._folder / f"{self._name}-{bucket:02x}.bin"


@dataclass(frozen=True)
class Renamed:
    """Records without an id that came again in their file: (m,) their numbers, ascending, and their occurrences."""

    record: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    occurrence: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    def among(self, record: Rows) -> npt.NDArray[np.bool_]:
        """Which of (n,) records are renamed."""
        if not len(self.record):
            return np.zeros(len(record), bool)
        at = np.minimum(np.searchsorted(self.record, record), len(self.record) - 1)
        found: npt.NDArray[np.bool_] = self.record[at] == record
        return found

    def nth(self, record: Rows) -> Rows:
        """The occurrences of (n,) records, all of which are renamed."""
        return self.occurrence[np.searchsorted(self.record, record)]


def repeats(heads: Entries) -> Renamed:
    """Records without an id that are not the first of their name in their file.

    Args:
        heads: One entry a record, named by its file and its content.
    """
    bits = min(BUCKET_BITS, Layout(heads.rows).part_bits)
    record, occurrence = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number in range(1 << bits):
        table = _ordered(heads.part(number, bits))
        starts = _starts(table)
        nth = np.arange(len(table)) - np.repeat(starts, np.diff(starts, append=len(table)))
        again = np.flatnonzero(nth)
        record.append(table["record"][again])
        occurrence.append(nth[again])
    records, numbers = np.concatenate(record), np.concatenate(occurrence)
    order = np.argsort(records)
    return Renamed(records[order], numbers[order])


def renamed(event_ids: Any, record: Rows, new: Renamed) -> Any:
    """(n,) names with the occurrence behind them: `<digest>-1`, for records all of which are renamed."""
    names = zip(event_ids.to_pylist(), new.nth(record).tolist(), strict=True)
    return pa.array([f"{name}-{nth}" for name, nth in names], pa.string())


class Judgement:
    """What becomes of each record.

    Args:
        rows: The entries of all rows.
        records: How many records there are.
        new: Records that were renamed.
        again: The entries of their rows under their new names; those in `rows` do not count.

    Attributes:
        flags: (records,) `DUPLICATE` and `CONFLICT`; 0 is stored. Complete once `compare` is at its end.
    """

    def __init__(self, rows: Entries, records: int, new: Renamed, again: Entries) -> None:
        self._rows, self._new, self._again = rows, new, again
        self.flags = np.zeros(records, np.uint8)

    @property
    def entries(self) -> int:
        """At least as many as there will be new names."""
        return self._rows.rows

    def counts(self) -> dict[str, int]:
        """How many records are `stored`, `duplicate`, `conflict`."""
        found = np.bincount(self.flags, minlength=4)
        return {"stored": int(found[0]), "duplicate": int(found[DUPLICATE]),
                "conflict": int(found[CONFLICT] + found[CONFLICT | DUPLICATE])}

    def compare(self, past: Past, lined: bool) -> Iterator[Columns]:
        """Judge every record.

        Args:
            past: What was ever stored.
            lined: Some record has several rows: then what one row says holds for all.

        Yields:
            The new names with their bodies, sorted, in as many parts as a run of `entries` has.
        """
        bits = Layout(self.entries).part_bits
        own = min(bits, BUCKET_BITS)
        if lined:
            for number in range(1 << own):
                self._judged(number, own, past)
        for number in range(1 << own):
            table = self._judged(number, own, past)
            table = table[self.flags[table["record"]] == 0]
            edges = [(number << bits - own | n) << 64 - bits for n in range(1, 1 << bits - own)]
            for part in np.split(table, np.searchsorted(table["first"], np.array(edges, np.uint64))):
                yield tuple(np.ascontiguousarray(part[name]) for name in ("first", "second", "body"))  # type: ignore[misc]

    def _judged(self, number: int, bits: int, past: Past) -> Table:
        """Flag the records of a part; the first entry of each name that the past does not know, sorted by name."""
        table = self._rows.part(number, bits)
        if len(self._new.record):
            table = np.concatenate([table[~self._new.among(table["record"])], self._again.part(number, bits)])
        table = _ordered(table)
        starts = _starts(table)
        firsts = table[starts]
        known, body = past.find(np.stack([firsts["first"], firsts["second"]], axis=1))
        body = np.where(known, body, firsts["body"])
        later = np.ones(len(table), bool)
        later[starts] = known
        rows = np.flatnonzero(later)
        group = np.searchsorted(starts, rows, side="right") - 1
        same = table["body"][rows] == body[group]
        np.bitwise_or.at(self.flags, table["record"][rows], np.where(same, DUPLICATE, CONFLICT).astype(np.uint8))
        return firsts[~known]


def _ordered(table: Table) -> Table:
    """Entries by name, then by record."""
    first = np.ascontiguousarray(table["first"])
    order = np.argsort(first)
    first = first[order]
    alike = first[1:] == first[:-1]
    if alike.any():  # few: they are put in order by themselves
        rows = np.flatnonzero(np.append(alike, False) | np.append(False, alike))
        some = table[order[rows]]
        order[rows] = order[rows][np.lexsort((some["record"], some["second"], some["first"]))]
    return table[order]


def _starts(table: Table) -> Rows:
    """Where each name begins, among entries in order."""
    fresh = np.ones(len(table), bool)
    fresh[1:] = (table["first"][1:] != table["first"][:-1]) | (table["second"][1:] != table["second"][:-1])
    return np.flatnonzero(fresh)
