"""Exports of orders from Chinese back offices: Taobao and Tmall, JD, Youzan; XLSX, or CSV in GB18030.

A masked buyer (`t**8`) is nobody in particular: the order counts as a guest's. A price is in yuan, a time is
Shanghai's. An order that was closed before it was paid is a cancellation, one that waits for its payment a checkout
that was begun; one that was closed or paid back after it was paid is a purchase and a refund. A word for a state that
is not known here stays as it is, and the record is set aside until `--kind` gives it a meaning.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, personal, text_of
from shopkeeper.events.dialects.exports import amount, cell, code, moment, money
from shopkeeper.events.dialects.orders import ADDS, WHAT_IS_TOLD, Orders, guarded, lines_of, told
from shopkeeper.events.dialects.synonyms import ORDER, PAID_AT, PERSONAL, TOTALS, names
from shopkeeper.events.dialects.values import number

_CLOSED = ("关闭", "取消", "作废", "删除")
_UNPAID = ("等待买家付款", "待付款", "等待付款", "未付款", "待支付", "未支付")
_BACK = ("退款成功", "退款完成", "已退款", "全额退款", "部分退款", "退货完成")
_SOLD = ("成功", "完成", "发货", "出库", "收货", "签收", "已付款", "已支付", "待评价", "打印", "配送", "待自提",
         "待提货", "退款中", "退款关闭", "售后中", "待接单", "待成团")
_CARRIED = ("event", "ts", "customer_id")


def buyer(value: Any) -> str | None:
    """Who bought; None where the export masks it.

    >>> buyer("茶客_08"), buyer("t**8")
    ('茶客_08', None)
    """
    text = cell(value)
    return None if text is None or "*" in text or text.startswith("匿名") else text


def _of(theirs: Row, ours: str) -> str | None:
    for name in (*ORDER[ours], ours):
        if name in theirs and (found := cell(theirs[name])) is not None:
            return found
    return None


def _sum(theirs: Row, ours: str) -> Decimal | None:
    """An amount of a line; None where there is none."""
    for name in (*ORDER[ours], ours):
        if (found := guarded(money, theirs, name)) is not None:
            return Decimal(found)
    return None


def _paid(theirs: Row) -> bool:
    return any(name in theirs and cell(theirs[name]) is not None for name in PAID_AT) and _sum(theirs, "paid") != 0


def _split(theirs: Row) -> list[Row]:
    """A line as what it tells: an order in some state, or one that was paid and paid back.

    Headers may have blanks around them.
    """
    theirs = {name.strip(): value for name, value in theirs.items()}
    status, back = _of(theirs, "status"), _of(theirs, "refund_status") or ""
    if status is None and _of(theirs, "order_id") is None:
        return [theirs]  # a later line under merged cells, or none of an order
    status = status or ""
    returned = _sum(theirs, "refunded")
    if any(word in f"{status}{back}" for word in _BACK) or (returned is not None and returned > 0):
        return told(theirs, "purchase", "refund")
    if any(word in status for word in _UNPAID):
        return told(theirs, "begin_checkout")
    if any(word in status.replace("退款关闭", "") for word in _CLOSED):
        return told(theirs, "purchase", "refund") if _paid(theirs) else told(theirs, "cancel_order")
    known = any(word in status for word in _SOLD) or (not status and _paid(theirs))
    return told(theirs, "purchase" if known else status or "begin_checkout")


def _finish(theirs: Row, ours: Row, orders: Orders) -> Row:
    own = cell(theirs.get("子订单编号", theirs.get("子订单号", "")))
    if "order_id" in ours:
        orders.last = text_of(ours["order_id"])
    elif orders.last is not None and ours.keys() & {"item_id", "props.title", "quantity"}:
        ours = {**ours, "order_id": orders.last}
    ours = _priced(theirs, _worth(theirs, _itemed(theirs, dict(ours))))
    lined = _refund(theirs, ours, orders) if ours.get("event") == "refund" else lines_of(ours, orders, _CARRIED)
    if own is not None and "event_id" in lined:  # an order of its own under the buyer's order, with money of its own
        lined |= {"event_id": f"{lined['event']}:{own}", "line": 0}
        lined |= {"value": ours["value"]} if "value" in ours else {}
        lined.pop("props.order_value", None)
    if "customer_id" not in lined and "order_id" in lined:
        lined["props.buyer"] = "[masked]"
    return lined


def _itemed(theirs: Row, ours: Row) -> Row:
    """What was sold: by its number, else by its title. A line that sums up several things is of none of them."""
    several = (_sum(theirs, "kinds") or Decimal(1)) > 1
    if several:
        for name in ("item_id", "variant_id", "quantity"):
            if name in ours:
                ours[f"props.order_{name}"] = ours.pop(name)
    elif "item_id" not in ours and (title := _of(theirs, "title")):
        ours |= {"item_id": title, "props.item_named_by": "title"}
    return ours


def _worth(theirs: Row, ours: Row) -> Row:
    """The value of the order: what was paid without the freight; where nothing was, what it would have been."""
    freight, event = Decimal(number(ours.get("shipping", 0))), ours.get("event")
    paid = _sum(theirs, "paid")
    if paid is None or (not paid and event in ("begin_checkout", "cancel_order")):
        goods, total = _sum(theirs, "goods"), _sum(theirs, "amount")
        if goods is not None or total is not None:
            ours["value"] = amount(goods if goods is not None else max((total or Decimal(0)) - freight, Decimal(0)))
    else:
        ours["value"] = amount(max(paid - freight, Decimal(0)))
    return ours


def _priced(theirs: Row, ours: Row) -> Row:
    """The price of a unit as it was charged, where the line says what was paid for it."""
    units, line = Decimal(ours.get("quantity", "0")), _sum(theirs, "line_paid")
    sole = "子订单编号" in theirs or "子订单号" in theirs or _sum(theirs, "kinds") == 1
    if line is None and sole and ours.get("event") == "purchase" and "value" in ours:
        line = Decimal(ours["value"])
    if line is None or units <= 0 or "item_id" not in ours:
        return ours
    if "price" in ours:
        ours["list_price"] = ours["price"]
    return {**ours, "price": amount(line / units)}


def _refund(theirs: Row, ours: Row, orders: Orders) -> Row:
    """What was paid back. An amount of its own line is an event of its own; else the refund has the order's lines."""
    for name in ("shipping", "discount", "list_price"):
        ours.pop(name, None)
    back = _sum(theirs, "refunded")
    if back is None or back <= 0:
        return lines_of(ours, orders, ())
    whole, units = _sum(theirs, "line_paid") or _sum(theirs, "paid"), Decimal(ours.get("quantity", "0"))
    if whole == back and units > 0 and "item_id" in ours:
        ours["price"] = amount(Decimal(ours["value"] if _sum(theirs, "line_paid") is None else back) / units)
    else:  # a part of the money: nobody knows for how many
        ours = {name: value for name, value in ours.items() if name not in ("quantity", "price")}
    ours["value"] = amount(back)
    if "order_id" not in ours:
        return ours
    line = orders.next_line(f"refund:{ours['order_id']}")
    name = f"refund:{ours['order_id']}"
    return {**ours, "event_id": f"{name}:{line}" if line else name, "line": 0}


