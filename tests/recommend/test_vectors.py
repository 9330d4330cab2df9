"""Vectors: near is alike, by the network where one serves, else by a decomposition; two runs give the same."""

import numpy as np
import pytest

from shopkeeper import Shop, recommend
from shopkeeper.errors import UnknownName
from shopkeeper.evidence import NotLearned
from shopkeeper.recommend import questions
from shopkeeper.recommend.desk import Desk
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.sequence import SequenceNetwork, SequenceParams


def test_items_that_the_same_people_want_lie_near_each_other(small):
    answer = recommend.vectors(small)
    log = read_log(small)
    codes = dict(zip(log.items.ids(), log.codes.tolist(), strict=True))
    same = [np.mean([codes[other] == codes[name] for other, _ in answer.nearest(name, 5)]) for name in codes]
    base = np.mean([np.mean([codes[other] == codes[name] for other in codes]) for name in codes])

    assert answer.method == "svd"
    assert np.mean(same) > 1.5 * base


def test_two_runs_give_the_same_points_and_a_place_on_the_map_each(small):
    one, other = recommend.vectors(small, of="customers", n=50), recommend.vectors(small, of="customers", n=50)

    assert one.table.equals(other.table)
    assert one.table.num_rows == 50
    assert len(one.picture()["data"]["values"]) == 50


def test_where_a_network_serves_its_vectors_are_given(small, monkeypatch):
    log = read_log(small)
    tiny = SequenceParams(width=8, layers=1, heads=2, window=20, epochs=1)
    fitted = SequenceNetwork(tiny).fit(log.interactions, log.now + 1, tiny)
    served = Desk(fitted, log.items, NotLearned("recommend.next_items", "sequence"))
    monkeypatch.setattr(questions, "desk", lambda *_: served)

    items, customers = (recommend.vectors(small, of=of, n=20) for of in ("items", "customers"))

    assert items.method == "sequence"
    assert items.array().shape == customers.array().shape == (20, 8)
    assert np.array_equal(items.array(), fitted.reader.items[log.items.rows(items.table["id"])])


def test_an_id_without_a_vector_is_refused(small):
    with pytest.raises(UnknownName, match="has no vector here"):
        recommend.vectors(small, n=3).nearest("nothing")


def test_one_item_and_few_people_are_no_crash():
    shop = Shop.simulated(customers=3, items=2, days=3)

    assert recommend.vectors(shop).table.num_rows >= 1
