"""The named rules of cleaning. Each marks the rows that break it; the first rule that a row breaks is its reason.

A rule takes a `Draft` (the columns of one batch, already typed) and returns a mask (n,) of the rows to quarantine. What
is quarantined keeps its reason, its line and its original record, and can be ingested again after a fix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.schema import BY_NAME, HEAD_COLUMNS, MONEY_COLUMNS, NEEDS_ITEM, NEEDS_NOBODY, NEEDS_ORDER, Role
from shopkeeper.events.values import Mask, mask_of, nothing, spans
from shopkeeper.words import Sentence, say

LONGEST_ID = 512  # bytes
BEST_RATING = 10.0  # of whatever scale: most have five stars, some ten points
_SPACE, _DELETE = 0x20, 0x7F  # bytes: the first that is printed, and one above that is not
_PLUS = ord("+")
_CURRENCY = re.compile("[A-Z]{3}")
Codes = npt.NDArray[np.int32]
BACK = frozenset({"refund", "cancel_order"})  # kinds whose amounts are what was given back: never below zero
UNSIGNED = ("quantity", "price", "list_price", "value", "shipping", "tax")
_IDS = ("event_id", "customer_id", "anonymous_id", "item_id", "variant_id", "order_id", "session_id", "request_id")


@dataclass
class Draft:
    """One batch on its way into the event table.

    Attributes:
        n: Rows.
        columns: Column -> typed array (n,); a column that the source does not have is absent.
        unreadable: Column -> mask (n,) of cells that held something that could not be read.
        kinds: The declared kinds and their roles.
        unread: Column -> cells that could not be read and are kept in props.
        said_at: (n,) the time as the sender says it, before its clock is corrected.
        hidden: Kind of personal data -> how many cells were masked because of the name of their field.
        named: Columns that count otherwise in a body: with people under the key that names events.
        derived: Named rule -> rows in which it changed a cell.
        posted: Whether its records were sent by a program, and went through no spreadsheet.
        reason, where: (n,) the rule each row broke, and the column it is about; empty text for none.
    """

    n: int
    columns: dict[str, Any]
    unreadable: dict[str, Mask]
    kinds: Mapping[str, Role]
    unread: Counter[str] = field(default_factory=Counter)
    said_at: Any = None
    hidden: Counter[str] = field(default_factory=Counter)
    named: dict[str, Any] = field(default_factory=dict)
    derived: Counter[str] = field(default_factory=Counter)
    posted: bool = False
    reason: Any = field(init=False)
    where: Any = field(init=False)
    _masks: dict[str, tuple[Any, Mask]] = field(init=False, default_factory=dict)
    _codes: dict[str, tuple[Any, Codes, list[str]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.reason, self.where = np.full(self.n, "", dtype=object), np.full(self.n, "", dtype=object)

    def get(self, name: str) -> Any:
        """A column, all null where the source does not have it."""
        return self.columns[name] if name in self.columns else _nulls(self.n, BY_NAME[name].type)

    def has(self, name: str) -> Mask:
        """Which rows have a value in a column; not to be written to."""
        if name not in self.columns:
            return nothing(self.n)
        column = self.columns[name]
        if name not in self._masks or self._masks[name][0] is not column:
            mask = mask_of(pc.is_valid(column)) if column.null_count else np.ones(self.n, dtype=bool)
            mask.flags.writeable = False
            self._masks[name] = column, mask
        return self._masks[name][1]

    def where_text(self, name: str, good: Callable[[str], bool]) -> Mask:
        """Which rows have a text in a column of which this is true; asked once for each different text."""
        if name not in self.columns:
            return nothing(self.n)
        column = self.columns[name]
        if name not in self._codes or self._codes[name][0] is not column:
            coded = column.dictionary_encode()
            codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
            self._codes[name] = column, codes, coded.dictionary.to_pylist()
        _, codes, texts = self._codes[name]
        return np.array([*map(good, texts), False], dtype=bool)[codes]  # -1, a null, takes the last

    def kind_in(self, kinds: frozenset[str]) -> Mask:
        """Which rows are of one of these kinds."""
        return self.where_text("event", kinds.__contains__)

    def below(self, name: str, limit: int = 0) -> Mask:
        """Which rows have a number below a limit in a column."""
        if name not in self.columns:
            return nothing(self.n)
        kind = self.columns[name].type
        bound = pa.scalar(Decimal(limit), kind) if pa.types.is_decimal(kind) else pa.scalar(limit, kind)
        return mask_of(pc.less(self.columns[name], bound))

    def on_item_line(self) -> Mask:
        """Which rows say that they are an item line (1..n) of an event."""
        return self.has("line") & ~self.below("line", 1)

    def fail(self, mask: Mask, reason: str, where: str) -> None:
        """Give the marked rows this reason, unless they have one."""
        if mask.any():
            new = mask & (self.reason == "")
            self.reason[new], self.where[new] = reason, where


@lru_cache(maxsize=16)
def _nulls(n: int, kind: pa.DataType) -> Any:
    """(n,) nulls; batches are of a size, mostly, and nothing writes to an array."""
    return pa.nulls(n, kind)


@dataclass(frozen=True)
class Rule:
    """A named rule: what it is about, what a person can do, and which rows break it."""

    name: str
    column: str
    advice: Sentence
    broken: Callable[[Draft], Mask]


def _missing_identity(draft: Draft) -> Mask:
    somebody = draft.has("customer_id") | draft.has("anonymous_id") | draft.has("order_id")
    return ~somebody & ~draft.kind_in(NEEDS_NOBODY)


def _missing_item(draft: Draft) -> Mask:
    header = draft.has("line") & draft.below("line", 1)
    whole_order = draft.kind_in(frozenset({"purchase"})) & (draft.has("value") | header) & ~draft.on_item_line()
    return draft.kind_in(NEEDS_ITEM) & ~draft.has("item_id") & ~draft.has("items") & ~whole_order


def too_long(draft: Draft, names: Iterable[str] = _IDS) -> Mask:
    """Rows in which one of these ids is longer than 512 bytes."""
    return _any_id(draft, names, lambda cells: spans(cells)[0].max(initial=0) > LONGEST_ID,
                   lambda cells: pc.greater(pc.binary_length(cells), LONGEST_ID))


def unprintable(draft: Draft, names: Iterable[str] = _IDS) -> Mask:
    """Rows in which one of these ids holds control characters."""
    return _any_id(draft, names, _has_control, lambda cells: pc.match_substring_regex(cells, r"[\x00-\x1f\x7f]"))


def cut(draft: Draft, names: Iterable[str] = _IDS) -> Mask:
    """Rows in which one of these ids is a number of which a spreadsheet kept the first digits only."""
    if draft.posted:
        return nothing(draft.n)
    return _any_id(draft, names, lambda cells: bool((spans(cells)[1] == _PLUS).any()),
                   lambda cells: pc.match_substring_regex(cells, r"^\d(\.\d+)?[Ee]\+\d{1,3}$"))


def _has_control(cells: Any) -> bool:
    _, data = spans(cells)
    return data.size > 0 and (data.min() < _SPACE or bool((data == _DELETE).any()))


def _any_id(draft: Draft, names: Iterable[str], suspect: Callable[[Any], bool], broken: Callable[[Any], Any]) -> Mask:
    """Rows with a broken id; only columns that are suspect as a whole are looked at cell by cell."""
    out = nothing(draft.n)
    for name in names:
        if name in draft.columns and suspect(draft.columns[name]):
            out |= mask_of(broken(draft.columns[name]))
    return out


def _has_money(draft: Draft) -> Mask:
    out = nothing(draft.n)
    for name in MONEY_COLUMNS:
        out |= draft.has(name)
    return out


def _bad_currency(draft: Draft) -> Mask:
    return draft.where_text("currency", lambda code: _CURRENCY.fullmatch(code) is None)


def _money_on_line(draft: Draft) -> Mask:
    out = nothing(draft.n)
    for name in HEAD_COLUMNS:
        out |= draft.has(name)
    return out & draft.on_item_line()


def _negative_quantity(draft: Draft) -> Mask:
    return draft.below("quantity") & draft.kind_in(frozenset({"purchase", "add_to_cart"}))


def _negative_value(draft: Draft) -> Mask:
    return draft.below("value") & draft.kind_in(frozenset({"purchase"}))


def _bad_rating(draft: Draft) -> Mask:
    if "rating" not in draft.columns:
        return nothing(draft.n)
    return draft.below("rating") | mask_of(pc.greater(draft.columns["rating"], BEST_RATING))


def _unreadable(name: str) -> Callable[[Draft], Mask]:
    return lambda draft: draft.unreadable.get(name, nothing(draft.n))


RULES: tuple[Rule, ...] = (
    Rule("bad_time", "ts", say("the time cannot be read, or lies before 1971 or after 2099: "
                               "give --time-format, or mend the clock."), _unreadable("ts")),
    Rule("missing_time", "ts", say("the record has no time."), lambda draft: ~draft.has("ts")),
    Rule("missing_kind", "event", say("the record does not say what happened."), lambda draft: ~draft.has("event")),
    Rule("unknown_kind", "event", say("the kind is not one of the event table's: --kind THEIRS=OURS, or declare it in "
                                      "shop.toml."), lambda draft: ~draft.kind_in(frozenset(draft.kinds))),
    Rule("id_too_long", "", say("an id is longer than 512 bytes."), too_long),
    Rule("control_characters", "", say("an id holds control characters."), unprintable),
    Rule("cut_number", "", say("an id is a number that a spreadsheet has cut, and many would be one: export it again, "
                               "and keep the column as text."), cut),
    Rule("bad_line", "line", say("the line of the event is no whole number from 0 on."),
         lambda draft: _unreadable("line")(draft) | draft.below("line")),
    Rule("items_on_line", "items", say("the record is an item line and has a list of items of its own."),
         lambda draft: draft.on_item_line() & draft.has("items")),
    Rule("line_of_nothing", "event_id", say("the record is an item line and has no event_id: it belongs to no event."),
         lambda draft: draft.on_item_line() & ~draft.has("event_id")),
    Rule("money_on_line", "value", say("value, shipping, tax and discount are of the whole order and stand on line 0 "
                                       "only."), _money_on_line),
    Rule("missing_identity", "customer_id", say("the record belongs to nobody: no customer_id, anonymous_id or "
                                                "order_id."), _missing_identity),
    Rule("missing_item", "item_id", say("an event about an item has no item_id."), _missing_item),
    Rule("missing_order", "order_id", say("a purchase or refund has no order_id: --order-rule customer-minute "
                                          "makes one order of a customer's lines in one minute."),
         lambda draft: draft.kind_in(NEEDS_ORDER) & ~draft.has("order_id")),
    Rule("negative_price", "price", say("a price is below zero."),
         lambda draft: draft.below("price") | draft.below("list_price")),
    Rule("negative_quantity", "quantity", say("a purchase of fewer than no units: send returns as kind refund."),
         _negative_quantity),
    Rule("negative_value", "value", say("a purchase of less than no money: send what was paid back as kind refund."),
         _negative_value),
    Rule("bad_rating", "rating", say("a rating lies outside 0 to 10: write one of another scale as 85/100 in a file of "
                                     "reviews, or send it as a number of stars."), _bad_rating),
    Rule("bad_currency", "currency", say("the currency is no three-letter ISO 4217 code."), _bad_currency),
    Rule("missing_currency", "currency", say("there is money and no currency: --currency EUR."),
         lambda draft: _has_money(draft) & ~draft.has("currency")),
)

# Reasons that are not a rule over a batch: given by readers, by the items of a record, by the comparison with the past.
OTHER_REASONS: Mapping[str, Sentence] = {
    "too_many_items": say("the record has too many items, or too much text to repeat for each of them."),
    "bad_items": say("the items of the record are no list of objects with an item_id each."),
    "conflict": say("the same event id came with another body; the first one counts. If the later one is right (a "
                    "refund that has grown), undo the older import, and ingest the newer file again."),
    "missing_key": say("the row has no key."),
}


def advice(reason: str) -> Sentence | None:
    """What a person can do about a reason; None for a reason that a reader gave with words of its own."""
    known = {rule.name: rule.advice for rule in RULES} | dict(OTHER_REASONS)
    return known.get(reason)


def check(draft: Draft) -> None:
    """Apply every rule in order."""
    for rule in RULES:
        draft.fail(rule.broken(draft), rule.name, rule.column)
