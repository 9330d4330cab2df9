"""Segment, RudderStack and PostHog: calls by the e-commerce specification.

A price that names no currency stays in props, where nothing is sold: the specification asks for none. `revenue` is
without shipping and tax, as our value is; `total` includes them, and stands in for it only with both taken off. A
published example has a revenue above its total: both are kept, and the sum of an order is checked, not trusted.
"""

from __future__ import annotations

import msgspec

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, Unfit, flat, listed, personal, text_of
from shopkeeper.events.dialects.values import CLICKS, net, number, one_each, said, unpriced
from shopkeeper.words import say

KINDS = {
    "Products Searched": "search", "Product List Viewed": "view_item_list", "Product List Filtered": "view_item_list",
    "Product Clicked": "select_item", "Product Viewed": "view_item", "Product Added": "add_to_cart",
    "Product Removed": "remove_from_cart", "Cart Viewed": "view_cart", "Checkout Started": "begin_checkout",
    "Checkout Step Viewed": "checkout_step", "Checkout Step Completed": "checkout_step",
    "Payment Info Entered": "checkout_step", "Order Completed": "purchase", "Order Refunded": "refund",
    "Order Cancelled": "cancel_order", "Promotion Viewed": "view_promotion", "Promotion Clicked": "select_promotion",
    "Coupon Applied": "coupon_apply", "Coupon Denied": "coupon_reject", "Coupon Removed": "coupon_remove",
    "Product Added to Wishlist": "add_to_wishlist", "Product Removed from Wishlist": "remove_from_wishlist",
    "Wishlist Product Added to Cart": "add_to_cart", "Product Reviewed": "review", "Signed Up": "sign_up",
    "Signed In": "login", "Email Delivered": "message_sent", "Email Opened": "message_open",
    "Email Link Clicked": "message_click", "Push Notification Received": "message_sent",
    "Push Notification Tapped": "message_click", "page": "page_view", "screen": "page_view", "$pageview": "page_view",
    "$screen": "page_view",
}
_PERSONAL = {"email": ("email",), "phone": ("phone",), "name": ("name", "firstName", "lastName", "username"),
             "address": ("address.street", "address.postalCode"), "birthday": ("birthday",)}
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})
_SHOWN = frozenset({*KINDS.values(), "other"} - {"purchase", "refund"})


def _fields(p: str) -> tuple[Field, ...]:
    """The rows of the properties, which all of them share."""
    return (
        Field("item_id", f"{p}product_id|{p}productId|{p}sku", read=said),
        Field("variant_id", f"{p}sku|{p}variant", read=said), Field("quantity", f"{p}quantity", read=number),
        Field("price", f"{p}price", read=number), Field("position", f"{p}position", read=said),
        Field("list_id", f"{p}list_id", read=said), Field("query", f"{p}query", read=said),
        Field("order_id", f"{p}order_id|{p}orderId", read=said), Field("cart_id", f"{p}cart_id", read=said),
        Field("step", f"{p}step", read=said), Field("currency", f"{p}currency", read=said),
        Field("value", f"{p}revenue|{p}subtotal", read=number), Field("shipping", f"{p}shipping", read=number),
        Field("tax", f"{p}tax", read=number), Field("discount", f"{p}discount", read=number),
        Field("coupon", f"{p}coupon|{p}coupon_id|{p}coupon_name", read=said),
        Field("promotion_id", f"{p}promotion_id", read=said), Field("creative", f"{p}creative", read=said),
        Field("campaign_id", f"{p}campaign_id", read=said), Field("rating", f"{p}rating", read=number),
        Field("text", f"{p}review_body", read=said))


ITEM = (Field("item_id", "product_id|productId|sku", read=said), Field("variant_id", "sku|variant", read=said),
        Field("quantity", "quantity", read=number), Field("price", "price", read=number),
        Field("position", "position", read=said))


def _finish(theirs: Row, ours: Row) -> Row:
    p = "properties."
    word = text_of(theirs.get("event", ""))
    if word == "Order Updated":
        ours["props.corrects"] = "order"
    total = theirs.get(f"{p}total")
    if ours.get("event") in ("purchase", "refund") and "value" not in ours and total is not None:
        ours["value"] = net(theirs, f"{p}total", f"{p}shipping", f"{p}tax")
    if ours.get("event") == "view_item_list" and "list_id" not in ours:
        ours["list_id"] = said(theirs.get(f"{p}category", ""))
    if ours.get("event") == "refund" and "value" not in ours and not ours.get("items"):
        ours["props.whole_order"] = "true"
    return unpriced(one_each(ours, _UNITS), _SHOWN)


def _batch(theirs: Row) -> list[Row]:
    """A batch as its calls, each with what the batch says for all."""
    if "batch" not in theirs:
        return [theirs]
    above = {name: value for name, value in theirs.items() if name in ("sentAt",) or name.startswith("context.")}
    return [{**above, **one} for one in listed(theirs["batch"], "batch")]


