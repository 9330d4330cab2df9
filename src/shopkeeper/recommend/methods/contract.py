"""What every method promises, as checks that anybody can run: `check_method(MyMethod())` in a test or a notebook."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.recommend.methods.base import DAY, Fitted, Histories, Interactions, ItemSets, Method

__all__ = ["PROMISES", "BrokenPromise", "check_method", "small_log"]

K = 5
NOW = 400 * DAY


class BrokenPromise(AssertionError):
    """A method does not keep the contract; the text names the setting and the promise."""


def small_log(seed: int = 0, customers: int = 40, items: int = 30) -> Interactions:
    """A log of about ten baskets a customer over 400 days, with favourites, duplicates and two strengths of lines.

    >>> len(small_log(seed=1)) > 400
    True
    """
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 5, customers * 10)  # lines of each basket
    basket = np.repeat(np.arange(len(size)), size)
    customer = basket % customers
    favourite = (customer * 7 + rng.integers(0, 4, len(basket))) % items
    item = np.where(rng.random(len(basket)) < 0.6, favourite, rng.integers(0, items, len(basket)))
    when = rng.integers(0, NOW, len(size))[basket]
    weight = rng.choice(np.array([1.0, 5.0], dtype=np.float32), len(basket))
    return Interactions(customer.astype(np.int32), item.astype(np.int32), when, basket, weight, customers, items)


def check_method(method: Method, log: Interactions | None = None, now: int = NOW) -> None:
    """Hold a method to every promise, in each of its candidate settings.

    Args:
        method: The method; it is fitted a few times for each setting.
        log: What to fit it on; by default `small_log()`.
        now: Microseconds UTC.

    Raises:
        BrokenPromise: Which promise, in which setting.

    >>> from shopkeeper.recommend.methods.popular import Popular
    >>> check_method(Popular())
    """
    log = small_log() if log is None else log
    settings = list(method.candidates())
    _hold(bool(settings), "candidates() gives at least one setting", method.name)
    for params in settings:
        for promise, kept in PROMISES.items():
            _hold(kept(method, log, now, params), promise, f"{method.name} with {params}")


def _hold(kept: bool, promise: str, who: str) -> None:
    if not kept:
        raise BrokenPromise(f"{who} breaks the promise: {promise}")


def _asked(log: Interactions) -> Histories:
    """Everybody, and one whom nobody knows."""
    return Histories.of(log, [*range(log.n_customers), -1])


def _same(one: Fitted, other: Fitted, log: Interactions, now: int) -> bool:
    """Whether two fitted methods give the same scores, ranks and reasons, bit for bit."""
    people = _asked(log)
    ranked, scores = one.top(people, now, K)
    ranked2, scores2 = other.top(people, now, K)
    someone = Histories.of(log, [0])
    return (np.array_equal(one.score(people, now), other.score(people, now)) and np.array_equal(ranked, ranked2)
            and np.array_equal(scores, scores2)
            and one.because(someone, ranked[0], now) == other.because(someone, ranked[0], now))


def _settings_are_frozen(method: Method, log: Interactions, now: int, params: Any) -> bool:
    name = next((field.name for field in fields(params)), None)
    if name is None:
        return True
    try:
        setattr(params, name, getattr(params, name))
    except FrozenInstanceError:
        return True
    return False


def _fit_is_repeatable(method: Method, log: Interactions, now: int, params: Any) -> bool:
    return _same(method.fit(log, now, params), method.fit(log, now, params), log, now)


def _order_is_nothing(method: Method, log: Interactions, now: int, params: Any) -> bool:
    shuffled = log.where(np.random.default_rng(0).permutation(len(log)))
    return _same(method.fit(log, now, params), method.fit(shuffled, now, params), log, now)


def _future_is_unseen(method: Method, log: Interactions, now: int, params: Any) -> bool:
    cut = int(np.median(log.when))
    return _same(method.fit(log, cut, params), method.fit(log.before(cut), cut, params), log.before(cut), cut)


def _state_round_trips(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted = method.fit(log, now, params)
    arrays, meta = fitted.state()
    kept = {name: array.copy() for name, array in arrays.items()}
    plain = all(array.dtype.kind in "biuf" for array in kept.values())
    return plain and _same(fitted, method.restore(kept, json.loads(json.dumps(meta))), log, now)


def _scores_are_numbers(method: Method, log: Interactions, now: int, params: Any) -> bool:
    scores = method.fit(log, now, params).score(_asked(log), now)
    return (scores.shape == (log.n_customers + 1, log.n_items) and scores.dtype == np.float32
            and bool(np.isfinite(scores).all()) and bool((scores >= 0).all()))


def _top_follows_score(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted, people = method.fit(log, now, params), _asked(log)
    ranked, scores = fitted.top(people, now, K)
    everything = fitted.score(people, now)
    best = -np.sort(-everything, axis=1)[:, :K]
    given = np.take_along_axis(everything, ranked, axis=1)
    return bool(np.allclose(scores, best, rtol=1e-5)) and bool(np.allclose(given, best, rtol=1e-5))


def _asking_alone_is_the_same(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted, people = method.fit(log, now, params), _asked(log)
    together, _ = fitted.top(people, now, K)
    alone = [fitted.top(people.part(i, i + 1), now, K)[0][0] for i in range(len(people))]
    return np.array_equal(together, np.stack(alone))


def _closed_items_stay_out(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted, people = method.fit(log, now, params), _asked(log)
    allowed = np.arange(log.n_items) % 2 == 0
    ranked, scores = fitted.top(people, now, log.n_items, exclude=people.items(), allowed=allowed)
    for place, row in enumerate(ranked):
        given = row[row >= 0]
        open_ = set(np.flatnonzero(allowed).tolist()) - set(people.part(place, place + 1).item.tolist())
        if sorted(given.tolist()) != sorted(open_) or (row[len(given):] != -1).any():
            return False
    return bool((scores[ranked < 0] == -np.inf).all())


def _strangers_are_answered(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted = method.fit(log, now, params)
    strangers = Histories(np.array([0, 0, 2]), np.array([log.n_items + 3, -1]), np.array([0, now]),
                          np.array([0, 1]), np.ones(2, dtype=np.float32))
    ranked, _ = fitted.top(strangers, now, K, exclude=ItemSets.of([[log.n_items + 3], [-1]]))
    fitted.because(strangers.part(1, 2), [0, 1], now)
    return all(len(set(row.tolist())) == K and row.min() >= 0 for row in ranked)


def _no_log_is_no_crash(method: Method, log: Interactions, now: int, params: Any) -> bool:
    for lines in (log.where(np.zeros(len(log), dtype=bool)), log.where(np.arange(len(log)) == 0)):
        ranked, _ = method.fit(lines, now, params).top(_asked(log), now, K)
        if ranked.shape != (log.n_customers + 1, K) or ranked.min() < 0:
            return False
    return True


def _reasons_add_up(method: Method, log: Interactions, now: int, params: Any) -> bool:
    fitted, people = method.fit(log, now, params), _asked(log)
    ranked, _ = fitted.top(people, now, K)
    for place in range(len(people)):
        history = people.part(place, place + 1)
        held = set(history.item.tolist())
        for reasons in fitted.because(history, ranked[place], now):
            shares: npt.NDArray[np.float64] = np.array([share for _, share in reasons])
            if any(item not in held for item, _ in reasons) or (shares < 0).any():
                return False
            if reasons and abs(shares.sum() - 1) > 1e-6:
                return False
    return True


PROMISES: Mapping[str, Callable[[Method, Interactions, int, Any], bool]] = {
    "a setting is a frozen dataclass": _settings_are_frozen,
    "fitting twice gives the same answer": _fit_is_repeatable,
    "the order of the lines does not matter": _order_is_nothing,
    "nothing at or after now is seen": _future_is_unseen,
    "state and restore give the same answer, bit for bit, through JSON and plain arrays": _state_round_trips,
    "scores are finite, at least 0, float32, (m, n_items)": _scores_are_numbers,
    "top gives the highest scores, highest first": _top_follows_score,
    "a customer asked about alone gets the same answer": _asking_alone_is_the_same,
    "excluded and disallowed items stay out, all others come": _closed_items_stay_out,
    "an empty history and unknown items are answered": _strangers_are_answered,
    "an empty log and a log of one line are answered": _no_log_is_no_crash,
    "the shares of a reason come from the history and add up to 1": _reasons_add_up,
}
