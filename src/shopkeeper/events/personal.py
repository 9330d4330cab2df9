"""What is personal in the columns of a log, masked at its entrance.

Masking is the last thing there: names and digests of records are made of what came, so that a repeat is known as one,
masked or not. What is found in texts is written in `finding`; what the name of a field says, in `fields`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events import values
from shopkeeper.events.fields import KEYS, NAMED, PERSON_KEYS, like_a_person, named, words
from shopkeeper.events.finding import DRAWN, EMAIL, FILES, LIKELY, SIGN, Kind, find
from shopkeeper.words import Sentence, say

__all__ = ["CHECKED", "MASKS", "Covered", "covered", "find", "mask", "mask_json", "mask_url", "masked", "said"]

MASKS: Mapping[Kind, str] = {"email": "[email]", "phone": "[phone]", "card": "[card]", "id": "[id number]",
                             "iban": "[iban]", "ip": "[ip]", "name": "[name]", "address": "[address]"}
Hide = Callable[[str, Counter[str]], str]
ADDRESSES = ("url", "referrer")
TEXTS = ("query", "text", "utm_term")
CHECKED = (*TEXTS, *ADDRESSES, "props")  # the columns of the event table that are looked through


def mask(text: str, name: str = "", counts: Counter[str] | None = None, above: str = "") -> str:
    """A text with what is personal in it masked.

    Args:
        text: Free text, or the value of a field.
        name: The field's name, if it has one.
        counts: Counts what was masked, by kind.
        above: The names of the objects that the field lies in, if any.

    >>> mask("我的手机是13800138000，邮箱ann@example.org")
    '我的手机是[phone]，邮箱[email]'
    """
    found = find(text, name, above)
    for one in reversed(found):
        text = text[:one.start] + MASKS[one.kind] + text[one.end:]
    if counts is not None:
        counts.update(one.kind for one in found)
    return text


_PAIR = re.compile(r"(?P<name>[^?&#;=/]*)=(?P<value>[^&#;]*)")


def mask_url(url: str, counts: Counter[str] | None = None) -> str:
    """An address with what is personal in its query and fragment masked; in the path, addresses of e-mail only.

    >>> mask_url("https://shop.example/p/13800138000?mail=ann%40example.org&n=2&order=4111111111111111")
    'https://shop.example/p/13800138000?mail=[email]&n=2&order=4111111111111111'
    """
    cut = re.search(r"[?#]", url)
    path, rest = (url, "") if cut is None else (url[:cut.start()], url[cut.start():])
    counts = Counter() if counts is None else counts

    def pair(hit: re.Match[str]) -> str:
        value, seen = unquote_plus(hit["value"]), Counter[str]()
        hidden = mask(value, unquote_plus(hit["name"]), seen)
        counts.update(seen)
        return f"{hit['name']}={hidden}" if seen else hit[0]

    return _only_emails(path, counts) + _only_emails(_PAIR.sub(pair, rest), counts)


def _only_emails(text: str, counts: Counter[str]) -> str:
    def one(hit: re.Match[str]) -> str:
        if FILES.search(hit[0]):
            return hit[0]
        counts["email"] += 1
        return MASKS["email"]

    return EMAIL.sub(one, text)


class _Number(float):
    """A number of a JSON text, written as it came."""

    def __new__(cls, text: str) -> _Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __repr__(self) -> str:
        return self.text


def mask_json(text: str, counts: Counter[str] | None = None) -> str:
    """A JSON object with what is personal in its names, texts and numbers masked; one without any stays as it is.

    >>> mask_json('{"phone":13800138000,"note":"ann@example.org","n":1.50,"order_id":"13800138000"}')
    '{"phone":"[phone]","note":"[email]","n":1.50,"order_id":"13800138000"}'
    """
    seen = Counter[str]()
    try:
        found = json.loads(text, parse_float=_Number)
    except (ValueError, RecursionError):
        return mask(text, counts=counts)
    hidden = _hidden(found, "", seen)
    if not seen:
        return text
    if counts is not None:
        counts.update(seen)
    return _written(hidden)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_written(cell)}"
                              for name, cell in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(cell) for cell in value) + "]"
    return value.text if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def _hidden(value: Any, name: str, seen: Counter[str], above: str = "") -> Any:
    if isinstance(value, dict):
        path = f"{above}_{words(name)}" if above else words(name)
        if "name" in value and not path and like_a_person(map(words, value)):
            path = "person"
        return {_only_emails(key, seen): _hidden(cell, key, seen, path) for key, cell in value.items()}
    if isinstance(value, list):
        return [_hidden(cell, name, seen, above) for cell in value]
    if isinstance(value, str):
        return _of_text(value, name, seen, above)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        hidden = mask(str(value), name, seen, above)
        return hidden if hidden.startswith("[") else value
    return value


def _of_text(text: str, name: str, seen: Counter[str], above: str = "") -> str:
    """A text of a JSON object: itself JSON, an address, or words."""
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
        try:
            inner = json.loads(text, parse_float=_Number)
        except (ValueError, RecursionError):
            return mask(text, name, seen, above)
        before = seen.total()
        hidden = _hidden(inner, name, seen, above)
        return text if seen.total() == before else _written(hidden)
    if re.match(r"(?:https?:/)?/\S*\Z", text):
        return mask_url(text, seen)
    return mask(text, name, seen, above)


def masked(table: pa.Table, apart: values.Mask | None = None) -> tuple[pa.Table, Counter[str]]:
    """Rows of the event table with what is personal in their texts masked.

    Args:
        table: With the columns of `CHECKED`, as text.
        apart: (n,) the rows whose `props` are looked through; by default all. Those of others are masked (`covered`).

    Returns:
        The table, and kind -> how many were masked.
    """
    return _masked(table, {**dict.fromkeys(TEXTS, mask_text), **dict.fromkeys(ADDRESSES, mask_url), "props": mask_json},
                   {} if apart is None else {"props": apart})


@dataclass(frozen=True)
class Covered:
    """Columns beyond ours, masked.

    Attributes:
        cells: Source column -> (n,) cells.
        instead: Column of numbers -> (n,) text for those that are masked; null for others, which stand in `cells`.
    """

    cells: Mapping[str, Any]
    instead: Mapping[str, Any]


def covered(cells: Mapping[str, Any], keep: values.Mask, counts: Counter[str], *, of_people: bool = False) -> Covered:
    """Columns that will stand in `props`, masked before they do: a column is sooner looked through than the objects.

    Args:
        cells: Source column -> (n,) cells.
        keep: (n,) the rows that count.
        counts: Counts what was masked, by kind.
        of_people: Every row is a person: then a bare `name` is theirs.
    """
    fields = {name: words(name) for name in cells}
    bare = of_people or ("name" in fields.values() and like_a_person(fields.values()))
    out, instead = dict(cells), dict[str, Any]()
    for name, array in cells.items():
        column = _Cells(name, fields[name], "person" if bare else "")
        if pa.types.is_integer(array.type):
            found = _of_numbers(array, column, keep, counts)
            if found is not None:
                instead[name], out[name] = found, pc.if_else(pc.is_valid(found), None, array)
        elif array.null_count < len(array) and (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            out[name] = _of_texts(array, column, keep, counts)
    return Covered(out, instead)


@dataclass(frozen=True)
class _Cells:
    """Of what column cells are: its name as it came, in `words`, and above it."""

    name: str
    field: str
    above: str

    @property
    def numbered(self) -> bool:
        """Whether the name says that a number in it is somebody's."""
        return any(form.search(self.field) for form in NAMED.values())

    def hide(self, text: str, seen: Counter[str]) -> str:
        """A cell, masked."""
        return _of_text(text, self.name, seen, self.above)


