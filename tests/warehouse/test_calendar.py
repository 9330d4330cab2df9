"""Days and weeks in the shop's zone: the expression, the arrays and the standard library agree."""

import calendar as months
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.warehouse.calendar import (
    HOUR,
    bucket,
    hour_of_week,
    local_buckets,
    local_hours_of_week,
    local_times,
    offsets,
)
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.warehouse.manifest import Manifest

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai", "Asia/Kolkata", "Australia/Lord_Howe",
         "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia"]
UNITS = ["hour", "day", "week", "month"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(*when):
    return round((datetime(*when, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))


YEAR_1900, YEAR_2101 = micros(1900, 1, 1), micros(2101, 1, 1)


def by_library(when, unit, zone):
    """The same by datetime and zoneinfo, one at a time."""
    clock = (EPOCH + timedelta(microseconds=when)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    clock = clock.replace(minute=0, second=0, microsecond=0)
    if unit != "hour":
        clock = clock.replace(hour=0)
    if unit == "week":
        clock -= timedelta(days=clock.weekday())
    if unit == "month":
        clock = clock.replace(day=1)
    return round((clock - EPOCH.replace(tzinfo=None)) / timedelta(microseconds=1))


def by_engine(engine, when, zone):
    """(n, units + 1) what the expressions say."""
    table = ibis.memtable(pa.table({"n": np.arange(len(when)), "ts": pa.array(when, pa.timestamp("us"))}))
    first, last = int(when.min()), int(when.max())
    cut = table.select("n", **{unit: bucket(table.ts, unit, zone, first, last) for unit in UNITS},
                       hour_of_week=hour_of_week(table.ts, zone, first, last))
    found = engine.run(cut.order_by("n"))
    return [found[name].cast(pa.int64()).to_numpy() for name in [*UNITS, "hour_of_week"]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return CompilingEngine(tmp_path_factory.mktemp("shop"), Manifest())


def assert_all_agree(engine, when, zone):
    *cut, hours = by_engine(engine, when, zone)
    for unit, found in zip(UNITS, cut, strict=True):
        assert found.tolist() == local_buckets(when, unit, zone).tolist(), (zone, unit)
        assert found.tolist() == [by_library(one, unit, zone) for one in when.tolist()], (zone, unit)
    clock = [EPOCH + timedelta(microseconds=one) for one in local_times(when, zone).tolist()]
    assert hours.tolist() == local_hours_of_week(when, zone).tolist() == [at.weekday() * 24 + at.hour for at in clock]


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_around_every_change_of_two_years_is_cut_alike(engine, zone):
    first, last = micros(2010, 12, 1), micros(2012, 2, 1)
    changes = [when for when, _ in offsets(zone, first, last)[1:]] or [first]
    near = [change + quarter * HOUR // 4 + step for change in changes for quarter in range(-8, 9) for step in (-1, 0)]

    assert_all_agree(engine, np.array([first, last, *near], dtype=np.int64), zone)


@settings(max_examples=bounded(30), deadline=None)
@given(start=st.integers(YEAR_1900, YEAR_2101), span=st.integers(0, 3 * 366 * 24 * HOUR), zone=st.sampled_from(ZONES),
       seed=st.integers(0, 99))
def test_any_time_from_1900_to_2100_is_cut_alike(engine, start, span, zone, seed):
    when = start + np.random.default_rng(seed).integers(0, span + 1, 20)

    assert_all_agree(engine, np.sort(when), zone)


def test_two_hundred_years_are_cut_in_one_expression(engine):
    when = np.array([micros(1900, 1, 1), micros(1945, 6, 1), micros(1986, 7, 1), micros(2100, 12, 31)])

    assert_all_agree(engine, when, "Asia/Shanghai")


def test_the_day_of_the_change_has_23_or_25_hours():
    hours = np.arange(micros(2020, 1, 1), micros(2021, 1, 1), HOUR)

    days, counts = np.unique(local_buckets(hours, "day", "Europe/Berlin"), return_counts=True)

    known = dict(zip(days.tolist(), counts.tolist(), strict=True))
    assert (known[micros(2020, 3, 29)], known[micros(2020, 10, 25)], known[micros(2020, 6, 1)]) == (23, 25, 24)


def test_a_shanghai_day_begins_at_four_in_the_afternoon_before():
    when = np.array([micros(2024, 5, 1, 15, 59, 59), micros(2024, 5, 1, 16)])

    assert local_buckets(when, "day", "Asia/Shanghai").tolist() == [micros(2024, 5, 1), micros(2024, 5, 2)]


def test_a_week_begins_on_monday_and_months_have_their_own_lengths():
    days = np.arange(micros(2023, 12, 25), micros(2025, 1, 1), 24 * HOUR)

    weeks, sizes = np.unique(local_buckets(days, "week", "UTC"), return_counts=True)
    _, lengths = np.unique(local_buckets(days[7:], "month", "UTC"), return_counts=True)

    assert weeks[0] == micros(2023, 12, 25)
    assert set(sizes[:-1].tolist()) == {7}
    assert lengths.tolist() == [months.monthrange(2024, month)[1] for month in range(1, 13)]


def test_no_times_give_no_buckets():
    assert local_buckets(np.array([], dtype=np.int64), "month", "Asia/Kolkata").tolist() == []
