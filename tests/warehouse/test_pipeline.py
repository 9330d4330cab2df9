"""Work on several threads: the order of what went in, errors in their place, nothing left running."""

import threading

import pytest

from shopkeeper.warehouse.pipeline import ahead, in_order


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_come_in_the_order_of_the_items_whoever_is_done_first(threads):
    first = threading.Event()

    def work(n):
        if n == 0 and threads > 1:
            assert first.wait(10)
        if n == 1:
            first.set()
        return n

    assert list(in_order(work, iter(range(50)), threads)) == list(range(50))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_in_the_turn_of_its_item(threads):
    def work(n):
        if n == 7:
            raise ValueError("seven")
        return n

    seen = []
    with pytest.raises(ValueError, match="seven"):
        seen.extend(in_order(work, iter(range(20)), threads))
    assert seen == list(range(7))


def test_no_more_than_twice_as_many_items_as_threads_are_taken_ahead():
    taken = []
    results = in_order(lambda n: n, (taken.append(n) or n for n in range(100)), 2)

    next(results)

    assert len(taken) == 4


def test_what_is_made_ahead_is_the_same_and_its_error_comes_after_it():
    def items():
        yield from range(5)
        raise OSError("full")

    seen = []
    with pytest.raises(OSError, match="full"):
        seen.extend(ahead(items(), 2))
    assert seen == [0, 1, 2, 3, 4]


def test_whoever_stops_asking_stops_the_making():
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    made = ahead(items(), 2)
    next(made)
    made.close()

    assert closed.is_set()
