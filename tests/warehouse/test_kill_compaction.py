"""kill -9 at any moment of a compaction leaves the same rows, in the segments of before or of after."""

import random

import numpy as np
import pytest

from shopkeeper.warehouse import index
from shopkeeper.warehouse.compaction import due
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.store import Store
from warehouse.logs import KEYS, folds, lay
from warehouse.made import files_of, named_files
from warehouse.test_kill import Victim

KILLS, STEPWISE = 60, 48


@pytest.fixture
def victim():
    made = Victim()
    yield made
    made.close()


def rows(store):
    engine = Engine(store.path, store.manifest())
    return engine.run(engine.events().order_by(["event_id", "line"]))


def check_after_kill(store, before, known):
    """Every row is there once, and what lies about goes with the next writer; whether the compaction was committed."""
    after = store.manifest()
    assert rows(store).equals(known)
    assert (after.rows, after.events, after.imports) == (before.rows, before.events, before.imports)
    assert index.complete(after)
    assert index.verify(store.path, after.index, KEYS.pseudonym) == ()
    with store.write("test"):
        assert files_of(store.path) == named_files(after) | set(after.retired)
    return after != before


@pytest.mark.slow
def test_sixty_kills_of_a_compaction_leave_the_same_rows_in_the_segments_of_before_or_of_after(tmp_path, victim):
    chance, rng = random.Random(7), np.random.default_rng(7)
    killed = changed = between = step = 0
    store, number, known = Store(tmp_path), 0, None
    while killed < KILLS:
        if known is None or not due(store.manifest()):
            lay(store, list(folds(rng, 8, 60, first=8 * number)))
            number, known = number + 1, rows(store)
        before = store.manifest()
        if killed < STEPWISE:
            died = victim.kill_at_step(tmp_path, None, step)
            step = step + 1 if died else 0  # where the compaction came to its end, begin again at its first step
        else:
            died = victim.kill_after(tmp_path, None, chance.uniform(0.0, 0.2))
        killed += died
        left = files_of(tmp_path) - named_files(store.manifest()) - set(store.manifest().retired)
        between += died and bool(left)
        changed += check_after_kill(store, before, known) and died
    assert between >= 20
    assert changed >= 1
