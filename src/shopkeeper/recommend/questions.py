"""The questions of recommending: inputs -> method -> answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.asking import Evidence, question
from shopkeeper.errors import BadInput, TooLittleHistory, UnknownName
from shopkeeper.evidence import ExactCount, NotLearned, Trial
from shopkeeper.recommend import inputs
from shopkeeper.recommend.answers import (
    AUDIENCE,
    BECAUSE,
    ITEMS,
    LIKELY,
    VECTORS,
    Audience,
    Items,
    Likely,
    Trials,
    Vectors,
)
from shopkeeper.recommend.arrivals import Arrivals
from shopkeeper.recommend.calibration import LATELY, features, of_histories
from shopkeeper.recommend.desk import Desk, arrivals_of, desk, is_later, trial_of, with_new
from shopkeeper.recommend.methods.base import Histories, ItemSets
from shopkeeper.recommend.points import decomposed, network_of, on_a_map, represented
from shopkeeper.recommend.ranking import (
    BOUGHT,
    Ranked,
    Wanted,
    about_history,
    at_least_one,
    check_tables,
    rank,
    reasons,
)
from shopkeeper.recommend.rules import Rules, Shelf
from shopkeeper.recommend.trials import QUESTIONS, WEIGHED, WITHIN, K
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say


@question
def next_items(shop: Shop, customer: str, *, n: int = 10, rules: Rules | None = None) -> Items:
    """Say what a customer wants next, and because of what.

    Args:
        shop: An opened shop; only read.
        customer: The customer as the merchant knows it, or a pseudonym; else an anonymous visitor.
        n: How many items.
        rules: What to leave out, put first or limit.

    Returns:
        Items, best first. Somebody whom the log does not know gets the popular items, and the answer says so. Items
        that nobody had to do with yet are ranked by what they are like, where a trial found that lists lose nothing by
        it; their method is `newcomers`.

    Raises:
        BadInput: `n` is less than 1, or a rule makes no sense.
        UnknownName: A rule names a category or brand that is not there, or the log has no items at all.
        MissingTable: A rule needs a table that the shop does not have.

    >>> next_items(Shop.simulated(customers=60, items=30, days=40), "nobody", n=3).table.num_rows
    3
    """
    at_least_one(n)
    found = with_new(desk(shop, "recommend.next_items"), lambda: inputs.read_listing(shop), shop.now())
    history, person = inputs.read_history(shop, customer)
    histories = history.over(found.things)
    said = about_history(customer, person, len(history.when), histories)
    asked = {"question": "recommend.next_items", "customer": customer, "n": n, "rules": rules or Rules()}
    title = say("What {customer} wants next", customer=customer)
    return _ranked(shop, found, histories, _Asked(asked, title, said=said))


@question
def chances(shop: Shop, customer: str, *, n: int = 10) -> Likely:
    """Say how likely a customer is to take what would be recommended, by what would be done.

    Args:
        shop: An opened shop; only read.
        customer: The customer as the merchant knows it, or a pseudonym; else an anonymous visitor.
        n: How many items.

    Returns:
        A row for each item and role: the chance that the customer does that, or something stronger, within the days
        that the answer names. It was fitted on one window and judged on the next. Where nothing was learned, or
        chances were no better than the base rate, that answers: the share of people who did it with the item lately.

    Raises:
        UnknownName: The log has no items at all.
    """
    at_least_one(n)
    found = desk(shop, "recommend.next_items")
    history, person = inputs.read_history(shop, customer)
    histories = history.over(found.things)
    shelf, titles = inputs.read_shelf(shop, np.asarray(found.things.ids(), dtype=object))
    ranked = rank(found, shelf, histories, Wanted(n, Rules(), shop.now()))
    rows = [row for row in ranked.rows if row in ranked.score]
    stated, evidence_, said = _stated(shop, found, ranked, histories, rows)
    lines = [{"rank": place + 1, "item_id": shelf.ids[row], "title": titles[row], "role": role, "chance": float(p)}
             for role, chance in stated.items() for place, (row, p) in enumerate(zip(rows, chance, strict=True))]
    known = found.chances.curves if found.chances else {}
    within = found.chances.within if found.chances else WITHIN
    return Likely(title=say("How likely {customer} takes it within {within} days", customer=customer, within=within),
                  table=pa.Table.from_pylist(sorted(lines, key=lambda line: line["rank"]), schema=LIKELY),
                  evidence=evidence_, method=found.fitted.name, within=within,
                  asked={"question": "recommend.chances", "customer": customer, "n": n},
                  notes=(*found.notes, *about_history(customer, person, len(history.when), histories), *said),
                  curves={role: {"stated": list(one.stated), "happened": list(one.happened), "n": list(one.n),
                                 "ece": one.ece, "skill": one.skill} for role, one in known.items()})


@question
def vectors(shop: Shop, *, of: Literal["items", "customers"] = "items", n: int = 10_000) -> Vectors:
    """Give items or customers as vectors, for a notebook or a map: near each other is alike in what people do.

    Args:
        shop: An opened shop; only read.
        of: Items, or the people who were active last.
        n: How many rows at most; items by how often people had to do with them.

    Returns:
        The vectors of the network that was learned for `next_items`; where none serves, those of a singular value
        decomposition of who had to do with what.

    Raises:
        UnknownName: The log has no events of people with items.

    Source:
        Levy, Goldberg (2014), Neural Word Embedding as Implicit Matrix Factorization (the decomposition).
    """
    at_least_one(n)
    log = inputs.read_log(shop)
    found = desk(shop, "recommend.next_items")
    network = network_of(found.fitted)
    if network is None:
        rows, points = decomposed(log, of, n)
    else:
        rows, points = represented(log, network, found.things, of, n)
    ids = (log.items if of == "items" else log.customers).ids(rows)
    across, down = on_a_map(points)
    numbers = list(points.astype(np.float32))
    table = pa.table({"id": ids, "vector": numbers, "across": across, "down": down}, schema=VECTORS)
    evidence_ = found.evidence if network is not None else ExactCount(say("events with items"), len(log.interactions))
    return Vectors(title=say("Items as points") if of == "items" else say("Customers as points"), table=table,
                   evidence=evidence_, method="sequence" if network is not None else "svd",
                   asked={"question": "recommend.vectors", "of": of, "n": n}, notes=found.notes)


@question
def similar_items(shop: Shop, item: str, *, n: int = 10, rules: Rules | None = None) -> Items:
    """Name the items that people turn to after this one.

    Where the items table knows categories, that is what they look at or take next of the same category.

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
    return _beside(shop, (item,), _Asked(asked, say("Similar to {item}", item=item), "next"))


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
    return _beside(shop, items, _Asked(asked, say("Goes with {items}", items=", ".join(items)), "basket"))


