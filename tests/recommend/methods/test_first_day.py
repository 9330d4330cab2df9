"""New items among those of a method: ordered by what they are like, and never crowding a list."""

import numpy as np
import pytest

from shopkeeper.evidence.metrics import Relevant
from shopkeeper.recommend.methods.base import Histories, ItemSets
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.first_day import FEATURES, WAYS, FirstDay, Way, WithNew, learned_weights
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.represent.content import described

LOG = small_log(seed=2)
N, NEW = 30, 6
ITEMS = described([None] * (N + NEW), [f"Shop > kind {row % 3}" for row in range(N + NEW)],
                  ["near" if row % 2 else "far" for row in range(N + NEW)], np.arange(N + NEW, dtype=float))
PEOPLE = Histories.of(LOG, [0, 1, 2, 3, -1])


@pytest.fixture(scope="module")
def fitted():
    return Neighbours().fit(LOG, NOW, NeighboursParams())


@pytest.fixture(scope="module")
def first():
    return FirstDay(np.arange(N, N + NEW), np.arange(N), ITEMS, np.bincount(LOG.item, minlength=N))


def test_the_features_are_those_of_the_history_counted_by_hand(first, fitted):
    seen = first.features(fitted, PEOPLE, NOW)
    one = PEOPLE.part(0, 1)
    steps = np.unique(one.basket[::-1], return_index=True)[1]
    since = np.cumsum(np.isin(np.arange(len(one.basket)), steps))[::-1]
    loud = one.weight * 0.97 ** (since - since[-1])
    share = [loud[one.item % 3 == row % 3].sum() / loud.sum() for row in range(N, N + NEW)]
    lines = np.bincount(LOG.item, minlength=N)

    assert seen.shape == (5, NEW, len(FEATURES))
    np.testing.assert_allclose(seen[0, :, FEATURES.index("share of category")], share, rtol=1e-6)
    np.testing.assert_allclose(seen[0, :, FEATURES.index("popular category")],
                               [lines[np.arange(N) % 3 == row % 3].mean() for row in range(N, N + NEW)])
    assert (seen[-1, :, :6] == 0).all()


@pytest.mark.parametrize("name", WAYS[:3])
def test_each_plain_way_orders_by_what_it_says(first, fitted, name):
    seen = first.features(fitted, PEOPLE, NOW)
    of = dict(zip(FEATURES, np.moveaxis(seen, -1, 0), strict=True))
    right = {"popular_in_category": of["popular category"], "borrowed": of["borrowed"],
             "category_share": of["popular category"] * (of["share of category"] + 1e-6)}[name]

    np.testing.assert_allclose(first.order(Way(name), seen), right)


def test_what_people_take_is_what_the_learned_weights_put_first(first, fitted):
    liked = np.asarray([[row for row in range(NEW) if (N + row) % 2 == place % 2] for place in range(4)])
    right = Relevant.of([*liked, []])
    brands = FirstDay(np.arange(N, N + NEW), np.arange(N), ITEMS, np.ones(N))
    tastes = Histories.of(LOG.where((LOG.item % 2) == (LOG.customer % 2)), [0, 1, 2, 3, -1])
    weights = learned_weights(brands, fitted, tastes, right, NOW)

    assert max(zip(weights, FEATURES, strict=True))[1] == "share of brand"
    order = brands.order(Way("learned", weights), brands.features(fitted, tastes, NOW))
    for place in range(4):
        assert set(np.argsort(-order[place])[:3]) == set(liked[place])


def test_new_items_enter_by_the_scores_that_they_borrow_in_the_order_of_the_way(first, fitted):
    for name in WAYS[:3]:
        entering = first.entering(Way(name), fitted, PEOPLE, NOW)
        order = first.order(Way(name), first.features(fitted, PEOPLE, NOW))
        np.testing.assert_allclose(np.sort(entering), np.sort(first.borrowed(fitted, PEOPLE, NOW)), rtol=1e-5)
        for place in range(4):
            assert (np.diff(entering[place][np.argsort(-order[place], kind="stable")]) <= 1e-6).all()


def test_of_five_places_a_new_item_has_one_at_most_however_high_its_score(first, fitted):
    rows, scores = WithNew(fitted, N, first, Way("borrowed"), 1000.0).top(PEOPLE, NOW, 20)

    for place in range(4):
        new = rows[place] >= N
        assert new[0]
        assert all(new[:p].sum() <= max(1, p // 5) for p in range(1, 21))
        assert len(set(rows[place].tolist())) == 20
    assert (np.isfinite(scores)).all()


def test_known_items_keep_their_order_and_a_share_of_nothing_lets_nobody_in(first, fitted):
    plain, _ = fitted.top(PEOPLE, NOW, 10)
    rows, _ = WithNew(fitted, N, first, Way("borrowed"), 1000.0).top(PEOPLE, NOW, 10)
    shut, _ = WithNew(fitted, N, first, Way("borrowed"), 0.0).top(PEOPLE, NOW, 10)

    assert shut.tolist() == plain.tolist()
    for place in range(5):
        known = rows[place][rows[place] < N]
        assert known.tolist() == plain[place][:len(known)].tolist()


def test_excluded_and_disallowed_new_items_stay_out_and_all_others_come(first, fitted):
    allowed = np.arange(N + NEW) % 4 != 3
    rows, _ = WithNew(fitted, N, first, Way("borrowed"), 1.0).top(
        PEOPLE.part(0, 2), NOW, N + NEW, exclude=ItemSets.of([[N], [0, N + 1]]), allowed=allowed)

    for place, out in enumerate(([N], [0, N + 1])):
        named = rows[place][rows[place] >= 0]
        assert sorted(named.tolist()) == sorted(set(np.flatnonzero(allowed).tolist()) - set(out))


def test_the_reasons_of_known_and_new_items_come_from_the_history(first, fitted):
    one = PEOPLE.part(0, 1)
    both = WithNew(fitted, N, first, Way("borrowed"), 1.0)
    known, new = both.because(one, [3, N + 2], NOW)

    assert known == fitted.because(one, [3], NOW)[0]
    assert {item for item, _ in new} <= set(one.item.tolist())
    assert sum(share for _, share in new) == pytest.approx(1)
