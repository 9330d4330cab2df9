"""Who answers a question: the installed method, or the plainest rule where nothing has been learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shopkeeper.asking import Evidence
from shopkeeper.errors import Damaged
from shopkeeper.evidence import NotLearned, Trial
from shopkeeper.recommend.arrivals import NEW, Arrivals, first_day, new_rows
from shopkeeper.recommend.calibration import Chances
from shopkeeper.recommend.inputs import WEIGHTS, Listing, read_counts
from shopkeeper.recommend.methods.base import DAY, Fitted
from shopkeeper.recommend.methods.first_day import WithNew
from shopkeeper.recommend.methods.popular import PopularFitted, PopularParams
from shopkeeper.recommend.trials import known_methods
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.warehouse.models import Model
from shopkeeper.words import Sentence, say


@dataclass(frozen=True)
class Desk:
    """A fitted method and what it ranks.

    Attributes:
        fitted: The method.
        things: What its columns are: items, or people where it ranks people.
        evidence: Its trial, or that nothing has been learned.
        learned: Whether it was fitted by `learn`.
        repeats: Whether what a customer has already is offered again.
        had: The weight from which a line of a history means that the customer has the item.
        notes: What else must be said of it.
        chances: How likely what it ranks first is taken; None where that is not known.
        arrivals: How new items are ranked, and what was known of items when that was learned; None where it is not.
        new: Rows of `things` that are new items.
    """

    fitted: Fitted
    things: Vocabulary
    evidence: Evidence
    learned: bool = True
    repeats: bool = True
    had: float = WEIGHTS["conversion"]
    notes: tuple[Sentence, ...] = ()
    chances: Chances | None = None
    arrivals: Arrivals | None = None
    new: frozenset[int] = frozenset()

    def method(self, row: int) -> str:
        """Who ranked an item."""
        return NEW if row in self.new else self.fitted.name


def desk(shop: Shop, question: str, key: str | None = None) -> Desk:
    """The desk of a question.

    Args:
        shop: An opened shop.
        question: `room.question`.
        key: What the model is kept under, where that is not the question itself.

    Raises:
        UnknownName: Nothing has been learned, and the log has no events of people with items.
        Damaged: The installed model cannot be read, or names a method that is not installed.
    """
    model = shop.installed(key or question)
    if model is None:
        return plain_desk(shop, question)
    if is_later(shop, model):
        return plain_desk(shop, question,
                          (say("what was learned knows later events than this view of the log shows."),))
    with_method = known_methods(question).get(str(model.record.get("method")))
    if with_method is None:
        raise Damaged(say("the installed method {name} of {question} is not here.",
                          name=repr(model.record.get("method")), question=question),
                      do=[say("install the package that it came from"), say("shopkeeper learn SHOP --rollback")],
                      why=say("its model can only be read by the code that wrote it."))
    arrays = {part: _part(model, part) for part in ("method", "vocabulary")}
    try:
        meta = model.record["meta"]
        return Desk(with_method.restore(arrays["method"], meta["method"]), Vocabulary.restore(arrays["vocabulary"]),
                    trial_of(model), repeats=bool(meta["repeats"]), had=WEIGHTS[meta["role"]],
                    chances=None if meta.get("chances") is None else Chances.from_dict(meta["chances"]),
                    arrivals=arrivals_of(model))
    except (KeyError, ValueError, TypeError, IndexError) as wrong:
        raise _unreadable(model) from wrong


def _part(model: Model, part: str) -> dict[str, Any]:
    return {key.removeprefix(f"{part}."): value for key, value in model.arrays.items() if key.startswith(f"{part}.")}


def arrivals_of(model: Model) -> Arrivals | None:
    """What an installed model knows of new items; None where it was learned without.

    Raises:
        Damaged: The record is not one that this version reads.
    """
    try:
        found = model.record["meta"].get("arrivals")
        return None if found is None else Arrivals.restore(_part(model, "arrivals"), found)
    except (KeyError, ValueError, TypeError, AttributeError) as wrong:
        raise _unreadable(model) from wrong


def with_new(found: Desk, read: Callable[[], Listing | None], now: int) -> Desk:
    """The desk with the new items of the items table, where a trial has found that they may enter lists.

    Args:
        found: A desk of `next_items`.
        read: Gives the items table as it is now; asked where it is needed.
        now: Microseconds UTC.
    """
    listing = None if found.arrivals is None else read()
    if found.arrivals is None or listing is None:
        return found
    ids, few = new_rows(found.arrivals, listing, found.things, now)
    if not ids and not len(few):
        return found
    if not found.arrivals.used:
        return replace(found, notes=(*found.notes, found.arrivals.sentence())) if ids else found
    things = found.things.extended(ids)
    rows = np.concatenate([few, things.rows(ids)]).astype(np.int64)
    first = first_day(listing, things.ids(), found.arrivals.popularity, rows)
    fitted = WithNew(found.fitted, len(found.things), first, found.arrivals.way, found.arrivals.share)
    return replace(found, fitted=fitted, things=things, new=frozenset(rows.tolist()))


def trial_of(model: Model) -> Trial:
    """The trial that an installed model came from.

    Raises:
        Damaged: The record is not one that this version reads.
    """
    try:
        return Trial.from_dict(model.record["trial"])
    except (KeyError, ValueError, TypeError) as wrong:
        raise _unreadable(model) from wrong


def is_later(shop: Shop, model: Model) -> bool:
    """Whether a model was learned from events after the end of this view of the log."""
    return shop.until is not None and int(model.record.get("as_of", 0)) > shop.now()


def _unreadable(model: Model) -> Damaged:
    return Damaged(say("model {version} of {question} is not one that this version can read.", version=model.version,
                       question=model.question),
                   do=[say("shopkeeper learn SHOP --force"), say("shopkeeper learn SHOP --rollback")],
                   why=say("it is damaged, or another version of shopkeeper wrote it."))


def plain_desk(shop: Shop, question: str, notes: tuple[Sentence, ...] = ()) -> Desk:
    """Popular over the default window, from counts alone: the same answer as `Popular().fit` over the whole log."""
    params = PopularParams()
    column = "person" if question == "recommend.audience" else "item_id"
    things, recent, ever = read_counts(shop, column, shop.now() - (params.window or 0) * DAY)
    fitted = PopularFitted(recent, ever, params)
    return Desk(fitted, things, NotLearned(question, fitted.name), learned=False, notes=notes)
