"""Shops whose segments a test lays by hand: so many rows at such times, past the entrance."""

import hashlib

import numpy as np
import pyarrow as pa

from shopkeeper.events.pseudonyms import Keys
from shopkeeper.warehouse import index
from shopkeeper.warehouse.segments import Cutter
from shopkeeper.warehouse.store import make_folder
from shopkeeper.warehouse.tables import STORED

DAY = 86_400_000_000
TODAY = 1_700_000_000_000_000 // DAY * DAY  # 2023-11-14
KEYS = Keys(b"p" * 32, b"v" * 32)


def rows_at(times, name, received=TODAY + 10**12):
    """Rows of the event table, one an event, in the order of their times (microseconds UTC), received at one time."""
    ids = [f"{name}-{number}" for number in range(len(times))]
    columns = {"event_id": ids, "line": np.zeros(len(ids), np.int32), "event": ["view_item"] * len(ids),
               "ts": pa.array(np.sort(np.asarray(times, np.int64)), pa.timestamp("us")),
               "received_at": pa.array(np.full(len(ids), received), pa.timestamp("us")),
               "customer_id": [f"c_{number % 7}" for number in range(len(ids))],
               "digest": pa.array([hashlib.blake2b(one.encode(), digest_size=16).digest() for one in ids],
                                  pa.binary(16)),
               "file": [f"{name}.csv"] * len(ids), "source_line": np.arange(len(ids))}
    return pa.table({field.name: pa.array(columns[field.name], field.type) if field.name in columns
                     else pa.nulls(len(ids), field.type) for field in STORED}, schema=STORED)


def lay(store, folds, received=None):
    """Commit segments, a name and its rows' times each, in one step; the index knows of them, too.

    `received` says when each came, for who wants to know.
    """
    with store.write("test") as writer:
        manifest, folder = writer.manifest, store.path / "segments" / ".staging-laid"
        make_folder(folder)
        segments, keys, bodies = [], [], []
        for number, (name, times) in enumerate(folds):
            rows = rows_at(times, name) if received is None else rows_at(times, name, received[number])
            segments += Cutter(store.path, folder, name).all(rows.to_reader())
            keys.append(index.event_keys(rows.column("event_id"), np.zeros(len(rows), np.int32), KEYS.pseudonym))
            bodies.append(index.bodies(rows.column("digest")))
        folder.rmdir()
        run = index.write_run(store.path, folds[0][0], np.concatenate(keys), np.concatenate(bodies), KEYS.pseudonym)
        runs = index.extended(store.path, manifest.index, run, f"{folds[0][0]}-merged", KEYS.pseudonym)
        return writer.commit(type(manifest)(**{**vars(manifest), "index": runs,
                                               "segments": (*manifest.segments, *segments)}))


def folds(rng, count, rows, late=0.01, days=365, first=0):
    """Folds of an open log, one after the other within a day: most rows are new, a few lie anywhere in the past."""
    for number in range(first, first + count):
        now = TODAY + number * 5_000_000
        times = now - rng.integers(0, 5_000_000, rows)
        old = rng.random(rows) < late
        times[old] -= rng.integers(0, days * DAY, int(old.sum()))
        yield f"fold{number:05d}", times
