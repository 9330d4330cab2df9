"""Beside a server: what rings, once and not again after a restart; deliveries, tried again and given up."""

import json
from datetime import timedelta

import pytest

from shopkeeper import trends
from shopkeeper.errors import BadInput
from shopkeeper.shop import Shop
from shopkeeper.trends import Rule, kept
from shopkeeper.trends.live import GRACE, MOST_TRIES, WAITS, Watcher
from shopkeeper.words import say
from trends.made import DAY, HOUR, MINUTE, MONDAY, event, micros, shop_at, steady

END = MONDAY + timedelta(days=40)
NOW = micros(END) + GRACE


@pytest.fixture(scope="module")
def flooded(tmp_path_factory):
    """Forty quiet days and three hours with ten times as much, and a rule that sees it."""
    log = steady(40, extra=lambda at: 30 if at >= END - timedelta(hours=3) else 0)
    shop = shop_at(tmp_path_factory.mktemp("live") / "shop", log)
    trends.save_alert(shop, "views", within=14, rule=Rule(kind="page_view", webhook="https://example.com/x"))
    return shop


def test_what_rings_now_rings_once_and_not_again_after_a_restart(flooded, copy_of):
    shop = copy_of(flooded)
    watcher = Watcher(shop)

    first, again = watcher.tick(NOW), watcher.tick(NOW + MINUTE)
    restarted = Watcher(Shop.open(shop.path)).tick(NOW + 2 * MINUTE)

    assert [(one.rule, one.ring.side, one.ring.counted) for one in first] == [("views", "high", 33.0)]
    assert again == restarted == []
    listed = trends.alerts(Shop.open(shop.path))
    assert listed.table["fired"].to_pylist() == [1]
    assert listed.parts["firings"].to_pylist()[0]["counted"] == 33.0


def test_one_that_only_looks_on_keeps_nothing(flooded, copy_of):
    shop = copy_of(flooded)

    assert len(Watcher(shop, keeps=False).tick(NOW)) == 1
    assert kept.firings(Shop.open(shop.path)) == []


def test_it_rings_for_what_the_question_says_rings(flooded, copy_of):
    shop = copy_of(flooded)
    live = Watcher(shop).tick(NOW)

    asked = trends.firing(shop, until=END).firings

    assert [one.ring for one in live] == [one.ring for one in asked]


def test_a_fold_is_seen_and_buckets_in_between_are_judged(flooded, copy_of):
    shop = copy_of(flooded)
    watcher = Watcher(shop)
    watcher.tick(NOW - 10 * HOUR)  # before the flood
    shop.ingest([[event(10**6 + n, at=END + timedelta(minutes=n / 10)) for n in range(600)]])
    watcher.after_fold(shop)

    rung = watcher.tick(NOW + HOUR)

    assert [one.ring.until for one in rung] == [micros(END) - HOUR]  # the second odd hour; then it is quiet for a while
    assert watcher.lately(NOW)["page_view"][1] >= 20


def test_a_log_that_stands_still_is_a_silence_by_the_machine_s_clock(tmp_path):
    shop = shop_at(tmp_path / "shop", steady(40))
    trends.save_alert(shop, "tracker", within=14, rule=Rule(detector="silence"))
    watcher = Watcher(shop)

    rung = [firing for hour in range(12) for firing in watcher.tick(NOW + hour * HOUR)]

    assert [one.ring.side for one in rung] == ["low", "low"]  # and again after the cool-down of six hours
    assert rung[0].ring.since == micros(END)
    assert NOW + 3 * HOUR <= rung[0].ring.until + GRACE <= NOW + 6 * HOUR
    assert str(rung[0].sentence()).startswith("tracker: 0 events of everything since 2026-04-11 00:00.")


def test_minutes_have_a_baseline_of_their_own(tmp_path):
    shop = shop_at(tmp_path / "shop", steady(40, per_hour=12))
    trends.save_alert(shop, "quarters", within=14, rule=Rule(minutes=15, detector="silence"))
    watcher = Watcher(shop)

    rung = [firing for quarter in range(8) for firing in watcher.tick(NOW + quarter * 15 * MINUTE)]

    assert len(rung) == 1
    assert rung[0].ring.until % (15 * MINUTE) == 0
    assert rung[0].ring.expected == pytest.approx((rung[0].ring.until - micros(END)) / HOUR * 12, rel=0.2)


