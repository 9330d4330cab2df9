"""From the rows of a source to rows of the event table, or to quarantine with a reason.

Received = accepted + rejected here, exactly; the warehouse splits what is accepted into stored, duplicate and conflict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadMapping
from shopkeeper.events import values
from shopkeeper.events.agents import NO_RANGES, Ranges, driven, labels
from shopkeeper.events.bodies import body_hashes, content_hashes, rest_sums
from shopkeeper.events.hashing import Hashes, as_binary, as_hexadecimal
from shopkeeper.events.items import Spread, expand
from shopkeeper.events.mapping import Plan
from shopkeeper.events.personal import covered, masked
from shopkeeper.events.props import props
from shopkeeper.events.pseudonyms import GUEST, VAULT, Keys, prefixes_of_ip, pseudonyms
from shopkeeper.events.raw import RawBatch, decode_record, encode_records
from shopkeeper.events.rules import BACK, UNSIGNED, Draft, check, cut, too_long, unprintable
from shopkeeper.events.schema import (
    BY_NAME,
    COLUMNS,
    CURRENCIES,
    EVENTS,
    MONEY,
    NEEDS_ORDER,
    SCHEMA_VERSION,
    TABLE_KEYS,
    TABLES,
    TIME,
    Role,
)
from shopkeeper.events.separators import NumberRule, written
from shopkeeper.events.times import TimeRule, impossible, times
from shopkeeper.words import say

STAGED = pa.schema([*EVENTS, ("digest", pa.binary(16)), ("own_id", pa.bool_()), ("record", pa.int64()),
                    ("file", pa.string()), ("source_line", pa.int64()), ("raw", pa.binary())])
REJECTED = pa.schema([("file", pa.string()), ("source_line", pa.int64()), ("reason", pa.string()),
                      ("detail", pa.string()), ("field", pa.string()), ("record", pa.string())])
_PEOPLE = ("customer_id", "anonymous_id")
_CARRIED = ("sent_at", "received_at")  # clocks of the way here; what a record says does not depend on them
_LARGEST_LINE = 2**31 - 1


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
        hidden: Kind of personal data -> how many were masked in texts.
    """

    events: pa.Table
    rejected: pa.Table
    received: int
    unread: Counter[str]
    derived: Counter[str]
    identities: pa.Table
    hidden: Counter[str] = dataclass_field(default_factory=Counter)

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


@dataclass(frozen=True)
class Entrance:
    """What a shop knows at its entrance.

    Attributes:
        kinds: Declared kinds and their roles.
        keys: The shop's keys.
        ranges: Networks of crawlers.
    """

    kinds: Mapping[str, Role]
    keys: Keys
    ranges: Ranges = NO_RANGES


