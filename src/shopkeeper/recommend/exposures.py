"""What was shown to whom, as events of the log: a bounded queue that the service empties into its collector.

An exposure never waits for the disk and never makes an answer wait. What does not fit is left out, and counted.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from shopkeeper.events.pseudonyms import GUEST

LIST = "next_items"
MARK = "shown-"  # how the ids of these events begin
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Shown:
    """An answer as it goes out.

    Attributes:
        body: JSON, UTF-8: the answer of the question, and `request_id`.
        request_id: What the events that follow from the answer should carry.
        record: The exposure as an event.
    """

    body: bytes
    request_id: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """How an answer came to be given by its method.

    Attributes:
        treatment: `a` or `b` where an experiment runs, else the method.
        method: Name of the method.
        propensity: The chance that this person got this treatment.
        experiment: Which experiment; None where none runs.
    """

    treatment: str
    method: str
    propensity: float = 1.0
    experiment: str | None = None


def exposure(request_id: str, person: str, items: Sequence[str], arm: Arm, at: int) -> dict[str, Any]:
    """What was shown, as a record for the entrance: an event of the kind `view_item_list`.

    Its role is context: it says nothing of what the person wants, and its source (`serve`) keeps it from moving the
    shop's clock.

    Args:
        request_id: Of the answer.
        person: A pseudonym.
        items: Item ids, best first.
        arm: Who answered, and why.
        at: When, microseconds UTC.
    """
    record: dict[str, Any] = {
        "event_id": MARK + request_id, "event": "view_item_list", "ts": f"{_moment(at)}Z",
        "anonymous_id" if person.startswith(("a_", GUEST)) else "customer_id": person,
        "list_id": LIST, "request_id": request_id, "treatment": arm.treatment, "propensity": arm.propensity,
        "creative": arm.method,
        "items": [{"item_id": item, "position": place} for place, item in enumerate(items, 1)]}
    if arm.experiment is not None:
        record["campaign_id"] = arm.experiment
    return record


def new_id() -> str:
    """A UUID of version 7: in order of time, and random within a millisecond."""
    value = (int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")) & ~(0xF << 76) | 0x7 << 76
    text = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000, tzinfo=None).isoformat()


class Exposures:
    """The queue. Any thread puts in, one takes out.

    Args:
        most: How many may wait.
        share: The share of the answers whose exposure is logged, drawn by chance.

    Attributes:
        logged: Exposures that were taken out for good.
        left_out: Exposures that found the queue full.
        not_drawn: Exposures that the share left out.
    """

    def __init__(self, most: int, share: float = 1.0) -> None:
        self.most, self.share = most, share
        self.logged, self.left_out, self.not_drawn = 0, 0, 0
        self._queue: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._chance = random.Random()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def put(self, record: dict[str, Any]) -> None:
        """Let an exposure wait, if there is room."""
        if self.share < 1.0 and self._chance.random() >= self.share:
            self.not_drawn += 1
            return
        text = _encode(record)
        with self._lock:
            if len(self._queue) >= self.most:
                self.left_out += 1
            else:
                self._queue.append(text)

    def drain(self, most: int = 500) -> bytes | None:
        """Take out the oldest, as a JSON array of at most so many records; None where nothing waits."""
        with self._lock:
            some = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self.logged += len(some)
        return b"[" + b",".join(some) + b"]" if some else None

    def put_back(self, body: bytes) -> None:
        """Let what `drain` gave wait again, as the oldest: it could not be stored. Beyond the bound it is left out."""
        some = [bytes(one) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
        with self._lock:
            self.logged -= len(some)
            room = max(0, self.most - len(self._queue))
            self.left_out += max(0, len(some) - room)
            self._queue.extendleft(reversed(some[len(some) - min(room, len(some)):]))
