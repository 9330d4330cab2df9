"""New items in `next_items`: how they are ordered, whether they may enter lists, and which items are new.

Both are decided by trials on items that the method had never seen: among the new items alone, the ways of ordering them
meet (the plainest first); over whole lists, those with new items must not fall behind those without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.evidence.metrics import Relevant, ndcg_at, recall_at
from shopkeeper.evidence.splits import TimeSplit
from shopkeeper.evidence.trial import Scores, Setup, Trial, figures, ladder, named, paired_difference
from shopkeeper.recommend.cases import Cases, sampled
from shopkeeper.recommend.inputs import Listing, Log
from shopkeeper.recommend.methods.base import DAY, Fitted, Histories, Method
from shopkeeper.recommend.methods.first_day import WAYS, FirstDay, Way, WithNew, learned_weights
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.words import Sentence, say

__all__ = ["NEW", "Arrivals", "first_day", "new_rows", "tried"]

NEW = "newcomers"     # who ranked an item that is new, as an answer names it
K = 10
NEW_FOR = 28          # days after its first event, or after it was first found listed, that an item may be new
_FEW = 3              # lines from which an item is known
_FEWEST = 50          # customers who took a new item that a trial needs in each window
_CASES = 2_000        # of them that are compared
_MOST = 2_000         # new items at a time
_SPEAKERS = 20_000    # known items that are compared with, the most popular
_SHARES = (8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5)  # what a borrowed score may count beside an earned one
_MARGIN = 0.01        # share of the list's NDCG that new items may cost, with the whole interval
_ENTERED = "lists with new items"  # the share of them, beside the trial of lists
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """How new items are ranked, as it was learned.

    Attributes:
        among: The ways of ordering new items, on new items alone.
        whole: Lists with new items against lists without.
        way: The way that serves.
        share: What a borrowed score counts.
        popularity: (things,) weighted lines of every item of the model.
        few: Rows of those that had a first event lately, and few in all.
        listed, since: Items that were listed and had no event, and when each was first found so, microseconds UTC; 0
            where that was at the first learning, as it may have been long before.
    """

    among: Trial
    whole: Trial
    way: Way
    share: float
    popularity: npt.NDArray[np.float32]
    few: Rows
    listed: Vocabulary
    since: Rows

    @property
    def used(self) -> bool:
        """Whether new items enter lists: these lose no more than a hundredth, with the whole interval."""
        return self.whole.final.difference.low >= -_MARGIN * self.whole.row("without").mean.estimate

    def sentence(self) -> Sentence:
        """What becomes of new items, and how that is known."""
        gap = self.whole.final.difference
        by, low, high = figures(gap.estimate, gap.low, gap.high)
        said: dict[str, object] = {"by": by, "low": low, "high": high, "metric": self.whole.setup.metric,
                                   "way": named(self.way.name), "trial": self.among.sentence()}
        said["lists"] = f"{100 * self.whole.row('with').extras[_ENTERED]:.0f}"
        if self.used:
            return say("new items are ranked by {way} ({trial}); they enter {lists} % of lists, which changes {metric} "
                       "by {by} ({low} to {high})", **said)
        return say("new items are left out: in {lists} % of lists, they change {metric} by {by} ({low} to {high}), "
                   "which may be a loss of more than a hundredth; among themselves: {trial}", **said)

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """All that `restore` needs: named arrays, and a dictionary that JSON can hold."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "popularity": self.popularity, "few": self.few, "since": self.since, **self.listed.state()}
        return arrays, {"among": self.among.to_dict(), "whole": self.whole.to_dict(), "way": asdict(self.way),
                        "share": self.share}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> Arrivals:
        """The inverse of `state`."""
        way = Way(meta["way"]["name"], tuple(meta["way"]["weights"]))
        return cls(Trial.from_dict(meta["among"]), Trial.from_dict(meta["whole"]), way, float(meta["share"]),
                   arrays["popularity"], arrays["few"], Vocabulary.restore(arrays), arrays["since"])


def new_rows(known: Arrivals, listing: Listing, things: Vocabulary, now: int) -> tuple[list[str], Rows]:
    """The ids of new items that a model does not know, and the rows of those that it knows too little of.

    New is what came into the items table since then, or had stood there without an event for 28 days at most.
    """
    told = np.asarray(listing.ids, dtype=object)[listing.told].tolist()
    unknown = np.flatnonzero(things.rows(told) < 0) if told else np.zeros(0, np.int64)
    names = [told[at] for at in unknown.tolist()]
    stood = known.listed.rows(names) if names else np.zeros(0, np.int64)
    since = np.where(stood >= 0, np.append(known.since, 0)[stood], now)
    new = np.flatnonzero(since > now - NEW_FOR * DAY)
    new = new[np.argsort(-since[new], kind="stable")][:_MOST]
    return [names[at] for at in new.tolist()], known.few