class Cleaner:
    """Cleans the batches of one source, in order.

    Args:
        plan: Which column fills which.
        entrance: What the shop knows.
        file: Name of the source, for people.
        received_at: When the import began, microseconds UTC; stands where the source says nothing.
        originals: Whether each accepted row carries its original record in `raw`.
    """

    def __init__(self, plan: Plan, entrance: Entrance, file: str, received_at: int, *, originals: bool = True) -> None:
        self.kinds, self.keys, self.ranges = entrance.kinds, entrance.keys, entrance.ranges
        self.plan, self.file = plan, file
        self.received_at, self.originals, self.next_record = received_at, originals, 0
        self.time_rule, self.number_rule = TimeRule(plan.mapping.time_zone, plan.mapping.time_format), NumberRule()
        check_kinds(plan, self.kinds)

    def clean(self, batch: RawBatch) -> Cleaned:
        """Clean one batch."""
        draft, identities = self._draft(batch)
        check(draft)
        derived = _derive(draft)
        left_over = self._left_over(draft, batch)
        known = covered(left_over, draft.reason == "", draft.hidden)
        draft.columns["props"] = props(known.cells, draft.n, known.instead)
        content = self._content(draft, batch)
        spread = expand(self._rows(draft, content), draft, derived)
        raw = values.flat(encode_records(batch.table)) if self.originals else pa.nulls(draft.n, pa.binary())
        came = {"file": pa.repeat(pa.scalar(self.file), draft.n), "source_line": pa.array(np.asarray(batch.line)),
                "record": pa.array(self.next_record + np.arange(draft.n, dtype=np.int64)), "raw": raw}
        says = {name: cells for name, cells in left_over.items() if name in self.plan.columns.values()} \
            if self.plan.mapping.restated else left_over
        rest = rest_sums(says, self.keys.naming) if says else None
        events, apart = _events(draft, spread, _Bodies(content, rest, self.keys.naming), came)
        events, hidden = masked(events, values.mask_of(apart.is_valid()))
        self.next_record += batch.received
        rejected = pa.concat_tables([_rejected(draft, batch, self.file), broken_rows(batch, self.file)])
        return Cleaned(events, rejected, batch.received, draft.unread, derived, identities,
                       hidden + draft.hidden)

    def _content(self, draft: Draft, batch: RawBatch) -> Hashes | None:
        """(n, 2) what each record is named after if it has no id; None where all have one."""
        if draft.has("event_id").all():
            return None
        carried = {self.plan.columns.get(name) for name in _CARRIED}
        columns = {name: values.flat(batch.table.column(name)) for name in batch.table.column_names
                   if name not in carried}
        columns = columns or {"": pa.nulls(draft.n, pa.string())}  # the record says nothing but clocks of its way here
        return content_hashes(columns, self.plan.mapping.source, self.keys.naming)

    def _left_over(self, draft: Draft, batch: RawBatch) -> dict[str, Any]:
        """Unmapped columns, and the cells of mapped ones that could not be read, by their name in the source."""
        cells = {name: values.flat(batch.table.column(name)) for name in self.plan.unmapped}
        for name, mask in draft.unreadable.items():
            if name != "ts" and name in self.plan.columns:
                cells[self.plan.columns[name]] = pc.if_else(pa.array(mask), values.text(self._cells(batch, name)), None)
        return cells

    def _cells(self, batch: RawBatch, name: str) -> Any:
        """The cells that fill one of our columns: the mapped column, or the constant."""
        if name in self.plan.columns:
            return values.flat(batch.table.column(self.plan.columns[name]))
        return pa.repeat(pa.scalar(self.plan.mapping.constants[name]), batch.table.num_rows)

    def _draft(self, batch: RawBatch) -> tuple[Draft, pa.Table]:
        n = batch.table.num_rows
        present = {*self.plan.columns, *self.plan.mapping.constants}
        columns, unreadable = {}, {}
        for name in sorted(present):
            cells = self._cells(batch, name)
            if cells.null_count == n:
                continue
            columns[name], bad = self._read(name, cells)
            if bad.any():
                unreadable[name] = bad
        draft = Draft(n, columns, unreadable, self.kinds, posted=self.number_rule.alone)
        draft.unread.update({name: int(mask.sum()) for name, mask in unreadable.items() if name != "ts"})
        self._correct_clock(draft)
        draft.columns |= labels(draft.columns, driven(batch.table), self.ranges)
        self._normalise(draft)
        return draft, self._pseudonymise(draft)

    def _read(self, name: str, cells: Any) -> values.Read:
        kind = BY_NAME[name].type if name in BY_NAME else pa.string()
        return _readers(name, self.time_rule, self.number_rule).get(kind, _as_text)(cells)

    def _correct_clock(self, draft: Draft) -> None:
        """`ts` from the sender's clocks where it is not given; a time that cannot be is unreadable."""
        client = draft.get("client_ts")
        draft.said_at = pc.coalesce(draft.get("ts"), client)
        if "client_ts" in draft.columns:
            skew = pc.subtract(pc.cast(draft.get("received_at"), pa.int64()), pc.cast(draft.get("sent_at"), pa.int64()))
            right = pc.cast(pc.add(pc.cast(client, pa.int64()), pc.fill_null(skew, 0)), TIME)
            unread = {name: draft.unreadable.get(name, values.nothing(draft.n)) for name in ("ts", "client_ts")}
            given, bad = draft.has("ts") | unread["ts"], unread["client_ts"] | impossible(right)
            draft.columns["ts"] = pc.coalesce(draft.get("ts"), pc.if_else(pa.array(bad | given), None, right))
            draft.unreadable["ts"] = unread["ts"] | (bad & ~given)
        received = pa.scalar(self.received_at, pa.int64()).cast(TIME)
        draft.columns["received_at"] = pc.coalesce(draft.get("received_at"), received)

    def _normalise(self, draft: Draft) -> None:
        """Kinds by the mapping, codes in one case, addresses cut short."""
        columns, mapping = draft.columns, self.plan.mapping
        if mapping.kinds and "event" in columns:
            theirs, ours = list(mapping.kinds), list(mapping.kinds.values())
            place = pc.index_in(columns["event"], pa.array(theirs))
            columns["event"] = pc.coalesce(pa.array(ours).take(place), columns["event"])
        if mapping.currency is not None:
            columns["currency"] = pc.coalesce(draft.get("currency"), pa.scalar(mapping.currency))
        if "currency" in columns:
            columns["currency"] = _currency(columns["currency"])
        if "items" in columns:
            columns["items"] = pc.if_else(pc.equal(columns["items"], "[]"), None, columns["items"])
        if "ip_prefix" in columns:
            columns["ip_prefix"] = prefixes_of_ip(columns["ip_prefix"])
        _unsign(draft)

    def _pseudonymise(self, draft: Draft) -> pa.Table:
        """Raw identities out, pseudonyms in; a guest's order gets an anonymous id of its own."""
        people = {name: draft.columns[name] for name in _PEOPLE if name in draft.columns}
        skip = too_long(draft, _PEOPLE) | unprintable(draft, _PEOPLE) | cut(draft, _PEOPLE)
        coded, pairs = _coded(people, skip, self.keys.pseudonym)
        if people and self.keys.naming != self.keys.pseudonym:
            named, _ = _coded(people, skip, self.keys.naming)
            draft.named = {**named, **self._orders(draft, named)}
        draft.columns |= coded | self._orders(draft, coded)
        if "order_id" in draft.columns:
            guests = ~draft.has("customer_id") & ~draft.has("anonymous_id") & draft.has("order_id")
            if guests.any():
                names = pc.binary_join_element_wise(GUEST, draft.columns["order_id"], "")
                for columns in (draft.columns, *([draft.named] if "anonymous_id" in draft.named else [])):
                    own = columns["anonymous_id"] if "anonymous_id" in columns else draft.get("anonymous_id")
                    columns["anonymous_id"] = pc.if_else(pa.array(guests), names, own)
        return pa.concat_tables(pairs) if pairs else VAULT.empty_table()

    def _orders(self, draft: Draft, people: Mapping[str, Any]) -> dict[str, Any]:
        """`order_id`, where the mapping has a rule for it: the lines of one person in one minute are one order."""
        if self.plan.mapping.order_rule is None or not people:
            return {}
        person = pc.coalesce(*people.values())
        minute = pc.strftime(draft.get("ts"), "%Y%m%d%H%M")
        made = pc.binary_join_element_wise(person, minute, "@")
        ordered = pa.array(draft.kind_in(NEEDS_ORDER))
        return {"order_id": pc.coalesce(draft.get("order_id"), pc.if_else(ordered, made, None))}

    def _rows(self, draft: Draft, content: Hashes | None) -> pa.Table:
        """(n,) rows of the event table, one a record; what has no id is named after its content."""
        columns = {column.name: draft.get(column.name) for column in COLUMNS}
        if content is not None:
            columns["event_id"] = pc.coalesce(columns["event_id"], as_hexadecimal(content))
        columns["line"] = pc.cast(pc.fill_null(columns["line"], 0), pa.int32())
        columns["source"] = pa.repeat(pa.scalar(self.plan.mapping.source), draft.n)
        columns["schema_version"] = pa.repeat(pa.scalar(SCHEMA_VERSION), draft.n)
        return pa.table(columns, schema=EVENTS)


