"""What is acknowledged is on disk, counts once, and is told as it will be counted."""

import errno
import json
import os
import random
import signal
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper import ledger
from shopkeeper.errors import Backlog, BadInput, NotWritten, ShopBusy
from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Collector, Limits
from shopkeeper.warehouse.journal import Disk
from warehouse.posted import NOW, account, folded, ids, opened, posted, told, view
from warm import warm


@pytest.fixture
def pair(tmp_path):
    shop, collector = opened(tmp_path / "shop")
    yield shop, collector
    collector.close()


def test_a_repeat_is_a_duplicate_and_another_body_a_conflict_before_and_after_it_is_durable_or_folded(pair):
    shop, collector = pair
    for after in (lambda: None, collector.flush, lambda: folded(shop, collector)):
        name = f"e{after}"
        assert told(collector.take(posted(view(name)))) == (1, 1, 0, 0)
        after()
        assert told(collector.take(posted(view(name), view(name, item_id="cup")))) == (2, 0, 1, 1)
        collector.flush()


def test_a_record_without_an_id_counts_as_often_as_its_request_has_it_and_once_however_often_that_is_sent(pair):
    shop, collector = pair
    nameless = {name: cell for name, cell in view("x").items() if name != "event_id"}
    for stored in (2, 0, 0):
        assert collector.take(posted(nameless, nameless, at=NOW + stored)).stored == stored
        collector.flush()
    assert folded(shop, collector) == (6, 2, 4, 0)
    assert collector.take(posted(nameless, nameless)).duplicate == 2


