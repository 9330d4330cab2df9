"""A search for settings: on windows before the one that a trial compares on, bounded in minutes, resumed at its end.

Folds are rolling origins: each learns from what came before its window. K-fold would let a method read the week that it
is asked about, and would choose what remembers best, not what foresees best. The newest window is never touched: on it
the setting that was found must beat its rivals like any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import MissingExtra, TooLittleHistory
from shopkeeper.evidence.splits import TimeSplit, rolling_origins
from shopkeeper.recommend.cases import Cases, repeated_share
from shopkeeper.recommend.inputs import Log
from shopkeeper.recommend.methods.base import Method
from shopkeeper.words import say

__all__ = ["SPACES", "Sitting", "Tuned", "kept", "search"]

FOLDS = 2               # windows that settings are judged on
Score = Callable[[Method, Any, Log, Cases, TimeSplit], float]

# What is searched, by method: `choice` of values, or a number between two ends (`int`, `float`, `log` for a log scale).
SPACES: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "neighbours": {"ahead": ("choice", 0, 5, 10, 20), "decay": ("float", 0.5, 1.0), "share": ("float", 0.0, 1.0),
                   "damp": ("float", 0.3, 1.0), "source": ("float", 0.0, 0.6), "target": ("float", 0.0, 0.6),
                   "recency": ("float", 0.5, 0.99), "repeats": ("log", 0.1, 500.0)},
    "buy_again": {"half_life": ("log", 10.0, 400.0), "prior": ("log", 0.05, 5.0), "patience": ("log", 2.0, 30.0),
                  "wait": ("float", 0.0, 1.0)},
    "sequence": {"network": ("choice", "transformer", "cnn", "gru"), "width": ("choice", 32, 64, 96),
                 "layers": ("int", 1, 3), "kernel": ("choice", 3, 5, 9), "window": ("choice", 50, 100, 200),
                 "dropout": ("float", 0.0, 0.5), "skip": ("float", 0.0, 0.3), "turned": ("float", 0.0, 0.5),
                 "rate": ("log", 5e-4, 5e-3), "objective": ("choice", "softmax", "pointwise"),
                 "tower": ("choice", False, True)},
}


@dataclass(frozen=True)
class Tuned:
    """What a search of one method found.

    Attributes:
        method: Its name.
        params: The best setting.
        value: Its mean NDCG over the folds.
        default: That of the default setting.
        tried: Settings that were tried, in all sittings.
        importance: Setting -> share of the differences between settings that it explains; empty where too few were
            tried.
    """

    method: str
    params: Mapping[str, Any]
    value: float
    default: float
    tried: int
    importance: Mapping[str, float]


@dataclass(frozen=True)
class _Fold:
    """One window: the log, what is asked, and where it is cut."""

    log: Log
    cases: Cases
    split: TimeSplit

    def value(self, method: Method, params: Any, score: Score) -> float:
        """The mean NDCG of a setting."""
        return score(method, params, self.log, self.cases, self.split)


@dataclass(frozen=True)
class Sitting:
    """One sitting of a search.

    Attributes:
        minutes: The budget, shared by the methods.
        folder: Where trials are kept: a search over the same log goes on where the last one ended.
        within: Days of a window.
        most: Cases of all folds together.
        seed: Of the search.
    """

    minutes: float
    folder: Path
    within: int
    most: int = 1_500
    seed: int = 0


def search(log: Log, methods: Sequence[Method], cases: Callable[..., Cases], score: Score, sitting: Sitting, *,
           progress: Progress = silent) -> tuple[Tuned, ...]:
    """Search for better settings of each method that has a space, and keep what was found in its folder.

    Args:
        log: The log.
        methods: Those that compete.
        cases: As of a contest.
        score: Method, setting, log, cases, split -> mean NDCG.
        sitting: How long, and where what was tried is kept.
        progress: Told which method is searched.

    Raises:
        MissingExtra: optuna is not installed.
        TooLittleHistory: The log is too short for windows before the one that compares.
    """
    if find_spec("optuna") is None:
        raise MissingExtra(say("a search for settings needs optuna, which is not installed."),
                           do=[say("pip install 'shopkeeper[tune]'")], why=say("the default settings need nothing."))
    folder, seed = sitting.folder, sitting.seed
    folds = _folds(log, cases, sitting.within, sitting.most, seed)
    some = [method for method in methods if method.name in SPACES]
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for method in some:
        progress.start(say("searching for settings of {method}", method=method.name), None)
        found.append(_searched(method, folds, score, _Budget(60.0 * sitting.minutes / len(some), folder, seed)))
    text = json.dumps({"log": _print(log), "found": [asdict(one) for one in found]}, indent=1)
    temporary = folder / "found.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / "found.json")
    return tuple(found)


def kept(folder: Path) -> tuple[Tuned, ...]:
    """What the last search found; nothing where there was none, or where its file cannot be read."""
    try:
        data = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        return tuple(Tuned(**one) for one in data["found"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


@dataclass(frozen=True)
class _Budget:
    seconds: float
    folder: Path
    seed: int


def _folds(log: Log, cases: Callable[..., Cases], within: int, most: int, seed: int) -> list[_Fold]:
    first = int(log.interactions.when.min())
    for n in range(FOLDS + 1, 1, -1):
        try:
            origins = rolling_origins(first, log.now, horizon=within, n=n)[:-1]
        except TooLittleHistory:
            if n == 2:
                raise
            continue
        repeats = repeated_share(log, origins[0]) > 0
        return [_Fold(log, cases(log, split, seed, most // len(origins), repeats=repeats), split) for split in origins]
    raise AssertionError("a log is either long enough or refused")


def _searched(method: Method, folds: Sequence[_Fold], score: Score, budget: _Budget) -> Tuned:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, default = SPACES[method.name], method.candidates()[0]
    backend = optuna.storages.journal.JournalFileBackend(str(budget.folder / f"{method.name}.log"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend), study_name=f"{method.name} {_print(folds[0].log)}",
        direction="maximize", load_if_exists=True, sampler=optuna.samplers.TPESampler(seed=budget.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5))
    if not study.trials:
        study.enqueue_trial({name: getattr(default, name) for name in space if _inside(getattr(default, name),
                                                                                       space[name])})

    def value(trial: Any) -> float:
        params = replace(default, **{name: _suggested(trial, name, what) for name, what in space.items()})
        total = 0.0
        for number, fold in enumerate(folds):
            total += fold.value(method, params, score)
            trial.report(total / (number + 1), number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return total / len(folds)

    study.optimize(value, timeout=budget.seconds)
    plain = sum(fold.value(method, default, score) for fold in folds) / len(folds)
    if not any(trial.value is not None for trial in study.trials):
        return Tuned(method.name, asdict(default), plain, plain, len(study.trials), {})
    best = study.best_trial
    params = asdict(replace(default, **best.params)) if best.value > plain else asdict(default)
    return Tuned(method.name, params, max(float(best.value), plain), plain, len(study.trials), _importance(study))


def _importance(study: Any) -> dict[str, float]:
    """By the functional ANOVA over the trees of a forest; empty where it cannot be told."""
    import optuna

    done = [trial for trial in study.trials if trial.value is not None]
    if len(done) < 10 or len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()  # needs no scikit-learn
    return {name: float(value) for name, value in optuna.importance.get_param_importances(
        study, evaluator=evaluator).items()}


def _inside(value: Any, what: tuple[Any, ...]) -> bool:
    return value in what[1:] if what[0] == "choice" else what[1] <= value <= what[2]


def _suggested(trial: Any, name: str, what: tuple[Any, ...]) -> Any:
    if what[0] == "choice":
        return trial.suggest_categorical(name, list(what[1:]))
    if what[0] == "int":
        return trial.suggest_int(name, what[1], what[2])
    return trial.suggest_float(name, what[1], what[2], log=what[0] == "log")


def _print(log: Log) -> str:
    """What tells one log from another, in short."""
    return f"{len(log.interactions)} lines of {log.interactions.n_customers} people to {log.now}"


def timed_score(ndcg: Callable[..., tuple[Any, Any]]) -> Score:
    """A score from a function of fitted, cases, split that gives NDCG a case first."""
    def score(method: Method, params: Any, log: Log, cases: Cases, split: TimeSplit) -> float:
        past = log.interactions.before(split.train_until)
        return float(ndcg(method.fit(past, split.train_until, params), cases, split)[0].mean())

    return score
