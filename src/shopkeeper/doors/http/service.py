"""The life of a server over one shop: what comes in is made durable in groups, folded behind the scenes, and answered.

One event loop judges records and answers from memory. Three threads stand beside it, each with one thing to do at a
time: the disk, the questions, the ticks. Whatever takes long runs in a child process.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from shopkeeper.asking import Answer
from shopkeeper.doors.http.logs import Log
from shopkeeper.doors.http.metrics import Metrics, resident_bytes
from shopkeeper.doors.http.refusals import TooMany
from shopkeeper.doors.http.settings import Settings
from shopkeeper.doors.http.worker import Failed, Worker
from shopkeeper.errors import NotWritten, Refusal
from shopkeeper.events.entrance import Event
from shopkeeper.menu import Entry, call
from shopkeeper.shop import Shop
from shopkeeper.warehouse.collector import Arrived, Collector, Ticket
from shopkeeper.warehouse.compaction import due
from shopkeeper.warehouse.identity import Identity
from shopkeeper.warehouse.traffic import Traffic
from shopkeeper.words import say

JOBS = "shopkeeper.doors.http.jobs"
_TICK = 0.25  # seconds between two looks at what is due


class _View(NamedTuple):
    """What is seen of the log, as `Shop.open` takes it."""

    as_of: datetime | None = None
    traffic: Traffic = "human"
    identity: Identity = "joined"


class Service:
    """A shop that is served.

    Other parts hang themselves in here before `begin`: `seen` and `changed` are called in the event loop with what has
    just become durable and must be quick; `after_fold` in the thread of the questions.

    Args:
        shop: An opened shop.
        collector: Over that shop; this closes it.
        settings: Bounds and pauses.
        log: Where to say what happens.
        fold: Whether to fold at all; without, answers stand still.

    Attributes:
        seen: Called with the accepted events of each request.
        changed: Called with table, change (`put`, `patch`, `delete`) and rows.
        after_fold: Called with the shop as it is after a fold, or after anything else that was committed.
        before_seal, folded: Called before the journal is sealed for a fold, and when that was folded.
        at_end: Awaited when the server stops and can still write.
        also: Give further gauges.
        nothing_else: The last commit that was taken up holds only what had passed through here.
        metrics: Counts.
    """

    def __init__(self, shop: Shop, collector: Collector, settings: Settings | None = None, *, log: Log | None = None,
                 fold: bool = True) -> None:
        self.shop, self.collector = shop, collector
        self.settings = settings or Settings()
        self.log, self.metrics, self.folds = log or Log("none"), Metrics(), fold
        self.seen: list[Callable[[Sequence[Event]], object]] = []
        self.changed: list[Callable[[str, str, Sequence[Mapping[str, Any]]], object]] = []
        self.after_fold: list[Callable[[Shop], object]] = []
        self.before_seal: list[Callable[[], object]] = []
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        self.folded: list[Callable[[], object]] = []
        self.also: list[Callable[[], Mapping[str, tuple[str, float]]]] = []
        self.ready = self.nothing_else = False
        self._running: list[tuple[str, Callable[[], Awaitable[None]], float]] = []
        self._ticks: list[tuple[float, Callable[[], object]]] = []
        self._planned: list[tuple[float, float, str, Mapping[str, object]]] = []
        self._disk, self._asking, self._ticking = (ThreadPoolExecutor(1, name) for name in ("disk", "asking", "ticks"))
        self._waiting: list[asyncio.Future[None]] = []
        self._asked = 0
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function again and again: a coroutine function in the event loop, another in a thread for ticks."""
        self._ticks.append((seconds, function))

    def run_on(self, what: str, work: Callable[[], Awaitable[None]], pause: float) -> None:
        """Keep a coroutine running beside the others; where it ends or fails, the log says so, and it is begun anew."""
        self._running.append((what, work, pause))

    def schedule(self, seconds: float, job: str, *, first: float | None = None, **given: object) -> None:
        """Run a job in a child process of its own again and again, and take up what it committed.

        Args:
            seconds: Pause between two runs.
            first: Pause before the first; by default the same.
            job: `module:function`; the function takes the shop's folder (a Path) and what is given.
            given: Plain data.
        """
        self._planned.append((seconds if first is None else first, seconds, job, given))

    async def begin(self) -> None:
        """Start the tasks; called in the event loop."""
        self._wanted, self._writing, self._folding = asyncio.Event(), asyncio.Lock(), asyncio.Lock()
        self._sealing = asyncio.Lock()  # who writes to the journal, or ends its file
        self._worker, self._learner = Worker(self.shop.path), Worker(self.shop.path)
        begun = [self._flush_for_ever(), self._keep_watch()]
        begun += [self._tick(seconds, function) for seconds, function in self._ticks]
        begun += [self._run_planned(*plan) for plan in self._planned]
        begun += [self._run_on(*one) for one in self._running]
        self._tasks = [asyncio.create_task(task) for task in begun]
        self.ready = True

    async def end(self) -> None:
        """Make what was taken durable, fold it, and let go of the shop. Nothing acknowledged is lost without this."""
        self.ready = False
        async with self._folding:  # a fold that is on its way comes to its end
            pass
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        for last in self.at_end:
            await self._try("stop", last())
        try:
            await self.durable()
            if self.folds:
                await self.fold()
        except Refusal as refusal:
            self.log.event("stop", "error", refusal=type(refusal).__name__, what=str(refusal.what))
        self._tasks[0].cancel()
        await asyncio.gather(self._tasks[0], return_exceptions=True)
        await self._worker.close()
        await self._learner.close()
        await self._in(self._disk, self.collector.close)
        for thread in (self._disk, self._asking, self._ticking):
            thread.shutdown()
        self.log.event("stopped")
        self.log.flush()

    # What comes in

    async def take(self, arrived: Arrived, large: int = 0) -> Ticket:
        """Judge records, and wait until they are on disk.

        Args:
            arrived: The records.
            large: Bytes from which on they are judged in a thread, so that others need not wait; 0: here and now.

        Raises:
            BadInput: They are no records. Backlog: Too many wait already. NotWritten: The disk did not take them.
        """
        if large and len(arrived.records) > large:
            ticket = await asyncio.to_thread(self.collector.take, arrived)
        else:
            ticket = self.collector.take(arrived)
        await self.durable()
        if not ticket.durable:  # it was taken in a thread just when a write failed
            raise NotWritten(say("the disk did not take it: {wrong}.", wrong="a write before it failed"),
                             do=[say("make room on the disk, or mend it; then send it again.")],
                             why=say("what is acknowledged must be on disk."))
        counts = self.metrics.records
        for name in ("received", "stored", "duplicate", "quarantined"):
            counts[name] += getattr(ticket, name)
        if len(ticket.events):
            for see in self.seen:
                see(ticket.events)
        if ticket.rows:
            for hear in self.changed:
                hear(arrived.table, arrived.change, ticket.rows)
        return ticket

    def durable(self) -> asyncio.Future[None]:
        """A future that is done when everything taken so far is on disk, or failed where it is not."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        return future

    async def _flush_for_ever(self) -> None:
        """Group commit: while one write is on its way to the disk, the next group gathers."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            group, self._waiting = self._waiting, []
            began = time.perf_counter()
            try:
                await self._flush()
            except asyncio.CancelledError:
                raise
            except Exception as wrong:  # whatever it was, none of these is on disk for sure
                group, self._waiting = [*group, *self._waiting], []
                self._not_written(wrong)
                _settle(group, wrong)
            else:
                self.metrics.fsync.saw(time.perf_counter() - began)
                _settle(group, None)

    async def _flush(self) -> None:
        """Make a group durable; sealed in the event loop, so that the disk's thread needs next to no interpreter."""
        async with self._sealing:
            gathered = self.collector.gather()
            if gathered is None:
                return
            await self._in(self._disk, self.collector.write, gathered)
            self.collector.keep(gathered)

    def _not_written(self, wrong: Exception) -> None:
        if isinstance(wrong, Refusal):
            self.log.event("not written", "error", refusal=type(wrong).__name__, what=str(wrong.what))
        else:
            self.log.defect(wrong, "flush")

    # What is folded

    async def fold(self) -> None:
        """Fold everything that was taken before this call, and let every part see it.

        Raises:
            Refusal: It could not be folded now; it stays in the journal, and is tried again.
        """
        async with self._folding:
            async with self._sealing:
                sealed = await self._in(self._disk, self._has_sealed)
            if not sealed:
                return
            async with self._writing:
                began = time.perf_counter()
                done = await self._worker.do(f"{JOBS}:fold")
                self.metrics.fold.saw(time.perf_counter() - began)
            for hook in self.folded:
                hook()
            self.log.event("folded", ms=round((time.perf_counter() - began) * 1000, 1), **(done or {}))
            await self.reload(ours=True)

    async def _compacted(self) -> None:
        """Merge small files, one bounded step, where one is due."""
        if not due(self.shop.manifest):
            return
        async with self._writing:
            done = await self._worker.do(f"{JOBS}:compact")
        if done is not None:
            self.log.event("compacted", **done)
            await self.reload(ours=True)

    def _has_sealed(self) -> bool:
        """Seal what there is. In the thread of the disk, so that no write goes on meanwhile."""
        for hook in self.before_seal:
            hook()
        self.collector.seal()
        return self.collector.pending.records > 0

    async def reload(self, *, ours: bool = False) -> None:
        """Take up what somebody committed: a fold, an act, a model that was learned.

        Args:
            ours: It was a fold or a compaction of our own: what is new has passed through here.
        """
        before = self.shop.manifest.version
        await self._in(self._asking, self._refreshed)
        self.nothing_else = ours and self.shop.manifest.version <= before + 1
        await self._in(self._disk, self.collector.refresh)
        for hook in self.after_fold:
            try:
                await self._in(self._asking, hook, self.shop)
            except Exception as wrong:  # one part's defect must not keep the others from what came in
                self.log.defect(wrong, "after a fold")

    def _refreshed(self) -> None:
        self.shop.refresh()

    async def _keep_watch(self) -> None:
        """Fold when it is time, take up what others commit, write the log."""
        folded = looked = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            self.log.flush()
            now = time.monotonic()
            pending = self.collector.pending.records
            if self.folds and pending and (now - folded > self.settings.fold_seconds
                                           or pending >= self.settings.fold_records):
                await self._try("fold", self.fold())
                await self._try("compaction", self._compacted())
                folded = time.monotonic()
            elif now - looked > 1.0:
                looked = now
                if await self._in(self._asking, self._is_behind):
                    await self._try("reload", self.reload())

    def _is_behind(self) -> bool:
        return self.shop.store.manifest().version != self.shop.manifest.version

    async def _try(self, what: str, work: Any) -> None:
        try:
            await work
        except Refusal as refusal:
            self.log.event(f"{what} failed", "warning", refusal=type(refusal).__name__, what=str(refusal.what))
        except Failed as failed:
            self.log.event(f"{what} failed", "error", job=failed.job, kind=failed.kind, where=failed.where)
        except Exception as wrong:
            self.log.defect(wrong, what)

    # What is asked

    async def ask(self, entry: Entry, given: Mapping[str, object], as_of: datetime | None = None, *,
                  traffic: Traffic = "human", identity: Identity = "joined") -> Answer:
        """Ask a question of the menu, over everything that was acknowledged before it.

        Args:
            entry: A question.
            given: Values by parameter name.
            as_of: See the log as it stood then.
            traffic: Without the events of bots, or with them.
            identity: Whether visitors count as the customers that they are joined to.

        Raises:
            TooMany: Too many questions wait. Refusal: The question's own.
        """
        self._let_in()
        try:
            await self._fold_first()
            answer: Answer = await self._in(self._asking, self._answer, entry, given, _View(as_of, traffic, identity))
        finally:
            self._asked -= 1
        left = self.collector.pending.records
        if not left:
            return answer
        return replace(answer, notes=(*answer.notes, say("{n:,} acknowledged records wait to be folded; this answer "
                                                         "may lack them.", n=left)))

    def _let_in(self) -> None:
        if self._asked >= self.settings.waiting:
            raise TooMany(say("{n:,} questions wait already.", n=self._asked), do=[say("come again in a moment.")],
                          why=say("questions over the whole log are answered one at a time."), retry_after=1.0)
        self._asked += 1

    async def _fold_first(self) -> None:
        if not self.folds or not self.collector.pending.records:
            return
        folding = asyncio.ensure_future(self._try("fold", self.fold()))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(folding), self.settings.fresh_seconds)

    def _answer(self, entry: Entry, given: Mapping[str, object], view: _View) -> Answer:
        shop = self.shop if view == _View() else Shop.open(self.shop.path, create=False, **view._asdict())
        answer: Answer = call(entry.function(), shop, given)
        return answer

    async def act(self, job: str, **given: object) -> Any:
        """Carry out an act in the child process, when no fold is on its way; then take up what it committed.

        Raises:
            TooMany: Too many wait. Refusal: The act's own.
        """
        self._let_in()
        try:
            await self._fold_first()
            async with self._writing:
                done = await self._worker.do(f"{JOBS}:{job}", **given)
            await self.reload()
        finally:
            self._asked -= 1
        return done

    # What comes round again

    async def _tick(self, seconds: float, function: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            if inspect.iscoroutinefunction(function):
                await self._try("tick", function())
            else:
                await self._try("tick", self._in(self._ticking, function))

    async def _run_on(self, what: str, work: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            await self._try(what, work())
            await asyncio.sleep(pause)

    async def _run_planned(self, first: float, seconds: float, job: str, given: Mapping[str, object]) -> None:
        await asyncio.sleep(first)
        while True:
            await self._try(job, self._planned_once(job, given))
            await asyncio.sleep(seconds)

    async def _planned_once(self, job: str, given: Mapping[str, object]) -> None:
        done = await self._learner.do(job, **given)
        self.log.event("job done", job=job, **(done if isinstance(done, dict) else {}))
        await self.reload()

    def gauges(self) -> dict[str, tuple[str, float]]:
        """What is now: name -> what it is, and its value."""
        pending = self.collector.pending
        lag = 0.0 if pending.since is None else max(0.0, time.time() - pending.since / 1e6)
        return {
            "pending_records": ("Acknowledged records that are not folded yet.", pending.records),
            "pending_bytes": ("Bytes of the journal that are not folded yet.", pending.bytes),
            "fold_lag_seconds": ("Age of the oldest acknowledged record that is not folded yet.", lag),
            "questions_waiting": ("Questions and acts that wait or run.", self._asked),
            "resident_bytes": ("Resident memory of the server.", resident_bytes()),
            "manifest_version": ("Version of the shop that answers come from.", self.shop.manifest.version),
            **{name: gauge for more in self.also for name, gauge in more().items()},
        }

    async def _in(self, thread: ThreadPoolExecutor, function: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, function, *given)


def _settle(group: Sequence[asyncio.Future[None]], wrong: Exception | None) -> None:
    for future in group:
        if future.done():  # whoever waited is gone
            continue
        if wrong is None:
            future.set_result(None)
        else:
            future.set_exception(wrong)

