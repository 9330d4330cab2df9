"""Keeping the server's resident memory small: what was freed goes back to the system, and not into reserves."""

from __future__ import annotations

import ctypes
import gc
import sys

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3)
_ARENAS = 2
_LARGE = 1 << 20  # bytes from which on an array has pages of its own, which go back when it goes


def keep_small() -> None:
    """Let few reserves be kept: called before anything large is made. On systems other than Linux only Arrow's."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            for what, value in ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 8 * _LARGE)):
                libc.mallopt(what, value)


def give_back() -> None:
    """Give freed pages back to the system, where its library can (glibc).

    Expressions of queries are full of circles, and the server looks for circles seldom: here they go, too.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
