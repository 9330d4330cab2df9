"""Posted records through the cleaner, each judged by itself: what stands around it changes nothing.

At the entrance a request is cleaned alone; in the fold many are cleaned together. What becomes of a record, and how it
is called, is the same: its clocks are those of its own request, and its fields are read by their own names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import Refusal
from shopkeeper.events import mapping as mappings
from shopkeeper.events import values
from shopkeeper.events.agents import NO_RANGES, Ranges
from shopkeeper.events.cleaning import REJECTED, STAGED, Cleaned, Cleaner, Entrance, TableCleaner
from shopkeeper.events.items import in_parts
from shopkeeper.events.pseudonyms import VAULT, Keys
from shopkeeper.events.raw import Broken, RawBatch
from shopkeeper.events.readers.base import gather
from shopkeeper.events.readers.jsonlines import JsonLines
from shopkeeper.events.readers.text import bad_encoding
from shopkeeper.events.rules import Draft
from shopkeeper.events.schema import MAPPABLE, TABLES, TIME, Role
from shopkeeper.words import Sentence, say

EVENT_NAMES = frozenset({*MAPPABLE, "items"})  # what a field of a posted event can be
RECORD_BYTES = 1 << 20                         # a longer record is quarantined as `too_large`
NO_TIME = np.iinfo(np.int64).min
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Misfit:
    """What does not fit the dialect of a posted record.

    Attributes:
        field: Of the sender.
        detail: For people: a sentence as JSON text.
        event_id: The sender's name for the record, where it says one.
    """

    field: str
    detail: str
    event_id: str | None = None


NO_MISFITS: Mapping[int, Misfit] = MappingProxyType({})


@dataclass
class Requests:
    """The records of one or several requests, in the order in which they came.

    Attributes:
        texts: (n,) records as they were written.
        request: (n,) the ordinal of the request that brought each.
        place: (n,) its place there, from 1.
        number: (n,) its own number, growing with receipt.
        received_at, sent_at: (n,) the clocks of its request, microseconds UTC; `NO_TIME` where it does not say.
        unfit: Index of a record -> what does not fit its dialect.
    """

    texts: list[bytes]
    request: Numbers
    place: Numbers
    number: Numbers
    received_at: Numbers
    sent_at: Numbers
    unfit: Mapping[int, Misfit] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Sequence[bytes], received_at: int, sent_at: int | None, *, request: int = 0,
           number: int = 0, unfit: Mapping[int, Misfit] = NO_MISFITS) -> Requests:
        """One request whose first record has this number."""
        n = len(texts)
        sent = NO_TIME if sent_at is None else sent_at
        return cls(list(texts), np.full(n, request), np.arange(1, n + 1), np.arange(number, number + n),
                   np.full(n, received_at), np.full(n, sent), unfit)

    @classmethod
    def joined(cls, parts: Sequence[Requests]) -> Requests:
        """Several requests, one after the other."""
        one = parts[0]
        if len(parts) == 1:
            return one
        starts = accumulate((len(part.texts) for part in parts), initial=0)
        unfit = {start + place: one for start, part in zip(starts, parts, strict=False)
                 for place, one in part.unfit.items()}

        def of(name: str) -> Numbers:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls([text for part in parts for text in part.texts], of("request"), of("place"), of("number"),
                   of("received_at"), of("sent_at"), unfit)


@dataclass(frozen=True)
class Judged:
    """What the cleaner made of records.

    Attributes:
        rows: Accepted rows: of events (`STAGED` and `source_number`, the request), or of another table.
        row_record: (rows,) which record (index) each row came from.
        rejected: Quarantined records (`REJECTED`), each as it was written.
        rejected_record: (rejected,) which record each is.
        identities: Pseudonyms and what they stand for.
        people: Index of a record -> its raw customer and anonymous ids; filled where it was asked for.
    """

    rows: pa.Table
    row_record: Numbers
    rejected: pa.Table
    rejected_record: Numbers
    identities: pa.Table
    people: Mapping[int, tuple[str | None, str | None]]

    def said_by(self, sources: Sequence[str]) -> Judged:
        """The same, where the records came from several sources: (n,) whom each record came from."""
        files = pa.array([sources[record] for record in self.rejected_record.tolist()], pa.string())
        place = self.rejected.column_names.index("file")
        return replace(self, rejected=self.rejected.set_column(place, "file", files))


class _Reader(JsonLines):
    """Reads records of several requests; how many different fields there may be is a limit of each request."""

    def begin(self) -> None:
        """A new request begins."""
        self._names = {}


class _Arrivals(Cleaner):
    """The cleaner of posted events: the clocks of a request stand where a record does not say them."""

    def __init__(self, source: str, entrance: Entrance, requests: Requests) -> None:
        super().__init__(mappings.Plan(mappings.Mapping(source=source), {}, ()), entrance, source, 0, originals=False)
        self.time_rule.slashed, self.number_rule.alone = False, True
        self.requests, self._which = requests, np.zeros(0, np.int64)

    def clean(self, batch: RawBatch) -> Cleaned:
        self._which, self.next_record = batch.line, 0
        return super().clean(batch)

    def _correct_clock(self, draft: Draft) -> None:
        sent = self.requests.sent_at[self._which]
        came = pa.array(self.requests.received_at[self._which]).cast(TIME)
        draft.columns["received_at"] = came  # ours to say: who posts could else move the shop's clock
        draft.unreadable.pop("received_at", None)
        draft.columns["sent_at"] = pc.coalesce(draft.get("sent_at"), pa.array(sent, mask=sent == NO_TIME).cast(TIME))
        super()._correct_clock(draft)


def judge_events(requests: Requests, source: str, kinds: Mapping[str, Role], keys: Keys, *,
                 people: bool = False, ranges: Ranges = NO_RANGES) -> Judged:
    """Clean posted events of one source.

    Args:
        requests: Their records.
        source: Who brought them.
        kinds: Declared kinds and their roles.
        keys: The shop's keys.
        people: Whether the raw identities are wanted, too.
        ranges: Networks of crawlers.
    """
    cleaner = _Arrivals(source, Entrance(kinds, keys, ranges), requests)
    parts: list[tuple[Cleaned, Numbers]] = []
    raw: dict[int, tuple[str | None, str | None]] = {}
    for batch in _batches(requests, EVENT_NAMES):
        fitted = mappings.plan(cleaner.plan.mapping, batch.table.column_names, source, strict="nothing")
        for part in in_parts(batch, fitted.columns.get("items")):
            cleaner.plan = fitted
            parts += _carefully(cleaner, part, source)
        if people:
            raw.update(_people(batch, fitted))
    return _together(parts, requests, STAGED, source, raw)


def judge_rows(requests: Requests, table: str, source: str, keys: Keys) -> Judged:
    """Clean posted rows of one of the other tables."""
    cleaner = TableCleaner(mappings.Plan(mappings.Mapping(), {}, ()), table, keys, source)
    cleaner.time_rule.slashed, cleaner.number_rule.alone = False, True
    parts: list[tuple[Cleaned, Numbers]] = []
    for batch in _batches(requests, frozenset(TABLES[table].names) - {"props"}):
        cleaner.plan = mappings.table_plan(cleaner.plan.mapping, table, batch.table.column_names, source,
                                           strict="nothing")
        parts += _carefully(cleaner, batch, source)
    return _together(parts, requests, TABLES[table], source, {})


def _batches(requests: Requests, names: frozenset[str]) -> Iterator[RawBatch]:
    """The records as batches, our columns under our names; `line` is the index of a record."""
    for batch in gather(_parts(requests)):
        yield RawBatch(_spelled(batch.table, names), batch.line, batch.broken)


def _parts(requests: Requests) -> Iterator[RawBatch]:
    reader, before = _Reader(), None
    for index, (text, request) in enumerate(zip(requests.texts, requests.request.tolist(), strict=True)):
        if request != before:
            reader.begin()
            before = request
        try:
            record = text.decode("utf-8")
        except UnicodeDecodeError:
            reader.reject(bad_encoding(index, text.decode("utf-8", "backslashreplace")))
            continue
        if len(text) > RECORD_BYTES:
            detail = say("the record is longer than {limit:,} bytes.", limit=RECORD_BYTES)
            reader.reject(Broken(index, "too_large", detail, record))
            continue
        if index in requests.unfit:
            one = requests.unfit[index]
            reader.reject(Broken(index, "dialect", Sentence.from_dict(json.loads(one.detail)), record,
                                 field=one.field))
            continue
        yield from reader.add(record, index)
        if index % 4096 == 4095:
            yield from reader.flush()
    yield from reader.flush()


def _spelled(table: pa.Table, ours_all: frozenset[str]) -> pa.Table:
    """The table with our columns under our names, however each record spells them.

    Of two spellings in one record, ours counts, then the first in the alphabet; the other cell stays under its name.
    """
    odd: dict[str, list[str]] = defaultdict(list)
    for name in table.column_names:
        ours = mappings.spelling(name)
        if ours in ours_all and ours != name:
            odd[ours].append(name)
    if not odd:
        return table
    columns = {name: values.flat(table.column(name)) for name in table.column_names}
    for ours, names in odd.items():
        taken = columns.pop(ours, pa.nulls(table.num_rows, pa.string()))
        for name in sorted(names):
            moved = pc.and_(pc.is_null(taken), pc.is_valid(columns[name]))
            taken, rest = pc.coalesce(taken, columns[name]), pc.if_else(moved, None, columns[name])
            columns[name] = rest
            if rest.null_count == len(rest):
                del columns[name]
        columns = {ours: taken, **columns}  # first, so that it is the one that is mapped
    return pa.table(columns)


def _carefully(cleaner: Cleaner | TableCleaner, batch: RawBatch, source: str) -> list[tuple[Cleaned, Numbers]]:
    """Clean a batch; a record at which the cleaner fails is set aside, and keeps no other from being stored."""
    if batch.table.num_rows == 0:
        return [(Cleaned.of_broken(batch, source), batch.line)]
    try:
        return [(cleaner.clean(batch), batch.line)]
    except (Refusal, ValueError, ArithmeticError, pa.ArrowException) as wrong:
        n = batch.table.num_rows
        if n == 1:
            detail = say("the record cannot be read: {error}.", error=str(wrong).splitlines()[0][:200])
            one = Broken(int(batch.line[0]), "unreadable", detail, "")
            return [(Cleaned.of_broken(RawBatch(batch.table.slice(0, 0), batch.line[:0], [one, *batch.broken]), source),
                     batch.line)]
        half = n // 2
        first = RawBatch(batch.table.slice(0, half), batch.line[:half], batch.broken)
        second = RawBatch(batch.table.slice(half), batch.line[half:], [])
        return _carefully(cleaner, first, source) + _carefully(cleaner, second, source)


def _people(batch: RawBatch, plan: mappings.Plan) -> Iterator[tuple[int, tuple[str | None, str | None]]]:
    n = batch.table.num_rows
    customer, anonymous = (values.text(batch.table.column(plan.columns[name])).to_pylist() if name in plan.columns
                           else [None] * n for name in ("customer_id", "anonymous_id"))
    return zip(batch.line.tolist(), zip(customer, anonymous, strict=True), strict=True)


def _together(parts: list[tuple[Cleaned, Numbers]], requests: Requests, schema: pa.Schema, source: str,
              people: Mapping[int, tuple[str | None, str | None]]) -> Judged:
    """The parts as one, each record under its own number and as it was written."""
    rows, which = [schema.empty_table()], [np.zeros(0, np.int64)]
    for cleaned, line in parts:
        table = cleaned.events
        if table.num_rows == 0:
            continue
        if "record" in schema.names:
            index = np.asarray(table.column("source_line").to_numpy(), np.int64)
        else:  # rows of a table: all that were not rejected, in their order
            index = line[~np.isin(line, cleaned.rejected.column("source_line").to_numpy())]
        rows.append(table.select(schema.names))
        which.append(index)
    rejected = pa.concat_tables([REJECTED.empty_table(), *(cleaned.rejected for cleaned, _ in parts)])
    bad = np.asarray(rejected.column("source_line").to_numpy(), np.int64)
    index = np.concatenate(which)
    identities = pa.concat_tables([VAULT.empty_table(), *(cleaned.identities for cleaned, _ in parts)])
    return Judged(_numbered(pa.concat_tables(rows), index, requests), index,
                  _as_written(rejected, bad, requests, source), bad, identities, people)


def _numbered(rows: pa.Table, index: Numbers, requests: Requests) -> pa.Table:
    if "record" not in rows.column_names:
        return rows
    own = {"record": pa.array(requests.number[index]), "source_line": pa.array(requests.place[index]),
           "raw": pa.array(requests.texts, pa.binary()).take(pa.array(index))}
    for name, cells in own.items():
        rows = rows.set_column(rows.column_names.index(name), name, cells)
    return rows.append_column("source_number", pa.array(requests.request[index].astype(np.int32)))


def _as_written(rejected: pa.Table, index: Numbers, requests: Requests, source: str) -> pa.Table:
    texts = [requests.texts[one].decode("utf-8", "backslashreplace") for one in index.tolist()]
    own = {"record": pa.array(texts, pa.string()), "source_line": pa.array(requests.place[index]),
           "file": pa.repeat(pa.scalar(source), len(texts))}
    for name, cells in own.items():
        rejected = rejected.set_column(rejected.column_names.index(name), name, cells)
    return rejected