@dataclass(frozen=True)
class _Bodies:
    """What the bodies of a batch's records are made of, beside the rows: (n, 2) names of those without an id, (n, 2)
    sums of the cells beyond our columns (None for nothing), and the key."""

    content: Hashes | None
    rest: Hashes | None
    key: bytes

    def of(self, rows: pa.Table, apart: Any, place: npt.NDArray[np.int64], own: values.Mask) -> Hashes:
        """(m, 2) of rows, each of the record `place`, that has an id of its own or not."""
        if self.content is None:
            return body_hashes(rows, apart, None if self.rest is None else self.rest[place], self.key)
        bodies = self.content[place]
        at = np.flatnonzero(own)
        if len(at):
            some = pa.array(at)
            rest = None if self.rest is None else self.rest[place[at]]
            bodies[at] = body_hashes(rows.take(some), values.flat(apart).take(some), rest, self.key)
        return bodies


def _events(draft: Draft, spread: Spread, bodies: _Bodies, came: Mapping[str, Any]) -> tuple[pa.Table, Any]:
    """The accepted rows (`STAGED`) with their digests, and (m,) what item lists put into their props, null for nothing.

    Args:
        draft: The batch.
        spread: Its rows, item lists spread out.
        bodies: What their digests are made of.
        came: `record`, `file`, `source_line` and `raw` of each record.
    """
    rows, apart, place = spread.rows, spread.apart, spread.parent
    keep = draft.reason[place] == ""
    if not keep.all():
        kept = pa.array(np.flatnonzero(keep))
        rows, apart, place = rows.take(kept), apart.take(kept), place[keep]
    own, said = draft.has("event_id")[place], draft.said_at
    if not np.array_equal(place, np.arange(draft.n)):  # not one row a record, in their order
        at = pa.array(place)
        said, came = said.take(at), {name: cells.take(at) for name, cells in came.items()}
    as_said = rows.set_column(rows.column_names.index("ts"), "ts", said)
    for name, cells in draft.named.items():
        as_said = as_said.set_column(as_said.column_names.index(name), name, values.flat(cells).take(pa.array(place)))
    digest = as_binary(bodies.of(as_said, apart, place, own))
    return pa.table({**{name: rows.column(name) for name in EVENTS.names}, "digest": digest, "own_id": pa.array(own),
                     **came}, schema=STAGED), values.flat(apart)


