"""What the sources do that a reader stumbles over: each of these once."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shopkeeper import Shop
from shopkeeper.events.dialects import DIALECTS, flat, translate
from shopkeeper.events.dialects.base import Row, Unfit
from shopkeeper.events.mapping import Mapping

SAMPLES = Path(__file__).parent / "samples"


def stored(tmp_path: Path, name: str, **mapping: Any) -> list[dict[str, Any]]:
    """The rows of a sample as they are stored, without their empty cells."""
    shop = Shop.open(tmp_path / "shop")
    shop.ingest(SAMPLES / name, Mapping(**mapping))
    rows = shop.engine.run(shop.events().order_by(["ts", "event_id", "line"])).to_pylist()
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


def said(name: str, record: dict[str, Any]) -> Row:
    """One record of theirs as ours."""
    dialect = DIALECTS[name]
    return translate(dialect, flat(record), dialect.state() if dialect.state else None)


def test_ga4_an_item_without_a_quantity_is_one_and_value_is_without_shipping_and_tax(tmp_path: Path) -> None:
    rows = [row for row in stored(tmp_path, "ga4-export.jsonl") if (row["event"], row.get("order_id")) == (
        "purchase", "T-1")]
    assert [(row["line"], row.get("item_id"), row.get("quantity"), row.get("value")) for row in rows] == [
        (0, None, None, Decimal("28.5000")), (1, "SKU-1", 1.0, None), (2, "SKU-2", 2.0, None)]
    assert (rows[0]["shipping"], rows[0]["tax"], rows[0]["coupon"]) == (Decimal("4.9000"), Decimal("5.4000"), "SUMMER")


def test_ga4_a_session_is_named_after_its_device_and_what_was_not_set_says_nothing(tmp_path: Path) -> None:
    rows = stored(tmp_path, "ga4-export.jsonl")
    assert len({row["session_id"] for row in rows}) == 1
    assert not any("1234567890" in str(row["session_id"]) for row in rows)  # the device's name is a person's
    assert not any(row.get("position") == "(not set)" or row.get("utm_medium") == "(none)" for row in rows)


def test_ga4_an_event_without_a_counterpart_stays_under_its_own_name(tmp_path: Path) -> None:
    rows = [row for row in stored(tmp_path, "ga4-export.jsonl") if row["event"] == "other"]
    assert len(rows) == 4
    assert '"event_name":"scroll"' in "".join(row["props"] for row in rows).replace(" ", "")


def test_ga4_a_parameter_without_a_key_is_set_aside() -> None:
    with pytest.raises(Unfit, match="event_params"):
        said("ga4-export", {"event_name": "scroll", "event_params": [{"value": {"string_value": "x"}}]})


def test_ga4_a_payload_is_as_many_records_as_it_has_events(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path / "shop")
    done = shop.ingest(SAMPLES / "ga4-mp.jsonl")
    assert (done.received, done.stored) == (9, 9)


@pytest.mark.parametrize(("properties", "value"), [
    ({"revenue": 25.0, "total": 27.5, "shipping": 3, "tax": 2}, "25"),          # without shipping and tax, as ours
    ({"total": 30, "shipping": 3, "tax": 2}, "25"),                              # with them: they are taken off
    ({"revenue": 90, "total": 80, "shipping": 3, "tax": 2}, "90"),               # a published example: kept, not mended
    ({"subtotal": 22.5, "total": 27.5}, "22.5")])
def test_segment_value_is_revenue_and_total_only_stands_in_for_it(properties: dict[str, Any], value: str) -> None:
    ours = said("segment", {"type": "track", "event": "Order Completed", "messageId": "m", "userId": "u",
                            "timestamp": "2026-09-03T10:00:00Z", "properties": {**properties, "order_id": "o"}})
    assert (ours["event"], ours["value"]) == ("purchase", value)
    if "total" in properties:
        assert str(ours["properties.total"]) == str(properties["total"])


def test_segment_a_rating_is_text_and_product_sku_and_variant_stay_apart() -> None:
    ours = said("segment", {"type": "track", "event": "Product Reviewed", "properties": {
        "product_id": "p", "sku": "s", "variant": "red", "rating": "5", "review_body": "fine"}})
    assert (ours["event"], ours["item_id"], ours["variant_id"], ours["rating"]) == ("review", "p", "s", "5")
    assert ours["properties.variant"] == "red"


def test_segment_what_a_person_is_called_does_not_come_in() -> None:
    ours = said("segment", {"type": "identify", "userId": "u", "traits": {"email": "ann@example.org", "plan": "gold"}})
    assert (ours["traits.email"], ours["traits.plan"]) == ("[email]", "gold")


def test_snowplow_revenue_is_with_shipping_and_tax_and_contexts_are_lists(tmp_path: Path) -> None:
    (row,) = [row for row in stored(tmp_path, "snowplow.jsonl") if row["event"] == "purchase"]
    assert (row["value"], row["tax"], row["shipping"]) == (Decimal("9.0000"), Decimal("1.0000"), Decimal("4.9000"))
    assert (row["item_id"], row["list_price"], row["quantity"]) == ("P-1", Decimal("5.0000"), 2.0)


def test_snowplow_a_clock_that_goes_wrong_is_set_right_by_what_derived_it(tmp_path: Path) -> None:
    row = stored(tmp_path, "snowplow.jsonl")[0]
    assert (row["ts"].microsecond, row["client_ts"].microsecond) == (400_000, 100_000)


def test_shopify_a_checkout_that_completes_twice_counts_once(tmp_path: Path) -> None:
    lines = (SAMPLES / "shopify-pixel.jsonl").read_text().splitlines()
    line = next(one for one in lines if "checkout_completed" in one)
    path = tmp_path / "twice.jsonl"
    path.write_text(f"{line}\n{line}\n")
    done = Shop.open(tmp_path / "shop").ingest(path)
    assert (done.received, done.stored, done.duplicate) == (2, 1, 1)


def test_shopify_an_order_of_two_lines_has_its_money_once_and_one_time(tmp_path: Path) -> None:
    rows = [row for row in stored(tmp_path, "shopify-orders.csv") if row.get("order_id") == "#1001"]
    assert [(row["line"], row["item_id"], row.get("value"), row.get("shipping")) for row in rows] == [
        (0, "TEA-100", Decimal("18.2838"), Decimal("4.9000")), (1, "CUP-1", None, None)]
    assert len({(row["ts"], row["customer_id"], row["currency"], row["event_id"]) for row in rows}) == 1


def test_shopify_what_was_not_paid_is_no_purchase_and_a_guest_is_nobody(tmp_path: Path) -> None:
    rows = {row["order_id"]: row for row in stored(tmp_path, "shopify-orders.csv") if row["event"] != "refund"}
    assert [rows[name]["event"] for name in ("#1002", "#1003", "#1004", "#1005")] == [
        "purchase", "purchase", "cancel_order", "begin_checkout"]
    assert rows["#1003"]["anonymous_id"] == "order:#1003"


def test_nothing_of_a_person_lies_in_a_log_of_orders(tmp_path: Path) -> None:
    rows = stored(tmp_path / "a", "shopify-orders.csv") + stored(tmp_path / "b", "taobao-orders.csv") + stored(
        tmp_path / "c", "youzan-orders.xlsx") + stored(tmp_path / "d", "shopify-pixel.jsonl")
    whole = repr(rows)
    for secret in ("Ann Example", "ann@example.org", "Lane 1", "123456", "王小明", "13800138000", "西湖区", "小鹿"):
        assert secret not in whole, secret


def test_woocommerce_products_in_one_cell_are_the_items_of_the_order(tmp_path: Path) -> None:
    rows = [row for row in stored(tmp_path, "woocommerce-orders.csv", currency="EUR") if row["order_id"] == "1201"]
    assert [(row["line"], row.get("item_id"), row.get("quantity")) for row in rows] == [
        (0, None, None), (1, "Green tea", 2.0), (2, "Cup, large", 1.0)]
    again = stored(tmp_path / "again", "woocommerce-orders.csv", currency="EUR")
    kinds = {row["order_id"]: row["event"] for row in again}
    assert kinds == {"1201": "purchase", "1202": "purchase", "1203": "refund", "1204": "cancel_order",
                     "1205": "payment_failed", "1206": "begin_checkout"}


def test_taobao_amounts_are_yuan_times_are_shanghais_and_long_numbers_stay_whole(tmp_path: Path) -> None:
    rows = {row["order_id"]: row for row in stored(tmp_path, "taobao-orders.csv")}
    first = rows["2026090300000000001"]
    assert (first["value"], first["shipping"], first["currency"]) == (Decimal("1299.0000"), Decimal("10.0000"), "CNY")
    assert first["ts"].isoformat() == "2026-09-03T02:00:02"
    assert [rows[f"202609030000000000{n}"]["event"] for n in (1, 2, 3, 4, 5)] == [
        "purchase", "purchase", "cancel_order", "begin_checkout", "refund"]


def test_taobao_a_masked_buyer_is_nobody_in_particular(tmp_path: Path) -> None:
    rows = {row["order_id"]: row for row in stored(tmp_path, "taobao-orders.csv")}
    assert rows["2026090300000000002"]["anonymous_id"] == "order:2026090300000000002"


def test_jd_and_youzan_an_order_of_several_lines_repeats_its_sum_and_it_counts_once(tmp_path: Path) -> None:
    jd = [row.get("value") for row in stored(tmp_path / "a", "jd-orders.csv") if row["order_id"] == "300000000001"]
    rows = stored(tmp_path / "b", "youzan-orders.xlsx")
    youzan = [row.get("value") for row in rows if row["order_id"] == "E202609031"]
    assert (jd, youzan) == ([Decimal("258.0000"), None], [Decimal("61.0000"), None])


def test_online_retail_a_c_invoice_gives_back_and_a_negative_line_without_a_price_is_stock(tmp_path: Path) -> None:
    rows = stored(tmp_path, "online-retail.csv")
    assert [(row["event"], row.get("quantity"), row.get("value")) for row in rows] == [
        ("purchase", 12.0, Decimal("83.4000")), ("refund", 12.0, Decimal("35.4000")), ("stock_change", None, None),
        ("purchase", 1.0, Decimal("0.5500")), ("other", 1.0, None)]


def test_sensors_a_login_id_is_the_customer_and_own_events_stay_under_their_names(tmp_path: Path) -> None:
    rows = stored(tmp_path, "sensors.jsonl")
    (paid,) = [row for row in rows if row["event"] == "purchase"]
    assert (paid["value"], paid["currency"], paid["item_id"], paid["quantity"]) == (
        Decimal("91.0000"), "CNY", "SP-1", 2.0)
    assert paid["customer_id"].startswith("c_")
    assert sum("myOwnEvent" in row.get("props", "") for row in rows) == 1


def test_matomo_a_visit_is_its_actions_and_one_without_any_does_not_vanish(tmp_path: Path) -> None:
    rows = stored(tmp_path, "matomo.jsonl")
    assert {row["event"] for row in rows} == {"other", "page_view", "purchase", "search", "view_cart", "view_item"}
    assert {row["session_id"] for row in rows} == {"9001", "9002", "9003"}


def test_reviews_stars_are_numbers_whatever_they_are_written_as(tmp_path: Path) -> None:
    assert [row["rating"] for row in stored(tmp_path / "a", "reviews.csv")] == [4.0, 5.0, 1.0]
    assert sorted(row["rating"] for row in stored(tmp_path / "b", "reviews-zh.csv")) == [1.0, 3.0, 5.0]


def test_a_synonym_of_the_shops_own_is_understood(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path / "shop")
    settings = tmp_path / "shop" / "shop.toml"
    settings.write_text(settings.read_text("utf-8") + '\n[synonyms]\n"会员账号" = "customer_id"\n', "utf-8")
    path = tmp_path / "orders.csv"
    path.write_text("订单编号,会员账号,商品标题,付款时间,实付金额,订单状态\n"
                    "1,茶客,绿茶,2026-09-03 10:00:00,12.00,交易成功\n", "utf-8")
    done = Shop.open(shop.path).ingest(path)
    assert (dict(done.dialects), done.stored) == ({"orders.csv": "taobao-orders"}, 1)
    later = Shop.open(shop.path)
    assert later.engine.run(later.events()).to_pylist()[0]["customer_id"].startswith("c_")


def test_what_is_called_like_a_part_of_a_person_does_not_come_in_whoever_sends_it() -> None:
    ours = said("segment", {"type": "track", "event": "Signed Up", "userId": "u", "properties": {
        "first_name": "Zelda", "shipping_address": {"line1": "Lane 1", "zip": "50100"}, "name": "Monopoly"}})
    assert (ours["properties.first_name"], ours["properties.shipping_address.line1"]) == ("[name]", "[address]")
    assert ours["properties.name"] == "Monopoly"  # a thing may be called so
