"""Neighbours beside popularity and implicit's item-item models: next item on MovieLens-1M and Amazon Beauty.

Protocol: leave-one-out. The last item of each person tests, the one before validates; every item is ranked but those
that the person already has. Every setting (ours and the peers' number of neighbours) is chosen by NDCG@10 on the
validation item; then each model is fitted again with that item in its history and is scored once on the last one.
Times: `train_seconds` is the last fit alone, `predict_ms_p50` the median answer for one person.
With `--quick` nothing is searched: our defaults answer (they were set on these validation items), and each peer has
one number of neighbours, 20, its own default.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for it; nothing here multiplies dense matrices

import numpy as np
import numpy.typing as npt
from scipy import sparse

from common import Report, arguments, data_folder, in_a_fresh_process, peak_mb, print_table
from shopkeeper.evidence.metrics import Relevant, coverage_at, ndcg_at, recall_at
from shopkeeper.recommend.methods.base import Histories, Interactions
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams

FILES = {"ml-1m": "sequences/ml-1m.txt", "beauty": "sequences/beauty.txt"}
LIMIT = {"ml-1m": {"recall@10": 0.27, "ndcg@10": 0.155}, "beauty": {"recall@10": 0.083, "ndcg@10": 0.051}}
K = 10
NOW = 2**62  # after every step of every sequence

# What the search tries, one parameter after another, the best kept; twice over.
GRID: dict[str, tuple[float, ...]] = {
    "recency": (0.5, 0.6, 0.7, 0.8),
    "damp": (0.3, 0.4, 0.5, 0.6, 0.7),
    "share": (0.0, 0.1, 0.2, 0.4),
    "source": (0.15, 0.25, 0.35, 0.45),
    "target": (0.05, 0.1, 0.15, 0.2),
    "ahead": (5, 7, 10, 15),
    "decay": (0.7, 0.8, 0.9),
}
Rows = npt.NDArray[np.int64]
PEER_NEIGHBOURS = (20, 50, 100, 200)


@dataclass(frozen=True)
class Half:
    """What is known (`log`, `histories`) and what came next (`wanted`, one item a person)."""

    log: Interactions
    histories: Histories
    wanted: Relevant

    def figures(self, ranked: Rows) -> dict[str, float]:
        """Recall, NDCG and coverage of ranked item rows (people, 10)."""
        return {f"recall@{K}": float(recall_at(ranked, self.wanted, K).mean()),
                f"ndcg@{K}": float(ndcg_at(ranked, self.wanted, K).mean()),
                f"coverage@{K}": coverage_at(ranked, self.log.n_items, K)}


def halves(path: Path) -> tuple[Half, Half]:
    """The validation half and the test half of a file with a line a person: `person item item ...`, items from 1."""
    sequences = [np.asarray(line.split()[1:], dtype=np.int64) - 1 for line in path.read_text().splitlines()]
    n_items = 1 + max(int(one.max()) for one in sequences)
    return _half(sequences, 2, n_items), _half(sequences, 1, n_items)


def _half(sequences: list[npt.NDArray[np.int64]], cut: int, n_items: int) -> Half:
    known = [one[:-cut] for one in sequences]
    sizes = np.asarray([len(one) for one in known])
    step = np.concatenate([np.arange(size) for size in sizes]).astype(np.int64)
    log = Interactions(np.repeat(np.arange(len(known)), sizes).astype(np.int32), np.concatenate(known).astype(np.int32),
                       step, np.arange(len(step), dtype=np.int64), np.ones(len(step), np.float32), len(known), n_items)
    return Half(log, Histories.of(log, np.arange(len(known))), Relevant.single([one[-cut] for one in sequences]))


def chosen(path: Path) -> NeighboursParams:
    """The best setting on the validation half, by a staged search: one parameter after another."""
    half, _ = halves(path)

    def value(params: NeighboursParams) -> float:
        fitted = Neighbours().fit(half.log, NOW, params)
        ranked, _ = fitted.top(half.histories, NOW, K, exclude=half.histories.items())
        return half.figures(ranked)[f"ndcg@{K}"]

    best = NeighboursParams()
    reached = value(best)
    for _ in range(2):
        for name, values in GRID.items():
            for other in (replace(best, **{name: v}) for v in values if v != getattr(best, name)):
                got = value(other)
                best, reached = (other, got) if got > reached else (best, reached)
    return best


def measured(half: Half, fit: Callable[[], Any], top: Callable[[Any, Histories], Rows]) -> dict[str, Any]:
    """All figures of one model on the test half, in this process."""
    began = time.perf_counter()
    model = fit()
    seconds = time.perf_counter() - began
    figures: dict[str, Any] = half.figures(top(model, half.histories))
    people = [half.histories.part(i, i + 1) for i in range(0, len(half.histories), max(1, len(half.histories) // 200))]
    return {**figures, "train_seconds": round(seconds, 3), "peak_mb": peak_mb(),
            "predict_ms_p50": round(float(np.median([_milliseconds(lambda p=p: top(model, p)) for p in people])), 3)}


def ours(path: Path, params: NeighboursParams | PopularParams) -> dict[str, Any]:
    """The figures of one of our methods on the test half."""
    _, half = halves(path)
    method = Neighbours() if isinstance(params, NeighboursParams) else Popular()
    return measured(half, lambda: method.fit(half.log, NOW, params),  # type: ignore[arg-type]
                    lambda model, people: model.top(people, NOW, K, exclude=people.items())[0])


def peer(path: Path, quick: bool, name: str) -> dict[str, Any]:
    """The figures of one of implicit's models, its number of neighbours chosen on the validation half."""
    valid, test = halves(path)

    def value(neighbours: int) -> float:
        return valid.figures(_implicit_top(_implicit(name, neighbours, valid.log), valid.histories))[f"ndcg@{K}"]

    best = PEER_NEIGHBOURS[0] if quick else max(PEER_NEIGHBOURS, key=value)
    return {**measured(test, lambda: _implicit(name, best, test.log), _implicit_top), "neighbours": best}


