"""One loop that trains every network: seeded, judged on what is held out, resumed after a kill, kept without pickle.

Every random choice of an epoch is drawn from the seed and the epoch's number, so an epoch that was cut off by a kill
and is run again gives what it would have given.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_as_bytes
from torch import Tensor, nn

from shopkeeper.errors import BadInput, Damaged
from shopkeeper.represent.networks import ItemFeatures, Network, full_softmax, pointwise, sampled_softmax
from shopkeeper.represent.sequences import PAD, Batch, Sequences, Windows, batches, padded, planned, windows
from shopkeeper.represent.settings import NetworkParams, TrainingParams
from shopkeeper.words import say

__all__ = ["Around", "Judged", "Trained", "train"]

Arrays = dict[str, npt.NDArray[Any]]
_CLIP = 5.0        # longest gradient of one update
_FORMAT = 1
_FLOOR = 0.02      # share of the highest rate that is left at the end


@dataclass(frozen=True)
class Judged:
    """What was found at one judgement.

    Attributes:
        epoch: Epochs that were over.
        loss: Mean training loss of the last one.
        ndcg: NDCG@10 of the held-out steps over all items; None where nothing is held out.
    """

    epoch: int
    loss: float
    ndcg: float | None


@dataclass(frozen=True)
class Trained:
    """A trained network as plain arrays, for `serving`.

    Attributes:
        arrays: Its weights by name, float32.
        head: What JSON can hold: the shape, the training, what was judged.
        judged: The course of the training.
    """

    arrays: Arrays
    head: dict[str, Any]
    judged: tuple[Judged, ...] = ()


@dataclass
class _Course:
    """Where a training stands."""

    network: Network
    kept: list[Tensor]            # the moving average of the weights
    optimizer: torch.optim.AdamW
    epoch: int = 0
    update: int = 0
    best: float = -1.0
    since: int = 0
    best_kept: list[Tensor] | None = None
    judged: list[Judged] = field(default_factory=list)


@dataclass(frozen=True)
class Around:
    """What stands around a training.

    Attributes:
        features: What is known of items.
        start: Arrays of an earlier training to begin from (`Trained.arrays`); items that it did not know begin anew.
        folder: Where the state is kept after each epoch. A training that finds its own state there goes on from it.
        passed: Called after each epoch with how many are over, how many there are, and its mean loss.
        told: Called with each judgement, for a chart or a log.
    """

    features: ItemFeatures | None = None
    start: Mapping[str, Any] | None = None
    folder: Path | None = None
    passed: Callable[[int, int, float], None] | None = None
    told: Callable[[Judged], None] | None = None


_NOTHING = Around()


def train(sequences: Sequences, shape: NetworkParams, how: TrainingParams, *, seed: int = 0,
          held: Windows | None = None, around: Around = _NOTHING) -> Trained:
    """Train a network on sequences.

    Args:
        sequences: What people did; every step but a person's first is learned from.
        shape: Of the network.
        how: The training.
        seed: Of every random choice; with one number of threads, one seed gives one network.
        held: Windows (of these or other sequences over the same items) that judge; never learned from.
        around: What is known of items, what to begin from, where the state is kept, and who is told.

    Raises:
        BadInput: There is nothing to learn from, or its folder holds the state of another training.
        Damaged: What the folder holds cannot be read.
    """
    if not len(sequences.item) or int(np.diff(sequences.indptr).max(initial=0)) < 2:
        raise BadInput(say("nobody did two things; a network learns from what follows what."))
    torch.manual_seed(seed)
    timed = sequences.when is not None
    network = Network(shape, sequences.n_items, sequences.sizes, timed=timed, features=around.features)
    if around.start is not None:
        _begin_from(network, around.start)
    course = _Course(network, [one.detach().clone() for one in network.parameters()], _optimizer(network, how))
    facts = _facts(sequences, shape, how, seed)
    if around.folder is not None:
        _resume(course, around.folder, facts)
    while course.epoch < how.epochs and not (how.patience and course.since >= how.patience):
        loss = _epoch(course, sequences, how, seed)
        if course.epoch % how.judge == 0 or course.epoch == how.epochs:
            _judge(course, held, sequences, loss)
            if around.told is not None:
                around.told(course.judged[-1])
        if around.folder is not None:
            _keep(course, around.folder, facts)
        if around.passed is not None:
            around.passed(course.epoch, how.epochs, loss)
    return _result(course, facts)


def _optimizer(network: Network, how: TrainingParams) -> torch.optim.AdamW:
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, one in network.named_parameters():
        (matrices if one.ndim > 1 and name.startswith("encoder.") else others).append(one)
    return torch.optim.AdamW([{"params": matrices, "weight_decay": how.decay},
                              {"params": others, "weight_decay": 0.0}], lr=how.rate, betas=(0.9, 0.98))


def _epoch(course: _Course, sequences: Sequences, how: TrainingParams, seed: int) -> float:
    """One pass over all steps; the mean loss."""
    rng = np.random.default_rng([seed, course.epoch])
    torch.manual_seed(int(rng.integers(2**62)))
    cut = windows(sequences, course.network.params.window, rng, turned=how.turned)
    course.network.train()
    losses: list[float] = []
    plan = planned(cut, how.steps, rng)
    for number, which in enumerate(plan):
        _set_rate(course, how, (course.epoch + number / len(plan)) / how.epochs)
        losses.append(_update(course, padded(sequences, cut, which), how, rng))
    course.epoch += 1
    return float(np.mean(losses)) if losses else 0.0


def _set_rate(course: _Course, how: TrainingParams, done: float) -> None:
    """Up in a line, then down along half a cosine."""
    done = min(1.0, done)
    if done < how.warm:
        share = done / how.warm
    else:
        share = _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * (done - how.warm) / (1 - how.warm)))
    for group in course.optimizer.param_groups:
        group["lr"] = how.rate * share


def _update(course: _Course, batch: Batch, how: TrainingParams, rng: np.random.Generator) -> float:
    network = course.network
    counts = batch.target != PAD
    if not counts.any():
        return 0.0
    h = network(*_tensors(batch), skip=_skipped(batch, how, rng))
    h, target = h[torch.from_numpy(counts)], torch.from_numpy(batch.target[counts])  # (P, C), (P,)
    loss = _loss(network, h, target, how, rng)
    course.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
    course.optimizer.step()
    course.update += 1
    with torch.no_grad():
        decay = min(how.average, (course.update + 1) / (course.update + 10))
        torch._foreach_lerp_(course.kept, [one.detach() for one in network.parameters()], 1 - decay)
    return float(loss.detach())


def _tensors(batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    return (torch.from_numpy(batch.item), {name: torch.from_numpy(codes) for name, codes in batch.sides.items()},
            None if batch.gap is None else torch.from_numpy(batch.gap))


def _skipped(batch: Batch, how: TrainingParams, rng: np.random.Generator) -> Tensor | None:
    """Which items are kept from the network: of each history another share, from none to twice the mean."""
    if not how.skip:
        return None
    share = 2 * how.skip * rng.random((len(batch.item), 1))
    return torch.from_numpy((rng.random(batch.item.shape) < share) & (batch.item != PAD))


def _loss(network: Network, h: Tensor, target: Tensor, how: TrainingParams, rng: np.random.Generator) -> Tensor:
    if how.objective == "softmax":
        return full_softmax(h, network.vectors(), network.bias, target)
    n = min(how.negatives, network.n_items)
    drawn = torch.from_numpy(rng.choice(network.n_items, n, replace=False).astype(np.int64))
    if how.objective == "pointwise":
        return pointwise(h, network, target, drawn)
    log_chance = torch.full((network.n_items,), math.log(n / network.n_items))
    return sampled_softmax(h, network, target, drawn, log_chance)


def _judge(course: _Course, held: Windows | None, sequences: Sequences, loss: float) -> None:
    """How good the averaged weights are on what is held out; the best so far are kept."""
    ndcg = None
    if held is not None and len(held):
        own = [one.detach().clone() for one in course.network.parameters()]
        _lay(course.network, course.kept)
        ndcg = _ndcg(course.network, held, sequences)
        _lay(course.network, own)
        course.since += 1
        if ndcg > course.best:
            course.best, course.since = ndcg, 0
            course.best_kept = [one.clone() for one in course.kept]
    course.judged.append(Judged(course.epoch, loss, ndcg))


@torch.no_grad()
def _ndcg(network: Network, held: Windows, sequences: Sequences) -> float:
    """Mean NDCG@10 of each held-out step among all items that are not in its person's window before it."""
    network.eval()
    x, gains, n = network.vectors(), 0.0, 0
    newest = Windows(np.maximum(held.start, held.first - network.params.window), held.stop, held.first)
    for batch in batches(sequences, newest, 4_096, None):
        row, at = np.nonzero(batch.target != PAD)
        h = network(*_tensors(batch))[torch.from_numpy(row), torch.from_numpy(at)]
        scores = (h @ x.T + network.bias).numpy()  # (P, V)
        place = np.arange(len(row))
        wanted = batch.target[row, at]
        value = scores[place, wanted]
        for one, (r, t) in enumerate(zip(row.tolist(), at.tolist(), strict=True)):
            seen = batch.item[r, :t + 1]
            scores[one, seen[(seen != PAD) & (seen != wanted[one])]] = -np.inf
        rank = (scores > value[:, None]).sum(1)
        gains += float(np.where(rank < 10, 1 / np.log2(rank + 2.0), 0.0).sum())
        n += len(row)
    network.train()
    return gains / max(1, n)