def first_day(listing: Listing, ids: list[str], popularity: npt.NDArray[Any], rows: Rows) -> FirstDay:
    """New items beside the most popular known ones.

    Args:
        listing: The items table.
        ids: The item of each row.
        popularity: (n,) weighted lines of the first n of them.
        rows: The rows that are new.
    """
    heard = np.array(popularity, dtype=np.float64)
    heard[rows[rows < len(heard)]] = 0.0
    order = np.lexsort((np.arange(len(heard)), -heard))[:_SPEAKERS]
    speakers = np.sort(order[heard[order] > 0])
    return FirstDay(rows, speakers, listing.marks([ids[row] for row in [*speakers.tolist(), *rows.tolist()]]),
                    heard[speakers])


@dataclass(frozen=True)
class _Scene:
    """New items of one window, who took them, and a method that had not seen either."""

    split: TimeSplit
    fitted: Fitted
    n_known: int
    first: FirstDay
    histories: Histories
    right: Relevant
    who: Rows


def tried(log: Log, serves: tuple[Method, Any], origins: tuple[TimeSplit, TimeSplit],
          lists: Callable[[TimeSplit], Cases], *, before: Arrivals | None = None, seed: int = 0) -> Arrivals | None:
    """Let the ways of ordering new items compete, and lists with new items meet lists without.

    Args:
        log: The log.
        serves: The method that serves, and its setting; fitted here before each window.
        origins: The window that weights and shares are chosen on, and the one that compares.
        lists: Cases of a window, as the method's own trial has them.
        before: What was learned before: since when items have stood listed.
        seed: Of every random choice.

    Returns:
        None where no items table says what items are, or too few people took new ones.
    """
    if log.listing is None:
        return None
    scenes = [_scene(log, log.listing, serves, split, seed) for split in origins]
    first, later = scenes
    if first is None or later is None:
        return None
    learned = Way("learned", learned_weights(first.first, first.fitted, first.histories, first.right,
                                             first.split.train_until, seed=seed))
    among = _among(later, learned, log.timezone, seed)
    way = learned if among.winner == learned.name else Way(among.winner)
    share = _share(first, way, lists(first.split))
    whole = _whole(later, way, share, lists(later.split), Setup(
        "recommend.next_items", f"NDCG@{K}", later.split, log.timezone, seed=seed))
    if way.name == learned.name:
        way = Way("learned", learned_weights(later.first, later.fitted, later.histories, later.right,
                                             later.split.train_until, seed=seed))
    return _kept(log, log.listing, (among, whole, way, share), before)


def _kept(log: Log, listing: Listing, found: tuple[Trial, Trial, Way, float], before: Arrivals | None) -> Arrivals:
    popularity, started = counted(log.interactions), _started(log)
    few = np.flatnonzero(_is_new(log, started, log.now + 1) & (np.bincount(
        log.interactions.item, minlength=len(popularity)) > 0))
    known = frozenset(log.items.ids())
    listed = Vocabulary.of([item for item, told in zip(listing.ids, listing.told.tolist(), strict=True)
                            if told and item not in known])
    since = np.zeros(len(listed), dtype=np.int64)
    if before is not None and len(listed):
        stood = before.listed.rows(listed.arrow)
        since = np.where(stood >= 0, np.append(before.since, 0)[stood], log.now)
    return Arrivals(*found, popularity, few.astype(np.int64), listed, since)


def _started(log: Log) -> Rows:
    """When each item had its first event, (n_items,)."""
    first = np.full(log.interactions.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, log.interactions.item, log.interactions.when)
    return first


def _is_new(log: Log, started: Rows, cut: int) -> npt.NDArray[np.bool_]:
    """Items that began less than 28 days before a cut, and had few lines until then; or none at all."""
    part = log.interactions
    lines = np.bincount(part.item[part.when < cut], minlength=part.n_items)
    return np.asarray((lines < _FEW) & (started >= cut - NEW_FOR * DAY), dtype=bool)


