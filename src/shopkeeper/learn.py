"""Fitting and installing: run each question's trial, fit the winner on everything, install it in one step.

Only `learn` fits. A question answers from the version that is installed; where none is, the plainest rule answers and
says that nothing has been learned yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shopkeeper import __version__, traffic
from shopkeeper.asking import Answer, Progress, act, people, silent
from shopkeeper.customers import trials as customers_trials
from shopkeeper.errors import BadInput, Damaged, MissingData, ShopBusy, UnknownName
from shopkeeper.evidence import ExactCount, Trial
from shopkeeper.evidence.trial import Verdict, figures, named
from shopkeeper.recommend import trials as recommend_trials
from shopkeeper.recommend.desk import desk, trial_of
from shopkeeper.recommend.methods.base import Method
from shopkeeper.recommend.newest import against_installed
from shopkeeper.recommend.tuning import kept as kept_settings
from shopkeeper.represent.following import Following, Service, following
from shopkeeper.shop import Shop
from shopkeeper.warehouse import models
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import held
from shopkeeper.words import Sentence, put, say

LEARNING = "learn.lock"
PATIENCE = 600.0  # seconds that an installation waits for somebody who writes

# Each room's trials: the questions that it can learn, and how.
ROOMS: Mapping[str, Any] = {"recommend": recommend_trials, "customers": customers_trials}
LEARNED = pa.schema([*((name, pa.string()) for name in ("question", "status", "method", "version")),
                     *((name, pa.float64()) for name in ("difference", "low", "high")), ("why", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Learned(Answer):
    """What became of each question: question, status (installed, fresh, kept, would install, would keep, refused,
    rolled back, would roll back), method, version, how far the method beat the plainest (difference, with its interval
    low, high; null where the plainest itself answers), why. `kept`: the winner did worse on the newest week than what
    is installed, which stays. People read the reasons below the table, as notes.
    """

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """As the table, without the reasons: they are notes."""
        return people(self.table.drop_columns(["why"]), language)


@dataclass(frozen=True)
class Learning:
    """How it is learned.

    Attributes:
        force: Learn again even where nothing has changed.
        seed: Of every random choice.
        tune: Minutes to search for better settings first; what was found competes, now and later.
        debias: Let what was taken after it was shown count by how unlikely it was to be seen, where that can be judged.
        log_to: Where the training of networks is written down; the files of TensorBoard lie in the shop's `training`.

    Raises:
        BadInput: `seed` or `tune` is below 0.
    """

    force: bool = False
    seed: int = 0
    tune: int = 0
    debias: bool = False
    log_to: Service | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise BadInput(say("seed is {seed}; it must be 0 or more.", seed=self.seed), do=[say("--seed 0")],
                           why=say("every random choice is drawn from it."))
        if self.tune < 0:
            raise BadInput(say("tune is {minutes}; it must be 0 minutes or more.", minutes=self.tune),
                           do=[say("--tune 10")], why=say("it is how long settings are searched for."))


_AT_ONCE = Learning()


@act("learn")
def learn(shop: Shop, *, room: str | None = None, rollback: bool = False, dry_run: bool = False,
          learning: Learning = _AT_ONCE, progress: Progress = silent) -> Learned:
    """Run the trials, fit the winners and install them; skip what is fresh.

    Args:
        shop: An opened shop.
        room: Only this room.
        rollback: Serve the version before the serving one instead.
        dry_run: Run the trials, install nothing.
        learning: How it is learned.
        progress: Told how far it is.

    Returns:
        A row a question. A question whose data cannot carry a trial is refused by name; the others are learned.

    Raises:
        UnknownName: There is no such room, or the log has no events of people with items.
        BadInput: There is no older version to go back to.
        MissingExtra: `log_to` names a service whose package is not installed.
        ShopBusy: Another process learns for this shop. Whoever writes meanwhile is not kept from it.
    """
    if room is not None and room not in ROOMS:
        raise UnknownName(say("room {room} learns nothing.", room=repr(room)),
                          do=[say("one of: {names}", names=", ".join(ROOMS))], why=say("only rooms with trials learn."))
    if shop.until is not None and not dry_run:
        raise BadInput(say("this is a view of the past, and models are installed for everybody."),
                       do=[say("shopkeeper learn {path} --dry-run", path=str(shop.path)),
                           say("open the shop without as_of.")],
                       why=say("the shop would go on answering from what was known then."))
    questions = [name for key, module in ROOMS.items() if room in (None, key) for name in module.QUESTIONS]
    said: tuple[Sentence, ...] = ()
    if learning.tune and not rollback:
        said = _tuned(shop, questions, learning, progress)
    if rollback:
        found = _roll_back(shop, questions, dry_run)
    else:
        found, more = _learn_all(shop, questions, learning, dry_run=dry_run, progress=progress)
        said += more
    done = sum(row["status"] in ("installed", "rolled back", "fresh", "kept") for row in found)
    table = pa.Table.from_pylist([{**row, "why": put(row["why"])} for row in found], schema=LEARNED)
    return Learned(title=say("What was learned"), table=table, method="trial",
                   evidence=ExactCount(say("installed models"), done),
                   asked={"act": "learn.learn", "room": room, "rollback": rollback, "dry_run": dry_run,
                          **asdict(learning)},
                   notes=(*(say("{question}: {why}", question=row["question"], why=row["why"]) for row in found),
                          *said))


def _tuned(shop: Shop, questions: list[str], learning: Learning, progress: Progress) -> tuple[Sentence, ...]:
    """Search for settings of what can be searched; a sentence for each method."""
    said: list[Sentence] = []
    for question in questions:
        module = ROOMS[question.split(".")[0]]
        if question in getattr(module, "TUNABLE", ()):
            found = module.tune(module.read(shop), question, minutes=learning.tune, folder=_searched(shop, question),
                                seed=learning.seed, progress=progress)
            said += [say("{question}: {tried} settings of {method} were tried on the windows before; the best comes to "
                         "{value} NDCG@10, the default to {default}", question=question, tried=one.tried,
                         method=named(one.method), value=f"{one.value:.4f}", default=f"{one.default:.4f}")
                     for one in found]
    return tuple(said)


def _searched(shop: Shop, question: str) -> Path:
    """Where the search for settings of a question keeps what it finds."""
    return shop.path / "tuning" / question


def _labelled(shop: Shop, progress: Progress) -> tuple[Sentence, ...]:
    """Label traffic anew, for models learn from people; what must be said where somebody else writes."""
    try:
        traffic.label(shop, progress=progress)
    except ShopBusy as busy:
        return (say("traffic is labelled as it was before: {what}", what=busy.what),)
    return ()


def _learn_all(shop: Shop, questions: list[str], learning: Learning, *, dry_run: bool,
               progress: Progress) -> tuple[list[dict[str, Any]], tuple[Sentence, ...]]:
    """A row a question, and what else must be said; traffic is labelled anew where anything is learned."""
    force, seed = learning.force or bool(learning.tune), learning.seed
    followed = None if learning.log_to is None else following(learning.log_to, shop.path / "training")
    print_, fresh = _what_is_fresh(shop, questions, force)
    said: tuple[Sentence, ...] = ()
    if not dry_run and len(fresh) < len(questions):
        with held(shop.path / LEARNING, "learn"):
            said = _labelled(shop, progress)
        print_, fresh = _what_is_fresh(shop, questions, force)
    stale = [name for name in questions if name not in fresh]
    found = [_row(name, "fresh", model.version, trial_of(model)) for name, model in fresh.items()]
    if dry_run:
        made, other = _fit_all(shop, stale, learning, followed, progress)
        found += [_row(name, "would install", None, one.trial) for name, one in made.items()]
        other = [{**row, "status": "would keep"} if row["status"] == "kept" else row for row in other]
    elif stale:
        with held(shop.path / LEARNING, "learn"):  # others write meanwhile; only installing needs the writer's lock
            made, other = _fit_all(shop, stale, learning, followed, progress)
            versions = _install(shop, made, print_, seed)
        found += [_row(name, "installed", versions[name], one.trial) for name, one in made.items()]
    else:
        made, other = {}, []
    said += tuple(one for fit in made.values() for one in getattr(fit, "said", ()))
    if followed is not None:
        said += (_written(followed, learning, shop),)
    return sorted([*found, *other], key=lambda row: questions.index(row["question"])), said


def _written(followed: Following, learning: Learning, shop: Shop) -> Sentence:
    """Where the training of networks was written down."""
    if not followed.runs:
        return say("no network was trained, so nothing was written to {service}.", service=learning.log_to or "")
    if learning.log_to == "tensorboard":
        return say("{n} trainings were written down: tensorboard --logdir {folder}", n=followed.runs,
                   folder=str(shop.path / "training"))
    return say("{n} trainings were written to {service}.", n=followed.runs, service=learning.log_to or "")


def _what_is_fresh(shop: Shop, questions: list[str], force: bool) -> tuple[str, dict[str, models.Model]]:
    """What everything is learned from now, and the models that were learned from just that."""
    print_ = fingerprint(shop)
    found = () if force else ((name, _fresh(shop, name, print_)) for name in questions)
    return print_, {name: model for name, model in found if model is not None}


def _fit_all(shop: Shop, questions: list[str], learning: Learning, followed: Following | None,
             progress: Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fitted winner of each question; and a row for each of which the data carries none, or a worse one."""
    made: dict[str, Any] = {}
    other: list[dict[str, Any]] = []
    logs: dict[str, Any] = {}
    for question in questions:
        room = question.split(".")[0]
        try:
            if room not in logs:
                progress.start(say("reading the log"), None)
                logs[room] = ROOMS[room].read(shop)
            more = {} if room != "recommend" else {"beside": recommend_trials.Beside(
                kept_settings(_searched(shop, question)), _before(shop, question), followed, learning.debias)}
            fit = ROOMS[room].learn(logs[room], question, seed=learning.seed, progress=progress, **more)
        except MissingData as refusal:
            other.append({"question": question, "status": "refused", "why": refusal.what})
            continue
        kept = _kept(shop, logs[room], question, fit, learning.seed)
        if kept is None:
            made[question] = fit
        else:
            other.append(kept)
    return made, other


