"""What this room reads: what each customer did on which day, how they first came, and what one of them did in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.customers.methods.base import DAY, Days, Floats, Ints
from shopkeeper.errors import UnknownName
from shopkeeper.events.pseudonyms import GUEST, pseudonym
from shopkeeper.shop import Shop
from shopkeeper.warehouse.calendar import bucket, local_times
from shopkeeper.warehouse.channels import channel
from shopkeeper.warehouse.sessions import person
from shopkeeper.words import say

BACK = ("refund", "cancel_order")  # kinds whose money goes back
UNIT = 10_000.0                    # money is added up in units of 0.0001, whole numbers, so that sums are exact


@dataclass(frozen=True, eq=False)
class Log:
    """What the customers of a shop did, day by day.

    Attributes:
        ids: (n_customers,) pseudonyms, in alphabetical order.
        days: Their days.
        today: Day of the shop's clock, by its wall clock, counted from 1970.
        currency: Of the money; empty where there is none.
        timezone: IANA zone in which days are cut.
        now: The shop's clock, microseconds UTC.
    """

    ids: npt.NDArray[Any]
    days: Days
    today: int
    currency: str
    timezone: str
    now: int

    @property
    def cut(self) -> int:
        """The first day that is not known."""
        return self.today + 1


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


def bought_days(events: Any, roles: Mapping[str, str], zone: tuple[str, int, int]) -> Any:
    """Expression: orders by person and day: person, day, orders, money (units), lines."""
    rows = orders(events, roles)
    rows = rows.mutate(day=bucket(rows.ts, "day", *zone), forth=(rows.sign > 0).cast("int64"))
    return rows.group_by("person", "day").aggregate(
        orders=rows.forth.sum().cast("int64"), money=(rows.money * rows.sign).sum(),
        lines=(rows.lines * rows.forth).sum().cast("int64"))


def doings(events: Any, roles: Mapping[str, str], zone: tuple[str, int, int]) -> Any:
    """Expression: what people did by day beside buying: person, day, visits, views, carts, searches, nothing."""
    kinds = {role: [kind for kind, plays in roles.items() if plays == role] for role in ("interest", "intent")}
    rows = of_people(events).filter(lambda t: t.line == 0)
    rows = rows.filter(rows.event.isin([*kinds["interest"], *kinds["intent"], "search", "page_view", "login"]))
    rows = rows.mutate(
        day=bucket(rows.ts, "day", *zone), viewed=rows.event.isin(kinds["interest"]).cast("int64"),
        carted=rows.event.isin(kinds["intent"]).cast("int64"), searched=(rows.event == "search").cast("int64"),
        empty=((rows.event == "search") & (rows.results == 0)).fill_null(False).cast("int64"))
    return rows.group_by("person", "day").aggregate(
        views=rows.viewed.sum().cast("int64"), carts=rows.carted.sum().cast("int64"),
        searches=rows.searched.sum().cast("int64"), nothing=rows.empty.sum().cast("int64"))


def first_channels(events: Any) -> Any:
    """Expression: how each person first came: person, channel of the first event that bears a mark."""
    rows = of_people(events).filter(lambda t: t.line == 0)
    rows = rows.mutate(channel=channel(rows))
    rows = rows.filter(rows.channel != "unmarked")
    return rows.group_by("person").aggregate(channel=rows.channel.argmin(rows.ts))


def zone_of(shop: Shop) -> tuple[str, int, int]:
    """The zone in which days are cut, and the span of the log."""
    return shop.config.timezone, shop.manifest.first or 0, shop.manifest.last or 0


def read(shop: Shop) -> Log:
    """What the customers of a shop did; a customer is who has bought.

    Raises:
        UnknownName: Nobody has bought anything.
        MixedCurrencies: The log has money in several currencies.
    """
    zone, roles, now = zone_of(shop), shop.config.roles, shop.now()
    sold = shop.engine.run(bought_days(shop.events(), roles, zone))
    sold = sold.filter(pc.less_equal(_days(sold["day"]), local_day(now, zone[0])))
    buyers = pc.unique(sold.filter(pc.greater(sold["orders"], 0))["person"].combine_chunks()).sort()
    if not len(buyers):
        raise UnknownName(say("nobody in this log has bought anything."),
                          do=[say("shopkeeper ingest {path} FILE", path=str(shop.path))],
                          why=say("what this room says of customers rests on what they bought."))
    done = shop.engine.run(doings(shop.events(), roles, zone))
    days = _joined(buyers, sold, done)
    today = local_day(now, zone[0])
    return Log(np.asarray(buyers.to_pylist(), dtype=object), days.before(today + 1), today, shop.currency(), zone[0],
               now)


def iso(when: int) -> str:
    """A time (microseconds UTC) as ISO text."""
    return str(pa.scalar(when, pa.timestamp("us")).as_py().isoformat())


def local_day(when: int, timezone: str) -> int:
    """The day of a time (microseconds UTC) by the wall clock of a zone, counted from 1970."""
    return int(local_times(np.array([when]), timezone)[0] // DAY)


def _days(column: Any) -> Any:
    return pc.divide(column.cast(pa.int64()), DAY)


def _joined(buyers: Any, sold: pa.Table, done: pa.Table) -> Days:
    """Both as one row a customer and day, in their order."""
    parts = []
    for table in (sold, done):
        who = pc.index_in(table["person"].combine_chunks(), buyers)
        keep = pc.is_valid(who)
        rows = table.filter(keep)
        place = who.filter(keep).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append((place, _days(rows["day"]).to_numpy().astype(np.int64), rows))
    (who, day, sold), (other, other_day, done) = parts
    low = min(int(day.min()), int(other_day.min(initial=day.min())))
    width = max(int(day.max()), int(other_day.max(initial=day.max()))) - low + 1
    keys, place = np.unique(np.concatenate([who * width + day, other * width + other_day]) - low, return_inverse=True)
    a, b = place[:len(who)], place[len(who):]

    def laid(at: Ints, values: Any) -> Floats:
        return np.bincount(at, np.asarray(values.to_numpy(), np.float64), len(keys)).astype(np.float64)

    acts = np.stack([np.bincount(b, minlength=len(keys)).astype(np.float64),
                     *(laid(b, done[name]) for name in ("views", "carts", "searches", "nothing"))], axis=1)
    return Days(keys // width, keys % width + low, laid(a, sold["orders"]), laid(a, sold["money"]) / UNIT,
                laid(a, sold["lines"]), acts, len(buyers))


def read_channels(shop: Shop, ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(n,) how each of these first came; `unmarked` where no event of theirs bears a mark."""
    table = shop.engine.run(first_channels(shop.events()))
    at = pc.index_in(pa.array(ids.tolist(), pa.string()), table["person"].combine_chunks())
    return np.asarray(pc.fill_null(table["channel"].combine_chunks().take(at), "unmarked").to_pylist(), dtype=object)


