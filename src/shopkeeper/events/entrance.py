"""Posted events at the entrance: what is surely clean is accepted at once; everything else goes through the cleaner.

The cleaner is the judge. `Fast` knows a part of what it accepts, by conditions that are sufficient: a record that
passes here passes there, with the same time, ids and items.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np

from shopkeeper.errors import BadInput
from shopkeeper.events import mapping as mappings
from shopkeeper.events.arrivals import EVENT_NAMES, RECORD_BYTES
from shopkeeper.events.items import MOST_ITEMS, MOST_REPEATED
from shopkeeper.events.schema import NEEDS_ITEM, NEEDS_NOBODY, NEEDS_ORDER, Role
from shopkeeper.events.times import EARLIEST, LATEST
from shopkeeper.words import say

__all__ = ["Event", "Fast", "Plainly", "lenient", "split"]

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Event(msgspec.Struct, gc=False):
    """An accepted event as live state needs it. Identities are raw: they are kept in memory only.

    Attributes:
        event_id: The sender's, or the name that the record got after its content.
        event: Its kind.
        ts: Microseconds UTC, corrected for the sender's clock.
        customer_id, anonymous_id, session_id, order_id, request_id: As sent; None where there is none.
        items: The items of the event, one or many.
    """

    event_id: str
    event: str
    ts: int
    customer_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    order_id: str | None = None
    request_id: str | None = None
    items: tuple[str, ...] = ()


def split(records: bytes) -> list[bytes]:
    """The records of a request, each as it was written.

    Raises:
        BadInput: It is no JSON array.
    """
    try:
        return [bytes(one) for one in _ARRAY.decode(records)]
    except (msgspec.DecodeError, ValueError, RecursionError) as wrong:
        found = lenient(records)
        if isinstance(found, list):
            return [json.dumps(one).encode() for one in found]
        raise BadInput(say("this is not a JSON array of records: {error}.", error=str(wrong)),
                       do=[say("send [{{...}}, {{...}}], in UTF-8.")],
                       why=say("nothing of it was taken.")) from wrong


def lenient(text: bytes) -> Any:
    """What a JSON text holds if one of its strings ends in half a character, which spoils no record but its own.

    None for a text that is no JSON for any other reason.
    """
    if b"\\u" not in text:
        return None
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> None:
    raise ValueError(name)


_Id = Annotated[str, msgspec.Meta(max_length=128)]  # 128 characters are at most 512 bytes
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Number = _Whole | float | None
_Positive = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | Annotated[float, msgspec.Meta(ge=0)] | None

_Rating = Annotated[int, msgspec.Meta(ge=0, le=10)] | Annotated[float, msgspec.Meta(ge=0, le=10)] | None


class _Item(msgspec.Struct, gc=False):
    """An item of a posted event, as far as it decides; other fields are kept in props, whatever they are."""

    item_id: _Name | _Whole
    variant_id: _Id | _Whole | None = None
    quantity: _Number = None
    price: _Number = None
    list_price: _Number = None
    item_discount: _Number = None


class _Posted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A posted event, each field of a type that it may have; in the order in which senders write them, for speed."""

    event_id: _Name | _Whole
    event: str
    ts: str | _Whole | None = None
    client_ts: str | _Whole | None = None
    sent_at: str | _Whole | None = None
    customer_id: _Id | _Whole | None = None
    anonymous_id: _Id | _Whole | None = None
    session_id: _Id | _Whole | None = None
    item_id: _Id | _Whole | None = None
    variant_id: _Id | _Whole | None = None
    quantity: _Number = None
    price: _Number = None
    list_price: _Number = None
    item_discount: _Number = None
    currency: str | None = None
    list_id: str | None = None
    position: _Number = None
    request_id: _Id | _Whole | None = None
    query: str | None = None
    results: _Number = None
    order_id: _Id | _Whole | None = None
    cart_id: str | None = None
    value: _Number = None
    shipping: _Number = None
    tax: _Number = None
    discount: _Number = None
    coupon: str | None = None
    items: list[_Item] | None = None
    promotion_id: str | None = None
    campaign_id: str | None = None
    creative: str | None = None
    treatment: str | None = None
    propensity: _Number = None
    rating: _Rating = None
    text: str | None = None
    url: str | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_content: str | None = None
    utm_term: str | None = None
    click_id: str | None = None
    user_agent: str | None = None
    ip_prefix: str | None = None
    country: str | None = None
    device: str | None = None
    consent: str | None = None
    stock: _Number = None
    step: str | None = None


