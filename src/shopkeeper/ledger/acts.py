"""The acts of this room: take a log in, take an import back, and let quarantined records in again."""

from __future__ import annotations

from collections.abc import Mapping as Pairs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from shopkeeper.asking import Progress, act, silent
from shopkeeper.events import dialects
from shopkeeper.events.cleaning import Entrance
from shopkeeper.events.mapping import Mapping
from shopkeeper.evidence import ExactCount
from shopkeeper.ledger.answers import Ingested, Replaying, Undoing
from shopkeeper.shop import Shop
from shopkeeper.warehouse import replay as replaying
from shopkeeper.warehouse import undo as undoing
from shopkeeper.warehouse.ingest import Received
from shopkeeper.warehouse.opening import Source
from shopkeeper.warehouse.traffic import ranges
from shopkeeper.words import Sentence, say


@act("write")
def ingest(shop: Shop, files: Sequence[Source], *, table: Literal["events", "items", "customers", "stock",
           "campaigns"] = "events", mapping: Mapping | None = None, dry_run: bool = False, progress: Progress = silent,
           **options: Any) -> Ingested:
    """Take files into the shop, all of it or nothing, and give the account.

    Args:
        shop: An opened shop.
        files: Files, folders or globs; in a notebook also Arrow tables, data frames and lists of dicts.
        table: What the rows are.
        mapping: Which column fills which.
        dry_run: Write nothing; show the first rows as they would be stored.
        progress: Told how far it is.
        options: How files are read: `format`, `encoding`, `delimiter`, `sheet`, `dialect`.

    Returns:
        The account: received = stored + duplicate + quarantined, with the reasons.

    Raises:
        BadInput: A file cannot be read, or its columns do not fit.
        ShopBusy: Another process writes to this shop.
    """
    if dry_run:
        done = shop.preview(files, mapping, table=table, progress=progress, **options)
    else:
        done = shop.ingest(files, mapping, table=table, progress=progress, **options)
    asked = {"act": "ledger.ingest", "files": [str(f) if isinstance(f, str) else type(f).__name__ for f in files],
             "table": table, "mapping": mapping or Mapping(), "dry_run": dry_run}
    title = say("Dry run: nothing was written.") if dry_run else done.sentence()
    looked = (say("a dry run looks at the first {n:,} records of the sources, and not for duplicates.",
                  n=done.received),) if dry_run else ()
    counted = ExactCount(say("received records"), done.received)
    return Ingested(title=title, table=_table(done), evidence=counted, asked=asked, method="exact count", account=done,
                    notes=(*_notes(done), *_zoned(shop, done, mapping, table), *looked),
                    parts={} if done.preview is None else {"preview": done.preview})


def _table(done: Received) -> pa.Table:
    ended = [("stored", done.stored), ("duplicate", done.duplicate), *done.reasons.items()]
    return pa.table({"outcome": [name for name, _ in ended], "records": [count for _, count in ended]},
                    schema=pa.schema([("outcome", pa.string()), ("records", pa.int64())]))


def _notes(done: Received) -> tuple[Sentence, ...]:
    notes = [say("{source} was read as {dialect}.", source=source, dialect=dialects.DIALECTS[name].title)
             for source, name in list(done.dialects.items())[:20]]
    notes += [say("mapped: {names}", names=", ".join(f"{ours} <- {_theirs(done, ours, theirs)}"
                                                     for ours, theirs in done.mapped.items()))]
    if done.unmapped:
        notes.append(say("kept in props: {names}", names=", ".join(done.unmapped)))
    notes += [say("{count:,} cells of {name} could not be read and are kept in props: write numbers as 1234.56 "
                  "(1,299 alone can mean two).", count=count, name=name)
              for name, count in done.unread.items()]
    notes += [say("{count:,} cells filled by the rule {rule}.", count=count, rule=rule)
              for rule, count in done.derived.items()]
    if done.quarantined and done.id is not None:
        notes.append(say("see why: shopkeeper quarantine SHOP"))
    return (*notes, *done.notes)


def _theirs(done: Received, ours: str, theirs: str) -> str:
    """The column of the file that fills one of ours: in a dialect, which has translated the file, by its table."""
    spoken = set(done.dialects.values())
    if ours != theirs or len(spoken) != 1:
        return theirs
    dialect = dialects.DIALECTS[spoken.pop()]
    rows = {"event": dialect.kind, **{row.ours: row.theirs for row in reversed(dialect.fields)}}
    return (rows.get(ours) or dialect.title).replace("|", " / ")


def _zoned(shop: Shop, done: Received, mapping: Mapping | None, table: str) -> tuple[Sentence, ...]:
    """That the shop's days are of another zone than these times."""
    said = mapping.time_zone if mapping is not None else None
    spoken = {zone for name in done.dialects.values() if (zone := dialects.DIALECTS[name].time_zone)}
    zones = [said] if said else sorted(spoken)
    if table != "events" or not done.stored or not zones or zones == [shop.config.timezone]:
        return ()
    return (say("these times are of {zone}, and the days and hours of this shop are cut in {own}: if that is not "
                "meant, write timezone = \"{first}\" under [shop] in {path}.", zone=", ".join(zones),
                own=shop.config.timezone, first=zones[0], path=str(shop.path / "shop.toml")),)


