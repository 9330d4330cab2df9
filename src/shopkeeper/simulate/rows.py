"""Event rows as arrays, and how they become the event table.

A day is made as blocks: each block is some columns of some rows of one kind. Blocks are stacked, put in order, given
times, and turned into Arrow once. A column that a block does not give is empty in its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.schema import EVENTS
from shopkeeper.simulate.population import Floats, Ints, Mask

KINDS = ("page_view", "sign_up", "search", "view_item_list", "select_item", "view_item", "add_to_cart",
         "remove_from_cart", "coupon_apply", "begin_checkout", "purchase", "refund", "review", "offer", "price_change")
KIND = {name: row for row, name in enumerate(KINDS)}
SEARCH, RECOMMENDED, CATEGORY = 0, 1, 2      # rows of the lists that are shown; category c is CATEGORY + c
COUPON = "HELLO10"
SOURCES = (                                  # referrer, utm_source, utm_medium, utm_campaign
    (None, None, None, None),
    ("https://www.google.com/", None, None, None),
    ("https://www.google.com/", "google", "cpc", "brand"),
    ("https://www.instagram.com/", "instagram", "social", None),
    (None, "newsletter", "email", "weekly"),
)
COLUMNS = ("event_id", "line", "event", "ts", "customer_id", "anonymous_id", "session_id", "item_id", "quantity",
           "price", "list_price", "list_id", "position", "request_id", "query", "results", "order_id", "currency",
           "value", "coupon", "campaign_id", "treatment", "propensity", "rating", "text", "url", "referrer",
           "utm_source", "utm_medium", "utm_campaign", "country", "device")
SCHEMA = pa.schema([EVENTS.field(name) for name in COLUMNS])
CLIENT = ("user_agent", "ip_prefix")         # stand behind the others where the shop is told who asks from where

# Column of a row -> its value where a block does not give it. -1 means nothing; 0 units, rating or position too.
_EMPTY: Mapping[str, int] = {
    "visit": -1, "key": 0, "line": 0, "kind": 0, "item": -1, "units": 0, "price": -1, "list_price": -1, "list": -1,
    "position": 0, "request": -1, "query": -1, "results": -1, "order": -1, "value": -1, "coupon": -1, "treatment": -1,
    "rating": 0, "text": -1}
Block = dict[str, Any]


@dataclass(frozen=True)
class Visits:
    """Who comes on a day, and how; arrays of (v,). What happens without a session (a review) is a visit of its own.

    Attributes:
        person: Row of the customer, or of the customer whose tastes and budget a visitor shares.
        browser: Number of the browser: the row for a customer's own, n_customers + number for a visitor's; -1 for none.
        kind: BUY, BROWSE, VISITOR or ALONE (an event outside any session).
        known: The customer is logged in.
        start: Seconds after midnight in the shop's zone.
        source: Row of SOURCES.
        discount: Share off every price in this visit.
        coupon: The discount is a public coupon's.
    """

    person: Ints
    browser: Ints
    kind: Ints
    known: Mask
    start: Floats
    source: Ints
    discount: Floats
    coupon: Mask

    @property
    def n(self) -> int:
        """How many visits."""
        return len(self.person)

    @classmethod
    def of(cls, person: Ints, kind: int, start: Floats, **given: Any) -> Visits:
        """Visits of customers by their own browsers, logged in, from nowhere, without a discount, unless given."""
        n = len(person)
        usual: dict[str, Any] = {"browser": person, "known": np.ones(n, bool), "source": np.zeros(n, np.int64),
                                 "discount": np.zeros(n), "coupon": np.zeros(n, bool)}
        return cls(person=person, kind=np.full(n, kind), start=start, **{**usual, **given})

    @classmethod
    def stack(cls, parts: Sequence[Visits]) -> Visits:
        """Several groups of visits as one."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


BUY, BROWSE, VISITOR, ALONE = 0, 1, 2, 3


