"""The questions over shops with a known truth: refusals by name, order, sums, rules, and what one customer is like."""

import ibis
import numpy as np
import pytest

from customers.made import buyers, events, people, shop_of
from shopkeeper import customers, learn
from shopkeeper.customers import inputs, trials
from shopkeeper.customers.grouping import segment_of
from shopkeeper.customers.methods.base import Days
from shopkeeper.customers.methods.features import features
from shopkeeper.customers.methods.rfm import NAMES, Rules
from shopkeeper.customers.reasons import worded
from shopkeeper.errors import BadInput, MissingData, TooLittleHistory, UnknownName
from shopkeeper.events.pseudonyms import pseudonym
from shopkeeper.evidence.trial import Scores
from shopkeeper.shop import Shop
from shopkeeper.warehouse import groups
from shopkeeper.warehouse.conditions import read
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.words import put


@pytest.fixture(scope="module")
def truth():
    return people()


@pytest.fixture(scope="module")
def shop(truth, tmp_path_factory):
    """560 customers over 200 days, with both questions learned. Only read it."""
    who, when, money, _ = truth
    made = shop_of(tmp_path_factory.mktemp("customers") / "shop", events(who, when, money))
    learn.learn(made, room="customers")
    return made


@pytest.fixture(scope="module")
def risks(shop):
    return customers.at_risk(shop, n=1_000)


def log_of(n, span, often=60, last=0):
    """A log of n customers over a span of days, the last order so many days before its end."""
    who = np.r_[np.arange(n), np.repeat(np.arange(min(often, n)), 3)]
    day = np.r_[np.linspace(0, span - 1 - last, n).astype(int), np.tile([2, 9, 17], min(often, n))]
    return inputs.Log(np.array([f"c{i}" for i in range(n)], object), Days.of(who, day), span - 1, "EUR", "UTC", 0)


@pytest.mark.parametrize("log, lacks", [
    (log_of(499, 200), "500 customers who bought; this log has 499"),
    (log_of(500, 179), "180 days of orders; this log has 179"),
    (log_of(500, 200, often=49), "50 customers with three purchases or more; this log has 49"),
    (log_of(500, 200, last=40), "1 orders in the last 30 days; this log has 0")])
def test_a_log_that_cannot_carry_a_warning_is_refused_by_what_it_lacks(log, lacks):
    with pytest.raises(TooLittleHistory, match=lacks):
        trials.enough(log)


