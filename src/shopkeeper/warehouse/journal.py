"""The journal: what was acknowledged and does not lie in a segment yet, in numbered files of checked, sealed frames.

    file     head (twice), frame, frame, ..., end
    head     mark, version, number, 16 random bytes, check of the key; CRC-32 of these
    frame    mark, length, sequence, counts of records, CRC-32 of the payload; CRC-32 of these; payload
    payload  AES-256-GCM (key: of the vault's key and the random bytes; nonce: the sequence) of an `Arrived`
    end      a frame of no length: the file is whole, and nothing is ever added to it

A frame counts once it is fsynced. An incomplete frame at the end of the newest file is a torn tail: nobody was ever
told that it is stored. Anything else that is not as written is damage; it is named, and what stands behind it is read.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shopkeeper.errors import Damaged, NotWritten
from shopkeeper.events.arrivals import Misfit
from shopkeeper.words import say

FOLDER, LOCK = "journal", "lock"
LARGEST_FILE = 64 << 20  # bytes from which on a new file is begun
_VERSION = 1
_HEAD_MARK, _FRAME_MARK = b"\x89shopj\r\n", b"\xf5sj\x1a"
_HEAD = struct.Struct("<8sIQ16s8s")    # mark, version, number, salt, check of the key
_FRAME = struct.Struct("<4sIQIIII")    # mark, length, sequence, received, stored, duplicate, CRC of the payload
_CRC = struct.Struct("<I")
_HEADS = 2 * (_HEAD.size + _CRC.size)  # the head stands there twice: with one flipped bit the file can still be opened
_FRAME_HEAD = _FRAME.size + _CRC.size
_NAME = re.compile(r"(\d{10})\.log")
_SEAL = b"shopkeeper journal 1"


@dataclass(frozen=True)
class Arrived:
    """One request as it came.

    Attributes:
        records: UTF-8 JSON: an array of objects.
        source: Who brought it: `http:<key>`, `redis:<stream>`, `serve` for what the service itself says.
        received_at: Microseconds UTC.
        sent_at: The sender's clock when it sent this, microseconds UTC; None where it did not say.
        table: `events`, or the table that changes.
        change: What becomes of a row of that table: `put` replaces it, `patch` lays over it, `delete` removes it.
        offsets: Source of a broker -> position that becomes durable together with these records.
        dialect: In which it was posted; empty for our own columns. What fits it was translated before it came here.
        unfit: Place of a record, from 0 -> what does not fit the dialect; it stands there in the sender's words.
    """

    records: bytes
    source: str
    received_at: int
    sent_at: int | None = None
    table: str = "events"
    change: Literal["put", "patch", "delete"] = "put"
    offsets: Mapping[str, str] = field(default_factory=dict)
    dialect: str = ""
    unfit: Mapping[int, Misfit] = field(default_factory=dict)

    def pack(self) -> bytes:
        """As bytes; `unpack` is the inverse."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, data: bytes) -> Arrived:
        """The inverse of `pack`."""
        return _UNPACK.decode(data)


_UNPACK = msgspec.msgpack.Decoder(Arrived)


@dataclass(frozen=True)
class Counts:
    """How many records a frame holds, and what the entrance said of them; the rest was quarantined."""

    received: int
    stored: int
    duplicate: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.received + other.received, self.stored + other.stored, self.duplicate + other.duplicate)


@dataclass(frozen=True)
class Frame:
    """One frame as it lies in a file.

    Attributes:
        at: Where it begins, bytes from the start of the file.
        sequence: Grows by one from frame to frame, over all files.
        counts: Of its records.
        payload: Sealed; `Opened.open` opens it.
    """

    at: int
    sequence: int
    counts: Counts
    payload: bytes


@dataclass(frozen=True)
class Damage:
    """A part of a file that is not what was written.

    Attributes:
        file: Its name.
        at, size: Where it begins and how long it is, bytes; no size: frames are missing between two that are there.
    """

    file: str
    at: int
    size: int


@dataclass(frozen=True)
class Torn:
    """A frame at the end of the newest file that was never finished, so that nobody was told that it is stored."""

    file: str
    at: int
    size: int


class Disk:
    """What the journal asks of the disk; a test lets it fail here."""

    def create(self, path: Path) -> int:
        """A new file, for adding to."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def write(self, number: int, data: memoryview) -> int:
        """Write some of the data; how much."""
        return os.write(number, data)

    def sync(self, number: int) -> None:
        """Make what was written durable."""
        os.fdatasync(number)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def truncate(self, number: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(number, size)


def files(folder: Path) -> list[tuple[int, Path]]:
    """The journal's files, each with its number, oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [(int(match[1]), folder / name) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(found)


