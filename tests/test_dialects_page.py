"""The page of the dialects is written from the dialects, and its example of a dialect of your own runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT, blocks
from shopkeeper.doors.cli import main
from shopkeeper.events.dialects import DIALECTS


def test_the_page_has_every_dialect_as_the_code_has_it() -> None:
    spec = importlib.util.spec_from_file_location("dialect_tables", ROOT / "docs" / "dialect_tables.py")
    assert spec is not None
    assert spec.loader is not None
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    page = (ROOT / "docs" / "dialects.md").read_text("utf-8")
    assert page == written.page(page)  # python docs/dialect_tables.py
    assert all(f"### {name}\n" in page for name in DIALECTS)


def test_the_dialect_of_contributing_does_what_the_page_says(tmp_path: Path) -> None:
    python = blocks(ROOT / "CONTRIBUTING.md", "python")
    (tmp_path / "kiosk.py").write_text(next(one.body for one in python if one.mark == "file=kiosk.py"), "utf-8")
    body = next(one.body for one in python if "from kiosk import" in one.body)
    done = subprocess.run([sys.executable, "-W", "error", "-c", body], cwd=tmp_path, capture_output=True, text=True,
                          env={"PYTHONPATH": f"{ROOT / 'src'}:{tmp_path}", "PYTHONUTF8": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("purchase 2026-09-03T10:00:00Z [{")
    assert done.stdout.endswith("Jo\n")


def test_the_command_lists_them_and_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dialects"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in DIALECTS)
    assert main(["dialects", "retailrocket"]) == 0
    shown = capsys.readouterr().out
    assert "transactionid" in shown
    assert "add_to_cart" in shown
    assert main(["dialects", "klingon"]) == 2
