"""Snowplow: enriched events of its e-commerce schemas: JSON of its analytics SDKs, a warehouse's table, or its TSV.

A context is a list of entities under a name that ends in the version of its schema (`_1`, `_1_0_0`); in the TSV, which
has no header, they stand together as self-describing JSON. The revenue of a transaction is its total: tax and shipping
come off. The older e-commerce events say an order by an event for each item: those are its purchases, and the event of
the whole (`tr_total`) stays beside them under its name, so that nothing is counted twice.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from shopkeeper.events.dialects.base import NEVER, OTHER, Dialect, Field, Row, Unfit, flat, listed, personal, text_of
from shopkeeper.events.dialects.values import net, number, one_each, said
from shopkeeper.words import say

_ENTITY = re.compile(r"contexts_com_snowplowanalytics_snowplow_ecommerce_(\w+?)(?:_\d+){1,3}")
_ACTION = re.compile(r"unstruct_event_com_snowplowanalytics_snowplow_(?:ecommerce_)?"
                     r"(snowplow_ecommerce_action|site_search|add_to_cart|remove_from_cart)(?:_\d+){1,3}\.(\w+)")
_SCHEMA = re.compile(r"iglu:([^/]+)/([^/]+)/jsonschema/(\d+)-\d+-\d+")
KINDS = {
    "page_view": "page_view", "product_view": "view_item", "list_view": "view_item_list", "list_click": "select_item",
    "add_to_cart": "add_to_cart", "remove_from_cart": "remove_from_cart", "checkout_step": "checkout_step",
    "transaction": "purchase", "refund": "refund", "trns_error": "payment_failed", "promo_view": "view_promotion",
    "promo_click": "select_promotion", "search": "search", "site_search": "search", "transaction_item": "purchase",
}
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})
_PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"


def _before(theirs: Row) -> Row:
    """The first entity of each context as names of its own: `transaction.revenue`; products stay a list."""
    out: Row = {}
    for name, value in theirs.items():
        action, entity = _ACTION.fullmatch(name), _ENTITY.fullmatch(name)
        if action is not None:
            out[f"{'action' if action[1].startswith('snowplow') else 'said'}.{action[2]}"] = value
        elif entity is None:
            out[name] = value
        elif entity[1] == "product":
            out["products"] = value
        else:
            first, *others = listed(value, name) or [{}]
            out |= {f"{entity[1]}.{key}": one for key, one in first.items()} | ({name: others} if others else {})
    if "products" in out and len(products := listed(out["products"], _PRODUCTS)) == 1:
        out["currency_of_product"] = products[0].get("currency")
    elif "products" in out:
        found = {text_of(one["currency"]) for one in products if one.get("currency")}
        if len(found) > 1:
            raise Unfit(_PRODUCTS, say("its products are in several currencies."))
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
        ours["value"] = net(theirs, "transaction.revenue", "transaction.tax", "transaction.shipping")
    elif ours.get("event") == "purchase" and "tr_orderid" in theirs:
        for name in ("tax", "shipping"):
            ours.pop(name, None)
        ours |= {"event": OTHER, "props.event_name": "transaction"} | {
            f"props.{name}": theirs[name] for name in ("tr_total", "tr_tax", "tr_shipping") if name in theirs}
    if ours.get("event") == "search" and "query" not in ours and (terms := theirs.get("said.terms")):
        ours["query"] = " ".join(terms) if isinstance(terms, list) else text_of(terms)
    return one_each(ours, _UNITS)


SNOWPLOW = Dialect(
    "snowplow", "Snowplow e-commerce", "https://docs.snowplow.io/docs/events/ecommerce/", time_zone="UTC",
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
            Field("order_id", "transaction.transaction_id|refund.transaction_id|tr_orderid|ti_orderid", read=said),
            Field("currency", "transaction.currency|refund.currency|cart.currency|currency_of_product"
                  "|tr_currency|ti_currency|said.currency", read=said),
            Field("tax", "transaction.tax|tr_tax", read=number),
            Field("shipping", "transaction.shipping|tr_shipping", read=number),
            Field("item_id", "ti_sku|said.sku", read=said), Field("price", "ti_price|said.unit_price", read=number),
            Field("quantity", "ti_quantity|said.quantity", read=number),
            Field("coupon", "transaction.discount_code|checkout_step.coupon_code", read=said),
            Field("discount", "transaction.discount_amount", read=number), Field("cart_id", "cart.cart_id", read=said),
            Field("step", "checkout_step.step", read=said), Field("promotion_id", "promotion.id", read=said),
            Field("creative", "promotion.creative_id", read=said),
            Field("url", "page_url", read=said), Field("referrer", "page_referrer", read=said),
            Field("utm_source", "mkt_source", read=said), Field("utm_medium", "mkt_medium", read=said),
            Field("utm_campaign", "mkt_campaign", read=said), Field("utm_content", "mkt_content", read=said),
            Field("utm_term", "mkt_term", read=said), Field("click_id", "mkt_clickid", read=said),
            Field("user_agent", "useragent", read=said), Field("ip_prefix", "user_ipaddress", read=said, write=NEVER),
            Field("country", "geo_country", read=said), Field("device", "dvce_type", read=said),
            *personal("id", "network_userid", "user_fingerprint", "refr_domain_userid", "user.id"),
            *personal("email", "user.email")))


def _tsv(theirs: Row) -> Row:
    """Self-describing JSON as the columns that a warehouse would have of it."""
    out = {"event_schema" if name == "event_name" else name: value for name, value in theirs.items()
           if name not in _PACKED}
    for name in _PACKED:
        if theirs.get(name) in (None, ""):
            continue
        whole = _json(name, theirs[name]).get("data")
        for entity in whole if isinstance(whole, list) else [whole]:
            if not isinstance(entity, dict) or not (schema := _SCHEMA.fullmatch(text_of(entity.get("schema", "")))):
                raise Unfit(name, say("it is no self-describing JSON."))
            vendor, what = (re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower())
                            for part in schema.groups()[:2])
            column = f"{'unstruct_event' if name == 'unstruct_event' else 'contexts'}_{vendor}_{what}_{schema[3]}"
            if name == "unstruct_event":
                out |= flat({column: entity.get("data")})
            else:
                out.setdefault(column, []).append(entity.get("data"))
    return _before(out)


def _tsv_after(theirs: Row) -> Row:
    """The inverse: what has a column of its own in a warehouse, packed as the TSV has it."""
    word = text_of(theirs.get("event", ""))
    if word in ("page_view", "page_ping", "struct"):
        theirs = {**theirs, "event_name": word}
    else:
        action = next((name for name, kind in KINDS.items() if kind == word), "transaction")
        theirs = {**theirs, "event": "unstruct", "event_name": "snowplow_ecommerce_action", "action.type": action}
    out: Row = {}
    entities: list[Row] = []
    for column, value in _after(theirs).items():
        form, space, entity = column.partition("_com_snowplowanalytics_snowplow_ecommerce_")
        named = {"schema": f"iglu:{_VENDOR}.ecommerce/{entity.removesuffix('_1')}/jsonschema/1-0-0"}
        if not space:
            out[column] = value
        elif form == "unstruct_event":
            out[form] = _packed("unstruct_event", {**named, "data": value})
        else:
            entities += [{**named, "data": one} for one in value]
    return {**out, "contexts": _packed("contexts", entities)} if entities else out


def _packed(schema: str, data: object) -> str:
    return msgspec.json.encode({"schema": f"iglu:{_VENDOR}/{schema}/jsonschema/1-0-0", "data": data}).decode()


def _json(name: str, value: object) -> dict[str, object]:
    try:
        return msgspec.json.decode(text_of(value), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise Unfit(name, say("it is no JSON object.")) from wrong


def _tsv_finish(theirs: Row, ours: Row) -> Row:
    """What happened is said by the action, else by the name of the event's schema; what has no kind keeps that name."""
    word = text_of(theirs.get("action.type", theirs.get("event_schema", theirs.get("event", ""))))
    ours = {name: value for name, value in ours.items() if name != "props.event_name"}
    ours["event"] = KINDS.get(word, OTHER)
    if ours["event"] == OTHER:
        ours["props.event_name"] = word
    return _finish(theirs, ours)


