"""What a service does beside taking and answering: live answers and what was shown, alerts, a broker, learning."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from shopkeeper.doors import feeds, webhook
from shopkeeper.doors.feeds import Feed
from shopkeeper.doors.http import jobs, resident
from shopkeeper.doors.http.service import Service
from shopkeeper.errors import Backlog, NotWritten
from shopkeeper.events.entrance import Event
from shopkeeper.events.schema import SERVICE
from shopkeeper.recommend.exposures import MARK
from shopkeeper.recommend.live import LiveDesk
from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Arrived
from shopkeeper.warehouse.compaction import due
from shopkeeper.warehouse.engine import SmallEngine
from shopkeeper.words import Sentence

SHOWN_EVERY = 0.25  # seconds between two looks at what was shown
DESK_EVERY, DESK_MOST = 60.0, 20_000  # seconds, and events, after which the live desk looks into the segments anew
GIVE_BACK_EVERY = 10.0  # seconds between two times that freed memory is given back
LABEL_EVERY = 3600.0  # seconds between two looks at who behaves like a machine
RETRY = 60.0        # seconds after which a broker that refused us is tried again


class Heard:
    """Acknowledged events on their way to the live desk: it hears of them before it answers next.

    What is folded before anybody asks is never heard: the desk finds it in the segments, many at once. While events
    pour in and nobody asks, nothing is done for each of them here.

    Args:
        desk: The live desk.
    """

    def __init__(self, desk: LiveDesk) -> None:
        self.desk = desk
        self._open: deque[Sequence[Event]] = deque()
        self._sealed: deque[Sequence[Event]] = deque()  # in the part of the journal that is being folded
        self._lock = threading.Lock()
        self.heard = 0  # events since the desk last looked into the segments

    def hear(self, events: Sequence[Event]) -> None:
        """Events that were acknowledged."""
        if events[0].event_id.startswith(MARK):
            return  # what was shown: the desk knows
        self._open.append(events)
        self.heard += len(events)

    def tell(self) -> None:
        """Let the desk hear of everything; called before it answers."""
        if self._open or self._sealed:
            with self._lock:
                for queue in (self._sealed, self._open):
                    while queue:
                        self.desk.saw(queue.popleft())

    def seal(self) -> None:
        """What was acknowledged so far is about to be folded."""
        with self._lock:
            self._sealed.extend(self._open.popleft() for _ in range(len(self._open)))

    def fold(self) -> None:
        """It was folded, and the desk has seen that."""
        with self._lock:
            self._sealed.clear()


def live(service: Service) -> tuple[LiveDesk, Heard]:
    """Open the live desk of a service, and keep it true: before `service.begin`."""
    path = service.shop.path
    desk = LiveDesk.open(Shop.open(path, create=False, engine=SmallEngine))
    desk.saw(service.collector.replay())
    heard = Heard(desk)
    marks = [0, 0]  # of the changes of tables before the journal was sealed; of those that are folded

    def sealing() -> None:
        marks[0] = desk.mark()
        heard.seal()

    def folded() -> None:
        marks[1] = marks[0]

    looked = (time.monotonic(), 0)  # when the desk last looked into the segments, and the mark of then

    def refresh(_: Shop) -> None:
        nonlocal looked
        if (service.nothing_else and heard.heard < DESK_MOST and time.monotonic() - looked[0] < DESK_EVERY
                and looked[1] == marks[1] and not due(service.shop.manifest)):
            return  # the desk knows of it already; looking slows down the answers that are given meanwhile. Not so
            # before a merging: of what it had not looked into by then, nobody could tell what is new
        heard.heard, looked = 0, (time.monotonic(), marks[1])
        desk.refresh(Shop.open(path, create=False, engine=SmallEngine), marks[1])
        if marks[1] == marks[0]:
            heard.fold()

    service.before_seal.append(sealing)
    service.folded.append(folded)
    service.after_fold.append(refresh)
    service.seen.append(heard.hear)
    service.changed.append(desk.changed)
    write = shown(service, desk)
    service.every(SHOWN_EVERY, write)
    service.at_end.append(write)
    service.also.append(lambda: {
        "exposures_waiting": ("Answers whose exposure is not in the journal yet.", desk.exposures.waiting),
        "exposures_left_out": ("Answers whose exposure found no room, since the start.", desk.exposures.left_out)})
    return desk, heard


def shown(service: Service, desk: LiveDesk) -> Callable[[], Awaitable[None]]:
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
        service.schedule(LABEL_EVERY, f"{jobs.__name__}:label")  # learning labels, too


def attach(service: Service) -> tuple[LiveDesk, Heard]:
    """Hang everything into a service, as its settings say; gives what the hot route asks."""
    resident.keep_small()
    settings = Path(service.shop.path) / "shop.toml"
    desk = live(service)
    webhook.attach(service)
    service.every(GIVE_BACK_EVERY, resident.give_back)
    learning(service, service.settings.learn_hours)
    found = Feed.read(settings)
    if found is not None:
        feed(service, found)
    return desk

