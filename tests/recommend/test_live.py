"""What is answered from memory is what the question answers; and the next answer knows what was just acknowledged."""

import json
import random
from itertools import cycle

import numpy as np
import pytest

from recommend.posted import DAY, Served, iso
from shopkeeper import identity, recommend
from shopkeeper.asking import plain
from shopkeeper.errors import BadInput, MissingTable, UnknownName
from shopkeeper.learn import learn
from shopkeeper.recommend import Rules, inputs
from shopkeeper.recommend.exposures import Exposures
from shopkeeper.recommend.live import LiveDesk, LiveSettings, came_since
from shopkeeper.recommend.memory import Bounds
from shopkeeper.shop import Shop
from shopkeeper.warehouse.manifest import Manifest, Segment

TIGHT = LiveSettings(bounds=Bounds(lines=1_500, person_lines=40, cached_lines=300))
RULES = (None, Rules(exclude_bought=True, max_per_category=1, price_max=20.0, pin=("i-000003", "zz")))


@pytest.fixture
def served(small_learned, copy_of):
    found = Served(copy_of(small_learned))
    yield found
    found.close()


def asked(shop, customer, rules):
    return json.loads(json.dumps(plain(recommend.next_items(shop, customer, n=7, rules=rules).to_dict())))


def different(served, customers, turn=0):
    """Who is answered otherwise than by the question; one is asked with rules and the next without, by turns."""
    shop = served.view()
    return [(customer, one) for customer, one in zip(customers, cycle(RULES[turn % 2:] + RULES[:turn % 2]))
            if served.ask(customer, n=7, rules=one, because=True) != asked(shop, customer, one)]


def known(shop, step):
    people = shop.engine.run(shop.events().select("customer_id").distinct())["customer_id"].drop_null().to_pylist()
    return sorted(people)[::step]


def some_events(chance, now, number, items):
    """Views, carts and orders of thirty people, one of them a visitor; sessions given and not."""
    for place in range(number):
        kind = chance.choice(["view_item", "view_item", "add_to_cart", "purchase", "page_view"])
        who = chance.randrange(30)
        record = {"event": kind, "event_id": f"{now}-{place}", "ts": iso(now + chance.randrange(1, DAY)),
                  "anonymous_id" if who == 0 else "customer_id": f"p{who}"}
        if kind == "purchase":
            some = chance.sample(items, 3)
            record |= {"order_id": f"o{now}-{place}", "items": [{"item_id": item, "quantity": 1} for item in some]}
        elif kind != "page_view":
            record |= {"item_id": chance.choice([*items, "brand-new"])}
        yield record | ({"session_id": f"s{chance.randrange(3)}"} if chance.random() < 0.4 else {})


@pytest.mark.parametrize("settings", [LiveSettings(), TIGHT], ids=["all_in_memory", "read_on_demand"])
@pytest.mark.parametrize("learned", [True, False], ids=["learned", "plain"])
def test_the_answer_is_that_of_the_question_after_posting_folding_and_refreshing(learned, settings, small, copy_of,
                                                                                 small_learned):
    served, chance = Served(copy_of(small_learned if learned else small), settings), random.Random(3)
    items = [f"i-{number:06d}" for number in range(60)]
    who = [f"p{number}" for number in (0, 6, 18)] + known(served.view(), 100)
    assert different(served, who[-2:]) == []

    for turn in range(2):
        served.post(*some_events(chance, served.now + turn, 60, items))
        served.change("items", "put", {"item_id": items[0], "title": "New", "category": "Odd > One", "price": 1.25})
        served.change("items", "patch", {"item_id": items[1], "price": 2.5})
        served.change("items", "delete", {"item_id": items[2]})
        before = [_order(served.ask(person, n=7)) for person in who]
        served.fold()

        assert different(served, who, turn) == []
        if learned:  # nothing waits for the fold; popular items are counted over the log where it does not fit
            assert before == [_order(served.ask(person, n=7)) for person in who]

    served.view().ingest([{"event": "view_item", "event_id": f"file-{place}", "ts": iso(served.now),
                           "item_id": items[place], "customer_id": f"p{place}"} for place in range(1, 30)])
    served.live.refresh(served.view())
    assert different(served, who) == []
    served.close()


