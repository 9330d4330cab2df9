"""Factorisation: both forms equal a plain second computation, and a history counts when it is asked about."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from shopkeeper.recommend.methods.base import DAY, Histories
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.factors import (
    Factors,
    FactorsParams,
    closed_form,
    item_tastes,
    strongest,
    taken_by,
)

LOG = small_log(seed=3)
FORMS = {"links": Factors(), "tastes": Factors(small=0)}
PARAMS = FactorsParams(dimensions=6, rounds=30, ridge=0.3)


def two_worlds():
    """20 people who take only the even of ten items and 20 who take only the odd ones; nobody takes them all."""
    rng = np.random.default_rng(1)
    rows = [(person, 2 * item + person % 2) for person in range(40) for item in rng.choice(5, 3, replace=False)]
    person, item = np.array(rows).T
    log = small_log(customers=40, items=10)
    return type(log)(person.astype(np.int32), item.astype(np.int32), np.arange(120), np.arange(120),
                     np.ones(120, np.float32), 40, 10)


def test_each_column_of_the_links_is_the_ridge_regression_of_the_item_on_all_others():
    X = taken_by(LOG).toarray()
    links = closed_form(sparse.csr_matrix(X), 0.3)
    ridge = 0.3 * np.diag(X.T @ X).mean()

    for item in range(X.shape[1]):
        others = np.delete(X, item, axis=1)
        expected = np.linalg.solve(others.T @ others + ridge * np.eye(others.shape[1]), others.T @ X[:, item])
        np.testing.assert_allclose(np.delete(links[:, item], item), expected, atol=1e-10)
        assert links[item, item] == 0


def test_sparse_and_dense_products_give_the_same_links():
    few = sparse.random(900, 60, density=0.01, random_state=1, format="csr")
    crowded = sparse.random(40, 60, density=0.5, random_state=2, format="csr")

    for X in (few, crowded):
        dense = X.toarray()
        G = dense.T @ dense
        P = np.linalg.inv(G + np.diag(G)[np.diag(G) > 0].mean() * np.eye(60))
        expected = -P / np.diag(P)
        np.fill_diagonal(expected, 0)
        np.testing.assert_allclose(closed_form(X, 1.0), expected, atol=1e-9)


def test_only_the_strongest_links_of_each_item_stay_for_and_against():
    kept = strongest(np.array([[0.0, 3.0, -4.0], [0.5, 0.0, 0.5], [0.0, 0.25, 0.0]]), 1)

    assert kept.toarray().tolist() == [[0, 0, -4], [0.5, 0, 0.5], [0, 0.25, 0]]


def test_the_rounds_end_where_no_taste_can_be_better_alone():
    taken = taken_by(LOG)
    Y = item_tastes(taken, FactorsParams(dimensions=4, rounds=300, belief=3.0, shrink=1.0)).astype(np.float64)
    C = 1 + 3.0 * taken.toarray()
    P = (taken.toarray() > 0).astype(float)
    X = np.stack([np.linalg.solve((Y.T * c) @ Y + np.eye(4), (Y.T * c) @ p) for c, p in zip(C, P, strict=True)])
    again = np.stack([np.linalg.solve((X.T * c) @ X + np.eye(4), (X.T * c) @ p) for c, p in zip(C.T, P.T, strict=True)])

    np.testing.assert_allclose(again, Y, atol=5e-3)


def test_the_tastes_of_a_history_are_the_exact_minimum_for_it():
    fitted = FORMS["tastes"].fit(LOG, NOW, PARAMS)
    history = Histories.single([4, 9, 4], weight=[1.0, 0.2, 0.6])
    Y = fitted.tastes.astype(np.float64)
    c = np.ones(30)
    c[4] += PARAMS.belief * (PARAMS.recency ** 2 + 0.6)
    c[9] += PARAMS.belief * 0.2 * PARAMS.recency
    p = (c > 1).astype(float)
    expected = Y @ np.linalg.solve((Y.T * c) @ Y + PARAMS.shrink * np.eye(6), (Y.T * c) @ p)

    np.testing.assert_allclose(fitted.score(history, NOW)[0], np.maximum(expected, 0), atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_who_takes_things_of_one_world_is_given_the_rest_of_it(form):
    fitted = FORMS[form].fit(two_worlds(), NOW, FactorsParams(dimensions=4, rounds=30))

    for world in (0, 1):
        history = Histories.single([world, world + 2])
        ranked, _ = fitted.top(history, NOW, 3, exclude=history.items())
        assert sorted(ranked[0].tolist()) == [world + 4, world + 6, world + 8]


@pytest.mark.parametrize("form", FORMS)
def test_a_new_event_changes_the_next_answer(form):
    fitted = FORMS[form].fit(two_worlds(), NOW, FactorsParams(dimensions=4, rounds=30))
    before, after = Histories.single([0]), Histories.single([0, 1, 3])

    one, other = (set(fitted.top(h, NOW, 2, exclude=h.items())[0][0].tolist()) for h in (before, after))

    assert one <= {2, 4, 6, 8}
    assert other <= {5, 7, 9}


@pytest.mark.parametrize("form", FORMS)
def test_without_the_event_that_is_named_first_the_item_scores_less(form):
    fitted = FORMS[form].fit(LOG, NOW, replace(PARAMS, recency=1.0))  # else what is left would grow louder
    lower = asked = 0
    for person in range(20):
        history = Histories.of(LOG, [person])
        ranked, scores = fitted.top(history, NOW, 3)
        for item, score, reasons in zip(ranked[0], scores[0], fitted.because(history, ranked[0], NOW), strict=True):
            if reasons:
                less = history.where(history.item != reasons[0][0])
                asked, lower = asked + 1, lower + int(fitted.score(less, NOW)[0, item] < score)

    assert asked >= 50
    assert lower >= 0.95 * asked


def test_the_history_counts_for_itself_only_where_things_are_taken_again():
    plain, again = (Factors().fit(LOG, NOW, FactorsParams(repeats=repeats)) for repeats in (0.0, 20.0))

    assert plain.links.diagonal().max() == 0
    assert again.links.diagonal().min() > 0


def test_whoever_is_not_known_is_given_what_was_taken_lately():
    log = two_worlds()
    when = np.where(log.item == 7, NOW - DAY, NOW - 200 * DAY)
    when[np.flatnonzero(log.item == 7)[1:]] = NOW - 200 * DAY
    log = type(log)(log.customer, log.item, when, log.basket, log.weight, 40, 10)
    order = np.argsort(-np.bincount(log.item), kind="stable")

    lately, ever = (Factors().fit(log, NOW, FactorsParams(window=window)) for window in (28, None))

    assert lately.top(Histories.single([]), NOW, 1)[0].tolist() == [[7]]
    assert ever.top(Histories.single([]), NOW, 10)[0].tolist() == [order.tolist()]


@pytest.mark.parametrize("small", [4_000, 0])
def test_a_method_that_has_fitted_other_settings_and_logs_gives_what_a_new_one_gives(small):
    used, other = Factors(small=small), small_log(seed=4)
    settings = [replace(PARAMS, recency=0.5), replace(PARAMS, ridge=2.0, shrink=1.0), replace(PARAMS, keep=3)]
    for log in (LOG, other, LOG):
        for params in settings:
            ours, fresh = used.fit(log, NOW, params), Factors(small=small).fit(log, NOW, params)
            people = Histories.of(LOG, [0, 3])
            assert np.array_equal(ours.score(people, NOW), fresh.score(people, NOW))
