"""The blend listens to the source that was right, and is no worse than it; its reasons are those of its sources."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from shopkeeper.evidence.metrics import Relevant, ndcg_at
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.methods.blend import Blend, BlendParams, Source, fit_weights
from shopkeeper.recommend.methods.buy_again import BuyAgain, BuyAgainParams
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.dense import Dense
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.recommend.trials import Entry, _prepare

PEOPLE, ITEMS = 240, 40


@dataclass(frozen=True)
class Nothing:
    """Nothing to set."""


class Told(Dense):
    """Scores that were given, a row a person, found by the first item of the history."""

    params = Nothing()

    def __init__(self, name, scores):
        super().__init__(np.ones(scores.shape[1], np.float32))
        self.name, self.scores = name, scores.astype(np.float32)

    def score(self, histories, now):
        return self.scores[histories.when[histories.indptr[:-1]]]

    def fit(self, interactions, now, params):
        return self

    def because(self, history, item_rows, now):
        return [[(int(history.item[0]), 1.0)] for _ in np.atleast_1d(item_rows)]


@pytest.fixture(scope="module")
def scene():
    """Two noisy views of what people want, and one of nothing at all."""
    rng = np.random.default_rng(0)
    wish = rng.gumbel(size=(PEOPLE, ITEMS))
    good, fair = (np.exp(wish + noise * rng.normal(size=wish.shape)) for noise in (0.7, 0.9))
    sources = [Told("good", good), Told("fair", fair), Told("noise", np.exp(rng.normal(size=wish.shape)))]
    histories = Histories(np.arange(PEOPLE + 1), np.zeros(PEOPLE, np.int64), np.arange(PEOPLE), np.arange(PEOPLE),
                          np.ones(PEOPLE, np.float32))
    return sources, histories, Relevant.single(wish.argmax(1))


def ndcg(scores, right):
    return float(ndcg_at(np.argsort(-scores, axis=1)[:, :10], right, 10).mean())


def test_the_source_that_knows_counts_most_and_noise_counts_nearly_nothing(scene):
    sources, histories, right = scene
    weights = fit_weights(sources, histories, right, 0)

    assert weights.level[0] > weights.level[1] > 3 * abs(weights.level[2])


def test_the_blend_of_two_views_sees_more_than_the_better_of_them(scene):
    sources, histories, right = scene
    half = PEOPLE // 2
    first = Relevant(right.indptr[:half + 1], right.items[:half])
    later = Relevant.single(right.items[half:])
    made = Blend(*(Source(one, one.params) for one in sources))
    weights = fit_weights(sources, histories.part(0, half), first, 0)
    fitted = type(made.fit(nobody(), 0, BlendParams()))(np.ones(ITEMS), {one.name: one for one in sources}, weights,
                                                         BlendParams())

    blended = ndcg(fitted.score(histories.part(half, PEOPLE), 0), later)

    assert blended > ndcg(sources[0].score(histories.part(half, PEOPLE), 0), later) + 0.01


def nobody():
    return Interactions(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64),
                        np.zeros(0, np.float32), 1, ITEMS)


def test_with_too_few_people_to_learn_from_the_sources_count_alike():
    sources = [Told("one", np.ones((1, ITEMS))), Told("other", np.ones((1, ITEMS)))]
    fitted = Blend(*(Source(one, one.params) for one in sources)).fit(nobody(), 20 * DAY, BlendParams())

    assert fitted.weights.level.tolist() == [1.0, 1.0]
    assert fitted.weights.known.tolist() == [0.0, 0.0]


def test_each_source_speaks_in_the_setting_that_validation_chose_also_once_it_is_read_back():
    log = small_log()
    blend = Blend(Source(Neighbours(), NeighboursParams(), "near"),
                  Source(Neighbours(), NeighboursParams(ahead=0), "far"), Source(Popular(), PopularParams()),
                  Source(BuyAgain(), BuyAgainParams()))
    chosen = {"neighbours": NeighboursParams(ahead=3), "popular": PopularParams(28), "buy_again": BuyAgainParams()}

    (params,) = blend.informed(chosen)
    fitted = blend.fit(log, NOW, params)

    assert {name: one.params for name, one in fitted.fitted.items()} == {
        "near": NeighboursParams(ahead=3), "far": NeighboursParams(ahead=0), "popular": PopularParams(28),
        "buy_again": BuyAgainParams()}
    assert blend.restore(*fitted.state()).params == params
    assert blend.informed({"neighbours": NeighboursParams(ahead=0)}) == blend.candidates()


def test_a_trial_gives_the_blend_the_settings_that_were_chosen_before_it():
    neighbours, popular = Neighbours(), Popular()
    entries = [Entry(popular, (), PopularParams(28)), Entry(neighbours, (), NeighboursParams(ahead=3)),
               Entry(Blend(Source(neighbours, NeighboursParams()), Source(popular, PopularParams())), ())]

    _prepare(entries[2], entries, None, False)

    assert [json.loads(one.settings)["popular"] for one in entries[2].candidates] == [{"window": 28}]
    assert json.loads(entries[2].candidates[0].settings)["neighbours"]["ahead"] == 3
