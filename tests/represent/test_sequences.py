"""Sequences: every step is a target once, whatever the window; files are mapped; bad ones are refused."""

import numpy as np
import pytest

from shopkeeper.errors import BadInput, Damaged
from shopkeeper.represent.sequences import (
    PAD,
    Sequences,
    batches,
    gap_codes,
    held_out,
    padded,
    windows,
)


def steps_of(lengths, n_items=50, seed=0):
    rng = np.random.default_rng(seed)
    return Sequences.of([rng.integers(0, n_items, n).tolist() for n in lengths], n_items)


@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_each_step_but_a_persons_first_is_a_target_once_whatever_the_window(length):
    sequences = steps_of([0, 1, 2, 3, 39, 40, 41, 42, 100])
    cut = windows(sequences, length, np.random.default_rng(1))

    targets = np.concatenate([np.arange(first, stop) for first, stop in zip(cut.first, cut.stop, strict=True)])
    first = sequences.indptr[:-1][np.diff(sequences.indptr) > 0]

    assert sorted(targets.tolist()) == sorted(set(range(len(sequences.item))) - set(first.tolist()))
    assert int((cut.stop - cut.start - 1).max()) <= length


def test_where_a_long_history_is_cut_differs_from_epoch_to_epoch():
    sequences = steps_of([500])
    one, other = (windows(sequences, 40, np.random.default_rng(seed)) for seed in (1, 2))

    assert one.start.tolist() != other.start.tolist()


def test_batches_hold_every_window_once_and_no_more_cells_than_were_asked_for():
    sequences = steps_of(range(2, 60))
    cut = windows(sequences, 20, np.random.default_rng(0))

    made = list(batches(sequences, cut, 200, np.random.default_rng(0)))

    assert sum(int((one.target != PAD).sum()) for one in made) == int((cut.stop - cut.first).sum())
    assert max(one.item.size for one in made) <= 200


def test_a_cell_past_the_end_of_a_window_holds_nothing_and_the_target_is_the_next_item():
    sequences = Sequences.of([[3, 1, 2], [4, 0]], 5)
    cut = windows(sequences, 10, np.random.default_rng(0))

    batch = padded(sequences, cut, np.array([0, 1]))

    assert batch.item.tolist() == [[3, 1], [4, PAD]]
    assert batch.target.tolist() == [[1, 2], [0, PAD]]


def test_a_window_that_is_turned_is_read_from_its_end():
    sequences = Sequences.of([[3, 1, 2]], 5)
    cut = windows(sequences, 10, np.random.default_rng(0), turned=1.0)

    batch = padded(sequences, cut, np.array([0]))

    assert (batch.item.tolist(), batch.target.tolist()) == ([[2, 1]], [[1, 3]])


def test_held_out_steps_are_targets_and_what_lies_before_them_is_not():
    sequences = Sequences.of([[3, 1, 2], [4, 0], [1]], 5)
    batch = padded(sequences, held_out(sequences, sequences.indptr[1:] - 1), np.array([0, 1]))

    assert batch.target.tolist() == [[PAD, 2], [0, PAD]]


def test_sequences_in_files_are_mapped_and_the_same(tmp_path):
    whole = steps_of([5, 9])
    whole = Sequences(whole.indptr, whole.item, 50, np.arange(14), {"kind": whole.item % 3}, {"kind": 3})
    whole.save(tmp_path)

    mapped = Sequences.open(tmp_path)

    assert isinstance(mapped.item, np.memmap)
    assert isinstance(mapped.sides["kind"], np.memmap)
    assert mapped.item.tolist() == whole.item.tolist()
    assert mapped.when.tolist() == whole.when.tolist()


@pytest.mark.parametrize("name", ["item.npy", "sequences.json", "indptr.npy"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, name):
    steps_of([5, 9]).save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(Damaged, match="does not hold sequences"):
        Sequences.open(tmp_path)


@pytest.mark.parametrize(("broken", "what"), [
    ({"item": np.array([7])}, "item holds codes outside 0 to 4"),
    ({"indptr": np.array([0, 2])}, "bounds of sequences must ascend"),
    ({"sides": {"kind": np.array([1])}}, "must name the same columns"),
    ({"sides": {"kind": np.array([3])}, "sizes": {"kind": 2}}, "kind holds codes outside 0 to 1"),
    ({"when": np.array([1, 2])}, "when has 2 steps where item has 1"),
])
def test_arrays_that_do_not_fit_together_are_refused(broken, what):
    with pytest.raises(BadInput, match=what):
        Sequences(**{"indptr": np.array([0, 1]), "item": np.array([1]), "n_items": 5, **broken})


def test_gap_codes_double_and_never_leave_their_range():
    codes = gap_codes([-5, 0, 999_999, 1_000_000, 2_000_000, 2**62])

    assert codes.tolist() == [0, 0, 0, 1, 2, 23]
