"""What happens in a day's visits: what is looked at, what goes into the cart, what is bought, and the events of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shopkeeper.simulate.catalogue import BRANDS, Catalogue, Shelf
from shopkeeper.simulate.population import TIERS, Floats, Ints, Mask, Population
from shopkeeper.simulate.rows import BROWSE, BUY, CATEGORY, KIND, RECOMMENDED, SEARCH, VISITOR, Block, Numbers, Visits

# Chance that an item looked at goes into the cart at the first day's price, by kind of visit (BUY, BROWSE, VISITOR).
# The visitors' follow a public shop log: 2.66 M views, 69 k carts, 22 k purchases.
_CART = np.array([0.28, 0.03, 0.026])
_VISITOR_BUYS = 0.32          # share of the visitors' carts that are paid for
_COMPLEMENT = 0.35            # chance that the complement goes in too, at the first day's price
_SUBSTITUTE = 0.3             # chance to look at a substitute next, where there is one
_IDLE = 0.04                  # share of what is not wanted that goes into a buyer's cart and out again
_SHOWN = 5                    # items on a page of a list
_FIRST, _LAST = -10**6, 10**6  # keys of a visit's first and last events


@dataclass(frozen=True)
class Scene:
    """A day of the shop: who could come, what is on the shelf, and the chance that decides."""

    day: int
    population: Population
    catalogue: Catalogue
    shelf: Shelf
    memory: Ints               # (n_customers, C) the item last bought of each category, -1 for none
    numbers: Numbers
    rng: np.random.Generator


@dataclass(frozen=True)
class Slots:
    """Items looked at, in order of visit and number; arrays of (s,).

    Attributes:
        visit, item: Rows.
        number: Order within the visit, in halves: a complement follows half a step behind its item.
        shown: The item stood in a recommendation.
    """

    visit: Ints
    item: Ints
    number: Floats
    shown: Mask

    def take(self, rows: Ints | Mask) -> Slots:
        """Some of the slots."""
        return Slots(self.visit[rows], self.item[rows], self.number[rows], self.shown[rows])

    def plus(self, other: Slots) -> Slots:
        """Both, in order."""
        both = Slots(*(np.concatenate([getattr(self, name), getattr(other, name)])
                       for name in ("visit", "item", "number", "shown")))
        return both.take(np.lexsort((both.number, both.visit)))


@dataclass(frozen=True)
class Lines:
    """What was bought; arrays of (l,), in order of visit.

    Attributes:
        visit, item, units, order: Rows and numbers.
        price: Charged a unit, in cents.
    """

    visit: Ints
    item: Ints
    units: Ints
    price: Ints
    order: Ints


def look(scene: Scene, visits: Visits) -> Slots:
    """The items that people come upon by themselves."""
    population, rng = scene.population, scene.rng
    mean = np.where(visits.kind == BUY, population.slots[visits.person] - 2, np.where(visits.kind == BROWSE, 2.5, 0.9))
    n = np.where(visits.kind == BUY, 2, 1) + np.where(visits.kind == VISITOR, rng.geometric(0.53, visits.n) - 1,
                                                      rng.poisson(mean))
    visit = np.repeat(np.arange(visits.n), n)
    number = np.arange(len(visit)) - np.repeat(np.cumsum(n) - n, n)
    taste = np.cumsum(population.taste_on(scene.day, visits.person), axis=1)
    u = rng.random(len(visit)) * taste[visit, -1]
    category = np.minimum((taste[visit] <= u[:, None]).sum(axis=1), taste.shape[1] - 1)
    item = _come_upon(scene, visits.person[visit], category)
    item = _again(scene, visits, visit, category, item)
    item = _or_its_substitute(scene, number, item)
    return Slots(visit, item, number.astype(np.float64), np.zeros(len(visit), bool))


def _come_upon(scene: Scene, person: Ints, category: Ints) -> Ints:
    """An item of a category, by the weights that the person's budget level gives."""
    starts, reach = scene.catalogue.starts, scene.shelf.reach
    u, item = scene.rng.random(len(person)), np.empty(len(person), np.int64)
    tier = scene.population.tier[person]
    for level in range(TIERS):
        rows = np.flatnonzero(tier == level)
        low, high = reach[level, starts[category[rows]]], reach[level, starts[category[rows] + 1]]
        item[rows] = np.searchsorted(reach[level], low + u[rows] * (high - low), side="right") - 1
    last = scene.catalogue.starts[category + 1] - 1
    item = np.clip(item, scene.catalogue.starts[category], last)
    return np.where(scene.shelf.on_sale[item], item, scene.shelf.ranked[scene.catalogue.starts[category]])


