"""Everything that a person reads is a sentence of the catalogue, and the catalogue has it in Chinese."""

import re
from functools import lru_cache

import polib
import pytest

import catalogue
from doors.asked import every_answer
from shopkeeper.words import Sentence, put, say, word


@lru_cache(maxsize=1)
def needed() -> dict[str, list[str]]:
    return catalogue.needed(every_answer())


@lru_cache(maxsize=1)
def book() -> dict[str, str]:
    return {entry.msgid: entry.msgstr for entry in polib.pofile(str(catalogue.PO)) if "fuzzy" not in entry.flags}


def test_every_sentence_is_a_literal_that_can_be_found():
    assert [said.where for said in catalogue.sentences() if said.text is None] == []


def test_no_sentence_or_heading_lacks_its_chinese():
    missing = {text: where[0] for text, where in needed().items() if not book().get(text)}

    assert missing == {}  # python tests/catalogue.py writes them into the .po file


def test_a_translation_has_the_parameters_of_its_sentence():
    wrong = {text for text, chinese in book().items() if "{" in text and chinese
             and catalogue.fields(text) != catalogue.fields(chinese)}

    assert wrong == set()


def test_only_what_is_typed_reads_the_same_in_both_languages():
    copied = {text for text, chinese in book().items() if text == chinese and not catalogue.is_typed(text)}

    assert copied == set()


def test_a_translation_is_written_in_chinese_and_closes_its_sentences_as_chinese_does():
    for text, chinese in book().items():
        assert text == chinese or re.search(r"[\u4e00-\u9fff]", chinese), text
        assert text == chinese or not (text.endswith(".") and chinese.endswith(".")), text


def test_the_compiled_catalogue_is_the_written_one():
    compiled = {entry.msgid: entry.msgstr for entry in polib.mofile(str(catalogue.PO.with_suffix(".mo")))}

    assert compiled == {text: chinese for text, chinese in book().items() if chinese}


@pytest.mark.parametrize("language, text", [("en", "Evidence:"), ("zh", "依据："), ("fr", "Evidence:")])
def test_a_language_without_a_catalogue_is_english(language, text):
    assert put(say("Evidence:"), language) == text


def test_sentences_inside_sentences_are_put_into_the_same_language():
    inner = say("a whole number")

    assert put(say("{flag} needs {needs}, and got {text}.", flag="--n", needs=inner, text="'x'"), "zh") == (
        "--n 需要一个整数，给出的是 'x'。")


def test_braces_in_a_value_are_text():
    assert put(say("{path} is not a shop.", path="{oops}"), "en") == "{oops} is not a shop."


def test_a_sentence_survives_the_way_through_plain_data():
    sentence = say("{flag} needs {needs}, and got {text}.", flag="--n", needs=say("a whole number"), text="x")

    assert Sentence.from_dict(sentence.to_dict()) == sentence


def test_nothing_stays_nothing():
    assert word("", "zh") == ""
