"""What this room reads: who did what when, step by step, visit by visit.

Every question is counted by the engine, over all that there is; what comes back is one row a group, a cohort or a path.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ibis
import pyarrow as pa

from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.events.schema import SERVICE
from shopkeeper.journeys.asks import Span
from shopkeeper.shop import Shop
from shopkeeper.warehouse.calendar import local
from shopkeeper.warehouse.channels import UNMARKED, channel
from shopkeeper.warehouse.engine import between, moment
from shopkeeper.warehouse.groups import View, members
from shopkeeper.warehouse.sessions import person
from shopkeeper.warehouse.sessions import sessions as cut
from shopkeeper.warehouse.shelves import of_events

Order = Literal["ordered", "any", "strict"]
Unit = Literal["day", "week", "month"]
SECONDS = 1e6  # microseconds
MONEY = 4      # decimals of money: to these, sums of floats are rounded
AWAY = ("refund", "cancel_order", "message_sent", "message_open", "mention")  # no visit to the shop


# ---- what is asked about: heads of what people did -------------------------------------------------------------------

def acts(events: Any) -> Any:
    """Expression: what people did themselves: heads of events with `who`; no guests, nothing that the service said."""
    rows = events.filter(events.line == 0, events.source.isnull() | (events.source != SERVICE))
    rows = rows.mutate(who=person(rows))
    return rows.filter(rows.who.notnull() & ~rows.who.startswith(GUEST))


def group(rows: Any, by: str | None) -> Any:
    """Expression: what a row is told apart by, as text; null where nothing is said."""
    if by is None:
        return ibis.null("string")
    return channel(rows) if by == "channel" else rows[by].cast("string")


KEPT = ("event_id", "line", "event", "ts", "customer_id", "anonymous_id", "session_id", "who")
MARKS = ("utm_source", "utm_medium", "click_id", "referrer", "url")  # what a channel is read from


def of_shop(shop: Shop, segment: str | None, *columns: str | None) -> Any:
    """Expression: `acts` of the shop, of everybody or of a segment; visitors who are known as customers under one name.

    Args:
        shop: An opened shop.
        segment: Its people only; None: everybody.
        columns: What is kept beside `KEPT`; `channel` stands for what it is read from, `category` for the top category
            of an event's item, or of its first one.

    Raises:
        MissingData, UnknownName: There is no such segment. MissingTable: No items table says what a category is.
    """
    events = shop.events()
    more = [one for name in columns if name for one in (MARKS if name == "channel" else (name,)) if one != "category"]
    rows = acts(events).select(*dict.fromkeys((*KEPT, *more)))
    if "category" in columns:
        shelved = of_events(events, shop.engine.table("items")).rename(_event="event_id")
        rows = rows.left_join(shelved, [rows.event_id == shelved._event]).drop("_event")
    if segment is None:
        return rows
    zone = (shop.config.timezone, shop.manifest.first or 0, shop.manifest.last or 0)
    people = members(shop.engine, segment, View.at(events, shop.config.roles, zone, shop.now()))
    people = people.select(_member=people.person)
    return rows.semi_join(people, [rows.who == people._member])


def within(rows: Any, span: Span) -> Any:
    """Expression: the rows in a span."""
    return between(rows, span.since, span.until)


def read_groups(shop: Shop, by: str | None) -> list[str | None]:
    """Everything that the log has in a column, in order: who asks by it sees those that hold nothing, too."""
    if by is None:
        return [None]
    rows = of_shop(shop, None, by)
    names = shop.engine.run(rows.select(name=group(rows, by)).distinct())["name"].to_pylist()
    return sorted(names, key=lambda name: (name is None, name or ""))


def first_of(rows: Any, names: Sequence[str]) -> Any:
    """Expression: the first row of each person: who and the columns named; ties go by event_id."""
    place = ibis.row_number().over(ibis.window(group_by="who", order_by=["ts", "event_id"]))
    placed = rows.select("who", *names, _place=place)
    return placed.filter(placed._place == 0).drop("_place")


# ---- funnel ----------------------------------------------------------------------------------------------------------

def reached(rows: Any, steps: Sequence[Collection[str]], seconds: int, order: Order) -> Any:
    """Expression: every way in which somebody reached a step: who, step (from 0), took (seconds), and by which event.

    Args:
        rows: `acts` with at least who, ts, event_id, event, session_id.
        steps: For each step the kinds that are it.
        seconds: The conversion window, from the first step to the step reached.
        order: As in `How.order`.
    """
    find = {"ordered": _ordered, "any": _any_order, "strict": _strict}[order]
    rank = ibis.cases(*((rows.event.isin(list(kinds)), place) for place, kinds in enumerate(steps)), else_=len(steps))
    some = rows.select("who", "ts", "event_id", "event", "session_id", rank=rank.cast("int64"))
    return find(some, [list(kinds) for kinds in steps], seconds)


_WAY = ("who", "step", "took", "ts", "event_id", "session_id")


def _took(rows: Any, begun: Any) -> Any:
    """Seconds from a beginning to the row."""
    return rows.ts.delta(begun, unit="microsecond").cast("float64") / SECONDS


def _ordered(rows: Any, steps: Sequence[list[str]], seconds: int) -> Any:
    """Each step after the one before. `begun` is the latest first step that leads to the row: it leaves most time."""
    some = rows.select("who", "ts", "event_id", "event", "rank", "session_id")
    last = some.filter(some.event.isin(steps[0]))
    last = last.mutate(begun=last.ts)
    found = [last.mutate(step=ibis.literal(0, "int64"), took=ibis.literal(0.0)).select(*_WAY)]
    for step, kinds in enumerate(steps[1:], 1):
        here = some.filter(some.event.isin(kinds)).mutate(begun=ibis.null("timestamp(6)"))
        apart = {kind for one in steps[:step] for kind in one}.isdisjoint(kinds)  # then ties in time need no names
        turn, order = (1, ["ts", "turn"]) if apart else (0, ["ts", "rank", "event_id", "turn"])
        both = last.mutate(turn=ibis.literal(1 - turn, "int64")).union(
            here.mutate(turn=ibis.literal(turn, "int64")).select(*last.columns, "turn"))  # a row leads not to itself
        before = ibis.window(group_by="who", order_by=order, preceding=(None, 1))
        both = both.mutate(latest=both.begun.max().over(before))
        both = both.filter(both.turn == turn, both.latest.notnull(),
                           both.latest + ibis.interval(seconds=seconds) >= both.ts)
        last = both.mutate(begun=both.latest).drop("latest", "turn")
        found.append(last.mutate(step=ibis.literal(step, "int64"), took=_took(last, last.begun)).select(*_WAY))
    return found[0] if len(found) == 1 else found[0].union(*found[1:])


def _any_order(rows: Any, steps: Sequence[list[str]], seconds: int) -> Any:
    """All of the first steps within the window before a row, in any order: the earliest of their latest times."""
    some = rows.filter(rows.rank < len(steps))
    upto = ibis.window(group_by="who", order_by=["ts", "rank", "event_id"], preceding=None, following=0)
    latest = {f"latest{place}": ibis.ifelse(some.event.isin(kinds), some.ts, ibis.null("timestamp(6)")).max().over(upto)
              for place, kinds in enumerate(steps)}
    some = some.mutate(**latest)
    found = []
    for step in range(len(steps)):
        seen = [some[f"latest{place}"] for place in range(step + 1)]
        begun = seen[0] if step == 0 else ibis.least(*seen)
        good = some.filter(*(one.notnull() for one in seen), begun + ibis.interval(seconds=seconds) >= some.ts)
        begun = ibis.least(*(good[f"latest{place}"] for place in range(step + 1))) if step else good.latest0
        found.append(good.mutate(step=ibis.literal(step, "int64"), took=_took(good, begun)).select(*_WAY))
    return found[0] if len(found) == 1 else found[0].union(*found[1:])


def _strict(rows: Any, steps: Sequence[list[str]], seconds: int) -> Any:
    """Each step is the very next thing that the person did."""
    order = ibis.window(group_by="who", order_by=["ts", "rank", "event_id"])
    ahead = {f"{name}{place}": rows[name].lead(place).over(order) for place in range(1, len(steps))
             for name in ("ts", "event")}
    good = rows.mutate(**ahead).filter(rows.event.isin(steps[0]))
    found = [good.mutate(step=ibis.literal(0, "int64"), took=ibis.literal(0.0)).select(*_WAY)]
    for step, kinds in enumerate(steps[1:], 1):
        there = good[f"ts{step}"]
        good = good.filter(good[f"event{step}"].isin(kinds), good.ts + ibis.interval(seconds=seconds) >= there)
        took = good[f"ts{step}"].delta(good.ts, unit="microsecond").cast("float64") / SECONDS
        found.append(good.mutate(step=ibis.literal(step, "int64"), took=took).select(*_WAY))
    return found[0] if len(found) == 1 else found[0].union(*found[1:])


def funnel(rows: Any, steps: Sequence[Collection[str]], seconds: int, order: Order, by: str | None) -> Any:
    """Expression: step, name, people, middle and slow (median and 90th percentile of the seconds each took at best).

    A person counts in the group in which their first event of the first step lies.
    """
    ways = reached(rows, steps, seconds, order)
    best = ways.group_by("who", "step").aggregate(took=ways.took.min())
    if by is None:
        best = best.mutate(name=ibis.null("string"))
    else:
        entries = rows.filter(rows.event.isin(list(steps[0])))
        entries = entries.select("who", "ts", "event_id", name=group(entries, by))
        best = best.inner_join(first_of(entries, ["name"]).rename(_who="who"), [("who", "_who")]).drop("_who")
    return best.group_by("step", "name").aggregate(
        people=best.count().cast("int64"), middle=best.took.quantile(0.5), slow=best.took.quantile(0.9))


def dropped(rows: Any, steps: Sequence[Collection[str]], seconds: int, order: Order, n: int) -> Any:
    """Expression: who went no further, the last first: step, who, ts, event_id, session_id of where they stood last."""
    ways = reached(rows, steps, seconds, order)
    place = ibis.row_number().over(ibis.window(
        group_by="who", order_by=[ibis.desc("step"), ibis.desc("ts"), ibis.desc("event_id")]))
    last = ways.mutate(_place=place)
    last = last.filter(last._place == 0, last.step < len(steps) - 1)
    return last.select("step", "who", "ts", "event_id", "session_id").order_by(
        [ibis.desc("ts"), "who"]).limit(n)


def read_funnel(shop: Shop, rows: Any, steps: Sequence[Collection[str]], seconds: int, order: Order,
                by: str | None) -> pa.Table:
    """The table of `funnel`."""
    return shop.engine.run(funnel(rows, steps, seconds, order, by))


def read_dropped(shop: Shop, found: Any) -> pa.Table:
    """The table of `dropped`, each with the name of its session, given or derived."""
    table = shop.engine.run(found)
    if table["session_id"].null_count == 0:
        return table
    some = acts(shop.events())
    whom = ibis.memtable(pa.table({"_whom": table["who"].unique()}))
    mine = some.semi_join(whom, [some.who == whom._whom])
    mine = cut(mine.filter(mine.session_id.isnull()), shop.config.gap_minutes)
    wanted = ibis.memtable(pa.table({"_event": table["event_id"]}))
    mine = mine.semi_join(wanted, [mine.event_id == wanted._event]).select("event_id", "session")
    named = dict(zip(*(shop.engine.run(mine)[name].to_pylist() for name in ("event_id", "session")), strict=True))
    sessions = pa.array([given or named[event] for given, event in zip(
        table["session_id"].to_pylist(), table["event_id"].to_pylist(), strict=True)], pa.string())
    return table.set_column(table.schema.get_field_index("session_id"), "session_id", sessions)


# ---- retention -------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Calendar:
    """How units of time are numbered: length, zone, and the span of the data (microseconds UTC)."""

    unit: Unit
    zone: str
    first: int
    last: int

    def number(self, ts: Any) -> Any:
        """Expression: the day, week (from Monday) or month of a time, counted from 1970, by the wall clock."""
        clock = local(ts, self.zone, self.first, self.last)
        if self.unit == "month":
            return (clock.year().cast("int64") * 12 + clock.month().cast("int64") - 1 - 1970 * 12).cast("int64")
        days = (clock.epoch_seconds().cast("int64") // 86_400).cast("int64")
        return days if self.unit == "day" else ((days + 3) // 7).cast("int64")  # 1970-01-01 was a Thursday


def calendar(shop: Shop, unit: Unit) -> Calendar:
    """The shop's numbering."""
    return Calendar(unit, shop.config.timezone, shop.manifest.first or 0, shop.manifest.last or 0)


