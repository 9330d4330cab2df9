"""Each sign on visitors whose truth is known: what it must find, and whom it must leave alone."""

import numpy as np
import pytest

from shopkeeper.traffic.methods import BOT, METHODS, Visitors, judge
from shopkeeper.traffic.methods.crowd import Crowd
from shopkeeper.traffic.methods.driven import Driven
from shopkeeper.traffic.methods.even import Even
from shopkeeper.traffic.methods.quick import Quick
from shopkeeper.traffic.methods.reviews import REASONS, Written, score, signs
from shopkeeper.traffic.methods.silent import Silent
from shopkeeper.traffic.methods.walk import Walk

HOUR = 3_600_000_000
DAY = 24 * HOUR


def visitors(n, *, items=1_000, **columns):
    """n quiet visitors; what is given is laid over them."""
    base = {name: np.zeros(n, np.int64) for name in ("most_items", "pauses", "quick", "driven", "silent", "intent",
                                                     "bought", "cell", "first", "last")}
    base |= {"events": np.ones(n, np.int64), "mean": np.full(n, 20.0), "spread": np.full(n, 20.0),
             "named": np.zeros(n, bool)}
    given = {name: np.broadcast_to(np.asarray(value, base[name].dtype), (n,)).copy() for name, value in columns.items()}
    return Visitors(**{**base, **given}, items=items)


CLOCK = {"events": 50, "pauses": 40, "mean": 30.0, "spread": 1.0}
FAST = {"events": 300, "pauses": 250, "quick": 250, "mean": 0.5, "spread": 0.2}


@pytest.mark.parametrize(("method", "seen", "bot"), [
    (Quick(), FAST, True), (Quick(), {**FAST, "quick": 29, "pauses": 58}, False),
    (Quick(), {"events": 200, "pauses": 150, "mean": 2.0}, True),
    (Quick(), {"events": 50, "pauses": 40, "mean": 2.0}, False),
    (Even(), CLOCK, True), (Even(), {**CLOCK, "pauses": 9}, False), (Even(), {**CLOCK, "spread": 15.0}, False),
    (Even(), {**CLOCK, "intent": 1}, False),
    (Driven(), {"events": 6, "driven": 6}, True), (Driven(), {"events": 6, "driven": 6, "intent": 1}, False),
    (Driven(), {"events": 6, "driven": 2}, False), (Silent(), {"events": 600, "silent": 600}, False)],
    ids=lambda value: getattr(value, "name", None))
def test_a_sign_finds_its_machine_and_not_who_is_nearly_one(method, seen, bot):
    assert (method.judge(visitors(1, **seen))[0] >= BOT) == bot


def test_a_long_walk_alone_makes_a_suspect_and_no_bot():
    who = visitors(1, events=400, most_items=390, pauses=380, mean=20.0)

    assert 0.5 <= Walk().judge(who)[0] < BOT
    assert 0.5 <= judge(who)[0][0] < BOT


def test_who_never_sends_an_agent_is_a_suspect_at_most_for_that_alone_and_for_that_reason():
    score, sign = judge(visitors(1, events=60, silent=60))

    assert (score[0], METHODS[sign[0]].name) == (0.5, "no_agent")


def test_whoever_has_bought_is_never_a_machine_whatever_the_signs_say():
    for seen in (CLOCK, FAST, {"events": 900, "most_items": 900, "driven": 900}):
        assert judge(visitors(1, **seen))[0][0] >= 0.5
        assert judge(visitors(1, **seen, bought=1))[0][0] == 0.0


def test_people_s_pauses_are_not_even_however_often_they_are_looked_at():
    rng = np.random.default_rng(3)
    pauses = np.exp(rng.normal(2.8, 0.9, (20_000, 15)))  # log-normal, as people's are
    who = visitors(20_000, events=16, pauses=15, mean=pauses.mean(1), spread=pauses.std(1))

    assert (judge(who)[0] >= BOT).mean() <= 0.002


def test_the_pauses_of_a_timer_with_some_jitter_are_found():
    rng = np.random.default_rng(4)
    pauses = rng.uniform(24, 36, (500, 15))
    who = visitors(500, events=16, pauses=15, mean=pauses.mean(1), spread=pauses.std(1))

    assert (judge(who)[0] >= BOT).mean() >= 0.99


def background(rng, days, per_day, cells):
    """One-hit visitors over the day, more of them in the evening."""
    hour = np.concatenate([rng.normal(13, 3, rng.poisson(per_day / 2)) % 24 if late else
                           rng.normal(20, 2, rng.poisson(per_day / 2)) % 24 for _ in range(days) for late in (0, 1)])
    day = rng.integers(0, days, len(hour))
    return (day * DAY + hour * HOUR).astype(np.int64), rng.integers(0, cells, len(hour))


@pytest.mark.parametrize("per_day", [30, 3_000])
def test_a_crowd_is_found_against_its_own_history_and_nobody_else(per_day):
    rng = np.random.default_rng(5)
    when, cell = background(rng, 60, per_day, 12)
    crowd = (20 * DAY + 3 * HOUR + rng.uniform(0, HOUR, 150)).astype(np.int64)
    who = visitors(len(when) + 150, cell=np.r_[cell, np.full(150, 4)], first=np.r_[when, crowd])

    found = Crowd().judge(who) >= BOT

    assert found[len(when):].mean() >= 0.95
    assert found[:len(when)].sum() <= 5


