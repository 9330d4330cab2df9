"""What it costs that visitors count as the customers they are joined to, as ratios to reading the same log raw.

Protocol: `shopkeeper simulate` writes a log, which is taken into a fresh shop; `identity join` joins what it can. Then
each question is asked of the shop, raw and joined in turn, and the least of five times counts: lines of people with
items, events by kind (no customer is asked for), events and money by customer, by customer in the last week, and the
history of one person. Then once more, when 1 % of the devices of customers are shared with somebody. `--quick` takes
200,000 events instead of 5,000,000.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import Report, arguments, print_table
from shopkeeper import Shop, identity
from shopkeeper.recommend import inputs
from shopkeeper.simulate import asked_for, write_stream

DAY, TIMES = 86_400_000_000, 5


def questions(shop: Shop) -> dict[str, Callable[[], Any]]:
    """What is asked."""
    def by(column: str, start: int | None = None) -> Any:
        events = shop.events(start)
        return shop.engine.run(events.group_by(column).aggregate(n=events.count(), value=events.value.sum()))

    return {"lines of people": lambda: shop.engine.run(inputs.people(inputs.few(shop.events(), shop.config.roles))),
            "by kind": lambda: by("event"), "by customer": lambda: by("customer_id"),
            "by customer, a week": lambda: by("customer_id", shop.now() - 7 * DAY),
            "one history": lambda: inputs.read_history(shop, "c-000100")}


def ratios(path: Path) -> dict[str, float]:
    """Question -> time with joined people, as a ratio to raw."""
    raw, joined = (questions(Shop.open(path, identity=one)) for one in ("raw", "joined"))
    return {name: round(_least(joined[name]) / _least(raw[name]), 2) for name in raw}


def _least(ask: Callable[[], Any]) -> float:
    ask()
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return min(times)


def _measure(answer: Any, name: str) -> int:
    row = answer.table["measure"].to_pylist().index(name)
    return int(answer.table["value"][row].as_py())


def _strangers(file: Path, now: int) -> pa.Table:
    """A login of somebody else on one in a hundred devices of customers."""
    seen = pq.read_table(file, columns=["anonymous_id"], filters=pc.is_valid(pc.field("customer_id")))
    some = pc.unique(seen["anonymous_id"]).drop_null().sort()[::100]
    n = len(some)
    return pa.table({"event_id": [f"stranger-{row}" for row in range(n)], "event": ["login"] * n, "anonymous_id": some,
                     "customer_id": ["somebody else"] * n, "ts": pa.array([now] * n, pa.timestamp("us"))})


def main() -> None:
    given = arguments(__doc__ or "", ["simulated"])
    events = 200_000 if given.quick else 5_000_000
    report = Report("identity", f"{events:,} simulated events; joined against raw", seed=given.seed)
    with tempfile.TemporaryDirectory() as folder:
        log, path = Path(folder) / "log", Path(folder) / "shop"
        write_stream(log, asked_for(events, {}, {"days": 120, "seed": given.seed}))
        shop = Shop.open(path)
        shop.ingest(log / "events.parquet")
        report.figures |= {"events": shop.manifest.rows, "visitors": _measure(identity.report(shop), "visitors"),
                           "joins": identity.join(shop).table.num_rows}
        rows = {"joined": ratios(path)}
        shop.ingest(_strangers(log / "events.parquet", shop.now()))
        rows["1 % shared"] = ratios(path)
        report.figures |= rows
    print_table("Time, as a ratio to reading raw", rows)
    report.print_last()


if __name__ == "__main__":
    main()
