import json
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shopkeeper.events.props import joined, props, together

names = st.text(min_size=1, max_size=5)
texts = st.text(max_size=6).map(str.strip)


@settings(deadline=None)
@given(st.dictionaries(names, st.lists(texts | st.none(), min_size=3, max_size=3), max_size=4))
def test_left_over_texts_come_back_verbatim_from_valid_json(columns):
    made = props({name: pa.array(cells, pa.string()) for name, cells in columns.items()}, 3).to_pylist()

    for row in range(3):
        expected = {name: cells[row] for name, cells in columns.items() if cells[row]}
        assert (json.loads(made[row]) if made[row] else {}) == expected


def test_the_order_of_columns_does_not_matter():
    one, two = pa.array(["x"]), pa.array(["y"])

    assert props({"b": one, "a": two}, 1).to_pylist() == props({"a": two, "b": one}, 1).to_pylist() == [
        '{"a":"y","b":"x"}']


def test_numbers_and_truths_stay_what_they_are_and_money_is_text():
    cells = {"f": pa.array([1.5]), "i": pa.array([7]), "t": pa.array([True]), "m": pa.array([Decimal("1.50")])}

    assert props(cells, 1).to_pylist() == ['{"f":1.5,"i":7,"m":"1.50","t":true}']


objects = st.dictionaries(st.sampled_from("abcd"), texts, min_size=1).map(lambda one: json.dumps(one))


@settings(deadline=None)
@given(st.lists(st.tuples(objects | st.none(), objects | st.none()), min_size=1, max_size=5))
def test_two_objects_become_one_and_nothing_is_lost(pairs):
    made = together(pa.array([one for one, _ in pairs], pa.string()), pa.array([two for _, two in pairs], pa.string()),
                    "items.").to_pylist()

    for (one, two), both in zip(pairs, made, strict=True):
        first, second = (json.loads(text) if text else {} for text in (one, two))
        expected = first | {f"items.{name}" if name in first else name: value for name, value in second.items()}
        assert (json.loads(both) if both else {}) == expected


def test_joining_leaves_nulls_out_and_keeps_rows_of_nulls():
    assert joined([pa.array([None, "a", None]), pa.array(["b", "c", None])], ", ").to_pylist() == ["b", "a, c", None]
