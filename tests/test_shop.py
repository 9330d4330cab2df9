import gc
import stat
from datetime import UTC, datetime

import pytest

from shopkeeper.errors import BadInput, BadMapping, MixedCurrencies, NotAShop, UnknownName
from shopkeeper.events.mapping import Mapping
from shopkeeper.shop import Shop, ShopConfig

VIEW = {"event_id": "e1", "event": "view_item", "ts": "2026-10-01T10:00:00Z", "customer_id": "ann", "item_id": "tea"}


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def refused(kind, do, *args, **kwargs):
    with pytest.raises(kind) as refusal:
        do(*args, **kwargs)
    assert type(refusal.value) is kind
    return str(refusal.value)


def with_settings(tmp_path, text):
    Shop.open(tmp_path / "s")
    (tmp_path / "s" / "shop.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / "s"


# ---- opening


def test_a_shop_is_made_where_there_is_none_and_found_where_there_is_one(tmp_path):
    made, again = Shop.open(tmp_path / "new" / "shop"), Shop.open(tmp_path / "new" / "shop", create=False)

    assert made.keys() == again.keys()
    assert again.name == "shop"
    assert again.manifest.version == 0


def test_the_keys_are_readable_by_their_owner_alone_and_differ_between_shops(tmp_path):
    one, two = Shop.open(tmp_path / "one"), Shop.open(tmp_path / "two")

    assert len({one.keys().pseudonym, one.keys().vault, two.keys().pseudonym, two.keys().vault}) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in (one.path / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((one.path / "keys").stat().st_mode) == 0o700


def test_a_folder_that_is_not_there_is_refused_where_none_is_to_be_made(tmp_path):
    place = tmp_path / "none"

    assert refused(NotAShop, Shop.open, place, create=False) == (
        f"{place} is not a shop.\n"
        f"  Try:  shopkeeper ingest {place} FILE\n"
        f"  Try:  shopkeeper demo {place}\n"
        "  Why:  a shop is a folder with a shop.toml; ingest makes it.")
    assert not place.exists()


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    text = (f"{tmp_path} is there already and is not a shop.\n"
            "  Try:  name a folder that is empty or not there yet.\n"
            "  Why:  a shop does not mix with other files.")

    assert refused(NotAShop, Shop.open, tmp_path) == text
    assert refused(NotAShop, Shop.open, tmp_path / "mine.txt") == text.replace(str(tmp_path),
                                                                               str(tmp_path / "mine.txt"), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_keys_that_were_put_back_by_hand_stay(tmp_path):
    keys = Shop.open(tmp_path / "old").keys()
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "keys").rename(tmp_path / "new" / "keys")

    assert Shop.open(tmp_path / "new").keys() == keys


@pytest.mark.parametrize("content", [None, "", "not hex", "ab" * 31])
def test_missing_or_damaged_keys_are_refused_when_they_are_needed(tmp_path, content):
    shop = Shop.open(tmp_path / "s")
    key = tmp_path / "s" / "keys" / "vault.key"
    key.unlink() if content is None else key.write_text(content)

    assert refused(NotAShop, shop.ingest, [VIEW]) == (
        f"the keys of {shop.path} are missing or damaged.\n"
        "  Try:  put back the folder keys/ from your backup.\n"
        "  Why:  without its key the shop cannot recognise a customer.")


# ---- settings


@pytest.mark.parametrize("config", [
    ShopConfig(),
    ShopConfig("Tante \"Emma\" \\ \n\x7f\t中", "EUR", "Asia/Shanghai", 45, {"play": "interest", "v2": "intent"})])
def test_settings_come_back_as_they_were_written(tmp_path, config):
    (tmp_path / "shop.toml").write_text(config.to_toml(), "utf-8")

    assert ShopConfig.read(tmp_path / "shop.toml") == config


WHY = "  Why:  the currency, the time zone and the kinds of the shop stand there."


@pytest.mark.parametrize("text, lines", [
    ("[shop]\ncurrency = 'euro'",
     ["{path} says currency = 'EURO'.", "  Try:  three letters, such as EUR; or none", WHY]),
    ("[sessions]\ngap_minutes = 0",
     ["{path} says gap_minutes = 0.", "  Try:  a number of minutes from 1 to 1440", WHY]),
    ("[kinds]\n'Play Now' = 'interest'",
     ["{path} says kinds = 'Play Now'.", "  Try:  lower-case letters, digits and underscores, such as play", WHY]),
    ("[kinds]\nplay = 'fun'",
     ["{path} gives play the role 'fun'.", "  Try:  one of: interest, intent, conversion, feedback, context",
      "  Why:  questions work on the roles that kinds play."]),
    ("[shop", ["{path} cannot be read: Expected ']' at the end of a table declaration",
               "  Try:  mend the file, or move it away to get a fresh one.", WHY]),
    ("shop = 3", ["{path} cannot be read: 'int' object has no attribute 'get'",
                  "  Try:  mend the file, or move it away to get a fresh one.", WHY]),
    (b"\xff", ["{path} cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
               "  Try:  mend the file, or move it away to get a fresh one.", WHY]),
])
def test_settings_that_make_no_sense_are_refused(tmp_path, text, lines):
    folder = with_settings(tmp_path, text)

    first, *rest = refused(BadInput, Shop.open, folder).splitlines()
    assert first.startswith(lines[0].replace("{path}", str(folder / "shop.toml")))  # then, the system's own words
    assert rest == lines[1:]


def test_a_time_zone_that_does_not_exist_is_refused(tmp_path):
    folder = with_settings(tmp_path, "[shop]\ntimezone = 'Mars'")

    assert refused(BadMapping, Shop.open, folder).startswith("there is no time zone 'Mars'.\n")


def test_a_kind_that_the_shop_declares_is_stored_with_its_role(tmp_path):
    shop = Shop.open(with_settings(tmp_path, "[kinds]\nplay = 'interest'"))

    done = shop.ingest([{**VIEW, "event": "play"}, {**VIEW, "event_id": "e2", "event": "read"}])

    assert (done.stored, dict(done.reasons)) == (1, {"unknown_kind": 1})
    assert shop.config.roles["play"] == "interest"


# ---- what it sees


def test_a_shop_sees_one_snapshot_until_it_is_told_to_look_again(tmp_path):
    reader, writer = Shop.open(tmp_path / "s"), Shop.open(tmp_path / "s")
    writer.ingest([VIEW])

    before = reader.engine.run(reader.events().count())
    reader.refresh()

    assert before.to_pylist() != reader.engine.run(reader.events().count()).to_pylist()
    assert (reader.manifest.events, writer.manifest.events) == (1, 1)


def test_a_shop_as_of_a_time_has_nothing_later(tmp_path):
    Shop.open(tmp_path / "s").ingest(
        [{**VIEW, "event_id": str(day), "ts": f"2026-10-{day:02d}"} for day in range(1, 11)])

    for moment in ("2026-10-05", "2026-10-05T00:00:00Z", datetime(2026, 10, 5), "2026-10-05T02:00:00+02:00"):
        shop = Shop.open(tmp_path / "s", as_of=moment)
        assert shop.engine.run(shop.events())["event_id"].to_pylist() == ["1", "2", "3", "4"]
        assert shop.now() == at("2026-10-04")


def test_a_date_that_is_none_is_refused(tmp_path):
    assert refused(BadInput, Shop.open, tmp_path / "s", as_of="soon") == (
        "'soon' is no date.\n"
        "  Try:  --as-of 2026-10-01\n"
        "  Why:  the log is shown as it stood at that time.")


def test_now_is_the_last_event_of_a_person_that_is_not_later_than_its_receipt(tmp_path):
    shop = Shop.open(tmp_path / "s")
    assert shop.now() == 0

    shop.ingest([VIEW, {**VIEW, "event_id": "e2", "ts": "2031-01-01"}], received_at=at("2027-01-01"))

    assert shop.now() == at("2026-10-01T10:00:00")


def test_a_person_is_found_by_identity_by_pseudonym_and_as_a_guest(tmp_path):
    shop = Shop.open(tmp_path / "s")
    shop.ingest([VIEW])
    known = shop.engine.run(shop.events())["customer_id"][0].as_py()

    assert shop.person("ann") == shop.person(known) == known
    assert shop.person("order:7") == "order:7"
    assert shop.person("c_" + "A" * 24) != "c_" + "A" * 24


def test_a_table_that_does_not_exist_is_refused(tmp_path):
    assert refused(UnknownName, Shop.open(tmp_path / "s").ingest, [VIEW], table="people") == (
        "there is no table 'people'.\n"
        "  Try:  one of: events, items, customers, stock, campaigns\n"
        "  Why:  each table has columns and a key of its own.")


# ---- money


def sold(shop, *currencies):
    shop.ingest([{**VIEW, "event_id": name, "event": "purchase", "order_id": name, "value": 5, "currency": name}
                 for name in currencies])
    return shop


def test_the_currency_is_the_declared_one_or_the_only_one_of_the_log(tmp_path):
    assert Shop.open(tmp_path / "none").currency() == ""
    assert sold(Shop.open(tmp_path / "one"), "CNY").currency() == "CNY"
    assert Shop.open(with_settings(tmp_path, "[shop]\ncurrency = 'eur'")).currency() == "EUR"


def test_a_currency_without_money_is_no_currency_of_the_log(tmp_path):
    shop = sold(Shop.open(tmp_path / "s"), "EUR")
    shop.ingest([{**VIEW, "currency": "USD"}])

    assert shop.currency() == "EUR"


def test_money_in_several_currencies_is_refused_by_name(tmp_path):
    assert refused(MixedCurrencies, sold(Shop.open(tmp_path / "s"), "EUR", "CNY").currency) == (
        "the log has money in CNY, EUR.\n"
        "  Try:  ask the questions that need no money, or ingest one currency into each shop.\n"
        "  Why:  amounts in different currencies cannot be added up without rates.")


def test_money_in_another_currency_than_the_declared_one_is_refused(tmp_path):
    shop = sold(Shop.open(with_settings(tmp_path, "[shop]\ncurrency = 'EUR'")), "USD")

    assert refused(MixedCurrencies, shop.currency) == (
        "the shop counts in EUR, and the log has money in USD.\n"
        "  Try:  ask the questions that need no money, or ingest one currency into each shop.\n"
        "  Why:  amounts in different currencies cannot be added up without rates.")


# ---- the simulated shop


def test_a_simulated_shop_has_every_record_and_goes_with_its_object():
    shop = Shop.simulated(customers=30, items=20, days=10)
    path, accounts = shop.path, shop.manifest.imports

    assert [entry.table for entry in accounts] == ["events", "items", "customers"]
    assert all(entry.received == entry.stored > 0 for entry in accounts)
    assert shop.installed("recommend.next_items") is None
    del shop
    gc.collect()
    assert not path.exists()


def test_a_log_in_memory_may_have_a_name_and_a_time_of_receipt(tmp_path):
    shop = Shop.open(tmp_path / "s")

    shop.ingest([VIEW], Mapping(source="pos"), name="till 3", received_at=at("2026-12-01"))

    row = shop.engine.run(shop.events()).to_pylist()[0]
    assert (row["source"], row["received_at"]) == ("pos", datetime(2026, 12, 1))
    assert (shop.manifest.imports[0].sources, shop.manifest.imports[0].at) == (("till 3",), "2026-12-01T00:00:00+00:00")


def test_a_plain_dict_is_a_mapping_of_ours_to_theirs(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    row = {"id": "1", "event": "view_item", "ts": "2026-01-01T10:00:00Z", "u": "ann", "item_id": "tea"}

    done = shop.ingest([[row]], {"customer_id": "u", "event_id": "id"})

    assert (done.stored, done.mapped["customer_id"], [str(note) for note in done.notes]) == (1, "u", [])
