"""Learned recommenders on MovieLens-1M and Amazon Beauty: a single network, and the blend of all sources.

Protocol: leave-one-out. The last item of each person tests, the one before validates; every item is ranked but those
that the person already has. `single` is a network that learned from everything before the validation item, and from
nothing else; its settings are those below, chosen on validation items. The blend's weights are fitted on the validation
items (the settings of its quick sources are searched on them); its sources then learn from these items, too: the quick
ones are fitted again, the network goes on for a third of the passes (`single, gone on`). Each model is scored once on
the test items. `train_seconds` is the training of the network, for the others all that they add, searches included.
With `--quick` the network is trained for two epochs, which says nothing of its quality.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from common import Report, arguments, data_folder, in_a_fresh_process, peak_mb, print_table
from neighbours import FILES, NOW, Half, chosen, halves
from shopkeeper.recommend.methods.blend import BlendFitted, BlendParams, fit_weights
from shopkeeper.recommend.methods.factors import Factors
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams

SETTINGS = {
    "ml-1m": SequenceParams(width=96, window=200, epochs=16, most=10**9, timed=False),
    "beauty": SequenceParams(width=96, window=50, epochs=30, most=10**9, dropout=0.4, skip=0.2, decay=0.05, turned=0.3,
                             steps=3_200, timed=False),
}
LIMIT = {"ml-1m": {"single": {"recall@10": 0.31, "ndcg@10": 0.18}, "blend": {"recall@10": 0.335, "ndcg@10": 0.2}},
         "beauty": {"single": {"recall@10": 0.093, "ndcg@10": 0.053}, "blend": {"recall@10": 0.105, "ndcg@10": 0.06}}}


def run(path: Path, params: SequenceParams, search: bool) -> dict[str, Any]:
    """Figures of the single network and of the blend, in this process."""
    valid, test = halves(path)
    began = time.perf_counter()
    network = SequenceNetwork(params).fit(valid.log, NOW, params)
    trained = time.perf_counter() - began
    quick = {"neighbours": Neighbours(), "factors": Factors()}
    settings = {"neighbours": chosen(path) if search else NeighboursParams(), "factors": _best(Factors(), valid)}
    again = SequenceNetwork(params).from_earlier(network, np.arange(test.log.n_items)).fit(test.log, NOW, params)
    early, late = ({"sequence": known, **{name: method.fit(half.log, NOW, settings[name])
                                          for name, method in quick.items()}}
                   for known, half in ((network, valid), (again, test)))
    weights = fit_weights(list(early.values()), valid.histories, valid.wanted, NOW, exclude=valid.histories.items())
    blend = BlendFitted(counted(test.log), late, weights, BlendParams())
    added = time.perf_counter() - began
    by_source = {name: round(float(value), 3) for name, value in zip(late, weights.level, strict=True)}
    return {"validation": _figures(network, valid, trained), "single": _figures(network, test, trained),
            "single, gone on": _figures(again, test, added),
            "blend": {**_figures(blend, test, added), "weights": by_source}}


def _best(method: Any, half: Half) -> Any:
    """The setting of a quick source that is best on the validation item."""
    def value(params: Any) -> float:
        ranked, _ = method.fit(half.log, NOW, params).top(half.histories, NOW, 10, exclude=half.histories.items())
        return half.figures(ranked)["ndcg@10"]

    return max(method.candidates(), key=value)


def _figures(fitted: Any, half: Half, seconds: float) -> dict[str, Any]:
    ranked, _ = fitted.top(half.histories, NOW, 10, exclude=half.histories.items())
    times = []
    for at in range(0, len(half.histories), max(1, len(half.histories) // 200)):
        one = half.histories.part(at, at + 1)
        began = time.perf_counter()
        fitted.top(one, NOW, 10, exclude=one.items())
        times.append(1000 * (time.perf_counter() - began))
    return {**half.figures(ranked), "train_seconds": round(seconds, 1), "peak_mb": peak_mb(),
            "predict_ms_p50": round(float(np.median(times)), 3)}


def measure(data: str, quick: bool, report: Report) -> None:
    """Train, measure, print, and note one data set in the report."""
    params = replace(SETTINGS[data], seed=report.seed, **({"epochs": 2} if quick else {}))
    found = in_a_fresh_process(run, data_folder() / FILES[data], params, not quick)
    report.figures[data] = {**found, "params": asdict(params)}
    shown = {name: {key: value for key, value in row.items() if key != "weights"} for name, row in found.items()}
    print_table(data, {**shown, **{f"target of the {name}": row for name, row in LIMIT[data].items()}})
    print(f"weights of the sources: {found['blend']['weights']}")


def main() -> None:
    given = arguments(__doc__ or "", list(FILES))
    data_folder()
    part = "; quick: two epochs" if given.quick else ""
    protocol = "leave-one-out, full ranking, seen items removed, settings chosen on validation" + part
    report = Report("sequences", protocol, seed=given.seed, limit={name: LIMIT[name] for name in given.data})
    for data in given.data:
        measure(data, given.quick, report)
    report.print_last()


if __name__ == "__main__":
    main()
