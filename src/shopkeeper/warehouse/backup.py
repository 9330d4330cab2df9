"""A backup that is consistent while others write, and the way back from it.

A backup holds the files of one manifest, the journal as it stood with it, the settings, the keys if they were asked
for, the audit log, and `backup.json`, which names each file with its size and SHA-256. What has no `backup.json` is no
backup. Lists that were exported stay behind: they name people in the clear, which a backup without keys must not.

No lock is taken, and a backup needs no right to write to the shop. The manifest is read, then the journal, then the
manifest again: where it is the same, the two belong together. Files that a manifest names never change, so they are
linked where the file system allows it and copied elsewhere; where a commit has taken one away meanwhile, the next try
takes the newer manifest and only what is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import BadInput, Damaged, NotAShop, ShopBusy
from shopkeeper.warehouse import audit
from shopkeeper.warehouse.archives import (
    MARKER,
    PARTIAL,
    Part,
    Sink,
    Source,
    copied,
    folders_to,
    hashed,
    need_empty,
    sink,
    source,
    spooled,
    undone,
)
from shopkeeper.warehouse.keyfiles import FOLDER, fingerprint
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.store import (
    FOLDERS,
    LOCK,
    MANIFEST,
    TEMPORARY,
    Store,
    damage,
    durable_write,
    make_folder,
    sync_folder,
)
from shopkeeper.words import Sentence, say

FORMAT = 1
SETTINGS, KEYS, JOURNAL = "shop.toml", FOLDER, "journal"
_TRIES = 50  # how often a newer manifest is taken before the shop counts as too busy
_OF_THE_MOMENT = (TEMPORARY, PARTIAL, ".lock", ".sock")  # endings of files that mean nothing later


@dataclass(frozen=True)
class Backup:
    """What a backup is, as its marker says.

    Attributes:
        made_at: When, ISO 8601 UTC.
        version: Of the manifest.
        files: Path within the shop -> the file.
        with_keys: Whether the keys are in it.
        fingerprint: Of the keys that open it; empty where they could not be read.
        journal: Journal files that are in it: acknowledged, and not in the segments yet.
        linked: Files that share their bytes on the disk with the shop's.
    """

    made_at: str
    version: int
    files: Mapping[str, Part]
    with_keys: bool
    fingerprint: str
    journal: int = 0
    linked: int = 0

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(part.size for part in self.files.values())

    def notes(self) -> tuple[Sentence, ...]:
        """What a person must know of it."""
        lines = [say("{files:,} files, {size:,} bytes: version {version} of the shop, and {journal:,} journal files "
                     "that were not folded yet.", files=len(self.files), size=self.size, version=self.version,
                     journal=self.journal)]
        if self.linked:
            lines.append(say("{linked:,} files share their bytes on the disk with the shop: this guards against "
                             "mistakes, not against the loss of the disk.", linked=self.linked))
        lines.append(say("THE KEYS ARE IN IT: whoever has this backup can open the vault, which names every customer.")
                     if self.with_keys else
                     say("THE KEYS ARE NOT IN IT: without a copy of the folder keys/ nobody can open this shop again. "
                         "Keep one, in another place."))
        return tuple(lines)

    def to_json(self) -> bytes:
        """The text of `backup.json`: the fields, and a checksum over them."""
        body = {"format": FORMAT, "made_at": self.made_at, "version": self.version, "with_keys": self.with_keys,
                "fingerprint": self.fingerprint, "journal": self.journal,
                "files": {name: [part.size, part.sha256] for name, part in sorted(self.files.items())}}
        return json.dumps({"check": _check(body), "backup": body}, indent=1).encode("ascii")

    @classmethod
    def from_json(cls, text: bytes, path: str) -> Backup:
        """The inverse of `to_json`.

        Raises:
            Damaged: It is not what was written. NotAShop: It is of a newer format.
        """
        try:
            data = json.loads(text)
            body = data["backup"]
            number = body["format"]
            if data["check"] != _check(body):
                raise ValueError("check")
            if number == FORMAT:
                files = {_safe(name): Part(int(size), str(sha)) for name, (size, sha) in body["files"].items()}
                return cls(body["made_at"], body["version"], files, body["with_keys"], body["fingerprint"],
                           body["journal"])
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise Damaged(say("{path} is not what was written.", path=path), do=[say("take another backup.")],
                          why=say("it names the files of the backup; without it nobody knows whether they are whole.")
                          ) from wrong
        raise NotAShop(say("{path} has format {number}; this version reads format {known}.", path=path,
                           number=repr(number), known=FORMAT),
                       do=[say("install the version of shopkeeper that wrote it, or a newer one.")],
                       why=say("reading it by other rules could lose events."))


def back_up(store: Store, target: Path, *, with_keys: bool = False, progress: Progress = silent) -> Backup:
    """Back a shop up while it is used.

    Everything that was acknowledged before the call is in the backup.

    Args:
        store: The shop's folder; only read.
        target: A folder that is empty or not there yet, or a file that ends in `.tar` and is not there yet.
        with_keys: Put the keys into it, too: they open the vault, and the shop cannot be opened without them.
        progress: Told how many bytes are done.

    Raises:
        BadInput: The target is in use, or lies within the shop. NotAShop: There is no shop.
        Damaged: A file of the shop is missing or has another size than was written.
        ShopBusy: Commits came faster than files could be copied.
    """
    if not (store.path / SETTINGS).is_file():
        raise NotAShop(say("{path} is not a shop.", path=str(store.path)), do=[say("name the shop's folder.")],
                       why=say("a shop is a folder with a shop.toml; ingest makes it."))
    if store.path.resolve() in (target.resolve(), *target.resolve().parents):
        raise BadInput(say("{path} lies within the shop.", path=str(target)),
                       do=[say("name a folder elsewhere, best on another disk.")],
                       why=say("a backup inside the shop is lost with the shop."))
    if with_keys and not fingerprint(store.path / KEYS, store.manifest().rotation):
        raise NotAShop(say("the keys of {path} are missing, or not for you to read.", path=str(store.path)),
                       do=[say("run it as the user who runs the shop.")],
                       why=say("without its key the shop cannot recognise a customer."))
    with sink(target) as place, ExitStack() as held:
        moment, parts = _immutable(store, place, held, with_keys, progress)
        parts |= _moving(place, moment)
        made = Backup(datetime.now(UTC).isoformat(timespec="seconds"), moment.manifest.version, parts, with_keys,
                      moment.fingerprint, sum(name.startswith(f"{JOURNAL}/") for name in parts),
                      len(place.linked))
        place.finish(made.to_json())
    return made


def restore(backup: Path, target: Path, *, keys: Path | None = None, progress: Progress = silent) -> Backup:
    """Put a shop back from a backup. Every size and checksum is looked at before anything is written.

    `shop.toml` comes last: a folder in which a restoring was interrupted is no shop, and is refused as such.

    Args:
        backup: A folder or a `.tar` file.
        target: Where the shop goes: a folder that is empty or not there yet.
        keys: A folder with the keys, where the backup has none.
        progress: Told how many bytes are done: first looked at, then copied.

    Raises:
        Damaged: The backup is unfinished, or files of it are missing or not what was written; it names each.
        BadInput: The target is in use. NotAShop: The keys are missing, or are not those of this shop.
    """
    need_empty(target)
    with source(backup) as opened:
        made = Backup.from_json(opened.marker(), f"{backup}/{MARKER}")
        secret = _keys_for(made, keys, _verify(opened, made, progress))
        make_folder(target.parent)
        with undone(target, 0o755):
            _write_all(opened, made, target, secret, progress)
    return made


@dataclass
class _Moment:
    """A manifest, and the files that change or go with the next commit, as they stood with it.

    Attributes:
        manifest: As committed; the empty one where nothing ever was.
        files: Path within the shop -> its content: the manifest itself, the journal, settings, keys if they are wanted.
        fingerprint: Of the keys that open it; empty where they could not be read.
    """

    manifest: Manifest
    files: dict[str, IO[bytes]] = field(default_factory=dict)
    fingerprint: str = ""

    def close(self) -> None:
        """Let go of what was held."""
        for file in self.files.values():
            file.close()


def _moment(store: Store, spare: Path, held: ExitStack, with_keys: bool) -> _Moment:
    """Take the newest manifest, and the journal, settings and keys that stood with it; `held` lets go of them."""
    for _ in range(_TRIES):
        before = _bytes(store.path / MANIFEST)
        taken = _Moment(Manifest.from_json(before, str(store.path / MANIFEST)) if before else store.manifest())
        held.callback(taken.close)
        if before:
            taken.files[MANIFEST] = spooled(before, spare)
        taken.fingerprint = fingerprint(store.path / KEYS, taken.manifest.rotation)
        keys = _names(store.path, KEYS) if with_keys else ()
        try:
            for name in (*_settings(store.path), *_journal(store.path, taken.manifest.journal), *keys):
                taken.files[name] = spooled(store.path / name, spare)
        except FileNotFoundError:  # folded, or replaced, while it was read
            taken.close()
            continue
        if before == _bytes(store.path / MANIFEST):
            return taken
        taken.close()
    raise _too_busy()


def _immutable(store: Store, place: Sink, held: ExitStack, with_keys: bool,
               progress: Progress) -> tuple[_Moment, dict[str, Part]]:
    """Place the files that a manifest names; the moment that they belong to, and what was placed.

    The small come first: they are what a commit takes away.
    """
    placed: dict[str, Part] = {}
    known = -1
    for _ in range(_TRIES):
        moment = _moment(store, place.spare, held, with_keys)
        gone = _placed(store, place, moment.manifest, placed, progress)
        if gone is None:
            for name in [name for name in placed if name not in moment.manifest.sizes]:
                place.drop(name)
                del placed[name]
            return moment, placed
        moment.close()
        if moment.manifest.version == known:
            raise damage((gone,))
        known = moment.manifest.version
    raise _too_busy()


def _placed(store: Store, place: Sink, manifest: Manifest, placed: dict[str, Part], progress: Progress) -> str | None:
    """Place what is not placed yet; the name of a file that has gone meanwhile."""
    sizes, remade = manifest.sizes, frozenset(manifest.index_files())
    left = sorted((file for file in sizes if file not in placed), key=lambda file: (sizes[file], file))
    progress.start(say("Backing up {files:,} files", files=len(left)), float(sum(sizes[file] for file in left)))
    for file in left:
        try:
            placed[file] = place.take(file, store.path / file, sizes[file], manifest.checks.get(file, ""))
        except FileNotFoundError:
            if file not in remade:
                return file
        progress.advance(sizes[file])
    return None


def _moving(place: Sink, moment: _Moment) -> dict[str, Part]:
    """Place what was held of a moment."""
    return {name: place.write(name, file, _length(file)) for name, file in moment.files.items()}


def _settings(root: Path) -> Iterator[str]:
    """What lies beside the data: `shop.toml`, and whatever else is no data, no journal, no key, no list and no lock."""
    for path in sorted(root.iterdir()):
        if path.name not in (*FOLDERS, JOURNAL, KEYS, MANIFEST, LOCK, audit.EXPORTS):
            yield from [path.name] if path.is_file() else _names(root, path.name)


def _journal(root: Path, folded: int) -> list[str]:
    """Journal files whose records are not all in the segments, and whatever was kept aside there."""
    def wanted(path: PurePosixPath) -> bool:
        counted = path.suffix == ".log" and path.stem.isdigit() and len(path.parts) == 2
        return int(path.stem) > folded if counted else path.name != "lock"

    return [name for name in _names(root, JOURNAL) if wanted(PurePosixPath(name))]


def _names(root: Path, folder: str) -> list[str]:
    """The files below a folder of the shop, as paths within the shop."""
    if not (root / folder).is_dir():
        return []
    return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*")
                  if path.is_file() and not path.is_symlink() and not path.name.endswith(_OF_THE_MOMENT))


def _verify(backup: Source, made: Backup, progress: Progress) -> Manifest:
    """Look at every byte, and at whether the files that the manifest names are all there; the manifest."""
    progress.start(say("Looking at {files:,} files", files=len(made.files)), float(made.size))
    bad: list[str] = []
    for name, part in made.files.items():
        try:
            with backup.open(name) as file:
                whole = hashed(file, part.size + 1) == part
        except (OSError, tarfile.TarError):
            whole = False
        bad += [] if whole else [name]
        progress.advance(part.size)
    manifest = Manifest()
    if not bad and MANIFEST in made.files:
        with backup.open(MANIFEST) as file:
            manifest = Manifest.from_json(file.read(), MANIFEST)
        bad += [name for name, size in manifest.sizes.items() if name not in manifest.index_files()
                and (name not in made.files or made.files[name].size != size)]
    bad += [] if SETTINGS in made.files else [SETTINGS]
    if bad:
        raise _not_whole(bad)
    return manifest


def _keys_for(made: Backup, keys: Path | None, manifest: Manifest) -> dict[str, bytes]:
    """The files of the keys that do not come from the backup.

    Raises:
        NotAShop: There are none, or they are those of another shop.
    """
    if keys is None and made.with_keys:
        return {}
    if keys is None:
        raise NotAShop(say("the backup has no keys in it."), do=[say("--keys FOLDER")],
                       why=say("without its key the shop cannot recognise a customer."))
    found = fingerprint(keys, manifest.rotation)
    if not found or (made.fingerprint and found != made.fingerprint):
        raise NotAShop(say("{path} does not hold the keys of this shop.", path=str(keys)),
                       do=[say("name the folder with the pseudonym.key and the vault.key that the shop had then.")],
                       why=say("with other keys every customer would be a stranger."))
    return {f"{KEYS}/{path.name}": path.read_bytes() for path in sorted(keys.iterdir()) if path.is_file()}


def _write_all(backup: Source, made: Backup, target: Path, secret: Mapping[str, bytes], progress: Progress) -> None:
    progress.start(say("Restoring {files:,} files", files=len(made.files)), float(made.size))
    folders: set[Path] = {target}
    for name in sorted(made.files, key=lambda name: name.startswith(f"{KEYS}/")):  # keys alone would make a new shop
        part = made.files[name]
        if name == SETTINGS or name in secret:
            continue
        folders |= folders_to((target / name).parent, target)
        with backup.open(name) as file:
            if copied(target / name, file, part.size, _mode(name)) != part:
                raise _not_whole([name])
        progress.advance(part.size)
    for name, data in secret.items():
        folders |= folders_to((target / name).parent, target)
        durable_write(target / name, data)
        (target / name).chmod(0o600)
    (target / KEYS).chmod(0o700)
    for folder in sorted(folders, reverse=True):
        sync_folder(folder)
    with backup.open(SETTINGS) as file:
        durable_write(target / SETTINGS, file.read())


def _mode(name: str) -> int:
    """What a file put back may be used for, and by whom: keys and the audit log are for their owner alone."""
    return 0o600 if name.startswith(f"{KEYS}/") or name == audit.FILE else 0o644


def _safe(name: str) -> str:
    """A path within a shop; no way out of it.

    Raises:
        ValueError: It is none.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or path.as_posix() != name or "\0" in name:
        raise ValueError(name)
    return name


def _check(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _length(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _not_whole(files: Iterable[str]) -> Damaged:
    return Damaged(say("not what was backed up, or missing: {files}.", files=", ".join(sorted(set(files)))),
                   do=[say("take another backup.")], why=say("nothing was restored: the shop would not be whole."))


def _too_busy() -> ShopBusy:
    return ShopBusy(say("the shop changed faster than it could be copied."),
                    do=[say("wait a moment, then try again.")],
                    why=say("a backup holds one moment of the shop, not parts of several."))
