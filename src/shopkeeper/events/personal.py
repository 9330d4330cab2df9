"""E-mail addresses, telephone numbers, payment cards and Chinese identity numbers in what people wrote, masked.

A number is judged by its form, its check digit, the name of its field and the word before it: an order number, an EAN,
a time or a price is none of these. Masking is the last thing at the entrance: names and digests of records are made of
what came, so that a repeat is known as one, masked or not.

Not found: names, street addresses, addresses in scripts other than Latin (`用户@例子.中国`), and numbers in words.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from urllib.parse import unquote_plus

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events import values
from shopkeeper.words import Sentence, say

__all__ = ["CHECKED", "MASKS", "Found", "find", "is_card", "is_chinese_id", "luhn_digit", "mask", "mask_json",
           "mask_url", "masked", "masked_props", "said"]

Kind = Literal["email", "phone", "card", "id"]
MASKS: Mapping[Kind, str] = {"email": "[email]", "phone": "[phone]", "card": "[card]", "id": "[id number]"}
ADDRESSES = ("url", "referrer")
TEXTS = ("query", "text", "utm_term")
CHECKED = (*TEXTS, *ADDRESSES, "props")  # the columns of the event table that are looked through

# Characters that are written for others, one for one, so that places stay: full-width forms, dashes, blanks.
_PLAIN = str.maketrans({**{chr(0xFF01 + n): chr(0x21 + n) for n in range(94)}, "\u3000": " ", "\u00a0": " ",
                        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-"})

_ALONE = r"(?<![0-9A-Za-z_])(?<![0-9][-.])(?<![0-9A-Za-z]/)(?<![0-9a-f]{4}-)"  # no digit, letter, UUID or path goes on
_ENDS = r"(?![0-9A-Za-z_]|[.,:]?[0-9]|-[0-9])"
_LOCAL = r"A-Za-z0-9\u00c0-\u024f._%+'\-"
_EMAILS = (
    re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]{{1,64}}(?:@|%40)(?:[A-Za-z0-9\-]{{1,63}}\.)+[A-Za-z]{{2,24}}"
               r"(?![A-Za-z0-9@])"),
    re.compile(rf"(?<![{_LOCAL}])[A-Za-z0-9._+'\-]{{1,64}} ?[\[(]at[\])] ?[A-Za-z0-9\-]{{1,63}}"
               r"(?:(?: ?[\[(]dot[\])] ?|\.)[A-Za-z]{2,24}){1,3}", re.IGNORECASE),
    re.compile(rf"(?<![{_LOCAL}])[A-Za-z0-9._+'\-]{{1,64}} at [A-Za-z0-9\-]{{1,63}}"
               r"(?: dot [A-Za-z]{2,24}){1,3}(?![A-Za-z0-9])", re.IGNORECASE),
)
_FILES = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|js|css)$", re.IGNORECASE)  # photo@2x.png
_ID = re.compile(rf"{_ALONE}[1-8]\d{{5}}[ \-]?(?:18|19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
                 rf"[ \-]?\d{{3}}[0-9Xx]{_ENDS}")
_CARD = re.compile(rf"{_ALONE}(?:\d{{4}}(?P<a>[ \-]?)\d{{4}}(?P=a)\d{{4}}(?P=a)\d{{4}}(?:(?P=a)\d{{1,3}})?"
                   rf"|3\d{{3}}(?P<b>[ \-]?)\d{{6}}(?P=b)\d{{4,5}}){_ENDS}")
_PHONES = tuple(re.compile(_ALONE + form + _ENDS) for form in (
    # E.164, and with 00 where it is in groups
    r"(?:\+[1-9]\d{0,2}|(?<![0-9] )00[1-9]\d{0,2}(?=[ .\-/(]))(?:[ .\-]?\(0\))?(?:[ .\-]\d)?"
    r"(?:[ .\-/]?\(?\d{2,8}\)?){1,5}",
    # China: mobile, then a line with its area
    r"(?:(?:\+|00)?86[ \-]?)?1[3-9]\d(?P<a>[ \-]?)\d{4}(?P=a)\d{4}",
    r"(?:\+?86[ \-]?)?1[3-9]\d(?P<a>[ \-])\d{3}(?P=a)\d{5}",
    r"\(?0(?:10|2\d|[3-9]\d{2})(?:\)[ \-]?|[ \-])\d{3,4}[ \-]?\d{4}",
    # North America
    r"(?:1[ .\-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .\-])[2-9]\d{2}[ .\-]\d{4}",
    # United Kingdom, France, Germany and their likes: the 0 of the trunk, then groups
    r"(?:\(0\d{2,4}\)|0\d{2,4})[ \-]\d{3,4}[ \-]\d{3,4}", r"0[1-9]\d{3}[ \-]\d{6}", r"0[1-9](?:[ .\-]\d{2}){4}",
    r"0[1-9]\d{1,4}[ /\-]\d{5,8}", r"0[1-9]\d{2,3}[ /\-]\d{2,4}(?: \d{2,4}){1,3}", r"0[1-9]\d{8,9}",
))
# A number of whatever form, where the word before it says what it is.
_LINK = r"(?:[\s:=\-.#]|\b(?:number|no|nr|is|at|me|on|us|my)\b|号码|号|是|为|请)*"
_CALLED = re.compile(
    rf"(?:(?<![A-Za-z])(?:phone|mobile|cell|tel|telephone|call|text|whatsapp|fax|sms|ring|telefon|handy)(?![A-Za-z])"
    rf"|电话|手机|联系方式|致电|拨打|短信){_LINK}(?P<number>\+?\(?\d[0-9 ().\-/]{{5,18}}\d){_ENDS}", re.IGNORECASE)
_NO_PHONE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d+\.\d{1,2}\Z|(?:\d{1,3}\.){3}\d")
# What stands before a number that is another one.
_OTHER = re.compile(
    r"(?:(?<![a-z])(?:order|orders|tracking|track|parcel|shipment|waybill|sku|ean|isbn|upc|gtin|imei|serial|ref"
    r"|reference|invoice|receipt|ticket|case|timestamp|price|item|product|article|model|version|batch|lot|coupon"
    r"|voucher|transaction|session|bestellung|id)|订单|订单号|单号|运单|快递|流水|序列|发票|时间戳|价格|商品|编号|货号"
    r"|批号|批次|条码|条形码|型号|券码|券|编码)"
    r"(?:[\s:=#.\-\"'(]|(?<![a-z])(?:no|nr|number|code|id|is|was|barcode)(?![a-z])|号码|号|是|为)*\Z", re.IGNORECASE)
_BEFORE = 32  # characters that are looked back
_MONEY = re.compile(r"[$€£¥￥]\s?\Z")

# What the name of a field says of a number in it; `_` between its words.
_NAMED: Mapping[Kind, re.Pattern[str]] = {
    "email": re.compile(r"e_?mail|邮箱|邮件"),
    "phone": re.compile(r"phone|mobile|(?:^|_)(?:tel|cell|fax|msisdn|whatsapp)(?:_|$)|手机|电话|联系方式"),
    "card": re.compile(r"card_?(?:no|nr|num|number)|(?:^|_)(?:pan|credit_card|bank_card)$|卡号|银行卡|信用卡"),
    "id": re.compile(r"id_?card|身份证|证件号|(?:identity|citizen|national)_?(?:id|no|number|card)"),
}
_OTHER_FIELD = re.compile(
    r"order|sku|ean$|isbn|upc|gtin|asin|item|product|variant|transaction|txn|invoice|tracking|session|request|click"
    r"|gclid|msclkid|fbclid|campaign|price|amount|value|total|revenue|time|date|(?:^|_)(?:ts|id|ids|ip|lat|lon|lng)(?:_|$)"
    r"|version|code|barcode|serial|hash|token|uuid|size|count|quantity|单号|编号|货号|条码|价格|金额|时间|编码")
_WHOLE: Mapping[Kind, re.Pattern[str]] = {  # an identity card's number is no payment card's: it comes first
    "id": re.compile(r"\d{15}|\d{6} ?\d{8} ?\d{3}[0-9Xx]"), "phone": re.compile(r"\+?[0-9 ().\-/]{6,24}"),
    "card": re.compile(r"[0-9 \-]{12,23}"),
}
_DIGITS_OF: Mapping[Kind, range] = {"phone": range(7, 16), "card": range(12, 20), "id": range(15, 19)}

# Whether a text may hold any, in two steps, for Arrow, whose expressions know no look-around: both are wider than what
# is found. The first is fast; the second knows an identifier or a time of 13 digits from a telephone.
_S = "[ ./()（）\\-\u2010-\u2014\u2212\u00a0\u3000]"
_ADDRESS = r"@|＠|%40|[\[(（]at[\])）]| dot [a-z]"
_SIGN = rf"(?i:{_ADDRESS})|[0-9０-９](?:{_S}{{0,2}}[0-9０-９]){{6}}"
_FORMS = "|".join((
    r"\+[1-9](?:[0-9]|S){6}", r"00[1-9][0-9]{0,2}S", r"(?:86S?)?1[3-9][0-9]S?[0-9]{3,4}S?[0-9]{4,5}E",
    r"S?0[0-9]{2,4}S{1,2}[0-9]{2}", r"0[1-9]S[0-9]{2}S[0-9]{2}S[0-9]{2}S", r"0[1-9][0-9]{8,9}E",
    r"0[1-9][0-9]{3}S?[0-9]{6}E",
    r"S?[2-9][0-9]{2}S{1,2}[2-9][0-9]{2}S[0-9]{4}E", r"[2-6][0-9]{3}S?[0-9]{4}S?[0-9]{4}S?[0-9]{4}S?[0-9]{0,3}E",
    r"3[0-9]{3}S?[0-9]{6}S?[0-9]{4,5}E", r"[1-8][0-9]{5}S?(?:18|19|20)[0-9]{2}[01][0-9][0-3][0-9]S?[0-9]{3}[0-9X]E",
)).replace("S", _S).replace("E", "(?:$|[^0-9A-Za-z_])")
_CALLS = (r"(?:phone|mobile|\btel|\bcell|\bfax|\bcall|\btext|whatsapp|\bsms|\bring\b|telefon|\bhandy|msisdn|\bpan\b"
          r"|card|identity|citizen|national|手机|电话|联系方式|致电|拨打|短信|卡|身份证|证件)[^0-9]{0,24}"
          rf"[0-9](?:{_S}{{0,2}}[0-9]){{5}}")
_LIKELY = rf"(?i:{_ADDRESS}|[０-９]|(?:^|[^0-9A-Za-z_])(?:{_FORMS})|{_CALLS})"
_MAY = re.compile(_SIGN)


@dataclass(frozen=True)
class Found:
    """Something personal in a text: what, and where (`start` to `end`, characters)."""

    kind: Kind
    start: int
    end: int


def find(text: str, name: str = "") -> list[Found]:
    """What is personal in a text, from left to right; none overlap.

    Args:
        text: Free text, or the value of a field.
        name: The field's name, if it has one; it may say what a number is.

    >>> find("write to ann@example.org or call 13800138000, order 4111111111111111")
    [Found(kind='email', start=9, end=24), Found(kind='phone', start=33, end=44)]
    """
    found: list[Found] = []
    if not _MAY.search(text):
        return found
    plain, field = text if text.isascii() else text.translate(_PLAIN), _words(name)
    if field and (whole := _by_name(plain, field)) is not None:
        return [whole]
    other = bool(field and _OTHER_FIELD.search(field)) and not any(form.search(field) for form in _NAMED.values())
    for one in _candidates(plain, other):
        if all(one.end <= known.start or one.start >= known.end for known in found):
            found.append(one)
    return sorted(found, key=lambda one: one.start)


def _by_name(plain: str, field: str) -> Found | None:
    """A whole cell that is what the name of its field says."""
    start, end = len(plain) - len(plain.lstrip()), len(plain.rstrip())
    cell = plain[start:end]
    for kind, form in _WHOLE.items():
        digits = sum(one.isdigit() for one in cell)
        right = digits in _DIGITS_OF[kind] and _NAMED[kind].search(field) and form.fullmatch(cell)
        if right and not (kind == "phone" and _NO_PHONE.match(cell)):
            return Found(kind, start, end)
    return None


def _candidates(plain: str, other: bool) -> Iterator[Found]:
    """What may be personal, the surest first; with `other`, the field is known to hold other numbers."""
    for form in _EMAILS:
        yield from (Found("email", *hit.span()) for hit in form.finditer(plain) if not _FILES.search(hit[0]))
    yield from (Found("id", *hit.span()) for hit in _ID.finditer(plain) if is_chinese_id(hit[0]))
    if other:
        return
    yield from (Found("card", *hit.span()) for hit in _CARD.finditer(plain)
                if is_card(hit[0]) and not _is_other(plain, hit.start()))
    for form in _PHONES:
        yield from (Found("phone", *hit.span()) for hit in form.finditer(plain)
                    if _is_phone(hit[0]) and not _is_other(plain, hit.start()))
    for hit in _CALLED.finditer(plain):
        if _is_phone(hit["number"], 7, 12):
            yield Found("phone", *hit.span("number"))


def _is_other(plain: str, start: int) -> bool:
    """Whether the words before a number say that it is something else."""
    before = plain[max(0, start - _BEFORE):start]
    return bool(_OTHER.search(before) or _MONEY.search(before))


def _is_phone(number: str, least: int = 8, most: int = 15) -> bool:
    digits = sum(one.isdigit() for one in number)
    return least <= digits <= most and not _NO_PHONE.match(number)


def _words(name: str) -> str:
    """The name of a field with `_` between its words: `phoneNumber` and `Phone number` are `phone_number`."""
    return re.sub(r"[^0-9a-z\u0080-\U0010ffff]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def luhn_digit(digits: str) -> str:
    """The check digit of a card number.

    Source: ISO/IEC 7812-1, annex B.

    >>> luhn_digit("411111111111111")
    '1'
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 - place % 2)
        total += number - 9 if number > 9 else number
    return str(-total % 10)


