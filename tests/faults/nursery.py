"""A process that runs commands in children of its own: what a command imports is imported once, here.

It reads a JSON line an order (`words` of the command line, `faults` for `points.py`, `out`: a file for what it prints),
answers with the child's pid and, once it is told to look, with the exit code; a child that was killed has -9. The
parent never opens an engine, so each child begins clean.
"""

import importlib
import json
import os
import sys
from contextlib import suppress

MODULES = """duckdb pyarrow pyarrow.parquet pyarrow.compute pyarrow.json ibis ibis.backends.duckdb numpy msgspec redis
    cryptography.hazmat.primitives.ciphers.aead starlette.applications uvicorn uvloop httptools rich.console
    shopkeeper.shop shopkeeper.warehouse.segments shopkeeper.warehouse.collector shopkeeper.warehouse.folding
    shopkeeper.warehouse.compaction shopkeeper.warehouse.backup shopkeeper.doors.cli shopkeeper.doors.consume
    shopkeeper.doors.http.app shopkeeper.doors.http.server shopkeeper.doors.http.service shopkeeper.ledger
    shopkeeper.recommend.live shopkeeper.trends""".split()


def child(order):
    from faults import points
    from shopkeeper.doors.cli import main

    to = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(to, 1)
    os.dup2(to, 2)
    if order["faults"]:
        os.environ["FAULTS"] = json.dumps(order["faults"])
        points.install()
    return main(order["words"])


def run():
    for name in MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                code = child(order)
            except BaseException as wrong:
                import traceback

                traceback.print_exception(wrong)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    run()
