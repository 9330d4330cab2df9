"""A door on a socket: bound first, opened when the shop is ready, closed when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from shopkeeper.doors.http.door import Door
from shopkeeper.errors import BadInput
from shopkeeper.words import say

GRACE = 20  # seconds that requests have to end when the server is told to stop
SWITCH = 0.0005  # seconds after which a thread lets another one go on: a flush asks for its turn dozens of times
YOUNG = 50_000  # objects after which young ones are looked at: requests leave no circles behind


class _Server(uvicorn.Server):
    """Uvicorn, which leaves the signals to us: after a stop that went well the exit code is 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals for as long as the server runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nothing else.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet.

    Raises:
        BadInput: The address cannot be had.
    """
    if not 0 <= port <= 65_535:
        raise BadInput(say("{host}:{port} cannot be bound: {wrong}", host=host, port=port,
                           wrong=say("a port lies between 0 and 65,535")), do=[say("--port 0")],
                       why=say("with 0, a free one is taken."))
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM,
                                                              flags=socket.AI_PASSIVE)[0]
        made = socket.socket(family, kind, number)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as wrong:
        raise BadInput(say("{host}:{port} cannot be bound: {wrong}", host=host, port=port,
                           wrong=getattr(wrong, "strerror", None) or str(wrong)),
                       do=[say("--port 0")], why=say("another server has it, or it is not this machine's.")) from wrong
    made.set_inheritable(False)
    return made


def url(bound: socket.socket) -> str:
    """The address of a bound socket, for people."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(door: Door, bound: socket.socket, opened: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; then answer what is under way, and end the service.

    Args:
        door: The application.
        bound: Where to listen.
        opened: Called once, when it takes requests.
    """
    sys.setswitchinterval(SWITCH)
    gc.freeze()  # what was made until now stays as long as the server
    gc.set_threshold(YOUNG, 20, 50)
    config = uvicorn.Config(door, http="httptools", ws="none", lifespan="on", log_config=None, access_log=False,
                            server_header=False, date_header=False, proxy_headers=False, timeout_keep_alive=75,
                            timeout_graceful_shutdown=GRACE)
    said = logging.getLogger("uvicorn")  # what is no HTTP at all: uvicorn would say so in lines that are no JSON
    said.handlers, said.propagate = [logging.NullHandler()], False
    try:
        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(_serve(_Server(config), bound, opened))
    finally:
        gc.unfreeze()


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


async def _serve(server: _Server, bound: socket.socket, opened: Callable[[], None]) -> None:
    task = asyncio.create_task(server.serve([bound]))
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    if server.started:
        opened()
    await task
