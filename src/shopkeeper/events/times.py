"""Times of any source as naive UTC microseconds: ISO texts, epochs in s / ms / us / ns, compact and slashed forms.

A time with an offset or a zone keeps it; one without is read in the given time zone. A form that could be read in two
ways (01/02/2026) is decided by the cells that can be read in one way only, or refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadMapping
from shopkeeper.events.schema import TIME
from shopkeeper.events.values import Mask, by_unique, flat, mask_of, nothing, text
from shopkeeper.words import say

EARLIEST = datetime(1971, 1, 1)  # 1970-01-01 is what an empty clock writes
LATEST = datetime(2100, 1, 1)
_ZERO = datetime(1970, 1, 1)
_QUARTER = 15 * 60 * 1_000_000  # microseconds; since 1971 clocks are put forward and back at quarters of an hour

_ISO = (r"^(?P<day>\d{4}[-/]\d{1,2}[-/]\d{1,2})(?:[T ]+(?P<clock>\d{1,2}:\d{2}(?::\d{2})?)(?:[.,](?P<part>\d{1,9}))?)?"
        r" ?(?P<zone>Z|z|UTC|GMT|[+-](?:0\d|1[0-8]):?[0-5]\d|[+-](?:0\d|1[0-8]))?$")
_EPOCH = r"^-?(\d{9,18}|[0-8]\d{18})(\.\d+)?$"  # 19 digits from 9 on do not fit into 64 bits
_COMPACT = r"^(19|20)\d{6}(\d{4}(\d{2})?)?$"
_SLASHED = r"^\d{1,2}[/.]\d{1,2}[/.]\d{4}( \d{1,2}:\d{2}(:\d{2})?)?$"


@dataclass
class TimeRule:
    """How the times of one source are read when they say no zone or have an odd form.

    Attributes:
        zone: IANA name; None means UTC was assumed.
        form: A strptime format for texts that are of this form only, or None.
        day_first: Whether 01/02/2026 is the first of February; learned from the first batch that shows it.
        slashed: Whether such times are read at all; where records of many senders meet, no other record can say how.
    """

    zone: str | None = None
    form: str | None = None
    day_first: bool | None = None
    slashed: bool = True


def times(array: Any, rule: TimeRule) -> tuple[Any, Mask]:
    """Read a column of times.

    Args:
        array: (n,) cells of any type.
        rule: Zone and form.

    Returns:
        (n,) timestamp[us] naive UTC, null where there was nothing; and the mask (n,) of what could not be read or lies
        before 1971 or after 2099.

    Raises:
        BadMapping: Day and month cannot be told apart, or the time zone is not known.
    """
    array = flat(array)
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values, bad = _typed(array, rule), nothing(len(array))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        cells = text(array)
        values, bad = _texts(cells, rule)
    else:
        values, bad = _texts(text(array), rule)
    bad = bad | impossible(values)
    return pc.if_else(pa.array(bad), None, values), bad


def impossible(values: Any) -> Mask:
    """Which of (n,) times lie before 1971 or after 2099."""
    inside = pc.and_(pc.greater_equal(values, pa.scalar(EARLIEST, TIME)), pc.less(values, pa.scalar(LATEST, TIME)))
    return mask_of(pc.invert(inside))


def _typed(array: Any, rule: TimeRule) -> Any:
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return pc.cast(pc.cast(array, pa.timestamp("us", "UTC"), safe=False), TIME)
    return _to_utc(pc.cast(array, TIME, safe=False), rule)


def _to_utc(naive: Any, rule: TimeRule) -> Any:
    """Local times in UTC.

    An hour that comes twice in autumn is the first of the two; one that spring leaves out is read by the offset before
    it, so that order and distances stay.
    """
    if rule.zone in (None, "UTC"):
        return naive
    local = pc.cast(naive, pa.int64())
    zone = ZoneInfo(rule.zone)
    quarters, place = np.unique(pc.fill_null(local, 0).to_numpy() // _QUARTER, return_inverse=True)
    offsets = np.array([_offset_at(quarter, zone) for quarter in quarters.tolist()], dtype=np.int64)
    return pc.cast(pc.subtract(local, pa.array(offsets[place])), TIME)


def _offset_at(quarter: int, zone: ZoneInfo) -> int:
    """Microseconds east of UTC at a local quarter of an hour; 0 where the calendar ends."""
    try:
        offset = (_ZERO + timedelta(microseconds=quarter * _QUARTER)).replace(tzinfo=zone).utcoffset()
    except OverflowError:
        return 0
    return 0 if offset is None else offset // timedelta(microseconds=1)


def _texts(cells: Any, rule: TimeRule) -> tuple[Any, Mask]:
    filled = pc.is_valid(cells)
    if rule.form is not None:
        values = by_unique(cells, mask_of(filled), lambda cell: _by_form(cell, rule.form or ""), TIME)
        values = values if "%z" in rule.form else _to_utc(values, rule)
        return values, mask_of(pc.and_(filled, pc.is_null(values)))
    out = pa.nulls(len(cells), TIME)
    left = mask_of(filled)
    for pattern, read in ((_ISO, _iso), (_COMPACT, _compact), (_EPOCH, _epoch), (_SLASHED, _slashed)):
        if not left.any() or (read is _slashed and not rule.slashed):
            break
        matched = left & mask_of(pc.match_substring_regex(cells, pattern))
        if matched.any():
            out = pc.coalesce(out, read(pc.if_else(pa.array(matched), cells, None), rule))
            left = left & ~mask_of(pc.is_valid(out))
    return out, mask_of(filled) & mask_of(pc.is_null(out))


def _iso(cells: Any, rule: TimeRule) -> Any:
    parts = pc.extract_regex(cells, _ISO)
    day, clock, part, zone = (pc.struct_field(parts, name) for name in ("day", "clock", "part", "zone"))
    stamp = pc.binary_join_element_wise(pc.replace_substring(day, "/", "-"), _padded_clock(clock), " ")
    whole = _cast_or_parse(stamp, "%Y-%m-%d %H:%M:%S")
    micros = pc.cast(pc.utf8_slice_codeunits(pc.utf8_rpad(part, 6, "0"), 0, 6), pa.int64())
    local = pc.cast(pc.add(pc.cast(whole, pa.int64()), pc.fill_null(micros, 0)), TIME)
    zoned = pc.greater(pc.binary_length(zone), 0)
    exact = pc.cast(pc.subtract(pc.cast(local, pa.int64()), _offset(zone)), TIME)
    return pc.if_else(zoned, exact, _to_utc(pc.if_else(zoned, None, local), rule))


def _padded_clock(clock: Any) -> Any:
    clock = pc.if_else(pc.equal(pc.binary_length(clock), 0), "00:00:00", clock)
    clock = pc.if_else(pc.match_substring_regex(clock, r"^\d:"), pc.binary_join_element_wise("0", clock, ""), clock)
    return pc.if_else(pc.equal(pc.binary_length(clock), 5), pc.binary_join_element_wise(clock, "00", ":"), clock)


def _offset(zone: Any) -> Any:
    """Offset texts (+08:00, -0500, Z) as microseconds to subtract."""
    digits = pc.utf8_rpad(pc.replace_substring_regex(zone, r"[^0-9]", ""), 4, "0")
    hours, minutes = (pc.cast(pc.utf8_slice_codeunits(digits, a, b), pa.int64()) for a, b in ((0, 2), (2, 4)))
    seconds = pc.add(pc.multiply(hours, 3600), pc.multiply(minutes, 60))
    sign = pc.if_else(pc.starts_with(zone, "-"), -1_000_000, 1_000_000)
    return pc.multiply(seconds, sign)


def _cast_or_parse(stamp: Any, form: str) -> Any:
    """Texts of one form as timestamps; a day that does not exist (2026-02-30) is null."""
    try:
        return pc.cast(stamp, TIME)
    except pa.ArrowInvalid:
        return by_unique(stamp, mask_of(pc.is_valid(stamp)), lambda cell: _by_form(cell, form), TIME)


def _by_form(cell: str, form: str) -> datetime | None:
    try:
        moment = datetime.strptime(cell, form)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _compact(cells: Any, rule: TimeRule) -> Any:
    padded = pc.utf8_rpad(cells, 14, "0")
    return _to_utc(by_unique(padded, mask_of(pc.is_valid(padded)), lambda cell: _by_form(cell, "%Y%m%d%H%M%S"), TIME),
                   rule)


def _epoch(cells: Any, rule: TimeRule) -> Any:
    """Epochs by their size: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds."""
    whole = pc.cast(pc.replace_substring_regex(cells, r"\..*$", ""), pa.int64(), safe=False)
    micros = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.replace_substring_regex(cells, r"^[^.]*\.?", ""), 6, "0"), 0, 6)
    size = pc.abs(whole)
    seconds = pc.add(pc.multiply(pc.if_else(pc.less(size, 10**11), whole, 0), 10**6), pc.cast(micros, pa.int64()))
    millis = pc.multiply(pc.if_else(pc.less(size, 10**14), whole, 0), 1000)
    smaller = pc.if_else(pc.less(size, 10**17), whole, pc.divide(whole, 1000))
    value = pc.if_else(pc.less(size, 10**11), seconds, pc.if_else(pc.less(size, 10**14), millis, smaller))
    return pc.cast(value, TIME)


def _slashed(cells: Any, rule: TimeRule) -> Any:
    """01/02/2026: the first batch with a number above 12 decides which comes first, for the whole source."""
    parts = pc.extract_regex(cells, r"^(?P<a>\d{1,2})[/.](?P<b>\d{1,2})[/.](?P<y>\d{4})(?: (?P<clock>.*))?$")
    a, b, year, clock = (pc.struct_field(parts, name) for name in ("a", "b", "y", "clock"))
    if rule.day_first is None:
        rule.day_first = _day_first(a, b, cells)
    month, day = (a, b) if rule.day_first is False else (b, a)
    stamp = pc.binary_join_element_wise(year, pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0"), "-")
    return _to_utc(_cast_or_parse(pc.binary_join_element_wise(stamp, _padded_clock(clock), " "), "%Y-%m-%d %H:%M:%S"),
                   rule)


def _day_first(a: Any, b: Any, cells: Any) -> bool | None:
    """What the cells that can be read in one way only say; None where no cell can be a day at all."""
    large_a, large_b = (mask_of(pc.greater(pc.cast(side, pa.int64()), 12)) for side in (a, b))
    days, months = large_a & ~large_b, large_b & ~large_a  # day first, month first
    open_ = mask_of(pc.is_valid(cells)) & ~large_a & ~large_b
    if days.any() == months.any() and (open_ | days).any():
        first = [cells[int(np.flatnonzero(mask)[0])].as_py() if mask.any() else None for mask in (open_, days, months)]
        raise BadMapping(
            say("{cell} is day/month and {other} is month/day.", cell=first[1], other=first[2]) if days.any()
            else say("{cell} can be read as day/month or as month/day.", cell=first[0]),
            do=[say("--time-format {form}", form=f"'{form}'") for form in _two_forms(str(first[0] or first[1]))],
            why=say("a wrong guess would move events by months without a trace."))
    return bool(days.any()) if days.any() or months.any() else None


def _two_forms(cell: str) -> list[str]:
    """The formats, day first and month first, in which a cell such as `01.02.2026 10:00` is written."""
    mark = "." if "." in cell[:3] else "/"
    clock = ["", " %H:%M", " %H:%M:%S"][min(2, cell.count(":"))]
    return [mark.join(parts) + clock for parts in (("%d", "%m", "%Y"), ("%m", "%d", "%Y"))]


def check_zone(zone: str | None) -> None:
    """Refuse a time zone that is not in the zone database."""
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as wrong:
        raise BadMapping(say("there is no time zone {zone}.", zone=repr(zone)),
                         do=[say("--time-zone Europe/Berlin"), say("--time-zone Asia/Shanghai")],
                         why=say("times without an offset are read in this zone.")) from wrong


def check_form(form: str | None) -> None:
    """Refuse a time format that is none, or that does not say the day."""
    if form is None:
        return
    sample = datetime(2026, 11, 23, 13, 45, 6, tzinfo=UTC)
    try:
        whole = datetime.strptime(sample.strftime(form), form).date() == sample.date()
    except ValueError:
        whole = False
    if not whole:
        raise BadMapping(say("{form} is no format of a time with its day.", form=repr(form)),
                         do=[say("--time-format '%d/%m/%Y %H:%M'"), say("--time-format '%m/%d/%Y %H:%M'")],
                         why=say("%Y %m %d %H %M %S stand for year, month, day, hour, minute and second."))


def zoned_already(column: Any) -> bool:
    """Whether the times of a column need no zone: they carry one, or they are epochs.

    >>> zoned_already(pa.array(["2026-01-01T10:00:00Z", None])), zoned_already(pa.array(["2026-01-01 10:00"]))
    (True, False)
    """
    cells = flat(column)
    if pa.types.is_timestamp(cells.type):
        return cells.type.tz is not None
    if pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type):
        return True
    words = text(cells).drop_null()
    said = pc.match_substring_regex(words, r"(Z|z|UTC|GMT|\d ?[+-]\d{2}:?\d{2})$|^-?\d{9,19}(\.\d+)?$")
    return bool(pc.all(said).as_py())
