"""Quarantined records come in again after a fix; the account stays exact, and each record is counted once."""

import json

import pytest

from shopkeeper import ledger
from shopkeeper.errors import Damaged
from shopkeeper.events.mapping import Mapping
from shopkeeper.ledger import Fix
from shopkeeper.shop import Shop
from shopkeeper.warehouse.compaction import CROWD, compact

from .test_undo import check_whole, event, records, state

TIME = 1_700_000_000_000_000
DECLARED = '\nlevitate = "interest"\n'


def outcomes(answer):
    return {row["outcome"]: row["records"] for row in answer.table.to_pylist()}


def declare(place):
    """The shop opened again, with a kind of its own."""
    path = place / "shop.toml"
    path.write_text(path.read_text() + DECLARED)
    return Shop.open(place)


def check_account(shop):
    """Each record is counted where it lies."""
    manifest = shop.manifest
    for entry in manifest.imports:
        assert entry.received == entry.stored + entry.duplicate + entry.quarantined
    assert sum(entry.stored for entry in manifest.imports if entry.table == "events") == manifest.events
    kept = shop.engine.run(shop.engine.quarantine()).to_pylist()
    assert sum(entry.quarantined for entry in manifest.imports) == len(kept)
    reasons = {}
    for entry in manifest.imports:
        for reason, count in entry.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    assert reasons == {reason: sum(row["reason"] == reason for row in kept) for reason in {r["reason"] for r in kept}}


def test_records_of_a_kind_that_is_declared_now_move_from_quarantined_to_stored_of_their_imports(tmp_path):
    shop = Shop.open(tmp_path / "s")
    numbers = [shop.ingest(records(n * 100), received_at=TIME + n).id for n in range(2)]
    shop = declare(tmp_path / "s")

    said = ledger.replay(shop)

    assert outcomes(said) == {"stored": 2, "duplicate": 0, "missing_time": 2}
    assert [(one.id, one.received, one.stored, one.quarantined) for one in shop.manifest.imports] == [
        (number, 32, 31, 1) for number in numbers]
    rows = [row for row in shop.engine.run(shop.engine.events()).to_pylist() if row["event"] == "levitate"]
    assert sorted(row["event_id"] for row in rows) == ["odd 0", "odd 100"]
    check_account(shop)
    check_whole(shop)
    assert outcomes(ledger.replay(shop)) == {"stored": 0, "duplicate": 0, "missing_time": 2}


def test_what_is_replayed_is_stored_as_if_it_had_been_right_at_once(tmp_path):
    shop = Shop.open(tmp_path / "one")
    shop.ingest(records(0), received_at=TIME)
    shop = declare(tmp_path / "one")
    ledger.replay(shop)
    other = Shop.open(tmp_path / "two")
    (tmp_path / "two" / "keys").rename(tmp_path / "away")
    (tmp_path / "one" / "keys").rename(tmp_path / "two" / "keys")
    declare(tmp_path / "two").ingest(records(0), received_at=TIME)
    other.refresh()

    rows = [sorted(one.engine.run(one.engine.events()).to_pylist(), key=lambda row: row["event_id"])
            for one in (shop, other)]

    assert rows[0] == rows[1]


def test_an_import_is_undone_with_what_was_replayed_of_it(tmp_path):
    shop = Shop.open(tmp_path / "s")
    first = shop.ingest(records(0), received_at=TIME).id
    before = state(shop)
    second = shop.ingest(records(100), received_at=TIME).id
    shop = declare(tmp_path / "s")
    ledger.replay(shop, reason="missing_time", fix=Fix(constant={"ts": "2023-06-01T00:00:00Z"}))
    ledger.replay(shop)
    assert [entry.quarantined for entry in shop.manifest.imports] == [0, 0]
    check_account(shop)

    ledger.undo(shop, second)
    assert [entry.id for entry in shop.manifest.imports] == [first]
    check_account(shop)
    ledger.undo(shop, first)
    assert state(shop)[:6] == ([], [], [], set(), {}, ())
    check_whole(shop)
    shop.ingest(records(0), received_at=TIME)
    assert len(state(shop)[0]) == len(before[0]) + 1  # the kind is declared by now


