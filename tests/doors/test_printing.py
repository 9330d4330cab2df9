"""An answer on a screen and as CSV says everything, and nothing in it can drive a terminal or a spreadsheet."""

import csv
from io import StringIO

import pyarrow as pa
import pytest

from doors.answers import ROWS, answer
from shopkeeper.doors import printing
from shopkeeper.doors.language import width


def printed(language: str = "en", **with_: object) -> str:
    out = StringIO()
    printing.people(answer(**with_), language, out)
    return out.getvalue()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_pipe_gets_plain_lines_of_at_most_100_columns(language):
    text = printed(language)

    assert "\x1b" not in text
    assert max(width(line.rstrip()) for line in text.splitlines()) <= printing.PIPED


def test_title_table_parts_notes_method_and_evidence_are_all_there():
    text = printed()

    for said in ("What c-42 looks like", "Green tea, 250 g", "conflict", "rule pin removed 1 items.",
                 "Method: popular", "Evidence: counted over 1,200 stored events"):
        assert said in text


def test_markup_and_escapes_in_a_title_are_text():
    text = printed()

    assert "[red]" in text
    assert "␛[2J" in text


def test_an_answer_without_rows_still_says_its_title_and_evidence():
    text = printed(table=pa.table({"item": pa.array([], pa.string())}))

    assert "What c-42 looks like" in text
    assert "Evidence:" in text


def test_a_table_that_is_too_wide_is_turned_and_columns_without_a_value_are_left_out():
    wide = pa.table({f"column_{i}": [str(i), str(i)] if i != 5 else [None, None] for i in range(12)})

    text = printed(table=wide)

    assert "column 11  11  11" in text
    assert "column 5 " not in text


def test_csv_reads_back_with_fixed_headings_and_every_row():
    read = list(csv.DictReader(StringIO(printing.as_csv(answer()))))

    assert list(read[0]) == list(ROWS[0])
    assert [row["score"] for row in read] == ["0.91", "0.5", "-0.25"]  # a number may begin with a minus
    assert (read[0]["because"], read[0]["price"], read[1]["price"]) == ('["Teapot"]', "12.5", "")
    assert (read[0]["known"], read[0]["at"]) == ("true", "2026-10-01T08:30:00")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    table = pa.table({"title": [text, "plain"]})

    found = [row["title"] for row in csv.DictReader(StringIO(printing.as_csv(answer(table=table)), newline=""))]

    assert found == ["'" + text, "plain"]
