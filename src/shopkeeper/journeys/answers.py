"""What leaves the room: tables with their denominators, and their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, people, shown
from shopkeeper.charts import Axis
from shopkeeper.words import put, say, word

_TEXT, _COUNT, _NUMBER, _DAY, _TIME = pa.string(), pa.int64(), pa.float64(), pa.date32(), pa.timestamp("us")

FUNNEL = pa.schema([("name", _TEXT), ("step", _COUNT), ("event", _TEXT), ("people", _COUNT), ("of", _COUNT),
                    ("rate", _NUMBER), ("share", _NUMBER), ("dropped", _COUNT), ("middle", _NUMBER),
                    ("slow", _NUMBER)])
DROPPED = pa.schema([("step", _COUNT), ("person", _TEXT), ("session", _TEXT), ("at", _TIME)])
RETENTION = pa.schema([("name", _TEXT), ("cohort", _DAY), ("people", _COUNT), ("unit", _TEXT), ("returned", _COUNT),
                       ("rate", _NUMBER), ("low", _NUMBER), ("high", _NUMBER), ("later", _COUNT),
                       ("later_rate", _NUMBER), ("later_low", _NUMBER), ("later_high", _NUMBER),
                       ("complete", pa.bool_())])
POOLED = pa.schema([("name", _TEXT), ("unit", _TEXT), ("cohorts", _COUNT), ("people", _COUNT), ("returned", _COUNT),
                    ("rate", _NUMBER), ("low", _NUMBER), ("high", _NUMBER), ("later", _COUNT),
                    ("later_rate", _NUMBER), ("later_low", _NUMBER), ("later_high", _NUMBER)])

PATHS = pa.schema([("name", _TEXT), ("path", pa.list_(_TEXT)), ("ends", pa.bool_()), ("visits", _COUNT),
                   ("of", _COUNT), ("share", _NUMBER), ("base", _NUMBER), ("lift", _NUMBER)])
STEPS = pa.schema([("step", _COUNT), ("here", _TEXT), ("next", _TEXT), ("visits", _COUNT), ("of", _COUNT),
                   ("share", _NUMBER), ("base", _NUMBER), ("lift", _NUMBER)])
SESSIONS = pa.schema([("name", _TEXT), ("visits", _COUNT), ("people", _COUNT), ("events", _NUMBER), ("middle", _NUMBER),
                      ("slow", _NUMBER), ("bounces", _COUNT), ("bounce_rate", _NUMBER), ("conversions", _COUNT),
                      ("rate", _NUMBER), ("low", _NUMBER), ("high", _NUMBER)])
VISITS = pa.schema([("value", _TEXT), ("visits", _COUNT), ("share", _NUMBER), ("bounce_rate", _NUMBER),
                    ("conversions", _COUNT), ("rate", _NUMBER)])
_SEARCHED = [("searches", _COUNT), ("people", _COUNT), ("nothing", _COUNT), ("known", _COUNT),
             ("nothing_rate", _NUMBER), ("clicked", _COUNT), ("click_rate", _NUMBER), ("low", _NUMBER),
             ("high", _NUMBER), ("click_rank", _NUMBER), ("refined", _COUNT), ("orders", _COUNT), ("revenue", _NUMBER)]
SEARCHES = pa.schema([("name", _TEXT), ("query", _TEXT), *_SEARCHED])
SEARCH_TOTALS = pa.schema([("name", _TEXT), *_SEARCHED])
REFINED = pa.schema([("query", _TEXT), ("next", _TEXT), ("searches", _COUNT)])
CREDITS = pa.schema([("name", _TEXT), ("touches", _COUNT), ("conversions", _NUMBER), ("share", _NUMBER),
                     ("value", _NUMBER), ("value_share", _NUMBER)])
METHODS = pa.schema([("method", _TEXT), ("name", _TEXT), ("conversions", _NUMBER), ("value", _NUMBER)])
CHANGE = pa.schema([("by", _TEXT), ("name", _TEXT), ("before", _NUMBER), ("now", _NUMBER), ("change", _NUMBER),
                    ("share", _NUMBER), ("by_people", _NUMBER), ("by_often", _NUMBER), ("by_worth", _NUMBER),
                    ("surprise", _NUMBER)])

_SHARES = ("rate", "share", "low", "high", "later_rate", "later_low", "later_high", "base", "bounce_rate",
           "nothing_rate", "click_rate", "value_share")
MOST_DRAWN = 12  # groups of a picture; the table has all


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly these columns."""
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def named(name: str | None, language: str = "en") -> str:
    """A group in words; a word of its own for what says nothing."""
    return put(say("(not said)"), language) if name is None else name


