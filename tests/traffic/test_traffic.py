"""Bots in a whole shop: found, labelled, left out of every answer, and there again for whoever asks for all traffic."""

import json
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shopkeeper import ledger, recommend, traffic, trends
from shopkeeper.doors.cli import main
from shopkeeper.errors import BadInput
from shopkeeper.events.pseudonyms import pseudonym
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, StreamConfig, stream
from shopkeeper.trends.buckets import Buckets
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.warehouse.traffic import labelled

CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
          "Safari/537.36")
BEGIN = datetime(2026, 3, 2)


@pytest.fixture(scope="module")
def log():
    """A simulated log with machines; its events, and the stream that knows the truth."""
    made = stream(StreamConfig(shop=SimulationConfig(customers=120, items=110, days=21, seed=9), bots=0.15,
                               duplicates=0.02))
    return pa.concat_tables(list(made)), made


@pytest.fixture(scope="module")
def people(log, tmp_path_factory):
    """The shop of that log without machines. Only read it."""
    events, made = log
    bots = made.traffic.sessions["anonymous_id"].combine_chunks().unique()
    alone = events.filter(pc.fill_null(pc.invert(pc.is_in(events["anonymous_id"], bots)), True))
    return taken(tmp_path_factory.mktemp("people"), alone, made)


@pytest.fixture(scope="module")
def mixed(log, tmp_path_factory):
    """The shop of the whole log, labelled. Only read it."""
    shop = taken(tmp_path_factory.mktemp("mixed"), log[0], log[1])
    traffic.label(shop)
    return shop


def taken(place, events, made):
    """A shop of a log; the same keys everywhere, so that people have the same names."""
    shop = Shop.open(place / "shop")
    for name in ("pseudonym", "vault"):
        (shop.path / "keys" / f"{name}.key").write_text("07" * 32)
    shop.ingest(events, received_at=made.truth.until)
    shop.ingest(made.items, table="items", mapping={"item_id": "item_id"})
    return shop


def everything(shop):
    return Shop.open(shop.path, traffic="all")


def names_of(shop, made):
    key = shop.keys().pseudonym
    return {pseudonym(row["anonymous_id"], "anonymous_id", key): row["kind"]
            for row in made.traffic.sessions.to_pylist()}


def test_each_kind_of_machine_is_found_and_no_heavy_buyer_is_taken_for_one(log, mixed):
    _, made = log
    kinds = names_of(mixed, made)
    events = labelled(mixed.engine, mixed.engine.events())
    bots = set(mixed.engine.run(events.filter(events.traffic == "bot").select(
        who=events.customer_id.coalesce(events.anonymous_id)).distinct())["who"].to_pylist())

    for kind in ("list", "scraper", "burst", "slow"):
        there = {who for who, its in kinds.items() if its == kind}
        assert len(there & bots) >= 0.8 * len(there), kind
    assert len(bots - set(kinds)) <= 0.01 * len(bots)
    assert not bots & {pseudonym(name, "customer_id", mixed.keys().pseudonym) for name in made.traffic.heavy}


@pytest.mark.parametrize("ask", [
    lambda shop: ledger.describe(shop), lambda shop: trends.counts(shop, by="channel"),
    lambda shop: recommend.audience(shop, item_of(shop), n=5),
    lambda shop: recommend.similar_items(shop, item_of(shop), n=5)],
    ids=["describe", "counts", "audience", "similar_items"])
def test_bots_change_no_answer_unless_all_traffic_is_asked_for(people, mixed, ask):
    alone, without, with_bots = ask(people), ask(mixed), ask(everything(mixed))

    assert [measure for measure in without.table.to_pylist() if measure.get("measure") != "span"] == [
        measure for measure in alone.table.to_pylist() if measure.get("measure") != "span"]
    assert any("events of bots are left out; with --traffic all they count." in str(note) for note in without.notes)
    assert not any("of bots" in str(note) for note in (*alone.notes, *with_bots.notes))


def item_of(shop):
    events = shop.engine.events()
    sold = events.filter(events.event == "purchase", events.item_id.notnull()).group_by("item_id").aggregate(
        n=lambda t: t.count())
    return shop.engine.run(sold.order_by([sold.n.desc(), sold.item_id]).limit(1))["item_id"][0].as_py()


def test_with_all_traffic_the_same_questions_count_the_bots(mixed):
    def events(shop):
        return next(row["value"] for row in ledger.describe(shop).table.to_pylist() if row["measure"] == "events")

    assert events(everything(mixed)) == mixed.manifest.events
    assert events(mixed) == mixed.manifest.events - mixed.left_out()
    assert mixed.left_out() > 0.1 * mixed.manifest.events
    assert everything(mixed).left_out() == 0


