"""A network's words: what it learned of order, that the newest step counts, and that its reasons are real ones."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from represent.scalars import scalars
from shopkeeper.errors import BadInput, MissingExtra
from shopkeeper.evidence.metrics import Relevant, ndcg_at
from shopkeeper.recommend.methods import sequence
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions
from shopkeeper.recommend.methods.buy_again import BuyAgain
from shopkeeper.recommend.methods.contract import NOW, small_log
from shopkeeper.recommend.methods.popular import Popular
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams, folded, mixed
from shopkeeper.represent.content import Known
from shopkeeper.represent.following import following
from shopkeeper.represent.settings import NetworkParams, TrainingParams

ITEMS = 24
SETTING = SequenceParams(width=16, layers=1, heads=2, window=20, epochs=12, rate=8e-3, skip=0.05)


def steps(rng, n):
    """A person who goes from item i to i + 1 for the most part."""
    at = [int(rng.integers(ITEMS))]
    while len(at) < n:
        at.append((at[-1] + 1) % ITEMS if rng.random() < 0.9 else int(rng.integers(ITEMS)))
    return at


def log_of_steps(people):
    """A step a day over twelve days."""
    lists = [steps(np.random.default_rng(person), 12) for person in range(people)]
    n = 12 * people
    return Interactions(np.repeat(np.arange(people), 12).astype(np.int32), np.concatenate(lists).astype(np.int32),
                        np.tile(np.arange(12) * DAY, people), np.arange(n), np.ones(n, np.float32), people, ITEMS)


@pytest.fixture(scope="module")
def fitted():
    """A network that has read a hundred and sixty people."""
    return SequenceNetwork(SETTING).fit(log_of_steps(160), 100 * DAY, SETTING)


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


def test_on_people_it_has_not_seen_a_network_that_knows_order_beats_what_is_popular_and_what_is_bought_again(fitted):
    people = [steps(np.random.default_rng(1000 + person), 9) for person in range(150)]
    right = Relevant.single([one[-1] for one in people])
    log = log_of_steps(160)

    def value(method):
        ranked = np.stack([method.top(walk(*one[:-1]), 8 * DAY, 10)[0][0] for one in people])
        return float(ndcg_at(ranked, right, 10).mean())

    plain = [value(method.fit(log, 100 * DAY, method.candidates()[0])) for method in (Popular(), BuyAgain())]

    assert value(fitted) > max(plain) + 0.3


def test_without_the_events_that_are_named_an_item_falls_and_without_others_it_does_not(fitted):
    fell = stood = cases = 0
    for number in range(60):
        items = steps(np.random.default_rng(2000 + number), 8)
        top = int(fitted.top(walk(*items), 9 * DAY, 1)[0][0, 0])
        (reasons,) = fitted.because(walk(*items), [top], 9 * DAY)
        named = [item for item, _ in reasons[:3]]
        others = [item for item in dict.fromkeys(items) if item not in named]
        if len(others) < 3:
            continue
        chosen = np.random.default_rng(number).choice(others, 3, replace=False)
        cases += 1
        fell += rank(fitted, items, named, top) > 1
        stood += rank(fitted, items, chosen, top) == 1

    assert cases > 40
    assert fell >= 0.95 * cases
    assert stood >= 0.7 * cases


def rank(fitted, items, without, item):
    """The place of an item, from 1, once some things are taken out of the history; each step keeps its day."""
    kept = [(one, day) for day, one in enumerate(items) if one not in without]
    left = Histories.single([one for one, _ in kept], when=np.array([day for _, day in kept], np.int64) * DAY)
    score = fitted.score(left, 9 * DAY)[0]
    return 1 + int((score > score[item]).sum())


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


def test_a_training_that_is_followed_is_written_down_epoch_by_epoch_and_gives_the_same_network(tmp_path):
    short, log = replace(SETTING, epochs=3), log_of_steps(40)
    plain, watched = SequenceNetwork(short), SequenceNetwork(short)
    watched.followed = following("tensorboard", tmp_path)

    found = watched.fit(log, 100 * DAY, short)
    watched.fit(log, 100 * DAY, short)  # trained already

    (file,) = tmp_path.rglob("*tfevents*")
    assert file.parent.name.startswith("sequence-1970-01-12-")
    assert [(step, tag) for step, tag, _ in scalars(file)] == [(1, "loss"), (2, "loss"), (3, "loss")]
    assert watched.followed.runs == 1
    assert all(np.array_equal(value, found.weights[name])
               for name, value in plain.fit(log, 100 * DAY, short).weights.items())
