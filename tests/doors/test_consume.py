"""A Redis stream is read into a shop, each entry once, from a real Redis; what cannot be read is set aside."""

import json
import subprocess
import sys
import threading

import pytest

from faults.broker import Redis
from faults.harness import check_account, free_port, stored_ids, wait_for
from shopkeeper import ledger
from shopkeeper.doors import streams
from shopkeeper.doors.feeds import Consumer, Feed
from shopkeeper.doors.streams import Position, Stream, checked
from shopkeeper.errors import BadInput
from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Collector
from warm import warm

VIEW = {"event": "view_item", "customer_id": "ann", "item_id": "i1"}


@pytest.fixture(scope="module")
def one_redis(tmp_path_factory):
    made = Redis(tmp_path_factory.mktemp("redis"))
    yield made
    made.stop()


@pytest.fixture
def broker(one_redis):
    one_redis.client.flushall()
    return one_redis


def consumed(shop, broker, stream="clicks", *, more=()):
    """What `shopkeeper consume --once` says on stdout (as data) and on stderr."""
    done = warm().run(None, "consume", shop, "--redis", broker.url, "--stream", stream, "--once", "--json", *more,
                      env={"LC_ALL": "C.UTF-8"})
    assert done.returncode in (0, 2), done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def collector(tmp_path):
    made = Collector.open(Shop.open(tmp_path / "shop"))
    yield made
    made.close()


def drained(collector, broker, stream="clicks", **settings):
    """Read what there is in this process; the consumer's state, and what it said."""
    said = []
    consumer = Consumer(collector, Feed(broker.url, stream, **settings), told=lambda one: said.append(str(one)))
    consumer.run(threading.Event(), once=True)
    return consumer.state, said


@pytest.mark.outside
def test_flat_fields_and_json_are_events_and_each_entry_counts_once(tmp_path, broker):
    entry = broker.add(**VIEW)
    broker.add(event=json.dumps({**VIEW, "event_id": "own", "item_id": "i2"}))
    broker.add(data=json.dumps({**VIEW, "event_id": "own", "item_id": "i2"}))

    first, _ = consumed(tmp_path / "shop", broker)
    again, _ = consumed(tmp_path / "shop", broker)

    assert first == {"stream": "clicks", "read": 3, "stored": 2, "duplicate": 1, "quarantined": 0, "missed": 0}
    assert again["read"] == 0
    shop = Shop.open(tmp_path / "shop")
    assert stored_ids(shop) == sorted(["own", f"redis:clicks:{entry}"])
    check_account(shop)


@pytest.mark.outside
def test_broken_entries_are_set_aside_with_a_reason_and_stop_nobody(tmp_path, broker):
    broken = [{b"data": b"no json"}, {b"data": b"[1, 2]"}, {b"data": b'{"a": NaN}'}, {b"data": b"[" * 9000},
              {b"event": b"\xff\xfe"}, {b"\xff": b"\x00"}, {b"event": b"unheard_of"},
              {b"data": b'{"event": "view_item", "x": "' + b"y" * (3 << 20) + b'"}'}]
    for fields in broken:
        broker.client.xadd("clicks", fields)
        broker.add(**VIEW)

    told, _ = consumed(tmp_path / "shop", broker)

    shop = Shop.open(tmp_path / "shop")
    assert (told["read"], told["stored"], told["quarantined"]) == (2 * len(broken), len(broken), len(broken))
    reasons = {row["reason"] for row in ledger.quarantine(shop).parts["reasons"].to_pylist()}
    assert {"missing_kind", "unknown_kind", "too_large"} <= reasons
    check_account(shop)


@pytest.mark.outside
def test_the_reading_goes_on_behind_what_is_durable_and_not_behind_what_was_taken(collector, broker):
    ids = [broker.add(**VIEW) for _ in range(30)]
    consumer = Consumer(collector, Feed(broker.url, "clicks", count=10), take=collector.take)

    with broker.client as client:
        entries = consumer._entries(client, Position(), None)
        consumer._handed_over(entries, Position(), threading.Event())
    assert dict(collector.offsets) == {}

    collector.flush()
    assert Position.of(collector.offsets["redis:clicks"]).id == ids[9]
    state, _ = drained(collector, broker)
    assert (state.read, state.stored) == (20, 20)


