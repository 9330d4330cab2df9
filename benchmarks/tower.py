"""A network that is told what items are, beside the same network that is not: does it help?

The items of a simulated shop have categories, brands, prices and titles. Both networks learn from the same days with
the same seed and settings, and meet on the purchases of the last 14; also on those of items that were rare (fewer than
ten lines) before. Intervals are those of the difference, 95 %, over customers.
"""

from __future__ import annotations

import numpy as np

from common import Report, arguments, print_table
from shopkeeper import Shop
from shopkeeper.evidence.metrics import Relevant, ndcg_at, recall_at
from shopkeeper.evidence.splits import rolling_origins
from shopkeeper.evidence.trial import paired_difference
from shopkeeper.recommend.cases import active_people
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams
from shopkeeper.represent.content import known_of

K = 10
RARE = 10  # lines


def main() -> None:
    given = arguments(__doc__ or "", ["simulated"])
    size = {"customers": 300, "items": 300, "days": 70} if given.quick else {"customers": 2_000, "items": 1_000,
                                                                             "days": 120}
    epochs = 3 if given.quick else 12
    report = Report("tower", f"a simulated shop {size}; {epochs} passes; the last 14 days test", seed=given.seed)
    log = read_log(Shop.simulated(seed=given.seed + 5, **size))
    split = rolling_origins(int(log.interactions.when.min()), log.now, horizon=14, n=1)[0]
    cases = active_people(log, split, given.seed, 4_000)
    past = log.interactions.before(split.train_until)
    rare = np.bincount(past.item, minlength=past.n_items) < RARE
    known = None if log.listing is None else known_of(log.listing.marks(log.items.ids()))
    found = {}
    for name, tower in (("plain", False), ("tower", True)):
        params = SequenceParams(epochs=epochs, tower=tower, seed=given.seed)
        fitted = SequenceNetwork(params, known=lambda: known).fit(past, split.train_until, params)
        found[name], _ = fitted.top(cases.histories, split.train_until, K, exclude=cases.known)
    some = np.flatnonzero(np.bincount(cases.relevant.cases[rare[cases.relevant.items]],
                                      minlength=len(cases.cluster)) > 0)
    of_rare = Relevant.of([_of(cases.relevant, row)[rare[_of(cases.relevant, row)]] for row in some.tolist()])
    for what, rows, right in (("all items", np.arange(len(cases.cluster)), cases.relevant),
                              ("rare items", some, of_rare)):
        value = {name: ndcg_at(ranked[rows], right, K) for name, ranked in found.items()}
        gap = paired_difference(value["tower"], value["plain"], cases.cluster[rows])
        report.figures[what] = {name: {f"ndcg@{K}": float(one.mean()),
                                       f"recall@{K}": float(recall_at(found[name][rows], right, K).mean())}
                                for name, one in value.items()}
        report.figures[what]["tower"] |= {"difference": gap.estimate, "low": gap.low, "high": gap.high,
                                          "customers": len(rows)}
        print_table(what, report.figures[what])
    report.print_last()


def _of(relevant: Relevant, row: int) -> np.ndarray:  # type: ignore[type-arg]
    return relevant.items[relevant.indptr[row]:relevant.indptr[row + 1]]


if __name__ == "__main__":
    main()
