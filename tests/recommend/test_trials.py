"""A trial chooses on one window, compares on the next, and sees nothing of what comes after."""

import dataclasses

import numpy as np
import pytest

from recommend.toys import Nothing, Prophet, Toy
from shopkeeper.errors import BadInput, TooLittleHistory
from shopkeeper.evidence.splits import rolling_origins
from shopkeeper.recommend import trials
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.base import DAY
from shopkeeper.recommend.methods.contract import check_method
from shopkeeper.recommend.methods.popular import Popular
from shopkeeper.recommend.trials import CONTESTS, QUESTIONS, contest_of, known_methods, run


@pytest.fixture(scope="module")
def log(small):
    return read_log(small)


def toy(log, seed=0):
    return Toy("noise", np.random.default_rng(seed).random(log.interactions.n_items))


def test_a_toy_that_beats_nothing_is_not_used_and_its_line_is_in_the_trial(log):
    check_method(Toy("noise", np.random.default_rng(0).random(30)))

    trial = run(log, "recommend.next_items", extra=(toy(log),)).trial

    assert trial.winner != "noise"
    assert [row.name for row in trial.rows][-1] == "noise"
    assert "noise" in {step.challenger for step in trial.steps}
    assert all(step.verdict != "beats" for step in trial.steps if step.challenger == "noise")


def test_a_toy_that_knows_the_future_wins_and_the_sentence_says_by_how_much(log):
    trial = run(log, "recommend.next_items", extra=(Prophet(log),)).trial

    assert trial.winner == "prophet"
    assert trial.row("prophet").mean.estimate > 0.95
    assert str(trial.sentence()).startswith("prophet beats popular by 0.")


def test_two_methods_of_one_name_are_refused(log):
    with pytest.raises(BadInput) as refused:
        run(log, "recommend.next_items", extra=(Toy("popular", np.ones(log.interactions.n_items)),))

    assert str(refused.value) == (
        "two methods are called 'popular'.\n  Try:  give yours a name of its own.\n"
        "  Why:  a trial, and the model that it installs, know a method by its name.")


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_plainest_stands_first_and_what_answers_beat_every_plain_rival(log, question):
    trial = run(log, question).trial

    plainest = "same_category" if question == "recommend.similar_items" else "popular"
    assert trial.rows[0].name == plainest
    if trial.winner not in contest_of(question, log).rivals:
        assert trial.final.verdict == "beats"
        assert trial.final.rival in contest_of(question, log).rivals
    assert trial.margin is None or (trial.margin.rival, trial.margin.verdict) == (plainest, "beats")


