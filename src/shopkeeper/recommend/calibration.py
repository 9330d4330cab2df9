"""How likely a customer is to take what is recommended: scores become chances, judged on days that none had seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from shopkeeper.evidence.metrics import brier_skill, expected_calibration_error
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.evidence.trial import Scores, Setup, Trial, Verdict, ladder
from shopkeeper.recommend.cases import sampled
from shopkeeper.recommend.inputs import WEIGHTS, Log
from shopkeeper.recommend.methods.base import DAY, Fitted, Histories, Method
from shopkeeper.words import say

__all__ = ["BINS", "LATELY", "Chances", "Curve", "calibrated", "features", "of_histories"]

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
QUESTION = "recommend.chances"
SERVED = 10            # items of a list, for which chances are stated
LATELY = 180           # days: who has done nothing for longer is not asked about
BUSY = 28              # days over which a customer's lines say how busy they are
BINS = 10              # of the reliability picture, each with as many statements as the next
_PEOPLE = 4_000
_FEWEST = 200          # people, and
_TAKEN = 50            # things taken, without which no chance is stated
_HOLD = 1e-3           # of the coefficients, towards 0


@dataclass(frozen=True)
class Curve:
    """From a score to a chance, for one role: a logistic model over `features`.

    Attributes:
        role: What would be done: `interest`, `intent` or `conversion`, or something stronger.
        weight: (f,) coefficients of the scaled features, and the constant last.
        mean, spread: (f - 1,) by which features are scaled.
        stated, happened, n: (BINS,) on days that the curve had not seen: what it stated on average, what came of it,
            and of how many statements.
        ece: Expected calibration error there.
        skill: Brier skill there, against the share of all that was taken.
    """

    role: str
    weight: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    stated: tuple[float, ...] = ()
    happened: tuple[float, ...] = ()
    n: tuple[int, ...] = ()
    ece: float = 0.0
    skill: float = 0.0

    def chance(self, x: Numbers) -> Numbers:
        """(rows, f - 1) features -> (rows,) chances."""
        scaled = (x - np.asarray(self.mean)) / np.asarray(self.spread)
        return np.asarray(expit(scaled @ np.asarray(self.weight[:-1]) + self.weight[-1]), dtype=np.float64)


@dataclass(frozen=True)
class Chances:
    """The curves of an installed method, by role, and the trial of the strongest role's.

    Attributes:
        curves: Role -> its curve; a role whose curve did not beat the base rate is not there.
        trial: Squared errors against those of the base rate, on the same people and days.
        within: Days within which something would be done.
    """

    curves: Mapping[str, Curve]
    trial: Trial
    within: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data; `from_dict` reads it back."""
        return {"curves": [asdict(one) for one in self.curves.values()], "trial": self.trial.to_dict(),
                "within": self.within}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Chances:
        """The inverse of `to_dict`."""
        rows: list[dict[str, Any]] = [{name: tuple(value) if isinstance(value, list) else value
                                       for name, value in one.items()} for one in data["curves"]]
        curves = [Curve(**one) for one in rows]
        return cls({one.role: one for one in curves}, Trial.from_dict(data["trial"]), int(data["within"]))


@dataclass(frozen=True)
class _Served:
    """What a fitted method served to people at a cut, and what they did within the window after it.

    Attributes:
        x: (rows, f) features of each served item.
        owner: (rows,) whose.
        done: Role -> (rows,) whether they did that with the item, or something stronger.
    """

    x: Numbers
    owner: Rows
    done: Mapping[str, npt.NDArray[np.bool_]]


def calibrated(log: Log, method: Method, params: Any, origins: tuple[TimeSplit, TimeSplit], *, repeats: bool,
               seed: int = 0) -> Chances | None:
    """Fit curves on one window and judge them on the next; what serves is then fitted on the later one.

    Args:
        log: The log.
        method, params: What serves, fitted here before each window.
        origins: The window to fit on, and the one to judge on.
        repeats: Whether what a customer has already is offered again.
        seed: Of the people, and of the interval.

    Returns:
        None where there are too few people, or where the chances are no better than the base rate.
    """
    first, later = (_served(log, method.fit(log.interactions.before(split.train_until), split.train_until, params),
                            split, repeats, seed) for split in origins)
    if first is None or later is None:
        return None
    curves, trial = {}, None
    for role in later.done:
        y = later.done[role]
        if role not in first.done or min(first.done[role].sum(), y.sum()) < _TAKEN:
            continue
        p = _fit(role, first.x, first.done[role]).chance(later.x)
        judged = _judged(later, y, p, float(first.done[role].mean()), Setup(
            QUESTION, "Brier score, turned round", origins[1], log.timezone, say("customers"), seed=seed))
        if judged.verdict is Verdict.BEATS:
            curves[role], trial = _with_record(_fit(role, later.x, y), p, y), judged
    horizon = round((origins[1].test_until - origins[1].train_until) / DAY)
    return None if trial is None else Chances(curves, trial, horizon)


