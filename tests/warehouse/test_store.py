"""One writer, readers that are never disturbed, and files that are there whole or not at all."""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import zlib
from dataclasses import replace

import msgspec
import pyarrow as pa
import pytest

from shopkeeper.errors import Damaged, NotAShop, ShopBusy
from shopkeeper.events.schema import TABLES
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.manifest import Import, Installed, Manifest, Segment
from shopkeeper.warehouse.store import GRACE, Store, durable_parquet, durable_write
from shopkeeper.warehouse.tables import PUBLISHED, conform, merged
from warehouse.made import NOON, Record, files_of, named_files, settle, take_in

HOLDER = """
import sys
from shopkeeper.warehouse.store import Store
with Store(sys.argv[1]).write("ingest") as writer:
    print("held", flush=True)
    sys.stdin.readline()
"""


def items(*names):
    return pa.Table.from_pylist([{"item_id": name} for name in names], schema=TABLES["items"])


def commit_items(store, names):
    with store.write("ingest") as writer:
        return writer.commit(writer.replace_table(writer.manifest, "items", items(*names)))


def full_manifest():
    return Manifest(
        version=7, segments=(Segment("segments/a.parquet", 3, 2, -5, 9, "i1"),), quarantine=("quarantine/i1.parquet",),
        vault=("vault/i1.vault",), tables={"items": "tables/items/1.parquet"}, dates={"facts/x": 5},
        models={"recommend.next_items": Installed("2", ("1", "2"))},
        imports=(Import("i1", "2026-01-01T00:00:00+00:00", ("日志.csv",), "events", 4, 2, 1, 1, 3, {"conflict": 1},
                        {"ts": "time"}, ("more",), ('{"template": "x"}',)),),
        sizes={"segments/a.parquet": 10}, checks={"segments/a.parquet": "00000000"},
        retired={"tables/items/0.parquet": 1_790_000_000})


def test_a_manifest_comes_back_from_its_text_as_it_was():
    assert Manifest.from_json(full_manifest().to_json()) == full_manifest()


