"""Points of a process at which a test stops it, lets the disk fail, or turns the clock; the product knows none of them.

`FAULTS` in the environment is a JSON object:

    socket   a datagram socket that is told `PID POINT BETWEEN` when a point is reached at which to stop
    stop     [process, point, number]: stop there, for ever, before the call of that number (from 0) is carried out
    fail     [point, every, errno]: every so many calls fail with this error
    clock    seconds, one after the other: what the clock is off from its next reading on

A process is `main`, or `worker` (the child of a server that folds). A point is a function of `os`: `replace`,
`fdatasync`, `fsync` (of a file that has only its temporary name); and `half` (half of a write to the journal was
carried out), `synced` (behind `fdatasync`). BETWEEN: a file was written and is not renamed yet.
"""

import errno as errors
import itertools
import json
import os
import signal
import socket
import sys
import time

POINTS = ("fsync", "replace", "fdatasync")


class Points:
    """What a process does at its points."""

    def __init__(self, settings, process):
        self.settings, self.process = settings, process
        self.counts = dict.fromkeys((*POINTS, "half", "synced"), 0)
        self.failing = itertools.count()
        self.real = {name: getattr(os, name) for name in (*POINTS, "write")}

    def install(self):
        for name in POINTS:
            setattr(os, name, self.wrapped(name))
        os.write = self.write
        if self.settings.get("clock"):
            self.turn(self.settings["clock"])

    def wrapped(self, name):
        def call(*given, **named):
            self.fail(name)
            if name != "fsync" or self.unnamed(given[0]):
                self.reach(name, name != "fdatasync")
            done = self.real[name](*given, **named)
            if name == "fdatasync":
                self.reach("synced", False)
            return done
        return call

    def write(self, number, data):
        """Half of a journal's write, where the process is to stop there."""
        if not isinstance(data, memoryview):
            return self.real["write"](number, data)
        self.fail("write")
        if self.wanted("half"):
            self.real["write"](number, data[:len(data) // 2])
        self.reach("half", False)
        return self.real["write"](number, data)

    @staticmethod
    def unnamed(number):
        """Whether an open file has only its temporary name: it was written and is not renamed yet."""
        try:
            return os.readlink(f"/proc/self/fd/{number}").endswith(".tmp")
        except OSError:
            return False

    def fail(self, point):
        wanted = self.settings.get("fail")
        if wanted and wanted[0] == point and next(self.failing) % wanted[1] == wanted[1] - 1:
            raise OSError(wanted[2], os.strerror(wanted[2]))

    def wanted(self, point):
        return self.settings.get("stop") == [self.process, point, self.counts[point]]

    def reach(self, point, between):
        here = self.wanted(point)
        self.counts[point] += 1
        if here:
            told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            told.sendto(f"{os.getpid()} {point} {int(between)}".encode(), self.settings["socket"])
            while True:
                signal.pause()

    def turn(self, offsets):
        """Let the clock jump: each reading takes the next offset."""
        jumps, real = itertools.cycle(offsets), {"time": time.time, "time_ns": time.time_ns}
        time.time = lambda: real["time"]() + next(jumps)
        time.time_ns = lambda: real["time_ns"]() + int(next(jumps) * 1e9)


def install():
    """Do in this process what `FAULTS` says."""
    process = "worker" if any("http.worker" in word for word in sys.orig_argv) else "main"
    Points(json.loads(os.environ["FAULTS"]), process).install()


ENOSPC, EIO = errors.ENOSPC, errors.EIO
