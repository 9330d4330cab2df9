"""A kept child process for what would hold up the answers: folding, compaction, learning, acts.

It takes one job a line on its standard input and gives one answer a line, as JSON. It is started afresh, so that it
inherits no lock and no thread; it ends with its parent, however that ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from shopkeeper import errors
from shopkeeper.asking import plain
from shopkeeper.doors.http import refusals, resident
from shopkeeper.doors.http.logs import where
from shopkeeper.errors import Refusal
from shopkeeper.words import Sentence, say

_LONGEST = 1 << 29  # bytes of an answer's line
_NICER = 5
_DEATH_SIGNAL = 1  # prctl: PR_SET_PDEATHSIG


class Failed(Exception):
    """A job met a defect of ours, or its process died.

    Attributes:
        job: Which.
        kind: The class of the exception; empty where the process died.
        where: Where it arose, the innermost place last.
    """

    def __init__(self, job: str, kind: str = "", where: Sequence[str] = ()) -> None:
        super().__init__(f"{job} {kind} {' < '.join(reversed(where))}")
        self.job, self.kind, self.where = job, kind, list(where)


class Worker:
    """The parent's side: one job at a time, in the order in which they came.

    Args:
        shop: The shop's folder.
    """

    def __init__(self, shop: Path) -> None:
        self.shop = shop
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def do(self, job: str, **given: object) -> Any:
        """Run a job.

        Args:
            job: `module:function`; the function takes the shop's folder and what is given, and returns plain data.
            given: Plain data.

        Returns:
            What the function returned.

        Raises:
            Refusal: The job's. Failed: It met a defect, or its process died.
        """
        async with self._turn:
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps({"job": job, "given": plain(given)}).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            except (BrokenPipeError, ConnectionResetError):
                line = b""
            except BaseException:  # whoever waited is gone: an answer that comes later must not be the next one's
                await self._kill()
                raise
            if not line:
                await self._kill()
                raise Failed(job)
        return _opened(json.loads(line), job)

    async def close(self) -> None:
        """Let the job that runs end, and the process with it."""
        async with self._turn:
            process, self._process = self._process, None
            if process is not None and process.returncode is None:
                assert process.stdin is not None
                process.stdin.close()
                await process.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shopkeeper.doors.http.worker", str(self.shop), str(os.getpid()),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST)
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


def _opened(answer: dict[str, Any], job: str) -> Any:
    if "refusal" in answer:
        raise _refusal(answer["refusal"])
    if "failed" in answer:
        raise Failed(job, answer["failed"], answer["where"])
    return answer["done"]


def _refusal(data: dict[str, Any]) -> Refusal:
    """A refusal as it was raised in the child; a class that is not known here is the nearest one that is."""
    known = {**vars(errors), **vars(refusals)}
    kind = next((known[name] for name in data["kinds"] if name in known), Refusal)
    made: Refusal = kind.__new__(kind)
    Refusal.__init__(made, Sentence.from_dict(data["what"]), do=[Sentence.from_dict(one) for one in data["do"]],
                     why=Sentence.from_dict(data["why"]) if data["why"] else None)
    return made


def _as_data(refusal: Refusal) -> dict[str, Any]:
    return {"kinds": [kind.__name__ for kind in type(refusal).__mro__], "what": refusal.what.to_dict(),
            "do": [one.to_dict() for one in refusal.do], "why": None if refusal.why is None else refusal.why.to_dict()}


def _answer(shop: Path, line: bytes) -> dict[str, Any]:
    asked = json.loads(line)
    module, _, name = asked["job"].partition(":")
    try:
        return {"done": plain(getattr(import_module(module), name)(shop, **asked["given"]))}
    except Refusal as refusal:
        return {"refusal": _as_data(refusal)}
    except OSError as wrong:
        return {"refusal": _as_data(Refusal(say("the disk: {wrong}", wrong=wrong.strerror or str(wrong)),
                                            why=say("the machine says so, not shopkeeper.")))}
    except Exception as wrong:
        return {"failed": type(wrong).__name__, "where": where(wrong)}


def main(shop: Path, parent: int) -> None:
    """The child's side: answer until the parent closes the line."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal and systemd tell the whole group; the parent tells us
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            return
    os.nice(_NICER)
    resident.keep_small()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not stand between the answers
    for line in sys.stdin.buffer:
        out.write(json.dumps(_answer(shop, line)).encode() + b"\n")
        out.flush()
        resident.give_back()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
