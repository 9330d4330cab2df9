"""What this room reads: what each visitor did and how it paused, clicks and arrivals, reviews and who wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.events.schema import SERVICE
from shopkeeper.shop import Shop
from shopkeeper.traffic.methods import Visitors
from shopkeeper.warehouse.sessions import person
from shopkeeper.warehouse.traffic import AGENT, FACTS, KNOWN, counted, labelled

DAY = 86_400_000_000                       # microseconds
LOOKS = ("page_view", "view_item")         # one of them a page: what pauses are measured between
WANTS = ("search", "sign_up", "login", "add_to_wishlist", "remove_from_cart", "coupon_apply", "view_cart")
LONGEST, SHORTEST = 1_800.0, 0.05          # seconds of a pause: more is a new visit, less is one page


def acts(events: Any) -> Any:
    """Expression: what people and machines did themselves: heads of events, with `who`; no guests, nothing of ours.

    What a label at the entrance calls a bot's or an agent's is known for what it is and is not judged.
    """
    open_ = counted(events) & (events.traffic.isnull() | (events.traffic != AGENT))
    rows = events.filter(events.line == 0, events.source.isnull() | (events.source != SERVICE), open_)
    who = person(rows)
    return rows.filter(who.notnull() & ~who.startswith(GUEST)).mutate(who=who, day=rows.ts.truncate("D"))


def paused(events: Any) -> Any:
    """Expression: pauses between looks by person and day: who, day, pauses, quick, total, squares (seconds), seen."""
    rows = acts(events)
    rows = rows.filter(rows.event.isin(LOOKS)).select("who", "day", "ts", "event_id", "item_id")
    before = rows.ts.lag().over(ibis.window(group_by=["who", "day"], order_by=["ts", "event_id"]))
    rows = rows.mutate(gap=rows.ts.delta(before, unit="microsecond").cast("float64") / 1e6)
    real = (rows.gap >= SHORTEST) & (rows.gap <= LONGEST)
    rows = rows.mutate(gap=ibis.ifelse(real, rows.gap, ibis.null("float64")))
    return rows.group_by(["who", "day"]).aggregate(
        pauses=rows.gap.count().cast("int64"), quick=(rows.gap < 1.0).cast("int64").sum().fill_null(0).cast("int64"),
        total=rows.gap.sum().fill_null(0.0), squares=(rows.gap * rows.gap).sum().fill_null(0.0),
        seen=rows.item_id.nunique().cast("int64"))


def visitors(events: Any, roles: Mapping[str, str]) -> Any:
    """Expression: one row a person, with everything that the methods look at."""
    wants = [kind for kind, role in roles.items() if role == "intent"]
    done = [kind for kind, role in roles.items() if role in ("conversion", "feedback")]
    rows = acts(events)
    told = rows.group_by("who").aggregate(
        events=rows.count().cast("int64"),
        driven=(rows.bot_reason == "driven").cast("int64").sum().fill_null(0).cast("int64"),
        silent=ibis.ifelse(rows.user_agent.nullif("").count() == 0,
                           (rows.bot_reason == "no_agent").cast("int64").sum().fill_null(0), 0).cast("int64"),
        intent=rows.event.isin([*wants, *WANTS]).cast("int64").sum().cast("int64"),
        bought=rows.event.isin(done).cast("int64").sum().cast("int64"),
        named=(rows.utm_source.notnull() | rows.referrer.notnull() | rows.click_id.notnull() |
               rows.campaign_id.notnull()).cast("int64").max(),
        agent=rows.user_agent.min(), country=rows.country.min(), device=rows.device.min(),
        first=rows.ts.min(), last=rows.ts.max())
    days = paused(events)
    days = days.mutate(within=ibis.ifelse(days.pauses > 0, days.squares - days.total * days.total / days.pauses, 0.0))
    each = days.group_by("who").aggregate(
        pauses=days.pauses.sum().cast("int64"), quick=days.quick.sum().cast("int64"), total=days.total.sum(),
        within=days.within.sum(), most_items=days.seen.max())
    return told.left_join(each.rename(looker="who"), [("who", "looker")]).drop("looker")


def watched(table: Any) -> Any:
    """Expression: those of `visitors` on whom there may be something to say: few events, many pauses, suspicions."""
    return table.filter((table.events <= 2) | (table.pauses >= 10) |
                        (table.driven + table.silent > 0))


def catalogue(events: Any) -> Any:
    """Expression: how many different items anybody looks at: n."""
    rows = acts(events)
    return rows.filter(rows.event == "view_item").aggregate(n=rows.item_id.nunique().cast("int64"))


@dataclass(frozen=True)
class Seen:
    """Visitors of a span, by name.

    Attributes:
        names: (n,) pseudonyms, Arrow, ascending.
        who: (n,) what they did.
    """

    names: Any
    who: Visitors


def read_visitors(shop: Shop, start: int | None) -> Seen:
    """What each visitor did from a time on (microseconds UTC; None: from the beginning)."""
    events = shop.engine.events(start, shop.until)
    table = shop.engine.run(watched(visitors(events, shop.config.roles)).order_by("who"))
    items = int(shop.engine.run(catalogue(events))["n"][0].as_py() or 0)
    kind = pa.table({name: table[name] for name in ("agent", "country", "device")})
    return Seen(table["who"].combine_chunks(), Visitors(
        **{name: _ints(table, name) for name in ("events", "driven", "silent", "intent", "bought", "pauses",
                                                 "quick", "most_items", "first", "last")},
        mean=_floats(table, "total") / np.maximum(_ints(table, "pauses"), 1),
        spread=np.sqrt(np.maximum(_floats(table, "within"), 0.0) / np.maximum(_ints(table, "pauses"), 1)),
        named=_ints(table, "named") > 0, cell=_numbered(kind), items=items))


def _ints(table: pa.Table, name: str) -> Any:
    return table[name].cast(pa.int64()).fill_null(0).to_numpy()


def _floats(table: pa.Table, name: str) -> Any:
    return table[name].cast(pa.float64()).fill_null(0.0).to_numpy()


def _numbered(table: pa.Table) -> Any:
    """(n,) a number for each different row."""
    out = np.zeros(table.num_rows, np.int64)
    for name in table.column_names:
        coded = table[name].combine_chunks().dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
        out = np.unique(out * (len(coded.dictionary) + 1) + codes, return_inverse=True)[1]
    return out.astype(np.int64)


def shares(events: Any, facts: Any | None) -> Any:
    """Expression: label, reason, people, events, score: what `labelled` sees; null is human."""
    rows = events.filter(events.line == 0)
    rows = rows.select(who=person(rows), own=rows.traffic, why=rows.bot_reason)
    if facts is None:
        rows = rows.mutate(label=rows.own, reason=rows.why)
    else:
        rows = rows.left_join(facts.select(known=facts.person, by=facts.label, cause=facts.reason), [("who", "known")])
        plain = rows.own.isnull() | (~rows.own.isin(KNOWN) & (rows.by == "bot"))
        rows = rows.mutate(label=ibis.ifelse(plain, rows.by, rows.own), reason=ibis.ifelse(plain, rows.cause, rows.why))
    rows = rows.mutate(label=rows.label.fill_null("human"), reason=rows.reason.fill_null(""))
    found = rows.group_by(["label", "reason"]).aggregate(events=rows.count().cast("int64"),
                                                         people=rows.who.nunique().cast("int64"))
    return found.order_by([found.events.desc(), found.label, found.reason])


def by_agent(events: Any, label: str) -> Any:
    """Expression: people of a label by protocol: person, score, reason, events, since, until."""
    rows = events.filter(events.line == 0, events.traffic == label)
    rows = rows.mutate(person=person(rows))
    rows = rows.filter(rows.person.notnull())
    return rows.group_by("person").aggregate(score=rows.bot_score.max(), reason=rows.bot_reason.min(),
                                             events=rows.count().cast("int64"), since=rows.ts.min(),
                                             until=rows.ts.max())


def clicks(events: Any) -> Any:
    """Expression: every click id once: click_id, campaign, source, first, people, hits, arrived, clicked, bot."""
    rows = events.filter(events.line == 0, events.click_id.notnull())
    rows = rows.mutate(who=person(rows), ad=(rows.event == "ad_click").cast("int64"),
                       bot=rows.traffic.isin(["bot"]).cast("int64"))
    return rows.group_by("click_id").aggregate(
        campaign=ibis.coalesce(rows.campaign_id, rows.utm_campaign).min(), source=rows.utm_source.min(),
        people=rows.who.nunique().cast("int64"), days=rows.ts.truncate("D").nunique().cast("int64"),
        clicked=rows.ad.sum().cast("int64"), arrived=(1 - rows.ad).sum().cast("int64"),
        bot=rows.bot.fill_null(0).max().cast("int64"))


def campaigns(events: Any) -> Any:
    """Expression: campaign, source, clicks, reused, no_arrival, bots, invalid: counts of click ids."""
    rows = clicks(events)
    reused, lost = (rows.people > 1).cast("int64"), ((rows.clicked > 0) & (rows.arrived == 0)).cast("int64")
    rows = rows.mutate(campaign=rows.campaign.fill_null(""), source=rows.source.fill_null(""), reused=reused, lost=lost)
    invalid = ((rows.reused + rows.lost + rows.bot) > 0).cast("int64")
    found = rows.group_by(["campaign", "source"]).aggregate(
        clicks=rows.count().cast("int64"), reused=rows.reused.sum().cast("int64"),
        no_arrival=rows.lost.sum().cast("int64"), bots=rows.bot.sum().cast("int64"),
        invalid=invalid.sum().cast("int64"))
    return found.order_by([found.invalid.desc(), found.clicks.desc(), found.campaign, found.source])


def reviewed(events: Any) -> Any:
    """Expression: every review, by time: event_id, ts, item_id, person, rating, text."""
    rows = events.filter(events.event == "review", events.line == 0)
    return rows.select("event_id", "ts", "item_id", "rating", "text", person=person(rows)).order_by(["ts", "event_id"])


def reviewers(events: Any) -> Any:
    """Expression: who wrote reviews, and what else they did: person, reviews, others, items."""
    rows = events.filter(events.line == 0)
    rows = rows.mutate(person=person(rows), review=(rows.event == "review").cast("int64"))
    found = rows.filter(rows.person.notnull()).group_by("person").aggregate(
        reviews=rows.review.sum().cast("int64"), others=(1 - rows.review).sum().cast("int64"),
        items=rows.item_id.nunique().cast("int64"))
    return found.filter(found.reviews > 0)


def facts(shop: Shop) -> Any | None:
    """The table of labels by behaviour; None where nobody was ever labelled."""
    return shop.engine.table(FACTS) if shop.engine.has(FACTS) else None


def read_shares(shop: Shop) -> pa.Table:
    """The table of `shares`, over all traffic."""
    return shop.engine.run(shares(shop.engine.events(None, shop.until), facts(shop)))


def read_by_agent(shop: Shop, label: str) -> pa.Table:
    """The table of `by_agent`."""
    return shop.engine.run(by_agent(shop.engine.events(None, shop.until), label))


def read_facts(shop: Shop) -> pa.Table | None:
    """The labels by behaviour, as they are; None where there are none."""
    table = facts(shop)
    return None if table is None else shop.engine.run(table.order_by("person"))


def read_campaigns(shop: Shop, since: int) -> pa.Table:
    """The table of `campaigns`, from a time on, over all traffic."""
    return shop.engine.run(campaigns(labelled(shop.engine, shop.engine.events(since, shop.until))))


def read_reviews(shop: Shop) -> tuple[pa.Table, pa.Table]:
    """The tables of `reviewed` and `reviewers`, over all traffic."""
    events = shop.engine.events(None, shop.until)
    return shop.engine.run(reviewed(events)), shop.engine.run(reviewers(events).order_by("person"))


def begin(shop: Shop, within: int) -> int:
    """So many days before the shop's clock, microseconds UTC."""
    return max(shop.now() - within * DAY, 0)


