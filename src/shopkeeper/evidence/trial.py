"""A method against the plainest rival: paired difference, interval, verdict, and the record that an answer carries.

Methods stand on a ladder, the plainest first. Each next one is used only if it beats the one in use, the best of the
plain rivals and the plainest of all, with the whole interval above 0. Else the rival answers, and the trial says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from shopkeeper.evidence.bootstrap import Interval, Means, resample
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.words import Sentence, say

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Verdict(StrEnum):
    """What a comparison came to."""

    BEATS = "beats"
    LOSES = "loses"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, eq=False)
class Scores:
    """One method's metric on every case of a trial.

    Attributes:
        name: The method.
        values: (n_cases,) float64, higher is better; every method of a trial has the same cases in the same order.
        clusters: (n_cases,) int64, the customer whose case it is.
        extras: Further figures to show beside it (coverage, novelty, …); they decide nothing.
        params: The parameters that validation chose.
        fit_seconds: What the fit took, for the record.
    """

    name: str
    values: Floats
    clusters: Ints
    extras: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    fit_seconds: float = 0.0


@dataclass(frozen=True)
class Setup:
    """How a trial was made: fixed before any result is seen.

    Attributes:
        question: `room.question`.
        metric: Name of the metric, as people write it (`NDCG@10`).
        split: The cut through time.
        timezone: IANA zone in which a sentence names the day of the cut.
        who: Whose cases they are, in the plural: cases of one of them are not independent.
        left_out: Cases without an outcome, which no metric can judge.
        level: Level of the intervals, in (0, 1).
        resamples: Draws of the bootstrap.
        seed: Seed of the draws.
    """

    question: str
    metric: str
    split: TimeSplit
    timezone: str = "UTC"
    who: Sentence = field(default_factory=lambda: say("customers"))
    left_out: int = 0
    level: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The set-up as plain data."""
        return {**asdict(self), "split": self.split.to_dict(), "who": self.who.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setup:
        """The inverse of `to_dict`; other keys are left alone."""
        known = {name: data[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "split": TimeSplit.from_dict(data["split"]), "who": Sentence.from_dict(data["who"])})

    def window(self) -> Sentence:
        """The test window in words."""
        days, whole = self.split.days, float(self.split.days).is_integer()
        begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.split.test_from)
        return say("{days} days from {date}", days=int(days) if whole else round(days, 1),
                   date=begin.astimezone(ZoneInfo(self.timezone)).date().isoformat())


