"""The door for senders that speak a protocol already: Segment's calls, and GA4's Measurement Protocol.

What comes is translated record by record, as a file in that dialect is, and then goes the way of every posted event:
judged, on disk before the answer, counted. The answer is what such a sender expects, with the account beside it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from shopkeeper.doors.http import bodies, values
from shopkeeper.doors.http.collect import LARGE, VERBOSE, account, source
from shopkeeper.doors.http.door import Call, Path
from shopkeeper.doors.http.guard import COLLECT, of_address
from shopkeeper.doors.http.refusals import Reply, TooLarge, encode
from shopkeeper.doors.http.service import Service
from shopkeeper.errors import BadInput
from shopkeeper.events.arrivals import Misfit
from shopkeeper.events.dialects import DIALECTS, Dialect, Row, Unfit, flat, translate
from shopkeeper.events.entrance import lenient
from shopkeeper.warehouse.collector import Arrived
from shopkeeper.words import Sentence, say

CALLS = ("track", "page", "screen", "identify", "group", "alias")
BATCH, GA4 = "/v1/batch", "/mp/collect"
ROUTES = (BATCH, *(f"/v1/{call}" for call in CALLS), GA4)
BESIDE = 16 * 1024  # bytes from which on a body is translated beside the event loop: some 40 calls, 10 ms
_STREAMS = ("measurement_id", "firebase_app_id")


@dataclass(frozen=True)
class Protocol:
    """How senders of a dialect speak over HTTP.

    Attributes:
        dialect: Of their records.
        many: The field of a body that holds several records.
        shared: The body, and the route -> flat fields that count for each of its records, unless it says them itself.
        timed: A record's flat fields, and when it came (microseconds UTC) -> the same, with the times that are due.
    """

    dialect: Dialect
    many: str
    shared: Callable[[Mapping[str, Any], Call], Row]
    timed: Callable[[Row, int], Row]


@dataclass(frozen=True)
class Translated:
    """The records of a body: JSON text, and what does not fit, by place."""

    text: bytes
    unfit: Mapping[int, Misfit]


class Speaking:
    """Handlers of what is posted in a dialect."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def paths(self) -> list[Path]:
        """Every route."""
        return [Path(route, ("POST",), self.ga4 if route == GA4 else self.segment, COLLECT) for route in ROUTES]

    async def segment(self, call: Call) -> Reply:
        """Take calls of Segment's HTTP interface."""
        return await self._taken(call, SEGMENT)

    async def ga4(self, call: Call) -> Reply:
        """Take events of the Measurement Protocol."""
        return await self._taken(call, MEASUREMENT)

    async def _taken(self, call: Call, protocol: Protocol) -> Reply:
        received_at = time.time_ns() // 1000
        body = await bodies.read(call.receive, call.headers, self.service.settings)
        most = self.service.settings.records
        if len(body) > BESIDE:
            found = await asyncio.to_thread(translated, protocol, call, body, most, received_at)
        else:
            found = translated(protocol, call, body, most, received_at)
        verbose = _verbose(call.query)
        name = protocol.dialect.name
        ticket = await self.service.take(Arrived(found.text, f"{source(call)}/{name}", received_at, dialect=name,
                                                 unfit=found.unfit), LARGE)
        if call.caller is not None:
            call.caller.bucket.took(ticket.received)
        reply = account(ticket, verbose, call.language)
        return Reply(200, b'{"success":true,' + reply.body[1:])


