"""Runs commands that are killed, and keeps books of what was promised and what is there."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent.parent
FULL = os.environ.get("SHOPKEEPER_FAULTS") == "full"


def share(full, bounded):
    """How often something is tried: in full, or a bounded share of it."""
    return full if FULL else bounded


class Nursery:
    """Commands as children of one process; one at a time."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(TESTS / "faults" / "site"), str(TESTS)])
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