@dataclass(frozen=True)
class Fix:
    """What is said of quarantined records now, in the words of `ingest`; what was said of their import before stays.

    Attributes:
        map: Our column = theirs, several.
        kind: Their word for an event = our kind, several.
        constant: Our column = a value for all of them, several.
        time_zone: IANA zone of times that have none.
        time_format: Form of odd times, as strptime takes it, such as %d.%m.%Y.
        currency: ISO 4217 code of money that names none.
        order_rule: `customer-minute`: a customer's lines in one minute are one order.
    """

    map: Pairs[str, str] = field(default_factory=dict)
    kind: Pairs[str, str] = field(default_factory=dict)
    constant: Pairs[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    time_format: str | None = None
    currency: str | None = None
    order_rule: Literal["customer-minute"] | None = None


NOTHING = Fix()


@act("write")
def replay(shop: Shop, *, reason: str | None = None, fix: Fix = NOTHING, dry_run: bool = False) -> Replaying:
    """Let quarantined records through the entrance again, after a fix here or in shop.toml; each is counted once.

    Args:
        shop: An opened shop.
        reason: Only records with this reason.
        fix: What is said of them now.
        dry_run: Only say what would become of them; nothing is written.

    Returns:
        What became of each that was tried: stored, duplicate, or the reason for which it stays.

    Raises:
        BadMapping: What is said makes no sense. ShopBusy: Another process writes to this shop.
        Damaged: A dry run finds the index of events damaged.
    """
    mapping = Mapping(fix.map, fix.kind, fix.constant, fix.time_zone, fix.time_format, fix.currency, fix.order_rule)
    again = replaying.Again(Entrance(shop.config.roles, shop.keys(), ranges(shop.path)), reason, mapping)
    done = replaying.replay(shop.store, again, dry_run=dry_run)
    if not dry_run:
        shop.refresh()
    ended = [("stored", done.stored), ("duplicate", done.duplicate), *done.reasons.items()]
    table = pa.table({"outcome": [name for name, _ in ended], "records": [count for _, count in ended]},
                     schema=pa.schema([("outcome", pa.string()), ("records", pa.int64())]))
    left = (say("{count:,} records were not tried: they could not be read at all, or are of another table.",
                count=done.left),) if done.left else ()
    title = say("Dry run: nothing was written.") if dry_run else say(
        "{count:,} records left the quarantine.", count=done.stored + done.duplicate)
    return Replaying(title=title, table=table, evidence=ExactCount(say("quarantined records"), done.looked),
                     method="exact count", notes=left,
                     asked={"act": "ledger.replay", "reason": reason, "fix": fix, "dry_run": dry_run})


@act("write")
def undo(shop: Shop, import_id: str, *, dry_run: bool = False) -> Undoing:
    """Take one import back exactly, as if it had never come; the same file can then be ingested another way.

    Args:
        shop: An opened shop.
        import_id: Number of the import, as the account says it.
        dry_run: Only say what would go.

    Returns:
        What goes: events, event lines, quarantined records, and the table that comes back as it was.

    Raises:
        UnknownName: There is no such import. BadInput: It cannot be undone: it was posted, or its table changed since.
        ShopBusy: Another process writes to this shop.
    """
    if dry_run:
        gone = undoing.look(shop.store, shop.manifest, import_id)
    else:
        gone = undoing.undo(shop.store, import_id, shop.keys())
        shop.refresh()
    entry = gone.entry
    events = entry.table == "events"
    lines = [("events", entry.stored if events else 0), ("event lines", gone.rows),
             ("quarantined records", gone.quarantined), ("changed rows of a table", 0 if events else entry.stored)]
    table = pa.table({"measure": [name for name, _ in lines], "records": [count for _, count in lines]},
                     schema=pa.schema([("measure", pa.string()), ("records", pa.int64())]))
    title = say("Dry run: nothing was written.") if dry_run else say("{name} is undone.", name=import_id)
    return Undoing(title=title, table=table, evidence=ExactCount(say("received records"), entry.received),
                   method="exact count", notes=_said_of_undo(gone),
                   asked={"act": "ledger.undo", "import_id": import_id, "dry_run": dry_run})


def _said_of_undo(gone: undoing.Undone) -> tuple[Sentence, ...]:
    entry = gone.entry
    notes = [say("it brought {sources} on {at}.", sources=", ".join(entry.sources), at=entry.at),
             say("what was learned, and the files of a backup, stay as they are until the next learn and backup.")]
    if gone.table:
        notes.append(say("{table} is as it was before.", table=gone.table))
    if gone.joins:
        notes.append(say("{n:,} joins of visitors to customers are gone: nothing else spoke for them.", n=gone.joins))
    if gone.later:
        notes.append(say("{names} came later and met records known already; what this import had brought first is gone "
                         "with it, and is stored when it comes again.", names=", ".join(one.id for one in gone.later)))
    return (*notes, *gone.notes)
