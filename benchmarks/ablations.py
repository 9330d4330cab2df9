"""What each part of the learned recommenders counts: objectives, networks, windows, and the sources of a blend.

Protocol: as in `sequences.py`, but on validation items alone, which no training has seen; the test items are not
touched. Every network is that of `sequences.py` but for the part that is named, and is trained for a third of its
passes, so that differences between rows count and not their level. The weights of a blend are fitted on the
validation items of every other person; all rows are measured on the rest. `train_seconds` is the training alone, of a
blend all its sources. With `--quick` a thirtieth of the passes on 2,000 people: it says nothing of quality.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common import Report, arguments, data_folder, in_a_fresh_process, print_table
from neighbours import FILES, NOW, Half, halves
from sequences import SETTINGS
from shopkeeper.evidence.metrics import Relevant
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.blend import BlendFitted, BlendParams, fit_weights
from shopkeeper.recommend.methods.factors import Factors
from shopkeeper.recommend.methods.neighbours import Neighbours
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams

AS_IT_IS = "as in sequences.py"
CHANGED: dict[str, dict[str, dict[str, Any]]] = {
    "all": {"sampled softmax, 1,024 negatives": {"objective": "sampled"},
            "pointwise cross-entropy, 1,024 negatives": {"objective": "pointwise"},
            "gru": {"network": "gru"}, "lstm": {"network": "lstm"}, "cnn": {"network": "cnn"},
            "no convolution before attention": {"kernel": 0}, "no gaps in histories": {"skip": 0.0},
            "no averaging of weights": {"average": 0.0}},
    "ml-1m": {"window 50": {"window": 50}, "window 100": {"window": 100}},
    "beauty": {"window 10": {"window": 10}, "window 20": {"window": 20}, "nothing read backwards": {"turned": 0.0}},
}
SOURCES = (("sequence",), ("neighbours",), ("factors",), ("sequence", "neighbours"), ("sequence", "factors"),
           ("neighbours", "factors"), ("sequence", "neighbours", "factors"))


def trained(path: Path, params: SequenceParams, people: int) -> dict[str, float]:
    """The figures of one network, in this process."""
    half = _valid(path, people)
    began = time.perf_counter()
    fitted = SequenceNetwork(params).fit(half.log, NOW, params)
    return {**_figures(fitted, _rest(half)), "train_seconds": round(time.perf_counter() - began, 1)}


def blended(path: Path, params: SequenceParams, people: int) -> dict[str, dict[str, float]]:
    """The figures of every set of sources, in this process."""
    half = _valid(path, people)
    own, rest = _part(half, 0), _rest(half)
    fitted, seconds = {}, {}
    for name, method, setting in (("sequence", SequenceNetwork(params), params),
                                  *((one.name, one, one.candidates()[0]) for one in (Neighbours(), Factors()))):
        began = time.perf_counter()
        fitted[name] = method.fit(half.log, NOW, setting)  # type: ignore[attr-defined]
        seconds[name] = time.perf_counter() - began
    out = {}
    for names in SOURCES:
        sources: Mapping[str, Any] = {name: fitted[name] for name in names}
        weights = fit_weights(list(sources.values()), own.histories, own.wanted, NOW, exclude=own.histories.items())
        blend = BlendFitted(counted(half.log), sources, weights, BlendParams())
        out[" + ".join(names)] = {**_figures(blend if len(names) > 1 else fitted[names[0]], rest),
                                  "train_seconds": round(sum(seconds[name] for name in names), 1)}
    return out


def _valid(path: Path, people: int) -> Half:
    """The validation half, or as many of its people."""
    half, _ = halves(path)
    if people >= len(half.histories):
        return half
    log = half.log
    some = log.customer < people
    log = replace(log, customer=log.customer[some], item=log.item[some], when=log.when[some], basket=log.basket[some],
                  weight=log.weight[some], n_customers=people)
    return Half(log, Histories.of(log, np.arange(people)), _wanted(half, np.arange(people)))


def _rest(half: Half) -> Half:
    return _part(half, 1)


def _part(half: Half, first: int) -> Half:
    """Every other person of a half, from the first or the second on."""
    rows = np.arange(first, len(half.histories), 2)
    return Half(half.log, Histories.of(half.log, rows), _wanted(half, rows))


def _wanted(half: Half, rows: Any) -> Relevant:
    return Relevant.single(half.wanted.items[rows])


def _figures(fitted: Any, half: Half) -> dict[str, float]:
    ranked, _ = fitted.top(half.histories, NOW, 10, exclude=half.histories.items())
    return {name: round(value, 4) for name, value in half.figures(ranked).items()}


def measure(data: str, quick: bool, report: Report) -> None:
    """Every row of one data set, printed as it comes, and noted in the report."""
    path, people = data_folder() / FILES[data], 2_000 if quick else 10**9
    whole = SETTINGS[data]
    params = replace(whole, seed=report.seed, epochs=max(1, whole.epochs // (30 if quick else 3)))
    rows = {AS_IT_IS: in_a_fresh_process(trained, path, params, people)}
    for name, change in {**CHANGED["all"], **CHANGED[data]}.items():
        rows[name] = in_a_fresh_process(trained, path, replace(params, **change), people)
        print(name, rows[name], flush=True)
    sources = in_a_fresh_process(blended, path, params, people)
    report.figures[data] = {"networks": rows, "sources": sources}
    print_table(f"{data}: networks", rows)
    print_table(f"{data}: sources", sources)


def main() -> None:
    given = arguments(__doc__ or "", list(FILES))
    data_folder()
    part = "; quick: 2,000 people" if given.quick else ""
    report = Report("ablations", "leave-one-out, validation items of every other person, a third of the passes" + part,
                    seed=given.seed)
    for data in given.data:
        measure(data, given.quick, report)
    report.print_last()


if __name__ == "__main__":
    main()
