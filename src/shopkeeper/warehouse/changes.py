"""Rows of a table put, patched and deleted one after the other, with the exact word which of them changed anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.events.schema import TABLE_KEYS, TABLES

Row = dict[str, Any]


class Changes:
    """A table and what became of its rows. Only rows that are touched are taken apart.

    Args:
        name: Of the table: `items`, `customers`, `stock`, `campaigns`.
        old: As it stands; None where there is none yet.

    Attributes:
        changed: Whether anything was changed.
    """

    def __init__(self, name: str, old: pa.Table | None) -> None:
        self.name, self._schema, self._key = name, TABLES[name], TABLE_KEYS[name]
        self._old = (self._schema.empty_table() if old is None else old.select(self._schema.names)).combine_chunks()
        self._keys = self._old.column(self._key)
        self._place: dict[str, int] | None = None
        self._rows: dict[str, Row | None] = {}  # as they are now; None where a row is gone
        self.changed = False

    def apply(self, change: str, rows: Sequence[Row]) -> list[bool]:
        """Apply changes of one kind in order.

        Args:
            change: `put` (a row says everything: what it leaves out is cleared), `patch` (what it leaves out stays),
                or `delete`.
            rows: With the table's columns, null for what is not said.

        Returns:
            Which of them changed the table.
        """
        self._load([row[self._key] for row in rows])
        return [self._one(change, row) for row in rows]

    def table(self) -> pa.Table:
        """The table as it is now; rows stand where they stood, new ones at the end."""
        if not self._rows:
            return self._old
        n, place = self._old.num_rows, self._places()
        order = np.arange(n)
        kept = {key: row for key, row in self._rows.items() if row is not None}
        new = [n + at for at, key in enumerate(kept) if key not in place]
        for at, key in enumerate(kept):
            if key in place:
                order[place[key]] = n + at
        gone = [place[key] for key, row in self._rows.items() if row is None and key in place]
        order = np.concatenate([np.delete(order, gone), np.array(new, dtype=np.int64)]).astype(np.int64)
        changed = pa.Table.from_pylist(list(kept.values()), schema=self._schema)
        return pa.concat_tables([self._old.cast(self._schema), changed]).combine_chunks().take(pa.array(order))

    def _places(self) -> dict[str, int]:
        if self._place is None:
            self._place = {key: at for at, key in enumerate(self._keys.to_pylist())}
        return self._place

    def _load(self, keys: Sequence[str]) -> None:
        """Take apart the rows of these keys that were not touched before."""
        places = self._places()
        wanted = {key: places[key] for key in keys if key not in self._rows and key in places}
        if wanted:
            found = self._old.take(pa.array(list(wanted.values()), pa.int64())).to_pylist()
            self._rows.update(zip(wanted, found, strict=True))

    def _one(self, change: str, row: Row) -> bool:
        key = row[self._key]
        before = self._rows.get(key)
        after: Row | None = {name: row.get(name) for name in self._schema.names}
        if change == "delete":
            after = None
        elif change == "patch" and before is not None:
            after = {name: before[name] if value is None else value for name, value in (after or {}).items()}
            after["props"] = _laid_over(before["props"], row.get("props"))
        if after == before:
            return False
        self._rows[key], self.changed = after, True
        return True


def _laid_over(before: str | None, props: str | None) -> str | None:
    """One JSON object over another, name by name."""
    if before is None or props is None:
        return before if props is None else props
    both = {**json.loads(before), **json.loads(props)}
    return json.dumps(dict(sorted(both.items())), ensure_ascii=False, separators=(",", ":"))
