"""Reading a Redis stream into a shop, each entry once, whatever is killed.

How far the stream was read is written with the records themselves, in one frame of the journal. After a kill the
reading goes on behind the last entry that is durable. Redis needs no consumer group and is never told what was read.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopkeeper.doors import streams
from shopkeeper.doors.streams import Entry, Position, Stream
from shopkeeper.errors import Backlog, BadInput, MissingExtra, NotWritten, Refusal
from shopkeeper.words import Sentence, say

if TYPE_CHECKING:
    from shopkeeper.warehouse.collector import Arrived, Collector, Ticket

LOCAL = "redis://127.0.0.1:6379/0"
LARGEST = 1 << 20  # bytes of records that are handed over at once, unless a single one is larger
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0  # seconds between two tries to reach Redis
_LOOK = 1.0  # seconds between two looks at what was trimmed


@dataclass(frozen=True)
class Feed:
    """A stream to read: the table `[consume]` of `shop.toml`, or the flags of the command.

    Attributes:
        redis: Where Redis is, `redis://HOST:PORT/DB` or `rediss://...`; it may hold a password, and is never shown.
        stream: Name of the stream.
        count: The most entries that are read at once.
        block: How long Redis holds a read when there is nothing, seconds.
    """

    redis: str = LOCAL
    stream: str = ""
    count: int = 500
    block: float = 1.0

    @property
    def source(self) -> str:
        """What its records say of where they come from; its positions stand under this name."""
        return streams.PREFIX + self.stream

    @property
    def shown(self) -> str:
        """Where Redis is, without user and password."""
        return re.sub(r"//[^/]*@", "//", self.redis).partition("?")[0]

    @classmethod
    def read(cls, path: Path) -> Feed | None:
        """The feed that a `shop.toml` names; None where it names none.

        Raises:
            BadInput: A name that is not known, or a value that makes no sense.
        """
        found = tomllib.loads(path.read_text("utf-8")).get("consume")
        if found is None:
            return None
        kinds = {"redis": str, "stream": str, "count": int}
        for name, value in found.items():
            if name not in kinds or type(value) is not kinds[name] or not value:
                raise BadInput(say("{path} says {name} = {value}.", path=str(path), name=name, value=repr(value)),
                               do=[say("one of: {names}", names=", ".join(kinds))],
                               why=say("[consume] names a Redis, a stream, and how many entries are read at once."))
        return cls(**found).checked()

    def checked(self) -> Feed:
        """The feed itself.

        Raises:
            BadInput: It names no stream, or something that is no address of a Redis.
        """
        if not self.stream or len(self.stream) > 512 or not self.stream.isprintable():
            raise BadInput(say("a stream needs a name."), do=[say("--stream clicks")])
        if not self.redis.startswith(("redis://", "rediss://", "unix://")):
            raise BadInput(say("this is no address of a Redis."), do=[say("--redis redis://127.0.0.1:6379/0")])
        if not 1 <= self.count <= 10_000:
            raise BadInput(say("count is {count}; it must be from 1 to 10,000.", count=self.count),
                           do=[say("--count 500")])
        return self


@dataclass
class State:
    """How far a consumer is.

    Attributes:
        read: Entries read since it began.
        stored, duplicate, quarantined: What became of them.
        lag: Entries of the stream that were not read yet, when Redis was last asked.
        missed: Entries that were gone before they were read, ever.
        connected: Whether Redis answers.
    """

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    lag: int = 0
    missed: int = 0
    connected: bool = False


class Consumer:
    """Reads one stream.

    Args:
        collector: Knows the durable positions; takes the records unless `take` does.
        feed: What to read.
        take: Hands records over and returns once they are durable.
        told: Is told what a person should know.
        tick: Is called between two reads.

    Attributes:
        state: How far it is; read it from any thread.
    """

    def __init__(self, collector: Collector, feed: Feed, *, take: Callable[[Arrived], Ticket] | None = None,
                 told: Callable[[Sentence], object] = lambda sentence: None,
                 tick: Callable[[], object] = lambda: None) -> None:
        self._collector, self._feed = collector, feed
        self._take, self._told, self._tick = take or flushed(collector), told, tick
        self.state = State()

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Read until told to stop; where Redis goes away, try again, less and less often.

        Args:
            stop: Ends it.
            once: End when everything that is there has been read.

        Raises:
            MissingExtra: The client is not installed. BadInput: Redis refuses us, or the name is no stream's; with
                `once` also: Redis cannot be reached.
        """
        redis = library()
        pause = _FIRST_PAUSE
        while not stop.is_set():
            try:
                with closing(self._client(redis)) as client:
                    client.ping()
                    self._reached()
                    pause = _FIRST_PAUSE
                    self._drain(client, stop, once)
                    return
            except (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError) as wrong:
                if not isinstance(wrong, redis.exceptions.BusyLoadingError | redis.exceptions.ReadOnlyError):
                    raise _refused(self._feed, wrong) from wrong
                self._away(wrong, pause, once)
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as wrong:
                self._away(wrong, pause, once)
            except NotWritten as wrong:
                self._told(say("{what} The stream is read again from the last durable entry in {pause:.0f} s.",
                               what=wrong.what, pause=max(1.0, pause)))
            self._tick()
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _client(self, redis: Any) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis.from_url(self._feed.redis, socket_timeout=self._feed.block + 5.0, socket_connect_timeout=5.0,
                                    retry=Retry(NoBackoff(), 0), decode_responses=False)

    def _reached(self) -> None:
        if not self.state.connected:
            self._told(say("reading {stream} of {redis} behind entry {entry}", stream=self._feed.stream,
                           redis=self._feed.shown, entry=self._durable().id))
        self.state.connected = True

    def _away(self, wrong: Exception, pause: float, once: bool) -> None:
        reason = type(wrong).__name__ + (f": {wrong}" if isinstance(wrong, OSError) else "")
        if once:
            raise BadInput(say("Redis cannot be reached at {redis}: {reason}", redis=self._feed.shown, reason=reason),
                           do=[say("redis-cli ping")], why=say("--once ends when everything was read.")) from wrong
        self._told(say("Redis is away at {redis} ({reason}); the next try is in {pause:.2g} s", redis=self._feed.shown,
                       reason=reason, pause=pause))
        self.state.connected = False

    def _durable(self) -> Position:
        return Position.of(self._collector.offsets.get(self._feed.source))

    def _drain(self, client: Any, stop: threading.Event, once: bool) -> None:
        """Read until told to stop, or (`once`) until there is nothing left."""
        position, looked = self._durable(), float("-inf")
        while not stop.is_set():
            if time.monotonic() - looked > _LOOK:
                position, looked = self._looked(client, position), time.monotonic()
            entries = self._entries(client, position, None if once else int(self._feed.block * 1000))
            position = self._handed_over(entries, position, stop)
            self._tick()
            if not entries:
                position, looked = self._looked(client, position), time.monotonic()
                if once:
                    return

    def _looked(self, client: Any, position: Position) -> Position:
        """Hold the position against the stream, and say what was gone before it was read."""
        try:
            stream = Stream.of(client.xinfo_stream(self._feed.stream))
        except library().exceptions.ResponseError as wrong:
            if "no such key" not in str(wrong).lower():
                raise
            return position  # nobody has made it yet
        found = streams.checked(position, stream)
        if found.anew:
            self._told(say("{stream} is not the stream that was read before: it was made anew, or put back to an "
                           "earlier state. It is read from its first entry; what is known already counts as duplicate.",
                           stream=self._feed.stream))
        if found.lost:
            self._told(say("{lost:,} entries of {stream} were trimmed or deleted before they were read. They are lost.",
                           lost=found.lost, stream=self._feed.stream))
        if found.before:
            self._told(say("{before:,} entries of {stream} had gone before this shop read its first.",
                           before=found.before, stream=self._feed.stream))
        self.state.missed = found.position.missed
        self.state.lag = max(0, stream.added - found.position.read) if found.position.read >= 0 else stream.length
        return found.position

    def _entries(self, client: Any, position: Position, block: int | None) -> list[Entry]:
        found = client.xread({self._feed.stream: position.id}, count=self._feed.count, block=block)
        return [(entry, fields or {}) for _, entries in dict(found or {}).items() for entry, fields in entries]

    def _handed_over(self, entries: Sequence[Entry], position: Position, stop: threading.Event) -> Position:
        """Hand entries over, in portions; the position that is durable then."""
        for part in _portions(entries, self._feed.stream):
            after = position.after(part)
            ticket = self._taken(part, after, stop)
            if ticket is None:  # told to stop while too much was waiting
                return position
            position = after
            self.state.read += len(part)
            self.state.lag = max(0, self.state.lag - len(part))
            for name in ("stored", "duplicate", "quarantined"):
                setattr(self.state, name, getattr(self.state, name) + getattr(ticket, name))
        return position

    def _taken(self, part: Sequence[Entry], after: Position, stop: threading.Event) -> Ticket | None:
        from shopkeeper.warehouse.collector import Arrived

        arrived = Arrived(streams.records(self._feed.stream, part), self._feed.source, time.time_ns() // 1000,
                          offsets={self._feed.source: str(after)})
        while not stop.is_set():
            try:
                return self._take(arrived)
            except Backlog as full:
                self._tick()
                stop.wait(full.retry_after)
        return None


