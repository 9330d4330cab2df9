"""Which encoding a text file has, from its first bytes, and its bytes as something that reads like UTF-8.

Recognised: a byte order mark, UTF-16 without one, UTF-8, GB18030. Nothing else is guessed: every byte string is valid
Latin-1, so a guess would be silent damage.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Protocol

from shopkeeper.errors import BadInput
from shopkeeper.events.readers.streams import BLOCK, HEAD
from shopkeeper.words import Sentence, say

__all__ = ["ByteSource", "Encoding", "Utf16", "recognise"]

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_TRANSPARENT = b'\r\n,"\t;|{}[]:0aZ'    # bytes that must mean themselves for lines and fields to be found
_GB_PAIR = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]|([\xa1-\xf7][\xa1-\xfe])|([\x81-\xfe][\x40-\x7e\x80-\xfe])")
_GB_COMMON = 0.8            # least share of two-byte characters from GB 2312, else it is another encoding
_NUL_SHARE = 0.05           # least share of bytes that are the NUL half of a UTF-16 code unit


class ByteSource(Protocol):
    """What the text readers read from: a file's bytes, unpacked."""

    @property
    def cut(self) -> bool:
        """Whether the bytes ended before the file did; known at the end."""

    def read(self) -> bytes:
        """The next bytes; empty at the end."""


@dataclass(frozen=True)
class Encoding:
    """A codec, how many bytes of mark to leave out, and what a person should be told of the choice."""

    codec: str
    mark: int = 0
    note: Sentence | None = None


def recognise(head: bytes, asked: str | None, name: str) -> Encoding:
    """The encoding of a file that begins with `head`.

    Args:
        head: Its first bytes, unpacked; all of them where the file is short.
        asked: The codec that a person named, if any; it wins, its mark is left out all the same.
        name: The file's name, for a refusal.

    Raises:
        BadInput: The codec is not one that can be read, or none fits.

    >>> recognise("名".encode("gb18030") + b",1", None, "a.csv").codec
    'gb18030'
    """
    if asked is not None:
        return _asked(head, asked)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _unknown(name)
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, len(mark))
    if (wide := _wide(head)) is not None:
        return Encoding(wide)
    whole = head[:_last_break(head)]
    if _mostly_utf8(whole):
        return Encoding("utf-8")
    if _is_gb18030(whole):
        return Encoding("gb18030", note=say(
            "{name} is not UTF-8; it was read as GB18030. If letters look wrong, name its encoding with --encoding.",
            name=name))
    raise _unknown(name)


def _unknown(name: str) -> BadInput:
    return BadInput(say("{name} is neither UTF-8 nor UTF-16 nor GB18030.", name=name),
                    do=[say("--encoding cp1252 (or the encoding that the file was saved with)"),
                        say("Save it again as UTF-8")],
                    why=say("the wrong encoding reads without an error and damages every name in the file."))


def _asked(head: bytes, asked: str) -> Encoding:
    try:
        codec = codecs.lookup(asked).name
        wide = codec.startswith("utf-16")
        readable = wide or _TRANSPARENT.decode(codec) == _TRANSPARENT.decode("ascii")
    except (LookupError, UnicodeError, TypeError):
        readable, wide, codec = False, False, asked
    if not readable:
        raise BadInput(say("{asked} is not an encoding that can be read.", asked=asked),
                       do=[say("--encoding utf-8"), say("--encoding gb18030"), say("--encoding cp1252")])
    if codec in ("utf-8", "utf-8-sig"):
        return Encoding("utf-8", 3 if head.startswith(codecs.BOM_UTF8) else 0)
    for mark, marked in _MARKS[1:]:
        if wide and head.startswith(mark) and codec in ("utf-16", marked):
            return Encoding(marked, len(mark))
    return Encoding("utf-16-le" if codec == "utf-16" else codec)


def _last_break(head: bytes) -> int:
    """The end of the last whole line of a head that may stop anywhere; the whole head where it is the whole file."""
    if len(head) < HEAD:
        return len(head)
    return max(head.rfind(b"\n"), head.rfind(b"\r")) + 1 or len(head) - 4


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: NUL in every second byte of what is ASCII, and valid as a whole."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) <= _NUL_SHARE * len(head) or min(even, odd) * 10 > max(even, odd) or len(head) % 2:
        return None
    codec = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return None
    breaks = "\n" in text or "\r" in text      # a line end of one byte is another encoding with a stray NUL
    return codec if breaks or b"\n" not in head else None


def _mostly_utf8(head: bytes) -> bool:
    """Whether it is UTF-8, but for fewer lines than those that prove it to be."""
    if _decodes(head, "utf-8"):
        return True
    valid = broken = 0
    for line in head.splitlines():
        if not line.isascii():
            good = _decodes(line, "utf-8")
            valid, broken = valid + good, broken + (not good)
    return valid > broken


def _is_gb18030(head: bytes) -> bool:
    """Valid GB18030, and mostly of the characters that Chinese is written with."""
    if b"\0" in head or not _decodes(head, "gb18030"):
        return False
    common = rare = 0
    for match in _GB_PAIR.finditer(head[:BLOCK]):
        common, rare = common + (match.group(1) is not None), rare + (match.group(2) is not None)
    return common >= _GB_COMMON * (common + rare)


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


class Utf16:
    """UTF-16 bytes as UTF-8 bytes; what is no character stays no character, so that its line is found out."""

    def __init__(self, source: ByteSource, codec: str) -> None:
        self._source, self._decoder = source, codecs.getincrementaldecoder(codec)("surrogatepass")
        self._ended = False

    @property
    def cut(self) -> bool:
        """As the source that is read."""
        return self._source.cut

    def read(self) -> bytes:
        """The next bytes, as UTF-8."""
        while not self._ended:
            block = self._source.read()
            if not block:
                self._ended = True
                return b"\xff" if self._decoder.getstate()[0] else b""   # half a code unit is left
            if text := self._decoder.decode(block):
                return text.encode("utf-8", "surrogatepass")
        return b""
