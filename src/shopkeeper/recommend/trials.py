"""Which methods compete for each question, on which metric, against which rival.

The plainest comes first, and each next method must beat the one before it on people and days that neither has seen.
Parameters are chosen on the window before the test window; what is installed is then fitted on everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.asking import Progress, plain, silent
from shopkeeper.errors import BadInput, TooLittleHistory
from shopkeeper.evidence import metrics
from shopkeeper.evidence.splits import TimeSplit, rolling_origins
from shopkeeper.evidence.trial import Scores, Setup, Trial, ladder
from shopkeeper.recommend.arrivals import Arrivals, tried
from shopkeeper.recommend.calibration import calibrated
from shopkeeper.recommend.cases import Cases, active_people, alike_things, baskets, next_things, repeated_share
from shopkeeper.recommend.debiasing import Weighing, first_times, judged, weighed_ndcg
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.inputs import read_log as read
from shopkeeper.recommend.methods.alike import Alike
from shopkeeper.recommend.methods.base import DAY, Fitted, Interactions, Method
from shopkeeper.recommend.methods.blend import Blend, Source
from shopkeeper.recommend.methods.buy_again import BuyAgain, BuyAgainParams
from shopkeeper.recommend.methods.factors import Factors
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.recommend.methods.same_category import SameCategory
from shopkeeper.recommend.methods.sequence import SequenceNetwork, can_train
from shopkeeper.recommend.methods.together import Together
from shopkeeper.recommend.points import network_of
from shopkeeper.recommend.tuning import Sitting, Tuned, search, timed_score
from shopkeeper.represent.content import Known, known_of
from shopkeeper.represent.following import Following
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.words import Sentence, say

__all__ = ["CONTESTS", "QUESTIONS", "TUNABLE", "Beside", "Contest", "Fit", "Ran", "Served", "competing", "contest_of",
           "known_methods", "learn", "read", "run", "tune"]

K = 10                # NDCG@10, recall@10
WITHIN = 14           # days of the test window, and of the validation window before it
FEWEST = 50           # cases that a trial needs
MOST = 4_000          # cases that a trial compares on; a seeded sample of more
TO_CHOOSE = 1_500     # cases that parameters are chosen on, likewise
ORDERS = 2.0          # from so many lines a moment on, a log is one of orders and not of steps
REPEATS = 0.05        # from this share of repeated targets on, things that a customer has are recommended again
TO_TRAIN = 1_000      # buyers that a log needs for a network to be trained, and for sources to be weighed
STATED = "recommend.next_items"  # the question whose lists have chances
FACTORED = 20_000     # items up to which factors, networks and blends compete: beyond, they take too long
WEIGHED = "weighed"   # how figures are called for which things count by how unlikely they were to be seen
EXTRA = "shopkeeper.recommend.methods"  # entry points of methods from outside the package


@dataclass(frozen=True)
class Contest:
    """One question's trial.

    Attributes:
        question: `room.name`.
        methods: Those that compete, the plainest first, made for a log; for none: as they are needed to read a model.
        cases: Builds what is asked and what was right, from the log, a split, a seed and how many at most.
        about: What a case is.
        rivals: Names of the plain ones, which every other must beat, for ever.
        who: Whose cases they are.
        turned: It ranks people for an item: the log is turned round.
        settings: Method -> the only settings that it tries here; by default all of its own.
    """

    question: str
    methods: Callable[[Log | None], tuple[Method, ...]]
    cases: Callable[..., Cases]
    about: Sentence
    rivals: tuple[str, ...] = ("popular",)
    who: Sentence = field(default_factory=lambda: say("customers"))
    turned: bool = False
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def _codes(log: Log | None) -> npt.ArrayLike:
    return () if log is None or log.codes is None else log.codes


def _orders(log: Log | None) -> bool:
    """Whether people take several things at one moment, as an order's lines are; views follow each other instead."""
    if log is None:
        return False
    part = log.interactions
    moments = 1 + int(((np.diff(part.customer) != 0) | (np.diff(part.when) != 0)).sum())
    return len(part) >= ORDERS * moments


