"""In which stage of life somebody is, where the log says so: by an attribute, or by categories that belong to a stage.

Nothing is guessed: who has no such attribute, and bought in no such category lately, is in no known stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

# Attributes that say a stage of life, by the names that tables of customers give them.
SAYS = ("life_stage", "lifestage", "age", "age_group", "age_desc", "household_comp", "hh_comp_desc", "household_size",
        "kids_count", "kid_category_desc", "children", "marital_status", "marital_status_code")
_NOTHING = ("", "none", "null", "unknown", "n/a", "u")

# Words in a category's path that belong to a stage, the earliest stage first.
STAGES: Mapping[str, str] = {
    "expecting": r"maternity|pregnan|孕",
    "newborn": r"newborn|\b0\s*-\s*[36]\s*m(onths)?\b|新生儿",
    "infant": r"infant|\bbab(y|ies)\b|\b6\s*-\s*12\s*m(onths)?\b|diaper|napp(y|ies)|婴儿|尿布|纸尿裤",
    "toddler": r"toddler|\b1\s*-\s*3\s*y(ears)?\b|幼儿",
    "child": r"\bkids?\b|children|儿童",
}


def said(attributes: Mapping[str, Any]) -> str:
    """What the customers table says of a stage, in its own words; empty where it says nothing.

    >>> said({"age": "35-44", "Kids_Count": "2", "income": "50-74K", "marital_status": "Unknown"})
    'age 35-44, kids count 2'
    """
    found = {name.lower(): str(value).strip() for name, value in attributes.items() if value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {found[name]}" for name in SAYS
                     if name in found and found[name].lower() not in _NOTHING)


def bought(lines: Iterable[tuple[datetime, str]]) -> tuple[str, int]:
    """The latest stage whose categories somebody bought in, and in how many lines; empty where none.

    Args:
        lines: When, and the category path, of what was bought.

    >>> bought([(datetime(2026, 1, 1), "Baby > Newborn clothes"), (datetime(2026, 9, 1), "Baby > Toddler shoes")])
    ('toddler', 1)
    """
    found: dict[str, list[datetime]] = {}
    for when, path in lines:
        stage = next((stage for part in reversed(path.lower().split(">")) for stage, words in STAGES.items()
                      if re.search(words, part)), None)
        if stage is not None:
            found.setdefault(stage, []).append(when)
    if not found:
        return "", 0
    order = list(STAGES)
    best = max(found, key=lambda stage: (max(found[stage]), order.index(stage)))
    return best, len(found[best])
