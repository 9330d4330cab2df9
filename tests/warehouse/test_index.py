"""The index of everything ever stored answers like a dictionary, and never from a damaged block."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import Damaged
from shopkeeper.shop import Shop
from shopkeeper.warehouse import index, runs
from shopkeeper.warehouse.index import (
    Builder,
    EventIndex,
    Past,
    complete,
    event_keys,
    extended,
    merged,
    rebuild,
    repaired,
    verify,
    write_run,
)
from shopkeeper.warehouse.manifest import IndexRun, Manifest
from shopkeeper.warehouse.runs import Layout
from warehouse.batches import ingest

KEY, OTHER = b"k" * 32, b"o" * 32
half = st.one_of(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1),
                 st.just(0xAAAA_0000_0000_0000))
names = st.lists(st.tuples(half, half), max_size=60)


def keys_of(pairs):
    return np.array(pairs, np.uint64).reshape(-1, 2)


def bodies_for(keys, salt=0):
    return keys[:, 0] * np.uint64(31) + keys[:, 1] + np.uint64(salt)


def random_keys(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (n, 2), dtype=np.uint64)


def assert_answers_like(found, oracle, asked):
    known, body = found.find(keys_of(asked))
    assert known.tolist() == [pair in oracle for pair in asked]
    assert body.tolist() == [oracle.get(pair, 0) for pair in asked]


def flip(path, place):
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@settings(deadline=None, max_examples=bounded(150))
@given(st.lists(names, max_size=4), names)
def test_find_equals_a_dictionary_whatever_the_names(root, runs, asked):
    oracle, written = {}, []
    for number, pairs in enumerate(runs):
        keys = keys_of(pairs)
        written.append(write_run(root, f"run{number}", keys, bodies_for(keys, number), KEY))
        for pair, body in zip(pairs, bodies_for(keys, number).tolist(), strict=True):
            oracle.setdefault(pair, body)  # of the same name the first counts
    found = EventIndex(root, written, KEY)
    assert_answers_like(found, oracle, asked + list(oracle))
    assert found.entries == sum(len(set(pairs)) for pairs in runs)


@settings(deadline=None, max_examples=bounded(100))
@given(st.lists(names, min_size=2, max_size=5), names)
def test_a_merge_is_the_union_of_its_runs_and_the_first_body_counts(root, runs, asked):
    written = [write_run(root, f"part{number}", keys_of(pairs), bodies_for(keys_of(pairs), number), KEY)
               for number, pairs in enumerate(runs)]
    before = EventIndex(root, written, KEY)
    (one,) = merged(root, written, "whole", KEY)
    everything = sorted({pair for pairs in runs for pair in pairs})
    assert one.entries == len(everything)
    for question in (everything, asked):
        for ours, theirs in zip(EventIndex(root, [one], KEY).find(keys_of(question)),
                                before.find(keys_of(question)), strict=True):
            assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 5000])
def test_names_that_share_their_first_half_are_told_apart(root, n):
    keys = np.stack([np.full(n, 7, np.uint64), np.arange(n, dtype=np.uint64)[::-1] * np.uint64(2)], axis=1)
    found = EventIndex(root, [write_run(root, f"same{n}", keys, bodies_for(keys), KEY)], KEY)
    known, body = found.find(keys)
    assert known.all()
    assert (body == bodies_for(keys)).all()
    assert not found.find(keys + np.array([[0, 1]], np.uint64))[0].any()
    assert not found.find(keys + np.array([[1, 0]], np.uint64))[0].any()


def test_a_run_of_several_parts_and_a_builder_that_spills_hold_every_name(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "CHUNK", 3000)
    monkeypatch.setattr(runs, "PART_BITS", 9)
    keys = random_keys(20_000)
    builder = Builder(tmp_path, tmp_path / "pieces", KEY)
    for part in np.array_split(keys, 17):
        builder.add(part, bodies_for(part))
    built = builder.finish("built")
    whole = write_run(tmp_path, "whole", keys, bodies_for(keys), KEY)
    assert (tmp_path / built.file).read_bytes() == (tmp_path / whole.file).read_bytes()
    assert not (tmp_path / "pieces").exists()
    known, body = EventIndex(tmp_path, [built], KEY).find(keys)
    assert known.all()
    assert (body == bodies_for(keys)).all()
    assert not EventIndex(tmp_path, [built], KEY).find(random_keys(20_000, seed=1))[0].any()


def test_lines_of_one_record_have_names_of_their_own_and_another_key_names_differently():
    ids, lines = pa.array(["a", "a", "b", "a"]), np.array([0, 1, 0, 2], np.int32)
    found = event_keys(ids, lines, KEY)
    assert len(np.unique(found, axis=0)) == 4
    assert (found == event_keys(ids, lines, KEY)).all()
    assert not (found == event_keys(ids, lines, OTHER)).all(axis=1).any()


def test_names_are_the_same_one_by_one_and_in_any_company():
    ids = [f"event-{n * 7919}" for n in range(200)] + ["", "é" * 40, "x" * 3000]
    together = event_keys(pa.array(ids), np.zeros(len(ids), np.int32), KEY)
    for number, one in enumerate(ids):
        assert (event_keys(pa.array([one]), np.zeros(1, np.int32), KEY)[0] == together[number]).all()


def test_the_runs_of_many_imports_stay_few(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SMALL", 8)
    runs, total, rewritten = (), 0, 0
    for number in range(400):
        keys = random_keys(5, seed=number)
        new = write_run(tmp_path, f"new{number}", keys, bodies_for(keys), KEY)
        before, runs = runs, extended(tmp_path, runs, new, f"merged{number}", KEY)
        rewritten += sum(run.entries for run in runs if run not in before)
        total += 5
        assert sum(run.entries for run in runs) == total
        sizes = sorted(run.entries for run in runs)
        assert all(large > index.RATIO * sum(sizes[:place]) for place, large in enumerate(sizes) if place)
    assert len(runs) <= 6
    assert rewritten < 25 * total


def test_an_import_merges_no_more_than_its_limit_and_compaction_merges_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FOLD_LIMIT", 100)
    old = [write_run(tmp_path, f"old{number}", random_keys(60, number), random_keys(60)[:, 0], KEY)
           for number in range(3)]
    new = write_run(tmp_path, "new", random_keys(30, 9), random_keys(30)[:, 0], KEY)
    runs = extended(tmp_path, old, new, "step", KEY)
    assert sorted(run.entries for run in runs) == [60, 60, 90]
    assert [run.entries for run in merged(tmp_path, runs, "all", KEY)] == [210]


@settings(deadline=None, max_examples=bounded(60))
@given(st.data())
def test_a_flipped_bit_is_never_answered_from(root, data):
    keys = random_keys(500, seed=3)
    run = write_run(root, "flipped", keys, bodies_for(keys), KEY)
    flip(root / run.file, data.draw(st.integers(0, (root / run.file).stat().st_size - 1)))
    if verify(root, [run], KEY):
        with pytest.raises(Damaged, match=r"index/flipped\.run"):
            EventIndex(root, [run], KEY).find(keys)
    else:  # between the columns stands nothing
        known, body = EventIndex(root, [run], KEY).find(keys)
        assert known.all()
        assert (body == bodies_for(keys)).all()


@pytest.mark.parametrize("harm", [
    lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink(),
    lambda path: path.write_bytes(b"")])
def test_a_run_that_is_torn_or_gone_is_named(tmp_path, harm):
    run = write_run(tmp_path, "torn", random_keys(500), random_keys(500)[:, 0], KEY)
    harm(tmp_path / run.file)
    assert verify(tmp_path, [run], KEY) == (run.file,)
    with pytest.raises(Damaged, match=r"index/torn\.run is not what was written, or missing"):
        EventIndex(tmp_path, [run], KEY)


def test_a_run_of_another_key_or_another_size_is_refused(tmp_path):
    run = write_run(tmp_path, "one", random_keys(5), random_keys(5)[:, 0], KEY)
    with pytest.raises(Damaged):
        EventIndex(tmp_path, [run], OTHER)
    with pytest.raises(Damaged):
        EventIndex(tmp_path, [IndexRun(run.file, 4)], KEY)


def test_a_damaged_run_is_not_merged(tmp_path):
    runs = [write_run(tmp_path, name, random_keys(500, 1), random_keys(500)[:, 0], KEY) for name in "ab"]
    layout = Layout(500)
    flip(tmp_path / runs[1].file, layout.place(1) + 8)
    with pytest.raises(Damaged, match=r"index/b\.run"):
        merged(tmp_path, runs, "c", KEY)
    assert not (tmp_path / "index" / "c.run").exists()


def test_renewing_keeps_open_what_stays(tmp_path):
    keys = random_keys(100)
    old = write_run(tmp_path, "old", keys[:50], bodies_for(keys[:50]), KEY)
    before = EventIndex(tmp_path, [old], KEY)
    new = write_run(tmp_path, "new", keys[50:], bodies_for(keys[50:]), KEY)
    (tmp_path / old.file).unlink()  # as after a clean-up: who has it open keeps it
    assert before.renewed([old, new]).find(keys)[0].all()
    assert before.find(keys)[0].tolist() == [True] * 50 + [False] * 50


@pytest.fixture
def kept_shop(tmp_path):
    """A shop of two imports, without an index."""
    for number in range(2):
        ingest(tmp_path / "shop", number)
    return Shop.open(tmp_path / "shop")


def names_in(shop):
    rows = shop.engine.run(shop.engine.events())
    return event_keys(rows.column("event_id"), rows.column("line").to_numpy(), KEY)


def test_the_index_is_made_again_from_the_segments_alone(kept_shop):
    manifest = kept_shop.manifest
    runs = rebuild(kept_shop.store, manifest, KEY, "again")
    assert complete(Manifest(segments=manifest.segments, index=runs))
    assert EventIndex(kept_shop.path, runs, KEY).find(names_in(kept_shop))[0].all()


def test_a_writer_makes_an_index_that_is_missing_and_says_so_only_of_a_damaged_one(kept_shop):
    with kept_shop.store.write("test") as writer:
        writer.commit(Manifest(segments=writer.manifest.segments))
        past = Past(kept_shop.store, writer.manifest, KEY, "first")
        assert past.notes == ()
        assert past.find(names_in(kept_shop))[0].all()
        manifest = repaired(writer, KEY, "kept")
        assert complete(manifest)
        assert repaired(writer, KEY, "other") is manifest
    file = kept_shop.path / manifest.index[0].file
    flip(file, Layout(manifest.rows).place(1) + 3)
    past = Past(kept_shop.store, manifest, KEY, "second")
    known, _ = past.find(names_in(kept_shop))
    assert known.all()
    assert [str(note) for note in past.notes] == [
        "the index of events was damaged; it was made again from the segments."]
    assert past.runs != manifest.index
    assert verify(kept_shop.path, past.runs, KEY) == ()


def test_merging_with_a_damaged_run_makes_the_index_again(kept_shop):
    runs = rebuild(kept_shop.store, kept_shop.manifest, KEY, "made")
    manifest = Manifest(segments=kept_shop.manifest.segments, index=runs)
    past = Past(kept_shop.store, manifest, KEY, "third")
    flip(kept_shop.path / runs[0].file, Layout(manifest.rows).place(3))
    new = write_run(kept_shop.path, "new", random_keys(9), random_keys(9)[:, 0], KEY)
    after = past.extended(new)
    assert sum(run.entries for run in after) == manifest.rows + 9
    assert EventIndex(kept_shop.path, after, KEY).find(names_in(kept_shop))[0].all()
    assert past.notes
