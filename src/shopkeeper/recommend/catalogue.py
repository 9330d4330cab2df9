"""What is known of every item, in memory: as the tables have it, with the changes that were acknowledged since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.recommend.inputs import Listing, last_prices
from shopkeeper.recommend.rules import Shelf
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import Engine

Change = tuple[int, str, str, Sequence[Mapping[str, Any]]]  # number, table, put/patch/delete, rows


class Listed(NamedTuple):
    """A row of the items table, as far as an answer shows it."""

    title: str | None
    category: str | None
    brand: str | None
    price: float | None


_NOTHING = Listed(None, None, None, None)


class Catalogue:
    """The items and stock tables and the last prices of the log. `shelf` lays out what a ranking needs.

    Attributes:
        tables: Which of the tables `items` and `stock` the shop has.
    """

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self._listed: dict[str, Listed] = {}
        self._stocked: set[str] = set()
        self._seen: dict[str, tuple[int, float]] | None = None  # item -> when its last price was seen, and that price
        self._files: dict[str, str] = {}
        self._changed = False  # whether changes were laid over the tables

    @classmethod
    def read(cls, shop: Shop, before: Catalogue | None = None, fresh: Engine | None = None) -> Catalogue:
        """The tables as a view of the shop has them.

        Args:
            shop: The view.
            before: What an earlier view gave; it is left as it is, and what it says of prices is taken over.
            fresh: An engine over the events that came since then; None for all.
            """
        none_new = fresh is not None and not fresh.manifest.segments
        made = cls()
        made._files = {name: shop.manifest.tables[name] for name in ("items", "stock") if shop.engine.has(name)}
        if before is not None and not before._changed and made._files == before._files and (
                before._seen is None or none_new):
            return before
        if before is None or before._changed or made._files != before._files:
            made._listed, made._stocked, made.tables = _items(shop), _stocked(shop), set(made._files)
        else:
            made._listed, made._stocked, made.tables = before._listed, before._stocked, before.tables
        if before is not None and before._seen is not None:
            made._seen = dict(before._seen) if fresh is not None else {}
            made._take_prices(fresh or shop.engine, shop.events(engine=fresh))
        return made

    def read_prices(self, shop: Shop) -> None:
        """Read the last price of every item from the whole log, if that was not done yet."""
        if self._seen is None:
            self._take_prices(shop.engine, shop.events())

    def apply(self, change: Change) -> list[str]:
        """Lay a change over the tables; gives the items that it is about."""
        _, table, what, rows = change
        self._changed = True
        items = [str(row["item_id"]) for row in rows]
        if what != "delete":
            self.tables.add(table)
        for item, row in zip(items, rows, strict=True):
            if table == "items":
                self._list(item, what, row)
            elif what == "delete" or (what == "put" or row.get("on_hand") is not None):
                left = float(row.get("on_hand") or 0.0) if what != "delete" else 0.0
                (self._stocked.add if left > 0 else self._stocked.discard)(item)
        return items

    def _list(self, item: str, what: str, row: Mapping[str, Any]) -> None:
        if what == "delete":
            self._listed.pop(item, None)
            return
        price = row.get("price")
        said = Listed(row.get("title"), row.get("category"), row.get("brand"), None if price is None else float(price))
        if what == "patch":
            before = self._listed.get(item, _NOTHING)
            said = Listed(_over(before.title, said.title), _over(before.category, said.category),
                          _over(before.brand, said.brand), before.price if said.price is None else said.price)
        self._listed[item] = said

    def lacks_prices(self, ids: Sequence[str]) -> bool:
        """Whether the items table lacks the price of any of these, so that the log must be asked."""
        return any(self._listed.get(item, _NOTHING).price is None for item in ids)

    def price(self, item: str) -> float:
        """The price of an item: of the table, else the last one seen; NaN where neither says one."""
        price = self._listed.get(item, _NOTHING).price
        if price is not None:
            return price
        return (self._seen or {}).get(item, (0, np.nan))[1]

    def listing(self) -> Listing | None:
        """The items table as it is now; None where there is none. Equal to `inputs.read_listing` but for the order."""
        if "items" not in self.tables:
            return None
        rows = [*self._listed.values(), _NOTHING]
        title, category, brand = (np.asarray([one[place] for one in rows], dtype=object)[:-1] for place in range(3))
        price = np.asarray([np.nan if one.price is None else one.price for one in rows], dtype=np.float64)[:-1]
        return Listing(list(self._listed), title, category, brand, price)

    def shelf(self, ids: Sequence[str]) -> tuple[Shelf, npt.NDArray[Any]]:
        """What is known of these items, and their titles; equal to `inputs.read_shelf`."""
        n = len(ids)
        title, category, brand, names = (np.full(n, None, dtype=object) for _ in range(4))
        names[:] = ids
        listed = [self._listed.get(item, _NOTHING) for item in ids]
        title[:], category[:], brand[:] = ([one[place] for one in listed] for place in range(3))
        price = np.asarray([self.price(item) for item in ids], dtype=np.float64)
        stocked = np.asarray([item in self._stocked for item in ids], dtype=bool) if "stock" in self.tables else None
        return Shelf(names, category, brand, price, stocked), title

    def put_into(self, shelf: Shelf, titles: npt.NDArray[Any], items: Sequence[str]) -> Shelf:
        """The shelf with these items as they are now; its arrays are changed in place."""
        for item in items:
            row = shelf.place.get(item, -1)
            if row < 0:
                continue
            listed = self._listed.get(item, _NOTHING)
            titles[row], shelf.category[row], shelf.brand[row] = listed.title, listed.category, listed.brand
            shelf.price[row] = self.price(item)
            if shelf.in_stock is not None:
                shelf.in_stock[row] = item in self._stocked
        stocked = shelf.in_stock
        if stocked is None and "stock" in self.tables:
            stocked = np.asarray([item in self._stocked for item in shelf.ids.tolist()], dtype=bool)
        made = Shelf(shelf.ids, shelf.category, shelf.brand, shelf.price, stocked)
        made.__dict__["place"] = shelf.place  # the ids are the same; what was made of categories and brands is not
        return made

    def _take_prices(self, engine: Engine, events: Any) -> None:
        table = engine.run(last_prices(events))
        seen = self._seen or {}
        columns = (table["item_id"].to_pylist(), table["ts"].cast(pa.int64()).to_pylist(),
                   table["price"].cast(pa.float64()).to_pylist())
        for item, when, price in zip(*columns, strict=True):
            before = seen.get(item)
            if before is None or (when, price) > before:
                seen[item] = (when, price)
        self._seen = seen


def _over(before: str | None, said: str | None) -> str | None:
    return before if said is None else said


def _items(shop: Shop) -> dict[str, Listed]:
    if not shop.engine.has("items"):
        return {}
    table = shop.engine.run(shop.engine.table("items").select("item_id", "title", "category", "brand", "price"))
    columns = (table["title"].to_pylist(), table["category"].to_pylist(), table["brand"].to_pylist(),
               table["price"].cast(pa.float64()).to_pylist())
    return {item: Listed(*row) for item, *row in zip(table["item_id"].to_pylist(), *columns, strict=True)}


def _stocked(shop: Shop) -> set[str]:
    if not shop.engine.has("stock"):
        return set()
    table = shop.engine.run(shop.engine.table("stock").select("item_id", "on_hand"))
    return {item for item, left in zip(table["item_id"].to_pylist(), table["on_hand"].to_pylist(), strict=True)
            if left is not None and left > 0}
