"""Numbers as people write them: `1,299.00`, `1.234,50`, `9,99`, `¥12.50`; the same digits can mean two things.

A cell is read by itself where only one reading is possible. `1,299` has two: the other cells of its column say which,
and where they do not, it is unreadable, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events import values

__all__ = ["SIGNS", "NumberRule", "readings", "written"]

SIGNS = r"CNY|RMB|USD|EUR|GBP|US\$|HK\$|[¥￥$€£]"
_AROUND = re.compile(rf"^({SIGNS})\s*|\s*(元|{SIGNS})$")
_BLANKS = re.compile(r"(?<=\d)[\s'’](?=\d{3}(\D|$))")  # between thousands, and never anything else
_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?|[1-9]\d?(,\d{2})+,\d{3}(\.\d*)?")  # the latter in India
_BARE = re.compile(r"\d+\.?\d*|\.\d+")
_BOTH = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"  # a plain number that is another where the point is between thousands
_POINT = r"\.(\d{1,2}|\d{4,})$"
_MIXED = "mixed"
_Both = tuple[str | None, str | None]
_SWAPPED = str.maketrans(",.", ".,")


@dataclass
class NumberRule:
    """How the numbers of one source are written.

    Attributes:
        decimal: Column -> the sign before the decimals, learned from the first batch that shows it; `mixed`: cells
            say both.
        alone: Whether each cell is read by itself; where records of many senders meet, no other can say how.
    """

    decimal: dict[str, str] = field(default_factory=dict)
    alone: bool = False


@lru_cache(maxsize=65_536)
def readings(cell: str) -> _Both:
    """A number as plain text, where the point is before the decimals and where the comma is; None: it is none then.

    >>> readings("¥1,299.00"), readings("(9,99)"), readings("1,299"), readings("12-3")
    (('1299.00', None), (None, '-9.99'), ('1299', '1.299'), (None, None))
    """
    text = cell.strip()
    less = text.startswith(("-", "−")) or text.endswith("-") or (text[:1] in "(（" and text[-1:] in ")）")
    if text[:1] in ("+", "-", "−"):
        text = text[1:]
    elif text[-1:] == "-":
        text = text[:-1]
    elif less:
        text = text[1:-1]
    text = _AROUND.sub("", _AROUND.sub("", text.strip()))
    if text[:1] in ("-", "−") and not less:  # behind the sign of the currency
        less, text = True, text[1:]
    text = _BLANKS.sub("", text.replace("，", ","))
    point, comma = _plain(text), _plain(text.translate(_SWAPPED))
    sign = "-" if less else ""
    return None if point is None else sign + point, None if comma is None else sign + comma


def _plain(text: str) -> str | None:
    if not text.isascii():
        return None
    return text.replace(",", "") if _BARE.fullmatch(text) or _GROUPED.fullmatch(text) else None


def written(array: Any, name: str, rule: NumberRule, base: Callable[[Any], values.Read]) -> values.Read:
    """A column of numbers, however they are written.

    Args:
        array: (n,) cells of any type.
        name: The column of ours that they fill.
        rule: Of their source; learns from them.
        base: Reads plain numbers.

    Returns:
        (n,) typed, and the mask (n,) of what could not be read.
    """
    array = values.flat(array)
    found, bad = base(array)
    swapped = rule.decimal.get(name, ".") != "."
    if not pa.types.is_string(array.type) or not (bad.any() or swapped):
        return found, bad
    cells = values.text(array)
    coded, each = _read(cells, bad)
    sign = _sign(name, rule, each, cells)
    if sign in (",", _MIXED):  # then a plain number may be another one
        bad = bad | values.mask_of(pc.match_substring_regex(cells, _BOTH))
        coded, each = _read(cells, bad)
    texts = pa.array([_chosen(*both, sign) for both in each], pa.string()).take(coded.indices)
    instead, still = base(texts)
    return pc.if_else(pa.array(bad), instead, found), bad & (values.mask_of(pc.is_null(texts)) | still)


def _read(cells: Any, where: values.Mask) -> tuple[Any, list[_Both]]:
    """The marked ones of (n,) texts as codes, and of each different text its readings."""
    coded = pc.dictionary_encode(pc.if_else(pa.array(where), cells, None))
    return coded, [readings(cell) for cell in coded.dictionary.to_pylist()]


def _chosen(point: str | None, comma: str | None, sign: str | None) -> str | None:
    if point is None or comma is None:
        return comma if point is None else point
    if Decimal(point) == Decimal(comma):
        return point
    return {".": point, ",": comma}.get(sign or "")


def _sign(name: str, rule: NumberRule, each: list[_Both], cells: Any) -> str | None:
    """What stands before the decimals of a column, where its cells tell: all that do say the same."""
    if rule.alone:
        return None
    if name not in rule.decimal:
        comma = any(point is None and comma is not None for point, comma in each)
        point = any(comma is None and point is not None for point, comma in each) or bool(
            pc.any(pc.match_substring_regex(cells, _POINT)).as_py())
        if comma or point:
            rule.decimal[name] = _MIXED if comma and point else "," if comma else "."
    return rule.decimal.get(name)
