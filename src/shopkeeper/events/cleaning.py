"""From the rows of a source to rows of the event table, or to quarantine with a reason.

Received = accepted + rejected here, exactly; the warehouse splits what is accepted into stored, duplicate and conflict.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadMapping
from shopkeeper.events import values
from shopkeeper.events.items import expand
from shopkeeper.events.mapping import Plan
from shopkeeper.events.props import props
from shopkeeper.events.pseudonyms import GUEST, VAULT, Keys, prefix_of_ip, pseudonyms
from shopkeeper.events.raw import RawBatch, decode_record, encode_records
from shopkeeper.events.rules import Draft, check, too_long, unprintable
from shopkeeper.events.schema import (
    BY_NAME,
    COLUMNS,
    EVENTS,
    MONEY,
    NEEDS_ORDER,
    SCHEMA_VERSION,
    TABLE_KEYS,
    TABLES,
    TIME,
    Role,
)
from shopkeeper.events.times import TimeRule, times
from shopkeeper.words import say

STAGED = pa.schema([*EVENTS, ("digest", pa.binary(16)), ("own_id", pa.bool_()), ("record", pa.int64()),
                    ("file", pa.string()), ("source_line", pa.int64()), ("raw", pa.binary())])
REJECTED = pa.schema([("file", pa.string()), ("source_line", pa.int64()), ("reason", pa.string()),
                      ("detail", pa.string()), ("field", pa.string()), ("record", pa.string())])
_CLOCKS = frozenset({"client_ts", "sent_at", "received_at"})
_NOT_BODY = _CLOCKS | {"event_id", "source", "schema_version"}


@dataclass(frozen=True)
class Cleaned:
    """One batch, cleaned.

    Attributes:
        events: Accepted rows (`STAGED`); an order with many items is a header and its lines, with one `record` number.
        rejected: Quarantined records (`REJECTED`).
        received: Records that came in: distinct `record` numbers of events + rejected rows.
        unread: Column -> cells that could not be read; they are kept in props.
        derived: Named rule -> rows in which it filled a cell.
        identities: Pseudonyms and what they stand for, for the vault.
    """

    events: pa.Table
    rejected: pa.Table
    received: int
    unread: Counter[str]
    derived: Counter[str]
    identities: pa.Table

    @classmethod
    def of_broken(cls, batch: RawBatch, file: str) -> Cleaned:
        """A batch of which no record could be parsed."""
        rejected = broken_rows(batch, file)
        return cls(STAGED.empty_table(), rejected, rejected.num_rows, Counter(), Counter(), VAULT.empty_table())


def check_kinds(plan: Plan, kinds: Mapping[str, Role]) -> None:
    """Refuse a mapping onto a kind that the shop does not know."""
    constants = plan.mapping.constants
    for kind in [*plan.mapping.kinds.values(), *([constants["event"]] if "event" in constants else [])]:
        if kind not in kinds:
            raise BadMapping(
                say("{kind} is not a declared kind of event.", kind=repr(kind)),
                do=[say("one of: {names}", names=", ".join(sorted(kinds))),
                    say("or declare it in shop.toml under [kinds], with its role: {kind} = 'interest'", kind=kind)],
                why=say("questions work on the roles that kinds play."))


class Cleaner:
    """Cleans the batches of one source, in order.

    Args:
        plan: Which column fills which.
        kinds: Declared kinds and their roles.
        keys: The shop's keys.
        file: Name of the source, for people.
        received_at: When the import began, microseconds UTC; stands where the source says nothing.
        first_record: Number of the first record within the import.
    """

    def __init__(self, plan: Plan, kinds: Mapping[str, Role], keys: Keys, file: str, received_at: int,
                 first_record: int = 0) -> None:
        self.plan, self.kinds, self.keys, self.file = plan, kinds, keys, file
        self.received_at, self.next_record = received_at, first_record
        self.time_rule = TimeRule(plan.mapping.time_zone, plan.mapping.time_format)
        check_kinds(plan, kinds)

    def clean(self, batch: RawBatch) -> Cleaned:
        """Clean one batch."""
        raw = encode_records(batch.table)
        draft, unread, identities = self._draft(batch)
        check(draft)
        derived = _derive(draft, self.plan)
        draft.columns["props"] = props(self._left_over(draft, batch), draft.n)
        record = self.next_record + np.arange(draft.n, dtype=np.int64)
        self.next_record += draft.n + len(batch.broken)
        events = self._events(draft, batch, raw, record, derived)
        bad = draft.reason != ""
        rejected = pa.concat_tables([self._rejected(draft, batch, raw, bad), broken_rows(batch, self.file)])
        return Cleaned(events, rejected, draft.n + len(batch.broken), unread, derived, identities)

    def _left_over(self, draft: Draft, batch: RawBatch) -> dict[str, Any]:
        """Unmapped columns, and the cells of mapped ones that could not be read, by their name in the source."""
        cells = {name: values.flat(batch.table.column(name)) for name in self.plan.unmapped}
        for name, mask in draft.unreadable.items():
            if name != "ts":
                cells[self.plan.columns.get(name, name)] = pc.if_else(
                    pa.array(mask), values.text(self._cells(batch, name)), None)
        return cells

    def _cells(self, batch: RawBatch, name: str) -> Any:
        """The cells that fill one of our columns: the mapped column, or the constant."""
        if name in self.plan.columns:
            return values.flat(batch.table.column(self.plan.columns[name]))
        return pa.repeat(pa.scalar(self.plan.mapping.constants[name]), batch.table.num_rows)

    def _draft(self, batch: RawBatch) -> tuple[Draft, Counter[str], pa.Table]:
        n = batch.table.num_rows
        present = {*self.plan.columns, *self.plan.mapping.constants}
        columns, unreadable = {}, {}
        for name in sorted(present):
            columns[name], bad = self._read(name, self._cells(batch, name))
            if bad.any():
                unreadable[name] = bad
        unread = Counter({name: int(mask.sum()) for name, mask in unreadable.items() if name != "ts"})
        draft = Draft(n, columns, unreadable, self.kinds, lined="line" in columns)
        self._normalise(draft)
        people = ("customer_id", "anonymous_id")
        identities = self._pseudonymise(draft, too_long(draft, people) | unprintable(draft, people))
        return draft, unread, identities

    def _read(self, name: str, cells: Any) -> values.Read:
        kind = BY_NAME[name].type if name in BY_NAME else pa.string()
        if kind == TIME:
            return times(cells, self.time_rule)
        readers: dict[Any, Callable[[Any], values.Read]] = {
            MONEY: values.money, pa.float64(): values.number, pa.int64(): values.whole, pa.int32(): values.whole}
        if kind in readers:
            return readers[kind](cells)
        return values.text(cells), values.nothing(len(cells))

    def _normalise(self, draft: Draft) -> None:
        """Kinds by the mapping, codes in one case, the clock corrected, guests named."""
        columns, mapping = draft.columns, self.plan.mapping
        if mapping.kinds and "event" in columns:
            theirs, ours = list(mapping.kinds), list(mapping.kinds.values())
            place = pc.index_in(columns["event"], pa.array(theirs))
            columns["event"] = pc.coalesce(pa.array(ours).take(place), columns["event"])
        if "currency" in columns:
            columns["currency"] = pc.utf8_upper(columns["currency"])
        if mapping.currency is not None:
            columns["currency"] = pc.coalesce(draft.get("currency"), pa.scalar(mapping.currency))
        if "ip_prefix" in columns:
            cells = columns["ip_prefix"]
            filled = values.mask_of(pc.is_valid(cells))
            columns["ip_prefix"] = values.by_unique(cells, filled, prefix_of_ip, pa.string())
        if "client_ts" in columns:
            skew = pc.subtract(pc.cast(draft.get("received_at"), pa.int64()), pc.cast(draft.get("sent_at"), pa.int64()))
            client = pc.cast(columns["client_ts"], pa.int64())
            columns["ts"] = pc.coalesce(draft.get("ts"), pc.cast(pc.add(client, pc.fill_null(skew, 0)), TIME))
        received = pa.scalar(self.received_at, pa.int64()).cast(TIME)
        columns["received_at"] = pc.coalesce(draft.get("received_at"), received)

    def _pseudonymise(self, draft: Draft, skip: values.Mask) -> pa.Table:
        """Raw identities out, pseudonyms in; a guest's order gets an anonymous id of its own."""
        pairs = []
        for name in ("customer_id", "anonymous_id"):
            if name in draft.columns:
                cells = pc.if_else(pa.array(skip), None, draft.columns[name])
                coded, seen = pseudonyms(cells, name, self.keys.pseudonym)
                draft.columns[name] = pc.coalesce(coded, draft.columns[name])
                pairs.append(seen)
        self._make_orders(draft)
        if "order_id" in draft.columns:
            nobody = pa.array(~draft.has("customer_id") & ~draft.has("anonymous_id"))
            guest = pc.binary_join_element_wise(GUEST, draft.columns["order_id"], "")
            draft.columns["anonymous_id"] = pc.if_else(nobody, guest, draft.get("anonymous_id"))
        return pa.concat_tables(pairs) if pairs else VAULT.empty_table()

    def _make_orders(self, draft: Draft) -> None:
        """By the rule of the mapping, the lines of one person in one minute are one order."""
        if self.plan.mapping.order_rule is None or not draft.columns.keys() & {"customer_id", "anonymous_id"}:
            return
        person = pc.coalesce(draft.get("customer_id"), draft.get("anonymous_id"))
        minute = pc.strftime(draft.get("ts"), "%Y%m%d%H%M")
        made = pc.binary_join_element_wise(person, minute, "@")
        ordered = pa.array(draft.kind_in(NEEDS_ORDER))
        draft.columns["order_id"] = pc.coalesce(draft.get("order_id"), pc.if_else(ordered, made, None))

    def _events(self, draft: Draft, batch: RawBatch, raw: Any, record: Any, derived: Counter[str]) -> pa.Table:
        """The accepted rows, item lines spread out, with their digests."""
        digest = content_digest(raw, self.plan.mapping.source, self.keys.pseudonym)
        own = draft.has("event_id")
        columns = {column.name: draft.get(column.name) for column in COLUMNS}
        columns["event_id"] = pc.coalesce(columns["event_id"], _hex(digest))
        columns["line"] = pc.cast(pc.fill_null(columns["line"], 0), pa.int32())
        columns["source"] = pa.repeat(pa.scalar(self.plan.mapping.source), draft.n)
        columns["schema_version"] = pa.repeat(pa.scalar(SCHEMA_VERSION), draft.n)
        table = pa.table(columns, schema=EVENTS)
        spread, parent = expand(table, draft, derived)
        keep = np.flatnonzero(draft.reason[parent] == "")
        spread, parent = spread.take(pa.array(keep)), parent[keep]
        body = digest.take(pa.array(parent))
        if own.any():
            mine = own[parent]
            body = pc.if_else(pa.array(mine), body_digest(spread), body)
        return pa.table({
            **{name: spread.column(name) for name in EVENTS.names}, "digest": body, "own_id": pa.array(own[parent]),
            "record": pa.array(record[parent]), "file": pa.repeat(pa.scalar(self.file), len(parent)),
            "source_line": pa.array(np.asarray(batch.line)[parent]), "raw": values.flat(raw).take(pa.array(parent)),
        }, schema=STAGED)

    def _rejected(self, draft: Draft, batch: RawBatch, raw: Any, bad: values.Mask) -> pa.Table:
        rows = np.flatnonzero(bad)
        originals = [original(cell) for cell in values.flat(raw).take(pa.array(rows)).to_pylist()]
        return pa.table({
            "file": [self.file] * len(rows), "source_line": np.asarray(batch.line)[rows],
            "reason": draft.reason[rows].tolist(), "detail": [None] * len(rows),
            "field": draft.where[rows].tolist(), "record": originals,
        }, schema=REJECTED)


