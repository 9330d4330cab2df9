"""An import is taken back exactly: the shop is as if it had never come, and the file can come again."""

import random

import pyarrow.parquet as pq
import pytest

from shopkeeper import identity, ledger
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events.pseudonyms import unseal
from shopkeeper.shop import Shop
from shopkeeper.warehouse import index
from shopkeeper.warehouse.compaction import CROWD, compact
from warehouse.made import files_of, named_files

TIME = 1_700_000_000_000_000


def event(number, who=None, day=None, **more):
    return {"event_id": f"e{number:05d}", "event": "view_item", "ts": f"2023-05-{day or number % 28 + 1:02d}T10:00:00Z",
            "customer_id": who or f"person {number % 7}", "item_id": f"i{number % 5}", **more}


def records(first, count=30, who=None):
    """New records, one of the import before once more, and two that are set aside."""
    bad = [{**event(first), "event_id": f"bad {first}", "ts": None}, {**event(first), "event_id": f"odd {first}",
                                                                       "event": "levitate"}]
    return [*(event(first + n, who) for n in range(count)), *bad]


def state(shop):
    """All that a shop knows, without the names of files: rows, rejected records, tables, people, books, index."""
    shop.refresh()
    manifest, store, keys = shop.manifest, shop.store, shop.keys()
    rows = sorted(map(repr, shop.engine.run(shop.engine.events()).to_pylist()))
    stored = sorted(repr(row) for one in manifest.segments
                    for row in pq.read_table(store.path / one.file).drop_columns(["digest"]).to_pylist())
    rejected = sorted(repr(row) for file in manifest.quarantine for row in pq.read_table(store.path / file).to_pylist())
    pairs = {tuple(row.values()) for file in manifest.vault
             for row in unseal((store.path / file).read_bytes(), keys.vault).to_pylist()}
    tables = {name: pq.read_table(store.path / file).to_pylist() for name, file in manifest.tables.items()}
    return rows, stored, rejected, pairs, tables, manifest.imports, manifest.rows, manifest.events


def check_whole(shop):
    """Every name is in the index and no other; nothing lies about."""
    manifest, key = shop.manifest, shop.keys().naming
    assert index.complete(manifest)
    assert index.verify(shop.path, manifest.index, key) == ()
    again = index.EventIndex(shop.path, manifest.index, key)
    for segment in manifest.segments:
        rows = pq.read_table(shop.path / segment.file, columns=["event_id", "line"])
        assert rows.num_rows == segment.rows
        names = index.event_keys(rows.column("event_id"), rows.column("line").to_numpy(), key)
        assert again.find(names)[0].all()
    with shop.store.write("test"):
        extra = {"shop.toml", "keys/pseudonym.key", "keys/vault.key"}
        assert files_of(shop.path) == named_files(shop.manifest) | set(shop.manifest.retired) | extra
    assert ledger.check(shop).table.num_rows == 0


def opened(place, imports):
    shop = Shop.open(place)
    return shop, [shop.ingest(one, received_at=TIME + n).id for n, one in enumerate(imports)]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_an_import_that_is_undone_leaves_the_shop_as_if_it_had_never_come(tmp_path, gone):
    parts = [records(n * 100) for n in range(3)]
    shop, numbers = opened(tmp_path / "one", parts)
    ledger.undo(shop, numbers[gone])

    rest = state(shop)
    check_whole(shop)
    ids = {event["event_id"] for n, part in enumerate(parts) if n != gone for event in part[:-2]}
    assert {row["event_id"] for row in shop.engine.run(shop.engine.events()).to_pylist()} == ids
    assert [entry.id for entry in rest[5]] == [number for n, number in enumerate(numbers) if n != gone]
    assert all(numbers[gone] not in row for row in (*rest[1], *rest[2]))
    assert sum(entry.quarantined for entry in rest[5]) == len(rest[2]) == 4


def test_undo_and_the_same_file_again_stores_what_it_stored_also_after_compactions(tmp_path):
    parts = [records(n * 100, who=f"only {n}") for n in range(CROWD)]
    shop, numbers = opened(tmp_path / "one", parts)
    before = [row.replace(numbers[3], "N") for row in state(shop)[1]]
    people = state(shop)[3]
    compacted = 0
    while compact(shop.store, shop.keys()) is not None:
        compacted += 1
    assert compacted

    ledger.undo(shop, numbers[3])
    check_whole(shop)
    rest = state(shop)
    assert [len(rest[1]), len(rest[2])] == [30 * (CROWD - 1), 2 * (CROWD - 1)]
    assert {pair[1] for pair in people - rest[3]} == {"only 3"}

    done = shop.ingest(parts[3], received_at=TIME + 3)
    assert (done.stored, done.duplicate, done.quarantined) == (30, 0, 2)
    assert sorted(row.replace(done.id, "N") for row in state(shop)[1]) == sorted(before)
    assert {pair[1] for pair in state(shop)[3]} == {pair[1] for pair in people}
    check_whole(shop)


