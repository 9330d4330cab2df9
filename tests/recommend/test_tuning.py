"""A search for settings: bounded, resumed, never on the test window; what it found competes like any other."""

from dataclasses import asdict, dataclass

import numpy as np
import pytest

from shopkeeper.errors import MissingExtra
from shopkeeper.recommend import trials, tuning
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.base import Ranking
from shopkeeper.recommend.methods.buy_again import BuyAgain
from shopkeeper.recommend.trials import WITHIN, _windows
from shopkeeper.recommend.tuning import SPACES, Sitting, kept, search


@pytest.fixture(scope="module")
def log(small):
    return read_log(small)


@dataclass(frozen=True)
class Aim:
    """How far from 3."""

    half_life: float = 90.0


class Aiming(Ranking):
    """Better the nearer its setting is to 30; notes the latest time that it was fitted for."""

    name = "buy_again"
    latest = 0

    def __init__(self):
        super().__init__(np.ones(1, np.float32))

    def candidates(self):
        return [Aim()]


def nearness(method, params, log, cases, split):
    method.latest = max(method.latest, split.test_until)
    return 1.0 / (1.0 + abs(np.log(params.half_life / 30.0)))


def searched(log, folder, method, minutes=0.05):
    contest = trials.CONTESTS["recommend.next_items"]
    return search(log, [method], contest.cases, nearness, Sitting(minutes, folder, WITHIN))


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(tuning, "SPACES", {"buy_again": {"half_life": SPACES["buy_again"]["half_life"]}})


@pytest.mark.usefixtures("narrow")
def test_a_search_finds_what_is_better_and_never_looks_at_the_window_that_compares(log, tmp_path):
    method = Aiming()
    (found,) = searched(log, tmp_path, method)

    assert 20 < found.params["half_life"] < 45
    assert found.value > found.default
    assert method.latest <= _windows(log, "recommend.next_items")[1].test_from
    assert kept(tmp_path) == (found,)


@pytest.mark.usefixtures("narrow")
def test_a_second_search_goes_on_where_the_first_one_ended(log, tmp_path):
    (first,) = searched(log, tmp_path, Aiming(), minutes=0.01)
    (second,) = searched(log, tmp_path, Aiming(), minutes=0.01)

    assert second.tried > first.tried
    assert second.value >= first.value


def test_what_was_found_competes_beside_the_settings_that_a_method_has_by_itself(log):
    good = tuning.Tuned("buy_again", asdict(BuyAgain().candidates()[2]) | {"half_life": 77.0}, 1.0, 0.0, 3, {})
    settings = trials._settings(trials.CONTESTS["recommend.next_items"], BuyAgain(), [good])

    assert len(settings) == len(BuyAgain().candidates()) + 1
    assert settings[-1].half_life == 77.0


def test_without_optuna_a_search_is_refused_by_name(log, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="needs optuna"):
        searched(log, tmp_path, Aiming())


def test_a_file_of_findings_that_cannot_be_read_counts_as_none(tmp_path):
    (tmp_path / "found.json").write_text("{", encoding="utf-8")

    assert kept(tmp_path) == ()
