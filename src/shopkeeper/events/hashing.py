"""Keyed 128-bit hashes of many cells at once, in numpy: names of events and digests of bodies.

Not cryptographic: two lanes of a multiply-and-rotate hash, seeded from a secret of the shop, so that nobody without it
can look for two texts that hash alike. Among 10^8 events the chance that any two share 128 bits is below 10^-22.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Hashes", "Seeds", "as_binary", "as_hexadecimal", "combined", "finished", "of_numbers", "of_texts", "seeds"]

Hashes = npt.NDArray[np.uint64]  # (n, 2)
Seeds = npt.NDArray[np.uint64]   # (2,), one a lane

_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_MORE = np.array([0xFF51AFD7ED558CCD, 0xD6E8FEB86659FD93], np.uint64)
_LONG = 64  # words of 8 bytes; a longer text is hashed by itself
_TAILS = np.array([2**64 - 1, *((1 << 8 * n) - 1 for n in range(1, 8))], np.uint64)  # of the last word, by length % 8
_DIGITS = np.frombuffer(b"".join(b"%02x" % n for n in range(256)), np.uint16)  # (256,) two digits each
_Texts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


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
    start, length, data = _bytes_of(cells)
    if cells.null_count:
        length = np.where(np.asarray(cells.is_valid().to_numpy(zero_copy_only=False), bool), length, 0)
    size = (length + 7) >> 3
    long = np.flatnonzero(size > _LONG)
    out = np.empty((len(start), 2), np.uint64)
    for row in long.tolist():
        text = data[start[row]:start[row] + length[row]].tobytes()
        raw = hashlib.blake2b(text, digest_size=16, key=seed.tobytes()).digest()
        out[row] = np.frombuffer(raw, np.uint64)
    if not len(long):
        _stir_all(out, None, (start, length, size), data, seed)
    elif len(long) < len(start):
        rows = np.flatnonzero(size <= _LONG)
        _stir_all(out, rows, (start[rows], length[rows], size[rows]), data, seed)
    return out


def combined(parts: Hashes, other: Hashes) -> Hashes:
    """One hash of two, in their order."""
    out = np.empty_like(parts)
    for lane in range(2):
        out[:, lane] = _finished(_stirred(parts[:, lane], other[:, lane], lane), lane)
    return out


def finished(sums: Hashes) -> Hashes:
    """Hashes of sums of hashes: of a set of cells, whatever their order."""
    out = np.empty_like(sums)
    for lane in range(2):
        out[:, lane] = _finished(sums[:, lane], lane)
    return out


def as_binary(hashes: Hashes) -> Any:
    """(n,) binary(16) of Arrow."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hashes),
                                                [None, pa.py_buffer(np.ascontiguousarray(hashes))])


def as_hexadecimal(hashes: Hashes) -> Any:
    """(n,) strings of 32 hexadecimal digits, as of the bytes of `as_binary`.

    >>> as_hexadecimal(np.array([[1, 0xab]], np.uint64)).to_pylist()
    ['0100000000000000ab00000000000000']
    """
    digits = _DIGITS[np.ascontiguousarray(hashes).view(np.uint8)].reshape(len(hashes), 16)
    offsets = np.arange(len(hashes) + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(len(hashes), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(digits)))


def _bytes_of(cells: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(n,) starts and lengths, and the bytes that they lie in, with 8 zeros after them."""
    wide = pa.types.is_large_string(cells.type) or pa.types.is_large_binary(cells.type)
    _, places, values = cells.buffers()
    if places is None or not places.size:
        return np.zeros(len(cells), np.int64), np.zeros(len(cells), np.int64), np.zeros(8, np.uint8)
    width: type[np.int64 | np.int32] = np.int64 if wide else np.int32
    offsets = np.frombuffer(places, width)[cells.offset:cells.offset + len(cells) + 1].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.zeros(last - first + 8, np.uint8)
    if values is not None:
        data[:-8] = np.frombuffer(values, np.uint8)[first:last]
    return offsets[:-1] - first, np.diff(offsets), data


def _stir_all(out: Hashes, rows: npt.NDArray[np.int64] | None, texts: _Texts, data: npt.NDArray[np.uint8],
              seed: Seeds) -> None:
    """Hashes of texts of at most `_LONG` words into these rows of `out`; None for all rows.

    Args:
        out: (n, 2).
        rows: (m,) where the hashes go.
        texts: (m,) starts, lengths in bytes and lengths in words.
        data: What the starts point into.
        seed: Of the hash.
    """
    start, length, size = texts
    most = int(size.max(initial=0))
    if int(size.min(initial=0)) != most:  # the longest first, so that those with a k-th word are the first ones
        order = np.argsort((most - size).astype(np.uint8), kind="stable")
        start, length, size = start[order], length[order], size[order]
        rows = order if rows is None else rows[order]
    several = np.searchsorted(-size, -np.arange(1, most + 2), side="right").tolist()  # how many have a k-th word
    at = np.ndarray((len(data) - 7,), np.uint64, data, 0, (1,))  # the 8 bytes from each byte on
    tail = _TAILS[length & 7]
    states = [seed[lane] ^ (length.astype(np.uint64) * _MORE[lane]) for lane in range(2)]
    for word in range(most):
        m, further = several[word], several[word + 1]
        words = at[start[:m] + 8 * word]
        words[further:] &= tail[further:m]
        for lane in range(2):
            states[lane][:m] = _stirred(states[lane][:m], words, lane)
    for lane in range(2):
        out[slice(None) if rows is None else rows, lane] = _finished(states[lane], lane)


def _stirred(state: npt.NDArray[np.uint64], word: npt.NDArray[np.uint64], lane: int) -> npt.NDArray[np.uint64]:
    mixed = word >> np.uint64(32)
    mixed ^= word
    mixed *= _ODD[lane]
    mixed ^= mixed >> np.uint64(29)
    mixed ^= state
    mixed *= _MORE[lane]
    low = mixed >> np.uint64(37)
    mixed <<= np.uint64(27)
    mixed |= low
    return mixed


def _finished(state: npt.NDArray[np.uint64], lane: int) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(33))) * _ODD[1 - lane]
    state = (state ^ (state >> np.uint64(29))) * _MORE[1 - lane]
    return state ^ (state >> np.uint64(32))
