"""The act of this room: label by behaviour what no list of crawlers knows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import Progress, act, silent
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.traffic import answers, inputs
from shopkeeper.traffic.answers import Labelled
from shopkeeper.traffic.methods import BOT, METHODS, SUSPECT, judge
from shopkeeper.warehouse.tables import declared
from shopkeeper.warehouse.traffic import FACTS
from shopkeeper.words import say

WAIT = 10.0  # seconds to wait for another writer


@act("learn")
def label(shop: Shop, *, within: int = 90, dry_run: bool = False, progress: Progress = silent) -> Labelled:
    """Label by behaviour who is a machine: too quick, too even, a crowd of one kind; nobody who buys.

    Args:
        shop: An opened shop.
        within: Days before the shop's clock that are looked at; older labels stay.
        dry_run: Write nothing.
        progress: Told how far it is.

    Returns:
        A row for each label and reason.

    Raises:
        BadInput: `within` is out of its range, or this is a view of the past. ShopBusy: Another process writes.
    """
    if not 1 <= within <= 4_000:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name="within", value=within,
                           low=1, high=4_000), do=[say("--within 90")])
    if shop.until is not None and not dry_run:
        raise BadInput(say("this is a view of the past, and labels are published for everybody."),
                       do=[say("open the shop without as_of.")],
                       why=say("the shop would go on answering from what was known then."))
    progress.start(say("looking at what visitors do"), None)
    start = inputs.begin(shop, within)
    found = _found(shop, start)
    before = inputs.read_facts(shop)
    table = _with_older(found, before, start)
    if not dry_run and (before is None or not table.equals(before)):  # that nobody was found is known, too
        _publish(shop, table)
    return Labelled(title=answers.dry(dry_run, table.num_rows), table=_summed(table), method=str(say("behaviour")),
                    evidence=ExactCount(say("people who are labelled"), table.num_rows),
                    asked={"act": "traffic.label", "within": within, "dry_run": dry_run})


def _found(shop: Shop, start: int) -> pa.Table:
    """Everybody whom a sign speaks against, as `facts/traffic` has them, by name."""
    seen = inputs.read_visitors(shop, start)
    score, sign = judge(seen.who)
    rows = np.flatnonzero(score >= SUSPECT)
    some, names = seen.who.where(rows), np.array([method.name for method in METHODS])
    return pa.table({
        "person": seen.names.take(pa.array(rows)), "label": np.where(score[rows] >= BOT, "bot", "suspect").tolist(),
        "score": score[rows].round(4), "reason": names[sign[rows]].tolist(), "events": some.events,
        "since": pa.array(some.first, pa.timestamp("us")), "until": pa.array(some.last, pa.timestamp("us")),
    }, schema=declared(FACTS))


def _with_older(found: pa.Table, before: pa.Table | None, start: int) -> pa.Table:
    """What was found, and the labels of those who were last seen before the span that was looked at."""
    if before is None:
        return found
    old = before.filter(pc.less(before["until"].cast(pa.int64()), start))
    old = old.filter(pc.invert(pc.is_in(old["person"], found["person"].combine_chunks())))
    return pa.concat_tables([found, old]).sort_by("person").combine_chunks()


def _publish(shop: Shop, table: pa.Table) -> None:
    now = shop.now()
    with shop.store.write("traffic label", WAIT) as writer:
        writer.commit(writer.publish(writer.manifest, FACTS, table, now))
    shop.refresh()


def _summed(table: pa.Table) -> pa.Table:
    found = table.group_by(["label", "reason"], use_threads=False).aggregate([("person", "count"), ("events", "sum")])
    named = pa.table({"label": found["label"], "reason": found["reason"], "people": found["person_count"],
                      "events": found["events_sum"]}, schema=answers.LABELLED)
    return named.sort_by([("events", "descending"), ("label", "ascending"), ("reason", "ascending")])
