"""Work on several cores whose results come in the order of what went in, with a bounded number of things under way."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["ahead", "in_order"]

T = TypeVar("T")
R = TypeVar("R")
_END = object()
_PATIENCE = 0.2  # seconds between looks at whether anybody still wants what is made ahead


def ahead(items: Generator[T, None, None], most: int) -> Generator[T, None, None]:
    """The same items, made by a thread of its own that is at most so many ahead; an error comes in its place.

    >>> list(ahead((n for n in range(5)), 2))
    [0, 1, 2, 3, 4]
    """
    made: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(most)
    over = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, over), daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        over.set()
        thread.join()


def _make(items: Generator[T, None, None], made: queue.Queue[tuple[Any, BaseException | None]],
          over: threading.Event) -> None:
    def put(item: Any, error: BaseException | None = None) -> bool:
        while not over.is_set():
            try:
                made.put((item, error), timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    try:
        for item in items:
            if not put(item):
                return
        put(_END)
    except BaseException as error:  # whatever it is, the one who asked gets it
        put(None, error)
    finally:
        items.close()


def in_order(work: Callable[[T], R], items: Iterator[T], threads: int) -> Iterator[R]:
    """`work` of each item, on so many threads; results and errors come in the order of the items.

    At most twice as many items as threads are under way; with one thread, one, in the thread of whoever asks. What the
    work of an item raises is raised in its turn.

    >>> list(in_order(lambda n: n * n, iter(range(5)), 2))
    [0, 1, 4, 9, 16]
    """
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
