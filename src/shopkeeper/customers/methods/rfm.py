"""Segments by recency, frequency and money: an exact rule with plain names.

The days and purchases that divide are cut from the shop once, in round numbers, and kept; from then on a segment is
a rule, and the same customer falls into the same one whoever else comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# In this order, the first whose rule holds is the segment.
NAMES = ("new", "best", "loyal", "promising", "fading", "lost best", "lost")


@dataclass(frozen=True)
class Rules:
    """Where the segments part.

    Attributes:
        fresh: Days of silence up to which somebody is there.
        gone: Days of silence from which on somebody is lost.
        often: Purchases from which on somebody buys often.
        much: Money from which on somebody is among the dearest fifth.
        young: Days since the first purchase up to which somebody who bought once is new.
    """

    fresh: int
    gone: int
    often: int
    much: float
    young: int

    @classmethod
    def of(cls, silent: Floats, count: Floats, money: Floats, usual: int) -> Rules:
        """From a shop: silence by its own gaps, purchases and money by its customers."""
        often = max(2, int(np.quantile(count, 0.7, method="higher")) if len(count) else 2)
        much = float(np.round(np.quantile(money, 0.8), 2)) if len(money) else 0.0
        return cls(usual, 3 * usual, often, much, usual)

    def segment(self, silent: Floats, age: Floats, count: Floats, money: Floats) -> npt.NDArray[np.int64]:
        """(n,) the row in `NAMES` of each customer: days silent, days since the first purchase, purchases, money."""
        here, lost = silent <= self.fresh, silent > self.gone
        best = (count >= self.often) & (money >= self.much)
        holds = [here & (count == 1) & (age <= self.young), here & best, here & (count >= self.often), here,
                 ~here & ~lost, lost & best, lost]
        return np.asarray(np.argmax(np.stack(holds), axis=0), np.int64)

    def words(self) -> dict[str, str]:
        """Segment -> its rule, as a condition that can be read and checked."""
        here, lost, much = f"silent <= {self.fresh}", f"silent > {self.gone}", f"{self.much:.15g}"
        best, new = f"purchases >= {self.often} and money >= {much}", f"purchases = 1 and known <= {self.young}"
        return {"new": f"{here} and {new}", "best": f"{here} and {best}",
                "loyal": f"{here} and purchases >= {self.often} and money < {much}",
                "promising": f"{here} and purchases < {self.often} and not ({new})",
                "fading": f"{self.fresh} < silent <= {self.gone}", "lost best": f"{lost} and {best}",
                "lost": f"{lost} and not ({best})"}

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rules:
        """The inverse of `to_dict`."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})
