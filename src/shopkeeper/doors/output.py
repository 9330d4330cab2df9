"""Where an answer or a refusal goes: a person's screen, JSON, CSV, or a page."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shopkeeper.doors import printing
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import BadInput
from shopkeeper.words import put, say

if TYPE_CHECKING:
    from shopkeeper.asking import Answer


@dataclass(frozen=True)
class Output:
    """How a command's answer leaves.

    Attributes:
        language: `en` or `zh`.
        form: For people, for programs, for spreadsheets, or as a page.
        file: Where the page goes.
    """

    language: str
    form: Literal["people", "json", "csv", "html"] = "people"
    file: Path | None = None

    def deliver(self, answer: Answer) -> None:
        """Send an answer on its way.

        Raises:
            BadInput: The page's file cannot be written.
        """
        if self.form == "json":
            from shopkeeper.asking import as_json

            printing.write(as_json(answer.to_dict(self.language)))
        elif self.form == "csv":
            sys.stdout.write(printing.as_csv(answer))
        elif self.file is not None:
            self._page(answer, self.file)
        else:
            printing.people(answer, self.language)

    def _page(self, answer: Answer, file: Path) -> None:
        from shopkeeper.doors.page import page

        try:
            file.write_text(page(answer, self.language), "utf-8")
        except OSError as wrong:
            raise BadInput(say("{path} cannot be written: {wrong}", path=str(file), wrong=wrong.strerror or str(wrong)),
                           do=[say("--html answer.html")],
                           why=say("the folder must be there, and be one that you may write to.")) from wrong
        printing.write(put(say("Written: {path}", path=str(file)), self.language))


def add(parser: Parser, *, table: bool = True) -> None:
    """The flags that say where an answer goes; `table`: CSV and a page, too."""
    group = parser.add_argument_group(put(say("Output"), parser.language))
    group.add_argument("--json", action="store_true", dest="json",
                       help=parser.text(say("one JSON object, for programs")))
    if table:
        group.add_argument("--csv", action="store_true", dest="csv",
                           help=parser.text(say("the table as CSV; a text that a spreadsheet would take for a formula "
                                                "gets an apostrophe in front")))
        group.add_argument("--html", metavar=put(say("FILE"), parser.language), dest="html",
                           help=parser.text(say("one page with table, chart and evidence; needs no network")))
    group.add_argument("--lang", metavar="en|zh", help=parser.text(say("the language; by default the locale's")))


def chosen(found: Namespace, language: str) -> Output:
    """The output that the flags ask for.

    Raises:
        BadInput: More than one of them.
    """
    forms = [form for form in ("json", "csv", "html") if getattr(found, form, None)]
    if len(forms) > 1:
        raise BadInput(say("{first} and {second} do not go together.", first=f"--{forms[0]}", second=f"--{forms[1]}"),
                       do=[say("ask twice.")])
    form: Literal["people", "json", "csv", "html"] = forms[0] if forms else "people"  # type: ignore[assignment]
    return Output(language, form, Path(found.html) if form == "html" else None)
