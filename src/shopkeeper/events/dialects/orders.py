"""Exports of orders from shops' own back offices: Shopify's and WooCommerce's, line by line.

Each line of the file is a record: an event named after its order, with a line of its own. What belongs to the whole
order stands on its first line. Names, addresses, numbers of telephones and e-mail addresses are replaced where they
come in: of an e-mail, its pseudonym is the customer.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, personal, text_of
from shopkeeper.events.dialects.values import number, said

_OPEN = 4_096  # orders whose lines may still come; a later one with the same name is set aside as a conflict
HEAD_MONEY = ("value", "shipping", "tax", "discount")


@dataclass
class Orders:
    """The orders of one file whose lines may still come.

    Attributes:
        seen: Order -> how many lines came, and what its first line says for all.
    """

    seen: OrderedDict[str, tuple[int, Row]] = field(default_factory=OrderedDict)

    def next_line(self, order: str, says: Row) -> tuple[int, Row]:
        """The number of this line in its order, from 0, and what the first line said."""
        line, first = self.seen.pop(order, (0, says))
        self.seen[order] = (line + 1, first)
        if len(self.seen) > _OPEN:
            self.seen.popitem(last=False)
        return line, first


def lines_of(ours: Row, orders: Orders, carried: tuple[str, ...]) -> Row:
    """An order's line: named, numbered, and with the money of the whole on the first alone."""
    order = ours.get("order_id")
    if not order:
        return ours
    line, first = orders.next_line(text_of(order), {name: ours[name] for name in carried if name in ours})
    ours = {**ours, **first, "line": line}
    ours["event_id"] = f"{ours['event']}:{order}"
    if line:
        for name in HEAD_MONEY:
            if name in ours:
                ours[f"props.order_{name}"] = ours.pop(name)
    return ours


def cell(value: Any) -> str | None:
    """A cell without what spreadsheets wrap around it: `="00123"`, a quote or a tab before a long number.

    >>> cell('="00123"'), cell("'4501"), cell("-")
    ('00123', '4501', None)
    """
    text = text_of(value).strip()
    wrapped = re.fullmatch(r'="?(.*?)"?', text)
    text = (wrapped[1] if wrapped else text).lstrip("'\t").strip()
    return None if text in ("-", "--", "无", "空", "null", "None") else said(text)


def money(value: Any) -> str | None:
    """An amount as its plain number: signs of currencies, thousands and blanks taken off.

    Raises:
        ValueError: It is no amount.

    >>> money("¥1,299.00"), money("12.5元"), money("(3.00)")
    ('1299', '12.5', '-3')
    """
    text = cell(value)
    if text is None:
        return None
    text = re.sub(r"^(CNY|RMB|USD|EUR|GBP|US\$|HK\$|[¥￥$€£])\s*|\s*(元|CNY|RMB|USD|EUR|GBP|€)$", "", text).strip()
    if text.startswith("(") and text.endswith(")"):
        text = f"-{text[1:-1]}"
    return number(re.sub(r"(?<=\d)[,，](?=\d{3})", "", text).replace(" ", ""))


def lower(value: Any) -> str:
    """An e-mail address as it is compared."""
    return text_of(value).strip().lower()


_STATUS = {"paid": "purchase", "partially_refunded": "purchase", "refunded": "purchase", "partially_paid": "purchase",
           "authorized": "purchase", "pending": "begin_checkout", "expired": "cancel_order", "voided": "cancel_order"}


def _shopify(theirs: Row, ours: Row, orders: Orders) -> Row:
    """Only the first line of an order has its state; the later ones follow it."""
    status = text_of(theirs.get("Financial Status", "")).strip().lower()
    ours = {"event": _STATUS.get(status, "purchase"), **ours}
    if theirs.get("Cancelled at"):
        ours["event"] = "cancel_order"
    elif status == "pending" and theirs.get("Paid at"):
        ours["event"] = "purchase"
    return lines_of(ours, orders, ("event", "ts", "customer_id", "currency", "coupon", "country"))


