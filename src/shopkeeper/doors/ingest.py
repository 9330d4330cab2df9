"""`shopkeeper ingest`, written by hand: the one command whose flags describe somebody else's columns."""

from __future__ import annotations

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopkeeper.doors import output, parser, progress
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import Refusal
from shopkeeper.menu import Entry, Parameter
from shopkeeper.words import Sentence, put, say

if TYPE_CHECKING:
    from shopkeeper.shop import Shop

_TABLES = ("events", "items", "customers", "stock", "campaigns")
_READING = ("format", "encoding", "delimiter", "sheet", "dialect")
_FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx", "arrow")


def prepare(to: Parser) -> None:
    """Give the parser the flags of `ingest`."""
    to.place("shop", say("the shop's folder; made if it is not there"))
    to.place("files", say("files, folders or patterns: CSV, TSV, JSON lines, Parquet, XLSX, also gzip and zstd"),
             many=True)
    _choice(to, "table", _TABLES, say("which table the files fill (default: events)"))
    _pairs(to, "map", say("our column = their column, several; what has our name already needs none"))
    _pairs(to, "kind", say("their word for an event = our kind, several"))
    _pairs(to, "constant", say("our column = a value for the whole source, several, such as event=purchase"), "--set")
    _text(to, "time-zone", say("zone of times that have none, such as Europe/Berlin (default: UTC)"))
    _text(to, "time-format", say("form of odd times, as strptime takes it, such as %d.%m.%Y"))
    _text(to, "currency", say("currency of money that names none, such as EUR"))
    _choice(to, "order-rule", ("customer-minute",),
            say("a customer's lines in one minute are one order, where no order is given"))
    _text(to, "source", say("a label for where the files come from"))
    _choice(to, "format", _FORMATS, say("form of the files (default: recognised)"))
    _text(to, "dialect", say("what the files speak, see `shopkeeper dialects`; columns: ours, or those of --map "
                             "(default: recognised)"))
    _text(to, "encoding", say("encoding of text files (default: recognised)"))
    _text(to, "delimiter", say("what stands between the fields of a text file (default: recognised)"))
    _text(to, "sheet", say("sheet of a workbook (default: the first)"))
    to.add_argument("--dry-run", dest="dry_run", action="store_true",
                    help=to.text(say("write nothing; show the first rows as they would be stored")))
    output.add(to)


def run(entry: Entry, found: Namespace, out: Output) -> None:
    """Ingest, and deliver the account."""
    from shopkeeper.events.mapping import Mapping

    given = vars(found)
    record: dict[str, Any] = {ours: given[theirs] for theirs, ours in
                              (("map", "columns"), ("kind", "kinds"), ("constant", "constants"),
                               ("time_zone", "time_zone"), ("time_format", "time_format"), ("currency", "currency"),
                               ("order_rule", "order_rule"), ("source", "source")) if theirs in given}
    values = {name: given[name] for name in ("table", "dry_run") if name in given}
    reading: dict[str, Any] = {name: given[name] for name in _READING if name in given}
    if reading.get("delimiter") in ("\\t", "tab"):
        reading["delimiter"] = "\t"
    with _shop(given["shop"], given.get("dry_run", False)) as shop, progress.shown(out.language) as told:
        answer = entry.function()(shop, tuple(given["files"]), mapping=Mapping(**record), progress=told, **values,
                                  **reading)
    out.deliver(answer)


@contextmanager
def _shop(path: str, dry_run: bool) -> Iterator[Shop]:
    """The shop; for a dry run on a folder that is not there yet, one that goes again."""
    from shopkeeper.shop import Shop

    at = Path(path)
    there = at.exists()
    if not dry_run or (there and not at.is_dir()) or (at.is_dir() and any(at.iterdir())):
        shop = Shop.open(path, create=not dry_run)
        try:
            yield shop
        except Refusal:
            if not there and not shop.store.manifest().imports:  # nothing came of it: leave nothing behind
                shutil.rmtree(at)
            raise
        return
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:
        yield Shop.open(folder, create=True)


def _pairs(to: Parser, name: str, help_: Sentence, *also: str) -> None:
    to.add_argument(f"--{name}", *also, dest=name, nargs="+", action=parser.Pairs,
                    metavar=put(say("NAME=NAME"), to.language), help=to.text(help_))


def _text(to: Parser, name: str, help_: Sentence) -> None:
    to.add_argument(f"--{name}", dest=name.replace("-", "_"), metavar=put(say("TEXT"), to.language),
                    help=to.text(help_))


def _choice(to: Parser, name: str, choices: tuple[str, ...], help_: Sentence) -> None:
    convert = parser.converter(f"--{name}", Parameter(name, "choice", choices=choices))
    to.add_argument(f"--{name}", dest=name.replace("-", "_"), type=convert, metavar="|".join(choices),
                    help=to.text(help_))
