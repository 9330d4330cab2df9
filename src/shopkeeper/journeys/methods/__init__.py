"""Ways to share out what was sold among the touches that came before it, the plainest first. All of them describe."""

from collections.abc import Mapping

from shopkeeper.journeys.methods import first, last, linear, markov, position, shapley
from shopkeeper.journeys.methods.base import Method, Touches

METHODS: Mapping[str, Method] = {"last": last.credit, "first": first.credit, "linear": linear.credit,
                                 "position": position.credit, "markov": markov.credit, "shapley": shapley.credit}

__all__ = ["METHODS", "Method", "Touches"]
