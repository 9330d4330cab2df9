import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopkeeper.evidence import ExactCount, NotLearned, Scores, Setup, Trial, Verdict, from_dict, ladder
from shopkeeper.evidence.bootstrap import resample, tail_of
from shopkeeper.evidence.splits import DAY, last_window
from shopkeeper.evidence.trial import figures, paired_difference, relative_difference
from shopkeeper.words import say

SPLIT = last_window(1_514_678_400_000_000 - 1, 28)                # ends 2017-12-31T00:00 UTC
SETUP = Setup("recommend.next_items", "NDCG@10", SPLIT, resamples=500)


def customers(n: int, *, each: int) -> np.ndarray:
    return np.repeat(np.arange(n), each)


def cases_of(clusters: np.ndarray, seed: int, *, shared: float, own: float, mean: float = 0.0) -> np.ndarray:
    """Values with a part that all cases of a customer share and a part of their own; normal, around `mean`."""
    generator = np.random.default_rng(seed)
    return (mean + shared * generator.normal(size=clusters.max() + 1)[clusters]
            + own * generator.normal(size=len(clusters)))


def scored(name: str, lift: float, *, seed: int, n: int = 400) -> Scores:
    """A method on 3 cases of each of n customers, `lift` above the taste that all methods share."""
    clusters = customers(n, each=3)
    taste = cases_of(clusters, 99, shared=0.1, own=0.1, mean=0.5)
    return Scores(name, taste + lift + cases_of(clusters, seed, shared=0.02, own=0.05), clusters)


@pytest.mark.parametrize("n", [10, 60])
def test_the_interval_holds_the_true_difference_in_about_95_of_100_trials(n):
    clusters = customers(n, each=3)
    held = 0
    for run in range(300):
        rival = cases_of(clusters, run, shared=1, own=1)
        gap = cases_of(clusters, 10_000 + run, shared=0.5, own=0.5, mean=0.2)
        found = paired_difference(rival + gap, rival, clusters, resamples=400, seed=run)
        held += found.low <= 0.2 <= found.high

    assert 0.92 <= held / 300 <= 0.98


def test_the_fewer_the_customers_the_smaller_the_share_of_draws_left_out():
    wide, narrow = tail_of(0.95, 5), tail_of(0.95, 5000)

    assert wide < narrow / 10
    assert narrow == pytest.approx(0.025, abs=1e-4)


def test_cases_of_one_customer_that_resemble_each_other_widen_the_interval():
    clusters = customers(100, each=8)
    gap = cases_of(clusters, 1, shared=1, own=0.2)

    by_customer = paired_difference(gap, 0 * gap, clusters)
    by_case = paired_difference(gap, 0 * gap, np.arange(len(gap)))

    assert by_customer.high - by_customer.low > 2 * (by_case.high - by_case.low)
    assert by_customer.estimate == pytest.approx(by_case.estimate)
    assert (by_customer.n_clusters, by_case.n_clusters, by_case.n_cases) == (100, 800, 800)


def test_a_customer_with_many_cases_weighs_as_many_in_every_draw():
    clusters = np.repeat(np.arange(20), np.arange(1, 21))

    always_one = resample(np.ones(210), clusters).mean(0)

    assert (always_one.low, always_one.estimate, always_one.high) == (1, 1, 1)


def test_pairing_sees_a_small_lift_that_customers_own_differences_would_hide():
    rival = scored("rival", 0, seed=1)
    better = rival.values + 0.005

    found = paired_difference(better, rival.values, rival.clusters)

    assert found.low == pytest.approx(0.005)
    assert found.high == pytest.approx(0.005)


