"""Ids and rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopkeeper.errors import BadInput
from shopkeeper.represent.vocabulary import Vocabulary

IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=20)


@given(IDS)
def test_every_id_finds_its_row_and_every_row_its_id(ids):
    made = Vocabulary.of(ids)

    assert made.ids(made.rows(ids)) == ids
    assert made.rows(made.ids()).tolist() == list(range(len(set(ids))))


@given(IDS, IDS)
def test_growing_keeps_every_old_row(old, new):
    before = Vocabulary.of(old)

    after = before.extended(new)

    assert after.ids()[:len(before)] == before.ids()
    assert set(after.ids()) == set(old) | set(new)
    assert len(after) == len(set(old) | set(new))


@given(IDS)
def test_arrays_bring_back_the_same_vocabulary(ids):
    made = Vocabulary.of(ids)

    assert Vocabulary.restore(made.state()) == made


@given(IDS)
def test_sorting_is_by_utf8_bytes_whatever_the_order_given(ids):
    assert Vocabulary.of(ids).ids() == sorted(set(ids), key=str.encode)
    assert Vocabulary.of(ids[::-1]) == Vocabulary.of(ids)


def test_the_given_order_is_kept_where_ids_are_given_as_they_are():
    assert Vocabulary(["tea", "milk"]).rows(["milk", "tea"]).tolist() == [1, 0]


@pytest.mark.parametrize("column", [
    pa.array(["b", None, "zz"]), pa.chunked_array([["b"], [None, "zz"]]), np.array(["b", None, "zz"], dtype=object),
    pa.array(["b", None, "zz"]).dictionary_encode(), ["b", None, "zz"],
], ids=["array", "chunked", "numpy", "dictionary", "list"])
def test_any_column_of_text_is_looked_up_and_what_is_missing_is_unknown(column):
    rows = Vocabulary(["a", "b"]).rows(column)

    assert rows.dtype == np.int64
    assert rows.tolist() == [1, -1, -1]


def test_an_empty_vocabulary_knows_nobody():
    assert Vocabulary().rows(["a"]).tolist() == [-1]
    assert "a" not in Vocabulary()
    assert len(Vocabulary.of([])) == 0


def test_an_id_that_stands_there_twice_is_refused():
    with pytest.raises(BadInput) as refusal:
        Vocabulary(["a", "b", "a"])

    assert str(refusal.value) == ("1 ids stand there twice; a vocabulary needs distinct ids.\n"
                                  "  Try:  Vocabulary.of(ids)")


def test_a_missing_id_is_refused():
    with pytest.raises(BadInput) as refusal:
        Vocabulary(["a", None])

    assert str(refusal.value) == "1 ids are missing; a vocabulary needs every id.\n  Try:  Vocabulary.of(ids)"


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there_is_an_error(row):
    with pytest.raises(IndexError, match=r"0 \.\.\. 1"):
        Vocabulary(["a", "b"]).ids([row])
