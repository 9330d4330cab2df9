"""`shopkeeper watch`, written by hand: live counts and what rings, as folds come in."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from shopkeeper.doors import output, parser, printing
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import BadInput
from shopkeeper.menu import Parameter
from shopkeeper.words import put, say, word

if TYPE_CHECKING:
    from shopkeeper.shop import Shop
    from shopkeeper.trends.live import Watcher
    from shopkeeper.trends.ringing import Firing

WATCH = say("Watch live counts, and what rings.")
DAY = 86_400_000_000   # microseconds
ALIVE = 7 * DAY        # a log whose clock is further back is an old one, and time goes on where it stands
SHOWN = 8              # firings on the screen


def prepare(to: Parser) -> None:
    """Give the parser the flags of `watch`."""
    to.place("shop", say("the shop's folder"))
    to.add_argument("--every", type=parser.converter("--every", Parameter("every", "float")), metavar="N", default=2.0,
                    help=to.text(say("seconds between two looks (default: 2)")))
    to.add_argument("--once", action="store_true", default=False, help=to.text(say("look once, and stop")))
    to.add_argument("--deliver", action="store_true", default=False,
                    help=to.text(say("also keep what rings and send it to the webhooks, where no server does")))
    output.add(to, table=False)


def run(found: Namespace, out: Output) -> None:
    """Watch until Ctrl-C, or once."""
    from shopkeeper.shop import Shop
    from shopkeeper.trends.live import Watcher

    if not 0.1 <= found.every <= 3600:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name="every",
                           value=found.every, low=0.1, high=3600), do=[say("--every 2")])
    shop = Shop.open(found.shop, create=False)
    screen = Screen(Watcher(shop, keeps=found.deliver), out, found.deliver)
    try:
        if out.form == "people" and sys.stdout.isatty() and not found.once:
            _live(screen, found.every)
            return
        while True:
            screen.look(_now(shop, screen))
            screen.tell()
            if found.once:
                return
            time.sleep(found.every)
    except KeyboardInterrupt:
        return


def _now(shop: Shop, screen: Screen) -> int:
    """The machine's clock; for an old log, its own clock, going on from where it stands."""
    wall = int(time.time() * 1e6)
    clock = screen.watcher.buckets.now or wall
    if wall - clock < ALIVE:
        return wall
    return max(clock, screen.stood or clock) + (wall - screen.began)


def _live(screen: Screen, seconds: float) -> None:
    """Draw on a terminal, again and again."""
    from rich.live import Live

    with Live(console=printing.console_to(), auto_refresh=False, screen=False) as live:
        while True:
            screen.look(_now(screen.watcher.shop, screen))
            live.update(screen.drawn(), refresh=True)
            time.sleep(seconds)


@dataclass
class Screen:
    """What is shown: the counts as of the last look, and what has rung.

    Attributes:
        watcher: Counts and judges.
        out: Language and form.
        deliver: Send to webhooks.
        firings: What rang since this began, the newest last.
    """

    watcher: Watcher
    out: Output
    deliver: bool = False
    firings: list[Firing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began, self.stood = int(time.time() * 1e6), self.watcher.buckets.now
        self._at, self._new = 0, list(self.firings)
        self._counts: dict[str, tuple[int, int, int]] = {}
        self._told: object = None

    def look(self, now: int) -> None:
        """Take in what is new, and judge it."""
        self._new = self.watcher.tick(now)
        self.firings += self._new
        self._at, self._counts = now, self.watcher.lately(now)
        if self.deliver and self.watcher.waiting:
            from shopkeeper.doors.webhook import sender_of

            self.watcher.deliver(sender_of(self.watcher), now)

    def tell(self) -> None:
        """Write counts that have changed, and what newly rings: for a program a JSON object a line, else plain text."""
        changed = self._told is None or self._counts != self._told
        self._told = self._counts
        if self.out.form == "json":
            self._tell_json(changed)
        elif changed or self._new:
            console = printing.console_to()
            printing.line(console, self._heading(), "bold")
            printing.table(console, *self._table())
            for firing in self._new:
                printing.line(console, f"! {put(firing.sentence(self._zone), self.out.language)}")
        sys.stdout.flush()

    def _tell_json(self, changed: bool) -> None:
        from shopkeeper.asking import as_json

        shop = self.watcher.shop
        if changed:
            printing.write(as_json({"at": datetime.fromtimestamp(self._at / 1e6, UTC), "rules": self.watcher.rules,
                                    "counts": {kind: dict(zip(("minute", "hour", "day"), counts, strict=True))
                                               for kind, counts in self._counts.items()}}))
        for firing in self._new:
            printing.write(as_json({"firing": firing.to_dict(shop.name, self._zone)}))

    @property
    def _zone(self) -> str:
        return self.watcher.shop.config.timezone

    def _heading(self) -> str:
        local = datetime.fromtimestamp(self._at / 1e6, UTC).astimezone(ZoneInfo(self._zone))
        return put(say("{name}, {time}: {n:,} rules watch", name=self.watcher.shop.name,
                       time=f"{local:%Y-%m-%d %H:%M:%S}", n=self.watcher.rules), self.out.language)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        language = self.out.language
        headings = [word("kind", language), word("last minute", language), word("last hour", language),
                    word("last 24 hours", language)]
        rows = sorted(self._counts.items(), key=lambda item: (-item[1][2], item[0]))
        return headings, [[kind, *(f"{count:,}" for count in counts)] for kind, counts in rows]

    def drawn(self) -> Any:
        """The whole of it, for a terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from shopkeeper.doors.language import visible

        headings, body = self._table()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, heading in enumerate(headings):
            table.add_column(Text(heading), justify="right" if place else "left")
        for row in body:
            table.add_row(*(Text(visible(cell)) for cell in row))
        rung = [Text(visible(f"! {put(one.sentence(self._zone), self.out.language)}"), style="red")
                for one in self.firings[-SHOWN:]]
        end = Text(put(say("Ctrl-C ends."), self.out.language), style="dim")
        return Group(Text(visible(self._heading()), style="bold"), table, *rung, end)
