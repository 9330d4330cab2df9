"""What a merchant may lay over a ranking: rules as data, each of which says what it removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput
from shopkeeper.words import Sentence, say

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """Rules over a list of items.

    Attributes:
        exclude_seen: Leave out what the customer has looked at, put into a cart or bought.
        exclude_bought: Leave out what the customer has bought.
        exclude_out_of_stock: Leave out items whose stock on hand is zero or unknown (needs the stock table).
        categories: Only items whose category is one of these, or lies below one of them (needs the items table).
        price_min: Only items that cost at least this, in shop.currency.
        price_max: Only items that cost at most this, in shop.currency.
        pin: These items come first, in this order.
        boost: Factors on scores, as `item:ID=2`, `category:Toys=1.5` or `brand:Acme=0.5`.
        max_per_category: At most so many items of one category.
        max_per_brand: At most so many items of one brand.
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

    def factors(self) -> dict[tuple[str, str], float]:
        """The boosts as (what, which) -> factor.

        Raises:
            BadInput: A boost is not of the form, or its factor is not a positive number.
        """
        out = {}
        for text in self.boost:
            name, _, factor = text.rpartition("=")
            what, _, which = name.partition(":")
            try:
                value = float(factor)
            except ValueError:
                value = -1.0
            if what not in ("item", "category", "brand") or not which or not 0 < value < float("inf"):
                raise BadInput(say("{boost} is no boost.", boost=repr(text)),
                               do=[say("--boost item:ID=2"), say("--boost category:Toys=1.5"),
                                   say("--boost brand:Acme=0.5")],
                               why=say("a boost multiplies the score of an item, a category or a brand."))
            out[what, which] = value
        return out

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


def below(category: object, wanted: tuple[str, ...]) -> bool:
    """Whether a category path is one of the wanted ones or lies below one of them.

    >>> below("Toys > Trains", ("Toys",)), below("Toyshop", ("Toys",))
    (True, False)
    """
    path = [part.strip() for part in str(category or "").split(">")]
    return any(path[:len(parts)] == parts for parts in ([p.strip() for p in want.split(">")] for want in wanted))


def allowed(rules: Rules, shelf: Shelf, seen: Mask, bought: Mask) -> tuple[Mask, dict[str, int]]:
    """Which items may be shown, and how many each rule removed.

    Args:
        rules: The rules.
        shelf: (n,) items.
        seen: (n,) items with which the customer had anything to do.
        bought: (n,) items that the customer bought.

    Returns:
        (n,) mask, and rule -> items that it was the first to remove.
    """
    keep, removed = np.ones(len(shelf.ids), dtype=bool), {}
    checks: dict[str, Mask] = {}
    if rules.exclude_seen:
        checks["exclude_seen"] = seen
    if rules.exclude_bought:
        checks["exclude_bought"] = bought
    if rules.exclude_out_of_stock and shelf.in_stock is not None:
        checks["exclude_out_of_stock"] = ~shelf.in_stock
    if rules.categories:
        checks["categories"] = np.array([not below(c, rules.categories) for c in shelf.category], dtype=bool)
    if rules.price_min is not None:
        checks["price_min"] = ~(shelf.price >= rules.price_min)
    if rules.price_max is not None:
        checks["price_max"] = ~(shelf.price <= rules.price_max)
    for name, out in checks.items():
        removed[name] = int((out & keep).sum())
        keep &= ~out
    return keep, removed


def boosted(rules: Rules, shelf: Shelf, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores after the boosts; (n,)."""
    factor = np.ones(len(shelf.ids))
    for (what, which), value in rules.factors().items():
        if what == "item":
            hit = shelf.ids == which
        elif what == "brand":
            hit = shelf.brand == which
        else:
            hit = np.array([below(c, (which,)) for c in shelf.category], dtype=bool)
        factor[hit] *= value
    return np.where(score >= 0, score * factor, score / factor)


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
    place = {item: row for row, item in enumerate(shelf.ids.tolist())}
    chosen = [place[item] for item in dict.fromkeys(rules.pin) if item in place][:n]
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
                 for rule, count in removed.items() if count)
