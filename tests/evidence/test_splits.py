from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopkeeper.errors import BadInput, TooLittleHistory
from shopkeeper.evidence.splits import DAY, TimeSplit, iso, last_window, leave_last, rolling_origins

BEGIN = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
times = st.lists(st.integers(0, 400 * DAY), min_size=1, max_size=60).map(lambda days: BEGIN + np.array(days))


@given(times, st.integers(1, 60))
def test_no_training_event_is_later_than_the_cut_and_none_is_in_both_parts(when, horizon):
    split = last_window(int(when.max()), horizon)

    train, test = split.train(when), split.test(when)

    assert not (train & test).any()
    assert (when[train] < split.train_until).all()
    assert (when[test] >= split.train_until).all()
    assert (train | test).all()                       # the last window leaves nothing between the parts, nor after


@given(times, st.integers(1, 60))
def test_the_last_event_falls_into_the_last_window_which_is_as_long_as_asked(when, horizon):
    split = last_window(int(when.max()), horizon)

    assert split.test(when)[when.argmax()]
    assert split.days == horizon


def test_an_event_exactly_on_the_cut_tests_and_does_not_teach():
    split = TimeSplit(BEGIN, BEGIN, BEGIN + DAY)

    assert split.test(np.array([BEGIN])).all()
    assert not split.train(np.array([BEGIN])).any()
    assert not split.test(np.array([BEGIN + DAY])).any()


def test_what_lies_in_the_gap_between_training_and_test_is_in_neither():
    split = TimeSplit(BEGIN, BEGIN + 7 * DAY, BEGIN + 14 * DAY)
    inside = np.array([BEGIN + 3 * DAY])

    assert not split.train(inside).any()
    assert not split.test(inside).any()


@pytest.mark.parametrize("bounds", [(10, 5, 20), (5, 10, 10), (5, 20, 10)])
def test_a_split_whose_parts_touch_or_are_empty_is_refused(bounds):
    with pytest.raises(ValueError, match="train_until <= test_from < test_until"):
        TimeSplit(*bounds)


@given(st.integers(1, 30), st.integers(1, 6))
def test_rolling_windows_lie_side_by_side_oldest_first_and_end_with_the_log(horizon, n):
    last = BEGIN + (n + 1) * horizon * DAY - 1

    windows = rolling_origins(BEGIN, last, horizon=horizon, n=n)

    assert len(windows) == n
    assert windows[-1] == last_window(last, horizon)
    assert all(early.test_until == late.test_from for early, late in pairwise(windows))
    assert windows[0].train_until - BEGIN == horizon * DAY


def test_a_step_shorter_than_the_horizon_overlaps_only_because_it_was_asked():
    windows = rolling_origins(BEGIN, BEGIN + 100 * DAY, horizon=28, n=3, step=7)

    assert [(late.test_from - windows[0].test_from) // DAY for late in windows] == [0, 7, 14]


def test_a_log_too_short_for_its_windows_says_what_would_fit():
    with pytest.raises(TooLittleHistory) as refusal:
        rolling_origins(BEGIN, BEGIN + 41 * DAY - 1, horizon=14, n=3)

    assert str(refusal.value) == (
        "3 test windows of 14 days need 56 days of events; this log has 41 (2017-01-01 to 2017-02-10).\n"
        "  Try:  Give horizon=10.\n"
        "  Try:  Give n=1.\n"
        "  Try:  Ingest an older export too.\n"
        "  Why:  each window is set aside to check the answer, and the oldest needs as much before it to learn from.")


@given(st.integers(1, 80), st.integers(1, 40), st.integers(1, 8), st.none() | st.integers(1, 20))
def test_whatever_a_refusal_suggests_then_works(span, horizon, n, step):
    last = BEGIN + span * DAY - 1
    try:
        found = rolling_origins(BEGIN, last, horizon=horizon, n=n, step=step)
    except TooLittleHistory as refusal:
        given_params = [advice.params for advice in refusal.do if advice.params]
        for params in given_params:
            found = rolling_origins(BEGIN, last, horizon=params.get("days", horizon), n=params.get("n", n), step=step)
            assert found[0].train_until > BEGIN
    else:
        assert found[0].train_until - BEGIN >= horizon * DAY


@pytest.mark.parametrize("asked", [{"horizon": 0, "n": 1}, {"horizon": 1, "n": 0}, {"horizon": 1, "n": 1, "step": 0}])
def test_windows_of_nothing_are_refused(asked):
    with pytest.raises(BadInput, match="must be at least 1"):
        rolling_origins(BEGIN, BEGIN + 100 * DAY, **asked)


def test_a_window_of_no_days_is_refused_in_whole():
    with pytest.raises(BadInput) as refusal:
        last_window(BEGIN, 0)

    assert str(refusal.value) == ("horizon is 0; it must be at least 1.\n"
                                  "  Try:  Give horizon as a whole number, 1 or more.")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000)), max_size=60, unique_by=lambda pair: pair[1]))
def test_leave_last_gives_each_long_customer_one_test_one_validation_and_the_rest_in_order(pairs):
    customer = np.array([one for one, _ in pairs], int)
    order = np.array([place for _, place in pairs], int)

    train, valid, test = leave_last(customer, order)

    assert (train.astype(int) + valid + test == 1).all()
    for who in np.unique(customer):
        mine = customer == who
        expected = sorted(order[mine].tolist())
        if len(expected) < 3:
            assert train[mine].all()
        else:
            assert order[mine & test].tolist() == expected[-1:]
            assert order[mine & valid].tolist() == expected[-2:-1]
            assert sorted(order[mine & train].tolist()) == expected[:-2]


def test_a_split_comes_back_from_its_plain_data_to_the_microsecond():
    split = TimeSplit(BEGIN + 1, BEGIN + 2, BEGIN + 3 * DAY + 999_999)

    assert TimeSplit.from_dict(split.to_dict()) == split
    assert iso(BEGIN) == "2017-01-01T00:00:00+00:00"
