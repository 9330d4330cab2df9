"""`shopkeeper dialects`: what files may speak."""

from __future__ import annotations

from argparse import Namespace

from shopkeeper.doors import output, printing
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.words import put, say, word

DIALECTS = say("List the dialects that files are understood in, or show what one of them maps.")


def prepare(to: Parser) -> None:
    """The flags of `dialects`."""
    to.place("name", say("a dialect, to see which of its fields fills which column (default: list all)"), default="")
    output.add(to, table=False)


def run(found: Namespace, out: Output) -> None:
    """List them, or show one.

    Raises:
        UnknownName: There is none of that name.
    """
    from shopkeeper.asking import as_json
    from shopkeeper.events import dialects
    from shopkeeper.events.dialects import described

    shown = [dialects.named(found.name)] if found.name else list(dialects.DIALECTS.values())
    console = printing.console_to()
    if out.form == "json":
        printing.write(as_json({"answer": [described.as_data(one) for one in shown]}))
    elif not found.name:
        printing.table(console, [word("dialect", out.language), word("whose", out.language),
                                 word("columns filled", out.language)],
                       [[one.name, one.title, str(len(described.filled(one)))] for one in shown])
    else:
        (one,) = shown
        printing.line(console, put(say("{title}, documented at {where}", title=one.title, where=one.documented),
                                   out.language))
        printing.table(console, [word("our column", out.language), word("their field", out.language)],
                       [list(row) for row in described.filled(one)])
        printing.table(console, [word("our kind", out.language), word("their word", out.language)],
                       [[ours, ", ".join(theirs)] for ours, theirs in described.words(one).items()])
