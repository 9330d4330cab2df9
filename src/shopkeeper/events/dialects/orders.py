"""Exports of orders from shops' own back offices: Shopify's and WooCommerce's, line by line.

Each line of the file is a line of an event that is named after its order. What belongs to the whole order stands on its
first line. An order that was paid, and paid back later, tells two things, and is two records: a purchase and a refund.
Names, addresses and numbers of telephones are replaced where they come in; of an e-mail, its pseudonym is the customer.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, Unfit, personal, said_of, text_of
from shopkeeper.events.dialects.exports import amount, cell, code, moment, money, plain
from shopkeeper.events.dialects.values import number, said
from shopkeeper.events.schema import KINDS
from shopkeeper.words import say

_OPEN = 65_536  # orders whose lines may still come; one that comes after so many others begins anew: a conflict
HEAD_MONEY = ("value", "shipping", "tax", "discount")
ADDS = ("time_of", *(f"order_{name}" for name in (*HEAD_MONEY, "item_id", "variant_id", "quantity")))
TOLD = "·told"  # a field of ours in a record of theirs: which of the things that a line tells it is
WHAT_IS_TOLD = Field("event", TOLD)


@dataclass
class Orders:
    """The orders of one file whose lines may still come.

    Attributes:
        lines: Event -> how many of its lines came.
        heads: Order -> what its first line says for all.
        last: The order of the line before.
        called: Their field with an order's number.
        strange: Orders of which a later line named another customer: what follows it is not told apart any more.
    """

    lines: OrderedDict[str, int] = field(default_factory=OrderedDict)
    heads: OrderedDict[str, Row] = field(default_factory=OrderedDict)
    last: str | None = None
    called: str = "order_id"
    strange: set[str] = field(default_factory=set)

    def next_line(self, event_id: str) -> int:
        """The number of this line in its event, from 0."""
        line = self.lines.pop(event_id, 0)
        self.lines[event_id] = line + 1
        if len(self.lines) > _OPEN:
            self.lines.popitem(last=False)
        return line

    def head(self, order: str, says: Row) -> Row:
        """What the first line of an order said."""
        found = self.heads.pop(order, says)
        self.heads[order] = found
        mine, other = found.get("customer_id"), says.get("customer_id")
        if mine is not None and other is not None:
            (self.strange.discard if mine == other else self.strange.add)(order)
        if order in self.strange:
            raise Unfit(self.called, say("an order of this number stands in the file with another customer, too."))
        if len(self.heads) > _OPEN:
            self.heads.popitem(last=False)
        return found


def lines_of(ours: Row, orders: Orders, carried: tuple[str, ...]) -> Row:
    """An order's line: named, numbered, with what its first line says for all; money of the whole on that alone.

    Args:
        ours: A record of ours; without `event` where the first line says it.
        orders: Of this file.
        carried: Columns that the first line says for all.
    """
    order = text_of(ours.get("order_id", ""))
    if not order:
        return ours
    says = {name: ours[name] for name in carried if name in ours}
    head = orders.head(order, says)
    ours = {**(head if ours.get("event") != "refund" else {}), **ours}
    if "event" not in ours:
        return ours
    named = ours["event"] if ours["event"] in KINDS else "purchase"  # a word that the user may yet give a meaning
    event_id = f"{named}:{ours['order_id']}"
    line = orders.next_line(event_id)
    ours |= {"event_id": event_id, "line": line}
    if line:
        for name in HEAD_MONEY:
            if name in ours:
                ours[f"props.order_{name}"] = ours.pop(name)
    return ours


def told(row: Row, *kinds: str) -> list[Row]:
    """A line as the records of what it tells."""
    return [{**row, TOLD: kind} for kind in kinds]


def guarded(read: Callable[[Any], Any], row: Row, name: str) -> Any:
    """A field of a row, read; None where it is not there.

    Raises:
        Unfit: It cannot be read.
    """
    try:
        return read(row[name]) if name in row else None
    except (ValueError, ArithmeticError) as wrong:
        raise Unfit(name, said_of(wrong, row[name])) from wrong


def email(value: Any) -> str | None:
    """An e-mail address as it is compared; None for what is none.

    >>> email(" Ann@Example.org "), email("Ann Smith")
    ('ann@example.org', None)
    """
    text = text_of(value).strip().lower()
    return text if re.fullmatch(r"[^@\s]+@[^@\s]+", text) else None


# Shopify

_PAID = frozenset({"paid", "partially_paid", "authorized", "partially_refunded", "refunded"})
_STATUS = {**dict.fromkeys(_PAID, "purchase"), "pending": "begin_checkout", "expired": "cancel_order",
           "voided": "cancel_order", "unpaid": "begin_checkout"}
_OF_LINE = "Lineitem"


def _status(row: Row) -> str:
    return text_of(row.get("Financial Status", "")).strip().lower()


def _shopify_split(row: Row) -> list[Row]:
    """A paid order; and what was paid back of it. Only the first line of an order has a status."""
    status = _status(row)
    back = Decimal(guarded(money, row, "Refunded Amount") or 0) > 0
    if status in _PAID and (back or status == "refunded"):
        return [{**row, TOLD: "purchase"},
                {name: value for name, value in {**row, TOLD: "refund"}.items() if not name.startswith(_OF_LINE)}]
    return [row]


def _shopify(theirs: Row, ours: Row, orders: Orders) -> Row:
    """Only the first line of an order has its state; the later ones follow it."""
    status = _status(theirs)
    ours = _charged(_untaxed(theirs, dict(ours)))
    if status and "event" not in ours:
        ours["event"] = "cancel_order" if theirs.get("Cancelled at") else _STATUS.get(status, status)
    if ours.get("event") == "refund":
        ours = _paid_back(theirs, ours)
    elif ours.get("event") == "cancel_order" and theirs.get("Cancelled at"):
        ours["ts"] = moment(theirs["Cancelled at"])
    if not status:  # a later line: the first has said when
        ours.pop("ts", None)
    return lines_of(ours, orders, ("event", "ts", "customer_id", "currency", "coupon", "country"))


def _untaxed(theirs: Row, ours: Row) -> Row:
    """`Subtotal` holds the tax where prices do: then the total is subtotal and shipping, and nothing on top.

    The tax is spread over goods and shipping by their amounts.
    """
    value, shipping, tax = (Decimal(ours.get(name, "0")) for name in ("value", "shipping", "tax"))
    total = guarded(money, theirs, "Total")
    if total is None or tax <= 0 or value <= 0 or abs(value + shipping - Decimal(total)) >= Decimal("0.005"):
        return ours
    ours["value"] = amount(value - tax * value / (value + shipping))
    ours["props.tax_included"] = "true"
    return ours


def _charged(ours: Row) -> Row:
    """The price of a unit after the discount of its line, and that discount a unit."""
    units, off = (Decimal(ours.get(name, "0")) for name in ("quantity", "item_discount"))
    if off <= 0 or units <= 0 or "price" not in ours:
        ours.pop("item_discount", None)
        return ours
    return {**ours, "price": amount(Decimal(ours["price"]) - off / units), "item_discount": amount(off / units)}


def _uncharged(theirs: Row) -> Row:
    """The inverse of `_charged`."""
    off, units = Decimal(text_of(theirs.get("Lineitem discount", 0))), theirs.get("Lineitem quantity")
    if off and units and "Lineitem price" in theirs:
        theirs = {**theirs, "Lineitem price": amount(Decimal(text_of(theirs["Lineitem price"])) + off),
                  "Lineitem discount": amount(off * Decimal(text_of(units)))}
    return theirs


def _paid_back(theirs: Row, ours: Row) -> Row:
    """What was paid back: all of it, or an amount that holds tax and shipping as the buyer paid them.

    The export has no time of it: that of the cancellation, else of the payment.
    """
    back, total = (guarded(money, theirs, name) for name in ("Refunded Amount", "Total"))
    if theirs.get("Cancelled at"):
        ours["ts"] = moment(theirs["Cancelled at"])
    else:
        ours["props.time_of"] = "payment"
    if back is not None and (total is None or Decimal(back) != Decimal(total)):
        ours = {name: value for name, value in ours.items() if name not in HEAD_MONEY}
        ours["value"] = back
    return ours


SHOPIFY = Dialect(
    "shopify-orders", "Shopify orders (CSV)", "https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders",
    marks=(("Name",), ("Financial Status",), ("Lineitem name",), ("Lineitem quantity",), ("Lineitem price",),
           ("Currency",)),
    state=partial(Orders, called="Name"), restated=True, split=_shopify_split, finish=_shopify, after=_uncharged,
    adds=ADDS,
    fields=(WHAT_IS_TOLD, Field("order_id", "Name", read=cell),
            Field("ts", "Paid at|Created at", read=moment), Field("customer_id", "Email", read=email),
            Field("currency", "Currency", read=said), Field("value", "Subtotal", read=money),
            Field("shipping", "Shipping", read=money), Field("tax", "Taxes", read=money),
            Field("discount", "Discount Amount", read=money), Field("coupon", "Discount Code", read=said),
            Field("quantity", "Lineitem quantity", read=number), Field("price", "Lineitem price", read=money),
            Field("list_price", "Lineitem compare at price", read=money),
            Field("item_discount", "Lineitem discount", read=money),
            Field("item_id", "Lineitem sku|Lineitem name", read=cell), Field("variant_id", "Lineitem sku", read=cell),
            Field("props.title", "Lineitem name", read=said),
            Field("country", "Shipping Country|Billing Country", read=said),
            Field("props.financial_status", "Financial Status", read=said),
            Field("props.cancelled_at", "Cancelled at", read=said),
            Field("props.tax_included", "tax_included"),
            *personal("name", "Billing Name", "Shipping Name", "Billing Company", "Shipping Company"),
            *personal("phone", "Phone", "Billing Phone", "Shipping Phone"),
            *personal("address", *(f"{side} {part}" for side in ("Billing", "Shipping")
                                   for part in ("Street", "Address1", "Address2", "Zip")))))

# WooCommerce

_WOO_STATUS = {"completed": "purchase", "processing": "purchase", "refunded": "purchase", "on-hold": "begin_checkout",
               "pending": "begin_checkout", "checkout-draft": "begin_checkout", "cancelled": "cancel_order",
               "trash": "cancel_order", "failed": "payment_failed"}
_WOO_SPELT = {"pending payment": "pending", "on hold": "on-hold", "draft": "checkout-draft", "canceled": "cancelled"}
_PIECE = re.compile(r"\s*(\d+)\s*[×x]\s*(.+?)\s*(?=,\s*\d+\s*[×x]|$)")
_STATUSES = ("Status", "status", "Order Status", "order_status")
_WOO_CARRIED = ("event", "ts", "customer_id", "currency", "coupon", "country")


def _woo_status(row: Row) -> str:
    word = next((text_of(row[name]) for name in _STATUSES if name in row), "").strip().lower().removeprefix("wc-")
    return _WOO_SPELT.get(word, word)


def _woo_split(row: Row) -> list[Row]:
    """An order; and what was paid back of it. In the report of the analytics a refund is a line of its own."""
    if "N. Revenue" in row or "Net Sales" in row or "Net sales" in row:
        worth = next(guarded(money, row, name) for name in ("N. Revenue", "Net Sales", "Net sales") if name in row)
        return told(row, "refund") if worth is not None and Decimal(worth) < 0 else [row]
    back = next((guarded(money, row, name) for name in ("refunded_total", "total_refunded", "Order Refund Amount")
                 if name in row), None)
    paid = _WOO_STATUS.get(_woo_status(row)) == "purchase"
    if paid and (_woo_status(row) == "refunded" or (back is not None and Decimal(back) != 0)):
        return told(row, "purchase", "refund")
    return [row]


def _woo_before(theirs: Row) -> Row:
    """The items of an order, from a line of their own or from one text of them all."""
    sold = _PIECE.findall(text_of(theirs.get("Product(s)", "")))
    pieces = [{"name": title, "quantity": units} for units, title in sold]
    names = [name for name in theirs if re.fullmatch(r"line_items?(_\d+)?", name)]
    for name in names:
        for text in text_of(theirs[name]).split(";"):
            pairs = (part.partition(":") for part in text.split("|"))
            piece = {key.strip(): value.strip() for key, _, value in pairs if value.strip()}
            pieces += [piece] if piece.keys() & {"sku", "product_id", "name"} else []
    if not pieces:
        return theirs
    return {**{name: value for name, value in theirs.items() if name not in names}, "pieces": pieces}


def _woo(theirs: Row, ours: Row, orders: Orders) -> Row:
    status = _woo_status(theirs)
    if status and "event" not in ours:
        ours["event"] = _WOO_STATUS.get(status, status)
    value, off = ours.pop("props.subtotal", None), ours.get("discount", "0")
    if value is not None and "value" not in ours:
        ours["value"] = amount(Decimal(value) - abs(Decimal(off)))
    total = ours.get("props.order_total")
    if total is not None and "value" not in ours:
        ours["value"] = amount(Decimal(total) - sum((Decimal(ours.get(name, "0")) for name in ("shipping", "tax")),
                                                    Decimal(0)))
    if ours.get("event") == "refund":
        back = ours.get("props.refunded")
        if back is not None and Decimal(back) and abs(Decimal(back)) != Decimal(total or 0):
            ours = {name: held for name, held in ours.items()
                    if name not in (*HEAD_MONEY, "items", "item_id", "quantity", "price")}
            ours["value"] = back
        ours |= {name: ours[name].lstrip("-") for name in ("value", "quantity") if name in ours}
    line = ours.get("props.line_total")
    if line is not None and "price" not in ours and Decimal(ours.get("quantity", "0")) > 0:
        ours["price"] = amount(Decimal(line) / Decimal(ours["quantity"]))
    return lines_of(ours, orders, _WOO_CARRIED)


WOOCOMMERCE = Dialect(
    "woocommerce-orders", "WooCommerce orders (CSV)", "https://woocommerce.com/document/woocommerce-analytics/orders-report/",
    marks=(("Order #", "Order Number", "order_number", "order_id"), _STATUSES,
           ("Product(s)", "Item Name", "item_name", "line_items", "line_item_1"),
           ("Items sold", "Item Cost", "item_quantity", "order_total", "order_subtotal")),
    state=Orders, restated=True, split=_woo_split, before=_woo_before, finish=_woo, items="pieces", adds=ADDS,
    item=(Field("item_id", "sku|product_id|name", read=code), Field("variant_id", "variation_id", read=code),
          Field("title", "name", read=said), Field("quantity", "quantity", read=number),
          Field("price", "price", read=money)),
    fields=(WHAT_IS_TOLD, Field("order_id", "Order #|order_number|Order Number|order_id", read=code),
            Field("ts", "paid_date|Paid Date|Date|order_date|Order Date|date", read=moment),
            Field("customer_id", "billing_email|customer_email|Email (Billing)|Customer Email", read=email),
            Field("props.customer_number", "customer_id|customer_user", read=cell),
            Field("currency", "order_currency|currency|Order Currency", read=said),
            Field("value", "N. Revenue|Net Sales|Net sales", read=money),
            Field("props.subtotal", "order_subtotal|Order Subtotal Amount", read=money),
            Field("props.order_total", "order_total|Order Total Amount", read=money),
            Field("props.refunded", "refunded_total|total_refunded|Order Refund Amount", read=plain),
            Field("shipping", "shipping_total|Order Shipping Amount", read=money),
            Field("tax", "tax_total|Order Total Tax Amount", read=money),
            Field("discount", "discount_total|Cart Discount Amount", read=plain),
            Field("coupon", "Coupon(s)|coupon_items|coupons|Coupon Code", read=said),
            Field("item_id", "item_sku|SKU|item_product_id|item_name|Item Name", read=code),
            Field("variant_id", "item_variation_id", read=code),
            Field("quantity", "item_quantity|Quantity (- Refund)|Quantity", read=number),
            Field("price", "item_price|Item Cost", read=money), Field("props.line_total", "item_total", read=money),
            Field("props.title", "item_name|Item Name", read=said),
            Field("country", "billing_country|Country Code (Billing)", read=said),
            *personal("name", "Customer", *(f"{side}_{part}" for side in ("billing", "shipping")
                                            for part in ("first_name", "last_name", "full_name", "company"))),
            *personal("name", "First Name (Billing)", "Last Name (Billing)", "First Name (Shipping)",
                      "Last Name (Shipping)"),
            *personal("phone", "billing_phone", "Phone (Billing)"), *personal("ip", "customer_ip_address"),
            *personal("address", *(f"{side}_{part}" for side in ("billing", "shipping")
                                   for part in ("address_1", "address_2", "postcode"))),
            *personal("address", "Address 1&2 (Billing)", "Address 1&2 (Shipping)", "Postcode (Billing)")))

DIALECTS = (SHOPIFY, WOOCOMMERCE)
