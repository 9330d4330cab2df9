"""By Shapley values: the mean of what a name adds, over all orders in which names could join.

A set of names is worth the conversions of all paths that it contains wholly. Such a game is a sum of games of one set
each, so its Shapley values have a closed form: each path is shared equally by its different names.

Source:
    Shapley (1953), A value for n-person games; Zhao, Mahboobi, Bagheri (2018), Shapley value methods for attribution
    modeling in online advertising, section 3.
"""

import numpy as np

from shopkeeper.journeys.methods.base import Floats, Touches


def credit(touches: Touches) -> Floats:
    """(names, 2) conversions and value by name."""
    key = touches.path * touches.names + touches.name
    _, first = np.unique(key, return_index=True)
    once = np.zeros(len(key))
    once[first] = 1.0
    different = np.bincount(touches.path, once, len(touches.converted))
    return touches.shared(once / different[touches.path])
