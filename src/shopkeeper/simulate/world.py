"""The simulated shop as it runs: day after day, with or without a policy; and a whole log at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.errors import BadInput
from shopkeeper.simulate.catalogue import BRANDS, SEASONS, Catalogue, Pricing
from shopkeeper.simulate.config import SimulationConfig
from shopkeeper.simulate.offers import Asked, Given, Policy, check, clicked, pulled
from shopkeeper.simulate.population import COUNTRIES, DEVICES, Floats, Ints, Population, pace
from shopkeeper.simulate.rows import (
    ALONE,
    BROWSE,
    BUY,
    KIND,
    SOURCES,
    VISITOR,
    Block,
    Names,
    Numbers,
    Visits,
    cents,
    in_order,
    numbered,
    stack,
    to_table,
)
from shopkeeper.simulate.sessions import Lines, Scene, happenings, look, queries
from shopkeeper.simulate.truth import Counts, Simulated, truth_of
from shopkeeper.words import say

_COUPON = (0.04, 0.10)       # share of visits with a public coupon, and its share off
_REFUNDED, _REVIEWED = 0.04, 0.08
_WEEKDAY = (0.95, 0.92, 0.94, 0.97, 1.05, 1.12, 1.05)     # how busy the visitors are, Monday first
_TEXTS = (
    "Broke in the first week.", "Not what was shown.", "I sent it back.",
    "Weaker than I thought.", "Too dear for what it is.", "It came late.",
    "It is all right.", "Does what it says.", "Neither good nor bad.",
    "Good, I would buy it again.", "Nice work for the price.", "Came quickly, works well.",
    "Excellent.", "The best that I have had.", "My whole family likes it.",
)


@dataclass
class State:
    """What changes from day to day; arrays of (n_customers,) unless said otherwise.

    Attributes:
        due: When the renewal clock of each customer strikes next, as a day.
        visit: When the purchase comes: the same, or a day or two later on the preferred weekday.
        memory: (n_customers, C) the item last bought of each category, -1 for none.
        pricing: The prices as they move.
        numbers: Running numbers of the ids.
        later: Day -> reviews and refunds that wait for it: columns of rows, with `person`.
        day: The day that comes next.
    """

    due: Floats
    visit: Floats
    memory: Ints
    pricing: Pricing
    numbers: Numbers = field(default_factory=Numbers)
    later: dict[int, list[Block]] = field(default_factory=dict)
    day: int = 0


class World:
    """A shop with known truth that answers to a policy, a day at a time.

    Each day has chance of its own: a policy that gives nothing leaves the log as it is without one.

    Args:
        config: What the shop is like.

    >>> def a_tenth_off(asked: Asked) -> Given:
    ...     return Given(discount=np.full(len(asked.customers), .1))
    >>> world = World(SimulationConfig(customers=20, items=10, days=3))
    >>> world.step(0, a_tenth_off).schema.names[:4]
    ['event_id', 'line', 'event', 'ts']
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.catalogue = Catalogue.draw(config, np.random.default_rng([config.seed, 0]))
        n_categories = len(self.catalogue.names)
        self.population = Population.draw(config, n_categories, np.random.default_rng([config.seed, 1]))
        self._ids = (numbered("c-", np.arange(config.customers), 6), numbered("i-", np.arange(config.items), 6))
        self._names = _names(config, self.catalogue, self.population, self._ids[1])
        self.reset()

    def reset(self) -> None:
        """Back to the morning of the first day."""
        rng, n = np.random.default_rng([self.config.seed, 2]), self.config.customers
        first = self.population.gaps(np.arange(n), self._day_of_year(0), rng) * rng.random(n)
        due = np.where(self.population.joins > 0, self.population.joins, first)
        memory = np.full((n, len(self.catalogue.names)), -1, np.int64)
        self._state = State(due, due.copy(), memory, Pricing(self.catalogue))

    def equip(self, population: Population, client: Mapping[str, Any]) -> None:
        """Another population of the same size in the place of the one drawn, and what each of them asks with.

        Args:
            population: Who comes from now on; the shop begins again.
            client: `user_agent` and `ip_prefix`, Arrow arrays with one text for each customer.
        """
        self.population = population
        self._names = replace(self._names, client=client)
        self.reset()

    @property
    def numbers(self) -> Numbers:
        """The running numbers from which ids are made."""
        return self._state.numbers

    @property
    def ids(self) -> tuple[Any, Any]:
        """The customers' and the items' ids, Arrow arrays in order of their rows."""
        return self._ids

    @property
    def items(self) -> Any:
        """The table of items; rows are what a policy recommends."""
        things, config = self.catalogue, self.config
        since = [None if day == 0 else config.first_day + timedelta(days=int(day)) for day in things.arrives]
        return pa.table({
            "item_id": self._ids[1], "title": things.titles(), "category": [things.names[c] for c in things.category],
            "brand": [BRANDS[b] for b in things.brand], "price": cents(things.base), "cost": cents(things.cost),
            "season": [SEASONS[s] for s in things.season], "since": pa.array(since, pa.date32())})

    @property
    def customers(self) -> Any:
        """The table of customers; rows are what a policy is asked about."""
        joined = [None if day <= 0 else self.config.first_day + timedelta(days=int(day))
                  for day in self.population.joins]
        return pa.table({"customer_id": self._ids[0], "country": self._names.country, "device": self._names.device,
                         "joined": pa.array(joined, pa.date32())})

    def step(self, day: int, policy: Policy | None = None) -> Any:
        """Run a day of the shop.

        Args:
            day: The day after the last one; 0 after `reset`.
            policy: Asked before the day begins; may give each customer a discount and recommendations.

        Returns:
            The day's events by time, a `pyarrow.Table` of the event table's columns.

        Raises:
            BadInput: The day is not the next one or lies outside the span, or the policy's answer does not fit.
        """
        if day != self._state.day or day >= self.config.days:
            raise BadInput(say("day {day} cannot be run now; the next day is {next} of {days}.",
                               day=day, next=self._state.day, days=self.config.days), do=[say("world.reset()")])
        scene = self._scene(day)
        asked = Asked(day, np.flatnonzero(self.population.joins <= day))
        given = None if policy is None else check(policy(asked), asked, self.catalogue.n)
        visits = self._come(scene, asked, given)
        slots = look(scene, visits)
        if given is not None and given.items is not None:
            items = np.full((self.config.customers, given.items.shape[1]), -1)
            items[asked.customers] = given.items
            slots = slots.plus(clicked(scene, visits, items, self._chance(day, 6)))
        blocks, lines = happenings(scene, visits, slots)
        self._remember(scene, visits, lines)
        blocks.append(self._signed_up(day, visits))
        names = self._names if given is None else replace(self._names, treatments=pa.array(given.arms, pa.string()))
        table = self._table(scene, visits, blocks, names, self._alone(scene, asked, given))
        self._state.day += 1
        return table

    def _table(self, scene: Scene, visits: Visits, blocks: list[Block], names: Names,
               alone: list[tuple[Visits, Block]]) -> Any:
        """The day's blocks, those outside any session included, as the event table."""
        groups = [visits]
        for group, block in alone:
            blocks.append({**block, "visit": sum(part.n for part in groups) + np.arange(group.n)})
            groups.append(group)
        everybody = Visits.stack(groups)
        rows = in_order(stack(blocks), everybody, self._chance(scene.day, 4))
        return to_table(rows, everybody, names, self.config.midnight(scene.day), scene.numbers)

    def _chance(self, day: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, 3 + purpose, day])

    def _day_of_year(self, day: int) -> int:
        return self._date(day).timetuple().tm_yday

    def _date(self, day: int) -> date:
        return date.fromordinal(self.config.first_day.toordinal() + day)

    def _scene(self, day: int) -> Scene:
        state = self._state
        shelf = state.pricing.move(day, self._day_of_year(day), self._chance(day, 0))
        return Scene(day, self.population, self.catalogue, shelf, state.memory, state.numbers, self._chance(day, 1))

    def _come(self, scene: Scene, asked: Asked, given: Given | None) -> Visits:
        """Who comes today: buyers, customers who only look, visitors."""
        day, rng, people, state = scene.day, self._chance(scene.day, 2), self.population, self._state
        there = people.there(day)
        buying = (state.visit < day + 1) & there & (state.visit < people.leaves)
        looking = there & (rng.random(len(there)) < people.browsing)
        discount = np.zeros(len(there))
        if given is not None:
            discount[asked.customers] = given.discount
            early = pulled(people, asked, given, state.visit - day, self._chance(day, 3))
            state.due[early[~buying[early]]] = day
            buying[early] = True
        buyers = np.flatnonzero(buying)
        self._plan(buyers, day, rng)
        lookers = np.flatnonzero(looking & ~buying)
        parts = [
            Visits.of(buyers, BUY, _hours(people.hour[buyers], 1.2, rng), discount=discount[buyers]),
            Visits.of(lookers, BROWSE, _hours(people.hour[lookers], 2.5, rng), discount=discount[lookers],
                      known=rng.random(len(lookers)) < 0.8),
            self._visitors(day, rng)]
        return _with_coupons(_from_somewhere(Visits.stack(parts), rng), rng)

    def _plan(self, who: Ints, day: int, rng: np.random.Generator) -> None:
        """Set when today's buyers buy next; some wait a day or two for their preferred weekday."""
        state, people = self._state, self.population
        state.due[who] += people.gaps(who, self._day_of_year(day), rng)
        weekday = (self.config.first_day.weekday() + np.floor(state.due[who]).astype(np.int64)) % 7
        wait = (people.weekday[who] - weekday) % 7
        waits = (wait <= 2) & (people.interval[who] >= 7) & (rng.random(len(who)) < 0.5)
        state.visit[who] = np.maximum(state.due[who] + np.where(waits, wait, 0), day + 1)

    def _visitors(self, day: int, rng: np.random.Generator) -> Visits:
        """Visitors who never log in; a quarter were there within the last week or so."""
        config, numbers = self.config, self._state.numbers
        busy = pace(self._day_of_year(day)) * _WEEKDAY[self._date(day).weekday()]
        n = int(rng.poisson(config.visitors * config.customers * busy))
        recent = min(7 * n, numbers.visitors)
        back = min(int(rng.binomial(n, 0.25)), recent)
        again = numbers.visitors - 1 - rng.choice(recent, back, replace=False) if back else np.zeros(0, np.int64)
        number = np.concatenate([again, numbers.take("visitors", n - back)])
        person = (number * 2_654_435_761 >> 7) % config.customers      # the same for the same visitor
        hour = np.where(rng.random(n) < 0.4, 12.5, 19.5)
        return Visits.of(person, VISITOR, _hours(hour, 3.0, rng), browser=config.customers + number,
                         known=np.zeros(n, bool))

    def _signed_up(self, day: int, visits: Visits) -> Block:
        new = (visits.kind == BUY) & (self.population.joins[visits.person] == day) & (day > 0)
        return {"visit": np.flatnonzero(new), "key": -10**6 + 1, "kind": KIND["sign_up"]}

    def _remember(self, scene: Scene, visits: Visits, lines: Lines) -> None:
        """What customers bought, and which of it they will review or send back."""
        own = visits.kind[lines.visit] == BUY
        person, item, rng = visits.person[lines.visit][own], lines.item[own], scene.rng
        self._state.memory[person, self.catalogue.category[item]] = item
        about = {"person": person, "item": item, "order": lines.order[own], "units": lines.units[own],
                 "price": lines.price[own]}
        stars = np.clip(np.rint(self.catalogue.quality[item] + rng.standard_normal(len(item))), 1, 5).astype(np.int64)
        review = {"person": person, "item": item, "rating": stars,
                  "text": (stars - 1) * 3 + rng.integers(0, 3, len(item)), "kind": KIND["review"]}
        refund = {**about, "value": about["units"] * about["price"], "kind": KIND["refund"]}
        self._wait(review, scene.day + rng.integers(5, 21, len(item)), rng.random(len(item)) < _REVIEWED)
        self._wait(refund, scene.day + rng.integers(2, 15, len(item)), rng.random(len(item)) < _REFUNDED)

    def _wait(self, block: Block, days: Ints, chosen: Any) -> None:
        chosen = chosen & (days + 1 <= self.population.leaves[block["person"]])
        for day in np.unique(days[chosen]):
            rows = chosen & (days == day)
            part = {name: values[rows] if isinstance(values, np.ndarray) else values for name, values in block.items()}
            self._state.later.setdefault(int(day), []).append(part)

    def _alone(self, scene: Scene, asked: Asked, given: Given | None) -> list[tuple[Visits, Block]]:
        """What happens outside any session: reviews and refunds, offers, prices that change."""
        rng, out = self._chance(scene.day, 5), []
        for block in self._state.later.pop(scene.day, []):
            who = block["person"]
            out.append((Visits.of(who, ALONE, _hours(self.population.hour[who], 2.0, rng)),
                        {name: values for name, values in block.items() if name != "person"}))
        changed = np.flatnonzero(scene.shelf.changed)
        nobody = Visits.of(changed * 0, ALONE, rng.random(len(changed)) * 60, browser=np.full(len(changed), -1),
                           known=np.zeros(len(changed), bool))
        out.append((nobody, {"kind": KIND["price_change"], "item": changed, "price": scene.shelf.price[changed],
                             "list_price": scene.shelf.list_price[changed]}))
        if given is not None and given.arm is not None and given.propensity is not None:
            rows = np.flatnonzero(given.arm >= 0)
            who = asked.customers[rows]
            out.append((Visits.of(who, ALONE, np.full(len(who), 1.0), browser=np.full(len(who), -1)),
                        {"kind": KIND["offer"], "treatment": given.arm[rows], "propensity": given.propensity[rows]}))
        return out


