"""Items that lie in the same basket: neighbours with no step beyond the basket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from shopkeeper.recommend.methods.base import Interactions, Meta
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursFitted, NeighboursParams

__all__ = ["Together", "TogetherFitted"]


class Together(Neighbours):
    """What goes with what: links within one basket only, symmetric, weighed against how common both items are.

    Source:
        Deshpande, Karypis (2004), Item-Based Top-N Recommendation Algorithms, 4.1.
    """

    name = "together"

    def candidates(self) -> Sequence[NeighboursParams]:
        """From counts that favour common items to lifts that favour particular ones."""
        return [NeighboursParams(ahead=0, share=1.0, keep=100, source=0.5, damp=1.0, target=target)
                for target in (0.3, 0.6)]

    def fit(self, interactions: Interactions, now: int, params: NeighboursParams) -> TogetherFitted:
        """As `Neighbours.fit`."""
        fitted = super().fit(interactions, now, params)
        return TogetherFitted(fitted.popularity, fitted.links, params)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> TogetherFitted:
        """The inverse of `NeighboursFitted.state`."""
        fitted = super().restore(arrays, meta)
        return TogetherFitted(fitted.popularity, fitted.links, fitted.params)


class TogetherFitted(NeighboursFitted):
    """Links within a basket."""

    name = Together.name
