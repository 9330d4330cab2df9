"""What trends reads: channels by their rule, cells that add up, each expression in Spark's words, too."""

import pytest

from shopkeeper import trends
from shopkeeper.shop import Shop
from shopkeeper.trends import inputs
from shopkeeper.trends.rules import Series
from shopkeeper.warehouse import channels
from shopkeeper.warehouse.engine import CompilingEngine, UnboundTables, to_spark_sql
from trends.made import DAY, MONDAY, event, micros, shop_at

GOOGLE, OWN = "https://www.google.com/search?q=tea", "https://shop.example/tea"

CHANNELS = {
    "unmarked": [{}, {"url": OWN}, {"referrer": "https://shop.example/", "url": OWN}, {"utm_source": " "}],
    "search": [{"referrer": GOOGLE}, {"referrer": "https://duckduckgo.com/"}, {"utm_medium": "Organic"},
               {"utm_source": "bing"}, {"referrer": "https://www.baidu.com:443/x"}],
    "paid_search": [{"utm_source": "google", "utm_medium": "cpc"}, {"utm_source": "GOOGLE", "utm_medium": "PPC"},
                    {"referrer": GOOGLE, "utm_medium": "paidsearch"}, {"referrer": GOOGLE, "click_id": "gclid:1"}],
    "paid_social": [{"utm_source": "facebook", "utm_medium": "paid_social"},
                    {"utm_source": "instagram", "utm_medium": "cpc", "referrer": GOOGLE},
                    {"referrer": "https://l.instagram.com/", "utm_medium": "cpm"}],
    "display": [{"utm_source": "adnetwork", "utm_medium": "banner"}, {"utm_medium": "cpm"}],
    "paid_other": [{"utm_source": "somewhere", "utm_medium": "cpc"}],
    "email": [{"utm_source": "newsletter", "utm_medium": "email"}, {"utm_medium": "E-Mail"}, {"utm_source": "e_mail"}],
    "affiliate": [{"utm_source": "blog", "utm_medium": "affiliates"}],
    "social": [{"referrer": "https://www.instagram.com/"}, {"utm_source": "x", "utm_medium": "social"},
               {"referrer": "https://t.co/abc"}, {"utm_medium": "social-network"}, {"click_id": "fbclid:1",
                "referrer": "https://m.facebook.com/"}],
    "referral": [{"referrer": "https://blog.example/"}, {"utm_source": "blog", "utm_medium": "referral"},
                 {"referrer": "https://user:google.com@blog.example/"}, {"referrer": "https://notgoogle.example/"}],
    "sms": [{"utm_source": "sms"}],
    "push": [{"utm_source": "app", "utm_medium": "web_push"}],
    "unassigned": [{"utm_source": "flyer"}, {"utm_medium": "qr"}],
}


def test_a_channel_follows_from_what_the_event_says(tmp_path):
    marks = [(name, mark) for name, some in CHANNELS.items() for mark in some]
    shop = shop_at(tmp_path / "shop", [event(n, **mark) for n, (_, mark) in enumerate(marks)])

    events = shop.events()
    found = shop.engine.run(events.select("event_id", channel=channels.channel(events))).to_pylist()

    assert set(CHANNELS) == set(channels.CHANNELS)
    assert {row["event_id"]: row["channel"] for row in found} == {
        f"e{n}": name for n, (name, _) in enumerate(marks)}


def test_each_row_counts_in_one_cell_and_money_of_an_order_once(tmp_path):
    order = {"event_id": "o", "event": "purchase", "ts": MONDAY.isoformat(), "customer_id": "ann", "order_id": "1",
             "currency": "EUR", "value": 10, "items": [
                 {"item_id": "tea", "price": 2, "quantity": 3}, {"item_id": "cup", "price": 4, "quantity": 1}]}
    items = [{"item_id": "tea", "category": "Food > Tea"}, {"item_id": "cup", "category": "Home > Cups"}]
    shop = shop_at(tmp_path / "shop", [order, event(1, "view_item"), event(2, "view_item", item_id="lost")],
                   items=items)

    rows = inputs.read_cells(shop.engine, ("Food", "Home")).to_pylist()

    found = {(row["kind"], row["category"]): (row["events"], row["lines"], row["value"], row["sold"]) for row in rows}
    assert found == {("purchase", ""): (1, 0, 100_000, 0), ("purchase", "Food"): (0, 1, 0, 60_000),
                     ("purchase", "Home"): (0, 1, 0, 40_000), ("view_item", "Food"): (1, 1, 0, 0),
                     ("view_item", ""): (1, 1, 0, 0)}


