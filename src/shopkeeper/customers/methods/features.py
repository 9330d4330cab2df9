"""What is known of a customer on a day, in numbers. Nothing at or after the day is looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from shopkeeper.customers.methods import buy_till_you_die
from shopkeeper.customers.methods.base import ACTS, Days, Floats, Ints, repeats

WINDOWS = (14, 30, 60, 90, 180, 365)  # days
MEMORY = 365                          # days before a cut that are looked at: the same however old the log is
NEVER = 9_999.0                       # days since something that was never done

Names = tuple[str, ...]


def features(days: Days, cut: int, rows: Ints, horizon: int) -> tuple[Names, Floats]:
    """What is known of some customers before a day.

    Args:
        days: What was done.
        cut: The first day that is not known: every row of `days` from then on is dropped before anything is computed.
        rows: (n,) the customers; each has bought before the cut.
        horizon: Days that a model of repeat purchases looks ahead.

    Returns:
        Names (k,), and (n, k) numbers, all finite.
    """
    known = days.before(cut)
    groups: tuple[Callable[..., dict[str, Floats]], ...] = (_rhythm, _spending, _doing, _model)
    found = {name: values for part in groups for name, values in part(known, cut, rows, horizon).items()}
    table = np.stack(list(found.values()), axis=1)
    return tuple(found), np.nan_to_num(table, nan=0.0, posinf=NEVER, neginf=-NEVER)


def _rhythm(known: Days, cut: int, rows: Ints, _: int) -> dict[str, Floats]:
    """When they bought, and how regularly."""
    begun = known.bought().first()
    mine = known.where(known.day >= cut - MEMORY).bought()
    silent, age = (cut - mine.last()[rows]).astype(np.float64), np.minimum(cut - begun[rows], MEMORY).astype(np.float64)
    count = mine.total()[rows]
    who, gap = mine.gaps()
    n_gaps = np.bincount(who, minlength=known.n_customers)[rows]
    mean = np.bincount(who, gap, known.n_customers)[rows] / np.maximum(n_gaps, 1)
    square = np.bincount(who, gap.astype(np.float64) ** 2, known.n_customers)[rows] / np.maximum(n_gaps, 1)
    last_gap = np.zeros(known.n_customers)
    last_gap[who] = gap                                     # the rows are in order, so the last one stays
    overall = float(gap.mean() if len(gap) else age.sum() / max(len(age), 1))
    usual = (mean * n_gaps + overall * 2) / (n_gaps + 2)    # drawn to the mean of all by two gaps
    return {"days since the last purchase": silent, "days since the first purchase": age, "purchases": count,
            "usual gap": usual, "silence in usual gaps": silent / np.maximum(usual, 1),
            "unevenness of gaps": np.sqrt(np.maximum(square - mean ** 2, 0)) / np.maximum(mean, 1),
            "last gap": last_gap[rows], "purchases a day": count / np.maximum(age, 30),
            **{f"purchases in {span} days": mine.where(mine.day >= cut - span).total()[rows] for span in WINDOWS}}


def _spending(known: Days, cut: int, rows: Ints, _: int) -> dict[str, Floats]:
    """What they paid, and whether it grows or shrinks."""
    known = known.where(known.day >= cut - MEMORY)
    mine = known.bought()
    money, count = np.maximum(mine.total(mine.money)[rows], 0.0), np.maximum(mine.total()[rows], 1)
    spans = {span: np.maximum(mine.where(mine.day >= cut - span).total(
        mine.money[mine.day >= cut - span])[rows], 0.0) for span in (30, 90, 365)}
    newest = mine.day == mine.last()[mine.customer]
    last = mine.total(np.where(newest, mine.money, 0.0))[rows]
    back = known.where(known.money < 0)
    return {"money": money, "money a purchase": money / count, **{f"money in {span} days": worth
                                                                  for span, worth in spans.items()},
            "last purchase beside the usual": last / np.maximum(money / count, 1e-9),
            "items a purchase": mine.total(mine.lines)[rows] / count,
            "orders a purchase": mine.total(mine.orders)[rows] / count,
            "money given back": -back.total(back.money)[rows]}


def _doing(known: Days, cut: int, rows: Ints, _: int) -> dict[str, Floats]:
    """What else they did; nothing where the log has purchases only."""
    if not known.acts.any():
        return {}
    silent = cut - known.where(known.acts.any(1)).last()[rows].astype(np.float64)
    found = {"days since the last visit": np.minimum(silent, NEVER)}
    for span in (14, 30, 90):
        part = known.where(known.day >= cut - span)
        for place, name in enumerate(ACTS):
            found[f"{name} in {span} days"] = part.total(part.acts[:, place])[rows]
    return found


def _model(known: Days, cut: int, rows: Ints, horizon: int) -> dict[str, Floats]:
    """What a model of repeat purchases expects of them, fitted on what is known."""
    everybody, past = repeats(known, cut)
    if not (past.x > 0).any():
        return {}
    model = buy_till_you_die.fit(past, prior=1e-3)
    place = np.full(known.n_customers, -1)
    place[everybody] = np.arange(len(everybody))
    mine = past.where(place[rows])
    return {"expected purchases": model.expected(mine, horizon), "chance to be a customer still": model.alive(mine)}


def finite(values: npt.ArrayLike) -> Floats:
    """Numbers as a model can take them: the sign times ln(1 + size)."""
    given = np.asarray(values, np.float64)
    return np.asarray(np.sign(given) * np.log1p(np.abs(given)))
