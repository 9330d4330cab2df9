"""The settings of a network and of its training, as small typed records; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from shopkeeper.errors import BadInput
from shopkeeper.words import say

__all__ = ["NetworkParams", "TrainingParams"]

Kind = Literal["transformer", "gru", "lstm", "cnn"]
Objective = Literal["softmax", "sampled", "pointwise"]


def _within(params: Any, limits: dict[str, tuple[float, float]]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(params, name)
        if not low <= value <= high:
            raise BadInput(say("{name} is {value}; it must lie between {low} and {high}.", name=name, value=value,
                               low=low, high=high))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(say("{name} {value} is not known.", name=name, value=repr(value)),
                       do=[say("one of: {names}", names=", ".join(known))])


@dataclass(frozen=True)
class NetworkParams:
    """The shape of a network.

    Attributes:
        network: Which encoder reads the history.
        width: Length of h and x; a multiple of twice `heads` for a transformer.
        layers: How many blocks.
        heads: Of attention.
        kernel: Steps that a convolution sees: in a transformer before attention (0: none), in a cnn in each block.
        window: Steps of a history that are read, the newest.
        dropout: Share of features that is left out while training.
    """

    network: Kind = "transformer"
    width: int = 96
    layers: int = 2
    heads: int = 4
    kernel: int = 5
    window: int = 200
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _one_of("network", self.network, get_args(Kind))
        _within(self, {"width": (2, 4096), "layers": (1, 64), "heads": (1, 64), "kernel": (0, 64),
                       "window": (1, 10_000), "dropout": (0, 0.95)})
        if self.network == "transformer" and self.width % (2 * self.heads):
            raise BadInput(say("width {width} is no multiple of twice the {heads} heads.", width=self.width,
                               heads=self.heads), why=say("each head takes an equal and even part of the width."))


@dataclass(frozen=True)
class TrainingParams:
    """How a network is trained.

    Attributes:
        objective: `softmax` over all items, `sampled` softmax with shared negatives, `pointwise` cross-entropy.
        negatives: Items drawn a batch, where not all are compared.
        epochs: Passes over all steps; the rate of learning falls to nearly 0 over them.
        patience: Judgements without a better one after which training stops; 0: never.
        judge: Epochs between two judgements on what is held out.
        steps: Cells of a batch.
        rate: Highest rate of learning.
        warm: Share of all updates over which the rate rises.
        decay: Weight decay (Loshchilov, Hutter 2019), of matrices but not of embeddings.
        skip: Mean share of the items of a history that is kept from the network, so that it learns to do with gaps.
        turned: Share of windows that are read backwards.
        average: Decay of the moving average of all weights, which is what is kept (Polyak, Juditsky 1992).
    """

    objective: Objective = "softmax"
    negatives: int = 512
    epochs: int = 40
    patience: int = 0
    judge: int = 5
    steps: int = 9_600
    rate: float = 2e-3
    warm: float = 0.1
    decay: float = 0.0
    skip: float = 0.1
    turned: float = 0.0
    average: float = 0.999

    def __post_init__(self) -> None:
        _one_of("objective", self.objective, get_args(Objective))
        _within(self, {"negatives": (1, 1_000_000), "epochs": (1, 100_000), "patience": (0, 100_000),
                       "judge": (1, 100_000), "steps": (1, 10_000_000), "rate": (1e-6, 1), "warm": (0, 0.9),
                       "decay": (0, 10), "skip": (0, 0.45), "turned": (0, 1), "average": (0, 0.999999)})
