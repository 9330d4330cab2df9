"""A record that carries a list of items becomes a header on line 0 and its items on lines 1..n."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events import values
from shopkeeper.events.props import props
from shopkeeper.events.rules import Draft, check
from shopkeeper.events.schema import BY_NAME, COLUMNS, EVENTS, MONEY

_ITEM = tuple(column.name for column in COLUMNS if column.level == "item")
_HEAD = tuple(column.name for column in COLUMNS if column.level == "head")
Rows = npt.NDArray[np.int64]


def expand(table: pa.Table, draft: Draft, derived: Counter[str]) -> tuple[pa.Table, Rows]:
    """Spread the item lists of a batch.

    Args:
        table: (n,) rows of the event table, one a record.
        draft: The batch; a record whose items cannot be read, or break a rule, gets the reason.
        derived: Counts the orders whose value was added up from their items.

    Returns:
        (m,) rows of the event table, and (m,) the record (row of `table`) that each came from.
    """
    listed = draft.has("items") & (draft.reason == "")
    if not listed.any():
        return table, np.arange(draft.n, dtype=np.int64)
    parents, lines, items = _listed(draft, np.flatnonzero(listed))
    parent, line = np.asarray(parents, dtype=np.int64), np.asarray(lines, dtype=np.int32)
    body = _item_rows(table, parent, line, items)
    _check_lines(body, parent, draft)
    single = values.nothing(draft.n)
    single[parent[line == 0]] = True
    heads = np.flatnonzero(~single)
    head_rows = _with_value(table, body, parent, draft, derived).take(pa.array(heads))
    return pa.concat_tables([head_rows, body]), np.concatenate([heads, parent])


def _listed(draft: Draft, rows: Rows) -> tuple[list[int], list[int], list[dict[str, Any]]]:
    """The items of each record: their record, their line, and themselves."""
    parents: list[int] = []
    lines: list[int] = []
    items: list[dict[str, Any]] = []
    for row in rows.tolist():
        found = _parsed(draft.columns["items"][row].as_py())
        if found is None:
            draft.fail(np.arange(draft.n) == row, "bad_items", "items")
            continue
        parents += [row] * len(found)
        lines += [0] if len(found) == 1 else list(range(1, len(found) + 1))
        items += found
    return parents, lines, items


def _check_lines(body: pa.Table, parent: Rows, draft: Draft) -> None:
    """A record with a line that breaks a rule is quarantined whole."""
    inner = Draft(len(parent), {name: values.flat(body.column(name)) for name in body.column_names}, {}, draft.kinds,
                  lined=True)
    check(inner)
    for line in np.flatnonzero(inner.reason != "").tolist():
        draft.fail(np.arange(draft.n) == parent[line], inner.reason[line], inner.where[line])


def _with_value(table: pa.Table, body: pa.Table, parent: Rows, draft: Draft, derived: Counter[str]) -> pa.Table:
    """Orders that state no value get the sum of price x quantity of their items, where every item has both."""
    worth = np.asarray(pc.multiply(pc.cast(body.column("price"), pa.float64()), body.column("quantity"))
                       .to_numpy(), dtype=np.float64)
    total = np.zeros(draft.n)
    np.add.at(total, parent, worth)  # one item without a price or a quantity makes the sum NaN
    some = np.isin(np.arange(draft.n), parent)
    fill = some & np.isfinite(total) & ~draft.has("value") & draft.kind_in(frozenset({"purchase", "refund"}))
    if not fill.any():
        return table
    derived["value_from_items"] += int(fill.sum())
    added = pc.cast(pa.array(np.round(total, 4), mask=~fill), MONEY, safe=False)
    place = table.column_names.index("value")
    return table.set_column(place, "value", pc.coalesce(table.column("value"), added))


def _parsed(cell: str) -> list[dict[str, Any]] | None:
    try:
        found = msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(found, list) or not found or not all(isinstance(item, dict) and item.get("item_id") is not None
                                                           for item in found):
        return None
    return found


def _item_rows(table: pa.Table, parent: Rows, lines: npt.NDArray[np.int32], items: list[dict[str, Any]]) -> pa.Table:
    rows = table.take(pa.array(parent))
    columns = {name: rows.column(name) for name in EVENTS.names}
    columns["line"] = pa.array(lines)
    many = pa.array(lines > 0)
    for name in _HEAD:
        columns[name] = pc.if_else(many, None, columns[name])
    names = sorted({str(name) for item in items for name in item})
    left_over = {name: pa.array([_text(item.get(name)) for item in items], pa.string()) for name in names}
    for name in _ITEM:
        cells = left_over.pop(name, pa.nulls(len(items), pa.string()))
        columns[name] = _typed(name, cells)
        left_over[name] = pc.if_else(pc.is_valid(columns[name]), None, cells)  # what could not be read is kept
    own = props(left_over, len(items))
    columns["props"] = pc.coalesce(own, pc.if_else(many, None, columns["props"]))
    return pa.table(columns, schema=EVENTS)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode("utf-8")


def _typed(name: str, array: Any) -> Any:
    kind = BY_NAME[name].type
    if kind == MONEY:
        return values.money(array)[0]
    if kind == pa.float64():
        return values.number(array)[0]
    return values.whole(array)[0] if kind == pa.int64() else values.text(array)
