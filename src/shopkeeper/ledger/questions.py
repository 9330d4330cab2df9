"""The questions of the ledger."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa

from shopkeeper.asking import one_of, question
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events import rules
from shopkeeper.evidence import ExactCount
from shopkeeper.ledger import inputs
from shopkeeper.ledger.answers import Account, Checked, Description, Quarantine
from shopkeeper.shop import Shop
from shopkeeper.warehouse.folding import Unfolded
from shopkeeper.warehouse.inspection import Inspected, inspect
from shopkeeper.words import Sentence, put, say


@question
def describe(shop: Shop) -> Description:
    """Say what the log looks like: people, things, span, kinds of event, busiest hours, top categories.

    Args:
        shop: An opened shop; only read.

    Returns:
        Measures, with the parts `kinds`, `hours`, `days` and `categories`.

    >>> describe(Shop.simulated(customers=40, items=20, days=20)).table.column_names
    ['measure', 'value', 'detail']
    """
    totals, worth = inputs.read_totals(shop), inputs.read_order_value(shop)
    by_hour = inputs.read_hours(shop)
    parts = {"kinds": inputs.read_kinds(shop), "hours": _week(by_hour), "days": _days(by_hour),
             "categories": inputs.read_categories(shop)}
    late = (say("{count:,} events carry a time later than their receipt; the shop's clock leaves them out.",
                count=totals["late"]),) if totals["late"] else ()
    return Description(
        title=say("What {name} looks like", name=shop.name), table=_measures(shop, totals, worth, parts),
        evidence=ExactCount(say("stored events"), totals["events"]),
        method="exact count", asked={"question": "ledger.describe"}, parts=parts,
        notes=(*late, *_journal(shop.unfolded()), *shop.notes))


def _journal(waiting: Unfolded) -> tuple[Sentence, ...]:
    """What is acknowledged and not part of this answer's log yet."""
    if not waiting.records:
        return ()
    return (say("{records:,} acknowledged records ({bytes:,} bytes) still lie in the journal; they are in the account, "
                "and not in other answers yet.", records=waiting.records, bytes=waiting.bytes),)


def _measures(shop: Shop, totals: Any, worth: pa.Table, parts: dict[str, pa.Table]) -> pa.Table:
    zone = ZoneInfo(shop.config.timezone)
    ends = [totals[end].replace(tzinfo=UTC).astimezone(zone) for end in ("first", "last") if totals[end] is not None]
    span = " - ".join(f"{end:%Y-%m-%d}" for end in ends)
    lines: list[tuple[str, float | None, str | None]] = [
        ("events", totals["events"], None), ("event lines", totals["lines"], None), ("people", totals["people"], None),
        ("known customers", totals["known"], None), ("guest orders", totals["guests"], None),
        ("things", totals["things"], None), ("orders", totals["orders"], None),
        *(("order value", float(row["value"]), row["currency"]) for row in worth.to_pylist()), ("span", None, span),
        ("time zone", None, shop.config.timezone), ("busiest hours", None, _busiest(parts["hours"])),
        ("top categories", None, ", ".join(parts["categories"]["category"].to_pylist()[:5])),
    ]
    kept = [line for line in lines if line[1] or line[2] or line[0] == "events"]
    return pa.table({"measure": [m for m, _, _ in kept], "value": [None if v is None else float(v) for _, v, _ in kept],
                     "detail": [d for _, _, d in kept]},
                    schema=pa.schema([("measure", pa.string()), ("value", pa.float64()), ("detail", pa.string())]))


def _week(by_hour: pa.Table) -> pa.Table:
    """Events by weekday (0 = Monday) and hour, every cell of the week."""
    counts = {(day, hour): 0 for day in range(7) for hour in range(24)} if by_hour.num_rows else {}
    for row in by_hour.to_pylist():
        counts[row["hour"].weekday(), row["hour"].hour] += row["events"]
    cells = sorted(counts)
    return pa.table({"weekday": pa.array([day for day, _ in cells], pa.int64()),
                     "hour": pa.array([hour for _, hour in cells], pa.int64()),
                     "events": pa.array([counts[cell] for cell in cells], pa.int64())})


def _days(by_hour: pa.Table) -> pa.Table:
    counts: dict[Any, int] = {}
    for row in by_hour.to_pylist():
        day = row["hour"].date()
        counts[day] = counts.get(day, 0) + row["events"]
    return pa.table({"day": pa.array(list(counts), pa.date32()), "events": pa.array(list(counts.values()), pa.int64())})


def _busiest(week: pa.Table) -> str:
    by_hour: dict[int, int] = {}
    for row in week.to_pylist():
        by_hour[row["hour"]] = by_hour.get(row["hour"], 0) + row["events"]
    top = sorted(sorted((hour for hour in by_hour if by_hour[hour]), key=lambda hour: -by_hour[hour])[:3])
    return ", ".join(f"{hour:02d}:00" for hour in top)


