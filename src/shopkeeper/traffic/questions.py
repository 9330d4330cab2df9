"""The questions of this room. They look at all traffic, however the shop was opened: that is what they are for."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.asking import one_of, question
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.traffic import answers, inputs
from shopkeeper.traffic.answers import Clicks, People, Report, Reviews
from shopkeeper.traffic.methods import reviews as written
from shopkeeper.words import Sentence, say

SURE = 0.5  # score from which on a review is shown


@question
def report(shop: Shop) -> Report:
    """Say who came: people, bots, agents and suspects, why they are labelled so, and how much each did.

    Args:
        shop: An opened shop; only read.

    Returns:
        A row for each label and reason, most events first.

    >>> report(Shop.simulated(customers=40, items=20, days=20)).table["label"].to_pylist()
    ['human']
    """
    found = inputs.read_shares(shop)
    total = int(pc.sum(found["events"]).as_py() or 0)
    share = pc.divide(found["events"].cast(pa.float64()), float(max(total, 1)))
    table = pa.table([found["label"], found["reason"], found["people"], found["events"], share], schema=answers.REPORT)
    return Report(title=say("Who came"), table=table, evidence=ExactCount(say("stored events"), total),
                  method="exact count", notes=_never(shop), asked={"question": "traffic.report"})


def _never(shop: Shop) -> tuple[Sentence, ...]:
    notes = [say("bots are left out of every other answer; agents and suspects count.")]
    if inputs.facts(shop) is None:
        notes.append(say("nobody has been labelled by behaviour yet: shopkeeper traffic label SHOP"))
    return tuple(notes)


@question
def people(shop: Shop, *, label: Literal["bot", "agent", "suspect"] = "bot", n: int = 20) -> People:
    """Name who is labelled, and why; who did most comes first.

    Args:
        shop: An opened shop; only read.
        label: Which label.
        n: How many to show.

    Returns:
        A row a person, by protocol or by behaviour; who is labelled by both stands there by protocol.

    Raises:
        BadInput: `n` is below 1, or `label` is none of these.
    """
    _at_least_one(n)
    one_of("label", label, ("bot", "agent", "suspect"))
    own = inputs.read_by_agent(shop, label)
    table = pa.table({**{name: own[name] for name in own.column_names}, "label": [label] * own.num_rows}).select(
        answers.PEOPLE.names).cast(answers.PEOPLE)
    known = inputs.read_facts(shop)
    if known is not None:
        more = known.filter(pc.equal(known["label"], label)).cast(answers.PEOPLE)
        more = more.filter(pc.invert(pc.is_in(more["person"], own["person"].combine_chunks())))
        table = pa.concat_tables([table, more])
    order = table.sort_by([("events", "descending"), ("person", "ascending")])
    return People(title=say("{n:,} people are labelled {label}", n=table.num_rows, label=answers.named(label)),
                  table=order.slice(0, n), evidence=ExactCount(say("people who are labelled"), table.num_rows),
                  method="exact count", asked={"question": "traffic.people", "label": label, "n": n})


@question
def clicks(shop: Shop, *, within: int = 30, n: int = 20) -> Clicks:
    """Say which clicks on ads are worth nothing: click ids used again, clicks without arrival, clicks of bots.

    Args:
        shop: An opened shop; only read.
        within: Days before the shop's clock that are counted.
        n: How many campaigns to show.

    Returns:
        A row a campaign and source, most invalid clicks first. A click id counts once.

    Raises:
        BadInput: `n` or `within` is below 1.
    """
    _at_least_one(n)
    _at_least_one(within, "within", 30)
    found = inputs.read_campaigns(shop, inputs.begin(shop, within))
    share = pc.divide(found["invalid"].cast(pa.float64()), found["clicks"].cast(pa.float64()))
    table = pa.table([*(found[name] for name in answers.CLICKS.names[:-1]), share], schema=answers.CLICKS)
    total, invalid = (int(pc.sum(table[name]).as_py() or 0) for name in ("clicks", "invalid"))
    return Clicks(title=say("{invalid:,} of {clicks:,} clicks are worth nothing", invalid=invalid, clicks=total),
                  table=table.slice(0, n), evidence=ExactCount(say("click ids"), total), method="exact count",
                  notes=(say("a click id counts as used again when several people come with it; as without arrival "
                             "when the ad was clicked and no page followed with its id."),),
                  asked={"question": "traffic.clicks", "within": within, "n": n})


@question
def reviews(shop: Shop, *, n: int = 20) -> Reviews:
    """Show reviews that machines may have made: by what their accounts do first, by their text second.

    Args:
        shop: An opened shop; only read.
        n: How many to show.

    Returns:
        A row a review, the surest first.

    Raises:
        BadInput: `n` is below 1.
    """
    _at_least_one(n)
    said, who = inputs.read_reviews(shop)
    found = written.signs(_written(said, who))
    score = written.score(found)
    rows = np.flatnonzero(score >= SURE)
    rows = rows[np.lexsort((rows, -score[rows]))]
    why = [[name for name, says in zip(written.REASONS, found[row], strict=True) if says] for row in rows[:n]]
    shown = said.take(pa.array(rows[:n]))
    table = pa.table([*(shown[name] for name in ("event_id", "ts", "item_id", "person", "rating")),
                      pa.array(score[rows[:n]].round(4)), pa.array(why, pa.list_(pa.string()))], schema=answers.REVIEWS)
    return Reviews(title=say("{n:,} of {total:,} reviews look machine-made", n=len(rows), total=said.num_rows),
                   table=table, evidence=ExactCount(say("reviews"), said.num_rows),
                   method=str(say("behaviour, then text")),
                   notes=(say("a hint and no finding; what most accounts do is no sign."),),
                   asked={"question": "traffic.reviews", "n": n})


def _written(said: pa.Table, who: pa.Table) -> written.Written:
    """Reviews as arrays, each with what its account did."""
    at = pc.index_in(said["person"].combine_chunks(), who["person"].combine_chunks())
    did: dict[str, Any] = {name: who[name].combine_chunks().take(at).fill_null(0).to_numpy(zero_copy_only=False)
                           for name in ("reviews", "others", "items")}
    item = said["item_id"].combine_chunks().fill_null("").dictionary_encode()
    return written.Written(said["ts"].cast(pa.int64()).to_numpy(), item.indices.to_numpy().astype(np.int64),
                           [text or "" for text in said["text"].to_pylist()], **did)


def _at_least_one(n: int, name: str = "n", usual: int = 20) -> None:
    if n < 1:
        raise BadInput(say("{name} is {value}; it must be at least 1.", name=name, value=n),
                       do=[say("{example}", example=f"--{name} {usual}")])