def broken_rows(batch: RawBatch, file: str) -> pa.Table:
    """What a reader could not even parse, as quarantine rows."""
    return pa.Table.from_pylist([
        {"file": file, "source_line": one.line, "reason": one.reason, "field": None,
         "detail": json.dumps(one.detail.to_dict(), ensure_ascii=False), "record": one.record}
        for one in batch.broken], schema=REJECTED)


def original(raw: bytes) -> str:
    """The original record of an encoded row, as JSON text."""
    return json.dumps(decode_record(raw), ensure_ascii=False)


def content_digest(raw: Any, source: str, key: bytes) -> Any:
    """(n,) 16-byte keyed digests of the records as they came; the file's name is no part of them."""
    prefix, new = source.encode("utf-8") + b"\0", hashlib.blake2b
    return pa.array([new(prefix + cell, digest_size=16, key=key, person=b"record").digest()
                     for cell in values.flat(raw).to_pylist()], pa.binary(16))


def body_digest(table: pa.Table) -> Any:
    """(n,) 16-byte digests of canonical rows without the clocks: the same event sent again has the same body."""
    n = table.num_rows
    names = [name for name in table.column_names if name not in _NOT_BODY and table.column(name).null_count < n]
    encoded = values.flat(encode_records(table.select(names))).to_pylist()
    return pa.array([hashlib.blake2b(cell or b"", digest_size=16).digest() for cell in encoded], pa.binary(16))


