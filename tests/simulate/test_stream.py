"""A log that is never held whole: what it holds is counted again here, from its files, by plain code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.schema import EVENTS
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, StreamConfig, asked_for, simulate, sized, stream, write_stream
from shopkeeper.simulate.clients import CRAWLERS

SHOP = SimulationConfig(customers=120, items=90, days=30, seed=4)
SPOILED = StreamConfig(shop=SHOP, duplicates=0.03, disorder=0.08, bots=0.2)


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return pa.concat_tables(list(stream(SPOILED)))


@pytest.fixture(scope="module")
def made():
    one = stream(SPOILED)
    for _ in one:
        pass
    return one


@pytest.fixture(scope="module")
def rows(log) -> list[dict]:
    return log.to_pylist()


def test_a_stream_of_an_unspoiled_shop_is_the_whole_log():
    assert pa.concat_tables(list(stream(StreamConfig(shop=SHOP)))).equals(pa.concat_tables([simulate(SHOP).events]))


def test_machines_late_records_and_repeats_leave_what_people_do_as_it_is():
    spoiled = pa.concat_tables(list(stream(StreamConfig(shop=SHOP, duplicates=0.05, disorder=0.1))))
    whole = simulate(SHOP).events
    first = {}
    for one in spoiled.drop_columns(["received_at"]).to_pylist():
        first.setdefault((one["event_id"], one["line"]), one)

    assert [first[key] for key in sorted(first)] == whole.sort_by([("event_id", "ascending"), ("line", "ascending")]
                                                                  ).to_pylist()


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(format, tmp_path):
    small, other = (
        StreamConfig(shop=SimulationConfig(customers=30, items=20, days=10, seed=seed), duplicates=0.05, disorder=0.1,
                     bots=0.2) for seed in (7, 8))
    one, two, three = (write_stream(tmp_path / str(k), config, format).files
                       for k, config in enumerate((small, small, other)))
    tables = ("events", "items", "customers", "traffic")

    assert [path.name for path in one] == [*(f"{name}.{format}" for name in tables), "truth.json"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert one[0].read_bytes() != three[0].read_bytes()


def test_the_planted_counts_are_those_of_the_file_counted_by_plain_code(made, rows):
    seen, late, by_days, behind, twice, newest = set(), 0, 0, 0, 0, rows[0]["ts"]
    for one in rows:
        behind += one["ts"] < newest
        newest = max(newest, one["ts"])
        if (one["event_id"], one["line"]) in seen:
            twice += 1
            continue
        seen.add((one["event_id"], one["line"]))
        late += one["received_at"] - one["ts"] > timedelta(minutes=1)
        by_days += one["received_at"] - one["ts"] > timedelta(days=1)
    planted = made.planted

    assert (planted.valid, planted.duplicate) == (len(seen), twice)
    assert (planted.late, planted.late_by_days, planted.behind) == (late, by_days, behind)
    assert planted.lines == len(rows)
    assert planted.valid_events == sum(line == 0 for _, line in seen)
    assert planted.duplicate_events == sum(one["line"] == 0 for one in rows) - planted.valid_events
    assert sum(made.truth.records.values()) == planted.valid
    assert sum(made.truth.events.values()) == planted.valid_events


def test_the_shares_are_those_that_were_asked_for(made):
    planted = made.planted
    machines = sum(one["lines"] for one in made.traffic.counts().values())

    assert planted.duplicate_events == pytest.approx(0.03 * planted.valid_events, abs=1)
    assert planted.late_events == pytest.approx(0.08 * planted.valid_events, rel=0.1)
    assert 0.2 < planted.late_by_days / planted.late < 0.4
    assert machines == pytest.approx(0.2 * planted.valid, rel=0.05)


def test_a_duplicate_repeats_a_whole_earlier_event_exactly(rows):
    first, again = defaultdict(dict), defaultdict(list)
    for one in rows:
        lines = first[one["event_id"]]
        if one["line"] in lines:
            again[one["event_id"]].append(one)
        else:
            lines[one["line"]] = one

    assert len(again) > 50
    assert any(len(first[event]) > 1 for event in again)
    for event, copies in again.items():
        assert all(copy == first[event][copy["line"]] for copy in copies)
        assert len({Counter(copy["line"] for copy in copies)[line] for line in first[event]}) == 1


def test_a_log_is_in_order_of_arrival_and_the_lines_of_an_event_stay_together(rows):
    seen, newest, last = set(), rows[0]["received_at"], ("", 0)
    for one in rows:
        if one["line"] > 0:
            assert last == (one["event_id"], one["line"] - 1)
        elif one["event_id"] not in seen:
            assert one["received_at"] >= newest
            newest = one["received_at"]
        seen.add(one["event_id"])
        last = (one["event_id"], one["line"])
    assert any(one["received_at"].date() > one["ts"].date() for one in rows)


def test_the_columns_are_those_of_the_event_table(log):
    assert all(EVENTS.field(one.name).type == one.type for one in log.schema)
    assert log.schema.names[-3:] == ["user_agent", "ip_prefix", "received_at"]
    assert next(iter(stream(StreamConfig(shop=SHOP)))).schema == simulate(SHOP).events.schema


# ---- machines


@pytest.fixture(scope="module")
def sessions(made, rows) -> dict[str, list[dict[str, list[dict]]]]:
    """Kind -> the sessions of its machines: visitor, and rows by time; people's sessions under "people"."""
    kinds = {one["session_id"]: one["kind"] for one in made.traffic.sessions.to_pylist()}
    by_session, done = defaultdict(list), set()
    for one in rows:
        if one["session_id"] and (one["event_id"], one["line"]) not in done:
            done.add((one["event_id"], one["line"]))
            by_session[one["session_id"]].append(one)
    out = defaultdict(list)
    for name, one in by_session.items():
        out[kinds.get(name, "people")].append(sorted(one, key=lambda row: row["ts"]))
    return out


