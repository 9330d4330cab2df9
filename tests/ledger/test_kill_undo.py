"""kill -9 before a step of an undo leaves the shop as before or as after, and the next writer cleans up."""

import shutil

import pytest

from killing import killed_at
from shopkeeper import ledger
from shopkeeper.shop import Shop
from shopkeeper.warehouse.compaction import CROWD, compact

from .test_undo import TIME, check_whole, records, state

OPENED = "from shopkeeper import ledger\nfrom shopkeeper.shop import Shop\nshop = Shop.open({!r})"


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
        died = killed_at(step, f"ledger.undo(shop, {numbers[3]!r})", before=OPENED.format(str(place)),
                         steps=("fsync", "replace"))
        found = Shop.open(place)
        outcomes.append(state(found) == after)
        assert outcomes[-1] or state(found) == before
        check_whole(found)
        if not died:
            break
    assert outcomes[-1]
    assert outcomes == sorted(outcomes)
    assert outcomes.count(False) >= 5