def test_the_interval_agrees_with_the_formula_for_a_mean_of_independent_values():
    gap = np.random.default_rng(2).normal(0.3, 1, 2000)
    half = 1.96 * gap.std() / np.sqrt(2000)

    found = paired_difference(gap, 0 * gap, np.arange(2000), resamples=4000)

    assert found.low == pytest.approx(gap.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(gap.mean() + half, abs=0.05 * half)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_the_cases():
    one, other = scored("one", 0, seed=1), scored("other", 0.01, seed=2)
    order = np.random.default_rng(0).permutation(len(one.values))

    straight = paired_difference(other.values, one.values, one.clusters, seed=4)
    shuffled = paired_difference(other.values[order], one.values[order], one.clusters[order], seed=4)

    assert straight.low == pytest.approx(shuffled.low, abs=1e-12)
    assert straight == paired_difference(other.values, one.values, one.clusters, seed=4)
    assert straight != paired_difference(other.values, one.values, one.clusters, seed=5)


def test_draws_come_out_the_same_in_one_piece_and_in_many(monkeypatch):
    values, clusters = scored("one", 0, seed=1).values, customers(400, each=3)
    whole = resample(values, clusters, resamples=200).draws

    monkeypatch.setattr("shopkeeper.evidence.bootstrap._CELLS", 1000)

    np.testing.assert_allclose(resample(values, clusters, resamples=200).draws, whole, rtol=1e-12)


def test_a_relative_difference_is_the_difference_as_a_share_of_the_rival():
    rival = scored("rival", 0, seed=1)

    found = relative_difference(1.1 * rival.values, rival.values, rival.clusters)

    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_a_rival_that_may_score_nothing_has_no_relative_difference():
    zeros, ones = np.zeros(30), np.ones(30)

    assert relative_difference(ones, zeros, np.arange(30)) is None
    assert relative_difference(ones, np.eye(30)[0], np.arange(30)) is None


@pytest.mark.parametrize("clusters, options, words", [
    ([1, 1, 1], {}, "at least two customers"), ([1, 2], {}, "for each of 2 cases"),
    ([1, 2, 3], {"level": 1.0}, "level 1.0"), ([1, 2, 3], {"resamples": 0}, "resamples 0")])
def test_an_interval_that_cannot_be_is_an_error(clusters, options, words):
    with pytest.raises(ValueError, match=words):
        paired_difference([1, 2, 3], [1, 2, 4], clusters, **options)


def test_a_value_that_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="finite"):
        paired_difference([1, float("nan")], [1, 2], [0, 1])
    with pytest.raises(ValueError, match="of the rival"):
        paired_difference([1, 2], [1, 2, 3], [0, 1])


def test_a_better_method_that_was_planted_wins_and_the_sentence_says_by_how_much():
    plain = scored("popular", 0, seed=1)
    better = replace(plain, name="neighbours", values=plain.values + 0.02 + cases_of(plain.clusters, 3, shared=0.02,
                                                                                    own=0.02))

    trial = ladder([plain, better], SETUP)

    assert trial.winner == "neighbours"
    assert trial.verdict is Verdict.BEATS
    assert trial.final.difference.low < 0.02 < trial.final.difference.high
    by, low, high = figures(trial.final.difference.estimate, trial.final.difference.low, trial.final.difference.high)
    assert str(trial.sentence()) == (f"neighbours beats popular by {by} NDCG@10 (95 % interval {low} to {high}; "
                                     "400 customers, 28 days from 2017-12-03)")


@pytest.mark.parametrize("seed", range(5))
def test_a_challenger_that_is_the_rival_shuffled_does_not_win(seed):
    plain = scored("popular", 0, seed=1)
    shuffled = replace(plain, name="noise", values=np.random.default_rng(seed).permutation(plain.values))

    trial = ladder([plain, shuffled], SETUP)

    assert trial.winner == "popular"
    assert trial.verdict is Verdict.CANNOT_TELL
    assert str(trial.sentence()).startswith("whether noise beats popular cannot be told: the difference is ")
    assert str(trial.sentence()).endswith("so popular answers")


def test_a_worse_challenger_is_not_used_and_the_sentence_names_who_answers():
    trial = ladder([scored("popular", 0.1, seed=1), scored("network", 0, seed=2)], SETUP)

    assert (trial.winner, trial.verdict) == ("popular", Verdict.LOSES)
    sentence = str(trial.sentence())
    assert sentence.startswith("network falls short of popular by 0.")
    assert "interval -" not in sentence
    assert sentence.endswith("so popular answers")


