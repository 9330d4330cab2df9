"""kill -9 before a step of an undo leaves the shop as before or as after, and the next writer cleans up."""

import shutil

import pytest

from shopkeeper import ledger
from shopkeeper.shop import Shop
from shopkeeper.warehouse.compaction import CROWD, compact
from warm import warm

from .test_undo import TIME, check_whole, records, state

CHILD = """
import os, sys
from shopkeeper import ledger
from shopkeeper.shop import Shop

shop, left = Shop.open(sys.argv[1]), int(sys.argv[3])

def counted(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return function(*args, **kwargs)
    return call

os.fsync, os.replace = counted(os.fsync), counted(os.replace)
ledger.undo(shop, sys.argv[2])
"""


@pytest.mark.slow
def test_a_kill_before_a_step_of_an_undo_leaves_the_shop_as_before_or_as_after(tmp_path):
    shop = Shop.open(tmp_path / "first")
    numbers = [shop.ingest(records(n * 100, count=4), received_at=TIME + n).id for n in range(CROWD)]
    while compact(shop.store, shop.keys()) is not None:
        continue
    before = state(shop)
    shutil.copytree(tmp_path / "first", tmp_path / "after")
    other = Shop.open(tmp_path / "after")
    ledger.undo(other, numbers[3])
    after = state(other)

    outcomes = []
    for step in range(0, 100, 3):
        place = tmp_path / f"step{step}"
        shutil.copytree(tmp_path / "first", place)
        done = warm().run(CHILD, place, numbers[3], step)
        found = Shop.open(place)
        outcomes.append(state(found) == after)
        assert outcomes[-1] or state(found) == before
        check_whole(found)
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert outcomes[-1]
    assert outcomes == sorted(outcomes)
    assert outcomes.count(False) >= 5
