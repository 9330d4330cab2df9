"""Drop to zero: nothing has come for so long that chance alone would hardly ever bring it about."""

from __future__ import annotations

import numpy as np

from shopkeeper.trends.methods.base import Counts, Floats, Ints, Mask, Verdicts, baseline


def judge(counts: Counts, level: float) -> Verdicts:
    """Whether the series has been silent for too long.

    The chance that a bucket is empty is that of the negative binomial law of `usual.tails`; the chances of a run of
    empty buckets multiply. It is a silence when the product falls below ((1 - level) / 2)^2, the chance of two odd
    buckets in a row.

    Args:
        counts: The series.
        level: As for `usual.judge`.

    Returns:
        Verdicts in which expectation and interval are those of the whole run.
    """
    past = baseline(counts)
    wide = past.dispersion * (1 + 1 / np.maximum(past.n, 1))
    empty = -past.expected * np.where(wide > 1.0001, np.log(wide) / np.maximum(wide - 1, 1e-4), 1.0)  # log of chance
    silent = (counts.amounts <= 0) & past.judged
    run, first = _runs(silent)
    chance, hoped, variance = (_since(part, first, silent) for part in (empty, past.expected, wide * past.expected))
    odd = np.where(silent & (chance <= 2 * np.log((1 - level) / 2)), -1, 0)
    reach = 2.5758 * np.sqrt(variance)
    return Verdicts(hoped, np.maximum(0.0, hoped - reach), hoped + reach, odd, run, past.judged,
                    np.ones(len(silent), dtype=bool))


def _runs(silent: Mask) -> tuple[Ints, Ints]:
    """How many silent buckets stand right before each, and where its run began: (T,) and (T,)."""
    at = np.arange(len(silent))
    last_loud = np.maximum.accumulate(np.where(silent, -1, at)) if len(at) else at
    return np.where(silent, at - last_loud - 1, 0), last_loud + 1


def _since(part: Floats, first: Ints, silent: Mask) -> Floats:
    """The sum of a part over the run up to each bucket; of the bucket alone where it is not silent."""
    total = np.concatenate([[0.0], np.cumsum(part)])
    begin = np.where(silent, first, np.arange(len(part)))
    found: Floats = total[1:] - total[begin]
    return found
