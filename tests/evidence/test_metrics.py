"""Each metric against a second, simple implementation: plain Python for lists, scikit-learn where it has the metric."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from shopkeeper.evidence import metrics
from shopkeeper.evidence.metrics import Relevant

ITEMS = 12
RANKING = [metrics.recall_at, metrics.precision_at, metrics.hit_at, metrics.ndcg_at, metrics.average_precision_at,
           metrics.reciprocal_rank_at]

places = st.lists(st.integers(0, ITEMS - 1), min_size=5, max_size=5, unique=True)
lists = st.builds(lambda row, filled: row[:filled] + [-1] * (5 - filled), places, st.integers(0, 5))
wanted = st.sets(st.integers(0, ITEMS - 1), min_size=1)
cases = st.lists(st.tuples(lists, wanted), min_size=1, max_size=8)
outcomes = st.lists(st.tuples(st.integers(0, 20).map(lambda twentieth: twentieth / 20), st.integers(0, 1)),
                    min_size=2, max_size=60)


def by_hand(ranked: list[int], relevant: set[int], k: int) -> list[float]:
    """The six ranking metrics of one list, in the order of RANKING, as a textbook writes them."""
    hits = [item in relevant for item in ranked[:k]]
    gained = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))
    precisions = [sum(hits[:place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
    first = next((1 / (place + 1) for place, hit in enumerate(hits) if hit), 0.0)
    return [sum(hits) / len(relevant), sum(hits) / k, float(any(hits)), gained / ideal,
            sum(precisions) / min(k, len(relevant)), first]


@given(cases, st.integers(1, 5))
def test_every_ranking_metric_agrees_with_its_textbook_form_case_by_case(drawn, k):
    ranked, relevant = [row for row, _ in drawn], Relevant.of([sorted(want) for _, want in drawn])
    expected = np.array([by_hand(row, want, k) for row, want in drawn])             # (n_cases, 6)

    found = np.stack([metric(ranked, relevant, k) for metric in RANKING], axis=1)

    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.lists(st.tuples(st.permutations(range(ITEMS)), wanted), min_size=1, max_size=5), st.integers(1, ITEMS))
def test_ndcg_and_average_precision_of_whole_lists_agree_with_scikit_learn(drawn, k):
    ranked = np.array([row for row, _ in drawn])
    truth = np.array([[item in want for item in range(ITEMS)] for _, want in drawn], int)
    score = -np.argsort(ranked, axis=1).astype(float)                               # first place scores highest
    relevant = Relevant.of([sorted(want) for _, want in drawn])

    np.testing.assert_allclose(metrics.ndcg_at(ranked, relevant, k).mean(), sk.ndcg_score(truth, score, k=k))
    np.testing.assert_allclose(metrics.average_precision_at(ranked, relevant, ITEMS),
                               [sk.average_precision_score(*one) for one in zip(truth, score, strict=True)])


@given(cases, st.integers(1, 5))
def test_every_ranking_metric_lies_between_0_and_1_and_never_falls_when_a_miss_becomes_a_hit(drawn, k):
    ranked, relevant = np.array([row for row, _ in drawn]), Relevant.of([sorted(want) for _, want in drawn])
    better = ranked.copy()
    for row, (_, want) in zip(better, drawn, strict=True):
        spare = sorted(want - set(row.tolist()))
        misses = [place for place, item in enumerate(row) if item not in want]
        if spare and misses:
            row[misses[-1]] = spare[0]

    for metric in RANKING:
        before, after = metric(ranked, relevant, k), metric(better, relevant, k)
        assert ((before >= 0) & (before <= 1 + 1e-12)).all()
        assert (after >= before - 1e-12).all()


def test_the_best_list_possible_scores_1_even_when_more_is_wanted_than_places():
    relevant = Relevant.of([[0, 1, 2, 3], [5]])

    found = metrics.ndcg_at([[3, 2], [5, 9]], relevant, 2)

    np.testing.assert_allclose(found, 1)
    assert metrics.average_precision_at([[3, 2], [5, 9]], relevant, 2).tolist() == [1, 1]
    assert metrics.recall_at([[3, 2], [5, 9]], relevant, 2).tolist() == [0.5, 1]


def test_relevant_pairs_in_any_order_and_repeated_give_the_same_rows_as_lists():
    from_pairs = Relevant.pairs([2, 0, 2, 0, 2], [7, 4, 1, 4, 7], 3)
    from_lists = Relevant.of([[4], [], [1, 7]])

    assert from_pairs.indptr.tolist() == from_lists.indptr.tolist() == [0, 1, 1, 3]
    assert from_pairs.items.tolist() == from_lists.items.tolist() == [4, 1, 7]
    assert Relevant.single([9, 3]).counts.tolist() == [1, 1]


@pytest.mark.parametrize("ranked, relevant, k, words", [
    ([[1, 2]], Relevant.of([[]]), 2, "1 cases have no relevant item"),
    ([[1, 2]], Relevant.single([1, 2]), 2, "1 lists for 2 cases"),
    ([[1, 1]], Relevant.single([1]), 2, "names an item twice"),
    ([[1, 2]], Relevant.single([1]), 3, "the lists have 2 places"),
    ([[1, 2]], Relevant.single([1]), 0, "k is 0"),
    ([[1.0, 2.0]], Relevant.single([1]), 2, "whole numbers"),
    ([1, 2], Relevant.single([1, 2]), 1, "n_cases, columns"),
])
def test_a_list_that_cannot_be_judged_is_an_error_and_not_a_figure(ranked, relevant, k, words):
    with pytest.raises(ValueError, match=words):
        metrics.recall_at(ranked, relevant, k)


@pytest.mark.parametrize("build", [
    lambda: Relevant.single([-1]), lambda: Relevant.pairs([3], [1], 2),
    lambda: Relevant(np.array([0, 2]), np.array([4, 1])), lambda: Relevant(np.array([0, 1]), np.array([4, 5]))])
def test_relevant_rows_out_of_form_are_refused(build):
    with pytest.raises(ValueError, match=r"item|case numbers"):
        build()


def test_places_with_nothing_are_misses_and_neither_covered_nor_popular():
    ranked = [[0, -1, -1], [0, 1, -1]]

    assert metrics.coverage_at(ranked, 4, 3) == 0.5
    assert metrics.novelty_at(ranked, [2, 2, 0, 0], 3) == 1.0
    assert metrics.precision_at(ranked, Relevant.single([0, 1]), 3).tolist() == [1 / 3, 1 / 3]


def test_rare_items_are_more_novel_and_an_unseen_item_stays_finite():
    popularity = [900, 90, 9, 0]

    rising = [metrics.novelty_at([[item]], popularity, 1) for item in range(4)]

    assert rising == sorted(rising)
    assert rising[3] == pytest.approx(math.log2(999))


def test_lists_that_repeat_the_histories_have_no_popularity_lift():
    history = Relevant.of([[0, 2], [1, 3]])
    popularity = [50, 20, 10, 1]

    assert metrics.popularity_lift_at([[0, 2], [3, 1]], history, popularity, 2) == pytest.approx(0)
    assert metrics.popularity_lift_at([[0, 1], [0, 1]], history, popularity, 2) > 0
    assert metrics.popularity_lift_at([[3, 2], [3, 2]], history, popularity, 2) < 0


def test_customers_without_a_history_or_a_list_stand_outside_the_popularity_lift():
    history = Relevant.of([[1], [], [1]])
    ranked = [[0, -1], [2, -1], [-1, -1]]

    assert metrics.popularity_lift_at(ranked, history, [30, 10, 1000], 2) == pytest.approx(2)


@pytest.mark.parametrize("figure, words", [
    (lambda: metrics.coverage_at([[7]], 5, 1), "catalogue of 5"),
    (lambda: metrics.novelty_at([[-1]], [1], 1), "every list is empty"),
    (lambda: metrics.popularity_lift_at([[0]], Relevant.of([[]]), [1], 1), "both a list and a history"),
    (lambda: metrics.popularity_lift_at([[0]], Relevant.of([[0], [0]]), [1], 1), "1 lists for 2 histories"),
    (lambda: metrics.brier([1.2], [1]), "between 0 and 1"),
    (lambda: metrics.brier([], []), "not empty"),
    (lambda: metrics.brier([0.5, 0.5], [1]), "one same length"),
    (lambda: metrics.auc([0.5, float("nan")], [1, 0]), "finite"),
    (lambda: metrics.auc([0.5, 0.1], [1, 2]), "outcomes 0 or 1"),
    (lambda: metrics.auc([0.5, 0.1], [1, 1]), "both outcomes"),
    (lambda: metrics.average_precision([0.5, 0.1], [0, 0]), "at least one positive"),
    (lambda: metrics.brier_skill([0.5, 0.1], [0, 0]), "no skill to show"),
    (lambda: metrics.expected_calibration_error([0.5], [1], bins=0), "bins is 0"),
])
def test_a_figure_without_a_meaning_is_an_error(figure, words):
    with pytest.raises(ValueError, match=words):
        figure()


@given(outcomes)
def test_probability_metrics_agree_with_scikit_learn_ties_included(drawn):
    p, y = np.array(drawn).T
    assume(0 < y.sum() < len(y))

    assert metrics.auc(p, y) == pytest.approx(sk.roc_auc_score(y, p))
    assert metrics.average_precision(p, y) == pytest.approx(sk.average_precision_score(y, p))
    assert metrics.brier(p, y) == pytest.approx(sk.brier_score_loss(y, p))
    assert metrics.log_loss(p, y) == pytest.approx(sk.log_loss(y, p, labels=[0, 1]))


@given(outcomes, st.randoms(use_true_random=False))
def test_row_order_changes_no_probability_metric(drawn, random):
    shuffled = random.sample(drawn, len(drawn))
    (p, y), (q, z) = np.array(drawn).T, np.array(shuffled).T
    assume(0 < y.sum() < len(y))

    for metric in (metrics.expected_calibration_error, metrics.auc, metrics.average_precision, metrics.brier):
        assert metric(p, y) == pytest.approx(metric(q, z), abs=1e-12)


def test_calibration_error_over_equal_counts_agrees_with_bins_cut_by_hand():
    generator = np.random.default_rng(3)
    p = generator.permutation(np.linspace(0.01, 0.99, 200))
    y = (generator.random(200) < p ** 2).astype(int)
    order = np.argsort(p)
    by_hand = sum(len(part) * abs(p[part].mean() - y[part].mean()) for part in np.array_split(order, 10)) / 200

    assert metrics.expected_calibration_error(p, y) == pytest.approx(by_hand)


def test_calibration_error_is_small_for_true_probabilities_and_sees_a_shift():
    generator = np.random.default_rng(5)
    p = generator.uniform(0.1, 0.8, 20_000)
    y = (generator.random(20_000) < p).astype(int)

    assert metrics.expected_calibration_error(p, y) < 0.02
    assert metrics.expected_calibration_error(p + 0.1, y) == pytest.approx(0.1, abs=0.02)


def test_skill_is_0_for_the_base_rate_1_for_the_truth_and_negative_for_noise():
    y = np.array([1, 0, 0, 0])

    assert metrics.brier_skill(np.full(4, 0.25), y) == pytest.approx(0)
    assert metrics.brier_skill(y, y) == 1
    assert metrics.brier_skill(1 - y, y) < 0
    assert metrics.brier_skill(y, y, base=0.9) == 1


@given(outcomes)
def test_the_area_turns_around_when_the_score_does(drawn):
    p, y = np.array(drawn).T
    assume(0 < y.sum() < len(y))

    assert metrics.auc(p, y) + metrics.auc(-p, y) == pytest.approx(1)
