"""Whole imports: the account to the last record, what is stored, what is kept of the rest, and nothing by halves."""

import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import BadInput, BadMapping
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.pseudonyms import pseudonym, unseal
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, mess, simulate
from shopkeeper.warehouse.ingest import changed
from warehouse.streams import ANCHOR, Oracle, files, written

AT = 1_800_000_000_000_000
BUY = {**ANCHOR, "event": "purchase", "order_id": "o1", "currency": "EUR"}


@pytest.fixture
def shop(tmp_path):
    return Shop.open(tmp_path / "shop")


def stored(shop):
    return shop.engine.run(shop.events()).to_pylist()


def kept(shop):
    return shop.engine.run(shop.engine.quarantine()).to_pylist()


@settings(deadline=None, max_examples=bounded(25))
@given(imports=st.lists(st.lists(files, min_size=1, max_size=3), min_size=1, max_size=3))
def test_every_record_of_every_import_is_accounted_for_exactly_as_plain_python_says(imports):
    oracle = Oracle()
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop.open(Path(folder) / "shop")
        for number, sources in enumerate(imports):
            given = [written(Path(folder), f"{number}-{place}", form, log) for place, (form, log) in enumerate(sources)]
            done = shop.ingest(given, received_at=AT)
            good, again, reasons = oracle.take([source for source in sources if source[0] != "dicts"]
                                               + [source for source in sources if source[0] == "dicts"])
            assert (done.stored, done.duplicate, Counter(done.reasons)) == (good, again, reasons)
            assert done.received == done.stored + done.duplicate + done.quarantined
        rows, rejected = stored(shop), kept(shop)

    own = {key: body for key, body in oracle.bodies.items() if isinstance(key, str)}
    assert len(rows) == len(oracle.bodies) == shop.manifest.events
    assert {row["event_id"]: row["item_id"] for row in rows if row["event_id"] in own} == {
        key: body[2] for key, body in own.items()}
    assert len(rejected) == sum(entry.quarantined for entry in shop.manifest.imports)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_mess_is_found_to_the_last_record_and_again_as_duplicates(shop, seed):
    log = simulate(SimulationConfig(customers=60, items=40, days=30, seed=seed)).events
    spoiled = mess(log, seed, duplicates=0.05, broken=0.05)

    first, again = shop.ingest(spoiled.records), shop.ingest(spoiled.records[::-1])

    assert (first.received, first.stored, first.duplicate) == (len(spoiled.records), spoiled.valid, spoiled.duplicate)
    assert dict(first.reasons) == dict(spoiled.broken)
    assert (again.stored, again.quarantined) == (0, first.quarantined)


def test_the_same_file_under_another_name_stores_nothing_and_its_own_repeats_are_kept(shop, tmp_path):
    lines = "event,ts,customer_id,item_id\n" + "view_item,2026-10-01,ann,tea\n" * 3 + "view_item,2026-10-01,bob,tea\n"
    (tmp_path / "one.csv").write_text(lines)
    (tmp_path / "two.csv").write_text(lines)

    first, again = shop.ingest(tmp_path / "one.csv"), shop.ingest(tmp_path / "two.csv")

    assert (first.stored, first.duplicate) == (4, 0)
    assert (again.stored, again.duplicate) == (0, 4)


def test_two_files_of_one_name_in_one_import_are_two_files(shop, tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log.csv").write_text("event,ts,customer_id,item_id\nview_item,2026-10-01,ann,tea\n")

    done = shop.ingest([tmp_path / "monday" / "log.csv", tmp_path / "tuesday" / "log.csv"])

    assert (done.stored, done.duplicate) == (1, 1)


def test_a_log_is_the_same_log_in_any_format(shop, tmp_path):
    log = simulate(SimulationConfig(customers=20, items=10, days=10))
    for form in ("csv", "jsonl", "parquet"):
        log.write(tmp_path / form, form)

    done = [shop.ingest(tmp_path / form / f"events.{form}") for form in ("csv", "jsonl", "parquet")]

    assert [one.stored for one in done] == [log.events.num_rows, 0, 0]
    assert [one.duplicate for one in done] == [0, log.events.num_rows, log.events.num_rows]


def test_the_same_id_with_another_body_is_kept_with_its_original_and_its_line(shop, tmp_path):
    other = {**ANCHOR, "item_id": "oil", "odd": "ü"}
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(one) for one in (ANCHOR, other, ANCHOR)))

    done = shop.ingest(tmp_path / "log.jsonl")

    assert (done.stored, done.duplicate, dict(done.reasons)) == (1, 1, {"conflict": 1})
    assert [(row["reason"], row["file"], row["source_line"], json.loads(row["record"])) for row in kept(shop)] == [
        ("conflict", "log.jsonl", 2, other)]
    assert [row["item_id"] for row in stored(shop)] == ["tea"]


