"""What people could not help seeing is weighed out where lists were given by chance, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from shopkeeper import Shop, recommend
from shopkeeper.evidence.metrics import Relevant, ndcg_at
from shopkeeper.recommend import trials
from shopkeeper.recommend.debiasing import CLIP, SPAN, Exposed, Looking, judged, weighed_ndcg
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.base import DAY

ITEMS = 30


def shown(customer, item, when, position=None, chance=None, clicked=None):
    n = len(customer)
    return Exposed(*(np.asarray(part) for part in (
        customer, item, when, np.ones(n, np.int64) if position is None else position,
        np.ones(n) if chance is None else chance, np.zeros(n, bool) if clicked is None else clicked)))


def meetings(steep, people=3_000, seed=0):
    """Everybody meets each of three things at four random places, and clicks what they look at and want."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(people), 12)
    item = np.tile(np.repeat(np.arange(3), 4), people)
    position = rng.integers(1, 11, len(item))
    want = np.repeat(rng.beta(1, 4, people * 3), 4)
    return shown(customer, item, rng.integers(0, 99, len(item)), position,
                 clicked=rng.random(len(item)) < want * position**-float(steep))


@pytest.mark.parametrize("steep", [0.5, 1.0])
def test_how_places_are_looked_at_is_found_where_people_met_one_thing_at_several(steep):
    looking = meetings(steep).looking()

    assert looking.steep == pytest.approx(steep, abs=3 * looking.error)
    assert looking.error < 0.05
    assert Looking(1.0, 0.1).at([1, 2, 4]).tolist() == [1.0, 0.5, 0.25]


def test_where_places_do_not_matter_none_is_thought_to_and_with_few_clicks_it_cannot_be_told():
    assert meetings(0.0).looking().steep == 0.0
    assert meetings(1.0, people=20).looking() == Looking(0.0, None)


