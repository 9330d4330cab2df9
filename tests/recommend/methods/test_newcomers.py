"""A new item is wanted as much as what it is most like, by whatever method, and because of the same history."""

import numpy as np
import pytest

from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.factors import Factors, FactorsParams
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.newcomers import Newcomers, NewcomersParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.represent.content import marked

LOG = small_log(seed=2)
KINDS = [f"kind {item % 5}" for item in range(30)]
NEW = ["kind 3", "kind 0", "nothing known"]
CONTENT = marked([[kind] for kind in [*KINDS, *NEW]])
SEEN = np.bincount(LOG.item, minlength=30) > 0
METHODS = {"neighbours": (Neighbours(), NeighboursParams()), "popular": (Popular(), PopularParams(None)),
           "factors": (Factors(), FactorsParams())}


@pytest.fixture(params=METHODS)
def fitted(request):
    method, params = METHODS[request.param]
    return method.fit(LOG, NOW, params)


def people(*rows):
    return Histories.of(LOG, rows)


def test_the_score_of_a_new_item_is_the_mean_of_those_that_it_is_like(fitted):
    scores = Newcomers(CONTENT, 30, SEEN).score(fitted, people(0, 1), NOW)
    known = fitted.score(people(0, 1), NOW)
    of_kind = known[:, [item for item, kind in enumerate(KINDS) if kind == "kind 3" and SEEN[item]]]

    np.testing.assert_allclose(scores[:, 0], of_kind.mean(axis=1), rtol=1e-5)
    assert scores[:, 2].tolist() == [0, 0]


def test_the_best_new_items_come_first_and_what_is_like_nothing_never_comes(fitted):
    newcomers = Newcomers(CONTENT, 30, SEEN)
    rows, scores = newcomers.top(fitted, people(0, 5), NOW, 4)
    every = newcomers.score(fitted, people(0, 5), NOW)

    for place in range(2):
        named = rows[place][rows[place] >= 0]
        assert every[place][named].tolist() == sorted(every[place][every[place] > 0], reverse=True)
        assert 2 not in named
    assert (scores[rows < 0] == -np.inf).all()


def test_items_that_nobody_had_to_do_with_say_nothing():
    fitted = Popular().fit(LOG, NOW, PopularParams(None))
    only = np.zeros(30, dtype=bool)
    only[3] = True
    scores = Newcomers(CONTENT, 30, only).score(fitted, people(0), NOW)

    assert scores[0].tolist() == [pytest.approx(float(fitted.popularity[3])), 0, 0]


def test_the_reasons_of_a_new_item_are_items_of_the_history_and_add_up_to_one():
    fitted = Neighbours().fit(LOG, NOW, NeighboursParams())
    newcomers, person = Newcomers(CONTENT, 30, SEEN), people(7)
    rows, _ = newcomers.top(fitted, person, NOW, 2)
    for reasons in newcomers.because(fitted, person, rows[0], NOW):
        assert {item for item, _ in reasons} <= set(person.item.tolist())
        assert sum(share for _, share in reasons) == pytest.approx(1)


def test_fewer_that_are_more_alike_may_speak():
    content = marked([["a", "b"], ["a", "c"], ["d"], ["a", "b"]])
    one = Newcomers(content, 3, np.ones(3, dtype=bool), NewcomersParams(alike=1))
    two = Newcomers(content, 3, np.ones(3, dtype=bool), NewcomersParams(alike=2, power=1.0))

    assert one.like.toarray().tolist() == [[1, 0, 0]]
    assert (two.like.toarray() > 0).tolist() == [[True, True, False]]
    assert len(two) == 1
