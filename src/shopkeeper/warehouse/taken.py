"""Requests on their way: what the sender is told, what is remembered of each, and who brought which event id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from shopkeeper.events.entrance import Event
from shopkeeper.warehouse.journal import Arrived
from shopkeeper.warehouse.judging import Verdict


class Ticket:
    """What became of a request; it counts once a flush has returned. Of one that failed, every question is refused.

    Attributes:
        received: Records.
        durable: They are on disk.
        said, accepted, changed: What the collector found so far.
        open: What is accepted was not compared with the index yet.
        failed: Why it is not stored.
    """

    def __init__(self, compare: Callable[[], None], received: int) -> None:
        self._compare, self.received, self.durable = compare, received, False
        self.said: list[Verdict] = []
        self.accepted: Sequence[Event] = ()
        self.changed: Sequence[dict[str, Any]] = ()
        self.open = False
        self.failed: BaseException | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The records that were not plainly stored, in their order."""
        self._final()
        return tuple(sorted(self.said, key=lambda one: one.index))

    @property
    def events(self) -> Sequence[Event]:
        """The accepted events; they may be made only when they are looked at."""
        self._final()
        return self.accepted

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The rows of a table that changed it; of a deleted one, what was sent."""
        self._final()
        return tuple(self.changed)

    @property
    def duplicate(self) -> int:
        """Records that were there already."""
        self._final()
        return sum(one.outcome == "duplicate" for one in self.said)

    @property
    def quarantined(self) -> int:
        """Records that were set aside with a reason."""
        self._final()
        return sum(one.outcome == "quarantined" for one in self.said)

    @property
    def stored(self) -> int:
        """Records that were stored."""
        self._final()
        return self.received - len(self.said)

    def _final(self) -> None:
        if self.failed is not None:
            raise self.failed
        if self.open:
            self._compare()


@dataclass(eq=False)
class Taken:
    """A request that was taken: what is written, what its stored records are called, and its ticket.

    Attributes:
        received: Its records.
        ids: Of the records that are stored.
        which: (ids,) their places in the request, from 0.
        more: (place among the ids, line) of their rows beyond line 0.
    """

    arrived: Arrived
    ticket: Ticket | None  # until it is durable
    received: int
    ids: list[str] = field(default_factory=list)
    which: Sequence[int] = ()
    more: list[tuple[int, int]] = field(default_factory=list)

    def told(self) -> Ticket:
        """Its ticket, while it is not durable."""
        assert self.ticket is not None
        return self.ticket


class Names:
    """Who brought which event id, of what is not folded yet. An id can have several records: lines of one event."""

    def __init__(self) -> None:
        self._first: dict[str, Taken] = {}
        self._several: dict[str, list[Taken]] = {}  # those beyond the first of an id

    def are_new(self, ids: Sequence[str]) -> bool:
        """Whether none of these is known, and none comes twice."""
        return self._first.keys().isdisjoint(ids) and len(set(ids)) == len(ids)

    def find(self, name: str) -> list[Taken]:
        """Who brought records of this id."""
        found = [self._first[name]] if name in self._first else []
        return found + self._several.get(name, [])

    def add(self, taken: Taken, *, new: bool) -> None:
        """Remember the ids of a request; `new`: none of them is known."""
        if new:
            self._first.update(dict.fromkeys(taken.ids, taken))
            return
        for name in dict.fromkeys(taken.ids):
            if self._first.setdefault(name, taken) is not taken:
                self._several.setdefault(name, []).append(taken)

    def forget(self, name: str, taken: Taken) -> None:
        """Take back what turned out to be in the past."""
        self._leave(name, {id(taken)})

    def drop(self, gone: Collection[Taken]) -> None:
        """Forget requests: they are folded, or the disk did not take them."""
        out = {id(one) for one in gone}
        for taken in gone:
            for name in taken.ids:
                self._leave(name, out)

    def _leave(self, name: str, out: Collection[int]) -> None:
        rest = self._several.pop(name, None)
        if rest is None:
            if id(self._first.get(name)) in out:
                del self._first[name]
            return
        left = [one for one in (self._first.get(name), *rest) if one is not None and id(one) not in out]
        self._first.pop(name, None)
        if left:
            self._first[name] = left[0]
        if len(left) > 1:
            self._several[name] = left[1:]
