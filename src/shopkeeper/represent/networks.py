"""The networks that read a history: four encoders behind one seam, an item tower, and what they are trained to say.

Shapes: B histories of a batch, T steps, C width, V items. An encoder takes (B, T, C) and gives (B, T, C), where what
stands at a step knows that step and earlier ones only. `serving.py` holds the same forward pass in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

from shopkeeper.represent.sequences import GAPS
from shopkeeper.represent.settings import NetworkParams

__all__ = ["ENCODERS", "ItemFeatures", "Network", "full_softmax", "pointwise", "sampled_softmax"]

LONGEST_TURN = 10_000.0  # rotary positions: the slowest turn, as in the paper


@dataclass(frozen=True)
class ItemFeatures:
    """What is known of items beside their id; with nothing of it the tower is the plain embedding.

    Attributes:
        codes: Name -> (V,) int64 codes from 0, -1 where it is not known: category, brand, price band, ...
        vectors: (V, k) float32 of text or images, zeros where there is none; None without.
    """

    codes: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    vectors: np.ndarray[Any, Any] | None = None


class LockedDropout(nn.Module):
    """Dropout that leaves out the same features at all steps of a history (Gal, Ghahramani 2016)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        if not self.training or self.share == 0:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2]) >= self.share
        return x * (kept.to(x.dtype) / (1 - self.share))


