"""What an advice says to type can be typed: every command that stands in a text is read by the parser."""

import json
import re
from pathlib import Path

import pytest

import shopkeeper
from shopkeeper import ledger
from shopkeeper.doors import cli, commands
from shopkeeper.doors.cli import main
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import BadInput
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.rules import OTHER_REASONS, RULES
from shopkeeper.ledger.acts import Fix
from shopkeeper.shop import Shop

ROOT = Path(shopkeeper.__file__).parent
COMMAND = re.compile(r"shopkeeper ((?:[a-z-]+ )+SHOP(?: (?:--[a-z-]+|[A-Z]+|\{[a-z]+\}))*)")
ROWS = "event,ts,customer_id,item_id,price,order_id\n" + "".join(
    f"{kind},{time},u1,tea,4,o{n}\n" for n, (kind, time) in enumerate([
        ("purchase", "2026-03-02T10:00:00Z"), ("kauf", "2026-03-03T10:00:00Z"), ("purchase", "2026 03 05")]))


def texts():
    """The texts of the ledger and of what it says on behalf of others, a line of source each with its neighbours."""
    for name in ("ledger", "events", "warehouse"):
        for path in sorted((ROOT / name).rglob("*.py")):
            yield re.sub(r'"\s*\n\s*"', "", path.read_text("utf-8"))


def read(words):
    """What the parser makes of the words of a command."""
    name, rest = cli._named(words, every := commands.every())
    command = every[name]
    turn = next((flag for flag in command.turns if flag in rest), None)
    if turn:
        command, rest = every[command.turns[turn]], [one for one in rest if one != turn]
    parser = Parser(command.words, command.summary, "en")
    command.prepare(parser)
    return parser.read(rest)


def test_every_command_in_an_advice_can_be_typed():
    found = {one for text in texts() for one in COMMAND.findall(text)}
    assert {"undo SHOP {number}", "quarantine SHOP --replay", "account SHOP"} <= found

    for command in found:
        read(command.replace("--table {name}", "--table items").replace("{", "").replace("}", "").split())


@pytest.mark.parametrize("words", [["ingest", "s", "f.csv"], ["replay", "s"], ["quarantine", "s", "--replay"]],
                         ids=lambda words: words[0])
def test_every_flag_in_the_advice_of_a_reason_is_taken_by_ingest_and_by_replay(words):
    advices = " ".join(str(one) for one in (*(rule.advice for rule in RULES), *OTHER_REASONS.values()))
    values = {"--kind": "a=purchase", "--currency": "EUR", "--order-rule": "customer-minute", "--time-format": "%Y"}
    flags = set(re.findall(r"--[a-z-]+", advices)) | {"--map", "--constant", "--time-zone"}
    assert set(values) <= flags

    for flag in flags:
        read([*words, flag, values.get(flag, "ts=a")])


def test_an_import_is_undone_as_the_account_names_it(tmp_path, capsys):
    shop = Shop.open(tmp_path / "s")
    view = {"event": "view_item", "ts": "2026-03-02T10:00:00Z", "customer_id": "a", "item_id": "tea"}
    number = shop.ingest([view]).id
    assert main(["account", str(shop.path)]) == 0
    assert str(number) in capsys.readouterr().out

    assert main(["undo", str(shop.path), "--dry-run", str(number)]) == 0
    assert main(["undo", str(shop.path), str(number)]) == 0
    assert Shop.open(shop.path).manifest.events == 0
    with pytest.raises(BadInput, match="undo needs IMPORT_ID"):
        read(["undo", str(shop.path)])


def test_the_quarantine_is_let_in_with_the_words_of_ingest(tmp_path, capsys):
    (tmp_path / "a.csv").write_text(ROWS)
    shop = str(tmp_path / "s")
    assert main(["ingest", shop, str(tmp_path / "a.csv"), "--currency", "EUR"]) == 0
    assert main(["quarantine", shop]) == 0
    assert "--replay" in capsys.readouterr().out

    for words in (["--kind", "kauf=purchase"], ["--reason", "bad_time", "--time-format", "%Y %m %d"]):
        assert main(["quarantine", shop, "--replay", *words, "--json"]) == 0
        told = {row["outcome"]: row["records"] for row in json.loads(capsys.readouterr().out)["answer"]}
        assert told["stored"] == 1
    assert ledger.quarantine(Shop.open(shop)).table.num_rows == 0


def test_a_fix_has_the_words_of_ingest():
    parser = Parser("ingest", "", "en")
    commands.every()["ingest"].prepare(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings}

    assert {"--" + name.replace("_", "-") for name in Fix.__dataclass_fields__} <= flags


def test_what_a_dialect_places_or_masks_is_no_unmapped_field_and_what_it_leaves_is_one_note(tmp_path):
    samples = Path(__file__).parents[1] / "events" / "dialects" / "samples"
    left = {}
    for name in ("taobao-orders.csv", "shopify-orders.csv"):
        shop = Shop.open(tmp_path / name)
        said = ledger.ingest(shop, [str(samples / name)])
        left[name] = [row["what"] for row in ledger.quality(shop).table.to_pylist() if row["finding"] == "unmapped"]
        mapped = next(str(note) for note in said.notes if str(note).startswith("mapped"))
        assert "order_id <- order_id" not in mapped

    assert [len(one) for one in left.values()] == [1, 1]
    words = {word for what in left.values() for word in what[0].split(", ")}
    assert "Vendor" in words
    assert not words & {"title", "status", "buyer", "time_of", "cancelled_at", "financial_status", "Phone",
                        "收货人姓名", "收货地址", "联系手机", "买家留言"}


def test_an_import_whose_times_are_of_another_zone_than_the_shop_s_days_says_so(tmp_path):
    order = {"event": "view_item", "ts": "2026-03-02 00:30:00", "customer_id": "a", "item_id": "tea"}
    (tmp_path / "a.json").write_text(json.dumps(order))
    shop = Shop.open(tmp_path / "s")
    mapping = Mapping(time_zone="Asia/Shanghai")

    said = ledger.ingest(shop, [str(tmp_path / "a.json")], mapping=mapping)
    note = next(str(one) for one in said.notes if "are cut in UTC" in str(one))
    assert 'timezone = "Asia/Shanghai" under [shop]' in note

    toml = shop.path / "shop.toml"
    toml.write_text(toml.read_text().replace('"UTC"', '"Asia/Shanghai"'))
    (tmp_path / "a.json").write_text(json.dumps({**order, "customer_id": "b"}))
    again = ledger.ingest(Shop.open(shop.path), [str(tmp_path / "a.json")], mapping=mapping)
    assert not any("are cut in" in str(one) for one in again.notes)


def test_every_day_is_in_the_picture_and_an_empty_log_is_not_called_sound(tmp_path):
    shop = Shop.open(tmp_path / "s")
    assert "no events" in str(ledger.quality(shop).title)
    shop.ingest([{"event": "view_item", "ts": f"2026-03-0{day}T10:00:00Z", "customer_id": "a", "item_id": "tea",
                  "event_id": f"e{day}"} for day in (2, 5)])

    days = ledger.quality(shop).parts["days"].to_pylist()

    assert [(row["day"].day, row["events"]) for row in days] == [(2, 1), (3, 0), (4, 0), (5, 1)]
