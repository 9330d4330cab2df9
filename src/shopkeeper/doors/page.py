"""An answer as one page that needs no network: table, chart, evidence, notes; light and dark, desk and phone.

The page names, by their digests, the only scripts that may run, and may fetch nothing. What a customer typed
stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopkeeper import __version__, charts
from shopkeeper.doors.language import visible
from shopkeeper.doors.printing import LONG, filled, numeric
from shopkeeper.words import put, say, word

if TYPE_CHECKING:
    from shopkeeper.asking import Answer

_VENDORED = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
FEW = 3  # columns that fit on a phone side by side; more become a card a row
_TAGS = {"en": "en", "zh": "zh-CN"}


def page(answer: Answer, language: str = "en") -> str:
    """The answer as an HTML document.

    Args:
        answer: What was answered.
        language: `en` or `zh`.

    Returns:
        The whole document as text.
    """
    title = put(answer.title, language)
    scripts = list(_scripts(answer, language))
    digests = " ".join(f"'sha256-{_digest(code)}'" for kind, code in scripts if kind == "text/javascript")
    policy = f"default-src 'none'; script-src {digests or repr('none')}; style-src 'unsafe-inline'; img-src data:"
    return "\n".join([
        "<!doctype html>", f'<html lang="{_TAGS.get(language, language)}">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">', f"<title>{_text(title)}</title>",
        f"<style>{_beside('page.css')}</style>", "</head>", "<body>", "<main>",
        *_body(answer, title, language), "</main>",
        *(f'<script type="{kind}"{_name(kind)}>{code}</script>' for kind, code in scripts), "</body>", "</html>", ""])


def _body(answer: Answer, title: str, language: str) -> Iterator[str]:
    yield f"<h1>{_text(title)}</h1>"
    asked = _asked(answer.asked, language)
    if asked:
        yield f'<p class="asked">{_text(asked)}</p>'
    yield (f'<p class="evidence"><strong>{_text(put(say("Evidence:"), language))}</strong>'
           f"{_text(put(answer.evidence.sentence(), language))}</p>")
    picture = answer.picture(language)
    if picture is not None:
        described = _text(str(picture.get("description", title)))
        yield f'<figure id="chart" role="img" aria-label="{described}"></figure>'
    yield _table(*answer.cells(language))
    for name, part in answer.parts.items():
        from shopkeeper import asking

        heading = f"<h2>{_text(_capital(word(name.replace('_', ' '), language)))}</h2>"
        drawn = _table(*asking.people(part, language))
        long = part.num_rows > LONG
        yield f"<details><summary>{heading}</summary>{drawn}</details>" if long else heading + drawn
    if answer.notes:
        notes = "".join(f"<li>{_text(put(note, language))}</li>" for note in answer.notes)
        yield f'<ul class="notes">{notes}</ul>'
    yield (f'<footer>{_text(put(say("Method: {name}", name=word(answer.method, language)), language))}'
           f" · shopkeeper {__version__}</footer>")


def _table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    headings, body = filled(headings, body)
    if not body:
        return ""
    headings = [_capital(heading) for heading in headings]
    right = ['' if not number else ' class="number"' for number in numeric(body, len(headings))]
    head = "".join(f'<th scope="col"{side}>{_text(text)}</th>' for text, side in zip(headings, right, strict=True))
    lines = "".join("<tr>" + "".join(
        f'<td data-label="{_text(heading)}"{side or _whole(cell)}>{_text(cell)}</td>'
        for heading, cell, side in zip(headings, line, right, strict=True)) + "</tr>\n" for line in body)
    few = ' class="few"' if len(headings) <= FEW else ""
    return f'<div class="wide"><table{few}><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table></div>'


def _whole(cell: str) -> str:
    """A date stays on one line."""
    return ' class="day"' if re.fullmatch(r"\d{4}-\d\d-\d\d", cell) else ""


def _scripts(answer: Answer, language: str) -> Iterator[tuple[str, str]]:
    """Type and text of each script, in order; none where there is no chart to draw."""
    picture = answer.picture(language)
    if picture is None:
        return
    heading = str(picture.pop("title", ""))
    if heading and heading != put(answer.title, language):  # else the page is headed by it already
        picture["title"] = _capital(heading)
    data = {"spec": picture, "light": charts.theme("light"), "dark": charts.theme("dark")}
    yield "application/json", json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    for name in _VENDORED:
        yield "text/javascript", _beside(f"vendor/{name}")
    yield "text/javascript", _beside("page.js")


def _name(kind: str) -> str:
    return ' id="picture"' if kind == "application/json" else ""


def _asked(asked: Mapping[str, object], language: str) -> str:
    """What was asked, on a line: parameters that say something, records opened."""
    from shopkeeper.asking import plain, shown

    found: list[str] = []

    def tell(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                tell(key, inner)
        elif value not in (None, "", [], False):
            found.append(f"{word(name.replace('_', ' '), language)}: {shown(value, language)}")

    for name, value in asked.items():
        if name not in ("question", "act"):
            tell(name, plain(value))
    return " · ".join(found)


def _text(text: str) -> str:
    return escape(visible(text), quote=True)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")


@lru_cache(maxsize=8)
def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")
