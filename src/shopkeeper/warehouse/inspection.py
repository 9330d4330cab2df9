"""Every byte of a shop looked at: which files are not what was written, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shopkeeper.asking import Progress, silent
from shopkeeper.warehouse import index
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import Store, checksum
from shopkeeper.words import say

Kind = Literal["missing", "another size", "another content"]


@dataclass(frozen=True)
class Fault:
    """A file that is not what was written.

    Attributes:
        file: Path within the shop.
        kind: In what way.
        rows: Rows of the event table that it holds, or held.
    """

    file: str
    kind: Kind
    rows: int = 0


@dataclass(frozen=True)
class Inspected:
    """What was found.

    Attributes:
        files, size: How many files the version names, and their bytes.
        faults: Those that are not what was written.
        unchecked: Files that an older shopkeeper wrote without a checksum; of them only the size was compared.
    """

    files: int
    size: int
    faults: tuple[Fault, ...]
    unchecked: int


def inspect(store: Store, manifest: Manifest, progress: Progress = silent) -> Inspected:
    """Read every file that a version names, and compare it with what was written.

    Args:
        store: The shop's folder.
        manifest: The version.
        progress: Told how far it is, in bytes.
    """
    sizes, rows = manifest.sizes, {segment.file: segment.rows for segment in manifest.segments}
    runs = {run.file: run for run in manifest.index}
    progress.start(say("Looking at {files:,} files", files=len(sizes)), float(sum(sizes.values())))
    faults: list[Fault] = []
    for file, size in sizes.items():
        kind = _kind(store, file, size, manifest.checks.get(file))
        if kind is None and file in runs and index.verify(store.path, [runs[file]]):
            kind = "another content"
        if kind is not None:
            faults.append(Fault(file, kind, rows.get(file, 0)))
        progress.advance(size)
    unchecked = sum(file not in manifest.checks and file not in runs for file in sizes)
    return Inspected(len(sizes), sum(sizes.values()), tuple(faults), unchecked)


def _kind(store: Store, file: str, size: int, check: str | None) -> Kind | None:
    path = store.path / file
    try:
        if path.stat().st_size != size:
            return "another size"
        return "another content" if check is not None and checksum(path) != check else None
    except FileNotFoundError:
        return "missing"
    except OSError:  # the disk cannot read it
        return "another content"
