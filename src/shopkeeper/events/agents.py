"""What a record says of its sender by protocol: a crawler that names itself, a library, a driven browser, an agent.

A label (`traffic`), how sure it is (`bot_score`) and why (`bot_reason`), written at the entrance, never a deletion:

- `bot`: the user agent is on the list of crawlers, or the address lies in a range that a crawler's owner publishes.
- `agent`: a program that asks for one person, and may buy for her.
- `suspect`: a browser that a program drives, or a page asked for without any user agent where nearly every other has
  one. A source that often says nothing of agents has no more to say about whom they are missing from.

Most senders are none of these, and their cells stay null: what they do over time is judged later, from the log.

Source:
    The list is the package crawler-user-agents (github.com/monperrus/crawler-user-agents, MIT).
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.words import say

__all__ = ["NO_RANGES", "Label", "Ranges", "driven", "labels", "of_agent"]


class Label(NamedTuple):
    """A label, how sure it is (0 to 1), and why (a code)."""

    traffic: str
    score: float
    reason: str


CRAWLER, LIBRARY = Label("bot", 0.99, "crawler"), Label("bot", 0.95, "library")
RANGE, AGENT = Label("bot", 0.99, "network"), Label("agent", 0.9, "agent")
DRIVEN, SILENT = Label("suspect", 0.6, "driven"), Label("suspect", 0.5, "no_agent")
_LABELS = (CRAWLER, LIBRARY, RANGE, AGENT, DRIVEN, SILENT)

# Programs that ask on behalf of one person, by the names that their makers publish.
_AGENTS = re.compile(
    r"ChatGPT-User|Claude-User|Perplexity-?User|MistralAI-User|Amzn-User|AmazonBuyForMe|Google-Agent|"
    r"GoogleAgent-Mariner|Manus-User|AgentCore-Browser|NovaAct|Operator/", re.ASCII)
_DRIVEN = re.compile(r"HeadlessChrome|HeadlessEdg|PhantomJS|SlimerJS|Puppeteer|Playwright|Selenium|Cypress/")
_LIBRARY = re.compile(
    r"^(node-fetch|undici|Deno|Bun|got|axios|PostmanRuntime|Dart|Faraday|rest-client|GuzzleHttp|HTTPie|Scrapy|mechanize|"
    r"lua-resty-http|RestSharp|Jakarta Commons-HttpClient)\b", re.ASCII)
# The common browsers, to the letter; what is one of these need not be held against some 1,500 patterns. A crawler adds
# its name to such a text, and then it is none.
_BROWSER = re.compile(
    r"Mozilla/5\.0 \((?:Windows NT 10\.0; Win64; x64|Macintosh; Intel Mac OS X [\d_.]+|X11; Linux x86_64|"
    r"Android \d+; Mobile|Linux; Android \d+(?:\.\d+)*; [A-Za-z0-9_ +.-]+(?:Build/[A-Z0-9.]+)?|"
    r"iPhone; CPU iPhone OS [\d_]+ like Mac OS X|iPad; CPU OS [\d_]+ like Mac OS X)(?:; rv:[\d.]+)?\) "
    r"(?:AppleWebKit/[\d.]+ \(KHTML, like Gecko\) (?:Chrome/[\d.]+ )?(?:Version/[\d.]+ )?(?:Mobile/\w+ |Mobile )?"
    r"Safari/[\d.]+(?: Edg/[\d.]+)?|Gecko/[\d.]+ Firefox/[\d.]+)", re.ASCII)
_HITS = frozenset({"page_view", "view_item", "view_item_list", "search"})  # what browsers ask; a shop's own server is
_TRUE = frozenset({"true", "1", "yes"})                                    # not asked for its user agent
NEARLY, FEWEST = 0.9, 20  # share of the hits of a batch that have an agent, and how many hits tell
_FLAGS = ("webdriver", "is_webdriver", "navigator_webdriver")
_CHUNK = 50  # patterns of one regular expression
_NAMES = ("traffic", "bot_score", "bot_reason")
_TYPES = (pa.string(), pa.float64(), pa.string())
Codes = npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[Any, bool], ...]:
    """The list as (pattern, whether these are libraries), crawlers first; read when the first agent is looked at."""
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

    kinds: dict[bool, list[str]] = {False: [], True: []}
    for entry in CRAWLER_USER_AGENTS_DATA:
        kinds["http-library" in entry.get("tags", ())].append(entry["pattern"])
    return tuple((re.compile("|".join(some[at:at + _CHUNK])), library) for library, some in kinds.items()
                 for at in range(0, len(some), _CHUNK))


@lru_cache(maxsize=1 << 16)
def of_agent(agent: str) -> Label | None:
    """The label of a user agent; None for one that looks like a person's browser or app.

    >>> of_agent("curl/8.5.0"), of_agent("Mozilla/5.0 (Linux; Android 9; CUBOT_X18)")
    (Label(traffic='bot', score=0.95, reason='library'), None)
    """
    if _BROWSER.fullmatch(agent):
        return None
    if _AGENTS.search(agent):
        return AGENT
    if _DRIVEN.search(agent):
        return DRIVEN
    if _LIBRARY.search(agent):
        return LIBRARY
    found = next((library for pattern, library in _patterns() if pattern.search(agent)), None)
    return None if found is None else LIBRARY if found else CRAWLER


@dataclass(frozen=True)
class Ranges:
    """Networks whose addresses are crawlers', as their owners publish them; sorted and apart.

    Attributes:
        firsts, lasts: By version of the protocol (4, 6): first and last address of each range, as whole numbers.
    """

    firsts: Mapping[int, tuple[int, ...]]
    lasts: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Ranges:
        """Ranges from networks in CIDR form.

        Raises:
            ValueError: One is no network.

        >>> ranges = Ranges.of(["66.249.64.0/19", "2001:4860:4801::/48"])
        >>> "66.249.66.1" in ranges, "2001:4860:4801:1::7" in ranges, "66.249.96.1" in ranges, "nonsense" in ranges
        (True, True, False, False)
        """
        given = [ipaddress.ip_network(text, strict=False) for text in texts]
        merged: dict[int, list[Any]] = {
            4: sorted(ipaddress.collapse_addresses(one for one in given if isinstance(one, ipaddress.IPv4Network))),
            6: sorted(ipaddress.collapse_addresses(one for one in given if isinstance(one, ipaddress.IPv6Network)))}
        return cls({version: tuple(int(one[0]) for one in found) for version, found in merged.items()},
                   {version: tuple(int(one[-1]) for one in found) for version, found in merged.items()})

    @classmethod
    def read(cls, path: Path) -> Ranges:
        """Ranges of a file: a network a line, `#` begins a remark; or the JSON that search engines publish.

        Raises:
            BadInput: The file cannot be read, or a line of it is no network.
        """
        try:
            text = path.read_text("utf-8")
            found = re.findall(r'"ipv[46]Prefix"\s*:\s*"([^"]+)"', text) if text.lstrip().startswith("{") else [
                line.split("#")[0].strip() for line in text.splitlines()]
            return cls.of(filter(None, found))
        except (OSError, ValueError) as wrong:
            raise BadInput(say("the crawlers' networks in {path} cannot be read: {wrong}", path=str(path),
                               wrong=str(wrong)),
                           do=[say("one network a line, such as 66.249.64.0/19")],
                           why=say("what comes from there is labelled as a crawler's.")) from wrong

    def __bool__(self) -> bool:
        return any(self.firsts.values())

    def __contains__(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("/")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        at = bisect_right(self.firsts.get(found.version, ()), int(found)) - 1
        return at >= 0 and int(found) <= self.lasts[found.version][at]


NO_RANGES = Ranges({}, {})


def driven(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows of a source carry the flag by which a browser says that a program drives it (`navigator.webdriver`).

    Args:
        table: (n,) rows as they came, under their own names; the last step of a dotted name counts.

    >>> driven(pa.table({"context.webdriver": [True, False, None]})).tolist()
    [True, False, False]
    """
    found = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        if name.rpartition(".")[2].lower() in _FLAGS:
            found |= np.array([str(cell).lower() in _TRUE for cell in table.column(name).to_pylist()], bool)
    return found