def _before(shop: Shop, question: str) -> Any:
    """What is installed for a question, to go on from; None where nothing is, or where it cannot be read."""
    try:
        if shop.until is not None or shop.installed(question) is None:
            return None
        there = desk(shop, question)
    except Damaged:
        return None
    return recommend_trials.Served(there.fitted, there.things, there.arrivals)


def _kept(shop: Shop, log: Any, question: str, fit: Any, seed: int) -> dict[str, Any] | None:
    """The row that says that a winner is not installed, as it did worse on the newest week than what is."""
    if not question.startswith("recommend."):  # of a model of customers, a week's outcome is not known yet
        return None
    try:
        model = shop.installed(question)
        if model is None:
            return None
        there = desk(shop, question)
    except Damaged:
        return None
    trial = against_installed(log, question, fit, there, int(model.record.get("as_of", 0)), seed=seed)
    if trial is None or trial.final.verdict is not Verdict.LOSES:
        return None
    gap = trial.final.difference
    by, low, high = figures(-gap.estimate, -gap.high, -gap.low)
    why = say("{method} won its trial, but falls short of what is installed, {installed}, by {by} {metric} on the "
              "newest week ({level} % interval {low} to {high}; {n:,} {who}); what is installed stays",
              method=named(fit.method), installed=named(there.fitted.name), by=by, metric=trial.setup.metric,
              level=f"{100 * gap.level:g}", low=low, high=high, n=gap.n_clusters, who=trial.setup.who)
    return {**_row(question, "kept", model.version, trial_of(model)), "why": why}


