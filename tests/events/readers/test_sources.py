from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import BadInput, Refusal, UnknownName
from shopkeeper.events.raw import BATCH_BYTES, BATCH_ROWS, Broken, RawBatch
from shopkeeper.events.readers import expand, jsonlines, open_source
from shopkeeper.events.readers.base import gather
from shopkeeper.words import say


def refused(act) -> str:
    with pytest.raises(Refusal) as refusal:
        act()
    return refusal.value.text()


def zipped(name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "id\n1\n")
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return data.getvalue()


@pytest.mark.parametrize("data, name, kind", [
    (b"a,b\n1,2\n", "a.csv", "csv"), (b"a\tb\n1\t2\n", "a.tsv", "tsv"), (b"a\tb\n1\t2\n", "a.tab", "tsv"),
    (b"a,b\n1,2\n", "a.log", "csv"), (b'{"a":1,"b":2}\n', "a.log", "jsonl"), (b'{"a":1,"b":2}\n', "a.ndjson", "jsonl"),
    (b' \n{"a":1,"b":2}\n', "a.txt", "jsonl"), (b"a,b\n1,2\n", "A.CSV", "csv"),
    (gzip.compress(b'{"a":1,"b":2}\n'), "a.jsonl.GZ", "jsonl"),
])
def test_text_is_known_by_its_ending_or_its_first_lines(read, data, name, kind):
    got = read(data, name)

    assert (got.source.kind, got.source.name, got.rows) == (kind, name, [{"a": got.rows[0]["a"], "b": "2"}])


def test_a_format_that_is_named_wins_over_the_ending(read):
    assert read(b'{"a":1}\n', "a.csv", format="jsonl").rows == [{"a": "1"}]
    assert read(b"a,b\tc\n1,2\t3\n", "a.csv", format="tsv").rows == [{"a,b": "1,2", "c": "3"}]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", gzip.compress(b"")])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a"])
def test_an_empty_file_is_no_crash_and_said(read, data, name):
    got = read(data, name)

    assert (got.batches, got.problems) == ([], [f"{name} is empty."])


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx", "a.arrow"])
def test_an_empty_file_of_tables_is_no_crash_and_said(read, name):
    got = read(b"", name)

    assert (got.batches, got.problems) == ([], [f"{name} is empty."])


def test_a_header_alone_is_no_crash_and_said(read):
    got = read(b"id,name\n", "a.csv")

    assert (got.batches, got.source.columns) == ([], ["id", "name"])
    assert got.problems == ["a.csv has a header and no records."]


OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
UNPACK = "\n  Try:  Unpack it, and read the files or their folder"
COPY = "\n  Try:  --format csv, if it is text\n  Try:  Copy or export the file again"
HEADER = "\n  Try:  Begin the file with a line that names its columns"
ENCODING = ("a.csv is neither UTF-8 nor UTF-16 nor GB18030.\n"
            "  Try:  --encoding cp1252 (or the encoding that the file was saved with)\n"
            "  Try:  Save it again as UTF-8\n"
            "  Why:  the wrong encoding reads without an error and damages every name in the file.")
NO_ENCODING = " is not an encoding that can be read.\n  Try:  --encoding utf-8\n  Try:  --encoding gb18030\n" \
              "  Try:  --encoding cp1252"
FORMATS = "".join(f"\n  Try:  --format {one}" for one in ("csv", "tsv", "jsonl", "parquet", "xlsx", "arrow"))
TWICE = ("a.gz is packed twice.\n  Try:  Unpack it once, and read what comes out\n"
         "  Why:  only one layer of gzip or zstd around text is unpacked, so that a small file cannot grow without "
         "end.")
DELIMITER = "A delimiter is one character, and neither a quote nor a line end.\n  Try:  --delimiter ';'"


