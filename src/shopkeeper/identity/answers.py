"""What leaves the room: how many visitors are known, who is behind an id, and what an act changed."""

from __future__ import annotations

from dataclasses import dataclass

from shopkeeper.asking import Answer, shown
from shopkeeper.words import word


@dataclass(frozen=True, kw_only=True)
class Report(Answer):
    """How far visitors are known: measure, value. Part `shared`: anonymous_id, customers, events."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """What is measured, in words."""
        body = [[word(row["measure"], language), shown(row["value"], language)] for row in self.table.to_pylist()]
        return [word("measure", language), word("value", language)], body


@dataclass(frozen=True, kw_only=True)
class Known(Answer):
    """What is joined to a person: anonymous_id, customer_id, since, until, events, evidence, joined, by."""


@dataclass(frozen=True, kw_only=True)
class Changed(Answer):
    """Joins that an act made or undid, or would: status, anonymous_id, customer_id, since, until, events, evidence."""
