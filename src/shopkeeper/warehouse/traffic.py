"""Who counts as a person: the one place where traffic is told apart, for every question and every model.

A row's own label (`traffic`, by protocol) was written at the entrance; what somebody is by behaviour stands in
`facts/traffic`, by person. Both only label: nothing is deleted, and `Shop.open(..., traffic="all")` sees everything.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ibis

from shopkeeper.errors import BadInput
from shopkeeper.events.agents import NO_RANGES, Ranges
from shopkeeper.warehouse.sessions import person
from shopkeeper.words import say

if TYPE_CHECKING:
    from shopkeeper.warehouse.engine import Engine

FACTS = "facts/traffic"
LEFT_OUT = ("bot",)  # agents buy for people, and of suspects nobody is sure: both count
AGENT = "agent"
KNOWN = (*LEFT_OUT, AGENT)  # an event whose own label is one of these stays what it is, whatever its sender is called
Traffic = Literal["human", "all"]
TRAFFIC: tuple[Traffic, ...] = ("human", "all")


def counted(events: Any) -> Any:
    """Expression: whether an event counts by its own label."""
    return events.traffic.isnull() | ~events.traffic.isin(LEFT_OUT)


def human(engine: Engine, events: Any) -> Any:
    """Expression: the events without those of bots, by their own label or by what is known of their sender.

    Args:
        engine: Has the table of labels, if there is one.
        events: Events of it, or of another version of the same shop.
    """
    rows = events.filter(counted(events))
    if not engine.has(FACTS):
        return rows
    known = rows.traffic.notnull() & rows.traffic.isin(KNOWN)
    named = rows.mutate(_who=ibis.ifelse(known, ibis.null("string"), person(rows)))
    return named.anti_join(_people(engine), [("_who", "who")]).drop("_who")


def labelled(engine: Engine, events: Any) -> Any:
    """Expression: the events, `traffic` by their own label, else by what is known of their sender."""
    if not engine.has(FACTS):
        return events
    named = events.mutate(_who=person(events)).left_join(_people(engine), [("_who", "who")])
    known = named.traffic.notnull() & named.traffic.isin(KNOWN)
    label = ibis.ifelse(~known & named.who.notnull(), named.label, named.traffic)
    return named.mutate(traffic=label).drop("_who", "who", "label")


def left_out(engine: Engine, until: int | None) -> int:
    """How many events up to a time (microseconds UTC) `human` leaves out."""
    events = labelled(engine, engine.events(None, until))
    gone = events.filter(events.line == 0, events.traffic.isin(LEFT_OUT))
    return int(engine.run(gone.aggregate(n=gone.count()))["n"][0].as_py())


def _people(engine: Engine) -> Any:
    table = engine.table(FACTS)
    return table.filter(table.label.isin(LEFT_OUT)).select(who=table.person, label=table.label)


def check(traffic: str) -> None:
    """Refuse what is no choice of traffic.

    Raises:
        BadInput: It is neither `human` nor `all`.
    """
    if traffic not in TRAFFIC:
        raise BadInput(say("traffic is {traffic}.", traffic=repr(traffic)),
                       do=[say("one of: {names}", names=", ".join(TRAFFIC))],
                       why=say("bots are left out, or they are not."))


def ranges(folder: Path) -> Ranges:
    """The networks of crawlers that a shop was told: `[traffic] ranges = "file"` in `shop.toml`; none by default.

    Args:
        folder: The shop's; a path that is not absolute begins there.

    Raises:
        BadInput: The file cannot be read.
    """
    path = folder / "shop.toml"
    section = tomllib.loads(path.read_text("utf-8")).get("traffic", {}) if path.is_file() else {}
    file = section.get("ranges") if isinstance(section, dict) else None
    if file is None:
        return NO_RANGES
    if not isinstance(file, str):
        raise BadInput(say("{path} says {name} = {value}.", path=str(path), name="ranges", value=repr(file)),
                       do=[say("the name of a file")], why=say("what comes from there is labelled as a crawler's."))
    return Ranges.read(folder / file)
