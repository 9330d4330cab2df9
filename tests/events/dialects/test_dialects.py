"""Every dialect: its sample is recognised, stored whole, and comes back by its own rows; a wrong guess is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shopkeeper import Shop
from shopkeeper.errors import BadMapping, UnknownName
from shopkeeper.events.dialects import DIALECTS, flat, recognise, translate, untranslate
from shopkeeper.events.dialects.base import Row
from shopkeeper.events.dialects.reading import rows_of
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


@pytest.mark.parametrize("path", [path for path in SAMPLES if not DIALECTS[of(path)].fast], ids=lambda path: path.name)
def test_what_a_dialect_can_write_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    dialect, compared = DIALECTS[of(path)], 0
    for record in records(path, tmp_path):
        ours = translate(dialect, record, dialect.state() if dialect.state else None)
        said = {row.ours.removeprefix("props."): row for row in dialect.fields}
        theirs = untranslate(dialect, ours)
        again = translate(dialect, flat(theirs), dialect.state() if dialect.state else None)
        for name, row in said.items():
            if name in ours and name in theirs_of(dialect, theirs) and row.write is None:
                assert str(again.get(name)) == str(ours[name]), (name, record)
                compared += 1
        items = zip(ours.get("items", ()), again.get("items", ()), strict=True) if "items" in theirs_of(
            dialect, theirs) else ()
        for one, other in items:
            assert {row.ours: str(one.get(row.ours)) for row in dialect.item if not row.ours.startswith("props.")} == {
                row.ours: str(other.get(row.ours)) for row in dialect.item if not row.ours.startswith("props.")}
    assert compared > 3


def theirs_of(dialect: Any, theirs: Row) -> set[str]:
    """The columns of ours that a written record speaks of."""
    names = set(flat(theirs)) | {"event_params." + one["key"] for one in theirs.get("event_params", [])}
    spoken = {row.ours.removeprefix("props.") for row in dialect.fields if row.theirs.partition("|")[0] in names}
    return spoken | ({"items"} if dialect.items is not None and dialect.items.partition("|")[0] in names else set())


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
    row = shop.engine.run(shop.engine.table("quarantine")).to_pylist()[0] if shop.engine.has("quarantine") else None
    assert row is None or "event_timestamp" in row["detail"]