def translated(protocol: Protocol, call: Call, body: bytes, most: int, received_at: int) -> Translated:
    """The records of a body as records of ours; what does not fit keeps its words, flat, with what counts for all.

    Raises:
        BadInput: It is no JSON object, or its list is none. TooLarge: It has more than `most` records.
    """
    found = _object(body)
    records = found.get(protocol.many, [found])
    if not isinstance(records, list):
        raise BadInput(say("{name} is no array.", name=protocol.many),
                       do=[say("{example}", example=f'{{"{protocol.many}": [{{...}}, {{...}}]}}')],
                       why=say("it holds the records, each an object."))
    if len(records) > most:
        raise TooLarge(say("{n:,} records are too many at once.", n=len(records)),
                       do=[say("send at most {n:,}.", n=most)], why=say("a request is judged as a whole, in memory."))
    shared = flat(protocol.shared(found, call))
    ours: list[Any] = []
    unfit: dict[int, Misfit] = {}
    for place, record in enumerate(records):
        if not isinstance(record, dict):
            ours.append(record)
            continue
        theirs = protocol.timed({**shared, **flat(record)}, received_at)
        try:
            ours.append(translate(protocol.dialect, theirs))
        except (Unfit, RecursionError, UnicodeError) as wrong:
            unfit[place] = _misfit(protocol.dialect, theirs, wrong)
            ours.append(theirs)
    return Translated(_written(ours), unfit)


def _object(body: bytes) -> dict[str, Any]:
    """A body as an object; one whose texts end in half a character, too: that spoils its record alone."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    wrong: Sentence | None = None
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found, wrong = lenient(body), say("{wrong}", wrong=str(error))
    if isinstance(found, dict):
        return found
    raise BadInput(say("the body is no JSON object: {wrong}",
                       wrong=wrong or say("it begins with {text}.", text=repr(body[:20].decode("utf-8", "replace")))),
                   do=[say("GET /docs")], why=say("nothing of this request was stored."))


def _written(records: list[Any]) -> bytes:
    try:
        return encode(records)
    except (UnicodeEncodeError, OverflowError):  # half a character, or a number beyond 64 bits
        return json.dumps(records).encode()


def _misfit(dialect: Dialect, theirs: Row, wrong: Unfit | RecursionError | UnicodeError) -> Misfit:
    found = wrong if isinstance(wrong, Unfit) else Unfit("record", say("it is nested too deep.") if isinstance(
        wrong, RecursionError) else say("it holds half a character."))
    detail = json.dumps(found.within(dialect).to_dict())
    return Misfit(found.field.encode("utf-8", "backslashreplace").decode(), detail, _name_of(dialect, theirs))


def _name_of(dialect: Dialect, theirs: Row) -> str | None:
    """The id of a record that does not fit, where a row of its dialect says which field that is."""
    names = next((row.theirs for row in dialect.fields if row.ours == "event_id"), "").split("|")
    found = next((theirs[name] for name in names if isinstance(theirs.get(name), str)), None)
    return None if found is None else found.encode("utf-8", "backslashreplace").decode()


def _verbose(query: bytes) -> bool:
    """Whether every record is asked for; what else such senders write into an address is theirs."""
    said = of_address(query).get(VERBOSE.name)
    return False if said is None else bool(
        values.of_query(urlencode({VERBOSE.name: said}).encode(), (VERBOSE,))[VERBOSE.name])


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat().replace("+00:00", "Z")


def _of_batch(body: Mapping[str, Any], call: Call) -> Row:
    """What a batch says for all of its calls; the route says the type of a single one."""
    kind = call.path.rpartition("/")[2]
    shared = {name: body[name] for name in ("sentAt", "context") if name in body and "batch" in body}
    return shared if kind not in CALLS else {**shared, "type": kind}


def _called(row: Row, received_at: int) -> Row:
    """A call as Segment would hand it on: its `timestamp` is the sender's clock where it says when it was sent."""
    if "originalTimestamp" in row:
        return row
    if "timestamp" not in row:
        return {**row, "timestamp": _iso(received_at)}
    if "sentAt" not in row:
        return row
    return {"originalTimestamp" if name == "timestamp" else name: value for name, value in row.items()}


def _of_payload(body: Mapping[str, Any], call: Call) -> Row:
    """What a payload says for all of its events, and the stream that its address names."""
    named = of_address(call.query)
    return {**{name: value for name, value in body.items() if name != "events"},
            **{name: named[name] for name in _STREAMS if name in named}}


def _measured(row: Row, received_at: int) -> Row:
    return row if "timestamp_micros" in row else {**row, "timestamp_micros": received_at}


SEGMENT = Protocol(DIALECTS["segment"], "batch", _of_batch, _called)
MEASUREMENT = Protocol(DIALECTS["ga4-mp"], "events", _of_payload, _measured)
