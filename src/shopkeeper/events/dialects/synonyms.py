"""What Chinese back offices call the columns of an order: ours -> their headers, the most telling first.

A shop adds its own in `shop.toml`: what its file says, and one of the names here, or of ours, or of any dialect.

    [synonyms]
    "会员账号" = "买家会员名"
    "E-Mail-Adresse" = "Email"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from shopkeeper.events.raw import RawBatch

PAID_AT = ("付款时间", "订单付款时间", "买家付款时间", "支付时间", "付款确认时间")
_PLACED_AT = ("成交时间", "订单创建时间", "下单时间", "拍下时间", "创建时间")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "order_id": ("主订单编号", "父订单号", "订单编号", "订单号", "交易编号", "交易单号"),
    "customer_id": ("买家会员名", "买家", "买家昵称", "买家旺旺", "旺旺", "下单帐号", "下单账号", "用户PIN", "买家ID",
                    "会员ID", "会员编号", "客户ID"),
    "ts": (*PAID_AT, *_PLACED_AT),
    "status": ("订单状态", "交易状态", "状态"),
    "refund_status": ("退款状态", "售后状态", "订单商品退款状态", "商品退款状态", "订单退款状态"),
    "item_id": ("商品ID", "宝贝ID", "商品id", "商品编号", "商品编码", "SPU编码", "商品数字ID", "货号", "商家编码",
                "外部系统编号"),
    "variant_id": ("SKU编码", "SKUID", "SKU ID", "商家SKUID", "规格编码"),
    "title": ("商品标题", "宝贝标题", "商品名称", "标题", "宝贝名称", "全部商品名称"),
    "quantity": ("商品数量", "购买数量", "宝贝总数量", "订购数量", "数量", "件数"),
    "kinds": ("宝贝种类", "商品种类数", "商品种类"),
    "coupon": ("优惠券", "优惠券名称", "优惠码"),
}
# Amounts; with the unit behind it a header is the same: 实付金额(元).
_AMOUNTS: Mapping[str, tuple[str, ...]] = {
    "price": ("商品单价", "宝贝单价", "京东价", "单价", "价格", "商品价格"),
    "paid": ("实付金额", "买家实际支付金额", "订单实付金额", "实收款", "应付金额", "结算金额", "买家实付金额"),
    "line_paid": ("商品实际成交金额", "商品实付金额", "商品实付"),
    "goods": ("买家应付货款", "商品总价", "商品金额合计", "货款"),
    "amount": ("总金额", "订单金额", "订单总额", "应收订单金额"),
    "shipping": ("买家应付邮费", "邮费", "运费", "快递费", "运费金额"),
    "discount": ("优惠金额", "店铺优惠", "优惠总额", "订单优惠金额"),
    "refunded": ("退款金额", "商品已退款金额", "订单已退款金额", "已退款金额"),
}
ORDER: Mapping[str, tuple[str, ...]] = {**_NAMES, **{
    ours: (*headers, *(f"{one}{unit}" for one in headers for unit in ("(元)", "（元）")))
    for ours, headers in _AMOUNTS.items()}}
TOTALS = (*ORDER["paid"], *ORDER["line_paid"], *ORDER["goods"], *ORDER["amount"])
PERSONAL: Mapping[str, tuple[str, ...]] = {
    "name": ("收货人姓名", "收货人", "收件人", "客户姓名", "买家姓名", "收货人/提货人", "修改后的收货人姓名"),
    "address": ("收货地址", "收货人地址", "客户地址", "详细地址", "收货人详细地址", "买家详细地址", "修改后的收货地址"),
    "phone": ("联系电话", "联系手机", "手机号", "收货人手机号", "收货人手机号/提货人手机号", "收货人电话", "电话",
              "买家手机号", "买家手机"),
    "account": ("买家支付宝账号", "支付宝账号"),
    "note": ("买家留言", "买家备注"),
}


def names(ours: str) -> str:
    """The headers of a column as a row of a dialect lists them; ours comes last, for a shop's own synonyms."""
    return "|".join((*ORDER[ours], ours))


def renamed(parts: Iterator[RawBatch], synonyms: Mapping[str, str]) -> Iterator[RawBatch]:
    """Batches whose columns are called by a shop's own synonyms; a name that is there already stays with its column.

    Args:
        parts: Of one source.
        synonyms: A header of the source -> what it means.
    """
    for part in parts:
        there = set(part.table.column_names)
        names = []
        for name in part.table.column_names:
            meant = synonyms.get(name.strip(), name)
            names.append(name if meant in there else meant)
            there.add(names[-1])
        yield replace(part, table=part.table.rename_columns(names))
