from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shopkeeper.events.raw import Broken, RawBatch
from shopkeeper.events.readers import ReadOptions, Source, open_source


@dataclass
class Read:
    """A file read to its end."""

    source: Source
    batches: list[RawBatch]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.table.to_pylist()]

    @property
    def lines(self) -> list[int]:
        return [int(line) for batch in self.batches for line in batch.line]

    @property
    def broken(self) -> list[Broken]:
        return [one for batch in self.batches for one in batch.broken]

    @property
    def reasons(self) -> list[tuple[int, str, str]]:
        return [(one.line, one.reason, one.record) for one in self.broken]

    @property
    def problems(self) -> list[str]:
        return [str(one) for one in self.source.problems]


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Read]:
    """Write bytes to a file of its own and read that: `read(data, "a.csv", encoding=...)`."""

    def reading(data: bytes | Path, name: str = "a.csv", **options: Any) -> Read:
        folder = tmp_path_factory.mktemp("read")
        path = data if isinstance(data, Path) else folder / name
        if isinstance(data, bytes):
            path.write_bytes(data)
        with open_source(path, spill=folder / "spill", options=ReadOptions(**options)) as source:
            return Read(source, list(source))

    return reading
