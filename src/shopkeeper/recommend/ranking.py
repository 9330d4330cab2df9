"""Ranked items under rules: what a question asks of the log, and what the live desk asks of its memory, alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput, MissingTable
from shopkeeper.recommend.desk import Desk
from shopkeeper.recommend.inputs import WEIGHTS
from shopkeeper.recommend.methods.base import Histories, Rows
from shopkeeper.recommend.rules import Rules, Shelf, allowed, boosted, check_names, kept_pins, notes, pick
from shopkeeper.words import Sentence, say

BOUGHT = WEIGHTS["conversion"]
REASONS = 5  # items of the history that are named for each ranked item
Beside = Literal["", "basket", "next"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a ranking.

    Attributes:
        n: How many items.
        rules: What to leave out, put first or limit.
        beside: As of `Items`.
        now: Microseconds UTC.
    """

    n: int
    rules: Rules
    now: int
    beside: Beside = ""


@dataclass(frozen=True)
class Ranked:
    """A ranking under its rules.

    Attributes:
        rows: Item rows, best first.
        score: Row -> its score.
        left: How many items no rule removed.
        removed: As of `Items`.
        notes: What must be said of it.
    """

    rows: list[int]
    score: dict[int, float]
    left: int
    removed: dict[str, int]
    notes: tuple[Sentence, ...]


def rank(found: Desk, shelf: Shelf, histories: Histories, wanted: Wanted) -> Ranked:
    """Rank for one customer, and lay the rules over it.

    Args:
        found: Who ranks.
        shelf: (n_items,) what is known of the desk's things, in the order of their rows.
        histories: One customer's history, in rows of the desk's things.
        wanted: What is asked.

    Raises:
        UnknownName: A rule names a category or brand that is not there.
    """
    rules = wanted.rules
    check_names(rules, shelf)
    keep, removed, more = _allowed(found, histories, wanted, shelf)
    order, score, idle = _order(found, histories, wanted, shelf, keep)
    rows, held = _picked(found, histories, wanted, shelf, (keep, order, score))
    removed = {**removed, **held}
    return Ranked(rows, score, len(shelf.ids) if keep is None else int(keep.sum()), removed,
                  (*more, *notes(removed), *_about_pins(rules, shelf), *idle, *_about_new(found, rows)))


def _about_new(found: Desk, rows: list[int]) -> tuple[Sentence, ...]:
    """What must be said of new items among those that are named."""
    new = [row for row in rows if row in found.new]
    if not new or found.arrivals is None:
        return ()
    return (say("new, and known only by what they are like: {items}; {how}", how=found.arrivals.sentence(),
                items=", ".join(found.things.ids(new))),)


def about_history(customer: str, person: str, lines: int, known: Histories) -> tuple[Sentence, ...]:
    """What must be said of whom an answer is about.

    Args:
        customer: As asked.
        person: The pseudonym that was meant.
        lines: Lines of the whole history.
        known: Those of them that the desk knows the items of.
    """
    if not lines:
        return (say("the log has no item events of {customer}: these are the popular items.", customer=customer),)
    said = () if person[:2] != "a_" or person == customer else (
        say("{customer} is no customer; this is the anonymous visitor of that name.", customer=customer),)
    if not len(known.when):
        return (*said, say("the items of {customer} are newer than what was learned: these are the popular items.",
                           customer=customer))
    return said


def reasons(found: Desk, histories: Histories, ranked: Ranked, titles: npt.NDArray[Any], wanted: Wanted) -> list[Any]:
    """For each ranked item, the items of the history behind it, with how often and when last if not just named."""
    because = found.fitted.because(histories, np.asarray(ranked.rows, dtype=np.int64), wanted.now)
    named = bool(wanted.beside)
    rows = sorted({row for some in because for row, _ in some[:REASONS]})
    ids = dict(zip(rows, found.things.ids(rows), strict=True))
    times = {row: histories.when[histories.item == row] for row in rows}
    return [[{"item_id": ids[row], "title": titles[row], "share": float(share),
              "times": None if named else len(times[row]), "last": None if named else _last(times[row])}
             for row, share in some[:REASONS]] for some in because]


def _last(when: npt.NDArray[np.int64]) -> int:
    return int(when.max(initial=0))


def at_least_one(n: int) -> None:
    """Refuse to name nothing.

    Raises:
        BadInput: `n` is less than 1.
    """
    if n < 1:
        raise BadInput(say("n is {n}; it must be at least 1.", n=n), do=[say("--n 10")],
                       why=say("it says how many to name."))


