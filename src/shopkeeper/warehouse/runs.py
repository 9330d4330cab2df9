"""The files of the index of events: sorted, immutable, mapped into memory; each block checked when it is first touched.

A run has a header, a CRC-32 of each of its blocks, a directory over the first bits of the names, and three columns: the
two halves of the names, by which it is sorted, and a body each. Columns begin at a block; the rest of the last is 0.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import Damaged
from shopkeeper.events.hashing import Hashes
from shopkeeper.warehouse.manifest import IndexRun
from shopkeeper.warehouse.store import durable
from shopkeeper.words import say

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Columns = tuple[Numbers, Numbers, Numbers]  # (n,) each: first half, second half, body; sorted by name

BLOCK = 1 << 14  # bytes under one CRC
PART_BITS = 19   # a merge holds about 2^19 entries at a time
NONE: Columns = (np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.uint64))
_MAGIC = b"shopidx1"
_HEADER = struct.Struct("<8sQQ8sI")  # magic, capacity, entries, mark of the key, CRC of the table of CRCs
_CRC = struct.Struct("<I")
_COLUMNS = ("directory", "first", "second", "body")


@dataclass(frozen=True)
class Layout:
    """Where things stand in the file of a run that has room for `capacity` entries."""

    capacity: int

    @property
    def bits(self) -> int:
        """Bits of a name that the directory is over: two to four entries a place."""
        return max(1, self._digits - 2)

    @property
    def part_bits(self) -> int:
        """Bits of a name by which a merge goes part by part."""
        return max(0, self._digits - PART_BITS)

    @property
    def _digits(self) -> int:
        return max(0, self.capacity - 1).bit_length()

    @property
    def widths(self) -> tuple[int, ...]:
        """Bytes of each of `_COLUMNS`."""
        return 4 * ((1 << self.bits) + 1), *[8 * self.capacity] * 3

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each of `_COLUMNS`."""
        return tuple(-(-width // BLOCK) for width in self.widths)

    @property
    def start(self) -> int:
        """Bytes before the directory: the header and the table of CRCs."""
        return -(-(_HEADER.size + _CRC.size + _CRC.size * sum(self.blocks)) // BLOCK) * BLOCK

    def place(self, column: int) -> int:
        """Offset of a column, bytes."""
        return self.start + BLOCK * sum(self.blocks[:column])

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.start + BLOCK * sum(self.blocks)


class _Column:
    """One column of a run on disk; a block is checked when it is first touched."""

    def __init__(self, run: Run, data: memoryview, values: npt.NDArray[Any], crcs: npt.NDArray[np.uint32]) -> None:
        self._run, self._data, self.values, self._crcs = run, data, values, crcs
        self._per = BLOCK // values.itemsize
        self._sure = np.zeros(len(crcs), bool)
        self._open = len(crcs)  # blocks that were not checked yet

    def at(self, places: Places) -> npt.NDArray[Any]:
        """(n,) entries at places that exist."""
        if self._open:
            self._check(places // self._per)
        return self.values.take(places)

    def between(self, lo: Places, hi: Places) -> None:
        """Check what stands at places from `lo` to `hi`, which is left out."""
        if not self._open:
            return
        first, last = lo // self._per, np.maximum(lo, hi - 1) // self._per
        last = np.minimum(last, len(self._crcs) - 1)
        self._check(np.minimum(first, last))
        self._check(last)
        for row in np.flatnonzero(last - first > 1).tolist():
            self._check(np.arange(first[row] + 1, last[row]))

    def check(self) -> None:
        """Check all of it."""
        self._check(np.arange(len(self._crcs)))

    def _check(self, blocks: Places) -> None:
        sure = self._sure.take(blocks)
        if sure.all():
            return
        for block in np.unique(blocks[~sure]).tolist():
            if zlib.crc32(self._data[block * BLOCK:(block + 1) * BLOCK]) != self._crcs[block]:
                raise damaged(self._run.run.file)
            self._sure[block] = True
        self._open = len(self._sure) - int(self._sure.sum())


class Run:
    """One run, mapped into memory; without a mark, whoever's key it was written under."""

    def __init__(self, root: Path, run: IndexRun, mark: bytes | None) -> None:
        self.run = run
        try:
            with open(root / run.file, "rb") as file:
                self._layout = _header(file.read(_HEADER.size + _CRC.size), run, mark)
                if os.fstat(file.fileno()).st_size != self._layout.size:
                    raise damaged(run.file)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as wrong:
            raise damaged(run.file) from wrong
        data = memoryview(self._map)
        crcs = np.frombuffer(data, "<u4", sum(self._layout.blocks), _HEADER.size + _CRC.size)
        if zlib.crc32(crcs.data) != _HEADER.unpack_from(data)[4]:
            raise damaged(run.file)
        self.directory, self.first, self.second, self.body = (
            self._column(number, data, crcs) for number in range(len(_COLUMNS)))

    def _column(self, number: int, data: memoryview, crcs: npt.NDArray[np.uint32]) -> _Column:
        place, blocks = self._layout.place(number), self._layout.blocks[number]
        before = sum(self._layout.blocks[:number])
        values = np.frombuffer(data, "<u4", (1 << self._layout.bits) + 1, place) if number == 0 \
            else np.frombuffer(data, "<u8", self.run.entries, place)
        return _Column(self, data[place:place + blocks * BLOCK], values, crcs[before:before + blocks])

    def find(self, keys: Hashes) -> tuple[npt.NDArray[np.bool_], Numbers]:
        """As `EventIndex.find`, in this run."""
        n, out = self.run.entries, np.zeros(len(keys), np.uint64)
        if n == 0 or len(keys) == 0:
            return np.zeros(len(keys), bool), out
        wanted = np.ascontiguousarray(keys[:, 0])
        prefix = (wanted >> np.uint64(64 - self._layout.bits)).astype(np.int64)
        lo, hi = self.directory.at(prefix).astype(np.int64), self.directory.at(prefix + 1).astype(np.int64)
        self.first.between(lo, hi)
        at = _lower(self.first.values, wanted, lo, hi)
        hit = np.flatnonzero((at < hi) & (self.first.values.take(at, mode="clip") == wanted))
        place = self._second(keys[hit], at[hit], hi[hit])
        hit, place = hit[place >= 0], place[place >= 0]
        known = np.zeros(len(keys), bool)
        known[hit] = True
        out[hit] = self.body.at(place)
        return known, out

    def _second(self, keys: Hashes, at: Places, hi: Places) -> Places:
        """(m,) the places of names whose first half begins at `at`; -1 where the second half is another."""
        found = self.second.at(at) == keys[:, 1]
        place = np.where(found, at, -1)
        rest = np.flatnonzero(~found)  # several names with the same first half; never seen but by design
        if len(rest):
            one = at[rest]
            end = np.where(keys[rest, 0] == np.uint64(2**64 - 1), hi[rest],
                           _lower(self.first.values, keys[rest, 0] + np.uint64(1), one, hi[rest]))
            self.second.between(one, end)
            one = _lower(self.second.values, np.ascontiguousarray(keys[rest, 1]), one, end)
            same = (one < end) & (self.second.values.take(one, mode="clip") == keys[rest, 1])
            place[rest] = np.where(same, one, -1)
        return place

    def check(self) -> None:
        """Check every block."""
        for column in (self.directory, self.first, self.second, self.body):
            column.check()

    def part(self, number: int, bits: int) -> Columns:
        """The entries of one of 2^bits equal parts of all names, checked and copied."""
        edges = [_edge(self.first.values, number, bits), _edge(self.first.values, number + 1, bits)]
        lo, hi = np.array(edges[:1]), np.array(edges[1:])
        for column in (self.first, self.second, self.body):
            if edges[1] > edges[0]:
                column.between(lo, hi)
        first, second, body = (column.values[edges[0]:edges[1]].copy()
                               for column in (self.first, self.second, self.body))
        return first, second, body

    def forget(self) -> None:
        """Give the pages back that were read; they come again when they are needed."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _edge(first: Numbers, number: int, bits: int) -> int:
    """Where one of 2^bits equal parts of all names begins."""
    if number >> bits:
        return len(first)
    return int(np.searchsorted(first, np.uint64((number << 64) >> bits)))


def _lower(values: Numbers, wanted: Numbers, lo: Places, hi: Places) -> Places:
    """(n,) the first place in `[lo, hi)` whose value is not below the wanted one; `hi` where there is none."""
    lo, hi = lo.copy(), hi.copy()
    for _ in range(int((hi - lo).max(initial=0)).bit_length()):
        middle = (lo + hi) >> 1
        below = (values.take(middle, mode="clip") < wanted) & (lo < hi)
        np.add(middle, 1, out=lo, where=below)
        np.copyto(hi, middle, where=~below)
    return lo


def _header(data: bytes, run: IndexRun, mark: bytes | None) -> Layout:
    if len(data) != _HEADER.size + _CRC.size or _CRC.unpack(data[_HEADER.size:])[0] != zlib.crc32(data[:_HEADER.size]):
        raise damaged(run.file)
    magic, capacity, entries, found, _ = _HEADER.unpack(data[:_HEADER.size])
    if magic != _MAGIC or entries != run.entries or mark not in (None, found):
        raise damaged(run.file)
    return Layout(capacity)


def mark_of(key: bytes) -> bytes:
    """8 bytes by which a key is known again; nothing of it can be computed from them."""
    return blake2b(b"index", digest_size=8, key=key, person=b"mark").digest()


def damaged(file: str) -> Damaged:
    """The refusal that names a damaged run."""
    return Damaged(say("the index {file} is not what was written, or missing.", file=file),
                   do=[say("shopkeeper ingest SHOP FILE makes it again from the segments.")],
                   why=say("by a damaged one an event could be counted twice."))


def durable_run(root: Path, name: str, capacity: int, parts: Iterable[Columns], key: bytes) -> IndexRun:
    """As `write`, durable under its own name within the shop."""
    file = f"index/{name}.run"
    with durable(root / file) as temporary:
        return IndexRun(file, write(temporary, capacity, parts, key))


def sorted_entries(pieces: Sequence[Columns]) -> Columns:
    """Several sets of entries as one, each name once: the one that came first."""
    first, second, body = (np.concatenate([piece[number] for piece in pieces]) for number in range(3))
    order = np.argsort(first, kind="stable")
    first = first[order]
    same = np.flatnonzero(first[1:] == first[:-1])
    if len(same):
        order = order[np.lexsort((second[order], first))]
        first = np.concatenate([piece[0] for piece in pieces])[order]
    second, body = second[order], body[order]
    again = np.zeros(len(first), bool)
    again[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    return (first, second, body) if not again.any() else (first[~again], second[~again], body[~again])


def parts_of(columns: Columns, bits: int) -> Iterator[Columns]:
    """Sorted entries, in 2^bits parts."""
    edges = [_edge(columns[0], number, bits) for number in range((1 << bits) + 1)]
    for lo, hi in pairwise(edges):
        yield columns[0][lo:hi], columns[1][lo:hi], columns[2][lo:hi]


def write(path: Path, capacity: int, parts: Iterable[Columns], key: bytes) -> int:
    """Write a run's file; not durable yet.

    Args:
        path: Of the file.
        capacity: At least as many entries as there are.
        parts: The entries, in as many parts as the layout has.
        key: The shop's key for names.

    Returns:
        How many entries there are.
    """
    layout, entries = Layout(capacity), 0
    per = 1 << layout.bits - layout.part_bits  # places of the directory in a part
    with open(path, "wb") as file:
        file.truncate(layout.size)
        for number, columns in enumerate(parts):
            prefix = columns[0] >> np.uint64(64 - layout.bits)
            places = np.searchsorted(prefix, np.arange(number * per, (number + 1) * per, dtype=np.uint64))
            _put(file, layout.place(0) + 4 * number * per, (places + entries).astype("<u4"))
            for column, values in enumerate(columns, start=1):
                _put(file, layout.place(column) + 8 * entries, values.astype("<u8", copy=False))
            entries += len(prefix)
        _put(file, layout.place(0) + 4 * (1 << layout.bits), np.array([entries], "<u4"))
    with open(path, "r+b") as file:
        crcs = _checksums(file, layout)
        header = _HEADER.pack(_MAGIC, capacity, entries, mark_of(key), zlib.crc32(crcs.data))
        file.seek(0)
        file.write(header + _CRC.pack(zlib.crc32(header)) + crcs.tobytes())
    return entries


def _put(file: Any, place: int, values: npt.NDArray[Any]) -> None:
    file.seek(place)
    file.write(np.ascontiguousarray(values).data)


def _checksums(file: Any, layout: Layout) -> npt.NDArray[np.uint32]:
    """The CRC of each block, of what was just written."""
    file.seek(layout.start)
    return np.array([zlib.crc32(file.read(BLOCK)) for _ in range(sum(layout.blocks))], "<u4")


def streamed(root: Path, runs: Sequence[IndexRun], key: bytes) -> Iterator[Columns]:
    """The entries of several runs, part by part; of the same name the first run counts."""
    opened = [Run(root, run, mark_of(key)) for run in runs]
    bits = Layout(sum(run.entries for run in runs)).part_bits
    for number in range(1 << bits):
        yield sorted_entries([one.part(number, bits) for one in opened])
        if number % 16 == 15:
            for one in opened:
                one.forget()
