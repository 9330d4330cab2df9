"""A small language of conditions over columns: read into a tree, and from there into an expression, never into text.

`purchases >= 3 and (country = 'DE' or country = 'FR')`; `30 < silent <= 90`; `channel in ('email', 'sms')`;
`country is unknown`; `not`. Strongest binds `not`, then `and`, then `or`. A comparison with what is not known holds as
little as its opposite, as in every database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import Any, Literal

import ibis

from shopkeeper.errors import BadInput
from shopkeeper.words import Sentence, say

Kind = Literal["number", "text"]
Value = float | str

LONGEST, DEEPEST = 1_000, 20  # characters of a rule, and brackets within brackets
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {"=": eq, "!=": ne, "<=": le, ">=": ge, "<": lt, ">": gt}
_WORDS = ("and", "or", "not", "in", "is", "unknown")
_TOKEN = re.compile(r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>'(?:[^']|'')*')|(?P<name>[a-z_]+)"
                    r"|(?P<sign>!=|<=|>=|[=<>(),]))")


@dataclass(frozen=True)
class Column:
    """A column of the table that is asked."""

    name: str

    def __str__(self) -> str:
        return self.name


Operand = Column | Value


@dataclass(frozen=True)
class Compared:
    """One comparison: a sign, and both of its sides."""

    sign: str
    left: Operand
    right: Operand

    def holds(self, rows: Any) -> Any:
        """Expression: whether it holds of a row."""
        sides = [rows[side.name] if isinstance(side, Column) else ibis.literal(side)
                 for side in (self.left, self.right)]
        return _SIGNS[self.sign](*sides)

    def __str__(self) -> str:
        return f"{_written(self.left)} {self.sign} {_written(self.right)}"


@dataclass(frozen=True)
class Among:
    """Whether a column is one of some values."""

    column: Column
    values: tuple[Value, ...]

    def holds(self, rows: Any) -> Any:
        """Expression: whether it holds of a row."""
        return rows[self.column.name].isin(list(self.values))

    def __str__(self) -> str:
        return f"{self.column} in ({', '.join(_written(value) for value in self.values)})"


@dataclass(frozen=True)
class Unknown:
    """Whether a column says nothing."""

    column: Column

    def holds(self, rows: Any) -> Any:
        """Expression: whether it holds of a row."""
        return rows[self.column.name].isnull()

    def __str__(self) -> str:
        return f"{self.column} is unknown"


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Condition

    def holds(self, rows: Any) -> Any:
        """Expression: whether it holds of a row."""
        return ~self.part.holds(rows)

    def __str__(self) -> str:
        return f"not ({self.part})"


@dataclass(frozen=True)
class Joined:
    """Several conditions: all of them (`and`), or any (`or`)."""

    by: Literal["and", "or"]
    parts: tuple[Condition, ...]

    def holds(self, rows: Any) -> Any:
        """Expression: whether it holds of a row."""
        return reduce(and_ if self.by == "and" else or_, (part.holds(rows) for part in self.parts))

    def __str__(self) -> str:
        return f" {self.by} ".join(f"({part})" if isinstance(part, Joined) else str(part) for part in self.parts)


Condition = Compared | Among | Unknown | Not | Joined


def _written(side: Operand) -> str:
    if isinstance(side, Column):
        return side.name
    return "'" + side.replace("'", "''") + "'" if isinstance(side, str) else f"{side:.15g}"


def read(text: str, columns: Mapping[str, Kind]) -> Condition:
    """A condition from its text; written again by `str`, it reads the same.

    Args:
        text: As above.
        columns: Name -> what it holds.

    Raises:
        BadInput: It cannot be read, names a column that is not there, or compares a number with a text.

    >>> str(read("30 < silent <= 90 and not country = 'DE'", {"silent": "number", "country": "text"}))
    "(30 < silent and silent <= 90) and not (country = 'DE')"
    """
    if len(text) > LONGEST:
        raise _unread(say("it has more than {most:,} characters", most=LONGEST), columns)
    return _Reader(text, columns).whole()


class _Reader:
    """Goes through the tokens of a rule once, from left to right."""

    def __init__(self, text: str, columns: Mapping[str, Kind]) -> None:
        self.columns, self.depth = columns, 0
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise _unread(say("{text} is not understood", text=repr(text[at:].strip()[:20])), columns)
            kind = found.lastgroup or ""
            word = found[kind]
            self.tokens.append(("word" if word in _WORDS else kind, word))
            at = found.end()
        self.at = 0

    def whole(self) -> Condition:
        """The condition that all tokens make."""
        found = self._joined("or")
        if self.at < len(self.tokens):
            raise self._wrong()
        return found

    def _joined(self, by: Literal["and", "or"]) -> Condition:
        def one() -> Condition:
            return self._joined("and") if by == "or" else self._single()

        parts = [one()]
        while self._take("word", by):
            parts.append(one())
        return parts[0] if len(parts) == 1 else Joined(by, tuple(parts))

    def _single(self) -> Condition:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _unread(say("more than {most:,} brackets lie within each other", most=DEEPEST), self.columns)
        try:
            if self._take("word", "not"):
                return Not(self._single())
            if self._take("sign", "("):
                found = self._joined("or")
                self._need("sign", ")")
                return found
            return self._compared()
        finally:
            self.depth -= 1

    def _compared(self) -> Condition:
        sides, signs = [self._operand()], list[str]()
        if isinstance(sides[0], Column) and self._take("word", "is"):
            self._need("word", "unknown")
            return Unknown(sides[0])
        if isinstance(sides[0], Column) and self._take("word", "in"):
            return Among(sides[0], self._values(sides[0]))
        while self.at < len(self.tokens) and self.tokens[self.at][1] in _SIGNS and self.tokens[self.at][0] == "sign":
            signs.append(self.tokens[self.at][1])
            self.at += 1
            sides.append(self._operand())
        if not signs:
            raise self._wrong()
        found = [self._fitting(sign, *both) for sign, both in zip(signs, pairwise(sides), strict=True)]
        return found[0] if len(found) == 1 else Joined("and", tuple(found))

    def _values(self, column: Column) -> tuple[Value, ...]:
        self._need("sign", "(")
        found: list[Value] = []
        while not found or self._take("sign", ","):
            value = self._operand()
            if isinstance(value, Column):
                raise self._wrong(back=1)
            self._fitting("=", column, value)
            found.append(value)
        self._need("sign", ")")
        return tuple(found)

    def _operand(self) -> Operand:
        kind, word = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        if kind == "name" and word not in self.columns:
            raise _unread(say("there is no column {name}", name=repr(word)), self.columns)
        if kind not in ("number", "text", "name"):
            raise self._wrong()
        self.at += 1
        return (Column(word) if kind == "name" else float(word) if kind == "number"
                else word[1:-1].replace("''", "'"))

    def _fitting(self, sign: str, left: Operand, right: Operand) -> Compared:
        kinds = {self.columns[side.name] if isinstance(side, Column) else "text" if isinstance(side, str) else "number"
                 for side in (left, right)}
        if len(kinds) > 1 or not (isinstance(left, Column) or isinstance(right, Column)):
            raise _unread(say("{left} and {right} cannot be compared", left=_written(left), right=_written(right)),
                          self.columns)
        return Compared(sign, left, right)

    def _take(self, kind: str, word: str) -> bool:
        found = self.at < len(self.tokens) and self.tokens[self.at] == (kind, word)
        self.at += found
        return found

    def _need(self, kind: str, word: str) -> None:
        if not self._take(kind, word):
            raise self._wrong()

    def _wrong(self, back: int = 0) -> BadInput:
        rest = " ".join(word for _, word in self.tokens[self.at - back:][:4])
        return _unread(say("{text} is not understood", text=repr(rest)) if rest else say("it ends too early"),
                       self.columns)


def _unread(what: Sentence, columns: Mapping[str, Kind]) -> BadInput:
    texts: Sequence[str] = sorted(name for name, kind in columns.items() if kind == "text")
    numbers = sorted(name for name, kind in columns.items() if kind == "number")
    return BadInput(say("the rule cannot be read: {what}.", what=what),
                    do=[say("{example}", example="--rule \"purchases >= 3 and silent > 60\""),
                        say("numbers: {names}", names=", ".join(numbers)),
                        say("texts: {names}", names=", ".join(texts))],
                    why=say("a rule compares columns with = != < <= > >= in, joined by and, or, not and brackets."))
