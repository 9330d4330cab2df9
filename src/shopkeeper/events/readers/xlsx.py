"""XLSX workbooks: one sheet, its first row that is not empty as the header, everything as text.

Where none is named, it is the first with more than one row; the others that hold something are named in a note.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.readers.base import Counter, as_lines, header_names, text_table
from shopkeeper.words import Sentence, say

__all__ = ["LARGEST", "LARGEST_SPAN", "looks_like_workbook", "xlsx_parts"]

LARGEST = 1 << 30           # bytes of a workbook unpacked
LARGEST_SPAN = 64 << 20     # cells of the rectangle that a sheet's table fills
_ROWS = 8_192               # rows a part
_ERROR_CELL = re.compile(rb'<(?:\w+:)?c\s[^>]*?\bt="e"')
_ROW = re.compile(rb"<(?:\w+:)?row\b[^>]*[^/]>")  # one that holds something
_PLACE = re.compile(rb'<(?:\w+:)?c\s[^>]*?\br="([A-Z]{1,4})([0-9]{1,8})"')


def looks_like_workbook(path: Path) -> bool:
    """Whether a zip file is an XLSX workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffix.lower() == ".xlsx"


def xlsx_parts(path: Path, sheet: str | None, counter: Counter, problems: list[Sentence]) -> Iterator[RawBatch]:
    """The rows of a sheet below its header, numbered as the sheet shows them; empty rows are left out.

    Raises:
        BadInput: The workbook is damaged, unpacks to more than `LARGEST`, or spans more than `LARGEST_SPAN` cells.
        UnknownName: There is no such sheet.
    """
    rows, errors, others = _open(path, sheet)
    if others:
        problems.append(say("not read: the sheets {others}; --sheet NAME reads one.", others=", ".join(others)))
    if errors:
        problems.append(say("{errors:,} cells hold an error such as #N/A; they are read as empty.", errors=errors))
    names: list[str] = []
    kept: list[list[str]] = []
    lines: list[int] = []
    for number, row in enumerate(rows, start=1):
        cells = [_text(value) for value in row]
        if not any(cells):
            continue
        if not names:
            names = header_names(cells[:_width(cells)], problems)
            continue
        kept.append(_fitted(cells, names, problems))
        lines.append(number)
        if len(kept) == _ROWS:
            yield _part(names, kept, lines)
            kept, lines = [], []
    if names:
        yield _part(names, kept, lines)
    counter.bytes_read = counter.bytes_total


def _width(cells: list[str]) -> int:
    return max(place for place, cell in enumerate(cells, start=1) if cell)


def _fitted(cells: list[str], names: list[str], problems: list[Sentence]) -> list[str]:
    """The cells of a row; a column without a header gets a name when the first value turns up in it."""
    for _ in range(len(names), _width(cells)):
        names[:] = header_names([*names, ""], problems)
    return cells[:len(names)]


def _part(names: list[str], rows: list[list[str]], lines: list[int]) -> RawBatch:
    columns: dict[str, list[str | None]] = {
        name: [row[place] if place < len(row) else None for row in rows] for place, name in enumerate(names)}
    return text_table(columns, as_lines(lines), [])


def _open(path: Path, sheet: str | None) -> tuple[Iterator[list[Any]], int, list[str]]:
    """The rows of a sheet, how many of its cells hold an error, and the other sheets if none was named."""
    import python_calamine as calamine  # a compiled reader that only workbooks need

    try:
        _refuse_bomb(path)
        workbook = calamine.CalamineWorkbook.from_path(str(path))
        names = workbook.sheet_names
        if sheet is not None and sheet not in names:
            raise UnknownName(say("{name} has no sheet {sheet}; it has {sheets}.", name=path.name, sheet=sheet,
                                  sheets=", ".join(names)),
                              do=[say("--sheet {sheet}", sheet=name) for name in names[:3]])
        chosen, others = (sheet, []) if sheet is not None else _chosen(path, names)
        errors, span = _survey(path, chosen)
        if span > LARGEST_SPAN:
            raise BadInput(say("The sheet {sheet} of {name} spans {span:,} cells; the limit is {limit:,}.",
                               sheet=chosen, name=path.name, span=span, limit=LARGEST_SPAN),
                           do=[say("Delete what stands far from the table, or export the sheet as CSV")])
        return workbook.get_sheet_by_name(chosen).iter_rows(), errors, others
    except (calamine.CalamineError, zipfile.BadZipFile, ET.ParseError, OSError, ValueError, LookupError) as error:
        raise BadInput(say("{name} is not a sound XLSX workbook: {error}.", name=path.name,
                           error=str(error).rstrip(". ")),
                       do=[say("Open it in a spreadsheet program and save it again, or export the sheet as CSV")]
                       ) from None


def _chosen(path: Path, names: list[str]) -> tuple[str, list[str]]:
    """The first sheet with more than one row, the first of all where none has; and the others that are not empty."""
    with zipfile.ZipFile(path) as archive:
        rows = {name: len(_ROW.findall(archive.open(_member(archive, name)).read(1 << 18))) for name in names}
    chosen = next((name for name in names if rows[name] > 1), names[0])
    return chosen, [name for name in names if rows[name] and name != chosen]


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > LARGEST:
        raise BadInput(say("{name} unpacks to {size:,} MB; the limit is {limit:,} MB.", name=path.name,
                           size=unpacked >> 20, limit=LARGEST >> 20), do=[say("Export the sheet as CSV")])


def _survey(path: Path, sheet: str) -> tuple[int, int]:
    """How many cells of a sheet hold an error, and how many the rectangle around all its cells has."""
    errors, tail = 0, b""
    columns: set[int] = set()
    rows: set[int] = set()
    with zipfile.ZipFile(path) as archive, archive.open(_member(archive, sheet)) as file:
        while block := file.read(1 << 20):
            block = tail + block
            tail = block[block.rfind(b"<"):]
            block = block[:len(block) - len(tail)]
            errors += len(_ERROR_CELL.findall(block))
            places = _PLACE.findall(block)
            columns |= {_column_number(letters) for letters in {letters for letters, _ in places}}
            rows |= {int(digits) for digits in {digits for _, digits in places}}
            if rows:
                columns, rows = {min(columns), max(columns)}, {min(rows), max(rows)}
    if not rows:
        return errors, 0
    return errors, (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)


def _member(archive: zipfile.ZipFile, sheet: str) -> str:
    """Where a sheet lies in the archive; the namespaces differ between the two dialects of the format."""
    sheets = [one.attrib for one in ET.fromstring(archive.read("xl/workbook.xml")).iter() if one.tag.endswith("}sheet")]
    links = [value for attributes in sheets if attributes.get("name") == sheet
             for key, value in attributes.items() if key.endswith("}id")]
    relations = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {one.get("Id"): one.get("Target", "") for one in relations}
    target = targets[links[0]]
    return target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)


def _column_number(letters: bytes) -> int:
    """`A` is 1, `AA` is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _text(value: Any) -> str:
    """A cell as text: whole numbers without a fraction, dates and times in ISO 8601, times of day as they are.

    A number of more digits than a workbook keeps is written with those that it has: `2.01234567890123E+18`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not value.is_integer():
            return repr(value)
        return str(int(value)) if abs(value) < 2.0**53 else f"{value:.14E}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
