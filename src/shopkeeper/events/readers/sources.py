"""Opening whatever a person hands over: which format it has, and a source that can be iterated."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.events.raw import RawBatch
from shopkeeper.events.readers.base import Counter, ReadOptions, Source
from shopkeeper.events.readers.columnar import arrow_file_parts, parquet_parts, plain, table_parts
from shopkeeper.events.readers.delimited import Delimited, find_delimiter
from shopkeeper.events.readers.encoding import Encoding, recognise
from shopkeeper.events.readers.jsonlines import JsonLines, array_parts, is_one_object, object_parts, record_parts
from shopkeeper.events.readers.streams import HEAD, ByteStream, container
from shopkeeper.events.readers.text import TextLines
from shopkeeper.events.readers.xlsx import looks_like_workbook, xlsx_parts
from shopkeeper.words import Sentence, say

__all__ = ["ENDINGS", "FORMATS", "Files", "expand", "from_arrow", "from_records", "open_source"]

FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx", "arrow")
ENDINGS: Mapping[str, str] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".txt": "", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}
_PACKED = (".gz", ".gzip", ".zst", ".zstd")
_TABLES = ("parquet", "arrow", "xlsx")      # formats that are not text
_LOOKED_AT = 4_096                          # characters of a text's first line
_FEW_ODD, _MOST_ODD = 4, 0.05               # odd ones among them that a table may have, and their share
_SPEAKING = {"parquet": "Parquet", "arrow": "Arrow", "xlsx": "XLSX", "csv": "CSV", "tsv": "TSV", "jsonl": "JSONL"}


class Files(list[Path]):
    """The files to read, in order; `left_out` are those of the folders that no reader knows."""

    def __init__(self, files: Sequence[Path], left_out: Sequence[Path] = ()) -> None:
        super().__init__(files)
        self.left_out = list(left_out)


def expand(paths: Sequence[str | Path]) -> Files:
    """The files behind paths: a file is itself, a folder all its files that a reader knows, a pattern what it matches.

    Folders are searched with all that is in them, in the order of the names; hidden files are left out. A file that
    is named twice is read once.

    Raises:
        UnknownName: A path or a pattern matches nothing.
        BadInput: A folder has nothing to read.
    """
    found: dict[Path, Path] = {}
    left_out: list[Path] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = _inside(path)
            known = [one for one in inside if _ending(one) is not None]
            if not known:
                raise BadInput(say("There is no file to read in the folder {path}.", path=path),
                               do=[say("Give the file itself: it is read whatever its ending is")],
                               why=say("in a folder only these endings are read: {endings}.",
                                       endings=" ".join(ENDINGS)))
            left_out += [one for one in inside if _ending(one) is None]
        else:
            known = [path] if path.exists() else _matching(str(given))
        for one in known:
            found.setdefault(one.resolve(), one)
    return Files(list(found.values()), left_out)


def _inside(folder: Path) -> list[Path]:
    every = sorted(one for one in folder.rglob("*") if one.is_file())
    return [one for one in every if not any(part.startswith(".") for part in one.relative_to(folder).parts)]


def _matching(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        raise UnknownName(say("There is no file {path}.", path=pattern))
    matches = sorted(Path(one) for one in glob.glob(pattern, recursive=True) if Path(one).is_file())
    if not matches:
        raise UnknownName(say("No file matches {pattern}.", pattern=pattern))
    return matches


def _ending(path: Path) -> str | None:
    """The format that a file's name says; empty for text of any kind, None for an unknown ending."""
    name = path.with_suffix("") if path.suffix.lower() in _PACKED else path
    return ENDINGS.get(name.suffix.lower())


def open_source(source: str | Path, *, spill: Path, options: ReadOptions | None = None) -> Source:
    """Open a file of any known format.

    The format is found by content, then by the ending, then by the first lines; gzip and zstd are unpacked on the way.

    Args:
        source: The file.
        spill: A folder for records that are too large to be kept in memory; made when the first one comes.
        options: What the file itself does not say.

    Raises:
        UnknownName: There is no such file.
        BadInput: It is of a format that is not read, or not sound.
    """
    path, options, problems = Path(source), options or ReadOptions(), list[Sentence]()
    _check(options)
    stream = ByteStream(path, problems)
    try:
        kind = _kind(path, stream, options)
        if kind in _TABLES:
            return _table_source(path, kind, options, problems, stream)
        return _text_source(stream, kind, options, spill, problems)
    except BaseException:
        stream.close()
        raise


def _check(options: ReadOptions) -> None:
    if options.format is not None and options.format not in FORMATS:
        raise BadInput(say("{format} is not a format that can be read.", format=options.format),
                       do=[say("--format {format}", format=one) for one in FORMATS])
    mark = options.delimiter
    if mark is not None and (len(mark) != 1 or mark in '"\r\n\0'):
        raise BadInput(say("A delimiter is one character, and neither a quote nor a line end."),
                       do=[say("--delimiter ';'")])


