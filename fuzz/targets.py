"""What the fuzzing run throws at the entrance: spoiled files of every reader, and spoiled records of every dialect.

A target draws a file with hypothesis, ingests it into a shop of its own, and holds the account to what it promises:
received = stored + duplicate + quarantined; as many events and rows of the quarantine as it says; the same file once
more brings nothing new. The only way out beside is a `Refusal`, in words.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from shopkeeper import Shop, ledger
from shopkeeper.errors import Refusal
from shopkeeper.events.dialects import DIALECTS
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.readers import ReadOptions, open_source

SAMPLES = Path(__file__).parent.parent / "tests" / "events" / "dialects" / "samples"
WHEN = 1_790_000_000_000_000  # of receipt, microseconds UTC: no wall clock
OURS = ("event_id", "event", "ts", "customer_id", "item_id", "quantity", "price", "currency", "order_id", "items")
ROW = ("e1", "purchase", "2026-09-03T10:00:00Z", "ann", "tea", "2", "4.50", "EUR", "o-1", "")


@dataclass(frozen=True)
class Target:
    """Something to throw at the entrance.

    Attributes:
        name: `reader:csv`, `dialect:segment`.
        drawn: A file's name and content.
        dialect: Said, not recognised; None: recognised.
    """

    name: str
    drawn: st.SearchStrategy[tuple[str, bytes]]
    dialect: str | None = None


def check(target: Target, name: str, content: bytes) -> str:
    """Ingest one drawn file, and hold the account to its promises.

    Returns:
        What came of it: `refused`, `whole` or `spoiled`.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        shop = Shop.open(Path(folder) / "shop")
        mapping = Mapping(currency="EUR", time_zone="UTC")
        options: dict[str, Any] = {} if target.dialect is None else {"dialect": target.dialect}
        try:
            done = shop.ingest(path, mapping, received_at=WHEN, **options)
        except Refusal:
            assert shop.store.manifest().imports == ()
            return "refused"
        assert done.received == done.stored + done.duplicate + done.quarantined, done
        assert sum(done.reasons.values()) == done.quarantined
        shop = Shop.open(shop.path)
        rows = shop.engine.run(shop.events().select("event_id", "line"))
        pairs = set(zip(rows["event_id"].to_pylist(), rows["line"].to_pylist(), strict=True))
        assert len(pairs) == rows.num_rows == done.lines
        assert ledger.quarantine(shop, n=1_000).table.num_rows == done.quarantined
        again = shop.ingest(path, mapping, received_at=WHEN, **options)
        assert (again.received, again.stored, again.lines) == (done.received, 0, 0), again
        return "whole" if not done.quarantined else "spoiled"


# What is drawn

ODD = st.one_of(
    st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(),
    st.sampled_from(["", " ", "0", "-1", "1e309", "NaN", "null", "undefined", "(not set)", "2026-02-30", "9" * 40,
                     "\ufeff", "\x00", "\u202e", "=1+1", "'", '"', "[", "{}", "[{}]", "[null]", "a" * 3000, "¥1,299.00",
                     "1.2.3", "٣", "2026-09-03T10:00:00+99:00", "0000-00-00", "1970-01-01", "253402300800"]))
ODD_JSON = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3)
                        | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)


@st.composite
def spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with a few bytes changed, taken out, put in, or its end cut off."""
    out = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(out)))
        how = draw(st.sampled_from(["change", "take", "put", "cut", "double"]))
        if how == "change" and at < len(out):
            out[at] = draw(st.integers(0, 255))
        elif how == "take":
            del out[at:at + draw(st.integers(1, 40))]
        elif how == "put":
            out[at:at] = draw(st.binary(max_size=12) | st.sampled_from([b'"', b"\n", b"\r", b",", b"\xff\xfe", b"\0",
                                                                        b"{", b"]", b"\\u", b"\x1a"]))
        elif how == "cut":
            del out[at:]
        else:
            out[at:at] = out[at:at + draw(st.integers(1, 400))]
    return bytes(out)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a nested record stand, each as the keys that lead to it."""
    found: list[tuple[Any, ...]] = [above] if above else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += places(one, (*above, key))
    return found


@st.composite
def odd_record(draw: st.DrawFn, record: Any) -> Any:
    """A record with a few of its values replaced by odd ones, renamed, or left out."""
    record = json.loads(json.dumps(record))
    for _ in range(draw(st.integers(0, 3))):
        every = places(record)
        if not every:
            return record
        *above, last = draw(st.sampled_from(every))
        at = record
        for key in above:
            at = at[key]
        how = draw(st.sampled_from(["value", "value", "value", "leave", "rename"]))
        if how == "leave":
            del at[last]
        elif how == "rename" and isinstance(at, dict):
            at[draw(st.text(max_size=10))] = at.pop(last)
        else:
            at[last] = draw(ODD_JSON)
    return record


