"""Who answers a question: the installed method, or the plainest rule where nothing has been learned."""

from __future__ import annotations

from dataclasses import dataclass

from shopkeeper.asking import Evidence
from shopkeeper.errors import Damaged
from shopkeeper.evidence import NotLearned, Trial
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.base import DAY, Fitted
from shopkeeper.recommend.methods.popular import Popular
from shopkeeper.recommend.trials import known_methods
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.words import say

RECENT = 28  # days that the plain rule looks back where nothing has been learned


@dataclass(frozen=True)
class Desk:
    """A fitted method and what it ranks.

    Attributes:
        fitted: The method.
        things: What its columns are: items, or people where it ranks people.
        evidence: Its trial, or that nothing has been learned.
        repeats: Whether what a customer has already is offered again.
    """

    fitted: Fitted
    things: Vocabulary
    evidence: Evidence
    repeats: bool = True


def desk(shop: Shop, question: str) -> Desk:
    """The desk of a question.

    Raises:
        UnknownName: The log has no events of people with items.
        Damaged: The installed model cannot be read, or names a method that is not installed.
    """
    model = shop.installed(question)
    if model is None:
        return _plain(shop, question)
    name = model.record["method"]
    method = known_methods(question).get(name)
    if method is None:
        raise Damaged(say("the installed method {name} of {question} is not here.", name=repr(name), question=question),
                      do=[say("install the package that it came from"), say("shopkeeper learn SHOP --rollback")],
                      why=say("its model can only be read by the code that wrote it."))
    arrays = {part: {key.removeprefix(f"{part}."): value for key, value in model.arrays.items()
                     if key.startswith(f"{part}.")} for part in ("method", "vocabulary")}
    meta = model.record["meta"]
    return Desk(method.restore(arrays["method"], meta["method"]), Vocabulary.restore(arrays["vocabulary"]),
                Trial.from_dict(model.record["trial"]), meta["repeats"])


def _plain(shop: Shop, question: str) -> Desk:
    log = read_log(shop, shop.now() - RECENT * DAY)
    log = log.turned() if question == "recommend.audience" else log
    method = Popular()
    return Desk(method.fit(log.interactions, log.now, method.candidates()[0]), log.items,
                NotLearned(question, method.name))
