"""What the server says of its work: one JSON object a line, to stderr. Never a key, a query, a body or an identity."""

from __future__ import annotations

import sys
import time
import traceback
from typing import BinaryIO, Literal

import msgspec

Level = Literal["all", "errors", "none"]
_HELD = 64 * 1024  # bytes that may wait to be written


class Log:
    """A buffered log; `flush` is called several times a second.

    Args:
        level: `all` has a line a request, `errors` only what went wrong, `none` nothing.
        to: Where to; stderr by default.
    """

    def __init__(self, level: Level = "all", to: BinaryIO | None = None) -> None:
        self.level = level
        self._to = to if to is not None else sys.stderr.buffer
        self._lines: list[bytes] = []
        self._size = 0
        self._encode = msgspec.json.Encoder().encode

    def request(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        """A request was answered."""
        if self.level == "all" or (self.level == "errors" and status >= 500):
            self._add({"time": _now(), "level": "error" if status >= 500 else "info", "event": "request",
                       "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2),
                       "request_id": request_id})

    def event(self, name: str, level: Literal["info", "warning", "error"] = "info", **more: object) -> None:
        """Something else happened."""
        if self.level == "all" or (self.level == "errors" and level != "info"):
            self._add({"time": _now(), "level": level, "event": name, **more})

    def defect(self, wrong: BaseException, route: str, request_id: str = "") -> None:
        """A defect of ours: where it arose, without the values that it met."""
        self.event("defect", "error", route=route, request_id=request_id, kind=type(wrong).__name__,
                   where=where(wrong))

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            data, self._lines, self._size = b"".join(self._lines), [], 0
            self._to.write(data)
            self._to.flush()

    def _add(self, line: dict[str, object]) -> None:
        text = self._encode(line) + b"\n"
        self._lines.append(text)
        self._size += len(text)
        if self._size > _HELD:
            self.flush()


def where(wrong: BaseException) -> list[str]:
    """Where a defect arose, the innermost place last; no message, for it may hold what a customer typed."""
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(wrong.__traceback__)][-12:]


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
