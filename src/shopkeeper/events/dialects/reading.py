"""From the batches of a reader to batches of ours: a source in a dialect, translated on its way."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.errors import BadInput, BadMapping
from shopkeeper.events.dialects.base import Dialect, Row, Unfit, parts_of, text_of, translate
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.raw import Broken, RawBatch
from shopkeeper.events.readers.base import MAX_COLUMNS
from shopkeeper.events.schema import MAPPABLE
from shopkeeper.words import say

__all__ = ["Reading", "mapping_of", "rows_of"]

_CELLS = 8 << 20  # rows times columns of a batch
_FEWEST = 256  # columns that any batch may have
_OURS = frozenset({*MAPPABLE, "items"})
_ENOUGH = 20  # records of one batch of which none fits, from which on the dialect is not the source's


def rows_of(table: Any) -> list[Row]:
    """The rows of a batch as flat records, nulls left out."""
    return [{name: _plain(value) for name, value in row.items() if value is not None} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if type(value) is str:
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def mapping_of(dialect: Dialect, said: Mapping) -> Mapping:
    """How a source in a dialect is read: what the user said, and the dialect's own where he said nothing."""
    made = replace(said, time_zone=said.time_zone or dialect.time_zone, currency=said.currency or dialect.currency,
                   order_rule=said.order_rule or dialect.order_rule, restated=dialect.restated,
                   source=dialect.name if said.source == Mapping.source else said.source)
    if not dialect.fast:
        return made
    columns = {row.ours: row.theirs for row in dialect.fields}
    if dialect.kind is not None:
        columns["event"] = dialect.kind
    return replace(made, columns={**columns, **said.columns}, kinds={**dialect.kinds, **said.kinds},
                   constants={**dialect.constants, **said.constants})


@dataclass
class Reading:
    """One source in a dialect, from front to back.

    Args:
        dialect: Its.
        source: Its name, for people.
    """

    dialect: Dialect
    source: str

    def __post_init__(self) -> None:
        self._state = self.dialect.state() if self.dialect.state else None
        self._begun = False

    def batch(self, raw: RawBatch) -> RawBatch:
        """A batch of theirs as one of ours; what does not fit is broken, with the field's name.

        Raises:
            BadMapping: The source is not in this dialect.
        """
        if not raw.table.num_rows:
            return raw
        if not self._begun:
            self._check(raw.table.column_names)
        if self.dialect.fast:
            return raw
        out: list[Row] = []
        lines: list[int] = []
        broken: list[Broken] = []
        for line, row in zip(raw.line.tolist(), rows_of(raw.table), strict=True):
            try:
                parts = parts_of(self.dialect, row)
            except Unfit as wrong:
                broken.append(self._set_aside(wrong, row, line))
                continue
            for part in parts:
                try:
                    out.append(translate(self.dialect, part, self._state))
                    lines.append(line)
                except Unfit as wrong:
                    broken.append(self._set_aside(wrong, part, line))
        if not self._begun and not out and len(broken) >= _ENOUGH:
            raise self._refusal(broken[0])
        self._begun = True
        return RawBatch(_table(out), np.asarray(lines, dtype=np.int64), [*raw.broken, *broken])

    def _set_aside(self, wrong: Unfit, row: Row, line: int) -> Broken:
        record = json.dumps(row, ensure_ascii=False, default=str)
        return Broken(line, "dialect", wrong.within(self.dialect), record, field=wrong.field)

    def _check(self, names: list[str]) -> None:
        missing = self.dialect.missing(names)
        if missing:
            raise BadMapping(say("{source} is not in the dialect {title}: it has no field {names}.", source=self.source,
                                 title=self.dialect.title, names=" / ".join(missing[:6])),
                             do=[say("leave out --dialect: it is recognised."), say("--dialect columns --map ...")],
                             why=say("every file of that kind has it; this one has {columns}.",
                                     columns=", ".join(names[:20])))

    def _refusal(self, first: Broken) -> BadInput:
        return BadInput(say("no record of {source} can be read as {title}. {detail}", source=self.source,
                            title=self.dialect.title, detail=first.detail),
                        do=[say("--dialect columns --map ..."), say("leave out --dialect: it is recognised.")],
                        why=say("a file in another dialect would be set aside record by record."))


def _table(rows: list[Row]) -> Any:
    """Records as a table of texts; lists as JSON. Where each record has names of its own, the rare ones share a column.

    Args:
        rows: Of ours.

    Returns:
        A column a name, of which there are so many that rows times columns stay below `_CELLS`; what is left of a row
        stands as one JSON object under `more`.
    """
    seen = Counter(name for row in rows for name in row)
    room = min(MAX_COLUMNS, max(_FEWEST, _CELLS // max(1, len(rows))))
    if len(seen) > room:
        kept = {name for name, _ in seen.most_common(room)} | _OURS.intersection(seen)
        rows = [_folded(row, kept) for row in rows]
        seen = Counter(dict.fromkeys(name for row in rows for name in row))
    if not seen:
        return pa.table({"": pa.nulls(len(rows), pa.string())})
    return pa.table({name: pa.array([_cell(row.get(name)) for row in rows], pa.string()) for name in seen})


def _folded(row: Row, kept: set[str]) -> Row:
    rare = {name: value for name, value in row.items() if name not in kept}
    return {**{name: value for name, value in row.items() if name in kept}, **({"more": rare} if rare else {})}


def _cell(value: Any) -> str | None:
    return None if value is None or value == "" else value if isinstance(value, str) else text_of(value)
