"""Sessions: the expression is equal to the numpy form, and given names stay."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import bounded
from shopkeeper.events.schema import EVENTS
from shopkeeper.events.sessions import sessions_of
from shopkeeper.warehouse.engine import CompilingEngine
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.sessions import sessions
from warehouse.made import NOON

MINUTE = 60_000_000


def sessions_by_expression(rows, tmp_path, gap=30):
    """(n,) the session of each row, by the engine."""
    import ibis

    engine = CompilingEngine(tmp_path, Manifest())
    full = [{"event_id": f"e{n:04d}", "line": 0, "event": "view_item", **row} for n, row in enumerate(rows)]
    events = ibis.memtable(pa.Table.from_pylist(full, schema=EVENTS))
    found = engine.run(sessions(events, gap).order_by("event_id"))
    assert found.schema.names == [*EVENTS.names, "session"]
    return found["session"].to_pylist()


def same_parts(left, right):
    """Two labellings divide the rows alike."""
    return len(set(zip(left, right, strict=True))) == len(set(left)) == len(set(right))


@settings(max_examples=bounded(25), deadline=None)
@given(visits=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), min_size=1, max_size=40),
       gap=st.integers(1, 60))
def test_the_expression_divides_events_as_the_arrays_do(tmp_path_factory, visits, gap):
    who, minute = (np.array(part, dtype=np.int64) for part in zip(*visits, strict=True))
    rows = [{"customer_id": f"c{one}", "ts": NOON + at * MINUTE} for one, at in visits]

    by_engine = sessions_by_expression(rows, tmp_path_factory.mktemp("shop"), gap)

    assert same_parts(by_engine, sessions_of(who, NOON + minute * MINUTE, gap * MINUTE).tolist())


def test_thirty_minutes_of_silence_are_one_session_and_a_microsecond_more_are_two(tmp_path):
    rows = [{"customer_id": "c", "ts": NOON}, {"customer_id": "c", "ts": NOON + 30 * MINUTE},
            {"customer_id": "c", "ts": NOON + 60 * MINUTE + 1}]

    assert sessions_by_expression(rows, tmp_path) == ["c#1", "c#1", "c#2"]


def test_a_given_session_stays_and_nobody_has_none(tmp_path):
    rows = [{"customer_id": "c", "session_id": "theirs", "ts": NOON}, {"customer_id": "c", "ts": NOON + MINUTE},
            {"anonymous_id": "a", "ts": NOON}, {"ts": NOON}, {"ts": NOON + MINUTE}]

    assert sessions_by_expression(rows, tmp_path) == ["theirs", "c#1", "a#1", None, None]
