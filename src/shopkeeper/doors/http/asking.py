"""Every question and every act of the menu as a route, and the upload of a file."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from shopkeeper.asking import Answer, as_json
from shopkeeper.doors.http import bodies, values
from shopkeeper.doors.http.bodies import Gone
from shopkeeper.doors.http.door import Call, Handler
from shopkeeper.doors.http.refusals import JSON, NotUnderstood, Reply, TooLarge, TooSlow
from shopkeeper.doors.http.service import Service
from shopkeeper.doors.printing import as_csv
from shopkeeper.errors import BadInput
from shopkeeper.events.schema import TABLES
from shopkeeper.menu import Entry, Parameter
from shopkeeper.words import say

CSV = b"text/csv; charset=utf-8"
FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx", "arrow")
UPLOAD: tuple[Parameter, ...] = (
    Parameter("table", "choice", default="events", choices=("events", *TABLES),
              description=str(say("which table the file fills."))),
    Parameter("format", "choice", required=True, choices=FORMATS,
              description=str(say("form of the file; it may be packed with gzip or zstd."))),
    Parameter("map", "pairs",
              description=str(say("our column = their column, several; what has our name already needs none."))),
    Parameter("kind", "pairs", description=str(say("their word for an event = our kind, several."))),
    Parameter("constant", "pairs", description=str(say("our column = a value for the whole file, several."))),
    Parameter("time_zone", "text", description=str(say("zone of times that have none, such as Europe/Berlin."))),
    Parameter("time_format", "text", description=str(say("form of odd times, as strptime takes it."))),
    Parameter("currency", "text", description=str(say("currency of money that names none, such as EUR."))),
    Parameter("order_rule", "choice", choices=("customer-minute",),
              description=str(say("a customer's lines in one minute are one order, where no order_id is given."))),
    Parameter("source", "text", description=str(say("a label for where the file comes from."))),
    Parameter("encoding", "text", description=str(say("encoding of a text file."))),
    Parameter("delimiter", "text", description=str(say("what stands between the fields of a text file."))),
    Parameter("name", "text", description=str(say("what the account calls the file."))),
    Parameter("sheet", "text", description=str(say("sheet of a workbook."))),
    Parameter("dry_run", "bool", default=False,
              description=str(say("write nothing; show the first rows as they would be "
              "stored."))),
)
_COLUMNS = {"map": "columns", "kind": "kinds", "constant": "constants", "time_zone": "time_zone",
            "time_format": "time_format", "currency": "currency", "order_rule": "order_rule", "source": "source"}


class Asking:
    """Handlers of the menu."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def handler(self, entry: Entry) -> Handler:
        """The handler of an entry."""
        if entry.by_hand:
            return self.upload
        parameters = entry.parameters()
        if entry.mark().kind == "act":
            return lambda call: self._act(call, entry, parameters)
        return lambda call: self._question(call, entry, parameters)

    async def _question(self, call: Call, entry: Entry, parameters: tuple[Parameter, ...]) -> Reply:
        return await self.answered(call, entry, parameters, await self.given(
            call, (*parameters, *values.VIEW)))

    async def answered(self, call: Call, entry: Entry, parameters: tuple[Parameter, ...],
                       given: dict[str, object]) -> Reply:
        """Ask a question with what was given, the view (`values.VIEW`) among it."""
        as_of, traffic, identity = (given.pop(one.name, None) for one in values.VIEW)
        values.complete(given, parameters)
        answer = await self.service.ask(entry, given, as_of if isinstance(as_of, datetime) else None,
                                        traffic="all" if traffic == "all" else "human",
                                        identity="raw" if identity == "raw" else "joined")
        return delivered(answer, call)

    async def _act(self, call: Call, entry: Entry, parameters: tuple[Parameter, ...]) -> Reply:
        given = await self.given(call, parameters)
        values.complete(given, parameters)
        done = await self.service.act("act", room=entry.room, name=entry.name, given=as_json(given),
                                      language=call.language)
        return _chosen(done, call)

    async def given(self, call: Call, parameters: tuple[Parameter, ...]) -> dict[str, object]:
        """The parameters of the query string and of the body."""
        given = values.of_query(call.query, parameters)
        if call.method != "POST":
            return given
        body = await bodies.read(call.receive, call.headers, self.service.settings)
        if body.strip() and call.kind not in ("", "application/json"):
            raise NotUnderstood(say("content-type {name} is not known.", name=repr(call.kind)),
                                do=[say("-H 'content-type: application/json'")],
                                why=say("the parameters are a JSON object."))
        more = values.of_json(body.strip(), parameters)
        twice = sorted(given.keys() & more.keys())
        if twice:
            raise BadInput(say("{name} is given twice.", name=twice[0]), do=[say("leave it out of the address.")],
                           why=say("nobody could say which counts."))
        return given | more

    async def upload(self, call: Call) -> Reply:
        """Take a file into the shop; its bytes are the body, everything else stands in the query string."""
        given = values.of_query(call.query, UPLOAD)
        values.complete(given, UPLOAD)
        if call.headers.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
            raise NotUnderstood(say("a file is sent as it is, without content-encoding."),
                                do=[say("send the packed file itself: gzip and zstd are recognised.")],
                                why=say("it is spooled to disk before it is read."))
        with tempfile.TemporaryDirectory(prefix="shopkeeper-") as folder:
            file = Path(folder) / _name(given)
            with file.open("wb") as out:
                await self._spool(call, out)
            done = await self.service.act("ingest", file=str(file), given=_ingest(given), language=call.language,
                                          most=self.service.settings.unpacked_bytes)
        return _chosen(done, call)

    async def _spool(self, call: Call, out: IO[bytes]) -> None:
        """Write the body to disk as it comes, up to a bound; a sender who pauses for long is refused."""
        most, size, more = self.service.settings.upload_bytes, 0, True
        while more:
            try:
                async with asyncio.timeout(self.service.settings.body_seconds):
                    message = await call.receive()
            except TimeoutError:
                raise TooSlow(say("nothing came for {seconds:g} s.", seconds=self.service.settings.body_seconds),
                              do=[say("send it again.")],
                              why=say("a slow sender must not hold the door.")) from None
            if message["type"] != "http.request":
                raise Gone
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > most:
                raise TooLarge(say("the file has more than {most:,} bytes.", most=most), do=[say("send it in parts.")],
                               why=say("it is spooled to disk before it is read."))
            out.write(part)
        if size == 0:
            raise BadInput(say("the body is empty."), do=[say("--data-binary @events.csv")],
                           why=say("it is the file that is to be ingested."))


