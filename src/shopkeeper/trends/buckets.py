"""Counts by minute and by hour, kept in memory and brought up to date from what a fold adds.

Every row of the event table counts in one cell, and cells only add up. So the state is a sum over segments: a late
event simply corrects an old bucket, and the whole log gives the same sums whatever parts it came in. Where segments
vanish, the hours that they touched are counted again; after a compaction that is spared where it wrote all of them, and
nothing else, into its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper.shop import Shop
from shopkeeper.trends import inputs
from shopkeeper.trends.inputs import MINUTE
from shopkeeper.trends.rules import HOUR, Series
from shopkeeper.trends.settings import Settings
from shopkeeper.warehouse import clock, compaction
from shopkeeper.warehouse.channels import CHANNELS
from shopkeeper.warehouse.manifest import Segment
from shopkeeper.warehouse.traffic import FACTS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAY = 24 * HOUR
SUMS = ("events", "lines", "value", "sold")
_KIND, _CHANNEL, _CATEGORY = 1024, 16, 1024  # how many of each a key can tell apart
_CODES = _KIND * _CHANNEL * _CATEGORY * 2
_RUNS = 6
DEFAULTS = Settings()


@dataclass(frozen=True)
class Cells:
    """Some cells: (n,) keys in order, each once, and (n, 4) sums (`SUMS`)."""

    keys: Ints
    sums: Floats

    @classmethod
    def of(cls, keys: Ints, sums: Floats) -> Cells:
        """Cells from keys in any order that may come several times; what adds up to nothing goes."""
        found, place = np.unique(keys, return_inverse=True)
        added: Floats = np.zeros((len(found), len(SUMS)))
        np.add.at(added, place, sums)
        kept = np.any(added != 0, axis=1)
        return cls(found[kept], added[kept])

    def between(self, low: int, high: int) -> Cells:
        """Those with low <= key < high."""
        ends = slice(*np.searchsorted(self.keys, [low, high]))
        return Cells(self.keys[ends], self.sums[ends])

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """Several as one."""
        return cls.of(np.concatenate([part.keys for part in parts] or [np.empty(0, np.int64)]),
                      np.concatenate([part.sums for part in parts] or [np.empty((0, len(SUMS)))]))


@dataclass
class Level:
    """Cells of one width, as a few sorted runs, the newest last.

    Attributes:
        width: Minutes of a bucket.
        days: How long they are kept, from the shop's clock back.
        runs: What was added.
    """

    width: int
    days: int
    runs: list[Cells] = field(default_factory=list)

    def add(self, minutes: Ints, codes: Ints, sums: Floats) -> None:
        """Add cells: (n,) minutes since 1970, (n,) codes, (n, 4) sums."""
        self.runs.append(Cells.of(minutes // self.width * _CODES + codes, sums))
        if len(self.runs) > _RUNS:
            small = sum(len(run.keys) for run in self.runs[1:])
            first = 0 if small * 4 >= len(self.runs[0].keys) else 1
            self.runs[first:] = [Cells.joined(self.runs[first:])]

    def key(self, when: int) -> int:
        """The first key of the bucket in which a time (microseconds UTC) lies."""
        return when // (self.width * MINUTE) * _CODES

    def cut(self, low: int, high: int) -> None:
        """Forget the buckets from `low` to before `high` (microseconds UTC)."""
        ends = self.key(low), self.key(high)
        self.runs = [Cells(np.concatenate([run.between(0, ends[0]).keys, run.between(ends[1], 2**62).keys]),
                           np.concatenate([run.between(0, ends[0]).sums, run.between(ends[1], 2**62).sums]))
                     for run in self.runs]

    def trim(self, now: int) -> None:
        """Forget what is older than it is kept for."""
        floor = self.key(self.floor(now))
        if any(len(run.keys) and run.keys[0] < floor for run in self.runs):
            self.runs = [run.between(floor, 2**62) for run in self.runs]

    def floor(self, now: int) -> int:
        """The first hour that is kept."""
        return max(0, (now - self.days * DAY) // HOUR * HOUR)


def _alike(old: Sequence[Segment], new: Sequence[Segment]) -> bool:
    """Whether a compaction wrote exactly these segments into those: as many rows and events over the same span."""
    def sizes(segments: Sequence[Segment]) -> tuple[int, ...]:
        return (sum(one.rows for one in segments), sum(one.events for one in segments),
                min((one.first for one in segments), default=0), max((one.last for one in segments), default=0))

    return sizes(old) == sizes(new)


class Buckets:
    """The counts of a shop.

    Args:
        settings: How long what is kept.
        widths: Further widths (minutes) and how long they are kept (days); minutes and hours are always there.

    Attributes:
        now: The shop's clock as of the last update, microseconds UTC; 0 for an empty log.
    """

    def __init__(self, settings: Settings = DEFAULTS, widths: Mapping[int, int] | None = None) -> None:
        self.settings, self.now = settings, 0
        self._widths = {1: settings.minutes_days, 60: settings.hours_days, **(widths or {})}
        self._forget()

    def _forget(self) -> None:
        self.now = 0
        self._levels = {width: Level(width, days) for width, days in self._widths.items()}
        self._seen: dict[str, Segment] = {}
        self._kinds: dict[str, int] = {}
        self._categories: dict[str, int] = {"": 0}
        self._told: tuple[str, ...] = ()
        self._shelf: dict[str, str] = {}
        self._items: str | None = None
        self._labels: str | None = None  # the table of who is a bot

    def keep(self, width: int, days: int) -> None:
        """Also keep buckets of this width (minutes), at least so long (days); counted with the next update."""
        if self._widths.get(width, 0) < days:
            self._widths[width] = days
            self._forget()

    def update(self, shop: Shop) -> None:
        """Bring the counts to what the shop's view of the log holds; reads what is new since the last time."""
        segments = {segment.file: segment for segment in shop.manifest.segments}
        gone = [segment for file, segment in self._seen.items() if file not in segments]
        new = [segment for file, segment in segments.items() if file not in self._seen]
        if self._new_shelf(shop, gone):
            gone, new = [], list(segments.values())
        moved = [segment for segment in new if segment.import_id.startswith(compaction.NAME)]
        if gone and _alike(gone, moved):
            gone, new = [], [segment for segment in new if segment not in moved]
        if gone:
            self._recount(shop, [*gone, *new])
        elif new:
            part = inputs.part(shop, new)
            self.now = max(self.now, clock.latest(part, shop.until))
            self._add(inputs.read_cells(part, self._told, None, shop.until))
        self._seen = segments
        for level in self._levels.values():
            level.trim(self.now)

    def _recount(self, shop: Shop, touched: Sequence[Segment]) -> None:
        """Count the hours again that these segments touch."""
        start = min(segment.first for segment in touched) // HOUR * HOUR
        until = (max(segment.last for segment in touched) // HOUR + 1) * HOUR
        before, self.now = self.now, shop.now()
        if self.now < before:  # rows are gone for good, and older hours are kept again
            self._start(shop)
            self._add(inputs.read_cells(shop.engine, self._told, None, shop.until))
            return
        for level in self._levels.values():
            level.cut(start, until)
        until = until if shop.until is None else min(until, shop.until)
        self._add(inputs.read_cells(shop.engine, self._told, start, until))

    def _start(self, shop: Shop) -> None:
        """Begin anew with the categories of today."""
        now = self.now
        self._forget()
        self.now, self._items = now, shop.manifest.tables.get("items")
        self._labels = shop.manifest.tables.get(FACTS)
        self._told = inputs.read_told(shop.engine, self.settings.categories)
        self._shelf = inputs.read_shelf(shop.engine, self._told)

    def _new_shelf(self, shop: Shop, gone: Sequence[Segment]) -> bool:
        """Move what counted for items whose category has changed; true where everything must be counted anew."""
        items, labels = shop.manifest.tables.get("items"), shop.manifest.tables.get(FACTS)
        if labels != self._labels:  # who is a person is known better now
            self.now = 0
            self._start(shop)
            return True
        if items == self._items:
            return False
        told = inputs.read_told(shop.engine, self.settings.categories)
        shelf = inputs.read_shelf(shop.engine, told)
        moved = [item for item in {**self._shelf, **shelf} if self._shelf.get(item) != shelf.get(item)]
        if gone and moved:
            self.now = 0
            self._start(shop)
            return True
        if moved and self._seen:
            self._move(inputs.read_cells_of(inputs.part(shop, tuple(self._seen.values())), moved), shelf)
        self._told, self._shelf, self._items = told, shelf, items
        return False

    def _move(self, table: pa.Table, shelf: Mapping[str, str]) -> None:
        for mapping, sign in ((self._shelf, -1.0), (shelf, 1.0)):
            categories = [mapping.get(item, "") for item in table["item_id"].to_pylist()]
            place = table.column_names.index("category")
            self._add(table.set_column(place, "category", pa.array(categories, pa.string())), sign)

    def _add(self, table: pa.Table, sign: float = 1.0) -> None:
        minutes = table["at"].cast(pa.int64()).to_numpy() // MINUTE
        codes = self._codes(table)
        sums = sign * np.stack([table[name].to_numpy().astype(np.float64) for name in SUMS], axis=1)
        for level in self._levels.values():
            kept = minutes >= level.floor(self.now) // MINUTE
            level.add(minutes[kept], codes[kept], sums[kept])

    def _codes(self, table: pa.Table) -> Ints:
        kinds, categories = (self._numbers(table[name], known) for name, known in (
            ("kind", self._kinds), ("category", self._categories)))
        channels = self._numbers(table["channel"], {name: k for k, name in enumerate(CHANNELS)})
        human: Ints = table["human"].to_numpy().astype(np.int64)
        return ((kinds * _CHANNEL + channels) * _CATEGORY + categories) * 2 + human

    @staticmethod
    def _numbers(column: pa.ChunkedArray, known: dict[str, int]) -> Ints:
        """(n,) the number of each name; new names get the next."""
        coded = column.combine_chunks().dictionary_encode()
        numbers = np.array([known.setdefault(name, len(known)) for name in coded.dictionary.to_pylist()], np.int64)
        return numbers[coded.indices.to_numpy()] if len(coded) else np.empty(0, np.int64)

    def floor(self, width: int) -> int:
        """The first hour of which buckets of this width are kept, microseconds UTC."""
        return self._levels[width].floor(self.now)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of event that were ever counted, in alphabetical order."""
        return tuple(sorted(self._kinds))

    def series(self, series: Series, width: int, start: int, until: int, *, human_only: bool = True) -> Floats:
        """What a series counts in each bucket, as `inputs.read_series`: (T,) amounts, zeros included.

        Raises:
            KeyError: Buckets of this width are not kept.
        """
        level = self._levels[width]
        low, high = level.key(start), level.key(until)
        counts: Floats = np.zeros((high - low) // _CODES)
        for run in level.runs:
            part = run.between(low, high)
            wanted = self._wanted(series, part.keys % _CODES, human_only)
            place = (part.keys[wanted] - low) // _CODES
            counts += np.bincount(place, part.sums[wanted, SUMS.index(series.column)], len(counts))
        return counts / series.unit

    def _wanted(self, series: Series, codes: Ints, human_only: bool) -> npt.NDArray[np.bool_]:
        kind, rest = np.divmod(codes // 2, _CHANNEL * _CATEGORY)
        channel, category = np.divmod(rest, _CATEGORY)
        wanted = np.ones(len(codes), dtype=bool)
        if human_only:
            wanted &= codes % 2 == 1
        if series.kind is not None:
            wanted &= kind == self._kinds.get(series.kind, -1)
        if series.channel is not None:
            wanted &= channel == (CHANNELS.index(series.channel) if series.channel in CHANNELS else -1)
        if series.category is not None:
            wanted &= category == self._categories.get(series.category, -1)
        return wanted

    def table(self, width: int = 60) -> pa.Table:
        """Every cell of a width: at (UTC), kind, channel, category, human, and the sums; in that order, sorted."""
        cells = Cells.joined(self._levels[width].runs)
        codes = cells.keys % _CODES
        kinds, categories = list(self._kinds), list(self._categories)
        found = pa.table({
            "at": pa.array(cells.keys // _CODES * (width * MINUTE), pa.timestamp("us")),
            "kind": pa.array([kinds[k] for k in codes // (2 * _CATEGORY * _CHANNEL)], pa.string()),
            "channel": pa.array([CHANNELS[k] for k in codes // (2 * _CATEGORY) % _CHANNEL], pa.string()),
            "category": pa.array([categories[k] for k in codes // 2 % _CATEGORY], pa.string()),
            "human": pa.array(codes % 2 == 1),
            **{name: pa.array(cells.sums[:, k]) for k, name in enumerate(SUMS)}})
        return found.sort_by([(name, "ascending") for name in ("at", "kind", "channel", "category")])

    @property
    def cells(self) -> int:
        """How many cells are held, of all widths: what the memory is made of (40 bytes each)."""
        return sum(len(run.keys) for level in self._levels.values() for run in level.runs)
