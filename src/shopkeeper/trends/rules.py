"""What an alert watches and when it rings: small typed records, and what makes no sense in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from shopkeeper.errors import BadInput
from shopkeeper.words import Sentence, say

Measure = Literal["events", "value"]
Detector = Literal["usual", "silence", "threshold", "burst"]
Side = Literal["both", "high", "low"]

BURST_KINDS = ("payment_failed", "coupon_apply", "coupon_reject", "refund")
WIDTHS = (5, 10, 15, 20, 30, 60)
HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True)
class Series:
    """A part of the counts.

    Attributes:
        kind: Kind of event; any where it is left out.
        channel: What brought the event, such as email or paid_search; any where it is left out.
        category: Top category of the item, or other; any where it is left out.
        measure: Count events, or add up their value.
    """

    kind: str | None = None
    channel: str | None = None
    category: str | None = None
    measure: Measure = "events"

    @property
    def column(self) -> str:
        """The column of `inputs.cells` that it adds up: a category counts lines with its items, not whole orders."""
        if self.category is None:
            return self.measure
        return "lines" if self.measure == "events" else "sold"

    @property
    def unit(self) -> float:
        """By what sums of that column are divided: money is added up in units of 0.0001."""
        return 10_000.0 if self.measure == "value" else 1.0

    def sentence(self) -> Sentence:
        """The series in words."""
        parts = [part for part in (self.kind, self.channel, self.category) if part is not None]
        of = " / ".join(parts) if parts else say("everything")
        return say("value of {series}", series=of) if self.measure == "value" else say("events of {series}", series=of)


@dataclass(frozen=True)
class Rule:
    """When an alert rings.

    Attributes:
        kind: Kind of event; any where it is left out.
        channel: What brought the event, such as email or paid_search; any where it is left out.
        category: Top category of the item, or other; any where it is left out.
        measure: Count events, or add up their value.
        detector: usual (against the same hour of the weeks before), silence (nothing comes any more), threshold (above
            or below a number), or burst (one person does it again and again).
        minutes: Length of a bucket, or of the window of a burst: 5, 10, 15, 20, 30 or 60.
        side: Ring for high counts, low ones, or both.
        level: Level of the interval that a bucket is expected in; a bucket outside it is odd.
        above: A threshold or a burst rings from more than this.
        below: A threshold rings from less than this.
        in_a_row: So many odd buckets must follow each other.
        least: A high bucket must count, and a low one must have expected, at least this.
        cooldown: Hours for which it does not ring again.
        webhook: Where to send what rings; nowhere if it is left out.
    """

    kind: str | None = None
    channel: str | None = None
    category: str | None = None
    measure: Measure = "events"
    detector: Detector = "usual"
    minutes: int = 60
    side: Side = "both"
    level: float = 0.99
    above: float | None = None
    below: float | None = None
    in_a_row: int = 2
    least: float = 5.0
    cooldown: float = 6.0
    webhook: str | None = None

    @property
    def series(self) -> Series:
        """What it watches."""
        return Series(self.kind, self.channel, self.category, self.measure)

    @property
    def width(self) -> int:
        """Microseconds of a bucket."""
        return self.minutes * (HOUR // 60)

    @property
    def row(self) -> int:
        """Odd buckets that must follow each other; a silence is a row by itself."""
        return 1 if self.detector in ("silence", "burst") else self.in_a_row

    def check(self) -> None:
        """Refuse a rule that makes no sense.

        Raises:
            BadInput: Naming what is wrong in it.
        """
        for wrong, what, do in self._wrongs():
            if wrong:
                raise BadInput(what, do=[do], why=say("a rule that cannot ring, or always rings, warns nobody."))

    def _wrongs(self) -> list[tuple[bool, Sentence, Sentence]]:
        burst, threshold = self.detector == "burst", self.detector == "threshold"
        return [
            (self.minutes not in WIDTHS, say("minutes is {n}.", n=self.minutes), say("one of: 5, 10, 15, 20, 30, 60")),
            (not 0.5 <= self.level < 1, say("level is {level}.", level=self.level), say("--level 0.99")),
            (not 1 <= self.in_a_row <= 24, say("in_a_row is {n}.", n=self.in_a_row), say("--in-a-row 2")),
            (not 0 <= self.least < 1e15, say("least is {n}.", n=self.least), say("--least 5")),
            (not 0 <= self.cooldown <= 24 * 365, say("cooldown is {n}.", n=self.cooldown), say("--cooldown 6")),
            (self.measure == "value" and self.kind is None, say("value needs a kind of event."),
             say("--kind purchase")),
            (threshold and self.above is None and self.below is None, say("a threshold needs above or below."),
             say("--above 100")),
            (not (threshold or burst) and (self.above is not None or self.below is not None),
             say("above and below are for thresholds and bursts."), say("--detector threshold")),
            (burst and self.kind not in BURST_KINDS,
             say("a burst is one of payment_failed, coupon_apply, coupon_reject and refund."),
             say("--kind payment_failed")),
            (burst and (self.above is None or self.above < 1), say("a burst needs above, from 1 on."),
             say("--above 4")),
            (burst and (self.channel is not None or self.category is not None or self.measure == "value"),
             say("a burst counts events of one kind, over all channels and categories."),
             say("leave out channel, category and measure.")),
            (self.webhook is not None and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", self.webhook or ""),
             say("{text} is no address of a webhook.", text=repr(self.webhook)), say("--webhook https://example.com/x")),
        ]

    def to_row(self) -> dict[str, Any]:
        """The rule as a row of the table of rules."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Rule:
        """The inverse of `to_row`; other columns are left alone."""
        return cls(**{entry.name: row[entry.name] for entry in fields(cls)})
