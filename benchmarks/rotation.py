"""What it takes to rotate the pseudonyms of a shop: time and processor time a million events, and the peak of memory.

Protocol: `shopkeeper simulate` writes the log (2 % repeats, 5 % late, 10 % of it bots; kept in the temporary folder for
the next run) and it is taken into a fresh shop. A process of its own rotates; the lower bound, in a process of its own
too, is DuckDB's `COPY (SELECT * FROM segments)` to Parquet with zstd. Both have all cores. The peak is the largest
resident set. Each person must have as many events as before, and no old pseudonym may be left among the people, or the
run ends with an error. `--quick` takes 200,000 events.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from common import Report, arguments, in_a_fresh_process, peak_mb, print_table
from ingest import log

EVENTS, QUICK = {"2m": 2_000_000}, 200_000


def people(shop: Any) -> dict[str, int]:
    """Person -> rows of the event table."""
    table = shop.engine.run(shop.engine.events().group_by("customer_id", "anonymous_id").aggregate(
        n=lambda t: t.count()))
    return {f"{row['customer_id']} {row['anonymous_id']}": row["n"] for row in table.to_pylist()}


def rotate(folder: str) -> dict[str, float]:
    """Rotate, and look at what became of it."""
    from shopkeeper import Shop, privacy

    shop = Shop.open(folder)
    began, cpu = time.perf_counter(), time.process_time()
    answer = privacy.rotate(shop)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    counts = dict(zip(*(answer.table.column(name).to_pylist() for name in ("measure", "records")), strict=True))
    millions = counts["event lines"] / 1e6
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "lines": counts["event lines"],
            "people": counts["pseudonyms"], "seconds_per_million": round(seconds / millions, 2),
            "cpu_seconds_per_million": round(cpu / millions, 2), "peak_mb": peak_mb()}


def copy(files: list[str]) -> dict[str, float]:
    """The same rows written again by DuckDB."""
    with tempfile.TemporaryDirectory() as folder:
        duckdb.sql("SET enable_progress_bar = false")
        began, cpu = time.perf_counter(), time.process_time()
        duckdb.sql(f"COPY (SELECT * FROM read_parquet({files})) TO '{folder}/copy.parquet' (FORMAT parquet, "
                   "COMPRESSION zstd)")
        return {"seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(time.process_time() - cpu, 1),
                "peak_mb": peak_mb()}


def take_in(path: Path, folder: str) -> dict[str, int]:
    """A fresh shop with the log; how much each person did."""
    from shopkeeper import Shop

    shop = Shop.open(folder)
    shop.ingest(path)
    return people(shop)


def main() -> None:
    """Measure, and print."""
    from shopkeeper import Shop

    given = arguments(__doc__ or "", list(EVENTS))
    events = QUICK if given.quick else EVENTS["2m"]
    with tempfile.TemporaryDirectory() as folder:
        before = in_a_fresh_process(take_in, log(events, "parquet", given.seed), folder)
        files = [str(Path(folder) / one.file) for one in Shop.open(folder).manifest.segments]
        peer = in_a_fresh_process(copy, files)
        ours = in_a_fresh_process(rotate, folder)
        after = people(Shop.open(folder))
    if sorted(before.values()) != sorted(after.values()) or {*before} & {*after} - {"None None"}:
        raise SystemExit("somebody lost events, or kept a pseudonym")
    ours["ratio_to_copy"] = round(ours["cpu_seconds"] / peer["cpu_seconds"], 2)
    print_table("Rotating pseudonyms", {"keys rotate": ours, "DuckDB copy": peer})
    report = Report("rotation", f"{events:,} simulated events{', quick' if given.quick else ''}", given.seed)
    report.figures["2m"], report.peers["DuckDB copy"] = ours, peer
    report.print_last()


if __name__ == "__main__":
    main()
