"""What a trial asks and what was right, on logs small enough to count by hand."""

import numpy as np
import pytest

from recommend.methods.logs import NOW, log_of
from shopkeeper.evidence.splits import TimeSplit, last_window
from shopkeeper.recommend.cases import (
    active_people,
    alike_things,
    baskets,
    next_things,
    repeated_share,
    sampled,
)
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import Interactions
from shopkeeper.represent.vocabulary import Vocabulary

SPLIT = last_window(NOW - 1, 10)  # the ten days before NOW; lines say how many days before NOW they lie


def logged(*lines, codes=None, **sizes):
    """A log of lines (customer, item, days before NOW, basket, weight); purchases are the target."""
    made = log_of(*lines, **sizes).sorted()
    people, things = ([f"{letter}{row}" for row in range(n)] for letter, n in (
        ("c", made.n_customers), ("i", made.n_items)))
    return Log(Vocabulary(people), Vocabulary(things), made, made.weight >= 1.0, "conversion", NOW,
               None if codes is None else np.asarray(codes))


def right(cases):
    """Shown item of each case -> what was right, for cases whose history is one thing."""
    sets = cases.relevant
    return {int(cases.histories.item[case]): sorted(sets.items[sets.indptr[case]:sets.indptr[case + 1]].tolist())
            for case in range(len(cases.cluster))}


def test_people_who_came_back_are_asked_about_what_they_bought_in_the_window():
    log = logged((0, 1, 20), (0, 2, 5), (0, 1, 4), (1, 3, 20), (2, 0, 3), (2, 0, 2))

    cases = active_people(log, SPLIT, 0, 100)

    assert cases.cluster.tolist() == [0, 2]
    assert (cases.relevant.indptr.tolist(), cases.relevant.items.tolist()) == ([0, 2, 3], [1, 2, 0])
    assert cases.histories.item.tolist() == [1]          # of customer 0 before the cut; customer 2 has none
    assert cases.known is None


def test_looking_at_something_in_the_window_is_not_what_a_recommendation_is_meant_to_bring_about():
    log = logged((0, 1, 20, 1, 1.0), (0, 2, 5, 2, 0.2), (1, 1, 5, 3, 1.0))

    assert active_people(log, SPLIT, 0, 100).cluster.tolist() == [1]


def test_where_people_do_not_come_back_for_things_only_new_ones_are_right_and_what_they_have_is_left_out():
    log = logged((0, 1, 20), (0, 1, 5), (0, 2, 4), (1, 1, 20), (1, 1, 5))

    cases = active_people(log, SPLIT, 0, 100, repeats=False)

    assert (cases.cluster.tolist(), cases.relevant.items.tolist(), cases.known.item.tolist()) == ([0], [2], [1])


def test_the_repeated_share_counts_pairs_of_a_person_and_a_thing():
    log = logged((0, 1, 20), (0, 1, 5), (0, 1, 4), (0, 2, 4), (1, 1, 3), (1, 1, 15))

    assert repeated_share(log, SPLIT) == pytest.approx(2 / 3)


def test_one_thing_of_a_basket_is_shown_and_the_others_are_right():
    log = logged((0, 1, 5, 7), (0, 2, 5, 7), (0, 3, 5, 7), (1, 1, 5, 8), (2, 0, 30, 9), (2, 1, 30, 9))

    cases = baskets(log, SPLIT, 0, 100)

    (shown, others), = right(cases).items()
    assert sorted([shown, *others]) == [1, 2, 3]
    assert cases.cluster.tolist() == [0]
    assert cases.known.item.tolist() == [shown]


def test_which_thing_of_a_basket_is_shown_hangs_on_the_seed_alone():
    lines = [(basket % 5, item, 3, basket) for basket in range(30) for item in range(4)]

    first, again, other = (baskets(logged(*lines), SPLIT, seed, 100).histories.item.tolist() for seed in (1, 1, 2))

    assert first == again != other


def test_what_follows_in_later_baskets_is_right_where_no_categories_are_known():
    log = logged((0, 1, 9, 1), (0, 2, 9, 1), (0, 3, 8, 2), (0, 4, 2, 3), (1, 1, 9, 4), (1, 1, 5, 5))

    found = right(next_things(log, SPLIT, 0, 100))

    assert found == {2: [3, 4], 3: [4]}   # 2 is the last line of its basket; nothing but itself follows 1 of customer 1


