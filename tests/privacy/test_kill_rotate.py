"""kill -9 before any step of a rotation: the shop has the old pseudonyms or the new ones, and it can be done again."""

import json
import shutil
import subprocess
import sys

import pytest

from shopkeeper import privacy
from shopkeeper.shop import Shop

from .test_rotate import events, filled, groups, pseudonyms, resolved, sent

# Forks a child for each step: it rotates a copy of the shop, and ends itself before so many calls of these functions.
CHILD = """
import importlib, json, os, shutil, sys
from pathlib import Path
from shopkeeper import privacy
from shopkeeper.shop import Shop

for name in ("duckdb", "pyarrow.parquet", "pyarrow.compute", "cryptography.hazmat.primitives.ciphers.aead",
             "shopkeeper.recommend.assignment", "shopkeeper.warehouse.segments", "shopkeeper.warehouse.index"):
    importlib.import_module(name)
first, place, names, every = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(), int(sys.argv[4])

def counted(function, left):
    def call(*given, **named):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), 9)
        return function(*given, **named)
    return call

step, outcomes = 0, []
while True:
    shutil.copytree(first, place / str(step))
    pid = os.fork()
    if pid == 0:
        shop, left = Shop.open(place / str(step)), [step]
        for name in names:
            setattr(os, name, counted(getattr(os, name), left))
        privacy.rotate(shop)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    outcomes.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    if outcomes[-1] != 9:
        break
    step += every
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize("names, every", [
    ("replace", 3), pytest.param("fsync replace unlink rmdir", 1, marks=pytest.mark.slow)])
def test_a_kill_before_any_step_leaves_the_old_pseudonyms_or_the_new_ones_and_it_can_be_done_again(
        tmp_path, names, every):
    before = filled(tmp_path / "first")
    done = subprocess.run([sys.executable, "-c", CHILD, str(before.path), str(tmp_path), names, str(every)],
                          check=True, capture_output=True, text=True)
    outcomes = json.loads(done.stdout)
    assert outcomes[-1] == 0
    assert set(outcomes[:-1]) == {9}

    old, rows, people = pseudonyms(before), events(before), sorted(map(sorted, groups(before, "customer_id").values()))
    rotations = []
    for number in range(len(outcomes)):
        shop = Shop.open(tmp_path / str(number * every))
        with shop.store.write("test"):  # whoever writes next removes what nobody names
            pass
        rotations.append(shop.manifest.rotation)
        found = pseudonyms(shop)
        assert found == old if rotations[-1] == 0 else not found & old
        assert shop.person("ann") in resolved(shop)
        assert (events(shop) == rows) == (rotations[-1] == 0)
        assert sorted(map(sorted, groups(shop, "customer_id").values())) == people
        shutil.rmtree(shop.path) if 0 < number < len(outcomes) - 1 else None
    assert rotations == sorted(rotations)
    assert rotations.count(0) >= 10 // every
    assert rotations[-1] == 1

    for number in (0, len(outcomes) - 1):
        shop = Shop.open(tmp_path / str(number * every))
        was = pseudonyms(shop)
        privacy.rotate(shop)
        assert not pseudonyms(shop) & was
        assert {stored for stored, _, _ in sent(shop)} == {0}
    assert len((shop.path / "keys" / "pseudonym.key").read_text().splitlines()) == 2
