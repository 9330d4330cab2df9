"""What the benchmarks of the server share: a server in a process of its own, and a load from another.

The load's client is written on bare sockets, so that it takes a small part of one core: a request is one `replace` in
a prepared text, one `send`, one `recv`. How much of a core it took is measured and told (`client_cpu`).
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

MARK = b"0000000000"     # stands in a prepared body where the number of the request comes
BATCH = 50


@dataclass(frozen=True)
class Served:
    """A server that runs: its address, and the process."""

    host: str
    port: int
    process: subprocess.Popen[str]

    def tree(self) -> list[int]:
        """The server's process and all below it."""
        found, parents = [self.process.pid], {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, ValueError):
                    continue
        for pid in found:
            found.extend(child for child, parent in parents.items() if parent == pid)
        return found

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        with socket.create_connection((self.host, self.port), timeout=60) as one:
            one.sendall(f"GET {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nconnection: close\r\n\r\n".encode())
            parts = iter(lambda: one.recv(1 << 16), b"")
            return b"".join(parts).partition(b"\r\n\r\n")[2]

    def gauge(self, name: str) -> float:
        """A number of `/metrics`."""
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith(f"shopkeeper_{name} "):
                return float(line.split()[1])
        raise KeyError(name)


@contextmanager
def serving(command: Sequence[str]) -> Iterator[Served]:
    """A server whose first line on stdout is a JSON object with its `url`; ended by SIGTERM, and well."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start: {' '.join(command)}")
        address = urlsplit(json.loads(line)["url"])
        yield Served(address.hostname or "127.0.0.1", address.port or 80, process)
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=300):
            raise SystemExit(f"the server ended with {process.returncode}")


def shopkeeper(shop: Path) -> list[str]:
    """The command that serves a shop on a free port."""
    command = [sys.executable, "-m", "shopkeeper.doors.cli", "serve", str(shop)]
    return [*command, "--port", "0", "--json", "--log", "errors"]


@dataclass
class Load:
    """What a load did: requests that were answered with 200, by the whole account of their answers, and what was not.

    Attributes:
        requests: Answered with 200.
        stored, duplicate, quarantined: Sums over those answers.
        refused: Status -> answers that were none of these; a refused request was sent again.
        seconds: From the first request to the last answer.
        latency: (requests,) seconds from a request to its answer.
        client_cpu: Seconds of processor that the client took, for each second of the clock.
    """

    requests: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    latency: list[float] = field(default_factory=list)
    client_cpu: float = 0.0

    def figures(self) -> dict[str, float]:
        """Events a second, and the latency's middle and 99th percentile."""
        middle, late = np.quantile(self.latency, (0.5, 0.99)) * 1_000
        return {"events_per_second": round(self.stored / self.seconds, 1), "p50_ms": round(float(middle), 3),
                "p99_ms": round(float(late), 3), "client_cpu": round(self.client_cpu, 3)}


@dataclass
class _Line:
    """A connection: what it sent, and when."""

    socket: socket.socket
    body: bytes = b""
    sent: float = 0.0
    wait: float = 0.0
    got: bytes = b""


def post(host: str, port: int, bodies: Sequence[bytes], first: int, seconds: float, connections: int = 32) -> Load:
    """Post prepared bodies for some seconds over some connections, each with a number of its own in its event ids.

    Every connection waits for its last answer, so that what was acknowledged is known exactly. A refused request
    (429, 503) is sent again after what `retry-after` says.

    Args:
        host, port: Of the server.
        bodies: JSON arrays of `BATCH` events, `MARK` in each event's id.
        first: Number of the first request.
        seconds: How long.
        connections: How many requests are under way at once.
    """
    heads = [f"POST /v1/events HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
             f"content-length: {len(body)}\r\n\r\n".encode() for body in bodies]
    prepared = [head + body for head, body in zip(heads, bodies, strict=True)]
    load, number = Load(), first
    with selectors.DefaultSelector() as ready:
        lines = [_Line(socket.create_connection((host, port))) for _ in range(connections)]
        began, cpu = time.perf_counter(), time.process_time()
        for line in lines:
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(line.socket, selectors.EVENT_READ, line)
            number = _send(line, prepared, number)
        busy, until, late = connections, began + seconds, []
        while busy:
            now = time.perf_counter()
            for line in [one for one in late if one.wait <= now]:
                late.remove(line)
                line.socket.sendall(line.body)
            for key, _ in ready.select(0.05 if late else None):
                line = key.data
                status = _received(line, load)
                if status is None:
                    continue
                if status != 200:
                    late.append(line)
                elif time.perf_counter() < until:
                    number = _send(line, prepared, number)
                else:
                    busy -= 1
        load.seconds, load.client_cpu = time.perf_counter() - began, time.process_time() - cpu
        load.client_cpu /= load.seconds
        for line in lines:
            line.socket.close()
    return load


def _send(line: _Line, prepared: Sequence[bytes], number: int) -> int:
    line.body = prepared[number % len(prepared)].replace(MARK, b"%010d" % number)
    line.sent = time.perf_counter()
    line.socket.sendall(line.body)
    return number + 1


def _received(line: _Line, load: Load) -> int | None:
    """Take in what came; the status once the answer is whole."""
    part = line.socket.recv(1 << 16)
    if not part:
        raise SystemExit("the server closed a connection before it had answered")
    line.got += part
    head, found, body = line.got.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    if len(body) < length:
        return None
    line.got, status = b"", int(head[9:12])
    if status == 200:
        load.requests += 1
        load.latency.append(time.perf_counter() - line.sent)
        said = json.loads(body) if not body.startswith(_PLAIN) else _ALL
        for name in ("stored", "duplicate", "quarantined"):
            setattr(load, name, getattr(load, name) + said[name])
        return 200
    load.refused[status] = load.refused.get(status, 0) + 1
    if status not in (429, 503):
        raise SystemExit(f"the server answered {status}: {body[:300]!r}")
    again = head.lower().partition(b"retry-after: ")[2].partition(b"\r\n")[0]
    line.wait = time.perf_counter() + (float(again) if again else 0.1)
    return status


_PLAIN = b'{"received":%d,"stored":%d,"duplicate":0,"quarantined":0,' % (BATCH, BATCH)
_ALL = {"stored": BATCH, "duplicate": 0, "quarantined": 0}


def resident_mb(pids: Sequence[int]) -> float:
    """Resident memory of some processes together, MiB; pages that they share count once (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024
