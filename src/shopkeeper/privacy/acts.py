"""The act of this room: another key for pseudonyms, and another pseudonym for everybody."""

from __future__ import annotations

import time

import pyarrow as pa

from shopkeeper.asking import Progress, act, silent
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount
from shopkeeper.privacy.answers import Rotation
from shopkeeper.recommend.assignment import running
from shopkeeper.shop import Shop
from shopkeeper.trends.kept import FIRINGS, with_ids
from shopkeeper.warehouse import folding, rotation
from shopkeeper.words import say

WAIT = 10.0  # seconds to wait for another writer


@act("admin")
def rotate(shop: Shop, *, dry_run: bool = False, progress: Progress = silent) -> Rotation:
    """Make a new key for pseudonyms, and give everybody a new one; each keeps what they did.

    The old key and all files with old pseudonyms are removed; what comes again is still recognised.

    Args:
        shop: An opened shop.
        dry_run: Write nothing; say what would be renamed.
        progress: Told how far it is.

    Returns:
        How many pseudonyms and event lines, and how many pseudonyms the vault cannot resolve.

    Raises:
        ShopBusy: Another process writes to this shop, or serves it. BadInput: An experiment runs.
        Damaged: A file is not what was written; nothing was changed.
    """
    if dry_run:
        done = rotation.look(shop.store, shop.manifest, shop.keys(), progress)
    else:
        _check(shop)
        folding.fold(shop.store, shop.keys(), shop.config.roles, wait=WAIT, progress=progress)
        done = rotation.rotate(shop.store, shop.keys(), {FIRINGS: with_ids}, wait=WAIT, progress=progress)
        shop.refresh()
    lines = [("pseudonyms", done.known + done.others), ("pseudonyms that the vault cannot resolve", done.others),
             ("event lines", done.rows)]
    table = pa.table({"measure": [name for name, _ in lines], "records": [count for _, count in lines]},
                     schema=pa.schema([("measure", pa.string()), ("records", pa.int64())]))
    return Rotation(
        title=say("Dry run: nothing was written.") if dry_run else say("Everybody has a new pseudonym."), table=table,
        evidence=ExactCount(say("pseudonyms"), done.known + done.others), method="exact count",
        asked={"act": "privacy.rotate", "dry_run": dry_run},
        notes=(say("backups and exports from before keep the old pseudonyms; a backup without keys needs the old key, "
                   "which is in keys/ no longer."),
               say("what comes in under an old pseudonym is a stranger.")))


def _check(shop: Shop) -> None:
    """Refuse while somebody serves the shop, or an experiment runs."""
    if not folding.abandoned(shop.store):
        raise rotation.served()
    found = running(shop, time.time_ns() // 1000)
    if found is not None:
        raise BadInput(say("experiment {name} runs.", name=found.name),
                       do=[say("shopkeeper recommend stop-experiment {path}", path=str(shop.path))],
                       why=say("who gets which arm follows from the pseudonym: people would change sides."))
