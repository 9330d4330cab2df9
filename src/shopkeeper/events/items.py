"""A record that carries a list of items becomes a header on line 0 and its items on lines 1..n."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events import values
from shopkeeper.events.props import props, together
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.rules import BACK, UNSIGNED, Draft, check
from shopkeeper.events.schema import BY_NAME, COLUMNS, EVENTS, HEAD_COLUMNS, ITEM_COLUMNS, MONEY
from shopkeeper.events.separators import NumberRule, written

MOST_ITEMS = 10_000        # items of one record
MOST_REPEATED = 8 << 20    # bytes of text of one record that its item lines repeat, all lines together
_PART_BYTES = 2 << 20      # bytes of item lists that are spread at once
_REPEATED = tuple(column.name for column in COLUMNS
                  if column.level == "event" and column.type == pa.string() and column.name != "props")
_PRICED = frozenset({"purchase", "refund"})
Rows = npt.NDArray[np.int64]

_DECODER = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode()))  # numbers as they were written


@dataclass(frozen=True)
class Spread:
    """The rows of a batch, item lists spread out.

    Attributes:
        rows: (m,) rows of the event table.
        parent: (m,) the record (row of the batch) that each came from.
        apart: (m,) text: what stands in `props` of this row by the list's doing, for the digest; null for none.
    """

    rows: pa.Table
    parent: Rows
    apart: Any


@dataclass(frozen=True)
class _Lines:
    """Item lines of a batch: the record (row) and the line of each, and the item itself."""

    parent: Rows
    line: npt.NDArray[np.int32]
    items: list[dict[str, Any]]

    @property
    def many(self) -> Any:
        """(m,) Which lines are one of several."""
        return pa.array(self.line > 0)


def in_parts(batch: RawBatch, column: str | None) -> Iterator[RawBatch]:
    """A batch cut so that the item lists of each part, spread out, fit into memory.

    Args:
        batch: Of a reader.
        column: The column of the source with the item lists; None for none.
    """
    if column is None or column not in batch.table.column_names or batch.table.num_rows == 0:
        yield batch
        return
    sizes = pc.fill_null(pc.binary_length(values.text(batch.table.column(column))), 0).to_numpy(zero_copy_only=False)
    part = np.cumsum(sizes, dtype=np.int64) // _PART_BYTES
    starts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
    for start, end in pairwise(starts):
        yield RawBatch(batch.table.slice(start, end - start), batch.line[start:end],
                       batch.broken if end == len(part) else [])


def expand(table: pa.Table, draft: Draft, derived: Counter[str]) -> Spread:
    """Spread the item lists of a batch.

    An item that is alone stands on line 0 and takes over what the record itself says of an item; of several, each has
    a line, and what the record itself says of an item is kept in the header's props.

    Args:
        table: (n,) rows of the event table, one a record.
        draft: The batch; a record whose items cannot be read, or break a rule, gets the reason.
        derived: Counts the orders whose value was added up from their items.
    """
    listed = draft.has("items") & (draft.reason == "")
    lines = _listed(draft, np.flatnonzero(listed)) if listed.any() else None
    if lines is None or not lines.items:
        return Spread(table, np.arange(draft.n, dtype=np.int64), pa.nulls(draft.n, pa.string()))
    columns, left_over = _cells(lines, draft)
    table = _with_value(table, columns, lines.parent, draft, derived)
    body, displaced = _item_rows(table, lines, columns, left_over)
    _check_lines(body, lines.parent, draft)
    single = values.nothing(draft.n)
    single[lines.parent[lines.line == 0]] = True
    heads = np.flatnonzero(~single)
    head, head_apart = _heads(table, heads, lines.parent[lines.line > 0])
    apart = together(displaced, props(left_over, len(lines.items)), "items.")
    return Spread(pa.concat_tables([head, body]), np.concatenate([heads, lines.parent]),
                  pa.concat_arrays([head_apart, apart]))


def _listed(draft: Draft, rows: Rows) -> _Lines:
    """The items of the records in these rows; a list that is none, or too large, is the record's reason."""
    found: dict[int, list[dict[str, Any]]] = {}
    broken, large = values.nothing(draft.n), values.nothing(draft.n)
    for row, cell in zip(rows.tolist(), draft.columns["items"].take(pa.array(rows)).to_pylist(), strict=True):
        listed = _parsed(cell)
        if listed is None:
            broken[row] = True
        elif len(listed) > MOST_ITEMS:
            large[row] = True
        else:
            found[row] = listed
    count = np.zeros(draft.n, dtype=np.int64)
    count[list(found)] = [len(items) for items in found.values()]
    large |= (count > 1) & (count * _repeated(draft) > MOST_REPEATED)
    draft.fail(broken, "bad_items", "items")
    draft.fail(large, "too_many_items", "items")
    kept = [row for row in found if not large[row]]
    line = [np.arange(1, count[row] + 1) if count[row] > 1 else np.zeros(1) for row in kept]
    return _Lines(np.repeat(np.array(kept, dtype=np.int64), count[kept]),
                  np.concatenate([*line, np.zeros(0)]).astype(np.int32), [item for row in kept for item in found[row]])


