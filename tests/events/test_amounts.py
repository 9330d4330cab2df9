"""Money that was given back, currencies by other names, and ids that a spreadsheet has cut."""

import io

import openpyxl
import pytest

from events.taking import BUY, reasons, rows
from shopkeeper.shop import Shop

EURO = {"currency": "EUR"}


@pytest.mark.parametrize("sign", [1, -1])
def test_what_was_given_back_is_an_amount_whether_or_not_a_minus_stands_before_it(sign):
    [row] = rows({**BUY, **EURO, "event": "refund", "value": 30 * sign, "price": 15 * sign, "quantity": 2 * sign})

    assert (row["value"], row["price"], row["quantity"]) == (30, 15, 2)


def test_items_that_were_given_back_have_no_minus_either():
    items = [{"item_id": "tea", "price": -4, "quantity": -2}, {"item_id": "cup", "price": 7, "quantity": -1}]

    head, *lines = rows({**BUY, **EURO, "event": "refund", "item_id": None, "items": items})

    assert head["value"] == 15
    assert [(row["price"], row["quantity"]) for row in lines] == [(4, 2), (7, 1)]


def test_a_purchase_of_less_than_no_money_is_set_aside():
    assert reasons({**BUY, **EURO, "value": -7}) == [("negative_value", "value")]


def test_rmb_is_the_yuan():
    found = rows({**BUY, "event_id": "a", "value": 1, "currency": "rmb"}, {**BUY, "event_id": "b", "value": 1,
                                                                          "currency": "CNY"})

    assert {row["currency"] for row in found} == {"CNY"}


def test_numbers_that_a_workbook_has_cut_are_never_one_order(tmp_path):
    book = openpyxl.Workbook()
    for row in (["event", "ts", "customer_id", "item_id", "order_id"],
                ["purchase", "2026-03-01T10:00:00Z", "ann", "tea", 2012345678901234567],
                ["purchase", "2026-03-01T11:00:00Z", "bob", "tea", 2012345678901234568],
                ["purchase", "2026-03-01T12:00:00Z", "cat", "tea", 2012345678901]):
        book.active.append(row)
    data = io.BytesIO()
    book.save(data)
    (tmp_path / "orders.xlsx").write_bytes(data.getvalue())

    done = Shop.open(tmp_path / "s").ingest(tmp_path / "orders.xlsx")

    assert (done.stored, dict(done.reasons)) == (1, {"cut_number": 2})


def test_blanks_around_the_headers_of_an_export_do_not_hide_what_it_is(tmp_path):
    path = tmp_path / "ExportOrderList.csv"
    path.write_text("订单编号,买家会员名,宝贝标题 ,宝贝种类,宝贝总数量,买家应付邮费,买家实际支付金额,订单状态,"
                    "订单创建时间,订单付款时间 \n"
                    "7001,ann,tea,1,1,0,10,交易成功,2026-03-01 10:00:00,2026-03-01 10:01:00\n", "utf-8")

    done = Shop.open(tmp_path / "s").ingest(path)

    assert (done.stored, list(done.dialects.values())) == (1, ["taobao-orders"])
