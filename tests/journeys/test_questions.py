"""The questions: what adds up, what is shown though it is empty, and what is refused with its whole text."""

import shutil
from collections import Counter
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from shopkeeper import journeys
from shopkeeper.errors import BadInput, MissingData, MissingTable, UnknownName
from shopkeeper.journeys import Cohorts, How, Period, Two, Walk
from shopkeeper.shop import Shop

LATELY = datetime(2026, 2, 15)


def record(n, event, who, at, **more):
    item = {"item_id": "tea"} if event in ("view_item", "add_to_cart", "purchase", "select_item") else {}
    sold = {"order_id": f"o{n}", "value": 6, "currency": "EUR", "price": 6} if event == "purchase" else {}
    return {"event_id": f"e{n}", "event": event, "customer_id": who, "ts": at.isoformat(), **item, **sold, **more}


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """One customer, one day: a search that found nothing, another one, a click, a purchase; and one who only looked."""
    noon = datetime(2026, 3, 2, 12)
    shop = Shop.open(tmp_path_factory.mktemp("lone") / "shop")
    shop.ingest([[
        record(1, "page_view", "ann", noon, device="phone", utm_medium="email"),
        record(2, "search", "ann", noon + timedelta(minutes=1), query=" Green TEA", results=0),
        record(3, "search", "ann", noon + timedelta(minutes=2), query="tea", results=4),
        record(4, "select_item", "ann", noon + timedelta(minutes=3), position=2),
        record(5, "view_item", "ann", noon + timedelta(minutes=4)),
        record(6, "purchase", "ann", noon + timedelta(minutes=5), device="phone"),
        record(7, "page_view", "bob", noon, device="desk")]])
    with shop.store.write("segments") as writer:
        table = pa.table({"person": [shop.person("ann")], "segment": ["loyal"]})
        writer.commit(writer.publish(writer.manifest, "facts/segments", table, shop.now()))
    shop.refresh()
    return shop


def test_one_customer_and_one_day_give_right_answers(lone):
    funnel = journeys.funnel(lone, ("view_item", "purchase", "refund"))
    back = journeys.retention(lone, start="page_view", back="purchase", cohorts=Cohorts(per="day"))

    assert funnel.table["people"].to_pylist() == [1, 1, 0]
    assert funnel.table["rate"].to_pylist() == [1.0, 1.0, 0.0]
    assert funnel.table["middle"].to_pylist() == [0.0, 60.0, None]
    assert [(row["people"], row["unit"], row["returned"], row["complete"]) for row in back.table.to_pylist()] == [
        (2, "0", 1, False)]


def test_visits_without_a_session_are_cut_by_silence_and_described(lone):
    found = journeys.sessions(lone, by="device")

    rows = {row["name"]: row for row in found.table.to_pylist()}
    assert (rows["phone"]["visits"], rows["phone"]["middle"], rows["phone"]["conversions"]) == (1, 300.0, 1)
    assert (rows["desk"]["visits"], rows["desk"]["bounces"], rows["desk"]["rate"]) == (1, 1, 0.0)
    assert rows[None]["visits"] == 0  # the log has events without a device, and no visit begins with one
    assert {row["value"]: row["visits"] for row in found.parts["channels"].to_pylist()} == {"email": 1, "unmarked": 1}


def test_a_search_that_found_nothing_is_demand_and_what_came_next_is_its_refinement(lone):
    found = journeys.searches(lone)

    rows = {row["query"]: row for row in found.table.to_pylist()}
    assert (rows["green tea"]["nothing"], rows["green tea"]["refined"], rows["green tea"]["clicked"]) == (1, 1, 0)
    assert (rows["tea"]["click_rank"], rows["tea"]["orders"], rows["tea"]["revenue"]) == (2.0, 1, 6.0)
    assert found.parts["refinements"].to_pylist() == [{"query": "green tea", "next": "tea", "searches": 1}]
    assert found.parts["nothing"]["query"].to_pylist() == ["green tea"]


def test_a_path_counts_a_repeat_once_and_says_where_the_visit_ends(lone):
    onward, back = journeys.paths(lone, walk=Walk(depth=2)), journeys.paths(lone, end="purchase", walk=Walk(depth=2))

    assert {tuple(row["path"]): (row["ends"], row["visits"]) for row in onward.table.to_pylist()} == {
        ("page_view",): (True, 1), ("page_view", "search", "select_item"): (False, 1)}
    assert back.table["path"].to_pylist() == [["select_item", "view_item", "purchase"]]


def test_a_segment_is_its_people_and_one_that_is_not_there_is_refused_by_name(lone):
    found = journeys.sessions(lone, segment="loyal")

    assert (found.table["visits"][0].as_py(), found.table["people"][0].as_py()) == (1, 1)
    with pytest.raises(UnknownName) as refused:
        journeys.funnel(lone, segment="lost")
    assert str(refused.value) == ("there is no segment 'lost'.\n  Try:  one of: loyal\n"
                                  "  Why:  a name that is not there counts nothing.")


def test_a_shop_without_segments_says_so(small):
    with pytest.raises(MissingData) as refused:
        journeys.compare(small, segment="loyal")

    assert str(refused.value) == (
        "there is no segment 'loyal': this shop has no segments yet.\n  Try:  ask without a segment.\n"
        "  Try:  shopkeeper customers publish SHOP\n"
        "  Try:  shopkeeper customers save-segment SHOP --name NAME --rule RULE\n  Why:  a segment is a saved rule.")


