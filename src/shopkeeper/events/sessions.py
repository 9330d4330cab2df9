"""Sessions by silence: a person who was quiet for longer than a gap begins a new one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
GAP_MINUTES = 30


def sessions_of(person: Ints, when: Ints, gap: int = GAP_MINUTES * 60_000_000) -> Ints:
    """Number the sessions of events.

    Two events that follow each other of the same person belong to one session if at most `gap` lies between them.

    Args:
        person: (n,) who did it, as numbers; any order.
        when: (n,) microseconds UTC.
        gap: Longest silence within a session, microseconds.

    Returns:
        (n,) session numbers from 0, in the order of person and time, as the events were given.

    >>> sessions_of(np.array([7, 7, 5, 7]), np.array([100, 0, 50, 31]), gap=31).tolist()
    [2, 1, 0, 1]
    """
    order = np.lexsort((when, person))
    who, at = person[order], when[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (who[1:] != who[:-1]) | (at[1:] - at[:-1] > gap)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return numbers
