"""New items: which way of ordering them serves, whether they may enter lists, and which items are new."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shopkeeper import recommend
from shopkeeper.evidence.splits import rolling_origins
from shopkeeper.learn import _install
from shopkeeper.recommend.arrivals import NEW_FOR, Arrivals, new_rows, tried
from shopkeeper.recommend.cases import active_people
from shopkeeper.recommend.desk import Desk, with_new
from shopkeeper.recommend.inputs import Listing, Log, read_log
from shopkeeper.recommend.live import LiveDesk
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.ranking import Wanted, rank
from shopkeeper.recommend.rules import Rules, Shelf
from shopkeeper.recommend.trials import Fit
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop

PEOPLE, KINDS, OLD, DAYS = 120, 4, 40, 60
STARTS = np.concatenate([np.zeros(OLD, int), np.linspace(28, 58, 64).astype(int)])  # day on which an item comes
IDS = [f"i{row:03d}" for row in range(len(STARTS))]
LAST = len(IDS)


def listing(kinds, more=()):
    ids = [*IDS, *(item for item, _ in more)]
    path = np.asarray([*(f"Shop > {kind}" for kind in kinds), *(f"Shop > {kind}" for _, kind in more)], dtype=object)
    nothing = np.full(len(ids), None, dtype=object)
    return Listing(ids, nothing, path, nothing, np.full(len(ids), np.nan))


def shop_log(seed=0, told=True):
    """Everybody takes things of one kind; things that are new are taken as often as others."""
    rng = np.random.default_rng(seed)
    lines = []
    for person in range(PEOPLE):
        for day in range(0, DAYS, 3):
            there = np.flatnonzero((np.arange(LAST) % KINDS == person % KINDS) & (day >= STARTS))
            lines += [(person, item, day * DAY + person) for item in rng.choice(there, 2, replace=False)]
    who, item, when = np.asarray(lines).T
    part = Interactions(who.astype(np.int32), item.astype(np.int32), when, when // DAY + who * 1000,
                        np.ones(len(who), np.float32), PEOPLE, LAST).sorted()
    kinds = np.arange(LAST) % KINDS if told else np.zeros(LAST, int)
    return Log(Vocabulary([f"c{n:03d}" for n in range(PEOPLE)]), Vocabulary(IDS), part, np.ones(len(part), bool),
               "conversion", DAYS * DAY - 1, listing=listing(kinds, [("never", 1)]))


SETTING = (Neighbours(), NeighboursParams(share=1.0))


def arrivals(log, before=None):
    first = int(log.interactions.when.min())
    return tried(log, SETTING, tuple(rolling_origins(first, log.now, horizon=14, n=2)),
                 lambda split: active_people(log, split, 0, 500), before=before)


@pytest.fixture(scope="module")
def log():
    return shop_log()


@pytest.fixture(scope="module")
def found(log):
    return arrivals(log)


def desk_of(log, found):
    fitted = SETTING[0].fit(log.interactions, log.now + 1, SETTING[1])
    return Desk(fitted, log.items, found.among, arrivals=found)


def test_where_taste_is_a_matter_of_kinds_new_items_are_ordered_by_it_and_lists_lose_nothing(found):
    assert found.among.winner == "category_share"
    assert found.among.row("category_share").mean.low > found.among.row("popular_in_category").mean.high
    assert found.used
    assert found.whole.row("with").mean.estimate >= found.whole.row("without").mean.estimate
    assert str(found.sentence()).startswith("new items are ranked by category-share (category-share beats")


def test_where_the_kinds_say_nothing_the_plainest_way_serves():
    assert arrivals(shop_log(told=False)).way.name == "popular_in_category"


def test_without_an_items_table_or_without_new_items_nothing_is_tried(log):
    assert arrivals(replace(log, listing=None)) is None
    old = log.interactions.item < OLD
    assert arrivals(replace(log, interactions=log.interactions.where(old), target=log.target[old])) is None


def test_what_was_learned_of_new_items_reads_back_the_same(found):
    arrays, meta = found.state()
    again = Arrivals.restore(arrays, meta)

    assert (again.among, again.whole, again.way, again.share) == (found.among, found.whole, found.way, found.share)
    assert again.listed == found.listed
    assert again.popularity.tolist() == found.popularity.tolist()


def test_an_item_that_came_into_the_table_is_recommended_to_whom_it_suits_and_its_method_is_named(log, found):
    desk = with_new(desk_of(log, found), lambda: listing(np.arange(LAST) % KINDS, [("fresh", 2)]), log.now)
    row = desk.things.row("fresh")
    names = np.asarray(desk.things.ids(), dtype=object)
    nothing = np.full(len(names), None, dtype=object)
    shelf = Shelf(names, nothing, nothing, np.full(len(names), np.nan))
    places = {}
    for person in (2, 3):
        ranked = rank(desk, shelf, Histories.of(log.interactions, [person]), Wanted(len(names), Rules(), log.now))
        places[person] = ranked.rows.index(row)

    assert places[2] < 20 < places[3]
    assert desk.method(row) == "newcomers"
    assert desk.method(0) == "neighbours"
    assert any(str(note).startswith("new, and known only by what they are like: fresh") or "fresh" in str(note)
               for note in ranked.notes)


def test_where_lists_may_lose_new_items_stay_out_and_the_answer_says_so(log, found):
    worse = replace(found, whole=replace(found.whole, final=replace(
        found.whole.final, difference=replace(found.whole.final.difference, low=-0.5))))
    desk = with_new(desk_of(log, worse), lambda: listing(np.arange(LAST) % KINDS, [("fresh", 2)]), log.now)

    assert not worse.used
    assert desk.things.row("fresh") == -1
    assert [str(note).split(":")[0] for note in desk.notes] == ["new items are left out"]


def test_an_item_that_nobody_wanted_for_a_month_is_new_no_longer(log, found):
    table = listing(np.arange(LAST) % KINDS, [("never", 1), ("fresh", 2)])
    assert found.listed.ids() == ["never"]
    assert new_rows(found, table, log.items, log.now)[0] == ["fresh"]  # never had stood there before anybody looked

    later = arrivals(replace(log, listing=table), before=found)
    assert set(later.listed.ids()) == {"never", "fresh"}
    assert new_rows(later, table, log.items, log.now)[0] == ["fresh"]
    assert new_rows(later, table, log.items, log.now + NEW_FOR * DAY)[0] == []


def test_an_item_that_began_lately_and_has_few_lines_counts_as_new(log):
    part = log.interactions
    last = part.item == LAST - 8
    some = ~last | (np.cumsum(last) <= 2)
    found = arrivals(replace(log, interactions=part.where(some), target=log.target[some]))

    assert LAST - 8 in found.few.tolist()
    assert 0 not in found.few.tolist()


@pytest.fixture(scope="module")
def shop(log, found, tmp_path_factory):
    """A shop of this log and table, with what was learned of it installed."""
    made = Shop.open(tmp_path_factory.mktemp("arrivals") / "shop")
    part = log.interactions
    began = 1_767_225_600  # 2026-01-01, seconds UTC
    made.ingest([[{"event_id": str(n), "event": "purchase", "ts": began + when // 1_000_000, "customer_id": f"c{who}",
                   "item_id": IDS[item], "order_id": f"{who}-{when}", "quantity": 1}
                  for n, (who, item, when) in enumerate(zip(part.customer, part.item, part.when, strict=True))]])
    made.ingest([[{"item_id": item, "category": path} for item, path
                  in zip(log.listing.ids, log.listing.category, strict=True)]], table="items")
    read = read_log(made)
    first = int(read.interactions.when.min())
    of_new, about = tried(read, SETTING, tuple(rolling_origins(first, read.now, horizon=14, n=2)),
                          lambda split: active_people(read, split, 0, 500)).state()
    arrays, meta = SETTING[0].fit(read.interactions, read.now + 1, SETTING[1]).state()
    parts = {"method": arrays, "vocabulary": read.items.state(), "arrivals": of_new}
    fit = Fit(found.among, "neighbours", {f"{part}.{name}": one for part, some in parts.items()
                                          for name, one in some.items()},
              {"method": meta, "repeats": True, "role": "conversion", "arrivals": about, "chances": None})
    _install(made, {"recommend.next_items": fit}, "", 0)
    made.ingest([[{"item_id": "fresh", "category": "Shop > 2", "title": "Fresh"}]], table="items")
    made.refresh()
    return made


def test_the_question_and_the_live_desk_give_the_same_list_with_the_new_item_in_it(shop):
    asked = recommend.next_items(shop, "c2", n=30)
    live = json.loads(LiveDesk.open(Shop.open(shop.path)).next_items("c2", n=30).body)

    row = next(row for row in asked.table.to_pylist() if row["item_id"] == "fresh")
    assert (row["method"], row["title"]) == ("newcomers", "Fresh")
    assert sum(one["share"] for one in row["because"]) <= 1 + 1e-9
    assert [(one["item_id"], one["method"]) for one in live["answer"]] == [
        (one["item_id"], one["method"]) for one in asked.table.to_pylist()]
    assert any(str(note).startswith("new, and known only by what they are like: ") for note in asked.notes)


def test_the_evidence_shows_how_new_items_were_tried(shop):
    answer = recommend.evidence(shop)
    rows = [row for row in answer.table.to_pylist() if row["question"] == "next_items (new items)"]

    assert [row["method"] for row in rows] == ["popular_in_category", "category_share", "borrowed", "learned"]
    assert {row["metric"] for row in rows} == {"recall@10"}
    assert str(answer.notes[-1]).startswith("new items are ranked by ")
