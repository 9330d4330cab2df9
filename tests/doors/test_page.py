"""A page needs no network, runs only our scripts, and what a customer typed stays text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from doors.answers import HOSTILE, Drawn, answer
from shopkeeper.doors import page as door
from shopkeeper.doors.page import page

VENDOR = Path(door.__file__).parent / "vendor"


class Reader(HTMLParser):
    """What a browser would find: scripts, links out, and the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.kinds: list[str] = []
        self.links: list[str] = []
        self.policy = self.language = self._at = ""
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        have = dict(attrs)
        self._at = tag
        self.links += [have[name] for name in ("src", "href", "action") if name in have]
        if tag == "script":
            self.scripts.append("")
            self.kinds.append(have.get("type", ""))
        if tag == "td":
            self.cells.append("")
        if tag == "html":
            self.language = have["lang"]
        if have.get("http-equiv") == "Content-Security-Policy":
            self.policy = have["content"]

    def handle_endtag(self, tag):
        self._at = ""

    def handle_data(self, data):
        if self._at == "script":
            self.scripts[-1] += data
        if self._at == "td":
            self.cells[-1] += data


def test_a_page_fetches_nothing_and_runs_only_the_scripts_that_its_policy_names():
    found = Reader(page(answer(Drawn)))
    ours = [code for code, kind in zip(found.scripts, found.kinds, strict=True) if kind == "text/javascript"]

    assert found.links == []
    assert found.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in found.policy
    assert len(ours) == 4
    for code in ours:
        assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in found.policy


def test_what_a_customer_typed_is_text_in_the_table_and_data_in_the_chart():
    found = Reader(page(answer(Drawn)))
    data = json.loads(next(code for code, kind in zip(found.scripts, found.kinds, strict=True) if "json" in kind))

    assert HOSTILE in found.cells
    assert data["spec"]["data"]["values"][1]["title"] == HOSTILE
    assert not any(code.strip() == "alert(1)" for code in found.scripts)


def test_every_cell_of_the_answer_is_on_the_page_and_labelled_for_a_phone():
    text = page(answer())
    _, body = answer().cells()

    cells = Reader(text).cells

    assert [cell for line in body for cell in line if cell and "\x1b" not in cell] == [
        cell for cell in cells[:-2] if cell and "␛" not in cell]
    assert 'data-label="Score"' in text
    assert "width=device-width" in text


def test_a_page_without_a_chart_carries_no_script_and_allows_none():
    found = Reader(page(answer()))

    assert found.scripts == []
    assert "script-src 'none'" in found.policy


@pytest.mark.parametrize("language, tag", [("en", "en"), ("zh", "zh-CN")])
def test_the_page_says_its_language_and_how_we_know(language, tag):
    text = page(answer(), language)

    assert Reader(text).language == tag
    assert 'class="evidence"' in text


def test_vendored_scripts_are_small_licensed_and_safe_to_write_into_a_page():
    scripts = sorted(VENDOR.glob("*.js"))

    assert [script.name for script in scripts] == ["vega-embed.min.js", "vega-lite.min.js", "vega.min.js"]
    for script in scripts:
        text = script.read_text("utf-8")
        assert script.stat().st_size < 1 << 20
        assert not re.search(r"</script|<!--|sourceMappingURL", text, re.IGNORECASE)
        assert (VENDOR / script.name.replace(".min.js", ".LICENSE.txt")).read_text("utf-8").startswith("Copyright")
