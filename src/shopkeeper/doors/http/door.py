"""The ASGI application: guards, hot routes by hand, the others by Starlette, and one place for what goes wrong."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from shopkeeper.doors.http.bodies import Gone
from shopkeeper.doors.http.guard import COLLECT, Caller, Guard
from shopkeeper.doors.http.refusals import NoSuchRoute, Reply
from shopkeeper.doors.http.service import Service
from shopkeeper.errors import Refusal
from shopkeeper.words import say

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
EVENTS = "/v1/events"
OTHER = "other"  # what counts and logs call a path that is no route: never the path itself
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ALLOWED = (b"access-control-allow-headers", b"content-type, content-encoding, authorization, x-shopkeeper-key")


@dataclass
class Call:
    """A request as handlers see it; `caller` is None where nobody was asked for a key."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    receive: Receive
    parts: Mapping[str, str]
    caller: Caller | None = None

    @cached_property
    def language(self) -> str:
        """`en` or `zh`, by Accept-Language."""
        return language(self.headers.get(b"accept-language", b""))

    @property
    def kind(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Path:
    """A route.

    Attributes:
        path: As OpenAPI writes it: `/v1/items/{id}`.
        methods: Of HTTP.
        handler: What answers.
        scope: What a key needs; empty where it is the same for every shop.
    """

    path: str
    methods: tuple[str, ...]
    handler: Handler
    scope: str


class Door:
    """The application.

    Args:
        service: What answers.
        guard: Who may come in.
        paths: Every route. Those of `hot` are also found without a router.
        hot: Paths that are looked up directly.
    """

    def __init__(self, service: Service, guard: Guard, paths: list[Path], hot: tuple[str, ...] = (EVENTS,)) -> None:
        self.service, self.guard, self.paths = service, guard, paths
        self._posted = frozenset(path.path for path in paths if path.scope == COLLECT)  # what web pages may post to
        self._hot = {(path.path, method): path for path in paths if path.path in hot for method in path.methods}
        self._router = Router([Route(_converted(path.path), self._endpoint(path), methods=list(path.methods))
                               for path in paths], redirect_slashes=False, default=_nowhere)
        self._run, self._numbers = secrets.token_hex(4), count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end the service."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.service.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.service.end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, number = time.perf_counter(), f"{self._run}-{next(self._numbers):x}"
        headers = dict(scope["headers"])
        path = self._hot.get((scope["path"], scope["method"]))
        route = OTHER if path is None else path.path
        try:
            if path is not None:
                reply = await self._answer(path, _call(scope, headers, receive))
            elif scope["method"] == "OPTIONS":
                reply = self._preflight(scope, headers)
            else:
                reply = await self._routed(scope, headers, receive)
                route = scope.get("shopkeeper.route", OTHER)
        except Gone:
            return
        except Refusal as refusal:
            reply = Reply.refused(refusal, language(headers.get(b"accept-language", b"")))
            route = scope.get("shopkeeper.route", route)
        except Exception as wrong:
            route = scope.get("shopkeeper.route", route)
            self.service.log.defect(wrong, route, number)
            reply = Reply.of({"refusal": "Defect", "what": "this is a defect of shopkeeper.", "try": [],
                              "why": f"the log has it under {number}."}, 500)
        await self._send(reply, scope, headers, number, send)
        seconds = time.perf_counter() - began
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        self.service.metrics.answered(method, route, reply.status, seconds)
        self.service.log.request(method, route, reply.status, seconds, number)

    async def _answer(self, path: Path, call: Call) -> Reply:
        if not path.scope:
            self.guard.same_for_all(call.headers)
            return await path.handler(call)
        call.caller = self.guard.admit(call.headers, call.query, path.scope)
        if path.scope != COLLECT:
            call.caller.bucket.took(1)
        return await path.handler(call)

    async def _routed(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Reply:
        scope["app"], scope["shopkeeper.headers"] = self, headers
        try:
            await self._router(scope, receive, _unused)
        except HTTPException as wrong:  # the path is known, the method is not
            allowed = (wrong.headers or {}).get("Allow", "")
            reply = Reply.refused(NoSuchRoute(
                say("{method} is not what this path takes.", method=scope["method"][:20]),
                do=[say("one of: {names}", names=allowed)], why=say("each route has its methods.")), _of(headers))
            reply.status = wrong.status_code
            reply.headers.append((b"allow", allowed.encode()))
            return reply
        found: Reply = scope["shopkeeper.reply"]
        return found

    def _endpoint(self, path: Path) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            scope = request.scope
            scope["shopkeeper.route"] = path.path
            call = _call(scope, scope["shopkeeper.headers"], request.receive)
            scope["shopkeeper.reply"] = await self._answer(path, call)
            return _SENT

        return endpoint

    def _preflight(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Reply:
        """Tell a browser whether a page may post events. It shows no key yet."""
        page = self.guard.foreign(headers)
        allowed = bool(page) and scope["path"] in self._posted and self.guard.may_post(page)
        reply = Reply(204 if allowed else 403, b"")
        if allowed:
            reply.headers += [(b"access-control-allow-methods", b"POST"), _ALLOWED, (b"access-control-max-age", b"600")]
            if headers.get(b"access-control-request-private-network") == b"true":
                reply.headers.append((b"access-control-allow-private-network", b"true"))
        return reply

    async def _send(self, reply: Reply, scope: Scope, headers: Mapping[bytes, bytes], number: str, send: Send) -> None:
        more = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(reply.body)),
                (b"x-content-type-options", b"nosniff"), (b"x-request-id", number.encode()), *reply.headers]
        if not any(name == b"cache-control" for name, _ in reply.headers):
            more.append((b"cache-control", b"no-store"))
        if scope["path"] in self._posted and b"origin" in headers:
            page = self.guard.foreign(headers)
            more.append((b"vary", b"origin"))
            if page and self.guard.may_post(page):
                more += [(b"access-control-allow-origin", headers[b"origin"]),
                         (b"access-control-expose-headers", b"retry-after, x-request-id")]
        await send({"type": "http.response.start", "status": reply.status, "headers": more})
        await send({"type": "http.response.body", "body": reply.body})


def language(accepted: bytes) -> str:
    """The language that a reader likes best among ours; English where none is.

    >>> language(b"zh-CN,zh;q=0.9,en;q=0.8"), language(b"de, zh;q=0.1, en;q=0.5"), language(b"")
    ('zh', 'en', 'en')
    """
    if b"zh" not in accepted.lower():
        return "en"
    best, most = "en", 0.0
    for entry in accepted.decode("latin-1").lower().split(","):
        tag, _, rest = entry.partition(";")
        quality = rest.strip().removeprefix("q=") or "1"
        weight = float(quality) if quality.replace(".", "", 1).isdigit() and quality.isascii() else 0.0
        spoken = tag.strip()[:2]
        if spoken in ("en", "zh") and weight > most:
            best, most = spoken, weight
    return best


def _of(headers: Mapping[bytes, bytes]) -> str:
    return language(headers.get(b"accept-language", b""))


def _call(scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Call:
    return Call(scope["method"], scope["path"], scope["query_string"], headers, receive, scope.get("path_params", {}))


def _converted(path: str) -> str:
    """The path as Starlette reads it; an id may hold a slash."""
    return path.replace("{id}", "{id:path}")


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise NoSuchRoute(say("there is nothing at this path."), do=[say("GET /docs"), say("GET /openapi.json")],
                      why=say("every route is listed there."))


class _Sent(Response):
    """A response that is sent elsewhere."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


_SENT = _Sent()


async def _unused(message: MutableMapping[str, Any]) -> None:
    raise AssertionError(message["type"])
