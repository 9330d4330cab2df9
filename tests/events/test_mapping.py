import pytest

from shopkeeper.errors import BadMapping
from shopkeeper.events.mapping import Mapping, check_seen, plan, table_plan

NEEDED = ["event", "ts", "customer_id"]


def refused(do, *args, **kwargs):
    with pytest.raises(BadMapping) as refusal:
        do(*args, **kwargs)
    return str(refusal.value)


def test_columns_that_have_our_names_need_no_entry_however_they_are_spelled():
    fitted = plan(Mapping(), ["Event", "TS", " Customer ID ", "item-id", "colour"], "log.csv")

    assert fitted.columns == {"event": "Event", "ts": "TS", "customer_id": " Customer ID ", "item_id": "item-id"}
    assert fitted.unmapped == ("colour",)


def test_what_was_said_goes_before_a_name_that_happens_to_fit():
    fitted = plan(Mapping(columns={"query": "text", "ts": "at"}, constants={"event": "search"}),
                  ["text", "at", "ts", "event", "customer_id"], "log.csv")

    assert fitted.columns == {"query": "text", "ts": "at", "customer_id": "customer_id"}
    assert fitted.unmapped == ("ts", "event")


@pytest.mark.parametrize("name", ["source", "schema_version", "props", "traffic", "bot_score", "bot_reason"])
def test_what_the_system_says_itself_no_source_can_fill(name):
    assert plan(Mapping(), [*NEEDED, name], "log.csv").unmapped == (name,)


def test_a_column_of_theirs_that_is_not_there_is_refused():
    assert refused(plan, Mapping(columns={"item_id": "sku"}), NEEDED, "log.csv") == (
        "log.csv has no column 'sku'.\n"
        "  Try:  one of: event, ts, customer_id\n"
        "  Why:  --map takes OURS=THEIRS, and THEIRS must be a column of the file.")


def test_where_records_differ_a_column_may_come_later_and_its_absence_is_refused_at_the_end():
    mapping = Mapping(columns={"item_id": "sku"})

    assert "item_id" not in plan(mapping, NEEDED, "log.jsonl", strict="needed").columns
    assert plan(mapping, ["sku"], "log.jsonl", strict="nothing").columns == {"item_id": "sku"}
    assert refused(check_seen, mapping, NEEDED, "log.jsonl") == (
        "log.jsonl has no column 'sku'.\n"
        "  Try:  one of: event, ts, customer_id\n"
        "  Why:  --map takes OURS=THEIRS, and THEIRS must be a column of the file.")


def test_a_column_of_ours_that_does_not_exist_is_refused():
    assert refused(table_plan, Mapping(columns={"colour": "c"}), "customers", ["customer_id", "c"], "who.csv") == (
        "there is no column 'colour' in the table that who.csv is read into.\n"
        "  Try:  one of: customer_id\n"
        "  Why:  what has no column of its own is kept in props by itself.")


def test_a_source_without_a_kind_is_refused_with_what_would_give_one():
    assert refused(plan, Mapping(), ["action", "ts", "customer_id"], "log.csv") == (
        "nothing in log.csv fills event; its columns are action, ts, customer_id.\n"
        "  Try:  --map event=action\n"
        "  Try:  --constant event=purchase\n"
        "  Why:  every event needs a kind, a time and somebody or something it belongs to.")


def test_a_source_without_a_time_or_an_identity_is_refused_with_columns_that_could_be_one():
    assert refused(plan, Mapping(), ["event", "date", "visitorid"], "log.csv").splitlines()[:2] == [
        "nothing in log.csv fills client_ts / ts; its columns are event, date, visitorid.", "  Try:  --map ts=date"]
    assert refused(plan, Mapping(), ["event", "ts", "visitorid", "Invoice No"], "log.csv") == (
        "nothing in log.csv fills anonymous_id / customer_id / order_id; its columns are event, ts, visitorid, "
        "Invoice No.\n"
        "  Try:  --map customer_id=visitorid\n"
        "  Try:  --map order_id=Invoice No\n"
        "  Why:  every event needs a kind, a time and somebody or something it belongs to.")


def test_without_a_column_that_looks_right_the_refusal_shows_the_form():
    assert refused(plan, Mapping(), ["event", "customer_id"], "log.csv").splitlines()[1] == (
        "  Try:  --map client_ts=THEIR_COLUMN")


def test_prices_that_change_belong_to_nobody_and_need_no_identity():
    fitted = plan(Mapping(constants={"event": "price_change"}), ["ts", "item_id", "url"], "prices.csv")

    assert set(fitted.columns) == {"ts", "item_id", "url"}


def test_a_line_without_the_id_of_its_event_is_refused():
    assert refused(plan, Mapping(), [*NEEDED, "line"], "log.csv").splitlines()[0] == (
        "nothing in log.csv fills event_id; its columns are event, ts, customer_id, line.")


def test_money_without_a_currency_is_refused():
    assert refused(plan, Mapping(), [*NEEDED, "price", "value"], "log.csv") == (
        "log.csv has money (price, value) and no currency.\n"
        "  Try:  --currency EUR\n"
        "  Try:  --map currency=THEIR_COLUMN\n"
        "  Why:  money without a currency cannot be added up.")
    assert plan(Mapping(currency="EUR"), [*NEEDED, "price"], "log.csv").columns["price"] == "price"


@pytest.mark.parametrize("mapping", [Mapping(currency="euro"), Mapping(constants={"currency": "euro"})])
def test_a_currency_that_is_none_is_refused(mapping):
    assert refused(plan, mapping, NEEDED, "log.csv") == (
        "'euro' is no currency.\n"
        "  Try:  --currency EUR\n"
        "  Try:  --currency CNY\n"
        "  Why:  a currency is the three letters of ISO 4217.")


def test_a_word_that_can_be_no_kind_is_refused():
    text = refused(plan, Mapping(kinds={"pv": "View Item!"}), NEEDED, "log.csv").splitlines()

    assert text[0] == "'View Item!' is no name for a kind of event."
    assert text[1].startswith("  Try:  one of: select_item, view_item, ")
    assert text[2:] == ['  Try:  or declare it in shop.toml: [kinds] play = "interest"',
                        "  Why:  kinds are lower-case words, with a role that questions understand."]


def test_a_zone_or_a_time_format_that_is_none_is_refused_before_anything_is_read():
    assert refused(plan, Mapping(time_zone="Mars"), NEEDED, "log.csv").startswith("there is no time zone 'Mars'.")
    assert refused(plan, Mapping(time_format="%Q"), NEEDED, "log.csv").startswith("'%Q' is no format of a time")


@pytest.mark.parametrize("table, key", [("items", "item_id"), ("customers", "customer_id"), ("stock", "item_id"),
                                        ("campaigns", "campaign_id")])
def test_a_table_needs_its_key_and_nothing_else(table, key):
    assert table_plan(Mapping(), table, [key], "t.csv").columns == {key: key}
    assert refused(table_plan, Mapping(), table, ["x"], "t.csv").splitlines()[0] == (
        f"nothing in t.csv fills {key}; its columns are x.")