def _scene(log: Log, listing: Listing, serves: tuple[Method, Any], split: TimeSplit, seed: int) -> _Scene | None:
    part, started = log.interactions, _started(log)
    past = part.before(split.train_until)
    ids = log.items.ids()
    place = np.asarray([listing.place.get(item, -1) for item in ids], dtype=np.int64)
    told = np.append(listing.told, False)[place]
    begun = np.flatnonzero(_is_new(log, started, split.train_until) & (started < split.test_until) & told)
    known = frozenset(ids)
    never = [item for item, said in zip(listing.ids, listing.told.tolist(), strict=True) if said and item not in known]
    begun = sampled(begun, _MOST, seed)
    never = [never[at] for at in sampled(np.arange(len(never)), min(len(begun), _MOST - len(begun)), seed).tolist()]
    rows = np.concatenate([begun, len(ids) + np.arange(len(never))]).astype(np.int64)
    at = np.full(part.n_items, -1, dtype=np.int64)
    at[begun] = np.arange(len(begun))
    taken = split.test(part.when) & (at[part.item] >= 0) & np.isin(part.customer, past.customer)
    who = sampled(np.unique(part.customer[taken]).astype(np.int64), _CASES, seed)
    if len(who) < _FEWEST:
        return None
    taken &= np.isin(part.customer, who)
    right = Relevant.pairs(np.searchsorted(who, part.customer[taken]), at[part.item[taken]], len(who))
    fitted = serves[0].fit(past, split.train_until, serves[1])
    return _Scene(split, fitted, part.n_items, first_day(listing, [*ids, *never], counted(past), rows),
                  Histories.of(past, who), right, who)


def _among(scene: _Scene, learned: Way, timezone: str, seed: int) -> Trial:
    """Each way's recall among the new items alone."""
    ways = [learned if name == learned.name else Way(name) for name in WAYS]
    ranked: dict[str, list[npt.NDArray[np.int64]]] = {way.name: [] for way in ways}
    chance = np.random.default_rng(seed).random(len(scene.first)) * 1e-9  # of equal ones the order is by chance
    step = max(1, 2_000_000 // max(1, len(scene.first) * 10))
    for start in range(0, len(scene.who), step):
        part = scene.histories.part(start, min(len(scene.who), start + step))
        seen = scene.first.features(scene.fitted, part, scene.split.train_until)
        for way in ways:
            order = scene.first.order(way, seen)
            by = np.argsort(-(order * (1 + chance) + chance), axis=1, kind="stable")[:, :K]
            ranked[way.name].append(np.pad(by, ((0, 0), (0, K - by.shape[1])), constant_values=-1))
    found = {name: np.concatenate(rows) for name, rows in ranked.items()}
    scores = [Scores(name, recall_at(rows, scene.right, K), scene.who,
                     {f"ndcg@{K}": float(ndcg_at(rows, scene.right, K).mean())}) for name, rows in found.items()]
    setup = Setup("recommend.next_items", f"recall@{K}", scene.split, timezone,
                  say("customers who took new items"), seed=seed)
    return ladder(scores, setup, rivals=WAYS[:2])


def _with(scene: _Scene, way: Way, share: float) -> WithNew:
    return WithNew(scene.fitted, scene.n_known, scene.first, way, share)


def _share(scene: _Scene, way: Way, cases: Cases) -> float:
    """What a borrowed score counts: as much as it may, so that lists lose no more than they may on this window."""
    now, made = scene.split.train_until, _with(scene, way, 1.0)
    ranked, scores = scene.fitted.top(cases.histories, now, K, exclude=cases.known)
    without = ndcg_at(ranked, cases.relevant, K)
    borrowed = made.borrowing(cases.histories, now)
    for share in _SHARES[:-1]:
        lists = ranked.copy()
        made.lay_over(lists, scores.copy(), borrowed * np.float32(share), cases.known)
        gap = paired_difference(ndcg_at(lists, cases.relevant, K), without, cases.cluster)
        if gap.low >= -_MARGIN * float(without.mean()):
            return share
    return _SHARES[-1]


def _whole(scene: _Scene, way: Way, share: float, cases: Cases, setup: Setup) -> Trial:
    """Whole lists without new items, and with them."""
    scores = []
    for name, made in (("without", scene.fitted), ("with", _with(scene, way, share))):
        ranked, _ = made.top(cases.histories, scene.split.train_until, K, exclude=cases.known)
        entered = float(np.isin(ranked, scene.first.rows).any(axis=1).mean())
        scores.append(Scores(name, ndcg_at(ranked, cases.relevant, K), cases.cluster, {_ENTERED: entered}))
    return ladder(scores, setup)
