"""`next_items` from memory: the installed desk, the shelf and everybody's history, with what happened a moment ago.

The answer is that of the question `recommend.next_items` over a log that holds the same events. A click that was
acknowledged changes the next answer; a change of the items or stock table, too. What was shown is queued as an event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from shopkeeper.asking import plain
from shopkeeper.errors import Refusal
from shopkeeper.events.pseudonyms import GUEST, pseudonym
from shopkeeper.evidence import NotLearned
from shopkeeper.recommend.assignment import INSTALLED, PLAIN, QUESTION, Experiment, running
from shopkeeper.recommend.catalogue import Catalogue, Change
from shopkeeper.recommend.desk import Desk, desk, plain_desk, with_new
from shopkeeper.recommend.exposures import MARK, Arm, Exposures, Shown, exposure, new_id
from shopkeeper.recommend.inputs import WEIGHTS, empty_log, names_of
from shopkeeper.recommend.memory import Bounds, Memory
from shopkeeper.recommend.methods.base import DAY, Histories
from shopkeeper.recommend.methods.popular import PopularFitted, PopularParams
from shopkeeper.recommend.past import Line, Made
from shopkeeper.recommend.ranking import Ranked, Wanted, about_history, at_least_one, check_tables, rank, reasons
from shopkeeper.recommend.rules import Rules, Shelf
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.warehouse import clock
from shopkeeper.warehouse.engine import Engine
from shopkeeper.warehouse.identity import FACTS as JOINS
from shopkeeper.warehouse.manifest import Manifest, Segment
from shopkeeper.words import Sentence, put, say

__all__ = ["LiveDesk", "LiveSettings", "Shown"]

Source = tuple[str, str]  # what a model is kept under, and its version; or `plain`
_NONE = Rules()
_EPOCH = datetime(1970, 1, 1)
_encode = msgspec.json.Encoder().encode
_QUICK, _PAUSE = 0.003, 20  # seconds that a count may take each time; pauses, in units of a longer count's own time
_NAMES = 10_000  # identities whose pseudonyms are remembered
_CHANGES = 20_000  # rows of changed tables that are laid over what is read, at most, where nobody says what is folded


@dataclass(frozen=True)
class LiveSettings:
    """What the live desk holds and logs.

    Attributes:
        bounds: Of the histories in memory.
        exposures: How many exposures may wait for the disk.
        share: The share of answers whose exposure is logged.
    """

    bounds: Bounds = field(default_factory=Bounds)
    exposures: int = 50_000
    share: float = 1.0


class Seen(Protocol):
    """An accepted event, as the entrance gives it."""

    @property
    def event_id(self) -> str:
        """Its id."""

    @property
    def event(self) -> str:
        """Its kind."""

    @property
    def ts(self) -> int:
        """Microseconds UTC."""

    @property
    def customer_id(self) -> str | None:
        """Raw."""

    @property
    def anonymous_id(self) -> str | None:
        """Raw."""

    @property
    def session_id(self) -> str | None:
        """As sent."""

    @property
    def order_id(self) -> str | None:
        """As sent."""

    @property
    def items(self) -> tuple[str, ...]:
        """One for each line that has an item."""


@dataclass
class _Seat:
    """A desk and what it needs to answer from memory.

    Attributes:
        desk: Who ranks.
        shelf, titles: (n_items,) what is known of its things.
        rows: (codes,) the row of each item code of the memory, -1 where the desk does not know it.
        codes: (n_items,) the code of each of its things.
        catalogue: What the shelf was laid out from.
        learned: The desk without new items, where there is such a one.
        evidence: Language -> the evidence as JSON.
    """

    desk: Desk
    shelf: Shelf
    titles: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    catalogue: Catalogue
    learned: Desk | None = None
    evidence: dict[str, msgspec.Raw] = field(default_factory=dict)

    def over(self, made: Made) -> Histories:
        """A history over the rows of the desk; items that it does not know are left out."""
        inside = made.item < len(self.rows)
        rows = np.where(inside, self.rows[np.where(inside, made.item, 0)], -1)
        keep = rows >= 0
        return Histories.single(rows[keep], when=made.when[keep], basket=made.basket[keep], weight=made.weight[keep])

    def proof(self, language: str) -> msgspec.Raw:
        """The evidence as the answer's JSON has it."""
        found = self.evidence.get(language)
        if found is None:
            evidence = self.desk.evidence
            text = _encode(plain({**evidence.to_dict(), "sentence": put(evidence.sentence(), language)}))
            found = self.evidence[language] = msgspec.Raw(text)
        return found