def pauses(session: list[dict]) -> np.ndarray:
    return np.diff([row["ts"].timestamp() for row in session if row["line"] == 0])


def test_every_session_of_a_machine_is_named_with_its_visitor_and_its_lines(made, sessions):
    told = {one["session_id"]: (one["anonymous_id"], one["lines"]) for one in made.traffic.sessions.to_pylist()}
    found = {one[0]["session_id"]: (one[0]["anonymous_id"], len(one)) for kind in ("list", "scraper", "burst", "slow")
             for one in sessions[kind]}

    assert found == told
    assert all(one[0]["customer_id"] is None for kind in sessions for one in sessions[kind] if kind != "people")


def test_crawlers_say_who_they_are_and_nobody_else_does(sessions):
    assert {row["user_agent"] for one in sessions["list"] for row in one} <= set(CRAWLERS)
    others = {row["user_agent"] for kind in ("people", "scraper", "burst", "slow") for one in sessions[kind]
              for row in one}
    assert others
    assert not others & set(CRAWLERS)


def test_a_scraper_walks_all_that_is_on_sale_in_order_without_pauses(sessions):
    assert len(sessions["scraper"]) >= 5
    for one in sessions["scraper"]:
        items = [row["item_id"] for row in one]
        assert len(items) >= 0.7 * SHOP.items
        assert items == sorted(items)
        assert pauses(one).max() < 1


def test_a_burst_is_many_visitors_of_one_device_and_country_within_an_hour(sessions):
    hits = [one[0] for one in sessions["burst"]]
    assert all(len(one) == 1 and one[0]["referrer"] is None for one in sessions["burst"])
    assert len({one["anonymous_id"] for one in hits}) == len(hits) > 100
    crowds = defaultdict(list)
    for one in hits:
        crowds[one["ts"].date(), one["device"], one["country"]].append(one["ts"])
    largest = max(crowds.values(), key=len)
    assert len(largest) >= 60
    assert max(largest) - min(largest) <= timedelta(hours=1)


def test_a_slow_one_pauses_like_a_person_but_evenly_and_never_has_a_cart(sessions):
    spread = [pauses(one).std() / pauses(one).mean() for one in sessions["slow"]]
    human = [pauses(one).std() / pauses(one).mean() for one in sessions["people"] if len(pauses(one)) > 8]

    assert len(spread) > 20
    assert all(15 < pauses(one).mean() < 50 for one in sessions["slow"])
    assert max(spread) < 0.1 < np.quantile(human, 0.01)
    assert {row["event"] for one in sessions["slow"] for row in one} == {"page_view", "view_item"}
    assert len({one[0]["anonymous_id"] for one in sessions["slow"]}) < len(spread)


def test_a_heavy_buyer_is_a_person_who_buys_more_than_nearly_everybody(made, rows):
    bought = Counter(one["customer_id"] for one in rows if one["event"] == "purchase" and one["item_id"])
    heavy = made.traffic.heavy

    assert len(heavy) == 1
    assert bought[heavy[0]] > 10 * np.median(list(bought.values()))
    assert made.traffic.sessions.filter(pc.is_null(made.traffic.sessions["anonymous_id"])).num_rows == 0


# ---- size


