"""The questions of the room."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import question
from shopkeeper.errors import UnknownName
from shopkeeper.evidence import ExactCount
from shopkeeper.identity import inputs
from shopkeeper.identity.answers import Known, Report
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

_MOST_SHARED = 20


@question
def report(shop: Shop) -> Report:
    """Say how far visitors are known as customers, and which devices several customers share.

    Args:
        shop: An opened shop; only read.

    Returns:
        Measures, with the part `shared`.

    >>> report(Shop.simulated(customers=40, items=20, days=20)).table.column_names
    ['measure', 'value']
    """
    seen, shapes, found = inputs.read_visitors(shop), inputs.read_shapes(shop), inputs.read_found(shop)
    lines = [("visitors", seen["ids"]), ("of one customer", shapes["sole"]),
             ("shared by several customers", shapes["shared"]), ("joins undone", shapes["undone"]),
             ("events without a customer", seen["events"]), ("of these known by a join", found)]
    table = pa.table({"measure": [name for name, _ in lines], "value": [count for _, count in lines]},
                     schema=pa.schema([("measure", pa.string()), ("value", pa.int64())]))
    return Report(title=say("Who is who in {name}", name=shop.name), table=table, method="exact count",
                  evidence=ExactCount(say("visitors"), seen["ids"]), asked={"question": "identity.report"},
                  parts={"shared": inputs.read_shared(shop, _MOST_SHARED)}, notes=_not_yet(shop))


@question
def of(shop: Shop, customer: str) -> Known:
    """Say which visitors' ids are joined to a customer, or which customers to a visitor's id, and by what.

    Args:
        shop: An opened shop; only read.
        customer: A customer or a visitor's id as you know it, or a pseudonym (`c_...`, `a_...`).

    Returns:
        The joins, those that were undone among them.

    Raises:
        UnknownName: Nothing in the log joins this person to another id.
    """
    joins = inputs.read_joins(shop)
    joins = inputs.read_pairs(shop) if joins is None else joins
    mine = joins.filter(pc.or_(pc.equal(joins["customer_id"], shop.person(customer)),
                               pc.equal(joins["anonymous_id"], inputs.visitor(shop, customer))))
    if not mine.num_rows:
        raise UnknownName(say("nothing joins {customer} to another id.", customer=customer),
                          do=[say("shopkeeper identity report SHOP")],
                          why=say("a join needs an event that carries a visitor's id and a customer's."))
    return Known(title=say("Who {customer} is", customer=customer), table=mine, method="exact count",
                 evidence=ExactCount(say("joins"), joins.num_rows),
                 asked={"question": "identity.of", "customer": customer}, notes=_not_yet(shop))


def _not_yet(shop: Shop) -> tuple[Sentence, ...]:
    if inputs.read_joins(shop) is not None:
        return ()
    return (say("nothing is joined yet; this is what shopkeeper identity join SHOP would read off the log."),)
