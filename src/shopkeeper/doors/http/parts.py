"""What a service does beside taking and answering: live answers and what was shown, alerts, a broker, learning."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from shopkeeper.doors import feeds, webhook
from shopkeeper.doors.feeds import Feed
from shopkeeper.doors.http import jobs
from shopkeeper.doors.http.service import Service
from shopkeeper.errors import Backlog, NotWritten
from shopkeeper.recommend.live import LiveDesk
from shopkeeper.shop import Shop
from shopkeeper.events.schema import SERVICE
from shopkeeper.warehouse.collector import Arrived
from shopkeeper.words import Sentence

SHOWN_EVERY = 0.25  # seconds between two looks at what was shown
RETRY = 60.0        # seconds after which a broker that refused us is tried again


def live(service: Service) -> LiveDesk:
    """Open the live desk of a service, and keep it true: before `service.begin`."""
    path = service.shop.path
    desk = LiveDesk.open(Shop.open(path, create=False))
    desk.saw(service.collector.replay())
    marks = [0, 0]  # of what was taken before the journal was sealed; of what is folded

    def sealing() -> None:
        marks[0] = desk.mark()

    def folded() -> None:
        marks[1] = marks[0]

    def refresh(_: Shop) -> None:
        desk.refresh(Shop.open(path, create=False), marks[1])

    service.before_seal.append(sealing)
    service.folded.append(folded)
    service.after_fold.append(refresh)
    service.seen.append(desk.saw)
    service.changed.append(desk.changed)
    service.every(SHOWN_EVERY, shown(service, desk))
    service.also.append(lambda: {
        "exposures_waiting": ("Answers whose exposure is not in the journal yet.", desk.exposures.waiting),
        "exposures_left_out": ("Answers whose exposure found no room, since the start.", desk.exposures.left_out)})
    return desk


def shown(service: Service, desk: LiveDesk) -> Callable[[], object]:
    """What writes down what was shown, in portions."""

    async def write() -> None:
        while (body := desk.exposures.drain()) is not None:
            try:
                await service.take(Arrived(body, SERVICE, time.time_ns() // 1000))
            except (Backlog, NotWritten):
                desk.exposures.put_back(body)  # it waits, and what finds no room is counted
                return

    return write


def feed(service: Service, found: Feed) -> None:
    """Read a broker's stream for as long as the service lives."""

    def told(sentence: Sentence) -> None:
        service.log.event("consume", "info", what=str(sentence))

    async def read() -> None:
        await feeds.alongside(service.take, service.collector, found, told)

    service.run_on("consume", read, RETRY)


def learning(service: Service, hours: float) -> None:
    """Learn in a process of its own: soon after the start, then every so many hours; 0: never."""
    if hours > 0:
        service.schedule(hours * 3600, f"{jobs.__name__}:learn", first=min(hours * 3600, 300.0))


def attach(service: Service) -> LiveDesk:
    """Hang everything into a service, as its settings say."""
    settings = Path(service.shop.path) / "shop.toml"
    desk = live(service)
    webhook.attach(service)
    learning(service, service.settings.learn_hours)
    found = Feed.read(settings)
    if found is not None:
        feed(service, found)
    return desk

