"""Segments: saved rules over what people are like, asked anew of every view of the log; and groups that were published.

A rule is a condition over the columns `COLUMNS`, one row a person. Whoever asks for a segment gets the people for whom
its rule holds at that time of the shop's clock, so an old view of the log gives the same people tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from shopkeeper.errors import MissingData, UnknownName
from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.warehouse.calendar import DAY, bucket, local_times
from shopkeeper.warehouse.channels import UNMARKED, channel
from shopkeeper.warehouse.conditions import Kind, read
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.sessions import person
from shopkeeper.words import say

RULES, MEMBERS = "facts/segment_rules", "facts/segments"
RFM = "rfm"                        # the row of the rules that is no segment, but where several part
BACK = ("refund", "cancel_order")  # kinds whose money goes back
UNIT = 10_000.0                    # money is added up in units of 0.0001, whole numbers, so that sums are exact
Zone = tuple[str, int, int]        # in which days are cut, and the span of the log (microseconds UTC)

# What a rule may ask of a person; days are those of the shop's zone.
COLUMNS: Mapping[str, Kind] = {
    "silent": "number",     # days since the last purchase; unknown where there is none
    "known": "number",      # days since the first purchase; unknown where there is none
    "purchases": "number",  # days with an order
    "orders": "number",
    "money": "number",      # what they brought, without what went back
    "each": "number",       # money / purchases; unknown where there is no purchase
    "views": "number",      # events whose role is interest
    "carts": "number",      # events whose role is intent
    "searches": "number",
    "seen": "number",       # days since the last event of any kind
    "country": "text",      # the last that an event of theirs named
    "device": "text",       # likewise
    "channel": "text",      # that of their first event with a mark; unmarked where there is none
}


@dataclass(frozen=True)
class View:
    """What a rule is asked of.

    Attributes:
        events: The event table, as an expression.
        roles: Kind of event -> its role.
        zone: In which days are cut, and the span of the log.
        today: Day of the shop's clock, counted from 1970.
    """

    events: Any
    roles: Mapping[str, str]
    zone: Zone
    today: int

    @classmethod
    def at(cls, events: Any, roles: Mapping[str, str], zone: Zone, now: int) -> View:
        """As of a time (microseconds UTC) of the shop's clock."""
        return cls(events, roles, zone, int(local_times(np.array([now]), zone[0])[0] // DAY))


def of_people(events: Any) -> Any:
    """Expression: the events of people, with `person`; guests' orders are nobody's."""
    rows = events.mutate(person=person(events))
    return rows.filter(rows.person.notnull() & ~rows.person.startswith(GUEST))


def orders(events: Any, roles: Mapping[str, str], back: tuple[str, ...] = BACK) -> Any:
    """Expression: purchases and what was given back, one row an event: person, ts, sign, money (units), lines.

    The money of an order is `value` of line 0, else price x quantity over its lines.
    """
    bought = [kind for kind, role in roles.items() if role == "conversion"]
    rows = of_people(events).filter(lambda t: t.event.isin([*bought, *back]))
    sign = ibis.ifelse(rows.event.isin(list(back)), -1, 1).cast("int64")
    goods = rows.price.cast("float64") * rows.quantity.fill_null(1.0)
    rows = rows.mutate(sign=sign, units=(rows.value.cast("float64") * UNIT).round(),
                       goods=(goods * UNIT).round(), item=rows.item_id.notnull().cast("int64"))
    each = rows.group_by("person", "event_id", "sign").aggregate(
        ts=rows.ts.min(), units=rows.units.max(), goods=rows.goods.sum(), lines=rows.item.sum().cast("int64"))
    return each.select("person", "ts", "sign", "lines", money=ibis.coalesce(each.units, each.goods, 0.0))


def bought_days(events: Any, roles: Mapping[str, str], zone: Zone) -> Any:
    """Expression: orders by person and day: person, day, orders, money (units), lines."""
    rows = orders(events, roles)
    rows = rows.mutate(day=bucket(rows.ts, "day", *zone), forth=(rows.sign > 0).cast("int64"))
    return rows.group_by("person", "day").aggregate(
        orders=rows.forth.sum().cast("int64"), money=(rows.money * rows.sign).sum(),
        lines=(rows.lines * rows.forth).sum().cast("int64"))


def _numbered(ts: Any) -> Any:
    """Expression: the day of a naive time, counted from 1970."""
    return (ts.epoch_seconds().cast("int64") // 86_400).cast("int64")


def facts(view: View) -> Any:
    """Expression: one row a person who did anything: `person` and the columns `COLUMNS`."""
    days = bought_days(view.events, view.roles, view.zone)
    days = days.mutate(number=_numbered(days.day))
    days = days.filter(days.number <= view.today)
    sold = days.group_by("person").aggregate(
        last=days.number.max(where=days.orders > 0), first=days.number.min(where=days.orders > 0),
        purchases=(days.orders > 0).cast("int64").sum().cast("int64"), orders=days.orders.sum().cast("int64"),
        money=days.money.sum() / UNIT)
    found = _seen(view).left_join(sold.rename(_who="person"), [("person", "_who")]).drop("_who")
    count, money = found.purchases.fill_null(0), found.money.fill_null(0.0)
    return found.select(
        "person", "views", "carts", "searches", "country", "device", "channel", silent=view.today - found["last"],
        known=view.today - found["first"], purchases=count, orders=found.orders.fill_null(0), money=money,
        each=money / count.nullif(0), seen=view.today - found.latest)


def _seen(view: View) -> Any:
    """Expression: person, latest (day), views, carts, searches, country, device, channel."""
    kinds = {role: [kind for kind, plays in view.roles.items() if plays == role] for role in ("interest", "intent")}
    rows = of_people(view.events).filter(lambda t: t.line == 0)
    rows = rows.mutate(number=_numbered(bucket(rows.ts, "day", *view.zone)), brought=channel(rows))
    rows = rows.filter(rows.number <= view.today)
    found = rows.group_by("person").aggregate(
        latest=rows.number.max(), views=rows.event.isin(kinds["interest"]).cast("int64").sum().cast("int64"),
        carts=rows.event.isin(kinds["intent"]).cast("int64").sum().cast("int64"),
        searches=(rows.event == "search").cast("int64").sum().cast("int64"),
        country=rows.country.argmax(rows.ts, where=rows.country.notnull()),
        device=rows.device.argmax(rows.ts, where=rows.device.notnull()),
        channel=rows.brought.argmin(rows.ts, where=rows.brought != UNMARKED))
    return found.mutate(channel=found.channel.fill_null(UNMARKED))


def saved(engine: Engine) -> dict[str, str]:
    """The saved rules: segment -> its rule, in the order in which they were saved."""
    if not engine.has(RULES):
        return {}
    rows = engine.run(engine.table(RULES)).to_pylist()
    return {row["name"]: row["rule"] for row in rows if row["name"] != RFM}


def published(engine: Engine) -> list[str]:
    """The segments whose people were published, in order."""
    if not engine.has(MEMBERS):
        return []
    names = engine.table(MEMBERS)
    return sorted(engine.run(names.select("segment").distinct())["segment"].to_pylist())


def known(engine: Engine) -> list[str]:
    """The names of all segments, in order."""
    return sorted({*saved(engine), *published(engine)})


def members(engine: Engine, name: str, view: View) -> Any:
    """Expression: the `person`s of a segment.

    Raises:
        MissingData: The shop has no segments. UnknownName: It has none of that name.
    """
    rules = saved(engine)
    if name in rules:
        rows = facts(view)
        return rows.filter(read(rules[name], COLUMNS).holds(rows)).select("person")
    if name not in published(engine):
        raise unknown(name, known(engine))
    rows = engine.table(MEMBERS)
    return rows.filter(rows.segment == name).select("person").distinct()


def unknown(name: str, names: Sequence[str]) -> MissingData | UnknownName:
    """The refusal for a segment that does not exist."""
    if not names:
        return MissingData(say("there is no segment {name}: this shop has no segments yet.", name=repr(name)),
                           do=[say("ask without a segment."), say("shopkeeper customers publish SHOP"),
                               say("shopkeeper customers save-segment SHOP --name NAME --rule RULE")],
                           why=say("a segment is a saved rule."))
    return UnknownName(say("there is no segment {name}.", name=repr(name)),
                       do=[say("one of: {names}", names=", ".join(names))],
                       why=say("a name that is not there counts nothing."))
