"""Bodies: read to a bound, unpacked to a bound, and cut into records."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from shopkeeper.doors.http.refusals import NotUnderstood, TooLarge, TooSlow
from shopkeeper.doors.http.settings import Settings
from shopkeeper.errors import BadInput
from shopkeeper.events.entrance import lenient, split
from shopkeeper.words import say

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
JSON_KINDS = frozenset({"", "application/json", "text/plain"})
_LATEST = 253402300799.0  # the last second of the year 9999


class Gone(Exception):
    """The caller went away before the body had come."""


class _Envelope(msgspec.Struct):
    events: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sent_at: str | float | None = None


@dataclass(frozen=True)
class Records:
    """What a body holds.

    Attributes:
        text: A JSON array of the records, UTF-8.
        sent_at: The sender's clock when it was sent, microseconds UTC.
    """

    text: bytes
    sent_at: int | None = None


async def read(receive: Receive, headers: Mapping[bytes, bytes], settings: Settings) -> bytes:
    """The whole body, unpacked.

    Raises:
        TooLarge: It, or what it unpacks to, passes the bound. TooSlow: It did not come in time.
        NotUnderstood: It is packed in a way that is not known. BadInput: It cannot be unpacked.
        Gone: The caller left.
    """
    body = await read_raw(receive, headers, settings.body_bytes, settings.body_seconds)
    packed = headers.get(b"content-encoding", b"identity").strip().lower()
    return body if packed in (b"", b"identity") else unpacked(body, packed.decode("latin-1"), settings.body_bytes)


async def read_raw(receive: Receive, headers: Mapping[bytes, bytes], most: int, seconds: float) -> bytes:
    """The whole body as it comes over the wire."""
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said[:20]) > most:
        raise _large(int(said[:20]), most)
    parts: list[bytes] = []
    size, end = 0, time.monotonic() + seconds
    while True:
        message = await _message(receive, seconds, end)
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _large(size, most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _message(receive: Receive, seconds: float, end: float) -> MutableMapping[str, Any]:
    """The next part of a body; only for one that is not there yet a clock is set."""
    begun: Any = receive()
    try:
        waits = begun.send(None)
    except StopIteration as there:
        found: MutableMapping[str, Any] = there.value
        return found
    try:
        async with asyncio.timeout(end - time.monotonic()):
            return await _Rest(begun, waits)  # type: ignore[no-any-return]  # whatever `receive` gives
    except TimeoutError:
        raise TooSlow(say("the body did not come within {seconds:g} s.", seconds=seconds),
                      do=[say("send less at once.")], why=say("a slow sender must not hold the door.")) from None


class _Rest:
    """Goes on with a coroutine that was begun, and that waits for something."""

    def __init__(self, begun: Any, waits: Any) -> None:
        self._begun, self._waits = begun, waits

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = self._waits
        while True:
            try:
                given = yield waits
            except BaseException as wrong:
                step, what = self._begun.throw, wrong
            else:
                step, what = self._begun.send, given
            try:
                waits = step(what)
            except StopIteration as done:
                return done.value


def unpacked(body: bytes, packed: str, most: int) -> bytes:
    """The body unpacked, up to a bound: a small body may unpack to more than the machine holds.

    >>> unpacked(zlib.compress(b"tea"), "deflate", 10)
    b'tea'
    """
    if packed in ("gzip", "x-gzip", "deflate"):
        return _inflated(body, packed, most)
    if packed == "zstd":
        try:
            with pa.input_stream(pa.BufferReader(body), compression="zstd") as stream:
                found: bytes = stream.read(most + 1)
        except OSError as wrong:
            raise _unpackable(packed) from wrong
        if len(found) > most:
            raise _large(len(found), most)
        return found
    raise NotUnderstood(say("content-encoding {name} is not known.", name=repr(packed)),
                        do=[say("one of: {names}", names="gzip, deflate, zstd, identity")],
                        why=say("what cannot be unpacked cannot be read."))


def _inflated(body: bytes, packed: str, most: int) -> bytes:
    out, rest = b"", body
    try:
        while rest:
            stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip and zlib, told apart by their heads
            out += stream.decompress(rest, most + 1 - len(out))
            if len(out) > most:
                raise _large(len(out), most)
            if not stream.eof:
                raise _unpackable(packed)
            rest = stream.unused_data
    except zlib.error as wrong:
        raise _unpackable(packed) from wrong
    return out


def records(body: bytes, kind: str, settings: Settings) -> Records:
    """The records of a body: one object, an array, `{"events": [...], "sent_at": ...}`, or one object a line.

    Args:
        body: UTF-8.
        kind: Its media type, without parameters.
        settings: The bounds.

    Raises:
        BadInput: It is no such thing. NotUnderstood: The media type is another. TooLarge: Too many records.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if kind in LINES:
        return _bounded(Records(_joined(body)), settings)
    if kind not in JSON_KINDS:
        raise NotUnderstood(say("content-type {name} is not known.", name=repr(kind)),
                            do=[say("-H 'content-type: application/json'"),
                                say("one of: {names}", names=", ".join(sorted((JSON_KINDS | LINES) - {""})))],
                            why=say("events are JSON."))
    if body[:1] == b"[":
        return _bounded(Records(body), settings)
    if body[:1] != b"{":
        raise _no_json(say("it begins with {text}.", text=repr(body[:20].decode("utf-8", "replace")))
                       if body else say("it is empty."))
    try:
        found = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        anyway = lenient(body)
        if not isinstance(anyway, dict):
            raise _no_json(say("{wrong}", wrong=str(wrong))) from wrong
        some, sent_at = anyway.get("events", [anyway]), anyway.get("sent_at") if "events" in anyway else None
        if not isinstance(some, list):
            return _refused_events()
        return _bounded(Records(json.dumps(some).encode(), _moment(sent_at)), settings)
    if found.events is msgspec.UNSET:
        return _bounded(Records(b"[" + body + b"]"), settings)
    text = bytes(found.events)
    if text[:1] != b"[":
        return _refused_events()
    return _bounded(Records(text, _moment(found.sent_at)), settings)


