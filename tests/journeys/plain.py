"""The same questions over lists of events in plain Python, by their definitions; and logs to ask them over."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from shopkeeper.events.schema import EVENTS
from shopkeeper.journeys import inputs

DAY = 86_400
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Did:
    """Who did what, so many seconds after `BEGIN`."""

    who: str
    event: str
    at: float
    id: str = ""
    session: str | None = None
    device: str | None = None

    @property
    def micros(self):
        return round((BEGIN.timestamp() + self.at) * 1e6)


def numbered(log):
    """The log with an id for each event, in an order that has nothing to do with time."""
    order = random.Random(len(log)).sample(range(len(log)), len(log))
    return [Did(one.who, one.event, one.at, f"e{place:05d}", one.session, one.device)
            for one, place in zip(log, order, strict=True)]


def table(log, **more):
    """The log as an event table in memory."""
    columns = {"event_id": [one.id for one in log], "line": [0] * len(log), "event": [one.event for one in log],
               "ts": [one.micros for one in log], "customer_id": [one.who for one in log],
               "session_id": [one.session for one in log], "device": [one.device for one in log], **more}
    arrays = [pa.array(columns[field.name]).cast(field.type) if field.name in columns
              else pa.nulls(len(log), field.type) for field in EVENTS]
    return ibis.memtable(pa.table(arrays, schema=EVENTS))


def acts(log, **more):
    """The log as the room reads it."""
    return inputs.acts(table(log, **more))


def random_log(seed, people=40, events=9, kinds="abcx", span=6 * DAY, ticks=40):
    """A log of many people, each with few events at few different times: full of ties."""
    rng = random.Random(seed)
    log = [Did(f"p{person:03d}", rng.choice(kinds), rng.randrange(ticks) * span / ticks, device=rng.choice("mdt"))
           for person in range(people) for _ in range(rng.randrange(1, events + 1))]
    rng.shuffle(log)
    return numbered(log)


def by_person(log):
    found = {}
    for one in log:
        found.setdefault(one.who, []).append(one)
    return found


def ways(events, steps, seconds, order):
    """(number of steps reached, seconds taken) for every way in which one person can be said to have gone."""
    def rank(one):
        return next((place for place, kinds in enumerate(steps) if one.event in kinds), len(steps))

    line = sorted(events, key=lambda one: (one.at, rank(one), one.id))
    if order == "strict":
        for start in range(len(line)):
            for n in range(1, len(steps) + 1):
                part = line[start:start + n]
                if len(part) == n and all(one.event in kinds for one, kinds in zip(part, steps, strict=False)) \
                        and part[-1].at - part[0].at <= seconds:
                    yield n, part[-1].at - part[0].at
        return
    for n in range(1, len(steps) + 1):
        for part in combinations(line, n):  # in the order of the line
            if part[-1].at - part[0].at > seconds:
                continue
            if order == "ordered" and all(one.event in kinds for one, kinds in zip(part, steps, strict=False)):
                yield n, part[-1].at - part[0].at
            if order == "any" and {rank(one) for one in part} == set(range(n)):
                yield n, part[-1].at - part[0].at


def funnel(log, steps, seconds, order):
    """step (from 0) -> shortest seconds of each person who reached it, sorted."""
    found = {}
    for events in by_person(log).values():
        best = {}
        for n, took in ways(events, steps, seconds, order):
            best[n] = min(took, best.get(n, took))
        for n, took in best.items():
            found.setdefault(n - 1, []).append(took)
    return {step: sorted(times) for step, times in found.items()}


def unit_of(at, unit, zone):
    clock = (BEGIN + timedelta(seconds=at)).astimezone(ZoneInfo(zone)).date()
    if unit == "month":
        return (clock.year - 1970) * 12 + clock.month - 1
    days = (clock - datetime(1970, 1, 1).date()).days
    return days if unit == "day" else (days + 3) // 7


def retention(log, start, back, unit, zone, brackets=()):
    """(what, cohort, unit) -> people."""
    found = {}
    for events in by_person(log).values():
        starts = [one.at for one in events if one.event in start]
        if not starts:
            continue
        cohort = unit_of(min(starts), unit, zone)
        units = {unit_of(one.at, unit, zone) - cohort for one in events if one.event in back and one.at > min(starts)}
        cells = [("size", cohort, 0), *([("last", cohort, max(units))] if units else [])]
        seen = {low for low, high in brackets if any(low <= one <= high for one in units)} if brackets else units
        for cell in [*cells, *(("on", cohort, one) for one in seen)]:
            found[cell] = found.get(cell, 0) + 1
    return found
