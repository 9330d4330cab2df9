"""kill -9 at any moment of an import leaves the shop as before or as after."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shopkeeper.shop import Shop
from warehouse.batches import AGAIN, NEW, batch, ids, ingest
from warehouse.made import files_of, named_files

KILLS, STEPWISE, SHOPS = 100, 70, 10
TESTS = Path(__file__).parent.parent


class Victim:
    """The process of `victim.py`, and its children."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, str(TESTS / "warehouse" / "victim.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(TESTS)})

    def say(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().decode().strip()

    def ingest(self, shop, number, *, stepwise):
        self.say(json.dumps({"shop": str(shop), "batch": number, "stepwise": stepwise}))
        return int(self.hear())

    def died(self):
        """Wait for the end of the child; whether it was the signal that ended it."""
        while (said := self.hear()) not in ("killed", "ended"):
            continue
        return said == "killed"

    def kill_at_step(self, shop, number, step):
        """Kill the child when it is about to take a step; False where it ended before."""
        pid = self.ingest(shop, number, stepwise=True)
        for taken in range(step + 1):
            if self.hear() == "ended":
                return False
            if taken < step:
                self.say("go")
        os.kill(pid, signal.SIGKILL)
        return self.died()

    def kill_after(self, shop, number, seconds):
        """Kill the child after a while; False where it ended before."""
        pid = self.ingest(shop, number, stepwise=False)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        self.say("over")
        return self.died()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def victim():
    made = Victim()
    yield made
    made.close()


def stored(shop):
    engine = shop.engine
    return sorted(engine.run(engine.events())["event_id"].to_pylist())


def leftovers(path):
    """Files of the folders that hold data which the manifest does not name."""
    manifest = Shop.open(path).manifest
    known = named_files(manifest) | set(manifest.retired) | {"shop.toml", "keys/pseudonym.key", "keys/vault.key"}
    return files_of(path) - known


def check_after_kill(path, number, before):
    """The shop holds batches 0..number-1, or 0..number, and nothing between; whether the batch had been committed."""
    shop = Shop.open(path)
    older = set().union(*(ids(one) for one in range(number)))
    committed = shop.manifest != before
    assert stored(shop) == sorted(older | ids(number) if committed else older)
    assert len(shop.manifest.imports) == len(before.imports) + committed
    assert shop.manifest.events == sum(one.stored for one in shop.manifest.imports)
    return committed


def check_next_writer(path, number, committed):
    """The next writer cleans up, succeeds, and counts each record exactly."""
    done = ingest(path, number)
    repeats = AGAIN if number else 0
    assert done.received == len(batch(number)) == done.stored + done.duplicate + done.quarantined
    assert done.stored == (0 if committed else NEW)
    assert done.duplicate == (NEW if committed else 0) + repeats
    assert dict(done.reasons) == {"missing_time": 1, **({"conflict": 1} if number else {})}
    assert leftovers(path) == set()


@pytest.mark.slow
def test_a_hundred_kills_leave_the_shop_as_before_or_as_after_and_never_between(tmp_path, victim):
    chance = random.Random(7)
    between = committed_kills = killed = number = step = 0
    while killed < KILLS:
        path = tmp_path / f"shop{killed * SHOPS // KILLS}"
        if not path.exists():
            number = 0
            ingest(path, number)
        number += 1
        before = Shop.open(path).manifest
        if killed < STEPWISE:
            died = victim.kill_at_step(path, number, step)
            step = step + 1 if died else 0  # where the import came to its end, begin again at its first step
        else:
            died = victim.kill_after(path, number, chance.uniform(0.0, 0.2))
        killed += died
        between += died and bool(leftovers(path)) and Shop.open(path).manifest == before
        committed = check_after_kill(path, number, before)
        committed_kills += died and committed
        check_next_writer(path, number, committed)

    assert killed == KILLS
    assert between >= 30
    assert committed_kills >= 1
