"""What a record says, as 128 bits: by them a repeat is told from another event, and what has no id is named.

A body is the sum of the keyed hashes of its cells, each under the name of its column: neither the order of columns, nor
columns that are empty, nor the batch around a record matter. Cells of our columns count as what they mean (the number
1.5, not its spelling), all others as their canonical text, so that it does not matter how a file stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.events import values
from shopkeeper.events.hashing import Hashes, Seeds, finished, of_numbers, of_texts, seeds
from shopkeeper.events.raw import canonical
from shopkeeper.events.schema import MONEY

__all__ = ["body_hashes", "content_hashes", "rest_sums"]

_NOT_BODY = frozenset({"client_ts", "sent_at", "received_at", "event_id", "source", "schema_version", "props",
                       "traffic", "bot_score", "bot_reason"})  # a list of crawlers changes, the record does not

_SAMPLE, _FEW = 1_024, 128  # cells that are looked at, and how many different ones are few


def content_hashes(columns: Mapping[str, Any], source: str, key: bytes) -> Hashes:
    """Names for records that have none: (n, 2) hashes of all that they say, as they came.

    Args:
        columns: Column of the source -> (n,) cells, without the clocks of sending and receiving.
        source: The label of the connector; two connectors do not name alike.
        key: Of the shop.

    >>> a, b = pa.array(["x", "y"]), pa.array([1, None])
    >>> one, other = (content_hashes(columns, "file", b"k") for columns in ({"a": a, "b": b}, {"b": b, "a": a}))
    >>> bool((one == other).all())
    True
    """
    return finished(_texts_sum(columns, f"content {source}", key))


def rest_sums(columns: Mapping[str, Any], key: bytes) -> Hashes:
    """(n, 2) what the cells beyond our columns add to a body."""
    return _texts_sum(columns, "rest", key)


def body_hashes(table: pa.Table, apart: Any, rest: Hashes | None, key: bytes) -> Hashes:
    """Hashes of canonical rows without the clocks: the same event sent again has the same body.

    Args:
        table: (m,) rows of the event table, `ts` as the sender said it; `props` is left out.
        apart: (m,) JSON text of what an item has beyond our columns; null for none.
        rest: (m, 2) of `rest_sums`; None for nothing.
        key: Of the shop.
    """
    total = np.zeros((table.num_rows, 2), np.uint64) if rest is None else rest.copy()
    for name in table.column_names:
        if name not in _NOT_BODY:
            _add(total, values.flat(table.column(name)), seeds(key, f"body {name}"))
    _add(total, values.flat(apart), seeds(key, "apart"))
    return finished(total)


def _texts_sum(columns: Mapping[str, Any], purpose: str, key: bytes) -> Hashes:
    n = len(next(iter(columns.values()))) if columns else 0
    total = np.zeros((n, 2), np.uint64)
    for name, cells in columns.items():
        if cells.null_count < n:
            _add(total, canonical(values.flat(cells)), seeds(key, f"{purpose} {name}"))
    return total


def _add(total: Hashes, cells: Any, seed: Seeds) -> None:
    """Add the hashes of the cells that are not null to their rows."""
    if cells.null_count == len(cells):
        return
    if _few(cells):
        total += _of_codes(cells.dictionary_encode(), seed)
    elif cells.null_count == 0:
        total += _of_cells(cells, seed)
    else:
        valid = values.mask_of(cells.is_valid())
        rows = np.flatnonzero(valid)
        if 2 * len(rows) < len(cells):
            total[rows] += _of_cells(cells.take(pa.array(rows)), seed)
        else:  # then it is faster to take all
            total += _of_cells(cells, seed) * valid[:, None]


def _few(cells: Any) -> bool:
    """Whether cells are texts of which, as far as the first ones tell, few are different."""
    if len(cells) <= _SAMPLE or not (pa.types.is_string(cells.type) or pa.types.is_binary(cells.type)):
        return False
    return len(cells.slice(0, _SAMPLE).unique()) < _FEW


def _of_codes(coded: Any, seed: Seeds) -> Hashes:
    """Hashes of (n,) texts as codes, each text hashed once; 0 for a null."""
    hashes = np.concatenate([of_texts(coded.dictionary, seed), np.zeros((1, 2), np.uint64)])
    out: Hashes = np.take(hashes, coded.indices.fill_null(len(coded.dictionary)).to_numpy(), axis=0)
    return out


def _of_cells(cells: Any, seed: Seeds) -> Hashes:
    """Hashes of (n,) cells; whatever for a null."""
    kind = cells.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return of_texts(cells, seed)
    if kind == MONEY:
        return of_numbers(_ten_thousandths(cells), seed)
    if pa.types.is_timestamp(kind):
        cells = cells.cast(pa.int64())
    if cells.null_count:
        cells = cells.fill_null(pa.scalar(0).cast(cells.type))
    numbers = cells.to_numpy(zero_copy_only=False)
    return of_numbers(numbers if numbers.dtype == np.float64 else numbers.astype(np.int64), seed)


def _ten_thousandths(money: Any) -> npt.NDArray[np.int64]:
    """(n,) decimals(18, 4) as whole numbers of 0.0001: the low half of each, for 18 digits fit into 64 bits."""
    low = np.frombuffer(money.buffers()[1], "<i8")[::2]
    return np.ascontiguousarray(low[money.offset:money.offset + len(money)])