class _Plain(_Posted, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One whose ids are texts, whose prices are not below zero, and that says no clock of its own sending."""

    event_id: _Name
    sent_at: None = None
    customer_id: _Id | None = None
    anonymous_id: _Id | None = None
    session_id: _Id | None = None
    item_id: _Id | None = None
    variant_id: _Id | None = None
    request_id: _Id | None = None
    order_id: _Id | None = None
    quantity: _Positive = None
    price: _Positive = None
    list_price: _Positive = None
    value: _Positive = None


class Plainly(Sequence[Event]):
    """The events of a plain request, each made when it is looked at: of most nobody asks more than their names.

    Args:
        posted: As they were read.
        times: (n,) their times, microseconds UTC.
    """

    def __init__(self, posted: Sequence[_Plain], times: Sequence[int]) -> None:
        self._posted, self._times = posted, times

    @property
    def ids(self) -> list[str]:
        """The names of all."""
        return [one.event_id for one in self._posted]

    def __len__(self) -> int:
        return len(self._posted)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        one = self._posted[at]
        return Event(one.event_id, one.event, self._times[at], one.customer_id or None, one.anonymous_id or None,
                     one.session_id or None, one.order_id or None, one.request_id or None,
                     (one.item_id,) if one.item_id else ())


_SMALL = 1e13                      # money that surely fits
_EXTRA = 60                        # brackets beyond those that are expected: so many cannot nest too deep
_FEW_NAMES = 64                    # names of other fields in a request that are surely not too many
_PLAINEST, _ALL = msgspec.json.Decoder(list[_Plain]), msgspec.json.Decoder(list[_Posted])
_ANY = msgspec.json.Decoder(dict[str, Any])
_FIELDS = frozenset(_Posted.__struct_fields__)
_ZERO = datetime(1970, 1, 1)
_EARLIEST, _LATEST = ((moment - _ZERO) // timedelta(microseconds=1) for moment in (EARLIEST, LATEST))
_SIMPLE = (str, int, float, bool, type(None))
_QUOTE, _BLANK = ord('"'), ord(" ")


class Fast:
    """Reads posted events and says of which the cleaner would surely accept.

    Args:
        kinds: Declared kinds and their roles.
    """

    def __init__(self, kinds: Mapping[str, Role]) -> None:
        # kind -> needs an item, needs an order, needs nobody
        self._kinds = {kind: (kind in NEEDS_ITEM, kind in NEEDS_ORDER, kind in NEEDS_NOBODY) for kind in kinds}
        self._currencies: set[str] = set()
        self._harmless: dict[str, bool] = {}

    def request(self, records: bytes, received_at: int, sent_at: int | None) -> Sequence[Event | None] | None:
        """The events of a request; None for one that only the cleaner can judge; None for all where it is not plain."""
        tidy = _tidiness(records)
        if tidy is None or (len(records) > RECORD_BYTES and _has_large(records)):
            return None
        posted = _decoded(records)
        if posted is None:
            return None
        lists = [len(one.items) for one in posted if one.items]
        if lists and not _shallow(records, 1 + len(posted) + len(lists) + sum(lists)):
            return None
        skew = 0 if sent_at is None else received_at - sent_at
        if tidy and posted and type(posted[0]) is _Plain:
            return self._plain(posted, received_at, skew)  # type: ignore[arg-type]  # all are of one type
        return [self._event(one, received_at, skew, tidy) for one in posted]

    def _plain(self, posted: Sequence[_Plain], received_at: int, skew: int) -> Sequence[Event | None]:
        """The events of a request as most are: ids are texts, times as browsers write them, no list of items."""
        kinds, minutes, currencies, times = self._kinds, _MINUTES, self._currencies, []
        for one in posted:
            needs, stamp, shift = kinds.get(one.event), one.ts, 0
            if stamp is None:
                stamp, shift = one.client_ts, skew
            try:
                when = minutes[stamp[:17]] + _SECONDS[stamp[17:19]] + _PARTS[stamp[19:]] + shift  # type: ignore[index]
            except (KeyError, TypeError):
                break
            currency = one.currency
            if (needs is None or one.items or not (one.customer_id or one.anonymous_id)
                    or (needs[0] and not one.item_id) or (needs[1] and not one.order_id)
                    or not _EARLIEST <= when < _LATEST
                    or (currency not in currencies and (currency or _has_money(one)))):
                break
            times.append(when)
        else:
            return Plainly(posted, times)
        return [self._event(one, received_at, skew, True) for one in posted]

    def each(self, texts: Sequence[bytes], received_at: int, sent_at: int | None) -> list[Event | None]:
        """The same, record by record: fields that are not ours are no hindrance where they are surely harmless."""
        skew = 0 if sent_at is None else received_at - sent_at
        names: set[str] = set()
        out: list[Event | None] = []
        for text in texts:
            tidy = _tidiness(text)
            posted = None if tidy is None or len(text) > RECORD_BYTES else self._posted(text, names)
            out.append(None if posted is None else self._event(posted, received_at, skew, bool(tidy)))
        if len(names) > _FEW_NAMES:
            return [None] * len(texts)
        return out

    def _posted(self, text: bytes, names: set[str]) -> _Posted | None:
        try:
            found = _ANY.decode(text)
            beyond = found.keys() - _FIELDS
            if not all(type(found[name]) in _SIMPLE and self._is_harmless(name) for name in beyond):
                return None
            posted = msgspec.convert({name: found[name] for name in found if name in _FIELDS}, _Posted)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            return None
        names |= beyond
        items = posted.items
        return posted if not items or _shallow(text, 2 + len(items)) else None

    def _is_harmless(self, name: str) -> bool:
        """Whether a field of this name ends in props, whatever it holds."""
        known = self._harmless.get(name)
        if known is None:
            known = mappings.spelling(name) not in EVENT_NAMES and name.isprintable() and "." not in name
            if len(self._harmless) < 4096:
                self._harmless[name] = known
        return known

    def _event(self, one: _Posted, received_at: int, skew: int, tidy: bool) -> Event | None:
        needs = self._kinds.get(one.event)
        if needs is None or not (tidy or _all_tidy(one)):
            return None
        when = self._when(one, received_at, skew)
        customer, anonymous, order = _text(one.customer_id), _text(one.anonymous_id), _text(one.order_id)
        if when is None or not (customer or anonymous or order or needs[2]) or (needs[1] and not order):
            return None
        things = (tuple([_id(item.item_id) for item in one.items]) if one.items
                  else () if (thing := _text(one.item_id)) is None else (thing,))
        if needs[0] and not things and (one.event != "purchase" or one.value is None or abs(one.value) > _SMALL):
            return None
        if not self._is_money_right(one):
            return None
        return Event(_id(one.event_id), one.event, when, customer, anonymous, _text(one.session_id), order,
                     _text(one.request_id), things)

    def _when(self, one: _Posted, received_at: int, skew: int) -> int | None:
        """The time of an event, corrected for the sender's clock."""
        if one.ts is not None and one.ts != "":
            return _micros(one.ts)
        client = None if one.client_ts is None else _micros(one.client_ts)
        if client is None:
            return None
        if one.sent_at is not None and one.sent_at != "":
            sent = _micros(one.sent_at)
            if sent is None:
                return None
            skew = received_at - sent
        return client + skew if _EARLIEST <= client + skew < _LATEST else None

    def _is_money_right(self, one: _Posted) -> bool:
        """No price or quantity below zero, and where there is money there is a currency."""
        currency = one.currency
        if currency and currency not in self._currencies:
            if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
                return False
            self._currencies.add(currency)
        if (one.price or 0) < 0 or (one.list_price or 0) < 0 or (one.quantity or 0) < 0:
            return False
        if one.event == "purchase" and (one.value or 0) < 0:
            return False
        if not currency and _has_money(one):
            return False
        for item in one.items or ():
            if (item.price or 0) < 0 or (item.list_price or 0) < 0 or (item.quantity or 0) < 0:
                return False
            if not currency and (item.price, item.list_price, item.item_discount) != (None, None, None):
                return False
        return True


def _has_large(records: bytes) -> bool:
    """Whether some record of a request is too large, or that cannot be told."""
    try:
        return any(len(memoryview(one)) > RECORD_BYTES for one in _ARRAY.decode(records))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return True


def _decoded(records: bytes) -> Sequence[_Posted] | None:
    for decoder in (_PLAINEST, _ALL):
        try:
            return decoder.decode(records)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _has_money(one: _Posted) -> bool:
    return not (one.price is None and one.value is None and one.list_price is None and one.item_discount is None
                and one.shipping is None and one.tax is None and one.discount is None)


def _tidiness(records: bytes) -> bool | None:
    """Whether every string of a text is surely printable and without outer blanks; None where one may hold a NUL."""
    escaped = b"\\" in records
    if escaped and b"\\u0000" in records:
        return None
    if not records.isascii():
        try:
            records.decode("utf-8")  # the parser does not look into strings that it skips
        except UnicodeDecodeError:
            return None
        return False
    if escaped or b"\x7f" in records:
        return False
    if b'" ' not in records and b' "' not in records:
        return True  # no string begins or ends with a blank, nor stands one between strings
    cells = np.frombuffer(records, np.uint8)
    quotes = np.flatnonzero(cells == _QUOTE)  # none is escaped: they open and close by turns
    if len(quotes) % 2:
        return False
    return not ((cells[quotes[::2] + 1] == _BLANK).any() or (cells[quotes[1::2] - 1] == _BLANK).any())


def _all_tidy(one: _Posted) -> bool:
    """Whether every id of an event is printable and without outer blanks."""
    ids = [one.event_id, one.customer_id, one.anonymous_id, one.session_id, one.item_id, one.variant_id, one.order_id,
           one.request_id]
    for item in one.items or ():
        ids += [item.item_id, item.variant_id]
    return all(type(cell) is not str or not cell or (cell.isprintable() and cell[0] != " " and cell[-1] != " ")
               for cell in ids)


def _shallow(records: bytes, expected: int) -> bool:
    """Whether nothing in a text can be nested too deep, nor its items be too many or too large."""
    brackets = records.count(b"{") + records.count(b"[")
    return brackets - expected <= _EXTRA and expected * len(records) <= MOST_REPEATED and expected <= MOST_ITEMS


def _id(cell: str | int) -> str:
    return cell if type(cell) is str else str(cell)


def _text(cell: str | int | None) -> str | None:
    return cell or None if cell is None or type(cell) is str else str(cell)


class _Minutes(dict[str, int]):
    """The minutes of times, `2026-11-24T10:15:`, as microseconds UTC; those that were met before are at hand."""

    def __missing__(self, prefix: str) -> int:
        found = _micros(prefix + "00Z")
        if found is None or not _EARLIEST + _YEAR < found < _LATEST - _YEAR:
            raise KeyError(prefix)
        if len(self) >= 4096:
            self.clear()
        self[prefix] = found
        return found


_YEAR = 366 * 86_400_000_000
_MINUTES = _Minutes()
_SECONDS = {f"{second:02d}": second * 1_000_000 for second in range(60)}
_PARTS = {"Z": 0, **{f".{part:03d}Z": part * 1000 for part in range(1000)}}


def _micros(cell: str | int) -> int | None:
    """A time in its plainest forms as microseconds UTC: ISO with `Z`, or an epoch in s, ms or us; None for others."""
    if type(cell) is int:
        found = (cell * 1_000_000 if 10**9 <= cell < 10**10 else cell * 1000 if 10**12 <= cell < 10**13
                 else cell if 10**15 <= cell < 10**16 else -1)
        return found if _EARLIEST <= found < _LATEST else None
    assert isinstance(cell, str)
    if len(cell) not in (20, 24, 27) or cell[4] + cell[7] + cell[10] + cell[13] + cell[16] + cell[-1] != "--T::Z":
        return None
    if cell[19] not in ".Z" or cell[11:13] == "24":
        return None
    try:
        since = datetime.fromisoformat(cell[:-1]) - _ZERO
    except ValueError:
        return None
    found = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return found if _EARLIEST <= found < _LATEST else None
