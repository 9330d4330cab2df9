from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.raw import BATCH_BYTES, BATCH_ROWS
from shopkeeper.events.readers import from_arrow, open_source

TABLE = pa.table({
    "id": pa.array([1, 2, None], pa.int32()),
    "price": pa.array([Decimal("1.50"), None, Decimal("2.00")], pa.decimal128(18, 4)),
    "at": pa.array([dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1), None], pa.timestamp("us", "UTC")),
    "user": pa.array([{"id": "a", "geo": {"city": "名"}}, None, {"id": "b", "geo": None}]),
    "items": pa.array([[{"sku": "x", "n": 1}], [], None]),
    "tags": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "kind": pa.array(["a", None, "a"]).dictionary_encode(),
    "raw": pa.array([b"text", b"\xff\x00", None]),
    "nothing": pa.nulls(3),
    "wait": pa.array([dt.timedelta(hours=1), None, None]),
    "big": pa.array(["x", "y", "z"], pa.large_string()),
})
ROWS = [
    {"id": 1, "price": Decimal("1.5000"), "at": dt.datetime(1900, 1, 1, tzinfo=dt.UTC), "user.id": "a",
     "user.geo.city": "名", "items": '[{"n":1,"sku":"x"}]', "tags": '[["k",1]]', "kind": "a", "raw": "text",
     "nothing": None, "wait": "1:00:00", "big": "x"},
    {"id": 2, "price": None, "at": dt.datetime(2100, 1, 1, tzinfo=dt.UTC), "user.id": None, "user.geo.city": None,
     "items": "[]", "tags": None, "kind": None, "raw": "ff00", "nothing": None, "wait": None, "big": "y"},
    {"id": None, "price": Decimal("2.0000"), "at": None, "user.id": "b", "user.geo.city": None, "items": None,
     "tags": "[]", "kind": "a", "raw": None, "nothing": None, "wait": None, "big": "z"},
]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def by_name(row: dict) -> dict:
    return {name: row[name] for name in sorted(row)}


def test_parquet_keeps_its_types_and_becomes_flat(read, parquet):
    got = read(parquet)

    assert [by_name(row) for row in got.rows] == [by_name(row) for row in ROWS]
    assert (got.lines, got.source.kind, got.source.encoding) == ([1, 2, 3], "parquet", None)
    assert got.batches[0].table.schema.field("price").type == pa.decimal128(18, 4)


def test_an_arrow_file_reads_as_the_same_table_in_parquet(read, parquet, tmp_path):
    pyarrow.feather.write_feather(TABLE, str(tmp_path / "a.feather"))

    assert read(tmp_path / "a.feather").batches[0].table.equals(read(parquet).batches[0].table)


def test_a_table_in_memory_reads_as_the_same_table_in_parquet(read, parquet):
    assert next(iter(from_arrow(TABLE, "mine"))).table.equals(read(parquet).batches[0].table)


def test_the_content_says_parquet_whatever_the_name(read, parquet):
    assert read(parquet.read_bytes(), "a.csv").source.kind == "parquet"


def test_old_timestamps_of_96_bits_are_read(read, tmp_path):
    times = pa.table({"at": pa.array([dt.datetime(2017, 5, 1, 12)], pa.timestamp("us"))})
    pq.write_table(times, tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)

    assert read(tmp_path / "old.parquet").rows == [{"at": dt.datetime(2017, 5, 1, 12)}]


