"""An answer's picture as data: Vega-Lite (version 5) specifications, in one theme, light and dark.

Pure functions: rows in, a plain dictionary out. Titles are text that the caller has already put into the reader's
language; `description` is what a screen reader reads. Colours are those of Okabe and Ito, told apart by all eyes.

Source:
    Okabe and Ito (2008), Color Universal Design: how to make figures that are friendly to colour-blind people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # names the version; nothing is fetched from it
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")
FONT = ("system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', "
        "sans-serif")
STEP = 26  # pixels a row of bars or intervals

Mode = Literal["light", "dark"]
Rows = Iterable[Mapping[str, object]]


@dataclass(frozen=True)
class Axis:
    """What stands on one axis.

    Attributes:
        field: Name of the column in the rows.
        title: What the reader sees; nothing where it is empty. Names down the side show theirs in the tooltip only.
        kind: `number`, `name` (no order of its own: drawn in the order of the rows), `order` (small whole numbers or
            names in their order) or `time`.
        format: A d3 number or time format, such as `.1%` or `%b %Y`; empty for Vega's own choice.
    """

    field: str
    title: str = ""
    kind: Literal["number", "name", "order", "time"] = "number"
    format: str = ""


_TYPES = {"number": "quantitative", "name": "nominal", "order": "ordinal", "time": "temporal"}
_INK: dict[Mode, dict[str, str]] = {
    "light": {"ink": "#1b1f24", "soft": "#57606a", "line": "#e3e6ea", "mark": "#0072B2",
              "low": "#eef5fa", "high": "#00456e"},
    "dark": {"ink": "#e9ecef", "soft": "#a3abb5", "line": "#343a42", "mark": "#56B4E9",
             "low": "#16232d", "high": "#8fd0f7"},
}


def theme(mode: Mode = "light") -> dict[str, Any]:
    """The one theme, as a Vega-Lite `config`: transparent ground, quiet axes, colours that all eyes tell apart.

    >>> theme("dark")["background"], theme("light")["font"] == theme("dark")["font"]
    ('transparent', True)
    """
    ink = _INK[mode]
    hues = list(PALETTE if mode == "light" else (*reversed(PALETTE[1:5]), *PALETTE[5:], PALETTE[0]))
    return {
        "background": "transparent", "font": FONT, "padding": 4, "numberFormat": ",.4~f",
        "view": {"stroke": None, "continuousWidth": 420, "continuousHeight": 240},
        "title": {"anchor": "start", "color": ink["ink"], "fontSize": 14, "fontWeight": 600, "offset": 12},
        "axis": {"labelColor": ink["soft"], "titleColor": ink["soft"], "gridColor": ink["line"], "domain": False,
                 "ticks": False, "labelPadding": 8, "labelFontSize": 12, "titleFontSize": 12,
                 "titleFontWeight": "normal", "titlePadding": 10, "labelLimit": 200},
        "legend": {"labelColor": ink["soft"], "titleColor": ink["soft"], "orient": "top", "labelFontSize": 12,
                   "titleFontWeight": "normal"},
        "mark": {"color": ink["mark"]}, "bar": {"cornerRadiusEnd": 2}, "line": {"strokeWidth": 2.5},
        "rule": {"color": ink["soft"]}, "text": {"color": ink["ink"], "fontSize": 12},
        "range": {"category": hues, "heatmap": [ink["low"], ink["mark"], ink["high"]],
                  "ramp": [ink["low"], ink["mark"], ink["high"]]},
    }


def bars(rows: Rows, label: Axis, value: Axis, *, title: str = "", description: str = "") -> dict[str, Any]:
    """Bars from the left, one a row, in the order of the rows.

    Args:
        rows: One mapping a bar.
        label: What each bar is.
        value: How long it is.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification.

    >>> spec = bars([{"item": "tea", "sold": 3}], Axis("item", "item", "name"), Axis("sold", "sold"))
    >>> spec["mark"]["type"], spec["encoding"]["x"]["field"], spec["data"]["values"]
    ('bar', 'sold', [{'item': 'tea', 'sold': 3}])
    """
    return _chart(rows, title, description or _described(title, label, value), {
        "height": {"step": STEP}, "mark": {"type": "bar"},
        "encoding": {"y": _named(label), "x": _channel(value), "tooltip": _tips(label, value)}})


def intervals(rows: Rows, label: Axis, value: Axis, span: tuple[str, str], *, title: str = "",
              description: str = "") -> dict[str, Any]:
    """A forest plot: a point and its interval a row, and a line where there is no difference (zero).

    Args:
        rows: One mapping an estimate.
        label: What was estimated.
        value: The estimate.
        span: The columns of the interval's two ends.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification.

    >>> spec = intervals([{"m": "a", "d": .1, "lo": .05, "hi": .15}], Axis("m", "", "name"), Axis("d"), ("lo", "hi"))
    >>> [layer["mark"]["type"] for layer in spec["layer"]]
    ['rule', 'rule', 'point']
    """
    low, high = span
    x = _channel(value)
    ends = [{"field": end, "type": "quantitative", "format": value.format or ".4~g"} for end in span]
    tips = [*_tips(label, value), *ends]
    zero = {name: x[name] for name in ("type", "title", "axis")} | {"datum": 0}
    nothing = {"x": zero, "y": {"value": 0}, "y2": {"value": "height"}}
    return _chart(rows, title, description or _described(title, label, value), {
        "height": {"step": STEP + 6}, "encoding": {"y": _named(label)},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": nothing},
            {"mark": {"type": "rule", "strokeWidth": 2.5}, "encoding": {
                "x": x | {"field": low}, "x2": {"field": high}, "tooltip": tips}},
            {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1}, "encoding": {
                "x": x, "tooltip": tips}},
        ]})


def heat(rows: Rows, x: Axis, y: Axis, value: Axis, *, title: str = "", description: str = "") -> dict[str, Any]:
    """Cells coloured by a value: hours by weekdays, cohorts by months.

    Args:
        rows: One mapping a cell.
        x: Across, in the order of the rows.
        y: Down, in the order of the rows.
        value: What the colour says.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification.

    >>> hour, day = Axis("h", "hour", "order"), Axis("d", "day", "name")
    >>> spec = heat([{"h": 9, "d": "Mon", "n": 4}], hour, day, Axis("n", "orders"))
    >>> spec["mark"]["type"], spec["encoding"]["color"]["field"]
    ('rect', 'n')
    """
    across = _channel(x) | {"sort": None, "axis": {"labelAngle": 0, "labelOverlap": "parity", "title": x.title or None}}
    return _chart(rows, title, description or _described(title, x, y, value), {
        "height": {"step": STEP - 4}, "mark": {"type": "rect", "tooltip": True},
        "encoding": {"x": across, "y": _named(y), "color": _channel(value) | {"legend": {"title": value.title or None}},
                     "tooltip": _tips(x, y, value)}})


def lines(rows: Rows, x: Axis, y: Axis, series: Axis | None = None, *, title: str = "",
          description: str = "") -> dict[str, Any]:
    """Lines over time or over a number, one a series.

    Args:
        rows: One mapping a point.
        x: Across.
        y: Up.
        series: What each line is; one line where it is None.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification.

    >>> spec = lines([{"day": "2026-10-01", "n": 4}], Axis("day", "day", "time"), Axis("n", "orders"))
    >>> spec["encoding"]["x"]["type"], "color" in spec["encoding"]
    ('temporal', False)
    """
    told = [axis for axis in (x, y, series) if axis is not None]
    encoding: dict[str, Any] = {"x": _channel(x), "y": _channel(y), "tooltip": _tips(*told)}
    if series is not None:
        encoding["color"] = _channel(series) | {"sort": None, "legend": {"title": series.title or None}}
        encoding["strokeDash"] = _channel(series) | {"sort": None, "legend": {"title": series.title or None}}
    return _chart(rows, title, description or _described(title, *told), {
        "mark": {"type": "line", "tooltip": True, "point": {"size": 30}}, "encoding": encoding})


def points(rows: Rows, x: Axis, y: Axis, label: Axis, *, title: str = "", description: str = "") -> dict[str, Any]:
    """A map: a point a row, whose name is in the tooltip.

    Args:
        rows: One mapping a point.
        x: Across.
        y: Down.
        label: What each point is.
        title: Of the picture.
        description: For who cannot see it; by default what is on the axes.

    >>> points([{"a": 1, "b": 2, "c": "tea"}], Axis("a", ""), Axis("b", ""), Axis("c", "item", "name"))["mark"]["type"]
    'circle'
    """
    quiet = {"scale": {"zero": False}, "axis": {"labels": False, "ticks": False, "title": None, "domain": False}}
    return _chart(rows, title, description or _described(title, label), {
        "mark": {"type": "circle", "opacity": 0.7},
        "encoding": {"x": _channel(x) | quiet, "y": _channel(y) | quiet, "tooltip": _tips(label)}})


def _chart(rows: Rows, title: str, description: str, body: Mapping[str, Any]) -> dict[str, Any]:
    values = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return {"$schema": SCHEMA, "description": description, **({"title": title} if title else {}),
            "data": {"values": values}, **body, "config": theme("light")}


def _channel(axis: Axis) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": axis.title or None}
    if axis.kind in ("number", "time"):
        shown["tickCount"] = 6
    if axis.kind == "time":
        shown["grid"] = False
    if axis.format and axis.kind in ("number", "time"):
        shown["format"] = axis.format
    utc = {"scale": {"type": "utc"}} if axis.kind == "time" else {}  # drawn as stored, wherever the reader sits
    return {"field": axis.field, "type": _TYPES[axis.kind], "title": axis.title or None, "axis": shown, **utc}


def _named(axis: Axis) -> dict[str, Any]:
    """A channel of names: in the order of the rows, and without a title, for names speak for themselves."""
    return _channel(axis) | {"sort": None, "title": None, "axis": {"title": None}}


def _tips(*axes: Axis) -> list[dict[str, Any]]:
    return [_tip(axis) for axis in axes]


def _tip(axis: Axis) -> dict[str, Any]:
    tip: dict[str, Any] = {"field": axis.field, "type": _TYPES[axis.kind], "title": axis.title or axis.field}
    if axis.kind == "time":
        return tip | {"timeUnit": "utcyearmonthdatehoursminutes", "format": axis.format or "%Y-%m-%d"}
    return tip | ({"format": axis.format} if axis.format and axis.kind == "number" else {})


def _described(title: str, *axes: Axis) -> str:
    named = ", ".join(axis.title or axis.field for axis in axes)
    return f"{title}: {named}" if title else named


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")  # naive is UTC
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not isfinite(value):
        return None  # JSON has no NaN; Vega leaves a null out
    if hasattr(value, "item"):  # a numpy scalar
        return _plain(value.item())
    return value if isinstance(value, str | int | float | bool | None) else str(value)
