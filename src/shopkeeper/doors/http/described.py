"""Every route in words: what OpenAPI and the page for people are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shopkeeper.doors.http import values
from shopkeeper.doors.http.asking import UPLOAD
from shopkeeper.doors.http.collect import VERBOSE
from shopkeeper.doors.http.dialects import BATCH, GA4, ROUTES
from shopkeeper.doors.http.door import EVENTS
from shopkeeper.doors.http.hot import BECAUSE, NAME
from shopkeeper.events.schema import TABLE_KEYS, TABLES
from shopkeeper.menu import MENU, Entry, Parameter
from shopkeeper.words import say

Gives = Literal["answer", "account", "ingested", "text", "page", "status"]
EVENT = {"event_id": "0192f0c1-7d3a-7c3e-9c1e-2f6f0b1d4a55", "event": "view_item", "client_ts": "2026-10-31T18:30:00Z",
         "customer_id": "c-42", "item_id": "i-7"}
ROWS: Mapping[str, dict[str, Any]] = {
    "items": {"item_id": "i-7", "title": "Green tea, 250 g", "category": "Drinks > Tea", "price": 4.5,
              "currency": "EUR"},
    "customers": {"customer_id": "c-42", "city": "Bremen"},
    "stock": {"item_id": "i-7", "on_hand": 12, "lead_time": 5},
    "campaigns": {"campaign_id": "spring", "offer": "10 % off tea", "cost": 0.2, "currency": "EUR"},
}
_KEYS = {"items": "i-7", "customers": "c-42", "stock": "i-7", "campaigns": "spring"}


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    Attributes:
        method: Of HTTP.
        path: With `{id}` where it has one.
        name: Unique; what a generated client calls it.
        group: Heading under which it stands: a room, or `collect`, `tables`, `server`.
        summary: What it does, English, a text of the catalogue.
        scope: What a key needs; empty where none is needed.
        parameters: Of the query string, or of the body where `in_body`.
        in_body: Whether the parameters are a JSON object in the body.
        example: A body, if it takes one that is no object of parameters.
        packed: Whether the body is a file.
        gives: What comes back.
        columns: Of the answer's rows, name -> Arrow type, where they are known.
    """

    method: str
    path: str
    name: str
    group: str
    summary: str
    scope: str
    parameters: tuple[Parameter, ...] = ()
    in_body: bool = False
    example: Any = None
    packed: bool = False
    gives: Gives = "answer"
    columns: Mapping[str, str] = field(default_factory=dict)


def operations() -> list[Operation]:
    """Every operation of the door, in the order in which people read them; imports the rooms."""
    return [_events(), *_dialects(), *(one for table in TABLES for one in _table(table)),
            *(one for entry in MENU for one in _of_menu(entry)), *_server()]


def _events() -> Operation:
    return Operation("POST", EVENTS, "post_events", "collect", str(_EVENTS), "collect", (VERBOSE,),
                     example={"events": [EVENT], "sent_at": "2026-10-31T18:30:01Z"}, gives="account")


def _dialects() -> list[Operation]:
    """What senders of Segment's libraries and of GA4's protocol post to."""
    called = {"type": "track", "event": "Product Viewed", "messageId": "m-1", "anonymousId": "a-1",
              "timestamp": "2026-10-31T18:30:00Z", "properties": {"product_id": "i-7"}}
    payload = {"client_id": "a-1", "events": [{"name": "view_item", "params": {"items": [{"item_id": "i-7"}]}}]}
    examples = {BATCH: {"batch": [called], "sentAt": "2026-10-31T18:30:01Z"}, GA4: payload}
    summaries = {BATCH: _CALLED, GA4: _MEASURED}
    return [Operation("POST", route, f"post_{route.strip('/').replace('/', '_').removeprefix('v1_')}", "collect",
                      str(summaries.get(route, _ONE_CALLED)), "collect", (VERBOSE,),
                      example=examples.get(route, called), gives="account") for route in ROUTES]