@question
def audience(shop: Shop, item: str, *, n: int = 100, segment: str | None = None) -> Audience:
    """Name the customers who want this item most.

    Args:
        shop: An opened shop; only read.
        item: An item id.
        n: How many customers.
        segment: Only people of this segment.

    Returns:
        Customers as pseudonyms, the keenest first.

    Raises:
        UnknownName: Nobody ever had to do with the item, or there is no such segment. MissingData: The shop has none.
    """
    at_least_one(n)
    found, takers = desk(shop, "recommend.audience"), inputs.read_takers(shop, item)
    if not len(takers.when):
        raise _unknown(item)
    histories = takers.over(found.things)
    have = histories.item[histories.weight >= found.had].astype(np.int64)
    mine = None if segment is None else inputs.read_members(shop, segment)
    most = len(found.things) if mine is not None else min(n, len(found.things))
    ranked, scores = found.fitted.top(histories, shop.now(), most,
                                      exclude=None if found.repeats else ItemSets.of([have.tolist()]))
    ids = found.things.ids(ranked[0][ranked[0] >= 0])
    kept = [at for at, one in enumerate(ids) if mine is None or one in mine][:n]
    table = _audience_table(takers, [ids[at] for at in kept], scores[0][kept], found.fitted.name)
    said = () if found.repeats else (
        say("who has it already is left out: in this shop people do not come back for things."),)
    return Audience(title=say("Who wants {item}", item=item), table=table, evidence=found.evidence,
                    method=found.fitted.name, notes=(*found.notes, *said),
                    asked={"question": "recommend.audience", "item": item, "n": n, "segment": segment})


