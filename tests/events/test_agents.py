"""What a record says of its sender: labels by user agent, by flag and by network, at the entrance."""

import json

import numpy as np
import pyarrow as pa
import pytest

from shopkeeper.errors import BadInput
from shopkeeper.events.agents import NO_RANGES, Ranges, driven, labels, of_agent
from shopkeeper.events.arrivals import Requests, judge_events
from shopkeeper.events.pseudonyms import Keys
from shopkeeper.events.schema import KINDS
from shopkeeper.shop import Shop
from shopkeeper.simulate.clients import BROWSERS, CRAWLERS

CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
          "Safari/537.36")
HEADLESS = CHROME.replace("Chrome/", "HeadlessChrome/")


def hit(number, **more):
    return {"event_id": f"e{number}", "event": "page_view", "ts": "2026-03-02T10:00:00", "anonymous_id": f"v{number}",
            **more}


def stored(shop):
    rows = shop.engine.run(shop.engine.events().order_by("event_id")).to_pylist()
    return [(row["traffic"], row["bot_reason"]) for row in rows]


@pytest.mark.parametrize("agent", CRAWLERS)
def test_crawlers_that_say_who_they_are_are_bots(agent):
    assert of_agent(agent).traffic == "bot"


@pytest.mark.parametrize("agent", [text for group in BROWSERS for text in group] + [
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X18) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile "
    "Safari/537.36", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.50(0x18003231) NetType/WIFI Language/zh_CN"])
def test_people_s_browsers_and_phones_are_not_taken_for_bots(agent):
    assert of_agent(agent) is None


def test_every_example_of_the_list_of_crawlers_is_labelled():
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    examples = [text for entry in CRAWLER_USER_AGENTS_DATA for text in entry.get("instances", ())]

    assert len(examples) > 1_000
    assert [text for text in examples if of_agent(text) is None] == []


@pytest.mark.parametrize(("agent", "label", "reason"), [
    ("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", "bot", "crawler"),
    ("Mozilla/5.0 (compatible; Bytespider; spider-feedback@bytedance.com)", "bot", "crawler"),
    ("Go-http-client/2.0", "bot", "library"), ("axios/1.7.2", "bot", "library"), ("okhttp/4.12.0", "bot", "library"),
    ("Mozilla/5.0 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)", "agent", "agent"),
    ("Mozilla/5.0 (compatible; Claude-User/1.0; +Claude-User@anthropic.com)", "agent", "agent"),
    (HEADLESS, "suspect", "driven")])
def test_agents_that_ask_for_a_person_stand_apart_from_crawlers_and_driven_browsers(agent, label, reason):
    assert (of_agent(agent).traffic, of_agent(agent).reason) == (label, reason)


def test_a_page_without_any_agent_is_suspect_where_nearly_every_page_has_one_and_an_order_never_is():
    columns = {"user_agent": pa.array([CHROME] * 18 + [None, " ", None]),
               "event": pa.array(["page_view"] * 18 + ["view_item", "search", "purchase"])}

    assert labels(columns, np.zeros(21, bool))["traffic"].to_pylist() == [None] * 18 + ["suspect", "suspect", None]
    assert labels({"event": columns["event"]}, np.zeros(21, bool)) == {}


@pytest.mark.parametrize("agents", [[CHROME] + [None] * 39, [CHROME, None] * 20, [CHROME, CHROME, None]],
                         ids=["one in forty", "half", "too few to tell"])
def test_where_agents_are_often_missing_nobody_is_suspect_for_want_of_one(agents):
    columns = {"user_agent": pa.array(agents), "event": pa.array(["view_item"] * len(agents))}

    assert labels(columns, np.zeros(len(agents), bool)) == {}


def test_the_flag_of_a_driven_browser_is_found_under_any_path_and_spelling():
    table = pa.table({"context.webdriver": [True, False, None], "webdriver_version": ["1", "1", "1"]})

    assert driven(table).tolist() == [True, False, False]
    assert driven(pa.table({"Webdriver": ["true", "false", "1"]})).tolist() == [True, False, True]


def test_ranges_are_read_from_lines_and_from_what_search_engines_publish(tmp_path):
    lines, published = tmp_path / "lines.txt", tmp_path / "googlebot.json"
    lines.write_text("# crawlers\n66.249.64.0/27\n66.249.64.32/27  # next to it\n\n2001:4860:4801:10::/64\n")
    published.write_text(json.dumps({"prefixes": [{"ipv4Prefix": "66.249.64.0/26"},
                                                  {"ipv6Prefix": "2001:4860:4801:10::/64"}]}))

    for path in (lines, published):
        ranges = Ranges.read(path)
        found = [address in ranges for address in ("66.249.64.0", "66.249.64.63", "66.249.64.64", "66.249.63.255",
                                                   "2001:4860:4801:10::9", "::ffff:66.249.64.7", "x", "66.249.64")]
        assert found == [True, True, False, False, True, True, False, False]
    assert not NO_RANGES


def test_a_file_of_ranges_that_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "bad.txt").write_text("66.249.64.0/99\n")

    for name in ("bad.txt", "missing.txt"):
        with pytest.raises(BadInput, match=name):
            Ranges.read(tmp_path / name)