def _hex(digest: Any) -> Any:
    return pa.array([cell.hex() for cell in digest.to_pylist()], pa.string())


def _derive(draft: Draft, plan: Plan) -> Counter[str]:
    """Cells that follow from others by a named rule; each rule counts what it filled."""
    counts: Counter[str] = Counter()
    sold = draft.kind_in(frozenset({"purchase", "refund"})) & ~draft.has("items")
    if "value" in draft.columns and "quantity" in draft.columns:
        quantity, worth = draft.columns["quantity"], pc.cast(draft.columns["value"], pa.float64())
        fill = sold & draft.has("value") & draft.has("item_id") & ~draft.has("price")
        fill &= values.mask_of(pc.greater(quantity, 0))
        each = pc.cast(pc.round(pc.divide(worth, pc.if_else(pa.array(fill), quantity, None)), 4), MONEY, safe=False)
        draft.columns["price"], counts["price_from_value"] = pc.coalesce(draft.get("price"), each), int(fill.sum())
    if "price" in draft.columns and "quantity" in draft.columns and not draft.lined:
        fill = sold & draft.has("price") & draft.has("quantity") & draft.has("item_id") & ~draft.has("value")
        total = pc.multiply(pc.cast(draft.columns["price"], pa.float64()), draft.columns["quantity"])
        total = pc.cast(pc.round(pc.if_else(pa.array(fill), total, None), 4), MONEY, safe=False)
        draft.columns["value"], counts["value_from_price"] = pc.coalesce(draft.get("value"), total), int(fill.sum())
    return +counts


