"""A log of any length, made a day at a time and never held whole; with machines, late records, repeats if asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.simulate.arrivals import Arrivals, Planted
from shopkeeper.simulate.bots import BOTS, TRAFFIC, Bots, with_heavy_buyers
from shopkeeper.simulate.clients import of_people
from shopkeeper.simulate.config import SimulationConfig
from shopkeeper.simulate.truth import Counts, Truth, truth_of
from shopkeeper.simulate.world import World
from shopkeeper.words import say

_PILOT = 2_000       # customers of the shop that is run first to learn how many lines a customer makes
_DAYS = 90           # length of a log whose size is given in events
_MOST = {"duplicates": 0.3, "disorder": 0.5, "bots": 0.5}


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """A shop, and how its log is spoiled on its way into the file.

    Attributes:
        shop: What the shop is like.
        duplicates: Share of the events that come a second time, exactly the same, with all their lines.
        disorder: Share of the events that arrive late, most by hours, some by days. The log is in order of arrival,
            and `received_at` says when that was.
        bots: Share of the lines that machines make, four kinds in equal parts. With it there are `user_agent` and
            `ip_prefix`, and a few customers who buy so much that they could be taken for machines.

    Raises:
        BadInput: A share is out of its range.

    >>> StreamConfig(shop=SimulationConfig(customers=20, items=10, days=3), duplicates=.02).disorder
    0.0
    """

    shop: SimulationConfig = field(default_factory=SimulationConfig)
    duplicates: float = 0.0
    disorder: float = 0.0
    bots: float = 0.0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise BadInput(say("{name} is {share}; it must be between 0 and {most}.", name=name,
                                   share=getattr(self, name), most=most))


@dataclass(frozen=True)
class Traffic:
    """Who is no person, and who only looks like none.

    Attributes:
        sessions: A row for each session of a machine: kind (`list`, `scraper`, `burst`, `slow`), anonymous_id,
            session_id, lines.
        heavy: Customers who buy as much as a machine could, and are people.
    """

    sessions: Any
    heavy: tuple[str, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Kind -> how many sessions, visitors and lines."""
        out = {}
        for kind in BOTS:
            mine = self.sessions.filter(pc.equal(self.sessions["kind"], kind))
            out[kind] = {"sessions": mine.num_rows, "visitors": pc.count_distinct(mine["anonymous_id"]).as_py(),
                         "lines": pc.sum(mine["lines"]).as_py() or 0}
        return out


class Stream:
    """A log in the making. Iterate over it once; what was planted is complete after the last table.

    Attributes:
        config: What was asked for.
        planted: Counts of what has been made so far.
    """

    def __init__(self, config: StreamConfig) -> None:
        self.config = config
        seed = config.shop.seed
        self._world = World(config.shop)
        self._arrivals = Arrivals(config.disorder, config.duplicates, seed)
        self.planted: Planted = self._arrivals.planted
        self._counts = Counts()
        self._bots: Bots | None = None
        self._visits: list[Any] = []
        self._heavy = np.zeros(0, np.int64)
        if config.bots:
            rng = np.random.default_rng([seed, 22])
            people, self._heavy = with_heavy_buyers(self._world.population, rng)
            self._world.equip(people, of_people(people.device, people.country, rng))
            self._bots = Bots(config.bots, seed, self._world.ids[1])

    def __iter__(self) -> Iterator[Any]:
        """The log, table by table, a day each and what comes after the last; the same for the same configuration."""
        shop = self.config.shop
        for day in range(shop.days):
            events = self._day(day)
            self._counts.add(events)
            yield self._arrivals.day(day, events, shop.midnight(day + 1))
        rest = self._arrivals.rest()
        if rest is not None and rest.num_rows:
            yield rest

    def _day(self, day: int) -> Any:
        """The events of a day, people's and machines', by time."""
        world = self._world
        people = world.step(day)
        if self._bots is None:
            return people
        on_sale = np.flatnonzero(world.catalogue.arrives <= day)
        bots, visits = self._bots.come(day, people.num_rows, on_sale, world.numbers, self.config.shop.midnight(day))
        self._visits.append(visits)
        both = pa.concat_tables([people, bots]).combine_chunks()
        return both.take(pa.array(np.argsort(both["ts"].cast(pa.int64()).to_numpy(), kind="stable")))

    @property
    def items(self) -> Any:
        """The table of items."""
        return self._world.items

    @property
    def customers(self) -> Any:
        """The table of customers."""
        return self._world.customers

    @property
    def truth(self) -> Truth:
        """What is true of the shop; `records` and `events` count the valid ones made so far, the machines' too."""
        world = self._world
        return truth_of(self.config.shop, world.population, world.catalogue, world.ids, self._counts)

    @property
    def traffic(self) -> Traffic | None:
        """Who is a machine; None where there are none."""
        if self._bots is None:
            return None
        heavy = self._world.ids[0].take(pa.array(self._heavy)).to_pylist()
        return Traffic(pa.concat_tables([TRAFFIC.empty_table(), *self._visits]).combine_chunks(), tuple(heavy))