def duration(seconds: float | None, language: str = "en") -> str:
    """Seconds as people read them.

    >>> duration(75.0), duration(7_500.0), duration(200_000.0)
    ('1.2 min', '2.1 h', '2.3 days')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return put(say("{n:.0f} s", n=seconds), language)
    if seconds < 3_600:
        return put(say("{n:.1f} min", n=seconds / 60), language)
    if seconds < 86_400:
        return put(say("{n:.1f} h", n=seconds / 3_600), language)
    return put(say("{n:.1f} days", n=seconds / 86_400), language)


def worded(found: pa.Table, language: str, by: bool, times: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """The table as people read it: shares in per cent, times in words, no column of names where there is one group."""
    kept = found if by or "name" not in found.column_names else found.drop_columns(["name"])
    headings, _ = people(kept.slice(0, 0), language)
    body = []
    for row in kept.to_pylist():
        cells = {name: shown(value, language) for name, value in row.items()}
        if "name" in row:
            cells["name"] = named(row["name"], language)
        for name in _SHARES:
            if row.get(name) is not None:
                cells[name] = f"{100 * row[name]:.1f} %"
        cells |= {name: duration(row[name], language) for name in times}
        body.append(list(cells.values()))
    return headings, body


@dataclass(frozen=True, kw_only=True)
class Grouped(Answer):
    """An answer that may tell apart.

    Attributes:
        by: The column that it tells apart by; empty: none.
    """

    by: str = ""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent."""
        return worded(self.table, language, bool(self.by))


