"""An opened shop: its folder, its settings, one consistent view of what is stored, its engine, its models, its clock.

A shop knows no room. A question takes a shop; no verb is ever added here for a room's sake.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import tomllib
import weakref
from collections.abc import Mapping as Rows
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import BadInput, MixedCurrencies, NotAShop, Refusal, ShopBusy, UnknownName
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.pseudonyms import GUEST, Keys, pseudonym
from shopkeeper.events.readers import ReadOptions
from shopkeeper.events.schema import CURRENCIES, KINDS, ROLES, TABLES, Role
from shopkeeper.events.times import check_zone
from shopkeeper.warehouse import clock, folding, keyfiles, models
from shopkeeper.warehouse import identity as joins
from shopkeeper.warehouse.engine import Engine, between
from shopkeeper.warehouse.folding import Unfolded, unfolded
from shopkeeper.warehouse.identity import Identity
from shopkeeper.warehouse.ingest import Received, ingest, preview
from shopkeeper.warehouse.manifest import Manifest
from shopkeeper.warehouse.opening import Source, Task
from shopkeeper.warehouse.sessions import person
from shopkeeper.warehouse.store import Store, durable_write, rotated
from shopkeeper.warehouse.traffic import Traffic, human, left_out, ranges
from shopkeeper.warehouse.traffic import check as check_traffic
from shopkeeper.words import Sentence, say

_KEYS = ("naming", "pseudonym", "vault")


@dataclass(frozen=True)
class ShopConfig:
    """The settings of a shop, as `shop.toml` has them.

    Attributes:
        name: For people.
        currency: ISO 4217 code of all money questions; empty: the only currency of the log.
        timezone: IANA zone in which days, weeks and hours are cut.
        gap_minutes: Silence after which a new session begins.
        kinds: Kinds of event that this shop declares beside the standard ones, with the role that each plays.
        synonyms: Headers of its files -> what they mean in a dialect, or in the event table.
    """

    name: str = ""
    currency: str = ""
    timezone: str = "UTC"
    gap_minutes: int = 30
    kinds: Rows[str, Role] = field(default_factory=dict)
    synonyms: Rows[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, Role]:
        """Every kind that this shop knows, and its role."""
        return {**KINDS, **self.kinds}

    def to_toml(self) -> str:
        """The settings as `shop.toml` text."""
        kinds = "\n".join(f'{kind} = "{role}"' for kind, role in self.kinds.items())
        synonyms = "\n".join(f"{_quoted(theirs)} = {_quoted(meant)}" for theirs, meant in self.synonyms.items())
        synonyms = f"\n[synonyms]  # a header of your files = what it means\n{synonyms}\n" if synonyms else ""
        return (f"[shop]\nname = {_quoted(self.name)}\n"
                f"currency = {_quoted(self.currency)}  # ISO 4217; empty: the only currency of the log\n"
                f"timezone = {_quoted(self.timezone)}  # days, weeks and hours are cut in this zone\n\n"
                f"[sessions]\ngap_minutes = {self.gap_minutes}\n\n"
                "[kinds]  # kinds of your own: play = \"interest\" (or intent, conversion, feedback, context)\n"
                f"{kinds}\n{synonyms}")

    @classmethod
    def read(cls, path: Path) -> ShopConfig:
        """Read a `shop.toml`.

        Raises:
            BadInput: The file is no TOML, or a value in it makes no sense.
        """
        try:
            data = tomllib.loads(path.read_text("utf-8"))
            shop, sessions, kinds = data.get("shop", {}), data.get("sessions", {}), data.get("kinds", {})
            config = cls(str(shop.get("name", "")), _code(str(shop.get("currency", ""))),
                         str(shop.get("timezone", "UTC")), int(sessions.get("gap_minutes", 30)), dict(kinds),
                         {str(theirs): str(meant) for theirs, meant in data.get("synonyms", {}).items()})
        except (OSError, AttributeError, TypeError, ValueError) as wrong:
            raise BadInput(say("{path} cannot be read: {wrong}", path=str(path), wrong=str(wrong)),
                           do=[say("mend the file, or move it away to get a fresh one.")],
                           why=say("the currency, the time zone and the kinds of the shop stand there.")) from wrong
        config.check(path)
        return config

    def check(self, path: Path) -> None:
        """Refuse settings that make no sense."""
        check_zone(self.timezone)
        if not re.fullmatch(r"([A-Z]{3})?", self.currency):
            raise _wrong(path, "currency", self.currency, say("three letters, such as EUR; or none"))
        if not 1 <= self.gap_minutes <= 24 * 60:
            raise _wrong(path, "gap_minutes", self.gap_minutes, say("a number of minutes from 1 to 1440"))
        for kind, role in self.kinds.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", kind):
                raise _wrong(path, "kinds", kind, say("lower-case letters, digits and underscores, such as play"))
            if role not in ROLES:
                raise BadInput(say("{path} gives {kind} the role {role}.", path=str(path), kind=kind, role=repr(role)),
                               do=[say("one of: {names}", names=", ".join(ROLES))],
                               why=say("questions work on the roles that kinds play."))


def _wrong(path: Path, name: str, value: object, right: Sentence) -> BadInput:
    return BadInput(say("{path} says {name} = {value}.", path=str(path), name=name, value=repr(value)), do=[right],
                    why=say("the currency, the time zone and the kinds of the shop stand there."))


def _code(currency: str) -> str:
    """A currency as its code of ISO 4217."""
    return CURRENCIES.get(currency.upper(), currency.upper())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class Shop:
    """An opened shop. Make one by `Shop.open` or `Shop.simulated`.

    It sees one snapshot of the log: what was stored when it was opened, or when it last wrote; `refresh` takes the
    newest.
    """

    def __init__(self, store: Store, config: ShopConfig, *, until: int | None = None,
                 engine: type[Engine] = Engine, traffic: Traffic = "human", identity: Identity = "joined") -> None:
        self.store, self.config, self.until = store, config, until
        self.traffic, self.looked = traffic, 0  # how often somebody was given events without those of bots
        self.identity, self.followed = identity, 0  # how often somebody was given events of joined people
        self.notes: tuple[Sentence, ...] = ()  # what a person should know of how it was opened
        self._engine_type = engine
        self.manifest: Manifest
        self.engine: Engine
        self.refresh()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True, as_of: str | datetime | None = None,
             engine: type[Engine] = Engine, traffic: Traffic = "human", identity: Identity = "joined") -> Shop:
        """Open the shop in a folder.

        What a service that died had acknowledged is taken into the log first; where this cannot be, `notes` says so.

        Args:
            path: The folder.
            create: Make the shop if the folder is missing or empty.
            as_of: See the log as it stood then (UTC where no zone is given): nothing later exists.
            engine: What runs the queries.
            traffic: `human`: without the events of bots; `all`: with them.
            identity: `joined`: what a visitor did counts for the customer that the visitor is joined to; `raw`: for
                the visitor.

        Raises:
            NotAShop: There is no shop there, and none was to be made.
        """
        check_traffic(traffic)
        joins.check(identity)
        folder = Path(path)
        if not (folder / "shop.toml").is_file():
            _found(folder, create)
        config = ShopConfig.read(folder / "shop.toml")
        shop = cls(Store(folder), config, until=_moment(as_of), engine=engine, traffic=traffic,
                   identity=identity)
        shop._take_up()
        return shop

    @classmethod
    def simulated(cls, *, customers: int = 300, items: int = 120, days: int = 90, seed: int = 7,
                  engine: type[Engine] = Engine) -> Shop:
        """A small shop with known truth, in a folder that goes when the object goes.

        >>> shop = Shop.simulated(customers=40, items=20, days=20)
        >>> shop.manifest.events > 100
        True
        """
        from shopkeeper.simulate import SimulationConfig, simulate

        made = simulate(SimulationConfig(customers=customers, items=items, days=days, seed=seed))
        folder = tempfile.mkdtemp(prefix="shop-")
        keys = [hashlib.blake2b(f"{name} {seed}".encode(), digest_size=32).digest() for name in _KEYS]
        _found(Path(folder), True, ShopConfig(name="simulated", currency="EUR"), keys)
        shop = cls.open(folder, engine=engine)
        weakref.finalize(shop, shutil.rmtree, folder, ignore_errors=True)
        shop.ingest(made.events, received_at=made.truth.until)
        shop.ingest(made.items, table="items", mapping=Mapping(currency="EUR"))
        shop.ingest(made.customers, table="customers")
        return shop

    @property
    def path(self) -> Path:
        """The folder."""
        return self.store.path

    @property
    def name(self) -> str:
        """The shop's name: its own, or the folder's."""
        return self.config.name or self.path.resolve().name

    def refresh(self) -> None:
        """Take the newest snapshot."""
        self.manifest = self.store.manifest()
        self.store.rotation = self.manifest.rotation
        self.engine = self._engine_type(self.path, self.manifest)
        self._left_out: int | None = None
        self._joined: int | None = None
        self._shares: bool | None = None

    def _take_up(self) -> None:
        """Fold what lies in a journal that nobody has."""
        if not unfolded(self.store, self.manifest).records or not folding.abandoned(self.store):
            return
        try:
            folded = folding.fold(self.store, self.keys(), self.config.roles)
        except (Refusal, OSError) as wrong:
            why = wrong.what if isinstance(wrong, Refusal) else say("{error}", error=str(wrong))
            self.notes = (say("the journal could not be taken into the log: {why}", why=why),)
        else:
            self.notes = () if folded is None else folded.notes
            self.refresh()

    def unfolded(self) -> Unfolded:
        """What was acknowledged and is not in this view of the log yet: it lies in the journal."""
        return unfolded(self.store, self.manifest)

    def events(self, start: int | None = None, *, engine: Engine | None = None, joined: bool = True) -> Any:
        """The event table as an Ibis expression, from `start` (microseconds UTC) to where this shop's view ends.

        Without the events of bots, unless the shop was opened with all traffic. What a visitor did has the customer
        whom the visitor is joined to (`facts/identity`), unless it was opened with raw identities.

        Args:
            start: From when on.
            engine: An engine over a part of the shop; by default over all of it. Where several customers share a
                device, it must have whole days.
            joined: False: ids as they were sent.
        """
        engine = engine or self.engine
        if not (joined and self._joins(engine)):
            return self._people(engine.events(start, self.until), engine)
        begin = joins.whole_days(start)
        rows = engine.view(f"people_{self.traffic}_{begin}", lambda: self._resolved(engine, engine.events(
            begin, self.until)))
        self.looked += self.traffic == "human"
        self.followed += 1
        return between(rows, start, None)

    def events_of(self, people: Sequence[str], columns: Sequence[str]) -> Any:
        """Of `events`, all that these people did, and what others did on their devices: sooner found than among all.

        Args:
            people: Pseudonyms.
            columns: Which are wanted.
        """
        events = self.engine.events(None, self.until)
        if not self._joins(self.engine):
            return self._people(events.filter(person(events).isin(list(people))), self.engine).select(*columns)
        self.followed += 1
        return self._resolved(self.engine, joins.of_people(self.engine, events, people, self.until),
                              columns).select(*columns)

    def _people(self, events: Any, engine: Engine) -> Any:
        """Without those of bots, unless they count."""
        return human(engine, events) if self.leaves_out() else events

    def _joins(self, engine: Engine) -> bool:
        """Whether visitors are joined to customers, and count as those."""
        return self.identity == "joined" and engine.has(joins.FACTS)

    def _resolved(self, engine: Engine, events: Any, columns: Sequence[str] = ()) -> Any:
        """With the customers whom visitors are joined to."""
        rows = self._people(events, engine)
        rows = rows.select(*dict.fromkeys((*columns, *joins.RESOLVING))) if columns else rows
        if self._shares is None:
            self._shares = joins.shares(self.engine, self.until)
        return joins.resolved(joins.known(engine, self.until), rows, self.config.gap_minutes, sharing=self._shares)

    def joined(self) -> int:
        """How many visitors' ids count as the customer that they are joined to."""
        if self._joined is None:
            self._joined = joins.joined_ids(self.engine, self.until) if self.identity == "joined" else 0
        return self._joined

    def leaves_out(self) -> bool:
        """Whether events of bots do not count; whoever asks leaves them out, and the answer says how many."""
        self.looked += self.traffic == "human"
        return self.traffic == "human"

    def left_out(self) -> int:
        """How many events of bots this view of the log leaves out."""
        if self._left_out is None:
            self._left_out = left_out(self.engine, self.until) if self.traffic == "human" else 0
        return self._left_out

    def ingest(self, source: Source | Sequence[Source], mapping: Mapping | Rows[str, str] | None = None, *,
               table: str = "events",
               received_at: int | None = None, name: str = "table", progress: Progress = silent,
               **options: Any) -> Received:
        """Take a log, or another table, into the shop; all of it or nothing.

        What the journal has sealed is taken in first: it came before.

        Args:
            source: Files, folders, globs, Arrow tables, data frames or lists of dicts.
            mapping: Which column fills which (a plain dict is ours -> theirs); columns that have our names need none.
            table: `events`, or one of `items`, `customers`, `stock`, `campaigns`.
            received_at: When it came, microseconds UTC; by default now.
            name: What to call a table that is in memory.
            progress: Told how far it is.
            options: How files are read: `format`, `encoding`, `delimiter`, `sheet`; and the `dialect` that they speak,
                where it is not to be recognised (`columns`: none).

        Returns:
            The account: received = stored + duplicate + quarantined.

        Raises:
            BadMapping: The columns do not fit. BadInput: A file cannot be read. ShopBusy: Another process writes.
        """
        folding.fold(self.store, self.keys(), self.config.roles, progress=progress)
        done = ingest(self.store, _many(source), self._task(mapping, table, received_at, options, name), progress)
        self.refresh()
        return done

    def preview(self, source: Source | Sequence[Source], mapping: Mapping | Rows[str, str] | None = None, *,
                table: str = "events",
                progress: Progress = silent, **options: Any) -> Received:
        """What `ingest` would do, from the first batch of each source; nothing is written."""
        return preview(_many(source), self._task(mapping, table, None, options), progress)

    def _task(self, mapping: Mapping | Rows[str, str] | None, table: str, received_at: int | None, options: Any,
              name: str = "table") -> Task:
        if table != "events" and table not in TABLES:
            raise UnknownName(say("there is no table {name}.", name=repr(table)),
                              do=[say("one of: {names}", names=", ".join(("events", *TABLES)))],
                              why=say("each table has columns and a key of its own."))
        moment = received_at if received_at is not None else int(datetime.now(UTC).timestamp() * 1e6)
        mapping = mapping if isinstance(mapping, Mapping) else Mapping(columns=mapping or {})
        reading = {key: value for key, value in options.items() if key != "dialect"}
        return Task(mapping, table, self.config.roles, self.keys(), moment, ReadOptions(**reading), name,
                    options.get("dialect"), ranges(self.path), self.config.synonyms)

    def keys(self) -> Keys:
        """The shop's keys.

        Raises:
            NotAShop: They are missing or damaged. ShopBusy: They were rotated since this shop was opened.
        """
        try:
            return keyfiles.read(self.path / keyfiles.FOLDER, self.manifest.rotation)
        except PermissionError:
            raise
        except (OSError, ValueError) as wrong:
            if self.store.manifest().rotation != self.manifest.rotation:
                raise rotated() from wrong
            raise NotAShop(say("the keys of {path} are missing or damaged.", path=str(self.path)),
                           do=[say("put back the folder keys/ from your backup.")],
                           why=say("without its key the shop cannot recognise a customer.")) from wrong

    def person(self, identity: str) -> str:
        """The pseudonym of a customer: of an identity as the merchant knows it, or of a pseudonym itself."""
        if identity.startswith(GUEST) or re.fullmatch(r"[ac]_[a-z2-7]{24}", identity):
            return identity
        return pseudonym(identity, "customer_id", self.keys().pseudonym)

    def now(self) -> int:
        """The shop's clock, microseconds UTC: the last human event that is not later than its receipt."""
        return clock.latest(self.engine, self.until)

    def currency(self) -> str:
        """The currency of money questions: the declared one, else the only one of the log; empty where there is none.

        Raises:
            MixedCurrencies: The log has several, or another one than the declared one.
        """
        found = sorted({*clock.currencies(self.engine, self.until), *filter(None, [self.config.currency])})
        if len(found) > 1 and self.config.currency:
            raise MixedCurrencies(
                say("the shop counts in {currency}, and the log has money in {names}.", currency=self.config.currency,
                    names=", ".join(name for name in found if name != self.config.currency)),
                do=[say("ask the questions that need no money, or ingest one currency into each shop.")],
                why=say("amounts in different currencies cannot be added up without rates."))
        if len(found) > 1:
            raise MixedCurrencies(
                say("the log has money in {names}.", names=", ".join(found)),
                do=[say("ask the questions that need no money, or ingest one currency into each shop.")],
                why=say("amounts in different currencies cannot be added up without rates."))
        return found[0] if found else ""

    def installed(self, question: str) -> models.Model | None:
        """The model that serves a question (`recommend.next_items`), or None where nothing has been learned."""
        return models.load(self.store, self.manifest, question)


