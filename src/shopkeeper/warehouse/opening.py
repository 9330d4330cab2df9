"""Opening what an import is given: a file, a list of dicts or a table, and in which dialect it is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shopkeeper.events import dialects, readers
from shopkeeper.events import mapping as mappings
from shopkeeper.events.agents import NO_RANGES, Ranges
from shopkeeper.events.dialects.reading import mapping_of, rows_of
from shopkeeper.events.dialects.synonyms import renamed
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.schema import Role

Source = str | os.PathLike[str] | Any  # a path, a glob, an Arrow table, a data frame, a list of dicts

_LOOKED_AT = 50  # records by which a dialect is recognised


@dataclass(frozen=True)
class Task:
    """What an import needs beside its sources."""

    mapping: mappings.Mapping
    table: str
    kinds: Mapping[str, Role]
    keys: Keys
    received_at: int
    options: readers.ReadOptions
    name: str = "table"  # of what is in memory and has none
    dialect: str | None = None  # None: recognised
    ranges: Ranges = NO_RANGES  # networks of crawlers
    synonyms: Mapping[str, str] = field(default_factory=dict)  # headers of a source -> what they mean in a dialect

    @property
    def said(self) -> bool:
        """Whether the user says how to read the columns, and is believed."""
        words = self.mapping
        return self.dialect == dialects.COLUMNS or (
            self.dialect is None and bool(words.columns or words.kinds or words.constants))


def opened(source: Source, spill: Path, task: Task) -> readers.Source:
    """A source of any kind, opened, under the names that the shop's synonyms give its columns."""
    if isinstance(source, str | os.PathLike):
        found = readers.open_source(Path(source), spill=spill, options=task.options)
    elif isinstance(source, list | tuple):
        found = readers.from_records(source, task.name)
    else:
        found = readers.from_arrow(source, task.name)
    if task.synonyms and task.table == "events" and not task.said:
        found.parts = renamed(found.parts, task.synonyms)
    return found


def spoken(source: Source, task: Task) -> tuple[dialects.Dialect | None, Task]:
    """The dialect of a source, said or recognised, and the task with what it says of such sources.

    Raises:
        UnknownName: There is no dialect of the name that was said.
    """
    if task.table != "events" or task.said:
        return None, task
    with tempfile.TemporaryDirectory(prefix="shop-") as spill, opened(source, Path(spill), task) as looked:
        first = next((part.table for part in looked.parts if part.table.num_rows or part.table.num_columns), None)
    columns = [] if first is None else first.column_names
    if task.dialect is not None:
        found: dialects.Dialect | None = dialects.named(task.dialect)
    else:
        found = None if first is None else dialects.recognise(columns, rows_of(first.slice(0, _LOOKED_AT)))
    if found is None:
        return None, task
    options = replace(task.options, header=found.headerless) if found.bare(columns) else task.options
    return found, replace(task, mapping=mapping_of(found, task.mapping), options=options, dialect=found.name)
