"""The keys of a shop's HTTP door: who may do what. Only digests rest on disk; a key is shown once, when it is made.

A key has 256 random bits, so a plain SHA-256 of it tells nothing, and needs no salt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shopkeeper.errors import BadInput, Damaged, UnknownName
from shopkeeper.menu import MENU
from shopkeeper.warehouse.store import durable, held
from shopkeeper.words import say

PREFIX = "shk_"
PLAIN = ("collect", "read", "admin")  # beside the scopes of acts
FILE = "api.json"


@dataclass(frozen=True)
class Key:
    """What a key may.

    Attributes:
        name: For people; it stands beside what the key brought.
        digest: SHA-256 of the key, hexadecimal.
        scopes: `collect` (post events), `read` (ask), an act's scope, or `admin` (everything).
        origins: Web pages that may use it from a browser, such as `https://shop.example`; collect-only keys.
        rate: Records a second; 0 is no limit.
        made: When, ISO 8601 UTC.
    """

    name: str
    digest: str
    scopes: tuple[str, ...]
    origins: tuple[str, ...] = ()
    rate: float = 0.0
    made: str = ""

    @property
    def for_browsers(self) -> bool:
        """Whether it may stand in a web page: it can only bring events."""
        return self.scopes == ("collect",)

    def may(self, scope: str) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes or "admin" in self.scopes


class _File(msgspec.Struct):
    format: int
    keys: tuple[Key, ...]


def scopes() -> tuple[str, ...]:
    """Every scope that a key can have; imports the rooms."""
    acts = {entry.mark().scope for entry in MENU} - {None}
    return (*PLAIN, *sorted(scope for scope in acts if scope and scope not in PLAIN))


def origin(text: str) -> str:
    """An origin as browsers send it.

    Raises:
        BadInput: It is none.

    >>> origin("https://Shop.example/")
    'https://shop.example'
    """
    found = re.fullmatch(r"(https?://[a-z0-9.\-\[\]:]+?)/?", text.strip().lower())
    if found is None:
        raise BadInput(say("{text} is no origin.", text=repr(text)), do=[say("--origin https://shop.example")],
                       why=say("a browser sends scheme, host and port, and no path."))
    return found[1]


class KeyRing:
    """The keys in `SHOP/keys/api.json`. Looks at the file again when it has changed."""

    def __init__(self, shop: Path) -> None:
        self.path = shop / "keys" / FILE
        self.keys: tuple[Key, ...] = ()
        self._by_digest: dict[str, Key] = {}
        self._stamp: tuple[int, int, int] | None = (0, 0, 0)
        self.keyed = False  # once there was a key, nothing is open any more until the server starts anew
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it has changed.

        Returns:
            Whether it had.

        Raises:
            Damaged: It is not what was written.
        """
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self.keys = _read(self.path)
        self._by_digest = {key.digest: key for key in self.keys}
        self._stamp = stamp
        self.keyed = self.keyed or bool(self.keys)
        return True

    def find(self, token: str) -> Key | None:
        """The key that a caller shows, or None. What is looked up is a digest, so its time tells nothing of a key."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        key = self._by_digest.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None

    def named(self, name: str) -> Key | None:
        """The key of a name, or None."""
        return next((key for key in self.keys if key.name == name), None)

    def add(self, name: str, scopes_: Sequence[str], origins: Sequence[str] = (), rate: float = 0.0) -> str:
        """Make a key.

        Args:
            name: Lower-case letters, digits, `-` and `_`; new to this shop.
            scopes_: At least one.
            origins: Web pages that may use it.
            rate: Records a second; 0 is no limit.

        Returns:
            The key itself. It is shown this once and kept nowhere.

        Raises:
            BadInput: A name that is taken or odd, a scope that is not known, or origins on a key that may read.
        """
        _check(name, scopes_, origins, rate)
        token = PREFIX + secrets.token_urlsafe(32)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing():
            if self.named(name) is not None:
                raise BadInput(say("there is a key {name} already.", name=name),
                               do=[say("shopkeeper key remove SHOP --name {name}", name=name),
                                   say("take another name.")],
                               why=say("what a key brought is told apart by its name."))
            key = Key(name, hashlib.sha256(token.encode()).hexdigest(), tuple(dict.fromkeys(scopes_)),
                      tuple(dict.fromkeys(map(origin, origins))), rate, made)
            self._write((*self.keys, key))
        return token

    def remove(self, name: str) -> None:
        """Take a key away; a running server knows within a second.

        Raises:
            UnknownName: There is none of that name.
        """
        with self._changing():
            if self.named(name) is None:
                raise UnknownName(say("there is no key {name}.", name=repr(name)),
                                  do=[say("one of: {names}", names=", ".join(key.name for key in self.keys) or "-")],
                                  why=say("keys are removed by their name."))
            self._write(tuple(key for key in self.keys if key.name != name))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file while it is read and written again, so that two commands lose no key."""
        with held(self.path.with_name("api.lock"), "shopkeeper key", wait=10.0):
            self.refresh()
            yield

    def _write(self, keys: tuple[Key, ...]) -> None:
        with durable(self.path) as temporary:
            temporary.touch(0o600)
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(_File(1, keys))))
        self.refresh()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(path: Path) -> tuple[Key, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Damaged(say("{path} is not what was written.", path=str(path)),
                      do=[say("put it back from your backup."), say("move it away and make new keys.")],
                      why=say("it says who may ask this shop.")) from wrong


def _check(name: str, scopes_: Sequence[str], origins: Sequence[str], rate: float) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
        raise BadInput(say("{name} is no name for a key.", name=repr(name)), do=[say("--name web")],
                       why=say("it has up to 40 lower-case letters, digits, dashes and underscores."))
    known = scopes()
    wrong = [scope for scope in scopes_ if scope not in known]
    if wrong or not scopes_:
        raise BadInput(say("there is no scope {name}.", name=repr(wrong[0])) if wrong else say("a key needs a scope."),
                       do=[say("one of: {names}", names=", ".join(known))],
                       why=say("a key may do what its scopes say, and nothing else."))
    if origins and tuple(scopes_) != ("collect",):
        raise BadInput(say("only a key with the scope collect alone can have origins."),
                       do=[say("make a second key for the shop's own server.")],
                       why=say("whoever opens a web page can read the keys in it."))
    if not 0 <= rate <= 1e9:
        raise BadInput(say("rate is {rate}; it must be 0 or more.", rate=rate), do=[say("--rate 100")],
                       why=say("it says how many records a second a key may bring; 0 is no limit."))