def _name(given: Mapping[str, Any]) -> str:
    """The file's name, for the account: letters, digits, dots, dashes and underscores, and no path."""
    name = str(given.get("name", f"upload.{given['format']}"))
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise BadInput(say("{name} is no name for a file.", name=repr(name[:80])), do=[say("name=events.csv")],
                       why=say("it has letters, digits, dots, dashes and underscores, and no folder."))
    return name


def _ingest(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the job takes them."""
    delimiter = given.get("delimiter")
    options = {name: given[name] for name in ("format", "encoding", "delimiter", "sheet") if name in given}
    if delimiter in ("\\t", "tab"):
        options["delimiter"] = "\t"
    return {"table": given.get("table", "events"), "dry_run": given.get("dry_run", False), "options": options,
            "mapping": {ours: given[theirs] for theirs, ours in _COLUMNS.items() if theirs in given}}


def delivered(answer: Answer, call: Call) -> Reply:
    """An answer in the form that the caller likes best."""
    if wants_csv(call.headers.get(b"accept", b"")):
        return Reply(200, as_csv(answer).encode("utf-8", "backslashreplace"), CSV)
    return Reply(200, as_json(answer.to_dict(call.language)).encode("ascii"), JSON)


def _chosen(done: Mapping[str, str], call: Call) -> Reply:
    if wants_csv(call.headers.get(b"accept", b"")):
        return Reply(200, done["csv"].encode("utf-8", "backslashreplace"), CSV)
    return Reply(200, done["json"].encode("utf-8", "backslashreplace"), JSON)


def wants_csv(accepted: bytes) -> bool:
    """Whether a caller likes CSV better than JSON.

    >>> wants_csv(b"text/csv"), wants_csv(b"text/csv;q=0.5, application/json"), wants_csv(b"*/*")
    (True, False, False)
    """
    if b"csv" not in accepted.lower():
        return False
    liked = {"text/csv": 0.0, "application/json": 0.0}
    for entry in accepted.decode("latin-1").lower().split(","):
        kind, _, rest = entry.partition(";")
        quality = re.search(r"q=(\d(?:\.\d{1,3})?)", rest)
        if kind.strip() in liked:
            liked[kind.strip()] = float(quality[1]) if quality else 1.0
    return liked["text/csv"] > liked["application/json"]