def _coded(people: Mapping[str, Any], skip: values.Mask, key: bytes) -> tuple[dict[str, Any], list[pa.Table]]:
    """Columns of people as pseudonyms under a key, but for the rows to skip; and the pairs for the vault."""
    columns, pairs, some = {}, [], bool(skip.any())
    for name, cells in people.items():
        coded, seen = pseudonyms(pc.if_else(pa.array(skip), None, cells) if some else cells, name, key)
        columns[name] = pc.coalesce(coded, cells) if some else coded
        pairs.append(seen)
    return columns, pairs


def _unsign(draft: Draft) -> None:
    """What was given back is an amount, whether or not its sender writes a minus before it."""
    back = draft.kind_in(BACK)
    if not back.any():
        return
    turned = values.nothing(draft.n)
    for name in UNSIGNED:
        if name in draft.columns:
            draft.columns[name], less = values.unsigned(draft.columns[name], back)
            turned |= less
    if turned.any():
        draft.derived["refund_without_minus"] += int(turned.sum())


def _currency(codes: Any) -> Any:
    """Codes in upper case, and the one of ISO 4217 where another is in use."""
    coded = codes.dictionary_encode()
    said = coded.dictionary.to_pylist()
    meant = [CURRENCIES.get(code.upper(), code.upper()) for code in said]
    return codes if said == meant else pa.array(meant, pa.string()).take(coded.indices)


def _as_text(cells: Any) -> values.Read:
    return values.text(cells), values.nothing(len(cells))


def _line(cells: Any) -> values.Read:
    lines, bad = values.whole(cells)
    large = values.mask_of(pc.greater(pc.abs(lines), _LARGEST_LINE))  # beyond 32 bits, either way
    return pc.if_else(pa.array(large), None, lines), bad | large


def _readers(name: str, rule: TimeRule, numbers: NumberRule) -> dict[Any, Callable[[Any], values.Read]]:
    """How the cells of a column are read, by its type; whatever is not here is text."""
    return {TIME: lambda cells: times(cells, rule), MONEY: lambda cells: written(cells, name, numbers, values.money),
            pa.float64(): lambda cells: written(cells, name, numbers, values.number),
            pa.int64(): values.whole, pa.int32(): _line}


def _rejected(draft: Draft, batch: RawBatch, file: str) -> pa.Table:
    """The records of a batch that broke a rule, as quarantine rows."""
    rows = np.flatnonzero(draft.reason != "")
    raw = encode_records(batch.table.take(pa.array(rows))).to_pylist() if len(rows) else []
    return pa.table({
        "file": [file] * len(rows), "source_line": np.asarray(batch.line)[rows],
        "reason": draft.reason[rows].tolist(), "detail": [None] * len(rows),
        "field": draft.where[rows].tolist(), "record": [original(cell) for cell in raw],
    }, schema=REJECTED)


def broken_rows(batch: RawBatch, file: str) -> pa.Table:
    """What a reader could not even parse, as quarantine rows."""
    return pa.Table.from_pylist([
        {"file": file, "source_line": one.line, "reason": one.reason, "field": one.field,
         "detail": json.dumps(one.detail.to_dict(), ensure_ascii=False), "record": one.record}
        for one in batch.broken], schema=REJECTED)


def original(raw: bytes) -> str:
    """The original record of an encoded row, as JSON text."""
    return json.dumps(decode_record(raw), ensure_ascii=False)


