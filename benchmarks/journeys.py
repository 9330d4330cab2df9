"""Journeys over a long log: the time and memory of a question, beside the same question in SQL by hand.

Protocol: `shopkeeper simulate` writes a log of 20 M lines (or 2 M), and a shop takes it in; both are kept in the
temporary folder for the next run. A funnel of three steps, a weekly retention of purchases, and paths of three steps
are counted by shopkeeper and by SQL for DuckDB that was written by hand, over the same stored files, with the same
limit of memory and the same threads; each in a process of its own, the least of three times. `seconds` is the whole
question: clock, groups, evidence, visits that dropped; `counting_seconds` only what the SQL does, too; `ratio_to_sql`
is the latter over the SQL's time, `ratio_of_processor` the same in seconds of processor, which other work on the
machine changes less. The SQL goes other ways (ASOF joins, ordered lists), so it is the oracle, too: the rows must be
equal, or the run ends with an error. `--quick` takes 200,000 lines.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from common import Report, arguments, in_a_fresh_process, peak_mb, print_table
from shopkeeper import Shop, journeys
from shopkeeper.journeys import asks, inputs
from shopkeeper.warehouse.engine import Engine, parquet

LINES = {"20m": 20_000_000, "2m": 2_000_000}
QUICK, TIMES = 200_000, 3
STEPS, WITHIN, DEPTH, DAY = ("view_item", "add_to_cart", "purchase"), 7, 3, 86_400
Rows = list[tuple[Any, ...]]

ACTS = """WITH acts AS (
  SELECT coalesce(customer_id, anonymous_id) AS who, ts, event_id, event, session_id FROM events
  WHERE line = 0 AND (source IS NULL OR source <> 'serve') AND (traffic IS NULL OR traffic <> 'bot')
    AND coalesce(customer_id, anonymous_id) IS NOT NULL
    AND NOT starts_with(coalesce(customer_id, anonymous_id), 'order:') AND ts < make_timestamp({until}))"""

FUNNEL = ACTS + """,
views AS (SELECT who, ts FROM acts WHERE event = 'view_item'),
carts AS (SELECT c.who, c.ts, v.ts AS begun FROM (SELECT who, ts FROM acts WHERE event = 'add_to_cart') c
          ASOF JOIN views v ON c.who = v.who AND c.ts >= v.ts WHERE v.ts + INTERVAL {within} DAY >= c.ts),
sold AS (SELECT p.who, p.ts, c.begun FROM (SELECT who, ts FROM acts WHERE event = 'purchase') p
         ASOF JOIN carts c ON p.who = c.who AND p.ts >= c.ts WHERE c.begun + INTERVAL {within} DAY >= p.ts),
best AS (SELECT 0 AS step, who, 0.0 AS took FROM views GROUP BY who
         UNION ALL SELECT 1, who, min(epoch_us(ts) - epoch_us(begun)) / 1e6 FROM carts GROUP BY who
         UNION ALL SELECT 2, who, min(epoch_us(ts) - epoch_us(begun)) / 1e6 FROM sold GROUP BY who)
SELECT step, count(*), round(quantile_cont(took, 0.5), 3), round(quantile_cont(took, 0.9), 3)
FROM best GROUP BY step ORDER BY step"""

RETENTION = ACTS + """,
bought AS (SELECT who, ts, date_trunc('week', ts) AS week FROM acts WHERE event = 'purchase'),
starts AS (SELECT who, min(ts) AS ts, date_trunc('week', min(ts)) AS cohort FROM bought GROUP BY who),
sizes AS (SELECT cohort, count(*) AS people FROM starts GROUP BY cohort),
back AS (SELECT DISTINCT who, cohort, date_diff('week', cohort, week) AS unit
         FROM bought JOIN starts USING (who) WHERE bought.ts > starts.ts)
SELECT CAST(cohort AS DATE), unit, people, count(*) FROM back JOIN sizes USING (cohort)
GROUP BY ALL ORDER BY 1, 2"""

PATHS = ACTS + """,
visits AS (SELECT session_id, ts, event_id, event,
                  lag(event) OVER (PARTITION BY session_id ORDER BY ts, event_id) AS before
           FROM acts WHERE session_id IS NOT NULL AND event NOT IN ('refund', 'cancel_order', 'message_sent',
                                                                    'message_open', 'mention')),
walks AS (SELECT list(event ORDER BY ts, event_id) AS walk FROM visits
          WHERE before IS NULL OR before <> event GROUP BY session_id),
found AS (SELECT walk[list_position(walk, 'page_view'):list_position(walk, 'page_view') + {depth}] AS path
          FROM walks WHERE list_contains(walk, 'page_view'))