_ISSUERS = (  # first digits from, to; lengths
    ("4", "4", (16,)), ("51", "55", (16,)), ("2221", "2720", (16,)), ("34", "34", (15,)), ("37", "37", (15,)),
    ("6011", "6011", (16,)), ("644", "659", (16,)), ("3528", "3589", (16,)), ("300", "305", (14,)),
    ("36", "36", (14,)), ("38", "39", (14,)), ("62", "62", (16, 17, 18, 19)),
)


def is_card(text: str) -> bool:
    """Whether a number is a payment card's: an issuer's first digits, their length, and the check digit.

    The issuers are Visa, Mastercard, American Express, Discover, JCB, Diners Club and UnionPay.
    Source: ISO/IEC 7812; the networks' published ranges.

    >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112"), is_card("4006381333931")
    (True, False, False)
    """
    digits = re.sub(r"\D", "", text)
    known = any(first <= digits[:len(first)] <= last and len(digits) in lengths for first, last, lengths in _ISSUERS)
    return known and digits[-1] == luhn_digit(digits[:-1]) and len(set(digits)) > 1


_PROVINCES = frozenset("11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 "
                       "71 81 82 83".split())
_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))


def is_chinese_id(text: str) -> bool:
    """Whether a number is a Chinese identity number of 18: province, day of birth, check digit.

    Source: GB 11643-1999.

    >>> is_chinese_id("11010519491231002X"), is_chinese_id("110105194912310021")
    (True, False)
    """
    digits = re.sub(r"[ \-]", "", text).upper()
    if len(digits) != 18 or digits[:2] not in _PROVINCES:
        return False
    try:
        date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    return digits[17] == chinese_check(digits[:17])


