"""Simulated shops with known truth, made once a session and shared. What a test changes, it changes in a copy."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from examples import bounded
from faults.harness import BOOKS, FULL
from shopkeeper.learn import learn
from shopkeeper.shop import Shop
from shopkeeper.simulate import SimulationConfig, simulate

settings.register_profile("bounded", max_examples=bounded(100))
settings.load_profile("bounded")
PLANTED = {"customers": 400, "items": 160, "days": 150, "seed": 7}


@pytest.fixture(scope="session")
def planted():
    """What `learned` was made from: its log, its tables and the truth behind them."""
    return simulate(SimulationConfig(**PLANTED))


@pytest.fixture(scope="session")
def learned():
    """A shop of 400 customers and 160 items over 150 days, with every question learned. Only read it."""
    shop = Shop.simulated(**PLANTED)
    learn(shop)
    return shop


@pytest.fixture(scope="session")
def small():
    """A shop of 150 customers and 50 items over 70 days; nothing has been learned. Only read it."""
    return Shop.simulated(customers=200, items=80, days=70)


@pytest.fixture(scope="session")
def small_learned(small, tmp_path_factory):
    """The shop of `small` with every question learned. Only read it."""
    shop = copied(small, tmp_path_factory.mktemp("small") / "shop")
    learn(shop)
    return shop


@pytest.fixture
def copy_of(tmp_path):
    """A function that copies a shop to a place of the test's own."""
    return lambda shop, name="copy": copied(shop, tmp_path / name)


def copied(shop: Shop, place: Path) -> Shop:
    shutil.copytree(shop.path, place)
    return Shop.open(place, create=False)


def pytest_collection_modifyitems(items):
    """Files with tests that take long come first: whoever shares files out among processes has none left at the end."""
    long = {item.path for item in items if any(item.iter_markers("slow")) or any(item.iter_markers("outside"))}
    items.sort(key=lambda item: item.path not in long)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["books"] = BOOKS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    BOOKS.update(getattr(node, "workeroutput", {}).get("books", {}))


def pytest_terminal_summary(terminalreporter):
    """The books of the fault runs, of all processes: what was tried and what was found, as one JSON object."""
    if BOOKS:
        terminalreporter.write_line(json.dumps({"name": "faults", "protocol": "full" if FULL else "bounded share",
                                                "figures": BOOKS}))


def pytest_make_parametrize_id(config, val, argname):
    """Bytes can hold a clock or a nonce: a case of a test has the same name in every process that runs some of them."""
    return argname if isinstance(val, bytes) else None
