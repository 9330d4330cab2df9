from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.events.readers import delimited, streams
from shopkeeper.events.readers.base import header_names

QUICK = settings(max_examples=bounded(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.text(
    st.sampled_from('a"\n\r,;'), max_size=6)
HOSTILE = st.lists(st.sampled_from(['a', 'b', ',', '"', '""', '\n', '\r\n', '\r', '1', '\0', '\xff']), max_size=60)


@QUICK
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_csv_wrote_is_read_back_cell_by_cell_with_its_line(read, rows, end):
    written, begins = io.StringIO(newline=""), []
    writer = csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["x", "y", "z"])
    for row in rows:
        text = written.getvalue()
        begins.append(1 + len(list(io.StringIO(text, newline=""))))
        writer.writerow(row)

    got = read(written.getvalue().encode(), delimiter=",", encoding="utf-8")

    assert [tuple(row.values()) for row in got.rows] == [tuple(cell or None for cell in row) for row in rows]
    assert got.lines == begins
    assert got.broken == []


@QUICK
@given(HOSTILE)
def test_the_size_of_a_block_changes_nothing(read, parts):
    data = b"x,y\n" + "".join(parts).encode("latin-1")
    results = []
    for block in (1 << 20, 1, 3, 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(streams, "BLOCK", block)
            got = read(data, delimiter=",", encoding="utf-8")
        results.append((got.rows, got.lines, got.reasons))

    assert results[1:] == results[:1] * 3


@QUICK
@given(HOSTILE)
def test_every_line_of_a_hostile_file_is_in_a_record_or_set_aside(read, parts):
    body = "".join(parts).encode("latin-1")
    got = read(b"x,y\n" + body, delimiter=",", encoding="utf-8")
    accounted = sorted(got.lines + [one.line for one in got.broken])
    physical = [number for number, line in enumerate(body.splitlines(), start=2) if line]
    open_lines = {line for line in physical if line not in accounted}     # inside a quoted record

    assert len(set(accounted)) == len(accounted)
    assert set(accounted) <= set(physical)
    assert all(any(start < line for start in accounted) for line in open_lines)
    assert b'"' in body or not open_lines


def test_a_record_with_another_number_of_fields_is_set_aside_whole(read):
    got = read(b'id,name\n1,a\n2,"b\nc",d\n3\n4,e\n')

    assert got.reasons == [(3, "fields", '2,"b\nc",d'), (5, "fields", "3")]
    assert str(got.broken[0].detail) == "the record has 3 fields; the header has 2."
    assert (got.lines, [row["id"] for row in got.rows]) == ([2, 6], ["1", "4"])


def test_an_open_quote_costs_only_its_own_line(read):
    got = read(b'id,name\n1,"never closed\n2,b\n3,c\n')

    assert got.reasons == [(2, "quote", '1,"never closed')]
    assert str(got.broken[0].detail) == "a quote is not closed, or text follows its end."
    assert [row["id"] for row in got.rows] == ["2", "3"]


def test_text_after_a_closing_quote_is_set_aside_not_repaired(read):
    got = read(b'id,name\n1,"a"b\n2,c"d\n')

    assert got.reasons == [(2, "quote", '1,"a"b')]
    assert got.rows == [{"id": "2", "name": 'c"d'}]


def test_a_record_with_a_nul_byte_is_set_aside(read):
    got = read(b"id,name\n1,a\0\n2,b\n")

    assert got.reasons == [(2, "nul", "1,a\0")]
    assert str(got.broken[0].detail) == "the record holds a NUL byte."
    assert got.lines == [3]


def test_an_open_quote_is_not_followed_past_the_limit(read):
    data = b'id,name\n1,"' + b"x\n" * 5_000 + b'"\n2,b\n'
    got = read(data, max_record_bytes=4_000)

    assert got.reasons[0] == (2, "quote", '1,"x')
    assert got.rows[-1] == {"id": "2", "name": "b"}
    assert got.broken[-1].reason == "quote"


def test_a_file_that_opens_a_quote_on_every_line_costs_work_in_proportion_to_its_size(read, monkeypatch):
    line = b'a",b,"\n'        # from outside it opens a quote, from inside it closes one and opens another
    steps = []

    class Counted(delimited._Walk):
        def __next__(self) -> str:
            steps.append(1)
            return super().__next__()

    monkeypatch.setattr(delimited, "_Walk", Counted)
    monkeypatch.setattr(delimited, "_TRUST", 1 << 16)
    walked = []
    for count in (1_000, 2_000, 3_000):
        steps.clear()
        got = read(b"x,y\n" + line * count, delimiter=",")
        walked.append(len(steps))
        assert [one.reason for one in got.broken] == ["quote"] * count

    assert walked[2] - walked[1] < 1.02 * (walked[1] - walked[0])
    assert (walked[1] - walked[0]) / 1_000 < 2 * delimited._PATIENCE / len(line)


@pytest.mark.parametrize("data, delimiter", [
    (b"a,b\n1,2\n", ","), (b"a\tb\n1\t2\n", "\t"), (b"a;b\n1,5;2,5\n", ";"), (b"a|b\n1|2\n", "|"),
    (b'a;b\n"x;y";2\n', ";"), (b"a\n1\n2\n", ","), (b"sep=;\r\na;b\r\n1;2\r\n", ";"),
])
def test_the_delimiter_is_found(read, data, delimiter):
    got = read(data, "a.txt")

    assert got.source.columns == (["a"] if data == b"a\n1\n2\n" else ["a", "b"])
    assert got.source.kind == ("tsv" if delimiter == "\t" else "csv")
    assert got.broken == []


def test_a_line_that_names_the_delimiter_counts_as_a_line(read):
    got = read(b"sep=;\na;b\n1;2\n")

    assert (got.rows, got.lines) == ([{"a": "1", "b": "2"}], [3])


def test_a_given_delimiter_wins(read):
    assert read(b"a,b:c\n1,2:3\n", delimiter=":").rows == [{"a,b": "1,2", "c": "3"}]


def test_names_that_are_missing_or_repeated_are_made_and_said(read):
    got = read(b"id,id,,id_2\n1,2,3,4\n")

    assert got.rows == [{"id": "1", "id_3": "2", "column_3": "3", "id_2": "4"}]
    assert got.problems == ["Two columns are called id; the later one is read as id_3.",
                            "Column 3 has no name; it is read as column_3."]


@given(st.lists(st.sampled_from(["", "a", "a_2", "column_1", "column_2", "b"]), max_size=8))
def test_header_names_differ_from_each_other(cells):
    names = header_names(cells, [])

    assert len(set(names)) == len(cells)
    assert all(name for name in names)


def test_blank_lines_are_no_records(read):
    got = read(b"\n\nid,name\n\n1,a\n\r\n2,b\n\n")

    assert (got.lines, got.broken) == ([5, 7], [])


def test_an_empty_field_is_null(read):
    assert read(b'a,b,c\n,"",x\n').rows == [{"a": None, "b": None, "c": "x"}]


def test_the_last_record_needs_no_line_end(read):
    assert read(b"a,b\n1,2").rows == [{"a": "1", "b": "2"}]


def test_unicode_line_separators_and_control_characters_are_not_line_ends(read):
    value = "a\u2028b\x85c\x0bd\x1ce"

    assert read(f"a,b\n1,{value}\n".encode()).rows == [{"a": "1", "b": value}]
