"""Ids and the rows that stand for them: text outside, small integers inside every array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.words import say

__all__ = ["UNKNOWN", "Ids", "Vocabulary"]

UNKNOWN = -1
Ids: TypeAlias = "pa.Array | pa.ChunkedArray | npt.NDArray[Any] | Iterable[str]"


class Vocabulary:
    """Ids (text) to rows 0 … n-1 and back. It never changes; `extended` gives a longer one that keeps every row.

    >>> items = Vocabulary(["tea", "milk"])
    >>> items.rows(["milk", "rum", "tea"]).tolist()
    [1, -1, 0]
    >>> items.extended(["rum", "tea"]).ids([2, 0])
    ['rum', 'tea']
    """

    def __init__(self, ids: Ids = ()) -> None:
        """Take distinct ids in the order of their rows.

        Raises:
            BadInput: An id is missing or stands there twice.
        """
        self._ids = _text(ids)
        if self._ids.null_count:
            raise BadInput(say("{n} ids are missing; a vocabulary needs every id.", n=self._ids.null_count),
                           do=[say("Vocabulary.of(ids)")])
        repeated = len(self._ids) - len(pc.unique(self._ids))
        if repeated:
            raise BadInput(say("{n} ids stand there twice; a vocabulary needs distinct ids.", n=repeated),
                           do=[say("Vocabulary.of(ids)")])

    @classmethod
    def of(cls, ids: Ids) -> Vocabulary:
        """The distinct ids of a column, sorted by their UTF-8 bytes; missing ones are left out.

        >>> Vocabulary.of(["b", "a", "b", None]).ids()
        ['a', 'b']
        """
        distinct = pc.unique(_text(ids).drop_null())
        return cls(distinct.take(pc.sort_indices(distinct)))

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Vocabulary:
        """The inverse of `state`."""
        offsets, data = arrays["offsets"], arrays["data"]
        buffers = [None, pa.py_buffer(offsets.astype(np.int64).tobytes()), pa.py_buffer(data.tobytes())]
        return cls(pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As arrays: `offsets` (n + 1,) int64 into `data` (bytes,) uint8, the ids in UTF-8 one after another."""
        lengths = np.asarray(pc.binary_length(self._ids).to_numpy(zero_copy_only=False), dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        joined = "".join(self._ids.to_pylist()).encode()
        return {"offsets": offsets, "data": np.frombuffer(joined, dtype=np.uint8).copy()}

    def rows(self, ids: Ids) -> npt.NDArray[np.int64]:
        """The row of each id, (n,) int64; -1 where the id is unknown or missing."""
        asked = _text(ids)
        if not len(self._ids):
            return np.full(len(asked), UNKNOWN, dtype=np.int64)
        found = pc.fill_null(pc.index_in(asked, value_set=self._ids), UNKNOWN)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)

    def row(self, name: str) -> int:
        """The row of one id; -1 where it is unknown."""
        return int(self.rows([name])[0])

    def ids(self, rows: npt.ArrayLike | None = None) -> list[str]:
        """The ids of these rows, or all of them in the order of their rows.

        Raises:
            IndexError: A row is negative or past the end.
        """
        if rows is None:
            return list(self._ids.to_pylist())
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows must lie in 0 ... {len(self) - 1}")
        return list(self._ids.take(pa.array(wanted)).to_pylist())

    def extended(self, ids: Ids) -> Vocabulary:
        """A vocabulary that also holds these ids: old rows stay, new ids follow in sorted order."""
        new = Vocabulary.of(ids)._ids
        fresh = new.filter(pc.invert(pc.is_in(new, value_set=self._ids))) if len(self) else new
        return Vocabulary(pa.concat_arrays([self._ids, fresh]))

    @property
    def arrow(self) -> Any:
        """The ids as an Arrow array of large strings, in the order of their rows."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.row(name) != UNKNOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and bool(self._ids.equals(other._ids))

    def __hash__(self) -> int:
        return hash((len(self), *self._ids[:3].to_pylist()))


def _text(ids: Ids) -> Any:
    """Any column of ids as one Arrow array of large strings."""
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if isinstance(ids, pa.Array):
        return ids.cast(pa.large_string())
    values = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    return pa.array(values, type=pa.large_string())