@question
def evidence(shop: Shop) -> Trials:
    """Show the trials behind the recommendations: each method against the plainest rival.

    Args:
        shop: An opened shop; only read.

    Returns:
        A row for each question and method; a question that has not been learned has none. Where new items were tried,
        a row for each way of ordering them.
    """
    trials = {name: trial_of(model) for name in QUESTIONS
              if (model := shop.installed(name)) is not None and not is_later(shop, model)}
    arrivals = _of_new_items(shop) if "recommend.next_items" in trials else None
    among = {} if arrivals is None else {"recommend.next_items (new items)": arrivals.among}
    lines = [{"question": name.split(".")[1], "method": row.name, "metric": trial.setup.metric,
              "value": row.mean.estimate, "low": row.mean.low, "high": row.mean.high, "wins": row.name == trial.winner}
             for name, trial in {**trials, **among}.items() for row in trial.rows]
    schema = pa.schema([("question", pa.string()), ("method", pa.string()), ("metric", pa.string()),
                        ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("wins", pa.bool_())])
    said = tuple(say("{question}: {trial}", question=name.split(".")[1], trial=trial.sentence())
                 for name, trial in trials.items())
    said += () if arrivals is None else (arrivals.sentence(),)
    said += tuple(one for name, trial in trials.items() for one in _weighed(name.split(".")[1], trial))
    if not trials:
        said = (say("nothing has been learned yet: shopkeeper learn {path}", path=str(shop.path)),)
    main = trials.get("recommend.next_items")
    return Trials(title=say("How we know"), table=pa.Table.from_pylist(lines, schema=schema), notes=said,
                  evidence=main or ExactCount(say("trials"), len(trials)), method="trial",
                  asked={"question": "recommend.evidence"})


def _of_new_items(shop: Shop) -> Arrivals | None:
    model = shop.installed("recommend.next_items")
    return None if model is None else arrivals_of(model)


def _weighed(question: str, trial: Trial) -> tuple[Sentence, ...]:
    """What each method comes to where things count by how unlikely they were to be seen, beside the plain figure."""
    both = [(row.name, row.extras.get(f"ndcg@{K}"), row.extras.get(f"{WEIGHED} ndcg@{K}")) for row in trial.rows]
    figures = [f"{name} {plain_:.4f} → {value:.4f}" for name, plain_, value in both if plain_ is not None and value]
    if not figures:
        return ()
    return (say("{question}: NDCG@{k}, plain and where what was taken after it was shown counts by how unlikely it was "
                "to be seen: {figures}", question=question, k=K, figures=", ".join(figures)),)


@dataclass(frozen=True)
class _Asked:
    """A question for items as it was understood.

    Attributes:
        asked: As the answer shows it; `rules` and `n` are among it.
        title: Of the answer.
        beside: As of `Items`.
        said: What must be said of it.
    """

    asked: Mapping[str, Any]
    title: Sentence
    beside: Literal["", "basket", "next"] = ""
    said: tuple[Sentence, ...] = ()

    @property
    def rules(self) -> Rules:
        """What to leave out, put first or limit."""
        rules: Rules = self.asked["rules"]
        return rules

    @property
    def n(self) -> int:
        """How many items."""
        return int(self.asked["n"])


