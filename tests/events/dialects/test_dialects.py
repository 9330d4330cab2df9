"""Every dialect: its sample is recognised, stored whole, and comes back by its own rows; a wrong guess is refused."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shopkeeper import Shop, ledger
from shopkeeper.errors import BadMapping, UnknownName
from shopkeeper.events.dialects import DIALECTS, Dialect, Field, flat, reading, recognise, translate, untranslate
from shopkeeper.events.dialects.base import NEVER, Row
from shopkeeper.events.dialects.reading import Reading, rows_of
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.readers import ReadOptions, open_source
from shopkeeper.events.schema import MAPPABLE

SAMPLES = sorted((Path(__file__).parent / "samples").iterdir())
NEEDS = {"woocommerce-orders": {"currency": "EUR"}}  # it says none


def of(path: Path) -> str:
    """The dialect of a sample: by its name."""
    return next(name for name in sorted(DIALECTS, key=len, reverse=True) if path.stem.startswith(name))


def records(path: Path, tmp_path: Path) -> Iterator[Row]:
    """The records of a sample as a reader gives them, split as its dialect splits them."""
    dialect = DIALECTS[of(path)]
    with open_source(path, spill=tmp_path, options=ReadOptions(header=dialect.headerless)) as source:
        for batch in source:
            for row in rows_of(batch.table):
                yield from [row] if dialect.split is None else dialect.split(row)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.open(tmp_path / "shop")


def test_every_dialect_has_a_sample() -> None:
    assert {of(path) for path in SAMPLES} == set(DIALECTS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_recognised_and_every_record_stored_and_accounted_for(path: Path, shop: Shop) -> None:
    from shopkeeper.events.mapping import Mapping

    done = shop.ingest(path, Mapping(**NEEDS.get(of(path), {})))
    assert dict(done.dialects) == {path.name: of(path)}
    assert (done.stored, done.quarantined) == (done.received, 0), dict(done.reasons)
    assert done.received >= 2
    again = shop.ingest(path, Mapping(**NEEDS.get(of(path), {})))
    assert (again.stored, again.duplicate) == (0, done.received)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_what_a_dialect_can_write_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    dialect, compared = DIALECTS[of(path)], 0
    there, back = (dialect.state() if dialect.state else None for _ in range(2))
    for record in records(path, tmp_path):
        ours = translate(dialect, record, there)
        theirs = untranslate(dialect, ours)
        again = translate(dialect, flat(theirs), back)
        for name in {"event", *written(dialect.fields)} & spoken(dialect, theirs) & set(ours):
            assert str(again.get(name)) == str(ours[name]), (name, record)
            compared += 1
        for one, other in zip(ours.get("items", ()), again.get("items", ()), strict="items" in spoken(dialect, theirs)):
            names = written(dialect.item) & set(one)
            assert {name: str(other.get(name)) for name in names} == {name: str(one[name]) for name in names}
    assert compared > 3


def written(rows: Sequence[Field]) -> set[str]:
    """The columns that rows can write."""
    return {row.ours.removeprefix("props.") for row in rows if row.write is not NEVER}


def spoken(dialect: Dialect, theirs: Row) -> set[str]:
    """The columns of ours that a written record speaks of."""
    names = set(flat(theirs)) | {"event_params." + one["key"] for one in theirs.get("event_params", [])}
    said = {row.ours.removeprefix("props.") for row in dialect.fields if row.theirs.partition("|")[0] in names}
    written_back = dialect.before is None or dialect.after is not None
    if written_back and dialect.kind is not None and dialect.kind.partition("|")[0] in names:
        said.add("event")
    return said | ({"items"} if dialect.items is not None and dialect.items.partition("|")[0] in names else set())


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_a_dialect_fills_columns_that_there_are(dialect: Any) -> None:
    from shopkeeper.events.schema import KINDS

    assert {row.ours for row in dialect.fields if not row.ours.startswith("props.")} <= set(MAPPABLE)
    assert set(dialect.kinds.values()) <= set(KINDS)
    assert dialect.documented.startswith("https://")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_speaks_one_dialect_whoever_else_is_known(path: Path, tmp_path: Path) -> None:
    with open_source(path, spill=tmp_path) as source:
        first = next(iter(source))
        rows = rows_of(first.table)
        assert recognise(source.columns, rows) is DIALECTS[of(path)]


def test_a_wrong_dialect_is_refused_by_the_name_of_the_field_that_is_missing(shop: Shop) -> None:
    sample = next(path for path in SAMPLES if path.stem == "segment")
    with pytest.raises(BadMapping) as refused:
        shop.ingest(sample, dialect="ga4-export")
    assert str(refused.value).splitlines()[0] == (
        "segment.jsonl is not in the dialect GA4 (BigQuery export): it has no field event_name.")
    assert shop.store.manifest().imports == ()


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_every_dialect_refuses_a_file_of_another_by_the_name_of_a_field(dialect: Dialect, shop: Shop, tmp_path: Path
                                                                        ) -> None:
    path = tmp_path / "other.csv"
    path.write_text("zeit,wer,was\n2026-09-03,ann,tea\n")
    with pytest.raises(BadMapping) as refused:
        shop.ingest(path, dialect=dialect.name)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"other.csv is not in the dialect {dialect.title}: it has no field ")
    assert first.removesuffix(".").rpartition(" field ")[2].split(" / ")[0] in {names[0] for names in dialect.marks}


def test_a_file_without_a_header_is_read_by_name_too_and_one_with_a_header_is_not_mistaken(shop: Shop, tmp_path: Path
                                                                                           ) -> None:
    path = tmp_path / "no-header.csv"
    path.write_text("1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n")
    assert shop.ingest(path, dialect="taobao-behavior").stored == 2
    path = tmp_path / "with-header.csv"
    path.write_text("user_id,item_id,category_id,behavior_type,timestamp\n2,2268318,2520377,pv,1511544070\n")
    done = shop.ingest(path)
    assert (dict(done.dialects), done.received, done.stored) == ({"with-header.csv": "taobao-behavior"}, 1, 1)


def test_a_field_of_theirs_never_hides_behind_one_that_a_row_fills() -> None:
    retail = DIALECTS["online-retail"]
    ours = translate(retail, {"Invoice": "1", "StockCode": "S", "Quantity": "1", "InvoiceDate": "2010-01-04",
                              "Price": "1", "Description": "tea", "title": "another", "event": "theirs"})
    assert (ours["title"], ours["online-retail.title"], ours["online-retail.event"]) == ("tea", "another", "theirs")


def test_records_that_each_have_names_of_their_own_stay_whole_in_bounded_memory() -> None:
    rows = [{"event_name": "scroll", "event_timestamp": "1790000000000000", "user_pseudo_id": "a", "event_date": "d",
             **{f"own_{n}_{k}": "x" for k in range(4)}} for n in range(3_000)]
    raw = RawBatch(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in
                   dict.fromkeys(name for row in rows[:50] for name in row)])), np.arange(3_000))
    table = Reading(DIALECTS["ga4-export"], "many").batch(raw).table
    assert table.num_rows == 3_000
    whole = reading._table(rows)
    assert whole.num_columns <= reading.MAX_COLUMNS + 1
    last = whole.slice(2_999).to_pylist()[0]
    inside = json.loads(last["more"]) if last["more"] else {}
    assert {name for name, value in {**last, **inside}.items() if value} >= set(rows[-1])


def test_a_function_that_stumbles_over_a_record_sets_it_aside(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text("Invoice,StockCode,Quantity,InvoiceDate,Price,Customer ID,Country\n"
                    "1,S,1,2010-01-04 10:00:00,1.00,7,UK\n1,S,x,2010-01-04 10:00:00,1.00,7,UK\n")
    done = shop.ingest(path)
    assert done.received == 2 == done.stored + done.quarantined


def test_an_unknown_dialect_is_refused_with_those_that_are_known(shop: Shop) -> None:
    with pytest.raises(UnknownName, match="is no dialect that is known"):
        shop.ingest(SAMPLES[0], dialect="klingon")


def test_a_file_with_our_columns_speaks_no_dialect(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "ours.csv"
    path.write_text("event,ts,customer_id,item_id\nview_item,2026-09-03T10:00:00Z,ann,tea\n")
    assert dict(shop.ingest(path).dialects) == {}


def test_whoever_says_how_to_read_a_file_is_believed(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "rr.csv"
    path.write_text("timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view_item,355908,\n")
    done = shop.ingest(path, {"customer_id": "visitorid", "ts": "timestamp", "item_id": "itemid"})
    assert dict(done.dialects) == {}
    assert done.stored == 1


def test_a_record_that_does_not_fit_is_set_aside_with_the_name_of_its_field(shop: Shop, tmp_path: Path) -> None:
    lines = next(path for path in SAMPLES if path.stem == "ga4-export").read_text("utf-8").splitlines()
    spoiled = json.loads(lines[0]) | {"event_timestamp": "yesterday"}
    path = tmp_path / "ga4.jsonl"
    path.write_text("\n".join([*lines, json.dumps(spoiled)]) + "\n", "utf-8")
    done = shop.ingest(path)
    assert (done.received, done.stored, dict(done.reasons)) == (len(lines) + 1, len(lines), {"dialect": 1})
    (row,) = ledger.quarantine(shop).table.to_pylist()
    assert (row["reason"], row["line"]) == ("dialect", len(lines) + 1)
    assert row["advice"].startswith("event_timestamp does not fit GA4 (BigQuery export): ")
