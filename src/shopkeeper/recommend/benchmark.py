"""All methods on a public file of interactions, by a named protocol that others can repeat exactly."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.asking import Answer, Progress, plain, shown, silent
from shopkeeper.errors import BadInput, TooLittleHistory, UnknownName
from shopkeeper.evidence import ExactCount, metrics
from shopkeeper.evidence.bootstrap import resample
from shopkeeper.evidence.metrics import Relevant
from shopkeeper.evidence.splits import iso, leave_last, rolling_origins
from shopkeeper.recommend.files import Published
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import Histories, Interactions, ItemSets, Method
from shopkeeper.recommend.methods.blend import Blend
from shopkeeper.recommend.trials import CONTESTS, known_methods
from shopkeeper.words import Sentence, put, say, word

__all__ = ["PROTOCOLS", "Asked", "Benchmark", "Part", "Protocol", "compete", "parts"]

Protocol = Literal["leave-one-out", "time-split"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
QUESTION = "recommend.next_items"
FEWEST = 2       # customers that an interval needs
TO_CHOOSE = 4_000  # cases that settings are chosen on, at most: a seeded sample of more
TIMED = 200      # customers whose answer is timed one at a time
_FIGURES = ("recall", "recall_low", "recall_high", "ndcg", "ndcg_low", "ndcg_high", "coverage", "novelty",
            "popularity_lift", "calibration", "train_seconds", "peak_mb", "milliseconds")
SCHEMA = pa.schema([("method", pa.string()), *((name, pa.float64()) for name in _FIGURES), ("setting", pa.string())])


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        protocol: `leave-one-out`: the last item of each customer tests, the one before validates, customers with fewer
            than three only teach. `time-split`: the last `days` days test, the `days` before them validate.
        n: Length of the lists.
        days: Of each window of a time split.
        keep_seen: Rank also what a customer has already.
        methods: Only these; by default all that compete for `recommend.next_items`.
        seed: Of the sample of cases that settings are chosen on, and of the intervals.
    """

    protocol: Protocol = "leave-one-out"
    n: int = 10
    days: int = 14
    keep_seen: bool = False
    methods: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "days"):
            if getattr(self, name) < 1:
                raise BadInput(say("{name} is {value}; it must be at least 1.", name=name, value=getattr(self, name)))
        if self.protocol not in PROTOCOLS:
            raise UnknownName(say("there is no protocol {name}.", name=repr(self.protocol)),
                              do=[say("one of: {names}", names=", ".join(PROTOCOLS))])


@dataclass(frozen=True)
class Part:
    """What is known (`log`, before `now`; `histories` of m customers) and what came then (`wanted`)."""

    log: Interactions
    histories: Histories
    wanted: Relevant
    customers: npt.NDArray[np.int64]
    now: int
    left_out: int = 0

    def sampled(self, most: int, seed: int) -> Part:
        """The same of at most so many customers."""
        if len(self.customers) <= most:
            return self
        some = np.sort(np.random.default_rng(seed).choice(len(self.customers), most, replace=False))
        lists = [self.wanted.items[self.wanted.indptr[i]:self.wanted.indptr[i + 1]] for i in some]
        return Part(self.log, Histories.of(self.log, self.customers[some]), Relevant.of(lists), self.customers[some],
                    self.now)