def flushed(collector: Collector) -> Callable[[Arrived], Ticket]:
    """What hands records to a collector that nobody else flushes."""
    def take(arrived: Arrived) -> Ticket:
        ticket = collector.take(arrived)
        collector.flush()
        return ticket

    return take


async def alongside(take: Callable[[Arrived], Any], collector: Collector, feed: Feed,
                    told: Callable[[Sentence], object]) -> None:
    """Read a stream in a thread while a server runs; ends when its task is cancelled.

    Args:
        take: The server's coroutine function that hands records over, and returns once they are durable.
        collector: Of the server.
        feed: What to read.
        told: Is told, in that thread, what a person should know.
    """
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def taken(arrived: Arrived) -> Ticket:
        ticket: Ticket = asyncio.run_coroutine_threadsafe(take(arrived), loop).result()
        return ticket

    work = asyncio.ensure_future(asyncio.to_thread(Consumer(collector, feed, take=taken, told=told).run, stop))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await work
        raise


def _portions(entries: Sequence[Entry], stream: str) -> Iterator[Sequence[Entry]]:
    """Entries in portions of bounded size, in their order."""
    start = size = 0
    for number, (_, fields) in enumerate(entries):
        own = sum(len(name) + len(value) for name, value in fields.items())
        if number > start and size + own > LARGEST:
            yield entries[start:number]
            start, size = number, 0
        size += own
    if entries:
        yield entries[start:]


def library() -> Any:
    """The client of Redis.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import redis
    except ImportError as missing:
        raise MissingExtra(say("reading from Redis needs its client."), do=[say("pip install 'shopkeeper[redis]'")],
                           why=say("it is not needed for anything else.")) from missing
    return redis


def _refused(feed: Feed, wrong: Exception) -> Refusal:
    return BadInput(say("Redis at {redis} refuses to read {stream}: {reason}", redis=feed.shown, stream=feed.stream,
                        reason=str(wrong)),
                    do=[say("name another stream, or give the address with user and password.")],
                    why=say("a stream is made by XADD; reading it needs the rights to XREAD and XINFO."))
