"""How well addresses, telephones, cards and Chinese identity numbers in texts are found, by kind and language.

Protocol: `simulate.personal` writes texts in English and Chinese from two halves of templates that share none; what is
reported is the half that nobody looked at while the rules were written. A truth counts as found where a find of its
kind covers it; a find is right where it overlaps a truth of its kind. The numbers and addresses themselves are made in
the same forms in both halves: the figures say how well words and names of fields are understood, not what a form of
number that is in neither would do. Then, what masking costs where there is nothing to mask: a log whose events have two
addresses and seven fields beyond ours is ingested, and the processor time of the thread within the two functions that
mask is set against that of the whole process. `--quick` takes 2,000 texts of each language instead of 20,000, and
100,000 events instead of 300,000.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import Report, arguments, print_table
from shopkeeper import Shop
from shopkeeper.events import cleaning
from shopkeeper.events.personal import MASKS, covered, find, masked
from shopkeeper.simulate.personal import HALVES, LANGUAGES, Half, Language, labelled

RECALL, PRECISION = 0.98, 0.95


def judge(half: Half, language: Language, n: int, seed: int) -> dict[str, dict[str, float]]:
    """Kind -> recall, precision and counts."""
    hit, truths, right, finds = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for one in labelled(n, half=half, language=language, seed=seed):
        found = find(one.text, one.name)
        for truth in one.truth:
            truths[truth.kind] += 1
            hit[truth.kind] += any(f.kind == truth.kind and f.start <= truth.start and f.end >= truth.end
                                   for f in found)
        for f in found:
            finds[f.kind] += 1
            right[f.kind] += any(f.kind == t.kind and f.start < t.end and f.end > t.start for t in one.truth)
    return {kind: {"recall": hit[kind] / max(truths[kind], 1), "precision": right[kind] / max(finds[kind], 1),
                   "texts": truths[kind]} for kind in MASKS}


def events(n: int, seed: int) -> pa.Table:
    """A log with addresses and further fields, and nothing personal in them."""
    rng = np.random.default_rng(seed)
    item, visitor, trace = rng.integers(0, 4_999, n), rng.integers(0, n // 8, n), rng.bytes(16 * n).hex()
    url = "https://shop.example/p/{}/blue-kettle-with-lid?utm_source=news&utm_medium=email&n={}&ref=home"
    return pa.table({
        "event_id": [f"e{row:09d}" for row in range(n)], "event": ["page_view"] * n,
        "ts": pa.array(1_790_000_000_000_000 + np.arange(n) * 1_000, pa.timestamp("us")),
        "anonymous_id": [f"v-{one:07d}" for one in visitor],
        "url": [url.format(one, row % 40) for row, one in enumerate(item)],
        "referrer": [f"https://search.example/?q=kettle+{one}&source=web&ved={row}" for row, one in enumerate(item)],
        "began": [str(1_764_000_000_000 + row) for row in range(n)], "sku": [f"4006381{one:06d}" for one in item],
        "theme": np.where(item % 2, "dark", "light"), "title": [f"Blue kettle {one % 50}" for one in item],
        "viewport": np.where(item % 3, "1440x900", "390x844"), "load_ms": rng.integers(100, 9_000, n),
        "trace": [trace[at:at + 32] for at in range(0, 32 * n, 32)]})


def cost(n: int, seed: int) -> float:
    """The share of masking in the processor time of an ingest."""
    spent = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **given)
            finally:
                spent.append(time.thread_time() - began)
        return call

    cleaning.masked, cleaning.covered = timed(masked), timed(covered)
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(events(n, seed), f"{folder}/events.parquet")
        shop = Shop.open(f"{folder}/shop")
        began = time.process_time()
        shop.ingest(f"{folder}/events.parquet")
        whole = time.process_time() - began
    return sum(spent) / whole


def main() -> None:
    given = arguments(__doc__ or "", ["texts"])
    n = 2_000 if given.quick else 20_000
    report = Report("personal", f"{n:,} texts of each language and half; judged on the half held out", seed=given.seed,
                    limit={"recall": RECALL, "precision": PRECISION})
    for half in HALVES:
        rows = {f"{language} {kind}": figures for language in LANGUAGES
                for kind, figures in judge(half, language, n, given.seed).items()}
        print_table(f"Texts of the half {half}", rows)
        if half == "held out":
            report.figures["texts"] = rows
    lines = 100_000 if given.quick else 300_000
    shares = sorted(cost(lines, given.seed) for _ in range(3))
    report.figures["share_of_ingest"] = round(shares[1], 3)
    print(f"Masking takes {shares[1]:.1%} of the processor time of an ingest of {lines:,} events without anything "
          f"personal (median of three: {shares[0]:.1%} to {shares[2]:.1%}).")
    report.print_last()


if __name__ == "__main__":
    main()
