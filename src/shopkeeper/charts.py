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
    legend = {"title": value.title or None, **({"format": value.format} if value.format else {})}
    return _chart(rows, title, description or _described(title, x, y, value), {
        "height": {"step": STEP - 4}, "mark": {"type": "rect", "tooltip": True},
        "encoding": {"x": across, "y": _named(y), "color": _channel(value) | {"legend": legend},
                     "tooltip": _tips(x, y, value)}})


def steps(rows: Rows, step: Axis, value: Axis, share: Axis, series: Axis | None = None, *, title: str = "",
          description: str = "") -> dict[str, Any]:
    """Bars of a funnel: one a step, as long as what is left, with its share in figures; side by side for groups.

    Args:
        rows: One mapping a bar.
        step: What each bar is, in the order of the rows.
        value: How long it is.
        share: The figure beside it.
        series: What is told apart; one group where it is None.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification.

    >>> rows = [{"s": "view", "n": 9, "r": 1.0}, {"s": "buy", "n": 3, "r": 1 / 3}]
    >>> spec = steps(rows, Axis("s", "", "name"), Axis("n", "people"), Axis("r", "share", format=".0%"))
    >>> [layer["mark"]["type"] for layer in spec["layer"]]
    ['bar', 'text']
    """
    told = [axis for axis in (series, step, value, share) if axis is not None]
    encoding: dict[str, Any] = {"y": _named(step), "x": _channel(value), "tooltip": _tips(*told)}
    if series is not None:
        encoding |= {"yOffset": {"field": series.field, "type": "nominal", "sort": None},
                     "color": _channel(series) | {"sort": None, "legend": {"title": series.title or None}}}
        encoding["color"].pop("axis")
    text = {"text": {"field": share.field, "type": "quantitative", "format": share.format or ".1%"},
            "color": {"value": _INK["light"]["soft"]}}
    return _chart(rows, title, description or _described(title, *told), {
        "height": {"step": STEP} if series is None else {"step": STEP // 2, "for": "offset"}, "encoding": encoding,
        "layer": [{"mark": {"type": "bar"}}, {"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": text}]})


def flow(rows: Rows, columns: tuple[str, str, str, str], *, other: str, names: str = "", title: str = "",
         description: str = "") -> dict[str, Any]:
    """A flow from column to column: boxes as tall as what passes through them, bands between them.

    Args:
        rows: One mapping a band.
        columns: The columns of the step (1, 2, ...; below 0: backwards), where a band comes from, where it goes, how
            wide it is.
        other: What small boxes of one column are called together.
        names: What the width is.
        title: Above the picture.
        description: What a screen reader reads; by default the titles.

    Returns:
        A Vega-Lite specification: three layers over rows that carry their own places.

    >>> rows = [{"at": 1, "a": "view", "b": "cart", "n": 3}, {"at": 1, "a": "view", "b": "end", "n": 1}]
    >>> spec = flow(rows, ("at", "a", "b", "n"), other="other")
    >>> [layer["mark"]["type"] for layer in spec["layer"]]
    ['area', 'rect', 'text']
    """
    boxes, bands = _placed([tuple(row[column] for column in columns) for row in rows], other)
    x = {"field": "x", "type": "quantitative", "axis": None, "scale": {"nice": False}}
    y = {"field": "y", "type": "quantitative", "axis": None, "scale": {"nice": False, "reverse": True}}
    tips = [{"field": "name", "type": "nominal", "title": ""},
            {"field": "n", "type": "quantitative", "title": names or columns[3], "format": ","}]
    box = {"data": {"values": boxes}, "mark": {"type": "rect"}, "encoding": {
        "x": x, "x2": {"field": "x2"}, "y": y, "y2": {"field": "y2"}, "tooltip": tips}}
    text = {"data": {"values": boxes}, "mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {
        "x": x | {"field": "x2"}, "y": y | {"field": "middle"}, "text": {"field": "name", "type": "nominal"}}}
    area = {"data": {"values": bands}, "mark": {"type": "area", "opacity": 0.3, "interpolate": "linear"}, "encoding": {
        "x": x, "y": y, "y2": {"field": "y2"}, "detail": {"field": "band", "type": "nominal"}, "tooltip": tips}}
    return _chart([], title, description or _described(title, Axis("n", names or columns[3])), {
        "width": 720, "height": 360, "layer": [area, box, text]})


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
        legend = {"title": series.title or None, "symbolType": "stroke", "symbolSize": 300}  # a piece of the line
        encoding |= {name: _channel(series) | {"sort": None, "legend": legend} for name in ("color", "strokeDash")}
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