def test_a_challenger_must_beat_the_best_rival_and_not_only_the_plainest():
    methods = [scored("popular", 0, seed=1), scored("buy_again", 0.1, seed=2), scored("neighbours", 0.05, seed=3)]

    trial = ladder(methods, SETUP, rivals=["popular", "buy_again"])

    assert trial.winner == "buy_again"
    assert (trial.final.challenger, trial.final.rival) == ("neighbours", "buy_again")
    assert trial.verdict is Verdict.LOSES


def shown(comparison, *, turned=False):
    gap = comparison.difference
    return figures(*((-gap.estimate, -gap.high, -gap.low) if turned else (gap.estimate, gap.low, gap.high)))


def test_a_rival_that_answers_says_how_far_it_beat_the_plainest_and_what_came_of_the_challenger():
    methods = [scored("popular", 0, seed=1), scored("buy_again", 0.1, seed=2), scored("neighbours", 0.05, seed=3)]

    trial = ladder(methods, SETUP, rivals=["popular", "buy_again"])

    assert (trial.margin.challenger, trial.margin.rival, trial.margin.verdict) == ("buy_again", "popular", "beats")
    (by, low, high), (short, short_low, short_high) = shown(trial.margin), shown(trial.final, turned=True)
    assert str(trial.sentence()) == (
        f"buy-again beats popular by {by} NDCG@10 (95 % interval {low} to {high}; 400 customers, 28 days from "
        f"2017-12-03); neighbours falls short of buy-again by {short} ({short_low} to {short_high}) and is not used")


def test_a_challenger_that_answers_says_how_far_it_beat_the_plainest_and_the_best_rival():
    methods = [scored("popular", 0, seed=1), scored("buy_again", 0.05, seed=2), scored("neighbours", 0.1, seed=3)]

    trial = ladder(methods, SETUP, rivals=["popular", "buy_again"])

    (by, low, high), (over, over_low, over_high) = shown(trial.margin), shown(trial.final)
    assert str(trial.sentence()) == (
        f"neighbours beats popular by {by} NDCG@10 (95 % interval {low} to {high}; 400 customers, 28 days from "
        f"2017-12-03), and buy-again by {over} ({over_low} to {over_high})")


def test_a_challenger_that_cannot_be_told_from_the_rival_that_answers_is_said_not_to_be_used():
    habit = scored("buy_again", 0.1, seed=2)
    turned = replace(habit, name="neighbours", values=habit.values[::-1])   # the same on other customers

    trial = ladder([scored("popular", 0, seed=1), habit, turned], SETUP, rivals=["popular", "buy_again"])

    assert (trial.winner, trial.final.verdict) == ("buy_again", "cannot tell")
    assert "; whether neighbours beats buy-again cannot be told (a difference of" in str(trial.sentence())
    assert str(trial.sentence()).endswith("), so it is not used")


def test_where_the_plainest_answers_there_is_no_margin():
    trial = ladder([scored("popular", 0.1, seed=1), scored("network", 0, seed=2)], SETUP)

    assert trial.margin is None
    assert trial.to_dict()["margin"] is None


