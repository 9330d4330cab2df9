"""Hours, days, weeks (ISO, from Monday) and months in the shop's time zone: the one bucketing function.

The expression carries the zone's offsets as literals, taken from the time zone database for the span of the data. So no
engine's own idea of time zones takes part, and every engine cuts alike. The numpy form is for pure code, and equal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import numpy.typing as npt

from shopkeeper.warehouse.engine import moment

Unit = Literal["hour", "day", "week", "month"]
Ints = npt.NDArray[np.int64]
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = 3 * DAY  # 1970-01-01 was a Thursday: three days after a Monday
_LETTERS: dict[str, str] = {"hour": "h", "day": "D", "week": "W", "month": "M"}


@lru_cache(maxsize=64)
def offsets(timezone: str, first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The UTC offsets that a zone has from `first` to `last`.

    Args:
        timezone: IANA name.
        first, last: Microseconds UTC, both included.

    Returns:
        (from when, offset), both in microseconds, in order; the first pair holds from before `first`.

    >>> [offset // HOUR for _, offset in offsets("Europe/Berlin", 1577836800 * SECOND, 1609459199 * SECOND)]
    [1, 2, 1]
    """
    zone, start, end = ZoneInfo(timezone), first // SECOND, last // SECOND
    found = [(first, _offset(zone, start))]
    probe = start
    while probe < end:  # no zone changes twice within a day
        after = min(probe + 86_400, end)
        if _offset(zone, after) != found[-1][1]:
            found.append((_change(zone, probe, after) * SECOND, _offset(zone, after)))
        probe = after
    return tuple((when, offset * SECOND) for when, offset in found)


def _offset(zone: ZoneInfo, second: int) -> int:
    """Offset from UTC in whole seconds at a time (seconds since 1970, UTC)."""
    there = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    return round(there.total_seconds()) if there is not None else 0


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """The first second in (low, high] with the offset of `high`."""
    target = _offset(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(zone, middle) == target else (middle, high)
    return high


def local(ts: Any, timezone: str, first: int, last: int) -> Any:
    """A UTC time column as the wall clock of a zone: a naive timestamp.

    Args:
        ts: Timestamp column, naive UTC.
        timezone: IANA name.
        first, last: Span of the data, microseconds UTC (`manifest.first`, `manifest.last`).
    """
    changes = offsets(timezone, first, last)
    shifted = [ts + ibis.interval(seconds=offset // SECOND) if offset else ts for _, offset in changes]
    if len(shifted) == 1:
        return shifted[0]
    branches = [(ts < moment(until), clock) for (until, _), clock in zip(changes[1:], shifted, strict=False)]
    return ibis.cases(*branches, else_=shifted[-1])


def bucket(ts: Any, unit: Unit, timezone: str, first: int, last: int) -> Any:
    """When the hour, day, week or month began in which a time lies, by the wall clock of a zone: a naive timestamp.

    Args:
        ts: Timestamp column, naive UTC.
        unit: `hour`, `day`, `week` (from Monday) or `month`.
        timezone: IANA name (`shop.config.timezone`).
        first, last: Span of the data, microseconds UTC.
    """
    return local(ts, timezone, first, last).truncate(_LETTERS[unit])


def hour_of_week(ts: Any, timezone: str, first: int, last: int) -> Any:
    """The hour of the week in which a time lies, by the wall clock of a zone: 0 (Monday, midnight) to 167."""
    clock = local(ts, timezone, first, last)
    return clock.day_of_week.index().cast("int64") * 24 + clock.hour().cast("int64")


def local_times(when: Ints, timezone: str) -> Ints:
    """UTC times as the wall clock of a zone: (n,) microseconds to (n,) naive microseconds."""
    if len(when) == 0:
        return when
    changes = offsets(timezone, int(when.min()), int(when.max()))
    starts = np.array([start for start, _ in changes[1:]], dtype=np.int64)
    shifts = np.array([offset for _, offset in changes], dtype=np.int64)
    return when + shifts[np.searchsorted(starts, when, side="right")]


def local_buckets(when: Ints, unit: Unit, timezone: str) -> Ints:
    """As `bucket`, for arrays: (n,) microseconds UTC to (n,) naive local microseconds.

    >>> (local_buckets(np.array([0, 17 * HOUR]), "day", "Asia/Shanghai") // DAY).tolist()
    [0, 1]
    """
    clock = local_times(when, timezone)
    if unit == "hour":
        return clock // HOUR * HOUR
    if unit == "week":
        return (clock + _MONDAY) // (7 * DAY) * (7 * DAY) - _MONDAY
    days = clock // DAY
    if unit == "day":
        return days * DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) * DAY


def local_hours_of_week(when: Ints, timezone: str) -> Ints:
    """As `hour_of_week`, for arrays."""
    return (local_times(when, timezone) + _MONDAY) // HOUR % 168
