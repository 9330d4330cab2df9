"""The acts of the room: join visitors to customers, and undo a join that turned out wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from shopkeeper.asking import act
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.evidence import ExactCount
from shopkeeper.identity import inputs
from shopkeeper.identity.answers import Changed
from shopkeeper.shop import Shop
from shopkeeper.warehouse.identity import FACTS
from shopkeeper.warehouse.tables import declared
from shopkeeper.words import Sentence, say

WAIT = 10.0  # seconds to wait for another writer
Joins = dict[tuple[str, str], dict[str, Any]]
_SAID: Mapping[str, tuple[str, Callable[[int], Sentence]]] = {
    "join": ("joined", lambda n: say("{n:,} joins made", n=n)),
    "split": ("split", lambda n: say("{n:,} joins undone", n=n))}
_SHOWN = ("anonymous_id", "customer_id", "since", "until", "events", "evidence")


@act("write")
def join(shop: Shop, *, anonymous: str | None = None, customer: str | None = None, dry_run: bool = False) -> Changed:
    """Join visitors' ids to customers: all that the log says, or one pair by hand; no event is written again.

    What was joined or split by hand stays as it was said.

    Args:
        shop: An opened shop.
        anonymous: A visitor's id; without it, the log is read.
        customer: The customer that it belongs to.
        dry_run: Write nothing; say what would be joined.

    Returns:
        The joins that are new.

    Raises:
        BadInput: Only one of the two ids was given.
        ShopBusy: Another process writes to this shop.
    """
    if (anonymous is None) != (customer is None) or "" in (anonymous, customer):
        raise BadInput(say("a join by hand needs a visitor's id and a customer."),
                       do=[say("shopkeeper identity join SHOP --anonymous ID --customer ID")],
                       why=say("with neither of them, the log is read."))
    before = _as_they_are(shop)
    after = _of_log(shop, before)
    if anonymous is not None and customer is not None:
        key = (inputs.visitor(shop, anonymous), shop.person(customer))
        after = {**before, key: {**(after.get(key) or _by_hand(shop, key)), "joined": True, "by": "hand"}}
    return _done(shop, before, after, "join", {"anonymous": anonymous, "customer": customer, "dry_run": dry_run})


@act("write")
def split(shop: Shop, anonymous: str, *, customer: str | None = None, dry_run: bool = False) -> Changed:
    """Undo joins of a visitor's id that turned out wrong; the log does not bring them back, a join by hand does.

    Args:
        shop: An opened shop.
        anonymous: The visitor's id.
        customer: Only the join to this customer; by default all of the id's.
        dry_run: Write nothing; say what would be split.

    Returns:
        The joins that are undone.

    Raises:
        UnknownName: The id is joined to no such customer.
        ShopBusy: Another process writes to this shop.
    """
    before, who = _as_they_are(shop), inputs.visitor(shop, anonymous)
    before = before or _of_log(shop, {})
    owner = None if customer is None else shop.person(customer)
    wrong = [key for key, row in before.items() if key[0] == who and owner in (None, key[1]) and row["joined"]]
    if not wrong:
        raise UnknownName(say("{name} is joined to no such customer.", name=anonymous),
                          do=[say("shopkeeper identity of SHOP --customer ID")],
                          why=say("only a join can be undone."))
    after = before | {key: {**before[key], "joined": False, "by": "hand"} for key in wrong}
    return _done(shop, before, after, "split", {"anonymous": anonymous, "customer": customer, "dry_run": dry_run})


def _as_they_are(shop: Shop) -> Joins:
    table = inputs.read_joins(shop)
    return {} if table is None else _keyed(table)


def _of_log(shop: Shop, before: Joins) -> Joins:
    """What the log says now, laid under what was said by hand."""
    found = _keyed(inputs.read_pairs(shop))
    for key, row in before.items():
        if row["by"] == "hand" or key not in found:
            found[key] = {**found.get(key, row), "joined": row["joined"], "by": row["by"]}
    return found


def _by_hand(shop: Shop, key: tuple[str, str]) -> dict[str, Any]:
    now = datetime.fromtimestamp(shop.now() / 1e6, UTC).replace(tzinfo=None)
    return {"anonymous_id": key[0], "customer_id": key[1], "since": now, "until": now, "events": 0,
            "evidence": "by hand"}


def _keyed(table: pa.Table) -> Joins:
    return {(row["anonymous_id"], row["customer_id"]): row for row in table.to_pylist()}


def _done(shop: Shop, before: Joins, after: Joins, name: Literal["join", "split"],
          given: Mapping[str, object]) -> Changed:
    """Publish the joins, unless it is a dry run or nothing changes; say which are new, or undone."""
    joined, dry_run = name == "join", bool(given["dry_run"])
    changed = [row for key, row in sorted(after.items())
               if row["joined"] == joined and before.get(key, {}).get("joined") != joined]
    if not dry_run and before != after:
        now = shop.now()
        with shop.store.write("identity", WAIT) as writer:
            table = pa.Table.from_pylist([row for _, row in sorted(after.items())], schema=declared(FACTS))
            writer.commit(writer.publish(writer.manifest, FACTS, table, now))
        shop.refresh()
    done, title = _SAID[name]
    status = f"would {name}" if dry_run else done
    shown = pa.Table.from_pylist([{column: row[column] for column in _SHOWN} for row in changed],
                                 schema=pa.schema([declared(FACTS).field(column) for column in _SHOWN]))
    shown = shown.add_column(0, "status", pa.array([status] * len(changed), pa.string()))
    return Changed(title=say("Dry run: nothing was written.") if dry_run else title(len(changed)), table=shown,
                   method="exact count", evidence=ExactCount(say("joins"), len(after)),
                   asked={"act": f"identity.{name}", **given})
