"""Scenes for the tests of the journal: a shop, requests as they are posted, and what the account says of them."""

import json

from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Collector
from shopkeeper.warehouse.folding import fold
from shopkeeper.warehouse.journal import Arrived

NOW = 1_790_848_800_000_000  # 2026-10-01 10:00 UTC
VIEW = {"event": "view_item", "ts": "2026-10-01T09:00:00Z", "customer_id": "ann", "item_id": "tea"}


def view(name, **fields):
    return {"event_id": name, **VIEW, **fields}


def posted(*records, source="http:shop", at=NOW, **fields):
    return Arrived(json.dumps(list(records)).encode(), source, at, **fields)


def told(ticket):
    """What a ticket says: received, stored, duplicate, quarantined."""
    return (ticket.received, ticket.stored, ticket.duplicate, ticket.quarantined)


def folded(shop, collector=None):
    """Fold what is sealed; the account, as `told`."""
    if collector is not None:
        collector.seal()
    done = fold(shop.store, shop.keys(), shop.config.roles)
    shop.refresh()
    if collector is not None:
        collector.refresh()
    return None if done is None else (done.received, done.stored, done.duplicate, done.quarantined)


def account(shop, *names):
    """Source and table -> the counts of its entry."""
    return {(entry.sources[0], entry.table): (entry.received, entry.stored, entry.duplicate, entry.quarantined)
            for entry in shop.manifest.imports}


def ids(shop):
    return sorted(shop.engine.run(shop.engine.events().filter(lambda t: t.line == 0))["event_id"].to_pylist())


def opened(path):
    shop = Shop.open(path)
    return shop, Collector.open(shop)