def test_labels_are_written_at_the_entrance_and_the_address_is_looked_at_before_it_is_cut(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    (shop.path / "shop.toml").write_text((shop.path / "shop.toml").read_text() + '\n[traffic]\nranges = "crawlers"\n')
    (shop.path / "crawlers").write_text("203.0.113.128/25\n")

    shop.ingest([hit(1, user_agent=CHROME, ip_prefix="203.0.113.9"),
                 hit(2, user_agent=CHROME, ip_prefix="203.0.113.200"), hit(3, user_agent="curl/8.5.0"),
                 hit(4, user_agent=CHROME, webdriver=True)])

    assert stored(shop) == [(None, None), ("bot", "network"), ("bot", "library"), ("suspect", "driven")]


def test_a_label_is_no_part_of_what_makes_two_records_the_same(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    record = hit(1, user_agent=CHROME, ip_prefix="203.0.113.200")
    shop.ingest([record])
    (shop.path / "shop.toml").write_text((shop.path / "shop.toml").read_text() + '\n[traffic]\nranges = "crawlers"\n')
    (shop.path / "crawlers").write_text("203.0.113.0/24\n")

    again = shop.ingest([record])

    assert (again.stored, again.duplicate, again.quarantined) == (0, 1, 0)


@pytest.mark.parametrize("toml", ["ranges = 3", 'ranges = "nowhere"'])
def test_a_setting_of_ranges_that_makes_no_sense_is_refused(tmp_path, toml):
    shop = Shop.open(tmp_path / "shop")
    (shop.path / "shop.toml").write_text((shop.path / "shop.toml").read_text() + f"\n[traffic]\n{toml}\n")

    with pytest.raises(BadInput, match="crawler"):
        shop.ingest([hit(1)])


def test_posted_events_are_labelled_in_the_fold_by_the_same_rules():
    texts = [json.dumps(hit(1, user_agent="curl/8.5.0")).encode(), json.dumps(hit(2, user_agent=CHROME)).encode(),
             json.dumps(hit(3, user_agent=CHROME, ip_prefix="203.0.113.200")).encode()]
    requests = Requests.of(texts, 1_772_445_600_000_000, None)

    judged = judge_events(requests, "http:local", KINDS, Keys(b"p" * 32, b"v" * 32),
                          ranges=Ranges.of(["203.0.113.0/24"]))

    assert judged.rows["traffic"].to_pylist() == ["bot", None, "bot"]
    assert judged.rows["bot_score"].to_pylist() == [0.95, None, 0.99]
