"""Every method keeps one contract; and the contract notices a method that does not."""

from dataclasses import dataclass

import numpy as np
import pytest

from shopkeeper.recommend.methods.alike import Alike
from shopkeeper.recommend.methods.base import Ranking
from shopkeeper.recommend.methods.blend import Blend, Source
from shopkeeper.recommend.methods.buy_again import BuyAgain
from shopkeeper.recommend.methods.contract import NOW, PROMISES, BrokenPromise, check_method, small_log
from shopkeeper.recommend.methods.factors import Factors
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.recommend.methods.same_category import SameCategory
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams
from shopkeeper.recommend.methods.together import Together

KINDS = np.arange(30) % 4 - 1  # a quarter of the items has no category
TINY = SequenceParams(width=8, layers=1, heads=2, window=10, epochs=1)
BLEND = Blend(Source(SequenceNetwork(TINY), TINY), Source(Neighbours(), NeighboursParams(ahead=0, repeats=5.0)),
              Source(Popular(), PopularParams()))
METHODS = [Popular(), BuyAgain(), Neighbours(), Together(), SameCategory(KINDS), Alike(KINDS), Factors(),
           Factors(small=0), SequenceNetwork(TINY), BLEND]


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_each_method_keeps_each_promise_in_each_setting(method, promise):
    broken = [params for params in method.candidates() if not PROMISES[promise](method, small_log(), NOW, params)]

    assert broken == []


@pytest.mark.parametrize("seed", range(3))
def test_the_promises_hold_on_other_logs(seed):
    for method in METHODS:
        check_method(method, small_log(seed=seed + 1, customers=7, items=11))


@dataclass(frozen=True)
class NoSetting:
    """Nothing to set."""


class Careless:
    """Counts lines, and breaks one promise on request."""

    name = "careless"

    def __init__(self, fault):
        self.fault = fault

    def candidates(self):
        return [NoSetting()]

    def fit(self, interactions, now, params):
        seen = interactions if self.fault == "future" else interactions.before(now)
        counts = np.bincount(seen.item, minlength=seen.n_items).astype(np.float32)
        if self.fault == "order" and len(seen):
            counts[seen.item[0]] += 1
        if self.fault == "infinite":
            counts[0] = np.inf
        return CarelessFitted(counts, self.fault)

    def restore(self, arrays, meta):
        return CarelessFitted(arrays["counts"] + (self.fault == "state"), self.fault)


class CarelessFitted(Ranking):
    name, params = "careless", NoSetting()

    def __init__(self, counts, fault):
        super().__init__(counts)
        self.fault = fault

    def floor(self):
        return self.popularity

    def because(self, history, item_rows, now):
        share = 0.5 if self.fault == "reasons" else 1.0
        return [[(int(history.item[0]), share)] if len(history.item) else [] for _ in item_rows]

    def state(self):
        return {"counts": self.popularity}, {}


def test_a_method_from_outside_that_keeps_the_promises_passes():
    assert check_method(Careless(fault=None)) is None


@pytest.mark.parametrize("fault, promise", [
    ("future", "nothing at or after now is seen"),
    ("order", "the order of the lines does not matter"),
    ("infinite", "scores are finite"),
    ("state", "state and restore give the same answer"),
    ("reasons", "add up to 1"),
])
def test_the_contract_names_the_promise_that_is_broken(fault, promise):
    with pytest.raises(BrokenPromise, match=promise):
        check_method(Careless(fault))