def begun(rows: Any, start: Collection[str], numbered: Calendar, by: str | None) -> Any:
    """Expression: one row a person who ever started: who, ts (the first time), cohort, name."""
    some = rows.filter(rows.event.isin(list(start)))
    if by is None:
        found = some.group_by("who").aggregate(ts=some.ts.min()).mutate(name=ibis.null("string"))
    else:
        found = first_of(some.select("who", "ts", "event_id", name=group(some, by)), ["ts", "name"])
    return found.mutate(cohort=numbered.number(found.ts))


def retention(rows: Any, start: Collection[str], back: Collection[str], numbered: Calendar, *,
              span: Span, by: str | None, brackets: Sequence[tuple[int, int]] = ()) -> Any:
    """Expression: what, name, cohort, unit, people.

    `what` is `size` (who started), `on` (who came back in that unit or bracket after the first, at least once) or
    `last` (for whom that unit was the last one in which they came back).

    Args:
        rows: `acts` of the whole log.
        start: Kinds that make a cohort: the first such event of a person.
        back: Kinds that are a return: any such event later than the first start.
        numbered: How units are numbered.
        span: Which cohorts, by their start.
        by: What to tell apart.
        brackets: (first, last) units that count together; each by itself where there are none.
    """
    starts = within(begun(rows, start, numbered, by), span)
    some = rows.filter(rows.event.isin(list(back)))
    some = some.select("who", "ts", place=numbered.number(some.ts))
    units = some.group_by("who", "place").aggregate(latest=some.ts.max())
    both = units.inner_join(starts.select("cohort", "name", _who=starts.who, _start=starts.ts), [("who", "_who")])
    both = both.filter(both.latest > both._start)
    both = both.mutate(unit=(both.place - both.cohort).cast("int64"))
    size = starts.group_by("name", "cohort").aggregate(people=starts.count().cast("int64"))
    size = size.mutate(what=ibis.literal("size"), unit=ibis.literal(0, "int64"))
    last = both.group_by("who", "name", "cohort").aggregate(unit=both.unit.max())
    last = last.group_by("name", "cohort", "unit").aggregate(people=last.count().cast("int64"))
    on = _bracketed(both, brackets)
    names = ("what", "name", "cohort", "unit", "people")
    return size.select(*names).union(on.mutate(what=ibis.literal("on")).select(*names),
                                     last.mutate(what=ibis.literal("last")).select(*names))