@pytest.mark.outside
def test_entries_that_were_trimmed_before_they_were_read_are_counted_and_said(collector, broker):
    for _ in range(10):
        broker.add(**VIEW)
    drained(collector, broker)
    for _ in range(50):
        broker.add(**VIEW)
    broker.client.xtrim("clicks", maxlen=20, approximate=False)

    state, said = drained(collector, broker)

    assert (state.read, state.missed, state.lag) == (20, 30, 0)
    assert any("30 entries of clicks were trimmed" in one for one in said)
    again, said = drained(collector, broker)
    assert again.missed == 30
    assert not any("trimmed" in one for one in said)


@pytest.mark.outside
def test_entries_that_were_deleted_from_the_middle_are_counted_once_all_is_read(collector, broker):
    drained(collector, broker)
    broker.add(**VIEW)
    drained(collector, broker)
    ids = [broker.add(**VIEW) for _ in range(9)]
    broker.client.xdel("clicks", *ids[3:6])

    state, said = drained(collector, broker)

    assert (state.read, state.missed) == (6, 3)
    assert any("3 entries" in one for one in said)


@pytest.mark.outside
def test_what_was_gone_before_the_first_reading_is_said_and_not_counted_as_lost(collector, broker):
    for _ in range(10):
        broker.add(**VIEW)
    broker.client.xtrim("clicks", maxlen=4, approximate=False)

    state, said = drained(collector, broker)

    assert (state.read, state.missed) == (4, 0)
    assert any("6 entries of clicks had gone before" in one for one in said)


@pytest.mark.outside
def test_a_stream_that_was_made_anew_is_read_from_its_first_entry(collector, broker):
    broker.client.xadd("clicks", VIEW, id="5000-1")
    drained(collector, broker)
    broker.client.delete("clicks")
    broker.client.xadd("clicks", {**VIEW, "ts": "2026-01-01T10:00:00Z"}, id="7-0")

    state, said = drained(collector, broker)

    assert state.read == 1
    assert any("made anew" in one for one in said)


@pytest.mark.outside
def test_a_stream_nobody_has_made_yet_is_waited_for(collector, broker):
    stop = threading.Event()
    consumer = Consumer(collector, Feed(broker.url, "clicks", block=0.05))
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    wait_for(lambda: consumer.state.connected)
    broker.add(**VIEW)

    wait_for(lambda: consumer.state.stored == 1)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.outside
def test_when_redis_goes_away_the_reading_waits_and_goes_on_where_it_was(collector, tmp_path):
    broker, said, stop = Redis(tmp_path), [], threading.Event()
    broker.add(**VIEW)
    consumer = Consumer(collector, Feed(broker.url, "clicks", block=0.05), told=lambda one: said.append(str(one)))
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: consumer.state.stored == 1)
        broker.stop()
        wait_for(lambda: not consumer.state.connected)
        broker.start()
        broker.add(**VIEW)
        wait_for(lambda: consumer.state.stored == 2)
    finally:
        stop.set()
        thread.join(10)
        broker.stop()

    assert sum("is away" in one for one in said) >= 1
    assert sum("reading clicks" in one for one in said) == 2


@pytest.mark.outside
def test_a_redis_that_refuses_is_a_refusal_and_shows_no_password(collector, broker):
    broker.client.set("text", "no stream")

    with pytest.raises(BadInput, match="refuses to read text"):
        drained(collector, broker, "text")
    with pytest.raises(BadInput) as refused:
        Consumer(collector, Feed(f"redis://me:secret@127.0.0.1:{broker.port}/0", "clicks")).run(threading.Event())
    assert "secret" not in str(refused.value)


