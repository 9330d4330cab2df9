"""What a dialect is: rows that say which field of theirs fills which column of ours, and the few functions they need.

A reader gives records as flat fields: nested objects as dotted names, lists as JSON text. A dialect makes one record of
ours of each; what no row names keeps its name and ends in `props`. Nothing is guessed: a field that does not fit sets
its record aside with the field's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec

from shopkeeper.events.mapping import spelling
from shopkeeper.events.schema import ITEM_COLUMNS, MAPPABLE
from shopkeeper.words import Sentence, say

__all__ = ["NEVER", "OTHER", "Dialect", "Field", "Row", "Unfit", "Wrong", "flat", "parts_of", "personal", "said_of",
           "translate", "untranslate"]

Row = dict[str, Any]        # a record as flat fields
OTHER = "other"             # the kind of what a tracker saw and no kind of ours means
PROPS = "props."
# What fields of a person are called wherever they stand, without blanks and strokes; `name` alone can be a thing's.
_PERSONAL = {name: what for what, names in {
    "name": "fullname firstname lastname surname givenname familyname customername billingname shippingname employee "
            "姓名 真实姓名 收货人 收货人姓名 收件人 联系人",
    "address": "street streetaddress address1 address2 addressline1 addressline2 line1 line2 zip zipcode postalcode "
               "postcode strasse straße 收货地址 详细地址 地址",
    "birthday": "birthday birthdate dateofbirth dob geburtstag 生日 出生日期",
    "note": "customernote noteattributes 买家留言", "device": "advertisingid idfa gaid vendorid",
}.items() for name in names.split()}
_OURS = frozenset({*MAPPABLE, "items"})
_MISFIT = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
_ITEM = frozenset({*ITEM_COLUMNS, "list_id"})


class Wrong(ValueError):
    """A value that cannot be what it should be.

    Attributes:
        what: What is wrong with it, for people.
    """

    def __init__(self, what: Sentence) -> None:
        super().__init__(str(what))
        self.what = what


class Unfit(Wrong):
    """A field that does not fit its dialect.

    Attributes:
        field: Its name, as the source has it.
        what: What is wrong with it, for people.
    """

    def __init__(self, field: str, what: Sentence) -> None:
        super().__init__(what)
        self.args, self.field = (f"{field}: {what}",), field

    def within(self, dialect: Dialect) -> Sentence:
        """The same as a sentence that names the field and the dialect."""
        return say("{field} does not fit {title}: {what}", field=self.field, title=dialect.title, what=self.what)


def NEVER(value: Any) -> Any:  # noqa: N802  # it stands in tables, as a constant does
    """Stands where a value cannot be written back."""
    raise Unfit("", say("it cannot be written back."))


@dataclass(frozen=True)
class Field:
    """One row of a dialect's table.

    Attributes:
        ours: A column of the event table, or `props.<name>`; in the rows of an item, a column of an item.
        theirs: A dotted name; several with `|` between, of which the first that says something counts.
        read: Their value -> ours; a ValueError sets the record aside. None: as it is.
        write: The inverse; None: as it is.
    """

    ours: str
    theirs: str
    read: Callable[[Any], Any] | None = None
    write: Callable[[Any], Any] | None = None


def personal(what: str, *names: str) -> tuple[Field, ...]:
    """Rows that put `[what]` in the place of fields that must not come in as they are."""
    return tuple(Field(f"{PROPS}{name}", name, read=lambda value: f"[{what}]", write=NEVER) for name in names)


@dataclass(frozen=True)
class Dialect:
    """How a source speaks.

    Attributes:
        name: For `--dialect`, the account and `source`.
        title: For people.
        documented: Where it is documented.
        marks: It is recognised where of each of these sets one name at least is a field of the first records.
        fields: Which field fills which column.
        kind: Their field with the word for what happened.
        kinds: Their words -> our kinds.
        others: What becomes of a word that is not among `kinds`: `other` keeps it under `props.event_name`, `same`
            takes it as it is.
        items: Their field with the list of items.
        item: The rows of one of them.
        constants: Ours -> a value for the whole source.
        fits: A closer look at a first record, beyond the marks.
        split: A record that holds several -> those, each flat; a record of the account is one of them.
        before: Flat fields -> flat fields, where lists hold what names should.
        finish: Their fields and ours so far (and what `state` made) -> ours: what rows cannot say.
        state: Made once a source: for numbers that run through it.
        time_zone, currency, order_rule: Said for the whole source, where the user does not.
        restated: Its records come again with another state, another note: what no row of ours says makes no other
            event of it.
        headerless: Names of the columns of a file that has none.
        fast: The rows only rename: whole columns are renamed, and no record is looked at.
        after: Flat fields -> flat fields, the inverse of `before`; for writing.
        adds: Names that `split`, `before` or `finish` put into `props`, beside those of the rows.
    """

    name: str
    title: str
    documented: str
    marks: tuple[tuple[str, ...], ...]
    fields: tuple[Field, ...]
    kind: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    others: Literal["other", "same"] = "other"
    items: str | None = None
    item: tuple[Field, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    fits: Callable[[Row], bool] | None = None
    split: Callable[[Row], list[Row]] | None = None
    before: Callable[[Row], Row] | None = None
    finish: Callable[..., Row] | None = None
    state: Callable[[], Any] | None = None
    time_zone: str | None = None
    currency: str | None = None
    order_rule: Literal["customer-minute"] | None = None
    restated: bool = False
    headerless: tuple[str, ...] = ()
    fast: bool = False
    after: Callable[[Row], Row] | None = None
    adds: tuple[str, ...] = ()

    def speaks(self, columns: Sequence[str], first: Sequence[Row]) -> bool:
        """Whether a source with these columns and first records is in this dialect."""
        there = set(columns)
        if not self.marks or not all(there.intersection(names) for names in self.marks):
            return False
        return self.fits is None or any(self.fits(row) for row in first)

    def bare(self, columns: Sequence[str]) -> bool:
        """Whether these are no names, but the first record of a file in this dialect that has no header."""
        return (bool(self.headerless) and self.kind is not None and len(columns) == len(self.headerless)
                and columns[self.headerless.index(self.kind)] in self.kinds)

    def without(self, ours: Sequence[str]) -> Dialect:
        """The same, where others say what fills these columns of ours."""
        return replace(self, fields=tuple(row for row in self.fields if row.ours not in ours))

    def knows(self, name: str) -> bool:
        """Whether a name in `props` is this dialect's doing: a row or a function put it there, or it was masked."""
        return f"{PROPS}{name}" in self._placed() or _hidden(name, "") != ""

    def _placed(self) -> frozenset[str]:
        return frozenset({*(row.ours for row in (*self.fields, *self.item)), *(PROPS + name for name in self.adds),
                          f"{PROPS}event_name"})

    def missing(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The names of which a source in this dialect must have one, and this one has none; empty where it fits."""
        there = set(columns)
        return next((names for names in self.marks if not there.intersection(names)), ())


def flat(record: Mapping[str, Any]) -> Row:
    """A nested record as flat fields: objects as dotted names, lists as they are, nulls left out.

    >>> flat({"a": {"b": 1, "c": None}, "d": [1]}) == {"a.b": 1, "d": [1]}
    True
    """
    out: Row = {}
    todo: list[tuple[str, Mapping[str, Any]]] = [("", record)]
    while todo:
        above, one = todo.pop()
        for name, value in one.items():
            if isinstance(value, Mapping):
                todo.append((f"{above}{name}.", value))
            elif value is not None:
                out[above + name] = value
    return out


def listed(value: Any, name: str) -> list[Row]:
    """A list of objects, from a list or its JSON text, each flat.

    Raises:
        Unfit: It is none.
    """
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise Unfit(name, say("it is no JSON.")) from wrong
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise Unfit(name, say("it is no list of objects."))
    return [flat(one) for one in value]


def text_of(value: Any) -> str:
    """A value as its text in JSON; a text as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict | bool) else str(value)