def _bracketed(both: Any, brackets: Sequence[tuple[int, int]]) -> Any:
    """Expression: name, cohort, unit (the first of its bracket), people who came back in it at least once."""
    if brackets:
        low = ibis.cases(*(((both.unit >= first) & (both.unit <= last), first) for first, last in brackets), else_=-1)
        both = both.mutate(unit=low.cast("int64"))
        both = both.filter(both.unit >= 0).select("who", "name", "cohort", "unit").distinct()
    return both.group_by("name", "cohort", "unit").aggregate(people=both.count().cast("int64"))


def read_retention(shop: Shop, rows: Any, kinds: Sequence[Collection[str]], unit: Unit,
                   which: tuple[Span, str | None, Sequence[tuple[int, int]]]) -> list[dict[str, Any]]:
    """The rows of `retention`: which kinds start and come back; which span, column and brackets."""
    span, by, brackets = which
    found = retention(rows, kinds[0], kinds[1], calendar(shop, unit), span=span, by=by, brackets=brackets)
    rows_found: list[dict[str, Any]] = shop.engine.run(found).to_pylist()
    return rows_found


# ---- visits: paths, sessions, searches -------------------------------------------------------------------------------

def visited(rows: Any, gap_minutes: int) -> Any:
    """Expression: what people did on visits, with `session`: the given one; what has none is cut by its own silence."""
    rows = rows.filter(~rows.event.isin(list(AWAY)))
    given, lone = rows.filter(rows.session_id.notnull()), cut(rows.filter(rows.session_id.isnull()), gap_minutes)
    return given.mutate(session=given.session_id).union(lone.select(*given.columns, "session"))


