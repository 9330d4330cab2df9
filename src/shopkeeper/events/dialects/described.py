"""A dialect's table in words: for `shopkeeper dialects` and for the page of the documentation."""

from __future__ import annotations

from typing import Any

from shopkeeper.events.dialects.base import PROPS, Dialect, Field

__all__ = ["as_data", "filled", "recognised", "words"]

_NO_FIELD = ("", "·")  # how the name begins of what stands in no file
_SHOWN = 6  # of the names of one thing
_OURS = "·"  # begins a name that a function here gives to what it tells apart; no source has it


def filled(dialect: Dialect) -> list[tuple[str, str]]:
    """Column of ours, and the fields of theirs that fill it, the first that says something; items as `items.<column>`.

    Columns of the event table come first, then those of items, then what is renamed in `props`.
    """
    rows = [] if dialect.kind is None else [Field("event", dialect.kind)]
    rows += [row for row in dialect.fields if not row.ours.startswith(PROPS) and row.theirs[:1] not in _NO_FIELD]
    rows += [Field(f"items.{row.ours}", row.theirs) for row in dialect.item if not row.ours.startswith(PROPS)]
    rows += [row for row in dialect.fields if row.ours.startswith(PROPS)]
    rows = [row for row in rows if row.theirs.strip("|") and not row.theirs.startswith(_OURS)]
    together: dict[str, list[str]] = {}
    for row in rows:
        together.setdefault(row.ours, []).append(row.theirs)
    return [(ours, _names("|".join(theirs))) for ours, theirs in together.items()]


def words(dialect: Dialect) -> dict[str, list[str]]:
    """Our kind -> their words for it."""
    found: dict[str, list[str]] = {}
    for theirs, ours in dialect.kinds.items():
        found.setdefault(ours, []).append(theirs)
    return found


def recognised(dialect: Dialect) -> list[str]:
    """What a source in this dialect has: of each, one name at least."""
    return [_names("|".join(names)) for names in dialect.marks]


def as_data(dialect: Dialect) -> dict[str, Any]:
    """All of its table, for programs."""
    return {"name": dialect.name, "title": dialect.title, "documented": dialect.documented,
            "marks": [list(names) for names in dialect.marks], "headerless": list(dialect.headerless),
            "fields": [{"ours": row.ours, "theirs": row.theirs.split("|")} for row in dialect.fields],
            "kind": dialect.kind, "kinds": dict(dialect.kinds), "items": dialect.items,
            "item": [{"ours": row.ours, "theirs": row.theirs.split("|")} for row in dialect.item],
            "constants": dict(dialect.constants), "time_zone": dialect.time_zone, "currency": dialect.currency,
            "order_rule": dialect.order_rule}


def _names(names: str) -> str:
    """The first of some names that mean one thing.

    >>> _names("Invoice|InvoiceNo")
    'Invoice / InvoiceNo'
    """
    each = list(dict.fromkeys(names.split("|")))
    return " / ".join(each[:_SHOWN]) + (f" / +{len(each) - _SHOWN}" if len(each) > _SHOWN else "")