def _kind(path: Path, stream: ByteStream, options: ReadOptions) -> str:
    """The format of a file; empty for text that must still be looked at."""
    inside = container(stream.peek(512))
    if stream.packing and inside is not None:
        raise _packed_twice(stream.name, stream.packing)
    if inside == "zip" and looks_like_workbook(path):
        inside = "xlsx"
    if inside is not None and inside not in _TABLES:
        raise _not_read(stream.name, inside)
    named = _ending(path)
    wanted = options.format or ("" if inside is not None else named or "")
    if inside is None and wanted in _TABLES and stream.bytes_total:
        raise BadInput(say("{name} is not in the format {kind}, whatever its name says.", name=stream.name,
                           kind=_SPEAKING[wanted]),
                       do=[say("--format csv, if it is text"), say("Copy or export the file again")])
    if inside is not None and wanted not in ("", inside):
        raise BadInput(say("{name} is in the format {inside}, not {wanted}.", name=stream.name,
                           inside=_SPEAKING[inside], wanted=_SPEAKING[wanted]), do=[say("Leave out --format")])
    return inside or wanted


def _packed_twice(name: str, packing: str) -> BadInput:
    return BadInput(say("{name} is packed twice.", name=name), do=[say("Unpack it once, and read what comes out")],
                    why=say("only one layer of gzip or zstd around text is unpacked, so that a small file cannot grow "
                            "without end."))


def _not_read(name: str, kind: str) -> BadInput:
    if kind == "ole":
        return BadInput(say("{name} is an old or a locked Office file.", name=name),
                        do=[say("Save it as .xlsx without a password, or export the sheet as CSV")])
    return BadInput(say("{name} is an archive ({kind}).", name=name, kind=kind),
                    do=[say("Unpack it, and read the files or their folder")])


def _table_source(path: Path, kind: str, options: ReadOptions, problems: list[Sentence], stream: ByteStream) -> Source:
    counter = Counter(bytes_total=stream.bytes_total)
    stream.close()
    if stream.bytes_total == 0:
        parts: Iterator[RawBatch] = iter(())
    elif kind == "parquet":
        parts = parquet_parts(path, counter, problems)
    elif kind == "arrow":
        parts = arrow_file_parts(path, counter, problems)
    else:
        parts = xlsx_parts(path, options.sheet, counter, problems)
    return Source(path.name, kind, parts, counter, problems=problems)


def _text_source(stream: ByteStream, kind: str, options: ReadOptions, spill: Path, problems: list[Sentence]) -> Source:
    head = stream.peek(HEAD)
    encoding = recognise(head, options.encoding, stream.name)
    if encoding.note is not None:
        problems.append(encoding.note)
    text = _start(head, encoding)
    if options.encoding is None and _no_text(head, encoding):
        raise BadInput(say("{name} is no table of text: it is full of characters that nobody writes.",
                           name=stream.name),
                       do=[say("Export it as CSV, XLSX or Parquet")],
                       why=say("it may be a file of another program, packed, or encrypted."))
    if not kind:
        kind = "jsonl" if text.lstrip()[:1] in ("{", "[") else "csv"
    lines = TextLines(stream, encoding, limit=options.max_record_bytes, spill=spill)
    if kind == "jsonl":
        begin = text.lstrip().partition("\n")[0].strip()
        if begin[:1] == "[":
            parts = array_parts(stream, encoding)
        elif begin == "{" and is_one_object(stream, encoding):
            parts = object_parts(stream, encoding)
        else:
            parts = JsonLines().parts(lines)
    else:
        delimiter = options.delimiter or ("\t" if kind == "tsv" else find_delimiter(text))
        kind = "tsv" if delimiter == "\t" else kind
        parts = Delimited(lines, delimiter, options, stream.name, problems).parts()
    return Source(stream.name, kind, parts, stream, encoding=encoding.codec, problems=problems)


def _no_text(head: bytes, encoding: Encoding) -> bool:
    """Whether the first line is no text: no UTF-8, in no encoding that is marked, and full of odd characters."""
    line = head.partition(b"\n")[0]
    if encoding.mark:
        return False
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        begin = _start(line, encoding)[:_LOOKED_AT]
        return sum(map(_odd, begin)) > max(_FEW_ODD, _MOST_ODD * len(begin))
    return False


def _odd(character: str) -> bool:
    """Whether a character stands in no text: a control, or what no encoding knows."""
    return (character < " " and character not in "\t\n\r") or "\x7f" <= character < "\xa0" or character == "\ufffd"


def _start(head: bytes, encoding: Encoding) -> str:
    """The first lines as text, for looking at only."""
    return head[encoding.mark:].decode(encoding.codec, "replace")


def from_arrow(data: Any, name: str = "table") -> Source:
    """A table that is in memory already: of pyarrow, or anything that speaks its stream interface (pandas, polars).

    Raises:
        BadInput: It is no table.

    >>> [batch.table.num_rows for batch in from_arrow(pa.table({"id": [1, 2]}))]
    [2]
    """
    try:
        table = pa.table(data)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise BadInput(say("{name} is no table that can be read: {error}.", name=name,
                           error=str(error).partition("\n")[0].rstrip(". "))) from None
    index = [column for column in table.column_names if column.startswith("__index_level_")]
    problems: list[Sentence] = []
    counter = Counter(table.nbytes, table.nbytes)
    return Source(name, "arrow", table_parts(table.drop_columns(index), 0, problems), counter, problems=problems)


def from_records(records: Sequence[Mapping[str, Any]], name: str = "records") -> Source:
    """Records in memory, read as if each were a line of a JSON Lines file.

    >>> next(iter(from_records([{"id": 1, "user": {"name": "ann"}}]))).table.to_pylist()
    [{'id': '1', 'user.name': 'ann'}]
    """
    return Source(name, "jsonl", record_parts(records, plain), Counter())
