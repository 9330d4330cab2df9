"""Quarantined records go through the entrance again, after what was wrong with them was mended.

What is stored now moves, in the books of its import, from quarantined to stored: received stays what it was, and each
record is counted once. What was posted together is told apart by the entries of its day and source. One commit for each
import; a crash between two leaves every record either here or there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shopkeeper.events import dialects, readers
from shopkeeper.events import mapping as mappings
from shopkeeper.events.arrivals import RECORD_BYTES
from shopkeeper.events.cleaning import Cleaned, Cleaner, Entrance
from shopkeeper.events.dialects.reading import Reading, mapping_of
from shopkeeper.events.items import in_parts
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.rules import Draft
from shopkeeper.events.schema import TIME
from shopkeeper.warehouse.compaction import NAME
from shopkeeper.warehouse.digests import CONFLICT, DUPLICATE
from shopkeeper.warehouse.index import EventIndex, complete, event_keys
from shopkeeper.warehouse.ingest import Vault
from shopkeeper.warehouse.manifest import Import, Manifest
from shopkeeper.warehouse.runs import damaged
from shopkeeper.warehouse.segments import Intake
from shopkeeper.warehouse.store import Store, Writer, durable_parquet
from shopkeeper.warehouse.tables import QUARANTINE
from shopkeeper.warehouse.traffic import ranges
from shopkeeper.warehouse.undo import owner
from shopkeeper.words import say

POSTED = "posted-"  # how the groups of what was posted, or came from a broker, begin; the day follows
_BATCH = 1 << 14
Place = tuple[str, int]  # a file of the quarantine, and a row there


@dataclass(frozen=True)
class Replayed:
    """What became of records that went through the entrance again: looked = stored + duplicate + rejected.

    Attributes:
        looked: Records that were tried.
        stored, duplicate: What became of those that were accepted.
        reasons: Reason -> records that stay in quarantine, for what is wrong with them now.
        left: Records that cannot be tried: they could not be read at all, or belong to another table.
        lines: Rows of the event table that were stored.
    """

    looked: int = 0
    stored: int = 0
    duplicate: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    lines: int = 0

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(self.looked + other.looked, self.stored + other.stored, self.duplicate + other.duplicate,
                        dict(Counter(self.reasons) + Counter(other.reasons)), self.left + other.left,
                        self.lines + other.lines)


@dataclass(frozen=True)
class Again:
    """How to read them now.

    Attributes:
        entrance: What the shop knows there.
        reason: Only records with this reason; None for all.
        mapping: What is said for them; columns that were mapped before stay mapped.
    """

    entrance: Entrance
    reason: str | None = None
    mapping: mappings.Mapping = field(default_factory=mappings.Mapping)


@dataclass
class _Record:
    """One record of the quarantine on its way."""

    place: Place
    row: dict[str, Any]
    data: dict[str, Any]
    entry: str                    # id of the import whose account it is in
    outcomes: list[str] = field(default_factory=list)  # what the cleaner said; one, but for what it splits
    lines: int = 0
    wrong: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, int, int]] = field(default_factory=list)  # of a dry run: event, line, what the index keeps


def replay(store: Store, again: Again, *, dry_run: bool = False, wait: float = 0.0) -> Replayed:
    """Let quarantined records of events through the entrance again.

    Args:
        store: The shop's folder.
        again: How to read them.
        dry_run: Clean them and compare them with the past; nothing is written.
        wait: Seconds to wait for another writer.

    Raises:
        ShopBusy: Another process writes. BadMapping: The mapping makes no sense.
        Damaged: A dry run finds the index of events damaged.
        OSError: The disk is full, or gone. Imports that were not committed yet are as they were.
    """
    if dry_run:
        manifest = store.manifest()
        groups, left = _groups(store, manifest, again.reason)
        past = _Past(store, manifest, again.entrance.keys.naming)
        return sum((_Replay(None, again, records).looked(store, manifest, past) for records in groups.values()),
                   Replayed(left=left))
    with store.write("replay", wait) as writer:
        groups, left = _groups(store, writer.manifest, again.reason)
        done = Replayed(left=left)
        for group in groups:
            # the commit before may have written their files anew
            records = _groups(store, writer.manifest, again.reason, only=group)[0].get(group, [])
            done += _Replay(writer, again, records).run()
        return done


def _groups(store: Store, manifest: Manifest, reason: str | None, *,
            only: str | None = None) -> tuple[dict[str, list[_Record]], int]:
    """Records that can be tried, by import, and how many others there are."""
    groups: dict[str, list[_Record]] = {}
    books = _Books(manifest)
    left = 0
    for place, row in _rows(store, manifest):
        if reason is not None and row["reason"] != reason:
            continue
        data = _object(row["record"])
        group = books.group(row)
        if only is not None and group != only:
            continue
        entry = books.of(group, row) if data is not None else None
        if data is None or entry is None:
            left += 1
            continue
        groups.setdefault(group, []).append(_Record(place, row, data, entry))
    return groups, left


def _rows(store: Store, manifest: Manifest) -> Iterator[tuple[Place, dict[str, Any]]]:
    for file in manifest.quarantine:
        number = 0
        with pq.ParquetFile(store.path / file) as source:
            for batch in source.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    yield (file, number), row
                    number += 1


def _object(text: str | None) -> dict[str, Any] | None:
    """A record as it came, where it is one."""
    try:
        data = json.loads(text or "", parse_float=_as_written)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data else None


def _as_written(number: str) -> msgspec.Raw:
    """A number with a fraction as it was written: what has no id is named after it."""
    return msgspec.Raw(number.encode())


class _Past:
    """What a dry run compares with: the index as it is, and what would be stored before.

    Raises:
        Damaged: The index is, or it is missing; only a writer makes it again.
    """

    def __init__(self, store: Store, manifest: Manifest, key: bytes) -> None:
        if not complete(manifest):
            raise damaged("index")
        self._index, self._key = EventIndex(store.path, manifest.index, key), key
        self._seen: dict[tuple[str, int], int] = {}

    def judge(self, records: Sequence[_Record]) -> None:
        """Say of accepted records whether they are new."""
        found = self._find([row for one in records for row in one.rows])
        for one in records:
            known = [(hit, row[2]) for row in one.rows if (hit := next(found)) is not None]
            known += [(self._seen[row[:2]], row[2]) for row in one.rows if row[:2] in self._seen]
            if known:
                one.outcomes = ["duplicate" if all(hit == own for hit, own in known) else "conflict"]
                continue
            one.outcomes = ["stored"]
            self._seen |= {row[:2]: row[2] for row in one.rows}

    def _find(self, rows: Sequence[tuple[str, int, int]]) -> Iterator[int | None]:
        """What the index keeps of each row that it knows."""
        lines = np.array([line for _, line, _ in rows], np.int32)
        names = pa.array([name for name, _, _ in rows], pa.string())
        known, body = self._index.find(event_keys(names, lines, self._key))
        return iter([int(hit) if there else None for there, hit in zip(known.tolist(), body.tolist(), strict=True)])


class _Books:
    """Finds the entry of the account that a quarantined record is counted in."""

    def __init__(self, manifest: Manifest) -> None:
        self.entries = {one.id: one for one in manifest.imports}
        self.open = {one.id: Counter(one.reasons) for one in manifest.imports}

    def group(self, row: Mapping[str, Any]) -> str:
        """With what it is tried: its import, or what was posted that day."""
        name = owner(row["import_id"])
        return name if name in self.entries else f"{POSTED}{row['at'].date()}"

    def of(self, group: str, row: Mapping[str, Any]) -> str | None:
        """Its id; None where it belongs to another table."""
        if not group.startswith(POSTED):
            return group if self.entries[group].table == "events" else None
        day = group.removeprefix(POSTED)
        mine = [one for one in self.entries.values() if one.table == "events" and one.sources == (row["file"],)
                and self.open[one.id][row["reason"]] > 0]
        if not mine:
            return None
        one = max(mine, key=lambda entry: (entry.id.startswith(day), entry.id))
        self.open[one.id][row["reason"]] -= 1
        return one.id


class _Replay:
    """The records of one import, or all that was posted."""

    def __init__(self, writer: Writer | None, again: Again, records: list[_Record]) -> None:
        self.writer, self.again, self.records = writer, again, records
        self.accepted: list[_Record] = []  # in the order in which they were added
        self.base = 0                      # the number of the next record
        self.repeats = Counter[str]()      # of a source, in a dry run: name after the content -> how often

    def looked(self, store: Store, manifest: Manifest, past: _Past) -> Replayed:
        """What would become of them."""
        self._clean(store, manifest, None, None)
        past.judge(self.accepted)
        return self._counted()

    def run(self) -> Replayed:
        """Clean, compare, move in the books, commit."""
        writer = self.writer
        if writer is None or not self.records:
            return Replayed()
        at = _came(self.records[0])
        name = f"{_Books(writer.manifest).group(self.records[0].row)}-r{writer.manifest.version}"
        intake = writer.intake(name, self.again.entrance.keys.naming, at)
        vault = Vault(writer.store, name, self.again.entrance.keys.vault)
        self._clean(writer.store, writer.manifest, intake, vault)
        settled = intake.settle(lambda raw: raw.decode(), lambda numbers: {
            number: self.accepted[number].row["record"] for number in numbers.tolist()})
        for record, flag in zip(self.accepted, settled.flags.tolist(), strict=True):
            record.outcomes = ["conflict" if flag & CONFLICT else "duplicate" if flag & DUPLICATE else "stored"]
        manifest = settled.manifest(writer.manifest)
        moved = [one for one in self.records if one.outcomes and one.outcomes != [one.row["reason"]]]
        if not moved and settled.quarantine_file is None:
            return self._counted()
        manifest = _without(writer, manifest, [one.place for one in (*moved, *self._same_conflicts())])
        manifest = replace(manifest, vault=(*manifest.vault, *vault.close()), imports=_booked(manifest, moved))
        writer.commit(manifest)
        return self._counted()

    def _same_conflicts(self) -> list[_Record]:
        """Conflicts that stay conflicts: they were set aside anew, and their old rows go."""
        return [one for one in self.accepted if one.outcomes == ["conflict"] == [one.row["reason"]]]

    def _clean(self, store: Store, manifest: Manifest, intake: Intake | None, vault: Vault | None) -> None:
        by_file: dict[tuple[str, str, bool], list[_Record]] = {}
        for record in self.records:
            raw = record.row["reason"] == "dialect"  # kept as the source had it, and translated again
            by_file.setdefault((record.entry, record.row["file"], raw), []).append(record)
        entries = {one.id: one for one in manifest.imports}
        known = ranges(store.path)
        for (entry, file, raw), records in by_file.items():
            records = _of_a_size(records)
            if not records:
                continue
            if intake is not None:
                intake.next_source()
            self.repeats.clear()
            cleaner, reading = self._reader(entries[entry], file, raw, records)
            cleaner.ranges = known
            for batch in readers.from_records([one.data for one in records], file):
                self._batch(reading.batch(batch) if reading else batch, cleaner, records, intake, vault)

    def _reader(self, entry: Import, file: str, raw: bool,
                records: Sequence[_Record]) -> tuple[Cleaner, Reading | None]:
        """The cleaner of the records of a file, and the dialect that they are read in."""
        said = overlaid(entry, self.again.mapping)
        spoken = dialects.DIALECTS.get(entry.dialects[0]) if len(entry.dialects) == 1 else None
        posted = entry.id != owner(records[0].row["import_id"])
        if posted:  # the source is who did it
            said = replace(said, source=file)
        if spoken is not None:
            said = mapping_of(spoken, said)
        reading = None
        if raw and spoken is not None and not spoken.fast:
            spoken = spoken.without((*self.again.mapping.columns, *self.again.mapping.constants))
            reading = Reading(replace(spoken, split=None), file)  # what is set aside was split already
        names = {name for one in records for name in one.data}
        before = {ours: theirs for ours, theirs in entry.mapped.items() if theirs in names}
        columns = {**({} if reading else before), **said.columns}
        plan = mappings.Plan(replace(said, columns=columns), {}, ())
        if posted:
            return _Posted(plan, self.again.entrance, file, records), reading
        return Cleaner(plan, self.again.entrance, file, _came(records[0]), originals=False), reading

    def _batch(self, batch: RawBatch, cleaner: Cleaner, records: Sequence[_Record], intake: Intake | None,
               vault: Vault | None) -> None:
        """Clean a batch whose lines are places in `records`, from 1."""
        for one in batch.broken:
            _set_aside(records[one.line - 1], one.reason, one.detail.to_dict(), one.field)
        if not batch.table.num_rows:
            return
        plan = mappings.plan(cleaner.plan.mapping, batch.table.column_names, cleaner.file, strict="nothing")
        for part in in_parts(replace(batch, broken=[]), plan.columns.get("items")):
            cleaner.plan = plan
            cleaned = cleaner.clean(part)
            for row in cleaned.rejected.to_pylist():
                _set_aside(records[row["source_line"] - 1], row["reason"], row["detail"], row["field"])
            self._accepted(cleaned.events, records, intake)
            if vault is not None:
                vault.add(cleaned.identities)
        if intake is not None:
            _reject(intake, records, batch)

    def _accepted(self, events: pa.Table, records: Sequence[_Record], intake: Intake | None) -> None:
        if not events.num_rows:
            return
        number, line = events.column("record").to_numpy(), events.column("source_line").to_numpy()
        distinct, first, which = np.unique(number, return_index=True, return_inverse=True)
        mine = [records[place - 1] for place in line[first].tolist()]
        for one, lines in zip(mine, np.bincount(which).tolist(), strict=True):
            one.outcomes.append("accepted")
            one.lines += lines
        self.accepted += mine
        if intake is None:
            self._note(events, mine, which)
        else:
            places = pa.array([records[place - 1].row["source_line"] for place in line.tolist()], pa.int64())
            events = events.set_column(events.column_names.index("source_line"), "source_line", places)
            events = events.set_column(events.column_names.index("record"), "record", pa.array(self.base + which))
            intake.add(events)
        self.base += len(distinct)

    def _note(self, events: pa.Table, mine: Sequence[_Record], which: Any) -> None:
        """Take down how the index calls the rows of a dry run, and what it keeps of them."""
        columns = [events.column(name).to_pylist() for name in ("event_id", "line", "digest", "own_id")]
        names: dict[int, str] = {}
        for at, name, line, digest, own in zip(which.tolist(), *columns, strict=True):
            if at not in names:
                again = 0 if own else self.repeats[name]
                self.repeats[name] += 1
                names[at] = f"{name}-{again}" if again else name
            mine[at].rows.append((names[at], line or 0, int.from_bytes(digest[:8], "little")))

    def _counted(self) -> Replayed:
        ended = Counter(one.outcomes[0] if one.outcomes else one.row["reason"] for one in self.records)
        stored = ended.pop("stored", 0) + ended.pop("accepted", 0)
        lines = sum(one.lines for one in self.records if one.outcomes in (["stored"], ["accepted"]))
        return Replayed(len(self.records), stored, ended.pop("duplicate", 0), dict(ended.most_common()), 0, lines)


class _Posted(Cleaner):
    """The cleaner of records that were posted: when each came is ours to say, not the sender's."""

    def __init__(self, plan: mappings.Plan, entrance: Entrance, file: str, records: Sequence[_Record]) -> None:
        super().__init__(plan, entrance, file, _came(records[0]), originals=False)
        self.time_rule.slashed, self.number_rule.alone = False, True
        self._at = np.array([_came(one) for one in records], np.int64)  # microseconds UTC
        self._which = np.zeros(0, np.int64)

    def clean(self, batch: RawBatch) -> Cleaned:
        self._which = batch.line - 1
        return super().clean(batch)

    def _correct_clock(self, draft: Draft) -> None:
        draft.columns["received_at"] = pa.array(self._at[self._which]).cast(TIME)
        draft.unreadable.pop("received_at", None)
        super()._correct_clock(draft)


