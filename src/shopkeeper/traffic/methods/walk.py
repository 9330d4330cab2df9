"""A walk through much of what there is on one day, and nothing wanted of it."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Visitors

FEWEST, SHARE = 100, 0.3  # different items on one day, and their share of everything that anybody looks at


class Walk:
    """An exhaustive walk: no proof by itself, a keen person may do it once."""

    name = "walk"

    def judge(self, who: Visitors) -> Floats:
        """0.6 where at least 100 items, and 30 % of all, were looked at on a day without any sign of intent."""
        far = who.most_items >= max(FEWEST, SHARE * who.items)
        return np.where(far & (who.intent == 0), 0.6, 0.0)