def test_a_log_of_looks_alone_is_refused_by_this_room_and_does_not_stop_the_others(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([[{"event_id": "v", "event": "view_item", "ts": "2025-01-13T10:00:00", "customer_id": "ann",
                   "item_id": "tea"}]])

    rows = learn.learn(shop).table.to_pylist()

    assert [row["status"] for row in rows if row["question"].startswith("customers.")] == ["refused"] * 2
    assert all(row["status"] == "refused" for row in rows)


def test_both_questions_are_learned_with_a_trial_that_was_won(shop):
    rows = {row["question"]: row for row in learn.learn(shop, room="customers").table.to_pylist()}

    assert {row["status"] for row in rows.values()} == {"fresh"}
    assert rows["customers.at_risk"]["method"] in {"silence", "still_buying", "logistic", "boosting"}
    assert rows["customers.lifetime_value"]["low"] > 0


def test_the_dearest_loss_comes_first_and_is_chance_times_money(risks):
    table = risks.table.to_pydict()

    assert table["loss"] == sorted(table["loss"], reverse=True)
    assert table["loss"] == pytest.approx([p * money for p, money in zip(table["probability"], table["expected"],
                                                                         strict=True)])
    assert all(0 < p < 1 for p in table["probability"])


def test_who_has_left_is_ranked_above_who_has_not(truth, shop, risks):
    leaves = truth[3]
    key = shop.keys().pseudonym
    gone = {pseudonym(f"p{at}", "customer_id", key): leaves[at] < 200 - 40 for at in range(len(leaves))}
    chance = {row["customer"]: row["probability"] for row in risks.table.to_pylist()}

    left, stayed = ([p for who, p in chance.items() if gone[who] == was] for was in (True, False))

    assert np.median(left) > 0.8 > 0.3 > np.median(stayed)


def test_a_warning_says_why_and_what_stopped_means(risks):
    row = risks.table.to_pylist()[0]

    assert row["because"]
    assert all(reason["adds"] > 0 for reason in row["because"])
    assert any(f"no purchase within {risks.within} days" in str(note) for note in risks.notes)
    assert {"auc", "average_precision", "calibration_error", "lead_days"} <= set(
        risks.evidence.row(risks.method).extras)
    drawn = risks.chart["data"]["values"]
    assert [{**row, "line": "what came"} for row in risks.parts["reliability"].to_pylist()] == drawn[:-2]
    assert all(row["said"] == row["came"] for row in drawn[-2:])


def test_another_horizon_than_the_learned_one_is_answered_by_the_plain_rule(shop, risks):
    answer = customers.at_risk(shop, within=risks.within + 10, n=2)

    assert (answer.method, answer.evidence.kind) == ("silence", "nothing learned")


def test_a_way_that_is_too_good_to_be_true_stops_the_trial():
    ones = np.ones(20)

    def scores(auc):
        return Scores("x", ones, ones.astype(int), {"auc": auc})

    trials._check_leak([scores(0.9), scores(0.97)])
    with pytest.raises(MissingData, match="this looks like leakage"):
        trials._check_leak([scores(0.8), scores(0.97)])


def test_values_add_up_over_every_division_and_the_total_lies_in_its_interval(shop):
    answer = customers.lifetime_value(shop, horizon=60, n=560)
    groups = answer.parts["groups"].to_pylist()
    total = groups[0]

    assert sum(answer.table["value"].to_pylist()) == pytest.approx(total["value"])
    for kind in ("cohort", "segment", "channel"):
        mine = [row for row in groups if row["by"] == kind]
        assert sum(row["value"] for row in mine) == pytest.approx(total["value"])
        assert sum(row["customers"] for row in mine) == total["customers"] == 560
    assert total["low"] < total["value"] < total["high"]
    assert sum(answer.parts["deciles"]["value"].to_pylist()) == pytest.approx(total["value"])
    assert answer.table["value"].to_pylist() == sorted(answer.table["value"].to_pylist(), reverse=True)


def test_a_longer_horizon_brings_more(shop):
    one, other = (customers.lifetime_value(shop, horizon=days, n=1).evidence.interval.estimate for days in (30, 90))

    assert 0 < one < other


def test_the_rule_of_each_segment_holds_of_its_customers_and_of_nobody_else(shop):
    log = inputs.read(shop)
    of, rows = segment_of(shop, log), ibis.memtable(shop.engine.run(groups.facts(inputs.view_of(shop))))
    for segment in customers.segments(shop).table.to_pylist():
        condition = read(segment["rule"], groups.COLUMNS)
        found = shop.engine.run(rows.filter(condition.holds(rows)).select("person"))["person"].to_pylist()
        assert sorted(found) == sorted(log.ids[of == segment["segment"]])
    assert sum(customers.segments(shop).table["customers"].to_pylist()) == 560


def test_a_segment_narrows_values_and_risks_to_its_customers(shop):
    log = inputs.read(shop)
    best = set(log.ids[segment_of(shop, log) == "best"])

    values, risks = (ask(shop, n=1_000, segment="best") for ask in (customers.lifetime_value, customers.at_risk))

    assert set(values.table["customer"].to_pylist()) == best
    assert set(risks.table["customer"].to_pylist()) <= best
    assert values.parts["groups"].to_pylist()[0]["customers"] == len(best) > 10
    everybody = {row["name"]: row for row in customers.lifetime_value(shop).parts["groups"].to_pylist()
                 if row["by"] == "segment"}
    assert values.evidence.interval.estimate == pytest.approx(everybody["best"]["value"])
    with pytest.raises(UnknownName, match="there is no segment 'x'"):
        customers.lifetime_value(shop, segment="x")


def test_the_edges_of_a_segment_are_where_its_rule_says():
    rules = Rules(fresh=30, gone=90, often=4, much=100.0, young=30)
    rows = [(30, 30, 1, 5), (30, 31, 1, 5), (30, 99, 4, 100), (30, 99, 4, 99), (31, 99, 9, 999), (90, 99, 1, 1),
            (91, 99, 4, 100), (91, 99, 3, 100)]

    found = rules.segment(*(np.array(column, float) for column in zip(*rows, strict=True)))

    assert [NAMES[at] for at in found] == ["new", "promising", "best", "loyal", "fading", "fading", "lost best", "lost"]


def test_a_profile_says_rhythm_interests_channel_and_what_was_not_found(tmp_path):
    shop = shop_of(tmp_path / "shop", events(["ann"] * 6 + ["bob"] * 3, [0, 10, 20, 30, 40, 50, 0, 30, 50],
                                             np.full(9, 4.0)))
    shop.ingest([[{"item_id": "tea", "category": "Food > Tea", "brand": "Leaf", "price": 4}]], table="items")
    shop.ingest([[{"event_id": f"s{at}", "event": "search", "ts": f"2025-02-2{at}T10:00:00", "customer_id": "ann",
                   "query": "oolong", "results": 0, "utm_medium": "email"} for at in (1, 2)]])

    answer = customers.profile(shop, "ann")

    traits = {row["trait"]: row for row in answer.table.to_pylist()}
    assert 8 <= float(traits["days between purchases"]["value"]) <= 14
    assert traits["purchases"]["value"] == "6"
    assert (traits["channel"]["value"], traits["brand"]["value"]) == ("email", "Leaf")
    due = traits["next purchase, if there is one"]
    assert "2025-02-25" < due["low"] <= due["value"] <= due["high"] < "2025-04-01"
    assert answer.parts["interests"]["category"].to_pylist() == ["Food > Tea"]
    assert answer.parts["not_found"].to_pylist()[0]["searches"] == 2
    assert sum(answer.parts["timeline"]["events"].to_pylist()) == 8


def test_an_unknown_customer_and_a_log_without_purchases_are_refused(tmp_path, shop):
    with pytest.raises(UnknownName, match="is not in the log"):
        customers.profile(shop, "nobody")
    with pytest.raises(UnknownName, match="nobody in this log has bought anything"):
        customers.segments(Shop.open(tmp_path / "empty"))


@pytest.mark.parametrize("ask", [lambda shop: customers.at_risk(shop, within=0),
                                 lambda shop: customers.at_risk(shop, n=0),
                                 lambda shop: customers.lifetime_value(shop, horizon=-1),
                                 lambda shop: customers.lifetime_value(shop, level=1.0)])
def test_numbers_that_make_no_sense_are_refused(shop, ask):
    with pytest.raises(BadInput):
        ask(shop)


def test_odd_shops_get_answers(tmp_path):
    one = shop_of(tmp_path / "one", events(["ann"], [0], [5.0]))
    bulk = shop_of(tmp_path / "bulk", events(["ann", "big", "big"], [0, 0, 3], [5.0, 90_000.0, 1.0]))

    assert customers.lifetime_value(one, n=5).table.num_rows == 1
    assert customers.segments(one).table["customers"].to_pylist().count(1) == 1
    assert customers.lifetime_value(bulk, n=1).table["bought"].to_pylist() == [2]
    with pytest.raises(TooLittleHistory):
        customers.at_risk(one)


def test_a_purchase_belongs_to_the_day_of_the_shops_zone(tmp_path):
    late = events(["ann", "ann"], [0, 0.6], [5.0, 6.0])  # 09:00 and 23:24 UTC

    shop = shop_of(tmp_path / "shop", late)
    there = shop_of(tmp_path / "there", late)
    (tmp_path / "there" / "shop.toml").write_text(
        (tmp_path / "there" / "shop.toml").read_text().replace('timezone = "UTC"', 'timezone = "Asia/Shanghai"'))

    assert inputs.read(shop).days.bought().total().tolist() == [1]
    assert inputs.read(Shop.open(there.path)).days.bought().total().tolist() == [2]


def test_refunds_and_other_doings_are_read_and_every_expression_compiles_for_another_engine(tmp_path):
    shop = Shop.open(tmp_path / "shop", engine=CompilingEngine)
    shop.ingest([events(["ann", "ann"], [0, 5], [10.0, 20.0])])
    shop.ingest([[{"event_id": "r", "event": "refund", "ts": "2025-01-12T10:00:00", "customer_id": "ann",
                   "order_id": "o-ann-1", "value": 20, "currency": "EUR"},
                  {"event_id": "v", "event": "view_item", "ts": "2025-01-13T10:00:00", "customer_id": "ann",
                   "item_id": "tea", "utm_medium": "email"}]])

    log = inputs.read(shop)

    assert log.days.money.sum() == pytest.approx(10)
    assert log.days.acts.sum(0).tolist() == [1, 1, 0, 0, 0]
    assert inputs.read_channels(shop, log.ids).tolist() == ["email"]
    assert customers.profile(shop, "ann").table.num_rows > 3
    assert len(shop.engine.compiled) > 5


def test_a_thin_log_is_learned_or_refused_and_still_answers(tmp_path):
    shop = shop_of(tmp_path / "shop", buyers(end=1_770_000_000_000_000))

    assert customers.at_risk(shop, n=5).table.num_rows == 5


def test_every_feature_that_may_be_a_reason_has_words_in_both_languages(shop):
    found = inputs.read(shop)
    busy = Days(found.days.customer, found.days.day, found.days.orders, found.days.money, found.days.lines,
                np.ones((len(found.days.day), 5)), found.days.n_customers)
    names, x = features(busy, found.cut, np.arange(5), 28)

    for name, value in zip(names, x[0].tolist(), strict=True):
        said = worded(name, value, usual=20.0)
        assert put(said, "zh") != put(said, "en")


def test_the_plain_rule_names_silence_beside_the_customers_own_rhythm(shop, risks):
    answer = customers.at_risk(shop, within=risks.within + 10, n=1)
    row = answer.table.to_pylist()[0]

    said = f"last bought {row['silent'] + 1:,} days ago, usually buys every {row['usual']:,.0f}"
    assert answer.cells()[1][0][-1] == said
    assert answer.cells("zh")[0][-1] == "因为"
