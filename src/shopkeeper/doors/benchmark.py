"""`shopkeeper benchmark recommend`: all methods on a public file of interactions, by a named protocol."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from shopkeeper.doors import output, parser, progress
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import BadInput
from shopkeeper.menu import Parameter
from shopkeeper.words import say

BENCHMARK = say("Let all methods of recommending compete on a public file of interactions.")
PROTOCOLS = ("leave-one-out", "time-split")
FORMS = ("auto", "lines", "sequences", "sessions")


def prepare(to: Parser) -> None:
    """The flags of `benchmark recommend`."""
    to.add_argument("--data", metavar="FILE", help=to.text(say(
        "user item [time] a line, user item rating time, a typed header (.inter), or a line a customer")))
    for name, choices, help_ in (
            ("protocol", PROTOCOLS, say("leave-one-out: the last item of each customer tests, the one before "
                                         "validates; time-split: the last days test, those before validate")),
            ("form", FORMS, say("lines; sequences: user item item …; sessions: item item …"))):
        read = parser.converter(f"--{name}", Parameter(name, "choice", choices=choices))
        to.add_argument(f"--{name}", type=read, default=choices[0], metavar="|".join(choices), help=to.text(help_))
    numbers = {"n": say("length of the lists (default: 10)"), "days": say("days of each window of a time split "
                                                                          "(default: 14)"),
               "seed": say("of the sample that settings are chosen on, and of the intervals")}
    for name, help_ in numbers.items():
        to.add_argument(f"--{name}", type=parser.converter(f"--{name}", Parameter(name, "int")), metavar="N",
                        help=to.text(help_))
    to.add_argument("--methods", nargs="+", metavar="NAME", help=to.text(say("only these methods (default: all)")))
    to.add_argument("--keep-seen", action="store_true", dest="keep_seen",
                    help=to.text(say("rank also what a customer has already")))
    output.add(to)


def run(found: Namespace, out: Output) -> None:
    """Read the file, let the methods compete, and show how they did.

    Raises:
        BadInput: No file is named, or it cannot be read.
    """
    from shopkeeper.recommend import benchmark, files

    given = vars(found)
    if not given.get("data"):
        raise BadInput(say("no file of interactions is named."), do=[say("--data interactions.txt")],
                       why=say("a benchmark runs on data that others have, too."))
    asked = benchmark.Asked(protocol=given["protocol"], methods=tuple(given.get("methods", ())),
                            **{name: given[name] for name in ("n", "days", "seed", "keep_seen") if name in given})
    path = Path(given["data"])
    with progress.shown(out.language) as told:
        told.start(say("reading {path}", path=str(path)))
        data = files.read(path, given["form"])
        answer = benchmark.compete(data, asked, name=path.name, progress=told)
    out.deliver(answer)
