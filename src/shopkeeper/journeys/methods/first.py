"""All to the first touch within the window."""

from shopkeeper.journeys.methods.base import Floats, Touches


def credit(touches: Touches) -> Floats:
    """(names, 2) conversions and value by name."""
    return touches.shared((touches.place == 0).astype(float))
