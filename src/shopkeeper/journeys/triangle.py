"""The triangle of cohorts: counts of the engine as shares with intervals, cell by cell. Pure numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shopkeeper.evidence.proportions import wilson
from shopkeeper.warehouse.calendar import DAY, local_times

Unit = Literal["day", "week", "month"]
_EPOCH = date(1970, 1, 1)


def number(when: int, unit: Unit, timezone: str) -> int:
    """The day, week (from Monday) or month in which a time (microseconds UTC) lies, counted from 1970.

    >>> number(0, "day", "America/New_York"), number(3 * DAY, "week", "UTC"), number(40 * DAY, "month", "UTC")
    (-1, 0, 1)
    """
    days = int(local_times(np.array([when], np.int64), timezone)[0] // DAY)
    if unit == "month":
        there = _EPOCH + timedelta(days=days)
        return (there.year - 1970) * 12 + there.month - 1
    return days if unit == "day" else (days + 3) // 7


def begins(place: int, unit: Unit) -> date:
    """The first day of a unit.

    >>> begins(1, "week"), begins(13, "month")
    (datetime.date(1970, 1, 5), datetime.date(1971, 2, 1))
    """
    if unit == "month":
        return date(1970 + place // 12, place % 12 + 1, 1)
    return _EPOCH + timedelta(days=place if unit == "day" else 7 * place - 3)


@dataclass(frozen=True)
class Counted:
    """What was counted.

    Attributes:
        size: (name, cohort) -> people who started.
        on: (name, cohort, unit) -> people who came back in the unit or bracket.
        last: (name, cohort, unit) -> people for whom it was the last.
    """

    size: Mapping[tuple[str | None, int], int]
    on: Mapping[tuple[str | None, int, int], int]
    last: Mapping[tuple[str | None, int, int], int]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Counted:
        """From rows of what, name, cohort, unit, people."""
        size = {(row["name"], row["cohort"]): row["people"] for row in rows if row["what"] == "size"}
        on, last = ({(row["name"], row["cohort"], row["unit"]): row["people"] for row in rows if row["what"] == what}
                    for what in ("on", "last"))
        return cls(size, on, last)

    def later(self) -> dict[tuple[str | None, int], npt.NDArray[np.int64]]:
        """(name, cohort) -> (units,) people who came back in that unit or after it."""
        most: dict[tuple[str | None, int], int] = {}
        for name, cohort, unit in self.last:
            most[name, cohort] = max(unit, most.get((name, cohort), 0))
        found = {key: np.zeros(units + 1, np.int64) for key, units in most.items()}
        for (name, cohort, unit), people in self.last.items():
            found[name, cohort][unit] = people
        return {key: counts[::-1].cumsum()[::-1] for key, counts in found.items()}


def cells(counted: Counted, groups: Sequence[str | None], now: int, brackets: Sequence[tuple[int, int]],
          unit: Unit) -> list[dict[str, Any]]:
    """One row a cell of the triangle; an empty cohort, or a group without any, is a row with nobody in it.

    Args:
        counted: What was counted.
        groups: Every group, in order.
        now: The unit in which the clock stands: it is not over.
        brackets: (first, last) units that count together; each by itself where there are none.
        unit: Length of a unit.
    """
    cohorts = [cohort for _, cohort in counted.size]
    later, rows = counted.later(), []
    for name in groups:
        some = range(min(cohorts, default=0), max(cohorts, default=-1) + 1)
        if not any((name, cohort) in counted.size for cohort in some):
            rows.append(_row(name, None, 0, (0, 0)))
            continue
        for cohort in some:
            size, day = counted.size.get((name, cohort), 0), begins(cohort, unit)
            wanted = brackets or [(place, place) for place in range(now - cohort + 1)]
            for low, high in [(low, high) for low, high in wanted if cohort + low <= now] if size else wanted[:1]:
                after = later.get((name, cohort), np.zeros(0, np.int64))
                rows.append(_row(name, day, size, (low, high), counted.on.get((name, cohort, low), 0),
                                 int(after[low]) if low < len(after) else 0, cohort + high < now))
    return with_intervals(rows)


def _row(name: str | None, cohort: date | None, people: int, bracket: tuple[int, int], *counts: Any) -> dict[str, Any]:
    returned, later, complete = counts or (0, 0, True)
    low, high = bracket
    return {"name": name, "cohort": cohort, "people": people, "unit": str(low) if low == high else f"{low}-{high}",
            "returned": returned, "later": later, "complete": complete}


def with_intervals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the shares of `returned` and `later` of `people`, and Wilson's 95 % intervals."""
    people = np.array([row["people"] for row in rows], np.float64)
    for what, rate, low, high in (("returned", "rate", "low", "high"),
                                  ("later", "later_rate", "later_low", "later_high")):
        hits = np.array([row[what] for row in rows], np.float64)
        ends = wilson(hits, people)
        for place, row in enumerate(rows):
            some = people[place] > 0
            row |= {rate: hits[place] / people[place] if some else None,
                    low: float(ends[0][place]) if some else None, high: float(ends[1][place]) if some else None}
    return rows


def pooled(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All cohorts together, by name and unit: only cells whose unit or bracket is over."""
    sums: dict[tuple[str | None, str], list[int]] = {}
    for row in rows:
        if row["complete"] and row["cohort"] is not None and row["people"]:
            have = sums.setdefault((row["name"], row["unit"]), [0, 0, 0, 0])
            for place, value in enumerate((1, row["people"], row["returned"], row["later"])):
                have[place] += value
    return with_intervals([{"name": name, "unit": unit, "cohorts": n, "people": people, "returned": returned,
                            "later": later} for (name, unit), (n, people, returned, later) in sums.items()])
