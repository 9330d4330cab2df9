"""Looks that follow each other faster than a person reads."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, SHARE = 30, 0.5  # quick pauses, and their share of all
LONG, PACE = 100, 3.0    # pauses, and seconds that they last on average: nobody reads so fast for so long


class Quick:
    """Most pauses are below a second, over many looks; or hardly longer, over very many, and nothing wanted."""

    name = "quick"

    def judge(self, who: Visitors) -> Floats:
        """0.95 where 30 pauses, and half of all, are below a second; 0.9 where 100 last below 3 s on average."""
        share = who.quick / np.maximum(who.pauses, 1)
        steady = (who.pauses >= LONG) & (who.mean < PACE) & (who.intent == 0)
        return np.where((who.quick >= FEWEST) & (share >= SHARE), 0.95, np.where(steady, 0.9, 0.0))
