"""Into which segments the customers fall: by the saved rules, or by rules cut from the log."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.customers import answers
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods.base import Floats, Ints
from shopkeeper.customers.methods.clusters import clusters
from shopkeeper.customers.methods.features import features
from shopkeeper.customers.methods.rfm import NAMES, Rules
from shopkeeper.customers.methods.stopping import usual_silence
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

RULES = "facts/segment_rules"
USUAL = 30     # days that count as silence where nobody came back
FEWEST = 200   # customers that groups by behaviour need


def numbers(log: Log) -> tuple[Floats, Floats, Floats, Floats]:
    """Days silent, days since the first purchase, purchases and money of each customer, (n,) each."""
    mine = log.days.bought()
    return ((log.today - mine.last()).astype(np.float64), (log.today - mine.first()).astype(np.float64), mine.total(),
            log.days.total(log.days.money))


def rules_of(shop: Shop, log: Log) -> tuple[Rules, bool]:
    """The rules, and whether they are saved ones."""
    if shop.engine.has(RULES):
        row = shop.engine.run(shop.engine.table(RULES)).to_pylist()[0]
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


def grouped(log: Log, seed: int) -> tuple[pa.Table, tuple[Sentence, ...]]:
    """Groups of customers who behave alike, and what must be said of them."""
    n = len(log.ids)
    if n < FEWEST:
        return answers.CLUSTERS.empty_table(), (
            say("groups by behaviour need {need} customers; this log has {have}.", need=FEWEST, have=n),)
    names, x = features(log.days, log.cut, np.arange(n), usual_silence(log.days) or USUAL)
    found = clusters(names, x, seed=seed)
    if found is None:
        return answers.CLUSTERS.empty_table(), (
            say("no groups by behaviour come out alike in two halves of the customers, so none are shown."),)
    counts = np.bincount(found.of).tolist()
    return pa.table({"cluster": list(range(1, len(counts) + 1)), "words": list(found.words), "customers": counts,
                     "stability": [found.stability] * len(counts)}, schema=answers.CLUSTERS), ()
