"""What every method of this room is: visitors in, for each of them how surely it is a machine, out.

A method sees what somebody did, never who it is. It knows no shop; it never judges whoever has bought something.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Visitors:
    """What n visitors did, as far as no label at the entrance called them bots or agents.

    Attributes:
        events: (n,) what they did in all.
        most_items: (n,) different items looked at on the busiest day.
        pauses: (n,) pauses between two looks, as far as neither a simultaneous hit (below 0.05 s) nor a long silence.
        quick: (n,) those of them below a second.
        mean, spread: (n,) seconds: mean of the pauses, and their deviation within a day.
        driven: (n,) events of a browser that said at the entrance that a program drives it.
        silent: (n,) events that were suspect there for want of a user agent; 0 for whoever sent one with any event.
        intent: (n,) what only somebody who wants something does: carts, checkouts, wishlists, searches, sign-ups.
        bought: (n,) purchases, refunds, reviews.
        named: (n,) whether they came by a mark (campaign, click or referrer).
        cell: (n,) number of the combination of user agent, country and device.
        first, last: (n,) microseconds UTC.
        items: Different items that anybody looked at.
    """

    events: Ints
    most_items: Ints
    pauses: Ints
    quick: Ints
    mean: Floats
    spread: Floats
    driven: Ints
    silent: Ints
    intent: Ints
    bought: Ints
    named: npt.NDArray[np.bool_]
    cell: Ints
    first: Ints
    last: Ints
    items: int = 0

    def __len__(self) -> int:
        return len(self.events)

    def where(self, rows: Any) -> Visitors:
        """Only these visitors (a mask or row numbers)."""
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        return Visitors(**{name: part if name == "items" else part[rows] for name, part in parts.items()})


class Method(Protocol):
    """One sign by which machines are told."""

    name: str

    def judge(self, who: Visitors) -> Floats:
        """(n,) how surely each is a machine by this sign alone, 0 to 1."""