def test_a_file_that_came_before_makes_a_posted_event_a_duplicate(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([[view("e1")]])
    collector = Collector.open(shop)
    ticket = collector.take(posted(view("e1"), view("e2"), view("e1", item_id="cup")))
    assert [(one.index, one.outcome) for one in ticket.verdicts] == [(0, "duplicate"), (2, "quarantined")]
    assert [event.event_id for event in ticket.events] == ["e2"]
    collector.close()


def test_a_ticket_names_each_record_that_is_not_plainly_stored_with_its_reason(pair):
    _, collector = pair
    ticket = collector.take(posted(view("e1"), {"a": 1}, view("e2", ts="then"), 5))
    assert [(one.index, one.outcome, one.reason) for one in ticket.verdicts] == [
        (1, "quarantined", "missing_time"), (2, "quarantined", "bad_time"), (3, "quarantined", "not_object")]
    assert all(str(one.detail) for one in ticket.verdicts)


def test_a_second_collector_is_refused_and_told_who_has_the_journal(pair):
    shop, _ = pair
    with pytest.raises(ShopBusy, match="serve"):
        Collector.open(shop, wait=0)


@pytest.mark.parametrize("text", [b"{}", b"[", b"\xff", b"[1,]"])
def test_what_is_no_array_is_refused_and_nothing_of_it_is_taken(pair, text):
    _, collector = pair
    arrived = posted()
    with pytest.raises(BadInput):
        collector.take(type(arrived)(text, "http:shop", NOW))
    collector.flush()
    assert collector.pending.records == 0


def test_more_than_the_limits_allow_is_refused(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    collector = Collector.open(shop, Limits(request_bytes=500, request_records=2, waiting_bytes=300, pending_bytes=400))
    with pytest.raises(BadInput, match="500"):
        collector.take(posted(view("e" * 600)))
    with pytest.raises(BadInput, match="3 records"):
        collector.take(posted({"a": 1}, {"a": 1}, {"a": 1}))
    collector.take(posted(view("e1"), view("e2")))
    with pytest.raises(Backlog) as waiting:
        collector.take(posted(view("e3")))
    assert waiting.value.retry_after > 0
    collector.flush()
    with pytest.raises(Backlog, match="journal"):
        collector.take(posted(view("e3"), view("e4")))
    folded(shop, collector)
    assert collector.take(posted(view("e3"), view("e4"))).stored == 2
    collector.close()


class Failing(Disk):
    """A disk that fails at one of its calls, once it is told to."""

    def __init__(self, call, number):
        self.call, self.number, self.on = call, number, False

    def _maybe(self, call):
        if self.on and call == self.call:
            raise OSError(self.number, os.strerror(self.number))

    def create(self, path):
        self._maybe("create")
        return super().create(path)

    def write(self, number, data):
        self._maybe("write")
        return super().write(number, data[:7] if self.on else data)

    def sync(self, number):
        self._maybe("sync")
        super().sync(number)

    def sync_folder(self, path):
        self._maybe("sync_folder")
        super().sync_folder(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("call", "fresh"), [("write", False), ("sync", False), ("create", True), ("write", True),
                                             ("sync", True), ("sync_folder", True)])
def test_when_the_disk_fails_nothing_of_that_write_is_acknowledged_and_everything_before_stays(tmp_path, call, fresh,
                                                                                               number):
    shop, disk = Shop.open(tmp_path / "shop"), Failing(call, number)
    collector = Collector.open(shop, disk=disk)
    before = [] if fresh else ["kept"]
    if not fresh:
        collector.take(posted(view("kept")))
        collector.flush()
    disk.on = True
    failed = collector.take(posted(view("e1")))
    leaning = collector.take(posted(view("e1")))
    assert (failed.stored, leaning.duplicate) == (1, 1)
    with pytest.raises(NotWritten, match=os.strerror(number)):
        collector.flush()
    for ticket in (failed, leaning):
        assert not ticket.durable
        with pytest.raises(NotWritten):
            told(ticket)
    disk.on = False
    again = collector.take(posted(view("e1"), view("e2")))
    assert again.stored == 2
    collector.flush()
    assert again.durable
    folded(shop, collector)
    assert ids(shop) == sorted([*before, "e1", "e2"])
    collector.close()


def test_what_a_dead_server_acknowledged_is_found_by_the_next_and_by_whoever_opens_the_shop(tmp_path):
    shop, collector = opened(tmp_path / "shop")
    collector.take(posted(view("e1"), {"a": 1}))
    collector.take(posted({"item_id": "tea", "price": 2}, table="items"))
    collector.flush()
    collector.take(posted(view("lost")))
    collector._stack.close()  # as the kernel does it: nothing is sealed, the lock is free
    again = Collector.open(shop)
    assert (again.recovered.frames, again.recovered.records, again.recovered.notes()) == (2, 3, ())
    assert [event.event_id for event in again.replay()] == ["e1"]
    assert again.take(posted(view("e1"))).duplicate == 1
    again._stack.close()
    reader = Shop.open(tmp_path / "shop")
    assert ids(reader) == ["e1"]
    assert reader.unfolded().records == 0
    assert account(reader) == {("http:shop", "events"): (2, 1, 0, 1), ("http:shop", "items"): (1, 1, 0, 0)}


def test_the_account_counts_what_still_lies_in_the_journal(pair):
    _, collector = pair
    collector.take(posted(view("e1"), view("e1"), {"a": 1}))
    collector.flush()
    collector.take(posted(view("not durable")))
    found = ledger.account(Shop.open(collector.store.path)).table.to_pylist()
    assert [(row["received"], row["stored"], row["duplicate"], row["quarantined"]) for row in found] == [(3, 1, 1, 1)]


def test_positions_of_a_broker_become_durable_with_their_records(tmp_path):
    shop, collector = opened(tmp_path / "shop")
    collector.take(posted(view("e1"), source="redis:a", offsets={"redis:a": "5-0"}))
    assert collector.offsets == {}
    collector.flush()
    assert collector.offsets == {"redis:a": "5-0"}
    folded(shop, collector)
    assert collector.offsets == shop.manifest.offsets == {"redis:a": "5-0"}
    collector.take(posted(source="redis:a", offsets={"redis:a": "6-0"}))
    collector.flush()
    collector._stack.close()
    assert Collector.open(shop).offsets == {"redis:a": "6-0"}


def test_what_the_service_says_names_people_by_their_pseudonyms(pair):
    shop, collector = pair
    coded = shop.person("ann")
    collector.take(posted(view("shown", customer_id=coded), source="serve"))
    collector.flush()
    folded(shop, collector)
    assert shop.engine.run(shop.events())["customer_id"].to_pylist() == [coded]
    assert shop.now() == 0  # and it does not move the clock


NAMES = st.sampled_from(["a", "b", "c"])
RECORD = st.one_of(
    st.builds(view, NAMES), st.builds(view, NAMES, item_id=st.sampled_from(["tea", "cup"])),
    st.builds(view, NAMES, client_ts=st.just("2026-10-01T09:00:00Z"), ts=st.none()), st.just({"a": 1}), st.just(5),
    st.sampled_from(["tea", "cup"]).map(lambda item: {**view("x", item_id=item), "event_id": None}),
    st.builds(view, NAMES, colour=st.just("red")),
    NAMES.map(lambda name: {"event_id": name, "event": "purchase", "ts": "2026-10-01T09:00:00Z", "order_id": "o",
                            "currency": "EUR", "items": [{"item_id": "tea", "price": 2, "quantity": 1},
                                                         {"item_id": "cup"}]}))
REQUEST = st.tuples(st.lists(RECORD, min_size=1, max_size=6), st.sampled_from(["http:a", "http:b"]),
                    st.sampled_from(["nothing", "flush", "fold"]))


@settings(max_examples=bounded(6), deadline=None)
@example([([view("c")], "http:a", "fold"), ([view("c", item_id="cup"), view("c")], "http:a", "nothing")])
@given(st.lists(REQUEST, min_size=1, max_size=5))
def test_what_is_told_at_the_entrance_is_what_the_fold_counts(tmp_path_factory, requests):
    shop, collector = opened(tmp_path_factory.mktemp("shop") / "shop")
    tickets = []
    for records, source, then in requests:
        tickets.append((source, collector.take(posted(*records, source=source))))
        if then != "nothing":
            collector.flush()
        if then == "fold":
            folded(shop, collector)
    collector.flush()
    events = sum(len(ticket.events) for _, ticket in tickets)
    sums = {source: tuple(map(sum, zip(*(told(one) for who, one in tickets if who == source), strict=True)))
            for source, _ in tickets}
    folded(shop, collector)
    assert {source: counts for (source, _), counts in account(shop).items()} == sums
    assert events == sum(counts[1] for counts in sums.values())
    collector.close()


KILLS, POSTER = 20, "import sys; from warehouse.poster import main; main(*sys.argv[1:])"


@pytest.mark.slow
def test_twenty_kills_lose_nothing_that_was_acknowledged_and_count_nothing_twice(tmp_path):
    chance, acknowledged, sent = random.Random(7), set(), 0
    path = tmp_path / "shop"
    Shop.open(path)
    for _ in range(KILLS):
        process = warm().start(POSTER, path, sent, stdout=subprocess.PIPE)
        limit = chance.randrange(1, 60)
        for number, line in enumerate(process.stdout):
            acknowledged |= set(json.loads(line))
            if number >= limit:
                break
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout:  # what was written before the kill
            acknowledged |= set(json.loads(line)) if line.endswith(b"\n") else set()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        sent += 10_000
    shop = Shop.open(path)
    stored = ids(shop)
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    assert len(acknowledged) > KILLS
    assert all(entry.received == entry.stored + entry.duplicate + entry.quarantined for entry in shop.manifest.imports)
