"""What people say: exports of reviews, of social posts, and of talks with the service."""

from __future__ import annotations

from typing import Any

from shopkeeper.events.dialects.base import Dialect, Field, Row, text_of
from shopkeeper.events.dialects.exports import cell
from shopkeeper.events.dialects.values import number, said

_STARS = {"好评": "5", "中评": "3", "差评": "1", "positive": "5", "negative": "1", "neutral": "3"}
_TEXT = ("text", "review", "review_text", "review_body", "content", "comment", "body", "message", "post", "评价内容",
         "评论内容", "评论", "内容", "正文", "消息内容", "聊天内容")
_TIME = ("ts", "time", "date", "created_at", "review_date", "timestamp", "posted_at", "sent_time", "评价时间",
         "评论时间", "发布时间", "时间", "发送时间")
_AUTHOR = ("author", "reviewer", "reviewer_id", "reviewerID", "user_id", "customer_id", "user", "username", "买家昵称",
           "评价人", "用户昵称", "用户", "作者", "博主")
_ITEM = ("item_id", "product_id", "asin", "parent_asin", "sku", "business_id", "商品ID", "商品编号", "宝贝ID")
_FREE = ("product", "item", "subject", "商品名称", "宝贝标题", "商品标题", "提及商品")
_STAR = ("rating", "stars", "score", "overall", "star_rating", "评分", "星级", "评价等级")


def stars(value: Any) -> str:
    """A rating as a number: `4`, `4.0 out of 5`, `5星`, `好评`.

    >>> stars("4.0 out of 5"), stars("5星"), stars("差评")
    ('4', '5', '1')
    """
    text = text_of(value).strip()
    if text in _STARS:
        return _STARS[text]
    return number(text.lower().partition("out of")[0].partition("/")[0].replace("星", "").strip())


def _fields(author: tuple[str, ...]) -> tuple[Field, ...]:
    return (Field("ts", "|".join(_TIME), read=cell), Field("customer_id", "|".join(author), read=said),
            Field("item_id", "|".join(_ITEM), read=cell), Field("text", "|".join(_TEXT), read=text_of),
            Field("rating", "|".join(_STAR), read=stars), Field("props.subject", "|".join(_FREE), read=said),
            Field("event_id", "event_id|review_id|post_id|message_id|评价ID|帖子ID|消息ID", read=said),
            Field("order_id", "order_id|订单编号|订单号", read=cell), Field("url", "url|link|链接", read=said))


def _review(theirs: Row, ours: Row) -> Row:
    return {**ours, "event": "review"}


def _post(theirs: Row, ours: Row) -> Row:
    return {**ours, "event": "mention"}


def _chat(theirs: Row, ours: Row) -> Row:
    return {**ours, "event": "chat"}


REVIEWS = Dialect(
    "reviews", "reviews", "https://schema.org/Review", marks=(_TEXT, _STAR, _TIME, (*_ITEM, *_FREE)), finish=_review,
    fields=_fields(_AUTHOR))
_PLATFORM = ("platform", "network", "channel", "hashtags", "likes", "reposts", "平台", "话题", "转发数", "点赞数")
POSTS = Dialect(
    "social-posts", "social posts", "https://schema.org/SocialMediaPosting", marks=(_TEXT, _TIME, _AUTHOR, _PLATFORM),
    finish=_post, fields=_fields(_AUTHOR))
_TALK = ("conversation_id", "chat_id", "session", "thread_id", "ticket_id", "会话ID", "会话编号", "会话")
_ROLE = ("role", "sender", "from", "speaker", "direction", "角色", "发送方", "发送人")
CHATS = Dialect(
    "service-chats", "service chats", "https://schema.org/Conversation", marks=(_TEXT, _TIME, _TALK, _ROLE),
    finish=_chat,
    fields=(*_fields(("customer_id", "visitor_id", "user_id", "buyer", "买家", "买家昵称", "顾客", "客户")),
            Field("session_id", "|".join(_TALK), read=said), Field("props.role", "|".join(_ROLE), read=said)))

DIALECTS = (REVIEWS, POSTS, CHATS)
