"""The forward pass of a trained network in NumPy: the same numbers as `networks`, without torch.

Shapes: m histories, T steps, C width, V items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import Damaged
from shopkeeper.represent.sequences import GAPS, PAD
from shopkeeper.represent.settings import NetworkParams
from shopkeeper.words import say

__all__ = ["Reader"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]
_EPSILON = 1e-5         # of layer normalisation, as in torch
_TURN = 10_000.0


@dataclass(frozen=True)
class Reader:
    """A trained network that reads histories.

    Attributes:
        shape: Of the network.
        arrays: Its weights by name, as `training.Trained.arrays` has them.
        items: (V, C) x of each item, with everything known of it.
        bias: (V,).
    """

    shape: NetworkParams
    arrays: Arrays
    items: Floats
    bias: Floats

    @classmethod
    def of(cls, arrays: Arrays, head: Mapping[str, Any], codes: Arrays | None = None,
           vectors: Floats | None = None) -> Reader:
        """From what training gave, and what is known of items (as `networks.ItemFeatures` has it).

        Raises:
            Damaged: The weights are not those of such a network.
        """
        try:
            shape = NetworkParams(**head["network"])
            items = np.array(arrays["item.weight"], dtype=np.float32)
            for name, one in (codes or {}).items():
                items = items + arrays[f"known.{name}.weight"][np.asarray(one) + 1]
            if vectors is not None:
                items = items + vectors.astype(np.float32) @ arrays["described.weight"].T
            reader = cls(shape, dict(arrays), np.ascontiguousarray(items, dtype=np.float32), arrays["bias"])
            reader.read(np.array([[0]]), {name: np.array([[0]]) for name in head["sides"]})
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as wrong:
            raise Damaged(say("these are not the weights of such a network."),
                          do=[say("shopkeeper learn SHOP --force")],
                          why=say("they are damaged, or another version of shopkeeper wrote them.")) from wrong
        return reader

    def read(self, item: Rows, sides: Mapping[str, Rows], gap: Rows | None = None) -> Floats:
        """h at the last step of each history.

        Args:
            item: (m, T) item rows, padded on the right with `PAD`; at least one step each.
            sides: Name -> (m, T) codes.
            gap: (m,) codes of the time from the last step to the question; None where it is not known.

        Returns:
            (m, C) float32.
        """
        last = (item != PAD).sum(1) - 1
        x = self.items[np.maximum(item, 0)] * np.float32(math.sqrt(self.shape.width))
        for name in sides:
            x = x + self.arrays[f"sides.{name}.weight"][sides[name]]
        h = self._encoded(x.astype(np.float32))[np.arange(len(item)), last]
        h = self._norm("norm", h)
        if gap is not None and "asked.weight" in self.arrays:
            h = h + self.arrays["asked.weight"][np.clip(gap, 0, GAPS - 1)]
        return np.asarray(h, dtype=np.float32)

    def _encoded(self, x: Floats) -> Floats:
        if self.shape.network in ("gru", "lstm"):
            return self._recurrent(x)
        for layer in range(self.shape.layers):
            number = 0
            if self.shape.network == "cnn" or self.shape.kernel:
                dilation = 2 ** layer if self.shape.network == "cnn" else 1
                x = x + self._convolved(f"encoder.{layer}.steps.{number}",
                                        self._norm(f"encoder.{layer}.norms.{number}", x), dilation)
                number += 1
            if self.shape.network == "transformer":
                x = x + self._attended(f"encoder.{layer}.steps.{number}",
                                       self._norm(f"encoder.{layer}.norms.{number}", x))
                number += 1
            x = x + self._fed(f"encoder.{layer}.steps.{number}", self._norm(f"encoder.{layer}.norms.{number}", x))
        return x

    def _linear(self, name: str, x: Floats) -> Floats:
        out: Floats = x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]
        return out

    def _norm(self, name: str, x: Floats) -> Floats:
        apart = x - x.mean(-1, keepdims=True)
        spread = (apart * apart).mean(-1, keepdims=True)
        out: Floats = apart / np.sqrt(spread + np.float32(_EPSILON)) * self.arrays[f"{name}.weight"] + self.arrays[
            f"{name}.bias"]
        return out

    def _fed(self, name: str, x: Floats) -> Floats:
        value, gate = _halves(self._linear(f"{name}.rise", x))
        return self._linear(f"{name}.fall", value * gate * sigmoid(gate))

    def _convolved(self, name: str, x: Floats, dilation: int) -> Floats:
        value, gate = _halves(self._linear(f"{name}.rise", x))  # (m, T, C)
        weight = self.arrays[f"{name}.over.weight"][:, 0]  # (C, kernel)
        kernel, t = weight.shape[1], x.shape[1]
        seen = np.zeros_like(value) + self.arrays[f"{name}.over.bias"]
        for tap in range(kernel):
            back = (kernel - 1 - tap) * dilation
            if back < t:
                seen[:, back:] += value[:, :t - back] * weight[:, tap]
        return self._linear(f"{name}.fall", seen * sigmoid(gate))

    def _attended(self, name: str, x: Floats) -> Floats:
        m, t, c = x.shape
        heads = self.shape.heads
        parts = self._linear(f"{name}.query_key_value", x).reshape(m, t, 3, heads, c // heads).transpose(2, 0, 3, 1, 4)
        q, k, v = rotated(parts[0]), rotated(parts[1]), parts[2]  # (m, heads, T, C / heads)
        weight = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(c // heads))  # (m, heads, T, T)
        weight = weight + _ahead(t)
        weight = np.exp(weight - weight.max(-1, keepdims=True))
        seen = (weight / weight.sum(-1, keepdims=True)) @ v
        return self._linear(f"{name}.out", seen.transpose(0, 2, 1, 3).reshape(m, t, c))

    def _recurrent(self, x: Floats) -> Floats:
        for layer in range(self.shape.layers):
            inside, across = (self.arrays[f"encoder.over.weight_{one}_l{layer}"] for one in ("ih", "hh"))
            given = x @ inside.T + self.arrays[f"encoder.over.bias_ih_l{layer}"]  # (m, T, gates x H)
            bias = self.arrays[f"encoder.over.bias_hh_l{layer}"]
            step = _gru_step if self.shape.network == "gru" else _lstm_step
            state = np.zeros((2, len(x), across.shape[1]), dtype=np.float32)  # output, memory (m, H)
            out = np.empty((*x.shape[:2], across.shape[1]), dtype=np.float32)
            for t in range(x.shape[1]):
                state = step(given[:, t], state, across, bias)
                out[:, t] = state[0]
            x = out
        return self._linear("encoder.fall", x)


def _gru_step(given: Floats, state: Floats, across: Floats, bias: Floats) -> Floats:
    h = state[0]
    own = h @ across.T + bias
    reset, update, new = np.split(given, 3, axis=-1)
    own_reset, own_update, own_new = np.split(own, 3, axis=-1)
    keep = sigmoid(update + own_update)
    fresh = np.tanh(new + sigmoid(reset + own_reset) * own_new)
    h = (1 - keep) * fresh + keep * h
    return np.stack([h, h])


def _lstm_step(given: Floats, state: Floats, across: Floats, bias: Floats) -> Floats:
    let_in, forget, new, out = np.split(given + state[0] @ across.T + bias, 4, axis=-1)
    memory = sigmoid(forget) * state[1] + sigmoid(let_in) * np.tanh(new)
    return np.stack([sigmoid(out) * np.tanh(memory), memory])


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    out: Floats = (np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))).astype(np.float32)
    return out


def rotated(x: Floats) -> Floats:
    """As `networks.rotated`, (..., T, c)."""
    first, second = _halves(x)
    cos, sin = _turns(x.shape[-2], first.shape[-1])
    return np.concatenate([first * cos - second * sin, first * sin + second * cos], -1)


def _halves(x: Floats) -> tuple[Floats, Floats]:
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


@lru_cache(maxsize=64)
def _turns(t: int, half: int) -> tuple[Floats, Floats]:
    """Cosine and sine of each step's angles, (T, half)."""
    speed = (_TURN ** (-np.arange(half) / half)).astype(np.float32)
    angle = np.arange(t, dtype=np.float32)[:, None] * speed
    return np.cos(angle), np.sin(angle)


@lru_cache(maxsize=64)
def _ahead(t: int) -> Floats:
    """(T, T) 0, and minus infinity for what comes after a step."""
    return np.where(np.tri(t, dtype=bool), np.float32(0), np.float32(-np.inf))
