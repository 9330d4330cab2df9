"""A shop with its collector and its live desk, as a server holds them."""

import json
from datetime import datetime, timedelta

from shopkeeper.recommend.live import LiveDesk, LiveSettings
from shopkeeper.shop import Shop
from shopkeeper.warehouse import folding
from shopkeeper.warehouse.collector import Arrived, Collector

DAY = 86_400_000_000


def iso(when):
    return (datetime(1970, 1, 1) + timedelta(microseconds=when)).isoformat() + "Z"


class Served:
    """Post to it, fold it, ask it; the machine's clock stands two days after the shop's."""

    def __init__(self, shop, settings=None):
        self.path = shop.path
        self.now = shop.now()
        self.wall = self.now + 2 * DAY
        self.live = LiveDesk.open(self.view(), settings or LiveSettings(), clock=lambda: self.wall)
        self.collector = Collector.open(self.view())

    def view(self):
        return Shop.open(self.path, create=False)

    def post(self, *records):
        ticket = self.collector.take(Arrived(json.dumps(records).encode(), "http:test", self.wall))
        self.collector.flush()
        assert ticket.stored == len(records), ticket.verdicts
        self.live.saw(ticket.events, self.wall)

    def change(self, table, change, *rows):
        ticket = self.collector.take(Arrived(json.dumps(rows).encode(), "http:test", self.wall, table=table,
                                             change=change))
        self.collector.flush()
        self.live.changed(table, change, ticket.rows)

    def log_exposures(self):
        while (body := self.live.exposures.drain()) is not None:
            assert self.collector.take(Arrived(body, "serve", self.wall)).quarantined == 0
            self.collector.flush()

    def fold(self):
        mark, shop = self.live.mark(), self.view()
        self.collector.seal()
        folding.fold(shop.store, shop.keys(), shop.config.roles, wait=2)
        self.collector.refresh()
        self.live.refresh(self.view(), folded=mark)

    def ask(self, customer, **more):
        found = json.loads(self.live.next_items(customer, **more).body)
        del found["request_id"]
        return found

    def ids(self, customer, **more):
        return [row["item_id"] for row in self.ask(customer, **more)["answer"]]

    def close(self):
        self.collector.close()
