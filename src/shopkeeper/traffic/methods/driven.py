"""A driven browser that wants nothing: what said so at the entrance, and behaves like it."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, SHARE = 3, 0.5  # events of a driven browser, and their share of all


class Driven:
    """Headless browsers without any sign of intent."""

    name = "driven"

    def judge(self, who: Visitors) -> Floats:
        """0.9 where at least 3 events, and half of all, were a driven browser's and nothing was wanted."""
        found = (who.driven >= FEWEST) & (who.driven >= SHARE * who.events) & (who.intent == 0)
        return np.where(found, 0.9, 0.0)
