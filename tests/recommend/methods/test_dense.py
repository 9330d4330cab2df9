"""Ranking by a score of every item: what is looked at in blocks first is what a plain sort gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommend.methods.logs import NOW
from shopkeeper.recommend.methods import dense
from shopkeeper.recommend.methods.base import Histories, ItemSets
from shopkeeper.recommend.methods.dense import Dense, bound


class Given(Dense):
    """Scores that a test gives, (1, n_items)."""

    def __init__(self, scores, popularity):
        super().__init__(popularity)
        self.scores = np.asarray(scores, dtype=np.float32)[None]

    def score(self, histories, now):
        return self.scores.copy()


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_BLOCK", 3)
        yield


@given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.integers(1, 12), st.data())
def test_top_is_the_plain_sort_by_score_popularity_and_row(scores, k, data):
    n = len(scores)
    popularity = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    shut = data.draw(st.sets(st.integers(0, n - 1)))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))

    ranked, values = Given(scores, popularity).top(Histories.single([0]), NOW, k, ItemSets.of([sorted(shut)]), allowed)

    best = sorted((item for item in range(n) if allowed[item] and item not in shut),
                  key=lambda item: (-scores[item], -popularity[item], item))[:k]
    assert ranked[0].tolist() == best + [-1] * (k - len(best))
    assert values[0].tolist() == [scores[item] for item in best] + [-np.inf] * (k - len(best))


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.integers(1, 12))
def test_the_bound_is_reached_by_enough_scores(values, k):
    value = np.array(values, dtype=np.float32)

    assert (value >= bound(value, k)).sum() >= min(k, len(value))
