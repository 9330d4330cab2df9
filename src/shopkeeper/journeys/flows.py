"""Counts of paths as the most frequent ones, with how often one would expect them; and step by step. Pure numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Step = tuple[str | None, str | None]


@dataclass(frozen=True)
class Moves:
    """How often one thing comes next to another, anywhere in the visits.

    Attributes:
        pairs: (here, next) -> times; None: the visit ends there (or, backwards, begins).
        out: here -> times.
        to: next -> times.
        all: All of them.
    """

    pairs: Counter[Step]
    out: Counter[str | None]
    to: Counter[str | None]
    all: int

    @classmethod
    def of(cls, counts: pa.Table) -> Moves:
        """From the rows of moves: step0, step1, visits."""
        pairs: Counter[Step] = Counter()
        out: Counter[str | None] = Counter()
        to: Counter[str | None] = Counter()
        for here, there, n in zip(*(counts[name].to_pylist() for name in ("step0", "step1", "visits")), strict=True):
            pairs[here, there] += n
            out[here] += n
            to[there] += n
        return cls(pairs, out, to, sum(out.values()))

    def expected(self, path: Sequence[str | None]) -> float:
        """The chance of a path after its first step, if each step depended on the one before it only."""
        chance = 1.0
        for here, there in pairwise(path):
            if here is None:
                break
            chance *= self.pairs[here, there] / self.out[here] if self.out[here] else 0.0
        return chance

    def share(self, there: str | None) -> float:
        """The share of all moves that go there."""
        return self.to[there] / self.all if self.all else 0.0


def most(counts: pa.Table, moves: Moves, groups: Sequence[str | None], n: int, forward: bool) -> list[dict[str, Any]]:
    """The n most frequent paths of each group, as they were walked; the group with the most visits first.

    Args:
        counts: name, step0 ..., visits: a row a path.
        moves: What comes next to what.
        groups: Every group; one that has no path is a row of its own.
        n: How many of each.
        forward: Whether the first column is the begin of the path.
    """
    steps = [name for name in counts.column_names if name.startswith("step")]
    order = [("visits", "descending"), *((name, "ascending") for name in steps)]
    rows: list[dict[str, Any]] = []
    parts = [(name, _of(counts, name)) for name in groups]
    for name, part in sorted(parts, key=lambda one: (-_sum(one[1]), one[0] is None, one[0] or "")):
        of = _sum(part)
        if not of:
            rows.append({"name": name, "path": [], "ends": False, "visits": 0, "of": 0})
        for row in part.sort_by(order).slice(0, n).to_pylist():
            path = [row[step] for step in steps]
            walked = [step for step in path if step is not None]
            share, base = row["visits"] / of, moves.expected(path)
            rows.append({"name": name, "path": walked if forward else walked[::-1], "ends": len(walked) < len(path),
                         "visits": row["visits"], "of": of, "share": share, "base": base,
                         "lift": share / base if base else None})
    return rows


def step_by_step(counts: pa.Table, moves: Moves) -> list[dict[str, Any]]:
    """What comes after each step of the paths: step (from 1), here, next (null: nothing), visits, of, share, base."""
    steps = [name for name in counts.column_names if name.startswith("step")]
    rows: list[dict[str, Any]] = []
    for place, (here, there) in enumerate(pairwise(steps), 1):
        known = counts.filter(pc.is_valid(counts[here]))
        sums = known.group_by([here, there], use_threads=False).aggregate([("visits", "sum")])
        of: Counter[str] = Counter()
        for name, n in zip(sums[here].to_pylist(), sums["visits_sum"].to_pylist(), strict=True):
            of[name] += n
        found = [(row[here], row[there], row["visits_sum"]) for row in sums.to_pylist()]
        for one, other, n in sorted(found, key=lambda row: (-row[2], row[0], row[1] is None, row[1] or "")):
            share, base = n / of[one], moves.share(other)
            rows.append({"step": place, "here": one, "next": other, "visits": n, "of": of[one], "share": share,
                         "base": base, "lift": share / base if base else None})
    return rows


def _of(counts: pa.Table, name: str | None) -> pa.Table:
    mine = pc.is_null(counts["name"]) if name is None else pc.equal(counts["name"], name)
    return counts.filter(mine)


def _sum(part: pa.Table) -> int:
    return int(pc.sum(part["visits"]).as_py() or 0)
