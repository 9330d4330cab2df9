"""Shops behind doors, for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doors.http.served import Client, copied, served
from shopkeeper.doors.http.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied(tmp_path / "shop")


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    """A door over a copy of its own. It does not fold, which takes a process of its own."""
    with served(folder, fold=False) as made:
        yield made


@pytest.fixture
def folding(folder: Path) -> Iterator[Client]:
    """A door over a copy of its own that folds; a question waits for that, however busy the machine is."""
    with served(folder, settings=Settings(fresh_seconds=60.0)) as made:
        yield made


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A door that the tests of a module share, and only read through."""
    with served(copied(tmp_path_factory.mktemp("read") / "shop")) as made:
        yield made
