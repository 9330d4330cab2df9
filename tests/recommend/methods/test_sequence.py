"""A network's words: what it learned of order, that the newest step counts, and that its reasons are real ones."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from shopkeeper.errors import BadInput, MissingExtra
from shopkeeper.recommend.methods import sequence
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams, folded, mixed
from shopkeeper.represent.content import Known
from shopkeeper.represent.settings import NetworkParams, TrainingParams

ITEMS = 24
SETTING = SequenceParams(width=16, layers=1, heads=2, window=20, epochs=12, rate=8e-3, skip=0.05)


@pytest.fixture(scope="module")
def fitted():
    """People who go from item i to i + 1 for the most part, a step a day."""
    rng = np.random.default_rng(0)
    customer, item, when = [], [], []
    for person in range(90):
        at = int(rng.integers(ITEMS))
        for day in range(12):
            customer.append(person)
            item.append(at)
            when.append(day * DAY)
            at = (at + 1) % ITEMS if rng.random() < 0.9 else int(rng.integers(ITEMS))
    n = len(item)
    log = Interactions(np.array(customer, np.int32), np.array(item, np.int32), np.array(when), np.arange(n),
                       np.ones(n, np.float32), 90, ITEMS)
    return SequenceNetwork(SETTING).fit(log, 100 * DAY, SETTING)


def walk(*items):
    return Histories.single(items, when=np.arange(len(items)) * DAY)


def test_what_mostly_follows_is_ranked_first_and_a_new_step_changes_the_answer(fitted):
    first, _ = fitted.top(walk(3, 4, 5), 3 * DAY, 1)
    then, _ = fitted.top(walk(3, 4, 5, 17), 4 * DAY, 1)

    assert first[0, 0] == 6
    assert then[0, 0] == 18


def test_scores_are_chances_that_add_up_to_one(fitted):
    scores = fitted.score(walk(1, 2), 3 * DAY)

    assert scores.sum() == pytest.approx(1.0, abs=1e-4)


def test_taking_out_what_is_named_as_the_reason_lowers_the_rank_and_taking_out_others_does_not(fitted):
    lowered = others = cases = 0
    rng = np.random.default_rng(1)
    for _ in range(40):
        items = [int(rng.integers(ITEMS))]
        while len(items) < 6:
            step = (items[-1] + 1) % ITEMS if rng.random() < 0.8 else int(rng.integers(ITEMS))
            items.append(step)
        top = int(fitted.top(walk(*items), 7 * DAY, 1)[0][0, 0])
        (reasons,) = fitted.because(walk(*items), [top], 7 * DAY)
        named = reasons[0][0]
        rest = [item for item in dict.fromkeys(items) if item not in dict(reasons)] or [items[0]]
        before = fitted.score(walk(*items), 7 * DAY)[0]
        without = fitted.score(walk(*(item for item in items if item != named)), 7 * DAY)[0]
        other = fitted.score(walk(*(item for item in items if item != rest[0])), 7 * DAY)[0]
        cases += 1
        lowered += without[top] < before[top]
        others += other[top] < before[top] and rest[0] != named
    assert lowered >= 0.95 * cases
    assert others <= 0.3 * cases


def test_without_torch_training_is_refused_by_name_and_what_was_trained_answers(fitted, monkeypatch):
    monkeypatch.setattr(sequence, "find_spec", lambda _: None)
    log = Interactions(np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.arange(2), np.arange(2),
                       np.ones(2, np.float32), 1, 2)
    with pytest.raises(MissingExtra) as refused:
        SequenceNetwork(SETTING).fit(log, 10, SETTING)
    monkeypatch.setitem(sys.modules, "torch", None)
    arrays, meta = fitted.state()

    assert "pip install 'shopkeeper[torch]'" in str(refused.value)
    assert SequenceNetwork().restore(arrays, meta).top(walk(3, 4, 5), 3 * DAY, 1)[0][0, 0] == 6


def test_things_of_one_moment_stand_in_an_order_that_is_not_that_of_their_rows():
    owner, when, item = np.zeros(20, np.int64), np.repeat([5, 9], 10), np.tile(np.arange(10), 2)
    by = mixed(owner, when, item)

    assert when[by].tolist() == when.tolist()
    assert item[by][:10].tolist() != list(range(10))
    assert item[by][:10].tolist() != item[by][10:].tolist()


def test_a_network_goes_on_from_an_earlier_one_though_items_have_moved(fitted):
    rows = np.concatenate([[-1], np.arange(ITEMS)])  # a new item came first
    short = SequenceParams(**{**SETTING.__dict__, "epochs": 1, "rate": 1e-4})
    log = Interactions(np.zeros(30, np.int32), (np.arange(30) % (ITEMS + 1)).astype(np.int32), np.arange(30) * DAY,
                       np.arange(30), np.ones(30, np.float32), 1, ITEMS + 1)

    warm = SequenceNetwork(short).from_earlier(fitted, rows).fit(log, 100 * DAY, short)

    assert warm.top(walk(4, 5, 6), 3 * DAY, 1)[0][0, 0] == 7


def test_a_setting_is_one_record_whose_parts_are_the_networks_and_the_trainings_own():
    params = SequenceParams(network="gru", width=12, epochs=3, warm=0.2)
    before = {"network": "gru", "width": 12, "layers": 2, "heads": 4, "kernel": 5, "window": 100, "dropout": 0.2,
              "objective": "softmax", "negatives": 1024, "epochs": 3, "judge": 5, "patience": 0, "steps": 9600,
              "rate": 0.002, "decay": 0.0, "skip": 0.1, "turned": 0.0, "average": 0.999, "most": 2_000_000,
              "timed": True, "seed": 0}  # as earlier versions wrote it

    assert params.shape() == NetworkParams(network="gru", width=12, window=100)
    assert params.training() == TrainingParams(epochs=3, negatives=1_024, warm=0.2)
    assert SequenceParams(**before) == replace(params, warm=0.1)
    with pytest.raises(BadInput, match="width 15 is no multiple"):
        SequenceParams(width=15)
    with pytest.raises(BadInput, match="rate is 7"):
        SequenceParams(rate=7)


def test_what_is_known_of_items_reaches_the_network_and_is_folded_into_what_serves():
    log = small_log(seed=4)
    known = Known({"kind": np.where(np.arange(30) < 25, np.arange(30) % 3, -1)}, np.eye(30, 4, dtype=np.float32))
    params = SequenceParams(width=8, layers=1, heads=2, epochs=2, window=10, tower=True)
    told = SequenceNetwork(params, known=lambda: known).fit(log, NOW, params)
    plain = SequenceNetwork(params).fit(log, NOW, params)

    assert set(told.weights) == set(plain.weights)
    assert told.weights["item.weight"].shape == (30, 8)
    assert not np.allclose(told.weights["item.weight"], plain.weights["item.weight"])
    again = SequenceNetwork().restore(*told.state())
    people = Histories.of(log, [0, 1])
    assert np.array_equal(again.score(people, NOW), told.score(people, NOW))


def test_folding_adds_the_vectors_of_everything_known_of_an_item():
    weights = {"item.weight": np.ones((3, 2), np.float32), "bias": np.zeros(3, np.float32),
               "known.kind.weight": np.array([[9, 9], [1, 2], [3, 4]], np.float32),
               "described.weight": np.array([[1.0], [0.0]], np.float32)}
    known = Known({"kind": np.array([-1, 1, 0])}, np.array([[0.0], [5.0], [0.0]], np.float32))

    assert folded(weights, known)["item.weight"].tolist() == [[10, 10], [9, 5], [2, 3]]
    assert set(folded(weights, None)) == {"item.weight", "bias"}