@dataclass(frozen=True)
class Comparison:
    """A challenger against a rival on the same cases.

    Attributes:
        challenger: Name of the method that wants the place.
        rival: Name of the method that it must beat.
        difference: Mean of the challenger minus mean of the rival.
        relative: The same as a share of the rival's mean; None where that mean can be 0.
        differing: Customers (or whose cases they are) on whom the two differ at all.
        verdict: `beats` only with the whole interval above 0, `loses` only with all of it below, and neither where
            fewer customers differ than could carry it (six at a level of .95).
    """

    challenger: str
    rival: str
    difference: Interval
    relative: Interval | None
    differing: int
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {"challenger": self.challenger, "rival": self.rival, "verdict": str(self.verdict),
                "differing": self.differing, "difference": self.difference.to_dict(),
                "relative": None if self.relative is None else self.relative.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Comparison:
        """The inverse of `to_dict`; other keys are left alone."""
        relative = None if data["relative"] is None else Interval.from_dict(data["relative"])
        return cls(data["challenger"], data["rival"], Interval.from_dict(data["difference"]), relative,
                   data["differing"], Verdict(data["verdict"]))


@dataclass(frozen=True)
class Row:
    """One method's line in a trial.

    Attributes:
        name: The method.
        mean: Its mean of the metric, with the interval.
        extras: Further figures; they decided nothing.
        params: The parameters that validation chose.
        fit_seconds: What the fit took.
    """

    name: str
    mean: Interval
    extras: Mapping[str, float]
    params: Mapping[str, Any]
    fit_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The line as plain data."""
        return {"name": self.name, "mean": self.mean.to_dict(), "extras": dict(self.extras),
                "params": dict(self.params), "fit_seconds": self.fit_seconds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """The inverse of `to_dict`."""
        return cls(**{**data, "mean": Interval.from_dict(data["mean"])})


@dataclass(frozen=True)
class Trial:
    """Which methods competed for a question, on what, and what came of it.

    Attributes:
        setup: How it was made.
        rows: One a method, the plainest first.
        winner: Name of the method that answers from now on.
        final: The comparison that decided: the winner against the best plain rival; or, where a rival answers, the
            best challenger against the rival that it did not beat.
        margin: How far the winner beat the plainest method; None where the plainest itself answers.
        steps: Every comparison on the way, in order.
    """

    setup: Setup
    rows: tuple[Row, ...]
    winner: str
    final: Comparison
    margin: Comparison | None = None
    steps: tuple[Comparison, ...] = ()

    @property
    def kind(self) -> str:
        """`trial`."""
        return "trial"

    @property
    def verdict(self) -> Verdict:
        """What the final comparison came to."""
        return self.final.verdict

    def row(self, name: str) -> Row:
        """The line of a method."""
        return next(row for row in self.rows if row.name == name)

    def sentence(self) -> Sentence:
        """The trial in a sentence: how far what answers beat the plainest, and what came of the others."""
        if self.margin is None:
            return self._of_the_plainest()
        first = say("{challenger} beats {rival} by {by} {metric} ({basis})", **self._said(self.margin, whole=True))
        if self.final == self.margin:
            return first
        said = {"first": first, **self._said(self.final)}
        if self.final.verdict is Verdict.BEATS:
            return say("{first}, and {rival} by {by} ({basis})", **said)
        if self.final.verdict is Verdict.LOSES:
            return say("{first}; {challenger} falls short of {rival} by {by} ({basis}) and is not used", **said)
        return say("{first}; whether {challenger} beats {rival} cannot be told (a difference of {by}; {basis}), "
                   "so it is not used", **said)

    def _of_the_plainest(self) -> Sentence:
        gap, said = self.final.difference, self._said(self.final, whole=True)
        if self.final.verdict is Verdict.LOSES:
            return say("{challenger} falls short of {rival} by {by} {metric} ({basis}), so {winner} answers", **said)
        if gap.low > 0 or gap.high < 0:
            return say("whether {challenger} beats {rival} cannot be told: the difference of {by} {metric} ({basis}) "
                       "rests on {differing} of them, so {winner} answers", **said)
        return say("whether {challenger} beats {rival} cannot be told: the difference is {by} {metric} ({basis}), "
                   "so {winner} answers", **said)

    def _said(self, one: Comparison, *, whole: bool = False) -> dict[str, object]:
        """What a sentence says of a comparison; a shortfall as a positive number. `whole`: with the cases."""
        gap = one.difference
        ends = (-gap.estimate, -gap.high, -gap.low) if one.verdict is Verdict.LOSES else (
            gap.estimate, gap.low, gap.high)
        by, low, high = figures(*ends)
        basis = say("{low} to {high}", low=low, high=high)
        if whole:
            basis = say("{level} % interval {low} to {high}; {n:,} {who}, {window}", level=f"{100 * gap.level:g}",
                        low=low, high=high, n=gap.n_clusters, who=self.setup.who, window=self.setup.window())
        return {"challenger": named(one.challenger), "rival": named(one.rival), "by": by, "basis": basis,
                "metric": self.setup.metric, "winner": named(self.winner), "differing": one.differing}

    def to_dict(self) -> dict[str, Any]:
        """The whole trial as plain data; `from_dict` reads it back."""
        return {"kind": self.kind, **self.setup.to_dict(), "n_cases": self.final.difference.n_cases,
                "n_clusters": self.final.difference.n_clusters, "winner": self.winner, **self.final.to_dict(),
                "margin": None if self.margin is None else self.margin.to_dict(),
                "rows": [row.to_dict() for row in self.rows], "steps": [step.to_dict() for step in self.steps]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """The inverse of `to_dict`."""
        margin = None if data["margin"] is None else Comparison.from_dict(data["margin"])
        return cls(Setup.from_dict(data), tuple(Row.from_dict(row) for row in data["rows"]), data["winner"],
                   Comparison.from_dict(data), margin, tuple(Comparison.from_dict(step) for step in data["steps"]))


def paired_difference(challenger: npt.ArrayLike, rival: npt.ArrayLike, clusters: npt.ArrayLike, *,
                      level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of challenger minus rival over cases, with a bootstrap interval that draws whole customers.

    Args:
        challenger: (n_cases,) metric values.
        rival: (n_cases,) metric values of the same cases.
        clusters: (n_cases,) whose case it is, as a number.
        level: Level of the interval, in (0, 1).
        resamples: Draws of the bootstrap.
        seed: Same seed, same interval.

    Raises:
        ValueError: Fewer than two customers, a value that is not finite, or shapes that do not fit.

    Source:
        Field, Welsh (2007), Bootstrapping clustered data; ends by Hesterberg (2015).

    >>> found = paired_difference([0.4, 0.5, 0.7, 0.2], [0.3, 0.4, 0.6, 0.1], [0, 0, 1, 2])
    >>> round(found.low, 3), round(found.high, 3), found.n_clusters
    (0.1, 0.1, 3)
    """
    return _pair(challenger, rival, clusters, level=level, resamples=resamples, seed=seed).difference(0, 1)


def relative_difference(challenger: npt.ArrayLike, rival: npt.ArrayLike, clusters: npt.ArrayLike, *,
                        level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval | None:
    """`paired_difference` as a share of the rival's mean, by the same draws; None where that mean can be 0.

    Arguments and errors are those of `paired_difference`.

    >>> found = relative_difference([0.6, 0.3, 0.9], [0.4, 0.2, 0.6], [0, 1, 2])
    >>> round(found.low, 3), round(found.high, 3)
    (0.5, 0.5)
    """
    return _pair(challenger, rival, clusters, level=level, resamples=resamples, seed=seed).relative(0, 1)


def ladder(scores: Sequence[Scores], setup: Setup, *, rivals: Sequence[str] = ()) -> Trial:
    """Let the methods of a question compete, the plainest first.

    The first method is in use until another beats it. Every other must beat the one in use and the first, and one that
    is not itself a rival the rival with the best mean too, so that nothing is ever used which has not beaten every
    plain way there is.

    Args:
        scores: The plainest first; all on the same cases.
        setup: How the trial is made.
        rivals: Names of the plain methods, which come first; by default, or where it names all, the first alone.

    Raises:
        ValueError: Fewer than two methods, the same name twice, rivals that do not come first, or methods on
            different cases.
    """
    names = [one.name for one in scores]
    _check_methods(scores, names, rivals)
    means = resample(np.stack([one.values for one in scores]), scores[0].clusters,
                     level=setup.level, resamples=setup.resamples, seed=setup.seed)
    arena = _Arena(scores, names, means)
    plain = names[:1] if len(rivals) in (0, len(names)) else list(rivals)
    winner, steps = _climb(arena, plain)
    final = _final(arena, winner, plain)
    margin = None if winner == names[0] else arena.compare(winner, names[0])
    rows = tuple(Row(one.name, means.mean(at), dict(one.extras), dict(one.params), one.fit_seconds)
                 for at, one in enumerate(scores))
    return Trial(setup, rows, winner, final, margin, tuple(steps))


@dataclass(frozen=True, eq=False)
class _Arena:
    """All methods of a trial over the same draws."""

    scores: Sequence[Scores]
    names: Sequence[str]
    means: Means

    def compare(self, challenger: str, rival: str) -> Comparison:
        one, other = self.names.index(challenger), self.names.index(rival)
        found = self.means.difference(one, other)
        differing = _differing(self.scores[one], self.scores[other])
        return Comparison(challenger, rival, found, self.means.relative(one, other), differing,
                          _verdict(found, differing))

    def best(self, names: Sequence[str]) -> str:
        """The name with the highest mean; the plainest of equals."""
        return max(sorted(names, key=self.names.index), key=lambda name: self.means.estimate[self.names.index(name)])


def _climb(arena: _Arena, plain: Sequence[str]) -> tuple[str, list[Comparison]]:
    used, steps = arena.names[0], []
    for name in arena.names[1:]:
        best = [] if name in plain else [arena.best(plain)]
        met = [arena.compare(name, other) for other in dict.fromkeys([used, *best, arena.names[0]])]
        steps += met
        used = name if all(one.verdict is Verdict.BEATS for one in met) else used
    return used, steps


def _final(arena: _Arena, winner: str, plain: Sequence[str]) -> Comparison:
    challengers = [name for name in arena.names if name not in plain]
    best_rival = arena.best(plain)
    if winner in challengers:
        return arena.compare(winner, best_rival)
    challenger = arena.best(challengers)
    met = [arena.compare(challenger, rival) for rival in dict.fromkeys([best_rival, winner, arena.names[0]])]
    return next(one for one in met if one.verdict is not Verdict.BEATS)


def _differing(one: Scores, other: Scores) -> int:
    """On how many customers the sums of two methods differ by more than rounding."""
    gap = one.values - other.values
    _, who, count = np.unique(one.clusters, return_inverse=True, return_counts=True)
    rounding = 1e-12 * max(np.abs(one.values).max(), np.abs(other.values).max()) * count
    return int((np.abs(np.bincount(who, gap)) > rounding).sum())


def _verdict(difference: Interval, differing: int) -> Verdict:
    """The verdict of a difference on which `differing` customers disagree.

    With so few of them that a fair coin would fall on one side for all of them more often than the interval may miss,
    no interval carries a verdict (sign test; six customers at a level of .95).
    """
    if differing < math.ceil(math.log2(2 / (1 - difference.level))):
        return Verdict.CANNOT_TELL
    if difference.low > 0:
        return Verdict.BEATS
    return Verdict.LOSES if difference.high < 0 else Verdict.CANNOT_TELL


def _pair(challenger: npt.ArrayLike, rival: npt.ArrayLike, clusters: npt.ArrayLike, *,
          level: float, resamples: int, seed: int) -> Means:
    both = np.asarray(challenger, np.float64), np.asarray(rival, np.float64)
    if both[0].shape != both[1].shape:
        raise ValueError(f"{both[0].shape} cases of the challenger for {both[1].shape} of the rival")
    return resample(np.stack(both), clusters, level=level, resamples=resamples, seed=seed)


def _check_methods(scores: Sequence[Scores], names: Sequence[str], rivals: Sequence[str]) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"a trial needs at least two methods, each named once, not {list(names)}")
    if set(rivals) != set(names[:len(rivals)]):
        raise ValueError(f"the rivals {list(rivals)} must be the first of the methods {list(names)}")
    if any(not np.array_equal(one.clusters, scores[0].clusters) for one in scores[1:]):
        raise ValueError("the methods were not tried on the same cases")


def named(method: str) -> str:
    """A method's name as people read it.

    >>> named("buy_again")
    'buy-again'
    """
    return method.replace("_", "-")


def figures(*values: float) -> tuple[str, ...]:
    """Numbers as people compare them: all with the decimals that show two digits of the largest.

    Up to two more are given where a figure would otherwise read as 0.

    >>> figures(0.0213, 0.0151, 0.0274), figures(1234.5, -3.2), figures(0.021, 0.0003)
    (('0.021', '0.015', '0.027'), ('1,234', '-3'), ('0.0210', '0.0003'))
    """
    sizes = [abs(value) for value in values if value] or [1.0]
    first = [-math.floor(math.log10(size)) for size in (max(sizes), min(sizes))]   # place of each one's first digit
    decimals = max(0, first[0] + 1, min(first[1], first[0] + 3))
    return tuple(f"{round(value, decimals) + 0.0:,.{decimals}f}" for value in values)    # + 0.0: no -0