def test_a_burst_rings_once_a_person_and_an_old_one_that_is_imported_does_not(tmp_path):
    calm = [event(n, "refund", MONDAY + timedelta(hours=12 * n)) for n in range(80)]
    shop = shop_at(tmp_path / "shop", calm)
    trends.save_alert(shop, "refunds", within=14, rule=Rule(kind="refund", detector="burst", above=3))
    watcher = Watcher(shop)
    assert watcher.tick(NOW) == []

    def burst(who, at):
        first = 10**5 * len(who) + at.day * 100
        return [event(first + n, "refund", at + timedelta(minutes=n), customer_id=who) for n in range(6)]

    shop.ingest([burst("old", END - timedelta(days=5)) + burst("new", END)])
    watcher.after_fold(shop)
    rung = watcher.tick(NOW + 10 * MINUTE)
    shop.ingest([[event(999_999, "refund", END + timedelta(minutes=9), customer_id="new")]])

    assert [(one.ring.who, one.hint, one.ring.counted) for one in rung] == [(shop.person("new"), True, 4.0)]
    assert watcher.tick(NOW + 12 * MINUTE) == []
    assert Watcher(Shop.open(shop.path)).tick(NOW + 13 * MINUTE) == []


class Receiver:
    """Takes deliveries; the first few fail."""

    def __init__(self, fails=0, refusal=None):
        self.fails, self.refusal, self.got = fails, refusal, []

    def __call__(self, url, body, name):
        self.got.append((url, json.loads(body), name))
        if self.refusal is not None:
            raise self.refusal
        return "answered 503" if len(self.got) <= self.fails else None


def test_a_delivery_says_everything_and_is_tried_again_until_it_is_taken(flooded, copy_of):
    shop, receiver = copy_of(flooded), Receiver(fails=2)
    watcher = Watcher(shop)
    firing = watcher.tick(NOW)[0]

    assert watcher.waiting == 1
    tried = [len(watcher.deliver(receiver, NOW + after)) for after in (
        0, 1, WAITS[0], WAITS[0] + 1, WAITS[0] + WAITS[1], WAITS[0] + WAITS[1] + DAY)]

    assert tried == [1, 0, 1, 0, 1, 0]
    url, body, name = receiver.got[0]
    assert (url, name, body["id"]) == ("https://example.com/x", firing.id, firing.id)
    assert {"rule": "views", "counted": 33.0, "side": "high", "hint": None}.items() <= body.items()
    assert body["low"] < body["expected"] < body["high"]
    assert "In the past it rang" in body["text"]
    row = trends.alerts(Shop.open(shop.path)).parts["firings"].to_pylist()[0]
    assert (row["tries"], row["fault"]) == (3, None)
    assert row["delivered"] is not None


def test_a_delivery_is_given_up_in_the_end_and_goes_on_after_a_restart_until_then(flooded, copy_of):
    shop, receiver = copy_of(flooded), Receiver(fails=99)
    watcher, now = Watcher(shop), NOW
    watcher.tick(now)
    for wait in WAITS[:2]:
        watcher.deliver(receiver, now)
        now += wait
    watcher = Watcher(Shop.open(shop.path))
    for wait in (*WAITS[2:], DAY, DAY):
        watcher.deliver(receiver, now)
        now += wait

    assert len(receiver.got) == MOST_TRIES
    assert len({name for _, _, name in receiver.got}) == 1
    assert watcher.waiting == 0
    row = trends.alerts(Shop.open(shop.path)).parts["firings"].to_pylist()[0]
    assert (row["tries"], row["fault"], row["delivered"]) == (MOST_TRIES, "answered 503", None)


def test_an_address_that_is_refused_is_not_tried_again(flooded, copy_of):
    shop, receiver = copy_of(flooded), Receiver(refusal=BadInput(say("no webhook may go there.")))
    watcher = Watcher(shop)
    watcher.tick(NOW)

    done = watcher.deliver(receiver, NOW)

    assert (done[0].tries, done[0].fault) == (MOST_TRIES, "no webhook may go there.")
    assert watcher.deliver(receiver, NOW + DAY) == []


def test_while_somebody_else_writes_what_rings_is_told_and_kept_later(flooded, copy_of, monkeypatch):
    shop = copy_of(flooded)
    watcher = Watcher(shop)
    monkeypatch.setattr(kept, "WAIT", 0.0)
    with shop.store.write("another"):
        assert len(watcher.tick(NOW)) == 1
    assert kept.firings(Shop.open(shop.path)) == []

    assert watcher.tick(NOW + MINUTE) == []

    assert len(kept.firings(Shop.open(shop.path))) == 1


def test_firings_are_kept_up_to_a_bound(flooded, copy_of, monkeypatch):
    shop = copy_of(flooded)
    firing = Watcher(shop).tick(NOW)[0]
    monkeypatch.setattr(kept, "MOST_FIRINGS", 3)
    for n in range(5):
        ring = trends.Ring(n, n + HOUR, "high", 1.0, 1.0, 0.0, 1.0, "threshold")
        kept.record(shop, [kept.Fired(trends.Firing(f"r{n}", firing.what, ring, 0.0, False))])

    assert len(kept.firings(shop)) == 3


def test_a_rule_that_is_removed_or_changed_is_heeded_at_once(flooded, copy_of):
    shop = copy_of(flooded)
    watcher = Watcher(shop)
    trends.remove_alert(shop, "views")

    assert watcher.tick(NOW) == []
    assert watcher.rules == 0
