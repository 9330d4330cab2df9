"""Flags are read off parameters; what cannot be read is refused in a sentence that says what to do."""

import pytest

from shopkeeper.doors.parser import Parser, add
from shopkeeper.errors import BadInput
from shopkeeper.menu import Parameter

PARAMETERS = (
    Parameter("customer", "text", required=True, description="Who."), Parameter("n", "int", default=10),
    Parameter("share", "float"), Parameter("on", "date"), Parameter("at", "datetime"),
    Parameter("form", "choice", choices=("wide", "long")), Parameter("items", "texts", record="rules"),
    Parameter("exclude_seen", "bool", default=False, record="rules"), Parameter("sorted", "bool", default=True),
    Parameter("map", "pairs"), Parameter("kinds", "pairs"),
)


def parser(language: str = "en") -> Parser:
    made = Parser("recommend next-items", "Name what this customer wants next.", language)
    add(made, PARAMETERS)
    return made


def values(*words: str) -> dict[str, object]:
    return vars(parser().read(["--customer", "c", *words]))


def refusal(*words: str) -> str:
    with pytest.raises(BadInput) as caught:
        values(*words)
    return caught.value.text()


def test_what_is_not_given_is_left_to_the_default_of_the_function():
    assert values() == {"customer": "c"}


def test_each_kind_of_parameter_is_read():
    found = values("--n", "5", "--share", ".5", "--on", "2026-10-31", "--at", "2026-10-31T18:30", "--form", "long",
                   "--items", "a", "b", "--items", "c", "--exclude-seen", "--no-sorted", "--map", "a=b=c", "d=e")

    assert (found["n"], found["share"], str(found["on"]), found["form"]) == (5, 0.5, "2026-10-31", "long")
    assert (found["items"], found["exclude_seen"], found["sorted"]) == (["a", "b", "c"], True, False)
    assert found["map"] == {"a": "b=c", "d": "e"}


@pytest.mark.parametrize("words, text", [
    (("--n", "many"), "--n needs a whole number, and got 'many'.\n  Try:  --n 10"),
    (("--n", "1_0"), "--n needs a whole number, and got '1_0'.\n  Try:  --n 10"),
    (("--share", "nan"), "--share needs a number, and got 'nan'.\n  Try:  --share 0.5"),
    (("--on", "31/10"), "--on needs a day, and got '31/10'.\n  Try:  --on 2026-10-31"),
    (("--at", "noon"), "--at needs a time, and got 'noon'.\n  Try:  --at 2026-10-31T18:30"),
    (("--form", "tall"), "--form needs one of wide, long, and got 'tall'.\n  Try:  --form wide"),
    (("--kinds", "sale"), "--kinds needs NAME=NAME, and got 'sale'.\n  Try:  --kinds sale=purchase"),
    (("--map", "visitorid"), "--map needs NAME=NAME, and got 'visitorid'.\n  Try:  --map customer_id=visitorid"),
    (("--n",), "--n needs a value.\n  Try:  shopkeeper recommend next-items --help"),
    (("--items",), "--items needs at least one value.\n  Try:  shopkeeper recommend next-items --help"),
    (("--exclude-seen=1",), "--exclude-seen takes no value.\n  Try:  shopkeeper recommend next-items --help"),
    (("--exclude-sen",), "shopkeeper recommend next-items does not know --exclude-sen.\n  Try:  --exclude-seen\n"
                         "  Try:  shopkeeper recommend next-items --help"),
])
def test_what_cannot_be_read_is_refused_with_what_to_do(words, text):
    assert refusal(*words) == text


def test_a_missing_value_is_named_with_the_shortest_command_that_has_it():
    with pytest.raises(BadInput) as caught:
        parser().read([])

    assert caught.value.text() == ("shopkeeper recommend next-items needs --customer.\n"
                                   "  Try:  shopkeeper recommend next-items --customer …\n"
                                   "  Try:  shopkeeper recommend next-items --help")


def test_help_shows_every_flag_with_its_default_and_survives_a_percent_sign():
    made = Parser("x", "At 95 % or so.", "en")
    add(made, (Parameter("level", "float", default=0.95, description="95 % by default."),))

    text = made.format_help()

    assert "--level NUMBER" in text
    assert "95 % by default. (default: 0.95)" in text
    assert "At 95 % or so." in text


def test_help_is_in_the_readers_language():
    assert "用法" in parser("zh").format_help()
