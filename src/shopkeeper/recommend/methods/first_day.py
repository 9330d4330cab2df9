"""Items on their first day: who wants what nobody had to do with yet, told from what it is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize

from shopkeeper.evidence.metrics import Relevant
from shopkeeper.recommend.methods.base import (
    CELLS,
    Arrays,
    Because,
    Fitted,
    Floats,
    Histories,
    ItemSets,
    Meta,
    Rows,
    loudness,
)
from shopkeeper.represent.content import marked, nearest, of_kind

__all__ = ["FEATURES", "WAYS", "FirstDay", "Way", "WithNew", "learned_weights"]

KINDS = ("top", "category", "brand", "tier")
FEATURES = ("borrowed", "content", *(f"share of {kind}" for kind in KINDS), *(f"popular {kind}" for kind in KINDS))
WAYS = ("popular_in_category", "category_share", "borrowed", "learned")  # the plainest first
_ALIKE, _POWER = 50, 4.0   # known items that speak for a new one; how much louder the most alike of them speak
_RECENCY = 0.97            # what a line of a history counts for each basket since
_SHIFT = 1e-3              # what a 0 counts beside the customer's highest
_HOLD = 1e-2               # how strongly weights are held near 0
_OTHERS = 200              # new items beside the right ones that a weight is fitted on
_FIRST = 5                 # of so many places of a list one may be a new item's

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """How new items are ordered: `name` is one of `WAYS`; `weights` (features,) count where it is `learned`."""

    name: str
    weights: tuple[float, ...] = ()


class FirstDay:
    """New items beside the known ones of which something is known.

    Args:
        rows: (r,) the rows that the new items have, or will have, in a method's ranking.
        speakers: (s,) rows of known items that are compared with, ascending.
        lists: s + r marks (`represent.content.described`), those of the speakers first.
        popularity: (s,) weighted counts of lines.

    Source:
        Sarwar, Karypis, Konstan, Riedl (2001), Item-Based Collaborative Filtering Recommendation Algorithms, 3.2.1
        (what a new item borrows: the weighted mean), with likeness of content in the place of likeness of ratings;
        McFadden (1974), Conditional logit analysis of qualitative choice behavior (what the features count).
    """

    def __init__(self, rows: Rows, speakers: Rows, lists: Sequence[Sequence[str]],
                 popularity: npt.NDArray[Any]) -> None:
        s = len(speakers)
        self.rows, self.speakers = np.asarray(rows, dtype=np.int64), np.asarray(speakers, dtype=np.int64)
        content = sparse.csr_matrix(marked(lists))
        self.known, self.new = content[:s], content[s:]
        self.like = nearest(self.new, self.known, _ALIKE, _POWER)  # (r, s), rows add up to 1 or are empty
        self.kinds = [_ones(of_kind(lists, kind)) for kind in KINDS]  # (s + r, marks of the kind)
        if not self.kinds[1].nnz:  # a shop without categories: its brands, else its words
            self.kinds[1] = self.kinds[2] if self.kinds[2].nnz else _ones(of_kind(lists, "word"))
        self.popular = np.stack([self._popular(kind, np.asarray(popularity, np.float64)) for kind in self.kinds])

    def __len__(self) -> int:
        return len(self.rows)

    def _popular(self, kind: Any, popularity: Numbers) -> Numbers:
        """How often a known item of the marks of each new one is taken on average, (r,)."""
        s = len(self.speakers)
        items = np.maximum(np.asarray(kind[:s].sum(axis=0)).ravel(), 1.0)
        return np.asarray(kind[s:] @ ((kind[:s].T @ popularity) / items)).ravel()

    def features(self, fitted: Fitted, histories: Histories, now: int) -> Numbers:
        """What is known of each customer and new item, (m, r, features), none below 0, as `FEATURES` names them."""
        s = len(self.speakers)
        place = np.minimum(np.searchsorted(self.speakers, histories.item), max(0, s - 1))
        there = self.speakers[place] == histories.item if s else np.zeros(len(histories.item), bool)
        loud = np.where(there, loudness(histories, _RECENCY, 10_000), 0.0)
        heard = sparse.csr_matrix((loud, np.where(there, place, 0), histories.indptr), shape=(len(histories), s))
        total = np.maximum(np.asarray(heard.sum(axis=1)).ravel(), 1e-12)
        heard = sparse.diags(1 / total) @ heard
        found = [self.borrowed(fitted, histories, now), ((heard @ self.known) @ self.new.T).toarray(),
                 *(((heard @ kind[:s]) @ kind[s:].T).toarray() for kind in self.kinds),
                 *(np.broadcast_to(one, (len(histories), len(self))) for one in self.popular)]
        return np.stack(found, axis=-1)

    def borrowed(self, fitted: Fitted, histories: Histories, now: int) -> Numbers:
        """The mean score of the known items that each new one is most like, (m, r), on the scale of the method."""
        scores = fitted.score(histories, now)[:, self.speakers]
        return np.asarray((self.like @ scores.T).T, dtype=np.float64)

    def order(self, way: Way, seen: Numbers) -> Numbers:
        """By features (m, r, features) how much each customer wants each new item, (m, r), on a scale of its own."""
        category = KINDS.index("category")
        popular, share = seen[..., 2 + len(KINDS) + category], seen[..., 2 + category]
        if way.name == "popular_in_category":
            return np.asarray(popular)
        if way.name == "category_share":
            return np.asarray((share + 1e-6) * popular)
        return np.asarray(seen[..., 0] if way.name == "borrowed" else levels(seen) @ np.asarray(way.weights))

    def entering(self, way: Way, fitted: Fitted, histories: Histories, now: int) -> Floats:
        """Scores of the new items on the scale of the method, (m, r): what is borrowed, in the order of the way.

        The first of the order gets the highest score that any new item borrows for this customer, and so on.
        """
        seen = self.features(fitted, histories, now)
        by = np.argsort(-self.order(way, seen), axis=1, kind="stable")
        out = np.empty_like(seen[..., 0])
        np.put_along_axis(out, by, -np.sort(-seen[..., 0], axis=1), axis=1)
        return out.astype(np.float32)

    def because(self, fitted: Fitted, history: Histories, places: npt.ArrayLike, now: int) -> list[Because]:
        """What of the history speaks for the known items that speak for each new one (0 … r - 1); shares add up to 1.
        """
        scores = fitted.score(history, now)[0][self.speakers]
        like = sparse.csr_matrix(self.like)
        return [self._because(fitted, history, like[int(place)], (scores, now))
                for place in np.asarray(places, dtype=np.int64).ravel()]

    def _because(self, fitted: Fitted, history: Histories, like: Any, asked: tuple[Floats, int]) -> Because:
        scores, now = asked
        parts = like.data * scores[like.indices]
        shares: dict[int, float] = {}
        for part, reasons in zip(parts.tolist(), fitted.because(history, self.speakers[like.indices], now),
                                 strict=True):
            for item, share in reasons:
                shares[item] = shares.get(item, 0.0) + part * share
        total = sum(shares.values())
        return sorted(((item, share / total) for item, share in shares.items() if share > 0),
                      key=lambda one: (-one[1], one[0]))


def levels(seen: Numbers) -> Numbers:
    """Features as logs that know no scale, (m, r, features): beside the highest among the customer's new items."""
    most = seen.max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(np.log(seen / np.where(most > 0, most, 1.0) + _SHIFT))


