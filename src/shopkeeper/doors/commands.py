"""Every command: those read off the menu, and the few that are written by hand."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopkeeper.doors import (
    backup,
    benchmark,
    consume,
    dialects,
    ingest,
    keys,
    output,
    parser,
    printing,
    progress,
    serve,
    watch,
)
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.menu import MENU, Entry, Parameter, call
from shopkeeper.words import Sentence, put, say, word

if TYPE_CHECKING:
    from shopkeeper.asking import Answer


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        words: What is typed after `shopkeeper`.
        summary: What it does, English.
        prepare: Gives a parser its flags.
        run: Does it.
        group: Under which heading help lists it: a room, or empty for where a stranger starts.
        turns: Flag -> the words of the command that it is with this flag.
    """

    words: str
    summary: str
    prepare: Callable[[Parser], None]
    run: Callable[[Namespace, Output], None]
    group: str = ""
    turns: Mapping[str, str] = field(default_factory=dict)


def every() -> dict[str, Command]:
    """All commands by their words; imports no room."""
    listed = [
        Command("demo", str(_DEMO), _prepare_demo, _demo),
        Command("serve", str(serve.SERVE), serve.prepare, serve.run),
        Command("watch", str(watch.WATCH), watch.prepare, watch.run),
        *(_read_off(entry, words) for entry in MENU for words in _words(entry)),
        Command("key add", str(keys.ADD), keys.prepare_add, keys.add, "key"),
        Command("key list", str(keys.LIST), keys.prepare_list, keys.list_, "key"),
        Command("key remove", str(keys.REMOVE), keys.prepare_remove, keys.remove, "key"),
        Command("simulate", str(_SIMULATE), _prepare_simulate, _simulate),
        Command("consume", str(consume.CONSUME), consume.prepare, consume.run),
        Command("backup", str(_BACKUP), backup.prepare_backup, backup.backup),
        Command("restore", str(_RESTORE), backup.prepare_restore, backup.restore),
        Command("dialects", str(dialects.DIALECTS), dialects.prepare, dialects.run),
        Command("benchmark recommend", str(benchmark.BENCHMARK), benchmark.prepare, benchmark.run),
        Command("menu", str(_MENU), _prepare_menu, _menu),
    ]
    return {command.words: command for command in listed}


_TRAFFIC = Parameter("traffic", "choice", default="human", choices=("human", "all"),
                     description=str(say("human: without the events of bots; all: with them")))
_IDENTITY = Parameter("identity", "choice", default="joined", choices=("joined", "raw"),
                      description=str(say("joined: visitors count as the customers they are joined to; raw: they do "
                                          "not")))
_DEMO = say("Build a shop from public data, and watch it become recommendations.")
_SIMULATE = say("Write the log of a shop whose truth is known.")
_BACKUP = say("Back a shop up, also while it is served.")
_RESTORE = say("Put a shop back from a backup, and give its account.")
_MENU = say("List every question and every act.")


def _words(entry: Entry) -> list[str]:
    if entry.words:
        return [entry.words]
    name = entry.name.replace("_", "-")
    long = [] if entry.room == entry.name else [f"{entry.room} {name}"]
    return [*([name] if entry.shortcut else []), *long]


def _read_off(entry: Entry, words: str) -> Command:
    group = words.split()[0] if " " in words else ""
    if entry.by_hand:
        return Command(words, entry.summary, ingest.prepare, lambda found, out: ingest.run(entry, found, out), group)

    def prepare(to: Parser) -> None:
        to.place("shop", say("the shop's folder"))
        parser.add(to, entry.parameters())
        for name in entry.places:
            to.loosen(name)
        for flag, other in entry.turns:
            to.add_argument(flag, action="store_true",
                            help=to.text(say("do as `shopkeeper {command}` does, and take its options", command=other)))
        if entry.mark().kind == "question":
            to.add_argument("--as-of", dest="as_of", metavar=put(say("TIME"), to.language),
                            help=to.text(say("see the shop as it stood then; UTC where no zone is given")))
        for one in (_TRAFFIC, _IDENTITY):
            to.add_argument(f"--{one.name}", type=parser.converter(f"--{one.name}", one), default=one.default,
                            metavar="|".join(one.choices), help=to.text(one.description))
        output.add(to)

    turns = {flag: words.replace(entry.name, other) for flag, other in entry.turns}
    return Command(words, entry.summary, prepare, lambda found, out: _ask(entry, found, out), group, turns)


def _ask(entry: Entry, found: Namespace, out: Output) -> None:
    from shopkeeper.shop import Shop

    given = vars(found)
    names = {parameter.name for parameter in entry.parameters()}
    values = {name: tuple(value) if isinstance(value, list) else value
              for name, value in given.items() if name in names}
    shop = Shop.open(given["shop"], create=False, as_of=given.get("as_of"), traffic=given["traffic"],
                     identity=given["identity"])
    with progress.shown(out.language) as told:
        answer = call(entry.function(), shop, values, progress=told)
    out.deliver(answer)


