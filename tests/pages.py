"""The pages of the documentation, read as a reader reads them: fenced blocks, links, tables, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_COMMAND = re.compile(r"\bshopkeeper ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: `sh`, `python`, `text`, ...
        mark: What else stands on the fence: `refused`, `no-run`, `file=NAME`, `demo`.
        body: What is inside.
    """

    language: str
    mark: str
    body: str


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, in order; of one language or of any."""
    found = [Block(*match.groups()) for match in _FENCE.finditer(page.read_text("utf-8"))]
    return [block for block in found if language in (None, block.language)]


def links(page: Path) -> Iterator[str]:
    """Where the page points to: other files, and places in the web."""
    for match in _LINK.finditer(_FENCE.sub("", page.read_text("utf-8"))):
        yield match[1] or match[2]


def tables(page: Path) -> dict[str, list[list[list[str]]]]:
    """Heading -> the tables below it; a table is its rows, each a list of cells, the heading's row first."""
    found: dict[str, list[list[list[str]]]] = {}
    heading, last = "", ""
    for line in _FENCE.sub("", page.read_text("utf-8")).splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            part = found.setdefault(heading, [])
            if not last.startswith("|"):
                part.append([])
            part[-1].append([cell.strip(" |") for cell in cells])
        last = line
    return found


def named(cell: str) -> list[str]:
    """The names in backticks of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def commands(page: Path) -> set[str]:
    """What a page tells a reader to type after `shopkeeper`: one or two words."""
    body = page.read_text("utf-8")
    typed = [block.body for block in blocks(page, "sh")] + re.findall(r"`(shopkeeper [^`\n]+)`", body)
    return {words for text in typed for words in _COMMAND.findall(text)}
