"""Small segments become few, and not a row is lost, made or changed by it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import Damaged
from shopkeeper.events.pseudonyms import VAULT, seal, unseal
from shopkeeper.warehouse import compaction, index
from shopkeeper.warehouse.compaction import Plan, compact, cuts, due
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.manifest import Manifest, Segment
from shopkeeper.warehouse.store import GRACE, Store, durable_parquet, durable_write
from shopkeeper.warehouse.tables import QUARANTINE, STORED
from warehouse.logs import DAY, KEYS, TODAY, folds, lay, rows_at
from warehouse.made import files_of, named_files


def everything(store):
    """All rows with all their columns, also those that no question sees."""
    manifest = store.manifest()
    return pa.concat_tables([pq.read_table(store.path / segment.file, schema=STORED) for segment in manifest.segments]
                            or [STORED.empty_table()]).sort_by([("event_id", "ascending"), ("line", "ascending")])


def until_done(store):
    """Step by step, until nothing is due; what each step did."""
    steps = []
    while (step := compact(store, KEYS)) is not None:
        steps.append(step)
        assert len(steps) < 200
    return steps


@settings(deadline=None, max_examples=bounded(25))
@given(st.lists(st.lists(st.integers(-400, 400), min_size=1, max_size=12), min_size=1, max_size=40))
def test_the_same_rows_whatever_the_segments_were(tmp_path_factory, logs):
    store = Store(tmp_path_factory.mktemp("shop"))
    lay(store, [(f"f{number}", np.array(days) * DAY + number) for number, days in enumerate(logs)])
    rows, before = everything(store), store.manifest()
    steps = until_done(store)
    after = store.manifest()
    assert everything(store).equals(rows)
    assert (after.rows, after.events, after.first, after.last) == (before.rows, before.events, before.first,
                                                                   before.last)
    assert index.complete(after)
    assert (len(logs) >= compaction.CROWD) == bool(steps)
    assert len(after.segments) < compaction.CROWD


def test_segments_say_truly_when_their_rows_are_and_lie_sorted(tmp_path):
    store = Store(tmp_path)
    lay(store, list(folds(np.random.default_rng(1), 16, 500)))
    until_done(store)
    for segment in store.manifest().segments:
        rows = pq.read_table(tmp_path / segment.file)
        when = rows.column("ts").cast(pa.int64()).to_numpy()
        assert (segment.first, segment.last, segment.rows) == (when[0], when[-1], len(when))
        assert rows.equals(rows.sort_by([("ts", "ascending"), ("event_id", "ascending"), ("line", "ascending")]))


def test_each_row_keeps_the_import_that_brought_it_and_the_accounts_stay(tmp_path):
    store = Store(tmp_path)
    manifest = lay(store, list(folds(np.random.default_rng(1), 8, 30)))
    assert until_done(store)
    rows = everything(store)
    assert set(rows.column("import_id").to_pylist()) == {segment.import_id for segment in manifest.segments}
    assert [one[:one.index("-")] for one in rows.column("event_id").to_pylist()] == rows.column("import_id").to_pylist()
    assert store.manifest().imports == manifest.imports
    assert all(segment.import_id.startswith(compaction.NAME) for segment in store.manifest().segments)


def test_an_open_log_stays_at_few_segments_and_few_rows_are_written_often(tmp_path):
    store, rng = Store(tmp_path), np.random.default_rng(2)
    laid = written = most = 0
    for round_ in range(24):
        batch = list(folds(rng, 8, 200, first=8 * round_))
        laid += 8 * 200
        lay(store, batch)
        written += sum(step.rows for step in until_done(store))
        most = max(most, len(store.manifest().segments))
    assert laid == store.manifest().rows
    assert most <= 30
    assert written <= 5 * laid


def test_late_rows_are_put_apart_so_that_a_question_about_the_past_opens_few(tmp_path):
    store = Store(tmp_path)
    lay(store, list(folds(np.random.default_rng(3), 64, 1000)))
    until_done(store)
    manifest = store.manifest()
    long_ago = manifest.segments_between(TODAY - 200 * DAY, TODAY - 193 * DAY)
    assert manifest.rows == 64_000
    assert sum(segment.rows for segment in long_ago) < 1000
    assert len(long_ago) < compaction.CROWD


def test_a_segment_that_lies_over_many_others_is_cut_by_days_and_only_once(tmp_path):
    store, rng = Store(tmp_path), np.random.default_rng(4)
    days = [(f"day{day:03d}", TODAY - day * DAY + rng.integers(0, DAY, 9_000)) for day in range(0, 300, 50)]
    more = [(f"month{day:03d}", TODAY - day * DAY + rng.integers(0, DAY, 70_000)) for day in range(20, 280, 60)]
    late = TODAY - rng.integers(0, 300 * DAY, 500)
    manifest = lay(store, [*days, *more, ("late", np.concatenate([late, TODAY + rng.integers(0, DAY, 30_000)]))])
    wide = next(segment for segment in manifest.segments if segment.import_id == "late")
    rows = everything(store)
    assert due(manifest).segments == (wide,)

    assert compact(store, KEYS).segments == 1
    after = store.manifest()
    assert not due(after)
    assert everything(store).equals(rows)
    cut = [segment for segment in after.segments if segment.import_id.startswith(compaction.NAME)]
    assert 2 <= len(cut) <= compaction.WIDE_PARTS
    assert max(cut, key=lambda segment: segment.rows).first >= TODAY
    assert all(one.last // DAY < other.first // DAY for one, other in pairwise(cut))


def test_a_step_is_bounded_in_rows_and_in_files(tmp_path, monkeypatch):
    store = Store(tmp_path)
    lay(store, list(folds(np.random.default_rng(5), 40, 100)))
    monkeypatch.setattr(compaction, "MOST_ROWS", 1000)
    assert compact(store, KEYS).rows == 1000
    monkeypatch.setattr(compaction, "MOST_FILES", 4)
    assert compact(store, KEYS).segments == 4


def test_what_is_full_or_few_is_left_alone():
    full = [Segment(f"{n}", 200_000, 200_000, n * DAY, n * DAY + 1, "x") for n in range(50)]
    few = [Segment(f"s{n}", 10, 10, n * DAY, n * DAY + 1, "x") for n in range(7)]
    tiers = [Segment(f"t{n}", 5_000, 5_000, n * DAY, n * DAY + 1, "x") for n in range(7)]
    assert due(Manifest(segments=(*full, *few, *tiers))) == Plan()
    assert not Plan()


def test_a_reader_of_the_shop_before_goes_on_reading_for_the_time_of_grace(tmp_path):
    now = 1_790_000_000.0
    store = Store(tmp_path, lambda: now)
    lay(store, list(folds(np.random.default_rng(6), 8, 50)))
    reader = Engine(tmp_path, store.manifest())
    until_done(store)
    now += GRACE - 1
    with store.write("test"):
        assert reader.run(reader.events()).num_rows == 400
    now += 1
    with store.write("test"):
        assert files_of(tmp_path) == named_files(store.manifest())
    with pytest.raises(Damaged, match="fold00000"):
        reader.run(reader.events())


def test_a_damaged_segment_is_named_and_not_merged(tmp_path):
    store = Store(tmp_path)
    manifest = lay(store, list(folds(np.random.default_rng(7), 8, 50)))
    path = tmp_path / manifest.segments[3].file
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    before = files_of(tmp_path)
    with pytest.raises(Damaged) as refused:
        compact(store, KEYS)
    assert refused.value.what.params["files"] == manifest.segments[3].file
    assert store.manifest() == manifest
    assert files_of(tmp_path) == before


def rejected(name):
    return pa.Table.from_pylist([{"import_id": name, "file": f"{name}.csv", "source_line": line, "reason": "ugly",
                                  "record": f"{{{line}}}"} for line in range(3)], schema=QUARANTINE)


def test_the_quarantine_and_the_vault_become_few_files_and_say_the_same(tmp_path):
    store = Store(tmp_path)
    with store.write("test") as writer:
        for number in range(9):
            durable_parquet(tmp_path / f"quarantine/q{number}.parquet", rejected(f"q{number}"))
            pairs = pa.table({"pseudonym": ["c_same", f"c_{number}"], "identity": ["ann", f"person {number}"]},
                             schema=VAULT)
            durable_write(tmp_path / f"vault/v{number}.vault", seal(pairs, KEYS.vault))
        manifest = writer.commit(replace(writer.manifest, vault=tuple(f"vault/v{number}.vault" for number in range(9)),
                                         quarantine=tuple(f"quarantine/q{number}.parquet" for number in range(9))))
    said = Engine(tmp_path, manifest)
    kept = said.run(said.quarantine().order_by(["file", "source_line"]))
    assert compact(store, KEYS).files == 18

    after = store.manifest()
    engine = Engine(tmp_path, after)
    assert engine.run(engine.quarantine().order_by(["file", "source_line"])).equals(kept)
    assert (len(after.quarantine), len(after.vault)) == (1, 1)
    pairs = unseal((tmp_path / after.vault[0]).read_bytes(), KEYS.vault).to_pylist()
    assert sorted(pair["identity"] for pair in pairs) == ["ann", *(f"person {number}" for number in range(9))]


def test_runs_of_the_index_are_merged_and_a_damaged_one_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FOLD_LIMIT", 1)
    for harm in (False, True):
        store = Store(tmp_path / str(harm))
        for number in range(3):
            manifest = lay(store, [(f"f{number}", TODAY + np.arange(50))])
        assert len(manifest.index) == 3
        if harm:
            (store.path / manifest.index[1].file).write_bytes(b"")
        assert compact(store, KEYS).files == 3
        (one,) = store.manifest().index
        assert one.entries == 150
        assert index.verify(store.path, [one], KEYS.pseudonym) == ()


@settings(deadline=None, max_examples=bounded(80))
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 200_000)), min_size=1, max_size=7), st.integers(1, 4))
def test_cuts_are_the_cheapest_of_all_ways_to_cut(days, parts):
    day, rows = np.cumsum([gap for gap, _ in days]), np.array([count for _, count in days])

    def cost(spans):
        return sum((min(rows[(day >= first) & (day <= last)].sum(), 1 << 16) + compaction.OPENING)
                   * (last - first + 1 + compaction.WEEK) for first, last in spans)

    def ways(begin, left):
        yield [(day[begin], day[-1])]
        if left > 1:
            for end in range(begin, len(day) - 1):
                for rest in ways(end + 1, left - 1):
                    yield [(day[begin], day[end]), *rest]

    found = cuts(day, rows, parts)
    assert len(found) <= parts
    assert cost(found) == min(map(cost, ways(0, parts)))
    assert [one for first, last in found for one in day if first <= one <= last] == day.tolist()


def test_very_many_days_are_cut_too():
    day = np.arange(0, 30_000, 3) - 20_000
    found = cuts(day, np.full(len(day), 50), 6)
    assert 2 <= len(found) <= 6
    assert (found[0][0], found[-1][1]) == (day[0], day[-1])


def test_nothing_is_due_in_an_empty_shop(tmp_path):
    assert compact(Store(tmp_path), KEYS) is None
    assert rows_at([], "none").num_rows == 0
