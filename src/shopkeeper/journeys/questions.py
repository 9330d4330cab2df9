"""The questions of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import question
from shopkeeper.errors import BadInput, MixedCurrencies
from shopkeeper.evidence import ExactCount
from shopkeeper.evidence.proportions import wilson
from shopkeeper.journeys import answers, asks, credits, differences, flows, inputs, triangle
from shopkeeper.journeys.answers import Attribution, Compared, Funnel, Paths, Retention, Searches, Sessions
from shopkeeper.journeys.asks import Cohorts, How, Period, Span, Two, Walk
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

STEPS = ("view_item", "add_to_cart", "purchase")
MOST_STEPS = 12
FIRST = "page_view"
COMPARED = ("channel", "device", "country", "utm_campaign", "coupon", "list_id", "source")
HOW, COHORTS, WALK, EVER, TWO = How(), Cohorts(), Walk(), Period(), Two()


@question
def funnel(shop: Shop, steps: tuple[str, ...] = STEPS, *, within: float = 7.0, by: str | None = None,
           segment: str | None = None, how: How = HOW) -> Funnel:
    """Count how many people get from step to step, how long it takes, and where they stop.

    Args:
        shop: An opened shop; only read.
        steps: Kinds of event, or roles, in order; several joined by | are one step.
        within: Days from the first step within which a step counts.
        by: Column of the event table to tell people apart by, as it stood at their first step.
        segment: Only people of this segment.
        how: How the steps are counted, and in which period.

    Returns:
        A row for each group and step, with its denominators. Part `dropped`: visits that went no further.

    Raises:
        UnknownName: A kind, column or segment that is not there. BadInput: The steps or the period make no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.

    >>> answer = funnel(Shop.simulated(customers=40, items=20, days=20), ["view_item", "purchase"])
    >>> answer.table["people"].to_pylist() == sorted(answer.table["people"].to_pylist(), reverse=True)
    True
    """
    asks.by(by)
    wanted, seconds = _steps(shop, steps, how), asks.within(within)
    rows, groups, span = inputs.of_shop(shop, segment, by), inputs.read_groups(shop, by), _span(shop, how)
    spans = _spans(span, how.before)
    found = {name: _funnelled(inputs.read_funnel(shop, inputs.within(rows, one), wanted, seconds, how.order, by),
                              steps, groups) for name, one in spans.items()}
    ways = inputs.dropped(inputs.within(rows, span), wanted, seconds, how.order, how.n)
    first, last = (sum(row["people"] for row in found[""] if row["step"] == step) for step in (1, len(steps)))
    return Funnel(title=say("{last:,} of {first:,} people went all {n} steps", last=last, first=first, n=len(steps)),
                  table=answers.table(found[""], answers.FUNNEL), method="exact count", by=by or "",
                  evidence=ExactCount(say("people who did the first step"), first),
                  parts={"dropped": _dropped(inputs.read_dropped(shop, ways)),
                         **_befores(found, answers.FUNNEL)},
                  notes=(_order(how.order), say("a step counts within {days:g} days of the first and in the same "
                                                "period; who came late in it has had less time.", days=within)),
                  asked={"question": "journeys.funnel", "steps": steps, "within": within, "by": by, "segment": segment,
                         "how": how})


def _steps(shop: Shop, steps: Sequence[str], how: How) -> list[tuple[str, ...]]:
    if not 1 <= len(steps) <= MOST_STEPS:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name="steps",
                           value=len(steps), low=1, high=MOST_STEPS),
                       do=[say("{example}", example="--steps view_item add_to_cart purchase")])
    asks.at_least_one(how.n)
    wanted = [asks.kinds(shop, step) for step in steps]
    if how.order == "any" and len({kind for kinds in wanted for kind in kinds}) < sum(map(len, wanted)):
        raise BadInput(say("a kind of event stands in two steps, and in any order they cannot be told apart."),
                       do=[say("--order ordered")], why=say("one event would count as two steps."))
    return wanted


def _span(shop: Shop, period: asks.Period) -> Span:
    asks.something(shop.manifest.events)
    return period.span(shop.now())


def _spans(span: Span, before: bool) -> dict[str, Span]:
    """The span under no name, and the one before it, where it is asked for, under the name of its part."""
    return {"": span, **({"before": span.earlier()} if before else {})}


def _befores(found: Mapping[str, list[dict[str, Any]]], schema: pa.Schema) -> dict[str, pa.Table]:
    """The part of the period before, where it was asked for."""
    return {name: answers.table(rows, schema) for name, rows in found.items() if name}


def _order(order: str) -> Sentence:
    return {"ordered": say("ordered: each step after the one before, whatever lies between."),
            "any": say("in any order: all steps up to this one within the window."),
            "strict": say("strict: each step is the very next thing that the person did.")}[order]


def _funnelled(found: pa.Table, steps: Sequence[str], groups: Sequence[str | None]) -> list[dict[str, Any]]:
    """Counts by step and group as rows with their denominators, the largest group first."""
    have = {(row["name"], row["step"]): row for row in found.to_pylist()}
    people = {name: [have.get((name, step), {}).get("people", 0) for step in range(len(steps))] for name in groups}
    rows: list[dict[str, Any]] = []
    for name in sorted(groups, key=lambda name: (-people[name][0], name is None, name or "")):
        some = people[name]
        for step, event in enumerate(steps):
            of, here = some[max(step - 1, 0)], have.get((name, step), {})
            rows.append({"name": name, "step": step + 1, "event": event, "people": some[step], "of": of,
                         "rate": some[step] / of if of else None, "share": some[step] / some[0] if some[0] else None,
                         "dropped": of - some[step], "middle": here.get("middle"), "slow": here.get("slow")})
    return rows


def _dropped(found: pa.Table) -> pa.Table:
    rows = [{"step": row["step"] + 1, "person": row["who"], "session": row["session_id"], "at": row["ts"]}
            for row in found.to_pylist()]
    return answers.table(rows, answers.DROPPED)


@question
def retention(shop: Shop, *, start: str = "purchase", back: str = "purchase", by: str | None = None,
              segment: str | None = None, cohorts: Cohorts = COHORTS) -> Retention:
    """Say how many come back: cohorts by their first day, week or month, and what is left of them after each.

    Args:
        shop: An opened shop; only read.
        start: Kind of event, or role, that a person's cohort begins with, the first time it happens.
        back: Kind of event, or role, that counts as coming back.
        by: Column of the event table to tell people apart by, as it stood when they started.
        segment: Only people of this segment.
        cohorts: Which cohorts, and how time is cut.

    Returns:
        A row a cell of the triangle. Part `pooled`: all cohorts together, units that are over only.

    Raises:
        UnknownName: A kind, column or segment that is not there. BadInput: Brackets or the period make no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.

    >>> answer = retention(Shop.simulated(customers=40, items=20, days=40))
    >>> all(row["returned"] <= row["people"] for row in answer.table.to_pylist())
    True
    """
    asks.by(by)
    kinds, brackets = [asks.kinds(shop, name) for name in (start, back)], asks.brackets(cohorts.brackets)
    rows, groups, span = inputs.of_shop(shop, segment, by), inputs.read_groups(shop, by), _span(shop, cohorts)
    spans = _spans(span, cohorts.before)
    now = triangle.number(shop.now(), cohorts.per, shop.config.timezone)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, one in spans.items():
        counts = inputs.read_retention(shop, rows, kinds, cohorts.per, (one, by, brackets))
        found[name] = triangle.cells(triangle.Counted.of(counts), groups, now, brackets, cohorts.per)
    people = sum({(row["name"], row["cohort"]): row["people"] for row in found[""]}.values())
    parts = {"pooled": answers.table(triangle.pooled(found[""]), answers.POOLED),
             **_befores(found, answers.RETENTION)}
    return Retention(title=say("Who came back, by {unit}", unit=_unit(cohorts.per)), method="exact count",
                     table=answers.table(found[""], answers.RETENTION), by=by or "", parts=parts,
                     evidence=ExactCount(say("people who started"), people), notes=_about(cohorts, shop),
                     asked={"question": "journeys.retention", "start": start, "back": back, "by": by,
                            "segment": segment, "cohorts": cohorts})


def _unit(per: str) -> Sentence:
    return {"day": say("day"), "week": say("week"), "month": say("month")}[per]


def _about(cohorts: Cohorts, shop: Shop) -> tuple[Sentence, ...]:
    return (say("units are whole ones of {zone}; unit 0 is the one in which a person started.",
                zone=shop.config.timezone),
            say("returned: in that unit, at least once, later than the start. later: in that unit or after it, as far "
                "as the log goes. Intervals are Wilson's, 95 %."))


@question
def paths(shop: Shop, *, start: str | None = None, end: str | None = None, by: str | None = None,
          segment: str | None = None, walk: Walk = WALK) -> Paths:
    """Show the ways that visits take from something on, or to it: the most frequent ones, and how often to expect them.

    Args:
        shop: An opened shop; only read.
        start: Where the paths begin: a kind of event or a role, or a value of another column. By default page_view.
        end: Where they end, instead.
        by: Column of the event table to tell visits apart by, as it stood at their first event.
        segment: Only visits of people of this segment.
        walk: How far, over what, and in which period.

    Returns:
        A row a path, from the first `start` (to the first `end`) of each visit; a repeat of the same thing is one step.
        Part `steps`: what comes next, step by step.

    Raises:
        UnknownName: A kind, column or segment that is not there. BadInput: Both ends are given, or a number is wrong.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.

    >>> answer = paths(Shop.simulated(customers=40, items=20, days=20), end="purchase", walk=Walk(depth=2))
    >>> answer.table["path"][0].as_py()[-1]
    'purchase'
    """
    asks.by(by)
    forward, anchors = _anchors(shop, start, end, walk)
    rows, groups, span = inputs.of_shop(shop, segment, walk.of, by), inputs.read_groups(shop, by), _span(shop, walk)
    spans = _spans(span, walk.before)
    found = {name: _walked(shop, inputs.of_visits(shop, rows, one), (anchors, forward, by, groups), walk)
             for name, one in spans.items()}
    visits = sum({row["name"]: row["of"] for row in found[""][0]}.values())
    anchor = (end or "") if not forward else start or FIRST
    title = say("What comes after {name}", name=anchor) if forward else say("What leads to {name}", name=anchor)
    return Paths(title=title, table=answers.table(found[""][0], answers.PATHS), by=by or "", backwards=not forward,
                 evidence=ExactCount(say("visits with it"), visits), method="exact count",
                 parts={"steps": answers.table(found[""][1], answers.STEPS),
                        **_befores({name: rows for name, (rows, _) in found.items()}, answers.PATHS)},
                 notes=(say("base: the share to expect if each step depended only on the one before it, wherever that "
                            "came in a visit; at a single step, the share of all moves that go there."),),
                 asked={"question": "journeys.paths", "start": start, "end": end, "by": by, "segment": segment,
                        "walk": walk})


def _anchors(shop: Shop, start: str | None, end: str | None, walk: Walk) -> tuple[bool, tuple[str, ...]]:
    if start is not None and end is not None:
        raise BadInput(say("a path has a start or an end here, not both."), do=[say("--start page_view")],
                       why=say("from step to step between two ends, a funnel counts."))
    asks.at_most(walk.depth, MOST_STEPS, "depth")
    asks.at_least_one(walk.n)
    asks.by(walk.of)
    anchor = end if end is not None else start or FIRST
    return end is None, asks.kinds(shop, anchor) if walk.of == "event" else (anchor,)


def _walked(shop: Shop, visits: Any, asked: tuple[Sequence[str], bool, str | None, Sequence[str | None]],
            walk: Walk) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The most frequent paths, and the steps."""
    anchors, forward, by, groups = asked
    counts = shop.engine.run(inputs.paths(visits, walk.of, anchors, walk.depth, forward=forward, by=by))
    moves, walked = flows.Moves.of(_what(counts, "move")), _what(counts, "path")
    return flows.most(walked, moves, groups, walk.n, forward), flows.step_by_step(walked, moves)


