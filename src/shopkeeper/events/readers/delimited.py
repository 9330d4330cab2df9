"""CSV and TSV: RFC 4180 quotes, any line end, each record whole or set aside.

Source: Y. Shafranovich (2005), RFC 4180, Common Format and MIME Type for Comma-Separated Values Files.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise, repeat

import pyarrow as pa
import pyarrow.compute as pc

from shopkeeper.errors import BadInput
from shopkeeper.events.raw import Broken, RawBatch
from shopkeeper.events.readers.base import MAX_COLUMNS, ReadOptions, as_lines, header_names
from shopkeeper.events.readers.text import Lines, TextLines, bad_encoding
from shopkeeper.words import Sentence, say

__all__ = ["DELIMITERS", "Delimited", "find_delimiter"]

DELIMITERS = (",", "\t", ";", "|")
_SNIFFED = 50               # lines that decide on the delimiter
_PATIENCE = 1_024           # characters that an open quote is always followed
_TRUST = 64 << 20           # characters of open quotes that may be followed in vain, at the start


def find_delimiter(text: str) -> str:
    r"""The delimiter by which most of the first lines have as many fields as the header; a comma where none does.

    >>> find_delimiter("id;name\n1;a,b\n2;c\n")
    ';'
    """
    if text.startswith("sep=") and text[5:6] in ("\r", "\n"):
        return text[4]
    csv.field_size_limit(max(csv.field_size_limit(), 2 * len(text)))  # a long cell is judged when it is read, not here
    lines = [line for line in text.splitlines() if line.strip()][:_SNIFFED]
    best, found = (0.0, 0), ","
    for delimiter in DELIMITERS:
        widths = Counter(map(len, csv.reader(lines, delimiter=delimiter)))
        header = len(next(csv.reader(lines, delimiter=delimiter), []))
        score = (widths[header] / max(1, sum(widths.values())), header)
        if header > 1 and score > best:
            best, found = score, delimiter
    return found


class Delimited:
    """The records of a delimited file, part by part.

    Attributes:
        names: The columns; known once the header has been read.
    """

    def __init__(self, lines: TextLines, delimiter: str, options: ReadOptions, name: str, problems: list[Sentence]
                 ) -> None:
        limit = options.max_record_bytes
        csv.field_size_limit(max(csv.field_size_limit(), 2 * limit))    # the module's only; it never shrinks
        self._text, self._delimiter, self._limit = lines, delimiter, limit
        self._name, self._problems = name, problems
        self.names: list[str] = list(options.header)
        self._open: list[str] = []          # the lines of a record that is not complete yet
        self._open_at, self._open_bad = 1, frozenset[int]()
        self._trust = _TRUST

    def parts(self) -> Iterator[RawBatch]:
        """The records of each block of lines, in order.

        Raises:
            BadInput: The header is not one.
        """
        for item in self._text:
            if isinstance(item, Broken):
                yield from self._parsed(Lines(item.line, "", [], last=True), cut=False)
                if not self.names:
                    raise self._no_header(item.detail)
                yield self._part([], [], [item])
            else:
                yield from self._parsed(item, cut=item.last and self._text.cut)

    def _parsed(self, block: Lines, *, cut: bool) -> Iterator[RawBatch]:
        if block.first == 1 and block.text.startswith("sep=") and block.text[5:6] in ("\r", "\n"):
            block = Lines(2, block.text[len(block.lines[0]):], block.lines[1:],
                          frozenset(place - 1 for place in block.bad), block.last)
        if self._open:
            block = Lines(self._open_at, "".join(self._open) + block.text, self._open + block.lines,
                          self._open_bad | {place + len(self._open) for place in block.bad}, block.last)
            self._open = []
        rows, starts, broken = self._records(block, cut=cut)
        if not self.names and broken and (not rows or broken[0].line < block.first + starts[0]):
            raise self._no_header(broken[0].detail)
        if rows and not self.names:
            self._take_header(rows.pop(0), block, starts.pop(0))
        if self.names:
            yield self._checked(block, rows, starts, broken)

    def _take_header(self, cells: list[str], block: Lines, start: int) -> None:
        if start in block.bad or any("\0" in cell for cell in cells):
            raise self._no_header(say("it holds bytes that are no text."))
        if len(cells) > MAX_COLUMNS:
            raise self._no_header(say("it has {found:,} columns; the limit is {limit:,}.", found=len(cells),
                                      limit=MAX_COLUMNS))
        self.names = header_names(cells, self._problems)

    def _no_header(self, detail: Sentence) -> BadInput:
        return BadInput(say("The first line of {name} is no header: {detail}", name=self._name, detail=detail),
                        do=[say("Begin the file with a line that names its columns")])

    def _records(self, block: Lines, *, cut: bool) -> tuple[list[list[str]], list[int], list[Broken]]:
        """The rows of a block, the place in it where each starts, and what is broken; blank lines are left out."""
        lines = block.lines
        if '"' in block.text:
            rows, starts, broken = self._quoted(block, cut=cut)
        else:
            rows = list(csv.reader(lines, delimiter=self._delimiter))
            starts, broken = list(range(len(rows))), []
        reached = starts and (not broken or broken[-1].line < block.first + starts[-1])
        if cut and reached and not lines[-1].endswith(("\n", "\r")):
            rows.pop()
            start = starts.pop()
            broken.append(_truncated(block.first + start, "".join(lines[start:])))
        if not all(rows):
            kept = [place for place, row in enumerate(rows) if row]
            rows, starts = [rows[place] for place in kept], [starts[place] for place in kept]
        return rows, starts, broken

    def _quoted(self, block: Lines, *, cut: bool) -> tuple[list[list[str]], list[int], list[Broken]]:
        """As `_records`, where quotes may hold line ends.

        A record whose quote never closes is set aside by its first line, and reading goes on with the next. How far an
        open quote is followed is bounded by what was read well before, so that a hostile file costs linear time.
        """
        walk = _Walk(block.lines)
        rows: list[list[str]] = []
        starts: list[int] = []
        broken: list[Broken] = []
        while walk.at < len(block.lines):
            walk.patience = min(self._limit, max(_PATIENCE, self._trust))
            try:
                for row in csv.reader(walk, delimiter=self._delimiter, strict=True):
                    rows.append(row)
                    starts.append(walk.start)
                    walk.start, walk.size = walk.at, 0
            except csv.Error:
                start, followed = walk.start, walk.size
                if walk.ran_out and not block.last:
                    self._keep_open(block, start)
                    break
                if walk.ran_out and cut:
                    broken.append(_truncated(block.first + start, "".join(block.lines[start:])))
                    break
                self._trust -= followed
                broken.append(_quote(block, start))
                walk.start = walk.at = start + 1
                walk.size = 0
        self._trust = min(_TRUST, self._trust + 8 * len(block.text))
        return rows, starts, broken

    def _keep_open(self, block: Lines, start: int) -> None:
        self._open, self._open_at = block.lines[start:], block.first + start
        self._open_bad = frozenset(place - start for place in block.bad if place >= start)

    def _checked(self, block: Lines, rows: list[list[str]], starts: list[int], broken: list[Broken]) -> RawBatch:
        """Set aside the rows that have another number of fields than the header, NUL, or bytes that are no text."""
        wanted = len(self.names)
        if not block.bad and "\0" not in block.text and set(map(len, rows)) <= {wanted}:
            return self._part(rows, [block.first + start for start in starts], broken)
        good: list[list[str]] = []
        lines: list[int] = []
        taken = {one.line for one in broken}
        ends = sorted({*starts, *(line - block.first for line in taken), len(block.lines) - len(self._open)})
        end_of = dict(pairwise(ends))
        for row, start in zip(rows, starts, strict=True):
            record = "".join(block.lines[start:end_of[start]]).rstrip("\r\n")
            if block.bad and not block.bad.isdisjoint(range(start, end_of[start])):
                broken.append(bad_encoding(block.first + start, record))
            elif "\0" in record:
                broken.append(Broken(block.first + start, "nul", say("the record holds a NUL byte."), record))
            elif len(row) != wanted:
                detail = say("the record has {found} fields; the header has {wanted}.", found=len(row), wanted=wanted)
                broken.append(Broken(block.first + start, "fields", detail, record))
            else:
                good.append(row)
                lines.append(block.first + start)
        return self._part(good, lines, broken)

    def _part(self, rows: list[list[str]], lines: list[int], broken: list[Broken]) -> RawBatch:
        columns = zip(*rows, strict=True) if rows else repeat((), len(self.names))
        arrays = [pa.array(column, pa.string()) for column in columns]
        arrays = [pc.if_else(pc.equal(pc.binary_length(array), 0), pa.scalar(None, pa.string()), array)
                  for array in arrays]
        return RawBatch(pa.table(arrays, names=self.names), as_lines(lines), sorted(broken, key=lambda one: one.line))


class _Walk:
    """Lines one by one for a csv reader, which can be set back, and which stops where a record gets too long."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.at = self.start = self.size = self.patience = 0
        self.ran_out = False        # the lines ended, and not the patience

    def __iter__(self) -> _Walk:
        self.ran_out = False
        return self

    def __next__(self) -> str:
        if self.at >= len(self._lines):
            self.ran_out = True
            raise StopIteration
        if self.size > self.patience:
            raise StopIteration
        line = self._lines[self.at]
        self.at += 1
        self.size += len(line)
        return line


def _quote(block: Lines, start: int) -> Broken:
    record = block.lines[start].rstrip("\r\n")
    if start in block.bad:
        return bad_encoding(block.first + start, record)
    return Broken(block.first + start, "quote", say("a quote is not closed, or text follows its end."), record)


def _truncated(line: int, record: str) -> Broken:
    return Broken(line, "truncated", say("the file was cut in the middle of this record."), record)
