"""Large imports and small ones, many threads and one, any split and order of a log: the same rows."""

import json
import random
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.taking import BUY, VIEW, digests
from shopkeeper.errors import BadInput
from shopkeeper.events.schema import TIME
from shopkeeper.ledger import quarantine
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, mess, simulate
from shopkeeper.warehouse import digests as judging
from shopkeeper.warehouse import ingest, staging
from shopkeeper.warehouse.digests import Renamed
from shopkeeper.warehouse.index import verify
from shopkeeper.warehouse.staging import Staged
from shopkeeper.warehouse.tables import STORED

AT = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def records():
    log = simulate(SimulationConfig(customers=60, items=40, days=30, seed=3)).events
    spoiled = mess(log, 3, duplicates=0.05, broken=0.05).records
    nameless = [{**VIEW, "event_id": None, "item_id": str(n % 7)} for n in range(40)]
    orders = [{**BUY, "event_id": f"o{n}", "order_id": f"o{n}", "items": [{"item_id": "a"}, {"item_id": "b"}]}
              for n in range(20)]
    return [*spoiled, *nameless, *orders, *orders[:5], {**orders[0], "items": [{"item_id": "a"}]}]


def rows(shop):
    """What is stored, without where it came from, as JSON texts in order."""
    table = shop.engine.run(shop.events()).to_pylist()
    return sorted(json.dumps({name: cell for name, cell in row.items() if cell is not None}, default=str,
                             sort_keys=True) for row in table)


@pytest.fixture
def tiny(monkeypatch):
    """Limits so small that everything goes to the disk, in many parts."""
    monkeypatch.setattr(staging, "HELD", 10_000)
    monkeypatch.setattr(judging, "HELD", 100)


def keyed(path, like):
    """A shop with the keys of another."""
    shop = Shop.open(path)
    for key in (like.path / "keys").iterdir():
        (shop.path / "keys" / key.name).write_bytes(key.read_bytes())
    return Shop.open(path)


def test_an_import_that_goes_to_the_disk_stores_what_one_in_memory_stores(tmp_path, records, request):
    small = Shop.open(tmp_path / "small")
    first = small.ingest(records, received_at=AT)
    request.getfixturevalue("tiny")
    large = keyed(tmp_path / "large", small)

    second = large.ingest(records, received_at=AT)

    assert first.duplicate > 0
    assert first.reasons["conflict"] > 0
    assert (first.stored, first.duplicate, first.reasons) == (second.stored, second.duplicate, second.reasons)
    assert rows(small) == rows(large)
    assert verify(large.path, large.manifest.index, large.keys().naming) == ()
    assert sum(run.entries for run in large.manifest.index) == large.manifest.rows


def test_two_threads_store_what_one_stores(tmp_path, records, monkeypatch):
    two = Shop.open(tmp_path / "two")
    two.ingest(records, received_at=AT)
    monkeypatch.setattr(ingest, "THREADS", 1)
    one = keyed(tmp_path / "one", two)
    one.ingest(records, received_at=AT)

    assert rows(one) == rows(two)
    assert one.manifest.imports[0].reasons == two.manifest.imports[0].reasons


def test_a_log_that_is_shuffled_or_cut_into_files_is_the_same_log(tmp_path):
    log = [{**VIEW, "event_id": f"e{n % 900}", "item_id": str(n % 900 % 7), "ts": f"2026-10-{n % 28 + 1:02d}"}
           for n in range(900)]
    whole = Shop.open(tmp_path / "whole")
    whole.ingest(log, received_at=AT)
    shuffled, cut = keyed(tmp_path / "shuffled", whole), keyed(tmp_path / "cut", whole)
    random.Random(1).shuffle(log)
    shuffled.ingest(log + log[:50], received_at=AT)
    for at in range(0, 900, 250):
        cut.ingest(log[at:at + 300], received_at=AT)

    assert rows(whole) == rows(shuffled) == rows(cut)
    assert cut.manifest.events == 900


