"""Spoiling a log in ways that are counted, so that an import's account can be checked to the last record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.events.schema import NEEDS_ITEM, NEEDS_NOBODY
from shopkeeper.simulate.truth import plain
from shopkeeper.words import say

Record = dict[str, Any]


@dataclass(frozen=True)
class Mess:
    """A spoiled log and its planted account: `len(records) == valid + duplicate + sum(broken.values())`.

    Attributes:
        records: One dict a record, as a sender would give it; what is null is left out.
        valid: Records that an import must store.
        duplicate: Exact repeats.
        broken: Reason -> records that an import must quarantine.
    """

    records: list[Record]
    valid: int
    duplicate: int
    broken: Mapping[str, int]


def _without(*names: str) -> Callable[[Record], Record]:
    return lambda record: {name: value for name, value in record.items() if name not in names}


def _with(**changes: Any) -> Callable[[Record], Record]:
    return lambda record: {**record, **changes}


def _negative(record: Record) -> Record:
    return {**record, "price": -record["price"]}


# Reason -> how a valid record is spoiled. `conflict` is added beside the valid record; the others stand in its place.
SPOILS: Mapping[str, Callable[[Record], Record]] = {
    "missing_identity": _without("customer_id", "anonymous_id"), "missing_item": _without("item_id"),
    "missing_time": _without("ts"), "bad_time": _with(ts="yesterday at noon"),
    "missing_currency": _without("currency"), "unknown_kind": _with(event="teleport"), "negative_price": _negative,
    "conflict": _with(country="XX"),
}


def mess(events: Any, seed: int = 0, *, duplicates: float = 0.02, shuffle: bool = True, broken: float = 0.01) -> Mess:
    """Spoil a log: repeat some records, break some, and mix them all up.

    Only events of one line are touched, each in one way at most, so that the account does not depend on the order.

    Args:
        events: An event table, all of it valid.
        seed: The same seed spoils the same records.
        duplicates: Share of the records that is repeated.
        shuffle: Whether the records come in any order.
        broken: Share of the records that is broken or contradicted, the reasons in equal parts.

    Returns:
        The records and the account that an import must arrive at.

    Raises:
        BadInput: A share is not in [0, .3], or there are too few records to spoil that many.

    >>> from shopkeeper.simulate import SimulationConfig, simulate
    >>> log = simulate(SimulationConfig(customers=30, items=20, days=10)).events
    >>> spoiled = mess(log, seed=1)
    >>> len(spoiled.records) == spoiled.valid + spoiled.duplicate + sum(spoiled.broken.values())
    True
    """
    for name, share in (("duplicates", duplicates), ("broken", broken)):
        if not 0 <= share <= 0.3:
            raise BadInput(say("{name} is {share}; it must be between 0 and 0.3.", name=name, share=share))
    rng = np.random.default_rng([seed, 99])
    fit = _fitness(events)
    n = events.num_rows
    records, counts = plain(events), dict.fromkeys(SPOILS, round(broken * n / len(SPOILS)))
    free = fit.pop("")
    for reason, spoil in SPOILS.items():
        for row in _pick(free & fit[reason], counts[reason], rng):
            free[row] = False
            if reason == "conflict":
                records.append(spoil(records[row]))
            else:
                records[row] = spoil(records[row])
    repeated = _pick(free, round(duplicates * n), rng)
    records += [dict(records[row]) for row in repeated]
    if shuffle:
        records = [records[row] for row in rng.permutation(len(records))]
    planted = {reason: count for reason, count in counts.items() if count}
    lost = sum(count for reason, count in planted.items() if reason != "conflict")
    return Mess(records, n - lost, len(repeated), planted)


def _fitness(events: Any) -> dict[str, npt.NDArray[np.bool_]]:
    """Reason -> mask (n,) of the records that can be broken in this way alone; "" -> those of one line."""
    ids = events["event_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy() if not isinstance(ids, pa.ChunkedArray) else ids.chunk(0).indices.to_numpy()
    alone = np.bincount(codes)[codes] == 1 if len(codes) else np.zeros(0, bool)
    kind = {name: _mask(pc.is_in(events["event"], pa.array(sorted(kinds))))
            for name, kinds in (("item", NEEDS_ITEM), ("nobody", NEEDS_NOBODY), ("sale", {"purchase", "refund"}))}
    priced = _mask(pc.is_valid(events["price"]))
    anything = np.ones(len(alone), bool)
    return {"": alone, "missing_identity": ~kind["nobody"] & ~kind["sale"] & ~_mask(pc.is_valid(events["order_id"])),
            "missing_item": kind["item"] & ~kind["sale"], "missing_time": anything, "bad_time": anything,
            "missing_currency": priced, "unknown_kind": anything, "negative_price": priced, "conflict": anything}


def _pick(fit: npt.NDArray[np.bool_], n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    rows = np.flatnonzero(fit)
    if len(rows) < n:
        raise BadInput(say("{n:,} records are to be spoiled in one way, and only {there:,} can be.",
                           n=n, there=len(rows)), do=[say("simulate more days")])
    return np.asarray(rng.choice(rows, n, replace=False))


def _mask(array: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bool)
