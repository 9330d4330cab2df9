"""Every question and every act, once: a list of plain functions.

Doors read the rest off signature, type hints and docstring, so a question that is written once is a command, a route
and a form. The list names functions without importing them: help must not wait for the query engine. A test holds the
list equal to what the rooms mark with `@question` and `@act`, and each summary equal to its docstring's first line.

A parameter is a str, int, float, bool, date, datetime, Literal of texts, tuple[str, ...], Mapping[str, str], a small
frozen record of these, whose fields become parameters of their own, or any of these or None.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, datetime
from importlib import import_module
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from shopkeeper.asking import Mark

Kind = Literal["text", "int", "float", "bool", "date", "datetime", "choice", "texts", "pairs"]
DOORS_GIVE = ("shop", "progress")  # parameters that a door fills in itself


@dataclass(frozen=True)
class Parameter:
    """What a caller may give.

    Attributes:
        name: As in the signature, or the field of the record.
        kind: How a door reads it; `texts` is several texts, `pairs` is `name=text` several times.
        required: There is no default.
        default: The value where it is not given.
        description: From the docstring, English.
        choices: What a `choice` may be.
        record: Name of the record parameter that this is a field of; empty for a parameter of the function itself.
    """

    name: str
    kind: Kind
    required: bool = False
    default: object = None
    description: str = ""
    choices: tuple[str, ...] = ()
    record: str = ""


@dataclass(frozen=True)
class Entry:
    """A question or an act of a room.

    Attributes:
        room: Module of the package that it is a public name of.
        name: Name of the function.
        summary: First line of its docstring, English.
        shortcut: A command line also takes it without its room.
        by_hand: It takes what no signature can say to a door (files, somebody else's columns), so each door has a
            page of its own for it.
        words: What its command is called, where that is not its room and its name.
        places: Parameters that a command line also takes without their flag, in this order, after the shop.
        turns: Flags by which its command is another one of its room: each with the name of that entry.
    """

    room: str
    name: str
    summary: str
    shortcut: bool = False
    by_hand: bool = False
    words: str = ""
    places: tuple[str, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()

    def function(self) -> Callable[..., Any]:
        """The function itself; imports its room."""
        found: Callable[..., Any] = getattr(import_module(f"shopkeeper.{self.room}"), self.name)
        return found

    def mark(self) -> Mark:
        """Question or act, and the scope that an act needs; imports its room."""
        mark: Mark = self.function().__mark__  # type: ignore[attr-defined]
        return mark

    def parameters(self) -> tuple[Parameter, ...]:
        """What a caller may give, records opened into their fields; imports its room."""
        return read(self.function())


def read(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a function, off its signature, type hints and docstring.

    Args:
        function: A typed function with a Google-style docstring.

    Returns:
        In the order of the signature, without those that a door fills in; records opened into their fields.

    Raises:
        TypeError: A type that no door understands.

    >>> def brew(shop: object, *, cups: int = 2) -> None:
    ...     '''Brew.
    ...
    ...     Args:
    ...         cups: How many.
    ...     '''
    >>> read(brew)
    (Parameter(name='cups', kind='int', required=False, default=2, description='How many.', choices=(), record=''),)
    """
    texts = described(function.__doc__ or "", "Args")
    found: list[Parameter] = []
    for name, hint in _hints(function).items():
        default = inspect.signature(function).parameters[name].default
        record = _record(hint)
        if record is not None:
            found += _opened(name, record, default)
        else:
            missing = default is inspect.Parameter.empty
            found.append(_parameter(name, hint, MISSING if missing else default, texts.get(name, "")))
    return tuple(found)


def call(function: Callable[..., Any], shop: object, given: Mapping[str, object], **of_door: object) -> Any:
    """Ask a question, or act.

    Args:
        function: Of the menu.
        shop: An opened shop.
        given: Values by parameter name, fields of records by their own name; what is left out has its default.
        of_door: What only a door gives: `progress`. It is passed on where the function takes it.

    Returns:
        The answer.
    """
    takes = inspect.signature(function).parameters
    extra = {name: value for name, value in of_door.items() if name in takes}
    return function(shop, **_gathered(function, given), **extra)


def described(docstring: str, section: Literal["Args", "Attributes"]) -> dict[str, str]:
    """The descriptions in a section of a Google-style docstring, by name, each on one line.

    >>> described('''Brew.
    ...
    ...     Args:
    ...         cups: How many,
    ...             at most nine.
    ...         milk: With milk.
    ...
    ...     Returns:
    ...         Tea.
    ... ''', "Args")
    {'cups': 'How many, at most nine.', 'milk': 'With milk.'}
    """
    lines = inspect.cleandoc(docstring).splitlines()
    found: dict[str, str] = {}
    name = ""
    start = lines.index(f"{section}:") + 1 if f"{section}:" in lines else len(lines)
    for line in lines[start:]:
        if line and not line.startswith(" "):
            break
        head = re.match(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line)
        if head:
            name = head[1]
            found[name] = head[2].strip()
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    named = {name: p.annotation for name, p in inspect.signature(function).parameters.items() if name not in DOORS_GIVE}
    at = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(SimpleNamespace(__annotations__=named), globalns=at)


def _record(hint: Any) -> Any:
    """The record that a parameter is, or may be; None where it is none."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((option for option in options if is_dataclass(option)), None)


def _opened(record: str, hint: Any, default: object) -> list[Parameter]:
    texts = described(hint.__doc__ or "", "Attributes")
    hints = get_type_hints(hint)
    found = []
    for entry in fields(hint):
        if default is not inspect.Parameter.empty and default is not None:
            value = getattr(default, entry.name)
        elif entry.default_factory is not MISSING:
            value = entry.default_factory()
        else:
            value = entry.default
        found.append(_parameter(entry.name, hints[entry.name], value, texts.get(entry.name, ""), record))
    return found


def _parameter(name: str, hint: Any, default: object, description: str, record: str = "") -> Parameter:
    if get_origin(hint) in (Union, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        if len(inner) != 1:
            raise TypeError(f"{name}: no door understands {hint}")
        return _parameter(name, inner[0], default, description, record)
    choices = tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
    return Parameter(name, "choice" if choices else _kind(name, hint), default is MISSING,
                     None if default is MISSING else default, description, choices, record)


_SIMPLE: Mapping[Any, Kind] = {str: "text", int: "int", float: "float", bool: "bool", date: "date",
                               datetime: "datetime", tuple[str, ...]: "texts"}


def _kind(name: str, hint: Any) -> Kind:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if get_origin(hint) in (dict, Mapping) and get_args(hint) == (str, str):
        return "pairs"
    raise TypeError(f"{name}: no door understands {hint}")


def _gathered(function: Callable[..., Any], given: Mapping[str, object]) -> dict[str, object]:
    values = dict(given)
    for name, hint in _hints(function).items():
        record = _record(hint)
        if record is None:
            continue
        own = {entry.name: values.pop(entry.name) for entry in fields(record) if entry.name in values}
        default = inspect.signature(function).parameters[name].default
        if own or default is inspect.Parameter.empty:
            base = {} if default in (inspect.Parameter.empty, None) else {
                entry.name: getattr(default, entry.name) for entry in fields(record)}
            values[name] = record(**(base | own))
    return values


MENU: tuple[Entry, ...] = (
    Entry("ledger", "ingest", "Take files into the shop, all of it or nothing, and give the account.",
          shortcut=True, by_hand=True),
    Entry("ledger", "describe",
          "Say what the log looks like: people, things, span, kinds of event, busiest hours, top categories.",
          shortcut=True),
    Entry("ledger", "account", "Give the account of every import: received = stored + duplicate + quarantined.",
          shortcut=True),
    Entry("ledger", "quarantine", "Show what was quarantined: why, where it stood, and the original record.",
          shortcut=True, turns=(("--replay", "replay"),)),
    Entry("ledger", "quality",
          "Say what is wrong with the log: gaps, clocks, currencies, sums, repeats, ids, quantities; and what to do.",
          shortcut=True),
    Entry("ledger", "check", "Read every stored byte, and name the files that are not what was written.",
          shortcut=True),
    Entry("ledger", "replay",
          "Let quarantined records through the entrance again, after a fix here or in shop.toml; each is counted once.",
          shortcut=True),
    Entry("ledger", "undo",
          "Take one import back exactly, as if it had never come; the same file can then be ingested another way.",
          shortcut=True, places=("import_id",)),
    Entry("learn", "learn", "Run the trials, fit the winners and install them; skip what is fresh.", shortcut=True),
    Entry("privacy", "rotate", "Make a new key for pseudonyms, and give everybody a new one; each keeps what they did.",
          words="keys rotate"),
    Entry("recommend", "next_items", "Say what a customer wants next, and because of what."),
    Entry("recommend", "chances",
          "Say how likely a customer is to take what would be recommended, by what would be done."),
    Entry("recommend", "vectors",
          "Give items or customers as vectors, for a notebook or a map: near each other is alike in what people do."),
    Entry("recommend", "similar_items", "Name the items that people turn to after this one."),
    Entry("recommend", "goes_with", "Name the items that go into the same basket as these."),
    Entry("recommend", "audience", "Name the customers who want this item most."),
    Entry("recommend", "evidence",
          "Show the trials behind the recommendations: each method against the plainest rival.", shortcut=True),
    Entry("recommend", "experiment", "Say which arm of an experiment is better, as often as you like to look."),
    Entry("recommend", "start_experiment",
          "Start an experiment: two ways to say what a customer wants next, split by customer."),
    Entry("recommend", "stop_experiment",
          "Stop an experiment: everybody is answered by what is installed again."),
    Entry("journeys", "funnel", "Count how many people get from step to step, how long it takes, and where they stop."),
    Entry("journeys", "retention",
          "Say how many come back: cohorts by their first day, week or month, and what is left of them after each."),
    Entry("journeys", "paths",
          "Show the ways that visits take from something on, or to it: the most frequent ones, and how often to expect "
          "them."),
    Entry("journeys", "sessions",
          "Describe the visits: how many, how long, bounces, and where they enter, on which devices, by which "
          "channels."),
    Entry("journeys", "searches",
          "Show what is searched, what finds nothing, which results are clicked, and what is bought after it."),
    Entry("journeys", "attribution",
          "Share out what was sold among the visits before it, by six rules; a description, and no cause."),
    Entry("journeys", "compare",
          "Say which groups explain the change of a total from one period to another, as a sum that adds up."),
    Entry("customers", "lifetime_value",
          "Say what each customer will bring, with an interval, the dearest first; and what all of them will bring."),
    Entry("customers", "at_risk",
          "Name the customers who have most likely stopped buying, the dearest loss first, and why."),
    Entry("customers", "segments",
          "Divide the customers by how lately, how often and for how much they buy, each segment with its exact rule."),
    Entry("customers", "profile",
          "Say what is known of one customer: interests, prices, rhythm, the next purchase, what they looked for in "
          "vain."),
    Entry("customers", "save_segment",
          "Save a rule as a segment, which other questions then take by its name; say first whom it holds of today."),
    Entry("customers", "drop_segment", "Forget a segment that was saved."),
    Entry("customers", "publish",
          "Publish what each customer is worth and which segment they belong to, for other questions to use."),
    Entry("customers", "export_audience",
          "Write a list of customers with their names into a file of the shop's folder; the audit log keeps that it "
          "was."),
    Entry("customers", "notify",
          "Send a list of customers, as pseudonyms, to a webhook: signed, tried four times, with a key that says it is "
          "one."),
    Entry("traffic", "report",
          "Say who came: people, bots, agents and suspects, why they are labelled so, and how much each did."),
    Entry("traffic", "people", "Name who is labelled, and why; who did most comes first."),
    Entry("traffic", "clicks",
          "Say which clicks on ads are worth nothing: click ids used again, clicks without arrival, clicks of bots."),
    Entry("traffic", "reviews",
          "Show reviews that machines may have made: by what their accounts do first, by their text second."),
    Entry("traffic", "label",
          "Label by behaviour who is a machine: too quick, too even, a crowd of one kind; nobody who buys."),
    Entry("identity", "report",
          "Say how far visitors are known as customers, and which devices several customers share."),
    Entry("identity", "of",
          "Say which visitors' ids are joined to a customer, or which customers to a visitor's id, and by what."),
    Entry("identity", "join",
          "Join visitors' ids to customers: all that the log says, or one pair by hand; no event is written again."),
    Entry("identity", "split",
          "Undo joins of a visitor's id that turned out wrong; the log does not bring them back, a join by hand does."),
    Entry("trends", "counts", "Count what happens by minute or by hour, by kind, channel or category."),
    Entry("trends", "alerts", "List the rules of the alerts: their back-test, and what they rang lately."),
    Entry("trends", "firing", "Say which alerts ring now."),
    Entry("trends", "save_alert", "Save a rule that rings when a count is odd, after trying it on the past."),
    Entry("trends", "remove_alert", "Forget a rule of the alerts; what it rang stays."),
)
