import json
import time

import numpy as np
import pytest

from shopkeeper.errors import Damaged
from shopkeeper.warehouse import models
from shopkeeper.warehouse.store import GRACE, Store

QUESTION = "recommend.next_items"
ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3).T, "items": np.array([3, 1, 2], np.int64),
          "none": np.zeros((0, 4))}
RECORD = {"method": "popular", "days": 7, "trial": {"gain": 0.1}, "name": "茶"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def install(store, record=RECORD):
    with store.write("learn") as writer:
        writer.commit(models.install(writer, writer.manifest, QUESTION, ARRAYS, record))


def serving(store):
    return models.load(store, store.manifest(), QUESTION)


def test_a_model_comes_back_as_it_was_installed(store):
    install(store)

    found = serving(store)

    assert (found.question, found.version, found.record) == (QUESTION, "1", RECORD)
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_where_nothing_was_installed_there_is_no_model(store):
    assert serving(store) is None
    assert models.rolled_back(store.manifest(), QUESTION) is None


def test_the_newest_serves_the_last_three_stay_and_older_ones_are_gone(store):
    for number in range(5):
        install(store, {"number": number})

    assert serving(store).record == {"number": 4}
    assert store.manifest().models[QUESTION].versions == ("3", "4", "5")
    later = Store(store.path, now=lambda: time.time() + GRACE + 1)  # readers of what was served before are done
    with later.write("test") as writer:
        writer.commit(writer.manifest)
    with later.write("test"):
        left = {path.name for path in models.folder(store, QUESTION, "5").parent.iterdir()}
    assert left == {"3", "4", "5"}


def test_going_back_serves_the_version_before_and_stops_at_the_oldest(store):
    for number in range(2):
        install(store, {"number": number})

    with store.write("learn") as writer:
        writer.commit(models.rolled_back(writer.manifest, QUESTION))

    assert serving(store).record == {"number": 0}
    assert models.rolled_back(store.manifest(), QUESTION) is None
    install(store, {"number": 2})
    assert serving(store).version == "3"


def test_what_was_rolled_away_from_does_not_come_back(store):
    for number in range(3):
        install(store, {"number": number})
    with store.write("learn") as writer:
        writer.commit(models.rolled_back(writer.manifest, QUESTION))
    install(store, {"number": 3})

    with store.write("learn") as writer:
        writer.commit(models.rolled_back(writer.manifest, QUESTION))

    assert serving(store).record == {"number": 1}


def test_no_file_of_a_model_is_one_that_runs_code_when_it_is_read(store):
    install(store)

    files = sorted(path.name for path in models.folder(store, QUESTION, "1").iterdir())
    assert files == ["model.json", "weights.safetensors"]
    assert json.loads((models.folder(store, QUESTION, "1") / "model.json").read_text("utf-8")) == RECORD


def test_a_model_that_was_not_committed_is_removed(store):
    with store.write("learn") as writer:
        models.install(writer, writer.manifest, QUESTION, ARRAYS, RECORD)
    assert models.folder(store, QUESTION, "1").exists()

    with store.write("test"):
        pass

    assert serving(store) is None
    assert not models.folder(store, QUESTION, "1").exists()


def refusal_of(store, damage):
    install(store)
    damage(models.folder(store, QUESTION, "1"))
    with pytest.raises(Damaged) as refusal:
        serving(store)
    return str(refusal.value)


def test_a_missing_model_is_refused_with_what_to_do(store):
    assert refusal_of(store, lambda place: (place / "model.json").unlink()) == (
        f"model 1 of {QUESTION} cannot be read.\n"
        "  Try:  shopkeeper learn SHOP --force\n"
        "  Try:  shopkeeper learn SHOP --rollback\n"
        f"  Why:  [Errno 2] No such file or directory: '{models.folder(store, QUESTION, '1') / 'model.json'}'")


@pytest.mark.parametrize("name, data", [("model.json", b"{"), ("model.json", b"\xff"), ("weights.safetensors", b""),
                                        ("weights.safetensors", b"\xff" * 99)])
def test_a_damaged_model_is_refused_and_never_half_read(store, name, data):
    assert refusal_of(store, lambda place: (place / name).write_bytes(data)).splitlines()[:3] == [
        f"model 1 of {QUESTION} cannot be read.", "  Try:  shopkeeper learn SHOP --force",
        "  Try:  shopkeeper learn SHOP --rollback"]
