"""One person does a thing again and again within a short time: a hint of fraud, never a finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shopkeeper.trends.methods.base import Ints


@dataclass(frozen=True)
class Burst:
    """A burst of one person.

    Attributes:
        person: Row of the person.
        since: When the first event of the window happened, microseconds UTC.
        until: When the event happened that made it a burst.
        counted: Events of the window.
        typical: Median of the counts that windows of other people had up to then.
        most: The count that a share `level` of them did not pass.
    """

    person: int
    since: int
    until: int
    counted: int
    typical: float
    most: float


def counted(person: Ints, when: Ints, window: int) -> tuple[Ints, Ints]:
    """For each event: how many of the same person lie within the window that ends with it, and when the first was.

    Args:
        person: (n,) rows of people.
        when: (n,) microseconds, ascending.
        window: Microseconds; an event that is exactly so old is outside.

    Returns:
        (n,) counts, the event itself included, and (n,) microseconds.
    """
    n, since = np.ones(len(when), np.int64), when.copy()
    order = np.lexsort((np.arange(len(when)), person))
    starts = np.flatnonzero(person[order][1:] != person[order][:-1]) + 1
    for rows in np.split(order, starts) if len(order) else []:
        first = np.searchsorted(when[rows], when[rows] - window, side="right")
        n[rows] = np.arange(len(rows)) - first + 1
        since[rows] = when[rows][first]
    return n, since


def find(person: Ints, when: Ints, window: int, above: float, level: float) -> list[Burst]:
    """Every event that makes its person's window count more than `above`; in order of time.

    What is typical is taken over the events before it, of everybody else: there is no look-ahead.
    """
    n, since = counted(person, when, window)
    found = []
    for row in np.flatnonzero(n > above):
        before = n[:row][person[:row] != person[row]]
        typical, most = (float(np.median(before)), float(np.quantile(before, level))) if len(before) else (0.0, 0.0)
        found.append(Burst(int(person[row]), int(since[row]), int(when[row]), int(n[row]), typical, most))
    return found