def test_the_size_in_events_is_met_within_a_twentieth():
    config = asked_for(200_000, {"duplicates": 0.02, "disorder": 0.05, "bots": 0.05}, {"days": 30, "items": 200})

    lines = sum(table.num_rows for table in stream(config))

    assert lines == pytest.approx(200_000, rel=0.05)


def test_where_the_customers_are_given_the_days_are_fitted():
    config = asked_for(60_000, {}, {"customers": 300, "items": 100})

    assert config.shop.customers == 300
    assert sum(table.num_rows for table in stream(config)) == pytest.approx(60_000, rel=0.1)


@pytest.mark.parametrize("call, text", [
    (lambda: StreamConfig(duplicates=0.4), "duplicates is 0.4; it must be between 0 and 0.3."),
    (lambda: StreamConfig(bots=-1), "bots is -1; it must be between 0 and 0.5."),
    (lambda: sized(StreamConfig(), 10), "events is 10; it must be between 1,000 and 10,000,000,000."),
    (lambda: asked_for(5_000, {}, {"customers": 3, "days": 3}),
     "events, customers and days are given, and any two of them decide the third.\n"
     "  Try:  leave one of the three out."),
])
def test_a_stream_that_makes_no_sense_is_refused(call, text):
    with pytest.raises(BadInput) as refusal:
        call()

    assert str(refusal.value) == text


@pytest.mark.parametrize("size", [{"customers": 1, "items": 1, "days": 1}, {"customers": 2, "items": 700, "days": 3},
                                  {"customers": 3, "items": 5, "days": 2, "timezone": "Asia/Shanghai"}])
def test_a_tiny_spoiled_stream_keeps_its_account(size):
    log = stream(StreamConfig(shop=SimulationConfig(**size), duplicates=0.3, disorder=0.5, bots=0.5))
    rows = [one for table in log for one in table.select(["event_id", "line"]).to_pylist()]

    assert len(rows) == log.planted.lines
    assert len({(one["event_id"], one["line"]) for one in rows}) == log.planted.valid


# ---- files


@pytest.mark.parametrize("format, read", [
    ("parquet", pq.read_table), ("csv", pcsv.read_csv),
    ("jsonl", lambda path: pa.Table.from_pylist([json.loads(one) for one in path.read_text("utf-8").splitlines()]))])
def test_each_format_holds_every_line_and_the_truth_beside_it(format, read, tmp_path, log, made):
    written = write_stream(tmp_path, SPOILED, format)
    events, truth = read(written.files[0]), json.loads((tmp_path / "truth.json").read_text("utf-8"))

    assert events["event_id"].to_pylist() == log["event_id"].to_pylist()
    assert events["ts"].cast(pa.timestamp("us")).equals(log["ts"])
    assert pc.sum(events["price"].cast(pa.float64())).as_py() == pytest.approx(float(pc.sum(log["price"]).as_py()))
    assert written.planted == made.planted
    assert truth["planted"]["valid"] == made.planted.valid
    assert truth["bots"] == made.traffic.counts()
    assert tuple(truth["heavy"]) == made.traffic.heavy
    assert truth["customers"] == json.loads(json.dumps(made.truth.to_dict()["customers"]))
    assert read(tmp_path / f"traffic.{format}").num_rows == made.traffic.sessions.num_rows


def test_an_import_stores_what_is_valid_and_counts_what_comes_twice(tmp_path, made):
    written = write_stream(tmp_path / "files", SPOILED)

    received = Shop.open(tmp_path / "shop").ingest(written.files[0])
    planted = made.planted

    assert (received.stored, received.duplicate, received.quarantined) == (planted.valid, planted.duplicate, 0)
    assert received.received == planted.lines


MEMORY = """
import resource, sys
from pathlib import Path
from shopkeeper.simulate import SimulationConfig, StreamConfig, write_stream
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
shares = dict(duplicates=.02, disorder=.05, bots=.05)
write_stream(Path(sys.argv[1]) / "short", StreamConfig(shop=SimulationConfig(customers=4000, days=8), **shares))
short = peak()
write_stream(Path(sys.argv[1]) / "long", StreamConfig(shop=SimulationConfig(customers=4000, days=64), **shares))
print(short, peak())
"""


@pytest.mark.slow
def test_a_log_eight_times_as_long_takes_hardly_more_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    short, long = map(float, done.stdout.split())

    assert pq.ParquetFile(Path(tmp_path) / "long" / "events.parquet").metadata.num_rows > 1_000_000
    assert long < short + 150      # MiB; the log itself is some 500 MiB in memory
