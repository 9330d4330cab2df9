"""Keyed 128-bit hashes of many cells at once, in numpy: names of events and digests of bodies.

Not cryptographic: two lanes of a multiply-and-rotate hash, seeded from a secret of the shop, so that nobody without it can
look for two texts that hash alike. Among 10^8 events the chance that any two share 128 bits is below 10^-22.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Hashes", "Seeds", "combined", "of_numbers", "of_texts", "seeds"]

Hashes = npt.NDArray[np.uint64]  # (n, 2)
Seeds = npt.NDArray[np.uint64]   # (2,), one a lane

_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_MORE = np.array([0xFF51AFD7ED558CCD, 0xD6E8FEB86659FD93], np.uint64)
_LONG = 64  # words of 8 bytes from which on a text is hashed by itself


def seeds(key: bytes, purpose: str) -> Seeds:
    """The seeds of one purpose (`event`, `price`, ...) under a key.

    >>> bool((seeds(b"k", "event") == seeds(b"k", "price")).any())
    False
    """
    raw = hashlib.blake2b(purpose.encode("utf-8"), digest_size=16, key=key, person=b"hashing").digest()
    return np.frombuffer(raw, np.uint64)


def of_numbers(values: npt.NDArray[Any], seed: Seeds) -> Hashes:
    """Hashes of (n,) numbers of 64 bits (int64, uint64 or float64), by their bits; -0.0 counts as 0.0.

    >>> of_numbers(np.array([1, 2, 1]), seeds(b"k", "line"))[0].tolist() == of_numbers(np.array([1]), seeds(
    ...     b"k", "line"))[0].tolist()
    True
    """
    if values.dtype == np.float64:
        values = values + 0.0
    words = np.ascontiguousarray(values).view(np.uint64)
    out = np.empty((len(words), 2), np.uint64)
    for lane in range(2):
        out[:, lane] = _finished(_stirred(np.full(len(words), seed[lane], np.uint64), words, lane), lane)
    return out


def of_texts(cells: Any, seed: Seeds) -> Hashes:
    """Hashes of (n,) strings or binaries of Arrow, by their bytes; a null hashes as the empty text.

    >>> found = of_texts(pa.array(["a", "b", "a", None, ""]), seeds(b"k", "event"))
    >>> found.shape, bool((found[0] == found[2]).all()), bool((found[0] == found[1]).any()), bool(
    ...     (found[3] == found[4]).all())
    ((5, 2), True, False, True)
    """
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    n = len(cells)
    offsets, data = _bytes_of(cells)
    length = np.diff(offsets)
    if cells.null_count:
        length = np.where(np.asarray(cells.is_valid().to_numpy(zero_copy_only=False), bool), length, 0)
    out = np.empty((n, 2), np.uint64)
    words = (length + 7) >> 3
    for size in np.unique(words).tolist():
        rows = np.flatnonzero(words == size)
        if size > _LONG:
            for row in rows.tolist():
                text = data[offsets[row]:offsets[row] + length[row]].tobytes()
                raw = hashlib.blake2b(text, digest_size=16, key=seed.tobytes()).digest()
                out[row] = np.frombuffer(raw, np.uint64)
            continue
        out[rows] = _of_words(_words(data, offsets[rows], length[rows], size), length[rows], seed)
    return out


def combined(parts: Hashes, other: Hashes) -> Hashes:
    """One hash of two, in their order."""
    out = np.empty_like(parts)
    for lane in range(2):
        out[:, lane] = _finished(_stirred(parts[:, lane], other[:, lane], lane), lane)
    return out


def _bytes_of(cells: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(n + 1,) offsets and the bytes that they point into."""
    wide = pa.types.is_large_string(cells.type) or pa.types.is_large_binary(cells.type)
    _, places, values = cells.buffers()
    offsets = np.frombuffer(places, np.int64 if wide else np.int32)[cells.offset:cells.offset + len(cells) + 1] \
        if places is not None and places.size else np.zeros(len(cells) + 1, np.int64)
    data = np.frombuffer(values, np.uint8) if values is not None else np.zeros(0, np.uint8)
    return offsets.astype(np.int64), data


def _words(data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], length: npt.NDArray[np.int64],
           size: int) -> npt.NDArray[np.uint64]:
    """(size, m) words of 8 bytes, the last filled up with zeros."""
    m = len(start)
    if size == 0:
        return np.zeros((0, m), np.uint64)
    alike = m > 0 and (length == length[0]).all()
    if alike and (np.diff(start) == length[0]).all():  # they lie one after the other
        cells = np.zeros((m, size * 8), np.uint8)
        cells[:, :length[0]] = data[start[0]:start[0] + m * length[0]].reshape(m, int(length[0]))
    else:
        at = start[:, None] + np.arange(size * 8)
        cells = data[np.minimum(at, max(0, len(data) - 1))]
        cells[np.arange(size * 8) >= length[:, None]] = 0
    return np.ascontiguousarray(cells.view(np.uint64).T)


def _of_words(words: npt.NDArray[np.uint64], length: npt.NDArray[np.int64], seed: Seeds) -> Hashes:
    out = np.empty((words.shape[1], 2), np.uint64)
    for lane in range(2):
        state = seed[lane] ^ (length.astype(np.uint64) * _MORE[lane])
        for row in words:
            state = _stirred(state, row, lane)
        out[:, lane] = _finished(state, lane)
    return out


def _stirred(state: npt.NDArray[np.uint64], word: npt.NDArray[np.uint64], lane: int) -> npt.NDArray[np.uint64]:
    mixed = (word ^ (word >> np.uint64(32))) * _ODD[lane]
    mixed ^= mixed >> np.uint64(29)
    state = (state ^ mixed) * _MORE[lane]
    return (state << np.uint64(27)) | (state >> np.uint64(37))


def _finished(state: npt.NDArray[np.uint64], lane: int) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(33))) * _ODD[1 - lane]
    state = (state ^ (state >> np.uint64(29))) * _MORE[1 - lane]
    return state ^ (state >> np.uint64(32))
