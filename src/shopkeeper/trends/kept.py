"""What the shop keeps of its alerts: the rules with their back-test, what rang, and the secret that signs webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from shopkeeper.shop import Shop
from shopkeeper.trends.ringing import Firing, Ring, ring_id
from shopkeeper.trends.rules import Rule
from shopkeeper.warehouse.delivery import secret
from shopkeeper.warehouse.tables import declared
from shopkeeper.words import say

__all__ = ["FIRINGS", "RULES", "Fired", "Kept", "firings", "record", "remove", "rules", "save", "secret", "told"]

RULES, FIRINGS = "facts/alert_rules", "facts/alert_firings"
MOST_FIRINGS = 1_000  # kept; older ones go
WAIT = 10.0           # seconds to wait for another writer


@dataclass(frozen=True)
class Kept:
    """A rule as it was saved.

    Attributes:
        rule: The rule.
        saved: When, by the shop's clock; microseconds UTC.
        days, rung: Its back-test: days of the past, and how often it would have rung in them.
    """

    rule: Rule
    saved: int
    days: int
    rung: int

    @property
    def per_week(self) -> float:
        """Rings a week, in the back-test."""
        return self.rung / self.days * 7


@dataclass(frozen=True)
class Fired:
    """A firing, and what became of its delivery.

    Attributes:
        firing: What rang.
        delivered: When the webhook took it; None if it has not, or there is none.
        tries: How often it was tried.
        fault: What went wrong at the last try.
    """

    firing: Firing
    delivered: int | None = None
    tries: int = 0
    fault: str | None = None


def rules(shop: Shop) -> dict[str, Kept]:
    """The rules of a shop by name, in the order in which they were saved."""
    if not shop.engine.has(RULES):
        return {}
    found = shop.engine.run(shop.engine.table(RULES)).to_pylist()
    return {row["name"]: Kept(Rule.from_row(row), _micros(row["saved"]), row["days"], row["rung"]) for row in found}


def firings(shop: Shop) -> list[Fired]:
    """What rang, the oldest first."""
    if not shop.engine.has(FIRINGS):
        return []
    watched = {name: kept.rule for name, kept in rules(shop).items()}
    table = shop.engine.run(shop.engine.table(FIRINGS))
    return sorted((_fired(row, watched) for row in table.to_pylist()), key=lambda one: one.firing.ring.until)


def save(shop: Shop, name: str, kept: Kept) -> None:
    """Keep a rule under a name, in the place of the one of that name.

    Raises:
        ShopBusy: Another process writes.
    """
    row = {"name": name, **kept.rule.to_row(), "saved": kept.saved, "days": kept.days, "rung": kept.rung}
    _change(shop, "trends save-alert", RULES, lambda rows: [*(one for one in rows if one["name"] != name), row])


def remove(shop: Shop, name: str) -> None:
    """Forget the rule of a name; what it rang stays."""
    _change(shop, "trends remove-alert", RULES, lambda rows: [one for one in rows if one["name"] != name])


def record(shop: Shop, fired: Sequence[Fired]) -> None:
    """Keep firings; those that are known already are brought up to date."""
    new = {one.firing.id: _row(one) for one in fired}
    _change(shop, "alerts", FIRINGS, lambda rows: list({**{one["id"]: one for one in rows}, **new}.values())[
        -MOST_FIRINGS:])


def with_ids(table: pa.Table) -> pa.Table:
    """Firings whose people were renamed, with the ids that follow."""
    ids = [ring_id(row["rule"], _micros(row["until"]), row["who"]) for row in table.to_pylist()]
    return table.set_column(table.column_names.index("id"), table.schema.field("id"), pa.array(ids, pa.string()))


def _change(shop: Shop, command: str, table: str, change: Any) -> None:
    schema = declared(table)
    with shop.store.write(command, WAIT) as writer:
        before = writer.read_table(table)
        rows: Iterable[Mapping[str, Any]] = change(before.to_pylist() if before is not None else [])
        made = pa.Table.from_pylist(list(rows), schema=schema)
        writer.commit(writer.replace_table(writer.manifest, table, made))
    shop.refresh()


def _row(one: Fired) -> dict[str, Any]:
    ring = one.firing.ring
    return {"id": one.firing.id, "rule": one.firing.rule, "since": ring.since, "until": ring.until, "side": ring.side,
            "counted": ring.counted, "expected": ring.expected, "low": ring.low, "high": ring.high,
            "method": ring.method, "per_week": one.firing.per_week, "hint": one.firing.hint, "who": ring.who,
            "webhook": one.firing.webhook, "delivered": one.delivered, "tries": one.tries, "fault": one.fault}


def _fired(row: dict[str, Any], watched: Mapping[str, Rule]) -> Fired:
    rule = watched.get(row["rule"])
    ring = Ring(_micros(row["since"]), _micros(row["until"]), *(row[name] for name in (
        "side", "counted", "expected", "low", "high", "method", "who")))
    what = rule.series.sentence() if rule is not None else say("what a removed rule watched")
    delivered = None if row["delivered"] is None else _micros(row["delivered"])
    return Fired(Firing(row["rule"], what, ring, row["per_week"], row["hint"], row["webhook"]), delivered,
                 row["tries"], row["fault"])


def _micros(when: Any) -> int:
    return int(pa.scalar(when, pa.timestamp("us")).cast(pa.int64()).as_py())


def told(one: Fired, **more: Any) -> Fired:
    """The firing with what became of it since."""
    return replace(one, **more)
