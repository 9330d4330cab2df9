"""Texts of one meaning lie near each other, the same texts give the same vectors, and what is missing is refused."""

import importlib.util
import json

import numpy as np
import pytest

from shopkeeper.errors import BadInput, MissingExtra
from shopkeeper.represent.text import TextParams, TextVectors, joined, terms

TEAS = [f"{kind} tea, {size} g" for kind in ("green", "black", "white", "herbal") for size in (50, 100, 250)]
KNIVES = [f"{kind} knife of steel, {size} cm" for kind in ("bread", "chef's", "paring") for size in (10, 20, 30)]
茶 = ["云南普洱茶饼", "福建铁观音茶叶", "西湖龙井茶叶礼盒", "普洱茶砖老茶"]
刀 = ["不锈钢菜刀", "德国不锈钢厨房刀具", "面包刀不锈钢", "厨房菜刀套装"]
PLAIN = TextParams(dimensions=8, least=1, chinese="bigrams")


def test_words_are_lowered_and_chinese_runs_are_cut_in_pairs():
    assert terms("Ｔｅａ＆Co’s ＮＯ．5，茶 绿茶杯!") == ["tea", "co’s", "no", "5", "茶", "绿茶", "茶杯"]
    assert terms("绿茶杯", cut=lambda run: [run[:2], run[2:]]) == ["绿茶", "杯"]
    assert terms(" ,;_ ") == []


@pytest.mark.parametrize("one, other", [(TEAS, KNIVES), (茶, 刀)])
def test_a_text_lies_nearer_to_its_kind_than_to_another(one, other):
    fitted = TextVectors.fit([*one, *other], TextParams(dimensions=4, least=1, chinese="bigrams"))
    vectors = fitted.vectors([*one, *other])
    near = vectors @ vectors.T
    inside, across = near[:len(one), :len(one)].mean(), near[:len(one), len(one):].mean()

    assert inside > across + 0.3


def test_a_query_of_a_few_words_finds_the_texts_that_have_them():
    fitted = TextVectors.fit([*TEAS, *KNIVES], TextParams(dimensions=30, least=1, chinese="bigrams"))
    near = fitted.vectors([*TEAS, *KNIVES]) @ fitted.vectors(["paring knives and a knife"])[0]

    assert near.argmax() in [len(TEAS) + place for place, text in enumerate(KNIVES) if "paring" in text]


def test_the_same_texts_in_any_order_give_the_same_vectors():
    fitted, again = TextVectors.fit([*TEAS, *KNIVES], PLAIN), TextVectors.fit([*TEAS, *KNIVES], PLAIN)
    turned = TextVectors.fit([*KNIVES, *TEAS][::-1], PLAIN)

    assert np.array_equal(fitted.vectors(TEAS), again.vectors(TEAS))
    np.testing.assert_allclose(fitted.vectors(TEAS) @ fitted.vectors(TEAS).T,
                               turned.vectors(TEAS) @ turned.vectors(TEAS).T, atol=1e-4)


def test_many_texts_go_through_the_sparse_decomposition_with_the_same_result():
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(600)]
    texts = [" ".join(rng.choice(words[group * 100:group * 100 + 100], 8)) for group in range(6) for _ in range(110)]
    fitted = TextVectors.fit(texts, TextParams(dimensions=6, least=1, most=1.0, chinese="bigrams"))
    vectors = fitted.vectors(texts)
    near = (vectors @ vectors.T).reshape(6, 110, 6, 110).mean(axis=(1, 3))

    assert fitted.directions.shape == (600, 6)
    assert (near.argmax(axis=1) == np.arange(6)).all()
    assert (np.abs(fitted.directions).max(axis=0) == fitted.directions.max(axis=0)).all()


def test_what_was_learned_comes_back_from_plain_arrays_bit_for_bit():
    fitted = TextVectors.fit([*茶, *刀, *TEAS], PLAIN)
    arrays, meta = fitted.state()
    back = TextVectors.restore({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(meta)))

    assert all(array.dtype.kind in "biuf" for array in arrays.values())
    assert np.array_equal(back.vectors(["普洱茶", "tea 50 g"]), fitted.vectors(["普洱茶", "tea 50 g"]))


@pytest.mark.parametrize("texts", [[], [None, ""], ["tea"], ["tea", "tea"], ["，。", "tea"]])
def test_no_text_and_one_text_are_vectors_too(texts):
    fitted = TextVectors.fit(texts, TextParams(least=1, most=1.0, chinese="bigrams"))
    vectors = fitted.vectors([*texts, None, "never seen"])
    length = np.linalg.norm(vectors, axis=1)

    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert all(one == pytest.approx(0) or one == pytest.approx(1) for one in length)
    assert length[-2:].tolist() == [0, 0]


def test_rare_and_common_terms_do_not_count_and_the_most_frequent_stay():
    texts = ["the tea", "the tea cup", "the cup", "the knife"]

    assert TextVectors.fit(texts, TextParams(least=2, chinese="bigrams")).known.ids() == ["cup", "tea"]
    assert TextVectors.fit(texts, TextParams(least=1, most=1.0, terms=1, chinese="bigrams")).known.ids() == ["the"]


def test_given_sentence_vectors_stand_beside_our_own_with_equal_say():
    ours = TextVectors.fit(TEAS, PLAIN).vectors(TEAS)
    given = np.random.default_rng(0).normal(size=(len(TEAS), 5)) * 100
    both = joined(ours, given)
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)

    np.testing.assert_allclose(both @ both.T, (ours @ ours.T + unit @ unit.T) / 2, atol=1e-5)


@pytest.mark.parametrize("blocks", [([[1.0]], [[1.0], [2.0]]), ([1.0, 2.0],), ([[float("nan")]],)])
def test_vectors_of_other_things_and_numbers_that_are_none_are_refused(blocks):
    with pytest.raises(BadInput, match="vectors"):
        joined(*blocks)


@pytest.mark.skipif(importlib.util.find_spec("jieba") is not None, reason="jieba is installed")
def test_without_jieba_its_words_are_refused_and_pairs_are_taken_where_anything_will_do():
    assert TextVectors.fit(茶).params.chinese == "bigrams"
    with pytest.raises(MissingExtra) as refused:
        TextVectors.fit(茶, TextParams(chinese="jieba"))

    assert str(refused.value) == (
        "these texts are cut by jieba, which is not installed.\n  Try:  pip install 'shopkeeper[text]'\n"
        "  Try:  take pairs of characters: chinese='bigrams'\n  Why:  other words would be other vectors.")


@pytest.mark.skipif(importlib.util.find_spec("jieba") is None, reason="needs shopkeeper[text]")
def test_with_jieba_chinese_is_cut_into_words():
    fitted = TextVectors.fit(["普洱茶", "西湖龙井", "不锈钢菜刀"], TextParams(least=1, most=1.0))

    assert fitted.params.chinese == "jieba"
    assert "不锈钢" in fitted.known
