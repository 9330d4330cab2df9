"""What recommending reads: who had to do with which item, when, in which basket; and what is known of the items."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import UnknownName
from shopkeeper.events.pseudonyms import GUEST, pseudonym
from shopkeeper.events.schema import SERVICE
from shopkeeper.events.sessions import sessions_of
from shopkeeper.recommend.debiasing import Exposed
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.rules import Shelf
from shopkeeper.represent.content import described
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import Engine, moment
from shopkeeper.warehouse.groups import View, members
from shopkeeper.warehouse.identity import meant
from shopkeeper.warehouse.sessions import sessions
from shopkeeper.words import say

# How much one event says about what a person wants, by the role of its kind.
WEIGHTS: Mapping[str, float] = {"interest": 0.2, "intent": 0.6, "conversion": 1.0}
FEW = ("event_id", "event", "ts", "customer_id", "anonymous_id", "session_id", "order_id", "item_id")  # `few` looks at


@dataclass(frozen=True)
class Listing:
    """What the items table says, (t,) each: ids, title, category, brand (None where nothing), price (NaN)."""

    ids: list[str]
    title: npt.NDArray[Any]
    category: npt.NDArray[Any]
    brand: npt.NDArray[Any]
    price: npt.NDArray[np.float64]

    @cached_property
    def place(self) -> dict[str, int]:
        """Item id -> its row here."""
        return {item: row for row, item in enumerate(self.ids)}

    @cached_property
    def told(self) -> npt.NDArray[np.bool_]:
        """(t,) whether a title, a category or a brand is known."""
        return np.asarray([bool(one or other or third) for one, other, third
                           in zip(self.title, self.category, self.brand, strict=True)], dtype=bool)

    def marks(self, ids: Sequence[str]) -> list[list[str]]:
        """The marks of these items (`represent.content.described`); of one that is not listed none."""
        at = [self.place.get(item, -1) for item in ids]
        title, category, brand = ([*column.tolist(), None] for column in (self.title, self.category, self.brand))
        return described([title[row] for row in at], [category[row] for row in at], [brand[row] for row in at],
                         np.append(self.price, np.nan)[np.asarray(at, dtype=np.int64)])


@dataclass(frozen=True)
class Log:
    """The log as recommending sees it.

    The rows and columns may be turned round (`turned`): who wants this item is then the same question.

    Attributes:
        customers, items: Ids <-> rows.
        interactions: Arrays over those rows, in canonical order (customer, time).
        target: (n,) rows of the strongest role that the log holds: what a recommendation is meant to bring about.
        role: That role.
        now: The shop's clock, microseconds UTC.
        codes: (n_items,) the category that an item is compared in, -1 where it has none; None where the items table
            knows too few.
        timezone: IANA zone in which days are named.
        listing: What the items table says; None where there is none.
        exposed: What was shown to whom with a logged chance; None where nothing was.
    """

    customers: Vocabulary
    items: Vocabulary
    interactions: Interactions
    target: npt.NDArray[np.bool_]
    role: str
    now: int
    codes: npt.NDArray[np.int64] | None = None
    timezone: str = "UTC"
    listing: Listing | None = None
    exposed: Exposed | None = None

    def turned(self) -> Log:
        """Items in the place of customers and customers in the place of items."""
        part = self.interactions
        round_ = Interactions(part.item, part.customer, part.when, part.basket, part.weight, part.n_items,
                              part.n_customers)
        order = np.lexsort((round_.weight, round_.item, round_.basket, round_.when, round_.customer))
        return Log(self.items, self.customers, round_.where(order), self.target[order], self.role, self.now,
                   timezone=self.timezone)


def of_items(events: Any, roles: Mapping[str, str]) -> Any:
    """Expression: the event lines of people with items, with `weight`."""
    kinds = {role: [kind for kind, plays in roles.items() if plays == role] for role in WEIGHTS}
    heard = [kind for some in kinds.values() for kind in some]
    rows = events.filter(events.item_id.notnull() & events.event.isin(heard))
    person = ibis.coalesce(rows.customer_id, rows.anonymous_id)
    rows = rows.filter(person.notnull() & ~person.startswith(GUEST))
    return rows.mutate(weight=ibis.cases(
        *((rows.event.isin(kinds[role]), WEIGHTS[role]) for role in WEIGHTS if kinds[role]), else_=0.0))


def interactions(events: Any, roles: Mapping[str, str], gap_minutes: int) -> Any:
    """Expression: one row for each event line of a person with an item: person, item_id, ts, weight, basket."""
    rows = sessions(of_items(events, roles), gap_minutes)
    return rows.select(person=ibis.coalesce(rows.customer_id, rows.anonymous_id), item_id=rows.item_id, ts=rows.ts,
                       weight=rows.weight, basket=ibis.coalesce(rows.order_id, rows.session))


def few(events: Any, roles: Mapping[str, str]) -> Any:
    """Expression: as `interactions`, with the basket null where no order and no session was given.

    For few lines at a time: sessions by silence are then cut from arrays, which spares the engine its windows.
    """
    rows = of_items(events, roles)
    return rows.select(person=ibis.coalesce(rows.customer_id, rows.anonymous_id), item_id=rows.item_id, ts=rows.ts,
                       weight=rows.weight, basket=ibis.coalesce(rows.order_id, rows.session_id),
                       event_id=rows.event_id)


def people(lines: Any) -> Any:
    """Expression: how many lines (of `few`) each person has, and the last one's time: person, n, last."""
    return lines.group_by("person").aggregate(n=lines.count().cast("int64"), last=lines.ts.max())


