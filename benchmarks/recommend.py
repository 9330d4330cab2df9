"""`shopkeeper benchmark recommend` on public data, beside implicit's factorisations in the same run.

Protocols: leave-one-out (the last item of each customer tests, the one before validates) and, where the file has times,
a time split (the last 14 days test, the 14 before validate). All items are ranked, those that a customer has already
are left out; on click sessions they are kept. Every setting, ours and the peers', is chosen by NDCG@10 on validation;
then each model is fitted on all that is known and scored once. Times are of the last fit, answers of one customer.
`--quick` runs the smallest data set alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for it

import numpy as np
import numpy.typing as npt
from scipy import sparse

from common import Report, arguments, data_folder, in_a_fresh_process, peak_mb, print_table
from shopkeeper.evidence.metrics import coverage_at, ndcg_at, recall_at
from shopkeeper.recommend.benchmark import Asked, Part, compete, parts
from shopkeeper.recommend.files import Form, read

SETS: dict[str, tuple[str, Form, Asked]] = {
    "ml-100k by time": ("ml-100k/ml-100k.inter", "auto", Asked("time-split")),
    "ml-100k": ("ml-100k/ml-100k.inter", "auto", Asked()),
    "beauty": ("sequences/beauty.txt", "sequences", Asked()),
    "ml-1m": ("sequences/ml-1m.txt", "sequences", Asked()),
    "diginetica": ("sessions/diginetica_train.txt", "sessions", Asked(n=20, keep_seen=True)),
}
PEERS: dict[str, list[dict[str, Any]]] = {
    "AlternatingLeastSquares": [{"factors": 64, "regularization": reg, "alpha": alpha}
                                for reg, alpha in ((0.01, 1.0), (5.0, 20.0), (20.0, 100.0))],
    "BayesianPersonalizedRanking": [{"factors": 64, "learning_rate": rate, "iterations": 100}
                                    for rate in (0.01, 0.05)],
}


def peer(path: Path, form: Form, asked: Asked, name: str) -> dict[str, Any]:
    """The figures of one of implicit's models, its setting chosen on validation."""
    valid, test = parts(read(path, form), asked)

    def value(setting: dict[str, Any]) -> float:
        ranked = _ranked(_fitted(name, setting, valid), valid, np.arange(len(valid.customers)), asked)
        return float(ndcg_at(ranked, valid.wanted, asked.n).mean())

    best = max(PEERS[name], key=value)
    began = time.perf_counter()
    model = _fitted(name, best, test)
    seconds = time.perf_counter() - began
    ranked = _ranked(model, test, np.arange(len(test.customers)), asked)
    some = range(0, len(test.customers), max(1, len(test.customers) // 200))
    return {"recall": float(recall_at(ranked, test.wanted, asked.n).mean()),
            "ndcg": float(ndcg_at(ranked, test.wanted, asked.n).mean()),
            "coverage": coverage_at(ranked, test.log.n_items, asked.n), "train_seconds": seconds, "peak_mb": peak_mb(),
            "milliseconds": float(np.median([_milliseconds(model, test, one, asked) for one in some])),
            "setting": str(best)}


def _fitted(name: str, setting: dict[str, Any], part: Part) -> Any:
    from implicit import als, bpr

    model = getattr(als if name == "AlternatingLeastSquares" else bpr, name)(random_state=0, **setting)
    log = part.log
    taken = sparse.csr_matrix((np.ones(len(log), np.float32), (log.customer, log.item)),
                              shape=(log.n_customers, log.n_items))
    taken.sum_duplicates()
    model.fit(taken, show_progress=False)
    return model


def _ranked(model: Any, part: Part, cases: npt.NDArray[np.int64], asked: Asked) -> npt.NDArray[np.int64]:
    here = part.histories if len(cases) > 1 else part.histories.part(int(cases[0]), int(cases[0]) + 1)
    heard = sparse.csr_matrix((np.ones(len(here.item), np.float32), here.item, here.indptr),
                              shape=(len(here), part.log.n_items))
    heard.sum_duplicates()
    ids, _ = model.recommend(part.customers[cases], heard, N=asked.n, filter_already_liked_items=not asked.keep_seen)
    return np.asarray(ids, dtype=np.int64)


def _milliseconds(model: Any, part: Part, case: int, asked: Asked) -> float:
    began = time.perf_counter()
    _ranked(model, part, np.asarray([case]), asked)
    return 1_000 * (time.perf_counter() - began)


def peers() -> Iterator[str]:
    """implicit's factorisations; none, saying so, where it is not installed."""
    try:
        import implicit
    except ImportError:
        print("implicit is not installed, so no peer runs: pip install 'shopkeeper[bench]'")
        return
    print(f"peer: implicit {implicit.__version__}")
    yield from PEERS


def run(name: str, report: Report) -> None:
    """Ours and the peers on one data set."""
    file, form, asked = SETS[name]
    path = data_folder() / file
    answer = compete(read(path, form), asked, name=name)
    rows = {row.pop("method"): row for row in answer.table.to_pylist()}
    report.figures[name] = {"asked": asdict(asked), **rows}
    for one in peers():
        rows[f"implicit.{one}"] = in_a_fresh_process(peer, path, form, asked, one)
        report.peers.setdefault(one, {})[name] = rows[f"implicit.{one}"]
    print_table(name, {method: {key: value for key, value in row.items() if key not in ("setting", "calibration")}
                       for method, row in rows.items()})


def main() -> None:
    given = arguments(__doc__ or "", list(SETS))
    data_folder()
    chosen = ["ml-100k by time"] if given.quick else given.data
    report = Report("recommend", "leave-one-out and time split, full ranking, settings chosen on validation"
                    + ("; quick: one data set" if given.quick else ""), seed=given.seed)
    for name in chosen:
        run(name, report)
    report.print_last()


if __name__ == "__main__":
    main()
