"""Machines among the visitors, of four kinds, and buyers so eager that they could be taken for machines.

- `list`: crawlers that say who they are; the public lists know their user agents.
- `scraper`: an ordinary user agent that walks the whole catalogue in order, without pauses.
- `burst`: a crowd of visitors who make one hit each, all of one device and country, from nowhere, within an hour.
- `slow`: looks like a person and pauses like one, day after day at the same hour, but far too evenly, and never a cart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.events.schema import EVENTS
from shopkeeper.simulate.clients import BROWSERS, CRAWLERS, browser, networks
from shopkeeper.simulate.population import COUNTRIES, DEVICES, Floats, Ints, Population
from shopkeeper.simulate.rows import CLIENT, COLUMNS, Numbers, numbered

BOTS = ("list", "scraper", "burst", "slow")
TRAFFIC = pa.schema([("kind", pa.string()), ("anonymous_id", pa.string()), ("session_id", pa.string()),
                     ("lines", pa.int64())])
HEAVY = 0.002        # share of the customers who buy as much as a whole office
_WALK = 600          # items that a scraper sees in one visit
_STAY = 7            # days that a slow one keeps its cookie
_CROWD = (60, 400)   # visitors of a burst
_FROM = (*COUNTRIES, "US", "SG")
_AGENTS = (*CRAWLERS, *(text for group in BROWSERS for text in group))
_COLUMNS = (*COLUMNS, *CLIENT)
_SCHEMA = pa.schema([EVENTS.field(name) for name in _COLUMNS])


def with_heavy_buyers(people: Population, rng: np.random.Generator) -> tuple[Population, Ints]:
    """The population with a few who come nearly every day and buy by the dozen; and the rows of those."""
    n = len(people.interval)
    rows = np.sort(rng.permutation(n)[:max(1, round(HEAVY * n))])
    slots, interval, browsing = people.slots.copy(), people.interval.copy(), people.browsing.copy()
    joins, leaves = people.joins.copy(), people.leaves.copy()
    slots[rows], interval[rows], browsing[rows] = rng.uniform(40.0, 80.0, len(rows)), 3.0, 0.6
    joins[rows], leaves[rows] = 0.0, np.inf
    return replace(people, slots=slots, interval=interval, browsing=browsing, joins=joins, leaves=leaves), rows


@dataclass(frozen=True)
class Round:
    """Visits of one kind on a day; arrays of (v,).

    Attributes:
        visitor: Numbers of the visitors, as in `Numbers.machines`.
        size: Hits of each visit.
        start: Seconds after midnight.
        agent, country, device, network: Rows of `_AGENTS`, `_FROM`, DEVICES and the networks.
        item: (sum of size,) rows of the items; -1 for a page.
        wait: (sum of size,) seconds before each hit; the first of a visit does not count.
    """

    visitor: Ints
    size: Ints
    start: Floats
    agent: Ints
    country: Ints
    device: Ints
    network: Ints
    item: Ints
    wait: Floats

    @classmethod
    def stack(cls, parts: Sequence[Round]) -> Round:
        """Several as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@dataclass
