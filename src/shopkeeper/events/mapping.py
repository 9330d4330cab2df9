"""Which column of a source fills which column of the event table, and what is said once for the whole source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Rows
from dataclasses import dataclass, field, replace
from typing import Literal

from shopkeeper.errors import BadMapping
from shopkeeper.events.schema import KINDS, MAPPABLE, MONEY_COLUMNS, NEEDS_NOBODY, TABLE_KEYS, TABLES
from shopkeeper.events.times import check_form, check_zone
from shopkeeper.words import Sentence, say

# Names that people use, offered as a hint and never taken silently.
_HINTS: Rows[str, str] = {
    "customer_id": r"visitor_?id|user_?id|uid|household_?id|customer(_?(id|no|number))?|member_?id|client_?id|buyer"
                   r"|买家",
    "item_id": r"item_?id|product_?id|sku|stock_?code|asin|goods_?id|article(_?id)?|商品",
    "ts": r"time_?stamp|event_?time|time|date|datetime|created_?at|invoice_?date|transaction_timestamp|付款时间",
    "event": r"event(_?(type|name))?|action|behaviou?r(_?type)?|type|kind",
    "order_id": r"order_?id|transaction_?id|invoice(_?no)?|basket_?id|订单编号",
    "price": r"price|unit_?price|单价", "quantity": r"qty|count|amount|units|数量",
}


@dataclass(frozen=True)
class Mapping:
    """How a source is read.

    Attributes:
        columns: Ours -> theirs. A column that already has our name needs no entry.
        kinds: Their word for an event -> our kind.
        constants: Ours -> a value for the whole source (`event` -> `purchase`).
        time_zone: IANA zone of times that have none; None: UTC is assumed, and the report says so.
        time_format: A strptime form, for times of an odd form.
        currency: ISO 4217 code of money that names none.
        order_rule: `customer-minute`: a customer's lines in one minute are one order, where no `order_id` is given.
        source: A label for the connector; part of the identity of records that carry no id.
        restated: Whether its records come again with another state or note: what no column of ours says does not make
            a record that has an id another one.
    """

    columns: Rows[str, str] = field(default_factory=dict)
    kinds: Rows[str, str] = field(default_factory=dict)
    constants: Rows[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    time_format: str | None = None
    currency: str | None = None
    order_rule: Literal["customer-minute"] | None = None
    source: str = "file"
    restated: bool = False


@dataclass(frozen=True)
class Plan:
    """A mapping that fits the columns of one source: ours -> theirs, and what is left over."""

    mapping: Mapping
    columns: Rows[str, str]
    unmapped: tuple[str, ...]


Strictness = Literal["all", "needed", "nothing"]


def plan(mapping: Mapping, names: Sequence[str], source: str, *, strict: Strictness = "all",
         dialect: str | None = None) -> Plan:
    """Fit a mapping to the columns of a source of events.

    Args:
        mapping: What is said once for the whole source.
        names: Columns of the source; where its records differ, those of one batch.
        source: Its name, for people.
        strict: `all`: every mapped column must be there. `needed`: only what every event needs (the first batch of a
            source whose records differ; `check_seen` looks after the rest at its end). `nothing`: what is not there is
            absent, and the records are judged one by one (its later batches).
        dialect: In which the source is read; what a refusal advises keeps it.

    Raises:
        BadMapping: A name is unknown on either side, or nothing gives the kind, the time or an identity.
    """
    columns = _fit(mapping, names, source, (*MAPPABLE, "items"), strict == "all")
    if strict == "nothing":
        return Plan(mapping, columns, tuple(n for n in names if n not in columns.values()))
    given = set(columns) | set(mapping.constants)
    _require(given, {"event"}, names, source, say("--constant event=purchase"), dialect)
    _require(given, {"ts", "client_ts"}, names, source, None, dialect)
    if mapping.constants.get("event") not in NEEDS_NOBODY:
        _require(given, {"customer_id", "anonymous_id", "order_id"}, names, source, None, dialect)
    if "line" in given:
        _require(given, {"event_id"}, names, source, None, dialect)
    has_money = bool(given & set(MONEY_COLUMNS))
    if has_money and "currency" not in given and mapping.currency is None:
        raise BadMapping(
            say("{source} has money ({columns}) and no currency.", source=source,
                columns=", ".join(sorted(given & set(MONEY_COLUMNS)))),
            do=[say("--currency EUR"), _mapped("currency", "THEIR_COLUMN", dialect)],
            why=say("money without a currency cannot be added up."))
    return Plan(mapping, columns, tuple(n for n in names if n not in columns.values()))


def table_plan(mapping: Mapping, table: str, names: Sequence[str], source: str, *, strict: Strictness = "all") -> Plan:
    """Fit a mapping to the columns of one of the other tables (`items`, `customers`, `stock`, `campaigns`).

    Raises:
        BadMapping: A name is unknown on either side, or nothing gives the key.
    """
    schema = TABLES[table]
    columns = _fit(mapping, names, source, tuple(n for n in schema.names if n != "props"), strict == "all")
    if strict != "nothing":
        _require({*columns, *mapping.constants}, {TABLE_KEYS[table]}, names, source, None)
    return Plan(mapping, columns, tuple(n for n in names if n not in columns.values()))


def check_seen(mapping: Mapping, names: Sequence[str], source: str) -> None:
    """Refuse a mapping that names a column which no record of the source has."""
    for theirs in mapping.columns.values():
        if theirs not in names:
            raise BadMapping(say("{source} has no column {name}.", source=source, name=repr(theirs)),
                             do=[say("one of: {names}", names=", ".join(names))],
                             why=say("--map takes OURS=THEIRS, and THEIRS must be a column of the file."))


def _fit(mapping: Mapping, names: Sequence[str], source: str, ours: tuple[str, ...], strict: bool) -> dict[str, str]:
    check_zone(mapping.time_zone)
    check_form(mapping.time_format)
    for currency in (mapping.currency, mapping.constants.get("currency")):
        _check_currency(currency)
    for name in (*mapping.columns, *mapping.constants):
        if name not in ours:
            raise BadMapping(say("there is no column {name} in the table that {source} is read into.", name=repr(name),
                                 source=source),
                             do=[say("one of: {names}", names=", ".join(sorted(ours)))],
                             why=say("what has no column of its own is kept in props by itself."))
    for kind in mapping.kinds.values():
        _check_kind(kind)
    mapping = replace(mapping, columns={name: theirs if theirs in names else theirs.strip()
                                        for name, theirs in mapping.columns.items()})
    if strict:
        check_seen(mapping, names, source)
    taken = {*mapping.columns, *mapping.constants}  # these are filled by what was said, and by nothing else
    spoken = set(mapping.columns.values())          # a column that was given one meaning gets no other by its name
    spelled = {spelling(name): name for name in reversed(names) if name not in spoken}
    columns = {name: spelled[name] for name in ours if name in spelled and name not in taken}
    return columns | {name: theirs for name, theirs in mapping.columns.items() if theirs in names}


def _check_currency(currency: str | None) -> None:
    if currency is not None and not re.fullmatch(r"[A-Za-z]{3}", currency):
        raise BadMapping(say("{currency} is no currency.", currency=repr(currency)),
                         do=[say("--currency EUR"), say("--currency CNY")],
                         why=say("a currency is the three letters of ISO 4217."))


def _check_kind(kind: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", kind):
        raise BadMapping(say("{kind} is no name for a kind of event.", kind=repr(kind)),
                         do=[say("one of: {names}", names=", ".join(KINDS)),
                             say("or declare it in shop.toml: [kinds] {kind} = \"interest\"", kind="play")],
                         why=say("kinds are lower-case words, with a role that questions understand."))


def spelling(name: str) -> str:
    """A name as it is compared with ours.

    >>> spelling(" Item-ID ")
    'item_id'
    """
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _mapped(ours: str, theirs: str, dialect: str | None) -> Sentence:
    """The flags that map a column; alone, `--map` would say that the source is in no dialect."""
    if dialect is None:
        return say("--map {ours}={theirs}", ours=ours, theirs=theirs)
    return say("--dialect {dialect} --map {ours}={theirs}", dialect=dialect, ours=ours, theirs=theirs)


def _require(given: set[str], any_of: set[str], names: Sequence[str], source: str, extra: Sentence | None,
             dialect: str | None = None) -> None:
    if given & any_of:
        return
    hints = [_mapped(ours, theirs, dialect)
             for ours in sorted(any_of) for theirs in _hinted(ours, names)]
    steps = [*hints, *([extra] if extra is not None else [])]
    raise BadMapping(
        say("nothing in {source} fills {needed}; its columns are {names}.", source=source,
            needed=" / ".join(sorted(any_of)), names=", ".join(names)),
        do=steps or [_mapped(sorted(any_of)[0], "THEIR_COLUMN", dialect)],
        why=say("every event needs a kind, a time and somebody or something it belongs to."))


def _hinted(ours: str, names: Iterable[str]) -> list[str]:
    pattern = _HINTS.get(ours)
    return [name for name in names if pattern and re.fullmatch(pattern, spelling(name))]
