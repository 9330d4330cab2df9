"""A server as it is in real life: the next answer knows what was acknowledged, what was shown is logged."""

import json
import threading
import time

import pytest

from doors.http.served import Process, events
from shopkeeper import Shop, learn
from shopkeeper.recommend import next_items


@pytest.fixture
def learned_shop(small_learned, copy_of):
    return copy_of(small_learned)


@pytest.fixture
def server(learned_shop):
    made = Process(learned_shop.path)
    yield made
    made.close()


def asked(server, customer, n=10, **more):
    found = server.http.get("/v1/recommend/next_items", params={"customer": customer, "n": n, **more})
    assert found.status_code == 200, found.text
    return found.json()


def ids(answer):
    return [row["item_id"] for row in answer["answer"]]


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_acknowledged_click_is_in_the_very_next_answer_and_in_that_of_the_question(server, learned_shop):
    item = asked(server, "stranger")["answer"][-1]["item_id"]
    click = {"event_id": "k-1", "event": "add_to_cart", "ts": "2026-03-16T10:00:00Z", "customer_id": "stranger",
             "item_id": item}
    before = asked(server, "stranger")

    assert server.http.post("/v1/events", json=click).json()["stored"] == 1
    after = asked(server, "stranger", because=True)

    assert any("stranger" in note for note in before["notes"])
    assert not any("stranger" in note for note in after["notes"])
    assert item in {reason["item_id"] for row in after["answer"] for reason in row["because"]}
    assert server.stop() == 0
    answer = next_items(Shop.open(learned_shop.path), "stranger")
    assert ids(after) == answer.table["item_id"].to_pylist()


def test_a_change_of_the_catalogue_is_in_the_very_next_answer_and_stays(server, learned_shop):
    item = asked(server, "somebody", 1)["answer"][0]["item_id"]

    server.http.patch(f"/v1/items/{item}", json={"title": "Renamed"})
    at_once = asked(server, "somebody", 1)["answer"][0]
    server.http.get("/v1/ledger/account")  # folds first
    later = asked(server, "somebody", 1)["answer"][0]

    assert (at_once["item_id"], at_once["title"], later["title"]) == (item, "Renamed", "Renamed")
    server.http.delete(f"/v1/items/{item}")
    assert asked(server, "somebody", 1)["answer"][0]["title"] is None


def test_what_was_shown_is_in_the_log_with_its_request_its_method_and_its_chance(server, learned_shop):
    clock = learned_shop.now()
    answers = [asked(server, customer, 3) for customer in ("ann", "bob", "ann")]

    assert server.stop() == 0

    shop = Shop.open(learned_shop.path)
    said = shop.events().filter(lambda t: t.source == "serve").order_by(["event_id", "line"])
    rows = shop.engine.run(said).to_pylist()
    assert len({answer["request_id"] for answer in answers}) == 3
    assert {row["request_id"] for row in rows} == {answer["request_id"] for answer in answers}
    for answer in answers:
        mine = [row for row in rows if row["request_id"] == answer["request_id"]]
        assert [row["item_id"] for row in mine if row["line"] > 0] == ids(answer)
        assert [row["position"] for row in mine if row["line"] > 0] == [1, 2, 3]
        assert {(row["event"], row["treatment"], row["propensity"]) for row in mine} == {
            ("view_item_list", answer["method"], 1.0)}
    assert {row["customer_id"] for row in rows} == {shop.person("ann"), shop.person("bob")}
    assert shop.now() == clock
    entry = next(one for one in shop.manifest.imports if one.sources == ("serve",))
    assert (entry.received, entry.stored, entry.quarantined) == (3, 3, 0)


def test_a_model_that_is_learned_elsewhere_is_taken_up_and_no_request_is_dropped(server, learned_shop):
    answered, stop = [], threading.Event()

    def ask():
        while not stop.wait(0.02):
            answered.append(server.http.get("/v1/recommend/next_items", params={"customer": "ann"}).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        learn.learn(Shop.open(learned_shop.path), learning=learn.Learning(force=True))
        version = Shop.open(learned_shop.path).manifest.version
        until(lambda: server.http.get("/readyz").json()["version"] >= version)
    finally:
        stop.set()
        asking.join()

    assert set(answered) == {200}
    assert len(answered) > 10


def test_a_shop_with_a_pause_in_its_settings_learns_by_itself_in_a_process_of_its_own(small, copy_of):
    shop = copy_of(small)
    with (shop.path / "shop.toml").open("a") as file:
        file.write("\n[serve]\nlearn_hours = 0.0001\n")
    server = Process(shop.path)
    try:
        assert asked(server, "ann")["evidence"]["kind"] == "nothing learned"
        until(lambda: asked(server, "ann")["evidence"]["kind"] == "trial", 120)
    finally:
        assert server.stop() == 0

    log = [json.loads(line) for line in (shop.path.parent / f"{shop.path.name}.log").read_text().splitlines()
           if line.startswith("{")]
    done = next(line for line in log if line["event"] == "job done")
    assert done["learned"]["recommend.next_items"].startswith("installed: ")
    assert Shop.open(shop.path).installed("recommend.next_items").version == "1"


def test_many_small_folds_are_compacted_while_the_server_runs(learned_shop):
    with (learned_shop.path / "shop.toml").open("a") as file:
        file.write("\n[serve]\nfold_seconds = 0.05\n")
    server, sent = Process(learned_shop.path), 0

    def compacted():
        segments = Shop.open(learned_shop.path).manifest.segments
        return any(segment.import_id.startswith("compacted-") for segment in segments)

    try:
        end = time.monotonic() + 120
        while sent < 200 or not compacted():
            assert time.monotonic() < end
            assert server.http.post("/v1/events", json=events(20, sent)).json()["stored"] == 20
            sent += 20
            time.sleep(0.1)
    finally:
        assert server.stop() == 0

    shop = Shop.open(learned_shop.path)
    mine = shop.events().filter(lambda t: t.source == "http:local")
    assert shop.engine.run(mine.count().name("n").as_table())["n"][0].as_py() == sent
