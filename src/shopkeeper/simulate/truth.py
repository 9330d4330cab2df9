"""What is true of a simulated shop, beside its log; and how both are written to files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.simulate.catalogue import Catalogue
from shopkeeper.simulate.config import SimulationConfig
from shopkeeper.simulate.population import TIERS, Floats, Population, favourites
from shopkeeper.words import say

FORMATS = ("parquet", "csv", "jsonl")
Format = Literal["parquet", "csv", "jsonl"]
_PART = 4096               # customers told at a time


@dataclass
class Counts:
    """How many rows of the event table a log has, and how many events (rows on line 0), by kind."""

    records: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, events: Any) -> Counts:
        """The counts of a whole log."""
        counts = cls()
        counts.add(events)
        return counts

    def add(self, events: Any) -> None:
        """Count a part of a log."""
        self.records += _count(events["event"])
        self.events += _count(events["event"].filter(pc.equal(events["line"], 0)))


@dataclass(frozen=True)
class Truth:
    """What the simulator planted. Arrays of (n,) follow `customer_id`, those of (m,) follow `item_id`.

    Attributes:
        categories: (C,) category paths.
        customer_id: (n,) ids.
        taste: (n, C) share of each category in what a customer considers; rows sum to 1.
        interval: (n,) mean days between purchases.
        hour: (n,) preferred hour in the shop's zone; weekday: (n,) preferred day, 0 = Monday.
        elasticity: (n,) relative change of the chance to buy for a relative change of price.
        joins: (n,) timestamps, UTC; the start of the log for those who were there before.
        leaves: (n,) timestamps, UTC; NaT for those who never leave. After it there is no event of the customer.
        item_id: (m,) ids.
        demand: (m,) share of each item in what customers consider, at first prices and out of season; sums to 1.
        complements: Pairs of items: who takes one often takes the other in the same order.
        substitutes: Groups of items that stand in each other's place: looked at together, never bought together.
        records: Kind -> rows of the event table, all of them valid.
        events: Kind -> events (rows on line 0).
        until: End of the span, microseconds since 1970, UTC; no event is later.
    """

    categories: tuple[str, ...]
    customer_id: tuple[str, ...]
    taste: Floats
    interval: Floats
    hour: Floats
    weekday: npt.NDArray[np.int64]
    elasticity: Floats
    joins: npt.NDArray[np.datetime64]
    leaves: npt.NDArray[np.datetime64]
    item_id: tuple[str, ...]
    demand: Floats
    complements: tuple[tuple[str, str], ...]
    substitutes: tuple[tuple[str, ...], ...]
    records: Mapping[str, int]
    events: Mapping[str, int]
    until: int

    def favourites(self, k: int = 3) -> list[tuple[str, ...]]:
        """Each customer's k best-liked categories, best first."""
        return [tuple(self.categories[c] for c in row) for row in favourites(self.taste, k)]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data: one object for each customer and item, times in ISO 8601, null for never."""
        whole = self.of_the_shop()
        return {"categories": whole.pop("categories"), "customers": list(self.of_the_customers()), **whole}

    def of_the_customers(self) -> Iterator[dict[str, Any]]:
        """What `to_dict` says about each customer, one after the other."""
        names = ("taste", "interval", "hour", "weekday", "elasticity", "joins", "leaves")
        for start in range(0, len(self.customer_id), _PART):
            part = slice(start, start + _PART)
            best = [tuple(self.categories[c] for c in row) for row in favourites(self.taste[part], 3)]
            columns = (self.taste[part].round(6).tolist(), self.interval[part].tolist(), self.hour[part].tolist(),
                       self.weekday[part].tolist(), self.elasticity[part].tolist(), _iso(self.joins[part]),
                       _iso(self.leaves[part]))
            for one, liked, *values in zip(self.customer_id[part], best, *columns, strict=True):
                yield {"customer_id": one, "favourites": liked, **dict(zip(names, values, strict=True))}

    def of_the_shop(self) -> dict[str, Any]:
        """What `to_dict` says beside the customers."""
        items = [{"item_id": one, "demand": share}
                 for one, share in zip(self.item_id, self.demand.tolist(), strict=True)]
        return {"categories": self.categories, "items": items, "complements": self.complements,
                "substitutes": self.substitutes, "records": dict(self.records), "events": dict(self.events),
                "until": self.until}


@dataclass(frozen=True)
class Simulated:
    """A shop's log and tables, and the truth behind them.

    Attributes:
        config: What was asked for.
        events: The event table, by time; the columns of `events.schema.COLUMNS` that a web shop fills.
        items: item_id, title, category, brand, price, cost, season, since.
        customers: customer_id, country, device, joined (null for those who were there before).
        truth: What was planted.
    """

    config: SimulationConfig
    events: Any
    items: Any
    customers: Any
    truth: Truth

    def write(self, folder: str | Path, format: Format = "parquet") -> list[Path]:
        """Write events, items, customers and `truth.json` into a folder, made if it is not there.

        Args:
            folder: Where to.
            format: `parquet`, `csv` or `jsonl`.

        Returns:
            The files written.

        Raises:
            BadInput: The format is not one of these.
        """
        if format not in FORMATS:
            raise BadInput(say("{format} is not a format that can be written.", format=repr(format)),
                           do=[say("one of: {names}", names=", ".join(FORMATS))])
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name in ("events", "items", "customers"):
            paths.append(folder / f"{name}.{format}")
            write_table(getattr(self, name), paths[-1], format)
        paths.append(folder / "truth.json")
        paths[-1].write_text(json.dumps(self.truth.to_dict(), indent=1), encoding="utf-8")
        return paths


def truth_of(config: SimulationConfig, population: Population, catalogue: Catalogue, ids: tuple[Any, Any],
             counts: Counts) -> Truth:
    """The truth about a population and a catalogue.

    Args:
        config: What was asked for.
        population, catalogue: What was drawn.
        ids: The customers' and the items' ids, Arrow arrays.
        counts: Of the log.
    """
    item_id = ids[1].to_pylist()
    return Truth(
        categories=catalogue.names, customer_id=tuple(ids[0].to_pylist()), taste=population.taste,
        interval=population.interval, hour=population.hour, weekday=population.weekday,
        elasticity=population.elasticity, joins=moments(config, population.joins),
        leaves=moments(config, population.leaves), item_id=tuple(item_id), demand=_demand(population, catalogue),
        complements=tuple((item_id[a], item_id[b]) for a, b in catalogue.pairs().tolist()),
        substitutes=tuple(tuple(item_id[row] for row in group.tolist()) for group in catalogue.groups()),
        records=_by_name(counts.records), events=_by_name(counts.events),
        until=config.midnight(config.days))


def moments(config: SimulationConfig, days: Floats) -> npt.NDArray[np.datetime64]:
    """(n,) naive UTC times of days of the log; NaT for never. Days are of the shop's zone."""
    out = np.full(len(days), np.datetime64("NaT", "us"))
    some = np.flatnonzero(np.isfinite(days))
    whole = np.minimum(np.floor(days[some]), 36_500).astype(np.int64)
    unique, place = np.unique(whole, return_inverse=True)
    midnight = np.array([config.midnight(int(day)) for day in unique], np.int64)[place]
    out[some] = (midnight + ((days[some] - whole) * 86_400e6).astype(np.int64)).astype("datetime64[us]")
    return out


