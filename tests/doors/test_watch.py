"""`shopkeeper watch`: counts and what rings, once or again and again, for people and for programs."""

import json
import os
import pty
import signal
import subprocess
from datetime import timedelta

import pytest

from shopkeeper import trends
from shopkeeper.doors.cli import main
from shopkeeper.shop import Shop
from shopkeeper.trends import Rule, kept
from trends.made import MONDAY, event, shop_at, steady
from warm import warm

END = MONDAY + timedelta(days=40)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory):
    """Forty quiet days, then three hours with ten times as much, and a rule that sees it. Only read it."""
    log = steady(40, extra=lambda at: 30 if END - timedelta(hours=4) <= at < END - timedelta(hours=1) else 0)
    shop = shop_at(tmp_path_factory.mktemp("flooded") / "shop", [*log, event(10**6, at=END + timedelta(minutes=5))])
    trends.save_alert(shop, "views", within=14, rule=Rule(kind="page_view", in_a_row=1, cooldown=24))
    return shop


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_program_gets_a_line_of_counts_and_a_line_for_what_rings(tmp_path, capsys):
    shop = shop_at(tmp_path / "shop", [event(n, at=END - timedelta(minutes=n)) for n in range(90)])

    assert main(["watch", str(shop.path), "--once", "--json"]) == 0

    found = lines(capsys.readouterr().out)
    assert len(found) == 1
    assert (found[0]["rules"], found[0]["at"][:16]) == (0, "2026-04-11T00:00")
    assert found[0]["counts"] == {"page_view": {"minute": 1, "hour": 60, "day": 89}}


@pytest.mark.parametrize("language, said", [("en", "1 rules watch"), ("zh", "page_view")])
def test_a_person_reads_a_table(flooded, capsys, language, said):
    assert main(["watch", str(flooded.path), "--once", "--lang", language]) == 0

    text = capsys.readouterr().out
    assert said in text
    assert "page_view" in text


def test_what_rings_is_told_once_for_each_who_watches_and_kept_only_by_one_that_delivers(tmp_path, capsys):
    log = steady(40, extra=lambda at: 30 if at >= END - timedelta(hours=1) else 0)
    shop = shop_at(tmp_path / "shop", [*log, event(10**6, at=END + timedelta(minutes=5))])
    trends.save_alert(shop, "views", within=14, rule=Rule(kind="page_view", in_a_row=1, cooldown=24))
    command = ["watch", str(shop.path), "--once", "--json"]

    for words, rings, keeps in ((command, 1, 0), (command, 1, 0), ([*command, "--deliver"], 1, 1), (command, 0, 1)):
        assert main(words) == 0
        found = [line["firing"] for line in lines(capsys.readouterr().out) if "firing" in line]
        assert [one["rule"] for one in found] == ["views"] * rings
        assert len(kept.firings(Shop.open(shop.path))) == keeps


def test_it_goes_on_as_folds_come_in_until_ctrl_c(flooded, copy_of):
    shop = copy_of(flooded)
    watching = warm().start(None, "watch", shop.path, "--json", "--every", "0.1", stdout=subprocess.PIPE)
    with watching.stdout:
        first = json.loads(watching.stdout.readline())
        day = first["counts"]["page_view"]["day"]
        shop.ingest([[event(10**6 + 1 + n, at=END - timedelta(minutes=9)) for n in range(5)]])
        while True:
            line = json.loads(watching.stdout.readline())
            if line.get("counts", {}).get("page_view", {}).get("day") != day:
                break
        os.kill(watching.pid, signal.SIGINT)
        watching.stdout.read()

    assert line["counts"]["page_view"]["day"] == day + 5
    assert watching.wait() == 0


def test_on_a_terminal_it_draws_and_ctrl_c_ends_it(flooded):
    ours, theirs = pty.openpty()
    watching = warm().start(None, "watch", flooded.path, "--every", "0.1", "--lang", "en", stdout=theirs,
                            env={"TERM": "xterm", "COLUMNS": "100"})
    os.close(theirs)
    text = b""
    while b"Ctrl-C ends." not in text:
        text += os.read(ours, 65536)
    os.kill(watching.pid, signal.SIGINT)
    code = watching.wait()
    os.close(ours)

    assert b"last 24 hours" in text
    assert b"page_view" in text
    assert code == 0


@pytest.mark.parametrize("words, said", [(["--every", "0"], "every is 0.0"), (["--minutes", "3"], "does not know")])
def test_what_makes_no_sense_is_refused(flooded, capsys, words, said):
    assert main(["watch", str(flooded.path), "--once", "--lang", "en", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_shop_is_refused(tmp_path, capsys):
    assert main(["watch", str(tmp_path), "--lang", "en"]) == 2
    assert "is not a shop." in capsys.readouterr().err
