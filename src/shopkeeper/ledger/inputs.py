"""What the ledger reads: counts over the event table, and the quarantine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
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


def imports_until(shop: Shop) -> list[Import]:
    """The imports of events that had come by the end of this view of the log."""
    return [one for one in shop.manifest.imports if one.table == "events" and (
        shop.until is None or datetime.fromisoformat(one.at).timestamp() * 1e6 < shop.until)]


def together(entries: Sequence[Import], by: str) -> tuple[Import, ...]:
    """The entries of the account as one for each day, source or dialect (what has none is `columns`), and table.

    An import of several sources or dialects counts once, under all of their names.
    """
    names: Mapping[str, Callable[[Import], str]] = {
        "day": lambda one: one.at[:10] or one.id, "source": lambda one: ", ".join(one.sources),
        "dialect": lambda one: ", ".join(one.dialects) or ("columns" if one.at else one.id)}
    sums: dict[tuple[str, str], Import] = {}
    for one in entries:
        name = names[by](one)
        before = sums.get((name, one.table))
        counts = {part: getattr(one, part) + (getattr(before, part) if before else 0)
                  for part in ("received", "stored", "duplicate", "quarantined", "lines")}
        sources = dict.fromkeys([*(before.sources if before else ()), *one.sources])
        sums[name, one.table] = replace(one, id=name, at=before.at if before else one.at, sources=tuple(sources),
                                        **counts)
    return tuple(sums.values())


def records(quarantine: Any, reason: str | None, n: int) -> Any:
    """Expression: the first n quarantined records, of one reason or of any, in order of file and line."""
    rows = quarantine if reason is None else quarantine.filter(quarantine.reason == reason)
    return rows.order_by(["reason", "file", "source_line"]).limit(n)


def reasons(quarantine: Any) -> Any:
    """Expression: quarantined records by reason, the most frequent first."""
    found = quarantine.group_by("reason").aggregate(records=quarantine.count().cast("int64"))
    return found.order_by([found.records.desc(), found.reason])


def hours_by_kind(events: Any, timezone: str, first: int, last: int) -> Any:
    """Expression: events by kind and local hour."""
    rows = events.filter(events.line == 0)
    rows = rows.select(event=rows.event, hour=bucket(rows.ts, "hour", timezone, first, last))
    return rows.group_by(["event", "hour"]).aggregate(events=rows.count().cast("int64"))


def read_hours_by_kind(shop: Shop) -> pa.Table:
    """The table of `hours_by_kind`, in the shop's time zone."""
    first, last = shop.manifest.first or 0, shop.manifest.last or 0
    found = hours_by_kind(shop.events(), shop.config.timezone, first, last)
    return shop.engine.run(found.order_by(["event", "hour"]))


def _counted(rows: Any, of: Any) -> Any:
    """Expression: one row: how many, of how many, since when."""
    return rows.aggregate(records=rows.count().cast("int64"), since=rows.ts.min()).cross_join(
        of.aggregate(of=of.count().cast("int64")))


def early(events: Any, minutes: int) -> Any:
    """Expression: events that carry a time so long after their receipt."""
    heads = events.filter(events.line == 0)
    late = heads.ts.epoch_seconds() - heads.received_at.epoch_seconds() > 60 * minutes
    return _counted(heads.filter(late), heads)


def currencies(events: Any) -> Any:
    """Expression: rows with money by currency, the most frequent first."""
    rows = events.filter(events.currency.notnull())
    found = rows.group_by("currency").aggregate(records=rows.count().cast("int64"), since=rows.ts.min())
    return found.order_by([found.records.desc(), found.currency])


def sums(events: Any) -> Any:
    """Expression: orders whose value is not what their lines add up to, of those where both are said.

    The value is without tax and shipping; what is off an order or a line may be taken off it, or not.
    """
    rows = events.filter(events.event == "purchase")
    head = rows.line == 0
    goods = rows.price.cast("float64") * rows.quantity.fill_null(1.0)
    off = rows.item_discount.cast("float64").fill_null(0.0) * rows.quantity.fill_null(1.0)
    bare = rows.item_id.notnull() & rows.price.isnull()
    by = rows.group_by("event_id").aggregate(
        ts=rows.ts.min(), value=ibis.ifelse(head, rows.value.cast("float64"), ibis.null("float64")).max(),
        discount=ibis.ifelse(head, rows.discount.cast("float64"), ibis.null("float64")).max().fill_null(0.0),
        goods=ibis.ifelse(rows.item_id.notnull(), goods, ibis.null("float64")).sum(),
        off=ibis.ifelse(rows.item_id.notnull(), off, 0.0).sum(), bare=bare.cast("int64").sum())
    said = by.filter(by.value.notnull() & by.goods.notnull() & (by.bare == 0))
    within = ibis.greatest(0.02, said.goods.abs() * 0.01)
    wrong = [(said.value - said.goods + taken).abs() > within
             for taken in (0.0, said.discount, said.off, said.discount + said.off)]
    return _counted(said.filter(*wrong), said)


