"""Draws the picture of the house, `house.svg` and `house-dark.svg`, from the import contract in pyproject.toml.

`python docs/house.py` writes both. A test holds them equal to the contract, so the picture cannot grow old.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, LEFT, TOP, ROW, GAP, PAD = 1000, 216, 64, 50, 8, 24

# What each floor is for, by the first room that stands on it.
ABOUT = {
    "doors": "thin readers of the menu",
    "assistant": "answers in words",
    "menu": "questions and acts, once",
    "learn": "what must see every room",
    "recommend": "rooms: one decision each",
    "shop": "an opened shop, no verbs",
    "warehouse": "where it is kept and asked",
    "events": "pure: vocabulary, evidence",
    "errors": "the family of refusals",
    "words": "sentences as data",
}


@dataclass(frozen=True)
class Colours:
    """One theme: behind everything, a built room, its edge, text, quiet text, the edge of what is not built."""

    ground: str
    room: str
    edge: str
    text: str
    quiet: str
    later: str


LIGHT = Colours("#ffffff", "#e3f0ec", "#2f7d69", "#1c2b27", "#5b6b66", "#a9b5b1")
DARK = Colours("#0d1117", "#12342c", "#4fb79b", "#e4efeb", "#9aaba5", "#4a5854")


def floors() -> list[list[tuple[str, bool]]]:
    """The floors, top first: their rooms as (name, built)."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[(name.strip(" ()"), not name.strip().startswith("(")) for name in layer.split("|")] for layer in layers]


def drawing(colours: Colours) -> str:
    """The picture as SVG text."""
    rows = floors()
    height = TOP + len(rows) * ROW + PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13">',
        "<title>The floors of shopkeeper: imports only go down, siblings never meet</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{colours.ground}"/>',
        f'<text x="{PAD}" y="34" font-size="17" font-weight="600" fill="{colours.text}">The house: '
        "imports only go down, siblings never meet</text>",
        f'<text x="{WIDTH - PAD}" y="34" text-anchor="end" fill="{colours.quiet}">dashed: its place is kept, '
        "not built yet</text>",
    ]
    for number, rooms in enumerate(rows):
        parts += _floor(rooms, TOP + number * ROW, colours)
    return "\n".join([*parts, "</svg>", ""])


def _floor(rooms: list[tuple[str, bool]], top: int, colours: Colours) -> list[str]:
    middle, height = top + (ROW - GAP) / 2 + 4.5, ROW - GAP
    width = (WIDTH - LEFT - PAD - GAP * (len(rooms) - 1)) / len(rooms)
    parts = [f'<text x="{PAD}" y="{middle:g}" fill="{colours.quiet}">{ABOUT[rooms[0][0]]}</text>']
    for place, (name, built) in enumerate(rooms):
        left = LEFT + place * (width + GAP)
        edge = f'stroke="{colours.edge}"' if built else f'stroke="{colours.later}" stroke-dasharray="4 3"'
        fill = colours.room if built else colours.ground
        parts.append(f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{height}" rx="6" fill="{fill}" {edge}/>')
        parts.append(f'<text x="{left + width / 2:g}" y="{middle:g}" text-anchor="middle" '
                     f'fill="{colours.text if built else colours.quiet}">{name}</text>')
    return parts


PICTURES = {"house.svg": LIGHT, "house-dark.svg": DARK}

if __name__ == "__main__":
    for file, theme in PICTURES.items():
        (HERE / file).write_text(drawing(theme), "utf-8")