def beginning(visits: Any, span: Span) -> Any:
    """Expression: the rows of visits that begin in a span, what lies after its end left out."""
    rows = between(visits, None, span.until)
    if span.since is None:
        return rows
    each = rows.group_by("session").aggregate(_begun=rows.ts.min())
    return rows.semi_join(between(each.rename(ts="_begun"), span.since, None).select("session"), "session")


def of_visits(shop: Shop, rows: Any, span: Span) -> Any:
    """Expression: the rows of visits that begin in a span, with `session`."""
    return beginning(visited(rows, shop.config.gap_minutes), span)


def first_of_visit(visits: Any, **columns: Any) -> Any:
    """Expression: session, and columns as they stood at its first event; ties go by event_id."""
    place = ibis.row_number().over(ibis.window(group_by="session", order_by=["ts", "event_id"]))
    rows = visits.select("session", "ts", "event_id", **columns).mutate(_place=place)
    return rows.filter(rows._place == 0).drop("_place", "ts", "event_id")


def visit_groups(visits: Any, by: str) -> Any:
    """Expression: session, name: the column at a visit's first event; its channel is that of the first marked one."""
    if by != "channel":
        return first_of_visit(visits, name=group(visits, by))
    rows = visits.select("session", "ts", "event_id", name=channel(visits))
    marked = first_of_visit(rows.filter(rows.name != UNMARKED), name=ibis._.name)
    every = visits.select("session").distinct()
    found = every.left_join(marked, "session")
    return found.select("session", name=found.name.fill_null(UNMARKED))


