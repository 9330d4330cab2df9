"""The questions of recommending: inputs -> method -> answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.asking import question
from shopkeeper.errors import BadInput, MissingTable, UnknownName
from shopkeeper.evidence import ExactCount, Trial
from shopkeeper.recommend import inputs
from shopkeeper.recommend.answers import AUDIENCE, BECAUSE, ITEMS, Audience, Items, Trials
from shopkeeper.recommend.desk import Desk, desk
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.rules import Rules, Shelf, allowed, boosted, notes, pick
from shopkeeper.recommend.trials import QUESTIONS
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

BOUGHT = inputs.WEIGHTS["conversion"]


@question
def next_items(shop: Shop, customer: str, *, n: int = 10, rules: Rules | None = None) -> Items:
    """Say what a customer wants next, and because of what.

    Args:
        shop: An opened shop; only read.
        customer: The customer as the merchant knows it, or a pseudonym.
        n: How many items.
        rules: What to leave out, put first or limit.

    Returns:
        Items, best first. Somebody whom the log does not know gets the popular items, and the answer says so.

    Raises:
        BadInput: `n` is less than 1, or a rule makes no sense.
        MissingTable: A rule needs a table that the shop does not have.

    >>> next_items(Shop.simulated(customers=60, items=30, days=40), "nobody", n=3).table.num_rows
    3
    """
    _at_least_one(n)
    found = desk(shop, "recommend.next_items")
    history = inputs.read_history(shop, shop.person(customer))
    said = () if len(history.when) else (
        say("the log has no item events of {customer}: these are the popular items.", customer=customer),)
    asked = {"question": "recommend.next_items", "customer": customer, "n": n, "rules": rules or Rules()}
    return _ranked(shop, found, history.over(found.things), (rules or Rules(), n), asked,
                   title=say("What {customer} wants next", customer=customer), said=said)


@question
def similar_items(shop: Shop, item: str, *, n: int = 10, rules: Rules | None = None) -> Items:
    """Name the items that people turn to after this one.

    Args:
        shop: An opened shop; only read.
        item: An item id.
        n: How many items.
        rules: What to leave out, put first or limit.

    Returns:
        Items, the closest first; the item itself is left out.

    Raises:
        UnknownName: Nobody ever had to do with the item.
    """
    asked = {"question": "recommend.similar_items", "item": item, "n": n, "rules": rules or Rules()}
    return _beside(shop, (item,), (rules or Rules(), n), asked, say("Similar to {item}", item=item))


@question
def goes_with(shop: Shop, items: tuple[str, ...], *, n: int = 10, rules: Rules | None = None) -> Items:
    """Name the items that go into the same basket as these.

    Args:
        shop: An opened shop; only read.
        items: Item ids: what is in the basket already.
        n: How many items.
        rules: What to leave out, put first or limit.

    Returns:
        Items, the best first; those of the basket are left out.

    Raises:
        UnknownName: One of the items is not in the log.
    """
    items = (items,) if isinstance(items, str) else tuple(items)
    asked = {"question": "recommend.goes_with", "items": items, "n": n, "rules": rules or Rules()}
    return _beside(shop, items, (rules or Rules(), n), asked, say("Goes with {items}", items=", ".join(items)))


@question
def audience(shop: Shop, item: str, *, n: int = 100) -> Audience:
    """Name the customers who want this item most.

    Args:
        shop: An opened shop; only read.
        item: An item id.
        n: How many customers.

    Returns:
        Customers as pseudonyms, the keenest first.

    Raises:
        UnknownName: Nobody ever had to do with the item.
    """
    _at_least_one(n)
    found, takers = desk(shop, "recommend.audience"), inputs.read_takers(shop, item)
    if not len(takers.when):
        raise _unknown(item)
    histories = takers.over(found.things)
    ranked, scores = found.fitted.top(histories, shop.now(), min(n, len(found.things)),
                                      exclude=None if found.repeats else histories.items())
    rows = ranked[0][ranked[0] >= 0]
    table = _audience_table(takers, found.things.ids(rows), scores[0][: len(rows)], found.fitted.name)
    return Audience(title=say("Who wants {item}", item=item), table=table, evidence=found.evidence,
                    method=found.fitted.name, asked={"question": "recommend.audience", "item": item, "n": n})


@question
def evidence(shop: Shop) -> Trials:
    """Show the trials behind the recommendations: each method against the plainest rival.

    Args:
        shop: An opened shop; only read.

    Returns:
        A row for each question and method; a question that has not been learned has none.
    """
    trials = {name: Trial.from_dict(model.record["trial"]) for name in QUESTIONS
              if (model := shop.installed(name)) is not None}
    lines = [{"question": name.split(".")[1], "method": row.name, "metric": trial.setup.metric,
              "value": row.mean.estimate, "low": row.mean.low, "high": row.mean.high, "wins": row.name == trial.winner}
             for name, trial in trials.items() for row in trial.rows]
    schema = pa.schema([("question", pa.string()), ("method", pa.string()), ("metric", pa.string()),
                        ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("wins", pa.bool_())])
    said = tuple(say("{question}: {trial}", question=name.split(".")[1], trial=trial.sentence())
                 for name, trial in trials.items())
    if not trials:
        said = (say("nothing has been learned yet: shopkeeper learn {path}", path=str(shop.path)),)
    main = trials.get("recommend.next_items")
    return Trials(title=say("How we know"), table=pa.Table.from_pylist(lines, schema=schema), notes=said,
                  evidence=main or ExactCount(say("trials"), len(trials)), method="trial",
                  asked={"question": "recommend.evidence"})


def _beside(shop: Shop, items: tuple[str, ...], how: tuple[Rules, int], asked: dict[str, Any],
            title: Sentence) -> Items:
    """Items beside given ones: the given ones are the whole history, seen just now."""
    _at_least_one(how[1])
    found = desk(shop, str(asked["question"]))
    rows = found.things.rows(items)
    if not items or (rows < 0).any():
        raise _unknown(next((item for item, row in zip(items, rows.tolist(), strict=True) if row < 0), ""))
    now = shop.now()
    histories = Histories.single(rows, when=np.full(len(rows), now), basket=np.zeros(len(rows), dtype=np.int64))
    return _ranked(shop, found, histories, how, asked, title=title, leave_out=rows)


def _ranked(shop: Shop, found: Desk, histories: Histories, how: tuple[Rules, int], asked: dict[str, Any], *,
            title: Sentence, said: tuple[Sentence, ...] = (), leave_out: npt.NDArray[np.int64] | None = None) -> Items:
    """Rank, lay the rules over it, and say why."""
    rules, n = how
    now, things = shop.now(), found.things
    shelf, titles = inputs.read_shelf(shop, np.asarray(things.ids(), dtype=object))
    _check_rules(shop, rules)
    seen, bought = (np.isin(np.arange(len(things)), histories.item[mask]) for mask in (
        histories.weight >= 0, histories.weight >= BOUGHT))
    keep, removed = allowed(rules, shelf, seen, bought)
    if leave_out is not None:
        keep[leave_out] = False
    elif not found.repeats:
        said = (*said, say("what the customer has already is left out: in this shop people do not come back for it."))
        keep &= ~bought
    order, score = _order(found, histories, now, rules, shelf, keep, n)
    rows, held = pick(order, rules, shelf, n)
    because = found.fitted.because(histories, np.asarray(rows, dtype=np.int64), now)
    table = _items_table(found, shelf, titles, rows, score, _reasons(histories, because, things, titles))
    counts = {**removed, **held}
    return Items(title=title, table=table, evidence=found.evidence, method=found.fitted.name, asked=asked,
                 removed=counts, notes=(*said, *notes(counts), *_unknown_pins(rules, things)))


def _order(found: Desk, histories: Histories, now: int, rules: Rules, shelf: Shelf, keep: npt.NDArray[np.bool_],
           n: int) -> tuple[npt.NDArray[np.int64], dict[int, float]]:
    """Allowed item rows, best first, and the score of each; as many as the rules may need."""
    limited = rules.max_per_category is not None or rules.max_per_brand is not None or bool(rules.boost)
    k = len(shelf.ids) if limited else min(len(shelf.ids), n + len(rules.pin))
    ranked, scores = found.fitted.top(histories, now, k, allowed=keep)
    valid = ranked[0] >= 0
    rows, values = ranked[0][valid], scores[0][valid].astype(np.float64)
    if rules.boost:
        part = Shelf(shelf.ids[rows], shelf.category[rows], shelf.brand[rows], shelf.price[rows])
        values = boosted(rules, part, values)
        by = np.argsort(-values, kind="stable")
        rows, values = rows[by], values[by]
    return rows, dict(zip(rows.tolist(), values.tolist(), strict=True))


def _reasons(histories: Histories, because: Sequence[Any], things: Any, titles: npt.NDArray[Any]) -> list[list[Any]]:
    """For each ranked item, the items of the history behind it, with how often and when last."""
    ids = things.ids()
    times = np.bincount(histories.item, minlength=len(things)) if len(histories.item) else np.zeros(len(things), int)
    last = np.zeros(len(things), dtype=np.int64)
    np.maximum.at(last, histories.item, histories.when)
    return [[{"item_id": ids[row], "title": titles[row], "share": float(share), "times": int(times[row]),
              "last": int(last[row])} for row, share in reasons[:5]] for reasons in because]


def _items_table(found: Desk, shelf: Shelf, titles: npt.NDArray[Any], rows: list[int], score: dict[int, float],
                 reasons: list[list[Any]]) -> pa.Table:
    price = [None if np.isnan(shelf.price[row]) else float(shelf.price[row]) for row in rows]
    return pa.table({
        "rank": list(range(1, len(rows) + 1)), "item_id": [shelf.ids[row] for row in rows],
        "title": [titles[row] for row in rows], "category": [shelf.category[row] for row in rows], "price": price,
        "score": [score.get(row) for row in rows], "method": [found.fitted.name] * len(rows),
        "because": pa.array(reasons, pa.list_(BECAUSE))}, schema=ITEMS)


def _audience_table(takers: inputs.History, ids: list[str], scores: npt.NDArray[np.float32], method: str) -> pa.Table:
    people = np.asarray(takers.ids.to_pylist(), dtype=object)
    took = takers.weight >= BOUGHT
    counts: dict[str, int] = {}
    last: dict[str, int] = {}
    for person, when, bought in zip(people, takers.when.tolist(), took.tolist(), strict=True):
        counts[person] = counts.get(person, 0) + bool(bought)
        last[person] = max(last.get(person, 0), when)
    return pa.table({
        "rank": list(range(1, len(ids) + 1)), "customer": ids, "score": scores.astype(np.float64),
        "method": [method] * len(ids), "bought": [counts.get(person, 0) for person in ids],
        "last": pa.array([last.get(person) for person in ids], pa.timestamp("us"))}, schema=AUDIENCE)


def _check_rules(shop: Shop, rules: Rules) -> None:
    for needed, table in ((rules.needs_items, "items"), (rules.exclude_out_of_stock, "stock")):
        if needed and not shop.engine.has(table):
            raise MissingTable(say("a rule needs the table {table}, and this shop has none.", table=table),
                               do=[say("shopkeeper ingest {path} FILE --table {table}", path=str(shop.path),
                                       table=table)],
                               why=say("categories and brands stand in the items table, stock on hand in stock."))


def _unknown_pins(rules: Rules, things: Any) -> tuple[Sentence, ...]:
    return tuple(say("the pinned item {item} is not in the log.", item=item) for item in rules.pin
                 if item not in things)


def _at_least_one(n: int) -> None:
    if n < 1:
        raise BadInput(say("n is {n}; it must be at least 1.", n=n), do=[say("--n 10")],
                       why=say("it says how many to name."))


def _unknown(item: str) -> UnknownName:
    return UnknownName(say("item {item} is not in the log.", item=repr(item)),
                       do=[say("name an item that somebody looked at or bought.")],
                       why=say("what goes with an item is learned from what people did with it."))

