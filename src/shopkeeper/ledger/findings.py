"""What is wrong with a log: each finding with its weight, how many, since when, and what to do about it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from shopkeeper.asking import question
from shopkeeper.errors import BadInput
from shopkeeper.events.dialects import DIALECTS
from shopkeeper.events.schema import MONEY_COLUMNS
from shopkeeper.evidence import ExactCount
from shopkeeper.ledger import inputs
from shopkeeper.ledger.answers import Quality
from shopkeeper.ledger.silences import FEWEST_DAYS, Span, jumps, silences
from shopkeeper.shop import Shop
from shopkeeper.warehouse.manifest import Import
from shopkeeper.words import Sentence, put, say

Severity = Literal["error", "warning", "note"]
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")
MINUTES = 5      # that a clock may go wrong
MOST_UNITS = 10_000.0
FOLD = 50.0      # a price that is so many times another is in another unit, or of another thing
_FIELDS = 20     # that nobody mapped, at most
SOME = 0.01      # share from which on a finding weighs more
SCHEMA = pa.schema([("finding", pa.string()), ("severity", pa.string()), ("what", pa.string()), ("records", pa.int64()),
                    ("share", pa.float64()), ("since", pa.timestamp("us")), ("advice", pa.string())])


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        finding: A code.
        severity: `error`: answers are wrong by it; `warning`: they may be; `note`: worth to know.
        what: What it is about: a kind, a column, a currency; empty where it is the whole log.
        records: How many.
        share: Of those that could be; None where that makes no sense.
        since: Time of the first; None where it has none.
        advice: What to do.
    """

    finding: str
    severity: Severity
    what: str
    records: int
    share: float | None
    since: datetime | None
    advice: Sentence


@dataclass(frozen=True)
class Limit:
    """What is possible in a category, as `[quality]` of shop.toml says it.

    Attributes:
        most: Units of a line, at most.
        whole: Whether only whole units are possible.
    """

    most: float = MOST_UNITS
    whole: bool = False


@question
def quality(shop: Shop) -> Quality:
    """Say what is wrong with the log: gaps, clocks, currencies, sums, repeats, ids, quantities; and what to do.

    Args:
        shop: An opened shop; only read.

    Returns:
        A row a finding, the worst first; part `silences` has the hours in which a kind was missing.

    Raises:
        BadInput: `[quality]` of shop.toml makes no sense.

    >>> quality(Shop.simulated(customers=40, items=20, days=20)).table.column_names[:4]
    ['finding', 'severity', 'what', 'records']
    """
    rules = limits(shop)
    by_hour = inputs.read_hours_by_kind(shop)
    spans = list(_spans(by_hour))
    found = [*_imports(shop), *_odd_spans(spans), *_counted(shop, rules)]
    found.sort(key=lambda one: (_ORDER.index(one.severity), -one.records, one.finding, one.what))
    table = pa.Table.from_pylist([{**vars(one), "advice": put(one.advice)} for one in found], schema=SCHEMA)
    worst = Counter(one.severity for one in found)
    title = say("{errors:,} errors, {warnings:,} warnings, {notes:,} notes", errors=worst["error"],
                warnings=worst["warning"], notes=worst["note"]) if found else say(
        "Nothing wrong was found") if by_hour.num_rows else say("There are no events to look at")
    return Quality(title=title, table=table, parts={"silences": _silent(spans), "days": _days(by_hour)},
                   evidence=ExactCount(say("stored events"), sum(by_hour["events"].to_pylist())), method="exact count",
                   asked={"question": "ledger.quality"}, advices=tuple(one.advice for one in found))


def limits(shop: Shop) -> Mapping[str, Limit]:
    """What `[quality]` of shop.toml says is possible, by category; the category "" is every item.

    Raises:
        BadInput: It makes no sense.
    """
    path = shop.path / "shop.toml"
    said = tomllib.loads(path.read_text("utf-8")).get("quality", {})
    out = {"": Limit()}
    for category, rule in said.items() if isinstance(said, dict) else [("quality", said)]:
        good = isinstance(rule, dict) and not rule.keys() - {"most", "whole"} \
            and type(rule.get("most", 1)) in (int, float) and rule.get("most", 1) > 0 \
            and isinstance(rule.get("whole", False), bool)
        if not good:
            raise BadInput(say("{path} says of the quality of {category}: {rule}.", path=str(path),
                               category=repr(category), rule=str(rule)),
                           do=[say("[quality] \"Tea\" = {form}", form="{ most = 50, whole = true }")],
                           why=say("it says how many units of a line are possible in a category."))
        out["" if category == "*" else category] = Limit(float(rule.get("most", MOST_UNITS)), rule.get("whole", False))
    return out