@dataclass
class Numbers:
    """The running numbers from which ids are made; they only grow."""

    events: int = 0
    sessions: int = 0
    orders: int = 0
    requests: int = 0
    visitors: int = 0
    machines: int = 0  # apart from the visitors: a person comes again under her own name, not under that of a bot

    def take(self, name: str, n: int) -> Ints:
        """The next n numbers of a kind.

        >>> Numbers(orders=3).take("orders", 2).tolist()
        [3, 4]
        """
        first = getattr(self, name)
        setattr(self, name, first + n)
        return np.arange(first, first + n)


@dataclass(frozen=True)
class Names:
    """The texts that rows point to.

    Attributes:
        items, lists, queries, texts, treatments: Arrow arrays of strings.
        country, device: The same, one for each customer.
        currency: ISO 4217.
        client: `user_agent` and `ip_prefix`, the same, one for each customer; empty where nobody asked for them.
    """

    items: Any
    lists: Any
    queries: Any
    texts: Any
    treatments: Any
    country: Any
    device: Any
    currency: str
    client: Mapping[str, Any] = field(default_factory=dict)


def stack(blocks: Sequence[Block]) -> Block:
    """Blocks as one, every column filled; propensity is a number or nan."""
    sizes = [len(block["visit"]) for block in blocks]
    out: Block = {}
    for name, empty in _EMPTY.items():
        parts = [np.broadcast_to(block.get(name, empty), (size,)) for block, size in zip(blocks, sizes, strict=True)]
        out[name] = np.concatenate(parts).astype(np.int64)
    parts = [np.broadcast_to(block.get("propensity", np.nan), (size,))
             for block, size in zip(blocks, sizes, strict=True)]
    out["propensity"] = np.concatenate(parts).astype(np.float64)
    return out


def in_order(rows: Block, visits: Visits, rng: np.random.Generator) -> Block:
    """The rows by time, with `second` (after midnight) and `event` (number within the day) added.

    A visit's events follow its start by half a minute each, exponential; no visit runs past midnight, as it starts
    earlier then. Lines of one event share its time.
    """
    order = np.lexsort((rows["line"], rows["key"], rows["visit"]))
    rows = {name: values[order] for name, values in rows.items()}
    head = rows["line"] == 0
    event = np.cumsum(head) - 1
    visit = rows["visit"][head]
    waits = np.minimum(1.0 + rng.exponential(28.0, len(visit)), 600.0)
    first = np.flatnonzero(np.r_[True, visit[1:] != visit[:-1]]) if len(visit) else np.zeros(0, np.int64)
    total = np.cumsum(waits)
    count = np.diff(np.r_[first, len(visit)])
    since = total - np.repeat(total[first], count)
    length = np.repeat(since[np.r_[first[1:] - 1, len(visit) - 1]], count) if len(visit) else since
    second = np.maximum(np.minimum(visits.start[visit], 86_399.0 - length), 0.0) + since
    place = np.empty(len(second), np.int64)
    place[np.argsort(second, kind="stable")] = np.arange(len(second))
    rows["second"], rows["event"] = second[event], place[event]
    order = np.argsort(rows["event"], kind="stable")
    return {name: values[order] for name, values in rows.items()}


def to_table(rows: Block, visits: Visits, names: Names, midnight: int, numbers: Numbers) -> Any:
    """Rows in order as the event table, with ids from the running numbers.

    Args:
        rows: What `in_order` gave.
        visits: The visits that the rows point to.
        names: The texts that they point to.
        midnight: When the day began, microseconds since 1970, UTC.
        numbers: Running numbers; moved on.

    Returns:
        A `pyarrow.Table` of `SCHEMA`, and of the columns of `CLIENT` where names has them.
    """
    n_events = int((rows["line"] == 0).sum())
    ids = numbers.take("events", n_events)[rows["event"]] if n_events else rows["event"]
    columns = {
        "event_id": numbered("e-", ids, 9), "line": rows["line"].astype(np.int32),
        "event": pa.array(KINDS).take(pa.array(rows["kind"])),
        "ts": pa.array(midnight + (rows["second"] * 1e6).astype(np.int64)).cast(pa.timestamp("us")),
        **_people(rows, visits, numbers, len(names.country)), **_things(rows, names), **_page(rows, visits, names),
    }
    return pa.table({name: columns[name] for name in (*COLUMNS, *names.client)})


