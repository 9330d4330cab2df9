"""Items that lie in the same basket: neighbours with no step beyond the basket."""

from __future__ import annotations

from collections.abc import Sequence

from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams

__all__ = ["Together"]


class Together(Neighbours):
    """What goes with what: links within one basket only, symmetric, weighed against how common both items are.

    Source:
        Deshpande, Karypis (2004), Item-Based Top-N Recommendation Algorithms, 4.1.
    """

    def candidates(self) -> Sequence[NeighboursParams]:
        """From counts that favour common items to lifts that favour particular ones."""
        return [NeighboursParams(ahead=0, share=1.0, keep=100, source=0.5, damp=1.0, target=target)
                for target in (0.3, 0.6)]
