"""What each dependency costs: licence, its own size on disk, and how long its import takes beside a bare Python.

Protocol: size is the sum of the files that the installed package lists, without what it requires in turn. An import is
timed as the least wall time of nine fresh interpreters, each beside a bare one that ran just before it; the ratio of
the two is what counts. `shopkeeper` itself stands in the last lines: the bare import, and `shopkeeper --help`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import Distribution, distribution
from pathlib import Path

from common import Report, arguments, print_table

# What pip installs -> what is imported.
PACKAGES = {"numpy": "numpy", "scipy": "scipy.sparse", "pyarrow": "pyarrow", "duckdb": "duckdb",
            "ibis-framework": "ibis", "msgspec": "msgspec", "rich": "rich.table", "safetensors": "safetensors.numpy",
            "cryptography": "cryptography.hazmat.primitives.ciphers.aead", "python-calamine": "python_calamine"}
OURS = {"import shopkeeper": ["-c", "import shopkeeper"],
        "shopkeeper --help": ["-c", "from shopkeeper.doors.cli import main; main(['--help'])"]}
RUNS, RUNS_QUICK = 9, 3


def seconds(words: list[str]) -> float:
    """Wall time of one fresh interpreter."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imported(words: list[str], runs: int) -> dict[str, float]:
    """Least of several runs, as milliseconds more than a bare interpreter, and as a ratio to it."""
    pairs = [(seconds(["-c", ""]), seconds(words)) for _ in range(runs)]
    bare, own = (min(column) for column in zip(*pairs, strict=True))
    return {"import_ms": round(1000 * (own - bare), 1), "ratio_to_bare": round(own / bare, 2)}


def size_mb(found: Distribution) -> float:
    """Bytes of the package's own files, in MB."""
    paths = (Path(str(found.locate_file(file))) for file in found.files or [])
    return round(sum(path.stat().st_size for path in paths if path.is_file()) / 1e6, 1)


def licence(found: Distribution) -> str:
    """As the package states it, in a few words."""
    known = found.metadata.get_all("Classifier") or []
    classifier = next((text.rpartition(" :: ")[2] for text in known if text.startswith("License :: ")), "")
    return (found.metadata.get("License-Expression") or classifier or found.metadata.get("License", ""))[:40]


def main() -> None:
    given = arguments(__doc__ or "", [])
    runs = RUNS_QUICK if given.quick else RUNS
    report = Report("dependencies", f"own size on disk; least import time of {runs} fresh interpreters beside a bare "
                    "one", seed=given.seed)
    for name, module in PACKAGES.items():
        found = distribution(name)
        report.figures[name] = {"version": found.version, "licence": licence(found), "size_mb": size_mb(found),
                                **imported(["-c", f"import {module}"], runs)}
    for name, words in OURS.items():
        report.figures[name] = imported(words, runs)
    print_table("what each dependency costs", report.figures)
    report.print_last()


if __name__ == "__main__":
    main()
