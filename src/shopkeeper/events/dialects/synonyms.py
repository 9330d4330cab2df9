"""What Chinese back offices call the columns of an order: ours -> their headers, the most telling first.

A shop adds its own in `shop.toml`:

    [synonyms]
    "会员账号" = "customer_id"
"""

from __future__ import annotations

from collections.abc import Mapping

ORDER: Mapping[str, tuple[str, ...]] = {
    "order_id": ("订单编号", "订单号", "主订单编号", "父订单号", "交易编号", "交易单号"),
    "customer_id": ("买家会员名", "买家", "买家昵称", "买家旺旺", "旺旺", "下单帐号", "下单账号", "用户PIN", "买家ID",
                    "会员ID", "会员编号", "客户ID", "买家手机号", "买家手机"),
    "ts": ("付款时间", "订单付款时间", "买家付款时间", "支付时间", "付款确认时间", "订单创建时间", "下单时间",
           "创建时间", "成交时间"),
    "status": ("订单状态", "交易状态", "状态"),
    "refund_status": ("退款状态", "售后状态", "订单商品退款状态", "商品退款状态"),
    "item_id": ("商品ID", "宝贝ID", "商品id", "商品编号", "商品编码", "SPU编码", "商品数字ID", "货号",
                "商家编码", "外部系统编号"),
    "variant_id": ("SKU编码", "SKUID", "SKU ID", "规格编码"),
    "title": ("商品标题", "宝贝标题", "商品名称", "标题", "宝贝名称"),
    "quantity": ("商品数量", "购买数量", "宝贝总数量", "订购数量", "数量", "件数"),
    "price": ("商品单价", "宝贝单价", "京东价", "单价", "价格", "商品价格"),
    "paid": ("实付金额", "买家实际支付金额", "订单实付金额", "实收款", "应付金额", "结算金额", "买家实付金额"),
    "line_paid": ("商品实际成交金额", "商品实付金额", "商品实付"),
    "shipping": ("买家应付邮费", "邮费", "运费", "快递费", "运费金额"),
    "discount": ("优惠金额", "店铺优惠", "优惠总额", "订单优惠金额"),
    "coupon": ("优惠券", "优惠券名称", "优惠码"),
    "amount": ("总金额", "订单金额", "商品总价", "订单总额"),
}
PERSONAL: Mapping[str, tuple[str, ...]] = {
    "name": ("收货人姓名", "收货人", "收件人", "客户姓名", "买家姓名", "收货人/提货人"),
    "address": ("收货地址", "收货人地址", "客户地址", "详细地址", "收货人详细地址", "买家详细地址"),
    "phone": ("联系电话", "联系手机", "手机号", "收货人手机号", "收货人手机号/提货人手机号", "收货人电话", "电话",
              "买家手机号", "买家手机"),
    "account": ("买家支付宝账号", "支付宝账号"),
    "note": ("买家留言", "买家备注"),
}


SYNONYMOUS = tuple(ORDER)


def names(ours: str) -> str:
    """The headers of a column as a row of a dialect lists them; ours comes last, for a shop's own synonyms."""
    return "|".join((*ORDER[ours], ours))
