"""`shopkeeper serve`, written by hand: a shop behind HTTP."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from shopkeeper.doors import output, parser, printing
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.errors import BadInput
from shopkeeper.menu import Parameter
from shopkeeper.words import Sentence, put, say

if TYPE_CHECKING:
    from shopkeeper.doors.http.service import Service

SERVE = say("Serve a shop over HTTP: events in, answers out.")
HOST, PORT = "127.0.0.1", 8000
LOGS = ("all", "errors", "none")


def prepare(to: Parser) -> None:
    """Give the parser the flags of `serve`."""
    to.place("shop", say("the shop's folder; made if it is not there"))
    to.add_argument("--host", metavar=put(say("TEXT"), to.language), default=HOST,
                    help=to.text(say("address to bind (default: this machine alone); any other needs a key")))
    to.add_argument("--port", type=parser.converter("--port", Parameter("port", "int")), metavar="N", default=PORT,
                    help=to.text(say("port to bind (default: 8000); 0 takes a free one")))
    to.add_argument("--no-fold", dest="fold", action="store_false", default=True,
                    help=to.text(say("only take events; answers stand still")))
    to.add_argument("--log", type=parser.converter("--log", Parameter("log", "choice", choices=LOGS)),
                    metavar="|".join(LOGS), default="all",
                    help=to.text(say("what stands in the log on stderr, a JSON object a line (default: all)")))
    output.add(to, table=False)


def run(found: Namespace, out: Output) -> None:
    """Serve until it is told to stop."""
    from shopkeeper.doors.http.app import door
    from shopkeeper.doors.http.guard import Guard
    from shopkeeper.doors.http.keyring import KeyRing
    from shopkeeper.doors.http.logs import Log
    from shopkeeper.doors.http.parts import attach
    from shopkeeper.doors.http.server import bind, is_loopback, url
    from shopkeeper.doors.http.server import run as serve
    from shopkeeper.doors.http.service import Service
    from shopkeeper.doors.http.settings import Settings
    from shopkeeper.shop import Shop
    from shopkeeper.warehouse.collector import Collector, Limits
    from shopkeeper.warehouse.engine import SmallEngine

    shop = Shop.open(found.shop, engine=SmallEngine)
    settings, ring, here = Settings.read(shop.path / "shop.toml"), KeyRing(shop.path), is_loopback(found.host)
    if not here and not ring.keys:
        raise BadInput(say("{host} is not this machine alone, and the shop has no key.", host=found.host),
                       do=[say("shopkeeper key add {path} --name NAME --scope admin", path=found.shop)],
                       why=say("whoever reaches the address could read and write everything."))
    bound = bind(found.host, found.port)
    collector = Collector.open(shop, Limits(settings.body_bytes, settings.records))
    service = Service(shop, collector, settings, log=Log(found.log), fold=found.fold)
    application = door(service, Guard(ring, settings, open_here=here), attach(service))

    def opened() -> None:
        _tell(out, service, url(bound))

    serve(application, bound, opened)
    if out.form != "json":
        printing.write(put(say("Stopped."), out.language))


def _tell(out: Output, service: Service, address: str) -> None:
    import sys

    recovered = service.collector.recovered
    if out.form == "json":
        from shopkeeper.asking import as_json

        printing.write(as_json({"url": address, "shop": service.shop.name, "recovered": recovered}))
    else:
        printing.write(put(_opened(service, address), out.language))
    sys.stdout.flush()


def _opened(service: Service, address: str) -> Sentence:
    waiting = service.collector.pending.records
    if not waiting:
        return say("{name} is served at {address}", name=service.shop.name, address=address)
    return say("{name} is served at {address}; {n:,} acknowledged records of before are in the journal, and will be "
               "folded.", name=service.shop.name, address=address, n=waiting)
