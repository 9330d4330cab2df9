"""What leaves the room: values, warnings, segments and a profile, each with its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shopkeeper import charts
from shopkeeper.asking import Answer, people, rows, shown
from shopkeeper.charts import Axis
from shopkeeper.customers.reasons import worded
from shopkeeper.evidence import Interval
from shopkeeper.words import Sentence, put, say, word

TIME = pa.timestamp("us")
VALUES = pa.schema([("rank", pa.int64()), ("customer", pa.string()), ("purchases", pa.float64()),
                    ("value", pa.float64()), ("low", pa.float64()), ("p50", pa.float64()), ("high", pa.float64()),
                    ("past", pa.float64()), ("bought", pa.int64()), ("last", pa.date32())])
GROUPS = pa.schema([("by", pa.string()), ("name", pa.string()), ("customers", pa.int64()), ("value", pa.float64()),
                    ("low", pa.float64()), ("high", pa.float64()), ("share", pa.float64())])
BECAUSE = pa.struct([("what", pa.string()), ("value", pa.float64()), ("adds", pa.float64())])
RISKS = pa.schema([("rank", pa.int64()), ("customer", pa.string()), ("probability", pa.float64()),
                   ("loss", pa.float64()), ("expected", pa.float64()), ("silent", pa.int64()),
                   ("usual", pa.float64()), ("last", pa.date32()), ("method", pa.string()),
                   ("because", pa.list_(BECAUSE))])
AREAS = pa.schema([("day", pa.date32()), ("customers", pa.int64()), ("stopped", pa.float64()), ("auc", pa.float64())])
SEGMENTS = pa.schema([("segment", pa.string()), ("rule", pa.string()), ("customers", pa.int64()),
                      ("share", pa.float64()), ("money", pa.float64()), ("money_share", pa.float64()),
                      ("silent", pa.float64()), ("purchases", pa.float64()), ("each", pa.float64())])
CLUSTERS = pa.schema([("cluster", pa.string()), ("words", pa.string()), ("customers", pa.int64()),
                      ("stability", pa.float64())])
OWN = pa.schema([("segment", pa.string()), ("rule", pa.string()), ("people", pa.int64()), ("customers", pa.int64()),
                 ("money", pa.float64())])
KEPT = pa.schema([("segment", pa.string()), ("status", pa.string()), ("rule", pa.string()), ("people", pa.int64()),
                  ("customers", pa.int64())])
PROFILE = pa.schema([("trait", pa.string()), ("value", pa.string()), ("low", pa.string()), ("high", pa.string()),
                     ("basis", pa.int64())])
EXPORT = pa.schema([("customer", pa.string()), ("identity", pa.string()), ("segment", pa.string())])
SENT = pa.schema([("status", pa.string()), ("customers", pa.int64()), ("key", pa.string()), ("tries", pa.int64()),
                  ("fault", pa.string())])


TRAITS: Mapping[str, Sentence] = {
    "purchases": say("purchases"), "first purchase": say("first purchase"), "last purchase": say("last purchase"),
    "price band": say("price band"), "share bought below the list price": say("share bought below the list price"),
    "price elasticity": say("price elasticity"),
    "price elasticity of everybody": say("price elasticity of everybody"), "brand": say("brand"),
    "days between purchases": say("days between purchases"),
    "days since the last purchase": say("days since the last purchase"),
    "next purchase, if there is one": say("next purchase, if there is one"), "channel": say("channel"),
    "first channel": say("first channel"), "life stage": say("life stage")}
WORDS: Mapping[str, Sentence] = {
    "lower third": say("lower third"), "middle third": say("middle third"), "upper third": say("upper third"),
    "expecting": say("expecting"), "newborn": say("newborn"), "infant": say("infant"), "toddler": say("toddler"),
    "child": say("child")}


DRAWN = ("search", "view_item", "add_to_cart", "purchase")  # kinds that a timeline shows, where it has any of them


@dataclass(frozen=True)
class Estimate:
    """Evidence that is an interval of the total; the trial behind the method stands beside it.

    Attributes:
        what: What is estimated.
        interval: Of it.
        basis: The trial, or that nothing was learned, in a sentence.
    """

    what: Sentence
    interval: Interval
    basis: Sentence

    @property
    def kind(self) -> str:
        """`interval estimate`."""
        return "interval estimate"

    def sentence(self) -> Sentence:
        """The estimate in a sentence."""
        found = self.interval
        return say("{what}: {estimate:,.0f}, in {level} % of cases between {low:,.0f} and {high:,.0f}, over {n:,} "
                   "customers; {basis}", what=self.what, estimate=found.estimate, level=f"{100 * found.level:g}",
                   low=found.low, high=found.high, n=found.n_cases, basis=self.basis)

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain data."""
        return {"kind": self.kind, "what": self.what.to_dict(), **self.interval.to_dict(),
                "basis": self.basis.to_dict()}


