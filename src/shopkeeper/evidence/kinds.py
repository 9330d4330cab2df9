"""The other things an answer can say about how it knows, and the reader of any of them.

Every kind has a `kind`, a `sentence()` for people and a `to_dict()` for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shopkeeper.evidence.trial import Trial
from shopkeeper.words import Sentence, say


@dataclass(frozen=True)
class ExactCount:
    """A figure that was counted, not estimated: there is no interval, only what it was counted over.

    Attributes:
        what: What was counted over, in the plural (`stored events`).
        n: How many of them: the denominator.

    >>> print(ExactCount(say("stored events"), 981_120).sentence())
    counted exactly, over 981,120 stored events
    """

    what: Sentence
    n: int

    @property
    def kind(self) -> str:
        """`exact count`."""
        return "exact count"

    def sentence(self) -> Sentence:
        """The count in a sentence."""
        return say("counted exactly, over {n:,} {what}", n=self.n, what=self.what)

    def to_dict(self) -> dict[str, Any]:
        """The count as plain data."""
        return {"kind": self.kind, "what": self.what.to_dict(), "n": self.n}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExactCount:
        """The inverse of `to_dict`."""
        return cls(Sentence.from_dict(data["what"]), data["n"])


@dataclass(frozen=True)
class NotLearned:
    """No trial was held yet: the plainest rule answers at once, and says so.

    Attributes:
        question: `room.question`.
        method: Name of the plainest rule.

    >>> print(NotLearned("recommend.next_items", "popular").sentence())
    nothing has been learned yet, so the plainest rule answers (popular); `learn` tries the others
    """

    question: str
    method: str

    @property
    def kind(self) -> str:
        """`nothing learned`."""
        return "nothing learned"

    def sentence(self) -> Sentence:
        """The lack of evidence in a sentence."""
        return say("nothing has been learned yet, so the plainest rule answers ({method}); `learn` tries the others",
                   method=self.method)

    def to_dict(self) -> dict[str, Any]:
        """The lack of evidence as plain data."""
        return {"kind": self.kind, "question": self.question, "method": self.method}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NotLearned:
        """The inverse of `to_dict`."""
        return cls(data["question"], data["method"])


def from_dict(data: Mapping[str, Any]) -> Trial | ExactCount | NotLearned:
    """Evidence of any kind from its plain data.

    Raises:
        ValueError: The kind is not one that this version knows.

    >>> from_dict({"kind": "nothing learned", "question": "recommend.next_items", "method": "popular"}).method
    'popular'
    """
    kinds: dict[str, type[Trial] | type[ExactCount] | type[NotLearned]] = {
        "trial": Trial, "exact count": ExactCount, "nothing learned": NotLearned}
    if data["kind"] not in kinds:
        raise ValueError(f"evidence of the kind {data['kind']!r}; known are {sorted(kinds)}")
    return kinds[data["kind"]].from_dict(data)
