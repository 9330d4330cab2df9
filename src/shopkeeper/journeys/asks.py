"""What may be asked of a journey: records of parameters, and names held against what the shop has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pyarrow as pa

from shopkeeper.errors import BadInput, TooLittleHistory, UnknownName
from shopkeeper.events.schema import COLUMNS, ROLES
from shopkeeper.shop import Shop
from shopkeeper.words import say

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400  # seconds
_NAMES_NO_GROUP = ("event_id", "line")

# What people, visits and events can be told apart by: every column that points to no person and is no time.
BY: tuple[str, ...] = (*(column.name for column in COLUMNS if not column.personal and column.name not in _NAMES_NO_GROUP
                         and not pa.types.is_timestamp(column.type)), "channel", "category")


@dataclass(frozen=True)
class Period:
    """Which part of the log.

    Attributes:
        since: From when on; UTC where no zone is given. By default the beginning of the log.
        until: Up to when; UTC where no zone is given. By default the shop's clock.
        before: Also give the period of the same length before it.
    """

    since: datetime | None = None
    until: datetime | None = None
    before: bool = False

    def span(self, now: int) -> Span:
        """The period as microseconds.

        Raises:
            BadInput: It is empty, or the period before an open one is asked for.
        """
        since = None if self.since is None else micros(self.since)
        until = now + 1 if self.until is None else min(micros(self.until), now + 1)
        if since is not None and since >= until:
            raise BadInput(say("the period is empty: it begins at {since} and ends at {until}.", since=iso(since),
                               until=iso(until)), do=[say("--since 2026-10-01")],
                           why=say("nothing lies after the shop's clock, which is the time of the last event."))
        if self.before and since is None:
            raise BadInput(say("the period before needs to know where this one begins."),
                           do=[say("--since 2026-10-01")], why=say("both have the same length."))
        return Span(since, until)


@dataclass(frozen=True)
class Span:
    """`since <= ts < until`, microseconds UTC; `since` is None where it is open."""

    since: int | None
    until: int

    def earlier(self) -> Span:
        """The span of the same length that ends where this one begins."""
        assert self.since is not None
        return Span(2 * self.since - self.until, self.since)


@dataclass(frozen=True)
class How(Period):
    """How the steps of a funnel are counted.

    Attributes:
        order: `ordered`: each step after the one before, whatever lies between; `any`: in any order; `strict`: with
            nothing of the same person between.
        since: From when on; UTC where no zone is given. By default the beginning of the log.
        until: Up to when; UTC where no zone is given. By default the shop's clock.
        before: Also give the period of the same length before it.
        n: How many of the visits that went no further to name.
    """

    order: Literal["ordered", "any", "strict"] = "ordered"
    n: int = 10


@dataclass(frozen=True)
class Cohorts(Period):
    """Which cohorts, and when they are looked at again.

    Attributes:
        per: Length of a cohort and of what is counted after it: whole days, weeks (from Monday) or months in the shop's
            time zone.
        brackets: Which units after the first count together, such as 0 1 2-4 5-8; by default each by itself.
        since: Cohorts from when on; UTC where no zone is given. By default the beginning of the log.
        until: Cohorts up to when; UTC where no zone is given. By default the shop's clock.
        before: Also give the cohorts of the period of the same length before it.
    """

    per: Literal["day", "week", "month"] = "week"
    brackets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Walk(Period):
    """How far a path is followed.

    Attributes:
        depth: How many steps.
        of: What a step is: a column of the event table, such as event, item_id or list_id.
        since: Visits that begin from then on; UTC where no zone is given. By default the beginning of the log.
        until: Visits that begin before then; UTC where no zone is given. By default the shop's clock.
        before: Also give the period of the same length before it.
        n: How many paths to show, the most frequent first.
    """

    depth: int = 3
    of: str = "event"
    n: int = 10


@dataclass(frozen=True)
class Two:
    """Two periods that are held against each other.

    Attributes:
        since: From when on; UTC where no zone is given. By default 28 days before its end.
        until: Up to when; UTC where no zone is given. By default the shop's clock.
        since_before: Where the earlier period begins; by default it has the same length.
        until_before: Where the earlier period ends; by default where the later one begins.
    """

    since: datetime | None = None
    until: datetime | None = None
    since_before: datetime | None = None
    until_before: datetime | None = None

    def spans(self, now: int) -> tuple[Span, Span]:
        """The later and the earlier span.

        Raises:
            BadInput: One of them is empty, or they overlap.
        """
        end = now + 1 if self.until is None else min(micros(self.until), now + 1)
        later = Period(self.since or at(end - 28 * DAY * 1_000_000), self.until).span(now)
        assert later.since is not None
        finish = later.since if self.until_before is None else micros(self.until_before)
        begin = finish - (later.until - later.since) if self.since_before is None else micros(self.since_before)
        if begin >= finish or finish > later.since:
            raise BadInput(say("the earlier period must begin before it ends, and end before the later one begins."),
                           do=[say("--since-before 2026-09-01 --until-before 2026-10-01")],
                           why=say("what lies in both periods would count on both sides of the difference."))
        return later, Span(begin, finish)


def micros(moment: datetime) -> int:
    """A time as microseconds UTC; UTC where it has no zone."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def at(when: int) -> datetime:
    """Microseconds UTC as a time."""
    return _EPOCH + timedelta(microseconds=when)