@dataclass(frozen=True, kw_only=True)
class Values(Answer):
    """Customers by what they will bring, the dearest first; parts `groups` (total, cohort, channel) and `deciles`."""

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What each tenth of the customers will bring."""
        title = put(say("What each tenth of the customers will bring"), language)
        return charts.bars(rows(self.parts["deciles"]), Axis("decile", word("decile", language), "name"),
                           Axis("value", word("value", language)), title=title)


@dataclass(frozen=True, kw_only=True)
class Risks(Answer):
    """Customers who may have stopped, the dearest loss first; parts `reliability` and `areas` (day by day).

    Attributes:
        within: Days without a purchase that count as having stopped.
    """

    within: int = 0

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Chances in per cent, and the reasons in words."""
        headings = ["rank", "customer", "probability", "loss", "expected", "last", "because of"]
        body = [[shown(row["rank"]), row["customer"], f"{100 * row['probability']:.1f} %", shown(row["loss"], language),
                 shown(row["expected"], language), shown(row["last"]),
                 "; ".join(put(worded(one["what"], one["value"], row["usual"]), language) for one in row["because"])]
                for row in self.table.to_pylist()]
        return [word(name, language) for name in headings], body

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What was said beside what came, on customers of the trial; nothing before anything is learned."""
        if "reliability" not in self.parts:
            return None
        title = put(say("The chances that were said, and what came"), language)
        came, right = (put(text, language) for text in (say("what came"), say("as it was said")))
        drawn = [{**row, "line": came} for row in rows(self.parts["reliability"])]
        drawn += [{"said": end, "came": end, "line": right} for end in (0.0, 1.0)]
        return charts.lines(drawn, Axis("said", word("said", language), format=".0%"),
                            Axis("came", word("came", language), format=".0%"), Axis("line", "", "name"), title=title)

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """As of every answer, with `within`."""
        return {**super().to_dict(language), "within": self.within}


@dataclass(frozen=True, kw_only=True)
class Segments(Answer):
    """Segments by recency, frequency and money, each with its rule; parts `clusters`, and `saved`: those of one's own.
    """

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """How many customers each segment has."""
        return charts.bars(rows(self.table), Axis("segment", word("segment", language), "name"),
                           Axis("customers", word("customers", language)),
                           title=put(say("Customers by segment"), language))


@dataclass(frozen=True, kw_only=True)
class SavedSegment(Answer):
    """A segment that was saved or forgotten: segment, status, rule, people, customers."""


@dataclass(frozen=True, kw_only=True)
class Profile(Answer):
    """One customer: traits with their basis; parts `interests`, `timeline`, `not_found`."""

    def cells(self, language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Traits, and what is no name of the shop's, in words."""
        headings, body = people(self.table, language)
        return headings, [[put(TRAITS[trait], language), put(WORDS.get(value, value), language), *rest]
                          for trait, value, *rest in body]

    def picture(self, language: str = "en") -> dict[str, Any] | None:
        """What the customer did, week by week: looks, searches, carts, purchases; the part has everything."""
        drawn = [row for row in rows(self.parts["timeline"]) if row["kind"] in DRAWN] or rows(self.parts["timeline"])
        return charts.lines(drawn, Axis("week", word("week", language), "time"),
                            Axis("events", word("events", language)), Axis("kind", word("kind", language), "name"),
                            title=put(say("What the customer did, week by week"), language))


@dataclass(frozen=True, kw_only=True)
class Exported(Answer):
    """Whom a list names.

    Attributes:
        file: Where it was written; empty on a dry run.
    """

    file: str = ""

    def to_dict(self, language: str = "en") -> dict[str, Any]:
        """As of every answer, with `file`."""
        return {**super().to_dict(language), "file": self.file}


@dataclass(frozen=True, kw_only=True)
class Published(Answer):
    """What was published for other rooms: a row a table."""

    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Notified(Answer):
    """What became of a message to a webhook."""
