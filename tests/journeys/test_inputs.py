"""What the engine counts is what the definitions say, event by event; and it is said in Spark's words, too."""

import statistics

import pytest

from journeys import plain
from journeys.plain import DAY, Did, acts, numbered, random_log
from shopkeeper.journeys import inputs
from shopkeeper.journeys.asks import Span
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.warehouse.manifest import Manifest

STEPS = [("a",), ("b",), ("c",)]
ALL = Span(None, 2**53)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return CompilingEngine(tmp_path_factory.mktemp("empty"), Manifest())


def counted(engine, log, steps, seconds, order, by=None):
    rows = engine.run(inputs.funnel(acts(log), steps, seconds, order, by)).to_pylist()
    return {(row["name"], row["step"]) if by else row["step"]: row for row in rows}


@pytest.mark.parametrize("order", ["ordered", "any", "strict"])
def test_a_funnel_counts_what_its_definition_says_on_logs_full_of_ties(engine, order):
    log = random_log(seed=1, people=150)

    found = counted(engine, log, STEPS, 2 * DAY, order)
    right = plain.funnel(log, STEPS, 2 * DAY, order)

    assert {step: row["people"] for step, row in found.items()} == {step: len(took) for step, took in right.items()}
    assert len(right[2]) > 3
    for step, took in right.items():
        assert found[step]["middle"] == pytest.approx(statistics.median(took))


def test_a_kind_that_stands_in_two_steps_never_counts_one_event_twice(engine):
    log = random_log(seed=2, people=120, kinds="abx", ticks=400)
    steps = [("a",), ("b", "a"), ("a",)]

    found = counted(engine, log, steps, 3 * DAY, "ordered")

    assert {step: row["people"] for step, row in found.items()} == {
        step: len(took) for step, took in plain.funnel(log, steps, 3 * DAY, "ordered").items()}


def test_one_event_alone_is_one_step_of_a_funnel_that_asks_for_it_twice(engine):
    log = numbered([Did("ann", "a", 0), Did("bob", "a", 0), Did("bob", "a", 0)])

    found = counted(engine, log, [("a",), ("a",)], DAY, "ordered")

    assert [found[step]["people"] for step in (0, 1)] == [2, 1]


def test_the_latest_first_step_counts_and_the_window_is_closed_on_both_sides(engine):
    log = numbered([Did("ann", "a", 0), Did("ann", "a", DAY), Did("ann", "b", 2 * DAY),
                    Did("bob", "a", 0), Did("bob", "b", DAY + 1)])

    found = counted(engine, log, [("a",), ("b",)], DAY, "ordered")

    assert found[1]["people"] == 1
    assert found[1]["middle"] == DAY


def test_groups_are_those_of_the_first_step_and_add_up_to_everybody(engine):
    log = [*random_log(seed=3, people=60), Did("zoe", "a", 0, "z1", None, None)]

    groups = counted(engine, log, STEPS, 2 * DAY, "ordered", "device")
    whole = counted(engine, log, STEPS, 2 * DAY, "ordered")
    first = {who: min((one for one in events if one.event == "a"), key=lambda one: (one.at, one.id)).device
             for who, events in plain.by_person(log).items() if any(one.event == "a" for one in events)}

    assert {name: row["people"] for (name, step), row in groups.items() if step == 0} == {
        name: list(first.values()).count(name) for name in set(first.values())}
    for step, row in whole.items():
        assert row["people"] == sum(one["people"] for (_, at), one in groups.items() if at == step)


def test_who_dropped_is_named_with_the_visit_in_which_it_happened(engine):
    log = numbered([Did("ann", "a", 0, session="s1"), Did("ann", "a", 50, session="s2"),
                    Did("bob", "a", 10, session="s3"), Did("bob", "b", 20, session="s4"),
                    Did("cat", "a", 0, session="s5"), Did("cat", "b", 1, session="s6"), Did("cat", "c", 2)])

    found = engine.run(inputs.dropped(acts(log), STEPS, DAY, "ordered", 5)).to_pylist()

    assert [(row["step"], row["who"], row["session_id"]) for row in found] == [(0, "ann", "s2"), (1, "bob", "s4")]


@pytest.mark.parametrize("unit, zone", [("day", "Asia/Shanghai"), ("week", "America/New_York"), ("month", "UTC")])
def test_retention_counts_what_its_definition_says_in_the_shop_s_days(engine, unit, zone):
    log = random_log(seed=4, people=80, span=70 * DAY, ticks=300)
    numbers = inputs.Calendar(unit, zone, min(one.micros for one in log), max(one.micros for one in log))
    brackets = [(0, 0), (1, 2), (3, 9)] if unit == "week" else []

    rows = engine.run(inputs.retention(acts(log), ["a"], ["b", "c"], numbers, span=ALL, by=None, brackets=brackets))

    assert {(row["what"], row["cohort"], row["unit"]): row["people"] for row in rows.to_pylist()} == plain.retention(
        log, ["a"], ["b", "c"], unit, zone, brackets)


def test_midnight_is_that_of_the_shop_s_zone(engine):
    """Twelve noon UTC is eight in the evening in Shanghai: five hours later it is tomorrow there, and today in UTC."""
    log = numbered([Did("ann", "a", 0), Did("ann", "b", 5 * 3_600)])
    ends = [one.micros for one in log]

    found = {}
    for zone in ("UTC", "Asia/Shanghai"):
        numbers = inputs.Calendar("day", zone, min(ends), max(ends))
        rows = engine.run(inputs.retention(acts(log), ["a"], ["b"], numbers, span=ALL, by="device"))
        found[zone] = [row["unit"] for row in rows.to_pylist() if row["what"] == "on"]

    assert found == {"UTC": [0], "Asia/Shanghai": [1]}


def test_a_hundred_thousand_kinds_of_event_are_counted_like_few(engine):
    log = numbered([Did(f"p{n}", f"k{n}", n % 7, session=f"s{n}") for n in range(100_000)]
                   + [Did("p7", "last", 9, session="s7")])

    rows = acts(log)

    found = engine.run(inputs.paths(rows.mutate(session=rows.session_id), "event", ["k7"], 2, forward=True, by=None))

    assert found.num_rows == 100_000 + 1 + 1  # a move out of each kind, the last one's, and the path
    path = next(row for row in found.to_pylist() if row["what"] == "path")
    assert (path["step0"], path["step1"], path["step2"], path["visits"]) == ("k7", "last", None, 1)


def test_paths_are_what_a_walk_through_each_visit_gives(engine):
    log = [Did(one.who, one.event, one.at, one.id, one.who, one.device) for one in random_log(seed=5, people=80)]
    rows = acts(log)

    found = engine.run(inputs.paths(rows.mutate(session=rows.session_id), "event", ["b"], 2, forward=False, by=None))

    right = {}
    for events in plain.by_person(log).values():
        line = [one.event for one in sorted(events, key=lambda one: (one.at, one.id))]
        walk = [here for place, here in enumerate(line) if place == 0 or line[place - 1] != here]
        if "b" in walk:
            at = walk.index("b")
            path = tuple(walk[at - k] if at >= k else None for k in range(3))
            right[path] = right.get(path, 0) + 1
    assert {(row["step0"], row["step1"], row["step2"]): row["visits"] for row in found.to_pylist()
            if row["what"] == "path"} == right
