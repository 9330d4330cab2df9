"""Pages asked for without any user agent, where nearly everybody has one: a hint, and alone never more than that."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, SHARE = 3, 0.5  # events without an agent, and their share of all


class Silent:
    """Whoever never sends a user agent: some scrapers, and people whose browser, app or consent keeps it back."""

    name = "no_agent"

    def judge(self, who: Visitors) -> Floats:
        """0.5, a suspect, where at least 3 events, and half of all, came without an agent and nothing was wanted."""
        found = (who.silent >= FEWEST) & (who.silent >= SHARE * who.events) & (who.intent == 0)
        return np.where(found, 0.5, 0.0)