def twice(events: Any) -> Any:
    """Expression: lines of orders that stand there under several event ids, of all lines of orders.

    Of lines without an id those that are alike are named after one content: one file has several of them.
    """
    rows = events.filter((events.event == "purchase") & events.order_id.notnull() & events.item_id.notnull())
    again = rows.event_id.re_search("^[0-9a-f]{32}-[0-9]+$")
    rows = rows.mutate(event_id=ibis.ifelse(again, rows.event_id.substr(0, 32), rows.event_id))
    by = rows.group_by(["order_id", "item_id", "quantity", "price"]).aggregate(
        ts=rows.ts.min(), ids=rows.event_id.nunique())
    return _counted(by.filter(by.ids > 1), by)


def twins(events: Any) -> Any:
    """Expression: events that stand there more than once: one kind, person, thing, order and moment, several ids."""
    heads = events.filter((events.line == 0) & (events.event != "purchase"))
    heads = heads.mutate(person=ibis.coalesce(heads.customer_id, heads.anonymous_id))
    by = heads.group_by(["event", "person", "item_id", "order_id", "ts", "url", "query"]).aggregate(
        ids=heads.event_id.nunique())
    by = by.filter(by.person.notnull())
    return _counted(by.filter(by.ids > 1), by)


def unlisted(events: Any, items: Any) -> Any:
    """Expression: lines about items that the table of items does not have, of all lines about items."""
    rows = events.filter(events.item_id.notnull())
    return _counted(rows.anti_join(items, rows.item_id == items.item_id), rows)


def unjoined(events: Any) -> Any:
    """Expression: events that say by which list they came and of which no list was shown, of all that say so."""
    asked = events.filter(events.request_id.notnull())
    shows = asked.event.isin(["view_item_list", "view_promotion", "offer"])
    shown = asked.filter(shows).select("request_id").distinct()
    led = asked.filter((asked.line == 0) & ~shows)
    return _counted(led.anti_join(shown, "request_id"), led)


def quantities(events: Any, most: float) -> Any:
    """Expression: lines of purchases and carts with more units than anybody buys, or with none."""
    rows = events.filter(events.event.isin(["purchase", "add_to_cart"]) & events.quantity.notnull())
    return _counted(rows.filter((rows.quantity > most) | (rows.quantity == 0)), rows)


def quantities_of(events: Any, items: Any, category: str, most: float, whole: bool) -> Any:
    """Expression: the same in one category (and below it), by its own rule; perhaps only whole units are possible."""
    listed = items.filter(items.category.notnull())
    mine = listed.filter((listed.category == category) | listed.category.startswith(category + " > ")).select("item_id")
    rows = events.filter(events.event.isin(["purchase", "add_to_cart"]) & events.quantity.notnull())
    rows = rows.semi_join(mine, "item_id")
    wrong = rows.quantity > most
    if whole:
        wrong = wrong | (rows.quantity != rows.quantity.floor())
    return _counted(rows.filter(wrong), rows)


def units(events: Any, items: Any, fold: float) -> Any:
    """Expression: purchased lines whose price is many times that of the table of items, or many times less."""
    rows = events.filter((events.event == "purchase") & events.price.notnull() & events.item_id.notnull())
    rows = rows.select(item_id=rows.item_id, ts=rows.ts, charged=rows.price.cast("float64"))
    listed = items.select(item_id=items.item_id, listed=items.price.cast("float64"))
    both = rows.inner_join(listed, "item_id")
    both = both.filter((both.listed > 0) & (both.charged > 0))
    return _counted(both.filter((both.charged > fold * both.listed) | (both.charged * fold < both.listed)), both)


def counted(shop: Shop, expression: Any) -> tuple[int, int, Any]:
    """What an expression of `_counted` gives: how many, of how many, and the time of the first."""
    row = shop.engine.run(expression).to_pylist()[0]
    return row["records"], row["of"], row["since"]