def parts_of(dialect: Dialect, record: Row) -> list[Row]:
    """The records that a record of theirs holds, mostly itself alone.

    Raises:
        Unfit: They cannot be told apart.
    """
    found: list[Row] = [record] if dialect.split is None else _tried(dialect.split, record)
    return found


def translate(dialect: Dialect, record: Row, state: Any = None) -> Row:
    """A record of theirs as one of ours.

    Args:
        dialect: Theirs.
        record: Its flat fields.
        state: What `dialect.state` made for this source.

    Returns:
        Columns of ours, `items` as a list of rows, and what no row names under its own name.

    Raises:
        Unfit: A field does not fit.
    """
    theirs = _tried(dialect.before, record) if dialect.before else record
    used: set[str] = set()
    ours: Row = dict(dialect.constants)
    if dialect.kind is not None:
        ours |= _kind(dialect, theirs, used)
    ours |= _filled(dialect.fields, theirs, used)
    if dialect.items is not None and (found := _first(dialect.items, theirs)) is not None:
        used.add(found[0])
        ours["items"] = [_item(dialect, one) for one in listed(found[1], found[0])]
    if dialect.finish is not None:
        ours = _tried(dialect.finish, theirs, ours, *(() if dialect.state is None else (state,)))
    named = {name.removeprefix(PROPS): value for name, value in ours.items() if not _empty(value)}
    for name, value in theirs.items():
        if name not in used and not _empty(value):
            named[_free(dialect, name, named)] = _hidden(name, value)
    return named


