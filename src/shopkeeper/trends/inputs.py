"""What trends reads: counts by minute, kind, channel and category, and who did one thing when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.shop import Shop
from shopkeeper.trends import settings
from shopkeeper.trends.rules import Series
from shopkeeper.warehouse.channels import channel
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.manifest import Segment
from shopkeeper.warehouse.shelves import top_category
from shopkeeper.warehouse.traffic import counted, labelled

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MINUTE = 60_000_000  # microseconds

OTHER = "other"      # categories that are not told apart; a category of this very name is among them
MOST = 1e15          # what one line may add to a sum of money, in units of 0.0001; more is a mistake of the sender


def sizes(items: Any, n: int) -> Any:
    """Expression: the top categories with the most items, the first n; by name where they are of one size."""
    rows = top_category(items)
    found = rows.group_by("category").aggregate(items=rows.count().cast("int64"))
    return found.order_by([found["items"].desc(), found.category]).limit(n)


def shelved(items: Any, told: Collection[str]) -> Any:
    """Expression: item_id, category; a category that is not told apart is `other`."""
    rows = top_category(items)
    return rows.mutate(category=ibis.ifelse(rows.category.isin(list(told)), rows.category, OTHER))


def cells(events: Any, shelf: Any | None, unit: str = "m", *, each_item: bool = False) -> Any:
    """Expression: counts of the event table by `at` (begin of the minute or hour, UTC), kind, channel, category, human.

    Every row of the event table counts in one cell, so sums over cells are sums over events, in whatever parts they
    come. The columns: `events` (rows with line 0), `lines` (rows with an item), `value` (of orders: what stands on
    line 0) and `sold` (price x quantity of lines with an item), both in units of 0.0001 of the currency.

    Args:
        events: The event table, or a part of it.
        shelf: item_id, category; None: no category is known.
        unit: `m` or `h`.
        each_item: One cell for each item, with `item_id`.
    """
    rows = events.select(
        "line", "item_id", kind=events.event, channel=channel(events), at=events.ts.truncate(unit),
        human=counted(events).cast("int64"),
        value=events.value.cast("float64").fill_null(0.0),
        sold=(events.price.cast("float64") * events.quantity.fill_null(1.0)).fill_null(0.0))
    if shelf is None:
        rows = rows.mutate(category=ibis.literal(""))
    else:
        rows = rows.left_join(shelf.select(on_shelf=shelf.item_id, category=shelf.category), [("item_id", "on_shelf")])
        rows = rows.mutate(category=rows.category.fill_null(""))
    by = ["at", "kind", "channel", "category", "human", *(["item_id"] if each_item else [])]
    return rows.group_by(by).aggregate(
        events=(rows.line == 0).cast("int64").sum().cast("int64"),
        lines=rows.item_id.notnull().cast("int64").sum().cast("int64"),
        value=_units(rows.value).sum(),
        sold=ibis.ifelse(rows.item_id.notnull(), _units(rows.sold), 0.0).sum())


def _units(money: Any) -> Any:
    """Money in whole units of 0.0001, as a float: its sums are exact, in any order, up to 2^53 of them."""
    amount = money * 10_000.0
    return ibis.cases((amount > MOST, MOST), (amount < -MOST, -MOST), else_=amount).round().cast("float64")


def doings(events: Any, kind: str) -> Any:
    """Expression: who did a thing when, by anybody, bots too: person, ts, event_id; guests' orders are no person."""
    rows = events.filter(events.event == kind, events.line == 0)
    person = ibis.coalesce(rows.customer_id, rows.anonymous_id)
    rows = rows.filter(person.notnull() & ~person.startswith(GUEST))
    return rows.select(person=ibis.coalesce(rows.customer_id, rows.anonymous_id), ts=rows.ts, event_id=rows.event_id)


def of_series(rows: Any, series: Series, human_only: bool = True) -> Any:
    """Expression: what a series counts, by `at`: at, amount (events, or money in units of 0.0001)."""
    for name in ("kind", "channel", "category"):
        wanted = getattr(series, name)
        if wanted is not None:
            rows = rows.filter(rows[name] == wanted)
    if human_only:
        rows = rows.filter(rows.human == 1)
    return rows.group_by("at").aggregate(amount=rows[series.column].sum().cast("float64"))


def read_told(engine: Engine, n: int) -> tuple[str, ...]:
    """The top categories that are told apart, by the items table; none where there is no such table."""
    if not engine.has("items"):
        return ()
    return tuple(name for name in engine.run(sizes(engine.table("items"), n))["category"].to_pylist() if name != OTHER)


def read_shelf(engine: Engine, told: Collection[str]) -> dict[str, str]:
    """Item -> its category, `other` where it is not told apart; items without one are left out."""
    if not engine.has("items"):
        return {}
    table = engine.run(shelved(engine.table("items"), told))
    return dict(zip(table["item_id"].to_pylist(), table["category"].to_pylist(), strict=True))


def part(shop: Shop, segments: Sequence[Segment]) -> Engine:
    """An engine over some of the shop's segments, and all of its tables."""
    return type(shop.engine)(shop.path, replace(shop.manifest, segments=tuple(segments)))


def read_cells(engine: Engine, told: Collection[str], start: int | None = None, until: int | None = None,
               unit: str = "m") -> pa.Table:
    """The table of `cells` over a span (microseconds UTC; None is open)."""
    shelf = shelved(engine.table("items"), told) if engine.has("items") else None
    return engine.run(cells(labelled(engine, engine.events(start, until)), shelf, unit))


def read_cells_of(engine: Engine, items: Sequence[str], start: int | None = None) -> pa.Table:
    """The cells of some items, one for each item, without a category."""
    wanted = ibis.memtable(pa.table({"wanted": pa.array(items, pa.string())}))
    events = labelled(engine, engine.events(start))
    events = events.semi_join(wanted, [events.item_id == wanted.wanted])
    return engine.run(cells(events, None, each_item=True))


def read_doings(shop: Shop, kind: str, start: int | None, until: int | None) -> tuple[list[str], Ints, Ints]:
    """Who did a thing when, in order of time.

    Returns:
        Names of persons; (n,) row of the person; (n,) microseconds UTC.
    """
    ends = [end for end in (until, shop.until) if end is not None]
    rows = doings(shop.engine.events(start, min(ends, default=None)), kind)
    table = shop.engine.run(rows.order_by(["ts", "event_id"]))
    coded = table["person"].combine_chunks().dictionary_encode()
    return (coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64),
            table["ts"].cast(pa.int64()).to_numpy())


def read_series(shop: Shop, series: Series, width: int, start: int, until: int) -> Floats:
    """What a series of the log counts in each bucket, human traffic only.

    Args:
        shop: An opened shop.
        series: What is counted.
        width: Minutes of a bucket; a divisor of 60.
        start, until: Microseconds UTC, on borders of buckets.

    Returns:
        (T,) amounts, zeros included; money in the shop's currency.
    """
    told = read_told(shop.engine, settings.read(shop.path).categories) if series.category is not None else ()
    end = until if shop.until is None else min(until, shop.until)
    shelf = shelved(shop.engine.table("items"), told) if told else None
    found = cells(labelled(shop.engine, shop.engine.events(start, end)), shelf, "h" if width == 60 else "m")
    table = shop.engine.run(of_series(found, series))
    place = (table["at"].cast(pa.int64()).to_numpy() - start) // (width * MINUTE)
    counts: Floats = np.zeros((until - start) // (width * MINUTE))
    np.add.at(counts, place, table["amount"].to_numpy())
    return counts / series.unit
