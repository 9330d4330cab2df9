"""What the door says of itself: the page for people, OpenAPI, health, metrics, the snippet."""

import base64
import hashlib
import json
import re

import pytest

from doors.http.served import Process
from shopkeeper.doors.cli import main
from shopkeeper.doors.http.described import operations


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_every_route_and_fetches_nothing_from_elsewhere(reader, language):
    reply = reader.get(f"/docs?lang={language}")

    for operation in operations():
        assert operation.path.replace("/{id}", "") in reply.text
        assert f">{operation.method}<" in reply.text
    assert not re.search(r"(src|href)=\"(https?:)?//", reply.text)


def test_the_page_s_policy_names_its_own_style_and_script(reader):
    reply = reader.get("/docs")

    for tag in ("style", "script"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", reply.text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert ' style="' not in reply.text


def test_openapi_has_every_route_of_the_door(reader):
    found = reader.get("/openapi.json").json()

    described = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    served = {(path.path, method) for path in reader._http._transport.app.paths for method in path.methods}
    assert found["openapi"] == "3.1.0"
    assert served - described == {("/", "GET")}
    assert described <= served
    names = [one["operationId"] for methods in found["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_every_reference_of_openapi_is_there(reader):
    text = reader.get("/openapi.json").text
    found = json.loads(text)

    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in found["components"]["schemas"]


def test_columns_that_openapi_names_are_those_of_the_answer(reader):
    for operation in operations():
        if operation.columns and operation.method == "GET" and operation.name != "recommend_next_items":
            continue
        if operation.name == "recommend_next_items":
            row = reader.get("/v1/recommend/next_items?customer=c&n=1").json()["answer"][0]
            assert list(row) == list(operation.columns)


def test_metrics_count_requests_and_records(client):
    client.post("/v1/events", [{"event": "view_item"}])
    text = client.get("/metrics").text

    assert 'shopkeeper_requests_total{method="POST",route="/v1/events",status="200"} 1' in text
    assert 'shopkeeper_records_total{outcome="quarantined"} 1' in text
    assert 'shopkeeper_request_seconds_bucket{route="/v1/events",le="+Inf"} 1' in text
    assert "shopkeeper_fsync_seconds_count 1" in text
    assert re.search(r"^shopkeeper_resident_bytes [1-9]", text, re.MULTILINE)


def test_health_readiness_and_the_snippet(reader):
    script = reader.get("/shopkeeper.js")
    again = reader.get("/shopkeeper.js", headers={"if-none-match": script.headers["etag"]})

    assert reader.get("/healthz").json() == {"status": "ok"}
    assert reader.get("/readyz").json()["ready"] is True
    assert (script.status_code, again.status_code, again.content) == (200, 304, b"")
    assert reader.get("/").headers["location"] == "/docs"


def test_a_key_is_shown_once_listed_and_removed_on_the_command_line(folder, capsys):
    made = main(["key", "add", str(folder), "--name", "web", "--scope", "collect", "--origin", "https://shop.example",
                 "--rate", "100", "--json"])
    key = json.loads(capsys.readouterr().out)
    main(["key", "list", str(folder), "--json"])
    listed = json.loads(capsys.readouterr().out)["answer"]

    assert (made, key["key"][:4], listed[0]["origins"]) == (0, "shk_", ["https://shop.example"])
    assert "key" not in listed[0]
    assert main(["key", "remove", str(folder), "--name", "web"]) == 0
    assert main(["key", "remove", str(folder), "--name", "web"]) == 2


@pytest.mark.parametrize("words", [
    ["--name", "Web!", "--scope", "read"], ["--name", "a", "--scope", "everything"], ["--name", "a"],
    ["--name", "a", "--scope", "read", "--origin", "https://x.example"],
    ["--name", "a", "--scope", "collect", "--origin", "x.example/path"],
    ["--name", "a", "--scope", "read", "--rate", "-1"]])
def test_a_key_that_makes_no_sense_is_refused(folder, words, capsys):
    assert main(["key", "add", str(folder), *words]) == 2
    assert "Try:" in capsys.readouterr().err


def test_a_server_that_is_told_to_stop_keeps_everything_and_ends_well(folder):
    from doors.http.served import account, events

    before = account(folder)["stored"]
    server = Process(folder)
    assert server.http.post("/v1/events", json=events(50)).json()["stored"] == 50
    assert "server" not in server.http.get("/healthz").headers

    assert server.stop() == 0
    assert account(folder)["stored"] == before + 50


def test_an_address_beyond_this_machine_needs_a_key(folder, capsys):
    assert main(["serve", str(folder), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "no key" in capsys.readouterr().err