def stream(config: StreamConfig | None = None) -> Stream:
    """A log as it arrives, a table a day, in bounded memory.

    Args:
        config: What it is like; the usual shop, unspoiled, if none is given.

    Returns:
        What to iterate over, and what was planted in it.

    >>> log = stream(StreamConfig(shop=SimulationConfig(customers=20, items=10, days=5), duplicates=.1, disorder=.1))
    >>> sum(table.num_rows for table in log) == log.planted.valid + log.planted.duplicate
    True
    """
    return Stream(config or StreamConfig())


def sized(config: StreamConfig, events: int, chosen: str = "customers") -> StreamConfig:
    """The same shop, with so many customers (or days) that its log has about that many lines, repeats and all.

    A small shop of the same kind is run first, to learn how many lines a customer makes.

    Args:
        config: What the shop is like.
        events: Lines that are wanted.
        chosen: `customers` or `days`: which of the two is fitted.

    Raises:
        BadInput: Fewer than 1,000 lines are wanted, or more than a shop can make.
    """
    if not 1_000 <= events <= 10_000_000_000:
        raise BadInput(say("events is {events}; it must be between {low:,} and {high:,}.", events=events, low=1_000,
                           high=10_000_000_000))
    wanted = events / (1 + config.duplicates)
    if chosen == "customers":
        people, things = _rates(config)
        n = max(1, round((wanted - things) / people))
        return replace(config, shop=replace(config.shop, customers=n))
    for _ in range(3):
        people, things = _rates(config)
        made = people * config.shop.customers + things
        days = max(1, round(config.shop.days * wanted / made))
        config = replace(config, shop=replace(config.shop, days=days))
    return config


def asked_for(events: int | None, spoiled: Mapping[str, float], shop: Mapping[str, Any]) -> StreamConfig:
    """The configuration that fits what a person gave, be it the shop's size or the log's.

    Args:
        events: About how many lines there should be; None where the shop's size decides.
        spoiled: `duplicates`, `disorder`, `bots`, as far as given.
        shop: Fields of `SimulationConfig`, as far as given.

    Raises:
        BadInput: A number is out of its range, or nothing is left that could be fitted to `events`.

    >>> asked_for(None, {"bots": .1}, {"customers": 50}).shop.days
    120
    """
    if events is None:
        return StreamConfig(shop=SimulationConfig(**shop), **spoiled)
    if {"customers", "days"} <= set(shop):
        raise BadInput(say("events, customers and days are given, and any two of them decide the third."),
                       do=[say("leave one of the three out.")])
    usual = {"days": _DAYS, "items": int(np.clip(events // 2_000, 300, 20_000))}
    config = StreamConfig(shop=SimulationConfig(**{**usual, **shop}), **spoiled)
    return sized(config, events, "days" if "customers" in shop else "customers")


def _rates(config: StreamConfig) -> tuple[float, float]:
    """Lines that one customer makes over the whole span, and lines that are there whoever comes (changes of prices)."""
    n = _PILOT
    pilot = Stream(replace(config, shop=replace(config.shop, customers=n), duplicates=0.0, disorder=0.0, bots=0.0))
    if config.bots:
        people, _ = with_heavy_buyers(pilot._world.population, np.random.default_rng([config.shop.seed, 22]))
        pilot._world.equip(people, {})
    total, nobody = 0, 0
    for table in pilot:
        changes = pc.sum(pc.equal(table["event"], "price_change")).as_py() or 0
        total, nobody = total + table.num_rows - changes, nobody + changes
    machines = 1 / (1 - config.bots)
    return total / n * machines, nobody * machines
