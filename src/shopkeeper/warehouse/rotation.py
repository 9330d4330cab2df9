"""The key of pseudonyms changed for another: every stored pseudonym becomes a new one, in one commit.

What a person did stays together: who was one pseudonym is one pseudonym. Names and digests of events are made with a
key of their own, which stays, so that a record that comes again is still known. New files stand under new names, and
the rename of the manifest makes them the shop's: a crash leaves the shop with the old pseudonyms or with the new ones.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import ShopBusy
from shopkeeper.events.pseudonyms import VAULT, Keys, pseudonyms, renamed, seal, unseal
from shopkeeper.events.renaming import LENGTH, Renaming
from shopkeeper.warehouse import journal as journals
from shopkeeper.warehouse import keyfiles
from shopkeeper.warehouse.folding import unfolded
from shopkeeper.warehouse.keyfiles import Named
from shopkeeper.warehouse.manifest import Import, Installed, Manifest
from shopkeeper.warehouse.segments import BOUNDED, DENSE, finished
from shopkeeper.warehouse.staging import GROUP_ROWS
from shopkeeper.warehouse.store import Store, Writer, damage, durable_write, held, make_folder, rotated
from shopkeeper.warehouse.tables import PERSONAL, STORED
from shopkeeper.words import say

__all__ = ["NAMES", "Rotated", "look", "rotate"]

NAMES = frozenset({"event_id"})  # columns that name events: what they hold never changes
BATCH = 1 << 16   # rows of a file that are held at once
PIECE = 1 << 24   # bytes of a file that are held at once
Remade = Callable[[pa.Table], pa.Table]
_PEOPLE = ("customer_id", "anonymous_id")
_AGAIN = re.compile(r"-k[0-9]+\Z")  # how the names of files end that a rotation wrote
_CODED = [field.name for field in STORED if pa.types.is_string(field.type) and field.name not in DENSE]


@dataclass(frozen=True)
class Rotated:
    """What was renamed, or would be.

    Attributes:
        known: Pseudonyms whose identity the vault has.
        others: Pseudonyms of which it knows nothing: who came under one, or was taken out of the vault.
        rows: Rows of the event table.
    """

    known: int
    others: int
    rows: int


def look(store: Store, manifest: Manifest, keys: Keys, progress: Progress = silent) -> Rotated:
    """What `rotate` would rename; nothing is written.

    Raises:
        Damaged: A file is not what was written.
    """
    renaming = Renaming()
    progress.start(say("Reading who is there"), None)
    for pairs in _pairs(store, manifest, keys):
        renaming.learn(pairs.column("pseudonym"), pairs.column("pseudonym"))
    known = len(renaming)
    _meet(store, manifest, renaming, keys.pseudonym)
    return Rotated(known, len(renaming) - known, manifest.rows)


def rotate(store: Store, keys: Keys, remade: Mapping[str, Remade] = MappingProxyType({}), *, wait: float = 0.0,
           progress: Progress = silent) -> Rotated:
    """Give the shop another key of pseudonyms, and everybody another pseudonym, in one commit.

    The old key, and the files with old pseudonyms, are removed right behind the commit; who reads them is refused then.

    Args:
        store: The shop's folder.
        keys: The shop's keys.
        remade: Published table -> what makes new of its columns that follow from a pseudonym, once that is another.
        wait: Seconds to wait for another writer.
        progress: Told how far it is, in bytes.

    Raises:
        ShopBusy: Another process writes, or serves the shop, or something lies in the journal. Damaged: A file is not
            what was written; nothing was changed. OSError: The disk is full, or gone. The shop is as it was.
    """
    with _alone(store), store.write("keys rotate", wait) as writer:
        if keys.rotation != writer.manifest.rotation:
            raise rotated()
        if unfolded(store, writer.manifest).records:
            raise ShopBusy(say("the journal holds what is not in the log yet."), do=[say("do it again.")],
                           why=say("what lies there would come in under old pseudonyms."))
        done = _Rotation(writer, keys, remade, progress).run()
        writer.clean()
        return done


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Hold the journal, so that nobody serves the shop meanwhile."""
    folder = store.path / journals.FOLDER
    make_folder(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder / journals.LOCK, "keys rotate"))
        except ShopBusy as busy:
            raise served() from busy
        yield


