"""Requests on their way: what the sender is told, what is remembered of each, and who brought which event id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
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
        self.fresh: dict[str, Taken] = {}                 # taken since the last flush began
        self._writing: dict[str, Taken] = {}              # on their way to the disk
        self._durable: dict[int, dict[str, Taken]] = {}   # journal file -> what lies in it
        self._several: dict[str, list[Taken]] = {}        # those beyond the first of an id

    def are_new(self, ids: Sequence[str]) -> bool:
        """Whether none of these is known, and none comes twice."""
        return len(set(ids)) == len(ids) and all(known.keys().isdisjoint(ids) for known in self._all())

    def find(self, name: str) -> list[Taken]:
        """Who brought records of this id."""
        found = [known[name] for known in self._all() if name in known]
        return found + self._several.get(name, [])

    def add(self, taken: Taken, *, new: bool) -> None:
        """Remember the ids of a request; `new`: none of them is known."""
        for name in () if new else taken.ids:
            if self.find(name):
                self._several.setdefault(name, []).append(taken)
        names = dict.fromkeys(taken.ids, taken)
        self.fresh.update(names if new else {name: one for name, one in names.items() if not self.find(name)})

    def forget(self, name: str, taken: Taken) -> None:
        """Take back what turned out to be in the past."""
        if self.fresh.get(name) is taken:
            del self.fresh[name]
        self._several[name] = [one for one in self._several.get(name, ()) if one is not taken]

    def write(self) -> None:
        """What is fresh goes to the disk."""
        self._writing, self.fresh = self.fresh, {}

    def wrote(self, number: int) -> None:
        """It is there, in the journal file of this number."""
        self._durable.setdefault(number, {}).update(self._writing)
        self._writing = {}

    def fail(self) -> None:
        """Forget what is not durable."""
        self.fresh, self._writing = {}, {}
        self._several = {name: [one for one in takens if one.ticket is None] for name, takens in self._several.items()}

    def fold(self, upto: int, gone: Collection[Taken]) -> None:
        """Forget what is folded: the files up to this number, which held these requests."""
        self._durable = {number: names for number, names in self._durable.items() if number > upto}
        if self._several:
            out = {id(one) for one in gone}
            self._several = {name: kept for name, takens in self._several.items()
                             if (kept := [one for one in takens if id(one) not in out])}

    def _all(self) -> Iterator[dict[str, Taken]]:
        yield self.fresh
        yield self._writing
        yield from self._durable.values()
