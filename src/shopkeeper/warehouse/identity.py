"""Which visitors' ids belong to which customers: read off events that carry both, kept as a table, never written over.

A device that one customer used is that customer's. One that several used is nobody's: each of its sessions goes to the
customer who was seen in that session, if there is exactly one, and to nobody otherwise; there a session ends at
midnight UTC, so that what a day says never depends on how much of the log is read. Two customers are never joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.errors import BadInput
from shopkeeper.events.pseudonyms import GUEST
from shopkeeper.events.sessions import GAP_MINUTES
from shopkeeper.warehouse.engine import moment
from shopkeeper.warehouse.manifest import Manifest, Segment
from shopkeeper.warehouse.sessions import sessions
from shopkeeper.warehouse.tables import declared
from shopkeeper.warehouse.traffic import LEFT_OUT
from shopkeeper.words import say

if TYPE_CHECKING:
    from shopkeeper.warehouse.engine import Engine
    from shopkeeper.warehouse.store import Writer

FACTS = "facts/identity"
EVIDENCE = ("login", "sign_up", "purchase", "other")  # the kind of event that says it best, the best first
Identity = Literal["joined", "raw"]
IDENTITY: tuple[Identity, ...] = ("joined", "raw")
DAY = 86_400_000_000  # microseconds
RESOLVING = ("event_id", "line", "ts", "session_id", "anonymous_id", "customer_id")  # what `resolved` looks at
_READ = ("line", "event", "ts", "anonymous_id", "customer_id", "traffic")


def check(identity: str) -> None:
    """Refuse what is no choice of identity.

    Raises:
        BadInput: It is neither `joined` nor `raw`.
    """
    if identity not in IDENTITY:
        raise BadInput(say("identity is {identity}.", identity=repr(identity)),
                       do=[say("one of: {names}", names=", ".join(IDENTITY))],
                       why=say("visitors count as the customers they are joined to, or they do not."))


def pairs(events: Any) -> Any:
    """Expression: one row a visitor's id and a customer that stand in one event, as `facts/identity` begins.

    Columns: anonymous_id, customer_id, since, until (first and last such event), events, evidence.
    """
    both = events.filter(events.line == 0, events.customer_id.notnull(), events.anonymous_id.notnull(),
                         ~events.anonymous_id.startswith(GUEST))
    rank = ibis.literal(len(EVIDENCE) - 1)
    for place, kind in enumerate(EVIDENCE[:-1]):
        rank = ibis.ifelse(both.event == kind, ibis.literal(place), rank)
    ranked = both.mutate(_rank=rank.cast("int64"))
    found = ranked.group_by("anonymous_id", "customer_id").aggregate(
        since=ranked.ts.min(), until=ranked.ts.max(), events=ranked.count().cast("int64"), _rank=ranked._rank.min())
    evidence = ibis.literal(EVIDENCE[-1])
    for place, kind in enumerate(EVIDENCE[:-1]):
        evidence = ibis.ifelse(found._rank == place, ibis.literal(kind), evidence)
    return found.mutate(evidence=evidence).drop("_rank")


def known(engine: Engine, until: int | None) -> Any:
    """Expression: the table of joins as it stood at a time (microseconds UTC; None: now)."""
    joins = engine.table(FACTS)
    return joins if until is None else joins.filter(joins.since < moment(until))


def devices(joins: Any) -> Any:
    """Expression: each visitor's id, whether several customers were seen under it, and else whose it is.

    Columns: anonymous_id, _shared, _owner (null where it is shared, or where its join was split).
    """
    found = joins.group_by("anonymous_id").aggregate(
        _all=joins.count().cast("int64"), _kept=joins.joined.cast("int64").sum().cast("int64"),
        _one=joins.customer_id.max())
    owner = ibis.ifelse((found._all == 1) & (found._kept == 1), found._one, ibis.null("string"))
    return found.select("anonymous_id", _shared=found._all > 1, _owner=owner)


def owners(joins: Any) -> Any:
    """Expression: the ids that exactly one customer was ever seen under, and who that is; none that was split."""
    found = devices(joins)
    return found.filter(found._owner.notnull()).select("anonymous_id", "_owner")


def resolved(joins: Any, events: Any, gap_minutes: int = GAP_MINUTES, *, sharing: bool = True) -> Any:
    """Expression: the events, `customer_id` filled where the visitor is known to be a customer; what stood there stays.

    Args:
        joins: The table of joins, as it is known.
        events: Of each day (UTC) that it has anything of, all events of the visitors in it.
        gap_minutes: Silence after which a new session begins.
        sharing: False: no device is shared (`shares`), and none is looked for.
    """
    every = devices(joins)  # a row an id: where nobody asks for customers, the engine leaves the join out
    sole = every.select(_id=every.anonymous_id, _owner=every._owner)
    found = events.left_join(sole, [events.anonymous_id == sole["_id"]])
    if not sharing:
        return found.mutate(customer_id=ibis.coalesce(found.customer_id, found._owner)).select(*events.columns)
    shared = events.semi_join(every.filter(every._shared), "anonymous_id")
    guests = _of_sessions(shared, joins, gap_minutes)
    found = found.left_join(guests, [found.event_id == guests._event, found.line == guests._line])
    person = ibis.coalesce(found.customer_id, found._owner, found._guest)
    return found.mutate(customer_id=person).select(*events.columns)


def shares(engine: Engine, until: int | None = None) -> bool:
    """Whether several customers were seen on any device."""
    found = devices(known(engine, until))
    return bool(engine.run(found.aggregate(n=found._shared.cast("int64").max()))["n"][0].as_py())


def _of_sessions(events: Any, joins: Any, gap_minutes: int) -> Any:
    """Expression: `_event`, `_line` of events of shared devices, and `_guest`, the one customer of their session."""
    day = events.ts.truncate("D").cast("string")
    named = events.mutate(_customer=events.customer_id, _device=events.anonymous_id)
    named = named.mutate(customer_id=ibis.null("string"), anonymous_id=named._device.concat(" ", day))
    cut = sessions(named.select(*RESOLVING, "_customer", "_device"), gap_minutes)
    one = ibis.window(group_by=["anonymous_id", "session"])
    cut = cut.mutate(_first=cut._customer.min().over(one), _last=cut._customer.max().over(one))
    guest = cut.filter(cut._customer.isnull(), cut._first == cut._last)
    kept = joins.filter(joins.joined)
    found = guest.semi_join(kept, [guest._device == kept.anonymous_id, guest._first == kept.customer_id])
    return found.group_by(_event=found.event_id, _line=found.line).aggregate(_guest=found._first.max())


def whole_days(start: int | None) -> int | None:
    """The beginning of the day (UTC) that a time lies in, microseconds."""
    return None if start is None else start // DAY * DAY


def meant(engine: Engine, names: Sequence[str], until: int | None = None) -> list[str]:
    """Names of people, a visitor's replaced by the customer's where that is all one; each once."""
    if not engine.has(FACTS):
        return list(names)
    sole = owners(known(engine, until))
    table = engine.run(sole.filter(sole.anonymous_id.isin(list(names))))
    owner = dict(zip(table["anonymous_id"].to_pylist(), table["_owner"].to_pylist(), strict=True))
    return list(dict.fromkeys(owner.get(name, name) for name in names))


def of_people(engine: Engine, events: Any, names: Sequence[str], until: int | None = None) -> Any:
    """Expression: all that `resolved` needs to find the events of these people: theirs, and those of their devices."""
    ids = list(names)
    if engine.has(FACTS):
        joins = known(engine, until)
        ids += engine.run(joins.filter(joins.customer_id.isin(ids)).select("anonymous_id"))["anonymous_id"].to_pylist()
    return events.filter(events.customer_id.isin(list(names)) | events.anonymous_id.isin(sorted(set(ids))))


def joined_ids(engine: Engine, until: int | None = None) -> int:
    """How many visitors' ids are joined to a customer."""
    if not engine.has(FACTS):
        return 0
    joins = known(engine, until)
    kept = joins.filter(joins.joined)
    return int(engine.run(kept.aggregate(n=kept.anonymous_id.nunique()))["n"][0].as_py())


