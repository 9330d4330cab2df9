from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shopkeeper.errors import BadMapping
from shopkeeper.events.times import TimeRule, check_form, check_zone, times

ZONES = ("UTC", "Europe/Berlin", "Asia/Shanghai", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe",
         "Pacific/Apia", "Africa/Casablanca")
moments = st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30))


def read(*cells, zone=None, form=None):
    rule = TimeRule(zone, form)
    return times(pa.array(cells), rule)[0].to_pylist()


def utc(*parts):
    return datetime(*parts)


def refused(do):
    with pytest.raises(BadMapping) as refusal:
        do()
    return str(refusal.value)


@settings(deadline=None)
@given(moment=moments, zone=st.sampled_from(ZONES))
def test_a_local_time_is_read_as_the_zone_database_says(moment, zone):
    expected = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)

    assert read(moment.isoformat(" "), zone=zone) == [expected]
    assert times(pa.array([moment], pa.timestamp("us")), TimeRule(zone))[0].to_pylist() == [expected]


@settings(deadline=None)
@given(moment=moments, minutes=st.integers(-12 * 60, 14 * 60), zone=st.sampled_from(ZONES))
def test_an_offset_in_the_cell_counts_and_the_zone_of_the_source_does_not(moment, minutes, zone):
    text = moment.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat("T")

    assert read(text, zone=zone) == [moment - timedelta(minutes=minutes)]


