"""The ledger against counts of the same log by plain Arrow and Python; every expression compiles to Spark SQL."""

from collections import Counter
from datetime import UTC
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shopkeeper import ledger
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events.schema import KINDS
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, mess, simulate
from shopkeeper.warehouse.engine import CompilingEngine

VIEW = {"event_id": "e1", "event": "view_item", "ts": "2026-10-01T10:00:00Z", "customer_id": "ann", "item_id": "tea"}
BUY = {**VIEW, "event": "purchase", "order_id": "o1", "currency": "EUR", "value": 5}
MADE = simulate(SimulationConfig(customers=60, items=40, days=40, seed=3))
SPOILED = mess(MADE.events, 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop.open(tmp_path_factory.mktemp("ledger") / "s", engine=CompilingEngine)
    text = (shop.path / "shop.toml").read_text("utf-8").replace('timezone = "UTC"', 'timezone = "Asia/Kolkata"')
    (shop.path / "shop.toml").write_text(text, "utf-8")
    shop = Shop.open(shop.path, engine=CompilingEngine)
    shop.ingest(SPOILED.records, received_at=MADE.truth.until, name="log")
    shop.ingest(MADE.items, table="items")
    return shop


@pytest.fixture(scope="module")
def rows(shop):
    return [row for segment in shop.manifest.segments for row in pq.read_table(shop.path / segment.file).to_pylist()]


def measures(answer):
    return {row["measure"]: row["detail"] if row["value"] is None else row["value"] for row in answer.table.to_pylist()}


def people(rows):
    return {row["customer_id"] or row["anonymous_id"] for row in rows} - {None}


def test_a_description_counts_what_a_plain_loop_counts(shop, rows):
    found = measures(ledger.describe(shop))

    assert found["events"] == sum(row["line"] == 0 for row in rows)
    assert found["event lines"] == len(rows) == SPOILED.valid
    assert found["people"] == len({one for one in people(rows) if not one.startswith("order:")})
    assert found["known customers"] == len({row["customer_id"] for row in rows} - {None})
    assert found["things"] == len({row["item_id"] for row in rows} - {None})
    assert found["orders"] == len({row["order_id"] for row in rows if row["event"] == "purchase"})
    assert found["order value"] == float(sum(row["value"] or 0 for row in rows if row["event"] == "purchase"))


def test_kinds_come_with_their_roles_and_their_people(shop, rows):
    heads = [row for row in rows if row["line"] == 0]
    counts = Counter(row["event"] for row in heads)

    found = ledger.describe(shop).parts["kinds"].to_pylist()

    assert {row["kind"]: (row["role"], row["events"], row["people"]) for row in found} == {
        kind: (KINDS[kind], count, len(people(row for row in heads if row["event"] == kind)))
        for kind, count in counts.items()}
    assert [row["events"] for row in found] == sorted(counts.values(), reverse=True)


def test_hours_and_days_are_those_of_the_shops_time_zone(shop, rows):
    local = [row["ts"].replace(tzinfo=UTC).astimezone(ZoneInfo("Asia/Kolkata")) for row in rows if row["line"] == 0]
    hours, days = Counter((one.weekday(), one.hour) for one in local), Counter(one.date() for one in local)

    parts = ledger.describe(shop).parts

    assert +Counter({(row["weekday"], row["hour"]): row["events"] for row in parts["hours"].to_pylist()}) == hours
    assert parts["hours"].num_rows == 7 * 24
    assert dict(zip(parts["days"]["day"].to_pylist(), parts["days"]["events"].to_pylist(), strict=True)) == days


def test_the_top_categories_are_the_first_steps_of_the_paths_by_events(shop, rows):
    top = {row["item_id"]: row["category"].split(">")[0].strip() for row in MADE.items.to_pylist()}
    counts = Counter(top[row["item_id"]] for row in rows if row["item_id"] in top)

    found = ledger.describe(shop).parts["categories"].to_pylist()

    assert {row["category"]: row["events"] for row in found} == dict(counts.most_common(10))


def test_guest_orders_are_counted_apart_from_people(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([BUY, {**BUY, "event_id": "e2", "order_id": "o2", "customer_id": None},
                 {**BUY, "event_id": "e3", "order_id": "o3", "customer_id": None}])

    found = measures(ledger.describe(shop))
    assert (found["people"], found["guest orders"], found["orders"], found["order value"]) == (1, 2, 3, 15)


def test_the_value_of_orders_is_that_of_purchases_and_each_currency_stands_for_itself(tmp_path):
    shop = Shop.open(tmp_path / "s", engine=CompilingEngine)
    shop.ingest([BUY, {**BUY, "event_id": "e2", "order_id": "o2", "currency": "CNY", "value": 70},
                 {**BUY, "event_id": "e3", "event": "refund", "value": 5},
                 {**BUY, "event_id": "e4", "event": "add_to_cart", "value": 99}])

    table = ledger.describe(shop).table.to_pylist()
    assert [(row["value"], row["detail"]) for row in table if row["measure"] == "order value"] == [
        (70.0, "CNY"), (5.0, "EUR")]
    assert next(row["value"] for row in table if row["measure"] == "orders") == 2


def test_events_later_than_their_receipt_are_pointed_out(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([VIEW, {**VIEW, "event_id": "e2", "ts": "2031-01-01"}], received_at=1_800_000_000_000_000)

    assert [str(note) for note in ledger.describe(shop).notes] == [
        "1 events carry a time later than their receipt; the shop's clock leaves them out."]


def test_the_account_is_the_planted_one_and_adds_up(shop):
    found = ledger.account(shop)
    first, second = found.table.to_pylist()

    assert (first["received"], first["stored"], first["duplicate"], first["quarantined"]) == (
        len(SPOILED.records), SPOILED.valid, SPOILED.duplicate, sum(SPOILED.broken.values()))
    assert (second["table"], second["stored"]) == ("items", MADE.items.num_rows)
    for row in (first, second):
        assert row["received"] == row["stored"] + row["duplicate"] + row["quarantined"]
    total = sum(row["received"] for row in (first, second))
    assert str(found.notes[0]).startswith(f"received {total:,} = stored ")


def test_the_quarantine_shows_reasons_lines_and_originals(shop):
    found = ledger.quarantine(shop, n=10_000)

    assert {row["reason"]: row["records"] for row in found.parts["reasons"].to_pylist()} == dict(SPOILED.broken)
    assert found.table.num_rows == sum(SPOILED.broken.values())
    keys = [(row["reason"], row["file"], row["line"]) for row in found.table.to_pylist()]
    assert keys == sorted(keys)
    one = ledger.quarantine(shop, reason="missing_time", n=1).table.to_pylist()[0]
    assert (one["field"], one["advice"]) == ("ts", "the record has no time.")
    assert SPOILED.records[one["line"] - 1]["event_id"] in one["record"]


def test_a_reason_that_no_record_has_is_refused(shop):
    with pytest.raises(UnknownName) as refusal:
        ledger.quarantine(shop, reason="ugly")

    reasons = ledger.quarantine(shop).parts["reasons"]["reason"].to_pylist()
    assert str(refusal.value) == (
        "nothing was quarantined for 'ugly'.\n"
        + "".join(f"  Try:  --reason {name}\n" for name in reasons[:5]) +
        "  Why:  reasons are counted over every import.")


def test_fewer_than_one_record_cannot_be_shown(shop):
    with pytest.raises(BadInput) as refusal:
        ledger.quarantine(shop, n=0)

    assert str(refusal.value) == "n is 0; it must be at least 1.\n  Try:  --n 10"


def test_every_expression_of_the_ledger_compiles_to_spark_sql(tmp_path):
    shop = Shop.open(tmp_path / "s", engine=CompilingEngine)
    shop.ingest([BUY])
    shop.ingest([{"item_id": "tea", "category": "a > b"}], table="items")
    shop.engine.compiled.clear()

    ledger.describe(shop)
    ledger.quarantine(shop)

    assert len(shop.engine.compiled) == 8
    assert all(sql.startswith(("SELECT", "WITH")) for sql in shop.engine.compiled)


def test_an_empty_shop_gives_empty_answers(tmp_path):
    shop = Shop.open(tmp_path / "s", engine=CompilingEngine)

    described = ledger.describe(shop)

    assert described.table.to_pylist() == [{"measure": "events", "value": 0.0, "detail": None},
                                           {"measure": "time zone", "value": None, "detail": "UTC"}]
    assert described.chart is None
    assert ledger.account(shop).table.num_rows == 0
    assert ledger.quarantine(shop).table.num_rows == 0


def test_an_import_answers_with_where_its_records_ended(tmp_path):
    shop = Shop.open(tmp_path / "s")
    records = [VIEW, VIEW, {**VIEW, "event_id": None, "ts": None, "stars": "x"}]

    dry, done = ledger.ingest(shop, [records], dry_run=True), ledger.ingest(shop, [records])

    assert done.table.to_pylist() == [{"outcome": "stored", "records": 1}, {"outcome": "duplicate", "records": 1},
                                      {"outcome": "missing_time", "records": 1}]
    assert str(done.title) == "received 3 = stored 1 + duplicate 1 + quarantined 1"
    assert [str(note) for note in done.notes] == [
        "mapped: event_id <- event_id, event <- event, ts <- ts, customer_id <- customer_id, item_id <- item_id",
        "kept in props: stars", "see why: shopkeeper quarantine SHOP"]
    assert "a dry run looks at the first 3 records of the sources, and not for duplicates." in map(str, dry.notes)
    assert str(dry.title) == "Dry run: nothing was written."
    assert dry.parts["preview"].num_rows == 2
    assert pc.sum(dry.table["records"]).as_py() == 3
    assert (dry.to_dict()["dry_run"], done.to_dict()["dry_run"]) == (True, False)


def test_a_reason_is_refused_by_a_command_that_works_where_nothing_was_quarantined(tmp_path):
    with pytest.raises(UnknownName, match="Try:  shopkeeper account SHOP"):
        ledger.quarantine(Shop.open(tmp_path / "s"), reason="ugly")


def test_an_account_by_what_there_is_not_is_refused(shop):
    with pytest.raises(BadInput, match="by is 'zzz'; it must be one of import, day, source, dialect"):
        ledger.account(shop, by="zzz")


def test_an_import_names_its_dialect_to_programs(tmp_path):
    calls = [{"type": "page", "messageId": "m", "anonymousId": "a", "timestamp": "2026-03-01T10:00:00Z"}]

    done = ledger.ingest(Shop.open(tmp_path / "s"), (calls,))

    assert done.to_dict()["dialects"] == {"table": "segment"}


@pytest.mark.parametrize("by", ["day", "source", "dialect"])
def test_the_account_by_day_source_or_dialect_adds_up_to_that_of_the_imports(tmp_path, by):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([VIEW, {**VIEW, "event_id": "e2", "item_id": None}], received_at=1_800_000_000_000_000, name="a")
    shop.ingest([VIEW, BUY], received_at=1_800_000_000_000_000 + 86_400_000_000, name="b")
    shop.ingest([{"item_id": "tea"}], table="items", received_at=1_800_000_000_000_000, name="b")
    counts = ("received", "stored", "duplicate", "quarantined", "lines")

    imports, rows = ledger.account(shop).table.to_pylist(), ledger.account(shop, by=by).table.to_pylist()

    assert {name: sum(row[name] for row in rows) for name in counts} == {
        name: sum(row[name] for row in imports) for name in counts}
    assert [(row["id"], row["table"], row["received"]) for row in rows] == {
        "day": [("2027-01-15", "events", 2), ("2027-01-16", "events", 2), ("2027-01-15", "items", 1)],
        "source": [("a", "events", 2), ("b", "events", 2), ("b", "items", 1)],
        "dialect": [("columns", "events", 4), ("columns", "items", 1)]}[by]
    assert ledger.account(shop, by=by).cells()[0][0] == by