class GatedFeedForward(nn.Module):
    """Two linear maps with a gate between them (Shazeer 2020, SwiGLU)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.rise, self.fall = nn.Linear(width, 2 * inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        value, gate = self.rise(x).chunk(2, -1)  # (B, T, inner) each
        out: Tensor = self.fall(value * F.silu(gate))
        return out


class GatedConvolution(nn.Module):
    """A causal convolution over steps, each feature by itself, with a gate (Dauphin et al. 2017)."""

    def __init__(self, width: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.before = (kernel - 1) * dilation
        self.rise, self.fall = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.over = nn.Conv1d(width, width, kernel, groups=width, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        value, gate = self.rise(x).chunk(2, -1)
        seen = self.over(F.pad(value.transpose(1, 2), (self.before, 0))).transpose(1, 2)
        out: Tensor = self.fall(seen * torch.sigmoid(gate))
        return out


class CausalAttention(nn.Module):
    """Attention to earlier steps, positions as rotations (Vaswani et al. 2017; Su et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        b, t, c = x.shape
        q, k, v = self.query_key_value(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)  # (B, heads, T, C / heads)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(b, t, c))
        return out


def rotated(x: Tensor) -> Tensor:
    """Each pair of features turned by an angle that grows with the step, (..., T, c)."""
    half = x.shape[-1] // 2
    speed = LONGEST_TURN ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * speed  # (T, c / 2)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], -1)


class Block(nn.Module):
    """Steps that each add to what is there, of its normalised form (pre-norm)."""

    def __init__(self, width: int, dropout: float, *steps: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in steps)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        for norm, step in zip(self.norms, self.steps, strict=True):
            x = x + self.dropout(step(norm(x)))
        return x


def transformer(params: NetworkParams) -> nn.Module:
    """Blocks of a short convolution, attention and a gated feed-forward."""
    def steps() -> list[nn.Module]:
        near = [GatedConvolution(params.width, params.kernel)] if params.kernel else []
        return [*near, CausalAttention(params.width, params.heads), GatedFeedForward(params.width, 2 * params.width)]

    return nn.Sequential(*(Block(params.width, params.dropout, *steps()) for _ in range(params.layers)))


def cnn(params: NetworkParams) -> nn.Module:
    """Blocks of dilated convolutions, each reaching twice as far, and a gated feed-forward (Yuan et al. 2019)."""
    return nn.Sequential(*(Block(params.width, params.dropout,
                                 GatedConvolution(params.width, max(2, params.kernel), 2 ** layer),
                                 GatedFeedForward(params.width, 2 * params.width)) for layer in range(params.layers)))


class Recurrent(nn.Module):
    """A recurrent network (Cho et al. 2014; Hochreiter, Schmidhuber 1997), mapped back to the width."""

    def __init__(self, params: NetworkParams, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.over = kind(params.width, 2 * params.width, num_layers=params.layers, batch_first=True)
        self.dropout, self.fall = LockedDropout(params.dropout), nn.Linear(2 * params.width, params.width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        out: Tensor = self.fall(self.dropout(self.over(x)[0]))
        return out


ENCODERS: Mapping[str, Callable[[NetworkParams], nn.Module]] = {
    "transformer": transformer, "cnn": cnn, "gru": lambda params: Recurrent(params, nn.GRU),
    "lstm": lambda params: Recurrent(params, nn.LSTM)}


class Network(nn.Module):
    """h of each step of a history, and x of each item: how much somebody wants item i is <h, x_i> + b_i.

    Args:
        params: Its shape.
        n_items: V.
        sides: Name -> number of codes, of what is known of a step beside its item.
        timed: Whether the time from a step to the moment of asking is known.
        features: What is known of items.
    """

    def __init__(self, params: NetworkParams, n_items: int, sides: Mapping[str, int] | None = None, *,
                 timed: bool = False, features: ItemFeatures | None = None) -> None:
        super().__init__()
        self.params, self.n_items = params, n_items
        features = features or ItemFeatures()
        self.item = _embedding(n_items, params.width)
        self.hidden = nn.Parameter(torch.zeros(params.width))  # stands for an item that is kept from the network
        self.sides = nn.ModuleDict({name: _embedding(size, params.width, 0.0) for name, size in (sides or {}).items()})
        self.asked = _embedding(GAPS, params.width, 0.0) if timed else None
        self.known = nn.ModuleDict()
        for name, codes in features.codes.items():  # row 0 is what is not known
            self.known[name] = _embedding(int(codes.max(initial=-1)) + 2, params.width, 0.0)
            self.register_buffer(f"codes_{name}", torch.from_numpy(np.asarray(codes, np.int64) + 1), persistent=False)
        self.described = None
        if features.vectors is not None:
            self.described = nn.Linear(features.vectors.shape[1], params.width, bias=False)
            nn.init.zeros_(self.described.weight)
            self.register_buffer("described_by", torch.from_numpy(features.vectors.astype(np.float32)),
                                 persistent=False)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.dropout, self.encoder = LockedDropout(params.dropout), ENCODERS[params.network](params)
        self.norm = nn.LayerNorm(params.width)

    def vectors(self, rows: Tensor | None = None) -> Tensor:
        """x of these items, or of all: (..., C)."""
        x: Tensor = self.item.weight if rows is None else self.item(rows)
        for name, table in self.known.items():
            codes = getattr(self, f"codes_{name}")
            x = x + table(codes if rows is None else codes[rows])
        if self.described is not None:
            x = x + self.described(self.described_by if rows is None else self.described_by[rows])
        return x

    def forward(self, item: Tensor, sides: Mapping[str, Tensor], gap: Tensor | None = None,
                skip: Tensor | None = None) -> Tensor:
        """h of each step.

        Args:
            item: (B, T) item rows; negative where a history has ended.
            sides: Name -> (B, T) codes.
            gap: (B, T) codes of the time until the question; needed where the network is timed.
            skip: (B, T) True where the item is kept from the network.

        Returns:
            (B, T, C).
        """
        x = self.vectors(item.clamp(min=0)) * math.sqrt(self.params.width)
        if skip is not None:
            x = torch.where(skip[..., None], self.hidden, x)
        for name, table in self.sides.items():
            x = x + table(sides[name])
        h: Tensor = self.norm(self.encoder(self.dropout(x)))
        return h if self.asked is None or gap is None else h + self.asked(gap)


def _embedding(rows: int, width: int, spread: float = 0.02) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=spread) if spread else nn.init.zeros_(table.weight)
    return table


class _FullSoftmax(torch.autograd.Function):
    """Cross-entropy over all items, a few rows at a time: no (positions, V) matrix is ever kept.

    The gradients are made on the way forward, while a block of probabilities is still in the cache.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, x: Tensor, bias: Tensor, target: Tensor) -> Tensor:
        """h (P, C), x (V, C), bias (V,), target (P,) -> the mean loss."""
        of_h, of_x, of_bias = torch.empty_like(h), torch.zeros_like(x), torch.zeros_like(bias)
        rows = max(16, min(len(h), 400_000 // max(1, len(x))))
        space, total = torch.empty(rows, len(x)), 0.0
        for start in range(0, len(h), rows):
            part, wanted = h[start:start + rows], target[start:start + rows]
            at = torch.arange(len(part))
            p = torch.addmm(bias, part, x.T, out=space[:len(part)])
            most, right = p.amax(1, keepdim=True), p[at, wanted]
            p.sub_(most).exp_()
            mass = p.sum(1, keepdim=True)
            total += float((mass.log() + most).sum() - right.sum())
            p.div_(mass)
            p[at, wanted] -= 1
            torch.mm(p, x, out=of_h[start:start + rows])
            of_x.addmm_(p.T, part)
            of_bias += p.sum(0)
        ctx.save_for_backward(of_h, of_x, of_bias)
        ctx.n = len(h)
        return torch.tensor(total / len(h))

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that `forward` made, times what comes from above."""
        of_h, of_x, of_bias = ctx.saved_tensors
        scale = grad[0] / ctx.n
        return of_h * scale, of_x * scale, of_bias * scale, None


def full_softmax(h: Tensor, x: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the softmax over all items: h (P, C), x (V, C), bias (V,), target (P,)."""
    loss: Tensor = _FullSoftmax.apply(h, x, bias, target)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax(h: Tensor, network: Network, target: Tensor, drawn: Tensor, log_chance: Tensor) -> Tensor:
    """Mean cross-entropy over the target and items drawn for the whole batch, corrected by how likely each is drawn.

    h (P, C), target (P,), drawn (N,) item rows, log_chance (V,): log of the expected number of draws of each item.

    Source:
        Bengio, Senécal (2008), Adaptive Importance Sampling to Accelerate Training of a Neural Language Model.
    """
    right = (h * network.vectors(target)).sum(-1) + network.bias[target]  # (P,)
    others = h @ network.vectors(drawn).T + (network.bias - log_chance)[drawn]  # (P, N)
    others = others.masked_fill(drawn == target[:, None], -math.inf)
    both = torch.cat([right[:, None], others], 1)
    return (torch.logsumexp(both, 1) - right).mean()


def pointwise(h: Tensor, network: Network, target: Tensor, drawn: Tensor) -> Tensor:
    """Mean binary cross-entropy on sigmoid(<h, x_i> + b_i): the target is wanted, each drawn item is not.

    h (P, C), target (P,), drawn (N,). The drawn ones weigh together as much as the target.
    """
    right = (h * network.vectors(target)).sum(-1) + network.bias[target]
    others = (h @ network.vectors(drawn).T + network.bias[drawn]).masked_fill(drawn == target[:, None], -30.0)
    return (F.softplus(-right) + F.softplus(others).mean(1)).mean()