def _came(record: _Record) -> int:
    """When a record came, microseconds UTC."""
    return int(record.row["at"].replace(tzinfo=UTC).timestamp() * 1e6)


def _of_a_size(records: Sequence[_Record]) -> list[_Record]:
    """The records without those that were set aside as too large, and still are."""
    kept = []
    for record in records:
        if record.row["reason"] != "too_large" or len(record.row["record"].encode()) <= RECORD_BYTES:
            kept.append(record)
            continue
        detail = say("the record is longer than {limit:,} bytes.", limit=RECORD_BYTES)
        _set_aside(record, "too_large", detail.to_dict(), None)
    return kept


def overlaid(entry: Import, said: mappings.Mapping) -> mappings.Mapping:
    """What was said of an import when it came, and over it what is said now."""
    before = mappings.Mapping(**json.loads(entry.said)) if entry.said else mappings.Mapping()
    return mappings.Mapping(
        {**before.columns, **said.columns}, {**before.kinds, **said.kinds}, {**before.constants, **said.constants},
        said.time_zone or before.time_zone, said.time_format or before.time_format, said.currency or before.currency,
        said.order_rule or before.order_rule, before.source if said.source == mappings.Mapping.source else said.source)


def _set_aside(record: _Record, reason: str, detail: Any, where: str | None) -> None:
    record.outcomes.append(reason)
    text = json.dumps(detail, ensure_ascii=False) if isinstance(detail, dict) else detail
    record.wrong = {"reason": reason, "detail": text, "field": where}


