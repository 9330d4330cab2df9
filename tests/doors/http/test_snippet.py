"""The snippet in a real browser against a real server: offline and back, a closed tab, a second tab, consent."""

import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shopkeeper import Shop
from shopkeeper.doors import http as door

pytestmark = pytest.mark.outside
SCRIPT = Path(door.__file__).parent / "shopkeeper.js"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


class Pages(http.server.BaseHTTPRequestHandler):
    """A shop's page on an origin of its own; what stands behind `?` becomes attributes of the script."""

    def do_GET(self):
        attributes = self.path.partition("?")[2].replace("&", " ") if "data-" in self.path else ""
        source = f"src='{self.server.api}/shopkeeper.js' data-key='{self.server.key}' {attributes}"
        body = f"<!doctype html><script {source}></script><p>A page".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Served:
    """A server over a shop, and a page that may post to it."""

    def __init__(self, folder):
        self.folder, self.port = folder, "0"
        self.pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.page = f"http://127.0.0.1:{self.pages.server_port}"
        Shop.open(folder)
        made = subprocess.run([*COMMAND, "key", "add", str(folder), "--name", "web", "--scope", "collect", "--origin",
                               self.page], check=True, capture_output=True, text=True)
        self.pages.key = made.stdout.split()[0]
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()
        self.begin()

    def begin(self):
        self.process = subprocess.Popen([*COMMAND, "serve", str(self.folder), "--port", self.port], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        said = self.process.stdout.readline()
        self.pages.api = re.search(r"http://\S+:(\d+)", said)[0]
        self.port = re.search(r":(\d+)", self.pages.api.removeprefix("http"))[1]

    def end(self):
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def events(self):
        """What is in the log once the server has left: kind and item of each event, and the account."""
        shop = Shop.open(self.folder, create=False)
        rows = shop.engine.run(shop.events().order_by(["client_ts", "event_id"])).to_pylist()
        entry = next(one for one in shop.manifest.imports if one.sources == ("http:web",))
        assert entry.received == entry.stored + entry.duplicate + entry.quarantined
        return rows, entry


COMMAND = [sys.executable, "-m", "shopkeeper.doors.cli"]


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path / "shop")
    yield made
    if made.process.poll() is None:
        made.kill()
    made.pages.shutdown()
    made.pages.server_close()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = os.environ.get("SHOPKEEPER_CHROMIUM", "/usr/bin/chromium")
    assert Path(path).exists(), "Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    made = chromium.new_context()
    yield made
    made.close()


def opened(context, url, waits=True):
    page = context.new_page()
    page.goto(url)
    if waits:
        page.wait_for_function("shopkeeper.waiting() === 0", timeout=20_000)
    return page


def sent(page):
    page.wait_for_function("shopkeeper.waiting() === 0", timeout=30_000)


def test_the_snippet_is_smaller_than_4_kb_and_speaks_to_nobody_else():
    text = SCRIPT.read_text()

    assert len(gzip.compress(text.encode(), 9)) < 4096
    assert "document.cookie" not in text
    assert set(re.findall(r"https?://\S+", text)) <= {'https://HOST/shopkeeper.js"'}


def test_one_call_each_and_everything_is_in_the_log(served, context):
    page = opened(context, served.page + "/?utm_source=mail&gclid=abc")
    page.evaluate("""() => {
        shopkeeper.identify("ann"); shopkeeper.view("i-1", {price: 4.5, currency: "EUR"}); shopkeeper.search("tea", 2);
        shopkeeper.cart("i-1", {quantity: 2, price: 4.5, currency: "EUR"});
        shopkeeper.purchase({order_id: "o-1", value: 9, currency: "EUR",
                             items: [{item_id: "i-1", quantity: 2, price: 4.5}]});
    }""")
    sent(page)
    served.end()

    rows, entry = served.events()
    heads = [row for row in rows if row["line"] == 0]
    assert [row["event"] for row in heads] == ["page_view", "view_item", "search", "add_to_cart", "purchase"]
    assert (entry.stored, entry.quarantined) == (5, 0)
    assert heads[0]["utm_source"] == "mail"
    assert heads[0]["click_id"] == "abc"
    assert "Chrome" in heads[0]["user_agent"]
    assert len({row["anonymous_id"] for row in heads}) == len({row["session_id"] for row in heads}) == 1
    assert heads[0]["customer_id"] is None
    assert len({row["customer_id"] for row in heads[1:]}) == 1
    assert heads[1]["customer_id"].startswith("c_")
    assert {row["consent"] for row in heads} == {"analytics"}