def moves(visits: Any, of: str) -> Any:
    """Expression: session, ts, event_id, here: what a visit went through; a repeat of the same thing is one."""
    rows = visits.select("session", "ts", "event_id", here=visits[of].cast("string"))
    rows = rows.filter(rows.here.notnull())
    before = rows.here.lag().over(ibis.window(group_by="session", order_by=["ts", "event_id"]))
    rows = rows.mutate(_before=before)
    return rows.filter(rows._before.isnull() | (rows._before != rows.here)).drop("_before")


def paths(visits: Any, of: str, anchors: Sequence[str], depth: int, *, forward: bool, by: str | None) -> Any:
    """Expression: what, name, step0 ... step<depth>, visits.

    `what` is `path` (from the first of the anchors in a visit on, or backwards from it; null: the visit ends, or began)
    or `move` (step0 and what comes next to it anywhere in a visit).
    """
    rows = moves(visits, of)
    along = ibis.window(group_by="session", order_by=["ts", "event_id"])
    upto = ibis.window(group_by="session", order_by=["ts", "event_id"], preceding=None, following=0)
    there = rows.here.isin(list(anchors))
    nexts = {f"step{place}": (rows.here.lead(place) if forward else rows.here.lag(place)).over(along)
             for place in range(1, depth + 1)}
    rows = rows.mutate(hits=there.cast("int64").sum().over(upto), **nexts)
    steps = [f"step{place}" for place in range(depth + 1)]
    rows = rows.select("session", "hits", step0=rows.here, **{name: rows[name] for name in steps[1:]})
    first = rows.filter(rows.step0.isin(list(anchors)), rows.hits == 1)
    if by is None:
        first = first.mutate(name=ibis.null("string"))
    else:
        first = first.inner_join(visit_groups(visits, by), "session")
    found = first.group_by("name", *steps).aggregate(visits=first.count().cast("int64"))
    every = rows.group_by("step0", "step1").aggregate(visits=rows.count().cast("int64"))
    blank = {name: ibis.null("string") for name in ("name", *steps[2:])}
    names = ("what", "name", *steps, "visits")
    return found.mutate(what=ibis.literal("path")).select(*names).union(
        every.mutate(what=ibis.literal("move"), **blank).select(*names))


