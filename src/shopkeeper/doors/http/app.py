"""The door of one service, put together: every route with its handler and its scope."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path as File

import msgspec

from shopkeeper.doors.http.asking import Asking
from shopkeeper.doors.http.collect import Collecting
from shopkeeper.doors.http.described import operations
from shopkeeper.doors.http.dialects import Speaking
from shopkeeper.doors.http.door import EVENTS, Call, Door, Handler, Path
from shopkeeper.doors.http.guard import Guard
from shopkeeper.doors.http.hot import NAME, Hot
from shopkeeper.doors.http.metrics import KIND
from shopkeeper.doors.http.openapi import document
from shopkeeper.doors.http.pages import POLICY, docs
from shopkeeper.doors.http.parts import Heard
from shopkeeper.doors.http.refusals import NoSuchRoute, Reply
from shopkeeper.doors.http.service import Service
from shopkeeper.events.schema import TABLES
from shopkeeper.menu import MENU
from shopkeeper.recommend.live import LiveDesk
from shopkeeper.words import LANGUAGES, say

SCRIPT = File(__file__).with_name("shopkeeper.js")
_SCRIPT_KEPT = b"public, max-age=3600, stale-while-revalidate=86400"


def door(service: Service, guard: Guard, desk: tuple[LiveDesk, Heard] | None = None) -> Door:
    """The application of a service; with a live desk, `next_items` is answered from memory."""
    collecting, asking = Collecting(service), Asking(service)
    paths = [Path(EVENTS, ("POST",), collecting.events, "collect"), *Speaking(service).paths()]
    for table in TABLES:
        paths += [Path(f"/v1/{table}", ("PUT", "PATCH", "DELETE"), collecting.table, "write"),
                  Path(f"/v1/{table}/{{id}}", ("PUT", "PATCH", "DELETE"), collecting.table, "write")]
    for entry in MENU:
        mark = entry.mark()
        question = mark.kind == "question"
        handler = Hot(asking, desk) if desk is not None and (entry.room, entry.name) == NAME else asking.handler(entry)
        paths.append(Path(f"/v1/{entry.room}/{entry.name}", ("GET", "POST") if question else ("POST",),
                          handler, "read" if question else mark.scope or "admin"))
    return Door(service, guard, [*paths, *_of_server(service)], (EVENTS, f"/v1/{'/'.join(NAME)}"))


def _of_server(service: Service) -> list[Path]:
    async def health(_: Call) -> Reply:
        return Reply.of({"status": "ok"})

    async def ready(_: Call) -> Reply:
        return Reply.of({"ready": service.ready, "version": service.shop.manifest.version},
                        200 if service.ready else 503)

    async def metrics(_: Call) -> Reply:
        return Reply(200, service.metrics.text(service.gauges()), KIND)

    async def root(_: Call) -> Reply:
        return Reply(302, b"", b"text/plain", [(b"location", b"/docs")])

    handlers: dict[str, tuple[Handler, str]] = {
        "/": (root, ""), "/healthz": (health, ""), "/readyz": (ready, ""), "/metrics": (metrics, "read"),
        "/docs": (_docs, ""), "/openapi.json": (_openapi, ""), f"/{SCRIPT.name}": (_script, "")}
    return [Path(path, ("GET",), handler, scope) for path, (handler, scope) in handlers.items()]


async def _docs(call: Call) -> Reply:
    """The page for people; a language can be asked for in the address."""
    asked = call.query.decode("latin-1").removeprefix("lang=")
    language = asked if asked in LANGUAGES else call.language
    return Reply(200, _page(language), b"text/html; charset=utf-8", [
        (b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer"),
        (b"vary", b"accept-language")])


async def _openapi(call: Call) -> Reply:
    return Reply(200, _description(call.language))


@lru_cache(maxsize=4)
def _page(language: str) -> bytes:
    return docs(operations(), language).encode()


@lru_cache(maxsize=4)
def _description(language: str) -> bytes:
    return msgspec.json.encode(document(operations(), language))


async def _script(call: Call) -> Reply:
    """The snippet, for any page; its tag changes with its bytes."""
    try:
        code, tag = _code(SCRIPT)
    except FileNotFoundError:
        raise NoSuchRoute(say("this version has no script for web pages."), do=[say("POST /v1/events")],
                          why=say("events are posted by the shop's own server.")) from None
    headers = [(b"etag", tag), (b"cache-control", _SCRIPT_KEPT), (b"cross-origin-resource-policy", b"cross-origin")]
    if call.headers.get(b"if-none-match") == tag:
        return Reply(304, b"", b"text/javascript; charset=utf-8", headers)
    return Reply(200, code, b"text/javascript; charset=utf-8", headers)


@lru_cache(maxsize=1)
def _code(file: File) -> tuple[bytes, bytes]:
    code = file.read_bytes()
    return code, b'"' + hashlib.sha256(code).hexdigest()[:32].encode() + b'"'
