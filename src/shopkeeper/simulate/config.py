"""What a simulated shop is like: one small record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shopkeeper.errors import BadInput
from shopkeeper.words import say


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """The size and the character of a simulated shop.

    Attributes:
        customers: Customers with an account, counting those who join within the span.
        items: Items, counting those that arrive within the span.
        days: Length of the log, in days.
        seed: The same seed gives the same shop, event by event.
        start: First day of the log, ISO 8601, in `timezone`.
        currency: ISO 4217 code of every price.
        timezone: IANA name; habits (hour, weekday) are kept in this zone, the log is in UTC.
        categories: Leaf categories, at most 24; never more than there are items.
        visitors: Sessions a day of visitors who never log in, for each customer.
        interval: Median days between a customer's purchases.
        leaving: Share of customers who leave some day; the others never do.
        life: Scale of the time until those leave, in days (Weibull, shape 1.4).
        arrivals: Share of items that arrive after the first day.

    Raises:
        BadInput: A number is out of its range, or the start, zone or currency cannot be read.

    >>> SimulationConfig(customers=50, days=10).first_day
    datetime.date(2026, 1, 5)
    """

    customers: int = 500
    items: int = 300
    days: int = 120
    seed: int = 7
    start: str = "2026-01-05"
    currency: str = "EUR"
    timezone: str = "UTC"
    categories: int = 12
    visitors: float = 0.3
    interval: float = 12.0
    leaving: float = 0.5
    life: float = 180.0
    arrivals: float = 0.2

    def __post_init__(self) -> None:
        for name in ("customers", "items", "days", "categories"):
            _check(name, getattr(self, name), 1, 24 if name == "categories" else 100_000_000)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("interval", self.interval, 1, 365)
        _check("life", self.life, 1, 36_500)
        _check("visitors", self.visitors, 0, 1_000)
        for name in ("leaving", "arrivals"):
            _check(name, getattr(self, name), 0, 1)
        _check_texts(self)

    @property
    def first_day(self) -> date:
        """The first day of the log, in `timezone`."""
        return date.fromisoformat(self.start)

    @property
    def zone(self) -> tzinfo:
        """The zone in which people keep their habits."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def midnight(self, day: int) -> int:
        """When a day of the log begins: microseconds since 1970, UTC.

        >>> SimulationConfig(timezone="Asia/Shanghai").midnight(0) - SimulationConfig().midnight(0)
        -28800000000
        """
        at = date.fromordinal(self.first_day.toordinal() + day)
        return int(datetime(at.year, at.month, at.day, tzinfo=self.zone).timestamp()) * 1_000_000


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.",
                           name=name, value=value, low=low, high=high))


def _check_texts(config: SimulationConfig) -> None:
    try:
        first = config.first_day
    except (ValueError, TypeError):
        raise BadInput(say("{start} is not a day.", start=repr(config.start)), do=[say("start=2026-01-05")]) from None
    if first.year < 1971 or first.toordinal() + config.days > date(2099, 1, 1).toordinal():
        raise BadInput(say("the simulated days must lie between 1971 and 2098."), do=[say("start=2026-01-05")])
    try:
        assert config.zone is not None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(say("{zone} is not a time zone that this machine knows.", zone=repr(config.timezone)),
                       do=[say("timezone=Europe/Berlin")]) from None
    if not (len(config.currency) == 3 and config.currency.isascii() and config.currency.isupper()):
        raise BadInput(say("{currency} is not a three-letter ISO 4217 code.", currency=repr(config.currency)),
                       do=[say("currency=EUR")])
