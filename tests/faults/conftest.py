"""The books of the fault runs: what was tried and what was found, as one JSON object at the end."""

import json

import pytest

from faults.harness import BOOKS, FULL, Nursery


@pytest.fixture
def nursery(tmp_path):
    made = Nursery(tmp_path / "nursery")
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter):
    if BOOKS:
        terminalreporter.write_line(json.dumps({"name": "faults", "protocol": "full" if FULL else "bounded share",
                                                "figures": BOOKS}))
