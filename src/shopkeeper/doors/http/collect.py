"""The hot route `POST /v1/events`, and the routes that change tables. Nothing is answered before it is on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

import msgspec

from shopkeeper.doors.http import bodies, values
from shopkeeper.doors.http.bodies import Records
from shopkeeper.doors.http.door import Call
from shopkeeper.doors.http.refusals import Reply, encode
from shopkeeper.doors.http.service import Service
from shopkeeper.errors import BadInput
from shopkeeper.events.schema import TABLE_KEYS
from shopkeeper.menu import Parameter
from shopkeeper.warehouse.collector import Arrived, Ticket
from shopkeeper.words import put, say

LARGE = 128 * 1024  # bytes of records from which on they are judged beside the event loop
VERBOSE = Parameter("verbose", "bool", default=False,
                    description=str(say("list every record in results, not only those that were not plainly stored.")))
_CHANGES: Mapping[str, Literal["put", "patch", "delete"]] = {"PUT": "put", "PATCH": "patch", "DELETE": "delete"}


class Collecting:
    """Handlers of what is posted."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def events(self, call: Call) -> Reply:
        """Take events, and say of each that was not plainly stored what became of it."""
        received_at = time.time_ns() // 1000
        body = await bodies.read(call.receive, call.headers, self.service.settings)
        found = bodies.records(body, call.kind, self.service.settings)
        return await self._taken(call, Arrived(found.text, source(call), received_at, found.sent_at))

    async def table(self, call: Call) -> Reply:
        """Put, patch or delete rows of a table: one or many."""
        table = call.path.split("/")[2]
        change = _CHANGES[call.method]
        body = await bodies.read(call.receive, call.headers, self.service.settings)
        found = self._rows(call, table, change, body)
        arrived = Arrived(found.text, source(call), time.time_ns() // 1000, table=table, change=change)
        return await self._taken(call, arrived)

    async def _taken(self, call: Call, arrived: Arrived) -> Reply:
        also = ("key",) if arrived.table == "events" else (TABLE_KEYS[arrived.table],)
        asked = values.of_query(call.query, (VERBOSE,), also=also) if call.query else {}
        ticket = await self.service.take(arrived, LARGE)
        if call.caller is not None:
            call.caller.bucket.took(ticket.received)
        return account(ticket, bool(asked.get("verbose")), call.language)

    def _rows(self, call: Call, table: str, change: str, body: bytes) -> Records:
        """The rows of a change: of the path, of the query string, or of the body."""
        key = TABLE_KEYS[table]
        if "id" in call.parts:
            return Records(_of_path(call.parts["id"], key, body, change))
        if change == "delete" and not body.strip():
            named = values.of_query(call.query, (Parameter(key, "texts"),), also=("verbose",)).get(key, ())
            assert isinstance(named, tuple)
            if not named:
                raise BadInput(say("nothing is named that should go."), do=[say("{example}", example=f"?{key}=ID")],
                               why=say("a table is never emptied by an oversight."))
            return Records(encode([{key: one} for one in named]))
        found = bodies.records(body, call.kind, self.service.settings)
        return found if change != "delete" else Records(_ids(found.text, key))


def source(call: Call) -> str:
    """Who brought something, as the account names it."""
    return f"http:{call.caller.name if call.caller is not None else 'local'}"


def _of_path(name: str, key: str, body: bytes, change: str) -> bytes:
    """One row, whose key stands in the path."""
    if not name or "\0" in name or len(name) > 1000:
        raise BadInput(say("{key} in the path is no id.", key=key), do=[say("{example}", example="/v1/items/i-1")],
                       why=say("it names the row, percent-encoded, with at most 1,000 characters."))
    if change == "delete":
        return encode([{key: name}])
    try:
        row = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadInput(say("the body is no JSON object: {wrong}", wrong=str(wrong)),
                       do=[say("{example}", example='{"title": "Green tea", "price": 4.5}')],
                       why=say("it holds the columns of one row.")) from wrong
    if key in row and bytes(row[key]) != encode(name):
        raise BadInput(say("the path says {key} = {name}, and the body says {other}.", key=key, name=name,
                           other=bytes(row[key])[:80].decode("utf-8", "replace")),
                       do=[say("leave {key} out of the body.", key=key)], why=say("one request is about one row."))
    return encode([{**row, key: name}])


def _ids(text: bytes, key: str) -> bytes:
    """Rows to delete: ids, or objects that have one."""
    try:
        found = msgspec.json.decode(text, type=list[str | dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadInput(say("the body names no rows: {wrong}", wrong=str(wrong)),
                       do=[say("{example}", example='["i-1", "i-2"]')],
                       why=say("it holds ids, or objects with {key}.", key=key)) from wrong
    return encode([{key: one} if isinstance(one, str) else one for one in found])


def account(ticket: Ticket, verbose: bool, language: str) -> Reply:
    """What became of the records: the counts, and each that was not plainly stored; all of them where asked for.

    Args:
        ticket: Of the request.
        verbose: Whether every record is asked for.
        language: `en` or `zh`.
    """
    if not (ticket.verdicts or verbose):
        return Reply(200, b'{"received":%d,"stored":%d,"duplicate":0,"quarantined":0,"results":[]}'
                     % (ticket.received, ticket.stored))
    counts = {name: getattr(ticket, name) for name in ("received", "stored", "duplicate", "quarantined")}
    told = {verdict.index: {"index": verdict.index, "outcome": verdict.outcome, "reason": verdict.reason,
                            "detail": None if verdict.detail is None else put(verdict.detail, language),
                            "event_id": verdict.event_id} for verdict in ticket.verdicts}
    results = [told[place] for place in sorted(told)]
    if verbose:
        ids = iter([event.event_id for event in ticket.events])  # of the stored records, in their order
        results = [told.get(place) or {"index": place, "outcome": "stored", "reason": None, "detail": None,
                                       "event_id": next(ids, None)} for place in range(ticket.received)]
    return Reply(200, encode({**counts, "results": results}))