def test_an_event_sent_again_later_is_a_duplicate(shop):
    sent = {**ANCHOR, "ts": None, "client_ts": "2026-10-01 10:00", "received_at": "2026-10-01 10:01"}

    done = shop.ingest([sent, {**sent, "sent_at": "2026-10-02", "received_at": "2026-10-02 00:01"}])

    assert (done.stored, done.duplicate) == (1, 1)


def test_fields_that_come_in_another_order_in_another_file_are_no_conflict(shop):
    one = {**ANCHOR, "a": "1", "b": "2", "c": "3"}

    shop.ingest([one])

    assert shop.ingest([{**ANCHOR, "event_id": "z", "c": "9"}, dict(reversed(one.items()))]).duplicate == 1


def test_guests_count_in_sales_and_name_nobody(shop):
    shop.ingest([{**BUY, "customer_id": None, "value": 5}, {**BUY, "event_id": "e2", "order_id": "o2", "value": 7}])

    rows = {row["order_id"]: row for row in stored(shop)}
    assert rows["o1"]["anonymous_id"] == "order:o1"
    assert rows["o1"]["customer_id"] is None
    assert sum(row["value"] for row in rows.values()) == 12


def test_an_order_comes_as_a_list_of_items_or_as_lines_and_its_money_is_counted_once(shop):
    head = {name: cell for name, cell in BUY.items() if name not in ("item_id", "odd")}
    nested = {**head, "value": 9, "items": [{"item_id": "a", "price": 4, "quantity": 1},
                                            {"item_id": "b", "price": 5, "quantity": 1}]}
    lines = [{**head, "event_id": "l", "line": 0, "value": 9},
             *({**head, "event_id": "l", "line": n, "item_id": item} for n, item in enumerate("ab", 1))]

    done = shop.ingest([nested, *lines])

    assert (done.received, done.stored, done.lines) == (4, 4, 6)
    rows = stored(shop)
    assert sum(row["value"] for row in rows if row["value"] is not None) == Decimal(18)
    assert sorted((row["event_id"], row["line"], row["item_id"]) for row in rows) == [
        ("anchor", 0, None), ("anchor", 1, "a"), ("anchor", 2, "b"), ("l", 0, None), ("l", 1, "a"), ("l", 2, "b")]
    assert shop.ingest([nested, *lines]).duplicate == 4


def test_an_order_with_one_item_more_under_the_same_id_is_a_conflict(shop):
    order = {**BUY, "items": [{"item_id": "a"}, {"item_id": "b"}]}
    shop.ingest([order])

    done = shop.ingest([{**order, "items": [*order["items"], {"item_id": "c"}]}, order])

    assert (done.stored, done.duplicate, dict(done.reasons)) == (0, 1, {"conflict": 1})


def test_no_raw_identity_lies_anywhere_but_in_the_sealed_vault(shop):
    secret = ["Annabel.Secret@example.org", "device-9f8e7d6c5b4a"]
    shop.ingest([{**BUY, "customer_id": secret[0], "anonymous_id": secret[1], "order_id": None},
                 {**ANCHOR, "event_id": "e2", "customer_id": secret[0]}], Mapping(order_rule="customer-minute"))
    shop.ingest([{"customer_id": secret[0], "age": 40}], table="customers")

    here = [path for path in shop.path.rglob("*") if path.is_file()]
    assert {path.parent.name for path in here} >= {"segments", "vault", "customers", "keys"}
    for path in here:
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data = repr(pq.read_table(path).to_pylist()).encode()
        assert not any(one.encode() in data for one in secret), path
    pairs = pa.concat_tables([unseal((shop.path / file).read_bytes(), shop.keys().vault)
                              for file in shop.manifest.vault]).to_pylist()
    assert {(pair["pseudonym"], pair["identity"]) for pair in pairs} == {
        (pseudonym(one, name, shop.keys().pseudonym), one)
        for one, name in zip(secret, ("customer_id", "anonymous_id"), strict=True)}