class LiveDesk:
    """Answers `next_items` from memory. Made by `LiveDesk.open`; safe to use from several threads.

    Attributes:
        exposures: What was shown, waiting to be stored.
    """

    def __init__(self, shop: Shop, settings: LiveSettings, clock_: Callable[[], int]) -> None:
        keys = shop.keys()
        self.settings, self._wall, self._key = settings, clock_, keys.pseudonym
        self.exposures = Exposures(settings.exposures, settings.share)
        self._lock = threading.RLock()
        self._names = lru_cache(maxsize=_NAMES)(lambda identity: tuple(names_of(identity, keys.pseudonym)))
        self._pseudonym = lru_cache(maxsize=_NAMES)(lambda one, column: pseudonym(one, column, keys.pseudonym))
        self._roles = shop.config.roles
        self._changes: list[Change] = []
        self._number = 0
        self._money: Refusal | bool | None = None  # whether prices can be compared; None: nobody asked yet
        self._counted = (0.0, 0.0)  # when the plain rule was last counted anew, and how long that took, seconds
        self._stale = False
        self._shop, self._manifest = shop, shop.manifest
        self._memory = Memory(shop, settings.bounds)
        self._now = shop.now()
        self._catalogue = Catalogue.read(shop)
        self._seats: dict[Source, _Seat | Refusal] = {}
        self._sit()

    @classmethod
    def open(cls, shop: Shop, settings: LiveSettings | None = None,
             clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> LiveDesk:
        """Read the log, the tables and the model.

        Args:
            shop: A shop that nobody else refreshes.
            settings: What is held.
            clock: The machine's, microseconds UTC.
        """
        return cls(shop, settings or LiveSettings(), clock)

    def in_memory(self, customer: str, rules: Rules | None = None) -> bool:
        """Whether `next_items` can answer without reading the log."""
        priced = rules is not None and (rules.price_min is not None or rules.price_max is not None)
        return not (priced and self._money is None) and self._memory.holds(self._memory.meant(self._names(customer)))

    def next_items(self, customer: str, *, n: int = 10, rules: Rules | None = None, because: bool = False,
                   language: str = "en") -> Shown:
        """Answer as `recommend.next_items` does, and queue what was shown.

        Args:
            customer: As of the question.
            n: How many items.
            rules: As of the question.
            because: Whether each item says because of what.
            language: Of notes and evidence.

        Raises:
            BadInput, UnknownName, MissingTable, MixedCurrencies: As the question does.
        """
        at_least_one(n)
        rules = rules or _NONE
        if rules is not _NONE:
            check_tables(self._catalogue.tables.__contains__, self._currency, rules, str(self._shop.path))
        names = self._names(customer)
        meant = self._memory.meant(names)
        made, person = self._memory.find(meant)
        seat, arm = self._seat(next((name for name in meant if name not in names), names[0]))
        histories = seat.over(made)
        wanted = Wanted(n, rules, self._now)
        ranked = rank(seat.desk, seat.shelf, histories, wanted)
        said = (*seat.desk.notes, *about_history(customer, person, len(made), histories), *ranked.notes, *_part_of(arm))
        request_id = new_id()
        rows = _rows(seat, ranked, reasons(seat.desk, histories, ranked, seat.titles, wanted) if because else None)
        body = _encode({
            "answer": rows, "method": seat.desk.fitted.name, "evidence": seat.proof(language),
            "asked": {"question": QUESTION, "customer": customer, "n": n, "rules": _plain_rules(rules)},
            "notes": [put(one, language) for one in said], "catalogue": len(seat.shelf.ids), "left": ranked.left,
            "removed": ranked.removed, "request_id": request_id,
            **({} if arm.experiment is None else {"experiment": {
                "name": arm.experiment, "arm": arm.treatment, "propensity": arm.propensity}})})
        record = exposure(request_id, person, [row["item_id"] for row in rows], arm, self._wall())
        self.exposures.put(record)
        return Shown(body, request_id, record)

    def saw(self, events: Iterable[Seen], received_at: int | None = None) -> None:
        """Take events that were acknowledged a moment ago: the next answer knows them.

        Args:
            events: Accepted by the entrance; those of the service itself change nothing.
            received_at: When they came, microseconds UTC; by default now. A later time does not move the clock.
        """
        received = self._wall() if received_at is None else received_at
        for event in events:
            if event.event_id.startswith(MARK):
                continue
            if self._now < event.ts <= received:
                self._now, self._stale = event.ts, True
            weight = WEIGHTS.get(self._roles.get(event.event, ""))
            person = self._person(event)
            if weight is None or person is None or not event.items:
                continue
            basket = event.order_id if event.order_id is not None else event.session_id
            heard = float(np.float32(weight))
            self._memory.saw(person, [Line(event.ts, basket, item, heard, event.event_id) for item in event.items])
            self._stale = True

    def changed(self, table: str, change: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take a change of a table that was acknowledged a moment ago.

        Args:
            table: `items` or `stock`; others change no answer.
            change: `put`, `patch` or `delete`.
            rows: With the table's columns.
        """
        if table not in ("items", "stock") or not rows:
            return
        with self._lock:
            self._number += 1
            one = (self._number, table, change, rows)
            self._changes.append(one)
            self._lay(one)

    def mark(self) -> int:
        """A number for what was taken so far: to be asked for before the journal is sealed, and given to `refresh`."""
        return self._number

    def refresh(self, shop: Shop, folded: int | None = None) -> None:
        """Take a later view of the shop: after a fold, an import, a newly installed model. Answers go on meanwhile.

        Args:
            shop: A view that nobody else refreshes, later than the one before.
            folded: `mark()` of before the journal was sealed; None where that is not known.
        """
        fresh = _fresh(shop, self._manifest)
        nothing = fresh is not None and not fresh.manifest.segments
        if not nothing or shop.manifest.tables.get(JOINS) != self._manifest.tables.get(JOINS):
            self._memory.refresh(shop, fresh)
        catalogue = Catalogue.read(shop, self._catalogue, fresh)
        now = shop.now() if fresh is None else (0 if nothing else clock.latest(fresh))
        with self._lock:
            self._changes = [one for one in self._changes if folded is None or one[0] > folded]
            while folded is None and sum(len(one[3]) for one in self._changes) > _CHANGES:
                self._changes.pop(0)
            for change in self._changes:
                catalogue.apply(change)
            self._catalogue, self._shop, self._manifest = catalogue, shop, shop.manifest
            self._now, self._money, self._stale = max(self._now, now), None, True
        self._sit()

    # ---------------------------------------------------------------------------------------------------- inside

    def _person(self, event: Seen) -> str | None:
        """The pseudonym of who did it; None where nobody did, or a guest."""
        for identity, column in ((event.customer_id, "customer_id"), (event.anonymous_id, "anonymous_id")):
            if identity is not None:
                if column == "anonymous_id" and identity.startswith(GUEST):
                    return None
                return self._pseudonym(identity, column)
        return None

    def _currency(self) -> str:
        """Refuse a log with several currencies, as `Shop.currency` does; looked at once for each view."""
        if self._money is None:
            try:
                self._shop.currency()
                self._money = True
            except Refusal as refusal:
                self._money = refusal
        if isinstance(self._money, Refusal):
            raise self._money
        return ""

    def _lay(self, change: Change) -> None:
        """Lay a change over the catalogue and over every shelf."""
        items = self._catalogue.apply(change)
        for seat in self._seats.values():
            if isinstance(seat, _Seat):
                seat.shelf = self._catalogue.put_into(seat.shelf, seat.titles, items)

    def _sources(self, experiment: Experiment | None) -> dict[str, Source]:
        """What each arm is answered by; the arm without a name is what answers where no experiment runs."""
        arms = {"": INSTALLED} if experiment is None else {"": INSTALLED, "a": experiment.a, "b": experiment.b}
        return {arm: self._source(what, experiment, arm) for arm, what in arms.items()}

    def _source(self, what: str, experiment: Experiment | None, arm: str) -> Source:
        key = QUESTION if what == INSTALLED or experiment is None else experiment.model(arm)
        known = self._manifest.models.get(key)
        return (PLAIN, "") if what == PLAIN or known is None else (key, known.serving)

    def _sit(self) -> None:
        """Load what is not loaded yet, and let go of what is not needed any more."""
        experiment = running(self._shop, self._wall())
        arms = self._sources(experiment)
        seats: dict[Source, _Seat | Refusal] = {}
        for source in dict.fromkeys(arms.values()):
            before = self._seats.get(source)
            seats[source] = self._plain(before) if source[0] == PLAIN else self._learned(source, before)
        with self._lock:
            self._seats = seats
            for change in self._changes:  # one may have come while a shelf was laid out
                self._lay(change)
            self._serving = (experiment, arms, seats)

    def _learned(self, source: Source, before: _Seat | Refusal | None) -> _Seat | Refusal:
        if isinstance(before, _Seat) and before.catalogue is self._catalogue:
            return self._seated(before.desk, before)
        try:
            there = before.learned if isinstance(before, _Seat) else None
            learned = there or desk(self._shop, QUESTION, source[0])
        except Refusal as refusal:  # whoever asks gets it
            return refusal
        found = with_new(learned, self._catalogue.listing, self._now)
        return replace(self._seated(found, before if isinstance(before, _Seat) else None), learned=learned)

    def _seated(self, found: Desk, before: _Seat | None) -> _Seat:
        """A desk with its shelf; the shelf of before is taken over where nothing of it has changed."""
        if before is not None and before.catalogue is self._catalogue and before.desk.things is found.things:
            return replace(before, desk=found, evidence=before.evidence if found is before.desk else {})
        ids = found.things.ids()
        codes = np.asarray([self._memory.code(item) for item in ids], dtype=np.int64)
        rows = np.full(int(codes.max(initial=0)) + 1, -1, dtype=np.int64)
        rows[codes] = np.arange(len(codes))
        with self._lock:
            if self._catalogue.lacks_prices(ids):
                self._catalogue.read_prices(self._shop)
            shelf, titles = self._catalogue.shelf(ids)
            _ = shelf.place
            return _Seat(found, shelf, titles, rows, codes, self._catalogue)

    def _plain(self, before: _Seat | Refusal | None) -> _Seat | Refusal:
        """The plainest rule, counted over what is in memory; where not everybody is, over the log."""
        began, seat = time.perf_counter(), before if isinstance(before, _Seat) else None
        try:
            found = self._counted_plain(seat) if self._memory.whole else plain_desk(self._shop, QUESTION)
            made: _Seat | Refusal = self._seated(found, seat)
        except Refusal as refusal:  # whoever asks gets it
            made = refusal
        self._stale, self._counted = False, (time.perf_counter(), time.perf_counter() - began)
        return made

    def _counted_plain(self, before: _Seat | None) -> Desk:
        params = PopularParams()
        recent, ever = self._memory.counts(self._now - (params.window or 0) * DAY)
        active = np.flatnonzero(ever > 0)
        if not len(active):
            raise empty_log(self._shop)
        if before is not None and np.array_equal(np.sort(before.codes), active):
            codes, things = before.codes, before.desk.things
        else:
            names = self._memory.items
            codes = np.asarray(sorted(active.tolist(), key=lambda code: names[code].encode()), dtype=np.int64)
            things = Vocabulary([names[code] for code in codes.tolist()])
        fitted = PopularFitted(recent[codes].astype(np.float32), ever[codes].astype(np.float32), params)
        return Desk(fitted, things, NotLearned(QUESTION, fitted.name), learned=False)

    def _seat(self, person: str) -> tuple[_Seat, Arm]:
        """Who answers this person, and why."""
        experiment, arms, seats = self._serving
        running_ = experiment is not None and experiment.runs(self._wall())
        arm = experiment.arm(person, self._key) if experiment is not None and running_ else ""
        seat = seats[arms[arm]]
        if self._stale and arms[arm][0] == PLAIN and (isinstance(seat, Refusal) or self._may_count()):
            with self._lock:
                if self._stale:
                    seats[arms[arm]] = self._plain(seat)
            seat = seats[arms[arm]]
        if isinstance(seat, Refusal):
            raise seat
        method = seat.desk.fitted.name
        if experiment is None or not arm:
            return seat, Arm(method, method)
        return seat, Arm(arm, method, experiment.propensity(arm), experiment.name)

    def _may_count(self) -> bool:
        """Whether the plain rule may be counted anew: at once where that is quick, else not much of the time."""
        at, took = self._counted
        return took < _QUICK or (self._memory.whole and time.perf_counter() - at > _PAUSE * took)


def _part_of(arm: Arm) -> tuple[Sentence, ...]:
    """What must be said of an answer that is given to compare."""
    if arm.experiment is None:
        return ()
    return (say("this answer is part of the experiment {name}: arm {arm}, answered by {method}; whether that is better "
                "is what the experiment finds out.", name=arm.experiment, arm=arm.treatment, method=arm.method),)


def came_since(now: Manifest, before: Manifest) -> list[Segment] | None:
    """The segments that hold what came between two versions of a shop; None where that cannot be told."""
    old, new = ({one.file: one for one in manifest.segments} for manifest in (before, now))
    added = [one for file, one in new.items() if file not in old]
    gone = [one for file, one in old.items() if file not in new]
    if sum(one.rows for one in added if one.merged) != sum(one.rows for one in gone):
        return None
    return [one for one in added if not one.merged]


def _fresh(shop: Shop, before: Manifest) -> Engine | None:
    """An engine over exactly what came since; None where that cannot be told."""
    came = came_since(shop.manifest, before)
    return None if came is None else type(shop.engine)(shop.path, replace(shop.manifest, segments=tuple(came)))


def _rows(seat: _Seat, ranked: Ranked, why: list[Any] | None) -> list[dict[str, Any]]:
    """The rows of the answer as plain data."""
    shelf, price = seat.shelf, seat.shelf.price
    found: list[dict[str, Any]] = [
        {"rank": place, "item_id": shelf.ids[row], "title": seat.titles[row], "category": shelf.category[row],
         "price": None if price[row] != price[row] else round(float(price[row]), 4), "score": ranked.score.get(row),
         "method": seat.desk.method(row)} for place, row in enumerate(ranked.rows, 1)]
    for line, some in zip(found, why or (), strict=False):
        line["because"] = [{**one, "last": (_EPOCH + timedelta(microseconds=one["last"])).isoformat()} for one in some]
    return found


@lru_cache(maxsize=256)
def _plain_rules(rules: Rules) -> Any:
    return plain(rules)
