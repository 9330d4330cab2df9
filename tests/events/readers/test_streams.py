from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import BadInput
from shopkeeper.events.readers import ReadOptions, open_source

DICE = random.Random(0)
ROWS = 40_000
DATA = b"id,name\n" + b"".join(b"%d,%d\n" % (n, DICE.randrange(10**9)) for n in range(ROWS))
SMALL = DATA[:20_000]
QUICK = settings(max_examples=bounded(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def peak(path, spill, **options) -> tuple[int, int, list]:
    """Bytes of Python memory at the highest, rows, broken records; the batches are let go one by one."""
    tracemalloc.start()
    rows, broken = 0, []
    with open_source(path, spill=spill, options=ReadOptions(**options)) as source:
        for batch in source:
            rows += len(batch.line)
            broken += batch.broken
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest, rows, broken


@pytest.mark.parametrize("packed, name", [
    (gzip.compress(DATA), "a.csv.gz"), (zstd(DATA), "a.csv.zst"), (gzip.compress(DATA), "a.csv"), (zstd(DATA), "a"),
    (gzip.compress(DATA[:90_001]) + gzip.compress(DATA[90_001:]), "members.csv.gz"),
    (zstd(DATA[:90_001]) + zstd(DATA[90_001:]), "frames.csv.zst"),
    (gzip.compress(DATA) + bytes(200_000), "padded.csv.gz"),
])
def test_a_packed_file_reads_as_the_file_inside(read, packed, name):
    got = read(packed, name)

    assert (len(got.lines), got.broken, got.problems, got.source.kind) == (ROWS, [], [], "csv")
    assert got.rows[-1]["id"] == str(ROWS - 1)


@QUICK
@given(st.integers(200, 8_000), st.integers(1, 9))
def test_a_truncated_gzip_gives_what_came_through_and_says_so(read, kept, level):
    packed = gzip.compress(SMALL, level)[:-1][:kept]
    whole = zlib.decompressobj(31).decompress(packed)
    got = read(packed, "a.csv.gz")
    complete, _, rest = whole.rpartition(b"\n")

    assert got.lines == list(range(2, 2 + complete.count(b"\n")))
    assert got.reasons == ([(complete.count(b"\n") + 2, "truncated", rest.decode())] if rest else [])
    assert got.problems == ["a.csv.gz is cut short: only what came before was read."]


def test_a_truncated_record_says_what_it_is(read):
    packed = gzip.compress(b'id,name\n1,a\n2,"b\nc')[:-4]
    got = read(packed, "a.csv.gz")

    assert got.reasons == [(3, "truncated", '2,"b\nc')]
    assert str(got.broken[0].detail) == "the file was cut in the middle of this record."


def test_a_truncated_last_line_of_json_is_set_aside(read):
    got = read(gzip.compress(b'{"id":1}\n{"id":2}')[:-4], "a.jsonl.gz")

    assert (got.lines, got.reasons) == ([1], [(2, "truncated", '{"id":2}')])


def test_a_truncated_zstd_gives_what_came_through_and_says_so(read):
    noise = b"id,name\n" + b"".join(b"%d,%x\n" % (n, DICE.getrandbits(512)) for n in range(20_000))
    packed = zstd(noise)
    got = read(packed[:len(packed) // 2], "a.csv.zst")

    assert 5_000 < len(got.lines) < 15_000
    assert got.problems == ["a.csv.zst is cut short: only what came before was read."]
    assert [one.reason for one in got.broken] == ["truncated"]


@pytest.mark.parametrize("name, packed, at", [
    ("a.csv.gz", gzip.compress(DATA), 100_000),
    ("a.csv.zst", zstd(DATA), 10),      # the header of a block; a damaged value goes unseen without a checksum
])
def test_a_damaged_file_is_refused_since_what_unpacks_may_be_wrong(read, name, packed, at):
    damaged = bytearray(packed)
    damaged[at:at + 20] = b"\xff" * 20

    with pytest.raises(BadInput) as refusal:
        read(bytes(damaged), name)

    assert refusal.value.text() == (
        f"{name} is damaged: it does not unpack.\n"
        "  Try:  Copy or export the file again; it may have been cut on its way\n"
        "  Why:  what unpacks before the damage is noticed may be wrong already.")


def test_a_gzip_whose_checksum_does_not_fit_is_refused(read):
    packed = bytearray(gzip.compress(DATA))
    packed[-8] ^= 1

    with pytest.raises(BadInput, match=r"^a\.csv\.gz is damaged"):
        read(bytes(packed), "a.csv.gz")


def test_what_follows_a_gzip_member_is_named_and_not_read(read):
    got = read(gzip.compress(DATA) + b"and something else", "a.csv.gz")

    assert len(got.lines) == ROWS
    assert got.problems == ["After its compressed part a.csv.gz holds something else; that was not read."]


@pytest.mark.parametrize("name, before, after", [
    ("a.csv", b"id,name\n1,a\n2,", b"\n3,b\n"), ("a.csv", b'id,name\n1,a\n2,"', b'"\r\n3,b\r\n'),
    ("a.jsonl", b'{"id":1}\n{"id":"', b'"}\n{"id":3}\n'), ("a.csv", b"id,name\r1,a\r2,", b"\r3,b\r"),
])
def test_a_line_of_100_mb_is_set_aside_in_bounded_memory(tmp_path, name, before, after):
    size, path = 100 << 20, tmp_path / name
    with path.open("wb") as file:
        file.write(before)
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))
        file.write(after)
    highest, rows, broken = peak(path, tmp_path / "spill")
    line = before.splitlines()[-1] + b"x" * size + after.splitlines()[0]

    assert highest < 16 << 20
    assert rows == 2
    assert [(one.line, one.reason) for one in broken] == [(len(before.splitlines()), "too_large")]
    assert broken[0].record == line[:64 << 10].decode()
    assert str(broken[0].detail) == f"the line has {len(line):,} bytes; the limit is 1,048,576."
    assert broken[0].spill is not None
    assert zlib.crc32(broken[0].spill.read_bytes()) == zlib.crc32(line)


def test_a_small_file_that_unpacks_to_100_mb_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(b"id,name\n")
        for _ in range(1_600):
            file.write(b"1," + b"x" * 65_533 + b"\n")
    highest, rows, broken = peak(path, tmp_path / "spill")

    assert path.stat().st_size < 1 << 20
    assert highest < 16 << 20
    assert (rows, broken) == (1_600, [])


def test_lines_of_just_the_limit_are_read_and_longer_ones_are_not(read):
    lines = [b"1," + b"x" * (size - 2) for size in (99, 100, 101, 100)]
    for end in (b"\n", b"\r\n", b"\r"):
        got = read(end.join([b"id,name", *lines]) + end, max_record_bytes=100)

        assert (got.lines, [(one.line, one.reason) for one in got.broken]) == ([2, 3, 5], [(4, "too_large")])


def test_spilled_lines_keep_their_own_bytes_and_files(read):
    got = read(b"id,name\n" + "名字".encode("gb18030") * 100 + b"\n" + b"y" * 300 + b"\n", encoding="gb18030",
               max_record_bytes=100)

    assert [one.spill.read_bytes() for one in got.broken] == ["名字".encode("gb18030") * 100, b"y" * 300]
    assert [one.spill.name for one in got.broken] == ["line-2.record", "line-3.record"]


def test_spill_files_of_two_sources_do_not_meet(tmp_path):
    paths, options = [], ReadOptions(max_record_bytes=100)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(b"id\n" + name.encode() * 100 + b"\n")
        with open_source(tmp_path / name, spill=tmp_path / "spill", options=options) as source:
            paths += [one.spill for batch in source for one in batch.broken]

    assert [path.read_bytes() for path in paths] == [b"a.csv" * 100, b"b.csv" * 100]


def test_progress_runs_from_nothing_to_the_size_on_disk(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(DATA * 3))
    with open_source(path, spill=tmp_path) as source:
        seen = [source.bytes_read for _ in source]

    assert seen == sorted(seen)
    assert source.bytes_read == source.bytes_total == path.stat().st_size
    assert len(seen) > 1
