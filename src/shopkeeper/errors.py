"""The family of refusals.

    Refusal
    ├── BadInput            what was given cannot be read or does not make sense
    │   ├── UnknownName     a customer, item, method, column or file that is not there
    │   └── BadMapping      a log whose columns do not fit the event table
    ├── MissingData         the log cannot carry this decision
    │   ├── TooLittleHistory
    │   ├── MissingTable
    │   └── MixedCurrencies
    ├── MissingExtra        an optional part is not installed
    ├── ShopBusy            another process writes to this shop
    ├── Backlog             more came in than can be written down just now
    ├── NotWritten          the disk did not take what came in
    ├── NotAShop            the folder is not a shop, or not one that this version reads
    └── Damaged             something on disk is not what was written

A refusal says what is wrong, what to do, and why. It carries sentences (template and parameters); a door puts them into
the reader's language. Whatever is not a `Refusal` is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from shopkeeper.words import Sentence, put, say

__all__ = ["Backlog", "BadInput", "BadMapping", "Damaged", "MissingData", "MissingExtra", "MissingTable",
           "MixedCurrencies", "NotAShop", "NotWritten", "Refusal", "ShopBusy", "TooLittleHistory", "UnknownName"]


class Refusal(Exception):
    """What is wrong, what to do, why: three parts, each a sentence.

    >>> print(BadInput(say("n is {n}; it must be at least 1.", n=0), do=[say("--n 5")]))
    n is 0; it must be at least 1.
      Try:  --n 5
    """

    def __init__(self, what: Sentence, *, do: Sequence[Sentence] = (), why: Sentence | None = None) -> None:
        super().__init__(what)
        self.what, self.do, self.why = what, tuple(do), why

    def text(self, language: str = "en") -> str:
        """The refusal as a person reads it: one line, then what to try, then why."""
        lines = [put(self.what, language)]
        lines += [f"  {put(say('Try:'), language)}  {put(step, language)}" for step in self.do]
        if self.why is not None:
            lines.append(f"  {put(say('Why:'), language)}  {put(self.why, language)}")
        return "\n".join(lines)

    def to_dict(self, language: str = "en") -> dict[str, object]:
        """The same three parts for a program; `refusal` is the class, stable across versions."""
        return {"refusal": type(self).__name__, "what": put(self.what, language),
                "try": [put(step, language) for step in self.do],
                "why": None if self.why is None else put(self.why, language)}

    def __str__(self) -> str:
        return self.text()


class BadInput(Refusal):
    """What was given cannot be read or does not make sense."""


class UnknownName(BadInput):
    """A customer, item, method, column or file that is not there."""


class BadMapping(BadInput):
    """A log whose columns do not fit the event table."""


class MissingData(Refusal):
    """The log cannot carry this decision; the refusal says what is missing."""


class TooLittleHistory(MissingData):
    """The log spans too short a time, or holds too few people, for this question."""


class MissingTable(MissingData):
    """A table that the question needs (items, stock, campaigns) was never given."""


class MixedCurrencies(MissingData):
    """A money question over a log with several currencies and no rates table."""


class MissingExtra(Refusal):
    """An optional part is not installed; the refusal says what to install."""


class ShopBusy(Refusal):
    """Another process writes to this shop."""


class Backlog(Refusal):
    """More came in than can be written down just now; nothing of it was taken.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    retry_after: float = 1.0


class NotWritten(Refusal):
    """The disk did not take what came in; nothing of it is acknowledged."""


class NotAShop(Refusal):
    """The folder is not a shop, or not one that this version can read."""


class Damaged(Refusal):
    """Something on disk is not what was written."""
