"""What people say: exports of reviews, of social posts, and of talks with the service; English and Chinese headers.

An account of the shop's (an id, an e-mail, a member's name) is a customer. A name that is only shown is not: it stands
beside the customers, under its platform. Who is masked, or not named at all, is nobody else: each such record is of a
person of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, Wrong, personal, shortly, text_of
from shopkeeper.events.dialects.exports import amount, cell, code, moment
from shopkeeper.events.dialects.values import number, said
from shopkeeper.words import say

_WORDS = {"好评": "5", "中评": "3", "差评": "1", "positive": "5", "neutral": "3", "negative": "1",
          "非常满意": "5", "满意": "4", "一般": "3", "不满意": "2", "非常不满意": "1",
          "一星": "1", "二星": "2", "两星": "2", "三星": "3", "四星": "4", "五星": "5"}
_STARS = Decimal(5)
_OF = re.compile(r"([\d.]+)\s*(?:/|out of)\s*([\d.]+).*")
_TEXT = ("text", "review", "review_text", "reviewText", "review_body", "review_content", "content", "comment",
         "comment_content", "comments", "body", "message", "message_text", "post", "post_text", "full_text", "caption",
         "评价内容", "评论内容", "评价", "评论", "初评内容", "内容", "正文", "博文", "笔记内容", "消息内容", "聊天内容",
         "消息")
_TIME = ("ts", "time", "date", "created_at", "review_date", "comment_date", "unixReviewTime", "timestamp", "posted_at",
         "published_at", "sent_time", "sent_at", "评价时间", "评论时间", "初评时间", "发布时间", "发表时间", "时间",
         "发送时间", "消息时间")
_ACCOUNT = ("customer_id", "user_id", "reviewer_id", "reviewerID", "customer_email", "reviewer_email",
            "comment_author_email", "email", "买家会员名", "买家昵称", "买家旺旺", "会员名", "用户ID", "会员ID")
_SHOWN = ("author", "author_name", "reviewer", "reviewer_name", "reviewerName", "comment_author", "user", "username",
          "user_name", "screen_name", "评价人", "评论人", "用户昵称", "昵称", "用户名", "用户", "作者", "博主")
_ITEM = ("item_id", "product_id", "comment_post_ID", "asin", "parent_asin", "sku", "product_handle", "business_id",
         "商品ID", "商品编号", "商品编码", "宝贝ID")
_FREE = ("product", "product_title", "product_name", "item", "subject", "商品名称", "宝贝标题", "商品标题", "提及商品")
_STAR = ("rating", "stars", "score", "overall", "star_rating", "评分", "星级", "评价星级", "评论星级", "评价等级",
         "评级")
_ID = ("event_id", "review_id", "comment_ID", "post_id", "message_id", "id", "评价ID", "评论ID", "帖子ID", "微博ID",
       "消息ID")
_ORDER = ("order_id", "订单编号", "订单号")
_PLATFORM = ("platform", "network", "channel", "平台", "渠道")
_SPREAD = ("hashtags", "likes", "reposts", "retweets", "shares", "话题", "转发数", "点赞数", "评论数")
_TALK = ("conversation_id", "chat_id", "session_id", "session", "thread_id", "ticket_id", "会话ID", "会话编号", "会话")
_ROLE = ("role", "sender", "from", "speaker", "direction", "author_type", "角色", "发送方", "发送人")


def stars(value: Any) -> str:
    """A rating as a number, of five: `4`, `4.0 out of 5`, `8/10`, `5星`, `★★★★☆`, `好评`.

    >>> stars("4.0 out of 5"), stars("8/10"), stars("5星"), stars("★★★★☆"), stars("差评")
    ('4', '4', '5', '4', '1')
    """
    text = text_of(value).strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    if "★" in text and not text.strip("★☆"):
        return _within_scale(str(text.count("★")), text)
    if (of := _OF.fullmatch(text)) is not None:
        best = Decimal(of[2])
        _within_scale(of[1], text, best)
        if not best:
            raise Wrong(say("{value} is a rating of nothing.", value=shortly(text)))
        return amount(Decimal(of[1]) * 5 / best)
    found = number(re.sub(r"\s*(星|stars?)$", "", text).removesuffix("分").strip())
    return _within_scale(found, text) if re.search(r"(星|stars?)$", text) else found


def _within_scale(found: str, text: str, best: Decimal = _STARS) -> str:
    if not 0 <= Decimal(found) <= best:
        raise Wrong(say("{value} lies outside its scale.", value=shortly(text)))
    return found


def _known(value: Any) -> str | None:
    """An account; None for one that is masked. An e-mail address as it is compared."""
    text = cell(value)
    if text is None or "*" in text or text.startswith("匿名") or text.lower() == "anonymous":
        return None
    return text.lower() if "@" in text[1:] else text


def _within(value: Any) -> str:
    """A name without its kind and its place: the inverse of what `_finish` puts before it."""
    return text_of(value).split(":", 2)[-1]


def _fields(account: tuple[str, ...] = _ACCOUNT, shown: tuple[str, ...] = _SHOWN) -> tuple[Field, ...]:
    return (Field("ts", "|".join(_TIME), read=moment), Field("customer_id", "|".join(account), read=_known),
            Field("anonymous_id", "|".join(shown), read=_known, write=_within),
            Field("event_id", "|".join(_ID), read=code, write=_within),
            Field("item_id", "|".join(_ITEM), read=code), Field("text", "|".join(_TEXT), read=text_of),
            Field("rating", "|".join(_STAR), read=stars), Field("props.about", "|".join(_FREE), read=said),
            Field("order_id", "|".join(_ORDER), read=code), Field("props.platform", "|".join(_PLATFORM), read=said),
            Field("url", "url|link|permalink|链接", read=said),
            *personal("phone", "phone", "手机号"), *personal("ip", "ip_address", "comment_author_IP"))


def _finish(kind: str, within: tuple[str, ...]) -> Callable[[Row, Row], Row]:
    """Names a record, and whom it is of.

    Args:
        kind: Of event.
        within: Fields inside of which an id or a shown name is one of its own: a platform, a talk.
    """

    def finish(theirs: Row, ours: Row) -> Row:
        place = next((text_of(theirs[name]) for name in within if theirs.get(name)), "")
        above = f"{kind}:{place.replace(':', ' ')}:"
        ours = {**ours, "event": kind}
        if "event_id" in ours:
            ours["event_id"] = f"{above}{ours['event_id']}"
        if "customer_id" in ours:  # what else this person is called is not kept
            ours.pop("anonymous_id", None)
        elif "anonymous_id" in ours:
            ours["anonymous_id"] = f"{above}{ours['anonymous_id']}"
        else:
            ours["anonymous_id"] = f"{above}{'' if kind == 'chat' and place else _alone(theirs)}"
        return ours

    return finish


def _alone(theirs: Row) -> str:
    """A name for the person of one record that names none."""
    whole = json.dumps(theirs, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(whole.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


REVIEWS = Dialect(
    "reviews", "reviews", "https://schema.org/Review", marks=(_TEXT, _STAR, _TIME), finish=_finish("review", _PLATFORM),
    fields=_fields())
POSTS = Dialect(
    "social-posts", "social posts", "https://schema.org/SocialMediaPosting",
    marks=(_TEXT, _TIME, (*_SHOWN, *_ACCOUNT), (*_PLATFORM, *_SPREAD)), finish=_finish("mention", _PLATFORM),
    fields=_fields(("customer_id",), (*_SHOWN, "user_id")))
CHATS = Dialect(
    "service-chats", "service chats", "https://schema.org/Conversation", marks=(_TEXT, _TIME, _TALK, _ROLE),
    finish=_finish("chat", _TALK),
    fields=(*_fields((*_ACCOUNT, "visitor_id", "buyer", "买家", "顾客", "客户"), ()),
            Field("session_id", "|".join(_TALK), read=said), Field("props.role", "|".join(_ROLE), read=said)))

DIALECTS = (REVIEWS, POSTS, CHATS)
