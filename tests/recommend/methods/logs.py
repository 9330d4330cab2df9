"""Small logs for the tests of methods."""

import numpy as np

from shopkeeper.recommend.methods.base import DAY, Interactions

NOW = 1_000 * DAY


def log_of(*lines, n_customers=None, n_items=None):
    """From lines (customer, item, days before NOW, basket, weight); basket and weight may be left out."""
    full = [(*line, *(number, 1.0)[len(line) - 3:]) for number, line in enumerate(lines)]
    customer, item, ago, basket, weight = zip(*full, strict=True) if full else ((),) * 5
    return Interactions(
        np.array(customer, np.int32), np.array(item, np.int32), NOW - np.array(ago, np.int64) * DAY,
        np.array(basket, np.int64), np.array(weight, np.float32),
        n_customers or max(customer) + 1, n_items or max(item) + 1)
