"""Customers who behave alike: k-means on what they do, as many groups as come out alike again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shopkeeper.customers.methods.features import Names, finite

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STEADY = 0.8     # how alike the groups of two halves of the customers must be
RESAMPLES = 6
MOST = 5_000     # customers that a group's middle is learned from
ROUNDS = 40
GROUP = "group"  # what a group is called before its number
LOUD = 0.5       # standard deviations from the mean of all from which on a trait describes a group


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of customers.

    Attributes:
        of: (n,) group of each customer, the largest first.
        stability: Mean adjusted Rand index of groups learned from halves of the customers; 1: always the same.
        words: Each group's loudest traits.
    """

    of: Ints
    stability: float
    words: tuple[str, ...]


def clusters(names: Names, x: Floats, *, most: int = 6, seed: int = 0) -> Clusters | None:
    """The most groups that are steady; None where not even two are.

    Args:
        names: (k,) of the traits.
        x: (n, k) traits.
        most: Groups to try at most.
        seed: Of starts and halves.

    Source:
        Lloyd (1982), Least squares quantization in PCM; Arthur, Vassilvitskii (2007), k-means++; Hubert, Arabie (1985),
        Comparing partitions; Ben-Hur, Elisseeff, Guyon (2002), A stability based method for discovering structure in
        clustered data.
    """
    rng = np.random.default_rng(seed)
    z = finite(x)
    z = (z - z.mean(0)) / np.maximum(z.std(0), 1e-9)
    part = z[rng.permutation(len(z))[:MOST]]
    for k in range(min(most, len(z) // 20), 1, -1):
        steady = _stability(part, k, rng)
        if steady >= STEADY:
            found = _nearest(z, kmeans(part, k, rng))
            order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
            of = np.argsort(order)[found]
            return Clusters(of, steady, tuple(_words(names, z[of == group].mean(0)) for group in range(k)))
    return None


def _stability(z: Floats, k: int, rng: np.random.Generator) -> float:
    alike = []
    for _ in range(RESAMPLES):
        order = rng.permutation(len(z))
        halves = np.array_split(order, 2)
        one, other = (_nearest(z, kmeans(z[half], k, rng)) for half in halves)
        alike.append(rand_index(one, other))
    return float(np.mean(alike))


def kmeans(z: Floats, k: int, rng: np.random.Generator) -> Floats:
    """(k, d) middles of the best of three starts."""
    best: Floats = z[:k]
    least = np.inf
    for _ in range(3):
        middles = z[[int(rng.integers(len(z)))]]
        while len(middles) < k:
            far = _distances(z, middles).min(1)
            middles = np.vstack([middles, z[rng.choice(len(z), p=far / far.sum()) if far.sum() > 0 else 0]])
        for _ in range(ROUNDS):
            of = _nearest(z, middles)
            new = np.stack([z[of == group].mean(0) if (of == group).any() else middles[group] for group in range(k)])
            if np.allclose(new, middles):
                break
            middles = new
        loss = float(_distances(z, middles).min(1).sum())
        if loss < least:
            best, least = middles, loss
    return best


def rand_index(one: Ints, other: Ints) -> float:
    """How alike two partitions are, 0 by chance and 1 if the same (adjusted Rand index).

    >>> rand_index(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = rows * columns / pairs(np.array([float(len(one))]))
    return 1.0 if (rows + columns) / 2 == chance else float((both - chance) / ((rows + columns) / 2 - chance))


def _distances(z: Floats, middles: Floats) -> Floats:
    found = (z ** 2).sum(1)[:, None] - 2 * z @ middles.T + (middles ** 2).sum(1)
    return np.asarray(np.maximum(found, 0.0), np.float64)


def _nearest(z: Floats, middles: Floats) -> Ints:
    return np.asarray(_distances(z, middles).argmin(1), np.int64)


def _words(names: Names, middle: Floats, n: int = 3) -> str:
    """The loudest traits of a group, `+` for more than others and `-` for less."""
    order = [row for row in np.argsort(-np.abs(middle), kind="stable")[:n] if abs(middle[row]) >= LOUD]
    return ", ".join(f"{'+' if middle[row] > 0 else '-'} {names[row]}" for row in order)