class Bots:
    """The machines of a shop as they come, day after day.

    Args:
        share: Share of the log's lines that is theirs, the four kinds in equal parts.
        seed: The same seed sends the same machines.
        items: Arrow array, the items' ids in order of their rows.
    """

    share: float
    seed: int
    items: Any
    owed: Floats = field(default_factory=lambda: np.zeros(len(BOTS)))  # lines that each kind has still to make
    walked: int = 0                                                   # visits that scrapers have made
    names: dict[tuple[int, int], int] = field(default_factory=dict)   # a scraper's or a slow one's -> its number

    def come(self, day: int, lines: int, on_sale: Ints, numbers: Numbers, midnight: int) -> tuple[Any, Any]:
        """What machines do on a day.

        Args:
            day: Of the log.
            lines: What people made of the day.
            on_sale: Rows of the items that are on sale.
            numbers: Running numbers; moved on.
            midnight: When the day began, microseconds since 1970, UTC.

        Returns:
            Their events, in order of time, and a line of truth for each visit (`TRAFFIC`).
        """
        rng = np.random.default_rng([self.seed, 20, day])
        self.owed += lines * self.share / (1 - self.share) / len(BOTS)
        make = (self._crawl, self._walk, self._burst, self._slow)
        rounds = [made(day, int(owed), on_sale, numbers, rng) for made, owed in zip(make, self.owed, strict=True)]
        self.owed -= [one.size.sum() for one in rounds]
        kind = np.repeat(np.arange(len(BOTS)), [len(one.size) for one in rounds])
        return _told(Round.stack(rounds), kind, self.items, numbers, midnight)

    def _crawl(self, day: int, owed: int, on_sale: Ints, numbers: Numbers, rng: np.random.Generator) -> Round:
        """Crawlers keep no cookie: each visit is a visitor of its own."""
        size = _within(np.minimum(1 + rng.geometric(1 / 25, 1 + owed // 10), 200), owed)
        n, total = len(size), int(size.sum())
        which = rng.integers(0, len(CRAWLERS), n)
        return Round(numbers.take("machines", n), size, rng.random(n) * 86_000, which,
                     np.full(n, _FROM.index("US")), np.full(n, DEVICES.index("desktop")), which,
                     on_sale[rng.integers(0, len(on_sale), total)], 0.5 + rng.exponential(3.0, total))

    def _walk(self, day: int, owed: int, on_sale: Ints, numbers: Numbers, rng: np.random.Generator) -> Round:
        """One scraper after the other walks the catalogue in order, some hundred items a visit, until it has it all."""
        step = min(_WALK, len(on_sale))
        n, legs = owed // step, -(-len(self.items) // _WALK)
        visit = self.walked + np.arange(n)
        self.walked += n
        who = visit // legs
        cursor = ((visit % legs) * _WALK)[:, None] + np.arange(step)
        item = on_sale[cursor % len(on_sale)].ravel()
        agent = len(CRAWLERS) + len(BROWSERS[0]) + who % len(BROWSERS[1])
        return Round(self._known(1, who, numbers), np.full(n, step), rng.random(n) * 86_000, agent,
                     np.full(n, _FROM.index("SG")), np.full(n, DEVICES.index("desktop")), 20 + who % 40, item,
                     rng.uniform(0.2, 0.9, n * step))

    def _burst(self, day: int, owed: int, on_sale: Ints, numbers: Numbers, rng: np.random.Generator) -> Round:
        """Crowds; each has one device, one country and one hour."""
        size = _within(rng.integers(*_CROWD, 1 + owed // _CROWD[0]), owed)
        n, crowd = int(size.sum()), np.repeat(np.arange(len(size)), size)
        device, country = rng.integers(0, len(DEVICES), len(size)), rng.integers(0, len(_FROM), len(size))
        hour, first = rng.random(len(size)) * 22 * 3_600, np.array([_AGENTS.index(browser(one, day)) for one in device])
        agent = first[crowd] if len(size) else crowd
        return Round(numbers.take("machines", n), np.ones(n, np.int64), hour[crowd] + rng.random(n) * 3_599, agent,
                     country[crowd], device[crowd], 60 + rng.integers(0, 5, n) + 5 * (crowd % 8), np.full(n, -1),
                     np.zeros(n))

    def _slow(self, day: int, owed: int, on_sale: Ints, numbers: Numbers, rng: np.random.Generator) -> Round:
        """Each has its hour and its pause, and keeps both for a week."""
        size = _within(rng.integers(15, 40, 1 + owed // 15), owed)
        n, total, week = len(size), int(size.sum()), day // _STAY
        own = np.random.default_rng([self.seed, 21, week]).random((max(n, 1), 5))[:n]   # habits, the same all week
        device = (own[:, 0] * len(DEVICES)).astype(np.int64)
        agent = np.array([_AGENTS.index(browser(one, pick)) for pick, one in enumerate(device)], np.int64)
        pause = np.repeat(18 + 27 * own[:, 1], size)
        seen = on_sale[rng.integers(0, len(on_sale), total)]
        seen[np.cumsum(size) - size] = -1
        return Round(self._known(2 + week, np.arange(n), numbers), size, own[:, 2] * 70_000 + 20 * rng.random(n), agent,
                     (own[:, 3] * len(COUNTRIES)).astype(np.int64), device, 100 + (own[:, 4] * 400).astype(np.int64),
                     seen, pause * (1 + 0.02 * rng.standard_normal(total)))

    def _known(self, group: int, who: Ints, numbers: Numbers) -> Ints:
        """The numbers of visitors who come again; a new one takes the next."""
        out = np.empty(len(who), np.int64)
        for row, one in enumerate(who.tolist()):
            if (group, one) not in self.names:
                self.names[group, one] = int(numbers.take("machines", 1)[0])
            out[row] = self.names[group, one]
        return out


def _within(sizes: Ints, owed: int) -> Ints:
    """As many of the sizes, from the first on, as fit into what is owed."""
    return sizes[np.cumsum(sizes) <= owed].astype(np.int64)


def _told(visits: Round, kind: Ints, items: Any, numbers: Numbers, midnight: int) -> tuple[Any, Any]:
    """The events of the visits, by time, and the truth about each visit."""
    n, total = len(visits.size), int(visits.size.sum())
    visit, session = np.repeat(np.arange(n), visits.size), numbers.take("sessions", n)
    first = np.cumsum(visits.size) - visits.size
    passed = np.cumsum(visits.wait)
    since = passed - np.repeat(passed[first], visits.size) if n else passed
    length = since[first + visits.size - 1] if n else since
    second = np.maximum(np.minimum(visits.start, 86_399.0 - length), 0.0)[visit] + since
    order = np.argsort(second, kind="stable")
    visit, item = visit[order], visits.item[order]
    texts = {"user_agent": (_AGENTS, visits.agent), "country": (_FROM, visits.country),
             "device": (DEVICES, visits.device), "ip_prefix": (networks(512, 180).to_pylist(), visits.network)}
    visitor, at = numbered("w-", visits.visitor, 7), pa.array(visit)
    columns: dict[str, Any] = {name: pa.nulls(total, _SCHEMA.field(name).type) for name in _COLUMNS}
    columns |= {name: pa.array(words).take(pa.array(rows[visit])) for name, (words, rows) in texts.items()}
    columns |= {
        "event_id": numbered("e-", numbers.take("events", total), 9), "line": np.zeros(total, np.int32),
        "event": pa.array(["page_view", "view_item"]).take(pa.array((item >= 0).astype(np.int64))),
        "ts": pa.array(midnight + (second[order] * 1e6).astype(np.int64)).cast(pa.timestamp("us")),
        "anonymous_id": visitor.take(at), "session_id": numbered("s-", session, 8).take(at),
        "item_id": items.take(pa.array(item, mask=item < 0)),
        "url": pa.array(["/"]).take(pa.array(np.zeros(total, np.int64), mask=item >= 0))}
    truth = {"kind": pa.array(BOTS).take(pa.array(kind)), "anonymous_id": visitor,
             "session_id": numbered("s-", session, 8), "lines": visits.size}
    return pa.table(columns, schema=_SCHEMA), pa.table(truth, schema=TRAFFIC)