def _again(scene: Scene, visits: Visits, visit: Ints, category: Ints, item: Ints) -> Ints:
    """Customers often go back to what they bought last of a category."""
    person = visits.person[visit]
    last = scene.memory[person, category]
    back = (scene.rng.random(len(item)) < scene.population.loyalty[person]) & (visits.kind[visit] != VISITOR)
    return np.where(back & (last >= 0), last, item)


def _or_its_substitute(scene: Scene, number: Ints, item: Ints) -> Ints:
    """After an item people often look at what could stand in its place."""
    group = scene.catalogue.group
    order = np.argsort(group, kind="stable")
    following = np.empty(len(group), np.int64)
    following[order] = np.roll(order, -1)
    first = np.searchsorted(group[order], group)
    following = np.where(group[following] == group, following, order[first])
    other = following[np.roll(item, 1)]
    swap = (number > 0) & (other != np.roll(item, 1)) & scene.shelf.on_sale[other]
    return np.where(swap & (scene.rng.random(len(item)) < _SUBSTITUTE), other, item)


def chance(scene: Scene, visits: Visits, slots: Slots, base: Floats | float) -> Floats:
    """(s,) chance to want each item: a base at the first day's price, times the price's ratio to the elasticity."""
    ratio = scene.shelf.ratio[slots.item] * (1 - visits.discount[slots.visit])
    return np.minimum(base * ratio ** scene.population.elasticity[visits.person[slots.visit]], 0.95)


def choose(scene: Scene, visits: Visits, slots: Slots) -> tuple[Slots, Mask, Mask]:
    """What goes into the cart: the slots with complements added, and masks (s,) of wanted and of idle ones.

    A buying visit wants at least one item; no visit wants two of a group of substitutes.
    """
    score = scene.rng.random(len(slots.visit)) / chance(scene, visits, slots, _CART[visits.kind[slots.visit]])
    once = np.unique(slots.visit * scene.catalogue.n + slots.item, return_index=True)[1]
    score[np.delete(np.arange(len(score)), once)] = np.inf      # who looks twice decides once
    wanted = score < 1
    if len(score):
        first = np.flatnonzero(np.r_[True, slots.visit[1:] != slots.visit[:-1]])
        least = np.repeat(np.minimum.reduceat(score, first), np.diff(np.r_[first, len(score)]))
        wanted |= (score == least) & (visits.kind[slots.visit] == BUY)
    partner = scene.catalogue.partner[slots.item]
    source = np.flatnonzero(wanted & (partner >= 0))
    extra = Slots(slots.visit[source], partner[source], slots.number[source] + 0.5, np.zeros(len(source), bool))
    extra = extra.take(scene.rng.random(len(source)) < chance(scene, visits, extra, _COMPLEMENT))
    full = slots.plus(extra)
    wanted = slots_wanted(slots, wanted, extra, full)
    group = full.visit * scene.catalogue.n + scene.catalogue.group[full.item]
    rows = np.flatnonzero(wanted)
    wanted = np.zeros(len(wanted), bool)
    wanted[rows[np.unique(group[rows], return_index=True)[1]]] = True
    idle = (scene.rng.random(len(wanted)) < _IDLE) & (visits.kind[full.visit] == BUY) & ~np.isin(group, group[wanted])
    return full, wanted, idle