def _found(folder: Path, create: bool, config: ShopConfig | None = None, keys: Sequence[bytes] | None = None) -> None:
    """Make an empty shop, with random keys unless they are given."""
    if not create:
        raise NotAShop(say("{path} is not a shop.", path=str(folder)),
                       do=[say("shopkeeper ingest {path} FILE", path=str(folder)),
                           say("shopkeeper demo {path}", path=str(folder))],
                       why=say("a shop is a folder with a shop.toml; ingest makes it."))
    if folder.is_file() or (folder.is_dir() and any(path.name != "keys" for path in folder.iterdir())):
        raise NotAShop(say("{path} is there already and is not a shop.", path=str(folder)),
                       do=[say("name a folder that is empty or not there yet.")],
                       why=say("a shop does not mix with other files."))
    place = folder / keyfiles.FOLDER
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    naming, own, vault = keys or [secrets.token_bytes(32) for _ in _KEYS]
    for name, text in ((keyfiles.PSEUDONYM, keyfiles.Named(naming, {0: own}).text()), (keyfiles.VAULT, vault.hex())):
        if (place / name).exists():  # put back by hand: what they opened before they must open again
            continue
        try:
            keyfiles.write(place / name, text)
        except (FileNotFoundError, FileExistsError) as raced:  # its temporary file was taken from under it
            raise ShopBusy(say("another process is making this shop."), do=[say("wait a moment, then try again.")],
                           why=say("a shop is made once.")) from raced
    durable_write(folder / "shop.toml", (config or ShopConfig()).to_toml().encode("utf-8"))


def _many(source: Source | Sequence[Source]) -> Sequence[Source]:
    """One source as a list of one; a list of dicts is one source."""
    if isinstance(source, str | os.PathLike) or not isinstance(source, list | tuple):
        return [source]
    return [source] if source and isinstance(source[0], dict) else source


def _moment(as_of: str | datetime | None) -> int | None:
    if as_of is None:
        return None
    try:
        moment = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    except ValueError as wrong:
        raise BadInput(say("{text} is no date.", text=repr(as_of)), do=[say("--as-of 2026-10-01")],
                       why=say("the log is shown as it stood at that time.")) from wrong
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except OverflowError as wrong:
        raise BadInput(say("{text} is no date.", text=repr(as_of)), do=[say("--as-of 2026-10-01")],
                       why=say("the log is shown as it stood at that time.")) from wrong
