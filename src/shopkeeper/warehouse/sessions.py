"""Sessions as an expression: the one that the source gave, else by silence. Equal to `events.sessions.sessions_of`."""

from __future__ import annotations

from typing import Any

import ibis

from shopkeeper.events.sessions import GAP_MINUTES


def person(events: Any) -> Any:
    """Who did it: the customer, else the anonymous visitor; null where nobody did (a change of stock)."""
    return ibis.coalesce(events.customer_id, events.anonymous_id)


def sessions(events: Any, gap_minutes: int = GAP_MINUTES) -> Any:
    """The events with a column `session` (text): the given `session_id`, else one by silence.

    A derived session is named after its person and its number among that person's sessions in these events:
    `c_8f...#3`. So a name holds within one answer, not across answers over different spans. Events of nobody have none.

    Args:
        events: The event table, or a part of it that keeps all events of each person.
        gap_minutes: A longer silence begins a new session.
    """
    order = ["ts", "event_id", "line"]
    named = events.mutate(_person=person(events))
    before = named.mutate(_before=named.ts.lag().over(ibis.window(group_by="_person", order_by=order)))
    silent = before._before.isnull() | (before._before + ibis.interval(minutes=gap_minutes) < before.ts)
    begun = before.mutate(_new=silent.cast("int64"))
    running = begun._new.sum().over(ibis.cumulative_window(group_by="_person", order_by=order))
    numbered = begun.mutate(_number=running.cast("int64"))
    derived = numbered._person.concat("#", numbered._number.cast("string"))
    return numbered.mutate(session=ibis.coalesce(numbered.session_id, derived)).drop(
        "_person", "_before", "_new", "_number")