_SOLE = {"email": r"^\s*[^@\s\[\]]+@[^@\s]+\.[^@\s]+\s*$", "phone": r"^\s*\+?(?:[ ().\-/]*[0-9]){8,15}[ )]*$"}


def _of_texts(cells: Any, column: _Cells, keep: values.Mask, counts: Counter[str]) -> Any:
    """(n,) texts, masked."""
    sole = (one for one in _SOLE if NAMED[one].search(column.field))
    kind: Any = named(column.field, column.above) or next(sole, None)
    cells = cells.cast(pa.string())
    if kind is not None:  # all cells of the form that the name says, at once
        where = values.mask_of(pc.match_substring_regex(cells, _SOLE.get(kind, r"^\s*[^\s\[]")))
        if where.any():
            counts.update({kind: int((where & keep).sum())})
            cells = pc.if_else(pa.array(where), MASKS[kind], cells)
    hidden = _column(cells, column.hide, counts, _rows_of(cells, column.numbered), keep)
    return cells if hidden is None else hidden


def _of_numbers(cells: Any, column: _Cells, keep: values.Mask, counts: Counter[str]) -> Any:
    """(n,) text for the whole numbers that are masked; null for others. None where none is."""
    least = 100_000 if column.numbered else 10**9  # nothing with fewer digits is found
    least = 1 if named(column.field, column.above) else least
    large = values.mask_of(pc.greater_equal(cells, least)) if pc.max(cells).as_py() is not None else None
    if large is None or not large.any():
        return None
    texts = pc.if_else(pa.array(large), values.text(cells), None)
    hidden = _column(texts, column.hide, counts, np.flatnonzero(large), keep)
    return None if hidden is None else pc.if_else(pc.equal(hidden, texts), None, hidden)


