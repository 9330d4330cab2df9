"""Undo and replay while a server has the shop: it goes on collecting, and answers from what is left."""

from doors.http.served import CLICK, account, served
from shopkeeper import Shop

EVENTS = [{**CLICK, "event_id": f"e{n}", "customer_id": f"c{n}"} for n in range(4)]


def test_an_import_is_undone_and_records_come_in_again_while_a_server_runs(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    first, second = (shop.ingest(part, received_at=1_775_000_000_000_000).id for part in (EVENTS[:2], EVENTS[2:]))
    with served(tmp_path / "shop") as client:
        posted = [{**EVENTS[3], "event_id": "p1"}, {**EVENTS[3], "event_id": "p2", "event": "levitate"}]
        assert client.post("/v1/events", posted).json()["quarantined"] == 1
        assert client.post("/v1/ledger/undo", {"import_id": second, "dry_run": True}).status_code == 200
        gone = client.post("/v1/ledger/undo", {"import_id": second}).json()["answer"]
        assert {row["measure"]: row["records"] for row in gone}["events"] == 2

        again = client.post("/v1/events", [EVENTS[2], EVENTS[0]]).json()
        assert (again["stored"], again["duplicate"]) == (1, 1)          # it is new once more; the other one is not
        client.run(client.service.fold())
        back = client.post("/v1/ledger/replay", {"kind": {"levitate": "view_item"}}).json()["answer"]
        assert back[0] == {"outcome": "stored", "records": 1}
        assert client.post("/v1/events", [{**posted[1], "event": "view_item"}]).json()["duplicate"] == 1

        refused = client.post("/v1/ledger/undo", {"import_id": second})
        assert (refused.status_code, "there is no import" in refused.text) == (404, True)
    shop = Shop.open(tmp_path / "shop")
    kept = {row["event_id"] for row in shop.engine.run(shop.engine.events()).to_pylist()}
    assert kept == {"e0", "e1", "e2", "p1", "p2"}
    assert first in {one.id for one in shop.manifest.imports}
    found = account(tmp_path / "shop")
    assert found["received"] == found["stored"] + found["duplicate"] + found["quarantined"] == 7
