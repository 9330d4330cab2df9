"""Raw identities become keyed pseudonyms at the entrance; the vault, with a key of its own, can resolve them.

A pseudonym is a keyed digest, so the same person is the same pseudonym in every file, and nobody without the key can
test a guess. Orders of guests (`order:<id>`) name nobody and stay as they are; so does a pseudonym that comes back, in
what the shop itself said or in an export that is taken in again.
"""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopkeeper.errors import Damaged
from shopkeeper.events.values import by_unique
from shopkeeper.words import say

GUEST = "order:"
_PREFIX = {"customer_id": "c_", "anonymous_id": "a_"}
_DIGEST, _PERSON = 15, b"shopkeeper"
_STAYS = {"customer_id": r"^c_[a-z2-7]{24}$", "anonymous_id": rf"^a_[a-z2-7]{{24}}$|^{GUEST}"}
_STAY = {column: re.compile(form.replace("$", r"\Z")) for column, form in _STAYS.items()}  # here, $ allows a line end
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^({_OCTET}\.{_OCTET}\.{_OCTET})\.{_OCTET}(?:/24)?$"
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = np.frombuffer(bytes(digit for one in _BASE32 for two in _BASE32 for digit in (one, two)), np.uint16)  # (1024,)
VAULT = pa.schema([("pseudonym", pa.string()), ("identity", pa.string())])


@dataclass(frozen=True)
class Keys:
    """The keys of a shop, 32 bytes each.

    Attributes:
        pseudonym: Makes pseudonyms; it can be rotated.
        vault: Opens the vault.
        first: Names events, and never changes; empty where the key of pseudonyms still does that, too.
        rotation: How often the key of pseudonyms was rotated.
    """

    pseudonym: bytes
    vault: bytes
    first: bytes = b""
    rotation: int = 0

    @property
    def naming(self) -> bytes:
        """The key under which events are named and compared."""
        return self.first or self.pseudonym


def pseudonym(identity: str, column: str, key: bytes) -> str:
    """The pseudonym of one identity.

    >>> pseudonym("ann@example.org", "customer_id", b"k" * 32) == pseudonym("ann@example.org", "customer_id", b"k" * 32)
    True
    >>> pseudonym("ann@example.org", "customer_id", b"k" * 32)[:2]
    'c_'
    """
    if _STAY[column].match(identity):
        return identity
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=key, person=_PERSON)
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
    encoded = cells.dictionary_encode()
    names = encoded.dictionary
    coded = _coded(names, column, key)
    coded = pc.if_else(pc.match_substring_regex(names, _STAYS[column]), names, coded)
    pairs = pa.table({"pseudonym": coded, "identity": names}, schema=VAULT)
    return coded.take(encoded.indices), pairs.filter(pc.not_equal(coded, names))


def renamed(names: Any, key: bytes) -> Any:
    """Other pseudonyms for (n,) pseudonyms of whom nobody knows the identity, each of the same kind.

    >>> str(renamed(pa.array(["c_" + "a" * 24]), b"k" * 32)[0])[:2]
    'c_'
    """
    customers, visitors = (_coded(names, column, key) for column in _PREFIX)
    return pc.if_else(pc.starts_with(names, _PREFIX["customer_id"]), customers, visitors)


def _coded(names: Any, column: str, key: bytes) -> Any:
    """The pseudonyms of (n,) identities, whatever they are."""
    digests, keyed = [], hashlib.blake2b(digest_size=_DIGEST, key=key, person=_PERSON)
    for name in names.cast(pa.binary()).to_pylist():
        one = keyed.copy()
        one.update(name)
        digests.append(one.digest())
    cells = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 5)  # each 5 bytes are 4 pairs of digits of 5 bits
    wide = np.zeros((len(cells), 8), np.uint8)
    wide[:, 3:] = cells
    pairs = wide.view(">u8") >> np.array([30, 20, 10, 0], np.uint64)
    digits = _PAIRS[(pairs & np.uint64(1023)).astype(np.uint16)].view(np.uint8).reshape(len(names), _DIGEST * 8 // 5)
    prefix = np.frombuffer(_PREFIX[column].encode(), np.uint8)
    text = np.concatenate([np.broadcast_to(prefix, (len(names), len(prefix))), digits], axis=1)
    offsets = np.arange(len(names) + 1, dtype=np.int32) * text.shape[1]
    return pa.StringArray.from_buffers(len(names), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text)))


def prefixes_of_ip(cells: Any) -> Any:
    """Addresses reduced to their networks, as `prefix_of_ip`; null where one is not kept.

    >>> prefixes_of_ip(pa.array(["203.0.113.77", "2001:db8:1:2::3", None, "nonsense"])).to_pylist()
    ['203.0.113.0/24', '2001:db8:1::/48', None, None]
    """
    coded = cells.dictionary_encode()
    names = coded.dictionary
    plain = pc.match_substring_regex(names, _IPV4)
    short = pc.if_else(plain, pc.replace_substring_regex(names, _IPV4, r"\1.0/24"), None)
    if pc.all(plain).as_py() is False:
        odd = np.asarray(pc.invert(pc.fill_null(plain, True)).to_numpy(zero_copy_only=False), bool)
        short = pc.coalesce(short, by_unique(names, odd, prefix_of_ip, pa.string()))
    return short.take(coded.indices)


def prefix_of_ip(cell: str) -> str | None:
    """An address reduced to its network: /24 of IPv4 (also inside IPv6), /48 of IPv6; what is no address is not kept.

    >>> prefix_of_ip("203.0.113.77"), prefix_of_ip("203.0.113.0/24"), prefix_of_ip("nonsense")
    ('203.0.113.0/24', '203.0.113.0/24', None)
    """
    try:
        network = ipaddress.ip_network(cell, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        inner = network.network_address.ipv4_mapped  # ::ffff:203.0.113.77, as a server of both kinds writes it
        if inner is not None:
            network = ipaddress.ip_network((inner, network.prefixlen - 96), strict=False)
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
