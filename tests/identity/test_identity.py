from datetime import UTC, datetime

import pyarrow.compute as pc
import pytest

from shopkeeper import Shop, identity, recommend
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events.pseudonyms import pseudonym
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.warehouse.sessions import person
from shopkeeper.warehouse.undo import undo


def event(n, minute, anonymous, customer=None, kind="view_item", **more):
    return {"event_id": f"e{n}", "event": kind, "ts": f"2026-10-01T{10 + minute // 60:02d}:{minute % 60:02d}:00Z",
            "item_id": "tea", "anonymous_id": anonymous, "customer_id": customer, **more}


LOG = [
    event(1, 0, "phone"), event(2, 1, "phone", "ann", "login"), event(3, 200, "phone"),      # ann's own
    event(4, 0, "till"), event(5, 1, "till", "ann"),                                          # a device of two people
    event(6, 100, "till"), event(7, 101, "till", "bob", "login"),
    event(8, 300, "till"),                                                                     # nobody was seen here
    event(9, 400, "till", "ann"), event(10, 401, "till", "bob"), event(11, 402, "till"),      # both in one session
    event(12, 0, "stranger"),
]


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    opened = Shop.open(tmp_path_factory.mktemp("identity") / "shop")
    opened.ingest(LOG)
    return opened


@pytest.fixture
def shop(laid, copy_of):
    return copy_of(laid)


@pytest.fixture
def compiling(shop):
    """The shop, with an engine that compiles every query to Spark SQL, too."""
    return Shop.open(shop.path, engine=CompilingEngine)


def who(shop):
    """Event -> its customer after the joins, under the names of the log."""
    names = {shop.person(name): name for name in ("ann", "bob", "cid")}
    rows = shop.engine.run(shop.events().select("event_id", "customer_id")).to_pylist()
    assert len(rows) == len(LOG)
    return {int(row["event_id"][1:]): names.get(row["customer_id"]) for row in rows}


def test_a_visitor_who_logs_in_is_that_customer_before_and_after(compiling):
    identity.join(compiling)

    assert [who(compiling)[n] for n in (1, 2, 3, 12)] == ["ann", "ann", "ann", None]


def test_on_a_shared_device_each_session_goes_to_its_own_customer_and_never_across(shop):
    identity.join(shop)

    found = who(shop)
    assert [found[n] for n in (4, 5, 6, 7)] == ["ann", "ann", "bob", "bob"]
    assert found[8] is None                                     # a session in which nobody was seen
    assert [found[n] for n in (9, 10, 11)] == ["ann", "bob", None]


def test_no_stored_event_changes_and_without_joins_nothing_is_filled(shop):
    before = shop.engine.run(shop.events().order_by("event_id"))
    files = [segment.file for segment in shop.manifest.segments]
    assert who(shop)[1] is None

    identity.join(shop)

    assert shop.engine.run(shop.events(joined=False).order_by("event_id")).equals(before)
    raw = Shop.open(shop.path, identity="raw")
    assert raw.engine.run(raw.events().order_by("event_id")).equals(before)
    assert [segment.file for segment in shop.manifest.segments] == files


def test_a_dry_run_writes_nothing_and_says_what_would_be_joined(shop):
    version = shop.manifest.version

    would = identity.join(shop, dry_run=True)

    assert shop.manifest.version == version
    assert [(row["status"], row["events"], row["evidence"]) for row in would.table.to_pylist()].count(
        ("would join", 1, "login")) == 1
    assert would.table.num_rows == 3
    assert identity.join(shop).table.num_rows == 3
    assert identity.join(shop).table.num_rows == 0              # the same again is nothing new


def test_a_join_that_was_split_stays_split_until_it_is_joined_by_hand(shop):
    identity.join(shop)

    assert identity.split(shop, "phone", dry_run=True).table["status"].to_pylist() == ["would split"]
    assert who(shop)[1] == "ann"
    assert identity.split(shop, "phone").table["status"].to_pylist() == ["split"]
    assert [who(shop)[n] for n in (1, 2, 3)] == [None, "ann", None]
    identity.join(shop)                                          # the log says it again, and is not believed
    assert who(shop)[1] is None
    identity.join(shop, anonymous="phone", customer="ann")
    assert who(shop)[1] == "ann"


def test_on_a_shared_device_one_customer_can_be_split_off(shop):
    identity.join(shop)

    identity.split(shop, "till", customer="bob")

    assert [who(shop)[n] for n in (4, 6, 7)] == ["ann", None, "bob"]


def test_a_join_by_hand_needs_no_event(shop):
    identity.join(shop, anonymous="stranger", customer="cid")

    assert who(shop)[12] == "cid"
    assert identity.of(shop, "cid").table["evidence"].to_pylist() == ["by hand"]


