"""A shop's folder: one writer, any number of readers, and a manifest that is renamed into place.

A file is written under a temporary name, fsynced, renamed, and its folder fsynced; only then does a manifest name it.
The rename of the manifest is the commit. What no manifest names is a leftover, which the next writer removes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from shopkeeper.errors import Damaged, Refusal, ShopBusy
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.tables import conform
from shopkeeper.words import say

if TYPE_CHECKING:
    from shopkeeper.warehouse.segments import Intake

MANIFEST, LOCK = "manifest.json", "writer.lock"
FOLDERS = ("segments", "quarantine", "tables", "vault", "models", "index")  # what a writer keeps clean, and no other
TEMPORARY = ".tmp"
_READ: set[tuple[str, int, int, int, str]] = set()  # files that this process found to be what was written
_MOST_READ = 1 << 14
GRACE = 900  # seconds for which a file stays after the last version that named it, for readers of that version


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each name durable."""
    missing = [path, *path.parents]
    for folder in reversed([one for one in missing if not one.exists()]):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def durable(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; on leaving, fsync it and rename it to `path`. On an error nothing stays."""
    make_folder(path.parent)
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def durable_write(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
    with durable(path) as temporary:
        temporary.write_bytes(data)


def durable_parquet(path: Path, table: pa.Table | pa.RecordBatchReader) -> int:
    """Write a Parquet file (zstd) so that it is there whole or not at all.

    Returns:
        How many rows were written.
    """
    reader = table.to_reader(max_chunksize=1 << 16) if isinstance(table, pa.Table) else table
    rows = 0
    with durable(path) as temporary, pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


class Store:
    """The folder of a shop, opened for reading; `write` opens it for writing.

    Args:
        path: The folder.
        now: What time it is, seconds since 1970.

    Attributes:
        rotation: Of the keys that whoever uses it has; None where nobody said. With older ones nothing is written.
    """

    def __init__(self, path: str | os.PathLike[str], now: Callable[[], float] = time.time) -> None:
        self.path, self.now = Path(path), now
        self.rotation: int | None = None

    def manifest(self) -> Manifest:
        """The newest committed version; the empty one where nothing was ever committed.

        Raises:
            Damaged: It cannot be read, or it is gone while the files that it named are there.
            NotAShop: It is of another format.
        """
        place = self.path / MANIFEST
        for last_try in (False, True):
            try:
                return Manifest.from_json(place.read_bytes(), str(place))
            except FileNotFoundError as missing:
                if not self._has_segments():
                    return Manifest()
                if last_try:
                    raise Damaged(say("{path} is missing, and there are segments.", path=str(place)),
                                  do=[say("put manifest.json back from your backup.")],
                                  why=say("it names the files that the shop consists of; without it nobody knows "
                                          "which count.")) from missing
        raise AssertionError("unreachable")

    def _has_segments(self) -> bool:
        folder = self.path / "segments"
        return folder.is_dir() and any(folder.iterdir())

    def damaged(self, manifest: Manifest) -> tuple[str, ...]:
        """The files of events, quarantine, tables and vault that are missing or have another size than was written.

        Every file is looked at, none is opened; `inspection.inspect` reads them.
        """
        sizes, root = manifest.sizes, f"{self.path}/"
        return tuple(file for file in manifest.data_files() if _size(root + file) != sizes.get(file))

    def check(self, manifest: Manifest) -> None:
        """Refuse a shop with damaged files.

        Raises:
            Damaged: Naming each of them.
        """
        bad = self.damaged(manifest)
        if bad:
            raise damage(bad)

    def read_table(self, manifest: Manifest, name: str) -> pa.Table | None:
        """A stored or published table as a version has it; None where there is none."""
        file = manifest.tables.get(name)
        return None if file is None else pq.read_table(self.path / file)

    def check_content(self, manifest: Manifest, files: Iterable[str]) -> None:
        """Refuse files whose checksum is not the one that was written; each is read once by a process.

        A file of a shop never changes, so one that was read is not read again while its time and size stay.

        Raises:
            Damaged: Naming each of them.
        """
        bad = []
        for file in files:
            known = manifest.checks.get(file)
            if known is None:  # written by an older shopkeeper
                continue
            found = os.stat(f"{self.path}/{file}")
            seen = (f"{self.path}/{file}", found.st_ino, found.st_mtime_ns, found.st_size, known)
            if seen in _READ:
                continue
            if checksum(self.path / file) != known:
                bad.append(file)
                continue
            if len(_READ) >= _MOST_READ:
                _READ.clear()
            _READ.add(seen)
        if bad:
            raise damage(tuple(bad))

    @contextmanager
    def write(self, command: str, wait: float = 0.0) -> Iterator[Writer]:
        """Become the one writer.

        Args:
            command: What is being done, for the refusal that another writer gets.
            wait: Seconds to wait for a writer that is there already.

        Raises:
            ShopBusy: Another process, or another writer of this one, has the lock; or the pseudonyms were rotated since
                the shop was opened.
            Damaged: A file of the shop is not what was written: a duplicate could not be recognised.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with held(self.path / LOCK, command, wait) as since:
            writer = Writer(self, since)
            if self.rotation not in (None, writer.manifest.rotation):
                raise rotated()
            writer.prepare()
            try:
                yield writer
            except BaseException:
                with suppress(OSError, Refusal):  # what cannot be removed now is the next writer's to remove
                    writer.clean()
                raise


@contextmanager
def held(path: Path, command: str, wait: float = 0.0) -> Iterator[datetime]:
    """Hold a lock file; the kernel gives it back when the process ends, however it ends.

    Args:
        path: The file; made if it is not there. Whoever holds it stands in it as JSON.
        command: What is being done, for the refusal that another one gets.
        wait: Seconds to wait for whoever holds it.

    Yields:
        Since when it is held.

    Raises:
        ShopBusy: Somebody else holds it.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        since = _take(number, command, time.monotonic() + wait)
        yield since
        os.ftruncate(number, 0)
    finally:
        os.close(number)


def _take(number: int, command: str, until: float) -> datetime:
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as taken:
            if time.monotonic() >= until:
                raise _busy(os.pread(number, 4096, 0)) from taken
            time.sleep(0.02)
    since = datetime.now(UTC)
    text = json.dumps({"pid": os.getpid(), "command": command, "since": since.isoformat(timespec="seconds")})
    os.ftruncate(number, 0)
    os.pwrite(number, text.encode("utf-8"), 0)
    return since


class Writer:
    """The one writer of a shop. Made by `Store.write`.

    Attributes:
        store: The shop's folder.
        manifest: The version that the next commit follows.
        since: When it began.
    """

    def __init__(self, store: Store, since: datetime) -> None:
        self.store, self.since = store, since
        self.manifest = store.manifest()

    def prepare(self) -> None:
        """Remove leftovers, refuse a damaged shop, and see to it that there is a manifest before there is a segment."""
        from shopkeeper.warehouse import keyfiles

        self.clean()
        keyfiles.settle(self.store.path / keyfiles.FOLDER, self.manifest.rotation)
        self.store.check(self.manifest)
        if not (self.store.path / MANIFEST).exists():
            self._replace(self.manifest)

    def clean(self) -> list[str]:
        """Remove what neither the manifest nor a reader of a version within the time of grace needs.

        Returns:
            What was removed, as paths within the shop.
        """
        manifest = self.store.manifest()  # as on disk: an interrupted commit may have come as far as the rename
        kept = manifest.named() | self._graced(manifest.retired).keys()
        removed: list[str] = []
        for name in FOLDERS:
            if (self.store.path / name).is_dir():
                _clean(self.store.path, self.store.path / name, kept, removed)
        (self.store.path / (MANIFEST + TEMPORARY)).unlink(missing_ok=True)
        return removed

    def intake(self, import_id: str, key: bytes, at: int | None = None) -> Intake:
        """Begin an import.

        Args:
            import_id: A name for it, new to this shop.
            key: The shop's key for names.
            at: When it began, microseconds UTC; stands beside what is quarantined. By default since when this writes.
        """
        from shopkeeper.warehouse.segments import Intake

        return Intake(self, import_id, key, at if at is not None else int(self.since.timestamp() * 1e6))

    def read_table(self, name: str) -> pa.Table | None:
        """A stored or published table as it stands; None where there is none."""
        return self.store.read_table(self.manifest, name)

    def replace_table(self, manifest: Manifest, name: str, table: pa.Table) -> Manifest:
        """Write a table's new version and return the manifest that names it; the caller commits.

        Raises:
            KeyError: No such table is declared in `tables`.
            ValueError: Its columns are not the declared ones.
        """
        file = f"tables/{name}/{self.manifest.version + 1}.parquet"
        durable_parquet(self.store.path / file, conform(name, table))
        former = {other: one for other, one in manifest.former.items() if other != name}
        return replace(manifest, tables={**manifest.tables, name: file}, former=former)

    def publish(self, manifest: Manifest, name: str, table: pa.Table, as_of: int) -> Manifest:
        """Write what a room learned, for others to read, and return the manifest that names it; the caller commits.

        Args:
            manifest: What is to be changed.
            name: `facts/...`, declared in `tables.PUBLISHED`.
            table: With the declared columns.
            as_of: The shop's clock when it was learned, microseconds UTC.
        """
        return replace(self.replace_table(manifest, name, table), dates={**manifest.dates, name: as_of})

    def commit(self, manifest: Manifest, *, grace: bool = True) -> Manifest:
        """Make a manifest the shop's: everything or nothing.

        Everything that it names must be durable already.

        Args:
            manifest: What is to be committed.
            grace: Whether what it does not name any more stays for a while, for those who read it.

        Returns:
            The manifest as committed: the next version, sizes filled in.

        Raises:
            ValueError: It names a file that is not there.
        """
        if "facts/identity" in manifest.tables:  # it follows the log
            from shopkeeper.warehouse.identity import kept_up

            manifest = kept_up(self, manifest)
        before, named = self.manifest, manifest.named()
        sizes = self._sizes(manifest)
        gone = {**before.retired, **dict.fromkeys(before.named(), int(self.store.now()))} if grace else {}
        done = replace(manifest, version=before.version + 1, sizes=sizes, checks=self._checks(manifest, sizes),
                       retired=self._graced({file: when for file, when in gone.items() if file not in named}))
        self._replace(done)
        self.manifest = done
        return done

    def _graced(self, retired: Mapping[str, int]) -> dict[str, int]:
        """What readers may still need; no time is later than now, so that a clock that was wrong keeps nothing."""
        now = int(self.store.now())
        return {file: min(when, now) for file, when in retired.items() if now - when < GRACE}

    def _checks(self, manifest: Manifest, files: Iterable[str]) -> dict[str, str]:
        known, old, index = self.manifest.checks, self.manifest.sizes, frozenset(manifest.index_files())
        return {file: known[file] if file in old else checksum(self.store.path / file)
                for file in files if file not in index and (file in known or file not in old)}

    def _replace(self, manifest: Manifest) -> None:
        durable_write(self.store.path / MANIFEST, manifest.to_json().encode("utf-8"))

    def _sizes(self, manifest: Manifest) -> dict[str, int]:
        files = [*manifest.data_files(), *manifest.index_files()]
        for folder in manifest.model_folders():
            inside = [path for path in (self.store.path / folder).glob("*") if path.is_file()]
            files += [path.relative_to(self.store.path).as_posix() for path in inside] or [folder + "/model.json"]
        known = self.manifest.sizes
        sizes = {file: known[file] if file in known else _size(self.store.path / file) for file in files}
        missing = [file for file, size in sizes.items() if size is None]
        if missing:
            raise ValueError(f"the manifest names files that are not there: {missing}")
        return {file: size for file, size in sizes.items() if size is not None}


def _clean(root: Path, folder: Path, kept: frozenset[str], removed: list[str]) -> None:
    """Remove from a folder what is not kept; folders that become empty go too."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if name in kept:
            continue
        if path.is_dir() and not path.name.startswith(".") and any(one.startswith(name + "/") for one in kept):
            _clean(root, path, kept, removed)
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        removed.append(name)


def checksum(path: Path) -> str:
    """The CRC-32 of a file, 8 hex digits."""
    crc = 0
    with path.open("rb", buffering=0) as file:
        while part := file.read(1 << 20):
            crc = zlib.crc32(part, crc)
    return f"{crc:08x}"


def _size(path: str | Path) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def damage(files: tuple[str, ...]) -> Damaged:
    """The refusal that names damaged files."""
    return Damaged(say("not what was written, or missing: {files}.", files=", ".join(files)),
                   do=[say("put them back from your backup.")],
                   why=say("answers without them would be wrong, and events could be counted twice."))


def rotated() -> ShopBusy:
    """The refusal of whoever has the keys of before a rotation."""
    return ShopBusy(say("the pseudonyms were rotated since this shop was opened."), do=[say("open it again.")],
                    why=say("what was known of its people has other names now."))


def _busy(content: bytes) -> ShopBusy:
    """The refusal that names who writes."""
    try:
        first: dict[str, Any] = json.loads(content)
        who = say("{command} (process {pid}, since {since})", command=first["command"], pid=first["pid"],
                  since=first["since"])
    except (ValueError, KeyError, TypeError):
        who = say("another process")
    return ShopBusy(say("{who} is writing to this shop.", who=who),
                    do=[say("wait until it has ended, then try again.")],
                    why=say("two writers at once could count an event twice."))

