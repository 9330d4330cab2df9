"""The command line starts light, ends with the right code, and never shows a traceback for a person's mistake."""

import json
import os
import subprocess
import sys

import pytest

from shopkeeper.doors.cli import main

HEAVY = {"numpy", "pyarrow", "ibis", "duckdb", "scipy", "rich", "pandas", "polars", "msgspec", "cryptography"}
DEMO = "(lambda name, args: stop() if name == 'import' and args[0] == 'shopkeeper.doors.demo' else None)"
RUN = "import sys; from shopkeeper.doors.cli import main; code = main(sys.argv[1:]); "


def process(*words: str, code: str = RUN + "sys.exit(code)", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "LC_ALL": "C.UTF-8", **environment})


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["recommend"], ["nothing"], ["simulate", "--help"]])
def test_help_imports_nothing_heavy(words):
    found = process(*words, code=RUN + "print(' '.join({m.split('.')[0] for m in sys.modules}), file=sys.stderr)")

    assert HEAVY & set(found.stderr.split()) == set()


def test_importing_the_package_imports_nothing_heavy():
    found = process(code="import sys, shopkeeper; print(' '.join(sys.modules))")

    assert HEAVY & set(found.stdout.split()) == set()


def test_top_level_help_lists_every_command_once(capsys):
    assert main(["--help", "--lang", "en"]) == 0

    text = capsys.readouterr().out
    for command in ("demo", "ingest", "describe", "quarantine", "learn", "evidence", "simulate", "menu",
                    "recommend next-items", "recommend similar-items", "recommend goes-with", "recommend audience"):
        assert text.count(f"\n  {command} ") == 1


def test_help_of_a_room_lists_its_commands(capsys):
    assert main(["ledger", "--lang", "en"]) == 0

    assert "ledger account" in capsys.readouterr().out


@pytest.mark.parametrize("words, text", [
    (["recomend"], "there is no command 'recomend'.\n  Try:  shopkeeper recommend\n  Try:  shopkeeper --help\n"),
    (["simulate"], "shopkeeper simulate needs FOLDER.\n  Try:  shopkeeper simulate FOLDER\n"
                   "  Try:  shopkeeper simulate --help\n"),
    (["ingest", "s"], "shopkeeper ingest needs FILE….\n  Try:  shopkeeper ingest SHOP FILE…\n"
                      "  Try:  shopkeeper ingest --help\n"),
    (["ingest", "s", "f", "--json", "--csv"], "--json and --csv do not go together.\n  Try:  ask twice.\n"),
])
def test_a_mistake_ends_with_code_2_and_says_what_to_do(words, text, capsys):
    assert main([*words, "--lang", "en"]) == 2

    said = capsys.readouterr()
    if "--json" in words:
        assert json.loads(said.out)["what"] == text.splitlines()[0]
    else:
        assert (said.out, said.err) == ("", text)


def test_with_json_a_refusal_is_one_object_on_stdout(capsys):
    assert main(["simulate", "--seed", "x", "--json", "--lang", "en"]) == 2

    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {"refusal": "BadInput", "what": "--seed needs a whole number, and got 'x'.",
                                    "try": ["--seed 10"], "why": None}


def test_a_refusal_speaks_the_language_of_the_locale():
    english, chinese = process("nothing", LC_ALL="C.UTF-8"), process("nothing", LC_ALL="zh_CN.UTF-8")

    assert english.returncode == chinese.returncode == 2
    assert "there is no command" in english.stderr
    assert "没有" in chinese.stderr


def test_a_reader_that_goes_away_is_no_defect():
    read, write = os.pipe()
    os.close(read)
    try:
        found = subprocess.run([sys.executable, "-c", RUN + "sys.exit(code)", "--help"], stdout=write, timeout=60,
                               stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)

    assert (found.returncode, found.stderr) == (141, "")


def test_an_interrupt_ends_with_code_130_and_a_line():
    found = process("demo", code="import sys; from shopkeeper.doors import cli, commands\n"
                    "def stop(*_): raise KeyboardInterrupt\n"
                    f"sys.addaudithook{DEMO}\n"
                    "sys.exit(cli.main(sys.argv[1:]))")

    assert (found.returncode, found.stderr) == (130, "Stopped.\n")


def test_a_defect_keeps_its_traceback_and_ends_with_code_1():
    found = process("demo", code="import sys; from shopkeeper.doors import cli\n"
                    "def stop(*_): raise RuntimeError('a defect')\n"
                    f"sys.addaudithook{DEMO}\n"
                    "sys.exit(cli.main(sys.argv[1:]))")

    assert found.returncode == 1
    assert "RuntimeError: a defect" in found.stderr


def test_a_name_that_the_terminal_cannot_show_does_not_end_a_command():
    found = process("caf\u00e9", PYTHONIOENCODING="ascii", LC_ALL="C")

    assert found.returncode == 2
    assert "caf\\xe9" in found.stderr
