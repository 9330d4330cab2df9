"""Duplicates, conflicts and repeats: exact, against a plain dictionary."""

import tempfile
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.segments import Cutter
from shopkeeper.warehouse.store import Store
from shopkeeper.warehouse.tables import STORED
from warehouse.made import DAY, KEY, NOON, Record, digest, settle, staged, take_in

bodies = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(tuple)
nested = st.builds(Record, id=st.sampled_from(["n1", "n2", "n3"]), bodies=bodies, ts=st.integers(NOON, NOON + 5))
lined = st.builds(Record, id=st.sampled_from(["l1", "l2"]), bodies=st.sampled_from([("a",), ("b",)]),
                  first_line=st.integers(0, 2))
nameless = st.builds(Record, bodies=bodies)
sources = st.lists(st.lists(nested | lined | nameless, max_size=8), min_size=1, max_size=3)


class Oracle:
    """What must become of each record, by a dictionary from key to body."""

    def __init__(self):
        self.seen, self.stored, self.duplicate, self.conflicts, self.lines = {}, 0, 0, [], 0

    def take(self, files):
        for file in files:
            repeats = {}
            for record in file:
                self.one(record, repeats)

    def one(self, record, repeats):
        key = (record.id, record.first_line)
        if record.id is None:
            nth = repeats[record.bodies] = repeats.get(record.bodies, -1) + 1
            name = digest("|".join(record.bodies)).hex()
            key = (f"{name}-{nth}" if nth else name, 0)
        if key not in self.seen:
            self.seen[key] = record.bodies
            self.stored += 1
            self.lines += len(record.bodies)
        elif self.seen[key] == record.bodies:
            self.duplicate += 1
        else:
            self.conflicts.append(f"raw {record.id} {'|'.join(record.bodies)}")


@settings(max_examples=bounded(25), deadline=None)
@given(imports=st.lists(sources, min_size=1, max_size=3))
def test_every_record_is_stored_duplicate_or_conflict_exactly_as_a_dictionary_says(imports):
    oracle = Oracle()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        stored = duplicate = conflicts = 0
        for number, files in enumerate(imports):
            with store.write("test") as writer:
                settled = settle(writer, files, f"import{number}")
                writer.commit(settled.manifest(writer.manifest))
            stored, duplicate = stored + settled.stored, duplicate + settled.duplicate
            conflicts += settled.conflicts
            oracle.take(files)
        engine = Engine(folder, store.manifest())
        rows, rejected = engine.run(engine.events()), engine.run(engine.quarantine())

    assert (stored, duplicate, conflicts) == (oracle.stored, oracle.duplicate, len(oracle.conflicts))
    assert sorted(rejected["record"].to_pylist()) == sorted(oracle.conflicts)
    found = {}
    for row in sorted(rows.to_pylist(), key=lambda row: row["line"]):
        found.setdefault(row["event_id"], {})[row["line"]] = row["customer_id"]
    expected = {}
    for (name, first), texts in oracle.seen.items():
        expected.setdefault(name, {}).update({first + place: text for place, text in enumerate(texts)})
    assert found == expected
    assert rows.num_rows == oracle.lines


def test_the_same_file_again_stores_nothing_and_exact_repeats_inside_it_are_kept(tmp_path):
    store, log = Store(tmp_path), [Record(bodies=("x",)), Record(bodies=("x",)), Record(bodies=("y",))]

    first, again = take_in(store, log, "one"), take_in(store, log, "two")

    assert (first.stored, first.duplicate) == (3, 0)
    assert (again.stored, again.duplicate) == (0, 3)
    assert store.manifest().events == 3


def test_two_files_of_one_import_that_hold_the_same_record_store_it_once(tmp_path):
    with Store(tmp_path).write("test") as writer:
        settled = settle(writer, [[Record(bodies=("x",))], [Record(bodies=("x",))]])

    assert (settled.stored, settled.duplicate) == (1, 1)


