"""Two ways to answer `next_items`, by customer, side by side; and which of them is better."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.asking import Answer, Progress, act, question, silent
from shopkeeper.errors import BadInput, MissingData, TooLittleHistory, UnknownName
from shopkeeper.evidence import ExactCount
from shopkeeper.evidence.sequential import Difference, Ratio, mean_difference, sample_ratio
from shopkeeper.recommend.assignment import ARMS, INSTALLED, PLAIN, QUESTION, TABLE, Experiment, read_experiments
from shopkeeper.recommend.desk import trial_of
from shopkeeper.recommend.inputs import read_exposed, read_log
from shopkeeper.recommend.methods.base import DAY
from shopkeeper.recommend.trials import CONTESTS
from shopkeeper.shop import Shop
from shopkeeper.warehouse import models
from shopkeeper.warehouse.tables import PUBLISHED
from shopkeeper.words import Sentence, say

FEWEST = 100      # people of each arm whose window has passed
CONVERSIONS = 10  # of both arms together
PATIENCE = 60.0   # seconds that an act waits for somebody who writes
TIME = pa.timestamp("us")
EXPERIMENTS = pa.schema([("experiment", pa.string()), ("status", pa.string()), ("a", pa.string()), ("b", pa.string()),
                         ("share", pa.float64()), ("start", TIME), ("until", TIME), ("stopped", TIME)])
REPORT = pa.schema([("arm", pa.string()), ("answers", pa.string()), ("share", pa.float64()), ("people", pa.int64()),
                    ("counted", pa.int64()), ("converted", pa.int64()), ("rate", pa.float64())])
VERDICT = pa.schema([("verdict", pa.string()), ("difference", pa.float64()), ("low", pa.float64()),
                     ("high", pa.float64()), ("ratio_p", pa.float64())])


@dataclass(frozen=True, kw_only=True)
class Experiments(Answer):
    """Experiments, one a row: experiment, status (running, ended, would start, would stop), a and b (what answers each
    arm), share (of people who get b), start, until (when it ends by itself), stopped; UTC, null where open."""


@dataclass(frozen=True, kw_only=True)
class Report(Answer):
    """How the arms of an experiment did, one a row: arm, answers (what answers it), share (planned), people (who were
    shown a list), counted (those whose window has passed), converted, rate. Part `verdict`: which is better (verdict),
    difference (b - a, in rate; with its interval low, high; null where the split is broken) and ratio_p (how likely so
    uneven a split is by chance, at any look)."""


@dataclass(frozen=True)
class Compared:
    """What an experiment compares.

    Attributes:
        a: Who answers the one arm: `installed`, `plain`, or a method of the installed model's trial.
        b: Who answers the other arm, likewise.
        share: The share of people who get `b`, above 0 and below 1.
        days: End by itself after so many days.
    """

    a: str = INSTALLED
    b: str = PLAIN
    share: float = 0.5
    days: int | None = None


_INSTALLED_AND_PLAIN = Compared()


@act("experiment")
def start_experiment(shop: Shop, *, experiment: str = "next-items", compared: Compared = _INSTALLED_AND_PLAIN,
                     dry_run: bool = False, progress: Progress = silent) -> Experiments:
    """Start an experiment: two ways to say what a customer wants next, split by customer.

    Args:
        shop: An opened shop.
        experiment: A name for it.
        compared: Who answers the two arms, how many people get which, and for how long.
        dry_run: Start nothing; say what would be started.
        progress: Told how far it is.

    Returns:
        The experiment.

    Raises:
        BadInput: A name, a share or a number of days makes no sense, or another experiment runs.
        UnknownName: An arm names no method of the installed model's trial.
        ShopBusy: Another process writes.
    """
    now, days = time.time_ns() // 1000, compared.days
    made = Experiment(experiment, QUESTION, compared.a, compared.b, compared.share, secrets.token_hex(8), now,
                      None if days is None else now + days * DAY)
    _check(shop, made, days)
    asked = {"act": "recommend.start_experiment", "experiment": experiment, **asdict(compared), "dry_run": dry_run}
    said = () if shop.installed(QUESTION) is not None or PLAIN not in (made.a, made.b) else (
        say("nothing has been learned yet, so both arms answer alike until `learn` has run."),)
    if not dry_run:
        fitted = {arm: _fitted(shop, getattr(made, arm), progress) for arm in ARMS
                  if getattr(made, arm) not in (INSTALLED, PLAIN)}
        with shop.store.write("start experiment", wait=PATIENCE) as writer:
            manifest = writer.manifest
            for arm, (arrays, record) in fitted.items():
                manifest = models.install(writer, manifest, made.model(arm), arrays, record)
            rows = [*_stored(writer.read_table(TABLE)), _as_row(made)]
            writer.commit(writer.replace_table(manifest, TABLE, _table(rows)))
        shop.refresh()
    status = "would start" if dry_run else "running"
    return _answer(say("What is compared"), [(made, status)], asked, said)


@act("experiment")
def stop_experiment(shop: Shop, *, experiment: str | None = None, dry_run: bool = False) -> Experiments:
    """Stop an experiment: everybody is answered by what is installed again.

    Args:
        shop: An opened shop.
        experiment: Its name; by default the one that runs.
        dry_run: Stop nothing; say what would be stopped.

    Returns:
        The experiment; no row where none runs.

    Raises:
        UnknownName: There is no experiment of that name.
        ShopBusy: Another process writes.
    """
    now = time.time_ns() // 1000
    known = read_experiments(shop)
    if experiment is not None:
        _named(known, experiment)
    stop = [one for one in known if one.runs(now) and experiment in (None, one.name)]
    if stop and not dry_run:
        with shop.store.write("stop experiment", wait=PATIENCE) as writer:
            gone = {one.name for one in stop}
            rows = [{**row, "stopped": now} if row["experiment"] in gone and row["stopped"] is None else row
                    for row in _stored(writer.read_table(TABLE))]
            arms = {one.model(arm) for one in stop for arm in ARMS}
            kept = {key: model for key, model in writer.manifest.models.items() if key not in arms}
            writer.commit(writer.replace_table(replace(writer.manifest, models=kept), TABLE, _table(rows)))
        shop.refresh()
    said = () if stop else (say("no experiment runs: nothing was stopped."),)
    status = "would stop" if dry_run else "ended"
    asked = {"act": "recommend.stop_experiment", "experiment": experiment, "dry_run": dry_run}
    return _answer(say("What is compared"), [(one if dry_run else replace(one, stopped=now), status) for one in stop],
                   asked, said)


@question
def experiment(shop: Shop, *, experiment: str | None = None, outcome: Literal["purchase", "click"] = "purchase",
               within: int = 7) -> Report:
    """Say which arm of an experiment is better, as often as you like to look.

    A person counts from their first list on, once the days have passed in which an outcome is waited for.

    Args:
        shop: An opened shop; only read.
        experiment: Its name; by default the one that was started last.
        outcome: What counts: a purchase, or a click that carries the request_id of a list.
        within: How many days after the first list the outcome counts.

    Returns:
        A row an arm, and the verdict: a is better, b is better, cannot tell yet, or the split is broken.

    Raises:
        UnknownName: There is no experiment of that name. BadInput: `within` is less than 1.
        TooLittleHistory: Too few people or outcomes; the refusal says how many are there.
    """
    if within < 1:
        raise BadInput(say("within is {n}; it must be at least 1.", n=within), do=[say("--within 7")],
                       why=say("it says for how many days an outcome is waited for."))
    asked = {"question": "recommend.experiment", "experiment": experiment, "outcome": outcome, "within": within}
    known = read_experiments(shop)
    if experiment is None and not known:
        return Report(title=say("Which is better"), table=REPORT.empty_table(), method="exact count", asked=asked,
                      evidence=ExactCount(say("people who were shown a list"), 0),
                      parts={"verdict": VERDICT.empty_table()},
                      notes=(say("no experiment was ever started: shopkeeper recommend start-experiment {path}",
                                 path=str(shop.path)),))
    one = known[-1] if experiment is None else _named(known, experiment)
    groups = _Groups.read(shop, one, outcome, within)
    ratio = sample_ratio(groups.in_b, one.share)
    difference = None if ratio.broken else groups.difference(shop, one, outcome, within)
    verdict = _verdict(ratio, difference)
    table = pa.Table.from_pylist([groups.row(arm, getattr(one, arm), one.propensity(arm)) for arm in ARMS], REPORT)
    part = pa.Table.from_pylist([{"verdict": verdict, "ratio_p": ratio.p, **({} if difference is None else {
        "difference": difference.estimate, "low": difference.low, "high": difference.high})}], VERDICT)
    return Report(title=say("Which is better: {name}", name=one.name), table=table, parts={"verdict": part},
                  evidence=difference or ExactCount(say("people who were shown a list"), len(groups.in_b)),
                  method="experiment", asked={**asked, "experiment": one.name},
                  notes=(*_said(verdict, ratio), *groups.notes(within)))


@dataclass(frozen=True)
class _Groups:
    """People by arm, in the order of their first list; who saw both arms is in neither.

    Attributes:
        in_b: (n,) in `b`, not in `a`.
        counted: (n,) their window has passed.
        converted: (n,) they did it within the window.
        both: How many saw both arms.
    """

    in_b: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    converted: npt.NDArray[np.bool_]
    both: int

    @classmethod
    def read(cls, shop: Shop, one: Experiment, outcome: str, within: int) -> _Groups:
        """From the log."""
        table = read_exposed(shop, one.name, outcome, within)
        pure = table["arms"].to_numpy() == 1
        in_b = np.asarray([arm == "b" for arm in table["arm"].to_pylist()], dtype=bool)[pure]
        counted = table["first"].to_numpy()[pure] + within * DAY <= shop.now()
        converted = np.asarray(table["converted"].to_pylist(), dtype=bool)[pure]
        return cls(in_b, counted, converted, int((~pure).sum()))

    def of(self, arm: str) -> npt.NDArray[np.float64]:
        """The outcomes of the counted people of an arm."""
        return np.asarray(self.converted[self.counted & (self.in_b == (arm == "b"))], dtype=np.float64)

    def row(self, arm: str, answers: str, share: float) -> dict[str, Any]:
        """The arm's row of the report."""
        values = self.of(arm)
        return {"arm": arm, "answers": answers, "share": share, "people": int((self.in_b == (arm == "b")).sum()),
                "counted": len(values), "converted": int(values.sum()),
                "rate": float(values.mean()) if len(values) else None}

    def difference(self, shop: Shop, one: Experiment, outcome: str, within: int) -> Difference:
        """b - a, in the rate of outcomes."""
        a, b = self.of("a"), self.of("b")
        have = int(a.sum() + b.sum())
        if min(len(a), len(b)) < FEWEST or have < CONVERSIONS:
            raise TooLittleHistory(
                say("{name} has {a:,} people in a and {b:,} in b whose {within} days have passed, and {have:,} "
                    "outcomes; {need} people in each and {least} outcomes are needed.", name=one.name, a=len(a),
                    b=len(b), within=within, have=have, need=FEWEST, least=CONVERSIONS),
                do=[say("wait, or ask for fewer days: --within 1")],
                why=say("with fewer the interval would promise more than it can hold."))
        what = say("share of people who bought within {within} days", within=within) if outcome == "purchase" else (
            say("share of people who clicked within {within} days", within=within))
        return mean_difference(a, b, one.share, what)

    def notes(self, within: int) -> tuple[Sentence, ...]:
        """Who is not counted."""
        waiting = int((~self.counted).sum())
        return (*((say("{n:,} people are not counted yet: their {within} days have not passed.", n=waiting,
                       within=within),) if waiting else ()),
                *((say("{n:,} people saw both arms and are left out.", n=self.both),) if self.both else ()))


