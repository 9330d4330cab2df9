"""A real door over a real shop in this process, and a real server in another."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from shopkeeper import Shop
from shopkeeper.asking import plain
from shopkeeper.doors.http.app import door
from shopkeeper.doors.http.guard import Guard
from shopkeeper.doors.http.keyring import KeyRing
from shopkeeper.doors.http.logs import Log
from shopkeeper.doors.http.service import Service
from shopkeeper.doors.http.settings import Settings
from shopkeeper.doors.http.worker import Worker, _answer, _opened
from shopkeeper.warehouse.collector import Collector
from warm import warm

HOST = "http://127.0.0.1"
CLICK = {"event": "view_item", "ts": "2026-03-01T10:00:00Z", "customer_id": "new-one", "item_id": "i-1"}


@lru_cache(maxsize=1)
def simulated() -> Shop:
    """A small shop; only looked at. Tests that write take `copied`."""
    return Shop.simulated(customers=60, items=30, days=40)


def copied(folder: Path) -> Path:
    """A copy of the small shop."""
    shutil.copytree(simulated().path, folder)
    return folder


class InThread(Worker):
    """A worker that does the same jobs, told by the same lines, in a thread of this process."""

    async def do(self, job: str, **given: object) -> Any:
        asked = json.dumps({"job": job, "given": plain(given)}).encode()
        async with self._turn:
            answer = json.dumps(await asyncio.to_thread(_answer, self.shop, asked))
        return _opened(json.loads(answer), job)


class Here(Service):
    """A service that starts no processes."""

    async def begin(self) -> None:
        await super().begin()
        self._worker, self._learner = InThread(self.shop.path), InThread(self.shop.path)


class Client:
    """Asks a door from outside its event loop."""

    def __init__(self, application: Any, loop: asyncio.AbstractEventLoop, service: Service) -> None:
        self.service, self._loop = service, loop
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=HOST)

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.run(self._http.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self("POST", path, **({} if json is None else {"json": json}), **more)

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=120)


@contextmanager
def served(folder: Path, *, settings: Settings | None = None, here: bool = True, log: Log | None = None,
           disk: Any = None, fold: bool = True, kind: type[Service] = Here) -> Iterator[Client]:
    """A door over the shop in a folder, for as long as the block runs; as a `Service` it has processes of its own."""
    shop = Shop.open(folder)
    settings = settings or Settings.read(folder / "shop.toml")
    service = kind(shop, Collector.open(shop, disk=disk), settings, log=log, fold=fold)
    application = door(service, Guard(KeyRing(folder), settings, open_here=here))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client = Client(application, loop, service)
    try:
        client.run(service.begin())
        yield client
    finally:
        client.run(client._http.aclose())
        client.run(service.end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *flags: str, log: Path | None = None) -> None:
        self.folder = folder
        self._log = (log or folder.parent / f"{folder.name}.log").open("ab")
        self.process = warm().start(None, "serve", folder, "--port", "0", "--json", *flags, stdout=subprocess.PIPE,
                                    stderr=self._log)
        line = self.process.stdout.readline()
        self.told = json.loads(line) if line else {}
        self.http = httpx.Client(base_url=self.told.get("url", HOST), timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait; gives the exit code."""
        self.process.signal(number)
        code = self.process.wait()
        self.close()
        return code

    def close(self) -> None:
        self.process.signal(signal.SIGKILL)
        self.process.wait()
        self.http.close()
        self._log.close()
        self.process.stdout.close()


def events(n: int, start: int = 0, customer: str = "new-one") -> list[dict[str, Any]]:
    """Clicks with ids of their own."""
    return [{**CLICK, "event_id": f"click-{number}", "customer_id": customer} for number in range(start, start + n)]


def account(folder: Path) -> dict[str, int]:
    """What the imports of a shop add up to."""
    imports = Shop.open(folder).manifest.imports
    return {name: sum(getattr(entry, name) for entry in imports)
            for name in ("received", "stored", "duplicate", "quarantined")}