@question
def sessions(shop: Shop, *, by: str | None = None, segment: str | None = None, period: Period = EVER,
             n: int = 10) -> Sessions:
    """Describe the visits: how many, how long, bounces, and where they enter, on which devices, by which channels.

    Args:
        shop: An opened shop; only read.
        by: Column of the event table to tell visits apart by, as it stood at their first event.
        segment: Only visits of people of this segment.
        period: Which part of the log; a visit lies where it begins.
        n: How many rows of each part to show.

    Returns:
        A row a group. Parts: entrances, pages, devices, channels, lengths.

    Raises:
        UnknownName: A column or segment that is not there. BadInput: A number or the period makes no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.

    >>> answer = sessions(Shop.simulated(customers=40, items=20, days=20), by="device")
    >>> answer.table["visits"].to_pylist() == sorted(answer.table["visits"].to_pylist(), reverse=True)
    True
    """
    asks.by(by)
    asks.at_least_one(n)
    rows = inputs.of_shop(shop, segment, by, "url", "device", "channel")
    groups, span = inputs.read_groups(shop, by), _span(shop, period)
    spans = _spans(span, period.before)
    each = {name: inputs.each_visit(inputs.of_visits(shop, rows, one), _conversions(shop), by)
            for name, one in spans.items()}
    counts = {name: shop.engine.run(inputs.session_counts(one)) for name, one in each.items()}
    found = {name: _visits(_what(one, "totals"), groups) for name, one in counts.items()}
    visits = sum(row["visits"] for row in found[""])
    parts = _visit_parts(counts[""], visits, n)
    return Sessions(title=say("{n:,} visits", n=visits), table=answers.table(found[""], answers.SESSIONS), by=by or "",
                    evidence=ExactCount(say("visits"), visits), method="exact count",
                    parts={**parts, **_befores(found, answers.SESSIONS)},
                    notes=(say("a visit is a session of the source, or ends after {minutes} silent minutes; a bounce "
                               "is a visit of one event. Intervals of the rate are Wilson's, 95 %.",
                               minutes=shop.config.gap_minutes),),
                    asked={"question": "journeys.sessions", "by": by, "segment": segment, "period": period, "n": n})


