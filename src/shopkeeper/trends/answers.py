"""What leaves the room: counts over time, rules with their back-tests, and what rings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer
from shopkeeper.charts import Axis
from shopkeeper.trends.kept import Fired
from shopkeeper.trends.ringing import Firing, Ring
from shopkeeper.words import word

_TIME = pa.timestamp("us")
_RING = [("since", _TIME), ("until", _TIME), ("side", pa.string()), ("counted", pa.float64()),
         ("expected", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("found_by", pa.string()),
         ("who", pa.string())]
RINGS = pa.schema(_RING)
FIRINGS = pa.schema([("rule", pa.string()), *_RING, ("per_week", pa.float64()), ("hint", pa.bool_())])
DELIVERED = pa.schema([*FIRINGS, ("delivered", _TIME), ("tries", pa.int32()), ("fault", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Counts(Answer):
    """Counts over time: at (UTC), local (the shop's wall clock), name, amount; buckets that hold nothing are left out.

    Attributes:
        points: The same for the picture, buckets of nothing included: local, name, amount.
        per: `minute` or `hour`.
    """

    points: Sequence[dict[str, Any]] = ()
    per: str = "hour"

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """A line for each name."""
        if not self.points:
            return None
        x = Axis("local", word("time", language), "time", "%H:%M" if self.per == "minute" else "%m-%d %H:%M")
        named = [{**point, "name": word(point["name"], language)} for point in self.points]
        return charts.lines(named, x, Axis("amount", word("amount", language)), Axis("name", "", "name"),
                            title=word("counts over time", language))


@dataclass(frozen=True, kw_only=True)
class Saved(Answer):
    """A rule that was saved, would be, or is gone; one row each time that it would have rung in the back-test.

    Attributes:
        per_week: Rings a week, in the back-test.
    """

    per_week: float = 0.0

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What was counted each time it would have rung, and what was expected."""
        rows = [{"at": row["until"], "amount": row[name], "name": word(name, language)}
                for row in self.table.to_pylist() for name in ("counted", "expected")]
        x = Axis("at", word("time", language), "time", "%m-%d %H:%M")
        return charts.lines(rows, x, Axis("amount", word("amount", language)), Axis("name", "", "name"),
                            title=word("when it would have rung", language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Alerts(Answer):
    """The rules of a shop, one a row. Part `firings`: what they rang lately, the newest first."""


@dataclass(frozen=True, kw_only=True)
class Ringing(Answer):
    """What rings now, one a row.

    Attributes:
        firings: The same, with their sentences.
    """

    firings: tuple[Firing, ...] = ()


def ring_row(ring: Ring) -> dict[str, Any]:
    """A ring as a row; what was not expected is null."""
    numbers = {name: value if value == value and abs(value) != float("inf") else None
               for name, value in (("counted", ring.counted), ("expected", ring.expected), ("low", ring.low),
                                   ("high", ring.high))}
    return {"since": ring.since, "until": ring.until, "side": ring.side, **numbers, "found_by": ring.method,
            "who": ring.who}


def ring_table(rings: Sequence[Ring]) -> pa.Table:
    """Rings as a table."""
    return pa.Table.from_pylist([ring_row(ring) for ring in rings], schema=RINGS)


def firing_row(firing: Firing) -> dict[str, Any]:
    """A firing as a row."""
    return {"rule": firing.rule, **ring_row(firing.ring), "per_week": firing.per_week, "hint": firing.hint}


def firing_table(firings: Sequence[Firing]) -> pa.Table:
    """Firings as a table."""
    return pa.Table.from_pylist([firing_row(firing) for firing in firings], schema=FIRINGS)


def delivered_table(fired: Sequence[Fired]) -> pa.Table:
    """Firings with what became of their delivery."""
    return pa.Table.from_pylist([{**firing_row(one.firing), "delivered": one.delivered, "tries": one.tries,
                                  "fault": one.fault} for one in fired], schema=DELIVERED)


