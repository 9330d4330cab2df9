"""The acts of this room: publish for other rooms, name people to the merchant, tell a webhook."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from shopkeeper.asking import act, as_json
from shopkeeper.customers import answers, inputs
from shopkeeper.customers.answers import Exported, Notified, Published
from shopkeeper.customers.desk import draws_for, valuer
from shopkeeper.customers.grouping import alike, belongs, rules_of, segment_of
from shopkeeper.customers.inputs import Log
from shopkeeper.customers.methods.base import Floats, repeats
from shopkeeper.customers.methods.clusters import GROUP
from shopkeeper.customers.methods.rfm import NAMES
from shopkeeper.customers.questions import at_risk, check
from shopkeeper.errors import BadInput
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.warehouse import audit
from shopkeeper.warehouse.delivery import Sender, networks, secret
from shopkeeper.warehouse.groups import MEMBERS, RFM, RULES, saved
from shopkeeper.warehouse.names import resolved
from shopkeeper.warehouse.store import durable_write
from shopkeeper.warehouse.tables import declared
from shopkeeper.words import Sentence, say

WAIT = 10.0                 # seconds to wait for another writer
PAUSES = (0.5, 2.0, 8.0)    # seconds between two tries of a delivery
PART = 20_000               # customers whose futures are held at a time
VALUE = "facts/customer_value"


@dataclass(frozen=True)
class Audience:
    """Whom a list names.

    Attributes:
        segment: Everybody of this segment, the shop's own or a saved one; by default those at risk.
        within: Of those at risk: days without a purchase that count as having stopped.
        n: How many at most, the dearest loss first; of a segment, in the order of their pseudonyms.
    """

    segment: str | None = None
    within: int | None = None
    n: int = 1_000


AT_RISK = Audience()


@act("learn")
def publish(shop: Shop, *, horizon: int = 365, dry_run: bool = False) -> Published:
    """Publish what each customer is worth and which segment they belong to, for other questions to use.

    Args:
        shop: An opened shop.
        horizon: Days to look ahead from the shop's clock.
        dry_run: Write nothing.

    Returns:
        A row a table.

    Raises:
        BadInput: This is a view of the past. UnknownName: Nobody has bought anything. ShopBusy: Another process writes.
    """
    check(1, horizon=horizon)
    if shop.until is not None and not dry_run:
        raise BadInput(say("this is a view of the past, and tables are published for everybody."),
                       do=[say("open the shop without as_of.")],
                       why=say("the shop would go on answering from what was known then."))
    log = inputs.read(shop)
    worth, evidence, notes = valuer(shop, log)
    rows, past = repeats(log.days, log.cut)
    middle: Floats = np.concatenate([
        np.median(worth.draws(past.where(slice(at, at + PART)), horizon, draws_for(PART), at), axis=0)
        for at in range(0, len(rows), PART)])
    ids = log.ids[rows].tolist()
    money = pa.array(np.round(middle, 4)).cast(declared(VALUE).field("p50").type, safe=False)
    tables = {VALUE: pa.table({"customer_id": ids, "horizon": [horizon] * len(ids), "p50": money},
                                 schema=declared(VALUE)),
              **_segments(shop, log)}
    if not dry_run:
        with shop.store.write("customers publish", WAIT) as writer:
            manifest = writer.manifest
            for name, table in tables.items():
                manifest = writer.publish(manifest, name, table, log.now)
            writer.commit(manifest)
        shop.refresh()
    status = "would publish" if dry_run else "published"
    found = pa.table({"table": list(tables), "status": [status] * len(tables),
                      "records": [table.num_rows for table in tables.values()]})
    return Published(title=say("What other questions can use"), table=found, evidence=evidence, method=worth.name,
                     asked={"act": "customers.publish", "horizon": horizon, "dry_run": dry_run}, notes=notes)


def _segments(shop: Shop, log: Log) -> dict[str, pa.Table]:
    """Who belongs where: the shop's own segments and groups by behaviour; and all rules, saved ones too."""
    groups = alike(log, 0)
    people, names = [log.ids], [segment_of(shop, log)]
    if groups is not None:
        people.append(log.ids)
        names.append(np.array([f"{GROUP} {at + 1}" for at in groups.of.tolist()], dtype=object))
    rules = rules_of(shop, log)[0]
    mine = {name: rule for name, rule in saved(shop.engine).items() if name not in NAMES}
    rows = {RFM: json.dumps(rules.to_dict()), **rules.words(), **mine}
    return {MEMBERS: pa.table({"person": np.concatenate(people).tolist(), "segment": np.concatenate(names).tolist()},
                              schema=declared(MEMBERS)),
            RULES: pa.table({"name": list(rows), "rule": list(rows.values())}, schema=declared(RULES))}


