"""Public data sets that analysts start from: tables of millions of rows whose columns are renamed as a whole."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from shopkeeper.events.dialects.base import Dialect, Field, Row, text_of

_TAOBAO = ("user_id", "item_id", "category_id", "behavior_type", "timestamp")

TAOBAO = Dialect(
    "taobao-behavior", "Taobao user behaviour", "https://tianchi.aliyun.com/dataset/649",
    marks=(("user_id",), ("item_id",), ("category_id",), ("behavior_type",), ("timestamp",)),
    fields=(Field("customer_id", "user_id"), Field("item_id", "item_id"), Field("ts", "timestamp")),
    kind="behavior_type", kinds={"pv": "view_item", "buy": "purchase", "cart": "add_to_cart", "fav": "add_to_wishlist"},
    order_rule="customer-minute", headerless=_TAOBAO, fast=True)

RETAILROCKET = Dialect(
    "retailrocket", "RetailRocket events", "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
    marks=(("timestamp",), ("visitorid",), ("event",), ("itemid",), ("transactionid",)),
    fields=(Field("customer_id", "visitorid"), Field("item_id", "itemid"), Field("ts", "timestamp"),
            Field("order_id", "transactionid")),
    kind="event", kinds={"view": "view_item", "addtocart": "add_to_cart", "transaction": "purchase"}, fast=True)

REES46 = Dialect(
    "rees46", "REES46 behaviour", "https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store",
    marks=(("event_time",), ("event_type",), ("product_id",), ("user_id",), ("user_session",)),
    fields=(Field("customer_id", "user_id"), Field("item_id", "product_id"), Field("ts", "event_time"),
            Field("session_id", "user_session"), Field("price", "price")),
    kind="event_type", kinds={"view": "view_item", "cart": "add_to_cart", "remove_from_cart": "remove_from_cart",
                              "purchase": "purchase"},
    order_rule="customer-minute", currency="USD", fast=True)

MOVIELENS = Dialect(
    "movielens", "MovieLens interactions", "https://recbole.io/docs/user_guide/data/atomic_files.html",
    marks=(("user_id:token",), ("item_id:token",), ("timestamp:float",)),
    fields=(Field("customer_id", "user_id:token"), Field("item_id", "item_id:token"), Field("ts", "timestamp:float"),
            Field("rating", "rating:float")),
    constants={"event": "review"}, fast=True)


def _retail(theirs: Row, ours: Row) -> Row:
    """What the sign of a line and the letter of an invoice say.

    `C...` invoices cancel: their lines are returns of what was sold. A negative line on another invoice is a write-off
    of stock: units gone, at no price, and nobody's. `A...` invoices adjust a debt: no units of a thing.
    """
    invoice, units = text_of(ours.get("order_id", "")), _number(ours.get("quantity"))
    price = _number(ours.get("price"))
    ours = {**ours, "event": "purchase"}
    if invoice[:1] in "Aa" and invoice[:1]:
        ours |= {"event": "other", "props.event_name": "adjustment", "props.amount": text_of(ours.pop("price", ""))}
    elif invoice[:1] in "Cc" and invoice[:1]:
        ours["event"] = "refund" if units is None or units < 0 else "cancel_order"
    elif units is not None and units < 0:
        ours["event"] = "stock_change" if not price else "refund"
    if ours["event"] == "stock_change":
        ours["props.change"] = ours.pop("quantity")
        for name in ("price", "order_id"):
            if name in ours:
                ours[f"props.{name}_given"] = ours.pop(name)
    elif units is not None:
        ours["quantity"] = format(abs(units).normalize(), "f")
    return ours


def _number(cell: object) -> Decimal | None:
    try:
        found = Decimal(text_of(cell)) if cell is not None else None
    except InvalidOperation:
        return None
    return found if found is None or found.is_finite() else None


def _customer(cell: object) -> str:
    """17850.0 is 17850: the column went through a table of numbers that had gaps."""
    return text_of(cell).removesuffix(".0")


ONLINE_RETAIL = Dialect(
    "online-retail", "Online Retail (UCI)", "https://archive.ics.uci.edu/dataset/502/online+retail+ii",
    marks=(("Invoice", "InvoiceNo"), ("StockCode",), ("Quantity",), ("InvoiceDate",), ("Price", "UnitPrice")),
    fields=(Field("order_id", "Invoice|InvoiceNo"), Field("item_id", "StockCode"), Field("quantity", "Quantity"),
            Field("ts", "InvoiceDate"), Field("price", "Price|UnitPrice"),
            Field("customer_id", "Customer ID|CustomerID", read=_customer), Field("country", "Country"),
            Field("props.title", "Description")),
    finish=_retail, currency="GBP", time_zone="Europe/London")

DIALECTS = (TAOBAO, RETAILROCKET, REES46, MOVIELENS, ONLINE_RETAIL)
