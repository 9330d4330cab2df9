"""Who gets which arm of an experiment: by a keyed hash of the person, the same whenever and wherever they come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shopkeeper.shop import Shop

TABLE = "facts/experiments"
QUESTION = "recommend.next_items"
INSTALLED, PLAIN = "installed", "plain"
ARMS: tuple[Literal["a"], Literal["b"]] = ("a", "b")


@dataclass(frozen=True)
class Experiment:
    """Two ways to answer a question, and who gets which.

    Attributes:
        name: Its name; exposures carry it as `campaign_id`.
        question: `recommend.next_items`.
        a, b: `installed`, `plain`, or the name of a method that was fitted for it.
        share: The share of people who get `b`, in (0, 1).
        salt: Makes the assignment independent of that of every other experiment.
        start: Microseconds UTC of the machine's clock.
        until: When it ends by itself; None where it was not said.
        stopped: When it was stopped; None while it runs.
    """

    name: str
    question: str
    a: str
    b: str
    share: float
    salt: str
    start: int
    until: int | None = None
    stopped: int | None = None

    def runs(self, at: int) -> bool:
        """Whether it runs at a moment."""
        ends = [end for end in (self.until, self.stopped) if end is not None]
        return self.start <= at and all(at < end for end in ends)

    def arm(self, person: str, key: bytes) -> Literal["a", "b"]:
        """The arm of a person.

        A pseudonym is the same text behind `c_` and `a_`: who is known as a visitor first and as a customer later
        keeps the arm.

        >>> one = Experiment("x", QUESTION, INSTALLED, PLAIN, 0.5, "salt", 0)
        >>> one.arm("c_abc", b"k" * 32) == one.arm("a_abc", b"k" * 32)
        True
        """
        digest = hashlib.blake2b(person[2:].encode(), digest_size=8, key=key, salt=self.salt.encode()[:16],
                                 person=b"experiment").digest()
        return "b" if int.from_bytes(digest, "big") < self.share * 2.0**64 else "a"

    def propensity(self, arm: str) -> float:
        """The chance that somebody gets an arm."""
        return self.share if arm == "b" else 1.0 - self.share

    def model(self, arm: str) -> str:
        """What a method that was fitted for an arm is kept under."""
        return f"recommend.experiment-{self.name}-{arm}"


def read_experiments(shop: Shop) -> Sequence[Experiment]:
    """Every experiment of the shop, the earliest first."""
    if not shop.engine.has(TABLE):
        return ()
    rows = shop.engine.run(shop.engine.table(TABLE)).to_pylist()
    return tuple(_experiment(row) for row in rows)


def running(shop: Shop, at: int) -> Experiment | None:
    """The experiment that runs at a moment (microseconds UTC), or None."""
    return next((one for one in read_experiments(shop) if one.runs(at)), None)


def _experiment(row: dict[str, Any]) -> Experiment:
    return Experiment(str(row["experiment"]), str(row["question"]), str(row["a"]), str(row["b"]), float(row["share"]),
                      str(row["salt"]), int(row["start"]), row["until"], row["stopped"])
