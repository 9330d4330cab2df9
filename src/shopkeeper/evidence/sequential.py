"""Evidence that holds however often one looks: whether two arms were filled as planned, and how far they differ.

An interval or a test of a fixed size holds for one look at one time. Who looks every day and stops when it pleases gets
a false alarm sooner or later; what stands here allows that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from shopkeeper.words import Sentence, say

__all__ = ["Difference", "Ratio", "half_width", "mean_difference", "sample_ratio"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """Whether people were split as planned.

    Attributes:
        counts: People in `a` and in `b`.
        share: The planned share of `b`.
        p: A p-value that holds at every look: the chance, if the plan was kept, of ever seeing one as small.
        alarm: From which p down the ratio counts as broken.
    """

    counts: tuple[int, int]
    share: float
    p: float
    alarm: float

    @property
    def broken(self) -> bool:
        """Whether the split is not the planned one."""
        return self.p <= self.alarm


@dataclass(frozen=True)
class Difference:
    """How far the mean of `b` lies above that of `a`, with an interval that holds at every look.

    Attributes:
        estimate, low, high: The difference and its interval.
        level: Of the interval: the chance that it holds the truth at all looks together.
        n: People in `a` and in `b`.
        means: The means of `a` and `b`.
        what: What was measured, for a person.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: tuple[int, int]
    means: tuple[float, float]
    what: Sentence

    @property
    def kind(self) -> str:
        """`interval estimate`."""
        return "interval estimate"

    def sentence(self) -> Sentence:
        """The difference in a sentence."""
        return say("{what}: b - a = {estimate} ({level} % interval {low} to {high}, valid at every look; {n:,} people)",
                   what=self.what, estimate=_short(self.estimate), level=f"{100 * self.level:g}", low=_short(self.low),
                   high=_short(self.high), n=sum(self.n))

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain data."""
        return {"kind": self.kind, "what": self.what.to_dict(), "estimate": self.estimate, "low": self.low,
                "high": self.high, "level": self.level, "n_a": self.n[0], "n_b": self.n[1], "mean_a": self.means[0],
                "mean_b": self.means[1]}


def _short(value: float) -> str:
    return f"{value:+.4g}"


def sample_ratio(in_b: npt.NDArray[np.bool_], share: float, *, alarm: float = 0.01, weight: float = 100.0) -> Ratio:
    """Test whether people were split as planned, at every look.

    The Bayes factor of a Beta mixture around the plan against the plan itself is a martingale while the plan is kept;
    by Ville's inequality it ever passes 1/p with chance p at most.

    Args:
        in_b: (n,) whether each person is in `b`, in the order in which they came.
        share: The planned share of `b`, in (0, 1).
        alarm: From which p down the ratio counts as broken: the rate of false alarms over all looks together.
        weight: People whom the mixture's prior counts for; more is keener on small deviations.

    Source:
        Lindon, Malek (2022), Anytime-Valid Inference for Multinomial Count Data (NeurIPS), Theorem 1.

    >>> sample_ratio(np.arange(1000) % 2 == 0, 0.5).broken, sample_ratio(np.arange(1000) % 3 == 0, 0.5).broken
    (False, True)
    """
    b = np.cumsum(in_b).astype(np.float64)
    a = np.arange(1, len(b) + 1) - b
    before = (weight * (1 - share), weight * share)
    # (n,) log Bayes factor after each person
    factor = (_log_beta(before[0] + a, before[1] + b) - _log_beta(before[0], before[1])
              - a * math.log(1 - share) - b * math.log(share))
    p = math.exp(-max(0.0, float(factor.max(initial=0.0))))
    return Ratio((int(a[-1]), int(b[-1])) if len(b) else (0, 0), share, p, alarm)


def mean_difference(a: Floats, b: Floats, share: float, what: Sentence, *, level: float = 0.95,
                    aim: int = 2_000) -> Difference:
    """The difference of two means, with an interval that holds at every look from the first one on.

    Every person gives one value (b - a, each divided by the chance of the arm, around the arms' means); their mean is
    the difference of means, and their running mean has a confidence sequence. It is asymptotic: it needs enough people
    at the first look, as an interval by the central limit theorem does.

    Args:
        a: (n_a,) the outcome of each person in `a`.
        b: (n_b,) the outcome of each person in `b`.
        share: The planned share of `b`.
        what: What was measured.
        level: Of the interval.
        aim: The number of people at which the interval is to be the narrowest.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2021), Time-Uniform Central Limit Theory and Asymptotic Confidence
        Sequences, Theorem 2.2 and section 3 (the values of a randomised experiment); the boundary is Robbins' (1970).
    """
    mean_a, mean_b = (float(part.mean()) if len(part) else 0.0 for part in (a, b))
    estimate = mean_b - mean_a
    values = np.concatenate([-(a - mean_a) / (1 - share), (b - mean_b) / share])
    half = half_width(len(values), float(values.std()), level=level, aim=aim) if len(values) else math.inf
    return Difference(estimate, estimate - half, estimate + half, level, (len(a), len(b)), (mean_a, mean_b), what)


def half_width(n: int, deviation: float, *, level: float = 0.95, aim: int = 2_000) -> float:
    """Half the width of a confidence sequence for a mean after n values.

    Args:
        n: How many values, at least 1.
        deviation: Their standard deviation.
        level: Of the sequence.
        aim: The number of values at which it is to be the narrowest.

    Source:
        As of `mean_difference`: Theorem 2.2, with rho tuned to `aim` as in its appendix.

    >>> 0.14 < half_width(500, 1.0) < half_width(250, 1.0) < 0.25
    True
    """
    alpha = 1 - level
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / aim
    grown = n * rho2 + 1
    return deviation * math.sqrt(2 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))


def _log_beta(a: Any, b: Any) -> Any:
    return gammaln(a) + gammaln(b) - gammaln(a + b)
