"""The menu lists what the rooms mark, and reads parameters off plain functions."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import Any, Literal

import pytest

from shopkeeper.asking import act, question
from shopkeeper.menu import MENU, call, read


@dataclass(frozen=True)
class Limits:
    """Limits.

    Attributes:
        most: At most
            this much.
        only: Only these.
    """

    most: float | None = None
    only: tuple[str, ...] = ()


@question
def brew(shop: object, leaf: str, *, cups: int = 2, kind: Literal["green", "black"] = "green", on: date | None = None,
         milk: bool = False, names: Mapping[str, str] | None = None, limits: Limits = Limits(most=3.0),
         progress: Any = None) -> dict[str, object]:
    """Brew some tea.

    Args:
        shop: Where.
        leaf: Which leaf.
        cups: How many.
        limits: What not to pass.
    """
    return {"shop": shop, "leaf": leaf, "cups": cups, "limits": limits, "progress": progress}


def test_parameters_are_read_off_signature_hints_and_docstring():
    found = {parameter.name: parameter for parameter in read(brew)}

    assert list(found) == ["leaf", "cups", "kind", "on", "milk", "names", "most", "only"]
    assert (found["leaf"].required, found["leaf"].description) == (True, "Which leaf.")
    assert (found["cups"].kind, found["cups"].default) == ("int", 2)
    assert (found["kind"].kind, found["kind"].choices) == ("choice", ("green", "black"))
    assert [found[name].kind for name in ("on", "milk", "names", "only")] == ["date", "bool", "pairs", "texts"]


def test_a_record_is_opened_into_its_fields_with_the_defaults_of_the_signature():
    most = next(parameter for parameter in read(brew) if parameter.name == "most")

    assert (most.record, most.default, most.description) == ("limits", 3.0, "At most this much.")


def test_a_call_gathers_the_fields_of_a_record_and_leaves_defaults_alone():
    given = call(brew, "shop", {"leaf": "oolong", "only": ("a",)}, progress="told")
    plain = call(brew, "shop", {"leaf": "oolong"})

    assert given["limits"] == Limits(most=3.0, only=("a",))
    assert given["progress"] == "told"
    assert plain["limits"] == Limits(most=3.0)
    assert plain["cups"] == 2


def test_a_record_that_may_be_none_is_opened_too_and_made_only_where_a_field_is_given():
    def pour(shop: object, *, limits: Limits | None = None) -> object:
        """Pour."""
        return limits

    assert [parameter.name for parameter in read(pour)] == ["most", "only"]
    assert call(pour, "shop", {}) is None
    assert call(pour, "shop", {"most": 2.0}) == Limits(most=2.0)


def test_a_type_that_no_door_understands_is_a_defect_that_names_the_parameter():
    def odd(shop: object, *, many: list[int]) -> None:
        """Be odd."""

    with pytest.raises(TypeError, match=r"many: no door understands list\[int\]"):
        read(odd)


def test_every_public_question_and_act_is_on_the_menu_and_nothing_else():
    rooms = {entry.room for entry in MENU} | {"recommend", "ledger", "learn"}
    marked = {(room, name) for room in rooms for name, thing in vars(import_module(f"shopkeeper.{room}")).items()
              if hasattr(thing, "__mark__") and not name.startswith("_")}

    assert {(entry.room, entry.name) for entry in MENU} == marked


@pytest.mark.parametrize("entry", MENU, ids=lambda entry: f"{entry.room}.{entry.name}")
def test_the_summary_that_help_shows_is_the_first_line_of_the_docstring(entry):
    assert entry.summary == (entry.function().__doc__ or "").strip().splitlines()[0]


@pytest.mark.parametrize("entry", [entry for entry in MENU if not entry.by_hand], ids=lambda e: f"{e.room}.{e.name}")
def test_every_parameter_is_one_that_doors_understand_described_and_named_once(entry):
    parameters = entry.parameters()
    names = [parameter.name for parameter in parameters]

    assert len(names) == len(set(names))
    assert [parameter.name for parameter in parameters if not parameter.description] == []
    assert not set(names) & {"json", "csv", "html", "lang", "as_of", "help"}  # the doors' own flags


@pytest.mark.parametrize("entry", MENU, ids=lambda entry: f"{entry.room}.{entry.name}")
def test_an_act_has_a_dry_run_and_a_scope_and_a_question_has_neither(entry):
    takes = inspect.signature(entry.function()).parameters
    mark = entry.mark()

    assert (mark.kind == "act") == ("dry_run" in takes) == (mark.scope is not None)


def test_shortcuts_do_not_collide():
    shortcuts = [entry.name for entry in MENU if entry.shortcut]

    assert len(shortcuts) == len(set(shortcuts))


def test_marks_say_what_a_function_is():
    @act("write")
    def change(shop: object, *, dry_run: bool = False) -> None:
        """Change."""

    assert (brew.__mark__.kind, brew.__mark__.scope) == ("question", None)
    assert (change.__mark__.kind, change.__mark__.scope) == ("act", "write")
