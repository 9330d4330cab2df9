"""The query engine: Ibis expressions over exactly the files of one manifest, run on DuckDB.

With `segments`, the only place that knows which engine it is. Times are naive microseconds UTC throughout. The same
expression compiles to Spark SQL; `CompilingEngine` does both, so that nothing that only DuckDB understands gets in.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa

from shopkeeper.errors import MissingTable
from shopkeeper.events.schema import EVENTS, TABLES
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import Store
from shopkeeper.warehouse.tables import QUARANTINE, declared
from shopkeeper.words import say


class Engine:
    """Runs expressions over one version of a shop.

    Args:
        path: The shop's folder.
        manifest: The version.
        memory: Limit of the engine's working memory; beyond it, it spills to the system's temporary folder (`TMPDIR`);
            by default `MEMORY`.
        threads: How many; by default `THREADS`, or as many as there are cores.

    Raises:
        Damaged: A file that the manifest names is missing or has another size than was written; also from `events`,
            `table` and `quarantine`, when a file that they read has another content. What is left can be read by
            `Engine(path, manifest.without(store.damaged(manifest)))`.
    """

    MEMORY, THREADS = "1500MB", 0

    def __init__(self, path: str | os.PathLike[str], manifest: Manifest, *, memory: str | None = None,
                 threads: int | None = None) -> None:
        self.path, self.manifest = Path(path), manifest
        self._store = Store(path)
        self._store.check(manifest)
        self._memory, self._threads = memory or self.MEMORY, threads or self.THREADS
        self._base: Any = None
        self._tables: dict[str, Any] = {}

    def events(self, start: int | None = None, until: int | None = None) -> Any:
        """The event table, `start <= ts < until` (microseconds UTC; None is open), as an Ibis table.

        Only segments that can hold such events are read.
        """
        files = [segment.file for segment in self.manifest.segments_between(start, until)]
        return between(self._read("events", files, EVENTS), start, until)

    def has(self, name: str) -> bool:
        """Whether a table (`items`, ..., `facts/...`) was ever given or published."""
        return name in self.manifest.tables

    def table(self, name: str) -> Any:
        """A stored or published table as an Ibis table.

        Raises:
            MissingTable: It was never given or published.
            KeyError: No such table is declared.
        """
        schema = declared(name)
        if not self.has(name):
            raise missing(name)
        return self._read(name, [self.manifest.tables[name]], schema)

    def quarantine(self) -> Any:
        """All rejected records as an Ibis table (`tables.QUARANTINE`)."""
        return self._read("quarantine", self.manifest.quarantine, QUARANTINE)

    def view(self, name: str, build: Callable[[], Any]) -> Any:
        """An expression under a name, as an Ibis table: what stands on it is not put into the engine's words again.

        Args:
            name: The same name is the same expression, for as long as this engine lives.
            build: Makes it the first time; over stored tables alone.
        """
        if name not in self._tables:
            table = build().as_table()
            sql = _known_sql(table.op())
            self._guarded(lambda: self._connected().execute(f'CREATE OR REPLACE VIEW "{name}" AS {sql}'))
            self._tables[name] = ibis.table(table.schema(), name=name)
        return self._tables[name]

    def run(self, expr: Any) -> pa.Table:
        """The result of an expression, as a table."""
        schema = expr.as_table().schema().to_pyarrow()
        return self._guarded(lambda: self._asked(expr).to_arrow_table().cast(schema))

    def batches(self, expr: Any, rows: int = 1 << 16) -> pa.RecordBatchReader:
        """The result of an expression, batch by batch, so that it need not fit into memory."""
        schema = expr.as_table().schema().to_pyarrow()
        return self._guarded(lambda: self._asked(expr).to_arrow_reader(rows).cast(schema))

    def _asked(self, expr: Any) -> Any:
        """The engine's relation for an expression, over a cursor of its own."""
        cursor, asked = self._connected().cursor(), expr.as_table().op()
        held = asked.find(ibis.expr.operations.InMemoryTable)
        for table in held:
            cursor.register(table.name, table.data.to_pyarrow(table.schema))
        return cursor.sql(_sql(asked) if held else _known_sql(asked))  # what holds rows is not kept

    def _guarded(self, work: Callable[[], Any]) -> Any:
        """A file that vanished while a shop stood open is named, instead of what the engine says of it."""
        try:
            return work()
        except (duckdb.IOException, duckdb.InvalidInputException, FileNotFoundError):
            self._store.check(self.manifest)
            raise

    def _connected(self) -> Any:
        if self._base is None:
            spill = Path(tempfile.gettempdir()) / f"shopkeeper-{os.getpid()}-{id(self)}"
            self._base = duckdb.connect(config={"memory_limit": self._memory, "temp_directory": str(spill),
                                                "enable_external_file_cache": False,  # the system keeps files already
                                                "threads": self._threads or os.cpu_count() or 1})
            self._base.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        return self._base

    def _read(self, name: str, files: Sequence[str], schema: pa.Schema) -> Any:
        """Files as one table with exactly the columns of a schema; no file gives an empty table."""
        view = f"{name.replace('/', '_')}_{zlib.crc32(chr(10).join(files).encode()):08x}"
        if view not in self._tables:
            columns = ", ".join(f'"{column}"' for column in schema.names)
            if files:
                self._guarded(lambda: self._store.check_content(self.manifest, files))
                source = parquet([self.path / file for file in files])
                view_sql = f'CREATE VIEW "{view}" AS SELECT {columns} FROM {source}'
                self._guarded(lambda: self._connected().execute(view_sql))
            else:
                self._connected().from_arrow(schema.empty_table()).create(view)
            self._tables[view] = ibis.table(ibis.Schema.from_pyarrow(schema), name=view)
        return self._tables[view]