def tallies(events: Any, column: str, roles: Mapping[str, str], cut: int) -> Any:
    """Expression: lines by `item_id` or `person`, and their weight: id, weight, ever, recent (since `cut`)."""
    rows = few(events, roles)
    rows = rows.mutate(late=(rows.ts >= moment(cut)).cast("int64"))
    return rows.group_by([column, "weight"]).aggregate(
        ever=rows.count().cast("int64"), recent=rows.late.sum().cast("int64")).rename(id=column)


def read_log(shop: Shop) -> Log:
    """Every interaction of the shop, as arrays.

    Raises:
        UnknownName: Nobody has had to do with any item yet.
    """
    table = shop.engine.run(interactions(shop.events(), shop.config.roles, shop.config.gap_minutes))
    if table.num_rows == 0:
        raise empty_log(shop)
    items, item = _rows(table["item_id"])
    weight, when = table["weight"].to_numpy().astype(np.float32), _micros(table["ts"])
    order = np.lexsort((weight, item, when))
    customers, customer = _by_appearance(*_rows(table["person"]), order)
    _, basket = _by_appearance(*_rows(pc.binary_join_element_wise(table["person"], table["basket"], "\x1f")), order)
    made = Interactions(
        customer=customer.astype(np.int32), item=item.astype(np.int32), when=when, basket=basket, weight=weight,
        n_customers=len(customers), n_items=len(items)).sorted()
    strongest = made.weight.max()
    role = next(role for role, value in WEIGHTS.items() if np.float32(value) == strongest)
    return Log(customers, items, made, made.weight >= strongest, role, shop.now(),
               read_codes(shop, np.asarray(items.ids(), dtype=object)), shop.config.timezone, read_listing(shop),
               read_chances(shop, customers, items))


def empty_log(shop: Shop) -> UnknownName:
    """The refusal where nobody has had to do with any item yet."""
    return UnknownName(say("this log has no events of people with items."),
                       do=[say("shopkeeper ingest {path} FILE", path=str(shop.path))],
                       why=say("recommendations are learned from views, carts and purchases of items."))