_KEPT, _GAP, _BOX = 7, 0.03, 0.06  # boxes a column; space between them, of the height; width of a box, of a column
_LABEL = 0.05                      # from the top of a box to that of the next at least: room for a name


def _placed(bands: list[Any], other: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Boxes and bands with their places, from (step, from, to, width); small boxes of a column are one."""
    sums: dict[tuple[int, str], float] = {}
    ends = [((at - (1 if at > 0 else -1), here), (at, there), n) for at, here, there, n in bands]
    into = {there[0] for _, there, _ in ends}
    for here, there, n in ends:
        sums[there] = sums.get(there, 0) + n
        if here[0] not in into:
            sums[here] = sums.get(here, 0) + n
    columns: dict[int, list[str]] = {}
    for column, name in sorted(sums, key=lambda box: (box[0], -sums[box], box[1])):
        columns.setdefault(column, []).append(name)
    kept = {(column, name) for column, names in columns.items() for name in names[:_KEPT]}
    merged: dict[tuple[tuple[int, str], tuple[int, str]], float] = {}
    for here, there, n in ends:
        pair = (here if here in kept else (here[0], other), there if there in kept else (there[0], other))
        merged[pair] = merged.get(pair, 0) + n
    boxes: dict[tuple[int, str], float] = {}
    for box, n in sums.items():
        place = box if box in kept else (box[0], other)
        boxes[place] = boxes.get(place, 0) + n
    tops = _tops(boxes)
    return ([{"name": name, "n": boxes[column, name], "x": column, "x2": column + _BOX, "y": top, "y2": top + height,
              "middle": top + height / 2} for (column, name), (top, height) in tops.items()],
            _bands(merged, boxes, tops))


def _tops(boxes: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], tuple[float, float]]:
    """Top and height of each box: the largest first, one scale for all columns."""
    most = max(sum(n for (at, _), n in boxes.items() if at == column) for column in {at for at, _ in boxes})
    found: dict[tuple[int, str], tuple[float, float]] = {}
    next_top: dict[int, float] = {}
    for column, name in sorted(boxes, key=lambda box: (box[0], -boxes[box], box[1])):
        height, top = boxes[column, name] / most, next_top.get(column, 0.0)
        found[column, name] = (top, height)
        next_top[column] = top + max(height + _GAP, _LABEL)
    return found


def _bands(merged: Mapping[tuple[tuple[int, str], tuple[int, str]], float], boxes: Mapping[tuple[int, str], float],
           tops: Mapping[tuple[int, str], tuple[float, float]]) -> list[dict[str, Any]]:
    """Points of each band: from the inner edge of one box to that of the next, along a smooth step."""
    used: dict[tuple[tuple[int, str], str], float] = {}
    found = []
    for (here, there), n in sorted(merged.items(), key=lambda one: (tops[one[0][0]], tops[one[0][1]])):
        ends = (here, there) if here[0] < there[0] else (there, here)
        left, right = ((box, side) for box, side in zip(ends, ("right", "left"), strict=True))
        edges = []
        for box, side in (left, right):
            height = n / boxes[box] * tops[box][1]
            top = tops[box][0] + used.get((box, side), 0.0)
            used[box, side] = used.get((box, side), 0.0) + height
            edges.append((top, height))
        for point in range(13):
            share = point / 12
            bend = share * share * (3 - 2 * share)
            top, height = (a + (b - a) * bend for a, b in zip(edges[0], edges[1], strict=True))
            found.append({"band": f"{here} {there}", "name": f"{here[1]} > {there[1]}", "n": n,
                          "x": ends[0][0] + _BOX + share * (ends[1][0] - ends[0][0] - _BOX), "y": top,
                          "y2": top + height})
    return found


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