def served() -> ShopBusy:
    """The refusal while somebody serves the shop."""
    return ShopBusy(say("the shop is served; its pseudonyms cannot be rotated meanwhile."),
                    do=[say("stop the server, rotate, and start it again.")],
                    why=say("a server has the key, and knows people by their pseudonyms."))


class _Rotation:
    """One rotation on its way."""

    def __init__(self, writer: Writer, keys: Keys, remade: Mapping[str, Remade], progress: Progress) -> None:
        self.writer, self.keys, self.remade, self.progress = writer, keys, remade, progress
        self.store, self.root, self.before = writer.store, writer.store.path, writer.manifest
        self.number = self.before.rotation + 1
        self.folder = self.root / "segments" / f".staging-rotation-{uuid.uuid4().hex[:12]}"
        self.key, self.renaming = secrets.token_bytes(32), Renaming()

    def run(self) -> Rotated:
        """Write anew what holds pseudonyms, and commit; then forget the old key."""
        folder = self.root / keyfiles.FOLDER
        both = Named(self.keys.naming, {self.before.rotation: self.keys.pseudonym, self.number: self.key})
        gone = tuple(file for file in self.before.checks if not (self.root / file).is_file())
        if gone:
            raise damage(gone)
        self.store.check_content(self.before, self.before.checks)
        keyfiles.write(folder / keyfiles.PSEUDONYM, both.text())
        make_folder(self.folder)
        try:
            vault = self._vault()
            known = len(self.renaming)
            _meet(self.store, self.before, self.renaming, self.key)
            self.progress.start(say("Writing anew what holds pseudonyms"), float(sum(self.before.sizes.values())))
            manifest = self._books(self._models(self._files(replace(self.before, vault=vault))))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.writer.commit(replace(manifest, rotation=self.number), grace=False)
        keyfiles.settle(folder, self.number)
        return Rotated(known, len(self.renaming) - known, manifest.rows)

    def _vault(self) -> tuple[str, ...]:
        """The vault with new pseudonyms; what was read is what everything else is renamed by."""
        files = []
        self.progress.start(say("Reading who is there"), None)
        for file, pairs in zip(self.before.vault, _pairs(self.store, self.before, self.keys), strict=True):
            old = pairs.column("pseudonym").combine_chunks()
            new = _again(old, pairs.column("identity").combine_chunks(), self.key)
            self.renaming.learn(old, new)
            files.append(_named_anew(file, self.number))
            pairs = pa.table({"pseudonym": new, "identity": pairs.column("identity")}, schema=VAULT)
            durable_write(self.root / files[-1], seal(pairs, self.keys.vault))
        return tuple(files)

    def _files(self, manifest: Manifest) -> Manifest:
        segments = [replace(one, file=self._parquet(one.file)) for one in manifest.segments]
        former = {name: tuple(replace(one, file=one.file and self._parquet(one.file)) for one in kept)
                  for name, kept in manifest.former.items()}
        return replace(
            manifest, segments=tuple(segments), former=former,
            quarantine=tuple(self._parquet(file) for file in manifest.quarantine),
            large=tuple(self._raw(file, _named_anew(file, self.number)) for file in manifest.large),
            tables={name: self._parquet(file, self.remade.get(name)) for name, file in manifest.tables.items()})

    def _parquet(self, file: str, remade: Remade | None = None) -> str:
        """A table with new pseudonyms; the same file where it holds none."""
        path, before = self.folder / "table.parquet", self.renaming.places
        ours = file.startswith("segments/")
        coded = {"use_dictionary": [name for name in STORED.names if name not in DENSE], "store_schema": False,
                 "write_statistics": BOUNDED} if ours else {}
        with (pq.ParquetFile(self.root / file, read_dictionary=_CODED if ours else None) as source,
              pq.ParquetWriter(path, source.schema_arrow, compression="zstd", **coded) as out):
            for number in range(source.num_row_groups):
                table = self._table(source.read_row_group(number))
                out.write_table(remade(table) if remade else table, row_group_size=GROUP_ROWS)
        self.progress.advance(self.before.sizes[file])
        if self.renaming.places == before:
            return file
        return finished(self.root, path, _named_anew(file, self.number))

    def _table(self, table: pa.Table) -> pa.Table:
        for place, name in enumerate(table.column_names):
            if name not in NAMES:
                table = table.set_column(place, table.schema.field(name), self.renaming.column(table.column(name)))
        return table

    def _raw(self, file: str, target: str) -> str:
        """Any file with new pseudonyms in its bytes; the same file where it holds none."""
        path, before, rest = self.folder / "raw", self.renaming.places, b""
        with (self.root / file).open("rb") as source, path.open("wb") as out:
            while piece := source.read(PIECE):
                rest = self.renaming.bytes(rest + piece)
                out.write(rest[:-LENGTH])
                rest = rest[-LENGTH:]
            out.write(rest)
        self.progress.advance(self.before.sizes.get(file, 0))
        return file if self.renaming.places == before else finished(self.root, path, target)

    def _models(self, manifest: Manifest) -> Manifest:
        """The models with new pseudonyms: those that rank people know them by name."""
        return replace(manifest, models={question: self._kept(question, kept)
                                         for question, kept in manifest.models.items()})

    def _kept(self, question: str, kept: Installed) -> Installed:
        place = PurePosixPath("models", *question.split("."))
        folders = {version: self.root / place / version for version in kept.versions}
        if not any(self._changed(path) for folder in folders.values() for path in folder.iterdir()):
            return kept
        first = 1 + max(int(version) for version in kept.versions)
        anew = {version: str(first + number) for number, version in enumerate(kept.versions)}
        for version, folder in folders.items():
            for path in sorted(folder.iterdir()):
                durable_write(self.root / place / anew[version] / path.name, self.renaming.bytes(path.read_bytes()))
        return Installed(anew[kept.serving], tuple(anew.values()))

    def _changed(self, path: Path) -> bool:
        before = self.renaming.places
        self.renaming.bytes(path.read_bytes())
        return self.renaming.places > before

    def _books(self, manifest: Manifest) -> Manifest:
        """What was said with an import may name a person, too."""
        text = json.dumps(msgspec.to_builtins(manifest.imports), ensure_ascii=False).encode("utf-8", "surrogatepass")
        changed = self.renaming.bytes(text)
        if changed == text:
            return manifest
        return replace(manifest, imports=msgspec.convert(json.loads(changed), tuple[Import, ...]))


