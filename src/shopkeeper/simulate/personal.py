"""What people write into shops, with their addresses and numbers in it, and where these are: for judging the masking.

The sentences come in two halves that share no template, so that what was written while looking at one half is judged
on the other. Beside what is personal stand numbers that are not: orders, EANs, times, prices, networks, versions, and
fields with names of things instead of people.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from shopkeeper.events.finding import Found, chinese_check, luhn_digit

Half = Literal["seen", "held out"]
Language = Literal["en", "zh"]
KINDS = ("email", "phone", "card", "id", "iban", "ip", "name", "address")  # whose places in a template are the truth
LANGUAGES: tuple[Language, ...] = ("en", "zh")
HALVES: tuple[Half, ...] = ("seen", "held out")


@dataclass(frozen=True)
class Labelled:
    """A text, the name of its field (empty: free text), and what is personal in it."""

    text: str
    name: str
    truth: tuple[Found, ...]


def labelled(n: int, *, half: Half, language: Language, seed: int = 0) -> list[Labelled]:
    """So many texts of a language, about half of them with something personal in them.

    Args:
        n: How many.
        half: Whose templates.
        language: Of the templates, and of the numbers and addresses in them.
        seed: The same seed gives the same texts.

    >>> labelled(1, half="seen", language="en", seed=2) == labelled(1, half="seen", language="en", seed=2)
    True
    """
    rng = random.Random(f"personal {half} {language} {seed}")
    out = []
    for _ in range(n):
        if rng.random() < 0.2:
            out.append(_field(rng, half, language))
        else:
            out.append(_filled(rng, rng.choice(_TEMPLATES[language, half]), "", language))
    return out


def _filled(rng: random.Random, template: str, name: str, language: Language) -> Labelled:
    """A template with its places filled; those of `KINDS` are the truth."""
    text, truth = "", []
    for literal, place, _, _ in string.Formatter().parse(template):
        text += literal
        if place is None:
            continue
        cell = _MAKERS[place](rng, language)
        kind = {"bare": "phone", "ssn": "id"}.get(place, place)
        if kind in KINDS:
            truth.append(Found(kind, len(text), len(text) + len(cell)))  # type: ignore[arg-type]
        text += cell
    return Labelled(text, name, tuple(truth))


def _field(rng: random.Random, half: Half, language: Language) -> Labelled:
    name, place = rng.choice(_FIELDS[half])
    if place in KINDS[:4] and rng.random() < 0.5:
        place = rng.choice(("words", "count", "price"))
    return _filled(rng, "{" + place + "}", name, language)


def _digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(n))


def _grouped(digits: str, sizes: tuple[int, ...], between: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at:at + size])
        at += size
    return between.join(part for part in parts if part)


_FIRST = ("ann", "bob.jones", "chen_wei", "d.o'neill", "eva-maria", "li.na88", "mueller", "wang2008", "x.y.z", "j+shop")
_HOSTS = ("example.org", "mail.example.com", "example.co.uk", "post.example.cn", "qq.example.com", "163.example.net")


def _email(rng: random.Random, language: Language) -> str:
    local = rng.choice(_FIRST) + rng.choice(("", str(rng.randrange(1000))))
    host = rng.choice(_HOSTS)
    form = rng.random()
    if form < 0.06:
        return f"{local}{rng.choice((' (at) ', ' [at] ', '(at)'))}{host}"
    if form < 0.12 and language == "zh":
        return f"{local}＠{host}"
    if form < 0.16:
        number = rng.choice(("", str(rng.randrange(100))))
        return f"{rng.choice(_SCRIPTS[language])}{number}@{rng.choice(_IDN[language])}"
    if form < 0.19 and language == "en":
        return rng.choice((f'"{local} {rng.choice(_FIRST)}"@{host}',
                           f"{rng.choice(('иван', 'νίκος', 'اميرة'))}@{host}"))
    return rng.choice((str.lower, str.lower, str.upper, str.title))(f"{local}@{host}")


_SCRIPTS: Mapping[Language, tuple[str, ...]] = {"en": ("müller", "пётр", "jörg.k"), "zh": ("用户", "李娜", "wang")}
_IDN: Mapping[Language, tuple[str, ...]] = {"en": ("bücher.example.de", "пример.рф"), "zh": ("例子.中国", "商店.公司")}


def _phone(rng: random.Random, language: Language) -> str:
    return _chinese_phone(rng) if language == "zh" else _western_phone(rng)


def _chinese_phone(rng: random.Random) -> str:
    mobile = "1" + rng.choice("3456789") + _digits(rng, 9)
    form = rng.random()
    if form < 0.2:
        return rng.choice(("010", "021", "0755", "0571", "028")) + "-" + rng.choice("2345678") + _digits(rng, 7)
    if form < 0.45:
        return _grouped(mobile, (3, 4, 4), rng.choice((" ", "-")))
    if form < 0.6:
        return rng.choice(("+86", "+86 ", "86-", "0086 ")) + mobile
    return mobile.translate(_WIDE) if form < 0.65 else mobile


_WIDE = str.maketrans(string.digits, "０１２３４５６７８９")


def _western_phone(rng: random.Random) -> str:
    area, exchange, rest = (rng.choice("23456789") + _digits(rng, 2), rng.choice("23456789") + _digits(rng, 2),
                            _digits(rng, 4))
    return rng.choice((
        f"({area}) {exchange}-{rest}", f"{area}-{exchange}-{rest}", f"{area}.{exchange}.{rest}",
        f"1-{area}-{exchange}-{rest}",
        f"+1 {area} {exchange} {rest}", f"+1{area}{exchange}{rest}", f"+44 20 7946 0{_digits(rng, 3)}",
        f"020 7946 0{_digits(rng, 3)}", f"07{_digits(rng, 3)} {_digits(rng, 6)}", f"07{_digits(rng, 9)}",
        f"+49 30 {rng.choice('23456789')}{_digits(rng, 6)}", f"030/{rng.choice('23456789')}{_digits(rng, 6)}",
        f"0151 {_digits(rng, 3)} {_digits(rng, 3)} {_digits(rng, 2)}",
        f"0171 {rng.choice('23456789')}{_digits(rng, 6)}", f"+49 (0)89 {rng.choice('23456789')}{_digits(rng, 5)}",
        f"06 {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)}",
        f"+33 6 {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)}"))


def _card(rng: random.Random, language: Language) -> str:
    first, length = rng.choice((("4", 16), ("4", 16), ("52", 16), ("2412", 16), ("37", 15), ("6011", 16), ("3540", 16),
                                ("36", 14)) if language == "en" else
                               (("6222", 16), ("62", 19), ("6217", 19), ("4", 16)))
    body = first + _digits(rng, length - len(first) - 1)
    digits = body + luhn_digit(body)
    between = rng.choice(("", "", " ", "-"))
    return _grouped(digits, (4, 6, 5) if length in (14, 15) else (4, 4, 4, 4, 3), between)


def _bare(rng: random.Random, language: Language) -> str:
    """Ten digits of North America, nothing between them."""
    return rng.choice("23456789") + _digits(rng, 2) + rng.choice("23456789") + _digits(rng, 6)


def _iban(rng: random.Random, language: Language) -> str:
    country, account = rng.choice((("DE", _digits(rng, 18)), ("FR", _digits(rng, 23)), ("AT", _digits(rng, 16)),
                                   ("GB", "NWBK" + _digits(rng, 14)), ("NL", "ABNA" + _digits(rng, 10))))
    rest = int("".join(str(int(one, 36)) for one in account + country + "00"))
    whole = f"{country}{98 - rest % 97:02d}{account}"
    form = rng.random()
    return _grouped(whole, (4,) * 7, " ") if form < 0.5 else whole.lower() if form < 0.6 else whole


def _ip(rng: random.Random, language: Language) -> str:
    """The address of a machine that anybody can reach."""
    if rng.random() < 0.3:
        groups = [f"{rng.randrange(1, 65536):x}" for _ in range(7)]
        return rng.choice((":".join(["2a02", *groups]), f"2001:db9:{groups[0]}::{groups[1]}", f"2600:{groups[0]}::"
                           f"{groups[1]}:{groups[2]}"))
    first = rng.choice((5, 23, 31, 46, 62, 78, 81, 93, 101, 113, 142, 151, 178, 185, 201, 212))
    return ".".join(map(str, (first, rng.randrange(256), rng.randrange(256), rng.randrange(1, 255))))


def _ssn(rng: random.Random) -> str:
    return f"{rng.randrange(1, 665):03d}-{rng.randrange(1, 99):02d}-{rng.randrange(1, 9999):04d}"


_NAMES: Mapping[Language, tuple[str, ...]] = {
    "en": ("Ann Lee", "Bob", "Eva-Maria Huber", "D. O'Neill", "Chen Wei", "van der Berg", "José Pérez"),
    "zh": ("李娜", "王小明", "欧阳修", "张伟", "Chen Wei")}
_STREETS: Mapping[Language, tuple[str, ...]] = {
    "en": ("12 Main Street", "Lindenstr. 5", "Flat 3, 221b Baker St", "PO Box 17", "8 rue de la Paix"),
    "zh": ("杭州市西湖区文三路12号", "北京市朝阳区建国路8号院3单元", "上海徐汇区漕溪北路")}


def _id(rng: random.Random, language: Language) -> str:
    if language == "en" and rng.random() < 0.4:
        return _ssn(rng)
    born = date(1945, 1, 1) + timedelta(days=rng.randrange(24_000))
    place = rng.choice(("110101", "310115", "440305", "510107", "330106", "420111"))
    body = place + born.strftime("%Y%m%d") + _digits(rng, 3)
    digits = body + chinese_check(body)
    if rng.random() < 0.15:
        return _grouped(digits, (6, 8, 4), " ")
    return digits.lower() if rng.random() < 0.2 else digits


def _ean(rng: random.Random, language: Language) -> str:
    body = rng.choice(("400638", "590123", "693456", "978316", "501234")) + _digits(rng, 6)
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body))
    return body + str(-total % 10)


def _order(rng: random.Random, language: Language) -> str:
    return rng.choice((_digits(rng, 18), _digits(rng, 16), "4" + _digits(rng, 15), "1" + _digits(rng, 10),
                       "A" + _digits(rng, 9), f"{_digits(rng, 3)}-{_digits(rng, 7)}-{_digits(rng, 7)}"))


def _time(rng: random.Random, language: Language) -> str:
    return rng.choice((f"17{_digits(rng, 8)}", f"17{_digits(rng, 11)}",
                       f"20{rng.randrange(10, 27)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d} "
                       f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}",
                       f"202{_digits(rng, 1)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{_digits(rng, 6)}",
                       f"{rng.randrange(1, 29):02d}/{rng.randrange(1, 13):02d}/20{rng.randrange(10, 27)}"))


def _price(rng: random.Random, language: Language) -> str:
    whole = rng.randrange(1, 30_000)
    return rng.choice((f"{whole:,}.{_digits(rng, 2)}", f"{whole}.{_digits(rng, 2)}", f"{whole}"))


def _net(rng: random.Random, language: Language) -> str:
    """The address of a machine within a house: it names nobody."""
    net = rng.choice(("192.168", f"10.{rng.randrange(256)}", "172.16"))
    return f"{net}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _version(rng: random.Random, language: Language) -> str:
    return f"{rng.randrange(20)}.{rng.randrange(20)}.{rng.randrange(200)}.{rng.randrange(200)}"


def _reference(rng: random.Random, language: Language) -> str:
    """As long as the number of an account, and none."""
    return rng.choice(("DE", "AB", "FR", "RF")) + _digits(rng, 2) + rng.choice(("", "X")) + _digits(rng, 17)


def _uuid(rng: random.Random, language: Language) -> str:
    return _grouped(f"{rng.getrandbits(128):032x}", (8, 4, 4, 4, 12), "-")


_WORDS = ("tea", "blue kettle", "size 42", "iphone 15 pro 256", "2x usb-c", "茶壶", "42码", "@shop", "photo@2x.png")
_MAKERS: Mapping[str, Callable[[random.Random, Language], str]] = {
    "email": _email, "phone": _phone, "card": _card, "id": _id, "ean": _ean, "order": _order, "time": _time,
    "price": _price, "net": _net, "version": _version, "reference": _reference, "uuid": _uuid, "iban": _iban, "ip": _ip,
    "bare": _bare, "name": lambda rng, language: rng.choice(_NAMES[language]),
    "address": lambda rng, language: rng.choice(_STREETS[language]), "ssn": lambda rng, _: _ssn(rng),
    "words": lambda rng, _: rng.choice(_WORDS),
    "count": lambda rng, _: str(rng.randrange(1, 5_000)),
}

_FIELDS: Mapping[Half, tuple[tuple[str, str], ...]] = {
    "seen": (
        ("email", "email"), ("phone", "phone"), ("mobile", "phone"), ("card_number", "card"), ("id_card", "id"),
        ("order_id", "order"), ("ean", "ean"), ("timestamp", "time"), ("price", "price"), ("request_id", "uuid"),
        ("手机号", "phone"), ("邮箱", "email"), ("身份证号", "id"), ("订单编号", "order"),
        ("customerEmail", "email"), ("contactPhone", "phone"), ("Tel", "phone"), ("cardNo", "card"),
        ("idCardNumber", "id"), ("联系电话", "phone"), ("银行卡号", "card"), ("orderNumber", "order"),
        ("transaction_id", "order"), ("Barcode", "ean"), ("created_time", "time"), ("item_total", "price"),
        ("sessionId", "uuid"), ("运单号", "order"),
        ("first_name", "name"), ("lastName", "name"), ("customer name", "name"), ("姓名", "name"), ("收货人", "name"),
        ("street", "address"), ("shippingAddress1", "address"), ("address", "address"), ("收货地址", "address"),
        ("product_name", "words"), ("brand name", "words"), ("campaign_name", "words"), ("page_address", "words"),
        ("商品名称", "words"), ("店铺地址", "words"), ("city", "words"), ("ip", "ip"), ("client_ip", "ip"),
        ("iban", "iban"),
        ("app_version", "version"), ("ssn", "ssn"),
    ),
    "held out": (
        ("e-mail", "email"), ("Email Address", "email"), ("billing_phone", "phone"), ("mobileNo", "phone"),
        ("telephone", "phone"), ("cell", "phone"), ("creditCardNumber", "card"), ("card no.", "card"),
        ("citizen_id", "id"), ("证件号码", "id"), ("移动电话", "phone"), ("电子邮箱", "email"), ("卡号", "card"),
        ("order_no", "order"), ("invoice_number", "order"), ("gtin13", "ean"), ("updated_at_time", "time"),
        ("grand_total", "price"), ("click_id", "uuid"), ("快递单号", "order"), ("product_code", "ean"),
        ("client_version", "version"),
        ("family name", "name"), ("recipientName", "name"), ("billing_first_name", "name"), ("联系人", "name"),
        ("真实姓名", "name"), ("street_2", "address"), ("billing address", "address"), ("homeAddress", "address"),
        ("详细地址", "address"), ("item name", "words"), ("event_name", "words"), ("file_name", "words"),
        ("web_address", "words"), ("品牌名称", "words"), ("category", "words"), ("ip_address", "ip"),
        ("remote_ip", "ip"),
        ("bank account", "iban"), ("os_version", "version"), ("social security number", "ssn"),
    ),
}
_TEMPLATES: Mapping[tuple[Language, Half], tuple[str, ...]] = {
    ("en", "seen"): (
        "Please write to {email} or call {phone}.", "my number is {phone}, thanks", "{email}", "{phone}",
        "I paid with {card} on {time}", "card {card} was charged twice", "My Chinese ID is {id}",
        "ID: {id}, mail {email}", "Reach me at {phone} after {time}.", "order {order} never arrived",
        "EAN {ean} is missing in your list", "It cost {price} in March and {price} now",
        "{words} great, {count} of them sold", "barcode: {ean}", "The page says error {uuid} at {time}",
        "tracking {order} has not moved since {time}", "bought {count}, paid {price}", "seen from {net}",
        "seen from {ip}", "my address is {ip}, blocked since {time}", "{ip} - GET /p/{count}", "router {net} is fine",
        "please refund to {iban}", "IBAN: {iban}", "account {iban}, thanks", "reference {reference} on {time}",
        "reach me at {bare}", "my number is {bare}", "contact {bare} after {time}", "my mobile: {bare}",
        "SSN {ssn}", "social security number {ssn} was asked for",
        "really good {words}!", "{words}", "Could you send the invoice to {email}? Cheers",
        "Contact: {phone} / {email}", "Ring my neighbour ({phone}) instead",
        "<{email}> wrote: where is my parcel {order}?", "tel:{phone}", "whatsapp {phone} pls",
        "refund to {card} please, not to {card}", "The number on the card is {card}.",
        "passport no, identity card {id}", "({id})", "e-mail={email};phone={phone}",
        "Order number: {order}, ordered {time}", "order #{order} total {price}", "I scanned {ean} and got {words}",
        "ISBN {ean}, {count} pages", "log {time} {net} GET /p/{count}", "version {version} crashes, request {uuid}",
        "was {price}, now {price}: {count} left", "Very nice {words}, 10/10", "parcel {order} arrived on {time}",
        "{words} for {price}", "cheap {words}",
    ),
    ("en", "held out"): (
        "Hi, {email} here. My phone died, use {phone}", "you can get me under {phone} or under {email}",
        "{email};{email}", "Call: {phone}.", "phone no {phone} (evenings)", "please charge {card}, expiry 12/27",
        "cc {card} cvv 123", "CARD={card}", "my resident id is {id} if you need it",
        "{id} is my number from China", "deliver to Ann, {phone}, {email}, third floor", "[{phone}]",
        "invoice {order} is wrong, I paid {price}", "return for order {order} please", "reference: {order}",
        "SKU {ean} / {ean}", "article {ean} broke after {count} days", "it arrived {time}, ordered {time}",
        "started at {time}", "client {ip} sent {uuid}", "blocked: {ip}", "intranet {net} only",
        "firmware {version} is old", "send the money to {iban} by {time}", "({iban})", "booking code {reference}",
        "you can contact me on {bare}", "Number: {bare}", "call {bare} any time", "her social security no. is {ssn}",
        "only {price}!", "{count}/5 {words}",
        "{words}, {words} and {words}", "{price} vs. {price} elsewhere",
    ),
    ("zh", "seen"): (
        "请联系{phone}，或者发邮件到{email}。", "我的手机号是{phone}", "{phone}", "{email}",
        "卡号{card}被扣了两次", "身份证{id}，请核实", "用{card}付的款，时间{time}", "订单{order}还没到",
        "订单号：{order}，{time}下单", "条码{ean}扫不出来", "原价{price}元，现价{price}元",
        "{words}很好，买了{count}个", "{time}收到的货", "快递单号{order}没有更新", "客服IP是{ip}", "内网{net}",
        "来自{ip}的访问", "账户{iban}收款", "退到IBAN：{iban}", "凭证{reference}", "报错{uuid}",
        "物流{time}才更新", "很喜欢{words}", "发票麻烦发到{email}，谢谢亲", "收件人电话{phone}",
        "打{phone}找我老公", "微信同号{phone}，邮箱{email}", "本人身份证号码为{id}", "实名信息：{id}",
        "退款请退到银行卡{card}", "我的储蓄卡：{card}，别弄错了", "联系方式（{phone}）", "寄件人{phone}收",
        "运单{order}三天没动了", "订单编号{order}金额{price}", "ISBN{ean}印刷很差", "商品条形码：{ean}",
        "{time}下的单，{time}才发货", "比上次贵了{price}元，共{count}件", "版本{version}打不开", "请求{uuid}失败",
        "质量不错，{words}", "第{count}次回购{words}", "价格{price}",
    ),
    ("zh", "held out"): (
        "你好，我邮箱{email}，电话{phone}", "换个号码：{phone}", "加我微信{phone}", "{phone}（下午打）",
        "麻烦寄给李娜{phone}杭州", "邮件：{email}；", "工商银行{card}户名李娜", "付款卡{card}显示失败",
        "证件号{id}已经上传了", "给孩子买票，身份证：{id}", "姓名李娜，身份证号{id}，手机{phone}",
        "发票号{order}开错了", "退货单号{order}请查", "订单{order}退款{price}元", "货号{ean}断货了吗",
        "条形码{ean}", "{time}开始抢购", "预计{time}送达", "本次花了{price}，上次{price}",
        "服务器{ip}连不上，{uuid}", "本机{net}正常", "固件版本{version}太旧", "请汇到{iban}", "对公账户{iban}，谢谢",
        "编号{reference}", "给{count}分", "{words}真香", "有{words}也有{words}", "库存{count}件",
    ),
}
