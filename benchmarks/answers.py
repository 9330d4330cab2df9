"""What it costs to ask `next_items`: over HTTP beside a bare ASGI handler that answers a constant, and in process.

Protocol: a simulated shop, learned with `learn` and served as people serve it, one worker. The load comes from a second
process, wrk: one thread, 32 connections. One request in six posts one click, and the next request asks for the same
customer, so that one customer in five has a new event since their last answer. `requests_per_second` counts the answers
alone; the latencies are those of answers and clicks together. The bare handler answers a body of the same size as an
answer, under the same load. Exposures are logged, and what comes in is folded meanwhile, on the same cores.
In process: a catalogue of 100,000 items (20,000 in the quick run), histories of thirty lines, one customer at a time;
ranking alone, without what the desk lays around it. Under `neighbours`, and under a network of the default shape that
was restored from its state where torch was never imported (how well it was trained changes no time): `network_mb` is
what that process holds, `floor_mb` what it held before. `--data in-process` measures that alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from collector import _Server as QuietServer
from common import Report, arguments, in_a_fresh_process, print_table
from serving import resident_mb, serving, shopkeeper
from shopkeeper import Shop
from shopkeeper.doors.http.server import _loop
from shopkeeper.events.mapping import Mapping
from shopkeeper.learn import learn
from shopkeeper.recommend.methods.base import DAY, Fitted, Histories, Interactions
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams
from shopkeeper.simulate import SimulationConfig, simulate

LIMIT = {"requests_per_second": 800, "p99_ms": 60, "in_process_p50_ms": 4, "resident_mb": 600}
LUA = """
local people, items, n = %d, %d, 0
math.randomseed(%d)
local stamp = os.time()
request = function()
  n = n + 1
  if n %% 6 == 0 then
    who = math.random(1, people)
    local body = string.format('[{"event":"view_item","event_id":"load-%%d-%%d","ts":"%%s","customer_id":"c-%%06d",' ..
      '"item_id":"i-%%06d"}]', stamp, n, os.date("!%%Y-%%m-%%dT%%H:%%M:%%SZ"), who, math.random(1, items))
    return wrk.format("POST", "/v1/events", {["content-type"] = "application/json"}, body)
  end
  local asked = n %% 6 == 1 and who or math.random(1, people)
  return wrk.format("GET", string.format("/v1/recommend/next_items?customer=c-%%06d", asked))
