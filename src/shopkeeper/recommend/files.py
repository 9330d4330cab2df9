"""Public files of interactions, in the forms in which data sets are passed around: arrays out, no shop needed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import BadInput
from shopkeeper.recommend.methods.base import Interactions
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.words import say

__all__ = ["FORMS", "Form", "Published", "read"]

Form = Literal["auto", "lines", "sequences", "sessions"]
FORMS: tuple[str, ...] = get_args(Form)
_LOOKED = 200  # lines that the form is told from
_USER = ("user_id", "user", "userid", "customer_id", "customer", "visitorid", "session_id", "sessionid", "session")
_ITEM = ("item_id", "item", "itemid", "product_id", "movieid", "movie_id", "asin", "parent_asin")
_TIME = ("timestamp", "time", "ts", "unixreviewtime", "timeframe")
_UNITS = ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3), (0.0, 1e6))  # from this size on: microseconds of one unit


@dataclass(frozen=True)
class Published:
    """Interactions of a file.

    Attributes:
        log: One line each, in the order of customers and times; every line is a basket of its own, weight 1. Without
            times in the file, `when` is the place of the line.
        customers, items: Ids <-> rows.
        form: How the file was read.
        timed: Whether the file says times.
    """

    log: Interactions
    customers: Vocabulary
    items: Vocabulary
    form: str
    timed: bool


def read(path: Path, form: Form = "auto") -> Published:
    """Read a file of interactions.

    Args:
        path: A text file, UTF-8, with spaces, tabs, commas, semicolons or `::` between fields.
        form: `lines`: user item [time], or user item rating time, a line each, or with a header that names the columns
            (also typed, `user_id:token`); `sequences`: user item item …, in the order of time, a line a user;
            `sessions`: item item …, a line a session. `auto`: lines, where all have the same two to four fields or
            there is a header, else sequences.

    Raises:
        BadInput: The file cannot be read, holds nothing, or a line does not fit the form.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadInput(say("{path} cannot be read: {wrong}", path=str(path), wrong=str(wrong)),
                       do=[say("name a text file of interactions, in UTF-8.")]) from wrong
    split = _splitter(lines)
    fields = [split(line) for line in lines if line.strip()]
    if not fields:
        raise BadInput(say("{path} holds no interactions.", path=str(path)),
                       do=[say("name a file with a line for each interaction, or for each customer.")])
    header = _header(fields[0])
    if form == "auto":
        widths = {len(one) for one in fields[:_LOOKED]}
        form = "lines" if header or (len(widths) == 1 and 2 <= widths.pop() <= 4) else "sequences"
    if form == "lines":
        return _lines(fields, header, path)
    return _sequences(fields, form)


def _splitter(lines: list[str]) -> re.Pattern[str].split:  # type: ignore[valid-type]
    """How a line is cut into fields, told from the first one: tabs alone, `::`, commas, semicolons, else any space."""
    first = next((line for line in lines if line.strip()), "")
    mark = next((mark for mark in ("\t", "::", ",", ";") if mark in first), None)
    if mark is None:
        return str.split
    return lambda line: [field.strip() for field in line.split(mark)]


def _header(first: list[str]) -> dict[str, int] | None:
    """Which column holds what, where the first line names them; None where it is data."""
    names = [field.split(":")[0].strip('"').lower() for field in first]
    found = {what: next((names.index(name) for name in known if name in names), -1)
             for what, known in (("user", _USER), ("item", _ITEM), ("time", _TIME))}
    return found if found["user"] >= 0 and found["item"] >= 0 else None


def _lines(fields: list[list[str]], header: dict[str, int] | None, path: Path) -> Published:
    width = len(fields[0])
    columns = header or {"user": 0, "item": 1, "time": width - 1 if width > 2 else -1}
    body, first = (fields[1:], 2) if header else (fields, 1)
    for number, one in enumerate(body, first):
        if len(one) != width:
            raise _misfit(path, number, say("{n} fields, where the first line has {expected}", n=len(one),
                                            expected=width))
    when = np.arange(len(body), dtype=np.int64)
    if columns["time"] >= 0:
        when = _times([one[columns["time"]] for one in body], path, first)
    return _published([one[columns["user"]] for one in body], [one[columns["item"]] for one in body], when, "lines",
                      columns["time"] >= 0)


def _times(texts: list[str], path: Path, first: int) -> npt.NDArray[np.int64]:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO dates, as microseconds."""
    try:
        numbers = np.asarray(texts, dtype=np.float64)
    except ValueError:
        try:
            return np.asarray(texts, dtype="datetime64[us]").astype(np.int64)
        except ValueError:
            bad = next(number for number, text in enumerate(texts, first) if not _is_time(text))
            raise _misfit(path, bad, say("{text} is no time", text=repr(texts[bad - first]))) from None
    if not np.isfinite(numbers).all():
        raise _misfit(path, first + int(np.argmin(np.isfinite(numbers))), say("a time is missing"))
    size = float(np.abs(numbers).max(initial=0.0))
    return np.round(numbers * next(unit for least, unit in _UNITS if size >= least)).astype(np.int64)


def _is_time(text: str) -> bool:
    try:
        np.datetime64(text, "us")
    except ValueError:
        return False
    return True


def _sequences(fields: list[list[str]], form: str) -> Published:
    """A line a customer or a session; the place in the line is the order of time."""
    users = [str(number) for number in range(len(fields))] if form == "sessions" else [one[0] for one in fields]
    items = fields if form == "sessions" else [one[1:] for one in fields]
    sizes = [len(one) for one in items]
    names = [user for user, size in zip(users, sizes, strict=True) for _ in range(size)]
    return _published(names, [item for one in items for item in one], np.arange(sum(sizes), dtype=np.int64), form,
                      False)


def _published(users: list[str], items: Iterable[str], when: npt.NDArray[np.int64], form: str,
               timed: bool) -> Published:
    items = list(items)
    customers, things = Vocabulary.of(users), Vocabulary.of(items)
    customer, item = customers.rows(users), things.rows(items)
    order = np.lexsort((np.arange(len(when)), when, customer))  # one moment's lines stay in the order of the file
    n = len(order)
    log = Interactions(customer[order].astype(np.int32), item[order].astype(np.int32), when[order],
                       np.arange(n, dtype=np.int64), np.ones(n, np.float32), len(customers), len(things))
    return Published(log, customers, things, form, timed)


def _misfit(path: Path, number: int, what: object) -> BadInput:
    return BadInput(say("{path}, line {number}: {what}.", path=str(path), number=number, what=what),
                    do=[say("--form sequences where a line is a customer with its items"),
                        say("--form sessions where a line is a session's items")],
                    why=say("every line must have the form of the first."))
