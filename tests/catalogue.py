"""Everything that a person reads, found in the source; and the catalogue that has it in Chinese.

`python tests/catalogue.py` writes what is new into the .po file (with an empty translation), takes out what is no
longer said, and compiles the .mo file. Translate the empty entries, and run it again.
"""

from __future__ import annotations

import ast
import re
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polib

from shopkeeper.asking import Answer
from shopkeeper.menu import MENU

SOURCE = Path(__file__).parent.parent / "src" / "shopkeeper"
PO = SOURCE / "locale" / "zh" / "LC_MESSAGES" / "shopkeeper.po"
# Columns whose cells are words of ours: not a shop's, and no names that code uses too (methods, reasons, kinds).
WORDED = ("measure", "status", "role", "verdict")


@dataclass(frozen=True)
class Said:
    """A sentence template or a word, and where it stands; `text` is None where it is no literal."""

    text: str | None
    where: str


def sentences(source: Path = SOURCE) -> Iterator[Said]:
    """The first argument of every `say(...)`."""
    for call, where in _calls(source, "say"):
        first = call.args[0] if call.args else None
        literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
        yield Said(first.value if literal else None, where)


def words(source: Path = SOURCE) -> Iterator[Said]:
    """Every text inside the first argument of a `word(...)`, and the weekdays."""
    for call, where in _calls(source, "word"):
        for node in ast.walk(call.args[0]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 1:
                yield Said(node.value, where)
    for name in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "yes", "no"):
        yield Said(name, "weekdays, yes and no")


def help_texts() -> Iterator[Said]:
    """Summaries and descriptions of the menu, and the names of its records."""
    for entry in MENU:
        where = f"{entry.room}.{entry.name}"
        yield Said(entry.summary, where)
        yield Said(entry.room, where)
        if entry.words:
            yield Said(entry.words.split()[0], where)
        for kind in ("question", "act"):
            yield Said(kind, where)
        for parameter in () if entry.by_hand else entry.parameters():
            yield Said(parameter.description, where)
            yield Said(parameter.name.replace("_", " "), where)
            if parameter.record:
                yield Said(parameter.record.replace("_", " "), where)


def of_answer(answer: Answer, where: str) -> Iterator[Said]:
    """Headings, names of parts, and the cells that are words of ours."""
    for name, table in {"": answer.table, **answer.parts}.items():
        for heading in (name, *table.column_names):
            if heading:
                yield Said(heading.replace("_", " "), where)
        for column in set(WORDED) & set(table.column_names):
            for cell in table[column].unique().to_pylist():
                if isinstance(cell, str) and cell:
                    yield Said(cell, where)
    for heading in answer.cells("en")[0]:
        yield Said(heading, where)
    for name in answer.asked:
        yield Said(name.replace("_", " "), where)
    if answer.method in ("exact count", "trial"):  # the others are names of methods
        yield Said(answer.method, where)


def fields(template: str) -> set[str]:
    """The parameters of a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def is_typed(template: str) -> bool:
    """Whether it is something to type, which is the same in every language: a flag, a command, a call."""
    return re.fullmatch(r"\s*((--[\w-]+( \S+| '[^']+')?)( --[\w-]+ \S+)*|\[\w+\] .+ = \S+|shopkeeper [^:]*"
                        r"|pip install.*|[a-z]+=\S+|[\w.]+\(\w*\)"
                        r"|-H '[^']+'|(GET|POST|PUT|PATCH|DELETE) /\S+|https?://\S+|\{command\} --help|CSV|JSON)",
                        template) is not None


def has_words(template: str) -> bool:
    """Whether there is anything to translate outside the braces."""
    return any(c.isalpha() for text, _, _, _ in string.Formatter().parse(template) for c in text)


def _calls(source: Path, name: str) -> Iterator[tuple[ast.Call, str]]:
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node, f"{path.relative_to(source)}:{node.lineno}"


def needed(answers: dict[str, Answer]) -> dict[str, list[str]]:
    """Everything that the catalogue must have, and where it is said."""
    found: dict[str, list[str]] = {}
    of_answers = [said for where, answer in answers.items() for said in of_answer(answer, where)]
    for said in (*sentences(), *words(), *help_texts(), *of_answers):
        if said.text and (has_words(said.text) if "{" in said.text else any(c.isalpha() for c in said.text)):
            found.setdefault(said.text, []).append(said.where)
    return found


def update(answers: dict[str, Answer]) -> list[str]:
    """Bring the .po and the .mo file up to date; what is not yet translated comes back."""
    book = polib.pofile(str(PO), wrapwidth=110) if PO.exists() else polib.POFile(wrapwidth=110)
    book.metadata = {"Content-Type": "text/plain; charset=utf-8", "Language": "zh", "MIME-Version": "1.0",
                     "Content-Transfer-Encoding": "8bit", "Project-Id-Version": "shopkeeper"}
    have = {entry.msgid: entry.msgstr for entry in book}
    book.clear()
    for text in sorted(needed(answers)):
        book.append(polib.POEntry(msgid=text, msgstr=have.get(text) or (text if is_typed(text) else "")))
    book.save(str(PO))
    book.save_as_mofile(str(PO.with_suffix(".mo")))
    return [entry.msgid for entry in book if not entry.msgstr]


if __name__ == "__main__":
    from doors.asked import every_answer

    left = update(every_answer())
    print("\n".join(left))
    sys.exit(1 if left else 0)