@act("export")
def export_audience(shop: Shop, name: str, *, audience: Audience = AT_RISK, dry_run: bool = False) -> Exported:
    """Write a list of customers with their names into a file of the shop's folder; the audit log keeps that it was.

    Args:
        shop: An opened shop.
        name: Of the file: `exports/NAME.csv`; one of that name is replaced.
        audience: Whom to name.
        dry_run: Write nothing, and open no vault: only pseudonyms are shown.

    Returns:
        A row a customer; `identity` is empty where the vault has none, and on a dry run.

    Raises:
        BadInput: The name is no name of a file, or a number makes no sense. Damaged: The vault cannot be opened.
        TooLittleHistory: The log cannot carry a warning.
    """
    if not re.fullmatch(r"\w[\w .-]{0,79}", name):
        raise BadInput(say("{name} is no name for a list.", name=repr(name)), do=[say("--name win-back")],
                       why=say("letters, digits, spaces and . - _ are, up to 80 of them."))
    people, notes = _people(shop, audience)
    ids = [row["customer"] for row in people]
    file = shop.path / audit.EXPORTS / f"{name}.csv"
    known: dict[str, str] = {}
    if not dry_run:
        audit.note(shop.path, "customers.export_audience",
                   {"file": file.name, "customers": len(ids), "segment": audience.segment, "within": audience.within,
                    "n": audience.n, "digest": _key(shop, "", people)})
        known = resolved(shop.path, shop.manifest, shop.keys().vault, ids)
    table = pa.table({"customer": ids, "identity": [known.get(one) for one in ids],
                      "segment": [row["segment"] for row in people]}, schema=answers.EXPORT)
    if not dry_run:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        durable_write(file, as_csv(table))
        file.chmod(0o600)
    missing = len(ids) - len(known)
    said = (say("{n:,} of them are not in the vault, so they have no name here.", n=missing),) if (
        missing and not dry_run) else ()
    return Exported(title=_done(dry_run, say("A list of {n:,} customers", n=len(ids))), table=table, method="export",
                    evidence=ExactCount(say("customers on the list"), len(ids)), notes=(*notes, *said),
                    file="" if dry_run else str(file),
                    asked={"act": "customers.export_audience", "name": name, "audience": audience, "dry_run": dry_run})


@act("export")
def notify(shop: Shop, webhook: str, *, audience: Audience = AT_RISK, dry_run: bool = False) -> Notified:
    """Send a list of customers, as pseudonyms, to a webhook: signed, tried four times, with a key that says it is one.

    Args:
        shop: An opened shop.
        webhook: An http or https address.
        audience: Whom to name.
        dry_run: Send nothing.

    Returns:
        One row: what became of it. The same list has the same key, so a receiver can leave a second one out.

    Raises:
        BadInput: The address is none, or not one that is allowed. TooLittleHistory: The log cannot carry a warning.
    """
    people, notes = _people(shop, audience)
    key = _key(shop, urlsplit(webhook).hostname or "", people)
    tries, fault, status = 0, None, "would send"
    if not dry_run:
        body = as_json({"id": key, "shop": shop.name, "as_of": inputs.iso(shop.now()), "audience": audience,
                        "customers": people}).encode("ascii")
        audit.note(shop.path, "customers.notify", {"host": urlsplit(webhook).hostname, "customers": len(people),
                                                   "key": key})
        tries, fault = delivered(Sender(secret(shop.path), networks(shop.path)), webhook, body, key)
        status = "sent" if fault is None else "not sent"
    table = pa.Table.from_pylist([{"status": status, "customers": len(people), "key": key, "tries": tries,
                                   "fault": fault}], schema=answers.SENT)
    return Notified(title=_done(dry_run, say("A list of {n:,} customers", n=len(people))), table=table,
                    method="webhook", evidence=ExactCount(say("customers on the list"), len(people)), notes=notes,
                    asked={"act": "customers.notify", "webhook": urlsplit(webhook).hostname, "audience": audience,
                           "dry_run": dry_run})


def delivered(send: Any, webhook: str, body: bytes, key: str,
              pauses: Sequence[float] | None = None) -> tuple[int, str | None]:
    """Try a delivery until it is taken: how often it was tried, and what went wrong at last (None: it was taken)."""
    fault = send(webhook, body, key)
    for tries, pause in enumerate(PAUSES if pauses is None else pauses, start=1):
        if fault is None:
            return tries, None
        time.sleep(pause)
        fault = send(webhook, body, key)
    return len(PAUSES if pauses is None else pauses) + 1, fault


def as_csv(table: pa.Table) -> bytes:
    """A table as CSV, UTF-8; a cell that a spreadsheet would take for a formula begins with an apostrophe.

    >>> as_csv(pa.table({"identity": ["ann@example.org", "=1+1", None]})).decode().split()
    ['identity', 'ann@example.org', "'=1+1", '""']
    """
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        cells = ["" if cell is None else str(cell) for cell in row.values()]
        writer.writerow([f"'{cell}" if cell[:1] in tuple("=+-@\t\r") and cell else cell for cell in cells])
    return sink.getvalue().encode("utf-8")


def _people(shop: Shop, audience: Audience) -> tuple[list[dict[str, Any]], tuple[Sentence, ...]]:
    """Whom an audience names: customer, segment, and of those at risk probability and loss."""
    check(audience.n, audience.within)
    log = inputs.read(shop)
    if audience.segment is not None:
        found = (inputs.read_members(shop, audience.segment) if audience.segment in saved(shop.engine) else
                 log.ids[belongs(shop, log, audience.segment)].tolist())
        return [{"customer": one, "segment": audience.segment} for one in found[:audience.n]], ()
    segment = dict(zip(log.ids.tolist(), segment_of(shop, log).tolist(), strict=True))
    answer = at_risk(shop, within=audience.within, n=audience.n)
    return [{"customer": row["customer"], "segment": segment[row["customer"]],
             "probability": round(row["probability"], 4), "loss": round(row["loss"], 4)}
            for row in answer.table.to_pylist()], answer.notes


def _key(shop: Shop, host: str, people: list[dict[str, Any]]) -> str:
    """A keyed digest of a list: the same people at the same time of the shop's clock, for the same receiver."""
    named = sorted(row["customer"] for row in people)
    text = json.dumps([shop.name, host, shop.now(), named])
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16, key=shop.keys().naming).hexdigest()


def _done(dry_run: bool, what: Sentence) -> Sentence:
    return say("{what}; nothing was written", what=what) if dry_run else what