SELECT array_to_string(path, ' > '), count(*) FROM found GROUP BY 1 ORDER BY 2 DESC, 1"""

SQL = {"funnel": FUNNEL, "retention": RETENTION, "paths": PATHS}


def shop_of(lines: int, seed: int) -> Path:
    """The folder of a shop that took the simulated log in; made where it is not there yet."""
    folder = Path(tempfile.gettempdir()) / f"shopkeeper-benchmark-journeys-{lines}-{seed}"
    log, made = folder / "events.parquet", folder / "shop"
    if not made.exists():
        command = [sys.executable, "-m", "shopkeeper.doors.cli", "simulate", str(folder), "--events", str(lines),
                   "--seed", str(seed)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shop = Shop.open(folder / "part")
        shop.ingest(log)
        (folder / "part").rename(made)
    return made


def least(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """The least of a few times, in seconds and in seconds of processor, and what came out."""
    times, processor, found = [], [], None
    for _ in range(TIMES):
        began, busy = time.perf_counter(), time.process_time()
        found = work()
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
    return round(min(times), 2), round(min(processor), 2), found


def counting(shop: Shop, name: str) -> Rows:
    """What the SQL counts, by the expressions of the room, in the SQL's form."""
    rows, span = inputs.of_shop(shop, None, "event"), asks.Period().span(shop.now())
    if name == "funnel":
        found = shop.engine.run(inputs.funnel(inputs.within(rows, span), [(step,) for step in STEPS], WITHIN * DAY,
                                              "ordered", None)).to_pylist()
        return sorted((row["step"], row["people"], round(row["middle"], 3), round(row["slow"], 3)) for row in found)
    if name == "retention":
        cells = inputs.read_retention(shop, rows, [("purchase",)] * 2, "week", (span, None, ()))
        size = {row["cohort"]: row["people"] for row in cells if row["what"] == "size"}
        return sorted((date.fromordinal(date(1970, 1, 1).toordinal() + 7 * row["cohort"] - 3), row["unit"],
                       size[row["cohort"]], row["people"]) for row in cells if row["what"] == "on")
    visits = inputs.of_visits(shop, rows, span)
    table = shop.engine.run(inputs.paths(visits, "event", ("page_view",), DEPTH, forward=True, by=None)).to_pylist()
    walked = [(" > ".join(step for step in (row[f"step{k}"] for k in range(DEPTH + 1)) if step), row["visits"])
              for row in table if row["what"] == "path"]
    return sorted(walked, key=lambda row: (-row[1], row[0]))


def ours(folder: Path, name: str) -> dict[str, Any]:
    """A question, and what of it the SQL counts, too."""
    asked: dict[str, Callable[[Shop], Any]] = {
        "funnel": lambda shop: journeys.funnel(shop, STEPS, within=WITHIN), "retention": journeys.retention,
        "paths": lambda shop: journeys.paths(shop, walk=journeys.Walk(depth=DEPTH))}
    shop = Shop.open(folder)
    counted, processor, rows = least(lambda: counting(shop, name))
    seconds, _, _ = least(lambda: asked[name](shop))
    return {"seconds": seconds, "counting_seconds": counted, "processor": processor, "peak_mb": peak_mb(), "rows": rows,
            "events": shop.manifest.events}


def by_hand(folder: Path, name: str) -> dict[str, Any]:
    """The same in SQL."""
    shop = Shop.open(folder)
    files = parquet([shop.path / segment.file for segment in shop.manifest.segments])
    query = SQL[name].format(until=shop.now() + 1, within=WITHIN, depth=DEPTH)
    connection = duckdb.connect(config={"memory_limit": Engine.MEMORY})
    connection.execute(f"SET enable_progress_bar = false; CREATE VIEW events AS SELECT * FROM {files}")
    seconds, processor, rows = least(lambda: connection.execute(query).fetchall())
    return {"seconds": seconds, "processor": processor, "peak_mb": peak_mb(), "rows": rows}


def main() -> None:
    given = arguments(__doc__ or "", list(LINES))
    report = Report("journeys", "funnel, weekly retention and paths over a simulated log, beside SQL by hand over the "
                                "same files" + (f"; quick: {QUICK:,} lines" if given.quick else ""), seed=given.seed)
    for data in ["quick"] if given.quick else given.data if len(given.data) == 1 else ["20m"]:
        folder = shop_of(LINES.get(data, QUICK), given.seed)
        for name in SQL:
            mine, theirs = in_a_fresh_process(ours, folder, name), in_a_fresh_process(by_hand, folder, name)
            rows, right = mine.pop("rows"), theirs.pop("rows")
            if rows != right:
                raise SystemExit(f"{name}: {len(rows)} rows are not the {len(right)} of the SQL: "
                                 f"{sorted(set(rows) ^ set(right))[:6]}")
            mine |= {"ratio_to_sql": round(mine["counting_seconds"] / max(theirs["seconds"], 0.01), 2),
                     "ratio_of_processor": round(mine["processor"] / max(theirs["processor"], 0.01), 2),
                     "equal_to_sql": True, "rows": len(rows)}
            report.figures[f"{name} {data}"], report.peers[f"sql {name} {data}"] = mine, theirs
    print_table("Journeys", {**report.figures, **report.peers})
    report.print_last()


if __name__ == "__main__":
    main()
