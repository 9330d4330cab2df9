"""Who answers: the installed method, or the plainest rule where nothing is learned; a broken model is refused."""

import json

import numpy as np
import pytest

from shopkeeper import recommend
from shopkeeper.errors import Damaged, UnknownName
from shopkeeper.recommend.desk import desk
from shopkeeper.recommend.inputs import read_log
from shopkeeper.recommend.methods.popular import Popular
from shopkeeper.recommend.trials import QUESTIONS
from shopkeeper.shop import Shop


def model_file(shop, question, name):
    serving = shop.manifest.models[question].serving
    return shop.path / "models" / "recommend" / question.split(".")[1] / serving / name


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_nothing_is_learned_popular_answers_as_if_fitted_on_the_whole_log(small, question):
    found, log = desk(small, question), read_log(small)
    log = log.turned() if question == "recommend.audience" else log
    fitted = Popular().fit(log.interactions, log.now + 1, Popular().candidates()[0])

    same = found.things.rows(log.items.ids())
    assert sorted(same) == list(range(len(found.things)))
    assert (found.fitted.name, found.learned) == ("popular", False)
    assert found.fitted.ever[same] == pytest.approx(fitted.ever, rel=1e-6)
    assert np.isclose(found.fitted.popularity[found.fitted.order], fitted.popularity[fitted.order], rtol=1e-5).all()


@pytest.mark.parametrize("question", QUESTIONS)
def test_where_nothing_is_learned_the_evidence_says_so(small, question):
    found = desk(small, question).evidence

    assert found.kind == "nothing learned"
    assert str(found.sentence()) == (
        "nothing has been learned yet, so the plainest rule answers (popular); `learn` tries the others")


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_won_the_trial_answers_and_the_trial_is_its_evidence(small_learned, question):
    found = desk(small_learned, question)

    assert found.learned
    assert found.evidence.kind == "trial"
    assert found.fitted.name == found.evidence.winner


def test_a_shop_of_things_that_nobody_touched_lately_still_answers(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([[{"event_id": "1", "event": "view_item", "ts": "2026-01-05T10:00:00", "customer_id": "c",
                   "item_id": "tea"},
                  {"event_id": "2", "event": "page_view", "ts": "2026-09-05T10:00:00", "customer_id": "c"}]])

    assert recommend.next_items(shop, "x").table["item_id"].to_pylist() == ["tea"]
    assert recommend.goes_with(shop, ("tea",)).table.num_rows == 0


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_shop_is_refused(tmp_path, question):
    with pytest.raises(UnknownName, match="this log has no events of people with items"):
        desk(Shop.open(tmp_path / "shop"), question)


@pytest.mark.parametrize("harm", [lambda file: file.write_bytes(file.read_bytes()[:-200]),
                                  lambda file: file.write_bytes(b"\x80\x04nonsense"), lambda file: file.unlink()])
def test_damaged_weights_are_a_refusal_that_names_the_model_and_leave_the_other_questions_alone(
        small_learned, copy_of, harm):
    shop = copy_of(small_learned)
    harm(model_file(shop, "recommend.goes_with", "weights.safetensors"))

    with pytest.raises(Damaged) as refused:
        desk(shop, "recommend.goes_with")

    assert str(refused.value).startswith(
        "model 1 of recommend.goes_with cannot be read.\n  Try:  shopkeeper learn SHOP --force\n"
        "  Try:  shopkeeper learn SHOP --rollback\n  Why:  ")
    assert desk(shop, "recommend.next_items").learned


def edited(change):
    def harm(file):
        record = json.loads(file.read_text())
        change(record)
        file.write_text(json.dumps(record))

    return harm


@pytest.mark.parametrize("harm", [
    edited(lambda record: record.pop("meta")), edited(lambda record: record["meta"].pop("role")),
    edited(lambda record: record["meta"]["method"].update(params={"colour": "red"})),
    edited(lambda record: record.pop("trial")), edited(lambda record: record["trial"].pop("rows"))])
def test_a_record_of_another_shape_is_a_refusal_and_no_crash(small_learned, copy_of, harm):
    shop = copy_of(small_learned)
    harm(model_file(shop, "recommend.next_items", "model.json"))

    with pytest.raises(Damaged) as refused:
        desk(shop, "recommend.next_items")

    assert str(refused.value) == (
        "model 1 of recommend.next_items is not one that this version can read.\n  Try:  shopkeeper learn SHOP --force"
        "\n  Try:  shopkeeper learn SHOP --rollback\n  Why:  it is damaged, or another version of shopkeeper wrote it.")


def test_a_method_that_is_no_longer_installed_is_a_refusal_that_names_it(small_learned, copy_of):
    shop = copy_of(small_learned)
    edited(lambda record: record.update(method="theirs"))(model_file(shop, "recommend.next_items", "model.json"))

    with pytest.raises(Damaged) as refused:
        desk(shop, "recommend.next_items")

    assert str(refused.value) == (
        "the installed method 'theirs' of recommend.next_items is not here.\n"
        "  Try:  install the package that it came from\n  Try:  shopkeeper learn SHOP --rollback\n"
        "  Why:  its model can only be read by the code that wrote it.")


def test_a_view_of_the_past_does_not_ask_a_model_that_knows_its_future(small_learned):
    past = Shop.open(small_learned.path, as_of="2026-02-15")

    found = desk(past, "recommend.next_items")

    assert not found.learned
    assert [str(note) for note in found.notes] == [
        "what was learned knows later events than this view of the log shows."]
    assert recommend.evidence(past).table.num_rows == 0


def test_a_view_of_the_past_that_is_later_than_what_was_learned_asks_the_model(small_learned):
    assert desk(Shop.open(small_learned.path, as_of="2030-01-01"), "recommend.next_items").learned
