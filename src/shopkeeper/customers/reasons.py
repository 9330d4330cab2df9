"""What raises a chance, in words: one sentence for each feature that a way may look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from shopkeeper.customers.methods.features import MEMORY
from shopkeeper.customers.methods.risk import SILENT
from shopkeeper.words import Sentence, say

Worded = Callable[[float], Sentence]
Spanned = Callable[[float, int], Sentence]

_ONE: Mapping[str, Worded] = {
    "days since the first purchase": lambda x: (
        say("has bought here for {days:,.0f} days", days=x) if x < MEMORY else
        say("has bought here for {days:,.0f} days or longer", days=x)),
    "purchases": lambda x: say("{n:,.0f} purchases in a year", n=x),
    "usual gap": lambda x: say("usually buys every {days:,.0f} days", days=x),
    "silence in usual gaps": lambda x: say("silent for {n:,.1f} times the usual gap", n=x),
    "unevenness of gaps": lambda x: say("gaps between purchases differ by {share:.0%} of their mean", share=x),
    "last gap": lambda x: (say("the last two purchases lie {days:,.0f} days apart", days=x) if x else
                           say("bought once in a year")),
    "purchases a day": lambda x: say("{n:,.1f} purchases a month", n=30 * x),
    "money": lambda x: say("spent {money:,.0f} in a year", money=x),
    "money a purchase": lambda x: say("spends {money:,.0f} a purchase", money=x),
    "last purchase beside the usual": lambda x: say("the last purchase was {share:.0%} of the usual one", share=x),
    "items a purchase": lambda x: say("{n:,.1f} items a purchase", n=x),
    "orders a purchase": lambda x: say("{n:,.1f} orders on a day of purchase", n=x),
    "money given back": lambda x: say("{money:,.0f} was given back in a year", money=x),
    "days since the last visit": lambda x: (say("last visited {days:,.0f} days ago", days=x) if x < MEMORY else
                                            say("no visit in a year")),
    "expected purchases": lambda x: say("{n:,.2f} purchases are expected", n=x),
    "chance to be a customer still": lambda x: say("still a customer with a chance of {share:.0%}", share=x),
}
_SPANS: Mapping[str, Spanned] = {
    "purchases": lambda x, days: say("{n:,.0f} purchases in {days:,} days", n=x, days=days),
    "money": lambda x, days: say("spent {money:,.0f} in {days:,} days", money=x, days=days),
    "visits": lambda x, days: say("active on {n:,.0f} of the last {days:,} days", n=x, days=days),
    "views": lambda x, days: say("looked at {n:,.0f} items in {days:,} days", n=x, days=days),
    "carts": lambda x, days: say("put {n:,.0f} items into a cart in {days:,} days", n=x, days=days),
    "searches": lambda x, days: say("searched {n:,.0f} times in {days:,} days", n=x, days=days),
    "nothing": lambda x, days: say("searched {n:,.0f} times in vain in {days:,} days", n=x, days=days),
}


def worded(what: str, value: float, usual: float) -> Sentence:
    """A feature and its value in words.

    Args:
        what: Name of the feature.
        value: What it is of a customer.
        usual: Days that usually lie between their purchases.

    Raises:
        KeyError: There is no such feature.

    >>> str(worded(SILENT, 43.0, 20.2)), str(worded("purchases in 90 days", 0.0, 20.2))
    ('last bought 43 days ago, usually buys every 20', '0 purchases in 90 days')
    """
    if what == SILENT:
        return say("last bought {days:,.0f} days ago, usually buys every {usual:,.0f}", days=value, usual=usual)
    if what in _ONE:
        return _ONE[what](value)
    span = re.fullmatch(r"(\w+) in (\d+) days", what)
    if span is None:
        raise KeyError(what)
    return _SPANS[span[1]](value, int(span[2]))