def clean_table(batch: RawBatch, plan: Plan, table: str, keys: Keys, file: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    """One batch of `items`, `customers`, `stock` or `campaigns`: its rows, its rejects, its identities."""
    schema, key, rule = TABLES[table], TABLE_KEYS[table], TimeRule(plan.mapping.time_zone, plan.mapping.time_format)
    n, unreadable, columns = batch.table.num_rows, {}, {}
    readers: dict[Any, Callable[[Any], values.Read]] = {
        MONEY: values.money, pa.float64(): values.number, TIME: lambda cells: times(cells, rule)}
    for name in schema.names:
        if name not in plan.columns:
            columns[name] = pa.nulls(n, schema.field(name).type)
            continue
        cells = values.flat(batch.table.column(plan.columns[name]))
        reader = readers.get(schema.field(name).type)
        columns[name], bad = reader(cells) if reader else (values.text(cells), values.nothing(n))
        if bad.any():
            unreadable[plan.columns[name]] = pc.if_else(pa.array(bad), values.text(cells), None)
    left_over = {name: values.flat(batch.table.column(name)) for name in plan.unmapped}
    columns["props"] = props({**left_over, **unreadable}, n)
    identities = VAULT.empty_table()
    missing = ~values.mask_of(pc.is_valid(columns[key]))
    if key == "customer_id":
        columns[key], identities = pseudonyms(columns[key], key, keys.pseudonym)
    rows = np.flatnonzero(missing)
    records = [original(cell) for cell in values.flat(encode_records(batch.table)).take(pa.array(rows)).to_pylist()]
    rejected = pa.table({"file": [file] * len(rows), "source_line": np.asarray(batch.line)[rows],
                         "reason": ["missing_key"] * len(rows), "detail": [None] * len(rows),
                         "field": [key] * len(rows), "record": records}, schema=REJECTED)
    good = pa.table(columns, schema=schema).filter(pa.array(~missing))
    return good, pa.concat_tables([rejected, broken_rows(batch, file)]), identities
