"""Whether a server can be left alone: half an hour of posts, recommendations and changes, and its memory.

Protocol: `shopkeeper serve` on a simulated shop of 20,000 items, 100,000 customers and some eight million events. Its
log is 14 days long, too short to learn from: the plain rule answers. From a second process: batches of 50 events,
recommendations, and a change of an item or of its stock, at the rates of `RATES`; customers and items are drawn at
random, so that most customers have had new events since they were asked about last. Memory is sampled each second: the
resident memory of the server's process (`resident_mb`, its highest in the second half; `own_mb` without the pages of
files, such as the index of events and the code), and of its whole tree with children that fold, shared pages counted
once (`tree_mb`). `growth_mb_per_minute` is the slope of the first by least squares over the second half.
A 429 or 503 is no error: it is counted, and the batch is sent again. At the end the shop is opened, and what it
stored must be what was acknowledged.
`--minutes N` sets the length (default: 30); `--quick` is one minute, on a shop of a tenth the size.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from collector import bodies, stored_in
from common import Report, print_table
from serving import MARK, Served, resident_mb, serving, shopkeeper
from shopkeeper import Shop
from shopkeeper.simulate import SimulationConfig, StreamConfig, write_stream

RATES = {"post": 20.0, "recommend": 40.0, "change": 2.0}      # requests a second; a post has 50 events
LIMIT = {"growth_mb_per_minute": 1.0, "resident_mb": 600.0, "errors": 0}


class Caller:
    """One thread with one connection that asks at a steady rate."""

    def __init__(self, server: Served, kind: str, seed: int, size: tuple[int, int]) -> None:
        self.kind, self.rng, self.size = kind, random.Random(f"{kind} {seed}"), size
        self.line = HTTPConnection(server.host, server.port, timeout=120)
        self.prepared = bodies(seed, size[0], size[1]) if kind == "post" else []
        self.latency: list[float] = []
        self.refused = self.stored = self.number = 0
        self.errors: list[str] = []

    def run(self, seconds: float) -> None:
        """Ask for so long; what comes late is made up for, a second's worth at most."""
        began, pause = time.monotonic(), 1 / RATES[self.kind]
        due = began
        while (now := time.monotonic()) < began + seconds:
            if now < due:
                time.sleep(due - now)
            due = max(due + pause, time.monotonic() - 1.0)
            self.once()

    def once(self) -> None:
        """One request, again and again while the server says that it is too busy."""
        method, path, body = self._request()
        while True:
            asked = time.perf_counter()
            self.line.request(method, path, body, {"content-type": "application/json"})
            answer = self.line.getresponse()
            said = answer.read()
            if answer.status not in (429, 503):
                break
            self.refused += 1
            time.sleep(float(answer.headers.get("retry-after", "0.5")))
        self.latency.append(time.perf_counter() - asked)
        if answer.status != 200:
            self.errors.append(f"{answer.status} {method} {path}: {said[:200]!r}")
        elif self.kind == "post":
            self.stored += json.loads(said)["stored"]

    def _request(self) -> tuple[str, str, bytes | None]:
        self.number += 1
        if self.kind == "post":
            body = self.prepared[self.number % len(self.prepared)].replace(MARK, b"%010d" % self.number)
            return "POST", "/v1/events", body
        if self.kind == "recommend":
            who = self.rng.randrange(self.size[0])
            return "GET", f"/v1/recommend/next_items?customer=c-{who:06d}&n=10", None
        item = f"i-{self.rng.randrange(self.size[1]):06d}"
        if self.number % 2:
            return "PATCH", "/v1/items", json.dumps([{"item_id": item, "price": self.number % 90 + 1}]).encode()
        return "PUT", "/v1/stock", json.dumps([{"item_id": item, "on_hand": self.number % 50}]).encode()


def a_shop(folder: Path, quick: bool) -> tuple[Path, int, tuple[int, int]]:
    """A shop; the event records that it holds; its customers and items."""
    size = (10_000, 2_000) if quick else (100_000, 20_000)
    config = StreamConfig(shop=SimulationConfig(customers=size[0], items=size[1], days=14))
    files = write_stream(folder / "log", config).files
    shop = Shop.open(folder / "shop")
    stored = shop.ingest(files[0]).stored
    shop.ingest(files[1], table="items")
    return folder / "shop", stored, size


def sampled(server: Served, until: threading.Event) -> list[tuple[float, ...]]:
    """Each second: the time (s), the server's resident memory, its tree's, and its own without files (MiB)."""
    out, began = [], time.monotonic()
    while not until.wait(1.0):
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident, own = (int(status.partition(name)[2].split()[0]) / 1024 for name in ("VmRSS:", "RssAnon:"))
        out.append((time.monotonic() - began, resident, resident_mb(server.tree()), own))
    return out


def soaked(shop: Path, size: tuple[int, int], seconds: float, seed: int) -> tuple[list[Caller], np.ndarray]:
    """The callers after their work, and the samples of memory (s, 4)."""
    done = threading.Event()
    with serving(shopkeeper(shop)) as server, ThreadPoolExecutor(len(RATES) + 1) as pool:
        callers = [Caller(server, kind, seed, size) for kind in RATES]
        samples = pool.submit(sampled, server, done)
        try:
            for work in [pool.submit(caller.run, seconds) for caller in callers]:
                work.result()
        finally:
            done.set()
        return callers, np.array(samples.result())


def figures(callers: list[Caller], samples: np.ndarray) -> dict[str, Any]:
    """What was seen."""
    half = samples[samples[:, 0] >= samples[-1, 0] / 2]
    slope, own = (np.polyfit(half[:, 0] / 60, half[:, column], 1)[0] for column in (1, 3))
    out: dict[str, Any] = {
        "growth_mb_per_minute": round(float(slope), 3), "own_growth_mb_per_minute": round(float(own), 3),
        "resident_mb": round(float(half[:, 1].max()), 1),
        "tree_mb": round(float(half[:, 2].max()), 1), "own_mb": round(float(half[:, 3].max()), 1),
        "errors": sum(len(one.errors) for one in callers),
        "refused": sum(one.refused for one in callers)}
    for one in callers:
        out[f"{one.kind}_requests"] = len(one.latency)
        out[f"{one.kind}_p99_ms"] = round(float(np.quantile(one.latency, 0.99)) * 1_000, 2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one minute, on a smaller shop")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    minutes = given.minutes or (1.0 if given.quick else 30.0)
    with tempfile.TemporaryDirectory() as folder:
        shop, past, size = a_shop(Path(folder), given.quick)
        print(f"{past:,} records of {size[0]:,} customers and {size[1]:,} items; {minutes:g} minutes begin", flush=True)
        callers, samples = soaked(shop, size, minutes * 60, given.seed)
        wrong = past + sum(one.stored for one in callers) - stored_in(shop)
    report = Report("soak", f"{minutes:g} minutes; {RATES} requests a second; {size[0]:,} customers, {size[1]:,} items",
                    seed=given.seed, limit=LIMIT)
    report.figures = {**figures(callers, samples), "account_exact": not wrong, "account_off_by": wrong}
    for text in [error for one in callers for error in one.errors][:5]:
        print(text)
    print_table("soak", {name: {"figure": value} for name, value in report.figures.items()})
    report.print_last()
    if wrong:
        raise SystemExit(f"the account is wrong by {wrong:,} records")


if __name__ == "__main__":
    main()
