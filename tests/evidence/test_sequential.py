"""Looking again and again: what holds at every look, and what does not."""

import numpy as np
import pytest

from shopkeeper.evidence.sequential import half_width, mean_difference, sample_ratio
from shopkeeper.words import say

LOOKS = np.unique(np.geomspace(200, 6_000, 40).astype(int))  # people after whom somebody looks
RUNS = 400
BOUGHT = say("share of people who bought")


def outcomes(rng, rates, share=0.5, people=LOOKS[-1]):
    """Arms and outcomes of people in the order in which they came."""
    in_b = rng.random(people) < share
    return in_b, (rng.random(people) < np.where(in_b, rates[1], rates[0])).astype(float)


def at_each_look(in_b, value, share=0.5):
    for n in LOOKS:
        arm, seen = in_b[:n], value[:n]
        yield mean_difference(seen[~arm], seen[arm], share, BOUGHT)


def fixed(one):
    """Half the width of the usual 95 % interval of two shares."""
    return 1.96 * np.sqrt(sum(mean * (1 - mean) / n for mean, n in zip(one.means, one.n, strict=True)))


@pytest.mark.parametrize("rates, share", [((0.1, 0.1), 0.5), ((0.3, 0.33), 0.5), ((0.1, 0.14), 0.2)])
def test_the_interval_holds_the_truth_at_all_looks_together_and_a_fixed_one_does_not(rates, share):
    rng, missed, missed_fixed = np.random.default_rng(5), 0, 0

    for _ in range(RUNS):
        looks = list(at_each_look(*outcomes(rng, rates, share), share))
        truth = rates[1] - rates[0]
        missed += any(not one.low <= truth <= one.high for one in looks)
        missed_fixed += any(abs(one.estimate - truth) > fixed(one) for one in looks)

    assert missed / RUNS <= 0.05
    assert missed_fixed / RUNS >= 0.15


def test_the_estimate_is_the_difference_of_means_whatever_the_share():
    a, b = np.array([0.0, 1.0, 2.0]), np.array([4.0])

    one = mean_difference(a, b, 0.25, BOUGHT)

    assert one.estimate == pytest.approx(3.0)
    assert (one.n, one.means) == ((3, 1), (1.0, 4.0))
    assert one.low < one.estimate < one.high


def test_a_clear_difference_is_found_in_nine_runs_of_ten():
    rng = np.random.default_rng(6)

    found = [any(one.low > 0 for one in at_each_look(*outcomes(rng, (0.10, 0.14)))) for _ in range(150)]

    assert np.mean(found) >= 0.9


def test_the_interval_narrows_as_people_come_and_is_wider_than_a_fixed_one():
    widths = [half_width(n, 1.0) for n in (100, 1_000, 10_000, 100_000)]

    assert widths == sorted(widths, reverse=True)
    assert all(width > 1.96 / np.sqrt(n) for width, n in zip(widths, (100, 1_000, 10_000, 100_000), strict=True))
    assert half_width(2_000, 1.0) < 1.6 * 1.96 / np.sqrt(2_000)
    assert half_width(500, 1.0, level=0.99) > half_width(500, 1.0)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_kept_split_rings_in_one_run_of_a_hundred_at_most(share):
    rng = np.random.default_rng(7)

    rang = [sample_ratio(rng.random(3_000) < share, share).broken for _ in range(1_000)]

    assert np.mean(rang) <= 0.01


def test_looking_at_a_fixed_test_again_and_again_rings_far_more_often():
    rng, rang = np.random.default_rng(7), 0

    for _ in range(300):
        share = np.cumsum(rng.random(3_000) < 0.5)[99:] / np.arange(100, 3_001)
        rang += bool((np.abs(share - 0.5) > 2.576 * 0.5 / np.sqrt(np.arange(100, 3_001))).any())  # p < .01 at one look

    assert rang / 300 > 0.03


@pytest.mark.parametrize("real", [0.45, 0.55])
def test_a_broken_split_is_found(real):
    rng = np.random.default_rng(8)

    found = [sample_ratio(rng.random(5_000) < real, 0.5).broken for _ in range(100)]

    assert np.mean(found) >= 0.95


def test_a_split_that_was_broken_once_stays_broken():
    rng = np.random.default_rng(9)
    in_b = np.concatenate([np.ones(300, dtype=bool), rng.random(2_000) < 0.43])

    assert sample_ratio(in_b[:300], 0.5).broken
    assert sample_ratio(in_b, 0.5).broken


def test_nobody_is_no_alarm():
    none = sample_ratio(np.zeros(0, dtype=bool), 0.5)

    assert (none.p, none.broken, none.counts) == (1.0, False, (0, 0))


def test_the_sentence_names_the_interval_and_that_looking_is_allowed():
    one = mean_difference(np.array([0.0, 1.0] * 50), np.array([1.0, 1.0] * 50), 0.5, BOUGHT)

    assert str(one.sentence()).startswith("share of people who bought: b - a = +0.5 (95 % interval ")
    assert "valid at every look; 200 people" in str(one.sentence())
    assert one.to_dict()["kind"] == "interval estimate"
