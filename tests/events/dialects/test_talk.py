"""Reviews, social posts and talks with the service: who speaks, of what, and with how many stars."""

from pathlib import Path
from typing import Any

import pytest

from shopkeeper import Shop
from shopkeeper.events.dialects import DIALECTS, translate
from shopkeeper.events.dialects.talk import stars

SAMPLES = Path(__file__).parent / "samples"


def stored(tmp_path: Path, name: str) -> tuple[Shop, list[dict[str, Any]]]:
    """The shop with a sample, and its rows in time."""
    shop = Shop.open(tmp_path / name)
    shop.ingest(SAMPLES / name)
    return shop, shop.engine.run(shop.events().order_by(["ts", "event_id"])).to_pylist()


def test_a_review_is_of_the_customer_with_that_address_and_of_nobody_known_by_a_name_alone(tmp_path: Path) -> None:
    shop, rows = stored(tmp_path, "reviews-plugin.csv")
    assert [row["customer_id"] for row in rows] == [shop.person("ann@example.org"), shop.person("bob@example.org"),
                                                    None, None]
    assert (rows[0]["anonymous_id"], rows[0]["text"]) == (None, "Keeps tea hot\nall morning")
    assert not any(secret in repr(rows) for secret in ("Ann E.", "Ann@", "203.0.113"))


def test_those_who_are_masked_are_not_one_person(tmp_path: Path) -> None:
    _, plugin = stored(tmp_path, "reviews-plugin.csv")
    _, chinese = stored(tmp_path, "reviews-zh-gb18030.csv")
    nobodies = [row["anonymous_id"] for row in (*plugin[2:], *chinese)]
    assert None not in nobodies
    assert len(set(nobodies)) == 5


def test_a_review_without_words_is_one_and_names_its_order_where_it_can(tmp_path: Path) -> None:
    _, plugin = stored(tmp_path, "reviews-plugin.csv")
    _, chinese = stored(tmp_path, "reviews-zh-gb18030.csv")
    assert [(row["rating"], row["item_id"]) for row in plugin] == [
        (5.0, "778"), (4.0, "778"), (2.0, "779"), (3.0, "779")]
    assert [(row["event"], row["rating"], row["order_id"]) for row in chinese] == [
        ("review", 5.0, "300000000011"), ("review", 5.0, "300000000012"), ("review", 1.0, "300000000013")]


def test_the_same_name_on_two_platforms_is_two_people(tmp_path: Path) -> None:
    _, rows = stored(tmp_path, "social-posts-zh.csv")
    assert [row["event"] for row in rows] == ["mention", "mention"]
    assert len({row["anonymous_id"] for row in rows}) == 2
    assert all(row["customer_id"] is None for row in rows)


def test_a_talk_is_its_customers_whoever_speaks_and_a_messages_number_is_of_its_talk(tmp_path: Path) -> None:
    shop, rows = stored(tmp_path, "service-chats-zh.csv")
    assert [row["session_id"] for row in rows] == ["S1", "S1", "S2", "S2"]
    assert [row["customer_id"] for row in rows] == [shop.person("茶客_08")] * 2 + [None] * 2
    assert rows[2]["anonymous_id"] == rows[3]["anonymous_id"]
    assert len({row["event_id"] for row in rows}) == 4


def test_a_review_of_the_shop_itself_needs_no_item() -> None:
    ours = translate(DIALECTS["reviews"], {"text": "Nice shop", "rating": "5", "date": "2026-09-05", "author": "Ann"})
    assert (ours["event"], ours["anonymous_id"], "item_id" in ours) == ("review", "review::Ann", False)


@pytest.mark.parametrize(("text", "read"), [("4", "4"), ("4.0 out of 5 stars", "4"), ("8/10", "4"), ("5星", "5"),
                                            ("★★★☆☆", "3"), ("中评", "3"), ("3 stars", "3"), ("五星", "5")])
def test_stars_are_of_five_however_they_are_written(text: str, read: str) -> None:
    assert stars(text) == read


@pytest.mark.parametrize("text", ["great", "5/0", ""])
def test_what_is_no_rating_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        stars(text)


@pytest.mark.parametrize("said", ["12/10", "6 stars", "9星", "-1 out of 5"])
def test_a_rating_outside_its_scale_is_none(said):
    with pytest.raises(ValueError, match=r"lies outside its scale|cannot be read|is no number"):
        stars(said)
