"""How well addresses, telephones, cards and Chinese identity numbers in texts are found, by kind and language.

Protocol: `simulate.personal` writes texts in English and Chinese from two halves of templates that share none; what is
reported is the half that nobody looked at while the rules were written. A truth counts as found where a find of its
kind covers it; a find is right where it overlaps a truth of its kind. The numbers and addresses themselves are made in
the same forms in both halves: the figures say how well words and names of fields are understood, not what a form of
number that is in neither would do. Then: the time to look through events that hold nothing personal. `--quick` takes
2,000 texts of each language instead of 20,000.
"""

from __future__ import annotations

import time
from collections import Counter

import pyarrow as pa

from common import Report, arguments, print_table
from shopkeeper.events.personal import CHECKED, MASKS, find, masked
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


def clean_rows(n: int) -> float:
    """Seconds to look through events whose props hold times, codes and words, and whose addresses hold queries."""
    columns = {name: pa.nulls(n, pa.string()) for name in CHECKED}
    columns["url"] = pa.array([f"https://shop.example/p/{row % 4999}?utm_source=news&n={row % 40}" for row in range(n)])
    columns["props"] = pa.array([f'{{"began":"{1764 * 10**9 + row}","sku":"4006381{row % 99999:05d}"}}'
                                 for row in range(n)])
    began = time.perf_counter()
    masked(pa.table(columns))
    return time.perf_counter() - began


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
    rows_of_time = 100_000 if given.quick else 1_000_000
    report.figures["clean"] = {"rows": rows_of_time, "seconds": round(clean_rows(rows_of_time), 2)}
    print(f"{rows_of_time:,} events without anything personal: {report.figures['clean']['seconds']} s")
    report.print_last()


if __name__ == "__main__":
    main()
