"""Tutorials do what they say: every command runs, in order, in one shell, and prints what stands below it."""

import json
import re
import subprocess

import pytest

from pages import ROOT, blocks
from test_docs import assert_says, run

FIRST, FIRST_ZH = (ROOT / "docs" / "tutorials" / name for name in ("first-hour.md", "first-hour.zh.md"))
COLLECT = ROOT / "docs" / "tutorials" / "collect.md"
MARK = "=== block {number} ==="


def script(page):
    """All shell blocks of a page as one script that says where each begins, and leaves nothing running."""
    parts = ["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for number, block in enumerate(blocks(page, "sh")):
        parts.append(f"echo '{MARK.format(number=number)}'\n{block.body}")
    return "\n".join(parts)


def check_prints(page, printed):
    """Each block of commands printed what stands below it; how often something stands there."""
    number, told = -1, 0
    for block in [block for block in blocks(page) if block.language in ("sh", "text")]:
        if block.language == "sh":
            number += 1
        else:
            assert_says(printed[number], block.body)
            told += 1
    assert number == len(printed) - 1
    return told


@pytest.mark.slow
def test_the_first_hour_runs_and_prints_what_it_says(tmp_path):
    done = run(["bash", "-e", "-c", script(FIRST)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert check_prints(FIRST, re.split(r"=== block \d+ ===\n", done.stdout)[1:]) >= 8


def test_the_first_hour_is_the_same_in_chinese():
    code, chinese = ([(block.language, block.body) for block in blocks(page)] for page in (FIRST, FIRST_ZH))
    assert chinese == code


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The folder in which the tutorial ran, and what each of its blocks printed."""
    place = tmp_path_factory.mktemp("tutorial")
    done = run(["bash", "-e", "-m", "-c", script(COLLECT)], place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place, re.split(r"=== block \d+ ===\n", done.stdout)[1:]


@pytest.mark.slow
def test_every_command_of_the_tutorial_prints_what_the_tutorial_says(collected):
    _, printed = collected
    told = check_prints(COLLECT, printed)

    assert told >= 4


@pytest.mark.slow
def test_the_answers_of_the_tutorial_change_with_what_was_posted(collected):
    place, _ = collected
    before, after, last = (json.loads((place / f"{name}.json").read_text()) for name in ("before", "after", "last"))

    assert [row["item_id"] for row in before["answer"]] != [row["item_id"] for row in after["answer"]]
    assert any("newcomer" in note for note in before["notes"])
    assert not any("newcomer" in note for note in after["notes"])
    assert last["answer"]


@pytest.mark.slow
def test_the_account_after_the_tutorial_is_exact(collected):
    place, _ = collected

    done = run(["shopkeeper", "account", "live", "--json"], place)

    rows = {(row["sources"], row["table"]): row for row in json.loads(done.stdout)["answer"]}
    posted = rows["http:local", "events"]
    assert [posted[name] for name in ("received", "stored", "duplicate", "quarantined")] == [5, 2, 2, 1]
    assert rows["http:local", "items"]["stored"] == 2
    assert subprocess.run(["pgrep", "-f", str(place)], check=False, capture_output=True).stdout == b""