def _reject(intake: Intake, records: Sequence[_Record], batch: RawBatch) -> None:
    """Set aside anew what has another reason now; what has the same stays where it is."""
    places = sorted({*batch.line.tolist(), *(one.line for one in batch.broken)})
    moved = [one for one in (records[place - 1] for place in places)
             if one.wrong and one.outcomes != [one.row["reason"]]]
    if moved:
        intake.reject(pa.Table.from_pylist([{**one.row, **one.wrong} for one in moved], schema=QUARANTINE))


def _without(writer: Writer, manifest: Manifest, gone: Sequence[Place]) -> Manifest:
    """The quarantine without some rows; files that held them are written anew."""
    by_file: dict[str, list[int]] = {}
    for file, row in gone:
        by_file.setdefault(file, []).append(row)
    writer.store.check_content(manifest, by_file)
    kept: list[str] = []
    for number, file in enumerate(manifest.quarantine):
        if file not in by_file:
            kept.append(file)
            continue
        table = pq.read_table(writer.store.path / file)
        stays = np.ones(table.num_rows, bool)
        stays[by_file[file]] = False
        if stays.any():
            stem = Path(file).stem
            base = NAME + "replay" if stem.startswith(NAME) else owner(stem)
            kept.append(f"quarantine/{base}-q{manifest.version}-{number}.parquet")
            durable_parquet(writer.store.path / kept[-1], table.filter(pa.array(stays)).cast(QUARANTINE))
    return replace(manifest, quarantine=tuple(kept))


def _booked(manifest: Manifest, moved: Sequence[_Record]) -> tuple[Import, ...]:
    """The books with what moved: from quarantined to stored or duplicate, or from one reason to another."""
    entries = {one.id: one for one in manifest.imports}
    for record in moved:
        entry, now = entries[record.entry], record.outcomes[0]
        reasons = Counter(entry.reasons)
        reasons[record.row["reason"]] -= 1
        if now not in ("stored", "duplicate"):
            reasons[now] += 1
        stored = now == "stored"
        entries[record.entry] = replace(
            entry, stored=entry.stored + stored, duplicate=entry.duplicate + (now == "duplicate"),
            quarantined=sum((+reasons).values()), lines=entry.lines + (record.lines if stored else 0),
            reasons=dict((+reasons).most_common()))
    for entry in entries.values():
        if entry.received != entry.stored + entry.duplicate + entry.quarantined:
            raise AssertionError(f"the account of {entry.id} does not add up: {entry}")
    return tuple(entries.values())
