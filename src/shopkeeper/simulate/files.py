"""A streamed log on its way into files: a part at a time, in three formats, the same bytes for the same log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import BadInput
from shopkeeper.simulate.arrivals import Planted
from shopkeeper.simulate.stream import Stream, StreamConfig, Traffic, stream
from shopkeeper.simulate.truth import FORMATS, Format, Truth, write_table
from shopkeeper.words import say

_GROUP = 200_000     # rows that are written together; in Parquet the least of a row group
Write = Callable[[Any], None]


@dataclass(frozen=True)
class Written:
    """What `write_stream` wrote.

    Attributes:
        config: What was asked for.
        files: `events`, `items`, `customers`, `traffic` (where there are bots), `truth.json`.
        planted: Counts of what the log holds.
        traffic: Who is a machine; None where there are none.
        items, customers: How many.
    """

    config: StreamConfig
    files: tuple[Path, ...]
    planted: Planted
    traffic: Traffic | None
    items: int
    customers: int


def write_stream(folder: str | Path, config: StreamConfig | None = None, format: Format = "parquet", *,
                 progress: Progress = silent) -> Written:
    """Write a log of any length, its tables and its truth into a folder, made if it is not there.

    No more than a day or two of the log is held in memory.

    Args:
        folder: Where to.
        config: What the log is like.
        format: `parquet`, `csv` or `jsonl`; of `truth.json` only the name says how it is written.
        progress: Told how far it is, in days.

    Returns:
        What was written, and the counts of what was planted.

    Raises:
        BadInput: The format is not one of these.
    """
    if format not in FORMATS:
        raise BadInput(say("{format} is not a format that can be written.", format=repr(format)),
                       do=[say("one of: {names}", names=", ".join(FORMATS))])
    log, folder = stream(config), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shop = log.config.shop
    progress.start(say("Simulating {customers:,} customers over {days:,} days", customers=shop.customers,
                       days=shop.days), shop.days)
    files = [folder / f"events.{format}"]
    _write_events(log, files[0], format, progress)
    tables = {"items": log.items, "customers": log.customers}
    if log.traffic is not None:
        tables["traffic"] = log.traffic.sessions
    for name, table in tables.items():
        files.append(folder / f"{name}.{format}")
        write_table(table, files[-1], format)
    files.append(folder / "truth.json")
    with files[-1].open("w", encoding="utf-8") as out:
        out.writelines(_truth(log.truth, log.planted, log.traffic))
    return Written(log.config, tuple(files), log.planted, log.traffic, shop.items, shop.customers)


def _write_events(log: Stream, path: Path, format: Format, progress: Progress) -> None:
    """One thread makes the days, another writes them; at most two parts wait."""
    with ThreadPoolExecutor(1) as pool, _opened(path, format) as write:
        before: Future[None] | None = None
        for part in _parts(log, progress):
            if before is not None:
                before.result()
            before = pool.submit(write, part)
        if before is not None:
            before.result()


def _parts(log: Stream, progress: Progress) -> Iterator[Any]:
    """The log in parts of `_GROUP` rows or more, but for the last."""
    held: list[Any] = []
    for table in log:
        held.append(table)
        progress.advance()
        if sum(one.num_rows for one in held) >= _GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _opened(path: Path, format: Format) -> AbstractContextManager[Write]:
    return {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}[format](path)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow.parquet as pq

    writer: list[Any] = []

    def write(table: Any) -> None:
        if not writer:
            writer.append(pq.ParquetWriter(path, table.schema, compression="zstd"))
        writer[0].write_table(table, row_group_size=max(table.num_rows, 1))

    try:
        yield write
    finally:
        for one in writer:
            one.close()


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    import pyarrow.csv as pcsv

    writer: list[Any] = []

    def write(table: Any) -> None:
        if not writer:
            writer.append(pcsv.CSVWriter(path, table.schema))
        writer[0].write_table(table)

    try:
        yield write
    finally:
        for one in writer:
            one.close()


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("wb") as out:
        yield lambda table: out.writelines(json_lines(part) for part in table.to_batches(max_chunksize=65_536))


def json_lines(part: Any) -> memoryview:
    """Rows as JSON objects, one a line, without what is null: times as ISO texts, money as numbers.

    Args:
        part: A record batch.

    >>> bytes(json_lines(pa.record_batch({"a": ["x", None], "n": [1, 2]})))
    b'{"a": "x", "n": 1}\\n{"n": 2}\\n'
    """
    cells = [pc.binary_join_element_wise(f'"{name}": ', _json(values), "")
             for name, values in zip(part.schema.names, part.columns, strict=True)]
    inside = pc.binary_join_element_wise(*cells, ", ", null_handling="skip")
    lines = pc.binary_join_element_wise("{", inside, "}\n", "")
    start, end = lines.offset, lines.offset + len(lines)
    offsets = memoryview(lines.buffers()[1]).cast("i")
    return memoryview(lines.buffers()[2])[offsets[start]:offsets[end]]


def _json(values: Any) -> Any:
    """Cells as JSON texts; null stays null."""
    kind = values.type
    if pa.types.is_string(kind):
        words = values.dictionary_encode()
        told = pa.array([json.dumps(word, ensure_ascii=False) for word in words.dictionary.to_pylist()], pa.string())
        return told.take(words.indices)
    if pa.types.is_temporal(kind):
        return pc.binary_join_element_wise('"', values.cast(pa.string()), '"', "")
    if pa.types.is_decimal(kind):
        return pc.utf8_rtrim(pc.utf8_rtrim(values.cast(pa.string()), "0"), ".")     # they have four decimals
    return values.cast(pa.string())


def _truth(truth: Truth, planted: Planted, traffic: Traffic | None) -> Iterator[str]:
    """What `Truth.to_dict` says, and what was planted, customer by customer, so that it is never whole in memory."""
    whole = {**truth.of_the_shop(), "planted": asdict(planted)}
    if traffic is not None:
        whole |= {"bots": traffic.counts(), "heavy": traffic.heavy}
    yield "{"
    for name, said in whole.items():
        yield f"{json.dumps(name)}: {json.dumps(said, ensure_ascii=False)},\n"
    yield '"customers": ['
    for row, one in enumerate(truth.of_the_customers()):
        yield (",\n" if row else "\n") + json.dumps(one, ensure_ascii=False)
    yield "\n]}\n"