def _derive(draft: Draft) -> Counter[str]:
    """Cells that follow from others by a named rule; each rule counts what it filled.

    Only records that stand for themselves: with a list of items, or with a line of their own, the money may be of
    several things.
    """
    counts = Counter(draft.derived)
    alone = draft.kind_in(frozenset({"purchase", "refund"})) & ~draft.has("items") & ~draft.has("line")
    alone &= draft.has("item_id") & ~draft.unreadable.get("quantity", values.nothing(draft.n))
    if not alone.any():
        return counts
    quantity = pc.fill_null(draft.get("quantity"), 1.0)
    wanting = alone & draft.has("quantity") & draft.has("value") & ~draft.has("price") & ~draft.below("quantity")
    wanting &= draft.reason == ""
    each = pc.divide(pc.cast(draft.get("value"), pa.float64()), quantity)
    counts["price_from_value"] = _fill(draft, "price", each, wanting)
    wanting = alone & draft.has("price") & ~draft.has("value") & (draft.reason == "")
    total = pc.multiply(pc.cast(draft.get("price"), pa.float64()), quantity)
    counts["value_from_price"] = _fill(draft, "value", total, wanting)
    return +counts


def _fill(draft: Draft, name: str, floats: Any, wanting: values.Mask) -> int:
    """Fill the marked cells of a money column; one that would not fit stays empty."""
    found = values.decimals(pc.if_else(pa.array(wanting), floats, None))
    draft.columns[name] = pc.coalesce(draft.get(name), found)
    return int(values.mask_of(pc.is_valid(found)).sum())


class TableCleaner:
    """Cleans the batches of one source of `items`, `customers`, `stock` or `campaigns`, in order.

    Args:
        plan: Which column fills which.
        table: The table's name.
        keys: The shop's keys.
        file: Name of the source, for people.
    """

    def __init__(self, plan: Plan, table: str, keys: Keys, file: str) -> None:
        self.plan, self.keys, self.file = plan, keys, file
        self.schema, self.key = TABLES[table], TABLE_KEYS[table]
        self.time_rule, self.number_rule = TimeRule(plan.mapping.time_zone, plan.mapping.time_format), NumberRule()

    def clean(self, batch: RawBatch) -> Cleaned:
        """Clean one batch; its `events` are rows of the table."""
        draft, identities = self._draft(batch), VAULT.empty_table()
        draft.fail(~draft.has(self.key), "missing_key", self.key)
        draft.fail(too_long(draft, (self.key,)), "id_too_long", self.key)
        draft.fail(unprintable(draft, (self.key,)), "control_characters", self.key)
        draft.fail(cut(draft, (self.key,)), "cut_number", self.key)
        for field in self.schema:
            if field.type == MONEY:
                draft.fail(draft.below(field.name), "negative_price", field.name)
        good = pa.array(draft.reason == "")
        if self.key == "customer_id":
            cells = pc.if_else(good, draft.columns[self.key], None)
            draft.columns[self.key], identities = pseudonyms(cells, self.key, self.keys.pseudonym)
        rows = pa.table({name: draft.columns[name] for name in self.schema.names}, schema=self.schema).filter(good)
        rejected = pa.concat_tables([_rejected(draft, batch, self.file), broken_rows(batch, self.file)])
        return Cleaned(rows, rejected, batch.received, draft.unread, Counter(), identities, draft.hidden)

    def _draft(self, batch: RawBatch) -> Draft:
        n, constants = batch.table.num_rows, self.plan.mapping.constants
        draft, left_over = Draft(n, {}, {}, {}, posted=self.number_rule.alone), {}
        for name in self.plan.unmapped:
            left_over[name] = values.flat(batch.table.column(name))
        for field in self.schema:
            theirs = self.plan.columns.get(field.name)
            if theirs is None and field.name not in constants:
                draft.columns[field.name] = pa.nulls(n, field.type)
                continue
            cells = values.flat(batch.table.column(theirs)) if theirs is not None else pa.repeat(
                pa.scalar(constants[field.name]), n)
            readers = _readers(field.name, self.time_rule, self.number_rule)
            draft.columns[field.name], bad = readers.get(field.type, _as_text)(cells)
            if bad.any():
                draft.unread[field.name] = int(bad.sum())
                left_over[theirs or field.name] = pc.if_else(pa.array(bad), values.text(cells), None)
        if self.key != "customer_id":
            draft.columns["props"] = props(left_over, n)
            return draft
        known = covered(left_over, draft.has(self.key), draft.hidden, of_people=True)
        draft.columns["props"] = props(known.cells, n, known.instead)
        return draft