def _factors(log: Log | None) -> tuple[Method, ...]:
    """Factors, where the items are not too many."""
    return () if log is not None and len(log.items) > FACTORED else (Factors(_orders(log)),)


def _next_methods(log: Log | None) -> tuple[Method, ...]:
    """Those for what a customer wants next: what must be learned at length competes where the log can carry it."""
    neighbours, network = Neighbours(_orders(log)), SequenceNetwork(known=lambda: _known(log))
    plain: tuple[Method, ...] = (Popular(), BuyAgain(), neighbours, *_factors(log))
    if log is not None and not _carries_training(log):
        return plain
    trained = log is None or can_train()
    blend = Blend(*((Source(network, network.candidates()[0]),) if trained else ()),
                  *(Source(neighbours, params, f"neighbours {number}")
                    for number, params in enumerate(Neighbours().candidates(), 1)),
                  *(Source(one, one.candidates()[0]) for one in _factors(log)),
                  Source(BuyAgain(), BuyAgainParams()), Source(Popular(), PopularParams()),
                  exposed=None if log is None else log.exposed)
    return (*plain, *((network,) if trained else ()), blend)


def _known(log: Log | None) -> Known | None:
    """What is known of items, for settings of a network that are told of it; None where there is no items table."""
    return None if log is None or log.listing is None else known_of(log.listing.marks(log.items.ids()))


def _carries_training(log: Log) -> bool:
    """Whether enough people did what recommending is for, with not too many items, to learn from what follows what."""
    buyers = len(np.unique(log.interactions.customer[log.target]))
    return buyers >= TO_TRAIN and len(log.items) <= FACTORED


CONTESTS: Mapping[str, Contest] = {contest.question: contest for contest in (
    Contest("recommend.next_items", _next_methods, active_people,
            say("a person who came back within the window, and the items that they took"), ("popular", "buy_again")),
    Contest("recommend.similar_items", lambda log: (Popular(), Neighbours()), next_things,
            say("an item that a person turned to, and the other items that they turned to next"),
            settings={"neighbours": tuple(Neighbours().candidates()[:2])}),
    Contest("recommend.goes_with", lambda log: (Popular(), Together()), baskets,
            say("one item of a basket, and the others in it")),
    Contest("recommend.audience", lambda log: (Popular(), BuyAgain(), Neighbours(_orders(log))), active_people,
            say("an item, and the people who took it within the window"), ("popular", "buy_again"), say("items"),
            turned=True),
)}
# Where the items table knows categories, what is similar is looked for among things of a kind.
OF_A_KIND = Contest(
    "recommend.similar_items",
    lambda log: (SameCategory(_codes(log)), *(() if _orders(log) else (Neighbours(),)), Alike(_codes(log))),
    alike_things,
    say("an item that a person turned to, and the other items of its category that they turned to later"),
    ("same_category",), settings={"neighbours": (NeighboursParams(),)})
QUESTIONS: tuple[str, ...] = tuple(CONTESTS)
TUNABLE = ("recommend.next_items",)  # the questions for whose methods settings are searched


def contest_of(question: str, log: Log) -> Contest:
    """The contest of a question over a log."""
    if question == OF_A_KIND.question and log.codes is not None:
        return OF_A_KIND
    return CONTESTS[question]


@dataclass(frozen=True)
class Beside:
    """What stands beside a trial.

    Attributes:
        tuned: What a search for settings found: it competes, too.
        before: What is installed: a network goes on from there once it has won.
        followed: Who writes down how networks are trained.
        debias: What was taken after it was shown counts by how unlikely it was to be seen, where that can be judged.
    """

    tuned: Sequence[Tuned] = ()
    before: Served | None = None
    followed: Following | None = None
    debias: bool = False


_NOTHING = Beside()


@dataclass(frozen=True)
class Fit:
    """A winner, fitted on everything.

    Attributes:
        trial: How it won.
        method: Its name.
        arrays, meta: Its state, as the installed model keeps it.
        params: The setting that validation chose.
        said: What must be said of the trial.
    """

    trial: Trial
    method: str
    arrays: Mapping[str, npt.NDArray[Any]]
    meta: Mapping[str, Any]
    params: Any = None
    said: tuple[Sentence, ...] = ()