def _lay(network: Network, weights: list[Tensor]) -> None:
    with torch.no_grad():
        for one, value in zip(network.parameters(), weights, strict=True):
            one.copy_(value)


def _begin_from(network: Network, start: Mapping[str, Any]) -> None:
    """Take over what an earlier training knew, where the shapes fit; of tables with a row an item, the rows it had."""
    with torch.no_grad():
        for name, one in network.named_parameters():
            value = start.get(name)
            if value is None or value.shape[1:] != tuple(one.shape[1:]) or len(value) > len(one):
                continue
            one[:len(value)] = torch.from_numpy(np.asarray(value, dtype=np.float32))


def _facts(sequences: Sequences, shape: NetworkParams, how: TrainingParams, seed: int) -> dict[str, Any]:
    """What a state must agree with to be gone on from: the data, in short, the settings and the seed."""
    some = np.asarray(sequences.item[:: max(1, len(sequences.item) // 65_536)], dtype=np.int64)
    data = [len(sequences), len(sequences.item), sequences.n_items, int((some * (np.arange(len(some)) % 997)).sum())]
    return {"format": _FORMAT, "network": asdict(shape), "training": asdict(how), "seed": seed, "data": data,
            "sides": dict(sequences.sizes), "timed": sequences.when is not None}


def _result(course: _Course, facts: dict[str, Any]) -> Trained:
    kept = course.best_kept or course.kept
    names = [name for name, _ in course.network.named_parameters()]
    arrays = {name: one.detach().numpy().copy() for name, one in zip(names, kept, strict=True)}
    head = {**facts, "epochs": course.epoch, "judged": [asdict(one) for one in course.judged]}
    return Trained(arrays, head, tuple(course.judged))


def _keep(course: _Course, folder: Path, facts: dict[str, Any]) -> None:
    """The whole state as one safetensors file, renamed into place."""
    tensors: Arrays = {}
    own = list(course.network.parameters())
    lists: dict[str, list[Tensor]] = {"own": own, "kept": course.kept, "best": course.best_kept or [],
             "first": [course.optimizer.state[one]["exp_avg"] for one in own if one in course.optimizer.state],
             "second": [course.optimizer.state[one]["exp_avg_sq"] for one in own if one in course.optimizer.state]}
    for name, values in lists.items():
        tensors |= {f"{name}.{number}": one.detach().numpy() for number, one in enumerate(values)}
    head = {"facts": facts, "epoch": course.epoch, "update": course.update, "best": course.best, "since": course.since,
            "judged": [asdict(one) for one in course.judged],
            "moved": [number for number, one in enumerate(own) if one in course.optimizer.state]}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "training.tmp"
    with temporary.open("wb") as file:
        file.write(tensors_as_bytes(tensors, {"head": json.dumps(head)}))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "training.safetensors")


def _resume(course: _Course, folder: Path, facts: dict[str, Any]) -> None:
    """Go on from the state that a folder holds, if it holds one."""
    path = folder / "training.safetensors"
    if not path.exists():
        return
    try:
        with safe_open(str(path), "numpy") as file:
            head = json.loads(file.metadata()["head"])
            tensors = {name: torch.from_numpy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if head["facts"] != json.loads(json.dumps(facts)):
            raise BadInput(say("{folder} holds the state of another training.", folder=str(folder)),
                           do=[say("take another folder, or empty this one.")],
                           why=say("its data, its settings or its seed differ from what is asked now."))
        _take(course, head, tensors)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as wrong:
        raise Damaged(say("{folder} holds a state that cannot be read.", folder=str(folder)),
                      do=[say("empty the folder to begin anew.")],
                      why=say("the file is cut short, damaged, or of another version.")) from wrong


def _take(course: _Course, head: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    own = list(course.network.parameters())
    _lay(course.network, [tensors[f"own.{number}"] for number in range(len(own))])
    course.kept = [tensors[f"kept.{number}"] for number in range(len(own))]
    course.best_kept = [tensors[f"best.{number}"] for number in range(len(own))] if "best.0" in tensors else None
    for place, number in enumerate(head["moved"]):
        course.optimizer.state[own[number]] = {"step": torch.tensor(float(head["update"])),
                                               "exp_avg": tensors[f"first.{place}"],
                                               "exp_avg_sq": tensors[f"second.{place}"]}
    course.epoch, course.update = int(head["epoch"]), int(head["update"])
    course.best, course.since = float(head["best"]), int(head["since"])
    course.judged = [Judged(**one) for one in head["judged"]]
