"""Exports of orders from Chinese back offices: Taobao and Tmall, JD, Youzan; XLSX, or CSV in GB18030.

A masked buyer (`t**8`) is nobody in particular: the order counts as a guest's. A price is in yuan, a time is
Shanghai's. An order that was closed is a cancellation, one that waits for its payment a checkout that was begun.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, personal
from shopkeeper.events.dialects.orders import Orders, cell, lines_of, money
from shopkeeper.events.dialects.synonyms import ORDER, PERSONAL, names
from shopkeeper.events.dialects.values import number

_CLOSED = ("关闭", "取消", "作废", "删除")
_UNPAID = ("等待买家付款", "待付款", "等待付款", "未付款", "待支付")
_BACK = ("退款成功", "退款完成", "已退款", "全额退款", "退货退款成功")
_CARRIED = ("event", "ts", "customer_id")


def buyer(value: Any) -> str | None:
    """Who bought; None where the export masks it.

    >>> buyer("茶客_08"), buyer("t**8")
    ('茶客_08', None)
    """
    text = cell(value)
    return None if text is None or "*" in text else text


def _kind(theirs: Row) -> str:
    status = _of(theirs, "status") or ""
    back = _of(theirs, "refund_status") or ""
    if any(word in f"{status}{back}" for word in _BACK):
        return "refund"
    if any(word in status for word in _CLOSED):
        return "cancel_order"
    return "begin_checkout" if any(word in status for word in _UNPAID) else "purchase"


def _of(theirs: Row, ours: str) -> str | None:
    return next((found for name in (*ORDER[ours], ours) if (found := cell(theirs.get(name, ""))) is not None), None)


def _finish(theirs: Row, ours: Row, orders: Orders) -> Row:
    ours = {**ours, "event": _kind(theirs)}
    if "customer_id" not in ours:
        ours["props.buyer"] = "[masked]"
    paid = _of(theirs, "paid") or _of(theirs, "amount")
    if paid is not None:
        freight = Decimal(number(ours.get("shipping", 0)))
        ours["value"] = number(Decimal(str(money(paid))) - freight) if _of(theirs, "paid") else money(paid)
    if "item_id" not in ours and (title := _of(theirs, "title")):
        ours |= {"item_id": title, "props.item_named_by": "title"}
    return lines_of(ours, orders, _CARRIED)


def _dialect(name: str, title: str, documented: str, marks: tuple[tuple[str, ...], ...]) -> Dialect:
    return Dialect(
        name, title, documented, marks, state=Orders, finish=_finish, time_zone="Asia/Shanghai", currency="CNY",
        fields=(*(Field(ours, names(ours), read=read) for ours, read in (
            ("order_id", cell), ("customer_id", buyer), ("ts", cell), ("item_id", cell), ("variant_id", cell),
            ("quantity", number), ("price", money), ("shipping", money), ("discount", money), ("coupon", cell))),
            Field("props.title", names("title"), read=cell),
            *(one for what, headers in PERSONAL.items() for one in personal(what, *headers))))


_ORDER, _JD = ("订单编号", "订单号", "主订单编号", "order_id"), ("下单帐号", "下单账号", "京东价", "结算金额")
_TITLE = ("商品标题", "宝贝标题", "商品名称", "标题", "宝贝名称", "title")
TAOBAO = _dialect("taobao-orders", "淘宝 / 天猫 (Taobao, Tmall) orders", "https://open.taobao.com/api.htm?docId=47&docType=2",
                  (_ORDER, _TITLE, ("买家会员名", "买家", "买家昵称", "买家旺旺", "旺旺", "customer_id"),
                   ("付款时间", "订单付款时间", "订单创建时间", "ts")))
JD = _dialect("jd-orders", "京东 (JD) orders", "https://helpcenter.jd.com/",
              (_ORDER, _TITLE, _JD, ("下单时间", "付款确认时间", "付款时间"), ("订单状态",)))
YOUZAN = _dialect("youzan-orders", "有赞 (Youzan) orders", "https://help.youzan.com/",
                  (_ORDER, _TITLE, ("买家付款时间", "商品实际成交金额", "订单实付金额"), ("订单状态",), ("商品数量",)))

DIALECTS = (TAOBAO, JD, YOUZAN)