@pytest.mark.parametrize("spoil", [
    lambda text: "", lambda text: text[:len(text) // 2], lambda text: text.replace('"rows": 3', '"rows": 4'),
    lambda text: "[]", lambda text: text.replace('"version": 7', '"version": "7"'), lambda text: "\x00" * 40],
    ids=["empty", "truncated", "a changed number", "no object", "a changed type", "zeros"])
def test_a_manifest_that_is_not_what_was_written_is_refused_by_name(tmp_path, spoil):
    (tmp_path / "manifest.json").write_text(spoil(full_manifest().to_json()))

    with pytest.raises(Damaged, match=r"manifest\.json is not what was written"):
        Store(tmp_path).manifest()


def test_a_manifest_of_another_format_is_refused_with_what_to_do():
    text = json.dumps({"format": 9, "check": "", "manifest": {}})

    with pytest.raises(NotAShop) as refused:
        Manifest.from_json(text, "shop/manifest.json")

    assert str(refused.value) == (
        "shop/manifest.json has format 9; this version reads format 1.\n"
        "  Try:  install the version of shopkeeper that wrote it, or a newer one.\n"
        "  Why:  reading it by other rules could lose events.")


def test_a_manifest_that_was_deleted_is_missed_before_anything_is_cleaned_away(tmp_path):
    take_in(Store(tmp_path), [Record("e1")])
    before = files_of(tmp_path)
    (tmp_path / "manifest.json").unlink()

    with pytest.raises(Damaged, match="is missing, and there are segments"), Store(tmp_path).write("ingest"):
        raise AssertionError("a writer got in")

    assert files_of(tmp_path) == before


def test_an_empty_folder_has_an_empty_manifest(tmp_path):
    manifest = Store(tmp_path).manifest()

    assert (manifest.version, manifest.rows, manifest.first, manifest.last) == (0, 0, None, None)


def test_a_second_writer_is_refused_by_the_name_of_the_first(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "held\n"
        since = json.loads((tmp_path / "writer.lock").read_text())["since"]
        with pytest.raises(ShopBusy) as refused, Store(tmp_path).write("learn"):
            raise AssertionError("a second writer got in")
        holder.kill()

    assert str(refused.value) == (
        f"ingest (process {holder.pid}, since {since}) is writing to this shop.\n"
        "  Try:  wait until it has ended, then try again.\n"
        "  Why:  two writers at once could count an event twice.")
    assert take_in(Store(tmp_path), [Record("e1")]).stored == 1  # the lock of a killed process is free


def test_two_writers_in_one_process_are_two_writers(tmp_path):
    with (Store(tmp_path).write("first"), pytest.raises(ShopBusy, match="first"),
          Store(tmp_path).write("second")):
        raise AssertionError("a second writer got in")


def test_a_reader_sees_its_version_before_during_and_after_a_commit(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("e1"), Record("e2")], "one")
    reader = Engine(tmp_path, store.manifest())
    seen = []

    def look():
        seen.append(reader.run(reader.events().event_id.count())[0][0].as_py())

    with store.write("ingest") as writer:
        look()
        settled = settle(writer, [[Record("e3")]], "two")
        look()
        assert store.manifest().events == 2
        writer.commit(settled.manifest(writer.manifest))
        look()
    take_in(store, [Record("e4")], "three")
    look()

    assert seen == [2, 2, 2, 2]
    assert store.manifest().events == 4


def test_a_reader_many_commits_behind_keeps_its_files_for_the_time_of_grace(tmp_path):
    now = 1_790_000_000.0
    store = Store(tmp_path, lambda: now)
    commit_items(store, "a")
    reader = Engine(tmp_path, store.manifest())
    for number in range(20):
        commit_items(store, "ab"[:number % 2 + 1])
        now += 30
        assert reader.run(reader.table("items")).num_rows == 1

    assert store.manifest().retired["tables/items/1.parquet"] == 1_790_000_000
    newest = Engine(tmp_path, store.manifest())
    assert newest.run(newest.table("items")).num_rows == 2


def test_after_the_time_of_grace_the_next_writer_removes_a_file_and_an_old_reader_is_told_which(tmp_path):
    now = 1_790_000_000.0
    store = Store(tmp_path, lambda: now)
    commit_items(store, "a")
    reader = Engine(tmp_path, store.manifest())
    commit_items(store, "ab")
    now += GRACE - 1
    with store.write("ingest"):
        assert (tmp_path / "tables/items/1.parquet").exists()
    now += 1
    with store.write("ingest"):
        assert not (tmp_path / "tables/items/1.parquet").exists()

    with pytest.raises(Damaged, match=r"tables/items/1\.parquet"):
        reader.run(reader.table("items"))
    assert commit_items(store, "abc").retired == {"tables/items/2.parquet": 1_790_000_900}


def test_a_clock_that_was_far_ahead_keeps_no_file_for_ever(tmp_path):
    now = 4_000_000_000.0
    store = Store(tmp_path, lambda: now)
    for names in ("a", "ab"):
        commit_items(store, names)
    now = 1_790_000_000.0
    commit_items(store, "abc")
    now += GRACE
    with store.write("ingest"):
        assert not (tmp_path / "tables/items/1.parquet").exists()


def test_a_manifest_that_says_of_no_file_when_it_was_retired_is_still_read():
    body = msgspec.to_builtins(replace(full_manifest(), retired={}))
    body = {**body, "retired": ["tables/items/0.parquet"]}
    del body["checks"]
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    text = json.dumps({"format": 1, "check": f"{zlib.crc32(canonical.encode()):08x}", "manifest": body})
    assert Manifest.from_json(text) == replace(full_manifest(), checks={}, retired={"tables/items/0.parquet": 0})


def test_the_next_writer_removes_what_no_manifest_names_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("e1")])
    before = files_of(tmp_path)
    mine = {"shop.toml", "keys/vault.key", "journal/000.log", "notes.txt"}
    left = {"segments/.staging-x/events.parquet", "segments/x.parquet", "segments/y.parquet.tmp",
            "quarantine/x.parquet", "tables/items/9.parquet", "vault/x.vault", "manifest.json.tmp",
            "models/recommend/next_items/4/model.json"}
    for name in mine | left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    with store.write("ingest"):
        found = files_of(tmp_path)

    assert found == before | mine


def test_models_that_the_manifest_keeps_stay_and_their_sizes_are_known(tmp_path):
    store = Store(tmp_path)
    with store.write("learn") as writer:
        for version in "12":
            durable_write(tmp_path / "models/recommend/next_items" / version / "model.json", b"{}")
        writer.commit(replace(writer.manifest, models={"recommend.next_items": Installed("1", ("1",))}))
    with store.write("learn"):
        kept = {name for name in files_of(tmp_path) if name.startswith("models/")}

    assert kept == {"models/recommend/next_items/1/model.json"}
    assert store.manifest().sizes == {"models/recommend/next_items/1/model.json": 2}