def _rows_of(cells: Any, numbered: bool) -> Any:
    """The rows of (n,) cells of a column that may hold something personal."""
    coded = _coded(cells)
    some = cells if coded is None else coded.dictionary
    rows = np.flatnonzero(_signed(some, numbered))
    if not numbered:
        rows = _likely(some, rows)
    objects = np.flatnonzero(_begins(some, b"[{"))
    if len(objects):
        rows = np.union1d(rows, objects[_keyed(some.take(pa.array(objects)))])
    return rows if coded is None else _of_codes(coded, rows)


def _signed(texts: Any, numbered: bool = False) -> values.Mask:
    """(n,) whether a text holds a sign of something personal: an @, or enough digits.

    Where texts are alike but for their digits, each likeness is looked at once. A number alone is none of anybody with
    fewer than 10 digits or with 12, and with 13 if it does not begin with China's 86; except where it is `numbered`.
    """
    shapes, rows = _shapes(texts), values.nothing(len(texts))
    if shapes is None:
        drawn = pc.match_substring_regex(texts.slice(0, _SAMPLE), DRAWN)
        if len(texts) <= _SAMPLE or not pc.all(drawn).as_py():
            return values.mask_of(pc.match_substring_regex(texts, SIGN))
        rows = ~values.mask_of(pc.match_substring_regex(texts, DRAWN))
        rows[rows] = values.mask_of(pc.match_substring_regex(texts.filter(pa.array(rows)), SIGN))
        return rows
    found = values.mask_of(pc.match_substring_regex(shapes.dictionary, _SIGN_OF_SHAPES))
    china = found & False
    if not numbered:
        sizes = pc.binary_length(shapes.dictionary).to_numpy()
        alone = values.mask_of(pc.match_substring_regex(shapes.dictionary, "^2+$"))
        china = alone & (sizes == 13)
        found &= ~(alone & ((sizes < 10) | (sizes == 12) | china))
    codes = shapes.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    rows = np.asarray(np.append(found, False)[codes], bool)
    if china.any():
        rows |= np.append(china, False)[codes] & values.mask_of(pc.starts_with(texts, "86"))
    return rows


def _likely(texts: Any, rows: Any) -> Any:
    """Those of some rows of (n,) texts that are likely to hold something personal."""
    return rows[values.mask_of(pc.match_substring_regex(texts.take(pa.array(rows)), LIKELY))] if len(rows) else rows


def _shapes(texts: Any) -> Any:
    """(n,) texts as codes, every digit a 2, where as far as the first ones tell they are then much alike; else None."""
    if len(texts) <= 2 * _SAMPLE or len(_with_twos(texts.slice(0, _SAMPLE)).unique()) > _SAMPLE // 4:
        return None
    return _with_twos(texts).dictionary_encode()


def _with_twos(texts: Any) -> Any:
    """(n,) texts, every digit a 2."""
    if texts.null_count:
        texts = texts.fill_null("")
    lengths, data = values.spans(texts)
    offsets, out = np.zeros(len(texts) + 1, np.int32), np.empty(len(data), np.uint8)
    np.cumsum(lengths, out=offsets[1:])
    for first in range(0, len(data), _BLOCK):
        block = data[first:first + _BLOCK]
        digits = ((block - np.uint8(48)) < np.uint8(10)).view(np.uint8) * np.uint8(255)
        np.bitwise_or(block & ~digits, digits & np.uint8(50), out=out[first:first + _BLOCK])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(out))


_SIGN_OF_SHAPES = SIGN.replace("%40", "%22").replace("%2540", "%2222")


def _begins(texts: Any, marks: bytes) -> values.Mask:
    """(n,) whether a text begins with one of some bytes."""
    lengths, data = values.spans(texts)
    first = np.concatenate([[0], np.cumsum(lengths[:-1])]) if len(lengths) else lengths
    found = np.zeros(len(texts), bool)
    there = lengths > 0
    found[there] = np.isin(data[first[there]], np.frombuffer(marks, np.uint8))
    return found & values.mask_of(texts.is_valid())


def _coded(cells: Any) -> Any:
    """(n,) texts as codes, where as far as the first ones tell they repeat themselves; else None."""
    few = len(cells) > 2 * _SAMPLE and len(cells.slice(0, _SAMPLE).unique()) <= _SAMPLE // 4
    return cells.dictionary_encode() if few else None


