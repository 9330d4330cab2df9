"""Exports of orders: what back offices and spreadsheets do to them, and that each is understood."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shopkeeper import Shop
from shopkeeper.events.dialects import DIALECTS, translate
from shopkeeper.events.dialects.base import Row, Unfit
from shopkeeper.events.dialects.exports import code, moment, money
from shopkeeper.events.dialects.orders import TOLD
from shopkeeper.events.mapping import Mapping

SAMPLES = Path(__file__).parent / "samples"
HEADERS = ("订单编号,买家会员名,宝贝标题,宝贝种类,宝贝总数量,买家应付邮费,买家实际支付金额,订单状态,订单创建时间,"
           "订单付款时间")


def stored(tmp_path: Path, name: str, *wanted: str) -> list[tuple[Any, ...]]:
    """Some columns of the rows of a sample, as they are stored, in the order of events and lines."""
    shop = Shop.open(tmp_path / name)
    shop.ingest(SAMPLES / name)
    rows = shop.engine.run(shop.events().order_by(["order_id", "event", "event_id", "line"])).to_pylist()
    return [tuple(float(row[one]) if isinstance(row[one], Decimal) else row[one] for one in wanted) for row in rows]


def taobao(tmp_path: Path, *lines: str, headers: str = HEADERS) -> tuple[Any, list[Row]]:
    """The account of a few lines of a Taobao export, and the rows."""
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([headers, *lines]) + "\n", "utf-8")
    shop = Shop.open(tmp_path / "shop")
    done = shop.ingest(path, dialect="taobao-orders")
    return done, shop.engine.run(shop.events().order_by(["ts", "event_id"])).to_pylist()


def test_shopify_discounts_of_lines_are_taken_off_units_and_tax_on_top_is_no_revenue(tmp_path: Path) -> None:
    rows = stored(tmp_path, "shopify-orders-us.csv", "order_id", "event", "line", "price", "item_discount", "value",
                  "tax")
    assert rows[:2] == [("#2001", "purchase", 0, 9.0, 1.0, 27.0, 2.7), ("#2001", "purchase", 1, 9.0, 1.0, None, None)]


def test_shopify_a_paid_order_that_was_paid_back_is_a_purchase_and_a_refund(tmp_path: Path) -> None:
    rows = stored(tmp_path, "shopify-orders-us.csv", "order_id", "event", "value", "item_id")
    assert rows[2:6] == [("#2002", "purchase", 10.0, "TOWEL"), ("#2002", "refund", 10.0, None),
                         ("#2003", "purchase", 20.0, "TOWEL"), ("#2003", "refund", 11.0, None)]


def test_shopify_an_export_of_a_later_day_adds_the_refund_and_no_second_purchase(tmp_path: Path) -> None:
    later = (SAMPLES / "shopify-orders-us.csv").read_text("utf-8")
    earlier = later.replace("partially_refunded", "paid").replace(",11.00,Clay,660003", ",0.00,Clay,660003")
    shop = Shop.open(tmp_path / "shop")
    for name, text in (("a.csv", earlier), ("b.csv", later)):
        (tmp_path / name).write_text(text, "utf-8")
        shop.ingest(tmp_path / name)
    events = shop.events()
    of = shop.engine.run(events.filter(events.order_id == "#2003").order_by("event")).to_pylist()
    assert [(row["event"], row["value"]) for row in of] == [("purchase", Decimal(20)), ("refund", Decimal(11))]


def test_shopify_a_line_whose_order_never_began_is_set_aside(tmp_path: Path) -> None:
    lines = (SAMPLES / "shopify-orders-us.csv").read_text("utf-8").splitlines()
    (tmp_path / "cut.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n", "utf-8")
    done = Shop.open(tmp_path / "shop").ingest(tmp_path / "cut.csv")
    assert dict(done.reasons) == {"missing_time": 1}


@pytest.mark.parametrize("name", ["woocommerce-orders-lines.csv", "woocommerce-orders-whole.csv",
                                  "woocommerce-orders-plugin.csv"])
def test_woocommerce_value_is_net_however_it_was_exported(name: str, tmp_path: Path) -> None:
    rows = [row for row in stored(tmp_path, name, "event", "value", "tax", "quantity", "order_id") if row[4] in (
        "901", "951", "981")]
    assert sorted(row[1] for row in rows if row[1] is not None) == [28.0]
    assert (rows[0][0], rows[0][2], sum(row[3] or 0 for row in rows)) == ("purchase", 5.32, 3.0)


def test_woocommerce_states_are_what_happened(tmp_path: Path) -> None:
    rows = stored(tmp_path, "woocommerce-orders-lines.csv", "order_id", "event", "value")
    assert rows[2:] == [("902", "begin_checkout", 14.0), ("903", "purchase", 14.0), ("903", "refund", 14.0),
                        ("904", "purchase", 28.0), ("904", "refund", 14.0), ("905", "cancel_order", 14.0),
                        ("906", "begin_checkout", 14.0)]


def test_taobao_states_times_and_amounts_survive_gb18030_and_a_spreadsheet(tmp_path: Path) -> None:
    rows = stored(tmp_path, "taobao-orders-gb18030.csv", "order_id", "event", "value", "ts")
    assert [(row[0][-1], row[1], row[2], f"{row[3]:%H:%M:%S}") for row in rows] == [
        ("1", "purchase", 1258.0, "02:00:02"), ("2", "purchase", 88.0, "03:01:00"), ("3", "purchase", 45.0, "04:01:30"),
        ("3", "refund", 45.0, "04:01:30"), ("4", "cancel_order", 45.0, "05:00:00"), ("5", "purchase", 90.0, "06:03:00"),
        ("5", "refund", 45.0, "06:03:00")]


def test_taobao_a_line_of_several_titles_is_of_no_item_and_one_of_a_single_title_is_of_that(tmp_path: Path) -> None:
    rows = stored(tmp_path, "taobao-orders-gb18030.csv", "item_id", "quantity", "price")
    assert rows[:2] == [("龙井绿茶 特级 250g", 2.0, 629.0), (None, None, None)]


def test_taobao_an_order_below_an_order_has_money_of_its_own(tmp_path: Path) -> None:
    rows = stored(tmp_path, "taobao-orders-items.xlsx", "order_id", "event", "line", "value", "price", "list_price")
    assert rows == [("4201234567890123450", "purchase", 0, 1258.0, 629.0, 699.0),
                    ("4201234567890123450", "purchase", 0, 80.0, 80.0, 88.0),
                    ("4201234567890123450", "refund", 0, 80.0, 80.0, None),
                    ("4201234567890123460", "begin_checkout", 0, 45.0, 45.0, None)]


def test_jd_the_freight_is_no_revenue_and_a_locked_order_is_still_one(tmp_path: Path) -> None:
    rows = stored(tmp_path, "jd-orders-gb18030.csv", "event", "line", "value", "shipping")
    assert rows == [("purchase", 0, 158.0, 6.0), ("purchase", 1, None, None), ("begin_checkout", 0, 129.0, 0.0),
                    ("purchase", 0, 129.0, 0.0), ("cancel_order", 0, 129.0, 0.0)]


def test_youzan_a_line_under_merged_cells_belongs_to_the_order_above(tmp_path: Path) -> None:
    rows = stored(tmp_path, "youzan-orders-merged.xlsx", "order_id", "event", "line", "item_id", "price", "value")
    assert rows[:2] == [("E20260904110011", "purchase", 0, "ZP-1", 23.0, 56.0),
                        ("E20260904110011", "purchase", 1, "XX-2", 10.0, None)]
    assert rows[2:4] == [("E20260904110012", "purchase", 0, "ZP-1", 25.5, 51.0),
                         ("E20260904110012", "refund", 0, "ZP-1", None, 25.5)]


def test_nothing_of_a_person_comes_in_with_an_order(tmp_path: Path) -> None:
    whole = "".join(repr(stored(tmp_path, path.name, "props", "customer_id", "text")) for path in sorted(
        SAMPLES.iterdir()) if path.name in ("shopify-orders-us.csv", "woocommerce-orders-lines.csv",
                                            "woocommerce-orders-plugin.csv", "taobao-orders-gb18030.csv",
                                            "jd-orders-gb18030.csv", "youzan-orders-merged.xlsx"))
    for secret in ("Doe", "Main St", "02139", "555 0100", "Kim@", "Example", "Lane 1", "1234567", "203.0.113", "王小明",
                   "13800138000", "西湖区", "张三", "深圳", "13912345678"):
        assert secret not in whole, secret


def test_a_number_that_a_spreadsheet_has_cut_is_set_aside_and_not_taken_for_an_order(tmp_path: Path) -> None:
    done, rows = taobao(
        tmp_path, "4.20123E+18,爱茶人,绿茶,1,1,0,45.00,交易成功,2026-09-04 10:00:00,2026-09-04 10:01:00",
        "4201234567890120000,爱茶人,绿茶,1,1,0,45.00,交易成功,2026-09-04 10:00:00,2026-09-04 10:01:00",
        "4201234567890123451,爱茶人,绿茶,1,1,0,45.00,交易成功,2026-09-04 10:00:00,2026-09-04 10:01:00")
    assert (done.received, done.stored, dict(done.reasons)) == (3, 1, {"dialect": 2})
    assert [row["order_id"] for row in rows] == ["4201234567890123451"]


def test_a_state_that_nobody_knows_is_set_aside_and_no_sale_until_it_is_given_a_meaning(tmp_path: Path) -> None:
    line = "42,爱茶人,绿茶,1,1,0,45.00,神秘状态,2026-09-04 10:00:00,2026-09-04 10:01:00"
    done, rows = taobao(tmp_path, line)
    assert (dict(done.reasons), rows) == ({"unknown_kind": 1}, [])
    again = Shop.open(tmp_path / "shop").ingest(tmp_path / "orders.csv", Mapping(kinds={"神秘状态": "purchase"}),
                                                dialect="taobao-orders")
    assert again.stored == 1


def test_the_sum_below_a_table_is_no_order(tmp_path: Path) -> None:
    done, rows = taobao(tmp_path, "42,爱茶人,绿茶,1,1,0,45.00,交易成功,2026-09-04 10:00:00,2026-09-04 10:01:00",
                        "合计,,,,1,0,45.00,,,")
    assert (done.stored, done.quarantined, [row["value"] for row in rows]) == (1, 1, [Decimal(45)])


def test_an_amount_that_is_none_is_set_aside_by_the_name_of_its_column() -> None:
    dialect = DIALECTS["jd-orders"]
    with pytest.raises(Unfit, match="应付金额"):
        translate(dialect, {"订单号": "1", "商品名称": "杯", "应付金额": "很多", "订单状态": "完成", TOLD: "purchase"},
                  dialect.state() if dialect.state else None)


def test_a_header_of_the_shops_own_is_understood_with_its_unit_behind_it(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path / "shop")
    path = shop.path / "shop.toml"
    path.write_text(path.read_text("utf-8") + '\n[synonyms]\n"会员账号" = "买家会员名"\n"到账" = "paid"\n', "utf-8")
    (tmp_path / "own.csv").write_text("订单编号,会员账号,商品标题,付款时间,到账,运费（元）,订单状态\n"
                                      "1,茶客,绿茶,2026-09-03 10:00:00,¥15.00,3元,交易成功\n", "utf-8")
    shop = Shop.open(shop.path)
    done = shop.ingest(tmp_path / "own.csv")
    (row,) = shop.engine.run(shop.events()).to_pylist()
    assert (dict(done.dialects), row["value"], row["shipping"]) == (
        {"own.csv": "taobao-orders"}, Decimal(12), Decimal(3))
    assert row["customer_id"] == shop.person("茶客")
    assert "会员账号" in shop.config.to_toml()


@pytest.mark.parametrize(("text", "read"), [
    ("¥1,299.00", "1299"), ("￥1，299.00", "1299"), ("12.5元", "12.5"), ("-¥4.50", "-4.5"), ("(3.00)", "-3"),
    ("CNY 7", "7"), ('="8.00"', "8"), ("无退款", None), ("-", None), ("1,5", None)])
def test_amounts_are_read_however_they_are_written(text: str, read: str | None) -> None:
    if text == "1,5":
        with pytest.raises(ValueError, match="no number"):
            money(text)
    else:
        assert money(text) == read


@pytest.mark.parametrize(("text", "read"), [
    ("46269.5854166667", "2026-09-04 14:03:00"), ("2026年9月4日", "2026-09-04 00:00:00"),
    ("2026年9月4日 9时5分", "2026-09-04 09:05:00"), ("2026/9/4 9:05", "2026/9/4 9:05"), ("0000-00-00 00:00:00", None)])
def test_times_are_read_however_they_are_written(text: str, read: str | None) -> None:
    assert moment(text) == read


@pytest.mark.parametrize("text", ["1.23457E+17", "4201234567890120000", "123456789012345000"])
def test_no_cut_number_names_anything(text: str) -> None:
    with pytest.raises(ValueError, match="spreadsheet"):
        code(text)
