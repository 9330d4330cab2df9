"""Detectors against a second, plain implementation, against scipy's laws, and on series whose truth is known."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from shopkeeper.trends import ringing
from shopkeeper.trends.methods import bursts, silence, threshold, usual
from shopkeeper.trends.methods.base import CAP, FEWEST, LOOK_BACK, LOW, TO_SIGMA, WEEKS, Counts, baseline, earlier
from shopkeeper.trends.rules import Rule
from shopkeeper.warehouse.calendar import local_hours_of_week
from trends.made import DAY, HOUR, MONDAY, micros, weekly

START = micros(MONDAY)


def plain_forecast(x, slots, per_day, t, drifts=None):
    """What bucket t was expected to be and how far it may stray, by loops over what came before it."""
    past = [x[u] for u in range(t) if slots[u] == slots[t]][-WEEKS:]
    n = len(past)
    median = statistics.median(past) if past else 0.0
    mean = (sum(past) + 0.5) / max(n, 1)
    tail = median < LOW
    plain = mean if tail else median
    return n, plain, median, tail, plain * (1.0 if drifts is None else drifts[t // per_day]), past


def plain_judge(counts, level, t):
    """The verdict on bucket t alone, from a series that ends with it."""
    x, slots, per_day = counts.amounts[:t + 1].tolist(), counts.slots[:t + 1].tolist(), counts.per_day
    days = t // per_day + 1
    first = [plain_forecast(x, slots, per_day, u) for u in range(t + 1)]
    ratios = []
    for day in range(days):
        known = [u for u in range(day * per_day, min((day + 1) * per_day, t + 1)) if first[u][0] >= FEWEST - 1]
        hoped = sum(first[u][1] for u in known)
        ratios.append(sum(x[u] for u in known) / hoped if hoped >= LOW else math.nan)
    drifts = []
    for day in range(days):
        week = [ratio for ratio in ratios[max(0, day - 7):day] if not math.isnan(ratio)]
        drifts.append(min(4.0, max(0.25, statistics.median(week))) if len(week) >= 4 else 1.0)
    forecasts = [plain_forecast(x, slots, per_day, u, drifts) for u in range(t + 1)]
    n, plain, median, tail, expected, past = forecasts[t]
    before = range(max(0, t // per_day - 7 * WEEKS) * per_day, t // per_day * per_day)
    busy = [u for u in before if forecasts[u][0] >= FEWEST - 1 and not forecasts[u][3]]
    low = [u for u in before if forecasts[u][0] >= FEWEST - 1 and forecasts[u][3]]
    side = (1 - level) / 2
    if not tail:
        pooled = TO_SIGMA * statistics.median(abs(x[u] - forecasts[u][4]) / math.sqrt(max(forecasts[u][4], 1))
                                              for u in busy) if busy else 1.0
        own = TO_SIGMA * statistics.median(abs(value - median) for value in past) * expected / plain
        reach = stats.norm.ppf(1 - side) * max(max(pooled, 1.0) * math.sqrt(max(expected, 1.0)), own)
        return max(0.0, expected - reach), expected + reach
    top = bottom = 0.0
    for u in low:
        m, hoped = forecasts[u][0], (forecasts[u][1] - 0.5 / forecasts[u][0]) * drifts[u // per_day]
        top += min((x[u] - forecasts[u][4]) ** 2, CAP**2 * max(hoped * (1 + 1 / m), 1.0))
        bottom += hoped * (1 + 1 / m)
    wide = max(1.0, top / bottom if bottom else 1.0) * (1 + 1 / n)
    law = stats.nbinom(expected / (wide - 1), 1 / wide)
    return law.ppf(side), law.ppf(1 - side)


@pytest.mark.parametrize("mean, dispersion", [(2, 1), (25, 1), (25, 4), (90, 2)])
def test_the_interval_is_that_of_a_plain_second_implementation(mean, dispersion):
    counts = weekly(mean, 12, seed=3, dispersion=dispersion)
    found = usual.judge(counts, 0.99)

    for t in range(5 * 168 + 3, len(counts.amounts), 97):
        low, high = plain_judge(counts, 0.99, t)
        assert (found.low[t], found.high[t]) == pytest.approx((low, high), rel=1e-9), t


@pytest.mark.parametrize("mean", [0.05, 0.4, 3.0, 12.0, 19.9])
@pytest.mark.parametrize("n", [3, 8])
def test_at_low_counts_the_interval_is_the_predictive_law_of_a_poisson_count(mean, n):
    rng = np.random.default_rng(5)
    total = round(mean * n)
    rates = rng.gamma(total + 0.5, 1 / n, 400_000)  # Jeffreys' posterior of the rate after n counts
    drawn = rng.poisson(rates)

    low, high = (ends[0] for ends in usual.tails(np.array([(total + 0.5) / n]), np.array([1.0]), np.array([n]), 0.005))

    assert np.mean(drawn < low) <= 0.005 + 0.001
    assert np.mean(drawn > high) <= 0.005 + 0.001
    assert np.mean(drawn > high - 1) > 0.005 - 0.001
    assert low == 0 or np.mean(drawn < low + 1) > 0.005 - 0.001


@pytest.mark.parametrize("mean", [0.5, 4.0, 15.0])
def test_with_much_past_the_interval_becomes_that_of_the_poisson_law(mean):
    low, high = usual.tails(np.array([mean]), np.array([1.0]), np.array([10**9]), 0.005)

    assert (low[0], high[0]) == stats.poisson(mean).interval(0.99)


@pytest.mark.parametrize("mean, dispersion", [(0.2, 1), (2, 1), (2, 4), (10, 2), (25, 1), (120, 1), (120, 5)])
def test_on_quiet_series_no_more_buckets_are_odd_than_the_level_says(mean, dispersion):
    odd = judged = 0
    for seed in range(12):
        found = usual.judge(weekly(mean, 14, seed, dispersion), 0.99)
        odd += np.count_nonzero(found.odd)
        judged += np.count_nonzero(found.judged)

    assert judged > 20_000
    assert odd / judged <= 0.0115  # 0.01, and twice what chance adds over so many buckets


def test_quiet_series_ring_less_than_once_in_ten_weeks():
    rule = Rule()
    for mean in (1, 8, 60):
        rung = weeks = 0
        for seed in range(12):
            counts = weekly(mean, 14, seed + 100, 2.0)
            found = usual.judge(counts, rule.level)
            rung += len(ringing.rings(rule, counts.amounts, START, found))
            weeks += 11
        assert rung / weeks < 0.1, mean


def test_what_comes_later_changes_no_verdict():
    counts = weekly(15, 16, seed=1, dispersion=2)
    whole = usual.judge(counts, 0.99)
    quiet = silence.judge(counts, 0.99)
    for end in (900, 1345, 2000):
        part = Counts(counts.amounts[:end], counts.slots[:end], 24)
        for found, full in ((usual.judge(part, 0.99), whole), (silence.judge(part, 0.99), quiet)):
            for name in ("expected", "low", "high", "odd", "run", "judged", "tail"):
                assert np.array_equal(getattr(found, name), getattr(full, name)[:end]), name


def test_what_is_older_than_the_look_back_changes_no_verdict():
    counts = weekly(15, LOOK_BACK + 6, seed=2)
    spoiled = counts.amounts.copy()
    spoiled[:168 * 6] = 500
    ends = slice(-24, None)

    a, b = usual.judge(counts, 0.99), usual.judge(Counts(spoiled, counts.slots, 24), 0.99)

    assert np.allclose(a.low[ends], b.low[ends])
    assert np.allclose(a.high[ends], b.high[ends])


def test_a_slot_that_the_clock_change_takes_or_gives_counts_as_often_as_it_came():
    amounts = np.array([1.0, 2, 3, 4, 5, 6])
    slots = np.array([0, 1, 0, 0, 1, 0])  # slot 1 missing once, slot 0 twice in a row

    found = earlier(amounts, slots, weeks=3)

    assert np.array_equal(found, [[np.nan] * 3, [np.nan] * 3, [1, np.nan, np.nan], [3, 1, np.nan],
                                  [2, np.nan, np.nan], [4, 3, 1]], equal_nan=True)


def test_over_a_change_of_the_clock_a_shop_that_keeps_local_hours_is_not_odd():
    rule, weeks, zone = Rule(in_a_row=1, level=0.9999), 14, "Europe/Berlin"
    when = START - 6 * 7 * DAY + np.arange(weeks * 168, dtype=np.int64) * HOUR
    local = local_hours_of_week(when, zone)  # the clock changes on 29 March, within the span
    open_ = (local % 24 >= 9) & (local % 24 < 18)
    amounts = np.random.default_rng(4).poisson(np.where(open_, 80, 1)).astype(np.float64)

    found = ringing.judge(rule, amounts, int(when[0]), zone)
    blind = ringing.judge(rule, amounts, int(when[0]), "UTC")

    assert ringing.rings(rule, amounts, int(when[0]), found) == []
    assert len(ringing.rings(rule, amounts, int(when[0]), blind)) >= 3


def test_a_growing_shop_is_not_odd_for_growing():
    counts = weekly(60, 16, seed=6)
    grown = np.random.default_rng(6).poisson(counts.amounts * 1.04 ** (np.arange(len(counts.amounts)) / 168))
    found = usual.judge(Counts(grown.astype(np.float64), counts.slots, 24), 0.99)

    assert np.mean(found.odd[168 * 6:] != 0) < 0.03


@pytest.mark.parametrize("mean", [12, 40, 200])
def test_planted_spikes_and_slumps_ring_within_two_hours_and_say_since_when(mean):
    rule, counts = Rule(), weekly(mean, 14, seed=9)
    at = 168 * 12 + 12  # noon
    for factor, side in ((3.0, "high"), (0.1, "low")):
        amounts = counts.amounts.copy()
        amounts[at:at + 6] = np.round(amounts[at:at + 6] * factor)
        found = usual.judge(Counts(amounts, counts.slots, 24), rule.level)
        rung = [ring for ring in ringing.rings(rule, amounts, START, found) if ring.since >= START + (at - 1) * HOUR]

        assert rung, (mean, side)
        assert rung[0].side == side
        assert rung[0].since == START + at * HOUR
        assert rung[0].until == START + (at + 2) * HOUR


@pytest.mark.parametrize("mean", [1.5, 10, 100])
def test_a_series_that_stops_is_a_silence_as_soon_as_chance_is_ruled_out(mean):
    rule, counts = Rule(detector="silence"), weekly(mean, 14, seed=11)
    amounts = counts.amounts.copy()
    at = 168 * 12 + 12
    amounts[at:] = 0
    found = silence.judge(Counts(amounts, counts.slots, 24), rule.level)

    rung = ringing.rings(rule, amounts, START, found)
    expected = baseline(counts).expected

    assert len([ring for ring in rung if ring.until <= START + at * HOUR]) == 0
    late = next(ring for ring in rung if ring.until > START + at * HOUR)
    hours = (late.until - START) // HOUR - at
    assert 10 < expected[at:at + hours].sum() < 10 + 3 * max(expected[at:at + 24])
    assert (late.counted, late.side, late.since) == (0.0, "low", START + at * HOUR - (at - _last(amounts, at)) * HOUR)


def _last(amounts, at):
    """The first empty hour of the run that holds `at`."""
    while amounts[at - 1] == 0:
        at -= 1
    return at


def test_a_silence_is_the_product_of_the_chances_of_empty_hours():
    counts = weekly(3, 10, seed=12)
    counts.amounts[-9:] = 0
    found, past = silence.judge(counts, 0.99), baseline(counts)

    last_loud = max(t for t, amount in enumerate(counts.amounts) if amount > 0)
    chance = 1.0
    for t in range(last_loud + 1, len(counts.amounts)):
        wide = past.dispersion[t] * (1 + 1 / past.n[t])
        chance *= stats.nbinom.pmf(0, past.expected[t] / (wide - 1), 1 / wide)
        assert (found.odd[t] == -1) == (chance <= 0.005**2)
        assert found.run[t] == t - last_loud - 1


def test_a_threshold_is_odd_beyond_its_numbers_and_nowhere_else():
    counts = Counts(np.array([1.0, 5, 10, 2]), np.arange(4), 24)

    assert threshold.judge(counts, 5, 2).odd.tolist() == [-1, 0, 1, 0]
    assert threshold.judge(counts, None, 2).odd.tolist() == [-1, 0, 0, 0]


def plain_rings(odd, amounts, expected, rule):
    """Where a rule rings, by a loop over the buckets."""
    rung, run, side, quiet = [], 0, 0, -math.inf
    for t, what in enumerate(odd):
        if what and (rule.side == "both" or (what > 0) == (rule.side == "high")) and (
                amounts[t] if what > 0 else expected[t]) >= rule.least:
            run, side = (run + 1 if what == side else 1), what
            if run >= rule.in_a_row and t + 1 >= quiet:
                rung.append(t + 1)
                quiet = t + 1 + rule.cooldown
        else:
            run, side = 0, 0
    return rung


@pytest.mark.parametrize("rule", [Rule(), Rule(side="high"), Rule(side="low", in_a_row=1, cooldown=0),
                                  Rule(in_a_row=3, cooldown=2, least=10)])
def test_rings_follow_rows_sides_volume_and_cool_down_as_a_plain_loop_does(rule):
    rng = np.random.default_rng(13)
    n = 2000
    odd = rng.choice([-1, 0, 1], n, p=[0.3, 0.3, 0.4])
    amounts, expected = rng.poisson(15, n).astype(float), rng.uniform(0, 30, n)
    nothing = np.zeros(n)
    found = usual.Verdicts(expected, nothing, nothing, odd, nothing.astype(int), nothing == 0, nothing == 0)

    rung = ringing.rings(rule, amounts, 0, found)

    assert [ring.until // HOUR for ring in rung] == plain_rings(odd, amounts, expected, rule)
    assert len(rung) > 5


def test_bursts_are_counted_as_a_plain_loop_counts():
    rng = np.random.default_rng(14)
    when = np.sort(rng.integers(0, 3 * DAY, 400))
    person = rng.integers(0, 12, 400)

    n, since = bursts.counted(person, when, HOUR)

    for t in range(400):
        mine = [u for u in range(t + 1) if person[u] == person[t] and when[u] > when[t] - HOUR]
        assert (n[t], since[t]) == (len(mine), when[mine[0]])


def test_a_burst_says_what_others_do_and_looks_at_nothing_later():
    person = np.array([0, 1, 2, 3, 3, 3, 3, 3, 4])
    when = np.arange(9, dtype=np.int64) * 1_000_000

    found = bursts.find(person, when, HOUR, 4, 0.99)
    later = bursts.find(person[:8], when[:8], HOUR, 4, 0.99)

    assert found == later
    assert [(burst.person, burst.counted, burst.typical) for burst in found] == [(3, 5, 1.0)]


def test_nothing_at_all_is_judged_without_a_past():
    counts = Counts(np.zeros(0), np.zeros(0, np.int64), 24)

    assert len(usual.judge(counts, 0.99).odd) == 0
    assert len(silence.judge(counts, 0.99).odd) == 0
    assert bursts.find(np.zeros(0, np.int64), np.zeros(0, np.int64), HOUR, 1, 0.99) == []
