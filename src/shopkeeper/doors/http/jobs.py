"""What the child process does for the server: each job takes the shop's folder and plain data, and gives plain data."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shopkeeper.asking import Answer, as_json
from shopkeeper.doors.http import values
from shopkeeper.doors.http.refusals import TooLarge
from shopkeeper.errors import BadInput
from shopkeeper.menu import MENU, call
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import SmallEngine
from shopkeeper.words import say

_PART = 1 << 20
FOLD_WAITS = 60.0  # seconds for another writer, such as an ingest from a command line


def fold(shop: Path) -> dict[str, Any] | None:
    """Fold what the journal has sealed; None where there was nothing."""
    from shopkeeper.warehouse import folding

    at = Shop.open(shop, create=False, engine=SmallEngine)
    done: Any = folding.fold(at.store, at.keys(), at.config.roles, wait=FOLD_WAITS)
    if done is None or not is_dataclass(done):
        return None
    return {name: value for name, value in asdict(done).items()  # type: ignore[arg-type]
            if isinstance(value, int | str | float)}


def compact(shop: Path) -> dict[str, Any] | None:
    """Merge small files, one bounded step; None where nothing is due."""
    from shopkeeper.warehouse import compaction

    at = Shop.open(shop, create=False, engine=SmallEngine)
    done = compaction.compact(at.store, at.keys(), wait=FOLD_WAITS)
    return None if done is None else asdict(done)


def act(shop: Path, room: str, name: str, given: str, language: str) -> dict[str, str]:
    """Carry out an act of the menu.

    Args:
        shop: The shop's folder.
        room, name: Of the menu.
        given: Its parameters, a JSON object.
        language: `en` or `zh`.
    """
    entry = next(entry for entry in MENU if (entry.room, entry.name) == (room, name))
    read = values.of_json(given.encode(), entry.parameters())
    return _delivered(call(entry.function(), Shop.open(shop, create=False), read), language)


def learn(shop: Path) -> dict[str, dict[str, str]]:
    """Learn what is not fresh; what became of each question, in words."""
    from shopkeeper.learn import learn as learn_

    rows = learn_(Shop.open(shop, create=False)).table.to_pylist()
    return {"learned": {row["question"]: f"{row['status']}: {row['why']}" for row in rows}}


def label(shop: Path) -> dict[str, int]:
    """Label by behaviour who is a machine; people by label."""
    from shopkeeper import traffic

    rows = traffic.label(Shop.open(shop, create=False)).table.to_pylist()
    return {str(row["label"]): sum(one["people"] for one in rows if one["label"] == row["label"]) for row in rows}


def ingest(shop: Path, file: str, given: Mapping[str, Any], language: str, most: int) -> dict[str, str]:
    """Take a file that was uploaded into the shop.

    Args:
        shop: The shop's folder.
        file: Where it lies.
        given: `table`, `dry_run`, `mapping` (fields of a `Mapping`) and `options` of the reader.
        language: `en` or `zh`.
        most: The most bytes that it may unpack to.
    """
    from shopkeeper import ledger
    from shopkeeper.events.mapping import Mapping as Columns

    check_size(Path(file), most)
    answer = ledger.ingest(Shop.open(shop, create=False), (file,), mapping=Columns(**given["mapping"]),
                           table=given["table"], dry_run=given["dry_run"], **given["options"])
    return _delivered(answer, language)


def check_size(file: Path, most: int) -> None:
    """Refuse a file that unpacks to more than a bound, without unpacking it to disk or memory.

    Raises:
        TooLarge: It does. BadInput: It cannot be unpacked.
    """
    with file.open("rb") as stream:
        head = stream.read(4)
    try:
        if head == b"PK\x03\x04":
            with zipfile.ZipFile(file) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
        elif head[:2] == b"\x1f\x8b" or head == b"\x28\xb5\x2f\xfd":
            size = _unpacked_size(file, "gzip" if head[:2] == b"\x1f\x8b" else "zstd", most)
        else:
            return
    except (OSError, zipfile.BadZipFile) as wrong:
        raise BadInput(say("the file cannot be unpacked."), do=[say("pack it anew.")],
                       why=say("it is damaged, cut off, or packed in another way.")) from wrong
    if size > most:
        raise TooLarge(say("the file unpacks to more than {most:,} bytes.", most=most),
                       do=[say("send it in parts.")], why=say("a small file may hide more than a disk holds."))


def _unpacked_size(file: Path, packed: str, most: int) -> int:
    size = 0
    with pa.input_stream(str(file), compression=packed) as stream:
        while size <= most and (part := stream.read(_PART)):
            size += len(part)
    return size


def _delivered(answer: Answer, language: str) -> dict[str, str]:
    from shopkeeper.doors.printing import as_csv

    return {"json": as_json(answer.to_dict(language)), "csv": as_csv(answer)}

