from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.events.raw import decode_record, encode_records

NAMES = st.text(st.sampled_from("ab=\\:1é"), max_size=4)
VALUES = st.none() | st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["1:a=", "=1:", "\\="])


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*[VALUES] * len(names)), max_size=6))
    return pa.table({name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)})


def cells(row: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value is not None}


def one(value: object, kind: pa.DataType) -> bytes:
    return encode_records(pa.table({"v": pa.array([value], kind)}))[0].as_py()


@settings(max_examples=bounded(300), deadline=None)
@given(tables())
def test_decoding_gives_back_the_cells_that_were_encoded(table):
    decoded = [decode_record(record) for record in encode_records(table).to_pylist()]

    assert decoded == [cells(row) for row in table.to_pylist()]


@settings(max_examples=bounded(200), deadline=None)
@given(tables(), st.randoms())
def test_rows_encode_alike_whatever_the_batch_and_the_order_of_columns(table, random):
    names = list(table.column_names)
    random.shuffle(names)
    wider = table.select(names).append_column("nothing", pa.nulls(table.num_rows))
    singly = [encode_records(wider.slice(row, 1))[0].as_py() for row in range(table.num_rows)]

    assert singly == encode_records(table).to_pylist()


def test_a_name_cannot_pose_as_a_value():
    crafted = encode_records(pa.table({"a=1:xb": ["y"]}))[0].as_py()
    honest = encode_records(pa.table({"a": ["x"], "b": ["y"]}))[0].as_py()

    assert crafted != honest


def test_null_and_empty_differ():
    assert encode_records(pa.table({"a": ["", None]})).to_pylist() == [b"a=0:", b""]


@pytest.mark.parametrize("value, kind, text", [
    (1, pa.int64(), "1"),
    (1.0, pa.float64(), "1"),
    (-0.0, pa.float64(), "0"),
    (1e17, pa.float64(), "100000000000000000"),
    (1e300, pa.float64(), "1e+300"),
    (0.1, pa.float64(), "0.1"),
    (0.1, pa.float32(), "0.1"),
    (float("nan"), pa.float64(), "nan"),
    (Decimal("12.5000"), pa.decimal128(18, 4), "12.5"),
    (Decimal("100.0000"), pa.decimal128(18, 4), "100"),
    (Decimal("100"), pa.decimal128(18, 0), "100"),
    (Decimal("0E-9"), pa.decimal128(18, 9), "0"),
    (Decimal("1E-9"), pa.decimal128(18, 9), "0.000000001"),
    (True, pa.bool_(), "true"),
    (dt.date(2024, 2, 29), pa.date32(), "2024-02-29"),
    (dt.datetime(2024, 1, 2, 3, 4, 5), pa.timestamp("s"), "2024-01-02 03:04:05"),
    (dt.datetime(2024, 1, 2, 3, 4, 5), pa.timestamp("us"), "2024-01-02 03:04:05"),
    (dt.datetime(2024, 1, 2, 3, 4, 5, 600000), pa.timestamp("ms"), "2024-01-02 03:04:05.600000"),
    (1, pa.timestamp("ns"), "1970-01-01 00:00:00.000000001"),
    (-1, pa.timestamp("ns"), "1969-12-31 23:59:59.999999999"),
    (dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC), pa.timestamp("us", "Asia/Shanghai"), "2024-01-02 03:00:00Z"),
    ("1.0", pa.string(), "1.0"),
    ("x" * 5_000, pa.string(), "x" * 5_000),
    ("é", pa.large_string(), "é"),
    ("a", pa.dictionary(pa.int32(), pa.string()), "a"),
    (b"\xff", pa.binary(), "\\xff"),
])
def test_a_value_encodes_as_its_canonical_text(value, kind, text):
    assert decode_record(one(value, kind)) == {"v": text}


def test_whole_seconds_encode_alike_in_a_column_that_has_fractions():
    mixed = pa.table({"v": pa.array([0, 1, None, 1_000_000_000], pa.timestamp("ns"))})

    assert encode_records(mixed).to_pylist()[1:] == [one(1, pa.timestamp("ns")), b"", one(1, pa.timestamp("s"))]


def test_a_table_of_many_batches_encodes_as_one():
    table = pa.table({"v": list(range(70_000))})
    encoded = encode_records(table)

    assert len(encoded) == 70_000
    assert encoded[69_999].as_py() == b"v=5:69999"


def test_a_row_of_nulls_keeps_its_place():
    table = pa.table({"a": ["x", None, "y" * 5_000], "b": [None, None, "z"]})

    assert [decode_record(one) for one in encode_records(table).to_pylist()] == [
        {"a": "x"}, {}, {"a": "y" * 5_000, "b": "z"}]


def test_no_rows_encode_as_no_records():
    assert encode_records(pa.table({"a": pa.array([], pa.string())})).to_pylist() == []


def test_two_columns_of_one_name_are_no_record():
    with pytest.raises(ValueError, match=r"columns with the same name: \['a'\]"):
        encode_records(pa.table([["x"], ["y"]], names=["a", "a"]))


@pytest.mark.parametrize("record", [b"a=5:xx", b"a", b"a=x:y", b"a=1"])
def test_what_is_no_record_is_not_decoded(record):
    with pytest.raises(ValueError, match=r"record ends|invalid literal|not found"):
        decode_record(record)