@dataclass
class Entry:
    """One method on its way through a trial."""

    method: Method
    candidates: tuple[Any, ...]
    params: Any = None
    seconds: float = 0.0
    values: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    weighed: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    extras: dict[str, float] = field(default_factory=dict)

    @property
    def fits(self) -> int:
        """How often it is fitted: once a setting where there is a choice, and once for the test."""
        return 1 + (len(self.candidates) if len(self.candidates) > 1 else 0)


@dataclass(frozen=True)
class Ran:
    """A trial that was run, and what it takes to fit the winner."""

    trial: Trial
    winner: Entry
    repeats: bool
    origins: tuple[TimeSplit, TimeSplit]
    said: tuple[Sentence, ...] = ()


def tune(log: Log, question: str, *, minutes: float, folder: Path, seed: int = 0,
         progress: Progress = silent) -> tuple[Tuned, ...]:
    """Search for better settings of a question's methods; see `tuning.search`. The test window is never touched."""
    contest = contest_of(question, log)
    over = log.turned() if contest.turned else log
    methods = [method for method in contest.methods(log) if method.name not in contest.settings]
    return search(over, methods, contest.cases, timed_score(_ndcg), Sitting(minutes, folder, WITHIN, seed=seed),
                  progress=progress)


def run(log: Log, question: str, *, extra: Sequence[Method] = (), seed: int = 0, progress: Progress = silent,
        beside: Beside = _NOTHING) -> Ran:
    """Run a question's trial: choose parameters on one window, compare on the next.

    Raises:
        TooLittleHistory: Fewer than 50 cases in a window, or a log shorter than three windows.
        BadInput: Two methods have one name.
    """
    contest = contest_of(question, log)
    methods = [*contest.methods(log), *_from_outside(question), *extra]
    _named_once(methods)
    log = log.turned() if contest.turned else log
    origins = _windows(log, question)
    repeats = repeated_share(log, origins[0]) >= REPEATS
    valid, test = (_cases(contest, log, split, seed, repeats, most)
                   for split, most in zip(origins, (TO_CHOOSE, MOST), strict=True))
    weighing = _weighing(log, contest, test, origins[1])
    entries = [Entry(method, _settings(contest, method, beside.tuned)) for method in methods]
    progress.start(say("trial of {question}", question=question), sum(entry.fits for entry in entries))
    weighed = weighing is not None and weighing.why_not() is None and beside.debias
    for entry in entries:
        _prepare(entry, entries, beside.followed, weighed)
        _choose(entry, log.interactions, valid, origins[0], progress)
        _score(entry, log.interactions, test, origins[1], weighing)
        progress.advance()
    scores = [Scores(entry.method.name, entry.weighed if weighed else entry.values, test.cluster, entry.extras,
                     plain(entry.params), entry.seconds) for entry in entries]
    metric = f"{WEIGHED} NDCG@{K}" if weighed else f"NDCG@{K}"
    trial = ladder(scores, Setup(question, metric, origins[1], log.timezone, contest.who, seed=seed),
                   rivals=contest.rivals)
    return Ran(trial, next(entry for entry in entries if entry.method.name == trial.winner), repeats,
               (origins[0], origins[1]), _said_of(weighing, beside.debias))


def _weighing(log: Log, contest: Contest, cases: Cases, split: TimeSplit) -> Weighing | None:
    """What the things that were right count by how unlikely they were to be seen; None where nobody is shown lists."""
    if contest.question != STATED:
        return None
    lines = log.interactions.where(split.test(log.interactions.when) & log.target)
    return judged(log.exposed, cases.relevant, first_times(lines, cases.cluster, cases.relevant), split.train_until)


def _said_of(weighing: Weighing | None, asked: bool) -> tuple[Sentence, ...]:
    """What must be said of weights that were asked for."""
    if weighing is None or not asked:
        return ()
    why = weighing.why_not()
    if why is not None:
        return (say("what was shown is not weighed, so plain figures decide: {why}", why=why),)
    return (say("{shown:,} of the things that were taken had been shown before; they count by how unlikely they were "
                "to be seen, and tell as much as {effective:,} independent ones; place k is looked at k^-{steep} as "
                "often as the first", shown=weighing.shown, effective=round(weighing.effective),
                steep=f"{weighing.looking.steep:.2f}"),)


