"""Every question through every door gives the rows that the function gives."""

import csv
import json
from io import StringIO

import pytest

from doors.asked import ask, asked, shop, values
from doors.test_page import Reader
from shopkeeper import asking
from shopkeeper.doors.cli import main
from shopkeeper.doors.commands import every
from shopkeeper.doors.language import spoken
from shopkeeper.doors.output import chosen
from shopkeeper.doors.parser import Parser, flag

ENTRIES = [f"{entry.room}.{entry.name}" for entry in asked()]


def command(name: str, *more: str) -> list[str]:
    entry = next(entry for entry in asked() if f"{entry.room}.{entry.name}" == name)
    room = [] if entry.room == entry.name else [entry.room]
    words = [*(entry.words.split() or [*room, entry.name.replace("_", "-")]), str(shop().path)]
    for key, value in values(entry).items():
        words += [flag(key), *(value if isinstance(value, tuple) else [str(value)])]
    return [*words, *(["--dry-run"] if entry.mark().kind == "act" else []), *more]


def delivered(name: str, *more: str) -> None:
    """Read a command as the program does, and give the known answer of its question to where it says."""
    language, words = spoken(command(name, *more), {})
    entry = every()[next(text for text in (" ".join(words[:2]), words[0]) if text in every())]
    parser = Parser(entry.words, entry.summary, language)
    entry.prepare(parser)
    chosen(parser.read(words[len(entry.words.split()):]), language).deliver(ask(name))


@pytest.mark.parametrize("name", ENTRIES)
def test_json_is_one_object_with_the_rows_of_the_function(name, capsys):
    assert main(command(name, "--json", "--lang", "en")) == 0

    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(asking.as_json(ask(name).to_dict("en")))
    assert {"answer", "method", "evidence", "asked", "notes"} <= set(found)


@pytest.mark.parametrize("name", ENTRIES)
def test_csv_has_the_columns_and_the_rows_of_the_function(name, capsys):
    delivered(name, "--csv")

    read = list(csv.reader(StringIO(capsys.readouterr().out, newline="")))
    assert read[0] == ask(name).table.column_names
    assert len(read) - 1 == ask(name).table.num_rows


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ENTRIES)
def test_a_page_has_every_row_and_the_evidence(name, language, capsys, tmp_path):
    file = tmp_path / "answer.html"

    delivered(name, "--html", str(file), "--lang", language)

    text = file.read_text("utf-8")
    rows = ask(name).table.num_rows
    assert Reader(text).links == []
    assert text.count("<tr>") >= rows + (1 if rows else 0)
    assert 'class="evidence"' in text


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ENTRIES)
def test_a_person_reads_title_and_evidence_in_their_language(name, language, capsys):
    delivered(name, "--lang", language)

    said = "".join(capsys.readouterr().out.split())
    for sentence in (ask(name).title, ask(name).evidence.sentence()):
        assert "".join(asking.put(sentence, language).split())[:60] in said


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ENTRIES)
def test_help_names_every_flag(name, language, capsys):
    assert main(command(name, "--help", "--lang", language)) == 0

    text = capsys.readouterr().out
    entry = next(entry for entry in asked() if f"{entry.room}.{entry.name}" == name)
    for parameter in entry.parameters():
        assert flag(parameter.name) in text or flag("no_" + parameter.name) in text


@pytest.mark.parametrize("name", ENTRIES)
def test_a_folder_that_is_no_shop_is_refused_with_code_2(name, capsys, tmp_path):
    words = [str(tmp_path) if word == str(shop().path) else word for word in command(name, "--lang", "en")]

    assert main(words) == 2
    assert "is not a shop." in capsys.readouterr().err


def test_the_menu_tells_a_program_every_command_and_its_flags(capsys):
    assert main(["menu", "--json"]) == 0

    found = {entry["command"]: entry for entry in json.loads(capsys.readouterr().out)["answer"]}
    assert found["recommend next-items"]["kind"] == "question"
    assert found["learn"]["scope"] == "learn"
    assert "--customer" in [parameter["flag"] for parameter in found["recommend next-items"]["parameters"]]