def test_offline_events_wait_and_come_when_the_line_is_back(served, context):
    page = opened(context, served.page)
    context.set_offline(True)
    page.evaluate("for (let i = 0; i < 120; i++) shopkeeper.view('i-' + i)")
    page.wait_for_timeout(700)
    assert page.evaluate("shopkeeper.waiting()") == 120
    context.set_offline(False)
    sent(page)
    served.end()

    rows, entry = served.events()
    assert entry.stored == 121
    assert {row["item_id"] for row in rows} >= {f"i-{i}" for i in range(120)}


def test_a_server_that_is_gone_for_a_while_loses_nothing(served, context):
    page = opened(context, served.page)
    served.kill()
    page.evaluate("for (let i = 0; i < 20; i++) shopkeeper.view('i-' + i)")
    page.wait_for_timeout(1500)
    assert page.evaluate("shopkeeper.waiting()") == 20
    served.begin()
    sent(page)
    served.end()

    rows, _ = served.events()
    assert sorted(row["item_id"] for row in rows if row["item_id"]) == sorted(f"i-{i}" for i in range(20))


def test_a_closed_tab_s_events_count_once_though_they_are_sent_on_leave_and_again(served, context):
    page = opened(context, served.page)
    page.evaluate("for (let i = 0; i < 7; i++) shopkeeper.view('i-' + i)")
    page.close(run_before_unload=False)
    again = opened(context, served.page)
    again.close()
    served.end()

    rows, entry = served.events()
    assert sorted(row["item_id"] for row in rows if row["item_id"]) == sorted(f"i-{i}" for i in range(7))
    assert entry.stored == 9
    assert entry.received == entry.stored + entry.duplicate


def test_two_tabs_share_visitor_session_and_queue_and_count_each_event_once(served, context):
    first, second = opened(context, served.page), opened(context, served.page)
    context.set_offline(True)
    for page, name in ((first, "a"), (second, "b")):
        page.evaluate(f"for (let i = 0; i < 60; i++) shopkeeper.view('{name}-' + i)")
    context.set_offline(False)
    sent(first)
    sent(second)
    served.end()

    rows, entry = served.events()
    assert entry.stored == 122
    assert len({row["anonymous_id"] for row in rows}) == 1
    assert len({row["session_id"] for row in rows}) == 1
    assert len({row["event_id"] for row in rows}) == 122


def test_global_privacy_control_collects_and_keeps_nothing(served, context):
    context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    page = opened(context, served.page)
    page.evaluate("shopkeeper.identify('ann'); shopkeeper.view('i-1')")
    page.wait_for_timeout(500)

    assert page.evaluate("shopkeeper.waiting()") == 0
    assert page.evaluate("Object.keys(localStorage)") == []
    served.end()
    assert Shop.open(served.folder, create=False).manifest.imports == ()


def test_what_waits_for_consent_is_kept_nowhere_until_it_is_given_and_goes_when_it_is_taken_back(served, context):
    page = opened(context, served.page + "/?data-consent=required", waits=False)
    page.evaluate("shopkeeper.identify('ann'); shopkeeper.view('i-1')")
    page.wait_for_timeout(500)
    assert page.evaluate("Object.keys(localStorage)") == []
    page.evaluate("shopkeeper.consent(true)")
    sent(page)
    context.set_offline(True)
    page.evaluate("shopkeeper.view('i-2')")
    page.evaluate("shopkeeper.consent(false)")
    context.set_offline(False)
    page.evaluate("shopkeeper.view('i-3')")
    page.wait_for_timeout(500)
    assert page.evaluate("Object.keys(localStorage)") == ["shopkeeper.consent"]
    served.end()

    rows, _ = served.events()
    assert [row["item_id"] for row in rows] == [None, "i-1"]
    assert len({row["customer_id"] for row in rows}) == 1


def test_a_page_of_another_origin_cannot_post_with_the_key(served, context):
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    other.api, other.key = served.pages.api, served.pages.key
    threading.Thread(target=other.serve_forever, daemon=True).start()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{other.server_port}")
    page.wait_for_timeout(1000)

    assert page.evaluate("shopkeeper.waiting()") == 1
    other.shutdown()
    other.server_close()
    served.end()
    assert Shop.open(served.folder, create=False).manifest.imports == ()


def test_a_poisoned_event_is_set_aside_and_blocks_no_other(served, context):
    page = opened(context, served.page)
    page.evaluate("shopkeeper.send('no_such_kind', {}); shopkeeper.view(''); shopkeeper.view('i-1')")
    sent(page)
    served.end()

    rows, entry = served.events()
    assert (entry.stored, entry.quarantined) == (2, 2)
    assert json.dumps(dict(entry.reasons))
    assert dict(entry.reasons) == {"unknown_kind": 1, "missing_item": 1}
    assert [row["item_id"] for row in rows if row["event"] == "view_item"] == ["i-1"]
