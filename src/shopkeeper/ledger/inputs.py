"""What the ledger reads: counts over the event table, and the quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import pyarrow as pa

from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.shop import Shop
from shopkeeper.warehouse.calendar import bucket
from shopkeeper.warehouse.folding import Unfolded
from shopkeeper.warehouse.manifest import Import


def _person(events: Any) -> Any:
    person = ibis.coalesce(events.customer_id, events.anonymous_id)
    return ibis.ifelse(person.startswith(GUEST), ibis.null("string"), person)


def totals(events: Any) -> Any:
    """Expression: one row of counts over the whole log."""
    heads = events.line == 0
    guests = ibis.coalesce(events.customer_id, events.anonymous_id).startswith(GUEST)
    return events.aggregate(
        events=heads.sum().fill_null(0).cast("int64"), lines=events.count().cast("int64"),
        people=_person(events).nunique(),
        known=events.customer_id.nunique(), things=events.item_id.nunique(),
        orders=ibis.ifelse(events.event == "purchase", events.order_id, ibis.null("string")).nunique(),
        guests=ibis.ifelse(guests, events.anonymous_id, ibis.null("string")).nunique(),
        sessions=events.session_id.nunique(), first=events.ts.min(), last=events.ts.max(),
        late=(heads & (events.ts > events.received_at)).sum().fill_null(0).cast("int64"))


def order_value(events: Any) -> Any:
    """Expression: what the purchases are worth, by currency."""
    sold = events.filter(events.event == "purchase", events.value.notnull())
    found = sold.group_by("currency").aggregate(value=sold.value.sum())
    return found.order_by(found.currency)


def kinds(events: Any) -> Any:
    """Expression: events and people by kind, the most frequent first."""
    rows = events.filter(events.line == 0)
    found = rows.group_by("event").aggregate(events=rows.count().cast("int64"), people=_person(rows).nunique())
    return found.order_by([found.events.desc(), found.event])


def hours(events: Any, timezone: str, first: int, last: int) -> Any:
    """Expression: events by local hour since 1970 (the hour of the week is cut from it in Python)."""
    rows = events.filter(events.line == 0)
    rows = rows.select(hour=bucket(rows.ts, "hour", timezone, first, last))
    return rows.group_by("hour").aggregate(events=rows.count().cast("int64"))


def categories(events: Any, items: Any, n: int) -> Any:
    """Expression: the top categories (first step of the path) by event lines, with people."""
    rows = events.filter(events.item_id.notnull())
    rows = rows.select(item_id=rows.item_id, person=_person(rows))
    both = rows.inner_join(items.select("item_id", "category"), "item_id")
    both = both.filter(both.category.notnull())
    both = both.mutate(category=both.category.split(">")[0].strip())
    found = both.group_by("category").aggregate(events=both.count().cast("int64"), people=both.person.nunique())
    return found.order_by([found.events.desc(), found.category]).limit(n)


def read_totals(shop: Shop) -> Mapping[str, Any]:
    """The counts of `totals`, as a mapping."""
    return dict(shop.engine.run(totals(shop.events())).to_pylist()[0])


def read_order_value(shop: Shop) -> pa.Table:
    """The table of `order_value`."""
    return shop.engine.run(order_value(shop.events()))


def read_kinds(shop: Shop) -> pa.Table:
    """The table of `kinds`, with the role that each plays."""
    table = shop.engine.run(kinds(shop.events()))
    roles = [shop.config.roles.get(kind, "context") for kind in table["event"].to_pylist()]
    return pa.table({"kind": table["event"], "role": roles, "events": table["events"], "people": table["people"]})


def read_hours(shop: Shop) -> pa.Table:
    """Events by local hour: hour (timestamp, local), events; in time order."""
    first, last = shop.manifest.first or 0, shop.manifest.last or 0
    return shop.engine.run(hours(shop.events(), shop.config.timezone, first, last).order_by("hour"))


def read_categories(shop: Shop, n: int = 10) -> pa.Table:
    """The table of `categories`; empty where there is no items table."""
    if not shop.engine.has("items"):
        return pa.table({"category": pa.array([], pa.string()), "events": pa.array([], pa.int64()),
                         "people": pa.array([], pa.int64())})
    return shop.engine.run(categories(shop.events(), shop.engine.table("items"), n))


def in_journal(waiting: Unfolded) -> tuple[Import, ...]:
    """What still lies in the journal as a last entry of the account: as the entrance counted it."""
    if not waiting.records:
        return ()
    return (Import(id="journal", at="", sources=("journal",), table="", received=waiting.records, stored=waiting.stored,
                   duplicate=waiting.duplicate, quarantined=waiting.quarantined, lines=0),)


def records(quarantine: Any, reason: str | None, n: int) -> Any:
    """Expression: the first n quarantined records, of one reason or of any, in order of file and line."""
    rows = quarantine if reason is None else quarantine.filter(quarantine.reason == reason)
    return rows.order_by(["reason", "file", "source_line"]).limit(n)


def reasons(quarantine: Any) -> Any:
    """Expression: quarantined records by reason, the most frequent first."""
    found = quarantine.group_by("reason").aggregate(records=quarantine.count().cast("int64"))
    return found.order_by([found.records.desc(), found.reason])