SEGMENT = Dialect(
    "segment", "Segment and RudderStack", "https://segment.com/docs/connections/spec/ecommerce/v2/",
    marks=(("messageId", "anonymousId", "batch"), ("type", "batch"), ("timestamp", "originalTimestamp", "sentAt")),
    split=_batch, kind="event|type", kinds=KINDS, finish=_finish, items="properties.products", item=ITEM,
    fields=(Field("event_id", "messageId", read=said), Field("ts", "timestamp", read=said),
            Field("client_ts", "originalTimestamp", read=said), Field("sent_at", "sentAt", read=said),
            Field("received_at", "receivedAt", read=said), Field("customer_id", "userId", read=said),
            Field("anonymous_id", "anonymousId", read=said), *_fields("properties."),
            Field("session_id", "context.sessionId|properties.session_id", read=said),
            Field("url", "context.page.url|properties.url", read=said),
            Field("referrer", "context.page.referrer|properties.referrer", read=said),
            Field("utm_source", "context.campaign.source", read=said),
            Field("utm_medium", "context.campaign.medium", read=said),
            Field("utm_campaign", "context.campaign.name", read=said),
            Field("utm_content", "context.campaign.content", read=said),
            Field("utm_term", "context.campaign.term", read=said),
            *(Field("click_id", f"context.campaign.{name}", read=said) for name in CLICKS),
            Field("user_agent", "context.userAgent", read=said),
            Field("ip_prefix", "context.ip", read=said, write=NEVER),
            Field("country", "context.location.country", read=said),
            Field("device", "context.device.type", read=said),
            *personal("id", "previousId"),
            *(one for traits in ("traits", "context.traits") for what, names in _PERSONAL.items()
              for one in personal(what, *(f"{traits}.{name}" for name in names)))))

def _properties(theirs: Row) -> Row:
    """`properties` as fields where a warehouse keeps them as text."""
    if not isinstance(theirs.get("properties"), str):
        return theirs
    try:
        found = msgspec.json.decode(theirs["properties"], type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise Unfit("properties", say("it is no JSON object.")) from wrong
    rest = {name: value for name, value in theirs.items() if name != "properties"}
    return {**rest, **flat({"properties": found})}


def _posthog(theirs: Row, ours: Row) -> Row:
    """Once somebody is identified, `distinct_id` is the customer, and the device has a name of its own."""
    if "customer_id" not in ours and text_of(theirs.get("properties.$is_identified", "")).lower() == "true":
        ours["customer_id"] = ours.pop("anonymous_id", None)
        ours["anonymous_id"] = theirs.get("properties.$anon_distinct_id", theirs.get("properties.$device_id"))
    return _finish(theirs, ours)


POSTHOG = Dialect(
    "posthog", "PostHog", "https://posthog.com/docs/data/events",
    marks=(("event",), ("distinct_id", "properties.distinct_id"), ("timestamp",),
           ("uuid", "properties.$lib", "properties.token", "properties.$session_id")),
    kind="event", kinds=KINDS, before=_properties, finish=_posthog, items="properties.products", item=ITEM,
    fields=(Field("event_id", "uuid", read=said), Field("ts", "timestamp", read=said),
            Field("customer_id", "properties.$user_id", read=said),
            Field("anonymous_id", "distinct_id|properties.distinct_id", read=said), *_fields("properties."),
            Field("session_id", "properties.$session_id", read=said),
            Field("url", "properties.$current_url", read=said),
            Field("referrer", "properties.$referrer", read=said),
            Field("utm_source", "properties.utm_source", read=said),
            Field("utm_medium", "properties.utm_medium", read=said),
            Field("utm_campaign", "properties.utm_campaign", read=said),
            Field("utm_content", "properties.utm_content", read=said),
            Field("utm_term", "properties.utm_term", read=said),
            *(Field("click_id", f"properties.{name}", read=said) for name in CLICKS),
            Field("user_agent", "properties.$raw_user_agent|properties.$useragent", read=said),
            Field("ip_prefix", "properties.$ip", read=said, write=NEVER),
            Field("country", "properties.$geoip_country_code", read=said),
            Field("device", "properties.$device_type", read=said),
            *personal("id", "properties.distinct_id", "properties.$device_id", "properties.$anon_distinct_id",
                      "person_id"),
            *(one for traits in ("properties.$set", "properties.$set_once") for what, names in _PERSONAL.items()
              for one in personal(what, *(f"{traits}.{name}" for name in names)))))

DIALECTS = (SEGMENT, POSTHOG)


def calls_of(body: dict[str, object]) -> list[Row]:
    """The calls of a body of the HTTP interface, flat."""
    return _batch(flat(body))