def names_of(shop: Shop, identity: str) -> list[str]:
    """The pseudonyms that an identity may stand for, the likeliest first."""
    key = shop.keys().pseudonym
    return list(dict.fromkeys([shop.person(identity), pseudonym(identity, "customer_id", key),
                               pseudonym(identity, "anonymous_id", key)]))


def of_one(events: Any, names: list[str]) -> Any:
    """Expression: everything that one person did, an event line a row, in order of time."""
    rows = of_people(events).filter(lambda t: t.person.isin(names))
    return rows.order_by(["ts", "event_id", "line"])


def read_one(shop: Shop, identity: str) -> tuple[str, pa.Table]:
    """The pseudonym of a person, and every event line of theirs up to now.

    Raises:
        UnknownName: The log knows nobody of that name.
    """
    names = names_of(shop, identity)
    rows = of_one(shop.events(), names)
    columns = ["person", "event_id", "line", "event", "ts", "item_id", "quantity", "price", "list_price", "value",
               "order_id", "query", "results", "coupon", "discount", "session_id"]
    table = shop.engine.run(rows.select(*columns, channel=channel(rows)))
    table = table.filter(pc.less_equal(table["ts"].cast(pa.int64()), shop.now()))
    known = set(table["person"].unique().to_pylist())
    name = next((one for one in names if one in known), None)
    if name is None:
        raise UnknownName(say("customer {customer} is not in the log.", customer=repr(identity)),
                          do=[say("name a customer as the merchant knows them, or a pseudonym.")],
                          why=say("a profile is made of what somebody did."))
    return name, table.filter(pc.equal(table["person"], name))


def read_items(shop: Shop, ids: list[str]) -> dict[str, dict[str, Any]]:
    """What is known of some items, by id: title, category, brand, price; nothing where there is no items table."""
    if not shop.engine.has("items"):
        return {}
    items = shop.engine.table("items")
    wanted = ibis.memtable(pa.table({"wanted": pa.array(ids, pa.string())}))
    rows = items.semi_join(wanted, [items.item_id == wanted.wanted])
    table = shop.engine.run(rows.select("item_id", "title", "category", "brand", "price"))
    return {row["item_id"]: row for row in table.to_pylist()}


def read_prices(shop: Shop) -> tuple[list[str], Floats]:
    """Category (the whole path) and price of every item with both: what a price band is cut from."""
    if not shop.engine.has("items"):
        return [], np.zeros(0)
    items = shop.engine.table("items")
    rows = items.filter(items.category.notnull() & items.price.notnull())
    table = shop.engine.run(rows.select("category", price=rows.price.cast("float64")))
    return table["category"].to_pylist(), table["price"].to_numpy()
