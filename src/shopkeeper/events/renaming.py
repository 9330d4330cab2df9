"""Old pseudonyms and the new ones in their place, wherever in texts and bytes they stand.

All pseudonyms have one length, so that whatever holds one keeps its own: a column is changed in the bytes of its texts,
a model or a file in its bytes, and nothing around moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import Damaged
from shopkeeper.words import say

__all__ = ["LENGTH", "Renaming"]

LENGTH = 26  # bytes: `c_` or `a_`, and 24 letters
_LETTER = np.isin(np.arange(256), np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8))
_SPAN = np.arange(LENGTH)
_NONE = np.zeros((0, LENGTH), np.uint8)
Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


class Renaming:
    """Which pseudonym comes in the place of which.

    >>> old, new = "c_" + "a" * 24, "c_" + "b" * 24
    >>> renaming = Renaming()
    >>> renaming.learn(pa.array([old]), pa.array([new]))
    >>> renaming.column(pa.array([old, None, f"of {old}", "c_" + "z" * 24])).to_pylist() == [
    ...     new, None, f"of {new}", "c_" + "z" * 24]
    True
    >>> renaming.places
    2
    """

    def __init__(self) -> None:
        self._old, self._new = np.zeros(0, f"S{LENGTH}"), _NONE  # (n,) sorted, and (n, LENGTH) in their order
        self._waiting: list[tuple[Bytes, Bytes]] = []
        self.places = 0  # how many pseudonyms were replaced so far

    def __len__(self) -> int:
        """How many pseudonyms it knows."""
        self._sort()
        return len(self._old)

    def learn(self, old: Any, new: Any) -> None:
        """Take (n,) pseudonyms and (n,) others to come in their place; what is known already stays as it is."""
        self._waiting.append((_rows_of(old), _rows_of(new)))

    def unknown(self, cells: Any) -> Any:
        """The distinct ones of (n,) texts that are pseudonyms, as a whole, and are not known."""
        names = cells.dictionary if pa.types.is_dictionary(cells.type) else cells.drop_null()
        names = names.filter(pc.equal(pc.binary_length(names), LENGTH)).unique().drop_null()
        if not len(names):
            return names
        data = _rows_of(names).reshape(-1)
        at = _places(data)
        at = at[at % LENGTH == 0]
        _, known = self._find(data[at[:, None] + _SPAN])
        return names.take(pa.array(at[~known] // LENGTH))

    def column(self, cells: Any) -> Any:
        """A column with the new pseudonyms: texts of Arrow, perhaps as codes, chunked or not; others as they are.

        Raises:
            TypeError: Cells of this kind may hold texts, and nobody taught this to look into them.
        """
        if isinstance(cells, pa.ChunkedArray):
            return pa.chunked_array([self.column(chunk) for chunk in cells.chunks], cells.type)
        kind = cells.type
        if pa.types.is_dictionary(kind):
            return pa.DictionaryArray.from_arrays(cells.indices, self.column(cells.dictionary))
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._texts(cells)
        if not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
                or pa.types.is_fixed_size_binary(kind)):
            raise TypeError(f"pseudonyms within {kind} cannot be renamed")
        return cells

    def bytes(self, data: bytes) -> bytes:
        """Bytes with the new pseudonyms."""
        held = np.frombuffer(data, np.uint8).copy()
        self._patch(held, None)
        return held.tobytes()

    def _texts(self, cells: Any) -> Any:
        valid, places, data = cells.buffers()
        if data is None or data.size < LENGTH:
            return cells
        held = np.frombuffer(data, np.uint8).copy()
        wide = np.int64 if pa.types.is_large_string(cells.type) else np.int32
        edges = np.frombuffer(places, wide)[cells.offset:cells.offset + len(cells) + 1].astype(np.int64)
        if not self._patch(held, edges):
            return cells
        return pa.Array.from_buffers(cells.type, len(cells), [valid, places, pa.py_buffer(held)], offset=cells.offset)

    def _patch(self, data: Bytes, edges: Rows | None) -> int:
        """Put the new pseudonyms in, none across an edge between two texts; how many there were."""
        at = _places(data)
        if edges is not None and len(at):
            at = at[np.searchsorted(edges, at, side="right") == np.searchsorted(edges, at + LENGTH - 1, side="right")]
        if not len(at):
            return 0
        new, known = self._find(data[at[:, None] + _SPAN])
        data[at[known][:, None] + _SPAN] = new[known]
        self.places += int(known.sum())
        return int(known.sum())

    def _find(self, rows: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """(m, LENGTH) what comes in the place of these, and (m,) whether it is known."""
        self._sort()
        if not len(self._old):
            return rows, np.zeros(len(rows), bool)
        asked = np.ascontiguousarray(rows).view(self._old.dtype).reshape(-1)
        at = np.minimum(np.searchsorted(self._old, asked), len(self._old) - 1)
        return self._new[at], self._old[at] == asked

    def _sort(self) -> None:
        if not self._waiting:
            return
        old = np.concatenate([self._old.view(np.uint8).reshape(-1, LENGTH), *(one for one, _ in self._waiting)])
        new = np.concatenate([self._new, *(other for _, other in self._waiting)])
        self._waiting = []
        self._old, first = np.unique(np.ascontiguousarray(old).view(f"S{LENGTH}").reshape(-1), return_index=True)
        self._new = new[first]


def _places(data: Bytes) -> Rows:
    """Where in bytes something of the form of a pseudonym begins."""
    if len(data) < LENGTH:
        return np.zeros(0, np.int64)
    bar = np.flatnonzero(data[1:len(data) - LENGTH + 2] == ord("_"))  # the byte before it is at the same number
    bar = bar[np.isin(data[bar], (ord("a"), ord("c")))]
    found: Rows = bar[_LETTER[data[bar[:, None] + _SPAN[2:]]].all(axis=1)]
    return found


def _rows_of(names: Any) -> Bytes:
    """(n, LENGTH) the bytes of pseudonyms.

    Raises:
        Damaged: One of them has another length.
    """
    names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    text = "".join(names.to_pylist()).encode() if len(names) else b""
    if len(text) != LENGTH * len(names):
        raise Damaged(say("the vault holds what is no pseudonym."), do=[say("put it back from your backup.")],
                      why=say("a pseudonym has 26 letters."))
    return np.frombuffer(text, np.uint8).reshape(-1, LENGTH)
