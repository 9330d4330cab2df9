"""What a question, an act and an answer are.

A question reads and gives an `Answer`; an act writes, needs a scope and has a dry run. Both are plain typed functions
with a docstring, marked here and listed once in the menu; the doors read the rest off their signatures.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from typing import Any, Literal, Protocol, TypeVar, cast

import pyarrow as pa

from shopkeeper.errors import BadInput
from shopkeeper.words import Sentence, put, say, word

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Mark:
    """What the menu knows of a function beyond its signature: question or act, and the scope that an act needs."""

    kind: Literal["question", "act"]
    scope: str | None = None


def question(function: F) -> F:
    """Mark a function that only reads."""
    return _marked(function, Mark("question"))


def act(scope: str) -> Callable[[F], F]:
    """Mark a function that writes; it has a `dry_run` parameter and needs `scope` where keys are asked for."""

    def mark(function: F) -> F:
        return _marked(function, Mark("act", scope))

    return mark


def _marked(function: F, mark: Mark) -> F:
    """The function, marked; its answer says which of what it looked at was left out, or counted for somebody else."""

    @wraps(function)
    def asked(shop: Any, *args: Any, **given: Any) -> Any:
        before = _looks(shop)
        answer = function(shop, *args, **given)
        if not isinstance(answer, Answer) or (after := _looks(shop)) == before:
            return answer
        gone = shop.left_out() if after[0] > before[0] else 0
        joined = shop.joined() if after[1] > before[1] else 0
        said = (*((say("{n:,} events of bots are left out; with --traffic all they count.", n=gone),) if gone else ()),
                *((say("{n:,} ids of visitors count as the customers they are joined to; with --identity raw they do "
                       "not.", n=joined),) if joined else ()))
        return replace(answer, notes=(*answer.notes, *said)) if said else answer

    asked.__mark__ = mark  # type: ignore[attr-defined]
    return cast(F, asked)


def _looks(shop: Any) -> tuple[int, int]:
    """How often somebody was given events without those of bots, and with joined people, so far.

    Whoever asks has a shop; a function alone may be tried with anything.
    """
    return getattr(shop, "looked", 0), getattr(shop, "followed", 0)


def one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of the words that a parameter takes.

    Raises:
        BadInput: It is none.
    """
    if value not in choices:
        raise BadInput(say("{name} is {value}; it must be one of {names}.", name=name, value=repr(value)[:80],
                           names=", ".join(choices)), do=[say("{example}", example=f"--{name} {choices[0]}")])


class Evidence(Protocol):
    """What every kind of evidence has: its kind, a sentence for people, and plain data for programs."""

    @property
    def kind(self) -> str:
        """`trial`, `exact count`, `interval estimate`, `replay`, or `nothing learned`."""

    def sentence(self) -> Sentence:
        """The evidence in a sentence."""

    def to_dict(self) -> dict[str, Any]:
        """The evidence as plain data."""


class Progress(Protocol):
    """Where a long piece of work says how far it is. A door draws it; `silent` does not."""

    def start(self, what: Sentence, total: float | None = None) -> None:
        """A new stage of `total` steps (None: unknown) begins; the one before is done."""

    def advance(self, steps: float = 1) -> None:
        """So many steps of the stage are done."""


class Silent:
    """Progress that nobody watches."""

    def start(self, what: Sentence, total: float | None = None) -> None:
        """Say nothing."""

    def advance(self, steps: float = 1) -> None:
        """Say nothing."""


silent = Silent()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What leaves a room: a table, its evidence, the method that gave it, and what was asked.

    Attributes:
        title: What this answers, for people.
        table: The rows (Arrow); column names are fixed English identifiers.
        evidence: How we know.
        method: Name of the method that answered.
        asked: The question and its parameters as they were understood, defaults included.
        notes: What else a reader must know: what a rule removed, what was missing.
        parts: Further tables by name, where one is not enough.
    """

    title: Sentence
    table: pa.Table
    evidence: Evidence
    method: str
    asked: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[Sentence, ...] = ()
    parts: Mapping[str, pa.Table] = field(default_factory=dict)

    @property
    def chart(self) -> dict[str, Any] | None:
        """The answer's picture as a Vega-Lite specification, or None where a table says it best."""
        return self.picture()

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """The picture with its words in a language. Rooms that draw override this."""
        return None

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame (pandas must be installed)."""
        return self.table.to_pandas()

    def to_polars(self) -> Any:
        """The table as a polars DataFrame (polars must be installed)."""
        import polars as pl  # type: ignore[import-not-found,unused-ignore]

        return pl.from_arrow(self.table)

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """One object for a program: `answer` rows, `method`, `evidence`, `asked`, `notes`, and the parts by name."""
        return {
            "answer": rows(self.table), "method": self.method,
            "evidence": {**self.evidence.to_dict(), "sentence": put(self.evidence.sentence(), language)},
            "asked": {name: plain(value) for name, value in self.asked.items()},
            "notes": [put(note, language) for note in self.notes],
            **({"parts": {name: rows(part) for name, part in self.parts.items()}} if self.parts else {}),
        }

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Headings and rows as people read them, in a language. Rooms override it where a column needs words."""
        return people(self.table, language)

    def __str__(self) -> str:
        headings, body = self.cells()
        widths = [max(len(line[i]) for line in [headings, *body]) for i in range(len(headings))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
                 for line in [headings, *body]]
        notes = [str(note) for note in self.notes]
        return "\n".join([str(self.title), *lines, *notes, str(self.evidence.sentence())])

    def _repr_html_(self) -> str:
        headings, body = self.cells()
        head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>" for line in body)
        below = "".join(f"<p>{html.escape(str(text))}</p>" for text in [*self.notes, self.evidence.sentence()])
        return (f"<h4>{html.escape(str(self.title))}</h4>"
                f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>{below}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """A notebook shows the table and, where it can draw Vega-Lite, the chart."""
        bundle: dict[str, Any] = {"text/html": self._repr_html_(), "text/plain": str(self)}
        if self.chart is not None:
            bundle["application/vnd.vegalite.v5+json"] = self.chart
        return bundle


def people(table: pa.Table, language: str = "en") -> tuple[list[str], list[list[str]]]:
    """A table as people read it: headings in words, numbers with separators, nothing for null."""
    headings = [word(name.replace("_", " "), language) for name in table.column_names]
    return headings, [[shown(value, language) for value in line.values()] for line in table.to_pylist()]


def shown(value: object, language: str = "en") -> str:
    """One cell as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return word("yes" if value else "no", language)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int | Decimal):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, list):
        return ", ".join(shown(entry, language) for entry in value)
    if isinstance(value, dict):
        return " ".join(shown(entry, language) for entry in value.values())
    return value.isoformat() if isinstance(value, date) else str(value)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as plain JSON values: times as ISO text, money as a number."""
    return [{name: plain(value) for name, value in line.items()} for line in table.to_pylist()]


def plain(value: object) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def as_json(data: object) -> str:
    """Plain data as one JSON text; no NaN; in ASCII, so that it survives whatever a terminal or a pipe is set to."""
    return json.dumps(plain(data), allow_nan=False)


@contextmanager
def stage(progress: Progress, what: Sentence, total: float | None = None) -> Iterator[Progress]:
    """A stage of a long piece of work as a `with` block."""
    progress.start(what, total)
    yield progress
