"""Into which segments the customers fall: by the saved rules, or by rules cut from the log."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.customers import answers, inputs
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods.base import Floats, Ints
from shopkeeper.customers.methods.clusters import GROUP, Clusters, clusters
from shopkeeper.customers.methods.features import features
from shopkeeper.customers.methods.rfm import NAMES, Rules
from shopkeeper.customers.methods.stopping import usual_silence
from shopkeeper.shop import Shop
from shopkeeper.warehouse.groups import RFM, RULES, known, saved, unknown
from shopkeeper.words import Sentence, say

USUAL = 30     # days that count as silence where nobody came back
FEWEST = 200   # customers that groups by behaviour need


def numbers(log: Log) -> tuple[Floats, Floats, Floats, Floats]:
    """Days silent, days since the first purchase, purchases and money of each customer, (n,) each."""
    mine = log.days.bought()
    return ((log.today - mine.last()).astype(np.float64), (log.today - mine.first()).astype(np.float64), mine.total(),
            np.round(log.days.total(log.days.money), 4))


def rules_of(shop: Shop, log: Log) -> tuple[Rules, bool]:
    """The rules, and whether they are saved ones."""
    kept = shop.engine.run(shop.engine.table(RULES)).to_pylist() if shop.engine.has(RULES) else []
    for row in kept:
        if row["name"] == RFM:
            return Rules.from_dict(json.loads(row["rule"])), True
    silent, _, count, money = numbers(log)
    return Rules.of(silent, count, money, usual_silence(log.days) or USUAL), False


def segment_of(shop: Shop, log: Log) -> npt.NDArray[Any]:
    """(n,) name of the segment of each customer."""
    return np.array(NAMES, dtype=object)[rules_of(shop, log)[0].segment(*numbers(log))]


def sorted_out(shop: Shop, log: Log) -> tuple[pa.Table, bool]:
    """A row a segment, empty ones too; and whether the rules are saved ones."""
    rules, saved = rules_of(shop, log)
    silent, age, count, money = numbers(log)
    of, words = rules.segment(silent, age, count, money), rules.words()
    rows = []
    for at, name in enumerate(NAMES):
        mine: Ints = np.flatnonzero(of == at)
        some = len(mine) > 0
        rows.append({
            "segment": name, "rule": words[name], "customers": len(mine), "share": len(mine) / max(len(of), 1),
            "money": float(money[mine].sum()), "money_share": float(money[mine].sum() / max(money.sum(), 1e-9)),
            "silent": float(np.median(silent[mine])) if some else None,
            "purchases": float(count[mine].mean()) if some else None,
            "each": float(money[mine].sum() / count[mine].sum()) if some else None})
    return pa.Table.from_pylist(rows, schema=answers.SEGMENTS), saved


def belongs(shop: Shop, log: Log, segment: str) -> npt.NDArray[np.bool_]:
    """(n_customers,) who belongs to a segment: a saved rule, one of the shop's own, or a group that was published.

    Raises:
        UnknownName: There is no such segment.
    """
    if segment in NAMES:
        return np.asarray(segment_of(shop, log) == segment, np.bool_)
    names = known(shop.engine)
    if segment not in names:
        raise unknown(segment, sorted({*NAMES, *names}))
    return np.isin(log.ids.astype(str), np.asarray(inputs.read_members(shop, segment), dtype=str))


def own(shop: Shop) -> pa.Table:
    """The segments that somebody saved: a row each, with how many it holds of now."""
    rules = {name: rule for name, rule in saved(shop.engine).items() if name not in NAMES}
    if not rules:
        return answers.OWN.empty_table()
    counts = {row["name"]: row for row in inputs.read_saved(shop, list(rules)).to_pylist()}
    return pa.Table.from_pylist([{"segment": name, "rule": rule, **{
        column: counts[name][column] for column in ("people", "customers", "money")}} for name, rule in rules.items()],
        schema=answers.OWN)


def alike(log: Log, seed: int) -> Clusters | None:
    """Groups of customers who behave alike; None where there are none, or too few customers."""
    n = len(log.ids)
    if n < FEWEST:
        return None
    names, x = features(log.days, log.cut, np.arange(n), usual_silence(log.days) or USUAL)
    return clusters(names, x, seed=seed)


def grouped(log: Log, seed: int) -> tuple[pa.Table, tuple[Sentence, ...]]:
    """Groups of customers who behave alike, and what must be said of them."""
    found = alike(log, seed)
    if len(log.ids) < FEWEST:
        return answers.CLUSTERS.empty_table(), (
            say("groups by behaviour need {need} customers; this log has {have}.", need=FEWEST, have=len(log.ids)),)
    if found is None:
        return answers.CLUSTERS.empty_table(), (
            say("no groups by behaviour come out alike in two halves of the customers, so none are shown."),)
    counts = np.bincount(found.of).tolist()
    return pa.table({"cluster": [f"{GROUP} {at}" for at in range(1, len(counts) + 1)], "words": list(found.words),
                     "customers": counts, "stability": [found.stability] * len(counts)}, schema=answers.CLUSTERS), ()
