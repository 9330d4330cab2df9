"""A question over a week reads the segments of that week, and no byte of the year's others."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import Damaged
from shopkeeper.warehouse import clock
from shopkeeper.warehouse.compaction import compact
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.store import Store
from warehouse.logs import DAY, KEYS, TODAY, folds, lay

WEEK = 7 * DAY


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """A year's log of a segment a week, then an open log of folds with late rows, compacted."""
    store, rng = Store(tmp_path_factory.mktemp("year")), np.random.default_rng(8)
    lay(store, [(f"week{week:02d}", TODAY - (week + 1) * WEEK + rng.integers(0, WEEK, 2_000)) for week in range(52)])
    for round_ in range(6):
        lay(store, list(folds(rng, 8, 500, late=0.02, first=8 * round_)))
        while compact(store, KEYS) is not None:
            continue
    return store


def spoil(path):
    """Change a bit in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def times_between(store, start, until):
    """By a plain reading of every file: the times of the rows, in order."""
    files = [pq.read_table(store.path / segment.file, columns=["ts"]).column("ts").cast("int64").to_numpy()
             for segment in store.manifest().segments]
    times = np.sort(np.concatenate(files))
    return times[(times >= start) & (times < until)]


def asked(engine, start, until):
    found = engine.run(engine.events(start, until).select("ts").order_by("ts"))
    return found.column("ts").cast("int64").to_numpy()


@pytest.mark.parametrize("weeks_ago", [0, 1, 10, 30, 51])
def test_any_week_is_answered_exactly_after_late_rows_and_compaction(year, weeks_ago):
    start = TODAY - weeks_ago * WEEK
    expected = times_between(year, start, start + WEEK)
    assert len(expected) > 0
    assert (asked(Engine(year.path, year.manifest()), start, start + WEEK) == expected).all()


@pytest.mark.parametrize("weeks_ago", [5, 25, 45])
def test_a_week_of_the_past_opens_few_segments_and_few_rows_that_it_does_not_want(year, weeks_ago):
    manifest, start = year.manifest(), TODAY - weeks_ago * WEEK
    opened = manifest.segments_between(start, start + WEEK)
    wanted = len(times_between(year, start, start + WEEK))
    assert len(opened) <= len(manifest.segments) // 3
    assert sum(segment.rows for segment in opened) <= manifest.rows // 4
    assert sum(segment.rows for segment in opened) >= wanted


def test_segments_outside_of_the_week_are_not_opened(year):
    manifest, start = year.manifest(), TODAY - 20 * WEEK
    expected = times_between(year, start, start + WEEK)
    outside = [segment for segment in manifest.segments
               if segment not in manifest.segments_between(start, start + WEEK)]
    kept = {segment.file: (year.path / segment.file).read_bytes() for segment in outside}
    try:
        for segment in outside:
            spoil(year.path / segment.file)
        engine = Engine(year.path, manifest)
        assert (asked(engine, start, start + WEEK) == expected).all()
        with pytest.raises(Damaged) as refused:
            engine.events(start - 2 * WEEK)
        assert refused.value.what.params["files"]
    finally:
        for file, raw in kept.items():
            (year.path / file).write_bytes(raw)


def test_half_open_ends_read_one_side_of_the_log(year):
    manifest, middle = year.manifest(), TODAY - 26 * WEEK
    engine = Engine(year.path, manifest)
    everything = engine.run(engine.events().select("ts").order_by("ts")).column("ts").cast("int64").to_numpy()
    before = len(asked(engine, None, middle))
    after = len(asked(engine, middle, None))
    assert before + after == len(everything) == manifest.rows


def test_the_clock_reads_only_the_newest_days(year):
    manifest = year.manifest()
    old = [segment for segment in manifest.segments if segment.last < manifest.last - DAY]
    kept = {segment.file: (year.path / segment.file).read_bytes() for segment in old}
    assert old
    try:
        for segment in old:
            spoil(year.path / segment.file)
        assert clock.latest(Engine(year.path, manifest)) == times_between(year, 0, 2 * TODAY).max()
    finally:
        for file, raw in kept.items():
            (year.path / file).write_bytes(raw)


@settings(deadline=None, max_examples=bounded(30))
@given(st.lists(st.tuples(st.integers(-3000, 3000), st.booleans()), min_size=1, max_size=5), st.integers(-3500, 3500))
def test_the_clock_is_the_last_event_that_had_happened_when_it_came(tmp_path_factory, days, until):
    store = Store(tmp_path_factory.mktemp("shop"))
    manifest = lay(store, [(f"f{number}", [TODAY + day * DAY]) for number, (day, _) in enumerate(days)], [
        TODAY + (day if whole else day - 1) * DAY for day, whole in days])
    for end in (None, TODAY + until * DAY):
        expected = max((TODAY + day * DAY for day, whole in days
                        if whole and (end is None or TODAY + day * DAY < end)), default=0)
        assert clock.latest(Engine(store.path, manifest), end) == expected
