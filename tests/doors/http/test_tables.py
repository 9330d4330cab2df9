"""Rows that are put, changed and deleted over HTTP are in the next answer."""

import pytest

from shopkeeper import Shop


def items(folder) -> dict:
    shop = Shop.open(folder)
    return {row["item_id"]: row for row in shop.store.read_table(shop.manifest, "items").to_pylist()}


def first(folder) -> str:
    return next(iter(items(folder)))


def test_put_replaces_a_row_and_patch_keeps_what_is_not_given(folding, folder):
    name = first(folder)
    assert folding("PUT", "/v1/items", json=[{"item_id": name, "title": "Green tea"}, {"item_id": "new"}]).json()[
        "stored"] == 2
    assert folding("PATCH", f"/v1/items/{name}", json={"brand": "Acme"}).json()["stored"] == 1
    folding.run(folding.service.fold())

    row = items(folder)[name]
    assert (row["title"], row["brand"], row["category"]) == ("Green tea", "Acme", None)
    assert "new" in items(folder)


@pytest.mark.parametrize("ask", [
    lambda client, ids: [client("DELETE", f"/v1/items/{name}") for name in ids],
    lambda client, ids: [client("DELETE", "/v1/items", params={"item_id": ids})],
    lambda client, ids: [client("DELETE", "/v1/items", json=ids)],
    lambda client, ids: [client("DELETE", "/v1/items", json=[{"item_id": name} for name in ids])]],
    ids=["by path", "by query", "by ids", "by rows"])
def test_rows_are_deleted_by_path_by_query_and_by_body(folding, folder, ask):
    gone = list(items(folder))[:2]

    replies = ask(folding, gone)
    folding.run(folding.service.fold())

    assert {reply.status_code for reply in replies} == {200}
    assert not set(gone) & set(items(folder))


def test_changes_are_in_the_next_answer(folding, folder):
    name = first(folder)
    folding("PATCH", f"/v1/items/{name}", json={"title": "A title of today"})

    rows = folding.get("/v1/recommend/next_items", params={"customer": "nobody", "n": 30}).json()["answer"]

    assert {row["title"] for row in rows if row["item_id"] == name} == {"A title of today"}


def test_an_id_may_hold_a_slash_and_other_scripts(folding, folder):
    folding("PUT", "/v1/items/a%2Fb%20%E8%8C%B6", json={"title": "Tea"})
    folding.run(folding.service.fold())

    assert items(folder)["a/b 茶"]["title"] == "Tea"


@pytest.mark.parametrize("table, row", [("customers", {"customer_id": "c-9", "city": "Bremen"}),
                                        ("stock", {"item_id": "i-1", "on_hand": 3}),
                                        ("campaigns", {"campaign_id": "spring", "offer": "10 %"})])
def test_every_table_takes_rows(client, table, row):
    reply = client("PUT", f"/v1/{table}", json=row)

    assert (reply.status_code, reply.json()["stored"]) == (200, 1)


@pytest.mark.parametrize("method, path, body", [
    ("PUT", "/v1/items/i-1", b"[]"), ("PUT", "/v1/items/i-1", b'{"item_id": "i-2"}'), ("PUT", "/v1/items/", b"{}"),
    ("PUT", "/v1/items/i%00", b"{}"), ("PUT", "/v1/items/i-1", b"{"), ("DELETE", "/v1/items", b""),
    ("DELETE", "/v1/items", b"[3]"), ("DELETE", "/v1/items", b"{}{"), ("PATCH", "/v1/items", b"5"),
    ("PUT", f"/v1/items/{'x' * 1001}", b"{}")])
def test_what_names_no_row_is_refused(client, method, path, body):
    reply = client(method, path, content=body, headers={"content-type": "application/json"})

    assert reply.status_code == 400, reply.text
    assert reply.json()["what"]


def test_a_row_without_its_key_is_quarantined_and_the_others_are_stored(client):
    reply = client("PUT", "/v1/items", json=[{"title": "no id"}, {"item_id": "i-1"}]).json()

    assert (reply["received"], reply["stored"] + reply["duplicate"], reply["quarantined"]) == (2, 1, 1)


def test_a_hook_hears_what_changed_once_it_is_durable(client):
    heard = []
    client.service.changed.append(lambda table, change, rows: heard.append((table, change, rows[0]["item_id"])))

    client("PUT", "/v1/items", json={"item_id": "i-77"})
    client("DELETE", "/v1/items/i-77")

    assert heard == [("items", "put", "i-77"), ("items", "delete", "i-77")]


@pytest.mark.parametrize("table", ["items", "customers", "stock", "campaigns"])
@pytest.mark.parametrize("body", [
    b"[null]", b"[1]", b'[{"item_id": "\\u0000", "customer_id": "\\u0000", "campaign_id": "\\u0000"}]'])
def test_rows_of_which_none_can_be_read_are_quarantined(client, table, body):
    found = client("PUT", f"/v1/{table}", content=body, headers={"content-type": "application/json"})

    assert (found.status_code, found.json()["quarantined"]) == (200, 1)
