import json
from collections import Counter

import pyarrow as pa
import pytest

from events.taking import BUY, KEYS, RECEIVED, VIEW, clean, digests, rows
from shopkeeper.events.arrivals import Requests, judge_events
from shopkeeper.events.cleaning import TableCleaner
from shopkeeper.events.mapping import Mapping, table_plan
from shopkeeper.events.personal import MASKS, mask, mask_json, mask_url, said
from shopkeeper.events.readers import from_records
from shopkeeper.events.schema import KINDS
from shopkeeper.words import put

MAIL, PHONE, CARD, IDENTITY = MASKS["email"], MASKS["phone"], MASKS["card"], MASKS["id"]
ACCOUNT, MACHINE, NAME, STREET = MASKS["iban"], MASKS["ip"], MASKS["name"], MASKS["address"]


@pytest.mark.parametrize("written, masked", [
    ("write to ann.lee+x@mail.example.co.uk.", f"write to {MAIL}."), ("邮箱ａｎｎ＠example.com谢谢", f"邮箱{MAIL}谢谢"),
    ("ann (at) example.org", MAIL), ("ann at example dot com", MAIL),
    ("call (415) 555-2671 or +49 (0)30 123456", f"call {PHONE} or {PHONE}"), ("Tel.138-0013-8000", f"Tel.{PHONE}"),
    ("手机１３８００１３８０００", f"手机{PHONE}"), ("电话010-88886666", f"电话{PHONE}"),
    ("my mobile is 4155552671", f"my mobile is {PHONE}"),
    ("卡号6222 0212 3456 7890 128。", f"卡号{CARD}。"), ("3782 822463 10005", CARD), ("4111111111111111", CARD),
    ("call 0151 234 567 89 today", f"call {PHONE} today"), ("reach me at 4155552671", f"reach me at {PHONE}"),
    ('"ann lee"@example.org, иван7@example.ru', f"{MAIL}, {MAIL}"), ("邮箱用户@例子.中国谢谢", f"邮箱{MAIL}谢谢"),
    ("to DE89 3704 0044 0532 0130 00 please", f"to {ACCOUNT} please"), ("gb29nwbk60161331926819", ACCOUNT),
    ("ssn 123-45-6789", f"ssn {IDENTITY}"),
    ("social security number 123456789", f"social security number {IDENTITY}"),
    ("from 203.1.113.77 or 2001:4860:4860::8888", f"from {MACHINE} or {MACHINE}"),
    ("身份证11010519491231002X", f"身份证{IDENTITY}"), ("110105 19491231 002x", IDENTITY),
])
def test_what_names_a_person_is_masked_and_the_words_around_it_stay(written, masked):
    assert mask(written) == masked


@pytest.mark.parametrize("written", [
    "order no. 13800138000", "订单号：13800138000", "EAN 4006381333931", "4006381333931", "1764000000000", "1764000000",
    "2026-11-24 10:15:00", "20261124101500", "192.168.100.200", "550e8400-e29b-41d4-a716-446655440000", "logo@2x.png",
    "4111111111111112", "110105194912310021", "€1,299.00", "tracking 4111 1111 1111 1111", "@ann", "3 @ 9.99",
    "DE89370400440532013001", "order 123-45-6789", "order number 4155552671", "firmware 8.15.3.2",
    "Chrome/120.0.0.0",
    "10.1.2.3", "std::vector", "v10.15.7", "快递单号 6222021234567890128", "1920x1080", "iPhone 15 256",
])
def test_orders_codes_times_and_prices_stay(written):
    assert mask(written) == written


def test_the_name_of_a_field_says_what_a_number_in_it_is():
    text = ('{"Phone number":"4155552671","orderId":"13800138000","mobile":13800138000,"n":1.50,'
            '"card_number":"5555444433331111",'
            '"sub":[{"note":"x@example.org"}],"inner":"{\\"mail\\":\\"y@example.org\\"}","big":12345678901234567890}')
    seen = Counter()

    hidden = json.loads(mask_json(text, seen))

    assert hidden == {"Phone number": PHONE, "orderId": "13800138000", "mobile": PHONE, "n": 1.5, "card_number": CARD,
                      "sub": [{"note": MAIL}], "inner": f'{{"mail":"{MAIL}"}}', "big": 12345678901234567890}
    assert seen == Counter(email=2, phone=2, card=1)
    assert '"n":1.50,' in mask_json(text)


def test_an_address_is_masked_in_its_query_and_its_paths_keep_their_numbers():
    url = "https://shop.example/p/13800138000?email=ann%40example.org&tel=%2B49+30+123456&order=13800138000&p=2#x"

    assert mask_url(url) == (f"https://shop.example/p/13800138000?email={MAIL}&tel={PHONE}"
                             "&order=13800138000&p=2#x")
    assert mask_url("/u/ann@example.org.png/7?ip=203.1.113.77&first_name=Ann+Lee") == (
        f"/u/{MAIL}/7?ip={MACHINE}&first_name={NAME}")
    assert mask_url("https://shop.example/a/ann@example.org/photo@2x.png") == f"https://shop.example/a/{MAIL}/photo@2x.png"