SHOPIFY = Dialect(
    "shopify-orders", "Shopify orders (CSV)", "https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders",
    marks=(("Name",), ("Financial Status",), ("Lineitem name",), ("Lineitem quantity",), ("Lineitem price",),
           ("Currency",)),
    state=Orders, finish=_shopify,
    fields=(Field("order_id", "Name", read=cell), Field("ts", "Paid at|Created at", read=said),
            Field("customer_id", "Email", read=lower),
            Field("currency", "Currency", read=said), Field("value", "Subtotal", read=money),
            Field("shipping", "Shipping", read=money), Field("tax", "Taxes", read=money),
            Field("discount", "Discount Amount", read=money), Field("coupon", "Discount Code", read=said),
            Field("quantity", "Lineitem quantity", read=number), Field("price", "Lineitem price", read=money),
            Field("list_price", "Lineitem compare at price", read=money),
            Field("item_id", "Lineitem sku|Lineitem name", read=cell), Field("props.title", "Lineitem name", read=said),
            Field("country", "Shipping Country|Billing Country", read=said),
            *personal("name", "Billing Name", "Shipping Name"),
            *personal("phone", "Phone", "Billing Phone", "Shipping Phone"),
            *personal("address", *(f"{side} {part}" for side in ("Billing", "Shipping")
                                   for part in ("Street", "Address1", "Address2", "Zip")))))

_WOO_STATUS = {"completed": "purchase", "processing": "purchase", "on-hold": "begin_checkout",
               "pending": "begin_checkout", "pending payment": "begin_checkout", "on hold": "begin_checkout",
               "cancelled": "cancel_order",
               "failed": "payment_failed", "refunded": "refund", "trash": "cancel_order"}
_PIECE = re.compile(r"\s*(\d+)\s*[×x]\s*(.+?)\s*(?=,\s*\d+\s*[×x]|$)")


def _woo(theirs: Row, ours: Row, orders: Orders) -> Row:
    status = text_of(theirs.get("Status", theirs.get("status", ""))).strip().lower().removeprefix("wc-")
    ours["event"] = _WOO_STATUS.get(status, "purchase")
    pieces = _PIECE.findall(text_of(theirs.get("Product(s)", "")))
    if pieces:
        ours["items"] = [{"item_id": title, "quantity": units} for units, title in pieces]
    elif "item_id" not in ours and theirs.get("item_name"):
        ours["item_id"] = text_of(theirs["item_name"])
    if ours["event"] == "refund" and "value" in ours:
        ours["value"] = ours["value"].lstrip("-")
    if pieces:
        return {**ours, "event_id": f"{ours['event']}:{ours['order_id']}"} if ours.get("order_id") else ours
    return lines_of(ours, orders, ("event", "ts", "customer_id", "currency", "coupon"))


WOOCOMMERCE = Dialect(
    "woocommerce-orders", "WooCommerce orders (CSV)", "https://woocommerce.com/document/woocommerce-analytics/orders-report/",
    marks=(("Order #", "order_number", "order_id"), ("Product(s)", "item_name"), ("Status", "status"),
           ("Items sold", "item_quantity")),
    state=Orders, finish=_woo,
    fields=(Field("order_id", "Order #|order_number|order_id", read=cell),
            Field("ts", "Date|order_date|date", read=said),
            Field("customer_id", "billing_email|customer_id|Customer", read=lower),
            Field("currency", "order_currency", read=said),
            Field("value", "N. Revenue|Net Sales|Net sales|order_subtotal", read=money),
            Field("shipping", "shipping_total", read=money), Field("tax", "tax_total", read=money),
            Field("discount", "discount_total", read=money), Field("coupon", "Coupon(s)|coupon_items", read=said),
            Field("item_id", "item_sku|item_product_id", read=cell), Field("quantity", "item_quantity", read=number),
            Field("price", "item_price", read=money), Field("props.title", "item_name", read=said),
            Field("country", "billing_country", read=said),
            *personal("name", "billing_first_name", "billing_last_name", "shipping_first_name", "shipping_last_name"),
            *personal("phone", "billing_phone"),
            *personal("address", "billing_address_1", "billing_address_2", "shipping_address_1", "shipping_address_2")))

DIALECTS = (SHOPIFY, WOOCOMMERCE)