def test_the_sentence_names_those_whose_cases_they_are():
    trial = ladder([scored("popular", 0, seed=1), scored("network", 0.1, seed=2)], replace(SETUP, who=say("items")))

    assert "; 400 items, 28 days from" in str(trial.sentence())
    assert from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_a_challenger_must_beat_the_rival_with_the_best_mean_even_where_that_one_is_not_in_use():
    clusters = customers(400, each=1)
    plain = cases_of(clusters, 1, shared=0.1, own=0, mean=0.5)
    noisy = plain + cases_of(clusters, 2, shared=1, own=0)
    noisy += 0.02 - (noisy - plain).mean()                            # a better mean, but nobody can tell
    challenger = noisy - 0.01 + cases_of(clusters, 3, shared=0.001, own=0)
    certain = np.where(challenger > plain, challenger, plain + 0.01)  # beats the plainest; against the noisy: untold
    methods = [Scores("popular", plain, clusters), Scores("noisy", noisy, clusters),
               Scores("challenger", np.minimum(certain, plain + 0.012), clusters)]

    trial = ladder(methods, SETUP, rivals=["popular", "noisy"])

    assert [(step.challenger, step.rival, step.verdict) for step in trial.steps] == [
        ("noisy", "popular", "cannot tell"), ("challenger", "popular", "beats"),
        ("challenger", "noisy", "cannot tell")]
    assert trial.winner == "popular"
    assert trial.final.rival == "noisy"
    assert str(trial.sentence()).endswith("so popular answers")


def test_a_challenger_that_beats_the_best_mean_must_beat_the_method_in_use_all_the_same():
    clusters = customers(400, each=1)
    plain = cases_of(clusters, 1, shared=0.1, own=0, mean=0.5)
    noisy = plain + cases_of(clusters, 2, shared=1, own=0)
    noisy += 0.02 - (noisy - plain).mean()                            # a better mean, but nobody can tell
    methods = [Scores("popular", plain, clusters), Scores("noisy", noisy, clusters),
               Scores("challenger", noisy + 0.01, clusters)]

    trial = ladder(methods, SETUP, rivals=["popular", "noisy"])

    assert [step.verdict for step in trial.steps] == ["cannot tell", "cannot tell", "beats"]
    assert trial.winner == "popular"
    assert (trial.final.rival, trial.verdict) == ("popular", "cannot tell")


def test_each_rung_must_beat_the_one_in_use_and_every_comparison_is_kept():
    base = scored("popular", 0, seed=1)
    steps = [replace(base, name=name, values=base.values + lift + cases_of(base.clusters, 7 + at, shared=0, own=0.01))
             for at, (name, lift) in enumerate([("buy_again", 0.02), ("neighbours", 0.05), ("network", 0.05)])]

    trial = ladder([base, *steps], SETUP, rivals=["popular", "buy_again"])

    assert trial.winner == "neighbours"
    assert (trial.final.challenger, trial.final.rival) == ("neighbours", "buy_again")
    assert [(step.challenger, step.rival) for step in trial.steps] == [
        ("buy_again", "popular"), ("neighbours", "buy_again"), ("neighbours", "popular"), ("network", "neighbours"),
        ("network", "buy_again"), ("network", "popular")]
    assert [row.name for row in trial.rows] == ["popular", "buy_again", "neighbours", "network"]


def test_where_all_are_rivals_the_first_is_the_rival_of_the_others():
    trial = ladder([scored("popular", 0, seed=1), scored("buy_again", 0.1, seed=2)], SETUP,
                   rivals=["popular", "buy_again"])

    assert (trial.final.challenger, trial.final.rival, trial.verdict) == ("buy_again", "popular", "beats")


@given(st.lists(st.sampled_from([0.0, 0.01, 0.03]), min_size=2, max_size=5), st.integers(1, 5), st.integers(0, 50))
def test_what_is_used_has_beaten_the_best_rival_or_is_a_rival_itself(lifts, n_rivals, seed):
    methods = [scored(f"m{at}", lift, seed=seed + at, n=25) for at, lift in enumerate(lifts)]
    rivals = [one.name for one in methods[:n_rivals]]
    plain = rivals if 0 < len(rivals) < len(methods) else ["m0"]

    trial = ladder(methods, replace(SETUP, resamples=60), rivals=rivals)

    assert (trial.winner in plain) == (trial.verdict is not Verdict.BEATS)
    assert trial.final.rival in plain
    assert trial.verdict is not Verdict.BEATS or trial.final.challenger == trial.winner
    assert (trial.margin is None) == (trial.winner == "m0")
    assert trial.margin is None or trial.margin.verdict is Verdict.BEATS


