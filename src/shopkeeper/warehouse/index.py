"""Which events were ever stored: 128-bit keyed names of `(event_id, line)` in sorted files that are mapped, not read.

A run (`warehouse.runs`) is one immutable file of names, sorted, each with the first 8 bytes of the record's digest, so
that a repeat can be told from another body under the same name. A run that is missing or damaged is made again from the
segments.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.errors import Damaged
from shopkeeper.events.hashing import Hashes, combined, of_numbers, of_texts, seeds
from shopkeeper.warehouse.manifest import IndexRun, Manifest
from shopkeeper.warehouse.runs import (
    NONE,
    Columns,
    Layout,
    Numbers,
    Run,
    damaged,
    durable_run,
    mark_of,
    parts_of,
    sorted_entries,
    streamed,
    write,
)
from shopkeeper.warehouse.store import Store, Writer, make_folder
from shopkeeper.words import Sentence, say

__all__ = ["Builder", "EventIndex", "Past", "bodies", "complete", "event_keys", "extended", "merged", "rebuild",
           "repaired", "to_merge", "verify", "write_run"]

CHUNK = 1 << 21        # entries of a `Builder` that are sorted at a time: 48 MB
SMALL = 1 << 16        # runs below this size are always merged into the next one that is written
RATIO = 3              # a run is merged when the smaller ones together hold more than its 1/RATIO
FOLD_LIMIT = 1 << 21   # entries that a single import merges at most; the rest is left to compaction


def event_keys(event_ids: Any, lines: npt.NDArray[np.int32], key: bytes) -> Hashes:
    """The names of rows: (n, 2) keyed hashes of `(event_id, line)`.

    Args:
        event_ids: (n,) strings of Arrow.
        lines: (n,) numbers of the rows within their records.
        key: The shop's key for names; nobody without it can look for two ids that are named alike.

    >>> one = event_keys(pa.array(["e1", "e1", "e1"]), np.array([0, 1, 0], np.int32), b"k")
    >>> bool((one[0] == one[2]).all()), bool((one[0] == one[1]).any())
    (True, False)
    """
    names = of_texts(event_ids, seeds(key, "index"))
    later = np.flatnonzero(lines)
    if len(later):
        numbers = of_numbers(lines[later].astype(np.int64), seeds(key, "index line"))
        names[later] = combined(names[later], numbers)
    return names


def bodies(digests: Any) -> Numbers:
    """(n,) the first 8 bytes of each digest (binary(16) of Arrow), as a little-endian number.

    >>> bodies(pa.array([b"\\x01" + b"\\0" * 15], pa.binary(16))).tolist()
    [1]
    """
    cells = digests.combine_chunks() if isinstance(digests, pa.ChunkedArray) else digests
    raw = np.frombuffer(cells.buffers()[1] or b"", "<u8").reshape(-1, 2)
    return np.ascontiguousarray(raw[cells.offset:cells.offset + len(cells), 0])


class EventIndex:
    """All events that were ever stored, by name. Cheap to open; safe to ask from several threads.

    Args:
        root: The shop's folder.
        runs: As the manifest names them.
        key: The shop's key for names.

    Raises:
        Damaged: A run is missing, is not what was written, or was written under another key. Also from `find`, when a
            damaged block is met.
    """

    def __init__(self, root: str | os.PathLike[str], runs: Sequence[IndexRun], key: bytes) -> None:
        self._root, self._key = Path(root), key
        self._runs = [Run(self._root, run, mark_of(key)) for run in runs]

    @property
    def entries(self) -> int:
        """How many names it holds."""
        return sum(one.run.entries for one in self._runs)

    def find(self, keys: Hashes) -> tuple[npt.NDArray[np.bool_], Numbers]:
        """Look names up.

        Args:
            keys: (n, 2) of `event_keys`, in any order.

        Returns:
            (n,) whether each is known, and (n,) the first 8 bytes of the digest that was stored with it (`bodies`), 0
            where it is not known.
        """
        known, body = np.zeros(len(keys), bool), np.zeros(len(keys), np.uint64)
        left = None  # rows that were not found yet; None stands for all
        for run in self._runs:
            here, found = run.find(keys if left is None else keys[left])
            if not here.any():
                continue
            rows = np.flatnonzero(here) if left is None else left[here]
            known[rows], body[rows] = True, found[here]
            left = np.flatnonzero(~known)
        return known, body

    def forget(self) -> None:
        """Give the pages back that were read; the system keeps them as long as it has room, and they come again."""
        for one in self._runs:
            one.forget()

    def renewed(self, runs: Sequence[IndexRun]) -> EventIndex:
        """The index of another version of the shop; runs that both have stay open, with what was checked of them."""
        open_already = {one.run: one for one in self._runs}
        new = EventIndex(self._root, (), self._key)
        new._runs = [open_already[run] if run in open_already else Run(self._root, run, mark_of(self._key))
                     for run in runs]
        return new


def write_run(root: str | os.PathLike[str], name: str, keys: Hashes, bodies: Numbers, key: bytes) -> IndexRun:
    """Write names as a run, durable under its own name; no manifest names it yet.

    Args:
        root: The shop's folder.
        name: Of the file, new to this shop.
        keys: (n, 2) of `event_keys`, in any order; of the same name the first counts.
        bodies: (n,) what `bodies` gives of the records' digests.
        key: The shop's key for names.
    """
    parts = parts_of(sorted_entries([(keys[:, 0], keys[:, 1], bodies)]), Layout(len(keys)).part_bits)
    return durable_run(Path(root), name, len(keys), parts, key)


def _to_merge(runs: Sequence[IndexRun], entries: int, limit: int) -> tuple[IndexRun, ...]:
    """Which runs belong together with `entries` new ones: the small, and each that is not RATIO times what is smaller.

    So each run holds more than RATIO times what all smaller ones hold together, as far as the limit goes.
    """
    ascending = sorted(runs, key=lambda one: one.entries)
    taken = 0
    for number, run in enumerate(ascending, start=1):
        if run.entries + entries > limit:
            break
        if run.entries < SMALL or run.entries <= RATIO * entries:
            taken = number
        entries += run.entries
    chosen = frozenset(ascending[:taken])
    return tuple(run for run in runs if run in chosen)


def extended(root: str | os.PathLike[str], runs: Sequence[IndexRun], new: IndexRun, name: str,
             key: bytes) -> tuple[IndexRun, ...]:
    """The runs of an index after an import, with the small ones merged into the new one; the caller commits.

    Args:
        root: The shop's folder.
        runs: Of the index before.
        new: Of the import; `write_run` or `Builder.finish` made it.
        name: Of the merged file, new to this shop.
        key: The shop's key for names.

    Raises:
        Damaged: A run that is to be merged is damaged.
    """
    if new.entries == 0:
        return tuple(runs)
    taken = _to_merge(runs, new.entries, FOLD_LIMIT)
    if not taken:
        return (*runs, new)
    one = _merge(Path(root), (*taken, new), name, key)
    return (*(run for run in runs if run not in taken), one)


def merged(root: str | os.PathLike[str], runs: Sequence[IndexRun], name: str, key: bytes,
           limit: int = 1 << 62) -> tuple[IndexRun, ...]:
    """The same names in fewer runs, where there are more than the sizes ask for; the caller commits.

    Args:
        root: The shop's folder.
        runs: Of the index.
        name: Of the merged file, new to this shop.
        key: The shop's key for names.
        limit: Entries that are merged at most.

    Raises:
        Damaged: A run that is to be merged is damaged.
    """
    taken = to_merge(runs, limit)
    if len(taken) < 2:
        return tuple(runs)
    one = _merge(Path(root), taken, name, key)
    return (*(run for run in runs if run not in taken), one)


def to_merge(runs: Sequence[IndexRun], limit: int = 1 << 62) -> tuple[IndexRun, ...]:
    """The runs that `merged` would make one of; fewer than two where there is nothing to do.

    >>> [run.file for run in to_merge([IndexRun("a", 900_000), IndexRun("b", 9), IndexRun("c", 9)])]
    ['b', 'c']
    """
    return _to_merge(runs, 0, limit)


def _merge(root: Path, runs: Sequence[IndexRun], name: str, key: bytes) -> IndexRun:
    return durable_run(root, name, sum(run.entries for run in runs), streamed(root, runs, key), key)


class Builder:
    """Makes one run of any number of names, with bounded memory: sorted piece by piece, then merged.

    Args:
        root: The shop's folder.
        folder: For the pieces; it need not exist, and is removed by `finish`.
        key: The shop's key for names.
    """

    def __init__(self, root: str | os.PathLike[str], folder: Path, key: bytes) -> None:
        self._root, self._folder, self._key = Path(root), folder, key
        self._held: list[Columns] = []
        self._pieces: list[IndexRun] = []
        self._rows = 0

    def add(self, keys: Hashes, bodies: Numbers) -> None:
        """Take names: (n, 2) of `event_keys`, and (n,) `bodies`."""
        self._held.append((keys[:, 0].copy(), keys[:, 1].copy(), bodies))
        self._rows += len(keys)
        if self._rows >= CHUNK:
            self._spill()

    def finish(self, name: str) -> IndexRun:
        """Write what was taken as a run, durable under its own name; no manifest names it yet."""
        try:
            if not self._pieces:
                held = self._held or [NONE]
                columns = sorted_entries(held)
                parts = parts_of(columns, Layout(len(columns[0])).part_bits)
                return durable_run(self._root, name, len(columns[0]), parts, self._key)
            self._spill()
            parts = streamed(self._folder, self._pieces, self._key)
            return durable_run(self._root, name, sum(one.entries for one in self._pieces), parts, self._key)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _spill(self) -> None:
        if not self._held:
            return
        make_folder(self._folder)
        columns, file = sorted_entries(self._held), f"{len(self._pieces)}.run"
        self._held, self._rows = [], 0
        parts = parts_of(columns, Layout(len(columns[0])).part_bits)
        entries = write(self._folder / file, len(columns[0]), parts, self._key)
        self._pieces.append(IndexRun(file, entries))


def complete(manifest: Manifest) -> bool:
    """Whether the index that a manifest names holds every row of its segments; each row has a name of its own."""
    return sum(run.entries for run in manifest.index) == manifest.rows


def verify(root: str | os.PathLike[str], runs: Sequence[IndexRun], key: bytes | None = None) -> tuple[str, ...]:
    """Read every byte of an index.

    Args:
        root: The shop's folder.
        runs: As the manifest names them.
        key: The shop's key for names, where it is to be compared, too.

    Returns:
        The files that are not what was written, or missing.
    """
    bad = []
    for run in runs:
        try:
            Run(Path(root), run, None if key is None else mark_of(key)).check()
        except Damaged:
            bad.append(run.file)
    return tuple(bad)


def rebuild(store: Store, manifest: Manifest, key: bytes, name: str) -> tuple[IndexRun, ...]:
    """Make the index again from the segments, with bounded memory; the caller commits.

    Args:
        store: The shop's folder.
        manifest: Whose segments count.
        key: The shop's key for names.
        name: Of the new file, new to this shop.

    Raises:
        pyarrow.ArrowException, OSError: A segment cannot be read, or the disk is full.
    """
    builder = Builder(store.path, store.path / "index" / f".building-{name}", key)
    for segment in manifest.segments:
        with pq.ParquetFile(store.path / segment.file) as file:
            for batch in file.iter_batches(1 << 17, columns=["event_id", "line", "digest"]):
                lines = np.asarray(pc.fill_null(batch.column("line"), 0).to_numpy(zero_copy_only=False), np.int32)
                builder.add(event_keys(batch.column("event_id"), lines, key), bodies(batch.column("digest")))
    run = builder.finish(name)
    return (run,) if run.entries else ()


class Past:
    """The index as a writer needs it: made where there is none, and made again where it is damaged.

    Args:
        store: The shop's folder; its writer's lock is held.
        manifest: As it stands.
        key: The shop's key for names.
        name: For new files, new to this shop.

    Attributes:
        runs: What is to be named by the next manifest, before anything new.
        notes: What a person should know.
    """

    def __init__(self, store: Store, manifest: Manifest, key: bytes, name: str) -> None:
        self._store, self._manifest, self._key, self._name = store, manifest, key, name
        self.runs: tuple[IndexRun, ...] = manifest.index
        self.notes: tuple[Sentence, ...] = ()
        self._tries = 0
        try:
            if not complete(manifest):
                raise damaged("index")
            self._index = EventIndex(store.path, self.runs, key)
        except Damaged:
            self._again(said=bool(manifest.index))

    def find(self, keys: Hashes) -> tuple[npt.NDArray[np.bool_], Numbers]:
        """As `EventIndex.find`; a damaged index is made again first."""
        try:
            return self._index.find(keys)
        except Damaged:
            self._again(said=True)
            return self._index.find(keys)

    def extended(self, new: IndexRun) -> tuple[IndexRun, ...]:
        """The runs that the next manifest names: these and the new one, small ones merged."""
        self._tries += 1
        name = f"{self._name}-merged-{self._tries}"
        try:
            return extended(self._store.path, self.runs, new, name, self._key)
        except Damaged:
            self._again(said=True)
            return extended(self._store.path, self.runs, new, name, self._key)

    def _again(self, *, said: bool) -> None:
        self._tries += 1
        self.runs = rebuild(self._store, self._manifest, self._key, f"{self._name}-again-{self._tries}")
        self._index = EventIndex(self._store.path, self.runs, self._key)
        if said:
            self.notes = (say("the index of events was damaged; it was made again from the segments."),)


def repaired(writer: Writer, key: bytes, name: str) -> Manifest:
    """See to it that the shop's manifest names a whole index; commits only where something had to be made.

    Args:
        writer: Of the shop.
        key: The shop's key for names.
        name: For new files, new to this shop.
    """
    past = Past(writer.store, writer.manifest, key, name)
    if past.runs == writer.manifest.index:
        return writer.manifest
    return writer.commit(replace(writer.manifest, index=past.runs))
