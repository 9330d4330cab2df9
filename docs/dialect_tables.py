"""Writes the tables of docs/dialects.md from the dialects themselves: `python docs/dialect_tables.py`."""

from __future__ import annotations

from pathlib import Path

from shopkeeper.events.dialects import DIALECTS, Dialect
from shopkeeper.events.dialects.described import filled, recognised, words

PAGE = Path(__file__).parent / "dialects.md"
FROM, TO = "<!-- tables: from -->", "<!-- tables: to -->"


def section(dialect: Dialect) -> str:
    """A dialect: what it is recognised by, which fields fill which columns, and which words mean which kinds."""
    lines = [f"### {dialect.name}", "", f"{dialect.title}, written from its [documentation]({dialect.documented}).", "",
             f"Recognised by: {'; '.join(map(_code, recognised(dialect)))}."]
    if dialect.headerless:
        lines += ["", f"Without a header, its columns are {', '.join(f'`{name}`' for name in dialect.headerless)}."]
    said = [f"`{ours}` is `{value}`" for ours, value in dialect.constants.items()]
    said += [f"{what} {value}" for what, value in (("times without a zone are of", dialect.time_zone),
            ("money is in", dialect.currency), ("orders follow the rule", dialect.order_rule)) if value]
    if said:
        lines += ["", f"Where you say nothing else, {', '.join(said)}."]
    lines += ["", "| our column | their field |", "|---|---|",
              *(f"| `{ours}` | {_code(theirs)} |" for ours, theirs in filled(dialect))]
    if dialect.kinds:
        lines += ["", "| our kind | their word |", "|---|---|",
                  *(f"| `{ours}` | {', '.join(f'`{_safe(one)}`' for one in theirs)} |"
                    for ours, theirs in words(dialect).items())]
    return "\n".join(lines)


def page(old: str) -> str:
    """The page with its tables as the code has them."""
    before, _, rest = old.partition(FROM)
    _, _, after = rest.partition(TO)
    listed = ["| dialect | whose |", "|---|---|",
              *(f"| [`{one.name}`](#{one.name}) | {one.title} |" for one in DIALECTS.values())]
    tables = "\n\n".join(["\n".join(listed), *map(section, DIALECTS.values())])
    return f"{before}{FROM}\n\n{tables}\n\n{TO}{after}"


def _code(names: str) -> str:
    return " / ".join(f"`{_safe(name)}`" for name in names.split(" / "))


def _safe(name: str) -> str:
    return name.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
