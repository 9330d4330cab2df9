"""How a log arrives: some records late, some twice. Every one that is late or comes again is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.simulate.population import Floats, Ints, Mask

LATENCY = 120_000             # µs between a punctual event and its arrival
LATEST = 6 * 86_400           # seconds that a record can be late
_LONG = 0.3                   # share of the late ones that are late by days, not by minutes or hours
_AGAIN_SOON = 0.6             # share of the repeats that follow within minutes: a sender that tries again
_DAY = 86_400_000_000         # µs
_NEVER = -2**62


@dataclass
class Planted:
    """What was planted in a log. Counts are of lines (rows of the event table) and of events (their heads).

    Attributes:
        valid, valid_events: Different ones; what an import must store.
        duplicate, duplicate_events: Exact repeats of earlier ones; an event comes again with all its lines.
        late, late_events: Of the valid, those that arrived more than a minute after they happened.
        late_by_days, late_by_days_events: Of those, by more than a day.
        behind: Lines, repeats too, that stand in the file somewhere behind a line of a later time.
    """

    valid: int = 0
    valid_events: int = 0
    duplicate: int = 0
    duplicate_events: int = 0
    late: int = 0
    late_events: int = 0
    late_by_days: int = 0
    late_by_days_events: int = 0
    behind: int = 0

    @property
    def lines(self) -> int:
        """Lines of the file."""
        return self.valid + self.duplicate


@dataclass
class Arrivals:
    """Puts the days of a log in the order in which they arrive.

    Args:
        disorder: Share of the events that arrive late; where it is above 0 there is a column `received_at`.
        duplicates: Share of the events that arrive once more.
        seed: The same seed makes the same ones late.
    """

    disorder: float
    duplicates: float
    seed: int
    planted: Planted = field(default_factory=Planted)
    _waiting: Any = None                                            # a table of what has not arrived yet
    _due: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # when its rows arrive, µs
    _owed: float = 0.0
    _newest: int = _NEVER

    def day(self, day: int, events: Any, until: int) -> Any:
        """What arrives before a moment.

        Args:
            day: Number of the day.
            events: The day's events, in order of time, the lines of each together.
            until: The end of the day, microseconds since 1970, UTC.

        Returns:
            The day's events and those still under way, as far as they arrive before `until`.
        """
        rng = np.random.default_rng([self.seed, 30, day])
        head = events["line"].to_numpy() == 0
        event = np.cumsum(head) - 1                                  # (n,) which event a row is of
        n_events = int(head.sum())
        ts = events["ts"].cast(pa.int64()).to_numpy()
        delay, late = self._delays(n_events, rng)
        due = ts + delay[event]
        if self.disorder:
            events = events.append_column("received_at", pa.array(due).cast(pa.timestamp("us")))
        self._count(head, event, delay, late)
        again, later = self._again(head, n_events, rng)
        rows = np.r_[np.arange(len(head)), again]
        return self._arrive(events, rows, np.r_[due, due[again] + later], until)

    def rest(self) -> Any:
        """What was still under way after the last day; None before the first."""
        if self._waiting is None:
            return None
        return self._arrive(self._waiting.slice(0, 0), np.zeros(0, np.int64), np.zeros(0, np.int64), 2**62)

    def _delays(self, n: int, rng: np.random.Generator) -> tuple[Ints, Mask]:
        """(n,) microseconds from happening to arriving, and who is late."""
        if not self.disorder:
            return np.zeros(n, np.int64), np.zeros(n, bool)
        late = rng.random(n) < self.disorder
        seconds: Floats = np.where(rng.random(n) < _LONG, 86_400 * (1 + 5 * rng.random(n)),
                                   61 + rng.exponential(7_200, n))
        return np.where(late, (np.minimum(seconds, LATEST) * 1e6).astype(np.int64), LATENCY), late

    def _count(self, head: Mask, event: Ints, delay: Ints, late: Mask) -> None:
        planted = self.planted
        planted.valid += len(head)
        planted.valid_events += len(late)
        planted.late += int(late[event].sum())
        planted.late_events += int(late.sum())
        planted.late_by_days += int((delay[event] > _DAY).sum())
        planted.late_by_days_events += int((delay > _DAY).sum())

    def _again(self, head: Mask, n: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Rows that come once more, event by event with all their lines, and how much later (µs)."""
        self._owed += self.duplicates * n
        chosen = np.sort(rng.integers(0, max(n, 1), int(self._owed)))
        self._owed -= len(chosen)
        seconds = np.where(rng.random(len(chosen)) < _AGAIN_SOON, 1 + rng.exponential(60, len(chosen)),
                           60 + rng.exponential(20_000, len(chosen)))
        start = np.flatnonzero(head)
        size = np.diff(np.r_[start, len(head)])[chosen]
        offset = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        self.planted.duplicate += int(size.sum())
        self.planted.duplicate_events += len(chosen)
        return np.repeat(start[chosen], size) + offset, np.repeat((seconds * 1e6).astype(np.int64), size)

    def _arrive(self, events: Any, rows: Ints, due: Ints, until: int) -> Any:
        """Those of what waits and of some rows of a table that arrive before a moment, by arrival; the others wait."""
        if self._waiting is not None and self._waiting.num_rows:
            rows, due = np.r_[rows, events.num_rows + np.arange(len(self._due))], np.r_[due, self._due]
            events = pa.concat_tables([events, self._waiting])
        now = np.flatnonzero(due < until)
        now = now[np.argsort(due[now], kind="stable")]
        then = np.flatnonzero(due >= until)
        self._waiting, self._due = events.take(pa.array(rows[then])), due[then]
        in_order = len(now) == events.num_rows and bool((np.diff(rows[now]) == 1).all())
        out = events if in_order else events.combine_chunks().take(pa.array(rows[now]))
        if out.num_rows:
            ts = out["ts"].cast(pa.int64()).to_numpy()
            newest = np.maximum(np.maximum.accumulate(ts), self._newest)
            self.planted.behind += int((ts < np.r_[self._newest, newest[:-1]]).sum())
            self._newest = int(newest[-1])
        return out
