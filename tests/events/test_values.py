from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shopkeeper.events import values

cells = st.one_of(
    st.none(), st.text(max_size=8), st.integers(-10**16, 10**16).map(str), st.decimals(allow_nan=True).map(str),
    st.floats().map(repr), st.from_regex(r"[+-]?\d{1,16}(\.\d{0,6})?([eE][+-]?\d{1,3})?", fullmatch=True))


def as_money(cell: str | None) -> Decimal | None:
    """Money by Python's own arithmetic."""
    cell = (cell or "").strip()
    try:
        number = Decimal(cell) if cell.isascii() and "_" not in cell else None
    except InvalidOperation:
        return None
    if number is None or not number.is_finite() or abs(number) >= 10**14:
        return None
    rounded = number.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    return rounded if abs(rounded) < 10**14 else None


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=20))
def test_money_in_text_is_what_decimal_arithmetic_says_and_the_rest_is_marked(texts):
    found, bad = values.money(pa.array(texts, pa.string()))

    assert found.to_pylist() == [as_money(text) for text in texts]
    assert bad.tolist() == [bool(text and text.strip()) and as_money(text) is None for text in texts]


def test_money_between_two_steps_goes_to_the_even_one():
    found, _ = values.money(pa.array(["0.00005", "0.00015", "0.00025", "-0.00035", "1.000050001"]))

    assert found.to_pylist() == [Decimal(text) for text in ("0.0000", "0.0002", "0.0002", "-0.0004", "1.0001")]


@settings(deadline=None)
@given(st.lists(st.floats() | st.none(), min_size=1, max_size=20))
def test_money_in_floats_never_fails_and_stays_within_half_a_step(floats):
    found, bad = values.money(pa.array(floats, pa.float64()))

    for value, cell, unreadable in zip(floats, found.to_pylist(), bad.tolist(), strict=True):
        if value is None or value != value:
            assert cell is None
            assert not unreadable
        elif cell is None:
            assert unreadable
            assert abs(value) >= 99_999_999_999_999.9
        else:
            assert abs(Decimal(value) - cell) <= Decimal("0.00005") + abs(Decimal(value)) * Decimal("1e-15")


@pytest.mark.parametrize("kind", [pa.int32(), pa.decimal128(12, 2), pa.decimal128(38, 10)])
def test_money_of_exact_types_is_exact(kind):
    assert values.money(pa.array([12], pa.int32()).cast(kind))[0].to_pylist() == [Decimal("12.0000")]


@pytest.mark.parametrize("cell", ["1,000", "€5", "5 EUR", "1_000", "٣", "１２", "NaN", "inf", "1e14", "0x10", "--1",
                                  "99999999999999.99999"])
def test_money_with_signs_separators_or_foreign_digits_is_unreadable(cell):
    found, bad = values.money(pa.array([cell]))

    assert found.to_pylist() == [None]
    assert bad.tolist() == [True]


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=20))
def test_a_number_is_finite_or_marked_and_what_is_read_is_what_python_reads(texts):
    found, bad = values.number(pa.array(texts, pa.string()))

    for text, value, unreadable in zip(texts, found.to_pylist(), bad.tolist(), strict=True):
        filled = bool(text and text.strip())
        assert (value is None) == (unreadable or not filled)
        assert value is None or value == float(text.strip())


@pytest.mark.parametrize("cell, value", [("3", 3), ("3.0", 3), ("3.5", None), ("1e2", 100), ("9007199254740993", None),
                                         ("x", None), ("-4", -4)])
def test_a_whole_number_has_no_fraction_and_is_exact(cell, value):
    found, bad = values.whole(pa.array([cell]))

    assert found.to_pylist() == [value]
    assert bad.tolist() == [value is None]


def test_whole_floats_read_as_whole_numbers_and_nothing_as_null():
    assert values.text(pa.array([12.0, 1.5, float("nan"), float("inf"), None])).to_pylist() == [
        "12", "1.5", None, None, None]


def test_text_is_trimmed_and_blank_is_nothing():
    assert values.text(pa.array([" ann ", "\t", "", "\u3000中\u3000"])).to_pylist() == ["ann", None, None, "中"]


def test_text_of_bytes_dictionaries_truths_and_half_floats():
    assert values.text(pa.array([b"a\xff"], pa.binary())).to_pylist() == ["a\\xff"]
    assert values.text(pa.array(["x", "x"]).dictionary_encode()).to_pylist() == ["x", "x"]
    assert values.text(pa.array([True, None])).to_pylist() == ["true", None]
    assert values.number(pa.array([1.5], pa.float16()))[0].to_pylist() == [1.5]


def test_a_column_of_nothing_but_nulls_stays_null():
    for read in (values.number, values.whole, values.money):
        found, bad = read(pa.nulls(2))
        assert found.to_pylist() == [None, None]
        assert not bad.any()
