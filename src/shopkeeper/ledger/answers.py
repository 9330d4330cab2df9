"""What leaves the room: accounts, descriptions, quarantined records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from shopkeeper import charts
from shopkeeper.asking import Answer, people, plain, rows, shown
from shopkeeper.charts import Axis
from shopkeeper.warehouse.ingest import Received
from shopkeeper.words import Sentence, put, say, word

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LINES = 6  # of a picture, at most
_SEVERITIES = {"error": say("error"), "warning": say("warning"), "note": say("note")}
_FINDINGS = {
    "unmapped": say("unmapped field"), "quarantined": say("quarantined"), "silence": say("silence"),
    "jump": say("jump"), "clock": say("clock"), "currency": say("currency"), "sum": say("sum of an order"),
    "order_twice": say("order twice"), "repeat": say("repeat"), "not_in_catalogue": say("not in the catalogue"),
    "unjoined": say("unknown request"), "quantity": say("quantity"), "unit": say("unit of a price")}
_MEASURES = {"guest orders": say("guest orders")}  # those that not every shop has
_FAULTS = {"missing": say("missing"), "another size": say("another size"), "another content": say("another content")}


@dataclass(frozen=True, kw_only=True)
class Ingested(Answer):
    """The account of one import: a row for each place where records ended (stored, duplicate, and each reason).

    Attributes:
        account: The counts, what was mapped, and what was not.
    """

    account: Received

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """`received`, `stored`, `duplicate`, `quarantined`, `reasons`, `mapped`, `unmapped` and what else is known."""
        done = self.account
        return {
            "received": done.received, "stored": done.stored, "duplicate": done.duplicate,
            "quarantined": done.quarantined, "lines": done.lines, "reasons": dict(done.reasons),
            "mapped": dict(done.mapped), "unmapped": list(done.unmapped), "unread": dict(done.unread),
            "derived": dict(done.derived), "dialects": dict(done.dialects),
            "notes": [put(note, language) for note in done.notes], "import": done.id, "asked": plain(self.asked),
            "dry_run": done.id is None,
            **({"preview": rows(done.preview)} if done.preview is not None else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Replaying(Answer):
    """What became of quarantined records that were tried again: outcome, records."""


@dataclass(frozen=True, kw_only=True)
class Undoing(Answer):
    """What goes with an import: measure, records."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """What goes, in words."""
        body = [[word(row["measure"], language), shown(row["records"], language)] for row in self.table.to_pylist()]
        return [word("measure", language), word("records", language)], body


@dataclass(frozen=True, kw_only=True)
class Account(Answer):
    """Every import: id, at, sources, table, received, stored, duplicate, quarantined, lines.

    Attributes:
        by: What a row is: an import, or all of one day, source or dialect; its name stands in `id`.
    """

    by: str = "import"

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """The counts, with what tells the rows apart: without the time."""
        sources = [] if self.by == "import" else ["sources"]
        headings, body = people(self.table.drop_columns(["at", *sources]), language)
        return [word(self.by, language), *headings[1:]], body


@dataclass(frozen=True, kw_only=True)
class Description(Answer):
    """What the log looks like.

    Columns of the table: measure, value, detail. Parts: `kinds` (kind, role, events, people), `hours` (weekday, hour,
    events), `days` (day, events), `categories` (category, events, people).
    """

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Measure and value, whichever form it has."""
        body = [[put(_MEASURES.get(row["measure"], word(row["measure"], language)), language),
                 row["detail"] if row["value"] is None else f"{row['value']:,.0f} {row['detail'] or ''}".rstrip()]
                for row in self.table.to_pylist()]
        return [word("measure", language), word("value", language)], body

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Events by hour of the week."""
        hours = self.parts["hours"].to_pylist()
        cells = [{**row, "weekday": word(_DAYS[row["weekday"]], language)} for row in hours]
        hour, day = Axis("hour", word("hour", language), "order"), Axis("weekday", word("weekday", language), "name")
        return charts.heat(cells, hour, day, Axis("events", word("events", language)),
                           title=word("events by hour of the week", language)) if cells else None


@dataclass(frozen=True, kw_only=True)
class Quarantine(Answer):
    """Quarantined records: reason, file, line, field, record (as it came), advice. Part `reasons`: reason, records.

    Attributes:
        advices: The advice of each row as a sentence, for people of any language.
    """

    advices: tuple[Sentence, ...] = ()

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """The records cut to a line each."""
        names = ("reason", "file", "line", "advice", "record")
        rows_ = [{**row, "advice": put(advice, language), "record": _short(row["record"])}
                 for row, advice in zip(self.table.to_pylist(), self.advices, strict=True)]
        body = [[shown(row[name], language) for name in names] for row in rows_]
        return [word(name, language) for name in names], body


@dataclass(frozen=True, kw_only=True)
class Quality(Answer):
    """Findings: finding, severity, what, records, share, since, advice.

    Parts: `silences` (kind, since, until, expected) and `days` (day, kind, events).

    Attributes:
        advices: The advice of each row as a sentence, for people of any language.
    """

    advices: tuple[Sentence, ...] = ()

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """The findings, the worst first, in words."""
        names = ("severity", "finding", "what", "records", "since", "advice")
        body = []
        for row, advice in zip(self.table.to_pylist(), self.advices, strict=True):
            row = {**row, "advice": put(advice, language), "severity": put(_SEVERITIES[row["severity"]], language),
                   "finding": put(_FINDINGS[row["finding"]], language), "since": row["since"] and row["since"].date()}
            body.append([shown(row[name], language) for name in names])
        return [word(name, language) for name in names], body

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Events by day and kind: a tracker that stopped is a line that ends."""
        days = self.parts["days"].to_pylist()
        often = [kind for kind, _ in _sums(days).most_common(_LINES)]
        rows_ = [row for row in days if row["kind"] in often]
        return charts.lines(rows_, Axis("day", word("day", language), "time"), Axis("events", word("events", language)),
                            Axis("kind", word("kind", language), "name"),
                            title=word("events by day", language)) if rows_ else None


def _sums(days: list[dict[str, Any]]) -> Counter[str]:
    found = Counter[str]()
    for row in days:
        found[row["kind"]] += row["events"]
    return found


@dataclass(frozen=True, kw_only=True)
class Checked(Answer):
    """The files that are not what was written: file, holds (what kind of data), fault, rows (of the event table)."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """The table, the fault in words."""
        headings, body = people(self.table.drop_columns(["fault"]), language)
        faults = [put(_FAULTS[fault], language) for fault in self.table["fault"].to_pylist()]
        return [*headings, word("fault", language)], [[*line, fault] for line, fault in zip(body, faults, strict=True)]


def _short(record: str | None) -> str:
    """A record cut to a line; the whole of it stands in the table."""
    return record or "" if len(record or "") <= 80 else (record or "")[:79] + "\u2026"
