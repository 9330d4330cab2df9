"""A process that ingests batches in children of its own, so that a test can kill one at any moment.

It reads one JSON line a batch from its standard input: `shop`, `batch`, `stepwise`; where the batch is null, the child
compacts the shop instead, until nothing is due. It answers with the child's pid.
A stepwise child says `step NAME` before each write, fsync and rename, and waits for a line; of another it is told when
to look after it. At last comes `killed` or `ended`. The parent never opens an engine, so each child begins clean.
"""

import importlib
import json
import os
import sys
import tempfile
from contextlib import suppress

import pyarrow.parquet as pq

from shopkeeper.warehouse.compaction import compact
from shopkeeper.warehouse.store import Store
from warehouse.batches import ingest
from warehouse.logs import KEYS


def tell(text):
    os.write(1, f"{text}\n".encode())


def heard():
    line = b""
    while not line.endswith(b"\n"):
        got = os.read(0, 1)
        if not got:
            os._exit(0)
        line += got
    return line.decode()


def announced(name, function):
    """The function, with a word before each call and a wait for the answer."""
    def call(*args, **kwargs):
        tell(f"step {name}")
        heard()
        return function(*args, **kwargs)
    return call


def child(order):
    if order["stepwise"]:
        os.fsync, os.replace = announced("fsync", os.fsync), announced("replace", os.replace)
        pq.ParquetWriter.write_table = announced("write", pq.ParquetWriter.write_table)
    if order["batch"] is None:
        while compact(Store(order["shop"]), KEYS) is not None:
            continue
    else:
        ingest(order["shop"], order["batch"])


def warm_up():
    """Import whatever an import needs, as a first child finds out, so that no later child has to."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        with tempfile.TemporaryDirectory() as folder:
            ingest(f"{folder}/shop", 0)
        os.write(writing, " ".join(sys.modules).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as names:
        for name in names.read().split():
            with suppress(ImportError):
                importlib.import_module(name)
    os.wait()


def main():
    warm_up()
    while True:
        order = json.loads(heard())
        pid = os.fork()
        if pid == 0:
            tell(os.getpid())
            try:
                child(order)
            except BaseException as wrong:
                print(repr(wrong), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        if not order["stepwise"]:
            heard()  # the child stays unreaped until then, so that its pid is nobody else's
        _, status = os.waitpid(pid, 0)
        tell("killed" if os.WIFSIGNALED(status) else "ended")


if __name__ == "__main__":
    main()
