"""A driven browser that wants nothing: what was suspect at the entrance, and behaves like it."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, SHARE = 3, 0.5  # suspect events, and their share of all


class Driven:
    """Headless browsers and pages asked for without a user agent, without any sign of intent."""

    name = "driven"

    def judge(self, who: Visitors) -> Floats:
        """0.9 where at least 3 events, and half of all, were suspect at the entrance and nothing was wanted."""
        found = (who.suspect >= FEWEST) & (who.suspect >= SHARE * who.events) & (who.intent == 0)
        return np.where(found, 0.9, 0.0)
