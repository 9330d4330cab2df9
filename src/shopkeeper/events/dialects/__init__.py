"""Dialects: what trackers, back offices and public data sets call things, each a table of rows in a file of its own.

To add one: a file here, its sample in `tests/dialects/samples`, and its name in `DIALECTS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shopkeeper.errors import UnknownName
from shopkeeper.events.dialects import (
    backoffice,
    ga4,
    matomo,
    orders,
    pixel,
    public,
    segment,
    sensors,
    snowplow,
    talk,
)
from shopkeeper.events.dialects.base import Dialect, Field, Row, Unfit, flat, translate, untranslate
from shopkeeper.events.mapping import spelling
from shopkeeper.words import say

__all__ = ["COLUMNS", "DIALECTS", "Dialect", "Field", "Row", "Unfit", "flat", "named", "recognise", "translate",
           "untranslate"]

COLUMNS = "columns"  # no dialect: columns with our names, or those of a mapping
DIALECTS: Mapping[str, Dialect] = {one.name: one for one in (
    *ga4.DIALECTS, *segment.DIALECTS, *snowplow.DIALECTS, *pixel.DIALECTS, *matomo.DIALECTS, *sensors.DIALECTS,
    *orders.DIALECTS, *backoffice.DIALECTS, *talk.DIALECTS, *public.DIALECTS,
)}


def named(name: str) -> Dialect:
    """The dialect of this name.

    Raises:
        UnknownName: There is none.
    """
    if name not in DIALECTS:
        raise UnknownName(say("{name} is no dialect that is known.", name=repr(name)),
                          do=[say("one of: {names}", names=", ".join((COLUMNS, *DIALECTS)))],
                          why=say("a dialect says what a tracker or a back office calls things."))
    return DIALECTS[name]


def recognise(columns: Sequence[str], first: Sequence[Row]) -> Dialect | None:
    """The dialect of a source; None where it speaks none, or has columns of ours already.

    Where several fit, the one that asks for most.

    Args:
        columns: Its fields, dotted.
        first: Its first records, flat.
    """
    ours = {spelling(name) for name in columns}
    if "event" in ours and ours & {"ts", "client_ts"} and ours & {"customer_id", "anonymous_id", "order_id"}:
        return None
    fitting = [one for one in DIALECTS.values() if one.bare(columns) or one.speaks(columns, first)]
    return max(fitting, key=lambda one: (one.bare(columns), len(one.marks)), default=None)
