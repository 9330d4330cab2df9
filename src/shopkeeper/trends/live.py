"""Live counts and alerts beside a server: up to date after each fold, judged every minute, delivered by a queue.

How a server uses it (each call may block, so in a thread of its own; they exclude each other):

    watcher = Watcher(shop)                  # counts the log once
    watcher.after_fold(shop)                 # after a fold; not needed where ticks come often
    watcher.tick(now)                        # every few seconds, with the machine's clock; gives what rings
    watcher.deliver(send, now)               # every few seconds; `send` is `warehouse.delivery.Sender`
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

from shopkeeper.errors import Refusal, ShopBusy
from shopkeeper.shop import Shop
from shopkeeper.trends import inputs, kept, settings
from shopkeeper.trends.buckets import Buckets
from shopkeeper.trends.kept import Fired, Kept
from shopkeeper.trends.methods.base import LOOK_BACK
from shopkeeper.trends.ringing import DAY, Firing, Ring, begin, burst_rings, ends, judge, rings
from shopkeeper.trends.rules import HOUR, Rule, Series

Send = Callable[[str, bytes, str], str | None]

GRACE = 120_000_000  # microseconds after its end at which a bucket is judged: what is on its way may still come
MINUTE = HOUR // 60
WAITS = (MINUTE // 6, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR)  # between the tries of a delivery, microseconds
MOST_TRIES = len(WAITS) + 1


@dataclass
class _Delivery:
    fired: Fired
    due: int


class Watcher:
    """Keeps the counts of a shop, and says what rings.

    Args:
        shop: An opened shop.
        keeps: Keep what rings in the shop, so that a restart does not ring twice; False: only look on.

    Attributes:
        buckets: The counts.
    """

    def __init__(self, shop: Shop, *, keeps: bool = True) -> None:
        self._lock = threading.RLock()
        self._shop = Shop(shop.store, shop.config, engine=type(shop.engine))  # no thread shares it
        self._keeps = keeps
        self.buckets = Buckets(settings.read(shop.path))
        self._rules: dict[str, Kept] = {}
        self._read: tuple[str | None, str | None] | None = None  # files of rules and firings that were read
        self._judged: dict[tuple[str, Rule], int] = {}
        self._known: dict[str, Fired] = {}
        self._quiet: dict[tuple[str, str | None], int] = {}
        self._unsaved: dict[str, Fired] = {}
        self._queue: dict[str, _Delivery] = {}
        self._fresh = True
        self.after_fold()

    def after_fold(self, _: Shop | None = None) -> None:
        """Take in what was committed since the last time; a tick does so, too."""
        with self._lock:
            if self._shop.store.manifest().version != self._shop.manifest.version:
                self._shop.refresh()
                self._fresh = True
            self._read_again()
            self.buckets.update(self._shop)

    def _read_again(self) -> None:
        """Read rules and firings, where another process or an act has changed them."""
        tables = self._shop.manifest.tables
        files = (tables.get(kept.RULES), tables.get(kept.FIRINGS))
        if files == self._read:
            return
        self._read = files
        self._rules = kept.rules(self._shop)
        for one in self._rules.values():
            if one.rule.minutes != 60 and one.rule.detector != "burst":
                self.buckets.keep(one.rule.minutes, 7 * LOOK_BACK + 2)
        for fired in kept.firings(self._shop):
            self._note(fired)

    def _note(self, fired: Fired) -> None:
        """Know a firing: its rule is quiet for a while, and its delivery may be due."""
        firing = fired.firing
        if firing.id not in self._unsaved:
            self._known[firing.id] = fired
        one = self._rules.get(firing.rule)
        cooldown = round(one.rule.cooldown * HOUR) if one is not None else 0
        key = (firing.rule, firing.ring.who)
        self._quiet[key] = max(self._quiet.get(key, 0), firing.ring.until + max(cooldown, 1))
        if firing.webhook is None or fired.delivered is not None or fired.tries >= MOST_TRIES:
            self._queue.pop(firing.id, None)
        elif firing.id not in self._queue:
            self._queue[firing.id] = _Delivery(fired, 0)

    def tick(self, now: int) -> list[Firing]:
        """Judge every bucket that has become complete since the last time.

        The first time, only the newest one of each rule is judged.

        Args:
            now: Microseconds UTC. A server gives the machine's clock, for a log that stands still has a clock that
                stands still.

        Returns:
            What rings, each once.
        """
        with self._lock:
            self.after_fold()
            found = []
            for name, one in self._rules.items():
                rung = self._bursts(name, one, now) if one.rule.detector == "burst" else self._odd(name, one, now)
                found += [Firing(name, one.rule.series.sentence(), ring, one.per_week, one.rule.detector == "burst",
                                 one.rule.webhook) for ring in rung]
            self._fresh = False
            new = [firing for firing in found if firing.id not in self._known]
            for firing in new:
                fired = Fired(firing)
                self._unsaved[firing.id] = self._known[firing.id] = fired
                self._note(fired)
            self._save()
            return new

    def _odd(self, name: str, one: Kept, now: int) -> list[Ring]:
        rule, shop = one.rule, self._shop
        until = ends(rule, now - GRACE)
        last = self._judged.get((name, rule), until - rule.width)
        self._judged[name, rule] = until
        kept_from = -(-self.buckets.floor(rule.minutes) // DAY) * DAY
        start = max(begin(shop.manifest.first or 0, until), kept_from)
        if until <= max(last, start) or not shop.manifest.segments:
            return []
        amounts = self.buckets.series(rule.series, rule.minutes, start, until)
        found = judge(rule, amounts, start, shop.config.timezone)
        return rings(rule, amounts, start, found, max(last + 1, self._quiet.get((name, None), 0)))

    def _bursts(self, name: str, one: Kept, now: int) -> list[Ring]:
        if not self._fresh:
            return []
        people, person, when = inputs.read_doings(self._shop, one.rule.kind or "", now - 30 * DAY, now + MINUTE)
        quiet = {who: until for (rule, who), until in self._quiet.items() if rule == name and who is not None}
        found = burst_rings(one.rule, people, person, when, quiet)
        return [ring for ring in found if ring.until > now - one.rule.width - HOUR]

    def _save(self) -> None:
        """Keep in the shop what is not kept yet; where somebody else writes, the next tick does it."""
        if not self._keeps or not self._unsaved:
            return
        try:
            kept.record(self._shop, list(self._unsaved.values()))
        except ShopBusy:
            return
        self._unsaved = {}
        self._read = (self._shop.manifest.tables.get(kept.RULES), self._shop.manifest.tables.get(kept.FIRINGS))

    def lately(self, now: int) -> dict[str, tuple[int, int, int]]:
        """Events of each kind, bots included: in the last whole minute, hour and day of minutes before `now`."""
        with self._lock:
            until = now // MINUTE * MINUTE
            found = {}
            for kind in self.buckets.kinds:
                day = self.buckets.series(Series(kind), 1, until - DAY, until, human_only=False)
                found[kind] = (int(day[-1]), int(day[-60:].sum()), int(day.sum()))
            return {kind: counts for kind, counts in found.items() if counts[2]}

    @property
    def shop(self) -> Shop:
        """The watcher's own view of the shop."""
        return self._shop

    def deliver(self, send: Send, now: int) -> list[Fired]:
        """Try every delivery that is due.

        A delivery that fails is tried again after 10 seconds, 1, 5 and 30 minutes and 2 hours, then given up; one that
        is refused (an address that is not allowed) is given up at once. It may arrive twice, under the same id.

        Args:
            send: Takes address, body and id; gives what went wrong, or None.
            now: Microseconds UTC.

        Returns:
            What was tried, with what became of it.
        """
        with self._lock:
            due = [one for one in self._queue.values() if one.due <= now]
        done = [(one, self._sent(one.fired, send, now)) for one in due]
        with self._lock:
            for one, fired in done:
                one.fired, one.due = fired, now + WAITS[min(fired.tries, len(WAITS)) - 1]
                self._known[fired.firing.id] = self._unsaved[fired.firing.id] = fired
                if fired.delivered is not None or fired.tries >= MOST_TRIES:
                    self._queue.pop(fired.firing.id, None)
            self._save()
        return [fired for _, fired in done]

    def _sent(self, fired: Fired, send: Send, now: int) -> Fired:
        firing = fired.firing
        data = firing.to_dict(self._shop.name, self._shop.config.timezone)
        try:
            fault = send(firing.webhook or "", json.dumps(data).encode("utf-8"), firing.id)
        except Refusal as refused:
            return kept.told(fired, tries=MOST_TRIES, fault=str(refused.what))
        return kept.told(fired, tries=fired.tries + 1, fault=fault, delivered=now if fault is None else None)

    @property
    def waiting(self) -> int:
        """How many deliveries wait."""
        with self._lock:
            return len(self._queue)

    @property
    def rules(self) -> int:
        """How many rules are watched."""
        return len(self._rules)