@st.composite
def odd_lines(draw: st.DrawFn, records: list[Any]) -> bytes:
    """A file of JSON lines made of a sample's records, each as it is, odd, or twice."""
    chosen = draw(st.lists(st.sampled_from(records), min_size=1, max_size=12))
    lines = [json.dumps(draw(odd_record(one)) if draw(st.booleans()) else one,
                        ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass") for one in chosen]
    return b"\n".join(lines) + b"\n"


@st.composite
def odd_table(draw: st.DrawFn, header: list[str], rows: list[list[str]], delimiter: str) -> bytes:
    """A CSV file made of a sample's rows, with odd cells, and columns in another order."""
    order = draw(st.permutations(range(len(rows[0])))) if header and draw(st.booleans()) else list(range(len(rows[0])))
    out = io.StringIO()
    write = csv.writer(out, delimiter=delimiter)
    if header:
        write.writerow([header[place] for place in order])
    for row in draw(st.lists(st.sampled_from(rows), min_size=1, max_size=12)):
        cells = [str(draw(ODD)) if draw(st.integers(0, 9)) == 0 else row[place] for place in order]
        write.writerow([cell.replace("\0", "") for cell in cells])
    return out.getvalue().encode("utf-8", "replace")


# Targets

def of_readers() -> list[Target]:
    """One for each form of file, with columns of ours."""
    table = pa.table({name: [cell or None] * 3 for name, cell in zip(OURS, ROW, strict=True)})
    plain = "\n".join([",".join(OURS), *(",".join((f"e{n}", *ROW[1:])) for n in range(20))]).encode() + b"\n"
    record = {name: cell for name, cell in zip(OURS, ROW, strict=True) if cell}
    record["items"] = json.dumps([{"item_id": "tea", "quantity": 1}])
    lines = b"\n".join(json.dumps({**record, "event_id": f"e{n}", "deep": {"a": [1, {"b": None}]}}).encode()
                       for n in range(9))
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_file(arrow, table.schema) as file:
        file.write_table(table)
    contents = {"csv": plain, "tsv": plain.replace(b",", b"\t"), "jsonl": lines, "json": b"[%s]" % lines.replace(
        b"\n", b","), "parquet": parquet.getvalue(), "arrow": arrow.getvalue(), "xlsx": _workbook(),
        "csv.gz": gzip.compress(plain, mtime=0), "txt": plain.decode().encode("utf-16")}
    found = [Target(f"reader:{ending}", _named(f"drawn.{ending}", spoiled(content)))
             for ending, content in contents.items()]
    rows = [list(ROW)] * 2
    return [*found, Target("reader:cells", _named("drawn.csv", odd_table(list(OURS), rows, ","))),
            Target("reader:records", _named("drawn.jsonl", odd_lines([record]))),
            Target("reader:zipped", _named("drawn.xlsx", _rezipped(_workbook())))]


def of_dialects() -> list[Target]:
    """One for each sample: spoiled as bytes, or record by record; recognised, or said."""
    found = []
    for path in sorted(SAMPLES.iterdir()):
        name = next(name for name in sorted(DIALECTS, key=len, reverse=True) if path.stem.startswith(name))
        found.append(Target(f"dialect:{path.stem}", _named(path.name, spoiled(path.read_bytes()) | _odd(path, name))))
        found.append(Target(f"said:{path.stem}", _named(f"drawn{path.suffix if path.suffix != '.xlsx' else '.csv'}",
                                                        _odd(path, name)), dialect=name))
    return found


def targets() -> list[Target]:
    """All of them."""
    return [*of_readers(), *of_dialects()]


def _named(name: str, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    return contents.map(lambda content: (name, content))


def _odd(path: Path, name: str) -> st.SearchStrategy[bytes]:
    if path.suffix == ".jsonl":
        return odd_lines([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    header = DIALECTS[name].headerless
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as spill, open_source(
            path, spill=Path(spill), options=ReadOptions(header=header)) as source:
        for batch in source:
            rows += [["" if cell is None else str(cell) for cell in row.values()] for row in batch.table.to_pylist()]
        names = list(source.columns)
    return odd_table([] if header else names, rows, "\t" if path.suffix == ".tsv" else ",")


def _workbook() -> bytes:
    return (SAMPLES / "youzan-orders.xlsx").read_bytes()


@st.composite
def _rezipped(draw: st.DrawFn, content: bytes) -> bytes:
    """A workbook one of whose parts is spoiled, in an archive that is sound."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = draw(st.sampled_from(names))
        for name in names:
            part = old.read(name)
            new.writestr(zipfile.ZipInfo(name), draw(spoiled(part)) if name == chosen else part)
    return out.getvalue()


Check = Callable[[Target, str, bytes], str]