def test_the_report_accounts_for_every_event_and_for_what_is_left_out(mixed):
    rows = traffic.report(mixed).table.to_pylist()

    assert sum(row["events"] for row in rows) == mixed.manifest.events
    assert sum(row["events"] for row in rows if row["label"] == "bot") == mixed.left_out()
    assert {row["reason"] for row in rows if row["label"] == "bot"} == {"crawler", "library", "quick", "even", "crowd"}


def test_who_is_labelled_is_named_with_a_reason(log, mixed):
    answer = traffic.people(mixed, n=100_000)
    kinds = names_of(mixed, log[1])

    assert answer.table.num_rows >= 0.8 * len(kinds)
    assert all(0.9 <= row["score"] <= 1 and row["reason"] for row in answer.table.to_pylist())
    assert str(traffic.people(mixed, label="agent").title) == "0 people are labelled agent"


def test_labelling_twice_writes_nothing_the_second_time_and_a_dry_run_never(mixed, copy_of, people):
    shop = copy_of(mixed)
    before = shop.manifest.version
    traffic.label(shop)
    assert shop.manifest.version == before

    plain = copy_of(people, "plain")
    traffic.label(plain)
    assert plain.engine.run(plain.engine.table("facts/traffic")).num_rows == 0
    assert not any("nobody has been labelled" in str(note) for note in traffic.report(plain).notes)


def test_labels_of_those_who_left_before_the_span_stay(mixed, copy_of):
    shop = copy_of(mixed)
    before = shop.engine.run(shop.engine.table("facts/traffic"))

    traffic.label(shop, within=3)

    after = shop.engine.run(shop.engine.table("facts/traffic"))
    old = before.filter(pc.less(before["until"].cast("int64"), shop.now() - 4 * 86_400_000_000))
    assert old.num_rows > 50
    assert set(old["person"].to_pylist()) <= set(after["person"].to_pylist())


def test_a_label_is_for_everybody_so_a_view_of_the_past_gives_none(mixed):
    past = Shop.open(mixed.path, as_of=datetime(2026, 1, 20))

    assert traffic.label(past, dry_run=True).table.num_rows > 0
    with pytest.raises(BadInput, match="view of the past"):
        traffic.label(past)
    with pytest.raises(BadInput, match="within is 0"):
        traffic.label(mixed, within=0)
    with pytest.raises(BadInput, match="traffic is 'bots'"):
        Shop.open(mixed.path, traffic="bots")


def test_counts_kept_in_memory_follow_the_labels(log, mixed, tmp_path):
    shop = taken(tmp_path, *log)
    kept, fresh = Buckets(trends.settings.Settings()), Buckets(trends.settings.Settings())
    kept.update(shop)
    before = kept.table(60)

    traffic.label(shop)
    kept.update(shop)
    fresh.update(shop)

    assert kept.table(60).equals(fresh.table(60))
    assert not kept.table(60).equals(before)


def test_every_expression_of_the_room_compiles_to_spark_sql(mixed):
    shop = Shop.open(mixed.path, engine=CompilingEngine)

    for ask in (traffic.report, traffic.people, traffic.clicks, traffic.reviews, ledger.describe,
                lambda one: traffic.label(one, dry_run=True)):
        before = len(shop.engine.compiled)
        ask(shop)
        assert len(shop.engine.compiled) > before


def test_a_command_leaves_bots_out_and_counts_them_if_told_to(mixed, capsys):
    shown = {}
    for which in ("human", "all"):
        assert main(["describe", str(mixed.path), "--traffic", which, "--json"]) == 0
        shown[which] = json.loads(capsys.readouterr().out)
    assert main(["describe", str(mixed.path), "--traffic", "robots"]) == 2

    assert shown["all"]["answer"][0]["value"] - shown["human"]["answer"][0]["value"] == mixed.left_out()
    assert any("of bots" in note for note in shown["human"]["notes"])


def visits(who, n, agent, every=86_400):
    """n views of somebody, a day apart or so."""
    return [{"event": "view_item", "ts": (BEGIN + timedelta(seconds=n * every + len(who))).isoformat(),
             "event_id": f"{who}-{n}", "anonymous_id": who, "item_id": f"i{n % 5}", "user_agent": agent}
            for n in range(n)]


def test_nobody_is_a_bot_for_want_of_a_user_agent(tmp_path):
    few = [one for n in range(40) for one in visits(f"v{n}", 6, CHROME if n == 0 else None)]
    nearly_all = [one for n in range(40) for one in visits(f"v{n}", 6, None if n in (0, 1) else CHROME)]
    nearly_all[6]["user_agent"] = CHROME  # of the second visitor one

    rare, usual = Shop.open(tmp_path / "rare"), Shop.open(tmp_path / "usual")
    rare.ingest(few)
    usual.ingest(nearly_all)

    assert traffic.label(rare).table.num_rows == 0
    assert traffic.label(usual).table.to_pylist() == [
        {"label": "suspect", "reason": "no_agent", "people": 1, "events": 6}]
    assert usual.left_out() == 0


