"""Which visitors' ids belong to which customers: read off events that carry both, kept as a table, never written over.

A device that one customer used is that customer's. One that several used is nobody's: each of its sessions goes to the
customer who was seen in that session, if there is exactly one, and to nobody otherwise. Two customers are never joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis

from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.events.sessions import GAP_MINUTES
from shopkeeper.warehouse.sessions import sessions

if TYPE_CHECKING:
    from shopkeeper.warehouse.engine import Engine

FACTS = "facts/identity"
EVIDENCE = ("login", "sign_up", "purchase", "other")  # the kind of event that says it best, the best first


def pairs(events: Any) -> Any:
    """Expression: one row a visitor's id and a customer that stand in one event, as `facts/identity` begins.

    Columns: anonymous_id, customer_id, since, until (first and last such event), events, evidence.
    """
    both = events.filter(events.line == 0, events.customer_id.notnull(), events.anonymous_id.notnull(),
                         ~events.anonymous_id.startswith(GUEST))
    rank = ibis.literal(len(EVIDENCE) - 1)
    for place, kind in enumerate(EVIDENCE[:-1]):
        rank = ibis.ifelse(both.event == kind, ibis.literal(place), rank)
    ranked = both.mutate(_rank=rank.cast("int64"))
    found = ranked.group_by("anonymous_id", "customer_id").aggregate(
        since=ranked.ts.min(), until=ranked.ts.max(), events=ranked.count().cast("int64"), _rank=ranked._rank.min())
    evidence = ibis.literal(EVIDENCE[-1])
    for place, kind in enumerate(EVIDENCE[:-1]):
        evidence = ibis.ifelse(found._rank == place, ibis.literal(kind), evidence)
    return found.mutate(evidence=evidence).drop("_rank")


def owners(joins: Any) -> Any:
    """Expression: the ids that exactly one customer was ever seen under, and who that is; none that was split."""
    found = joins.group_by("anonymous_id").aggregate(
        _all=joins.count().cast("int64"), _kept=joins.joined.cast("int64").sum().cast("int64"),
        _owner=joins.customer_id.max())
    return found.filter(found._all == 1, found._kept == 1).select("anonymous_id", "_owner")


def resolved(engine: Engine, events: Any, gap_minutes: int = GAP_MINUTES, until: int | None = None) -> Any:
    """Expression: the events, `customer_id` filled where the visitor is known to be a customer; what stood there stays.

    Args:
        engine: Has the table of joins, if there is one; without it the events come back as they are.
        events: Whole sessions of its events.
        gap_minutes: Silence after which a new session begins.
        until: A join that was first seen at or after this time (microseconds UTC) is not known yet.
    """
    if not engine.has(FACTS):
        return events
    joins = engine.table(FACTS)
    if until is not None:
        from shopkeeper.warehouse.engine import moment

        joins = joins.filter(joins.since < moment(until))
    sole = owners(joins)
    whole = events.left_join(sole, "anonymous_id").drop("anonymous_id_right")
    shared = _of_sessions(events, joins, gap_minutes)
    found = whole.left_join(shared, [whole.event_id == shared._event, whole.line == shared._line])
    known = ibis.coalesce(found.customer_id, found._owner, found._guest)
    return found.mutate(customer_id=known).select(*events.columns)


def _of_sessions(events: Any, joins: Any, gap_minutes: int) -> Any:
    """Expression: `_event`, `_line` of events of shared devices, and the one customer of their session (`_guest`)."""
    many = joins.group_by("anonymous_id").aggregate(_all=joins.count().cast("int64"))
    many = many.filter(many._all > 1)
    mine = events.semi_join(many, "anonymous_id").mutate(_customer=events.customer_id)
    cut = sessions(mine.mutate(customer_id=ibis.null("string")), gap_minutes)
    each = cut.group_by("anonymous_id", "session").aggregate(
        _customers=cut._customer.nunique(), _guest=cut._customer.max())
    each = each.filter(each._customers == 1)
    kept = joins.filter(joins.joined)
    each = each.semi_join(kept, [each.anonymous_id == kept.anonymous_id, each._guest == kept.customer_id])
    cut = cut.select("anonymous_id", "session", _event=cut.event_id, _line=cut.line)
    return cut.inner_join(each, ["anonymous_id", "session"]).select("_event", "_line", "_guest")
