"""Touches as arrays, and what each method makes of them. Pure numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.journeys.methods import METHODS, Touches
from shopkeeper.journeys.methods.markov import MOST_NAMES
from shopkeeper.warehouse.channels import UNMARKED
from shopkeeper.words import Sentence, say


@dataclass(frozen=True, eq=False)
class Touched:
    """What is to be shared out.

    Attributes:
        touches: Touches of all paths.
        names: What each number of a name stands for.
        conversions, value: All there are, those before which nobody was seen included.
    """

    touches: Touches
    names: list[str | None]
    conversions: int
    value: float

    @classmethod
    def of(cls, found: pa.Table, conversions: int, value: float) -> Touched:
        """From rows of who, turn, ts, key, name, converted, value; no mark counts only where no touch has one."""
        order = found.sort_by([(name, "ascending") for name in ("who", "turn", "ts", "key")]).combine_chunks()
        who = order["who"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        turn = order["turn"].to_numpy()
        new = np.ones(len(who), bool)
        new[1:] = (who[1:] != who[:-1]) | (turn[1:] != turn[:-1])
        path = np.cumsum(new) - 1
        plain = pc.or_kleene(pc.is_null(order["name"]), pc.equal(order["name"], UNMARKED)).fill_null(True)
        blank = plain.combine_chunks().to_numpy(zero_copy_only=False)
        marked = np.bincount(path, ~blank, len(who) and path[-1] + 1) > 0
        kept = ~(blank & marked[path])
        coded = order["name"].combine_chunks().filter(pa.array(kept)).dictionary_encode("encode")
        first = np.flatnonzero(new)
        return cls(Touches(path[kept], coded.indices.to_numpy().astype(np.int64),
                           order["converted"].to_numpy()[first], order["value"].to_numpy()[first],
                           len(coded.dictionary)), coded.dictionary.to_pylist(), conversions, value)

    @property
    def notes(self) -> tuple[Sentence, ...]:
        """What could not be done, and why."""
        if self.touches.names > MOST_NAMES:
            return (say("markov is left out: there are {n:,} names, and it takes {most:,} at most.",
                        n=self.touches.names, most=MOST_NAMES),)
        return ()

    def table(self, method: str, groups: Sequence[str | None]) -> list[dict[str, Any]]:
        """Credits by one method, the largest first; names that the log has and that touched nobody, too."""
        shared = METHODS[method](self.touches)
        times = np.bincount(self.touches.name, minlength=self.touches.names)
        rows: list[dict[str, Any]] = [
            {"name": name, "touches": int(times[place]), "conversions": float(shared[place, 0]),
             "value": float(shared[place, 1])} for place, name in enumerate(self.names)]
        rows += [{"name": name, "touches": 0, "conversions": 0.0, "value": 0.0} for name in groups
                 if name not in self.names]
        return [{**row, "share": row["conversions"] / self.conversions if self.conversions else None,
                 "value_share": row["value"] / self.value if self.value else None}
                for row in sorted(rows, key=lambda row: (-row["conversions"], -row["touches"], row["name"] or ""))]

    def every(self) -> list[dict[str, Any]]:
        """Credits by every method."""
        usable = {name: method for name, method in METHODS.items()
                  if name != "markov" or self.touches.names <= MOST_NAMES}
        found = {name: method(self.touches) for name, method in usable.items()}
        return [{"method": method, "name": name, "conversions": float(shared[place, 0]),
                 "value": float(shared[place, 1])}
                for method, shared in found.items() for place, name in enumerate(self.names)]


def check(method: str, found: Touched) -> None:
    """Refuse a method that cannot be done over so many names.

    Raises:
        BadInput: There are too many.
    """
    if method == "markov" and found.notes:
        raise BadInput(found.notes[0], do=[say("--method shapley"), say("--by channel")],
                       why=say("it looks at what would be lost without each name, among all others."))
