"""Rules over a ranking: each alone, together, and what each removed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.recommend.rules import Rules, Shelf, allowed, boosted, check_names, kept_pins, notes, pick

NAN = float("nan")
#                  tea           cup            lamp          pen           gift
SHELF = Shelf(
    ids=np.array(["tea", "cup", "lamp", "pen", "gift"], dtype=object),
    category=np.array(["Food > Tea", "Home > Cups", "Home > Lamps", "Desk", None], dtype=object),
    brand=np.array(["Ann", "Bob", "Bob", None, None], dtype=object),
    price=np.array([5.0, 10.0, 40.0, 0.0, NAN]),
    in_stock=np.array([True, False, True, False, True]))
SEEN = np.array([True, True, False, False, False])
BOUGHT = np.array([True, False, False, False, False])
RANKED = np.arange(5)


def left(rules):
    keep, _ = allowed(rules, SHELF, SEEN, BOUGHT)
    return SHELF.ids[keep].tolist()


def removed(rules):
    return {name: int(out.sum()) for name, out in allowed(rules, SHELF, SEEN, BOUGHT)[1].items()}


def picked(rules, n=5, order=RANKED):
    rows, held = pick(order, rules, SHELF, n)
    return SHELF.ids[rows].tolist(), held


@pytest.mark.parametrize("rules, stay", [
    (Rules(), ["tea", "cup", "lamp", "pen", "gift"]),
    (Rules(exclude_seen=True), ["lamp", "pen", "gift"]),
    (Rules(exclude_bought=True), ["cup", "lamp", "pen", "gift"]),
    (Rules(exclude_out_of_stock=True), ["tea", "lamp", "gift"]),
    (Rules(categories=("Home",)), ["cup", "lamp"]),
    (Rules(categories=("Home > Lamps", "Desk")), ["lamp", "pen"]),
    (Rules(categories=("Home>Lamps",)), ["lamp"]),
    (Rules(price_min=5), ["tea", "cup", "lamp"]),
    (Rules(price_max=10), ["tea", "cup", "pen"]),
    (Rules(price_min=0), ["tea", "cup", "lamp", "pen"]),
    (Rules(price_min=5, price_max=10), ["tea", "cup"])])
def test_each_rule_leaves_exactly_what_it_says(rules, stay):
    assert left(rules) == stay
    assert sum(removed(rules).values()) == 5 - len(stay)


def test_an_item_that_two_rules_would_remove_is_counted_once_at_the_first():
    rules = Rules(exclude_seen=True, exclude_bought=True, exclude_out_of_stock=True, price_min=1)

    assert left(rules) == ["lamp"]
    assert removed(rules) == {"exclude_seen": 2, "exclude_bought": 0, "exclude_out_of_stock": 1, "price_min": 1}


@given(st.builds(Rules, exclude_seen=st.booleans(), exclude_bought=st.booleans(), exclude_out_of_stock=st.booleans(),
                 categories=st.sampled_from([(), ("Home",), ("Desk", "Food")]),
                 price_min=st.sampled_from([None, 0.0, 7.5]), price_max=st.sampled_from([None, 8.0, 40.0]),
                 pin=st.sampled_from([(), ("gift",), ("cup", "tea")])))
def test_what_is_left_and_what_was_removed_add_up_to_the_catalogue(rules):
    assert len(left(rules)) + sum(removed(rules).values()) == 5
    assert set(rules.pin) <= set(left(rules))


def test_an_item_without_a_price_fits_no_range_of_prices():
    assert "gift" not in left(Rules(price_max=1000))
    assert "gift" in left(Rules())


def test_pinned_items_come_first_in_their_order_and_once():
    assert picked(Rules(pin=("pen", "cup", "pen")))[0] == ["pen", "cup", "tea", "lamp", "gift"]


def test_more_pins_than_places_fill_the_places():
    assert picked(Rules(pin=("pen", "cup", "tea")), n=2)[0] == ["pen", "cup"]


def test_a_pinned_item_stays_though_another_rule_would_remove_it_and_the_rule_is_named():
    rules = Rules(pin=("tea", "lamp"), exclude_bought=True, price_max=30)

    assert left(rules) == ["tea", "cup", "lamp", "pen"]
    assert removed(rules) == {"exclude_bought": 0, "price_max": 1}
    assert kept_pins(rules, SHELF, SEEN, BOUGHT) == [("tea", "exclude_bought"), ("lamp", "price_max")]


def test_a_pin_that_no_rule_would_remove_needs_no_word():
    assert kept_pins(Rules(pin=("lamp",), exclude_bought=True), SHELF, SEEN, BOUGHT) == []


def test_a_limit_a_category_holds_back_and_those_of_no_category_are_not_limited():
    shelf = dataclasses.replace(SHELF, category=np.array(["A", "A", "A", None, None], dtype=object))

    rows, held = pick(RANKED, Rules(max_per_category=1), shelf, 5)

    assert rows == [0, 3, 4]
    assert held == {"max_per_category": 2}


def test_a_limit_a_brand_counts_pinned_items_too():
    names, held = picked(Rules(max_per_brand=1, pin=("lamp",)))

    assert names == ["lamp", "tea", "pen", "gift"]
    assert held == {"max_per_brand": 1}


def test_a_limit_stops_counting_when_the_list_is_full():
    assert picked(Rules(max_per_brand=1), n=2) == (["tea", "cup"], {})


def test_asking_for_more_than_there_is_gives_what_there_is():
    assert len(picked(Rules(), n=50)[0]) == 5


@pytest.mark.parametrize("boost, factors", [
    (("item:tea=2",), [2, 1, 1, 1, 1]), (("category:Home=1.5",), [1, 1.5, 1.5, 1, 1]),
    (("brand:Bob=0.5",), [1, 0.5, 0.5, 1, 1]), (("category:Home=2", "item:cup=3"), [1, 6, 2, 1, 1]),
    (("item:a=b=2",), [1, 1, 1, 1, 1])])
def test_a_boost_multiplies_the_score_of_what_it_names(boost, factors):
    scores, _ = boosted(Rules(boost=boost), SHELF, np.ones(5))

    assert scores.tolist() == factors


def test_a_boost_of_items_that_the_method_knows_nothing_of_changes_nothing_and_says_so():
    score = np.array([3.0, 2.0, 0.0, 0.0, 0.0])

    scores, idle = boosted(Rules(boost=("item:pen=9", "brand:Bob=2")), SHELF, score)

    assert scores.tolist() == [3.0, 4.0, 0.0, 0.0, 0.0]
    assert idle == ["item:pen=9"]


@pytest.mark.parametrize("boost", ["tea=2", "item:=2", "item:tea", "item:tea=0", "item:tea=-1", "item:tea=inf",
                                   "item:tea=nan", "colour:red=2", ""])
def test_a_boost_that_is_none_is_refused(boost):
    with pytest.raises(BadInput) as refused:
        Rules(boost=(boost,))

    assert str(refused.value) == (
        f"{boost!r} is no boost.\n  Try:  --boost item:ID=2\n  Try:  --boost category:Toys=1.5\n"
        "  Try:  --boost brand:Acme=0.5\n  Why:  a boost multiplies the score of an item, a category or a brand.")


def test_the_same_thing_boosted_twice_is_refused():
    with pytest.raises(BadInput, match="'item:tea' is boosted twice"):
        Rules(boost=("item:tea=2", "item:tea=3"))


@pytest.mark.parametrize("given, words", [
    ({"price_min": 9, "price_max": 3}, "no price lies between 9 and 3"), ({"price_min": -1}, "between -1 and inf"),
    ({"price_max": -5}, "between 0.0 and -5"), ({"price_min": NAN}, "between nan"),
    ({"max_per_category": 0}, "max_per_category is 0; it must be at least 1"),
    ({"max_per_brand": -2}, "max_per_brand is -2")])
def test_rules_that_make_no_sense_are_refused(given, words):
    with pytest.raises(BadInput, match=words):
        Rules(**given)


def test_a_category_that_is_not_there_is_refused_and_those_that_read_like_it_are_named():
    with pytest.raises(UnknownName) as refused:
        check_names(Rules(categories=("Hone > Lamp",)), SHELF)

    assert str(refused.value) == (
        "no item has the category 'Hone > Lamp'.\n  Try:  one of: Home > Lamps, Home > Cups\n"
        "  Why:  a rule over a name that is not there removes everything, or does nothing.")


@pytest.mark.parametrize("boost, what", [("category:Lamps=2", "category 'Lamps'"), ("brand:bob=2", "brand 'bob'")])
def test_a_boost_of_a_category_or_brand_that_is_not_there_is_refused_too(boost, what):
    with pytest.raises(UnknownName, match=f"no item has the {what}"):
        check_names(Rules(boost=(boost,)), SHELF)


def test_every_step_of_a_path_is_a_category():
    assert check_names(Rules(categories=("Home", "Home > Lamps", "Desk"), boost=("item:nobody=2",)), SHELF) is None


def test_what_was_removed_is_said_and_nothing_of_rules_that_removed_nothing():
    said = [str(note) for note in notes({"exclude_seen": 1200, "price_max": 0, "given": 2, "had": 3})]

    assert said == ["rule exclude_seen removed 1,200 items."]
