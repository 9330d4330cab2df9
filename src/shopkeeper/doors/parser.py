"""A command's flags, read off its parameters; help and refusals in the reader's language."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NoReturn

from shopkeeper.doors.language import wrapped
from shopkeeper.errors import BadInput, Refusal
from shopkeeper.menu import Parameter
from shopkeeper.words import Sentence, put, say, word

COLUMNS = 100


class _Formatter(argparse.HelpFormatter):
    """Argparse's layout, with lines as wide as they look: a Chinese character takes two columns."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in wrapped(" ".join(text.split()), width - len(indent)))


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in sentences, never guesses an abbreviation, and speaks the reader's language.

    Args:
        command: The words of the command, such as `recommend next-items`.
        summary: What it does, English.
        language: `en` or `zh`.
    """

    def __init__(self, command: str, summary: str, language: str) -> None:
        super().__init__(prog=f"shopkeeper {command}", description=word(summary, language), add_help=False,
                         allow_abbrev=False, exit_on_error=False, argument_default=argparse.SUPPRESS,
                         formatter_class=lambda prog: _Formatter(prog, max_help_position=30, width=COLUMNS))
        self.language, self.command = language, command
        self.needed: list[tuple[str, str]] = []
        self.loose: list[str] = []
        self._positionals.title = put(say("What it takes"), language)
        self._optionals.title = put(say("Options"), language)
        self.add_argument("-h", "--help", action="help", help=self.text(say("show this help and stop")))

    def text(self, sentence: Sentence | str) -> str:
        """Help text in the reader's language; a plain text is looked up in the catalogue as it is."""
        return _safe(word(sentence, self.language) if isinstance(sentence, str) else put(sentence, self.language))

    def place(self, name: str, help_: Sentence, *, many: bool = False, default: str | None = None) -> None:
        """A positional argument; needed where it has no default."""
        shown = name.upper().rstrip("S") + "…" if many else name.upper()
        self.add_argument(name, metavar=shown, nargs="*" if many else "?", help=self.text(help_),
                          default=[] if many else default)
        if default is None:
            self.needed.append((name, shown))

    def loosen(self, name: str) -> None:
        """Take the value of a flag that is needed without the flag, too: as the next word that is nothing else's."""
        self.loose.append(name)
        self.needed = [(one, name.upper() if one == name else shown) for one, shown in self.needed]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The words as values.

        Raises:
            BadInput: A flag that is not known, a value that cannot be read, or something needed that is missing.
        """
        try:
            found, rest = self.parse_known_args(list(words))
        except argparse.ArgumentError as error:
            raise self._refusal(error) from None
        for name in self.loose:
            if rest and not rest[0].startswith("-") and not hasattr(found, name):
                setattr(found, name, rest.pop(0))
        if rest:
            raise BadInput(say("{command} does not know {words}.", command=self.prog, words=" ".join(rest)),
                           do=[*self._alike(rest[0]), self.help_hint()])
        for name, shown in self.needed:
            if not getattr(found, name, None):
                raise BadInput(say("{command} needs {name}.", command=self.prog, name=shown),
                               do=[say("{usage}", usage=self.short_usage()), self.help_hint()])
        return found

    def error(self, message: str) -> NoReturn:
        """Refuse with whatever else argparse finds."""
        raise BadInput(say("{problem}", problem=message), do=[self.help_hint()])

    def help_hint(self) -> Sentence:
        """What to type for help."""
        return say("{command} --help", command=self.prog)

    def short_usage(self) -> str:
        """The command with what it must have, on one line."""
        needed = (f"{shown} …" if shown.startswith("-") else shown for _, shown in self.needed)
        return " ".join([self.prog, *needed])

    def format_help(self) -> str:
        """The help page, headed in the reader's language."""
        usage = f"{put(say('Usage:'), self.language)} {self.short_usage()} [{put(say('options'), self.language)}]"
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        return f"{usage}\n\n{formatter.format_help()}"

    def _refusal(self, error: argparse.ArgumentError) -> Refusal:
        problems = {"expected one argument": say("{flag} needs a value."),
                    "expected at least one argument": say("{flag} needs at least one value.")}
        told = problems.get(error.message)
        if told is None and "ignored explicit argument" in error.message:
            told = say("{flag} takes no value.")
        if told is None:
            told = say("{flag}: {problem}")
        return BadInput(Sentence(told.template, {"flag": error.argument_name, "problem": error.message}),
                        do=[self.help_hint()])

    def _alike(self, text: str) -> Iterator[Sentence]:
        known = [flag for action in self._actions for flag in action.option_strings]
        for close in difflib.get_close_matches(text.split("=")[0], known, n=1):
            yield say("{word}", word=close)


