"""What a request says by itself: its records read, each accepted or set aside, before anything is compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
import pyarrow as pa

from shopkeeper.errors import BadInput
from shopkeeper.events import rules
from shopkeeper.events.arrivals import Judged, Requests, judge_events, judge_rows
from shopkeeper.events.entrance import Event, Fast, Plainly, split
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.schema import Role
from shopkeeper.warehouse.digests import by_record
from shopkeeper.warehouse.journal import Arrived
from shopkeeper.words import Sentence, say

_MANY_FIELDS = 3_000  # how many fields of a request make the cleaner look at all of its records: there is a limit


@dataclass(frozen=True)
class Verdict:
    """What became of one record of a request.

    Attributes:
        index: Its place in the request, from 0.
        outcome: `stored`, `duplicate` or `quarantined`.
        reason: A code; None where it was not quarantined.
        detail: The reason for a person.
        event_id: Its name; None where it has none.
    """

    index: int
    outcome: Literal["stored", "duplicate", "quarantined"]
    reason: str | None = None
    detail: Sentence | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class Read:
    """A request, read.

    Attributes:
        received: Its records.
        events: The accepted events, in their order.
        ids: Their names.
        which: Their places in the request, from 0.
        lines: The lines of the rows of each; None where they follow from its items.
        verdicts: The records that were set aside.
        judged: The rows of a table, where it is one that changes.
    """

    received: int
    events: Sequence[Event] = ()
    ids: Sequence[str] = ()
    which: Sequence[int] = ()
    lines: Sequence[Sequence[int]] | None = None
    verdicts: Sequence[Verdict] = ()
    judged: Judged | None = None

    def lines_of(self, at: int) -> Sequence[int]:
        """The lines of the rows of an accepted event."""
        return _lines(self.events[at]) if self.lines is None else self.lines[at]


@dataclass(frozen=True)
class Body:
    """What tells whether two records are the same: the lines of its rows, and the digest of the record."""

    lines: Sequence[int]
    digest: bytes


@dataclass
class Reader:
    """Reads requests: what is surely clean fast, and the rest by the cleaner.

    Args:
        kinds: Declared kinds and their roles.
        keys: The shop's keys.
        most: Records of a request, at most.
    """

    kinds: Mapping[str, Role]
    keys: Keys
    most: int
    fast: Fast = field(init=False)

    def __post_init__(self) -> None:
        self.fast = Fast(self.kinds)

    def read(self, arrived: Arrived) -> Read:
        """Judge the records of a request by themselves.

        Raises:
            BadInput: It is no JSON array, or has too many records.
        """
        if arrived.table != "events":
            texts = self._texts(arrived)
            requests = Requests.of(texts, arrived.received_at, arrived.sent_at)
            judged = judge_rows(requests, arrived.table, arrived.source, self.keys)
            return Read(len(texts), verdicts=_rejections(judged), judged=judged)
        texts = []
        events = None if arrived.unfit else self.fast.request(arrived.records, arrived.received_at, arrived.sent_at)
        if events is None:
            texts = self._texts(arrived)
            events = self.fast.each(texts, arrived.received_at, arrived.sent_at)
            events = [None if place in arrived.unfit else event for place, event in enumerate(events)]
        n = len(events)
        self._count(n)
        if isinstance(events, Plainly):
            return Read(n, events, events.ids, range(n))
        accepted = [event for event in events if event is not None]
        if len(accepted) == n:
            return Read(n, accepted, [event.event_id for event in accepted], range(n))
        return self._cleaned(arrived, texts or split(arrived.records), events)

    def bodies(self, arrived: Arrived, places: Sequence[int]) -> Mapping[int, Body]:
        """Place -> the body of each accepted record among those in these places."""
        texts = split(arrived.records)
        judged = self._judged(arrived, texts, places, people=False)
        table, _ = by_record(judged.rows)
        lines: dict[int, list[int]] = {}
        digests: dict[int, bytes] = {}
        for row, line, digest in zip(judged.row_record.tolist(), table.column("line").to_pylist(),
                                     table.column("digest").to_pylist(), strict=True):
            lines.setdefault(row, []).append(line)
            digests[row] = digest
        return {places[row]: Body(lines[row], digests[row]) for row in lines}

    def _cleaned(self, arrived: Arrived, texts: list[bytes], events: Sequence[Event | None]) -> Read:
        slow = [place for place, event in enumerate(events) if event is None]
        if sum(texts[place].count(b'":') for place in slow) > _MANY_FIELDS:
            slow = list(range(len(texts)))
        judged = self._judged(arrived, texts, slow, people=True)
        found: dict[int, tuple[Sequence[int], Event]] = {
            place: (_lines(event), event) for place, event in enumerate(events) if event is not None}
        for place in slow:
            found.pop(place, None)
        found |= {slow[place]: record for place, record in _accepted(judged).items()}
        order = sorted(found)
        return Read(len(texts), [found[place][1] for place in order], [found[place][1].event_id for place in order],
                    order, [found[place][0] for place in order],
                    [replace(one, index=(place := slow[one.index]), event_id=arrived.unfit[place].event_id
                             if place in arrived.unfit else _name_in(texts[place])) for one in _rejections(judged)])

    def _judged(self, arrived: Arrived, texts: Sequence[bytes], places: Sequence[int], *, people: bool) -> Judged:
        """The records in some places of a request, through the cleaner."""
        unfit = {at: arrived.unfit[place] for at, place in enumerate(places) if place in arrived.unfit}
        requests = Requests.of([texts[place] for place in places], arrived.received_at, arrived.sent_at, unfit=unfit)
        return judge_events(requests, arrived.source, self.kinds, self.keys, people=people)

    def _texts(self, arrived: Arrived) -> list[bytes]:
        texts = split(arrived.records)
        self._count(len(texts))
        return texts

    def _count(self, n: int) -> None:
        if n > self.most:
            raise BadInput(say("the request has {n:,} records; the limit is {limit:,}.", n=n, limit=self.most),
                           do=[say("send fewer records at a time.")], why=say("nothing of it was taken."))


def repeat(place: int, name: str, *, same: bool) -> Verdict:
    """The verdict on a record whose name is known, with the same body or with another."""
    if same:
        return Verdict(place, "duplicate", event_id=name)
    return Verdict(place, "quarantined", "conflict", rules.advice("conflict"), name)


def _lines(event: Event) -> Sequence[int]:
    return (0,) if len(event.items) < 2 else range(len(event.items) + 1)


def _accepted(judged: Judged) -> dict[int, tuple[list[int], Event]]:
    """The accepted records in their order: the lines of each, and the event; repeats without an id are told apart."""
    names = ("event_id", "event", "line", "session_id", "order_id", "request_id", "item_id", "own_id")
    columns = {name: judged.rows.column(name).to_pylist() for name in names}
    columns["ts"] = judged.rows.column("ts").cast(pa.int64()).to_pylist()
    record = judged.row_record.tolist()
    found: dict[int, tuple[list[int], Event]] = {}
    repeats: Counter[str] = Counter()
    for row in sorted(range(len(record)), key=lambda row: (record[row], columns["line"][row])):
        cell = {name: column[row] for name, column in columns.items()}
        if record[row] not in found:
            name = cell["event_id"]
            if not cell["own_id"]:
                repeats[name] += 1
                name = name if repeats[name] == 1 else f"{name}-{repeats[name] - 1}"
            customer, anonymous = judged.people.get(record[row], (None, None))
            found[record[row]] = ([], Event(name, cell["event"], cell["ts"], customer, anonymous, cell["session_id"],
                                            cell["order_id"], cell["request_id"]))
        lines, event = found[record[row]]
        lines.append(cell["line"])
        if cell["item_id"] is not None:
            event.items = (*event.items, cell["item_id"])
    return found


def _name_in(text: bytes) -> str | None:
    """The id of a record that was set aside, where it says one."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("event_id")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _rejections(judged: Judged) -> list[Verdict]:
    rows = judged.rejected.select(["reason", "detail"]).to_pylist()
    return [Verdict(place, "quarantined", row["reason"], _detail(row["reason"], row["detail"]))
            for place, row in zip(judged.rejected_record.tolist(), rows, strict=True)]


def _detail(reason: str, detail: str | None) -> Sentence | None:
    return Sentence.from_dict(json.loads(detail)) if detail else rules.advice(reason)
