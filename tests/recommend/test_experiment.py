"""Experiments: who gets which arm, what is logged of it, and what the report says."""

import json

import numpy as np
import pytest

from recommend.posted import DAY, Served, iso
from shopkeeper import recommend
from shopkeeper.errors import BadInput, TooLittleHistory, UnknownName
from shopkeeper.recommend.assignment import QUESTION, Experiment, read_experiments

KEY = b"k" * 32


def test_an_arm_is_kept_and_independent_of_another_experiments():
    one, other = (Experiment("x", QUESTION, "installed", "plain", 0.3, salt, 0) for salt in ("first", "second"))
    people = [f"c_{number:024d}" for number in range(4_000)]

    arms = np.asarray([one.arm(person, KEY) == "b" for person in people])
    others = np.asarray([other.arm(person, KEY) == "b" for person in people])

    assert arms.mean() == pytest.approx(0.3, abs=0.03)
    assert [one.arm(person, KEY) == "b" for person in people] == arms.tolist()
    assert others[arms].mean() == pytest.approx(0.3, abs=0.06)


def test_an_experiment_is_started_once_stopped_and_remembered(small_learned, copy_of):
    shop = copy_of(small_learned)
    assert recommend.start_experiment(shop, dry_run=True).table["status"].to_pylist() == ["would start"]
    assert read_experiments(shop) == ()

    assert recommend.start_experiment(shop, experiment="one").table["status"].to_pylist() == ["running"]
    with pytest.raises(BadInput, match="experiment one runs"):
        recommend.start_experiment(shop, experiment="two")
    assert recommend.stop_experiment(shop).table["status"].to_pylist() == ["ended"]
    assert recommend.stop_experiment(shop).table.num_rows == 0

    assert [one.stopped is not None for one in read_experiments(shop)] == [True]
    with pytest.raises(BadInput, match="there was an experiment 'one' before"):
        recommend.start_experiment(shop, experiment="one")


def test_what_makes_no_sense_is_refused(small):
    with pytest.raises(BadInput, match="is no name for an experiment"):
        recommend.start_experiment(small, experiment="No Name", dry_run=True)
    for wrong in ({"share": 0.0}, {"days": 0}, {"a": "plain"}):
        with pytest.raises(BadInput):
            recommend.start_experiment(small, compared=recommend.Compared(**wrong), dry_run=True)
    with pytest.raises(UnknownName, match="no method 'magic'"):
        recommend.start_experiment(small, compared=recommend.Compared(b="magic"), dry_run=True)
    with pytest.raises(UnknownName, match="there is no experiment 'x'"):
        recommend.experiment(small, experiment="x")
    assert recommend.experiment(small).table.num_rows == 0


def test_each_arm_is_answered_by_its_own_method_and_the_report_reads_what_was_logged(small_learned, copy_of):
    shop = copy_of(small_learned)
    recommend.start_experiment(shop, experiment="x", compared=recommend.Compared("installed", "plain"))
    served = Served(shop)
    served.wall = max(served.wall, read_experiments(shop)[0].start + DAY)
    served.live.refresh(served.view())
    people = [f"p{number}" for number in range(600)]

    shown = [served.live.next_items(person, n=3) for person in people]
    arms = [one.record["treatment"] for one in shown]

    methods = {arm: {json.loads(one.body)["method"] for one in shown if one.record["treatment"] == arm} for arm in "ab"}
    assert methods["b"] == {"popular"}
    assert {one.record["propensity"] for one in shown} == {0.5}
    told = [json.loads(one.body) for one in shown]
    assert [one["experiment"] for one in told] == [{"name": "x", "arm": arm, "propensity": 0.5} for arm in arms]
    assert all(f"arm {arm}, answered by {one['method']}" in " ".join(one["notes"])
               for one, arm in zip(told, arms, strict=True))
    with pytest.raises(TooLittleHistory):
        recommend.experiment(served.view(), experiment="x")

    served.log_exposures()
    buyers = [place for place, arm in enumerate(arms) if place % (2 if arm == "b" else 10) == 0]
    first, served.wall = served.wall, served.wall + 9 * DAY
    served.post(*({"event": "purchase", "event_id": f"o{place}", "ts": iso(first + DAY), "order_id": f"o{place}",
                   "item_id": "i-000001", "customer_id": people[place]} for place in buyers),
                {"event": "page_view", "event_id": "late", "ts": iso(first + 8 * DAY), "customer_id": "ann"})
    served.fold()
    report = recommend.experiment(served.view(), within=7)

    rows = {row["arm"]: row for row in report.table.to_pylist()}
    assert {arm: rows[arm]["people"] for arm in "ab"} == {arm: arms.count(arm) for arm in "ab"}
    assert sum(row["converted"] for row in rows.values()) == len(buyers)
    assert report.parts["verdict"]["verdict"].to_pylist() == ["b is better"]
    served.close()
