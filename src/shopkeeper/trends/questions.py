"""The questions of this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import question
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.trends import answers, backtests, checks, inputs, kept, settings
from shopkeeper.trends.answers import Alerts, Counts, Ringing
from shopkeeper.trends.ringing import Firing
from shopkeeper.trends.rules import HOUR, Series
from shopkeeper.warehouse.calendar import local_times
from shopkeeper.words import Sentence, say

MOST_BUCKETS = 10_000
_WIDTHS = {"minute": HOUR // 60, "hour": HOUR}
_DEFAULT = {"minute": HOUR, "hour": 24 * HOUR}  # microseconds shown where no `since` is given


@dataclass(frozen=True)
class Span:
    """Which buckets.

    Attributes:
        per: Length of a bucket.
        since: From when on; UTC where no zone is given. By default a day of hours, or an hour of minutes.
        until: Up to when; UTC where no zone is given. By default the shop's clock.
    """

    per: Literal["minute", "hour"] = "hour"
    since: datetime | None = None
    until: datetime | None = None

    def ends(self, now: int) -> tuple[int, int]:
        """Begin and end, on borders of buckets, microseconds UTC.

        Raises:
            BadInput: It is empty, or has too many buckets.
        """
        width = _WIDTHS[self.per]
        until = -(-(now + 1 if self.until is None else checks.micros(self.until)) // width) * width
        since = until - _DEFAULT[self.per] if self.since is None else checks.micros(self.since) // width * width
        buckets = (until - since) // width
        if not 0 < buckets <= MOST_BUCKETS:
            raise BadInput(say("these are {n:,} buckets; it must be between 1 and {most:,}.", n=buckets,
                               most=MOST_BUCKETS), do=[say("--per hour"), say("--since 2026-10-01")],
                           why=say("every bucket of the span is counted and drawn."))
        return since, until


EVERYTHING, LATELY = Series(), Span()


@question
def counts(shop: Shop, *, series: Series = EVERYTHING, span: Span = LATELY,
           by: Literal["kind", "channel", "category"] = "kind", people: bool = False, n: int = 5) -> Counts:
    """Count what happens by minute or by hour, by kind, channel or category.

    Args:
        shop: An opened shop; only read.
        series: What to count.
        span: Which buckets.
        by: What to tell apart.
        people: Only what people did, also where the shop is asked with all traffic.
        n: How many lines to give, the largest first.

    Returns:
        A row for each bucket and name that holds anything.

    Raises:
        UnknownName: A kind, channel or category that is not there. BadInput: The span makes no sense.

    >>> counts(Shop.simulated(customers=40, items=20, days=20), n=2).table.column_names
    ['at', 'local', 'name', 'amount']
    """
    checks.at_least_one(n)
    checks.series(shop, series)
    start, until = span.ends(shop.now())
    told = inputs.read_told(shop.engine, settings.read(shop.path).categories)
    end = until if shop.until is None else min(until, shop.until)
    cells = inputs.read_cells(shop.engine, told, start, end, "m" if span.per == "minute" else "h")
    found = _summed(_chosen(cells, series, shop.leaves_out() or people), _column(series, by), by, series.unit)
    left, order = _largest(found, n)
    local = local_times(left["at"].cast(pa.int64()).to_numpy(), shop.config.timezone)
    table = pa.table({"at": left["at"], "local": pa.array(local, pa.timestamp("us")), "name": left["name"],
                      "amount": left["amount"]})
    names = found["name"].unique().to_pylist()
    notes = [say("{n:,} smaller ones are left out.", n=len(names) - len(order))] if len(names) > len(order) else []
    return Counts(title=say("{series}, by {unit}", series=series.sentence(), unit=_unit(span.per)), table=table,
                  evidence=ExactCount(say("stored events"), int(pc.sum(cells["events"]).as_py() or 0)),
                  method="exact count", notes=(*notes, *_about(series, by, shop.config.timezone)), per=span.per,
                  points=_points(table, order, np.arange(start, until, _WIDTHS[span.per]), shop.config.timezone),
                  asked={"question": "trends.counts", "series": series, "span": span, "by": by, "people": people,
                         "n": n})


def _unit(per: str) -> Sentence:
    return say("minute") if per == "minute" else say("hour")


def _column(series: Series, by: str) -> str:
    """By category, lines with items are counted, as for a series of one category."""
    return Series(category="", measure=series.measure).column if by == "category" else series.column


def _chosen(cells: pa.Table, series: Series, people: bool) -> pa.Table:
    for name in ("kind", "channel", "category"):
        wanted = getattr(series, name)
        if wanted is not None:
            cells = cells.filter(pc.equal(cells[name], wanted))
    return cells.filter(pc.equal(cells["human"], 1)) if people else cells


def _summed(cells: pa.Table, column: str, by: str, unit: float) -> pa.Table:
    found = cells.group_by(["at", by], use_threads=False).aggregate([(column, "sum")])
    names = pc.if_else(pc.equal(found[by], ""), "none", found[by])
    amounts = pc.divide(found[f"{column}_sum"].cast(pa.float64()), unit)
    table = pa.table({"at": found["at"], "name": names, "amount": amounts}).filter(pc.not_equal(amounts, 0.0))
    return table.sort_by([("at", "ascending"), ("name", "ascending")])


def _largest(found: pa.Table, n: int) -> tuple[pa.Table, list[str]]:
    """The rows of the n names with the most, and these names in order."""
    sums = found.group_by("name", use_threads=False).aggregate([("amount", "sum")])
    order = sums.sort_by([("amount_sum", "descending"), ("name", "ascending")])["name"].to_pylist()[:n]
    return found.filter(pc.is_in(found["name"], pa.array(order, pa.string()))), order


def _points(table: pa.Table, names: list[str], starts: Any, timezone: str) -> list[dict[str, Any]]:
    if not names:
        return []
    have = {(row["at"], row["name"]): row["amount"] for row in table.to_pylist()}
    local = pa.array(local_times(starts, timezone), pa.timestamp("us")).to_pylist()
    at = pa.array(starts, pa.timestamp("us")).to_pylist()
    return [{"local": there, "name": name, "amount": have.get((when, name), 0.0)}
            for name in names for when, there in zip(at, local, strict=True)]


def _about(series: Series, by: str, timezone: str) -> list[Sentence]:
    notes = [say("local times are those of {zone}.", zone=timezone)]
    if by == "category" or series.category is not None:
        notes.append(say("by category, lines with an item are counted: an order of three things counts three times."))
    if by == "channel" or series.channel is not None:
        notes.append(say("a channel is what an event itself says; what says nothing is unmarked."))
    return notes


_ALERTS = pa.schema([("name", pa.string()), ("detector", pa.string()), ("kind", pa.string()), ("channel", pa.string()),
                     ("category", pa.string()), ("measure", pa.string()), ("minutes", pa.int64()),
                     ("webhook", pa.string()), ("saved", pa.timestamp("us")), ("days", pa.int64()),
                     ("rung", pa.int64()), ("fired", pa.int64()), ("last", pa.timestamp("us"))])


@question
def alerts(shop: Shop, *, n: int = 10) -> Alerts:
    """List the rules of the alerts: their back-test, and what they rang lately.

    Args:
        shop: An opened shop; only read.
        n: How many firings to show.

    Returns:
        A row a rule; part `firings` has the newest.

    Raises:
        BadInput: `n` is below 1.
    """
    checks.at_least_one(n)
    rules, fired = kept.rules(shop), kept.firings(shop)
    rows = [_alert(name, one, [other for other in fired if other.firing.rule == name]) for name, one in rules.items()]
    notes = () if rows else (_none_yet(),)
    return Alerts(title=say("The rules of the alerts"), table=pa.Table.from_pylist(rows, schema=_ALERTS),
                  evidence=ExactCount(say("firings that are kept"), len(fired)), method="exact count", notes=notes,
                  parts={"firings": answers.delivered_table(fired[::-1][:n])},
                  asked={"question": "trends.alerts", "n": n})


def _alert(name: str, one: kept.Kept, fired: list[kept.Fired]) -> Mapping[str, Any]:
    rule = one.rule
    host = urlsplit(rule.webhook).hostname if rule.webhook else None  # the rest of an address may be a secret
    return {"name": name, "detector": rule.detector, "kind": rule.kind, "channel": rule.channel,
            "category": rule.category, "measure": rule.measure, "minutes": rule.minutes, "webhook": host,
            "saved": one.saved, "days": one.days, "rung": one.rung, "fired": len(fired),
            "last": fired[-1].firing.ring.until if fired else None}


def _none_yet() -> Sentence:
    return say("no rule has been saved yet: shopkeeper trends save-alert SHOP --name NAME")


@question
def firing(shop: Shop, *, until: datetime | None = None) -> Ringing:
    """Say which alerts ring now.

    The last complete bucket of each rule is judged. The shop's clock stands where the last event came: to find out
    whether anything comes at all, say until when; a running server does.

    Args:
        shop: An opened shop; only read.
        until: Up to when; UTC where no zone is given. By default the shop's clock.

    Returns:
        A row for each rule that rings, and for each person whose burst it is.
    """
    now = shop.now() if until is None else checks.micros(until)
    rules = kept.rules(shop)
    found = tuple(Firing(name, one.rule.series.sentence(), ring, one.per_week, one.rule.detector == "burst")
                  for name, one in rules.items() for ring in backtests.ringing(shop, one.rule, now))
    notes = tuple(one.sentence(shop.config.timezone) for one in found) if rules else (_none_yet(),)
    return Ringing(title=say("What rings now"), table=answers.firing_table(found), method="back-test", notes=notes,
                   evidence=ExactCount(say("rules of the alerts"), len(rules)), firings=found,
                   asked={"question": "trends.firing", "until": until})