def test_the_report_counts_visitors_shared_devices_and_what_joins_find(compiling):
    shop = compiling
    identity.join(shop)
    identity.split(shop, "till", customer="bob")

    told = identity.report(shop)

    assert dict(zip(*(told.table[name].to_pylist() for name in ("measure", "value")), strict=True)) == {
        "visitors": 3, "of one customer": 1, "shared by several customers": 1, "joins undone": 1,
        "events without a customer": 7, "of these known by a join": 3}
    assert told.parts["shared"].to_pylist() == [
        {"anonymous_id": pseudonym("till", "anonymous_id", shop.keys().pseudonym), "customers": 2, "events": 4}]


def test_the_ids_of_a_customer_and_the_customers_of_an_id_are_told_with_their_evidence(compiling):
    shop = compiling
    identity.join(shop)
    till = pseudonym("till", "anonymous_id", shop.keys().pseudonym)

    assert sorted(identity.of(shop, "ann").table["evidence"].to_pylist()) == ["login", "other"]
    assert identity.of(shop, till).table["customer_id"].to_pylist() == sorted([shop.person("ann"), shop.person("bob")])
    with pytest.raises(UnknownName, match="nothing joins nobody to another id"):
        identity.of(shop, "nobody")


def test_half_a_join_and_a_split_of_nothing_are_refused(shop):
    with pytest.raises(BadInput, match="needs a visitor's id and a customer"):
        identity.join(shop, anonymous="phone")
    with pytest.raises(UnknownName, match="stranger is joined to no such customer"):
        identity.split(shop, "stranger")


def test_a_join_seen_later_is_not_known_before(shop):
    identity.join(shop)
    before = Shop.open(shop.path, as_of="2026-10-01T10:00:30Z")

    events = before.events()

    assert set(before.engine.run(events.select(who=person(events)))["who"].to_pylist()) == {
        pseudonym(name, "anonymous_id", shop.keys().pseudonym) for name in ("phone", "till", "stranger")}


def test_a_guests_order_is_no_visitor(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([event(1, 0, None, None, "purchase", order_id="o1", currency="EUR", value=1)])

    assert identity.report(shop).table["value"].to_pylist() == [0] * 6


def test_a_view_from_a_time_on_says_what_the_whole_says_and_reads_no_older_days(shop):
    shop.ingest([event(20, 0, "till"), event(21, 1, "till", "bob")])        # older days are there, too
    shop.ingest([{**event(30, 0, "till"), "ts": "2026-09-03T10:00:00Z"}])
    identity.join(shop)
    whole = shop.engine.run(shop.events().order_by("event_id"))

    for minute in (1, 7, 101, 401):
        start = int(datetime(2026, 10, 1, 10 + minute // 60, minute % 60, tzinfo=UTC).timestamp()) * 1_000_000
        later = whole.filter(pc.greater_equal(whole["ts"].cast("int64"), start))
        assert shop.engine.run(shop.events(start).order_by("event_id")).equals(later)
    asked = []
    shop.engine.events = lambda *span, events=shop.engine.events: asked.append(span) or events(*span)
    shop.events(start + 60_000_000 * 60 * 24)
    assert asked == [(int(datetime(2026, 10, 2, tzinfo=UTC).timestamp()) * 1_000_000, None)]


def test_what_comes_later_is_joined_as_it_comes_and_goes_with_its_import(shop):
    identity.join(shop)
    before = shop.engine.run(shop.engine.table("facts/identity"))
    came = shop.ingest([event(20, 2, "tablet", "ann"), event(21, 3, "tablet")])

    assert identity.of(shop, "ann").table.num_rows == 3
    assert names_of(shop)[21] == "ann"
    undo(shop.store, came.id, shop.keys())
    shop.refresh()
    assert shop.engine.run(shop.engine.table("facts/identity")).equals(before)


def names_of(shop):
    rows = shop.engine.run(shop.events().select("event_id", "customer_id")).to_pylist()
    return {int(row["event_id"][1:]): {shop.person("ann"): "ann"}.get(row["customer_id"]) for row in rows}


def test_every_answer_counts_joined_people_and_says_so_unless_raw_identities_are_asked_for(shop):
    note = "2 ids of visitors count as the customers they are joined to; with --identity raw they do not."
    assert shop.followed == 0
    before = [str(one) for one in recommend.next_items(shop, "phone").notes]
    identity.join(shop)

    joined = recommend.next_items(shop, "phone")
    raw = recommend.next_items(Shop.open(shop.path, identity="raw"), "phone")

    assert note in map(str, joined.notes)
    assert [str(one) for one in raw.notes] == before
    assert "no customer" in before[0]
    assert not any("no customer" in str(one) for one in joined.notes)
    with pytest.raises(BadInput, match="identity is 'both'"):
        Shop.open(shop.path, identity="both")


def test_a_visitor_is_named_as_the_log_names_it_where_a_customer_can_be(shop):
    found = [identity.of(shop, name).table["customer_id"].to_pylist() for name in ("phone", "till", "ann")]

    assert [len(one) for one in found] == [1, 2, 2]
    assert found[0] == [shop.person("ann")]