@settings(deadline=None)
@given(moment=moments.map(lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000)))
def test_epochs_in_seconds_milliseconds_microseconds_and_nanoseconds_are_the_same_moment(moment):
    micros = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    if micros < 10**14:     # before 1973-03-03 an epoch in milliseconds is as long as one in seconds
        micros += 10**14
        moment += timedelta(microseconds=10**14)

    assert read(micros, micros * 1000) == [moment] * 2
    assert read(str(micros // 1000), f"{micros // 10**6}.{micros % 10**6:06d}") == [moment] * 2
    assert read(micros // 10**6) == [moment.replace(microsecond=0)]


def test_texts_of_mixed_zones_stand_side_by_side_in_one_column():
    cells = ("2026-10-01T12:00:00+02:00", "2026-10-01 10:00:00Z", "2026-10-01 10:00", "2026-10-01T18:00:00 +0800",
             "2026-10-01 10:00:00 UTC", "1790848800", "20261001100000", "2026/10/1 10:00:00.000", "2026-10-01T05-05")

    assert read(*cells[:8]) == [utc(2026, 10, 1, 10)] * 8
    assert read(cells[8]) == [None]


def test_an_hour_that_comes_twice_is_the_first_and_one_that_is_left_out_keeps_its_distance():
    assert read("2026-10-25 02:30", "2026-10-25 03:30", zone="Europe/Berlin") == [
        utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 2, 30)]
    assert read("2026-03-29 01:59", "2026-03-29 02:10", "2026-03-29 02:50", "2026-03-29 03:00",
                zone="Europe/Berlin") == [utc(2026, 3, 29, 0, 59), utc(2026, 3, 29, 1, 10), utc(2026, 3, 29, 1, 50),
                                          utc(2026, 3, 29, 1)]


@pytest.mark.parametrize("cell", [
    "1900-01-01", "2100-01-01", "1970-12-31T23:59:59Z", "2026-02-30", "2026-13-01", "2026-10-01 25:00", "yesterday",
    "2026-10-01T10:00:00+99:00", "2026-10-01T10:00:00+08:75", "9999999999999999999", "-1790848800", "1", "0", "12:30",
    "20261301", "2026-10-01 10:00:60", "99/99/2026", "2026-10-01T10:00:00 Europe/Berlin"])
def test_a_time_that_cannot_be_is_marked_and_never_guessed(cell):
    found, bad = times(pa.array([cell, None, ""]), TimeRule())

    assert found.to_pylist() == [None] * 3
    assert bad.tolist() == [True, False, False]


def test_a_date_alone_is_the_midnight_of_the_zone():
    assert read("2026-10-01", zone="Asia/Shanghai") == [utc(2026, 9, 30, 16)]
    assert times(pa.array([datetime(2026, 10, 1).date()]), TimeRule("Asia/Shanghai"))[0].to_pylist() == [
        utc(2026, 9, 30, 16)]


def test_a_typed_time_with_a_zone_is_a_moment_already():
    aware = pa.array([datetime(2026, 10, 1, 10)], pa.timestamp("ns", "America/New_York"))

    assert times(aware, TimeRule("Asia/Shanghai"))[0].to_pylist() == [utc(2026, 10, 1, 10)]


@pytest.mark.parametrize("cells, first", [
    (("01/02/2026", "25/12/2026 10:00"), utc(2026, 2, 1)), (("01/02/2026", "12/25/2026"), utc(2026, 1, 2)),
    (("01.02.2026 00:00", "31.12.2026"), utc(2026, 2, 1))])
def test_day_and_month_are_told_apart_by_a_cell_that_can_be_read_in_one_way(cells, first):
    assert read(*cells)[0] == first


def test_the_first_batch_decides_for_the_whole_source():
    rule = TimeRule()
    times(pa.array(["25/12/2026"]), rule)

    found, bad = times(pa.array(["01/02/2026", "12/25/2026"]), rule)

    assert found.to_pylist() == [utc(2026, 2, 1), None]
    assert bad.tolist() == [False, True]


def test_day_and_month_that_cannot_be_told_apart_are_refused():
    assert refused(lambda: read("99/99/2026", "01/02/2026")) == (
        "01/02/2026 can be read as day/month or as month/day.\n"
        "  Try:  --time-format '%d/%m/%Y'\n"
        "  Try:  --time-format '%m/%d/%Y'\n"
        "  Why:  a wrong guess would move events by months without a trace.")


def test_cells_that_contradict_each_other_are_refused():
    assert refused(lambda: read("01/02/2026", "25/12/2026", "12/25/2026")) == (
        "25/12/2026 is day/month and 12/25/2026 is month/day.\n"
        "  Try:  --time-format '%d/%m/%Y'\n"
        "  Try:  --time-format '%m/%d/%Y'\n"
        "  Why:  a wrong guess would move events by months without a trace.")


@pytest.mark.parametrize("cell", ["03.04.2024 10:00", "03/04/2024 10:00:30", "03.04.2024", "03/04/2024"])
def test_the_formats_that_a_refusal_names_read_the_cell(cell):
    with pytest.raises(BadMapping) as refused:
        times(pa.array([cell]), TimeRule())

    for advice in refused.value.do:
        form = str(advice).partition("'")[2].rstrip("'")
        found, bad = times(pa.array([cell]), TimeRule(form=form))
        assert found.null_count == 0
        assert not bad.any()


def test_a_form_that_is_given_is_the_only_one():
    assert read("01/02/2026 10:00", "2026-10-01", form="%d/%m/%Y %H:%M", zone="Asia/Shanghai") == [
        utc(2026, 2, 1, 2), None]


def test_a_form_with_an_offset_is_shifted_once():
    assert read("01/02/2026 10:00 +0800", "01/01/0001 00:00 +1400", form="%d/%m/%Y %H:%M %z",
                zone="Europe/Berlin") == [utc(2026, 2, 1, 2), None]


@pytest.mark.parametrize("form", ["%Q", "%H:%M", "", "%d/%m", "%"])
def test_a_form_that_is_none_or_says_no_day_is_refused(form):
    assert refused(lambda: check_form(form)) == (
        f"{form!r} is no format of a time with its day.\n"
        "  Try:  --time-format '%d/%m/%Y %H:%M'\n"
        "  Try:  --time-format '%m/%d/%Y %H:%M'\n"
        "  Why:  %Y %m %d %H %M %S stand for year, month, day, hour, minute and second.")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "Europe", "../etc/passwd", "a\0b"])
def test_a_zone_that_is_none_is_refused(zone):
    assert refused(lambda: check_zone(zone)) == (
        f"there is no time zone {zone!r}.\n"
        "  Try:  --time-zone Europe/Berlin\n"
        "  Try:  --time-zone Asia/Shanghai\n"
        "  Why:  times without an offset are read in this zone.")


@settings(deadline=None)
@given(st.lists(st.text(max_size=24) | st.from_regex(r"\d{1,22}(\.\d{1,9})?", fullmatch=True)
                | st.from_regex(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}(:\d{2})?)?", fullmatch=True),
                min_size=1, max_size=10))
def test_hostile_texts_are_times_within_the_calendar_or_marked(cells):
    found, bad = times(pa.array(cells), TimeRule("Australia/Lord_Howe", day_first=True))

    for cell, value, unreadable in zip(cells, found.to_pylist(), bad.tolist(), strict=True):
        assert (value is None) == (unreadable or not cell.strip())
        assert value is None or utc(1971, 1, 1) <= value < utc(2100, 1, 1)
