"""Histories as one long array of steps, and the windows and batches that a network reads of them.

Nothing here is ever as large as people x items, or as steps x window: steps stay where they are (also in files that are
mapped, not read), a window is two numbers, and a batch is cut out when its turn comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput, Damaged
from shopkeeper.words import say

__all__ = ["GAPS", "PAD", "Batch", "Sequences", "Windows", "batches", "gap_codes", "held_out", "padded", "planned",
           "windows"]

PAD = -1       # the item and the target of a cell that holds no step
GAPS = 24      # codes of time gaps
_LIKE = 0.15   # lengths that differ by less than this share may change places
_FORMAT = 1

Codes = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """What each of p people did, oldest first: the steps of person i are `indptr[i]` … `indptr[i + 1]` - 1.

    Attributes:
        indptr: (p + 1,) int64.
        item: (n,) item rows, 0 … n_items - 1.
        n_items: How many items there are.
        when: (n,) int64 microseconds UTC; None where time is not known, only its order.
        sides: Name -> (n,) small codes from 0 that say more of a step: its kind, its quantity, its price band, ...
        sizes: Name -> how many codes it has.
    """

    indptr: Rows
    item: Codes
    n_items: int
    when: Codes | None = None
    sides: Mapping[str, Codes] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.item)
        columns = {"item": (self.item, self.n_items), **{name: (self.sides[name], self.sizes.get(name, 0))
                                                          for name in self.sides}}
        if set(self.sides) != set(self.sizes):
            raise BadInput(say("sides and sizes of sequences must name the same columns."))
        for name, (column, size) in columns.items():
            if len(column) != n:
                raise BadInput(say("{column} has {n} steps where item has {expected}.", column=name, n=len(column),
                                   expected=n))
            if n and (int(column.min()) < 0 or int(column.max()) >= size):
                raise BadInput(say("{column} holds codes outside 0 to {last}.", column=name, last=size - 1))
        if len(self.indptr) < 1 or int(self.indptr[0]) != 0 or int(self.indptr[-1]) != n or (
                np.diff(self.indptr) < 0).any():
            raise BadInput(say("the bounds of sequences must ascend from 0 to the number of steps, {n}.", n=n))
        if self.when is not None and len(self.when) != n:
            raise BadInput(say("{column} has {n} steps where item has {expected}.", column="when", n=len(self.when),
                               expected=n))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of(cls, lists: list[list[int]], n_items: int) -> Sequences:
        """From one list of item rows a person.

        >>> Sequences.of([[3, 1], [], [2]], 4).indptr.tolist()
        [0, 2, 2, 3]
        """
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        return cls(indptr, np.asarray([row for one in lists for row in one], dtype=np.int32), n_items)

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder, to be mapped by `open`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self._arrays().items():
            np.save(folder / f"{name}.npy", array)
        head = {"format": _FORMAT, "n_items": self.n_items, "sizes": dict(self.sizes), "timed": self.when is not None}
        (folder / "sequences.json").write_text(json.dumps(head), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Sequences:
        """What `save` wrote, mapped into memory: only the pages that a batch touches are read.

        Raises:
            Damaged: The folder does not hold sequences, or not all of them.
        """
        try:
            head = json.loads((folder / "sequences.json").read_text(encoding="utf-8"))
            sides = {name: np.load(folder / f"side.{name}.npy", mmap_mode="r") for name in head["sizes"]}
            when = np.load(folder / "when.npy", mmap_mode="r") if head["timed"] else None
            if head["format"] != _FORMAT:
                raise ValueError(head["format"])
            return cls(np.load(folder / "indptr.npy"), np.load(folder / "item.npy", mmap_mode="r"), head["n_items"],
                       when, sides, head["sizes"])
        except (OSError, ValueError, KeyError, TypeError, BadInput) as wrong:
            raise Damaged(say("{folder} does not hold sequences that this version can read.", folder=str(folder)),
                          do=[say("write them anew.")], why=say("a file is missing, cut short or of another version."),
                          ) from wrong

    def _arrays(self) -> dict[str, Codes]:
        return {"indptr": self.indptr, "item": self.item, **({} if self.when is None else {"when": self.when}),
                **{f"side.{name}": codes for name, codes in self.sides.items()}}


@dataclass(frozen=True)
class Windows:
    """Parts of sequences to learn from: steps `start` … `stop` - 1 of one person, of which those from `first` on count.

    Each is (w,) int64. The step at `stop` - 1 is only a target: a window of s + 1 steps has s inputs. `turned` (w,)
    says which windows are read backwards; None: none.
    """

    start: Rows
    stop: Rows
    first: Rows
    turned: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.start)


def windows(sequences: Sequences, length: int, rng: np.random.Generator, *, turned: float = 0.0) -> Windows:
    """Cut every history into windows of at most `length` inputs; each step but a person's first is a target once.

    A share `turned` of the windows is read backwards, so that its last step but not its first is no target: where items
    that belong together come in any order, that is twice as much to learn from.

    Where the cuts of a long history lie is drawn anew each time, so that over the epochs every step is seen with
    contexts of all lengths.

    >>> cut = windows(Sequences.of([[0, 1, 2, 3, 4]], 5), 2, np.random.default_rng(0))
    >>> int((cut.stop - cut.first).sum())
    4
    """
    sizes = np.diff(sequences.indptr)
    begin = sequences.indptr[:-1]
    some = sizes >= 2
    begin, sizes = begin[some], sizes[some]
    long = sizes > length + 1
    offset = np.where(long, rng.integers(1, length + 1, len(sizes)), sizes - 1)  # inputs of a person's first window
    pieces = 1 + np.where(long, -(-(sizes - 1 - offset) // length), 0)
    owner = np.repeat(np.arange(len(sizes)), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = begin[owner] + np.where(number == 0, 0, offset[owner] + (number - 1) * length)
    stop = np.minimum(begin[owner] + offset[owner] + number * length, begin[owner] + sizes[owner] - 1) + 1
    return Windows(start, stop, start + 1, rng.random(len(start)) < turned if turned else None)


def held_out(sequences: Sequences, cut: Rows) -> Windows:
    """One window a person whose steps from `cut` (p,) on are targets and the `cut` before them context, for judging."""
    begin, end = sequences.indptr[:-1], sequences.indptr[1:]
    some = (cut > begin) & (cut < end)
    return Windows(begin[some], end[some], cut[some])


@dataclass(frozen=True)
class Batch:
    """Windows side by side, ends padded on the right (which no earlier step ever sees).

    Attributes:
        item: (b, t) int64 item rows, `PAD` where a window has ended.
        target: (b, t) int64 the item of the next step; `PAD` where none counts.
        sides: Name -> (b, t) int64 codes, 0 where a window has ended.
        gap: (b, t) int64 codes of the time from a step to the next; None where time is not known.
    """

    item: Rows
    target: Rows
    sides: Mapping[str, Rows]
    gap: Rows | None


def batches(sequences: Sequences, cut: Windows, steps: int, rng: np.random.Generator | None) -> Iterator[Batch]:
    """Batches of about `steps` cells each, as `planned` lays them out."""
    for which in planned(cut, steps, rng):
        yield padded(sequences, cut, which)


def planned(cut: Windows, steps: int, rng: np.random.Generator | None) -> list[Rows]:
    """Which windows make a batch: those of like length together, the batches in an order drawn by `rng`.

    Args:
        cut: The windows.
        steps: Cells of a batch, padding included; a single longer window is a batch of its own.
        rng: None: by length, always alike.
    """
    length = (cut.stop - cut.start).astype(np.float64)
    if rng is not None:
        length = length * (1 + _LIKE * rng.random(len(length))) + 2 * rng.random(len(length))
    order = np.argsort(length, kind="stable")
    bounds, widest = [0], 0
    for place, size in enumerate((cut.stop - cut.start)[order].tolist()):
        widest = max(widest, size)
        if widest * (place + 1 - bounds[-1]) > steps and place > bounds[-1]:
            bounds.append(place)
            widest = size
    bounds.append(len(order))
    turn = np.arange(len(bounds) - 1) if rng is None else rng.permutation(len(bounds) - 1)
    return [order[bounds[number]:bounds[number + 1]] for number in turn.tolist() if bounds[number + 1] > bounds[number]]


def padded(sequences: Sequences, cut: Windows, which: Rows) -> Batch:
    """Some windows as one batch."""
    start, stop = cut.start[which], cut.stop[which]
    t = int((stop - start).max()) - 1
    at = start[:, None] + np.arange(t + 1)  # (b, t + 1)
    inside = at < stop[:, None]
    if cut.turned is not None:
        back = (start + stop - 1)[:, None] - at
        at = np.where(cut.turned[which][:, None], back, at)
    at = np.where(inside, at, 0)
    item = np.where(inside, sequences.item[at], PAD).astype(np.int64)
    counts = inside[:, 1:] & (start[:, None] + np.arange(1, t + 1) >= cut.first[which][:, None])
    sides = {name: np.where(inside, codes[at], 0)[:, :-1].astype(np.int64) for name, codes in sequences.sides.items()}
    gap = None
    if sequences.when is not None:
        when = np.asarray(sequences.when[at], dtype=np.int64)
        gap = np.where(inside[:, 1:], gap_codes(np.abs(when[:, 1:] - when[:, :-1])), 0)
    read = np.where(inside[:, 1:], item[:, :-1], PAD)  # a window's last step is a target only
    return Batch(read, np.where(counts, item[:, 1:], PAD), sides, gap)


def gap_codes(microseconds: npt.ArrayLike) -> Rows:
    """Time gaps as codes: 0 up to a second, then one a doubling, up to `GAPS` - 1 (48 days and more).

    >>> gap_codes([0, 1_000_000, 3_600_000_000, 10**18]).tolist()
    [0, 1, 12, 23]
    """
    seconds = np.maximum(np.asarray(microseconds, dtype=np.float64) / 1e6, 0.0)
    return np.asarray(np.minimum(np.floor(np.log2(np.maximum(seconds, 0.5))) + 1, GAPS - 1), dtype=np.int64)