def test_a_mapping_of_the_import_still_holds_and_a_currency_said_now_mends_the_rest(tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text("what,when,who,thing,order,paid,cur\n"
                    "bought,01.05.2023 10:00,ann,tea,o1,5,EUR\nbought,01.05.2023 11:00,bob,tea,o2,6,\n")
    shop = Shop.open(tmp_path / "s")

    done = shop.ingest(file, Mapping(
        {"event": "what", "ts": "when", "customer_id": "who", "item_id": "thing", "order_id": "order",
         "value": "paid", "currency": "cur"}, {"bought": "purchase"}, time_zone="Europe/Berlin",
        time_format="%d.%m.%Y %H:%M"), received_at=TIME)
    assert dict(done.reasons) == {"missing_currency": 1}

    said = ledger.replay(shop, fix=Fix(currency="EUR"))

    assert outcomes(said) == {"stored": 1, "duplicate": 0}
    rows = {row["order_id"]: row for row in shop.engine.run(shop.engine.events()).to_pylist()}
    assert (rows["o2"]["ts"] - rows["o1"]["ts"]).total_seconds() == 3600
    assert (str(rows["o2"]["value"]), rows["o2"]["currency"]) == ("6.0000", "EUR")
    check_account(shop)


def test_a_conflict_comes_in_when_what_it_was_in_conflict_with_is_undone(tmp_path):
    shop = Shop.open(tmp_path / "s")
    first = shop.ingest([event(1)], received_at=TIME).id
    shop.ingest([event(1, item_id="other"), event(2)], received_at=TIME)
    assert outcomes(ledger.replay(shop)) == {"stored": 0, "duplicate": 0, "conflict": 1}
    check_account(shop)

    ledger.undo(shop, first)
    assert outcomes(ledger.replay(shop, reason="conflict")) == {"stored": 1, "duplicate": 0}

    assert {row["item_id"] for row in shop.engine.run(shop.engine.events()).to_pylist()} == {"other", "i2"}
    check_account(shop)
    check_whole(shop)


def test_a_reason_that_is_another_now_is_the_one_that_is_told(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([event(1), {**event(2), "event": "levitate", "item_id": None}], received_at=TIME)

    said = ledger.replay(shop, fix=Fix(kind={"levitate": "view_item"}))

    assert outcomes(said) == {"stored": 0, "duplicate": 0, "missing_item": 1}
    row = shop.engine.run(shop.engine.quarantine()).to_pylist()[0]
    assert (row["reason"], json.loads(row["record"])["event"]) == ("missing_item", "levitate")
    check_account(shop)


def test_records_that_no_reader_understood_are_not_tried_and_said(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(event(1)) + "\n{broken\n")
    shop = Shop.open(tmp_path / "s")
    shop.ingest(file, received_at=TIME)

    said = ledger.replay(shop)

    assert sum(outcomes(said).values()) == 0
    assert any(str(note).startswith("1 records were not tried") for note in said.notes)


def test_a_dry_run_says_how_records_would_be_read_and_changes_nothing(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest(records(0), received_at=TIME)
    before = shop.store.manifest()

    said = ledger.replay(shop, fix=Fix(kind={"levitate": "view_item"}), dry_run=True)

    assert outcomes(said) == {"stored": 1, "duplicate": 0, "missing_time": 1}
    assert shop.store.manifest() == before


def test_replay_and_undo_hold_after_compactions(tmp_path):
    shop = Shop.open(tmp_path / "s")
    numbers = [shop.ingest(records(n * 100, count=5), received_at=TIME + n).id for n in range(CROWD)]
    while compact(shop.store, shop.keys()) is not None:
        continue
    shop = declare(tmp_path / "s")
    ledger.replay(shop)
    check_account(shop)

    ledger.undo(shop, numbers[2])
    check_account(shop)
    check_whole(shop)


def test_a_dry_run_says_what_is_known_already_and_what_is_in_conflict(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([event(1), event(2)], received_at=TIME)
    odd = [{**event(n), "event": "levitate"} for n in (1, 2, 3, 3, 4)]
    odd[1]["item_id"], odd[4]["event_id"] = "another", None
    shop.ingest(odd, received_at=TIME)
    fix = Fix(kind={"levitate": "view_item"})

    before = shop.store.manifest()
    said = ledger.replay(shop, fix=fix, dry_run=True)

    assert outcomes(said) == {"stored": 2, "duplicate": 2, "conflict": 1}
    assert shop.store.manifest() == before
    assert outcomes(ledger.replay(shop, fix=fix)) == outcomes(said)
    check_account(shop)


def test_a_dry_run_that_cannot_ask_the_index_is_refused(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest(records(0), received_at=TIME)
    for run in shop.manifest.index:
        path = shop.path / run.file
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])

    with pytest.raises(Damaged, match="shopkeeper ingest SHOP FILE makes it again"):
        ledger.replay(shop, fix=Fix(kind={"levitate": "view_item"}), dry_run=True)


def test_a_field_that_does_not_fit_a_dialect_is_named_and_the_record_comes_in_when_another_fills_its_column(tmp_path):
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(json.dumps({
        "type": "track", "event": "Order Completed", "messageId": f"m{n}", "userId": "u", "timestamp": f"2026-03-0{n}",
        "properties": {"order_id": f"o{n}", "revenue": worth, "total": 7, "currency": "EUR", "product_id": "tea"}})
        for n, worth in ((1, 5), (2, "a lot"), (3, 6))))
    shop = Shop.open(tmp_path / "s")
    shop.ingest(file, received_at=TIME)
    row, = shop.engine.run(shop.engine.quarantine()).to_pylist()
    assert (row["reason"], row["field"]) == ("dialect", "properties.revenue")
    assert outcomes(ledger.replay(shop)) == {"stored": 0, "duplicate": 0, "dialect": 1}

    said = ledger.replay(shop, reason="dialect", fix=Fix(map={"value": "properties.total"}))

    assert outcomes(said) == {"stored": 1, "duplicate": 0}
    kept = {row["event_id"]: row for row in shop.engine.run(shop.engine.events()).to_pylist()}
    assert kept["m2"]["value"] == 7
    assert json.loads(kept["m2"]["props"])["properties.revenue"] == "a lot"
    check_account(shop)