@pytest.mark.parametrize("data, name, options, text", [
    (zipped("a.csv"), "a.zip", {}, "a.zip is an archive (zip)." + UNPACK),
    (zipped("a.csv"), "a.csv", {}, "a.csv is an archive (zip)." + UNPACK),
    (bz2.compress(b"id\n1\n"), "a.bz2", {}, "a.bz2 is an archive (bzip2)." + UNPACK),
    (lzma.compress(b"id\n1\n"), "a.xz", {}, "a.xz is an archive (xz)." + UNPACK),
    (tarred(), "a.tar", {}, "a.tar is an archive (tar)." + UNPACK),
    (OLD, "a.xls", {}, "a.xls is an old or a locked Office file.\n"
                       "  Try:  Save it as .xlsx without a password, or export the sheet as CSV"),
    (gzip.compress(gzip.compress(b"id\n")), "a.gz", {}, TWICE),
    (gzip.compress(pa.compress(b"id\n", "zstd", asbytes=True)), "a.gz", {}, TWICE),
    (gzip.compress(zipped("a.csv")), "a.gz", {}, TWICE),
    (gzip.compress(tarred()), "a.gz", {}, TWICE),
    (b"id\n1\n", "a.parquet", {}, "a.parquet is not in the format Parquet, whatever its name says." + COPY),
    (b"id\n1\n", "a.xlsx", {}, "a.xlsx is not in the format XLSX, whatever its name says." + COPY),
    (b"id\n1\n", "a.csv", {"format": "arrow"}, "a.csv is not in the format Arrow, whatever its name says." + COPY),
    (b"PAR1" + bytes(20), "a.csv", {"format": "csv"},
     "a.csv is in the format Parquet, not CSV.\n  Try:  Leave out --format"),
    (b"id\n", "a.csv", {"format": "xml"}, "xml is not a format that can be read." + FORMATS),
    (b"id\n", "a.csv", {"delimiter": "::"}, DELIMITER), (b"id\n", "a.csv", {"delimiter": '"'}, DELIMITER),
    (b"id\n", "a.csv", {"encoding": "klingon"}, "klingon" + NO_ENCODING),
    (b"id\n", "a.csv", {"encoding": "cp037"}, "cp037" + NO_ENCODING),
    (b"id\n", "a.csv", {"encoding": "utf-32"}, "utf-32" + NO_ENCODING),
    (b"id\n", "a.csv", {"encoding": "base64"}, "base64" + NO_ENCODING),
    (b"id,name\n1,M\xfcller\n", "a.csv", {}, ENCODING),
    ("id,name\n1,a\n".encode("utf-32"), "a.csv", {}, ENCODING),
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a.csv", {}, ENCODING),
    (b'"id,name\n1,a\n', "a.csv", {},
     "The first line of a.csv is no header: a quote is not closed, or text follows its end." + HEADER),
    (b"id,n\0me\n1,a\n", "a.csv", {},
     "The first line of a.csv is no header: it holds bytes that are no text." + HEADER),
    (b"id,n\xffme\n1,a\n", "a.csv", {"encoding": "utf-8"},
     "The first line of a.csv is no header: it holds bytes that are no text." + HEADER),
    (b"x" * 200 + b"\n1\n", "a.csv", {"max_record_bytes": 100},
     "The first line of a.csv is no header: the line has 200 bytes; the limit is 100." + HEADER),
    (b"," * 5_000 + b"\n", "a.csv", {},
     "The first line of a.csv is no header: it has 5,001 columns; the limit is 4,096." + HEADER),
    (b'[{"a":1}', "a.json", {}, "a.json is not a valid JSON array: Input data was truncated.\n"
                                "  Try:  Write one object a line (JSON Lines): jq -c '.[]' a.json"),
])
def test_a_file_that_cannot_be_read_is_refused_with_what_to_do(read, data, name, options, text):
    assert refused(lambda: read(data, name, **options)) == text


