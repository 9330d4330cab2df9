"""Damage is found before anything is answered from it, and all of it is named on demand."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper import ledger
from shopkeeper.errors import Damaged
from shopkeeper.shop import Shop
from shopkeeper.warehouse import index
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.inspection import Fault, inspect
from shopkeeper.warehouse.runs import Layout
from shopkeeper.warehouse.store import Store
from warehouse.batches import ingest
from warehouse.logs import TODAY, lay


def flip(path, place):
    """Change one bit, and nothing else, as a disk might."""
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 1
    path.write_bytes(raw)


@pytest.fixture
def kept(tmp_path):
    for number in range(2):
        ingest(tmp_path / "shop", number)
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([{"item_id": "i0", "title": "Tea"}], table="items")
    with shop.store.write("test") as writer:
        index.repaired(writer, shop.keys().naming, "made")
    shop.refresh()
    return shop


def test_a_whole_shop_has_no_fault_and_every_file_is_read(kept):
    found = inspect(kept.store, kept.manifest)
    assert found.faults == ()
    assert found.files == len(kept.manifest.sizes) >= 6
    assert found.size == sum((kept.path / file).stat().st_size for file in kept.manifest.sizes)
    assert found.unchecked == 0


@settings(deadline=None, max_examples=bounded(40))
@given(place=st.integers(0, 10**6), which=st.integers(0, 10**6))
def test_every_flipped_bit_of_every_file_is_found(tmp_path_factory, place, which):
    store = Store(tmp_path_factory.mktemp("shop"))
    manifest = lay(store, [("one", TODAY + np.arange(40))])
    file = sorted(manifest.sizes)[which % len(manifest.sizes)]
    if file.startswith("index/"):  # between its columns stands nothing
        place = Layout(40).place(1) + place % 320
    flip(store.path / file, place)
    assert [fault.file for fault in inspect(store, manifest).faults] == [file]


def test_each_kind_of_fault_is_named_with_the_rows_it_takes(kept):
    first, second = kept.manifest.segments
    os.truncate(kept.path / first.file, 100)
    (kept.path / kept.manifest.quarantine[0]).unlink()
    flip(kept.path / second.file, 500)
    found = inspect(kept.store, kept.manifest)
    assert set(found.faults) == {Fault(first.file, "another size", first.rows),
                                 Fault(second.file, "another content", second.rows),
                                 Fault(kept.manifest.quarantine[0], "missing")}


def test_files_without_a_checksum_are_counted_and_only_measured(kept):
    older = replace(kept.manifest, checks={})
    flip(kept.path / older.segments[0].file, 500)
    found = inspect(kept.store, older)
    assert found.faults == ()
    assert found.unchecked == found.files - len(older.index)


def test_a_flipped_bit_in_a_segment_is_refused_by_name_before_anything_is_answered(kept):
    bad = kept.manifest.segments[1].file
    flip(kept.path / bad, (kept.path / bad).stat().st_size // 2)
    engine = Engine(kept.path, kept.manifest)
    with pytest.raises(Damaged) as refused:
        engine.run(engine.events())
    assert refused.value.what.params["files"] == bad
    rest = Engine(kept.path, kept.manifest.without([bad]))
    assert rest.run(rest.events()).num_rows == kept.manifest.rows - kept.manifest.segments[1].rows


def test_a_flipped_bit_in_a_table_or_the_quarantine_is_refused_by_name_and_the_rest_answers(kept):
    for bad, ask in ((kept.manifest.tables["items"], lambda engine: engine.table("items")),
                     (kept.manifest.quarantine[0], lambda engine: engine.quarantine())):
        flip(kept.path / bad, 60)
        engine = Engine(kept.path, kept.manifest)
        with pytest.raises(Damaged, match=bad):
            ask(engine)
        assert engine.run(engine.events()).num_rows == kept.manifest.rows


def test_damage_outside_the_asked_week_does_not_stop_an_answer(tmp_path):
    store = Store(tmp_path)
    manifest = lay(store, [("old", TODAY - 10**13 + np.arange(9)),
                           ("new", TODAY + np.arange(9))])
    flip(tmp_path / manifest.segments[0].file, 300)
    engine = Engine(tmp_path, manifest)
    assert engine.run(engine.events(TODAY)).num_rows == 9
    with pytest.raises(Damaged, match="old"):
        engine.events()


def test_the_ledger_says_that_all_is_well_or_names_what_is_not(kept):
    good = ledger.check(kept)
    assert str(good.title) == "Every file is what was written"
    assert good.table.num_rows == 0
    flip(kept.path / kept.manifest.segments[0].file, 500)
    flip(kept.path / kept.manifest.index[0].file, Layout(kept.manifest.rows).place(2) + 1)
    bad = ledger.check(kept)
    assert str(bad.title) == f"2 of {len(kept.manifest.sizes)} files are not what was written"
    assert {row["holds"]: row["rows"] for row in bad.table.to_pylist()} == {
        "segments": kept.manifest.segments[0].rows, "index": 0}
    assert [str(note) for note in bad.notes][1:] == [
        "put them back from your backup.",
        "the index is made again from the segments by an import that meets the damage."]
    assert [line[-1] for line in bad.cells()[1]] == ["another content"] * 2