def test_a_commit_that_names_a_file_that_is_not_there_is_a_defect_and_changes_nothing(tmp_path):
    with Store(tmp_path).write("test") as writer, pytest.raises(ValueError, match="not there"):
        writer.commit(replace(writer.manifest, vault=("vault/none.vault",)))

    assert Store(tmp_path).manifest().version == 0


def test_a_failed_import_leaves_no_file_behind(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("e1")])
    before = files_of(tmp_path)

    with pytest.raises(RuntimeError, match="the source broke off"):
        import_that_fails(store)

    assert files_of(tmp_path) == before


def import_that_fails(store):
    with store.write("ingest") as writer:
        settle(writer, [[Record("e2")]], "two")
        list(broken_batches())


@pytest.mark.parametrize("spoil", ["truncate", "delete"])
def test_a_damaged_segment_is_named_and_the_rest_still_answers_when_asked_to(tmp_path, spoil):
    store = Store(tmp_path)
    take_in(store, [Record("e1")], "one")
    take_in(store, [Record("e2"), Record("e3")], "two")
    manifest = store.manifest()
    bad = manifest.segments[0].file
    if spoil == "delete":
        (tmp_path / bad).unlink()
    else:
        os.truncate(tmp_path / bad, 100)

    with pytest.raises(Damaged) as refused:
        Engine(tmp_path, manifest)
    with pytest.raises(Damaged, match=bad), store.write("ingest"):
        raise AssertionError("a writer took a damaged shop")

    rest = Engine(tmp_path, manifest.without(store.damaged(manifest)))
    assert refused.value.what.params["files"] == bad
    assert sorted(rest.run(rest.events())["event_id"].to_pylist()) == ["e2", "e3"]


def _ingest_on_a_full_disk(path, outcome):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        take_in(Store(path), [Record(f"f{n}", (os.urandom(30).hex(),), NOON + n) for n in range(900)], "two")
    except Exception as wrong:
        outcome.send(type(wrong).__name__)
    outcome.send("done")


def test_a_full_disk_leaves_the_shop_as_it_was(tmp_path):
    store = Store(tmp_path)
    take_in(store, [Record("e1")], "one")
    before, manifest = files_of(tmp_path), store.manifest()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_ingest_on_a_full_disk, args=(tmp_path, theirs))
    child.start()
    child.join()

    assert ours.recv() == "OSError"
    assert (files_of(tmp_path), store.manifest()) == (before, manifest)
    assert take_in(store, [Record("e2")], "three").stored == 1


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    durable_write(tmp_path / "a", b"old")
    half = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), broken_batches())

    with pytest.raises(RuntimeError):
        durable_parquet(tmp_path / "a", half)

    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a", b"old")]


def broken_batches():
    yield pa.record_batch({"x": [1, 2]})
    raise RuntimeError("the source broke off")


def test_a_published_table_is_read_back_with_its_date(tmp_path):
    store, schema = Store(tmp_path), PUBLISHED["facts/customer_value"].columns
    table = pa.Table.from_pylist([{"customer_id": "c", "horizon": 30, "p50": None}], schema=schema)
    with store.write("learn") as writer:
        writer.commit(writer.publish(writer.manifest, "facts/customer_value", table, as_of=NOON))

    engine = Engine(tmp_path, store.manifest())
    assert engine.run(engine.table("facts/customer_value")) == table
    assert store.manifest().dates == {"facts/customer_value": NOON}
    assert named_files(store.manifest()) == files_of(tmp_path)


def test_only_declared_tables_with_their_declared_columns_are_written():
    with pytest.raises(KeyError):
        conform("facts/none", pa.table({"x": [1]}))
    with pytest.raises(ValueError, match="has columns"):
        conform("items", pa.table({"item_id": ["a"]}))


def test_a_merge_keeps_what_the_new_rows_do_not_say_and_the_last_word_wins():
    old = pa.table({"item_id": ["a", "b"], "title": ["A", "B"], "price": [1, 2]})
    new = pa.table({"item_id": ["b", "c", "b"], "price": [None, 5, 7]})

    assert merged(old, new, "item_id").to_pydict() == {
        "item_id": ["a", "b", "c"], "title": ["A", "B", None], "price": [1, 7, 5]}
    assert merged(None, new, "item_id").to_pydict() == {"item_id": ["b", "c"], "price": [7, 5]}