def _verdict(ratio: Ratio, difference: Difference | None) -> str:
    if ratio.broken or difference is None:
        return "the split is broken: do not read the difference"
    if difference.low > 0:
        return "b is better"
    return "a is better" if difference.high < 0 else "cannot tell yet"


def _said(verdict: str, ratio: Ratio) -> tuple[Sentence, ...]:
    words = {"b is better": say("b is better."), "a is better": say("a is better."),
             "cannot tell yet": say("cannot tell yet: the interval holds 0. Look again when more people came.")}
    broken = say("the split is broken: look for what loses people of one arm before their list is logged.")
    split = say("{a:,} people in a, {b:,} in b; planned are {share} % in b; at any look, chance gives so uneven a "
                "split with p = {p}", a=ratio.counts[0], b=ratio.counts[1], share=f"{100 * ratio.share:g}",
                p=f"{ratio.p:.3g}")
    return (words.get(verdict, broken), split)


def _check(shop: Shop, made: Experiment, days: int | None) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", made.name):
        raise BadInput(say("{name} is no name for an experiment.", name=repr(made.name)),
                       do=[say("lower-case letters, digits and hyphens, at most 40.")],
                       why=say("events and files carry the name."))
    if not 0.01 <= made.share <= 0.99:
        raise BadInput(say("share is {share}; it must lie between 0.01 and 0.99.", share=made.share),
                       do=[say("--share 0.5")], why=say("an arm without people cannot be compared."))
    if days is not None and days < 1:
        raise BadInput(say("days is {n}; it must be at least 1.", n=days), do=[say("--days 28")],
                       why=say("it says when the experiment ends by itself."))
    if made.a == made.b:
        raise BadInput(say("both arms are answered by {method}.", method=made.a), do=[say("--a installed --b plain")],
                       why=say("there is nothing to compare."))
    known = read_experiments(shop)
    running = [one.name for one in known if one.runs(made.start)]
    if running:
        raise BadInput(say("experiment {name} runs.", name=running[0]),
                       do=[say("shopkeeper recommend stop-experiment {path}", path=str(shop.path))],
                       why=say("two at once would answer the same people."))
    if any(one.name == made.name for one in known):
        raise BadInput(say("there was an experiment {name} before.", name=repr(made.name)),
                       do=[say("--experiment NAME")],
                       why=say("its people and outcomes would be mixed with the new ones."))
    for arm in ARMS:
        _check_arm(shop, getattr(made, arm))


