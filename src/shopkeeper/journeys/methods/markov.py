"""By what would be lost without a name: removal effects in a Markov chain of the first order.

A path is a walk from start over its touches to conversion or to nothing. Without a name, whoever would come to it goes
to nothing. The effect of removing it is the share of the conversions that are lost; effects are scaled to add up to 1.

Source:
    Anderl, Becker, von Wangenheim, Schumann (2016), Mapping the customer journey, International Journal of Research in
    Marketing 33(3).
"""

import numpy as np

from shopkeeper.journeys.methods.base import Floats, Touches

MOST_NAMES = 500  # the chain is solved by one dense inverse


def removal(touches: Touches) -> Floats:
    """(names,) share of all conversions that is lost without each name; 0 where nothing converts.

    The chance to convert without ever coming to a name is the chance to convert, less the chance ever to come to it
    times the chance to convert from there; both follow from the chain's fundamental matrix.
    """
    moves, start, won = chain(touches)
    visits = np.linalg.inv(np.eye(touches.names) - moves)   # (names, names) expected visits to j from i
    convert = visits @ won                                  # (names,) chance to convert from each
    whole = float(start @ convert)
    if whole <= 0:
        return np.zeros(touches.names)
    reach = (start @ visits) / np.diag(visits)              # (names,) chance ever to come there
    return np.asarray(reach * convert / whole, dtype=np.float64)


def chain(touches: Touches) -> tuple[Floats, Floats, Floats]:
    """The chain: (names, names) chances of the next touch, (names,) of the first, (names,) of a conversion next."""
    n, place, length = touches.names, touches.place, touches.length[touches.path]
    last = place == length - 1
    counts = np.bincount(touches.name[:-1][~last[:-1]] * n + touches.name[1:][~last[:-1]], minlength=n * n)
    out = np.maximum(np.bincount(touches.name, minlength=n), 1)
    start = np.bincount(touches.name[place == 0], minlength=n) / max(len(touches.converted), 1)
    won = np.bincount(touches.name[last & touches.converted[touches.path]], minlength=n) / out
    return counts.reshape(n, n) / out[:, None], start, won


def credit(touches: Touches) -> Floats:
    """(names, 2) conversions and value by name: all of them, in proportion to the removal effects."""
    effect = removal(touches)
    share = effect / effect.sum() if effect.sum() > 0 else effect
    whole = np.array([touches.converted.sum(), (touches.converted * touches.value).sum()])
    return np.asarray(share[:, None] * whole, dtype=np.float64)
