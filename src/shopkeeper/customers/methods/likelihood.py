"""The search for the likeliest parameters: on a part of the customers first, then a few steps on all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]
Loss = Callable[[Floats], tuple[float, Floats]]  # parameters (p,) -> mean loss of a customer, gradient (p,)

STEPS = 12       # of Newton, at most
NEAR = 1e-5      # length of the last step: the next one would be shorter by as much again
BOUND = 12.0     # of a logarithm of a parameter, either way


def least(loss: Loss, start: Floats) -> Floats:
    """The parameters of the least loss, by L-BFGS."""
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-BOUND, BOUND)] * len(start),
                              options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9})
    return np.asarray(found.x)


def curvature(loss: Loss, at: Floats, step: float = 1e-4) -> Floats:
    """(p, p) second derivatives of the loss, by central differences of its gradient."""
    rows = [(loss(at + one)[1] - loss(at - one)[1]) / (2 * step) for one in np.eye(len(at)) * step]
    found = np.stack(rows)
    return np.asarray((found + found.T) / 2)


def polished(loss: Loss, start: Floats, bend: Floats) -> Floats:
    """The parameters of the least loss near a good start, by Newton's steps with a curvature that is held fixed.

    Args:
        loss: Over all customers.
        start: What a part of them gave.
        bend: (p, p) curvature of that part's loss.
    """
    at, before = start, np.inf
    for _ in range(STEPS):
        value, slope = loss(at)
        if not np.isfinite(value) or value > before + 1e-9 or np.linalg.eigvalsh(bend)[0] <= 0:
            break
        step = np.linalg.solve(bend, slope)
        at, before = at - step, value
        if np.abs(step).max() < NEAR:
            return at
    return least(loss, start)