def _people(rows: Block, visits: Visits, numbers: Numbers, n_customers: int) -> Block:
    in_session = visits.kind != ALONE
    session = np.full(visits.n, -1)
    session[in_session] = numbers.take("sessions", int(in_session.sum()))
    customer = np.where(visits.known, visits.person, -1)
    own = visits.browser < n_customers
    browser = np.where(own, visits.browser, visits.browser - n_customers)
    at = rows["visit"]
    prefix = pa.array(["v-", "d-"]).take(pa.array(own.astype(np.int64)))
    made = pc.binary_join_element_wise(prefix, numbered("", browser, 7), "")
    return {"customer_id": numbered("c-", customer, 6).take(_at(at)), "anonymous_id": made.take(_at(at)),
            "session_id": numbered("s-", session, 8).take(_at(at))}


def _things(rows: Block, names: Names) -> Block:
    money = (rows["price"] >= 0) | (rows["value"] >= 0)
    return {
        "item_id": names.items.take(_at(rows["item"])),
        "quantity": pa.array(rows["units"].astype(np.float64), mask=rows["units"] == 0),
        "price": cents(rows["price"]), "list_price": cents(rows["list_price"]), "value": cents(rows["value"]),
        "currency": pa.array([names.currency]).take(_at(np.where(money, 0, -1))),
        "list_id": names.lists.take(_at(rows["list"])),
        "position": pa.array(rows["position"], mask=rows["position"] == 0),
        "request_id": numbered("r-", rows["request"], 8), "query": names.queries.take(_at(rows["query"])),
        "results": pa.array(rows["results"], mask=rows["results"] < 0), "order_id": numbered("o-", rows["order"], 7),
        "coupon": pa.array([COUPON]).take(_at(rows["coupon"])),
        "campaign_id": pa.array(["policy"]).take(_at(np.minimum(rows["treatment"], 0))),
        "treatment": names.treatments.take(_at(rows["treatment"])),
        "propensity": pa.array(rows["propensity"], mask=np.isnan(rows["propensity"])),
        "rating": pa.array(rows["rating"].astype(np.float64), mask=rows["rating"] == 0),
        "text": names.texts.take(_at(rows["text"])),
    }


def _page(rows: Block, visits: Visits, names: Names) -> Block:
    """Where a visit came from stands on its first page; country and device on everything that a browser did."""
    first = rows["kind"] == KIND["page_view"]
    source = np.where(first, visits.source[rows["visit"]], -1)
    looks = np.where(visits.browser >= 0, visits.person, -1)[rows["visit"]]
    out = {name: pa.array([row[k] for row in SOURCES], pa.string()).take(_at(source))
           for k, name in enumerate(("referrer", "utm_source", "utm_medium", "utm_campaign"))}
    return {**out, "url": pa.array(["/"]).take(_at(np.where(first, 0, -1))),
            **{name: values.take(_at(looks)) for name, values in names.client.items()},
            "country": names.country.take(_at(looks)), "device": names.device.take(_at(looks))}


def numbered(prefix: str, numbers: Ints, width: int) -> Any:
    """(n,) ids such as "o-0000012"; null where the number is below 0.

    >>> numbered("o-", np.array([12, -1]), 4).to_pylist()
    ['o-0012', None]
    """
    digits = pc.utf8_lpad(pa.array(numbers, mask=numbers < 0).cast(pa.string()), width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "") if prefix else digits


def cents(values: Ints) -> Any:
    """(n,) decimal(18,4) from cents; null where the number is below 0.

    >>> cents(np.array([1999, -1])).to_pylist()
    [Decimal('19.9900'), None]
    """
    words: npt.NDArray[np.int64] = np.zeros((len(values), 2), np.int64)     # 128 bits, the low word first
    words[:, 0] = np.maximum(values, 0) * 100
    valid = pa.array(values >= 0).buffers()[1]
    return pa.Array.from_buffers(pa.decimal128(18, 4), len(values), [valid, pa.py_buffer(words)])


def _at(rows: Ints) -> Any:
    """Places to take from; null where below 0."""
    return pa.array(rows, mask=rows < 0)
