"""What the methods are for: a network that knows order beats what does not, a blend beats each of its sources, and
what is named as the reason is the reason. On planted logs, with people that none of them has seen.
"""

import numpy as np
import pytest

from shopkeeper.evidence.metrics import Relevant, ndcg_at
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.methods.blend import Blend, BlendParams, Source
from shopkeeper.recommend.methods.buy_again import BuyAgain, BuyAgainParams
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.recommend.ranking import REASONS

SHELVES, DEEP = 8, 12       # twelve items on each of eight shelves
ITEMS = SHELVES * DEEP
DAYS, PEOPLE = 40, 240
NEAR = NeighboursParams(ahead=4, share=1.0)
NEXT = NeighboursParams(ahead=2, share=0.0, recency=0.9, last=3)


def log_of(lists, per_day=1, first=0):
    """A line a step, so many a day, of people numbered from 0."""
    customer = np.repeat(np.arange(len(lists)), [len(one) for one in lists]).astype(np.int32)
    item = np.concatenate([np.asarray(one) for one in lists]).astype(np.int32)
    when = np.concatenate([first + np.arange(len(one)) * DAY // per_day for one in lists])
    return Interactions(customer, item, when, np.arange(len(item)), np.ones(len(item), np.float32), len(lists), ITEMS)


@pytest.fixture(scope="module")
def halves():
    """People who take each day two things, of which one mostly follows the other, and again one of three of their own.
    """
    rng = np.random.default_rng(3)
    lists = []
    for _ in range(PEOPLE):
        own, at, one = rng.choice(ITEMS, 3, replace=False), int(rng.integers(ITEMS)), []
        for _ in range(DAYS + 1):
            one += [at, (at + 1) % ITEMS, int(rng.choice(own))]
            at = (at + 2) % ITEMS if rng.random() < 0.9 else int(rng.integers(ITEMS))
        lists.append(one)
    return log_of(lists, per_day=3)


def test_a_blend_of_two_sources_that_carry_different_halves_beats_each_alone(halves):
    now = DAYS * DAY
    sources = (Source(Neighbours(), NEXT), Source(BuyAgain(), BuyAgainParams()), Source(Popular(), PopularParams()))
    last = halves.where(halves.when >= now)
    right = Relevant.pairs(last.customer, last.item, PEOPLE)
    histories = Histories.of(halves.before(now), np.arange(PEOPLE))

    def value(fitted):
        return float(ndcg_at(fitted.top(histories, now, 10)[0], right, 10).mean())

    alone = [value(one.method.fit(halves, now, one.params)) for one in sources]
    blended = value(Blend(*sources).fit(halves, now, BlendParams()))

    assert blended > max(alone) + 0.05
    assert min(alone[:2]) > 2 * alone[2]  # each of the two knows something that popularity does not


@pytest.fixture(scope="module")
def shelves():
    """People who take four things of each of three shelves, one a day: what stands behind a thing is its shelf."""
    rng = np.random.default_rng(5)
    return log_of([rng.permutation([shelf * DEEP + item for shelf in rng.choice(SHELVES, 3, replace=False)
                                    for item in rng.choice(DEEP, 4, replace=False)]) for _ in range(PEOPLE)])


BLEND = Blend(Source(Neighbours(), NEAR), Source(Popular(), PopularParams(None)))


@pytest.mark.parametrize(("method", "params"), [(Neighbours(), NEAR), (BLEND, BlendParams(within=3.0))],
                         ids=["neighbours", "blend"])
def test_without_the_events_that_are_named_an_item_falls_and_without_others_it_does_not(shelves, method, params):
    now, rng = 12 * DAY, np.random.default_rng(0)
    fitted = method.fit(shelves, now, params)
    fell = stood = cases = 0
    for person in range(0, PEOPLE, 4):
        history = Histories.of(shelves, [person])
        for top in fitted.top(history, now, 3, exclude=history.items())[0][0].tolist():
            (reasons,) = fitted.because(history, [top], now)
            before = rank(fitted, history, top, now)
            named = [item for item, _ in reasons[:REASONS]]
            others = rng.permutation(np.setdiff1d(history.item, named))[:REASONS]
            cases += 1
            fell += rank(fitted, history.where(~np.isin(history.item, named)), top, now) > before
            stood += rank(fitted, history.where(~np.isin(history.item, others)), top, now) <= before

    assert cases > 50
    assert fell >= 0.95 * cases
    assert stood >= 0.7 * cases


def rank(fitted, history, item, now):
    """The place of an item among all, from 1; of equal ones the worst."""
    score = fitted.score(history, now)[0]
    return int((score >= score[item]).sum())
