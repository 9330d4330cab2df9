"""From counts to what rings: the verdicts of a rule's detector, and its runs of odd buckets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from shopkeeper.trends.methods import bursts, silence, threshold, usual
from shopkeeper.trends.methods.base import FEWEST, LOOK_BACK, Counts, Verdicts
from shopkeeper.trends.rules import HOUR, Rule
from shopkeeper.warehouse.calendar import local_hours_of_week, local_times
from shopkeeper.words import Sentence, say

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAY, WEEK = 24 * HOUR, 168 * HOUR  # microseconds
NEEDS = 7 * FEWEST  # days of counts before the first verdict


def ring_id(rule: str, until: int, who: str | None) -> str:
    """The id of a ring: of its rule, its end (microseconds UTC) and, for a burst, the pseudonym."""
    return hashlib.blake2b(f"{rule}\n{until}\n{who or ''}".encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Ring:
    """Once that a rule rings.

    Attributes:
        since: Begin of the first odd bucket, or of the silence or burst; microseconds UTC.
        until: End of the bucket, or of the burst, that made it ring.
        side: `high` or `low`.
        counted: In the last bucket; over the whole of a silence or a burst.
        expected, low, high: What was expected there, and its interval; NaN where nothing was.
        method: How that was found.
        who: The pseudonym, for a burst.
    """

    since: int
    until: int
    side: str
    counted: float
    expected: float
    low: float
    high: float
    method: str
    who: str | None = None


@dataclass(frozen=True)
class BackTest:
    """What a rule would have done in the past.

    Attributes:
        days: How many days were tried.
        judged: Buckets that could be judged (of a burst: events).
        rings: Each time that it would have rung.
    """

    days: int
    judged: int
    rings: tuple[Ring, ...]

    @property
    def per_week(self) -> float:
        """Rings a week."""
        return len(self.rings) / self.days * 7


@dataclass(frozen=True)
class Firing:
    """A rule that rings, as people and webhooks get it.

    Attributes:
        rule: Name of the rule.
        what: What it watches.
        ring: What rang.
        per_week: How often the rule rang in the past on which it was tried, a week.
        hint: It is about one person: a hint of fraud, no finding.
        webhook: Where it goes; nowhere if None.
    """

    rule: str
    what: Sentence
    ring: Ring
    per_week: float
    hint: bool
    webhook: str | None = None

    @property
    def id(self) -> str:
        """The same for the same ring, so that a receiver can tell a repeated delivery."""
        return ring_id(self.rule, self.ring.until, self.ring.who)

    def sentence(self, timezone: str = "UTC") -> Sentence:
        """What rang, how many, what was expected, since when, how it was found, and how often it rang in the past."""
        ring = self.ring
        told = say("{rule}: {counted:,.6g} {what} since {since}.", rule=self.rule, counted=ring.counted, what=self.what,
                   since=_clock(ring.since, timezone))
        past = say("In the past it rang {rate:.2g} times a week.", rate=self.per_week)
        if self.hint:
            return say("{told} By one person ({who}); others mostly have {expected:,.4g}, seldom over {high:,.4g}. A "
                       "hint of fraud, no finding. {past}", told=told, who=ring.who, expected=ring.expected,
                       high=ring.high, past=past)
        if ring.method == "threshold":
            limit = ring.high if ring.side == "high" else ring.low
            return say("{told} The limit is {limit:,.6g}. {past}", told=told, limit=limit, past=past)
        return say("{told} Expected were {expected:,.4g} ({low:,.4g} to {high:,.4g}, {method}). {past}", told=told,
                   expected=ring.expected, low=ring.low, high=ring.high, method=ring.method, past=past)


    def to_dict(self, shop: str, timezone: str) -> dict[str, object]:
        """The firing as a webhook gets it: plain data, and the sentence in English."""
        ring = self.ring
        return {"id": self.id, "shop": shop, "rule": self.rule, "what": str(self.what), "side": ring.side,
                "counted": ring.counted, "expected": _number(ring.expected), "low": _number(ring.low),
                "high": _number(ring.high), "since": _iso(ring.since), "until": _iso(ring.until),
                "method": ring.method, "rings_per_week_in_the_past": self.per_week,
                "hint": "fraud" if self.hint else None, "who": ring.who, "text": str(self.sentence(timezone))}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _iso(when: int) -> str:
    return datetime.fromtimestamp(when / 1e6, UTC).isoformat(timespec="seconds")


def _clock(when: int, timezone: str) -> str:
    return f"{datetime.fromtimestamp(when / 1e6, UTC).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"


def begin(first: int, until: int) -> int:
    """Where the counts must begin on which a verdict at `until` depends: the begin of a day (UTC), microseconds.

    Args:
        first: The first event of the log: the counts begin with the day after it, which is whole.
        until: Microseconds UTC.
    """
    wanted = (until - LOOK_BACK * WEEK) // DAY * DAY
    return max(wanted, -(-first // DAY) * DAY)


def ends(rule: Rule, until: int) -> int:
    """The end of the last bucket that is complete at `until`."""
    return until // rule.width * rule.width


def judge(rule: Rule, amounts: Floats, start: int, timezone: str) -> Verdicts:
    """The verdicts of the rule's detector on every bucket, each by its own past alone.

    Args:
        rule: Any but a burst.
        amounts: (T,) counts from `start`.
        start: Begin of a day (UTC), microseconds.
        timezone: IANA zone in which hours of the week are alike.
    """
    when = start + np.arange(len(amounts), dtype=np.int64) * rule.width
    parts = 60 // rule.minutes
    place = local_times(when, timezone) // rule.width % parts if parts > 1 else np.int64(0)
    slots = local_hours_of_week(when, timezone) * parts + place
    counts = Counts(amounts, slots, DAY // rule.width)
    if rule.detector == "threshold":
        return threshold.judge(counts, rule.above, rule.below)
    return silence.judge(counts, rule.level) if rule.detector == "silence" else usual.judge(counts, rule.level)


def rings(rule: Rule, amounts: Floats, start: int, found: Verdicts, quiet_until: int = 0) -> list[Ring]:
    """Every time that the rule rings, in order.

    Args:
        rule: Any but a burst.
        amounts: (T,) counts from `start`.
        start: Microseconds UTC.
        found: The verdicts on them.
        quiet_until: It does not ring before that (a cool-down that still runs).
    """
    sides = {"both": (1, -1), "high": (1,), "low": (-1,)}[rule.side]
    enough = np.where(found.odd > 0, amounts, found.expected) >= rule.least
    if rule.detector == "threshold":
        enough = np.ones(len(amounts), dtype=bool)
    odd = np.where(np.isin(found.odd, sides) & enough, found.odd, 0)
    run = _same(odd)
    done = []
    for t in np.flatnonzero((odd != 0) & (run >= rule.row)):
        until = start + (int(t) + 1) * rule.width
        if until >= quiet_until:
            done.append(_ring(rule, amounts, start, found, int(t), int(run[t])))
            quiet_until = until + round(rule.cooldown * HOUR)
    return done


def _same(odd: Ints) -> Ints:
    """(T,) how many buckets up to each, itself included, are odd on one side without a break."""
    at = np.arange(len(odd))
    change = np.r_[True, odd[1:] != odd[:-1]] if len(odd) else np.empty(0, dtype=bool)
    return at - np.maximum.accumulate(np.where(change, at, 0)) + 1 if len(odd) else at


def _ring(rule: Rule, amounts: Floats, start: int, found: Verdicts, t: int, run: int) -> Ring:
    first = t - int(found.run[t]) if rule.detector == "silence" else t - run + 1
    method = {"silence": "silence", "threshold": "threshold"}.get(
        rule.detector, "negative binomial tail" if found.tail[t] else "median and MAD")
    return Ring(start + first * rule.width, start + (t + 1) * rule.width, "high" if found.odd[t] > 0 else "low",
                float(amounts[t]), float(found.expected[t]), float(found.low[t]), float(found.high[t]), method)


def burst_rings(rule: Rule, people: Sequence[str], person: Ints, when: Ints,
                quiet: dict[str, int] | None = None) -> list[Ring]:
    """Every time that a rule for bursts rings, in order; each person has a cool-down of their own.

    Args:
        rule: A rule for bursts.
        people: Names of the persons.
        person, when: (n,) who did it when, ascending.
        quiet: Person -> until when the rule does not ring for them.
    """
    quiet, done = dict(quiet or {}), []
    for found in bursts.find(person, when, rule.width, rule.above or 0.0, rule.level):
        who = people[found.person]
        if found.until >= quiet.get(who, 0):
            quiet[who] = found.until + round(rule.cooldown * HOUR)
            done.append(Ring(found.since, found.until, "high", float(found.counted), found.typical, 0.0, found.most,
                             "counts of one person", who))
    return done
