"""A process that takes files in, in children of its own, so that a test can kill one at any moment.

It reads a JSON line an import (`shop`, `file`), answers with the child's pid, and, once it is told to look, with
`killed` or `ended`. It opens no engine itself, so that each child begins clean.
"""

import importlib
import json
import os
import sys

from shopkeeper.shop import Shop


def main():
    for name in ("duckdb", "pyarrow.parquet", "pyarrow.compute", "shopkeeper.warehouse.segments",
                 "cryptography.hazmat.primitives.ciphers.aead"):
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            Shop.open(order["shop"]).ingest(order["file"])
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    main()
