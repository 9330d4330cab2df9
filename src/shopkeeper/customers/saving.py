"""Segments of a merchant's own: a rule under a name, tried on everybody before it is saved."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from shopkeeper.asking import act
from shopkeeper.customers import answers, inputs
from shopkeeper.customers.answers import SavedSegment
from shopkeeper.customers.methods.clusters import GROUP
from shopkeeper.customers.methods.rfm import NAMES
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.warehouse.conditions import read
from shopkeeper.warehouse.groups import COLUMNS, RFM, RULES, saved
from shopkeeper.warehouse.tables import declared
from shopkeeper.words import say

MOST = 200   # rules of one shop
WAIT = 10.0  # seconds to wait for another writer


@act("learn")
def save_segment(shop: Shop, name: str, rule: str, *, dry_run: bool = False) -> SavedSegment:
    """Save a rule as a segment, which other questions then take by its name; say first whom it holds of today.

    Args:
        shop: An opened shop.
        name: Name of the segment; one of that name is replaced.
        rule: A condition, such as purchases >= 3 and silent > 60; the columns stand in the documentation.
        dry_run: Write nothing; only count.

    Returns:
        One row: the rule as it was understood, and how many people it holds of.

    Raises:
        BadInput: The rule cannot be read, the name is none or taken by the shop itself. ShopBusy: Another process
            writes.
    """
    _check_name(name)
    condition = read(rule, COLUMNS)
    mine = [one for one in saved(shop.engine) if one not in NAMES]
    if name not in mine and len(mine) >= MOST:
        raise BadInput(say("the shop has {n:,} segments already.", n=len(mine)),
                       do=[say("shopkeeper customers drop-segment SHOP --name NAME")],
                       why=say("each of them is counted whenever segments are shown."))
    people, customers = inputs.count_people(shop, condition)
    if not dry_run:
        row = {"name": name, "rule": str(condition)}
        _change(shop, "customers save-segment", lambda rows: [*(one for one in rows if one["name"] != name), row])
    table = pa.Table.from_pylist([{"segment": name, "status": "would save" if dry_run else "saved",
                                   "rule": str(condition), "people": people, "customers": customers}],
                                 schema=answers.KEPT)
    return SavedSegment(title=say("Segment {name}", name=name), table=table, method="exact count",
                        evidence=ExactCount(say("people of whom the rule holds today"), people),
                        notes=(say("the rule is asked anew whenever the segment is used: who belongs to it changes."),),
                        asked={"act": "customers.save_segment", "name": name, "rule": rule, "dry_run": dry_run})


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w .:/-]{1,80}", name):
        raise BadInput(say("{name} is no name for a segment.", name=repr(name)), do=[say("--name regulars")],
                       why=say("letters, digits, spaces and . : / - _ are, up to 80 of them."))
    if name in (*NAMES, RFM) or re.fullmatch(rf"{GROUP} \d+", name):
        raise BadInput(say("the shop calls a segment of its own {name}.", name=repr(name)),
                       do=[say("--name regulars")],
                       why=say("publishing the shop's segments would overwrite it."))


@act("learn")
def drop_segment(shop: Shop, name: str, *, dry_run: bool = False) -> SavedSegment:
    """Forget a segment that was saved.

    Args:
        shop: An opened shop.
        name: Name of the segment.
        dry_run: Write nothing.

    Returns:
        One row: the rule that is forgotten.

    Raises:
        UnknownName: No rule was saved under that name. ShopBusy: Another process writes.
    """
    mine = {one: rule for one, rule in saved(shop.engine).items() if one not in NAMES}
    if name not in mine:
        raise UnknownName(say("there is no saved segment {name}.", name=repr(name)),
                          do=[say("one of: {names}", names=", ".join(sorted(mine)) or "-")],
                          why=say("only what somebody saved can be forgotten; the shop's own segments stay."))
    if not dry_run:
        _change(shop, "customers drop-segment", lambda rows: [one for one in rows if one["name"] != name])
    table = pa.Table.from_pylist([{"segment": name, "status": "would drop" if dry_run else "dropped",
                                   "rule": mine[name], "people": None, "customers": None}], schema=answers.KEPT)
    return SavedSegment(title=say("Segment {name}", name=name), table=table, method="exact count",
                        evidence=ExactCount(say("segments that were saved"), len(mine)),
                        asked={"act": "customers.drop_segment", "name": name, "dry_run": dry_run})


def _change(shop: Shop, command: str, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Write the rules again, changed."""
    with shop.store.write(command, WAIT) as writer:
        before = writer.read_table(RULES)
        made = pa.Table.from_pylist(change(before.to_pylist() if before is not None else []), schema=declared(RULES))
        writer.commit(writer.replace_table(writer.manifest, RULES, made))
    shop.refresh()
