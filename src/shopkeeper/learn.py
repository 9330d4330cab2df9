"""Fitting and installing: run each question's trial, fit the winner on everything, install it in one step.

Only `learn` fits. A question answers from the version that is installed; where none is, the plainest rule answers and
says that nothing has been learned yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shopkeeper import __version__
from shopkeeper.asking import Answer, Progress, act, silent
from shopkeeper.errors import BadInput, MissingData, UnknownName
from shopkeeper.evidence import ExactCount, Trial
from shopkeeper.recommend import trials as recommend_trials
from shopkeeper.recommend.methods.base import Method
from shopkeeper.shop import Shop
from shopkeeper.warehouse import models
from shopkeeper.words import put, say

# Each room's trials: the questions that it can learn, and how.
ROOMS: Mapping[str, Any] = {"recommend": recommend_trials}
LEARNED = pa.schema([*((name, pa.string()) for name in ("question", "status", "method", "version")),
                     *((name, pa.float64()) for name in ("difference", "low", "high")), ("why", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Learned(Answer):
    """What became of each question: question, status (installed, fresh, would install, refused, rolled back), method,
    version, difference to the plainest rival with its interval (low, high), why."""


@act("learn")
def learn(shop: Shop, *, room: str | None = None, rollback: bool = False, dry_run: bool = False, force: bool = False,
          seed: int = 0, progress: Progress = silent) -> Learned:
    """Run the trials, fit the winners and install them; skip what is fresh.

    Args:
        shop: An opened shop.
        room: Only this room.
        rollback: Serve the version before the serving one instead.
        dry_run: Run the trials, install nothing.
        force: Learn again even where nothing has changed.
        seed: Of every random choice.
        progress: Told how far it is.

    Returns:
        A row a question. A question whose data cannot carry a trial is refused by name; the others are learned.

    Raises:
        UnknownName: There is no such room.
        ShopBusy: Another process writes to this shop.
    """
    if room is not None and room not in ROOMS:
        raise UnknownName(say("room {room} learns nothing.", room=repr(room)),
                          do=[say("one of: {names}", names=", ".join(ROOMS))], why=say("only rooms with trials learn."))
    questions = [name for key, module in ROOMS.items() if room in (None, key) for name in module.QUESTIONS]
    if rollback:
        found = _roll_back(shop, questions, dry_run)
    else:
        found = _learn_all(shop, questions, dry_run=dry_run, force=force, seed=seed, progress=progress)
    done = sum(row["status"] in ("installed", "rolled back") for row in found)
    return Learned(title=say("What was learned"), table=pa.Table.from_pylist(found, schema=LEARNED), method="trial",
                   evidence=ExactCount(say("installed models"), done),
                   asked={"act": "learn.learn", "room": room, "rollback": rollback, "dry_run": dry_run, "force": force,
                          "seed": seed})


def _learn_all(shop: Shop, questions: list[str], *, dry_run: bool, force: bool, seed: int,
               progress: Progress) -> list[dict[str, Any]]:
    found, fitted, print_ = [], {}, fingerprint(shop)
    stale = [q for q in questions if force or not _fresh(shop, q, print_)]
    logs: dict[str, Any] = {}
    for question in questions:
        if question not in stale:
            found.append(_row(question, "fresh", shop.installed(question)))
            continue
        module = ROOMS[question.split(".")[0]]
        try:
            if question.split(".")[0] not in logs:
                progress.start(say("reading the log"), None)
                logs[question.split(".")[0]] = module.read(shop)
            fitted[question] = module.learn(logs[question.split(".")[0]], question, seed=seed, progress=progress)
        except MissingData as refusal:
            found.append({**_row(question, "refused", None), "why": str(refusal.what)})
    if fitted and not dry_run:
        _install(shop, fitted, print_, seed)
    status = "would install" if dry_run else "installed"
    rows = {q: _row(q, status, shop.installed(q), made.trial, made.method) for q, made in fitted.items()}
    return sorted([*found, *rows.values()], key=lambda row: questions.index(row["question"]))


def _install(shop: Shop, fitted: Mapping[str, Any], print_: str, seed: int) -> None:
    with shop.store.write("learn") as writer:
        manifest = writer.manifest
        for question, made in fitted.items():
            record = {"method": made.method, "meta": made.meta, "trial": made.trial.to_dict(), "fingerprint": print_,
                      "code": __version__, "seed": seed, "as_of": shop.now()}
            manifest = models.install(writer, manifest, question, made.arrays, record)
        writer.commit(manifest)
    shop.refresh()


def _roll_back(shop: Shop, questions: list[str], dry_run: bool) -> list[dict[str, Any]]:
    found = []
    with shop.store.write("learn --rollback") as writer:
        manifest = writer.manifest
        for question in questions:
            back = models.rolled_back(manifest, question)
            if back is None:
                continue
            manifest = back
            found.append(question)
        if not found:
            raise BadInput(say("there is no older version to go back to."), do=[say("shopkeeper learn SHOP")],
                           why=say("the last three versions of each model are kept."))
        if not dry_run:
            writer.commit(manifest)
    shop.refresh()
    return [_row(question, "would roll back" if dry_run else "rolled back", shop.installed(question))
            for question in found]


def _row(question: str, status: str, model: models.Model | None, trial: Trial | None = None,
         method: str | None = None) -> dict[str, Any]:
    if trial is None and model is not None:
        trial = Trial.from_dict(model.record["trial"])
    gap = trial.final.difference if trial is not None else None
    return {"question": question, "status": status, "version": model.version if model else None,
            "method": method or (model.record["method"] if model else None),
            "difference": gap.estimate if gap else None, "low": gap.low if gap else None,
            "high": gap.high if gap else None, "why": put(trial.sentence()) if trial is not None else None}


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
    """
    module = ROOMS.get(question.split(".")[0])
    if module is None or question not in module.QUESTIONS:
        known = ", ".join(name for each in ROOMS.values() for name in each.QUESTIONS)
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


def _fresh(shop: Shop, question: str, print_: str) -> bool:
    model = shop.installed(question)
    return model is not None and model.record.get("fingerprint") == print_


