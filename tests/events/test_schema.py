import pyarrow as pa

from shopkeeper.events.schema import (
    BY_NAME,
    COLUMNS,
    EVENTS,
    HEAD_COLUMNS,
    ITEM_COLUMNS,
    KINDS,
    MAPPABLE,
    MONEY,
    NEEDS_ITEM,
    NEEDS_NOBODY,
    NEEDS_ORDER,
    OURS,
    ROLES,
    TABLE_KEYS,
    TABLES,
)


def test_the_table_holds_what_the_vocabulary_names_each_once():
    assert len(set(EVENTS.names)) == len(COLUMNS) == len(BY_NAME) == 57
    assert EVENTS.names[:4] == ["event_id", "line", "event", "ts"]


def test_all_money_is_exact_and_all_times_are_naive_microseconds():
    money = {"price", "list_price", "item_discount", "value", "shipping", "tax", "discount"}

    assert {name for name in EVENTS.names if EVENTS.field(name).type == MONEY} == money
    assert {str(EVENTS.field(name).type) for name in ("ts", "client_ts", "sent_at", "received_at")} == {"timestamp[us]"}
    assert pa.types.is_decimal(MONEY)
    assert (MONEY.precision, MONEY.scale) == (18, 4)


def test_money_of_an_order_stands_on_its_head_and_money_of_an_item_on_its_line():
    assert HEAD_COLUMNS == ("value", "shipping", "tax", "discount")
    assert {"item_id", "variant_id", "quantity", "price", "list_price", "item_discount", "position"} <= {*ITEM_COLUMNS}


def test_whatever_can_point_to_a_person_is_marked():
    assert {column.name for column in COLUMNS if column.personal} == {
        "customer_id", "anonymous_id", "query", "text", "url", "referrer", "user_agent", "ip_prefix", "props"}


def test_a_source_fills_every_column_but_those_that_the_system_says_itself():
    assert set(MAPPABLE) | OURS == set(EVENTS.names)
    assert not set(MAPPABLE) & OURS


def test_every_kind_has_a_role_and_every_need_is_of_a_known_kind():
    assert set(KINDS.values()) == set(ROLES)
    assert set(KINDS) >= NEEDS_ITEM | NEEDS_ORDER | NEEDS_NOBODY
    assert [kind for kind, role in KINDS.items() if role == "conversion"] == ["purchase"]


def test_every_table_has_its_key_and_room_for_what_was_not_mapped():
    assert {name: schema.names[0] for name, schema in TABLES.items()} == dict(TABLE_KEYS)
    assert {schema.names[-1] for schema in TABLES.values()} == {"props"}
