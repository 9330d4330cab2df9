"""Popular: counts of late."""

import numpy as np
import pytest

from recommend.methods.logs import NOW, log_of
from shopkeeper.errors import BadInput
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.popular import Popular, PopularParams

LOG = log_of((0, 0, 30), (1, 0, 30), (2, 0, 30), (0, 1, 2), (1, 1, 3), (0, 2, 1), (1, 3, 40))


@pytest.mark.parametrize("window, order", [(7, [1, 2, 0, 3]), (1, [2, 0, 1, 3]), (None, [0, 1, 2, 3])])
def test_items_are_ranked_by_their_count_within_the_window_then_ever(window, order):
    fitted = Popular().fit(LOG, NOW, PopularParams(window))

    ranked, _ = fitted.top(Histories.of(LOG, [0]), NOW, 4)

    assert ranked.tolist() == [order]


def test_heavier_lines_count_more():
    log = log_of((0, 0, 1, 0, 1.0), (1, 0, 1, 1, 1.0), (0, 1, 1, 2, 5.0))

    assert Popular().fit(log, NOW, PopularParams(7)).popularity.tolist() == [2.0, 5.0]


def test_everybody_is_given_the_same_and_nobody_is_told_a_reason():
    fitted = Popular().fit(LOG, NOW, PopularParams())

    ranked, scores = fitted.top(Histories.of(LOG, [0, 1, -1]), NOW, 3)

    assert np.array_equal(ranked[0], ranked[2])
    assert scores[0].tolist() == [2.0, 1.0, 0.0]
    assert fitted.because(Histories.of(LOG, [0]), ranked[0], NOW) == [[], [], []]


def test_a_window_of_no_days_is_refused():
    with pytest.raises(BadInput) as refusal:
        PopularParams(window=0)

    assert str(refusal.value) == "window is 0; it must lie between 1 and 100000."