@question
def account(shop: Shop, *, by: Literal["import", "day", "source", "dialect"] = "import") -> Account:
    """Give the account of every import: received = stored + duplicate + quarantined.

    Args:
        shop: An opened shop; only read.
        by: A row an import, or a day on which they came (UTC), a source, or a dialect.

    Returns:
        A row an import, oldest first; at last what was acknowledged and still lies in the journal.

    Raises:
        BadInput: `by` is none of these.

    >>> account(Shop.simulated(customers=40, items=20, days=20)).table.num_rows
    3
    """
    one_of("by", by, ("import", "day", "source", "dialect"))
    waiting = shop.unfolded()
    every = (*shop.manifest.imports, *inputs.in_journal(waiting))
    entries = every if by == "import" else inputs.together(every, by)
    names = ("id", "at", "sources", "table", "received", "stored", "duplicate", "quarantined", "lines")
    table = pa.table({name: [", ".join(getattr(e, name)) if name == "sources" else getattr(e, name) for e in entries]
                      for name in names},
                     schema=pa.schema([(name, pa.string() if name in names[:4] else pa.int64()) for name in names]))
    sums = {name: sum(getattr(entry, name) for entry in every)
            for name in ("received", "stored", "duplicate", "quarantined")}
    line = say("received {received:,} = stored {stored:,} + duplicate {duplicate:,} + quarantined {quarantined:,}",
               **sums)
    counted = ExactCount(say("received records"), sums["received"])
    return Account(title=say("What came in"), table=table, evidence=counted, method="exact count",
                   asked={"question": "ledger.account", "by": by}, by=by, notes=(line, *_journal(waiting), *shop.notes))


@question
def quarantine(shop: Shop, *, reason: str | None = None, n: int = 20) -> Quarantine:
    """Show what was quarantined: why, where it stood, and the original record.

    Args:
        shop: An opened shop; only read.
        reason: Only records with this reason.
        n: How many records to show.

    Returns:
        Records by reason, file and line; part `reasons` counts them all.

    Raises:
        UnknownName: No record has that reason. BadInput: `n` is below 1.
    """
    if n < 1:
        raise BadInput(say("n is {n}; it must be at least 1.", n=n), do=[say("--n 10")])
    kept = shop.engine.quarantine()
    counts = shop.engine.run(inputs.reasons(kept))
    total = sum(counts["records"].to_pylist())
    if reason is not None and reason not in counts["reason"].to_pylist():
        raise UnknownName(say("nothing was quarantined for {reason}.", reason=repr(reason)),
                          do=[say("--reason {name}", name=name) for name in counts["reason"].to_pylist()[:5]]
                          or [say("shopkeeper account SHOP")],
                          why=say("reasons are counted over every import."))
    found = shop.engine.run(inputs.records(kept, reason, n)).to_pylist()
    table = pa.table({
        "reason": pa.array([row["reason"] for row in found], pa.string()),
        "file": pa.array([row["file"] for row in found], pa.string()),
        "line": pa.array([row["source_line"] for row in found], pa.int64()),
        "field": pa.array([row["field"] for row in found], pa.string()),
        "advice": pa.array([put(_advice(row)) for row in found], pa.string()),
        "record": pa.array([row["record"] for row in found], pa.string())})
    return Quarantine(title=say("What was quarantined"), table=table, parts={"reasons": counts}, method="exact count",
                      evidence=ExactCount(say("quarantined records"), total),
                      asked={"question": "ledger.quarantine", "reason": reason, "n": n}, notes=_again(total),
                      advices=tuple(_advice(row) for row in found))


def _again(total: int) -> tuple[Sentence, ...]:
    """What to do after a fix."""
    return (say("after a fix: shopkeeper quarantine SHOP --replay, with what ingest would be told: --map, --kind, "
                "--constant, --time-zone, --time-format, --currency, --order-rule; or undo the import and ingest the "
                "mended file."),) if total else ()


def _advice(row: dict[str, Any]) -> Sentence:
    if row["detail"]:
        return Sentence.from_dict(json.loads(row["detail"]))
    return rules.advice(row["reason"]) or say("{reason}", reason=row["reason"])


@question
def check(shop: Shop) -> Checked:
    """Read every stored byte, and name the files that are not what was written.

    Args:
        shop: An opened shop; only read.

    Returns:
        A row a damaged file; no row where everything is as it was written.

    >>> check(Shop.simulated(customers=40, items=20, days=20)).table.num_rows
    0
    """
    found = inspect(shop.store, shop.manifest)
    bad = found.faults
    table = pa.table({
        "file": pa.array([fault.file for fault in bad], pa.string()),
        "holds": pa.array([fault.file.split("/")[0] for fault in bad], pa.string()),
        "fault": pa.array([fault.kind for fault in bad], pa.string()),
        "rows": pa.array([fault.rows for fault in bad], pa.int64())})
    title = say("{bad:,} of {files:,} files are not what was written", bad=len(bad), files=found.files) if bad \
        else say("Every file is what was written")
    return Checked(title=title, table=table, evidence=ExactCount(say("files"), found.files), method="exact count",
                   asked={"question": "ledger.check"}, notes=_inspected(found))


def _inspected(found: Inspected) -> tuple[Sentence, ...]:
    notes = [say("{size:,} bytes were read.", size=found.size)]
    if any(not fault.file.startswith("index/") for fault in found.faults):
        notes.append(say("put them back from your backup."))
    if any(fault.file.startswith("index/") for fault in found.faults):
        notes.append(say("the index is made again from the segments by an import that meets the damage."))
    if found.unchecked:
        notes.append(say("{files:,} files were written without a checksum; of them only the size was compared.",
                         files=found.unchecked))
    return tuple(notes)
