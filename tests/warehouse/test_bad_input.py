"""What a shop is handed in real life: a counted quarantine, or a refusal that says what to do; nothing by halves."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from shopkeeper.errors import BadInput, Refusal
from shopkeeper.events.mapping import Mapping
from shopkeeper.ledger import quarantine
from shopkeeper.shop import Shop

HEAD = "event_id,event,ts,customer_id,item_id,price,currency\n"
VIEW = {"event_id": "e1", "event": "view_item", "ts": "2026-10-01T10:00:00Z", "customer_id": "ann", "item_id": "tea"}


def line(**changes):
    return json.dumps({**VIEW, **changes})


def row(number, ts="2026-10-01", who="ann", item="tea", price="", currency=""):
    return f"e{number},view_item,{ts},{who},{item},{price},{currency}\n"


MANY = "\n".join(line(event_id=f"e{n}") for n in range(5_000)).encode()
# What is in the file, the account (received, stored), and why the rest is not stored.
TAKEN = {
    "cut.jsonl.gz": (gzip.compress(MANY)[:-200], None, {"truncated": 1}),
    "mark.csv": (("\ufeff" + HEAD + row(1)).encode(), (1, 1), {}),
    "wide.csv": (("\ufeff" + HEAD + row(1, item="茶")).encode("utf-16"), (1, 1), {}),
    "chinese.csv": ((HEAD + row(1, item="乌龙茶") * 3).encode("gb18030"), (3, 1), {}),
    "later.csv": ((HEAD + row(1) * 40_000).encode() + b"e2,view_item,2026-10-01,ann,\xff\xfe,,\n", (40_001, 1),
                  {"encoding": 1}),
    "bomb.jsonl": ((line() + "\n" + '{"a":' * 100_000 + "1" + "}" * 100_000).encode(), (2, 1), {"nested": 1}),
    "lists.jsonl": ((line() + "\n" + line(items="?").replace('"?"', "[" * 99_999 + "]" * 99_999)).encode(), (2, 1),
                    {"nested": 1}),
    "nul.csv": ((HEAD + row(1) + row(2, who="a\0nn")).encode(), (2, 1), {"nul": 1}),
    "nul.jsonl": ((line() + "\n" + line(event_id="e2", item_id="a\0")).encode(), (2, 1), {"nul": 1}),
    "surrogate.jsonl": ((line() + "\n" + line(event_id="e2", item_id="?").replace("?", "\\ud800")).encode(), (2, 1),
                        {"surrogate": 1}),
    "years.csv": ((HEAD + row(1, "1900-01-01") + row(2, "2100-01-01") + row(3)).encode(), (3, 1), {"bad_time": 2}),
    "negative.csv": ((HEAD + row(1, price="-0.01", currency="EUR") + row(2)).encode(), (2, 1), {"negative_price": 1}),
    "mixed.csv": ((HEAD + row(1, price="1", currency="EUR") + row(2, price="1", currency="USD")
                   + row(3, price="1")).encode(), (3, 2), {"missing_currency": 1}),
    "long.csv": ((HEAD + row(1, who="a" * 10_240) + row(2, item="t" * 10_240) + row(3)).encode(), (3, 1),
                 {"id_too_long": 2}),
    "twice.csv": ((HEAD + row(1) + row(1, item="oil") + row(1)).encode(), (3, 1), {"conflict": 1}),
    "unknown item.csv": ((HEAD + row(1, item="in no catalogue")).encode(), (1, 1), {}),
    "not.jsonl": ((line() + "\n[1]\n12\nhello\n{}\n").encode(), (5, 1), {"not_object": 2, "json": 1, "no_fields": 1}),
    "fields.csv": ((HEAD + row(1) + "e2,view_item\n" + row(3)).encode(), (3, 2), {"fields": 1}),
    "quote.csv": ((HEAD + row(1) + 'e2,view_item,2026-10-01,"ann,tea,,\n' + row(3)).encode(), (3, 2), {"quote": 1}),
}
REFUSED = {
    "empty.csv": (b"", "there is no record to take in: empty.csv is empty.\n"
                  "  Try:  look into the file, and export it again.\n"
                  "  Why:  an account of nothing would look as if all was well."),
    "header.csv": (HEAD.encode(), "there is no record to take in: header.csv has a header and no records.\n"
                   "  Try:  look into the file, and export it again.\n"
                   "  Why:  an account of nothing would look as if all was well."),
    "western.csv": ((HEAD + row(1, item="café crème")).encode("cp1252"),
                    "western.csv is neither UTF-8 nor UTF-16 nor GB18030.\n"
                    "  Try:  --encoding cp1252 (or the encoding that the file was saved with)\n"
                    "  Try:  Save it again as UTF-8\n"
                    "  Why:  the wrong encoding reads without an error and damages every name in the file."),
    "money.csv": (b"event,ts,customer_id,item_id,price\nview_item,2026-10-01,ann,tea,1\n",
                  "money.csv has money (price) and no currency.\n"
                  "  Try:  --currency EUR\n"
                  "  Try:  --map currency=THEIR_COLUMN\n"
                  "  Why:  money without a currency cannot be added up."),
    "dates.csv": ((HEAD + row(1, "01/02/2026")).encode(),
                  "01/02/2026 can be read as day/month or as month/day.\n"
                  "  Try:  --time-format '%d/%m/%Y'\n"
                  "  Try:  --time-format '%m/%d/%Y'\n"
                  "  Why:  a wrong guess would move events by months without a trace."),
}


@pytest.fixture
def shop(tmp_path):
    return Shop.open(tmp_path / "shop")


def file_of(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_damaged_is_quarantined_and_counted_and_the_rest_is_stored(shop, tmp_path, name):
    data, account, reasons = TAKEN[name]
    path = file_of(tmp_path, name, data)

    seen, done = shop.preview(path), shop.ingest(path)

    assert dict(done.reasons) == reasons
    assert done.received == done.stored + done.duplicate + done.quarantined
    assert account is None or (done.received, done.stored) == account
    assert shop.manifest.events == done.stored > 0
    assert (seen.received, seen.quarantined) == (done.received, done.quarantined - reasons.get("conflict", 0))
    told = quarantine(shop, n=100)
    assert told.table.num_rows == done.quarantined
    assert all(told.table["advice"].to_pylist())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_with_what_to_do_and_nothing_is_stored(shop, tmp_path, name):
    path = file_of(tmp_path, name, REFUSED[name][0])

    for act in (shop.preview, shop.ingest):
        with pytest.raises(Refusal) as refusal:
            act(path)
        assert str(refusal.value) == REFUSED[name][1]
    assert shop.store.manifest().imports == ()
    assert list((shop.path / "segments").glob("*")) == []


def test_a_bad_file_among_good_ones_stops_the_whole_import(shop, tmp_path):
    good = file_of(tmp_path, "a.csv", (HEAD + row(1)).encode())
    bad = file_of(tmp_path, "b.csv", REFUSED["money.csv"][0])

    with pytest.raises(Refusal, match="has money"):
        shop.ingest([good, bad])

    assert shop.store.manifest().events == 0
    assert shop.ingest([good]).stored == 1


def test_an_empty_file_among_good_ones_is_said(shop, tmp_path):
    done = shop.ingest([file_of(tmp_path, "a.csv", (HEAD + row(1)).encode()), file_of(tmp_path, "b.csv", b"")])

    assert done.stored == 1
    assert "b.csv is empty." in [str(note) for note in done.notes]


def test_what_came_through_a_cut_archive_is_stored_and_the_cut_is_said(shop, tmp_path):
    done = shop.ingest(file_of(tmp_path, "cut.jsonl.gz", TAKEN["cut.jsonl.gz"][0]))

    assert 4_000 < done.stored < 5_000
    assert "cut.jsonl.gz is cut short: only what came before was read." in [str(note) for note in done.notes]


def test_moments_written_in_many_ways_in_one_file_are_one_moment(shop):
    ways = ["2026-10-01T12:00:00+02:00", "2026-10-01 10:00", "2026-10-01T10:00:00.000Z", 1_790_848_800,
            1_790_848_800_000, 1_790_848_800_000_000, "20261001100000", "2026/10/01 10:00:00 UTC"]

    shop.ingest([{**VIEW, "event_id": str(n), "ts": ts} for n, ts in enumerate(ways)])

    times = shop.engine.run(shop.events())["ts"].to_pylist()
    assert times == [datetime(2026, 10, 1, 10)] * len(ways)


def test_the_hours_that_a_clock_repeats_or_leaves_out_are_stored_by_one_rule(shop):
    local = ["2026-03-29 02:30", "2026-10-25 02:30", "2026-10-25 03:30"]

    records = [{**VIEW, "event_id": str(n), "ts": ts} for n, ts in enumerate(local)]
    shop.ingest(records, Mapping(time_zone="Europe/Berlin"))

    assert shop.engine.run(shop.events())["ts"].to_pylist() == [
        datetime(2026, 3, 29, 1, 30), datetime(2026, 10, 25, 0, 30), datetime(2026, 10, 25, 2, 30)]


LARGE = 100 << 20
MEASURE = """
import resource, sys
from shopkeeper.shop import Shop
shop = Shop.open(sys.argv[1])
shop.ingest([{"event_id": "warm", "event": "view_item", "ts": "2026-10-01", "customer_id": "x", "item_id": "y"}])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = shop.ingest(sys.argv[2])
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, done)
"""


def test_a_line_of_100_mb_is_kept_whole_beside_the_quarantine_without_being_held_in_memory(tmp_path):
    block = b'"' + b"x" * (1 << 20)
    with (tmp_path / "log.jsonl").open("wb") as file:
        file.write(line().encode() + b"\n")
        for _ in range(100):
            file.write(block)
        file.write(b"\n" + line(event_id="e2").encode())

    said = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / "shop"), str(tmp_path / "log.jsonl")],
                          capture_output=True, text=True, check=True).stdout.split(maxsplit=2)

    shop = Shop.open(tmp_path / "shop")
    assert said[2] == "received 3 = stored 2 + duplicate 0 + quarantined 1\n"
    assert (int(said[1]) - int(said[0])) * 1024 < LARGE / 2
    (kept,), record = shop.manifest.large, quarantine(shop).table.to_pylist()[0]
    assert (shop.path / kept).stat().st_size >= 100 * len(block)
    assert (record["reason"], record["line"], len(record["record"])) == ("too_large", 2, 64 << 10)
    assert record["advice"].endswith(f" The whole record is in {kept}.")


def test_a_large_record_is_kept_as_it_came_stays_through_later_imports_and_goes_with_a_failed_one(shop, tmp_path):
    large = line(event_id="large", odd="ü" * (1 << 20)).encode()
    path = file_of(tmp_path, "log.jsonl", line().encode() + b"\n" + large + b"\n" + large)

    done = shop.ingest(path)
    shop.ingest([{**VIEW, "event_id": "e9"}])
    with pytest.raises(Refusal):
        shop.ingest([path, file_of(tmp_path, "bad.csv", REFUSED["money.csv"][0])])

    assert dict(done.reasons) == {"too_large": 2}
    assert [(shop.path / file).read_bytes().rstrip(b"\n") for file in shop.manifest.large] == [large, large]
    assert {f"quarantine/large/{one.name}" for one in (shop.path / "quarantine/large").iterdir()} == {
        *shop.manifest.large}


def test_a_dry_run_leaves_nothing_of_a_large_record(shop, tmp_path):
    path = file_of(tmp_path, "log.jsonl", line().encode() + b"\n" + b"{" + b"x" * (2 << 20))

    done = shop.preview(path)

    assert dict(done.reasons) == {"too_large": 1}
    assert not (shop.path / "quarantine").exists()


# ---- killed half-way


@pytest.fixture
def forker():
    here = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-m", "warehouse.forked"], cwd=here, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(here)}) as process:
        yield process
        process.stdin.close()


def import_killed_after(forker, shop, file, seconds):
    forker.stdin.write(json.dumps({"shop": str(shop), "file": str(file)}) + "\n")
    forker.stdin.flush()
    pid = int(forker.stdout.readline())
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    forker.stdin.write("\n")
    forker.stdin.flush()
    return forker.stdout.readline().strip()


def test_an_import_of_a_file_killed_at_any_moment_leaves_the_shop_as_before_or_as_after(forker, shop, tmp_path):
    rng = np.random.default_rng(7)
    large = line(event_id="large", odd="x" * (1 << 20))
    outcomes = Counter()
    for number in range(10):
        mine = [line(event_id=f"{number}-{n}", customer_id=f"p{n % 99}") for n in range(3_000)]
        path = file_of(tmp_path, f"{number}.jsonl", "\n".join([*mine, line(ts="never"), large]).encode())
        before = shop.store.manifest()

        outcomes[import_killed_after(forker, shop.path, path, float(rng.uniform(0.005, 0.2)))] += 1

        shop.refresh()
        after = shop.manifest
        shop.engine.run(shop.events().count())
        assert after.version in (before.version, before.version + 1)
        assert after.events - before.events == (3_000 if after.version > before.version else 0)
        done = shop.ingest(path)
        assert (done.received, done.quarantined) == (3_002, 2)
        assert done.stored == (0 if after.version > before.version else 3_000)
        named = {*shop.manifest.named(), *shop.manifest.retired, "manifest.json", "writer.lock", "shop.toml"}
        left = {one.relative_to(shop.path).as_posix() for one in shop.path.rglob("*") if one.is_file()} - named
        assert {one for one in left if not one.startswith("keys/")} == set()
    assert outcomes["killed"] >= 3
    assert len(shop.engine.run(shop.events())["event_id"].unique()) == shop.manifest.events == 30_000


def test_a_column_of_no_numbers_is_refused_before_it_counts_as_nothing(tmp_path):
    file = tmp_path / "odd.csv"
    file.write_text("event;ts;customer_id;item_id;order_id;price\n" + "".join(
        f"purchase;2026-01-01T10:00:00Z;ann;tea;o{n};forty-two\n" for n in range(30)))
    shop = Shop.open(tmp_path / "shop")

    with pytest.raises(BadInput) as refusal:
        shop.ingest(file, Mapping(currency="EUR"))

    assert str(refusal.value) == (
        "no cell of 'price' in odd.csv can be read as price; the first is 'forty-two'.\n"
        "  Try:  write numbers as 1234.56: a point for decimals, nothing between thousands.\n"
        "  Try:  rename the column in the file: what nobody mapped is kept as it is.\n"
        "  Why:  a column that was mapped and cannot be read would count as nothing.")
    assert shop.manifest.events == 0
