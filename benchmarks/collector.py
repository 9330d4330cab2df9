"""What it costs to post events: `POST /v1/events` beside a bare ASGI handler that only appends the body and fsyncs.

Protocol: batches of 50 events of some 385 bytes, each with an id of its own, over 32 connections, from a second process
(`serving.post`; `client_cpu` says how much of a core it took). One worker on each side, on the same uvicorn settings
and event loop, both with group commit: while one write is on its way to the disk, the next group gathers. The two are
measured in turn, several rounds; the figures are medians over the rounds. `shopkeeper serve` runs as people run it: it
checks, compares every id with the past and folds what came in, on the same cores, while it is measured; `drain_seconds`
is what it still had to fold after a round, and `sustained` counts that time too. The shop has a past when it starts.
At the end the shop is opened: what it stored must be what was acknowledged, exactly.
The bound, `share_of_bare_asgi` >= .4, is the median over the rounds of ours / the bare round before it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from common import Report, arguments, in_a_fresh_process, print_table
from serving import BATCH, MARK, Load, Served, post, serving, shopkeeper
from shopkeeper import Shop
from shopkeeper.simulate import SimulationConfig, StreamConfig, write_stream

LIMIT = {"share_of_bare_asgi": 0.4}
TEMPLATES = 64
Message = MutableMapping[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]


class _Server(uvicorn.Server):
    """Uvicorn, whose process ends with 0 after a SIGTERM."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signal for as long as the server runs."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(self, "should_exit", True))
        yield


class Bare:
    """An ASGI application that appends each body to a file, and answers when an fsync has followed."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.parts: list[bytes] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.disk = ThreadPoolExecutor(1)
        self.wanted = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        more = True
        while more:
            message = await receive()
            self.parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(durable)
        self.wanted.set()
        await durable
        body = b'{"received":50,"stored":50,"duplicate":0,"quarantined":0,"results":[]}'
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.tasks.append(asyncio.create_task(self._flush()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            parts, self.parts, waiting, self.waiting = self.parts, [], self.waiting, []
            await loop.run_in_executor(self.disk, self._append, parts)
            for one in waiting:
                one.set_result(None)

    def _append(self, parts: list[bytes]) -> None:
        left = b"".join(parts)
        while left:
            left = left[os.write(self.file, left):]
        os.fdatasync(self.file)


def serve_bare(path: Path) -> None:
    """Serve the bare handler on a free port, on the settings of `shopkeeper serve`."""
    import uvloop

    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))

    async def run() -> None:
        config = uvicorn.Config(Bare(path), http="httptools", ws="none", lifespan="on", log_config=None,
                                access_log=False, server_header=False, date_header=False, proxy_headers=False)
        server = _Server(config)
        task = asyncio.create_task(server.serve([bound]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        print(json.dumps({"url": "http://{}:{}".format(*bound.getsockname())}), flush=True)
        await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def bodies(seed: int, customers: int, items: int) -> list[bytes]:
    """Prepared requests: arrays of 50 events of some 385 bytes, `MARK` in each event's id."""
    rng, now, out = random.Random(seed), datetime.now(UTC), []
    for _ in range(TEMPLATES):
        batch = []
        for place in range(BATCH):
            who, item = rng.randrange(customers), rng.randrange(items)
            at = now - timedelta(seconds=rng.uniform(1, 600))
            batch.append({
                "event_id": f"0192f3a4-{MARK.decode()}-{place:02d}", "event": rng.choice(["view_item", "select_item"]),
                "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "customer_id": f"c-{who:06d}",
                "anonymous_id": f"d-{who:07d}", "session_id": f"s-{rng.randrange(10**8):08d}",
                "item_id": f"i-{item:06d}", "price": round(rng.uniform(1, 200), 2), "currency": "EUR",
                "list_id": "category:Kitchen > Coffee", "position": rng.randrange(1, 20),
                "url": f"https://shop.example/item/{item}", "referrer": "https://www.google.com/",
                "device": "mobile", "country": "DE"})
        out.append(json.dumps(batch, separators=(",", ":")).encode())
    return out