@dataclass(frozen=True, kw_only=True)
class Funnel(Grouped):
    """How many got how far: name, step, event, people, of (at the step before), rate, share (of the first), dropped.

    And `middle` and `slow`: median and 90th percentile of the seconds from the first step. Part `dropped`: visits that
    went no further. Part `before`, where it is asked for: the same table of the period before.
    """

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent, times in words."""
        return worded(self.table, language, bool(self.by), ("middle", "slow"))

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """A bar for each step, as long as its people; beside it the share of the first step."""
        rows = [{"event": f"{row['step']} {row['event']}", "people": row["people"], "rate": row["share"] or 0.0,
                 "name": named(row["name"], language)} for row in self.table.to_pylist()]
        kept = list(dict.fromkeys(row["name"] for row in rows))[:MOST_DRAWN]
        rows = [row for row in rows if row["name"] in kept]
        series = Axis("name", self.by, "name") if self.by else None
        return charts.steps(rows, Axis("event", "", "name"), Axis("people", word("people", language)),
                            Axis("rate", word("share", language), format=".1%"), series,
                            title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Retention(Grouped):
    """Who came back: name, cohort, people, unit, returned, rate and its interval, later and its interval, complete.

    `returned` in that unit or bracket (at least once), `later` in it or after it. Part `pooled`: all cohorts together.
    """

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """The triangle, coloured by the share that came back; of several groups, all cohorts together by group."""
        if self.by:
            rows = [{"row": named(row["name"], language), "unit": row["unit"], "rate": row["rate"],
                     "people": row["people"]} for row in self.parts["pooled"].to_pylist()]
            kept = list(dict.fromkeys(row["row"] for row in rows))[:MOST_DRAWN]
            rows = [row for row in rows if row["row"] in kept]
        else:
            rows = [{"row": str(row["cohort"]), "unit": row["unit"], "rate": row["rate"], "people": row["people"]}
                    for row in self.table.to_pylist() if row["cohort"] is not None and row["people"]]
        return charts.heat(rows, Axis("unit", word("unit", language), "order"), Axis("row", "", "name"),
                           Axis("rate", word("rate", language), format=".0%"),
                           title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Paths(Grouped):
    """The most frequent ways: name, path, ends (with the visit), visits, of, share, base, lift.

    `base` is the share that the path would have if each step depended on the one before only; `lift` is share / base.
    Part `steps`: what comes next at each step, of all groups together.

    Attributes:
        backwards: The paths lead to what was asked for, not away from it.
    """

    backwards: bool = False

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Paths with arrows."""
        arrows = [self.arrow(row, language) for row in self.table.to_pylist()]
        at = self.table.schema.get_field_index("path")
        drawn = self.table.set_column(at, "path", pa.array(arrows, _TEXT)).drop_columns(["ends"])
        return worded(drawn, language, bool(self.by))

    def arrow(self, row: Mapping[str, Any], language: str = "en") -> str:
        """A path as people read it."""
        edge = put(say("(begins)") if self.backwards else say("(leaves)"), language)
        ends = [edge] if row["ends"] else []
        return " > ".join([*ends, *row["path"]] if self.backwards else [*row["path"], *ends])

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """The flow of visits from step to step; what is small is drawn as one."""
        edge = put(say("(begins)") if self.backwards else say("(leaves)"), language)
        rows = [{**row, "next": edge if row["next"] is None else row["next"],
                 "at": -row["step"] if self.backwards else row["step"]} for row in self.parts["steps"].to_pylist()]
        other = put(say("(other)"), language)
        return charts.flow(rows, ("at", "here", "next", "visits"), other=other, names=word("visits", language),
                           title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Sessions(Grouped):
    """Visits: name, visits, people, events (a visit), middle and slow (seconds), bounces, conversions, rates.

    Parts: entrances, pages, devices, channels, lengths (seconds).
    """

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent, times in words."""
        return worded(self.table, language, bool(self.by), ("middle", "slow"))

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """How long visits are, as bars; of several groups, how many visits each has."""
        if self.by:
            rows = [{"name": named(row["name"], language), "visits": row["visits"]} for row in self.table.to_pylist()]
            label = Axis("name", "", "name")
        else:
            rows = [{"seconds": row["value"], "visits": row["visits"]} for row in self.parts["lengths"].to_pylist()]
            label = Axis("seconds", word("seconds", language), "name")
        return charts.bars(rows[:3 * MOST_DRAWN], label, Axis("visits", word("visits", language)),
                           title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Searches(Grouped):
    """What was searched: name, query, searches, people, nothing, clicked and so on.

    Parts: totals, nothing (what found nothing), refinements.
    """

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """The searches that found nothing; where none did, the most frequent ones."""
        rows = self.parts["nothing"].to_pylist() or self.table.to_pylist()
        value = "nothing" if self.parts["nothing"].num_rows else "searches"
        axis = Axis(value, word("nothing", language) if value == "nothing" else word("searches", language))
        sums: dict[str, int] = {}
        for row in rows:
            sums[row["query"]] = sums.get(row["query"], 0) + row[value]
        drawn = [{"query": query, value: n} for query, n in list(sums.items())[:3 * MOST_DRAWN]]
        return charts.bars(drawn, Axis("query", "", "name"), axis, title=put(self.title, language)) if drawn else None


@dataclass(frozen=True, kw_only=True)
class Attribution(Answer):
    """What each is credited with: name, touches, conversions, share, value, value_share. Part `methods`: by each."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent."""
        return worded(self.table, language, by=True)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Conversions by name, side by side for each method."""
        shown_names = [row["name"] for row in self.table.to_pylist()[:MOST_DRAWN]]
        whole = sum(row["conversions"] for row in self.table.to_pylist()) or 1.0
        rows = [{"name": named(row["name"], language), "method": row["method"], "conversions": row["conversions"],
                 "share": row["conversions"] / whole} for name in shown_names
                for row in self.parts["methods"].to_pylist() if row["name"] == name]
        return charts.steps(rows, Axis("name", "", "name"), Axis("conversions", word("conversions", language)),
                            Axis("share", word("share", language), format=".0%"),
                            Axis("method", word("method", language), "name"),
                            title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Compared(Answer):
    """What explains a change: by, name, before, now, change, share (of the change), and the three factors; surprise.

    Over the names of each column `change` adds up to the change of the total; over by_people, by_often and by_worth it
    adds up to `change`.
    """

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent."""
        return worded(self.table, language, by=True)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What each group of the column that changed most adds to the change, as bars."""
        rows = self.table.to_pylist()
        rows = [{"name": named(row["name"], language), "change": row["change"]} for row in rows
                if row["by"] == rows[0]["by"]][:3 * MOST_DRAWN]
        return charts.bars(rows, Axis("name", "", "name"), Axis("change", word("change", language)),
                           title=put(self.title, language)) if rows else None