def test_an_array_that_is_too_large_is_refused(read, monkeypatch):
    monkeypatch.setattr(jsonlines, "LARGEST_ARRAY", 2 << 20)

    assert refused(lambda: read(b"[" + b" " * (2 << 20) + b"]", "a.json")) == (
        "a.json is one JSON array of more than 2 MB.\n"
        "  Try:  Write one object a line (JSON Lines): jq -c '.[]' a.json\n"
        "  Why:  an array must be read whole before its first record is known to be right.")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id\n")

    assert refused(lambda: open_source(tmp_path / "no.csv", spill=tmp_path)) == f"There is no file {tmp_path}/no.csv."
    assert refused(lambda: open_source(tmp_path, spill=tmp_path)) == f"{tmp_path} is a folder, not a file."
    assert refused(lambda: open_source(tmp_path / "a.csv" / "b", spill=tmp_path)) == (
        f"{tmp_path}/a.csv/b cannot be opened: Not a directory.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.jsonl.gz", "deep/er/c.parquet", "deep/d.CSV", "notes.pdf", "deep/_SUCCESS", ".hidden.csv",
                 ".git/e.csv", "odd[1].csv", "f.csv.bz2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"id\n1\n")
    return tmp_path


def names(files, folder: Path) -> list[str]:
    return [str(one.relative_to(folder)) for one in files]


def test_a_folder_is_all_its_files_that_a_reader_knows_in_order(folder):
    files = expand([folder])

    assert names(files, folder) == ["a.jsonl.gz", "b.csv", "deep/d.CSV", "deep/er/c.parquet", "odd[1].csv"]
    assert names(files.left_out, folder) == ["deep/_SUCCESS", "f.csv.bz2", "notes.pdf"]


def test_a_pattern_is_what_it_matches_and_a_file_is_itself(folder):
    assert names(expand([f"{folder}/*.csv"]), folder) == ["b.csv", "odd[1].csv"]
    assert names(expand([f"{folder}/**/*.parquet"]), folder) == ["deep/er/c.parquet"]
    assert names(expand([folder / "odd[1].csv", folder / "notes.pdf"]), folder) == ["odd[1].csv", "notes.pdf"]


def test_a_file_that_is_named_twice_is_read_once(folder):
    again = folder / "deep" / ".." / "b.csv"

    assert names(expand([folder / "b.csv", again, f"{folder}/b*"]), folder) == ["b.csv"]


def test_nothing_to_read_is_refused(folder):
    (folder / "empty").mkdir()

    assert refused(lambda: expand([folder / "no.csv"])) == f"There is no file {folder}/no.csv."
    assert refused(lambda: expand([f"{folder}/*.tsv"])) == f"No file matches {folder}/*.tsv."
    assert refused(lambda: expand([folder / "empty"])) == (
        f"There is no file to read in the folder {folder}/empty.\n"
        "  Try:  Give the file itself: it is read whatever its ending is\n"
        "  Why:  in a folder only these endings are read: .csv .tsv .tab .txt .jsonl .ndjson .json .parquet .pq .xlsx "
        ".xlsm .arrow .feather .ipc.")


def test_what_is_missing_and_what_is_wrong_are_different_refusals(tmp_path):
    assert issubclass(UnknownName, BadInput)
    with pytest.raises(UnknownName):
        open_source(tmp_path / "no.csv", spill=tmp_path)


def part(rows: int, size: int, broken: int, start: int) -> RawBatch:
    table = pa.table({"v": pa.array(["x" * size] * rows, pa.string())})
    return RawBatch(table, np.arange(start, start + rows), [Broken(-n, "json", say("no."), "r") for n in range(broken)])


@settings(max_examples=bounded(50), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 20), st.integers(0, 100)), max_size=6))
def test_batches_hold_every_row_once_and_no_more_than_they_may(shapes):
    parts, start = [], 0
    for rows, size, broken in shapes:
        parts.append(part(rows, size, broken, start))
        start += rows
    batches = list(gather(iter(parts)))

    assert [line for batch in batches for line in batch.line.tolist()] == list(range(start))
    assert sum(len(batch.broken) for batch in batches) == sum(broken for _, _, broken in shapes)
    assert all(batch.table.num_rows == len(batch.line) for batch in batches)
    assert all(batch.received <= BATCH_ROWS for batch in batches)


def test_batches_of_long_values_stay_within_their_bytes():
    batches = list(gather(iter([part(300, 1 << 18, 5, 0), part(100_000, 1, 70_000, 300)])))

    assert [line for batch in batches for line in batch.line.tolist()] == list(range(100_300))
    assert max(batch.table.nbytes for batch in batches) <= BATCH_BYTES
    assert max(batch.received for batch in batches) <= BATCH_ROWS
    assert sum(len(batch.broken) for batch in batches) == 70_005


def test_what_is_no_text_is_called_no_table_of_text_whatever_its_name_says(tmp_path):
    for seed in range(12):
        path = tmp_path / f"noise-{seed}.csv"
        path.write_bytes(random.Random(seed).randbytes(40 + 400 * seed))
        with pytest.raises(BadInput, match=r"no table of text|no header|neither UTF-8"), \
                open_source(path, spill=tmp_path) as source:
            list(source)
