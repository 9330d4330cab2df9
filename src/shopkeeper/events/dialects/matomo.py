"""Matomo: visits with their actions, as `Live.getLastVisitsDetails` gives them; a record is an action of a visit.

The total of an order includes its tax and shipping and has its discount taken off, so our value is the total less those
two; a subtotal counts only where there is no total. An order counts once, whatever visits are exported with it.
"""

from __future__ import annotations

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, listed, personal, text_of
from shopkeeper.events.dialects.values import joint, net, number, one_each, said, seconds, to_seconds

KINDS = {"action": "page_view", "search": "search", "ecommerceOrder": "purchase", "ecommerceAbandonedCart": "view_cart",
         "productView": "view_item"}
_UNITS = frozenset({"purchase", "view_cart"})


def _split(theirs: Row) -> list[Row]:
    """A visit as its actions, each with what the visit says for all; a visit without any stays as it is."""
    if "actionDetails" not in theirs:
        return [theirs]
    visit = {f"visit.{name}": value for name, value in theirs.items() if name != "actionDetails"}
    return [{**visit, **action} for action in listed(theirs["actionDetails"], "actionDetails")] or [
        {**visit, "type": "visit"}]


def _before(theirs: Row) -> Row:
    """A page of a product is a view of it."""
    if theirs.get("type") == "action" and theirs.get("productViewSku"):
        return {**theirs, "type": "productView"}
    return theirs


def _finish(theirs: Row, ours: Row) -> Row:
    visit = text_of(theirs.get("visit.idVisit", theirs.get("idVisit", "")))
    if visit:
        ours["session_id"] = visit
    if visit and "event_id" not in ours and "pageId" in theirs:
        ours["event_id"] = f"{visit}.{text_of(theirs['pageId'])}"
    elif ours.get("event") == "purchase" and "order_id" in ours:
        ours["event_id"] = f"order:{text_of(theirs.get('visit.idSite', ''))}:{ours['order_id']}"
    elif visit and "timestamp" in theirs:
        ours["event_id"] = joint(*(f"{name}={text_of(value)}" for name, value in sorted(theirs.items())
                                   if not name.startswith("visit.")), visit)
    if ours.get("event") == "purchase" and "revenue" in theirs:
        ours["value"] = net(theirs, "revenue", "revenueTax", "revenueShipping")
    elif ours.get("event") == "view_cart":
        ours.pop("value", None)
    return one_each(ours, _UNITS)


MATOMO = Dialect(
    "matomo", "Matomo visits", "https://developer.matomo.org/api-reference/reporting-api#Live",
    marks=(("idVisit", "visit.idVisit"), ("visitorId", "visit.visitorId"), ("actionDetails", "type")),
    split=_split, before=_before, kind="type", kinds=KINDS, finish=_finish, items="itemDetails",
    item=(Field("item_id", "itemSKU", read=said), Field("price", "itemPrice", read=number),
          Field("quantity", "itemQuantity|quantity", read=number), Field("title", "itemName", read=said)),
    fields=(Field("ts", "timestamp|visit.firstActionTimestamp", read=seconds, write=to_seconds),
            Field("customer_id", "visit.userId", read=said), Field("anonymous_id", "visit.visitorId", read=said),
            Field("item_id", "productViewSku", read=said), Field("price", "productViewPrice", read=number),
            Field("url", "url", read=said), Field("query", "siteSearchKeyword", read=said),
            Field("results", "siteSearchCount", read=said), Field("order_id", "orderId", read=said),
            Field("value", "revenueSubTotal", read=number), Field("tax", "revenueTax", read=number),
            Field("shipping", "revenueShipping", read=number), Field("discount", "revenueDiscount", read=number),
            Field("currency", "visit.siteCurrency", read=said), Field("referrer", "visit.referrerUrl", read=said),
            Field("utm_source", "visit.campaignSource", read=said),
            Field("utm_medium", "visit.campaignMedium", read=said),
            Field("utm_campaign", "visit.campaignName|visit.referrerName", read=said),
            Field("ip_prefix", "visit.visitIp", read=said, write=NEVER),
            Field("country", "visit.countryCode", read=lambda value: text_of(value).upper()),
            Field("device", "visit.deviceType", read=said), *personal("id", "visit.fingerprint")))

DIALECTS = (MATOMO,)
