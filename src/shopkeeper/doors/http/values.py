"""What a caller gives, as the typed values that a function of the menu takes. Nothing else reaches a query."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from shopkeeper.doors.parser import converter
from shopkeeper.errors import BadInput
from shopkeeper.menu import Parameter
from shopkeeper.words import Sentence, say

AS_OF = Parameter("as_of", "datetime",
                  description=str(say("see the shop as it stood then; UTC where no zone is given")))
TRAFFIC = Parameter("traffic", "choice", choices=("human", "all"),
                    description=str(say("human: without the events of bots; all: with them")))
IDENTITY = Parameter("identity", "choice", choices=("joined", "raw"),
                     description=str(say("joined: visitors count as the customers they are joined to; raw: they do "
                                         "not")))
VIEW = (AS_OF, TRAFFIC, IDENTITY)  # what is seen of the log, for every question
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_FIELDS = 1000  # values in one query string
_LONGEST = 10_000  # characters of one text


def of_query(query: bytes, parameters: Sequence[Parameter], *, also: Iterable[str] = ()) -> dict[str, object]:
    """The values of a query string.

    Args:
        query: As it came, without the question mark.
        parameters: What may be given.
        also: Names that the route reads itself.

    Raises:
        BadInput: A name that is not known, or a value that is not what its parameter takes; both are named.
    """
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as wrong:
        raise BadInput(say("the query string cannot be read: {wrong}", wrong=str(wrong)),
                       do=[say("{example}", example="?n=10&customer=c-1")],
                       why=say("it holds names and values in UTF-8, percent-encoded.")) from wrong
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        if name not in also:
            given.setdefault(name, []).append(text)
    known = {parameter.name: parameter for parameter in parameters}
    _refuse_unknown(given, known)
    return {name: _of_texts(known[name], texts) for name, texts in given.items()}


def of_json(body: bytes, parameters: Sequence[Parameter]) -> dict[str, object]:
    """The values of a JSON object; null is as if it were not there.

    Raises:
        BadInput: It is no object, a name is not known, or a value is not what its parameter takes.
    """
    try:
        found = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadInput(say("the body is no JSON object: {wrong}", wrong=str(wrong)),
                       do=[say("{example}", example='{"n": 10}')],
                       why=say("it holds the parameters by name.")) from wrong
    known = {parameter.name: parameter for parameter in parameters}
    _refuse_unknown(found, known)
    return {name: _of_value(known[name], value) for name, value in found.items() if value is not None}


def complete(given: Mapping[str, object], parameters: Sequence[Parameter]) -> None:
    """Refuse what lacks a needed parameter.

    Raises:
        BadInput: Naming it.
    """
    for parameter in parameters:
        if parameter.required and given.get(parameter.name) in (None, ()):
            raise BadInput(say("{name} is missing.", name=parameter.name),
                           do=[say("{example}", example=f"?{parameter.name}={example(parameter)}")],
                           why=say("the question cannot be asked without it."))


def example(parameter: Parameter) -> str:
    """A value that the parameter takes, as text."""
    if parameter.kind == "choice":
        return parameter.choices[0]
    if parameter.default not in (None, "", ()) and parameter.kind in ("int", "float", "text", "date"):
        return str(parameter.default)
    ids = {"customer": "c-42", "item": "i-7", "items": "i-7", "room": "recommend", "reason": "conflict"}
    return ids.get(parameter.name) or {
        "int": "10", "float": "0.5", "bool": "true", "date": "2026-10-31", "datetime": "2026-10-31T18:30:00",
        "text": "text", "texts": "text", "pairs": "name=text"}[parameter.kind]


def _refuse_unknown(given: Iterable[str], known: Mapping[str, Parameter]) -> None:
    for name in given:
        if name not in known:
            alike = difflib.get_close_matches(name[:80], known, n=3)
            raise BadInput(say("there is no parameter {name} here.", name=repr(name[:80])),
                           do=[say("{name}", name=one) for one in alike] or [
                               say("one of: {names}", names=", ".join(known) or "-")],
                           why=say("a parameter that is not known would change nothing, and nobody would notice."))


def _of_texts(parameter: Parameter, texts: list[str]) -> object:
    for text in texts:
        _sound(parameter, text)
    if parameter.kind == "texts":
        return tuple(texts)
    if parameter.kind == "pairs":
        return _pairs(parameter, texts)
    if len(texts) > 1:
        raise _wrong(parameter, say("one value"), ", ".join(texts))
    text = texts[0]
    if parameter.kind == "bool":
        if text.lower() in (*_YES, *_NO):
            return text.lower() in _YES
        raise _wrong(parameter, say("true or false"), text)
    return _converted(parameter, text)


def _pairs(parameter: Parameter, texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise _wrong(parameter, say("NAME=NAME"), text)
        found[name] = value
    return found


def _converted(parameter: Parameter, text: str) -> object:
    try:
        return converter(parameter.name, parameter)(text)
    except BadInput as wrong:
        needs = wrong.what.params.get("needs")
        raise _wrong(parameter, needs if isinstance(needs, Sentence) else say("TEXT"), text) from None


def _of_value(parameter: Parameter, value: object) -> object:
    """A JSON value as the parameter's type; a time is text, as in a query string."""
    wanted: dict[str, tuple[Callable[[Any], bool], Sentence]] = {
        "text": (lambda v: isinstance(v, str), say("a text")), "choice": (lambda v: isinstance(v, str), say("a text")),
        "int": (lambda v: _whole(v) and abs(v) < 10 ** 18, say("a whole number")),
        "float": (lambda v: isinstance(v, float) or (_whole(v) and abs(v) < 10 ** 18), say("a number")),
        "bool": (lambda v: isinstance(v, bool), say("true or false")),
        "date": (lambda v: isinstance(v, str), say("a day")), "datetime": (lambda v: isinstance(v, str), say("a time")),
        "texts": (lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v), say("a list of texts")),
        "pairs": (lambda v: isinstance(v, dict) and all(isinstance(one, str) for one in v.values()),
                  say("an object of texts")),
    }
    right, needs = wanted[parameter.kind]
    if not right(value):
        raise _wrong(parameter, needs, msgspec.json.encode(value).decode())
    for text in _texts_in(value):
        _sound(parameter, text)
    if parameter.kind in ("choice", "date", "datetime"):
        return _converted(parameter, str(value))
    if isinstance(value, list):
        return tuple(value)
    return float(value) if parameter.kind == "float" and isinstance(value, int) else value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*map(str, value), *map(str, value.values())]
    return [str(one) for one in value] if isinstance(value, list) else [value] if isinstance(value, str) else []


def _sound(parameter: Parameter, text: str) -> None:
    """Refuse a text that no engine can hold: a zero byte, half a character, or endless."""
    if "\0" in text or len(text) > _LONGEST or re.search("[\ud800-\udfff]", text):
        raise _wrong(parameter, say("a text of at most {n:,} characters, without zero bytes", n=_LONGEST), text[:40])


def _wrong(parameter: Parameter, needs: Sentence, got: str) -> BadInput:
    shown = got if len(got) <= 80 else got[:79] + "\u2026"
    return BadInput(say("{flag} needs {needs}, and got {text}.", flag=parameter.name, needs=needs, text=repr(shown)),
                    do=[say("{example}", example=f"{parameter.name}={example(parameter)}")],
                    why=say("it says: {text}", text=parameter.description) if parameter.description else None)