def test_a_conflict_keeps_its_original_which_is_read_again(tmp_path):
    lines = [json.dumps({**VIEW, "event_id": f"e{n % 300}", "item_id": str(n), "odd": f"ü{n}"}) for n in range(310)]
    (tmp_path / "log.jsonl").write_text("broken\n" + "\n".join(lines))
    shop = Shop.open(tmp_path / "shop")

    done = shop.ingest(tmp_path / "log.jsonl")

    kept = quarantine(shop, n=100).table.to_pylist()
    assert done.reasons == {"conflict": 10, "json": 1}
    assert sorted(json.loads(row["record"])["odd"] for row in kept if row["reason"] == "conflict") == sorted(
        f"ü{n}" for n in range(300, 310))


def test_a_file_that_changes_before_its_conflicts_are_kept_is_refused_and_nothing_is_stored(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps({**VIEW, "item_id": item}) for item in "ab"))
    shop, real = Shop.open(tmp_path / "shop"), ingest._originals

    def late(*args):
        path.write_text(json.dumps(VIEW) + "\n\n\n")
        return real(*args)

    monkeypatch.setattr(ingest, "_originals", late)
    with pytest.raises(BadInput, match=r"^log[.]jsonl changed while it was read") as refusal:
        shop.ingest(path)
    assert "ingest it again when nobody writes to it." in str(refusal.value)
    assert shop.store.manifest().imports == ()


def test_day_and_month_are_learned_from_the_first_batch_that_shows_them_whatever_the_threads(tmp_path):
    times = ["13/02/2026"] + ["01/02/2026"] * 70_000
    table = pa.table({"event_id": [f"e{n}" for n in range(len(times))], "event": ["view_item"] * len(times),
                      "ts": times, "customer_id": ["ann"] * len(times), "item_id": ["tea"] * len(times)})
    pq.write_table(table, tmp_path / "log.parquet")
    shop = Shop.open(tmp_path / "shop")

    assert shop.ingest(tmp_path / "log.parquet").stored == len(times)
    assert set(shop.engine.run(shop.events())["ts"].cast("date32").cast("string").to_pylist()) == {
        "2026-02-13", "2026-02-01"}


def test_a_stream_of_batches_can_be_taken_in_though_it_is_read_once():
    shop, table = Shop.simulated(customers=2, items=2, days=2), pa.Table.from_pylist(
        [{**VIEW, "item_id": item} for item in "ab"])

    done = shop.ingest(table.to_reader())

    assert (done.stored, done.reasons) == (1, {"conflict": 1})


def test_bodies_are_equal_exactly_where_plain_python_finds_the_cells_equal():
    chance = random.Random(5)
    log = [{**BUY, "event_id": f"e{n}", "price": chance.choice(["1", "1.50", "2", None]),
            "quantity": chance.choice(["1", "2", None]), "coupon": chance.choice(["a", "b", None]),
            "odd": chance.choice(["x", "y", None]), "query": chance.choice(["q", None])} for n in range(400)]
    plain = [(Decimal(one["price"]) if one["price"] else None, one["quantity"], one["coupon"], one["odd"], one["query"])
             for one in log]

    found = digests(log)

    assert len(set(found)) == len(set(plain)) == len(set(zip(found, plain, strict=True)))


def test_cells_that_trade_places_make_another_body():
    grid = [{**VIEW, "event_id": f"{a} {b}", "list_id": str(a), "campaign_id": str(b), "position": a, "results": b}
            for a in range(60) for b in range(60)]

    assert len(set(digests(grid))) == len(grid)


def test_the_clocks_of_the_way_do_not_name_a_record_that_has_no_id():
    base = {**VIEW, "event_id": None}
    sent = pa.Table.from_pylist([{**base, "sent_at": "2026-10-02", "received_at": "2026-10-03"},
                                 {**base, "sent_at": "2026-10-04", "received_at": "2026-10-05"}])

    one, two = digests(sent)

    assert one == two == digests(pa.Table.from_pylist([base]))[0]


