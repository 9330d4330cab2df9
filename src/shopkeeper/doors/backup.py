"""`shopkeeper backup` and `shopkeeper restore`, written by hand: paths on this machine's disk never come over HTTP."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from shopkeeper.doors import output, printing, progress
from shopkeeper.doors.output import Output
from shopkeeper.doors.parser import Parser
from shopkeeper.words import put, say


def prepare_backup(to: Parser) -> None:
    """Give the parser the flags of `backup`."""
    to.place("shop", say("the shop's folder"))
    to.place("target", say("a folder that is empty or not there yet, or a file that ends in .tar"))
    to.add_argument("--with-keys", dest="with_keys", action="store_true",
                    help=to.text(say("put the keys into the backup, too: whoever has it can open the vault")))
    output.add(to, table=False)


def backup(found: Namespace, out: Output) -> None:
    """Back a shop up, and say what is in the backup and what is not."""
    from shopkeeper.warehouse.backup import back_up
    from shopkeeper.warehouse.store import Store

    target = Path(found.target)
    with progress.shown(out.language) as told:
        made = back_up(Store(found.shop), target, with_keys=getattr(found, "with_keys", False), progress=told)
    if out.form == "json":
        from shopkeeper.asking import as_json

        printing.write(as_json({
            "backup": str(target), "made_at": made.made_at, "version": made.version, "files": len(made.files),
            "bytes": made.size, "linked": made.linked, "journal": made.journal, "with_keys": made.with_keys,
            "notes": [put(note, out.language) for note in made.notes()]}))
        return
    to = printing.console_to()
    printing.line(to, put(say("Backed up to {path}", path=str(target)), out.language), "bold")
    for note in made.notes():
        printing.line(to, f"· {put(note, out.language)}")


def prepare_restore(to: Parser) -> None:
    """Give the parser the flags of `restore`."""
    to.place("backup", say("the backup: a folder, or a .tar file"))
    to.place("shop", say("where the shop goes; a folder that is empty or not there yet"))
    to.add_argument("--keys", metavar=put(say("FOLDER"), to.language), dest="keys",
                    help=to.text(say("where the shop's keys are, if the backup has none")))
    output.add(to)


def restore(found: Namespace, out: Output) -> None:
    """Put a shop back, open it, and give its account."""
    from shopkeeper import ledger
    from shopkeeper.shop import Shop
    from shopkeeper.warehouse.backup import restore as put_back

    keys = getattr(found, "keys", None)
    with progress.shown(out.language) as told:
        made = put_back(Path(found.backup), Path(found.shop), keys=Path(keys) if keys else None, progress=told)
    account = ledger.account(Shop.open(found.shop, create=False))
    note = say("restored as it stood at {moment}: {files:,} files, every checksum as it was.", moment=made.made_at,
               files=len(made.files))
    out.deliver(replace(account, notes=(note, *account.notes)))