def test_records_may_differ_and_a_mapped_field_may_come_late(shop):
    log = [{**ANCHOR, "event_id": str(n)} for n in range(66_000)]
    log.append({**ANCHOR, "event_id": "late", "cost": "5", "coin": "EUR"})

    done = shop.ingest(log, Mapping(columns={"price": "cost", "currency": "coin"}))

    assert (done.received, done.stored) == (66_001, 66_001)
    assert [row["price"] for row in stored(shop) if row["event_id"] == "late"] == [Decimal("5.0000")]


def test_a_mapped_field_that_no_record_has_is_refused_and_nothing_is_stored(shop):
    with pytest.raises(BadMapping) as refusal:
        shop.ingest([ANCHOR] * 3, Mapping(columns={"price": "cost"}, currency="EUR"), name="log")

    assert str(refusal.value).startswith("log has no column 'cost'.\n")
    assert shop.store.manifest().imports == ()


def test_what_an_import_did_is_told_and_written_down(shop, tmp_path):
    (tmp_path / "log.csv").write_text(
        "what,at,who,sku,store,stars\npv,2026-10-01,ann,tea,7,5\npv,2026-10-02,bob,oil,7,x\n")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")

    done = shop.ingest(tmp_path, Mapping(
        columns={"event": "what", "ts": "at", "customer_id": "who", "item_id": "sku", "rating": "stars"},
        kinds={"pv": "view_item"}))

    assert done.mapped == {"event": "what", "ts": "at", "customer_id": "who", "item_id": "sku", "rating": "stars"}
    assert (done.unmapped, dict(done.unread)) == (("store",), {"rating": 1})
    assert str(done) == "received 2 = stored 2 + duplicate 0 + quarantined 0"
    assert [str(note) for note in done.notes] == [
        "notes.pdf was left out: no reader knows its ending.",
        "times without an offset were taken as UTC; --time-zone says otherwise."]
    entry = shop.manifest.imports[0]
    assert (entry.sources, entry.received, entry.mapped["item_id"]) == (("log.csv",), 2, "sku")


def test_times_with_their_zone_need_no_word_about_zones(shop):
    aware = pa.table({**{name: [cell] for name, cell in ANCHOR.items() if name not in ("ts", "sent_at")},
                      "ts": pa.array([AT], pa.timestamp("us", "Asia/Shanghai"))})

    assert shop.ingest(aware).notes == ()
    assert shop.ingest([ANCHOR], Mapping(time_zone="Asia/Shanghai")).notes == ()


def test_day_and_month_that_cannot_be_told_apart_store_nothing(shop, tmp_path):
    (tmp_path / "log.csv").write_text("event,ts,customer_id,item_id\nview_item,01/02/2026,ann,tea\n")

    with pytest.raises(BadMapping, match=r"^01/02/2026 can be read as day/month or as month/day"):
        shop.ingest(tmp_path / "log.csv")
    assert shop.ingest(tmp_path / "log.csv", Mapping(time_format="%d/%m/%Y")).stored == 1
    assert stored(shop)[0]["ts"].month == 2


def test_a_file_of_nothing_but_bad_rows_is_quarantined_whole(shop):
    done = shop.ingest([{**ANCHOR, "ts": "never", "event_id": str(n)} for n in range(50)])

    assert (done.received, done.stored, dict(done.reasons)) == (50, 0, {"bad_time": 50})
    assert len(kept(shop)) == 50


def test_nothing_to_ingest_is_refused(shop):
    with pytest.raises(BadInput) as refusal:
        shop.ingest([])

    assert str(refusal.value) == ("there is nothing to ingest.\n"
                                  "  Try:  shopkeeper ingest SHOP FILE ...\n"
                                  "  Why:  no file, folder or table was given.")


def test_a_table_without_a_row_is_refused(shop):
    with pytest.raises(BadInput) as refusal:
        shop.ingest(pa.table({"event": pa.array([], pa.string())}), name="log")

    assert str(refusal.value) == ("there is no record to take in: log has a header and no records.\n"
                                  "  Try:  look into the file, and export it again.\n"
                                  "  Why:  an account of nothing would look as if all was well.")
    assert shop.store.manifest().imports == ()


def test_a_folder_that_holds_a_shop_is_read_without_what_is_the_shops(shop, tmp_path):
    (tmp_path / "log.csv").write_text("event,ts,customer_id,item_id\nview_item,2026-10-01,ann,tea\nx,x,x,x\n")

    first, again = shop.ingest(tmp_path), shop.ingest(tmp_path)

    assert (first.received, again.received, again.duplicate) == (2, 2, 1)


