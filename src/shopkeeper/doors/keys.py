"""`shopkeeper key add|list|remove`, written by hand: who may ask a shop over HTTP."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from shopkeeper.doors import output, parser, printing
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import NotAShop
from shopkeeper.menu import Parameter
from shopkeeper.words import put, say, word

if TYPE_CHECKING:
    from shopkeeper.doors.http.keyring import Key, KeyRing

ADD = say("Make a key for the HTTP door; it is shown once.")
LIST = say("List the keys of the HTTP door, and what each may.")
REMOVE = say("Take a key away; a running server knows at once.")


def prepare_add(to: Parser) -> None:
    """Give the parser the flags of `key add`."""
    to.place("shop", say("the shop's folder"))
    _name(to)
    to.needed.append(("scope", "--scope"))
    to.add_argument("--scope", nargs="+", action="extend", metavar=put(say("TEXT"), to.language),
                    help=to.text(say("collect: post events; read: ask; write: change tables and ingest; learn: learn; "
                                     "alerts: keep rules; experiment: start and stop them; admin: all of it")))
    to.add_argument("--origin", nargs="+", action="extend", metavar=put(say("TEXT"), to.language),
                    help=to.text(say("web pages that may post with it, such as https://shop.example; only for a key "
                                     "that can do nothing but collect")))
    to.add_argument("--rate", type=parser.converter("--rate", Parameter("rate", "float")),
                    metavar=put(say("NUMBER"), to.language),
                    help=to.text(say("records a second that it may bring (default: no limit)")))
    output.add(to, table=False)


def prepare_list(to: Parser) -> None:
    """Give the parser the flags of `key list`."""
    to.place("shop", say("the shop's folder"))
    output.add(to, table=False)


def prepare_remove(to: Parser) -> None:
    """Give the parser the flags of `key remove`."""
    to.place("shop", say("the shop's folder"))
    _name(to)
    output.add(to, table=False)


def add(found: Namespace, out: Output) -> None:
    """Make a key, and show it."""
    given = vars(found)
    ring = _ring(found.shop)
    token = ring.add(found.name, found.scope, given.get("origin", ()), given.get("rate", 0.0))
    key = ring.named(found.name)
    assert key is not None
    if out.form == "json":
        _json({**_as_data(key), "key": token})
        return
    printing.write(token)
    printing.line(printing.console_to(), put(say("This is key {name}, with {scopes}. It is shown once, and kept "
                                                 "nowhere.", name=key.name, scopes=", ".join(key.scopes)),
                                             out.language))


def list_(found: Namespace, out: Output) -> None:
    """Show the keys."""
    keys = _ring(found.shop).keys
    if out.form == "json":
        _json({"answer": [_as_data(key) for key in keys]})
    elif not keys:
        printing.line(printing.console_to(), put(say("There are no keys: the shop answers its own machine only."),
                                                 out.language))
    else:
        headings = [word(text, out.language) for text in ("name", "scopes", "origins", "records a second", "made")]
        body = [[key.name, ", ".join(key.scopes), ", ".join(key.origins), f"{key.rate:g}" if key.rate else "",
                 key.made] for key in keys]
        printing.table(printing.console_to(), headings, body)


def remove(found: Namespace, out: Output) -> None:
    """Take a key away."""
    _ring(found.shop).remove(found.name)
    if out.form == "json":
        _json({"removed": found.name})
    else:
        printing.line(printing.console_to(), put(say("Key {name} is gone.", name=found.name), out.language))


def _name(to: Parser) -> None:
    to.needed.append(("name", "--name"))
    to.add_argument("--name", metavar=put(say("TEXT"), to.language),
                    help=to.text(say("what people call the key, such as web")))


def _ring(shop: str) -> KeyRing:
    from shopkeeper.doors.http.keyring import KeyRing

    folder = Path(shop)
    if not (folder / "shop.toml").is_file():
        raise NotAShop(say("{path} is not a shop.", path=shop), do=[say("shopkeeper serve {path}", path=shop)],
                       why=say("a shop is a folder with a shop.toml; serve and ingest make it."))
    return KeyRing(folder)


def _as_data(key: Key) -> dict[str, object]:
    return {"name": key.name, "scopes": list(key.scopes), "origins": list(key.origins), "rate": key.rate,
            "made": key.made}


def _json(data: object) -> None:
    from shopkeeper.asking import as_json

    printing.write(as_json(data))