def _weight(share: float, *, grave: bool) -> Severity:
    """How much a finding weighs, by its share."""
    if grave and share >= SOME:
        return "error"
    return "warning" if share >= (SOME if not grave else 0.0) else "note"


def _imports(shop: Shop) -> Iterator[Finding]:
    """What the account says: fields that nobody mapped, records that were set aside."""
    events = inputs.imports_until(shop)
    total = sum(one.received for one in events)
    yield from _unmapped(events, total)
    unread = Counter[str]()
    for one in events:
        unread.update(one.unread)
    for name, count in unread.most_common():
        yield Finding("unread", _weight(1.0, grave=name in MONEY_COLUMNS), name, count, count / total, None,
                      say("these cells could not be read and count as nothing: write numbers as 1234.56 (1,299 alone "
                          "can mean two), then undo the import and ingest the file again."))
    reasons = Counter[str]()
    for one in events:
        reasons.update(one.reasons)
    for reason, count in reasons.most_common():
        share = count / total if total else 0.0
        yield Finding("quarantined", _weight(share, grave=True), reason, count, share, None,
                      say("shopkeeper quarantine SHOP --reason {reason} says why; after a fix, shopkeeper quarantine "
                          "SHOP --replay.", reason=reason))


def _unmapped(events: Sequence[Import], total: int) -> Iterator[Finding]:
    """Fields that nobody mapped: one by one where columns were read, together where a dialect knows what it leaves."""
    alone = Counter[str]()
    spoken: dict[str, Counter[str]] = {}
    for one in events:
        said = Counter(one.kept or dict.fromkeys(one.unmapped, one.received))  # of old imports nobody counted
        known = [DIALECTS[name] for name in one.dialects if name in DIALECTS]
        left = {name: n for name, n in said.items() if n and not any(dialect.knows(name) for dialect in known)}
        (spoken.setdefault(one.dialects[0], Counter()) if len(one.dialects) == 1 else alone).update(left)
    for name, count in alone.most_common(_FIELDS):
        yield Finding("unmapped", "note", name, count, count / total, None, _mapping_of(name, events))
    for fields in spoken.values():
        names = [name for name, _ in fields.most_common(_FIELDS)]
        if names:
            most = fields[names[0]]
            yield Finding("unmapped", "note", ", ".join(names), most, most / total, None,
                          _mapping_of(names[0], events, names[0] if len(names) == 1 else "THEIRS"))


def _mapping_of(name: str, events: Sequence[Import], theirs: str | None = None) -> Sentence:
    """How a field that nobody mapped comes to mean something: as the last import that had it was read."""
    last = [one for one in events if name in one.unmapped][-1]
    flags = say("--dialect {dialect} --map OURS={theirs}", dialect=last.dialects[0], theirs=theirs or name) if len(
        last.dialects) == 1 else say("--map OURS={theirs}", theirs=theirs or name)
    return say("the field is kept in props; if it means something here: shopkeeper undo SHOP {number}, then ingest the "
               "file again with {flags}.", number=last.id, flags=flags)


def _counted(shop: Shop, rules: Mapping[str, Limit]) -> Iterator[Finding]:
    """What one query each finds."""
    events = shop.events()
    checks: list[tuple[str, str, bool, Any, Sentence]] = [
        ("clock", "ts", True, inputs.early(events, MINUTES),
         say("events lie in the future of their receipt: send sent_at beside ts, or mend the clock or the time zone.")),
        ("sum", "value", True, inputs.sums(events),
         say("the value of an order is not what its lines add up to: it is net of tax and shipping, and a price is of "
             "one unit.")),
        ("order_twice", "order_id", True, inputs.twice(events),
         say("lines of an order came under several event ids and count twice: give the order's number as event_id, or "
             "undo one import.")),
        ("repeat", "event_id", False, inputs.twins(events),
         say("the same came several times without an id of its own: send an event_id, or undo one import.")),
        ("unjoined", "request_id", False, inputs.unjoined(events),
         say("what people did names a list that was never reported: send view_item_list with the same request_id.")),
        ("quantity", "quantity", True, inputs.quantities(events, rules[""].most),
         say("so many units of one line are hardly possible: look for prices or weights in the wrong column.")),
    ]
    if shop.engine.has("items"):
        items = shop.engine.table("items")
        checks += [
            ("not_in_catalogue", "item_id", False, inputs.unlisted(events, items),
             say("items of the log are not in the table of items: ingest it again, or compare how ids are written.")),
            ("unit", "price", True, inputs.units(events, items, FOLD),
             say("prices are many times those of the table of items, or many times less: cents for euros, or a price "
                 "of all units.")),
            *(("quantity", category, True, inputs.quantities_of(events, items, category, rule.most, rule.whole),
               say("[quality] of shop.toml says that this is not possible in {category}.", category=category))
              for category, rule in rules.items() if category)]
    for finding, what, grave, expression, advice in checks:
        records, of, since = inputs.counted(shop, expression)
        if records:
            yield Finding(finding, _weight(records / of, grave=grave), what, records, records / of, since, advice)
    yield from _currencies(shop)


