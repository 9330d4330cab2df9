"""What stands in for an item among things of a kind: the popular ones, and those that people turn to next."""

import numpy as np
import pytest

from recommend.methods.logs import NOW, log_of
from shopkeeper.errors import BadInput
from shopkeeper.recommend.methods.alike import Alike, AlikeParams
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.popular import PopularParams
from shopkeeper.recommend.methods.same_category import SameCategory, codes_of

KINDS = [0, 0, 0, 1, 1, -1]
#          of kind 0: item 0 then 1 for many; 2 is the popular one; of kind 1: item 3 is popular; 5 is of no kind
LOG = log_of(*[(person, 0, 9, 10 * person) for person in range(4)], *[(person, 1, 5, 10 * person + 1)
             for person in range(4)], *[(person + 4, 2, 3, 100 + person) for person in range(6)],
             *[(person, 3, 2, 200 + person) for person in range(9)], (9, 4, 2, 300), (9, 5, 2, 301))


def ranked(fitted, item, k=6):
    one = Histories.single([item])
    return fitted.top(one, NOW, k, exclude=one.items())[0][0].tolist()


def test_the_popular_of_the_same_category_come_first_and_then_the_popular_of_all():
    fitted = SameCategory(KINDS).fit(LOG, NOW, PopularParams(28))

    assert ranked(fitted, 0) == [2, 1, 3, 4, 5, -1]
    assert ranked(fitted, 3) == [4, 2, 0, 1, 5, -1]


def test_what_was_taken_before_the_window_still_comes_before_other_categories():
    fitted = SameCategory(KINDS).fit(LOG, NOW, PopularParams(4))

    assert ranked(fitted, 2)[:2] == [0, 1]


def test_a_history_of_two_categories_is_heard_by_its_shares():
    fitted = SameCategory(KINDS).fit(LOG, NOW, PopularParams(None))

    scores = fitted.score(Histories.single([0, 1, 4]), NOW)[0]

    assert scores[2] == pytest.approx(2 / 3 * fitted.popularity[2])
    assert scores[3] == pytest.approx(1 / 3 * fitted.popularity[3])
    assert scores[5] == 0


def test_the_reason_is_the_item_of_the_same_category():
    fitted = SameCategory(KINDS).fit(LOG, NOW, PopularParams(None))

    assert fitted.because(Histories.single([0, 4]), [2, 3, 5], NOW) == [[(0, 1.0)], [(4, 1.0)], []]


def test_what_people_turn_to_comes_before_what_is_popular_of_the_category():
    fitted = Alike(KINDS).fit(LOG, NOW, AlikeParams())

    assert ranked(fitted, 0)[:2] == [1, 2]


def test_with_more_weight_on_the_category_the_popular_one_comes_first():
    fitted = Alike(KINDS).fit(LOG, NOW, AlikeParams(blend=10.0))

    assert ranked(fitted, 0)[:2] == [2, 1]


def test_a_link_never_leaves_the_category():
    fitted = Alike(KINDS).fit(LOG, NOW, AlikeParams())
    row, column = fitted.near.links.nonzero()
    codes = codes_of(KINDS, 6)

    assert len(row) > 0
    assert (codes[row] == codes[column]).all()


def test_where_nobody_turned_to_anything_the_popular_of_the_category_answer():
    fitted = Alike(KINDS).fit(LOG, NOW, AlikeParams())

    assert ranked(fitted, 2)[:2] == [0, 1]


def test_the_shares_of_a_reason_are_of_the_links_and_of_the_category():
    fitted = Alike(KINDS).fit(LOG, NOW, AlikeParams(blend=0.5))
    (reasons,) = fitted.because(Histories.single([0, 2]), [1], NOW)

    assert sum(share for _, share in reasons) == pytest.approx(1)
    assert [item for item, _ in reasons] == [0, 2]      # 0 by its link and its category, 2 by the category alone


def test_without_categories_all_items_are_of_one_kind():
    plain, kinds = (method.fit(LOG, NOW, PopularParams(None)) for method in (SameCategory(), SameCategory([0] * 6)))

    assert np.array_equal(plain.score(Histories.single([0]), NOW), kinds.score(Histories.single([0]), NOW))


@pytest.mark.parametrize("given", [{"blend": 0.0}, {"window": 0}, {"blend": -1}])
def test_a_setting_out_of_its_limits_is_refused(given):
    with pytest.raises(BadInput, match="it must lie between"):
        AlikeParams(**given)
