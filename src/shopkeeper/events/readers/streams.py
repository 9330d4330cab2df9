"""The bytes of a file, unpacked where it is compressed, never more than a block in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.words import Sentence, say

__all__ = ["BLOCK", "HEAD", "ByteStream", "container"]

BLOCK = 1 << 20             # bytes handed on at once, about
HEAD = 1 << 20              # bytes that may be looked at before reading
_PACKED = 64 << 10          # compressed bytes read at once
_UNPACKED = 128 << 10       # bytes unpacked at once; what is lost where a zstd stream is damaged

_MAGIC = (
    (b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"),
)


def container(head: bytes) -> str | None:
    """What the first bytes of a file say that it is; None for text or anything else.

    >>> container(b"PAR1...")
    'parquet'
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind if kind != "bzip2" or head[4:10] == b"1AY&SY" else None
    return "tar" if head[257:262] == b"ustar" else None


class ByteStream:
    """A file as a stream of unpacked bytes; `BadInput` where they are damaged.

    Attributes:
        name: The file's name, for people.
        packing: `gzip`, `zstd`, or None.
        cut: Whether the file ended in the middle of its compressed part; known at the end.
        problems: Where that is said.
    """

    def __init__(self, path: Path, problems: list[Sentence]) -> None:
        self.name, self.problems, self.cut = path.name, problems, False
        self._file = _open(path)
        self.bytes_total = path.stat().st_size
        kind = container(self._file.read(512))
        self._file.seek(0)
        self.packing = kind if kind in ("gzip", "zstd") else None
        self._chunks = self._unpacked()
        self._ahead = b""

    @property
    def bytes_read(self) -> int:
        """How far into the file on disk the reading is."""
        return self.bytes_total if self._file.closed else min(self._file.tell(), self.bytes_total)

    def peek(self, size: int = HEAD) -> bytes:
        """The first bytes that are still to be read, up to `size`, left where they are."""
        parts, have = [self._ahead], len(self._ahead)
        while have < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        self._ahead = b"".join(parts)
        return self._ahead[:size]

    def read(self) -> bytes:
        """The next `BLOCK` bytes, fewer only before the end; empty at the end."""
        parts, size = [self._ahead], len(self._ahead)
        self._ahead = b""
        while size < BLOCK:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            size += len(chunk)
        data = b"".join(parts)
        self._ahead = data[BLOCK:]
        return data[:BLOCK] if self._ahead else data

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _unpacked(self) -> Iterator[bytes]:
        if self.packing == "gzip":
            return self._gunzip()
        if self.packing == "zstd":
            return self._unzstd()
        return iter(lambda: self._file.read(BLOCK), b"")

    def _gunzip(self) -> Iterator[bytes]:
        """Every member of a gzip file; zeros after the last one are padding."""
        member, members, packed, waiting = zlib.decompressobj(31), 0, b"", False
        while True:
            packed = packed if packed or waiting else self._file.read(_PACKED)
            if not packed and not waiting:
                return self._broken_off()
            try:
                chunk = member.decompress(packed, _UNPACKED)
            except zlib.error:
                if members and packed[:2] != b"\x1f\x8b":
                    return self._followed()
                raise self._damaged() from None
            if chunk:
                yield chunk
            packed, waiting = member.unconsumed_tail, len(chunk) == _UNPACKED
            if member.eof:
                packed = member.unused_data.lstrip(b"\0") or self._after_zeros()
                if not packed:
                    return None
                member, members, waiting = zlib.decompressobj(31), members + 1, False

    def _after_zeros(self) -> bytes:
        while packed := self._file.read(_PACKED):
            if rest := packed.lstrip(b"\0"):
                return rest
        return b""

    def _unzstd(self) -> Iterator[bytes]:
        stream = pa.CompressedInputStream(pa.PythonFile(self._file, mode="r"), "zstd")
        while True:
            try:
                chunk = stream.read(_UNPACKED)
            except OSError as error:
                if "Truncated" not in str(error):
                    raise self._damaged() from None
                return self._broken_off()
            if not chunk:
                return None
            yield chunk

    def _broken_off(self) -> None:
        self.cut = True
        self.problems.append(say("{name} is cut short: only what came before was read.", name=self.name))

    def _followed(self) -> None:
        self.problems.append(say("After its compressed part {name} holds something else; that was not read.",
                                 name=self.name))

    def _damaged(self) -> BadInput:
        return BadInput(say("{name} is damaged: it does not unpack.", name=self.name),
                        do=[say("Copy or export the file again; it may have been cut on its way")],
                        why=say("what unpacks before the damage is noticed may be wrong already."))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UnknownName(say("There is no file {path}.", path=path)) from None
    except IsADirectoryError:
        raise BadInput(say("{path} is a folder, not a file.", path=path)) from None
    except OSError as error:
        raise BadInput(say("{path} cannot be opened: {error}.", path=path, error=error.strerror)) from None
