"""What leaves the room: how many visitors are known, who is behind an id, and what an act changed."""

from __future__ import annotations

from dataclasses import dataclass

from shopkeeper.asking import Answer


@dataclass(frozen=True, kw_only=True)
class Report(Answer):
    """How far visitors are known: measure, value. Part `shared`: anonymous_id, customers, events."""


@dataclass(frozen=True, kw_only=True)
class Known(Answer):
    """What is joined to a person: anonymous_id, customer_id, since, until, events, evidence, joined, by."""


@dataclass(frozen=True, kw_only=True)
class Changed(Answer):
    """Joins that an act made or undid, or would: status, anonymous_id, customer_id, since, until, events, evidence."""
