"""Customer value: BG/NBD and Gamma-Gamma on CDNOW, and a million simulated customers beside `lifetimes`.

Protocol: CDNOW sample (2,357 customers who first bought in the first quarter of 1997): 39 weeks teach, 39 weeks test;
purchases of one day are one. Parameters in weeks. The level (half, two thirds and five sixths of the calibration span)
is chosen on the calibration weeks alone, and so is the method that answers: by its trial on the last thirteen of them.
Rivals on the holdout: the past rate (x / T), the plain model, and the methods that did not win. Then one panel of
simulated customers (BG/NBD with known parameters): fitted and scored (expected purchases within 90 days) by ours here,
and by `lifetimes` in the interpreter that SHOPKEEPER_LIFETIMES names, on the same file; times are seconds of processor,
for other work may run. `--quick` takes 50,000 customers in place of 1,000,000.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from common import Report, arguments, data_folder, print_table
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods import buy_till_you_die, spend
from shopkeeper.customers.methods.base import DAY, Days, Repeats, repeats
from shopkeeper.customers.methods.value import METHODS, level
from shopkeeper.customers.trials import decile_capture, worth_trial
from shopkeeper.evidence import Trial

CUT, END = 273, 546  # days after 1997-01-01
TRUTH = {"r": 0.25, "alpha": 30.0, "a": 0.8, "b": 2.4}
PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
from lifetimes import BetaGeoFitter, GammaGammaFitter
given = np.load(sys.argv[1])
x, last, age, spend = (given[name] for name in ("x", "last", "age", "spend"))
began = time.process_time()
model = BetaGeoFitter().fit(x, last, age)
fitted = time.process_time() - began
began = time.process_time()
expected = np.asarray(model.conditional_expected_number_of_purchases_up_to_time(90, x, last, age))
scored = time.process_time() - began
came = x > 0
began = time.process_time()
money = GammaGammaFitter().fit(x[came], spend[came])
paid = time.process_time() - began
print(json.dumps({**{k: float(v) for k, v in model.params_.items()}, **{k: float(v) for k, v in money.params_.items()},
                  "expected": float(expected.sum()), "fit_seconds": fitted + paid, "score_seconds": scored}))
"""


def cdnow(folder: Path) -> Days:
    """Customers and days of the sample."""
    rows = [line.split() for line in (folder / "clv" / "CDNOW_sample.txt").read_text().splitlines() if line.strip()]
    begin = date(1997, 1, 1)
    day = [(date(int(row[2][:4]), int(row[2][4:6]), int(row[2][6:])) - begin).days for row in rows]
    who = np.unique([row[1] for row in rows], return_inverse=True)[1]
    return Days.of(who, day, [float(row[4]) for row in rows])


def holdout(days: Days) -> dict[str, dict[str, Any]]:
    """Parameters and what came of them, ours and the rivals'."""
    rows, past = repeats(days, CUT)
    model, money = buy_till_you_die.fit(past.scaled(1 / 7)), spend.fit(past)
    after = days.where((days.day >= CUT) & (days.day < END)).bought()
    came = after.total()[rows]
    expected = model.expected(past.scaled(1 / 7), 39)
    share, winner = level(days, CUT), trial(days.before(CUT)).winner
    said = {"ours" if method.name == winner else method.name: method.fit(days, CUT).purchases(past, END - CUT)
            for method in METHODS}
    said |= {"plain BG/NBD": expected, "past rate": past.x / past.age * (END - CUT)}
    found: dict[str, dict[str, Any]] = {
        name: {"holdout_total_error": round(float(one.sum() / came.sum() - 1), 4),
               "decile_capture": round(decile_capture(one, came), 4)} for name, one in said.items()}
    found["ours"] = {"r": round(model.r, 4), "alpha": round(model.alpha, 4), "a": round(model.a, 4),
                     "b": round(model.b, 4), "log_likelihood": round(model.log_likelihood, 2), "p": round(money.p, 3),
                     "q": round(money.q, 3), "v": round(money.v, 3), "level": round(share, 4), "method": winner,
                     **found["ours"]}
    return found


def trial(known: Days) -> Trial:
    """Which method answers, by the calibration weeks alone: the last thirteen of them test."""
    ids = np.arange(known.n_customers).astype(str).astype(object)
    return worth_trial(Log(ids, known, CUT - 1, "USD", "UTC", CUT * DAY), 91)


def panel(n: int, seed: int) -> Repeats:
    """Customers of known parameters."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(30, 720, n).round(3)
    rate, drop = rng.gamma(TRUTH["r"], 1 / TRUTH["alpha"], n), rng.beta(TRUTH["a"], TRUTH["b"], n)
    x, last, at, alive = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n, bool)
    while alive.any():
        at = at + rng.exponential(1 / np.maximum(rate, 1e-12))
        alive &= at <= age
        x[alive] += 1
        last[alive] = at[alive]
        alive &= rng.random(n) > drop
    own = rng.gamma(4.0, 1 / 15.0, n)
    mean = np.where(x > 0, rng.gamma(np.maximum(6 * x, 1e-9)) / (own * np.maximum(x, 1)), 0.0)
    return Repeats(x, last, age, mean)


def ours(past: Repeats) -> dict[str, float]:
    """Fit and score, in seconds of processor."""
    began = time.process_time()
    model, money = buy_till_you_die.fit(past), spend.fit(past)
    fitted = time.process_time() - began
    began = time.process_time()
    expected = model.expected(past, 90).sum()
    return {"r": model.r, "alpha": model.alpha, "a": model.a, "b": model.b, "p": money.p, "q": money.q, "v": money.v,
            "expected": float(expected), "fit_seconds": fitted, "score_seconds": time.process_time() - began}


def theirs(past: Repeats) -> dict[str, float] | None:
    """The same by `lifetimes`; None where no interpreter that has it was named."""
    python = os.environ.get("SHOPKEEPER_LIFETIMES")
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panel.npz"
        np.savez(file, x=past.x, last=past.last, age=past.age, spend=past.spend)
        done = subprocess.run([python, "-c", PEER, str(file)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    given = arguments(__doc__ or "", ["cdnow"])
    n = 50_000 if given.quick else 1_000_000
    report = Report("value", f"CDNOW 39 + 39 weeks; {n:,} simulated customers, fit and score, seconds of processor",
                    seed=given.seed, limit={"holdout_total_error": 0.121, "speedup_over_lifetimes": 20})
    found = holdout(cdnow(data_folder()))
    past = panel(n, given.seed)
    report.figures, times = {**found.pop("ours")}, ours(past)
    report.figures["simulated"] = {name: round(value, 4) for name, value in times.items()}
    report.peers = dict(found)
    peer = theirs(past)
    if peer is not None:
        report.peers["lifetimes"] = {name: round(value, 4) for name, value in peer.items()}
        whole = [one["fit_seconds"] + one["score_seconds"] for one in (peer, times)]
        report.figures["speedup_over_lifetimes"] = round(whole[0] / whole[1], 1)
    shown: dict[str, Any] = {"ours": {k: v for k, v in report.figures.items() if not isinstance(v, dict)}, **found}
    print_table("CDNOW", shown)
    print_table(f"{n:,} simulated customers", {"ours": times, **({"lifetimes": peer} if peer else {})})
    report.print_last()


if __name__ == "__main__":
    main()
