"""Entries of a Redis stream as records, and how far a stream was read. Knows no Redis client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

PREFIX = "redis:"
START = "0-0"
_WHOLE = (b"event", b"data")  # a field that may hold the whole event as JSON
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ID = re.compile(r"(\d{1,20})-(\d{1,20})")

Entry = tuple[bytes, Mapping[bytes, bytes]]


@dataclass(frozen=True)
class Position:
    """How far a stream was read. It becomes durable with the records, as the text `id read missed`.

    Attributes:
        id: The last entry that was read.
        read: How many entries the stream had taken in up to there, by its own count (`entries-added`); -1: not known.
        missed: Entries that were gone before they were read.
    """

    id: str = START
    read: int = -1
    missed: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.read} {self.missed}"

    @classmethod
    def of(cls, text: str | None) -> Position:
        """The inverse of `str`; the beginning of the stream where nothing was read yet.

        >>> Position.of("5-1 40 2")
        Position(id='5-1', read=40, missed=2)
        """
        if not text:
            return cls()
        entry, _, counts = text.partition(" ")
        numbers = [int(number) for number in counts.split()]
        return cls(entry, *numbers[:2])

    def after(self, entries: Sequence[Entry]) -> Position:
        """The position once these were read, too."""
        if not entries:
            return self
        return replace(self, id=entries[-1][0].decode("ascii"),
                       read=self.read + len(entries) if self.read >= 0 else self.read)


@dataclass(frozen=True)
class Stream:
    """What Redis says of a stream.

    Attributes:
        length: Entries that are there.
        added: Entries that ever were; -1 where this Redis does not count them (before 7.0).
        first, last: Ids of the first and the last entry that are there; None where there is none.
        newest: Id of the last entry that ever was.
    """

    length: int
    added: int
    first: str | None
    last: str | None
    newest: str

    @classmethod
    def of(cls, info: Mapping[Any, Any]) -> Stream:
        """From the answer to XINFO STREAM."""
        found = {_text(name): value for name, value in info.items()}
        ends = [_text(found[name][0]) if found.get(name) else None for name in ("first-entry", "last-entry")]
        return cls(int(found["length"]), int(found.get("entries-added", -1)), ends[0], ends[1],
                   _text(found["last-generated-id"]))


@dataclass(frozen=True)
class Checked:
    """A position held against its stream.

    Attributes:
        position: Where to read on.
        lost: Entries that are gone and were never read.
        anew: The stream is another one than was read, or was put back to an earlier state.
        before: Entries that were gone before anything was read at all.
    """

    position: Position
    lost: int = 0
    anew: bool = False
    before: int = 0


def checked(position: Position, stream: Stream) -> Checked:
    """Hold a position against what Redis says of the stream: what was trimmed or deleted before it was read?

    Between two readings nothing can be said of entries that were deleted from the middle; once all that is there was
    read, the stream's own count says how many there should have been.
    """
    if order(stream.newest) < order(position.id):
        again = Position(START, stream.added - stream.length if stream.added >= 0 else -1, position.missed)
        return Checked(again, anew=True)
    if stream.added < 0:
        return Checked(replace(position, read=-1))
    if position.id == START and position.read < 0:
        before = stream.added - stream.length
        return Checked(replace(position, read=before), before=before)
    done = stream.last is None or order(stream.last) <= order(position.id)
    if not done and (stream.first is None or order(stream.first) <= order(position.id)):
        return Checked(position)  # some of what was read is still there: no telling before the rest is read
    left = 0 if done else stream.length
    if position.read < 0:  # counted from here on
        return Checked(replace(position, read=stream.added - left))
    lost = stream.added - left - position.read
    if lost < 0:  # its count began anew, and its ids did not
        return Checked(replace(position, read=stream.added - left), anew=True)
    return Checked(replace(position, read=position.read + lost, missed=position.missed + lost), lost=lost)


def records(stream: str, entries: Sequence[Entry]) -> bytes:
    """Entries as a JSON array of records, in their order.

    An entry is an event in one of two forms: flat fields, or one field `event` or `data` that holds a JSON object. What
    has no `event_id` is named after the stream and the entry; what has no `ts` gets the time of the entry's id. What
    cannot be read becomes a record that says so in `data`, for the quarantine.
    """
    return b"[" + b",".join(record(stream, entry, fields) for entry, fields in entries) + b"]"


def record(stream: str, entry: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    """One entry as a JSON object.

    >>> record("clicks", b"1700000000000-0", {b"event": b"login", b"customer_id": b"7"}).decode()
    '{"event":"login","customer_id":"7","event_id":"redis:clicks:1700000000000-0","ts":"2023-11-14T22:13:20.000Z"}'
    """
    found = _whole(fields)
    if found is None:
        found = {_text(name): msgspec.Raw(msgspec.json.encode(_text(value))) for name, value in fields.items()}
    number = entry.decode("ascii")
    for name, value in (("event_id", f"{PREFIX}{stream}:{number}"), ("ts", _time(number))):
        if bytes(found.get(name, b"")) in (b"", b"null", b'""') and value:
            found[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(found)


def order(entry: str) -> tuple[int, int]:
    """An entry's id as something that can be compared.

    >>> order("9-1") < order("10-0")
    True
    """
    match = _ID.fullmatch(entry)
    if match is None:
        raise ValueError(entry)
    return int(match[1]), int(match[2])


def _whole(fields: Mapping[bytes, bytes]) -> dict[str, msgspec.Raw] | None:
    """The event that stands as JSON in the entry's only field; None where the fields are the event, or it is none."""
    if len(fields) != 1:
        return None
    ((name, value),) = fields.items()
    if name not in _WHOLE:
        return None
    try:
        return _OBJECT.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _time(entry: str) -> str:
    """The time of an entry's id, which Redis makes from its clock; empty where the sender gave ids of its own."""
    from datetime import UTC, datetime

    milliseconds = order(entry)[0]
    if not 946_684_800_000 <= milliseconds < 4_102_444_800_000:  # 2000 to 2100
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
