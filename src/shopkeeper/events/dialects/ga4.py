"""GA4: the BigQuery export, and payloads of the Measurement Protocol.

`value` is the sum of price times quantity, without shipping and tax, as ours is. An item without a quantity is one. A
session's number is only unique together with its device, and an event's place in its batch together with the device
and the time: what comes in the export of the day and in that of the minute is one event. A purchase inside an app names
no order, and so stays an event of its own name.
"""

from __future__ import annotations

from typing import Any

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, Unfit, flat, listed, personal, text_of
from shopkeeper.events.dialects.values import CLICKS, joint, micros, number, one_each, said, to_micros, unpriced
from shopkeeper.words import say

KINDS = {
    "page_view": "page_view", "screen_view": "page_view", "search": "search", "view_search_results": "search",
    "view_item_list": "view_item_list", "select_item": "select_item", "view_item": "view_item",
    "add_to_wishlist": "add_to_wishlist", "remove_from_wishlist": "remove_from_wishlist", "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart", "view_cart": "view_cart", "begin_checkout": "begin_checkout",
    "add_shipping_info": "checkout_step", "add_payment_info": "checkout_step", "purchase": "purchase",
    "ecommerce_purchase": "purchase", "refund": "refund",
    "view_promotion": "view_promotion", "select_promotion": "select_promotion", "sign_up": "sign_up", "login": "login",
}
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "begin_checkout", "purchase", "refund", "view_cart"})
_SHOWN = frozenset({"view_item_list", "select_item", "view_promotion", "select_promotion", "view_item", "other"})
_VALUES = ("string_value", "int_value", "double_value", "float_value")
_BATCHED = ("batch_page_id", "batch_ordering_id", "batch_event_index")
_OF_ITEMS = {"list_id": "item_list_id", "promotion_id": "promotion_id", "creative": "creative_name"}
_MONEY_OF = {"purchase": "ecommerce.purchase_revenue", "refund": "ecommerce.refund_value"}


def _params(prefix: str) -> tuple[Field, ...]:
    """The rows of an event's own parameters, which both forms share."""
    return (
        Field("url", f"{prefix}page_location", read=said), Field("referrer", f"{prefix}page_referrer", read=said),
        Field("query", f"{prefix}search_term", read=said), Field("list_id", f"{prefix}item_list_id", read=said),
        Field("currency", f"{prefix}currency", read=said), Field("value", f"{prefix}value", read=number),
        Field("shipping", f"{prefix}shipping", read=number), Field("tax", f"{prefix}tax", read=number),
        Field("order_id", f"{prefix}transaction_id", read=said), Field("coupon", f"{prefix}coupon", read=said),
        Field("promotion_id", f"{prefix}promotion_id", read=said),
        Field("creative", f"{prefix}creative_name", read=said), Field("campaign_id", f"{prefix}campaign_id", read=said),
        Field("step", f"{prefix}checkout_step|{prefix}payment_type|{prefix}shipping_tier", read=said),
        *(Field("click_id", f"{prefix}{name}", read=said) for name in CLICKS),
    )


ITEM = (Field("item_id", "item_id|item_name", read=said), Field("variant_id", "item_variant", read=said),
        Field("quantity", "quantity", read=number), Field("price", "price", read=number),
        Field("item_discount", "discount", read=number), Field("position", "index|item_list_index", read=said),
        Field("title", "item_name", read=said))


def _before(theirs: Row) -> Row:
    """Lists of key and value as names: `event_params.page_location`."""
    out = dict(theirs)
    for name in ("event_params", "user_properties"):
        if name not in theirs:
            continue
        del out[name]
        for one in listed(theirs[name], name):
            if "key" not in one:
                raise Unfit(name, say("it has an entry without a key."))
            value = next((one[f"value.{kind}"] for kind in _VALUES if one.get(f"value.{kind}") is not None), None)
            if value is not None:
                out[f"{name}.{text_of(one['key'])}"] = value
    return out


def _after(theirs: Row) -> Row:
    params, rest = [], {}
    for name, value in theirs.items():
        if name.startswith("event_params."):
            params.append({"key": name.removeprefix("event_params."), "value": {"string_value": text_of(value)}})
        else:
            rest[name] = value
    return {**rest, "event_params": params}


