"""Cells of any source as text, numbers, money and codes; what cannot be read is null and marked, never guessed.

Every function takes one Arrow array of n cells and returns the typed array with a mask (n,) of the cells that held
something that could not be read.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.schema import MONEY

Mask = npt.NDArray[np.bool_]
Read = tuple[Any, Mask]  # (typed array (n,), unreadable (n,))

_PLAIN_MONEY = r"^[+-]?\d{1,14}(\.\d{1,4})?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_MONEY_DIGITS = 14  # before the point, in decimal(18, 4)
_MONEY_LIMIT = 10**_MONEY_DIGITS
_BLANK, _BEYOND = 0x20, 0x80  # bytes: up to here blanks and control characters; from here on not ASCII
_CENT_STEP = Decimal("0.0001")


def spans(cells: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """The lengths (n,) of strings in bytes, and all their bytes in one; what lies under a null may be there, too.

    >>> lengths, data = spans(pa.array(["ab", "", "c"]))
    >>> lengths.tolist(), data.tobytes()
    ([2, 0, 1], b'abc')
    """
    _, places, data = cells.buffers()
    if places is None or not places.size or data is None:
        return np.zeros(len(cells), np.int32), np.zeros(0, np.uint8)
    offsets = np.frombuffer(places, np.int32)[cells.offset:cells.offset + len(cells) + 1]
    return np.diff(offsets), np.frombuffer(data, np.uint8)[offsets[0]:offsets[-1]]


def flat(array: Any) -> Any:
    """One contiguous, dictionary-free Arrow array; NaN, which data frames write for nothing, is null."""
    if isinstance(array, pa.ChunkedArray):
        alone = array.num_chunks == 1 and array.chunk(0).offset == 0  # then there is nothing to copy
        array = array.chunk(0) if alone else array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_float16(array.type):
        array = pc.cast(array, pa.float32())  # few functions of Arrow know half floats
    if pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
        return pc.if_else(pc.is_nan(array), None, array)
    return array


def mask_of(array: Any) -> Mask:
    """A Boolean Arrow array as a numpy mask; null is False."""
    if array.null_count:
        array = pc.fill_null(array, False)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)


def nothing(n: int) -> Mask:
    """A mask that marks none of n cells."""
    return np.zeros(n, dtype=bool)


def text(array: Any) -> Any:
    """Cells as text, outer blanks trimmed, empty as null; a whole-valued float reads as a whole number.

    >>> text(pa.array([12.0, 1.5, None])).to_pylist()
    ['12', '1.5', None]
    """
    array = flat(array)
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**53))
        ints = pc.cast(pc.cast(pc.if_else(whole, array, None), pa.int64(), safe=False), pa.string())
        array = pc.coalesce(ints, pc.cast(pc.if_else(pc.is_finite(array), array, None), pa.string()))
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        array = pa.array([None if cell is None else cell.decode("utf-8", "backslashreplace")
                          for cell in array.to_pylist()], pa.string())
    elif not pa.types.is_string(kind):
        array = pc.cast(array, pa.string())
    lengths, data = spans(array)
    if _padded(lengths, data):
        array = pc.utf8_trim_whitespace(array)
        lengths, _ = spans(array)
    empty = lengths == 0
    if array.null_count:
        empty &= mask_of(array.is_valid())
    if not empty.any():
        return array
    return pc.if_else(pc.equal(pc.binary_length(array), 0), None, array)


def _padded(lengths: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> bool:
    """Whether any text may begin or end with a blank; beyond ASCII that is for others to say."""
    if not data.size or (data.min() > _BLANK and data.max() < _BEYOND):
        return False
    ends = np.cumsum(lengths, dtype=np.int64)[lengths > 0]
    edges = np.concatenate([data[ends - 1], data[ends - lengths[lengths > 0]]])
    return bool(((edges <= _BLANK) | (edges >= _BEYOND)).any())


def number(array: Any) -> Read:
    """Cells as float64. Text must be a plain number (no thousands separator); infinities and NaN are unreadable."""
    array = flat(array)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
        values = pc.cast(array, pa.float64(), safe=False)
        good = pc.is_finite(values)
        return pc.if_else(good, values, None), mask_of(pc.and_(pc.is_valid(array), pc.invert(pc.fill_null(good, True))))
    cells = text(array)
    good = pc.fill_null(pc.match_substring_regex(cells, _NUMBER), False)
    values = pc.cast(pc.if_else(good, cells, None), pa.float64())
    finite = pc.fill_null(pc.is_finite(values), True)
    return pc.if_else(finite, values, None), mask_of(pc.and_(pc.is_valid(cells), pc.invert(pc.and_(good, finite))))


def whole(array: Any) -> Read:
    """Cells as int64; a number with a fraction is unreadable."""
    values, bad = number(array)
    fits = pc.fill_null(pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53)), True)
    return pc.cast(pc.if_else(fits, values, None), pa.int64()), bad | ~mask_of(fits)


def money(array: Any) -> Read:
    """Cells as decimal(18, 4), half to even beyond four decimals. Currency signs and separators are unreadable.

    >>> values, bad = money(pa.array(["1.25", "1,000", "2e1"]))
    >>> values.to_pylist(), bad.tolist()
    ([Decimal('1.2500'), None, Decimal('20.0000')], [False, True, False])
    """
    array = flat(array)
    kind = array.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        values = decimals(pc.cast(array, pa.float64(), safe=False))
        return values, mask_of(pc.and_(pc.is_valid(array), pc.is_null(values)))
    if pa.types.is_decimal(kind) and 0 <= kind.scale <= MONEY.scale and kind.precision - kind.scale <= _MONEY_DIGITS:
        return array if kind == MONEY else pc.cast(array, MONEY), nothing(len(array))
    cells = text(array)
    plain = pc.fill_null(pc.match_substring_regex(cells, _PLAIN_MONEY), False)
    values = pc.cast(pc.if_else(plain, cells, None), MONEY)
    odd = mask_of(pc.and_(pc.is_valid(cells), pc.invert(plain)))
    if not odd.any():
        return values, odd
    parsed = by_unique(cells, odd, _decimal, MONEY)
    return pc.coalesce(values, parsed), odd & mask_of(pc.is_null(parsed))


def unsigned(cells: Any, where: Mask) -> tuple[Any, Mask]:
    """Numbers without their minus in the marked ones of n rows; and (n,) which had one.

    >>> unsigned(pa.array([-1.5, -2.0]), np.array([True, False]))[0].to_pylist()
    [1.5, -2.0]
    """
    less = where & mask_of(pc.less(cells, pa.scalar(Decimal(0) if pa.types.is_decimal(cells.type) else 0, cells.type)))
    return (pc.if_else(pa.array(less), pc.abs(cells), cells), less) if less.any() else (cells, less)


def decimals(floats: Any) -> Any:
    """Floats as decimal(18, 4), half to even; what does not fit is null.

    >>> decimals(pa.array([0.00005, 1e14, None])).to_pylist()
    [Decimal('0.0000'), None, None]
    """
    near = pc.if_else(pc.less(pc.abs(floats), float(_MONEY_LIMIT)), floats, None)  # NaN is not less
    rounded = pc.round(near, 4)
    return pc.cast(pc.if_else(pc.less(pc.abs(rounded), float(_MONEY_LIMIT)), rounded, None), MONEY, safe=False)


def by_unique(cells: Any, where: Mask, convert: Callable[[str], Any], kind: pa.DataType) -> Any:
    """`convert` applied once to each distinct text among the marked cells; elsewhere null."""
    encoded = pc.dictionary_encode(pc.if_else(pa.array(where), cells, None))
    values = pa.array([convert(cell) for cell in encoded.dictionary.to_pylist()], kind)
    return values.take(encoded.indices)


def _decimal(cell: str) -> Decimal | None:
    try:
        value = Decimal(cell)
    except InvalidOperation:
        return None
    if "_" in cell or not cell.isascii() or not value.is_finite() or abs(value) >= _MONEY_LIMIT:
        return None
    rounded = value.quantize(_CENT_STEP, rounding=ROUND_HALF_EVEN)
    return rounded if abs(rounded) < _MONEY_LIMIT else None