def chinese_check(digits: str) -> str:
    """The check digit of 17 digits of a Chinese identity number; `X` is ten."""
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11]


def mask(text: str, name: str = "", counts: Counter[str] | None = None) -> str:
    """A text with what is personal in it masked.

    Args:
        text: Free text, or the value of a field.
        name: The field's name, if it has one.
        counts: Counts what was masked, by kind.

    >>> mask("我的手机是13800138000，邮箱ann@example.org")
    '我的手机是[phone]，邮箱[email]'
    """
    found = find(text, name)
    for one in reversed(found):
        text = text[:one.start] + MASKS[one.kind] + text[one.end:]
    if counts is not None:
        counts.update(one.kind for one in found)
    return text


_PAIR = re.compile(r"(?P<name>[^?&#;=/]*)=(?P<value>[^&#;]*)")


def mask_url(url: str, counts: Counter[str] | None = None) -> str:
    """An address with what is personal in its query and fragment masked; in the path, addresses of e-mail only.

    >>> mask_url("https://shop.example/p/13800138000?mail=ann%40example.org&n=2&order=4111111111111111")
    'https://shop.example/p/13800138000?mail=[email]&n=2&order=4111111111111111'
    """
    cut = re.search(r"[?#]", url)
    path, rest = (url, "") if cut is None else (url[:cut.start()], url[cut.start():])
    counts = Counter() if counts is None else counts

    def pair(hit: re.Match[str]) -> str:
        value, seen = unquote_plus(hit["value"]), Counter[str]()
        hidden = mask(value, unquote_plus(hit["name"]), seen)
        counts.update(seen)
        return f"{hit['name']}={hidden}" if seen else hit[0]

    return _only_emails(path, counts) + _only_emails(_PAIR.sub(pair, rest), counts)