def a_shop(folder: Path, quick: bool) -> tuple[Path, int]:
    """A shop with a past, and how many records it holds."""
    days = 10 if quick else 60
    config = StreamConfig(shop=SimulationConfig(customers=2_000, items=500, days=days))
    received = Shop.open(folder / "shop").ingest(write_stream(folder / "log", config).files[0])
    return folder / "shop", received.stored


def drained(server: Served) -> float:
    """Seconds until everything that came in has been folded."""
    began = time.perf_counter()
    while server.gauge("pending_records"):
        time.sleep(0.1)
        if time.perf_counter() - began > 120:
            raise SystemExit("what came in is not folded after two minutes")
    return time.perf_counter() - began


def stored_in(shop: Path) -> int:
    """Event records that the books say a shop stored, the server's own apart; its log must have all their rows."""
    opened = Shop.open(shop, create=False)
    books = [one for one in opened.manifest.imports if one.table == "events"]
    said, there = sum(one.lines for one in books), sum(one.rows for one in opened.manifest.segments)
    if said != there:
        raise SystemExit(f"the books say {said:,} rows, and the log has {there:,}")
    return sum(one.stored for one in books if "serve" not in one.sources)


def rounds(folder: Path, quick: bool, seed: int) -> tuple[list[dict[str, float]], list[dict[str, float]], int]:
    """The rounds of ours, those of the bare handler, and the records that were acknowledged."""
    shop, past = a_shop(folder, quick)
    prepared, seconds = bodies(seed, 2_000, 500), 4.0 if quick else 10.0
    print(f"{past:,} records lie in the shop; an event has {len(prepared[0]) / BATCH:.0f} bytes")
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    first, acknowledged = 0, past
    bare_command = [sys.executable, __file__, "bare", str(folder / "bare.log")]
    with serving(bare_command) as plain, serving(shopkeeper(shop)) as full:
        for number in range(2 if quick else 5):
            for server, into in ((plain, bare), (full, ours)):
                load: Load = in_a_fresh_process(post, server.host, server.port, prepared, first, seconds)
                first += 10_000_000
                into.append({"round": number, **load.figures(), "refused": sum(load.refused.values())})
                assert load.stored == BATCH * load.requests, load.figures()
                if server is full:
                    acknowledged += load.stored
                    rest = drained(full)
                    into[-1] |= {"drain_seconds": round(rest, 2),
                                 "sustained": round(load.stored / (load.seconds + rest), 1)}
    return ours, bare, acknowledged - stored_in(shop)


def middle(rows: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: round(float(np.median([row[name] for row in rows])), 3) for name in rows[0] if name != "round"}


def main() -> None:
    if sys.argv[1:2] == ["bare"]:
        serve_bare(Path(sys.argv[2]))
        return
    given = arguments(__doc__ or "", [])
    report = Report("collector", "batches of 50, 32 connections, one worker, group commit and fsync; folding on; "
                    + ("quick: 2 rounds of 4 s" if given.quick else "5 rounds of 10 s"), seed=given.seed, limit=LIMIT)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare, wrong = rounds(Path(folder), given.quick, given.seed)
    if wrong:
        raise SystemExit(f"the account is wrong: {wrong:,} acknowledged records are not in the shop")
    shares = [mine["events_per_second"] / other["events_per_second"] for mine, other in zip(ours, bare, strict=True)]
    report.figures = {**middle(ours), "share_of_bare_asgi": round(float(np.median(shares)), 4),
                      "shares": [round(one, 3) for one in shares], "account_exact": True}
    report.peers = {"bare ASGI": middle(bare)}
    print_table("POST /v1/events", {f"{name} {row['round']:.0f}": {key: row[key] for key in row if key != "round"}
                                    for pair in zip(bare, ours, strict=True)
                                    for name, row in zip(("bare", "shopkeeper"), pair, strict=True)})
    report.print_last()


if __name__ == "__main__":
    main()
