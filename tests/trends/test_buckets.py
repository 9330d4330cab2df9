"""Counts in memory: the whole log gives the same, whatever parts it came in, and it is what plain Python counts."""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import ibis
import numpy as np
import pytest

from shopkeeper.shop import Shop
from shopkeeper.trends import inputs
from shopkeeper.trends.buckets import Buckets
from shopkeeper.trends.rules import Series
from shopkeeper.trends.settings import Settings
from shopkeeper.warehouse.compaction import compact
from trends.made import DAY, HOUR, MONDAY, event, micros, shop_at

KINDS = ("page_view", "view_item", "purchase", "refund", "add_to_cart")
ITEMS = [{"item_id": name, "category": category} for name, category in (
    ("tea", "Food > Tea"), ("oil", "Food"), ("cup", "Home > Cups"), ("odd", "=cmd|' /C calc'!A0"))]


def log_of(n, seed, days=9):
    """Records over some days, a tenth of them late by days, in the order in which they are sent."""
    rng = random.Random(seed)
    made = []
    for number in range(n):
        at = MONDAY + timedelta(seconds=rng.uniform(0, days * 86_400) * (number / n) ** 0.5)
        if rng.random() < 0.1:
            at -= timedelta(days=rng.uniform(0, 3))
        kind = rng.choice(KINDS)
        more = {"item_id": rng.choice(["tea", "oil", "cup", "odd", "new"])} if kind != "page_view" else {
            "utm_medium": rng.choice(["email", "cpc", None]) or "x"}
        made.append(event(number, kind, at, **more))
    return made


def same(left, right):
    """The tables of both widths are equal, and so is the clock."""
    assert left.now == right.now
    for width in (1, 60):
        a, b = left.table(width), right.table(width)
        assert a.num_rows == b.num_rows
        assert a.equals(b), width


@pytest.mark.parametrize("seed", range(2))
def test_a_replay_gives_what_any_sequence_of_updates_gives(tmp_path, seed):
    rng, log = random.Random(seed), log_of(240, seed)
    shop, buckets = shop_at(tmp_path / "shop", items=ITEMS[:3]), Buckets(Settings(minutes_days=2, hours_days=7))
    while log:
        size = rng.randint(1, 60)
        part, log = log[:size], log[size:]
        shop.ingest([part + part[:2]])  # with some sent twice
        if rng.random() < 0.6:
            buckets.update(shop)
    buckets.update(shop)

    again = Buckets(Settings(minutes_days=2, hours_days=7))
    again.update(Shop.open(tmp_path / "shop"))

    same(buckets, again)
    assert buckets.table(1)["at"][0].cast("int64").as_py() >= buckets.now - 2 * DAY - HOUR


@pytest.mark.parametrize("between", [False, True])
def test_a_compaction_changes_no_count(tmp_path, between):
    shop, buckets = shop_at(tmp_path / "shop", items=ITEMS), Buckets()
    log = log_of(90, 7)
    for start in range(0, 90, 10):
        shop.ingest([log[start:start + 10]])
        if not (between and start > 40):
            buckets.update(shop)
    before = len(shop.manifest.segments)
    while compact(shop.store, shop.keys()) is not None:
        shop.refresh()
        buckets.update(shop)
    shop.ingest([[event(999, at=MONDAY)]])
    buckets.update(shop)

    assert len(shop.manifest.segments) < before
    again = Buckets()
    again.update(shop)
    same(buckets, again)
    counted = sum(buckets.table(60)["events"].to_pylist())
    assert counted == shop.manifest.events


def test_rows_that_are_gone_are_counted_no_more(tmp_path):
    shop = shop_at(tmp_path / "shop", *([event(n, at=MONDAY + timedelta(days=n))] for n in range(5)))
    buckets = Buckets()
    buckets.update(shop)

    with shop.store.write("test") as writer:
        kept = tuple(one for one in writer.manifest.segments if one.last < micros(MONDAY + timedelta(days=3)))
        writer.commit(replace(writer.manifest, segments=kept))
    shop.refresh()
    buckets.update(shop)

    again = Buckets()
    again.update(shop)
    same(buckets, again)
    assert sum(buckets.table(60)["events"].to_pylist()) == 3