ASKS = {
    "funnel": lambda shop, **more: journeys.funnel(shop, ("view_item", "purchase"), **more),
    "retention": lambda shop, **more: journeys.retention(shop, start="page_view", back="purchase", **more),
    "paths": journeys.paths, "sessions": journeys.sessions, "searches": journeys.searches,
    "attribution": journeys.attribution,
    "compare": lambda shop, **more: journeys.compare(shop, kind="page_view", **more)}


@pytest.fixture(scope="module")
def ruled(lone, tmp_path_factory):
    """The shop of one customer with a saved rule that holds of everybody, and one that holds of who never bought."""
    shop = Shop.open(shutil.copytree(lone.path, tmp_path_factory.mktemp("ruled") / "shop"))
    with shop.store.write("segments") as writer:
        rules = pa.table({"name": ["all", "lookers"], "rule": ["views >= 0", "purchases = 0 and silent is unknown"]})
        writer.commit(writer.publish(writer.manifest, "facts/segment_rules", rules, shop.now()))
    shop.refresh()
    return shop


@pytest.mark.parametrize("name", ASKS)
def test_every_question_takes_a_saved_rule_as_its_segment(ruled, name):
    everybody, all_, lookers = (ASKS[name](ruled, **more).table.to_pylist() for more in (
        {}, {"segment": "all"}, {"segment": "lookers"}))

    assert all_ == everybody
    assert lookers != everybody


def test_by_category_a_person_stands_where_their_first_item_stands(small):
    funnel = journeys.funnel(small, ("view_item", "purchase"), by="category").table.to_pylist()
    views = small.engine.run(small.events().filter(lambda t: t.event == "view_item").select(
        "customer_id", "anonymous_id", "item_id", "ts", "event_id")).to_pylist()
    shelf = {row["item_id"]: row["category"].split(" > ")[0]
             for row in small.engine.run(small.engine.table("items").select("item_id", "category")).to_pylist()}
    first = {}
    for row in sorted(views, key=lambda row: (row["ts"], row["event_id"])):
        first.setdefault(row["customer_id"] or row["anonymous_id"], shelf[row["item_id"]])

    assert {row["name"]: row["people"] for row in funnel if row["step"] == 1 and row["name"]} == Counter(first.values())
    everything = journeys.compare(small, kind="purchase", by="category", measure="value").table.to_pylist()
    assert {row["name"] for row in everything} - {None} <= set(shelf.values())


def test_by_category_without_items_is_refused_by_what_is_missing(lone):
    with pytest.raises(MissingTable, match="this shop has no table items"):
        journeys.funnel(lone, by="category")


@pytest.mark.parametrize("ask, wrong", [
    (lambda shop: journeys.funnel(shop, ("never",)), UnknownName),
    (lambda shop: journeys.funnel(shop, by="customer_id"), UnknownName),
    (lambda shop: journeys.funnel(shop, ("purchase", "conversion"), how=How(order="any")), BadInput),
    (lambda shop: journeys.funnel(shop, within=0), BadInput),
    (lambda shop: journeys.funnel(shop, how=How(before=True)), BadInput),
    (lambda shop: journeys.funnel(shop, how=How(since=datetime(2030, 1, 1))), BadInput),
    (lambda shop: journeys.retention(shop, cohorts=Cohorts(brackets=("0-3", "2"))), BadInput),
    (lambda shop: journeys.paths(shop, start="search", end="purchase"), BadInput),
    (lambda shop: journeys.paths(shop, walk=Walk(depth=0)), BadInput),
    (lambda shop: journeys.compare(shop, periods=Two(since=LATELY, until_before=datetime(2026, 3, 1))), BadInput)])
def test_what_makes_no_sense_is_refused_before_anything_is_counted(small, ask, wrong):
    with pytest.raises(wrong):
        ask(small)


def test_the_period_before_is_counted_as_this_one_is(small):
    now = journeys.funnel(small, how=How(since=LATELY, until=datetime(2026, 3, 1), before=True))
    then = journeys.funnel(small, how=How(since=datetime(2026, 2, 1), until=LATELY))

    assert now.parts["before"].equals(then.table)
    assert now.table["people"][0].as_py() > 0


def test_credits_and_untouched_conversions_are_all_that_there_are(small):
    found = journeys.attribution(small, method="shapley", period=Period(since=LATELY))
    sold = journeys.compare(small, by="source", periods=Two(since=LATELY))

    assert found.evidence.n == sold.table["now"][0].as_py()
    assert sum(found.table["conversions"].to_pylist()) == pytest.approx(found.evidence.n)
    assert "only a trial shows" in str(found.notes[0])


def test_every_picture_is_drawn_and_holds_its_table(small):
    asked = [journeys.funnel(small), journeys.retention(small), journeys.paths(small)]

    for answer in asked:
        assert answer.chart["$schema"].endswith("vega-lite/v5.json")
    bars, cells = (answer.chart["data"]["values"] for answer in asked[:2])
    assert [row["people"] for row in bars] == asked[0].table["people"].to_pylist()
    assert len(cells) == asked[1].table.num_rows
    boxes = asked[2].chart["layer"][1]["data"]["values"]
    assert max(box["n"] for box in boxes) == asked[2].evidence.n