def test_five_customers_cannot_carry_a_verdict_however_clear_they_look():
    clusters = customers(200, each=1)
    rival = np.full(200, 0.5)
    few, enough = (Scores("new", rival + (clusters < n), clusters) for n in (5, 12))

    doubtful = ladder([Scores("old", rival, clusters), few], SETUP)
    clear = ladder([Scores("old", rival, clusters), enough], SETUP)

    assert (doubtful.verdict, doubtful.final.differing) == (Verdict.CANNOT_TELL, 5)
    assert "rests on 5 of them, so old answers" in str(doubtful.sentence())
    assert (clear.verdict, clear.final.differing) == (Verdict.BEATS, 12)


def test_methods_that_give_each_customer_the_same_in_sum_cannot_be_told_apart():
    clusters = customers(300, each=7)
    values = np.random.default_rng(0).random((300, 7))
    turned = np.random.default_rng(1).permuted(values, axis=1)

    trial = ladder([Scores("one", values.ravel(), clusters), Scores("other", turned.ravel(), clusters)], SETUP)

    assert trial.final.differing == 0
    assert trial.verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("methods, rivals, words", [
    ([scored("a", 0, seed=1)], (), "at least two methods"),
    ([scored("a", 0, seed=1), scored("a", 0, seed=2)], (), "each named once"),
    ([scored("a", 0, seed=1), scored("b", 0, seed=2)], ("c",), "must be the first"),
    ([scored("a", 0, seed=1), scored("b", 0, seed=2), scored("c", 0, seed=2)], ("b",), "must be the first"),
    ([scored("a", 0, seed=1), replace(scored("b", 0, seed=2), clusters=customers(3, each=400))], (), "the same cases")])
def test_methods_that_cannot_be_compared_are_an_error(methods, rivals, words):
    with pytest.raises(ValueError, match=words):
        ladder(methods, SETUP, rivals=rivals)


def test_a_trial_comes_back_from_json_as_it_was():
    first = replace(scored("popular", 0, seed=1), extras={"coverage@10": 0.1}, params={"window": 7}, fit_seconds=0.5)
    trial = ladder([first, scored("neighbours", 0.05, seed=2)], replace(SETUP, left_out=12, timezone="Asia/Shanghai"))

    data = json.loads(json.dumps(trial.to_dict(), allow_nan=False))

    assert from_dict(data) == trial
    assert data["kind"] == trial.kind == "trial"
    assert (data["left_out"], data["n_cases"], data["n_clusters"], data["level"]) == (12, 1200, 400, 0.95)
    assert trial.row("popular").params == {"window": 7}


def test_the_day_of_the_cut_is_named_in_the_zone_of_the_shop():
    evening = replace(SPLIT, train_until=SPLIT.train_until - DAY // 4, test_from=SPLIT.test_from - DAY // 4)

    assert str(replace(SETUP, split=evening).window()) == "28.2 days from 2017-12-02"
    assert str(replace(SETUP, split=evening, timezone="Asia/Shanghai").window()) == "28.2 days from 2017-12-03"


@pytest.mark.parametrize("evidence", [ExactCount(say("stored events"), 1200),
                                      NotLearned("recommend.next_items", "popular")])
def test_every_kind_of_evidence_has_a_kind_a_sentence_and_comes_back_from_plain_data(evidence):
    data = json.loads(json.dumps(evidence.to_dict()))

    assert from_dict(data) == evidence
    assert data["kind"] == evidence.kind
    assert str(evidence.sentence())


def test_evidence_of_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="'hearsay'"):
        from_dict({"kind": "hearsay"})


def test_a_trial_is_read_back_by_its_own_class_too():
    trial = ladder([scored("a", 0, seed=1), scored("b", 0.1, seed=2)], SETUP)

    assert Trial.from_dict(trial.to_dict()) == trial


def test_small_figures_never_read_as_nothing():
    assert figures(0.02, 0.0004) == ("0.0200", "0.0004")
    assert figures(0.0) == ("0.0",)
    assert figures(0.3, -1e-9) == ("0.3000", "0.0000")
