"""Where a backup lies: a folder, or a plain tar file. Its marker comes last and is renamed into place.

Each file is known by its size and SHA-256 (`Part`), taken from the bytes as they were read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from shopkeeper.errors import BadInput, Damaged
from shopkeeper.warehouse.store import damage, make_folder, sync_folder
from shopkeeper.words import say

MARKER, PARTIAL = "backup.json", ".partial"
_CHUNK = 1 << 20  # bytes
_SPOOL = 8 << 20  # bytes that are held in memory before they go to a nameless file


@dataclass(frozen=True)
class Part:
    """A file of a backup: bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Sink(Protocol):
    """Where a backup goes.

    Attributes:
        linked: Names of the files that share their bytes on the disk with the shop's.
        spare: A folder of the same disk, for nameless files.
    """

    linked: set[str]
    spare: Path

    def take(self, name: str, source: Path, size: int, check: str = "") -> Part:
        """Place a file that never changes.

        Args:
            name: Path within the shop.
            source: Where it lies.
            size: Bytes that were written.
            check: CRC-32 of what was written, 8 hex digits; empty where it is not known.

        Raises:
            FileNotFoundError: It has gone. Damaged: It is not what was written.
        """

    def write(self, name: str, source: Readable, size: int) -> Part:
        """Place `size` bytes of a stream."""

    def drop(self, name: str) -> None:
        """A file that was placed does not count any more."""

    def finish(self, marker: bytes) -> None:
        """Everything is there: write the marker, and rename."""


class Source(Protocol):
    """A backup that is read."""

    def marker(self) -> bytes:
        """The text of its marker.

        Raises:
            Damaged: It has none.
        """

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file of it; `FileNotFoundError` where it is missing."""


class _Folder:
    """A backup as a folder. The marker's name plus `.partial` is made first, filled last and renamed then."""

    def __init__(self, path: Path) -> None:
        self.path = self.spare = path
        self.linked: set[str] = set()
        self._folders: set[Path] = {path}

    def take(self, name: str, source: Path, size: int, check: str = "") -> Part:
        with source.open("rb") as file:
            _check_size(file, name, size)
            seen, place = _Counted(file), self._place(name)
            try:
                os.link(source, place)
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or a file system or an owner that does not allow it
                part = copied(place, seen, size)
            else:
                self.linked.add(name)
                part = hashed(seen, size)
            seen.need(check, name)
            return part

    def write(self, name: str, source: Readable, size: int) -> Part:
        return copied(self._place(name), source, size)

    def drop(self, name: str) -> None:
        (self.path / name).unlink()
        self.linked.discard(name)

    def finish(self, marker: bytes) -> None:
        for folder in sorted(self._folders, reverse=True):
            sync_folder(folder)
        waiting = self.path / (MARKER + PARTIAL)
        with waiting.open("wb") as file:
            file.write(marker)
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, self.path / MARKER)
        sync_folder(self.path)

    def _place(self, name: str) -> Path:
        place = self.path / name
        self._folders |= folders_to(place.parent, self.path)
        return place


class _Tar:
    """A backup as a tar file, written as `NAME.partial`; the marker is its last member."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.spare, self._file = path, path.parent, file
        self.linked: set[str] = set()
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `finish` closes it

    def take(self, name: str, source: Path, size: int, check: str = "") -> Part:
        with source.open("rb") as file:
            _check_size(file, name, size)
            seen = _Counted(file)
            part = self.write(name, seen, size)
            seen.need(check, name)
            return part

    def write(self, name: str, source: Readable, size: int) -> Part:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(datetime.now(UTC).timestamp())
        hashing = _Hashing(source)
        self._tar.addfile(member, hashing)
        return Part(size, hashing.hash.hexdigest())

    def drop(self, name: str) -> None:
        """It stays in the file; the marker does not name it."""

    def finish(self, marker: bytes) -> None:
        with spooled(marker, self.spare) as file:
            self.write(MARKER, file, len(marker))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self.path.with_name(self.path.name + PARTIAL), self.path)
        sync_folder(self.path.parent)


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none at the end."""


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, source: Readable) -> None:
        self._source, self.hash = source, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._source.read(size)
        self.hash.update(chunk)
        return chunk


class _Counted:
    """A stream whose CRC-32 is counted as it is read."""

    def __init__(self, source: Readable) -> None:
        self._source, self._crc = source, 0

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._source.read(size)
        self._crc = zlib.crc32(chunk, self._crc)
        return chunk

    def need(self, check: str, name: str) -> None:
        """Refuse a file that has become another on the disk."""
        if check and check != f"{self._crc:08x}":
            raise damage((name,))