def _common(ours: Row, session: Any) -> Row:
    """What both forms say between their lines: the session of a device, and what the items say of themselves."""
    device = ours.get("anonymous_id")
    if session is not None and device:
        ours["session_id"] = joint(device, session)
    for name, of_item in _OF_ITEMS.items():
        found = {said(one.get(of_item, "")) for one in ours.get("items", ())}
        if name not in ours and len(found) == 1 and (only := found.pop()):
            ours[name] = only
    return unpriced(one_each(ours, _UNITS), _SHOWN)


def _finish(theirs: Row, ours: Row) -> Row:
    if ours.get("anonymous_id") and all(theirs.get(name) is not None for name in _BATCHED):
        ours["event_id"] = joint(ours["anonymous_id"], theirs["event_timestamp"], theirs["event_name"],
                                 *(theirs[name] for name in _BATCHED))
    money = _MONEY_OF.get(ours.get("event", ""))
    if money and "value" not in ours and theirs.get(money) is not None:
        ours["value"] = number(theirs[money])
    return _common(ours, theirs.get("event_params.ga_session_id"))


EXPORT = Dialect(
    "ga4-export", "GA4 (BigQuery export)", "https://support.google.com/analytics/answer/7029846",
    marks=(("event_name",), ("event_timestamp",), ("user_pseudo_id",), ("event_params", "event_date")),
    kind="event_name", kinds=KINDS, before=_before, after=_after, finish=_finish, items="items", item=ITEM,
    fields=(Field("ts", "event_timestamp", read=micros, write=to_micros), Field("customer_id", "user_id", read=said),
            Field("anonymous_id", "user_pseudo_id", read=said),
            Field("order_id", "ecommerce.transaction_id", read=said, write=NEVER),
            *_params("event_params."),
            Field("shipping", "ecommerce.shipping_value", read=number, write=NEVER),
            Field("tax", "ecommerce.tax_value", read=number, write=NEVER),
            Field("country", "geo.country", read=said), Field("device", "device.category", read=said),
            Field("utm_source", "collected_traffic_source.manual_source|traffic_source.source", read=said),
            Field("utm_medium", "collected_traffic_source.manual_medium|traffic_source.medium", read=said),
            Field("utm_campaign", "collected_traffic_source.manual_campaign_name|traffic_source.name", read=said),
            Field("utm_content", "collected_traffic_source.manual_content", read=said),
            Field("utm_term", "collected_traffic_source.manual_term", read=said),
            Field("click_id", "collected_traffic_source.gclid", read=said, write=NEVER),
            Field("consent", "privacy_info.analytics_storage", read=said)))


def _payload(theirs: Row) -> list[Row]:
    """A payload as its events, each with what the payload says for all."""
    if "events" not in theirs:
        return [theirs]
    above = {name: value for name, value in theirs.items() if name != "events"}
    events = listed(theirs["events"], "events")
    if not events:
        raise Unfit("events", say("there is none."))
    return [{**above, **one} for one in events]


def _mp_finish(theirs: Row, ours: Row) -> Row:
    return _common(ours, theirs.get("params.session_id"))


PROTOCOL = Dialect(
    "ga4-mp", "GA4 Measurement Protocol", "https://developers.google.com/analytics/devguides/collection/protocol/ga4",
    marks=(("client_id", "app_instance_id"), ("events", "params", "name")),
    fits=lambda row: "events" in row or "name" in row,
    split=_payload, kind="name", kinds=KINDS, finish=_mp_finish, items="params.items", item=ITEM,
    fields=(Field("ts", "timestamp_micros", read=micros, write=to_micros), Field("customer_id", "user_id", read=said),
            Field("anonymous_id", "client_id|app_instance_id", read=said), *_params("params."),
            Field("consent", "consent.ad_user_data", read=said), Field("user_agent", "user_agent", read=said),
            Field("ip_prefix", "ip_override", read=said, write=NEVER),
            *personal("user data", *(f"user_data.{name}" for name in (
                "sha256_email_address", "sha256_phone_number", "address", *(f"address.{part}" for part in (
                    "street", "city", "region", "postal_code", "country", "sha256_first_name", "sha256_last_name",
                    "sha256_street"))))),
            Field("country", "user_location.country_id", read=said),
            Field("device", "device.category", read=said)))

DIALECTS = (EXPORT, PROTOCOL)


def events_of(payload: dict[str, Any]) -> list[Row]:
    """The events of a payload of the protocol, flat."""
    return _payload(flat(payload))
