"""What the questions promise, on simulated shops whose truth is known."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shopkeeper import recommend
from shopkeeper.errors import BadInput, MissingTable, TooLittleHistory, UnknownName
from shopkeeper.evidence import NotLearned
from shopkeeper.recommend import Rules
from shopkeeper.recommend.answers import ITEMS, Items
from shopkeeper.recommend.inputs import read_history
from shopkeeper.shop import Shop
from shopkeeper.words import say


def ids(answer):
    return answer.table["item_id"].to_pylist()


def said(answer):
    return [str(note) for note in answer.notes]


@pytest.fixture(scope="module")
def bought(planted):
    """Customer and item of each purchased line of the planted log."""
    events = planted.events
    lines = events.filter(pc.and_(pc.equal(events["event"], "purchase"), pc.is_valid(events["item_id"])))
    return list(zip(lines["customer_id"].to_pylist(), lines["item_id"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def somebody(small_learned):
    """The pseudonym of a customer of the small shop with a long history."""
    events = small_learned.engine.run(small_learned.events())
    people = Counter(events.filter(pc.equal(events["event"], "purchase"))["customer_id"].drop_null().to_pylist())
    return people.most_common(1)[0][0]


@pytest.mark.slow
def test_the_first_ten_hold_the_three_favourite_categories_for_four_customers_in_five(learned, planted, bought):
    category = dict(zip(planted.items["item_id"].to_pylist(), planted.items["category"].to_pylist(), strict=True))
    lines = Counter(customer for customer, _ in bought)
    liked = dict(zip(planted.truth.customer_id, planted.truth.favourites(3), strict=True))
    asked = [customer for customer in planted.truth.customer_id if lines[customer] >= 15][:50]

    found = {customer: {category[item] for item in ids(recommend.next_items(learned, customer, n=10))}
             for customer in asked}

    assert len(asked) == 50
    assert np.mean([set(liked[customer]) <= found[customer] for customer in asked]) >= 0.8


@pytest.mark.slow
def test_a_planted_complement_is_in_the_first_five_nine_times_in_ten(learned, planted, bought):
    lines = Counter(item for _, item in bought)
    pairs = [pair for one in planted.truth.complements for pair in (one, one[::-1]) if lines[pair[0]] >= 10]

    found = [other in ids(recommend.goes_with(learned, (item,), n=5)) for item, other in pairs]

    assert len(pairs) >= 20
    assert np.mean(found) >= 0.9


def test_a_planted_substitute_is_in_the_first_five_that_are_similar_four_times_in_five(learned, planted):
    groups = [set(group) for group in planted.truth.substitutes]
    asked = [(item, group - {item}) for group in groups for item in sorted(group)][:40]

    found = [bool(set(ids(recommend.similar_items(learned, item, n=5))) & others) for item, others in asked]

    assert np.mean(found) >= 0.8


def test_what_is_similar_is_of_the_same_category(learned, planted):
    category = dict(zip(planted.items["item_id"].to_pylist(), planted.items["category"].to_pylist(), strict=True))

    answer = recommend.similar_items(learned, planted.truth.item_id[0], n=5)

    assert set(answer.table["category"].to_pylist()) == {category[planted.truth.item_id[0]]}
    assert answer.method in ("alike", "same_category")


def test_those_who_want_an_item_most_are_those_who_go_on_to_buy_of_its_category(learned, planted):
    liked = {learned.person(customer): favourites for customer, favourites in zip(
        planted.truth.customer_id, planted.truth.favourites(3), strict=True)}
    category = dict(zip(planted.items["item_id"].to_pylist(), planted.items["category"].to_pylist(), strict=True))
    item = planted.truth.item_id[int(np.argmax(planted.truth.demand))]

    answer = recommend.audience(learned, item, n=20)

    wants = [category[item] in liked.get(person, ()) for person in answer.table["customer"].to_pylist()]
    assert np.mean(wants) >= 0.7
    assert answer.table["rank"].to_pylist() == list(range(1, 21))
    assert all(person[:2] in ("c_", "a_") for person in answer.table["customer"].to_pylist())


def test_an_answer_says_why_each_item_and_the_reasons_are_in_the_history(small_learned, somebody):
    answer = recommend.next_items(small_learned, somebody, n=5)
    history = set(read_history(small_learned, somebody)[0].ids.to_pylist())

    for row in answer.table.to_pylist():
        assert {one["item_id"] for one in row["because"]} <= history
        assert sum(one["share"] for one in row["because"]) == pytest.approx(1, abs=0.3)   # of more than five, five
        assert all(one["times"] >= 1 and one["last"] is not None for one in row["because"])
    assert any(row["because"] for row in answer.table.to_pylist())


def test_the_customer_may_be_named_as_the_merchant_knows_them_or_by_pseudonym(learned, planted):
    name = planted.truth.customer_id[0]

    assert ids(recommend.next_items(learned, name)) == ids(recommend.next_items(learned, learned.person(name)))


def test_an_unknown_customer_gets_the_popular_items_and_is_told(learned):
    answer = recommend.next_items(learned, "nobody", n=4)

    assert ids(answer) == ids(recommend.next_items(learned, "nobody else", n=4))
    assert said(answer) == ["the log has no item events of nobody: these are the popular items."]
    assert [row["because"] for row in answer.table.to_pylist()] == [[]] * 4
    assert answer.cells()[1][0][-1] == "taken by many just now"


def test_a_name_that_reads_like_a_pseudonym_is_taken_for_one_and_found(small, copy_of):
    shop = copy_of(small)
    name = "c_" + "a" * 24
    shop.ingest([[view(1, customer_id=name)]])

    history, person = read_history(shop, name)

    assert history.ids.to_pylist() == ["tea"]
    assert person == name


def view(number, item="tea", event="view_item", **more):
    sold = {"order_id": f"new-{number}", "price": 3, "quantity": 1, "currency": "EUR"} if event == "purchase" else {}
    return {"event_id": f"new-{number}", "event": event, "ts": f"2026-03-20T10:{number % 60:02}:00", "item_id": item,
            **sold, **more}


def test_an_anonymous_visitor_can_be_asked_for_and_the_answer_says_who_it_is(small_learned, copy_of):
    shop = copy_of(small_learned)
    known = shop.engine.run(shop.engine.table("items"))["item_id"][0].as_py()
    shop.ingest([[view(1, item=known, anonymous_id="v-1")]])

    answer = recommend.next_items(shop, "v-1")

    assert said(answer)[0] == "v-1 is no customer; this is the anonymous visitor of that name."
    assert read_history(shop, read_history(shop, "v-1")[1])[0].ids.to_pylist() == [known]


def test_a_customer_comes_before_an_anonymous_visitor_of_the_same_name(small, copy_of):
    shop = copy_of(small)
    shop.ingest([[view(1, "tea", customer_id="x"), view(2, "cup", anonymous_id="x")]])

    assert read_history(shop, "x")[0].ids.to_pylist() == ["tea"]


def test_what_was_bought_after_learning_changes_the_next_answer(small_learned, copy_of):
    shop = copy_of(small_learned)
    item = recommend.next_items(shop, "new customer", n=50).table["item_id"][-1].as_py()

    shop.ingest([[view(n, item=item, event="purchase", customer_id="new customer") for n in range(3)]])
    after = recommend.next_items(shop, "new customer", n=50)

    assert said(after) == []
    assert after.table["because"][ids(after).index(item)].as_py()[0]["times"] == 3 or after.method == "popular"
    assert ids(after)[0] == item or after.method != "buy_again"


def test_an_item_that_came_after_learning_is_said_to_be_newer(small_learned, copy_of):
    shop = copy_of(small_learned)
    shop.ingest([[view(1, item="brand new", customer_id="new customer")]])

    answer = recommend.next_items(shop, "new customer", n=3)

    assert said(answer) == ["the items of new customer are newer than what was learned: these are the popular items."]
    with pytest.raises(TooLittleHistory) as refused:
        recommend.goes_with(shop, ("brand new",))
    assert str(refused.value) == (
        f"item 'brand new' came after what was learned.\n  Try:  shopkeeper learn {shop.path}\n"
        "  Why:  what goes with an item is learned from what people did with it.")


@pytest.mark.parametrize("ask", [lambda shop: recommend.similar_items(shop, "nothing"),
                                 lambda shop: recommend.goes_with(shop, ("nothing",)),
                                 lambda shop: recommend.audience(shop, "nothing")])
def test_an_item_that_nobody_touched_is_refused(small, small_learned, ask):
    for shop in (small, small_learned):
        with pytest.raises(UnknownName) as refused:
            ask(shop)
        assert str(refused.value) == (
            "item 'nothing' is not in the log.\n  Try:  name an item that somebody looked at or bought.\n"
            "  Why:  what goes with an item is learned from what people did with it.")


def test_nothing_goes_with_no_item(small):
    with pytest.raises(BadInput) as refused:
        recommend.goes_with(small, ())

    assert str(refused.value) == ("no item was named.\n  Try:  --items ID\n"
                                  "  Why:  what goes with something depends on what it is.")


@pytest.mark.parametrize("ask", [lambda shop, item: recommend.next_items(shop, "c", n=0),
                                 lambda shop, item: recommend.similar_items(shop, item, n=-1),
                                 lambda shop, item: recommend.goes_with(shop, (item,), n=0),
                                 lambda shop, item: recommend.audience(shop, item, n=0)])
def test_naming_fewer_than_one_is_refused(small, ask):
    with pytest.raises(BadInput) as refused:
        ask(small, "tea")

    assert str(refused.value).endswith(
        "; it must be at least 1.\n  Try:  --n 10\n  Why:  it says how many to name.")


def test_the_items_of_the_question_are_not_the_answer(learned, planted):
    a, b = planted.truth.complements[0]

    for answer in (recommend.goes_with(learned, (a, b), n=20), recommend.similar_items(learned, a, n=20)):
        assert not {a} & set(ids(answer))
    assert recommend.goes_with(learned, (a, b)).removed["given"] == 2


def test_a_reason_from_named_items_says_the_basket_and_no_dates(learned, planted):
    a, b = planted.truth.complements[0]
    one, two = recommend.goes_with(learned, (a,), n=3), recommend.goes_with(learned, (a, b), n=10)

    assert one.cells()[1][0][-1].startswith("in baskets with ")
    assert any("%)" in line[-1] for line in two.cells()[1])
    assert one.table["because"][0].as_py()[0]["times"] is None
    assert recommend.similar_items(learned, a, n=1).cells()[1][0][-1].startswith(
        ("people turn to it from ", "of the same category as "))


def answer_with(price):
    row = {"rank": 1, "item_id": "i", "title": None, "category": None, "price": price, "score": 1.0, "method": "m",
           "because": []}
    table = pa.Table.from_pylist([row], schema=ITEMS)
    return Items(title=say("Items"), table=table, evidence=NotLearned("recommend.next_items", "m"), method="m")


@pytest.mark.parametrize("price, shown", [(2.6, "2.60"), (1.0, "1.00"), (0.0021, "0.0021"), (0.01, "0.01"),
                                          (12345.678, "12,345.68"), (None, "")])
def test_people_read_prices_with_two_decimals_and_four_only_below_a_hundredth(price, shown):
    assert answer_with(price).cells()[1][0][3] == shown


def test_what_rules_removed_adds_up_to_the_catalogue(small_learned, somebody):
    rules = Rules(exclude_bought=True, price_max=30, pin=(), max_per_category=2)

    answer = recommend.next_items(small_learned, somebody, n=5, rules=rules)

    assert answer.removed["exclude_bought"] > 0
    gone = sum(count for rule, count in answer.removed.items() if not rule.startswith("max_per"))
    assert answer.catalogue == answer.left + gone
    assert answer.catalogue == len(ids(recommend.next_items(small_learned, "nobody", n=10_000)))
    assert max(Counter(answer.table["category"].to_pylist()).values()) <= 2
    assert max(price for price in answer.table["price"].to_pylist() if price is not None) <= 30
    assert not set(ids(answer)) & set(read_bought(small_learned, somebody))


def read_bought(shop, person):
    history, _ = read_history(shop, person)
    return [item for item, weight in zip(history.ids.to_pylist(), history.weight, strict=True) if weight >= 1]


def test_a_list_longer_than_the_catalogue_is_the_catalogue_each_item_once(small_learned, somebody):
    answer = recommend.next_items(small_learned, somebody, n=10_000)

    assert len(ids(answer)) == len(set(ids(answer))) == answer.catalogue == answer.left
    assert answer.table["score"].to_pylist() == sorted(answer.table["score"].to_pylist(), reverse=True)


def test_a_pinned_item_comes_first_with_its_score_and_its_excluding_rule_is_named(small_learned, somebody):
    pin = read_bought(small_learned, somebody)[0]
    free = recommend.next_items(small_learned, somebody, n=10_000)

    answer = recommend.next_items(small_learned, somebody, n=4,
                                  rules=Rules(pin=(pin, "not there"), exclude_bought=True))

    assert ids(answer)[0] == pin
    assert len(ids(answer)) == 4
    assert answer.table["score"][0].as_py() == pytest.approx(free.table["score"][ids(free).index(pin)].as_py())
    assert f"the pinned item {pin} stays, although exclude_bought would have removed it." in said(answer)
    assert "the pinned item not there is not in the log." in said(answer)
    assert answer.catalogue == answer.left + answer.removed["exclude_bought"]


def test_a_boost_moves_an_item_up_and_one_without_a_score_is_said_to_do_nothing(small_learned, somebody):
    free = recommend.next_items(small_learned, somebody, n=10_000)
    scores = dict(zip(ids(free), free.table["score"].to_pylist(), strict=True))
    second = ids(free)[1]

    boosted = recommend.next_items(small_learned, somebody, n=5, rules=Rules(boost=(f"item:{second}=100",)))
    zero = next((item for item, score in scores.items() if score == 0), None)
    idle = recommend.next_items(small_learned, somebody, rules=Rules(boost=("item:gone=2",)))

    assert ids(boosted)[0] == second
    assert boosted.table["score"][0].as_py() == pytest.approx(100 * scores[second])
    assert "the boosted item gone is not in the log." in said(idle)
    if zero is not None:
        same = recommend.next_items(small_learned, somebody, n=10_000, rules=Rules(boost=(f"item:{zero}=9",)))
        assert ids(same) == ids(free)
        assert f"the boost item:{zero}=9 changes nothing: those items have no score to multiply." in said(same)


def test_stock_can_only_be_asked_for_where_there_is_a_stock_table(small, copy_of):
    shop = copy_of(small)
    with pytest.raises(MissingTable) as refused:
        recommend.next_items(shop, "c", rules=Rules(exclude_out_of_stock=True))
    assert str(refused.value) == (
        f"a rule needs the table stock, and this shop has none.\n"
        f"  Try:  shopkeeper ingest {shop.path} FILE --table stock\n"
        "  Why:  categories and brands stand in the items table, stock on hand in stock.")

    first, second, third = ids(recommend.next_items(shop, "c", n=3))
    shop.ingest([[{"item_id": first, "on_hand": 0}, {"item_id": third, "on_hand": 5}]], table="stock")
    answer = recommend.next_items(shop, "c", rules=Rules(exclude_out_of_stock=True))

    assert ids(answer) == [third]
    assert answer.removed == {"exclude_out_of_stock": answer.catalogue - 1}
    assert second not in ids(answer)


@pytest.mark.parametrize("rules", [Rules(categories=("A",)), Rules(max_per_brand=1), Rules(boost=("brand:A=2",))])
def test_categories_and_brands_can_only_be_asked_for_where_there_is_an_items_table(tmp_path, rules):
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([[view(1, customer_id="c")]])

    with pytest.raises(MissingTable, match="a rule needs the table items, and this shop has none"):
        recommend.next_items(shop, "c", rules=rules)


def test_nothing_later_than_the_view_is_seen(small, copy_of):
    cut = "2026-02-15"
    shop = copy_of(small)
    here = Shop.open(small.path, as_of=cut)
    item = ids(recommend.next_items(here, "nobody", n=3))[-1]
    shop.ingest([[view(n, item=item, event="purchase", customer_id="late") for n in range(40)]])
    there = Shop.open(shop.path, as_of=cut)

    for ask in (lambda shop: recommend.next_items(shop, "late", n=10),
                lambda shop: recommend.goes_with(shop, (item,), n=10), lambda shop: recommend.audience(shop, item)):
        assert ask(here).table == ask(there).table
    assert here.now() == there.now() < Shop.open(shop.path).now()
    assert ids(recommend.next_items(shop, "nobody", n=1)) == [item]


def test_an_answer_is_the_same_each_time_and_changes_nothing(small_learned, somebody):
    before = {path: path.stat().st_mtime_ns for path in small_learned.path.rglob("*")}

    one, other = (recommend.next_items(small_learned, somebody).to_dict() for _ in range(2))

    assert one == other
    assert {path: path.stat().st_mtime_ns for path in small_learned.path.rglob("*")} == before


def test_the_evidence_shows_every_method_and_says_the_margin_of_the_one_that_answers(small_learned):
    answer = recommend.evidence(small_learned)
    rows = answer.table.to_pylist()

    assert [row["method"] for row in rows if row["question"] == "similar_items"] == [
        "same_category", "neighbours", "alike"]
    assert {question: sum(row["wins"] for row in rows if row["question"] == question) for question in (
        "next_items", "similar_items", "goes_with", "audience")} == {
        "next_items": 1, "similar_items": 1, "goes_with": 1, "audience": 1}
    assert len(said(answer)) == 4
    assert all("NDCG@10" in note for note in said(answer))


def test_where_nothing_is_learned_the_evidence_says_how_to_learn(small):
    answer = recommend.evidence(small)

    assert said(answer) == [f"nothing has been learned yet: shopkeeper learn {small.path}"]
    assert answer.table.num_rows == 0


def test_where_people_do_not_come_back_for_things_what_they_have_is_left_out(tmp_path):
    from shopkeeper import learn

    shop = once_each(tmp_path)
    learned = learn.learn(shop, room="recommend")
    assert dict(zip(*(learned.table[name].to_pylist() for name in ("question", "status")), strict=True))[
        "recommend.next_items"] == "installed"
    history, _ = read_history(shop, "c3")
    have = {item for item, weight in zip(history.ids.to_pylist(), history.weight, strict=True) if weight >= 1}

    answer = recommend.next_items(shop, "c3", n=10_000)
    wanted = recommend.audience(shop, sorted(have)[0], n=10_000)

    assert answer.removed["had"] == len(have)
    assert not have & set(ids(answer))
    assert "what the customer has already is left out: in this shop people do not come back for it." in said(answer)
    assert set(history.ids.to_pylist()) - have <= set(ids(answer))     # what was only looked at may be named
    assert shop.person("c3") not in wanted.table["customer"].to_pylist()


def once_each(tmp_path):
    """A shop in which everybody looks at things often and buys each at most once."""
    rng, records = np.random.default_rng(1), []
    for customer in range(80):
        wanted = rng.permutation(60)[:24]
        for number, item in enumerate(wanted.tolist()):
            day = (customer + 2 * number) % 60
            when = f"2026-{1 + day // 30:02}-{1 + day % 28:02}T{number % 24:02}:00:00"
            common = {"ts": when, "customer_id": f"c{customer}", "item_id": f"i{item}"}
            records.append({"event_id": f"v{customer}-{number}", "event": "view_item", **common})
            if number % 2:
                records.append({"event_id": f"p{customer}-{number}", "event": "purchase", "quantity": 1, "price": 2,
                                "order_id": f"o{customer}-{number}", "currency": "EUR", **common})
    shop = Shop.open(tmp_path / "shop")
    shop.ingest([records])
    return shop
