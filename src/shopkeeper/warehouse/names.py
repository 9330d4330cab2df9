"""Pseudonyms back into identities: the vault, opened for an act that was asked for by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.events.pseudonyms import unseal
from shopkeeper.warehouse.manifest import Manifest


def resolved(folder: Path, manifest: Manifest, key: bytes, pseudonyms: Iterable[str]) -> dict[str, str]:
    """The identities behind some pseudonyms; who is not in the vault is left out.

    Args:
        folder: The shop's.
        manifest: Names the files of the vault.
        key: Of the vault.
        pseudonyms: Whom to name.

    Raises:
        Damaged: The vault cannot be opened.
    """
    wanted = pa.array(sorted(set(pseudonyms)), pa.string())
    found: dict[str, str] = {}
    for file in manifest.vault:
        pairs = unseal((folder / file).read_bytes(), key)
        mine = pairs.filter(pc.is_in(pairs["pseudonym"], wanted))
        found |= dict(zip(mine["pseudonym"].to_pylist(), mine["identity"].to_pylist(), strict=True))
    return found
