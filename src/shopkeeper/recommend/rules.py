"""What a merchant may lay over a ranking: rules as data, each of which says what it removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.words import Sentence, say

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """Rules over a list of items. A pinned item stays whatever another rule says of it.

    Raises:
        BadInput: A boost is not of the form, a limit is less than 1, a price is negative, or no price is possible.

    Attributes:
        exclude_seen: Leave out what the customer has looked at, put into a cart or bought.
        exclude_bought: Leave out what the customer has bought.
        exclude_out_of_stock: Leave out items whose stock on hand is zero or unknown (needs the stock table).
        categories: Only items whose category is one of these, or lies below one of them (needs the items table).
        price_min: Only items that cost at least this, in shop.currency; not those whose price is unknown.
        price_max: Only items that cost at most this, in shop.currency; not those whose price is unknown.
        pin: These items come first, in this order.
        boost: Factors on scores, as `item:ID=2`, `category:Toys=1.5` or `brand:Acme=0.5`.
        max_per_category: At most so many items of one category; those of no category are not limited.
        max_per_brand: At most so many items of one brand; those of no brand are not limited.
    """

    exclude_seen: bool = False
    exclude_bought: bool = False
    exclude_out_of_stock: bool = False
    categories: tuple[str, ...] = ()
    price_min: float | None = None
    price_max: float | None = None
    pin: tuple[str, ...] = ()
    boost: tuple[str, ...] = ()
    max_per_category: int | None = None
    max_per_brand: int | None = None

    def __post_init__(self) -> None:
        self.factors()
        for name in ("max_per_category", "max_per_brand"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise BadInput(say("{name} is {value}; it must be at least 1.", name=name, value=limit),
                               do=[say("leave it out to have no limit.")], why=say("it says how many may be named."))
        low = 0.0 if self.price_min is None else self.price_min
        high = float("inf") if self.price_max is None else self.price_max
        if not 0 <= low <= high:
            raise BadInput(say("no price lies between {low} and {high}.", low=low, high=high),
                           do=[say("--price-min 5"), say("--price-max 20")],
                           why=say("a price is 0 or more, and the least comes before the most."))

    def factors(self) -> dict[tuple[str, str], float]:
        """The boosts as (what, which) -> factor.

        Raises:
            BadInput: A boost is not of the form, or its factor does not lie between 1e-6 and 1e6.
        """
        out: dict[tuple[str, str], float] = {}
        for text in self.boost:
            name, _, factor = text.rpartition("=")
            what, _, which = name.partition(":")
            try:
                value = float(factor)
            except ValueError:
                value = -1.0
            if what not in ("item", "category", "brand") or not which or not 1e-6 <= value <= 1e6:
                raise BadInput(say("{boost} is no boost.", boost=repr(text)),
                               do=[say("--boost item:ID=2"), say("--boost category:Toys=1.5"),
                                   say("--boost brand:Acme=0.5")],
                               why=say("a boost multiplies the score of an item, a category or a brand."))
            if (what, which) in out:
                raise BadInput(say("{name} is boosted twice.", name=repr(name)), do=[say("--boost item:ID=2")],
                               why=say("one factor could not be told from the other."))
            out[what, which] = value
        return out

    @property
    def reorder(self) -> bool:
        """Whether the first n of a ranking are not enough to begin with."""
        return self.max_per_category is not None or self.max_per_brand is not None or bool(self.boost)

    @property
    def removes(self) -> bool:
        """Whether any of these rules may remove an item."""
        return (self.exclude_seen or self.exclude_bought or self.exclude_out_of_stock or bool(self.categories)
                or self.price_min is not None or self.price_max is not None)

    @property
    def needs_items(self) -> bool:
        """Whether these rules ask for what only the items table knows."""
        boosts = any(text.startswith(("category:", "brand:")) for text in self.boost)
        return bool(self.categories) or self.max_per_category is not None or self.max_per_brand is not None or boosts


@dataclass(frozen=True)
class Shelf:
    """What is known of the items that a ranking runs over.

    Attributes:
        ids: (n,) item ids.
        category, brand: (n,) text or None.
        price: (n,) in shop.currency, NaN where unknown.
        in_stock: (n,) or None where there is no stock table.
    """

    ids: npt.NDArray[Any]
    category: npt.NDArray[Any]
    brand: npt.NDArray[Any]
    price: npt.NDArray[np.float64]
    in_stock: Mask | None = None

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Item id -> its row."""
        return {item: row for row, item in enumerate(self.ids.tolist())}

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every category, and every one above it."""
        return frozenset(_paths(self.category))

    @cached_property
    def brands(self) -> frozenset[str]:
        """Every brand."""
        return frozenset(str(brand) for brand in self.brand if brand is not None)

    def named(self, items: Iterable[str]) -> Mask:
        """Which items are among these, (n,)."""
        mask = np.zeros(len(self.ids), dtype=bool)
        mask[[self.place[item] for item in items if item in self.place]] = True
        return mask


def below(category: object, wanted: tuple[str, ...]) -> bool:
    """Whether a category path is one of the wanted ones or lies below one of them.

    >>> below("Toys > Trains", ("Toys",)), below("Toyshop", ("Toys",))
    (True, False)
    """
    path = [part.strip() for part in str(category or "").split(">")]
    return any(path[:len(parts)] == parts for parts in ([p.strip() for p in want.split(">")] for want in wanted))


def check_names(rules: Rules, shelf: Shelf) -> None:
    """Hold the categories and brands that the rules name to those that there are.

    Raises:
        UnknownName: One is not there; the refusal names those that read like it.
    """
    if not rules.categories and not rules.boost:
        return
    named = [("category", want) for want in rules.categories] + list(rules.factors())
    for what, which in named:
        have = shelf.paths if what == "category" else shelf.brands
        name = _path(which) if what == "category" else which
        if what != "item" and name not in have:
            near = get_close_matches(name, sorted(have), n=3, cutoff=0.5) or sorted(have, key=len)[:3]
            raise UnknownName(say("no item has the {what} {name}.", what=say("category") if what == "category" else
                                  say("brand"), name=repr(which)),
                              do=[say("one of: {names}", names=", ".join(near))] if near else [],
                              why=say("a rule over a name that is not there removes everything, or does nothing."))


def _path(category: object) -> str:
    return " > ".join(part.strip() for part in str(category or "").split(">"))


def _paths(categories: Iterable[object]) -> set[str]:
    """Every category, and every one above it.

    >>> sorted(_paths(["Toys > Trains", None]))
    ['Toys', 'Toys > Trains']
    """
    found = set()
    for category in {str(one) for one in categories if one is not None}:
        path = _path(category).split(" > ")
        found |= {" > ".join(path[:depth + 1]) for depth in range(len(path))}
    return found


def _below_any(categories: npt.NDArray[Any], wanted: tuple[str, ...]) -> Mask:
    """`below` for each of (n,) categories, each distinct one looked at once."""
    known = {category: below(category, wanted) for category in set(categories.tolist())}
    return np.array([known[category] for category in categories.tolist()], dtype=bool)


def allowed(rules: Rules, shelf: Shelf, seen: Mask, bought: Mask) -> tuple[Mask, dict[str, Mask]]:
    """Which items may be shown, and which each rule removed.

    Args:
        rules: The rules.
        shelf: (n,) items.
        seen: (n,) items with which the customer had anything to do.
        bought: (n,) items that the customer bought.

    Returns:
        (n,) mask, and rule -> (n,) the items that it was the first to remove. Pinned items are removed by none.
    """
    checks: dict[str, Mask] = {}
    if rules.exclude_seen:
        checks["exclude_seen"] = seen
    if rules.exclude_bought:
        checks["exclude_bought"] = bought
    if rules.exclude_out_of_stock and shelf.in_stock is not None:
        checks["exclude_out_of_stock"] = ~shelf.in_stock
    if rules.categories:
        checks["categories"] = ~_below_any(shelf.category, rules.categories)
    if rules.price_min is not None:
        checks["price_min"] = ~(shelf.price >= rules.price_min)
    if rules.price_max is not None:
        checks["price_max"] = ~(shelf.price <= rules.price_max)
    keep, removed = np.ones(len(shelf.ids), dtype=bool), {}
    for name, out in checks.items():
        removed[name] = out & keep
        keep = keep & ~out
    if not rules.pin:
        return keep, removed
    pinned = shelf.named(rules.pin)
    return keep | pinned, {name: out & ~pinned for name, out in removed.items()}


def kept_pins(rules: Rules, shelf: Shelf, seen: Mask, bought: Mask) -> list[tuple[str, str]]:
    """The pinned items that another rule would have removed: item, and the first such rule."""
    if not rules.pin:
        return []
    without = Rules(**{**{name: getattr(rules, name) for name in Rules.__dataclass_fields__}, "pin": ()})
    _, removed = allowed(without, shelf, seen, bought)
    return [(str(shelf.ids[row]), name) for name, out in removed.items() for row in np.flatnonzero(out).tolist()
            if shelf.ids[row] in rules.pin]


def boosted(rules: Rules, shelf: Shelf, score: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Scores after the boosts.

    Args:
        rules: The rules.
        shelf: (n,) items.
        score: (n,) at least 0.

    Returns:
        (n,) scores, and the boosts that changed none of them: a multiple of 0 is 0.
    """
    factor, idle = np.ones(len(shelf.ids)), []
    for text, ((what, which), value) in zip(rules.boost, rules.factors().items(), strict=True):
        if what == "category":
            hit = _below_any(shelf.category, (which,))
        else:
            hit = np.asarray((shelf.ids if what == "item" else shelf.brand) == which, dtype=bool)
        factor[hit] *= value
        if not (score[hit] > 0).any():
            idle.append(text)
    return score * factor, idle