class SmallEngine(Engine):
    """The engine of a process that lives long and has its memory for other things; it spills early."""

    MEMORY, THREADS = "256MB", 2


class CompilingEngine(Engine):
    """An engine that also compiles each expression to Spark SQL before it runs it; the SQL stays in `compiled`."""

    def __init__(self, path: str | os.PathLike[str], manifest: Manifest, *, memory: str | None = None,
                 threads: int | None = None) -> None:
        super().__init__(path, manifest, memory=memory, threads=threads)
        self.compiled: list[str] = []

    def view(self, name: str, build: Callable[[], Any]) -> Any:
        """Compile to Spark SQL what stands under the name, then keep it."""

        def compiled() -> Any:
            expr = build()
            self.compiled.append(to_spark_sql(expr))
            return expr

        return super().view(name, compiled)

    def run(self, expr: Any) -> pa.Table:
        """Compile to Spark SQL, then run.

        Raises:
            ibis.common.exceptions.IbisError: The expression has no translation.
        """
        self.compiled.append(to_spark_sql(expr))
        return super().run(expr)

    def batches(self, expr: Any, rows: int = 1 << 16) -> pa.RecordBatchReader:
        """Compile to Spark SQL, then run batch by batch."""
        self.compiled.append(to_spark_sql(expr))
        return super().batches(expr, rows)


def _sql(asked: Any) -> str:
    return str(ibis.to_sql(asked.to_expr(), dialect="duckdb", pretty=False))


@lru_cache(maxsize=128)
def _known_sql(asked: Any) -> str:
    """As `_sql`: to compile a question takes many times as long as to run it over a small shop."""
    return _sql(asked)


class UnboundTables:
    """The tables of a shop without a shop: what an expression is built over when only its text is wanted."""

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self._names = None if names is None else frozenset(names)

    def events(self, start: int | None = None, until: int | None = None) -> Any:
        """As `Engine.events`."""
        return between(ibis.table(ibis.Schema.from_pyarrow(EVENTS), name="events"), start, until)

    def has(self, name: str) -> bool:
        """Whether the name was given; every declared table where no names were given."""
        return name in self._names if self._names is not None else True

    def table(self, name: str) -> Any:
        """As `Engine.table`."""
        schema = declared(name)
        if not self.has(name):
            raise missing(name)
        return ibis.table(ibis.Schema.from_pyarrow(schema), name=name.replace("/", "_"))

    def quarantine(self) -> Any:
        """As `Engine.quarantine`."""
        return ibis.table(ibis.Schema.from_pyarrow(QUARANTINE), name="quarantine")


class _SparkOptions(ibis.config.Config):  # type: ignore[misc]  # ibis has no types
    """What the compiler for Spark asks for, at Spark's defaults."""

    treat_nan_as_null: bool = False


def to_spark_sql(expr: Any) -> str:
    """An expression as Spark SQL; Spark itself need not be installed.

    Raises:
        ibis.common.exceptions.IbisError: It has no translation.

    >>> "`events`" in to_spark_sql(UnboundTables().events().count())
    True
    """
    if ibis.options.pyspark is None:  # the compiler asks for an option that only an installed Spark brings along
        ibis.options.pyspark = _SparkOptions()
    return str(ibis.to_sql(expr.as_table(), dialect="pyspark"))


def parquet(paths: Sequence[str | Path]) -> str:
    """Parquet files as a table of the engine's SQL; characters that mean a pattern stand for themselves.

    >>> parquet(["it's [1].parquet"])
    "read_parquet(['it''s [[]1].parquet'])"
    """
    plain = (str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for path in paths)
    return "read_parquet([" + ", ".join("'" + path.replace("'", "''") + "'" for path in plain) + "])"


def between(events: Any, start: int | None, until: int | None) -> Any:
    """Events with `start <= ts < until`, microseconds UTC; None is open."""
    if start is not None:
        events = events.filter(events.ts >= moment(start))
    if until is not None:
        events = events.filter(events.ts < moment(until))
    return events


def moment(when: int) -> Any:
    """A time (microseconds UTC) as a literal of an expression."""
    return ibis.literal(pa.scalar(when, pa.timestamp("us")).as_py(), type="timestamp(6)")


def missing(name: str) -> MissingTable:
    """The refusal for a table that was never given or published."""
    do = [say("shopkeeper ingest SHOP FILE --table {name}", name=name)] if name in TABLES else []
    return MissingTable(say("this shop has no table {name}.", name=name), do=do,
                        why=say("the question needs what stands in it, and nothing is guessed."))
