"""Into which category an item falls: the first step of its path, for every room that asks."""

from __future__ import annotations

from typing import Any

LONGEST = 80  # characters of a category's name


def top_category(items: Any) -> Any:
    """Expression: the first step of each item's category path: item_id, category (none is left out)."""
    rows = items.filter(items.category.notnull())
    rows = rows.select(item_id=rows.item_id, category=rows.category.split(">")[0].strip().substr(0, LONGEST))
    return rows.filter(rows.category != "")


def of_events(events: Any, items: Any) -> Any:
    """Expression: event_id, category: that of an event's first line with an item; events without one are left out."""
    lines = events.filter(events.item_id.notnull())
    first = lines.group_by("event_id").aggregate(_item=lines.item_id.argmin(lines.line))
    shelf = top_category(items)
    found = first.inner_join(shelf, [first._item == shelf.item_id])
    return found.select("event_id", "category")
