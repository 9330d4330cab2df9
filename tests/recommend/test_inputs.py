"""What recommending reads: the same by arrays as by the engine, and every expression also in Spark's words."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from shopkeeper import learn, ledger, recommend
from shopkeeper.errors import UnknownName
from shopkeeper.recommend import inputs
from shopkeeper.recommend.inputs import kind_of, read_codes, read_counts, read_history, read_log, read_takers
from shopkeeper.recommend.methods.base import DAY
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.recommend.rules import Rules
from shopkeeper.shop import Shop
from shopkeeper.warehouse.engine import CompilingEngine, UnboundTables, to_spark_sql

AT = datetime(2026, 3, 1, 12)


def line(number, event="purchase", **more):
    sold = {"order_id": f"o{number}", "price": 3, "quantity": 1, "currency": "EUR"} if event == "purchase" else {}
    return {"event_id": f"e{number}", "event": event, "ts": AT.replace(hour=number % 24), "customer_id": "ann",
            "item_id": "tea", **sold, **more}


@pytest.fixture
def made(tmp_path):
    """A function that makes a shop of these records."""
    def make(*records, **tables):
        shop = Shop.open(tmp_path / "shop")
        shop.ingest([list(records)])
        for name, rows in tables.items():
            shop.ingest([rows], table=name)
        return shop

    return make


def test_every_question_runs_in_spark_s_words_too():
    shop = Shop.simulated(customers=60, items=24, days=60, engine=CompilingEngine)
    item = shop.engine.run(shop.engine.table("items"))["item_id"][0].as_py()
    shop.engine.compiled.clear()

    for ask in (lambda: recommend.next_items(shop, "nobody", rules=Rules(price_max=50)),
                lambda: recommend.similar_items(shop, item), lambda: recommend.goes_with(shop, (item,)),
                lambda: recommend.audience(shop, item), lambda: inputs.read_log(shop), lambda: ledger.describe(shop),
                lambda: ledger.quarantine(shop)):
        before = len(shop.engine.compiled)
        ask()
        assert len(shop.engine.compiled) > before
    assert all("SELECT" in text for text in shop.engine.compiled)


def test_learning_runs_in_spark_s_words_too():
    shop = Shop.simulated(customers=60, items=24, days=60, engine=CompilingEngine)
    shop.engine.compiled.clear()

    learn.learn(shop, dry_run=True)

    assert any("LAG(" in text for text in shop.engine.compiled)  # sessions by silence


@pytest.mark.parametrize("build", [
    lambda events: inputs.of_items(events, {"view": "interest"}),
    lambda events: inputs.interactions(events, {"view": "interest", "buy": "conversion"}, 30),
    lambda events: inputs.few(events, {"buy": "conversion"}), lambda events: inputs.last_prices(events),
    lambda events: inputs.tallies(events, "person", {"buy": "conversion"}, 0), inputs.chances,
    lambda events: inputs.answering(events, {"view": "interest"})])
def test_each_expression_has_a_translation_over_tables_of_no_shop(build):
    assert "SELECT" in to_spark_sql(build(UnboundTables().events()))


def test_one_person_s_history_is_what_the_whole_log_says_of_them(small):
    log = read_log(small)
    for row in range(0, len(log.customers), len(log.customers) // 12):
        mine = log.interactions.where(log.interactions.customer == row)
        history, person = read_history(small, log.customers.ids([row])[0])

        assert person == log.customers.ids([row])[0]
        assert log.items.rows(history.ids).tolist() == mine.item.tolist()
        assert np.array_equal(history.when, mine.when)
        assert np.array_equal(history.weight, mine.weight)
        assert len(set(zip(history.basket, mine.basket, strict=True))) == len(set(mine.basket.tolist()))


def test_who_took_an_item_is_what_the_turned_log_says_of_it(small):
    log = read_log(small).turned()
    takers = read_takers(small, log.customers.ids([3])[0])
    mine = log.interactions.where(log.interactions.customer == 3)

    assert log.items.rows(takers.ids).tolist() == mine.item.tolist()
    assert np.array_equal(takers.when, mine.when)


def test_sessions_of_one_person_are_cut_by_silence_where_none_is_given(made):
    shop = made(line(1, "view_item"), line(2, "view_item", item_id="cup", ts=AT.replace(hour=1, minute=20)),
                line(3, "view_item"), line(4, order_id="o1"), line(5, order_id="o1", ts=AT.replace(hour=9)))

    history, _ = read_history(shop, "ann")
    log = read_log(shop)

    assert len(set(history.basket.tolist())) == 3
    assert history.basket[0] == history.basket[1] != history.basket[2] != history.basket[3] == history.basket[4]
    assert len(set(log.interactions.basket.tolist())) == 3


def test_weights_follow_the_role_of_a_kind_also_of_declared_ones(tmp_path):
    shop = Shop.open(tmp_path / "shop")
    toml = shop.path / "shop.toml"
    toml.write_text(toml.read_text() + 'play = "interest"\n')
    shop = Shop.open(shop.path)
    shop.ingest([[line(1, "play"), line(2, "add_to_cart"), line(3, "purchase"), line(4, "page_view"),
                  line(5, "refund", order_id="o", value=3, currency="EUR")]])

    assert read_history(shop, "ann")[0].weight.tolist() == pytest.approx([0.2, 0.6, 1.0])


def test_the_target_is_the_strongest_role_that_the_log_holds(made):
    log = read_log(made(line(1, "view_item"), line(2, "add_to_cart"), line(3, "view_item")))

    assert log.role == "intent"
    assert log.target.tolist() == [False, True, False]


def test_a_guest_s_order_is_nobody_s_history_and_a_visitor_s_is_the_visitor_s(made):
    shop = made(line(1), line(2, customer_id=None), line(3, customer_id=None, anonymous_id="v"))

    assert sorted(name[:2] for name in read_log(shop).customers.ids()) == ["a_", "c_"]


def test_counts_are_the_counts_of_the_whole_log(small):
    log, cut = read_log(small), small.now() - 7 * DAY
    things, recent, ever = read_counts(small, "item_id", cut)
    late = log.interactions.where(log.interactions.when >= cut)

    assert things == log.items
    assert ever == pytest.approx(counted(log.interactions), rel=1e-6)
    assert recent == pytest.approx(counted(late), rel=1e-6)


def test_the_log_of_a_shop_does_not_hang_on_the_order_in_which_its_records_came(small, tmp_path):
    events = small.engine.run(small.events()).drop_columns(["session_id"])
    logs = []
    for name, order in (("one", np.arange(len(events))), ("other", np.random.default_rng(0).permutation(len(events)))):
        shop = Shop.open(tmp_path / name)
        for key in ("pseudonym", "vault"):
            (shop.path / "keys" / f"{key}.key").write_bytes((small.path / "keys" / f"{key}.key").read_bytes())
        shop.ingest([events.take(pa.array(order))], received_at=small.now())
        logs.append(read_log(shop))

    one, other = logs
    assert one.items == other.items
    assert one.customers == other.customers
    for name in ("customer", "item", "when", "basket", "weight"):
        assert np.array_equal(getattr(one.interactions, name), getattr(other.interactions, name))


def test_an_empty_shop_is_refused_and_says_what_to_do(tmp_path):
    shop = Shop.open(tmp_path / "shop")

    with pytest.raises(UnknownName) as refused:
        read_log(shop)

    assert str(refused.value) == (
        f"this log has no events of people with items.\n  Try:  shopkeeper ingest {shop.path} FILE\n"
        "  Why:  recommendations are learned from views, carts and purchases of items.")


@pytest.mark.parametrize("path, kind", [("A > B > C", "A > B"), ("A>B>C>D", "A > B > C"), ("A > B", "A > B"),
                                        ("A", "A"), ("", ""), (None, "")])
def test_an_item_is_compared_in_its_category_without_the_last_of_three_steps(path, kind):
    assert kind_of(path) == kind


def test_categories_are_known_where_half_of_the_items_have_one(made):
    categories = {"tea": "Food > Hot > Tea", "mocha": "Food > Hot > Coffee", "cup": "Home > Cups", "pen": None}
    items = [{"item_id": item, "category": category} for item, category in categories.items()]
    shop = made(line(1), items=items)

    assert read_codes(shop, np.array(["tea", "cup", "mocha", "pen", "none"])).tolist() == [0, 1, 0, -1, -1]
    assert read_codes(shop, np.array(["tea", "pen", "none"])) is None


def test_without_an_items_table_no_categories_are_known(made):
    assert read_log(made(line(1))).codes is None


def test_two_shops_of_one_log_number_people_alike_whatever_their_keys(tmp_path):
    lines = [line(day, "view_item", customer_id=f"c{day % 7}") for day in range(1, 20)]
    shops = [Shop.open(tmp_path / name) for name in ("one", "two")]
    for shop in shops:
        shop.ingest([lines])

    first, second = (read_log(shop) for shop in shops)

    assert first.customers.ids() != second.customers.ids()
    assert first.interactions.customer.tolist() == second.interactions.customer.tolist()
    assert first.interactions.basket.tolist() == second.interactions.basket.tolist()
