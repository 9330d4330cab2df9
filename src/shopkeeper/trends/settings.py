"""What the room may be told in `shop.toml`: the section `[trends]`.

    [trends]
    minutes_days = 3                   # how long counts by minute are kept in memory
    hours_days = 400                   # and counts by hour
    categories = 30                    # so many top categories are told apart; the others count as `other`
    allow_webhooks = ["127.0.0.1/32"]  # private networks to which a webhook may be delivered; none by default
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shopkeeper.errors import BadInput
from shopkeeper.words import say

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Settings:
    """The section `[trends]` of `shop.toml`.

    Attributes:
        minutes_days: Days for which counts by minute are kept, from the shop's clock back.
        hours_days: Days for which counts by hour are kept.
        categories: Top categories that are told apart; the others count as `other`.
        allow_webhooks: Networks that are not public and to which webhooks may go all the same.
    """

    minutes_days: int = 3
    hours_days: int = 400
    categories: int = 30
    allow_webhooks: tuple[Network, ...] = ()


_RANGES = {"minutes_days": (1, 60), "hours_days": (7, 4000), "categories": (1, 500)}


def read(shop_folder: Path) -> Settings:
    """The settings of a shop's folder; the defaults where `shop.toml` says nothing.

    Raises:
        BadInput: A value makes no sense.
    """
    path = shop_folder / "shop.toml"
    given = tomllib.loads(path.read_text("utf-8")).get("trends", {})
    if not isinstance(given, Mapping):
        raise _wrong(path, "trends", given)
    known = {name: given[name] for name in _RANGES if name in given}
    for name, value in known.items():
        low, high = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(path, name, value)
    return Settings(**known, allow_webhooks=_networks(path, given.get("allow_webhooks", [])))


def _networks(path: Path, given: Any) -> tuple[Network, ...]:
    if not isinstance(given, list):
        raise _wrong(path, "allow_webhooks", given)
    try:
        return tuple(ipaddress.ip_network(str(one)) for one in given)
    except ValueError as wrong:
        raise _wrong(path, "allow_webhooks", given) from wrong


def _wrong(path: Path, name: str, value: object) -> BadInput:
    return BadInput(say("{path} says {name} = {value}.", path=str(path), name=name, value=repr(value)),
                    do=[say("minutes_days from 1 to 60, hours_days from 7 to 4000, categories from 1 to 500, and "
                            "allow_webhooks a list of networks such as 10.0.0.0/8.")],
                    why=say("what is counted and where alerts may go stands there."))