def _currencies(shop: Shop) -> Iterator[Finding]:
    found = shop.engine.run(inputs.currencies(shop.events())).to_pylist()
    main = shop.config.currency or (found[0]["currency"] if found else "")
    total = sum(row["records"] for row in found)
    for row in found:
        if row["currency"] != main:
            yield Finding("currency", "error", row["currency"], row["records"], row["records"] / total, row["since"],
                          say("the shop counts in {currency}: questions about money are refused until each currency "
                              "has a shop of its own.", currency=main))


def _spans(by_hour: pa.Table) -> Iterator[tuple[str, str, datetime, Span]]:
    """(silence or jump, kind, when it began, the span) of each kind."""
    rows = by_hour.to_pylist()
    if not rows:
        return
    end = max(row["hour"] for row in rows)
    for kind in dict.fromkeys(row["event"] for row in rows):
        mine = {row["hour"]: row["events"] for row in rows if row["event"] == kind}
        first = min(mine)
        hours = np.zeros(int((end - first) / timedelta(hours=1)) + 1)
        for hour, count in mine.items():
            hours[int((hour - first) / timedelta(hours=1))] = count
        number = int((first - datetime(1970, 1, 1)) / timedelta(hours=1))
        for span in silences(hours, number):
            yield "silence", kind, first + timedelta(hours=span.start), span
        skip = -first.hour % 24  # hours up to the first whole day
        whole = (len(hours) - skip) // 24 if len(hours) > skip + 24 * FEWEST_DAYS else 0
        days = hours[skip:skip + 24 * whole].reshape(-1, 24).sum(axis=1)
        for span in jumps(days):
            yield "jump", kind, first + timedelta(hours=skip + 24 * span.start), span


def _odd_spans(spans: list[tuple[str, str, datetime, Span]]) -> Iterator[Finding]:
    for what, kind, start, span in spans:
        missing = round(abs(span.expected - span.counted))
        if what == "silence":
            hours = span.end - span.start
            advice = say("nothing of this kind came for {hours:,} hours, and nothing comes: the tracker, or the "
                         "export, stopped.", hours=hours) if span.open else say(
                "nothing of this kind came for {hours:,} hours, where about {n:,} were expected: export them again.",
                hours=hours, n=missing)
            yield Finding("silence", "error" if span.open else "warning", kind, missing, None, start, advice)
        else:
            yield Finding("jump", "warning", kind, missing, None, start, say(
                "{n:,} came within {days:,} days, where about {expected:,} were expected: a campaign, a tracker that "
                "counts twice, or machines.", n=round(span.counted), days=span.end - span.start,
                expected=round(span.expected)))


def _silent(spans: list[tuple[str, str, datetime, Span]]) -> pa.Table:
    """The silences: kind, since, until (the shop's zone), expected."""
    rows = [(kind, start, start + timedelta(hours=span.end - span.start), span.expected)
            for what, kind, start, span in spans if what == "silence"]
    return pa.table({"kind": [row[0] for row in rows], "since": [row[1] for row in rows],
                     "until": [row[2] for row in rows], "expected": [row[3] for row in rows]},
                    schema=pa.schema([("kind", pa.string()), ("since", pa.timestamp("us")),
                                      ("until", pa.timestamp("us")), ("expected", pa.float64())]))


def _days(by_hour: pa.Table) -> pa.Table:
    """Events by day and kind, in the shop's zone: every day from the kind's first one to the end of the log."""
    counts: dict[tuple[date, str], int] = {}
    rows = by_hour.to_pylist()
    for row in rows:
        key = row["hour"].date(), row["event"]
        counts[key] = counts.get(key, 0) + row["events"]
    end = max((day for day, _ in counts), default=None)
    for kind in dict.fromkeys(row["event"] for row in rows):
        day = min(day for day, its in counts if its == kind)
        while end is not None and day < end:
            day += timedelta(days=1)
            counts.setdefault((day, kind), 0)
    keys = sorted(counts)
    return pa.table({"day": pa.array([day for day, _ in keys], pa.date32()),
                     "kind": pa.array([kind for _, kind in keys], pa.string()),
                     "events": pa.array([counts[key] for key in keys], pa.int64())})
