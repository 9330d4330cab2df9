from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.events.readers import from_records, jsonlines

QUICK = settings(max_examples=bounded(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
KEYS = st.text("abc", min_size=1, max_size=2)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
                      max_leaves=6)


def flattened(value: dict, prefix: str = "") -> dict:
    """The oracle: dotted names, leaves as the text that json gives them."""
    flat = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat.update(flattened(inner, f"{prefix}{key}."))
        elif isinstance(inner, str) or inner is None:
            flat[prefix + key] = inner or None
        else:
            flat[prefix + key] = json.dumps(inner, ensure_ascii=False, separators=(",", ":"))
    return flat


def same(text: str | None, wanted: str | None) -> bool:
    """Equal, or JSON texts of equal values (escapes may be written in two ways)."""
    return text == wanted or (text is not None and wanted is not None and json.loads(text) == json.loads(wanted))


@QUICK
@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), max_size=6), st.booleans())
def test_what_json_wrote_is_read_back_flattened(read, records, ascii_only):
    data = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in records)
    got = read(data.encode(), "a.jsonl")

    assert got.lines == list(range(1, len(records) + 1))
    for row, record in zip(got.rows, records, strict=True):
        wanted = flattened(record)
        assert set(row) >= set(wanted)
        assert all(same(row[name], wanted.get(name)) for name in row)


@pytest.mark.parametrize("number", ["1.50", "1e5", "1E-400", "-0.0", "123456789012345678901234567890", "0.1000", "7"])
def test_numbers_keep_their_text(read, number):
    row = read(f'{{"a":{number},"b":[{number}],"c":{{"d":{number}}}}}\n'.encode(), "a.jsonl").rows[0]

    assert row == {"a": number, "b": f"[{number}]", "c.d": number}


def test_missing_null_and_empty_are_null(read):
    got = read(b'{"a":null,"b":"x"}\n{"a":"","b":"y"}\n{"b":"z","c":[],"d":{}}\n', "a.jsonl")

    assert [row["a"] for row in got.rows] == [None, None, None]
    assert got.rows[2] == {"a": None, "b": "z", "c": "[]", "d": "{}"}


def test_the_last_of_a_repeated_key_counts(read):
    assert read(b'{"a":1,"a":2}\n', "a.jsonl").rows == [{"a": "2"}]


@pytest.mark.parametrize("record, reason, detail", [
    ('{"a":1,}', "json", "this is not valid JSON: JSON is malformed: trailing comma in object (byte 7)."),
    ('{"a":1} x', "json", "this is not valid JSON: JSON is malformed: trailing characters (byte 9)."),
    ("id,name", "json", "this is not valid JSON: JSON is malformed: invalid character (byte 0)."),
    ('{"a":' + "9" * 5_000 + "}", "json", "this is not valid JSON: Integer value out of range - at `$[...]`."),
    ("[1,2]", "not_object", "this is JSON, but not an object with named fields."),
    ("17", "not_object", "this is JSON, but not an object with named fields."),
    ("{}", "no_fields", "the object has no fields."),
    (r'{"a":"\ud800"}', "surrogate", "the record holds half of a character (a lone surrogate)."),
    (r'{"a":"\ud800b"}', "surrogate", "the record holds half of a character (a lone surrogate)."),
    (r'{"a":"\udc00\ud800 "}', "surrogate", "the record holds half of a character (a lone surrogate)."),
    (r'{"a":"\u0000"}', "nul", "the record holds a NUL byte."),
    ('{"a":"\0"}', "nul", "the record holds a NUL byte."),
    ('{"a":' * 65 + "1" + "}" * 65, "nested", "the record is nested more than 64 levels deep."),
    ('{"a":' + "[" * 500_000, "nested", "the record is nested more than 64 levels deep."),
    ('{"a":{"b":1},"a.b":2}', "same_name", "two fields of the record are both called a.b."),
])
def test_a_record_that_is_no_sound_object_is_set_aside_with_its_reason(read, record, reason, detail):
    got = read(f'{{"id":1}}\n{record}\n{{"id":2}}\n'.encode(), "a.jsonl")

    assert got.reasons == [(2, reason, record)]
    assert str(got.broken[0].detail) == detail
    assert (got.lines, [row["id"] for row in got.rows]) == ([1, 3], ["1", "2"])


def test_brackets_inside_strings_do_not_count_as_depth(read):
    text = "[{" * 200

    assert read(json.dumps({"a": text}).encode(), "a.jsonl").rows == [{"a": text}]


def test_64_levels_are_read(read):
    row = read(('{"a":' * 64 + "1" + "}" * 64).encode(), "a.jsonl").rows[0]

    assert row == {".".join("a" * 64): "1"}


def test_raw_bytes_of_half_a_character_are_no_text(read):
    got = read(b'{"id":1}\n{"id":"\xed\xa0\x80"}\n{"id":"\xe5\x90\x8d"}\n{"id":"\xe5\x90\x8d"}\n', "a.jsonl")

    assert got.reasons == [(2, "encoding", '{"id":"\\xed\\xa0\\x80"}')]
    assert got.lines == [1, 3, 4]


def test_records_with_keys_of_their_own_stay_within_the_cells_of_a_batch(read):
    data = "".join(f'{{"k{n}":{n}}}\n' for n in range(5_000))
    got = read(data.encode(), "a.jsonl")

    assert len(got.source.columns) == 4_096
    assert {one.reason for one in got.broken} == {"too_wide"}
    assert len(got.lines) + len(got.broken) == 5_000
    assert str(got.broken[0].detail) == "with this record the file has more than 4,096 different fields."
    assert max(batch.table.num_rows * batch.table.num_columns for batch in got.batches) <= 8 << 20


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_one_array_of_objects_is_read_with_the_lines_of_its_records(read, name):
    got = read(b'\n[\n {"id":1},\n\n {"id":\n2}, {"id":3}, 4]\n', name)

    assert [row["id"] for row in got.rows] == ["1", "2", "3"]
    assert got.lines == [3, 5, 6]
    assert got.reasons == [(6, "not_object", "4")]


def test_an_array_in_utf_16_is_read(read):
    assert read('[{"名":1}]'.encode("utf-16"), "a.json").rows == [{"名": "1"}]


def test_an_empty_array_holds_no_records(read):
    got = read(b"[]", "a.json")

    assert (got.rows, got.problems) == ([], ["a.json is empty."])


def test_records_in_memory_read_as_lines_of_json():
    class Odd:
        def __str__(self) -> str:
            return "odd"

    source = from_records([{"id": 1, "v": 1.5, "o": Odd()}, {"id": "\ud800"}, {"id": 2, "u": {"n": [1]}}])
    batches = list(source)

    assert [row for batch in batches for row in batch.table.to_pylist()] == [
        {"id": "1", "v": "1.5", "o": "odd", "u.n": None}, {"id": "2", "v": None, "o": None, "u.n": "[1]"}]
    assert [(one.line, one.reason, one.record) for one in batches[0].broken] == [(2, "json", "{'id': '\\ud800'}")]
    assert batches[0].line.tolist() == [1, 3]


def test_parts_are_cut_by_their_cells():
    reader = jsonlines.JsonLines()
    parts = [part for n in range(1_200) for part in reader.add(f'{{"k{n}":1}}', n)]
    parts += reader.flush()

    assert sum(len(part.line) for part in parts) == 1_200
    assert max(part.table.num_rows * part.table.num_columns for part in parts) <= 1 << 20
    assert len(parts) == 2
