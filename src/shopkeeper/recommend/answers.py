"""What leaves the room: ranked items, ranked customers, and the trials behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, people, shown
from shopkeeper.charts import Axis
from shopkeeper.errors import UnknownName
from shopkeeper.words import Sentence, put, say, word

BECAUSE = pa.struct([("item_id", pa.string()), ("title", pa.string()), ("share", pa.float64()), ("times", pa.int64()),
                     ("last", pa.timestamp("us"))])
ITEMS = pa.schema([("rank", pa.int64()), ("item_id", pa.string()), ("title", pa.string()), ("category", pa.string()),
                   ("price", pa.float64()), ("score", pa.float64()), ("method", pa.string()),
                   ("because", pa.list_(BECAUSE))])
VECTORS = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32())), ("across", pa.float64()),
                     ("down", pa.float64())])
LIKELY = pa.schema([("rank", pa.int64()), ("item_id", pa.string()), ("title", pa.string()), ("role", pa.string()),
                    ("chance", pa.float64())])
AUDIENCE = pa.schema([("rank", pa.int64()), ("customer", pa.string()), ("score", pa.float64()), ("method", pa.string()),
                      ("bought", pa.int64()), ("last", pa.timestamp("us"))])


@dataclass(frozen=True, kw_only=True)
class Items(Answer):
    """Items in order of what fits best.

    Columns of the table: rank (from 1), item_id, title, category, price (shop.currency), score (higher is better;
    comparable within one answer), method, because (a list of the items of the history that brought it, each with its
    share of the score, how often and when last; of items that were named in the question only the share).

    Attributes:
        catalogue: How many items could be ranked: left = catalogue - what `removed` says of other than limits.
        left: How many of them no rule removed.
        removed: Rule -> items that it removed (and no rule before it), or that a limit held back on the way. `given`:
            the items of the question; `had`: what the customer has, where people do not come back for things.
        beside: `basket` or `next` where the items were named and stand for a basket, or for what one turns from.
    """

    catalogue: int = 0
    left: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    beside: Literal["", "basket", "next"] = ""

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """As of every answer, with `catalogue`, `left` and `removed`."""
        return {**super().to_dict(language), "catalogue": self.catalogue, "left": self.left,
                "removed": dict(self.removed)}

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Rank, item, price, and the reason in words."""
        headings = [word(name, language) for name in ("rank", "item", "category", "price", "because of")]
        body = [[shown(row["rank"]), row["title"] or row["item_id"], row["category"] or "", price(row["price"]),
                 self._because(row["because"], language)] for row in self.table.to_pylist()]
        return headings, body

    def _because(self, reasons: list[dict[str, Any]], language: str) -> str:
        if not reasons:
            return put(say("taken by many just now"), language)
        return "; ".join(put(self._reason(one, alone=len(reasons) == 1), language) for one in reasons[:3])

    def _reason(self, one: dict[str, Any], *, alone: bool) -> Sentence:
        title, share = one["title"] or one["item_id"], f"{100 * one['share']:.0f}"
        if not self.beside:
            return say("{title} ({times}x, last {day})", title=title, times=one["times"],
                       day=one["last"].date().isoformat())
        if not alone:
            return say("{title} ({share} %)", title=title, share=share)
        if self.method == "same_category":
            return say("of the same category as {title}", title=title)
        if self.beside == "basket":
            return say("in baskets with {title}", title=title)
        return say("people turn to it from {title}", title=title)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Scores as bars."""
        rows = [{"item": row["title"] or row["item_id"], "score": row["score"]} for row in self.table.to_pylist()
                if row["score"] is not None]
        item, score = Axis("item", word("item", language), "name"), Axis("score", word("score", language))
        return charts.bars(rows, item, score, title=put(self.title, language)) if rows else None


@dataclass(frozen=True, kw_only=True)
class Likely(Answer):
    """How likely a customer is to take each of the items that would be recommended.

    Columns of the table: rank (from 1), item_id, title, role (what would be done, or something stronger), chance (from
    0 to 1, that it is done within `within` days).

    Attributes:
        within: Days.
        curves: Role -> what was stated, what came of it and of how many statements, in ten equal parts, on days that
            had not been seen.
    """

    within: int = 0
    curves: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """As of every answer, with `within` and `curves`."""
        return {**super().to_dict(language), "within": self.within, "curves": dict(self.curves)}

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What was stated beside what came of it; on the diagonal both are the same."""
        rows = [{"stated": stated, "happened": happened, "what": word(role, language)}
                for role, curve in self.curves.items()
                for stated, happened in zip(curve["stated"], curve["happened"], strict=True)]
        if not rows:
            return None
        most = max(row["stated"] for row in rows)
        rows += [{"stated": end, "happened": end, "what": word("as stated", language)} for end in (0.0, most)]
        return charts.lines(rows, Axis("stated", word("stated chance", language)),
                            Axis("happened", word("share that was taken", language)),
                            Axis("what", word("role", language), "name"), title=put(self.title, language))


