"""Delivery to a webhook: signed, and only to addresses that are public or that the shop allows.

A name is resolved once, every address that it has is checked, and the connection goes to a checked address; so what the
name says a moment later changes nothing. Redirects are not followed. The standard library does it all.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import secrets
import socket
import ssl
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from shopkeeper import __version__
from shopkeeper.errors import BadInput
from shopkeeper.warehouse.store import durable_write
from shopkeeper.words import say

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

SIGNATURE, ID = "X-Shopkeeper-Signature", "X-Shopkeeper-Id"
CONNECT, WHOLE = 5.0, 10.0  # seconds for a step, and for a whole delivery
_WRAPPED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))  # IPv4 inside IPv6 (NAT64, 6to4)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the machine's resolver."""
    return list(dict.fromkeys(str(found[4][0]).partition("%")[0]
                              for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def allowed(address: str, networks: Sequence[Network] = ()) -> bool:
    """Whether a webhook may go to an address: a public one, or one in an allowed network.

    >>> allowed("93.184.215.14"), allowed("10.0.0.1"), allowed("::ffff:127.0.0.1"), allowed("169.254.169.254")
    (True, False, False, False)
    >>> allowed("10.0.0.1", [ipaddress.ip_network("10.0.0.0/8")])
    True
    """
    found = _unwrapped(ipaddress.ip_address(address))
    if any(found.version == network.version and found in network for network in networks):
        return True
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address only wraps."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _WRAPPED[0]:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _WRAPPED[1]:
            return address.sixtofour or address
    return address


def signature(secret: bytes, body: bytes, second: int) -> str:
    """What stands in the header `X-Shopkeeper-Signature`: `t=SECOND,v1=HEX`.

    HEX is the HMAC-SHA256 of "SECOND." and the body, under the shop's key (`keys/webhook.key`, as bytes). A receiver
    computes the same, compares, and refuses what is older than some minutes.

    >>> signature(b"k", b"{}", 1)[:12]
    't=1,v1=3dd49'
    """
    mac = hmac.new(secret, f"{second}.".encode("ascii") + body, hashlib.sha256)
    return f"t={second},v1={mac.hexdigest()}"


class Sender:
    """Posts JSON to webhooks.

    Args:
        secret: The key that signs.
        networks: What is allowed beside public addresses.
        resolver: Gives the addresses of a name.
        trust: Certificates of https; by default the machine's.
    """

    def __init__(self, secret: bytes, networks: Sequence[Network] = (), *, resolver: Resolver = resolve,
                 trust: ssl.SSLContext | None = None) -> None:
        self._secret, self._networks, self._resolve = secret, tuple(networks), resolver
        self._trust = trust

    def __call__(self, url: str, body: bytes, name: str) -> str | None:
        """Post a body once.

        Args:
            url: An http or https address.
            body: JSON.
            name: Id of what is sent, the same when it is sent again.

        Returns:
            What went wrong and may go better later; None where it was taken (an answer of 2xx).

        Raises:
            BadInput: The address is not one that is allowed; trying again would not help.
        """
        parts = _split(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = list(self._resolve(parts.hostname or "", port))
        except OSError as wrong:
            return f"the name cannot be resolved: {wrong.strerror or wrong}"
        if not addresses:
            return "the name has no address"
        self._check(parts.hostname or "", addresses)
        try:
            return self._post(parts, addresses[0], port, body, name)
        except (OSError, http.client.HTTPException) as wrong:
            return f"{type(wrong).__name__}: {wrong}"[:200]

    def _check(self, host: str, addresses: Sequence[str]) -> None:
        for address in addresses:
            if not allowed(address, self._networks):
                raise BadInput(say("{host} is at {address}, where no webhook may go.", host=host, address=address),
                               do=[say("in shop.toml: [trends] allow_webhooks = [\"{address}\"]", address=address)],
                               why=say("an address of a private network could be anything that trusts this machine."))

    def _post(self, parts: SplitResult, address: str, port: int, body: bytes, name: str) -> str | None:
        second = int(time.time())
        headers = {"Content-Type": "application/json", "User-Agent": f"shopkeeper/{__version__}", ID: name,
                   SIGNATURE: signature(self._secret, body, second), "Connection": "close"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection(parts, address, port)
        ends = threading.Timer(WHOLE, _shut, [connection.sock])  # however slowly the other side drips
        ends.daemon = True
        ends.start()
        try:
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
        finally:
            ends.cancel()
            connection.close()
        if 200 <= status < 300:
            return None
        return f"answered {status}; redirects are not followed" if 300 <= status < 400 else f"answered {status}"

    def _connection(self, parts: SplitResult, address: str, port: int) -> http.client.HTTPConnection:
        """A connection to the address; under TLS, where it is https, the certificate must be that of the name."""
        plain = socket.create_connection((address, port), CONNECT)
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=CONNECT)
            connection.sock = plain
            return connection
        trust = self._trust or ssl.create_default_context()
        secure = http.client.HTTPSConnection(parts.hostname or "", port, timeout=CONNECT, context=trust)
        secure.sock = trust.wrap_socket(plain, server_hostname=parts.hostname, do_handshake_on_connect=False)
        return secure


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        fine = fine and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise BadInput(say("{text} is no address of a webhook.", text=repr(url)),
                       do=[say("--webhook https://example.com/x")],
                       why=say("http and https are spoken, and no name and password stand in an address."))
    return parts


def secret(folder: Path) -> bytes:
    """The key that signs what webhooks get, 32 bytes; made at its first use, readable for the owner only.

    Args:
        folder: The shop's folder; the key lies in `keys/webhook.key`, as hexadecimal text.
    """
    path = folder / "keys" / "webhook.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        durable_write(path, secrets.token_hex(32).encode("ascii"))
        path.chmod(0o600)
    return bytes.fromhex(path.read_text("ascii").strip())


def networks(folder: Path) -> tuple[Network, ...]:
    """The networks that are not public and to which webhooks may go: `[trends] allow_webhooks` in `shop.toml`.

    Raises:
        BadInput: The value is no list of networks.
    """
    path = folder / "shop.toml"
    section = tomllib.loads(path.read_text("utf-8")).get("trends", {}) if path.is_file() else {}
    given = section.get("allow_webhooks", []) if isinstance(section, dict) else []
    try:
        if not isinstance(given, list):
            raise ValueError("no list")
        return tuple(ipaddress.ip_network(str(one)) for one in given)
    except ValueError as wrong:
        raise BadInput(say("{path} says {name} = {value}.", path=str(path), name="allow_webhooks", value=repr(given)),
                       do=[say("allow_webhooks a list of networks such as 10.0.0.0/8")],
                       why=say("a webhook goes to no other private address.")) from wrong
