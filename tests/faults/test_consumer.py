"""A consumer that is killed again and again counts each entry of its stream once."""

import os
import random
import subprocess
import sys
import time

import pytest

from faults.broker import Redis
from faults.harness import BOOKS, check_account, share, stored_ids
from shopkeeper.shop import Shop

KILLS = share(200, 20)
POINTS = [("half", 4), ("fdatasync", 4), ("synced", 4), ("fsync", 12), ("replace", 6)]


@pytest.fixture
def broker(tmp_path):
    made = Redis(tmp_path)
    yield made
    made.stop()


@pytest.mark.outside
def test_a_consumer_that_is_killed_again_and_again_counts_each_entry_once(tmp_path, broker, nursery):
    chance, shop, sent, killed, stopped = random.Random(11), tmp_path / "shop", [], 0, 0
    words = ("consume", shop, "--redis", broker.url, "--stream", "clicks", "--count", "7")
    for turn in range(KILLS):
        point, most = POINTS[turn // 2 % len(POINTS)]
        stop = ["main", point, chance.randrange(most)] if turn % 2 else None
        nursery.start(*words, faults={"stop": stop} if stop else None)
        sent += [broker.add(event="view_item", customer_id="ann", item_id=f"i{turn}") for _ in range(40)]
        if stop:
            stopped += nursery.reached(8) is not None
        else:
            time.sleep(chance.uniform(0.0, 0.4))
        code = nursery.kill()
        assert code == -9, nursery.printed()
        killed += 1

    done = subprocess.run([sys.executable, "-m", "shopkeeper.doors.cli", *map(str, words), "--once", "--json"],
                          capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    at_rest = Shop.open(shop)
    there = stored_ids(at_rest)
    BOOKS["consumer killed"] = {
        "kills": killed, "at chosen points": stopped, "entries": len(sent),
        "lost": len({f"redis:clicks:{entry}" for entry in sent} - set(there)), "doubled": len(there) - len(set(there))}
    assert there == sorted(f"redis:clicks:{entry}" for entry in sent)
    assert sum(one.received for one in at_rest.manifest.imports) == len(sent)  # nothing was even handed over twice
    assert stopped >= KILLS // 4
    check_account(at_rest)
