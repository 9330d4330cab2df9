"""What this room learns: who stops buying, and what customers are worth; each on a split in time.

Who stops: ways to rank meet on the customers of one day, `within` days before the end, after learning from earlier
days whose outcome was known by then. Each way's chances are calibrated on days that it has not seen; they are compared
by the logarithm of the chance that was given to what came. What customers are worth: the purchases within the last days
are compared with what was expected of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from shopkeeper.asking import Progress, silent
from shopkeeper.customers import inputs
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods import value
from shopkeeper.customers.methods.base import DAY, Floats, repeats
from shopkeeper.customers.methods.calibration import Curve, curve
from shopkeeper.customers.methods.risk import SILENT, WAYS, Cases, Scorer, Way
from shopkeeper.customers.methods.stopping import cases_at, usual_silence
from shopkeeper.errors import MissingData, TooLittleHistory, UnknownName
from shopkeeper.evidence import metrics
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.evidence.trial import Scores, Setup, Trial, ladder
from shopkeeper.shop import Shop
from shopkeeper.words import say

__all__ = ["QUESTIONS", "Fit", "competing", "enough", "horizon_of", "learn", "read"]

AT_RISK, VALUE = "customers.at_risk", "customers.lifetime_value"
QUESTIONS: tuple[str, ...] = (AT_RISK, VALUE)

BUYERS, SPAN, LATELY, THRICE = 500, 180, 30, 50  # customers, days, days, customers with three purchases
STEP, MOST_CUTS = 28, 7        # days between the days that are learned from, and how many at most
YEAR, SEASON = 365, 15         # a day learned from a year before has the season of the day asked about, give or take
TOO_GOOD, TOO_FAR = 0.95, 0.1  # an area above the one, and the other above the rule of silence, is a leak
FLOOR = 0.01                   # purchases expected at least, where their logarithm is taken
WORTH_DAYS = 90
UNSTEADY = 0.05                # spread of the area over days, beyond chance, from which on a warning is said to shift


@dataclass(frozen=True)
class Fit:
    """A winner, fitted on everything; as `learn` installs it."""

    trial: Trial
    method: str
    arrays: Mapping[str, npt.NDArray[Any]]
    meta: Mapping[str, Any]
    params: Any = None


@dataclass(frozen=True, eq=False)
class Judged:
    """A way that was fitted, and how its scores become chances.

    Attributes:
        scorer: The way.
        to_chance: Scores -> chances on average over the days learned from.
        shift: What the season of the day asked about adds to their log-odds.
        held_out: Of each day learned from, after learning from the others: day, customers, stopped (share), auc.
    """

    scorer: Scorer
    to_chance: Curve
    shift: float
    held_out: tuple[dict[str, float], ...] = ()

    def chance(self, cases: Cases) -> Floats:
        """(n,) the chance that each stops."""
        found = self.to_chance(self.scorer.score(cases.over(self.scorer.names)))
        return np.asarray(special.expit(special.logit(found) + self.shift))


@dataclass(frozen=True, eq=False)
class Compared:
    """All ways on the same customers of one day.

    Attributes:
        trial: What came of it.
        cases: The customers.
        chances: Way -> (n,) what it said.
    """

    trial: Trial
    cases: Cases
    chances: Mapping[str, Floats] = field(default_factory=dict)


def read(shop: Shop) -> Log:
    """What the customers of a shop did.

    Raises:
        TooLittleHistory: Nobody has bought anything.
    """
    try:
        return inputs.read(shop)
    except UnknownName as nobody:
        raise TooLittleHistory(nobody.what, do=nobody.do, why=nobody.why) from nobody


def enough(log: Log) -> None:
    """Refuse, by name, a log that cannot carry a warning.

    Raises:
        TooLittleHistory: Fewer than 500 customers, 180 days, 50 customers who bought three times, or no order within
            the last 30 days.
    """
    mine = log.days.bought()
    count, span = mine.total(), log.cut - int(mine.day.min())
    lacks = [(len(log.ids), BUYERS, say("customers who bought")), (span, SPAN, say("days of orders")),
             (int((count >= 3).sum()), THRICE, say("customers with three purchases or more")),
             (int((mine.day >= log.cut - LATELY).sum()), 1, say("orders in the last 30 days"))]
    for have, need, what in lacks:
        if have < need:
            raise TooLittleHistory(
                say("a warning needs {need:,} {what}; this log has {have:,}.", need=need, what=what, have=have),
                do=[say("shop.ingest(...) more of the log")],
                why=say("with fewer, chance decides who looks like leaving."))


def horizon_of(log: Log) -> int:
    """Days of silence that count as having stopped, by the shop's own gaps; fewer where the log is too short to test.

    Three such spans must fit: one to test on, one that the last day learned from looks ahead, one to learn from.
    """
    usual = usual_silence(log.days) or SPAN // 3
    return min(usual, (log.cut - int(log.days.day.min())) // 3)


def cuts_of(first: int, cut: int, within: int) -> list[int]:
    """The days to learn from, for a question about `cut`: each outcome is known by then; one of them a year before."""
    last, floor = cut - within, first + max(60, within // 2)
    found = {day for day in range(last, floor - 1, -STEP) if day > last - MOST_CUTS * STEP}
    if cut - YEAR >= floor and cut - YEAR <= last:
        found.add(cut - YEAR)
    return sorted(found)


def judged(way: Way, train: Cases, asked: int, seed: int = 0) -> Judged:
    """Fit a way, and learn how its scores become chances, on days that it has not seen.

    Args:
        way: The way.
        train: Cases of several days.
        asked: The day that is asked about: its season's level is taken from the day a year before, where that is
            among those learned from, else from the last one.
        seed: Of the way.
    """
    days = np.unique(train.cut)
    scores = np.zeros(len(train))
    for fold in np.array_split(days, min(len(days), MOST_CUTS)) if len(days) > 1 else []:
        rows = np.isin(train.cut, fold)
        scorer = way.fit(train.where(~rows), seed)
        scores[rows] = scorer.score(train.where(rows).over(scorer.names))
    scorer = way.fit(train, seed)
    if len(days) == 1:
        scores = scorer.score(train.over(scorer.names))
    found = curve(scores, train.gone)
    year = [day for day in days.tolist() if abs(asked - day - YEAR) <= SEASON]
    rows = train.cut == (year or days.tolist())[-1]
    return Judged(scorer, found, _shift(found(scores[rows]), train.gone[rows]),
                  _held_out(scores, train) if len(days) > 1 else ())


def _held_out(scores: Floats, cases: Cases) -> tuple[dict[str, float], ...]:
    """How well each day was told whose customers took no part; a day on which all stayed or all left says nothing."""
    found = []
    for day in np.unique(cases.cut).tolist():
        rows = cases.cut == day
        gone = cases.gone[rows]
        if gone.min() < gone.max():
            found.append({"day": float(day), "customers": float(len(gone)), "stopped": float(gone.mean()),
                          "auc": metrics.auc(scores[rows], gone)})
    return tuple(found)


def unsteady(held_out: Sequence[Mapping[str, float]]) -> float:
    """How far the areas of the days lie apart beyond what chance explains, as a standard deviation; 0: not at all.

    Source:
        Variance of an area as in Hanley, McNeil (1982), The meaning and use of the area under a ROC curve.
    """
    if len(held_out) < 3:
        return 0.0
    area, left, n = (np.array([day[name] for day in held_out]) for name in ("auc", "stopped", "customers"))
    gone, here = np.maximum(left * n, 1), np.maximum((1 - left) * n, 1)
    one, other = area / (2 - area), 2 * area ** 2 / (1 + area)
    chance = (area * (1 - area) + (gone - 1) * (one - area ** 2) + (here - 1) * (other - area ** 2)) / (gone * here)
    return float(np.sqrt(max(area.var(ddof=1) - chance.mean(), 0.0)))


def _shift(chance: Floats, came: Floats) -> float:
    """What must be added to log-odds for their mean chance to be what came."""
    odds, target = special.logit(chance), float(np.clip(came.mean(), 0.01, 0.99))
    return float(optimize.brentq(lambda by: special.expit(odds + by).mean() - target, -20, 20))


def compare(log: Log, within: int, *, ways: Sequence[Way] = WAYS, seed: int = 0,
            progress: Progress = silent) -> Compared:
    """Let the ways meet on the customers of the last day whose outcome is known.

    Raises:
        TooLittleHistory: There is no earlier day to learn from, or all stayed, or all stopped.
        MissingData: A way is too good to be true.
    """
    asked, first = log.cut - within, int(log.days.day.min())
    cuts = cuts_of(first, asked, within)
    test = cases_at(log.days, asked, within)
    train = Cases.together([cases_at(log.days, cut, within) for cut in cuts]) if cuts else test.where(slice(0))
    for part in (train, test):
        if len(part) < BUYERS // 5 or part.gone.min() == part.gone.max():
            raise TooLittleHistory(
                say("of {n:,} customers {gone:,} stopped within {days:,} days: nothing can be compared.", n=len(part),
                    gone=int(part.gone.sum()), days=within), do=[say("--within 30")],
                why=say("a warning is learned from some who stopped and some who did not."))
    progress.start(say("trial of {question}", question=AT_RISK), len(ways))
    chances, scores = {}, []
    for way in ways:
        began = time.perf_counter()
        chance = judged(way, train, asked, seed).chance(test)
        chances[way.name] = chance
        scores.append(Scores(way.name, np.log(np.where(test.gone > 0, chance, 1 - chance)), test.customer,
                             figures(chance, test, within), {}, round(time.perf_counter() - began, 2)))
        progress.advance()
    _check_leak(scores)
    split = TimeSplit(log.now - within * DAY, log.now - within * DAY, log.now)
    setup = Setup(AT_RISK, "log score", split, log.timezone, seed=seed)
    return Compared(ladder(scores, setup, rivals=(ways[0].name,)), test, chances)


def figures(chance: Floats, cases: Cases, within: int) -> dict[str, float]:
    """What else is said of chances: how they rank, whether they are right, and how early they warn."""
    named = (chance >= 0.5) & (cases.gone > 0) & (cases.column(SILENT) < within)
    early = within - cases.column(SILENT)[named]
    return {"auc": metrics.auc(chance, cases.gone), "average_precision": metrics.average_precision(chance, cases.gone),
            "calibration_error": metrics.expected_calibration_error(chance, cases.gone),
            "lead_days": float(np.median(early)) if len(early) else 0.0,
            "caught_early": float(named.sum() / max(cases.gone.sum(), 1))}


def _check_leak(scores: Sequence[Scores]) -> None:
    plain = scores[0].extras["auc"]
    for one in scores[1:]:
        if one.extras["auc"] > TOO_GOOD and one.extras["auc"] > plain + TOO_FAR:
            raise MissingData(
                say("{method} tells who stopped with an area of {auc}, the rule of silence with {plain}: this looks "
                    "like leakage.", method=one.name, auc=round(one.extras["auc"], 3), plain=round(plain, 3)),
                do=[say("look for a column that is written only after a customer has left.")],
                why=say("who will stop is never that plain beforehand."))


def learn(log: Log, question: str, *, seed: int = 0, progress: Progress = silent) -> Fit:
    """Run a question's trial, and fit the winner on everything.

    Raises:
        TooLittleHistory: The log cannot carry it.
    """
    enough(log)
    return _learn_risk(log, seed, progress) if question == AT_RISK else _learn_value(log, seed)


def _learn_risk(log: Log, seed: int, progress: Progress) -> Fit:
    within = horizon_of(log)
    ran = compare(log, within, seed=seed, progress=progress)
    way = next(one for one in WAYS if one.name == ran.trial.winner)
    cuts = cuts_of(int(log.days.day.min()), log.cut, within)
    final = judged(way, Cases.together([cases_at(log.days, cut, within) for cut in cuts]), log.cut, seed)
    arrays, meta = final.scorer.state()
    return Fit(ran.trial, way.name,
               {**{f"method.{name}": array for name, array in arrays.items()},
                **{f"curve.{name}": array for name, array in final.to_chance.state().items()}},
               {"method": meta, "within": within, "shift": final.shift,
                "held_out": list(final.held_out), "reliability": reliability(ran.chances[way.name], ran.cases.gone)})


def restore(arrays: Mapping[str, npt.NDArray[Any]], method: str, meta: Mapping[str, Any]) -> Judged:
    """The fitted way of an installed model.

    Raises:
        KeyError: The model is of a method that is not here.
    """
    ways = {way.name: way for way in WAYS}
    parts = {part: {key.removeprefix(f"{part}."): array for key, array in arrays.items()
                    if key.startswith(f"{part}.")} for part in ("method", "curve")}
    return Judged(ways[method].restore(parts["method"], meta["method"]), Curve.restore(parts["curve"]),
                  float(meta["shift"]), tuple(meta.get("held_out", ())))


def reliability(chance: Floats, came: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Groups of about as many customers each, by what was said: mean chance, share that came, how many."""
    order = np.argsort(chance, kind="stable")
    return [{"said": float(chance[rows].mean()), "came": float(came[rows].mean()), "customers": len(rows)}
            for rows in np.array_split(order, bins) if len(rows)]


