"""Alerts on the past: how often quiet series ring, and which planted incidents are found, and how soon.

Protocol: hourly series whose law is known, with the shape of a day and of a week: Poisson and negative binomial
(variance three times the mean), means of 0.5, 3, 15, 60 and 300 an hour, 14 weeks each; and kinds of event of simulated
shops. The first three weeks only teach. Quiet series: rings per series-week by the default rule and by `silence`. Into
copies an incident is planted at a random hour of the last week: a tripling, a fall to a tenth, for six hours each, and
a stop; found means that the rule rings within the incident (a day, for the stop). Only incidents of which at least 12
events are gained or lost are planted: fewer nobody can tell from chance. Seeds are fixed; nothing was tuned on them.
`--quick` takes a fifth of the series.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from common import Report, arguments, print_table
from shopkeeper import Shop
from shopkeeper.trends import Rule, inputs, ringing
from shopkeeper.trends.rules import Series

HOUR, DAY = 3_600_000_000, 86_400_000_000
WEEKS, TAUGHT = 14, 3
START = 1_767_571_200_000_000 // (7 * DAY) * (7 * DAY) + 4 * DAY  # a Monday, 00:00 UTC
MEANS, DISPERSIONS = (0.5, 3.0, 15.0, 60.0, 300.0), (1.0, 3.0)
RULES = {"usual": Rule(), "silence": Rule(detector="silence")}

Floats = npt.NDArray[np.float64]


def quiet(mean: float, dispersion: float, rng: np.random.Generator) -> Floats:
    """(T,) hourly counts in which nothing happens."""
    hours = np.arange(WEEKS * 168)
    shape = np.clip(1.1 + np.sin((hours % 24 - 6) / 24 * 2 * np.pi), 0.05, None)
    means = mean * shape * np.where(hours // 24 % 7 >= 5, 1.3, 1.0)
    if dispersion == 1.0:
        return rng.poisson(means).astype(np.float64)
    return rng.negative_binomial(means / (dispersion - 1), 1 / dispersion).astype(np.float64)


def rings(rule: Rule, counts: Floats) -> list[ringing.Ring]:
    """What a rule rings on a series, and since when."""
    return ringing.rings(rule, counts, START, ringing.judge(rule, counts, START, "UTC"))


def planted(counts: Floats, kind: str, at: int) -> tuple[Floats, int, float]:
    """The series with an incident, its length in hours, and how many events it gained or lost."""
    made, length = counts.copy(), 24 if kind == "stop" else 6
    part = slice(at, at + length)
    factor = {"tripled": 3.0, "a tenth": 0.1, "stop": 0.0}[kind]
    made[part] = np.round(made[part] * factor)
    return made, length, float(np.abs(made[part] - counts[part]).sum())


def found(rule: Rule, counts: Floats, kind: str, at: int) -> tuple[bool, float] | None:
    """Whether the incident rings while it lasts, and after how many hours; None where it is too small."""
    made, length, change = planted(counts, kind, at)
    if change < 12:
        return None
    first, last = START + at * HOUR, START + (at + length) * HOUR
    soon = [ring.until for ring in rings(rule, made) if first < ring.until <= last]
    return (True, (soon[0] - first) / HOUR) if soon else (False, np.nan)


def on_simulated(n: int) -> dict[str, float]:
    """Rings per series-week on the kinds of a simulated shop, by the default rule."""
    rung, weeks, seconds = 0, 0.0, 0.0
    for seed in range(n):
        shop = Shop.simulated(customers=300, items=100, days=98, seed=seed)
        start = -(-(shop.manifest.first or 0) // DAY) * DAY
        until = shop.now() // HOUR * HOUR
        for kind in ("page_view", "view_item", "add_to_cart", "purchase", "search", "refund"):
            began = time.perf_counter()
            counts = inputs.read_series(shop, Series(kind), 60, start, until)
            done = ringing.rings(RULES["usual"], counts, start, ringing.judge(RULES["usual"], counts, start, "UTC"))
            seconds += time.perf_counter() - began
            rung += len(done)
            weeks += len(counts) / 168 - TAUGHT
    return {"rings_per_series_week": rung / weeks, "series_weeks": weeks, "seconds_a_series": seconds / (6 * n)}


def main() -> None:
    given = arguments(__doc__ or "", [])
    n = 4 if given.quick else 20
    report = Report("alerts", ("a fifth of the series; " if given.quick else "") +
                    "14 weeks an hour at a time, 3 of them to learn; planted incidents of 12 events and more",
                    seed=given.seed, limit={"rings_per_series_week": 0.1})
    rows: dict[str, dict[str, object]] = {}
    for mean in MEANS:
        for dispersion in DISPERSIONS:
            rows[f"{mean:g}/h x{dispersion:g}"] = one_kind(mean, dispersion, n, given.seed)
    print_table("Quiet series, and planted incidents", rows)
    shops = on_simulated(1 if given.quick else 4)
    print_table("Kinds of simulated shops", {"usual": shops})
    report.figures = {"series": rows, "simulated": shops}
    report.print_last()


def one_kind(mean: float, dispersion: float, n: int, seed: int) -> dict[str, object]:
    """The figures of n series of one law."""
    rng = np.random.default_rng([seed, round(mean * 10), round(dispersion)])
    series = [quiet(mean, dispersion, rng) for _ in range(n)]
    figures: dict[str, object] = {
        f"{name}: rings/week": sum(len(rings(rule, counts)) for counts in series) / (n * (WEEKS - TAUGHT))
        for name, rule in RULES.items()}
    for kind, name in (("tripled", "usual"), ("a tenth", "usual"), ("stop", "silence")):
        tries = [found(RULES[name], counts, kind, (WEEKS - 1) * 168 + int(rng.integers(0, 120))) for counts in series]
        told = [one for one in tries if one is not None]
        figures[f"{kind}: found"] = float(np.mean([hit for hit, _ in told])) if told else None
        hours = [after for hit, after in told if hit]
        figures[f"{kind}: hours"] = float(np.median(hours)) if hours else None
    return figures


if __name__ == "__main__":
    main()
