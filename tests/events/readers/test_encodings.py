from __future__ import annotations

import codecs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import BadInput
from shopkeeper.events.readers.encoding import recognise

TEXT = "id,name\r\n1,名字 naïve\r\n2,ё€😀\r\n"
ROWS = [{"id": "1", "name": "名字 naïve"}, {"id": "2", "name": "ё€😀"}]
QUICK = settings(max_examples=bounded(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("codec, mark, called", [
    ("utf-8", b"", "utf-8"), ("utf-8", codecs.BOM_UTF8, "utf-8"),
    ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16-le"), ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16-be"),
    ("utf-16-le", b"", "utf-16-le"), ("utf-16-be", b"", "utf-16-be"),
])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_unicode_is_recognised_with_and_without_a_mark(read, codec, mark, called, name):
    text = TEXT if name == "a.csv" else '{"id":1,"name":"名字 naïve"}\n{"id":2,"name":"ё€😀"}\n'
    got = read(mark + text.encode(codec), name)

    assert (got.rows, got.source.encoding, got.broken) == (ROWS, called, [])
    assert got.problems == []


def test_gb18030_is_recognised_and_said(read):
    got = read("id,name\n1,名字\n2,订单😀\n".encode("gb18030"))

    assert [row["name"] for row in got.rows] == ["名字", "订单😀"]
    assert got.source.encoding == "gb18030"
    assert got.problems == ["a.csv is not UTF-8; it was read as GB18030. If letters look wrong, name its encoding "
                            "with --encoding."]


@QUICK
@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x7FFF, codec="gb2312"), min_size=3, max_size=20))
def test_chinese_in_gb18030_is_never_taken_for_something_else(words):
    data = f"id,name\n1,{words}\n".encode("gb18030")
    codec = recognise(data, None, "a").codec

    assert codec == "gb18030" or data.decode("utf-8")


@pytest.mark.parametrize("text", ["Müller", "café", "Ærø", "naïve señor Peña", "Düsseldorf, Köln, Österreich"])
@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_western_text_is_never_guessed(text, codec):
    with pytest.raises(BadInput):
        recognise(f"id,name\n1,{text}\n".encode(codec), None, "a.csv")


@pytest.mark.parametrize("codec, text", [
    ("cp1252", "naïve €"), ("latin-1", "Müller"), ("shift_jis", "カタカナ表"), ("big5", "功許蓋"), ("cp1251", "Привет"),
    ("utf-16", "名字"), ("utf-16-le", "名字"), ("utf-8-sig", "名字"), ("gb18030", "名字"), ("GBK", "名字"),
])
def test_an_encoding_that_is_named_is_used(read, codec, text):
    got = read(f"id,name\n1,{text}\n".encode(codec), encoding=codec)

    assert got.rows == [{"id": "1", "name": text}]
    assert got.problems == []


@pytest.mark.parametrize("codec, bad, record", [
    ("utf-8", b"20,\xe5\x90\n", "20,\\xe5\\x90"),
    ("gb18030", b"20,\xff\n", "20,\\xff"),
    ("utf-16-le", "20,\ud800\n".encode("utf-16-le", "surrogatepass"), "20,\\xed\\xa0\\x80"),
])
def test_a_line_that_is_no_text_is_set_aside_and_the_next_are_read(read, codec, bad, record):
    lines = [f"{n},名字{n}\n".encode(codec) for n in range(50)]
    lines[20] = bad
    got = read("id,name\n".encode(codec) + b"".join(lines), encoding=codec)

    assert [int(row["id"]) for row in got.rows] == [n for n in range(50) if n != 20]
    assert got.reasons == [(22, "encoding", record)]
    assert str(got.broken[0].detail) == "the record holds bytes that are no text in the encoding of the file."


def test_bytes_that_are_no_text_far_behind_the_head_are_set_aside(read):
    got = read(b"id,name\n" + b"1,a\n" * 400_000 + b"2,M\xfcller\n3,b\n")

    assert [(one.line, one.record) for one in got.broken] == [(400_002, "2,M\\xfcller")]
    assert len(got.lines) == 400_001


def test_a_quoted_record_with_a_bad_line_inside_is_set_aside_whole(read):
    got = read(b'id,name\n1,"a\nb\xff\nc"\n2,\xe5\x90\x8d\n3,\xe5\x90\x8d\n', encoding="utf-8")

    assert got.reasons == [(2, "encoding", '1,"a\nb\\xff\nc"')]
    assert got.lines == [5, 6]


def test_half_a_code_unit_at_the_end_is_no_text(read):
    got = read("id\n1\n2".encode("utf-16") + b"3")

    assert (got.lines, got.reasons) == ([2], [(3, "encoding", "2\\xff")])


WORDS = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n",'), min_size=1, max_size=6)


@QUICK
@given(st.lists(WORDS, min_size=2), st.sampled_from(["utf-8", "utf-16", "gb18030"]))
def test_every_character_survives_every_encoding(read, words, codec):
    got = read("\n".join(["word,x", *(f"{word},1" for word in words)]).encode(codec), encoding=codec, delimiter=",")

    assert [row["word"] for row in got.rows] == words