class Journal:
    """Adds frames to the newest file. Made by whoever holds the journal's lock.

    Args:
        folder: Of the journal.
        key: The vault's key, 32 bytes.
        number: Of the first file that is begun.
        sequence: Of the first frame.
        disk: Where it writes to.
    """

    def __init__(self, folder: Path, key: bytes, number: int, sequence: int, disk: Disk | None = None) -> None:
        self.folder, self.number, self.sequence = folder, number, sequence
        self._key, self._disk = key, disk or Disk()
        self._file: int | None = None
        self._cipher: AESGCM | None = None
        self._size = 0  # durable bytes of the open file

    def append(self, frames: Sequence[tuple[bytes, Counts]]) -> int:
        """Write frames and make them durable: all of them, or none; `framed` and `write` in one.

        Args:
            frames: Payloads in the clear, each with the counts of its records.

        Returns:
            The number of the file that they lie in.

        Raises:
            NotWritten: The disk is full or failed. The next call begins a new file.
        """
        return self.write(self.framed(frames), len(frames))

    def framed(self, frames: Sequence[tuple[bytes, Counts]]) -> bytes:
        """Frames as they will lie in the open file; `write` must come next.

        Raises:
            NotWritten: A file had to be begun, and could not be.
        """
        try:
            if self._file is None:
                self._begin()
        except OSError as wrong:
            self._abandon()
            raise not_written(wrong) from wrong
        return b"".join(self._framed(sequence, payload, counts)
                        for sequence, (payload, counts) in enumerate(frames, self.sequence))

    def write(self, data: bytes, frames: int) -> int:
        """Write what `framed` gave and make it durable. It waits for the disk and does little else.

        Args:
            data: The frames.
            frames: How many.

        Returns:
            The number of the file that they lie in.

        Raises:
            NotWritten: As `append`.
        """
        assert self._file is not None
        try:
            self._write(self._file, data)
            self._disk.sync(self._file)
            if self._size == 0:
                self._disk.sync_folder(self.folder)
        except OSError as wrong:
            self._abandon()
            raise not_written(wrong) from wrong
        self._size += len(data) if self._size else _HEADS + len(data)
        self.sequence += frames
        number = self.number
        if self._size >= LARGEST_FILE:
            self.seal()
        return number

    def seal(self) -> bool:
        """End the open file; whether there was one. What it holds is durable already, whatever becomes of its end."""
        if self._file is None:
            return False
        with suppress(OSError):  # the end only says that nothing is added; a newer file says the same
            self._write(self._file, _frame_head(0, self.sequence, Counts(0, 0, 0), 0))
            self._disk.sync(self._file)
        self._close()
        return True

    def _begin(self) -> None:
        self._file = self._disk.create(self.folder / f"{self.number:010d}.log")
        salt = os.urandom(16)
        key, check = derived(self._key, salt)
        head = _HEAD.pack(_HEAD_MARK, _VERSION, self.number, salt, check)
        self._write(self._file, 2 * (head + _CRC.pack(zlib.crc32(head))))
        self._cipher = AESGCM(key)

    def _framed(self, sequence: int, payload: bytes, counts: Counts) -> bytes:
        assert self._cipher is not None
        sealed = self._cipher.encrypt(_nonce(sequence), payload, _SEAL)
        return _frame_head(len(sealed), sequence, counts, zlib.crc32(sealed)) + sealed

    def _write(self, number: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._disk.write(number, view):]

    def _abandon(self) -> None:
        """Leave the open file as it was before the call, and never write to it again: its state is not known."""
        if self._file is None:
            return
        with suppress(OSError):
            self._disk.truncate(self._file, self._size)
        if self._size == 0:
            with suppress(OSError):
                (self.folder / f"{self.number:010d}.log").unlink()
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file, self._cipher, self._size = None, None, 0
        self.number += 1


def not_written(wrong: OSError) -> NotWritten:
    """The refusal of what the disk did not take."""
    return NotWritten(say("the disk did not take it: {wrong}.", wrong=wrong.strerror or str(wrong)),
                      do=[say("make room on the disk, or mend it; then send it again.")],
                      why=say("what is acknowledged must be on disk."))


