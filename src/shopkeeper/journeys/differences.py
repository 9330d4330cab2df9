"""The change of a total as a sum: what each group adds to it, and by which of its factors. Pure numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def factors(total: Floats, counts: Floats, people: Floats) -> Floats:
    """A total as a product: people, times what each does, times what each time is worth.

    Args:
        total, counts, people: (2, n) of the later and the earlier period. Where a period has nobody, the factors of the
            other period stand for its own, so that all of the change falls on people.

    Returns:
        (2, 3, n) the factors; their product is the total.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        often, worth = counts / people, total / counts
    found = np.stack([people, often, worth], axis=1)
    for factor in (1, 2):
        missing = ~np.isfinite(found[:, factor])
        other = np.where(np.isfinite(found[::-1, factor]), found[::-1, factor], 0.0)
        found[:, factor] = np.where(missing, other, found[:, factor])
    return found


def shares(parts: Floats) -> Floats:
    """What each factor of a product adds to the change of the product: its mean over all orders of changing factors.

    Args:
        parts: (2, k, n) the factors later and earlier.

    Returns:
        (k, n) additions; over the factors they add up to the change exactly.

    Source:
        Shorrocks (2013), Decomposition procedures for distributional analysis: a unified framework based on the Shapley
        value, Journal of Economic Inequality 11.
    """
    later, earlier = parts
    k = len(later)
    found, orders = np.zeros_like(later), list(permutations(range(k)))
    for order in orders:
        now = earlier.copy()
        for factor in order:
            before = now.prod(axis=0)
            now[factor] = later[factor]
            found[factor] += now.prod(axis=0) - before
    return np.asarray(found / len(orders), dtype=np.float64)


def surprise(later: Floats, earlier: Floats) -> Floats:
    """How much a group's share of the total changed: its part of the Jensen-Shannon divergence, in bits.

    Args:
        later, earlier: (n,) totals of each group, none below 0.

    Source:
        Bhagwan et al. (2014), Adtributor: revenue debugging in advertising systems, NSDI.

    >>> surprise(np.array([1.0, 1.0]), np.array([5.0, 5.0])).tolist()
    [0.0, 0.0]
    """
    q = later / later.sum() if later.sum() > 0 else np.zeros_like(later)
    p = earlier / earlier.sum() if earlier.sum() > 0 else np.zeros_like(earlier)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(p > 0, p * np.log2(2 * p / (p + q)), 0.0)
        right = np.where(q > 0, q * np.log2(2 * q / (p + q)), 0.0)
    return np.asarray(0.5 * (left + right), dtype=np.float64)


def explained(counts: Sequence[Mapping[str, Any]], measure: str,
              groups: Mapping[str, Sequence[str | None] | None]) -> list[dict[str, Any]]:
    """One row a column and group: what it adds to the change; the column whose shares changed most first.

    Args:
        counts: by, name, later, events, people, value.
        measure: `events` or `value`.
        groups: Column -> every group that the log has; None: those that are there in one of the periods. A column of
            one group explains nothing and is left out, unless it is the only one.
    """
    found = [_column(by, [row for row in counts if row["by"] == by], measure, names) for by, names in groups.items()]
    told = [rows for rows in found if len(rows) > 1] or found[:1]
    told.sort(key=lambda rows: -sum(row["surprise"] for row in rows))
    return [row for rows in told for row in rows]


def _column(by: str, counts: Sequence[Mapping[str, Any]], measure: str,
            names: Sequence[str | None] | None) -> list[dict[str, Any]]:
    have = {(row["later"], row["name"]): row for row in counts}
    every = list(dict.fromkeys([*(names or ()), *(row["name"] for row in counts)])) or [None]
    people, events, value = (np.array([[have.get((later, name), {}).get(column, 0) for name in every]
                                       for later in (1, 0)], np.float64) for column in ("people", "events", "value"))
    total = events if measure == "events" else value
    change, parts = total[0] - total[1], shares(factors(total, events, people))
    moved = surprise(np.maximum(total[0], 0), np.maximum(total[1], 0))
    rows = [{"by": by, "name": name, "before": float(total[1, k]), "now": float(total[0, k]),
             "change": float(change[k]), "share": float(change[k] / change.sum()) if change.sum() else None,
             "by_people": float(parts[0, k]), "by_often": float(parts[1, k]), "by_worth": float(parts[2, k]),
             "surprise": float(moved[k])} for k, name in enumerate(every)]
    return sorted(rows, key=lambda row: (-abs(row["change"]), -row["now"], row["name"] is None, row["name"] or ""))
