"""By which channel somebody came: one rule, for every room that asks."""

from __future__ import annotations

from typing import Any

import ibis

__all__ = ["CHANNELS", "UNMARKED", "channel"]

CHANNELS = ("paid_search", "paid_social", "display", "paid_other", "email", "affiliate", "social", "search", "referral",
            "sms", "push", "unassigned", "unmarked")
UNMARKED = "unmarked"

# Sites by the class of their names. A host belongs to a class if it is such a name under a public ending.
_SEARCH = "google|bing|yahoo|duckduckgo|baidu|yandex|ecosia|naver|sogou|so|qwant|startpage|ask|aol|seznam|daum"
_SOCIAL = ("facebook|instagram|twitter|x|linkedin|pinterest|reddit|tiktok|snapchat|threads|whatsapp|weibo|wechat|qq|"
           "douyin|xiaohongshu|vk|ok|line|telegram|youtube|quora|tumblr|mastodon|bsky")
_END = r"[.][a-z.]{2,7}$"
_HOST = r"^[a-z][a-z0-9+.-]*://(?:[^/@?#]*@)?([^/:?#]+)"
_PAID = r"^(.*cp.*|ppc|retargeting|paid.*)$"
_SHORT = r"(^|[.])(t[.]co|lnkd[.]in|fb[.]me|youtu[.]be)$"


def channel(events: Any) -> Any:
    """Expression: the channel that brought an event, by what the event itself says (one of `CHANNELS`).

    The first that fits, case aside: paid (`utm_medium` such as cpc, ppc, paid_social) by the class of `utm_source`, and
    a click id from a search site; display; email; affiliate; social; search; referral (another site than the page's
    own); sms; push; `unassigned` for any other mark. An event without a mark is `unmarked`: it may be a direct visit,
    or a later page of any visit, and which of them nobody can say of one event alone.

    Source:
        Google Analytics help, Default channel group (support.google.com/analytics/answer/9756891), its order and its
        patterns; the lists of sites are ours and shorter.
    """
    source, medium = _plain(events.utm_source), _plain(events.utm_medium)
    host, own = _host(events.referrer), _host(events.url)
    host = ibis.ifelse(host == own, "", host)
    by_search = _site(source, _SEARCH) | _site(host, _SEARCH)
    by_social = _site(source, _SOCIAL) | _site(host, _SOCIAL) | host.re_search(_SHORT)
    paid = medium.re_search(_PAID)
    said = (source != "") | (medium != "")
    silent = (events.utm_source.isnull() & events.utm_medium.isnull() & events.click_id.isnull()
              & events.referrer.isnull())
    return ibis.cases(
        (silent, "unmarked"),  # most events: spares the engine the patterns
        (paid & _site(source, _SOCIAL), "paid_social"),
        (paid & by_search, "paid_search"),
        (paid & by_social, "paid_social"),
        (medium.isin(["display", "banner", "expandable", "interstitial", "cpm"]), "display"),
        (paid, "paid_other"),
        ((medium == "") & events.click_id.notnull() & by_search, "paid_search"),
        (_mail(source) | _mail(medium), "email"),
        (medium.isin(["affiliate", "affiliates"]), "affiliate"),
        (medium.re_search(r"^(social|sm)([-_ ]?(network|media))?$") | by_social, "social"),
        ((medium == "organic") | by_search, "search"),
        (medium.isin(["referral", "app", "link"]) | ((host != "") & ~said), "referral"),
        ((source == "sms") | (medium == "sms"), "sms"),
        (medium.re_search(r"push$|mobile|notification"), "push"),
        (said, "unassigned"),
        else_="unmarked")


def _plain(column: Any) -> Any:
    return column.fill_null("").lower().strip()


def _host(column: Any) -> Any:
    return _plain(column).re_extract(_HOST, 1).fill_null("")


def _site(text: Any, names: str) -> Any:
    """Whether a source or a host is one of these sites: its bare name, or the name under a public ending."""
    return text.re_search(f"(^|[.])({names}){_END}") | text.re_search(f"^({names})$")


def _mail(text: Any) -> Any:
    return text.re_search(r"^e[-_ ]?mail$")
