"""The process in whose children the fault runs start their commands."""

import pytest

from faults.harness import Nursery


@pytest.fixture
def nursery(tmp_path):
    made = Nursery(tmp_path / "nursery")
    yield made
    made.close()