# ---- the other tables


def test_the_last_that_says_something_of_a_thing_wins_and_silence_keeps_what_was_known(shop):
    first = shop.ingest([{"item_id": "tea", "price": 1, "title": "Tea", "size": "L"}, {"item_id": "oil", "price": 2},
                         {"item_id": "tea", "price": 3}, {"item_id": None, "price": 9}], table="items")
    second = shop.ingest([{"item_id": "oil", "brand": "Acme"}, {"item_id": "tea", "price": 3}, {"item_id": "new"}],
                         table="items")

    assert (first.received, first.stored, first.duplicate, dict(first.reasons)) == (4, 3, 0, {"missing_key": 1})
    assert (second.received, second.stored, second.duplicate) == (3, 2, 1)
    table = shop.engine.run(shop.engine.table("items").order_by("item_id")).select(
        ["item_id", "price", "title", "brand", "props"]).to_pylist()
    assert [tuple(row.values()) for row in table] == [
        ("new", None, None, None, None), ("oil", Decimal("2.0000"), None, "Acme", None),
        ("tea", Decimal("3.0000"), "Tea", None, '{"size":"L"}')]


@pytest.mark.parametrize("table, rows", [
    ("items", [{"item_id": "tea", "price": 1}, {"item_id": "oil"}]), ("customers", [{"customer_id": "ann", "age": 4}]),
    ("stock", [{"item_id": "tea", "on_hand": 4, "lead_time": 2}]),
    ("campaigns", [{"campaign_id": "c", "start": "2026-10-01", "cost": 1}])])
def test_the_same_table_again_is_all_duplicates(shop, table, rows):
    first, again = shop.ingest(rows, table=table), shop.ingest(rows, table=table)

    assert (first.stored, first.duplicate) == (len(rows), 0)
    assert (again.stored, again.duplicate) == (0, len(rows))
    assert shop.engine.run(shop.engine.table(table)).num_rows == len(rows)


rows_of_a_table = st.lists(st.fixed_dictionaries({"item_id": st.sampled_from("abc")}, optional={
    "title": st.sampled_from(["x", "y"]), "brand": st.sampled_from(["x", "y"])}), max_size=8)


@settings(deadline=None)
@given(old=rows_of_a_table, new=rows_of_a_table)
def test_a_row_changes_a_table_exactly_when_it_says_what_the_rows_before_did_not(old, new):
    schema = pa.schema([(name, pa.string()) for name in ("item_id", "title", "brand")])
    known, fresh = {}, 0
    for place, row in enumerate([*old, *new]):
        before = known.setdefault(row["item_id"], {})
        says = not before or any(before.get(name) != cell for name, cell in row.items())
        fresh += says and place >= len(old)
        before.update(row)

    tables = [pa.Table.from_pylist(rows, schema=schema) for rows in (old, new)]

    assert changed(tables[0], tables[1], "item_id") == fresh


# ---- a dry run


def test_a_dry_run_shows_the_first_rows_and_writes_nothing(shop):
    before = sorted(path for path in shop.path.rglob("*"))

    done = shop.preview([{**ANCHOR, "event_id": str(n)} for n in range(30)] + [{**ANCHOR, "ts": None}])

    assert (done.received, done.stored, done.quarantined, done.lines, done.id) == (31, 30, 1, 30, None)
    assert done.preview.num_rows == 10
    assert done.preview["customer_id"][0].as_py().startswith("c_")
    assert sorted(path for path in shop.path.rglob("*")) == before


def test_a_dry_run_of_a_table_shows_rows_of_that_table(shop):
    done = shop.preview([{"item_id": "tea", "price": 2, "size": "L"}], table="items")

    assert done.preview.select(["item_id", "price", "props"]).to_pylist() == [
        {"item_id": "tea", "price": Decimal("2.0000"), "props": '{"size":"L"}'}]


def test_a_dry_run_refuses_what_an_import_would_refuse(shop, tmp_path):
    (tmp_path / "log.csv").write_text("")

    for act in (shop.preview, shop.ingest):
        with pytest.raises(BadInput, match=r"^there is no record to take in: log[.]csv is empty"):
            act(tmp_path / "log.csv")
        with pytest.raises(BadMapping, match="has no column 'cost'"):
            act([ANCHOR], Mapping(columns={"price": "cost"}, currency="EUR"))
