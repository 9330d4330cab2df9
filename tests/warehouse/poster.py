"""A process that posts events to a shop, folds now and then, and says which events it was told are stored."""

import json
import os
import sys

from warehouse.posted import folded, opened, posted, view


def main(path, start):
    shop, collector = opened(path)
    for number in range(int(start), int(start) + 10_000):
        names = [f"e{number}", f"e{max(0, number - 1)}", f"f{number}"]
        ticket = collector.take(posted(*(view(name) for name in names)))
        collector.flush()
        assert ticket.quarantined == 0
        os.write(1, (json.dumps(names) + "\n").encode())
        if number % 7 == 6:
            folded(shop, collector)


if __name__ == "__main__":
    main(*sys.argv[1:])