def test_a_campaign_s_visitors_and_those_who_look_on_are_no_crowd():
    rng = np.random.default_rng(6)
    when, cell = background(rng, 30, 100, 12)
    crowd = (20 * DAY + 3 * HOUR + rng.uniform(0, HOUR, 150)).astype(np.int64)
    for odd in ({"named": np.r_[np.zeros(len(when)), np.ones(150)]},
                {"events": np.r_[np.ones(len(when)), np.full(150, 5)]},
                {"intent": np.r_[np.zeros(len(when)), np.ones(150)]}):
        who = visitors(len(when) + 150, cell=np.r_[cell, np.full(150, 4)], first=np.r_[when, crowd], **odd)
        assert not (Crowd().judge(who) >= 0.5).any()


def test_a_kind_of_visitor_that_always_comes_in_numbers_is_no_crowd():
    rng = np.random.default_rng(7)
    when, _ = background(rng, 60, 2_000, 1)

    assert (Crowd().judge(visitors(len(when), first=when)) >= 0.5).mean() <= 0.001


def test_the_order_of_visitors_makes_no_difference():
    rng = np.random.default_rng(8)
    when, cell = background(rng, 20, 200, 3)
    who = visitors(len(when) + 100, cell=np.r_[cell, np.zeros(100)], pauses=rng.integers(0, 50, len(when) + 100),
                   first=np.r_[when, 5 * DAY + rng.integers(0, HOUR, 100)])
    mixed = rng.permutation(len(who))

    for method in METHODS:
        assert np.array_equal(method.judge(who.where(mixed)), method.judge(who)[mixed]), method.name
    assert len(judge(visitors(0))[0]) == 0


# ---- reviews


def written(**columns):
    n = len(columns["when"])
    plain = {"item": np.zeros(n, np.int64), "text": [""] * n, "reviews": np.ones(n, np.int64),
             "others": np.full(n, 20), "items": np.full(n, 6)}
    return Written(**{**plain, **columns})


def test_a_burst_of_reviews_of_one_item_is_found_and_a_steady_favourite_is_not():
    steady = np.arange(200) * DAY
    burst = 100 * DAY + np.arange(30) * HOUR // 2
    reviews = written(when=np.r_[steady, burst, steady], item=np.repeat([0, 1, 2], [200, 30, 200]))

    found = signs(reviews)[:, REASONS.index("burst")]

    assert found[200:230].all()
    assert not found[:200].any()
    assert not found[230:].any()


def test_accounts_that_only_review_are_a_sign_until_all_do():
    n = 100
    few = written(when=np.arange(n) * 9 * DAY, others=np.r_[np.zeros(5), np.full(n - 5, 20)].astype(int))
    every = written(when=np.arange(n) * 9 * DAY, others=np.zeros(n, np.int64))
    nobody = written(when=np.arange(n) * 9 * DAY, reviews=np.zeros(n, np.int64), others=np.zeros(n, np.int64))

    assert signs(few)[:, REASONS.index("reviews_only")].sum() == 5
    assert not signs(every).any()
    assert not signs(nobody).any()


def test_copied_texts_are_found_in_english_and_chinese_and_praise_in_three_words_is_not():
    english = "The best purchase I have made this year and I would recommend it to everyone I know"
    chinese = "这款产品的质量非常好物流也很快包装精美下次还会继续购买推荐给大家值得信赖"
    texts = [english, "Broke after two days and nobody answers my mails about it, a waste of money",
             english.replace("this year", "in ages"), chinese, "很好", chinese[:-4] + "非常满意", "great, thanks",
             "great, thanks"]

    found = signs(written(when=np.arange(8) * DAY, text=texts))[:, REASONS.index("alike")]

    assert found.tolist() == [True, False, True, True, False, True, False, False]


@pytest.mark.parametrize(("text", "apart", "copies"), [
    ("Great product works perfectly very happy", 30, True), ("很好很满意下次还会再来买的", 30, True),
    ("Great product works perfectly very happy", DAY // 1_000_000, False), ("very good indeed", 30, False)])
def test_a_short_text_is_a_copy_where_it_comes_again_and_again_within_a_day(text, apart, copies):
    reviews = written(when=np.arange(40) * apart * 1_000_000, text=[text] * 39 + ["something else altogether, thanks"])

    assert signs(reviews)[:, REASONS.index("alike")].tolist() == [copies] * 39 + [False]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_few_of_the_same_short_text_are_no_copies(n):
    reviews = written(when=np.arange(n), text=["works perfectly very happy"] * n)

    assert not signs(reviews)[:, REASONS.index("alike")].any()


def test_several_signs_together_weigh_more_than_one():
    both, one, none = score(np.array([[True, True, False, False], [True, False, False, False], [False] * 4]))

    assert both > one > none == 0