def _only_emails(text: str, counts: Counter[str]) -> str:
    def one(hit: re.Match[str]) -> str:
        if _FILES.search(hit[0]):
            return hit[0]
        counts["email"] += 1
        return MASKS["email"]

    return _EMAILS[0].sub(one, text)


class _Number(float):
    """A number of a JSON text, written as it came."""

    def __new__(cls, text: str) -> _Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __repr__(self) -> str:
        return self.text


def mask_json(text: str, counts: Counter[str] | None = None) -> str:
    """A JSON object with what is personal in its names, texts and numbers masked; one without any stays as it is.

    >>> mask_json('{"phone":13800138000,"note":"ann@example.org","n":1.50,"order_id":"13800138000"}')
    '{"phone":"[phone]","note":"[email]","n":1.50,"order_id":"13800138000"}'
    """
    seen = Counter[str]()
    try:
        found = json.loads(text, parse_float=_Number)
    except (ValueError, RecursionError):
        return mask(text, counts=counts)
    hidden = _hidden(found, "", seen)
    if not seen:
        return text
    if counts is not None:
        counts.update(seen)
    return _written(hidden)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_written(cell)}"
                              for name, cell in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(cell) for cell in value) + "]"
    return value.text if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def _hidden(value: Any, name: str, seen: Counter[str]) -> Any:
    if isinstance(value, dict):
        return {_only_emails(key, seen): _hidden(cell, key, seen) for key, cell in value.items()}
    if isinstance(value, list):
        return [_hidden(cell, name, seen) for cell in value]
    if isinstance(value, str):
        return _of_text(value, name, seen)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        hidden = mask(str(value), name, seen)
        return hidden if hidden.startswith("[") else value
    return value


