"""Jumps of a kind's daily counts: how often quiet logs ring, and which planted jumps are found.

Protocol: 365 days of counts with a weekly rhythm, 100 logs a cell. Steady: by chance alone. Growing: 3 % a week.
Restless: days vary by a sixth, and the level drifts. Clumped: variance a quarter of the squared mean, beside chance.
False alarms: share of logs in which anything rings. Then 90 days with one planted jump, a factor that lasts to the end
or one day's, on a random day from 36 on: found where a span begins on it (within three days, for what lasts).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from shopkeeper.ledger.silences import jumps

WEEKDAYS = np.array([1, .9, .95, 1, 1.1, 1.3, 1.2]) / 1.064
PLANTED = (("2 times, lasting", 2, True), ("3 times, lasting", 3, True), ("half, lasting", .5, True),
           ("a quarter, lasting", .25, True), ("6 times, a day", 6, False), ("3 times, a day", 3, False),
           ("a quarter, a day", .25, False))
LEVELS = (3, 5, 10, 20, 200)


def level(rng: np.random.Generator, n: int, mean: float, kind: str) -> Any:
    """(n,) expected counts by day."""
    base = mean * WEEKDAYS[np.arange(n) % 7]
    if kind == "growing":
        return base * 1.03 ** (np.arange(n) / 7)
    if kind == "restless":
        drift = np.zeros(n)
        for day in range(1, n):
            drift[day] = .8 * drift[day - 1] + rng.normal(0, .06)
        return base * np.exp(drift + rng.normal(0, .15, n))
    return base * rng.gamma(4, 1 / 4, n) if kind == "clumped" else base


def found(rng: np.random.Generator, mean: float, kind: str, factor: float, lasting: bool) -> bool:
    """Whether a planted jump is found."""
    expected, at = level(rng, 90, mean, kind), int(rng.integers(35, 75))
    expected[at:90 if lasting else at + 1] *= factor
    return any(abs(span.start - at) <= (3 if lasting else 0) for span in jumps(rng.poisson(expected).astype(float)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=100, help="logs a cell")
    logs, rng = parser.parse_args().logs, np.random.default_rng(1)
    print("events a day".ljust(30), *(f"{mean:>6}" for mean in LEVELS))
    for kind in ("steady", "growing", "restless", "clumped"):
        rings = [np.mean([bool(jumps(rng.poisson(level(rng, 365, mean, kind)).astype(float))) for _ in range(logs)])
                 for mean in LEVELS]
        print(f"{kind}: logs that ring".ljust(30), *(f"{share:6.2f}" for share in rings), flush=True)
    for kind in ("steady", "restless"):
        for name, factor, lasting in PLANTED:
            hits = [np.mean([found(rng, mean, kind, factor, lasting) for _ in range(logs)]) for mean in LEVELS]
            print(f"{kind}: {name}".ljust(30), *(f"{share:6.2f}" for share in hits), flush=True)


if __name__ == "__main__":
    main()
