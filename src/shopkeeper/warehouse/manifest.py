"""The manifest: which files a shop consists of. Whoever holds one sees one consistent version.

On disk it is one JSON object: `format`, `check` (CRC-32 of the canonical text of what follows) and `manifest`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from shopkeeper.errors import Damaged, NotAShop
from shopkeeper.words import say

FORMAT = 1
MERGED = "compacted-"  # how the imports of merged segments, and the names of other merged files, begin


@dataclass(frozen=True)
class Segment:
    """One immutable Parquet file of events.

    Attributes:
        file: Path within the shop.
        rows: Rows of the event table.
        events: Rows with `line = 0`.
        first, last: Earliest and latest `ts`, microseconds UTC.
        import_id: The import that brought it.
    """

    file: str
    rows: int
    events: int
    first: int
    last: int
    import_id: str

    @property
    def merged(self) -> bool:
        """Whether it holds rows of other segments, written again, and no new ones."""
        return self.import_id.startswith(MERGED)


@dataclass(frozen=True)
class Import:
    """The account of one import: received = stored + duplicate + quarantined, in records.

    Attributes:
        id: Of the import.
        at: When it began, ISO 8601 UTC.
        sources: Names of the files, without their folders.
        table: `events`, or the table that was read.
        received, stored, duplicate, quarantined: Records.
        lines: Rows of the event table that were stored.
        reasons: Reason -> quarantined records.
        mapped: Our column -> the source's.
        unmapped: Columns of the source that were kept in props.
        kept: Such a column -> records that say something in it.
        notes: What else a person should know: sentences as JSON text.
        dialects: In which its sources were read.
        said: The mapping that was given for it, as JSON text; empty where there was none.
        unread: Our column -> cells that could not be read, kept in props.
    """

    id: str
    at: str
    sources: tuple[str, ...]
    table: str
    received: int
    stored: int
    duplicate: int
    quarantined: int
    lines: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, str] = field(default_factory=dict)
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    said: str = ""
    kept: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Installed:
    """The models of a question: the version that serves, and those that are kept, oldest first."""

    serving: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Former:
    """A table as it was before an import changed it, so that this import can be undone.

    Attributes:
        import_id: Of the import.
        file: Path within the shop; empty where there was no such table.
    """

    import_id: str
    file: str


@dataclass(frozen=True)
class IndexRun:
    """One immutable file of the index of events (`warehouse.index`): what it holds of whom.

    Attributes:
        file: Path within the shop.
        entries: How many keys it holds.
    """

    file: str
    entries: int


@dataclass(frozen=True)
class Manifest:
    """What a shop consists of. File names are paths within the shop, with `/`.

    Attributes:
        format: Of this file; a shop of another format is refused.
        version: Grows by one with each commit; 0 for an empty shop.
        segments: Events, in the order of their imports.
        quarantine: Files of rejected records.
        large: Rejected records that are too large for a row of those, each a file of its own.
        vault: Files that resolve pseudonyms.
        tables: Name -> file, of `items` and its like and of what the rooms published.
        dates: Published table -> its as-of time, microseconds UTC.
        models: Question -> its models, in `models/<room>/<question>/<version>/`.
        imports: The account of each import, oldest first.
        sizes: File -> bytes, of every file that is named here; `Writer.commit` fills it.
        checks: File -> CRC-32 as 8 hex digits, of each of these but the index, whose runs check themselves, and files
            that an older shopkeeper wrote; `Writer.commit` fills it.
        retired: What a version before named and this one does not -> when it was last named, seconds since 1970; kept
            for readers for a while (`store.GRACE`). `Writer.commit` fills it.
        index: Runs of the index by which duplicates are found; it can be made again from the segments.
        journal: Number of the last journal file whose records are all in the segments, the tables or the quarantine.
        offsets: Source of a broker -> position up to which its records are in there, too.
        former: Table -> what its last changes were made from, oldest first, as far as they were imports.
        rotation: How often the key of pseudonyms was rotated: the number of the key that made those in here.
    """

    format: int = FORMAT
    version: int = 0
    segments: tuple[Segment, ...] = ()
    quarantine: tuple[str, ...] = ()
    vault: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, Installed] = field(default_factory=dict)
    imports: tuple[Import, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    retired: Mapping[str, int] = field(default_factory=dict)
    large: tuple[str, ...] = ()
    index: tuple[IndexRun, ...] = ()
    journal: int = 0
    offsets: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, tuple[Former, ...]] = field(default_factory=dict)
    rotation: int = 0

    @property
    def rows(self) -> int:
        """Rows of the event table."""
        return sum(segment.rows for segment in self.segments)

    @property
    def events(self) -> int:
        """Events: rows with `line = 0`."""
        return sum(segment.events for segment in self.segments)

    @property
    def first(self) -> int | None:
        """Time of the earliest event, microseconds UTC; None for an empty log."""
        return min((segment.first for segment in self.segments), default=None)

    @property
    def last(self) -> int | None:
        """Time of the latest event, microseconds UTC; None for an empty log."""
        return max((segment.last for segment in self.segments), default=None)

    def segments_between(self, start: int | None = None, until: int | None = None) -> tuple[Segment, ...]:
        """The segments that can hold events with `start <= ts < until` (microseconds UTC; None is open).

        >>> day = Manifest(segments=(Segment("a", 1, 1, 0, 9, "x"), Segment("b", 1, 1, 10, 19, "x")))
        >>> [segment.file for segment in day.segments_between(5, 10)]
        ['a']
        """
        return tuple(segment for segment in self.segments
                     if (start is None or segment.last >= start) and (until is None or segment.first < until))

    def data_files(self) -> tuple[str, ...]:
        """Files that the engine reads, the large records of the quarantine, and the vault's: none can be made again."""
        former = (one.file for kept in self.former.values() for one in kept if one.file)
        return (*(segment.file for segment in self.segments), *self.quarantine, *self.large, *self.tables.values(),
                *former, *self.vault)

    def index_files(self) -> tuple[str, ...]:
        """Files of the index, which can be made again from the segments."""
        return tuple(run.file for run in self.index)

    def model_folders(self) -> tuple[str, ...]:
        """Folders of all kept models."""
        return tuple("/".join(["models", *question.split("."), version])
                     for question, kept in self.models.items() for version in kept.versions)

    def named(self) -> frozenset[str]:
        """Every file, and every model's folder, that this version needs."""
        return frozenset((*self.data_files(), *self.index_files(), *self.model_folders()))

    def without(self, files: Iterable[str]) -> Manifest:
        """The same shop as if these files had never been; for reading what is left of a damaged shop."""
        gone = frozenset(files)
        return replace(
            self, segments=tuple(segment for segment in self.segments if segment.file not in gone),
            quarantine=tuple(file for file in self.quarantine if file not in gone),
            large=tuple(file for file in self.large if file not in gone),
            vault=tuple(file for file in self.vault if file not in gone),
            tables={name: file for name, file in self.tables.items() if file not in gone},
            former={name: kept for name, kept in self.former.items() if not gone & {one.file for one in kept}})

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        body = msgspec.to_builtins(self)
        return json.dumps({"format": self.format, "check": _check(body), "manifest": body}, ensure_ascii=False,
                          sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, path: str = "manifest.json") -> Manifest:
        """The inverse of `to_json`.

        Raises:
            Damaged: It is not what was written.
            NotAShop: It is of a format that this version does not know.
        """
        try:
            data = json.loads(text)
            number = data["format"]
            if number == FORMAT and data["check"] == _check(data["manifest"]):
                return msgspec.convert(_of_today(data["manifest"]), cls)
        except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as wrong:
            raise _damaged(path) from wrong
        if number != FORMAT:
            raise NotAShop(say("{path} has format {number}; this version reads format {known}.", path=path,
                               number=repr(number), known=FORMAT),
                           do=[say("install the version of shopkeeper that wrote it, or a newer one.")],
                           why=say("reading it by other rules could lose events."))
        raise _damaged(path)


def _of_today(body: dict[str, Any]) -> dict[str, Any]:
    """What an older shopkeeper wrote, as it would be written now: it did not say when a file was retired."""
    retired = body.get("retired")
    return {**body, "retired": dict.fromkeys(retired, 0)} if isinstance(retired, list) else body


def _check(body: Any) -> str:
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(canonical.encode('utf-8', 'surrogatepass')):08x}"


def _damaged(path: str) -> Damaged:
    return Damaged(say("{path} is not what was written.", path=path), do=[say("put the shop back from your backup.")],
                   why=say("it names the files that the shop consists of; without it nobody knows which count."))