def slots_wanted(slots: Slots, wanted: Mask, extra: Slots, full: Slots) -> Mask:
    """(s,) the mask of what is wanted, carried over to the slots with the complements added."""
    order = np.lexsort((np.r_[slots.number, extra.number], np.r_[slots.visit, extra.visit]))
    assert len(order) == len(full.visit)
    return np.asarray(np.r_[wanted, np.ones(len(extra.visit), bool)][order])


def happenings(scene: Scene, visits: Visits, slots: Slots) -> tuple[list[Block], Lines]:
    """The events of a day's visits, and what was bought.

    Args:
        scene: The day.
        visits: (v,) who comes.
        slots: (s,) what they look at, recommendations included.

    Returns:
        Blocks of rows that point to the visits, and the bought lines.
    """
    slots, wanted, idle = choose(scene, visits, slots)
    units = 1 + scene.rng.poisson(0.2, len(wanted))
    paying = scene.rng.random(visits.n) < _VISITOR_BUYS
    pays = (visits.kind == BUY) | ((visits.kind == VISITOR) & paying)
    price = _price(scene, visits, slots)
    key = (slots.number * 2).astype(np.int64) * 16
    blocks = [{"visit": np.arange(visits.n), "key": _FIRST, "kind": KIND["page_view"]}]
    found, request = _found(scene, visits, slots, key)
    blocks += found
    item = {"visit": slots.visit, "item": slots.item, "price": price, "request": request}
    blocks.append({**item, "key": key + 3, "kind": KIND["view_item"], "list_price": scene.shelf.list_price[slots.item]})
    carted = wanted | idle
    cart = {name: values[carted] for name, values in {**item, "units": units}.items()}
    blocks.append({**cart, "key": key[carted] + 4, "kind": KIND["add_to_cart"]})
    left = idle | (wanted & (visits.kind[slots.visit] == BROWSE) & (scene.rng.random(len(wanted)) < 0.2))
    blocks.append({"visit": slots.visit[left], "item": slots.item[left], "units": units[left],
                   "key": _LAST + key[left], "kind": KIND["remove_from_cart"]})
    bought = wanted & pays[slots.visit]
    lines = Lines(slots.visit[bought], slots.item[bought], units[bought], price[bought], np.zeros(0, np.int64))
    blocks_of_orders, lines = _orders(scene, visits, lines)
    return blocks + blocks_of_orders, lines


def _price(scene: Scene, visits: Visits, slots: Slots) -> Ints:
    """(s,) the price that a visit sees, in cents."""
    price = scene.shelf.price[slots.item] * (1 - visits.discount[slots.visit])
    return np.maximum(price.round().astype(np.int64), 1)


def _found(scene: Scene, visits: Visits, slots: Slots, key: Ints) -> tuple[list[Block], Ints]:
    """How items were found: searches, lists with the places of their items, clicks. And the request (s,), -1 for none.

    A list shows a page of the category in today's order: the page on which the item stands.
    """
    u = scene.rng.random(len(key))
    first = slots.number == 0
    searched = (u < np.where(first, 0.25, 0.05)) & ~slots.shown
    listed = (u < np.where(first, 0.45, 0.12)) & ~slots.shown
    asked = np.flatnonzero(listed)
    request = np.full(len(key), -1)
    request[asked] = scene.numbers.take("requests", len(asked))
    category = scene.catalogue.category[slots.item[asked]]
    which = np.where(searched[asked], SEARCH, CATEGORY + category)
    about = {"visit": slots.visit[asked], "request": request[asked]}
    rank = scene.shelf.rank[slots.item[asked]]
    click = {**about, "key": key[asked] + 2, "kind": KIND["select_item"], "item": slots.item[asked],
             "list": which, "position": rank + 1}
    blocks = [_searches(scene, slots, key, np.flatnonzero(searched), request), click,
              *_pages(scene, {**about, "key": key[asked] + 1, "list": which}, category, rank)]
    shown = np.flatnonzero(slots.shown)
    blocks.append({"visit": slots.visit[shown], "key": key[shown] + 2, "kind": KIND["select_item"],
                   "item": slots.item[shown], "list": RECOMMENDED})
    return blocks, request