@dataclass(frozen=True, kw_only=True)
class Vectors(Answer):
    """Customers or items as points: those that lie near each other are alike in what people do.

    Columns of the table: id (item id, or pseudonym), vector (its numbers), across and down (its place on the map:
    the two directions in which the points differ most).
    """

    def array(self) -> npt.NDArray[np.float32]:
        """(n, width) float32, in the order of the table."""
        return np.asarray(self.table["vector"].to_pylist(), dtype=np.float32).reshape(self.table.num_rows, -1)

    def nearest(self, name: str, n: int = 10) -> list[tuple[str, float]]:
        """The ids nearest to one, with the cosine between them, nearest first; the id itself is left out.

        Raises:
            UnknownName: No point has this id.
        """
        ids = self.table["id"].to_pylist()
        if name not in ids:
            raise UnknownName(say("{name} has no vector here.", name=repr(name)),
                              why=say("only what was there when it was learned has one."))
        points = self.array()
        points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        near = points @ points[ids.index(name)]
        order = np.argsort(-near, kind="stable")
        return [(ids[at], float(near[at])) for at in order.tolist() if ids[at] != name][:n]

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """As the table, without the numbers."""
        return people(self.table.drop_columns(["vector"]), language)

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """The map."""
        rows = self.table.select(["id", "across", "down"]).to_pylist()[:2_000]
        return charts.points(rows, Axis("across", ""), Axis("down", ""), Axis("id", word("id", language), "name"),
                             title=put(self.title, language)) if rows else None


def price(value: float | None) -> str:
    """A price as people read it: two decimals, four only below 0.01; nothing where it is unknown.

    >>> price(1299.5), price(0.0021), price(0.0), price(None)
    ('1,299.50', '0.0021', '0.00', '')
    """
    if value is None:
        return ""
    return f"{value:,.4f}" if 0 < abs(value) < 0.01 else f"{value:,.2f}"


@dataclass(frozen=True, kw_only=True)
class Audience(Answer):
    """Customers (pseudonyms) in order of how much they want an item: rank, customer, score, method, bought (how often
    they bought it), last (when they last did anything)."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """As the table, without the method."""
        return people(self.table.drop_columns(["method"]), language)


@dataclass(frozen=True, kw_only=True)
class Trials(Answer):
    """How the methods of each question did on the same customers.

    Columns of the table: question, method, metric, value (mean over the cases), low and high (its interval), wins
    (whether it is the one that answers), beats (the rival's name, where it is compared with one).
    """

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Each method's mean with its interval."""
        rows = [{**row, "what": f"{row['question']}: {row['method']}"} for row in self.table.to_pylist()
                if row["low"] is not None]
        what, value = Axis("what", word("method", language), "name"), Axis("value", word("value", language))
        return charts.intervals(rows, what, value, ("low", "high"), title=put(self.title, language)) if rows else None