def each_visit(visits: Any, conversions: Collection[str], by: str | None) -> Any:
    """Expression: a row a visit: who, begun, seconds, events, converted, entrance, page, device, channel, name.

    `page` is the address without what follows ? or #.
    """
    told = visits.group_by("session").aggregate(
        who=visits.who.max(), begun=visits.ts.min(), ended=visits.ts.max(), events=visits.count().cast("int64"),
        converted=visits.event.isin(list(conversions)).cast("int64").max())
    told = told.mutate(seconds=told.ended.delta(told.begun, unit="microsecond").cast("float64") / SECONDS)
    first = first_of_visit(visits, entrance=visits.event, page=visits.url.split("?")[0].split("#")[0],
                           device=visits.device, name=group(visits, None if by == "channel" else by))
    brought = visit_groups(visits, "channel").rename(channel="name")
    found = told.inner_join(first, "session").inner_join(brought, "session")
    return found.mutate(name=found.channel) if by == "channel" else found


LENGTHS = ((0, 1, "0"), (1, 10, "1-9"), (10, 60, "10-59"), (60, 180, "60-179"), (180, 600, "180-599"),
           (600, 1800, "600-1799"), (1800, None, "1800-"))  # seconds of a visit: from, below, name


def session_counts(each: Any) -> Any:
    """Expression: what, name, value, visits, people, bounces, conversions, events, middle and slow (seconds).

    `what` is `totals` (by name) or a part: entrances, pages, devices, channels, lengths (by value).
    """
    length = ibis.cases(*((each.seconds < float(below), name) for _, below, name in LENGTHS if below is not None),
                        else_=LENGTHS[-1][2])
    columns = {"totals": None, "entrances": each.entrance, "pages": each.page, "devices": each.device,
               "channels": each.channel, "lengths": length}
    found = []
    for what, column in columns.items():
        rows, key = (each, "name") if column is None else (each.mutate(value=column), "value")
        sums = rows.group_by(key).aggregate(
            visits=rows.count().cast("int64"), bounces=(rows.events == 1).cast("int64").sum().cast("int64"),
            conversions=rows.converted.sum().cast("int64"), events=rows.events.sum().cast("int64"),
            **({"people": rows.who.nunique().cast("int64"), "middle": rows.seconds.quantile(0.5),
                "slow": rows.seconds.quantile(0.9)} if column is None else {}))
        found.append(_padded(sums, what, {"name": "string", "value": "string", "people": "int64", "middle": "float64",
                                          "slow": "float64"}))
    return found[0].union(*found[1:])


def _padded(sums: Any, what: str, types: dict[str, str]) -> Any:
    """The sums with `what` and nulls for columns that they lack, in one order."""
    lacking = {name: ibis.null(kind) for name, kind in types.items() if name not in sums.columns}
    whole = sums.mutate(what=ibis.literal(what), **lacking)
    return whole.select(*sorted(whole.columns))


SEARCHED = ("query", "results", "request_id", "position", "value")