def check_tables(has: Callable[[str], bool], currency: Callable[[], str], rules: Rules, path: str) -> None:
    """Refuse rules that ask for what the shop does not have.

    Args:
        has: Whether the shop has a table.
        currency: Gives the currency of money, or refuses a log with several.
        rules: The rules.
        path: The shop's folder, for the advice.

    Raises:
        MissingTable: The items table or the stock table is needed, and was never given.
        MixedCurrencies: A price is named, and the log has several currencies.
    """
    for needed, table in ((rules.needs_items, "items"), (rules.exclude_out_of_stock, "stock")):
        if needed and not has(table):
            raise MissingTable(say("a rule needs the table {table}, and this shop has none.", table=table),
                               do=[say("shopkeeper ingest {path} FILE --table {table}", path=path, table=table)],
                               why=say("categories and brands stand in the items table, stock on hand in stock."))
    if rules.price_min is not None or rules.price_max is not None:
        currency()


def _allowed(found: Desk, histories: Histories, wanted: Wanted,
             shelf: Shelf) -> tuple[Mask | None, dict[str, int], tuple[Sentence, ...]]:
    """Which items may be shown (None: all), how many each rule removed, and what else must be said of that."""
    rules, beside = wanted.rules, wanted.beside
    if not rules.removes and found.repeats and not beside:
        return None, {}, ()
    seen, bought, had = (_mask(len(shelf.ids), histories.item[histories.weight >= least])
                         for least in (0.0, BOUGHT, found.had))
    keep, removed = allowed(rules, shelf, seen, bought)
    said = tuple(say("the pinned item {item} stays, although {rule} would have removed it.", item=item, rule=rule)
                 for item, rule in kept_pins(rules, shelf, seen, bought))
    counts = {name: int(gone.sum()) for name, gone in removed.items()}
    if not beside and found.repeats:
        return keep, counts, said
    out = keep & (seen if beside else had)
    if not beside:
        out &= ~shelf.named(rules.pin)
    if not beside and out.any():
        said = (*said, say("what the customer has already is left out: in this shop people do not come back for it."))
    return keep & ~out, {**counts, "given" if beside else "had": int(out.sum())}, said


def _mask(n: int, rows: npt.NDArray[Any]) -> Mask:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def _order(found: Desk, histories: Histories, wanted: Wanted, shelf: Shelf,
           keep: Mask | None) -> tuple[Rows, dict[int, float], tuple[Sentence, ...]]:
    """Allowed item rows, best first, as many as the rules may need; the score of each; and which boosts did nothing."""
    rules, n_items = wanted.rules, len(shelf.ids)
    k = n_items if rules.boost else min(n_items, _reach(wanted))
    rows, values = _valid(*found.fitted.top(histories, wanted.now, k, allowed=keep))
    idle: list[str] = []
    if rules.boost:
        part = Shelf(shelf.ids[rows], shelf.category[rows], shelf.brand[rows], shelf.price[rows])
        values, idle = boosted(rules, part, values)
        by = np.argsort(-values, kind="stable")
        rows, values = rows[by], values[by]
    score = dict(zip(rows.tolist(), values.tolist(), strict=True))
    if rules.pin:
        mask = shelf.named(rules.pin)
        mask[rows] = False
        if mask.any():
            also = _valid(*found.fitted.top(histories, wanted.now, len(rules.pin), allowed=mask))
            score.update(zip(also[0].tolist(), also[1].tolist(), strict=True))
    return rows, score, tuple(say("the boost {boost} changes nothing: those items have no score to multiply.",
                                  boost=text) for text in idle)


def _reach(wanted: Wanted) -> int:
    """How many items of a ranking are looked at first; where limits hold many back, `_picked` goes further."""
    rules = wanted.rules
    return wanted.n + len(rules.pin) + (50 + 3 * wanted.n if rules.reorder else 0)


def _picked(found: Desk, histories: Histories, wanted: Wanted, shelf: Shelf,
            ranked: tuple[Mask | None, Rows, dict[int, float]]) -> tuple[list[int], dict[str, int]]:
    """The first n under the limits. Where too few are left of those looked at, all are ranked; `score` takes them."""
    keep, order, score = ranked
    rows, held = pick(order, wanted.rules, shelf, wanted.n)
    if len(rows) < wanted.n and wanted.rules.reorder and _reach(wanted) <= len(order) < len(shelf.ids):
        order, values = _valid(*found.fitted.top(histories, wanted.now, len(shelf.ids), allowed=keep))
        score.update(zip(order.tolist(), values.tolist(), strict=True))
        rows, held = pick(order, wanted.rules, shelf, wanted.n)
    return rows, held


def _valid(ranked: Rows, scores: npt.NDArray[np.float32]) -> tuple[Rows, npt.NDArray[np.float64]]:
    """The one customer's rows and scores, without the empty places."""
    here = ranked[0] >= 0
    return ranked[0][here], scores[0][here].astype(np.float64)


def _about_pins(rules: Rules, shelf: Shelf) -> tuple[Sentence, ...]:
    if not rules.pin and not rules.boost:
        return ()
    boosts: Sequence[str] = [which for what, which in rules.factors() if what == "item"]
    return (*(say("the pinned item {item} is not in the log.", item=item) for item in dict.fromkeys(rules.pin)
              if item not in shelf.place),
            *(say("the boosted item {item} is not in the log.", item=item) for item in boosts
              if item not in shelf.place))
