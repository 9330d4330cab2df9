"""Credits are what their definitions say, by a second way to each; a change adds up, factor by factor."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from shopkeeper.journeys.differences import explained, factors, shares
from shopkeeper.journeys.methods import METHODS, Touches
from shopkeeper.journeys.methods.markov import removal

NAMES = 4


def touches(*paths):
    """Paths as (names, converted, value)."""
    return Touches(np.concatenate([np.full(len(names), row) for row, (names, *_) in enumerate(paths)]),
                   np.concatenate([np.array(names) for names, *_ in paths]), np.array([won for _, won, _ in paths]),
                   np.array([value for *_, value in paths], np.float64), NAMES)


def random_paths(seed, n=60):
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, NAMES, rng.integers(1, 6)), bool(rng.random() < 0.4), float(rng.integers(1, 90)))
            for _ in range(n)]


@pytest.mark.parametrize("name", METHODS)
def test_credits_add_up_to_what_the_paths_brought(name):
    paths = random_paths(1)

    found = METHODS[name](touches(*paths))

    assert found.sum(axis=0) == pytest.approx([sum(won for _, won, _ in paths), sum(v for _, won, v in paths if won)])
    assert (found >= 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_where_nothing_converts_nobody_gets_anything(name):
    assert METHODS[name](touches(([0, 1], False, 0.0), ([2], False, 0.0))).tolist() == [[0.0, 0.0]] * NAMES


def test_rules_by_place_share_one_path_as_they_say():
    path = touches(([0, 1, 1, 2], True, 10.0))

    shared = {name: METHODS[name](path)[:, 0].round(3).tolist() for name in ("last", "first", "linear", "position")}

    assert shared == {"last": [0, 0, 1, 0], "first": [1, 0, 0, 0], "linear": [0.25, 0.5, 0.25, 0],
                      "position": [0.4, 0.2, 0.4, 0]}
    assert METHODS["position"](touches(([3], True, 1.0), ([0, 3], True, 1.0)))[:, 0].tolist() == [0.5, 0, 0, 1.5]


def test_shapley_is_the_mean_of_what_a_name_adds_over_all_orders():
    paths = random_paths(2)

    def worth(names):
        return sum(won for path, won, _ in paths if set(path) <= names)

    added = np.zeros(NAMES)
    orders = list(permutations(range(NAMES)))
    for order in orders:
        for place, name in enumerate(order):
            added[name] += worth(set(order[:place + 1])) - worth(set(order[:place]))

    assert METHODS["shapley"](touches(*paths))[:, 0] == pytest.approx(added / len(orders))


def test_a_removal_effect_is_what_a_walk_of_the_chain_loses_without_the_name():
    paths = random_paths(3)
    counts = np.zeros((NAMES + 3, NAMES + 3))  # names, start, won, lost
    start, won, lost = NAMES, NAMES + 1, NAMES + 2
    for names, converted, _ in paths:
        walk = [start, *names, won if converted else lost]
        for here, there in pairwise(walk):
            counts[here, there] += 1

    def converting(without=None):
        chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        if without is not None:
            chances[:, lost] += chances[:, without]
            chances[:, without] = 0
        here = np.eye(NAMES + 3)[start]
        done = 0.0
        for _ in range(3_000):
            here = here @ chances
            done += here[won]
            here[[won, lost]] = 0
        return done

    effects = [1 - converting(name) / converting() for name in range(NAMES)]

    assert removal(touches(*paths)) == pytest.approx(effects)


def test_a_change_is_the_sum_of_its_factors_also_where_a_group_comes_or_goes():
    rng = np.random.default_rng(4)
    people, often, worth = rng.integers(0, 5, (2, 30)), rng.integers(1, 4, (2, 30)), rng.random((2, 30)) * 9
    counts, total = people * often, people * often * worth

    found = shares(factors(total, counts.astype(float), people.astype(float)))

    assert found.sum(axis=0) == pytest.approx(total[0] - total[1])
    nobody = (people == 0).any(axis=0)
    assert nobody.any()
    assert found[0, nobody] == pytest.approx((total[0] - total[1])[nobody])


def test_the_column_whose_shares_moved_comes_first_and_one_of_a_single_group_is_left_out():
    def row(by, name, later, events):
        return {"by": by, "name": name, "later": later, "events": events, "people": events, "value": 0.0}

    counts = [row("device", "m", 0, 50), row("device", "m", 1, 50),
              row("device", "d", 0, 50), row("device", "d", 1, 50),
              row("country", "DE", 0, 50), row("country", "DE", 1, 90), row("country", "FR", 0, 50),
              row("country", "FR", 1, 10), row("source", "file", 0, 100), row("source", "file", 1, 100)]

    found = explained(counts, "events", dict.fromkeys(("device", "country", "source")))

    assert [(one["by"], one["name"], one["change"]) for one in found] == [
        ("country", "DE", 40), ("country", "FR", -40), ("device", "d", 0), ("device", "m", 0)]