def test_an_agent_that_pauses_like_a_clock_stays_an_agent_in_the_report_and_among_people(tmp_path):
    gpt = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot"
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([*visits("gpt", 40, gpt, every=600), *visits("even", 40, CHROME, every=600)])
    traffic.label(shop)

    rows = {row["label"]: row["events"] for row in traffic.report(shop).table.to_pylist()}
    assert rows == {"agent": 40, "bot": 40}
    assert [traffic.people(shop, label=label).table.num_rows for label in ("agent", "bot")] == [1, 1]
    assert shop.engine.run(shop.events()).num_rows == 40


# ---- clicks and reviews


def event(number, kind, who, minutes=0, **more):
    return {"event_id": f"e{number}", "event": kind, "ts": (BEGIN + timedelta(minutes=minutes)).isoformat(),
            "anonymous_id": who, "user_agent": CHROME, **more}


def test_clicks_are_counted_once_and_told_by_what_makes_them_worth_nothing(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    ad = {"campaign_id": "spring", "utm_source": "ads"}
    shop.ingest([
        event(1, "ad_click", "a", click_id="good", **ad), event(2, "page_view", "a", 1, click_id="good", **ad),
        event(3, "page_view", "a", 2, click_id="good", **ad),
        event(4, "page_view", "b", 3, click_id="again", **ad), event(5, "page_view", "c", 4, click_id="again", **ad),
        event(6, "ad_click", "d", 5, click_id="lost", **ad),
        {**event(7, "page_view", "e", 6, click_id="bot", **ad), "user_agent": "curl/8.5.0"},
        event(8, "page_view", "f", 7, click_id="other", campaign_id="autumn"), event(9, "page_view", "g", 8)])

    rows = traffic.clicks(shop).table.to_pylist()

    assert rows == [
        {"campaign": "spring", "source": "ads", "clicks": 4, "reused": 1, "no_arrival": 1, "bots": 1, "invalid": 3,
         "share": 0.75},
        {"campaign": "autumn", "source": "", "clicks": 1, "reused": 0, "no_arrival": 0, "bots": 0, "invalid": 0,
         "share": 0.0}]
    assert [row["campaign"] for row in traffic.clicks(shop, n=1).table.to_pylist()] == ["spring"]


def test_a_burst_of_copied_reviews_is_shown_with_its_reasons_and_no_honest_one(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    honest = [one for n in range(60) for one in (
        event(f"v{n}", "view_item", f"p{n}", n * 2_000, item_id=f"i{n % 7}"),
        event(f"w{n}", "view_item", f"p{n}", n * 2_000 + 1, item_id=f"i{n % 5}"),
        event(f"p{n}", "page_view", f"p{n}", n * 2_000 + 2),
        event(f"r{n}", "review", f"p{n}", n * 2_000 + 9, item_id=f"i{n % 7}", rating=4,
              text=f"number {n} fits well, the {n} colours are as in the pictures and it came in {n} days"))]
    copied = "simply the best product that I have ever bought and I will surely order it again soon"
    fake = [event(f"f{n}", "review", f"x{n}", 50_000 + n, item_id="i1", rating=5, text=copied) for n in range(12)]
    shop.ingest(honest + fake)

    answer = traffic.reviews(shop, n=100)

    shown = answer.table.to_pylist()
    assert {row["event_id"] for row in shown[:12]} == {f"ef{n}" for n in range(12)}
    assert all({"burst", "reviews_only", "alike"} <= set(row["reasons"]) for row in shown[:12])
    assert all(row["reasons"] == ["burst"] for row in shown[12:])  # of the same item on the same day
    assert len(shown) <= 14


@pytest.mark.parametrize("ask", [traffic.people, traffic.clicks, traffic.reviews])
def test_none_cannot_be_shown(people, ask):
    with pytest.raises(BadInput, match="n is 0; it must be at least 1"):
        ask(people, n=0)


def test_a_label_that_there_is_not_is_refused_and_so_is_a_span_by_its_own_name(people):
    with pytest.raises(BadInput, match="label is 'zz'; it must be one of bot, agent, suspect"):
        traffic.people(people, label="zz")
    with pytest.raises(BadInput, match=r"within is -1; it must be at least 1\.\n  Try:  --within 30"):
        traffic.clicks(people, within=-1)