def simulate(config: SimulationConfig | None = None) -> Simulated:
    """A whole log of a simulated shop, its tables, and the truth behind them.

    Args:
        config: What the shop is like; the usual one if none is given.

    Returns:
        Events by time, items, customers, truth; the same for the same configuration.

    >>> shop = simulate(SimulationConfig(customers=20, items=10, days=5, seed=1))
    >>> shop.events.num_rows == sum(shop.truth.records.values())
    True
    """
    config = config or SimulationConfig()
    world = World(config)
    events = pa.concat_tables([world.step(day) for day in range(config.days)]).combine_chunks()
    truth = truth_of(config, world.population, world.catalogue, world.ids, Counts.of(events))
    return Simulated(config, events, world.items, world.customers, truth)


def _names(config: SimulationConfig, catalogue: Catalogue, people: Population, items: Any) -> Names:
    lists = ["search", "recommended", *(f"category:{name}" for name in catalogue.names)]
    return Names(items, pa.array(lists), pa.array(queries(catalogue)), pa.array(_TEXTS), pa.array([], pa.string()),
                 pa.array(COUNTRIES).take(pa.array(people.country)), pa.array(DEVICES).take(pa.array(people.device)),
                 config.currency)


def _hours(hour: Floats, spread: float, rng: np.random.Generator) -> Floats:
    """(n,) seconds after midnight, around an hour of the day; the clock goes round."""
    return np.asarray((hour + spread * rng.standard_normal(len(hour))) % 24 * 3600)


def _from_somewhere(visits: Visits, rng: np.random.Generator) -> Visits:
    """Where the visits came from; the newsletter goes to customers only."""
    customer = rng.choice(len(SOURCES), visits.n, p=[0.5, 0.2, 0.08, 0.07, 0.15])
    visitor = rng.choice(len(SOURCES), visits.n, p=[0.25, 0.4, 0.2, 0.15, 0.0])
    return replace(visits, source=np.where(visits.kind == VISITOR, visitor, customer))


def _with_coupons(visits: Visits, rng: np.random.Generator) -> Visits:
    """Some come with the public coupon in hand, unless they have an offer."""
    share, off = _COUPON
    coupon = (rng.random(visits.n) < share) & (visits.discount == 0)
    return replace(visits, coupon=coupon, discount=np.where(coupon, off, visits.discount))


