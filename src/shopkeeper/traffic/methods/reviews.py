"""Reviews that machines make: behaviour first, text second.

Source:
    That behaviour tells more than words: Mukherjee et al. (2013), What Yelp fake review filter might be doing, ICWSM
    (n-grams 68 %, behaviour 83 % accuracy on filtered reviews).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from shopkeeper.traffic.methods.base import Floats, Ints

DAY = 86_400_000_000                # microseconds
CHANCE, FEWEST = 1e-6, 5            # how rare a burst must be, and how many reviews it has at least
SHINGLE, LIKE, SHORTEST = 3, 0.7, 8  # words of a shingle; shared shingles of near duplicates; words of a text
BRIEF = 4                            # words of a text that counts as copied where it is one of FEWEST in a day
USUAL = 0.2                          # share of the reviews from which on what an account does is usual
REASONS = ("burst", "reviews_only", "one_item", "alike")
WEIGHTS = (0.6, 0.5, 0.3, 0.6)      # how much each sign speaks against a review


@dataclass(frozen=True)
class Written:
    """n reviews, by time.

    Attributes:
        when: (n,) microseconds UTC.
        item: (n,) row of the item.
        text: (n,) what was written; empty for nothing.
        reviews, others, items: (n,) of the account that wrote it: reviews, other events, different items in all; 0
            where nobody is named.
    """

    when: Ints
    item: Ints
    text: list[str]
    reviews: Ints
    others: Ints
    items: Ints


def signs(of: Written) -> npt.NDArray[np.bool_]:
    """(n, 4) which of REASONS speak against each review."""
    known = of.reviews > 0
    only, one = known & (of.others == 0), known & (of.items == 1) & (of.others <= 2)
    return np.stack([_burst(of), _odd(only), _odd(one), alike(of.text) | copied(of)], axis=1)


def _odd(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What most reviews show is no sign: a log that is an export of reviews knows nothing else of anybody."""
    return mask if len(mask) and mask.mean() <= USUAL else np.zeros(len(mask), bool)


def score(found: npt.NDArray[np.bool_]) -> Floats:
    """(n,) 1 - the product of what each sign leaves open."""
    out: Floats = 1 - np.prod(np.where(found, 1 - np.array(WEIGHTS), 1.0), axis=1)
    return out


def _burst(of: Written) -> npt.NDArray[np.bool_]:
    """(n,) reviews of an item within a day of so many others of it that its own rate cannot explain them."""
    out = np.zeros(len(of.when), bool)
    if not len(of.when):
        return out
    span = max(int(of.when.max() - of.when.min()), DAY)
    order = np.lexsort((of.when, of.item))
    when, item = of.when[order], of.item[order]
    at = item * (span + 4 * DAY) + (when - when.min())
    near = np.searchsorted(at, at + DAY, "right") - np.searchsorted(at, at - DAY, "left")
    total = np.bincount(item)[item]
    usual = np.maximum(total - near, 0.5) * 2 * DAY / max(span - 2 * DAY, DAY)
    out[order] = (near >= FEWEST) & (gammainc(near, usual) < CHANCE)
    return out


def alike(texts: list[str]) -> npt.NDArray[np.bool_]:
    """(n,) texts that share most of their shingles with another one; short ones never do.

    >>> same = "works as described and came on time, would buy it again any day"
    >>> alike([same, same.replace("any day", "tomorrow"), "good", "good"]).tolist()
    [True, True, False, False]
    """
    out = np.zeros(len(texts), bool)
    sets = [_shingles(text) for text in texts]
    holders: dict[tuple[str, ...], list[int]] = {}
    for row, shingles in enumerate(sets):
        for one in shingles:
            holders.setdefault(one, []).append(row)
    shared: dict[tuple[int, int], int] = {}
    for rows in holders.values():
        for first, second in pairwise(rows):  # neighbours by time: linear, and enough for copies
            shared[first, second] = shared.get((first, second), 0) + 1
    for (first, second), n in shared.items():
        if n >= LIKE * min(len(sets[first]), len(sets[second])):
            out[[first, second]] = True
    return out


def copied(of: Written) -> npt.NDArray[np.bool_]:
    """(n,) short texts, the same words of one item `FEWEST` times within a day; a word or two everybody writes.

    >>> n, text = np.arange(6), ["works perfectly very happy"] * 5 + ["good"]
    >>> copied(Written(n, n * 0, text, n, n, n)).tolist()
    [True, True, True, True, True, False]
    """
    out = np.zeros(len(of.text), bool)
    same: dict[tuple[int, str], list[int]] = {}
    for row, text in enumerate(of.text):
        words = text.lower().split()
        if len(words) >= BRIEF or (len(words) <= 2 and len("".join(words)) >= 3 * BRIEF):  # without spaces: characters
            same.setdefault((int(of.item[row]), " ".join(words)), []).append(row)
    for rows in same.values():
        when = of.when[rows]
        for first in np.flatnonzero(when[FEWEST - 1:] - when[:max(0, len(when) - FEWEST + 1)] <= DAY).tolist():
            out[rows[first:first + FEWEST]] = True
    return out


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()
    if len(words) < SHORTEST:  # a text without spaces (Chinese) counts by characters
        words = list("".join(words)) if len("".join(words)) >= 3 * SHORTEST and len(words) <= 2 else []
    return frozenset(tuple(words[at:at + SHINGLE]) for at in range(len(words) - SHINGLE + 1))
