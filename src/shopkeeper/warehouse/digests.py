"""Which records are new: the comparison with the past, in SQL of the engine (a hot path that may spill).

Names of the temporary tables: `staged` (the rows of the import, ids final), `verdict` (record -> stored, duplicate or
conflict; only records that are not stored).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.warehouse.engine import parquet


def by_record(table: pa.Table) -> tuple[pa.Table, bool]:
    """Give all rows of a record one digest: of its rows' digests in the order of their lines.

    Args:
        table: Rows with `record` (int64), `line` (int32) and `digest` (binary(16)).

    Returns:
        The table, and whether any record has several rows. A record of one row keeps its digest.
    """
    record = table.column("record").to_numpy()
    found, group, size = np.unique(record, return_inverse=True, return_counts=True)
    if len(found) == len(record):
        return table, False
    own = table.column("digest").to_pylist()
    digest, parts = list(own), {}  # type: ignore[var-annotated]
    for row in np.lexsort((table.column("line").to_numpy(), record)).tolist():
        if size[group[row]] > 1:
            parts.setdefault(int(group[row]), []).append(row)
    for rows in parts.values():
        one = hashlib.blake2b(b"".join(own[row] for row in rows), digest_size=16).digest()
        for row in rows:
            digest[row] = one
    place = table.column_names.index("digest")
    return table.set_column(place, "digest", pa.array(digest, pa.binary(16))), True


def judge(base: Any, staged: str, past: list[str], lined: bool) -> dict[str, int]:
    """Decide about every record of an import.

    Args:
        base: A DuckDB connection.
        staged: The Parquet file of the staged rows.
        past: The Parquet files of all events that were ever stored.
        lined: Some record of the import has several rows.

    Returns:
        How many records are `stored`, `duplicate`, `conflict`; their sum is the number of records staged.
    """
    base.execute(f"CREATE TEMP VIEW raw_staged AS SELECT * FROM {parquet([staged])}")
    _name_repeats(base)
    base.execute("CREATE TEMP TABLE keys AS SELECT event_id, line, record, digest FROM staged")
    if past:  # -1 stands for the past
        base.execute(f"""
            INSERT INTO keys SELECT p.event_id, p.line, -1, p.digest
            FROM {parquet(past)} p
            SEMI JOIN keys k ON p.event_id = k.event_id AND p.line = k.line""")
    base.execute("""
        CREATE TEMP TABLE firsts AS
        SELECT event_id, line, min(record) AS record FROM keys GROUP BY event_id, line HAVING count(*) > 1""")
    base.execute("""
        CREATE TEMP TABLE verdict AS
        WITH bodies AS (SELECT event_id, line, record, digest FROM keys JOIN firsts USING (event_id, line, record))
        SELECT k.record, CASE WHEN bool_and(k.digest = b.digest) THEN 'duplicate' ELSE 'conflict' END AS verdict
        FROM keys k JOIN bodies b ON k.event_id = b.event_id AND k.line = b.line
        WHERE k.record <> b.record GROUP BY k.record""")
    counted = "DISTINCT record" if lined else "*"
    total = base.execute(f"SELECT count({counted}) FROM keys WHERE record >= 0").fetchone()[0]
    base.execute("DROP TABLE keys; DROP TABLE firsts")
    counts = dict(base.execute("SELECT verdict, count(*) FROM verdict GROUP BY verdict").fetchall())
    duplicate, conflict = counts.get("duplicate", 0), counts.get("conflict", 0)
    return {"stored": total - duplicate - conflict, "duplicate": duplicate, "conflict": conflict}


def _name_repeats(base: Any) -> None:
    """A record without an id of its own that comes again in its file is named after its occurrence: `<digest>-1`."""
    base.execute("""
        CREATE TEMP TABLE repeats AS
        WITH heads AS (SELECT DISTINCT source_number, file, event_id, record FROM raw_staged WHERE NOT own_id),
             several AS (SELECT source_number, file, event_id FROM heads GROUP BY ALL HAVING count(*) > 1)
        SELECT record, row_number() OVER (PARTITION BY source_number, file, event_id ORDER BY record) - 1 AS occurrence
        FROM heads SEMI JOIN several USING (source_number, file, event_id)""")
    base.execute("DELETE FROM repeats WHERE occurrence = 0")
    base.execute("""
        CREATE TEMP VIEW staged AS
        SELECT s.* REPLACE (CASE WHEN r.occurrence IS NULL THEN event_id ELSE event_id || '-' || r.occurrence END
                            AS event_id)
        FROM raw_staged s LEFT JOIN repeats r USING (record)""")


def survivors(base: Any, columns: list[str], rows: int) -> pa.RecordBatchReader:
    """The rows of the records that are stored, sorted by time, event and line."""
    names = ", ".join(f's."{name}"' for name in columns)
    return base.sql(f"""
        SELECT {names} FROM staged s ANTI JOIN verdict v ON s.record = v.record
        ORDER BY s.ts, s.event_id, s.line""").to_arrow_reader(rows)


def conflicts(base: Any, rows: int = 1 << 14) -> Iterator[pa.RecordBatch]:
    """`file`, `source_line` and `raw` of each conflicting record, in the order of receipt."""
    reader = base.sql("""
        WITH heads AS (SELECT record, min(line) AS line FROM staged SEMI JOIN
                       (SELECT record FROM verdict WHERE verdict = 'conflict') USING (record) GROUP BY record)
        SELECT s.file, s.source_line, s.raw FROM staged s JOIN heads h ON s.record = h.record AND s.line = h.line
        ORDER BY s.record""").to_arrow_reader(rows)
    yield from reader

