"""What has no column of its own, kept verbatim: one JSON object a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.values import by_unique, flat, mask_of, text


def props(cells: Mapping[str, Any], n: int, instead: Mapping[str, Any] | None = None) -> Any:
    """Left-over columns as JSON text.

    Args:
        cells: Source column -> (n,) cells; null cells are left out.
        n: Rows.
        instead: Source column -> (n,) text that stands where its cell is null.

    Returns:
        (n,) text: `{"store":"330","week":1}`, names sorted, null where a row has nothing left over. Numbers and
        Booleans stay what they are; everything else is text.

    >>> props({"store": pa.array(["a\\"b", None]), "week": pa.array([1, None])}, 2).to_pylist()
    ['{"store":"a\\\\"b","week":1}', None]
    """
    more = instead or {}
    pieces = [_piece(name, flat(one[name])) for name in sorted(cells) for one in (cells, more) if name in one]
    pieces = [piece for piece in pieces if piece.null_count < n]
    if not pieces:
        return pa.nulls(n, pa.string())
    inner = joined(pieces, ",")
    return pc.binary_join_element_wise("{", inner, "}", "")


def together(first: Any, second: Any, prefix: str) -> Any:
    """Two arrays of JSON objects as one; a name of the second that the first has too gets the prefix.

    >>> together(pa.array(['{"a":1}', None]), pa.array(['{"a":2,"b":3}', '{"c":4}']), "items.").to_pylist()
    ['{"a":1,"items.a":2,"b":3}', '{"c":4}']
    """
    rows = np.flatnonzero(mask_of(pc.and_(pc.is_valid(first), pc.is_valid(second))))
    if not len(rows):
        return pc.coalesce(first, second)
    both = [_together(one.as_py(), two.as_py(), prefix)
            for one, two in zip(first.take(pa.array(rows)), second.take(pa.array(rows)), strict=True)]
    mask = np.zeros(len(first), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(pc.coalesce(first, second), pa.array(mask), pa.array(both, pa.string()))


def _together(first: str, second: str, prefix: str) -> str:
    known, other = json.loads(first), json.loads(second)
    if known.keys() & other.keys():
        renamed = {prefix + name if name in known else name: value for name, value in other.items()}
        second = json.dumps(renamed, ensure_ascii=False, separators=(",", ":"))
    return first[:-1] + "," + second[1:]


def joined(pieces: Sequence[Any], separator: str) -> Any:
    """Texts of one row put together, nulls left out; null where all are null.

    (The engine's own way to skip nulls, pyarrow 26, drops a row of nulls altogether.)

    >>> joined([pa.array(["a", None, None]), pa.array(["b", "c", None])], " > ").to_pylist()
    ['a > b', 'c', None]
    """
    led = [pc.fill_null(pc.binary_join_element_wise(separator, piece, ""), "") for piece in pieces]
    whole = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*led, ""), len(separator))
    nothing = pieces[0].is_null()
    for piece in pieces[1:]:
        nothing = pc.and_(nothing, piece.is_null())
    return pc.if_else(nothing, None, whole)


def _piece(name: str, array: Any) -> Any:
    kind = array.type
    if pa.types.is_boolean(kind):
        value = pc.if_else(array, "true", "false")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        value = text(array)
    else:
        value = _quoted(text(array))
    return pc.binary_join_element_wise(json.dumps(name, ensure_ascii=False) + ":", value, "")


def _quoted(cells: Any) -> Any:
    plain = pc.replace_substring(pc.replace_substring(cells, "\\", "\\\\"), '"', '\\"')
    plain = pc.binary_join_element_wise('"', plain, '"', "")
    odd = mask_of(pc.match_substring_regex(cells, r"[\x00-\x1f]"))
    if not odd.any():
        return plain
    escaped = by_unique(cells, odd, lambda cell: json.dumps(cell, ensure_ascii=False), pa.string())
    return pc.coalesce(escaped, plain)
