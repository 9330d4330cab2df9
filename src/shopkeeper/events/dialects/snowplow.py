"""Snowplow: enriched events of its e-commerce schemas, as JSON of its analytics SDKs or of a warehouse.

A context is a list of entities under a name that ends in the version of its schema (`_1`).
"""

from __future__ import annotations

import re
from decimal import Decimal

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, Unfit, listed, text_of
from shopkeeper.events.dialects.values import number, one_each, said

_ENTITY = re.compile(r"contexts_com_snowplowanalytics_snowplow_ecommerce_(\w+?)_\d+")
_ACTION = re.compile(r"unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_\d+\.(\w+)")
KINDS = {
    "page_view": "page_view", "product_view": "view_item", "list_view": "view_item_list", "list_click": "select_item",
    "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart", "checkout_step": "checkout_step",
    "transaction": "purchase", "refund": "refund", "trns_error": "payment_failed", "promo_view": "view_promotion",
    "promo_click": "select_promotion", "search": "search",
}
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})
_PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"


def _before(theirs: Row) -> Row:
    """The first entity of each context as names of its own: `transaction.revenue`; products stay a list."""
    out: Row = {}
    for name, value in theirs.items():
        action, entity = _ACTION.fullmatch(name), _ENTITY.fullmatch(name)
        if action is not None:
            out[f"action.{action[1]}"] = value
        elif entity is None:
            out[name] = value
        elif entity[1] == "product":
            out["products"] = value
        else:
            out |= {f"{entity[1]}.{key}": one for first in listed(value, name)[:1] for key, one in first.items()}
    if "products" in out and len(products := listed(out["products"], _PRODUCTS)) == 1:
        out["currency_of_product"] = products[0].get("currency")
    elif "products" in out:
        found = {text_of(one["currency"]) for one in products if one.get("currency")}
        if len(found) > 1:
            raise Unfit(_PRODUCTS, "products in several currencies")
        out["currency_of_product"] = next(iter(found), None)
    return {name: value for name, value in out.items() if value is not None}


def _after(theirs: Row) -> Row:
    out: Row = {}
    for name, value in theirs.items():
        above, dot, rest = name.partition(".")
        if name == "products":
            out[_PRODUCTS] = value
        elif above == "action":
            out.setdefault("unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1",
                           {})[rest] = value
        elif dot:
            out.setdefault(f"contexts_com_snowplowanalytics_snowplow_ecommerce_{above}_1", [{}])[0][rest] = value
        else:
            out[name] = value
    return out


def _finish(theirs: Row, ours: Row) -> Row:
    if ours.get("event") == "refund" and "value" not in ours and "refund.refund_amount" in theirs:
        ours["value"] = number(theirs["refund.refund_amount"])
    if ours.get("event") == "purchase" and "transaction.revenue" in theirs:  # with shipping and tax, as documented
        ours["value"] = number(Decimal(number(theirs["transaction.revenue"])) - sum(
            Decimal(number(theirs.get(f"transaction.{name}", 0))) for name in ("tax", "shipping")))
    return one_each(ours, _UNITS)


SNOWPLOW = Dialect(
    "snowplow", "Snowplow e-commerce", "https://docs.snowplow.io/docs/events/ecommerce/",
    marks=(("event_id",), ("collector_tstamp",), ("domain_userid", "network_userid", "user_id"),
           ("event_name", "event", "v_collector")),
    kind="action.type|event_name|event", kinds=KINDS, before=_before, after=_after, finish=_finish, items="products",
    item=(Field("item_id", "id", read=said), Field("variant_id", "variant", read=said),
          Field("quantity", "quantity", read=number), Field("price", "price", read=number),
          Field("list_price", "list_price", read=number), Field("position", "position", read=said)),
    fields=(Field("event_id", "event_id", read=said),
            Field("ts", "derived_tstamp|collector_tstamp", read=said),
            Field("client_ts", "dvce_created_tstamp", read=said), Field("sent_at", "dvce_sent_tstamp", read=said),
            Field("received_at", "collector_tstamp", read=said), Field("customer_id", "user_id", read=said),
            Field("anonymous_id", "domain_userid|network_userid", read=said),
            Field("session_id", "domain_sessionid", read=said), Field("list_id", "action.name", read=said),
            Field("order_id", "transaction.transaction_id|refund.transaction_id", read=said),
            Field("currency", "transaction.currency|refund.currency|cart.currency|currency_of_product", read=said),
            Field("tax", "transaction.tax", read=number), Field("shipping", "transaction.shipping", read=number),
            Field("coupon", "transaction.discount_code|checkout_step.coupon_code", read=said),
            Field("discount", "transaction.discount_amount", read=number), Field("cart_id", "cart.cart_id", read=said),
            Field("step", "checkout_step.step", read=said), Field("promotion_id", "promotion.id", read=said),
            Field("creative", "promotion.creative_id", read=said),
            Field("url", "page_url", read=said), Field("referrer", "page_referrer", read=said),
            Field("utm_source", "mkt_source", read=said), Field("utm_medium", "mkt_medium", read=said),
            Field("utm_campaign", "mkt_campaign", read=said), Field("utm_content", "mkt_content", read=said),
            Field("utm_term", "mkt_term", read=said), Field("click_id", "mkt_clickid", read=said),
            Field("user_agent", "useragent", read=said), Field("ip_prefix", "user_ipaddress", read=said, write=NEVER),
            Field("country", "geo_country", read=said), Field("device", "dvce_type", read=said)))

DIALECTS = (SNOWPLOW,)