def _beside(shop: Shop, items: tuple[str, ...], ask: _Asked) -> Items:
    """Items beside given ones: the given ones are the whole history, seen just now."""
    at_least_one(ask.n)
    found = desk(shop, str(ask.asked["question"]))
    rows = found.things.rows(items)
    if not items:
        raise BadInput(say("no item was named."), do=[say("--items ID")],
                       why=say("what goes with something depends on what it is."))
    for item, row in zip(items, rows.tolist(), strict=True):
        if row < 0:
            raise _newer(shop, item) if found.learned and len(inputs.read_takers(shop, item).when) else _unknown(item)
    now = shop.now()
    histories = Histories.single(rows, when=np.full(len(rows), now), basket=np.zeros(len(rows), dtype=np.int64))
    return _ranked(shop, found, histories, ask)


def _ranked(shop: Shop, found: Desk, histories: Histories, ask: _Asked) -> Items:
    """Rank, lay the rules over it, and say why."""
    check_tables(shop.engine.has, shop.currency, ask.rules, str(shop.path))
    shelf, titles = inputs.read_shelf(shop, np.asarray(found.things.ids(), dtype=object))
    wanted = Wanted(ask.n, ask.rules, shop.now(), ask.beside)
    ranked = rank(found, shelf, histories, wanted)
    table = _items_table(found, shelf, titles, ranked, reasons(found, histories, ranked, titles, wanted))
    return Items(title=ask.title, table=table, evidence=found.evidence, method=found.fitted.name, asked=ask.asked,
                 notes=(*found.notes, *ask.said, *ranked.notes), catalogue=len(found.things), left=ranked.left,
                 removed=ranked.removed, beside=ask.beside)


def _items_table(found: Desk, shelf: Shelf, titles: npt.NDArray[Any], ranked: Ranked, why: list[Any]) -> pa.Table:
    rows = ranked.rows
    price = [None if np.isnan(shelf.price[row]) else round(float(shelf.price[row]), 4) for row in rows]
    return pa.table({
        "rank": list(range(1, len(rows) + 1)), "item_id": [shelf.ids[row] for row in rows],
        "title": [titles[row] for row in rows], "category": [shelf.category[row] for row in rows], "price": price,
        "score": [ranked.score.get(row) for row in rows], "method": [found.method(row) for row in rows],
        "because": pa.array(why, pa.list_(BECAUSE))}, schema=ITEMS)


def _stated(shop: Shop, found: Desk, ranked: Ranked, histories: Histories,
            rows: list[int]) -> tuple[dict[str, npt.NDArray[np.float64]], Evidence, tuple[Sentence, ...]]:
    """Role -> the chance of each of these rows; how we know; and what must be said."""
    if found.chances is not None:
        busy, silent = of_histories(histories, shop.now())
        x = features([ranked.score[row] for row in rows], np.arange(len(rows)), np.repeat(busy, len(rows)),
                     np.repeat(silent, len(rows)))
        return {role: curve.chance(x) for role, curve in found.chances.curves.items()}, found.chances.trial, ()
    shares, people = inputs.read_shares(shop, found.things.ids(rows), WITHIN, LATELY)
    if not found.learned:
        return shares, NotLearned("recommend.chances", "base_rate"), ()
    counted = ExactCount(say("people who did anything in {days} days", days=LATELY), people)
    return shares, counted, (say("what was learned is no closer to what happens than the base rate: these are the "
                                 "shares of people who did it with the item in the last {within} days.",
                                 within=WITHIN),)


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


def _unknown(item: str) -> UnknownName:
    return UnknownName(say("item {item} is not in the log.", item=repr(item)),
                       do=[say("name an item that somebody looked at or bought.")],
                       why=say("what goes with an item is learned from what people did with it."))


def _newer(shop: Shop, item: str) -> TooLittleHistory:
    return TooLittleHistory(say("item {item} came after what was learned.", item=repr(item)),
                            do=[say("shopkeeper learn {path}", path=str(shop.path))],
                            why=say("what goes with an item is learned from what people did with it."))