def test_what_was_taken_after_it_was_shown_counts_by_its_chance_and_everything_else_counts_one():
    exposed = shown([7, 7, 7, 8, 9], [1, 1, 2, 1, 3], [10 * DAY, 20 * DAY, 20 * DAY, 20 * DAY, 0], [1, 4, 1, 1, 1],
                    [0.9, 0.5, 1.0, 0.001, 0.5])
    taken = [(7, 1, 21), (7, 1, 11), (7, 1, 9), (7, 2, 20), (8, 1, 22), (8, 2, 22), (9, 3, SPAN // DAY + 1), (6, 1, 21)]
    customer, item, day = (np.array(part, np.int64) for part in zip(*taken, strict=True))

    weight, seen = exposed.weights((customer, item, day * DAY), Looking(0.5, 0.1))

    assert weight.round(6).tolist() == [4.0, round(1 / 0.9, 6), 1.0, 1.0, 1 / CLIP, 1.0, 1.0, 1.0]
    assert seen.tolist() == [True, True, False, True, True, False, False, False]


def test_the_weighed_figure_is_the_sum_of_weighed_gains_over_the_sum_of_weights():
    right, ranked = Relevant.of([[2], [5], [1, 4]]), np.array([[2, 3, 9], [3, 5, 9], [4, 9, 8]])
    weight = np.array([1.0, 3.0, 2.0, 4.0])
    value = weighed_ndcg(ranked, right, weight, 3)
    at = 1 / np.log2([2, 3, 4])

    assert value.mean() == pytest.approx((1 * 1 + 3 * at[1] + 3 * 4 / (4 + 2 * at[1])) / (1 + 3 + 3))
    assert weighed_ndcg(ranked, right, np.ones(4), 3) == pytest.approx(ndcg_at(ranked, right, 3))


def test_weighing_undoes_what_a_list_that_was_shown_to_nine_in_ten_did_to_what_was_taken():
    rng, people = np.random.default_rng(1), 6_000
    item = (rng.random(people) < 0.1).astype(np.int64)          # nine in ten are shown item 0, the others item 1
    chance = np.where(item == 0, 0.9, 0.1)
    took = rng.random(people) < np.where(item == 0, 0.2, 0.4)   # item 1 is wanted twice as much
    who = np.flatnonzero(took)
    exposed = shown(np.arange(people), item, np.zeros(people, np.int64), chance=chance)
    right = Relevant.single(item[who])
    weighing = judged(exposed, right, (who, item[who], np.full(len(who), DAY)), DAY)
    lists = {one: np.tile([one, 2], (len(who), 1)) for one in (0, 1)}
    plain = {one: ndcg_at(ranked, right, 1).mean() for one, ranked in lists.items()}
    weighed = {one: weighed_ndcg(ranked, right, weighing.weight, 1).mean() for one, ranked in lists.items()}

    assert weighing.why_not() is None
    assert plain[0] > 3 * plain[1]
    assert weighed[1] / weighed[0] == pytest.approx(2.0, abs=0.3)
    assert weighing.effective < weighing.shown == len(who)


def test_without_lists_with_few_and_with_nothing_left_to_chance_it_cannot_be_judged():
    right, taken = Relevant.single(np.arange(80) % ITEMS), (np.arange(80), np.arange(80) % ITEMS, np.full(80, DAY))
    certain = shown(np.arange(80), np.arange(80) % ITEMS, np.zeros(80, np.int64))
    few = shown(np.arange(9), np.arange(9), np.zeros(9, np.int64), chance=np.full(9, 0.5))

    assert "0 things were taken within 7 days after they were shown" in str(judged(None, right, taken, DAY).why_not())
    assert "9 things were taken" in str(judged(few, right, taken, DAY).why_not())
    assert "nothing was left to chance" in str(judged(certain, right, taken, DAY).why_not())


@pytest.fixture(scope="module")
def log(small):
    """The log of the small shop, in which half of what was bought had been shown a day before, to half of the people.
    """
    log = read_log(small)
    bought = np.flatnonzero(log.target)[::2]
    part = log.interactions
    chance = np.where(part.item[bought] % 2, 0.25, 0.75)
    return replace(log, exposed=shown(part.customer[bought].astype(np.int64), part.item[bought].astype(np.int64),
                                      part.when[bought] - DAY, chance=chance))


def test_a_trial_shows_what_weighing_does_and_lets_it_decide_only_where_it_is_asked_to(log):
    plain = trials.run(log, "recommend.next_items")
    weighed = trials.run(log, "recommend.next_items", beside=trials.Beside(debias=True))

    for one, other in zip(plain.trial.rows, weighed.trial.rows, strict=True):
        assert one.extras == other.extras
        assert one.mean.estimate == pytest.approx(one.extras["ndcg@10"])
        assert other.mean.estimate == pytest.approx(one.extras["weighed ndcg@10"])
    assert (plain.trial.setup.metric, weighed.trial.setup.metric) == ("NDCG@10", "weighed NDCG@10")
    assert plain.said == ()
    assert "count by how unlikely they were to be seen" in str(weighed.said[0])


def test_a_trial_that_is_asked_to_weigh_what_cannot_be_judged_says_so_and_stays_plain(small):
    ran = trials.run(read_log(small), "recommend.next_items", beside=trials.Beside(debias=True))

    assert ran.trial.setup.metric == "NDCG@10"
    assert str(ran.said[0]).startswith("what was shown is not weighed, so plain figures decide: 0 things were taken")
    assert "weighed ndcg@10" not in ran.trial.rows[0].extras


def test_lists_with_a_chance_are_read_from_the_log_with_what_was_turned_to(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    lists = [{"event_id": f"l{n}", "event": "view_item_list", "ts": "2026-03-01T10:00:00", "customer_id": who,
              "request_id": f"r{n}", "treatment": "b", "propensity": chance, "list_id": "next_items",
              "items": [{"item_id": "tea", "position": 1}, {"item_id": "mug", "position": 2}]}
             for n, (who, chance) in enumerate([("ann", 0.25), ("ben", None)])]
    turned = [{"event_id": f"v{n}", "event": "view_item", "ts": "2026-03-01T11:00:00", "customer_id": who,
               "item_id": item, "request_id": request} for n, (who, item, request) in enumerate([
                   ("ann", "mug", "r0"), ("ann", "tea", None), ("ben", "tea", "r1")])]
    shop.ingest([{key: value for key, value in one.items() if value is not None} for one in [*lists, *turned]])

    log = read_log(shop)

    assert [(log.items.ids([item])[0], place, chance, clicked) for item, place, chance, clicked in zip(
        log.exposed.item, log.exposed.position, log.exposed.chance, log.exposed.clicked, strict=True)] == [
            ("mug", 2, 0.25, True), ("tea", 1, 0.25, False)]


def test_a_shop_without_such_lists_has_none(small):
    assert read_log(small).exposed is None


def test_evidence_says_what_weighing_does(log, small_learned, monkeypatch):
    ran = trials.run(log, "recommend.next_items")
    monkeypatch.setattr("shopkeeper.recommend.questions.trial_of", lambda _: ran.trial)

    notes = [str(note) for note in recommend.evidence(small_learned).notes]

    assert any("plain and where what was taken after it was shown counts by how unlikely" in note for note in notes)
