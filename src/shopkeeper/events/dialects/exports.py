"""Readers of single cells as back offices and spreadsheets write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from shopkeeper.events.dialects.base import Wrong, shortly, text_of
from shopkeeper.events.dialects.values import number, said
from shopkeeper.events.separators import SIGNS
from shopkeeper.words import say

_STEP = Decimal("0.0001")          # of decimal(18, 4)
_EXACT = 15                        # digits that a spreadsheet keeps of a number
_FIRST, _LAST = 20_000, 80_000     # days of a spreadsheet: 1954 to 2119
_EPOCH = datetime(1899, 12, 30)    # day 0 of a spreadsheet
_WRITTEN = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日?\s*(?:(\d{1,2})[:时](\d{1,2})(?:[:分](\d{1,2}))?[分秒]?)?")


def cell(value: Any) -> str | None:
    """A cell without what spreadsheets wrap around it: `="00123"`, a quote or a tab before a long number.

    >>> cell('="00123"'), cell("'4501"), cell("-")
    ('00123', '4501', None)
    """
    return _bare(text_of(value))


@lru_cache(maxsize=4_096)
def _bare(text: str) -> str | None:
    text = text.strip().strip("\ufeff")
    if text.startswith("=") and (wrapped := re.fullmatch(r'="?(.*?)"?', text)) is not None:
        text = wrapped[1]
    text = text.lstrip("'\t").strip()
    return None if text in ("-", "--", "无", "空", "null", "None") else said(text)


def code(value: Any) -> str | None:
    """A number that names something.

    Raises:
        ValueError: A spreadsheet has cut it: many would be one.

    >>> code('="2026090300000000001"'), code("TEA-100")
    ('2026090300000000001', 'TEA-100')
    """
    text = cell(value)
    if text is None:
        return None
    kept = text_of(value).strip().startswith(('="', "'"))  # as text: nothing was cut
    cut = not kept and len(text) >= _EXACT + 3 and text.isdecimal() and not text[_EXACT:].strip("0")
    if cut or re.fullmatch(r"\d(\.\d+)?[Ee]\+\d{1,3}", text):
        raise Wrong(say("{value}: a spreadsheet has cut this number; export it again, and keep the column as text.",
                        value=text[:40]))
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text


def money(value: Any) -> str | None:
    """An amount as its plain number: signs of currencies, thousands and blanks taken off.

    Raises:
        ValueError: It is no amount.

    >>> money("¥1,299.00"), money("12.5元"), money("(3.00)"), money("-¥4.50")
    ('1299', '12.5', '-3', '-4.5')
    """
    if text_of(value).strip().lower() == "nan":
        raise Wrong(say("{value} is no number.", value=shortly(value)))
    text = cell(value)
    if text is None or text.startswith(("无", "没有")):  # 无退款
        return None
    less = text.startswith(("-", "−", "(", "（"))
    text = text.strip("-−()（） ")
    text = re.sub(rf"^({SIGNS})\s*|\s*(元|{SIGNS})$", "", text).strip()
    found = number(re.sub(r"(?<=\d)[,，](?=\d{3}(\D|$))", "", text).replace(" ", ""))
    return f"-{found}" if less and found.strip("0.") else found


def plain(value: Any) -> str | None:
    """An amount without its sign: of a discount, or of what was paid back.

    >>> plain("-2.00")
    '2'
    """
    found = money(value)
    return None if found is None else found.lstrip("-")


def amount(value: Decimal) -> str:
    """A computed amount as its plain number, half to even beyond four decimals.

    >>> amount(Decimal("10") / 3), amount(Decimal("4.50"))
    ('3.3333', '4.5')
    """
    return number(value.quantize(_STEP, rounding=ROUND_HALF_EVEN))


def moment(value: Any) -> str | None:
    """A time, as a text that the reader of times knows: days of a spreadsheet, Chinese dates, and whatever else it is.

    >>> moment("46268.4166666667"), moment("2026年9月3日 10:05"), moment("2026/9/3 10:05")
    ('2026-09-03 10:00:00', '2026-09-03 10:05:00', '2026/9/3 10:05')
    """
    text = cell(value)
    if text is None or text.startswith("0000-00-00"):
        return None
    if re.fullmatch(r"\d{5}(\.\d+)?", text) and _FIRST <= float(text) < _LAST:
        seconds = round(float(text) * 86_400)
        return (_EPOCH + timedelta(seconds=seconds)).isoformat(sep=" ")
    if written := _WRITTEN.fullmatch(text):
        return datetime(*(int(part or 0) for part in written.groups())).isoformat(sep=" ")  # type: ignore[arg-type]
    return text