def test_an_absurd_amount_is_capped_and_breaks_nothing(tmp_path):
    rich = event(1, "purchase", value="99999999999999.9999", price=99999999999999, quantity=1e300)
    shop = shop_at(tmp_path / "shop", [rich, event(2, "purchase")])

    row = inputs.read_cells(shop.engine, ()).to_pylist()[0]

    assert row["value"] in (inputs.MOST + 60_000, 60_000)  # 60,000 where the cleaning rejects it
    assert row["sold"] in (inputs.MOST + 60_000, 60_000)


def test_small_categories_are_other_and_ties_go_by_name(tmp_path):
    items = [{"item_id": f"i{n}", "category": name} for n, name in enumerate(
        ["b", "b", "a", "c > x", "d", "other", "other", "other", "other", " ", "e" * 200])]
    shop = shop_at(tmp_path / "shop", items=items)

    told = inputs.read_told(shop.engine, 3)

    assert told == ("b", "a")  # `other` had a place among three, and is nobody's name
    assert inputs.read_shelf(shop.engine, ("b", "a"))["i3"] == "other"
    assert "i9" not in inputs.read_shelf(shop.engine, told)
    assert inputs.read_told(shop.engine, 10)[-1] == "e" * 80


def test_doings_leave_guests_out_and_keep_bots_in(tmp_path):
    log = [event(1, "refund"), event(2, "refund", customer_id=None), event(3, "refund", anonymous_id="v")]
    shop = shop_at(tmp_path / "shop", [{k: v for k, v in one.items() if v is not None} for one in log])

    people, person, when = inputs.read_doings(shop, "refund", None, None)

    assert len(when) == len(person) == 2
    assert not any(name.startswith("order:") for name in people)


def test_every_question_runs_in_spark_s_words_too():
    shop = Shop.simulated(customers=60, items=24, days=60, engine=CompilingEngine)
    shop.engine.compiled.clear()
    rule = trends.Rule(kind="view_item", category=inputs.read_told(shop.engine, 5)[0])

    for ask in (lambda: trends.counts(shop, by="category"), lambda: trends.save_alert(shop, "x", rule=rule),
                lambda: trends.alerts(shop), lambda: trends.firing(shop),
                lambda: trends.save_alert(shop, "y", rule=trends.Rule(kind="refund", detector="burst", above=9))):
        before = len(shop.engine.compiled)
        ask()
        assert len(shop.engine.compiled) > before or shop.manifest.version > 3
    assert all("SELECT" in text for text in shop.engine.compiled)


@pytest.mark.parametrize("build", [
    lambda events, items: inputs.cells(events, None, each_item=True),
    lambda events, items: inputs.cells(events, inputs.shelved(items, ["a"]), "h"),
    lambda events, items: inputs.of_series(inputs.cells(events, None), Series("purchase", measure="value")),
    lambda events, items: inputs.sizes(items, 3), lambda events, items: inputs.doings(events, "refund")])
def test_each_expression_has_a_translation_over_tables_of_no_shop(build):
    tables = UnboundTables()

    assert "SELECT" in to_spark_sql(build(tables.events(), tables.table("items")))


def test_a_view_of_the_past_counts_nothing_later(tmp_path):
    shop_at(tmp_path / "shop", [event(n, at=MONDAY.replace(hour=n)) for n in range(10)])
    past = Shop.open(tmp_path / "shop", as_of=MONDAY.replace(hour=5))
    start = micros(MONDAY)

    counts = inputs.read_series(past, Series(), 60, start, start + DAY)

    assert counts.tolist() == [1.0] * 5 + [0.0] * 19