def searched(visits: Any, conversions: Collection[str], by: str | None) -> Any:
    """Expression: one row a search: who, name, query, results, clicks, ranks, ranked, following, orders, revenue.

    Clicks and orders belong to the last search before them in the visit; a click that names another request does not.
    """
    rows = visits.filter(visits.event.isin(["search", "select_item", *conversions]))
    rows = rows.select("session", "ts", "event_id", "event", "who", "results", "request_id", "position", "value",
                       name=group(rows, by), query=rows.query.lower().strip())
    rows = rows.filter((rows.event != "search") | (rows.query.notnull() & (rows.query != "")))
    order = ["ts", "event_id"]
    upto = ibis.window(group_by="session", order_by=order, preceding=None, following=0)
    rows = rows.mutate(place=(rows.event == "search").cast("int64").sum().over(upto).cast("int64"))
    rows = rows.filter(rows.place > 0)
    found = rows.filter(rows.event == "search").select(
        "session", "place", "who", "name", "query", "results", asked=ibis._.request_id)
    found = found.mutate(following=found.query.lead().over(ibis.window(group_by="session", order_by="place")))
    clicks = rows.filter(rows.event == "select_item").select("session", "place", "request_id", "position")
    clicks = clicks.inner_join(found.select("session", "place", "asked"), ["session", "place"])
    clicks = clicks.filter(clicks.asked.isnull() | clicks.request_id.isnull() | (clicks.asked == clicks.request_id))
    clicks = clicks.group_by("session", "place").aggregate(
        clicks=clicks.count().cast("int64"), ranks=clicks.position.sum().cast("int64"),
        ranked=clicks.position.count().cast("int64"))
    bought = rows.filter(rows.event.isin(list(conversions)))
    bought = bought.group_by("session", "place").aggregate(orders=bought.count().cast("int64"),
                                                           revenue=bought.value.sum())
    for more in (clicks, bought):
        found = found.left_join(more, ["session", "place"]).drop("session_right", "place_right")
    zero = {name: found[name].fill_null(0) for name in ("clicks", "ranks", "ranked", "orders")}
    return found.mutate(revenue=found.revenue.cast("float64").fill_null(0.0), **zero)


def search_sums(found: Any, *keys: str) -> Any:
    """Expression: searches by some columns: people, nothing (no results), known (that say how many), and so on."""
    refined = found.following.notnull() & (found.following != found.query) & (found.clicks == 0)
    return found.group_by(*keys).aggregate(
        searches=found.count().cast("int64"), people=found.who.nunique().cast("int64"),
        nothing=(found.results == 0).cast("int64").sum().fill_null(0).cast("int64"),
        known=found.results.count().cast("int64"), clicked=(found.clicks > 0).cast("int64").sum().cast("int64"),
        ranks=found.ranks.sum().cast("int64"), ranked=found.ranked.sum().cast("int64"),
        refined=refined.cast("int64").sum().cast("int64"), orders=found.orders.sum().cast("int64"),
        revenue=found.revenue.sum().round(MONEY))


def search_counts(found: Any, n: int) -> Any:
    """Expression: what, name, query, following, and the columns of `search_sums`.

    `what` is `totals` (by name), `queries` or `nothing` (the n most frequent of each name, the latter of those that
    found nothing) or `refinements` (the n most frequent pairs of query and following).
    """
    sums = search_sums(found, "name", "query")
    parts = {"totals": search_sums(found, "name"),
             "queries": largest(sums, "name", n, of="searches", ties="query"),
             "nothing": largest(sums.filter(sums.nothing > 0), "name", n, of="nothing", ties="query"),
             "refinements": refinements(found, n)}
    types = {"name": "string", "query": "string", "following": "string", "revenue": "float64",
             **dict.fromkeys("people nothing known clicked ranks ranked refined orders".split(), "int64")}
    padded = [_padded(part, what, types) for what, part in parts.items()]
    return padded[0].union(*padded[1:])


def largest(found: Any, by: str, n: int, *, of: str, ties: str) -> Any:
    """Expression: the n rows of each group with the most of a column; ties go by another."""
    place = ibis.row_number().over(ibis.window(group_by=by, order_by=[ibis.desc(of), ties]))
    placed = found.mutate(_place=place)
    return placed.filter(placed._place < n).drop("_place")


def refinements(found: Any, n: int) -> Any:
    """Expression: query, following, searches: what was searched next where nothing had been clicked."""
    rows = found.filter(found.following.notnull(), found.following != found.query, found.clicks == 0)
    sums = rows.group_by("query", "following").aggregate(searches=rows.count().cast("int64"))
    return sums.order_by([ibis.desc("searches"), "query", "following"]).limit(n)


# ---- attribution and comparison --------------------------------------------------------------------------------------

