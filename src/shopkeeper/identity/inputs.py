"""What the room reads: pairs of ids in the log, the table of joins, and how many events find a customer by it."""

from __future__ import annotations

import re
from typing import Any

import ibis
import pyarrow as pa

from shopkeeper.events.pseudonyms import GUEST, pseudonym
from shopkeeper.shop import Shop
from shopkeeper.warehouse.identity import FACTS, owners, pairs
from shopkeeper.warehouse.tables import declared


def visitor(shop: Shop, identity: str) -> str:
    """The pseudonym of a visitor: of an id as the log has it, or of a pseudonym itself."""
    known = re.fullmatch(r"a_[a-z2-7]{24}", identity)
    return identity if known else pseudonym(identity, "anonymous_id", shop.keys().pseudonym)


def visitors(events: Any) -> Any:
    """Expression: one row: visitors' ids, and events that carry one and no customer."""
    some = events.filter(events.line == 0, events.anonymous_id.notnull(), ~events.anonymous_id.startswith(GUEST))
    return some.aggregate(ids=some.anonymous_id.nunique(),
                          events=some.customer_id.isnull().sum().fill_null(0).cast("int64"))


def shared(joins: Any, n: int) -> Any:
    """Expression: the ids under which most customers were seen, several at least."""
    found = joins.group_by("anonymous_id").aggregate(customers=joins.count().cast("int64"),
                                                     events=joins.events.sum().cast("int64"))
    return found.filter(found.customers > 1).order_by([found.customers.desc(), found.anonymous_id]).limit(n)


def shapes(joins: Any) -> Any:
    """Expression: one row: ids of one customer, ids of several, joins undone by hand."""
    found = joins.group_by("anonymous_id").aggregate(_n=joins.count().cast("int64"))
    several = found.aggregate(shared=(found._n > 1).sum().fill_null(0).cast("int64"))
    undone = joins.aggregate(undone=(~joins.joined).sum().fill_null(0).cast("int64"))
    sole = owners(joins)
    return sole.aggregate(sole=sole.count().cast("int64")).cross_join(several).cross_join(undone)


def read_pairs(shop: Shop) -> pa.Table:
    """The pairs of ids that the log has, as `facts/identity`, all joined."""
    found = pairs(shop.events(joined=False)).mutate(joined=ibis.literal(True), by=ibis.literal("log"))
    return _sorted(shop.engine.run(found))


def read_joins(shop: Shop) -> pa.Table | None:
    """The table of joins; None where there is none yet."""
    return _sorted(shop.engine.run(shop.engine.table(FACTS))) if shop.engine.has(FACTS) else None


def read_visitors(shop: Shop) -> dict[str, int]:
    """`ids`, `events`: see `visitors`."""
    return _row(shop, visitors(shop.events(joined=False)))


def read_shapes(shop: Shop) -> dict[str, int]:
    """`sole`, `shared`, `undone`: see `shapes`."""
    return _row(shop, shapes(_joins(shop)))


def read_shared(shop: Shop, n: int) -> pa.Table:
    """See `shared`."""
    return shop.engine.run(shared(_joins(shop), n))


def read_found(shop: Shop) -> int:
    """How many events of visitors without a customer find one by the joins."""
    before, after = (_row(shop, visitors(shop.events(joined=joined)))["events"] for joined in (False, True))
    return before - after


def _joins(shop: Shop) -> Any:
    """The table of joins, or what the log would make of it."""
    if shop.engine.has(FACTS):
        return shop.engine.table(FACTS)
    return pairs(shop.events(joined=False)).mutate(joined=ibis.literal(True), by=ibis.literal("log"))


def _row(shop: Shop, expr: Any) -> dict[str, int]:
    row: dict[str, int] = shop.engine.run(expr).to_pylist()[0]
    return row


def _sorted(table: pa.Table) -> pa.Table:
    return table.select(declared(FACTS).names).cast(declared(FACTS)).sort_by(
        [("anonymous_id", "ascending"), ("customer_id", "ascending")])
