"""Who may do what: every route by every scope, pages of other origins, names of other machines, two shops."""

from itertools import count

import pytest

from doors.http.served import CLICK, copied, served
from shopkeeper import Shop
from shopkeeper.doors.http.door import Door
from shopkeeper.doors.http.keyring import KeyRing, scopes
from shopkeeper.doors.http.settings import Settings

SHOP_PAGE = "https://shop.example"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A door whose shop has a key for each scope."""
    folder = copied(tmp_path_factory.mktemp("keyed") / "shop")
    ring = KeyRing(folder)
    keys = {scope: ring.add(f"k-{scope}", [scope], [SHOP_PAGE] if scope == "collect" else []) for scope in scopes()}
    with served(folder, fold=False) as client:
        yield client, keys


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def door_of(client) -> Door:
    return client._http._transport.app


@pytest.mark.parametrize("scope", [*scopes(), None])
def test_every_route_lets_in_the_scopes_that_it_names_and_no_other(keyed, scope):
    client, keys = keyed
    headers = {"content-type": "application/json"} | ({} if scope is None else bearer(keys[scope]))
    for path in door_of(client).paths:
        for method in path.methods:
            body = b'{"no_such_parameter": 1}' if path.path.count("/") == 3 and "{id}" not in path.path else b"5"
            query = "" if path.scope == "" or path.path == "/metrics" else "?no_such_parameter=1"
            reply = client(method, path.path.replace("{id}", "i-1") + query, headers=headers,
                           content=None if method == "GET" else body)
            may = path.scope == "" or scope in (path.scope, "admin")
            expected = (reply.status_code not in (401, 403)) if may else reply.status_code == (
                401 if scope is None else 403)
            assert expected, (scope, method, path.path, reply.status_code)
            assert reply.status_code < 500


@pytest.mark.parametrize("headers, status", [
    ({"authorization": "Bearer shk_nonsense"}, 401), ({"authorization": "Basic YTpi"}, 401),
    ({"authorization": "Bearer "}, 401), ({"x-shopkeeper-key": b"\xff"}, 401), ({}, 401)])
def test_a_key_that_is_not_known_is_refused(keyed, headers, status):
    client, _ = keyed

    reply = client.get("/v1/ledger/account", headers=headers)

    assert reply.status_code == status
    assert reply.headers["www-authenticate"] == "Bearer"


def test_only_a_collect_key_may_stand_in_an_address(keyed):
    client, keys = keyed

    assert client.post(f"/v1/events?key={keys['collect']}", CLICK).status_code == 200
    assert client.post(f"/v1/events?key={keys['admin']}", CLICK).status_code == 403
    assert client.get(f"/v1/ledger/account?key={keys['read']}").status_code == 401


@pytest.mark.parametrize("scope", ["read", "admin", "write"])
def test_a_page_that_shows_a_key_that_may_read_is_refused_by_the_key_s_name(keyed, scope):
    client, keys = keyed

    reply = client.post("/v1/events", CLICK, headers={**bearer(keys[scope]), "origin": SHOP_PAGE})

    assert reply.status_code == 403
    assert f"k-{scope}" in reply.json()["what"]


def test_a_listed_page_may_post_and_read_what_became_of_it(keyed):
    client, keys = keyed

    asked = client("OPTIONS", "/v1/events", headers={"origin": SHOP_PAGE, "access-control-request-method": "POST"})
    posted = client.post("/v1/events", CLICK, headers={**bearer(keys["collect"]), "origin": SHOP_PAGE})
    refused = client.post("/v1/events", CLICK, headers={"origin": SHOP_PAGE})

    assert (asked.status_code, posted.status_code, refused.status_code) == (204, 200, 401)
    for reply in (asked, posted, refused):
        assert reply.headers["access-control-allow-origin"] == SHOP_PAGE
        assert reply.headers["vary"] == "origin"
    assert "authorization" in asked.headers["access-control-allow-headers"]


@pytest.mark.parametrize("page", ["https://evil.example", "null", "https://shop.example.evil", "http://shop.example"])
def test_a_page_that_is_not_listed_may_not(keyed, page):
    client, keys = keyed

    asked = client("OPTIONS", "/v1/events", headers={"origin": page, "access-control-request-method": "POST"})
    posted = client.post("/v1/events", CLICK, headers={**bearer(keys["collect"]), "origin": page})

    assert (asked.status_code, posted.status_code) == (403, 403)
    assert "access-control-allow-origin" not in posted.headers


def test_no_page_may_ask_a_question(keyed):
    client, _ = keyed

    asked = client("OPTIONS", "/v1/ledger/account", headers={"origin": SHOP_PAGE,
                                                             "access-control-request-method": "GET"})

    assert asked.status_code == 403


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"host": "127.0.0.1.evil.example"}, {"host": "evil.example:8000"}, {"host": ""},
    {"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
def test_without_keys_other_names_and_other_pages_are_refused(client, headers):
    assert client.get("/v1/ledger/account", headers=headers).status_code == 403
    assert client.post("/v1/events", CLICK, headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]", "[::1]:8000", "LOCALHOST"])
def test_without_keys_this_machine_may_do_everything(client, host):
    assert client.get("/v1/ledger/account", headers={"host": host}).status_code == 200
    assert client.get("/v1/ledger/account", headers={"host": host, "origin": f"http://{host}"}).status_code == 200


def test_without_keys_a_page_that_shop_toml_lists_may_post_and_nothing_else(folder):
    with served(folder, settings=Settings(origins=(SHOP_PAGE,)), fold=False) as client:
        assert client.post("/v1/events", CLICK, headers={"origin": SHOP_PAGE}).status_code == 200
        assert client.get("/v1/ledger/account", headers={"origin": SHOP_PAGE}).status_code == 403


def test_a_shop_that_is_not_bound_to_this_machine_is_closed_without_a_key(folder):
    with served(folder, here=False, fold=False) as client:
        assert client.get("/v1/ledger/account").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_a_new_key_closes_a_running_server_and_a_removed_one_is_out(folder):
    with served(folder, fold=False) as client:
        guard = door_of(client).guard
        guard.clock = count(guard.clock() + 10, 10).__next__
        ring = KeyRing(folder)
        assert client.get("/v1/ledger/account").status_code == 200
        key = ring.add("one", ["read"])
        assert client.get("/v1/ledger/account").status_code == 401
        assert client.get("/v1/ledger/account", headers=bearer(key)).status_code == 200
        ring.remove("one")
        assert client.get("/v1/ledger/account", headers=bearer(key)).status_code == 401
        ring.path.unlink()
        assert client.get("/v1/ledger/account").status_code == 401


def test_a_key_that_brings_too_much_is_told_when_to_come_again(folder):
    key = KeyRing(folder).add("slow", ["collect"], rate=10)
    with served(folder, fold=False) as client:
        first = client.post("/v1/events", [{**CLICK, "event_id": f"r-{n}"} for n in range(40)], headers=bearer(key))
        second = client.post("/v1/events", CLICK, headers=bearer(key))

    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 5


def test_two_shops_side_by_side_leak_nothing(tmp_path):
    one, two = copied(tmp_path / "one"), tmp_path / "two"
    Shop.open(two)
    key, other = KeyRing(one).add("mine", ["admin"]), KeyRing(two).add("theirs", ["admin"])
    with served(one, fold=False) as first, served(two, fold=False) as second:
        for client, wrong in ((first, other), (second, key)):
            for path in door_of(client).paths:
                for method in path.methods:
                    reply = client(method, path.path.replace("{id}", "i-1"), headers=bearer(wrong))
                    assert (reply.status_code == 401) == bool(path.scope), path.path
        posted = [client.post("/v1/events", {**CLICK, "event_id": "same"}, headers=bearer(right)).json()["stored"]
                  for client, right in ((first, key), (second, other))]
        described = second.get("/v1/ledger/describe", headers=bearer(other)).json()["answer"]

    assert posted == [1, 1]
    assert next(row["value"] for row in described if row["measure"] == "events") == 0
    assert not any(secret in (folder / "keys" / "api.json").read_text() for folder in (one, two)
                   for secret in (key, other))
    assert (one / "keys" / "api.json").stat().st_mode & 0o777 == 0o600


def test_the_log_has_no_key_query_body_or_identity(folder):
    from io import BytesIO

    from shopkeeper.doors.http.logs import Log

    key, out = KeyRing(folder).add("web", ["collect"]), BytesIO()
    with served(folder, fold=False, log=Log("all", out)) as client:
        client.post(f"/v1/events?key={key}", {**CLICK, "customer_id": "ann@example.org"})
        client.get("/v1/recommend/next_items?customer=ann@example.org", headers=bearer(key))
        client.get("/v1/ann@example.org")

    said = out.getvalue().decode()
    assert said.count('"event":"request"') == 3
    assert not [secret for secret in (key, "ann@", "key=") if secret in said]
