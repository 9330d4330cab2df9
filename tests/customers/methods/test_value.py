"""BG/NBD and Gamma-Gamma: the likelihood by hand, parameters that were planted, futures that come."""

import numpy as np
import pytest
from scipy import special

from customers.made import bg_nbd, people
from shopkeeper.customers.methods import buy_till_you_die, spend
from shopkeeper.customers.methods.base import Days, Repeats, repeats
from shopkeeper.customers.methods.buy_till_you_die import BuyTillYouDie
from shopkeeper.customers.methods.hypergeometric import hypergeometric
from shopkeeper.customers.methods.value import METHODS, Lifetime, PastRate, Weighed, level

MODEL = BuyTillYouDie(0.6, 20.0, 1.2, 3.0)


def by_hand(model, past):
    """The log-likelihood as the paper writes it, customer by customer."""
    r, alpha, a, b = model.params
    total = 0.0
    for x, last, age in zip(past.x, past.last, past.age, strict=True):
        alive = special.beta(a, b + x) / special.beta(a, b) * (1 / (alpha + age)) ** (r + x)
        gone = special.beta(a + 1, b + x - 1) / special.beta(a, b) * (1 / (alpha + last)) ** (r + x) if x else 0.0
        total += np.log((alive + gone) * special.gamma(r + x) * alpha ** r / special.gamma(r))
    return total


def test_the_likelihood_is_that_of_the_paper():
    past = bg_nbd(60)

    assert buy_till_you_die.log_likelihood(MODEL, past) == pytest.approx(by_hand(MODEL, past), rel=1e-9)


def test_the_slope_is_that_of_the_likelihood():
    loss = buy_till_you_die._loss_of(bg_nbd(300))
    at, step = np.log(MODEL.params), 1e-6

    found = loss(at)[1]

    by_differences = [(loss(at + e)[0] - loss(at - e)[0]) / (2 * step) for e in np.eye(4) * step]
    assert found == pytest.approx(by_differences, abs=1e-6)


def test_planted_parameters_are_found_where_the_panel_is_of_the_models_own_family():
    found = buy_till_you_die.fit(bg_nbd(12_000))

    assert np.log(found.params) == pytest.approx(np.log(MODEL.params), abs=0.2)
    assert found.log_likelihood >= buy_till_you_die.log_likelihood(MODEL, bg_nbd(12_000))


def test_a_fit_on_all_after_a_part_is_the_fit_on_all(monkeypatch):
    past = bg_nbd(3_000)
    whole = buy_till_you_die.fit(past)
    monkeypatch.setattr(buy_till_you_die, "WARM", 1_000)

    assert buy_till_you_die.fit(past).params == pytest.approx(whole.params, rel=1e-3)


def test_what_is_expected_is_the_mean_of_the_futures_that_are_drawn():
    past = Repeats.of([0, 2, 7], [0, 60, 150], [200, 200, 160])
    rng = np.random.default_rng(1)

    drawn = np.mean([MODEL.draw(past, 90, rng) for _ in range(6_000)], axis=0)

    assert drawn == pytest.approx(MODEL.expected(past, 90), rel=0.06)


def test_the_series_of_one_parameter_set_is_exact_where_many_are_asked():
    z = np.linspace(0.001, 0.95, 500)

    assert hypergeometric(2.6, 5.0, 5.2, z) == pytest.approx(special.hyp2f1(2.6, 5.0, 5.2, z), rel=1e-9)


def test_planted_means_of_money_are_found():
    rng = np.random.default_rng(2)
    x = rng.integers(1, 8, 20_000).astype(float)
    rate = rng.gamma(4.0, 1 / 30.0, len(x))
    mean = rng.gamma(6.0 * x) / (rate * x)

    found = spend.fit(Repeats.of(x, x, x + 1, mean))

    assert np.log(found.params) == pytest.approx(np.log([6.0, 4.0, 30.0]), abs=0.12)


