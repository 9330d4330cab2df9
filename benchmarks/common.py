"""What every benchmark shares: where the data lies, what the machine is, how much memory it took, how it is printed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")


@dataclass
class Report:
    """What a benchmark says: the last line that it prints, as JSON."""

    name: str
    protocol: str
    seed: int = 0
    machine: dict[str, object] = field(default_factory=lambda: machine())
    figures: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, Any] = field(default_factory=dict)
    limit: dict[str, Any] = field(default_factory=dict)

    def print_last(self) -> None:
        """One JSON object on one line; a benchmark prints nothing after it."""
        print(json.dumps(asdict(self), ensure_ascii=False), flush=True)


def arguments(about: str, datasets: Sequence[str]) -> argparse.Namespace:
    """`--quick` and `--data NAME`; `data` comes back as the list of data sets to run."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a part of the work, within a minute")
    parser.add_argument("--data", choices=datasets, help="one data set only")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.data = [given.data] if given.data else list(datasets)
    return given


def data_folder() -> Path:
    """The folder of public data: SHOPKEEPER_DATA, or ../shared/data. Ends the run, saying so, where it is missing."""
    folder = Path(os.environ.get("SHOPKEEPER_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
    if not folder.is_dir():
        print(f"No data folder at {folder}: nothing was measured. Set SHOPKEEPER_DATA to a folder that holds the data.")
        sys.exit(0)
    return folder


def machine() -> dict[str, object]:
    """Processor, cores that this process may use, memory, system, Python; never the machine's name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": _processor(), "cores": cores, "memory_gb": round(memory), "system": platform.system(),
            "python": platform.python_version()}


def peak_mb() -> float:
    """The most memory that this process has held, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10), 1)


def in_a_fresh_process(function: Callable[..., T], *args: object) -> T:
    """The function's answer from a process of its own, so that its peak of memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def print_table(title: str, rows: Mapping[str, Mapping[str, object]]) -> None:
    """One line a method, one column a figure; numbers below 10 with four digits."""
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for row, figures in rows.items():
        table.add_row(row, *(_shown(figures.get(name)) for name in names))
    Console(width=120).print(table)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return "" if value is None else str(value)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