def _pairs(store: Store, manifest: Manifest, keys: Keys) -> Iterator[pa.Table]:
    """What each file of the vault holds."""
    for file in manifest.vault:
        yield unseal((store.path / file).read_bytes(), keys.vault)


def _again(old: Any, identity: Any, key: bytes) -> Any:
    """(n,) pseudonyms of the same people under another key, each of the kind of the one before."""
    of_customers = pc.starts_with(old, "c_")
    customers, visitors = (pseudonyms(identity, column, key)[0] for column in _PEOPLE)
    return pc.if_else(of_customers, customers, visitors)


def _meet(store: Store, manifest: Manifest, renaming: Renaming, key: bytes) -> None:
    """Give those a new pseudonym who stand in columns of people, and whom the vault does not know."""
    former = ((name, one.file) for name, kept in manifest.former.items() for one in kept if one.file)
    places = [("events", segment.file) for segment in manifest.segments]
    for name, file in (*places, *manifest.tables.items(), *former):
        columns = _PEOPLE if name == "events" else PERSONAL[name]
        with pq.ParquetFile(store.path / file, read_dictionary=list(columns)) as source:
            if not columns or not source.metadata.num_rows:
                continue
            for batch in source.iter_batches(BATCH, columns=list(columns)):
                for cells in batch.columns:
                    others = renaming.unknown(cells)
                    if len(others):
                        renaming.learn(others, renamed(others, key))


def _named_anew(file: str, number: int) -> str:
    """The name of a file that a rotation writes in the place of another; whoever brought it is still to be seen.

    >>> _named_anew("vault/0123456789ab-0.vault", 1), _named_anew("vault/0123456789ab-0-k1.vault", 2)
    ('vault/0123456789ab-0-k1.vault', 'vault/0123456789ab-0-k2.vault')
    """
    path = PurePosixPath(file)
    return str(path.with_name(f"{_AGAIN.sub('', path.stem)}-k{number}{path.suffix}"))