def test_items_that_change_their_category_move_their_past_counts(tmp_path):
    shop, buckets = shop_at(tmp_path / "shop", log_of(60, 3), items=ITEMS[:2]), Buckets()
    buckets.update(shop)
    shop.ingest([[{"item_id": "tea", "category": "Drinks"}, {"item_id": "new", "category": "Food"}]], table="items")
    buckets.update(shop)
    shop.ingest([log_of(90, 4)[60:]])
    shop.ingest([[{"item_id": "oil", "category": "Drinks > Oil"}]], table="items")
    buckets.update(shop)

    again = Buckets()
    again.update(shop)
    same(buckets, again)
    assert set(buckets.table(60)["category"].to_pylist()) == {"", "Drinks", "Food"}


def test_a_change_of_category_and_a_compaction_at_once_are_both_seen(tmp_path):
    shop, buckets = shop_at(tmp_path / "shop", *([one] for one in log_of(30, 5)), items=ITEMS[:2]), Buckets()
    buckets.update(shop)
    assert compact(shop.store, shop.keys()) is not None
    shop.ingest([[{"item_id": "tea", "category": "Drinks"}]], table="items")
    buckets.update(shop)

    again = Buckets()
    again.update(shop)
    same(buckets, again)


def test_a_series_is_what_plain_python_counts(tmp_path):
    log = log_of(300, 11)
    shop, buckets = shop_at(tmp_path / "shop", log, items=ITEMS), Buckets()
    buckets.update(shop)
    start = micros(MONDAY) - 3 * DAY
    stored = shop.engine.run(shop.events()).to_pylist()
    kept = [row for row in stored if row["line"] == 0]

    def hours(rows, amount):
        counted = Counter()
        for row in rows:
            counted[(micros(row["ts"]) - start) // HOUR] += amount(row)
        return [counted[hour] for hour in range(12 * 24)]

    for series, rows, amount in (
            (Series("purchase"), [row for row in kept if row["event"] == "purchase"], lambda row: 1),
            (Series("purchase", measure="value"), [row for row in kept if row["event"] == "purchase"],
             lambda row: float(row["value"])),
            (Series(channel="email"), [row for row in kept if row["utm_medium"] == "email"], lambda row: 1),
            (Series(category="Food"), [row for row in stored if row["item_id"] in ("tea", "oil")], lambda row: 1),
            (Series(category="none there"), [], lambda row: 1)):
        expected = hours(rows, amount)
        found = buckets.series(series, 60, start, start + 12 * DAY)
        assert found.tolist() == pytest.approx(expected), series
        if series.category != "none there":
            read = inputs.read_series(shop, series, 60, start, start + 12 * DAY)
            assert np.array_equal(read, found), series


def test_bots_are_told_apart(tmp_path):
    shop = shop_at(tmp_path / "shop", [event(1), event(2)])
    table = shop.engine.run(inputs.cells(shop.events().mutate(traffic=_bot(shop)), None))

    assert sorted(table["human"].to_pylist()) == [0, 1]


def _bot(shop):
    return ibis.ifelse(shop.events().event_id == "e1", "bot", ibis.null("string"))


def test_a_width_that_is_kept_later_is_counted_from_the_whole_log(tmp_path):
    shop, buckets = shop_at(tmp_path / "shop", log_of(80, 2)), Buckets()
    buckets.update(shop)
    buckets.keep(15, 30)
    buckets.update(shop)
    start = micros(MONDAY) - 3 * DAY

    quarters = buckets.series(Series(), 15, start, start + 12 * DAY)

    assert np.array_equal(quarters.reshape(-1, 4).sum(axis=1), buckets.series(Series(), 60, start, start + 12 * DAY))
    with pytest.raises(KeyError):
        buckets.series(Series(), 20, start, start + DAY)


def test_memory_is_bounded_by_what_is_kept_and_not_by_the_log(tmp_path):
    settings = Settings(minutes_days=1, hours_days=7, categories=2)
    items = [{"item_id": f"i{n}", "category": f"hostile {n}"} for n in range(40)]
    log = [event(n, "view_item", MONDAY + timedelta(hours=n), item_id=f"i{n % 40}") for n in range(24 * 30)]
    shop, buckets = shop_at(tmp_path / "shop", log, items=items), Buckets(settings)
    buckets.update(shop)

    assert buckets.cells <= 24 * 8 + 24 * 2 + 4
    assert set(buckets.table(60)["category"].to_pylist()) == {"hostile 0", "hostile 1", "other"}


def test_an_empty_log_counts_nothing(tmp_path):
    shop, buckets = shop_at(tmp_path / "shop"), Buckets()
    buckets.update(shop)

    assert buckets.now == 0
    assert buckets.table(60).num_rows == 0
    assert buckets.series(Series("purchase"), 60, 0, DAY).tolist() == [0.0] * 24
