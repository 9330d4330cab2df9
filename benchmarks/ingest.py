"""What it takes to take in a log: events a second, the peak of memory, and the time against a sorted rewrite by DuckDB.

Protocol: `shopkeeper simulate` writes the log (2 % repeats, 5 % late, 10 % of it bots; kept in the temporary folder for
the next run). It is taken into a fresh shop by a process of its own; the lower bound, in a process of its own too, is
DuckDB's `COPY (SELECT * FROM file ORDER BY ts)` to Parquet with zstd of the same file. Both have all cores. The peak is
the largest resident set of the process and of its children. The account must add up, or the run ends with an error.
`--quick` takes 200,000 events and leaves 100m out.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from common import Report, arguments, in_a_fresh_process, print_table

EVENTS = {"parquet-20m": 20_000_000, "csv-20m": 20_000_000, "100m": 100_000_000}
QUICK = 200_000
SPOILED = ["--duplicates", "0.02", "--disorder", "0.05", "--bots", "0.1"]


def log(events: int, form: str, seed: int) -> Path:
    """The simulated log; made where it is not there yet."""
    folder = Path(tempfile.gettempdir()) / f"shopkeeper-benchmark-ingest-{events}-{seed}"
    parquet, csv = folder / "events.parquet", folder / "events.csv"
    if not parquet.exists():
        command = [sys.executable, "-m", "shopkeeper.doors.cli", "simulate", str(folder), "--events", str(events),
                   "--seed", str(seed), *SPOILED]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if form == "csv" and not csv.exists():
        in_a_fresh_process(write_csv, parquet, csv)
    return csv if form == "csv" else parquet


def write_csv(parquet: Path, csv: Path) -> None:
    """The same log as CSV; in a process of its own, for a child begins with its parent's peak of memory."""
    duckdb.sql("SET enable_progress_bar = false")
    duckdb.sql(f"COPY (SELECT * FROM '{parquet}') TO '{csv}.part' (FORMAT csv, HEADER)")
    csv.with_name("events.csv.part").rename(csv)


def peak() -> float:
    """The largest resident set of this process and of its children, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
                 / unit, 1)


def ingest(path: Path) -> dict[str, float]:
    """Take a file into a fresh shop."""
    from shopkeeper import Shop

    with tempfile.TemporaryDirectory() as folder:
        shop = Shop.open(Path(folder) / "shop")
        began = time.perf_counter()
        done = shop.ingest(path)
        seconds = time.perf_counter() - began
    if done.received != done.stored + done.duplicate + done.quarantined:
        raise SystemExit(f"the account does not add up: {done}")
    return {"seconds": round(seconds, 1), "received": done.received, "stored": done.stored,
            "duplicate": done.duplicate, "quarantined": done.quarantined,
            "events_per_second": round(done.received / seconds), "peak_mb": peak()}


def rewrite(path: Path) -> dict[str, float]:
    """The same file sorted by DuckDB."""
    with tempfile.TemporaryDirectory() as folder:
        duckdb.sql("SET enable_progress_bar = false")
        began = time.perf_counter()
        duckdb.sql(f"COPY (SELECT * FROM '{path}' ORDER BY ts) TO '{folder}/sorted.parquet' "
                   "(FORMAT parquet, COMPRESSION zstd)")
        return {"seconds": round(time.perf_counter() - began, 1), "peak_mb": peak()}


def main() -> None:
    given = arguments(__doc__ or "", list(EVENTS))
    names = [name for name in given.data if not given.quick or name != "100m" or len(given.data) == 1]
    protocol = "simulated log with 2 % repeats, 5 % late, 10 % bots into a fresh shop; against DuckDB's sorted rewrite"
    report = Report("ingest", protocol + (f"; quick: {QUICK:,} events" if given.quick else ""), seed=given.seed,
                    limit={"ratio_to_sort": 4.0, "peak_mb": 4096, "events_per_second": 150_000})
    for name in names:
        path = log(QUICK if given.quick else EVENTS[name], name.partition("-")[0], given.seed)
        bound = in_a_fresh_process(rewrite, path)
        figures = in_a_fresh_process(ingest, path)
        figures["ratio_to_sort"] = round(figures["seconds"] / max(bound["seconds"], 0.1), 2)
        report.figures[name], report.peers[f"duckdb {name}"] = figures, bound
    print_table("Taking in a log", {**report.figures, **report.peers})
    report.print_last()


if __name__ == "__main__":
    main()
