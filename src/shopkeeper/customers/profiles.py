"""What is known of one customer, from their own events and what is known of the items in them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.customers import inputs, stages
from shopkeeper.customers.answers import PROFILE
from shopkeeper.customers.methods.base import DAY
from shopkeeper.customers.methods.elasticity import elasticities
from shopkeeper.customers.methods.rhythm import Rhythm, rhythm
from shopkeeper.evidence.proportions import wilson
from shopkeeper.shop import Shop
from shopkeeper.words import Sentence, say

PEOPLE = 2_000    # among whom somebody's price sensitivity is seen
LATELY = 365      # days in which a category says a stage of life
HALF_LIFE = 60.0  # days after which what somebody did says half as much of what they like
WEIGHTS = {"interest": 0.2, "intent": 0.6, "conversion": 1.0}
MOST = 10         # rows of interests, and of searches in vain
BANDS = ("lower third", "middle third", "upper third")
INTERESTS = pa.schema([("category", pa.string()), ("share", pa.float64()), ("bought", pa.int64()),
                       ("last", pa.timestamp("us"))])
NOT_FOUND = pa.schema([("query", pa.string()), ("searches", pa.int64()), ("last", pa.timestamp("us"))])
TIMELINE = pa.schema([("week", pa.date32()), ("kind", pa.string()), ("events", pa.int64())])

Rows = list[dict[str, Any]]


def profile_of(shop: Shop, name: str, events: pa.Table) -> tuple[pa.Table, dict[str, pa.Table], tuple[Sentence, ...]]:
    """Traits, parts and notes of one customer.

    Args:
        shop: Where items and prices are known.
        name: Their pseudonym.
        events: Every event line of theirs, in order of time.
    """
    rows: Rows = events.to_pylist()
    now = shop.now()
    items = inputs.read_items(shop, sorted({row["item_id"] for row in rows if row["item_id"]}))
    liked = _interests(shop, rows, items, now)
    bought = [row for row in rows if shop.config.roles.get(row["event"]) == "conversion"]
    sensitive, unsaid = _sensitivity(shop, name, bought)
    stage, untold = _stage(shop, name, bought, items, now)
    traits = [*_money(bought), *_prices(shop, bought, items), *sensitive, *_brands(bought, items),
              *_rhythm(shop, bought, now), *_channels(rows), *stage]
    said = () if liked.num_rows else (say("no item of theirs has a known category, so interests are not known."),)
    said = (*said, *unsaid, *untold)
    return (pa.Table.from_pylist(traits, schema=PROFILE),
            {"interests": liked, "not_found": _in_vain(rows), "timeline": _timeline(shop, rows)}, said)


def _trait(name: str, value: object, low: object = None, high: object = None, basis: int = 0) -> dict[str, Any]:
    return {"trait": name, "value": str(value), "low": None if low is None else str(low),
            "high": None if high is None else str(high), "basis": basis}


def _interests(shop: Shop, rows: Rows, items: dict[str, dict[str, Any]], now: int) -> pa.Table:
    """Categories by what was done with their items, each deed fading with its age."""
    weight: dict[str, float] = defaultdict(float)
    bought: dict[str, int] = defaultdict(int)
    last: dict[str, datetime] = {}
    for row in rows:
        category = items.get(row["item_id"] or "", {}).get("category")
        role = shop.config.roles.get(row["event"], "context")
        if category is None or role not in WEIGHTS:
            continue
        age = (now - _micros(row["ts"])) / DAY
        weight[category] += WEIGHTS[role] * 0.5 ** (age / HALF_LIFE)
        bought[category] += role == "conversion"
        last[category] = row["ts"]
    total = sum(weight.values()) or 1.0
    order = sorted(weight, key=lambda name: (-weight[name], name))[:MOST]
    return pa.table({"category": order, "share": [weight[name] / total for name in order],
                     "bought": [bought[name] for name in order], "last": [last[name] for name in order]},
                    schema=INTERESTS)


def _money(bought: Rows) -> Rows:
    orders = {row["event_id"] for row in bought}
    if not orders:
        return [_trait("purchases", 0)]
    return [_trait("purchases", len(orders), basis=len(orders)),
            _trait("first purchase", bought[0]["ts"].date().isoformat(), basis=len(orders)),
            _trait("last purchase", bought[-1]["ts"].date().isoformat(), basis=len(orders))]


def _prices(shop: Shop, bought: Rows, items: dict[str, dict[str, Any]]) -> Rows:
    """Where in its category's prices they buy, and how often below the list price."""
    lines = [row for row in bought if row["item_id"] and row["price"] is not None]
    traits = []
    names, prices = inputs.read_prices(shop)
    of = np.array(names, dtype=object)
    places = [float((prices[of == items[row["item_id"]]["category"]] < float(row["price"])).mean())
              for row in lines if row["item_id"] in items and (of == items[row["item_id"]]["category"]).sum() >= 3]
    if places:
        middle = float(np.median(places))
        traits.append(_trait("price band", BANDS[min(2, int(middle * 3))], basis=len(places)))
    listed = [row for row in lines if row["list_price"] is not None]
    if listed:
        below = sum(row["price"] < row["list_price"] for row in listed)
        low, high = wilson([below], [len(listed)])
        traits.append(_trait("share bought below the list price", f"{below / len(listed):.2f}", f"{low[0]:.2f}",
                             f"{high[0]:.2f}", len(listed)))
    return traits