def worth_trial(log: Log, horizon: int, seed: int = 0) -> Trial:
    """Let the ways to say what customers will buy meet on the last days of the log."""
    cut = log.cut - horizon
    rows, past = repeats(log.days, cut)
    mine = log.days.bought()
    came = mine.where(mine.day >= cut).total()[rows]
    scores = []
    for method in value.METHODS:
        began = time.perf_counter()
        expected = np.maximum(method.fit(log.days, cut).purchases(past, horizon), FLOOR)
        seconds = round(time.perf_counter() - began, 2)
        scores.append(Scores(method.name, came * np.log(expected) - expected, rows.astype(np.int64),
                             {"total_error": float(expected.sum() / max(came.sum(), 1) - 1),
                              "decile_capture": decile_capture(expected, came)}, {}, seconds))
    split = TimeSplit(log.now - horizon * DAY, log.now - horizon * DAY, log.now)
    return ladder(scores, Setup(VALUE, "Poisson log score", split, log.timezone, seed=seed))


def decile_capture(expected: Floats, came: Floats) -> float:
    """Share of all that came which the tenth of customers brought of whom most was expected."""
    best = np.argsort(-expected, kind="stable")[:max(1, len(expected) // 10)]
    return float(came[best].sum() / max(came.sum(), 1e-12))


def _learn_value(log: Log, seed: int) -> Fit:
    horizon = min(WORTH_DAYS, (log.cut - int(log.days.day.min())) // 3)
    trial = worth_trial(log, horizon, seed)
    method = next(one for one in value.METHODS if one.name == trial.winner)
    return Fit(trial, method.name, method.fit(log.days, log.cut).state(), {"tried_on": horizon})


def competing(question: str) -> list[str]:
    """The names of all that compete for a question."""
    return sorted(way.name for way in WAYS) if question == AT_RISK else sorted(one.name for one in value.METHODS)
