"""JSON, one object a line (or one array of objects a file): nested objects flattened, numbers as they were written.

A field inside an object is called by its path (`user.id`). Lists, and objects without fields, stay as JSON text. Of a
repeated key the last one counts. Every value becomes text: `true`, `1.50`, `2024-01-01`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from shopkeeper.errors import BadInput
from shopkeeper.events.raw import RECORD_HEAD, Broken, RawBatch
from shopkeeper.events.readers.base import MAX_COLUMNS, as_lines, text_table
from shopkeeper.events.readers.encoding import Encoding
from shopkeeper.events.readers.streams import ByteStream
from shopkeeper.events.readers.text import TextLines, bad_encoding
from shopkeeper.words import Sentence, say

__all__ = ["DEPTH", "LARGEST_ARRAY", "JsonLines", "array_parts", "is_one_object", "object_parts",
           "record_parts"]

DEPTH = 64                  # objects and lists inside each other
LARGEST_ARRAY = 64 << 20    # bytes of a file that is one JSON array
_CELLS = 1 << 20            # rows times columns of a part
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")

Row = dict[str, str | None]


def _number(text: str) -> msgspec.Raw:
    """A number with a fraction or an exponent, kept as it was written."""
    return msgspec.Raw(text.encode())


_DECODER = msgspec.json.Decoder(float_hook=_number)
_RAW_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class JsonLines:
    """Turns texts of one JSON object each into parts; what is no such object is set aside."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._rows: list[Row] = []
        self._lines: list[int] = []
        self._broken: list[Broken] = []
        self._part_names: dict[str, None] = {}

    def parts(self, text: TextLines) -> Iterator[RawBatch]:
        """The records of a file of lines; blank lines are left out."""
        for item in text:
            if isinstance(item, Broken):
                self.reject(item)
                continue
            for place, line in enumerate(item.lines):
                at_end = item.last and text.cut and place == len(item.lines) - 1
                if place in item.bad:
                    self.reject(bad_encoding(item.first + place, line.rstrip("\r\n")))
                elif at_end and not line.endswith(("\n", "\r")):
                    detail = say("the file was cut in the middle of this record.")
                    self.reject(Broken(item.first + place, "truncated", detail, line))
                elif not line.isspace():
                    yield from self.add(line, item.first + place)
            yield from self.flush()

    def add(self, record: str, line: int) -> Iterator[RawBatch]:
        """Take one record; gives a part where enough has come together."""
        record = record.rstrip("\r\n")
        try:
            row = _flat(_decoded(record))
            if not row.keys() <= self._names.keys():
                self._widen(row)
        except _RecordError as error:
            self.reject(Broken(line, error.reason, error.detail, record))
            return
        if not row.keys() <= self._part_names.keys():
            if (len(self._rows) + 1) * len(self._part_names.keys() | row.keys()) > _CELLS:
                yield from self.flush()
            self._part_names.update(dict.fromkeys(row))
        elif len(self._rows) * len(self._part_names) > _CELLS:
            yield from self.flush()
            self._part_names.update(dict.fromkeys(row))
        self._rows.append(row)
        self._lines.append(line)

    def reject(self, broken: Broken) -> None:
        """Take a record that was found out before it came here."""
        self._broken.append(broken)

    def _widen(self, row: Row) -> None:
        if len(self._names.keys() | row.keys()) > MAX_COLUMNS:
            raise _RecordError("too_wide", say("with this record the file has more than {limit:,} different fields.",
                                              limit=MAX_COLUMNS))
        self._names.update(dict.fromkeys(row))

    def flush(self) -> Iterator[RawBatch]:
        """What has come together so far."""
        if self._rows or self._broken:
            columns = {name: [row.get(name) for row in self._rows] for name in self._part_names}
            yield text_table(columns, as_lines(self._lines), self._broken)
        self._rows, self._lines, self._broken, self._part_names = [], [], [], {}


