"""The audit log: who was named to whom. A line an act, only ever added to; durable before the act has happened."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shopkeeper.warehouse.store import sync_folder

FILE = "audit.jsonl"
EXPORTS = "exports"  # the folder of lists with names


def note(folder: Path, act: str, facts: Mapping[str, Any]) -> None:
    """Write down an act.

    Args:
        folder: The shop's.
        act: `room.name`.
        facts: Plain data; never an identity, for this log outlives an erasure.
    """
    line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "act": act, **facts}) + "\n"
    path = folder / FILE
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        sync_folder(folder)


def read(folder: Path) -> list[dict[str, Any]]:
    """What was written down, the oldest first; a last line that a crash tore is left out."""
    path = folder / FILE
    lines = path.read_text("ascii").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]