end
done = function(summary, latency)
  io.write(string.format('{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "errors": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


def load(host: str, port: int, script: Path, seconds: int) -> dict[str, float]:
    """What wrk measured."""
    done = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", str(script), f"http://{host}:{port}"],
                          capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(re.findall(r"^\{.*\}$", done.stdout, re.MULTILINE)[-1])
    return {"requests_per_second": round(found["requests"] / found["seconds"] * 5 / 6, 1),
            **{name: round(found[name], 3) for name in ("p50_ms", "p99_ms", "errors")}}


def bare(size: int) -> None:
    """Serve a constant of so many bytes, and print where."""

    async def answer(scope: Any, receive: Callable[[], Awaitable[Any]],
                     send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    config = uvicorn.Config(answer, port=0, log_level="error", access_log=False, lifespan="off")
    socket = config.bind_socket()
    socket.listen(256)  # whoever reads the address may come at once
    print(json.dumps({"url": f"http://127.0.0.1:{socket.getsockname()[1]}"}), flush=True)
    with asyncio.Runner(loop_factory=_loop()) as runner:  # asyncio's own would wait 40 ms for what TCP delays
        runner.run(QuietServer(config).serve([socket]))


def made(path: Path, people: int, items: int, days: int) -> None:
    """A learned shop."""
    world = simulate(SimulationConfig(customers=people, items=items, days=days, seed=7))
    shop = Shop.open(path)
    shop.ingest(world.events, received_at=world.truth.until)
    shop.ingest(world.items, table="items", mapping=Mapping(currency="EUR"))
    learn(shop, room="recommend")


def in_process(items: int) -> float:
    """Milliseconds, the median over customers asked one at a time."""
    chance, n, people = np.random.default_rng(0), 6 * items, items // 5
    item = np.minimum(chance.zipf(1.3, n) - 1 + chance.integers(0, items, n), items - 1)
    step = np.arange(n, dtype=np.int64)
    log = Interactions(np.sort(chance.integers(0, people, n)).astype(np.int32), item.astype(np.int32), step, step,
                       np.ones(n, np.float32), people, items)
    fitted = Neighbours().fit(log, n, NeighboursParams())
    return median_ms(fitted, [Histories.of(log.where(log.customer == one), [one])
                              for one in range(0, people, people // 400)])


def median_ms(fitted: Fitted, histories: Sequence[Histories]) -> float:
    """Milliseconds, the median over customers asked one at a time."""
    took = []
    for history in histories:
        began = time.perf_counter()
        fitted.top(history, int(history.when.max()) + 1, 10)
        took.append(time.perf_counter() - began)
    return round(1_000 * float(np.median(took)), 3)


def network(path: Path, items: int) -> None:
    """Write the state of a network of the default shape over so many items, hardly trained."""
    chance, params = np.random.default_rng(0), SequenceParams(epochs=1)
    step = np.arange(600, dtype=np.int64)
    log = Interactions(np.repeat(np.arange(20), 30).astype(np.int32), chance.integers(0, items, 600).astype(np.int32),
                       step * DAY, step, np.ones(600, np.float32), 20, items)
    arrays, meta = SequenceNetwork(params).fit(log, 600 * DAY, params).state()
    np.savez(path, meta=np.array(json.dumps(meta)), **arrays)


def network_in_process(path: Path, items: int) -> dict[str, float]:
    """The median time of an answer, and megabytes that are held with and without the network."""
    floor = held_mb()
    with np.load(path) as file:
        fitted = SequenceNetwork().restore({name: file[name] for name in file.files if name != "meta"},
                                           json.loads(str(file["meta"])))
    chance = np.random.default_rng(1)
    when = np.arange(30, dtype=np.int64) * DAY
    histories = [Histories.single(chance.integers(0, items, 30), when=when) for _ in range(400)]
    p50 = median_ms(fitted, histories)
    if "torch" in sys.modules:
        raise SystemExit("torch was imported: this would not be what a service holds")
    return {"network_p50_ms": p50, "network_mb": held_mb(), "floor_mb": floor}


def held_mb() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--bare":
        bare(int(sys.argv[2]))
        return
    given = arguments(__doc__ or "", ["in-process", "http"])
    people, items, days, seconds = (200, 80, 70, 5) if given.quick else (20_000, 20_000, 90, 30)
    report = Report("answers", f"{people:,} customers, {items:,} items, wrk -t1 -c32 for {seconds} s; one request in "
                    "six a click" + ("; quick: a small shop" if given.quick else "")
                    + ("" if len(given.data) > 1 else f"; {given.data[0]} alone"), seed=given.seed, limit=LIMIT)
    if "in-process" in given.data:
        many = 20_000 if given.quick else 100_000
        report.figures["in_process_p50_ms"] = in_a_fresh_process(in_process, many)
        with tempfile.TemporaryDirectory() as folder:
            in_a_fresh_process(network, Path(folder) / "network.npz", many)
            report.figures |= in_a_fresh_process(network_in_process, Path(folder) / "network.npz", many)
    if "http" in given.data:
        over_http(report, people, items, days, seconds)
    print_table("answers", {"next_items": report.figures, **report.peers, "target": LIMIT})
    report.print_last()


def over_http(report: Report, people: int, items: int, days: int, seconds: int) -> None:
    """Serve a learned shop, and load it."""
    with tempfile.TemporaryDirectory() as folder:
        shop, script = Path(folder) / "shop", Path(folder) / "load.lua"
        in_a_fresh_process(made, shop, people, items, days)
        script.write_text(LUA % (people, items, report.seed))
        with serving(shopkeeper(shop)) as served:
            answer = served.get("/v1/recommend/next_items?customer=c-000001")
            report.figures |= {"method": json.loads(answer)["method"], "share_of_clicks": 1 / 6,
                               **load(served.host, served.port, script, seconds),
                               "resident_mb": round(resident_mb(served.tree()), 1)}
        with serving([sys.executable, os.path.abspath(__file__), "--bare", str(len(answer))]) as plain:
            report.peers["bare_asgi"] = load(plain.host, plain.port, script, seconds)


if __name__ == "__main__":
    main()
