"""Before a winner takes the place of what is installed: how both do on the newest week, unknown to either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from shopkeeper.evidence import metrics
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.evidence.trial import Scores, Setup, Trial, ladder
from shopkeeper.recommend.desk import Desk
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import DAY, Fitted, Histories, ItemSets, Method, Rows
from shopkeeper.recommend.trials import CONTESTS, FEWEST, MOST, Fit, K, contest_of, known_methods
from shopkeeper.represent.vocabulary import Vocabulary

NEWEST = 7  # days


def against_installed(log: Log, question: str, made: Fit, installed: Desk, known_until: int, *,
                      seed: int = 0) -> Trial | None:
    """Compare a winner with what is installed on the newest week of the log.

    The winner is fitted anew on what came before that week. What is installed answers as it stands, unless it has
    itself learned from the week; then it is fitted anew, too.

    Args:
        log: The log that the winner was learned from.
        question: `recommend.next_items`, for example.
        made: The winner.
        installed: What serves now.
        known_until: The shop's clock when that was learned, microseconds UTC.
        seed: Of the cases and of the interval.

    Returns:
        A trial of `installed` and `new`, or None where the week has too few cases, or the method that serves is not
        here any more.
    """
    contest = contest_of(question, log)
    over = log.turned() if contest.turned else log
    cut = over.now + 1 - NEWEST * DAY
    split = TimeSplit(cut, cut, over.now + 1)
    cases = contest.cases(over, split, seed, MOST, repeats=bool(made.meta["repeats"]))
    methods = {**known_methods(question), **{method.name: method for method in contest.methods(log)}}
    if len(np.unique(cases.cluster)) < FEWEST or {made.method, installed.fitted.name} - methods.keys():
        return None
    past = over.interactions.before(cut)
    new = methods[made.method].fit(past, cut, made.params)
    old = _as_it_stands(installed, over.items) if known_until < cut else _again(methods, installed, past, cut)
    scores = [Scores(name, metrics.ndcg_at(fitted.top(cases.histories, cut, K, exclude=cases.known)[0],
                                           cases.relevant, K), cases.cluster)
              for name, fitted in (("installed", old), ("new", new))]
    return ladder(scores, Setup(question, f"NDCG@{K}", split, log.timezone, CONTESTS[question].who, seed=seed))


def _again(methods: Mapping[str, Method], installed: Desk, past: Any, cut: int) -> Fitted:
    return methods[installed.fitted.name].fit(past, cut, installed.fitted.params)


def _as_it_stands(installed: Desk, items: Vocabulary) -> Any:
    return _Translated(installed.fitted, installed.things.rows(items.arrow), items.rows(installed.things.arrow))


class _Translated:
    """A fitted method that is asked in the rows of another vocabulary.

    Args:
        fitted: The method.
        there: (n_items,) its row of each of ours, -1 where it does not know the item.
        here: (n_things,) our row of each of its own.
    """

    def __init__(self, fitted: Fitted, there: Rows, here: Rows) -> None:
        self._fitted, self._there, self._here = fitted, there, here

    def top(self, histories: Histories, now: int, k: int, exclude: ItemSets | None = None) -> tuple[Rows, Any]:
        """As `Fitted.top`, in our rows."""
        over = Histories(histories.indptr, self._there[histories.item], histories.when, histories.basket,
                         histories.weight)
        sets = None if exclude is None else ItemSets(exclude.indptr, self._there[exclude.item])
        ranked, scores = self._fitted.top(over.where(over.item >= 0), now, k, exclude=sets)
        return np.where(ranked >= 0, self._here[ranked], -1), scores


