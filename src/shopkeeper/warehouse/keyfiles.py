"""The key files of a shop, `keys/pseudonym.key` and `keys/vault.key`: text that only their owner can read.

`vault.key` is 32 bytes in hexadecimal. `pseudonym.key` has a line for the key that names events, which never changes,
and a line for the key of pseudonyms with the number of its rotation. While that key is rotated there are two of these,
and the manifest says by its number which one counts. A file that is one key alone is of a shop that began when both
were the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from shopkeeper.events.pseudonyms import Keys
from shopkeeper.warehouse.store import durable

__all__ = ["FILES", "FOLDER", "Named", "fingerprint", "named", "read", "settle", "write"]

FOLDER, PSEUDONYM, VAULT = "keys", "pseudonym.key", "vault.key"
FILES = (PSEUDONYM, VAULT)
_NAMING, _NUMBERED = "naming", "pseudonym"


@dataclass(frozen=True)
class Named:
    """What `pseudonym.key` holds.

    Attributes:
        naming: The key that names events.
        keys: Number of a rotation -> the key that makes pseudonyms since.
    """

    naming: bytes
    keys: Mapping[int, bytes]

    @classmethod
    def parse(cls, text: str) -> Named:
        """The inverse of `text`.

        Raises:
            ValueError: It is not what was written.

        >>> old = Named.parse("ab" * 32)
        >>> old.naming == old.keys[0], old.text() == "ab" * 32
        (True, True)
        """
        lines = [line.split() for line in text.strip().splitlines()]
        if len(lines) == 1 and len(lines[0]) == 1:
            only = _key(lines[0][0])
            return cls(only, {0: only})
        naming = [_key(line[1]) for line in lines if line[0] == _NAMING]
        keys = {int(line[1]): _key(line[2]) for line in lines if line[0] == _NUMBERED}
        if len(naming) != 1 or not keys or len(keys) + 1 != len(lines):
            raise ValueError("no file of keys")
        return cls(naming[0], keys)

    def text(self) -> str:
        """As the file has it."""
        if self.keys == {0: self.naming}:
            return self.naming.hex()
        numbered = [f"{_NUMBERED} {number} {key.hex()}\n" for number, key in sorted(self.keys.items())]
        return f"{_NAMING} {self.naming.hex()}\n{''.join(numbered)}"

    def only(self, rotation: int) -> Named:
        """Without the keys of other rotations.

        Raises:
            ValueError: There is no key of this one.
        """
        if rotation not in self.keys:
            raise ValueError(f"no key of rotation {rotation}")
        return replace(self, keys={rotation: self.keys[rotation]})


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError("a key has 32 bytes")
    return key


def named(folder: Path) -> Named:
    """What `pseudonym.key` of a folder holds.

    Raises:
        OSError: It is missing, or not for us to read. ValueError: It is not what was written.
    """
    return Named.parse((folder / PSEUDONYM).read_text("ascii"))


def read(folder: Path, rotation: int) -> Keys:
    """The keys of a shop whose manifest counts so many rotations.

    Raises:
        OSError: A file is missing, or not for us to read. ValueError: It is not what was written.
    """
    found = named(folder).only(rotation)
    return Keys(found.keys[rotation], _key((folder / VAULT).read_text("ascii").strip()), found.naming, rotation)


def write(path: Path, text: str) -> None:
    """Write a file of keys, whole or not at all; at no moment can others read it."""
    with durable(path) as temporary:
        temporary.unlink(missing_ok=True)
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="ascii") as file:
            file.write(text)


def settle(folder: Path, rotation: int) -> None:
    """Remove what a rotation that was cut off left behind: the key that the manifest does not count.

    Where there is no key that it counts, nothing is touched: this folder is of another moment of the shop.
    """
    try:
        found = named(folder)
    except (OSError, ValueError):  # whoever needs a key says so
        return
    if rotation not in found.keys:
        return
    if len(found.keys) > 1:
        write(folder / PSEUDONYM, found.only(rotation).text())
    folder.joinpath(PSEUDONYM + ".tmp").unlink(missing_ok=True)


def fingerprint(folder: Path, rotation: int) -> str:
    """Which keys a folder holds, without saying what they are; empty where it holds none that can be read."""
    try:
        texts = [named(folder).only(rotation).text().strip().encode("ascii"), (folder / VAULT).read_bytes().strip()]
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(b"shopkeeper backup\0" + b"\0".join(texts)).hexdigest()[:16]
