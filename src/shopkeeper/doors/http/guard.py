"""Who may come in: keys and their scopes, web pages and their origins, and how much a key may bring a second.

Without a key, a shop answers its own machine only, and no web page of another origin: a page that has bent a name to
the loopback address shows itself by its Host header.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from shopkeeper.doors.http.keyring import Key, KeyRing
from shopkeeper.doors.http.refusals import Denied, TooMany
from shopkeeper.doors.http.settings import Settings
from shopkeeper.words import say

Headers = Mapping[bytes, bytes]
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
COLLECT = "collect"
_WATCHED = 1.0  # seconds between two looks at the file of keys


@dataclass
class Bucket:
    """A token bucket that may run into debt: what is let in is counted afterwards.

    Attributes:
        rate: Records a second; 0 is no limit.
        level: Records that may come now; negative is debt.
        at: When the level was true, seconds of a steady clock.
    """

    rate: float
    level: float = 0.0
    at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until something may come; 0 where it may come now."""
        if self.rate <= 0:
            return 0.0
        self.level = min(self.rate, self.level + (now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.level > 0 else (1.0 - self.level) / self.rate

    def took(self, records: int) -> None:
        """So many came."""
        self.level -= records if self.rate > 0 else 0


@dataclass(frozen=True)
class Caller:
    """Who was let in.

    Attributes:
        name: Of the key; `local` where none is needed.
        origin: The page that asked, if a browser did and it is another's; empty otherwise.
        bucket: What limits the key.
    """

    name: str
    origin: str
    bucket: Bucket


class Guard:
    """Lets callers in, or refuses them by name.

    Args:
        ring: The shop's keys.
        settings: Which pages may post.
        open_here: Whether the server is bound to the loopback address; only there a shop without keys is open.
        clock: Steady seconds.
    """

    def __init__(self, ring: KeyRing, settings: Settings, *, open_here: bool = True,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.ring, self.settings, self.open_here, self.clock = ring, settings, open_here, clock
        self._looked = clock()
        self._buckets: dict[str, Bucket] = {}
        self._nobody = Bucket(0.0)

    def admit(self, headers: Headers, query: bytes, scope: str) -> Caller:
        """Let a caller in.

        Args:
            headers: Of the request, names in lower case.
            query: The query string; a collect-only key may stand there, as `key` or, as GA4 calls it, `api_secret`.
            scope: What it takes.

        Raises:
            Denied: It may not. TooMany: It may, and not so soon.
        """
        now = self.clock()
        if now - self._looked > _WATCHED:
            self._looked = now
            self.ring.refresh()
        page = self.foreign(headers)
        if not self.ring.keyed and self.open_here:
            self._local(headers, page, scope)
            return Caller("local", page, self._nobody)
        key = self._shown(headers, query, scope)
        self._fits(key, scope, page)
        bucket = self._bucket(key)
        wait = bucket.wait(now)
        if wait > 0:
            raise TooMany(say("key {name} brings more than {rate:g} records a second.", name=key.name, rate=key.rate),
                          do=[say("come again in {seconds:.1f} s.", seconds=wait)], retry_after=wait,
                          why=say("the key was made with this limit."))
        return Caller(key.name, page, bucket)

    def same_for_all(self, headers: Headers) -> None:
        """Let anybody see what is the same for every shop: the pages, the snippet, the health.

        Raises:
            Denied: The shop is open to this machine only, and the Host header names another.
        """
        if not self.ring.keyed and self.open_here:
            self._named_right(headers)

    def may_post(self, page: str) -> bool:
        """Whether a web page may post events with some key."""
        return page in self.settings.origins or any(page in key.origins for key in self.ring.keys)

    def foreign(self, headers: Headers) -> str:
        """The origin of the page that asks; empty where no page asks, or one that this server gave."""
        page = headers.get(b"origin", b"").decode("latin-1").lower()
        own = headers.get(b"host", b"").decode("latin-1").lower()
        return "" if page in (f"http://{own}", f"https://{own}") else page

    def _local(self, headers: Headers, page: str, scope: str) -> None:
        self._named_right(headers)
        cross = headers.get(b"sec-fetch-site", b"") == b"cross-site" and not page
        if cross or (page and not (scope == COLLECT and self.may_post(page))):
            raise Denied(say("the page {page} may not ask this shop.", page=page or "?"),
                         do=[say("[serve] origins = [\"{page}\"] in shop.toml, for posting events", page=page or "?"),
                             say("shopkeeper key add SHOP --name web --scope collect --origin {page}",
                                 page=page or "?")],
                         why=say("a shop without keys is open to this machine, and not to the web pages that are "
                                 "looked at on it."))

    def _named_right(self, headers: Headers) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name not in LOCAL:
            raise Denied(say("this shop is not called {host}.", host=repr(host)),
                         do=[say("http://127.0.0.1"), say("shopkeeper key add SHOP --name NAME --scope read")],
                         why=say("a shop without keys answers to the names of this machine only."))

    def _shown(self, headers: Headers, query: bytes, scope: str) -> Key:
        token, in_query = _token(headers), False
        if not token and scope == COLLECT and (b"key=" in query or b"api_secret=" in query):
            said = of_address(query)
            token = said.get("key", "") or said.get("api_secret", "")
            in_query = True
        if not token:
            raise Denied(say("this needs a key."), known=False,
                         do=[say("-H 'Authorization: Bearer KEY'"), say("shopkeeper key add SHOP --help")],
                         why=say("the shop has keys, or is not bound to this machine alone."))
        key = self.ring.find(token)
        if key is None:
            raise Denied(say("this key is not known here."), known=False, do=[say("shopkeeper key list SHOP")],
                         why=say("it was removed, or it is of another shop."))
        if in_query and not key.for_browsers:
            raise Denied(say("key {name} may not stand in an address.", name=key.name),
                         do=[say("-H 'Authorization: Bearer KEY'")],
                         why=say("addresses end up in logs and histories; only keys with the scope collect alone may "
                                 "stand there."))
        return key

    def _fits(self, key: Key, scope: str, page: str) -> None:
        if page and not key.for_browsers:
            raise Denied(say("key {name} has the scopes {scopes}, and a web page showed it.", name=key.name,
                             scopes=", ".join(key.scopes)),
                         do=[say("shopkeeper key remove SHOP --name {name}", name=key.name),
                             say("ask from the shop's own server.")],
                         why=say("whoever opens the page can read the key; only keys with the scope collect alone may "
                                 "stand in one."))
        if not key.may(scope):
            raise Denied(say("key {name} has not the scope {scope}.", name=key.name, scope=scope),
                         do=[say("shopkeeper key add SHOP --name NAME --scope {scope}", scope=scope)],
                         why=say("a key may do what its scopes say, and nothing else."))
        if page and page not in key.origins and page not in self.settings.origins:
            raise Denied(say("key {name} is not for the page {page}.", name=key.name, page=page),
                         do=[say("shopkeeper key add SHOP --name NAME --scope collect --origin {page}", page=page)],
                         why=say("pages that may post are listed."))

    def _bucket(self, key: Key) -> Bucket:
        found = self._buckets.get(key.digest)
        if found is None:
            found = self._buckets[key.digest] = Bucket(key.rate, key.rate, self.clock())
        return found


def _token(headers: Headers) -> str:
    """The key that the headers show; empty where they show none."""
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    if bearer[:6].lower() == b"basic ":
        return _user(bearer[6:].strip())
    return headers.get(b"x-shopkeeper-key", b"").strip().decode("latin-1")


def of_address(query: bytes) -> Mapping[str, str]:
    """Names and values of a query string; none where it has too many."""
    try:
        return dict(parse_qsl(query.decode("latin-1"), max_num_fields=64))
    except ValueError:
        return {}


def _user(credentials: bytes) -> str:
    """The name of HTTP's basic authentication: Segment's libraries show their write key so, with no password.

    >>> _user(b"c2hrX2E6")
    'shk_a'
    """
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[0].decode("latin-1")
    except binascii.Error:
        return ""