def test_one_table_of_records_of_many_files_settles_as_the_files_one_by_one(tmp_path):
    texts, files = ["x", "x", "y", "x", "y", "y"], [1, 1, 1, 2, 2, 3]
    table = staged([Record(bodies=(text,)) for text in texts])

    with Store(tmp_path).write("test") as writer:
        intake = writer.intake("one", KEY)
        intake.add(table.append_column("source_number", pa.array(files, pa.int32())))
        settled = intake.settle(lambda raw: raw.decode())

    apart = [[Record(bodies=(text,)) for text, place in zip(texts, files, strict=True) if place == one]
             for one in (1, 2, 3)]
    with Store(tmp_path / "apart").write("test") as writer:
        separate = settle(writer, apart)
    assert (settled.stored, settled.duplicate) == (separate.stored, separate.duplicate) == (3, 3)


def test_a_longer_file_that_repeats_a_shorter_one_stores_only_what_is_new(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record(bodies=("x",)), Record(bodies=("y",))], "one")

    longer = take_in(store, [Record(bodies=(text,)) for text in "xyxz"], "two")

    assert (longer.stored, longer.duplicate) == (2, 2)


def test_a_conflict_is_quarantined_with_its_original_record_its_file_and_its_line(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("e1", ("a",))], "one")

    settled = take_in(store, [Record("e2", ("a",)), Record("e1", ("b",))], "two")

    engine = Engine(tmp_path, store.manifest())
    row = engine.run(engine.quarantine()).to_pylist()[0]
    assert settled.conflicts == 1
    assert (row["reason"], row["record"], row["file"], row["source_line"], row["import_id"]) == (
        "conflict", "raw e1 b", "log.csv", 3, "two")


def test_an_order_with_one_more_item_line_under_the_same_id_is_a_conflict(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("o1", ("head", "i1", "i2"))], "one")

    settled = take_in(store, [Record("o1", ("head", "i1", "i2", "i3")), Record("o1", ("head", "i1", "i2"))], "two")

    assert (settled.stored, settled.duplicate, settled.conflicts) == (0, 1, 1)


def test_the_first_that_came_is_the_one_that_is_stored(tmp_path):
    store = Store(tmp_path)

    take_in(store, [Record("e", ("first",), ts=NOON + 9), Record("e", ("second",), ts=NOON)])

    engine = Engine(tmp_path, store.manifest())
    assert engine.run(engine.events())["customer_id"].to_pylist() == ["first"]


def test_a_segment_is_sorted_and_says_where_each_row_came_from(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record(f"e{n}", ts=NOON + n * 7 % 5) for n in range(9)])

    segment = store.manifest().segments[0]
    rows = pq.read_table(tmp_path / segment.file)
    keys = list(zip(rows["ts"].cast("int64").to_pylist(), rows["event_id"].to_pylist(), strict=True))
    assert rows.schema.names == STORED.names
    assert keys == sorted(keys)
    assert (segment.first, segment.last, segment.rows) == (keys[0][0], keys[-1][0], 9)
    assert set(rows["import_id"].to_pylist()) == {"one"}
    assert {pq.read_metadata(tmp_path / segment.file).row_group(0).column(0).compression} == {"ZSTD"}


def cut(tmp_path, when, closes, largest, batch=7):
    (tmp_path / "staging").mkdir()
    table = pa.table({"event_id": [f"e{n}" for n in range(len(when))], "line": pa.array([0] * len(when), pa.int32()),
                      "ts": pa.array(when, pa.timestamp("us"))})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=batch))
    return Cutter(tmp_path, tmp_path / "staging", "one", closes, largest).all(reader)


def test_small_days_share_a_segment_and_no_day_is_split_over_two(tmp_path):
    when = [day * DAY + n for day in range(20) for n in range(day % 4 + 1)]

    segments = cut(tmp_path, when, closes=10, largest=1000)

    days = [(one.first // DAY, one.last // DAY) for one in segments]
    assert sum(one.rows for one in segments) == len(when)
    assert all(before[1] < after[0] for before, after in pairwise(days))
    assert all(one.rows >= 10 for one in segments[:-1])
    assert len(segments) > 2


def test_a_huge_day_takes_several_segments_and_loses_nothing(tmp_path):
    when = [*range(100), DAY + 1]

    segments = cut(tmp_path, when, closes=10, largest=30)

    assert [one.rows for one in segments] == [30, 30, 30, 10, 1]
    stored = pa.concat_tables([pq.read_table(tmp_path / one.file) for one in segments])
    assert stored["ts"].cast("int64").to_pylist() == when
    assert pc.sum(pc.is_null(stored["customer_id"])).as_py() == len(when)
