"""How far a long piece of work is: a bar on a terminal, a line a stage anywhere else; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from shopkeeper.doors.language import visible
from shopkeeper.words import Sentence, put

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from shopkeeper.asking import Progress


class Lines:
    """A plain line a stage, for a log or a pipe."""

    def __init__(self, language: str, to: TextIO) -> None:
        self._language, self._to = language, to

    def start(self, what: Sentence, total: float | None = None) -> None:
        """Write what begins."""
        print(visible(put(what, self._language)), file=self._to, flush=True)

    def advance(self, steps: float = 1) -> None:
        """A log has no use for it."""


class Bar:
    """One bar a stage; a stage of unknown length pulses until the next begins."""

    def __init__(self, language: str, bars: Bars) -> None:
        self._language, self._bars = language, bars
        self._task: int | None = None

    def start(self, what: Sentence, total: float | None = None) -> None:
        """Close the stage before, and draw a new bar."""
        self.finish()
        self._task = self._bars.add_task(visible(put(what, self._language)), total=total)

    def advance(self, steps: float = 1) -> None:
        """Draw the bar longer."""
        if self._task is not None:
            self._bars.advance(self._bars.task_ids[-1], steps)

    def finish(self) -> None:
        """Fill the bar of the stage at hand."""
        if self._task is None:
            return
        task = self._bars.tasks[-1]
        total = task.total if task.total is not None else max(task.completed, 1.0)
        self._bars.update(task.id, total=total, completed=total)
        self._task = None


@contextmanager
def shown(language: str, to: TextIO | None = None) -> Iterator[Progress]:
    """Progress for the length of a `with` block.

    Args:
        language: Of the stages' names.
        to: Where to; stderr by default.
    """
    out = sys.stderr if to is None else to
    if not out.isatty():
        yield Lines(language, out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=28), TaskProgressColumn(),
               TimeElapsedColumn())
    with Progress(*columns, console=Console(file=out)) as bars:
        bar = Bar(language, bars)
        yield bar
        bar.finish()