def test_without_categories_what_is_similar_is_looked_for_among_all(log):
    plain = dataclasses.replace(log, codes=None)

    assert contest_of("recommend.similar_items", log).rivals == ("same_category",)
    assert contest_of("recommend.similar_items", plain) is CONTESTS["recommend.similar_items"]
    assert [row.name for row in run(plain, "recommend.similar_items").trial.rows] == ["popular", "neighbours"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_same_log_and_seed_give_the_same_weights_whatever_the_order_of_its_lines(log, question):
    order = np.random.default_rng(5).permutation(len(log.interactions))
    shuffled = log.interactions.where(order)
    by = np.lexsort((shuffled.weight, shuffled.item, shuffled.basket, shuffled.when, shuffled.customer))
    again = dataclasses.replace(log, interactions=shuffled.where(by), target=log.target[order][by])

    one, other = trials.learn(log, question, seed=3), trials.learn(again, question, seed=3)

    assert one.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    assert one.meta == other.meta
    assert [(row.name, row.mean, row.params) for row in one.trial.rows] == [
        (row.name, row.mean, row.params) for row in other.trial.rows]


class Watching(Toy):
    """Keeps what it was fitted on, and two settings, so that validation fits it too."""

    def __init__(self, n_items):
        super().__init__("watching", np.ones(n_items))
        self.seen = []

    def candidates(self):
        return [Nothing(), Nothing()]

    def fit(self, interactions, now, params):
        self.seen.append((int(interactions.when.max()), now))
        return self


def test_no_fit_sees_a_line_of_its_window_or_later(log):
    watching = Watching(log.interactions.n_items)
    valid, test = rolling_origins(int(log.interactions.when.min()), log.now, horizon=14, n=2)

    run(log, "recommend.next_items", extra=(watching,))

    assert [now for _, now in watching.seen] == [valid.train_until, valid.train_until, test.train_until]
    assert all(last < now for last, now in watching.seen)


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_future_changes_nothing_of_what_was_chosen_and_fitted(log, question):
    part = log.interactions
    test = rolling_origins(int(part.when.min()), log.now, horizon=14, n=2)[1]
    later = np.flatnonzero(test.test(part.when))
    items = part.item.copy()
    items[later] = np.random.default_rng(2).permutation(items[later])
    moved = dataclasses.replace(part, item=items)
    by = np.lexsort((moved.weight, moved.item, moved.basket, moved.when, moved.customer))
    other = dataclasses.replace(log, interactions=moved.where(by), target=log.target[by])

    one, two = (run(each, question).trial for each in (log, other))

    assert [row.params for row in one.rows] == [row.params for row in two.rows]
    assert one.rows[0].mean != two.rows[0].mean


def part_of(log, lines):
    return dataclasses.replace(log, interactions=log.interactions.where(lines), target=log.target[lines])


def test_too_few_cases_are_refused_and_said_what_a_case_is(log):
    with pytest.raises(TooLittleHistory) as refused:
        run(part_of(log, log.interactions.customer % 9 == 0), "recommend.next_items")

    text = str(refused.value)
    assert text.startswith("a trial of recommend.next_items needs 50 cases in 14 days; this log has ")
    assert text.endswith(
        "  Try:  shop.ingest(...) more of the log\n  Why:  a case is a person who came back within the window, and the "
        "items that they took; with fewer the interval would be too wide to tell anything.")


def test_a_log_of_three_weeks_is_too_short_for_two_windows_of_two(log):
    with pytest.raises(TooLittleHistory) as refused:
        run(part_of(log, log.interactions.when >= log.now - 21 * DAY), "recommend.goes_with")

    assert str(refused.value) == (
        "a trial of recommend.goes_with needs 42 days of events of people with items; this log has 20.\n"
        "  Try:  shop.ingest(...) more of the log\n"
        "  Why:  14 days choose, 14 days compare, and the first must have as many to learn from.")


class Counting:
    def __init__(self):
        self.stages, self.steps = [], []

    def start(self, what, total=None):
        self.stages.append((str(what), total))
        self.steps.append(0)

    def advance(self, steps=1):
        self.steps[-1] += steps


@pytest.mark.parametrize("question", QUESTIONS)
def test_progress_counts_every_fit_and_knows_how_many_there_are(log, question):
    told = Counting()

    run(log, question, progress=told)

    assert told.stages == [(f"trial of {question}", told.steps[0])]
    assert told.steps[0] >= 9


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_method_that_can_win_can_be_read_back(log, question):
    names = {method.name for method in contest_of(question, log).methods(log)}

    assert names <= set(known_methods(question)) == set(trials.competing(question))


def test_what_is_installed_is_fitted_on_everything(log):
    fit = trials.learn(log, "recommend.next_items")
    method = {each.name: each for each in contest_of("recommend.next_items", log).methods(log)}[fit.method]
    whole, earlier = (method.fit(log.interactions, until, fit.params).state()[0]
                      for until in (log.now + 1, log.now - DAY))

    assert all(np.array_equal(fit.arrays[f"method.{name}"], array) for name, array in whole.items())
    assert any(not np.array_equal(array, earlier[name]) for name, array in whole.items())


class Broken(Popular):
    """Ranks, and says that its scores are no numbers."""

    name = "broken"

    def fit(self, interactions, now, params):
        fitted = super().fit(interactions, now, params)
        fitted.name, top = "broken", fitted.top
        fitted.top = lambda *given, **named: (top(*given, **named)[0], np.full((len(given[0]), 10), np.nan))
        return fitted


def test_a_method_that_breaks_its_promises_is_refused_by_name(log):
    with pytest.raises(BadInput) as refusal:
        run(log, "recommend.next_items", extra=(Broken(),))

    assert str(refusal.value) == (
        "method 'broken' breaks the promises of a method: its scores are no numbers, or its lists have another length "
        "than was asked for.\n"
        "  Try:  check_method(method) of shopkeeper.recommend.methods.contract says what is broken.\n"
        "  Why:  a trial on such lists would say nothing.")