def _ones(lists: list[list[str]]) -> Any:
    """(items, marks) of ones."""
    place = {mark: at for at, mark in enumerate(sorted({mark for one in lists for mark in one}))}
    column = [place[mark] for one in lists for mark in one]
    return sparse.csr_matrix((np.ones(len(column)), column, np.cumsum([0, *(len(one) for one in lists)])),
                             shape=(len(lists), len(place)))


def learned_weights(first: FirstDay, fitted: Fitted, histories: Histories, right: Relevant, now: int, *,
                    seed: int = 0) -> tuple[float, ...]:
    """What each feature counts: a conditional logit over which new items people took.

    Args:
        first: The new items.
        fitted: A method that has not seen what was right.
        histories: m customers at `now`.
        right: The places (0 … r - 1) of the new items that each of them took.
        now: Microseconds UTC.
        seed: Of the items that nobody chose, of which each case has 200.
    """
    rng = np.random.default_rng(seed)
    parts, hits, step = [], [], max(1, CELLS // max(1, len(first) * len(FEATURES)))
    others = min(_OTHERS, len(first))
    for start in range(0, len(histories), step):
        stop = min(len(histories), start + step)
        x = levels(first.features(fitted, histories.part(start, stop), now))
        for row in range(stop - start):
            mine = right.items[right.indptr[start + row]:right.indptr[start + row + 1]]
            mine = mine[:_OTHERS // 4]
            rest = np.setdiff1d(rng.choice(len(first), others, replace=False), mine)
            rows = np.concatenate([mine, rest])[:others]
            parts.append(x[row, np.resize(rows, others)])
            hits.append(np.arange(others) < len(mine))
    x, hit = np.stack(parts), np.stack(hits).astype(np.float64)
    hit /= np.maximum(hit.sum(axis=1, keepdims=True), 1.0)

    def loss(weight: Numbers) -> tuple[float, Numbers]:
        z = x @ weight
        z = z - z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        value = -float((hit * np.log(np.maximum(p, 1e-300))).sum()) / len(x) + 0.5 * _HOLD * float(weight @ weight)
        return value, np.einsum("mrf,mr->f", x, p - hit) / len(x) + _HOLD * weight

    found = minimize(loss, np.zeros(x.shape[-1]), jac=True, method="L-BFGS-B")
    return tuple(found.x.tolist())


class WithNew:
    """A fitted method whose lists new items may enter, as far as they borrow a score that reaches so high.

    Of the first p places of a list at most p / 5 are new items', and one of the first five at most.

    Args:
        fitted: The method.
        n_known: How many rows it ranks.
        first: The new items; their rows lie among the method's, or follow them.
        way: How they are ordered.
        share: What a borrowed score counts beside one that was earned.
    """

    def __init__(self, fitted: Fitted, n_known: int, first: FirstDay, way: Way, share: float) -> None:
        self.fitted, self.n_known, self.first, self.way, self.share = fitted, n_known, first, way, share
        self.name, self.params = fitted.name, fitted.params
        self.place = {int(row): at for at, row in enumerate(first.rows)}

    def score(self, histories: Histories, now: int) -> Floats:
        """(m, items): of known items the method's, of new ones what they borrow, where that is more."""
        total = max(self.n_known, int(self.first.rows.max(initial=-1)) + 1)
        out = np.zeros((len(histories), total), dtype=np.float32)
        out[:, :self.n_known] = self.fitted.score(histories, now)
        entering = self.borrowing(histories, now) * np.float32(self.share)
        out[:, self.first.rows] = np.maximum(out[:, self.first.rows], entering)
        return out

    def borrowing(self, histories: Histories, now: int) -> Floats:
        """What new items borrow, before it is taken times the share, (m, r); some customers at a time."""
        step = max(1, CELLS // max(1, len(self.first) * len(FEATURES) + self.n_known))
        parts = [self.first.entering(self.way, self.fitted, histories.part(at, min(len(histories), at + step)), now)
                 for at in range(0, len(histories), step)]
        return np.concatenate([np.zeros((0, len(self.first)), np.float32), *parts])

    def top(self, histories: Histories, now: int, k: int, exclude: ItemSets | None = None,
            allowed: npt.NDArray[np.bool_] | None = None) -> tuple[Rows, Floats]:
        """As `Fitted.top`, in order of place; a new item that had to wait for its place has a higher score."""
        ranked, scores = self.fitted.top(histories, now, k, exclude=exclude,
                                         allowed=None if allowed is None else allowed[:self.n_known])
        self.lay_over(ranked, scores, self.borrowing(histories, now) * np.float32(self.share), exclude, allowed)
        return ranked, scores

    def lay_over(self, ranked: Rows, scores: Floats, entering: Floats, exclude: ItemSets | None,
                 allowed: npt.NDArray[np.bool_] | None = None) -> None:
        """Write new items into the lists (m, k) that the method gave, by the scores (m, r) with which they enter."""
        open_ = np.ones(len(self.first), dtype=bool) if allowed is None else allowed[self.first.rows]
        for row in range(len(ranked)):
            mine = open_
            if exclude is not None:
                shut = exclude.item[exclude.indptr[row]:exclude.indptr[row + 1]]
                mine = open_ & ~np.isin(self.first.rows, shut)
            self._merge(ranked[row], scores[row], entering[row], mine)

    def _merge(self, ranked: Rows, scores: Floats, entering: Floats, open_: npt.NDArray[np.bool_]) -> None:
        """Write one customer's list over what the method gave, (k,) each.

        A new item of which the method has something to say stands where that puts it.
        """
        keep = (ranked >= 0) & ~(np.isin(ranked, self.first.rows) & (scores <= 0))
        known = [*zip(scores[keep].tolist(), ranked[keep].tolist(), strict=True)][::-1]
        at = np.flatnonzero(open_ & ~np.isin(self.first.rows, ranked[keep]))
        at = at[np.argsort(-entering[at], kind="stable")][:len(ranked)]
        new = [*zip(entering[at].tolist(), self.first.rows[at].tolist(), strict=True)][::-1]
        taken = 0
        ranked[:], scores[:] = -1, -np.inf
        for place in range(len(ranked)):
            if not known and not new:
                break
            may = new and taken < max(1, (place + 1) // _FIRST)
            enters = not known or bool(may and new[-1][0] > known[-1][0])  # of equal scores the known item
            taken += enters
            scores[place], ranked[place] = (new if enters else known).pop()

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """The method's reasons; of a new item those of what it is like."""
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        new = np.asarray([int(row) in self.place for row in asked], dtype=bool)
        out: list[Because] = [[] for _ in asked]
        for at, one in zip(np.flatnonzero(~new).tolist(), self.fitted.because(history, asked[~new], now), strict=True):
            out[at] = one
        if new.any():
            places = [self.place[int(row)] for row in asked[new]]
            for at, one in zip(np.flatnonzero(new).tolist(), self.first.because(self.fitted, history, places, now),
                               strict=True):
                out[at] = one
        return out

    def state(self) -> tuple[Arrays, Meta]:
        """The method's own: which items are new is looked up when it answers."""
        return self.fitted.state()
