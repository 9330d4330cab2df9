"""A journal that is torn, that lost bits, or whose disk fails: nothing wrong is read, and what is whole is read."""

import errno
import json
import random
import shutil

import pytest

from faults.harness import BOOKS, event, share
from shopkeeper.errors import NotWritten
from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Collector
from shopkeeper.warehouse.journal import Arrived, Disk, Opened, files

FILES, FRAMES, RECORDS = 3, 6, 3
AT = 1_700_000_000_000_000


def request(name):
    """A request of some records, and their ids."""
    ids = [f"{name}-{number}" for number in range(RECORDS)]
    return Arrived(json.dumps([event(one) for one in ids]).encode(), "http:test", AT), ids


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A shop that was killed: with journal files and nothing in the log; and its frames (file, begin, end, ids)."""
    path = tmp_path_factory.mktemp("journal") / "shop"
    shop = Shop.open(path)
    collector = Collector.open(shop)
    for file in range(FILES):
        for frame in range(FRAMES):
            collector.take(request(f"{file}-{frame}")[0])
            collector.flush()
        if file < FILES - 1:
            collector.seal()
    kept = path.parent / "kept"
    shutil.copytree(path, kept, ignore=shutil.ignore_patterns("lock"))
    collector.close()
    frames = []
    for file, (_, place) in enumerate(files(kept / "journal")):
        found = list(Opened(place, shop.keys().vault, newest=True))
        ends = [one.at for one in found[1:]] + [found[-1].at + (found[-1].at - found[-2].at)]
        frames += [(place.name, one.at, end, request(f"{file}-{number}")[1])
                   for number, (one, end) in enumerate(zip(found, ends, strict=True))]
    return kept, frames


def opened(place):
    """What a shop is once its journal was recovered: its rows by id, and what was said of the journal."""
    shop = Shop.open(place)
    collector = Collector.open(shop)
    recovered = collector.recovered
    collector.close()
    shop = Shop.open(place)
    columns = ("event_id", "event", "ts", "customer_id", "item_id")
    found = shop.engine.run(shop.events().select(*columns)).to_pylist()
    said = [note for one in shop.manifest.imports for note in one.notes]
    assert len({row["event_id"] for row in found}) == len(found)
    assert all(one.received == one.stored + one.duplicate + one.quarantined for one in shop.manifest.imports)
    return {row["event_id"]: row for row in found}, said or list(recovered.notes())


@pytest.fixture(scope="module")
def right(written, tmp_path_factory):
    """The rows of the shop whose journal is whole."""
    place = tmp_path_factory.mktemp("right") / "shop"
    shutil.copytree(written[0], place)
    rows, said = opened(place)
    assert said == []
    assert len(rows) == FILES * FRAMES * RECORDS
    return rows


@pytest.mark.outside
def test_a_torn_tail_costs_what_was_not_acknowledged_and_nothing_else(written, right, tmp_path):
    kept, frames = written
    chance, wrong, silent = random.Random(3), 0, 0
    newest = [frame for frame in frames if frame[0] == frames[-1][0]]
    size = (kept / "journal" / newest[0][0]).stat().st_size
    for _ in range(share(1000, 30)):
        place, cut = tmp_path / "shop", chance.randrange(size)
        shutil.copytree(kept, place)
        with (place / "journal" / newest[0][0]).open("r+b") as file:
            file.truncate(cut)

        rows, said = opened(place)

        whole = {one for name, _, end, ids in frames if name != newest[0][0] or end <= cut for one in ids}
        wrong += rows != {one: right[one] for one in whole}
        silent += not said and cut not in {0, newest[0][1], *(end for *_, end, _ in newest)}
        shutil.rmtree(place)

    BOOKS["torn tails"] = {"tried": share(1000, 30), "wrong answers": wrong, "not detected": silent}
    assert (wrong, silent) == (0, 0)


@pytest.mark.outside
def test_a_flipped_bit_is_detected_and_costs_at_most_its_own_frame(written, right, tmp_path):
    kept, frames = written
    chance, wrong, silent, lost = random.Random(4), 0, 0, 0
    names = sorted({name for name, *_ in frames})
    for _ in range(share(1000, 30)):
        place, name = tmp_path / "shop", chance.choice(names)
        shutil.copytree(kept, place)
        data = bytearray((place / "journal" / name).read_bytes())
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        (place / "journal" / name).write_bytes(data)

        rows, said = opened(place)

        hit = {one for file, begin, end, ids in frames if file == name and begin <= at < end for one in ids}
        wrong += rows != {one: row for one, row in right.items() if one not in hit}
        silent += not said
        lost += len(hit)
        shutil.rmtree(place)

    BOOKS["bit flips"] = {"tried": share(1000, 30), "wrong answers": wrong, "not detected": silent,
                          "records in damaged frames": lost}
    assert (wrong, silent) == (0, 0)


class Failing(Disk):
    """A disk on which the calls of one kind fail by chance, in the middle or at the end of their work."""

    def __init__(self, what, chance):
        self.what, self.chance, self.on = what, chance, True

    def _fails(self, what):
        return self.on and what == self.what and self.chance.random() < 0.3

    def create(self, path):
        if self._fails("create"):
            raise OSError(errno.ENOSPC, "no space")
        return super().create(path)

    def write(self, number, data):
        if self._fails("write"):
            if len(data) > 1:
                super().write(number, data[:self.chance.randrange(1, len(data))])
            raise OSError(errno.ENOSPC, "no space")
        return super().write(number, data[:self.chance.randrange(1, len(data) + 1)])

    def sync(self, number):
        if self._fails("sync"):
            raise OSError(errno.EIO, "broken")
        super().sync(number)

    def sync_folder(self, path):
        if self._fails("sync_folder"):
            raise OSError(errno.EIO, "broken")
        super().sync_folder(path)

    def truncate(self, number, size):
        if self._fails("write"):
            raise OSError(errno.EIO, "broken")
        super().truncate(number, size)


@pytest.mark.parametrize("what", ["create", "write", "sync", "sync_folder"])
def test_what_was_acknowledged_on_a_failing_disk_is_there_and_what_was_refused_may_be_sent_again(tmp_path, what):
    chance = random.Random(what)
    disk, shop = Failing(what, chance), Shop.open(tmp_path / "shop")
    collector = Collector.open(shop, disk=disk)
    acknowledged, refused = [], []
    for number in range(60):
        arrived, ids = request(f"{number}")
        collector.take(arrived)
        try:
            collector.flush()
            acknowledged += ids
        except NotWritten:
            refused.append(number)
        if chance.random() < 0.5:
            collector.seal()
    disk.on = False
    for number in refused:
        arrived, ids = request(f"{number}")
        collector.take(arrived)
        collector.flush()
        acknowledged += ids
    collector.close()

    rows, _ = opened(tmp_path / "shop")

    assert len(refused) > 3
    assert set(rows) == set(acknowledged)
