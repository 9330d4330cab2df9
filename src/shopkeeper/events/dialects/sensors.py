"""神策 (Sensors Analytics): track records. A time is in milliseconds; `properties` hold what happened.

Event names are each shop's own. Those of the vendor's e-commerce example and the words that shops use most are known;
others stay `other` with their name, and a mapping of kinds (`--kind`) gives them a meaning. `distinct_id` is whoever is
known best: a member who is logged in, else a device. `_track_id` is a number drawn by chance, and names a record only
together with its time.
"""

from __future__ import annotations

from shopkeeper.events.dialects.base import NEVER, Dialect, Field, Row, personal, text_of
from shopkeeper.events.dialects.values import millis, number, one_each, said, to_millis

KINDS = {
    "$pageview": "page_view", "$AppViewScreen": "page_view", "$MPViewScreen": "page_view", "$SignUp": "login",
    "ViewProduct": "view_item", "commodityDetail": "view_item", "CommodityDetail": "view_item",
    "BrowseProduct": "view_item", "浏览商品": "view_item", "浏览商品详情页": "view_item", "clickProduct": "select_item",
    "ProductClick": "select_item",
    "点击商品": "select_item", "ProductExposure": "view_item_list", "商品曝光": "view_item_list", "search": "search",
    "Search": "search", "searchRequest": "search", "搜索": "search", "搜索商品": "search",
    "AddToCart": "add_to_cart", "addToShoppingcart": "add_to_cart", "AddToShoppingCart": "add_to_cart",
    "加入购物车": "add_to_cart", "RemoveFromCart": "remove_from_cart", "移出购物车": "remove_from_cart",
    "collectProduct": "add_to_wishlist", "收藏商品": "add_to_wishlist", "SubmitOrder": "begin_checkout",
    "submitOrder": "begin_checkout", "提交订单": "begin_checkout", "PayOrder": "purchase", "payOrder": "purchase",
    "支付订单": "purchase", "CancelPayOrder": "cancel_order", "cancelOrder": "cancel_order", "取消订单": "cancel_order",
    "RefundOrder": "refund", "refundOrder": "refund", "退款": "refund", "receiveDiscount": "coupon_apply",
    "领取优惠券": "coupon_apply", "Register": "sign_up", "注册": "sign_up", "Login": "login", "登录": "login",
    "evaluate": "review", "评价商品": "review",
}
_UNITS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})
_TYPES = ("track", "track_signup", "track_id_bind", "profile_set", "profile_set_once", "item_set")
_P = "properties."
_IDENTITIES = ("$identity_login_id", "$identity_cookie_id", "$identity_android_id", "$identity_android_uuid",
               "$identity_idfv", "$identity_ios_uuid", "$identity_mobile", "$identity_email", "$identity_anonymous_id",
               "$identity_distinct_id", "$identity_mp_openid", "$identity_mp_unionid", "$identity_mp_id")


def _finish(theirs: Row, ours: Row) -> Row:
    known = text_of(theirs.get(f"{_P}$is_login_id", theirs.get("is_login_id", ""))).lower() in ("1", "true")
    signed = theirs.get("type") == "track_signup"
    if "customer_id" not in ours and (known or signed):
        ours["customer_id"] = said(theirs.get("distinct_id", ""))
        ours["anonymous_id"] = said(theirs.get("original_id" if signed else "anonymous_id", ""))
    if ours.get("anonymous_id") == ours.get("customer_id"):
        ours.pop("anonymous_id", None)
    if "_track_id" in theirs:
        ours["event_id"] = f"{text_of(theirs.get('time', ''))}.{text_of(theirs['_track_id'])}"
    return one_each(ours, _UNITS)


SENSORS = Dialect(
    "sensors", "神策 (Sensors Analytics)", "https://manual.sensorsdata.cn/sa/latest/zh_cn/data_format-1573930.html",
    marks=(("distinct_id",), ("time",), ("type",), ("event", "properties.$lib", "lib.$lib")),
    fits=lambda row: str(row.get("type", "")) in _TYPES,
    kind="event|type", kinds=KINDS, finish=_finish, items=f"{_P}products",
    item=(Field("item_id", "product_id|commodity_id|item_id", read=said), Field("price", "price", read=number),
          Field("quantity", "quantity|num", read=number)),
    fields=(Field("ts", "time", read=millis, write=to_millis),
            Field("sent_at", "_flush_time", read=millis, write=to_millis),
            Field("received_at", "recv_time", read=millis, write=to_millis),
            Field("customer_id", f"login_id|identities.$identity_login_id|{_P}$identity_login_id", read=said),
            Field("anonymous_id", "anonymous_id|distinct_id", read=said),
            Field("item_id", f"{_P}product_id|{_P}commodity_id|{_P}commodityID|{_P}item_id|{_P}商品ID", read=said),
            Field("variant_id", f"{_P}sku_id|{_P}sku", read=said),
            Field("price", f"{_P}present_price|{_P}price|{_P}commodity_price|{_P}商品价格", read=number),
            Field("list_price", f"{_P}original_price", read=number),
            Field("quantity", f"{_P}quantity|{_P}commodity_quantity|{_P}商品数量", read=number),
            Field("order_id", f"{_P}order_id|{_P}orderId|{_P}orderID|{_P}订单ID", read=said),
            Field("value", f"{_P}order_actual_amount|{_P}actual_pay|{_P}order_amount|{_P}订单金额", read=number),
            Field("shipping", f"{_P}transportation_costs|{_P}freight", read=number),
            Field("discount", f"{_P}discount_amount", read=number),
            Field("coupon", f"{_P}discount_name|{_P}coupon_id",
                                                                        read=said),
            Field("query", f"{_P}key_word|{_P}keyword|{_P}搜索词", read=said),
            Field("results", f"{_P}result_number", read=said), Field("currency", f"{_P}currency", read=said),
            Field("rating", f"{_P}rating|{_P}score", read=number),
            Field("text", f"{_P}comment|{_P}content", read=said),
            Field("position", f"{_P}position_number|{_P}position", read=said),
            Field("session_id", f"{_P}$event_session_id", read=said),
            Field("url", f"{_P}$url", read=said), Field("referrer", f"{_P}$referrer", read=said),
            Field("utm_source", f"{_P}$utm_source", read=said), Field("utm_medium", f"{_P}$utm_medium", read=said),
            Field("utm_campaign", f"{_P}$utm_campaign", read=said),
            Field("utm_content", f"{_P}$utm_content", read=said),
            Field("utm_term", f"{_P}$utm_term", read=said), Field("user_agent", f"{_P}$user_agent", read=said),
            Field("ip_prefix", f"{_P}$ip", read=said, write=NEVER), Field("country", f"{_P}$country", read=said),
            Field("device", f"{_P}$os", read=said),
            *personal("id", "distinct_id", "original_id", "map_id", "user_id", f"{_P}$identity_login_id",
                      *(f"identities.{name}" for name in _IDENTITIES)),
            *personal("phone", f"{_P}phone", f"{_P}mobile", f"{_P}手机号"),
            *personal("email", f"{_P}email"), *personal("name", f"{_P}$name", f"{_P}姓名")),
    currency="CNY")

DIALECTS = (SENSORS,)
