"""What the name of a field says of what stands in it: a telephone, a card, a person's name, where somebody lives.

Names are compared in lower case with `_` between their words (`words`): `phoneNumber` and `Phone number` are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

NAMED: Mapping[str, re.Pattern[str]] = {  # of a number or an address in the field
    "email": re.compile(r"e_?mail|邮箱|邮件"),
    "phone": re.compile(r"phone|mobile|contact_?(?:no|num|number)(?:_|$)"
                        r"|(?:^|_)(?:tel|cell|fax|msisdn|whatsapp)(?:_|$)|手机|电话|联系方式"),
    "card": re.compile(r"card_?(?:no|nr|num|number)|(?:^|_)(?:pan|credit_card|bank_card)$|卡号|银行卡|信用卡"),
    "id": re.compile(r"id_?card|身份证|证件号|(?:identity|citizen|national)_?(?:id|no|number|card)"
                     r"|(?:^|_)ssn(?:_|$)|social_security"),
    "ip": re.compile(r"(?:^|_)ip_?(?:v4|v6|addr|address)?(?:$|_addr)|forwarded_for|remote_addr"),
}
_OTHER_FIELD = re.compile(
    r"order|sku|ean$|isbn|upc|gtin|asin|item|product|variant|transaction|txn|invoice|tracking|session|request|click"
    r"|gclid|msclkid|fbclid|campaign|price|amount|value|total|revenue|time|date|(?:^|_)(?:ts|id|ids|ip|lat|lon|lng)(?:_|$)"
    r"|version|code|barcode|serial|hash|token|uuid|size|count|quantity|单号|编号|货号|条码|价格|金额|时间|编码")

_PEOPLE = (r"(?:customer|client|user|buyer|purchaser|recipient|receiver|consignee|addressee|contact|billing|shipping"
           r"|delivery|ship_to|bill_to|sender|guest|member|cardholder|card_holder|account_holder|person|profile|patient)")
_PARTS = r"(?:first|last|middle|full|given|family|maiden|nick|fore|sur|display|legal|real)"
_NAME = re.compile(
    rf"(?:^|_){_PARTS}_?names?(?:_|$|\d)|(?:^|_){_PEOPLE}_?name$|(?:^|_)(?:user_?name|screen_?name|surname|vorname"
    r"|nachname|prenom|apellidos?|nombre|cognome)(?:_|$)|姓名|收货人$|收件人$|寄件人$|联系人$|签收人|真实姓名|买家名|会员名"
    r"|客户名|用户名|顾客名|昵称|收货人名|收件人名")
_ADDRESS = re.compile(
    r"(?:^|_)(?:street|strasse|road_name|house_?(?:no|nr|number|name)|apartment|apt|flat_?(?:no|number)|door_?number"
    r"|rue|calle|hausnummer|zip|zip_?code|postal_?code|post_?code|plz)(?:_|$|\d)|邮编|邮政编码"
    rf"|(?:^|_)(?:(?:{_PEOPLE}|home|postal|mailing|residential|street|full|customer|work)_)*"
    r"(?:address|addr|adresse)(?:_?(?:line|street|full|text))?_?\d*(?:_\d+)*$|地址|街道|门牌|住址")
_NO_ADDRESS = re.compile(r"(?:e_?mail|ip|mac|web|url|site|page|net|wallet|remote|link|http|host|store|shop|memory)_?"
                         r"(?:address|addr)|邮箱地址|邮件地址|网址|店铺|链接地址|网页|ip_?地址|电子")
_ABOVE = re.compile(rf"(?:^|_){_PEOPLE}(?:_|$)"
                    r"|(?:^|_)(?:address|traits|customers?|recipients?|invoice_to|payer)(?:_|$)")
_BARE = ("name", "名字")


@lru_cache(maxsize=4096)
def words(name: str) -> str:
    """The name of a field with `_` between its words.

    >>> words("phoneNumber"), words("Phone number"), words("收货 地址")
    ('phone_number', 'phone_number', '收货_地址')
    """
    return re.sub(r"[^0-9a-z\u0080-\U0010ffff]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


@lru_cache(maxsize=4096)
def other_field(field: str) -> bool:
    """Whether a field (in `words`) is known to hold other numbers than those of people."""
    return bool(_OTHER_FIELD.search(field)) and not any(form.search(field) for form in NAMED.values())


def versioned(field: str) -> bool:
    """Whether a field (in `words`) holds a version: it may look like the address of a machine."""
    return bool(field) and re.search(r"version|release|build|firmware|(?:^|_)ver(?:_|$)|agent|版本", field) is not None


@lru_cache(maxsize=4096)
def named(field: str, above: str = "") -> Literal["name", "address"] | None:
    """Whether a field holds a person's name or where somebody lives, whatever stands in it.

    A bare `name` is a person's where the object above it is one; a product has a name, too.

    Args:
        field: In `words`.
        above: The names of the objects that it lies in, in `words`.

    >>> named("first_name"), named("shipping_address_1"), named("收货地址"), named("name", "customer")
    ('name', 'address', 'address', 'name')
    >>> named("product_name"), named("name", "items"), named("email_address"), named("city")
    (None, None, None, None)
    """
    if _NAME.search(field) or (field in _BARE and _ABOVE.search(above)):
        return "name"
    return "address" if _ADDRESS.search(field) and not _NO_ADDRESS.search(field) else None


def like_a_person(fields: Iterable[str]) -> bool:
    """Whether fields side by side (in `words`) are a person's: one holds a name, an address or a telephone."""
    return any(named(one) is not None or NAMED["email"].search(one) or NAMED["phone"].search(one) for one in fields)


# The same for Arrow, whose expressions know no look-around, over the text of a JSON object: wider than what is found.
# A value that is masked already begins with a bracket.
_VALUE = r'\\*"\s*:\s*\\*"[^\["\\]'
KEYS = (rf'(?i:(?:(?:first|last|middle|full|given|family|maiden|nick|fore|sur|display|legal|real)[ _.-]*names?[0-9]*'
        rf'|{_PEOPLE}[ _.-]*name|user[ _.-]*name|screen[ _.-]*name|vorname|nachname|prenom|apellidos?|nombre|cognome'
        rf'|street|strasse|house[ _.-]*(?:no|nr|number|name)|apartment|apt|hausnummer|rue|calle'
        rf'|zip|postal|post[ _.-]*code|plz|邮编|邮政编码'
        rf'|(?:address|addr|adresse)[ _.-]*(?:line|street|full|text)?[ _.-]*[0-9]*'
        rf'|姓名|收货人|收件人|寄件人|联系人|签收人|买家名|会员名|客户名|用户名|顾客名|昵称|地址|街道|门牌|住址)'
        rf'[^"\\:]{{0,12}}){_VALUE}|\\u[0-9a-f]{{4}}')
PERSON_KEYS = rf'(?i:\\*"(?:name|名字)){_VALUE}'
