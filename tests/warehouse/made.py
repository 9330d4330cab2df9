"""Scenes for the tests of the warehouse: staged rows from a line each, and the shop's files as a test sees them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.segments import STAGED, Settled
from shopkeeper.warehouse.store import Store, Writer

DAY = 86_400_000_000
KEY = b"k" * 32  # of every shop here
NOON = 1_600_000_000_000_000 // DAY * DAY + DAY // 2  # 2020-09-13 12:00 UTC


@dataclass(frozen=True)
class Record:
    """A record as a test writes it: `bodies` are its lines, a header and its items if there are several."""

    id: str | None = None
    bodies: tuple[str, ...] = ("a",)
    ts: int = NOON
    first_line: int = 0


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def staged(records: list[Record], start: int = 0, file: str = "log.csv") -> pa.Table:
    """The rows of records as the entrance hands them on; `start` numbers the first record."""
    rows = []
    for number, one in enumerate(records, start):
        whole = "|".join(one.bodies)
        for place, body in enumerate(one.bodies):
            rows.append({
                "event_id": one.id or digest(whole).hex(), "line": one.first_line + place, "event": "view_item",
                "ts": one.ts, "customer_id": body, "item_id": f"i{place}", "digest": digest(body if one.id else whole),
                "own_id": one.id is not None, "record": number, "file": file, "source_line": number + 2,
                "raw": f"raw {one.id} {whole}".encode()})
    schema = pa.schema([field for field in STAGED if field.name != "source_number"])
    return pa.Table.from_pylist(rows, schema=schema)


def settle(writer: Writer, sources: list[list[Record]], name: str = "one") -> Settled:
    """Take sources in, without a commit."""
    intake, number = writer.intake(name, KEY), 0
    for source in sources:
        intake.next_source()
        for at in range(0, len(source), 3):
            intake.add(staged(source[at:at + 3], number + at))
        number += len(source)
    return intake.settle(lambda raw: raw.decode())


def take_in(store: Store, records: list[Record], name: str = "one") -> Settled:
    """An import, committed."""
    with store.write("test") as writer:
        settled = settle(writer, [records], name)
        writer.commit(settled.manifest(writer.manifest))
    return settled


def files_of(path: Path) -> set[str]:
    """Every file of a shop, as a path within it, but for the lock and the manifest."""
    return {one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()} - {"writer.lock",
                                                                                              "manifest.json"}


def named_files(manifest: Manifest) -> set[str]:
    return {*manifest.data_files(), *manifest.index_files()}