def test_who_was_active_longest_ago_is_let_go_when_lines_are_too_many_and_answered_as_before(small, copy_of):
    shop = copy_of(small)
    full = Served(shop)
    lines = len(full.live._memory)
    full.close()
    served = Served(shop, LiveSettings(bounds=Bounds(lines=lines, cached_lines=300)))
    chance, items = random.Random(5), [f"i-{number:06d}" for number in range(60)]
    who = [f"p{number}" for number in (0, 6, 18)] + known(served.view(), 60)
    assert served.live._memory.whole

    served.post(*some_events(chance, served.now, lines // 9, items))
    served.fold()

    assert not served.live._memory.whole
    assert lines // 2 < len(served.live._memory) <= lines
    assert different(served, who) == []
    served.post(*some_events(chance, served.now + 1, 60, items))
    served.fold()
    assert different(served, who) == []
    served.close()


def test_what_came_beside_a_merging_of_segments_is_still_known():
    def manifest(*segments):
        return Manifest(segments=tuple(Segment(file, rows, rows, 0, 1, brought) for file, rows, brought in segments))

    before = manifest(("a", 10, "import"), ("b", 20, "fold-1"))
    for after, came in ((manifest(("a", 10, "import"), ("b", 20, "fold-1"), ("c", 5, "fold-2")), ["c"]),
                        (manifest(("m", 30, "compacted-1"), ("c", 5, "fold-2")), ["c"]),
                        (manifest(("m", 30, "compacted-1")), []),
                        (manifest(("m", 35, "compacted-1"), ("d", 7, "fold-3")), None),
                        (manifest(("b", 20, "fold-1")), None)):
        assert came_since(after, before) == (None if came is None else [one for one in after.segments
                                                                        if one.file in came])


def _order(answer):
    return [(row["item_id"], row["score"]) for row in answer["answer"]], answer["notes"]


def test_a_click_changes_the_next_answer_and_none_of_anybody_else(served):
    someone = known(served.view(), 20)[0]
    before, others = served.ids("newcomer"), served.ids(someone)

    served.post({"event": "purchase", "event_id": "1", "ts": iso(served.now), "customer_id": "newcomer",
                 "order_id": "o", "item_id": "i-000040"})

    assert served.ids("newcomer") != before
    assert served.ids(someone) == others


def test_on_an_empty_shop_the_first_event_makes_the_first_answer(tmp_path):
    Shop.open(tmp_path / "empty")
    served = Served(Shop.open(tmp_path / "empty"))
    with pytest.raises(UnknownName, match="no events of people with items"):
        served.live.next_items("ann")

    served.wall = 1_790_000_000_000_000
    served.post({"event": "view_item", "event_id": "1", "ts": iso(served.wall - 5), "customer_id": "ann",
                 "item_id": "tea"})

    assert served.ids("ann") == ["tea"]
    served.close()


def test_the_same_event_again_and_an_event_of_the_service_change_nothing(served):
    one = {"event": "view_item", "event_id": "again", "ts": iso(served.now), "customer_id": "ann",
           "item_id": "i-000007"}
    served.post(one)
    first = served.ask("ann", because=True)

    ticket = served.collector.take(_arrived([one], served.wall))
    served.collector.flush()
    served.live.saw(ticket.events, served.wall)
    served.log_exposures()
    served.live.saw(served.collector.replay(), served.wall)

    assert ticket.duplicate == 1
    assert served.ask("ann", because=True) == first


def _arrived(records, at):
    from shopkeeper.warehouse.collector import Arrived

    return Arrived(json.dumps(records).encode(), "http:test", at)


def test_an_event_from_the_future_does_not_move_the_clock(served):
    before = served.live._now

    served.post({"event": "page_view", "event_id": "1", "ts": iso(served.wall + DAY // 4), "customer_id": "ann"})
    assert served.live._now == before
    served.post({"event": "page_view", "event_id": "2", "ts": iso(served.wall - 1), "customer_id": "ann"})
    assert served.live._now == served.wall - 1


def test_a_change_of_a_table_shows_in_the_next_answer(served):
    first = served.ids("nobody")[0]

    served.change("items", "patch", {"item_id": first, "title": "Now called so", "price": 7.5})
    row = served.ask("nobody")["answer"][0]
    assert (row["title"], row["price"]) == ("Now called so", 7.5)

    with pytest.raises(MissingTable):
        served.live.next_items("nobody", rules=Rules(exclude_out_of_stock=True))
    served.change("stock", "put", *({"item_id": item, "on_hand": 3} for item in served.ids("nobody", n=40)[1:]))
    assert first not in served.ids("nobody", rules=Rules(exclude_out_of_stock=True))


def test_reasons_are_given_on_request_and_refusals_are_those_of_the_question(served):
    assert "because" not in served.ask("nobody")["answer"][0]
    assert served.ask("nobody", because=True)["answer"][0]["because"] == []
    with pytest.raises(BadInput, match="must be at least 1"):
        served.live.next_items("nobody", n=0)
    with pytest.raises(UnknownName, match="no item has the category"):
        served.live.next_items("nobody", rules=Rules(categories=("Nowhere",)))


def test_what_is_installed_takes_over_at_a_refresh(small, copy_of):
    served = Served(copy_of(small))
    assert served.ask("nobody")["method"] == "popular"

    learn(served.view())
    served.live.refresh(served.view())

    someone = known(served.view(), 20)[0]
    assert served.ask(someone)["evidence"]["kind"] == "trial"
    assert different(served, [someone]) == []
    served.close()


def test_whether_the_log_must_be_read_is_said_before(small_learned):
    roomy, tight = LiveDesk.open(small_learned), LiveDesk.open(small_learned, TIGHT)
    people = known(small_learned, 1)

    assert all(roomy.in_memory(person) for person in people)
    outside = [person for person in people if not tight.in_memory(person)]
    assert outside
    tight.next_items(outside[0])
    assert tight.in_memory(outside[0])
    assert not roomy.in_memory(people[0], Rules(price_min=1.0))


def test_what_was_shown_is_stored_under_the_person_and_moves_neither_clock_nor_wants(served):
    someone = known(served.view(), 20)[0]
    before, now = served.ask(someone, because=True), served.view().now()
    shown = served.live.next_items(someone, n=3)

    served.log_exposures()
    served.fold()

    shop = served.view()
    rows = shop.engine.run(shop.events().filter(lambda t: t.request_id == shown.request_id)).to_pylist()
    lines = sorted((row["position"], row["item_id"]) for row in rows if row["item_id"] is not None)
    assert lines == [(row["rank"], row["item_id"]) for row in json.loads(shown.body)["answer"]]
    assert {row["customer_id"] for row in rows} == {someone}
    assert {(row["event"], row["list_id"], row["source"], row["propensity"]) for row in rows} == {
        ("view_item_list", "next_items", "serve", 1.0)}
    assert shop.now() == now
    assert served.ask(someone, because=True) == before


def test_a_full_queue_leaves_out_and_counts_and_what_was_not_stored_waits_again():
    queue = Exposures(most=3)
    for number in range(5):
        queue.put({"n": number})
    assert (queue.waiting, queue.left_out) == (3, 2)

    body = queue.drain(2)
    assert json.loads(body) == [{"n": 0}, {"n": 1}]
    queue.put_back(body)

    assert (queue.waiting, queue.logged) == (3, 0)
    assert json.loads(queue.drain()) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (queue.drain(), queue.logged) == (None, 3)


def test_a_share_of_exposures_is_drawn_by_chance():
    queue = Exposures(most=10_000, share=0.3)
    for number in range(2_000):
        queue.put({"n": number})

    assert queue.waiting + queue.not_drawn == 2_000
    assert queue.waiting / 2_000 == pytest.approx(0.3, abs=0.05)


def test_one_customer_alone_is_ranked_as_among_many_bit_for_bit(small_learned):
    from shopkeeper.recommend.desk import desk
    from shopkeeper.recommend.inputs import read_log
    from shopkeeper.recommend.methods.base import Histories

    fitted, log = desk(small_learned, "recommend.next_items").fitted, read_log(small_learned)
    people = Histories.of(log.interactions, np.arange(log.interactions.n_customers))
    rows, scores = fitted.top(people, log.now, 9)

    for place in range(0, len(people), 7):
        alone = fitted.top(people.part(place, place + 1), log.now, 9)
        assert alone[0][0].tolist() == rows[place].tolist()
        assert alone[1][0].tolist() == scores[place].tolist()


SHELF = [f"w{number:02d}" for number in range(40)]


def wandering(chance, now):
    """Three people with a phone each and a till that they share, signed in or not."""
    for place in range(30):
        who, device = chance.randrange(3), chance.choice(["phone", "till"])
        record = {"event": "view_item", "event_id": f"{now}-{place}", "ts": iso(now + chance.randrange(1, DAY // 8)),
                  "anonymous_id": "till" if device == "till" else f"phone{who}", "item_id": chance.choice(SHELF)}
        yield record | ({"customer_id": f"m{who}"} if chance.random() < 0.3 else {})


def unlike(served, customers):
    """Whoever is taken by the live desk to have looked at other things than the log says."""
    shop, rules = served.view(), Rules(exclude_seen=True)
    return [one for one in customers if {*SHELF} - {*served.ids(one, n=99, rules=rules)}
            != {*inputs.read_history(shop, one)[0].ids.to_pylist()}]


@pytest.mark.parametrize("settings", [LiveSettings(), LiveSettings(bounds=Bounds(lines=25, person_lines=12))],
                         ids=["all_in_memory", "read_on_demand"])
def test_what_a_visitor_did_counts_for_the_customer_from_the_next_fold_on(settings, tmp_path):
    shop, chance, now = Shop.open(tmp_path / "shop"), random.Random(5), 1_790_000_000_000_000
    first = {"event": "login", "event_id": "v0", "ts": iso(now), "anonymous_id": "first", "customer_id": "m0"}
    shop.ingest([first, *({"event": "view_item", "event_id": item, "ts": iso(now), "anonymous_id": "crowd",
                           "item_id": item} for item in SHELF)])
    identity.join(shop)
    served, looked = Served(shop, settings), {"event": "view_item", "anonymous_id": "late", "item_id": SHELF[7]}
    served.post({**looked, "event_id": "v1", "ts": iso(now)})
    assert SHELF[7] in served.ids("m9", n=99, rules=Rules(exclude_seen=True))
    served.post(*wandering(chance, now))
    served.fold()
    served.post(*wandering(chance, now + 1))
    served.fold()
    assert unlike(served, ["m0", "phone1", "till"]) == []
    served.post({**first, "event_id": "v2", "anonymous_id": "late", "customer_id": "m9"})
    served.fold()

    assert SHELF[7] not in served.ids("m9", n=99, rules=Rules(exclude_seen=True))
    assert unlike(served, ["m9", "late"]) == []
    identity.split(served.view(), "late")
    served.live.refresh(served.view())
    assert SHELF[7] in served.ids("m9", n=99, rules=Rules(exclude_seen=True))
    assert unlike(served, ["m9"]) == []
    served.close()
