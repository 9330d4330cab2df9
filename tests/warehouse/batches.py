"""Numbered batches of a small log, each with new events, duplicates of the batch before, a conflict and a reject."""

from shopkeeper.shop import Shop

NEW, AGAIN = 40, 10
TIME = 1_700_000_000_000_000


def event(number, item="i"):
    return {"event_id": f"e{number:05d}", "event": "view_item", "ts": f"2023-05-{number % 28 + 1:02d}T10:00:00Z",
            "customer_id": f"person {number % 7}", "item_id": f"{item}{number % 5}"}


def ids(number):
    """The events that batch `number` (from 0) is the first to bring."""
    return {f"e{one:05d}" for one in range(number * NEW, (number + 1) * NEW)}


def batch(number):
    """The records of batch `number`; what becomes of them is `ACCOUNT` from the second batch on."""
    first = number * NEW
    again = [event(one) for one in range(max(0, first - AGAIN), first)]
    bad = [{**event(first), "event_id": "no-time", "ts": None}]
    other = [event(first - 1, "other")] if number else []
    return [event(one) for one in range(first, first + NEW)] + again + bad + other


def ingest(shop, number):
    """Take a batch in; its account."""
    return Shop.open(shop).ingest(batch(number), received_at=TIME)
