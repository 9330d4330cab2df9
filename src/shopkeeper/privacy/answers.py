"""What leaves the room: how much of a shop was renamed."""

from __future__ import annotations

from dataclasses import dataclass

from shopkeeper.asking import Answer, shown
from shopkeeper.words import word


@dataclass(frozen=True, kw_only=True)
class Rotation(Answer):
    """What has new pseudonyms, or would have: measure, records."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """What it is, in words."""
        body = [[word(row["measure"], language), shown(row["records"], language)] for row in self.table.to_pylist()]
        return [word("measure", language), word("records", language)], body
