"""Neighbours: against a plain double loop, and against what was planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from recommend.methods.logs import NOW, log_of
from shopkeeper.errors import BadInput
from shopkeeper.recommend.methods import neighbours
from shopkeeper.recommend.methods.base import Histories
from shopkeeper.recommend.methods.contract import small_log
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.together import Together


def links_plainly(log, params):
    """The oracle: (n_items, n_items) strengths before scaling, by loops over pairs of baskets and of lines."""
    baskets = {}
    for line in range(len(log)):
        weights = baskets.setdefault((log.customer[line], log.basket[line]), [log.when[line], {}])
        weights[0] = min(weights[0], log.when[line])
        held = weights[1]
        held[log.item[line]] = max(held.get(log.item[line], 0.0), float(log.weight[line]))
    order = sorted(baskets, key=lambda key: (key[0], baskets[key][0], key[1]))
    counts, size = np.zeros((log.n_items, log.n_items)), np.zeros(log.n_items)
    for at, key in enumerate(order):
        for i, weight in baskets[key][1].items():
            size[i] += weight
        between = 0
        for step, later in enumerate(order[at:]):
            if later[0] != key[0] or (step and between >= params.ahead):
                break
            between += len(baskets[later][1]) if step else 0
            strength = params.decay ** max(step - 1, 0)
            for i, wi in baskets[key][1].items():
                for j, wj in baskets[later][1].items():
                    counts[i, j] += strength * wi * wj
                    counts[j, i] += params.share * strength * wi * wj if step else 0.0
    np.fill_diagonal(counts, 0.0)
    size = np.maximum(size, 1e-6)
    return counts ** params.damp / size[:, None] ** params.source / size ** params.target


@pytest.mark.parametrize("params", [
    NeighboursParams(), NeighboursParams(ahead=0), NeighboursParams(ahead=2, share=0.0), NeighboursParams(share=1.0),
    NeighboursParams(ahead=5, decay=0.5, damp=1.0, source=0.5, target=0.5),
], ids=["default", "within_basket", "one_way", "symmetric", "cosine"])
@pytest.mark.parametrize("products", [8_000_000, 50], ids=["one_block", "many_blocks"])
def test_links_are_those_of_the_plain_double_loop(params, products, monkeypatch):
    monkeypatch.setattr(neighbours, "_PRODUCTS", products)
    log = small_log(seed=3)

    links = Neighbours().fit(log, NOW, params).links.toarray()

    plain = links_plainly(log, params)
    assert links.max() > 0
    assert np.allclose(links * plain.max() / links.max(), plain, rtol=1e-4)


@settings(max_examples=bounded(30), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 9), st.integers(0, 4)), min_size=2))
def test_links_are_those_of_the_plain_double_loop_on_any_log(lines):
    log, params = log_of(*lines, n_customers=3, n_items=6), NeighboursParams(ahead=3)

    links = Neighbours().fit(log, NOW + 1, params).links.toarray()

    plain = links_plainly(log, params)
    assert np.allclose(links * plain.max(), plain * links.max(), rtol=1e-4)


def test_what_follows_comes_first_and_the_last_step_is_heard_loudest():
    steps = [(customer, item, 50 - place) for customer in range(9) for place, item in enumerate([0, 1, 2])]
    others = [(customer, item, 50 - place) for customer in range(9, 18) for place, item in enumerate([3, 4, 5])]
    fitted = Neighbours().fit(log_of(*steps, *others), NOW, NeighboursParams(ahead=1, share=0.0))

    ranked, _ = fitted.top(Histories.single([3, 0]), NOW, 2)

    assert ranked.tolist() == [[1, 4]]


def test_a_planted_complement_is_the_first_neighbour_of_nine_items_in_ten():
    rng = np.random.default_rng(0)
    lines = []
    for basket in range(3_000):
        first = int(rng.integers(0, 20))
        other = first + 20 if rng.random() < 0.5 else int(rng.integers(0, 40))
        lines += [(basket % 300, first, 10, basket), (basket % 300, other, 10, basket)]

    for params in Together().candidates():
        fitted = Together().fit(log_of(*lines), NOW, params)
        found = [fitted.top(Histories.single([item]), NOW, 1)[0][0, 0] == item + 20 for item in range(20)]
        assert np.mean(found) >= 0.9


def test_reasons_are_the_exact_parts_of_the_score():
    log = small_log()
    fitted = Neighbours().fit(log, NOW, NeighboursParams())
    history = Histories.of(log, [4])
    ranked, scores = fitted.top(history, NOW, 3)

    for item, score, reasons in zip(ranked[0], scores[0], fitted.because(history, ranked[0], NOW), strict=True):
        loud = np.bincount(history.item, fitted.loudness(history), minlength=log.n_items)
        parts = {row: loud[row] * fitted.links[row, item] / score for row in set(history.item.tolist())}
        assert dict(reasons) == pytest.approx({row: part for row, part in parts.items() if part > 0}, rel=1e-5)


def test_only_the_strongest_links_stay():
    full = Neighbours().fit(small_log(), NOW, NeighboursParams())
    kept = Neighbours().fit(small_log(), NOW, NeighboursParams(keep=3))

    assert np.diff(kept.links.indptr).max() == 3
    scale = kept.links.max() / full.links.max()
    assert np.allclose(np.sort(full.links.toarray())[:, -3:] * scale, np.sort(kept.links.toarray())[:, -3:], rtol=1e-5)


def test_repeats_bring_back_what_the_customer_took_and_none_does_not():
    log = log_of((0, 0, 9), (0, 1, 8), (0, 0, 7), (0, 1, 6), (1, 2, 5), (1, 0, 4))

    without = Neighbours().fit(log, NOW, NeighboursParams())
    with_repeats = Neighbours().fit(log, NOW, NeighboursParams(repeats=50))

    assert without.links.diagonal().tolist() == [0.0, 0.0, 0.0]
    assert with_repeats.links.diagonal().min() > 1
    assert with_repeats.top(Histories.of(log, [1]), NOW, 2)[0].tolist() == [[0, 2]]


def test_of_a_very_wide_basket_only_the_heaviest_lines_count():
    wide = [(0, item, 5, 0, 1.0 + (item >= 45)) for item in range(50)]
    fitted = Neighbours().fit(log_of(*wide), NOW, NeighboursParams(widest=5))

    linked = np.flatnonzero(np.diff(fitted.links.indptr))

    assert linked.tolist() == [45, 46, 47, 48, 49]


def test_baskets_long_ago_are_not_heard():
    fitted = Neighbours().fit(small_log(), NOW, NeighboursParams(last=2, recency=0.5))
    history = Histories.single([1, 2, 3, 4], basket=[0, 1, 1, 2])

    assert fitted.loudness(history).tolist() == [0.0, 0.5, 0.5, 1.0]


def test_a_setting_outside_its_limits_is_refused():
    with pytest.raises(BadInput) as refusal:
        NeighboursParams(decay=1.5)

    assert str(refusal.value) == "decay is 1.5; it must lie between 0 and 1."
