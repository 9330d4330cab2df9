"""The seam: interactions, histories, and the ranking that every method of ours shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from examples import bounded
from recommend.methods.logs import NOW, log_of
from shopkeeper.errors import BadInput
from shopkeeper.recommend.methods import base
from shopkeeper.recommend.methods.base import Histories, Interactions, ItemSets, Ranking, at_least_kth
from shopkeeper.recommend.methods.contract import small_log


class Given(Ranking):
    """Scores that a test gives: (m, n_items)."""

    def __init__(self, scores, popularity):
        super().__init__(popularity)
        self.scores, self.at = np.asarray(scores, dtype=np.float32), 0

    def known(self, histories, now):
        part = self.scores[self.at:self.at + len(histories)]
        self.at += len(histories)
        return sparse.csr_matrix(part)


def nobody(m):
    return Histories(np.zeros(m + 1, dtype=np.int64), *(np.zeros(0, dtype=np.int64),) * 3, np.zeros(0, np.float32))


def ranked_plainly(scores, popularity, closed, k):
    """The oracle: a sort of every customer's items by score, popularity, row."""
    lists = []
    for row, shut in zip(scores, closed, strict=True):
        open_ = [item for item in range(len(row)) if item not in shut]
        best = sorted(open_, key=lambda item, row=row: (-row[item], -popularity[item], item))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return lists


@settings(max_examples=bounded(200), deadline=None)
@given(st.data())
def test_top_is_the_plain_sort_by_score_popularity_and_row(data):
    m, n, k = (data.draw(st.integers(1, most)) for most in (4, 9, 12))
    scores = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=m, max_size=m)))
    popularity = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    closed = data.draw(st.lists(st.sets(st.integers(0, n - 1)), min_size=m, max_size=m))

    ranked, _ = Given(scores, popularity).top(nobody(m), NOW, k, exclude=ItemSets.of([sorted(one) for one in closed]))

    assert ranked.tolist() == ranked_plainly(scores, popularity, closed, k)


def test_chunks_give_what_one_piece_gives(monkeypatch):
    scores = np.random.default_rng(0).integers(0, 4, (23, 10))
    whole = Given(scores, np.zeros(10)).top(nobody(23), NOW, 4)
    monkeypatch.setattr(base, "CELLS", 30)

    chunked = Given(scores, np.zeros(10)).top(nobody(23), NOW, 4)

    assert np.array_equal(whole[0], chunked[0])
    assert np.array_equal(whole[1], chunked[1])


@given(st.lists(st.lists(st.integers(1, 5), max_size=6), min_size=1, max_size=5), st.integers(1, 4))
def test_at_least_kth_keeps_the_largest_and_their_ties(rows, k):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    value = np.array([v for row in rows for v in row], dtype=np.float32)

    kept = at_least_kth(indptr, value, k)

    expected = [v >= sorted(row, reverse=True)[min(k, len(row)) - 1] for row in rows for v in row]
    assert kept.tolist() == expected


def test_the_canonical_order_does_not_depend_on_the_order_given():
    log = small_log()
    shuffled = log.where(np.random.default_rng(1).permutation(len(log)))

    one, other = log.sorted(), shuffled.sorted()

    for name in ("customer", "item", "when", "basket", "weight"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_before_leaves_out_the_cut_itself():
    log = log_of((0, 0, 3), (0, 1, 2), (0, 2, 1))

    assert log.before(int(log.when[1])).item.tolist() == [0]


def test_a_history_is_oldest_first_and_unknown_customers_have_none():
    log = log_of((1, 5, 1), (0, 3, 2), (1, 4, 9))

    histories = Histories.of(log, [1, -1, 0, 7])

    assert histories.indptr.tolist() == [0, 2, 2, 3, 3]
    assert histories.item.tolist() == [4, 5, 3]
    assert histories.part(1, 3).item.tolist() == [3]


def test_items_that_a_method_never_saw_drop_out_of_a_history():
    known = Histories.single([1, 9, -1, 2]).known(3)

    assert known.item.tolist() == [1, 2]
    assert known.indptr.tolist() == [0, 2]


@pytest.mark.parametrize("column, values, text", [
    ("item", [0, 1, 2], "item has 3 lines where customer has 2."),
    ("item", [0, 4], "item holds rows outside 0 to 2.\n  Try:  leave out the lines whose item is unknown"),
    ("customer", [0, -1], "customer holds rows outside 0 to 1.\n"
                          "  Try:  leave out the lines whose customer is unknown"),
])
def test_lines_that_do_not_fit_are_refused(column, values, text):
    arrays = {"customer": np.zeros(2, np.int32), "item": np.zeros(2, np.int32), "when": np.zeros(2, np.int64),
              "basket": np.zeros(2, np.int64), "weight": np.ones(2, np.float32), column: np.array(values, np.int32)}

    with pytest.raises(BadInput) as refusal:
        Interactions(**arrays, n_customers=2, n_items=3)

    assert str(refusal.value) == text