def _demand(population: Population, catalogue: Catalogue) -> Floats:
    """(m,) each item's share of what customers consider: taste x fit to the budget x appeal."""
    weight = catalogue.fit * catalogue.appeal
    total = np.add.reduceat(weight, catalogue.starts[:-1], axis=1)
    share = weight / total[:, catalogue.category]
    rate = population.slots / population.interval
    demand = np.zeros(catalogue.n)
    for tier in range(TIERS):
        mine = population.tier == tier
        demand += (rate[mine] @ population.taste[mine])[catalogue.category] * share[tier]
    return np.asarray(demand / demand.sum())


def _count(kinds: Any) -> Counter[str]:
    return Counter({one["values"]: one["counts"] for one in kinds.value_counts().to_pylist()})


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _iso(times: npt.NDArray[np.datetime64]) -> list[str | None]:
    return [None if np.isnat(one) else str(one) for one in times]


def write_table(table: Any, path: Path, format: Format) -> None:
    """Write one table into one file."""
    if format == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, path, compression="zstd")
    elif format == "csv":
        import pyarrow.csv as pcsv

        pcsv.write_csv(table, path)
    else:
        with path.open("w", encoding="utf-8") as out:
            for batch in table.to_batches(max_chunksize=65_536):
                out.writelines(_json_line(record) for record in plain(pa.table(batch)))


def plain(table: Any) -> list[dict[str, Any]]:
    """Rows as dicts of texts and numbers, without what is null: times as ISO texts, money as numbers."""
    columns = []
    for kind, values in zip(table.schema.types, table.columns, strict=True):
        if pa.types.is_temporal(kind):
            values = values.cast(pa.string())
        elif pa.types.is_decimal(kind):
            values = values.cast(pa.float64())
        columns.append(values.to_pylist())
    return [{name: value for name, value in zip(table.schema.names, row, strict=True) if value is not None}
            for row in zip(*columns, strict=True)]


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
