"""Chances: stated where they beat the base rate on days not seen before, close to what happened; else refused."""

import numpy as np
import pyarrow.compute as pc
import pytest

from shopkeeper import Shop, recommend
from shopkeeper.recommend.calibration import Chances, calibrated
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.base import DAY
from shopkeeper.recommend.methods.buy_again import BuyAgain
from shopkeeper.recommend.trials import WITHIN, _windows


@pytest.fixture(scope="module")
def log(small):
    return read_log(small)


@pytest.fixture(scope="module")
def stated(log):
    method = BuyAgain()
    return calibrated(log, method, method.candidates()[0], tuple(_windows(log, "recommend.next_items")), repeats=True)


def test_what_is_stated_is_close_to_what_happened_on_later_days(stated):
    curve = stated.curves["conversion"]

    assert curve.skill > 0
    assert curve.ece <= 0.05
    assert stated.within == WITHIN
    assert str(stated.trial.sentence()).startswith("chances beats base-rate by 0.")


def test_a_stronger_act_is_less_likely(stated):
    x = np.array([[-1.0, 1.0, 0.0, 2.0, 1.0, -1.0]])
    by_role = [float(stated.curves[role].chance(x)[0]) for role in ("interest", "intent", "conversion")
               if role in stated.curves]

    assert by_role == sorted(by_role, reverse=True)


def test_chances_survive_json(stated):
    import json

    again = Chances.from_dict(json.loads(json.dumps(stated.to_dict())))

    assert again == stated


def test_the_answer_names_items_roles_and_the_reliability_picture(small_learned):
    person = small_learned.engine.run(small_learned.events().filter(lambda t: t.event == "purchase").select(
        "customer_id").limit(1))["customer_id"][0].as_py()
    answer = recommend.chances(small_learned, person, n=3)

    assert set(answer.table["rank"].to_pylist()) == {1, 2, 3}
    assert all(0 < chance < 1 for chance in answer.table["chance"].to_pylist())
    assert answer.picture()["data"]["values"]


def test_where_nothing_was_learned_the_share_of_people_who_took_the_item_lately_answers():
    shop = Shop.simulated(customers=40, items=20, days=20)
    log, now = read_log(shop), shop.now()
    part = log.interactions
    answer = recommend.chances(shop, "nobody", n=1).table.filter(pc.field("role") == "conversion").to_pylist()[0]
    late = (part.when >= now - WITHIN * DAY) & log.target & (part.item == log.items.row(answer["item_id"]))

    assert answer["chance"] == pytest.approx(
        len(np.unique(part.customer[late])) / len(np.unique(part.customer)), rel=1e-9)
