"""The files for containers and systemd name only what is there, and the page on running a shop runs."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT, blocks
from shopkeeper.doors.commands import every
from shopkeeper.doors.parser import Parser

CONTAINER, UNIT = ROOT / "deploy" / "Containerfile", ROOT / "deploy" / "shopkeeper.service"
OPERATIONS, README = ROOT / "docs" / "operations.md", ROOT / "deploy" / "README.md"


def understood(words):
    """Read a command as the program would; refuses what it does not know."""
    name = next(name for name in (" ".join(words[:2]), words[0]) if name in every())
    command = every()[name]
    parser = Parser(command.words, command.summary, "en")
    command.prepare(parser)
    return parser.read(words[len(name.split()):])


def settings(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def instructions(name):
    """What stands behind an instruction, lines that are continued joined."""
    text = CONTAINER.read_text().replace("\\\n", " ")
    return re.findall(rf"^ *{name} +(.*)$", text, re.MULTILINE)


def test_the_unit_starts_a_command_that_exists_in_a_place_it_may_write_to():
    program, *words = shlex.split(settings("ExecStart")[0])

    found = understood(words)

    assert Path(program).name == "shopkeeper"
    assert found.host == "127.0.0.1"
    assert Path(found.shop).is_relative_to(settings("ReadWritePaths")[0])
    assert Path(settings("ReadWritePaths")[0]) == Path("/var/lib") / settings("StateDirectory")[0]


def test_the_unit_is_stopped_as_the_server_expects_and_kept_apart():
    for name, value in {"KillSignal": "SIGTERM", "KillMode": "mixed", "Restart": "on-failure", "DynamicUser": "yes",
                        "ProtectSystem": "strict", "NoNewPrivileges": "yes", "PrivateTmp": "yes"}.items():
        assert settings(name) == [value]
    assert int(settings("TimeoutStopSec")[0]) > 20


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="only systemd can read a unit as systemd does")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    program = Path(sys.executable).parent / "shopkeeper"
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/opt/shopkeeper/bin/shopkeeper", str(program)))

    done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True,
                          check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_copies_what_is_there_and_starts_a_command_that_exists():
    copied = [words for line in instructions("COPY") if "--from" not in line for words in line.split()[:-1]]
    (words,) = [json.loads(line) for line in instructions("CMD") if line.startswith('["serve')]

    found = understood(words)

    assert set(copied) >= {"pyproject.toml", "constraints.txt", "src"}
    assert [one for one in copied if not (ROOT / one).exists()] == []
    assert Path(found.shop).is_relative_to(instructions("VOLUME")[0])
    assert instructions("EXPOSE") == [str(found.port)]
    assert instructions("USER") not in ([], ["root"])
    assert "--constraint constraints.txt" in instructions("RUN")[0]
    assert not re.search(r"password|secret_|token|\.key", CONTAINER.read_text(), re.IGNORECASE)


def test_the_containers_health_is_asked_of_a_route_that_exists():
    from shopkeeper.doors.http.described import operations

    python, flag, code = json.loads(instructions("HEALTHCHECK")[0].partition(" CMD ")[2])
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", code).groups()

    compile(code, "health", "exec")
    assert (python, flag) == ("python", "-c")
    assert port == instructions("EXPOSE")[0]
    assert path in {one.path for one in operations()}


def test_every_command_of_the_page_on_deploying_is_understood():
    told = [re.split(r"shopkeeper (?=serve|key|backup|restore)", line)[1] for block in blocks(README, "sh")
            for line in block.body.splitlines() if re.search(r"shopkeeper (serve|key|backup|restore) ", line)]
    for line in told:
        understood(shlex.split(line))
    assert told


@pytest.mark.slow
def test_the_page_on_running_a_shop_runs_from_its_first_block_to_its_last(tmp_path):
    from test_docs import run

    script = "\n".join(block.body for block in blocks(OPERATIONS, "sh") if block.mark != "no-run")
    code = script.replace("18431", str(_free_port()))

    done = run(["bash", "-e", "-c", f"trap 'kill -9 $(cat server.pid) 2>/dev/null || true' EXIT\n{code}"], tmp_path)

    assert done.returncode == 0, done.stderr
    assert "THE KEYS ARE NOT IN IT" in done.stdout
    assert "THE KEYS ARE IN IT" in " ".join(done.stdout.split())
    ingested, *accounts = [int(one.replace(",", "")) for one in re.findall(r"received ([\d,]+) =", done.stdout)]
    assert accounts == 3 * [ingested + 1]  # restored twice, and after the crash: with the event that was posted


def _free_port():
    from faults.harness import free_port

    return free_port()


def test_metrics_that_the_page_names_are_those_of_the_server():
    from shopkeeper.doors.http import metrics, service

    named = set(re.findall(r"`shopkeeper_(\w+)`", OPERATIONS.read_text()))
    source = Path(metrics.__file__).read_text() + Path(service.__file__).read_text()

    assert named
    assert [name for name in named if f'"{name}"' not in source] == []