def read_counts(shop: Shop, column: str, cut: int) -> tuple[Vocabulary, npt.NDArray[np.float32],
                                                            npt.NDArray[np.float32]]:
    """The weighted count of lines of each item (`item_id`) or `person`.

    Args:
        shop: An opened shop.
        column: `item_id` or `person`.
        cut: Microseconds UTC.

    Returns:
        Ids, and for each its count since `cut`, and ever.

    Raises:
        UnknownName: Nobody has had to do with any item yet.
    """
    table = shop.engine.run(tallies(shop.events(), column, shop.config.roles, cut))
    if table.num_rows == 0:
        raise empty_log(shop)
    ids, row = _rows(table["id"])
    weight = table["weight"].to_numpy()
    recent, ever = (np.bincount(row, weight * table[name].to_numpy(), minlength=len(ids)).astype(np.float32)
                    for name in ("recent", "ever"))
    return ids, recent, ever


def kind_of(category: str | None) -> str:
    """The category that an item is compared in: its path without the last of three steps or more.

    >>> kind_of("PRODUCE > TROPICAL FRUIT > BANANAS"), kind_of("Kitchen > Knives"), kind_of(None)
    ('PRODUCE > TROPICAL FRUIT', 'Kitchen > Knives', '')
    """
    path = [part.strip() for part in (category or "").split(">")]
    return " > ".join(path[:-1] if len(path) > 2 else path)


