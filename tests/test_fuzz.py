"""The fuzzing run has a target for each reader and each dialect, and holds the account to its promises."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from pages import ROOT
from shopkeeper.events.dialects import DIALECTS
from shopkeeper.events.readers.sources import FORMATS


@pytest.fixture(scope="module")
def run() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "fuzz"))
    import run as found

    yield found
    sys.path.remove(str(ROOT / "fuzz"))


def test_there_is_a_target_for_every_form_of_file_and_every_dialect(run: ModuleType) -> None:
    names = [target.name for target in run.targets()]
    assert {f"reader:{form}" for form in FORMATS} <= set(names)
    assert {one for one in DIALECTS if not any(name.startswith(f"dialect:{one}") for name in names)} == set()


@pytest.mark.parametrize("name", ["reader:cells", "reader:xlsx", "dialect:ga4-export", "said:shopify-orders"])
def test_spoiled_files_leave_the_account_exact(run: ModuleType, name: str) -> None:
    target = next(target for target in run.targets() if target.name == name)
    assert sum(run.attack_once(target, 6, 1).values()) >= 6