def _settings(contest: Contest, method: Method, tuned: Sequence[Tuned]) -> tuple[Any, ...]:
    """The settings that a method tries."""
    own = tuple(contest.settings.get(method.name) or method.candidates())
    found = [type(own[0])(**one.params) for one in tuned if one.method == method.name]
    return (*own, *(params for params in found if params not in own))


def _windows(log: Log, question: str) -> list[TimeSplit]:
    """The window to choose on, and the one to compare on."""
    first = int(log.interactions.when.min())
    try:
        return rolling_origins(first, log.now, horizon=WITHIN, n=2)
    except TooLittleHistory as short:
        have = max(0, (log.now + 1 - first) // DAY)
        raise TooLittleHistory(
            say("a trial of {question} needs {need} days of events of people with items; this log has {have}.",
                question=question, need=3 * WITHIN, have=have),
            do=[say("shop.ingest(...) more of the log")],
            why=say("{within} days choose, {within} days compare, and the first must have as many to learn from.",
                    within=WITHIN)) from short


def _named_once(methods: Sequence[Method]) -> None:
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(say("two methods are called {name}.", name=repr(twice[0])),
                       do=[say("give yours a name of its own.")],
                       why=say("a trial, and the model that it installs, know a method by its name."))


def learn(log: Log, question: str, *, seed: int = 0, progress: Progress = silent, beside: Beside = _NOTHING) -> Fit:
    """Run the trial, and fit the winner on everything.

    Where a network wins and one is installed, the last fit goes on from that. In the trial every network begins anew:
    what is installed may have seen the days that compare.
    """
    ran = run(log, question, seed=seed, progress=progress, beside=beside)
    progress.start(say("fitting {method} for {question}", method=ran.winner.method.name, question=question), None)
    log = log.turned() if CONTESTS[question].turned else log
    winner = warmed(ran.winner.method, beside.before, log)
    fitted = winner.fit(log.interactions, log.now + 1, ran.winner.params)  # the last moment is known too
    arrays, meta = fitted.state()
    ids = {f"vocabulary.{name}": array for name, array in log.items.state().items()}
    state = {f"method.{name}": array for name, array in arrays.items()}
    stated = arrivals = None
    if question == STATED:
        progress.start(say("how new items are ranked"), None)
        arrivals = tried(log, (ran.winner.method, ran.winner.params), ran.origins,
                         lambda split: CONTESTS[question].cases(log, split, seed, TO_CHOOSE, repeats=ran.repeats),
                         before=None if beside.before is None else beside.before.arrivals, seed=seed)
        progress.start(say("how likely what is recommended is taken"), None)
        stated = calibrated(log, ran.winner.method, ran.winner.params, ran.origins, repeats=ran.repeats, seed=seed)
    of_new, about_new = ({}, None) if arrivals is None else arrivals.state()
    return Fit(ran.trial, ran.winner.method.name,
               {**state, **ids, **{f"arrivals.{name}": array for name, array in of_new.items()}},
               {"method": meta, "repeats": ran.repeats, "role": log.role, "arrivals": about_new,
                "chances": None if stated is None else stated.to_dict()}, ran.winner.params, ran.said)


@dataclass(frozen=True)
class Served:
    """What is installed: a fitted method, the items that its rows are, and what was learned of new ones."""

    fitted: Any
    things: Vocabulary
    arrivals: Arrivals | None = None


def warmed(method: Method, before: Served | None, log: Log) -> Method:
    """The method, its network beginning from the one that is installed, where there is one of the same shape."""
    earlier = None if before is None else network_of(before.fitted)
    if before is None or earlier is None:
        return method
    rows = before.things.rows(log.items.arrow)
    if isinstance(method, SequenceNetwork):
        return method.from_earlier(earlier, rows)
    if isinstance(method, Blend) and "sequence" in method.sources:
        network = method.sources["sequence"].method
        if isinstance(network, SequenceNetwork):
            return method.with_source("sequence", network.from_earlier(earlier, rows))
    return method


def _cases(contest: Contest, log: Log, split: TimeSplit, seed: int, repeats: bool, most: int) -> Cases:
    cases = contest.cases(log, split, seed, most, repeats=repeats)
    if len(cases.cluster) < FEWEST or len(np.unique(cases.cluster)) < 2:
        raise TooLittleHistory(
            say("a trial of {question} needs {need} cases in {within} days; this log has {have}.",
                question=contest.question, need=FEWEST, within=WITHIN, have=len(cases.cluster)),
            do=[say("shop.ingest(...) more of the log")],
            why=say("a case is {about}; with fewer the interval would be too wide to tell anything.",
                    about=contest.about))
    return cases


def _prepare(entry: Entry, entries: Sequence[Entry], followed: Following | None, weighed: bool) -> None:
    """Tell a blend which settings validation has chosen for the methods before it, and a network who follows it."""
    if isinstance(entry.method, SequenceNetwork):
        entry.method.followed = followed
    if isinstance(entry.method, Blend):
        chosen = {one.method.name: one.params for one in entries if one.params is not None}
        entry.candidates = tuple(replace(params, debias=weighed) for params in entry.method.informed(chosen))


def _choose(entry: Entry, interactions: Interactions, cases: Cases, split: TimeSplit, progress: Progress) -> None:
    """The parameters with the best mean on the validation window; the first of equals."""
    entry.params = entry.candidates[0]
    if len(entry.candidates) == 1:
        return
    past, best = interactions.before(split.train_until), -1.0
    for params in entry.candidates:
        value = float(_ndcg(entry.method.fit(past, split.train_until, params), cases, split)[0].mean())
        if value > best:
            best, entry.params = value, params
        progress.advance()


def _score(entry: Entry, interactions: Interactions, cases: Cases, split: TimeSplit,
           weighing: Weighing | None) -> None:
    """The chosen parameters on the test window."""
    began = time.perf_counter()
    past = interactions.before(split.train_until)
    fitted = entry.method.fit(past, split.train_until, entry.params)
    entry.seconds = round(time.perf_counter() - began, 2)
    entry.values, ranked = _ndcg(fitted, cases, split)
    popularity = np.bincount(past.item, minlength=past.n_items).astype(np.float64) + 1.0
    entry.extras = {f"recall@{K}": float(metrics.recall_at(ranked, cases.relevant, K).mean()),
                    f"coverage@{K}": metrics.coverage_at(ranked, past.n_items, K),
                    f"novelty@{K}": metrics.novelty_at(ranked, popularity, K)}
    if weighing is not None and weighing.why_not() is None:
        entry.weighed = weighed_ndcg(ranked, cases.relevant, weighing.weight, K)
        entry.extras |= {f"ndcg@{K}": float(entry.values.mean()), f"{WEIGHED} ndcg@{K}": float(entry.weighed.mean())}


def _ndcg(fitted: Fitted, cases: Cases, split: TimeSplit) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    ranked, scores = fitted.top(cases.histories, split.train_until, K, exclude=cases.known)
    if ranked.shape != (len(cases.cluster), K) or np.isnan(scores).any():
        raise BadInput(say("method {name} breaks the promises of a method: its scores are no numbers, or its lists "
                           "have another length than was asked for.", name=repr(fitted.name)),
                       do=[say("check_method(method) of shopkeeper.recommend.methods.contract says what is broken.")],
                       why=say("a trial on such lists would say nothing."))
    return metrics.ndcg_at(ranked, cases.relevant, K), ranked


def known_methods(question: str) -> dict[str, Method]:
    """Name -> method, of all that compete for a question, made to read a model."""
    contests = [contest for contest in (CONTESTS[question], OF_A_KIND) if contest.question == question]
    made = [method for contest in contests for method in contest.methods(None)]
    return {method.name: method for method in (*made, *_from_outside(question))}


def competing(question: str) -> list[str]:
    """The names of all that compete for a question: where another joins them, a trial is no longer fresh."""
    return sorted(known_methods(question))


def _from_outside(question: str) -> list[Method]:
    """Methods of other packages: entry points named after the question."""
    return [point.load()() for point in entry_points(group=EXTRA) if point.name == question]
