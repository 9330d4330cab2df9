from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.cleaning import Cleaner, Entrance
from shopkeeper.events.mapping import Mapping, plan
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.readers import from_arrow, from_records
from shopkeeper.events.schema import KINDS
from shopkeeper.simulate import Simulated, SimulationConfig, mess, simulate


@pytest.fixture(scope="module")
def shop() -> Simulated:
    return simulate(SimulationConfig(customers=80, items=50, days=30, seed=2))


def account(source) -> tuple[int, Counter]:
    """What an import accepts, and why it quarantines the rest; equal ids and bodies not yet compared."""
    accepted, reasons = 0, Counter()
    for batch in source:
        fitted = plan(Mapping(), batch.table.schema.names, "simulated")
        cleaned = Cleaner(fitted, Entrance(KINDS, Keys(bytes(32), bytes(32))), "simulated", 0).clean(batch)
        accepted += cleaned.events.num_rows
        reasons.update(cleaned.rejected["reason"].to_pylist())
    return accepted, reasons


def read_lines(path: Path) -> pa.Table:
    return pa.Table.from_pylist([json.loads(line) for line in path.read_text("utf-8").splitlines()])


@pytest.mark.parametrize("format, read", [("parquet", pq.read_table), ("csv", pcsv.read_csv), ("jsonl", read_lines)])
def test_each_format_holds_every_row_and_the_truth_beside_it(shop, tmp_path, format, read):
    paths = shop.write(tmp_path / "new" / "folder", format)

    events = read(paths[0])

    assert [path.name for path in paths] == [*(f"{name}.{format}" for name in ("events", "items", "customers")),
                                             "truth.json"]
    assert events.num_rows == shop.events.num_rows
    assert events["event_id"].to_pylist() == shop.events["event_id"].to_pylist()
    assert events["ts"].cast(pa.timestamp("us")).equals(shop.events["ts"])
    assert json.loads(paths[3].read_text(encoding="utf-8"))["records"] == shop.truth.records


def test_what_is_written_twice_is_the_same_to_the_byte(shop, tmp_path):
    one, two = shop.write(tmp_path / "one"), shop.write(tmp_path / "two")

    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_the_truth_in_json_names_each_customers_favourites_and_null_for_never(shop):
    told = json.loads(json.dumps(shop.truth.to_dict()))
    never = [one for one in told["customers"] if one["leaves"] is None]

    assert told["customers"][0]["favourites"] == list(shop.truth.favourites()[0])
    assert 0 < len(never) < 80
    assert len(told["items"]) == 50


def test_an_unknown_format_is_refused(shop, tmp_path):
    with pytest.raises(BadInput) as refusal:
        shop.write(tmp_path, "xml")

    assert str(refusal.value) == "'xml' is not a format that can be written.\n  Try:  one of: parquet, csv, jsonl"


def test_every_simulated_row_is_valid(shop):
    accepted, reasons = account(from_arrow(shop.events))

    assert accepted == shop.events.num_rows
    assert not reasons


@pytest.mark.parametrize("seed", [0, 1])
def test_the_planted_account_is_what_cleaning_finds(shop, seed):
    spoiled = mess(shop.events, seed, duplicates=0.05, broken=0.04)

    accepted, reasons = account(from_records(spoiled.records))
    planted = {reason: count for reason, count in spoiled.broken.items() if reason != "conflict"}

    assert reasons == planted
    assert min(planted.values()) >= 20
    assert accepted == spoiled.valid + spoiled.duplicate + spoiled.broken["conflict"]
    assert len(spoiled.records) == spoiled.valid + spoiled.duplicate + sum(spoiled.broken.values())


def test_a_duplicate_is_an_exact_repeat_and_a_conflict_has_another_body(shop):
    spoiled = mess(shop.events, 3, broken=0.02)
    spoils = {"missing_identity", "missing_item", "missing_time", "bad_time", "missing_currency", "unknown_kind",
              "negative_price", "conflict"}
    bodies: dict[tuple, list] = {}
    for one in spoiled.records:
        bodies.setdefault((one["event_id"], one["line"]), []).append(json.dumps(one, sort_keys=True))
    twice = [two for two in bodies.values() if len(two) > 1]

    assert set(spoiled.broken) == spoils
    assert {len(two) for two in twice} == {2}
    assert sum(one == two for one, two in twice) == spoiled.duplicate > 0
    assert sum(one != two for one, two in twice) == spoiled.broken["conflict"] > 0


def test_a_mess_is_the_same_for_a_seed_and_in_order_unless_shuffled(shop):
    in_order = mess(shop.events, 4, duplicates=0, broken=0, shuffle=False)

    assert mess(shop.events, 4) == mess(shop.events, 4)
    assert mess(shop.events, 4) != mess(shop.events, 5)
    assert [one["event_id"] for one in in_order.records] == shop.events["event_id"].to_pylist()
    assert in_order.valid == shop.events.num_rows
    assert in_order.broken == {}


def test_a_log_too_small_or_a_share_too_large_to_spoil_is_refused(shop):
    with pytest.raises(BadInput) as share:
        mess(shop.events, duplicates=0.5)
    with pytest.raises(BadInput) as small:
        mess(shop.events.slice(0, 30), broken=0.3)      # the first prices: nobody's events

    assert str(share.value) == "duplicates is 0.5; it must be between 0 and 0.3."
    assert str(small.value) == ("1 records are to be spoiled in one way, and only 0 can be.\n"
                                "  Try:  simulate more days")