def iso(when: int) -> str:
    """Microseconds UTC as text."""
    return at(when).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def kinds(shop: Shop, name: str) -> tuple[str, ...]:
    """The kinds of event that a step, a start or an end means: a kind, a role, or several of them joined by `|`.

    Raises:
        UnknownName: Neither a kind of this shop nor a role.
    """
    roles = shop.config.roles
    found: list[str] = []
    for part in re.split(r"\s*\|\s*", name.strip()):
        if part not in roles and part not in ROLES:
            raise UnknownName(say("there is no kind of event {name}.", name=repr(part)),
                              do=[say("one of: {names}", names=", ".join((*ROLES, *sorted(roles))))],
                              why=say("a name that is not there counts nothing."))
        found += [part] if part in roles else [kind for kind, role in roles.items() if role == part]
    return tuple(dict.fromkeys(found))


def by(name: str | None) -> None:
    """Refuse a column that nothing can be told apart by.

    Raises:
        UnknownName: It is no column, or one that points to a person.
    """
    if name is not None and name not in BY:
        raise UnknownName(say("nothing can be told apart by {name}.", name=repr(name)),
                          do=[say("one of: {names}", names=", ".join(BY))],
                          why=say("columns that point to a person, and times, do not make groups."))


def within(days: float) -> int:
    """A number of days as seconds.

    Raises:
        BadInput: It is not between 0 and 4,000.
    """
    if not 0 < days <= 4_000:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name="within", value=days,
                           low=0, high=4_000), do=[say("--within 7")])
    return max(1, round(days * DAY))


def at_least_one(n: int, name: str = "n") -> None:
    """Refuse a count below 1."""
    if n < 1:
        raise BadInput(say("{name} is {value}; it must be at least 1.", name=name, value=n), do=[say("--n 10")])


def at_most(n: int, most: int, name: str) -> None:
    """Refuse a count outside 1 to `most`."""
    if not 1 <= n <= most:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name=name, value=n, low=1,
                           high=most))


def brackets(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Brackets as (first, last) units, in order.

    Raises:
        BadInput: One is no number or range, or two overlap.

    >>> brackets(["0", "1", "2-4"])
    [(0, 0), (1, 1), (2, 4)]
    """
    found: list[tuple[int, int]] = []
    for text in texts:
        parts = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text.strip(), re.ASCII)
        low, high = (int(parts[1]), int(parts[2] or parts[1])) if parts else (1, 0)
        if low > high or (found and low <= found[-1][1]):
            raise BadInput(say("{text} is no bracket, or overlaps the one before it.", text=repr(text)),
                           do=[say("{example}", example="--brackets 0 1 2-4 5-8")],
                           why=say("a bracket is a number of units after the first, or a range of them, in order."))
        found.append((low, high))
    return found


def something(n: int) -> None:
    """Refuse an empty log.

    Raises:
        TooLittleHistory: Nobody did anything.
    """
    if not n:
        raise TooLittleHistory(say("nobody has done anything in this shop yet."),
                               do=[say("shopkeeper ingest SHOP FILE")],
                               why=say("a journey is what people do, one thing after the other."))