WRITTEN = {**VIEW, "event": "review", "text": "ask ann@example.org", "query": "13800138000",
           "extra": "call 415-555-2671", "url": "https://shop.example/?m=ann@example.org", "rating": 5}


def test_stored_rows_hold_nothing_personal_and_the_account_counts_it():
    found = clean([WRITTEN, {**WRITTEN, "event_id": "e2"}, VIEW])
    row = found.events.to_pylist()[0]

    assert [row[name] for name in ("text", "query", "url", "props")] == [
        f"ask {MAIL}", PHONE, f"https://shop.example/?m={MAIL}", f'{{"extra":"call {PHONE}"}}']
    assert found.hidden == Counter(email=4, phone=4)
    assert [put(note, "en") for note in said(found.hidden)] == [
        "4 e-mail addresses in texts were masked.", "4 telephone numbers in texts were masked."]


def test_names_and_digests_of_records_are_made_of_what_came():
    other = {**WRITTEN, "text": "ask bob@example.org"}
    nameless = [{name: cell for name, cell in one.items() if name != "event_id"} for one in (WRITTEN, other)]

    first, second = (row["event_id"] for row in rows(*nameless))

    assert first != second                                      # both read `ask [email]`
    assert len(set(digests([WRITTEN, {**other, "event_id": "e2"}]))) == 2


def test_ids_are_never_masked():
    row = rows({**BUY, "event_id": "13800138000", "order_id": "4111111111111111", "item_id": "11010519491231002X"})[0]

    assert (row["event_id"], row["order_id"], row["item_id"]) == (
        "13800138000", "4111111111111111", "11010519491231002X")


def test_a_table_without_anything_personal_comes_back_as_it_is():
    found = clean([{**VIEW, "note": "tea 4006381333931", "took": 1764000000000, "query": "tea"}])

    assert found.events["props"].to_pylist() == ['{"note":"tea 4006381333931","took":"1764000000000"}']
    assert found.events["query"].type == pa.string()
    assert not found.hidden


@pytest.mark.parametrize("address, prefix", [
    ("203.0.113.77", "203.0.113.0/24"), ("::ffff:203.0.113.77", "203.0.113.0/24"),
    ("::ffff:cb00:714d", "203.0.113.0/24"), ("::ffff:203.0.113.77/128", "203.0.113.0/24"),
    ("2001:db8:1:2::3", "2001:db8:1::/48"), ("10.0.0.0/8", "10.0.0.0/8"),
    ("::1", "::/48"), ("203.0.113", None), ("203.0.113.777", None), ("2001:db8:::3", None),
    ("fe80::1%eth0", "fe80::/48"), ("unknown", None), ("203.0.113.77:8080", None),
])
def test_of_an_address_only_its_network_is_kept_and_of_what_is_none_nothing(address, prefix):
    assert rows({**VIEW, "ip_prefix": address})[0].get("ip_prefix") == prefix


def test_a_posted_event_is_masked_when_it_is_cleaned():
    texts = [json.dumps(WRITTEN).encode()]

    judged = judge_events(Requests.of(texts, RECEIVED, None), "web", KINDS, KEYS)

    assert judged.rows["text"].to_pylist() == [f"ask {MAIL}"]
    assert judged.rows["props"].to_pylist() == [f'{{"extra":"call {PHONE}"}}']


def test_a_customers_table_keeps_no_address_in_its_props():
    mapping = Mapping()
    batch = next(iter(from_records([{"customer_id": "ann", "email": "ann@example.org", "city": "Ulm",
                                             "name": "Ann Lee", "收货地址": "杭州市西湖区"}])))
    fitted = table_plan(mapping, "customers", batch.table.column_names, "crm")

    found = TableCleaner(fitted, "customers", KEYS, "crm").clean(batch)

    assert found.events["props"].to_pylist() == [
        f'{{"city":"Ulm","email":"{MAIL}","name":"{NAME}","收货地址":"{STREET}"}}']
    assert found.hidden == Counter(email=1, name=1, address=1)


def test_names_and_streets_stay_out_of_any_log_and_names_of_things_stay_in():
    told = {"first_name": "Ann", "shippingAddress1": "12 Main St", "手机": "138 0013 8000", "product_name": "Kettle",
            "customer": {"name": "Ann Lee", "street": "Main 12"}, "thing": {"name": "Tea"}, "name": "Front page"}

    found = clean([{**VIEW, **told}, {**VIEW, "event_id": "e2", "product_name": "Tea", "name": "Basket"}])
    props = [json.loads(text) for text in found.events["props"].to_pylist()]

    assert props[0] == {"first_name": NAME, "shippingAddress1": STREET, "手机": PHONE, "product_name": "Kettle",
                        "customer.name": NAME, "customer.street": STREET, "thing.name": "Tea", "name": NAME}
    assert props[1] == {"product_name": "Tea", "name": NAME}     # beside people's fields, a bare name is theirs
    assert clean([{**VIEW, "name": "Basket"}]).events["props"].to_pylist() == ['{"name":"Basket"}']