@pytest.mark.outside
def test_without_redis_a_single_reading_is_refused(tmp_path):
    class Nowhere:
        url = f"redis://127.0.0.1:{free_port()}/0"

    told, _ = consumed(tmp_path / "shop", Nowhere)

    assert told["refusal"] == "BadInput"
    assert "cannot be reached" in told["what"]


@pytest.mark.outside
def test_a_missing_client_names_what_to_install(tmp_path):
    code = ("import sys; sys.modules['redis'] = None; from shopkeeper.doors.cli import main; "
            f"sys.exit(main(['consume', {str(tmp_path / 'shop')!r}, '--stream', 's', '--json']))")

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert json.loads(done.stdout)["refusal"] == "MissingExtra"
    assert json.loads(done.stdout)["try"] == ["pip install 'shopkeeper[redis]'"]
    assert not (tmp_path / "shop").exists()


def test_a_position_survives_the_way_through_text():
    for position in (Position(), Position("5-1", 40, 2), Position("1700000000000-18446744073709551615", -1, 0)):
        assert Position.of(str(position)) == position
    assert Position.of(None) == Position.of("") == Position()


def test_ids_are_compared_as_numbers():
    assert streams.order("9-10") > streams.order("9-9") > streams.order("8-99")


@pytest.mark.parametrize("position, stream, lost, anew, before", [
    (Position("5-0", 5), Stream(0, 5, None, None, "5-0"), 0, False, 0),               # read to the end, all trimmed
    (Position("5-0", 5), Stream(0, 9, None, None, "9-0"), 4, False, 0),               # four came and went
    (Position("5-0", 5), Stream(3, 12, "10-0", "12-0", "12-0"), 4, False, 0),         # 6 to 9 are gone
    (Position("5-0", 5), Stream(7, 12, "6-0", "12-0", "12-0"), 0, False, 0),          # trimmed exactly to the position
    (Position("5-0", 5), Stream(9, 12, "4-0", "12-0", "12-0"), 0, False, 0),          # some of what was read is there
    (Position("5-0", 5), Stream(1, 1, "2-0", "2-0", "2-0"), 0, True, 0),              # smaller ids: another stream
    (Position("5-0", 5), Stream(1, 1, "9-0", "9-0", "9-0"), 0, True, 0),              # its count began anew
    (Position(), Stream(3, 12, "10-0", "12-0", "12-0"), 0, False, 9),                 # nothing was read yet
    (Position("5-0", -1), Stream(3, 12, "10-0", "12-0", "12-0"), 0, False, 0),        # never counted: nothing to say
    (Position("5-0", 5), Stream(3, -1, "10-0", "12-0", "12-0"), 0, False, 0),         # an old Redis does not count
])
def test_what_is_gone_is_told_from_what_was_read(position, stream, lost, anew, before):
    found = checked(position, stream)

    assert (found.lost, found.anew, found.before) == (lost, anew, before)
    assert found.position.missed == lost
    assert checked(found.position, stream).lost == 0


@pytest.mark.parametrize("text, wrong", [("[consume]\nstream = 5\n", "stream"), ("[consume]\nport = 1\n", "port"),
                                         ("[consume]\ncount = 0\nstream = 's'\n", "count"),
                                         ("[consume]\nredis = 'http://x'\nstream = 's'\n", "address")])
def test_settings_that_make_no_sense_are_refused(tmp_path, text, wrong):
    (tmp_path / "shop.toml").write_text(text)

    with pytest.raises(BadInput, match=wrong):
        Feed.read(tmp_path / "shop.toml")


def test_a_shop_may_name_its_stream(tmp_path):
    (tmp_path / "shop.toml").write_text("[shop]\n")
    assert Feed.read(tmp_path / "shop.toml") is None
    (tmp_path / "shop.toml").write_text('[consume]\nredis = "redis://u:p@h:1/0?x=y"\nstream = "clicks"\n')
    assert Feed.read(tmp_path / "shop.toml").shown == "redis://h:1/0"
