"""Raw identities become keyed pseudonyms at the entrance; the vault, with a key of its own, can resolve them.

A pseudonym is a keyed digest, so the same person is the same pseudonym in every file, and nobody without the key can
test a guess. Orders of guests (`order:<id>`) name nobody and stay as they are.
"""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.errors import Damaged
from shopkeeper.events.values import by_unique, mask_of
from shopkeeper.words import say

GUEST = "order:"
_PREFIX = {"customer_id": "c_", "anonymous_id": "a_"}
VAULT = pa.schema([("pseudonym", pa.string()), ("identity", pa.string())])


@dataclass(frozen=True)
class Keys:
    """The two keys of a shop, 32 bytes each: one makes pseudonyms, the other opens the vault."""

    pseudonym: bytes
    vault: bytes


def pseudonym(identity: str, column: str, key: bytes) -> str:
    """The pseudonym of one identity.

    >>> pseudonym("ann@example.org", "customer_id", b"k" * 32) == pseudonym("ann@example.org", "customer_id", b"k" * 32)
    True
    >>> pseudonym("ann@example.org", "customer_id", b"k" * 32)[:2]
    'c_'
    """
    if column == "anonymous_id" and identity.startswith(GUEST):
        return identity
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=15, key=key, person=b"shopkeeper")
    return _PREFIX[column] + base64.b32encode(digest.digest()).decode("ascii").lower()


def pseudonyms(cells: Any, column: str, key: bytes) -> tuple[Any, Any]:
    """Identities as pseudonyms.

    Args:
        cells: (n,) text; null where there is none.
        column: `customer_id` or `anonymous_id`; the two are separate name spaces.
        key: 32 bytes.

    Returns:
        (n,) pseudonyms, and a table (pseudonym, identity) of the distinct pairs for the vault.
    """
    coded = by_unique(cells, mask_of(pc.is_valid(cells)), lambda cell: pseudonym(cell, column, key), pa.string())
    pairs = pa.table({"pseudonym": coded, "identity": cells}, schema=VAULT).filter(pc.not_equal(coded, cells))
    return coded, pairs.group_by(["pseudonym", "identity"]).aggregate([])


def prefix_of_ip(cell: str) -> str | None:
    """An address reduced to its network: /24 of IPv4, /48 of IPv6; what is no address is not kept.

    >>> prefix_of_ip("203.0.113.77"), prefix_of_ip("203.0.113.0/24"), prefix_of_ip("nonsense")
    ('203.0.113.0/24', '203.0.113.0/24', None)
    """
    try:
        network = ipaddress.ip_network(cell, strict=False)
    except ValueError:
        return None
    widest = 24 if network.version == 4 else 48
    return str(network if network.prefixlen <= widest else network.supernet(new_prefix=widest))


def seal(pairs: pa.Table, key: bytes) -> bytes:
    """A vault file: the pairs as Parquet, encrypted with AES-256-GCM under the vault's key."""
    import os

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sink = io.BytesIO()
    pq.write_table(pairs, sink, compression="zstd")
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, sink.getvalue(), b"shopkeeper vault 1")


def unseal(data: bytes, key: bytes) -> pa.Table:
    """The inverse of `seal`.

    Raises:
        Damaged: The file is not what was written, or the key is another one.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return pq.read_table(io.BytesIO(AESGCM(key).decrypt(data[:12], data[12:], b"shopkeeper vault 1")))
    except (InvalidTag, ValueError) as wrong:
        raise Damaged(
            say("the vault cannot be opened."), do=[say("put back keys/vault.key as it was.")],
            why=say("pseudonyms can only be resolved with the key that the vault was written with.")) from wrong