def kept_up(writer: Writer, manifest: Manifest) -> Manifest:
    """A manifest about to be committed, its table of joins with the pairs that new segments have.

    A pair that is known keeps its row until all is joined anew; where only joins by hand are there, the log adds none.
    Whoever takes events away sees to the joins that go with them.
    """
    old, new = frozenset(writer.manifest.segments), frozenset(manifest.segments)
    if FACTS not in manifest.tables or old - new or not new - old:
        return manifest
    joins, root = pq.read_table(writer.store.path / manifest.tables[FACTS]), writer.store.path
    if not pc.any(pc.equal(joins["by"], "log")).as_py():  # the log was never read for joins
        return manifest
    found = read_pairs(root, [one for one in manifest.segments if one not in old])
    fresh = found.filter(pc.invert(pc.is_in(_keys(found), _keys(joins))))
    return writer.replace_table(manifest, FACTS, pa.concat_tables([joins, fresh.cast(joins.schema)])
                                ) if fresh.num_rows else manifest


def read_pairs(root: Path, segments: Iterable[Segment]) -> pa.Table:
    """`pairs` over segments on their way in, without bots by their own label, all joined by the log."""
    empty = pa.table({name: pa.array([], kind) for name, kind in (
        ("anonymous_id", pa.string()), ("customer_id", pa.string()), ("ts", pa.timestamp("us")),
        ("rank", pa.int64()), ("n", pa.int64()))})
    parts = [empty, *(_pairs_of(batch) for one in segments for batch in _batches(root / one.file))]
    found = pa.concat_tables(parts).group_by(["anonymous_id", "customer_id"]).aggregate(
        [("ts", "min"), ("ts", "max"), ("n", "sum"), ("rank", "min")])
    evidence = pa.array(EVIDENCE).take(found["rank_min"].combine_chunks())
    table = {"anonymous_id": found["anonymous_id"], "customer_id": found["customer_id"], "since": found["ts_min"],
             "until": found["ts_max"], "events": found["n_sum"], "evidence": evidence,
             "joined": pa.repeat(pa.scalar(True), found.num_rows), "by": pa.repeat(pa.scalar("log"), found.num_rows)}
    return pa.table(table).cast(declared(FACTS))


