"""Many small files become few: segments are cut so that a question over a week reads little else.

A shop that folds its journal every few seconds writes a small segment each time, and late events give it a span far
longer than most of its rows need. A step takes files of like size, eight or more, or segments that lie over many
others, writes their rows anew, and commits once; a crash leaves the shop as before or as after. What a step touches is
bounded, and so is how often a row is written again: each time its file comes to hold about eight times as many rows,
until the segment is full. Small files of the quarantine and of the vault, and runs of the index, become few likewise.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shopkeeper.errors import Damaged
from shopkeeper.events.pseudonyms import VAULT, Keys, seal, unseal
from shopkeeper.warehouse import index
from shopkeeper.warehouse.engine import parquet
from shopkeeper.warehouse.manifest import MERGED, IndexRun, Manifest, Segment
from shopkeeper.warehouse.segments import DAY, SEGMENT_ROWS, Cutter, finished
from shopkeeper.warehouse.store import Store, Writer, checksum, damage, durable_write, make_folder
from shopkeeper.warehouse.tables import QUARANTINE, STORED

MEMORY = "400MB"       # the engine's working memory while it sorts
CROWD = 8              # files of like size that are too many
MOST_ROWS = 1_000_000  # rows that a step writes again at most
MOST_FILES = 512       # files that a step reads at most
MOST_BYTES = 1 << 27   # bytes of quarantine, or of vault, that a step writes again at most
FULL_BYTES = 1 << 25   # a file of quarantine or vault that is left alone
MOST_ENTRIES = 1 << 25  # entries of the index that a step writes again at most: 860 MB
WIDE = 31 * DAY        # a segment that spans more, and lies over CROWD others or more, is cut up
WIDE_PARTS = 8         # into so many at most
SKIPPED = 1 << 16      # rows of a row group, which the engine skips where none is wanted
OPENING = 50_000       # rows that could be read while a segment is opened
WEEK = 7               # days of the question that segments are cut for
BINS = 400             # places at which a cut is thought of
NAME = MERGED

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a step would write again.

    Attributes:
        segments: To be merged, and cut by time.
        parts: Into so many parts at most, beside those that are full.
        quarantine: Files of rejected records, to be one.
        vault: Files of the vault, to be one.
        index: Runs of the index, to be one.
    """

    segments: tuple[Segment, ...] = ()
    parts: int = 1
    quarantine: tuple[str, ...] = ()
    vault: tuple[str, ...] = ()
    index: tuple[IndexRun, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.segments or self.quarantine or self.vault or self.index)


@dataclass(frozen=True)
class Compacted:
    """What a step did.

    Attributes:
        segments, files: How many segments, and other files, were replaced.
        written: How many segments came in their place.
        rows: Rows of the event table that were written again.
    """

    segments: int
    files: int
    written: int
    rows: int


