"""How many examples hypothesis tries: a quarter of the full number, or all with SHOPKEEPER_EXAMPLES=full."""

import os

FULL = os.environ.get("SHOPKEEPER_EXAMPLES") == "full"


def bounded(full: int) -> int:
    """Of so many, how many are tried.

    >>> FULL or (bounded(400), bounded(25), bounded(6)) == (100, 10, 6)
    True
    """
    return full if FULL else max(full // 4, min(full, 10))
