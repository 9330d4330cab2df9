"""What leaves the room: ranked items, ranked customers, and the trials behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, people, shown
from shopkeeper.charts import Axis
from shopkeeper.words import put, say, word

BECAUSE = pa.struct([("item_id", pa.string()), ("title", pa.string()), ("share", pa.float64()), ("times", pa.int64()),
                     ("last", pa.timestamp("us"))])
ITEMS = pa.schema([("rank", pa.int64()), ("item_id", pa.string()), ("title", pa.string()), ("category", pa.string()),
                   ("price", pa.float64()), ("score", pa.float64()), ("method", pa.string()),
                   ("because", pa.list_(BECAUSE))])
AUDIENCE = pa.schema([("rank", pa.int64()), ("customer", pa.string()), ("score", pa.float64()), ("method", pa.string()),
                      ("bought", pa.int64()), ("last", pa.timestamp("us"))])


@dataclass(frozen=True, kw_only=True)
class Items(Answer):
    """Items in order of what fits best.

    Columns of the table: rank (from 1), item_id, title, category, price (shop.currency), score (higher is better;
    comparable within one answer), method, because (a list of the items of the history that brought it, each with its
    share of the score, how often and when last).

    Attributes:
        removed: Rule -> items that it removed or held back.
    """

    removed: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """As of every answer, with `removed`."""
        return {**super().to_dict(language), "removed": dict(self.removed)}

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Rank, item, price, and the reason in words."""
        headings = [word(name, language) for name in ("rank", "item", "category", "price", "because of")]
        body = [[shown(row["rank"]), row["title"] or row["item_id"], row["category"] or "", shown(row["price"]),
                 _because(row["because"], language)] for row in self.table.to_pylist()]
        return headings, body

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """Scores as bars."""
        rows = [{"item": row["title"] or row["item_id"], "score": row["score"]} for row in self.table.to_pylist()]
        item, score = Axis("item", word("item", language), "name"), Axis("score", word("score", language))
        return charts.bars(rows, item, score, title=put(self.title, language)) if rows else None


def _because(reasons: list[dict[str, Any]], language: str) -> str:
    if not reasons:
        return put(say("bought by many just now"), language)
    return "; ".join(put(say("{title} ({times}x, last {day})", title=one["title"] or one["item_id"], times=one["times"],
                             day=one["last"].date().isoformat()), language) for one in reasons[:3])


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
