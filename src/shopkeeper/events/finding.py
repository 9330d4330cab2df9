"""What is personal in what people wrote: addresses of e-mail and machines, numbers of telephones, cards and accounts.

Identity numbers are China's and the social security numbers of the United States. A number is judged by its form, its
check digits, the name of its field and the words before it: an order number, an EAN, a time or a price is none of
these. Names and postal addresses of people are known by the names of their fields alone (`fields`).

Not found: names and streets within a text, numbers in words, and an e-mail address that ends in Chinese letters before
a Latin domain.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from shopkeeper.events.fields import NAMED, named, other_field, versioned, words

Kind = Literal["email", "phone", "card", "id", "iban", "ip", "name", "address"]

# Characters that are written for others, one for one, so that places stay: full-width forms, dashes, blanks.
_PLAIN = str.maketrans({**{chr(0xFF01 + n): chr(0x21 + n) for n in range(94)}, "\u3000": " ", "\u00a0": " ",
                        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-"})

_ALONE = r"(?<![0-9A-Za-z_])(?<![0-9][-.])(?<![0-9A-Za-z]/)(?<![0-9a-f]{4}-)"  # no digit, letter, UUID or path goes on
_ENDS = r"(?![0-9A-Za-z_]|[.,:]?[0-9]|-[0-9])"
_LOCAL = r"A-Za-z0-9\u00c0-\u024f._%+'\-"
_AT, _HOST = r"(?:@|%40|%2540)", r"(?:[A-Za-z0-9\u00c0-\u024f\-]{1,63}\.)+[A-Za-z]{2,24}"
_TOPS = "中国|中國|公司|网络|網絡|网址|商城|香港|台湾|台灣|рф|рус|укр|бел|мкд|срб|бг|ελ|한국|भारत|ไทย|გე|հայ"
EMAIL = re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]{{1,64}}{_AT}{_HOST}(?![A-Za-z@])")
EMAILS = (
    re.compile(rf'"[^"\s][^"\n]{{0,62}}"@{_HOST}(?![A-Za-z@])'),
    # letters that are not Latin: before the sign, of scripts that put blanks between words; or at the end of the host
    re.compile(rf"(?<![\w.+'\-])[\w.+'\-]{{0,63}}[\u0370-\u1fff\uac00-\ud7af][0-9._\-]{{0,16}}@{_HOST}(?![A-Za-z@])"),
    EMAIL,
    re.compile(rf"(?<![\w.+'\-])[\w.+'\-]{{1,64}}@(?:[\w\-]{{1,63}}\.)+(?:{_TOPS}|xn--[a-z0-9\-]{{2,30}})"),
    re.compile(rf"(?<![{_LOCAL}])[A-Za-z0-9._+'\-]{{1,64}} ?[\[(]at[\])] ?[A-Za-z0-9\-]{{1,63}}"
               r"(?:(?: ?[\[(]dot[\])] ?|\.)[A-Za-z]{2,24}){1,3}", re.IGNORECASE),
    re.compile(rf"(?<![{_LOCAL}])[A-Za-z0-9._+'\-]{{1,64}} at [A-Za-z0-9\-]{{1,63}}"
               r"(?: dot [A-Za-z]{2,24}){1,3}(?![A-Za-z0-9])", re.IGNORECASE),
)
_LEAD = re.compile(r".*(?:邮箱|邮件|地址|发到|发给|联系|是|为|到|给)(?=.+@)", re.DOTALL)  # before a local part
FILES = re.compile(r"@[^.@]+\.(?:png|jpe?g|gif|svg|webp|avif|js|css)$", re.IGNORECASE)  # photo@2x.png
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
# Ten digits, where a word before them says that somebody can be reached there.
_REACHED = re.compile(rf"(?<![A-Za-z])(?:reach|contact|number|dial|voicemail|cellphone|ph|hotline){_LINK}"
                      rf"(?:(?:at|me|on|us){_LINK})*"
                      rf"(?P<number>\(?[2-9]\d{{2}}\)?[ .\-]?[2-9]\d{{2}}[ .\-]?\d{{4}}){_ENDS}",
                      re.IGNORECASE)
_SSN = re.compile(rf"{_ALONE}(?!000|666|9)\d{{3}}-(?!00)\d{{2}}-(?!0000)\d{{4}}{_ENDS}")
_AN_ID = re.compile(r"(?<![A-Za-z])(?<!order )(?<!item )(?<!session )id(?:[\s:=#]|\b(?:is|no|nr|number)\b)*\Z",
                    re.IGNORECASE)
_SSN_CALLED = re.compile(r"(?:\bssn\b|social security|social-security|\bsocial\b)[^0-9\n]{0,24}"
                         rf"(?P<number>(?!000|666|9)\d{{3}}[ \-]?(?!00)\d{{2}}[ \-]?(?!0000)\d{{4}}){_ENDS}",
                         re.IGNORECASE)
_IBAN = re.compile(r"(?<![0-9A-Za-z\-])[A-Za-z]{2}\d{2}(?: ?[0-9A-Za-z]{4}){2,7}(?: ?[0-9A-Za-z]{1,3})?"
                   r"(?![0-9A-Za-z])")
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.\-])(?<![A-Za-z]/)(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z_\-]|\.[0-9])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,34}[0-9A-Fa-f:](?![0-9A-Za-z:])")
_COUNTRIES = ("AD AE AL AT AZ BA BE BG BH BR BY CH CR CY CZ DE DK DO EE EG ES FI FO FR GB GE GI GL GR GT HR HU IE IL "
              "IQ IS IT JO KW KZ LB LC LI LT LU LV MC MD ME MK MR MT MU NL NO PK PL PS PT QA RO RS SA SC SE SI SK SM "
              "TL TN TR UA VG XK")  # with a registered form of account numbers
_VERSION = re.compile(r"(?:version|ver|release|firmware|build|(?<![A-Za-z])v|版本|固件)"
                      r"(?:号|码|[\s:=#.\-\"'(]|(?<![a-z])(?:no|nr|number|is|was)(?![a-z])|是|为)*\Z", re.IGNORECASE)
# What stands before a number that is another one.
_OTHER = re.compile(
    r"(?:(?<![a-z])(?:order|orders|tracking|track|parcel|shipment|waybill|sku|ean|isbn|upc|gtin|imei|serial|ref"
    r"|reference|invoice|receipt|ticket|case|timestamp|price|item|product|article|model|version|batch|lot|coupon"
    r"|voucher|transaction|session|bestellung|id)|订单|订单号|单号|运单|快递|流水|序列|发票|时间戳|价格|商品|编号|货号"
    r"|批号|批次|条码|条形码|型号|券码|券|编码)"
    r"(?:[\s:=#.\-\"'(]|(?<![a-z])(?:no|nr|number|code|id|is|was|barcode)(?![a-z])|号码|号|是|为)*\Z", re.IGNORECASE)
_BEFORE = 32  # characters that are looked back
_MONEY = re.compile(r"[$€£¥￥]\s?\Z")

_WHOLE: Mapping[Kind, re.Pattern[str]] = {  # an identity card's number is no payment card's: it comes first
    "id": re.compile(r"\d{15}|\d{6} ?\d{8} ?\d{3}[0-9Xx]"), "phone": re.compile(r"\+?[0-9 ().\-/]{6,24}"),
    "card": re.compile(r"[0-9 \-]{12,23}"),
}
_SOCIAL = re.compile(r"\d{3}[ \-]?\d{2}[ \-]?\d{4}")
_DIGITS_OF: Mapping[Kind, range] = {"phone": range(7, 16), "card": range(12, 20), "id": range(15, 19)}

# Whether a text may hold any, in two steps, for Arrow, whose expressions know no look-around: both are wider than what
# is found. The first is fast; the second knows an identifier or a time of 13 digits from a telephone.
_S = "[ ./()（）\\-\u2010-\u2014\u2212\u00a0\u3000]"
_ADDRESS = r"@|＠|%40|%2540|[\[(（]at[\])）]| dot [a-z]"
_MACHINE = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9a-fA-F]{3}:[0-9a-fA-F:]"
SIGN = (rf"(?i:{_ADDRESS})|[0-9０-９](?:{_S}{{0,2}}[0-9０-９]){{6}}|{_MACHINE}"
        r"|[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}[ -]?[0-9]")
_FORMS = "|".join((
    r"\+[1-9](?:[0-9]|S){6}", r"00[1-9][0-9]{0,2}S", r"(?:86S?)?1[3-9][0-9]S?[0-9]{3,4}S?[0-9]{4,5}E",
    r"S?0[0-9]{2,4}S{1,2}[0-9]{2}", r"0[1-9]S[0-9]{2}S[0-9]{2}S[0-9]{2}S", r"0[1-9][0-9]{8,9}E",
    r"0[1-9][0-9]{3}S?[0-9]{6}E",
    r"S?[2-9][0-9]{2}S{1,2}[2-9][0-9]{2}S[0-9]{4}E", r"[2-6][0-9]{3}S?[0-9]{4}S?[0-9]{4}S?[0-9]{4}S?[0-9]{0,3}E",
    r"[0-9]{3}-[0-9]{2}-[0-9]{4}E", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:$|[^0-9A-Za-z_.])",
    r"[23][0-9a-f]{3}:[0-9a-f:]+:[0-9a-f]",
    r"3[0-9]{3}S?[0-9]{6}S?[0-9]{4,5}E", r"[1-8][0-9]{5}S?(?:18|19|20)[0-9]{2}[01][0-9][0-3][0-9]S?[0-9]{3}[0-9X]E",
)).replace("S", _S).replace("E", "(?:$|[^0-9A-Za-z_])")
_CALLS = (r"(?:(?:phone|mobile|\btel|\bcell|\bfax|\bcall|\btext|whatsapp|\bsms|\bring\b|telefon|\bhandy|msisdn|\bpan\b"
          r"|card|identity|citizen|national|\bssn|social.security|contact_n"
          r"|手机|电话|联系方式|致电|拨打|短信|卡|身份证|证件)[^0-9]{0,24}"
          rf"[0-9](?:{_S}{{0,2}}[0-9]){{5}}|(?:reach|contact|number|dial|voicemail|hotline|\bph\b)[^0-9\"]{{0,24}}"
          r"[2-9][0-9]{2}[ .)-]{0,2}[2-9][0-9]{2}[ .-]?[0-9]{4}(?:$|[^0-9A-Za-z_]))")
_ACCOUNT = (rf"(?:{'|'.join(_COUNTRIES.split())})[0-9]{{2}}(?: ?[0-9a-z]{{4}}){{2,7}}(?: ?[0-9a-z]{{1,3}})?"
            r"(?:$|[^0-9a-z])")
LIKELY = rf"(?i:{_ADDRESS}|[０-９]|(?:^|[^0-9A-Za-z_])(?:{_FORMS}|{_ACCOUNT})|{_CALLS})"
_MAY = re.compile(SIGN)
# A whole cell that a machine drew by lot: nothing in it is anybody's. (No account number has 25 such characters.)
DRAWN = r"^(?:[0-9a-f]{25,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
_DRAWN = re.compile(DRAWN.removesuffix("$") + r"\Z")


@dataclass(frozen=True)
class Found:
    """Something personal in a text: what, and where (`start` to `end`, characters)."""

    kind: Kind
    start: int
    end: int


def find(text: str, name: str = "", above: str = "") -> list[Found]:
    """What is personal in a text, from left to right; none overlap.

    Args:
        text: Free text, or the value of a field.
        name: The field's name, if it has one; it may say what stands in it.
        above: The names of the objects that the field lies in, if any.

    >>> find("write to ann@example.org or call 13800138000, order 4111111111111111")
    [Found(kind='email', start=9, end=24), Found(kind='phone', start=33, end=44)]
    >>> find("Ann Lee", "first name"), find("Blue kettle", "product_name")
    ([Found(kind='name', start=0, end=7)], [])
    """
    field, found = words(name), list[Found]()
    if field and (kind := named(field, words(above))) is not None and text.strip() and not _MASKED.fullmatch(text):
        return [Found(kind, len(text) - len(text.lstrip()), len(text.rstrip()))]
    if not _MAY.search(text) or _DRAWN.match(text):
        return found
    plain = text if text.isascii() else text.translate(_PLAIN)
    if field and (whole := _by_name(plain, field)) is not None:
        return [whole]
    for one in _candidates(plain, bool(field) and other_field(field)):
        if one.kind == "ip" and versioned(field):
            continue
        if all(one.end <= before.start or one.start >= before.end for before in found):
            found.append(one)
    return sorted(found, key=lambda one: one.start)


_MASKED = re.compile(r"\s*\[[a-z ]+\]\s*")


def _by_name(plain: str, field: str) -> Found | None:
    """A whole cell that is what the name of its field says."""
    start, end = len(plain) - len(plain.lstrip()), len(plain.rstrip())
    cell = plain[start:end]
    for kind, form in _WHOLE.items():
        digits = sum(one.isdigit() for one in cell)
        right = digits in _DIGITS_OF[kind] and NAMED[kind].search(field) and form.fullmatch(cell)
        if right and not (kind == "phone" and _NO_PHONE.match(cell)):
            return Found(kind, start, end)
    if NAMED["id"].search(field) and _SOCIAL.fullmatch(cell):
        return Found("id", start, end)
    return Found("ip", start, end) if NAMED["ip"].search(field) and _is_address(cell) else None


def _candidates(plain: str, other: bool) -> Iterator[Found]:
    """What may be personal, the surest first; with `other`, the field is known to hold other numbers."""
    yield from _emails(plain)
    yield from (Found("id", *hit.span()) for hit in _ID.finditer(plain) if is_chinese_id(hit[0]))
    yield from (Found("iban", hit.start(), hit.start() + size) for hit in _IBAN.finditer(plain)
                if (size := iban_length(hit[0])))
    yield from (Found("ip", *hit.span()) for form in (_IPV4, _IPV6) for hit in form.finditer(plain)
                if _is_public(hit[0]) and not _VERSION.search(plain[max(0, hit.start() - _BEFORE):hit.start()]))
    yield from (Found("id", *hit.span("number")) for hit in _SSN_CALLED.finditer(plain))
    if other:
        return
    yield from (Found("id", *hit.span()) for hit in _SSN.finditer(plain)
                if _AN_ID.search(plain[:hit.start()]) or not _is_other(plain, hit.start()))
    yield from (Found("card", *hit.span()) for hit in _CARD.finditer(plain)
                if is_card(hit[0]) and not _is_other(plain, hit.start()))
    yield from _phones(plain)


def _emails(plain: str) -> Iterator[Found]:
    for form in EMAILS:
        for hit in form.finditer(plain):
            lead = None if hit[0].isascii() else _LEAD.match(hit[0])
            if not FILES.search(hit[0]):
                yield Found("email", hit.start() + (lead.end() if lead else 0), hit.end())


def _phones(plain: str) -> Iterator[Found]:
    """Telephones; of what begins at one place, the longest first."""
    hits = [hit for form in _PHONES for hit in form.finditer(plain)
            if _is_phone(hit[0]) and not _is_other(plain, hit.start())]
    hits.sort(key=lambda hit: (hit.start(), -hit.end()))
    yield from (Found("phone", *hit.span()) for hit in hits)
    yield from (Found("phone", *hit.span("number")) for hit in _CALLED.finditer(plain)
                if _is_phone(hit["number"], 7, 12))
    yield from (Found("phone", *hit.span("number")) for hit in _REACHED.finditer(plain)
                if not _is_other(plain, hit.start("number")))


def _is_address(cell: str) -> bool:
    try:
        ipaddress.ip_address(cell)
    except ValueError:
        return False
    return True


def _is_public(cell: str) -> bool:
    """Whether it is the address of a machine that anybody can reach: 192.168.0.1 names nobody."""
    return _is_address(cell) and ipaddress.ip_address(cell).is_global


def _is_other(plain: str, start: int) -> bool:
    """Whether the words before a number say that it is something else."""
    before = plain[max(0, start - _BEFORE):start]
    return bool(_OTHER.search(before) or _MONEY.search(before))


def _is_phone(number: str, least: int = 8, most: int = 15) -> bool:
    digits = sum(one.isdigit() for one in number)
    return least <= digits <= most and not _NO_PHONE.match(number)


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


_LENGTHS = (
    24, 23, 28, 20, 28, 20, 16, 22, 22, 29, 28, 21, 22, 28, 24, 22, 18, 28, 20, 29, 24, 18, 18, 27, 22, 22, 23,
    18, 27, 28, 21, 28, 22, 23, 23, 26, 27, 30, 30, 20, 28, 32, 21, 20, 20, 21, 27, 24, 22, 19, 27, 31, 30, 18,
    15, 24, 28, 29, 25, 29, 24, 22, 24, 31, 24, 19, 24, 27, 23, 24, 26, 29, 24, 20)
_IBANS = dict(zip(_COUNTRIES.split(), _LENGTHS, strict=True))


def iban_length(text: str) -> int:
    """How many characters of a text, from its beginning, are the number of a bank account; 0 where it is none.

    Source: ISO 13616-1; the registry's lengths.

    >>> iban_length("DE89 3704 0044 0532 0130 00 and"), iban_length("DE89370400440532013001")
    (27, 0)
    """
    size, seen, wanted = 0, "", _IBANS.get(text[:2].upper(), 0)
    for size, one in enumerate(text, 1):  # noqa: B007  the last place is what is asked for
        seen += one.upper() if one.isalnum() else ""
        if len(seen) == wanted:
            break
    if not wanted or len(seen) != wanted:
        return 0
    digits = "".join(str(int(one, 36)) for one in seen[4:] + seen[:4])
    return size if int(digits) % 97 == 1 else 0