def _sensitivity(shop: Shop, name: str, bought: Rows) -> tuple[Rows, tuple[Sentence, ...]]:
    """How they take a price, beside everybody: what they bought of what they saw, at which prices."""
    if not bought:
        return [], ()
    people = inputs.read(shop).ids[:PEOPLE].tolist()  # pseudonyms have no order of their own: a random part
    seen, names = inputs.read_looked(shop, sorted({*people, name}))
    found = elasticities(seen) if seen.looks.sum() > seen.bought.sum() else None
    if found is None or name not in names:
        return [], (say("how they take a price is not known: too few prices that people saw and that differ are in "
                        "this log."),)
    row = names.index(name)
    return [_trait("price elasticity", f"{found.own[row]:.2f}", f"{found.low[row]:.2f}", f"{found.high[row]:.2f}",
                   int(found.purchases[row])),
            _trait("price elasticity of everybody", f"{found.mean:.2f}", basis=int(found.purchases.sum()))], ()


def _stage(shop: Shop, name: str, bought: Rows, items: dict[str, dict[str, Any]],
           now: int) -> tuple[Rows, tuple[Sentence, ...]]:
    """In which stage of life they are, where an attribute or a category says so."""
    told = stages.said(inputs.read_attributes(shop, name))
    if told:
        return [_trait("life stage", told, basis=1)], ()
    paths = [(row["ts"], items[row["item_id"]]["category"]) for row in bought
             if row["item_id"] in items and items[row["item_id"]]["category"]
             and now - _micros(row["ts"]) <= LATELY * DAY]
    stage, lines = stages.bought(paths)
    if stage:
        return [_trait("life stage", stage, basis=lines)], ()
    return [], (say("which stage of life they are in is not known: no attribute of theirs and no category says so."),)


def _brands(bought: Rows, items: dict[str, dict[str, Any]]) -> Rows:
    counts: dict[str, int] = defaultdict(int)
    for row in bought:
        brand = items.get(row["item_id"] or "", {}).get("brand")
        if brand:
            counts[brand] += 1
    if not counts:
        return []
    best = min(counts, key=lambda name: (-counts[name], name))
    return [_trait("brand", best, basis=counts[best])]


def _rhythm(shop: Shop, bought: Rows, now: int) -> Rows:
    """How many days lie between purchases, and when the next one is due."""
    zone = shop.config.timezone
    days = sorted({inputs.local_day(_micros(row["ts"]), zone) for row in bought})
    if not days:
        return []
    log = inputs.read(shop)
    found: Rhythm = rhythm(np.diff(np.array(days)), log.days.gaps()[1], log.today - days[-1])
    due = [(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=log.today + ahead)).date().isoformat()
           for ahead in (found.next, found.low, found.high)]
    return [_trait("days between purchases", f"{found.usual:.0f}", f"{found.usual_low:.0f}", f"{found.usual_high:.0f}",
                   len(days) - 1),
            _trait("days since the last purchase", log.today - days[-1], basis=len(days)),
            _trait("next purchase, if there is one", due[0], due[1], due[2], len(days) - 1)]


def _channels(rows: Rows) -> Rows:
    marked = [row["channel"] for row in rows if row["line"] == 0 and row["channel"] != "unmarked"]
    if not marked:
        return [_trait("channel", "unmarked")]
    best = min(set(marked), key=lambda name: (-marked.count(name), name))
    return [_trait("channel", best, basis=marked.count(best)), _trait("first channel", marked[0], basis=1)]


def _in_vain(rows: Rows) -> pa.Table:
    """Searches that found nothing, the most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    last: dict[str, datetime] = {}
    for row in rows:
        if row["event"] == "search" and row["results"] == 0 and row["query"]:
            counts[row["query"]] += 1
            last[row["query"]] = row["ts"]
    order = sorted(counts, key=lambda text: (-counts[text], text))[:MOST]
    return pa.table({"query": order, "searches": [counts[text] for text in order],
                     "last": [last[text] for text in order]}, schema=NOT_FOUND)


def _timeline(shop: Shop, rows: Rows) -> pa.Table:
    """Events by week, from Monday, and kind; by the shop's wall clock."""
    counts: dict[tuple[int, str], int] = defaultdict(int)
    for row in rows:
        if row["line"] == 0:
            day = inputs.local_day(_micros(row["ts"]), shop.config.timezone)
            counts[(day + 3) // 7 * 7 - 3, row["event"]] += 1
    order = sorted(counts)
    weeks = np.array([week for week, _ in order], np.int64).astype("datetime64[D]")
    return pa.table({"week": pa.array(weeks, pa.date32()), "kind": [kind for _, kind in order],
                     "events": [counts[key] for key in order]}, schema=TIMELINE)


def _micros(when: datetime) -> int:
    return int((when - datetime(1970, 1, 1)) / timedelta(microseconds=1))
