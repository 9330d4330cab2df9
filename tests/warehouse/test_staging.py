"""Large imports and small ones, many threads and one, any split and order of a log: the same rows."""

import json
import random
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.taking import BUY, VIEW, digests
from shopkeeper.errors import BadInput
from shopkeeper.ledger import quarantine
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, mess, simulate
from shopkeeper.warehouse import digests as judging
from shopkeeper.warehouse import ingest, staging
from shopkeeper.warehouse.index import verify

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
    assert verify(large.path, large.manifest.index, large.keys().pseudonym) == ()
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