@contextmanager
def sink(target: Path) -> Iterator[Sink]:
    """The place of a new backup: a folder, or a tar file where the name ends in `.tar`. On an error nothing stays.

    Raises:
        BadInput: Something is there already.
    """
    make_folder(target.parent)
    with _tar(target) if target.suffix == ".tar" else _folder(target) as place:
        yield place


@contextmanager
def _tar(target: Path) -> Iterator[Sink]:
    waiting = target.with_name(target.name + PARTIAL)
    if target.exists() or waiting.exists():
        raise in_use(target if target.exists() else waiting)
    with waiting.open("xb") as file:
        waiting.chmod(0o600)
        try:
            yield _Tar(target, file)
        except BaseException:
            waiting.unlink(missing_ok=True)
            raise


@contextmanager
def _folder(target: Path) -> Iterator[Sink]:
    need_empty(target)
    with undone(target, 0o700):
        try:
            (target / (MARKER + PARTIAL)).touch(exist_ok=False)
        except FileExistsError as other:
            raise in_use(target) from other
        yield _Folder(target)


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """A backup, for reading.

    Raises:
        BadInput: There is nothing. Damaged: It is no backup.
    """
    if path.is_dir():
        yield _FromFolder(path)
        return
    if not path.is_file():
        raise BadInput(say("there is no {path}.", path=str(path)),
                       do=[say("name a backup: a folder, or a .tar file.")])
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except tarfile.TarError as wrong:
        raise _unfinished(path) from wrong
    with tar:
        yield _FromTar(path, tar)


class _FromFolder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def marker(self) -> bytes:
        try:
            return (self._path / MARKER).read_bytes()
        except FileNotFoundError:
            raise _unfinished(self._path) from None

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _FromTar:
    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path, self._tar = path, tar
        try:
            self._members = {member.name: member for member in tar.getmembers() if member.isreg()}
        except (tarfile.TarError, OSError) as wrong:
            raise _unfinished(path) from wrong

    def marker(self) -> bytes:
        if MARKER not in self._members:
            raise _unfinished(self._path)
        with self.open(MARKER) as file:
            return file.read()

    def open(self, name: str) -> IO[bytes]:
        found = self._tar.extractfile(self._members[name]) if name in self._members else None
        if found is None:
            raise FileNotFoundError(name)
        return found


def copied(place: Path, stream: Readable, size: int, mode: int = 0o600) -> Part:
    """Copy up to `size` bytes durably into a new file; what was copied."""
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        part = hashed(stream, size, file)
        file.flush()
        os.fsync(file.fileno())
    return part


def hashed(stream: Readable, size: int, to: IO[bytes] | None = None) -> Part:
    """Up to `size` bytes of a stream; they are also written to `to`."""
    taken, counted = 0, hashlib.sha256()
    while taken < size and (chunk := stream.read(min(_CHUNK, size - taken))):
        if to is not None:
            to.write(chunk)
        counted.update(chunk)
        taken += len(chunk)
    return Part(taken, counted.hexdigest())


def spooled(content: Path | bytes, spare: Path) -> IO[bytes]:
    """A copy of some bytes, or of a file up to the length that it has now; gone when it is closed.

    Args:
        content: The bytes, or the file.
        spare: A folder for what is too large for memory.
    """
    held: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL, dir=str(spare))  # noqa: SIM115 - whoever asked closes it
    if isinstance(content, bytes):
        held.write(content)
    else:
        with content.open("rb") as file:
            hashed(file, os.fstat(file.fileno()).st_size, held)
    held.seek(0)
    return held


def folders_to(folder: Path, root: Path) -> set[Path]:
    """Make a folder below `root`; it and those above it, up to `root`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {one for one in (folder, *folder.parents) if root in (one, *one.parents)}


def need_empty(target: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        BadInput: It does, or it is a file.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise in_use(target)


@contextmanager
def undone(target: Path, mode: int) -> Iterator[None]:
    """A new folder, or an empty one, to fill; on an error it is as it was before."""
    new = not target.exists()
    target.mkdir(mode=mode, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what cannot be removed now is no backup and no shop all the same
            for path in target.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if new:
                target.rmdir()
        raise


def in_use(path: Path) -> BadInput:
    """The refusal of a target where something is already."""
    return BadInput(say("{path} is there already.", path=str(path)),
                    do=[say("name a folder that is empty or not there yet.")],
                    why=say("a backup or a shop does not mix with other files; what an interrupted one has left can be "
                            "removed."))


def _check_size(file: IO[bytes], name: str, size: int) -> None:
    if os.fstat(file.fileno()).st_size != size:
        raise damage((name,))


def _unfinished(path: Path) -> Damaged:
    return Damaged(say("{path} is no backup, or one that was interrupted.", path=str(path)),
                   do=[say("take another backup.")],
                   why=say("a backup that has come to its end has a backup.json, which is written last."))