def read_codes(shop: Shop, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
    """The category code of each of these items, (n,), -1 where it has none; None where less than half have one."""
    if not shop.engine.has("items"):
        return None
    table = shop.engine.run(shop.engine.table("items").select("item_id", "category"))
    at = pc.index_in(pa.array(ids.tolist(), pa.string()), table["item_id"].combine_chunks())
    found = table["category"].combine_chunks().take(at).dictionary_encode()
    names = [kind_of(name) for name in found.dictionary.to_pylist()]
    code = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    of_name = np.array([code.get(name, -1) for name in names] + [-1], dtype=np.int64)
    codes = of_name[np.asarray(pc.fill_null(found.indices, len(names)).to_numpy(zero_copy_only=False), dtype=np.int64)]
    return codes if (codes >= 0).mean() >= 0.5 else None


def _rows(column: Any) -> tuple[Vocabulary, npt.NDArray[np.int64]]:
    """Ids in alphabetical order and the row of each cell."""
    vocabulary = Vocabulary.of(column)
    return vocabulary, vocabulary.rows(column)


def _by_appearance(ids: Vocabulary, row: npt.NDArray[np.int64],
                   order: npt.NDArray[np.int64]) -> tuple[Vocabulary, npt.NDArray[np.int64]]:
    """Ids in the order in which they first appear, and the row of each cell.

    Pseudonyms differ from shop to shop: in their own order, the same log would be sampled differently in each.
    """
    seen, first = np.unique(row[order], return_index=True)
    by = np.argsort(first)
    place = np.empty(len(seen), dtype=np.int64)
    place[by] = np.arange(len(seen))
    return Vocabulary(ids.ids(seen[by])), place[np.searchsorted(seen, row)]


def _micros(column: Any) -> npt.NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class History:
    """What one person did with which items, or who did something with one item; oldest first.

    Attributes:
        ids: (n,) item ids, or pseudonyms.
        when, weight, basket: (n,) as in `Interactions`.
    """

    ids: Any
    when: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    basket: npt.NDArray[np.int64]

    def over(self, known: Vocabulary) -> Histories:
        """The same over the rows of a vocabulary; ids that it does not hold are left out."""
        rows = known.rows(self.ids)
        keep = rows >= 0
        return Histories.single(rows[keep], when=self.when[keep], basket=self.basket[keep], weight=self.weight[keep])


def names_of(identity: str, key: bytes) -> list[str]:
    """The pseudonyms that an identity may stand for, the likeliest first.

    >>> names_of("order:7", b"k" * 32)[0]
    'order:7'
    """
    itself = [identity] if is_pseudonym(identity) else []
    return list(dict.fromkeys([*itself, pseudonym(identity, "customer_id", key),
                               pseudonym(identity, "anonymous_id", key)]))


def is_pseudonym(identity: str) -> bool:
    """Whether a name is one that the shop gave, or a guest's."""
    return identity.startswith(GUEST) or re.fullmatch(r"[ac]_[a-z2-7]{24}", identity) is not None


def read_history(shop: Shop, identity: str) -> tuple[History, str]:
    """The history of one person up to now; empty for somebody that the log does not know.

    Args:
        shop: An opened shop.
        identity: A pseudonym, or a customer or an anonymous visitor as the merchant knows them; the first of the
            three that has a history is meant.

    Returns:
        The history, and the person's pseudonym; the customer's where there is no history. A visitor who is joined to
        a customer is that customer.
    """
    names = names_of(identity, shop.keys().pseudonym)
    names = meant(shop.engine, names, shop.until) if shop.identity == "joined" else names
    events = shop.events_of(names, FEW)
    mine = events.filter(ibis.coalesce(events.customer_id, events.anonymous_id).isin(names))
    table = shop.engine.run(few(mine, shop.config.roles))
    known = set(table["person"].unique().to_pylist())
    person = next((name for name in names if name in known), names[0])
    return _history(shop, table.filter(pc.equal(table["person"], person)), "item_id"), person


def read_takers(shop: Shop, item: str) -> History:
    """Who had to do with one item up to now; empty for an item that the log does not know."""
    events = shop.events()
    return _history(shop, shop.engine.run(few(events.filter(events.item_id == item), shop.config.roles)), "person")


def read_members(shop: Shop, segment: str) -> set[str]:
    """The people of a segment.

    Raises:
        MissingData: The shop has no segments. UnknownName: It has none of that name.
    """
    zone = (shop.config.timezone, shop.manifest.first or 0, shop.manifest.last or 0)
    view = View.at(shop.events(), shop.config.roles, zone, shop.now())
    return set(shop.engine.run(members(shop.engine, segment, view))["person"].to_pylist())


def _history(shop: Shop, table: pa.Table, column: str) -> History:
    person, when = _rows(table["person"])[1], _micros(table["ts"])
    silent = pa.array(sessions_of(person, when, shop.config.gap_minutes * 60_000_000)).cast(pa.string())
    # \x1f begins no name that a source gives, so a derived one is never taken for one of these
    given = pc.coalesce(table["basket"].combine_chunks(), pc.binary_join_element_wise("\x1f", silent, ""))
    basket = _rows(pc.binary_join_element_wise(table["person"], given, "\x1f"))[1]
    by = np.lexsort((_rows(table[column])[1], basket, when))
    return History(table[column].take(pa.array(by)), when[by], table["weight"].to_numpy().astype(np.float32)[by],
                   basket[by])


def took(events: Any, roles: Mapping[str, str], ids: list[str], cut: int) -> Any:
    """Expression: how many people did at most so much with each of these items since `cut`: item_id, weight, n."""
    rows = few(events, roles)
    most = rows.filter(rows.item_id.isin(ids), rows.ts >= moment(cut)).group_by(["person", "item_id"]).aggregate(
        weight=rows.weight.max())
    return most.group_by(["item_id", "weight"]).aggregate(n=most.count().cast("int64"))


def lately(events: Any, roles: Mapping[str, str], cut: int) -> Any:
    """Expression: how many people did anything with an item since `cut`: n."""
    rows = few(events, roles)
    return rows.filter(rows.ts >= moment(cut)).aggregate(n=rows.person.nunique().cast("int64"))


def read_shares(shop: Shop, ids: list[str], within: int,
                days: int) -> tuple[dict[str, npt.NDArray[np.float64]], int]:
    """The base rate of each item.

    Args:
        shop: An opened shop.
        ids: (r,) item ids.
        within: Days over which what people did is counted.
        days: Days over which people are counted.

    Returns:
        Role -> (r,) the share of people who did that with the item, or something stronger; and how many people.
    """
    now, roles = shop.now(), shop.config.roles
    people_ = shop.engine.run(lately(shop.events(), roles, now - days * DAY))["n"][0].as_py() or 0
    rows = shop.engine.run(took(shop.events(), roles, ids, now - within * DAY)).to_pylist()
    return {role: np.array([sum(row["n"] for row in rows if row["item_id"] == name and row["weight"] >= least) /
                            max(1, people_) for name in ids]) for role, least in WEIGHTS.items()}, people_


def last_prices(events: Any) -> Any:
    """Expression: the last price at which each item was seen, and when: item_id, price, ts."""
    rows = events.filter(events.item_id.notnull() & events.price.notnull())
    last = rows.group_by("item_id").aggregate(ts=rows.ts.max())
    both = rows.inner_join(last, ["item_id", "ts"])
    return both.group_by("item_id").aggregate(price=both.price.max(), ts=both.ts.max())


def read_shelf(shop: Shop, ids: npt.NDArray[Any]) -> tuple[Shelf, npt.NDArray[Any]]:
    """What is known of these items, and their titles; (n,) each, None or NaN where nothing is."""
    title, category, brand, price = read_listed(shop, ids)
    if np.isnan(price).any():
        price = np.where(np.isnan(price), read_seen_prices(shop.engine, shop.events(), ids)[0], price)
    return Shelf(ids, category, brand, price, read_stocked(shop, ids)), title


def read_listed(shop: Shop, ids: npt.NDArray[Any]) -> tuple[Any, Any, Any, npt.NDArray[np.float64]]:
    """Title, category, brand and price of these items as the items table has them; None or NaN where it does not."""
    if not shop.engine.has("items"):
        title, category, brand = (np.full(len(ids), None, dtype=object) for _ in range(3))
        return title, category, brand, np.full(len(ids), np.nan)
    items = shop.engine.table("items")
    table = shop.engine.run(items.select("item_id", "title", "category", "brand", "price"))
    at = pc.index_in(pa.array(ids.tolist(), pa.string()), table["item_id"].combine_chunks())
    title, category, brand = (np.asarray(table[name].combine_chunks().take(at).to_pylist(), dtype=object)
                              for name in ("title", "category", "brand"))
    return title, category, brand, _floats(table["price"].combine_chunks().take(at))


def read_listing(shop: Shop) -> Listing | None:
    """The items table; None where there is none."""
    if not shop.engine.has("items"):
        return None
    table = shop.engine.run(shop.engine.table("items").select("item_id", "title", "category", "brand", "price"))
    title, category, brand = (np.asarray([*table[name].to_pylist(), None], dtype=object)[:-1]
                              for name in ("title", "category", "brand"))
    return Listing(table["item_id"].to_pylist(), title, category, brand, _floats(table["price"].combine_chunks()))


def read_seen_prices(engine: Engine, events: Any,
                     ids: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The last price that these events have of each of these items, NaN where none; and when, microseconds UTC."""
    seen = engine.run(last_prices(events))
    at = pc.index_in(pa.array(ids.tolist(), pa.string()), seen["item_id"].combine_chunks())
    when = pc.fill_null(seen["ts"].combine_chunks().cast(pa.int64()).take(at), np.iinfo(np.int64).min)
    return (_floats(seen["price"].combine_chunks().take(at)),
            np.asarray(when.to_numpy(zero_copy_only=False), dtype=np.int64))


def read_stocked(shop: Shop, ids: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Which of these items have stock on hand, by the stock table; None where there is none."""
    if not shop.engine.has("stock"):
        return None
    stock = shop.engine.run(shop.engine.table("stock").select("item_id", "on_hand"))
    at = pc.index_in(pa.array(ids.tolist(), pa.string()), stock["item_id"].combine_chunks())
    return np.asarray(np.nan_to_num(_floats(stock["on_hand"].combine_chunks().take(at)), nan=0.0) > 0)


def _floats(column: Any) -> npt.NDArray[np.float64]:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def exposed(events: Any, experiment: str) -> Any:
    """Expression: whom the service showed a list in an experiment: person, arm, arms (how many they saw), first."""
    rows = _shown(events, experiment)
    return rows.group_by("person").aggregate(arm=rows.treatment.min(), arms=rows.treatment.nunique().cast("int64"),
                                             first=rows.ts.min())


def followed(events: Any, roles: Mapping[str, str], experiment: str, outcome: str, within: int) -> Any:
    """Expression: who of the exposed did it within so many days of their first list: person.

    Args:
        events: The event table.
        roles: Kind -> role.
        experiment: Its name.
        outcome: `purchase`: a kind of the role conversion; `click`: one of the role interest that carries the
            `request_id` of a list of the experiment.
        within: Days.
    """
    role = "conversion" if outcome == "purchase" else "interest"
    done = events.filter(events.event.isin([kind for kind, plays in roles.items() if plays == role]))
    if outcome == "click":
        done = done.semi_join(_shown(events, experiment).select("request_id").distinct(), "request_id")
    done = done.select(person=ibis.coalesce(done.customer_id, done.anonymous_id), at=done.ts)
    both = exposed(events, experiment).inner_join(done, "person")
    return both.filter((both.at > both["first"]) & (both.at <= both["first"] + ibis.interval(days=within))).select(
        "person").distinct()


def _shown(events: Any, experiment: str) -> Any:
    rows = events.filter(events.event == "view_item_list", events.source == SERVICE, events.line == 0,
                         events.campaign_id == experiment, events.treatment.notnull())
    return rows.mutate(person=ibis.coalesce(rows.customer_id, rows.anonymous_id))


def read_exposed(shop: Shop, experiment: str, outcome: str, within: int) -> pa.Table:
    """Whom the service showed a list in an experiment, in the order of their first one.

    Returns:
        person, arm, arms, first (microseconds UTC), converted.
    """
    people_ = shop.engine.run(exposed(shop.events(), experiment))
    done = shop.engine.run(followed(shop.events(), shop.config.roles, experiment, outcome, within))
    found = people_.set_column(people_.column_names.index("first"), "first", people_["first"].cast(pa.int64()))
    return found.append_column("converted", pc.is_in(found["person"], done["person"].combine_chunks())).sort_by(
        [("first", "ascending"), ("person", "ascending")])


def chances(events: Any) -> Any:
    """Expression: the items of lists that were shown with a logged chance: person, item_id, ts, position, request_id,
    chance."""
    rows = events.filter(events.event == "view_item_list", events.item_id.notnull(), events.propensity > 0,
                         events.propensity <= 1)
    return rows.select(person=ibis.coalesce(rows.customer_id, rows.anonymous_id), item_id=rows.item_id, ts=rows.ts,
                       position=ibis.coalesce(rows.position, 1).cast("int64"), request_id=rows.request_id,
                       chance=rows.propensity)


def answering(events: Any, roles: Mapping[str, str]) -> Any:
    """Expression: which items of which requests somebody turned to: request_id, item_id."""
    rows = of_items(events, roles)
    return rows.filter(rows.request_id.notnull()).select("request_id", "item_id").distinct()


def read_chances(shop: Shop, customers: Vocabulary, items: Vocabulary) -> Exposed | None:
    """What was shown to these people with a logged chance; None where nothing was."""
    shown = shop.engine.run(chances(shop.events()))
    customer, item = customers.rows(shown["person"]), items.rows(shown["item_id"])
    known = (customer >= 0) & (item >= 0)
    if not known.any():
        return None
    turned = shop.engine.run(answering(shop.events(), shop.config.roles))
    keys = [pc.binary_join_element_wise(table["request_id"], table["item_id"], "\x1f").combine_chunks()
            for table in (shown, turned)]
    clicked = np.asarray(pc.is_in(keys[0], keys[1], skip_nulls=True), dtype=bool)
    made = Exposed(customer, item, _micros(shown["ts"]), np.asarray(shown["position"], dtype=np.int64),
                   np.asarray(shown["chance"], dtype=np.float64), clicked)
    by = np.lexsort((made.position, made.item, made.when, made.customer))
    return made.where(by[known[by]])
