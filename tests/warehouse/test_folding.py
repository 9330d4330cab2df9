"""The fold: one commit, an exact account for each source, tables changed in order, nothing folded twice."""

import shutil

import pytest

from shopkeeper.shop import Shop
from shopkeeper.warehouse.folding import fold
from warehouse.posted import NOW, account, folded, ids, opened, posted, told, view


@pytest.fixture
def pair(tmp_path):
    shop, collector = opened(tmp_path / "shop")
    yield shop, collector
    collector.close()


def test_each_source_has_its_own_exact_account_and_the_first_that_came_is_stored(pair):
    shop, collector = pair
    collector.take(posted(view("e1"), {"a": 1}, source="http:b"))
    collector.take(posted(view("e1"), view("e1", item_id="cup"), view("e2"), source="http:a"))
    collector.flush()
    assert folded(shop, collector) == (5, 2, 1, 2)
    assert account(shop) == {("http:b", "events"): (2, 1, 0, 1), ("http:a", "events"): (3, 1, 1, 1)}


def test_folds_of_one_day_are_one_entry_of_the_account(pair):
    shop, collector = pair
    for number in range(3):
        collector.take(posted(view(f"e{number}")))
        collector.flush()
        folded(shop, collector)
    assert account(shop) == {("http:shop", "events"): (3, 3, 0, 0)}
    assert len(shop.manifest.imports) == 1


def test_rows_of_a_table_are_put_patched_and_deleted_in_order(pair):
    shop, collector = pair
    steps = [("put", {"item_id": "a", "title": "A", "price": 2}, True), ("patch", {"item_id": "a", "price": 3}, True),
             ("patch", {"item_id": "a", "price": 3}, False), ("put", {"item_id": "b", "brand": "B"}, True),
             ("put", {"item_id": "a", "brand": "X"}, True), ("delete", {"item_id": "b"}, True),
             ("delete", {"item_id": "b"}, False), ("put", {"item_id": "c"}, True), ("put", {"title": "no key"}, None)]
    for change, row, stored in steps:
        ticket = collector.take(posted(row, table="items", change=change))
        assert told(ticket) == (1, stored is True, stored is False, stored is None)
        collector.flush()
    assert folded(shop, collector) == (9, 6, 2, 1)
    rows = [{name: cell for name, cell in row.items() if cell is not None}
            for row in shop.store.read_table(shop.manifest, "items").to_pylist()]
    assert rows == [{"item_id": "a", "brand": "X"}, {"item_id": "c"}]


def test_a_journal_that_a_crash_left_behind_after_the_commit_is_not_folded_twice(pair, tmp_path):
    shop, collector = pair
    collector.take(posted(view("e1")))
    collector.flush()
    collector.seal()
    shutil.copytree(shop.path / "journal", tmp_path / "kept")
    folded(shop, collector)
    for file in (tmp_path / "kept").glob("*.log"):
        shutil.copy(file, shop.path / "journal" / file.name)
    assert fold(shop.store, shop.keys(), shop.config.roles) is None
    assert account(Shop.open(shop.path)) == {("http:shop", "events"): (1, 1, 0, 0)}
    assert not list((shop.path / "journal").glob("*.log"))


def test_damage_is_named_the_file_is_kept_and_the_rest_is_stored(pair):
    shop, collector = pair
    for name in ("e1", "e2", "e3"):
        collector.take(posted(view(name)))
        collector.flush()
    collector.seal()
    (path,) = (shop.path / "journal").glob("*.log")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = fold(shop.store, shop.keys(), shop.config.roles)
    assert (done.received, done.stored) == (2, 2)
    assert "is damaged from byte" in str(done.notes[0])
    assert path.with_suffix(".damaged").exists()
    collector.refresh()
    assert ids(Shop.open(shop.path)) == ["e1", "e3"]


def test_a_file_is_taken_in_while_a_server_has_the_journal_and_what_is_sealed_comes_first(pair):
    shop, collector = pair
    collector.take(posted(view("e1"), at=NOW))
    collector.flush()
    collector.seal()
    done = shop.ingest([[view("e1"), view("e2")]])
    assert (done.stored, done.duplicate) == (1, 1)
    assert ids(shop) == ["e1", "e2"]
