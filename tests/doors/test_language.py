"""A command speaks its reader's language, and its lines are as wide as they look."""

import pytest

from shopkeeper.doors.language import of_locale, spoken, visible, width, wrapped
from shopkeeper.errors import BadInput


@pytest.mark.parametrize("words, language", [
    (["--lang", "zh", "describe", "s"], "zh"), (["describe", "s", "--lang", "zh"], "zh"),
    (["describe", "--lang=zh", "s"], "zh"), (["describe", "s"], "en"),
])
def test_the_language_may_stand_before_or_after_the_command(words, language):
    assert spoken(words, {}) == (language, ["describe", "s"])


def test_words_after_a_bare_double_dash_are_left_alone():
    assert spoken(["a", "--", "--lang", "zh"], {}) == ("en", ["a", "--", "--lang", "zh"])


@pytest.mark.parametrize("words", [["--lang", "fr"], ["--lang"], ["--lang="]])
def test_a_language_that_is_not_spoken_is_refused_with_those_that_are(words):
    with pytest.raises(BadInput, match="--lang needs one of en, zh, and got"):
        spoken(words, {})


@pytest.mark.parametrize("environment, language", [
    ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US"}, "zh"), ({"LC_MESSAGES": "zh_CN", "LANG": "en_US"}, "zh"),
    ({"LC_ALL": "en_GB", "LANG": "zh_CN"}, "en"), ({"LANG": "de_DE"}, "en"), ({}, "en"),
])
def test_without_a_flag_the_locale_decides(environment, language):
    assert of_locale(environment) == language


def test_wrapped_lines_fit_in_both_languages_and_lose_nothing():
    for text in ("one two three four five", "把文件收进店铺，全部收下，并给出账目。", "mixed 中文 and English 字"):
        lines = wrapped(text, 12)

        assert max(width(line) for line in lines) <= 13  # a closing mark may hang over by one
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_no_closing_mark_begins_a_line():
    assert not any(line[0] in "，。" for line in wrapped("一二三四五六，七八九十，一二三四五六。", 12))


def test_control_characters_become_visible_text():
    assert visible("a\x1b[31m\x00\u202eb\x7f\ud800c\n") == "a␛[31m␀�b��c "