def staged(folder, rows):
    """Rows (dicts) staged in tables of 70, and what a plain sort makes of them."""
    made = Staged(folder)
    for at in range(0, len(rows), 70):
        part = rows[at:at + 70]
        made.add(pa.table({"event_id": [row["event_id"] for row in part], "line": pa.array([0] * len(part), pa.int32()),
                           "event": [row["event"] for row in part], "ts": pa.array([row["ts"] for row in part], TIME),
                           "query": pa.array([row["query"] for row in part], pa.string()),
                           "nth": pa.array([row["nth"] for row in part], pa.int64())}))
    made.close()
    return made


def made_rows(times, seed):
    chance = random.Random(seed)
    return [{"event_id": f"e{chance.randrange(10**6)}-{n}", "event": chance.choice(["view_item", "purchase"]),
             "ts": chance.randrange(times), "query": None if n < 200 else str(n % 150), "nth": n} for n in range(1000)]


@pytest.mark.parametrize(("times", "span_rows", "largest"), [
    (10**9, 1 << 18, 1 << 30), (10**9, 90, 1 << 30), (40, 90, 1 << 30), (1, 90, 1 << 30), (10**9, 90, 0), (1, 90, 0),
], ids=["one span", "many spans", "few times", "one time", "many spans by the engine", "one time by the engine"])
def test_staged_rows_come_by_time_event_and_line_whatever_the_spans_and_whoever_sorts(
        tmp_path, monkeypatch, times, span_rows, largest):
    monkeypatch.setattr(staging, "HELD", 10_000)
    monkeypatch.setattr(staging, "SAMPLE", 8)
    monkeypatch.setattr(staging, "SPAN_ROWS", span_rows)
    monkeypatch.setattr(staging, "LARGEST_SPAN", largest)
    rows = made_rows(times, times)
    dropped, again = np.arange(0, 1000, 7), np.array([1, 500])
    log = staged(tmp_path, rows)
    pieces = [path.name for path in tmp_path.glob("*.arrow")]

    found = pa.concat_tables([
        table.cast(pa.schema([("event_id", pa.string()), ("line", pa.int32()), ("event", pa.string()), ("ts", TIME),
                              ("query", pa.string())])) if "query" in table.column_names
        else table.append_column("query", pa.nulls(table.num_rows, pa.string()))
        for table in log.in_order(dropped, Renamed(again, np.array([1, 2])), ["nth"])]).to_pylist()

    gone, renamed = set(dropped.tolist()), {1: "-1", 500: "-2"}
    expected = sorted((row["ts"], row["event_id"] + renamed.get(row["nth"], ""), row["event"], row["query"])
                       for row in rows if row["nth"] not in gone)
    epoch = datetime(1970, 1, 1)
    assert len(pieces) > 3
    assert [((row["ts"] - epoch) // timedelta(microseconds=1), row["event_id"], row["event"], row["query"])
            for row in found] == expected
    assert list(tmp_path.glob("*.arrow")) == []


def test_the_rows_of_some_records_come_in_the_order_of_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "HELD", 10_000)
    log = staged(tmp_path, made_rows(10**9, 4))

    found = pa.concat_tables([table.select(["nth"]) for table in log.some(np.arange(3, 1000, 90), ["event_id"])])

    assert found.column("nth").to_pylist() == list(range(3, 1000, 90))


def test_what_the_disk_does_not_take_is_an_error_and_not_a_shorter_log(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "HELD", 10_000)
    (tmp_path / "piece-00001.arrow").mkdir()

    with pytest.raises(OSError, match="piece-00001"):
        staged(tmp_path, made_rows(10**9, 4))


def test_segments_are_read_with_the_types_of_the_event_table_whether_texts_were_written_as_codes_or_not(
        tmp_path, records, request):
    request.getfixturevalue("tiny")
    shop = Shop.open(tmp_path / "shop")
    shop.ingest(records, received_at=AT)

    schemas = [pq.read_schema(shop.path / segment.file) for segment in shop.manifest.segments]

    assert [schema.remove_metadata() for schema in schemas] == [STORED] * len(schemas)
