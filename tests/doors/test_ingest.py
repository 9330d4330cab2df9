"""`ingest` and `simulate`: from files to an account, by flags alone."""

import json

import pytest

from shopkeeper import Shop
from shopkeeper.doors.cli import main

LOG = ("visitorid,what,at,sku,cost\nann,pv,2026-10-01 10:00,tea,\n"
       "ann,buy,2026-10-01 10:05,tea,2.50\n,pv,2026-10-01,tea,\n")
FLAGS = ["--map", "customer_id=visitorid", "event=what", "ts=at", "--map", "item_id=sku", "price=cost", "--kind",
         "pv=view_item", "buy=purchase", "--currency", "EUR", "--order-rule", "customer-minute", "--time-zone",
         "Europe/Berlin"]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG, "utf-8")
    return path


def account(capsys) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def test_files_are_taken_in_by_flags_alone_and_accounted_for(log, tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "shop"), str(log), *FLAGS, "--json"]) == 0

    found = account(capsys)
    assert (found["received"], found["stored"], found["duplicate"], found["quarantined"]) == (3, 2, 0, 1)
    assert found["mapped"]["customer_id"] == "visitorid"
    assert Shop.open(tmp_path / "shop", create=False).manifest.events == 2


def test_the_same_file_again_stores_nothing(log, tmp_path, capsys):
    words = ["ingest", str(tmp_path / "shop"), str(log), *FLAGS, "--json"]
    assert main(words) == main(words) == 0

    last = json.loads(capsys.readouterr().out.splitlines()[1])
    assert (last["received"], last["stored"], last["duplicate"]) == (3, 0, 2)


def test_a_dry_run_shows_rows_and_leaves_no_shop(log, tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "shop"), str(log), *FLAGS, "--dry-run", "--json"]) == 0

    found = account(capsys)
    assert (found["dry_run"], found["stored"], len(found["preview"])) == (True, 2, 2)
    assert not (tmp_path / "shop").exists()


def test_a_dry_run_prints_the_first_rows_for_people(log, tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "shop"), str(log), *FLAGS, "--dry-run", "--lang", "en"]) == 0

    assert "view_item" in capsys.readouterr().out


def test_a_log_that_does_not_fit_is_refused_with_the_flag_that_would_mend_it(log, tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "shop"), str(log), "--lang", "en"]) == 2

    said = capsys.readouterr().err
    assert "  Try:  --constant event=purchase" in said
    assert "Traceback" not in said


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["ingest", str(tmp_path / "shop"), str(tmp_path / "none.csv"), "--lang", "en"]) == 2

    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_a_simulated_log_is_written_and_can_be_taken_in(form, tmp_path, capsys):
    folder = tmp_path / "files"
    assert main(["simulate", str(folder), "--customers", "20", "--items", "10", "--days", "10", "--format", form,
                 "--json"]) == 0
    made = account(capsys)

    events = next(name for name in made["files"] if name.startswith("events"))
    assert main(["ingest", str(tmp_path / "shop"), str(folder / events), "--json"]) == 0

    found = account(capsys)
    assert found["received"] == found["stored"] > 0


def test_simulate_refuses_a_folder_that_holds_something(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine", "utf-8")

    assert main(["simulate", str(tmp_path), "--lang", "en"]) == 2

    assert "is not an empty folder." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