def _of_text(text: str, name: str, seen: Counter[str]) -> str:
    """A text of a JSON object: itself JSON, an address, or words."""
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
        try:
            inner = json.loads(text, parse_float=_Number)
        except (ValueError, RecursionError):
            return mask(text, name, seen)
        before = seen.total()
        hidden = _hidden(inner, name, seen)
        return text if seen.total() == before else _written(hidden)
    if re.match(r"(?:https?:/)?/\S*\Z", text):
        return mask_url(text, seen)
    return mask(text, name, seen)


def masked(table: pa.Table) -> tuple[pa.Table, Counter[str]]:
    """Rows of the event table with what is personal in their texts masked.

    Args:
        table: With the columns of `CHECKED`, as text.

    Returns:
        The table, and kind -> how many were masked.
    """
    return _masked(table, {**dict.fromkeys(TEXTS, mask_text), **dict.fromkeys(ADDRESSES, mask_url), "props": mask_json})


def masked_props(table: pa.Table) -> tuple[pa.Table, Counter[str]]:
    """Rows of another table with what is personal in their `props` masked."""
    return _masked(table, {"props": mask_json})


def said(hidden: Mapping[str, int]) -> tuple[Sentence, ...]:
    """What was masked, kind -> how many, in words."""
    words = {"email": say("{n:,} e-mail addresses in texts were masked.", n=hidden.get("email", 0)),
             "phone": say("{n:,} telephone numbers in texts were masked.", n=hidden.get("phone", 0)),
             "card": say("{n:,} card numbers in texts were masked.", n=hidden.get("card", 0)),
             "id": say("{n:,} identity numbers in texts were masked.", n=hidden.get("id", 0))}
    return tuple(sentence for kind, sentence in words.items() if hidden.get(kind))


def mask_text(text: str, counts: Counter[str] | None = None) -> str:
    """As `mask`, of a text without a field."""
    return mask(text, counts=counts)


def _masked(table: pa.Table, how: Mapping[str, Callable[[str, Counter[str]], str]]) -> tuple[pa.Table, Counter[str]]:
    counts = Counter[str]()
    for name, hide in how.items():
        cells = table.column(name)
        if cells.null_count == len(cells):
            continue
        place = table.column_names.index(name)
        hidden = _column(values.flat(cells), hide, counts)
        if hidden is not None:
            table = table.set_column(place, table.schema.field(name), hidden)
    return table, counts


def _column(cells: Any, hide: Callable[[str, Counter[str]], str], counts: Counter[str]) -> Any:
    """(n,) texts masked; None where nothing was."""
    rows = _suspects(cells)
    if not len(rows):
        return None
    encoded = cells.take(pa.array(rows)).dictionary_encode()
    times = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary)).tolist()
    texts, changed = encoded.dictionary.to_pylist(), False
    for place, text in enumerate(texts):
        seen = Counter[str]()
        texts[place] = hide(text, seen)
        changed = changed or bool(seen)
        counts.update({kind: count * times[place] for kind, count in seen.items()})
    if not changed:
        return None
    where = np.zeros(len(cells), bool)
    where[rows] = True
    return pc.replace_with_mask(cells, pa.array(where), pa.array(texts, pa.string()).take(encoded.indices))


def _suspects(cells: Any) -> Any:
    """The rows of (n,) texts that may hold something personal."""
    given = np.flatnonzero(values.mask_of(cells.is_valid()))
    some = cells if len(given) == len(cells) else cells.take(pa.array(given))
    rows = given[values.mask_of(pc.match_substring_regex(some, _SIGN))]
    return rows[values.mask_of(pc.match_substring_regex(cells.take(pa.array(rows)), _LIKELY))]
