"""Training and serving: one seed one network, a kill changes nothing, NumPy says what torch says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shopkeeper.errors import BadInput, Damaged
from shopkeeper.represent.networks import ItemFeatures, Network, full_softmax
from shopkeeper.represent.sequences import PAD, Sequences, held_out
from shopkeeper.represent.serving import Reader
from shopkeeper.represent.settings import NetworkParams, TrainingParams
from shopkeeper.represent.training import Around, train

NETWORKS = ("transformer", "gru", "lstm", "cnn")
HOW = TrainingParams(epochs=6, judge=3, steps=300, rate=8e-3)
V = 24


def shape(network="transformer", **more):
    return NetworkParams(**{"network": network, "width": 16, "layers": 1, "heads": 2, "window": 12, **more})


@pytest.fixture(scope="module")
def sequences():
    """People who mostly go from an item to the next one, at times, by two kinds of step."""
    rng = np.random.default_rng(0)
    lists = []
    for _ in range(80):
        one = [int(rng.integers(V))]
        for _ in range(rng.integers(2, 20)):
            one.append((one[-1] + 1) % V if rng.random() < 0.85 else int(rng.integers(V)))
        lists.append(one)
    plain = Sequences.of(lists, V)
    when = np.cumsum(rng.integers(1, 10**9, len(plain.item)))
    return Sequences(plain.indptr, plain.item, V, when, {"kind": plain.item % 2}, {"kind": 2})


@pytest.fixture(scope="module")
def trained(sequences):
    held = held_out(sequences, sequences.indptr[1:] - 1)
    return {network: train(sequences, shape(network), HOW, held=held) for network in NETWORKS}


def same(one, other):
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


def test_what_follows_what_is_learned(trained):
    best = {network: max(one.ndcg for one in made.judged) for network, made in trained.items()}

    assert best["transformer"] > 0.6
    assert best["cnn"] > 0.6
    assert min(best.values()) > 0.2  # ten of 24 items at random come to .19


def test_one_seed_gives_one_network_and_another_seed_another(sequences, trained):
    held = held_out(sequences, sequences.indptr[1:] - 1)

    assert same(train(sequences, shape(), HOW, held=held), trained["transformer"])
    assert not same(train(sequences, shape(), HOW, held=held, seed=1), trained["transformer"])


class Killed(Exception):
    """What ends a training in the middle."""


@pytest.mark.parametrize("network", ["transformer", "gru"])
def test_a_training_that_was_killed_and_resumed_gives_what_one_in_one_go_gives(sequences, trained, tmp_path, network):
    held = held_out(sequences, sequences.indptr[1:] - 1)

    def kill(_):
        raise Killed

    with pytest.raises(Killed):
        train(sequences, shape(network), HOW, held=held, around=Around(folder=tmp_path, told=kill))
    seen = []
    resumed = train(sequences, shape(network), HOW, held=held, around=Around(folder=tmp_path, told=seen.append))

    assert [one.epoch for one in seen] == [3, 6]  # the epoch that was cut off is run again
    assert same(resumed, trained[network])


def test_the_state_of_another_training_and_a_damaged_one_are_refused(sequences, tmp_path):
    short = replace(HOW, epochs=1)
    train(sequences, shape(), short, around=Around(folder=tmp_path))
    with pytest.raises(BadInput, match="holds the state of another training"):
        train(sequences, shape(), short, seed=1, around=Around(folder=tmp_path))

    path = tmp_path / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Damaged, match="cannot be read"):
        train(sequences, shape(), short, around=Around(folder=tmp_path))


@pytest.mark.parametrize("network", NETWORKS)
def test_numpy_reads_a_history_as_torch_does(trained, network):
    rng = np.random.default_rng(1)
    lengths = [9, 1, 4, 7]
    item = np.full((4, 9), PAD)
    for row, n in enumerate(lengths):
        item[row, :n] = rng.integers(0, V, n)
    kind, gap = np.where(item >= 0, item % 2, 0), rng.integers(0, 24, 4)
    network_ = Network(shape(network), V, {"kind": 2}, timed=True)
    network_.load_state_dict({name: torch.from_numpy(one) for name, one in trained[network].arrays.items()})
    network_.eval()
    with torch.no_grad():
        h = network_(torch.from_numpy(item), {"kind": torch.from_numpy(kind)},
                     torch.from_numpy(np.repeat(gap[:, None], 9, 1)))

    ours = Reader.of(trained[network].arrays, trained[network].head).read(item, {"kind": kind}, gap)

    assert np.abs(ours - h[np.arange(4), np.array(lengths) - 1].numpy()).max() < 1e-5


def test_a_later_step_changes_nothing_that_was_said_before_it(trained):
    for network in NETWORKS:
        made = Network(shape(network), V, {"kind": 2}, timed=True)
        made.load_state_dict({name: torch.from_numpy(one) for name, one in trained[network].arrays.items()})
        made.eval()
        item = torch.randint(0, V, (1, 8), generator=torch.Generator().manual_seed(0))
        other = item.clone()
        other[0, 5:] = (other[0, 5:] + 1) % V
        kind, gap = {"kind": torch.zeros_like(item)}, torch.zeros_like(item)
        with torch.no_grad():
            assert torch.allclose(made(item, kind, gap)[0, :5], made(other, kind, gap)[0, :5], atol=1e-6), network


def test_the_loss_in_blocks_and_its_gradients_are_those_of_torch():
    torch.manual_seed(0)
    h, x, bias = (torch.randn(*size, requires_grad=True) for size in ((50, 8), (30_000, 8), (30_000,)))
    target = torch.randint(0, 30_000, (50,))
    ours = full_softmax(h, x, bias, target)
    found = torch.autograd.grad(ours, (h, x, bias))
    theirs = torch.nn.functional.cross_entropy(h @ x.T + bias, target)
    expected = torch.autograd.grad(theirs, (h, x, bias))

    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found, expected, strict=True))


def test_what_is_known_of_items_moves_those_that_nobody_met(sequences):
    codes = {"shelf": np.arange(V + 4) % 4}
    wider = Sequences(sequences.indptr, sequences.item, V + 4, sequences.when, sequences.sides, sequences.sizes)
    vectors = np.eye(V + 4, 3, dtype=np.float32)
    made = train(wider, shape(), replace(HOW, epochs=2), around=Around(features=ItemFeatures(codes, vectors)))

    known = Reader.of(made.arrays, made.head, codes, vectors).items[V:]
    plain = made.arrays["item.weight"][V:]

    assert np.abs(known - plain).min(axis=1).max() > 0
    assert np.abs(made.arrays["known.shelf.weight"][1:]).max() > 0


@pytest.mark.parametrize("objective", ["sampled", "pointwise"])
def test_the_other_objectives_learn_too(sequences, objective):
    held = held_out(sequences, sequences.indptr[1:] - 1)
    made = train(sequences, shape(), replace(HOW, objective=objective, negatives=10), held=held)

    assert made.judged[-1].ndcg > 0.4


def test_training_goes_on_from_an_earlier_network_and_new_items_begin_anew(sequences, trained):
    wider = Sequences(sequences.indptr, sequences.item, V + 3, sequences.when, sequences.sides, sequences.sizes)
    held = held_out(wider, wider.indptr[1:] - 1)
    one = replace(HOW, epochs=1, judge=1, rate=1e-4)

    warm = train(wider, shape(), one, held=held,
                 around=Around(start=trained["transformer"].arrays))
    cold = train(wider, shape(), one, held=held)

    assert len(warm.arrays["item.weight"]) == V + 3
    assert warm.judged[-1].ndcg > cold.judged[-1].ndcg + 0.2


def test_foreign_weights_and_empty_logs_are_refused(trained):
    with pytest.raises(Damaged, match="not the weights of such a network"):
        Reader.of({**trained["gru"].arrays}, trained["transformer"].head)
    with pytest.raises(BadInput, match="nobody did two things"):
        train(Sequences.of([[1], [2]], 3), shape(), HOW)


@pytest.mark.parametrize(("wrong", "what"), [
    ({"network": "rnn"}, "network 'rnn' is not known"), ({"width": 15}, "no multiple"), ({"layers": 0}, "layers is 0"),
    ({"dropout": float("nan")}, "dropout is nan")])
def test_impossible_shapes_are_refused(wrong, what):
    with pytest.raises(BadInput, match=what):
        shape(**wrong)
