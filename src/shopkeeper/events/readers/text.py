"""The lines of a text file, decoded, with the lines that are too long or no text set apart."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shopkeeper.events.raw import RECORD_HEAD, Broken
from shopkeeper.events.readers.encoding import ByteSource, Encoding, Utf16
from shopkeeper.words import say

__all__ = ["Lines", "TextLines", "bad_encoding"]

_BREAK = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Lines:
    r"""Lines that follow each other, with their ends; `\n`, `\r\n` and `\r` end a line, as an editor counts them.

    Attributes:
        first: The number of the first line.
        text: All of them in one.
        lines: One by one.
        bad: Which of them (from 0) hold bytes that are no text; these stand escaped.
        last: Whether the file ends here.
    """

    first: int
    text: str
    lines: list[str]
    bad: frozenset[int] = field(default_factory=frozenset)
    last: bool = False


class TextLines:
    """Iterates over a file as `Lines` and, for each line longer than `limit` bytes, one `Broken`.

    The last item is `Lines` with `last` set, be it empty. Memory stays within a few times the block and the limit: a
    longer line goes to a file in `spill` as it comes. Its bytes are the file's own, but UTF-16 is spilled as UTF-8.
    """

    def __init__(self, source: ByteSource, encoding: Encoding, *, limit: int, spill: Path) -> None:
        wide = encoding.codec.startswith("utf-16")
        self._bytes: ByteSource = Utf16(source, encoding.codec) if wide else source
        self._codec = "utf-8" if wide else encoding.codec
        self._mark = 3 if wide and encoding.mark else encoding.mark     # a mark is three bytes in UTF-8
        self._limit, self._spill = limit, spill
        self._line, self._rest = 1, b""

    @property
    def cut(self) -> bool:
        """Whether the bytes ended before the file did; known at the end."""
        return self._bytes.cut

    def __iter__(self) -> Iterator[Lines | Broken]:
        self._rest = self._bytes.read()[self._mark:]
        while block := self._bytes.read():
            self._rest += block
            if end := _whole(self._rest):
                whole, self._rest = self._rest[:end], self._rest[end:]
                yield from self._split(whole)
            if len(self._rest) > self._limit + 1:       # and one for a \r at its end
                yield self._set_aside(self._long_line())
        yield from self._split(self._rest, last=True)

    def _split(self, data: bytes, *, last: bool = False) -> Iterator[Lines | Broken]:
        """Whole lines as items, the ones that are too long on their own."""
        start = at = 0
        for line in data.splitlines(keepends=True) if len(data) > self._limit else ():
            at += len(line)
            if len(line.rstrip(b"\r\n")) > self._limit:
                if at - len(line) > start:
                    yield self._decoded(data[start:at - len(line)])
                yield self._set_aside([line.rstrip(b"\r\n")])
                start = at
        if start < len(data) or last:
            yield self._decoded(data[start:], last=last)

    def _decoded(self, data: bytes, *, last: bool = False) -> Lines:
        bad: set[int] = set()
        try:
            text = data.decode(self._codec)
        except UnicodeDecodeError:
            decoded = []
            for place, line in enumerate(data.splitlines(keepends=True)):
                try:
                    decoded.append(line.decode(self._codec))
                except UnicodeDecodeError:
                    decoded.append(line.decode(self._codec, "backslashreplace"))
                    bad.add(place)
            text = "".join(decoded)
        lines = list(io.StringIO(text, newline=""))     # cuts at \n, \r\n and \r, and nowhere else
        first, self._line = self._line, self._line + len(lines)
        return Lines(first, text, lines, frozenset(bad), last)

    def _long_line(self) -> Iterator[bytes]:
        """The parts of the line that `_rest` begins with, read on until it ends; `_rest` is what follows it."""
        while True:
            match = _BREAK.search(self._rest)
            if match is not None and match[0] == b"\r" and match.end() == len(self._rest):
                self._rest += self._bytes.read()
                match = _BREAK.search(self._rest)
            if match is not None:
                part, self._rest = self._rest[:match.start()], self._rest[match.end():]
                yield part
                return
            yield self._rest
            self._rest = self._bytes.read()
            if not self._rest:
                return

    def _set_aside(self, parts: Iterable[bytes]) -> Broken:
        """Write one line, without its end, to a file of its own."""
        path, head, size = self._spill_path(), b"", 0
        with path.open("xb") as file:
            for part in parts:
                file.write(part)
                head += part[:RECORD_HEAD - len(head)]
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
        line, self._line = self._line, self._line + 1
        detail = say("the line has {size:,} bytes; the limit is {limit:,}.", size=size, limit=self._limit)
        return Broken(line, "too_large", detail, head.decode(self._codec, "backslashreplace"), path)

    def _spill_path(self) -> Path:
        self._spill.mkdir(parents=True, exist_ok=True)
        path, number = self._spill / f"line-{self._line}.record", 2
        while path.exists():
            path, number = self._spill / f"line-{self._line}-{number}.record", number + 1
        return path


def _whole(data: bytes) -> int:
    r"""Where the last whole line ends; a `\r` at the very end may be half of `\r\n`, so it waits."""
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1


def bad_encoding(line: int, record: str) -> Broken:
    """A record with bytes that are no text in the file's encoding."""
    return Broken(line, "encoding", say("the record holds bytes that are no text in the encoding of the file."), record)