def due(manifest: Manifest) -> Plan:
    """What the next step would do; false where there is nothing to do.

    >>> small = [Segment(f"{n}", 10, 10, n * DAY, n * DAY + 9, "x") for n in range(8)]
    >>> bool(due(Manifest(segments=tuple(small[:7])))), len(due(Manifest(segments=tuple(small))).segments)
    (False, 8)
    """
    crowd = _crowd(manifest.segments, lambda segment: segment.rows, 512, SEGMENT_ROWS, MOST_ROWS)
    wide = () if crowd else _wide(manifest)
    sizes = manifest.sizes
    rejected, vault = (_crowd(files, lambda file: sizes.get(file, 0), 1 << 16, FULL_BYTES, MOST_BYTES)
                       for files in (manifest.quarantine, manifest.vault))
    runs = index.to_merge(manifest.index, MOST_ENTRIES)
    return Plan(crowd or wide, max(len(crowd) // 2, WIDE_PARTS if wide else 1), rejected, vault,
                runs if len(runs) >= 2 else ())


def _crowd(things: Sequence[T], size: Callable[[T], int], smallest: int, full: int, most: int) -> tuple[T, ...]:
    """The things of the lowest tier of sizes that holds CROWD or more: as many as hold `most` together.

    A tier goes from a size to CROWD times that size; what is smaller than `smallest` is one tier.
    """
    tiers: dict[int, list[T]] = {}
    for thing in things:
        if size(thing) < full:
            tiers.setdefault(max(0, (size(thing) // smallest).bit_length() + 2) // 3, []).append(thing)
    for _, tier in sorted(tiers.items()):
        if len(tier) >= CROWD:
            together = np.cumsum([size(thing) for thing in tier[:MOST_FILES]])
            return tuple(tier[:max(2, int(np.searchsorted(together, most, side="right")))])
    return ()


def _wide(manifest: Manifest) -> tuple[Segment, ...]:
    """Segments that lie over many others, so that a question about any of those days opens them, too.

    What compaction wrote was cut already, and stays.
    """
    ends = np.array([(segment.first, segment.last) for segment in manifest.segments], np.int64).reshape(-1, 2)
    chosen, rows = [], 0
    for segment in manifest.segments:
        if segment.last - segment.first <= WIDE or segment.merged:
            continue
        within = int(((ends[:, 0] >= segment.first) & (ends[:, 1] <= segment.last)).sum()) - 1
        if within >= CROWD and rows + segment.rows <= MOST_ROWS:
            chosen.append(segment)
            rows += segment.rows
    return tuple(chosen)


def compact(store: Store, keys: Keys, *, wait: float = 0.0) -> Compacted | None:
    """Take one step, in one commit; None where none is due.

    Args:
        store: The shop's folder.
        keys: The shop's keys.
        wait: Seconds to wait for another writer.

    Raises:
        ShopBusy: Another process writes.
        Damaged: A file that was to be merged is not what was written; it is named, and nothing was changed.
        duckdb.Error, OSError: The disk is full, or gone. The shop is as it was.
    """
    if not due(store.manifest()):
        return None
    with store.write("compact", wait) as writer:
        plan = due(writer.manifest)
        return _step(writer, keys, plan) if plan else None


def _step(writer: Writer, keys: Keys, plan: Plan) -> Compacted:
    _check(writer, plan)
    name, root = NAME + uuid.uuid4().hex[:12], writer.store.path
    folder = root / "segments" / f".staging-{name}"
    make_folder(folder)
    manifest = writer.manifest
    try:
        segments = _segments(root, folder, name, plan) if plan.segments else ()
        manifest = replace(manifest, segments=_replaced(manifest.segments, plan.segments, segments))
        if plan.quarantine:
            file = _quarantine(root, folder, name, plan.quarantine)
            manifest = replace(manifest, quarantine=_replaced(manifest.quarantine, plan.quarantine, (file,)))
        if plan.vault:
            file = _vault(root, name, plan.vault, keys.vault)
            manifest = replace(manifest, vault=_replaced(manifest.vault, plan.vault, (file,)))
        if plan.index:
            manifest = replace(manifest, index=_index(writer, keys.naming, name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if (manifest.rows, manifest.events) != (writer.manifest.rows, writer.manifest.events):
        raise AssertionError("a compaction lost rows, or made some")
    writer.commit(manifest)
    return Compacted(len(plan.segments), len(plan.quarantine) + len(plan.vault) + len(plan.index), len(segments),
                     sum(segment.rows for segment in plan.segments))


def _check(writer: Writer, plan: Plan) -> None:
    """Refuse to write again what is not what was written: a new checksum would hide it."""
    known = writer.manifest.checks
    files = (*(segment.file for segment in plan.segments), *plan.quarantine, *plan.vault)
    bad = tuple(file for file in files if file in known and checksum(writer.store.path / file) != known[file])
    if bad:
        raise damage(bad)


def _replaced(before: tuple[T, ...], old: tuple[T, ...], new: tuple[T, ...]) -> tuple[T, ...]:
    """The new things where the first of the old ones stood."""
    gone = frozenset(old)
    place = next((number for number, one in enumerate(before) if one in gone), len(before))
    return (*before[:place], *new, *(one for one in before[place:] if one not in gone))


class Kept(Cutter):
    """Cuts rows that were stored before: they keep the import that brought them."""

    def _whole(self, part: pa.Table) -> pa.Table:
        return part.select(STORED.names).cast(STORED)


def _segments(root: Path, folder: Path, name: str, plan: Plan) -> tuple[Segment, ...]:
    """The rows of segments, sorted anew and cut where `cuts` says; durable, and named by no manifest yet."""
    source = parquet([root / segment.file for segment in plan.segments])
    columns = ", ".join(f'"{column}"' for column in STORED.names)
    made: list[Segment] = []
    with _connected(folder) as base:
        for start, until in _spans(base, source, plan.parts):
            rows = base.sql(f"SELECT {columns} FROM {source} WHERE ts >= make_timestamp({start}) AND "
                            f"ts < make_timestamp({until}) ORDER BY ts, event_id, line").to_arrow_reader(SKIPPED)
            made += Kept(root, folder, name, SEGMENT_ROWS).all(rows)
    return tuple(made)


@contextmanager
def _connected(folder: Path) -> Iterator[Any]:
    """An engine that spills into the staging folder."""
    base = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(folder / "spill"),
                                  "preserve_insertion_order": False, "threads": min(os.cpu_count() or 1, 4)})
    try:
        base.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        yield base
    finally:
        base.close()


def _spans(base: Any, source: str, parts: int) -> list[tuple[int, int]]:
    """The spans of time (microseconds UTC, at day boundaries) into which the rows are to be cut."""
    found = base.execute(f"""
        SELECT epoch_us(ts) // {DAY} - (epoch_us(ts) % {DAY} < 0)::BIGINT AS day, count(*) FROM {source}
        GROUP BY day ORDER BY day""").fetchnumpy()
    day, rows = (np.asarray(column, np.int64) for column in found.values())
    return [(first * DAY, (last + 1) * DAY) for first, last in cuts(day, rows, parts)]


def cuts(day: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], parts: int) -> list[tuple[int, int]]:
    """Cut days into at most so many parts that a question over a week, anywhere, has least to do.

    It opens a part that spans `d` days with a chance that grows with `d + 7`; then it pays for opening it and for its
    rows, of which it skips whole row groups. The sum over the parts is the least that any cut at a day's end gives.

    Args:
        day: (n,) days that have rows, ascending.
        rows: (n,) how many rows each has.
        parts: How many at most.

    Returns:
        First and last day of each part, in order.

    >>> cuts(np.array([1, 2, 3, 400, 401]), np.array([1, 1, 1, 90_000, 90_000]), 4)
    [(1, 3), (400, 401)]
    """
    edge = np.unique(np.linspace(0, len(day), min(len(day), BINS) + 1).astype(int))  # parts begin at some of these
    before = np.concatenate([[0], np.cumsum(rows)])[edge].astype(float)
    first, last = day[edge[:-1]].astype(float), day[edge[1:] - 1].astype(float)
    # (m, m) [i, j]: what a part from bin i to bin j, both within, costs
    cost = ((np.minimum(before[None, 1:] - before[:-1, None], SKIPPED) + OPENING)
            * (last[None, :] - first[:, None] + 1 + WEEK))
    cost[np.tril_indices(len(cost), -1)] = np.inf
    # by number of parts: (m,) the least that the bins up to j cost, and where the last part begins
    least, begins = [cost[0]], [np.zeros(len(cost), int)]
    for _ in range(1, min(parts, len(cost))):
        sums = np.concatenate([[np.inf], least[-1][:-1]])[:, None] + cost
        begins.append(np.argmin(sums, axis=0))
        least.append(np.take_along_axis(sums, begins[-1][None], axis=0)[0])
    number, end, found = int(np.argmin([one[-1] for one in least])), len(cost) - 1, []
    for begin in reversed(begins[:number + 1]):
        found.append((int(day[edge[begin[end]]]), int(day[edge[end + 1] - 1])))
        end = int(begin[end]) - 1
    return found[::-1]


def _quarantine(root: Path, folder: Path, name: str, files: Sequence[str]) -> str:
    path = folder / "quarantine.parquet"
    with pq.ParquetWriter(path, QUARANTINE, compression="zstd") as writer:
        for file in files:
            with pq.ParquetFile(root / file) as source:
                for batch in source.iter_batches(1 << 12, columns=QUARANTINE.names):
                    writer.write_batch(batch.cast(QUARANTINE))
    return finished(root, path, f"quarantine/{name}.parquet")


def _vault(root: Path, name: str, files: Sequence[str], key: bytes) -> str:
    """One file of what several held, each pair once."""
    pairs = pa.concat_tables([unseal((root / file).read_bytes(), key) for file in files])
    file = f"vault/{name}.vault"
    durable_write(root / file, seal(pairs.group_by(VAULT.names).aggregate([]).select(VAULT.names).cast(VAULT), key))
    return file


def _index(writer: Writer, key: bytes, name: str) -> tuple[IndexRun, ...]:
    try:
        return index.merged(writer.store.path, writer.manifest.index, name, key, MOST_ENTRIES)
    except Damaged:
        return index.rebuild(writer.store, writer.manifest, key, name + "-again")
