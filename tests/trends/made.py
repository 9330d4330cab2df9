"""Scenes for the tests of trends: events from a line each, shops of them, and series whose law is known."""

from datetime import UTC, datetime, timedelta

import numpy as np

from shopkeeper.shop import Shop
from shopkeeper.trends.methods.base import Counts

MONDAY = datetime(2026, 3, 2)  # a Monday, UTC
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000


def micros(when):
    return int(when.replace(tzinfo=UTC).timestamp()) * 1_000_000 + when.microsecond


def event(number, kind="page_view", at=MONDAY, **more):
    """A record; purchases have an order, an item and a value."""
    sold = {"order_id": f"o{number}", "item_id": "tea", "price": 3, "quantity": 2, "value": 6,
            "currency": "EUR"} if kind in ("purchase", "refund") else {}
    item = {"item_id": "tea"} if kind in ("view_item", "add_to_cart") else {}
    return {"event_id": f"e{number}", "event": kind, "ts": at.isoformat(), "customer_id": f"p{number % 7}", **item,
            **sold, **more}


def shop_at(place, *batches, items=None, toml=""):
    """A shop that took these batches one after the other."""
    shop = Shop.open(place)
    if toml:
        (place / "shop.toml").write_text((place / "shop.toml").read_text() + toml)
        shop = Shop.open(place)
    if items is not None:
        shop.ingest([items], table="items")
    for batch in batches:
        shop.ingest([batch])
    return shop


def steady(days, per_hour=3, kind="page_view", begin=MONDAY, skip=lambda at: False, extra=lambda at: 0, number=0):
    """So many events each hour, evenly spread; `skip` leaves hours out, `extra` adds to them."""
    log = []
    for hour in range(days * 24):
        start = begin + timedelta(hours=hour)
        n = (0 if skip(start) else per_hour) + extra(start)
        log += [event(number + len(log) + k, kind, start + timedelta(seconds=k * 3599 / max(n, 1))) for k in range(n)]
    return log


def weekly(mean, weeks, seed=0, dispersion=1.0):
    """(T,) hourly counts with a day's and a week's shape, Poisson or negative binomial; and their slots."""
    rng = np.random.default_rng(seed)
    hours = np.arange(weeks * 168)
    shape = np.clip(1.1 + np.sin((hours % 24 - 6) / 24 * 2 * np.pi), 0.05, None)
    means = mean * shape * np.where(hours // 24 % 7 >= 5, 1.3, 1)
    counts = rng.poisson(means) if dispersion == 1 else rng.negative_binomial(means / (dispersion - 1), 1 / dispersion)
    return Counts(counts.astype(np.float64), hours % 168, 24)