def _install(shop: Shop, fitted: Mapping[str, Any], print_: str, seed: int) -> dict[str, str]:
    """Install the winners in one step; the version of each."""
    if not fitted:
        return {}
    now = shop.now()
    with shop.store.write("learn", wait=PATIENCE) as writer:
        manifest = writer.manifest
        for question, made in fitted.items():
            record = {"method": made.method, "meta": made.meta, "trial": made.trial.to_dict(), "fingerprint": print_,
                      "code": __version__, "seed": seed, "as_of": now, "competed": _competing(question)}
            manifest = models.install(writer, manifest, question, made.arrays, record)
        writer.commit(manifest)
    shop.refresh()
    return {question: manifest.models[question].serving for question in fitted}


def _roll_back(shop: Shop, questions: list[str], dry_run: bool) -> list[dict[str, Any]]:
    if dry_run:
        manifest, back = _stepped_back(shop.manifest, questions)
    else:
        with shop.store.write("learn --rollback", wait=PATIENCE) as writer:
            manifest, back = _stepped_back(writer.manifest, questions)
            writer.commit(manifest)
        shop.refresh()
    status = "would roll back" if dry_run else "rolled back"
    models_ = {name: models.load(shop.store, manifest, name) for name in back}
    return [_row(name, status, model.version, trial_of(model)) for name, model in models_.items() if model is not None]


