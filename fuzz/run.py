"""Throw spoiled files at every reader and every dialect: no crash, bounded memory, the account always exact.

    python fuzz/run.py --minutes 10            # shared by all targets, in turns
    python fuzz/run.py --only dialect:segment  # one of them

Each target runs in a process of its own, whose memory is measured. A failure prints the smallest file that hypothesis
could make of it, and leaves it in `fuzz/found`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from hypothesis import HealthCheck, given, seed, settings  # the path comes first
from targets import Target, check, targets

MEMORY = 2 << 30  # bytes resident, at most: small files must not need more
ROUND = 5  # examples between two looks at the clock
FOUND = Path(__file__).parent / "found"


def attack(target: Target, seconds: float, start: int) -> dict[str, Any]:
    """Throw files at one target until the time is over, or something breaks."""
    until, tried, ends = time.monotonic() + seconds, 0, Counter[str]()
    number = start
    while time.monotonic() < until:
        ends += attack_once(target, ROUND, number)
        tried += ROUND
        number += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak <= MEMORY, f"{peak >> 20} MiB resident"
    return {"target": target.name, "files": sum(ends.values()), **ends, "peak_mb": peak >> 20}


def attack_once(target: Target, examples: int, number: int) -> Counter[str]:
    """One round, always the same for one number.

    Raises:
        AssertionError, Exception: Whatever broke, with the smallest file that breaks it in `fuzz/found`.
    """
    ends: Counter[str] = Counter()

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, print_blob=False,
              suppress_health_check=list(HealthCheck))
    @given(target.drawn)
    def thrown(drawn: tuple[str, bytes]) -> None:
        try:
            ends[check(target, *drawn)] += 1
        except Exception:
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"{target.name.replace(':', '-')}-{drawn[0]}").write_bytes(drawn[1])
            raise

    thrown()
    return ends


def _in_a_process(name: str, seconds: float, start: int, out: Any) -> None:
    target = next(one for one in targets() if one.name == name)
    try:
        out.put(attack(target, seconds, start))
    except BaseException as wrong:
        import traceback

        out.put({"target": name, "broke": "".join(traceback.format_exception(wrong))[-4000:]})


def main() -> int:
    """Run, print a line a target, and one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="shared by all targets that run")
    parser.add_argument("--only", default="", help="targets whose name begins so")
    parser.add_argument("--seed", type=int, default=0, help="where the numbers begin")
    asked = parser.parse_args()
    chosen = [one.name for one in targets() if one.name.startswith(asked.only)]
    if not chosen:
        parser.error(f"no target begins with {asked.only!r}")
    spawned, results = multiprocessing.get_context("spawn"), []
    for name in chosen:
        out = spawned.SimpleQueue()
        process = spawned.Process(target=_in_a_process, args=(name, 60 * asked.minutes / len(chosen), asked.seed, out))
        process.start()
        process.join()
        results.append({"target": name, "broke": f"the process ended with {process.exitcode}"} if out.empty()
                       else out.get())
        print(*(f"{key} {value}" for key, value in results[-1].items()), flush=True)
    broke = [one["target"] for one in results if "broke" in one]
    files = sum(one.get("files", 0) for one in results)
    print(json.dumps({"name": "fuzz", "seed": asked.seed, "minutes": asked.minutes,
                      "figures": {"targets": len(results), "files": files, "broke": broke,
                                  "peak_mb": max((one.get("peak_mb", 0) for one in results), default=0)}}))
    return 1 if broke else 0


if __name__ == "__main__":
    sys.exit(main())
