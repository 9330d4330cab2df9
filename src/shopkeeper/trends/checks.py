"""Names that a question or a rule uses, held against what the shop has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.shop import Shop
from shopkeeper.trends import inputs, settings
from shopkeeper.trends.rules import Series
from shopkeeper.warehouse.channels import CHANNELS
from shopkeeper.words import say

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def series(shop: Shop, wanted: Series) -> None:
    """Refuse a series that names what is not there.

    Raises:
        UnknownName: The kind, the channel or the category.
        BadInput: Money is asked for, and no kind is named.
        MixedCurrencies: Money is asked for, and the log has several currencies.
    """
    if wanted.kind is not None and wanted.kind not in shop.config.roles:
        raise _unknown("kind", wanted.kind, sorted(shop.config.roles))
    if wanted.channel is not None and wanted.channel not in CHANNELS:
        raise _unknown("channel", wanted.channel, CHANNELS)
    if wanted.category is not None:
        told = inputs.read_told(shop.engine, settings.read(shop.path).categories)
        if wanted.category not in (*told, inputs.OTHER):
            raise _unknown("category", wanted.category, (*told, inputs.OTHER))
    if wanted.measure == "value":
        if wanted.kind is None:
            raise BadInput(say("value needs a kind of event."), do=[say("--kind purchase")],
                           why=say("a cart and its order have the same value; together they would count it twice."))
        shop.currency()


def _unknown(what: str, name: str, known: object) -> UnknownName:
    names = ", ".join(str(one) for one in known) if isinstance(known, list | tuple) else ""
    return UnknownName(say("there is no {what} {name}.", what=say("kind") if what == "kind" else say("channel")
                           if what == "channel" else say("category"), name=repr(name)),
                       do=[say("one of: {names}", names=names)], why=say("a name that is not there counts nothing."))


def micros(moment: datetime) -> int:
    """A time as microseconds UTC; UTC where it has no zone."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def at_least_one(n: int) -> None:
    """Refuse a count below 1."""
    if n < 1:
        raise BadInput(say("n is {n}; it must be at least 1.", n=n), do=[say("--n 10")])
