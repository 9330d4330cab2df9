"""When is now, and in which money: two facts that the log itself gives."""

from __future__ import annotations

import ibis

from shopkeeper.events.schema import MONEY_COLUMNS, SERVICE
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.traffic import human

DAY = 86_400_000_000  # microseconds


def latest(engine: Engine, until: int | None = None) -> int:
    """Time of the last human event that is not later than its receipt, microseconds UTC; 0 for an empty log.

    What the service itself says does not move the clock. The newest days are read, and older ones only where those say
    nothing.
    """
    newest, first = engine.manifest.last, engine.manifest.first
    if newest is None or first is None:
        return 0
    start, span = (newest if until is None else min(newest, until - 1)), DAY
    while start >= first:
        start, span = start - span, span * 8
        events = human(engine, engine.events(start if start > first else None, until))
        events = events.filter(events.ts <= events.received_at, events.source.isnull() | (events.source != SERVICE))
        found = engine.run(events.aggregate(last=events.ts.max()))["last"][0].cast("int64").as_py()
        if found is not None:
            return int(found)
    return 0


def currencies(engine: Engine, until: int | None = None) -> list[str]:
    """The currencies in which the log has money, in alphabetical order."""
    events = engine.events(None, until)
    money = ibis.or_(*(events[name].notnull() for name in MONEY_COLUMNS))
    names = engine.run(events.filter(money, events.currency.notnull()).select("currency").distinct())["currency"]
    return sorted(names.to_pylist())