def _check_arm(shop: Shop, what: str) -> None:
    if what in (INSTALLED, PLAIN):
        return
    model = shop.installed(QUESTION)
    names = [] if model is None else [row.name for row in trial_of(model).rows]
    if what not in names:
        raise UnknownName(say("no method {name} was tried for next_items.", name=repr(what)),
                          do=[say("one of: {names}", names=", ".join([INSTALLED, PLAIN, *names])),
                              say("shopkeeper learn {path}", path=str(shop.path))],
                          why=say("an arm is answered with the setting that the installed model's trial chose."))


def _fitted(shop: Shop, name: str, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """A method of the installed model's trial, fitted on the whole log with the setting that the trial chose."""
    progress.start(say("fitting {method} for {question}", method=name, question=QUESTION), None)
    model = shop.installed(QUESTION)
    if model is None:  # it was there when the arm was checked
        raise MissingData(say("nothing is installed for {question} any more.", question=QUESTION),
                          do=[say("shopkeeper learn {path}", path=str(shop.path))])
    log = read_log(shop)
    method = next(one for one in CONTESTS[QUESTION].methods(log) if one.name == name)
    row = next(row for row in trial_of(model).rows if row.name == name)
    kind = type(method.candidates()[0])
    arrays, meta = method.fit(log.interactions, log.now + 1, kind(**dict(row.params))).state()
    ids = {f"vocabulary.{part}": array for part, array in log.items.state().items()}
    record = {**model.record, "method": name, "as_of": log.now,
              "meta": {"method": meta, "repeats": model.record["meta"]["repeats"], "role": log.role}}
    return {**{f"method.{part}": array for part, array in arrays.items()}, **ids}, record


def _named(known: Sequence[Experiment], name: str) -> Experiment:
    found = next((one for one in known if one.name == name), None)
    if found is None:
        raise UnknownName(say("there is no experiment {name}.", name=repr(name)),
                          do=[say("one of: {names}", names=", ".join(one.name for one in known) or "-")],
                          why=say("its people are found by its name."))
    return found


def _as_row(one: Experiment) -> dict[str, Any]:
    row = asdict(one)
    return {"experiment": row.pop("name"), **row}


def _stored(table: pa.Table | None) -> list[dict[str, Any]]:
    return [] if table is None else table.to_pylist()


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PUBLISHED[TABLE].columns)


def _answer(title: Sentence, shown: Sequence[tuple[Experiment, str]], asked: Mapping[str, object],
            said: tuple[Sentence, ...]) -> Experiments:
    never = {"start": None, "until": None}  # what only would start has no times yet
    rows = [{**_as_row(one), "status": status, **(never if status == "would start" else {})} for one, status in shown]
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in zip(
        EXPERIMENTS.names, EXPERIMENTS.types, strict=True)}, schema=EXPERIMENTS)
    return Experiments(title=title, table=table, evidence=ExactCount(say("experiments"), len(rows)),
                       method="exact count", asked=asked, notes=said)
