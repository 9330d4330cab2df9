"""Splits that an honest trial may use: what came before teaches, what came after tests.

There is no random split over time here. An event drawn at random into the test part leaves its neighbours of the same
week, season and session in the training part, so a method is asked about a past whose future it has read: the figures
look better than the shop will ever see (Ji et al. 2023, A Critical Study on Data Leakage in Recommender System Offline
Evaluation). K-fold is the same draw k times. Where time plays no part (an experiment's arms, a text's label), the room
that needs such a split says so where it makes it.

Times are int64 microseconds UTC since 1970; windows are half-open: `from <= when < until`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput, TooLittleHistory
from shopkeeper.words import say

DAY = 86_400_000_000  # microseconds
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeSplit:
    """A cut through time: events before `train_until` teach, events in `[test_from, test_until)` test.

    Attributes:
        train_until: End of the training part, exclusive; int64 us UTC.
        test_from: Begin of the test window; never before `train_until`. What lies between the two is in neither.
        test_until: End of the test window, exclusive.

    Raises:
        ValueError: The test window is empty, or begins before the training part ends.

    >>> split = TimeSplit(train_until=100, test_from=100, test_until=200)
    >>> when = np.array([99, 100, 199, 200])
    >>> split.train(when).tolist(), split.test(when).tolist()
    ([True, False, False, False], [False, True, True, False])
    """

    train_until: int
    test_from: int
    test_until: int

    def __post_init__(self) -> None:
        if not self.train_until <= self.test_from < self.test_until:
            raise ValueError(f"a split needs train_until <= test_from < test_until, not {self.train_until}, "
                             f"{self.test_from}, {self.test_until}")

    @property
    def days(self) -> float:
        """Length of the test window in days."""
        return (self.test_until - self.test_from) / DAY

    def train(self, when: Ints) -> Mask:
        """Which events may teach: (n,) bool for `when` (n,) int64 us UTC."""
        return np.asarray(when) < self.train_until

    def test(self, when: Ints) -> Mask:
        """Which events test: (n,) bool for `when` (n,) int64 us UTC."""
        times = np.asarray(when)
        return (times >= self.test_from) & (times < self.test_until)

    def to_dict(self) -> dict[str, Any]:
        """The cut as plain data: ISO times in UTC, and the window's length in days."""
        return {"train_until": iso(self.train_until), "test_from": iso(self.test_from),
                "test_until": iso(self.test_until), "days": self.days}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimeSplit:
        """The inverse of `to_dict`."""
        return cls(*(_micros(data[name]) for name in ("train_until", "test_from", "test_until")))


def last_window(when_last: int, horizon: int) -> TimeSplit:
    """Set the last `horizon` days aside to test on; everything before them teaches.

    Args:
        when_last: Time of the last event, int64 us UTC; it falls into the window.
        horizon: Length of the window in days.

    Raises:
        BadInput: `horizon` is less than one day.

    >>> last_window(when_last=10 * DAY - 1, horizon=3).test_from // DAY
    7
    """
    _at_least_one("horizon", horizon)
    until = when_last + 1
    return TimeSplit(until - horizon * DAY, until - horizon * DAY, until)


def rolling_origins(first: int, last: int, *, horizon: int, n: int, step: int | None = None) -> list[TimeSplit]:
    """Cut several windows from the end of a log, oldest first; each learns from everything before it.

    The windows lie side by side unless `step` says otherwise. The oldest has at least `horizon` days to learn from.

    Args:
        first: Time of the first event, int64 us UTC.
        last: Time of the last event; it falls into the last window.
        horizon: Length of each window in days.
        n: How many windows.
        step: Days from one window's begin to the next; by default `horizon`. With less, windows overlap and their
            results are not independent.

    Raises:
        BadInput: `horizon`, `n` or `step` is less than one.
        TooLittleHistory: The log is too short for the windows and what the oldest learns from.

    Source:
        Tashman (2000), Out-of-sample tests of forecasting accuracy: an analysis and review.

    >>> [split.test_from // DAY for split in rolling_origins(0, 30 * DAY - 1, horizon=7, n=3)]
    [9, 16, 23]
    """
    apart = horizon if step is None else step
    for name, value in (("horizon", horizon), ("n", n), ("step", apart)):
        _at_least_one(name, value)
    have = max(0, (last + 1 - first) // DAY)
    if have < 2 * horizon + (n - 1) * apart:
        shorter = have // (n + 1) if step is None else (have - (n - 1) * step) // 2
        fewer = (have - 2 * horizon) // apart + 1
        raise _too_short(first, last, (horizon, n, apart), shorter=shorter, fewer=fewer)
    ends = [last - back * apart * DAY for back in reversed(range(n))]
    return [last_window(end, horizon) for end in ends]


def leave_last(customer: npt.ArrayLike, order: npt.ArrayLike) -> tuple[Mask, Mask, Mask]:
    """Split by each customer's own last events: the last tests, the one before validates, the rest teach.

    This is the protocol of the public sequence benchmarks, kept to be comparable with them. It is not a split over
    time: one customer's training events may be later than another's test event. A shop's own trial uses `TimeSplit`.

    Args:
        customer: (n,) a number for each customer.
        order: (n,) place or time of the event within the customer's sequence; ties stand in the order given.

    Returns:
        Three masks (n,): train, valid, test. A customer with fewer than three events only teaches.

    Source:
        Kang, McAuley (2018), Self-Attentive Sequential Recommendation, section IV-A.

    >>> train, valid, test = leave_last([5, 5, 5, 9], [2, 0, 1, 0])
    >>> train.tolist(), valid.tolist(), test.tolist()
    ([False, True, False, True], [False, False, True, False], [True, False, False, False])
    """
    _, who = np.unique(np.asarray(customer), return_inverse=True)     # (n,) 0..m-1
    length = np.bincount(who)                                         # (m,)
    line = np.lexsort((np.asarray(order), who))
    ends = np.cumsum(length)                                          # (m,) one past each customer's last event
    from_end = np.empty(len(who), np.int64)
    from_end[line] = np.repeat(ends, length) - 1 - np.arange(len(who))
    long = length[who] >= 3
    valid, test = long & (from_end == 1), long & (from_end == 0)
    return ~(valid | test), valid, test


def iso(when: int) -> str:
    """A time in int64 us UTC as ISO text.

    >>> iso(1_512_259_200_000_000)
    '2017-12-03T00:00:00+00:00'
    """
    return (_EPOCH + timedelta(microseconds=int(when))).isoformat()


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise BadInput(say("{name} is {value}; it must be at least 1.", name=name, value=value),
                       do=[say("Give {name} as a whole number, 1 or more.", name=name)])


def _too_short(first: int, last: int, asked: tuple[int, int, int], *, shorter: int, fewer: int) -> TooLittleHistory:
    horizon, n, step = asked
    do = [say("Give horizon={days}.", days=shorter)] if shorter >= 1 else []
    do += [say("Give n={n}.", n=fewer)] if fewer >= 1 else []
    return TooLittleHistory(
        say("{n} test windows of {horizon} days need {need} days of events; this log has {have} ({begin} to {end}).",
            n=n, horizon=horizon, need=2 * horizon + (n - 1) * step, have=max(0, (last + 1 - first) // DAY),
            begin=iso(first)[:10], end=iso(last)[:10]),
        do=[*do, say("Ingest an older export too.")],
        why=say("each window is set aside to check the answer, and the oldest needs as much before it to learn from."))