def untranslate(dialect: Dialect, ours: Row) -> Row:
    """A record of ours as one of theirs, by the same rows; columns that the dialect does not have are left out."""
    theirs: Row = {}
    if dialect.kind is not None and "event" in ours:
        words = {kind: word for word, kind in reversed(list(dialect.kinds.items()))}
        theirs[_name(dialect.kind)] = words.get(ours["event"], ours.get("event_name", ours["event"]))
    theirs |= _written(dialect.fields, ours)
    if dialect.items is not None and ours.get("items"):
        theirs[_name(dialect.items)] = [_nested(_written(dialect.item, one)) for one in ours["items"]]
    return dialect.after(theirs) if dialect.after else theirs


def _tried(function: Callable[..., Any], *given: Any) -> Any:
    """What a dialect's function makes of a record; a record that it stumbles over does not fit."""
    try:
        return function(*given)
    except Unfit:
        raise
    except _MISFIT as wrong:
        what = wrong.what if isinstance(wrong, Wrong) else say("its fields do not go together.")
        raise Unfit("record", what) from wrong


def _kind(dialect: Dialect, theirs: Row, used: set[str]) -> Row:
    found = _first(str(dialect.kind), theirs)
    if found is None:
        return {}
    used.add(found[0])
    word = text_of(found[1])
    if word in dialect.kinds:
        return {"event": dialect.kinds[word]}
    return {"event": word} if dialect.others == "same" else {"event": OTHER, f"{PROPS}event_name": word}


def _filled(fields: Sequence[Field], theirs: Row, used: set[str]) -> Row:
    out: Row = {}
    for row in fields:
        found = None if row.ours in out else _first(row.theirs, theirs)
        if found is None:
            continue
        name, read = found
        if row.read is not None:
            read = _read(row.read, name, read)
        used.add(name)
        if not _empty(read):
            out[row.ours] = read
    return out


def _read(read: Callable[[Any], Any], name: str, value: Any) -> Any:
    try:
        return read(value)
    except Unfit:
        raise
    except _MISFIT as wrong:
        raise Unfit(name, said_of(wrong, value)) from wrong


def said_of(wrong: Exception, value: Any) -> Sentence:
    """What is wrong with a value, for people."""
    return wrong.what if isinstance(wrong, Wrong) else say("{value} cannot be read.", value=shortly(value))


def shortly(value: Any) -> str:
    """A value as a sentence quotes it."""
    return repr(text_of(value)[:40])


def _item(dialect: Dialect, theirs: Row) -> Row:
    used: set[str] = set()
    ours = _filled(dialect.item, theirs, used)
    named = {name.removeprefix(PROPS): value for name, value in ours.items()}
    left = {f"{dialect.name}.{name}" if name in _ITEM or name in named else name: value
            for name, value in theirs.items() if name not in used and not _empty(value)}
    return left | named


def _first(names: str, theirs: Row) -> tuple[str, Any] | None:
    """The first of some fields that says something."""
    for name in _apart(names):
        value = theirs.get(name)
        if value is not None and value != "":
            return name, value
    return None


@cache
def _apart(names: str) -> tuple[str, ...]:
    return tuple(names.split("|"))


def _hidden(name: str, value: Any) -> Any:
    """A value that no row names, or what it is of where its name says that it is a person's."""
    last = re.sub(r"[\s_\-.$]", "", name.rpartition(".")[2]).lower()
    return f"[{_PERSONAL[last]}]" if last in _PERSONAL else value


def _free(dialect: Dialect, name: str, taken: Row) -> str:
    """A name of theirs as a column that is none of ours, and that no row fills."""
    return f"{dialect.name}.{name}" if name in taken or _spelled(name) in _OURS else name


_spelled = lru_cache(65_536)(spelling)


def _written(fields: Sequence[Field], ours: Row) -> Row:
    out: Row = {}
    for row in fields:
        value = ours.get(row.ours.removeprefix(PROPS))
        name = _name(row.theirs)
        if _empty(value) or row.write is NEVER or name in out:
            continue
        out[name] = value if row.write is None else row.write(value)
    return out


def _name(names: str) -> str:
    return names.partition("|")[0]


def _nested(row: Row) -> Row:
    """Dotted names as nested objects.

    >>> _nested({"a.b": 1, "a.c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    out: Row = {}
    for name, value in row.items():
        *above, last = name.split(".")
        at = out
        for part in above:
            at = at.setdefault(part, {})
        at[last] = value
    return out


nested = _nested


def _empty(value: Any) -> bool:
    return value is None or value == ""
