"""What leaves the room: who came, who is labelled and why, what clicks are worth, which reviews machines made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, people, shown
from shopkeeper.charts import Axis
from shopkeeper.words import Sentence, put, say, word

REPORT = pa.schema([("label", pa.string()), ("reason", pa.string()), ("people", pa.int64()), ("events", pa.int64()),
                    ("share", pa.float64())])
PEOPLE = pa.schema([("person", pa.string()), ("label", pa.string()), ("score", pa.float64()), ("reason", pa.string()),
                    ("events", pa.int64()), ("since", pa.timestamp("us")), ("until", pa.timestamp("us"))])
CLICKS = pa.schema([("campaign", pa.string()), ("source", pa.string()), ("clicks", pa.int64()), ("reused", pa.int64()),
                    ("no_arrival", pa.int64()), ("bots", pa.int64()), ("invalid", pa.int64()), ("share", pa.float64())])
REVIEWS = pa.schema([("event_id", pa.string()), ("ts", pa.timestamp("us")), ("item_id", pa.string()),
                     ("person", pa.string()), ("rating", pa.float64()), ("score", pa.float64()),
                     ("reasons", pa.list_(pa.string()))])
LABELLED = pa.schema([("label", pa.string()), ("reason", pa.string()), ("people", pa.int64()), ("events", pa.int64())])

_LABELS = {"human": say("human"), "bot": say("bot"), "agent": say("agent"), "suspect": say("suspect")}
_REASONS = {
    "": say("nothing speaks against it"), "crawler": say("the user agent is on the list of crawlers"),
    "library": say("asked by a program's library"), "network": say("comes from a crawler's network"),
    "agent": say("a program that asks for one person"), "driven": say("a browser that a program drives"),
    "no_agent": say("no user agent"), "quick": say("faster than anybody reads"),
    "even": say("pauses as even as a clock's"), "walk": say("walked through everything and wanted nothing"),
    "crowd": say("one of a sudden crowd, all alike"), "burst": say("many reviews of the item at once"),
    "reviews_only": say("does nothing but write reviews"), "one_item": say("has to do with one item only"),
    "alike": say("nearly the same text as another"),
}


def reason(code: str | None, language: str = "en") -> str:
    """A reason in words."""
    return put(_REASONS[code or ""], language) if (code or "") in _REASONS else code or ""


def _worded(table: pa.Table, language: str) -> tuple[list[str], list[list[str]]]:
    """The table with labels and reasons in words, shares in per cent."""
    headings, _ = people(table.slice(0, 0), language)
    body = []
    for row in table.to_pylist():
        cells = {name: shown(value, language) for name, value in row.items()}
        if "label" in row:
            cells["label"] = put(_LABELS[row["label"]], language) if row["label"] in _LABELS else row["label"]
        if "reason" in row:
            cells["reason"] = reason(row["reason"], language)
        if "reasons" in row:
            cells["reasons"] = "; ".join(reason(code, language) for code in row["reasons"])
        if row.get("share") is not None:
            cells["share"] = f"{100 * row['share']:.1f} %"
        body.append(list(cells.values()))
    return headings, body


@dataclass(frozen=True, kw_only=True)
class Report(Answer):
    """Who came: label, reason, people, events, share (of all events)."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Labels and reasons in words."""
        return _worded(self.table, language)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Events by label and reason, as bars."""
        rows = [{"label": f"{put(_LABELS.get(row['label'], say('suspect')), language)}: "
                          f"{reason(row['reason'], language)}", "events": row["events"]}
                for row in self.table.to_pylist()]
        name, value = Axis("label", word("label", language), "name"), Axis("events", word("events", language))
        return charts.bars(rows, name, value, title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class People(Answer):
    """Who is labelled: person, label, score (0 to 1), reason, events, since, until."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Labels and reasons in words."""
        return _worded(self.table, language)


@dataclass(frozen=True, kw_only=True)
class Clicks(Answer):
    """Clicks by campaign: campaign, source, clicks, reused, no_arrival, bots, invalid, share (invalid of clicks)."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Shares in per cent."""
        return _worded(self.table, language)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Invalid clicks by campaign, as bars."""
        rows = [{"campaign": row["campaign"] or row["source"] or "-", "invalid": row["invalid"]}
                for row in self.table.to_pylist()]
        name, value = Axis("campaign", word("campaign", language), "name"), Axis("invalid", word("invalid", language))
        return charts.bars(rows, name, value, title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Reviews(Answer):
    """Reviews that machines may have made: event_id, ts, item_id, person, rating, score (0 to 1), reasons."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Reasons in words."""
        return _worded(self.table, language)


@dataclass(frozen=True, kw_only=True)
class Labelled(Answer):
    """Who was labelled by behaviour: label, reason, people, events."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Labels and reasons in words."""
        return _worded(self.table, language)


def dry(dry_run: bool, n: int) -> Sentence:
    """The title of a labelling."""
    return say("Dry run: {n:,} people would be labelled.", n=n) if dry_run else say("{n:,} people are labelled.", n=n)


def named(label: str) -> Sentence:
    """A label in words."""
    return _LABELS[label]
