"""Readers: any CSV, TSV, JSON Lines, Parquet, XLSX or Arrow file as batches of raw records.

What a file holds is read whole or set aside with its reason; nothing is mapped here, nothing is lost, and memory stays
bounded whatever the file does.
"""

from __future__ import annotations

from shopkeeper.events.readers.base import ReadOptions, Source
from shopkeeper.events.readers.sources import Files, expand, from_arrow, from_records, open_source

__all__ = ["Files", "ReadOptions", "Source", "expand", "from_arrow", "from_records", "open_source"]