def flag(name: str) -> str:
    """A parameter's name as a flag.

    >>> flag("exclude_seen")
    '--exclude-seen'
    """
    return "--" + name.replace("_", "-")


def add(parser: Parser, parameters: Sequence[Parameter]) -> None:
    """Give a parser one flag a parameter; the fields of a record stand together under its name."""
    groups: dict[str, Any] = {"": parser}
    for parameter in parameters:
        if parameter.record not in groups:
            title = word(parameter.record.replace("_", " "), parser.language)
            groups[parameter.record] = parser.add_argument_group(title.capitalize())
        _add(parser, groups[parameter.record], parameter)


def _add(parser: Parser, group: Any, parameter: Parameter) -> None:
    name, settings = flag(parameter.name), {"dest": parameter.name, "help": _help(parser, parameter)}
    if parameter.kind == "bool":
        off = parameter.default is True
        group.add_argument(flag("no_" + parameter.name) if off else name, action="store_false" if off else "store_true",
                           **settings)
        return
    if parameter.required:
        parser.needed.append((parameter.name, name))
    settings["metavar"] = metavar(parameter, parser.language)
    convert = converter(name, parameter)
    if parameter.kind == "pairs":
        group.add_argument(name, nargs="+", action=Pairs, **settings)
    elif parameter.kind == "texts":
        group.add_argument(name, nargs="+", action="extend", type=convert, **settings)
    else:
        group.add_argument(name, type=convert, **settings)


def metavar(parameter: Parameter, language: str) -> str:
    """What stands for the value in a help page."""
    words = {"int": say("N"), "float": say("NUMBER"), "date": say("DAY"), "datetime": say("TIME"),
             "pairs": say("NAME=NAME"), "text": say("TEXT"), "texts": say("TEXT")}
    return "|".join(parameter.choices) if parameter.kind == "choice" else put(words[parameter.kind], language)


def _help(parser: Parser, parameter: Parameter) -> str:
    text = word(parameter.description, parser.language)
    default = parameter.default
    if parameter.required or default is None or isinstance(default, bool) or default in ("", ()):
        return _safe(text)
    if not isinstance(default, str | int | float | date):
        return _safe(text)
    return _safe(f"{text} {put(say('(default: {value})', value=default), parser.language)}")


def _safe(text: str) -> str:
    return text.replace("%", "%%")


def converter(name: str, parameter: Parameter) -> Callable[[str], object]:
    """What reads the value of a flag from its text.

    Raises:
        BadInput: From the reader: the text is not what the flag takes.

    >>> converter("--n", Parameter("n", "int"))("5")
    5
    """
    def refuse(text: str, needs: Sentence, example: str) -> Refusal:
        return BadInput(say("{flag} needs {needs}, and got {text}.", flag=name, needs=needs, text=repr(text)),
                        do=[say("{example}", example=f"{name} {example}")])

    readers: dict[str, tuple[Callable[[str], object], Sentence, str]] = {
        "int": (_whole, say("a whole number"), "10"), "float": (_number, say("a number"), "0.5"),
        "date": (date.fromisoformat, say("a day"), "2026-10-31"),
        "datetime": (datetime.fromisoformat, say("a time"), "2026-10-31T18:30")}

    def convert(text: str) -> object:
        if parameter.kind == "choice":
            if text in parameter.choices:
                return text
            raise refuse(text, say("one of {choices}", choices=", ".join(parameter.choices)), parameter.choices[0])
        if parameter.kind not in readers:
            return text
        read, needs, example = readers[parameter.kind]
        try:
            return read(text)
        except ValueError:
            raise refuse(text, needs, example) from None

    return convert


def _whole(text: str) -> int:
    if not re.fullmatch(r"[-+]?\d{1,18}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def _pair(flag: str) -> str:
    """What a flag that takes pairs takes, for example."""
    if flag.startswith("--kind"):
        return "sale=purchase"
    return "event=purchase" if flag.startswith("--constant") else "customer_id=visitorid"


class Pairs(argparse.Action):
    """`name=text` several times, gathered in one dictionary."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        """Add what one flag gives to what the flags before it gave."""
        found = dict(getattr(namespace, self.dest, None) or {})
        for text in values:
            name, sign, value = text.partition("=")
            if not (name and sign):
                raise BadInput(say("{flag} needs {needs}, and got {text}.", flag=option_string or "",
                                   needs=say("NAME=NAME"), text=repr(text)),
                               do=[say("{example}", example=f"{option_string} {_pair(str(option_string))}")])
            found[name] = value
        setattr(namespace, self.dest, found)
