"""Pictures are data: plain JSON, one theme, and every value of the rows in them."""

import json
import math
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pytest

from shopkeeper.charts import PALETTE, Axis, bars, heat, intervals, lines, theme

ROWS = [{"name": "tea", "n": 3, "low": 2, "high": 4, "day": date(2026, 10, 1)},
        {"name": "cups", "n": 1, "low": -1, "high": 3, "day": date(2026, 10, 2)}]
NAME, N, DAY = Axis("name", "item", "name"), Axis("n", "sold"), Axis("day", "day", "time")
EVERY = {"bars": bars(ROWS, NAME, N), "intervals": intervals(ROWS, NAME, N, ("low", "high")),
         "heat": heat(ROWS, DAY, NAME, N), "lines": lines(ROWS, DAY, N, NAME)}


@pytest.mark.parametrize("name", EVERY)
def test_a_chart_is_plain_json_that_holds_every_row_and_a_text_for_those_who_cannot_see_it(name):
    chart = json.loads(json.dumps(EVERY[name], allow_nan=False))

    assert chart["$schema"].endswith("/vega-lite/v5.json")
    assert [row["n"] for row in chart["data"]["values"]] == [3, 1]
    assert "sold" in chart["description"]
    assert chart["config"] == theme("light")


def test_bars_keep_the_order_of_the_rows():
    assert EVERY["bars"]["encoding"]["y"]["sort"] is None


def test_a_forest_plot_draws_the_interval_and_the_line_of_no_difference():
    zero, span, point = EVERY["intervals"]["layer"]

    assert zero["encoding"]["x"]["datum"] == 0
    assert (span["encoding"]["x"]["field"], span["encoding"]["x2"]["field"]) == ("low", "high")
    assert point["encoding"]["x"]["field"] == "n"


def test_time_is_drawn_in_utc_wherever_the_reader_sits():
    chart = lines([{"at": datetime(2026, 10, 1, 23, 30), "n": 1}], Axis("at", "", "time"), N)

    assert chart["encoding"]["x"]["scale"] == {"type": "utc"}
    assert chart["data"]["values"][0]["at"] == "2026-10-01T23:30:00Z"


def test_money_numpy_numbers_and_what_is_no_number_become_plain_json():
    odd = [{"name": "a", "n": value} for value in (Decimal("1.50"), np.int64(4), np.float64(2.5), math.nan, math.inf)]

    assert [row["n"] for row in bars(odd, NAME, N)["data"]["values"]] == [1.5, 4, 2.5, None, None]


def test_the_two_themes_have_the_same_parts_and_only_colours_that_all_eyes_tell_apart():
    light, dark = theme("light"), theme("dark")

    assert light.keys() == dark.keys()
    assert sorted(light["range"]["category"]) == sorted(dark["range"]["category"]) == sorted(PALETTE)
    assert light["background"] == dark["background"] == "transparent"