def _refused_events() -> Records:
    raise BadInput(say("events is no array."), do=[say("{example}", example='{"events": [{...}, {...}]}')],
                   why=say("it holds the records, each an object."))


def _bounded(found: Records, settings: Settings) -> Records:
    """Refuse more records than are taken at once. Each takes three bytes: two brackets and a comma."""
    if len(found.text) < 3 * settings.records or found.text.count(b",") < settings.records:
        return found
    count = len(split(found.text))
    if count > settings.records:
        raise TooLarge(say("{n:,} records are too many at once.", n=count),
                       do=[say("send at most {n:,}.", n=settings.records)],
                       why=say("a request is judged as a whole, in memory."))
    return found


def _joined(body: bytes) -> bytes:
    """Lines of JSON as one array; each line is looked at, so that no two halves become one record."""
    lines = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise _no_json(say("line {number}: {wrong}", number=number, wrong=str(wrong))) from wrong
        lines.append(line)
    return b"[" + b",".join(lines) + b"]"


def _moment(sent_at: str | float | None) -> int | None:
    """The sender's clock, from ISO 8601 or from seconds or milliseconds since 1970, as microseconds UTC."""
    if sent_at is None:
        return None
    try:
        if isinstance(sent_at, str):
            moment = datetime.fromisoformat(sent_at)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            seconds = sent_at / 1000 if abs(sent_at) > 1e11 else sent_at
        if not 0 <= seconds <= _LATEST:
            raise ValueError(sent_at)
    except (ValueError, OverflowError) as wrong:
        raise BadInput(say("sent_at is {text}, and that is no time.", text=repr(sent_at)),
                       do=[say("{example}", example='"sent_at": "2026-10-31T18:30:00Z"')],
                       why=say("the sender's clock is set right by it.")) from wrong
    return round(seconds * 1e6)


def _large(size: int, most: int) -> TooLarge:
    return TooLarge(say("the body has {size:,} bytes or more; {most:,} are taken.", size=size, most=most),
                    do=[say("send it in parts.")], why=say("a body is judged as a whole, in memory."))


def _unpackable(packed: str) -> BadInput:
    return BadInput(say("the body cannot be unpacked as {name}.", name=packed),
                    do=[say("leave the header content-encoding out if the body is not packed.")],
                    why=say("it is damaged, cut off, or packed in another way."))


def _no_json(wrong: Any) -> BadInput:
    return BadInput(say("the body is no JSON: {wrong}", wrong=wrong),
                    do=[say("{example}", example='{"events": [{"event": "view_item", "item_id": "i-1", ...}]}')],
                    why=say("nothing of this request was stored."))