def labels(columns: Mapping[str, Any], flagged: npt.NDArray[np.bool_], ranges: Ranges = NO_RANGES) -> dict[str, Any]:
    """The three label columns of a batch; none of them where nobody in it is labelled.

    Args:
        columns: Typed cells by column; `user_agent`, `event` and `ip_prefix` (the whole address as yet) are looked at.
        flagged: (n,) rows that `driven` found.
        ranges: Networks of crawlers.

    Returns:
        `traffic`, `bot_score`, `bot_reason`, (n,) each; or nothing.
    """
    code = np.full(len(flagged), -1)  # rows of _LABELS; what is found first stands
    if ranges and "ip_prefix" in columns:
        _put(code, _where(columns["ip_prefix"], ranges.__contains__), RANGE)
    if "user_agent" in columns:
        coded = columns["user_agent"].dictionary_encode()
        found = [of_agent(text) for text in coded.dictionary.to_pylist()]
        which = np.array([-1 if label is None else _LABELS.index(label) for label in found] + [-1])
        code = np.where(code < 0, which[_codes(coded)], code)
        if "event" in columns:
            empty = np.array([not text.strip() for text in coded.dictionary.to_pylist()] + [True])[_codes(coded)]
            _put(code, _silent(empty, _where(columns["event"], _HITS.__contains__)), SILENT)
    _put(code, flagged, DRIVEN)
    if (code < 0).all():
        return {}
    rows = pa.array(code, mask=code < 0)
    return {name: pa.array([label[at] for label in _LABELS], kind).take(rows)
            for at, (name, kind) in enumerate(zip(_NAMES, _TYPES, strict=True))}


def _silent(empty: npt.NDArray[np.bool_], hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n,) hits without an agent, in a batch where nearly all hits have one; nothing where it is too small to tell."""
    of, silent = np.count_nonzero(hits), np.count_nonzero(hits & empty)
    return hits & empty if of >= FEWEST and of - silent >= NEARLY * of else np.zeros(len(hits), bool)


def _put(code: Codes, where: npt.NDArray[np.bool_], label: Label) -> None:
    code[where & (code < 0)] = _LABELS.index(label)


def _codes(coded: Any) -> Codes:
    """(n,) rows of the dictionary; -1, which takes the last of a list, for null."""
    found: Codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    return found


def _where(cells: Any, good: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    """(n,) where a text is one of which this is true; asked once for each different text."""
    coded = cells.dictionary_encode()
    found: npt.NDArray[np.bool_] = np.array([*map(good, coded.dictionary.to_pylist()), False], bool)[_codes(coded)]
    return found