def pick(order: npt.NDArray[np.int64], rules: Rules, shelf: Shelf, n: int) -> tuple[list[int], dict[str, int]]:
    """The first n of a ranking under the limits a category and a brand, the pinned items first.

    Args:
        order: Allowed item rows, best first.
        rules: The rules.
        shelf: The items.
        n: How many.

    Returns:
        Item rows, and rule -> items that it held back on the way.
    """
    if not rules.pin and rules.max_per_category is None and rules.max_per_brand is None:
        return order[:n].tolist(), {}
    chosen = [shelf.place[item] for item in dict.fromkeys(rules.pin) if item in shelf.place][:n]
    counts: dict[str, Counter[Any]] = {"max_per_category": Counter(), "max_per_brand": Counter()}
    limits = {"max_per_category": (rules.max_per_category, shelf.category), "max_per_brand": (rules.max_per_brand,
                                                                                              shelf.brand)}
    held: Counter[str] = Counter()
    for row in chosen:
        for name, (_, group) in limits.items():
            counts[name][group[row]] += 1
    pinned = set(chosen)
    for row in order.tolist():
        if len(chosen) >= n:
            break
        if row in pinned:
            continue
        full = [name for name, (limit, group) in limits.items()
                if limit is not None and group[row] is not None and counts[name][group[row]] >= limit]
        if full:
            held[full[0]] += 1
            continue
        chosen.append(row)
        for name, (_, group) in limits.items():
            counts[name][group[row]] += 1
    return chosen, dict(held)


def notes(removed: Mapping[str, int]) -> tuple[Sentence, ...]:
    """What each rule removed, in words."""
    return tuple(say("rule {rule} removed {count:,} items.", rule=rule, count=count)
                 for rule, count in removed.items() if count and rule not in ("given", "had"))
