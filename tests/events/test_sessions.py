"""Sessions by silence, against a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shopkeeper.events.sessions import sessions_of


def by_loop(who, when, gap):
    numbers, last, number = [0] * len(who), {}, -1
    for row in sorted(range(len(who)), key=lambda row: (who[row], when[row], row)):
        if who[row] not in last or when[row] - last[who[row]] > gap:
            number += 1
        last[who[row]] = when[row]
        numbers[row] = number
    return numbers


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-50, 50)), max_size=30), st.integers(0, 20))
def test_sessions_are_those_of_a_loop_in_any_order_of_events(visits, gap):
    who, when = [one for one, _ in visits], [at for _, at in visits]

    numbers = sessions_of(np.array(who, dtype=np.int64), np.array(when, dtype=np.int64), gap)

    assert numbers.tolist() == by_loop(who, when, gap)


def test_events_of_two_people_never_share_a_session():
    assert sessions_of(np.array([1, 2]), np.array([0, 0])).tolist() == [0, 1]