class _RecordError(Exception):
    """A record that is not one flat or nested JSON object: the reason, and the same for people."""

    def __init__(self, reason: str, detail: Sentence) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _decoded(record: str) -> dict[str, Any]:
    if "\0" in record:
        raise _RecordError("nul", say("the record holds a NUL byte."))
    if record.count("{") + record.count("[") > DEPTH and _depth(record) > DEPTH:
        raise _RecordError("nested", say("the record is nested more than {limit} levels deep.", limit=DEPTH))
    try:
        value = _DECODER.decode(record)
    except (msgspec.DecodeError, UnicodeError) as error:
        if _LONE_SURROGATE.search(record):
            raise _RecordError("surrogate", say("the record holds half of a character (a lone surrogate).")) from None
        raise _RecordError("json", say("this is not valid JSON: {error}.", error=str(error))) from None
    if not isinstance(value, dict):
        raise _RecordError("not_object", say("this is JSON, but not an object with named fields."))
    if not value:
        raise _RecordError("no_fields", say("the object has no fields."))
    return value


def _depth(record: str) -> int:
    """How deep the brackets of a text stand inside each other, strings left out."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[{\]}]", _STRING.sub("", record)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _flat(value: dict[str, Any], prefix: str = "", row: Row | None = None) -> Row:
    """Objects inside become dotted names; each value becomes its text, null stays None."""
    row = {} if row is None else row
    for key, inner in value.items():
        name = prefix + key
        if isinstance(inner, dict) and inner:
            _flat(inner, name + ".", row)
            continue
        if name in row:
            raise _RecordError("same_name", say("two fields of the record are both called {name}.", name=name))
        row[name] = inner if isinstance(inner, str) else None if inner is None else _text(inner)
    if not prefix and any("\0" in text for text in row.values() if text):
        raise _RecordError("nul", say("the record holds a NUL byte."))
    return row


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def array_parts(stream: ByteStream, encoding: Encoding) -> Iterator[RawBatch]:
    """The records of a file that is one JSON array; each is on the line where its text begins.

    Raises:
        BadInput: The file is larger than `LARGEST_ARRAY`, or no valid JSON as a whole.
    """
    data = stream.peek(LARGEST_ARRAY + 1)
    advice = [say("Write one object a line (JSON Lines): jq -c '.[]' {name}", name=stream.name)]
    if len(data) > LARGEST_ARRAY:
        raise BadInput(say("{name} is one JSON array of more than {limit} MB.", name=stream.name,
                           limit=LARGEST_ARRAY >> 20), do=advice,
                       why=say("an array must be read whole before its first record is known to be right."))
    try:
        text = data[encoding.mark:].decode(encoding.codec)
        records = _RAW_ARRAY.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(say("{name} is not a valid JSON array: {error}.", name=stream.name, error=str(error)),
                       do=advice) from None
    at, line, reader = text.index("[") + 1, 1 + text.count("\n", 0, text.index("[")), JsonLines()
    for record in records:
        raw = bytes(record).decode()
        begins = text.index(raw, at)
        line += text.count("\n", at, begins)
        yield from reader.add(raw, line)
        line += raw.count("\n")
        at = begins + len(raw)
    yield from reader.flush()


def is_one_object(stream: ByteStream, encoding: Encoding) -> bool:
    """Whether a file is one JSON object over several lines, and no line of it a record."""
    data = stream.peek(LARGEST_ARRAY + 1)
    try:
        text = data[encoding.mark:].decode(encoding.codec).strip()
        if len(data) > LARGEST_ARRAY or "\n" not in text or _is_object(text.partition("\n")[0]):
            return False
    except UnicodeDecodeError:
        return False
    return _is_object(text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(_DECODER.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def object_parts(stream: ByteStream, encoding: Encoding) -> Iterator[RawBatch]:
    """The record of a file for which `is_one_object` holds."""
    text = stream.peek(LARGEST_ARRAY)[encoding.mark:].decode(encoding.codec)
    reader = JsonLines()
    yield from reader.add(text.strip(), 1 + text[:len(text) - len(text.lstrip())].count("\n"))
    yield from reader.flush()


def record_parts(records: Sequence[Any], plain: Callable[[Any], Any]) -> Iterator[RawBatch]:
    """Python records as if each were a line of JSON; `plain` turns what JSON does not know into what it does."""
    reader = JsonLines()
    for number, record in enumerate(records, start=1):
        try:
            text = msgspec.json.encode(record, enc_hook=plain).decode()
        except (TypeError, ValueError, RecursionError) as error:
            detail = say("this is not valid JSON: {error}.", error=str(error))
            reader.reject(Broken(number, "json", detail, ascii(record)[:RECORD_HEAD]))
            continue
        yield from reader.add(text, number)
        if number % 4096 == 0:
            yield from reader.flush()
    yield from reader.flush()
