"""`shopkeeper consume`, written by hand: a Redis stream into a shop, folded as it comes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from shopkeeper.doors import output, parser, printing
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import ShopBusy
from shopkeeper.menu import Parameter
from shopkeeper.words import Sentence, put, say

if TYPE_CHECKING:
    from shopkeeper.doors.feeds import Feed, State
    from shopkeeper.shop import Shop
    from shopkeeper.warehouse.collector import Collector

CONSUME = say("Read a Redis stream into a shop, each entry once.")
_SAY = 10.0  # seconds between two lines about how far it is
_FOLD, _FOLD_RECORDS = 5.0, 20_000  # seconds, and waiting records, after which is folded


def prepare(to: Parser) -> None:
    """Give the parser the flags of `consume`."""
    to.place("shop", say("the shop's folder; made if it is not there"))
    to.add_argument("--redis", dest="redis", metavar="URL",
                    help=to.text(say("where Redis is (default: [consume] of shop.toml, $REDIS_URL, or this machine)")))
    to.add_argument("--stream", dest="stream", metavar=put(say("NAME"), to.language),
                    help=to.text(say("the stream to read (default: [consume] of shop.toml)")))
    to.add_argument("--count", dest="count", metavar="N", type=parser.converter("--count", Parameter("count", "int")),
                    help=to.text(say("the most entries that are read at once (default: 500)")))
    to.add_argument("--once", dest="once", action="store_true",
                    help=to.text(say("end when everything that is there has been read")))
    output.add(to, table=False)


def run(found: Namespace, out: Output) -> None:
    """Read a stream into a shop until it is stopped, folding as it goes; then say what came."""
    from shopkeeper.doors.feeds import LOCAL, Consumer, Feed, library
    from shopkeeper.doors.streams import Position
    from shopkeeper.shop import Shop
    from shopkeeper.warehouse.collector import Collector

    library()
    given = {name: value for name in ("redis", "stream", "count") if (value := getattr(found, name, None)) is not None}
    shop = Shop.open(found.shop)
    standing = Feed.read(shop.path / "shop.toml")
    base = asdict(standing) if standing is not None else {"redis": os.environ.get("REDIS_URL", LOCAL)}
    feed = Feed(**{**base, **given}).checked()
    teller = _Teller(out.language)
    with _stopped_by_signals() as stop, closing(Collector.open(shop)) as collector:
        keeper = _Keeper(shop, collector, teller)
        consumer = Consumer(collector, feed, told=teller, tick=lambda: keeper(consumer.state))
        consumer.run(stop, once=getattr(found, "once", False))
        keeper.fold()
        missed = Position.of(collector.offsets.get(feed.source)).missed
    _deliver(consumer.state, max(missed, consumer.state.missed), feed, out)


class _Teller:
    """Says on stderr what a person should know."""

    def __init__(self, language: str) -> None:
        self._language, self._to = language, sys.stderr

    def __call__(self, sentence: Sentence) -> None:
        print(put(sentence, self._language), file=self._to, flush=True)


class _Keeper:
    """Folds what was taken when it is time, and says how far the reading is."""

    def __init__(self, shop: Shop, collector: Collector, told: _Teller) -> None:
        self._shop, self._collector, self._told = shop, collector, told
        self._folded = self._said = time.monotonic()
        self._read = 0

    def __call__(self, state: State) -> None:
        """Between two reads."""
        now = time.monotonic()
        pending = self._collector.pending.records
        if pending and (now - self._folded > _FOLD or pending >= _FOLD_RECORDS):
            try:
                self.fold()
            except ShopBusy as busy:  # the journal keeps it; later is early enough
                self._told(busy.what)
            self._folded = now
        if state.read != self._read and now - self._said > _SAY:
            self._told(say("{read:,} entries read, {lag:,} left", read=state.read, lag=state.lag))
            self._said, self._read = now, state.read

    def fold(self) -> None:
        """Fold everything that is durable."""
        from shopkeeper.warehouse import folding

        self._collector.seal()
        folding.fold(self._shop.store, self._shop.keys(), self._shop.config.roles, wait=_FOLD)
        self._shop.refresh()
        self._collector.refresh()


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    # set by a thread: a handler that took the event's own lock could wait for the wait that it interrupts
    def told(*_: object) -> None:
        threading.Thread(target=stop.set).start()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deliver(state: State, missed: int, feed: Feed, out: Output) -> None:
    if out.form == "json":
        from shopkeeper.asking import as_json

        printing.write(as_json({"stream": feed.stream, "read": state.read, "stored": state.stored,
                                "duplicate": state.duplicate, "quarantined": state.quarantined, "missed": missed}))
        return
    to = printing.console_to()
    printing.line(to, put(say("{stream}: received {read:,} = stored {stored:,} + duplicate {duplicate:,} + quarantined "
                              "{quarantined:,}", stream=feed.stream, read=state.read, stored=state.stored,
                              duplicate=state.duplicate, quarantined=state.quarantined), out.language))
    if missed:
        printing.line(to, put(say("{missed:,} entries were gone before they were read.", missed=missed), out.language))