def _dialect(name: str, title: str, documented: str, marks: tuple[tuple[str, ...], ...]) -> Dialect:
    return Dialect(
        name, title, documented, marks, state=Orders, restated=True, split=_split, finish=_finish,
        time_zone="Asia/Shanghai", currency="CNY", adds=(*ADDS, "buyer", "item_named_by", "order_value"),
        fields=(WHAT_IS_TOLD, *(Field(ours, names(ours), read=read) for ours, read in (
            ("order_id", code), ("customer_id", buyer), ("ts", moment), ("item_id", code), ("variant_id", code),
            ("quantity", number), ("price", money), ("shipping", money), ("discount", money), ("coupon", cell))),
            Field("props.title", names("title"), read=cell), Field("props.status", names("status"), read=cell),
            *(one for what, headers in PERSONAL.items() for one in personal(what, *headers))))


_ORDER, _TITLE, _STATUS = (*ORDER["order_id"], "order_id"), (*ORDER["title"], "title"), (*ORDER["status"], "status")
_TOTAL = (*TOTALS, "paid", "line_paid", "goods", "amount")
TAOBAO = _dialect("taobao-orders", "淘宝 / 天猫 (Taobao, Tmall) orders", "https://open.taobao.com/api.htm?docId=47&docType=2",
                  (_ORDER, _TITLE, ("买家会员名", "买家", "买家昵称", "买家旺旺", "旺旺", "子订单编号", "customer_id"),
                   (*PAID_AT, "订单创建时间", "ts"), _TOTAL))
JD = _dialect("jd-orders", "京东 (JD) orders", "https://helpcenter.jd.com/",
              (_ORDER, _TITLE, ("下单帐号", "下单账号", "京东价", "结算金额"), ("下单时间", "付款确认时间", "付款时间"),
               _STATUS, _TOTAL))
YOUZAN = _dialect("youzan-orders", "有赞 (Youzan) orders", "https://help.youzan.com/",
                  (_ORDER, (*_TITLE, "全部商品名称"), ("买家付款时间", "商品实际成交金额", "订单实付金额"), _STATUS,
                   ORDER["quantity"], _TOTAL))

DIALECTS = (TAOBAO, JD, YOUZAN)
