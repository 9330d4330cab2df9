"""Every stored and published table, and every column of each. A personal column is marked.

Rooms meet here: what one learns that others need it publishes as `facts/...`; a reader names the table in its own
inputs, does without it where it is missing, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.schema import BY_NAME, EVENTS, MONEY, TABLES, TIME

__all__ = ["INTERNAL", "PERSONAL", "PUBLISHED", "QUARANTINE", "STORED", "Published", "conform", "declared", "merged"]

# Beside the event table, in each segment: the body's digest, and where the record came from.
INTERNAL = pa.schema([("digest", pa.binary(16)), ("import_id", pa.string()), ("file", pa.string()),
                      ("source_line", pa.int64())])
STORED = pa.schema([*EVENTS, *INTERNAL])

# A rejected record. `reason` is a code, `detail` a sentence as JSON, `record` the original as JSON or verbatim; `at`:
# when its import began, or when it was posted.
QUARANTINE = pa.schema([("import_id", pa.string()), ("file", pa.string()), ("source_line", pa.int64()),
                        ("reason", pa.string()), ("detail", pa.string()), ("field", pa.string()),
                        ("record", pa.string()), ("at", TIME)])


@dataclass(frozen=True)
class Published:
    """A table that a room publishes for the others.

    Attributes:
        name: `facts/...`.
        columns: Names and Arrow types.
        about: One row is what, and what it is for.
        personal: Columns that can point to a person.
    """

    name: str
    columns: pa.Schema
    about: str
    personal: tuple[str, ...] = ()


PUBLISHED: Mapping[str, Published] = {table.name: table for table in (
    Published("facts/customer_value", pa.schema([("customer_id", pa.string()), ("horizon", pa.int32()),
                                                 ("p50", MONEY)]),
              "One row a customer and horizon (days): the median of what they will spend within it.", ("customer_id",)),
    Published("facts/experiments", pa.schema([
        *((name, pa.string()) for name in ("experiment", "question", "a", "b")), ("share", pa.float64()),
        ("salt", pa.string()), *((name, pa.int64()) for name in ("start", "until", "stopped"))]),
              "One row an experiment: which two ways answer a question, the share of people who get the second, and "
              "from when to when (microseconds UTC; null: open)."),
    Published("facts/traffic", pa.schema([
        ("person", pa.string()), ("label", pa.string()), ("score", pa.float64()), ("reason", pa.string()),
        ("events", pa.int64()), ("since", TIME), ("until", TIME)]),
              "One row a person whom a label calls something else than human by what was done: how sure that is, why, "
              "and over which events.", ("person",)),
    Published("facts/identity", pa.schema([
        ("anonymous_id", pa.string()), ("customer_id", pa.string()), ("since", TIME), ("until", TIME),
        ("events", pa.int64()), ("evidence", pa.string()), ("joined", pa.bool_()), ("by", pa.string())]),
              "One row a visitor's id and a customer seen under it: when and how often both stood in one event, what "
              "kind of event says so best, and whether they count as one person, by the log or by hand.",
              ("anonymous_id", "customer_id")),
    Published("facts/segments", pa.schema([("person", pa.string()), ("segment", pa.string())]),
              "One row a person and a segment that they belonged to when it was published.", ("person",)),
    Published("facts/segment_rules", pa.schema([("name", pa.string()), ("rule", pa.string())]),
              "One row a segment and its rule, which is asked anew; `rfm`: where the shop's own part, as JSON."),
    Published("facts/stockout_risk", pa.schema([("item_id", pa.string()), ("day", pa.date32()),
                                                ("probability", pa.float64())]),
              "One row an item and day to come: the chance that it is sold out by then."),
    Published("facts/alert_rules", pa.schema([
        ("name", pa.string()), ("kind", pa.string()), ("channel", pa.string()), ("category", pa.string()),
        ("measure", pa.string()), ("detector", pa.string()), ("minutes", pa.int32()), ("side", pa.string()),
        ("level", pa.float64()), ("above", pa.float64()), ("below", pa.float64()), ("in_a_row", pa.int32()),
        ("least", pa.float64()), ("cooldown", pa.float64()), ("webhook", pa.string()), ("saved", TIME),
        ("days", pa.int32()), ("rung", pa.int64())]),
              "One row a rule of the alerts, and how often it would have rung in the days before it was saved."),
    Published("facts/alert_firings", pa.schema([
        ("id", pa.string()), ("rule", pa.string()), ("since", TIME), ("until", TIME), ("side", pa.string()),
        ("counted", pa.float64()), ("expected", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("method", pa.string()), ("per_week", pa.float64()), ("hint", pa.bool_()), ("who", pa.string()),
        ("webhook", pa.string()), ("delivered", TIME), ("tries", pa.int32()), ("fault", pa.string())]),
              "One row a time that an alert rang, the newest last, and what became of its delivery.", ("who",)),
)}

PERSONAL: Mapping[str, tuple[str, ...]] = {
    "events": tuple(column.name for column in BY_NAME.values() if column.personal),
    "items": (), "customers": ("customer_id", "props"), "stock": (), "campaigns": (), "quarantine": ("record",),
    **{name: table.personal for name, table in PUBLISHED.items()},
}


def declared(name: str) -> pa.Schema:
    """The columns of a table: one of `items`, `customers`, `stock`, `campaigns`, or a published one.

    Raises:
        KeyError: No such table is declared.
    """
    return PUBLISHED[name].columns if name in PUBLISHED else TABLES[name]


def conform(name: str, table: pa.Table) -> pa.Table:
    """The table with exactly the declared columns, in their order and types.

    Raises:
        KeyError: No such table is declared.
        ValueError: A column is missing, is not declared, or does not fit its type.
    """
    schema = declared(name)
    if sorted(table.column_names) != sorted(schema.names):
        raise ValueError(f"{name} has columns {schema.names}, not {table.column_names}")
    return table.select(schema.names).cast(schema)


def merged(old: pa.Table | None, new: pa.Table, key: str) -> pa.Table:
    """New rows laid over old ones, one row a key.

    The last row that says something wins, column by column: a null, or a column that `new` lacks, keeps what was
    known. Keys stand in the order in which they first came.

    >>> old = pa.table({"item_id": ["a", "b"], "price": [1, 2]})
    >>> merged(old, pa.table({"item_id": ["b", "c"], "price": [None, 3]}), "item_id").to_pydict()
    {'item_id': ['a', 'b', 'c'], 'price': [1, 2, 3]}
    """
    both = new if old is None else pa.concat_tables([old, new], promote_options="permissive")
    both = both.select(new.column_names if old is None else [*old.column_names, *_added(old, new)]).combine_chunks()
    row = pa.array(np.arange(both.num_rows, dtype=np.int64))
    # (n, columns) the row number where the cell says something; its largest by key is the row that wins
    says = {name: pc.if_else(pc.is_valid(both.column(name)), row, None) for name in both.column_names if name != key}
    groups = pa.table({key: both.column(key), **{f"{name}": cells for name, cells in says.items()}}).group_by(
        key, use_threads=False).aggregate([(name, "max") for name in says])
    columns = {name: groups.column(key) if name == key else both.column(name).take(groups.column(f"{name}_max"))
               for name in both.column_names}
    return pa.table(columns, schema=both.schema)


def _added(old: pa.Table, new: pa.Table) -> list[str]:
    return [name for name in new.column_names if name not in old.column_names]