def features(score: npt.ArrayLike, rank: npt.ArrayLike, busy: npt.ArrayLike, silent: npt.ArrayLike) -> Numbers:
    """What a chance depends on.

    Args:
        score: (rows,) of the item for the customer.
        rank: (rows,) its place in the list, from 0.
        busy: (rows,) lines of the customer in the last `BUSY` days.
        silent: (rows,) days since their last one.

    Returns:
        (rows, 6).
    """
    level = np.log(np.maximum(np.asarray(score, dtype=np.float64), 0.0) + 1e-6)
    busy, silent = np.log1p(np.asarray(busy, dtype=np.float64)), np.log1p(np.maximum(0.0, np.asarray(silent, float)))
    return np.column_stack([level, level ** 2, np.log1p(np.asarray(rank, dtype=np.float64)), busy, silent,
                            level * silent])


def of_histories(histories: Histories, now: int) -> tuple[Numbers, Numbers]:
    """How busy each customer was, and how long silent, (m,) each."""
    busy = np.bincount(histories.owner[histories.when >= now - BUSY * DAY], minlength=len(histories))
    last = np.full(len(histories), now - LATELY * DAY, dtype=np.int64)
    np.maximum.at(last, histories.owner, histories.when)
    return busy.astype(np.float64), (now - last) / DAY


def _served(log: Log, fitted: Fitted, split: TimeSplit, repeats: bool, seed: int) -> _Served | None:
    part = log.interactions
    past = split.train(part.when) & (part.when >= split.train_until - LATELY * DAY)
    people = sampled(np.unique(part.customer[past]).astype(np.int64), _PEOPLE, seed)
    if len(people) < _FEWEST:
        return None
    histories = Histories.of(part.before(split.train_until), people)
    had = histories.where(histories.weight >= part.weight[log.target].min(initial=np.inf)).items()
    ranked, scores = fitted.top(histories, split.train_until, SERVED, exclude=None if repeats else had)
    busy, silent = of_histories(histories, split.train_until)
    row, place = np.nonzero(ranked >= 0)
    x = features(scores[row, place], place, busy[row], silent[row])
    return _Served(x, people[row], _done(log, split, people[row], ranked[row, place]))


def _done(log: Log, split: TimeSplit, owner: Rows, item: Rows) -> dict[str, npt.NDArray[np.bool_]]:
    part = log.interactions
    window = split.test(part.when)
    asked = owner * part.n_items + item
    key = part.customer[window].astype(np.int64) * part.n_items + part.item[window]
    weight = part.weight[window]
    return {role: np.isin(asked, key[weight >= np.float32(least)]) for role, least in WEIGHTS.items()
            if (part.weight == np.float32(least)).any()}


def _fit(role: str, x: Numbers, y: npt.NDArray[np.bool_]) -> Curve:
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-9)
    scaled = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    start = np.zeros(scaled.shape[1])
    start[-1] = np.log(max(y.mean(), 1e-6) / max(1 - y.mean(), 1e-6))

    def loss(weight: Numbers) -> tuple[float, Numbers]:
        z = scaled @ weight
        held = np.append(weight[:-1], 0.0)
        value = float((np.logaddexp(0, z) - y * z).mean() + 0.5 * _HOLD * held @ held)
        return value, scaled.T @ (expit(z) - y) / len(y) + _HOLD * held

    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Curve(role, tuple(found.x.tolist()), tuple(mean.tolist()), tuple(spread.tolist()))


def _judged(later: _Served, y: npt.NDArray[np.bool_], p: Numbers, base: float, setup: Setup) -> Trial:
    """Each person's mean squared error, turned round so that more is better, beside the base rate's."""
    who, at, n = np.unique(later.owner, return_inverse=True, return_counts=True)
    errors = (np.bincount(at, -(value - y) ** 2) / n for value in (np.full(len(y), base), p))
    scores = [Scores(name, values, who, {}, {}, 0.0) for name, values in zip(("base_rate", "chances"), errors,
                                                                             strict=True)]
    return ladder(scores, setup)


def _with_record(curve: Curve, p: Numbers, y: npt.NDArray[np.bool_]) -> Curve:
    """The curve with what was found of its kind on days that it had not seen."""
    parts = np.array_split(np.argsort(p, kind="stable"), BINS)
    return Curve(curve.role, curve.weight, curve.mean, curve.spread,
                 tuple(float(p[part].mean()) for part in parts), tuple(float(y[part].mean()) for part in parts),
                 tuple(len(part) for part in parts), float(expected_calibration_error(p, y)), float(brier_skill(p, y)))