def test_who_bought_once_is_expected_to_pay_what_everybody_pays():
    model = spend.Spend(6.0, 4.0, 30.0)

    assert model.expected(Repeats.of([0], [0], [10], [0]))[0] == pytest.approx(6 * 30 / 3)


def test_the_level_is_one_where_there_is_too_little_to_tell():
    assert level(Days.of([0, 0, 1], [0, 5, 3]), 10) == 1.0


def test_on_a_panel_of_another_family_the_total_is_nearer_than_by_the_past_rate():
    who, when, money, _ = people(n=400, days=300, seed=8)
    days = Days.of([int(name[1:]) for name in who], when.astype(int), money)
    rows, past = repeats(days, 200)
    came = days.where(days.day >= 200).bought().total()[rows].sum()

    wrong = {method.name: abs(method.fit(days, 200).purchases(past, 100).sum() / came - 1)
             for method in (PastRate, Lifetime)}

    assert wrong["buy_till_you_die"] < 0.25
    assert wrong["buy_till_you_die"] < wrong["past_rate"]


def test_refunds_make_purchases_cheaper_and_never_dearer_than_nothing():
    whole, half, over = (repeats(Days.of([0, 0, 0], [0, 5, 9], money), 10)[1].spend[0]
                         for money in ([10, 10, 10], [10, 10, 10], [10, 10, 10]))
    back = Days(np.zeros(3, int), np.array([0, 5, 8]), np.array([1.0, 1.0, 0.0]), np.array([10.0, 10.0, -30.0]),
                np.ones(3), np.zeros((3, 5)), 1)

    assert (whole, half, over) == (10, 10, 10)
    assert repeats(back, 10)[1].spend[0] == 0


def test_nobody_who_came_back_is_no_model():
    with pytest.raises(ValueError, match="nobody came back"):
        buy_till_you_die.fit(Repeats.of([0, 0], [0, 0], [5, 9]))


@pytest.mark.parametrize("method", METHODS)
def test_what_was_fitted_survives_the_way_through_arrays(method):
    who, when, money, _ = people(n=60)
    days = Days.of([int(name[1:]) for name in who], when.astype(int), money)
    fitted, past = method.fit(days, 200), repeats(days, 200)[1]

    again = method.restore(fitted.state())

    assert np.array_equal(again.purchases(past, 50), fitted.purchases(past, 50))
    assert np.array_equal(again.each(past), fitted.each(past))
    assert np.array_equal(again.draws(past, 50, 3, 7), fitted.draws(past, 50, 3, 7))


def test_customers_who_do_not_differ_get_an_expectation_nevertheless():
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.exponential(30, (500, 60)), axis=1)
    who, at = np.nonzero(times < 300)
    days = Days.of(who, times[who, at].astype(int), n_customers=500)
    past = repeats(days, 300)[1]

    found = buy_till_you_die.fit(past).expected(past, 90)

    assert found.sum() == pytest.approx(500 * 3, rel=0.1)


@pytest.mark.parametrize("planted", [0.0, 0.8])
def test_whether_who_pays_more_comes_more_often_is_found_and_the_sum_stays(planted):
    rng = np.random.default_rng(5)
    who, when, money = [], [], []
    for person in range(500):
        price = rng.lognormal(3, 0.6)
        gap = 30 * (price / 24) ** -planted * rng.lognormal(0, 0.3)
        times = np.cumsum(rng.exponential(gap, 60)) + rng.uniform(0, 60)
        times = times[times < 300]
        who, when, money = [*who, *[person] * len(times)], [*when, *times], [*money, *price * rng.uniform(0.9, 1.1, len(
            times))]
    days = Days.of(who, np.array(when).astype(int), money, 500)
    past = repeats(days, 300)[1]

    found = Weighed.fit(days, 300)

    assert found.power > 0.3 if planted else abs(found.power) < 0.2  # 3 standard errors
    assert found.purchases(past, 300).sum() == pytest.approx(found.base.purchases(past, 300).sum(), rel=0.02)
