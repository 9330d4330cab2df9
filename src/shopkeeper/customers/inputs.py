"""What this room reads: what each customer did on which day, how they first came, and what one of them did in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.customers.methods.base import DAY, Days, Floats, Ints
from shopkeeper.customers.methods.elasticity import Looked
from shopkeeper.errors import UnknownName
from shopkeeper.events.pseudonyms import pseudonym
from shopkeeper.shop import Shop
from shopkeeper.warehouse.calendar import bucket, local_times
from shopkeeper.warehouse.channels import channel
from shopkeeper.warehouse.conditions import Condition
from shopkeeper.warehouse.conditions import read as parse
from shopkeeper.warehouse.groups import COLUMNS, UNIT, View, bought_days, facts, members, of_people, saved
from shopkeeper.words import say


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


def view_of(shop: Shop) -> View:
    """What a rule is asked of."""
    return View.at(shop.events(), shop.config.roles, zone_of(shop), shop.now())


def read_members(shop: Shop, segment: str) -> list[str]:
    """The people of a segment, in order.

    Raises:
        MissingData: The shop has no segments. UnknownName: It has none of that name.
    """
    return sorted(shop.engine.run(members(shop.engine, segment, view_of(shop)))["person"].to_pylist())


def counted(rows: Any, condition: Condition) -> Any:
    """Expression: of how many people a condition holds, how many of them bought, and their money: one row."""
    mine = rows.filter(condition.holds(rows))
    return mine.aggregate(people=mine.count().cast("int64"), money=mine.money.sum().fill_null(0.0),
                          customers=(mine.purchases > 0).cast("int64").sum().fill_null(0).cast("int64"))


def count_people(shop: Shop, condition: Condition) -> tuple[int, int]:
    """Of how many people a condition holds, and how many of them are customers."""
    row = shop.engine.run(counted(facts(view_of(shop)), condition)).to_pylist()[0]
    return row["people"], row["customers"]


def read_saved(shop: Shop, names: Sequence[str]) -> pa.Table:
    """name, people, customers and money of each segment that was saved, in this order; asked in one go."""
    rules = saved(shop.engine)
    rows = facts(view_of(shop))
    found = [counted(rows, parse(rules[name], COLUMNS)).mutate(name=ibis.literal(name)) for name in names]
    return shop.engine.run(found[0].union(*found[1:]) if len(found) > 1 else found[0])


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


def looked(events: Any, roles: Mapping[str, str]) -> Any:
    """Expression: what people saw and bought at which price: person, item_id, price, looks, bought."""
    kinds = {role: [kind for kind, plays in roles.items() if plays == role] for role in ("interest", "conversion")}
    rows = of_people(events).filter(lambda t: t.item_id.notnull() & (t.price > 0))
    rows = rows.filter(rows.event.isin([*kinds["interest"], *kinds["conversion"]]))
    rows = rows.mutate(sold=rows.event.isin(kinds["conversion"]).cast("int64"))
    return rows.group_by("person", "item_id", "price").aggregate(
        looks=(1 - rows.sold).sum().cast("int64"), bought=rows.sold.sum().cast("int64"))


def read_looked(shop: Shop, people: Sequence[str]) -> tuple[Looked, list[str]]:
    """What some people saw and bought at which price, and their names by row; who did neither is not among them."""
    wanted = ibis.memtable(pa.table({"wanted": pa.array(people, pa.string())}))
    rows = looked(shop.events(), shop.config.roles)
    table = shop.engine.run(rows.semi_join(wanted, [rows.person == wanted.wanted]).order_by(
        ["person", "item_id", "price"]))
    names, who = np.unique(np.asarray(table["person"].to_pylist(), dtype=str), return_inverse=True)
    item = np.unique(np.asarray(table["item_id"].to_pylist(), dtype=str), return_inverse=True)[1]
    looks, bought = (table[name].to_numpy().astype(np.float64) for name in ("looks", "bought"))
    price = table["price"].cast(pa.float64()).to_numpy()
    return Looked.of(who.astype(np.int64), item.astype(np.int64), price, looks, bought), names.tolist()


def read_attributes(shop: Shop, name: str) -> dict[str, Any]:
    """What the customers table says of one person, by its own names; nothing where there is no such table."""
    if not shop.engine.has("customers"):
        return {}
    people = shop.engine.table("customers")
    found = shop.engine.run(people.filter(people.customer_id == name)).to_pylist()
    return dict(json.loads(found[0]["props"])) if found and found[0]["props"] else {}


def read_prices(shop: Shop) -> tuple[list[str], Floats]:
    """Category (the whole path) and price of every item with both: what a price band is cut from."""
    if not shop.engine.has("items"):
        return [], np.zeros(0)
    items = shop.engine.table("items")
    rows = items.filter(items.category.notnull() & items.price.notnull())
    table = shop.engine.run(rows.select("category", price=rows.price.cast("float64")))
    return table["category"].to_pylist(), table["price"].to_numpy()
