"""Commands and pieces of Python in processes of their own that need not import anything first: see `warmed`.

For tests in which a process must die, or many commands follow each other. That the program itself starts, and what it
imports, is tested where it is the point (`doors/test_cli.py`).
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).with_name("warmed.py")
PROGRAM = """#!/bin/sh
case "$1" in
    serve) exec '{python}' -m shopkeeper.doors.cli "$@";;
    *) exec '{python}' -SE '{here}' ask '{address}' "$@";;
esac
"""


class Child:
    """A process of an order: its `pid`, and its `stdout` where that is a pipe."""

    def __init__(self, line, stdout=None):
        self._told = line.makefile()
        line.close()
        self.pid, self.stdout, self._code = int(self._told.readline()), stdout, None

    def wait(self):
        """Its exit code; below 0: the signal that ended it."""
        if self._code is None:
            with self._told:
                self._code = int(self._told.readline())
        return self._code

    def signal(self, number):
        """Send it a signal, unless its end was waited for."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Warm:
    """The process that runs orders.

    Attributes:
        bin: A folder with a program `shopkeeper` that has its commands run here; `serve` is a program of its own.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self.bin, self.address = Path(self._folder.name), f"{self._folder.name}/orders"
        self._process = subprocess.Popen([sys.executable, str(HERE), "serve", self.address], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, env=surroundings())
        assert self._process.stdout.readline() == b"ready\n"
        program = self.bin / "shopkeeper"
        program.write_text(PROGRAM.format(python=sys.executable, here=HERE, address=self.address))
        program.chmod(0o755)

    def start(self, code, *words, stdout=None, stderr=None, env=None):
        """Run Python with arguments, or a command where the code is None.

        Args:
            code: Python.
            words: The arguments.
            stdout, stderr: Open files, or their numbers; stdout may be `subprocess.PIPE`; by default our own.
            env: More of the environment.
        """
        read, write = os.pipe() if stdout == subprocess.PIPE else (None, place(stdout or sys.__stdout__))
        order = {"cwd": os.getcwd(), "env": surroundings() | (env or {}), "words": [*map(str, words)], "code": code}
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.address)
        with open(os.devnull) as nothing:
            socket.send_fds(line, [json.dumps(order).encode() + b"\n"],
                            [nothing.fileno(), write, place(stderr or sys.__stderr__)])
        if read is None:
            return Child(line)
        os.close(write)
        return Child(line, os.fdopen(read, "rb"))

    def run(self, code, *words, env=None):
        """As `start`, until its end: what `subprocess.run` gives, with the texts that it printed."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            ended = self.start(code, *words, stdout=out, stderr=err, env=env).wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, ended, out.read(), err.read())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._folder.cleanup()


def place(file):
    """The number of an open file."""
    return file if isinstance(file, int) else file.fileno()


def surroundings():
    """Our environment, with the tests on the path."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), *([before] if before else [])])}


@lru_cache(maxsize=1)
def warm():
    """The process of this process of tests."""
    made = Warm()
    atexit.register(made.close)
    return made
