"""A simulated shop, and one answer of every question and every act of the menu over it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from customers.made import buyers
from shopkeeper import Shop
from shopkeeper.asking import Answer
from shopkeeper.menu import MENU, Entry, call
from shopkeeper.warehouse.identity import pairs


@lru_cache(maxsize=1)
def shop() -> Shop:
    """A small shop, with a few records in quarantine."""
    made = Shop.simulated(customers=120, items=40, days=60)
    made.ingest([buyers(end=made.now())], name="older")
    made.ingest([{"event": "view_item", "ts": "2026-02-01T10:00:00", "customer_id": "c", "event_id": "no-item"},
                 {"event": "view_item", "ts": "sometime", "customer_id": "c", "item_id": "i", "event_id": "no-time"}])
    from shopkeeper import customers, trends

    customers.save_segment(made, "sales", "purchases >= 1")
    trends.save_alert(made, "sales", rule=trends.Rule(kind="purchase"), force=True)
    return made


@lru_cache(maxsize=1)
def names() -> dict[str, Any]:
    """A customer and items that the shop knows."""
    events = shop().engine.run(shop().events().filter(lambda t: t.event == "purchase").select(
        "customer_id", "item_id", "anonymous_id"))
    bought = [row for row in events.to_pylist() if row["customer_id"] and row["item_id"] and row["anonymous_id"]]
    joined = pairs(shop().events().filter(lambda t: t.customer_id == bought[0]["customer_id"]))
    return {"anonymous": shop().engine.run(joined)["anonymous_id"][0].as_py(), "name": "sales",
            "webhook": "https://example.com/x", "rule": "purchases >= 2",
            "import_id": shop().manifest.imports[-1].id,
            "customer": bought[0]["customer_id"], "item": bought[0]["item_id"],
            "items": tuple(dict.fromkeys(row["item_id"] for row in bought))[:2]}


def values(entry: Entry) -> dict[str, Any]:
    """What must be given, and a small `n`."""
    given = {parameter.name: names()[parameter.name] for parameter in entry.parameters() if parameter.required}
    return given | ({"n": 3} if any(parameter.name == "n" for parameter in entry.parameters()) else {})


def asked() -> list[Entry]:
    """The entries that doors read off."""
    return [entry for entry in MENU if not entry.by_hand]


@lru_cache(maxsize=64)
def ask(name: str) -> Answer:
    """The answer of an entry (`room.name`); acts as dry runs."""
    entry = next(entry for entry in asked() if f"{entry.room}.{entry.name}" == name)
    dry = {"dry_run": True} if entry.mark().kind == "act" else {}
    return call(entry.function(), shop(), values(entry) | dry)


def every_answer() -> dict[str, Answer]:
    """Answers by `room.name`, after learning; and of an import that was looked at and not made."""
    from shopkeeper import learn, ledger

    before = {f"{entry.room}.{entry.name}, nothing learned": ask(f"{entry.room}.{entry.name}") for entry in asked()
              if entry.room in {*learn.ROOMS, "learn"}}  # the others answer as they will
    learn.learn(shop())
    ask.cache_clear()
    after = {f"{entry.room}.{entry.name}": ask(f"{entry.room}.{entry.name}") for entry in asked()}
    record = {"event": "view_item", "ts": "2026-02-01T10:00:00", "customer_id": "c", "item_id": "i", "color": "red"}
    return before | after | {"ledger.ingest": ledger.ingest(shop(), [[record]], dry_run=True)}
