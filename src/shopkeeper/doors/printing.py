"""An answer on a screen, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

from shopkeeper.doors.language import visible
from shopkeeper.words import put, say, word

if TYPE_CHECKING:
    from rich.console import Console

    from shopkeeper.asking import Answer

WIDE = 9  # a table with more columns is turned: its columns go down
TURNED = 3  # rows of a turned table that a screen shows; JSON, CSV and the page have them all
LONG = 20  # a part with more rows is named and not drawn
PIPED = 100  # columns, where there is no terminal to ask
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?\s?(%|x)?")


def people(answer: Answer, language: str, to: TextIO | None = None) -> None:
    """Print the title, the tables, the notes and the evidence.

    Args:
        answer: What was answered.
        language: `en` or `zh`.
        to: Where to; stdout by default.
    """
    console = console_to(to)
    line(console, put(answer.title, language), "bold")
    table(console, *answer.cells(language))
    for name, part in answer.parts.items():
        _part(console, word(name.replace("_", " "), language), part, language)
    for note in answer.notes:
        line(console, f"· {put(note, language)}")
    line(console, put(say("Method: {name}", name=word(answer.method, language)), language), "dim")
    line(console, put(say("Evidence: {sentence}", sentence=answer.evidence.sentence()), language), "green")


def _part(console: Console, name: str, part: Any, language: str) -> None:
    from shopkeeper import asking

    if part.num_rows > LONG:
        line(console, put(say("{name}: {n:,} rows, in --json and --html", name=name, n=part.num_rows), language), "dim")
    elif part.num_rows:
        line(console, name, "bold")
        table(console, *asking.people(part, language))


def line(console: Console, text: str, style: str = "") -> None:
    """One paragraph; markup in the text is text."""
    from rich.text import Text

    console.print(Text(visible(text), style=style))


def table(console: Console, headings: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A table of texts; columns of numbers stand to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headings, body = filled(headings, body)
    if not body:
        return
    if len(headings) > WIDE:
        headings, body = _turned(headings, body)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading, right in zip(headings, numeric(body, len(headings)), strict=True):
        drawn.add_column(Text(visible(heading)), justify="right" if right else "left", overflow="fold",
                         no_wrap=right)
    for row in body:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    console.print(drawn)
    console.print()


def filled(headings: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without the columns in which nothing stands.

    >>> filled(["a", "b"], [["1", ""], ["2", ""]])
    (['a'], [['1'], ['2']])
    """
    keep = [i for i in range(len(headings)) if not body or any(row[i] for row in body)]
    return [headings[i] for i in keep], [[row[i] for i in keep] for row in body]


def _turned(headings: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    shown = body[:TURNED]
    return ["", *(str(n) for n in range(1, len(shown) + 1))], [
        [heading, *(row[i] for row in shown)] for i, heading in enumerate(headings)]


def numeric(body: Iterable[Sequence[str]], columns: int) -> list[bool]:
    """For each column: whether every filled cell is a number.

    >>> numeric([["a", "1,200"], ["b", ""]], 2)
    [False, True]
    """
    cells: list[list[str]] = [[] for _ in range(columns)]
    for row in body:
        for column, cell in zip(cells, row, strict=True):
            column.append(cell)
    return [any(column) and all(not cell or _NUMBER.fullmatch(cell) for cell in column) for column in cells]


def as_csv(answer: Answer) -> str:
    """The answer's table as CSV (RFC 4180), for a spreadsheet.

    Headings are the fixed English names, nested values are JSON text, nothing is an empty field. A text that a
    spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return) gets an
    apostrophe in front: a customer could have typed it. Columns of numbers stay as they are.
    """
    from shopkeeper.asking import rows

    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(answer.table.column_names)
    for row in rows(answer.table):
        writer.writerow([_field(value) for value in row.values()])
    return out.getvalue()


def _field(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def write(text: str, to: TextIO | None = None) -> None:
    """A text for a program, as it is, with a newline at its end."""
    out = sys.stdout if to is None else to
    out.write(text if text.endswith("\n") else text + "\n")


def console_to(to: TextIO | None = None) -> Console:
    """Where people read: a terminal as wide as it is, a pipe without colours and 100 columns wide."""
    from rich.console import Console

    out = sys.stdout if to is None else to
    settings: dict[str, Any] = {} if out.isatty() else {"width": PIPED, "no_color": True, "force_terminal": False}
    return Console(file=out, highlight=False, soft_wrap=False, **settings)