def test_a_person_of_whom_other_imports_tell_stays_in_the_vault(tmp_path):
    shop, numbers = opened(tmp_path / "one", [records(n * 100, who="ann") for n in range(CROWD)])
    while compact(shop.store, shop.keys()) is not None:
        continue
    before = state(shop)[3]

    ledger.undo(shop, numbers[0])

    assert state(shop)[3] == before


def test_a_dry_run_says_what_would_go_and_changes_nothing(tmp_path):
    shop, numbers = opened(tmp_path / "one", [records(0), records(100)])
    before = shop.store.manifest()

    said = ledger.undo(shop, numbers[0], dry_run=True)

    assert dict(zip(*said.table.to_pydict().values(), strict=True)) == {
        "events": 30, "event lines": 30, "quarantined records": 2, "changed rows of a table": 0}
    assert shop.store.manifest() == before


def test_later_imports_that_met_what_goes_are_named(tmp_path):
    shop, numbers = opened(tmp_path / "one", [records(0), [*records(100), event(3)], records(200)])

    said = ledger.undo(shop, numbers[0])

    assert any(numbers[1] in str(note) and numbers[2] not in str(note) for note in said.notes)
    assert shop.ingest([event(3)], received_at=TIME).stored == 1


def test_what_a_table_was_comes_back_where_nothing_later_changed_it(tmp_path):
    shop = Shop.open(tmp_path / "one")
    first = shop.ingest([{"item_id": "a", "title": "Tea"}], table="items", received_at=TIME)
    known = state(shop)[4]
    second = shop.ingest([{"item_id": "a", "title": "Coffee"}, {"item_id": "b", "title": "Milk"}], table="items",
                         received_at=TIME)

    with pytest.raises(BadInput) as refused:
        ledger.undo(shop, first.id)
    assert second.id in str(refused.value)
    ledger.undo(shop, second.id)
    assert state(shop)[4] == known
    ledger.undo(shop, first.id)
    assert state(shop)[4] == {}
    check_whole(shop)


def test_a_customer_who_came_with_a_table_leaves_the_vault_with_it(tmp_path):
    shop = Shop.open(tmp_path / "one")
    shop.ingest([event(1, who="ann")], received_at=TIME)
    done = shop.ingest([{"customer_id": "ann"}, {"customer_id": "bob"}], table="customers", received_at=TIME)

    ledger.undo(shop, done.id)

    assert {pair[1] for pair in state(shop)[3]} == {"ann"}


def test_an_unknown_import_is_refused_by_name(tmp_path):
    shop, _ = opened(tmp_path / "one", [records(0)])
    with pytest.raises(UnknownName, match="nobody"):
        ledger.undo(shop, "nobody")


@pytest.mark.slow
def test_any_order_of_imports_compactions_and_undos_leaves_what_a_plain_loop_leaves(tmp_path):
    chance, shop, known = random.Random(5), Shop.open(tmp_path / "one"), {}
    for step in range(40):
        if known and chance.random() < 0.35:
            ledger.undo(shop, number := chance.choice(list(known)))
            del known[number]
        elif chance.random() < 0.3:
            compact(shop.store, shop.keys())
        else:
            part = records(step * 100, count=chance.randint(1, 20))
            known[shop.ingest(part, received_at=TIME).id] = {one["event_id"] for one in part[:-2]}
        shop.refresh()
        rows = shop.engine.run(shop.engine.events()).to_pylist() if known else []
        assert sorted(row["event_id"] for row in rows) == sorted(set().union(*known.values()))
    check_whole(shop)


def test_joins_that_only_the_import_spoke_for_go_with_it_and_others_count_what_is_left(tmp_path):
    def met(number, who, phone, day):
        return event(number, who, day, anonymous_id=phone, event="login", item_id=None)

    shop = Shop.open(tmp_path / "s")
    shop.ingest([met(1, "ann", "phone a", 1), met(2, "bob", "phone b", 2)], received_at=TIME)
    identity.join(shop)
    before = shop.engine.run(shop.engine.table("facts/identity")).to_pylist()
    second = shop.ingest([met(3, "ann", "phone a", 3), met(4, "cat", "phone b", 4), met(5, "dan", "phone d", 5)],
                         received_at=TIME).id
    identity.join(shop)
    identity.join(shop, anonymous="phone d", customer="dan")
    assert len(shop.engine.run(shop.engine.table("facts/identity"))) == 4

    said = ledger.undo(shop, second)

    after = shop.engine.run(shop.engine.table("facts/identity")).to_pylist()
    hand = [row for row in after if row["by"] == "hand"]
    assert [row for row in after if row["by"] == "log"] == before
    assert [(row["events"], row["joined"]) for row in hand] == [(0, True)]
    assert "1 joins of visitors to customers are gone: nothing else spoke for them." in map(str, said.notes)
    check_whole(shop)


def test_an_index_that_is_found_damaged_is_made_again_and_that_is_said(tmp_path):
    shop, numbers = opened(tmp_path / "s", [records(0), records(100)])
    path = shop.path / shop.manifest.index[0].file
    path.write_bytes(path.read_bytes()[:-9])

    said = ledger.undo(shop, numbers[1])

    assert "the index of events was damaged; it was made again from the segments." in map(str, said.notes)
    check_whole(shop)