@dataclass(frozen=True, kw_only=True)
class Benchmark(Answer):
    """How each method did: method, recall and ndcg at n with their 95 % intervals, coverage (share of the items that
    stand in any list), novelty (bits), popularity_lift (0: lists as popular as what customers chose), calibration
    (expected error of stated probabilities; null where a method states none), train_seconds, peak_mb (of its process),
    milliseconds (median answer for one customer), setting (chosen on validation). `peak_mb` is null on Windows.
    """

    n: int = 10

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Accuracy with its interval in one cell; settings are for programs."""
        headings = [word("method", language), put(say("recall@{n}", n=self.n), language), f"NDCG@{self.n}",
                    word("coverage", language), word("novelty", language), word("popularity lift", language),
                    word("calibration", language), word("train, s", language), word("peak, MB", language),
                    word("answer, ms", language)]
        body = [[row["method"], *(_with_interval(row, name) for name in ("recall", "ndcg")),
                 *(shown(row[name]) for name in _FIGURES[6:])] for row in self.table.to_pylist()]
        return headings, body


def _with_interval(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.4f} [{row[f'{name}_low']:.4f}, {row[f'{name}_high']:.4f}]"


def compete(data: Published, asked: Asked, *, name: str = "", fresh: bool = True,
            progress: Progress = silent) -> Benchmark:
    """Let all methods answer the same customers.

    Args:
        data: The interactions.
        asked: Protocol and what is measured.
        name: Of the data, for the title.
        fresh: Each method in a process of its own, so that its peak of memory is its own; else all in this one.
        progress: Told how far it is.

    Raises:
        TooLittleHistory: Too few customers, or too few days.
        UnknownName: A method of that name does not compete.
        BadInput: A time split of a file without times.
    """
    methods, missing = _chosen_methods(data, asked.methods)
    valid, test = parts(data, asked)
    progress.start(say("{protocol} of {name}: {n:,} customers", protocol=asked.protocol, name=name,
                       n=len(test.customers)), len(methods))
    found: list[Measured] = []
    for method in methods:
        chosen = {one.method: one.params for one in found}
        found.append(_alone(fresh, measured, method, valid.sampled(TO_CHOOSE, asked.seed), test, asked, chosen))
        progress.advance()
    means = {metric: resample([getattr(one, metric) for one in found], test.customers, seed=asked.seed)
             for metric in ("recall", "ndcg")}
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(found):
        figures: dict[str, Any] = dict(one.figures)
        for metric, every in means.items():
            mean = every.mean(place)
            figures |= {metric: mean.estimate, f"{metric}_low": mean.low, f"{metric}_high": mean.high}
        rows.append({"method": one.method, "setting": one.setting, **figures})
    best = max(rows, key=lambda row: float(row["ndcg"]))["method"]
    return Benchmark(
        title=say("{name} by {protocol}", name=name, protocol=asked.protocol), n=asked.n,
        table=pa.Table.from_pylist(rows, schema=SCHEMA), method=best,
        evidence=ExactCount(say("customers with a test case"), len(test.customers)),
        asked={"command": "benchmark recommend", "data": name, "form": data.form, **plain(asked)},
        notes=(*_notes(data, asked, test), *((say(
            "not among them: {names}; this log is too small or too large for them, or what they need is not installed.",
            names=", ".join(missing)),) if missing else ())))


def _chosen_methods(data: Published, names: Sequence[str]) -> tuple[list[Method], list[str]]:
    """The methods asked for, by default those that would compete over such a log; and the names of those that are not.
    """
    contest, log = CONTESTS[QUESTION], data.log
    as_log = Log(data.customers, data.items, log, np.ones(len(log), dtype=bool), "conversion", int(log.when.max()))
    known, made = known_methods(QUESTION), {method.name: method for method in contest.methods(as_log)}
    ours = {method.name for method in contest.methods(None)}
    made |= {name: method for name, method in known.items() if name not in ours}  # of other packages
    for name in names:
        if name not in known:
            raise UnknownName(say("no method {name} competes.", name=repr(name)),
                              do=[say("one of: {names}", names=", ".join(sorted(known)))])
    chosen = [{**known, **made}[name] for name in dict.fromkeys(names)] if names else list(made.values())
    return chosen, [] if names else sorted(set(known) - set(made))


def _notes(data: Published, asked: Asked, test: Part) -> tuple[Sentence, ...]:
    log = data.log
    seen = (say("what a customer has already is ranked, too.") if asked.keep_seen
            else say("what a customer has already is left out of its list."))
    split = (say("the last item of each customer tests, the one before validates, customers with fewer than three "
                 "only teach.") if asked.protocol == "leave-one-out" else
             say("the last {days} days test, the {days} days before them validate.", days=asked.days))
    times = (say("times from {first} to {last}", first=iso(int(log.when.min()))[:10],
                 last=iso(int(log.when.max()))[:10]) if data.timed else say("no times: the order of the file"))
    return (say("{customers:,} customers, {items:,} items, {n:,} interactions, read as {form}; {times}.",
                customers=log.n_customers, items=log.n_items, n=len(log), form=data.form, times=times), split,
            say("all {items:,} items are ranked; {seen}", items=log.n_items, seen=seen),
            say("{n:,} customers have no test case.", n=test.left_out),
            say("settings are chosen by NDCG@{n} on validation; train seconds are of the last fit alone.", n=asked.n))


def parts(data: Published, asked: Asked) -> tuple[Part, Part]:
    """What settings are chosen on, and what is tested.

    Raises:
        TooLittleHistory: Too few customers with a case, or too few days.
        BadInput: A time split of a file without times.
    """
    made = _by_place(data.log) if asked.protocol == "leave-one-out" else _by_time(data, asked)
    for part in made:
        if len(part.customers) < FEWEST:
            raise TooLittleHistory(
                say("{protocol} needs at least {need} customers with a case; this file has {have}.",
                    protocol=asked.protocol, need=FEWEST, have=len(part.customers)),
                do=[say("name a file with longer histories.")], why=say("an interval is taken over customers."))
    return made


def _by_place(log: Interactions) -> tuple[Part, Part]:
    """Leave-one-out: validation knows all but the last two items, the test all but the last."""
    train, valid, test = leave_last(log.customer, np.arange(len(log)))
    now = int(log.when.max()) + 1
    short = log.n_customers - int(test.sum())

    def part(known: npt.NDArray[np.bool_], asked: npt.NDArray[np.bool_]) -> Part:
        people = log.customer[asked].astype(np.int64)
        past = log.where(known)
        return Part(past, Histories.of(past, people), Relevant.single(log.item[asked].astype(np.int64)), people, now,
                    short)

    return part(train, valid), part(train | valid, test)


def _by_time(data: Published, asked: Asked) -> tuple[Part, Part]:
    if not data.timed:
        raise BadInput(say("a time split needs times, and this file has none."),
                       do=[say("--protocol leave-one-out"), say("a file with user, item and time")],
                       why=say("which event came first cannot be told between customers."))
    log = data.log
    first, last = int(log.when.min()), int(log.when.max())
    made = []
    for split in rolling_origins(first, last, horizon=asked.days, n=2):
        inside, past = split.test(log.when), log.before(split.train_until)
        customer, item = log.customer[inside].astype(np.int64), log.item[inside].astype(np.int64)
        if not asked.keep_seen:
            had = np.unique(past.customer.astype(np.int64) * log.n_items + past.item)
            new = ~np.isin(customer * log.n_items + item, had)
            customer, item = customer[new], item[new]
        people, case = np.unique(customer, return_inverse=True)
        made.append(Part(past, Histories.of(past, people), Relevant.pairs(case, item, len(people)), people,
                         split.train_until, log.n_customers - len(people)))
    return made[0], made[1]


@dataclass(frozen=True)
class Measured:
    """One method on the test part: `recall` and `ndcg` (m,), further figures, and the setting."""

    method: str
    recall: npt.NDArray[np.float64]
    ndcg: npt.NDArray[np.float64]
    figures: dict[str, float | None] = field(default_factory=dict)
    params: Any = None

    @property
    def setting(self) -> str:
        """As text."""
        return str(self.params)


def measured(method: Method, valid: Part, test: Part, asked: Asked,
             chosen: Mapping[str, Any] | None = None) -> Measured:
    """Choose a setting on validation, fit it on what is known, and answer the test cases.

    `chosen` are the settings of methods that were measured before: a blend speaks by them, and chooses the others'.
    """
    setting = _chosen(method, valid, asked, chosen or {})
    began = time.perf_counter()
    fitted = method.fit(test.log, test.now, setting)
    seconds = time.perf_counter() - began
    ranked = _top(fitted, test, asked)
    popularity = np.bincount(test.log.item, minlength=test.log.n_items).astype(np.float64)
    history = Relevant.pairs(test.histories.owner, test.histories.item.astype(np.int64), len(test.histories))
    some = np.unique(np.linspace(0, len(test.customers) - 1, min(TIMED, len(test.customers))).astype(int)).tolist()
    alone = [_milliseconds(fitted, test.histories.part(i, i + 1), test.now, asked) for i in some]
    return Measured(
        method.name, metrics.recall_at(ranked, test.wanted, asked.n), metrics.ndcg_at(ranked, test.wanted, asked.n),
        {"coverage": metrics.coverage_at(ranked, test.log.n_items, asked.n),
         "novelty": metrics.novelty_at(ranked, popularity, asked.n),
         "popularity_lift": (metrics.popularity_lift_at(ranked, history, popularity, asked.n)
                             if len(history.items) else None),
         "calibration": _calibration(fitted, ranked, test), "train_seconds": seconds, "peak_mb": _peak_mb(),
         "milliseconds": float(np.median(alone))}, setting)


def _chosen(method: Method, valid: Part, asked: Asked, before: Mapping[str, Any]) -> Any:
    """The setting with the best NDCG on validation, the first of equals."""
    settings = list(method.candidates())
    if isinstance(method, Blend):
        others = dict(before)
        for one in method.sources.values():
            if one.method.name not in others:
                others[one.method.name] = _chosen(one.method, valid, asked, before)
        settings = list(method.informed(others))
    values = [0.0] if len(settings) == 1 else [
        float(metrics.ndcg_at(_top(method.fit(valid.log, valid.now, one), valid, asked), valid.wanted, asked.n).mean())
        for one in settings]
    return settings[int(np.argmax(values))]


def _top(fitted: Any, part: Part, asked: Asked) -> npt.NDArray[np.int64]:
    exclude = None if asked.keep_seen else part.histories.items()
    ranked, _ = fitted.top(part.histories, part.now, asked.n, exclude=exclude)
    return np.asarray(ranked, dtype=np.int64)


def _milliseconds(fitted: Any, one: Histories, now: int, asked: Asked) -> float:
    exclude: ItemSets | None = None if asked.keep_seen else one.items()
    began = time.perf_counter()
    fitted.top(one, now, asked.n, exclude=exclude)
    return 1_000 * (time.perf_counter() - began)


def _calibration(fitted: Any, ranked: npt.NDArray[np.int64], test: Part) -> float | None:
    """Expected error of the probabilities that a method states for its lists; None where it states none."""
    stated: Callable[..., Any] | None = getattr(fitted, "probability", None)
    if stated is None:
        return None
    chances = np.take_along_axis(np.asarray(stated(test.histories, test.now)), np.maximum(ranked, 0), axis=1)
    hits = metrics.hits_at(ranked, test.wanted, ranked.shape[1])
    filled = ranked >= 0
    return metrics.expected_calibration_error(chances[filled], hits[filled].astype(np.float64))


def _peak_mb() -> float | None:
    """The most memory that this process has held; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _alone(fresh: bool, function: Callable[..., Measured], *args: object) -> Measured:
    """The function's answer, from a process of its own where that is asked for."""
    if not fresh:
        return function(*args)
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
