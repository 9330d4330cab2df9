"""The event table: columns, types, kinds and the roles that kinds play.

One row an event line, key `(event_id, line)`. An event with one item has it on line 0; an event with many has a header
on line 0 and its items on 1..n. Money of a whole order stands only on line 0, so a plain SUM is right and
`line = 0` is one row an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = "1"
SERVICE = "serve"  # source of what the service itself says (what it showed to whom): nobody's doing
MONEY = pa.decimal128(18, 4)
TIME = pa.timestamp("us")  # naive UTC

Role = Literal["interest", "intent", "conversion", "feedback", "context"]
ROLES: tuple[Role, ...] = ("interest", "intent", "conversion", "feedback", "context")


@dataclass(frozen=True)
class Column:
    """A column of the event table.

    Attributes:
        name: As stored.
        type: Arrow type.
        level: `event` (stands on every line of the event), `head` (line 0 only: money of the whole order) or `item`.
        personal: It can point to a person; exports and erasure look here.
    """

    name: str
    type: pa.DataType
    level: Literal["event", "head", "item"] = "event"
    personal: bool = False


def _texts(names: str, *, level: Literal["event", "head", "item"] = "event", personal: bool = False) -> list[Column]:
    return [Column(name, pa.string(), level, personal) for name in names.split()]


COLUMNS: tuple[Column, ...] = (
    Column("event_id", pa.string()), Column("line", pa.int32()), Column("event", pa.string()), Column("ts", TIME),
    Column("client_ts", TIME), Column("sent_at", TIME), Column("received_at", TIME),
    *_texts("customer_id anonymous_id", personal=True), *_texts("session_id"),
    *_texts("item_id variant_id", level="item"), Column("quantity", pa.float64(), "item"),
    Column("price", MONEY, "item"), Column("list_price", MONEY, "item"), Column("item_discount", MONEY, "item"),
    Column("stock", pa.float64(), "item"), *_texts("list_id"), Column("position", pa.int64(), "item"),
    *_texts("request_id"), *_texts("query", personal=True), Column("results", pa.int64()),
    *_texts("order_id cart_id step currency"),
    Column("value", MONEY, "head"), Column("shipping", MONEY, "head"), Column("tax", MONEY, "head"),
    Column("discount", MONEY, "head"),
    *_texts("coupon promotion_id campaign_id creative treatment"), Column("propensity", pa.float64()),
    Column("rating", pa.float64()), *_texts("text", personal=True),
    *_texts("url referrer", personal=True), *_texts("utm_source utm_medium utm_campaign utm_content utm_term click_id"),
    *_texts("user_agent ip_prefix", personal=True), *_texts("country device"),
    *_texts("traffic"), Column("bot_score", pa.float64()), *_texts("bot_reason consent source schema_version"),
    *_texts("props", personal=True),
)
BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}
EVENTS = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])

# What a currency is called, in upper case, where its code of ISO 4217 is not used.
CURRENCIES: Mapping[str, str] = {"RMB": "CNY", "人民币": "CNY", "元": "CNY"}

# What a source may not fill: the system says these itself.
OURS = frozenset({"source", "schema_version", "props", "bot_score", "bot_reason", "traffic"})
MAPPABLE: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.name not in OURS)
MONEY_COLUMNS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.type == MONEY)
HEAD_COLUMNS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.level == "head")
ITEM_COLUMNS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.level == "item")

_KINDS: dict[Role, str] = {
    "interest": "select_item view_item add_to_wishlist",
    "intent": "add_to_cart begin_checkout",
    "conversion": "purchase",
    "feedback": "review refund cancel_order remove_from_wishlist remove_from_cart",
    "context": "page_view search view_item_list view_cart checkout_step payment_failed view_promotion select_promotion "
               "coupon_apply coupon_reject coupon_remove ad_click offer stock_change price_change message_sent "
               "message_open message_click sign_up login mention chat other",
}
KINDS: Mapping[str, Role] = {kind: role for role, kinds in _KINDS.items() for kind in kinds.split()}

# Kinds that make no sense without an item, an order, or a person. (A purchase may be a whole order: value, no item.)
NEEDS_ITEM = frozenset({"select_item", "view_item", "add_to_wishlist", "remove_from_wishlist", "add_to_cart",
                        "remove_from_cart", "purchase", "stock_change", "price_change"})
NEEDS_ORDER = frozenset({"purchase", "refund", "cancel_order"})
NEEDS_NOBODY = frozenset({"stock_change", "price_change"})


TABLES: Mapping[str, pa.Schema] = {
    "items": pa.schema([
        ("item_id", pa.string()), ("title", pa.string()), ("description", pa.string()), ("category", pa.string()),
        ("brand", pa.string()), ("price", MONEY), ("cost", MONEY), ("image", pa.string()), ("props", pa.string()),
    ]),
    "customers": pa.schema([("customer_id", pa.string()), ("props", pa.string())]),
    "stock": pa.schema([
        ("item_id", pa.string()), ("on_hand", pa.float64()), ("on_order", pa.float64()),
        ("lead_time", pa.float64()), ("pack_size", pa.float64()), ("minimum_order", pa.float64()),
        ("props", pa.string()),
    ]),
    "campaigns": pa.schema([
        ("campaign_id", pa.string()), ("offer", pa.string()), ("cost", MONEY), ("face_value", MONEY),
        ("start", TIME), ("end", TIME), ("props", pa.string()),
    ]),
}
TABLE_KEYS: Mapping[str, str] = {"items": "item_id", "customers": "customer_id", "stock": "item_id",
                                 "campaigns": "campaign_id"}