def _searches(scene: Scene, slots: Slots, key: Ints, rows: Ints, request: Ints) -> Block:
    """Searches for the category of the item, or for that and its brand."""
    item, n_categories = slots.item[rows], len(scene.catalogue.names)
    category = scene.catalogue.category[item]
    branded = scene.rng.random(len(rows)) < 0.4
    query = np.where(branded, n_categories * (1 + scene.catalogue.brand[item]), 0) + category
    return {"visit": slots.visit[rows], "key": key[rows], "kind": KIND["search"], "request": request[rows],
            "query": query, "results": scene.shelf.available[category]}


def _pages(scene: Scene, about: Block, category: Ints, rank: Ints) -> list[Block]:
    """The lists that were shown: a header each, and a line for each item on the page."""
    start = rank // _SHOWN * _SHOWN
    size = np.minimum(_SHOWN, scene.shelf.available[category] - start)
    parent = np.repeat(np.arange(len(size)), size)
    line = np.arange(len(parent)) - np.repeat(np.cumsum(size) - size, size)
    place = start[parent] + line
    item = scene.shelf.ranked[scene.catalogue.starts[category[parent]] + place]
    header = {**about, "kind": KIND["view_item_list"], "results": scene.shelf.available[category]}
    lines = {name: values[parent] for name, values in about.items()}
    return [header, {**lines, "kind": KIND["view_item_list"], "line": 1 + line, "item": item, "position": 1 + place}]


def _orders(scene: Scene, visits: Visits, lines: Lines) -> tuple[list[Block], Lines]:
    """Orders: a line of its own for one item, a header and lines 1..n for more; and the checkouts before them."""
    visit, first, size = np.unique(lines.visit, return_index=True, return_counts=True)
    order = scene.numbers.take("orders", len(visit))
    money = lines.units * lines.price
    value = np.add.reduceat(money, first) if len(first) else money
    parent = np.repeat(np.arange(len(visit)), size)
    single = size[parent] == 1
    coupon = np.where(visits.coupon[visit], 0, -1)
    line = np.where(single, 0, 1 + np.arange(len(parent)) - first[parent])
    key, kind = _LAST * 2 + 2, KIND["purchase"]
    head = {"visit": visit, "order": order, "value": value, "coupon": coupon, "key": key, "kind": kind}
    many = size > 1
    blocks = [
        {"visit": visit, "value": value, "key": key - 1, "kind": KIND["begin_checkout"]},
        {"visit": visit[coupon == 0], "coupon": 0, "key": key - 2, "kind": KIND["coupon_apply"]},
        {name: values[many] if isinstance(values, np.ndarray) else values for name, values in head.items()},
        {"visit": lines.visit, "order": order[parent], "line": line, "item": lines.item, "units": lines.units,
         "price": lines.price, "list_price": scene.shelf.list_price[lines.item], "key": key, "kind": kind,
         "value": np.where(single, money, -1), "coupon": coupon[parent]},
    ]
    return blocks, Lines(lines.visit, lines.item, lines.units, lines.price, order[parent])


def queries(catalogue: Catalogue) -> list[str]:
    """What people type: a category's leaf, then each brand with each leaf; the order in which rows point to them."""
    leaves = [name.split(" > ")[1].lower() for name in catalogue.names]
    return leaves + [f"{brand.lower()} {leaf}" for brand in BRANDS for leaf in leaves]
