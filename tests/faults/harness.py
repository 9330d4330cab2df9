"""Runs commands that are killed, and keeps books of what was promised and what is there."""

import http.client
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

TESTS = Path(__file__).parent.parent
FULL = os.environ.get("SHOPKEEPER_FAULTS") == "full"
BOOKS = {}  # fault -> what was tried and what was found; printed at the end of the run


def share(full, bounded):
    """How often something is tried: in full, or a bounded share of it."""
    return full if FULL else bounded


class Nursery:
    """Commands as children of one process; one at a time."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        path = os.pathsep.join([str(TESTS / "faults" / "site"), str(TESTS), *filter(None, before)])
        self.process = subprocess.Popen([sys.executable, str(TESTS / "faults" / "nursery.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"})
        assert self.process.stdout.readline() == "ready\n"
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(self.folder / "told")
        self.told.bind(self.address)
        self.pid, self.number = 0, 0

    def start(self, *words, faults=None):
        """Start a command; what it prints stands in `out`."""
        while select.select([self.told], [], [], 0)[0]:
            self.told.recv(200)
        self.number += 1
        self.out = self.folder / f"out{self.number}"
        given = {"socket": self.address, **faults} if faults else None
        self._say(json.dumps({"words": [str(word) for word in words], "faults": given, "out": str(self.out)}))
        self.pid = int(self.process.stdout.readline())
        return self.pid

    def reached(self, seconds):
        """Wait for the point at which it is to stop: its name and whether it lies between a write and its rename."""
        if not select.select([self.told], [], [], seconds)[0]:
            return None
        _, point, between = self.told.recv(200).decode().split()
        return point, between == "1"

    def kill(self, number=signal.SIGKILL):
        """Send it a signal and wait for its end; its exit code."""
        os.kill(self.pid, number)
        return self.ended()

    def ended(self):
        self._say("look")
        code = int(self.process.stdout.readline())
        self.pid = 0
        return code

    def alive(self):
        """Whether it runs; one that has ended stays a zombie until it is looked after."""
        return self.pid != 0 and Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"

    def printed(self):
        return self.out.read_text() if self.out.exists() else ""

    def _say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def close(self):
        if self.pid:
            self.kill()
        self.told.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def wait_for(what, seconds=30.0):
    """Wait until something is so.

    Raises:
        AssertionError: It is not so after all this time.
    """
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
    return found


def stored_ids(shop):
    """The ids of all events of a shop, sorted, with repeats."""
    heads = shop.events().filter(lambda t: t.line == 0).select("event_id")
    return sorted(shop.engine.run(heads)["event_id"].to_pylist())


def check_account(shop):
    """received = stored + duplicate + quarantined, for every import, and stored is what is there."""
    for one in shop.manifest.imports:
        assert one.received == one.stored + one.duplicate + one.quarantined, one
    assert sum(one.stored for one in shop.manifest.imports if one.table == "events") == shop.manifest.events


class Client:
    """Posts events again and again, each batch until it is acknowledged; it knows what was.

    Attributes:
        sent: Ids of every batch that was begun.
        acknowledged: Ids of every batch that was answered with 200.
        refused: Status -> how often it was answered instead.
    """

    def __init__(self, name, port, batch=5, pause=0.002):
        self.name, self.port, self.batch, self.pause = name, port, batch, pause
        self.sent, self.acknowledged, self.refused = [], [], {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for number in itertools.count():
            if self.stop.is_set():
                return
            ids = [f"{self.name}-{number}-{one}" for one in range(self.batch)]
            self.sent += ids
            self.post(json.dumps([event(one) for one in ids]))
            self.acknowledged += ids
            time.sleep(self.pause)

    def post(self, body):
        """Until it is acknowledged."""
        while (status := posted(self.port, body)) != 200:
            self.refused[status] = self.refused.get(status, 0) + 1
            time.sleep(0.02)


def event(name):
    """An event of which every cell follows from its id."""
    number = sum(name.encode())
    return {"event_id": name, "event": "view_item", "ts": f"2023-05-{number % 28 + 1:02d}T10:00:00Z",
            "customer_id": f"person {number % 17}", "item_id": f"i{number % 11}"}


def posted(port, body):
    """The status with which a batch was answered; 0 where the server went away before it answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Load:
    """Several clients at once."""

    def __init__(self, port, clients=3, **settings):
        self.clients = [Client(f"c{number}", port, **settings) for number in range(clients)]

    def __enter__(self):
        for client in self.clients:
            client.thread.start()
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.stop.set()

    def finish(self, seconds=60.0):
        """Let each client bring its last batch home; a server must be there."""
        for client in self.clients:
            client.stop.set()
            client.thread.join(seconds)
            assert not client.thread.is_alive()

    @property
    def acknowledged(self):
        return [one for client in self.clients for one in tuple(client.acknowledged)]

    @property
    def sent(self):
        return [one for client in self.clients for one in tuple(client.sent)]

    @property
    def refused(self):
        counts = {}
        for client in self.clients:
            for status, count in tuple(client.refused.items()):
                counts[status] = counts.get(status, 0) + count
        return counts


class Server:
    """`shopkeeper serve` of one shop on one port, started again and again."""

    def __init__(self, nursery, shop, port=None, fold_seconds=0.2):
        from shopkeeper.shop import Shop

        self.nursery, self.shop, self.port = nursery, Path(shop), port or free_port()
        if not (self.shop / "shop.toml").exists():
            Shop.open(shop)
            with (self.shop / "shop.toml").open("a") as settings:
                settings.write(f"\n[serve]\nfold_seconds = {fold_seconds}\n")
        self.opened = []  # seconds from the start of each to where it takes requests

    def start(self, faults=None):
        began = time.monotonic()
        self.nursery.start("serve", self.shop, "--port", self.port, "--log", "errors", faults=faults)
        wait_for(lambda: "is served at" in self.nursery.printed() or not self.nursery.alive())
        assert self.nursery.alive(), self.nursery.printed()
        self.opened.append(time.monotonic() - began)

    def end(self):
        """Stop it as systemd would; its exit code is 0."""
        code = self.nursery.kill(signal.SIGTERM)
        assert code == 0, self.nursery.printed()


def lost_and_doubled(path, acknowledged):
    """How many acknowledged ids a shop at rest lacks, and how many it has twice; the account must add up."""
    from shopkeeper.shop import Shop
    from shopkeeper.warehouse.store import Store

    with Store(path).write("look", wait=60.0):  # a fold of the server that was killed may not be dead yet
        pass
    shop = Shop.open(path, create=False)
    assert shop.unfolded().records == 0, [str(one) for one in shop.notes]
    there = stored_ids(shop)
    check_account(shop)
    return len(set(acknowledged) - set(there)), len(there) - len(set(there))
