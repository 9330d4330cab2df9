"""The command line: `shopkeeper COMMAND ...`.

A command's words are found first, so that only the room that it needs is imported. Exit codes: 0 done, 1 a defect of
ours (with its traceback), 2 a refusal, 130 stopped by Ctrl-C, 141 the reader of the output went away.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Mapping, Sequence

from shopkeeper import __version__
from shopkeeper.doors import commands
from shopkeeper.doors.commands import Command
from shopkeeper.doors.language import of_locale, spoken, wrapped
from shopkeeper.doors.output import chosen
from shopkeeper.doors.parser import COLUMNS, Parser
from shopkeeper.errors import BadInput, Refusal
from shopkeeper.words import put, say, word

REFUSED, STOPPED, UNREAD = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; by default the process's own.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _steady()
    language = of_locale(os.environ)
    try:
        language, words = spoken(words, os.environ)
        _run(words, language)
        sys.stdout.flush()
    except Refusal as refusal:
        return _refused(refusal, words, language)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except SystemExit as left:
        if left.code != 1:
            raise
        return UNREAD  # the tables' printer met a closed pipe
    except KeyboardInterrupt:
        print(put(say("Stopped."), language), file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        if wrong.filename is None and wrong.errno != errno.ENOSPC:
            raise
        path = str(wrong.filename) if wrong.filename is not None else put(say("the disk"), language)
        return _refused(BadInput(say("{path} cannot be used: {wrong}", path=path, wrong=wrong.strerror or str(wrong)),
                                 why=say("the machine says so, not shopkeeper.")), words, language)
    return 0


def _run(words: list[str], language: str) -> None:
    every = commands.every()
    if not words or words[0] in ("-h", "--help", "help"):
        shortcuts = {name for name in every if " " not in name}
        print(_help({name: command for name, command in every.items()
                     if name in shortcuts or name.split()[1] not in shortcuts}, language))
        return
    if words[0] == "--version":
        print(f"shopkeeper {__version__}")
        return
    name, rest = _named(words, every)
    if name not in every:
        print(_help({key: command for key, command in every.items() if command.group == name}, language))
        return
    turn = next((flag for flag in every[name].turns if flag in rest), None)
    if turn is not None and not {"-h", "--help"} & set(rest):
        name, rest = every[name].turns[turn], [one for one in rest if one != turn]
    _carry_out(every[name], rest, language)


def _carry_out(command: Command, rest: list[str], language: str) -> None:
    parser = Parser(command.words, command.summary, language)
    command.prepare(parser)
    if "-h" in rest or "--help" in rest:
        print(parser.format_help().rstrip())
        return
    found = parser.read(rest)
    command.run(found, chosen(found, language))


def _named(words: list[str], every: Mapping[str, Command]) -> tuple[str, list[str]]:
    """The command that the words begin with, or the room whose commands are asked for; and the other words."""
    rooms = {name.split()[0] for name in every if " " in name}
    if words[0] in every:
        return words[0], words[1:]
    if words[0] in rooms:
        if len(words) == 1 or words[1] in ("-h", "--help"):
            return words[0], []
        if (name := " ".join(words[:2])) in every:
            return name, words[2:]
    typed = " ".join(words[:2]) if words[0] in rooms else words[0]
    known = [name for name in (*every, *rooms) if (" " in name) == (" " in typed)]
    alike = difflib.get_close_matches(typed, known, n=3)
    raise BadInput(say("there is no command {name}.", name=repr(typed)),
                   do=[*(say("shopkeeper {name}", name=name) for name in alike), say("shopkeeper --help")])


def _help(every: Mapping[str, Command], language: str) -> str:
    lines = [put(say("Usage: shopkeeper COMMAND SHOP [options] [--lang en|zh]"), language), "",
             put(say("Turns what a shop's customers do into what the shop should do."), language)]
    groups: dict[str, list[Command]] = {}
    for command in every.values():
        groups.setdefault(command.group, []).append(command)
    left = 2 + max(len(name) for name in every) + 2
    for group, members in groups.items():
        lines += ["", put(say("Start here"), language) if not group else word(group, language).capitalize()]
        for command in members:
            first, *others = wrapped(word(command.summary, language), COLUMNS - left)
            lines.append(f"  {command.words}".ljust(left) + first)
            lines += [" " * left + line for line in others]
    return "\n".join([*lines, "", put(say("shopkeeper COMMAND --help says more."), language)])


def _refused(refusal: Refusal, words: Sequence[str], language: str) -> int:
    if "--json" in words:
        import json

        print(json.dumps(refusal.to_dict(language)))
    else:
        print(refusal.text(language), file=sys.stderr)
    return REFUSED


def _steady() -> None:
    """Let no character that the terminal cannot show end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
