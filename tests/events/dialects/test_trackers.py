"""What trackers are known to say oddly: each trap of their specifications, and nobody's raw name in what is kept."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopkeeper import Shop
from shopkeeper.events.dialects import DIALECTS, Unfit, flat, translate, untranslate
from shopkeeper.events.dialects.base import Row

SAMPLES = Path(__file__).parent / "samples"


def said(name: str, record: dict[str, Any]) -> list[Row]:
    """A record of theirs as ours."""
    dialect = DIALECTS[name]
    parts = [flat(record)] if dialect.split is None else dialect.split(flat(record))
    return [translate(dialect, part) for part in parts]


def ga4(word: str, params: dict[str, Any] | None = None, **more: Any) -> Row:
    """An event of the BigQuery export, its parameters as texts and numbers."""
    kinds = {str: "string_value", int: "int_value", float: "double_value"}
    listed = [{"key": key, "value": {kinds[type(value)]: value}} for key, value in (params or {}).items()]
    found, = said("ga4-export", {"event_date": "20260903", "event_name": word, "event_timestamp": "1788400000000000",
                                 "user_pseudo_id": "555.666", "event_params": listed, **more})
    return found


def stored(shop: Shop) -> list[Row]:
    later = Shop.open(shop.path)
    return later.engine.run(later.events()).to_pylist()  # type: ignore[no-any-return]


# GA4

def test_ga4_parquet_with_nested_columns_is_read_as_the_json_is(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (SAMPLES / "ga4-export.jsonl").read_text("utf-8").splitlines()]
    every = {name: None for line in lines for name in line}
    table = pa.Table.from_pylist([every | line | {"event_timestamp": int(line["event_timestamp"])} for line in lines])
    assert pa.types.is_list(table.schema.field("items").type)
    pq.write_table(table, tmp_path / "ga4.parquet")
    one, other = Shop.open(tmp_path / "one"), Shop.open(tmp_path / "other")
    done = one.ingest(tmp_path / "ga4.parquet")
    other.ingest(SAMPLES / "ga4-export.jsonl")
    assert dict(done.dialects) == {"ga4.parquet": "ga4-export"}
    assert (done.received, done.stored) == (len(lines), len(lines))
    keep = ("event", "line", "ts", "item_id", "quantity", "price", "value", "order_id", "url", "query", "coupon")
    seen = [sorted(str([row[name] for name in keep]) for row in stored(shop)) for shop in (one, other)]
    assert seen[0] == seen[1]


def test_ga4_an_event_is_one_in_the_daily_export_and_in_that_of_the_minute() -> None:
    batch = {"batch_page_id": 7, "batch_ordering_id": 1, "batch_event_index": 2}
    assert ga4("scroll", **batch)["event_id"] == ga4("scroll", **batch, is_active_user=True)["event_id"]
    assert ga4("scroll", **batch)["event_id"] != ga4("scroll", **batch | {"batch_event_index": 3})["event_id"]
    assert "event_id" not in ga4("scroll")


def test_ga4_a_purchase_inside_an_app_names_no_order_and_keeps_its_own_name() -> None:
    found = ga4("in_app_purchase", {"product_id": "gold", "value": 4.99, "currency": "EUR"})
    assert (found["event"], found["event_name"]) == ("other", "in_app_purchase")


def test_ga4_revenue_stands_in_for_a_value_that_is_not_there() -> None:
    found = ga4("purchase", {"currency": "EUR"}, ecommerce={"transaction_id": "T-1", "purchase_revenue": 28.5,
                                                           "shipping_value": 4.9, "tax_value": 5.4})
    assert [found[name] for name in ("order_id", "value", "shipping", "tax")] == ["T-1", "28.5", "4.9", "5.4"]


def test_ga4_what_all_items_of_a_list_or_promotion_say_the_event_says() -> None:
    items = [{"item_id": "A", "item_list_id": "related", "promotion_id": "(not set)"},
             {"item_id": "B", "item_list_id": "related"}]
    assert ga4("view_item_list", items=items)["list_id"] == "related"
    assert "promotion_id" not in ga4("view_item_list", items=items)
    items[1]["item_list_id"] = "other"
    assert "list_id" not in ga4("view_item_list", items=items)
    assert ga4("select_promotion", items=[{"item_name": "Spring", "promotion_id": "P-1"}])["promotion_id"] == "P-1"


def test_ga4_five_columns_of_a_category_are_kept_and_an_item_without_an_id_goes_by_its_name() -> None:
    item, = ga4("view_item", items=[{"item_name": "Tea", "item_category": "Food", "item_category2": "Tea",
                                     "item_category5": "Sencha"}])["items"]
    assert item["item_id"] == "Tea"
    assert (item["item_category"], item["item_category2"], item["item_category5"]) == ("Food", "Tea", "Sencha")


def test_ga4_the_coupon_of_an_event_and_that_of_an_item_are_two() -> None:
    found = ga4("purchase", {"coupon": "ORDER", "transaction_id": "T", "currency": "EUR"},
                items=[{"item_id": "A", "coupon": "ITEM", "price": 3}])
    assert (found["coupon"], found["items"][0].get("ga4-export.coupon", found["items"][0].get("coupon"))) == (
        "ORDER", "ITEM")
    assert found["items"][0]["quantity"] == "1"


def test_ga4_a_price_in_a_list_that_names_no_currency_costs_the_event_nothing(tmp_path: Path) -> None:
    found = ga4("view_item_list", items=[{"item_id": "A", "price": 3}])
    assert "price" not in found["items"][0]
    assert found["items"][0]["price_without_currency"] == "3"


def test_ga4_a_payload_says_for_all_of_its_events_what_they_do_not_say_themselves() -> None:
    first, second = said("ga4-mp", {"client_id": "c", "timestamp_micros": 1788400000000000,
                                    "ip_override": "203.0.113.9", "user_data": {"sha256_email_address": ["ab"]},
                                    "events": [
                                        {"name": "login"}, {"name": "login", "timestamp_micros": 1788400001000000}]})
    assert (first["ts"], second["ts"]) == ("2026-09-03T01:46:40Z", "2026-09-03T01:46:41Z")
    assert first["ip_prefix"] == "203.0.113.9"
    assert first["user_data.sha256_email_address"] == "[user data]"
    with pytest.raises(Unfit, match="events"):
        said("ga4-mp", {"client_id": "c", "events": []})


# Segment, RudderStack, PostHog

def call(word: str, **properties: Any) -> Row:
    found, = said("segment", {"type": "track", "event": word, "messageId": "m", "anonymousId": "a",
                              "timestamp": "2026-09-03T10:00:00Z", "properties": properties})
    return found


def test_segment_a_total_has_shipping_and_tax_in_it_and_a_revenue_has_not() -> None:
    assert call("Order Completed", order_id="1", total=27.5, shipping=3, tax=2, currency="USD")["value"] == "22.5"
    assert call("Order Completed", order_id="1", total=27.5, revenue=25, shipping=3, tax=2)["value"] == "25"
    assert call("Order Completed", order_id="1", subtotal=22.5, total=27.5)["value"] == "22.5"


def test_segment_a_revenue_above_its_total_is_kept_as_it_was_published() -> None:
    found = call("Order Cancelled", order_id="1", total=80, revenue=90, shipping=3, tax=2, discount=2.5, currency="USD")
    assert (found["event"], found["value"], found["properties.total"]) == ("cancel_order", "90", 80)


def test_segment_a_product_and_its_sku_are_two_and_a_sku_alone_is_both() -> None:
    both, alone = call("Product Viewed", product_id="507f", sku="45790-32"), call("Product Viewed", sku="45790-32")
    assert (both["item_id"], both["variant_id"]) == ("507f", "45790-32")
    assert (alone["item_id"], alone["variant_id"]) == ("45790-32", "45790-32")


def test_segment_a_category_is_a_list_where_a_list_was_viewed_and_nowhere_else() -> None:
    assert call("Product List Viewed", category="Games", products=[{"product_id": "1"}])["list_id"] == "Games"
    viewed = call("Product Viewed", product_id="1", category="Games")
    assert "list_id" not in viewed
    assert viewed["properties.category"] == "Games"


def test_segment_a_rating_in_text_is_a_number_and_one_in_words_is_set_aside() -> None:
    assert call("Product Reviewed", product_id="1", rating="4.5", review_body="ok")["rating"] == "4.5"
    with pytest.raises(Unfit) as wrong:
        call("Product Reviewed", product_id="1", rating="splendid")
    assert wrong.value.field == "properties.rating"


def test_segment_a_price_that_names_no_currency_is_stored_where_nothing_is_sold(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    lines = [{"type": "track", "event": word, "messageId": word, "anonymousId": "a",
              "timestamp": "2026-09-03T10:00:00Z", "properties": {"product_id": "1", "price": 18.99, "order_id": "o"}}
             for word in ("Product Clicked", "Product Viewed", "Product Added", "Order Completed")]
    lines.append(lines[-1] | {"messageId": "paid", "properties": lines[-1]["properties"] | {"currency": "EUR"}})
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    done = Shop.open(tmp_path / "shop").ingest(path, dialect="segment")
    assert (done.stored, dict(done.reasons)) == (4, {"missing_currency": 1})


def test_segment_a_refund_without_products_is_of_the_whole_order() -> None:
    assert call("Order Refunded", order_id="1")["whole_order"] == "true"
    assert "whole_order" not in call("Order Refunded", order_id="1", products=[{"product_id": "1"}])


def test_segment_the_clock_of_the_sender_is_kept_beside_that_of_segment() -> None:
    found, = said("segment", {"type": "page", "anonymousId": "a", "timestamp": "2026-09-03T10:00:00Z",
                              "originalTimestamp": "2026-09-03T11:00:00Z", "sentAt": "2026-09-03T11:00:01Z"})
    assert (found["ts"], found["client_ts"], found["sent_at"]) == (
        "2026-09-03T10:00:00Z", "2026-09-03T11:00:00Z", "2026-09-03T11:00:01Z")


def test_posthog_a_person_who_is_known_is_a_customer_and_an_unknown_one_a_device() -> None:
    def event(**properties: Any) -> Row:
        found, = said("posthog", {"uuid": "u", "event": "Product Viewed", "distinct_id": "d",
                                  "timestamp": "2026-09-03T10:00:00Z", "properties": {"product_id": "1", **properties}})
        return found

    known, unknown = event(**{"$is_identified": True, "$device_id": "dev"}), event(**{"$is_identified": False})
    assert (known["customer_id"], known["anonymous_id"]) == ("d", "dev")
    assert (unknown.get("customer_id"), unknown["anonymous_id"]) == (None, "d")


def test_posthog_properties_that_a_warehouse_keeps_as_text_are_read() -> None:
    record = {"uuid": "u", "event": "Product Added", "distinct_id": "d", "timestamp": "2026-09-03 10:00:00"}
    found, = said("posthog", record | {"properties": '{"product_id": "1", "$set": {"email": "a@b.example"}}'})
    assert (found["item_id"], found["quantity"], found["properties.$set.email"]) == ("1", "1", "[email]")
    with pytest.raises(Unfit, match="properties"):
        said("posthog", record | {"properties": "{"})


# Snowplow

def test_snowplow_a_version_of_a_schema_may_be_written_out() -> None:
    space = "com_snowplowanalytics_snowplow_ecommerce_"
    found, = said("snowplow", {"event_id": "e", "collector_tstamp": "2026-09-03T10:00:00Z", "domain_userid": "d",
                               f"unstruct_event_{space}snowplow_ecommerce_action_1_0_2": {"type": "product_view"},
                               f"contexts_{space}product_1_0_0": [{"id": "P", "price": 4, "list_price": 5}]})
    assert (found["event"], found["items"][0]["item_id"], found["items"][0]["list_price"]) == ("view_item", "P", "5")


def test_snowplow_products_in_two_currencies_are_set_aside() -> None:
    with pytest.raises(Unfit, match="currencies"):
        said("snowplow", {"event_name": "x", "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [
            {"id": "P", "currency": "EUR"}, {"id": "Q", "currency": "USD"}]})


def test_snowplow_s_tsv_means_what_its_json_means_and_counts_each_order_once(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path / "shop")
    done = shop.ingest(SAMPLES / "snowplow-tsv.tsv")
    assert (dict(done.dialects), done.received, done.stored) == ({"snowplow-tsv.tsv": "snowplow-tsv"}, 18, 18)
    rows = stored(shop)
    worth = {row["order_id"]: row["value"] for row in rows if row["event"] == "purchase" and row["line"] == 0}
    assert worth == {"T-1": Decimal("12.0000"), "T-3": Decimal("6.0000")}  # 17.9 less tax and shipping; 2 at 3
    assert sum(row["event"] == "purchase" and row["line"] == 0 for row in rows) == 2
    assert [row["query"] for row in rows if row["event"] == "search"] == ["green tea"]
    assert any('Tea \\"green\\", 100 g' in (row["props"] or "") for row in rows)


def test_snowplow_s_tsv_sets_aside_what_is_no_self_describing_json() -> None:
    record = {"event": "unstruct", "event_id": "e", "collector_tstamp": "2026-09-03 10:00:00", "domain_userid": "d"}
    for text in ("{", '{"data": [{"schema": "iglu:x", "data": {}}]}', '{"data": [3]}'):
        with pytest.raises(Unfit, match="contexts"):
            said("snowplow-tsv", record | {"contexts": text})


def test_snowplow_s_tsv_is_written_as_it_is_read() -> None:
    dialect = DIALECTS["snowplow-tsv"]
    ours = {"event": "purchase", "event_id": "e", "ts": "2026-09-03 10:00:00", "anonymous_id": "d", "order_id": "T-1",
            "currency": "EUR", "tax": "1", "shipping": "2", "coupon": "HI",
            "items": [{"item_id": "P", "quantity": "2", "price": "4.5", "list_price": "5"}]}
    theirs = untranslate(dialect, ours)
    assert set(theirs) <= set(dialect.headerless)
    assert {name: value for name, value in translate(dialect, theirs).items() if name in ours} == ours


# Shopify's pixel

def pixel(word: str, **data: Any) -> Row:
    found, = said("shopify-pixel", {"id": f"sh-{len(data)}", "name": word, "clientId": "c", "seq": 1,
                                    "type": "standard", "timestamp": "2026-09-03T10:00:00Z", "data": data})
    return found


def bought(**more: Any) -> dict[str, Any]:
    money = {"currencyCode": "EUR"}
    line = {"quantity": 2, "finalLinePrice": {"amount": 8, **money},
            "variant": {"id": "V", "product": {"id": "P"}, "price": {"amount": 5, **money}}}
    return {"token": "tok", "currencyCode": "EUR", "order": {"id": "O-1", "customer": {"id": "C-1", "lastName": "Lee"}},
            "subtotalPrice": {"amount": 7, **money}, "totalPrice": {"amount": 11, **money},
            "totalTax": {"amount": 1, **money}, "shippingLine": {"price": {"amount": 3, **money}},
            "discountsAmount": {"amount": 3, **money}, "lineItems": [line], **more}


def test_shopify_an_order_that_completes_twice_is_one_event_and_stays_out_of_twice_the_sales() -> None:
    one, two = (pixel("checkout_completed", checkout=bought(), **more) for more in ({}, {"upsell": True}))
    assert one["event_id"] == two["event_id"] == "checkout_completed:O-1"
    assert one["pixel_event"] != two["pixel_event"]


def test_shopify_a_subtotal_is_after_all_discounts_and_a_line_says_what_it_costs_in_the_end() -> None:
    found = pixel("checkout_completed", checkout=bought())
    assert [found[name] for name in ("value", "tax", "shipping", "discount")] == ["7", "1", "3", "3"]
    line, = found["items"]
    assert (line["price"], line["list_price"], line["quantity"]) == ("4", "5", "2")
    assert "value" not in pixel("checkout_started", checkout=bought())  # it is no sale yet


def test_shopify_a_code_is_a_coupon_and_a_discount_of_the_shop_s_own_is_none() -> None:
    own, code = {"type": "AUTOMATIC", "title": "2 for 1"}, {"type": "DISCOUNT_CODE", "title": "SPRING"}
    assert pixel("checkout_completed", checkout=bought(discountApplications=[own, code]))["coupon"] == "SPRING"
    assert "coupon" not in pixel("checkout_completed", checkout=bought(discountApplications=[own]))


def test_shopify_a_product_is_the_item_and_its_variant_the_sku() -> None:
    variant = {"id": "V", "sku": "TEA-100", "product": {"id": "P", "title": "Tea"}, "price": {"amount": 4}}
    item, = pixel("product_viewed", productVariant=variant)["items"]
    assert (item["item_id"], item["variant_id"], item["sku"]) == ("P", "V", "TEA-100")


@pytest.mark.parametrize("kind, event", [("PAYMENT_ERROR", "payment_failed"), ("DISCOUNT_ERROR", "coupon_reject"),
                                         ("INPUT_INVALID", "other"), (None, "other")])
def test_shopify_only_an_alert_about_a_payment_is_a_failed_payment(kind: str | None, event: str) -> None:
    found = pixel("alert_displayed", alert={"message": "no", "type": kind, "value": "ann@shop.example"})
    assert found["event"] == event
    assert found["data.alert.value"] == "[input]"


# Matomo

def visit(*actions: dict[str, Any], **more: Any) -> list[Row]:
    return said("matomo", {"idSite": 1, "idVisit": 9, "visitorId": "v", "siteCurrency": "EUR",
                           "actionDetails": list(actions), **more})


def test_matomo_the_total_of_an_order_has_tax_and_shipping_in_it_and_its_discount_taken_off() -> None:
    order = {"type": "ecommerceOrder", "orderId": "A", "revenue": "10.99", "revenueSubTotal": "9.99",
             "revenueTax": "1.5", "revenueShipping": "1", "revenueDiscount": "0", "timestamp": 1788400000}
    assert visit(order)[0]["value"] == "8.49"
    assert visit({name: value for name, value in order.items() if name != "revenue"})[0]["value"] == "9.99"


def test_matomo_an_order_counts_once_however_the_visit_goes_on() -> None:
    order = {"type": "ecommerceOrder", "orderId": "A", "revenue": "1", "timestamp": 1788400000}
    short, = visit(order, visitDuration=5)
    long_, _ = visit(order, {"type": "action", "pageId": "2", "timestamp": 1788400009}, visitDuration=14)
    assert short["event_id"] == long_["event_id"]


def test_matomo_what_has_no_number_of_its_own_is_named_after_what_it_says() -> None:
    goals = [{"type": "goal", "goalId": 3, "timestamp": 1788400000}, {"type": "goal", "goalId": 4,
                                                                      "timestamp": 1788400000}]
    one, two = visit(*goals)
    assert one["event_id"] != two["event_id"]
    assert one["event_id"] == visit(*goals, visitDuration=77)[0]["event_id"]


# Sensors

def track(word: str, **more: Any) -> Row:
    found, = said("sensors", {"distinct_id": "d", "time": 1788400000000, "type": "track", "event": word,
                              "properties": {}, **more})
    return found


def test_sensors_whoever_is_logged_in_is_a_customer_and_never_a_device_of_the_same_name() -> None:
    flagged = track("ViewProduct", properties={"$is_login_id": True, "product_id": "1"})
    both = track("ViewProduct", distinct_id="m-1", login_id="m-1", anonymous_id="dev")
    server = track("ViewProduct", distinct_id="m-1", login_id="m-1")
    guest = track("ViewProduct")
    assert [(row.get("customer_id"), row.get("anonymous_id")) for row in (flagged, both, server, guest)] == [
        ("d", None), ("m-1", "dev"), ("m-1", None), (None, "d")]


def test_sensors_signing_up_joins_the_device_that_it_names() -> None:
    found = track("$SignUp", type="track_signup", distinct_id="m-1", original_id="dev")
    assert (found["event"], found["customer_id"], found["anonymous_id"]) == ("login", "m-1", "dev")


def test_sensors_two_records_that_drew_one_number_are_two() -> None:
    one, two = track("x", _track_id=7), track("x", _track_id=7, time=1788400000001)
    assert one["event_id"] != two["event_id"]
    assert "event_id" not in track("x")


# Everybody's

@pytest.mark.parametrize("name, record, secrets", [
    ("segment", {"type": "alias", "previousId": "raw-1", "userId": "u", "timestamp": "2026-09-03T10:00:00Z",
                 "traits": {"email": "raw-2", "firstName": "raw-3", "address": {"street": "raw-4"}}}, 4),
    ("posthog", {"uuid": "u", "event": "$identify", "distinct_id": "d", "timestamp": "2026-09-03T10:00:00Z",
                 "person_id": "raw-1", "properties": {"distinct_id": "raw-2", "$device_id": "raw-3",
                                                      "$anon_distinct_id": "raw-4", "$set": {"name": "raw-5"}}}, 5),
    ("snowplow", {"event_id": "e", "event_name": "x", "domain_userid": "d", "network_userid": "raw-1",
                  "user_fingerprint": "raw-2", "refr_domain_userid": "raw-3",
                  "contexts_com_snowplowanalytics_snowplow_ecommerce_user_1": [{"id": "raw-4", "email": "raw-5"}]}, 5),
    ("sensors", {"distinct_id": "raw-1", "anonymous_id": "a", "time": 1788400000000, "type": "track", "event": "x",
                 "map_id": "raw-2", "identities": {"$identity_mobile": "raw-3", "$identity_login_id": "u"}}, 3),
    ("matomo", {"idVisit": 9, "visitorId": "v", "fingerprint": "raw-1", "type": "visit", "timestamp": 1788400000,
                "visit.fingerprint": "raw-2"}, 1),
    ("shopify-pixel", {"id": "i", "name": "page_viewed", "clientId": "c", "timestamp": "2026-09-03T10:00:00Z",
                       "init": {"data": {"customer": {"id": "u", "email": "raw-1", "firstName": "raw-2",
                                                      "phone": "raw-3"}}}}, 3)],
    ids=lambda value: value if isinstance(value, str) else "")
def test_no_further_name_of_a_person_is_kept_as_it_came(name: str, record: dict[str, Any], secrets: int) -> None:
    found, = said(name, record)
    kept = {key: value for key, value in found.items() if key not in ("customer_id", "anonymous_id")}
    masked = [value for value in kept.values() if isinstance(value, str) and value.startswith("[")]
    assert len(masked) >= secrets
    if name != "matomo":
        assert "raw-" not in json.dumps(kept)
