"""How a policy meets the simulated shop: what it is asked, what it may give, and how customers answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shopkeeper.errors import BadInput
from shopkeeper.simulate.population import Floats, Ints, Mask, Population
from shopkeeper.simulate.rows import Visits
from shopkeeper.simulate.sessions import Scene, Slots
from shopkeeper.words import say

_PULL = 1.5      # how strongly a discount brings a purchase forward
_CLICK = 0.6     # chance to click a recommendation of a category that is all of one's taste


@dataclass(frozen=True)
class Asked:
    """What a policy is asked before a day begins: nothing that a shop would not know.

    Attributes:
        day: Day of the log, from 0.
        customers: (m,) rows of `World.customers`: everyone who has signed up; whether they have left is not told.
    """

    day: int
    customers: Ints


@dataclass(frozen=True)
class Given:
    """What a policy gives each customer that it was asked about, for that day.

    Attributes:
        discount: (m,) share off every price, in [0, 1).
        items: (m, k) rows of `World.items` to recommend, best first, -1 for none; None for no recommendations.
        arms: Names of the treatments.
        arm: (m,) row of `arms` that was drawn for each, -1 for those outside the trial; None for nobody.
            Each customer with an arm, control included, gets an `offer` event.
        propensity: (m,) the probability with which that arm was drawn, in (0, 1].
    """

    discount: Floats
    items: Ints | None = None
    arms: tuple[str, ...] = field(default=())
    arm: Ints | None = None
    propensity: Floats | None = None


Policy = Callable[[Asked], Given]


def check(given: Given, asked: Asked, n_items: int) -> Given:
    """The same, if it fits what was asked.

    Raises:
        BadInput: A shape, discount, arm, propensity or item is out of its range.
    """
    m = len(asked.customers)
    shapes = given.discount.shape == (m,) and (given.items is None or given.items.shape[:1] == (m,))
    if not shapes or not ((given.discount >= 0) & (given.discount < 1)).all():
        raise BadInput(say("the policy must give a discount in [0, 1) for each of {m:,} customers.", m=m))
    if given.items is not None and not ((given.items >= -1) & (given.items < n_items)).all():
        raise BadInput(say("the policy recommends an item that is not there; rows go from 0 to {last}, -1 for none.",
                           last=n_items - 1))
    if given.arm is not None:
        _check_arms(given, given.arm, m)
    return given


def _check_arms(given: Given, arm: Ints, m: int) -> None:
    odds = given.propensity
    named = arm.shape == (m,) and bool(((arm >= -1) & (arm < len(given.arms))).all())
    if not named or odds is None or odds.shape != (m,) or not ((odds > 0) & (odds <= 1))[arm >= 0].all():
        raise BadInput(say("the policy must name an arm for each of {m:,} customers, and its probability in (0, 1].",
                           m=m), why=say("an offer without its probability cannot be evaluated."))


def pulled(population: Population, asked: Asked, given: Given, wait: Floats, rng: np.random.Generator) -> Ints:
    """Rows of the customers who come today because of a discount: the more, the nearer their next purchase is anyway.

    Args:
        population: All customers.
        asked, given: The policy's question and answer.
        wait: (n,) days until each customer's next purchase.
        rng: Chance.
    """
    who = asked.customers
    near = np.clip(1 - wait[who] / population.interval[who], 0, 1)
    odds = 1 - np.exp(_PULL * given.discount * population.elasticity[who] * near)
    comes: Mask = (rng.random(len(who)) < odds) & population.there(asked.day)[who]
    return who[comes]


def clicked(scene: Scene, visits: Visits, items: Ints, rng: np.random.Generator) -> Slots:
    """The recommended items that people click; before anything else that they do in the visit.

    Args:
        scene: The day.
        visits: (v,) who comes.
        items: (n_customers, k) what is recommended to each, -1 for none.
        rng: Chance.
    """
    own = visits.known & (visits.browser == visits.person)
    shown = np.where(own[:, None], items[visits.person], -1)
    category = scene.catalogue.category[shown]
    liked = np.take_along_axis(scene.population.taste_on(scene.day, visits.person), category, axis=1)
    click = rng.random(shown.shape) < _CLICK * liked
    visit, place = np.nonzero(click & (shown >= 0) & scene.shelf.on_sale[shown])
    return Slots(visit, shown[visit, place], place.astype(np.float64) - items.shape[1], np.ones(len(visit), bool))
