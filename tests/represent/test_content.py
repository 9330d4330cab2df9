"""Likeness of content: rare marks say more than common ones, and every mark of an item is counted once."""

import numpy as np
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.represent.content import described, marked, marks, nearest, of_kind


def test_the_marks_of_an_item_are_its_path_its_brand_and_its_price_among_its_kind():
    found = marks(["Toys > Trains"] * 3 + ["Toys>Cars", None], ["Acme", None, "Acme", "", None],
                  [1.0, 5.0, 9.0, 4.0, np.nan])

    assert [one[-1] for one in found[:3]] == [f"price:Toys > Trains:{band}" for band in (0, 1, 2)]
    assert found[1][:2] == ["category:Toys", "category:Toys > Trains"]
    assert [mark for mark in found[3] if mark.startswith("brand")] == []
    assert found[4] == []


def test_a_rare_mark_says_more_than_a_common_one():
    matrix = marked([["common", "rare"], ["common", "rare"], ["common", "other"], ["common"], []])
    near = (matrix @ matrix.T).toarray()

    assert near[0, 1] == pytest.approx(1)
    assert near[0, 1] > near[0, 2] > 0
    assert near[4].tolist() == [0] * 5


def test_the_most_alike_speak_and_their_weights_add_up_to_one():
    known = marked([["a", "b"], ["a", "c"], ["d", "c"], ["e"]])
    like = nearest(known[:1], known, keep=2, power=2.0).toarray()

    assert np.flatnonzero(like[0]).tolist() == [0, 1]
    assert like.sum() == pytest.approx(1)
    assert like[0, 0] > like[0, 1]


def test_an_item_that_is_like_nothing_is_an_empty_row():
    matrix = marked([["a"], ["b"], ["c"]])

    assert nearest(matrix[2:], matrix[:2], keep=1, power=4.0).nnz == 0
    assert nearest(matrix[:0], matrix, keep=1, power=4.0).shape == (0, 3)


def test_texts_have_half_the_say_and_must_be_of_the_same_items():
    matrix = marked([["a", "x"], ["a", "y"], ["b", "z"]])
    texts = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    like = nearest(matrix[:1], matrix[1:], keep=2, power=1.0, texts=(texts[:1], texts[1:])).toarray()[0]
    cosine = (matrix[:1] @ matrix[1:].T).toarray()[0]

    assert like.tolist() == pytest.approx([cosine[0] / (cosine[0] + 1), 1 / (cosine[0] + 1)])
    with pytest.raises(BadInput, match="2 text vectors for 3 items"):
        nearest(matrix[:1], matrix[1:], keep=2, power=1.0, texts=(texts[:1], texts[:1]))


def test_words_count_where_two_items_share_them_and_each_kind_of_mark_is_found():
    found = described(["Blue train 7", "Red train 8", None], ["Toys > Trains", "Toys", None], ["Acme", None, "Acme"],
                      [3.0, np.nan, np.nan])

    assert of_kind(found, "word") == [["word:train"], ["word:train"], []]
    assert of_kind(found, "top") == [["category:Toys"], ["category:Toys"], []]
    assert of_kind(found, "category") == [["category:Toys > Trains"], ["category:Toys"], []]
    assert of_kind(found, "brand") == [["brand:Acme"], [], ["brand:Acme"]]
    assert of_kind(found, "tier") == [["0"], [], []]
