"""Who stops: reasons that add up, no look into the future, no skill on shuffled outcomes, and the trap."""

from itertools import permutations

import numpy as np
import pytest

from customers.made import people
from shopkeeper.customers.methods.base import Days
from shopkeeper.customers.methods.boosting import Boosting, grow, shapley
from shopkeeper.customers.methods.calibration import curve
from shopkeeper.customers.methods.features import features
from shopkeeper.customers.methods.risk import WAYS, Cases, Logistic
from shopkeeper.customers.methods.stopping import cases_at, usual_silence
from shopkeeper.evidence import metrics


@pytest.fixture(scope="module")
def days():
    who, when, money, _ = people(n=400, days=200)
    return Days.of([int(name[1:]) for name in who], when.astype(int), money)


@pytest.fixture(scope="module")
def cases(days):
    return cases_at(days, 150, 28)


def test_nothing_that_happens_from_the_cut_on_changes_what_is_known(days):
    later = days.where(days.day >= 150)
    moved = Days(np.r_[days.before(150).customer, later.customer], np.r_[days.before(150).day, later.day + 7],
                 np.r_[days.before(150).orders, later.orders * 3], np.r_[days.before(150).money, later.money * 9],
                 np.r_[days.before(150).lines, later.lines], np.r_[days.before(150).acts, later.acts + 5],
                 days.n_customers)
    rows = np.flatnonzero(days.before(150).total() > 0)

    names, x = features(days, 150, rows, 28)
    other, y = features(moved, 150, rows, 28)

    assert names == other
    assert np.array_equal(x, y)


def test_the_outcome_is_what_follows_the_cut_and_nothing_else(days, cases):
    bought = {(int(who), int(day)) for who, day in zip(days.customer, days.day, strict=True)}

    for who, gone in zip(cases.customer[:60].tolist(), cases.gone[:60].tolist(), strict=True):
        assert gone == (not any((who, day) in bought for day in range(150, 178)))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_way_gives_the_same_again_and_its_reasons_add_up(way, cases):
    one, other = way.fit(cases), way.fit(cases)
    x = cases.over(one.names)
    arrays, meta = one.state()

    score = one.score(x)

    assert np.array_equal(score, other.score(x))
    assert np.array_equal(way.restore(arrays, meta).score(x), score)
    rest = score - one.shares(x).sum(1)
    assert rest == pytest.approx(np.full(len(rest), rest[0]), abs=1e-9)


@pytest.mark.parametrize("way", WAYS[3:], ids=lambda way: way.name)
def test_shuffled_outcomes_cannot_be_told(way, days):
    train, test = cases_at(days, 110, 28), cases_at(days, 150, 28)
    areas = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        shuffled = Cases(train.names, train.x, rng.permutation(train.gone), train.customer, train.cut)
        scorer = way.fit(shuffled)
        areas.append(metrics.auc(scorer.score(test.over(scorer.names)), rng.permutation(test.gone)))

    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_the_trap_one_minus_alive_ranks_one_time_buyers_worse_than_chance_and_expected_purchases_do_not():
    rng = np.random.default_rng(4)
    once = rng.integers(0, 140, 400)
    often = [(400 + who, day) for who in range(150) for day in range(rng.integers(0, 20), 200, rng.integers(6, 14))]
    days = Days.of(np.r_[np.arange(400), [who for who, _ in often]], np.r_[once, [day for _, day in often]])

    found = cases_at(days, 150, 30)

    trap = metrics.auc(1 - found.column("chance to be a customer still"), found.gone)
    assert trap < 0.5
    assert metrics.auc(-found.column("expected purchases"), found.gone) > 0.9


def test_what_each_feature_adds_to_a_tree_is_its_mean_over_all_orders():
    rng = np.random.default_rng(0)
    leaf, cover, features_ = rng.normal(size=8), rng.uniform(1, 5, 8), [4, 2, 9]

    def mean(known, number):
        alike = [n for n in range(8) if all((n >> level & 1) == (number >> level & 1) for level in known)]
        return np.average(leaf[alike], weights=cover[alike])

    found = shapley(leaf, cover, features_)

    for number in range(8):
        for level in range(3):
            adds = [mean(order[:order.index(level) + 1], number) - mean(order[:order.index(level)], number)
                    for order in permutations(range(3))]
            assert found[number, level] == pytest.approx(np.mean(adds), abs=1e-6)


def test_a_feature_asked_twice_in_a_tree_has_all_of_its_share_once():
    found = shapley(np.array([0.0, 1.0, 2.0, 3.0]), np.ones(4), [5, 5])

    assert found[:, 1].tolist() == [0, 0, 0, 0]
    assert found[:, 0] == pytest.approx([-1.5, -0.5, 0.5, 1.5])


def test_boosting_finds_what_needs_two_features_at_once():
    x = np.random.default_rng(1).normal(size=(1_500, 4))
    y = ((x[:, 0] > 0) == (x[:, 1] > 0)).astype(float)

    model = grow(x[:1_000], y[:1_000], Boosting(trees=120, depth=2, rate=0.2, columns=1.0))
    plain = Logistic().fit(Cases(tuple("abcd"), x[:1_000], y[:1_000], np.arange(1_000), np.zeros(1_000, int)))

    assert metrics.auc(model.score(x[1_000:]), y[1_000:]) > 0.9
    assert metrics.auc(plain.score(x[1_000:]), y[1_000:]) < 0.65


def test_a_curve_rises_and_says_what_came():
    rng = np.random.default_rng(3)
    score = rng.uniform(-3, 3, 4_000)
    came = (rng.random(4_000) < 1 / (1 + np.exp(-2 * score))).astype(float)

    found = curve(score[:3_000], came[:3_000])

    assert (np.diff(found.chance) >= 0).all()
    assert metrics.expected_calibration_error(found(score[3_000:]), came[3_000:]) < 0.05


def test_silence_is_usual_up_to_where_nine_of_ten_returns_came():
    days = Days.of([0] * 11, np.cumsum([0, *[10] * 9, 60]))

    assert usual_silence(days) == 14
    assert usual_silence(Days.of([0, 1], [3, 4])) is None
