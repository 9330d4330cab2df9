"""What a caller did that this door cannot serve, and the status that each refusal has.

A refusal leaves as the three parts that it has everywhere: what is wrong, what to try, why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shopkeeper.asking import plain
from shopkeeper.errors import (
    BadInput,
    MissingData,
    MissingExtra,
    Refusal,
    ShopBusy,
    UnknownName,
)
from shopkeeper.words import Sentence

JSON = b"application/json"
encode = msgspec.json.Encoder().encode


class Denied(Refusal):
    """No key, a key that is not known, one without the scope, or a page that may not ask."""

    def __init__(self, what: Sentence, *, do: Sequence[Sentence] = (), why: Sentence | None = None,
                 known: bool = True) -> None:
        super().__init__(what, do=do, why=why)
        self.known = known  # whether we know who asks: 403, else 401


class TooLarge(BadInput):
    """A body, or what it unpacks to, is larger than is taken at once."""


class NotUnderstood(BadInput):
    """A form of body or of answer that this door does not know."""


class NoSuchRoute(UnknownName):
    """There is nothing at that path, or not with that method."""


class TooSlow(BadInput):
    """The body did not come in time."""


class TooMany(Refusal):
    """More than is taken in a second, or at once. `retry_after` says when to come again, in seconds."""

    def __init__(self, what: Sentence, *, retry_after: float, do: Sequence[Sentence] = (),
                 why: Sentence | None = None) -> None:
        super().__init__(what, do=do, why=why)
        self.retry_after = retry_after


# The first that fits counts.
STATUS: tuple[tuple[type[Refusal], int], ...] = (
    (TooLarge, 413), (NotUnderstood, 415), (TooSlow, 408), (UnknownName, 404), (BadInput, 400), (TooMany, 429),
    (MissingData, 422), (MissingExtra, 422), (ShopBusy, 409),
)


@dataclass
class Reply:
    """What goes back over the wire.

    Attributes:
        status: Of HTTP.
        body: The bytes.
        kind: Its media type.
        headers: Further headers, lower case.
    """

    status: int
    body: bytes
    kind: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, data: Any, status: int = 200) -> Reply:
        """Plain data as JSON."""
        return cls(status, encode(plain(data)))

    @classmethod
    def refused(cls, refusal: Refusal, language: str) -> Reply:
        """A refusal in its three parts, with its status."""
        reply = cls(status_of(refusal), encode(refusal.to_dict(language)))
        wait = getattr(refusal, "retry_after", 1.0 if isinstance(refusal, ShopBusy) else None)
        if wait is not None:
            reply.headers.append((b"retry-after", b"%d" % max(1, -int(-wait // 1))))
        if reply.status == 401:
            reply.headers.append((b"www-authenticate", b"Bearer"))
        return reply


def status_of(refusal: Refusal) -> int:
    """The status of a refusal.

    What the caller can mend is 4xx. What stands in the shop's way is 500 (damage) or 503 (a disk that takes no more).

    >>> from shopkeeper.words import say
    >>> status_of(UnknownName(say("item {item} is not in the log.", item="'x'")))
    404
    """
    if isinstance(refusal, Denied):
        return 403 if refusal.known else 401
    name = type(refusal).__name__
    if name == "NotWritten":
        return 503
    if hasattr(refusal, "retry_after"):
        return 429
    return next((status for kind, status in STATUS if isinstance(refusal, kind)), 500)
