"""Rules of segments: what they say is what they do, person by person; what is no rule is refused by what is wrong."""

from datetime import timedelta

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.errors import BadInput
from shopkeeper.warehouse import groups
from shopkeeper.warehouse.conditions import Joined, Not, Unknown, read
from shopkeeper.warehouse.groups import COLUMNS, View

ZONE = "Asia/Shanghai"


@pytest.fixture(scope="module")
def view(small):
    zone = (ZONE, small.manifest.first, small.manifest.last)
    return View.at(small.events(), small.config.roles, zone, small.now())


@pytest.fixture(scope="module")
def facts(small, view):
    return small.engine.run(groups.facts(view))


@pytest.fixture(scope="module")
def people(facts):
    return {row["person"]: row for row in facts.to_pylist()}


def by_hand(shop, today):
    """The same facts, event by event, in plain Python."""
    rows = shop.engine.run(shop.events().order_by(["ts", "event_id", "line"])).to_pylist()
    found = {}
    for row in rows:
        who = row["customer_id"] or row["anonymous_id"]
        day = (row["ts"] + timedelta(hours=8)).toordinal() - 719_163
        if who is None or who.startswith("order:"):
            continue
        one = found.setdefault(who, {"days": set(), "orders": set(), "money": 0, "views": 0, "carts": 0, "searches": 0,
                                     "seen": 0, "country": None, "device": None})
        if row["line"] == 0:
            one["seen"] = max(one["seen"], day)
            one["searches"] += row["event"] == "search"
            one["views"] += shop.config.roles[row["event"]] == "interest"
            one["carts"] += shop.config.roles[row["event"]] == "intent"
            one |= {name: row[name] for name in ("country", "device") if row[name] is not None}
            one["money"] += {"purchase": 1, "refund": -1}.get(row["event"], 0) * (row["value"] or 0)
        if row["event"] == "purchase":
            one["days"].add(day)
            one["orders"].add(row["event_id"])
    return {who: {**one, "silent": today - max(one["days"]) if one["days"] else None,
                  "known": today - min(one["days"]) if one["days"] else None, "purchases": len(one["days"]),
                  "orders": len(one["orders"]), "seen": today - one["seen"]} for who, one in found.items()}


def test_what_is_known_of_a_person_is_what_the_log_says_event_by_event(small, view, people):
    right = by_hand(small, view.today)

    assert people.keys() == right.keys()
    for who, row in people.items():
        for name in COLUMNS.keys() - {"money", "each", "channel"}:
            assert row[name] == right[who][name], (who, name)
        assert row["money"] == pytest.approx(float(right[who]["money"]))
        assert row["each"] == (pytest.approx(row["money"] / row["purchases"]) if row["purchases"] else None)


def holds(condition, row):
    """A condition of a row in plain Python; None where it is not known."""
    if isinstance(condition, Not):
        inner = holds(condition.part, row)
        return None if inner is None else not inner
    if isinstance(condition, Unknown):
        return row[condition.column.name] is None
    if isinstance(condition, Joined):
        parts = [holds(part, row) for part in condition.parts]
        strong = condition.by == "or"
        return strong if strong in parts else None if None in parts else not strong
    if hasattr(condition, "values"):
        own = row[condition.column.name]
        return None if own is None else own in condition.values
    left, right = (row[side.name] if hasattr(side, "name") else side for side in (condition.left, condition.right))
    if left is None or right is None:
        return None
    return {"=": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right,
            ">=": left >= right}[condition.sign]


@pytest.mark.parametrize("rule", [
    "purchases >= 2 and silent <= 20", "not (purchases >= 2 and silent <= 20)", "10 < silent <= 40",
    "purchases = 0 or money > 100 and device != 'mobile'", "country in ('DE', 'FR') and not each < 30",
    "silent is unknown and views > 5", "silent > known or purchases = 1 or orders > purchases"])
def test_a_rule_holds_of_exactly_the_people_of_whom_it_says_so(small, facts, people, rule):
    condition, rows = read(rule, COLUMNS), ibis.memtable(facts)

    found = set(small.engine.run(rows.filter(condition.holds(rows)).select("person"))["person"].to_pylist())

    assert found == {who for who, row in people.items() if holds(condition, row)}
    assert 0 < len(found) < len(people)


@pytest.mark.parametrize("rule, what", [
    ("", "it ends too early"), ("purchases >", "it ends too early"), ("purchases", "it ends too early"),
    ("age > 3", "there is no column 'age'"), ("purchases > 'x'", "purchases and 'x' cannot be compared"),
    ("country = 3", "country and 3 cannot be compared"), ("1 = 1", "1 and 1 cannot be compared"),
    ("purchases > 1; drop table events", "'; drop table events' is not understood"),
    ("purchases > 1 or", "it ends too early"), ("(purchases > 1", "it ends too early"),
    ("purchases > 1) ", r"'\)' is not understood"), ("country = 'x", "\"'x\" is not understood"),
    ("country in ()", r"'\)' is not understood"), ("country in (device)", r"'device \)' is not understood"),
    ("not " * 40 + "purchases > 1", "more than 20 brackets lie within each other"),
    ("purchases > 1 " * 100, "it has more than 1,000 characters")])
def test_what_is_no_rule_is_refused_by_what_is_wrong(rule, what):
    with pytest.raises(BadInput, match=f"the rule cannot be read: {what}"):
        read(rule, COLUMNS)


@settings(max_examples=bounded(60))
@given(st.text())
def test_a_text_is_a_value_and_nothing_else(text):
    rule = read("country = '" + text.replace("'", "''") + "'", COLUMNS) if len(text) < 400 else read(
        "country = 'x'", COLUMNS)

    assert len(text) >= 400 or rule.right == text
    assert read(str(rule), COLUMNS) == rule


def test_a_text_with_quotes_reaches_the_engine_as_it_is(small, facts):
    rows = ibis.memtable(facts)
    condition = read("country = ''' or 1 = 1 --'", COLUMNS)

    assert small.engine.run(rows.filter(condition.holds(rows))).num_rows == 0


NAMES = st.sampled_from(sorted(COLUMNS))
LEAVES = NAMES.map(lambda name: f"{name} >= 3" if COLUMNS[name] == "number" else f"{name} in ('a', 'b')")
RULES = st.recursive(LEAVES, lambda part: st.one_of(
    part.map(lambda one: f"not ({one})"), st.tuples(part, st.sampled_from(["and", "or"]), part).map(
        lambda three: f"({three[0]}) {three[1]} ({three[2]})")), max_leaves=6)


@settings(max_examples=bounded(60))
@given(RULES)
def test_a_rule_written_again_reads_the_same(rule):
    found = read(rule, COLUMNS)

    assert read(str(found), COLUMNS) == found