def peers() -> Iterator[str]:
    """implicit's item-item models; none, saying so, where it is not installed."""
    try:
        import implicit
    except ImportError:
        print("implicit is not installed, so no peer runs: pip install 'shopkeeper[bench]'")
        return
    print(f"peer: implicit {implicit.__version__}")
    yield from ("CosineRecommender", "TFIDFRecommender", "BM25Recommender")


def _implicit(name: str, neighbours: int, log: Interactions) -> Any:
    from implicit import nearest_neighbours

    warnings.filterwarnings("ignore", "Method expects CSR input")  # implicit's own conversion
    model = getattr(nearest_neighbours, name)(K=neighbours)
    model.fit(sparse.csr_matrix((log.weight, (log.customer, log.item)), shape=(log.n_customers, log.n_items)),
              show_progress=False)
    return model


def _implicit_top(model: Any, people: Histories) -> Rows:
    taken = sparse.csr_matrix((people.weight, people.item, people.indptr),
                              shape=(len(people), model.similarity.shape[0]))
    taken.sum_duplicates()
    ids, scores = model.recommend(np.arange(len(people)), taken, N=K, filter_already_liked_items=True)
    return np.where(scores > 0, ids, -1).astype(np.int64)


def _milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1_000 * (time.perf_counter() - began)


def run(data: str, quick: bool, report: Report) -> None:
    """Choose, measure, print, and note one data set in the report."""
    path = data_folder() / FILES[data]
    began = time.perf_counter()
    params = NeighboursParams() if quick else in_a_fresh_process(chosen, path)
    searched = time.perf_counter() - began
    rows = {"neighbours": in_a_fresh_process(ours, path, params)}
    rows["popular"] = in_a_fresh_process(ours, path, PopularParams(window=None))
    for name in peers():
        rows[f"implicit.{name}"] = in_a_fresh_process(peer, path, quick, name)
    report.figures[data] = {**rows.pop("neighbours"), "search_seconds": round(searched, 1), "params": asdict(params)}
    for name, figures in rows.items():
        report.peers.setdefault(name, {})[data] = figures
    shown = {name: value for name, value in report.figures[data].items() if name not in ("params", "search_seconds")}
    print_table(data, {"neighbours": shown, **rows, "target": LIMIT[data]})
    print(f"{'defaults' if quick else f'chosen on validation in {searched:,.0f} s'}: {params}")


def main() -> None:
    given = arguments(__doc__ or "", list(FILES))
    data_folder()
    part = "quick: default settings, no search" if given.quick else "two rounds of search"
    report = Report("neighbours", "leave-one-out, full ranking, seen items removed, settings chosen on validation; "
                    + part, seed=given.seed, limit={name: LIMIT[name] for name in given.data})
    for data in given.data:
        run(data, given.quick, report)
    report.print_last()


if __name__ == "__main__":
    main()
