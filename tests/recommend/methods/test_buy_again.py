"""Buy again: a customer's own habits."""

import numpy as np

from recommend.methods.logs import NOW, log_of
from shopkeeper.recommend.methods.base import DAY, Histories
from shopkeeper.recommend.methods.buy_again import BuyAgain, BuyAgainParams, read_habits


def every(item, days, times, last=0, customer=0):
    return [(customer, item, last + days * n) for n in range(times)]


def best(log, params=None, k=3, customer=0):
    fitted = BuyAgain().fit(log, NOW + 1, params or BuyAgainParams())
    return fitted.top(Histories.of(log, [customer]), NOW + 1, k)[0][0].tolist()


def test_what_is_bought_more_often_comes_first():
    log = log_of(*every(0, 30, 2, last=5), *every(1, 30, 6, last=5), *every(2, 30, 1, last=5))

    assert best(log) == [1, 0, 2]


def test_of_equal_habits_the_one_lately_kept_comes_first():
    log = log_of(*every(0, 20, 4, last=120), *every(1, 20, 4, last=10))

    assert best(log, k=2) == [1, 0]


def test_a_habit_given_up_many_intervals_ago_falls_behind_a_slow_one_that_lives():
    log = log_of(*every(0, 2, 9, last=90), *every(1, 60, 5, last=60))

    assert best(log, BuyAgainParams(half_life=365, patience=2), k=2) == [1, 0]


def test_waiting_holds_back_what_was_bought_a_moment_ago():
    log = log_of(*every(0, 40, 6, last=0), *every(1, 40, 6, last=40))

    assert best(log, BuyAgainParams(half_life=1e5, wait=0.0), k=2)[0] == 0
    assert best(log, BuyAgainParams(half_life=1e5, wait=0.9), k=2)[0] == 1


def test_of_things_bought_once_the_one_that_others_buy_again_comes_first():
    others = [line for customer in (1, 2, 3) for line in every(1, 20, 8, customer=customer)]
    once = [(customer, 0, 10) for customer in (1, 2, 3)]
    log = log_of((0, 0, 15), (0, 1, 15), *others, *once)

    assert best(log, k=2) == [1, 0]


def test_what_was_never_bought_comes_after_in_the_order_of_popularity():
    log = log_of((0, 3, 200), (1, 1, 5), (1, 2, 5), (2, 2, 5), n_items=5)

    assert best(log, k=4) == [3, 2, 1, 0]


def test_a_stranger_is_given_the_popular_with_score_0():
    log = log_of((1, 1, 5), (1, 2, 5), (2, 2, 5))
    fitted = BuyAgain().fit(log, NOW, BuyAgainParams())

    ranked, scores = fitted.top(Histories.of(log, [0]), NOW, 2)

    assert ranked.tolist() == [[2, 1]]
    assert scores.tolist() == [[0.0, 0.0]]


def test_where_there_are_purchases_views_are_none():
    log = log_of(*[(0, 0, day, day, 1.0) for day in range(20)], (0, 1, 50, 99, 5.0))

    assert best(log, k=1) == [1]


def test_lines_of_one_basket_are_one_purchase():
    habits = read_habits(Histories.single([4, 4, 4], [0, 0, 10 * DAY], basket=[1, 1, 2]), 30 * DAY, half_life=10.0)

    assert habits.times.tolist() == [2.0]
    assert habits.span.tolist() == [10.0]
    assert habits.gap.tolist() == [20.0]
    assert np.allclose(habits.strength, 0.5**3 + 0.5**2)


def test_the_planted_interval_of_each_item_is_recovered_within_a_tenth():
    rng = np.random.default_rng(0)
    planted = np.array([7.0, 20.0, 45.0])
    lines = [(customer, item, day) for customer in range(40) for item, days in enumerate(planted)
             for day in np.cumsum(rng.normal(days, days / 5, int(600 / days)).clip(1)).astype(int)]

    fitted = BuyAgain().fit(log_of(*lines), NOW, BuyAgainParams())

    assert np.abs(fitted.items.interval / planted - 1).max() < 0.1


def test_the_reason_is_the_item_itself():
    log = log_of((0, 1, 5), (1, 2, 5))
    fitted = BuyAgain().fit(log, NOW, BuyAgainParams())

    assert fitted.because(Histories.of(log, [0]), [1, 2], NOW) == [[(1, 1.0)], []]
