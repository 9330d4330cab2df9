"""A real answer of every shape that a door must carry: texts in two scripts, numbers, money, lists, nothing."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, rows
from shopkeeper.words import Sentence, say

HOSTILE = "</script><script>alert(1)</script>"
ROWS = [
    {"item": "i-1", "title": "Green tea, 250 g", "score": 0.91, "price": Decimal("12.5000"), "because": ["Teapot"],
     "at": datetime(2026, 10, 1, 8, 30), "known": True},
    {"item": "i-2", "title": HOSTILE, "score": 0.5, "price": None, "because": [], "at": None, "known": False},
    {"item": "=1+1", "title": "茶壶 [red]\x1b[2J", "score": -0.25, "price": Decimal("1200.0000"),
     "because": ["a", "b"], "at": None, "known": None},
]
TABLE = pa.Table.from_pylist(ROWS, schema=pa.schema([
    ("item", pa.string()), ("title", pa.string()), ("score", pa.float64()), ("price", pa.decimal128(18, 4)),
    ("because", pa.list_(pa.string())), ("at", pa.timestamp("us")), ("known", pa.bool_())]))


class Counted:
    """Evidence of the plainest kind."""

    kind = "exact count"

    def sentence(self) -> Sentence:
        return say("counted over {n:,} stored events", n=1200)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "n": 1200}


@dataclass(frozen=True, kw_only=True)
class Drawn(Answer):
    """An answer with a picture."""

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        return charts.bars(rows(self.table), charts.Axis("title", "", "name"), charts.Axis("score", "score"))


def answer(kind: type[Answer] = Answer, table: pa.Table = TABLE) -> Answer:
    return kind(title=say("What {name} looks like", name="c-42"), table=table, evidence=Counted(), method="popular",
                asked={"customer": "c-42", "n": 3, "rules": {"exclude_seen": True, "price_min": None}},
                notes=(say("rule {rule} removed {count:,} items.", rule="pin", count=1),),
                parts={"reasons": pa.table({"reason": ["conflict"], "records": [3]})})