_CALLED = say("Take calls in Segment's form (RudderStack's, too), many at once; the write key is a key with the scope "
              "collect.")
_ONE_CALLED = say("Take one call in Segment's form.")
_MEASURED = say("Take events of GA4's Measurement Protocol; api_secret is a key with the scope collect.")
_EVENTS = say("Take events: one, many, or one a line. Each is on disk before the answer.")
_PUT = say("Put rows: what a row had before is replaced.")
_PATCH = say("Change rows: columns that are not given stay.")
_DELETE = say("Delete rows.")
_HEALTH = say("Say that the process lives.")
_READY = say("Say whether it takes events and answers.")
_METRICS = say("Give the counts of the server, for Prometheus.")
_SNIPPET = say("Give the script for web pages.")
_OPENAPI = say("Give the description of every route, OpenAPI 3.1.")
_DOCS = say("Show this page.")


def _table(table: str) -> list[Operation]:
    found = []
    for method, summary in (("PUT", _PUT), ("PATCH", _PATCH), ("DELETE", _DELETE)):
        name, key, row = method.lower(), TABLE_KEYS[table], ROWS[table]
        many = [_KEYS[table]] if method == "DELETE" else [row]
        one = None if method == "DELETE" else {column: cell for column, cell in row.items() if column != key}
        named = Parameter(key, "texts", description=str(say("rows to delete, several.")))
        also = (VERBOSE, named) if method == "DELETE" else (VERBOSE,)
        found += [Operation(method, f"/v1/{table}", f"{name}_{table}", "tables", str(summary), "write", also,
                            example=many, gives="account"),
                  Operation(method, f"/v1/{table}/{{id}}", f"{name}_one_of_{table}", "tables", str(summary), "write",
                            (VERBOSE,), example=one, gives="account")]
    return found


def _of_menu(entry: Entry) -> list[Operation]:
    path, name = f"/v1/{entry.room}/{entry.name}", f"{entry.room}_{entry.name}"
    if entry.by_hand:
        return [Operation("POST", path, name, entry.room, entry.summary, entry.mark().scope or "write", UPLOAD,
                          packed=True, gives="ingested")]
    columns = _columns(entry)
    if entry.mark().kind == "act":
        return [Operation("POST", path, name, entry.room, entry.summary, entry.mark().scope or "admin",
                          entry.parameters(), in_body=True, columns=columns)]
    hot = (BECAUSE,) if (entry.room, entry.name) == NAME else ()
    also = (*entry.parameters(), *values.VIEW, *hot)
    return [Operation("GET", path, name, entry.room, entry.summary, "read", also, columns=columns),
            Operation("POST", path, f"{name}_by_body", entry.room, entry.summary, "read", also, in_body=True,
                      columns=columns)]


def _columns(entry: Entry) -> Mapping[str, str]:
    """Columns of the answer's table, where the room says them."""
    from shopkeeper.learn import LEARNED
    from shopkeeper.recommend.answers import AUDIENCE, ITEMS

    known = {"recommend.next_items": ITEMS, "recommend.similar_items": ITEMS, "recommend.goes_with": ITEMS,
             "recommend.audience": AUDIENCE, "learn.learn": LEARNED}
    schema = known.get(f"{entry.room}.{entry.name}")
    return {} if schema is None else {column.name: str(column.type) for column in schema}


def _server() -> list[Operation]:
    return [
        Operation("GET", "/healthz", "health", "server", str(_HEALTH), "", gives="status"),
        Operation("GET", "/readyz", "ready", "server", str(_READY), "", gives="status"),
        Operation("GET", "/metrics", "metrics", "server", str(_METRICS), "read", gives="text"),
        Operation("GET", "/shopkeeper.js", "snippet", "server", str(_SNIPPET), "", gives="text"),
        Operation("GET", "/openapi.json", "openapi", "server", str(_OPENAPI), "", gives="status"),
        Operation("GET", "/docs", "docs", "server", str(_DOCS), "", gives="page"),
    ]
