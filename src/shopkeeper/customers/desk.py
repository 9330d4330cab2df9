"""Who answers: the installed method, or the plainest where nothing has been learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shopkeeper.asking import Evidence
from shopkeeper.customers import trials
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods import value
from shopkeeper.customers.methods.risk import WAYS, Cases
from shopkeeper.customers.methods.stopping import cases_at
from shopkeeper.customers.methods.value import PastRate, Worth
from shopkeeper.customers.trials import AT_RISK, VALUE, Judged
from shopkeeper.errors import Damaged, TooLittleHistory
from shopkeeper.evidence import NotLearned, Trial
from shopkeeper.shop import Shop
from shopkeeper.warehouse.models import Model
from shopkeeper.words import Sentence, say


@dataclass(frozen=True, eq=False)
class Warner:
    """A calibrated way to say who stops.

    Attributes:
        judged: The way.
        method: Its name.
        within: Days without a purchase that count as having stopped.
        evidence: Its trial, or that nothing has been learned.
        notes: What else must be said.
        reliability: Of the trial: what was said, what came, of how many; nothing before it.
    """

    judged: Judged
    method: str
    within: int
    evidence: Evidence
    notes: tuple[Sentence, ...] = ()
    reliability: tuple[dict[str, float], ...] = ()


def warner(shop: Shop, log: Log, within: int | None) -> Warner:
    """The warner of a shop: the installed one, if it looks as far as is asked; else the rule of silence.

    Raises:
        TooLittleHistory: No day of the log is old enough to count on.
        Damaged: The installed model cannot be read.
    """
    model, notes = _seen(shop, AT_RISK)
    if model is not None and within in (None, model.record["meta"]["within"]):
        meta = model.record["meta"]
        try:
            judged = trials.restore(model.arrays, str(model.record["method"]), meta)
            return Warner(judged, str(model.record["method"]), int(meta["within"]),
                          Trial.from_dict(model.record["trial"]), notes, tuple(meta["reliability"]))
        except (KeyError, ValueError, TypeError) as wrong:
            raise _unreadable(model) from wrong
    if model is not None:
        notes = (*notes, say("what was learned looks {days} days ahead; for another horizon the plainest rule answers.",
                             days=model.record["meta"]["within"]))
    return _plain_warner(log, trials.horizon_of(log) if within is None else within, notes)


def _plain_warner(log: Log, within: int, notes: tuple[Sentence, ...]) -> Warner:
    """The rule of silence: how many of those who were as silent, on earlier days, did not come back."""
    cuts = trials.cuts_of(int(log.days.day.min()), log.cut, within)
    parts = [cases_at(log.days, cut, within) for cut in cuts]
    cases = Cases.together(parts) if parts else None
    if cases is None or not len(cases) or cases.gone.min() == cases.gone.max():
        raise TooLittleHistory(say("nobody was silent and came back, or nobody stopped, within {days} days.",
                                   days=within), do=[say("--within 30"), say("shop.ingest(...) more of the log")],
                               why=say("a chance is counted on those whose end is known."))
    judged = trials.judged(WAYS[0], cases, log.cut)
    return Warner(judged, WAYS[0].name, within, NotLearned(AT_RISK, WAYS[0].name), notes)


def valuer(shop: Shop, log: Log) -> tuple[Worth, Evidence, tuple[Sentence, ...]]:
    """Who says what customers are worth, the evidence for it, and what else must be said.

    Raises:
        Damaged: The installed model cannot be read.
    """
    model, notes = _seen(shop, VALUE)
    if model is None:
        return PastRate.fit(log.days, log.cut), NotLearned(VALUE, PastRate.name), notes
    methods = {one.name: one for one in value.METHODS}
    try:
        found = methods[str(model.record["method"])].restore(model.arrays)
        trial = Trial.from_dict(model.record["trial"])
    except (KeyError, ValueError, TypeError, IndexError) as wrong:
        raise _unreadable(model) from wrong
    if not isinstance(found, PastRate) and abs(found.level - 1) > 0.005:
        notes = (*notes, say("the level is {level}: so much came after earlier days of this log for each purchase "
                             "that was expected.", level=round(found.level, 3)))
    return found, trial, notes


def _seen(shop: Shop, question: str) -> tuple[Model | None, tuple[Sentence, ...]]:
    """The installed model, unless it knows later events than this view shows."""
    model = shop.installed(question)
    if model is not None and shop.until is not None and int(model.record.get("as_of", 0)) > shop.now():
        return None, (say("what was learned knows later events than this view of the log shows."),)
    return model, ()


def _unreadable(model: Model) -> Damaged:
    return Damaged(say("model {version} of {question} is not one that this version can read.", version=model.version,
                       question=model.question),
                   do=[say("shopkeeper learn SHOP --force"), say("shopkeeper learn SHOP --rollback")],
                   why=say("it is damaged, or another version of shopkeeper wrote it."))


def draws_for(n: int) -> int:
    """How many futures are drawn for so many customers: 60 to 300, fewer the more they are."""
    return int(np.clip(4_000_000 // max(n, 1), 60, 300))
