"""The hot route: `recommend.next_items` from memory, with the id under which its exposure is logged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shopkeeper.doors.http.asking import Asking, wants_csv
from shopkeeper.doors.http.door import Call
from shopkeeper.doors.http.parts import Heard
from shopkeeper.doors.http.refusals import JSON, Reply
from shopkeeper.doors.http.values import VIEW, complete
from shopkeeper.menu import MENU, Entry, Parameter
from shopkeeper.recommend import Rules
from shopkeeper.recommend.live import LiveDesk
from shopkeeper.words import say

NAME = ("recommend", "next_items")
BECAUSE = Parameter("because", "bool", default=False, description=str(say("say of each item because of what.")))


def entry() -> Entry:
    """The question as the menu has it."""
    return next(one for one in MENU if (one.room, one.name) == NAME)


class Hot:
    """Answers the hot route; a view of the past, or a table, is asked like every other question.

    Args:
        asking: Answers those.
        desk: The live desk, and what it is told before it answers.
    """

    def __init__(self, asking: Asking, desk: tuple[LiveDesk, Heard]) -> None:
        self.asking, self.entry = asking, entry()
        self.desk, self.heard = desk
        self.parameters = self.entry.parameters()
        self._all = (*self.parameters, *VIEW, BECAUSE)
        self._of_rules = frozenset(one.name for one in self.parameters if one.record)

    async def __call__(self, call: Call) -> Reply:
        """Answer."""
        given = await self.asking.given(call, self._all)
        because = bool(given.pop("because", False))
        plain = "as_of" not in given and given.get("traffic") != "all" and given.get("identity") != "raw"
        if not plain or wants_csv(call.headers.get(b"accept", b"")):
            return await self.asking.answered(call, self.entry, self.parameters, given)
        complete(given, self.parameters)
        return Reply(200, await self._shown(call, given, because), JSON)

    async def _shown(self, call: Call, given: Mapping[str, object], because: bool) -> bytes:
        own = {name: value for name, value in given.items() if name in self._of_rules}
        rules = Rules(**own) if own else None  # type: ignore[arg-type]  # read by their types
        customer, n = str(given["customer"]), int(str(given.get("n", 10)))
        self.heard.tell()
        if self.desk.in_memory(customer, rules):
            return self.desk.next_items(customer, n=n, rules=rules, because=because, language=call.language).body
        shown = await asyncio.to_thread(self.desk.next_items, customer, n=n, rules=rules, because=because,
                                        language=call.language)
        return shown.body