def _what(found: pa.Table, what: str) -> pa.Table:
    """The rows of one kind."""
    return found.filter(pc.equal(found["what"], what))


def _conversions(shop: Shop) -> list[str]:
    return [kind for kind, role in shop.config.roles.items() if role == "conversion"]


def _visits(found: pa.Table, groups: Sequence[str | None]) -> list[dict[str, Any]]:
    have = {row["name"]: row for row in found.to_pylist()}
    rows = []
    for name in groups:
        row = have.get(name, {"name": name, "visits": 0, "people": 0, "bounces": 0, "conversions": 0, "events": 0})
        n = row["visits"]
        means = {"events": row["events"] / n, "bounce_rate": row["bounces"] / n} if n else {}
        rows.append({**row, "events": None, "bounce_rate": None, **means})
    return _rated(sorted(rows, key=_by_size("visits")), "conversions", "visits", ("rate", "low", "high"))


def _by_size(column: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return lambda row: (-row[column], row["name"] is None, row["name"] or "")


def _rated(rows: list[dict[str, Any]], hits: str, of: str, names: tuple[str, str, str]) -> list[dict[str, Any]]:
    """The rows with a share and its Wilson interval; null where there is nothing to share."""
    low, high = wilson([row[hits] for row in rows], [row[of] for row in rows])
    for place, row in enumerate(rows):
        some = row[of] > 0
        row |= dict(zip(names, (row[hits] / row[of], float(low[place]), float(high[place])) if some
                        else (None, None, None), strict=True))
    return rows


def _visit_parts(found: pa.Table, visits: int, n: int) -> dict[str, pa.Table]:
    parts = {}
    for what in ("entrances", "pages", "devices", "channels", "lengths"):
        rows = [{**row, "share": row["visits"] / visits, "bounce_rate": row["bounces"] / row["visits"],
                 "rate": row["conversions"] / row["visits"]}
                for row in _what(found, what).to_pylist()]
        order = {name: place for place, (_, _, name) in enumerate(inputs.LENGTHS)}
        rows.sort(key=lambda row: order[row["value"]] if what == "lengths" else
                  (-row["visits"], row["value"] is None, row["value"] or ""))
        parts[what] = answers.table(rows if what == "lengths" else rows[:n], answers.VISITS)
    return parts


@question
def searches(shop: Shop, *, by: str | None = None, segment: str | None = None, period: Period = EVER,
             n: int = 20) -> Searches:
    """Show what is searched, what finds nothing, which results are clicked, and what is bought after it.

    Args:
        shop: An opened shop; only read.
        by: Column of the event table to tell searches apart by.
        segment: Only searches of people of this segment.
        period: Which part of the log; a visit lies where it begins.
        n: How many queries to show, the most frequent first.

    Returns:
        A row a query. Parts: totals, nothing (demand that found nothing), refinements (what was searched next).

    Raises:
        UnknownName: A column or segment that is not there. BadInput: A number or the period makes no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.

    >>> answer = searches(Shop.simulated(customers=40, items=20, days=20), n=3)
    >>> answer.table["searches"].to_pylist() == sorted(answer.table["searches"].to_pylist(), reverse=True)
    True
    """
    asks.by(by)
    asks.at_least_one(n)
    rows = inputs.of_shop(shop, segment, by, *inputs.SEARCHED)
    groups, span = inputs.read_groups(shop, by), _span(shop, period)
    spans = _spans(span, period.before)
    found = {name: inputs.searched(inputs.of_visits(shop, rows, one), _conversions(shop), by)
             for name, one in spans.items()}
    money, unsaid = _money(shop)
    counts = {name: shop.engine.run(inputs.search_counts(one, n)) for name, one in found.items()}
    totals = {name: _search_totals(_what(one, "totals"), groups, money) for name, one in counts.items()}
    tables = {name: _queries(_what(counts[""], what), of, money)
              for name, what, of in (("", "queries", "searches"), ("nothing", "nothing", "nothing"))}
    n_searches = sum(row["searches"] for row in totals[""])
    return Searches(title=say("{n:,} searches", n=n_searches), by=by or "", method="exact count",
                    table=answers.table(tables[""], answers.SEARCHES),
                    evidence=ExactCount(say("searches"), n_searches),
                    parts={"totals": answers.table(totals[""], answers.SEARCH_TOTALS),
                           "nothing": answers.table(tables["nothing"], answers.SEARCHES),
                           "refinements": _refinements(_what(counts[""], "refinements")),
                           **_befores(totals, answers.SEARCH_TOTALS)},
                    notes=(*unsaid, say("clicks, orders and revenue belong to the last search before them in the "
                                        "visit; refined: another query came next, and nothing had been clicked.")),
                    asked={"question": "journeys.searches", "by": by, "segment": segment, "period": period, "n": n})


def _money(shop: Shop) -> tuple[bool, tuple[Sentence, ...]]:
    """Whether money can be added up; and if not, why."""
    try:
        shop.currency()
    except MixedCurrencies as mixed:
        return False, (say("no revenue is given: {why}", why=mixed.what),)
    return True, ()


def _searched(row: Mapping[str, Any], money: bool) -> dict[str, Any]:
    return {**row, "nothing_rate": row["nothing"] / row["known"] if row["known"] else None,
            "click_rank": row["ranks"] / row["ranked"] if row["ranked"] else None,
            "revenue": row["revenue"] if money else None}


def _search_totals(found: pa.Table, groups: Sequence[str | None], money: bool) -> list[dict[str, Any]]:
    have = {row["name"]: row for row in found.to_pylist()}
    none = dict.fromkeys(set(found.column_names) - {"what", "name", "query", "following"}, 0)
    rows = [_searched(have.get(name, {"name": name, **none}), money) for name in groups]
    return _rated(sorted(rows, key=_by_size("searches")), "clicked", "searches", ("click_rate", "low", "high"))


def _queries(found: pa.Table, of: str, money: bool) -> list[dict[str, Any]]:
    rows = [_searched(row, money) for row in found.to_pylist()]
    rows.sort(key=lambda row: (-row[of], row["query"], row["name"] is None, row["name"] or ""))
    return _rated(rows, "clicked", "searches", ("click_rate", "low", "high"))


def _refinements(found: pa.Table) -> pa.Table:
    rows = sorted(found.to_pylist(), key=lambda row: (-row["searches"], row["query"], row["following"]))
    return answers.table([{**row, "next": row["following"]} for row in rows], answers.REFINED)


@question
def attribution(shop: Shop, *, method: Literal["last", "first", "linear", "position", "markov", "shapley"] = "last",
                within: float = 30.0, by: str = "channel", segment: str | None = None,
                period: Period = EVER) -> Attribution:
    """Share out what was sold among the visits before it, by six rules; a description, and no cause.

    Args:
        shop: An opened shop; only read.
        method: Who gets the credit.
        within: Days before a conversion within which a visit counts.
        by: What is credited: channel, or a column of the event table, such as utm_campaign.
        segment: Only people of this segment.
        period: Conversions of which part of the log.

    Returns:
        A row a channel. Part `methods`: the same by every method.

    Raises:
        UnknownName: A column or segment that is not there. BadInput: A number or the period makes no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.
        MixedCurrencies: The log has several currencies.

    >>> answer = attribution(Shop.simulated(customers=40, items=20, days=20))
    >>> round(sum(answer.table["conversions"].to_pylist())) == answer.evidence.n
    True
    """
    asks.by(by)
    asks.something(shop.manifest.events)
    if period.before:
        raise BadInput(say("attribution takes one period."), do=[say("ask twice, with --since and --until.")])
    shop.currency()
    rows, span = inputs.of_shop(shop, segment, by, "value"), _span(shop, period)
    found = credits.Touched.of(*inputs.read_touches(shop, rows, span, _conversions(shop), by, asks.within(within)))
    credits.check(method, found)
    table, parts = found.table(method, inputs.read_groups(shop, by)), found.every()
    return Attribution(title=say("What brought {n:,} conversions, by {method}", n=found.conversions,
                                 method=_METHODS[method]), method=method, table=answers.table(table, answers.CREDITS),
                       evidence=ExactCount(say("conversions"), found.conversions),
                       parts={"methods": answers.table(parts, answers.METHODS)},
                       notes=(say("this describes what came before a conversion; what a channel causes, only a trial "
                                  "shows, in which some people do not get it."), *found.notes),
                       asked={"question": "journeys.attribution", "method": method, "within": within, "by": by,
                              "segment": segment, "period": period})


_METHODS = {"last": say("the last touch"), "first": say("the first touch"), "linear": say("every touch alike"),
            "position": say("the ends first"), "markov": say("removal in a Markov chain"),
            "shapley": say("Shapley values")}


@question
def compare(shop: Shop, *, measure: Literal["events", "value"] = "events", kind: str = "purchase",
            by: str | None = None, segment: str | None = None, periods: Two = TWO) -> Compared:
    """Say which groups explain the change of a total from one period to another, as a sum that adds up.

    Args:
        shop: An opened shop; only read.
        measure: Count events, or add up what they are worth.
        kind: Kind of event, or role.
        by: Column of the event table to tell apart by; by default several, those whose shares changed most first.
        segment: Only people of this segment.
        periods: Which two periods.

    Returns:
        A row a column and group, the largest change first.

    Raises:
        UnknownName: A kind, column or segment that is not there. BadInput: The periods make no sense.
        MissingData: The shop has no segments. TooLittleHistory: The log is empty.
        MixedCurrencies: Money is asked for, and the log has several currencies.

    >>> answer = compare(Shop.simulated(customers=40, items=20, days=40), by="device")
    >>> sum(answer.table["change"].to_pylist()) == sum(answer.table["now"].to_pylist()) - sum(
    ...     answer.table["before"].to_pylist())
    True
    """
    asks.by(by)
    asks.something(shop.manifest.events)
    if measure == "value":
        shop.currency()
    kinds, spans = asks.kinds(shop, kind), periods.spans(shop.now())
    columns = (by,) if by is not None else COMPARED
    counts = shop.engine.run(inputs.totals(inputs.of_shop(shop, segment, "value", *columns), kinds, columns, spans))
    groups = {column: inputs.read_groups(shop, column) if by else None for column in columns}
    rows = differences.explained(counts.to_pylist(), measure, groups)
    now, before = (sum(row[name] for row in rows if row["by"] == rows[0]["by"]) for name in ("now", "before"))
    return Compared(title=say("{what}: {now:,.0f} after {before:,.0f}", what=kind, now=now, before=before),
                    table=answers.table(rows, answers.CHANGE), method="exact count",
                    evidence=ExactCount(say("events in the two periods"), _events(counts, columns[0])),
                    notes=(say("{since} to {until} against {since_before} to {until_before}, UTC.",
                               **_ends(spans)),
                           say("over the groups of a column, change adds up to the change of the total; by_people, "
                               "by_often and by_worth add up to change.")),
                    asked={"question": "journeys.compare", "measure": measure, "kind": kind, "by": by,
                           "segment": segment, "periods": periods})


def _events(counts: pa.Table, by: str) -> int:
    return int(pc.sum(counts.filter(pc.equal(counts["by"], by))["events"]).as_py() or 0)


def _ends(spans: tuple[Span, Span]) -> dict[str, str]:
    later, earlier = spans
    found = {"since": later.since, "until": later.until, "since_before": earlier.since, "until_before": earlier.until}
    return {name: asks.iso(when) for name, when in found.items() if when is not None}
