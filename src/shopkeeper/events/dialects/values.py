"""Readers of single values that several dialects share."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from shopkeeper.events.dialects.base import Row, Unfit, Wrong, shortly, text_of
from shopkeeper.words import say

_UNSET = frozenset({"", "(not set)", "(none)", "(data deleted)", "null", "undefined", "NaN"})
CLICKS = ("gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "ttclid", "twclid", "li_fat_id")


def said(value: Any) -> str | None:
    """A text; None where it only says that nothing was set.

    >>> said("(not set)"), said(7)
    (None, '7')
    """
    text = text_of(value).strip()
    return None if text in _UNSET else text


def number(value: Any) -> str:
    """A number as its plain text.

    Raises:
        ValueError: It is none.

    >>> number(19.90), number("3"), number("1e2")
    ('19.9', '3', '100')
    """
    try:
        found = Decimal(text_of(value).strip())
    except InvalidOperation as wrong:
        raise Wrong(say("{value} is no number.", value=shortly(value))) from wrong
    if not found.is_finite():
        raise Wrong(say("{value} is no number.", value=shortly(value)))
    plain = format(found, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def micros(value: Any) -> str:
    """Microseconds since 1970 as ISO 8601 UTC.

    >>> micros(1700000000000000)
    '2023-11-14T22:13:20Z'
    """
    return _iso(int(text_of(value)))


def millis(value: Any) -> str:
    """Milliseconds since 1970 as ISO 8601 UTC."""
    return _iso(int(text_of(value)) * 1000)


def seconds(value: Any) -> str:
    """Seconds since 1970 as ISO 8601 UTC."""
    return _iso(int(text_of(value)) * 1_000_000)


def to_micros(value: Any) -> int:
    """The inverse of `micros`."""
    moment = datetime.fromisoformat(text_of(value).replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def to_millis(value: Any) -> int:
    """The inverse of `millis`, to the millisecond."""
    return to_micros(value) // 1000


def to_seconds(value: Any) -> int:
    """The inverse of `seconds`, to the second."""
    return to_micros(value) // 1_000_000


def _iso(count: int) -> str:
    if not 0 <= count < 253402300800_000000:
        raise Wrong(say("{value} is no time.", value=shortly(count)))
    moment = datetime.fromtimestamp(count // 1_000_000, UTC).replace(microsecond=count % 1_000_000)
    return moment.isoformat().replace("+00:00", "Z")


def joint(*parts: Any) -> str:
    """One name for what only several values name together; none of them can be read off it.

    >>> joint("device", 7) == joint("device", "7"), len(joint("a"))
    (True, 24)
    """
    return hashlib.blake2b("\0".join(map(text_of, parts)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def net(theirs: Row, whole: str, *apart: str) -> str:
    """An amount less others that it includes.

    Raises:
        Unfit: One of them is no number.

    >>> net({"total": 30, "tax": "2.5"}, "total", "tax", "shipping")
    '27.5'
    """
    return number(_amount(theirs, whole) - sum(_amount(theirs, name) for name in apart))


def _amount(theirs: Row, name: str) -> Decimal:
    try:
        return Decimal(number(theirs.get(name, 0)))
    except Wrong as wrong:
        raise Unfit(name, wrong.what) from wrong


def unpriced(ours: Row, kinds: frozenset[str]) -> Row:
    """Where nobody says a currency and nothing is sold, prices of items keep their place in props alone."""
    if ours.get("currency") or ours.get("event") not in kinds:
        return ours
    renamed = {"price": "price_without_currency", "item_discount": "discount_without_currency"}
    return {**{renamed.get(name, name): value for name, value in ours.items()},
            **({"items": [{renamed.get(name, name): value for name, value in one.items()} for one in ours["items"]]}
               if ours.get("items") else {})}


def one_each(ours: Row, kinds: frozenset[str]) -> Row:
    """Where a kind of event is about units and an item says none, it is one."""
    if ours.get("event") not in kinds:
        return ours
    if ours.get("items"):
        return {**ours, "items": [one if one.get("quantity") not in (None, "") else {**one, "quantity": "1"}
                                  for one in ours["items"]]}
    return {"quantity": "1", **ours} if ours.get("item_id") else ours
