"""Shopify's web pixel events: `product_viewed`, `checkout_completed` and the rest, as a pixel gets them.

`checkout_completed` can come twice or not at all: its event is named after the order, so that it counts once.
`subtotalPrice` is after the discounts of lines and of the order: it is the value, without shipping and tax. A line's
price is what it costs in the end, by the unit; its variant's price stands beside it as the list price. Of the alerts,
those about a payment are failed payments, and those about a discount refused codes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, listed, personal, text_of
from shopkeeper.events.dialects.values import number, one_each, said

KINDS = {
    "page_viewed": "page_view", "product_viewed": "view_item", "collection_viewed": "view_item_list",
    "search_submitted": "search", "product_added_to_cart": "add_to_cart",
    "product_removed_from_cart": "remove_from_cart", "cart_viewed": "view_cart", "checkout_started": "begin_checkout",
    "checkout_contact_info_submitted": "checkout_step",
    "checkout_address_info_submitted": "checkout_step", "checkout_shipping_info_submitted": "checkout_step",
    "payment_info_submitted": "checkout_step", "checkout_completed": "purchase",
    "alert_displayed.payment": "payment_failed", "alert_displayed.discount": "coupon_reject",
}
_LISTS = ("data.checkout.lineItems", "data.cart.lines", "data.collection.productVariants",
          "data.searchResult.productVariants")
_ALERTS = ("payment", "discount")
_SIDES = ("billing", "shipping")
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})


def _before(theirs: Row) -> Row:
    """Whatever the event lists, as `lines`: variants, lines of a cart, of a checkout; an alert by what it is about."""
    out = dict(theirs)
    if theirs.get("name") == "alert_displayed":
        about = text_of(theirs.get("data.alert.type", "")).lower()
        out["name"] += next((f".{one}" for one in _ALERTS if one in about), "")
    for name in _LISTS:
        if theirs.get(name) not in (None, "", [], "[]"):
            out["lines"] = [_line(one) for one in listed(out.pop(name), name)]
            break
    if "lines" not in out:
        single = {name.partition("data.productVariant.")[2] or name.partition("data.cartLine.")[2]: value
                  for name, value in theirs.items() if name.startswith(("data.productVariant.", "data.cartLine."))}
        if single:
            out = {name: value for name, value in out.items()
                   if not name.startswith(("data.productVariant.", "data.cartLine."))}
            out["lines"] = [_line(single)]
    if "lines" in out and "currency" not in out:
        found = {one["currency"] for one in out["lines"] if "currency" in one}
        out |= {"currency_of_lines": found.pop()} if len(found) == 1 else {}
    return out


def _line(one: Row) -> Row:
    """A variant, a line of a cart or of a checkout, by the same names."""
    above = next((name for name in ("merchandise.", "variant.") if any(key.startswith(name) for key in one)), "")
    variant = {key.removeprefix(above): value for key, value in one.items() if key.startswith(above)}
    names = {"item_id": variant.get("product.id"), "variant_id": variant.get("id"), "sku": variant.get("sku"),
             "title": variant.get("product.title", one.get("title")), "price": variant.get("price.amount"),
             "currency": variant.get("price.currencyCode"), "quantity": one.get("quantity")}
    if above == "variant." and one.get("finalLinePrice.amount") is not None and one.get("quantity"):
        final = Decimal(number(one["finalLinePrice.amount"])) / Decimal(number(one["quantity"]))
        names |= {"price": number(round(final, 4)), "list_price": names["price"]}
    return {name: value for name, value in names.items() if value is not None}


def _after(theirs: Row) -> Row:
    out = {name: value for name, value in theirs.items() if name != "lines"}
    name, _, about = text_of(theirs.get("name", "")).partition(".")
    if about:
        out |= {"name": name, "data.alert.type": f"{about.upper()}_ERROR"}
    if "lines" in theirs:
        out["data.checkout.lineItems"] = [
            {"quantity": one.get("quantity"), "title": one.get("title"), **_final(one),
             "variant": {"id": one.get("variant_id"), "sku": one.get("sku"), "product": {"id": one.get("item_id")},
                         "price": {"amount": one.get("list_price", one.get("price")),
                                   "currencyCode": theirs.get("data.checkout.currencyCode")}}}
            for one in theirs["lines"]]
    return out


def _final(one: Row) -> Row:
    if one.get("list_price") is None or one.get("quantity") is None or one.get("price") is None:
        return {}
    return {"finalLinePrice": {"amount": number(Decimal(number(one["price"])) * Decimal(number(one["quantity"])))}}


def codes(value: Any) -> str | None:
    """The first code among the discounts of a checkout; None where they are others."""
    return next((said(one.get("title", "")) for one in listed(value, "discountApplications")
                 if text_of(one.get("type", "")).upper() == "DISCOUNT_CODE"), None)


def _finish(theirs: Row, ours: Row) -> Row:
    if ours.get("event") == "purchase":
        order = said(theirs.get("data.checkout.order.id", "")) or said(theirs.get("data.checkout.token", ""))
        ours["order_id"] = order
        if order:
            ours["event_id"] = f"checkout_completed:{order}"
            ours["props.pixel_event"] = text_of(theirs.get("id", ""))
    else:
        for name in ("value", "shipping", "tax", "discount"):
            if name in ours:
                ours[f"props.checkout_{name}"] = ours.pop(name)
    if ours.get("event") == "checkout_step":
        ours["step"] = text_of(theirs.get("name", "")).removeprefix("checkout_").removesuffix("_submitted")
    return one_each(ours, _UNITS)


PIXEL = Dialect(
    "shopify-pixel", "Shopify web pixel", "https://shopify.dev/docs/api/web-pixels-api/standard-events",
    marks=(("clientId",), ("name",), ("timestamp",), ("id",), ("type", "seq")),
    kind="name", kinds=KINDS, before=_before, after=_after, finish=_finish, items="lines",
    item=(Field("item_id", "item_id", read=said), Field("variant_id", "variant_id", read=said),
          Field("quantity", "quantity", read=number), Field("price", "price", read=number),
          Field("list_price", "list_price", read=number),
          Field("title", "title", read=said), Field("sku", "sku", read=said)),
    fields=(Field("event_id", "id", read=said), Field("ts", "timestamp", read=said),
            Field("anonymous_id", "clientId", read=said),
            Field("customer_id", "data.checkout.order.customer.id|init.data.customer.id", read=said),
            Field("query", "data.searchResult.query", read=said), Field("list_id", "data.collection.id", read=said),
            Field("cart_id", "data.cart.id|data.checkout.token", read=said),
            Field("currency", "data.checkout.currencyCode|data.cart.cost.totalAmount.currencyCode|currency_of_lines",
                  read=said),
            Field("value", "data.checkout.subtotalPrice.amount", read=number),
            Field("tax", "data.checkout.totalTax.amount", read=number),
            Field("shipping", "data.checkout.shippingLine.price.amount", read=number),
            Field("discount", "data.checkout.discountsAmount.amount", read=number),
            Field("coupon", "data.checkout.discountApplications", read=codes, write=NEVER),
            Field("url", "context.document.location.href", read=said),
            Field("referrer", "context.document.referrer", read=said),
            Field("user_agent", "context.navigator.userAgent", read=said),
            Field("order_id", "data.checkout.order.id", read=said),
            *personal("input", "data.alert.value"), *personal("id", "init.data.customer.id", "data.customer.id"),
            *personal("email", "data.checkout.email", "data.customer.email", "init.data.customer.email"),
            *personal("name", *(f"{above}.{part}" for above in ("init.data.customer", "data.checkout.order.customer")
                                for part in ("firstName", "lastName"))),
            *personal("phone", "data.checkout.phone", "init.data.customer.phone",
                      *(f"data.checkout.{side}Address.phone" for side in _SIDES)),
            *personal("address", *(f"data.checkout.{side}Address.{part}" for side in _SIDES for part in (
                "firstName", "lastName", "address1", "address2", "zip")))))

DIALECTS = (PIXEL,)