def _repeated(draft: Draft) -> Rows:
    """(n,) bytes of text that every line of a record repeats."""
    out = np.zeros(draft.n, dtype=np.int64)
    for name in _REPEATED:
        if name in draft.columns:
            out += pc.fill_null(pc.binary_length(draft.columns[name]), 0).to_numpy(zero_copy_only=False)
    return out


def _parsed(cell: str) -> list[dict[str, Any]] | None:
    try:
        found = _DECODER.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, list) and found and all(_named(item) for item in found) else None


def _named(item: object) -> bool:
    return isinstance(item, dict) and item.get("item_id") is not None and str(item["item_id"]).strip() != ""


def _cells(lines: _Lines, draft: Draft) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the items say of our columns, typed; and what is left over, by their names."""
    names = sorted({str(name) for item in lines.items for name in item})
    left_over = {name: pa.array([_text(item.get(name)) for item in lines.items], pa.string()) for name in names}
    columns = {}
    for name in ITEM_COLUMNS:
        cells = left_over.pop(name, None)
        if cells is None:
            columns[name] = pa.nulls(len(lines.items), BY_NAME[name].type)
            continue
        columns[name], bad = _typed(name, cells)
        if bad.any():
            draft.unread[name] += int(bad.sum())
            left_over[name] = pc.if_else(pa.array(bad), cells, None)
    back = draft.kind_in(BACK)[lines.parent]
    if back.any():
        columns |= {name: values.unsigned(columns[name], back)[0] for name in UNSIGNED if name in columns}
    return columns, left_over


def _item_rows(table: pa.Table, lines: _Lines, items: dict[str, Any], left_over: dict[str, Any]) -> tuple[
        pa.Table, Any]:
    """The rows of the item lines; and as JSON what a record said of its only item, where the item says otherwise."""
    rows = table.take(pa.array(lines.parent))
    columns = {name: values.flat(rows.column(name)) for name in EVENTS.names}
    columns["line"] = pa.array(lines.line)
    for name in HEAD_COLUMNS:
        columns[name] = pc.if_else(lines.many, None, columns[name])
    other = {}
    for name in ITEM_COLUMNS:
        own = pc.if_else(lines.many, None, columns[name])
        other[name] = pc.if_else(pc.fill_null(pc.not_equal(own, items[name]), False), values.text(own), None)
        columns[name] = pc.coalesce(items[name], own)
    n = len(lines.items)
    displaced = props(other, n)
    said = together(pc.if_else(lines.many, None, columns["props"]), displaced, "record.")
    columns["props"] = together(said, props(left_over, n), "items.")
    return pa.table(columns, schema=EVENTS), displaced


def _heads(table: pa.Table, heads: Rows, several: Rows) -> tuple[pa.Table, Any]:
    """The rows of the records that are no item line; one of several items says nothing of an item itself."""
    head, n = table.take(pa.array(heads)), len(heads)
    above = pa.array(np.isin(heads, several))
    cells = {name: values.flat(head.column(name)) for name in ITEM_COLUMNS}
    displaced = props({name: pc.if_else(above, values.text(array), None) for name, array in cells.items()}, n)
    columns = {name: values.flat(head.column(name)) for name in EVENTS.names}
    columns |= {name: pc.if_else(above, None, array) for name, array in cells.items()}
    columns["props"] = together(columns["props"], displaced, "record.")
    return pa.table(columns, schema=EVENTS), displaced


def _check_lines(body: pa.Table, parent: Rows, draft: Draft) -> None:
    """A record with a line that breaks a rule is quarantined whole, for its first such line."""
    inner = Draft(len(parent), {name: values.flat(body.column(name)) for name in body.column_names}, {}, draft.kinds,
                  posted=draft.posted)
    check(inner)
    bad = np.flatnonzero(inner.reason != "")
    rows, first = np.unique(parent[bad], return_index=True)
    fresh = draft.reason[rows] == ""
    rows, first = rows[fresh], bad[first][fresh]
    draft.reason[rows], draft.where[rows] = inner.reason[first], inner.where[first]


def _with_value(table: pa.Table, items: dict[str, Any], parent: Rows, draft: Draft, derived: Counter[str]) -> pa.Table:
    """Orders that state no value get the sum of price x quantity of their items, where every item has both."""
    worth = np.asarray(pc.multiply(pc.cast(items["price"], pa.float64()), items["quantity"]).to_numpy(
        zero_copy_only=False), dtype=np.float64)
    total = np.zeros(draft.n)
    np.add.at(total, parent, worth)  # one item without a price or a quantity makes the sum NaN
    added = values.decimals(pa.array(total))
    fill = np.isin(np.arange(draft.n), parent) & ~draft.has("value") & draft.kind_in(_PRICED)
    fill &= values.mask_of(pc.is_valid(added))
    if not fill.any():
        return table
    derived["value_from_items"] += int(fill.sum())
    place = table.column_names.index("value")
    return table.set_column(place, "value", pc.coalesce(table.column("value"), pc.if_else(pa.array(fill), added, None)))


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode("utf-8")


def _typed(name: str, array: Any) -> values.Read:
    kind = BY_NAME[name].type
    if kind == MONEY:
        return written(array, name, NumberRule(alone=True), values.money)
    if kind == pa.float64():
        return written(array, name, NumberRule(alone=True), values.number)
    return values.whole(array) if kind == pa.int64() else (values.text(array), values.nothing(len(array)))
