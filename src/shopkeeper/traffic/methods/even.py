"""Pauses as even as a clock's. People's pauses spread about as wide as their mean; a timer's do not.

Source:
    That the times between actions of people are heavy-tailed: Barabasi (2005), The origin of bursts and heavy tails in
    human dynamics, Nature 435.
"""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, MOST = 10, 0.3  # pauses; deviation over mean


class Even:
    """Pauses that hardly differ, over many looks, and nothing wanted."""

    name = "even"

    def judge(self, who: Visitors) -> Floats:
        """0.92 and more where at least 10 pauses deviate by less than 0.3 of their mean; 0 with any sign of intent.

        From the deviation and the count: 0.92 at the limits, 0.99 at 30 pauses and none.
        """
        ratio = who.spread / np.maximum(who.mean, 1e-9)
        sure = 0.92 + 0.07 * np.clip(who.pauses / 30, 0, 1) * np.clip(1 - ratio / MOST, 0, 1)
        found: Floats = np.where((who.pauses >= FEWEST) & (ratio <= MOST) & (who.intent == 0), sure, 0.0)
        return found
