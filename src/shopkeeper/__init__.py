"""shopkeeper turns what a shop's customers do into what the shop should do.

A shop is a folder; a question takes a shop and gives an answer that carries its evidence. The rooms are imported when
they are first named, so `import shopkeeper` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Shop", "__version__", "customers", "identity", "journeys", "learn", "ledger", "recommend",
           "traffic", "trends"]

_ROOMS = ("customers", "identity", "journeys", "learn", "ledger", "recommend", "traffic", "trends")

if TYPE_CHECKING:
    from shopkeeper import customers, identity, journeys, learn, ledger, recommend, traffic, trends
    from shopkeeper.shop import Shop


def __getattr__(name: str) -> object:
    if name == "Shop":
        return import_module("shopkeeper.shop").Shop
    if name in _ROOMS:
        return import_module(f"shopkeeper.{name}")
    raise AttributeError(f"module 'shopkeeper' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
