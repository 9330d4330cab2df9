"""What bounds the door, and which web pages may post: the table `[serve]` of `shop.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from shopkeeper.doors.http.keyring import origin
from shopkeeper.errors import BadInput
from shopkeeper.words import say

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Bounds of the HTTP door.

    Attributes:
        origins: Web pages that may post events, whichever key they show.
        body_bytes: The largest body, as it comes over the wire and as it unpacks.
        records: The most records in one request.
        upload_bytes: The largest file that is ingested over HTTP.
        unpacked_bytes: The most that such a file may unpack to.
        waiting: Questions that may wait for their turn.
        body_seconds: How long a body may take to come, seconds.
        fresh_seconds: How long a question waits for what came in to be folded, seconds; then it says what it lacks.
        fold_seconds: Pause between two folds, seconds.
        fold_records: So many waiting records are folded at once.
        learn_hours: Pause between two rounds of learning, hours; a very large number learns once after each start.
    """

    origins: tuple[str, ...] = ()
    body_bytes: int = 8 * MIB
    records: int = 10_000
    upload_bytes: int = 4096 * MIB
    unpacked_bytes: int = 65536 * MIB
    waiting: int = 64
    body_seconds: float = 30.0
    fresh_seconds: float = 2.0
    fold_seconds: float = 5.0
    fold_records: int = 100_000
    learn_hours: float = 24.0

    @classmethod
    def read(cls, path: Path) -> Settings:
        """The settings of a shop.

        Args:
            path: Its `shop.toml`.

        Raises:
            BadInput: A name that is not known, or a value that makes no sense.
        """
        found = tomllib.loads(path.read_text("utf-8")).get("serve", {})
        known = {entry.name: entry for entry in fields(cls)}
        for name, value in found.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
            right = isinstance(value, list) and all(isinstance(one, str) for one in value) if name == "origins" else (
                number and (isinstance(value, int) or name.endswith(("seconds", "hours"))))
            if name not in known or not right:
                raise BadInput(say("{path} says {name} = {value}.", path=str(path), name=name, value=repr(value)),
                               do=[say("one of: {names}", names=", ".join(known))],
                               why=say("origins is a list of texts; every other setting of [serve] is a number "
                                       "above 0."))
        return cls(**{**found, "origins": tuple(map(origin, found.get("origins", ())))})
