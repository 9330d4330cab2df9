"""A public file in any of its forms gives the same interactions, and a protocol means exactly what it says."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from shopkeeper.doors import benchmark as door
from shopkeeper.doors.cli import main
from shopkeeper.errors import BadInput, TooLittleHistory, UnknownName
from shopkeeper.recommend.benchmark import PROTOCOLS, Asked, compete, measured, parts
from shopkeeper.recommend.files import FORMS, read
from shopkeeper.recommend.methods.base import DAY, Ranking

LINES = [("ann", "tea", 3), ("bob", "rum", 1), ("ann", "milk", 1), ("ann", "cup", 2), ("bob", "tea", 2),
         ("bob", "cup", 3)]


def write(folder, text):
    (folder / "log.txt").write_text(text, "utf-8")
    return folder / "log.txt"


def told(data):
    """Customer -> items in the order of time, as ids."""
    log = data.log
    return {name: data.items.ids(log.item[log.customer == row]) for row, name in enumerate(data.customers.ids())}


@pytest.mark.parametrize("text", [
    "\n".join(f"{user} {item} {time}" for user, item, time in LINES),
    "\n".join(f"{user}\t{item}\t5\t{time}" for user, item, time in LINES),
    "\n".join(f"{user}::{item}::{time}" for user, item, time in LINES),
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "\n".join(
        f"{user}\t{item}\t1\t{time}" for user, item, time in LINES),
    "timestamp,product_id,customer_id\r\n" + "".join(f"{time},{item},{user}\r\n" for user, item, time in LINES),
    "ann milk cup tea\n\nbob rum tea cup",
    "\n".join(f"{user},{item},2026-01-0{time}" for user, item, time in LINES),
], ids=["spaces", "tabs and ratings", "colons", "typed header", "named columns", "sequences", "dates"])
def test_every_form_of_a_file_gives_the_same_interactions(tmp_path, text):
    form = "sequences" if text.startswith("ann milk") else "auto"

    assert told(read(write(tmp_path, text), form)) == {"ann": ["milk", "cup", "tea"], "bob": ["rum", "tea", "cup"]}


def test_a_line_a_customer_is_told_from_lines_of_one_length_and_a_session_has_no_name(tmp_path):
    path = write(tmp_path, "1 7 8 9 7 6\n2 7\n3 9 8\n")

    assert told(read(path)) == {"1": ["7", "8", "9", "7", "6"], "2": ["7"], "3": ["9", "8"]}
    assert told(read(path, "sessions"))["1"] == ["2", "7"]


@pytest.mark.parametrize("time, unit", [(1_700_000_000, 1e6), (1_700_000_000_000, 1e3), (1_700_000_000_000_000, 1)])
def test_times_of_any_unit_become_microseconds(tmp_path, time, unit):
    data = read(write(tmp_path, f"a x {time}\na y {time + 1}\n"))

    assert data.log.when.tolist() == [int(time * unit), int((time + 1) * unit)]


def test_a_line_that_does_not_fit_is_named_with_what_to_do(tmp_path):
    path = write(tmp_path, "a x 1\nb y 2\nc z\n")
    with pytest.raises(BadInput) as refused:
        read(path, "lines")

    assert str(refused.value) == (
        f"{path}, line 3: 2 fields, where the first line has 3.\n"
        "  Try:  --form sequences where a line is a customer with its items\n"
        "  Try:  --form sessions where a line is a session's items\n"
        "  Why:  every line must have the form of the first.")
    with pytest.raises(BadInput, match="line 2: 'soon' is no time"):
        read(write(tmp_path, "a x 1\nb y soon\n"))
    with pytest.raises(BadInput, match="holds no interactions"):
        read(write(tmp_path, "\n \n"))
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "nowhere.txt")


def test_leave_one_out_tests_the_last_item_and_validates_the_one_before(tmp_path):
    data = read(write(tmp_path, "1 a b c d\n2 b c\n3 d a b\n"))
    valid, test = parts(data, Asked())
    name = data.items.ids()

    assert [name[row] for row in valid.wanted.items] == ["c", "a"]
    assert [name[row] for row in test.wanted.items] == ["d", "b"]
    assert [name[row] for row in test.histories.item] == ["a", "b", "c", "d", "a"]
    assert (len(valid.log), len(test.log)) == (3 + 2, 5 + 2)
    assert test.left_out == 1


def test_a_time_split_knows_nothing_of_its_window_and_leaves_out_what_was_had(tmp_path):
    day = DAY // 1_000_000
    rows = [("ann", "tea", 99 * day), ("bob", "rum", 101 * day), ("ann", "rum", 103 * day), ("bob", "tea", 103 * day),
            ("ann", "tea", 105 * day), ("bob", "cup", 105 * day), ("eve", "cup", 105 * day)]
    data = read(write(tmp_path, "\n".join(f"{user} {item} {time}" for user, item, time in rows)))
    asked = Asked("time-split", days=2)
    test = parts(data, asked)[1]

    assert [data.customers.ids()[row] for row in test.customers] == ["bob", "eve"]
    assert int(test.log.when.max()) < test.now <= 104 * DAY
    assert np.diff(test.histories.indptr).tolist() == [2, 0]
    kept = parts(data, Asked("time-split", days=2, keep_seen=True))[1]
    assert [data.customers.ids()[row] for row in kept.customers] == ["ann", "bob", "eve"]


@dataclass(frozen=True)
class Setting:
    right: bool = False


class Knowing:
    """Ranks what it was told first in one of its settings, and says that it is sure of its first."""

    name = "knowing"

    def __init__(self, wanted):
        self.wanted = wanted

    def candidates(self):
        return [Setting(), Setting(right=True)]

    def fit(self, interactions, now, params):
        fitted = Ranking(np.zeros(interactions.n_items, np.float32))
        fitted.popularity[self.wanted if params.right else self.wanted[-1:]] = 1
        fitted.probability = lambda histories, _: np.tile(fitted.popularity, (len(histories), 1))
        return fitted


def test_the_setting_is_chosen_on_validation_and_stated_probabilities_are_judged(tmp_path):
    data = read(write(tmp_path, "1 a b c d\n2 b a c d\n3 a b c d\n"))
    valid, test = parts(data, Asked(n=2))
    found = measured(Knowing([2, 3]), valid, test, Asked(n=2))

    assert found.setting == "Setting(right=True)"
    assert found.recall.tolist() == [1, 1, 1]
    assert found.figures["calibration"] == pytest.approx(0)
    assert found.figures["coverage"] == 0.25
    assert found.figures["popularity_lift"] is not None


def test_the_same_file_and_seed_give_the_same_figures_and_what_states_no_chances_has_no_calibration(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path, "\n".join(f"{user} " + " ".join(map(str, rng.permutation(12)[:6])) for user in range(30)))
    one, other = (compete(read(path), Asked(methods=("popular", "factors")), fresh=False) for _ in range(2))
    drop = ["train_seconds", "peak_mb", "milliseconds"]

    assert one.table.drop_columns(drop) == other.table.drop_columns(drop)
    assert one.table["calibration"].null_count == 2
    assert all(low <= mean <= high for low, mean, high in zip(
        *(one.table[name].to_pylist() for name in ("ndcg_low", "ndcg", "ndcg_high")), strict=True))


def test_what_cannot_be_measured_is_refused(tmp_path):
    data = read(write(tmp_path, "1 a b c d\n2 b c a\n"), "sequences")

    with pytest.raises(BadInput, match="a time split needs times"):
        parts(data, Asked("time-split"))
    with pytest.raises(UnknownName, match="no method 'best' competes"):
        compete(data, Asked(methods=("best",)), fresh=False)
    with pytest.raises(TooLittleHistory, match="at least 2 customers with a case; this file has 1"):
        parts(read(write(tmp_path, "1 a b c d\n2 b c\n"), "sequences"), Asked())


def test_the_command_prints_one_object_with_protocol_and_figures(tmp_path, capsys):
    path = write(tmp_path, "1 a b c d\n2 b a c d\n3 a d c b\n")

    assert main(["benchmark", "recommend", "--data", str(path), "--form", "sequences", "--n", "2", "--methods",
                 "popular", "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["asked"]["protocol"] == "leave-one-out"
    assert [row["method"] for row in said["answer"]] == ["popular"]
    assert said["answer"][0]["peak_mb"] > 1
    assert main(["benchmark", "recommend"]) == 2
    assert "no file of interactions is named" in capsys.readouterr().err


def test_the_command_offers_the_protocols_and_forms_that_there_are():
    assert (door.PROTOCOLS, door.FORMS) == (PROTOCOLS, FORMS)


def test_the_answer_says_from_when_to_when_so_that_ratings_are_not_taken_for_times(tmp_path):
    data = read(write(tmp_path, "1 a 5\n1 b 4\n1 c 3\n2 a 1\n2 c 2\n2 b 5\n"))
    answer = compete(data, Asked(n=1, methods=("popular",)), fresh=False)

    assert "times from 1970-01-01 to 1970-01-01" in str(answer.notes[0])


def test_what_does_not_compete_over_such_a_log_is_left_out_and_named(tmp_path):
    data = read(write(tmp_path, "1 a b c d\n2 b a c d\n3 a d c b\n"), "sequences")
    answer = compete(data, Asked(n=1), fresh=False)

    assert answer.table["method"].to_pylist() == ["popular", "buy_again", "neighbours", "factors"]
    assert str(answer.notes[-1]).startswith("not among them: blend, sequence;")
