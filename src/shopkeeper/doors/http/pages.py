"""The routes as one page for people: parameters, an example, a form to try it. It fetches nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from shopkeeper import __version__
from shopkeeper.doors.http import values
from shopkeeper.doors.http.described import Operation
from shopkeeper.menu import Parameter
from shopkeeper.words import Sentence, put, say, word

_ADDRESS = "http://127.0.0.1:8000"
_TAGS = {"en": "en", "zh": "zh-CN"}
_TITLES = {"collect": say("Collect"), "tables": say("Tables of the shop"), "server": say("The server")}
_ONE_AT_A_TIME = frozenset({"int", "float", "text", "date", "datetime"})


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


_STYLE, _CODE = _beside("docs.css"), _beside("docs.js")


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


# Sent with the page: it runs its own script, asks its own server, and nothing else.
POLICY = (f"default-src 'none'; script-src {_digest(_CODE)}; style-src {_digest(_STYLE)}; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def docs(operations: Sequence[Operation], language: str) -> str:
    """The page.

    Args:
        operations: Every operation of the door.
        language: `en` or `zh`.
    """
    return "\n".join([
        "<!doctype html>", f'<html lang="{_TAGS[language]}">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">', "<title>shopkeeper · HTTP</title>",
        f"<style>{_STYLE}</style>", "</head>", "<body>", '<div class="page">', *_Page(operations, language).lines(),
        "</div>", f"<script>{_CODE}</script>", "</body>", "</html>", ""])


class _Page:
    def __init__(self, operations: Sequence[Operation], language: str) -> None:
        self.language = language
        self.groups: dict[str, dict[str, list[Operation]]] = {}
        for operation in operations:
            place = operation.path.removesuffix("/{id}") if operation.group == "tables" else operation.path
            self.groups.setdefault(operation.group, {}).setdefault(place, []).append(operation)

    def lines(self) -> Iterator[str]:
        yield from self._menu()
        yield "<main>"
        yield f"<h1>{self._put(say('The HTTP door of a shop'))}</h1>"
        yield f"<p>{self._put(_ABOUT)}</p>"
        yield '<dl class="facts">'
        for name, fact in _FACTS:
            yield f"<dt>{self._put(name)}</dt><dd>{self._put(fact)}</dd>"
        yield "</dl>"
        yield (f'<div class="key"><label>{self._put(say("Key for the forms of this page"))}'
               f'<input id="key" type="password" autocomplete="off" placeholder="shk_…"></label></div>')
        for group, routes in self.groups.items():
            yield f"<h2>{self._title(group)}</h2>"
            for path, found in routes.items():
                yield from self._section(path, found)
        other = "zh" if self.language == "en" else "en"
        yield (f'<footer>shopkeeper {__version__} · <a href="/openapi.json">OpenAPI</a> · '
               f'<a href="/docs?lang={other}">{"中文" if other == "zh" else "English"}</a></footer>')
        yield "</main>"

    def _menu(self) -> Iterator[str]:
        yield '<nav><a class="name" href="#top">shopkeeper</a>'
        yield f'<details id="menu"><summary>{self._put(say("Routes"))}</summary>'
        for group, routes in self.groups.items():
            yield f"<h2>{self._title(group)}</h2><ul>"
            for path, found in routes.items():
                name = path.rpartition("/")[2].replace("_", " ") if group not in ("server", "collect") else path
                yield f'<li><a href="#{found[0].name}">{escape(name)}</a></li>'
            yield "</ul>"
        yield "</details></nav>"

    def _section(self, path: str, found: Sequence[Operation]) -> Iterator[str]:
        of_table = found[0].group == "tables"
        yield f'<section id="{found[0].name}">'
        title = path.rpartition("/")[2] if of_table else found[0].summary
        yield f'<h3>{escape(word(title, self.language))}</h3><div class="lines">'
        for operation in found:
            if of_table and "{id}" in operation.path:
                continue
            place = f"{operation.path} · {operation.path}/{{id}}" if of_table else operation.path
            about = f'<span class="about">{escape(word(operation.summary, self.language))}</span>' if of_table else ""
            yield (f'<div class="route"><span class="method {operation.method}">{operation.method}</span>'
                   f'<span class="path">{escape(place)}</span>{self._scope(operation)}{about}</div>')
        yield "</div>"
        parameters = {one.name: one for operation in found for one in operation.parameters}
        if parameters:
            yield from self._parameters(list(parameters.values()))
        first = found[0]
        yield f"<pre><code>{escape(_curl(first))}</code></pre>"
        if first.gives not in ("page",):
            yield from self._forms(found)
        yield "</section>"

    def _scope(self, operation: Operation) -> str:
        if not operation.scope:
            return f'<span class="scope">{self._put(say("no key"))}</span>'
        return f'<span class="scope">{self._put(say("scope {scope}", scope=operation.scope))}</span>'

    def _parameters(self, parameters: Sequence[Parameter]) -> Iterator[str]:
        heads = "".join(f"<th>{self._put(text)}</th>" for text in (say("parameter"), say("form"), say("meaning")))
        yield f'<table class="parameters"><thead><tr>{heads}</tr></thead><tbody>'
        for parameter in parameters:
            about = escape(word(parameter.description, self.language))
            if parameter.kind == "choice":
                about += f' <span class="choices">{escape(" · ".join(parameter.choices))}</span>'
            if parameter.default not in (None, "", (), False) and not isinstance(parameter.default, dict):
                about += " " + self._put(say("(default: {value})", value=parameter.default))
            needed = f' <span class="needed">{self._put(say("needed"))}</span>' if parameter.required else ""
            yield (f"<tr><td><code>{parameter.name}</code>{needed}</td>"
                   f'<td class="kind">{self._put(_FORMS[parameter.kind])}</td><td>{about}</td></tr>')
        yield "</tbody></table>"

    def _forms(self, found: Sequence[Operation]) -> Iterator[str]:
        """A form for each thing that can be done: the other operations do the same in another way."""
        forms = [one for one in found if "{id}" not in one.path] if found[0].group == "tables" else found[:1]
        for operation in forms:
            title = self._put(say("Try {method} {path}", method=operation.method, path=operation.path))
            yield f'<details><summary>{title}</summary><form data-path="{escape(operation.path)}"' \
                  f' data-method="{operation.method}">'
            yield '<div class="fields">'
            if "{id}" in operation.path:
                yield '<label>id<input name="id" data-path required></label>'
            if not operation.in_body:
                for parameter in operation.parameters:
                    yield self._field(parameter)
            yield "</div>"
            yield from self._body(operation)
            yield f"<button>{self._put(say('Send'))}</button><output></output></form></details>"

    def _field(self, parameter: Parameter) -> str:
        name, needed = parameter.name, " required" if parameter.required else ""
        if parameter.kind in ("choice", "bool"):
            options = parameter.choices if parameter.kind == "choice" else ("true", "false")
            empty = "" if parameter.required else "<option></option>"
            chosen = "".join(f"<option>{escape(option)}</option>" for option in options)
            return f'<label>{name}<select name="{name}" data-query="one"{needed}>{empty}{chosen}</select></label>'
        if parameter.kind in _ONE_AT_A_TIME:
            hint = escape(values.example(parameter))
            return f'<label>{name}<input name="{name}" data-query="one" placeholder="{hint}"{needed}></label>'
        hint = self._put(say("one a line"))
        return (f'<label>{name}<textarea name="{name}" data-query="several" placeholder="{hint}"{needed}>'
                "</textarea></label>")

    def _body(self, operation: Operation) -> Iterator[str]:
        if operation.packed:
            yield f'<label>{self._put(say("file"))}<input type="file" required></label>'
        elif operation.in_body or operation.example is not None:
            example = operation.example if operation.example is not None else _given(operation)
            text = json.dumps(example, ensure_ascii=False, indent=1)
            yield f"<label>{self._put(say('body'))}<textarea data-body>{escape(text)}</textarea></label>"

    def _title(self, group: str) -> str:
        found = _TITLES.get(group)
        return self._put(found) if found is not None else escape(word(group, self.language).capitalize())

    def _put(self, sentence: Sentence) -> str:
        return escape(put(sentence, self.language))


_ABOUT = say("Post events and get answers a moment later. What was acknowledged is on disk, and is in the next answer. "
             "Every answer carries its evidence; every refusal says what is wrong, what to try, and why.")
_FACTS = (
    (say("Keys"), say("Authorization: Bearer KEY, or X-Shopkeeper-Key: KEY. Without any key the shop answers its "
                      "own machine only. A key that can only collect may stand in a web page, and as ?key= in an "
                      "address.")),
    (say("Bodies"), say("JSON, UTF-8; Content-Encoding gzip, deflate or zstd. Events also one a line "
                        "(application/x-ndjson), or as text/plain.")),
    (say("Answers"), say("JSON, or CSV by Accept: text/csv. English or Chinese by Accept-Language.")),
    (say("Statuses"), say("400 cannot be read, 401 and 403 the key, 404 a name that is not there, 409 come again, 413 "
                          "too large, 415 an unknown form, 422 the log cannot carry it, 429 with Retry-After, 503 the "
                          "disk takes no more.")),
)
_FORMS = {"text": say("text"), "int": say("whole number"), "float": say("number"), "bool": say("true or false"),
          "date": say("day"), "datetime": say("time"), "choice": say("one of"), "texts": say("texts, several"),
          "pairs": say("name=text, several")}


def _given(operation: Operation) -> dict[str, object]:
    return {parameter.name: values.example(parameter) for parameter in operation.parameters if parameter.required}


def _curl(operation: Operation) -> str:
    """An example that can be pasted into a terminal."""
    path = operation.path.replace("{id}", "i-7")
    needed = [] if operation.in_body else [(parameter.name, values.example(parameter))
                                           for parameter in operation.parameters if parameter.required]
    address = _ADDRESS + path + (f"?{urlencode(needed)}" if needed else "")
    words = ["curl", *([] if operation.method in ("GET", "POST") else ["-X", operation.method]), shlex.quote(address)]
    if operation.scope:
        words += ["\\\n  -H", '"Authorization: Bearer $KEY"']
    if operation.packed:
        words += ["\\\n  --data-binary", "@events.csv"]
    elif operation.in_body or operation.example is not None:
        example = operation.example if operation.example is not None else _given(operation)
        words += ["\\\n  --json", shlex.quote(json.dumps(example, ensure_ascii=False))]
    return " ".join(words)