_VENDOR = "com.snowplowanalytics.snowplow"
_PACKED = ("contexts", "unstruct_event", "derived_contexts")
_HEADER = tuple("""
    app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker v_tracker
    v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx network_userid geo_country
    geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name ip_isp ip_organization ip_domain
    ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost page_urlport page_urlpath page_urlquery
    page_urlfragment refr_urlscheme refr_urlhost refr_urlport refr_urlpath refr_urlquery refr_urlfragment refr_medium
    refr_source refr_term mkt_medium mkt_source mkt_term mkt_content mkt_campaign contexts se_category se_action
    se_label se_property se_value unstruct_event tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state
    tr_country ti_orderid ti_sku ti_name ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min
    pp_yoffset_max useragent br_name br_family br_version br_type br_renderengine br_lang br_features_pdf
    br_features_flash br_features_java br_features_director br_features_quicktime br_features_realplayer
    br_features_windowsmedia br_features_gears br_features_silverlight br_cookies br_colordepth br_viewwidth
    br_viewheight os_name os_family os_manufacturer os_timezone dvce_type dvce_ismobile dvce_screenwidth
    dvce_screenheight doc_charset doc_width doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base
    ti_currency ti_price_base base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp
    refr_domain_userid refr_device_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor event_name
    event_format event_version event_fingerprint true_tstamp""".split())
_FORMS = ("page_view", "page_ping", "unstruct", "struct", "transaction", "transaction_item")  # of the first record

TSV = replace(
    SNOWPLOW, name="snowplow-tsv", title="Snowplow enriched events (TSV)",
    documented="https://docs.snowplow.io/docs/fundamentals/canonical-event/understanding-the-enriched-tsv-format/",
    marks=(("contexts",), ("unstruct_event",), ("derived_contexts",), ("collector_tstamp",), ("event_id",)),
    kind="event", kinds={form: KINDS.get(form, OTHER) for form in _FORMS}, before=_tsv,
    after=_tsv_after, finish=_tsv_finish, headerless=_HEADER)

DIALECTS = (SNOWPLOW, TSV)
