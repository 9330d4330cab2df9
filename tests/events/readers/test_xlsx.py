from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import Any

import openpyxl
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.readers import xlsx


def workbook(*sheets: tuple[str, list[list[Any]]], errors: tuple[str, ...] = ()) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for number, row in enumerate(rows, start=1):
            for place, value in enumerate(row, start=1):
                sheet.cell(number, place, value)
    for place in errors:
        book.worksheets[0][place] = "#DIV/0!"
        book.worksheets[0][place].data_type = "e"
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def repacked(data: bytes, change: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change.get(name, old.read(name)))
    return out.getvalue()


def test_cells_become_the_text_that_a_person_would_type(read):
    got = read(workbook(("Sales", [
        ["id", "price", "at", "day", "clock", "paid", "name"],
        [1, 1.5, dt.datetime(2024, 2, 29, 10, 30), dt.date(1900, 3, 1), dt.time(9, 5), True, " 名 "],
        [12345678901234, -0.1, dt.datetime(2100, 1, 1, 0, 0, 1), None, None, False, ""],
    ])), "a.xlsx")

    assert got.rows == [
        {"id": "1", "price": "1.5", "at": "2024-02-29 10:30:00", "day": "1900-03-01", "clock": "09:05:00",
         "paid": "true", "name": " 名 "},
        {"id": "12345678901234", "price": "-0.1", "at": "2100-01-01 00:00:01", "day": None, "clock": None,
         "paid": "false", "name": None}]
    assert (got.source.kind, got.source.encoding, got.problems) == ("xlsx", None, [])


def test_the_first_row_that_is_not_empty_is_the_header_and_rows_count_as_the_sheet_shows(read):
    got = read(workbook(("S", [[], [None, None], [None, "id", "n"], [], [None, 1, 2], [], [None, 3, 4]])), "a.xlsx")

    assert [(row["id"], row["n"]) for row in got.rows] == [("1", "2"), ("3", "4")]
    assert got.lines == [5, 7]
    assert got.problems == []


def test_the_first_sheet_with_records_is_read_and_the_others_are_named(read):
    orders, more = [["id", "n"], [1, 2]], [["id", "n"], [3, 4]]
    for sheets, ids, others in (([("note", [["exported today"]]), ("orders", orders)], ["1"], ["note"]),
                                ([("a", orders), ("b", more), ("empty", [])], ["1"], ["b"]),
                                ([("a", orders), ("empty", [])], ["1"], [])):
        got = read(workbook(*sheets), "a.xlsx")

        assert [row["id"] for row in got.rows] == ids
        assert got.problems == [f"not read: the sheets {name}; --sheet NAME reads one." for name in others]


def test_a_value_in_a_column_without_a_header_is_kept(read):
    got = read(workbook(("S", [["id"], [1], [2, None, "note"]])), "a.xlsx")

    assert got.rows == [{"id": "1", "column_2": None, "column_3": None},
                        {"id": "2", "column_2": None, "column_3": "note"}]
    assert got.problems == ["Column 2 has no name; it is read as column_2.",
                            "Column 3 has no name; it is read as column_3."]


def test_cells_with_an_error_are_empty_and_counted(read):
    got = read(workbook(("S", [["id", "n"], [1, 2], [3, 4]]), ("T", []), errors=("B2", "B3")), "a.xlsx")

    assert got.rows == [{"id": "1", "n": None}, {"id": "3", "n": None}]
    assert got.problems == ["2 cells hold an error such as #N/A; they are read as empty."]


def test_a_sheet_is_chosen_by_its_name(read):
    book = workbook(("One", [["a"], [1]]), ("Zwei & Drei", [["b"], [2]]))

    assert read(book, "a.xlsx").rows == [{"a": "1"}]
    assert read(book, "a.xlsx", sheet="Zwei & Drei").rows == [{"b": "2"}]


def test_many_rows_keep_their_numbers(read):
    got = read(workbook(("S", [["id"], *([n] for n in range(2, 9_000))])), "a.xlsx")

    assert got.lines == list(range(2, 9_000))
    assert [row["id"] for row in got.rows] == [str(n) for n in range(2, 9_000)]


@pytest.mark.parametrize("rows, problem", [([], "a.xlsx is empty."), ([["id"]], "a.xlsx has a header and no records.")])
def test_a_sheet_without_records_says_so(read, rows, problem):
    got = read(workbook(("S", rows)), "a.xlsx")

    assert (got.batches, got.problems) == ([], [problem])


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(read):
    with pytest.raises(BadInput) as refusal:
        read(workbook(("One", []), ("Two", [])), "a.xlsx", sheet="Three")

    assert refusal.value.text() == ("a.xlsx has no sheet Three; it has One, Two.\n"
                                    "  Try:  --sheet One\n  Try:  --sheet Two")


def test_a_workbook_that_unpacks_too_large_is_refused_before_it_is_unpacked(read, monkeypatch):
    monkeypatch.setattr(xlsx, "LARGEST", 4 << 20)
    book = repacked(workbook(("S", [["id"], [1]])), {"xl/styles.xml": b" " * (6 << 20)})

    with pytest.raises(BadInput) as refusal:
        read(book, "a.xlsx")

    assert len(book) < 1 << 20
    assert refusal.value.text() == ("a.xlsx unpacks to 6 MB; the limit is 4 MB.\n"
                                    "  Try:  Export the sheet as CSV")


def test_one_far_cell_does_not_fill_the_memory(read):
    book = openpyxl.Workbook()
    book.active["A1"] = "id"
    book.active["XFD1048576"] = "far"
    data = io.BytesIO()
    book.save(data)

    with pytest.raises(BadInput) as refusal:
        read(data.getvalue(), "a.xlsx")

    assert refusal.value.text() == (
        "The sheet Sheet of a.xlsx spans 17,179,869,184 cells; the limit is 67,108,864.\n"
        "  Try:  Delete what stands far from the table, or export the sheet as CSV")


@pytest.mark.parametrize("change", [
    {"xl/worksheets/sheet1.xml": b"<worksheet><sheetData><row"}, {"xl/workbook.xml": b"junk"},
    {"xl/_rels/workbook.xml.rels": b"<Relationships/>"},
])
def test_a_damaged_workbook_is_refused(read, change):
    with pytest.raises(BadInput) as refusal:
        read(repacked(workbook(("S", [["id"], [1]])), change), "a.xlsx")

    assert refusal.value.text().startswith("a.xlsx is not a sound XLSX workbook: ")
    assert refusal.value.text().endswith(
        ".\n  Try:  Open it in a spreadsheet program and save it again, or export the sheet as CSV")


def test_a_cut_workbook_is_refused(read):
    with pytest.raises(BadInput) as refusal:
        read(workbook(("S", [["id"], [1]]))[:-200], "a.xlsx")

    assert refusal.value.text() == (
        "a.xlsx is not a sound XLSX workbook: File is not a zip file.\n"
        "  Try:  Open it in a spreadsheet program and save it again, or export the sheet as CSV")