def test_names_that_meet_when_flattened_are_told_apart(read, tmp_path):
    pq.write_table(pa.table({"a": pa.array([{"b": 1}]), "a.b": [2]}), tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet")

    assert got.rows == [{"a.b": 1, "a.b_2": 2}]
    assert got.problems == ["Two columns are called a.b; the later one is read as a.b_2."]


def test_text_that_is_none_or_holds_nul_is_set_aside(read, tmp_path):
    names = pa.array([b"a", b"\xed\xa0\x80", b"b\0", None, b"c"], pa.binary())
    broken = pa.StringArray.from_buffers(5, names.buffers()[1], names.buffers()[2], names.buffers()[0])
    pq.write_table(pa.table({"id": [1, 2, 3, 4, 5], "name": broken}), tmp_path / "a.parquet", store_schema=True)
    got = read(tmp_path / "a.parquet")

    assert got.lines == [1, 4, 5]
    assert got.reasons == [(2, "encoding", r'{"id":2,"name":"\\xed\\xa0\\x80"}'),
                           (3, "nul", r'{"id":3,"name":"b\u0000"}')]
    assert [str(one.detail) for one in got.broken] == ["the record holds bytes that are not UTF-8.",
                                                       "the record holds a NUL byte."]


def test_batches_stay_within_rows_and_bytes(read, tmp_path):
    pq.write_table(pa.table({"id": np.arange(150_000)}), tmp_path / "long.parquet")
    pq.write_table(pa.table({"text": ["x" * 10_000] * 7_000}), tmp_path / "wide.parquet")
    long, wide = read(tmp_path / "long.parquet"), read(tmp_path / "wide.parquet")

    assert long.lines == list(range(1, 150_001))
    assert max(batch.table.num_rows for batch in long.batches) <= BATCH_ROWS
    assert wide.lines == list(range(1, 7_001))
    assert max(batch.table.nbytes for batch in wide.batches) <= BATCH_BYTES


def test_a_file_without_rows_has_its_columns_and_says_so(read, tmp_path):
    pq.write_table(TABLE.slice(0, 0), tmp_path / "a.parquet")
    pyarrow.feather.write_feather(TABLE.slice(0, 0), str(tmp_path / "a.arrow"))
    for name in ("a.parquet", "a.arrow"):
        got = read(tmp_path / name)

        assert (got.batches, "user.geo.city" in got.source.columns) == ([], True)
        assert got.problems == [f"{name} has a header and no records."]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_cut_parquet_file_is_refused(read, tmp_path, share):
    pq.write_table(pa.table({"id": np.arange(10_000)}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()

    with pytest.raises(BadInput) as refusal:
        read(data[:int(len(data) * share)], "a.parquet")

    assert refusal.value.text().startswith("a.parquet is not a sound Parquet file: Parquet magic bytes not found")
    assert refusal.value.text().endswith(".\n  Try:  Copy or export the file again; it may have been cut on its way")


def test_a_damaged_page_is_refused_and_never_read_as_something_else(read, tmp_path):
    table = pa.table({"text": [f"a customer called {n}" for n in range(5_000)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False, write_page_checksum=True)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[1_000:1_040] = bytes(40)

    with pytest.raises(BadInput, match=r"^a\.parquet is not a sound Parquet file: "):
        read(bytes(data), "a.parquet")


def test_a_cut_arrow_file_is_refused(read, tmp_path):
    pyarrow.feather.write_feather(TABLE, str(tmp_path / "a.arrow"))

    with pytest.raises(BadInput, match=r"^a\.arrow is not a sound Arrow file: "):
        read((tmp_path / "a.arrow").read_bytes()[:-100], "a.arrow")


def test_a_table_of_columns_reads_in_slices():
    source = from_arrow({"id": np.arange(70_000)})

    assert [batch.table.num_rows for batch in source] == [65_536, 4_464]
    assert source.columns == ["id"]


def test_a_stream_of_batches_is_a_table():
    reader = pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches())

    assert sum(len(batch.line) for batch in from_arrow(reader)) == 3


def test_a_data_frame_is_a_table_without_its_index():
    frame = pd.DataFrame({"id": [3, 1], "name": ["a", "b"]}, index=["x", "y"])
    batch = next(iter(from_arrow(frame)))

    assert batch.table.to_pylist() == [{"id": 3, "name": "a"}, {"id": 1, "name": "b"}]


def test_what_is_no_table_is_refused():
    with pytest.raises(BadInput) as refusal:
        from_arrow(7, "mine")

    assert refusal.value.text().startswith("mine is no table that can be read: ")


def test_a_source_is_read_once_and_closes(parquet, tmp_path):
    source = open_source(parquet, spill=tmp_path)
    first = [len(batch.line) for batch in source]
    again = [len(batch.line) for batch in source]
    source.close()

    assert (first, again) == ([3], [])


def test_a_parquet_file_with_a_name_that_is_no_text_is_refused(tmp_path):
    pq.write_table(pa.table({"quantity": [1]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole.replace(b"quantity", b"\x80uantity"))

    with pytest.raises(BadInput, match=r"a\.parquet"), open_source(tmp_path / "a.parquet", spill=tmp_path) as source:
        list(source)