def test_alike_are_later_things_of_the_same_category_and_nothing_else():
    codes = [0, 0, 0, 1, -1]
    log = logged((0, 0, 9, 1), (0, 3, 8, 2), (0, 1, 7, 3), (0, 4, 6, 4), (0, 2, 5, 5), (0, 4, 4, 6), codes=codes)

    found = right(alike_things(log, SPLIT, 0, 100))

    assert found == {0: [1, 2], 1: [2]}


def test_things_of_one_moment_do_not_follow_each_other():
    log = logged((0, 0, 9, 1), (0, 1, 9, 1), (0, 2, 5, 2), codes=[0, 0, 0])

    assert right(alike_things(log, SPLIT, 0, 100)) == {0: [2], 1: [2]}


def test_a_person_meets_a_thing_for_the_first_time_once():
    log = logged((0, 0, 9, 1), (0, 0, 8, 2), (0, 1, 7, 3), (1, 0, 9, 4), (1, 1, 1, 5), codes=[0, 0])

    cases = alike_things(log, SPLIT, 0, 100)

    assert (cases.found, cases.cluster.tolist(), cases.histories.item.tolist()) == (2, [0, 1], [0, 0])


def test_at_most_ten_things_are_right_the_soonest():
    log = logged(*[(0, item, 9 - item / 2, item) for item in range(15)], codes=[0] * 15)

    assert right(alike_things(log, SPLIT, 0, 100))[0] == list(range(1, 11))


@pytest.mark.parametrize("build", [active_people, baskets, next_things, alike_things])
def test_an_empty_window_has_no_cases(build):
    log = logged((0, 1, 30, 1), (0, 2, 30, 1), (1, 1, 25, 2), codes=[0, 0, 0])

    assert len(build(log, SPLIT, 0, 100).cluster) == 0


@pytest.mark.parametrize("build", [active_people, baskets, next_things, alike_things])
def test_no_case_knows_anything_of_the_window_and_none_is_without_an_outcome(build):
    rng = np.random.default_rng(3)
    lines = [(int(c), int(i), float(d), int(c) * 100 + int(d)) for c, i, d in zip(
        rng.integers(0, 20, 400), rng.integers(0, 12, 400), rng.integers(0, 40, 400), strict=True)]

    cases = build(logged(*lines, codes=[0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, 0]), SPLIT, 0, 30)

    assert 0 < len(cases.cluster) <= 30 <= cases.found or build is active_people
    assert (cases.histories.when < SPLIT.train_until).all()
    assert (np.diff(cases.relevant.indptr) > 0).all()


def test_a_sample_is_the_same_for_the_same_seed_and_whole_where_it_is_small_enough():
    rows = np.arange(100) * 3

    assert np.array_equal(sampled(rows, 10, 4), sampled(rows, 10, 4))
    assert not np.array_equal(sampled(rows, 10, 4), sampled(rows, 10, 5))
    assert np.array_equal(sampled(rows, 100, 4), rows)
    assert (np.diff(sampled(rows, 10, 4)) > 0).all()




def test_things_of_one_moment_are_shown_whatever_they_are_called():
    day, n = 86_400_000_000, 400
    customer = np.repeat(np.arange(n // 4), 4).astype(np.int32)  # two orders of two lines each, in two moments
    item = np.tile([0, 9, 1, 8], n // 4).astype(np.int32)
    when = np.tile([20 * day, 20 * day, 25 * day, 25 * day], n // 4)
    basket = np.repeat(np.arange(n // 2), 2)
    lines = Interactions(customer, item, when, basket, np.ones(n, np.float32), n // 4, 10).sorted()
    people, things = (Vocabulary([f"{kind}{i}" for i in range(size)]) for kind, size in (("p", n // 4), ("i", 10)))
    log = Log(people, things, lines, np.ones(n, bool), "conversion", 26 * day)

    shown = next_things(log, TimeSplit(19 * day, 19 * day, 27 * day), 0, 1000).histories.item

    assert 25 < (shown == 0).sum() < 75  # of 100: by chance, not the last of the alphabet