def _stepped_back(manifest: Manifest, questions: list[str]) -> tuple[Manifest, list[str]]:
    """The manifest that serves the version before, and of which questions."""
    back = []
    for question in questions:
        before = models.rolled_back(manifest, question)
        if before is not None:
            manifest = before
            back.append(question)
    if not back:
        raise BadInput(say("there is no older version to go back to."), do=[say("shopkeeper learn SHOP")],
                       why=say("the last three versions of each model are kept."))
    return manifest, back


def _row(question: str, status: str, version: str | None, trial: Trial) -> dict[str, Any]:
    gap = trial.margin.difference if trial.margin is not None else None
    return {"question": question, "status": status, "version": version, "method": trial.winner,
            "difference": gap.estimate if gap else None, "low": gap.low if gap else None,
            "high": gap.high if gap else None, "why": trial.sentence()}


def trial(shop: Shop, question: str, method: Method, *, seed: int = 0, progress: Progress = silent) -> Trial:
    """Let a method of your own meet the installed ones' rivals, on the same people and the same time split.

    Args:
        shop: An opened shop; only read.
        question: `recommend.next_items`, for example.
        method: What follows the seam of the room's `methods/base.py`.
        seed: Of every random choice.
        progress: Told how far it is.

    Returns:
        The trial, with your method as the last challenger. Nothing is installed.

    Raises:
        UnknownName: No room learns that question.
        TooLittleHistory: The log cannot carry a trial.
        BadInput: The method has the name of one that competes already.
    """
    module = ROOMS.get(question.split(".")[0])
    if module is None or question not in module.QUESTIONS or not hasattr(module, "run"):
        known = ", ".join(name for each in ROOMS.values() if hasattr(each, "run") for name in each.QUESTIONS)
        raise UnknownName(say("no room learns {question}.", question=repr(question)),
                          do=[say("one of: {names}", names=known)], why=say("a trial needs a question with rivals."))
    found: Trial = module.run(module.read(shop), question, extra=(method,), seed=seed, progress=progress).trial
    return found


def fingerprint(shop: Shop) -> str:
    """A digest of everything that a model is learned from: segments, tables, settings, the view's end, the code.

    >>> shop = Shop.simulated(customers=40, items=20, days=20)
    >>> fingerprint(shop) == fingerprint(shop)
    True
    """
    seen = [[segment.file, segment.rows] for segment in shop.manifest.segments]
    facts = [seen, dict(shop.manifest.tables), shop.config.to_toml(), shop.until, __version__]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode("utf-8"), digest_size=16).hexdigest()


def _fresh(shop: Shop, question: str, print_: str) -> models.Model | None:
    """The installed model, where it was learned from what there is now, by all the methods that there are now.

    One that cannot be read is not fresh: learning mends it.
    """
    try:
        model = shop.installed(question)
        if model is not None:
            trial_of(model)
    except Damaged:
        return None
    same = model is not None and (model.record.get("fingerprint"), model.record.get("competed")) == (
        print_, _competing(question))
    return model if same else None


def _competing(question: str) -> list[str]:
    names: list[str] = ROOMS[question.split(".")[0]].competing(question)
    return names