def _prepare_demo(to: Parser) -> None:
    to.place("folder", say("where the shop goes; made if it is not there (default: demo.shop)"), default="demo.shop")
    to.add_argument("--lang", metavar="en|zh", help=to.text(say("the language; by default the locale's")))


def _demo(found: Namespace, out: Output) -> None:
    from shopkeeper.doors import demo

    def show(said: Sentence | Answer) -> None:
        if isinstance(said, Sentence):
            printing.line(printing.console_to(), put(said, out.language))
        else:
            printing.people(said, out.language)
            printing.write("")

    with progress.shown(out.language) as told:
        demo.run(Path(found.folder), show, told)


def _prepare_simulate(to: Parser) -> None:
    to.place("folder", say("where the files go; a folder that is empty or not there yet"))
    numbers = {"customers": say("customers with an account"), "items": say("items in the catalogue"),
               "days": say("length of the log in days"), "seed": say("the same seed gives the same shop")}
    for name, help_ in numbers.items():
        read = parser.converter(f"--{name}", Parameter(name, "int"))
        to.add_argument(f"--{name}", type=read, metavar="N", help=to.text(help_))
    to.add_argument("--events", type=parser.converter("--events", Parameter("events", "int")), metavar="N",
                    help=to.text(say("about so many lines: sets the customers, or the days where those are given")))
    shares = {"duplicates": say("share of the events that come twice"),
              "disorder": say("share of the events that arrive late, by minutes or by days"),
              "bots": say("share of the lines that machines make; adds user agents and networks")}
    for name, help_ in shares.items():
        read = parser.converter(f"--{name}", Parameter(name, "float"))
        to.add_argument(f"--{name}", type=read, metavar="SHARE", help=to.text(help_))
    kinds = Parameter("format", "choice", choices=("parquet", "csv", "jsonl"))
    to.add_argument("--format", type=parser.converter("--format", kinds), metavar="|".join(kinds.choices),
                    default="parquet", help=to.text(say("form of the files (default: parquet)")))
    output.add(to, table=False)


def _simulate(found: Namespace, out: Output) -> None:
    from shopkeeper.errors import BadInput
    from shopkeeper.simulate import asked_for, write_stream

    folder = Path(found.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(say("{path} is not an empty folder.", path=str(folder)),
                       do=[say("name a folder that is empty or not there yet.")],
                       why=say("a simulated log must not mix with other files."))
    given = vars(found)
    shop: dict[str, Any] = {name: given[name] for name in ("customers", "items", "days", "seed") if name in given}
    shares: dict[str, Any] = {name: given[name] for name in ("duplicates", "disorder", "bots") if name in given}
    with progress.shown(out.language) as told:
        if given.get("events") is not None:
            told.start(say("Running a small shop first, to learn how many lines a customer makes"))
        made = write_stream(folder, asked_for(given.get("events"), shares, shop), found.format, progress=told)
    _told(out, {"folder": str(folder), "events": made.planted.lines, "items": made.items, "customers": made.customers,
                "planted": asdict(made.planted), "files": sorted(path.name for path in made.files)},
          say("{events:,} event lines, {items:,} items and {customers:,} customers, in {path}",
              events=made.planted.lines, items=made.items, customers=made.customers, path=str(folder)))


def _told(out: Output, data: Mapping[str, Any], sentence: Sentence) -> None:
    if out.form == "json":
        from shopkeeper.asking import as_json

        printing.write(as_json(data))
    else:
        printing.line(printing.console_to(), put(sentence, out.language))


def _prepare_menu(to: Parser) -> None:
    output.add(to, table=False)


def _menu(_: Namespace, out: Output) -> None:
    from shopkeeper.asking import as_json

    if out.form == "json":
        printing.write(as_json({"answer": [_as_data(entry, out.language) for entry in MENU]}))
        return
    headings = [word("command", out.language), word("what it does", out.language), word("kind", out.language)]
    body = [[_words(entry)[0], word(entry.summary, out.language), word(entry.mark().kind, out.language)]
            for entry in MENU]
    printing.table(printing.console_to(), headings, body)


def _as_data(entry: Entry, language: str) -> dict[str, Any]:
    mark = entry.mark()
    return {"command": _words(entry)[0], "room": entry.room, "name": entry.name, "kind": mark.kind,
            "scope": mark.scope, "summary": word(entry.summary, language),
            "parameters": [{"name": parameter.name, "flag": parser.flag(parameter.name), "kind": parameter.kind,
                            "required": parameter.required, "default": parameter.default,
                            "choices": list(parameter.choices), "record": parameter.record,
                            "description": word(parameter.description, language)}
                           for parameter in ([] if entry.by_hand else entry.parameters())]}
