"""Records through the entrance, without a shop: what is accepted, what is rejected, and what is said of it."""

from collections.abc import Mapping as Rows
from typing import Any

from shopkeeper.events.cleaning import Cleaned, Cleaner, Entrance
from shopkeeper.events.mapping import Mapping, plan
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.readers import from_arrow, from_records
from shopkeeper.events.schema import KINDS, Role

KEYS = Keys(b"p" * 32, b"v" * 32)
RECEIVED = 1_800_000_000_000_000  # 2027-01-15, microseconds UTC
VIEW = {"event_id": "e1", "event": "view_item", "ts": "2026-10-01T10:00:00Z", "customer_id": "ann", "item_id": "tea"}
BUY = {**VIEW, "event": "purchase", "order_id": "o1", "currency": "EUR"}


def clean(source: Any, mapping: Mapping | None = None, kinds: Rows[str, Role] = KINDS) -> Cleaned:
    """One batch: a list of records, or an Arrow table."""
    opened = from_records(source) if isinstance(source, list) else from_arrow(source)
    batch = next(iter(opened))
    fitted = plan(mapping or Mapping(), batch.table.column_names, "log")
    return Cleaner(fitted, Entrance(kinds, KEYS), "log", RECEIVED).clean(batch)


def rows(*records: dict[str, Any], mapping: Mapping | None = None) -> list[dict[str, Any]]:
    """The accepted rows, each without its empty cells."""
    return [{name: cell for name, cell in row.items() if cell is not None}
            for row in clean(list(records), mapping).events.to_pylist()]


def reasons(*records: dict[str, Any], mapping: Mapping | None = None) -> list[tuple[str, str]]:
    """The reason and the column of each rejected record."""
    return [(row["reason"], row["field"]) for row in clean(list(records), mapping).rejected.to_pylist()]


def digests(source: Any, mapping: Mapping | None = None) -> list[bytes]:
    """What says whether two records have the same body."""
    return clean(source, mapping).events["digest"].to_pylist()