def _batches(path: Path) -> Iterable[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1 << 18, columns=list(_READ)):
            yield pa.Table.from_batches([batch])


def _pairs_of(rows: pa.Table) -> pa.Table:
    both = pc.and_(pc.is_valid(rows["customer_id"]), pc.is_valid(rows["anonymous_id"]))
    rows = rows.filter(pc.and_(both, pc.equal(rows["line"], 0)))
    rows = rows.filter(pc.invert(pc.is_in(rows["traffic"].cast(pa.string()), pa.array(LEFT_OUT))))
    rows = rows.filter(pc.invert(pc.starts_with(rows["anonymous_id"].cast(pa.string()), GUEST)))
    rank = pc.fill_null(pc.index_in(rows["event"].cast(pa.string()), pa.array(EVIDENCE[:-1])), len(EVIDENCE) - 1)
    return pa.table({"anonymous_id": rows["anonymous_id"].cast(pa.string()),
                     "customer_id": rows["customer_id"].cast(pa.string()), "ts": rows["ts"].cast(pa.timestamp("us")),
                     "rank": rank.cast(pa.int64()), "n": pa.repeat(pa.scalar(1, pa.int64()), rows.num_rows)})


def _keys(table: pa.Table) -> Any:
    """(n,) one text a pair."""
    return pc.binary_join_element_wise(table["anonymous_id"], table["customer_id"], "\x1f").combine_chunks()


class Joined:
    """The table of joins in memory: who a visitor is, and what is different from another version of the table.

    Args:
        engine: Has the table, if there is one.

    Attributes:
        file: The file of the table; None where there is none.
    """

    def __init__(self, engine: Engine) -> None:
        self.file = engine.manifest.tables.get(FACTS)
        table = None if self.file is None else engine.run(engine.table(FACTS).order_by(["anonymous_id", "customer_id"]))
        columns = [["a"], ["a"]] if table is None else [table[name].to_pylist() for name in _READ[3:5]]
        visitor, customer = (np.asarray(names, dtype=bytes)[table is None:] for names in columns)
        joined = np.zeros(0, bool) if table is None else table["joined"].to_numpy()
        ids, first, many = np.unique(visitor, return_index=True, return_counts=True)
        sole = (many == 1) & joined[first]
        self._ids, self._owner, self._sole = ids, customer[first], sole
        self._shared = ids[many > 1]
        self._rows = [visitor, customer, joined]

    def owner(self, name: str) -> str | None:
        """The one customer who a visitor is; None for anybody else."""
        if name[:2] != "a_" or not len(self._ids):
            return None
        at = int(np.searchsorted(self._ids, np.bytes_(name.encode())))
        found = at < len(self._ids) and self._ids[at] == name.encode() and self._sole[at]
        return self._owner[at].decode() if found else None

    def shared(self, names: Iterable[str]) -> list[str]:
        """Which of these visitors' ids several customers were seen under."""
        asked = np.asarray(sorted(names) or [""], dtype=bytes)
        return [one.decode() for one in asked[np.isin(asked, self._shared)]]

    def since(self, before: Joined) -> tuple[list[tuple[str, str]], set[str]]:
        """What is different from a version before.

        Returns:
            Visitors of whom nothing was known, and the one customer who each of them is; and the pseudonyms of all
            others for whom something is different.
        """
        if self.file == before.file:
            return [], set()
        new, old = (np.char.add(np.char.add(rows[0], b" "), np.char.add(rows[1], np.where(rows[2], b" 1", b" 0")))
                    if len(rows[0]) else np.zeros(0, "S1") for rows in (self._rows, before._rows))
        touched = np.unique(np.asarray([*self._rows[0][~np.isin(new, old)], *before._rows[0][~np.isin(old, new)]],
                                       dtype=bytes)) if len(new) or len(old) else np.zeros(0, "S1")
        plain = touched[np.isin(touched, self._ids[self._sole]) & ~np.isin(touched, before._ids)]
        moved = [(name.decode(), self.owner(name.decode()) or "") for name in plain]
        others = touched[~np.isin(touched, plain)]
        people = {one.decode() for one in others}
        for visitor, customer, _ in (self._rows, before._rows):
            people.update(one.decode() for one in customer[np.isin(visitor, others)])
        return moved, people
