"""Scenes for the tests of customers: panels that buy until they leave, and shops of them."""

import numpy as np
import pyarrow as pa

from shopkeeper.customers.methods.base import Repeats
from shopkeeper.shop import Shop

START = np.datetime64("2025-01-06T09:00", "us")
DAY = 86_400_000_000


def events(who, days, money, start=START):
    """Purchases as a log: (n,) names, days after the start, money."""
    n = len(who)
    return pa.table({
        "event_id": [f"e-{name}-{at}" for at, name in enumerate(who)], "event": ["purchase"] * n,
        "ts": start + (np.asarray(days, float) * DAY).astype("timedelta64[us]"), "customer_id": list(who),
        "order_id": [f"o-{name}-{at}" for at, name in enumerate(who)], "item_id": ["tea"] * n,
        "price": np.round(money, 2), "quantity": [1] * n, "value": np.round(money, 2), "currency": ["EUR"] * n})


def people(n=560, days=200, seed=3):
    """Who buys when, for how much, and who leaves when (days; none: inf): renewal gaps, Weibull lives."""
    rng = np.random.default_rng(seed)
    who, when, money, leaves = [], [], [], np.full(n, np.inf)
    for person in range(n):
        gap, price = rng.lognormal(np.log(14), 0.5), rng.lognormal(3, 0.4)
        at = first = rng.uniform(0, days / 2)
        if rng.random() < 0.6:
            leaves[person] = first + rng.weibull(1.4) * 120
        while at < min(days, leaves[person]):
            who.append(f"p{person}")
            when.append(at)
            money.append(price * rng.uniform(0.7, 1.3))
            at += max(1.0, rng.gamma(4, gap / 4))
    return who, np.array(when), np.array(money), leaves


def buyers(end, seed=5):
    """A thin panel of 520 people over 200 days before a time (microseconds UTC): most buy once, some often."""
    rng = np.random.default_rng(seed)
    who, when = [], []
    for person in range(520):
        first = rng.uniform(0, 120)
        times = first + 12 * np.arange(8 if person % 6 == 0 else 1 + person % 2) + rng.uniform(0, 3)
        when += [time for time in times if time < 199]
        who += [f"old{person}" for time in times if time < 199]
    begin = np.datetime64(end - 200 * DAY, "us")
    made = events(who, when, rng.uniform(5, 40, len(who)), begin)
    return made.set_column(made.column_names.index("item_id"), "item_id", pa.array(["i-000001"] * len(who)))


def shop_of(place, table):
    """A shop that took a log."""
    shop = Shop.open(place)
    shop.ingest([table])
    return shop


def bg_nbd(n, seed=0, r=0.6, alpha=20.0, a=1.2, b=3.0, span=(100, 300)):
    """A panel from BG/NBD itself."""
    rng = np.random.default_rng(seed)
    age, rate, drop = rng.uniform(*span, n), rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    x, last, at, alive = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n, bool)
    while alive.any():
        at = at + rng.exponential(1 / np.maximum(rate, 1e-12))
        alive &= at <= age
        x[alive] += 1
        last[alive] = at[alive]
        alive &= rng.random(n) > drop
    return Repeats(x, last, age, np.zeros(n))
