"""Which language a command speaks, and how wide its text is on a screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from shopkeeper.errors import BadInput
from shopkeeper.words import LANGUAGES, say


def spoken(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """The language of a command line, and its words without `--lang`.

    `--lang` may stand anywhere before a bare `--`. Without it the locale decides: the first of LC_ALL, LC_MESSAGES and
    LANG that is set.

    Raises:
        BadInput: A language that is not spoken here.

    >>> spoken(["describe", "--lang", "zh", "my-shop"], {})
    ('zh', ['describe', 'my-shop'])
    >>> spoken(["describe", "my-shop"], {"LANG": "zh_CN.UTF-8"})[0]
    'zh'
    """
    language = of_locale(environment)
    rest: list[str] = []
    left = list(words)
    while left:
        text = left.pop(0)
        if text == "--":
            rest += [text, *left]
            break
        if text == "--lang":
            language = _known(left.pop(0) if left else "")
        elif text.startswith("--lang="):
            language = _known(text.removeprefix("--lang="))
        else:
            rest.append(text)
    return language, rest


def of_locale(environment: Mapping[str, str]) -> str:
    """The language of a locale; English where it is none of ours.

    >>> of_locale({"LC_ALL": "", "LANG": "zh_TW.UTF-8"}), of_locale({"LANG": "C"})
    ('zh', 'en')
    """
    locale = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def _known(text: str) -> str:
    if text not in LANGUAGES:
        raise BadInput(say("--lang needs one of {choices}, and got {text}.", choices=", ".join(LANGUAGES),
                           text=repr(text)), do=[say("--lang zh")])
    return text


def width(text: str) -> int:
    """Columns that a text takes on a terminal: Chinese characters take two.

    >>> width("shop"), width("商店")
    (4, 4)
    """
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, columns: int) -> list[str]:
    """The text in lines of at most so many columns; broken at spaces, and between Chinese characters.

    >>> wrapped("one two three", 8)
    ['one two', 'three']
    """
    lines, line = [], ""
    for piece in _pieces(text):
        if line and width(line) + width(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _pieces(text: str) -> list[str]:
    """Where a line may break: after a space, and around each wide character that does not close a phrase."""
    pieces = [""]
    for before, here in zip(" " + text, text, strict=False):
        wide = unicodedata.east_asian_width(here) in "WF" or unicodedata.east_asian_width(before) in "WF"
        if (before == " " and here != " ") or (wide and here not in "，。；：、！？）」』》,.;:!?)"):
            pieces.append("")
        pieces[-1] += here
    return [piece for piece in pieces if piece]


def visible(text: str) -> str:
    """The text with control characters made visible, so that no item's title can drive a terminal.

    >>> visible("tea" + chr(27) + "[2J")
    'tea\u241b[2J'
    """
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    code = ord(character)
    if code < 32:
        return " " if character in "\n\t" else chr(0x2400 + code)
    turns = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069  # marks that turn the writing direction
    hidden = code == 127 or 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or turns
    return "\ufffd" if hidden else character