def touches(visits: Any, rows: Any, conversions: Collection[str], by: str, seconds: int, since: int | None) -> Any:
    """Expression: who, turn (which conversion of theirs it led to, or would), ts, key, name, converted, value.

    A touch is the begin of a visit. It leads to the next conversion of that person, if that comes within the window;
    touches after the last conversion lead to none, and count if they lie within the window before the last of them.

    Args:
        visits: Rows of visits, with `session`.
        rows: `acts` in which the conversions lie.
        conversions: Their kinds.
        by: What a touch is told apart by.
        seconds: The window.
        since: Only what ends then or later (microseconds UTC): the conversion, or else the last touch.
    """
    begun = visits.group_by("session").aggregate(who=visits.who.max(), ts=visits.ts.min())
    begun = begun.inner_join(visit_groups(visits, by), "session")
    touch = begun.select("who", "ts", key=begun.session, name=begun.name, sale=ibis.literal(0, "int64"),
                         value=ibis.literal(0.0))
    sold = rows.filter(rows.event.isin(list(conversions)))
    sale = sold.select("who", "ts", key=sold.event_id, name=ibis.null("string"), sale=ibis.literal(1, "int64"),
                       value=sold.value.cast("float64").fill_null(0.0))
    both = touch.union(sale)
    order = ["ts", "sale", "key"]
    before = ibis.window(group_by="who", order_by=order, preceding=(None, 1))
    both = both.mutate(turn=both.sale.sum().over(before).fill_null(0).cast("int64"))
    ends = both.filter(both.sale == 1).select("who", "turn", _end=ibis._.ts, worth=ibis._.value)
    found = both.filter(both.sale == 0).left_join(ends, ["who", "turn"])
    found = found.select("who", "turn", "ts", "key", "name", "_end", "worth")
    last = found.ts.max().over(ibis.window(group_by=["who", "turn"]))
    found = found.mutate(_until=ibis.coalesce(found._end, last))
    found = found.filter(found.ts + ibis.interval(seconds=seconds) >= found._until)
    if since is not None:
        found = found.filter(found._until >= moment(since))
    return found.select("who", "turn", "ts", "key", "name", converted=found._end.notnull(),
                        value=found.worth.fill_null(0.0))


def sales(rows: Any, conversions: Collection[str]) -> Any:
    """Expression: one row: conversions, and what they are worth."""
    sold = rows.filter(rows.event.isin(list(conversions)))
    return sold.aggregate(conversions=sold.count().cast("int64"),
                          value=sold.value.cast("float64").sum().fill_null(0.0).round(MONEY))


def totals(rows: Any, kinds: Collection[str], columns: Sequence[str], spans: tuple[Span, Span]) -> Any:
    """Expression: by, name, later (1 or 0), events, people, value: some kinds in two periods, by some columns."""
    some = rows.filter(rows.event.isin(list(kinds)))
    parts = [within(some, span).mutate(later=ibis.literal(later, "int64")) for later, span in ((1, spans[0]),
                                                                                              (0, spans[1]))]
    both, found = parts[0].union(parts[1]), []
    for by in columns:
        each = both.select("later", "who", name=group(both, by), value=both.value.cast("float64").fill_null(0.0))
        found.append(each.group_by("later", "name").aggregate(
            events=each.count().cast("int64"), people=each.who.nunique().cast("int64"),
            value=each.value.sum().round(MONEY)).mutate(by=ibis.literal(by)))
    return found[0] if len(found) == 1 else found[0].union(*found[1:])


def read_touches(shop: Shop, rows: Any, span: Span, conversions: Collection[str], by: str,
                 seconds: int) -> tuple[pa.Table, int, float]:
    """The table of `touches` that end in a span, by a conversion or a last touch; its conversions, their value."""
    begin = None if span.since is None else span.since - int(seconds * SECONDS)
    reach = Span(begin, span.until)
    visits = of_visits(shop, rows, reach)
    found = shop.engine.run(touches(visits, within(rows, reach), conversions, by, seconds, span.since))
    found = found.sort_by([(name, "ascending") for name in ("who", "turn", "ts", "key")])  # floats add up alike
    sold = shop.engine.run(sales(within(rows, span), conversions)).to_pylist()[0]
    return found, sold["conversions"], sold["value"]
