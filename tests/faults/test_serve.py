"""A server that is killed, or whose disk or clock fails, under load: nothing is lost, nothing counts twice."""

import json
import random
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from faults.harness import BOOKS, FULL, Load, Server, check_account, event, lost_and_doubled, posted, share, stored_ids
from faults.points import EIO
from shopkeeper.shop import Shop
from shopkeeper.warehouse.backup import back_up, restore
from shopkeeper.warehouse.store import Store

KILLS = share(1000, 24)
LOOK_EVERY = share(50, 12)
IN_WORKER = [("fsync", 8), ("replace", 8)]
IN_MAIN = [("half", 20), ("fdatasync", 20), ("synced", 20)]


def stop_of(turn, chance):
    """Where to stop a server before it is killed: in its fold (one in two), in its journal, or anywhere (None)."""
    if turn % 2 == 0:
        point, most = IN_WORKER[turn // 2 % 2]
        return ["worker", point, chance.randrange(most)]
    if turn % 6 in (1, 3):
        point, most = chance.choice(IN_MAIN)
        return ["main", point, chance.randrange(most)]
    return None


@pytest.mark.outside
def test_a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(tmp_path, nursery):
    chance, server = random.Random(5), Server(nursery, tmp_path / "shop")
    between = in_journal = lost = doubled = 0
    with Load(server.port) as load:
        for turn in range(KILLS):
            stop = stop_of(turn, chance)
            server.start({"stop": stop} if stop else None)
            if stop is None:
                time.sleep(chance.uniform(0.0, 0.5))
            elif reached := nursery.reached(15):
                between += reached[1]
                in_journal += reached[0] in ("half", "fdatasync")
            assert nursery.kill() == -9, nursery.printed()
            if turn % LOOK_EVERY == LOOK_EVERY - 1:
                found = lost_and_doubled(server.shop, load.acknowledged)
                lost, doubled = lost + found[0], doubled + found[1]
        server.start()
        load.finish()
    server.end()

    last = lost_and_doubled(server.shop, load.sent)
    opened = sorted(server.opened)
    BOOKS["server killed"] = {
        "kills": KILLS, "between a write and its rename": between,
        "between a journal's write and its fsync": in_journal, "acknowledged": len(load.acknowledged),
        "lost": lost + last[0], "doubled": doubled + last[1],
        "opens_median_s": round(statistics.median(opened), 3), "opens_p99_s": round(opened[len(opened) * 99 // 100], 3),
        "opens_max_s": round(opened[-1], 3)}
    assert (lost, doubled, *last) == (0, 0, 0, 0)
    assert between >= 0.3 * KILLS
    if FULL:
        assert opened[-1] < 2.0
    assert load.refused.keys() <= {0}


@pytest.mark.outside
def test_a_disk_that_fails_is_a_503_and_what_was_acknowledged_is_there(tmp_path, nursery):
    counts = {}
    for point, every in (("fdatasync", 5), ("fsync", 7), ("write", 9)):
        server = Server(nursery, tmp_path / point)
        server.start({"fail": [point, every, EIO]})
        with Load(server.port) as load:
            time.sleep(share(20, 2.5))
            load.finish()
        nursery.kill()

        lost, doubled = lost_and_doubled(server.shop, load.sent)
        counts[point] = {"acknowledged": len(load.acknowledged), "refused": load.refused.get(503, 0), "lost": lost,
                         "doubled": doubled}
        assert (lost, doubled) == (0, 0)
        assert load.refused.keys() <= {503}
        if point != "fsync":  # that one fails the folder's, seldom
            assert load.refused[503] > 0
    BOOKS["EIO"] = counts


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True,
                          text=True, check=False)
    assert made.returncode == 0, f"this test fills a small disk, and must be allowed to mount one: {made.stderr}"
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.outside
def test_a_full_disk_is_a_503_and_the_server_goes_on_once_there_is_room(small_disk, nursery):
    server = Server(nursery, small_disk / "shop")
    server.start()
    acknowledged, refused, filler, rounds = [], 0, small_disk / "filler", share(10, 3)
    for turn in range(rounds):
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        for number in range(40):
            ids = [f"full-{turn}-{number}-{one}" for one in range(20)]
            status = posted(server.port, json.dumps([event(one) for one in ids]))
            assert status in (200, 503)
            acknowledged += ids if status == 200 else []
            refused += status == 503
        filler.unlink()
        ids = [f"room-{turn}-{one}" for one in range(20)]
        assert posted(server.port, json.dumps([event(one) for one in ids])) == 200
        acknowledged += ids
    if rounds % 2:
        server.end()
    else:
        nursery.kill()

    lost, doubled = lost_and_doubled(server.shop, acknowledged)
    there = set(stored_ids(Shop.open(server.shop)))
    BOOKS["ENOSPC"] = {"rounds": rounds, "acknowledged": len(acknowledged), "refused": refused, "lost": lost,
                       "doubled": doubled}
    assert (lost, doubled) == (0, 0)
    assert there == set(acknowledged)
    assert refused >= rounds


@pytest.mark.outside
def test_a_clock_that_jumps_loses_nothing_and_doubles_nothing(tmp_path, nursery):
    jumps = [0, 3600, -7200, 86400, -30 * 86400, 1, -1, 400 * 86400]
    server, killed = Server(nursery, tmp_path / "shop"), share(20, 3)
    with Load(server.port) as load:
        for turn in range(killed):
            server.start({"clock": jumps[turn % len(jumps):] + jumps[:turn % len(jumps)]})
            time.sleep(1.0)
            assert nursery.kill() == -9
        server.start({"clock": jumps})
        load.finish()
    server.end()

    lost, doubled = lost_and_doubled(server.shop, load.sent)
    BOOKS["clock jumps"] = {"acknowledged": len(load.acknowledged), "kills": killed, "lost": lost, "doubled": doubled}
    assert (lost, doubled) == (0, 0)


@pytest.mark.outside
def test_a_backup_of_a_server_under_load_holds_everything_acknowledged_before_it_began(tmp_path, nursery):
    server, tries, lost, doubled, journals = Server(nursery, tmp_path / "shop"), share(60, 6), 0, 0, 0
    server.start()
    with Load(server.port) as load:
        for turn in range(tries):
            time.sleep(0.3)
            before, target = load.acknowledged, tmp_path / ("backup.tar" if turn % 2 else f"backup{turn}")
            made = back_up(Store(server.shop), target, with_keys=True)
            restore(target, tmp_path / f"again{turn}")
            found = lost_and_doubled(tmp_path / f"again{turn}", before)
            lost, doubled, journals = lost + found[0], doubled + found[1], journals + made.journal
            check_account(Shop.open(tmp_path / f"again{turn}"))
            if target.suffix == ".tar":
                Path(target).unlink()
        load.finish()
    server.end()

    BOOKS["backup under load"] = {"backups": tries, "journal files in them": journals, "lost": lost, "doubled": doubled}
    assert (lost, doubled) == (0, 0)
    assert journals > 0
    assert lost_and_doubled(server.shop, load.sent) == (0, 0)
