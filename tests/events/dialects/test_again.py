"""The same orders again, a pretty payload, prices without units: what an analyst's second import meets."""

import json
from decimal import Decimal

from shopkeeper import Shop, ledger

HEADERS = ("订单编号,买家会员名,宝贝标题,宝贝种类,宝贝总数量,买家应付邮费,买家实际支付金额,订单状态,订单创建时间,"
           "订单付款时间,物流单号")


def test_an_order_that_only_changed_its_state_is_a_duplicate(tmp_path):
    shop = Shop.open(tmp_path / "s")
    ends = []
    for state, parcel in (("买家已付款", ""), ("卖家已发货", "SF1"), ("交易成功", "SF1")):
        path = tmp_path / "orders.csv"
        path.write_text(f"{HEADERS}\n7001,ann,tea,1,1,0,10,{state},2026-03-01 10:00:00,2026-03-01 10:01:00,{parcel}\n",
                        "utf-8")
        done = shop.ingest(path)
        ends.append((done.received, done.stored, done.duplicate, done.quarantined))

    assert ends == [(1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0)]


def test_an_order_of_another_amount_is_none(tmp_path):
    shop = Shop.open(tmp_path / "s")
    for paid in (10, 12):
        path = tmp_path / "orders.csv"
        path.write_text(f"{HEADERS}\n7001,ann,tea,1,1,0,{paid},交易成功,2026-03-01 10:00:00,2026-03-01 10:01:00,\n",
                        "utf-8")
        done = shop.ingest(path)

    assert dict(done.reasons) == {"conflict": 1}


def test_one_object_over_several_lines_is_one_record_and_objects_of_a_line_stay_lines(tmp_path):
    payload = {"client_id": "c.1", "timestamp_micros": 1772359200000000, "events": [
        {"name": "page_view", "params": {"page_location": "https://shop.example/"}}]}
    pretty, lines = tmp_path / "pretty.json", tmp_path / "lines.json"
    pretty.write_text(json.dumps(payload, indent=2))
    lines.write_text(json.dumps(payload) + "\n" + json.dumps({**payload, "client_id": "c.2"}) + "\n")

    done = Shop.open(tmp_path / "s").ingest(pretty), Shop.open(tmp_path / "t").ingest(lines)

    assert [(one.received, one.stored) for one in done] == [(1, 1), (2, 2)]


def test_a_price_without_units_is_of_one_and_has_a_value(tmp_path):
    path = tmp_path / "2019-Oct.csv"
    path.write_text("event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
                    "2019-10-01 00:00:00 UTC,purchase,1,2,,,1081.98,3,a\n"
                    "2019-10-01 00:05:00 UTC,purchase,2,2,,,500.00,4,b\n")
    shop = Shop.open(tmp_path / "s")

    shop.ingest(path)

    assert sum(shop.engine.run(shop.events().select("value"))["value"].to_pylist()) == Decimal("1581.98")


def test_alike_lines_of_one_file_are_no_order_that_came_twice(tmp_path):
    path = tmp_path / "retail.csv"
    line = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"
    path.write_text("Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n" + 2 * line)
    shop = Shop.open(tmp_path / "s")

    assert shop.ingest(path).stored == 2
    assert "order_twice" not in ledger.quality(shop).table["finding"].to_pylist()


def test_rows_of_a_table_that_say_the_same_key_are_noted(tmp_path):
    done = Shop.open(tmp_path / "s").ingest([{"item_id": "tea", "title": title} for title in "abc"], table="items")

    assert "2 rows have a item_id that an earlier row has, too: the last one counts." in map(str, done.notes)
