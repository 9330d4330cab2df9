"""The journal's files: a torn tail is dropped and said, damage is named, and everything else is read."""

import pytest

from shopkeeper.errors import Damaged
from shopkeeper.warehouse.journal import Arrived, Counts, Damage, Frame, Journal, Opened, Torn, ended, files, survey

KEY = b"v" * 32
FRAMES = [Arrived(b'[{"a": %d}]' % number, "http:shop", number) for number in range(3)]


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path, KEY, 1, 0)
    for arrived in FRAMES:
        journal.append([(arrived.pack(), Counts(1, 1, 0))])
    return tmp_path / "0000000001.log"


def read(path, *, newest=True, key=KEY):
    opened = Opened(path, key, newest=newest)
    found = list(opened)
    return [opened.open(one) for one in found if isinstance(one, Frame)], [
        one for one in found if not isinstance(one, Frame)]


def test_what_was_appended_is_read_in_order(path):
    assert read(path) == (FRAMES, [])
    assert survey(path)[0] == Counts(3, 3, 0)
    assert [number for number, _ in files(path.parent)] == [1]
    assert not ended(path)


def test_a_torn_tail_at_any_byte_loses_the_unfinished_frame_alone_and_says_how_much(path):
    whole, last = path.read_bytes(), list(Opened(path, KEY, newest=True))[-1].at
    for size in range(last + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert read(path) == (FRAMES[:2], [Torn(path.name, last, size - last)])
        assert survey(path)[0].received == 2


def test_every_flipped_bit_is_found_and_every_other_frame_is_read(path):
    whole, starts = path.read_bytes(), [one.at for one in Opened(path, KEY, newest=True)]
    for byte in range(len(whole)):
        for bit in (0, 7):
            broken = bytearray(whole)
            broken[byte] ^= 1 << bit
            path.write_bytes(broken)
            arrived, said = read(path, newest=False)
            hit = sum(start <= byte for start in starts) - 1
            assert [type(one) for one in said] == [Damage]
            assert arrived == [one for number, one in enumerate(FRAMES) if number != hit]


def test_zeros_at_the_end_of_the_newest_file_are_a_torn_tail(path):
    path.write_bytes(path.read_bytes() + bytes(5000))
    arrived, (torn,) = read(path)
    assert (arrived, torn.size) == (FRAMES, 5000)


def test_another_key_is_refused_and_nothing_is_called_damage(path):
    with pytest.raises(Damaged, match="another key"):
        read(path, key=b"x" * 32)


def test_nothing_personal_stands_in_the_file_in_the_clear(tmp_path):
    Journal(tmp_path, KEY, 1, 0).append([(Arrived(b'[{"customer_id": "ann@example.org"}]', "a", 1).pack(),
                                          Counts(1, 1, 0))])
    assert b"ann" not in (tmp_path / "0000000001.log").read_bytes()


def test_a_sealed_file_has_its_end_and_the_next_write_begins_another(tmp_path):
    journal = Journal(tmp_path, KEY, 1, 0)
    assert not journal.seal()
    first = journal.append([(FRAMES[0].pack(), Counts(1, 1, 0))])
    assert journal.seal()
    assert (first, journal.append([(FRAMES[1].pack(), Counts(1, 1, 0))])) == (1, 2)
    assert ended(tmp_path / "0000000001.log")
    assert read(tmp_path / "0000000001.log", newest=False) == ([FRAMES[0]], [])