def _of_codes(coded: Any, codes: Any) -> Any:
    """The rows of (n,) codes that are among some."""
    if not len(codes):
        return codes
    wanted = np.zeros(len(coded.dictionary) + 1, bool)
    wanted[codes] = True
    return np.flatnonzero(wanted[coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)])


_SAMPLE = 1_024  # cells that are looked at first
_BLOCK = 1 << 17  # bytes, so that they stay in the processor's cache


def said(hidden: Mapping[str, int]) -> tuple[Sentence, ...]:
    """What was masked, kind -> how many, in words."""
    words_ = {"email": say("{n:,} e-mail addresses in texts were masked.", n=hidden.get("email", 0)),
              "phone": say("{n:,} telephone numbers in texts were masked.", n=hidden.get("phone", 0)),
              "card": say("{n:,} card numbers in texts were masked.", n=hidden.get("card", 0)),
              "id": say("{n:,} identity numbers in texts were masked.", n=hidden.get("id", 0)),
              "iban": say("{n:,} numbers of bank accounts in texts were masked.", n=hidden.get("iban", 0)),
              "ip": say("{n:,} addresses of machines in texts were masked.", n=hidden.get("ip", 0)),
              "name": say("{n:,} names of people in fields were masked.", n=hidden.get("name", 0)),
              "address": say("{n:,} postal addresses in fields were masked.", n=hidden.get("address", 0))}
    return tuple(sentence for kind, sentence in words_.items() if hidden.get(kind))


def mask_text(text: str, counts: Counter[str] | None = None) -> str:
    """As `mask`, of a text without a field."""
    return mask(text, counts=counts)


def _masked(table: pa.Table, how: Mapping[str, Hide], only: Mapping[str, values.Mask] | None = None
            ) -> tuple[pa.Table, Counter[str]]:
    counts, keep = Counter[str](), np.ones(table.num_rows, bool)
    for name, hide in how.items():
        cells = table.column(name)
        wanted = (only or {}).get(name)
        if cells.null_count == len(cells) or (wanted is not None and not wanted.any()):
            continue
        place, texts = table.column_names.index(name), values.flat(cells)
        hidden = _column(texts, hide, counts, _suspects(texts, hide is mask_json, wanted), keep)
        if hidden is not None:
            table = table.set_column(place, table.schema.field(name), hidden)
    return table, counts


def _column(cells: Any, hide: Hide, counts: Counter[str], rows: Any, keep: values.Mask) -> Any:
    """(n,) texts, those of some rows masked, and counted where they are kept; None where nothing was."""
    if not len(rows):
        return None
    encoded = cells.take(pa.array(rows)).dictionary_encode()
    times = np.bincount(encoded.indices.to_numpy(), keep[rows], minlength=len(encoded.dictionary)).astype(int).tolist()
    texts, changed = encoded.dictionary.to_pylist(), False
    for place, text in enumerate(texts):
        seen = Counter[str]()
        texts[place] = hide(text, seen)
        changed = changed or bool(seen)
        counts.update({kind: count * times[place] for kind, count in seen.items() if times[place]})
    if not changed:
        return None
    where = np.zeros(len(cells), bool)
    where[rows] = True
    return pc.replace_with_mask(cells, pa.array(where), pa.array(texts, pa.string()).take(encoded.indices))


def _suspects(cells: Any, objects: bool = False, wanted: values.Mask | None = None) -> Any:
    """The rows of (n,) texts, of those wanted, that may hold something personal; `objects`: of JSON objects."""
    valid = values.mask_of(cells.is_valid())
    coded = _coded(cells) if wanted is None else None
    if coded is not None:
        return _of_codes(coded, _suspects(coded.dictionary, objects, np.ones(len(coded.dictionary), bool)))
    given = np.flatnonzero(valid if wanted is None else wanted & valid)
    some = cells if len(given) == len(cells) else cells.take(pa.array(given))
    rows = _likely(some, np.flatnonzero(_signed(some)))
    return given[np.union1d(rows, np.flatnonzero(_keyed(some))) if objects else rows]


def _keyed(texts: Any) -> Any:
    """(n,) whether the text of a JSON object has a field that holds the name or address of a person."""
    found = values.mask_of(pc.match_substring_regex(texts, KEYS))
    bare = values.mask_of(pc.match_substring_regex(texts, PERSON_KEYS)) & ~found
    for row in np.flatnonzero(bare):  # a bare name is a product's, too
        found[row] = bool(_SIDE.search(texts[int(row)].as_py()))
    return found


_SIDE = re.compile(r"mail|phone|mobile|address|customer|user|buyer|recipient|contact|billing|shipping|person|手机|电话",
                   re.IGNORECASE)
