"""The engine reads exactly the manifest's files, and knows nothing that Spark would not."""

import ibis
import pyarrow as pa
import pytest

from shopkeeper.errors import MissingTable
from shopkeeper.events.schema import EVENTS, TABLES
from shopkeeper.warehouse.engine import CompilingEngine, Engine, UnboundTables, _known_sql, to_spark_sql
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import Store
from shopkeeper.warehouse.tables import PERSONAL, PUBLISHED, QUARANTINE
from warehouse.made import DAY, NOON, Record, take_in


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    for day in range(4):
        take_in(made, [Record(f"e{day}{n}", ts=NOON + day * DAY + n) for n in range(3)], f"day{day}")
    return made


def ids(engine, *span):
    return sorted(engine.run(engine.events(*span))["event_id"].to_pylist())


def test_an_empty_shop_has_an_empty_event_table_with_every_column(tmp_path):
    engine = Engine(tmp_path, Manifest())

    assert engine.run(engine.events()).schema == EVENTS
    assert engine.run(engine.quarantine()).schema == QUARANTINE
    assert engine.run(engine.events().count())[0][0].as_py() == 0


def test_a_full_shop_gives_the_same_types_as_an_empty_one(store):
    engine = Engine(store.path, store.manifest())

    assert engine.run(engine.events()).schema == EVENTS
    assert engine.run(engine.events()).num_rows == 12


def test_a_span_holds_its_start_and_not_its_end(store):
    engine = Engine(store.path, store.manifest())

    assert ids(engine, NOON + DAY + 1, NOON + 2 * DAY + 1) == ["e11", "e12", "e20"]


def test_segments_outside_a_span_are_not_even_opened(store):
    engine = Engine(store.path, store.manifest())
    for segment in store.manifest().segments[2:]:
        (store.path / segment.file).write_bytes(b"not a Parquet file")

    assert ids(engine, None, NOON + 2 * DAY) == ["e00", "e01", "e02", "e10", "e11", "e12"]


def test_batches_give_the_same_rows_as_run_a_few_at_a_time(store):
    engine = Engine(store.path, store.manifest())
    ordered = engine.events().order_by("event_id")

    reader = engine.batches(ordered)

    assert reader.schema == EVENTS
    assert reader.read_all() == engine.run(ordered)


def test_a_count_and_a_sum_come_back_as_the_types_that_ibis_promises(store):
    engine = Engine(store.path, store.manifest())
    events = engine.events()

    table = engine.run(events.aggregate(n=events.count(), line=events.line.sum(), money=events.value.sum()))

    assert table.schema.types == [pa.int64(), pa.int64(), pa.decimal128(38, 4)]


def test_rows_from_memory_can_be_joined(store):
    engine = CompilingEngine(store.path, store.manifest())
    wanted = ibis.memtable(pa.table({"event_id": ["e00", "e31", "none"]}))

    found = engine.run(engine.events().semi_join(wanted, "event_id"))

    assert sorted(found["event_id"].to_pylist()) == ["e00", "e31"]


def test_a_table_that_was_never_given_is_refused_with_what_to_do(store):
    engine = Engine(store.path, store.manifest())

    with pytest.raises(MissingTable) as refused:
        engine.table("items")

    assert not engine.has("items")
    assert str(refused.value) == (
        "this shop has no table items.\n"
        "  Try:  shopkeeper ingest SHOP FILE --table items\n"
        "  Why:  the question needs what stands in it, and nothing is guessed.")
    with pytest.raises(KeyError):
        engine.table("facts/never_declared")


def test_a_folder_with_signs_that_mean_a_pattern_is_just_a_folder(tmp_path):
    store = Store(tmp_path / "it's [a] *shop?")
    take_in(store, [Record("e1")], "one")
    take_in(store, [Record("e1"), Record("e2")], "two")

    assert ids(Engine(store.path, store.manifest())) == ["e1", "e2"]


def test_a_compiling_engine_keeps_the_spark_sql_of_all_that_it_ran(store):
    engine = CompilingEngine(store.path, store.manifest())
    events = engine.events(NOON)

    engine.run(events.group_by("customer_id").aggregate(n=events.count()))
    engine.batches(events.select("event_id")).read_all()

    assert ["COUNT(*)" in sql for sql in engine.compiled] == [True, False]


def test_an_expression_that_spark_cannot_run_is_an_error_before_it_runs(store):
    engine = CompilingEngine(store.path, store.manifest())
    events = engine.events()

    with pytest.raises(ibis.common.exceptions.IbisError):
        engine.run(events.group_by("customer_id").aggregate(last=events.item_id.collect(order_by=events.ts)))


def test_expressions_can_be_written_without_a_shop():
    tables = UnboundTables(["items"])
    events = tables.events(NOON, NOON + DAY)

    sql = to_spark_sql(events.join(tables.table("items"), "item_id").count())

    assert "`items`" in sql
    assert "`events`" in sql
    with pytest.raises(MissingTable):
        tables.table("stock")
    assert UnboundTables().table("facts/customer_value").columns == ("customer_id", "horizon", "p50")


def test_every_personal_column_is_a_column_of_its_table():
    schemas = {"events": EVENTS, "quarantine": QUARANTINE, **TABLES,
               **{name: table.columns for name, table in PUBLISHED.items()}}

    assert schemas.keys() == PERSONAL.keys()
    assert all(set(PERSONAL[name]) <= set(schema.names) for name, schema in schemas.items())
    assert {"customer_id", "anonymous_id", "props"} <= set(PERSONAL["events"])


def test_the_same_question_is_compiled_once_and_each_version_answers_from_its_own_rows(tmp_path):
    store, counts = Store(tmp_path), []
    for number in (1, 2):
        take_in(store, [Record(f"e{number}")], f"import{number}")
        before = _known_sql.cache_info().misses
        for _ in range(2):
            engine = Engine(tmp_path, store.manifest())
            events = engine.events().select("event_id")
            counts += [[engine.run(events.filter(events.event_id == name)).num_rows for name in ("e1", "e2")]]
        assert _known_sql.cache_info().misses == before + 2

    assert counts == [[1, 0], [1, 0], [1, 1], [1, 1]]
