"""How many examples hypothesis tries: a quarter, 25 at least; or all, with SHOPKEEPER_EXAMPLES=full."""

import os

FULL = os.environ.get("SHOPKEEPER_EXAMPLES") == "full"


def bounded(full: int) -> int:
    """Of so many, how many are tried.

    >>> FULL or (bounded(400), bounded(60), bounded(6)) == (100, 25, 6)
    True
    """
    return full if FULL else max(full // 4, min(full, 25))
