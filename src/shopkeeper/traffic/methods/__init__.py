"""The signs by which machines are told, one file each, and how they are put together."""

from __future__ import annotations

import numpy as np

from shopkeeper.traffic.methods.base import Floats, Ints, Method, Visitors
from shopkeeper.traffic.methods.crowd import Crowd
from shopkeeper.traffic.methods.driven import Driven
from shopkeeper.traffic.methods.even import Even
from shopkeeper.traffic.methods.quick import Quick
from shopkeeper.traffic.methods.silent import Silent
from shopkeeper.traffic.methods.walk import Walk

METHODS: tuple[Method, ...] = (Quick(), Even(), Walk(), Driven(), Silent(), Crowd())
BOT, SUSPECT = 0.9, 0.5  # from which score on somebody is called so

__all__ = ["BOT", "METHODS", "SUSPECT", "Method", "Visitors", "judge"]


def judge(who: Visitors) -> tuple[Floats, Ints]:
    """How surely each visitor is a machine, by all signs together; whoever has bought something is none.

    Returns:
        (n,) 1 - the product of what each sign leaves open, and (n,) the row of the strongest sign in `METHODS`.

    >>> import numpy as np
    >>> n, f = np.array([100]), np.array([0.3])
    >>> who = Visitors(n, n, n, n, f, f, n * 0, n * 0, n * 0, n * 0, n > 200, n, n, n, 1_000)
    >>> judge(who)[0].round(2).tolist(), METHODS[judge(who)[1][0]].name
    ([0.95], 'quick')
    """
    signs = np.array([method.judge(who) for method in METHODS]).reshape(len(METHODS), len(who))
    score = 1 - np.prod(1 - signs, axis=0)
    return np.where(who.bought > 0, 0.0, score), signs.argmax(axis=0)
