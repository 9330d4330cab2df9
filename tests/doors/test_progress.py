"""Progress is a bar on a terminal and a line a stage anywhere else."""

from io import StringIO

from shopkeeper.doors.progress import shown
from shopkeeper.words import say


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def work(to: StringIO) -> str:
    with shown("en", to) as told:
        told.start(say("reading the log"), 4)
        told.advance(2)
        told.start(say("Writing {path}", path="[bold]x\x1b[2J"))
        told.advance()
    return to.getvalue()


def test_a_pipe_gets_one_plain_line_a_stage():
    assert work(StringIO()) == "reading the log\nWriting [bold]x␛[2J\n"


def test_a_terminal_gets_bars_that_end_full():
    text = work(Terminal())

    assert "reading the log" in text
    assert "100%" in text
    assert "[bold]x␛[2J" in text


def test_advancing_before_a_stage_has_begun_is_no_defect():
    to = Terminal()
    with shown("en", to) as told:
        told.advance()

    assert "%" not in to.getvalue()