def derived(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """The key of one file (32 bytes), and 8 bytes by which another key is recognised."""
    whole = hashlib.blake2b(salt, digest_size=40, key=key, person=b"journal").digest()
    return whole[:32], whole[32:]


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(12, "little")


def _frame_head(length: int, sequence: int, counts: Counts, crc: int) -> bytes:
    head = _FRAME.pack(_FRAME_MARK, length, sequence, counts.received, counts.stored, counts.duplicate, crc)
    return head + _CRC.pack(zlib.crc32(head))


class Opened:
    """One journal file, read from front to back.

    Args:
        path: The file.
        key: The vault's key.
        newest: Nothing was begun after it, and nobody writes to it: its end may be torn.

    Attributes:
        at: Where the last good frame ended, bytes.
        ended: The file has its end.

    Raises:
        Damaged: The key is another one.
    """

    def __init__(self, path: Path, key: bytes, *, newest: bool) -> None:
        self.path, self.newest, self.at, self.ended = path, newest, 0, False
        self._key, self._cipher = key, None  # type: tuple[bytes, AESGCM | None]  # known once the head is read

    def __iter__(self) -> Iterator[Frame | Damage | Torn]:
        """The frames in order; where something is not as written, what and how much."""
        size = self.path.stat().st_size
        if size == 0:
            return
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            yield from self._head(data)
            if self._cipher is not None:
                yield from self._frames(data)

    def open(self, frame: Frame) -> Arrived:
        """What a frame holds.

        Raises:
            ValueError: It cannot be opened, although its sum is right.
        """
        assert self._cipher is not None
        try:
            return Arrived.unpack(self._cipher.decrypt(_nonce(frame.sequence), frame.payload, _SEAL))
        except (InvalidTag, msgspec.DecodeError) as wrong:
            raise ValueError("the frame cannot be opened") from wrong

    def _head(self, data: mmap.mmap) -> Iterator[Damage | Torn]:
        name, half = self.path.name, _HEADS // 2
        if len(data) < _HEADS and self.newest:
            yield Torn(name, 0, len(data))
            return
        for at in (0, half):
            head = data[at:at + _HEAD.size]
            if data[at + _HEAD.size:at + half] != _CRC.pack(zlib.crc32(head)) or len(head) < _HEAD.size:
                yield Damage(name, at, min(half, len(data) - at))
            elif self._cipher is None:
                _, _, _, salt, check = _HEAD.unpack(head)
                key, known = derived(self._key, salt)
                if check != known:
                    raise _other_key(name)
                self._cipher = AESGCM(key)
        self.at = _HEADS
        if self._cipher is None:
            yield Damage(name, _HEADS, len(data) - _HEADS)

    def _frames(self, data: mmap.mmap) -> Iterator[Frame | Damage | Torn]:
        at, size, name = _HEADS, len(data), self.path.name
        before: int | None = None
        while at < size and not self.ended:
            found = _frame(data, at)
            if found is None:
                after = _next(data, at + 1)
                if after is None and self.newest and _unfinished(data, at):
                    yield Torn(name, at, size - at)
                    return
                yield Damage(name, at, (size if after is None else after) - at)
                at, before = size if after is None else after, None
                continue
            if before is not None and found.sequence != before + 1:
                yield Damage(name, at, 0)
            before, at = found.sequence, at + _FRAME_HEAD + len(found.payload)
            self.at, self.ended = at, not found.payload
            if found.payload:
                yield found
        if at < size:
            yield Damage(name, at, size - at)


def _frame(data: mmap.mmap, at: int) -> Frame | None:
    """The frame that begins there, if there is a whole and right one."""
    head = _frame_fields(data, at)
    if head is None:
        return None
    _, length, sequence, received, stored, duplicate, crc = head
    payload = data[at + _FRAME_HEAD:at + _FRAME_HEAD + length]
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    return Frame(at, sequence, Counts(received, stored, duplicate), payload)


def _frame_fields(data: mmap.mmap | bytes, at: int) -> tuple[bytes, int, int, int, int, int, int] | None:
    head = data[at:at + _FRAME.size]
    if len(head) < _FRAME.size or head[:4] != _FRAME_MARK:
        return None
    if data[at + _FRAME.size:at + _FRAME_HEAD] != _CRC.pack(zlib.crc32(head)):
        return None
    return _FRAME.unpack(head)


def _next(data: mmap.mmap, at: int) -> int | None:
    """Where the next good frame begins."""
    while (at := data.find(_FRAME_MARK, at)) >= 0:
        if _frame(data, at) is not None:
            return at
        at += 1
    return None


def _unfinished(data: mmap.mmap, at: int) -> bool:
    """Whether what stands at the end can be a frame whose writing was cut off: too short, or nothing but zeros."""
    rest = len(data) - at
    if rest < _FRAME_HEAD:
        return True
    head = _frame_fields(data, at)
    return rest < _FRAME_HEAD + head[1] if head is not None else not any(data[at:])


def _other_key(name: str) -> Damaged:
    return Damaged(say("the journal file {name} was sealed with another key.", name=name),
                   do=[say("put back keys/vault.key as it was.")],
                   why=say("what was acknowledged and is not in the segments yet can only be read with that key."))


def cut(path: Path, size: int) -> None:
    """Cut off what stands behind a size in a file that nobody writes to, durably."""
    number = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(number, size)
        os.fsync(number)
    finally:
        os.close(number)


def ended(path: Path) -> bool:
    """Whether a file has its end, so that nothing is ever added to it."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = _frame_fields(os.pread(file.fileno(), _FRAME_HEAD, max(0, size - _FRAME_HEAD)), 0)
    except FileNotFoundError:
        return True
    return head is not None and head[1] == 0


def survey(path: Path, start: int = 0) -> tuple[Counts, int, int, bool]:
    """Count what lies in a file by its frames' heads alone.

    Args:
        path: The file; somebody may be writing to it.
        start: Where an earlier survey stopped, bytes.

    Returns:
        Counts of the frames from there on, their bytes, where it stopped, and whether the file has its end.
    """
    counts, at = Counts(0, 0, 0), max(start, _HEADS)
    begun, ended = at, False
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size and not ended:
            head = _frame_fields(os.pread(file.fileno(), _FRAME_HEAD, at), 0)
            if head is None or at + _FRAME_HEAD + head[1] > size:
                break
            counts += Counts(*head[3:6])
            at, ended = at + _FRAME_HEAD + head[1], head[1] == 0
    return counts, at - begun, at, ended
