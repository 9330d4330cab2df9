"""Items and customers as points: by the network that was learned, or by a decomposition of who had to do with what."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.blend import BlendFitted
from shopkeeper.recommend.methods.sequence import SequenceFitted
from shopkeeper.represent.vocabulary import Vocabulary

__all__ = ["decomposed", "network_of", "on_a_map", "represented"]

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
WIDTH = 32     # of the decomposition


def network_of(fitted: Any) -> SequenceFitted | None:
    """The network of a fitted method; None where it has none."""
    if isinstance(fitted, BlendFitted):
        fitted = fitted.fitted.get("sequence")
    return fitted if isinstance(fitted, SequenceFitted) and fitted.reader is not None else None


def represented(log: Log, network: SequenceFitted, things: Vocabulary, of: str, n: int) -> tuple[Rows, Floats]:
    """Rows of the log's items or customers, and their vectors (rows, width) by the network.

    Items that came after the network was learned have none and are left out.
    """
    assert network.reader is not None
    there = things.rows(log.items.arrow)  # (n_items,) the network's row of each item
    if of == "items":
        rows = _most(log.interactions.item, log.interactions.n_items, n)
        rows = rows[there[rows] >= 0]
        return rows, network.reader.items[there[rows]]
    rows = _last_active(log, n)
    histories = Histories.of(log.interactions, rows)
    over = Histories(histories.indptr, there[histories.item], histories.when, histories.basket, histories.weight)
    return rows, network.represent(over, log.now)


def decomposed(log: Log, of: str, n: int) -> tuple[Rows, Floats]:
    """The same by a singular value decomposition of people x items, each cell the log of 1 + the weight of its lines.

    A row of a side is U or V times the square root of the singular values; signs are such that the greatest number of
    each direction is positive, so that two runs give the same.
    """
    part = log.interactions
    cells = sparse.csr_matrix((part.weight.astype(np.float64), (part.customer, part.item)),
                              shape=(part.n_customers, part.n_items))
    cells.data = np.log1p(cells.data)
    width = min(WIDTH, min(cells.shape) - 1)
    if width < 1:
        rows = np.arange(min(n, part.n_items if of == "items" else part.n_customers))
        return rows, np.ones((len(rows), 1), dtype=np.float32)
    start = np.ones(min(cells.shape)) / np.sqrt(min(cells.shape))
    u, s, v = svds(cells, k=width, v0=start)
    order = np.argsort(-s)
    side = (v.T if of == "items" else u)[:, order] * np.sqrt(s[order])
    lead = v.T[:, order]
    side = side * np.where(lead[np.abs(lead).argmax(0), np.arange(width)] < 0, -1.0, 1.0)
    rows = _most(part.item, part.n_items, n) if of == "items" else _last_active(log, n)
    return rows, side[rows].astype(np.float32)


def on_a_map(points: Floats) -> tuple[list[float], list[float]]:
    """The two directions in which points (n, width) differ most, as two lists of n."""
    centred = points - points.mean(0, keepdims=True) if len(points) else points
    if len(points) < 2 or points.shape[1] < 2:
        return [0.0] * len(points), [0.0] * len(points)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    axes = axes[:2] * np.where(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(1)] < 0, -1.0, 1.0)[:, None]
    flat = (centred @ axes.T).astype(np.float64)
    return flat[:, 0].tolist(), flat[:, 1].tolist()


def _most(item: npt.NDArray[np.int32], n_items: int, n: int) -> Rows:
    """The n items with the most lines, in the order of their rows."""
    lines = np.bincount(item, minlength=n_items)
    return np.sort(np.lexsort((np.arange(n_items), -lines))[:n]).astype(np.int64)


def _last_active(log: Log, n: int) -> Rows:
    """The n customers who were active last, in the order of their rows."""
    last = np.zeros(log.interactions.n_customers, dtype=np.int64)
    np.maximum.at(last, log.interactions.customer, log.interactions.when)
    return np.sort(np.lexsort((np.arange(len(last)), -last))[:n]).astype(np.int64)
